//! What the head end keeps, and what it promises about it.
//!
//! A write is durable when its future resolves, never before. Ingest is idempotent by (meter,
//! object, capture time). Rows of a profile live in one compressed block per (meter, profile, day)
//! with the day's totals beside it, or, while the day is young, in a hot table keyed (time, meter)
//! that is sealed into blocks later. What a later answer of the meter replaces stays as an older
//! version.

mod drills;
mod fences;
mod orders;
mod outlets;
mod paths;
mod sqlite;

use dlms::cosem::Obis;
use dlms::security::SystemTitle;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use dlms::security::CounterRecord;
use model::{
    BreakerState, Event, Feeder, Interval, LogicalDeviceName, MeterId, Phase, Place, Timestamp,
};

pub use drills::{DrillEnd, DrillOutcome, DrillRow, DrillTables, NewDrill, TIMELINES_KEPT};
pub use fences::{FenceTables, SavedFence};
pub use model::block::{CHANNELS_MAX, CodecError, DayRows, Put, Row, SLOTS_MAX};
pub use orders::{
    MeterOrderEnd, MeterOrderKind, MeterOrderLimit, MeterOrderLimits, MeterOrderOutcome,
    MeterOrderRow, MeterOrderTables, NewMeterOrder, ReadBack,
};
pub use outlets::{NewOrder, OrderKind, OrderRow, Outcome, OutletTables, RecordKind};
pub use paths::{Carried, PathRun, PathTaken, Paths, Receipt};
pub use sqlite::{SqliteOptions, SqliteStore};

use crate::calendar::{Calendar, Day};
use crate::campaigns::Kept;

