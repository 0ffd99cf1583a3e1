//! Telegrams of P1, and a stream of them in one piece and octet by octet.
#![no_main]

use han::p1::{Deframer, Telegram};
use libfuzzer_sys::fuzz_target;

fn found<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut deframer = Deframer::new();
    let mut found = Vec::new();
    for mut part in parts {
        while let Some(telegram) = deframer.next(&mut part) {
            found.push(telegram.to_vec());
        }
    }
    found
}

fuzz_target!(|octets: &[u8]| {
    if let Ok(telegram) = Telegram::decode(octets) {
        assert!(telegram.length <= octets.len());
        let report = telegram.report();
        let _ = (report.total(1), report.net_power());
    }
    let whole = found(core::iter::once(octets));
    assert_eq!(whole, found(octets.chunks(1)));
});
