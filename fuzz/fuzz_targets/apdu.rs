//! Every APDU: what decodes encodes, and decodes to the same again.
#![no_main]

use dlms::codec::Wire;
use dlms::xdlms::Apdu;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    if let Ok(apdu) = Apdu::from_octets(octets) {
        let encoded = apdu.to_octets();
        let again = Apdu::from_octets(&encoded).expect("what we encode decodes");
        assert_eq!(encoded, again.to_octets());
        let _ = format!("{apdu:?}");
    }
});
