//! Tests of the crate through its public surface, in one binary.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails shall stop where it does; helpers are not test functions"
)]

mod adoption;
mod collector;
mod device;
mod direct;
mod floods;
mod kept;
mod lines;
mod pair;
mod red_team;
mod sap;
mod shell;
mod source;
mod takeover;
mod ways;
