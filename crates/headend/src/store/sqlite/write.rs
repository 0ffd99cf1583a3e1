//! The one writer: everything that changes the database.

pub(super) mod told;

use dlms::cosem::Obis;
use std::collections::BTreeMap;
use std::ops::Range;

use dlms::security::CounterRecord;
use model::{Event, EventKind, EventSource, Interval, MeterId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::read::{self, channel_octets, day_count, four, id, number, slot_start, value_octets};
use crate::calendar::{Calendar, Day, DayBounds};
use crate::store::{
    CodecError, Contact, CounterKey, DayCount, DayRows, DeviceKind, Enrolled, Enrolment, Failing,
    MeterState, ProfileLayout, ProfileRows, Put, RegisterReading, RegisterValue, Row, Source,
    StoreError, Stored, Sweep, TOTALS, WrappedClient,
};

/// Owns the writing connection.
pub(super) struct Writer {
    connection: Connection,
    calendar: Calendar,
    /// Ids of layouts seen since the last rollback.
    profiles: BTreeMap<ProfileLayout, i64>,
    /// The day asked for last: rows come in order.
    day: Option<(Day, DayBounds)>,
}

impl Writer {
    pub(super) fn new(connection: Connection, calendar: Calendar) -> Self {
        Self {
            connection,
            calendar,
            profiles: BTreeMap::new(),
            day: None,
        }
    }

    /// Returns the connection, within the transaction that is open.
    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn begin(&self) -> Result<(), StoreError> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        Ok(())
    }

    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        let result = self.connection.execute_batch("COMMIT");
        if result.is_err() {
            self.profiles.clear();
            if !self.connection.is_autocommit() {
                self.connection.execute_batch("ROLLBACK")?;
            }
        }
        Ok(result?)
    }

    /// Runs work so that its failure undoes nothing but itself.
    pub(super) fn isolated<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.connection
            .prepare_cached("SAVEPOINT job")?
            .execute(())?;
        let result = work(self);
        if result.is_err() {
            self.profiles.clear();
            self.connection
                .prepare_cached("ROLLBACK TO job")?
                .execute(())?;
        }
        self.connection.prepare_cached("RELEASE job")?.execute(())?;
        result
    }

    pub(super) fn enrol(
        &self,
        meters: &[Enrolment],
        kind: DeviceKind,
        at: Timestamp,
    ) -> Result<Enrolled, StoreError> {
        let mut enrolled = Enrolled::default();
        for meter in meters {
            self.enrol_one(meter, kind, at, &mut enrolled)?;
        }
        Ok(enrolled)
    }

    fn enrol_one(
        &self,
        meter: &Enrolment,
        kind: DeviceKind,
        at: Timestamp,
        enrolled: &mut Enrolled,
    ) -> Result<(), StoreError> {
        let known: Option<(i64, i64)> = self
            .connection
            .prepare_cached("SELECT no, kind FROM meter WHERE name = ?1")?
            .query_row([meter.name.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if known.is_some_and(|(_, known)| known != kind.code()) {
            return Err(StoreError::OtherKind(meter.name.clone()));
        }
        let known = known.map(|(no, _)| no);
        let columns = params![
            meter.name.as_str(),
            meter.system_title.map(|title| title.0),
            meter.endpoint,
            meter.server,
            meter.client,
            meter.place.as_str(),
            meter.feeder.as_ref().map(model::Feeder::as_str),
            meter.phase.map(model::Phase::name),
            meter.load_profile.0,
        ];
        let mut changed = false;
        for client in &meter.secrets {
            changed |= self.put_client(meter.name.as_str(), client)?;
        }
        if let Some(known) = known {
            let updated = self
                .connection
                .prepare_cached(
                    "UPDATE meter SET system_title = ?2, endpoint = ?3, server = ?4, client = ?5,
                         place = ?6, feeder = ?7, phase = ?8, load_profile = ?9
                     WHERE name = ?1 AND (system_title IS NOT ?2 OR endpoint <> ?3 OR server <> ?4
                         OR client <> ?5 OR place <> ?6 OR feeder IS NOT ?7 OR phase IS NOT ?8
                         OR load_profile <> ?9)",
                )?
                .execute(columns)?;
            if updated > 0 || changed {
                enrolled.updated.push(id(known)?);
            } else {
                enrolled.unchanged += 1;
            }
            return Ok(());
        }
        self.connection
            .prepare_cached(
                "INSERT INTO meter(name, system_title, endpoint, server, client, place, feeder,
                     phase, load_profile, enrolled, expected_from)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, 0)",
            )?
            .execute(columns)?;
        let no = self.connection.last_insert_rowid();
        // Expected from the next full interval on, whatever the period up to an hour.
        let expected_from = at.secs().div_euclid(900).saturating_add(1) * 900;
        self.connection
            .prepare_cached(
                "UPDATE meter SET enrolled = ?2, expected_from = ?3, kind = ?4 WHERE no = ?1",
            )?
            .execute(params![no, at.millis(), expected_from, kind.code()])?;
        enrolled.added.push(id(no)?);
        Ok(())
    }

    fn put_client(&self, name: &str, client: &WrappedClient) -> Result<bool, StoreError> {
        let mut stored: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        {
            let mut statement = self.connection.prepare_cached(
                "SELECT kind, wrapped FROM secret WHERE name = ?1 AND client = ?2",
            )?;
            let mut rows = statement.query(params![name, client.client])?;
            while let Some(row) = rows.next()? {
                stored.insert(row.get(0)?, row.get(1)?);
            }
        }
        let same: bool = self
            .connection
            .prepare_cached(
                "SELECT count(*) FROM client
                 WHERE name = ?1 AND client = ?2 AND mechanism = ?3 AND suite = ?4",
            )?
            .query_row(
                params![name, client.client, client.mechanism, client.suite],
                |row| row.get::<_, i64>(0).map(|count| count == 1),
            )?;
        if same && stored == client.secrets {
            return Ok(false);
        }
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO client(name, client, mechanism, suite, since)
                 VALUES(?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                name,
                client.client,
                client.mechanism,
                client.suite,
                client.since.millis()
            ])?;
        self.connection
            .prepare_cached("DELETE FROM secret WHERE name = ?1 AND client = ?2")?
            .execute(params![name, client.client])?;
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO secret(name, client, kind, wrapped) VALUES(?1, ?2, ?3, ?4)",
        )?;
        for (kind, wrapped) in &client.secrets {
            insert.execute(params![name, client.client, kind, wrapped])?;
        }
        Ok(true)
    }

    pub(super) fn reserve_counters(
        &self,
        key: CounterKey,
        count: u32,
        at_least: u32,
    ) -> Result<Range<u32>, StoreError> {
        self.known(key.meter)?;
        let first = read::counter(&self.connection, key)?.max(at_least);
        let past = first
            .checked_add(count.max(1))
            .ok_or(StoreError::CounterExhausted)?;
        self.connection
            .prepare_cached(
                "INSERT INTO counter(meter, client, reserved) VALUES(?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET reserved = excluded.reserved",
            )?
            .execute(params![number(key.meter), key.client, past])?;
        Ok(first..past)
    }

    pub(super) fn keep_counters(
        &self,
        key: CounterKey,
        record: &CounterRecord,
    ) -> Result<(), StoreError> {
        // Numbers from 2^62 on are keys that many meters share.
        if key.meter.number() >> 62 == 0 {
            self.known(key.meter)?;
        }
        let spent: Vec<u8> = record
            .spent
            .iter()
            .flat_map(|value| value.to_be_bytes())
            .collect();
        self.connection
            .prepare_cached(
                "INSERT INTO counter(meter, client, reserved, spent, hinted)
                 VALUES(?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET reserved = max(reserved, excluded.reserved),
                 spent = excluded.spent, hinted = max(hinted, excluded.hinted)",
            )?
            .execute(params![
                number(key.meter),
                key.client,
                record.end,
                spent,
                record.hinted
            ])?;
        Ok(())
    }

    pub(super) fn keep_campaign(
        &self,
        id: u32,
        record: &[u8],
        image: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        match image {
            Some(image) => self
                .connection
                .prepare_cached("INSERT INTO campaign(id, record, image) VALUES(?1, ?2, ?3)")?
                .execute(params![id, record, image])?,
            None => self
                .connection
                .prepare_cached("UPDATE campaign SET record = ?2 WHERE id = ?1")?
                .execute(params![id, record])?,
        };
        Ok(())
    }

    pub(super) fn seal(&self, before: Day, limit: u32) -> Result<u32, StoreError> {
        let end = self.calendar.bounds(before).start;
        let oldest: Option<i64> = self
            .connection
            .prepare_cached("SELECT min(at) FROM hot WHERE at < ?1")?
            .query_row([end], |row| row.get(0))?;
        let Some(oldest) = oldest else {
            return Ok(0);
        };
        let day = self.calendar.day_of(oldest);
        let bounds = self.calendar.bounds(day);
        let hot: Vec<(i64, i64)> = {
            let mut statement = self.connection.prepare_cached(
                "SELECT DISTINCT meter, profile FROM hot WHERE at >= ?1 AND at < ?2 LIMIT ?3",
            )?;
            let rows = statement.query_map(params![bounds.start, bounds.end, limit], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
            rows.collect::<Result<_, _>>()?
        };
        for (meter, profile) in &hot {
            let (meter, object) = (id(*meter)?, self.profile_object(*profile)?);
            let layouts = read::layouts(&self.connection, object)?;
            let layout = layouts.into_iter().find(|(id, _)| id == profile);
            let (_, layout) = layout.ok_or(StoreError::DamagedValue("profile"))?;
            let place = Place {
                meter,
                profile: *profile,
                layout: &layout,
                day,
                bounds,
            };
            self.merge_block(&place, Vec::new(), place.now(), &mut Tally::default())?;
        }
        Ok(u32::try_from(hot.len()).unwrap_or(u32::MAX))
    }

    pub(super) fn ingest(&mut self, sweep: &Sweep) -> Result<Stored, StoreError> {
        if !sweep.within_bounds() {
            return Err(StoreError::TooMuch);
        }
        let known = self.known(sweep.meter)?;
        let mut stored = Stored {
            state: read::state(&self.connection, sweep.meter)?,
            ..Stored::default()
        };
        for rows in &sweep.profiles {
            self.put_profile(sweep, &known, rows, &mut stored)?;
        }
        let today = self.calendar.day_of(sweep.at.secs());
        let midnight = self.calendar.bounds(today).start;
        for register in &sweep.registers {
            self.put_register(sweep.meter, register, midnight)?;
        }
        if stored.conflicts > 0 {
            let event = Event {
                at: sweep.at,
                source: EventSource::HeadEnd,
                code: EventKind::RowsDiffer.code(),
            };
            if self.put_event(sweep.meter, event)? {
                stored.events.push(event);
            }
        }
        for event in &sweep.events {
            if self.put_event(sweep.meter, *event)? {
                stored.events.push(*event);
            }
        }
        self.put_receipts(sweep)?;
        advance(&mut stored.state, sweep);
        self.put_state(sweep.meter, &stored.state)?;
        Ok(stored)
    }

    fn put_profile(
        &mut self,
        sweep: &Sweep,
        known: &Known,
        given: &ProfileRows,
        stored: &mut Stored,
    ) -> Result<(), StoreError> {
        let (meter, layout) = (sweep.meter, &given.layout);
        let is_load_profile = layout.object == known.load_profile;
        let profile = self.profile(layout)?;
        let mut tally = Tally::default();
        let mut days: BTreeMap<Day, Vec<(usize, &Interval)>> = BTreeMap::new();
        for row in &given.rows {
            let captured = row.captured();
            let (day, bounds) = self.day(captured.plus_millis(-1).secs());
            match slot(layout, bounds, row) {
                Some(slot) => days.entry(day).or_default().push((slot, row)),
                None => self.put_stray(sweep, profile, row, &mut tally)?,
            }
        }
        if sweep.source == Source::Direct {
            self.put_told(meter, profile, sweep.at)?;
        }
        let today = self.calendar.day_of(sweep.at.secs());
        let mut earliest = i64::MAX;
        for (day, rows) in days {
            let (_, bounds) = self.day_bounds(day);
            let place = Place {
                meter,
                profile,
                layout,
                day,
                bounds,
            };
            let rows = self.settle(&place, sweep, rows, &mut tally)?;
            if let Some((slot, _)) = rows.iter().min_by_key(|(slot, _)| slot) {
                earliest = earliest.min(slot_start(layout, bounds, *slot));
            }
            if rows.is_empty() {
                continue;
            }
            let few = rows.len() * 2 < place.slots();
            let young = day >= today.plus(-1) && place.slots() > 1;
            let count = if few && young && !self.has_block(&place)? {
                self.put_hot(&place, &rows, sweep.at, &mut tally)?
            } else {
                self.merge_block(&place, rows, sweep.at, &mut tally)?
            };
            if is_load_profile {
                let others = self.received_otherwise(&place)?;
                stored.counts.push(DayCount {
                    meter,
                    day,
                    received: count.saturating_add(others),
                });
            }
        }
        if is_load_profile {
            let newest = given.rows.iter().map(Interval::captured);
            // What lies ahead is no reason to believe that all is here.
            let ahead = sweep.at.plus_secs(i64::from(layout.period_s));
            let is_told = sweep.source != Source::Direct;
            let newest = newest.filter(|newest| !is_told || *newest <= ahead).max();
            stored.state.newest = stored.state.newest.max(newest);
            if known.period_s != Some(layout.period_s) {
                self.connection
                    .prepare_cached("UPDATE meter SET period = ?2 WHERE no = ?1")?
                    .execute(params![number(meter), layout.period_s])?;
                stored.period_s = Some(layout.period_s);
            }
            if earliest < known.expected_from {
                self.connection
                    .prepare_cached("UPDATE meter SET expected_from = ?2 WHERE no = ?1")?
                    .execute(params![number(meter), earliest])?;
                stored.expected_from = Some(Timestamp::from_secs(earliest));
            }
        }
        if let Some(asked) = &given.asked {
            self.put_absent(meter, layout.object, asked, sweep.at)?;
        }
        stored.added += tally.added;
        stored.changed += tally.changed;
        stored.same += tally.same;
        stored.stray += tally.stray;
        stored.conflicts += tally.conflicts;
        Ok(())
    }

    /// Puts rows into the hot table and returns how many of the day there are.
    fn put_hot(
        &self,
        place: &Place<'_>,
        rows: &[(usize, &Interval)],
        at: Timestamp,
        tally: &mut Tally,
    ) -> Result<u32, StoreError> {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO hot(at, meter, profile, status, vals) VALUES(?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO NOTHING",
        )?;
        let meter = number(place.meter);
        let mut added = 0_u32;
        for (slot, row) in rows {
            let start = slot_start(place.layout, place.bounds, *slot);
            let vals = value_octets(&row.values);
            let status = row.status.bits();
            if insert.execute(params![start, meter, place.profile, status, vals])? == 1 {
                added += 1;
                continue;
            }
            let replaced = self
                .connection
                .prepare_cached(
                    "INSERT INTO hot_old(at, meter, profile, stored, status, vals)
                     SELECT at, meter, profile, ?4, status, vals FROM hot
                     WHERE at = ?1 AND meter = ?2 AND profile = ?3 AND (status <> ?5 OR vals <> ?6)",
                )?
                .execute(params![
                    start,
                    meter,
                    place.profile,
                    at.millis(),
                    status,
                    vals
                ])?;
            if replaced == 0 {
                tally.same += 1;
                continue;
            }
            self.connection
                .prepare_cached(
                    "UPDATE hot SET status = ?4, vals = ?5
                     WHERE at = ?1 AND meter = ?2 AND profile = ?3",
                )?
                .execute(params![start, meter, place.profile, status, vals])?;
            tally.changed += 1;
        }
        let before = day_count(&self.connection, place.day, place.meter, place.profile)?;
        let count = before.saturating_add(added);
        if added > 0 {
            self.put_day_count(place, count)?;
            tally.added += u64::from(added);
        }
        Ok(count)
    }

    /// Puts rows and what the hot table has of the day into the day's block, and returns how many
    /// that holds then.
    fn merge_block(
        &self,
        place: &Place<'_>,
        rows: Vec<(usize, &Interval)>,
        at: Timestamp,
        tally: &mut Tally,
    ) -> Result<u32, StoreError> {
        let (meter, day) = (place.meter, place.day);
        let damaged = |source: CodecError| StoreError::Damaged { meter, day, source };
        let (version, mut block) = match self.block(place)? {
            Some((version, block)) => (Some(version), block),
            None => (None, self.hot_rows(place)?),
        };
        let before = block.count();
        let was_hot = version.is_none() && before > 0;
        let mut dirty = was_hot;
        for (slot, row) in rows {
            let row = Row {
                values: row.values.clone(),
                status: row.status.bits(),
            };
            match block.put(slot, row).map_err(damaged)? {
                Put::Added => tally.added += 1,
                Put::Changed => tally.changed += 1,
                Put::Same => {
                    tally.same += 1;
                    continue;
                }
            }
            dirty = true;
        }
        let count = u32::try_from(block.count()).unwrap_or(u32::MAX);
        if !dirty {
            return Ok(count);
        }
        if was_hot {
            let mut delete = self
                .connection
                .prepare_cached("DELETE FROM hot WHERE at = ?1 AND meter = ?2 AND profile = ?3")?;
            for slot in 0..place.slots() {
                let start = slot_start(place.layout, place.bounds, slot);
                delete.execute(params![start, number(meter), place.profile])?;
            }
        }
        self.put_block(place, &block, version, at)?;
        if block.count() != before || version.is_none() {
            self.put_day_count(place, count)?;
        }
        Ok(count)
    }

    /// Reads version and rows of a day's block.
    fn block(&self, place: &Place<'_>) -> Result<Option<(i64, DayRows)>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT version, rows FROM block WHERE meter = ?1 AND profile = ?2 AND day = ?3",
        )?;
        let day = place.day.number();
        let mut rows = statement.query(params![number(place.meter), place.profile, day])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let octets = row.get_ref(1)?.as_blob().unwrap_or_default();
        let block = read::decode(place.meter, place.day, octets)?;
        Ok(Some((row.get(0)?, block)))
    }

    /// Reads what the hot table has of a day that has no block.
    fn hot_rows(&self, place: &Place<'_>) -> Result<DayRows, StoreError> {
        let (meter, profile, day) = (place.meter, place.profile, place.day);
        if day_count(&self.connection, day, meter, profile)? == 0 {
            let channels = place.layout.channels.len();
            return DayRows::new(place.slots(), channels).map_err(|source| StoreError::Damaged {
                meter,
                day,
                source,
            });
        }
        let (layout, bounds) = (place.layout, place.bounds);
        read::hot_rows(&self.connection, meter, profile, layout, day, bounds)
    }

    fn put_block(
        &self,
        place: &Place<'_>,
        block: &DayRows,
        version: Option<i64>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let (meter, profile, day) = (number(place.meter), place.profile, place.day.number());
        let mut closes = [None; TOTALS];
        let mut totals = [None; TOTALS];
        let opens = self.closes(place.meter, profile, place.day.plus(-1))?;
        let columns = closes.iter_mut().zip(&mut totals).zip(opens).enumerate();
        for (index, ((close, total), open)) in columns {
            let Some(channel) = place.layout.channels.get(index) else {
                continue;
            };
            *close = block.close(index);
            *total = if channel.is_running_total() {
                open.zip(*close)
                    .and_then(|(open, close)| close.checked_sub(open))
            } else {
                sum(block, index)
            };
        }
        let [c0, c1, c2, c3] = closes;
        let [t0, t1, t2, t3] = totals;
        if version.is_some() {
            self.connection
                .prepare_cached(
                    "INSERT INTO block_old(meter, profile, day, version, stored, rows)
                     SELECT meter, profile, day, version, stored, rows FROM block
                     WHERE meter = ?1 AND profile = ?2 AND day = ?3",
                )?
                .execute(params![meter, profile, day])?;
        }
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO block(meter, profile, day, version, stored, n,
                     c0, c1, c2, c3, t0, t1, t2, t3, rows)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            )?
            .execute(params![
                meter,
                profile,
                day,
                version.unwrap_or(0).saturating_add(1),
                at.millis(),
                i64::try_from(block.count()).unwrap_or(i64::MAX),
                c0,
                c1,
                c2,
                c3,
                t0,
                t1,
                t2,
                t3,
                block.encode(),
            ])?;
        self.carry_closes(place, closes)
    }

    /// Gives the day after its totals, where it is stored and this day's closing state is new.
    fn carry_closes(
        &self,
        place: &Place<'_>,
        closes: [Option<i64>; TOTALS],
    ) -> Result<(), StoreError> {
        let next = place.day.plus(1);
        for (index, close) in closes.into_iter().enumerate() {
            let running = place.layout.channels.get(index);
            let running = running.is_some_and(|channel| channel.is_running_total());
            let (Some(close), true) = (close, running) else {
                continue;
            };
            let sql = match index {
                0 => "UPDATE block SET t0 = c0 - ?4 WHERE meter = ?1 AND profile = ?2 AND day = ?3",
                1 => "UPDATE block SET t1 = c1 - ?4 WHERE meter = ?1 AND profile = ?2 AND day = ?3",
                2 => "UPDATE block SET t2 = c2 - ?4 WHERE meter = ?1 AND profile = ?2 AND day = ?3",
                _ => "UPDATE block SET t3 = c3 - ?4 WHERE meter = ?1 AND profile = ?2 AND day = ?3",
            };
            let updated = self.connection.prepare_cached(sql)?.execute(params![
                number(place.meter),
                place.profile,
                next.number(),
                close
            ])?;
            if updated == 0 {
                break;
            }
        }
        Ok(())
    }

    fn closes(
        &self,
        meter: MeterId,
        profile: i64,
        day: Day,
    ) -> Result<[Option<i64>; TOTALS], StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT c0, c1, c2, c3 FROM block WHERE meter = ?1 AND profile = ?2 AND day = ?3",
        )?;
        let mut rows = statement.query(params![number(meter), profile, day.number()])?;
        rows.next()?.map_or(Ok([None; TOTALS]), |row| four(row, 0))
    }

    fn has_block(&self, place: &Place<'_>) -> Result<bool, StoreError> {
        let found = self
            .connection
            .prepare_cached("SELECT 1 FROM block WHERE meter = ?1 AND profile = ?2 AND day = ?3")?
            .exists(params![
                number(place.meter),
                place.profile,
                place.day.number()
            ])?;
        Ok(found)
    }

    fn put_day_count(&self, place: &Place<'_>, count: u32) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO day_count(day, meter, profile, n) VALUES(?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET n = excluded.n",
            )?
            .execute(params![
                place.day.number(),
                number(place.meter),
                place.profile,
                count
            ])?;
        Ok(())
    }

    /// The intervals of the same object on the same day under other layouts.
    fn received_otherwise(&self, place: &Place<'_>) -> Result<u32, StoreError> {
        let mut received = 0_u32;
        for (layout, profile) in &self.profiles {
            if layout.object == place.layout.object && *profile != place.profile {
                let count = day_count(&self.connection, place.day, place.meter, *profile)?;
                received = received.saturating_add(count);
            }
        }
        Ok(received)
    }

    fn put_stray(
        &self,
        sweep: &Sweep,
        profile: i64,
        row: &Interval,
        tally: &mut Tally,
    ) -> Result<(), StoreError> {
        let via = concentrator(sweep.source);
        if via.is_some() && self.strays(sweep.meter, profile)? >= STRAYS_TOLD_MAX {
            return Ok(());
        }
        let added = self
            .connection
            .prepare_cached(
                "INSERT INTO stray(meter, profile, at, status, vals, via)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT DO UPDATE SET status = excluded.status, vals = excluded.vals,
                     via = NULL
                 WHERE via IS NOT NULL AND excluded.via IS NULL",
            )?
            .execute(params![
                number(sweep.meter),
                profile,
                row.captured().secs(),
                row.status.bits(),
                value_octets(&row.values),
                via,
            ])?;
        if added == 1 {
            tally.stray += 1;
        } else {
            tally.same += 1;
        }
        Ok(())
    }

    /// Counts the rows that fit no slot and that a concentrator told.
    fn strays(&self, meter: MeterId, profile: i64) -> Result<u32, StoreError> {
        let mut count = self.connection.prepare_cached(
            "SELECT count(*) FROM stray WHERE meter = ?1 AND profile = ?2 AND via IS NOT NULL",
        )?;
        Ok(count.query_row(params![number(meter), profile], |row| row.get(0))?)
    }

    /// Notes what the meter was asked for and did not have.
    fn put_absent(
        &self,
        meter: MeterId,
        object: Obis,
        asked: &Range<i64>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let gaps = read::gaps(
            &self.connection,
            &self.calendar,
            meter,
            object,
            asked.clone(),
        )?;
        let old = read::refusals(&self.connection, meter, object, asked)?;
        if old.is_empty() && gaps.is_empty() {
            return Ok(());
        }
        // What lies within the asked span is told anew; what reaches beyond it keeps its rest.
        self.connection
            .prepare_cached(
                "DELETE FROM absent WHERE meter = ?1 AND object = ?2 AND first < ?4 AND past > ?3",
            )?
            .execute(params![number(meter), object.0, asked.start, asked.end])?;
        let mut insert = self.connection.prepare_cached(
            "INSERT OR REPLACE INTO absent(meter, object, first, past, tries, asked)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for refusal in &old {
            let (range, last) = (&refusal.range, refusal.asked.millis());
            let rests = [
                range.start..range.end.min(asked.start),
                range.start.max(asked.end)..range.end,
            ];
            for rest in rests.into_iter().filter(|rest| !rest.is_empty()) {
                let no = number(meter);
                insert.execute(params![
                    no,
                    object.0,
                    rest.start,
                    rest.end,
                    refusal.tries,
                    last
                ])?;
            }
        }
        for gap in gaps {
            let tries = gap.refused.map_or(0, |(tries, _)| tries).saturating_add(1);
            let (first, past) = (gap.range.start, gap.range.end);
            insert.execute(params![
                number(meter),
                object.0,
                first,
                past,
                tries,
                at.millis()
            ])?;
        }
        Ok(())
    }

    fn put_register(
        &self,
        meter: MeterId,
        register: &RegisterReading,
        midnight: i64,
    ) -> Result<(), StoreError> {
        let (mut value, mut scaler, mut unit, mut text) = (None, None, None, None);
        match &register.value {
            RegisterValue::Number {
                value: v,
                scaler: s,
                unit: u,
            } => (value, scaler, unit) = (Some(*v), Some(*s), Some(*u)),
            RegisterValue::Text(t) => text = Some(t.chars().take(256).collect::<String>()),
        }
        // The last value of an earlier day stays beside the new one, as long as the scale is the
        // same.
        self.connection
            .prepare_cached(
                "INSERT INTO register(meter, object, attribute, value, scaler, unit, text, at)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT DO UPDATE SET
                     earlier = CASE WHEN scaler IS NOT excluded.scaler THEN NULL
                                    WHEN at < ?9 THEN value ELSE earlier END,
                     earlier_at = CASE WHEN scaler IS NOT excluded.scaler THEN NULL
                                       WHEN at < ?9 THEN at ELSE earlier_at END,
                     value = excluded.value, scaler = excluded.scaler, unit = excluded.unit,
                     text = excluded.text, at = excluded.at
                 WHERE excluded.at >= at",
            )?
            .execute(params![
                number(meter),
                register.object.0,
                register.attribute,
                value,
                scaler,
                unit,
                text,
                register.at.millis(),
                midnight.saturating_mul(1_000),
            ])?;
        Ok(())
    }

    fn put_event(&self, meter: MeterId, event: Event) -> Result<bool, StoreError> {
        let (log, via): (&[u8], _) = match &event.source {
            EventSource::Meter(log) => (&log.0, None),
            EventSource::HeadEnd => (&[], None),
            EventSource::Concentrator { by, log } => {
                let log = log.as_ref().map_or(&[][..], |log| &log.0);
                (log, Some(number(*by)))
            }
        };
        // What a concentrator told is the meter's own word once that says it.
        let added = self
            .connection
            .prepare_cached(
                "INSERT INTO event(meter, at, log, code, via) VALUES(?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET via = NULL
                 WHERE via IS NOT NULL AND excluded.via IS NULL",
            )?
            .execute(params![
                number(meter),
                event.at.millis(),
                log,
                event.code,
                via
            ])?;
        Ok(added == 1)
    }

    fn put_state(&self, meter: MeterId, state: &MeterState) -> Result<(), StoreError> {
        let millis = |at: Timestamp| at.millis();
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO state(meter, reached, failing_since, attempts, reason,
                     newest, rtt, breaker, breaker_at, clock_offset, clock_zone, clock_at,
                     firmware, power, power_at)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            )?
            .execute(params![
                number(meter),
                state.reached.map(millis),
                state.failing.map(|failing| failing.since.millis()),
                state.failing.map(|failing| failing.attempts),
                state.failing.map(|failing| failing.reason.code()),
                state.newest.map(millis),
                state.rtt_us,
                state.breaker.map(|(breaker, _)| breaker.control_state()),
                state.breaker.map(|(_, at)| at.millis()),
                state.clock.map(|clock| clock.offset_ms),
                state.clock.and_then(|clock| clock.zone_min),
                state.clock.map(|clock| clock.at.millis()),
                state.firmware,
                state.power.map(|(power, _)| power),
                state.power.map(|(_, at)| at.millis()),
            ])?;
        Ok(())
    }

    fn known(&self, meter: MeterId) -> Result<Known, StoreError> {
        self.connection
            .prepare_cached("SELECT load_profile, expected_from, period FROM meter WHERE no = ?1")?
            .query_row([number(meter)], |row| {
                Ok(Known {
                    load_profile: Obis(row.get(0)?),
                    expected_from: row.get(1)?,
                    period_s: row.get(2)?,
                })
            })
            .optional()?
            .ok_or(StoreError::UnknownMeter(meter))
    }

    fn profile(&mut self, layout: &ProfileLayout) -> Result<i64, StoreError> {
        if let Some(id) = self.profiles.get(layout) {
            return Ok(*id);
        }
        // All layouts of the object, so that counts can be added up from here.
        for (id, known) in read::layouts(&self.connection, layout.object)? {
            self.profiles.insert(known, id);
        }
        if let Some(id) = self.profiles.get(layout) {
            return Ok(*id);
        }
        if self.profiles.len() >= PROFILES_MAX {
            return Err(StoreError::TooMuch);
        }
        self.connection.execute(
            "INSERT INTO profile(object, period, channels) VALUES(?1, ?2, ?3)",
            params![
                layout.object.0,
                layout.period_s,
                channel_octets(&layout.channels)
            ],
        )?;
        let id = self.connection.last_insert_rowid();
        self.profiles.insert(layout.clone(), id);
        Ok(id)
    }

    fn profile_object(&self, profile: i64) -> Result<Obis, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT object FROM profile WHERE id = ?1")?;
        Ok(Obis(statement.query_row([profile], |row| row.get(0))?))
    }

    fn day(&mut self, secs: i64) -> (Day, DayBounds) {
        match self.day {
            Some((day, bounds)) if (bounds.start..bounds.end).contains(&secs) => (day, bounds),
            _ => self.day_bounds(self.calendar.day_of(secs)),
        }
    }

    fn day_bounds(&mut self, day: Day) -> (Day, DayBounds) {
        match self.day {
            Some((last, bounds)) if last == day => (day, bounds),
            _ => {
                let bounds = self.calendar.bounds(day);
                self.day = Some((day, bounds));
                (day, bounds)
            }
        }
    }
}

