//! Evidence: two implementations of AES-GCM against each other, through whole
//! APDUs in every form, protection and suite, under the unicast, the broadcast
//! and the dedicated key.

use dlms::security::{
    AwsLc, Envelope, Key, KeyRing, Keys, Protection, ReplayWindow, RustCrypto, SecuritySuite,
    UnprotectError,
};

use super::{PROTECTIONS, SERVER, WRAPPINGS, random_octets, seal};
use crate::captures::Random;

/// One key ring of each provider.
fn rings(suite: SecuritySuite, random: &mut Random) -> [KeyRing; 2] {
    let mut key = || Key::from_octets(&random_octets(random, suite.key_len())).unwrap();
    let keys = Keys {
        broadcast: Some(key()),
        ..Keys::new(key(), key())
    };
    let dedicated = key();
    [
        KeyRing::new(&RustCrypto, suite, &keys).unwrap(),
        KeyRing::new(&AwsLc, suite, &keys).unwrap(),
    ]
    .map(|mut ring| {
        ring.set_dedicated(Some(&dedicated)).unwrap();
        ring
    })
}

#[test]
fn each_opens_what_the_other_seals() {
    let mut random = Random::new(0x600D);
    let mut forms = 0;
    for suite in [
        SecuritySuite::Suite0,
        SecuritySuite::Suite1,
        SecuritySuite::Suite2,
    ] {
        let rings = rings(suite, &mut random);
        for wrapping in WRAPPINGS {
            for protection in PROTECTIONS {
                for broadcast in [false, true] {
                    if broadcast && wrapping.is_dedicated() {
                        continue;
                    }
                    let envelope = Envelope {
                        broadcast,
                        ..Envelope::new(wrapping, protection)
                    };
                    for len in [1, 2, 15, 16, 17, 127, 128, 1_000, 2_694, 20_000] {
                        let mut apdu = random_octets(&mut random, len);
                        apdu[0] = 0xC4;
                        both_ways(&rings, envelope, &apdu, &mut random);
                        forms += 1;
                    }
                }
            }
        }
    }
    assert_eq!(forms, 3 * (4 + 2) * 3 * 10);
}

fn both_ways(rings: &[KeyRing; 2], envelope: Envelope, apdu: &[u8], random: &mut Random) {
    let [frame, theirs] = rings.each_ref().map(|ring| seal(ring, envelope, 7, apdu));
    assert_eq!(frame, theirs, "{envelope:?}, {} octets", apdu.len());
    for ring in rings {
        if !envelope.protection.authenticated() {
            let mut frame = frame.clone();
            let opened = ring
                .dangerous_decrypt_unverified(&mut frame, &SERVER)
                .unwrap();
            assert_eq!(opened.dangerous_plain(&frame), apdu);
            continue;
        }
        let open = |frame: &mut [u8], window: &mut ReplayWindow| {
            let required = Protection::Authenticated;
            if envelope.broadcast {
                ring.unprotect_broadcast(frame, &SERVER, required, window)
            } else {
                ring.unprotect_once(frame, &SERVER, required, window)
            }
        };
        // Any octet of the text or the tag, wrong by any bit.
        let mut bad = frame.clone();
        let at = frame.len() - 1 - random.below(apdu.len() + 12);
        bad[at] ^= 1 << random.below(8);
        let before = bad.clone();
        let mut window = ReplayWindow::rising(0);
        assert_eq!(
            open(&mut bad, &mut window).unwrap_err(),
            UnprotectError::TagMismatch
        );
        assert_eq!(bad, before);
        assert_eq!(window, ReplayWindow::rising(0));

        let mut frame = frame.clone();
        let opened = open(&mut frame, &mut window).unwrap();
        assert_eq!(opened.plain(&frame), apdu);
        assert_eq!(opened.header().counter, 7);
        assert_ne!(window, ReplayWindow::rising(0));
    }
}
