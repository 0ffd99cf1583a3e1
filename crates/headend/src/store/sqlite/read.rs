//! Queries.

use dlms::cosem::Obis;
use dlms::security::SystemTitle;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use dlms::security::CounterRecord;
use model::{
    BreakerState, Event, EventSource, Interval, IntervalStatus, LogicalDeviceName, MeterId,
    Timestamp,
};
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};

use crate::calendar::{Calendar, Day, DayBounds};
use crate::campaigns::Kept;
use crate::store::{
    BlockVersion, Channel, ClockReading, Conflict, CounterKey, DayCount, DayRows, DayTotal,
    DeviceKind, Enrolment, Failing, Failure, Gap, Meter, MeterState, Notice, ProfileLayout,
    ProfileSlice, Protection, RegisterReading, RegisterRow, RegisterValue, Row, StoreError, Supply,
    TOTALS, WrappedClient,
};

use super::write::told::is_set;

/// The period assumed for a meter that never told its own: 15 minutes.
const PERIOD_ASSUMED_S: u32 = 900;
/// The greatest number of days that one query walks.
const DAYS_MAX: i32 = 800;
const EVENTS_MAX: u32 = 100_000;

pub(super) fn meters(connection: &Connection, kind: DeviceKind) -> Result<Vec<Meter>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT no, m.name, system_title, endpoint, server, m.client, place, feeder, phase,
                load_profile, enrolled, expected_from, period, c.since, c.mechanism, c.suite
         FROM meter m LEFT JOIN client c ON c.name = m.name AND c.client = m.client
         WHERE m.kind = ?1 ORDER BY no",
    )?;
    let mut rows = statement.query([kind.code()])?;
    let mut meters = Vec::new();
    while let Some(row) = rows.next()? {
        meters.push(meter(row)?);
    }
    Ok(meters)
}

fn meter(row: &SqlRow<'_>) -> Result<Meter, StoreError> {
    let title: Option<[u8; 8]> = row.get(2)?;
    let text = |index| row.get::<_, String>(index);
    Ok(Meter {
        id: id(row.get(0)?)?,
        enrolment: Enrolment {
            name: name(&text(1)?)?,
            system_title: title.map(SystemTitle),
            endpoint: text(3)?,
            server: row.get(4)?,
            client: row.get(5)?,
            place: text(6)?
                .parse()
                .map_err(|_| StoreError::DamagedValue("place"))?,
            feeder: row
                .get::<_, Option<String>>(7)?
                .map(|feeder| feeder.parse())
                .transpose()
                .map_err(|_| StoreError::DamagedValue("feeder"))?,
            phase: row
                .get::<_, Option<String>>(8)?
                .map(|phase| phase.parse())
                .transpose()
                .map_err(|_| StoreError::DamagedValue("phase"))?,
            load_profile: Obis(row.get(9)?),
            secrets: Vec::new(),
        },
        enrolled: Timestamp::from_millis(row.get(10)?),
        expected_from: Timestamp::from_secs(row.get(11)?),
        period_s: row.get(12)?,
        protection: match row.get::<_, Option<i64>>(13)? {
            None => None,
            Some(since) => Some(Protection {
                mechanism: row.get(14)?,
                suite: row.get(15)?,
                since: Timestamp::from_millis(since),
            }),
        },
    })
}

pub(super) fn states(connection: &Connection) -> Result<BTreeMap<MeterId, MeterState>, StoreError> {
    let mut statement = connection.prepare_cached(STATE_COLUMNS)?;
    let mut rows = statement.query(())?;
    let mut states = BTreeMap::new();
    while let Some(row) = rows.next()? {
        states.insert(id(row.get(14)?)?, state_row(row)?);
    }
    Ok(states)
}

const STATE_COLUMNS: &str = "SELECT reached, failing_since, attempts, reason, newest, rtt, breaker,
    breaker_at, clock_offset, clock_zone, clock_at, firmware, power, power_at, meter FROM state";

pub(super) fn state(connection: &Connection, meter: MeterId) -> Result<MeterState, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT reached, failing_since, attempts, reason, newest, rtt, breaker, breaker_at,
             clock_offset, clock_zone, clock_at, firmware, power, power_at, meter
         FROM state WHERE meter = ?1",
    )?;
    let mut rows = statement.query([number(meter)])?;
    rows.next()?
        .map_or_else(|| Ok(MeterState::default()), state_row)
}