/// The greatest number of layouts: a meter that tells another one each time must not fill memory.
const PROFILES_MAX: usize = 10_000;

/// The greatest number of rows that fit no slot and that a concentrator tells, of one profile.
const STRAYS_TOLD_MAX: u32 = 1_000;

/// What the registry says about a meter.
struct Known {
    load_profile: Obis,
    expected_from: i64,
    period_s: Option<u32>,
}

/// Where rows belong: one profile of one meter on one day.
struct Place<'a> {
    meter: MeterId,
    profile: i64,
    layout: &'a ProfileLayout,
    day: Day,
    bounds: DayBounds,
}

impl Place<'_> {
    fn slots(&self) -> usize {
        self.layout.slots(self.bounds.end - self.bounds.start)
    }

    /// The time a block sealed without new rows is stamped with: the day's end.
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.bounds.end)
    }
}

#[derive(Default)]
struct Tally {
    added: u64,
    changed: u64,
    same: u64,
    stray: u64,
    conflicts: u64,
}

/// The slot that an interval fills, or `None` where it begins or ends elsewhere.
fn slot(layout: &ProfileLayout, bounds: DayBounds, row: &Interval) -> Option<usize> {
    let captured = row.captured();
    if captured.millis() % 1_000 != 0 {
        return None;
    }
    if layout.period_s == 86_400 {
        return (captured.secs() == bounds.end).then_some(0);
    }
    let period = i64::from(layout.period_s);
    let past = captured.secs() - bounds.start;
    if row.duration_s != layout.period_s || past % period != 0 {
        return None;
    }
    usize::try_from(past / period - 1).ok()
}

