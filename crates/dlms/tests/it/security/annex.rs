//! The standard's own examples for suite 0 (Green Book; IEC 62056-5-3,
//! informative annexes), as quoted in dlms-cosem (MIT) and jDLMS and
//! recomputed with python-cryptography. Third-party octets.

use dlms::security::{
    Challenge, Envelope, FreshCounter, Header, HlsExchange, Protection, ReplayWindow, Role,
    Wrapping,
};

use super::{CLIENT, GET, SERVER, ring};
use crate::captures::{hex, unhex};

const COUNTER: u32 = 0x0123_4567;

const FORMS: &[(Protection, &str)] = &[
    (
        Protection::Authenticated,
        "c81e1001234567c0010000080000010000ff020006725d910f9221d263877516",
    ),
    (
        Protection::Encrypted,
        "c8122001234567411312ff935a47566827c467bc",
    ),
    (
        Protection::AuthenticatedEncrypted,
        "c81e3001234567411312ff935a47566827c467bc7d825c3be4a77c3fcc056b6b",
    ),
];

#[test]
fn the_example_comes_out_in_each_protection() {
    for &(protection, expected) in FORMS {
        let mut out = vec![0xAA];
        ring()
            .protect(
                Envelope::new(Wrapping::Glo, protection),
                &SERVER,
                FreshCounter::dangerous_assume_fresh(COUNTER),
                &unhex(GET),
                &mut out,
            )
            .unwrap();
        assert_eq!(hex(&out), format!("aa{expected}"), "{protection}");
    }
}

#[test]
fn the_example_opens_in_each_protection() {
    for &(protection, frame) in FORMS {
        let mut octets = unhex(frame);
        let header = Header::decode(&octets).unwrap();
        assert_eq!(header.counter, COUNTER);
        assert_eq!(header.control.protection(), protection);
        if protection.authenticated() {
            let opened = ring().unprotect(&mut octets, &SERVER, protection).unwrap();
            assert_eq!(hex(opened.plain(&octets)), GET);
        } else {
            let opened = ring()
                .dangerous_decrypt_unverified(&mut octets, &SERVER)
                .unwrap();
            assert_eq!(hex(opened.dangerous_plain(&octets)), GET);
        }
    }
}

#[test]
fn the_replies_of_mechanism_5_come_out_and_verify() {
    let exchange = HlsExchange::new(
        CLIENT,
        SERVER,
        Challenge::from_peer(&unhex("4b35366956616759")).unwrap(),
        Challenge::from_peer(&unhex("503677524a323146")).unwrap(),
    )
    .unwrap();
    for (who, counter, expected) in [
        (Role::Client, 1, "10000000011a52fe7dd3e72748973c1e28"),
        (Role::Server, COUNTER, "1001234567fe1466afb3dbcd4f9389e2b7"),
    ] {
        let counter = FreshCounter::dangerous_assume_fresh(counter);
        let reply = exchange.gmac_reply(who, &ring(), counter).unwrap();
        assert_eq!(hex(&reply), expected);
        let mut window = ReplayWindow::rising(0);
        let _proof = exchange
            .gmac_verify(who, &ring(), &mut window, None, &unhex(expected))
            .unwrap();
        assert!(
            exchange
                .gmac_verify(who, &ring(), &mut window, None, &reply)
                .is_err(),
            "a reply verifies once"
        );
    }
}