fn state_row(row: &SqlRow<'_>) -> Result<MeterState, StoreError> {
    let time = |index| {
        row.get::<_, Option<i64>>(index)
            .map(|at| at.map(Timestamp::from_millis))
    };
    let reason = row.get::<_, Option<u8>>(3)?.and_then(Failure::from_code);
    let failing = match (time(1)?, row.get::<_, Option<u32>>(2)?, reason) {
        (Some(since), Some(attempts), Some(reason)) => Some(Failing {
            since,
            attempts,
            reason,
        }),
        _ => None,
    };
    let breaker = row
        .get::<_, Option<u8>>(6)?
        .map(BreakerState::from_control_state);
    let clock = match (row.get::<_, Option<i64>>(8)?, time(10)?) {
        (Some(offset_ms), Some(at)) => Some(ClockReading {
            offset_ms,
            zone_min: row.get(9)?,
            at,
        }),
        _ => None,
    };
    Ok(MeterState {
        reached: time(0)?,
        failing,
        newest: time(4)?,
        rtt_us: row.get(5)?,
        breaker: breaker.zip(time(7)?),
        clock,
        firmware: row.get(11)?,
        power: row.get::<_, Option<i64>>(12)?.zip(time(13)?),
    })
}

pub(super) fn day_counts(connection: &Connection, from: Day) -> Result<Vec<DayCount>, StoreError> {
    let objects = profile_objects(connection)?;
    let mut wanted: BTreeMap<i64, Obis> = BTreeMap::new();
    let mut statement = connection.prepare_cached("SELECT no, load_profile FROM meter")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        wanted.insert(row.get(0)?, Obis(row.get(1)?));
    }
    let mut statement = connection.prepare_cached(
        "SELECT day, meter, profile, n FROM day_count WHERE day >= ?1 ORDER BY day, meter",
    )?;
    let mut rows = statement.query([from.number()])?;
    let mut counts: Vec<DayCount> = Vec::new();
    while let Some(row) = rows.next()? {
        let (no, profile): (i64, i64) = (row.get(1)?, row.get(2)?);
        if wanted.get(&no) != objects.get(&profile) {
            continue;
        }
        let (meter, day) = (id(no)?, Day::new(row.get(0)?));
        let received: u32 = row.get(3)?;
        match counts.last_mut() {
            Some(last) if last.meter == meter && last.day == day => last.received += received,
            _ => counts.push(DayCount {
                meter,
                day,
                received,
            }),
        }
    }
    Ok(counts)
}

pub(super) fn events_since(
    connection: &Connection,
    since: Timestamp,
) -> Result<Vec<(MeterId, Event)>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT at, log, code, via, meter FROM event WHERE at >= ?1 ORDER BY at LIMIT ?2",
    )?;
    let mut rows = statement.query(params![since.millis(), EVENTS_MAX])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push((id(row.get(4)?)?, event(row)?));
    }
    Ok(events)
}

pub(super) fn events(
    connection: &Connection,
    meter: MeterId,
    before: Option<Timestamp>,
    limit: u32,
) -> Result<(u64, Vec<Event>), StoreError> {
    let total: i64 = connection
        .prepare_cached("SELECT count(*) FROM event WHERE meter = ?1")?
        .query_row([number(meter)], |row| row.get(0))?;
    let mut statement = connection.prepare_cached(
        "SELECT at, log, code, via FROM event WHERE meter = ?1 AND at < ?2
         ORDER BY at DESC, log, code LIMIT ?3",
    )?;
    let before = before.map_or(i64::MAX, Timestamp::millis);
    let mut rows = statement.query(params![number(meter), before, limit.min(EVENTS_MAX)])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(event(row)?);
    }
    Ok((u64::try_from(total).unwrap_or(0), events))
}

fn event(row: &SqlRow<'_>) -> Result<Event, StoreError> {
    let log: Vec<u8> = row.get(1)?;
    let log = match log.as_slice() {
        [] => None,
        log => Some(Obis::try_from(log).map_err(|_| StoreError::DamagedValue("event log"))?),
    };
    let source = match (row.get::<_, Option<i64>>(3)?, log) {
        (Some(by), log) => EventSource::Concentrator { by: id(by)?, log },
        (None, Some(log)) => EventSource::Meter(log),
        (None, None) => EventSource::HeadEnd,
    };
    Ok(Event {
        at: Timestamp::from_millis(row.get(0)?),
        source,
        code: row.get(2)?,
    })
}

