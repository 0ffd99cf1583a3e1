//! Guessing passwords (A8). Evidence: robustness.

use dlms::acse::{
    Aare, Aarq, ApplicationContextName, AssociationResult, AuthenticationValue, MechanismName,
};
use dlms::codec::Wire;
use dlms::security::{Protection, Wrapping};
use dlms::server::{Notice, Server, Settings};
use dlms::xdlms::InitiateRequest;
use dlms::{Duration, Instant};

use super::{Pair, config, device, is_rejection};
use crate::pair::Faults;

fn guess(password: &[u8]) -> Vec<u8> {
    let initiate =
        InitiateRequest::new(dlms::client::Config::default().conformance, 500).to_octets();
    let mut aarq = Aarq::new(ApplicationContextName::LogicalName).with_authentication(
        MechanismName::Low,
        AuthenticationValue::Charstring(password),
    );
    aarq.user_information = Some(&initiate);
    aarq.to_octets()
}

fn reader() -> Pair {
    Pair::new(
        config(device::READER, Protection::None, Wrapping::Glo),
        device::READER,
        Faults::default(),
    )
}

#[test]
fn ten_thousand_guesses_reach_the_password_a_few_times() {
    let mut pair = reader();
    for guessed in 0..10_000_u32 {
        pair.now = pair.now + Duration::from_millis(100);
        // A new connection for each, as guessers do.
        pair.server = Server::new(Settings::default());
        let answers = pair.attack(device::READER, &guess(&guessed.to_be_bytes()));
        assert!(is_rejection(&answers[0]));
    }
    let count = |notice| {
        pair.device
            .notices
            .iter()
            .filter(|it| **it == notice)
            .count()
    };
    let compared = count(Notice::AuthenticationFailed);
    assert!((3..=20).contains(&compared), "{compared} of 10,000");
    assert_eq!(count(Notice::LockedOut), 1);
    println!("{compared} of 10,000 guesses reached the password");

    // Others are served at once, and the honest reader after the wait.
    let mut manager = super::strict();
    manager.device.back_off = pair.device.back_off.clone();
    manager.now = pair.now;
    manager.associate().unwrap();
    assert!(pair.associate().is_err());
    pair.now = pair.now + Duration::from_secs(300);
    pair.events.clear();
    pair.associate().unwrap();
}

#[test]
fn the_answer_names_the_mechanism_and_shows_nothing_of_the_password() {
    // As captured from meters in the field, but for the password that some of
    // them send back: 88 02 07 80 89 07 60 85 74 05 08 02 01.
    let answers = reader().attack(device::READER, &guess(device::PASSWORD));
    let aare = Aare::from_octets(&answers[0]).unwrap();
    assert_eq!(aare.result, AssociationResult::Accepted);
    assert_eq!(aare.mechanism_name, Some(MechanismName::Low));
    assert!(aare.responder_acse_requirements.is_some());
    assert_eq!(aare.responding_authentication_value, None);
    // A refusal names nothing.
    let answers = reader().attack(device::READER, &guess(b"wrong"));
    let aare = Aare::from_octets(&answers[0]).unwrap();
    assert_ne!(aare.result, AssociationResult::Accepted);
    assert_eq!(aare.mechanism_name, None);
}

#[test]
fn who_mistypes_twice_does_not_wait() {
    let mut pair = reader();
    for _ in 0..50 {
        for _ in 0..2 {
            assert!(is_rejection(
                &pair.attack(device::READER, &guess(b"wrong"))[0]
            ));
        }
        pair.associate().unwrap();
        pair.client.handle(dlms::client::Input::LinkLost, pair.now);
        while !matches!(pair.client.poll(), dlms::client::Output::Timeout(_)) {}
    }
}

#[test]
fn a_wrong_password_does_not_end_the_association_that_is_there() {
    let mut pair = reader();
    pair.associate().unwrap();
    pair.attack(device::READER, &guess(b"wrong"));
    assert!(pair.request(super::get(&[super::SHORT])).is_ok());
}

#[test]
fn what_is_remembered_of_guessers_is_bounded() {
    let mut back_off = dlms::server::BackOff::default();
    let now = Instant::from_micros(1);
    for client in 0..=u16::MAX {
        back_off.failed(client, now);
    }
    let shown = format!("{back_off:?}");
    assert_eq!(shown.matches("count").count(), 64);
}
