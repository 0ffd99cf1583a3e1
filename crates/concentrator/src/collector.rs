//! Conventional mode: reading meters by one's own schedule, as a client of
//! one's own.
//!
//! Beside what head ends and meters say to each other through
//! [`direct`](crate::direct), the concentrator may itself be a client of the
//! meters whose operator says so: under a SAP, a Security Setup instance and
//! keys of its own, which read and open nothing else. What it reads it keeps,
//! compressed and durably, until the head end says that it has it.
//!
//! Without I/O: [`Collector::poll`] gives what is to be sent and stored.
//! Messages go the way of all others, with the class `usage`, so that
//! whatever a head end sends goes first.

pub mod log;
pub mod rows;
pub mod state;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use dlms::Instant;
use dlms::acse::MechanismName;
use dlms::axdr::{ClockStatus, Data, DateTime, RawData};
use dlms::client::{
    Associate, Client, Config as ClientConfig, Event, Failure, GetItem, Input, Output, Repeat,
    Request, Response, Security,
};
use dlms::codec::Wire as _;
use dlms::cosem::{AttributeDescriptor, CaptureObject, Obis, ProfileSelection, RangeDescriptor};
use dlms::security::{
    AwsLc, CounterHint, CounterPlan, CounterRecord, CounterRestart, Key, KeyRing, Keys,
    PeerCounter, Protection, ReplayWindow, SecuritySuite, SendCounter, SystemTitle,
};
use dlms::server::Context;
use dlms::xdlms::DataAccessResult;
use link::{Entropy, KeyFile, Message, Sap};
use model::{LogicalDeviceName, MessageClass};

use crate::direct::{Place, SegmentId};
use crate::identify::PUBLIC_CLIENT;
use crate::metering::{self, Mains, Metering};
use crate::substation::{Substation, Told};
use rows::Row;
use state::{NoticeKind, Record, State};

/// The alarm register (IEC 62056-6-2: 0-0:97.98.0.255): Data, value.
const ALARMS: AttributeDescriptor = AttributeDescriptor::new(1, Obis([0, 0, 97, 98, 0, 255]), 2);

/// The counter object of the collector's Security Setup instance, which
/// anybody may read: Data, value. Value group E is the instance, as seen on
/// Landis+Gyr E350 and E570 and MetCom MCS301.
const COUNTER: AttributeDescriptor = AttributeDescriptor::new(1, Obis([0, 0, 43, 1, 1, 255]), 2);

/// Seconds that one request asks for at most.
const SPAN_S: i64 = 2 * DAY_S;

/// How far ahead of the own clock a meter's may be and is still read.
const AHEAD_S: i64 = 2 * DAY_S;

const DAY_S: i64 = 86_400;

/// The first wait after a meter did not answer; it doubles up to the period.
const RETRY_FIRST: Duration = Duration::from_secs(60);

/// Records under way to the disk beyond which no meter is begun with.
const STORING_MAX: usize = 1_024;

/// How often what is too old is looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(3_600);

/// Names that one summary holds; who falls silent beyond goes into the next.
const SUMMARY_MAX: usize = 1_500;

/// How the collector works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The concentrator's own name, under which its own rows are kept.
    pub name: LogicalDeviceName,
    /// Its client SAP at the meters.
    pub client: Sap,
    /// Its system title.
    pub title: SystemTitle,
    /// The profiles that it reads, those that a meter has.
    pub profiles: Vec<Obis>,
    /// Seconds from one round to the next; each meter has its own second.
    pub every_s: u32,
    /// Meters of one segment that are read at once.
    pub at_once: usize,
    /// Days that are read of a meter that is new.
    pub backfill_days: u16,
    /// How long an answer may take.
    pub timeout: Duration,
    /// For how long silence is gathered before it is told.
    pub summary: Duration,
    /// Whether meters are collected that are not listed and of which nobody
    /// said anything.
    pub all: bool,
    /// Meters that are collected unless somebody switches them off.
    pub listed: BTreeSet<LogicalDeviceName>,
}

/// Something to be done for the collector.
#[derive(Debug)]
pub enum Step {
    /// A message is to go to a meter.
    Send(Place, Message),
    /// A change is to be made durable; [`Collector::stored`] says that it is.
    Store(Record),
    /// Nothing until something happens, or until then.
    Wait(Option<Instant>),
}

/// What was done since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rounds that went well.
    pub rounds: u64,
    /// Rounds that failed.
    pub failed: u64,
    /// Rows that were new.
    pub rows: u64,
    /// Rows without a time, which cannot be kept.
    pub untimed: u64,
}