/// Storage of the head end.
///
/// Writes go through one queue with a bound and resolve when they are durable; where the queue is
/// full they wait. Reads block the calling thread for as long as the disk takes: async callers
/// move them to a blocking thread.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// Returns the site's calendar, which was fixed when the store was made.
    fn calendar(&self) -> &Calendar;

    /// Adds or updates meters; the name tells one from another.
    fn enrol(&self, meters: Vec<Enrolment>, at: Timestamp) -> Pending<Enrolled>;

    /// Adds or updates concentrators, devices of their own that are no meters; the name tells one
    /// from another. Where the key service wraps its secrets it is a device like others.
    fn enrol_concentrators(&self, all: Vec<Enrolment>, at: Timestamp) -> Pending<Enrolled> {
        let _ = (all, at);
        Box::pin(async { Err(StoreError::Closed) })
    }

    /// Stores what one association with a meter brought.
    fn ingest(&self, sweep: Sweep) -> Pending<Stored>;

    /// Stores what a concentrator tells of itself; tells which events of meters were new.
    fn deliver(&self, delivery: Delivery) -> Pending<Vec<(MeterId, Event)>> {
        drop(delivery);
        Box::pin(async { Err(StoreError::Closed) })
    }

    /// Reserves `count` invocation counter values of a key, above all reserved before and at or
    /// above `at_least`.
    fn reserve_counters(&self, key: CounterKey, count: u32, at_least: u32) -> Pending<Range<u32>>;

    /// Keeps the record of a key's invocation counters; where counting goes on never falls.
    fn keep_counters(&self, key: CounterKey, record: CounterRecord) -> Pending<()>;

    /// Keeps a campaign in the place of what was kept of it, and its image with the first time.
    fn keep_campaign(&self, id: u32, record: Vec<u8>, image: Option<Arc<[u8]>>) -> Pending<()> {
        let _ = (id, record, image);
        Box::pin(async { Err(StoreError::Closed) })
    }

    /// Returns all campaigns in ascending order of their numbers.
    ///
    /// # Errors
    /// [`StoreError`] where the disk fails.
    fn campaigns(&self) -> Result<Vec<Kept>, StoreError> {
        Ok(Vec::new())
    }

    /// Moves hot rows of up to `limit` meters of days before `before` into blocks, and returns how
    /// many meters had some.
    fn seal(&self, before: Day, limit: u32) -> Pending<u32>;

    /// Waits until all that was submitted before is durable.
    fn flush(&self) -> Pending<()>;

    /// Returns all meters in ascending order of their ids.
    ///
    /// # Errors
    /// [`StoreError`] where the disk fails; so for every other read.
    fn meters(&self) -> Result<Vec<Meter>, StoreError>;

    /// Returns all concentrators in ascending order of their ids, which no meter has.
    ///
    /// # Errors
    /// As [`Store::meters`].
    fn concentrators(&self) -> Result<Vec<Meter>, StoreError> {
        Ok(Vec::new())
    }

    /// Returns what is known about the state of each meter, and concentrator, that was ever tried.
    fn states(&self) -> Result<BTreeMap<MeterId, MeterState>, StoreError>;

    /// Returns how many intervals of each meter's load profile exist, per day from `from` on.
    fn day_counts(&self, from: Day) -> Result<Vec<DayCount>, StoreError>;

    /// Returns the events of all meters at or after `since`, oldest first, at most 100,000.
    fn events_since(&self, since: Timestamp) -> Result<Vec<(MeterId, Event)>, StoreError>;

    /// Returns the events of one meter before `before`, newest first, at most `limit`, and how
    /// many there are in all.
    fn events(
        &self,
        meter: MeterId,
        before: Option<Timestamp>,
        limit: u32,
    ) -> Result<(u64, Vec<Event>), StoreError>;

    /// Returns the last value of each register of a meter.
    fn registers(&self, meter: MeterId) -> Result<Vec<RegisterRow>, StoreError>;

    /// Returns what paths the readings of a meter took, the latest first: at most `limit` runs that
    /// began before `before`, and how many there are in all.
    ///
    /// # Errors
    /// As [`Store::meters`].
    fn path_runs(
        &self,
        meter: MeterId,
        before: Option<Timestamp>,
        limit: u32,
    ) -> Result<(u64, Vec<PathRun>), StoreError> {
        let _ = (meter, before, limit);
        Ok((0, Vec::new()))
    }

    /// Returns the rows of a profile that close intervals beginning in `range` (seconds).
    fn rows(
        &self,
        meter: MeterId,
        object: Obis,
        range: Range<i64>,
    ) -> Result<Vec<ProfileSlice>, StoreError>;

    /// Returns the holes among the intervals of a profile that begin in `range` (seconds) and that
    /// this meter is expected to have.
    fn gaps(&self, meter: MeterId, object: Obis, range: Range<i64>)
    -> Result<Vec<Gap>, StoreError>;

    /// Returns the day totals of all meters in ascending order of their ids, from the columns
    /// alone.
    fn day_totals(&self, object: Obis, day: Day) -> Result<Vec<DayTotal>, StoreError>;

    /// Returns all versions of one day's block, oldest first, the valid one last.
    fn versions(
        &self,
        meter: MeterId,
        object: Obis,
        day: Day,
    ) -> Result<Vec<BlockVersion>, StoreError>;

    /// Returns the layouts of a profile that the meter itself told, the latest first.
    ///
    /// # Errors
    /// As [`Store::meters`], and so for the next ones.
    fn told_layouts(&self, meter: MeterId, object: Obis) -> Result<Vec<ProfileLayout>, StoreError> {
        let _ = (meter, object);
        Ok(Vec::new())
    }

    /// Returns the rows that concentrators tell otherwise than what is stored, of intervals that
    /// begin in `range` (seconds), at most 10,000.
    fn conflicts(
        &self,
        meter: MeterId,
        object: Obis,
        range: Range<i64>,
    ) -> Result<Vec<Conflict>, StoreError> {
        let _ = (meter, object, range);
        Ok(Vec::new())
    }

    /// Returns the notices of a concentrator, those stored last first, at most `limit`.
    fn notices(&self, concentrator: MeterId, limit: u32) -> Result<Vec<Notice>, StoreError> {
        let _ = (concentrator, limit);
        Ok(Vec::new())
    }

    /// Returns a window of a concentrator's notices, those stored last first, and how many there
    /// are.
    fn notice_page(
        &self,
        concentrator: MeterId,
        offset: u32,
        limit: u32,
    ) -> Result<(u64, Vec<Notice>), StoreError> {
        let _ = (concentrator, offset, limit);
        Ok((0, Vec::new()))
    }

    /// Returns a concentrator's notices of meters that fell silent or are there again, those
    /// stored last first: at most 2,000, and of 4 MiB.
    fn outage_notices(&self, concentrator: MeterId) -> Result<Vec<Notice>, StoreError> {
        let _ = concentrator;
        Ok(Vec::new())
    }

    /// Returns the sums of a concentrator's feeders of intervals that ended in `range` (seconds),
    /// in ascending order, at most 100,000.
    fn supply(&self, concentrator: MeterId, range: Range<i64>) -> Result<Vec<Supply>, StoreError> {
        let _ = (concentrator, range);
        Ok(Vec::new())
    }

    /// Returns how far a key's invocation counter is reserved; 0 where it never was.
    fn counter(&self, key: CounterKey) -> Result<u32, StoreError>;

    /// Returns the record of a key's invocation counters; the default where it never had one.
    fn counter_record(&self, key: CounterKey) -> Result<CounterRecord, StoreError>;

    /// Returns the wrapped secrets of one client of a meter.
    fn secrets(
        &self,
        name: &LogicalDeviceName,
        client: u16,
    ) -> Result<Option<WrappedClient>, StoreError>;

    /// Returns what is kept of outlet meters.
    fn outlets(&self) -> &dyn OutletTables;

    /// Returns the journal of orders to meters.
    fn orders(&self) -> &dyn MeterOrderTables;

    /// Returns the fences of meters.
    fn fences(&self) -> &dyn FenceTables;

    /// Returns the journal of drills.
    fn drills(&self) -> &dyn DrillTables;

    /// Returns figures about the store itself.
    fn figures(&self) -> StoreFigures;
}

