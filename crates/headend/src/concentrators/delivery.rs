//! Delivery: what concentrators read on their own comes into the store, and is confirmed to them
//! once it is durable there.
//!
//! A concentrator's word stands for itself: rows and events carry its mark, fill what is empty and
//! replace nothing. It is heard about meters that are enrolled behind it, in columns that these
//! meters themselves told, and about nobody else. What was stored and not confirmed is told again
//! and is the same then, so that neither side loses or doubles a row when it dies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dlms::axdr::{Data, RawData};
use dlms::client::GetItem;
use dlms::codec::Wire as _;
use dlms::cosem::{AttributeDescriptor, EntryDescriptor, Obis, ProfileSelection, RangeDescriptor};
use dlms::xdlms::DataAccessResult;
use link::{Client, ClientError};
use model::{Event, EventKind, EventSource, Interval, LogicalDeviceName, MeterId, Timestamp};
use tokio::sync::watch;

use super::{Board, Enrolled, leads_to};
use crate::clock::Clock;
use crate::collector::{AccessError, Conversation, Lease, Leases, MeterAccess, MeterTarget};
use crate::fleet::Fleet;
use crate::hub::Change;
use crate::meters::{self, Columns, date_time};
use crate::store::{
    Contact, Delivery, Failure, Notice, ProfileLayout, ProfileRows, Source, Store, StoreError,
    Supply, Sweep,
};

/// What delivery needs of the head end.
pub(crate) struct Deliverer {
    pub(crate) access: Arc<dyn MeterAccess>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) board: Arc<Board>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) leases: Leases,
    /// How long one answer may take.
    pub(crate) timeout: Duration,
    /// The wait after a failure: the first, and the longest to which it doubles.
    pub(crate) retry: (Duration, Duration),
}

/// What one look at a concentrator brought.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    rows: u64,
    events: u64,
    conflicts: u64,
    /// Rows whose time cannot be: they are not stored.
    refused: u64,
    /// Profiles whose columns no meter has told yet: their rows stay where they are.
    waiting: u64,
    /// Profiles whose rows cannot be read.
    malformed: u64,
    /// Meters of others that it has rows of: these are not taken.
    foreign: u64,
}

/// SAP assignment, class 17.
const SAPS: Obis = Obis::new(0, 0, 41, 0, 0, 255);
/// Who is collected (docs/concentrator.md, as the next ones).
const COLLECTED: Obis = Obis::new(0, 0, 128, 0, 4, 255);
/// Written: up to when the head end has a profile's rows, or up to which number the notices.
const DELIVERED: Obis = Obis::new(0, 0, 128, 0, 5, 255);
/// The sums of feeders and phases.
const SUMS: Obis = Obis::new(0, 0, 128, 0, 9, 255);
/// The event log, which holds the notices.
const NOTICES: Obis = Obis::new(0, 0, 99, 98, 0, 255);

/// Rows that are asked for at once.
const ROWS_AT_ONCE: u32 = 960;
/// Notices that are asked for at once: one names up to as many meters as there are.
const NOTICES_AT_ONCE: u32 = 32;
/// Requests for rows of one profile in one look; the rest waits for the next.
const ROUNDS_MAX: usize = 64;
/// Feeders that a concentrator may meter.
const FEEDERS_MAX: u8 = 64;
/// A row that is older, or lies further ahead, is no reading.
const BEHIND_S: i64 = 400 * 86_400;
const AHEAD_S: i64 = 86_400;
/// How far back sums and own rows are asked for at first.
const BACK_S: i64 = 60 * 86_400;
/// Sums change as late rows come: they are read again this far back.
const SUMS_AGAIN_S: i64 = 6 * 3_600;
/// How often it is looked whether somebody else wants to talk to the concentrator.
const LOOK: Duration = Duration::from_millis(500);

/// What is remembered of a concentrator between two looks.
#[derive(Default)]
struct Marks {
    /// When the next look is due.
    due: Option<Timestamp>,
    /// Up to when sums are here.
    sums: Option<i64>,
    /// Up to when the rows of its own profiles are here.
    own: BTreeMap<Obis, i64>,
}

