//! Every service in every way to associate.
//!
//! Evidence: self-agreement.

use dlms::client::Failure;
use dlms::client::{ActionItem, GetItem, Input, Repeat, Request, Response, SetItem};
use dlms::cosem::{AttributeDescriptor, MethodDescriptor};
use dlms::security::{
    CounterHint, Key, KeyRing, PeerWindows, Protection, RustCrypto, SecuritySuite, Wrapping,
};
use dlms::server::{AssociationState, TimedKeys};
use dlms::xdlms::{ActionResult, Conformance, DataAccessResult};

use dlms::{Duration, Instant};

use super::device::{self, ECHO, LONG, SHORT, WRITABLE, ring};
use super::{Faults, Pair, config, ways};

pub(crate) fn get(attributes: &[AttributeDescriptor]) -> Request {
    Request::Get(
        attributes
            .iter()
            .map(|&attribute| GetItem {
                attribute,
                selection: None,
            })
            .collect(),
    )
}

pub(crate) fn set(values: &[(AttributeDescriptor, Vec<u8>)]) -> Request {
    let item = |(attribute, value): &(AttributeDescriptor, Vec<u8>)| SetItem {
        attribute: *attribute,
        selection: None,
        value: value.clone(),
    };
    Request::Set(values.iter().map(item).collect())
}

pub(crate) fn action(calls: &[(MethodDescriptor, Option<Vec<u8>>)]) -> Request {
    let item = |(method, parameter): &(MethodDescriptor, Option<Vec<u8>>)| ActionItem {
        method: *method,
        parameter: parameter.clone(),
    };
    Request::Action(calls.iter().map(item).collect())
}

pub(crate) fn octets(len: usize) -> Vec<u8> {
    let mut value = vec![0x09];
    dlms::codec::put_length(&mut value, len);
    value.extend((0..len).map(|n| u8::try_from(n % 251).unwrap()));
    value
}

#[test]
fn every_service_works_in_every_way_to_associate() {
    for (sap, config) in ways() {
        let way = format!("{sap} {:?} {:?}", config.protection, config.wrapping);
        let mut pair = Pair::new(config, sap, Faults::default());
        if pair_needs_dedicated(&pair, &way) {
            pair.device.dedicated = Some([0x42; 16].into());
        }
        let associated = pair
            .associate()
            .unwrap_or_else(|failure| panic!("{way}: {failure}"));
        assert_eq!(associated.pdu_len_max, 256, "{way}");

        let short = pair.device.values[&SHORT.instance].clone();
        let long = pair.device.values[&LONG.instance].clone();
        assert_eq!(
            pair.request(get(&[SHORT])),
            Ok(Response::Get(vec![Ok(short.clone())])),
            "{way}"
        );
        assert_eq!(
            pair.request(get(&[LONG])),
            Ok(Response::Get(vec![Ok(long.clone())])),
            "{way}"
        );
        let unknown = AttributeDescriptor {
            attribute: 9,
            ..SHORT
        };
        assert_eq!(
            pair.request(get(&[SHORT, LONG, unknown])),
            Ok(Response::Get(vec![
                Ok(short),
                Ok(long),
                Err(DataAccessResult::ReadWriteDenied)
            ])),
            "{way}"
        );
        if sap != device::MANAGER {
            continue;
        }
        let value = octets(5);
        assert_eq!(
            pair.request(set(&[(WRITABLE, value.clone())])),
            Ok(Response::Set(vec![DataAccessResult::Success])),
            "{way}"
        );
        assert_eq!(pair.device.values[&WRITABLE.instance], value);
        let value = octets(2_000);
        assert_eq!(
            pair.request(set(&[(WRITABLE, value.clone())])),
            Ok(Response::Set(vec![DataAccessResult::Success])),
            "{way}"
        );
        assert_eq!(pair.device.values[&WRITABLE.instance], value, "{way}");
        assert_eq!(
            pair.request(set(&[
                (WRITABLE, octets(700)),
                (SHORT, octets(1)),
                (WRITABLE, octets(3))
            ])),
            Ok(Response::Set(vec![
                DataAccessResult::Success,
                DataAccessResult::ReadWriteDenied,
                DataAccessResult::Success
            ])),
            "{way}"
        );
        for calls in [
            vec![(ECHO, None)],
            vec![(ECHO, Some(octets(9)))],
            vec![(ECHO, Some(octets(1_500)))],
            vec![(ECHO, Some(octets(400))), (ECHO, Some(octets(300)))],
        ] {
            let Ok(Response::Action(outcomes)) = pair.request(action(&calls)) else {
                panic!("{way}: no answer to {} calls", calls.len());
            };
            assert_eq!(outcomes.len(), calls.len(), "{way}");
            for (outcome, (_, parameter)) in outcomes.iter().zip(&calls) {
                assert_eq!(outcome.result, ActionResult::Success, "{way}");
                assert_eq!(outcome.returned, parameter.clone().map(Ok), "{way}");
            }
        }
        let before = pair.device.asked;
        pair.input(Input::Release);
        pair.drive();
        assert!(
            matches!(pair.events.pop_front(), Some(dlms::client::Event::Released(deviations)) if deviations.is_empty()),
            "{way}"
        );
        assert_eq!(pair.device.asked, before);
        assert!(pair.server.authentication(sap).is_none(), "{way}");
    }
}

