//! Evidence: self-agreement of the meter with the client machine of `dlms`, and robustness: power
//! cuts, a failing disk, replays, octets of no meaning. Figures of energy are worked out by hand
//! over a source of constant power: 360 W drawn are 90 Wh in a quarter of an hour, 36 W fed in
//! are 9.

use std::sync::Arc;

use dlms::acse::MechanismName;
use dlms::axdr::{Data, DateTime, RawData};
use dlms::client::Failure;
use dlms::codec::Wire as _;
use dlms::cosem::{
    AttributeAccess, CaptureObject, EntryDescriptor, MethodAccess, MethodDescriptor,
    ObjectListElement, ProfileSelection, RangeDescriptor,
};
use dlms::security::{
    Key, KeyKind, KeyTransfer, KeyTransfers, Keys, PEERS_MAX, Protection, RustCrypto,
    SecuritySuite, SystemTitle,
};
use dlms::server::{Caller, ObjectStore as _, Selection};
use dlms::xdlms::{ActionResult, DataAccessResult};
use link::Entropy as _;
use meter::metrology::Household;
use meter::population::{Outages, Population};
use meter::registers::Outage;
use model::{BreakerState, IntervalStatus, Timestamp};

use crate::disk::Random;
use crate::pair::{
    Counting, MANAGEMENT, NOON, Options, PUBLIC, Peer, READING, World, attribute, instant,
};

const LOAD_PROFILE: &str = "7 1.0.99.1.0.255 2";
const BREAKER_STATE: &str = "70 0.0.96.3.10.255 3";
const DISCONNECT: &str = "70 0.0.96.3.10.255 1";
const RECONNECT: &str = "70 0.0.96.3.10.255 2";
const ENERGY: &str = "3 1.0.1.8.0.255 2";
const CLOCK: &str = "8 0.0.1.0.0.255 2";
const MESSAGE: &str = "1 0.0.96.13.0.255 2";

fn world() -> World {
    World::new(Options::default())
}

/// Reads the codes of a log.
fn log(world: &World, log: u8) -> Vec<u16> {
    let device = world.fleet.device(0).unwrap();
    device.log_entries(log).map(|entry| entry.code).collect()
}

#[test]
fn the_object_list_tells_what_can_be_done() {
    let mut world = world();
    for (sap, seen) in [(PUBLIC, 6), (READING, 39), (MANAGEMENT, 48)] {
        let mut peer = world.associate(0, sap);
        let list = peer.get(&mut world, "15 0.0.40.0.0.255 2").unwrap();
        let objects: Vec<ObjectListElement> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|element| ObjectListElement::from_data(element).unwrap())
            .collect();
        assert_eq!(objects.len(), seen, "client {sap}");
        for object in &objects {
            for item in &object.attribute_access {
                let access = AttributeAccess::from_mode(item.access_mode, 3);
                let what = format!(
                    "{} {} {}",
                    object.class_id,
                    object.logical_name.dotted(),
                    item.attribute_id
                );
                let read = peer.get(&mut world, &what);
                if access.contains(AttributeAccess::READ) {
                    assert!(read.is_ok(), "client {sap}: {what}: {read:?}");
                } else {
                    assert_eq!(read, Err(DataAccessResult::ReadWriteDenied), "{what}");
                }
                if !access.contains(AttributeAccess::WRITE) {
                    let written = peer.set(&mut world, &what, &Data::NullData);
                    assert_eq!(written, DataAccessResult::ReadWriteDenied, "{what}");
                }
                let demands = access.contains(AttributeAccess::ENCRYPTED_REQUEST);
                assert_eq!(demands && access.0 != 0, sap == MANAGEMENT && access.0 != 0);
            }
            for item in &object.method_access {
                let access = MethodAccess::from_mode(item.access_mode, 3);
                if !access.contains(MethodAccess::ACCESS) {
                    let what = format!(
                        "{} {} {}",
                        object.class_id,
                        object.logical_name.dotted(),
                        item.method_id
                    );
                    assert_ne!(peer.invoke(&mut world, &what, None), ActionResult::Success);
                }
            }
        }
        // What is not in the list does not exist for this client.
        let hidden = peer.get(&mut world, "3 1.0.15.8.0.255 2");
        assert_eq!(hidden, Err(DataAccessResult::ObjectUndefined));
        let inconsistent = peer.get(&mut world, "3 0.0.42.0.0.255 2");
        assert_eq!(inconsistent, Err(DataAccessResult::ObjectClassInconsistent));
        if sap == PUBLIC {
            let hidden = peer.get(&mut world, ENERGY);
            assert_eq!(hidden, Err(DataAccessResult::ObjectUndefined));
        }
        peer.release(&mut world);
    }
}

#[test]
fn each_client_is_let_in_on_its_own_terms_only() {
    let mut world = World::new(Options {
        meters: 2,
        ..Options::default()
    });
    // The keys of one meter do not open another.
    let other = world.keys(1).client(MANAGEMENT).unwrap().clone();
    let keys = Keys::new(
        other.encryption_key.unwrap(),
        other.authentication_key.unwrap(),
    );
    let title = world.keys(0).system_title;
    let mut peer = world.connect(0, MANAGEMENT, 1).with_keys(&keys, title, 1);
    assert!(peer.associate(&mut world).is_err());
    // Nor does the management client get in without ciphering, or an unknown one at all.
    for sap in [MANAGEMENT, 3] {
        let mut peer = world.connect(0, PUBLIC, 0);
        peer.sap = sap;
        assert!(peer.associate(&mut world).is_err(), "client {sap}");
    }
    // Before an association nothing is answered but an exception.
    let mut peer = world.connect(0, PUBLIC, 0);
    let answer = peer.raw(
        &mut world,
        &[0xC0, 1, 0xC1, 0, 1, 0, 0, 42, 0, 0, 255, 2, 0],
    );
    assert_eq!(answer.unwrap()[0], 0xD8);
    world.associate(0, MANAGEMENT).release(&mut world);
}