/// A write under way: resolves when it is durable.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// What enrolment says about a meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// Names the meter.
    pub name: LogicalDeviceName,
    /// Holds the meter's system title, where it has one.
    pub system_title: Option<SystemTitle>,
    /// Says how to reach it: an endpoint URL without secrets.
    pub endpoint: String,
    /// Holds the server SAP (wrapper port or upper HDLC address).
    pub server: u16,
    /// Holds the client SAP that the head end uses.
    pub client: u16,
    /// Says where it is.
    pub place: Place,
    /// Says which feeder it hangs on.
    pub feeder: Option<Feeder>,
    /// Says which phase it hangs on.
    pub phase: Option<Phase>,
    /// Names the profile to collect, by default 1-0:99.1.0.255.
    pub load_profile: Obis,
    /// Holds the secrets of each client, wrapped.
    pub secrets: Vec<WrappedClient>,
}

/// What a device of the registry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceKind {
    Meter,
    Concentrator,
}

impl DeviceKind {
    /// Returns the code under which it is stored.
    pub(crate) const fn code(self) -> i64 {
        match self {
            Self::Meter => 0,
            Self::Concentrator => 1,
        }
    }
}

/// Load profile with recording period 1: 1-0:99.1.0.255.
pub const LOAD_PROFILE: Obis = Obis::new(1, 0, 99, 1, 0, 255);

/// The secrets of one client of a meter, wrapped under the master key.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedClient {
    /// Holds the client SAP.
    pub client: u16,
    /// Names the authentication mechanism, as in a key file.
    pub mechanism: String,
    /// Holds the security suite.
    pub suite: u8,
    /// Holds each secret under its name, wrapped.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// Says since when these secrets are in force.
    pub since: Timestamp,
}

impl fmt::Debug for WrappedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappedClient")
            .field("client", &self.client)
            .field("mechanism", &self.mechanism)
            .field("suite", &self.suite)
            .finish_non_exhaustive()
    }
}

/// How an enrolment ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enrolled {
    /// Holds the ids of meters that were new.
    pub added: Vec<MeterId>,
    /// Holds the ids of meters that are known and changed.
    pub updated: Vec<MeterId>,
    /// Counts meters that are known and stayed as they are.
    pub unchanged: u64,
}

/// A meter of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Holds the registry id.
    pub id: MeterId,
    /// Holds what enrolment said; `secrets` is empty here.
    pub enrolment: Enrolment,
    /// Says when the meter was enrolled first.
    pub enrolled: Timestamp,
    /// Says from when on its intervals are expected: from enrolment, or from the earliest one
    /// that it ever gave.
    pub expected_from: Timestamp,
    /// Holds the capture period of its load profile in seconds, once known.
    pub period_s: Option<u32>,
    /// Says how the head end's client is protected, where it has secrets.
    pub protection: Option<Protection>,
}