/// The collector.
pub struct Collector {
    settings: Settings,
    entropy: Arc<dyn Entropy>,
    keys: BTreeMap<LogicalDeviceName, Given>,
    state: State,
    meters: BTreeMap<Place, Meter>,
    due: BTreeMap<SegmentId, BTreeSet<(Instant, Place)>>,
    running: BTreeSet<Place>,
    storing: VecDeque<Option<Reserved>>,
    steps: VecDeque<Step>,
    /// Segments with meters that fell silent, or came back, and are not told.
    silence: BTreeMap<SegmentId, Silence>,
    /// Meters whose silence was told.
    told: BTreeSet<LogicalDeviceName>,
    substation: Option<Substation>,
    metering: Vec<Metering>,
    sample_at: Option<Instant>,
    sessions: u64,
    expire_at: Option<Instant>,
    counts: Counts,
    /// Alarms that meters had when they were asked last, where there are any.
    alarms: BTreeMap<LogicalDeviceName, u32>,
}

struct Given {
    title: SystemTitle,
    encryption: Key,
    authentication: Key,
}

struct Reserved {
    place: Place,
    session: u64,
    plan: CounterPlan,
}

struct Meter {
    name: LogicalDeviceName,
    server: Sap,
    due: Option<Instant>,
    wait: Duration,
    hint: Option<CounterHint>,
    /// What is known of the counter that it expects.
    counter: Counter,
    /// Profiles that it does not have, or does not give.
    without: BTreeSet<Obis>,
    /// Profiles whose shape was read since it joined.
    shaped: BTreeSet<Obis>,
    session: Option<Box<Session>>,
}

/// Whether a meter's counter object is read before the next association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counter {
    /// Ours are good, as far as is known.
    Good,
    /// It is to be read: the meter did not take ours.
    Unknown,
    /// It was read: if that does not help, nothing will.
    Read,
}

struct Session {
    number: u64,
    /// The client that it is of: the collector's, or the public one.
    client_sap: Sap,
    client: Client,
    tasks: VecDeque<Task>,
    now: Option<Task>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Shape(Obis),
    Rows {
        profile: Obis,
        from: i64,
        to: i64,
        /// Whether nothing comes after it.
        last: bool,
    },
    Alarms,
    Counter,
}

struct Silence {
    since: Instant,
    last: Instant,
    silent: BTreeMap<LogicalDeviceName, i64>,
    back: BTreeSet<LogicalDeviceName>,
}

impl Collector {
    /// Starts with what was kept before. `keys` are those of the collector's
    /// client; entries without keys for HLS 5 of suite 0 are left out.
    #[must_use]
    pub fn new(
        settings: Settings,
        keys: &KeyFile,
        state: State,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let given = keys.meters.iter().filter_map(|meter| {
            let client = meter.client(settings.client)?;
            if client.mechanism != MechanismName::HighGmac || client.suite != 0 {
                return None;
            }
            let given = Given {
                title: SystemTitle(meter.system_title.0),
                encryption: client.encryption_key.clone()?,
                authentication: client.authentication_key.clone()?,
            };
            Some((meter.logical_device_name.clone(), given))
        });
        Self {
            entropy,
            keys: given.collect(),
            settings,
            state,
            meters: BTreeMap::new(),
            due: BTreeMap::new(),
            running: BTreeSet::new(),
            storing: VecDeque::new(),
            steps: VecDeque::new(),
            silence: BTreeMap::new(),
            told: BTreeSet::new(),
            substation: None,
            metering: Vec::new(),
            sample_at: None,
            sessions: 0,
            expire_at: None,
            counts: Counts::default(),
            alarms: BTreeMap::new(),
        }
    }

    /// Adds the sums of the substation.
    #[must_use]
    pub fn with_substation(mut self, substation: Substation) -> Self {
        self.substation = Some(substation);
        self
    }

    /// Adds the own metering of feeders, whose rows are kept under `name`.
    #[must_use]
    pub fn with_metering(mut self, metering: Vec<Metering>) -> Self {
        self.metering = metering;
        self
    }

    /// Has a feeder, counted from 0, measured by something else than what its configuration says.
    pub fn set_mains(&mut self, feeder: usize, source: Arc<dyn Mains>) {
        if let Some(metering) = self.metering.get_mut(feeder) {
            metering.set_source(source);
        }
    }

    /// Shows the own metering, a feeder each.
    #[must_use]
    pub fn metering(&self) -> &[Metering] {
        &self.metering
    }

    /// Shows how it works.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Shows what is kept.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Shows the sums of the substation.
    #[must_use]
    pub const fn substation(&self) -> Option<&Substation> {
        self.substation.as_ref()
    }

    /// Shows the sums of the substation, for what the own metering measures.
    pub const fn substation_mut(&mut self) -> Option<&mut Substation> {
        self.substation.as_mut()
    }

