//! The head end through its public API, on a real database and real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers here are not test functions, and a failed test is a panic"
)]

mod api;
mod campaigns;
mod collector;
mod fake;
mod http;
mod lists;
mod outlets;
mod planner;
mod registry;
mod store;
mod support;
mod told;
