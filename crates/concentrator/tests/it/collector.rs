//! Conventional mode on real meters, in virtual time and without sockets.
//!
//! Evidence: self-agreement from end to end. The meters are the project's own
//! with their real keys and journals' contents; what is compared is what the
//! concentrator kept with what the meters hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use concentrator::collector::log::{self, Log};
use concentrator::collector::state::{Bounds, NoticeKind, Record, State};
use concentrator::collector::{Collector, Settings};
use concentrator::core::{Core, Input, Output};
use concentrator::direct::{Connection, RouterLimits, SegmentId};
use concentrator::metering::{Mains, Metering, Sample, Thresholds};
use concentrator::sap::Table;
use concentrator::substation::{Limits, Substation};
use dlms::Instant;
use dlms::acse::MechanismName;
use dlms::axdr::{Data, RawData};
use dlms::client::{self, Client};
use dlms::codec::Wire as _;
use dlms::cosem::{AttributeDescriptor, Obis};
use dlms::security::{Protection, SystemTitle};
use dlms::server::{self, Caller, ObjectStore as _, Server};
use link::{KeyFile, Message, Node, SegmentEvent, SystemEntropy};
use meter::device::{Device, DeviceConfig, Session, Site};
use meter::journal::{Durable, JournalError, SegmentNumber, Title};
use meter::metrology::Fixed;
use meter::template::Template;
use model::{LogicalDeviceName, MessageClass, Phase, Timestamp};

pub(crate) const LOAD: Obis = Obis([1, 0, 99, 1, 0, 255]);
const EVENTS: Obis = Obis([0, 0, 99, 98, 0, 255]);
const FRAUD: Obis = Obis([0, 0, 99, 98, 1, 255]);
const SEGMENT: SegmentId = SegmentId(0);

/// 2026-11-21T12:00:00Z.
pub(crate) const NOON: i64 = 1_795_262_400;

/// A journal that keeps nothing: these meters do not restart.
pub(crate) struct Nowhere;

impl Durable for Nowhere {
    fn append(
        &mut self,
        _: Title,
        _: &meter::journal::Record<'_>,
    ) -> Result<SegmentNumber, JournalError> {
        Ok(SegmentNumber(0))
    }

    fn commit(&mut self) -> Result<(), JournalError> {
        Ok(())
    }
}

pub(crate) struct Metered {
    pub(crate) device: Device,
    server: Server,
    silent: bool,
}

/// Meters, and the concentrator before them.
struct Street {
    core: Core,
    keys: KeyFile,
    meters: Vec<Metered>,
    records: Vec<Record>,
    second: i64,
    up: Vec<Message>,
    /// Seconds that each answer takes.
    slow: i64,
}

pub(crate) fn name(number: usize) -> LogicalDeviceName {
    format!("GWD{number:013}").parse().unwrap()
}

pub(crate) fn settings(all: bool) -> Settings {
    Settings {
        name: "GWD1DC0000000001".parse().unwrap(),
        client: 3,
        title: SystemTitle(*b"GWDDC\0\0\x01"),
        profiles: vec![LOAD, EVENTS],
        every_s: 1_800,
        at_once: 4,
        backfill_days: 1,
        timeout: Duration::from_secs(10),
        summary: Duration::from_secs(60),
        all,
        listed: BTreeSet::new(),
    }
}

pub(crate) fn meter(keys: &link::MeterKeys, watts: u32) -> Metered {
    static TEMPLATE: OnceLock<Arc<Template>> = OnceLock::new();
    let template = TEMPLATE.get_or_init(|| Arc::new(Template::built_in("smr5").unwrap()));
    let config = DeviceConfig {
        template: Arc::clone(template),
        keys: keys.clone(),
        site: Site {
            place: "Lindenweg 14".parse().unwrap(),
            feeder: "F1".parse().unwrap(),
            phase: Phase::L1,
        },
        sap: 1,
        source: Arc::new(Fixed {
            import_w: watts,
            export_w: 0,
        }),
        installed: Timestamp::from_secs(NOON - 3 * 86_400),
        outages: Vec::new(),
        drift_ppb: 0,
    };
    let mut device = Device::new(config).unwrap();
    device
        .start(Timestamp::from_secs(NOON), &mut Nowhere)
        .unwrap();
    device
        .tick(Timestamp::from_secs(NOON), &mut Nowhere)
        .unwrap();
    device.committed();
    Metered {
        device,
        server: Server::new(server::Settings::default()),
        silent: false,
    }
}