fn pair_needs_dedicated(_: &Pair, way: &str) -> bool {
    way.contains("Ded")
}

#[test]
fn what_a_client_may_not_do_is_refused_before_the_device_is_asked() {
    let mut pair = Pair::new(
        config(device::READER, Protection::None, Wrapping::Glo),
        device::READER,
        Faults::default(),
    );
    pair.associate().unwrap();
    let refused = pair.request(set(&[(WRITABLE, octets(3))]));
    assert_eq!(
        refused,
        Ok(Response::Set(vec![DataAccessResult::ReadWriteDenied]))
    );
    let Ok(Response::Action(outcomes)) = pair.request(action(&[(ECHO, None)])) else {
        panic!()
    };
    assert_eq!(outcomes[0].result, ActionResult::ReadWriteDenied);
    assert_eq!(
        (pair.device.sets, pair.device.invoked, pair.device.asked),
        (0, 0, 0)
    );
}

#[test]
fn without_multiple_references_lists_go_one_by_one() {
    let mut config = config(device::PUBLIC, Protection::None, Wrapping::Glo);
    config.conformance = Conformance::GET | Conformance::BLOCK_TRANSFER_WITH_GET_OR_READ;
    let mut pair = Pair::new(config, device::PUBLIC, Faults::default());
    pair.associate().unwrap();
    let Ok(Response::Get(values)) = pair.request(get(&[SHORT, LONG, SHORT])) else {
        panic!()
    };
    assert_eq!(values.len(), 3);
    assert_eq!(values[1].as_ref().unwrap().len(), 3_004);
    assert!(
        pair.sent
            .iter()
            .filter(|(_, octets)| octets.starts_with(&[0xC0, 1]))
            .count()
            == 3
    );
}

#[test]
fn over_a_bad_link_everything_is_done_once_or_reported() {
    let mut done = 0;
    for seed in 0..400 {
        let mut config = config(
            device::MANAGER,
            Protection::AuthenticatedEncrypted,
            Wrapping::Glo,
        );
        config.repeat = Repeat::Everything;
        config.repeats_max = 8;
        let faults = Faults {
            seed,
            lose: 100,
            double: 100,
            delay: 3_000,
            corrupt: 50,
        };
        let mut pair = Pair::new(config, device::MANAGER, faults);
        if pair.associate().is_err() {
            continue;
        }
        for round in 1..=5_usize {
            let before = pair.device.invoked;
            match pair.request(action(&[(ECHO, Some(octets(round)))])) {
                Ok(Response::Action(outcomes)) => {
                    assert_eq!(outcomes[0].returned, Some(Ok(octets(round))), "seed {seed}");
                    assert_eq!(
                        pair.device.invoked,
                        before + 1,
                        "seed {seed}: done more than once"
                    );
                    done += 1;
                }
                Ok(other) => panic!("seed {seed}: {other:?}"),
                Err(_) => assert!(pair.device.invoked <= before + 1, "seed {seed}"),
            }
        }
        match pair.request(get(&[LONG])) {
            Ok(Response::Get(values)) => {
                assert_eq!(
                    values[0].as_ref(),
                    Ok(&pair.device.values[&LONG.instance]),
                    "seed {seed}"
                );
                done += 1;
            }
            Ok(other) => panic!("seed {seed}: {other:?}"),
            Err(_) => {}
        }
    }
    assert!(done > 1_500, "only {done} of 2,400 requests came through");
}

#[test]
fn a_counter_that_is_behind_catches_up_by_the_counter_object_and_no_forgery_exhausts_it() {
    let way = || {
        config(
            device::MANAGER,
            Protection::AuthenticatedEncrypted,
            Wrapping::Glo,
        )
    };
    let mut pair = Pair::new(way(), device::MANAGER, Faults::default());
    pair.device.security.received = PeerWindows::new(70_000);
    assert!(pair.associate().is_err(), "below the floor");
    // Somebody on the way tells what would use the key up.
    pair.counter = Some(CounterHint::new(u32::MAX));
    assert!(matches!(pair.associate(), Err(Failure::Hint(_))));
    // Somebody tells too much, but not too much to be tried: it verifies, and is kept.
    pair.counter = Some(CounterHint::new(70_000));
    pair.associate().unwrap();
    assert_eq!(pair.request(get(&[SHORT])).map(|_| ()), Ok(()));
    let last = pair.records.last().unwrap();
    assert!((70_001..71_000).contains(&last.end), "{last:?}");
}

