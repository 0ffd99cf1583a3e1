//! The machine against a simulated radio processor with a meter behind it.
//! Evidence: self-agreement on the frames, which `interop/han` holds against
//! bellows and zigpy; for what may leave, a count at the processor.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails shall stop where it does; helpers are not test functions"
)]

mod processor;

use std::collections::BTreeSet;

use super::*;
use crate::egress::{ALLOWED, Cleared, What};
use crate::measure::Report;
use processor::{METER, Processor};

const CODE: &str = "83FED3407A939723A5C639B26916D505C3B5";

fn config() -> Config {
    Config {
        meter: None,
        network: None,
        channels: 0x07FF_F800,
        key: Some(CODE.parse::<crate::zcl::InstallCode>().unwrap().link_key()),
    }
}

/// Machine and processor, the line between them, and time.
struct Pair {
    radio: Radio,
    processor: Processor,
    now: Instant,
    /// One octet in so many is damaged on the line, each way.
    damage: Option<u64>,
    random: u64,
    own: Option<u64>,
    connected: Vec<Found>,
    reports: Vec<Report>,
    answered: Vec<u64>,
    failed: Option<Fault>,
}

impl Pair {
    fn new(config: Config, processor: Processor) -> Self {
        let now = Instant::from_micros(1_000_000);
        Self {
            radio: Radio::new(config, now),
            processor,
            now,
            damage: None,
            random: 0x9E37_79B9_7F4A_7C15,
            own: None,
            connected: Vec::new(),
            reports: Vec::new(),
            answered: Vec::new(),
            failed: None,
        }
    }

    fn damaged(&mut self, mut octets: Vec<u8>) -> Vec<u8> {
        let Some(one_in) = self.damage else {
            return octets;
        };
        for octet in &mut octets {
            self.random ^= self.random >> 12;
            self.random ^= self.random << 25;
            self.random ^= self.random >> 27;
            if self.random.is_multiple_of(one_in) {
                *octet ^= 1 << (self.random >> 61);
            }
        }
        octets
    }

    /// Goes on until nothing moves any more; tells when the machine is due.
    fn settle(&mut self) -> Instant {
        loop {
            match self.radio.poll() {
                Output::Write(octets) => {
                    let octets = self.damaged(octets);
                    self.processor.handle(&octets);
                }
                Output::Radio { eui64 } => self.own = Some(eui64),
                Output::Connected(found) => self.connected.push(found),
                Output::Report(report) => self.reports.push(report),
                Output::Answered { number } => self.answered.push(number),
                Output::Failed(fault) => self.failed = Some(fault),
                Output::Timeout(due) => {
                    let octets = self.processor.written();
                    if octets.is_empty() {
                        return due;
                    }
                    let octets = self.damaged(octets);
                    self.radio.handle(Input::Octets(&octets), self.now);
                }
            }
        }
    }

    /// Goes on for so long.
    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let due = self.settle();
            // A processor repeats what is not acknowledged.
            let due = due.min(self.now + Duration::from_secs(1));
            if due > end {
                self.now = end;
                return;
            }
            self.now = due.max(self.now + Duration::from_millis(1));
            self.processor.repeat();
            self.radio.handle(Input::Elapsed, self.now);
        }
    }

    fn ask(&mut self, number: u64) {
        self.radio.handle(Input::Ask { number }, self.now);
        self.run(Duration::from_secs(7));
    }

    fn ready(config: Config, processor: Processor) -> Self {
        let mut pair = Self::new(config, processor);
        pair.run(Duration::from_secs(60));
        assert_eq!(pair.failed, None);
        assert_eq!(pair.connected.len(), 1);
        pair
    }
}

