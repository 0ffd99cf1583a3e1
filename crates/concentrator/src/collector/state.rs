//! What the collector keeps: rows, marks, counters, switches and notices, and
//! the records by which all of it reaches the disk and comes back.
//!
//! Every change is a [`Record`]; applying the records of a log in their order
//! makes the state that was there when the last of them was written.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;

use dlms::codec::{DecodeError, Reader};
use dlms::cosem::Obis;
use model::LogicalDeviceName;

use super::rows::{self, Row};

/// Bounds of what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Seconds after which a row that nobody took is dropped.
    pub age_s: i64,
    /// Octets of all rows; beyond it the oldest block goes.
    pub octets: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            age_s: 60 * DAY_S,
            octets: 40 << 20,
        }
    }
}

/// Meters that are kept.
pub const METERS_MAX: usize = 16_384;

/// Profiles that are kept of one meter.
pub const PROFILES_MAX: usize = 8;

/// Notices that are kept; the oldest makes room.
pub const NOTICES_MAX: usize = 4_096;

/// Octets that a notice may have.
pub const NOTICE_LEN_MAX: usize = 32_768;

/// Rows after which a block is closed: a day of quarter hours.
const BLOCK_ROWS: u32 = 96;

const DAY_S: i64 = 86_400;

/// A change of what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// What a profile captures, in A-XDR, and its period in seconds.
    Shape {
        /// The meter.
        name: LogicalDeviceName,
        /// The profile.
        obis: Obis,
        /// Seconds between two rows; 0: events make them.
        period_s: u32,
        /// `capture_objects` in A-XDR.
        captured: Arc<[u8]>,
    },
    /// New rows, later than all before, as a block.
    Rows {
        /// The meter.
        name: LogicalDeviceName,
        /// The profile.
        obis: Obis,
        /// The rows, encoded.
        block: Arc<[u8]>,
    },
    /// The head end has all rows up to here.
    Delivered {
        /// The meter.
        name: LogicalDeviceName,
        /// The profile.
        obis: Obis,
        /// In seconds since 1970-01-01T00:00:00Z, included.
        until: i64,
    },
    /// Where a profile was read up to, though its rows are gone.
    Mark {
        /// The meter.
        name: LogicalDeviceName,
        /// The profile.
        obis: Obis,
        /// When the newest row was captured.
        last: i64,
        /// Checksums of the rows of that second.
        digests: Vec<u32>,
    },
    /// Counters of the collector's association with a meter: below `end` all
    /// may have been used, below `floor` all of the meter's were seen.
    Counter {
        /// The meter.
        name: LogicalDeviceName,
        /// Ours.
        end: u32,
        /// How far words of the meter have moved ours.
        hinted: u32,
        /// The meter's.
        floor: u32,
    },
    /// Whether a meter is collected.
    Switch {
        /// The meter.
        name: LogicalDeviceName,
        /// Whether it is.
        on: bool,
    },
    /// Something the head end should know.
    Notice(Notice),
    /// The head end has all notices up to this one.
    Noticed(u32),
    /// How far the own clock is ahead of the system's, in seconds.
    Clock(i64),
}

/// Something the head end should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its number; each is one more than the one before.
    pub number: u32,
    /// When, in seconds since 1970-01-01T00:00:00Z.
    pub at: i64,
    /// What kind.
    pub kind: NoticeKind,
    /// The rest in A-XDR: see [`NoticeKind`].
    pub detail: Vec<u8>,
}

macro_rules! notice_kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// The kinds of notices with their codes, which are ours: the standard
        /// leaves the codes of event logs to the maker.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum NoticeKind {
            $($(#[$doc])* $name,)*
        }

        impl NoticeKind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Tells the code.
            #[must_use]
            pub const fn code(self) -> u8 {
                match self { $(Self::$name => $number,)* }
            }

            /// Finds the kind of a code.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($number => Some(Self::$name),)* _ => None }
            }

            /// Tells what it is, for people.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