    /// Tells the number of the newest notice, where all records are durable.
    #[must_use]
    pub fn settled(&self) -> Option<u32> {
        let newest = self.state.notices().back().map_or(0, |it| it.number);
        self.storing.is_empty().then_some(newest)
    }

    /// Tells what was done since start.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Tells whether a meter is collected: whether there are keys, and
    /// somebody with the right to do so wants it.
    #[must_use]
    pub fn collects(&self, name: &LogicalDeviceName) -> bool {
        let switch = self.state.meter(name).and_then(state::Meter::switch);
        let wanted = self.settings.all || self.settings.listed.contains(name);
        self.keys.contains_key(name) && switch.unwrap_or(wanted)
    }

    /// Tells whether there are keys for any meter.
    #[must_use]
    pub fn has_any_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Tells whether there are keys for a meter.
    #[must_use]
    pub fn has_keys(&self, name: &LogicalDeviceName) -> bool {
        self.keys.contains_key(name)
    }

    /// Takes a meter that is there.
    pub fn there(&mut self, place: Place, name: &LogicalDeviceName, server: Sap, now: Instant) {
        self.forget(place);
        let meter = Meter {
            name: name.clone(),
            server,
            due: None,
            wait: RETRY_FIRST,
            hint: None,
            counter: Counter::Good,
            without: BTreeSet::new(),
            shaped: BTreeSet::new(),
            session: None,
        };
        self.meters.insert(place, meter);
        if self.collects(name) {
            self.schedule(place, now);
        }
    }

    /// Hears that a meter is no longer there.
    pub fn gone(&mut self, place: Place, now: Instant, unix: i64) {
        let name = self.meters.get(&place).map(|meter| meter.name.clone());
        self.forget(place);
        if let Some(name) = name
            && self.collects(&name)
        {
            self.silent(place.segment, name, now, unix);
        }
    }

    /// Lets go of a meter that another concentrator goes on with: it did not fall silent.
    pub fn hand_over(&mut self, place: Place) {
        self.forget(place);
    }

    /// Takes what the other concentrator of a pair has learnt; tells whether that is kept as it
    /// is.
    pub fn learn(&mut self, record: &Record, overrules: bool, now: Instant) -> bool {
        let Some(new) = self.state.new_of(record, overrules) else {
            return false;
        };
        let same = new == *record;
        match new {
            Record::Switch { name, on } => self.switch(&name, on, now),
            new => self.keep(new),
        }
        same
    }

    /// Tells what the other concentrator of a pair can no longer tell.
    pub fn adopt(&mut self, notices: Vec<state::Notice>) {
        for notice in notices {
            let own = self.state.notice(notice.at, notice.kind, notice.detail);
            self.keep(Record::Notice(own));
        }
    }

    fn forget(&mut self, place: Place) {
        self.running.remove(&place);
        if let Some(Meter { due: Some(at), .. }) = self.meters.remove(&place)
            && let Some(due) = self.due.get_mut(&place.segment)
        {
            due.remove(&(at, place));
        }
    }

    fn schedule(&mut self, place: Place, at: Instant) {
        let Some(meter) = self.meters.get_mut(&place) else {
            return;
        };
        let due = self.due.entry(place.segment).or_default();
        if let Some(before) = meter.due.replace(at) {
            due.remove(&(before, place));
        }
        due.insert((at, place));
    }

    /// Takes what a meter answered to the collector.
    pub fn answered(&mut self, place: Place, apdu: &[u8], now: Instant) {
        let meter = self.meters.get_mut(&place);
        if let Some(session) = meter.and_then(|meter| meter.session.as_mut()) {
            session.client.handle(Input::Apdu(apdu), now);
        }
    }

    /// Tells whether a meter is being asked as the public client.
    #[must_use]
    pub fn asks_publicly(&self, place: Place) -> bool {
        let session = self.meters.get(&place).and_then(|it| it.session.as_ref());
        session.is_some_and(|session| session.client_sap == PUBLIC_CLIENT)
    }

    /// Hears that the oldest records under way are durable.
    pub fn stored(&mut self, count: usize, now: Instant) {
        for _ in 0..count {
            let Some(Some(reserved)) = self.storing.pop_front() else {
                continue;
            };
            let meter = self.meters.get_mut(&reserved.place);
            if let Some(session) = meter.and_then(|meter| meter.session.as_mut())
                && session.number == reserved.session
            {
                session.client.handle(Input::Reserved(reserved.plan), now);
            }
        }
    }

