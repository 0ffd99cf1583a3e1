//! Outlet meters and the head end in virtual time: connections that break,
//! either side killed, journals cut off in the middle of a record.
//!
//! Evidence: both sides are ours; what must be in the store is counted by the
//! test itself, from what it let the meter measure. The messages' form is held
//! against the figures in `model`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use headend::outlets::{
    Body, Enrolment, Input, OrderError, OutletHead, OutletSettings, OutletStore as _, Output,
    Record, Refusal, SqliteOutlets,
};
use meter::outlets as device;
use model::xml::{
    CivilDateTime, OutletId, OutletPower, Section, Sections, SmartMeterId, Switch, ToServer,
    ToSmartMeter, XmlMessage,
};
use model::{BreakerAction, BreakerOrder, MessageClass};

const METER: SmartMeterId = SmartMeterId(5);
const SECTION: u64 = 600;

/// A file of a meter that may be killed.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Vec<u8>>>);

impl device::OutletJournal for Disk {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(())
    }

    fn replace(&mut self, octets: &[u8]) -> io::Result<()> {
        *self.0.lock().unwrap() = octets.to_vec();
        Ok(())
    }
}

/// splitmix64: the same seed, the same run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn chance(&mut self, per_mille: u64) -> bool {
        self.next() % 1_000 < per_mille
    }
}

fn at(text: &str) -> CivilDateTime {
    text.parse().unwrap()
}

fn config(key: Option<Vec<u8>>) -> device::OutletConfig {
    let outlets = (1..=3).map(|outlet| (OutletId(outlet), device::Thresholds::of_power(2_000)));
    let outlets = outlets.collect();
    device::OutletConfig {
        breaker_key: key,
        ..device::OutletConfig::new(METER, outlets)
    }
}

/// What an outlet draws: the same all through a section, now and then much.
fn power(outlet: OutletId, ordinal: u64) -> OutletPower {
    let noise = Random(ordinal / SECTION * 31 + u64::from(outlet.0)).next() % 2_200;
    let watts = u32::try_from(noise).unwrap();
    OutletPower {
        volts: 230,
        milliamperes: watts * 1_000 / 230,
        watts,
    }
}

struct World {
    folder: tempfile::TempDir,
    random: Random,
    since: CivilDateTime,
    disk: Disk,
    meter: Option<device::OutletMeter<Disk>>,
    head: Option<OutletHead<SqliteOutlets>>,
    connected: bool,
    up: VecDeque<String>,
    down: VecDeque<Body>,
    gaps: usize,
    told: usize,
}