notice_kinds! {
    /// Meters fell silent together: an array of their names.
    Outage = 1, "meters fell silent";
    /// Meters that had fallen silent are there again: an array of names.
    Restored = 2, "meters are there again";
    /// A meter raises alarms: a structure of its name and the bits of its
    /// alarm register.
    MeterAlarm = 3, "a meter raises an alarm";
    /// More was supplied than metered: a structure of feeder, phase, end of
    /// the interval (seconds since 1970), Wh supplied, Wh metered.
    Balance = 4, "more was supplied than metered";
    /// The balance is even again: as before.
    BalanceEven = 5, "the balance is even again";
    /// A phase of the own metering is gone: feeder and phase.
    PhaseLoss = 6, "a phase is gone";
    /// It is back: feeder and phase.
    PhaseBack = 7, "a phase is back";
    /// More current than allowed: feeder, phase, mA.
    Overload = 8, "a phase is overloaded";
    /// No longer: feeder, phase, mA.
    OverloadEnd = 9, "a phase is no longer overloaded";
    /// A voltage outside its band: feeder, phase, mV.
    Deviation = 10, "a voltage deviates";
    /// No longer: feeder, phase, mV.
    DeviationEnd = 11, "a voltage no longer deviates";
    /// Rows were dropped before anybody took them: how many.
    Dropped = 12, "rows were dropped before anybody took them";
    /// What was on disk was damaged and is read anew from the meters: octets.
    Damaged = 13, "what was on disk was damaged";
    /// The clock was set: by how many seconds.
    ClockSet = 14, "the clock was set";
}

/// One profile of one meter.
#[derive(Clone, Debug, Default)]
pub struct Series {
    captured: Option<Arc<[u8]>>,
    period_s: u32,
    blocks: VecDeque<Block>,
    last: Option<i64>,
    digests: Vec<u32>,
    delivered: Option<i64>,
}

#[derive(Clone, Debug)]
struct Block {
    first: i64,
    last: i64,
    rows: u32,
    octets: Arc<[u8]>,
}

impl Block {
    fn of(rows: &[Row]) -> Option<Self> {
        Some(Self {
            first: rows.first()?.at,
            last: rows.last()?.at,
            rows: u32::try_from(rows.len()).ok()?,
            octets: rows::encode(rows).into(),
        })
    }

    fn decoded(&self) -> Vec<Row> {
        rows::decode(&self.octets).unwrap_or_default()
    }

    fn size(&self) -> usize {
        size_of::<Self>() + 16 + self.octets.len()
    }
}

impl Series {
    /// Shows what it captures, in A-XDR.
    #[must_use]
    pub fn captured(&self) -> Option<&[u8]> {
        self.captured.as_deref()
    }

    /// Tells the seconds between two rows; 0: events make them.
    #[must_use]
    pub const fn period_s(&self) -> u32 {
        self.period_s
    }

    /// Tells when the newest row that was ever read was captured.
    #[must_use]
    pub const fn last(&self) -> Option<i64> {
        self.last
    }

    /// Tells up to when the head end has all rows.
    #[must_use]
    pub const fn delivered(&self) -> Option<i64> {
        self.delivered
    }

