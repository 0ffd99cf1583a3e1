//! What a concentrator's collector keeps: rows, blocks, records, logs.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/concentrator/tests/it/kept/checks.rs"]
mod checks;

fuzz_target!(|octets: &[u8]| checks::all(octets));
