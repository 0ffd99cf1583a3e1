//! Tests of the crate through its public surface, in one binary.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails shall stop where it does; helpers are not test functions"
)]

mod answer;
mod cache;
mod credential;
mod day;
mod history;
mod mqtt;
mod poller;
mod port;
mod push_memory;
mod separation;
mod server;
mod support;
mod tls;
mod wire;