pub(super) fn registers(
    connection: &Connection,
    meter: MeterId,
) -> Result<Vec<RegisterRow>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT object, attribute, value, scaler, unit, text, at, earlier, earlier_at
         FROM register WHERE meter = ?1 ORDER BY object, attribute",
    )?;
    let mut rows = statement.query([number(meter)])?;
    let mut registers = Vec::new();
    while let Some(row) = rows.next()? {
        let value = match row.get::<_, Option<i64>>(2)? {
            Some(value) => RegisterValue::Number {
                value,
                scaler: row.get(3)?,
                unit: row.get(4)?,
            },
            None => RegisterValue::Text(row.get(5)?),
        };
        let earlier_at = row.get::<_, Option<i64>>(8)?.map(Timestamp::from_millis);
        registers.push(RegisterRow {
            last: RegisterReading {
                object: Obis(row.get(0)?),
                attribute: row.get(1)?,
                value,
                at: Timestamp::from_millis(row.get(6)?),
            },
            earlier: row.get::<_, Option<i64>>(7)?.zip(earlier_at),
        });
    }
    Ok(registers)
}

pub(super) fn rows(
    connection: &Connection,
    calendar: &Calendar,
    meter: MeterId,
    object: Obis,
    range: Range<i64>,
) -> Result<Vec<ProfileSlice>, StoreError> {
    let mut slices = Vec::new();
    for (profile, layout) in layouts(connection, object)? {
        let mut intervals = Vec::new();
        let mut via = BTreeMap::new();
        for (day, bounds) in days(calendar, &range) {
            let Some(rows) = day_rows(connection, meter, profile, &layout, day, bounds)? else {
                continue;
            };
            for (by, slots) in marks(connection, meter, profile, day)? {
                let by = id(by)?;
                let marked = (0..rows.slots()).filter(|slot| is_set(&slots, *slot));
                via.extend(marked.map(|slot| (slot_start(&layout, bounds, slot), by)));
            }
            let kept = rows.rows().filter_map(|(slot, row)| {
                let start = slot_start(&layout, bounds, slot);
                range.contains(&start).then(|| Interval {
                    start: Timestamp::from_secs(start),
                    duration_s: slot_length(&layout, bounds),
                    values: row.values.clone(),
                    status: IntervalStatus::from_bits(row.status),
                })
            });
            intervals.extend(kept);
        }
        if !intervals.is_empty() {
            via.retain(|start, _| range.contains(start));
            slices.push(ProfileSlice {
                layout,
                rows: intervals,
                via,
            });
        }
    }
    direct_first(&mut slices);
    Ok(slices)
}

/// Leaves out what a concentrator told in other columns than those in which it was read directly.
fn direct_first(slices: &mut [ProfileSlice]) {
    if slices.len() < 2 || slices.iter().all(|slice| slice.via.is_empty()) {
        return;
    }
    let direct: BTreeSet<i64> = slices
        .iter()
        .flat_map(|slice| {
            let starts = slice.rows.iter().map(|row| row.start.secs());
            starts.filter(|start| !slice.via.contains_key(start))
        })
        .collect();
    for slice in slices {
        let ProfileSlice { rows, via, .. } = slice;
        via.retain(|start, _| {
            let hidden = direct.contains(start);
            if hidden {
                rows.retain(|row| row.start.secs() != *start);
            }
            !hidden
        });
    }
}

/// The marks of a day: which slots each concentrator read.
pub(super) fn marks(
    connection: &Connection,
    meter: MeterId,
    profile: i64,
    day: Day,
) -> Result<BTreeMap<i64, Vec<u8>>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT concentrator, slots FROM via WHERE meter = ?1 AND profile = ?2 AND day = ?3",
    )?;
    let marks = statement.query_map(params![number(meter), profile, day.number()], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    Ok(marks.collect::<Result<_, _>>()?)
}

pub(super) fn told_layouts(
    connection: &Connection,
    meter: MeterId,
    object: Obis,
) -> Result<Vec<ProfileLayout>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT profile FROM told WHERE meter = ?1 ORDER BY at DESC, profile DESC",
    )?;
    let told = statement.query_map([number(meter)], |row| row.get::<_, i64>(0))?;
    let told: Vec<i64> = told.collect::<Result<_, _>>()?;
    let mut known: BTreeMap<i64, ProfileLayout> =
        layouts(connection, object)?.into_iter().collect();
    Ok(told
        .into_iter()
        .filter_map(|id| known.remove(&id))
        .collect())
}