impl Deliverer {
    /// Takes what a concentrator has, on schedule and whenever it tells of something, until `stop`
    /// says so. Breaking it off anywhere loses nothing.
    pub(crate) async fn run(self: Arc<Self>, one: Enrolled, mut stop: watch::Receiver<bool>) {
        let mut marks = Marks::default();
        let mut pause = self.retry.0;
        let dial_in = self.access.dial_in();
        while !*stop.borrow() {
            // One that opens the connection itself is waited for.
            if let Some(dial_in) = &dial_in {
                let mut arrivals = dial_in.arrivals();
                while !*stop.borrow() && !dial_in.reaches(&one.target.enrolment.endpoint) {
                    tokio::select! {
                        _ = stop.changed() => {}
                        _ = arrivals.changed() => {}
                    }
                    pause = self.retry.0;
                    marks.due = None;
                }
            }
            let visit = async {
                let lease = self.leases.take(one.target.id).await;
                self.visit(&one, &lease, &mut marks).await
            };
            let outcome = tokio::select! {
                _ = stop.changed() => return,
                outcome = visit => outcome,
            };
            let wait = match outcome {
                Ok(()) => {
                    pause = self.retry.0;
                    // Whoever waits for the lease has it now.
                    LOOK
                }
                Err(Trouble::Access(error)) => {
                    tracing::info!(concentrator = %one.target.enrolment.name, reason = ?error.reason, "a concentrator does not deliver");
                    self.met(
                        &one.target,
                        Contact::Failed {
                            reason: error.reason,
                        },
                    )
                    .await;
                    let wait = pause;
                    pause = (pause * 2).min(self.retry.1);
                    wait
                }
                Err(Trouble::Store(error)) => {
                    tracing::error!(%error, "what a concentrator told was not stored");
                    self.retry.1
                }
            };
            tokio::select! {
                _ = stop.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Talks to it until somebody else wants to.
    async fn visit(&self, one: &Enrolled, lease: &Lease, marks: &mut Marks) -> Result<(), Trouble> {
        let mut talk = self.bounded(self.access.open(&one.target)).await?;
        loop {
            let now = self.clock.now();
            if marks.due.is_none_or(|due| due <= now) {
                let taken = self.look(one, &mut *talk, marks).await?;
                tell(&one.target.enrolment.name, taken);
                self.met(
                    &one.target,
                    Contact::Reached {
                        rtt_us: talk.rtt_us(),
                    },
                )
                .await;
                let every = i64::from(one.config.collect_s).max(1);
                marks.due = Some(self.clock.now().plus_secs(every));
            }
            if lease.is_wanted() {
                return Ok(self.bounded(talk.close()).await?);
            }
            let client = client(&mut *talk)?;
            match tokio::time::timeout(LOOK, client.notification()).await {
                // It has something to tell: what it is, is read, and confirmed when it is stored.
                Ok(Ok(_)) => marks.due = None,
                Ok(Err(error)) => return Err(meters::ended(&error).into()),
                Err(_) => {}
            }
        }
    }

    async fn look(
        &self,
        one: &Enrolled,
        talk: &mut dyn Conversation,
        marks: &mut Marks,
    ) -> Result<Taken, Trouble> {
        let mut taken = Taken::default();
        let ours = self.ours(&one.config.endpoint);
        let saps = self.value(talk, 17, SAPS).await?;
        let saps = meters::sap_list(&saps).ok_or(protocol())?;
        let mut places: BTreeMap<LogicalDeviceName, u16> = BTreeMap::new();
        for (sap, name) in saps {
            places.entry(name).or_insert(sap);
        }
        let collected = self.value(talk, 1, COLLECTED).await?;
        let collected = with_rows(&collected).ok_or(protocol())?;
        let profiles = one.config.profiles().unwrap_or_default();
        for name in collected {
            let Some(meter) = ours.get(&name) else {
                taken.foreign += 1;
                continue;
            };
            let Some(sap) = places.get(&name) else {
                continue;
            };
            let [high, low] = sap.to_be_bytes();
            for (place, profile) in (0..).zip(&profiles) {
                let series = Series {
                    by: one.target.id,
                    meter: *meter,
                    object: Obis::new(0, place, 129, high, low, 255),
                    profile: *profile,
                };
                self.series(talk, &series, &mut taken).await?;
            }
        }
        self.own_rows(one, talk, marks).await?;
        self.notices(one, talk, &ours, &mut taken).await?;
        self.sums(one, talk, marks).await?;
        Ok(taken)
    }

    /// The meters that are enrolled behind an endpoint.
    fn ours(&self, endpoint: &str) -> BTreeMap<LogicalDeviceName, MeterId> {
        self.fleet.with_meters(|meters| {
            let ours = meters.values().map(|meter| &meter.meter);
            let ours = ours.filter(|meter| leads_to(&meter.enrolment.endpoint, endpoint));
            ours.map(|meter| (meter.enrolment.name.clone(), meter.id))
                .collect()
        })
    }

    /// Takes the rows of one profile of one meter, a part at a time.
    async fn series(
        &self,
        talk: &mut dyn Conversation,
        series: &Series,
        taken: &mut Taken,
    ) -> Result<(), Trouble> {
        let shape = vec![whole(7, series.object, 3), whole(7, series.object, 4)];
        let shape = self.get(talk, shape).await?;
        let [Ok(captured), Ok(period)] = shape.as_slice() else {
            // It has none of that profile.
            return Ok(());
        };
        let Some(form) = self.form(series, captured, period).await? else {
            taken.waiting += 1;
            return Ok(());
        };
        for _ in 0..ROUNDS_MAX {
            let part = vec![entries(series.object, 1, ROWS_AT_ONCE)];
            let Some(Ok(buffer)) = self.get(talk, part).await?.pop() else {
                return Ok(());
            };
            let Some(told) = form.read(&buffer) else {
                // What one meter's rows are like keeps nobody else's back.
                taken.malformed += 1;
                return Ok(());
            };
            let Some((first, last)) = told.span() else {
                return Ok(());
            };
            let full = told.len() >= usize::try_from(ROWS_AT_ONCE).unwrap_or(usize::MAX);
            self.take(series, told, taken).await?;
            // Further rows of the last second may stand behind a part that is full.
            let until = if full && last > first { last - 1 } else { last };
            let confirmed = self.confirm(talk, series.object, until).await?;
            if !full || !confirmed {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Tells how the rows of a series are read; nothing as long as that is not known from the
    /// meter itself.
    async fn form(
        &self,
        series: &Series,
        captured: &[u8],
        period: &[u8],
    ) -> Result<Option<Form>, Trouble> {
        if is_event_log(series.profile) {
            return Ok(Some(Form::Events));
        }
        let Some(columns) = Columns::decode(captured, period) else {
            return Ok(None);
        };
        let (store, meter, profile) = (Arc::clone(&self.store), series.meter, series.profile);
        let known = aside(move || store.told_layouts(meter, profile)).await?;
        let layout = known.into_iter().find(|known| is_told(known, &columns));
        Ok(layout.map(|layout| Form::Rows(columns, layout)))
    }

    /// Stores rows or events of a meter, and waits until they are durable.
    async fn take(&self, series: &Series, told: Told, taken: &mut Taken) -> Result<(), Trouble> {
        let now = self.clock.now();
        let mut sweep = Sweep::new(series.meter, now, Contact::Told);
        sweep.source = Source::Concentrator(series.by);
        let can_be = |at: i64| (now.secs() - BEHIND_S..=now.secs() + AHEAD_S).contains(&at);
        let all = told.len();
        let kept = match told {
            Told::Rows(layout, mut rows) => {
                rows.retain(|row| can_be(row.captured().secs()));
                let kept = rows.len();
                sweep.profiles.push(ProfileRows {
                    layout,
                    asked: None,
                    rows,
                });
                kept
            }
            Told::Events(events) => {
                let events = events.into_iter().filter(|(at, _)| can_be(*at));
                let source = EventSource::Concentrator {
                    by: series.by,
                    log: Some(series.profile),
                };
                let event = |(at, code)| Event {
                    at: Timestamp::from_secs(at),
                    source,
                    code,
                };
                sweep.events = events.map(event).collect();
                sweep.events.len()
            }
        };
        taken.refused += u64::try_from(all - kept).unwrap_or(0);
        let stored = self.store.ingest(sweep).await?;
        taken.rows += stored.added + stored.stray;
        taken.conflicts += stored.conflicts;
        taken.events += u64::try_from(stored.events.len()).unwrap_or(0);
        self.fleet.apply(series.meter, false, &stored);
        Ok(())
    }

    /// Tells the concentrator that all rows up to a time are durable here.
    async fn confirm(
        &self,
        talk: &mut dyn Conversation,
        object: Obis,
        until: i64,
    ) -> Result<bool, Trouble> {
        let until = date_time(until).ok_or(protocol())?;
        let until = Data::date_time_octets(&until);
        self.delivered(talk, object, until).await
    }

    async fn delivered(
        &self,
        talk: &mut dyn Conversation,
        object: Obis,
        until: Data,
    ) -> Result<bool, Trouble> {
        let value = Data::Structure(vec![Data::octet_string(object.0), until]);
        let client = client(talk)?;
        let attribute = AttributeDescriptor::new(1, DELIVERED, 2);
        let written = tokio::time::timeout(self.timeout, client.write(attribute, &value));
        match written.await {
            Ok(Ok(())) => Ok(true),
            // It tells the rows again, and they are the same then.
            Ok(Err(ClientError::Refused(refusal))) => {
                tracing::warn!(%object, refusal = refusal.name(), "a concentrator takes no confirmation");
                Ok(false)
            }
            Ok(Err(error)) => Err(meters::ended(&error).into()),
            Err(_) => Err(AccessError::ended(Failure::NoAnswer).into()),
        }
    }

    /// Takes the rows of its own metering, which are its own word and marked as nobody else's.
    async fn own_rows(
        &self,
        one: &Enrolled,
        talk: &mut dyn Conversation,
        marks: &mut Marks,
    ) -> Result<(), Trouble> {
        for feeder in 1..=FEEDERS_MAX {
            let object = Obis::new(1, feeder, 99, 1, 0, 255);
            let now = self.clock.now();
            let from = marks.own.get(&object).copied();
            let from = from.unwrap_or_else(|| now.secs() - BACK_S);
            let answer = match self
                .bounded(talk.profile(object, from..now.secs() + 1))
                .await
            {
                Ok(answer) => answer,
                Err(error) if error.is_final => return Err(error.into()),
                Err(_) => return Ok(()),
            };
            let Some(last) = answer.rows.iter().map(Interval::captured).max() else {
                continue;
            };
            let contact = Contact::Reached {
                rtt_us: talk.rtt_us(),
            };
            let mut sweep = Sweep::new(one.target.id, now, contact);
            sweep.profiles.push(ProfileRows {
                layout: answer.layout,
                asked: None,
                rows: answer.rows,
            });
            self.store.ingest(sweep).await?;
            self.confirm(talk, object, last.secs()).await?;
            marks.own.insert(object, last.secs());
        }
        Ok(())
    }

    /// Takes the notices that are not here yet, oldest first. A push is confirmed when it comes,
    /// before anything is stored, so what is here decides, and not what was confirmed.
    async fn notices(
        &self,
        one: &Enrolled,
        talk: &mut dyn Conversation,
        ours: &BTreeMap<LogicalDeviceName, MeterId>,
        taken: &mut Taken,
    ) -> Result<(), Trouble> {
        for _ in 0..ROUNDS_MAX {
            let (store, id) = (Arc::clone(&self.store), one.target.id);
            let known = aside(move || store.notices(id, 1)).await?.pop();
            let items = vec![whole(7, NOTICES, 7), entries(NOTICES, 1, 1)];
            let answers = self.get(talk, items).await?;
            let [Ok(count), Ok(oldest)] = answers.as_slice() else {
                return Ok(());
            };
            let count = RawData::new(count).decode().ok();
            let count = count.and_then(|it| it.as_u32()).ok_or(protocol())?;
            let Some(oldest) = notices(oldest).ok_or(protocol())?.pop() else {
                return Ok(());
            };
            let oldest = oldest.number;
            // Where it counts from the beginning again, all of it is new.
            let here = known.map_or(0, |known| known.number);
            let newest = oldest.saturating_add(count).saturating_sub(1);
            let here = if here > newest { 0 } else { here };
            // Numbers follow one another, so that the first new one has its place.
            let first = here.saturating_add(1).saturating_sub(oldest);
            let first = first.saturating_add(1);
            let last = first.saturating_add(NOTICES_AT_ONCE - 1);
            let part = vec![entries(NOTICES, first, last)];
            let Some(Ok(buffer)) = self.get(talk, part).await?.pop() else {
                return Ok(());
            };
            let mut new = notices(&buffer).ok_or(protocol())?;
            new.retain(|notice| notice.number > here);
            let Some(last) = new.last().map(|notice| notice.number) else {
                return Ok(());
            };
            for notice in &new {
                let (name, number) = (&one.target.enrolment.name, notice.number);
                tracing::warn!(concentrator = %name, code = notice.code, number, "a concentrator notices");
            }
            let delivery = Delivery {
                concentrator: id,
                events: self.events_of(id, &new, ours),
                notices: new,
                supply: Vec::new(),
            };
            let new = self.store.deliver(delivery).await?;
            taken.events += u64::try_from(new.len()).unwrap_or(0);
            self.fleet.tell(&new);
            self.delivered_by(id);
            let confirmed = Data::DoubleLongUnsigned(last);
            if !self.delivered(talk, NOTICES, confirmed).await? || last >= newest {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What notices say of meters behind their concentrator.
    fn events_of(
        &self,
        by: MeterId,
        all: &[Notice],
        ours: &BTreeMap<LogicalDeviceName, MeterId>,
    ) -> Vec<(MeterId, Event)> {
        let now = self.clock.now();
        let mut events = Vec::new();
        for notice in all {
            let (kind, names) = match notice.code {
                1 => (EventKind::FellSilent, names(&notice.detail)),
                2 => (EventKind::HeardAgain, names(&notice.detail)),
                3 => (EventKind::AlarmRaised, name_of_alarm(&notice.detail)),
                _ => continue,
            };
            let can_be =
                notice.at <= now.plus_secs(AHEAD_S) && notice.at >= now.plus_secs(-BEHIND_S);
            let event = Event {
                at: if can_be { notice.at } else { now },
                source: EventSource::Concentrator { by, log: None },
                code: kind.code(),
            };
            let ours = names.iter().filter_map(|name| ours.get(name));
            events.extend(ours.map(|meter| (*meter, event)));
        }
        events.truncate(Sweep::EVENTS_MAX);
        events
    }

    /// Takes the sums of feeders and phases.
    async fn sums(
        &self,
        one: &Enrolled,
        talk: &mut dyn Conversation,
        marks: &mut Marks,
    ) -> Result<(), Trouble> {
        let now = self.clock.now();
        let id = one.target.id;
        let since = match marks.sums {
            Some(since) => since,
            None => {
                let store = Arc::clone(&self.store);
                let back = now.secs() - BACK_S..now.secs() + AHEAD_S;
                let known = aside(move || store.supply(id, back)).await?;
                known
                    .last()
                    .map_or_else(|| now.secs() - BACK_S, |last| last.at.secs())
            }
        };
        let from = date_time(since - SUMS_AGAIN_S).ok_or(protocol())?;
        let to = date_time(now.secs() + 3_600).ok_or(protocol())?;
        let selection = ProfileSelection::Range(RangeDescriptor::by_clock(&from, &to));
        let item = GetItem {
            attribute: AttributeDescriptor::new(7, SUMS, 2),
            selection: Some((selection.selector(), selection.to_data().to_octets())),
        };
        let Some(Ok(buffer)) = self.get(talk, vec![item]).await?.pop() else {
            return Ok(());
        };
        let mut supply = sums(&buffer).ok_or(protocol())?;
        supply.retain(|sum| (since - SUMS_AGAIN_S..=now.secs() + 3_600).contains(&sum.at.secs()));
        supply.truncate(Delivery::SUPPLY_MAX);
        let Some(last) = supply.iter().map(|sum| sum.at.secs()).max() else {
            return Ok(());
        };
        let delivery = Delivery {
            concentrator: id,
            notices: Vec::new(),
            supply,
            events: Vec::new(),
        };
        self.store.deliver(delivery).await?;
        self.delivered_by(id);
        marks.sums = Some(last.min(now.secs()));
        Ok(())
    }

    /// Tells pages that notices or sums are new.
    fn delivered_by(&self, id: MeterId) {
        self.board.delivered(id);
        self.fleet.hub().send(Change::Concentrator(id));
    }

    /// Keeps when a concentrator answered last, or that it does not.
    async fn met(&self, target: &MeterTarget, contact: Contact) {
        let sweep = Sweep::new(target.id, self.clock.now(), contact);
        if let Err(error) = self.store.ingest(sweep).await {
            tracing::error!(%error, "the state of a concentrator was not stored");
        }
    }

    async fn value(
        &self,
        talk: &mut dyn Conversation,
        class: u16,
        object: Obis,
    ) -> Result<Vec<u8>, Trouble> {
        match self.get(talk, vec![whole(class, object, 2)]).await?.pop() {
            Some(Ok(octets)) => Ok(octets),
            Some(Err(_)) => Err(AccessError::ended(Failure::Denied).into()),
            None => Err(protocol()),
        }
    }

    async fn get(
        &self,
        talk: &mut dyn Conversation,
        items: Vec<GetItem>,
    ) -> Result<Vec<Result<Vec<u8>, DataAccessResult>>, Trouble> {
        let client = client(talk)?;
        let count = items.len();
        match tokio::time::timeout(self.timeout, client.get(items)).await {
            Ok(Ok(values)) if values.len() == count => Ok(values),
            Ok(Ok(_)) => Err(protocol()),
            Ok(Err(error)) => Err(meters::ended(&error).into()),
            Err(_) => Err(AccessError::ended(Failure::NoAnswer).into()),
        }
    }

    async fn bounded<T>(
        &self,
        answer: impl Future<Output = Result<T, AccessError>>,
    ) -> Result<T, AccessError> {
        tokio::time::timeout(self.timeout, answer)
            .await
            .unwrap_or(Err(AccessError::ended(Failure::NoAnswer)))
    }
}

/// One profile of one meter, as a concentrator keeps it.
struct Series {
    by: MeterId,
    meter: MeterId,
    /// Its name at the concentrator.
    object: Obis,
    /// Its name at the meter.
    profile: Obis,
}

/// How the rows of a profile are read.
enum Form {
    Events,
    Rows(Columns, ProfileLayout),
}

/// What a part of a profile holds.
enum Told {
    Events(Vec<(i64, u16)>),
    Rows(ProfileLayout, Vec<Interval>),
}

impl Form {
    fn read(&self, buffer: &[u8]) -> Option<Told> {
        Some(match self {
            Self::Events => Told::Events(meters::log_entries(buffer)?),
            Self::Rows(columns, layout) => Told::Rows(layout.clone(), columns.rows(buffer)?),
        })
    }
}

impl Told {
    const fn len(&self) -> usize {
        match self {
            Self::Events(events) => events.len(),
            Self::Rows(_, rows) => rows.len(),
        }
    }

    /// The times of its earliest and its latest row.
    fn span(&self) -> Option<(i64, i64)> {
        let times: Vec<i64> = match self {
            Self::Events(events) => events.iter().map(|(at, _)| *at).collect(),
            Self::Rows(_, rows) => rows.iter().map(|row| row.captured().secs()).collect(),
        };
        Some((*times.iter().min()?, *times.iter().max()?))
    }
}

/// Says whether a layout that a meter told is of the columns that a concentrator tells.
fn is_told(known: &ProfileLayout, columns: &Columns) -> bool {
    let told = columns.channels();
    let same = known.channels.iter().zip(&told);
    known.period_s == columns.period_s
        && known.channels.len() == told.len()
        && same
            .into_iter()
            .all(|(known, told)| (known.object, known.attribute) == (told.object, told.attribute))
}

/// The event logs, 0-0:99.98.e (IEC 62056-6-1).
const fn is_event_log(profile: Obis) -> bool {
    matches!(profile, Obis([0, 0, 99, 98, ..]))
}

/// The names of those of whom rows are kept: array of structures of name, whether it is
/// collected, rows, whether there are keys.
fn with_rows(octets: &[u8]) -> Option<Vec<LogicalDeviceName>> {
    let data = RawData::new(octets).decode().ok()?;
    let mut names = Vec::new();
    for one in data.as_array()? {
        let [name, _, rows, ..] = one.as_structure()? else {
            return None;
        };
        let name = LogicalDeviceName::from_octets(name.as_octets()?).ok();
        if rows.as_u32()? > 0 {
            names.extend(name);
        }
    }
    Some(names)
}

/// Reads an event log of notices: time, code, and a structure of number and detail.
fn notices(buffer: &[u8]) -> Option<Vec<Notice>> {
    let data = RawData::new(buffer).decode().ok()?;
    let rows = data.as_array()?.iter();
    rows.map(|row| {
        let [at, code, rest] = row.as_structure()? else {
            return None;
        };
        let [number, detail] = rest.as_structure()? else {
            return None;
        };
        Some(Notice {
            number: number.as_u32()?,
            at: Timestamp::from_secs(at.as_date_time()?.to_unix_seconds()?),
            code: code.as_u8()?,
            detail: detail.to_octets(),
        })
    })
    .collect()
}

/// Reads the sums: time, feeder, phase, Wh supplied or null, Wh metered, meters.
fn sums(buffer: &[u8]) -> Option<Vec<Supply>> {
    let data = RawData::new(buffer).decode().ok()?;
    let rows = data.as_array()?.iter();
    rows.map(|row| {
        let [at, feeder, phase, supplied, metered, meters] = row.as_structure()? else {
            return None;
        };
        let text = |cell: &Data| Some(std::str::from_utf8(cell.as_octets()?).ok()?.to_owned());
        Some(Supply {
            at: Timestamp::from_secs(at.as_date_time()?.to_unix_seconds()?),
            feeder: text(feeder)?.parse().ok()?,
            phase: text(phase)?.parse().ok()?,
            supplied_wh: supplied.as_i64(),
            metered_wh: metered.as_i64()?,
            meters: meters.as_u32()?,
        })
    })
    .collect()
}

/// Reads an array of names; what is none is left out.
pub(super) fn names(detail: &[u8]) -> Vec<LogicalDeviceName> {
    let data = RawData::new(detail).decode().ok();
    let all = data.as_ref().and_then(Data::as_array).unwrap_or_default();
    let all = all.iter().filter_map(Data::as_octets);
    all.filter_map(|name| LogicalDeviceName::from_octets(name).ok())
        .collect()
}

/// Reads a structure that begins with a name.
fn name_of_alarm(detail: &[u8]) -> Vec<LogicalDeviceName> {
    let data = RawData::new(detail).decode().ok();
    let first = data
        .as_ref()
        .and_then(Data::as_structure)
        .and_then(<[Data]>::first);
    let name = first.and_then(Data::as_octets);
    name.and_then(|name| LogicalDeviceName::from_octets(name).ok())
        .into_iter()
        .collect()
}

const fn whole(class: u16, object: Obis, attribute: i8) -> GetItem {
    GetItem {
        attribute: AttributeDescriptor::new(class, object, attribute),
        selection: None,
    }
}

/// The rows of a profile from one number to another.
fn entries(object: Obis, first: u32, last: u32) -> GetItem {
    let selection = ProfileSelection::Entry(EntryDescriptor::rows(first, last));
    GetItem {
        attribute: AttributeDescriptor::new(7, object, 2),
        selection: Some((selection.selector(), selection.to_data().to_octets())),
    }
}

fn client(talk: &mut dyn Conversation) -> Result<&mut Client, Trouble> {
    talk.client().ok_or(Trouble::Access(AccessError::denied()))
}

/// Tells what came, where there is something to tell.
fn tell(name: &LogicalDeviceName, taken: Taken) {
    if taken.rows + taken.events > 0 {
        tracing::info!(concentrator = %name, rows = taken.rows, events = taken.events, "a concentrator delivered");
    }
    if taken.conflicts > 0 {
        tracing::warn!(concentrator = %name, conflicts = taken.conflicts, "rows of a concentrator are not those that are stored: these stay");
    }
    if taken.refused + taken.malformed + taken.foreign > 0 {
        tracing::warn!(concentrator = %name, rows = taken.refused, malformed = taken.malformed, meters = taken.foreign, "refused rows of times that cannot be, rows that are none, and those of meters that are not its own");
    }
    if taken.waiting > 0 {
        tracing::info!(concentrator = %name, profiles = taken.waiting, "rows wait until their meter was read once");
    }
}

const fn protocol() -> Trouble {
    Trouble::Access(AccessError::ended(Failure::Protocol))
}

async fn aside<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|_| StoreError::Closed)?
}

/// Why a look at a concentrator ended.
enum Trouble {
    Access(AccessError),
    Store(StoreError),
}

impl From<AccessError> for Trouble {
    fn from(error: AccessError) -> Self {
        Self::Access(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