#[test]
fn failed_logins_leave_one_entry_a_series() {
    let mut world = world();
    for _ in 0..10 {
        let mut peer = world.connect(0, READING, 0);
        peer.password = b"guess".to_vec();
        assert!(peer.associate(&mut world).is_err());
    }
    world.pass(1);
    assert_eq!(log(&world, 1), [46]);
    world.associate(0, READING).release(&mut world);
    for _ in 0..3 {
        let mut peer = world.connect(0, READING, 0);
        peer.password = b"guess".to_vec();
        assert!(peer.associate(&mut world).is_err());
    }
    world.pass(1);
    assert_eq!(log(&world, 1), [46, 46]);
}

#[test]
fn the_breaker_opens_and_closes_and_says_so() {
    let mut world = world();
    let mut peer = world.associate(0, MANAGEMENT);
    assert_eq!(peer.get(&mut world, BREAKER_STATE), Ok(Data::Enum(1)));
    let before = peer.get(&mut world, ENERGY).unwrap();
    assert_eq!(
        peer.invoke(&mut world, DISCONNECT, None),
        ActionResult::Success
    );
    // A second time it is open already.
    assert_eq!(
        peer.invoke(&mut world, DISCONNECT, None),
        ActionResult::Success
    );
    // The answer was durable: the power may go at once.
    world.disk.power_cut(&mut Random(1));
    world.restart();
    world.pass(3_600);
    let mut peer = world.associate(0, MANAGEMENT);
    assert_eq!(peer.get(&mut world, BREAKER_STATE), Ok(Data::Enum(0)));
    let output = peer.get(&mut world, "70 0.0.96.3.10.255 2");
    assert_eq!(output, Ok(Data::Boolean(false)));
    let power = peer.get(&mut world, "3 1.0.1.7.0.255 2");
    assert_eq!(power, Ok(Data::LongUnsigned(0)));
    assert_eq!(peer.get(&mut world, ENERGY), Ok(before.clone()));
    assert_eq!(
        peer.invoke(&mut world, RECONNECT, None),
        ActionResult::Success
    );
    assert_eq!(peer.get(&mut world, BREAKER_STATE), Ok(Data::Enum(1)));
    world.pass(3_600);
    let mut peer = world.associate(0, MANAGEMENT);
    let after = peer.get(&mut world, ENERGY).unwrap();
    assert_eq!(after.as_u32().unwrap() - before.as_u32().unwrap(), 360);
    assert_eq!(log(&world, 2), [62, 63]);
    world.restart();
    let device = world.fleet.device(0).unwrap();
    assert_eq!(device.breaker_state(), BreakerState::Connected);
    assert_eq!(log(&world, 2), [62, 63]);
}

#[test]
fn control_modes_leave_the_customer_a_part() {
    let mut world = world();
    let mut peer = world.associate(0, MANAGEMENT);
    let mode = "70 0.0.96.3.10.255 4";
    assert_eq!(
        peer.set(&mut world, mode, &Data::Enum(7)),
        DataAccessResult::OtherReason
    );
    assert_eq!(
        peer.set(&mut world, mode, &Data::Enum(1)),
        DataAccessResult::Success
    );
    assert_eq!(
        peer.invoke(&mut world, DISCONNECT, None),
        ActionResult::Success
    );
    let now = world.now;
    let pressed = world
        .fleet
        .press(0, |device, journal| device.press_reconnect(now, journal));
    assert!(
        pressed.unwrap().is_err(),
        "a button closed what the utility opened"
    );
    assert_eq!(
        peer.invoke(&mut world, RECONNECT, None),
        ActionResult::Success
    );
    assert_eq!(peer.get(&mut world, BREAKER_STATE), Ok(Data::Enum(2)));
    world
        .fleet
        .press(0, |device, journal| device.press_reconnect(now, journal))
        .unwrap()
        .unwrap();
    assert_eq!(peer.get(&mut world, BREAKER_STATE), Ok(Data::Enum(1)));
    world
        .fleet
        .press(0, |device, journal| device.press_disconnect(now, journal))
        .unwrap()
        .unwrap();
    assert_eq!(peer.get(&mut world, BREAKER_STATE), Ok(Data::Enum(2)));
    assert_eq!(log(&world, 2), [62, 59, 61, 60]);
    // Mode 0: nothing moves it.
    assert_eq!(
        peer.set(&mut world, mode, &Data::Enum(0)),
        DataAccessResult::Success
    );
    let refused = peer.invoke(&mut world, DISCONNECT, None);
    assert_eq!(refused, ActionResult::ReadWriteDenied);
}

#[test]
fn nobody_is_switched_off_without_a_verified_command() {
    let mut world = world();
    let now = world.now;
    let mut session = world
        .fleet
        .session(0, now, &world.entropy)
        .unwrap()
        .unwrap();
    let caller = Caller {
        client: MANAGEMENT,
        mechanism: MechanismName::HighGmac,
        protection: Protection::AuthenticatedEncrypted,
        verified: None,
        broadcast: false,
    };
    let method = attribute(DISCONNECT);
    let method = MethodDescriptor::new(method.class_id, method.instance, 1);
    let outcome = session.invoke(&caller, &method, None, &mut Vec::new());
    assert_eq!(outcome, Err(ActionResult::ReadWriteDenied));
    // The rights say so too, whatever the policy.
    let rights = session.method_rights(MANAGEMENT, &method).unwrap();
    assert!(rights.contains(MethodAccess::AUTHENTICATED_REQUEST));
    for client in [PUBLIC, READING] {
        let rights = session.method_rights(client, &method);
        assert_eq!(rights, Err(ActionResult::ObjectUndefined));
    }
    let device = world.fleet.device(0).unwrap();
    assert_eq!(device.breaker_state(), BreakerState::Connected);
}

#[test]
fn a_replayed_command_does_nothing_even_after_a_restart() {
    // Counters near the start, and far ahead of what was reserved when the meter started.
    for counter in [1, 1_000_000] {
        replay(counter);
    }
}