impl Street {
    fn new(watts: &[u32], all: bool, build: impl FnOnce(Collector) -> Collector) -> Self {
        Self::with(settings(all), watts, build)
    }

    fn with(settings: Settings, watts: &[u32], build: impl FnOnce(Collector) -> Collector) -> Self {
        let count = u32::try_from(watts.len()).unwrap();
        let mut keys = KeyFile::generate(1, count, &SystemEntropy).unwrap();
        keys.add_client(3, &SystemEntropy).unwrap();
        let meters = keys.meters.iter().zip(watts);
        let meters = meters.map(|(keys, watts)| meter(keys, *watts)).collect();
        let state = State::new(Bounds::default());
        let collector = Self::collector(&keys, state, settings);
        let mut street = Self {
            core: core(build(collector)),
            keys,
            meters,
            records: Vec::new(),
            second: 0,
            up: Vec::new(),
            slow: 0,
        };
        street.join();
        street
    }

    fn collector(keys: &KeyFile, state: State, settings: Settings) -> Collector {
        let keys = keys.of_client(settings.client);
        Collector::new(settings, &keys, state, Arc::new(SystemEntropy))
    }

    fn join(&mut self) {
        self.core.add_segment(SEGMENT, 4, 2_048);
        for number in 0..self.meters.len() {
            let joined = SegmentEvent::Joined {
                node: node(number),
                server: 1,
                title: None,
                hops: 0,
            };
            self.handle(Input::FromSegment(SEGMENT, joined));
        }
    }

