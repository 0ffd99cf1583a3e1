#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests stand outside test functions"
)]
//! Tests of the meter through its public interface.

mod collector;
mod device;
mod disk;
mod image;
mod journal;
mod metrology;
mod pair;
mod shell;
mod template;
