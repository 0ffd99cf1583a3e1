//! Tests of the crate through its public surface, in one binary.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails shall stop where it does; helpers are not test functions"
)]

mod associations;
mod device;
mod han_port;
mod namespaces;
mod papers;
mod scion;
mod sctp;
mod segment;
mod transports;
