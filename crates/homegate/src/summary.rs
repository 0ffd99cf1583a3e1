//! What the page is told: made of cache, way, record, calendar and tariff.

use han::espi::{DateTimeInterval, SummaryMeasurement, UsageSummary, codes};
use model::Timestamp;

use crate::cache::{Snapshot, Tagged, TimeBasis};
use crate::calendar::{Calendar, parse_time, rfc3339};
use crate::history::{History, HistoryError, Registers};
use crate::recorder::{Record, round, whole};
use crate::shared::Way;
use crate::tariff::Tariff;
use crate::wire;

/// What stays the same while the gateway runs.
#[derive(Clone, Debug)]
pub struct Place {
    /// The zone.
    pub calendar: Calendar,
    /// What electricity costs.
    pub tariff: Option<Tariff>,
    /// How old a value may be that is current, in milliseconds.
    pub current_age_max_ms: i64,
    /// Seconds between polls.
    pub interval_s: u32,
}

/// How far readings around a moment may be apart that the registers are told
/// in between, and how far one may be that stands for the moment.
const SLACK_S: i64 = 900;
const NEAR_S: i64 = 900;

/// Times without readings that the page lists, and how long they are at least.
const GAPS_SHOWN: u32 = 8;
const GAP_SHOWN_MS: i64 = 60_000;

/// What costs time to find out, and does not change each second.
#[derive(Clone, Debug, Default)]
pub struct Periods {
    lowest: Option<wire::Extreme>,
    highest: Option<wire::Extreme>,
    today: Option<wire::Period>,
    yesterday: Option<wire::Period>,
    month: Option<wire::Period>,
    last_month: Option<wire::Period>,
    readings: Option<wire::Readings>,
    gaps: Vec<wire::Gap>,
}

impl Periods {
    /// Asks history. Blocks for some milliseconds.
    ///
    /// # Errors
    /// [`HistoryError`] where history cannot be read.
    pub fn of(
        record: &Record,
        place: &Place,
        way: &Way,
        now: Timestamp,
    ) -> Result<Self, HistoryError> {
        let Some(history) = record.history() else {
            return Ok(Self::default());
        };
        let calendar = &place.calendar;
        let (today, yesterday) = (calendar.day(now, 0), calendar.day(now, -1));
        let (month, before) = (calendar.month(now, 0), calendar.month(now, -1));
        let find = |from, to, same, fixed| period(history, place, from, to, same, fixed, now);
        let [lowest, highest] = history.extremes(today, now.plus_secs(60))?;
        let extreme = |found: Option<(i64, Timestamp)>| {
            found.map(|(w, at)| wire::Extreme { w, at: rfc3339(at) })
        };
        let readings = history.sum(today, now.plus_secs(60))?.readings;
        let passed = now.millis_since(today).max(0) / 1_000;
        Ok(Self {
            lowest: extreme(lowest),
            highest: extreme(highest),
            today: find(today, now, None, false)?,
            yesterday: find(yesterday, today, Some(calendar.away(now, -1, 0)), false)?,
            month: find(month, now, None, true)?,
            last_month: find(before, month, Some(calendar.away(now, 0, -1)), true)?,
            readings: Some(wire::Readings {
                received: readings,
                expected: (!way.pushes).then(|| {
                    let polls = passed / i64::from(place.interval_s.max(1));
                    polls.unsigned_abs().max(readings)
                }),
            }),
            gaps: gaps(record, today, now, now, GAP_SHOWN_MS, GAPS_SHOWN)?,
        })
    }
}