fn replay(counter: u32) {
    let mut world = world();
    let mut peer = world.connect(0, MANAGEMENT, counter);
    peer.associate(&mut world).unwrap();
    assert_eq!(
        peer.invoke(&mut world, DISCONNECT, None),
        ActionResult::Success
    );
    let command = peer.sent.last().unwrap().clone();
    assert_eq!(
        peer.invoke(&mut world, RECONNECT, None),
        ActionResult::Success
    );
    let answer = peer.raw(&mut world, &command).unwrap();
    assert_eq!(answer[0], 0xD8, "the server took a counter twice");
    world.disk.power_cut(&mut Random(2));
    world.restart();
    // The floor lies above every counter that was accepted.
    assert!(world.counter(0) >= counter + 5, "counters went back");
    // The whole association is played back, the old command in it.
    let recorded = std::mem::take(&mut peer.sent);
    let mut attacker = world.connect(0, MANAGEMENT, 1);
    for octets in &recorded {
        attacker.raw(&mut world, octets);
    }
    let device = world.fleet.device(0).unwrap();
    assert_eq!(device.breaker_state(), BreakerState::Connected);
    // The true client finds its way in by the counter object.
    let mut peer = world.associate(0, MANAGEMENT);
    assert_eq!(peer.get(&mut world, BREAKER_STATE), Ok(Data::Enum(1)));
}

/// A client of its own under the key that all share.
const fn client(number: u8) -> SystemTitle {
    SystemTitle([b'C', b'L', b'I', 0, 0, 0, 0, number])
}

/// Disconnects and reconnects; returns all that was sent.
fn switched(world: &mut World, peer: &mut Peer) -> Vec<Vec<u8>> {
    for method in [DISCONNECT, RECONNECT] {
        assert_eq!(peer.invoke(world, method, None), ActionResult::Success);
    }
    peer.sent.clone()
}

/// Plays back what was recorded, whole associations and single messages, and tells whether the
/// breaker ever moved.
fn moves(world: &mut World, recorded: &[Vec<u8>]) -> bool {
    let mut attacker = world.connect(0, MANAGEMENT, 1);
    recorded.iter().any(|octets| {
        attacker.raw(world, octets);
        let device = world.fleet.device(0).unwrap();
        device.breaker_state() != BreakerState::Connected
    })
}

#[test]
fn clients_that_share_a_key_count_for_themselves() {
    let mut world = world();
    let mut one = world.connect_as(0, MANAGEMENT, 1, client(1));
    let mut other = world.connect_as(0, MANAGEMENT, 1_000_000, client(2));
    one.associate(&mut world).unwrap();
    other.associate(&mut world).unwrap();
    for _ in 0..5 {
        assert_eq!(one.get(&mut world, BREAKER_STATE), Ok(Data::Enum(1)));
        assert_eq!(other.get(&mut world, BREAKER_STATE), Ok(Data::Enum(1)));
    }
    let recorded = [
        switched(&mut world, &mut one),
        switched(&mut world, &mut other),
    ];
    // What one sent is nothing in the other's association.
    for (peer, foreign) in [(&mut other, &recorded[0]), (&mut one, &recorded[1])] {
        let answer = peer.raw(&mut world, foreign.last().unwrap()).unwrap();
        assert_eq!(answer[0], 0xD8, "the other's message was taken");
        assert_eq!(peer.get(&mut world, BREAKER_STATE), Ok(Data::Enum(1)));
    }
    assert!(!moves(&mut world, &recorded.concat()));

    world.disk.power_cut(&mut Random(3));
    world.restart();
    assert!(!moves(&mut world, &recorded.concat()));
    // Each goes on above its own counters, whatever the other's are.
    for (number, used, free) in [(1, 30, 20_000), (2, 1_000_030, 1_020_000)] {
        let mut peer = world.connect_as(0, MANAGEMENT, used, client(number));
        assert!(peer.associate(&mut world).is_err(), "counters went back");
        let mut peer = world.connect_as(0, MANAGEMENT, free, client(number));
        peer.associate(&mut world).unwrap();
        assert_eq!(peer.get(&mut world, BREAKER_STATE), Ok(Data::Enum(1)));
    }
}

#[test]
fn a_client_that_had_to_make_room_cannot_be_played_back() {
    let mut world = world();
    let mut recorded = Vec::new();
    let count = u8::try_from(PEERS_MAX).unwrap() + 4;
    for number in 1..=count {
        let floor = 100_000 * u32::from(number);
        let mut peer = world.connect_as(0, MANAGEMENT, floor, client(number));
        peer.associate(&mut world).unwrap();
        recorded.extend(switched(&mut world, &mut peer));
        assert!(!moves(&mut world, &recorded), "after client {number}");
    }
    for cut in 0..2 {
        // The first four made room: what lies below the last of them is used.
        let mut gone = world.connect_as(0, MANAGEMENT, 300_000 + 20_000 * cut, client(1));
        assert!(gone.associate(&mut world).is_err());
        let mut gone = world.connect_as(0, MANAGEMENT, 420_000 + 20_000 * cut, client(1));
        gone.associate(&mut world).unwrap();
        recorded.extend(switched(&mut world, &mut gone));
        assert!(!moves(&mut world, &recorded));
        world.disk.power_cut(&mut Random(u64::from(cut)));
        world.restart();
        assert!(!moves(&mut world, &recorded));
    }
    let newest = 100_000 * u32::from(count);
    assert!(world.counter(0) > newest, "the counter object tells of all");
}

/// Splits the rows of a profile into time, status and values.
fn rows(data: &Data) -> Vec<(i64, u8, u32, u32)> {
    data.as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let [time, status, import, export] = row.as_structure().unwrap() else {
                panic!("a row has {row:?}");
            };
            let time = time.as_date_time().unwrap().to_unix_seconds().unwrap();
            (
                time,
                status.as_u8().unwrap(),
                import.as_u32().unwrap(),
                export.as_u32().unwrap(),
            )
        })
        .collect()
}