pub(super) fn conflicts(
    connection: &Connection,
    meter: MeterId,
    object: Obis,
    range: &Range<i64>,
) -> Result<Vec<Conflict>, StoreError> {
    let mut conflicts = Vec::new();
    for (profile, layout) in layouts(connection, object)? {
        let mut statement = connection.prepare_cached(
            "SELECT at, concentrator, found, status, vals FROM conflict
             WHERE meter = ?1 AND profile = ?2 AND at >= ?3 AND at < ?4 ORDER BY at LIMIT 10000",
        )?;
        let key = params![number(meter), profile, range.start, range.end];
        let mut rows = statement.query(key)?;
        while let Some(row) = rows.next()? {
            conflicts.push(Conflict {
                concentrator: id(row.get(1)?)?,
                row: Interval {
                    start: Timestamp::from_secs(row.get(0)?),
                    duration_s: layout.period_s,
                    values: values(row.get_ref(4)?.as_blob().unwrap_or_default())?,
                    status: IntervalStatus::from_bits(row.get(3)?),
                },
                found: Timestamp::from_millis(row.get(2)?),
            });
        }
    }
    Ok(conflicts)
}

pub(super) fn notices(
    connection: &Connection,
    concentrator: MeterId,
    limit: u32,
) -> Result<Vec<Notice>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT number, at, code, detail FROM notice WHERE concentrator = ?1
         ORDER BY id DESC LIMIT ?2",
    )?;
    let notices = statement.query_map(params![number(concentrator), limit], notice)?;
    Ok(notices.collect::<Result<_, _>>()?)
}

fn notice(row: &SqlRow<'_>) -> rusqlite::Result<Notice> {
    Ok(Notice {
        number: row.get(0)?,
        at: Timestamp::from_millis(row.get(1)?),
        code: row.get(2)?,
        detail: row.get(3)?,
    })
}

pub(super) fn notice_page(
    connection: &Connection,
    concentrator: MeterId,
    offset: u32,
    limit: u32,
) -> Result<(u64, Vec<Notice>), StoreError> {
    let total: i64 = connection
        .prepare_cached("SELECT count(*) FROM notice WHERE concentrator = ?1")?
        .query_row(params![number(concentrator)], |row| row.get(0))?;
    let mut statement = connection.prepare_cached(
        "SELECT number, at, code, detail FROM notice WHERE concentrator = ?1
         ORDER BY id DESC LIMIT ?2 OFFSET ?3",
    )?;
    let page = statement.query_map(params![number(concentrator), limit, offset], notice)?;
    let page = page.collect::<Result<_, _>>()?;
    Ok((u64::try_from(total).unwrap_or(0), page))
}

/// The notices that outages are made of, and their octets.
const OUTAGE_NOTICES_MAX: u32 = 2_000;
const OUTAGE_OCTETS_MAX: usize = 4 << 20;

pub(super) fn outage_notices(
    connection: &Connection,
    concentrator: MeterId,
) -> Result<Vec<Notice>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT number, at, code, detail FROM notice
         WHERE concentrator = ?1 AND code IN (1, 2) ORDER BY id DESC LIMIT ?2",
    )?;
    let mut rows = statement.query(params![number(concentrator), OUTAGE_NOTICES_MAX])?;
    let (mut notices, mut octets) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let notice = notice(row)?;
        octets += notice.detail.len();
        if octets > OUTAGE_OCTETS_MAX {
            break;
        }
        notices.push(notice);
    }
    Ok(notices)
}

pub(super) fn supply(
    connection: &Connection,
    concentrator: MeterId,
    range: &Range<i64>,
) -> Result<Vec<Supply>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT at, feeder, phase, supplied, metered, meters FROM supply
         WHERE concentrator = ?1 AND at >= ?2 AND at < ?3 ORDER BY at, feeder, phase LIMIT 100000",
    )?;
    let mut rows = statement.query(params![number(concentrator), range.start, range.end])?;
    let mut sums = Vec::new();
    while let Some(row) = rows.next()? {
        let damaged = || StoreError::DamagedValue("feeder or phase");
        sums.push(Supply {
            at: Timestamp::from_secs(row.get(0)?),
            feeder: row.get::<_, String>(1)?.parse().map_err(|_| damaged())?,
            phase: row.get::<_, String>(2)?.parse().map_err(|_| damaged())?,
            supplied_wh: row.get(3)?,
            metered_wh: row.get(4)?,
            meters: row.get(5)?,
        });
    }
    Ok(sums)
}

