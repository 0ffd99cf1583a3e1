//! What the meter told last, with when and how sure: the one thing that poller
//! and server share.
//!
//! Nothing here ever becomes zero, older or smaller by itself: a total that
//! shrinks or grows faster than any home can draw, a value older than the one
//! at hand and a value without a unit are counted and left out. What goes on
//! saying so is believed in the end: a clock was set, or a meter exchanged.

use std::sync::{Mutex, MutexGuard, PoisonError};

use dlms::cosem::{Scaled, Unit};
use han::measure::{self, Report, Trust};
use model::Timestamp;

/// The power of ten at which values are kept: thousandths of a watt or of a
/// watt hour.
const SCALER: i8 = -3;

/// A value with when it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// Thousandths of a watt, or of a watt hour.
    pub thousandths: i64,
    /// When it held.
    pub at: Timestamp,
    /// How far `at` may be off, in milliseconds either way.
    pub error_ms: u32,
    /// Whose time that is.
    pub basis: TimeBasis,
    /// When it was received, by the gateway's clock.
    pub received: Timestamp,
}

/// Whose time a value is tagged with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimeBasis {
    /// The meter told when it read itself.
    Meter,
    /// The meter told none: when it was received.
    Receipt,
}

/// What poller and ports have counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Polls sent.
    pub polls: u64,
    /// Of those, without an answer in time.
    pub lost: u64,
    /// Answers that came after that.
    pub late: u64,
    /// Reports taken in.
    pub reports: u64,
    /// Values that were older than the one at hand.
    pub older: u64,
    /// Totals that were smaller than the one at hand.
    pub shrunk: u64,
    /// Totals that were larger than what could have been used since the one at
    /// hand.
    pub jumped: u64,
    /// Times that the way to the meter was lost.
    pub disconnections: u64,
}

/// All that the gateway knows of the present.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Which meter it is.
    pub meter: Option<String>,
    /// Power from the grid less power to it.
    pub net_power: Option<Tagged>,
    /// The register of energy from the grid.
    pub delivered: Option<Tagged>,
    /// The register of energy to the grid.
    pub received: Option<Tagged>,
    /// Whether the way to the meter is open.
    pub connected: bool,
    /// What was counted.
    pub counters: Counters,
}

impl Snapshot {
    /// Power, unless it is older than `age_ms`: what is stale is not current.
    #[must_use]
    pub fn current_power(&self, now: Timestamp, age_ms: i64) -> Option<Tagged> {
        self.net_power
            .filter(|power| now.millis_since(power.received) <= age_ms)
    }
}

/// The cache.
#[derive(Debug, Default)]
pub struct Cache {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: Snapshot,
    /// What the meter tells of either register instead of what is known.
    delivered: Option<Rival>,
    received: Option<Rival>,
}

/// Totals in a row that do not fit the one at hand, and fit each other.
#[derive(Clone, Copy, Debug)]
struct Rival {
    last: Tagged,
    /// When the first of them was received.
    since: Timestamp,
    count: u32,
}

impl Cache {
    /// Starts with nothing known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Copies all that is known.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.lock().known.clone()
    }

    /// Takes over which meter it was and where its registers stood before a
    /// restart: less than that is not believed of this meter.
    pub fn restore(&self, before: &Snapshot) {
        let state = &mut self.lock().known;
        if state.meter.is_none() && state.counters.reports == 0 {
            state.meter.clone_from(&before.meter);
            state.delivered = before.delivered;
            state.received = before.received;
        }
    }

    /// Takes a report in that was received at `received`. The meter's own time
    /// counts where it is within an hour of that, else the time of receipt.
    /// `standard_offset_minutes` is the place's offset from UTC without
    /// daylight saving, for meters that tell local time.
    pub fn take(&self, report: &Report, received: Timestamp, standard_offset_minutes: Option<i16>) {
        let told = report
            .time
            .filter(|time| time.trust == Trust::Good)
            .and_then(|time| Some((time.instant(standard_offset_minutes)?, time.error_ms)))
            .filter(|(at, _)| at.millis_since(received).saturating_abs() <= BELIEVED_MS);
        let (at, error_ms, basis) = match told {
            Some((at, error_ms)) => (at, error_ms, TimeBasis::Meter),
            None => (received, RECEIPT_ERROR_MS, TimeBasis::Receipt),
        };
        let tagged = |quantity: Option<Scaled>, unit: Unit| {
            let quantity = quantity.filter(|quantity| quantity.unit == unit)?;
            let thousandths = i64::try_from(measure::at_scaler(quantity, SCALER)?).ok()?;
            Some(Tagged {
                thousandths,
                at,
                error_ms,
                basis,
                received,
            })
        };
        let net_power = tagged(report.net_power(), Unit::WATT);
        let delivered = tagged(report.total(1), Unit::WATT_HOUR);
        let exported = tagged(report.total(2), Unit::WATT_HOUR);

        let mut state = self.lock();
        let State {
            known,
            delivered: rival_delivered,
            received: rival_received,
        } = &mut *state;
        // Another meter counts anew.
        if let Some(meter) = &report.meter
            && known.meter.as_ref() != Some(meter)
        {
            if known.meter.is_some() {
                known.net_power = None;
                known.delivered = None;
                known.received = None;
                *rival_delivered = None;
                *rival_received = None;
            }
            known.meter = Some(meter.clone());
        }
        let counters = &mut known.counters;
        counters.reports += 1;
        if let Some(told) = net_power {
            match &known.net_power {
                Some(own) if is_older(own, &told) => counters.older += 1,
                _ => known.net_power = Some(told),
            }
        }
        keep(&mut known.delivered, rival_delivered, delivered, counters);
        keep(&mut known.received, rival_received, exported, counters);
    }

    /// Tells whether the way to the meter is open.
    pub fn connected(&self, connected: bool) {
        let state = &mut self.lock().known;
        if state.connected && !connected {
            state.counters.disconnections += 1;
        }
        state.connected = connected;
    }

    /// Takes the poller's counts over.
    pub fn counted(&self, polls: u64, lost: u64, late: u64) {
        let counters = &mut self.lock().known.counters;
        counters.polls = polls;
        counters.lost = lost;
        counters.late = late;
    }

    /// Whoever panicked held nothing half done: each change is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far the receipt of a value may be from its measurement: the meter's own
