//! Ciphered APDUs. Third-party octets from `ciphered.txt` and, where they are
//! there, captures; refusals and robustness beyond them are hand-made, and
//! what wrappings the vectors lack is self-agreement (see `stranger`).

use dlms::codec::Malformed;
use dlms::security::{
    Envelope, FreshCounter, Header, Key, KeyKind, KeyRing, Keys, ProtectError, Protection,
    ReplayWindow, RustCrypto, SecurityControl, SecuritySuite, SystemTitle, UnprotectError,
    Wrapping,
};

use super::{CLIENT, GET, PROTECTIONS, SERVER, WRAPPINGS, key, keys, random_octets, ring, seal};
use crate::captures::{Random, capture, hex, unhex};

const VECTORS: &str = include_str!("../../vectors/ciphered.txt");

/// Protects what a frame's header tells, to see the frame again.
fn again(ring: &KeyRing, title: &SystemTitle, header: &Header, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    ring.protect(
        Envelope {
            wrapping: header.wrapping,
            protection: header.control.protection(),
            broadcast: header.control.broadcast(),
        },
        title,
        FreshCounter::dangerous_assume_fresh(header.counter),
        plain,
        &mut out,
    )
    .unwrap();
    out
}

#[test]
fn vectors() {
    let mut seen = 0;
    for block in VECTORS
        .split("\n\n")
        .filter(|block| block.starts_with("name"))
    {
        let field = |name: &str| {
            block.lines().find_map(|line| {
                let (field, value) = line.split_once(' ')?;
                (field == name).then(|| value.trim())
            })
        };
        let name = field("name").unwrap();
        let suite = SecuritySuite::from_id(field("suite").unwrap().parse().unwrap()).unwrap();
        let mut keys = Keys::new(key(field("ek").unwrap()), key(field("ak").unwrap()));
        keys.dedicated = field("dedicated").map(key);
        let ring = KeyRing::new(&RustCrypto, suite, &keys).unwrap();
        let title = SystemTitle::from_slice(&unhex(field("title").unwrap())).unwrap();
        let frame = unhex(field("frame").unwrap());
        let mut octets = frame.clone();
        if let Some(plain) = field("plain") {
            let opened = ring
                .unprotect(&mut octets, &title, Protection::Authenticated)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(hex(opened.plain(&octets)), plain, "{name}");
            let made = again(&ring, &title, opened.header(), &unhex(plain));
            assert_eq!(hex(&made), hex(&frame), "{name}");
        } else if let Some(plain) = field("unverified") {
            assert_eq!(
                ring.unprotect(&mut octets, &title, Protection::Encrypted)
                    .unwrap_err(),
                UnprotectError::NoTag,
                "{name}"
            );
            let opened = ring
                .dangerous_decrypt_unverified(&mut octets, &title)
                .unwrap();
            assert_eq!(hex(opened.dangerous_plain(&octets)), plain, "{name}");
            let made = again(&ring, &title, opened.header(), &unhex(plain));
            assert_eq!(hex(&made), hex(&frame), "{name}");
        } else {
            let error = ring
                .unprotect(&mut octets, &title, Protection::Authenticated)
                .unwrap_err();
            assert_eq!(error.to_string(), field("refused").unwrap(), "{name}");
            assert_eq!(octets, frame, "{name}: refused, so unchanged");
        }
        seen += 1;
    }
    assert_eq!(seen, 14);
}

#[test]
fn a_real_meters_push_verifies() {
    let Some(vector) = capture("general-glo-real-datanotif-u9n") else {
        return;
    };
    let mut keys = Keys::new(
        key(vector["keys"]["ek"].as_str().unwrap()),
        key(vector["keys"]["ak"].as_str().unwrap()),
    );
    let mut frame = unhex(vector["hex"].as_str().unwrap());
    let title = Header::decode(&frame).unwrap().system_title.unwrap();
    let ring = KeyRing::new(&RustCrypto, SecuritySuite::Suite0, &keys).unwrap();
    let opened = ring
        .unprotect(&mut frame, &title, Protection::AuthenticatedEncrypted)
        .unwrap();
    assert_eq!(opened.plain(&frame)[0], 0x0F, "a DataNotification");

    // The same with the wrong authentication key.
    keys.authentication = Some(key("d0d1d2d3d4d5d6d7d8d9dadbdcdddedf"));
    let ring = KeyRing::new(&RustCrypto, SecuritySuite::Suite0, &keys).unwrap();
    let mut frame = unhex(vector["hex"].as_str().unwrap());
    assert_eq!(
        ring.unprotect(&mut frame, &title, Protection::AuthenticatedEncrypted)
            .unwrap_err(),
        UnprotectError::TagMismatch
    );
}

