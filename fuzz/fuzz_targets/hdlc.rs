//! The deframer of HDLC, fed at once and octet by octet: the same frames.
#![no_main]

use dlms::hdlc::Deframer;
use libfuzzer_sys::fuzz_target;

fn frames<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut deframer = Deframer::new();
    let mut found = Vec::new();
    for mut part in parts {
        while let Some(frame) = deframer.next(&mut part) {
            found.push(format!("{frame:?}"));
        }
    }
    found
}

fuzz_target!(|octets: &[u8]| {
    let whole = frames(core::iter::once(octets));
    assert_eq!(whole, frames(octets.chunks(1)));
});