impl World {
    fn new(seed: u64, since: CivilDateTime) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            random: Random(seed),
            since,
            disk: Disk::default(),
            meter: None,
            head: None,
            connected: false,
            up: VecDeque::new(),
            down: VecDeque::new(),
            gaps: 0,
            told: 0,
        }
    }

    fn start_meter(&mut self) {
        let meter = device::OutletMeter::open(config(None), self.disk.clone()).unwrap();
        self.meter = Some(meter);
    }

    fn kill_meter(&mut self, now: CivilDateTime) {
        self.meter = None;
        self.cut(now);
        // In the middle of a record that nobody was told of.
        let torn = self.random.next().to_le_bytes();
        self.disk.0.lock().unwrap().extend_from_slice(&torn[..5]);
    }

    fn start_head(&mut self) {
        let enrolment = Enrolment {
            meter: METER,
            outlets: (1..=3).map(OutletId).collect(),
            since: self.since,
        };
        let store = SqliteOutlets::open(&self.folder.path().join("outlets.sqlite")).unwrap();
        let head = OutletHead::open(OutletSettings::default(), vec![enrolment], store).unwrap();
        self.head = Some(head);
    }

    fn kill_head(&mut self, now: CivilDateTime) {
        self.head = None;
        self.cut(now);
    }

    /// Breaks the connection: what is under way is lost.
    fn cut(&mut self, now: CivilDateTime) {
        if !std::mem::take(&mut self.connected) {
            return;
        }
        self.up.clear();
        self.down.clear();
        if let Some(meter) = &mut self.meter {
            meter.handle(device::Input::Disconnected, now).unwrap();
        }
        if let Some(head) = &mut self.head {
            head.handle(Input::Disconnected(METER), now).unwrap();
        }
    }

    fn connect(&mut self, now: CivilDateTime) {
        if self.connected {
            return;
        }
        if let (Some(meter), Some(head)) = (&mut self.meter, &mut self.head) {
            meter.handle(device::Input::Connected, now).unwrap();
            head.handle(Input::Connected(METER), now).unwrap();
            self.connected = true;
        }
    }

    /// Carries messages, some of which take until the next turn.
    fn carry(&mut self, now: CivilDateTime) {
        for _ in 0..2 {
            if let Some(meter) = &mut self.meter {
                while let Some(message) = meter.next_message() {
                    self.told += 1;
                    self.up.push_back(message.xml);
                }
                while meter.poll().is_some() {}
            }
            if let Some(head) = &mut self.head {
                while let Some(output) = head.poll() {
                    match output {
                        Output::Send { body, .. } => self.down.push_back(body),
                        Output::Gap(..) => self.gaps += 1,
                        Output::Warning(..) => {}
                        Output::Refused(_, refusal) => panic!("{refusal}"),
                    }
                }
            }
            let some = self.random.next() % 40;
            for _ in 0..some {
                if let (Some(message), Some(head)) = (self.up.pop_front(), &mut self.head) {
                    head.handle(Input::Xml(METER, message.as_bytes()), now)
                        .unwrap();
                }
                if let (Some(Body::Xml(message)), Some(meter)) =
                    (self.down.pop_front(), &mut self.meter)
                {
                    let input = device::Input::Xml(message.as_bytes());
                    meter.handle(input, now).unwrap();
                }
            }
        }
    }
}

type Usage = BTreeMap<(OutletId, u64), OutletPower>;

fn run(seed: u64, days: u64) {
    let since = at("2026-11-20 00:00:00");
    let start = since.ordinal();
    let end = start + days * 86_400;
    let mut world = World::new(seed, since);
    world.start_meter();
    world.start_head();
    // What must be there in the end: counted here, from what was measured.
    let mut expected = Usage::new();
    let mut sampled: Option<u64> = None;
    let mut warned: BTreeSet<(OutletId, u64)> = BTreeSet::new();
    let mut above: BTreeSet<OutletId> = BTreeSet::new();
    let (mut meter_back, mut head_back, mut link_back) = (0, 0, 0);
    let (mut kills, mut cuts) = (0, 0);
    // Two quiet hours at the end, in which all that is left is asked for.
    for ordinal in (start..end + 7_200).step_by(60) {
        let now = CivilDateTime::from_ordinal(ordinal).unwrap();
        let quiet = ordinal >= end;
        let section = ordinal / SECTION * SECTION;
        if quiet {
            (meter_back, head_back, link_back) = (0, 0, 0);
        } else {
            let away = world.random.next() % 5_400;
            if world.meter.is_some() && world.random.chance(3) {
                world.kill_meter(now);
                sampled = None;
                above.clear();
                meter_back = ordinal + away / 4;
                kills += 1;
            } else if world.head.is_some() && world.random.chance(3) {
                world.kill_head(now);
                head_back = ordinal + away / 2;
                kills += 1;
            } else if world.connected && world.random.chance(6) {
                world.cut(now);
                link_back = ordinal + away;
                cuts += 1;
            }
        }
        if world.meter.is_none() && ordinal >= meter_back {
            world.start_meter();
        }
        if world.head.is_none() && ordinal >= head_back {
            world.start_head();
        }
        if ordinal >= link_back {
            world.connect(now);
        }
        if let Some(meter) = &mut world.meter {
            if let Some(closed) = sampled.filter(|sampled| *sampled != section) {
                for outlet in (1..=3).map(OutletId) {
                    expected.insert((outlet, closed), power(outlet, closed));
                }
            }
            sampled = Some(section);
            for outlet in (1..=3).map(OutletId) {
                let power = power(outlet, ordinal);
                meter
                    .handle(device::Input::Measured(outlet, power), now)
                    .unwrap();
                if power.watts < 2_000 {
                    above.remove(&outlet);
                } else if above.insert(outlet) {
                    warned.insert((outlet, ordinal));
                }
            }
        }
        if let Some(head) = &mut world.head {
            head.handle(Input::Tick, now).unwrap();
        }
        world.carry(now);
    }
    assert!(kills > 4 && cuts > 4, "{kills} kills, {cuts} cuts");
    let mut usage = Usage::new();
    let mut warnings = BTreeSet::new();
    let head = world.head.as_mut().unwrap();
    head.store()
        .load(&mut |record| match record {
            Record::Usage {
                outlet, at, power, ..
            } => assert_eq!(usage.insert((outlet, at.ordinal()), power), None),
            Record::Warning { outlet, at, .. } => {
                assert!(warnings.insert((outlet, at.ordinal())));
            }
            _ => {}
        })
        .unwrap();
    // The last sections may still be in their time of grace.
    let due = end + 6_600;
    usage.retain(|(_, at), _| *at < due);
    expected.retain(|(_, at), _| *at < due);
    assert_eq!(usage, expected, "seed {seed}");
    assert_eq!(warnings, warned, "seed {seed}");
    let now = CivilDateTime::from_ordinal(end + 7_200).unwrap();
    // What is not there is known, section by section.
    let all = usize::try_from((due - start) / SECTION * 3).unwrap();
    let missing = head.missing(METER, now);
    assert_eq!(missing, all - usage.len(), "seed {seed}");
    assert!(missing > 0 && world.gaps > 0, "no gap was told");
    assert!(
        world.told > usage.len() / 3,
        "nothing was ever asked for again"
    );
}