#[test]
fn a_network_is_taken_up_and_the_meter_read() {
    let mut pair = Pair::ready(config(), Processor::joined());
    assert_eq!(
        pair.connected,
        [Found {
            eui64: METER,
            node: 0,
            endpoint: 2,
            link_key_made: false,
        }]
    );
    assert_eq!(pair.own, Some(0x0909_0909_0909_0909));
    for number in 1..=3 {
        pair.ask(number);
    }
    assert_eq!(pair.answered, [1, 2, 3]);
    let report = pair.reports.last().unwrap();
    assert_eq!(report.total(1).unwrap().to_string(), "123456789 Wh");
    assert_eq!(report.net_power().unwrap().to_string(), "-1500 W");
    assert_eq!(report.meter.as_deref(), Some("GWD0001"));
    assert_eq!(pair.radio.counters().strays, 0);
    // One frame a poll.
    assert_eq!(pair.processor.unicasts(CLUSTER_METERING), 1 + 3);
}

#[test]
fn a_network_is_joined_with_an_install_code_and_a_link_key_made() {
    let pair = Pair::ready(config(), Processor::outside());
    assert!(pair.connected[0].link_key_made);
    let key = "66B6900981E1EE3CA4206B6B861C02BB";
    let given: String = pair
        .processor
        .key
        .iter()
        .map(|octet| format!("{octet:02X}"))
        .collect();
    assert_eq!(given, key, "as the install code hashes");
    assert_eq!(
        pair.processor.joined_pan,
        Some(0x1A62),
        "the best that lets in"
    );
    assert_eq!(pair.processor.stored, Some(true));
    let own: Vec<u8> = pair
        .processor
        .messages
        .keys()
        .filter(|(_, cluster, ..)| *cluster == CLUSTER_KEY_ESTABLISHMENT)
        .map(|(.., command)| *command)
        .collect();
    assert_eq!(own, [0, 1, 2], "initiate, ephemeral, confirm");
}

#[test]
fn a_meter_that_wants_keys_gets_them() {
    let mut processor = Processor::joined();
    processor.wants_keys = true;
    let pair = Pair::ready(config(), processor);
    assert!(pair.connected[0].link_key_made);
}

#[test]
fn without_a_code_no_network_is_joined() {
    let mut own = config();
    own.key = None;
    let mut pair = Pair::new(own, Processor::outside());
    pair.run(Duration::from_secs(60));
    assert_eq!(pair.failed, Some(Fault::NotJoined));

    let mut processor = Processor::outside();
    processor.lets_in = false;
    let mut pair = Pair::new(config(), processor);
    pair.run(Duration::from_secs(60));
    assert_eq!(pair.failed, Some(Fault::NoNetwork));
}

#[test]
fn another_meter_is_not_read() {
    let mut own = config();
    own.meter = Some(METER + 1);
    let mut pair = Pair::new(own, Processor::joined());
    pair.run(Duration::from_secs(120));
    assert_eq!(pair.failed, Some(Fault::NoMeter));
    assert_eq!(pair.processor.unicasts(CLUSTER_METERING), 0);

    // A node that serves no Metering cluster is no meter.
    let mut processor = Processor::joined();
    processor.serves = 0x0701;
    let mut pair = Pair::new(config(), processor);
    pair.run(Duration::from_secs(120));
    assert_eq!(pair.failed, Some(Fault::NoMeter));
}

#[test]
fn a_meter_beside_the_coordinator_is_found_and_verified() {
    let mut own = config();
    own.meter = Some(METER);
    let mut processor = Processor::joined();
    processor.meter_node = 0x4711;
    let mut pair = Pair::ready(own, processor);
    assert_eq!(pair.connected[0].node, 0x4711);
    pair.ask(1);
    assert_eq!(pair.answered, [1]);
    // The trust center is asked whether it is there, and missed.
    pair.run(Duration::from_secs(1_900));
    assert_eq!(pair.failed, None);
    assert!(pair.processor.unicasts(CLUSTER_KEY_ESTABLISHMENT) >= 3);
    pair.processor.silent = true;
    pair.run(Duration::from_secs(3_000));
    assert_eq!(
        pair.failed,
        Some(Fault::NoAnswer("keeping the network alive"))
    );
}

