//! A street behind a concentrator on a power line in virtual time, each meter read directly by the
//! head end: its collector, its keys and its store, the concentrator's machine, the line, and the
//! meters with keys of their own behind HLS 5.
//!
//! Evidence: self-agreement; what is in the store, against what was asked for, and the concentrator's
//! own counters. The control reads the same street as one on IP.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use concentrator::core::{Core, Input, Output};
use concentrator::direct::{Connection, Counters};
use concentrator::sap::Table;
use dlms::Instant;
use dlms::axdr::Data;
use dlms::cosem::{AttributeDescriptor, MethodDescriptor, Obis};
use headend::collector::{MeterAccess as _, MeterTarget};
use headend::concentrators::Segment as Told;
use headend::store::{LOAD_PROFILE, Store as _};
use headend::{CollectorConfig, Config};
use link::{
    Clock, Connecting, Connector, Endpoint, KeyFile, Link, LinkError, Message, Sap, Segment as _,
    SegmentEvent, Surroundings,
};
use meter::fleet::Fleet;
use meter::population::{Outages, Population};
use meter::shell::SharedFleet;
use meter::template::Template;
use model::{MessageClass, MeterId, Timestamp};
use sim::powerline::{NodeConfig, PowerLine, PowerLineConfig, PowerLineSegment, SFsk, Technology};
use sim::{SeededEntropy, SimClock, draw};
use tokio::sync::{mpsc, watch};

use super::START;
use super::disk::Disk;
use super::head::Head;
use super::watch::Watch;
use crate::firmware::line::{SEGMENT, at_its_end, serve_all, with_table};

const ENDPOINT: &str = "tcp://street:4059";
/// Where the concentrator takes what is urgent.
const URGENT: &str = "tcp://street:4061";
const NAME: &str = "GWD1DC0000000001";
const SEED: u64 = 1_200;
/// Behind the turn of the day in UTC, at which meters that were read are due once more.
const BEGIN: i64 = START + 7_200;
/// Messages of all connections that wait for the concentrator; more than all meters ever have.
const WAITING_MAX: usize = 65_536;

/// What is read, and how.
#[derive(Clone, Copy)]
struct Street {
    meters: u32,
    credit: u8,
    /// Whether the head end is told what the segment is.
    told: bool,
    /// Hours of the line's time after which it ends in any case.
    hours: u64,
    /// Orders to switch a meter, one in each so many minutes of the line's time; 0: none.
    orders_min: u64,
    /// Whether frames are lost.
    lossy: bool,
}

/// What came of it.
#[derive(Debug)]
struct Read {
    /// Seconds until the last meter was registered and had its SAP, and until it was read after that.
    registered_s: u64,
    read_s: u64,
    /// Collections that went well, and that failed.
    good: u64,
    failed: u64,
    /// Meters of which the store has the whole day before.
    with_day: usize,
    /// Connections to the concentrator that were open at once, at most.
    connections: usize,
    /// Messages that waited in the concentrator, at most.
    waiting: usize,
    counters: Counters,
    /// Part of the time that the wire was in use while it was read.
    in_use: f64,
    /// Frames that were lost, and messages that were given up.
    lost: u64,
    given_up: u64,
    /// Orders that meters obeyed, and what the longest that a message of them took to leave, its
    /// own airtime apart.
    obeyed: u32,
    waited: Duration,
    /// From the first message of the head end until the first object of a meter was read.
    first: Duration,
}

/// What a connection of the WAN does.
enum Wan {
    Opened(mpsc::Sender<Message>),
    /// Where it came in says how urgent it is.
    Sent(Option<MessageClass>, Message),
    Closed,
}

/// The way to the concentrator: a connection for each association.
struct Trunks {
    to: mpsc::Sender<(Connection, Wan)>,
    number: AtomicU64,
    open: Arc<AtomicUsize>,
    most: AtomicUsize,
}

impl Connector for Trunks {
    fn connect<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        _: (Sap, Sap),
        _: &'a Arc<dyn Clock>,
        _: Duration,
    ) -> Connecting<'a> {
        let class = match endpoint.to_string().as_str() {
            ENDPOINT => None,
            URGENT => Some(MessageClass::Control),
            other => panic!("{other}"),
        };
        Box::pin(async move {
            let (sender, inbox) = mpsc::channel(64);
            let connection = Connection(1 + self.number.fetch_add(1, Ordering::Relaxed));
            let open = 1 + self.open.fetch_add(1, Ordering::Relaxed);
            self.most.fetch_max(open, Ordering::Relaxed);
            let opened = self.to.send((connection, Wan::Opened(sender))).await;
            opened.map_err(|_| LinkError::Closed)?;
            Ok(Box::new(Trunk {
                connection,
                class,
                to: self.to.clone(),
                inbox,
                open: Arc::clone(&self.open),
            }) as Box<dyn Link>)
        })
    }
}

