//! The shell around the planner: tasks, timeouts, the store.

use dlms::cosem::Obis;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use link::Entropy;
use model::{MeterId, Timestamp};
use tokio::runtime::RuntimeFlavor;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::access::{
    AccessError, AccessFigures, Conversation, MeterAccess, MeterTarget, ProfileAnswer,
    RecordsWanted, RegisterRef, StatusWanted, kept,
};
use super::leases::Leases;
use super::planner::{Next, Outcome, Planned, Planner, Task};
use super::ranges::{RangeLimits, plan_ranges};
use crate::clock::Clock;
use crate::config::CollectorConfig;
use crate::fleet::Fleet;
use crate::lines::Pace;
use crate::power::POWER_REGISTERS;
use crate::store::{Carried, Contact, Failure, ProfileRows, Receipt, Store, StoreError, Sweep};

/// Collects all meters of the fleet until it is told to stop.
pub struct Collector {
    shared: Arc<Shared>,
    orders: mpsc::Receiver<Order>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}

/// Talks to a running [`Collector`].
#[derive(Clone, Debug)]
pub struct CollectorHandle {
    orders: mpsc::Sender<Order>,
    figures: Arc<Figures>,
    access: Arc<dyn MeterAccess>,
}

struct Shared {
    store: Arc<dyn Store>,
    access: Arc<dyn MeterAccess>,
    fleet: Arc<Fleet>,
    clock: Arc<dyn Clock>,
    leases: Leases,
    entropy: Arc<dyn Entropy>,
    config: CollectorConfig,
    figures: Arc<Figures>,
}

#[derive(Debug, Default)]
struct Figures {
    queued: AtomicUsize,
    running: AtomicUsize,
    rows: AtomicU64,
    associations: AtomicU64,
    failures: AtomicU64,
    /// Milliseconds spent in each phase, over all collections.
    phases: [AtomicU64; Phase::ALL.len()],
}

/// What a collection consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Missing spans are looked up.
    Plan,
    /// The link and the association are made.
    Associate,
    /// Clock, registers and breaker are read.
    Status,
    /// The profile and event logs are read.
    Records,
    /// The association is released.
    Release,
    /// What came is made durable.
    Store,
}

impl Phase {
    /// Lists the phases in their order.
    pub const ALL: [Self; 6] = [
        Self::Plan,
        Self::Associate,
        Self::Status,
        Self::Records,
        Self::Release,
        Self::Store,
    ];

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Associate => "associate",
            Self::Status => "status",
            Self::Records => "records",
            Self::Release => "release",
            Self::Store => "store",
        }
    }
}

/// Measures one phase after the other. Milliseconds are coarse for one meter; summed over many,
/// what is cut off and what is added even out.
struct Lap<'a> {
    shared: &'a Shared,
    begun: Timestamp,
}

impl<'a> Lap<'a> {
    fn new(shared: &'a Shared) -> Self {
        let begun = shared.clock.now();
        Self { shared, begun }
    }

    fn ends(&mut self, phase: Phase) {
        let now = self.shared.clock.now();
        let spent = u64::try_from(now.millis_since(self.begun)).unwrap_or(0);
        self.begun = now;
        if let Some(sum) = self.shared.figures.phases.get(phase as usize) {
            sum.fetch_add(spent, Ordering::Relaxed);
        }
    }
}

#[derive(Debug)]
enum Order {
    Read(MeterId),
    Enrolled,
}

impl CollectorHandle {
    /// Asks for a meter to be collected now.
    pub async fn read_now(&self, meter: MeterId) {
        // Where the collector has stopped there is nothing to ask.
        drop(self.orders.send(Order::Read(meter)).await);
    }

    /// Tells that meters were enrolled or changed.
    pub async fn enrolled(&self) {
        drop(self.orders.send(Order::Enrolled).await);
    }

    /// Returns the number of meters that are due and wait.
    pub fn queued(&self) -> usize {
        self.figures.queued.load(Ordering::Relaxed)
    }

    /// Returns the number of meters being collected.
    pub fn running(&self) -> usize {
        self.figures.running.load(Ordering::Relaxed)
    }

