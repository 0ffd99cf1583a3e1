//! What conventional mode costs: memory and disk of 60 days of 1,200 meters,
//! and how long the day profiles of 1,200 meters take in both modes on each
//! medium that is slow, in virtual time. On IP: gridward's bench `concentrator`.
//!
//! `cargo bench -p concentrator --bench collect [-- METERS [MEDIUM]]`
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a measurement that fails shall stop where it does"
)]

#[path = "collect/days.rs"]
mod days;

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use concentrator::collector::state::{Bounds, State};
use concentrator::collector::{Collector, Settings, log, rows};
use concentrator::core::{Core, Input, Output};
use concentrator::direct::{Connection, RouterLimits, SegmentId};
use concentrator::sap::Table;
use days::LOAD;
use dlms::acse::MechanismName;
use dlms::axdr::{ClockStatus, DateTime};
use dlms::client::{self, Associate, Client, Event, GetItem, Request, Response};
use dlms::codec::Wire as _;
use dlms::cosem::{AttributeDescriptor, ProfileSelection, RangeDescriptor};
use dlms::hdlc::station::{self, StationOutput};
use dlms::hdlc::{self, Address, Station, secondary};
use dlms::security::{
    AwsLc, CounterRecord, CounterRestart, KeyRing, Keys, PeerCounter, Protection, ReplayWindow,
    SecuritySuite, SendCounter, SystemTitle,
};
use dlms::server::{self, Context, Server};
use link::{
    Clock, KeyFile, Link, LinkExt as _, Message, MeterKeys, MultidropConfig, MultidropMeter,
    MultidropSegment, Sap, Segment, SystemClock, SystemEntropy,
};
use meter::device::{Device, DeviceConfig, Session, Site};
use meter::journal::{Durable, JournalError, SegmentNumber, Title};
use meter::metrology::Fixed;
use meter::template::Template;
use model::{LogicalDeviceName, MessageClass, Phase, Timestamp};
use sim::powerline::{G3, PowerLine, PowerLineConfig, Prime, SFsk, Technology, street};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// 2026-11-21T00:00:00Z.
const MIDNIGHT: i64 = 1_795_219_200;

fn main() {
    let mut words = std::env::args().skip(1).filter(|it| !it.starts_with("--"));
    let meters: u16 = words.next().map_or(1_200, |it| it.parse().unwrap());
    let medium = words.next();
    if medium.is_none() {
        memory(usize::from(meters), 60);
    }
    println!();
    println!("| medium | conventional: hours, airtime | direct: hours, airtime |");
    println!("|---|---|---|");
    let all = [
        ("S-FSK, credit 0", sfsk(0), 0),
        ("S-FSK, credit 2", sfsk(2), 2),
        ("PRIME", Technology::Prime(Prime::default()), 2),
        ("G3", Technology::G3(G3::default()), 2),
    ];
    for (name, technology, hops) in all {
        let kind = Kind::PowerLine(technology, hops);
        row(medium.as_deref(), name, meters, &kind);
    }
    // As many as one line may have; others hang on lines of their own beside it.
    let lines = meters.div_ceil(LINE);
    let name = format!("RS-485 at 9,600 bit/s, {lines} lines side by side");
    row(medium.as_deref(), &name, meters, &Kind::Rs485);
}

/// Meters of an RS-485 line, at most.
const LINE: u16 = 240;
const BAUD: u32 = 9_600;

/// What the meters hang on.
enum Kind {
    PowerLine(Technology, u8),
    Rs485,
}

fn row(medium: Option<&str>, name: &str, meters: u16, kind: &Kind) {
    if medium.is_some_and(|it| !name.contains(it)) {
        return;
    }
    let mut cells = Vec::new();
    for direct in [false, true] {
        let (hours, airtime) = run(meters, kind, direct);
        cells.push(format!("{hours:.2}, {airtime:.2}"));
    }
    println!("| {name} | {} | {} |", cells[0], cells[1]);
}

fn sfsk(credit: u8) -> Technology {
    Technology::SFsk(SFsk {
        credit,
        ..SFsk::default()
    })
}

/// What a concentrator may take with 60 days of 1,200 meters, in MB.
const MEMORY_MAX: f64 = 64.0;

/// Resident memory in MB (10^6).
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    let kib = line.and_then(|it| it.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) * 1.024 / 1_000.0
}