    /// Counts the rows that are kept.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.blocks.iter().map(|block| block.rows).sum()
    }

    /// Goes over the rows of a span of time, oldest first.
    pub fn range(&self, range: RangeInclusive<i64>) -> impl Iterator<Item = Row> {
        let (from, to) = range.into_inner();
        self.blocks
            .iter()
            .filter(move |block| block.first <= to && from <= block.last)
            .flat_map(Block::decoded)
            .filter(move |row| (from..=to).contains(&row.at))
    }

    /// Goes over `count` rows from one on, counted from 0, oldest first.
    pub fn entries(&self, first: usize, count: usize) -> impl Iterator<Item = Row> {
        let mut skip = first;
        let mut whole = 0;
        for block in &self.blocks {
            let rows = usize::try_from(block.rows).unwrap_or(usize::MAX);
            if rows > skip {
                break;
            }
            skip -= rows;
            whole += 1;
        }
        let blocks = self.blocks.iter().skip(whole);
        blocks.flat_map(Block::decoded).skip(skip).take(count)
    }

    /// Keeps of rows, oldest first, those that were not read before.
    #[must_use]
    pub fn new_of(&self, mut rows: Vec<Row>) -> Vec<Row> {
        let Some(last) = self.last else { return rows };
        let mut known = self.digests.clone();
        rows.retain(|row| {
            if row.at != last {
                return row.at > last;
            }
            let digest = crc32fast::hash(&row.octets);
            match known.iter().position(|it| *it == digest) {
                Some(place) => {
                    known.swap_remove(place);
                    false
                }
                None => true,
            }
        });
        rows
    }

    /// Takes a block of rows that are later than all before.
    fn take(&mut self, block: &Arc<[u8]>, head: rows::Head) {
        if self.last != Some(head.last) {
            self.digests.clear();
        }
        self.last = Some(head.last);
        let digests = head.tail.iter().map(|row| crc32fast::hash(&row.octets));
        self.digests.extend(digests);
        let day = head.first.div_euclid(DAY_S);
        let joins = self
            .blocks
            .back()
            .is_some_and(|last| last.rows < BLOCK_ROWS && last.first.div_euclid(DAY_S) == day);
        let taken = self.delivered.is_some_and(|until| head.first <= until);
        if joins || taken || head.rows > BLOCK_ROWS {
            self.append(rows::decode(block).unwrap_or_default(), joins);
        } else {
            self.blocks.push_back(Block {
                first: head.first,
                last: head.last,
                rows: head.rows,
                octets: Arc::clone(block),
            });
        }
    }

    fn append(&mut self, rows: Vec<Row>, joins: bool) {
        let undelivered: Vec<Row> = rows
            .into_iter()
            .filter(|row| self.delivered.is_none_or(|until| row.at > until))
            .collect();
        if undelivered.is_empty() {
            return;
        }
        let mut all = match self.blocks.pop_back() {
            Some(block) if joins => block.decoded(),
            Some(block) => {
                self.blocks.push_back(block);
                Vec::new()
            }
            None => Vec::new(),
        };
        all.extend(undelivered);
        let chunk = usize::try_from(BLOCK_ROWS).unwrap_or(usize::MAX);
        self.blocks.extend(all.chunks(chunk).filter_map(Block::of));
    }

    fn deliver(&mut self, until: i64) {
        self.delivered = Some(self.delivered.map_or(until, |before| before.max(until)));
        self.drop_until(until);
    }

    /// Drops rows up to `until`; tells how many.
    fn drop_until(&mut self, until: i64) -> u32 {
        let mut dropped = 0;
        while let Some(block) = self.blocks.front() {
            if block.first > until {
                break;
            }
            let rest: Vec<Row> = if block.last <= until {
                Vec::new()
            } else {
                let rows = block.decoded().into_iter();
                rows.filter(|row| row.at > until).collect()
            };
            let before = block.rows;
            self.blocks.pop_front();
            let kept = Block::of(&rest);
            dropped += before - kept.as_ref().map_or(0, |block| block.rows);
            if let Some(kept) = kept {
                self.blocks.push_front(kept);
                break;
            }
        }
        dropped
    }

    fn size(&self) -> usize {
        self.blocks.iter().map(Block::size).sum()
    }
}

/// What is kept of one meter.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    series: BTreeMap<Obis, Series>,
    counters: Option<Counters>,
    switch: Option<bool>,
}

/// Counters of the collector's association with a meter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Ours: below it all may have been used.
    pub end: u32,
    /// How far words of the meter have moved ours.
    pub hinted: u32,
    /// The meter's: below it all were seen.
    pub floor: u32,
}

impl Meter {
    /// Goes over its profiles.
    pub fn series(&self) -> impl Iterator<Item = (Obis, &Series)> {
        self.series.iter().map(|(obis, series)| (*obis, series))
    }

    /// Finds a profile.
    #[must_use]
    pub fn of(&self, obis: Obis) -> Option<&Series> {
        self.series.get(&obis)
    }

    /// Tells the counters of its association.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters.unwrap_or_default()
    }

    /// Tells whether somebody said that it is, or is not, to be collected.
    #[must_use]
    pub const fn switch(&self) -> Option<bool> {
        self.switch
    }
}

/// All that is kept.
#[derive(Clone, Debug, Default)]
pub struct State {
    bounds: Bounds,
    meters: BTreeMap<LogicalDeviceName, Meter>,
    notices: VecDeque<Notice>,
    number: u32,
    noticed: u32,
    clock_s: i64,
    octets: usize,
    dropped: u64,
}