    /// Starts the concentrator again on the first `records` of its log.
    fn restart(&mut self, records: usize) {
        self.records.truncate(records);
        let mut state = State::new(Bounds::default());
        self.records.iter().for_each(|record| state.apply(record));
        self.core = core(Self::collector(&self.keys, state, settings(true)));
        self.join();
    }

    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.second).unwrap() * 1_000_000)
    }

    fn unix(&self) -> i64 {
        NOON + self.second
    }

    fn handle(&mut self, input: Input) {
        let (now, unix) = (self.now(), self.unix());
        self.core.handle(input, now, unix);
    }

    /// Lets seconds pass, with all that happens in them.
    fn run(&mut self, seconds: i64) {
        let end = self.second + seconds;
        loop {
            let wait = self.settle();
            let now = self.now();
            let next = wait.map_or(60, |at| {
                i64::try_from(at.since(now).as_millis().div_ceil(1_000)).unwrap()
            });
            self.second = (self.second + next.clamp(1, 60)).min(end);
            let at = Timestamp::from_secs(self.unix());
            for meter in &mut self.meters {
                meter.device.tick(at, &mut Nowhere).unwrap();
                meter.device.committed();
            }
            if self.second == end {
                self.settle();
                return;
            }
            self.handle(Input::Timeout);
        }
    }

    /// Does what the concentrator wants until it waits.
    fn settle(&mut self) -> Option<Instant> {
        loop {
            match self.core.poll(self.now(), self.unix()) {
                Output::ToSegment { node, message, .. } => self.deliver(node.unwrap(), &message),
                Output::ToWan { message, .. } => self.up.push(message),
                Output::Credit(_) => {}
                Output::Store(_) => self.handle(Input::Stored),
                Output::Keep(record) => {
                    self.records.push(record);
                    self.handle(Input::Kept(1));
                }
                Output::Wait(at) => return at,
            }
        }
    }

    /// Lets a meter answer one APDU of a client.
    fn ask(&mut self, number: usize, client: u16, octets: &[u8]) -> Vec<Vec<u8>> {
        let (now, at) = (self.now(), Timestamp::from_secs(self.unix()));
        let meter = &mut self.meters[number];
        let mut nowhere = Nowhere;
        let mut session = Session::new(&mut meter.device, &mut nowhere, &SystemEntropy, at);
        let input = server::Input::Apdu {
            client,
            broadcast: false,
            octets,
        };
        meter.server.handle(input, now, &mut session);
        let mut answers = Vec::new();
        while let server::Output::Transmit { octets, .. } = meter.server.poll() {
            answers.push(octets);
        }
        answers
    }

    fn deliver(&mut self, node: Node, message: &Message) {
        let number = usize::try_from(node.0).unwrap();
        let mut answers = Vec::new();
        if !self.meters[number].silent {
            answers = self.ask(number, message.source, &message.payload);
        }
        let done = SegmentEvent::Done {
            node: Some(node),
            class: message.class,
            delivered: !answers.is_empty(),
        };
        self.handle(Input::FromSegment(SEGMENT, done));
        self.second += self.slow;
        for payload in answers {
            let answer = Message {
                source: 1,
                destination: message.source,
                class: message.class,
                payload,
            };
            let received = SegmentEvent::Received(node, answer);
            self.handle(Input::FromSegment(SEGMENT, received));
        }
    }

    /// Somebody guesses the password of client 2 at a meter, as often as makes an event.
    fn guesses(&mut self, number: usize) {
        for _ in 0..3 {
            let config = client::Config {
                mechanism: MechanismName::Low,
                ..client::Config::default()
            };
            let mut guess = Client::new(config, None);
            let associate = client::Associate {
                password: b"guess",
                entropy: &[0; 32],
                dedicated: None,
                counter: None,
            };
            guess.handle(client::Input::Associate(associate), self.now());
            let client::Output::Transmit(aarq) = guess.poll() else {
                panic!("no AARQ");
            };
            for answer in self.ask(number, 2, &aarq) {
                guess.handle(client::Input::Apdu(&answer), self.now());
            }
            let event = guess.poll();
            let ended = matches!(event, client::Output::Event(client::Event::Ended(_)));
            assert!(ended, "{event:?}");
        }
    }

    /// The management client clears the alarms of a meter.
    fn clears(&mut self, number: usize) {
        let at = Timestamp::from_secs(self.unix());
        let caller = Caller {
            client: 1,
            mechanism: MechanismName::HighGmac,
            protection: Protection::AuthenticatedEncrypted,
            verified: None,
            broadcast: false,
        };
        let register = AttributeDescriptor::new(1, Obis([0, 0, 97, 98, 0, 255]), 2);
        let all = Data::DoubleLongUnsigned(u32::MAX).to_octets();
        let device = &mut self.meters[number].device;
        let mut nowhere = Nowhere;
        Session::new(device, &mut nowhere, &SystemEntropy, at)
            .set(&caller, &register, None, RawData::new(&all))
            .unwrap();
    }

    fn state(&self) -> &State {
        self.core.collector().unwrap().state()
    }

    /// Time and import of the rows that are kept of a meter.
    fn kept(&self, number: usize) -> Vec<(i64, u64)> {
        let Some(series) = self.state().series(&name(number + 1), LOAD) else {
            return Vec::new();
        };
        let rows = series.range(i64::MIN..=i64::MAX).map(|row| {
            let data = RawData::new(&row.octets).decode().unwrap();
            let cells = data.as_structure().unwrap();
            let time = cells[0].as_date_time().unwrap();
            assert_eq!(time.to_unix_seconds(), Some(row.at));
            (
                row.at,
                cells[2]
                    .as_u64()
                    .or_else(|| cells[2].as_u32().map(u64::from))
                    .unwrap(),
            )
        });
        rows.collect()
    }

    /// The same of what a meter holds, from a time on.
    fn held(&self, number: usize, from: i64) -> Vec<(i64, u64)> {
        let rows = self.meters[number].device.history().range(from, i64::MAX);
        rows.map(|row| (row.at_s, row.values[0])).collect()
    }

    fn notices(&self, kind: NoticeKind) -> Vec<Data> {
        let all = self.state().notices().iter();
        all.filter(|notice| notice.kind == kind)
            .map(|notice| RawData::new(&notice.detail).decode().unwrap())
            .collect()
    }
}