/// Fills the state as 60 days without a head end would.
#[expect(clippy::disallowed_methods, reason = "a measurement of real time")]
fn memory(meters: usize, days: i64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collector.log");
    let before = resident();
    let mut opened = log::open(&path, Bounds::default()).unwrap();
    for number in 0..meters {
        let name: LogicalDeviceName = format!("GWD{number:013}").parse().unwrap();
        let records = days::records(&name, i64::try_from(number).unwrap(), MIDNIGHT, days);
        records.iter().for_each(|it| opened.state.apply(it));
        opened.log.append(&records).unwrap();
    }
    let rows = opened.state.rows();
    let all = u64::try_from(meters).unwrap() * u64::try_from(days).unwrap() * 96;
    assert_eq!((rows, opened.state.dropped()), (all, 0), "rows are missing");
    println!("{meters} meters, {days} days of 96 rows: {rows} rows");
    println!("| | |\n|---|---|");
    let taken = resident();
    println!("| memory of the process with them | {taken:.1} MB |");
    assert!(
        taken < MEMORY_MAX,
        "{taken:.1} MB, where the goal is {MEMORY_MAX}"
    );
    println!("| of that before | {before:.1} MB |");
    let octets = u32::try_from(opened.state.octets()).unwrap();
    println!(
        "| octets a row, in memory | {:.2} |",
        f64::from(octets) / f64::from(u32::try_from(rows).unwrap())
    );
    println!("| the log | {} octets |", opened.log.octets());
    drop(opened);
    let begun = std::time::Instant::now();
    let opened = log::open(&path, Bounds::default()).unwrap();
    assert_eq!(opened.damaged, 0);
    assert_eq!((opened.state.rows(), opened.state.dropped()), (all, 0));
    println!(
        "| opening it again | {:.2} s |",
        begun.elapsed().as_secs_f64()
    );
}

struct Nowhere;

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

/// A meter of which a day is known.
fn meter(keys: MeterKeys, template: Arc<Template>) -> (Device, Server) {
    let config = DeviceConfig {
        template,
        keys,
        site: Site {
            place: "Lindenweg 14".parse().unwrap(),
            feeder: "F1".parse().unwrap(),
            phase: Phase::L1,
        },
        sap: 1,
        source: Arc::new(Fixed {
            import_w: 360,
            export_w: 0,
        }),
        installed: Timestamp::from_secs(MIDNIGHT - 86_400),
        outages: Vec::new(),
        drift_ppb: 0,
    };
    let mut device = Device::new(config).unwrap();
    let at = Timestamp::from_secs(MIDNIGHT);
    device.start(at, &mut Nowhere).unwrap();
    device.tick(at, &mut Nowhere).unwrap();
    device.committed();
    // Sessions of a slow line outlast what is usual.
    let server = Server::new(server::Settings {
        inactivity: None,
        lossy: true,
        ..server::Settings::default()
    });
    (device, server)
}

/// A meter at the end of its plug.
async fn answer(mut plug: Box<dyn Link>, keys: MeterKeys, template: Arc<Template>) {
    let (mut device, mut server) = meter(keys, template);
    let clock = SystemClock::new();
    while let Ok(message) = plug.receive().await {
        // The meter is turned before the next wait.
        for answer in turn(&mut device, &mut server, &message, clock.now()) {
            drop(plug.send(answer));
        }
        drop(plug.flush().await);
    }
}

/// A line of meters with HDLC stations, whose octets take their time: eight bits
/// with a start and a stop bit each.
async fn line(mut line: tokio::io::DuplexStream, keys: Vec<MeterKeys>, used: Arc<AtomicU64>) {
    let template = Arc::new(Template::built_in("idis-like").unwrap());
    let mut meters: Vec<(Station, (Device, Server))> = (FIRST..)
        .zip(keys)
        .map(|(address, keys)| {
            let address = Address::four(1, address).unwrap();
            let station = Station::new(station::Config::new(vec![address]));
            (station, meter(keys, Arc::clone(&template)))
        })
        .collect();
    let clock = SystemClock::new();
    let mut octets = [0; 4_096];
    let takes = async |count: usize| {
        let micros = u64::try_from(count).unwrap() * 10_000_000 / u64::from(BAUD);
        used.fetch_add(micros, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_micros(micros)).await;
    };
    while let Ok(count @ 1..) = line.read(&mut octets).await {
        takes(count).await;
        let mut answers = Vec::new();
        for (station, (device, server)) in &mut meters {
            let now = clock.now();
            let heard = station::Input::Octets(&octets[..count]);
            station.handle(heard, now).unwrap();
            loop {
                match station.poll() {
                    StationOutput::Transmit(octets) => answers.extend(octets),
                    StationOutput::Event {
                        link,
                        event: hdlc::Event::Message(payload),
                    } => {
                        let message = Message {
                            source: link.client.upper(),
                            destination: 1,
                            class: MessageClass::Usage,
                            payload,
                        };
                        for answer in turn(device, server, &message, now) {
                            let input = secondary::Input::Message(&answer.payload);
                            let input = station::Input::Link { link, input };
                            station.handle(input, now).unwrap();
                        }
                    }
                    StationOutput::Event { .. } => {}
                    StationOutput::Timeout(_) => break,
                }
            }
        }
        takes(answers.len()).await;
        if line.write_all(&answers).await.is_err() {
            return;
        }
    }
}