#[test]
fn nothing_is_lost_or_doubled() {
    for seed in 1..=3 {
        run(seed, 3);
    }
}

/// A head end with one connected meter, and the meter.
fn pair(key: Option<Vec<u8>>) -> (World, CivilDateTime) {
    let now = at("2026-11-21 12:00:00");
    let mut world = World::new(1, now);
    world.start_head();
    let meter = device::OutletMeter::open(config(key), world.disk.clone()).unwrap();
    world.meter = Some(meter);
    world.connect(now);
    (world, now)
}

fn later(time: CivilDateTime, seconds: u64) -> CivilDateTime {
    CivilDateTime::from_ordinal(time.ordinal() + seconds).unwrap()
}

/// What the head end sends.
fn sent(head: &mut OutletHead<SqliteOutlets>) -> Vec<(MessageClass, Body)> {
    std::iter::from_fn(|| head.poll())
        .filter_map(|output| match output {
            Output::Send { class, body, .. } => Some((class, body)),
            _ => None,
        })
        .collect()
}

/// The one message that the head end sends.
fn one(head: &mut OutletHead<SqliteOutlets>) -> Option<(MessageClass, Body)> {
    let mut sent = sent(head);
    let message = sent.pop();
    assert!(sent.is_empty(), "{sent:?}");
    message
}

fn outputs(meter: &mut device::OutletMeter<Disk>) -> Vec<String> {
    std::iter::from_fn(|| meter.poll())
        .map(|output| format!("{output:?}"))
        .collect()
}