    /// Switches a meter on or off.
    pub fn switch(&mut self, name: &LogicalDeviceName, on: bool, now: Instant) {
        let name = name.clone();
        self.keep(Record::Switch { name, on });
        let places: Vec<Place> = self.meters.keys().copied().collect();
        for place in places {
            let name = self.meters.get(&place).map(|meter| meter.name.clone());
            let wanted = name.is_some_and(|name| self.collects(&name));
            let Some(meter) = self.meters.get_mut(&place) else {
                continue;
            };
            if !wanted {
                meter.session = None;
                self.running.remove(&place);
                if let Some(at) = meter.due.take()
                    && let Some(due) = self.due.get_mut(&place.segment)
                {
                    due.remove(&(at, place));
                }
            } else if meter.due.is_none() && meter.session.is_none() {
                self.schedule(place, now);
            }
        }
    }

    /// Notes that the head end has all rows of a profile up to a time.
    pub fn delivered(&mut self, name: &LogicalDeviceName, obis: Obis, until: i64) {
        let name = name.clone();
        self.keep(Record::Delivered { name, obis, until });
    }

    /// Notes that the head end has all notices up to one.
    pub fn noticed(&mut self, until: u32) {
        let last = self.state.notices().back().map_or(0, |it| it.number);
        if until > self.state.noticed() && until <= last {
            self.keep(Record::Noticed(until));
        }
    }

    /// Sets how far the own clock is ahead of the system's.
    pub fn set_clock(&mut self, ahead_s: i64, unix: i64) {
        let shift = ahead_s.saturating_sub(self.state.clock_s());
        self.keep(Record::Clock(ahead_s));
        self.note(unix, NoticeKind::ClockSet, &Data::Long64(shift));
    }

    /// Notes something that the head end should know.
    pub fn note(&mut self, unix: i64, kind: NoticeKind, detail: &Data) {
        tracing::warn!(kind = kind.text(), "noticed");
        let mut octets = detail.to_octets();
        if octets.len() > state::NOTICE_LEN_MAX {
            octets = Data::NullData.to_octets();
        }
        let notice = self.state.notice(unix, kind, octets);
        self.keep(Record::Notice(notice));
    }

    /// Notes what the sums of the substation, or the own metering, tell.
    pub fn tell(&mut self, all: Vec<Told>, unix: i64) {
        for told in all {
            self.note(unix, told.kind, &told.detail);
        }
    }

    fn keep(&mut self, record: Record) {
        self.state.apply(&record);
        self.storing.push_back(None);
        self.steps.push_back(Step::Store(record));
    }