/// The first HDLC address of a line.
const FIRST: u16 = 0x10;

/// Lets a meter answer a message.
fn turn(
    device: &mut Device,
    server: &mut Server,
    message: &Message,
    now: dlms::Instant,
) -> Vec<Message> {
    let mut nowhere = Nowhere;
    let at = Timestamp::from_secs(MIDNIGHT);
    let mut session = Session::new(device, &mut nowhere, &SystemEntropy, at);
    let input = server::Input::Apdu {
        client: message.source,
        broadcast: false,
        octets: &message.payload,
    };
    server.handle(input, now, &mut session);
    let mut answers = Vec::new();
    while let server::Output::Transmit { client, octets } = server.poll() {
        answers.push(Message {
            source: 1,
            destination: client,
            class: message.class,
            payload: octets,
        });
    }
    answers
}

/// Reads the last day of all meters; gives the hours from the first request
/// to the last answer, and the hours that the line was in use for that.
fn run(count: u16, kind: &Kind, direct: bool) -> (f64, f64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(read(count, kind, direct))
}

/// Segments with their meters, and what tells for how long the busiest was in use.
type Made = (Vec<Box<dyn Segment>>, Box<dyn Fn() -> Duration>);

fn make(kind: &Kind, keys: &KeyFile, count: u16) -> Made {
    match *kind {
        Kind::PowerLine(technology, hops) => {
            let template = Arc::new(Template::built_in("idis-like").unwrap());
            let config = PowerLineConfig::quiet(technology, street(count, hops, 0, 11), 3);
            let (line, segment, plugs) = PowerLine::new(config);
            for (plug, keys) in plugs.into_iter().zip(&keys.meters) {
                tokio::spawn(answer(plug, keys.clone(), Arc::clone(&template)));
            }
            (
                vec![Box::new(segment)],
                Box::new(move || line.statistics().airtime),
            )
        }
        Kind::Rs485 => {
            let lines = usize::from(count.div_ceil(LINE)).max(1);
            let mut segments: Vec<Box<dyn Segment>> = Vec::new();
            let mut all = Vec::new();
            for number in 0..lines {
                // In turns, so that meters next to each other are read at one time.
                let keys: Vec<MeterKeys> = keys
                    .meters
                    .iter()
                    .skip(number)
                    .step_by(lines)
                    .cloned()
                    .collect();
                let (near, far) = tokio::io::duplex(4_096);
                let used = Arc::new(AtomicU64::new(0));
                all.push(Arc::clone(&used));
                let config = MultidropConfig {
                    meters: (FIRST..)
                        .take(keys.len())
                        .map(|address| MultidropMeter { address, server: 1 })
                        .collect(),
                    // One of two octets tells 110 meters apart.
                    width: 4,
                    baud: BAUD,
                    ..MultidropConfig::default()
                };
                tokio::spawn(line(far, keys, used));
                let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
                segments.push(Box::new(
                    MultidropSegment::over(near, config, clock).unwrap(),
                ));
            }
            let used = move || {
                let all = all.iter().map(|it| it.load(Ordering::Relaxed));
                Duration::from_micros(all.max().unwrap_or(0))
            };
            (segments, Box::new(used))
        }
    }
}

