//! What was recorded is sent again (A3). Evidence: robustness.

use std::cell::RefCell;
use std::rc::Rc;

use dlms::client::{Input, Repeat, Response};
use dlms::security::Wrapping;
use dlms::server::AssociationState;
use dlms::xdlms::DataAccessResult;

use super::{SHORT, strict, strict_with};
use super::{WRITABLE, device, get, is_exception, is_rejection, manager, octets, session, set};
use crate::pair::Pair;

const WRAPPINGS: [Wrapping; 4] = [
    Wrapping::Glo,
    Wrapping::Ded,
    Wrapping::GeneralGlo,
    Wrapping::GeneralDed,
];

/// Runs a whole session and gives every APDU that the client sent.
fn record(pair: &mut Pair) -> Vec<Vec<u8>> {
    pair.sent.clear();
    pair.associate().unwrap();
    for request in session() {
        pair.request(request).unwrap();
    }
    pair.input(Input::Release);
    pair.drive();
    pair.events.clear();
    let by_client = pair.sent.iter().filter(|(by_client, _)| *by_client);
    by_client.map(|(_, octets)| octets.clone()).collect()
}

/// Plays a recording; gives how many APDUs were refused, of how many.
fn play(pair: &mut Pair, recording: &[Vec<u8>]) -> (usize, usize) {
    let before = (pair.device.done(), pair.device.values.clone());
    let mut refused = 0;
    for apdu in recording {
        let answers = pair.attack(device::MANAGER, apdu);
        let done = answers
            .iter()
            .all(|answer| is_exception(answer) || is_rejection(answer) || answer[0] == 0x63);
        refused += usize::from(done);
    }
    assert_eq!(before, (pair.device.done(), pair.device.values.clone()));
    (refused, recording.len())
}

#[test]
fn a_recorded_session_does_nothing_before_and_after_a_restart() {
    let mut played = 0;
    for wrapping in WRAPPINGS {
        let mut pair = strict_with(manager(wrapping));
        let recording = record(&mut pair);
        assert!(recording.len() > 25, "{wrapping:?}: {}", recording.len());
        for restarts in 0..2 {
            for _ in 0..restarts {
                pair.restart_device();
            }
            let (refused, all) = play(&mut pair, &recording);
            assert_eq!(refused, all, "{wrapping:?}, {restarts} restarts");
            assert_eq!(pair.server.state(device::MANAGER), AssociationState::Idle);
            played += all;
        }
    }
    println!("{played} recorded APDUs refused, 0 accepted");
}

#[test]
fn a_recorded_session_does_nothing_inside_an_honest_one() {
    for wrapping in WRAPPINGS {
        let mut pair = strict_with(manager(wrapping));
        let recording = record(&mut pair);
        pair.device.dedicated = pair.device.dedicated.as_ref().map(|_| [0x43; 16].into());
        pair.associate().unwrap();
        let (refused, all) = play(&mut pair, &recording);
        assert_eq!(refused, all, "{wrapping:?}");
        assert_eq!(pair.server.state(device::MANAGER), AssociationState::Open);
        assert!(pair.request(get(&[SHORT])).is_ok(), "{wrapping:?}");
        // Every honest APDU is then replayed too, but for the last: that one is
        // answered again with the same octets, and done no second time.
        pair.request(set(&[(WRITABLE, octets(3))])).unwrap();
        let own: Vec<Vec<u8>> = pair
            .sent
            .iter()
            .filter(|(by_client, _)| *by_client)
            .map(|(_, octets)| octets.clone())
            .collect();
        let (last, own) = own.split_last().unwrap();
        let (refused, all) = play(&mut pair, own);
        assert_eq!(refused, all, "{wrapping:?}");
        let sets = pair.device.sets;
        let answer = pair.sent.iter().rfind(|(by_client, _)| !by_client).unwrap();
        let answer = answer.1.clone();
        for _ in 0..3 {
            assert!(pair.attack(device::MANAGER, last).is_empty() || sets == pair.device.sets);
        }
        assert_eq!(pair.device.sets, sets);
        assert!(!answer.is_empty());
    }
}

#[test]
fn the_same_dedicated_key_twice_repeats_no_counter_of_ours() {
    let mut pair = strict_with(manager(Wrapping::Ded));
    record(&mut pair);
    record(&mut pair);
    let mut counters = std::collections::BTreeSet::new();
    let answers = pair.sent.iter().filter(|(by_client, _)| !by_client);
    for (_, answer) in answers {
        if let Ok(header) = dlms::security::Header::decode(answer) {
            assert!(counters.insert(header.counter), "counter used twice");
        }
    }
    assert!(counters.len() > 20);
}

#[test]
fn an_order_that_was_held_up_does_not_overtake_a_later_one() {
    let mut pair = strict();
    pair.associate().unwrap();
    let held = Rc::new(RefCell::new(Vec::new()));
    let hold = held.clone();
    pair.tamper = Some(Box::new(move |by_client, octets| {
        if by_client && hold.borrow().is_empty() {
            hold.borrow_mut().push(octets);
            return Vec::new();
        }
        vec![(by_client, octets)]
    }));
    assert!(pair.request(set(&[(WRITABLE, octets(1))])).is_err());
    let written = pair.request(set(&[(WRITABLE, octets(2))]));
    assert_eq!(written, Ok(Response::Set(vec![DataAccessResult::Success])));
    let held = held.borrow().clone();
    let answers = pair.attack(device::MANAGER, &held[0]);
    assert!(is_exception(&answers[0]));
    assert_eq!(pair.device.sets, 1);
    assert_eq!(pair.device.values[&WRITABLE.instance], octets(2));
}

#[test]
fn an_answer_that_was_held_back_is_not_taken_for_a_later_one() {
    // The answer to the first request is kept from the client until a later
    // request has the same invoke id.
    let mut config = manager(Wrapping::Glo);
    config.repeat = Repeat::Everything;
    config.repeats_max = 0;
    let mut pair = strict_with(config);
    pair.associate().unwrap();
    let held = Rc::new(RefCell::new(None));
    let hold = held.clone();
    pair.tamper = Some(Box::new(move |by_client, octets| {
        if !by_client && hold.borrow().is_none() {
            *hold.borrow_mut() = Some(octets);
            return Vec::new();
        }
        vec![(by_client, octets)]
    }));
    assert!(pair.request(get(&[SHORT])).is_err());
    pair.device.values.insert(SHORT.instance, vec![0x11, 0x07]);
    for _ in 0..40 {
        let late = held.borrow().clone().unwrap();
        let hold = Rc::new(RefCell::new(Some(late)));
        let once = hold.clone();
        pair.tamper = Some(Box::new(move |by_client, octets| {
            let mut all = Vec::new();
            if by_client {
                all.extend(once.borrow_mut().take().map(|late| (false, late)));
            }
            all.push((by_client, octets));
            all
        }));
        assert_eq!(
            pair.request(get(&[SHORT])),
            Ok(Response::Get(vec![Ok(vec![0x11, 0x07])]))
        );
    }
    let counts = pair.client.counts();
    assert_eq!((counts.stray, counts.unverified), (1, 39));
}

#[test]
fn sixteen_requests_without_an_answer_end_the_association() {
    let mut pair = strict();
    pair.associate().unwrap();
    pair.tamper = Some(Box::new(|_, _| Vec::new()));
    for _ in 0..16 {
        assert!(pair.request(get(&[SHORT])).is_err());
    }
    assert!(pair.request(get(&[SHORT])).is_err());
    assert!(pair.client.associated().is_none());
}
