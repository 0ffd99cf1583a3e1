//! The deframer of HDLC, fed at once and octet by octet: the same frames. What UA and FRMR carry.
#![no_main]

use dlms::codec::Wire as _;
use dlms::hdlc::{Deframer, FrameReject, ParameterForm, Parameters};
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
    if let Ok(parameters) = Parameters::from_octets(octets) {
        assert!((1..=7).contains(&parameters.window_transmit));
        assert!((1..=7).contains(&parameters.window_receive));
        let mut encoded = Vec::new();
        parameters.encode_as(ParameterForm::Wide, &mut encoded);
        assert_eq!(Parameters::from_octets(&encoded), Ok(parameters));
        let agreed = Parameters::DEFAULT.agreed_with(&parameters);
        assert!(agreed.window_transmit <= Parameters::DEFAULT.window_transmit);
    }
    if let Ok(reject) = FrameReject::from_octets(octets) {
        assert_eq!(FrameReject::from_octets(&reject.to_octets()), Ok(reject));
    }
});