/// Tells times without readings, the one that is under way among them.
///
/// # Errors
/// [`HistoryError`] where history cannot be read.
pub fn gaps(
    record: &Record,
    from: Timestamp,
    to: Timestamp,
    now: Timestamp,
    least_ms: i64,
    most: u32,
) -> Result<Vec<wire::Gap>, HistoryError> {
    let mut gaps: Vec<wire::Gap> = match record.history() {
        None => Vec::new(),
        Some(history) => history
            .gaps(from, to, least_ms, most)?
            .into_iter()
            .map(|(from, to)| wire::Gap {
                from: rfc3339(from),
                to: Some(rfc3339(to)),
            })
            .collect(),
    };
    gaps.extend(open_gap(record, to, now, least_ms));
    Ok(gaps)
}

/// The time without readings that is under way.
fn open_gap(record: &Record, to: Timestamp, now: Timestamp, least_ms: i64) -> Option<wire::Gap> {
    let (last, gap_ms) = record.last();
    let last = last.filter(|last| *last < to)?;
    (now.millis_since(last) > gap_ms.max(least_ms)).then(|| wire::Gap {
        from: rfc3339(last),
        to: None,
    })
}

/// What was used from `from` to `to`, or so far.
fn period(
    history: &History,
    place: &Place,
    from: Timestamp,
    to: Timestamp,
    same: Option<Timestamp>,
    fixed: bool,
    now: Timestamp,
) -> Result<Option<wire::Period>, HistoryError> {
    let is_over = to < now;
    let Some((start, from_there)) = edge(history, from, to, false)? else {
        return Ok(None);
    };
    let (end, to_there) = if is_over {
        match edge(history, to, from, true)? {
            Some(found) => found,
            None => return Ok(None),
        }
    } else {
        match history.last_register(from, to.plus_secs(60))? {
            Some(found) => (found, true),
            None => return Ok(None),
        }
    };
    let by_now = match same.filter(|same| *same <= to) {
        Some(same) => history.register_at(same, SLACK_S, NEAR_S)?,
        None if same.is_some() => Some(end),
        None => None,
    };
    let cost = match &place.tariff {
        Some(tariff) => Some(cost(history, place, tariff, start, end, fixed)?),
        None => None,
    };
    Ok(Some(wire::Period {
        from: rfc3339(start.at),
        to: rfc3339(end.at),
        complete: from_there && to_there,
        delivered_wh: used(start.delivered, end.delivered),
        received_wh: used(start.received, end.received),
        delivered_by_now_wh: by_now.and_then(|by_now| used(start.delivered, by_now.delivered)),
        cost,
    }))
}

/// Tells what was used in the month so far and in the one before, today and
/// yesterday, as Green Button has it: of what is over, whole ones only.
///
/// # Errors
/// [`HistoryError`] where history cannot be read.
pub fn usage(
    history: &History,
    place: &Place,
    now: Timestamp,
) -> Result<Option<UsageSummary>, HistoryError> {
    let calendar = &place.calendar;
    let find = |from, to| period(history, place, from, to, None, false, now);
    let (begin, today) = (calendar.month(now, 0), calendar.day(now, 0));
    let Some(month) = find(begin, now)? else {
        return Ok(None);
    };
    let measured = |period: &wire::Period| {
        Some(SummaryMeasurement {
            power_of_ten_multiplier: Some(0),
            time_stamp: parse_time(&period.to).map(Timestamp::secs),
            uom: Some(codes::UOM_WATT_HOUR),
            value: Some(period.delivered_wh?),
            ..SummaryMeasurement::default()
        })
    };
    let whole = |found: Option<wire::Period>| {
        found
            .filter(|period| period.complete)
            .and_then(|period| measured(&period))
    };
    // As long as it was looked at: the gateway may have come within the month.
    let from = parse_time(&month.from).unwrap_or(begin);
    let until = parse_time(&month.to).unwrap_or(now);
    let seconds = until.millis_since(from).max(0) / 1_000;
    Ok(Some(UsageSummary {
        billing_period: Some(DateTimeInterval {
            duration: u32::try_from(seconds).unwrap_or(0),
            start: from.secs(),
        }),
        overall_consumption_last_period: whole(find(calendar.month(now, -1), begin)?),
        current_billing_period_over_all_consumption: measured(&month),
        current_day_overall_consumption: whole(find(today, now)?),
        previous_day_overall_consumption: whole(find(calendar.day(now, -1), today)?),
        quality_of_reading: Some(codes::QUALITY_RAW),
        status_time_stamp: until.secs(),
        commodity: Some(codes::COMMODITY_ELECTRICITY_SECONDARY),
        ..UsageSummary::default()
    }))
}

