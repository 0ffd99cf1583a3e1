//! A concentrator that takes a power line over: its meters register with it, it asks each for its
//! name, and the head end reads them again. Many of them are registered and say nothing.
//!
//! Evidence: self-agreement in virtual time, against a bound that is computed from what a message
//! takes on the medium (`model::powerline`).

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use concentrator::core::{Core, Input, Output};
use concentrator::direct::{Connection, RouterLimits, SegmentId};
use concentrator::sap::Table;
use dlms::Instant;
use dlms::client::{self, Associate, Client, Event, GetItem, Request, Response};
use link::{Clock as _, Message, Node, Sap, Segment as _, SegmentEvent, Service, SystemClock};
use model::{LogicalDeviceName, MessageClass};
use sim::powerline::{NodeConfig, PowerLine, PowerLineConfig, Prime, SFsk, Technology};

use crate::device::{Fleet, NAME};

pub(crate) const SEGMENT: SegmentId = SegmentId(0);
pub(crate) const HEAD_END: Connection = Connection(1);
const PUBLIC: Sap = 16;

/// Meters of the line; every other one is registered and silent.
const METERS: u32 = 40;
/// Meters that a head end reads at once behind one endpoint, as it is configured by itself.
const READ_AT_ONCE: usize = 16;
/// The longest that anything may take: the run ends there, and fails.
pub(crate) const LONGEST: Duration = Duration::from_secs(3_600);

fn is_silent(node: Node) -> bool {
    node.0.is_multiple_of(2)
}

/// What a takeover took.
#[derive(Debug)]
struct Taken {
    /// When the last meter had registered, and how many silent ones did so before any other.
    registered: Duration,
    silent_first: u32,
    /// When the first that speaks had, and when the first of these was read.
    spoke: Duration,
    first: Duration,
    /// When the last was read, after all had registered.
    last: Duration,
    /// What the longest message took of the medium.
    message: Duration,
    /// The most that were being asked at once, of those that speak.
    asked_at_once: usize,
}

/// A head end that reads the name of every meter that can be reached, through its SAP.
pub(crate) struct HeadEnd {
    pub(crate) waiting: BTreeSet<Sap>,
    running: BTreeMap<Sap, Client>,
    at_once: usize,
}

impl HeadEnd {
    pub(crate) const fn new(at_once: usize) -> Self {
        Self {
            waiting: BTreeSet::new(),
            running: BTreeMap::new(),
            at_once,
        }
    }

    pub(crate) fn next(&mut self, core: &Core, now: Instant) -> Option<Message> {
        let reached = self.waiting.iter().copied().find(|sap| core.reaches(*sap));
        if self.running.len() < self.at_once
            && let Some(sap) = reached
        {
            self.waiting.remove(&sap);
            let config = client::Config {
                timeout: LONGEST,
                ..client::Config::default()
            };
            let mut client = Client::new(config, None);
            client.handle(
                client::Input::Associate(Associate {
                    password: &[],
                    entropy: &[0; 32],
                    dedicated: None,
                    counter: None,
                }),
                now,
            );
            self.running.insert(sap, client);
        }
        for (sap, client) in &mut self.running {
            if let Some(payload) = turn(client, now) {
                return Some(Message {
                    source: PUBLIC,
                    destination: *sap,
                    class: MessageClass::Usage,
                    payload,
                });
            }
        }
        None
    }

    /// Takes an answer; tells whether a meter is read with it.
    pub(crate) fn took(&mut self, message: &Message, now: Instant) -> bool {
        let Some(client) = self.running.get_mut(&message.source) else {
            return false;
        };
        client.handle(client::Input::Apdu(&message.payload), now);
        loop {
            match client.poll() {
                client::Output::Event(Event::Associated(_)) => {
                    let item = GetItem {
                        attribute: NAME,
                        selection: None,
                    };
                    client.handle(client::Input::Request(Request::Get(vec![item])), now);
                    return false;
                }
                client::Output::Event(Event::Response(Response::Get(results))) => {
                    results[0].as_ref().unwrap();
                    self.running.remove(&message.source);
                    return true;
                }
                client::Output::Event(Event::Progress(_)) => {}
                client::Output::Event(event) => panic!("{event:?}"),
                _ => return false,
            }
        }
    }
}

