//! DLMS/COSEM without input or output: codec, security, client and server as
//! machines that are handed time, randomness, keys and storage.
//!
//! | module | what it holds |
//! |---|---|
//! | [`acse`] | the APDUs that make and release associations |
//! | [`axdr`] | values in A-XDR: trees, borrowed octets, a cursor that allocates nothing |
//! | [`client`] | one association with a logical device: requests, blocks, counters, repetitions |
//! | [`codec`] | the one cursor, the one trait of wire forms, errors with byte offsets |
//! | [`cosem`] | OBIS codes, attributes and methods, selective access |
//! | [`framing`] | what a dump is framed in, and the messages within it |
//! | [`hdlc`] | frames of type 3, the primary and the secondary station of a link |
//! | [`mbus`] | wired M-Bus as meters push over it |
//! | [`security`] | suites, protecting and verifying APDUs, counters, HLS, key transfer |
//! | [`server`] | the associations of a logical device, and the trait through which it sees the device |
//! | [`wrapper`] | the header before each APDU over TCP and UDP |
//! | [`xdlms`] | every other APDU, and one enum of them all |
#![no_std]

extern crate alloc;

pub mod acse;
pub mod axdr;
pub mod client;
pub mod codec;
mod codes;
pub mod cosem;
pub mod framing;
pub mod hdlc;
pub mod mbus;
pub mod security;
pub mod server;
mod time;
pub mod wrapper;
pub mod xdlms;

pub use time::{Duration, Instant};