pub(super) fn gaps(
    connection: &Connection,
    calendar: &Calendar,
    meter: MeterId,
    object: Obis,
    range: Range<i64>,
) -> Result<Vec<Gap>, StoreError> {
    let (expected_from, period): (i64, Option<u32>) = connection
        .prepare_cached("SELECT expected_from, period FROM meter WHERE no = ?1")?
        .query_row([number(meter)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or(StoreError::UnknownMeter(meter))?;
    let wanted = ProfileLayout {
        object,
        period_s: period.unwrap_or(PERIOD_ASSUMED_S),
        channels: Vec::new(),
    };
    let range = range.start.max(expected_from)..range.end;
    let mut layouts = layouts(connection, object)?;
    layouts.retain(|(_, layout)| layout.period_s == wanted.period_s);
    let mut missing = Missing::default();
    let counts = BlockCounts::read(connection, calendar, meter, &layouts, &range)?;
    for (day, bounds) in days(calendar, &range) {
        let slots = wanted.slots(bounds.end - bounds.start);
        let whole = |count: u32| usize::try_from(count).is_ok_and(|count| count >= slots);
        if counts.of(day).any(whole) {
            continue;
        }
        let mut present = vec![false; slots];
        for (profile, layout) in &layouts {
            if let Some(rows) = day_rows(connection, meter, *profile, layout, day, bounds)? {
                for (slot, _) in rows.rows() {
                    if let Some(place) = present.get_mut(slot) {
                        *place = true;
                    }
                }
            }
        }
        let length = i64::from(slot_length(&wanted, bounds));
        for (slot, present) in present.into_iter().enumerate() {
            let start = slot_start(&wanted, bounds, slot);
            let wanted = start >= range.start && start + length <= range.end;
            if wanted && !present {
                missing.add(start, start + length);
            }
        }
    }
    let refusals = refusals(connection, meter, object, &range)?;
    Ok(missing.named(&refusals))
}

/// How many rows the blocks of one meter have, by day and profile.
struct BlockCounts(BTreeMap<(Day, i64), u32>);

impl BlockCounts {
    /// Reads the counts of the days that a span touches, which lie side by side.
    fn read(
        connection: &Connection,
        calendar: &Calendar,
        meter: MeterId,
        layouts: &[(i64, ProfileLayout)],
        range: &Range<i64>,
    ) -> Result<Self, StoreError> {
        let mut counts = BTreeMap::new();
        let (first, days) = first_day(calendar, range);
        if days > 0 {
            let mut statement = connection.prepare_cached(
                "SELECT day, n FROM block
                 WHERE meter = ?1 AND profile = ?2 AND day >= ?3 AND day < ?4",
            )?;
            for (profile, _) in layouts {
                let (from, past) = (first.number(), first.plus(days).number());
                let mut rows = statement.query(params![number(meter), profile, from, past])?;
                while let Some(row) = rows.next()? {
                    counts.insert((Day::new(row.get(0)?), *profile), row.get(1)?);
                }
            }
        }
        Ok(Self(counts))
    }

    fn of(&self, day: Day) -> impl Iterator<Item = u32> {
        let counts = self.0.range((day, i64::MIN)..=(day, i64::MAX));
        counts.map(|(_, count)| *count)
    }
}

/// Runs of missing intervals.
#[derive(Default)]
struct Missing(Vec<(Range<i64>, u32)>);

impl Missing {
    fn add(&mut self, start: i64, end: i64) {
        match self.0.last_mut() {
            Some((run, intervals)) if run.end == start => {
                run.end = end;
                *intervals += 1;
            }
            _ => self.0.push((start..end, 1)),
        }
    }

    /// Cuts the runs where what the meter refused begins or ends, so that each gap is either
    /// refused as a whole or not at all.
    fn named(self, refusals: &[Refusal]) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for (run, intervals) in self.0 {
            let length = (run.end - run.start) / i64::from(intervals.max(1));
            let mut cuts: Vec<i64> = refusals
                .iter()
                .flat_map(|refusal| [refusal.range.start, refusal.range.end])
                .filter(|cut| run.start < *cut && *cut < run.end)
                .collect();
            cuts.push(run.end);
            cuts.sort_unstable();
            cuts.dedup();
            let mut start = run.start;
            for cut in cuts {
                let refused = refusals
                    .iter()
                    .find(|refusal| refusal.range.start <= start && cut <= refusal.range.end)
                    .map(|refusal| (refusal.tries, refusal.asked));
                let intervals = (cut - start) / length.max(1);
                gaps.push(Gap {
                    range: start..cut,
                    intervals: u32::try_from(intervals).unwrap_or(u32::MAX),
                    refused,
                });
                start = cut;
            }
        }
        gaps
    }
}

/// A span that the meter was asked for and does not hold.
pub(super) struct Refusal {
    pub(super) range: Range<i64>,
    pub(super) tries: u32,
    pub(super) asked: Timestamp,
}

pub(super) fn refusals(
    connection: &Connection,
    meter: MeterId,
    object: Obis,
    range: &Range<i64>,
) -> Result<Vec<Refusal>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT first, past, tries, asked FROM absent
         WHERE meter = ?1 AND object = ?2 AND first < ?4 AND past > ?3 ORDER BY first",
    )?;
    let mut rows = statement.query(params![number(meter), object.0, range.start, range.end])?;
    let mut refusals = Vec::new();
    while let Some(row) = rows.next()? {
        refusals.push(Refusal {
            range: row.get(0)?..row.get(1)?,
            tries: row.get(2)?,
            asked: Timestamp::from_millis(row.get(3)?),
        });
    }
    Ok(refusals)
}