/// Every service in every form and protection, there and back.
#[test]
fn every_service_in_every_form() {
    let ring = ring();
    let mut forms = 0;
    for wrapping in WRAPPINGS {
        for plain in 0..=0xFF_u8 {
            let Some(tag) = wrapping.ciphered_tag(plain) else {
                continue;
            };
            let expected = (!wrapping.is_general()).then_some(plain);
            assert_eq!(Wrapping::of_tag(tag), Some((wrapping, expected)));
            for protection in PROTECTIONS {
                let apdu = [plain, 1, 2, 3];
                let envelope = Envelope::new(wrapping, protection);
                let mut frame = seal(&ring, envelope, 7, &apdu);
                assert_eq!(frame[0], tag);
                if protection.authenticated() {
                    let opened = ring.unprotect(&mut frame, &SERVER, protection).unwrap();
                    assert_eq!(opened.plain(&frame), apdu);
                    assert_eq!(opened.header().counter, 7);
                } else {
                    let opened = ring
                        .dangerous_decrypt_unverified(&mut frame, &SERVER)
                        .unwrap();
                    assert_eq!(opened.dangerous_plain(&frame), apdu);
                }
                forms += 1;
            }
        }
    }
    assert_eq!(forms, 3 * (16 + 16 + 256 + 256));
}