/// The registers at `at`, or the nearest towards `other` where nothing is known
/// then, and which of both it is.
fn edge(
    history: &History,
    at: Timestamp,
    other: Timestamp,
    is_end: bool,
) -> Result<Option<(Registers, bool)>, HistoryError> {
    if let Some(found) = history.register_at(at, SLACK_S, NEAR_S)? {
        return Ok(Some((Registers { at, ..found }, true)));
    }
    let found = if is_end {
        history.last_register(other, at)?
    } else {
        history.first_register(at, other)?
    };
    Ok(found.map(|found| (found, false)))
}

/// Energy between two states of a register; nothing where it shrank.
#[must_use]
pub fn used(from: Option<i64>, to: Option<i64>) -> Option<i64> {
    let used = to?.checked_sub(from?)?;
    (used >= 0).then(|| round(used))
}

/// Spans of one price that are looked at for one cost: two months of sixteen
/// edges a day.
const SPANS_MAX: usize = 1_000;

fn cost(
    history: &History,
    place: &Place,
    tariff: &Tariff,
    start: Registers,
    end: Registers,
    fixed: bool,
) -> Result<wire::Cost, HistoryError> {
    let mut energies = vec![0_i64; tariff.bands.len()];
    let mut from = start;
    for _ in 0..SPANS_MAX {
        if from.at >= end.at {
            break;
        }
        let edge = tariff.edge(from.at, &place.calendar);
        let to = if edge >= end.at {
            end
        } else {
            let unknown = Registers {
                at: edge,
                delivered: None,
                received: None,
            };
            match history.register_at(edge, SLACK_S, NEAR_S)? {
                Some(found) => Registers { at: edge, ..found },
                None => unknown,
            }
        };
        if let (Some((band, _)), Some(from), Some(to)) = (
            tariff.at(from.at, &place.calendar),
            from.delivered,
            to.delivered,
        ) && let Some(energy) = energies.get_mut(band)
        {
            *energy = energy.saturating_add(to.saturating_sub(from).max(0));
        }
        from = to;
    }
    let total_wh = used(start.delivered, end.delivered).unwrap_or(0);
    let parts: Vec<wire::CostPart> = tariff
        .bands
        .iter()
        .zip(&energies)
        .map(|(band, energy)| wire::CostPart {
            name: band.name.clone(),
            wh: round(*energy),
            cost: cents(kilo(*energy) * band.per_kwh),
        })
        .collect();
    let priced: i64 = energies.iter().sum();
    let fixed = if fixed { tariff.fixed_per_month } else { 0.0 };
    Ok(wire::Cost {
        total: cents(fixed + parts.iter().map(|part| part.cost).sum::<f64>()),
        fixed,
        parts,
        currency: tariff.currency.clone(),
        unpriced_wh: total_wh.saturating_sub(round(priced)).max(0),
    })
}

/// Thousandths of watt hours as kilowatt hours.
#[expect(
    clippy::cast_precision_loss,
    reason = "a price of energy needs no more than 52 bits"
)]
fn kilo(thousandths: i64) -> f64 {
    thousandths as f64 / 1e6
}

/// Rounds to hundredths.
fn cents(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}