#[test]
fn outlets_are_switched_once_and_stay_so() {
    let (mut world, now) = pair(None);
    let head = world.head.as_mut().unwrap();
    let order = vec![(OutletId(1), Switch::Off), (OutletId(2), Switch::On)];
    head.switch(METER, order, now).unwrap();
    let Some((MessageClass::Control, Body::Xml(first))) = one(head) else {
        panic!("no order")
    };
    head.switch(METER, vec![(OutletId(1), Switch::On)], now)
        .unwrap();
    let Some((_, Body::Xml(second))) = one(head) else {
        panic!("no order")
    };
    let unknown = head.switch(METER, vec![(OutletId(9), Switch::Off)], now);
    assert!(matches!(unknown, Err(OrderError::Unknown)));

    let meter = world.meter.as_mut().unwrap();
    for message in [&first, &second, &first, &second] {
        let input = device::Input::Xml(message.as_bytes());
        meter.handle(input, later(now, 5)).unwrap();
    }
    let done = [
        "Switch(OutletId(1), Off)",
        "Switch(OutletId(2), On)",
        "Switch(OutletId(1), On)",
    ];
    assert_eq!(outputs(meter), done);
    // After a restart the outlets are as they were ordered, and what comes
    // again does nothing.
    world.kill_meter(now);
    world.start_meter();
    let meter = world.meter.as_mut().unwrap();
    assert_eq!(
        outputs(meter),
        ["Switch(OutletId(1), On)", "Switch(OutletId(2), On)"]
    );
    // The head end tells its orders anew on each connection.
    world.connect(later(now, 60));
    let again = sent(world.head.as_mut().unwrap());
    assert_eq!(again.len(), 2);
    let meter = world.meter.as_mut().unwrap();
    for (_, body) in again {
        let Body::Xml(xml) = body else { panic!() };
        let input = device::Input::Xml(xml.as_bytes());
        meter.handle(input, later(now, 60)).unwrap();
    }
    assert!(outputs(meter).is_empty());
    // An old order, and one from the future.
    for time in [later(now, 3_600), at("2026-11-21 10:00:00")] {
        let input = device::Input::Xml(first.as_bytes());
        meter.handle(input, time).unwrap();
        assert_eq!(outputs(meter), ["Refused(Stale)"]);
    }
    // What is no message is refused with the place and the reason, in few characters.
    let long = format!("<SM>{}</SM>", "ä".repeat(3_000));
    for (wrong, why) in [
        ("", "offset 0"),
        ("<SM/>", "offset "),
        (
            "<!DOCTYPE a [<!ENTITY b 'c'>]><SM>&b;</SM>",
            "has no place in a message",
        ),
        (long.as_str(), "offset "),
    ] {
        let input = device::Input::Xml(wrong.as_bytes());
        meter.handle(input, now).unwrap();
        let Some(device::Output::Refused(refusal)) = meter.poll() else {
            panic!("{wrong}: not refused")
        };
        let told = refusal.to_string();
        assert!(told.starts_with("it is no message to a smart meter: "));
        assert!(told.contains(why), "{told}");
        assert!(told.chars().count() <= 200, "{told}");
        assert!(meter.poll().is_none());
    }
}

fn retransmission(outlet: OutletId, now: CivilDateTime, (first, last): (u8, u8)) -> ToSmartMeter {
    let section = |number| Section::new(number).unwrap();
    ToSmartMeter::Retransmission {
        timestamp: now,
        outlet,
        day: at("2026-11-20 00:00:00").date(),
        sections: Sections::new(section(first), section(last)).unwrap(),
    }
}

