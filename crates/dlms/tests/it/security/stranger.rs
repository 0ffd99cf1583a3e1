//! dlms-cosem-rs 0.1.0 as a stranger: what it protects we open, what we
//! protect it opens, and the octets are the same. A second implementation of
//! the rules of DLMS (its AES-GCM is an older release of the one used here:
//! for that see `gcm`).

use dlms::security::{
    Challenge, Envelope, FreshCounter, Header, HlsExchange, Key, KeyRing, Keys, Protection,
    ReplayWindow, Role, RustCrypto, SecuritySuite, SystemTitle, Wrapping,
};
use dlms_cosem_rs::security as theirs;

use super::{PROTECTIONS, random_octets};
use crate::captures::Random;

#[test]
fn ciphered_apdus_both_ways() {
    let mut random = Random::new(0x57);
    for round in 0..600 {
        let suite = [
            SecuritySuite::Suite0,
            SecuritySuite::Suite1,
            SecuritySuite::Suite2,
        ][round % 3];
        let protection = PROTECTIONS[round / 3 % 3];
        let dedicated = round % 2 == 1;
        let mut octets = || random_octets(&mut random, suite.key_len());
        let (ek, ak, dk) = (octets(), octets(), octets());
        let title: [u8; 8] = random_octets(&mut random, 8).try_into().unwrap();
        let counter = u32::try_from(random.next() >> 32).unwrap();
        let len = 1 + random.below(600);
        let mut apdu = random_octets(&mut random, len);
        apdu[0] = 0xC4;

        let mut their_keys = theirs::KeyRing::default();
        let their_key = |octets: &[u8]| theirs::Key::from_slice(octets).unwrap();
        their_keys.guek = Some(their_key(&ek));
        their_keys.gak = Some(their_key(&ak));
        their_keys.dedicated = Some(their_key(&dk));
        let policy = theirs::SecurityPolicy {
            suite: theirs::SecuritySuite::from_id(suite.id()).unwrap(),
            authenticated: protection.authenticated(),
            encrypted: protection.encrypted(),
            ..theirs::SecurityPolicy::NONE
        }
        .with_dedicated(dedicated);
        let protector = theirs::Protector::new(theirs::RustCryptoProvider::new(their_keys), policy);
        let their_title = theirs::SystemTitle(title);
        let mut room = vec![0; apdu.len() + 16];
        let payload = protector
            .protect(&their_title, counter, &ak, &apdu, &mut room)
            .unwrap()
            .to_vec();

        let key = |octets: &[u8]| Key::from_octets(octets).unwrap();
        let mut keys = Keys::new(key(&ek), key(&ak));
        keys.dedicated = Some(key(&dk));
        let ring = KeyRing::new(&RustCrypto, suite, &keys).unwrap();
        let wrapping = if dedicated {
            Wrapping::Ded
        } else {
            Wrapping::Glo
        };
        let title = SystemTitle(title);
        let mut frame = Vec::new();
        ring.protect(
            Envelope::new(wrapping, protection),
            &title,
            FreshCounter::dangerous_assume_fresh(counter),
            &apdu,
            &mut frame,
        )
        .unwrap();
        assert!(frame.ends_with(&payload), "round {round}");

        let header = Header::decode(&frame).unwrap();
        let head = frame.len() - payload.len();
        let mut text = frame[head..].to_vec();
        let opened = protector
            .unprotect(
                dlms_cosem_rs::xdlms::SecurityControl(header.control.octet()),
                &their_title,
                header.counter,
                &ak,
                &mut text,
            )
            .unwrap();
        assert_eq!(opened, apdu, "round {round}");

        let mut theirs_in_ours = frame[..head].to_vec();
        theirs_in_ours.extend_from_slice(&payload);
        if protection == Protection::Encrypted {
            let opened = ring
                .dangerous_decrypt_unverified(&mut theirs_in_ours, &title)
                .unwrap();
            assert_eq!(opened.dangerous_plain(&theirs_in_ours), apdu);
        } else {
            let opened = ring
                .unprotect(&mut theirs_in_ours, &title, protection)
                .unwrap();
            assert_eq!(opened.plain(&theirs_in_ours), apdu);
        }
    }
}

#[test]
fn replies_of_mechanism_5_both_ways() {
    let mut random = Random::new(0x58);
    for _ in 0..200 {
        let ek: [u8; 16] = random_octets(&mut random, 16).try_into().unwrap();
        let ak: [u8; 16] = random_octets(&mut random, 16).try_into().unwrap();
        let titles: [SystemTitle; 2] =
            [(); 2].map(|()| SystemTitle(random_octets(&mut random, 8).try_into().unwrap()));
        let mut challenge = || {
            let len = 8 + random.below(57);
            Challenge::from_entropy(&random_octets(&mut random, len)).unwrap()
        };
        let (ctos, stoc) = (challenge(), challenge());
        let exchange = HlsExchange::new(titles[0], titles[1], ctos, stoc.clone()).unwrap();
        let ring = KeyRing::new(
            &RustCrypto,
            SecuritySuite::Suite0,
            &Keys::new(ek.into(), ak.into()),
        )
        .unwrap();
        let protector = theirs::Protector::new(
            theirs::RustCryptoProvider::new(theirs::KeyRing::new(ek, ak)),
            theirs::SecurityPolicy::authenticated_encrypted(theirs::SecuritySuite::Suite0),
        );
        let title = theirs::SystemTitle(titles[0].0);

        let mut reply = [0; 17];
        protector
            .hls_gmac_response(&title, 77, &ak, stoc.octets(), &mut reply)
            .unwrap();
        let mut window = ReplayWindow::rising(0);
        let _proof = exchange
            .gmac_verify(Role::Client, &ring, &mut window, None, &reply)
            .unwrap();

        let counter = FreshCounter::dangerous_assume_fresh(78);
        let reply = exchange.gmac_reply(Role::Client, &ring, counter).unwrap();
        protector
            .verify_hls_gmac(&title, &ak, stoc.octets(), &reply)
            .unwrap();
    }
}