pub(super) fn day_totals(
    connection: &Connection,
    object: Obis,
    day: Day,
) -> Result<Vec<DayTotal>, StoreError> {
    let objects = profile_objects(connection)?;
    let any_marks = connection
        .prepare_cached("SELECT 1 FROM via LIMIT 1")?
        .exists(())?;
    // Walks the day's counts, which lie together, and looks each block up.
    let mut statement = connection.prepare_cached(
        "SELECT b.meter, b.profile, b.n, b.t0, b.t1, b.t2, b.t3, b.c0, b.c1, b.c2, b.c3
         FROM day_count d CROSS JOIN block b
           ON b.meter = d.meter AND b.profile = d.profile AND b.day = d.day
         WHERE d.day = ?1 ORDER BY d.meter",
    )?;
    let mut rows = statement.query([day.number()])?;
    let mut totals = Vec::new();
    while let Some(row) = rows.next()? {
        if objects.get(&row.get(1)?) != Some(&object) {
            continue;
        }
        totals.push(DayTotal {
            meter: id(row.get(0)?)?,
            received: row.get(2)?,
            totals: four(row, 3)?,
            closes: four(row, 7)?,
            via: if any_marks {
                marked(connection, id(row.get(0)?)?, row.get(1)?, day)?
            } else {
                0
            },
        });
    }
    Ok(totals)
}

/// Counts the intervals of a day that concentrators read.
fn marked(
    connection: &Connection,
    meter: MeterId,
    profile: i64,
    day: Day,
) -> Result<u32, StoreError> {
    let marks = marks(connection, meter, profile, day)?;
    let octets = marks.values().flatten();
    Ok(octets.map(|octet| octet.count_ones()).sum())
}

pub(super) fn four(row: &SqlRow<'_>, first: usize) -> Result<[Option<i64>; TOTALS], StoreError> {
    let mut values = [None; TOTALS];
    for (offset, value) in values.iter_mut().enumerate() {
        *value = row.get(first + offset)?;
    }
    Ok(values)
}

pub(super) fn versions(
    connection: &Connection,
    meter: MeterId,
    object: Obis,
    day: Day,
) -> Result<Vec<BlockVersion>, StoreError> {
    let mut versions = Vec::new();
    for (profile, _) in layouts(connection, object)? {
        let mut statement = connection.prepare_cached(
            "SELECT version, stored, rows FROM block_old
             WHERE meter = ?1 AND profile = ?2 AND day = ?3
             UNION ALL SELECT version, stored, rows FROM block
             WHERE meter = ?1 AND profile = ?2 AND day = ?3 ORDER BY version",
        )?;
        let mut rows = statement.query(params![number(meter), profile, day.number()])?;
        while let Some(row) = rows.next()? {
            versions.push(BlockVersion {
                version: row.get(0)?,
                at: Timestamp::from_millis(row.get(1)?),
                rows: decode(meter, day, row.get_ref(2)?.as_blob().unwrap_or_default())?,
            });
        }
    }
    Ok(versions)
}

