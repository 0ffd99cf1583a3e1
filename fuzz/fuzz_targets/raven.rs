//! Fragments of RAVEn adapters, and a stream of them.
#![no_main]

use han::raven::{self, Command, Deframer};
use libfuzzer_sys::fuzz_target;

fn found<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut deframer = Deframer::new();
    let mut found = Vec::new();
    for mut part in parts {
        while let Some(fragment) = deframer.next(&mut part) {
            found.push(fragment.to_vec());
        }
    }
    found
}

fuzz_target!(|octets: &[u8]| {
    for fragment in raven::decode(octets).unwrap_or_default() {
        let report = fragment.report();
        let _ = (report.total(1), report.net_power(), fragment.formatting());
    }
    if let Some(command) = Command::of(octets) {
        assert!(command.name().starts_with("get_"));
    }
    let whole = found(core::iter::once(octets));
    assert_eq!(whole, found(octets.chunks(1)));
});
