//! Firmware images: what is taken apart is put together again alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Image;

fuzz_target!(|octets: &[u8]| {
    if let Ok(image) = Image::parse(octets) {
        assert_eq!(image.header().seal(image.signature(), image.content()), octets);
    }
});
