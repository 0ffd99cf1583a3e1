//! DLMS/COSEM without input or output: codec, security, client and server as
//! machines that are handed time, randomness, keys and storage.
//!
//! | module | what it holds |
//! |---|---|
//! | [`acse`] | the APDUs that make and release associations |
//! | [`axdr`] | values in A-XDR: trees, borrowed octets, a cursor that allocates nothing |
//! | [`codec`] | the one cursor, the one trait of wire forms, errors with byte offsets |
//! | [`cosem`] | OBIS codes, attributes and methods, selective access |
#![no_std]

extern crate alloc;

pub mod acse;
pub mod axdr;
pub mod codec;
mod codes;
pub mod cosem;
mod time;

pub use time::{Duration, Instant};