#[test]
fn a_certificate_of_another_or_a_wrong_code_makes_no_key() {
    let mut processor = Processor::outside();
    processor.subject = METER + 1;
    let mut pair = Pair::new(config(), processor);
    pair.run(Duration::from_secs(120));
    assert_eq!(pair.failed, Some(Fault::Keys(0x01)));
    assert_eq!(pair.processor.stored, Some(false));

    let mut processor = Processor::outside();
    processor.lies = true;
    let mut pair = Pair::new(config(), processor);
    pair.run(Duration::from_secs(120));
    assert_eq!(pair.failed, Some(Fault::Keys(0x02)));
    assert_eq!(pair.processor.stored, Some(false));
    let terminated = pair
        .processor
        .messages
        .keys()
        .any(|(_, cluster, _, command)| (*cluster, *command) == (0x0800, 3));
    assert!(terminated, "the other side is told");
}

#[test]
fn silence_is_met_with_another_join_and_then_told() {
    let mut processor = Processor::joined();
    processor.silent = true;
    let mut pair = Pair::new(config(), processor);
    pair.run(Duration::from_secs(300));
    assert!(matches!(pair.failed, Some(Fault::NoAnswer(_))));
    assert_eq!(pair.processor.rejoins, 1);

    let mut pair = Pair::ready(config(), Processor::joined());
    pair.processor.lose_network();
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.failed, Some(Fault::NetworkLost(0x91)));
}

#[test]
fn a_meter_that_comes_back_with_another_join_is_read() {
    let mut processor = Processor::joined();
    processor.silent = true;
    processor.comes_back = true;
    let mut pair = Pair::new(config(), processor);
    pair.run(Duration::from_secs(300));
    assert_eq!(pair.failed, None);
    assert_eq!(pair.processor.rejoins, 1);
    assert_eq!(pair.connected.len(), 1);
    pair.ask(1);
    assert_eq!(pair.answered, [1]);
    assert_eq!(pair.reports.len(), 1);
}

#[test]
fn a_processor_that_is_dead_old_or_restarts_is_told() {
    let mut processor = Processor::joined();
    processor.dead = true;
    let mut pair = Pair::new(config(), processor);
    pair.run(Duration::from_secs(60));
    assert_eq!(pair.failed, Some(Fault::Line(ash::Fault::Silent)));

    for version in [4, 14] {
        let mut processor = Processor::joined();
        processor.version = version;
        let mut pair = Pair::new(config(), processor);
        pair.run(Duration::from_secs(60));
        assert_eq!(pair.failed, Some(Fault::Version(version)));
    }
    for version in [8, 13] {
        let mut processor = Processor::joined();
        processor.version = version;
        Pair::ready(config(), processor);
    }

    let mut pair = Pair::ready(config(), Processor::joined());
    pair.processor.restart();
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.failed, Some(Fault::Line(ash::Fault::Restarted(2))));

    let mut pair = Pair::ready(config(), Processor::joined());
    pair.processor.dead = true;
    pair.ask(1);
    pair.run(Duration::from_secs(60));
    assert!(
        matches!(
            pair.failed,
            Some(Fault::Line(ash::Fault::Unacknowledged) | Fault::Radio { .. })
        ),
        "{:?}",
        pair.failed
    );
}

#[test]
fn a_noisy_line_loses_nothing() {
    let mut pair = Pair::new(config(), Processor::outside());
    pair.damage = Some(300);
    pair.run(Duration::from_secs(110));
    assert_eq!(pair.failed, None);
    assert_eq!(pair.connected.len(), 1);
    for number in 0..50 {
        pair.ask(number);
    }
    assert_eq!(pair.failed, None);
    assert_eq!(pair.answered.len(), 50);
    assert!(pair.processor.damaged > 5, "{}", pair.processor.damaged);
}

