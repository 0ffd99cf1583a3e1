#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests stand outside test functions"
)]
//! Tests of the meter through its public interface.

mod journal;
mod metrology;
mod template;