#[test]
fn a_link_that_reports_a_loss_has_reads_repeated_at_once_and_writes_not() {
    let mut config = config(device::PUBLIC, Protection::None, Wrapping::Glo);
    config.repeat = Repeat::Reads;
    config.repeats_max = 2;
    let mut pair = Pair::new(config, device::PUBLIC, Faults::default());
    // Nothing is under way: nothing is sent.
    pair.input(Input::Repeat);
    assert!(pair.sent.is_empty());
    pair.associate().unwrap();
    let begun = pair.now;
    pair.tamper = Some(Box::new(|_, _| Vec::new()));
    pair.input(Input::Request(get(&[SHORT])));
    pair.input(Input::Repeat);
    pair.tamper = None;
    pair.input(Input::Repeat);
    // There are two repetitions, whoever asks for them.
    pair.input(Input::Repeat);
    let last: Vec<_> = pair.sent.iter().rev().take(4).collect();
    assert_eq!(last[0], last[1]);
    assert_eq!(last[1], last[2]);
    assert_ne!(last[2], last[3]);
    pair.drive();
    assert!(matches!(
        pair.events.pop_front(),
        Some(dlms::client::Event::Response(Response::Get(_)))
    ));
    assert!(pair.now.since(begun) < Duration::from_secs(1));
    let before = pair.sent.len();
    pair.tamper = Some(Box::new(|_, _| Vec::new()));
    pair.input(Input::Request(set(&[(WRITABLE, octets(4))])));
    pair.input(Input::Repeat);
    assert_eq!(pair.sent.len(), before + 1);
}

#[test]
fn requests_are_no_longer_than_the_link_carries() {
    let mut config = config(
        device::MANAGER,
        Protection::AuthenticatedEncrypted,
        Wrapping::Glo,
    );
    config.send_len_max = 200;
    let mut pair = Pair::new(config, device::MANAGER, Faults::default());
    pair.associate().unwrap();
    let value = octets(3_000);
    let Ok(Response::Set(results)) = pair.request(set(&[(WRITABLE, value.clone())])) else {
        panic!()
    };
    assert_eq!(results, [DataAccessResult::Success]);
    assert_eq!(pair.device.values[&WRITABLE.instance], value);
    let longest = pair.sent.iter().filter(|(client, _)| *client);
    let longest = longest.map(|(_, octets)| octets.len()).max().unwrap();
    assert!((150..=200).contains(&longest), "{longest}");
}

/// Keys with another authentication key than the client's.
fn others() -> KeyRing {
    let mut keys = device::keys();
    keys.authentication = Some(Key::from(*b"\x0d\x72another of it\x91"));
    KeyRing::new(&RustCrypto, SecuritySuite::Suite0, &keys).unwrap()
}

#[test]
fn an_association_is_made_under_the_timed_keys_that_verify_and_ends_with_them() {
    let until = |seconds| Instant::ORIGIN + Duration::from_secs(seconds);
    let timed = |all: &[(KeyRing, u64)]| -> Option<Vec<TimedKeys>> {
        let all = all.iter().map(|(keys, seconds)| TimedKeys {
            keys: keys.clone(),
            until: until(*seconds),
        });
        Some(all.collect())
    };
    let make = |keys: Option<Vec<TimedKeys>>| {
        let config = config(
            device::MANAGER,
            Protection::AuthenticatedEncrypted,
            Wrapping::Glo,
        );
        let mut pair = Pair::new(config, device::MANAGER, Faults::default());
        pair.device.security.timed = keys;
        pair
    };
    // The second that is asked verifies, and its end is the association's.
    let mut pair = make(timed(&[(others(), 1_000), (ring(), 100)]));
    pair.associate().unwrap();
    assert!(pair.request(get(&[SHORT])).is_ok());
    pair.now = until(99);
    assert!(pair.request(get(&[SHORT])).is_ok());
    assert_eq!(pair.server.state(device::MANAGER), AssociationState::Open);
    pair.now = until(100);
    assert!(pair.request(get(&[SHORT])).is_err());
    assert_eq!(pair.server.state(device::MANAGER), AssociationState::Idle);
    assert_eq!(pair.device.asked, 2);
    // Where there is a list the other keys make none: an empty one, one of
    // others, and one that has ended.
    for keys in [
        timed(&[]),
        timed(&[(others(), 1_000)]),
        timed(&[(ring(), 0)]),
    ] {
        let mut pair = make(keys);
        assert!(matches!(pair.associate(), Err(Failure::Rejected { .. })));
        assert_eq!(pair.server.state(device::MANAGER), AssociationState::Idle);
    }
}