#[test]
fn a_range_of_sections_that_is_asked_for_comes_once_more() {
    let mut world = World::new(1, at("2026-11-20 00:00:00"));
    world.start_meter();
    let meter = world.meter.as_mut().unwrap();
    // A day, and ten minutes so that its last section is closed.
    let midnight = at("2026-11-20 00:00:00").ordinal();
    for ordinal in (midnight..midnight + 145 * SECTION).step_by(300) {
        let now = CivilDateTime::from_ordinal(ordinal).unwrap();
        for outlet in (1..=3).map(OutletId) {
            let input = device::Input::Measured(outlet, power(outlet, ordinal));
            meter.handle(input, now).unwrap();
        }
    }
    let now = at("2026-11-21 00:20:00");
    meter.handle(device::Input::Connected, now).unwrap();
    let taken = |meter: &mut device::OutletMeter<Disk>| {
        std::iter::from_fn(|| meter.next_message()).collect::<Vec<_>>()
    };
    taken(meter);
    for (outlet, first, last) in [(2, 5, 9), (1, 1, 1), (3, 144, 144), (2, 1, 144)] {
        let outlet = OutletId(outlet);
        let order = XmlMessage::ToSmartMeter(retransmission(outlet, now, (first, last)));
        let order = order.write().unwrap();
        // Asked twice before it answers, it answers once.
        for _ in 0..2 {
            meter
                .handle(device::Input::Xml(order.as_bytes()), now)
                .unwrap();
        }
        let expected: Vec<_> = (first..=last)
            .map(|section| {
                let begun = midnight + u64::from(section - 1) * SECTION;
                ToServer::QueryPower {
                    meter: METER,
                    timestamp: CivilDateTime::from_ordinal(begun).unwrap(),
                    outlets: vec![(outlet, power(outlet, begun))],
                }
            })
            .collect();
        let told: Vec<_> = taken(meter)
            .into_iter()
            .map(|message| {
                assert_eq!(message.class, MessageClass::Usage);
                match XmlMessage::read(message.xml.as_bytes()).unwrap() {
                    XmlMessage::ToServer(told) => told,
                    other @ XmlMessage::ToSmartMeter(_) => panic!("{other:?}"),
                }
            })
            .collect();
        assert_eq!(told, expected, "outlet {outlet}, {first} to {last}");
    }
    assert!(outputs(meter).is_empty());
}

#[test]
fn power_current_and_voltage_each_warn_at_a_threshold_of_their_own() {
    let mut config = config(None);
    let all = device::Thresholds {
        watts: 2_000,
        milliamperes: Some(10_000),
        volts: Some(253),
    };
    config.outlets.insert(OutletId(2), all);
    let mut meter = device::OutletMeter::open(config, Disk::default()).unwrap();
    let mut now = at("2026-11-21 12:00:00");
    meter.handle(device::Input::Connected, now).unwrap();
    for (outlet, volts, milliamperes, watts, warns) in [
        (2, 230, 1_000, 230, false),
        (2, 253, 1_000, 253, true),
        (2, 260, 1_000, 260, false),
        // While the voltage is still above.
        (2, 260, 10_000, 1_999, true),
        (2, 252, 10_000, 1_999, false),
        // Two at once are one warning.
        (2, 253, 10_000, 2_000, true),
        (2, 252, 9_999, 1_999, false),
        (2, 230, 8_700, 2_000, true),
        // An outlet with a threshold of power alone.
        (1, 400, 60_000, 1_999, false),
        (1, 400, 60_000, 2_000, true),
    ] {
        now = later(now, 1);
        let outlet = OutletId(outlet);
        let power = OutletPower {
            volts,
            milliamperes,
            watts,
        };
        meter
            .handle(device::Input::Measured(outlet, power), now)
            .unwrap();
        let told: Vec<_> = std::iter::from_fn(|| meter.next_message()).collect();
        let warning = XmlMessage::ToServer(ToServer::WarnToChange {
            meter: METER,
            timestamp: now,
            outlets: vec![(outlet, 1)],
        });
        let wanted = warns.then(|| device::Outgoing {
            class: MessageClass::Warning,
            xml: warning.write().unwrap(),
        });
        assert_eq!(told, Vec::from_iter(wanted), "{outlet}: {power:?}");
    }
}

#[test]
fn costs_are_told_and_kept() {
    let (mut world, now) = pair(None);
    let head = world.head.as_mut().unwrap();
    head.cost(METER, 11, (1, 20), 1_234, now).unwrap();
    assert!(head.cost(METER, 13, (1, 20), 1, now).is_err());
    let Some((MessageClass::Billing, Body::Xml(xml))) = one(head) else {
        panic!("no cost")
    };
    let meter = world.meter.as_mut().unwrap();
    for _ in 0..2 {
        meter
            .handle(device::Input::Xml(xml.as_bytes()), now)
            .unwrap();
    }
    assert_eq!(outputs(meter).len(), 1);
    world.kill_meter(now);
    world.start_meter();
    let cost = world.meter.as_ref().unwrap().cost().unwrap();
    assert_eq!(
        (cost.month, cost.day_start, cost.day_end, cost.total),
        (11, 1, 20, 1_234)
    );
}