/// Puts the state of the moment together.
#[must_use]
pub fn state(
    snapshot: &Snapshot,
    way: &Way,
    place: &Place,
    periods: &Periods,
    now: Timestamp,
) -> wire::State {
    let power = power(snapshot, place, now);
    let price = place.tariff.as_ref().and_then(|tariff| {
        let (_, band) = tariff.at(now, &place.calendar)?;
        Some(wire::Price {
            name: band.name.clone(),
            per_kwh: band.per_kwh,
            currency: tariff.currency.clone(),
            until: tariff.change(now, &place.calendar).map(rfc3339),
        })
    });
    let register = |tagged: Option<Tagged>| {
        tagged.map(|tagged| wire::Register {
            wh: whole(tagged),
            at: rfc3339(tagged.at),
            stale: now.millis_since(tagged.received) > place.current_age_max_ms,
        })
    };
    let fresh = |last: Timestamp| now.millis_since(last) <= place.current_age_max_ms;
    let counted = snapshot.counters;
    wire::State {
        now: rfc3339(now),
        power,
        price,
        lowest_today: periods.lowest.clone(),
        highest_today: periods.highest.clone(),
        meter: wire::Meter {
            id: snapshot.meter.clone(),
            state: match way.last {
                None => wire::MeterState::Unknown,
                Some(last) if fresh(last) => wire::MeterState::Answers,
                Some(_) => wire::MeterState::Silent,
            },
            last: way.last.map(rfc3339),
        },
        link: wire::Link {
            source: way.source.clone(),
            open: snapshot.connected,
            since: rfc3339(way.since),
            pushes: way.pushes,
            interval_s: (!way.pushes).then_some(place.interval_s),
            reason: way.reason.clone(),
        },
        counters: wire::Counters {
            total: if way.pushes {
                counted.reports
            } else {
                counted.polls
            },
            lost: if way.pushes { way.unread } else { counted.lost },
            late: counted.late,
            older: counted.older,
            shrunk: counted.shrunk,
            disconnections: counted.disconnections,
        },
        registers: wire::Registers {
            delivered: register(snapshot.delivered),
            received: register(snapshot.received),
        },
        today: periods.today.clone(),
        yesterday: periods.yesterday.clone(),
        month: periods.month.clone(),
        last_month: periods.last_month.clone(),
        readings_today: periods.readings,
        missing_today: periods.gaps.clone(),
    }
}

/// Power now; nothing where it is stale.
#[must_use]
pub fn power(snapshot: &Snapshot, place: &Place, now: Timestamp) -> Option<wire::Power> {
    let tagged = snapshot.current_power(now, place.current_age_max_ms)?;
    let price = place
        .tariff
        .as_ref()
        .and_then(|tariff| tariff.at(now, &place.calendar))
        .filter(|_| tagged.thousandths >= 0);
    Some(wire::Power {
        w: whole(tagged),
        at: rfc3339(tagged.at),
        error_ms: tagged.error_ms,
        basis: match tagged.basis {
            TimeBasis::Meter => wire::Basis::Meter,
            TimeBasis::Receipt => wire::Basis::Receipt,
        },
        received: rfc3339(tagged.received),
        cost_per_hour: price.map(|(_, band)| cents(kilo(tagged.thousandths) * band.per_kwh)),
    })
}

/// The steps of history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// As it was read.
    Raw,
    /// A minute.
    Minute,
    /// Fifteen of them.
    Quarter,
    /// An hour.
    Hour,
    /// A civil day.
    Day,
}

impl Step {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 5] = [
        ("raw", Self::Raw),
        ("1m", Self::Minute),
        ("15m", Self::Quarter),
        ("1h", Self::Hour),
        ("1d", Self::Day),
    ];

    /// Its length, about, in seconds.
    #[must_use]
    pub const fn secs(self) -> i64 {
        match self {
            Self::Raw => 1,
            Self::Minute => 60,
            Self::Quarter => 900,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }
}

/// Intervals of one answer, at most.
pub const INTERVALS_MAX: i64 = 1_500;

/// The same, with those at both ends that are not whole.
const SLOTS_MAX: usize = 1_502;

/// Times without readings of one answer, at most.
const GAPS_MAX: u32 = 1_000;