pub(super) fn campaigns(connection: &Connection) -> Result<Vec<Kept>, StoreError> {
    let mut query =
        connection.prepare_cached("SELECT id, record, image FROM campaign ORDER BY id")?;
    let rows = query.query_map((), |row| {
        let image: Vec<u8> = row.get(2)?;
        Ok(Kept {
            id: row.get(0)?,
            record: row.get(1)?,
            image: image.into(),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn counter_record(
    connection: &Connection,
    key: CounterKey,
) -> Result<CounterRecord, StoreError> {
    let found = connection
        .prepare_cached(
            "SELECT reserved, spent, hinted FROM counter WHERE meter = ?1 AND client = ?2",
        )?
        .query_row(params![number(key.meter), key.client], |row| {
            let spent: Vec<u8> = row.get(1)?;
            let (values, _) = spent.as_chunks::<4>();
            Ok(CounterRecord {
                end: row.get(0)?,
                spent: values
                    .iter()
                    .map(|value| u32::from_be_bytes(*value))
                    .collect(),
                hinted: row.get(2)?,
            })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

pub(super) fn counter(connection: &Connection, key: CounterKey) -> Result<u32, StoreError> {
    let reserved = connection
        .prepare_cached("SELECT reserved FROM counter WHERE meter = ?1 AND client = ?2")?
        .query_row(params![number(key.meter), key.client], |row| row.get(0))
        .optional()?;
    Ok(reserved.unwrap_or(0))
}

pub(super) fn secrets(
    connection: &Connection,
    name: &LogicalDeviceName,
    client: u16,
) -> Result<Option<WrappedClient>, StoreError> {
    let known = connection
        .prepare_cached(
            "SELECT mechanism, suite, since FROM client WHERE name = ?1 AND client = ?2",
        )?
        .query_row(params![name.as_str(), client], |row| {
            Ok(WrappedClient {
                client,
                mechanism: row.get(0)?,
                suite: row.get(1)?,
                secrets: BTreeMap::new(),
                since: Timestamp::from_millis(row.get(2)?),
            })
        })
        .optional()?;
    let Some(mut known) = known else {
        return Ok(None);
    };
    let mut statement = connection
        .prepare_cached("SELECT kind, wrapped FROM secret WHERE name = ?1 AND client = ?2")?;
    let mut rows = statement.query(params![name.as_str(), client])?;
    while let Some(row) = rows.next()? {
        known.secrets.insert(row.get(0)?, row.get(1)?);
    }
    Ok(Some(known))
}

/// Returns the rows of one day, from its block or from the hot table; never both exist.
pub(super) fn day_rows(
    connection: &Connection,
    meter: MeterId,
    profile: i64,
    layout: &ProfileLayout,
    day: Day,
    bounds: DayBounds,
) -> Result<Option<DayRows>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT rows FROM block WHERE meter = ?1 AND profile = ?2 AND day = ?3")?;
    let mut rows = statement.query(params![number(meter), profile, day.number()])?;
    if let Some(row) = rows.next()? {
        let octets = row.get_ref(0)?.as_blob().unwrap_or_default();
        return decode(meter, day, octets).map(Some);
    }
    if day_count(connection, day, meter, profile)? == 0 {
        return Ok(None);
    }
    hot_rows(connection, meter, profile, layout, day, bounds).map(Some)
}

pub(super) fn hot_rows(
    connection: &Connection,
    meter: MeterId,
    profile: i64,
    layout: &ProfileLayout,
    day: Day,
    bounds: DayBounds,
) -> Result<DayRows, StoreError> {
    let slots = layout.slots(bounds.end - bounds.start);
    let damaged = |source| StoreError::Damaged { meter, day, source };
    let mut day_rows = DayRows::new(slots, layout.channels.len()).map_err(damaged)?;
    let mut statement = connection.prepare_cached(
        "SELECT status, vals FROM hot WHERE at = ?1 AND meter = ?2 AND profile = ?3",
    )?;
    for slot in 0..slots {
        let at = slot_start(layout, bounds, slot);
        let mut rows = statement.query(params![at, number(meter), profile])?;
        if let Some(row) = rows.next()? {
            let values = values(row.get_ref(1)?.as_blob().unwrap_or_default())?;
            let row = Row {
                values,
                status: row.get(0)?,
            };
            day_rows.put(slot, row).map_err(damaged)?;
        }
    }
    Ok(day_rows)
}

pub(super) fn day_count(
    connection: &Connection,
    day: Day,
    meter: MeterId,
    profile: i64,
) -> Result<u32, StoreError> {
    let count = connection
        .prepare_cached("SELECT n FROM day_count WHERE day = ?1 AND meter = ?2 AND profile = ?3")?
        .query_row(params![day.number(), number(meter), profile], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(count.unwrap_or(0))
}

pub(super) fn layouts(
    connection: &Connection,
    object: Obis,
) -> Result<Vec<(i64, ProfileLayout)>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT id, period, channels FROM profile WHERE object = ?1 ORDER BY id")?;
    let mut rows = statement.query(params![object.0])?;
    let mut layouts = Vec::new();
    while let Some(row) = rows.next()? {
        layouts.push((
            row.get(0)?,
            ProfileLayout {
                object,
                period_s: row.get(1)?,
                channels: channels(row.get_ref(2)?.as_blob().unwrap_or_default())?,
            },
        ));
    }
    Ok(layouts)
}

fn profile_objects(connection: &Connection) -> Result<BTreeMap<i64, Obis>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id, object FROM profile")?;
    let mut rows = statement.query(())?;
    let mut objects = BTreeMap::new();
    while let Some(row) = rows.next()? {
        objects.insert(row.get(0)?, Obis(row.get(1)?));
    }
    Ok(objects)
}

/// The days that a span of seconds touches, at most [`DAYS_MAX`].
pub(super) fn days(
    calendar: &Calendar,
    range: &Range<i64>,
) -> impl Iterator<Item = (Day, DayBounds)> {
    let (first, count) = first_day(calendar, range);
    calendar.days(first, count)
}

/// The first day that a span touches, and how many.
fn first_day(calendar: &Calendar, range: &Range<i64>) -> (Day, i32) {
    let first = calendar.day_of(range.start);
    if range.is_empty() {
        return (first, 0);
    }
    let last = calendar.day_of(range.end.saturating_sub(1));
    let days = last.number() - first.number() + 1;
    (first, days.clamp(0, DAYS_MAX))
}

pub(super) fn slot_start(layout: &ProfileLayout, bounds: DayBounds, slot: usize) -> i64 {
    let slot = i64::try_from(slot).unwrap_or(0);
    bounds.start + slot * i64::from(layout.period_s)
}

/// The length of an interval: the period, or the whole day, however long it is.
fn slot_length(layout: &ProfileLayout, bounds: DayBounds) -> u32 {
    if layout.period_s == 86_400 {
        u32::try_from(bounds.end - bounds.start).unwrap_or(layout.period_s)
    } else {
        layout.period_s
    }
}

/// Writes channels as nine octets each: logical name, attribute, scaler, unit.
pub(super) fn channel_octets(channels: &[Channel]) -> Vec<u8> {
    let octets = channels.iter().flat_map(|channel| {
        let [attribute] = channel.attribute.to_be_bytes();
        let [scaler] = channel.scaler.to_be_bytes();
        let tail = [attribute, scaler, channel.unit];
        channel.object.0.into_iter().chain(tail)
    });
    octets.collect()
}

fn channels(octets: &[u8]) -> Result<Vec<Channel>, StoreError> {
    let (chunks, rest) = octets.as_chunks::<9>();
    if !rest.is_empty() {
        return Err(StoreError::DamagedValue("profile"));
    }
    let channel = |&[a, b, c, d, e, f, attribute, scaler, unit]: &[u8; 9]| Channel {
        object: Obis([a, b, c, d, e, f]),
        attribute: i8::from_be_bytes([attribute]),
        scaler: i8::from_be_bytes([scaler]),
        unit,
    };
    Ok(chunks.iter().map(channel).collect())
}

/// Writes a hot row's values as nine octets each: 0x01 and the value, little-endian, or zeros.
pub(super) fn value_octets(values: &[Option<i64>]) -> Vec<u8> {
    let octets = values.iter().flat_map(|value| {
        let octets = value.unwrap_or(0).to_le_bytes();
        std::iter::once(u8::from(value.is_some())).chain(octets)
    });
    octets.collect()
}

pub(super) fn values(octets: &[u8]) -> Result<Vec<Option<i64>>, StoreError> {
    let (chunks, rest) = octets.as_chunks::<9>();
    if !rest.is_empty() {
        return Err(StoreError::DamagedValue("row"));
    }
    let value = |&[set, a, b, c, d, e, f, g, h]: &[u8; 9]| {
        (set == 1).then(|| i64::from_le_bytes([a, b, c, d, e, f, g, h]))
    };
    Ok(chunks.iter().map(value).collect())
}

pub(super) fn decode(meter: MeterId, day: Day, octets: &[u8]) -> Result<DayRows, StoreError> {
    DayRows::decode(octets).map_err(|source| StoreError::Damaged { meter, day, source })
}

pub(super) fn number(meter: MeterId) -> i64 {
    i64::try_from(meter.number()).unwrap_or(i64::MAX)
}

pub(super) fn id(number: i64) -> Result<MeterId, StoreError> {
    u64::try_from(number)
        .ok()
        .and_then(|number| MeterId::new(number).ok())
        .ok_or(StoreError::DamagedValue("registry id"))
}

fn name(text: &str) -> Result<LogicalDeviceName, StoreError> {
    text.parse()
        .map_err(|_| StoreError::DamagedValue("logical device name"))
}
