//! The buffer of a profile, read in one pass.

use dlms::axdr::{ClockStatus, DateTime, Event, Leaf, RawData, Walker};
use dlms::cosem::{CaptureObject, Obis};
use dlms::xdlms::DataAccessResult;
use model::{Interval, IntervalStatus, Timestamp};

use super::Scalers;
use crate::collector::{AccessError, ProfileAnswer};
use crate::store::{Channel, ProfileLayout};

/// What the columns of a profile are.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    pub(crate) period_s: u32,
    columns: Vec<Column>,
    /// What the meter told: capture_objects, then capture_period.
    told: Box<[u8]>,
}

#[derive(Clone, Copy, Debug)]
enum Column {
    Clock,
    Status,
    Value { class: u16, channel: Channel },
}

/// Rows of one answer; a day at one minute has 1,440.
const ROWS_MAX: usize = 100_000;

/// Columns of one profile.
const COLUMNS_MAX: usize = 64;

impl Columns {
    /// Reads capture_objects and capture_period.
    pub(crate) fn decode(captured: &[u8], period: &[u8]) -> Option<Self> {
        let told = [captured, period].concat().into();
        let captured = RawData::new(captured).decode().ok()?;
        let objects = CaptureObject::list_from_data(&captured).ok()?;
        let period_s = RawData::new(period)
            .walk()
            .leaves()
            .next()?
            .ok()?
            .as_u64()?;
        let period_s = u32::try_from(period_s).ok().filter(|period| *period > 0)?;
        if objects.len() > COLUMNS_MAX {
            return None;
        }
        let columns: Vec<Column> = objects.iter().map(Column::of).collect();
        let clocks = columns
            .iter()
            .filter(|column| matches!(column, Column::Clock))
            .count();
        (clocks == 1).then_some(Self {
            period_s,
            columns,
            told,
        })
    }

    /// Says whether these are the columns that capture_objects and capture_period tell.
    pub(super) fn are(&self, captured: &[u8], period: &[u8]) -> bool {
        self.told.strip_prefix(captured) == Some(period)
    }

    /// Scales the values from registers whose scaler is known, and says whether these were all.
    pub(super) fn scale_known(&mut self, known: &Scalers) -> bool {
        self.columns.iter_mut().all(|column| match column {
            Column::Value {
                class: 3 | 4,
                channel,
            } => match known.get(&channel.object) {
                Some(Some((scaler, unit))) => {
                    channel.scaler = *scaler;
                    channel.unit = *unit;
                    true
                }
                _ => false,
            },
            Column::Value { .. } => false,
            Column::Clock | Column::Status => true,
        })
    }

    /// Reads rows as the answer to who asked for them.
    pub(super) fn answer(&self, object: Obis, buffer: &[u8]) -> Result<ProfileAnswer, AccessError> {
        let rows = self.rows(buffer).ok_or(super::protocol())?;
        let layout = ProfileLayout {
            object,
            period_s: self.period_s,
            channels: self.channels(),
        };
        Ok(ProfileAnswer { layout, rows })
    }

    /// Names the attributes that hold scaler and unit of the values.
    pub(super) fn scaled_by(&self) -> impl Iterator<Item = (u16, Obis, i8)> {
        self.columns.iter().filter_map(|column| match column {
            // Demand registers have it in attribute 4 (IEC 62056-6-2, class 5).
            Column::Value { class: 5, channel } => Some((5, channel.object, 4)),
            Column::Value { class, channel } => Some((*class, channel.object, 3)),
            Column::Clock | Column::Status => None,
        })
    }

    /// Takes scalers and units in that order; what the meter does not tell is a plain number.
    pub(super) fn scale(&mut self, told: &[Result<Vec<u8>, DataAccessResult>]) {
        let mut told = told.iter();
        for column in &mut self.columns {
            if let Column::Value { channel, .. } = column
                && let Some(Ok(octets)) = told.next()
                && let Some((scaler, unit)) = scaler_unit(octets)
            {
                channel.scaler = scaler;
                channel.unit = unit;
            }
        }
    }

    /// Tells the values in their order, clock and status left out.
    pub(crate) fn channels(&self) -> Vec<Channel> {
        self.columns
            .iter()
            .filter_map(|column| match column {
                Column::Value { channel, .. } => Some(*channel),
                Column::Clock | Column::Status => None,
            })
            .collect()
    }

    fn channels_len(&self) -> usize {
        let is_value = |column: &&Column| matches!(column, Column::Value { .. });
        self.columns.iter().filter(is_value).count()
    }

