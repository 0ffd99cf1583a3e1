//! Tests of the program through its command line, in one binary.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails shall stop where it does; helpers are not test functions"
)]

mod association;
mod collect;
mod concentrator;
mod conventional;
mod decode;
mod delivery;
mod demo;
mod derived;
mod experiment;
mod firmware;
mod fleet;
mod help;
mod homegate;
mod keys;
mod layering;
mod literal;
mod local;
mod memory;
mod outlets;
mod process;
mod program;
mod redundancy;
mod session;
mod simulated;
mod strangers;
mod wan;