    /// Returns how many profile rows were collected and stored since start.
    pub fn rows(&self) -> u64 {
        self.figures.rows.load(Ordering::Relaxed)
    }

    /// Returns how many milliseconds all collections since start spent in each phase, in the order
    /// of [`Phase::ALL`].
    pub fn phases_ms(&self) -> [u64; Phase::ALL.len()] {
        let phases = &self.figures.phases;
        Phase::ALL.map(|phase| {
            let spent = phases.get(phase as usize);
            spent.map_or(0, |spent| spent.load(Ordering::Relaxed))
        })
    }

    /// Returns figures about the access to meters.
    pub fn access(&self) -> AccessFigures {
        self.access.figures()
    }

    /// Returns how many collections since start succeeded and are stored, and how many failed.
    pub fn associations(&self) -> (u64, u64) {
        let figures = &self.figures;
        (
            figures.associations.load(Ordering::Relaxed),
            figures.failures.load(Ordering::Relaxed),
        )
    }
}

impl Collector {
    /// Makes a collector and its handle.
    pub fn new(
        store: Arc<dyn Store>,
        access: Arc<dyn MeterAccess>,
        fleet: Arc<Fleet>,
        clock: Arc<dyn Clock>,
        leases: Leases,
        entropy: Arc<dyn Entropy>,
        config: CollectorConfig,
    ) -> (Self, CollectorHandle) {
        let (sender, orders) = mpsc::channel(256);
        let figures = Arc::new(Figures::default());
        let handle = CollectorHandle {
            orders: sender,
            figures: Arc::clone(&figures),
            access: Arc::clone(&access),
        };
        let shared = Arc::new(Shared {
            store,
            access,
            fleet,
            clock,
            leases,
            entropy,
            config,
            figures,
        });
        (Self { shared, orders }, handle)
    }

    /// Collects until `stop` says so; lets associations under way end, within their timeout.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let shared = Arc::clone(&self.shared);
        let mut planner = Planner::new(shared.config.clone());
        let mut tasks: JoinSet<(MeterId, Outcome)> = JoinSet::new();
        let sealer = tokio::spawn(Arc::clone(&shared).seal_days(stop.clone()));
        // Before the meters are put in: what changes meanwhile is not to be missed.
        let mut lines = shared.fleet.lines().changes();
        let (mut behind, mut seen) = (Behind::default(), *lines.borrow());
        if shared.config.enabled {
            behind = put_all(&mut planner, &shared);
        }
        while !*stop.borrow() {
            let now = shared.clock.now();
            let mut wait = Duration::from_secs(60);
            loop {
                match planner.next(now) {
                    Next::Start(task) => {
                        let shared = Arc::clone(&shared);
                        tasks.spawn(async move { (task.meter, shared.collect(task).await) });
                    }
                    Next::Wait(until) => {
                        let millis = until.millis_since(now).clamp(1, 60_000);
                        wait = Duration::from_millis(millis.unsigned_abs());
                        break;
                    }
                    Next::Idle => break,
                }
            }
            shared
                .figures
                .queued
                .store(planner.queued(), Ordering::Relaxed);
            shared
                .figures
                .running
                .store(planner.running(), Ordering::Relaxed);
            tokio::select! {
                // In this order, so that a simulation goes the same way each time.
                biased;
                Ok(()) = stop.changed() => {}
                Some(order) = self.orders.recv() => match order {
                    Order::Read(meter) => drop(planner.ask(meter, shared.clock.now())),
                    Order::Enrolled => behind = put_all(&mut planner, &shared),
                },
                Ok(()) = lines.changed() => seen = hang(&mut planner, &shared, &behind, seen),
                Some(joined) = tasks.join_next(), if !tasks.is_empty() => match joined {
                    Ok((meter, outcome)) => {
                        planner.finished(meter, outcome, shared.clock.now(), shared.random());
                    }
                    Err(error) => tracing::error!(%error, "a collection ended abnormally"),
                },
                () = tokio::time::sleep(wait) => {}
            }
        }
        let timeout = Duration::from_secs(u64::from(shared.config.timeout_s));
        let ended = tokio::time::timeout(timeout, async {
            while tasks.join_next().await.is_some() {}
        });
        if ended.await.is_err() {
            tracing::warn!("associations under way were cut off");
        }
        if sealer.await.is_err() {
            tracing::error!("sealing ended abnormally");
        }
    }
}