#[test]
fn a_message_counts_only_for_the_meter_that_is_connected() {
    let (mut world, now) = pair(None);
    let head = world.head.as_mut().unwrap();
    assert!(sent(head).is_empty());
    let message = |meter: &str, outlet: &str, time: &str| {
        let message = XmlMessage::ToServer(ToServer::QueryPower {
            meter: SmartMeterId(meter.parse().unwrap()),
            timestamp: at(time),
            outlets: vec![(OutletId(outlet.parse().unwrap()), power(OutletId(1), 0))],
        });
        message.write().unwrap()
    };
    for (xml, refusal) in [
        (
            message("6", "1", "2026-11-21 12:00:00"),
            Refusal::OtherMeter,
        ),
        (message("5", "9", "2026-11-21 12:00:00"), Refusal::Unknown),
        (message("5", "1", "2026-11-21 13:00:00"), Refusal::Time),
        (message("5", "1", "2026-11-21 11:00:00"), Refusal::Time),
        (
            "<server>".to_owned(),
            Refusal::Malformed(XmlMessage::read(b"<server>").unwrap_err().to_string()),
        ),
        (
            XmlMessage::ToSmartMeter(retransmission(OutletId(1), now, (1, 2)))
                .write()
                .unwrap(),
            Refusal::ToMeter,
        ),
    ] {
        head.handle(Input::Xml(METER, xml.as_bytes()), now).unwrap();
        assert_eq!(head.poll(), Some(Output::Refused(METER, refusal)), "{xml}");
        assert_eq!(head.poll(), None);
    }
    let mut stored = 0;
    head.store().load(&mut |_| stored += 1).unwrap();
    assert_eq!(stored, 0);
}

