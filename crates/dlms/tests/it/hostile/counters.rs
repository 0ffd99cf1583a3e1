//! Counters that somebody made up (A4). Evidence: robustness.

use std::cell::RefCell;
use std::rc::Rc;

use dlms::client::{Failure, Repeat, Response};
use dlms::codec::Wire;
use dlms::security::{HINT_AHEAD_MAX, HintRefused, Wrapping};
use dlms::xdlms::{ExceptionResponse, ServiceError, StateError};

use super::{
    SHORT, WRITABLE, device, get, is_exception, manager, octets, session, set, strict, strict_with,
};

fn exception(expected: u32) -> Vec<u8> {
    ExceptionResponse {
        state_error: StateError::ServiceNotAllowed,
        service_error: ServiceError::InvocationCounterError(Some(expected)),
    }
    .to_octets()
}

#[test]
fn forged_high_counters_shut_nobody_out() {
    for wrapping in [Wrapping::Glo, Wrapping::Ded, Wrapping::GeneralGlo] {
        let mut pair = strict_with(manager(wrapping));
        pair.associate().unwrap();
        pair.request(get(&[SHORT])).unwrap();
        let (_, honest) = pair
            .sent
            .iter()
            .rfind(|(by_client, _)| *by_client)
            .unwrap()
            .clone();
        let at = if wrapping.is_general() { 12 } else { 3 };
        for counter in [u32::MAX, u32::MAX - 1, 1 << 31, 1 << 24] {
            let mut forged = honest.clone();
            forged[at..at + 4].copy_from_slice(&counter.to_be_bytes());
            let answers = pair.attack(device::MANAGER, &forged);
            assert!(is_exception(&answers[0]), "{wrapping:?} {counter:#x}");
        }
        for request in session() {
            pair.request(request).unwrap();
        }
        pair.restart_device();
        pair.client.handle(dlms::client::Input::LinkLost, pair.now);
        while !matches!(pair.client.poll(), dlms::client::Output::Timeout(_)) {}
        pair.device.dedicated = pair.device.dedicated.as_ref().map(|_| [0x43; 16].into());
        pair.associate().unwrap();
    }
}

#[test]
fn a_forged_exception_does_not_exhaust_the_key() {
    let mut pair = strict();
    pair.associate().unwrap();
    let answer = Rc::new(RefCell::new(exception(u32::MAX)));
    let forge = answer.clone();
    pair.tamper = Some(Box::new(move |by_client, octets| {
        if by_client {
            vec![(false, forge.borrow().clone())]
        } else {
            vec![(by_client, octets)]
        }
    }));
    assert_eq!(
        pair.request(get(&[SHORT])),
        Err(Failure::Hint(HintRefused::TooFar {
            ahead: u32::MAX - pair.client.security().unwrap().send.next()
        }))
    );
    let before = pair.client.security().unwrap().send.next();
    // A thousand exceptions that each tell what would be believed.
    for round in 0..1_000_u32 {
        if pair.client.associated().is_none() {
            pair.tamper = None;
            pair.associate().unwrap();
            let forge = answer.clone();
            pair.tamper = Some(Box::new(move |by_client, octets| {
                if by_client {
                    vec![(false, forge.borrow().clone())]
                } else {
                    vec![(by_client, octets)]
                }
            }));
        }
        let next = pair.client.security().unwrap().send.next();
        *answer.borrow_mut() = exception(next + 1 + round * 97 % HINT_AHEAD_MAX);
        assert!(pair.request(get(&[SHORT])).is_err());
    }
    let after = pair.client.security().unwrap().send.next();
    assert!(after - before < 5_000, "{before} to {after}");
    let last = pair.records.last().unwrap();
    assert_eq!(last.hinted, 0, "nothing unverified may move the counter");
    assert!(last.spent.len() <= 16);
    pair.tamper = None;
    if pair.client.associated().is_none() {
        pair.associate().unwrap();
    }
    assert!(pair.request(get(&[SHORT])).is_ok());
}