    /// Tells what is to be done next.
    pub fn poll(&mut self, now: Instant, unix: i64) -> Step {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return step;
            }
            self.begin(now);
            let mut wait = None;
            let running: Vec<Place> = self.running.iter().copied().collect();
            for place in running {
                sooner(&mut wait, self.turn(place, now, unix));
            }
            sooner(&mut wait, self.summarise(now, unix));
            sooner(&mut wait, self.expire(now, unix));
            sooner(&mut wait, self.measure(now, unix));
            if self.steps.is_empty() {
                if self.storing.len() < STORING_MAX {
                    for (segment, due) in &self.due {
                        let running = self.running_in(*segment);
                        if running < self.settings.at_once {
                            sooner(&mut wait, due.first().map(|(at, _)| (*at).max(now)));
                        }
                    }
                }
                return Step::Wait(wait);
            }
        }
    }

    fn running_in(&self, segment: SegmentId) -> usize {
        let first = Place {
            segment,
            node: link::Node(0),
        };
        let last = Place {
            segment,
            node: link::Node(u32::MAX),
        };
        self.running.range(first..=last).count()
    }

    /// Begins with meters whose time has come.
    fn begin(&mut self, now: Instant) {
        let segments: Vec<SegmentId> = self.due.keys().copied().collect();
        for segment in segments {
            while self.storing.len() < STORING_MAX
                && self.running_in(segment) < self.settings.at_once
                && let Some(due) = self.due.get_mut(&segment)
                && let Some(&(at, place)) = due.first()
                && at <= now
            {
                due.pop_first();
                let Some(meter) = self.meters.get_mut(&place) else {
                    continue;
                };
                meter.due = None;
                self.sessions += 1;
                let number = self.sessions;
                let Some(given) = self.keys.get(&meter.name) else {
                    continue;
                };
                let counters = self.state.meter(&meter.name).map(state::Meter::counters);
                let counters = counters.unwrap_or_default();
                if meter.counter == Counter::Unknown {
                    meter.session = Some(Box::new(Session {
                        number,
                        client_sap: PUBLIC_CLIENT,
                        client: crate::identify::begin(self.settings.timeout, now),
                        tasks: VecDeque::from([Task::Counter]),
                        now: None,
                    }));
                    self.running.insert(place);
                    continue;
                }
                let client = associate(
                    &self.settings,
                    given,
                    counters,
                    meter.hint.take(),
                    &*self.entropy,
                    now,
                );
                match client {
                    Some(client) => {
                        let profiles = self.settings.profiles.iter().copied();
                        let profiles = profiles.filter(|it| !meter.without.contains(it));
                        let mut tasks: VecDeque<Task> = profiles.map(Task::Shape).collect();
                        tasks.push_back(Task::Alarms);
                        meter.session = Some(Box::new(Session {
                            number,
                            client_sap: self.settings.client,
                            client,
                            tasks,
                            now: None,
                        }));
                        self.running.insert(place);
                    }
                    None => tracing::error!(name = %meter.name, "keys that cannot be used"),
                }
            }
        }
    }

    /// Turns one meter's session until it waits; tells until when.
    fn turn(&mut self, place: Place, now: Instant, unix: i64) -> Option<Instant> {
        loop {
            let meter = self.meters.get_mut(&place)?;
            let server = meter.server;
            let session = meter.session.as_mut()?;
            match session.client.poll() {
                Output::Transmit(payload) => {
                    let message = Message {
                        source: session.client_sap,
                        destination: server,
                        class: MessageClass::Usage,
                        payload,
                    };
                    self.steps.push_back(Step::Send(place, message));
                }
                Output::Reserve(plan) => {
                    let (end, hinted) = (plan.record().end, plan.record().hinted);
                    // What a trial spends is spent, wherever it lies.
                    let spent = plan.record().spent.iter().max().map_or(0, |it| it + 1);
                    let record = Record::Counter {
                        name: meter.name.clone(),
                        end: end.max(spent),
                        hinted,
                        floor: self
                            .state
                            .meter(&meter.name)
                            .map_or(0, |it| it.counters().floor),
                    };
                    let reserved = Reserved {
                        place,
                        session: session.number,
                        plan,
                    };
                    self.state.apply(&record);
                    self.storing.push_back(Some(reserved));
                    self.steps.push_back(Step::Store(record));
                }
                Output::Timeout(Some(at)) if at <= now => {
                    session.client.handle(Input::Timeout, now);
                }
                Output::Timeout(at) => return at,
                Output::Event(Event::Associated(_)) => {
                    self.heard(place, now);
                    self.next(place, now, unix);
                }
                Output::Event(Event::Response(Response::Get(results))) => {
                    self.took(place, &results, unix);
                    self.next(place, now, unix);
                }
                Output::Event(Event::Response(_)) => self.next(place, now, unix),
                Output::Event(Event::RequestFailed(failure))
                    if !matches!(failure, Failure::NoAnswer(_) | Failure::LinkLost) =>
                {
                    tracing::debug!(name = %meter.name, %failure, "a request failed");
                    if let Some(Task::Shape(profile)) = session.now {
                        meter.without.insert(profile);
                    }
                    self.next(place, now, unix);
                }
                Output::Event(Event::RequestFailed(failure) | Event::Ended(failure)) => {
                    self.failed(place, failure, now, unix);
                    return None;
                }
                Output::Event(_) => {}
            }
        }
    }

    /// Asks for what comes next, or ends the session.
    fn next(&mut self, place: Place, now: Instant, unix: i64) {
        let Some(meter) = self.meters.get_mut(&place) else {
            return;
        };
        let Some(session) = meter.session.as_mut() else {
            return;
        };
        let kept = self.state.meter(&meter.name);
        while let Some(task) = session.tasks.pop_front() {
            let get = |attribute, selection: Option<&ProfileSelection>| GetItem {
                attribute,
                selection: selection.map(|it| (it.selector(), it.to_data().to_octets())),
            };
            let profile = |obis, id| AttributeDescriptor::new(7, obis, id);
            let items = match task {
                Task::Shape(obis) if meter.shaped.contains(&obis) => {
                    let series = kept.and_then(|it| it.of(obis));
                    let backfill = i64::from(self.settings.backfill_days) * DAY_S;
                    let last = series.and_then(|it| it.last().max(it.delivered()));
                    let from = last.unwrap_or(unix - backfill);
                    session.tasks.push_front(Task::rows(obis, from, unix));
                    continue;
                }
                Task::Shape(obis) => {
                    vec![get(profile(obis, 3), None), get(profile(obis, 4), None)]
                }
                Task::Rows {
                    profile: obis,
                    from,
                    to,
                    ..
                } => {
                    let captured = kept.and_then(|it| it.of(obis)?.captured());
                    let Some(range) = captured.and_then(|it| range(it, from, to)) else {
                        continue;
                    };
                    vec![get(profile(obis, 2), Some(&ProfileSelection::Range(range)))]
                }
                Task::Alarms => vec![get(ALARMS, None)],
                Task::Counter => vec![get(COUNTER, None)],
            };
            session.now = Some(task);
            session
                .client
                .handle(Input::Request(Request::Get(items)), now);
            return;
        }
        if session.client_sap == PUBLIC_CLIENT {
            meter.session = None;
            meter.counter = Counter::Read;
            self.running.remove(&place);
            self.schedule(place, now);
            return;
        }
        self.done(place, now, unix);
    }

    /// Takes what a meter answered to what was asked.
    fn took(&mut self, place: Place, results: &[Result<Vec<u8>, DataAccessResult>], unix: i64) {
        let Some(meter) = self.meters.get_mut(&place) else {
            return;
        };
        let Some(session) = meter.session.as_mut() else {
            return;
        };
        let name = meter.name.clone();
        match (session.now.take(), results) {
            (Some(Task::Shape(obis)), [Ok(captured), Ok(period)]) => {
                let columns = columns(captured);
                if columns.as_deref().and_then(rows::clock_column).is_none() {
                    meter.without.insert(obis);
                    return;
                }
                meter.shaped.insert(obis);
                session.tasks.push_front(Task::Shape(obis));
                let period = RawData::new(period).decode().ok();
                let period_s = period.and_then(|it| it.as_u32()).unwrap_or(0);
                let known = self.state.series(&name, obis);
                let same = known.is_some_and(|series| {
                    series.captured() == Some(captured) && series.period_s() == period_s
                });
                if !same {
                    self.keep(Record::Shape {
                        name,
                        obis,
                        period_s,
                        captured: captured.as_slice().into(),
                    });
                }
            }
            (Some(Task::Shape(obis)), _) => {
                meter.without.insert(obis);
            }
            (
                Some(Task::Rows {
                    profile, to, last, ..
                }),
                [Ok(octets)],
            ) => {
                if !last {
                    session.tasks.push_front(Task::rows(profile, to, unix));
                }
                self.rows(&name, profile, octets, unix);
            }
            (Some(Task::Alarms), [Ok(value)]) => {
                let value = RawData::new(value).decode().ok();
                let bits = value.and_then(|it| it.as_u32()).unwrap_or(0);
                let before = self.alarms.remove(&name).unwrap_or(0);
                let new = bits & !before;
                if bits != 0 {
                    self.alarms.insert(name.clone(), bits);
                }
                if new != 0 {
                    let detail = Data::Structure(vec![
                        Data::octet_string(name.as_str().as_bytes()),
                        Data::DoubleLongUnsigned(new),
                    ]);
                    self.note(unix, NoticeKind::MeterAlarm, &detail);
                }
            }
            (Some(Task::Counter), [Ok(value)]) => {
                let value = RawData::new(value).decode().ok();
                let seen = value.and_then(|it| it.as_u32());
                meter.hint = seen.map(|seen| CounterHint::new(seen.saturating_add(1)));
            }
            (task, _) => tracing::debug!(%name, ?task, "a meter does not give this"),
        }
    }

    fn rows(&mut self, name: &LogicalDeviceName, obis: Obis, octets: &[u8], unix: i64) {
        let series = self.state.series(name, obis);
        let Some(captured) = series.and_then(|it| columns(it.captured()?)) else {
            return;
        };
        let clock = rows::clock_column(&captured);
        let Some(taken) = clock.and_then(|clock| rows::take(octets, clock)) else {
            return;
        };
        self.counts.untimed += u64::try_from(taken.untimed).unwrap_or(u64::MAX);
        let new = match series {
            Some(series) => series.new_of(taken.rows),
            None => taken.rows,
        };
        self.counts.rows += u64::try_from(new.len()).unwrap_or(u64::MAX);
        if let Some(substation) = &mut self.substation {
            let told = substation.metered(name, &captured, &new);
            self.tell(told, unix);
        }
        for rows in in_blocks(&new) {
            self.keep(Record::Rows {
                name: name.clone(),
                obis,
                block: rows::encode(rows).into(),
            });
        }
    }

    /// Ends a session that went well.
    fn done(&mut self, place: Place, now: Instant, unix: i64) {
        self.counts.rounds += 1;
        self.running.remove(&place);
        let Some(meter) = self.meters.get_mut(&place) else {
            return;
        };
        meter.wait = RETRY_FIRST;
        meter.counter = Counter::Good;
        let security = meter
            .session
            .take()
            .and_then(|session| session.client.into_security());
        let floor = security.and_then(|it| it.received.window().floor());
        let name = meter.name.clone();
        if let Some(floor) = floor {
            // It becomes durable with the next counters: until then the
            // reply to the next challenge proves that what follows is new.
            self.state.apply(&Record::Counter {
                name: name.clone(),
                end: 0,
                hinted: 0,
                floor,
            });
        }
        let every = i64::from(self.settings.every_s.max(1));
        let own = i64::from(crc32fast::hash(name.as_str().as_bytes())).rem_euclid(every);
        let left = every - (unix - own).rem_euclid(every);
        let left = Duration::from_secs(u64::try_from(left).unwrap_or(1));
        self.schedule(place, now + left);
    }

    /// Puts off a meter whose session came to nothing.
    fn failed(&mut self, place: Place, failure: Failure, now: Instant, unix: i64) {
        self.counts.failed += 1;
        self.running.remove(&place);
        let every = Duration::from_secs(u64::from(self.settings.every_s.max(1)));
        let Some(meter) = self.meters.get_mut(&place) else {
            return;
        };
        meter.session = None;
        let name = meter.name.clone();
        let mut wait = meter.wait.min(every);
        let heard = !matches!(failure, Failure::NoAnswer(_) | Failure::LinkLost);
        // A meter that was restarted, or one that this log knew better once,
        // expects another counter and says only that it does not take ours.
        let counter = matches!(
            failure,
            Failure::CounterBehind(_) | Failure::Rejected { .. }
        );
        meter.counter = match meter.counter {
            Counter::Good if counter => {
                wait = Duration::from_secs(1);
                Counter::Unknown
            }
            Counter::Unknown => Counter::Unknown,
            _ => Counter::Good,
        };
        meter.wait = (meter.wait * 2).min(every.max(RETRY_FIRST));
        tracing::info!(%name, %failure, "a meter cannot be collected");
        if !heard {
            self.silent(place.segment, name, now, unix);
        }
        self.schedule(place, now + wait);
    }

    fn heard(&mut self, place: Place, now: Instant) {
        let Some(meter) = self.meters.get(&place) else {
            return;
        };
        let name = meter.name.clone();
        if let Some(silence) = self.silence.get_mut(&place.segment) {
            silence.silent.remove(&name);
        }
        if self.told.remove(&name) {
            let silence = self.silence.entry(place.segment);
            let silence = silence.or_insert_with(|| Silence::new(now));
            silence.last = now;
            silence.back.insert(name);
        }
    }

    fn silent(&mut self, segment: SegmentId, name: LogicalDeviceName, now: Instant, unix: i64) {
        let silence = self.silence.entry(segment);
        let silence = silence.or_insert_with(|| Silence::new(now));
        // Back and gone again within one summary: nothing has changed.
        if silence.back.remove(&name) {
            self.told.insert(name);
            return;
        }
        if self.told.contains(&name) || silence.silent.contains_key(&name) {
            return;
        }
        silence.last = now;
        silence.silent.insert(name, unix);
    }

    /// Tells who fell silent or came back together.
    fn summarise(&mut self, now: Instant, unix: i64) -> Option<Instant> {
        let window = self.settings.summary;
        let mut wait = None;
        let mut ready = Vec::new();
        for (segment, silence) in &self.silence {
            let at = (silence.last + window).min(silence.since + window * 8);
            let full = silence.silent.len().max(silence.back.len()) >= SUMMARY_MAX;
            if at <= now || full {
                ready.push(*segment);
            } else {
                sooner(&mut wait, Some(at));
            }
        }
        for segment in ready {
            let Some(silence) = self.silence.remove(&segment) else {
                continue;
            };
            let names = |all: &mut dyn Iterator<Item = &LogicalDeviceName>| {
                Data::Array(
                    all.map(|name| Data::octet_string(name.as_str().as_bytes()))
                        .collect(),
                )
            };
            if !silence.silent.is_empty() {
                let at = silence.silent.values().copied().min().unwrap_or(unix);
                let detail = names(&mut silence.silent.keys());
                self.note(at, NoticeKind::Outage, &detail);
                self.told.extend(silence.silent.into_keys());
            }
            if !silence.back.is_empty() {
                let detail = names(&mut silence.back.iter());
                self.note(unix, NoticeKind::Restored, &detail);
            }
        }
        wait
    }

    /// Lets the own metering look, and weighs it against the meters.
    fn measure(&mut self, now: Instant, unix: i64) -> Option<Instant> {
        if self.metering.is_empty() {
            return None;
        }
        if let Some(at) = self.sample_at
            && at > now
        {
            return Some(at);
        }
        let mut metering = std::mem::take(&mut self.metering);
        for one in &mut metering {
            let known = self.state.series(&self.settings.name, one.profile());
            let past = match known {
                None => one.past(unix),
                Some(_) => Vec::new(),
            };
            let measured = one.tick(unix);
            self.tell(measured.told, unix);
            for row in past.into_iter().chain(measured.row) {
                self.own_row(one, &row);
                if let Some(substation) = &mut self.substation {
                    substation.supplied(one.feeder(), row.at, row.supplied_wh);
                }
            }
        }
        self.metering = metering;
        if let Some(substation) = &mut self.substation {
            let told = substation.weigh(unix);
            self.tell(told, unix);
        }
        self.sample_at = Some(now + metering::SAMPLE_EVERY);
        self.sample_at
    }

    fn own_row(&mut self, metering: &Metering, row: &metering::Interval) {
        let (name, obis) = (self.settings.name.clone(), metering.profile());
        let captured = metering.captured();
        let known = self.state.series(&name, obis);
        if known.and_then(|it| it.captured()) != Some(captured.as_slice()) {
            self.keep(Record::Shape {
                name: name.clone(),
                obis,
                period_s: metering.period_s(),
                captured: captured.into(),
            });
        }
        let rows = vec![Row {
            at: row.at,
            octets: row.octets.clone(),
        }];
        let new = match self.state.series(&name, obis) {
            Some(series) => series.new_of(rows),
            None => rows,
        };
        if !new.is_empty() {
            self.keep(Record::Rows {
                name,
                obis,
                block: rows::encode(&new).into(),
            });
        }
    }

    fn expire(&mut self, now: Instant, unix: i64) -> Option<Instant> {
        if self.expire_at.is_none_or(|at| at <= now) {
            let before = self.state.dropped();
            let dropped = self.state.expire(unix);
            if dropped > 0 || self.state.dropped() > before {
                let dropped = Data::Long64Unsigned(self.state.dropped() - before);
                self.note(unix, NoticeKind::Dropped, &dropped);
            }
            self.expire_at = Some(now + EXPIRE_EVERY);
        }
        self.expire_at
    }
}

