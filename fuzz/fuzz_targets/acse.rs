//! Association control, strict and lenient: what is taken strictly is taken
//! leniently without a deviation.
#![no_main]

use dlms::acse::{Aare, Aarq, Rlre, Rlrq};
use dlms::codec::Wire;
use libfuzzer_sys::fuzz_target;

macro_rules! both {
    ($octets:ident, $($apdu:ident)*) => {$(
        let lenient = $apdu::decode_lenient($octets);
        if let Ok(strict) = $apdu::from_octets($octets) {
            let encoded = strict.to_octets();
            $apdu::from_octets(&encoded).expect("what we encode decodes");
            let lenient = lenient.expect("the lenient reader takes what the strict one takes");
            assert!(lenient.deviations.is_empty());
        }
    )*};
}

fuzz_target!(|octets: &[u8]| {
    both!(octets, Aarq Aare Rlrq Rlre);
});