fn node(number: usize) -> Node {
    Node(u32::try_from(number).unwrap())
}

fn core(collector: Collector) -> Core {
    let classes = BTreeMap::from([(1, MessageClass::Control)]);
    let table = Table::new(86_400);
    Core::new(
        table,
        RouterLimits::default(),
        classes,
        Duration::from_secs(10),
    )
    .with_collector(collector)
}

/// Rows of the last day before the first contact, and all since.
const FROM: i64 = NOON - 86_400;

/// Requirement D1.
#[test]
fn what_is_kept_is_what_the_meters_hold() {
    let mut street = Street::new(&[360, 1_000, 0], true, |it| it);
    street.run(6 * 3_600);
    for number in 0..3 {
        let kept = street.kept(number);
        let held = street.held(number, FROM);
        // The last round of each meter was within the last half hour.
        assert!(
            held.len() - kept.len() <= 2,
            "{} {}",
            held.len(),
            kept.len()
        );
        assert_eq!(kept, held[..kept.len()]);
        assert!(kept.len() > 96 + 20, "{}", kept.len());
        let events = street.state().series(&name(number + 1), EVENTS).unwrap();
        // It has none of the last day.
        assert!(events.captured().is_some() && events.rows() == 0);
    }
    let counts = street.core.collector().unwrap().counts();
    assert_eq!(counts.failed, 0, "{counts:?}");
}

/// Each exchange takes its time: a round has as many as on a line without.
#[test]
fn a_slow_line_costs_no_more_exchanges() {
    let exchanges = |slow: i64| {
        let mut street = Street::new(&[360], true, |it| it);
        street.slow = slow;
        street.run(1_200);
        let counts = street.core.collector().unwrap().counts();
        assert_eq!((counts.rounds, counts.failed), (1, 0));
        street.core.counters().down
    };
    assert_eq!(exchanges(7), exchanges(0));
}

/// The process ends after any of its writes, and starts again.
#[test]
fn wherever_it_stops_nothing_is_lost_and_nothing_doubled() {
    let mut street = Street::new(&[360, 1_000], true, |it| it);
    street.run(3 * 3_600);
    let records = street.records.len();
    assert!(records > 20, "{records}");
    for stop in (0..=records).step_by(3) {
        let mut street = Street::new(&[360, 1_000], true, |it| it);
        street.run(3 * 3_600);
        street.restart(stop.min(street.records.len()));
        street.run(3_600);
        for number in 0..2 {
            let kept = street.kept(number);
            let held = street.held(number, FROM);
            let first = held.iter().position(|row| *row == kept[0]).unwrap();
            // A log that ends before the first round begins a day before now.
            assert!(first <= 13, "{first}");
            assert!(held.len() - first - kept.len() <= 2, "stopped after {stop}");
            assert_eq!(
                kept,
                held[first..first + kept.len()],
                "stopped after {stop}"
            );
        }
    }
}

#[test]
fn nobody_is_read_unless_somebody_with_the_right_to_do_so_says_so() {
    let mut street = Street::new(&[360, 1_000], false, |it| it);
    street.run(3_600);
    assert_eq!(street.kept(0), []);
    let now = street.now();
    let collector = street.core.collector_mut().unwrap();
    collector.switch(&name(1), true, now);
    street.run(60);
    assert!(!street.kept(0).is_empty());
    assert_eq!(street.kept(1), []);
    let now = street.now();
    let collector = street.core.collector_mut().unwrap();
    collector.switch(&name(1), false, now);
    let before = street.kept(0);
    street.run(7_200);
    assert_eq!(street.kept(0), before);
    // The switch outlives a restart, here of a collector that reads all.
    street.restart(usize::MAX);
    street.run(3_600);
    assert_eq!(street.kept(0), before);
    assert!(!street.kept(1).is_empty());
}

