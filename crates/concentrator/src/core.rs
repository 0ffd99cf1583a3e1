//! The concentrator as one machine without I/O: who joined, what he is
//! called, which SAP that makes, and what goes where.
//!
//! After each `handle`, call [`Core::poll`] until it gives [`Output::Wait`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use dlms::Instant;
use link::{Message, Node, Sap, SegmentEvent};
use model::{Feeder, LogicalDeviceName, MessageClass};

use crate::collector::state::Record as Kept;
use crate::collector::{self, Collector};
use crate::direct::{self, Connection, Counters, Place, Router, RouterLimits, SegmentId};
use crate::identify::{Identify, Step};
use crate::pair::wire::Body;
use crate::sap::{ENTRIES_MAX, Record, SapError, Table};

/// What happens to a concentrator.
#[derive(Debug)]
pub enum Input {
    /// The WAN has a new connection.
    Opened(Connection),
    /// A connection of the WAN is gone.
    Closed(Connection),
    /// A message came from the WAN.
    FromWan(Connection, Message),
    /// The line of a segment is lost, and whoever was there with it.
    Lost(SegmentId),
    /// A segment tells something.
    FromSegment(SegmentId, SegmentEvent),
    /// The oldest record that was to be stored is durable.
    Stored,
    /// So many of the collector's records, the oldest, are durable.
    Kept(usize),
    /// Somebody with the right to do so gives a logical device a SAP, or
    /// takes it away with 0.
    Connect(Sap, LogicalDeviceName),
    /// Time has passed.
    Timeout,
}

/// What a concentrator wants.
#[derive(Debug)]
pub enum Output {
    /// A message is to go to a meter, or to all of a segment.
    ToSegment {
        /// The segment.
        segment: SegmentId,
        /// The meter; none: all of them.
        node: Option<Node>,
        /// The message.
        message: Message,
    },
    /// A message is to go to a connection of the WAN.
    ToWan {
        /// The connection.
        connection: Connection,
        /// The message.
        message: Message,
    },
    /// A message of this connection waits no longer.
    Credit(Connection),
    /// A change of the SAP table is to be made durable; [`Input::Stored`]
    /// says that it is. Until then nobody is reached by it.
    Store(Record),
    /// A change of what the collector keeps is to be made durable;
    /// [`Input::Kept`] says that it is.
    Keep(Kept),
    /// Nothing until something happens, or until then.
    Wait(Option<Instant>),
}

/// What is known of a meter that is in the SAP table, for the status object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterStatus {
    /// Where it is, while it is there.
    pub place: Option<Place>,
    /// When it was heard last, in seconds since 1970-01-01T00:00:00Z.
    pub heard: Option<i64>,
    /// Meters that repeat what goes to it.
    pub hops: u8,
    /// How well it is heard, in permille of the frames.
    pub quality: Option<u16>,
    /// Where it was last, as long as its segment is there.
    last: Option<Place>,
    through: Through,
    /// The day, counted from 1970-01-01 in UTC, on which frames to or from it had to go again last,
    /// and how many on that day.
    pub repeated: Option<(i64, u32)>,
}

/// Through whom a meter is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Through {
    /// The medium does not tell.
    #[default]
    Unknown,
    /// It is heard directly.
    Nobody,
    /// Through another meter of the segment.
    Node(Node),
}

impl MeterStatus {
    /// Tells how many frames to or from it had to go again on the day of a time, in seconds since
    /// 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn repeated_on(&self, unix: i64) -> u32 {
        let today = self.repeated.filter(|(day, _)| *day == day_of(unix));
        today.map_or(0, |(_, count)| count)
    }

    fn repeat(&mut self, count: u32, unix: i64) {
        let all = self.repeated_on(unix).saturating_add(count);
        self.repeated = Some((day_of(unix), all));
    }
}

const fn day_of(unix: i64) -> i64 {
    unix.div_euclid(86_400)
}

/// What is known of a segment, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentStatus {
    /// The kind of medium.
    pub medium: &'static str,
    /// Whether its line is there.
    pub open: bool,
    /// The nominal rate of the medium in bits a second, where it has one.
    pub bit_rate: Option<u32>,
}