impl Silence {
    const fn new(now: Instant) -> Self {
        Self {
            since: now,
            last: now,
            silent: BTreeMap::new(),
            back: BTreeSet::new(),
        }
    }
}

fn sooner(wait: &mut Option<Instant>, at: Option<Instant>) {
    *wait = match (*wait, at) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
}

impl Task {
    /// Asks for rows from a time on: of a span at most, and for all there is
    /// where that reaches to now.
    const fn rows(profile: Obis, from: i64, unix: i64) -> Self {
        let to = from.saturating_add(SPAN_S);
        let last = to >= unix;
        Self::Rows {
            profile,
            from,
            to: if last { unix + AHEAD_S } else { to },
            last,
        }
    }
}

/// The columns of `capture_objects` in A-XDR.
pub(crate) fn columns(captured: &[u8]) -> Option<Vec<CaptureObject>> {
    let data = RawData::new(captured).decode().ok()?.expanded();
    CaptureObject::list_from_data(&data).ok()
}

fn range(captured: &[u8], from: i64, to: i64) -> Option<RangeDescriptor> {
    let columns = columns(captured)?;
    let clock = columns.get(rows::clock_column(&columns)?)?;
    let time = |at| DateTime::from_unix_seconds(at, 0, ClockStatus(0));
    let mut range = RangeDescriptor::by_clock(&time(from)?, &time(to)?);
    range.restricting_object = *clock;
    Some(range)
}

