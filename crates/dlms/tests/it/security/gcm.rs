//! AES-GCM with 96-bit tags. Third-party evidence: the 750 NIST CAVP cases of
//! these lengths, Wycheproof (tags cut to 96 bits where a case allows it), and
//! two implementations against each other on seeded random inputs. Each holds
//! for both providers.

use dlms::security::{AwsLc, Crypto, Iv, Key, RustCrypto, Tag};
use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use super::{PROVIDERS, random_octets};
use crate::captures::{Random, unhex};

const CAVP: &str = include_str!("../../vectors/gcm-cavp-iv96-tag96.txt");

#[test]
fn nist_cases() {
    PROVIDERS.into_iter().for_each(nist_cases_with);
}

fn nist_cases_with(crypto: &dyn Crypto) {
    let mut counts = [[0; 2]; 2];
    for line in CAVP.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let [name, key, iv, aad, ct, tag, expected] = fields[..] else {
            panic!("{line}");
        };
        // `-` has no hexadecimal digit: it reads as empty.
        let key = Key::from_octets(&unhex(key)).unwrap();
        let gcm = crypto.gcm(&key);
        let iv: Iv = unhex(iv).try_into().unwrap();
        let tag: Tag = unhex(tag).try_into().unwrap();
        let (aad, ct) = (unhex(aad), unhex(ct));
        let mut text = ct.clone();
        let opened = gcm.open(&iv, &aad, &mut text, &tag);
        let valid = expected != "invalid";
        assert_eq!(opened.is_ok(), valid, "{name}");
        if valid {
            assert_eq!(text, unhex(expected), "{name}");
            let sealed = gcm.seal(&iv, &aad, &mut text).unwrap();
            assert_eq!((text, sealed), (ct, tag), "{name}");
        } else {
            assert_eq!(text, ct, "{name}: refused, so unchanged");
        }
        counts[usize::from(key.len() == 32)][usize::from(valid)] += 1;
    }
    assert_eq!(counts, [[186, 189], [195, 180]]);
}

#[test]
fn wycheproof_with_tags_cut_to_96_bits() {
    PROVIDERS.into_iter().for_each(wycheproof_with);
}

fn wycheproof_with(crypto: &dyn Crypto) {
    let (mut valid, mut refused, mut elsewhere) = (0, 0, 0);
    for group in TestSet::load(TestName::AesGcm).unwrap().test_groups {
        if group.nonce_size != 96 || group.key_size == 192 || group.tag_size != 128 {
            continue;
        }
        for test in group.tests {
            let gcm = crypto.gcm(&Key::from_octets(&test.key).unwrap());
            let iv: Iv = test.nonce.as_ref().try_into().unwrap();
            let tag: Tag = test.tag[..12].try_into().unwrap();
            let mut text = test.ct.to_vec();
            let opened = gcm.open(&iv, &test.aad, &mut text, &tag);
            if test.result == TestResult::Valid {
                opened.unwrap();
                assert_eq!(text, *test.pt, "case {}", test.tc_id);
                assert_eq!(gcm.seal(&iv, &test.aad, &mut text), Ok(tag));
                assert_eq!(text, *test.ct, "case {}", test.tc_id);
                valid += 1;
                continue;
            }
            // A bad case whose fault lies in the octets that are cut off is a
            // good one here.
            let mut again = test.pt.to_vec();
            let right = gcm.seal(&iv, &test.aad, &mut again).unwrap();
            if right == tag && again == *test.ct {
                opened.unwrap();
                elsewhere += 1;
            } else {
                opened.unwrap_err();
                refused += 1;
            }
        }
    }
    assert_eq!((valid, refused, elsewhere), (79, 40, 14));
}

#[test]
fn both_providers_do_the_same() {
    let mut random = Random::new(0x0DD5);
    for round in 0..4_000 {
        let key_len = if round % 2 == 0 { 16 } else { 32 };
        let key = Key::from_octets(&random_octets(&mut random, key_len)).unwrap();
        let iv: Iv = random_octets(&mut random, 12).try_into().unwrap();
        let [aad_len, text_len] = [80, 300].map(|usual| match random.below(16) {
            0 => 0,
            1 => random.below(5_000),
            _ => random.below(usual),
        });
        let aad = random_octets(&mut random, aad_len);
        let plain = random_octets(&mut random, text_len);

        let (first, second) = (RustCrypto.gcm(&key), AwsLc.gcm(&key));
        let (mut sealed, mut theirs) = (plain.clone(), plain.clone());
        let tag = first.seal(&iv, &aad, &mut sealed).unwrap();
        assert_eq!(
            second.seal(&iv, &aad, &mut theirs),
            Ok(tag),
            "round {round}"
        );
        assert_eq!(sealed, theirs, "round {round}");

        for gcm in [first, second] {
            let mut stream = plain.clone();
            gcm.counter_mode(&iv, &mut stream).unwrap();
            assert_eq!(stream, sealed, "round {round}");

            let mut text = sealed.clone();
            gcm.open(&iv, &aad, &mut text, &tag).unwrap();
            assert_eq!(text, plain, "round {round}");

            // What is refused stays as it is.
            let refused = |iv: &Iv, aad: &[u8], text: &[u8], tag: &Tag| {
                let mut same = text.to_vec();
                assert!(gcm.open(iv, aad, &mut same, tag).is_err(), "round {round}");
                assert_eq!(same, text, "round {round}");
            };
            let mut flip = |octets: &mut [u8]| {
                let at = random.below(octets.len());
                octets[at] ^= 1 << random.below(8);
            };
            let (mut tag, mut iv) = (tag, iv);
            flip(&mut tag);
            refused(&iv, &aad, &sealed, &tag);
            flip(&mut iv);
            refused(&iv, &aad, &sealed, &tag);
            for part in [&aad, &sealed] {
                if !part.is_empty() {
                    let mut bad = part.clone();
                    flip(&mut bad);
                    let (aad, text) = if core::ptr::eq(part, &aad) {
                        (&bad, &sealed)
                    } else {
                        (&aad, &bad)
                    };
                    refused(&iv, aad, text, &tag);
                }
            }
        }
    }
}