#[test]
fn what_the_head_end_has_is_dropped_and_not_read_again() {
    let mut street = Street::new(&[360], true, |it| it);
    street.run(3_600);
    let kept = street.kept(0);
    let until = kept[kept.len() - 3].0;
    let collector = street.core.collector_mut().unwrap();
    collector.delivered(&name(1), LOAD, until);
    assert_eq!(street.kept(0), kept[kept.len() - 2..]);
    street.run(3_600);
    street.restart(usize::MAX);
    street.run(3_600);
    let held = street.held(0, until + 1);
    let kept = street.kept(0);
    assert_eq!(kept, held[..kept.len()]);
    assert!(held.len() - kept.len() <= 2);
}

/// Requirement D1. Three wrong passwords are an event in the meter's log of fraud and bit 13 of
/// its alarm register.
#[test]
fn an_alarm_is_told_once_while_it_stays_and_its_event_is_kept() {
    let settings = Settings {
        profiles: vec![LOAD, FRAUD],
        ..settings(true)
    };
    let mut street = Street::with(settings, &[100, 100], |it| it);
    street.run(1_800);
    assert_eq!(street.notices(NoticeKind::MeterAlarm), []);
    let events = |street: &Street, number: usize| -> Vec<(i64, Vec<Data>)> {
        let series = street.state().series(&name(number), FRAUD).unwrap();
        let rows = series.range(i64::MIN..=i64::MAX).map(|row| {
            let row_data = RawData::new(&row.octets).decode().unwrap();
            (row.at, row_data.as_structure().unwrap()[1..].to_vec())
        });
        rows.collect()
    };
    assert_eq!(events(&street, 1), []);
    let mut expected = vec![(street.unix(), vec![Data::Unsigned(46)])];
    street.guesses(0);
    street.run(2 * 1_800);
    let alarm = Data::Structure(vec![
        Data::octet_string(name(1).as_str().as_bytes()),
        Data::DoubleLongUnsigned(1 << 13),
    ]);
    assert_eq!(
        street.notices(NoticeKind::MeterAlarm),
        std::slice::from_ref(&alarm)
    );
    assert_eq!(events(&street, 1), expected);
    assert_eq!(events(&street, 2), []);
    // It stays, also where the meter leaves and is found again.
    street.run(1_800);
    street.handle(Input::FromSegment(SEGMENT, SegmentEvent::Left(node(0))));
    street.join();
    street.run(2 * 1_800);
    assert_eq!(street.notices(NoticeKind::MeterAlarm).len(), 1);
    // Once it was cleared, the next one is told again.
    street.clears(0);
    street.run(2 * 1_800);
    assert_eq!(street.notices(NoticeKind::MeterAlarm).len(), 1);
    expected.push((street.unix(), vec![Data::Unsigned(46)]));
    street.guesses(0);
    street.run(2 * 1_800);
    assert_eq!(
        street.notices(NoticeKind::MeterAlarm),
        [alarm.clone(), alarm]
    );
    assert_eq!(events(&street, 1), expected);
}

