//! The deframer of M-Bus, and segments joined.
#![no_main]

use dlms::mbus::{Assembler, Deframer, Segment};
use libfuzzer_sys::fuzz_target;

fn frames<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut deframer = Deframer::new();
    let mut assembler = Assembler::new(4_096);
    let mut found = Vec::new();
    for mut part in parts {
        while let Some(frame) = deframer.next(&mut part) {
            found.push(format!("{frame:?}"));
            if let Ok(segment) = Segment::of(&frame, 0)
                && let Some(message) = assembler.push(&segment)
            {
                assert!(message.octets.len() <= 4_096);
                found.push(format!("{:?}", message.octets));
            }
        }
    }
    found
}

fuzz_target!(|octets: &[u8]| {
    let whole = frames(core::iter::once(octets));
    assert_eq!(whole, frames(octets.chunks(1)));
});