    /// Reads rows. A clock that is null-data is one period after the row before, and a value that
    /// is null-data is the same as in the row before (IEC 62056-6-2, class 7, buffer).
    pub(crate) fn rows(&self, buffer: &[u8]) -> Option<Vec<Interval>> {
        let period = i64::from(self.period_s);
        let mut rows: Vec<Interval> = Vec::new();
        let mut walker = RawData::new(buffer).walk();
        let count = begin_array(&mut walker)?;
        rows.reserve(count.min(ROWS_MAX));
        let channels = self.channels_len();
        for _ in 0..count {
            begin_row(&mut walker, self.columns.len())?;
            let mut captured = None;
            let mut status = IntervalStatus::default();
            let mut values = Vec::with_capacity(channels);
            let before = rows.last();
            for column in &self.columns {
                let Some(Ok(Event::Leaf(leaf))) = walker.next() else {
                    return None;
                };
                match column {
                    Column::Clock => {
                        captured = match leaf {
                            Leaf::NullData => before.map(|row| row.captured().secs() + period),
                            told => told.as_date_time()?.to_unix_seconds(),
                        };
                    }
                    Column::Status => {
                        // Only the octet that all profiles have in common.
                        let bits = leaf.as_u64().unwrap_or(0) & 0xFF;
                        status = IntervalStatus::from_bits(u8::try_from(bits).unwrap_or(0));
                    }
                    Column::Value { .. } => {
                        let index = values.len();
                        values.push(match leaf {
                            Leaf::NullData => {
                                before.and_then(|row| row.values.get(index).copied().flatten())
                            }
                            told => told.as_i64(),
                        });
                    }
                }
            }
            end_row(&mut walker)?;
            let captured = captured?;
            if rows.len() >= ROWS_MAX {
                return None;
            }
            rows.push(Interval {
                start: Timestamp::from_secs(captured - period),
                duration_s: self.period_s,
                values,
                status,
            });
        }
        finish(walker)?;
        Some(rows)
    }
}

impl Column {
    fn of(object: &CaptureObject) -> Self {
        let name = object.logical_name;
        match (object.class_id, name) {
            (8, _) => Self::Clock,
            // AMR profile status, 0-b:96.10.e (IEC 62056-6-1).
            (1, Obis([_, _, 96, 10, _, _])) => Self::Status,
            (class, name) => Self::Value {
                class,
                channel: Channel {
                    object: name,
                    attribute: object.attribute_index,
                    scaler: 0,
                    unit: super::values::UNIT_COUNT,
                },
            },
        }
    }
}

/// Reads an event log: time in seconds, code. Further columns are passed over.
pub(crate) fn events(buffer: &[u8]) -> Option<Vec<(i64, u16)>> {
    let mut walker = RawData::new(buffer).walk();
    let count = begin_array(&mut walker)?;
    let mut events = Vec::new();
    for _ in 0..count.min(ROWS_MAX) {
        let Some(Ok(Event::Begin(..))) = walker.next() else {
            return None;
        };
        let (mut at, mut code) = (None, None);
        let mut depth = 1_usize;
        while depth > 0 {
            match walker.next()?.ok()? {
                Event::Begin(..) => depth += 1,
                Event::End => depth -= 1,
                Event::Leaf(leaf) if at.is_none() => {
                    at = Some(leaf.as_date_time()?.to_unix_seconds()?)
                }
                Event::Leaf(leaf) if code.is_none() => code = u16::try_from(leaf.as_u64()?).ok(),
                Event::Leaf(_) => {}
            }
        }
        events.push((at?, code?));
    }
    Some(events)
}

/// Reads `structure { scaler, unit }`.
pub(super) fn scaler_unit(octets: &[u8]) -> Option<(i8, u8)> {
    let mut leaves = RawData::new(octets).walk().leaves();
    let scaler = leaves.next()?.ok()?.as_i64()?;
    let unit = leaves.next()?.ok()?.as_u64()?;
    Some((i8::try_from(scaler).ok()?, u8::try_from(unit).ok()?))
}

/// Makes a point in time as the standard has it, in UTC.
pub(crate) fn date_time(seconds: i64) -> Option<DateTime> {
    DateTime::from_unix_seconds(seconds, 0, ClockStatus::default())
}

fn begin_array(walker: &mut Walker<'_>) -> Option<usize> {
    match walker.next()?.ok()? {
        Event::Begin(dlms::axdr::Sequence::Array, count) => Some(count),
        _ => None,
    }
}

fn begin_row(walker: &mut Walker<'_>, columns: usize) -> Option<()> {
    match walker.next()?.ok()? {
        Event::Begin(dlms::axdr::Sequence::Structure, count) if count == columns => Some(()),
        _ => None,
    }
}

fn end_row(walker: &mut Walker<'_>) -> Option<()> {
    matches!(walker.next()?.ok()?, Event::End).then_some(())
}

/// Checks that the array ends, and nothing stands behind it.
fn finish(mut walker: Walker<'_>) -> Option<()> {
    match (walker.next(), walker.next()) {
        (Some(Ok(Event::End)), None) => Some(()),
        _ => None,
    }
}