/// The power is off in half of the street.
#[test]
fn meters_that_fall_silent_together_are_told_in_one_message() {
    let watts = [100; 8];
    let mut street = Street::new(&watts, true, |it| it);
    street.run(1_800);
    for meter in &mut street.meters[..4] {
        meter.silent = true;
        meter.server = Server::new(server::Settings::default());
    }
    for number in 0..4 {
        street.handle(Input::FromSegment(
            SEGMENT,
            SegmentEvent::Left(node(number)),
        ));
    }
    street.run(600);
    let told = street.notices(NoticeKind::Outage);
    assert_eq!(told.len(), 1, "{told:?}");
    let names: Vec<_> = told[0].as_array().unwrap().to_vec();
    let expected = (1..=4).map(|it| Data::octet_string(name(it).as_str().as_bytes()));
    assert_eq!(names, expected.collect::<Vec<_>>());
    for number in 0..4 {
        street.meters[number].silent = false;
        let joined = SegmentEvent::Joined {
            node: node(number),
            server: 1,
            title: None,
            hops: 0,
        };
        street.handle(Input::FromSegment(SEGMENT, joined));
    }
    street.run(900);
    assert_eq!(street.notices(NoticeKind::Outage).len(), 1);
    let back = street.notices(NoticeKind::Restored);
    assert_eq!(back.len(), 1, "{back:?}");
    assert_eq!(back[0].as_array().unwrap().len(), 4);
}

/// A meter that no longer answers is told as well, without leaving.
#[test]
fn a_meter_that_no_longer_answers_is_told() {
    let mut street = Street::new(&[100, 100], true, |it| it);
    street.run(1_800);
    street.meters[1].silent = true;
    street.run(3_600);
    let told = street.notices(NoticeKind::Outage);
    assert_eq!(told.len(), 1, "{told:?}");
    street.meters[1].silent = false;
    street.run(7_200);
    assert_eq!(street.notices(NoticeKind::Restored).len(), 1);
    let (kept, held) = (street.kept(1), street.held(1, FROM));
    assert_eq!(kept, held[..kept.len()]);
    assert!(held.len() - kept.len() <= 2);
}

/// What the feeder is supplied with: what its houses use, whatever their
/// meters say.
struct Supply(Mutex<[u32; 3]>);

impl Mains for Supply {
    fn sample(&self, unix: i64) -> Sample {
        let watts = *self.0.lock().unwrap();
        let energy = |watts: u32| u64::try_from(unix).unwrap() * u64::from(watts) / 3_600;
        Sample {
            voltage_mv: [230_000; 3],
            current_ma: watts.map(|watts| watts * 1_000 / 230),
            energy_wh: watts.map(energy),
        }
    }
}

/// Requirement D14: somebody takes 600 W before the meter on L2.
#[test]
fn consumption_past_a_meter_shows_on_its_feeder_and_phase() {
    for (stolen, expected) in [(0, 0), (600, 1)] {
        let supply = Arc::new(Supply(Mutex::new([1_010, 1_010 + stolen, 1_010])));
        let phases = [Phase::L1, Phase::L2, Phase::L3];
        let sites = (0..3).map(|number| {
            let place = ("F7".parse().unwrap(), phases[number]);
            (name(number + 1), place)
        });
        let substation = Substation::new(sites.collect(), 900, Limits::default());
        let feeder = "F7".parse().unwrap();
        let metering = Metering::new(feeder, 1, supply, Thresholds::default(), 900);
        let mut street = Street::new(&[1_000; 3], true, |collector| {
            collector
                .with_substation(substation)
                .with_metering(vec![metering])
        });
        street.run(4 * 3_600);
        let told = street.notices(NoticeKind::Balance);
        assert_eq!(told.len(), expected, "{told:?}");
        if let Some(told) = told.first() {
            let parts = told.as_structure().unwrap();
            assert_eq!(parts[0].as_octets(), Some(&b"F7"[..]));
            assert_eq!(parts[1].as_octets(), Some(&b"L2"[..]));
        }
        // The own load profile is kept beside those of the meters.
        let own = "GWD1DC0000000001".parse().unwrap();
        let own = street.state().series(&own, Obis([1, 1, 99, 1, 0, 255]));
        assert!(own.unwrap().rows() >= 15);
    }
}