/// The number of the concentrator that read something, where one did.
fn concentrator(source: Source) -> Option<i64> {
    match source {
        Source::Direct => None,
        Source::Concentrator(by) => Some(number(by)),
    }
}

/// The sum of a column without a hole.
fn sum(block: &DayRows, channel: usize) -> Option<i64> {
    let mut sum = 0_i64;
    for slot in 0..block.slots() {
        let value = block.row(slot)?.values.get(channel).copied().flatten()?;
        sum = sum.checked_add(value)?;
    }
    Some(sum)
}

/// What a sweep says about the meter's state.
fn advance(state: &mut MeterState, sweep: &Sweep) {
    match sweep.contact {
        Contact::Reached { rtt_us } => {
            state.reached = state.reached.max(Some(sweep.at));
            state.failing = None;
            state.rtt_us = rtt_us.or(state.rtt_us);
        }
        Contact::Failed { reason } => {
            let before = state.failing;
            state.failing = Some(Failing {
                since: before.map_or(sweep.at, |failing| failing.since),
                attempts: before
                    .map_or(0, |failing| failing.attempts)
                    .saturating_add(1),
                reason,
            });
        }
        Contact::Told => {}
    }
    if let Some(breaker) = sweep.breaker {
        state.breaker = Some((breaker, sweep.at));
    }
    if let Some(clock) = sweep.clock {
        state.clock = Some(clock);
    }
    if let Some(firmware) = &sweep.firmware {
        state.firmware = Some(firmware.chars().take(64).collect());
    }
    if let Some(power) = crate::power::total(&sweep.registers) {
        state.power = Some(power);
    }
}
