//! What concentrators tell: marks on their rows, conflicts, and what they tell of themselves.
//!
//! A row that is marked fills an empty slot and nothing else. What the head end reads itself takes
//! its place, and the mark goes.

use std::collections::BTreeMap;

use model::{Event, Interval, MeterId, Timestamp};
use rusqlite::params;

use super::super::read::{self, number, slot_start, value_octets};
use super::{Place, Tally, Writer, concentrator};
use crate::store::{Delivery, Row, Source, StoreError, Sweep};

/// The slots of one day that one concentrator read.
type Slots = Vec<u8>;

impl Writer {
    /// Notes that the meter itself told a layout.
    pub(super) fn put_told(
        &self,
        meter: MeterId,
        profile: i64,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        // Once an hour is enough to know which is the latest.
        self.connection
            .prepare_cached(
                "INSERT INTO told(meter, profile, at) VALUES(?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET at = excluded.at WHERE excluded.at > at + 3600000",
            )?
            .execute(params![number(meter), profile, at.millis()])?;
        Ok(())
    }

    /// Weighs the rows of a day against those that are there: returns the ones to store, marks
    /// them or takes marks away, and notes conflicts.
    pub(super) fn settle<'r>(
        &self,
        place: &Place<'_>,
        sweep: &Sweep,
        rows: Vec<(usize, &'r Interval)>,
        tally: &mut Tally,
    ) -> Result<Vec<(usize, &'r Interval)>, StoreError> {
        match sweep.source {
            Source::Direct => self.settle_direct(place, sweep, rows, tally),
            Source::Concentrator(by) => self.settle_told(place, sweep, by, rows, tally),
        }
    }

    fn settle_direct<'r>(
        &self,
        place: &Place<'_>,
        sweep: &Sweep,
        rows: Vec<(usize, &'r Interval)>,
        tally: &mut Tally,
    ) -> Result<Vec<(usize, &'r Interval)>, StoreError> {
        let mut marks = read::marks(&self.connection, place.meter, place.profile, place.day)?;
        if marks.is_empty() {
            return Ok(rows);
        }
        let (meter, profile) = (place.meter, place.profile);
        let there = read::day_rows(
            &self.connection,
            meter,
            profile,
            place.layout,
            place.day,
            place.bounds,
        )?;
        for (by, slots) in &mut marks {
            let mut cleared = false;
            for (slot, row) in &rows {
                if !is_set(slots, *slot) {
                    continue;
                }
                clear(slots, *slot);
                cleared = true;
                let before = there.as_ref().and_then(|there| there.row(*slot));
                if let Some(before) = before.filter(|before| !same(before, row)) {
                    self.put_conflict(place, *slot, *by, before, sweep.at, tally)?;
                }
            }
            if cleared {
                self.put_marks(place, *by, slots)?;
            }
        }
        Ok(rows)
    }

    fn settle_told<'r>(
        &self,
        place: &Place<'_>,
        sweep: &Sweep,
        by: MeterId,
        rows: Vec<(usize, &'r Interval)>,
        tally: &mut Tally,
    ) -> Result<Vec<(usize, &'r Interval)>, StoreError> {
        let mut taken: BTreeMap<usize, Row> = BTreeMap::new();
        for (profile, layout) in read::layouts(&self.connection, place.layout.object)? {
            if layout.period_s != place.layout.period_s {
                continue;
            }
            let there = read::day_rows(
                &self.connection,
                place.meter,
                profile,
                &layout,
                place.day,
                place.bounds,
            )?;
            let rows = there.iter().flat_map(|there| there.rows());
            taken.extend(rows.map(|(slot, row)| (slot, row.clone())));
        }
        let mut marks = read::marks(&self.connection, place.meter, place.profile, place.day)?;
        let mut slots = marks.remove(&number(by)).unwrap_or_default();
        let mut fresh: BTreeMap<usize, &Interval> = BTreeMap::new();
        for (slot, row) in rows {
            let told = Row {
                values: row.values.clone(),
                status: row.status.bits(),
            };
            match taken.get(&slot) {
                Some(before) if *before == told => tally.same += 1,
                Some(_) => self.put_conflict(place, slot, number(by), &told, sweep.at, tally)?,
                None => {
                    set(&mut slots, slot);
                    taken.insert(slot, told);
                    fresh.insert(slot, row);
                }
            }
        }
        if !fresh.is_empty() {
            self.put_marks(place, number(by), &slots)?;
        }
        Ok(fresh.into_iter().collect())
    }