#[test]
fn the_breaker_takes_signed_envelopes_only() {
    let random = SystemRandom::new();
    let make = || {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.unwrap().as_ref()).unwrap()
    };
    let (key, other) = (make(), make());
    let public = key.public_key().as_ref().to_vec();
    let (mut world, now) = pair(Some(public.clone()));
    let unix = 1_795_262_400;
    let head = world.head.as_mut().unwrap();
    let sign = |key: &EcdsaKeyPair, octets: &[u8]| {
        let signature = key.sign(&random, octets).unwrap();
        signature.as_ref().try_into().ok()
    };
    let order = |head: &mut OutletHead<SqliteOutlets>, key: &EcdsaKeyPair| {
        head.breaker(METER, BreakerAction::Open, unix + 60, &mut |octets| {
            sign(key, octets)
        })
        .unwrap();
        let Some((MessageClass::Control, Body::Envelope(envelope))) = one(head) else {
            panic!("no envelope")
        };
        envelope
    };
    let good = order(head, &key);
    let foreign = order(head, &other);
    let next = order(head, &key);
    let refused = head.breaker(METER, BreakerAction::Open, unix + 60, &mut |_| None);
    assert!(matches!(refused, Err(OrderError::NotSigned)));
    assert!(sent(head).is_empty());

    let meter = world.meter.as_mut().unwrap();
    let give = |meter: &mut device::OutletMeter<Disk>, octets: &[u8], unix: u64| {
        meter
            .handle(device::Input::Envelope(octets, unix), now)
            .unwrap();
        let done = outputs(meter);
        assert_eq!(done.len(), 1, "{done:?}");
        done.into_iter().next().unwrap()
    };
    // Neither counts under the other's protocol identifier.
    let switching = XmlMessage::ToSmartMeter(ToSmartMeter::ControlOnOff {
        timestamp: now,
        outlets: vec![(OutletId(1), Switch::Off)],
    });
    let switching = switching.write().unwrap();
    assert_eq!(
        give(meter, switching.as_bytes(), unix),
        "Refused(NoEnvelope)"
    );
    meter.handle(device::Input::Xml(&good), now).unwrap();
    let done = outputs(meter);
    assert_eq!(done.len(), 1, "{done:?}");
    assert!(done[0].starts_with("Refused(Malformed("), "{done:?}");
    assert_eq!(meter.switch(OutletId(1)), None);
    // Any octet changed, a stranger's key, too late, another meter's.
    for place in 0..good.len() {
        let mut changed = good.clone();
        changed[place] ^= 1;
        let told = give(meter, &changed, unix);
        assert!(told.starts_with("Refused"), "octet {place}: {told}");
    }
    assert_eq!(give(meter, &foreign, unix), "Refused(Signature)");
    assert_eq!(give(meter, &good, unix + 60), "Refused(NotNow)");
    let elsewhere = BreakerOrder {
        meter: SmartMeterId(6),
        sequence: 9,
        expires: unix + 60,
        action: BreakerAction::Open,
    };
    let signature: [u8; 64] = sign(&key, &elsewhere.signed()).unwrap();
    let elsewhere = [elsewhere.signed().as_slice(), &signature].concat();
    assert_eq!(give(meter, &elsewhere, unix), "Refused(NotNow)");
    // Then once, and not again, also not after a restart.
    assert!(give(meter, &good, unix).starts_with("Breaker(Open"));
    assert_eq!(give(meter, &good, unix), "Refused(NotNow)");
    let mut meter = device::OutletMeter::open(config(Some(public)), world.disk.clone()).unwrap();
    assert_eq!(give(&mut meter, &good, unix), "Refused(NotNow)");
    assert!(give(&mut meter, &next, unix).starts_with("Breaker(Open"));
    // A meter without a key obeys nobody.
    let mut meter = device::OutletMeter::open(config(None), Disk::default()).unwrap();
    assert_eq!(give(&mut meter, &next, unix), "Refused(Signature)");
    // And the head end never uses a sequence twice.
    world.kill_head(now);
    world.start_head();
    world.connect(now);
    let head = world.head.as_mut().unwrap();
    sent(head);
    let last = order(head, &key);
    assert_eq!(BreakerOrder::read(&last).unwrap().0.sequence, 5);
}

/// The service of both sides on real sockets, with TLS.
mod service {
    use std::path::Path;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use headend::outlets::serve;
    use link::{Clock, Endpoint, SctpSocket, SystemClock};
    use meter::outlets::{OutletShell, Sockets};

    use super::*;

    /// A clock whose time of day the test sets.
    struct SetClock {
        system: SystemClock,
        unix: AtomicI64,
    }

    impl Clock for SetClock {
        fn now(&self) -> dlms::Instant {
            self.system.now()
        }

        fn unix_seconds(&self) -> i64 {
            self.unix.load(Ordering::Relaxed)
        }
    }