async fn read(count: u16, kind: &Kind, direct: bool) -> (f64, f64) {
    let mut keys = KeyFile::generate(1, u32::from(count), &SystemEntropy).unwrap();
    keys.add_client(3, &SystemEntropy).unwrap();
    let (mut segments, airtime) = make(kind, &keys, count);
    let settings = Settings {
        name: "GWD1DC0000000001".parse().unwrap(),
        client: 3,
        title: SystemTitle(*b"GWDDC\0\0\x01"),
        profiles: vec![LOAD],
        every_s: 86_400,
        at_once: 8,
        // All of the day that the meters hold, however long joining took.
        backfill_days: 3,
        timeout: Duration::from_secs(1_800),
        summary: Duration::from_secs(60),
        all: false,
        listed: BTreeSet::new(),
    };
    let state = State::new(Bounds::default());
    let collector = Collector::new(settings, &keys.of_client(3), state, Arc::new(SystemEntropy));
    let timeout = Duration::from_secs(1_800);
    let mut core = Core::new(
        Table::new(1),
        RouterLimits::default(),
        BTreeMap::new(),
        timeout,
    );
    core = core.with_collector(collector);
    let clock = SystemClock::new();
    for (number, segment) in (0..).zip(&segments) {
        let number = SegmentId(number);
        core.add_segment(number, segment.window(), segment.payload_max());
        core.share_segment(number, clock.now());
    }
    let mut head_end = HeadEnd {
        at_once: 8 * segments.len(),
        ..HeadEnd::default()
    };
    let mut begun = None;
    let names: Vec<LogicalDeviceName> = keys
        .meters
        .iter()
        .map(|it| it.logical_device_name.clone())
        .collect();
    loop {
        let now = clock.now();
        let seconds = i64::try_from(now.as_micros() / 1_000_000).unwrap();
        let wait = loop {
            match core.poll(now, MIDNIGHT + seconds) {
                Output::ToSegment {
                    segment,
                    node,
                    message,
                } => segments[usize::from(segment.0)]
                    .send(node, message)
                    .unwrap(),
                Output::ToWan { message, .. } => head_end.took(&message, now),
                Output::Credit(_) => {}
                Output::Store(_) => core.handle(Input::Stored, now, MIDNIGHT + seconds),
                Output::Keep(_) => core.handle(Input::Kept(1), now, MIDNIGHT + seconds),
                Output::Wait(at) => break at,
            }
        };
        assert!(
            seconds < 2 * 86_400,
            "not read in two days: {:?}, {} in the table",
            core.counters(),
            core.table().len()
        );
        let there = core.status().values().filter(|it| it.place.is_some());
        if begun.is_none() && there.count() == names.len() {
            // Everybody is there: now they are read.
            begun = Some((now, airtime()));
            if direct {
                core.handle(Input::Opened(Connection(1)), now, MIDNIGHT);
                head_end.begin(&keys, |name| core.table().sap_of(name).unwrap());
            } else {
                let collector = core.collector_mut().unwrap();
                names
                    .iter()
                    .for_each(|name| collector.switch(name, true, now));
            }
            continue;
        }
        if let Some((begun, before)) = begun {
            let counts = core.collector().unwrap().counts();
            assert_eq!(counts.failed, 0, "a meter was not read");
            let done = if direct {
                head_end.done()
            } else {
                usize::try_from(counts.rounds).unwrap()
            };
            if done == names.len() {
                let rows = if direct {
                    head_end.rows
                } else {
                    usize::try_from(core.collector().unwrap().state().rows()).unwrap()
                };
                assert!(rows >= names.len() * 96, "{rows} rows");
                assert_eq!(
                    core.counters().expired,
                    0,
                    "the product would have dropped some"
                );
                let hours = |it: Duration| it.as_secs_f64() / 3_600.0;
                let used = airtime().checked_sub(before).unwrap();
                return (hours(now.since(begun)), hours(used));
            }
            let mut more = false;
            while let Some(message) = head_end.next(now) {
                more = true;
                core.handle(Input::FromWan(Connection(1), message), now, MIDNIGHT);
            }
            if more {
                continue;
            }
        }
        let event = poll_fn(|cx| {
            for (number, segment) in (0..).zip(&mut segments) {
                if let Poll::Ready(event) = segment.poll_event(cx) {
                    return Poll::Ready(Input::FromSegment(SegmentId(number), event.unwrap()));
                }
            }
            Poll::Pending
        });
        let left = wait.map_or(Duration::from_secs(60), |at| at.since(now));
        let left = left.clamp(Duration::from_millis(1), Duration::from_secs(60));
        let event = tokio::time::timeout(left, event).await;
        let input = event.unwrap_or(Input::Timeout);
        let now = clock.now();
        let seconds = i64::try_from(now.as_micros() / 1_000_000).unwrap();
        core.handle(input, now, MIDNIGHT + seconds);
    }
}