fn turn(client: &mut Client, now: Instant) -> Option<Vec<u8>> {
    loop {
        match client.poll() {
            client::Output::Transmit(payload) => return Some(payload),
            client::Output::Timeout(Some(at)) if at <= now => {
                client.handle(client::Input::Timeout, now);
            }
            client::Output::Timeout(_) => return None,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn name(node: u32) -> LogicalDeviceName {
    format!("GWD{node:013}").parse().unwrap()
}

/// Takes a line over, with a SAP table as the other concentrator had it.
fn takeover(technology: Technology, limited: bool) -> Taken {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let run = async { tokio::time::timeout(LONGEST, taken(technology, limited)).await };
    runtime.block_on(run).expect("meters were not read")
}

/// A line without losses whose meters are all near.
pub(crate) fn near(technology: Technology, meters: u32) -> PowerLineConfig {
    let nodes = (0..meters).map(|number| {
        let [.., high, low] = number.to_be_bytes();
        NodeConfig {
            title: [b'G', b'W', b'D', 0, 0, 0, high, low],
            server: 1,
            hops: 0,
            loss: 0,
            appears: Duration::ZERO,
        }
    });
    PowerLineConfig::quiet(technology, nodes.collect(), 7)
}

/// Lets a meter say its name.
pub(crate) fn speak(number: u32, plug: Box<dyn link::Link>) {
    let service = Service {
        idle: LONGEST * 2,
        ..Service::default()
    };
    let fleet = Arc::new(Fleet([(1, name(number).as_str().to_owned())].into()));
    let clock = Arc::new(SystemClock::new());
    tokio::spawn(link::serve(plug, fleet, service, clock));
}

/// The SAP table as the other concentrator had it.
pub(crate) fn table(meters: u32) -> Table {
    let mut table = Table::new(0);
    for number in 0..meters {
        let record = table.plan(&name(number), 0).unwrap().unwrap();
        table.apply(&record).unwrap();
    }
    table
}

async fn taken(technology: Technology, limited: bool) -> Taken {
    let (_line, mut segment, plugs) = PowerLine::new(near(technology, METERS));
    let mut silent = Vec::new();
    for (number, plug) in (0..METERS).zip(plugs) {
        if is_silent(Node(number)) {
            silent.push(plug);
        } else {
            speak(number, plug);
        }
    }
    let table = table(METERS);
    let mut head_end = HeadEnd::new(READ_AT_ONCE);
    for number in (0..METERS).filter(|number| !is_silent(Node(*number))) {
        head_end
            .waiting
            .insert(table.sap_of(&name(number)).unwrap());
    }
    let answer = Duration::from_secs(60);
    let mut core = Core::new(table, RouterLimits::default(), BTreeMap::new(), answer);
    let clock = SystemClock::new();
    core.add_segment(SEGMENT, segment.window(), segment.payload_max());
    assert!(segment.is_one_wire());
    if limited {
        core.share_segment(SEGMENT, clock.now());
    }
    core.handle(Input::Opened(HEAD_END), clock.now(), 0);

    let (mut joined, mut silent_first, mut spoken_for) = (0, 0, false);
    let (mut registered, mut octets) = (Instant::ORIGIN, 0);
    let (mut asked, mut asked_at_once) = (BTreeSet::new(), 0);
    let (mut first, mut left) = (None, head_end.waiting.len());
    let mut spoke = None;
    loop {
        let now = clock.now();
        let wait = loop {
            match core.poll(now, 0) {
                Output::ToSegment { node, message, .. } => {
                    octets = octets.max(message.payload.len());
                    let speaks = node.filter(|node| !is_silent(*node));
                    let named = core.status().values();
                    let named: BTreeSet<Node> =
                        named.filter_map(|it| Some(it.place?.node)).collect();
                    asked.extend(speaks);
                    asked.retain(|node| !named.contains(node));
                    asked_at_once = asked_at_once.max(asked.len());
                    segment.send(node, message).unwrap();
                }
                Output::ToWan { message, .. } => {
                    if head_end.took(&message, now) {
                        first.get_or_insert(now);
                        left -= 1;
                    }
                }
                Output::Credit(_) => {}
                Output::Wait(at) => break at,
                other => panic!("{other:?}"),
            }
        };
        if left == 0 {
            return Taken {
                registered: registered.since(Instant::ORIGIN),
                silent_first,
                first: first.unwrap().since(Instant::ORIGIN),
                spoke: spoke.unwrap_or(registered).since(Instant::ORIGIN),
                last: now.since(registered),
                message: technology.airtime(octets, 0),
                asked_at_once,
            };
        }
        let mut more = false;
        while let Some(message) = head_end.next(&core, now) {
            more = true;
            core.handle(Input::FromWan(HEAD_END, message), now, 0);
        }
        if more {
            continue;
        }
        let event = poll_fn(|cx| segment.poll_event(cx));
        let least = Duration::from_millis(1);
        let wait = wait.map_or(LONGEST, |at| at.since(now).max(least));
        let input = match tokio::time::timeout(wait, event).await {
            Ok(event) => {
                let event = event.unwrap();
                match &event {
                    SegmentEvent::Joined { node, .. } => {
                        joined += 1;
                        spoken_for |= !is_silent(*node);
                        if spoken_for {
                            spoke = spoke.or_else(|| Some(clock.now()));
                        }
                        silent_first += u32::from(!spoken_for);
                        if joined == METERS {
                            registered = clock.now();
                        }
                    }
                    SegmentEvent::Received(_, message) => {
                        octets = octets.max(message.payload.len());
                    }
                    _ => {}
                }
                Input::FromSegment(SEGMENT, event)
            }
            Err(_) => Input::Timeout,
        };
        core.handle(input, clock.now(), 0);
    }
}

/// Meters that are asked for their names at once on a wire.
const ASKED: u32 = 4;
/// Messages of a name, and of a read: an association and a request, with their answers.
const EXCHANGES: u32 = 4;

/// When the first read is back at the latest, from the takeover: each message waits for one of each
/// other meter that is being asked or read, and each four silent meters for as long as four messages
/// take, or a second. Half of the line is the search's as long as that goes on.
fn first_bound(taken: &Taken) -> Duration {
    let silence = (taken.message * ASKED).max(Duration::from_secs(1));
    let silent = (taken.message * ASKED + silence) * taken.silent_first.div_ceil(ASKED);
    let named = taken.message * ASKED * EXCHANGES;
    // Then it is read with the three that were asked with it, while four others are asked.
    let read = taken.message * (2 * ASKED) * EXCHANGES;
    taken.spoke + (silent + named + read) * 2
}

/// When the last is: every message once, questions to those that are silent three times, and ten
/// seconds for each four of these.
fn last_bound(taken: &Taken) -> Duration {
    let (silent, speak) = (METERS / 2, METERS / 2);
    let messages = speak * 2 * EXCHANGES + silent * 3;
    taken.message * messages + Duration::from_secs(10) * silent.div_ceil(ASKED)
}

/// Requirement D11 on a shared wire.
#[test]
fn reads_resume_on_a_shared_wire_within_what_the_medium_takes() {
    let lines = [
        ("S-FSK, credit 0", Technology::SFsk(SFsk::default())),
        (
            "S-FSK, credit 2",
            Technology::SFsk(SFsk {
                credit: 2,
                ..SFsk::default()
            }),
        ),
        ("PRIME", Technology::Prime(Prime::default())),
    ];
    for (line, technology) in lines {
        let with = takeover(technology, true);
        let (first, last) = (first_bound(&with), last_bound(&with));
        println!(
            "{line}: registered after {:.1?}; first read after {:.1?}, at most {first:.1?}; last \
             {:.1?} after all had registered, at most {last:.1?}; {} asked at once",
            with.registered, with.first, with.last, with.asked_at_once
        );
        assert!(with.first <= first, "{line}: {first:?}: {with:?}");
        assert!(with.last <= last, "{line}: {last:?}: {with:?}");
        // The same line where all are asked at once.
        let without = takeover(technology, false);
        println!(
            "  all at once: {:.1?}, last {:.1?}; {} asked at once",
            without.first, without.last, without.asked_at_once
        );
        assert!(
            without.asked_at_once > with.asked_at_once,
            "{line}: {without:?}"
        );
    }
}