/// No head end has the collector's SAP: what a meter answers to it is nobody
/// else's.
#[test]
fn the_sap_of_the_collector_is_nobody_elses() {
    let mut street = Street::new(&[100], true, |it| it);
    street.run(60);
    let sap = street.core.table().sap_of(&name(1)).unwrap();
    street.handle(Input::Opened(Connection(7)));
    let before = street.core.counters().unknown;
    let message = Message {
        source: 3,
        destination: sap,
        class: MessageClass::Control,
        payload: vec![0xC0, 0x01, 0xC1],
    };
    street.handle(Input::FromWan(Connection(7), message));
    street.settle();
    assert_eq!(street.core.counters().unknown, before + 1);
    assert!(street.up.is_empty());
}

/// Records as a day brings them.
fn some_records() -> Vec<Record> {
    let mut street = Street::new(&[100], true, |it| it);
    street.run(3_700);
    street.records
}

#[test]
fn a_log_that_is_cut_at_any_octet_opens_with_what_was_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collector.log");
    let records = some_records();
    let mut log = log::open(&path, Bounds::default()).unwrap().log;
    let mut ends = vec![log.octets()];
    for record in &records {
        log.append(std::slice::from_ref(record)).unwrap();
        ends.push(log.octets());
    }
    drop(log);
    let whole = std::fs::read(&path).unwrap();
    for cut in 0..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let opened = log::open(&path, Bounds::default()).unwrap();
        assert_eq!(opened.damaged, 0);
        let fit = ends.iter().filter(|end| **end <= cut as u64).count();
        let expected = made_of(&records[..fit.saturating_sub(1)]);
        assert_eq!(opened.state.records(), expected.records(), "cut at {cut}");
        // And it goes on from there.
        if cut % 97 == 0 {
            let mut log: Log = opened.log;
            log.append(&records).unwrap();
            drop(log);
            assert_eq!(log::open(&path, Bounds::default()).unwrap().damaged, 0);
        }
    }
}

fn made_of(records: &[Record]) -> State {
    let mut state = State::new(Bounds::default());
    records.iter().for_each(|record| state.apply(record));
    state
}

#[test]
fn damage_in_the_midst_is_told_and_ends_the_log_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collector.log");
    let records = some_records();
    let mut log = log::open(&path, Bounds::default()).unwrap().log;
    log.append(&records[..4]).unwrap();
    let good = log.octets();
    log.append(&records[4..]).unwrap();
    drop(log);
    let mut octets = std::fs::read(&path).unwrap();
    let at = usize::try_from(good).unwrap() + 10;
    octets[at] ^= 0x10;
    std::fs::write(&path, &octets).unwrap();
    let opened = log::open(&path, Bounds::default()).unwrap();
    assert_eq!(opened.damaged, octets.len() as u64 - good);
    assert_eq!(opened.state.records(), made_of(&records[..4]).records());
    std::fs::write(&path, b"some other file").unwrap();
    assert!(log::open(&path, Bounds::default()).is_err());
}

#[test]
fn a_log_written_anew_makes_the_same_state() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collector.log");
    let records = some_records();
    let state = made_of(&records);
    let mut log = log::open(&path, Bounds::default()).unwrap().log;
    log.append(&records).unwrap();
    log.rewrite(&state.records()).unwrap();
    log.append(&[Record::Noticed(0)]).unwrap();
    drop(log);
    let opened = log::open(&path, Bounds::default()).unwrap();
    assert_eq!(opened.state.records(), state.records());
}

#[test]
fn what_is_kept_is_bounded_and_what_goes_is_told() {
    let mut street = Street::new(&[100], true, |it| it);
    street.run(3_600);
    let bounds = Bounds {
        octets: 200,
        ..Bounds::default()
    };
    let mut state = State::new(bounds);
    street.records.iter().for_each(|record| state.apply(record));
    assert!(state.octets() <= 200 && state.dropped() > 0);
    let mut state = made_of(&street.records);
    let rows = state.rows();
    assert_eq!(state.expire(street.unix() + 61 * 86_400), rows);
    assert_eq!(
        (state.rows(), state.dropped(), state.octets()),
        (0, rows, 0)
    );
}
