//! Key wrap and key transfer. Third-party evidence: RFC 3394 section 4,
//! Wycheproof, AWS-LC on seeded random keys; the form of `key_transfer` is of
//! IEC 62056-6-2 and beyond that self-agreement.

use aws_lc_rs::key_wrap::{AES_128, AES_256, AesKek, KeyWrap as _};
use dlms::codec::{Malformed, Wire as _};
use dlms::security::{
    Crypto as _, Key, KeyError, KeyKind, KeyTransfer, KeyTransferError, KeyTransfers, Keys,
    RustCrypto, SecuritySuite, UnwrapError, weak_key,
};
use wycheproof::TestResult;
use wycheproof::keywrap::{TestName, TestSet};

use super::{key, random_octets};
use crate::captures::{Random, hex, unhex};

const MASTER: &str = "a0b1c2d3e4f5061728394a5b6c7d8e90";
const NEW: &str = "7f3a9c01d45e6b82f0917c2d3e4a5b66";

#[test]
fn rfc_3394() {
    for (master, plain, wrapped) in [
        // 4.1, 4.3, 4.6
        (
            "000102030405060708090a0b0c0d0e0f",
            "00112233445566778899aabbccddeeff",
            "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5",
        ),
        (
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "00112233445566778899aabbccddeeff",
            "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7",
        ),
        (
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f",
            "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21",
        ),
    ] {
        assert_eq!(hex(&RustCrypto.wrap(&key(master), &key(plain))), wrapped);
        let unwrapped = RustCrypto.unwrap(&key(master), &unhex(wrapped)).unwrap();
        assert_eq!(hex(unwrapped.dangerous_octets()), plain);
    }
}

#[test]
fn wycheproof_key_wrap() {
    let (mut valid, mut refused) = (0, 0);
    for group in TestSet::load(TestName::AesKeyWrap).unwrap().test_groups {
        if group.key_size == 192 {
            continue;
        }
        for test in group.tests {
            let master = Key::from_octets(&test.key).unwrap();
            let unwrapped = RustCrypto.unwrap(&master, &test.ct);
            // Only keys of the suites' lengths are ours.
            let ours = matches!(test.pt.len(), 16 | 32);
            if ours && test.result == TestResult::Valid {
                assert_eq!(unwrapped.unwrap().dangerous_octets(), &*test.pt);
                let plain = Key::from_octets(&test.pt).unwrap();
                assert_eq!(RustCrypto.wrap(&master, &plain), *test.ct);
                valid += 1;
            } else {
                assert!(unwrapped.is_err(), "case {}", test.tc_id);
                refused += 1;
            }
        }
    }
    assert_eq!((valid, refused), (15, 95));
}

#[test]
fn the_same_as_aws_lc() {
    let mut random = Random::new(0x3394);
    for round in 0..400 {
        let master_len = if round % 2 == 0 { 16 } else { 32 };
        let plain_len = if round % 4 < 2 { 16 } else { 32 };
        let master = random_octets(&mut random, master_len);
        let plain = random_octets(&mut random, plain_len);
        let algorithm = if master_len == 16 { &AES_128 } else { &AES_256 };
        let mut room = [0; 48];
        let theirs = AesKek::new(algorithm, &master)
            .unwrap()
            .wrap(&plain, &mut room)
            .unwrap();
        let ours = RustCrypto.wrap(
            &Key::from_octets(&master).unwrap(),
            &Key::from_octets(&plain).unwrap(),
        );
        assert_eq!(ours, theirs);
    }
}

#[test]
fn every_flipped_bit_of_a_wrapped_key_is_noticed() {
    let master = key(MASTER);
    let good = RustCrypto.wrap(&master, &key(NEW));
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            RustCrypto.unwrap(&master, &bad),
            Err(UnwrapError::Integrity)
        );
    }
    assert_eq!(
        RustCrypto.unwrap(&key(NEW), &good),
        Err(UnwrapError::Integrity)
    );
    for len in (0..100).filter(|len| ![24, 40].contains(len)) {
        assert_eq!(
            RustCrypto.unwrap(&master, &vec![0; len]),
            Err(UnwrapError::Length(len))
        );
    }
}

fn transfer(kind: KeyKind, new: &str) -> Result<KeyTransfer, KeyTransferError> {
    KeyTransfer::wrap(
        &RustCrypto,
        SecuritySuite::Suite0,
        &key(MASTER),
        kind,
        &key(new),
    )
}