/// How a client of a meter is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    /// Names the authentication mechanism, as in a key file.
    pub mechanism: String,
    /// Holds the security suite.
    pub suite: u8,
    /// Says since when the present secrets are in force.
    pub since: Timestamp,
}

/// What one association with a meter brought, or that it did not come about.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// Names the meter.
    pub meter: MeterId,
    /// Says when, by the head end's clock.
    pub at: Timestamp,
    /// Says how it went.
    pub contact: Contact,
    /// Holds rows of profiles.
    pub profiles: Vec<ProfileRows>,
    /// Holds registers' values.
    pub registers: Vec<RegisterReading>,
    /// Holds entries of event logs.
    pub events: Vec<Event>,
    /// Holds the breaker's state, where it was read.
    pub breaker: Option<BreakerState>,
    /// Holds the meter's clock, where it was read.
    pub clock: Option<ClockReading>,
    /// Holds the firmware's name, where it was read.
    pub firmware: Option<String>,
    /// Holds the paths that it came by, over a network that tells them, in the order of their
    /// first answers.
    pub receipts: Vec<Receipt>,
    /// Says who read all this.
    pub source: Source,
}

/// Who read what is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The head end itself, protected from the meter on.
    #[default]
    Direct,
    /// This concentrator, on its own: its word stands for it and nothing else. It fills what is
    /// empty, replaces nothing, and gives way to what the head end reads.
    Concentrator(MeterId),
}

impl Sweep {
    /// Makes a sweep that brought nothing yet.
    pub const fn new(meter: MeterId, at: Timestamp, contact: Contact) -> Self {
        Self {
            meter,
            at,
            contact,
            profiles: Vec::new(),
            registers: Vec::new(),
            events: Vec::new(),
            breaker: None,
            clock: None,
            firmware: None,
            receipts: Vec::new(),
            source: Source::Direct,
        }
    }

    /// The greatest number of profile rows in one sweep.
    pub const ROWS_MAX: usize = 100_000;
    /// The greatest number of events in one sweep.
    pub const EVENTS_MAX: usize = 10_000;
    /// The greatest number of registers in one sweep.
    pub const REGISTERS_MAX: usize = 1_000;

    fn within_bounds(&self) -> bool {
        let rows: usize = self.profiles.iter().map(|profile| profile.rows.len()).sum();
        rows <= Self::ROWS_MAX
            && self.events.len() <= Self::EVENTS_MAX
            && self.registers.len() <= Self::REGISTERS_MAX
            && self.receipts.len() <= Receipt::COUNT_MAX
            && self.profiles.iter().all(ProfileRows::within_bounds)
    }
}

/// How an attempt to reach a meter went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// The meter answered, and its answer verified.
    Reached {
        /// Holds the round trip time in microseconds, where it was measured.
        rtt_us: Option<u32>,
    },
    /// The meter did not answer, or not as it must.
    Failed {
        /// Says why.
        reason: Failure,
    },
    /// Nobody tried: a concentrator tells what it read before.
    Told,
}

/// Why a meter could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Failure {
    /// Nothing listens there, or the network does not reach it.
    Unreachable = 1,
    /// It did not answer in time.
    NoAnswer = 2,
    /// It refused the association: secrets, mechanism or client SAP are not the ones it knows.
    Refused = 3,
    /// Its answer did not verify: another key, or not this meter.
    NotVerified = 4,
    /// Another meter answered than the one enrolled.
    OtherMeter = 5,
    /// It sent what the protocol does not allow.
    Protocol = 6,
    /// It refused the object asked for.
    Denied = 7,
    /// The head end has no secrets for it.
    NoSecrets = 8,
}