/// One interval of history, in thousandths of watt hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// When it begins.
    pub from: Timestamp,
    /// When it ends.
    pub to: Timestamp,
    /// Energy from the grid.
    pub delivered: Option<i64>,
    /// Energy to the grid.
    pub received: Option<i64>,
}

/// Cuts a time into intervals, and tells the energy of each. Those that begin
/// in the future are left out.
///
/// # Errors
/// [`HistoryError`] where history cannot be read.
pub fn slots(
    history: &History,
    calendar: &Calendar,
    from: Timestamp,
    to: Timestamp,
    step: Step,
    now: Timestamp,
    most: usize,
) -> Result<Vec<Slot>, HistoryError> {
    let (slack, near) = match step {
        Step::Raw | Step::Minute => (120, 30),
        Step::Quarter => (180, 90),
        Step::Hour => (720, 360),
        Step::Day => (SLACK_S, NEAR_S),
    };
    let next = |at: Timestamp| match step {
        Step::Day => calendar.day(at, 1),
        _ => Timestamp::from_secs(
            (at.secs().div_euclid(step.secs()) + 1).saturating_mul(step.secs()),
        ),
    };
    let mut slots = Vec::new();
    let mut at = from;
    let mut register = history.register_at(at, slack, near)?;
    for _ in 0..most {
        if at >= to || at >= now {
            break;
        }
        let end = next(at).min(to);
        let then = if end > now {
            history.last_register(at, now.plus_secs(60))?
        } else {
            history.register_at(end, slack, near)?
        };
        let added = |of: fn(&Registers) -> Option<i64>| {
            let (from, to) = (of(register.as_ref()?)?, of(then.as_ref()?)?);
            to.checked_sub(from).filter(|added| *added >= 0)
        };
        slots.push(Slot {
            from: at,
            to: end,
            delivered: added(|registers| registers.delivered),
            received: added(|registers| registers.received),
        });
        register = then;
        at = end;
    }
    Ok(slots)
}

/// Tells history.
///
/// # Errors
/// [`HistoryError`] where it cannot be read.
pub fn history(
    record: &Record,
    calendar: &Calendar,
    from: Timestamp,
    to: Timestamp,
    step: (&'static str, Step),
    now: Timestamp,
) -> Result<wire::History, HistoryError> {
    let (name, step) = step;
    let mut intervals = Vec::new();
    let mut missing = Vec::new();
    match record.history().filter(|_| step != Step::Raw) {
        None => {
            for (at, w) in record.recent(from, to) {
                intervals.push(wire::Interval {
                    t: rfc3339(at),
                    delivered_wh: None,
                    received_wh: None,
                    w: Some(w),
                    w_min: None,
                    w_max: None,
                    readings: 1,
                    partial: false,
                });
            }
            let ended = record.recent_gaps(from, to).into_iter();
            missing.extend(ended.map(|(from, to)| wire::Gap {
                from: rfc3339(from),
                to: Some(rfc3339(to)),
            }));
            missing.extend(open_gap(record, to, now, 0));
        }
        Some(kept) => {
            for slot in slots(kept, calendar, from, to, step, now, SLOTS_MAX)? {
                let sum = kept.sum(slot.from, slot.to)?;
                intervals.push(wire::Interval {
                    t: rfc3339(slot.from),
                    delivered_wh: slot.delivered.map(round),
                    received_wh: slot.received.map(round),
                    w: sum.watts,
                    w_min: sum.watts_min,
                    w_max: sum.watts_max,
                    readings: sum.readings,
                    partial: slot.to > now,
                });
            }
            let least_ms = step.secs() * 1_000 / 60;
            missing = gaps(record, from, to, now, least_ms, GAPS_MAX)?;
        }
    }
    Ok(wire::History {
        from: rfc3339(from),
        to: rfc3339(to),
        now: rfc3339(now),
        step: name.to_owned(),
        intervals,
        gaps: missing,
    })
}