/// After how long a meter is asked again that said the name of another.
const CONFLICT: Duration = Duration::from_secs(600);

/// After how long the first meter is asked for its name that was known by its title.
const CONFIRM: Duration = Duration::from_secs(600);

/// Between one such meter and the next: a line that was taken over with all its meters is for
/// reading them.
const CONFIRM_APART: Duration = Duration::from_secs(10);

/// So many are apart.
const CONFIRMED_APART: u32 = 2_048;

#[derive(Clone, Debug)]
struct Joined {
    server: Sap,
    title: Option<[u8; 8]>,
    hops: u8,
    through: Through,
    name: Option<LogicalDeviceName>,
}

/// The concentrator without I/O.
pub struct Core {
    table: Table,
    router: Router,
    identify: Identify,
    joined: BTreeMap<Place, Joined>,
    /// Where the meter with each name is.
    named: BTreeMap<LogicalDeviceName, Place>,
    status: BTreeMap<LogicalDeviceName, MeterStatus>,
    /// Records under way to the disk, oldest first.
    storing: VecDeque<Record>,
    outputs: VecDeque<Output>,
    conflicts: u64,
    collector: Option<Collector>,
    segments: BTreeMap<SegmentId, SegmentStatus>,
    /// The names that meters with these titles said to the other concentrator of a pair.
    titles: BTreeMap<[u8; 8], LogicalDeviceName>,
}

impl Core {
    /// Starts with what the table held before.
    #[must_use]
    pub fn new(
        table: Table,
        limits: RouterLimits,
        classes: BTreeMap<Sap, MessageClass>,
        answer: Duration,
    ) -> Self {
        let status = table
            .iter()
            .map(|(_, name)| (name.clone(), MeterStatus::default()))
            .collect();
        Self {
            router: Router::new(limits, classes),
            identify: Identify::new(answer),
            joined: BTreeMap::new(),
            named: BTreeMap::new(),
            status,
            storing: VecDeque::new(),
            outputs: VecDeque::new(),
            conflicts: 0,
            collector: None,
            segments: BTreeMap::new(),
            titles: BTreeMap::new(),
            table,
        }
    }

    /// Lets the concentrator read meters itself, before anything is handled.
    /// The SAP of its client is then nobody else's.
    #[must_use]
    pub fn with_collector(mut self, collector: Collector) -> Self {
        if collector.has_any_keys() {
            self.router.reserve(collector.settings().client);
        }
        self.collector = Some(collector);
        self
    }

    /// Shows what the concentrator reads itself.
    #[must_use]
    pub const fn collector(&self) -> Option<&Collector> {
        self.collector.as_ref()
    }

    /// Shows what the concentrator reads itself, to be changed by somebody
    /// with the right to do so.
    pub const fn collector_mut(&mut self) -> Option<&mut Collector> {
        self.collector.as_mut()
    }

    /// Tells the time of the own clock.
    #[must_use]
    pub fn own_time(&self, unix: i64) -> i64 {
        let ahead = self.collector.as_ref().map_or(0, |it| it.state().clock_s());
        unix.saturating_add(ahead)
    }

    /// Adds a segment, before anything of it is handled.
    pub fn add_segment(&mut self, segment: SegmentId, window: usize, payload_max: usize) {
        self.router.add_segment(segment, window, payload_max);
    }

    /// Takes that all meters of a segment share one wire, so that few of them are asked at once
    /// who they are.
    pub fn share_segment(&mut self, segment: SegmentId, now: Instant) {
        self.identify.share(segment, now);
    }

    /// Tells the medium of a segment, whose line is there.
    pub fn describe_segment(&mut self, segment: SegmentId, medium: &'static str) {
        let status = SegmentStatus {
            medium,
            open: true,
            bit_rate: None,
        };
        self.segments.insert(segment, status);
    }

    /// Tells the nominal rate of a segment's medium, in bits a second.
    pub fn rate_segment(&mut self, segment: SegmentId, bit_rate: Option<u32>) {
        if let Some(status) = self.segments.get_mut(&segment) {
            status.bit_rate = bit_rate;
        }
    }