#[test]
fn the_load_profile_is_read_whole_by_range_and_by_entry() {
    let mut world = world();
    for sap in [READING, MANAGEMENT] {
        let mut peer = world.associate(0, sap);
        let whole = rows(&peer.get(&mut world, LOAD_PROFILE).unwrap());
        assert_eq!(whole.len(), 2 * 96 + 1);
        assert_eq!(whole[0].0, NOON.secs() - 2 * 86_400);
        assert_eq!(whole[192].0, NOON.secs());
        for pair in whole.windows(2) {
            assert_eq!(pair[1].0 - pair[0].0, 900);
            assert_eq!(pair[1].2 - pair[0].2, 90);
            assert_eq!(pair[1].3 - pair[0].3, 9);
            assert_eq!(pair[1].1, 0);
        }
        let in_use = peer.get(&mut world, "7 1.0.99.1.0.255 7");
        assert_eq!(in_use, Ok(Data::DoubleLongUnsigned(193)));

        let at = |secs: i64| world.fleet.device(0).unwrap().clock().local(secs);
        let (from, to) = (at(whole[10].0), at(whole[105].0));
        let range = RangeDescriptor::by_clock(&from, &to);
        let selection = ProfileSelection::Range(range);
        let day = peer.get_selected(&mut world, LOAD_PROFILE, &selection);
        assert_eq!(rows(&day.unwrap()), whole[10..106]);

        // Times without deviation are local.
        let (mut from, mut to) = (from, to);
        from.deviation = DateTime::DEVIATION_UNSPECIFIED;
        to.deviation = DateTime::DEVIATION_UNSPECIFIED;
        let range = RangeDescriptor::by_clock(&from, &to);
        let selection = ProfileSelection::Range(range.clone());
        let day = peer.get_selected(&mut world, LOAD_PROFILE, &selection);
        assert_eq!(rows(&day.unwrap()), whole[10..106]);

        // Two columns of four.
        let import = CaptureObject::new(3, "1.0.1.8.0.255".parse().unwrap(), 2);
        let selection = ProfileSelection::Range(RangeDescriptor {
            selected_values: vec![CaptureObject::CLOCK, import],
            ..range
        });
        let day = peer
            .get_selected(&mut world, LOAD_PROFILE, &selection)
            .unwrap();
        let first = day.as_array().unwrap()[0].as_structure().unwrap();
        assert_eq!(first[1], Data::DoubleLongUnsigned(whole[10].2));
        assert_eq!(first.len(), 2);

        for (from, to, expected) in [(1, 0, 0..193), (1, 3, 0..3), (190, 500, 189..193)] {
            let selection = ProfileSelection::Entry(EntryDescriptor::rows(from, to));
            let some = peer.get_selected(&mut world, LOAD_PROFILE, &selection);
            assert_eq!(rows(&some.unwrap()), whole[expected]);
        }
        let selection = ProfileSelection::Entry(EntryDescriptor {
            from_entry: 5,
            to_entry: 5,
            from_selected_value: 3,
            to_selected_value: 3,
        });
        let one = peer
            .get_selected(&mut world, LOAD_PROFILE, &selection)
            .unwrap();
        let row = one.as_array().unwrap()[0].as_structure().unwrap();
        assert_eq!(row, [Data::DoubleLongUnsigned(whole[4].2)]);

        // Nothing in the range, a range turned round, a column that is not there.
        let selection = ProfileSelection::Range(RangeDescriptor::by_clock(&to, &from));
        let none = peer
            .get_selected(&mut world, LOAD_PROFILE, &selection)
            .unwrap();
        assert_eq!(none, Data::Array(Vec::new()));
        let foreign = CaptureObject::new(3, "1.0.9.8.0.255".parse().unwrap(), 2);
        let selection = ProfileSelection::Range(RangeDescriptor {
            restricting_object: foreign,
            ..RangeDescriptor::by_clock(&from, &to)
        });
        let refused = peer.get_selected(&mut world, LOAD_PROFILE, &selection);
        assert_eq!(refused, Err(DataAccessResult::ScopeOfAccessViolated));
        peer.release(&mut world);
    }
}

#[test]
fn captures_go_on_with_time_and_the_ring_keeps_sixty_days() {
    let mut world = World::new(Options {
        history_days: 59,
        source: Arc::new(Household::from_seed(7, true)),
        ..Options::default()
    });
    world.pass(899);
    let device = world.fleet.device(0).unwrap();
    assert_eq!(device.history().len(), 59 * 96 + 1);
    world.pass(1);
    let device = world.fleet.device(0).unwrap();
    assert_eq!(device.history().len(), 59 * 96 + 2);
    assert_eq!(world.fleet.next_due(), Some(NOON.plus_secs(1_800)));
    world.pass(3 * 86_400);
    let device = world.fleet.device(0).unwrap();
    assert_eq!(device.history().len(), 60 * 96);
    assert!(device.octets() < 60_000, "{} octets", device.octets());
    // The same process later sees the same rows.
    let before: Vec<_> = device.history().iter().collect();
    world.restart();
    let after: Vec<_> = world.fleet.device(0).unwrap().history().iter().collect();
    assert_eq!(before, after);
    // A process that was down for a day has its meter's rows of that day.
    world.now = world.now.plus_secs(86_400);
    world.restart();
    let device = world.fleet.device(0).unwrap();
    let rows: Vec<_> = device.history().iter().collect();
    assert_eq!(rows.len(), 60 * 96);
    assert_eq!(rows[..rows.len() - 96], before[96..]);
    assert!(
        rows.windows(2)
            .all(|pair| pair[1].at_s - pair[0].at_s == 900)
    );
}

#[test]
fn a_row_is_shown_only_when_it_is_durable() {
    let mut world = world();
    let shown = world.fleet.device(0).unwrap().history().len();
    world.disk.lock().syncs_fail = true;
    world.now = world.now.plus_secs(900);
    assert!(world.fleet.tick(world.now, &world.entropy).is_err());
    assert_eq!(world.fleet.device(0).unwrap().history().len(), shown);
    assert!(world.fleet.session(0, world.now, &world.entropy).is_err());
    world.disk.lock().syncs_fail = false;
    world.disk.power_cut(&mut Random(3));
    world.restart();
    assert_eq!(world.fleet.device(0).unwrap().history().len(), shown + 1);
}

#[test]
fn what_cannot_be_made_durable_is_not_done() {
    let mut world = world();
    let mut peer = world.associate(0, MANAGEMENT);
    world.disk.lock().syncs_fail = true;
    let outcome = peer.invoke(&mut world, DISCONNECT, None);
    assert_eq!(outcome, ActionResult::TemporaryFailure);
    let device = world.fleet.device(0).unwrap();
    assert_eq!(device.breaker_state(), BreakerState::Connected);
    let message = Data::octet_string(*b"hello");
    let outcome = peer.set(&mut world, MESSAGE, &message);
    assert_eq!(outcome, DataAccessResult::TemporaryFailure);
    assert_eq!(world.fleet.device(0).unwrap().message(), b"");
}

