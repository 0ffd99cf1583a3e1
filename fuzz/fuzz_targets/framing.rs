//! Dumps of any framing, taken apart.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let framing = dlms::framing::detect(octets);
    let _ = format!("{:?}", dlms::framing::unframe(octets, framing));
});