#[test]
fn a_true_hint_is_followed_for_reads_and_for_nothing_else() {
    let ahead = 100_000;
    let mut pair = strict();
    pair.associate().unwrap();
    pair.device.floor += ahead;
    let floor = pair.device.floor;
    pair.device.security.received = dlms::security::PeerWindows::new(floor);
    assert_eq!(
        pair.request(set(&[(WRITABLE, octets(3))])),
        Err(Failure::CounterBehind(floor))
    );
    assert_eq!(pair.device.sets, 0);
    let value = pair.device.values[&SHORT.instance].clone();
    let read = pair.request(get(&[SHORT]));
    assert_eq!(read, Ok(Response::Get(vec![Ok(value)])));
    assert!(pair.client.security().unwrap().send.next() > floor);
    assert!(pair.request(set(&[(WRITABLE, octets(3))])).is_ok());
    assert_eq!(pair.device.sets, 1);
}

#[test]
fn the_answer_to_what_was_sent_before_speaks_for_no_hint() {
    // The server's true answer is held back; a forged exception makes the
    // client try a counter; then the true answer to the first is let through.
    let mut pair = strict();
    pair.associate().unwrap();
    let before = pair.client.security().unwrap().send.next();
    let step = Rc::new(RefCell::new((0, Vec::new())));
    let shared = step.clone();
    pair.tamper = Some(Box::new(move |by_client, octets| {
        let mut step = shared.borrow_mut();
        match (by_client, step.0) {
            (true, 0) => {
                step.0 = 1;
                vec![(true, octets)]
            }
            (false, 1) => {
                step.0 = 2;
                step.1 = octets;
                vec![(false, exception(before + HINT_AHEAD_MAX))]
            }
            (true, 2) => {
                step.0 = 3;
                vec![(false, step.1.clone())]
            }
            _ => Vec::new(),
        }
    }));
    assert!(pair.request(get(&[SHORT])).is_err());
    assert_eq!(step.borrow().0, 3);
    let security = pair.client.security().unwrap();
    assert!(!security.send.trial_running());
    assert_eq!(security.send.next(), before + 1);
    assert_eq!(pair.records.last().unwrap().hinted, 0);
}

#[test]
fn a_trial_that_was_cancelled_is_not_taken_up_later() {
    use dlms::client::{Input, Output};
    let mut pair = strict();
    pair.associate().unwrap();
    let now = pair.now;
    pair.client.handle(Input::Request(get(&[SHORT])), now);
    assert!(matches!(pair.client.poll(), Output::Transmit(_)));
    let next = pair.client.security().unwrap().send.next();
    pair.client
        .handle(Input::Apdu(&exception(next + 50_000)), now);
    let Output::Reserve(plan) = pair.client.poll() else {
        panic!("no trial");
    };
    pair.client.handle(Input::Cancel, now);
    pair.client.handle(Input::Reserved(plan), now);
    assert!(matches!(pair.client.poll(), Output::Timeout(None)));
    assert!(!pair.client.security().unwrap().send.trial_running());
    assert!(pair.request(set(&[(WRITABLE, octets(3))])).is_ok());
    assert_eq!(pair.client.security().unwrap().send.next(), next + 1);
}

#[test]
fn nothing_is_carried_out_twice_whatever_is_lost_doubled_or_forged() {
    for seed in 0..200_u64 {
        let mut config = manager(Wrapping::Glo);
        config.repeat = Repeat::Everything;
        config.repeats_max = 5;
        let mut pair = strict_with(config);
        pair.associate().unwrap();
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let next = pair.client.security().unwrap().send.next();
        pair.tamper = Some(Box::new(move |by_client, octets| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let mut all = vec![(by_client, octets.clone())];
            match random % 6 {
                0 => all.clear(),
                1 => all.push((by_client, octets)),
                2 => all.insert(
                    0,
                    (
                        false,
                        exception(next + u32::try_from(random % 999).unwrap()),
                    ),
                ),
                3 => all.insert(0, (false, vec![0xD8, 1, 2])),
                4 => all = vec![(false, vec![0x0E, 1, 0, 1]), (by_client, octets)],
                _ => {}
            }
            all
        }));
        for round in 1..=6_usize {
            let before = pair.device.sets;
            let written = pair.request(set(&[(WRITABLE, octets(round))]));
            let times = pair.device.sets - before;
            assert!(times <= 1, "seed {seed}: written {times} times");
            assert!(written.is_err() || times == 1, "seed {seed}");
            if pair.client.associated().is_none() {
                break;
            }
        }
    }
}