    /// Outlets that draw 100 W, and write down what they are told.
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<String>>>);

    impl Sockets for Told {
        fn measure(&mut self, _: CivilDateTime) -> Vec<(OutletId, OutletPower)> {
            let power = OutletPower {
                volts: 230,
                milliamperes: 435,
                watts: 100,
            };
            (1..=3).map(|outlet| (OutletId(outlet), power)).collect()
        }

        fn obey(&mut self, output: device::Output) {
            self.0.lock().unwrap().push(format!("{output:?}"));
        }
    }

    /// An authority, and a certificate of each side.
    fn papers(folder: &Path) -> Vec<u8> {
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = authority.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(authority, key);
        std::fs::write(folder.join("ca.pem"), certificate.pem()).unwrap();
        let mut last = Vec::new();
        for side in ["server.example", "meter.example"] {
            let key = rcgen::KeyPair::generate().unwrap();
            let params = rcgen::CertificateParams::new(vec![side.to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &issuer).unwrap();
            std::fs::write(folder.join(format!("{side}.pem")), certificate.pem()).unwrap();
            std::fs::write(folder.join(format!("{side}.key")), key.serialize_pem()).unwrap();
            last = certificate.der().to_vec();
        }
        last
    }

    async fn until(what: &str, mut done: impl FnMut() -> bool) {
        for _ in 0..10_000 {
            if done() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_meter_calls_is_known_by_its_certificate_and_does_what_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = papers(folder.path());
        let clock = Arc::new(SetClock {
            system: SystemClock::new(),
            unix: AtomicI64::new(1_795_262_400),
        });
        let shared: Arc<dyn Clock> = Arc::<SetClock>::clone(&clock);
        let url = |side: &str, rest: &str| -> Endpoint {
            let at = |name: &str| folder.path().join(name).display().to_string();
            let url = format!(
                "sctps://127.0.0.1?ca={}&cert={}&key={}{rest}",
                at("ca.pem"),
                at(&format!("{side}.pem")),
                at(&format!("{side}.key"))
            );
            url.parse().unwrap()
        };
        let listening = url("server.example", "&udp=0");
        let socket = SctpSocket::listen(&listening, 16, &shared).await.unwrap();
        let server = url("meter.example", "&name=server.example").with_udp_port(socket.udp_port());
        let file = folder.path().join("outlets.sqlite");
        let enrolment = Enrolment {
            meter: METER,
            outlets: (1..=3).map(OutletId).collect(),
            since: CivilDateTime::of_unix(shared.unix_seconds(), 3_600).unwrap(),
        };
        let store = SqliteOutlets::open(&file).unwrap();
        let head = OutletHead::open(OutletSettings::default(), vec![enrolment], store).unwrap();
        let identify: headend::outlets::Identify =
            Arc::new(move |shown| (shown == Some(&certificate)).then_some(METER));
        let (orders, task) = serve(head, socket, identify, Arc::clone(&shared), 3_600, |_| {});

        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let pkcs8 = pkcs8.unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref());
        let key = key.unwrap();
        let public = key.public_key().as_ref().to_vec();
        let machine = device::OutletMeter::open(config(Some(public)), Disk::default()).unwrap();
        let told = Told::default();
        let shell = OutletShell::new(machine, told.clone(), server, Arc::clone(&shared), 3_600);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(shell.run(async {
            drop(stopped.await);
        }));

        // An order waits for the meter.
        let off = vec![(OutletId(2), Switch::Off)];
        orders.switch(METER, off).await.unwrap();
        let has = |text: &str| told.0.lock().unwrap().iter().any(|told| told == text);
        until("not switched", || has("Switch(OutletId(2), Off)")).await;
        orders.cost(METER, 11, (1, 20), 99).await.unwrap();
        until("no cost told", || {
            let told = told.0.lock().unwrap();
            told.iter().any(|told| told.starts_with("Cost"))
        })
        .await;
        // A section ends.
        clock.unix.fetch_add(600, Ordering::Relaxed);
        let mut store = SqliteOutlets::open(&file).unwrap();
        until("no usage", || {
            let mut outlets = 0;
            store
                .load(&mut |record| outlets += usize::from(matches!(record, Record::Usage { .. })))
                .unwrap();
            outlets >= 3
        })
        .await;
        // The breaker: unsigned it is not even sent.
        let refused = orders.breaker(METER, BreakerAction::Open, u64::MAX, Box::new(|_| None));
        assert!(matches!(refused.await, Err(OrderError::NotSigned)));
        let sign = move |octets: &[u8]| {
            let signature = key.sign(&SystemRandom::new(), octets).ok()?;
            signature.as_ref().try_into().ok()
        };
        orders
            .breaker(METER, BreakerAction::Open, u64::MAX, Box::new(sign))
            .await
            .unwrap();
        until("the breaker is not open", || {
            has("Breaker(Open, OrderVerified(()))")
        })
        .await;
        drop(stop);
        running.await.unwrap().unwrap();
        task.abort();
    }
}