/// The tags as the CHOICE of xDLMS APDUs in IEC 62056-5-3 numbers them: the
/// glo- tag of a service of short names is 32 above it, of logical names 8.
#[test]
fn tags_follow_the_numbering_of_the_standard() {
    for plain in [1, 5, 6, 8, 12, 13, 14, 22, 24] {
        assert_eq!(Wrapping::Glo.ciphered_tag(plain), Some(plain + 32));
        assert_eq!(Wrapping::Ded.ciphered_tag(plain), Some(plain + 64));
    }
    for plain in [192, 193, 194, 195, 196, 197, 199] {
        assert_eq!(Wrapping::Glo.ciphered_tag(plain), Some(plain + 8));
        assert_eq!(Wrapping::Ded.ciphered_tag(plain), Some(plain + 16));
    }
    // DataNotification, ExceptionResponse, Access: only in the general forms.
    for plain in [0x0F, 0x10, 0xD8, 0xD9, 0xDA] {
        assert_eq!(Wrapping::Glo.ciphered_tag(plain), None);
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let ring = ring();
    for wrapping in WRAPPINGS {
        for protection in [
            Protection::Authenticated,
            Protection::AuthenticatedEncrypted,
        ] {
            let good = seal(&ring, Envelope::new(wrapping, protection), 9, &unhex(GET));
            for bit in 0..good.len() * 8 {
                let mut frame = good.clone();
                frame[bit / 8] ^= 1 << (bit % 8);
                let mut window = ReplayWindow::rising(0);
                let untouched = window.clone();
                let before = frame.clone();
                ring.unprotect_once(&mut frame, &SERVER, Protection::Authenticated, &mut window)
                    .unwrap_err();
                assert_eq!(window, untouched, "bit {bit}");
                // The wrapper's own tag shows to be wrong only in the plain text.
                assert!(frame == before || bit < 8, "bit {bit}");
            }
        }
    }
}

#[test]
fn every_cut_and_every_extension_is_refused() {
    let ring = ring();
    for wrapping in WRAPPINGS {
        for protection in PROTECTIONS {
            let good = seal(&ring, Envelope::new(wrapping, protection), 9, &unhex(GET));
            for len in 0..good.len() {
                let mut frame = good[..len].to_vec();
                assert!(matches!(
                    ring.unprotect(&mut frame, &SERVER, protection),
                    Err(UnprotectError::Malformed(error)) if error.reason == Malformed::Truncated
                ));
            }
            let mut frame = good.clone();
            frame.push(0);
            assert!(matches!(
                ring.unprotect(&mut frame, &SERVER, protection),
                Err(UnprotectError::Malformed(error)) if error.reason == Malformed::Trailing
            ));
        }
    }
}

#[test]
fn refusals_say_why() {
    let ring = ring();
    let glo = Envelope::new(Wrapping::Glo, Protection::AuthenticatedEncrypted);
    let good = seal(&ring, glo, 9, &unhex(GET));
    let open = |frame: &[u8], title: &SystemTitle, required: Protection| {
        ring.unprotect(&mut frame.to_vec(), title, required)
            .unwrap_err()
    };
    let with_control = |octet: u8| {
        let mut frame = good.clone();
        frame[2] = octet;
        open(&frame, &SERVER, Protection::Authenticated)
    };

    assert_eq!(
        open(&unhex(GET), &SERVER, Protection::None),
        UnprotectError::NotCiphered { tag: 0xC0 }
    );
    for suite in [1, 2, 3, 0x0F] {
        assert_eq!(
            with_control(0x30 | suite),
            UnprotectError::Suite {
                expected: SecuritySuite::Suite0,
                received: suite
            }
        );
    }
    assert_eq!(with_control(0xB0), UnprotectError::Compressed);
    assert_eq!(
        with_control(0x00),
        UnprotectError::Insufficient {
            required: Protection::Authenticated,
            received: Protection::None
        }
    );
    assert_eq!(
        with_control(0x20),
        UnprotectError::Insufficient {
            required: Protection::Authenticated,
            received: Protection::Encrypted
        }
    );
    assert_eq!(
        with_control(0x70),
        UnprotectError::KeySet { broadcast: true }
    );
    assert_eq!(with_control(0x10), UnprotectError::TagMismatch);

    // Nothing is protected by asking for nothing.
    let mut frame = good.clone();
    frame[2] = 0x00;
    assert!(matches!(
        open(&frame, &SERVER, Protection::None),
        UnprotectError::Insufficient { .. }
    ));
    // Another sender has another initialization vector.
    assert_eq!(
        open(&good, &CLIENT, Protection::Authenticated),
        UnprotectError::TagMismatch
    );
    let general = Envelope::new(Wrapping::GeneralGlo, Protection::AuthenticatedEncrypted);
    assert_eq!(
        open(
            &seal(&ring, general, 9, &unhex(GET)),
            &CLIENT,
            Protection::None
        ),
        UnprotectError::ForeignTitle {
            expected: CLIENT,
            received: SERVER
        }
    );
    assert_eq!(
        open(
            &unhex("db044d4d4d00061030000000090000"),
            &SERVER,
            Protection::None
        )
        .to_string(),
        "byte 1: bad length in system title"
    );
    // A text must be there.
    for (frame, reason) in [
        ("c8052000000009", "byte 7: truncated in ciphered text"),
        ("c8043000000009", "byte 6: trailing octets in ciphered APDU"),
        ("c80430000000", "byte 3: truncated in invocation counter"),
        (
            "c80e30000000090102030405060708 09",
            "byte 7: truncated in authentication tag",
        ),
        ("c880", "byte 1: bad length in ciphered content"),
        ("c885ffffffffff", "byte 1: bad length in ciphered content"),
        ("c884ffffffff", "byte 6: truncated in ciphered content"),
        ("", "byte 0: truncated in ciphered APDU"),
    ] {
        assert_eq!(
            open(&unhex(frame), &SERVER, Protection::None).to_string(),
            reason
        );
    }
}

/// The wrapper's tag is not authenticated: whoever is on the way can make a
/// glo-get-request of a glo-set-request.
#[test]
fn another_service_in_the_wrapper_is_refused() {
    let ring = ring();
    for protection in PROTECTIONS {
        let mut frame = seal(
            &ring,
            Envelope::new(Wrapping::Glo, protection),
            9,
            &unhex(GET),
        );
        frame[0] = 0xC9;
        let expected = UnprotectError::WrongService {
            expected: 0xC1,
            received: 0xC0,
        };
        let error = if protection.authenticated() {
            ring.unprotect(&mut frame, &SERVER, protection).unwrap_err()
        } else {
            ring.dangerous_decrypt_unverified(&mut frame, &SERVER)
                .unwrap_err()
        };
        assert_eq!(error, expected);
    }
    // A glo- frame relabelled as ded-, and the other way round, meets another key.
    let mut frame = seal(
        &ring,
        Envelope::new(Wrapping::Glo, Protection::AuthenticatedEncrypted),
        9,
        &unhex(GET),
    );
    frame[0] = 0xD0;
    assert_eq!(
        ring.unprotect(&mut frame, &SERVER, Protection::Authenticated)
            .unwrap_err(),
        UnprotectError::TagMismatch
    );
}

#[test]
fn a_general_form_may_leave_the_title_empty() {
    let ring = ring();
    let general = Envelope::new(Wrapping::GeneralGlo, Protection::AuthenticatedEncrypted);
    let mut frame = seal(&ring, general, 9, &unhex(GET));
    frame.splice(1..10, [0]);
    let opened = ring
        .unprotect(&mut frame, &SERVER, Protection::Authenticated)
        .unwrap();
    assert_eq!(hex(opened.plain(&frame)), GET);
    assert_eq!(opened.header().system_title, None);
}

#[test]
fn the_broadcast_key_opens_what_is_broadcast_and_nothing_else() {
    let ring = ring();
    for wrapping in [Wrapping::Glo, Wrapping::GeneralGlo] {
        let mut envelope = Envelope::new(wrapping, Protection::AuthenticatedEncrypted);
        let unicast = seal(&ring, envelope, 9, &unhex(GET));
        envelope.broadcast = true;
        let broadcast = seal(&ring, envelope, 9, &unhex(GET));
        let mut window = ReplayWindow::rising(0);
        let required = Protection::AuthenticatedEncrypted;

        assert_eq!(
            ring.unprotect_broadcast(&mut unicast.clone(), &SERVER, required, &mut window)
                .unwrap_err(),
            UnprotectError::KeySet { broadcast: false }
        );
        assert_eq!(
            ring.unprotect_once(&mut broadcast.clone(), &SERVER, required, &mut window)
                .unwrap_err(),
            UnprotectError::KeySet { broadcast: true }
        );
        let mut frame = broadcast.clone();
        let opened = ring
            .unprotect_broadcast(&mut frame, &SERVER, required, &mut window)
            .unwrap();
        assert_eq!(hex(opened.plain(&frame)), GET);
        assert!(opened.header().control.broadcast());
        assert!(matches!(
            ring.unprotect_broadcast(&mut broadcast.clone(), &SERVER, required, &mut window),
            Err(UnprotectError::Replayed(_))
        ));
    }
    let mut envelope = Envelope::new(Wrapping::Ded, Protection::Authenticated);
    envelope.broadcast = true;
    let mut out = vec![1];
    assert_eq!(
        ring.protect(
            envelope,
            &SERVER,
            FreshCounter::dangerous_assume_fresh(1),
            &unhex(GET),
            &mut out
        ),
        Err(ProtectError::BroadcastDedicated)
    );
    assert_eq!(out, [1], "refused, so unchanged");
}

#[test]
fn what_cannot_be_protected_is_refused() {
    let bare = Keys {
        authentication: None,
        ..Keys::new(key(super::EK), key(super::AK))
    };
    let ring = KeyRing::new(&RustCrypto, SecuritySuite::Suite0, &bare).unwrap();
    let protect = |wrapping, protection, broadcast, apdu: &[u8]| {
        let mut out = Vec::new();
        let result = ring.protect(
            Envelope {
                wrapping,
                protection,
                broadcast,
            },
            &SERVER,
            FreshCounter::dangerous_assume_fresh(1),
            apdu,
            &mut out,
        );
        assert_eq!(out.is_empty(), result.is_err());
        result
    };
    let (auth, enc) = (Protection::Authenticated, Protection::Encrypted);
    assert_eq!(protect(Wrapping::Glo, enc, false, &[0xC0, 1]), Ok(()));
    for (wrapping, protection, broadcast, apdu, expected) in [
        (
            Wrapping::Glo,
            auth,
            false,
            &[0xC0, 1][..],
            ProtectError::MissingKey(KeyKind::Authentication),
        ),
        (
            Wrapping::Ded,
            enc,
            false,
            &[0xC0, 1],
            ProtectError::MissingKey(KeyKind::Dedicated),
        ),
        (
            Wrapping::Glo,
            enc,
            true,
            &[0xC0, 1],
            ProtectError::MissingKey(KeyKind::Broadcast),
        ),
        (Wrapping::Glo, enc, false, &[], ProtectError::Empty),
        (
            Wrapping::Glo,
            enc,
            false,
            &[0xD8, 1],
            ProtectError::NoSuchForm { tag: 0xD8 },
        ),
        (
            Wrapping::Glo,
            Protection::None,
            false,
            &[0xC0],
            ProtectError::NoProtection,
        ),
    ] {
        assert_eq!(
            protect(wrapping, protection, broadcast, apdu),
            Err(expected)
        );
    }

    // And without the authentication key nothing verifies, but can be read.
    let mut frame = seal(
        &super::ring(),
        Envelope::new(Wrapping::Glo, Protection::AuthenticatedEncrypted),
        9,
        &unhex(GET),
    );
    assert_eq!(
        ring.unprotect(&mut frame, &SERVER, auth).unwrap_err(),
        UnprotectError::MissingKey(KeyKind::Authentication)
    );
    let opened = ring
        .dangerous_decrypt_unverified(&mut frame, &SERVER)
        .unwrap();
    assert_eq!(hex(opened.dangerous_plain(&frame)), GET);
}

#[test]
fn keys_of_another_length_are_refused() {
    let long = Key::from([1; 32]);
    for suite in [SecuritySuite::Suite0, SecuritySuite::Suite1] {
        let wrong = Keys {
            authentication: Some(long.clone()),
            ..keys()
        };
        assert_eq!(
            KeyRing::new(&RustCrypto, suite, &wrong)
                .unwrap_err()
                .to_string(),
            "the authentication key has 32 octets, the security suite wants 16"
        );
        assert!(ring().set_dedicated(Some(&long)).is_err());
    }
    assert!(KeyRing::new(&RustCrypto, SecuritySuite::Suite2, &keys()).is_err());
    for len in [0, 8, 15, 17, 24, 31, 33] {
        assert!(Key::from_octets(&vec![1; len]).is_err());
    }
}

/// The three length forms, and text around whole blocks.
#[test]
fn any_length_there_and_back() {
    let ring = ring();
    let mut random = Random::new(3);
    for len in (1..=70)
        .chain([100, 109, 110, 111, 127, 128, 237, 238, 239, 255, 256, 2_694])
        .chain([65_517, 65_518, 65_519, 70_000])
    {
        let mut apdu = random_octets(&mut random, len);
        apdu[0] = 0xC4;
        for protection in [
            Protection::Authenticated,
            Protection::AuthenticatedEncrypted,
        ] {
            let mut frame = seal(&ring, Envelope::new(Wrapping::Glo, protection), 9, &apdu);
            let opened = ring.unprotect(&mut frame, &SERVER, protection).unwrap();
            assert_eq!(opened.plain(&frame), apdu);
        }
    }
}

/// An association that was agreed to encrypt only: counters are followed, and
/// nothing that is not ciphered passes.
#[test]
fn encryption_only_follows_counters() {
    let ring = ring();
    let mut window = ReplayWindow::rising(0);
    for (protection, counter, good) in [
        (Protection::Encrypted, 5, true),
        (Protection::Encrypted, 5, false),
        (Protection::Encrypted, 4, false),
        (Protection::Authenticated, 6, false),
        (Protection::AuthenticatedEncrypted, 6, true),
        (Protection::Encrypted, 7, true),
    ] {
        let mut frame = seal(
            &ring,
            Envelope::new(Wrapping::Glo, protection),
            counter,
            &unhex(GET),
        );
        let opened = ring.dangerous_decrypt_once(&mut frame, &SERVER, &mut window);
        assert_eq!(opened.is_ok(), good, "{protection}, {counter}");
    }
    assert_eq!(window.floor(), Some(8));
}

/// Random octets, and frames with random damage: no panic, and nothing that was
/// not sent is verified.
#[test]
fn damage_changes_nothing_that_verifies() {
    let ring = ring();
    let mut random = Random::new(0xBAD);
    for round in 0..20_000 {
        let mut frame = if round % 2 == 0 {
            let len = random.below(60);
            random_octets(&mut random, len)
        } else {
            let wrapping = WRAPPINGS[random.below(4)];
            let protection = PROTECTIONS[random.below(3)];
            let mut frame = seal(&ring, Envelope::new(wrapping, protection), 9, &unhex(GET));
            let before = frame.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(frame.len());
                match random.below(3) {
                    0 => frame[at] ^= 1 << random.below(8),
                    1 => drop(frame.remove(at)),
                    _ => frame.insert(at, u8::try_from(random.below(256)).unwrap()),
                }
            }
            if frame == before {
                continue;
            }
            frame
        };
        let mut other = frame.clone();
        // A length may come in a longer form than it needs; nothing else may differ.
        if let Ok(opened) = ring.unprotect(&mut frame, &SERVER, Protection::None) {
            assert_eq!(hex(opened.plain(&frame)), GET, "round {round}");
            assert_eq!(opened.header().counter, 9, "round {round}");
        }
        let _looked_at = ring.dangerous_decrypt_unverified(&mut other, &SERVER);
    }
}

#[test]
fn the_control_octet_keeps_every_value() {
    for octet in 0..=0xFF {
        let control = SecurityControl::from_octet(octet);
        assert_eq!(control.octet(), octet);
        let mut built = control.suite_id();
        built |= u8::from(control.protection().authenticated()) << 4;
        built |= u8::from(control.protection().encrypted()) << 5;
        built |= u8::from(control.broadcast()) << 6;
        built |= u8::from(control.compressed()) << 7;
        assert_eq!(built, octet);
    }
}