    fn put_marks(&self, place: &Place<'_>, by: i64, slots: &[u8]) -> Result<(), StoreError> {
        let (meter, day) = (number(place.meter), place.day.number());
        if slots.iter().all(|octet| *octet == 0) {
            self.connection
                .prepare_cached(
                    "DELETE FROM via
                     WHERE meter = ?1 AND profile = ?2 AND day = ?3 AND concentrator = ?4",
                )?
                .execute(params![meter, place.profile, day, by])?;
            return Ok(());
        }
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO via(meter, profile, day, concentrator, slots)
                 VALUES(?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![meter, place.profile, day, by, slots])?;
        Ok(())
    }

    /// Notes what a concentrator tells, or told, otherwise than what is stored.
    fn put_conflict(
        &self,
        place: &Place<'_>,
        slot: usize,
        by: i64,
        told: &Row,
        at: Timestamp,
        tally: &mut Tally,
    ) -> Result<(), StoreError> {
        let start = slot_start(place.layout, place.bounds, slot);
        let added = self
            .connection
            .prepare_cached(
                "INSERT INTO conflict(meter, profile, at, concentrator, found, status, vals)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                number(place.meter),
                place.profile,
                start,
                by,
                at.millis(),
                told.status,
                value_octets(&told.values)
            ])?;
        tally.conflicts += u64::from(added == 1);
        Ok(())
    }

    /// Stores what a concentrator tells of itself.
    pub(in super::super) fn deliver(
        &self,
        delivery: &Delivery,
    ) -> Result<Vec<(MeterId, Event)>, StoreError> {
        if !delivery.within_bounds() {
            return Err(StoreError::TooMuch);
        }
        let by = concentrator(Source::Concentrator(delivery.concentrator));
        let mut put = self.connection.prepare_cached(
            "INSERT INTO notice(concentrator, number, at, code, detail) VALUES(?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO NOTHING",
        )?;
        for notice in &delivery.notices {
            let at = notice.at.millis();
            put.execute(params![by, notice.number, at, notice.code, notice.detail])?;
        }
        // Its table of notices has a bound, as it has at the concentrator itself.
        self.connection
            .prepare_cached(
                "DELETE FROM notice WHERE concentrator = ?1 AND id < (SELECT id FROM notice
                     WHERE concentrator = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
            )?
            .execute(params![by, NOTICES_KEPT])?;
        // Rows of meters that come late change the sum of an interval; one of fewer meters, told
        // after a restart, does not.
        let mut put = self.connection.prepare_cached(
            "INSERT INTO supply(concentrator, at, feeder, phase, supplied, metered, meters)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET supplied = excluded.supplied, metered = excluded.metered,
                 meters = excluded.meters
             WHERE excluded.meters >= meters",
        )?;
        for sum in &delivery.supply {
            put.execute(params![
                by,
                sum.at.secs(),
                sum.feeder.as_str(),
                sum.phase.name(),
                sum.supplied_wh,
                sum.metered_wh,
                sum.meters
            ])?;
        }
        let mut new = Vec::new();
        for (meter, event) in &delivery.events {
            if self.put_event(*meter, *event)? {
                new.push((*meter, *event));
            }
        }
        Ok(new)
    }
}

/// The notices that are kept of one concentrator.
const NOTICES_KEPT: u32 = 10_000;

fn same(stored: &Row, row: &Interval) -> bool {
    stored.values == row.values && stored.status == row.status.bits()
}

/// Says whether a slot is set in the octets of a mark.
pub(in super::super) fn is_set(slots: &[u8], slot: usize) -> bool {
    let octet = slots.get(slot / 8).copied().unwrap_or(0);
    octet & (1 << (slot % 8)) != 0
}

fn set(slots: &mut Slots, slot: usize) {
    if slots.len() <= slot / 8 {
        slots.resize(slot / 8 + 1, 0);
    }
    if let Some(octet) = slots.get_mut(slot / 8) {
        *octet |= 1 << (slot % 8);
    }
}

fn clear(slots: &mut [u8], slot: usize) {
    if let Some(octet) = slots.get_mut(slot / 8) {
        *octet &= !(1 << (slot % 8));
    }
}