/// A head end that reads one day of each meter, some at once.
#[derive(Default)]
struct HeadEnd {
    at_once: usize,
    waiting: Vec<(Sap, Client)>,
    running: BTreeMap<Sap, Client>,
    done: usize,
    rows: usize,
}

impl HeadEnd {
    fn begin(&mut self, keys: &KeyFile, sap: impl Fn(&LogicalDeviceName) -> Sap) {
        for meter in &keys.meters {
            let held = meter.client(1).unwrap();
            let both = Keys::new(
                held.encryption_key.clone().unwrap(),
                held.authentication_key.clone().unwrap(),
            );
            let config = client::Config {
                context: Context::LogicalNameCiphered,
                mechanism: MechanismName::HighGmac,
                protection: Protection::AuthenticatedEncrypted,
                timeout: Duration::from_secs(1_800),
                ..client::Config::default()
            };
            let security = client::Security {
                title: SystemTitle(*b"GWDHES\0\x01"),
                server_title: Some(SystemTitle(meter.system_title.0)),
                keys: KeyRing::new(&AwsLc, SecuritySuite::Suite0, &both).unwrap(),
                send: SendCounter::resume(CounterRecord {
                    end: 1,
                    ..CounterRecord::default()
                }),
                received: PeerCounter::new(ReplayWindow::sliding(0), CounterRestart::Refuse),
            };
            let client = Client::new(config, Some(security));
            self.waiting.push((sap(&meter.logical_device_name), client));
        }
    }

    const fn done(&self) -> usize {
        self.done
    }

    fn took(&mut self, message: &Message, now: dlms::Instant) {
        if let Some(client) = self.running.get_mut(&message.source) {
            client.handle(client::Input::Apdu(&message.payload), now);
        }
    }

    fn next(&mut self, now: dlms::Instant) -> Option<Message> {
        while self.running.len() < self.at_once
            && let Some((sap, mut client)) = self.waiting.pop()
        {
            client.handle(
                client::Input::Associate(Associate {
                    password: &[],
                    entropy: &[7; 32],
                    dedicated: None,
                    counter: None,
                }),
                now,
            );
            self.running.insert(sap, client);
        }
        let saps: Vec<Sap> = self.running.keys().copied().collect();
        for sap in saps {
            let client = self.running.get_mut(&sap).unwrap();
            loop {
                match client.poll() {
                    client::Output::Transmit(payload) => {
                        return Some(Message {
                            source: 1,
                            destination: sap,
                            class: MessageClass::Usage,
                            payload,
                        });
                    }
                    client::Output::Reserve(plan) => {
                        client.handle(client::Input::Reserved(plan), now);
                    }
                    client::Output::Event(Event::Associated(_)) => {
                        client.handle(client::Input::Request(day()), now);
                    }
                    client::Output::Event(Event::Response(Response::Get(results))) => {
                        let octets = results[0].as_ref().unwrap();
                        let taken = rows::take(octets, 0).unwrap().rows;
                        assert!(taken.len() >= 96, "{}", taken.len());
                        self.rows += taken.len();
                        self.done += 1;
                        self.running.remove(&sap);
                        break;
                    }
                    client::Output::Event(Event::Progress(_)) => {}
                    client::Output::Event(other) => {
                        assert!(other_is_fine(&other), "{other:?}");
                    }
                    client::Output::Timeout(_) => break,
                }
            }
        }
        None
    }
}

const fn other_is_fine(event: &Event) -> bool {
    matches!(event, Event::Notification(_))
}

fn day() -> Request {
    let time = |at| DateTime::from_unix_seconds(at, 0, ClockStatus(0)).unwrap();
    let range = RangeDescriptor::by_clock(&time(MIDNIGHT - 86_400), &time(MIDNIGHT + 86_400));
    let selection = ProfileSelection::Range(range);
    Request::Get(vec![GetItem {
        attribute: AttributeDescriptor::new(7, LOAD, 2),
        selection: Some((selection.selector(), selection.to_data().to_octets())),
    }])
}
