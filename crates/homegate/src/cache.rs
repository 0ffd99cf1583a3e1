//! What the meter told last, with when and how sure: the one thing that poller
//! and server share.
//!
//! Nothing here ever becomes zero, older or smaller by itself: a total that
//! shrinks, a value older than the one at hand and a value without a unit are
//! counted and left out.

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
    state: Mutex<Snapshot>,
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
        self.lock().clone()
    }

    /// Takes over which meter it was and where its registers stood before a
    /// restart: less than that is not believed of this meter.
    pub fn restore(&self, before: &Snapshot) {
        let mut state = self.lock();
        if state.meter.is_none() && state.counters.reports == 0 {
            state.meter.clone_from(&before.meter);
            state.delivered = before.delivered;
            state.received = before.received;
        }
    }

    /// Takes a report in that was received at `received`.
    /// `standard_offset_minutes` is the place's offset from UTC without
    /// daylight saving, for meters that tell local time.
    pub fn take(&self, report: &Report, received: Timestamp, standard_offset_minutes: Option<i16>) {
        let told = report
            .time
            .filter(|time| time.trust == Trust::Good)
            .and_then(|time| Some((time.instant(standard_offset_minutes)?, time.error_ms)));
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
        // Another meter counts anew.
        if let Some(meter) = &report.meter
            && state.meter.as_ref() != Some(meter)
        {
            if state.meter.is_some() {
                state.net_power = None;
                state.delivered = None;
                state.received = None;
            }
            state.meter = Some(meter.clone());
        }
        let Snapshot {
            net_power: own_power,
            delivered: own_delivered,
            received: own_received,
            counters,
            ..
        } = &mut *state;
        counters.reports += 1;
        keep(own_power, net_power, false, counters);
        keep(own_delivered, delivered, true, counters);
        keep(own_received, exported, true, counters);
    }

    /// Tells whether the way to the meter is open.
    pub fn connected(&self, connected: bool) {
        let mut state = self.lock();
        if state.connected && !connected {
            state.counters.disconnections += 1;
        }
        state.connected = connected;
    }

    /// Takes the poller's counts over.
    pub fn counted(&self, polls: u64, lost: u64, late: u64) {
        let counters = &mut self.lock().counters;
        counters.polls = polls;
        counters.lost = lost;
        counters.late = late;
    }

    /// Whoever panicked held nothing half done: each change is whole.
    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far the receipt of a value may be from its measurement: the meter's own
/// time is not told, so half a poll is assumed.
const RECEIPT_ERROR_MS: u32 = 3_500;

fn keep(own: &mut Option<Tagged>, told: Option<Tagged>, is_total: bool, counters: &mut Counters) {
    let Some(told) = told else { return };
    if let Some(own) = own {
        // Times of two clocks do not compare.
        if own.basis == told.basis && told.at < own.at {
            counters.older += 1;
            return;
        }
        if is_total && told.thousandths < own.thousandths {
            counters.shrunk += 1;
            return;
        }
    }
    *own = Some(told);
}