impl Failure {
    /// Returns the code under which it is stored.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Returns the failure of a code.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Unreachable,
            2 => Self::NoAnswer,
            3 => Self::Refused,
            4 => Self::NotVerified,
            5 => Self::OtherMeter,
            6 => Self::Protocol,
            7 => Self::Denied,
            8 => Self::NoSecrets,
            _ => return None,
        })
    }

    /// Says it to the operator, in a sentence.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Unreachable => {
                "Nothing answers at its address: check the address, and that the meter has supply."
            }
            Self::NoAnswer => "It did not answer in time: check the way to it.",
            Self::Refused => {
                "It answers, but refuses our association: check mechanism and secrets."
            }
            Self::NotVerified => {
                "It answers, but our key is not the one it knows: enrol it with its key file. \
                 Nothing was changed."
            }
            Self::OtherMeter => {
                "Another meter answers at its address: check the enrolment file. Nothing was stored."
            }
            Self::Protocol => {
                "It answers, but not in the form that DLMS asks for: check that its address leads \
                 to a meter."
            }
            Self::Denied => "It answers, but refuses an object that the head end needs.",
            Self::NoSecrets => "The head end holds no secrets for it: enrol it with its key file.",
        }
    }
}

/// Rows that a meter gave of one profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileRows {
    /// Says what the columns are.
    pub layout: ProfileLayout,
    /// Holds the span that was asked for and answered in full, by interval start in seconds;
    /// what is missing in it the meter does not hold.
    pub asked: Option<Range<i64>>,
    /// Holds the rows.
    pub rows: Vec<Interval>,
}

impl ProfileRows {
    fn within_bounds(&self) -> bool {
        let channels = self.layout.channels.len();
        (1..=CHANNELS_MAX).contains(&channels)
            && self.layout.period_is_storable()
            && self.rows.iter().all(|row| row.values.len() == channels)
    }
}

/// The columns and the period of a profile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProfileLayout {
    /// Names the profile.
    pub object: Obis,
    /// Holds the capture period in seconds: 60 to 3,600 and a divisor of an hour, or a day.
    pub period_s: u32,
    /// Holds the captured values in their order, clock and status left out.
    pub channels: Vec<Channel>,
}

impl ProfileLayout {
    /// Says whether days of this period can be stored in slots.
    pub const fn period_is_storable(&self) -> bool {
        let period = self.period_s;
        period == 86_400 || (period >= 60 && period <= 3_600 && 3_600 % period == 0)
    }

    /// Returns the number of intervals in a day of `length_s` seconds.
    fn slots(&self, length_s: i64) -> usize {
        if self.period_s == 86_400 {
            return 1;
        }
        usize::try_from(length_s / i64::from(self.period_s.max(1))).unwrap_or(1)
    }
}

/// One captured attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Channel {
    /// Names the object.
    pub object: Obis,
    /// Names the attribute.
    pub attribute: i8,
    /// Holds the power of ten.
    pub scaler: i8,
    /// Holds the unit's code.
    pub unit: u8,
}

impl Channel {
    /// Says whether the column is a register's running total, so that an interval's amount is the
    /// difference to the row before: value group D is 8, time integral 1 (IEC 62056-6-1, table
    /// of value group D for electricity).
    pub const fn is_running_total(self) -> bool {
        let [_, _, _, d, _, _] = self.object.0;
        d == 8
    }
}

/// One register's value as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterReading {
    /// Names the object.
    pub object: Obis,
    /// Names the attribute.
    pub attribute: i8,
    /// Holds the value.
    pub value: RegisterValue,
    /// Says when it was read.
    pub at: Timestamp,
}

/// A register's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterValue {
    /// A number with scaler and unit.
    Number {
        /// Holds the unscaled value.
        value: i64,
        /// Holds the power of ten.
        scaler: i8,
        /// Holds the unit's code.
        unit: u8,
    },
    /// A text; longer than 256 characters is cut.
    Text(String),
}

/// The last value of a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterRow {
    /// Holds the last reading.
    pub last: RegisterReading,
    /// Holds the last number read on an earlier day, and when.
    pub earlier: Option<(i64, Timestamp)>,
}

/// A meter's clock against the head end's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// Holds the meter's time less the head end's, in milliseconds.
    pub offset_ms: i64,
    /// Holds the meter's offset from UTC in minutes east, where it told one.
    pub zone_min: Option<i16>,
    /// Says when it was read, by the head end's clock.
    pub at: Timestamp,
}