    /// Tells what is known of the segments.
    #[must_use]
    pub const fn segments(&self) -> &BTreeMap<SegmentId, SegmentStatus> {
        &self.segments
    }

    /// Tells the feeders that it meters itself or on which meters hang.
    #[must_use]
    pub fn feeders(&self) -> BTreeSet<&Feeder> {
        let collector = self.collector.as_ref();
        let own = collector.map_or(&[][..], Collector::metering).iter();
        let behind = collector.and_then(Collector::substation).into_iter();
        own.map(crate::metering::Metering::feeder)
            .chain(behind.flat_map(|it| it.feeders()))
            .collect()
    }

    /// Gives up a segment that another concentrator goes on with: its meters did not fall
    /// silent.
    pub fn hand_over(&mut self, segment: SegmentId, now: Instant, unix: i64) {
        if let Some(collector) = &mut self.collector {
            let there = self.joined.keys().filter(|it| it.segment == segment);
            there.for_each(|place| collector.hand_over(*place));
        }
        self.handle(Input::Lost(segment), now, unix);
        // It is not lost, but the other's.
        self.segments.remove(&segment);
    }

    /// Gives SAPs of one half only, since another concentrator gives the others.
    pub const fn give_half(&mut self, odd: bool) {
        self.table.give_half(odd);
    }

