//! The deframer of the wrapper over TCP.
#![no_main]

use dlms::wrapper::Deframer;
use libfuzzer_sys::fuzz_target;

fn frames<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut deframer = Deframer::new(2_048);
    let mut found = Vec::new();
    for mut part in parts {
        loop {
            match deframer.next(&mut part) {
                Ok(Some(frame)) => {
                    assert!(frame.apdu.len() <= 2_048);
                    found.push(format!("{frame:?}"));
                }
                Ok(None) => break,
                Err(_) => return found,
            }
        }
    }
    found
}

fuzz_target!(|octets: &[u8]| {
    let whole = frames(core::iter::once(octets));
    assert_eq!(whole, frames(octets.chunks(1)));
});