/// What is known about a meter's present state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterState {
    /// Says when the meter last answered.
    pub reached: Option<Timestamp>,
    /// Says since when it fails, and how often in a row.
    pub failing: Option<Failing>,
    /// Says where its newest interval ends.
    pub newest: Option<Timestamp>,
    /// Holds the last round trip time in microseconds.
    pub rtt_us: Option<u32>,
    /// Holds the breaker's state and when it was read.
    pub breaker: Option<(BreakerState, Timestamp)>,
    /// Holds the clock's last comparison.
    pub clock: Option<ClockReading>,
    /// Holds the firmware's name.
    pub firmware: Option<String>,
    /// Holds the last total active power in watts, and when.
    pub power: Option<(i64, Timestamp)>,
}

/// A row of failed attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    /// Says when the first of them was.
    pub since: Timestamp,
    /// Counts them.
    pub attempts: u32,
    /// Says why the last one failed.
    pub reason: Failure,
}

/// What an ingest changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Counts rows that were new.
    pub added: u64,
    /// Counts rows that replaced others; these stay as older versions.
    pub changed: u64,
    /// Counts rows that were there already.
    pub same: u64,
    /// Counts rows whose capture time fits no slot; they are kept apart.
    pub stray: u64,
    /// Holds the events that were new.
    pub events: Vec<Event>,
    /// Holds the new number of intervals of the load profile on each day touched.
    pub counts: Vec<DayCount>,
    /// Says from when on intervals are expected, where this sweep moved it.
    pub expected_from: Option<Timestamp>,
    /// Holds the state after this sweep.
    pub state: MeterState,
    /// Holds the capture period of the load profile, where this sweep told it.
    pub period_s: Option<u32>,
    /// Counts rows that a concentrator tells otherwise than what is stored, and that were not
    /// noted before.
    pub conflicts: u64,
}

/// A row that a concentrator tells otherwise than what is stored, which stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Names the concentrator.
    pub concentrator: MeterId,
    /// Holds the row as the concentrator tells it.
    pub row: Interval,
    /// Says when that was found.
    pub found: Timestamp,
}

/// What a concentrator tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Names the concentrator.
    pub concentrator: MeterId,
    /// Holds its notices, at most [`Delivery::NOTICES_MAX`].
    pub notices: Vec<Notice>,
    /// Holds the sums of its feeders, at most [`Delivery::SUPPLY_MAX`].
    pub supply: Vec<Supply>,
    /// Holds events of its meters that follow from the notices, at most [`Sweep::EVENTS_MAX`].
    pub events: Vec<(MeterId, Event)>,
}

impl Delivery {
    /// The greatest number of notices.
    pub const NOTICES_MAX: usize = 10_000;
    /// The greatest number of sums.
    pub const SUPPLY_MAX: usize = 100_000;

    fn within_bounds(&self) -> bool {
        let detail: usize = self.notices.iter().map(|notice| notice.detail.len()).sum();
        self.notices.len() <= Self::NOTICES_MAX
            && self.supply.len() <= Self::SUPPLY_MAX
            && self.events.len() <= Sweep::EVENTS_MAX
            && detail <= 1 << 24
    }
}

/// A notice of a concentrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Holds its number, one more than the one before.
    pub number: u32,
    /// Says when, by the concentrator's clock.
    pub at: Timestamp,
    /// Holds its code (docs/concentrator.md).
    pub code: u8,
    /// Holds the rest in A-XDR.
    pub detail: Vec<u8>,
}

/// What a feeder's phase was supplied in an interval, and what its meters counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supply {
    /// Says when the interval ended, by the concentrator's clock.
    pub at: Timestamp,
    /// Names the feeder.
    pub feeder: Feeder,
    /// Names the phase.
    pub phase: Phase,
    /// Holds the Wh that went in, where the concentrator meters it.
    pub supplied_wh: Option<i64>,
    /// Holds the Wh that the meters counted.
    pub metered_wh: i64,
    /// Counts the meters.
    pub meters: u32,
}

/// How many intervals of its load profile a meter has on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayCount {
    /// Names the meter.
    pub meter: MeterId,
    /// Names the day.
    pub day: Day,
    /// Counts the intervals.
    pub received: u32,
}

