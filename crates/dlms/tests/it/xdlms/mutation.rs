//! Robustness: octets that are nearly right, from a seed. No decoder panics,
//! none makes more of its input than there is in it, and what decodes can be
//! encoded and decodes again to the same.

use dlms::acse::{Aare, Aarq, MAX_DEVIATIONS, Rlre, Rlrq};
use dlms::codec::Wire;
use dlms::xdlms::{AccessRequest, ActionRequest, Apdu, GetRequest, GetResponse, SetRequest};

use super::random::{Generator, KINDS};
use crate::captures::{Random, hex};

/// Turns, drops, doubles, inserts and cuts octets.
fn mutate(octets: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        if octets.is_empty() {
            return;
        }
        let at = random.below(octets.len());
        match random.below(7) {
            0 => octets[at] = 0xFF,
            1 => octets[at] ^= 1 << random.below(8),
            2 => {
                octets.remove(at);
            }
            3 => octets.insert(at, 0x82),
            4 => octets.truncate(at),
            5 => {
                let end = octets.len().min(at + random.below(20));
                let copy = octets[at..end].to_vec();
                octets.extend_from_slice(&copy);
            }
            _ => octets[at] = octets[at].wrapping_add(1),
        }
    }
}

/// How many items the lists of an APDU hold.
fn items(apdu: &Apdu<'_>) -> usize {
    match apdu {
        Apdu::GetRequest(GetRequest::WithList { attributes, .. }) => attributes.len(),
        Apdu::GetResponse(GetResponse::WithList { results, .. }) => results.len(),
        Apdu::SetRequest(SetRequest::WithList {
            attributes, values, ..
        }) => attributes.len() + values.len(),
        Apdu::ActionRequest(ActionRequest::WithList {
            methods,
            parameters,
            ..
        }) => methods.len() + parameters.len(),
        Apdu::AccessRequest(AccessRequest {
            specifications,
            data,
            ..
        }) => specifications.len() + data.len(),
        _ => 0,
    }
}

#[test]
fn nearly_right_apdus_are_refused_or_decode_and_encode_again() {
    let (mut decoded, mut refused) = (0, 0);
    for seed in 0..400 {
        let mut generator = Generator(Random::new(seed));
        let mut random = Random::new(seed ^ 0x5EED);
        for kind in 0..KINDS {
            let mut octets = generator.apdu(kind).to_octets();
            mutate(&mut octets, &mut random);
            match Apdu::from_octets(&octets) {
                Ok(apdu) => {
                    assert!(items(&apdu) <= octets.len());
                    let again = apdu.to_octets();
                    assert_eq!(
                        Apdu::from_octets(&again).as_ref(),
                        Ok(&apdu),
                        "seed {seed}, kind {kind}: {}",
                        hex(&octets)
                    );
                    assert!(!format!("{apdu:?}").is_empty());
                    decoded += 1;
                }
                Err(error) => {
                    assert!(error.offset <= octets.len(), "{error}: {}", hex(&octets));
                    refused += 1;
                }
            }
        }
    }
    assert!(decoded > 2_000 && refused > 2_000, "{decoded} {refused}");
}

#[test]
fn lenient_readings_agree_with_strict_ones_and_are_bounded() {
    fn agree<T: PartialEq + core::fmt::Debug>(
        strict: Result<T, dlms::codec::DecodeError>,
        lenient: Result<dlms::acse::Lenient<T>, dlms::codec::DecodeError>,
        octets: &[u8],
    ) -> usize {
        match (strict, lenient) {
            (Ok(strict), Ok(lenient)) => {
                assert_eq!(strict, lenient.value, "{}", hex(octets));
                assert_eq!(lenient.deviations, [], "{}", hex(octets));
                0
            }
            (Ok(strict), Err(error)) => panic!("{strict:?}: {error}"),
            (Err(_), Ok(lenient)) => {
                assert!((1..=MAX_DEVIATIONS).contains(&lenient.deviations.len()));
                for told in lenient.deviations {
                    assert!(told.offset <= octets.len());
                }
                1
            }
            (Err(_), Err(_)) => 0,
        }
    }
    let mut saved = 0;
    for seed in 0..2_000 {
        let mut generator = Generator(Random::new(seed));
        let mut random = Random::new(seed ^ 0x5EED);
        for kind in 0..4 {
            let mut octets = generator.apdu(kind).to_octets();
            mutate(&mut octets, &mut random);
            saved += match kind {
                0 => agree(
                    Aarq::from_octets(&octets),
                    Aarq::decode_lenient(&octets),
                    &octets,
                ),
                1 => agree(
                    Aare::from_octets(&octets),
                    Aare::decode_lenient(&octets),
                    &octets,
                ),
                2 => agree(
                    Rlrq::from_octets(&octets),
                    Rlrq::decode_lenient(&octets),
                    &octets,
                ),
                _ => agree(
                    Rlre::from_octets(&octets),
                    Rlre::decode_lenient(&octets),
                    &octets,
                ),
            };
        }
    }
    assert!(saved > 100, "{saved}");
}

#[test]
fn noise_is_refused_or_decodes_and_encodes_again() {
    let mut random = Random::new(7);
    for _ in 0..40_000 {
        let mut octets: Vec<u8> = (0..random.below(40))
            .map(|_| random.next().to_be_bytes()[0])
            .collect();
        // Small octets are tags, choices and lengths that go further.
        if random.below(2) == 0 {
            for octet in octets.iter_mut().skip(1) {
                *octet &= 0x07;
            }
        }
        if let Ok(apdu) = Apdu::from_octets(&octets) {
            let again = apdu.to_octets();
            assert_eq!(Apdu::from_octets(&again).as_ref(), Ok(&apdu));
        }
    }
}
