//! LLS and HLS 5: what is refused. The octets that must come out are in
//! `annex`, a second implementation in `stranger`.

use dlms::security::{
    Challenge, ChallengeError, FreshCounter, HlsError, HlsExchange, KeyRing, ReplayWindow, Role,
    RustCrypto, SecuritySuite, SystemTitle, UnprotectError, password_matches,
};

use super::{CLIENT, GET, SERVER, keys, random_octets, ring};
use crate::captures::{Random, unhex};

fn challenge(octets: &[u8]) -> Challenge {
    Challenge::from_peer(octets).unwrap()
}

fn exchange() -> HlsExchange {
    HlsExchange::new(
        CLIENT,
        SERVER,
        challenge(b"K56iVagY"),
        challenge(b"P6wRJ21F"),
    )
    .unwrap()
}

fn reply(exchange: &HlsExchange, who: Role, counter: u32) -> [u8; 17] {
    exchange
        .gmac_reply(who, &ring(), FreshCounter::dangerous_assume_fresh(counter))
        .unwrap()
}

fn verify(
    exchange: &HlsExchange,
    who: Role,
    window: &mut ReplayWindow,
    reply: &[u8],
) -> Result<(), HlsError> {
    exchange
        .gmac_verify(who, &ring(), window, None, reply)
        .map(|_proof| ())
}

#[test]
fn every_change_of_a_reply_is_refused_and_moves_nothing() {
    let exchange = exchange();
    let good = reply(&exchange, Role::Client, 5);
    let mut window = ReplayWindow::rising(3);
    let untouched = window.clone();
    for bit in 0..good.len() * 8 {
        let mut bad = good;
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&exchange, Role::Client, &mut window, &bad).is_err());
    }
    for len in 0..good.len() {
        assert!(verify(&exchange, Role::Client, &mut window, &good[..len]).is_err());
    }
    let mut long = good.to_vec();
    long.push(0);
    assert!(verify(&exchange, Role::Client, &mut window, &long).is_err());
    assert_eq!(window, untouched);
    verify(&exchange, Role::Client, &mut window, &good).unwrap();
    assert!(matches!(
        verify(&exchange, Role::Client, &mut window, &good),
        Err(HlsError::Replayed(_))
    ));
}

/// Every other security control octet, also where the tag is right for it.
#[test]
fn only_the_control_octet_of_the_suite_is_taken() {
    let exchange = exchange();
    let good = reply(&exchange, Role::Client, 5);
    for octet in (0..=0xFF).filter(|&octet| octet != 0x10) {
        let mut bad = good;
        bad[0] = octet;
        assert_eq!(
            verify(&exchange, Role::Client, &mut ReplayWindow::rising(0), &bad),
            Err(HlsError::SecurityControl {
                expected: 0x10,
                received: octet
            })
        );
    }
    let suite_1 = KeyRing::new(&RustCrypto, SecuritySuite::Suite1, &keys()).unwrap();
    let of_suite_1 = exchange
        .gmac_reply(
            Role::Client,
            &suite_1,
            FreshCounter::dangerous_assume_fresh(5),
        )
        .unwrap();
    assert_eq!(of_suite_1[0], 0x11);
    assert!(
        verify(
            &exchange,
            Role::Client,
            &mut ReplayWindow::rising(0),
            &of_suite_1
        )
        .is_err()
    );
}

/// What one side answers is not the other side's answer, nor to another
/// challenge.
#[test]
fn replies_do_not_cross() {
    let exchange = exchange();
    for (who, other) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
        let good = reply(&exchange, who, 5);
        assert!(matches!(
            verify(&exchange, other, &mut ReplayWindow::rising(0), &good),
            Err(HlsError::Verify(UnprotectError::TagMismatch))
        ));
    }
    let other = HlsExchange::new(
        CLIENT,
        SERVER,
        challenge(b"K56iVagZ"),
        challenge(b"P6wRJ21G"),
    )
    .unwrap();
    for who in [Role::Client, Role::Server] {
        let good = reply(&other, who, 5);
        assert!(verify(&exchange, who, &mut ReplayWindow::rising(0), &good).is_err());
    }
}