/// Meters by the endpoints of the concentrators before them that are looked at.
type Behind = BTreeMap<String, Vec<MeterId>>;

fn put_all(planner: &mut Planner, shared: &Shared) -> Behind {
    let now = shared.clock.now();
    let lines = shared.fleet.lines();
    let mut behind = Behind::new();
    shared.fleet.with_meters(|meters| {
        for meter in meters.values() {
            let (id, enrolment) = (meter.meter.id, &meter.meter.enrolment);
            for way in lines.watched(&enrolment.endpoint) {
                behind.entry(way.to_owned()).or_default().push(id);
            }
            let planned = Planned {
                meter: id,
                endpoint: enrolment.endpoint.clone(),
                line: lines.pace(enrolment).line,
                failures: meter.state.failing.map_or(0, |failing| failing.attempts),
                // After a stop, what was missed is collected at once as well.
                is_new: meter
                    .state
                    .newest
                    .is_none_or(|newest| newest.secs() < shared.fleet.due_until(now)),
            };
            planner.put(planned, now, shared.random());
        }
    });
    behind
}

/// Tells the planner what the meters behind those concentrators share with others that told
/// something since; returns up to where that was looked at.
fn hang(planner: &mut Planner, shared: &Shared, behind: &Behind, seen: u64) -> u64 {
    let lines = shared.fleet.lines();
    let (changed, seen) = lines.changed_since(seen);
    let moved = changed.iter().filter_map(|way| behind.get(way)).flatten();
    shared.fleet.with_meters(|meters| {
        for meter in moved.filter_map(|id| meters.get(id)) {
            planner.hang(meter.meter.id, lines.pace(&meter.meter.enrolment).line);
        }
    });
    seen
}

impl Shared {
    /// Draws what spreads meters over time; without entropy they are not spread.
    fn random(&self) -> u32 {
        let mut octets = [0; 4];
        let drawn = self.entropy.fill(&mut octets);
        drawn.map_or(0, |()| u32::from_ne_bytes(octets))
    }