    /// Tells all that another concentrator needs to go on in place of this one; of SAPs those
    /// that are durable here.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Body> {
        let table = self.table.records().into_iter();
        let kept = self.collector.iter().flat_map(|it| it.state().records());
        table.map(Body::Sap).chain(kept.map(Body::Kept)).collect()
    }

    /// Takes what the other concentrator of a pair has learnt; tells whether that is made
    /// durable here as it is.
    pub fn learn(&mut self, body: &Body, overrules: bool, now: Instant, unix: i64) -> bool {
        match body {
            Body::Kept(record) => {
                let collector = self.collector.as_mut();
                collector.is_some_and(|it| it.learn(record, overrules, now))
            }
            Body::Sap(record) => {
                let mut ahead = None;
                if !self.storing.is_empty() {
                    let mut table = self.table.clone();
                    for waiting in &self.storing {
                        if let Err(error) = table.apply(waiting) {
                            tracing::debug!(%error, "left out, as it will be then");
                        }
                    }
                    ahead = Some(table);
                }
                let table = ahead.as_ref().unwrap_or(&self.table);
                let records = table.plan_other(record, overrules, unix);
                let same = records.as_slice() == std::slice::from_ref(record);
                for record in records {
                    self.store(record);
                }
                same
            }
        }
    }

    /// Takes what meters with these system titles said to the other concentrator of a pair that
    /// they are called. One that has a SAP is reached by it as soon as it joins, and asked for its
    /// name later.
    pub fn expect(&mut self, names: impl Iterator<Item = ([u8; 8], LogicalDeviceName)>) {
        for (title, name) in names {
            if self.titles.len() < ENTRIES_MAX || self.titles.contains_key(&title) {
                self.titles.insert(title, name);
            }
        }
    }

    /// Tells the name of the meter at a place.
    #[must_use]
    pub fn name_at(&self, place: Place) -> Option<&LogicalDeviceName> {
        self.joined.get(&place)?.name.as_ref()
    }

    /// Tells whether the meter that a message of the WAN is for is there.
    #[must_use]
    pub fn reaches(&self, destination: Sap) -> bool {
        self.router.place_of(destination).is_some()
    }

    /// Shows the SAP table.
    #[must_use]
    pub const fn table(&self) -> &Table {
        &self.table
    }

    /// Tells what is known of each meter of the table.
    #[must_use]
    pub const fn status(&self) -> &BTreeMap<LogicalDeviceName, MeterStatus> {
        &self.status
    }

    /// Tells through whom meters are reached whose medium tells it: the SAP of the one that
    /// forwards by the SAP of the one behind it, 0 where that is heard directly. Whoever is away
    /// keeps its place until its segment is lost.
    #[must_use]
    pub fn behind(&self) -> BTreeMap<Sap, Sap> {
        let mut saps = BTreeMap::new();
        let mut told = Vec::new();
        for (sap, name) in self.table.iter() {
            let Some(status) = self.status.get(name) else {
                continue;
            };
            let Some(last) = status.last else { continue };
            // Of several that were at one place the one that is there counts.
            if status.place == Some(last) || !saps.contains_key(&last) {
                saps.insert(last, sap);
            }
            told.push((sap, last.segment, status.through));
        }
        let through = told.into_iter().filter_map(|(sap, segment, through)| {
            let other = match through {
                Through::Unknown => return None,
                Through::Nobody => 0,
                Through::Node(node) => *saps.get(&Place { segment, node })?,
            };
            (other != sap).then_some((sap, other))
        });
        through.collect()
    }

    /// Tells how many frames to or from a meter had to go again since midnight in UTC, or since the
    /// start of the concentrator; nothing where it is on no medium that tells that. `own` is the
    /// time of the own clock.
    #[must_use]
    pub fn repeated_today(&self, name: &LogicalDeviceName, own: i64) -> Option<u32> {
        let status = self.status.get(name)?;
        let segment = status.place.and_then(|it| self.segments.get(&it.segment));
        // A medium with a rate of its own has frames that go again; on IP others see to that.
        let counted = segment.is_some_and(|it| it.bit_rate.is_some()) || status.repeated.is_some();
        counted.then(|| status.repeated_on(own))
    }

    /// Counts the messages that wait for a segment.
    #[must_use]
    pub fn waiting(&self, segment: SegmentId) -> usize {
        self.router.waiting(segment)
    }

    /// Tells what was forwarded and dropped.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.router.counters()
    }

    /// Counts how often a meter said the name of another that was there.
    #[must_use]
    pub const fn conflicts(&self) -> u64 {
        self.conflicts
    }

    /// Takes what happened. `unix` is the time of day in seconds.
    pub fn handle(&mut self, input: Input, now: Instant, unix: i64) {
        match input {
            Input::Opened(connection) => self.router.open(connection),
            Input::Closed(connection) => self.router.close(connection),
            Input::FromWan(connection, message) => self.router.from_wan(connection, message, now),
            Input::Lost(segment) => {
                let there = self.joined.keys().filter(|it| it.segment == segment);
                let there: Vec<Place> = there.copied().collect();
                for place in there {
                    self.left(place, now, unix);
                }
                self.router.lost(segment);
                // Its nodes may have other numbers when it comes back.
                for status in self.status.values_mut() {
                    if status.last.is_some_and(|it| it.segment == segment) {
                        (status.last, status.through) = (None, Through::Unknown);
                    }
                }
                if let Some(status) = self.segments.get_mut(&segment) {
                    status.open = false;
                }
            }
            Input::FromSegment(segment, event) => self.segment(segment, event, now, unix),
            Input::Stored => self.stored(now),
            Input::Kept(count) => {
                if let Some(collector) = &mut self.collector {
                    collector.stored(count, now);
                }
            }
            Input::Connect(sap, name) => {
                if let Err(error) = self.connect(sap, &name, unix) {
                    tracing::info!(sap, %name, %error, "a service access point was not given");
                }
            }
            Input::Timeout => {}
        }
    }

    /// Takes what is to be done next.
    pub fn poll(&mut self, now: Instant, unix: i64) -> Output {
        let mut wait = None;
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            match self.identify.poll(now) {
                Step::Send(place, message) => {
                    if let Err(error) = self.router.from_own(place, message, now) {
                        tracing::debug!(?place, %error, "a meter cannot be asked for its name now");
                        self.identify.unsent(place, now);
                    }
                    continue;
                }
                Step::Named(place, name) => {
                    self.named(place, name, now, unix);
                    continue;
                }
                Step::Wait(at) => wait = at.or(wait),
            }
            let own = self.own_time(unix);
            match self.collector.as_mut().map(|it| it.poll(now, own)) {
                Some(collector::Step::Send(place, message)) => {
                    if let Err(error) = self.router.from_own(place, message, now) {
                        tracing::debug!(?place, %error, "a meter cannot be read now");
                    }
                    continue;
                }
                Some(collector::Step::Store(record)) => return Output::Keep(record),
                Some(collector::Step::Wait(at)) => {
                    wait = match (wait, at) {
                        (Some(one), Some(other)) => Some(one.min(other)),
                        (one, other) => one.or(other),
                    };
                }
                None => {}
            }
            return match self.router.poll(now) {
                Some(direct::Output::ToSegment {
                    segment,
                    node,
                    message,
                }) => Output::ToSegment {
                    segment,
                    node,
                    message,
                },
                Some(direct::Output::ToWan {
                    connection,
                    message,
                }) => Output::ToWan {
                    connection,
                    message,
                },
                Some(direct::Output::Credit(connection)) => Output::Credit(connection),
                Some(direct::Output::Expired(place)) => {
                    self.identify.unsent(place, now);
                    continue;
                }
                None => Output::Wait(match (wait, self.router.deadline()) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                }),
            };
        }
    }

    fn segment(&mut self, segment: SegmentId, event: SegmentEvent, now: Instant, unix: i64) {
        match event {
            SegmentEvent::Joined {
                node,
                server,
                title,
                hops,
            } => {
                let place = Place { segment, node };
                self.left(place, now, unix);
                let joined = Joined {
                    server,
                    title,
                    hops,
                    through: Through::Unknown,
                    name: None,
                };
                self.joined.insert(place, joined);
                self.identify.moved(segment, now);
                let known = title.and_then(|it| self.titles.get(&it));
                let known = known.filter(|name| {
                    self.table.sap_of(name).is_some() && !self.named.contains_key(*name)
                });
                let asked_at = if let Some(name) = known.cloned() {
                    self.named(place, name, now, unix);
                    now + CONFIRM + CONFIRM_APART * (node.0 % CONFIRMED_APART)
                } else {
                    now
                };
                self.identify.ask(place, server, asked_at);
            }
            SegmentEvent::Behind(node, through) => {
                let place = Place { segment, node };
                let through = through.map_or(Through::Nobody, Through::Node);
                if let Some(joined) = self.joined.get_mut(&place) {
                    joined.through = through;
                }
                if let Some(status) = self.status_at(place)
                    && status.place == Some(place)
                {
                    status.through = through;
                }
            }
            SegmentEvent::Left(node) => self.left(Place { segment, node }, now, unix),
            SegmentEvent::Received(node, message) => {
                let place = Place { segment, node };
                self.identify.moved(segment, now);
                if let Some(status) = self.status_at(place) {
                    status.heard = Some(unix);
                }
                if let Some(own) = self.router.from_meter(place, message, now) {
                    let collector = self.collector.as_ref();
                    let asked = collector.is_some_and(|it| it.asks_publicly(place));
                    if own.destination == crate::identify::PUBLIC_CLIENT && !asked {
                        self.identify.answered(place, &own.payload, now);
                    } else if let Some(collector) = &mut self.collector {
                        collector.answered(place, &own.payload, now);
                    }
                }
            }
            SegmentEvent::Done {
                node, delivered, ..
            } => {
                self.identify.left(segment, node, delivered, now);
                self.router.done(segment, node);
            }
            SegmentEvent::Quality(node, permille) => {
                if let Some(status) = self.status_at(Place { segment, node }) {
                    status.quality = Some(permille);
                }
            }
            SegmentEvent::Repeated(node, count) => {
                let own = self.own_time(unix);
                if let Some(status) = self.status_at(Place { segment, node }) {
                    status.repeat(count, own);
                }
            }
        }
    }

    fn status_at(&mut self, place: Place) -> Option<&mut MeterStatus> {
        let name = self.joined.get(&place)?.name.as_ref()?;
        self.status.get_mut(name)
    }

    fn left(&mut self, place: Place, now: Instant, unix: i64) {
        let own = self.own_time(unix);
        if let Some(collector) = &mut self.collector {
            collector.gone(place, now, own);
        }
        if let Some(status) = self.status_at(place)
            && status.place == Some(place)
        {
            status.place = None;
        }
        let name = self.joined.remove(&place).and_then(|joined| joined.name);
        if let Some(name) = name
            && self.named.get(&name) == Some(&place)
        {
            self.named.remove(&name);
        }
        self.identify.forget(place);
        self.router.detach(place);
    }

    /// Takes a name away that was not the meter's.
    fn unname(&mut self, place: Place, now: Instant, unix: i64) {
        let Some(joined) = self.joined.get(&place).cloned() else {
            return;
        };
        if let Some(title) = &joined.title {
            self.titles.remove(title);
        }
        if let Some(collector) = &mut self.collector {
            // Nobody fell silent.
            collector.hand_over(place);
        }
        self.left(place, now, unix);
        self.joined.insert(
            place,
            Joined {
                name: None,
                ..joined
            },
        );
    }

    fn named(&mut self, place: Place, name: LogicalDeviceName, now: Instant, unix: i64) {
        match self.name_at(place) {
            Some(known) if *known == name => return,
            Some(known) => {
                tracing::warn!(%known, %name, ?place, "a meter is another than its title said");
                self.unname(place, now, unix);
            }
            None => {}
        }
        let Some(joined) = self.joined.get_mut(&place) else {
            return;
        };
        if self.named.get(&name).is_some_and(|other| *other != place) {
            // Two meters with one name: the one that was there first is the
            // one that head ends have been talking with. It may go.
            self.conflicts += 1;
            tracing::warn!(%name, ?place, "a meter says the name of another that is there");
            self.identify.ask(place, joined.server, now + CONFLICT);
            return;
        }
        joined.name = Some(name.clone());
        self.named.insert(name.clone(), place);
        let waits =
            |record: &Record| matches!(record, Record::Assigned { name: it, .. } if *it == name);
        if self.storing.iter().any(waits) {
            return;
        }
        match self.planned(&name, unix) {
            Ok(Some(record)) => self.store(record),
            Ok(None) => self.attach(place, now),
            Err(error) => tracing::warn!(%name, %error, "a meter gets no service access point"),
        }
    }

    /// Plans a SAP on the table as it will be once all records are stored.
    fn planned(&self, name: &LogicalDeviceName, unix: i64) -> Result<Option<Record>, SapError> {
        if self.storing.is_empty() {
            return self.table.plan(name, unix);
        }
        let mut table = self.table.clone();
        for record in &self.storing {
            table.apply(record)?;
        }
        table.plan(name, unix)
    }

    fn store(&mut self, record: Record) {
        self.storing.push_back(record.clone());
        self.outputs.push_back(Output::Store(record));
    }

    fn stored(&mut self, now: Instant) {
        let Some(record) = self.storing.pop_front() else {
            return;
        };
        if let Record::Released { sap, .. } = &record {
            if let Some(place) = self.router.place_of(*sap) {
                self.router.detach(place);
            }
            if let Some(name) = self.table.name_of(*sap) {
                self.status.remove(name);
            }
        }
        if let Err(error) = self.table.apply(&record) {
            tracing::error!(%error, "a change of the SAP table does not fit");
            return;
        }
        if let Record::Assigned { name, .. } = &record {
            self.status.entry(name.clone()).or_default();
            if let Some(&place) = self.named.get(name) {
                self.attach(place, now);
            }
        }
    }

    /// Lets a meter with a name and a SAP be reached.
    fn attach(&mut self, place: Place, now: Instant) {
        let Some(joined) = self.joined.get(&place) else {
            return;
        };
        let Some(name) = joined.name.clone() else {
            return;
        };
        let Some(sap) = self.table.sap_of(&name) else {
            return;
        };
        let status = self.status.entry(name.clone()).or_default();
        status.place = Some(place);
        status.hops = joined.hops;
        (status.last, status.through) = (Some(place), joined.through);
        tracing::info!(sap, %name, "a meter is there");
        if let Some(collector) = &mut self.collector {
            collector.there(place, &name, joined.server, now);
        }
        self.router
            .attach(place, joined.server, sap, name, joined.title, now);
    }

    fn connect(&mut self, sap: Sap, name: &LogicalDeviceName, unix: i64) -> Result<(), SapError> {
        if !self.storing.is_empty() {
            return Err(SapError::Taken);
        }
        let records = if sap == 0 {
            let record = self.table.plan_release(name, unix);
            vec![record.ok_or(SapError::Unknown)?]
        } else {
            self.table.plan_at(sap, name, unix)?
        };
        for record in records {
            self.store(record);
        }
        Ok(())
    }
}