struct Trunk {
    connection: Connection,
    class: Option<MessageClass>,
    to: mpsc::Sender<(Connection, Wan)>,
    inbox: mpsc::Receiver<Message>,
    open: Arc<AtomicUsize>,
}

impl Link for Trunk {
    fn send(&mut self, message: Message) -> Result<(), LinkError> {
        let sent = self
            .to
            .try_send((self.connection, Wan::Sent(self.class, message)));
        sent.map_err(|_| LinkError::Closed)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, LinkError>> {
        let message = self.inbox.poll_recv(cx);
        message.map(|message| message.ok_or(LinkError::Closed))
    }

    fn payload_max(&self) -> usize {
        usize::from(u16::MAX)
    }

    fn peer(&self) -> String {
        ENDPOINT.to_owned()
    }
}

impl Drop for Trunk {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        drop(self.to.try_send((self.connection, Wan::Closed)));
    }
}

/// How the concentrator is.
#[derive(Clone, Debug, Default)]
struct State {
    /// The SAPs of those that are there, by name.
    saps: BTreeMap<String, u16>,
    waiting: usize,
    counters: Counters,
    urgent: Duration,
    /// When the head end sent something, and when the first object of a meter was read.
    asked: Option<Instant>,
    first: Option<Instant>,
}

/// Messages of a meter with which the first object is read: the association, the answer to its
/// challenge, and the object.
const UNTIL_READ: u32 = 3;

/// Turns the concentrator's machine.
async fn turn(
    (count, technology): (usize, Technology),
    mut core: Core,
    mut segment: PowerLineSegment,
    clock: SimClock,
    mut wan: mpsc::Receiver<(Connection, Wan)>,
    state: watch::Sender<State>,
) {
    let mut links: BTreeMap<Connection, (mpsc::Sender<Message>, u32)> = BTreeMap::new();
    let (mut asked, mut first) = (None, None);
    // What is urgent and has not left, with its airtime; all of it is one meter's.
    let mut urgent = VecDeque::new();
    let mut waited = Duration::ZERO;
    loop {
        let (now, unix) = (clock.now(), clock.unix_seconds());
        let wait = loop {
            match core.poll(now, unix) {
                Output::ToSegment { node, message, .. } => segment.send(node, message).unwrap(),
                Output::ToWan {
                    connection,
                    message,
                } => {
                    if let Some((link, answers)) = links.get_mut(&connection) {
                        *answers += 1;
                        if *answers == UNTIL_READ {
                            first = first.or(Some(now));
                        }
                        drop(link.try_send(message));
                    }
                }
                Output::Credit(_) => {}
                Output::Store(_) => core.handle(Input::Stored, now, unix),
                Output::Keep(_) => core.handle(Input::Kept(1), now, unix),
                Output::Wait(at) => break at,
            }
        };
        state.send_if_modified(|state| {
            state.waiting = state.waiting.max(core.waiting(SEGMENT));
            state.counters = core.counters();
            state.urgent = waited;
            (state.asked, state.first) = (asked, first);
            if state.saps.len() >= count {
                return false;
            }
            let there = core.status().iter().filter(|(_, it)| it.place.is_some());
            let saps = there.filter_map(|(name, _)| {
                let sap = core.table().sap_of(name)?;
                Some((name.to_string(), sap))
            });
            state.saps = saps.collect();
            true
        });
        let wait = wait.map_or(Duration::from_secs(3_600), |at| at.since(now));
        let input = tokio::select! {
            biased;
            event = poll_fn(|cx| segment.poll_event(cx)) => {
                let event = event.unwrap();
                if let SegmentEvent::Done { class: MessageClass::Control, .. } = event {
                    let (came, own): (Instant, Duration) = urgent.pop_front().unwrap();
                    waited = waited.max(clock.now().since(came).saturating_sub(own));
                }
                Input::FromSegment(SEGMENT, event)
            }
            Some((connection, wan)) = wan.recv() => match wan {
                Wan::Opened(link) => {
                    links.insert(connection, (link, 0));
                    Input::Opened(connection)
                }
                Wan::Sent(class, mut message) => {
                    asked = asked.or_else(|| Some(clock.now()));
                    if let Some(class) = class {
                        message.class = class;
                        let own = technology.airtime(message.payload.len(), 0);
                        urgent.push_back((clock.now(), own));
                    }
                    Input::FromWan(connection, message)
                }
                Wan::Closed => {
                    links.remove(&connection);
                    Input::Closed(connection)
                }
            },
            () = tokio::time::sleep(wait.max(Duration::from_millis(1))) => Input::Timeout,
        };
        core.handle(input, clock.now(), clock.unix_seconds());
    }
}

