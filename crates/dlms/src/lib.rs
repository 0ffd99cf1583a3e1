//! DLMS/COSEM without input or output: codec, security, client and server as
//! machines that are handed time, randomness, keys and storage.
//!
//! | module | what it holds |
//! |---|---|
//! | [`acse`] | the APDUs that make and release associations |
//! | [`codec`] | the one cursor, the one trait of wire forms, errors with byte offsets |
#![no_std]

extern crate alloc;

pub mod acse;
pub mod codec;
mod codes;
mod time;

pub use time::{Duration, Instant};