/// Rows in groups of which each makes one block: of one day, and not too many.
fn in_blocks(rows: &[Row]) -> impl Iterator<Item = &[Row]> {
    rows.chunk_by(|one, other| one.at.div_euclid(DAY_S) == other.at.div_euclid(DAY_S))
        .flat_map(|day| day.chunks(rows::ROWS_MAX))
}

fn associate(
    settings: &Settings,
    given: &Given,
    counters: state::Counters,
    hint: Option<CounterHint>,
    entropy: &dyn Entropy,
    now: Instant,
) -> Option<Client> {
    let keys = Keys::new(given.encryption.clone(), given.authentication.clone());
    let config = ClientConfig {
        context: Context::LogicalNameCiphered,
        mechanism: MechanismName::HighGmac,
        protection: Protection::AuthenticatedEncrypted,
        timeout: settings.timeout,
        repeat: Repeat::Reads,
        repeats_max: 2,
        ..ClientConfig::default()
    };
    let security = Security {
        title: settings.title,
        server_title: Some(given.title),
        keys: KeyRing::new(&AwsLc, SecuritySuite::Suite0, &keys).ok()?,
        send: SendCounter::resume(CounterRecord {
            // Counting starts at 1: some take 0 for none.
            end: counters.end.max(1),
            spent: Vec::new(),
            hinted: counters.hinted,
        }),
        received: PeerCounter::new(
            ReplayWindow::sliding(counters.floor),
            CounterRestart::Refuse,
        ),
    };
    let mut client = Client::new(config, Some(security));
    let mut challenge = [0; 32];
    entropy.fill(&mut challenge).ok()?;
    client.handle(
        Input::Associate(Associate {
            password: &[],
            entropy: &challenge,
            dedicated: None,
            counter: hint,
        }),
        now,
    );
    Some(client)
}