/// Rows of one layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileSlice {
    /// Says what the columns are.
    pub layout: ProfileLayout,
    /// Holds the rows in ascending order.
    pub rows: Vec<Interval>,
    /// Names the concentrator of each row that one read on its own, by the second in which its
    /// interval begins.
    pub via: BTreeMap<i64, MeterId>,
}

/// A hole in a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Holds start of the first and end of the last missing interval, in seconds.
    pub range: Range<i64>,
    /// Counts the missing intervals.
    pub intervals: u32,
    /// Holds how often the meter was asked for just this and did not have it, and when last.
    pub refused: Option<(u32, Timestamp)>,
}

/// The totals of one meter's day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayTotal {
    /// Names the meter.
    pub meter: MeterId,
    /// Counts the intervals.
    pub received: u32,
    /// Holds, per channel (the first four), what the day added; `None` where it cannot be told.
    pub totals: [Option<i64>; TOTALS],
    /// Holds, per channel, the register's state at the end of the day.
    pub closes: [Option<i64>; TOTALS],
    /// Counts the intervals that a concentrator read on its own.
    pub via: u32,
}

/// The number of channels that have a total beside the block.
pub const TOTALS: usize = 4;

/// One version of a day's block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockVersion {
    /// Holds the version, from 1.
    pub version: u32,
    /// Says when it was stored.
    pub at: Timestamp,
    /// Holds its rows.
    pub rows: DayRows,
}

/// Names one invocation counter: the client's sending counter towards a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CounterKey {
    /// Names the meter; of a key that many meters share, the key: with 2^62 or more.
    pub meter: MeterId,
    /// Holds the client SAP.
    pub client: u16,
}

/// Figures about the store itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreFigures {
    /// Counts commits since start.
    pub commits: u64,
    /// Counts writes since start.
    pub writes: u64,
    /// Counts profile rows added since start.
    pub rows: u64,
    /// Counts writes that wait.
    pub waiting: u64,
}

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
    /// A stored block is damaged.
    #[error("the stored block of meter {meter}, day {day}, is damaged")]
    Damaged {
        /// Names the meter.
        meter: MeterId,
        /// Names the day.
        day: Day,
        /// Says what is wrong with it.
        #[source]
        source: CodecError,
    },
    /// A stored value is out of its range.
    #[error("the stored {0} is out of its range")]
    DamagedValue(&'static str),
    /// The invocation counter has no values left: the key must be changed.
    #[error("the invocation counter of this key is used up: change the key")]
    CounterExhausted,
    /// The folder or a file in it cannot be used.
    #[error("{what}")]
    Folder {
        /// Says what cannot be done.
        what: &'static str,
        /// Says why.
        #[source]
        source: std::io::Error,
    },
    /// Another process has this folder open.
    #[error("another process uses this data folder: stop it first, or choose another with --data")]
    InUse,
    /// The database was made by a later version of this program.
    #[error(
        "the database has schema {found}, this version knows up to {known}: use the newer program"
    )]
    NewerSchema {
        /// Holds the schema found.
        found: i64,
        /// Holds the newest schema known.
        known: i64,
    },
    /// The transaction that held this write could not be committed: nothing was stored.
    #[error("the write could not be made durable: nothing was stored")]
    NotCommitted,
    /// The database is none of ours.
    #[error("the file is no Gridward database")]
    NotOurs,
    /// The site's zone is another than the one the store was made with.
    #[error(
        "the store was made for zone {stored}, the configuration says {configured}: days would shift"
    )]
    OtherZone {
        /// Holds the zone of the store.
        stored: String,
        /// Holds the zone configured.
        configured: String,
    },
    /// The database engine failed.
    #[error("the database failed")]
    Sql(#[source] SqlError),
    /// A meter and a concentrator cannot have the same name.
    #[error("{0} is enrolled already, as a device of another kind")]
    OtherKind(LogicalDeviceName),
    /// A sweep is beyond the bounds of one.
    #[error("the sweep has too many rows or a layout that cannot be stored")]
    TooMuch,
    /// The registry has no such meter.
    #[error("the registry has no meter {0}")]
    UnknownMeter(MeterId),
}

/// An error of the database engine.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SqlError(rusqlite::Error);

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(SqlError(error))
    }
}
