//! DLMS/COSEM without input or output: codec, security, client and server as
//! machines that are handed time, randomness, keys and storage.
//!
//! | module | what it holds |
//! |---|---|
//! | [`codec`] | the one cursor, the one trait of wire forms, errors with byte offsets |
#![no_std]

extern crate alloc;

pub mod codec;
mod time;

pub use time::{Duration, Instant};