    async fn collect(&self, task: Task) -> Outcome {
        let Some((meter, _, _)) = self.fleet.meter(task.meter) else {
            return Outcome::Done { more: false };
        };
        let lease = self.leases.take(task.meter).await;
        let target = MeterTarget {
            id: meter.meter.id,
            enrolment: meter.meter.enrolment.clone(),
        };
        // What a concentrator told before is not what the meter holds.
        let is_new = meter.state.newest.is_none() || meter.state.reached.is_none();
        let started = self.clock.now();
        let mut sweep = Sweep::new(task.meter, started, Contact::Reached { rtt_us: None });
        let pace = self.fleet.lines().pace(&target.enrolment);
        let timeout = Duration::from_secs(u64::from(self.config.timeout_s));
        let timeout = pace.association(timeout);
        let mut more = false;
        let until = started.plus_millis(i64::try_from(timeout.as_millis() / 2).unwrap_or(i64::MAX));
        let wanted = Wanted {
            is_new,
            pace,
            until,
        };
        let talk = self.talk(&target, wanted, &mut sweep, &mut more);
        let result = match tokio::time::timeout(timeout, talk).await {
            Ok(result) => result,
            Err(_) => Err(TalkError::Access(AccessError::ended(Failure::NoAnswer))),
        };
        drop(lease);
        sweep.at = self.clock.now();
        let outcome = match result {
            Ok(()) => Outcome::Done { more },
            Err(TalkError::Access(error)) => {
                // What came before the failure is kept; the failure is what the meter's state
                // shows.
                sweep.contact = Contact::Failed {
                    reason: error.reason,
                };
                tracing::debug!(meter = %task.meter, reason = ?error.reason, "collection failed");
                Outcome::Failed {
                    reason: error.reason,
                }
            }
            Err(TalkError::Store(error)) => {
                tracing::error!(%error, "the store failed while a collection was planned");
                return Outcome::Failed {
                    reason: Failure::NoAnswer,
                };
            }
        };
        let figures = &self.figures;
        let mut lap = Lap::new(self);
        let has_registers = !sweep.registers.is_empty();
        let ingested = self.store.ingest(sweep).await;
        lap.ends(Phase::Store);
        match ingested {
            Ok(stored) => {
                figures.rows.fetch_add(stored.added, Ordering::Relaxed);
                self.fleet.apply(task.meter, has_registers, &stored);
                // It counts once all that it brought is durable.
                let counted = match outcome {
                    Outcome::Done { .. } => &figures.associations,
                    Outcome::Failed { .. } => &figures.failures,
                };
                counted.fetch_add(1, Ordering::Relaxed);
                outcome
            }
            Err(error) => {
                figures.failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, meter = %task.meter, "what a meter gave was not stored");
                Outcome::Failed {
                    reason: Failure::NoAnswer,
                }
            }
        }
    }

    /// Everything that one association asks for.
    async fn talk(
        &self,
        target: &MeterTarget,
        wanted: Wanted,
        sweep: &mut Sweep,
        more: &mut bool,
    ) -> Result<(), TalkError> {
        let mut lap = Lap::new(self);
        let Wanted { is_new, until, .. } = wanted;
        let (spans, left) = self.spans(target, &wanted).await?;
        *more = left;
        lap.ends(Phase::Plan);
        let mut talk = self.access.open(target).await?;
        lap.ends(Phase::Associate);
        let mut asked_at = self.clock.now();
        // Those of the association are of no reading.
        drop(talk.paths());
        let object = target.enrolment.load_profile;
        let wanted = StatusWanted {
            registers: &REGISTERS,
            profile: object,
            firmware: is_new,
        };
        let status = talk.status(&wanted).await?;
        self.note_paths(talk.as_mut(), &mut asked_at, None, &mut sweep.receipts);
        lap.ends(Phase::Status);
        // The meter's own clock decides what it can hold: what lies in its future is not missing.
        let meter_now = status.clock.map_or_else(
            || self.clock.now(),
            |clock| clock.at.plus_millis(clock.offset_ms),
        );
        sweep.clock = status.clock;
        sweep.registers = status.registers;
        sweep.breaker = status.breaker;
        sweep.firmware = status.firmware;
        let asked = |span: &Range<i64>| span.start..span.end.min(meter_now.secs() - CAPTURE_S);
        let mut take = |answer: ProfileAnswer, span: &Range<i64>| {
            sweep.profiles.push(ProfileRows {
                layout: answer.layout,
                asked: (!is_new).then(|| asked(span)),
                rows: answer.rows,
            });
        };
        let mut spans: Vec<Range<i64>> = spans
            .into_iter()
            .filter(|span| !asked(span).is_empty())
            .collect();
        // The last one comes together with the events.
        let mut last = spans.pop();
        let mut refused = false;
        for (place, span) in spans.iter().enumerate() {
            if place > 0 && self.clock.now() >= until {
                // The rest at another time, so that this one ends in time. Of a new meter the oldest
                // comes all the same: what is missing is looked for from there on. The first is asked
                // for however late it is: one that brings nothing would begin anew for ever.
                *more = true;
                last = last.filter(|_| is_new);
                break;
            }
            match kept(talk.profile(object, span.clone()).await)? {
                Some(answer) => {
                    let rows = carried(&answer);
                    self.note_paths(talk.as_mut(), &mut asked_at, rows, &mut sweep.receipts);
                    take(answer, span);
                }
                None => {
                    refused = true;
                    break;
                }
            }
        }
        let last = last.filter(|_| !refused);
        let wanted = RecordsWanted {
            profile: last.clone().map(|span| (object, span)),
            logs: &EVENT_LOGS,
            since: self.clock.now().plus_secs(-EVENTS_BACK_S).millis(),
        };
        let mut records = talk.records(&wanted).await?;
        let rows = records.profile.as_ref().and_then(carried);
        self.note_paths(talk.as_mut(), &mut asked_at, rows, &mut sweep.receipts);
        if let (Some(answer), Some(span)) = (records.profile, &last) {
            take(answer, span);
        }
        records.events.truncate(Sweep::EVENTS_MAX);
        sweep.events = records.events;
        sweep.contact = Contact::Reached {
            rtt_us: talk.rtt_us(),
        };
        lap.ends(Phase::Records);
        // The readings count whether or not the meter confirms the release.
        talk.close().await.unwrap_or_default();
        lap.ends(Phase::Release);
        if refused || records.refused {
            return Err(AccessError::denied().into());
        }
        Ok(())
    }

    /// Notes what paths the answers since `asked_at` took, and the rows among them.
    fn note_paths(
        &self,
        talk: &mut dyn Conversation,
        asked_at: &mut Timestamp,
        rows: Option<Carried>,
        receipts: &mut Vec<Receipt>,
    ) {
        let now = self.clock.now();
        let first = std::mem::replace(asked_at, now);
        let room = Receipt::COUNT_MAX.saturating_sub(receipts.len());
        for paths in talk.paths().into_iter().take(room) {
            receipts.push(Receipt {
                first,
                last: now,
                paths,
                carried: rows.clone().into_iter().collect(),
            });
        }
    }

    /// The spans of the load profile that are missing and worth asking for.
    async fn spans(
        &self,
        target: &MeterTarget,
        wanted: &Wanted,
    ) -> Result<(Vec<Range<i64>>, bool), StoreError> {
        let is_new = wanted.is_new;
        let now = self.clock.now();
        let until = now.secs() - i64::from(self.config.delay_s);
        let limits = RangeLimits {
            span_s: i64::from(wanted.pace.span_days(self.config.span_days)) * 86_400,
            spans: SPANS_MAX,
            join_s: 2 * 3_600,
        };
        let days = if is_new {
            self.config.history_days
        } else {
            self.config.backfill_days
        };
        let from = until - i64::from(days) * 86_400;
        if is_new {
            return Ok(first_spans(from..until, limits));
        }
        let store = Arc::clone(&self.store);
        let (id, object) = (target.id, target.enrolment.load_profile);
        let gaps = aside(move || store.gaps(id, object, from..until)).await?;
        Ok(plan_ranges(&gaps, limits, now))
    }

    /// Seals the days before today, a few meters at a time.
    async fn seal_days(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let today = self.fleet.calendar().day_of(self.clock.now().secs());
            match self.store.seal(today, SEAL_AT_ONCE).await {
                Ok(0) => {}
                Ok(_) => continue,
                Err(error) => tracing::error!(%error, "a day could not be sealed"),
            }
            tokio::select! {
                _ = stop.changed() => {}
                () = tokio::time::sleep(Duration::from_secs(60)) => {}
            }
        }
    }
}