#[test]
fn answers_that_are_lost_are_missing_and_nothing_else() {
    let mut pair = Pair::ready(config(), Processor::joined());
    pair.processor.lose_one_in = Some(10);
    for number in 0..1_000 {
        pair.ask(number);
    }
    let lost = pair.processor.lost;
    assert!((50..200).contains(&lost), "{lost}");
    assert_eq!(pair.answered.len(), 1_000 - lost);
    assert_eq!(pair.reports.len(), pair.answered.len());
    let order: Vec<u64> = pair
        .answered
        .iter()
        .copied()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    assert_eq!(order, pair.answered, "in order, none twice");
}

/// A frame that sends a message, as a driver gone wrong would make it.
fn unicast(profile: u16, cluster: u16, contents: &[u8]) -> Vec<u8> {
    let mut out = vec![7, 0x00, 0x01, 0x34, 0x00, 0, 0, 0];
    out.extend_from_slice(&profile.to_le_bytes());
    out.extend_from_slice(&cluster.to_le_bytes());
    out.extend_from_slice(&[1, 2, 0x40, 0x01, 0, 0, 0, 9]);
    out.push(u8::try_from(contents.len()).unwrap());
    out.extend_from_slice(contents);
    out
}

/// Whether the table lets out what the processor has counted.
fn is_allowed(profile: u16, cluster: u16, control: u8, command: u8) -> bool {
    match profile {
        PROFILE_DEVICE => [0, 1, 2, 4, 5, 6].contains(&cluster),
        PROFILE_SMART_ENERGY => match control & 0x03 {
            0 => [0x00, 0x0C].contains(&command),
            _ => cluster == CLUSTER_KEY_ESTABLISHMENT && command < 4,
        },
        _ => false,
    }
}

/// Every command on every cluster, of all clusters and of its own: 33,554,432
/// frames at the machine's own interface.
#[test]
fn of_all_commands_on_all_clusters_only_what_reads_leaves() {
    let mut pair = Pair::ready(config(), Processor::joined());
    pair.processor.messages.clear();
    let mut let_out = 0_u64;
    let mut frame = unicast(PROFILE_SMART_ENERGY, 0, &[0, 1, 0, 0, 0]);
    let contents = frame.len() - 5;
    for cluster in 0..=u16::MAX {
        frame[10..12].copy_from_slice(&cluster.to_le_bytes());
        for control in [0x00, 0x01] {
            frame[contents] = control;
            for command in 0..=u8::MAX {
                frame[contents + 2] = command;
                if pair.radio.transmit(&frame, pair.now).is_ok() {
                    let_out += 1;
                    pair.settle();
                }
            }
        }
    }
    assert_eq!(let_out, 65_536 * 2 + 4);
    let counted: u64 = pair.processor.messages.values().sum();
    assert_eq!(counted, let_out, "what was let out is what came");
    let outside = pair
        .processor
        .messages
        .keys()
        .filter(|(profile, cluster, control, command)| {
            !is_allowed(*profile, *cluster, *control, *command)
        })
        .count();
    assert_eq!(outside, 0);
    assert_eq!(
        pair.radio.counters().refused,
        65_536 * 2 * 256 - let_out,
        "the rest was refused"
    );
    assert_eq!(pair.failed, None);
}

