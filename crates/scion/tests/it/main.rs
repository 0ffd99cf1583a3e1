//! Tests of the crate through its public surface, in one binary.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that fails shall stop where it does; helpers are not test functions"
)]

mod address;
mod choice;
mod daemon;
mod drkey;
mod endhost;
mod network;
mod packet;
mod policy;
mod reference;
mod routes;
mod rules;
mod session;
mod sig;

/// Octets of hexadecimal digits.
fn hex(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 2, 0);
    (0..text.len() / 2)
        .map(|index| u8::from_str_radix(&text[2 * index..2 * index + 2], 16).unwrap())
        .collect()
}