/// time is not told, so half a poll is assumed.
const RECEIPT_ERROR_MS: u32 = 3_500;

/// A meter's time that is farther from the gateway's is not believed.
pub(crate) const BELIEVED_MS: i64 = 3_600_000;

/// For so long after a value an older one is left out. A meter whose clock was
/// set back goes on telling older times, and is believed from then on.
const OLDER_MS: i64 = 60_000;

/// The greatest power that is believed of a home, in watts: more than a
/// connection of 100 A in three phases carries, which is 69 kW.
const POWER_MAX_W: i64 = 100_000;

/// What a total may grow by at any time, in thousandths of a watt hour:
/// registers are told in steps of up to a kilowatt hour.
const STEP_MAX: i64 = 2_000_000;

/// No register of a home stands higher, in thousandths of a watt hour: 20 GWh
/// are the greatest power for 22 years.
const TOTAL_MAX: i64 = 20_000_000_000_000;

/// Totals in a row that fit each other until they are believed against the one
/// at hand.
const RIVALS: u32 = 3;

/// For how long a smaller total must be told, in milliseconds: a meter that
/// was exchanged goes on with it, one after a power cut does not.
const SMALLER_MS: i64 = 6 * 3_600_000;

/// Tells whether a value is older than the one at hand. Times of two clocks do
/// not compare, and what was received later is never older by receipt.
fn is_older(own: &Tagged, told: &Tagged) -> bool {
    own.basis == TimeBasis::Meter
        && told.basis == TimeBasis::Meter
        && told.at < own.at
        && (0..OLDER_MS).contains(&told.received.millis_since(own.received))
}

/// How a total follows another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It grew by what can have been used.
    Grown,
    /// It is smaller.
    Shrunk,
    /// It grew by more.
    Jumped,
}

fn step(own: &Tagged, told: &Tagged) -> Step {
    if told.thousandths < own.thousandths {
        return Step::Shrunk;
    }
    let elapsed_ms = told.received.millis_since(own.received).max(0);
    let used = elapsed_ms.saturating_mul(POWER_MAX_W) / 3_600;
    if told.thousandths.saturating_sub(own.thousandths) <= used.saturating_add(STEP_MAX) {
        Step::Grown
    } else {
        Step::Jumped
    }
}

/// Keeps a total where it can be one.
fn keep(
    own: &mut Option<Tagged>,
    rival: &mut Option<Rival>,
    told: Option<Tagged>,
    counters: &mut Counters,
) {
    let Some(told) = told else { return };
    if told.thousandths > TOTAL_MAX {
        counters.jumped += 1;
        return;
    }
    let Some(known) = own else {
        *own = Some(told);
        return;
    };
    if is_older(known, &told) {
        counters.older += 1;
        return;
    }
    let step = step(known, &told);
    if step == Step::Grown {
        *known = told;
        *rival = None;
        return;
    }
    let fits = |last: &Rival| self::step(&last.last, &told) == Step::Grown;
    let first = Rival {
        last: told,
        since: told.received,
        count: 1,
    };
    // A zero is no register's, however often it is told.
    let now = (told.thousandths > 0).then(|| match rival.filter(fits) {
        Some(before) => Rival {
            last: told,
            count: before.count.saturating_add(1),
            ..before
        },
        None => first,
    });
    let is_believed = now.is_some_and(|now| {
        let lasted_ms = told.received.millis_since(now.since);
        now.count >= RIVALS && (step == Step::Jumped || lasted_ms >= SMALLER_MS)
    });
    if is_believed {
        tracing::warn!("a register of the meter stands elsewhere for good: it is believed now");
        *known = told;
        *rival = None;
        return;
    }
    *rival = now;
    match step {
        Step::Shrunk => counters.shrunk += 1,
        Step::Grown | Step::Jumped => counters.jumped += 1,
    }
}