fn read(street: Street) -> Read {
    read_by(street, false)
}

/// As [`read`], or only until the first object is read by way of a concentrator that has taken the
/// line over and goes on with the meters that were registered.
fn read_by(street: Street, takes_over: bool) -> Read {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(reading(street, takes_over))
}

/// Lets another end have a line, once all its meters are registered.
async fn taken_over(
    wire: &PowerLine,
    mut segment: PowerLineSegment,
    initiator: [u8; 8],
    keys: &KeyFile,
    clock: SimClock,
) -> (PowerLineSegment, Core) {
    let mut told = Vec::new();
    while told.len() < keys.meters.len() {
        let event = poll_fn(|cx| segment.poll_event(cx)).await.unwrap();
        if let SegmentEvent::Joined { node, .. } = event {
            told.push(segment.registration(node).unwrap());
        }
    }
    let mut segment = wire.another_end(initiator);
    let mut table = Table::new(0);
    for meter in &keys.meters {
        let record = table.plan(&meter.logical_device_name, BEGIN).unwrap();
        table.apply(&record.unwrap()).unwrap();
    }
    let mut core = with_table(table, &segment, clock);
    let names = keys.meters.iter();
    core.expect(names.map(|it| (it.system_title.0, it.logical_device_name.clone())));
    assert_eq!(segment.adopt(&told), keys.meters.len());
    (segment, core)
}

