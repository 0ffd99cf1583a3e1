//! XML messages: what is read is written and read again alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::xml::XmlMessage;

fuzz_target!(|octets: &[u8]| {
    if let Ok(message) = XmlMessage::read(octets) {
        let text = message.write().expect("what was read can be written");
        assert_eq!(XmlMessage::read(text.as_bytes()), Ok(message));
    }
});