#[test]
fn the_clock_is_set_and_rows_say_so() {
    let mut world = world();
    world.pass(400);
    let mut peer = world.associate(0, MANAGEMENT);
    let shown = peer.get(&mut world, CLOCK).unwrap().as_date_time().unwrap();
    assert_eq!(shown.to_string(), "2026-11-21T13:06:40+01:00");
    // By half a minute: within the limit, nothing is marked.
    let set = |secs: i64| {
        let time = DateTime::from_unix_seconds(secs, -60, dlms::axdr::ClockStatus::OK);
        Data::date_time_octets(&time.unwrap())
    };
    let near = set(world.now.secs() + 30);
    assert_eq!(
        peer.set(&mut world, CLOCK, &near),
        DataAccessResult::Success
    );
    assert_eq!(log(&world, 0), [2]);
    // By an hour and a half: logged, the next row is marked, those between are missing.
    let far = set(world.now.secs() + 5_400);
    assert_eq!(peer.set(&mut world, CLOCK, &far), DataAccessResult::Success);
    assert_eq!(log(&world, 0), [2, 4, 5]);
    world.disk.power_cut(&mut Random(4));
    world.restart();
    world.pass(1_800);
    let device = world.fleet.device(0).unwrap();
    let shown = device.clock().shown(world.now);
    assert_eq!(shown.millis_since(world.now), 5_400_000);
    let last: Vec<_> = device.history().iter().skip(192).collect();
    let times: Vec<i64> = last.iter().map(|row| row.at_s - NOON.secs()).collect();
    assert_eq!(times, [0, 6_300, 7_200]);
    assert_eq!(last[1].status, IntervalStatus::CLOCK_ADJUSTED);
    assert_eq!(last[2].status, IntervalStatus::default());
    // Back to the truth: times come again, the first of them marked.
    let mut peer = world.associate(0, MANAGEMENT);
    let truth = set(world.now.secs());
    assert_eq!(
        peer.set(&mut world, CLOCK, &truth),
        DataAccessResult::Success
    );
    world.pass(900);
    let device = world.fleet.device(0).unwrap();
    let row = device.history().last().unwrap();
    assert_eq!(row.at_s - NOON.secs(), 2_700);
    assert_eq!(row.status, IntervalStatus::CLOCK_ADJUSTED);
    // Nonsense changes nothing.
    let mut peer = world.associate(0, MANAGEMENT);
    for value in [
        Data::octet_string(vec![0xFF; 12]),
        Data::octet_string(vec![1; 11]),
        Data::Unsigned(1),
    ] {
        let outcome = peer.set(&mut world, CLOCK, &value);
        assert_ne!(outcome, DataAccessResult::Success, "{value:?}");
    }
    let shift = Some(Data::Long(-20).to_octets());
    let outcome = peer.invoke(&mut world, "8 0.0.1.0.0.255 6", shift);
    assert_eq!(outcome, ActionResult::Success);
    let device = world.fleet.device(0).unwrap();
    assert_eq!(
        device.clock().shown(world.now).millis_since(world.now),
        -20_000
    );
}

#[test]
fn an_outage_leaves_a_gap_that_says_why() {
    let outage = Outage {
        from: NOON.plus_secs(-20_000),
        to: NOON.plus_secs(-12_500),
    };
    let short = Outage {
        from: NOON.plus_secs(-5_000),
        to: NOON.plus_secs(-4_990),
    };
    let mut world = World::new(Options {
        outages: vec![short, outage],
        ..Options::default()
    });
    let mut peer = world.associate(0, READING);
    let whole = rows(&peer.get(&mut world, LOAD_PROFILE).unwrap());
    assert_eq!(whole.len(), 193 - 9);
    let gap = whole
        .windows(2)
        .position(|pair| pair[1].0 - pair[0].0 != 900)
        .unwrap();
    let (before, after) = (whole[gap], whole[gap + 1]);
    assert_eq!(before.0, NOON.secs() - 20_700);
    assert_eq!(after.0, NOON.secs() - 11_700);
    assert_eq!(after.1, IntervalStatus::POWER_DOWN.bits());
    // 7,500 s of 9,000 s were without supply.
    assert_eq!(after.2 - before.2, 150);
    assert_eq!(log(&world, 0), [2, 1, 2, 1, 2]);
    let failures = peer.get(&mut world, "1 0.0.96.7.21.255 2");
    assert_eq!(failures, Ok(Data::LongUnsigned(2)));
    let long = peer.get(&mut world, "1 0.0.96.7.9.255 2");
    assert_eq!(long, Ok(Data::LongUnsigned(1)));
    world.restart();
    assert_eq!(log(&world, 0), [2, 1, 2, 1, 2]);
    // The log is a profile too.
    let mut peer = world.associate(0, READING);
    let entries = peer.get(&mut world, "7 0.0.99.98.0.255 2").unwrap();
    let first = entries.as_array().unwrap()[1].as_structure().unwrap();
    let time = first[0].as_date_time().unwrap();
    assert_eq!(time.to_unix_seconds(), Some(NOON.secs() - 20_000));
    assert_eq!(first[1], Data::Unsigned(1));
    let newest = peer.get(&mut world, "1 0.0.96.11.0.255 2");
    assert_eq!(newest, Ok(Data::Unsigned(2)));
}

