//! AES-GCM with 96-bit tags. Third-party evidence: the 750 NIST CAVP cases of
//! these lengths, Wycheproof (tags cut to 96 bits where a case allows it), and
//! AWS-LC as a second implementation on seeded random inputs.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use dlms::security::{Crypto as _, Iv, Key, RustCrypto, Tag};
use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use super::random_octets;
use crate::captures::{Random, unhex};

const CAVP: &str = include_str!("../../vectors/gcm-cavp-iv96-tag96.txt");

#[test]
fn nist_cases() {
    let mut counts = [[0; 2]; 2];
    for line in CAVP.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let [name, key, iv, aad, ct, tag, expected] = fields[..] else {
            panic!("{line}");
        };
        // `-` has no hexadecimal digit: it reads as empty.
        let key = Key::from_octets(&unhex(key)).unwrap();
        let gcm = RustCrypto.gcm(&key);
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
    let (mut valid, mut refused, mut elsewhere) = (0, 0, 0);
    for group in TestSet::load(TestName::AesGcm).unwrap().test_groups {
        if group.nonce_size != 96 || group.key_size == 192 || group.tag_size != 128 {
            continue;
        }
        for test in group.tests {
            let gcm = RustCrypto.gcm(&Key::from_octets(&test.key).unwrap());
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
fn the_same_as_aws_lc() {
    let mut random = Random::new(0x0DD5);
    for round in 0..4_000 {
        let key_len = if round % 2 == 0 { 16 } else { 32 };
        let key = random_octets(&mut random, key_len);
        let iv: Iv = random_octets(&mut random, 12).try_into().unwrap();
        let aad_len = random.below(80);
        let aad = random_octets(&mut random, aad_len);
        let text_len = if round % 16 == 0 {
            random.below(5_000)
        } else {
            random.below(300)
        };
        let plain = random_octets(&mut random, text_len);

        let algorithm = if key_len == 16 {
            &AES_128_GCM
        } else {
            &AES_256_GCM
        };
        let other = LessSafeKey::new(UnboundKey::new(algorithm, &key).unwrap());
        let mut theirs = plain.clone();
        let their_tag = other
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(iv),
                Aad::from(&aad),
                &mut theirs,
            )
            .unwrap();

        let gcm = RustCrypto.gcm(&Key::from_octets(&key).unwrap());
        let mut ours = plain.clone();
        let tag = gcm.seal(&iv, &aad, &mut ours).unwrap();
        assert_eq!(ours, theirs, "round {round}");
        assert_eq!(tag, their_tag.as_ref()[..12], "round {round}");

        let mut stream = plain.clone();
        gcm.counter_mode(&iv, &mut stream).unwrap();
        assert_eq!(stream, theirs, "round {round}");

        gcm.open(&iv, &aad, &mut ours, &tag).unwrap();
        assert_eq!(ours, plain, "round {round}");

        let mut bad = tag;
        bad[random.below(12)] ^= 1 << random.below(8);
        assert!(gcm.open(&iv, &aad, &mut theirs, &bad).is_err());
    }
}