async fn reading(street: Street, takes_over: bool) -> Read {
    let clock = SimClock::starting_at(BEGIN);
    let entropy = |which| SeededEntropy::new(draw(SEED, which));
    let keys = KeyFile::generate(1, street.meters, &entropy(1)).unwrap();

    // The meters, each with the day before.
    let template = Arc::new(Template::built_in("smr5").unwrap());
    let population = Population {
        seed: SEED,
        history_days: 1,
        outages: Outages::Never,
        consecutive_saps: false,
        ..Population::default()
    };
    let now = Timestamp::from_secs(BEGIN);
    let configs = population.configs(&template, keys.meters.clone(), now);
    let own = Arc::new(entropy(2));
    let (fleet, _) = Fleet::open(Disk::default(), configs, now, &*own).unwrap();
    let fleet = SharedFleet::new(fleet, Arc::new(clock), own);

    // The line, and the concentrator at its end.
    let hops = (0..=street.credit).cycle();
    let nodes = (0..).zip(&keys.meters).zip(hops);
    let nodes = nodes.map(|((number, meter), hops)| NodeConfig {
        title: meter.system_title.0,
        server: 1,
        hops,
        loss: if street.lossy { losses(number) } else { 0 },
        appears: Duration::ZERO,
    });
    let technology = Technology::SFsk(SFsk {
        credit: street.credit,
        ..SFsk::default()
    });
    let config = PowerLineConfig::quiet(technology, nodes.collect(), draw(SEED, 3));
    let initiator = config.initiator;
    let (wire, mut segment, plugs) = PowerLine::new(config);
    serve_all(&fleet, plugs, clock);
    let mut core = at_its_end(&segment, clock);
    if takes_over {
        (segment, core) = taken_over(&wire, segment, initiator, &keys, clock).await;
    }
    let (to, arriving) = mpsc::channel(WAITING_MAX);
    let (changed, mut state) = watch::channel(State::default());
    let count = usize::try_from(street.meters).unwrap();
    let turning = turn((count, technology), core, segment, clock, arriving, changed);
    tokio::spawn(turning);
    let all = state.wait_for(|state| state.saps.len() >= count).await;
    let saps = all.unwrap().saps.clone();
    let seconds = || Duration::from_micros(clock.now().as_micros()).as_secs();
    let (registered_s, airtime) = (seconds(), wire.statistics().airtime);

    // The head end.
    let trunks = Arc::new(Trunks {
        to,
        number: AtomicU64::new(0),
        open: Arc::default(),
        most: AtomicUsize::new(0),
    });
    let enrolment = saps.iter().map(|(name, sap)| {
        format!(
            "{{\"logical_device_name\":\"{name}\",\"endpoint\":\"{ENDPOINT}\",\"server\":{sap}}}\n"
        )
    });
    let concentrator = format!("endpoint = \"{ENDPOINT}\"\nname = \"{NAME}\"");
    let concentrator = toml::from_str(&concentrator).unwrap();
    let config = Config {
        collector: CollectorConfig {
            every_s: 86_400,
            // The day before is among them however long it takes.
            history_days: 3,
            ..CollectorConfig::default()
        },
        concentrator: if street.told {
            vec![concentrator]
        } else {
            Vec::new()
        },
        ..Config::default()
    };
    let surroundings = Surroundings {
        clock: Arc::new(clock),
        entropy: Arc::new(entropy(4)),
        connector: Arc::clone(&trunks) as Arc<dyn Connector>,
    };
    let mut head = Head::of(
        config,
        keys,
        enrolment.collect(),
        surroundings,
        SEED,
        Arc::new(Watch::new(clock)),
        clock,
    );
    head.start().await;
    if street.told {
        let segment = Told {
            number: SEGMENT.0,
            medium: "s-fsk".to_owned(),
            open: true,
            waiting: 0,
            saps: saps.values().copied().collect(),
        };
        head.fleet().lines().told(ENDPOINT, &[segment]);
    }
    let end_s = registered_s + street.hours * 3_600;
    let mut obeyed = 0;
    let mut order_s = seconds() + 60 * street.orders_min;
    let (good, failed) = loop {
        if street.orders_min > 0 && seconds() >= order_s {
            order_s += 60 * street.orders_min;
            obeyed += u32::from(switch(&head, obeyed).await);
        }
        let (good, failed) = head.associations();
        let done = takes_over && state.borrow().first.is_some();
        if done || good >= u64::from(street.meters) || seconds() >= end_s {
            break (good, failed);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    let read_s = seconds() - registered_s;
    let in_use = (wire.statistics().airtime - airtime).as_secs_f64()
        / Duration::from_secs(read_s.max(1)).as_secs_f64();
    let statistics = wire.statistics();
    head.stop().await;
    let store = head.open_store();
    let meters = store.meters().unwrap();
    let day = BEGIN - 84_600..BEGIN - 900;
    let with_day = meters.iter().filter(|meter| {
        let gaps = store.gaps(meter.id, LOAD_PROFILE, day.clone()).unwrap();
        gaps.is_empty() && meter.expected_from.secs() <= day.start
    });
    let State {
        waiting,
        counters,
        urgent: waited,
        asked,
        first,
        ..
    } = state.borrow().clone();
    let times = asked.zip(first);
    Read {
        registered_s,
        read_s,
        good,
        failed,
        with_day: with_day.count(),
        connections: trunks.most.load(Ordering::Relaxed),
        waiting,
        counters,
        in_use,
        lost: statistics.lost,
        given_up: statistics.given_up,
        obeyed,
        waited,
        first: times.map_or(Duration::MAX, |(asked, first)| first.since(asked)),
    }
}

/// Permille of the frames that are lost on each section of the way to a meter: in a street some
/// are heard badly.
const fn losses(number: u32) -> u16 {
    match number {
        _ if number % 9 == 8 => 180,
        _ if number.is_multiple_of(2) => 10,
        _ => 40,
    }
}

/// Switches a meter off over the way for what is urgent, as an order does; tells whether it says
/// that it is off.
async fn switch(head: &Head, number: u32) -> bool {
    let id = MeterId::new(u64::from(1 + number * 7 % 60)).unwrap();
    let (lease, access) = head.access(id).await;
    let meter = head.fleet().meter(id).unwrap().0.meter;
    let mut target = MeterTarget {
        id: meter.id,
        enrolment: meter.enrolment,
    };
    URGENT.clone_into(&mut target.enrolment.endpoint);
    let mut talk = access.open(&target).await.unwrap();
    let client = talk.client().unwrap();
    client.set_class(MessageClass::Control);
    let breaker = Obis::new(0, 0, 96, 3, 10, 255);
    let off = MethodDescriptor::new(70, breaker, 1);
    client.invoke(off, Some(&Data::Integer(0))).await.unwrap();
    let state = AttributeDescriptor::new(70, breaker, 2);
    let is_on = client.read(state).await.unwrap().as_bool();
    talk.close().await.unwrap();
    drop(lease);
    is_on == Some(false)
}

/// Every meter is registered, is read once and gives its day; nobody is asked in vain, and what
/// waits stays little.
#[expect(clippy::print_stdout, reason = "a figure for who asks for it")]
fn is_read(street: Street) {
    let found = read(street);
    println!(
        "| {} | {} | {} s | {:.1} h | {:.1} s | {:.0} % | {} |",
        street.credit,
        street.meters,
        found.registered_s,
        Duration::from_secs(found.read_s).as_secs_f64() / 3_600.0,
        Duration::from_secs(found.read_s).as_secs_f64() / f64::from(street.meters),
        100.0 * found.in_use,
        found.waiting,
    );
    let meters = u64::from(street.meters);
    // Two may end within the second in which it is looked at.
    assert_eq!(
        (found.good.min(meters), found.failed),
        (meters, 0),
        "{found:?}"
    );
    assert!(found.good <= meters + 1, "{found:?}");
    assert_eq!(
        found.with_day,
        usize::try_from(meters).unwrap(),
        "{found:?}"
    );
    assert_eq!(found.connections, 2, "{found:?}");
    let Counters {
        full,
        expired,
        unknown,
        unfit,
        ..
    } = found.counters;
    assert_eq!((full, expired, unknown, unfit), (0, 0, 0, 0), "{found:?}");
    // A request of each that is asked, beside what the concentrator asks itself.
    assert!(found.waiting <= 16, "{found:?}");
    assert!(found.in_use > 0.5, "{found:?}");
}

/// Requirement D2, on the slowest medium.
#[test]
fn a_street_on_a_power_line_is_read_directly_without_a_failure() {
    is_read(Street {
        meters: 120,
        credit: 2,
        told: true,
        hours: 200,
        orders_min: 0,
        lossy: false,
    });
}

#[test]
fn a_street_of_1200_on_a_power_line_is_read_directly_without_a_failure() {
    is_read(Street {
        meters: 1_200,
        credit: 0,
        told: true,
        hours: 200,
        orders_min: 0,
        lossy: false,
    });
}

#[test]
fn a_street_of_1200_with_credit_2_is_read_directly_without_a_failure() {
    is_read(Street {
        meters: 1_200,
        credit: 2,
        told: true,
        hours: 200,
        orders_min: 0,
        lossy: false,
    });
}

/// Requirement D2, on a line that loses frames: one that lost a request or an answer for good fails
/// the collection of that meter, which is tried again, and in the end each meter has given its day.
#[test]
fn a_street_that_loses_frames_is_read_directly_all_the_same() {
    let found = read(Street {
        meters: 60,
        credit: 2,
        told: true,
        hours: 200,
        orders_min: 0,
        lossy: true,
    });
    println!("with losses: {found:?}");
    assert_eq!(found.with_day, 60, "{found:?}");
    // So much is lost that messages were given up, and few collections failed for that.
    assert!(found.lost > 200 && found.given_up > 0, "{found:?}");
    assert!((1..=20).contains(&found.failed), "{found:?}");
    assert_eq!((found.counters.full, found.counters.unfit), (0, 0));
}

/// Requirement D2: an order waits for the frame of somebody else that is on the wire, or for a
/// piece of a search, and for nothing more, also while the street is read.
#[test]
fn an_order_waits_for_no_reading() {
    for credit in [0, 2] {
        let found = read(Street {
            meters: 60,
            credit,
            told: true,
            hours: 200,
            orders_min: 5,
            lossy: false,
        });
        println!("credit {credit}: {found:?}");
        assert_eq!((found.failed, found.with_day), (0, 60), "{found:?}");
        assert!(found.obeyed >= 3, "{found:?}");
        assert!(found.waited <= Duration::from_secs(2), "{found:?}");
        assert!(found.in_use > 0.5, "{found:?}");
    }
}

/// Requirement D11: a line of 1,200 meters is taken over. The first object that a head end reads,
/// two meters at once and each behind HLS 5 with an association of its own, takes what its own
/// messages take of the line, and those of the other meter.
#[test]
fn reads_resume_at_once_where_a_line_of_1200_is_taken_over() {
    for (credit, seconds) in [(0, 10), (2, 30)] {
        let street = Street {
            meters: 1_200,
            credit,
            told: true,
            hours: 1,
            orders_min: 0,
            lossy: false,
        };
        let found = read_by(street, true);
        println!("credit {credit}: the first after {:.1?}", found.first);
        assert!(found.first < Duration::from_secs(seconds), "{found:?}");
        assert_eq!(found.failed, 0, "{found:?}");
    }
}

/// Read as if it were on IP, sixteen at once and for half a minute each, nobody gives his day.
#[test]
fn as_if_it_were_on_ip_it_is_not_read() {
    let found = read(Street {
        meters: 40,
        credit: 2,
        told: false,
        hours: 1,
        orders_min: 0,
        lossy: false,
    });
    println!("as if on IP: {found:?}");
    assert!(found.failed > 0 && found.connections == 16, "{found:?}");
    assert_eq!(found.with_day, 0, "{found:?}");
}