#[test]
fn an_outage_goes_on_across_a_restart_and_past_ones_stay_as_they_were() {
    let mut world = World::new(Options {
        outages: vec![Outage {
            from: NOON.plus_secs(1_000),
            to: NOON.plus_secs(9_000),
        }],
        ..Options::default()
    });
    world.pass(2_000);
    assert!(!world.fleet.device(0).unwrap().is_powered());
    world.restart();
    assert!(!world.fleet.device(0).unwrap().is_powered());
    world.pass(8_800);
    let device = world.fleet.device(0).unwrap();
    assert!(device.is_powered());
    let last: Vec<_> = device.history().iter().skip(192).collect();
    let times: Vec<i64> = last.iter().map(|row| row.at_s - NOON.secs()).collect();
    assert_eq!(times, [0, 900, 9_000, 9_900, 10_800]);
    assert_eq!(last[2].status, IntervalStatus::POWER_DOWN);
    // 1,000 s and 0 s of the 8,100 s between flowed at 0.1 Wh a second.
    assert_eq!(last[2].values[0] - last[1].values[0], 10);
    let registers = device.registers().flow();
    // Another configuration does not rewrite what was measured.
    world.options.outages = vec![Outage {
        from: NOON.plus_secs(-5_000),
        to: NOON.plus_secs(10_000),
    }];
    world.restart();
    let device = world.fleet.device(0).unwrap();
    assert_eq!(device.registers().flow(), registers);
    assert!(device.history().iter().skip(192).eq(last));
    assert_eq!(log(&world, 0), [2, 1, 2]);
}

#[test]
fn no_meter_has_the_address_of_all() {
    let template = Options::default().template;
    let keys = link::KeyFile::generate(1, 300, &Counting::default()).unwrap();
    let configs = Population::default().configs(&template, keys.meters, NOON);
    let saps: Vec<u16> = configs.iter().map(|config| config.sap).collect();
    let expected: Vec<u16> = (1..=301).filter(|sap| *sap != 0x7F).collect();
    assert_eq!(saps, expected);
}

#[test]
fn outages_of_the_past_leave_a_meter_that_serves_alone() {
    let template = Options::default().template;
    let keys = link::KeyFile::generate(1, 300, &Counting::default()).unwrap();
    let always = Population::default().configs(&template, keys.meters.clone(), NOON);
    let past = Population {
        outages: Outages::Past,
        ..Population::default()
    };
    let past = past.configs(&template, keys.meters, NOON);
    let count = |configs: &[meter::device::DeviceConfig]| {
        let all = configs.iter().flat_map(|config| &config.outages);
        let over = all.clone().filter(|outage| outage.to <= NOON).count();
        (over, all.count() - over)
    };
    let (over, ahead) = count(&always);
    assert!(over > 100 && ahead > 10, "{over} {ahead}");
    assert_eq!(count(&past), (over, 0));
}

#[test]
fn a_neighbourhood_is_the_same_each_time() {
    let template = Options::default().template;
    let keys = link::KeyFile::generate(1, 300, &Counting::default()).unwrap();
    let population = Population::default();
    let configs = population.configs(&template, keys.meters.clone(), NOON);
    let later = population.configs(
        &template,
        keys.meters[250..].to_vec(),
        NOON.plus_secs(86_400),
    );
    let mut outages = 0;
    for (config, again) in configs[250..].iter().zip(&later) {
        assert_eq!(config.site, again.site);
        assert_eq!(config.drift_ppb, again.drift_ppb);
        assert_eq!(config.source.energy(NOON), again.source.energy(NOON));
        // The same outages, but for the days that only one of them has.
        let from = again.installed;
        let to = NOON.plus_secs(29 * 86_400);
        let between = |outages: &[Outage]| -> Vec<Outage> {
            let inside = |outage: &&Outage| outage.from >= from && outage.to <= to;
            outages.iter().filter(inside).copied().collect()
        };
        assert_eq!(between(&config.outages), between(&again.outages));
        outages += config.outages.len();
    }
    assert!(
        (20..200).contains(&outages),
        "{outages} outages of 50 meters in 60 days"
    );
    let feeders: std::collections::BTreeSet<_> = configs
        .iter()
        .map(|config| config.site.feeder.clone())
        .collect();
    assert_eq!(feeders.len(), 4);
}

fn transfer(kind: KeyKind, key: &Key, master: &Key) -> Vec<u8> {
    let _ = world;
    let wrapped = KeyTransfer::wrap(&RustCrypto, SecuritySuite::Suite0, master, kind, key);
    let mut octets = Vec::new();
    KeyTransfers::new(vec![wrapped.unwrap()])
        .unwrap()
        .encode(&mut octets);
    octets
}

#[test]
fn keys_are_transferred_and_stay() {
    const TRANSFER: &str = "64 0.0.43.0.0.255 2";
    let mut world = world();
    let mut fresh = [[0; 16]; 2];
    for key in &mut fresh {
        world.entropy.fill(key).unwrap();
    }
    let [fresh, wrong] = fresh.map(Key::from);
    let held = world.keys(0).clone();
    let master = held.master_key.clone().unwrap();
    let old = held.client(MANAGEMENT).unwrap().clone();
    let authentication = old.authentication_key.unwrap();

    let mut peer = world.associate(0, MANAGEMENT);
    // Under another master key, or cut short: refused.
    let bad = transfer(KeyKind::Encryption, &fresh, &wrong);
    let outcome = peer.invoke(&mut world, TRANSFER, Some(bad));
    assert_eq!(outcome, ActionResult::ReadWriteDenied);
    let bad = Data::Array(Vec::new()).to_octets();
    let outcome = peer.invoke(&mut world, TRANSFER, Some(bad));
    assert_eq!(outcome, ActionResult::TypeUnmatched);
    // The authentication key is in use already.
    let bad = transfer(KeyKind::Encryption, &authentication, &master);
    let outcome = peer.invoke(&mut world, TRANSFER, Some(bad));
    assert_eq!(outcome, ActionResult::ReadWriteDenied);

    let good = transfer(KeyKind::Encryption, &fresh, &master);
    let outcome = peer.invoke(&mut world, TRANSFER, Some(good));
    assert_eq!(outcome, ActionResult::Success);
    world.disk.power_cut(&mut Random(5));
    world.restart();
    let counter = world.counter(0);
    let mut peer = world.connect(0, MANAGEMENT, counter + 1);
    assert!(
        peer.associate(&mut world).is_err(),
        "the old key still opens"
    );
    let keys = Keys::new(fresh.clone(), authentication.clone());
    let title = held.system_title;
    let mut peer = world
        .connect(0, MANAGEMENT, 0)
        .with_keys(&keys, title, counter + 1);
    peer.associate(&mut world).unwrap();

    // A new master key, and a key under it.
    let good = transfer(KeyKind::Master, &wrong, &master);
    let outcome = peer.invoke(&mut world, TRANSFER, Some(good));
    assert_eq!(outcome, ActionResult::Success);
    let mut next = [0; 16];
    world.entropy.fill(&mut next).unwrap();
    let next = Key::from(next);
    let good = transfer(KeyKind::Encryption, &next, &wrong);
    let outcome = peer.invoke(&mut world, TRANSFER, Some(good));
    assert_eq!(outcome, ActionResult::Success);
    world.restart();
    let counter = world.counter(0);
    let keys = Keys::new(next, authentication);
    let mut peer = world
        .connect(0, MANAGEMENT, 0)
        .with_keys(&keys, title, counter + 1);
    peer.associate(&mut world).unwrap();
    assert_eq!(log(&world, 1), [47, 47, 47]);

    // No key stands on the disk, nor in what can be printed.
    let platter = world.disk.lock();
    let secrets = [master, fresh, wrong];
    for file in platter.files.values() {
        for secret in &secrets {
            let secret = secret.dangerous_octets();
            assert!(!file.octets.windows(16).any(|window| window == secret));
        }
    }
    drop(platter);
    let printed = format!("{:?}", world.fleet.device(0).unwrap()).to_lowercase();
    for secret in &secrets {
        let hex: String = secret
            .dangerous_octets()
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect();
        let list = format!("{:?}", secret.dangerous_octets());
        assert!(!printed.contains(&hex) && !printed.contains(&list));
    }
}