/// What a collection is to bring.
#[derive(Clone, Copy)]
struct Wanted {
    /// Nothing was read of the meter yet.
    is_new: bool,
    pace: Pace,
    /// No further span is asked for from then on.
    until: Timestamp,
}

/// The spans of a meter's history that are asked for first, the newest before all others, and
/// whether some are left for later: the oldest is among them, and with that those are known to be
/// missing.
fn first_spans(history: Range<i64>, limits: RangeLimits) -> (Vec<Range<i64>>, bool) {
    let Range { start: from, end } = history;
    let mut spans = Vec::new();
    let mut rest = end;
    while rest > from && spans.len() + 1 < limits.spans {
        let start = from.max(rest - limits.span_s);
        spans.push(start..rest);
        rest = start;
    }
    let oldest = rest.min(from + limits.span_s);
    if from < oldest {
        spans.push(from..oldest);
    }
    if spans.is_empty() {
        spans.push(end - 3_600..end);
    }
    (spans, oldest < rest)
}

/// The span of the rows that a meter gave.
fn carried(answer: &ProfileAnswer) -> Option<Carried> {
    let starts = answer.rows.iter().map(|row| row.start.secs());
    let ends = answer.rows.iter().map(|row| row.captured().secs());
    Some(Carried {
        object: answer.layout.object,
        span: starts.min()?..ends.max()?,
    })
}