#[test]
fn of_all_commands_to_the_processor_only_the_tables_leave() {
    let mut pair = Pair::ready(config(), Processor::joined());
    pair.processor.frames.clear();
    for id in 0..=u16::MAX {
        let [low, high] = id.to_le_bytes();
        for parameters in [&[][..], &[0; 4], &[0xFF; 20]] {
            let frame = [&[7, 0x00, 0x01, low, high], parameters].concat();
            if pair.radio.transmit(&frame, pair.now).is_ok() {
                pair.settle();
            }
        }
    }
    let counted: BTreeSet<u16> = pair.processor.frames.keys().copied().collect();
    let table: BTreeSet<u16> = ALLOWED
        .iter()
        .filter_map(|rule| match rule.what {
            What::Radio(0x0034) => None,
            What::Radio(id) => Some(id),
            _ => None,
        })
        .collect();
    assert_eq!(counted, table);
    // Other headers, other ways to send, more nodes than one, lengths that lie.
    let good = unicast(PROFILE_SMART_ENERGY, CLUSTER_METERING, &[0, 1, 0, 0, 0]);
    assert!(egress::check_radio(&good).is_ok());
    for (index, octet) in [
        (1, 0x80),
        (1, 0x20),
        (2, 0x00),
        (2, 0x02),
        (5, 1),
        (5, 3),
        (20, 6),
        (20, 4),
    ] {
        let mut bad = good.clone();
        bad[index] = octet;
        assert!(
            egress::check_radio(&bad).is_err(),
            "octet {index}: {octet:#04x}"
        );
    }
    let mut broadcast = good.clone();
    broadcast[6..8].copy_from_slice(&[0xFC, 0xFF]);
    assert!(egress::check_radio(&broadcast).is_err());
    assert!(egress::check_radio(&good[..good.len() - 1]).is_err());
    assert!(egress::check_radio(&[good, vec![0]].concat()).is_err());
    assert!(egress::check_radio(&[]).is_err());
}

/// Device objects, all of them; and other profiles.
#[test]
fn of_all_requests_to_devices_only_what_finds_leaves() {
    let mut pair = Pair::ready(config(), Processor::joined());
    pair.processor.messages.clear();
    for profile in [PROFILE_DEVICE, 0x0104, 0xC05E, 0xFFFF] {
        for cluster in 0..=u16::MAX {
            let frame = unicast(profile, cluster, &[1, 0, 0, 0, 0]);
            if pair.radio.transmit(&frame, pair.now).is_ok() {
                pair.settle();
            }
        }
    }
    let counted: Vec<(u16, u16)> = pair
        .processor
        .messages
        .keys()
        .map(|(profile, cluster, ..)| (*profile, *cluster))
        .collect();
    let expected = [0, 1, 2, 4, 5, 6].map(|cluster| (PROFILE_DEVICE, cluster));
    assert_eq!(counted, expected);
}

/// Write Attributes: the multiplier becomes 2.
const PLANTED: [u8; 9] = [0x00, 0x2A, 0x02, 0x01, 0x03, 0x22, 2, 0, 0];

#[test]
fn a_planted_write_is_stopped_and_without_the_filter_it_is_counted() {
    let write = unicast(PROFILE_SMART_ENERGY, CLUSTER_METERING, &PLANTED);
    let key = (PROFILE_SMART_ENERGY, CLUSTER_METERING, 0x00, 0x02);
    // Planted behind the first check, right before the line.
    let mut pair = Pair::ready(config(), Processor::joined());
    pair.radio.queue.push_back(Zeroizing::new(write.clone()));
    pair.ask(1);
    assert_eq!(pair.processor.messages.get(&key), None);
    assert_eq!(pair.radio.counters().refused, 1);
    assert_eq!(pair.answered, [1], "reading goes on");
    // The same with a filter that lets all out: the count sees it.
    pair.radio
        .hand_over(Cleared::dangerous_unchecked(&write), pair.now);
    pair.radio.pump(pair.now);
    pair.settle();
    assert_eq!(pair.processor.messages.get(&key), Some(&1));
    let outside = pair
        .processor
        .messages
        .keys()
        .filter(|(p, c, control, command)| !is_allowed(*p, *c, *control, *command))
        .count();
    assert_eq!(outside, 1, "the mutated build is caught");
}

#[test]
fn a_hostile_processor_harms_nothing() {
    for seed in 1..=200_u64 {
        let mut pair = Pair::new(config(), Processor::outside());
        pair.random = seed.wrapping_mul(0x2545_F491_4F6C_DD1D);
        pair.processor.hostile = seed;
        pair.run(Duration::from_secs(90));
        for (profile, cluster, control, command) in pair.processor.messages.keys() {
            assert!(is_allowed(*profile, *cluster, *control, *command));
        }
    }
}
