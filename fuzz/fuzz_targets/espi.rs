//! Feeds of Green Button: what is read can be written, and stays the same from
//! then on.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(feed) = han::espi::read(text) {
        let again = han::espi::write(&feed);
        let read = han::espi::read(&again).expect("what was written");
        assert_eq!(han::espi::write(&read), again);
    }
});