#[test]
fn a_policy_only_grows() {
    const ACTIVATE: &str = "64 0.0.43.0.0.255 1";
    let mut world = world();
    let mut peer = world.associate(0, MANAGEMENT);
    let policy = "64 0.0.43.0.0.255 2";
    assert_eq!(peer.get(&mut world, policy), Ok(Data::Enum(0)));
    let both = Some(Data::Enum(3).to_octets());
    assert_eq!(
        peer.invoke(&mut world, ACTIVATE, both),
        ActionResult::Success
    );
    for weaker in [0, 1, 2, 200] {
        let weaker = Some(Data::Enum(weaker).to_octets());
        let outcome = peer.invoke(&mut world, ACTIVATE, weaker);
        assert_eq!(outcome, ActionResult::ReadWriteDenied);
    }
    world.disk.power_cut(&mut Random(6));
    world.restart();
    let mut peer = world.associate(0, MANAGEMENT);
    assert_eq!(peer.get(&mut world, policy), Ok(Data::Enum(3)));
}

#[test]
fn no_counter_of_ours_is_used_twice_across_power_cuts() {
    let mut world = world();
    let mut used = std::collections::BTreeSet::new();
    for cut in 0..40 {
        let mut peer = world.associate(0, MANAGEMENT);
        for _ in 0..5 {
            let read = dlms::client::GetItem {
                attribute: attribute(ENERGY),
                selection: None,
            };
            peer.client.handle(
                dlms::client::Input::Request(dlms::client::Request::Get(vec![read])),
                instant(world.now),
            );
            while let dlms::client::Output::Transmit(octets) = peer.client.poll() {
                let answer = peer.raw(&mut world, &octets).unwrap();
                // glo-get-response: tag, length, security control, counter.
                assert_eq!(answer[0], 0xCC);
                let counter: [u8; 4] = answer[3..7].try_into().unwrap();
                assert!(used.insert(counter), "counter {counter:?} was used twice");
                peer.client
                    .handle(dlms::client::Input::Apdu(&answer), instant(world.now));
                assert!(matches!(
                    peer.client.poll(),
                    dlms::client::Output::Event(dlms::client::Event::Response(_))
                ));
            }
        }
        world.disk.power_cut(&mut Random(cut));
        world.restart();
    }
    assert_eq!(used.len(), 200);
}

#[test]
fn syncs_are_few() {
    let mut world = World::new(Options {
        meters: 200,
        ..Options::default()
    });
    let before = world.disk.lock().syncs;
    world.pass(900);
    assert_eq!(world.disk.lock().syncs - before, 1, "one for all meters");
    let mut peer = world.associate(0, MANAGEMENT);
    let before = world.disk.lock().syncs;
    for _ in 0..500 {
        peer.get(&mut world, ENERGY).unwrap();
    }
    assert_eq!(world.disk.lock().syncs - before, 0);
}

#[test]
fn the_display_shows_what_management_writes() {
    let mut world = world();
    let mut peer = world.associate(0, MANAGEMENT);
    let text = Data::octet_string(*b"The price is high until 20:00");
    assert_eq!(
        peer.set(&mut world, MESSAGE, &text),
        DataAccessResult::Success
    );
    let long = Data::octet_string(vec![b'x'; 1_025]);
    assert_eq!(
        peer.set(&mut world, MESSAGE, &long),
        DataAccessResult::OtherReason
    );
    assert_eq!(peer.get(&mut world, MESSAGE), Ok(text));
    peer.release(&mut world);
    let mut peer = world.associate(0, READING);
    let other = Data::octet_string(*b"hacked");
    assert_ne!(
        peer.set(&mut world, MESSAGE, &other),
        DataAccessResult::Success
    );
    world.restart();
    let device = world.fleet.device(0).unwrap();
    assert_eq!(device.message(), b"The price is high until 20:00");
}

