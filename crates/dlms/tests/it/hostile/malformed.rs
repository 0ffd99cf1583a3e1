//! Octets that are no APDU (A9, A10). Evidence: robustness.

use dlms::acse::{Aare, Aarq};
use dlms::client::Input;
use dlms::codec::Wire;
use dlms::security::Wrapping;
use dlms::server::AssociationState;

use super::{Pair, SHORT, config, device, get, is_exception, session, strict, strict_with};
use super::{manager, octets, set};
use crate::pair::{Faults, ways};

/// The inputs that read out of bounds in libiec61850 (#512, #513), bare and
/// inside an AARQ and an AARE, whose tags are the same.
#[test]
fn the_acse_inputs_that_broke_others_are_refused() {
    for inner in [&[0xA7, 0x00][..], &[0xBE, 0x00], &[0xA6, 0x00]] {
        for tag in [None, Some(0x60), Some(0x61), Some(0x62), Some(0x63)] {
            let octets = match tag {
                None => inner.to_vec(),
                Some(tag) => [&[tag, 2], inner].concat(),
            };
            if !matches!(tag, Some(0x62 | 0x63)) {
                assert!(Aarq::from_octets(&octets).is_err());
                assert!(Aare::from_octets(&octets).is_err());
            }
            let mut pair = strict();
            pair.attack(device::MANAGER, &octets);
            assert_eq!(pair.server.state(device::MANAGER), AssociationState::Idle);
            pair.client.handle(Input::Apdu(&octets), pair.now);
        }
    }
}

#[test]
fn garbage_in_an_association_does_nothing_and_ends_nothing() {
    let mut pair = strict();
    pair.associate().unwrap();
    let mut random = 0x1234_5678_9ABC_DEF1_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for round in 0..20_000_u64 {
        let len = usize::try_from(next() % 80).unwrap();
        let mut garbage: Vec<u8> = (0..len).map(|_| next().to_be_bytes()[0]).collect();
        if let Some(first) = garbage.first_mut() {
            // A release in clear is asked for by nobody here.
            *first = u8::try_from(round % 256).unwrap();
            if matches!(*first, 0x60 | 0x62) {
                continue;
            }
        }
        for answer in pair.attack(device::MANAGER, &garbage) {
            assert!(is_exception(&answer), "{garbage:02x?}");
        }
        pair.client.handle(Input::Apdu(&garbage), pair.now);
        while let dlms::client::Output::Event(_) = pair.client.poll() {}
    }
    assert_eq!(pair.device.done(), (0, 0, 0));
    assert!(pair.request(get(&[SHORT])).is_ok());
}

#[test]
fn every_message_of_a_session_may_be_damaged_anywhere() {
    let mut runs = 0;
    for (sap, config) in ways() {
        let dedicated = config.wrapping.is_dedicated();
        for seed in 0..60_u64 {
            let mut pair = Pair::new(config.clone(), sap, Faults::default());
            if dedicated {
                pair.device.dedicated = Some([0x42; 16].into());
            }
            let mut random = (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            pair.tamper = Some(Box::new(move |by_client, mut octets| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let at = usize::try_from(random >> 8).unwrap() % octets.len();
                match random % 40 {
                    0 => octets[at] ^= 0xFF,
                    1 => octets.truncate(at),
                    2 => octets.insert(at, 0x84),
                    3 => octets.extend_from_slice(&[0; 40]),
                    4 => octets
                        .splice(at.., [0x84, 0xFF, 0xFF, 0xFF, 0xFF])
                        .for_each(drop),
                    _ => {}
                }
                vec![(by_client, octets)]
            }));
            runs += 1;
            if pair.associate().is_err() {
                continue;
            }
            for request in session() {
                drop(pair.request(request));
                pair.events.clear();
            }
        }
    }
    assert!(runs > 500);
}

#[test]
fn what_is_in_clear_or_in_the_wrong_wrapper_is_refused_in_a_ciphered_association() {
    let mut pair = strict();
    pair.associate().unwrap();
    for plain in [
        &[0xC0, 1, 0xC1, 0, 1, 0, 0, 96, 1, 0, 255, 2, 0][..],
        &[0xC1, 1, 0xC1, 0, 1, 0, 0, 96, 13, 0, 255, 2, 0, 0],
        &[0xC3, 1, 0xC1, 0, 9, 0, 0, 10, 0, 0, 255, 1, 0],
        &[0xC3, 1, 0x81, 0, 9, 0, 0, 10, 0, 0, 255, 1, 0],
        &[0x10, 0x40, 0, 0, 1, 0],
        &[0x01, 0, 0, 0, 6, 0x5F, 0x1F, 4, 0, 0, 0, 0, 4, 0],
        &[0xDD, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0],
        &[0xE0, 0x80, 0, 1, 0, 0, 1, 0xC0],
    ] {
        assert!(is_exception(&pair.attack(device::MANAGER, plain)[0]));
    }
    assert_eq!(pair.device.done(), (0, 0, 0));

    // The wrapper's tag says GET, and inside is a SET: the tag is not covered
    // by the authentication tag, so it is compared.
    pair.input(Input::Request(set(&[(super::WRITABLE, octets(3))])));
    let (_, mut frame) = pair.sent.last().unwrap().clone();
    assert_eq!(frame[0], 0xC9);
    frame[0] = 0xC8;
    assert!(is_exception(&pair.attack(device::MANAGER, &frame)[0]));
    assert_eq!(pair.device.sets, 0);
}

#[test]
fn oversized_input_is_refused_and_the_association_goes_on() {
    for wrapping in [Wrapping::Glo, Wrapping::GeneralGlo] {
        let mut pair = strict_with(manager(wrapping));
        pair.associate().unwrap();
        for tag in 0..=u8::MAX {
            if tag == 0x62 {
                continue;
            }
            let mut huge = vec![0xAA; 300_000];
            huge[..6].copy_from_slice(&[tag, 0x83, 0x04, 0x93, 0xDC, 0x30]);
            for answer in pair.attack(device::MANAGER, &huge) {
                assert!(answer.len() < 64);
            }
        }
        assert!(pair.request(get(&[SHORT])).is_ok());
    }
}

#[test]
fn lists_longer_than_their_octets_are_refused() {
    let mut pair = Pair::new(
        config(
            device::PUBLIC,
            dlms::security::Protection::None,
            Wrapping::Glo,
        ),
        device::PUBLIC,
        Faults::default(),
    );
    pair.associate().unwrap();
    for head in [
        &[0xC0, 3, 0xC1][..],
        &[0xC1, 4, 0xC1],
        &[0xC3, 3, 0xC1],
        &[0xC1, 5, 0xC1],
    ] {
        for length in [
            &[0x84, 0xFF, 0xFF, 0xFF, 0xFF][..],
            &[0x82, 0xFF, 0xFF],
            &[0x7F],
            &[0x80],
        ] {
            let octets = [head, length, &[0, 1, 0, 0]].concat();
            assert!(is_exception(&pair.attack(device::PUBLIC, &octets)[0]));
        }
    }
}