impl State {
    /// Starts with nothing.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            ..Self::default()
        }
    }

    /// Tells how much is kept.
    #[must_use]
    pub const fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Finds what is kept of a meter.
    #[must_use]
    pub fn meter(&self, name: &LogicalDeviceName) -> Option<&Meter> {
        self.meters.get(name)
    }

    /// Goes over all meters.
    pub fn meters(&self) -> impl Iterator<Item = (&LogicalDeviceName, &Meter)> {
        self.meters.iter()
    }

    /// Finds a profile of a meter.
    #[must_use]
    pub fn series(&self, name: &LogicalDeviceName, obis: Obis) -> Option<&Series> {
        self.meters.get(name)?.series.get(&obis)
    }

    /// Shows the notices that are kept, oldest first.
    #[must_use]
    pub const fn notices(&self) -> &VecDeque<Notice> {
        &self.notices
    }

    /// Tells up to which notice the head end has them.
    #[must_use]
    pub const fn noticed(&self) -> u32 {
        self.noticed
    }

    /// Makes the next notice.
    #[must_use]
    pub const fn notice(&self, at: i64, kind: NoticeKind, detail: Vec<u8>) -> Notice {
        Notice {
            number: self.number.wrapping_add(1),
            at,
            kind,
            detail,
        }
    }

    /// Tells how far the own clock is ahead of the system's, in seconds.
    #[must_use]
    pub const fn clock_s(&self) -> i64 {
        self.clock_s
    }

    /// Counts the octets of all rows.
    #[must_use]
    pub const fn octets(&self) -> usize {
        self.octets
    }

    /// Counts the rows that are kept.
    #[must_use]
    pub fn rows(&self) -> u64 {
        let all = self.meters.values().flat_map(|meter| meter.series.values());
        all.map(|series| u64::from(series.rows())).sum()
    }

    /// Counts the rows that were dropped before anybody took them.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Applies a change. Nothing in it can make the state exceed its bounds.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Shape {
                name,
                obis,
                period_s,
                captured,
            } => self.change(name, *obis, |series| {
                series.captured = Some(Arc::clone(captured));
                series.period_s = *period_s;
            }),
            Record::Rows { name, obis, block } => {
                if let Some(head) = rows::head(block) {
                    self.change(name, *obis, |series| series.take(block, head));
                }
            }
            Record::Delivered { name, obis, until } => {
                self.change(name, *obis, |series| series.deliver(*until));
            }
            Record::Mark {
                name,
                obis,
                last,
                digests,
            } => self.change(name, *obis, |series| {
                if series.last.is_none_or(|before| before <= *last) {
                    series.last = Some(*last);
                    series.digests.clone_from(digests);
                }
            }),
            Record::Counter {
                name,
                end,
                hinted,
                floor,
            } => {
                if let Some(meter) = self.entry(name) {
                    // Counters never go back, whatever the log lost.
                    let before = meter.counters();
                    meter.counters = Some(Counters {
                        end: before.end.max(*end),
                        hinted: before.hinted.max(*hinted),
                        floor: before.floor.max(*floor),
                    });
                }
            }
            Record::Switch { name, on } => {
                if let Some(meter) = self.entry(name) {
                    meter.switch = Some(*on);
                }
            }
            Record::Notice(notice) => {
                self.number = notice.number;
                self.notices.push_back(notice.clone());
                if self.notices.len() > NOTICES_MAX {
                    self.notices.pop_front();
                }
            }
            Record::Noticed(until) => {
                self.noticed = self.noticed.max(*until);
                self.number = self.number.max(*until);
                let until = self.noticed;
                // The newest ones stay to be read as a log.
                while self.notices.len() > NOTICES_KEPT
                    && self.notices.front().is_some_and(|it| it.number <= until)
                {
                    self.notices.pop_front();
                }
            }
            Record::Clock(ahead) => self.clock_s = *ahead,
        }
        while self.octets > self.bounds.octets && self.drop_oldest() {}
    }

    /// Works out what is new in a record of the other concentrator of a pair. `overrules` says
    /// whether its switches go before those that are here.
    #[must_use]
    pub fn new_of(&self, record: &Record, overrules: bool) -> Option<Record> {
        let new = match record {
            Record::Shape {
                name,
                obis,
                period_s,
                captured,
            } => self.series(name, *obis).is_none_or(|series| {
                series.captured() != Some(&**captured) || series.period_s != *period_s
            }),
            Record::Rows { name, obis, block } => {
                let head = rows::head(block)?;
                let Some(series) = self.series(name, *obis) else {
                    return Some(record.clone());
                };
                let last = series.last.max(series.delivered);
                if last.is_none_or(|last| last < head.first) {
                    return Some(record.clone());
                }
                if last.is_some_and(|last| head.last < last) {
                    return None;
                }
                let rows = series.new_of(rows::decode(block)?);
                if rows.is_empty() {
                    return None;
                }
                return Some(Record::Rows {
                    name: name.clone(),
                    obis: *obis,
                    block: rows::encode(&rows).into(),
                });
            }
            Record::Delivered { name, obis, until } => self
                .series(name, *obis)
                .is_none_or(|it| it.delivered.is_none_or(|before| before < *until)),
            Record::Mark {
                name, obis, last, ..
            } => self
                .series(name, *obis)
                .is_none_or(|it| it.last.is_none_or(|before| before < *last)),
            Record::Switch { name, on } => {
                let own = self.meter(name).and_then(Meter::switch);
                own.is_none() || overrules && own != Some(*on)
            }
            // Each has its own.
            Record::Counter { .. } | Record::Notice(_) | Record::Noticed(_) | Record::Clock(_) => {
                false
            }
        };
        new.then(|| record.clone())
    }

    /// Drops rows that are too old; tells how many.
    pub fn expire(&mut self, now: i64) -> u64 {
        let until = now.saturating_sub(self.bounds.age_s);
        let mut dropped = 0;
        for meter in self.meters.values_mut() {
            for series in meter.series.values_mut() {
                if series.blocks.front().is_some_and(|it| it.first <= until) {
                    let before = series.size();
                    dropped += u64::from(series.drop_until(until));
                    self.octets -= before - series.size();
                }
            }
        }
        self.dropped += dropped;
        dropped
    }

    /// Lists the records that make this state.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let mut all = vec![Record::Clock(self.clock_s), Record::Noticed(self.noticed)];
        for (name, meter) in &self.meters {
            let name = || name.clone();
            if let Some(on) = meter.switch {
                all.push(Record::Switch { name: name(), on });
            }
            if let Some(counters) = meter.counters {
                all.push(Record::Counter {
                    name: name(),
                    end: counters.end,
                    hinted: counters.hinted,
                    floor: counters.floor,
                });
            }
            for (obis, series) in &meter.series {
                let obis = *obis;
                if let Some(captured) = &series.captured {
                    all.push(Record::Shape {
                        name: name(),
                        obis,
                        period_s: series.period_s,
                        captured: Arc::clone(captured),
                    });
                }
                if let Some(until) = series.delivered {
                    all.push(Record::Delivered {
                        name: name(),
                        obis,
                        until,
                    });
                }
                for block in &series.blocks {
                    all.push(Record::Rows {
                        name: name(),
                        obis,
                        block: Arc::clone(&block.octets),
                    });
                }
                if let Some(last) = series.last {
                    all.push(Record::Mark {
                        name: name(),
                        obis,
                        last,
                        digests: series.digests.clone(),
                    });
                }
            }
        }
        all.extend(self.notices.iter().cloned().map(Record::Notice));
        all
    }

    fn entry(&mut self, name: &LogicalDeviceName) -> Option<&mut Meter> {
        if !self.meters.contains_key(name) && self.meters.len() >= METERS_MAX {
            return None;
        }
        Some(self.meters.entry(name.clone()).or_default())
    }

    fn change(&mut self, name: &LogicalDeviceName, obis: Obis, with: impl FnOnce(&mut Series)) {
        let Some(meter) = self.entry(name) else {
            return;
        };
        if !meter.series.contains_key(&obis) && meter.series.len() >= PROFILES_MAX {
            return;
        }
        let series = meter.series.entry(obis).or_default();
        let before = series.size();
        with(series);
        let after = series.size();
        self.octets = self.octets + after - before;
    }

    fn drop_oldest(&mut self) -> bool {
        let all = self
            .meters
            .values_mut()
            .flat_map(|meter| meter.series.values_mut());
        let oldest = all
            .filter(|series| !series.blocks.is_empty())
            .min_by_key(|series| series.blocks.front().map(|block| block.first));
        let Some(block) = oldest.and_then(|series| series.blocks.pop_front()) else {
            return false;
        };
        self.octets -= block.size();
        self.dropped += u64::from(block.rows);
        true
    }
}

