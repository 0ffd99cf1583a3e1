//! Ciphered APDUs: nothing is verified that was not made with the keys, and
//! what does not verify stays as it is.
#![no_main]

use dlms::security::{Header, KeyRing, Keys, Protection, ReplayWindow, RustCrypto, SecuritySuite};
use fuzz::CLIENT;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let keys = Keys::new([0x51; 16].into(), [0xE4; 16].into());
    let ring = KeyRing::new(&RustCrypto, SecuritySuite::Suite0, &keys).unwrap();
    let mut window = ReplayWindow::sliding(0);
    let mut frame = octets.to_vec();
    assert!(
        ring.unprotect_once(&mut frame, &CLIENT, Protection::Authenticated, &mut window)
            .is_err()
    );
    assert_eq!(frame, octets);
    assert_eq!(window, ReplayWindow::sliding(0));
    let header = Header::decode(octets);
    if let Ok(opened) = ring.dangerous_decrypt_unverified(&mut frame, &CLIENT) {
        assert_eq!(Ok(opened.header()), header.as_ref());
        assert!(!opened.dangerous_plain(&frame).is_empty());
    }
    // With every tag taken the window moves, and once for each counter.
    let any = fuzz::ring();
    let mut frame = octets.to_vec();
    if any
        .unprotect_once(&mut frame, &CLIENT, Protection::Authenticated, &mut window)
        .is_ok()
    {
        let mut frame = octets.to_vec();
        assert!(
            any.unprotect_once(&mut frame, &CLIENT, Protection::Authenticated, &mut window)
                .is_err()
        );
    }
});
