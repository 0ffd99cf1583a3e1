//! Files of SML, and a stream of them in one piece and octet by octet.
#![no_main]

use han::sml::{Deframer, File};
use libfuzzer_sys::fuzz_target;

fn found<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut deframer = Deframer::new();
    let mut found = Vec::new();
    for mut part in parts {
        while let Some(file) = deframer.next(&mut part) {
            found.push(file.to_vec());
        }
    }
    found
}

fuzz_target!(|octets: &[u8]| {
    if let Ok(file) = File::decode(octets) {
        assert!(file.length <= octets.len());
        let report = file.report();
        let _ = (report.total(1), report.net_power());
    }
    let whole = found(core::iter::once(octets));
    assert_eq!(whole, found(octets.chunks(1)));
});