/// Notices that stay to be read though the head end has them.
const NOTICES_KEPT: usize = 256;

impl Record {
    /// Writes the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Shape {
                name,
                obis,
                period_s,
                captured,
            } => {
                put_key(out, 1, name, *obis);
                out.extend_from_slice(&period_s.to_be_bytes());
                out.extend_from_slice(captured);
            }
            Self::Rows { name, obis, block } => {
                put_key(out, 2, name, *obis);
                out.extend_from_slice(block);
            }
            Self::Delivered { name, obis, until } => {
                put_key(out, 3, name, *obis);
                out.extend_from_slice(&until.to_be_bytes());
            }
            Self::Mark {
                name,
                obis,
                last,
                digests,
            } => {
                put_key(out, 4, name, *obis);
                out.extend_from_slice(&last.to_be_bytes());
                for digest in digests {
                    out.extend_from_slice(&digest.to_be_bytes());
                }
            }
            Self::Counter {
                name,
                end,
                hinted,
                floor,
            } => {
                put_name(out, 5, name);
                for count in [end, hinted, floor] {
                    out.extend_from_slice(&count.to_be_bytes());
                }
            }
            Self::Switch { name, on } => {
                put_name(out, 6, name);
                out.push(u8::from(*on));
            }
            Self::Notice(notice) => {
                out.push(7);
                out.extend_from_slice(&notice.number.to_be_bytes());
                out.extend_from_slice(&notice.at.to_be_bytes());
                out.push(notice.kind.code());
                out.extend_from_slice(&notice.detail);
            }
            Self::Noticed(until) => {
                out.push(8);
                out.extend_from_slice(&until.to_be_bytes());
            }
            Self::Clock(ahead) => {
                out.push(9);
                out.extend_from_slice(&ahead.to_be_bytes());
            }
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Where the octets are none.
    pub fn decode(octets: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(octets);
        let reader = &mut reader;
        let kind = reader.u8("kind")?;
        let refuse = |reader: &Reader<'_>| reader.error("record", dlms::codec::Malformed::Value);
        let record = match kind {
            1..=4 => {
                let name = name(reader)?;
                let obis = Obis(reader.array("obis")?);
                match kind {
                    1 => Self::Shape {
                        name,
                        obis,
                        period_s: reader.u32("period")?,
                        captured: reader.rest().into(),
                    },
                    2 => Self::Rows {
                        name,
                        obis,
                        block: reader.rest().into(),
                    },
                    3 => Self::Delivered {
                        name,
                        obis,
                        until: i64::from_be_bytes(reader.array("until")?),
                    },
                    _ => {
                        let last = i64::from_be_bytes(reader.array("last")?);
                        let mut digests = Vec::new();
                        while !reader.is_empty() {
                            digests.push(reader.u32("digest")?);
                        }
                        Self::Mark {
                            name,
                            obis,
                            last,
                            digests,
                        }
                    }
                }
            }
            5 => Self::Counter {
                name: name(reader)?,
                end: reader.u32("end")?,
                hinted: reader.u32("hinted")?,
                floor: reader.u32("floor")?,
            },
            6 => Self::Switch {
                name: name(reader)?,
                on: reader.u8("on")? != 0,
            },
            7 => Self::Notice(Notice {
                number: reader.u32("number")?,
                at: i64::from_be_bytes(reader.array("at")?),
                kind: NoticeKind::from_code(reader.u8("notice")?).ok_or_else(|| refuse(reader))?,
                detail: reader.rest().to_vec(),
            }),
            8 => Self::Noticed(reader.u32("until")?),
            9 => Self::Clock(i64::from_be_bytes(reader.array("ahead")?)),
            _ => return Err(refuse(reader)),
        };
        reader.finish("record")?;
        Ok(record)
    }
}

fn put_name(out: &mut Vec<u8>, kind: u8, name: &LogicalDeviceName) {
    out.push(kind);
    dlms::codec::put_octets(out, name.as_str().as_bytes());
}

fn put_key(out: &mut Vec<u8>, kind: u8, name: &LogicalDeviceName, obis: Obis) {
    put_name(out, kind, name);
    out.extend_from_slice(&obis.0);
}

fn name(reader: &mut Reader<'_>) -> Result<LogicalDeviceName, DecodeError> {
    let octets = reader.octets("name")?;
    LogicalDeviceName::from_octets(octets)
        .map_err(|_| reader.error("name", dlms::codec::Malformed::Value))
}