#[test]
fn alarms_are_filtered_and_cleared_bit_by_bit() {
    let mut world = world();
    let mut peer = world.associate(0, MANAGEMENT);
    let (register, filter) = ("1 0.0.97.98.0.255 2", "1 0.0.97.98.10.255 2");
    let all = Data::DoubleLongUnsigned(u32::MAX);
    assert_eq!(peer.get(&mut world, filter), Ok(all));
    // A series of wrong passwords raises "fraud attempt", bit 13, which a restart keeps.
    for _ in 0..3 {
        let mut guess = world.connect(0, READING, 0);
        guess.password = b"guess".to_vec();
        assert!(guess.associate(&mut world).is_err());
    }
    world.pass(1);
    world.restart();
    let mut peer = world.associate(0, MANAGEMENT);
    for (filtered, cleared, left) in [
        (u32::MAX, 0, 1 << 13),
        (u32::MAX, !(1 << 13), 1 << 13),
        (5, 0, 0),
        (1 << 13, 0, 1 << 13),
        (u32::MAX, 1 << 13, 0),
    ] {
        for (what, value) in [(filter, filtered), (register, cleared)] {
            let value = Data::DoubleLongUnsigned(value);
            let set = peer.set(&mut world, what, &value);
            assert_eq!(set, DataAccessResult::Success);
        }
        let left = Data::DoubleLongUnsigned(left);
        assert_eq!(peer.get(&mut world, register), Ok(left));
    }
    let some = Data::DoubleLongUnsigned(5);
    assert_eq!(
        peer.set(&mut world, filter, &some),
        DataAccessResult::Success
    );
    let wrong = peer.set(&mut world, filter, &Data::Boolean(true));
    assert_eq!(wrong, DataAccessResult::TypeUnmatched);
    world.restart();
    let mut peer = world.associate(0, MANAGEMENT);
    assert_eq!(peer.get(&mut world, filter), Ok(some));
}

#[test]
fn octets_of_no_meaning_do_no_harm() {
    let mut world = world();
    let template = world.options.template.clone();
    let objects: Vec<_> = template
        .objects
        .values()
        .map(|object| (object.class, object.obis))
        .collect();
    let mut random = Random(11);
    let mut changed = 0;
    for round in 0..20_000_u64 {
        let (class, obis) = objects[random.up_to(objects.len())];
        let id = i8::from_be_bytes([random.below(256).to_le_bytes()[0] >> 4]);
        let data = arbitrary(&mut random, 3).to_octets();
        let now = world.now;
        let mut session = world
            .fleet
            .session(0, now, &world.entropy)
            .unwrap()
            .unwrap();
        let caller = Caller {
            client: MANAGEMENT,
            mechanism: MechanismName::HighGmac,
            protection: Protection::None,
            verified: None,
            broadcast: false,
        };
        let attribute = dlms::cosem::AttributeDescriptor::new(class, obis, id);
        let value = RawData::new(&data);
        let selection =
            ProfileSelection::from_descriptor(&dlms::cosem::SelectiveAccessDescriptor {
                access_selector: 1 + round.to_le_bytes()[0] % 2,
                access_parameters: value,
            });
        let selection = selection.ok().map(Selection::Profile);
        let mut out = Vec::new();
        if session
            .get(&caller, &attribute, selection.as_ref(), &mut out)
            .is_ok()
        {
            assert!(RawData::new(&out).decode().is_ok(), "{obis} {id}");
        }
        changed += usize::from(session.set(&caller, &attribute, None, value).is_ok());
        let method = MethodDescriptor::new(class, obis, id);
        out.clear();
        changed += usize::from(
            session
                .invoke(&caller, &method, Some(value), &mut out)
                .is_ok(),
        );
    }
    assert!(changed > 10, "only {changed} of the writes meant something");
    // Whatever was set, the meter goes on and comes back.
    world.pass(86_400);
    world.restart();
    let device = world.fleet.device(0).unwrap();
    assert_eq!(device.breaker_state(), BreakerState::Connected);
}

#[test]
fn octets_on_the_link_do_no_harm() {
    let mut world = world();
    let mut peer = world.associate(0, MANAGEMENT);
    peer.get(&mut world, ENERGY).unwrap();
    assert_eq!(
        peer.invoke(&mut world, DISCONNECT, None),
        ActionResult::Success
    );
    assert_eq!(
        peer.invoke(&mut world, RECONNECT, None),
        ActionResult::Success
    );
    let sent = peer.sent.clone();
    let mut random = Random(12);
    for _ in 0..5_000 {
        let mut octets = sent[random.up_to(sent.len())].clone();
        for _ in 0..random.below(4) {
            let at = random.up_to(octets.len());
            octets[at] = random.below(256).to_le_bytes()[0];
        }
        octets.truncate(1 + random.up_to(octets.len()));
        peer.raw(&mut world, &octets);
    }
    let device = world.fleet.device(0).unwrap();
    assert_eq!(device.breaker_state(), BreakerState::Connected);
    let mut peer = world.associate(0, MANAGEMENT);
    peer.get(&mut world, ENERGY).unwrap();
}

fn arbitrary(random: &mut Random, depth: u32) -> Data {
    let octets = |random: &mut Random| -> Vec<u8> {
        let len = [0, 1, 5, 12, 16][random.up_to(5)];
        (0..len)
            .map(|_| random.below(256).to_le_bytes()[0])
            .collect()
    };
    match random.below(if depth == 0 { 8 } else { 10 }) {
        0 => Data::NullData,
        1 => Data::Boolean(random.below(2) == 0),
        2 => Data::Enum(random.below(8).to_le_bytes()[0]),
        3 => Data::Long(i16::from_le_bytes([0, random.below(256).to_le_bytes()[0]])),
        4 => Data::DoubleLongUnsigned(u32::MAX >> random.below(32)),
        5 => Data::OctetString(octets(random)),
        6 => Data::LongUnsigned(u16::MAX >> random.below(16)),
        7 => {
            let secs = 1_700_000_000 + random.below(200_000_000).cast_signed();
            let at = Timestamp::from_secs(secs);
            let time = DateTime::from_unix_seconds(at.secs(), -60, dlms::axdr::ClockStatus::OK);
            Data::date_time_octets(&time.unwrap())
        }
        8 => Data::Structure(
            (0..random.below(5))
                .map(|_| arbitrary(random, depth - 1))
                .collect(),
        ),
        _ => Data::Array(
            (0..random.below(3))
                .map(|_| arbitrary(random, depth - 1))
                .collect(),
        ),
    }
}

#[test]
fn a_failed_association_says_why() {
    let mut world = world();
    // Below the counter object's value the meter refuses, and says what it expects.
    world.associate(0, MANAGEMENT).release(&mut world);
    let mut peer = world.connect(0, MANAGEMENT, 0);
    let failure = peer.associate(&mut world).unwrap_err();
    assert!(!matches!(failure, Failure::LinkLost), "{failure:?}");
}