#[test]
fn keys_travel_in_the_form_of_the_class() {
    let transfers = KeyTransfers::new(vec![
        transfer(KeyKind::Encryption, NEW).unwrap(),
        transfer(KeyKind::Master, "11223344f5566778899aabbccddeeff7").unwrap(),
    ])
    .unwrap();
    let octets = transfers.to_octets();
    assert_eq!(
        hex(&octets[..8]),
        "0102020216000918",
        "array of 2, structure of 2, enum 0, octet-string of 24"
    );
    assert_eq!(octets.len(), 2 + 2 * (2 + 2 + 2 + 24));
    let decoded = KeyTransfers::from_octets(&octets).unwrap();
    assert_eq!(decoded, transfers);
    let received: Vec<(KeyKind, Key)> = decoded
        .iter()
        .map(|transfer| {
            let key = transfer
                .unwrap(&RustCrypto, SecuritySuite::Suite0, &key(MASTER))
                .unwrap();
            (transfer.kind(), key)
        })
        .collect();
    assert_eq!(
        received,
        [
            (KeyKind::Encryption, key(NEW)),
            (KeyKind::Master, key("11223344f5566778899aabbccddeeff7"))
        ]
    );
    for len in 0..octets.len() {
        assert_eq!(
            KeyTransfers::from_octets(&octets[..len])
                .unwrap_err()
                .reason,
            Malformed::Truncated
        );
    }
}

#[test]
fn transfers_that_are_refused() {
    for (octets, reason) in [
        ("0900", "byte 0: unexpected tag 0x09 in key_transfer_data"),
        ("0105", "byte 1: over the limit in key_transfer_data"),
        (
            "0184ffffffff",
            "byte 1: over the limit in key_transfer_data",
        ),
        (
            "01010203",
            "byte 3: unexpected tag 0x03 in key_transfer_data element",
        ),
        ("01010202160409 00", "byte 5: bad value in key_id"),
        ("0101020211000900", "byte 4: unexpected tag 0x11 in key_id"),
        (
            "0102 0202160009 00 0202160009 00",
            "byte 1: bad value in key_id",
        ),
    ] {
        assert_eq!(
            KeyTransfers::from_octets(&unhex(octets))
                .unwrap_err()
                .to_string(),
            reason
        );
    }
    assert_eq!(
        transfer(KeyKind::Dedicated, NEW),
        Err(KeyTransferError::NotTransferred(KeyKind::Dedicated))
    );
    assert!(matches!(
        transfer(KeyKind::Encryption, super::EK),
        Err(KeyTransferError::Key(KeyError::Weak { .. }))
    ));
    assert!(matches!(
        KeyTransfer::wrap(
            &RustCrypto,
            SecuritySuite::Suite2,
            &key(MASTER),
            KeyKind::Encryption,
            &key(NEW)
        ),
        Err(KeyTransferError::Key(KeyError::Length { .. }))
    ));
    // A weak key that some other head end wrapped.
    let weak = RustCrypto.wrap(&key(MASTER), &key(super::AK));
    let mut octets = unhex("0101020216000918");
    octets.extend_from_slice(&weak);
    let transfers = KeyTransfers::from_octets(&octets).unwrap();
    assert!(transfers.iter().all(|transfer| {
        transfer
            .unwrap(&RustCrypto, SecuritySuite::Suite0, &key(MASTER))
            .is_err()
    }));
}

#[test]
fn known_keys_are_named() {
    for hex in [
        super::EK,
        super::AK,
        "00000000000000000000000000000000",
        "30303030303030303030303030303030",
        "31313131313131313131313131313131",
        "ffffffffffffffffffffffffffffffff",
        "0f0e0d0c0b0a09080706050403020100",
        "00112233445566778899aabbccddeeff",
        "30313233343536373839303132333435",
        "056f9b0cfedf150e889bead52fa7a174",
        "2b7e151628aed2a6abf7158809cf4f3c",
        "aabbaabbaabbaabbaabbaabbaabbaabb",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "d0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeef",
        // Two equal halves.
        "7f3a9c01d45e6b82f0917c2d3e4a5b667f3a9c01d45e6b82f0917c2d3e4a5b66",
    ] {
        assert!(weak_key(&unhex(hex)).is_some(), "{hex}");
    }
    let mut weak = 0;
    for first in 0..=0xFF_u8 {
        let up: Vec<u8> = (0..16).map(|step| first.wrapping_add(step)).collect();
        weak += usize::from(weak_key(&up).is_some());
        weak += usize::from(weak_key(&[first; 16]).is_some());
    }
    assert_eq!(weak, 512);
    let mut random = Random::new(1);
    for len in [16, 32] {
        for _ in 0..20_000 {
            assert_eq!(weak_key(&random_octets(&mut random, len)), None);
        }
    }
    assert_eq!(weak_key(&unhex(NEW)), None);
    assert_eq!(weak_key(&[]), None);
}

#[test]
fn a_set_of_keys_is_judged() {
    let good = Keys::new(key(MASTER), key(NEW));
    assert_eq!(good.check_strength(), Ok(()));
    assert_eq!(
        Keys::new(key(NEW), key(NEW))
            .check_strength()
            .unwrap_err()
            .to_string(),
        "the authentication key is the same as the global unicast encryption key"
    );
    assert_eq!(
        Keys::new(key(NEW), key(super::AK))
            .check_strength()
            .unwrap_err()
            .to_string(),
        "the authentication key is known to everybody: counting from D0: example of IEC \
         62056-5-3 and default of many tools"
    );
}