#[test]
fn reflection_is_refused() {
    let (a, b) = (challenge(b"K56iVagY"), challenge(b"P6wRJ21F"));
    let refused = |client, server, ctos: &Challenge, stoc: &Challenge| {
        HlsExchange::new(client, server, ctos.clone(), stoc.clone()).unwrap_err()
    };
    assert_eq!(refused(CLIENT, SERVER, &a, &a), HlsError::Reflected);
    assert_eq!(refused(CLIENT, CLIENT, &a, &b), HlsError::SameTitle);
    // Joined in either order these two are the same octets.
    let twice = challenge(b"K56iVagYK56iVagY");
    assert_eq!(refused(CLIENT, SERVER, &a, &twice), HlsError::Reflected);
    assert_eq!(refused(CLIENT, SERVER, &twice, &a), HlsError::Reflected);
}

#[test]
fn weak_challenges_are_refused() {
    for len in [0, 1, 7, 65, 66, 1_000] {
        assert_eq!(
            Challenge::from_peer(&vec![0x55; len]),
            Err(ChallengeError::Length(len))
        );
    }
    for len in [8, 64] {
        assert_eq!(
            Challenge::from_peer(&vec![0x55; len]),
            Err(ChallengeError::Constant)
        );
        assert_eq!(
            Challenge::from_peer(&vec![0; len]),
            Err(ChallengeError::Constant)
        );
        let counting: Vec<u8> = (0x41..).take(len).collect();
        assert!(Challenge::from_peer(&counting).is_ok());
    }
    assert!(Challenge::from_entropy(&[0; 16]).is_ok(), "one bit differs");
    assert!(Challenge::from_entropy(&[0x80; 16]).is_err());
    assert!(Challenge::from_entropy(&[]).is_err());
}

/// The tag of a reply is that of an APDU with authentication only, so a
/// challenge that is an APDU would be signed for its sender.
#[test]
fn a_challenge_that_is_an_apdu_is_refused() {
    for apdu in [
        GET,
        // remote_disconnect of the Disconnect Control object, as an action-request.
        "c301c100460000600300ff0101 0f00",
        // A value written, with a register.
        "c101c1000301000108 00ff0200 0600000000",
        "c401c10006000003e8",
        "c501c100 00000000",
        "c701c10000 000000",
        "c2000007010000000000ff0200",
        "0f00000001000203040506",
        "d8010600000005 00",
        "d9400000010001010007",
        "01000000065f1f0400007e1f04b0",
        "0800065f1f0400007c1f04000007",
        "06010200280109 04",
        "0c0100060000",
    ] {
        let octets = unhex(apdu);
        if octets.len() >= 8 {
            assert_eq!(
                Challenge::from_peer(&octets),
                Err(ChallengeError::ReadsAsApdu),
                "{apdu}"
            );
        }
    }
}

/// An honest peer's random challenge is refused in fewer than one of a
/// thousand cases, and one of ours never.
#[test]
fn random_challenges_pass() {
    let mut random = Random::new(0x71);
    let mut refused = 0;
    for _ in 0..200_000 {
        let octets = random_octets(&mut random, 16);
        refused += u32::from(Challenge::from_peer(&octets).is_err());
        assert!(Challenge::from_entropy(&octets).is_ok());
    }
    assert!(refused < 200, "{refused}");
    // Challenges of text, as many devices send them, are never APDUs.
    for _ in 0..50_000 {
        let octets: Vec<u8> = random_octets(&mut random, 8)
            .iter()
            .map(|octet| 0x20 + octet % 0x5F)
            .collect();
        assert!(Challenge::from_peer(&octets).is_ok());
    }
}

#[test]
fn passwords() {
    assert!(password_matches(b"12345678", b"12345678").is_some());
    let longest = [b'x'; 64];
    assert!(password_matches(&longest, &longest).is_some());
    for (secret, offered) in [
        (&b"12345678"[..], &b"12345679"[..]),
        (b"12345678", b"1234567"),
        (b"12345678", b"123456780"),
        (b"12345678", b"12345678\0"),
        (b"12345678\0", b"12345678"),
        (b"12345678", b""),
        (b"", b""),
        (b"", b"\0"),
        (&[b'x'; 65], &[b'x'; 65]),
        (&[b'x'; 64], &[b'x'; 65]),
        (&[b'x'; 65], &[b'x'; 64]),
    ] {
        assert!(password_matches(secret, offered).is_none());
    }
}

#[test]
fn titles_show_their_maker() {
    assert_eq!(CLIENT.manufacturer(), Some("MMM"));
    assert_eq!(SystemTitle([1; 8]).manufacturer(), None);
    assert_eq!(SERVER.to_string(), "4d4d4d0000bc614e");
}