enum TalkError {
    Access(AccessError),
    Store(StoreError),
}

impl From<AccessError> for TalkError {
    fn from(error: AccessError) -> Self {
        Self::Access(error)
    }
}

impl From<StoreError> for TalkError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Reads the store where that keeps nobody waiting: on a runtime of one thread, which only tests
/// and simulations have, at once, so that things happen in the same order each time.
async fn aside<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::runtime::Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => read(),
        _ => {
            let read = tokio::task::spawn_blocking(read);
            read.await.map_err(|_| StoreError::Closed)?
        }
    }
}

/// Registers read at each collection: energy drawn and delivered in total and by tariff, power.
pub(crate) const REGISTERS: [RegisterRef; 14] = {
    let [p1, p2, p3, p4, p5, p6, p7, p8] = POWER_REGISTERS;
    [
        RegisterRef::register(Obis::new(1, 0, 1, 8, 0, 255)),
        RegisterRef::register(Obis::new(1, 0, 1, 8, 1, 255)),
        RegisterRef::register(Obis::new(1, 0, 1, 8, 2, 255)),
        RegisterRef::register(Obis::new(1, 0, 2, 8, 0, 255)),
        RegisterRef::register(Obis::new(1, 0, 2, 8, 1, 255)),
        RegisterRef::register(Obis::new(1, 0, 2, 8, 2, 255)),
        RegisterRef::register(p1),
        RegisterRef::register(p2),
        RegisterRef::register(p3),
        RegisterRef::register(p4),
        RegisterRef::register(p5),
        RegisterRef::register(p6),
        RegisterRef::register(p7),
        RegisterRef::register(p8),
    ]
};

/// The standard and the fraud detection event log (SMR 5.0 object list), and the disconnector
/// control log (IDIS).
const EVENT_LOGS: [Obis; 3] = [
    Obis::new(0, 0, 99, 98, 0, 255),
    Obis::new(0, 0, 99, 98, 1, 255),
    Obis::new(0, 0, 99, 98, 2, 255),
];
/// Events are read this far back; the store knows those it has.
const EVENTS_BACK_S: i64 = 7 * 86_400;
/// The time that a meter has to write a captured row down.
const CAPTURE_S: i64 = 30;
/// Spans in one association.
const SPANS_MAX: usize = 16;
const SEAL_AT_ONCE: u32 = 200;

/// The registers that a live view reads.
pub(crate) const LIVE_REGISTERS: [RegisterRef; 8] = {
    let [p1, p2, p3, p4, p5, p6, p7, p8] = POWER_REGISTERS;
    [
        RegisterRef::register(p1),
        RegisterRef::register(p2),
        RegisterRef::register(p3),
        RegisterRef::register(p4),
        RegisterRef::register(p5),
        RegisterRef::register(p6),
        RegisterRef::register(p7),
        RegisterRef::register(p8),
    ]
};

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;

    #[test]
    fn the_oldest_span_of_a_new_meter_is_always_among_the_first() {
        let limits = RangeLimits {
            span_s: 86_400,
            spans: 4,
            join_s: 7_200,
        };
        let day = |from: i64, to: i64| from * 86_400..to * 86_400;
        let (spans, left) = first_spans(day(0, 30), limits);
        assert_eq!(spans, [day(29, 30), day(28, 29), day(27, 28), day(0, 1)]);
        assert!(left);
        let (spans, left) = first_spans(day(0, 4), limits);
        assert_eq!(spans, [day(3, 4), day(2, 3), day(1, 2), day(0, 1)]);
        assert!(!left);
        // What is shorter than a span, and nothing at all, are one.
        for (history, span) in [(0..100, 0..100), (10_000..10_000, 6_400..10_000)] {
            let (spans, left) = first_spans(history, limits);
            assert_eq!((spans.len(), spans.first(), left), (1, Some(&span), false));
        }
    }
}
