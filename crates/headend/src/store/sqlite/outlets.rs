//! Tables of outlet meters.

use std::collections::BTreeMap;
use std::ops::Range;

use model::Timestamp;
use model::xml::{CivilDateTime, OutletId, OutletPower, SmartMeterId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::SqliteStore;
use crate::outlets::Record;
use crate::outlets::store::{self as rows, COLUMNS, stored};
use crate::store::{
    NewOrder, OrderKind, OrderRow, Outcome, OutletTables, Pending, RecordKind, StoreError,
};

impl OutletTables for SqliteStore {
    fn enrol(
        &self,
        meters: Vec<(SmartMeterId, CivilDateTime)>,
        offset_min: i16,
    ) -> Pending<BTreeMap<SmartMeterId, CivilDateTime>> {
        self.submit(move |writer| enrol(writer.connection(), &meters, offset_min))
    }

    fn insert(&self, records: Vec<Record>) -> Pending<usize> {
        self.submit(move |writer| Ok(rows::insert(writer.connection(), &records)?))
    }

    fn load(&self, from: CivilDateTime, each: &mut dyn FnMut(Record)) -> Result<(), StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare(&format!(
                "SELECT {COLUMNS} FROM outlet
                 WHERE kind <> ?1 AND (kind <> ?2 OR at >= ?3) ORDER BY at"
            ))?;
            let from = stored(from.ordinal());
            let mut found = statement.query(params![rows::WARNING, rows::USAGE, from])?;
            while let Some(row) = found.next()? {
                if let Some(record) = rows::record(row)? {
                    each(record);
                }
            }
            Ok(())
        })
    }

    fn usage(
        &self,
        meter: SmartMeterId,
        outlet: OutletId,
        range: Range<CivilDateTime>,
    ) -> Result<BTreeMap<CivilDateTime, OutletPower>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM outlet
                 WHERE meter = ?1 AND kind = ?2 AND outlet = ?3 AND at >= ?4 AND at < ?5"
            ))?;
            let (from, to) = (stored(range.start.ordinal()), stored(range.end.ordinal()));
            let mut found = statement.query(params![meter.0, rows::USAGE, outlet.0, from, to])?;
            let mut usage = BTreeMap::new();
            while let Some(row) = found.next()? {
                if let Some(Record::Usage { at, power, .. }) = rows::record(row)? {
                    usage.insert(at, power);
                }
            }
            Ok(usage)
        })
    }

    fn latest(
        &self,
        meter: SmartMeterId,
        outlets: &[OutletId],
    ) -> Result<BTreeMap<OutletId, (CivilDateTime, OutletPower)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM outlet WHERE meter = ?1 AND kind = ?2 AND outlet = ?3
                 ORDER BY at DESC LIMIT 1"
            ))?;
            let mut latest = BTreeMap::new();
            for outlet in outlets {
                let mut found = statement.query(params![meter.0, rows::USAGE, outlet.0])?;
                if let Some(row) = found.next()?
                    && let Some(Record::Usage { at, power, .. }) = rows::record(row)?
                {
                    latest.insert(*outlet, (at, power));
                }
            }
            Ok(latest)
        })
    }

    fn records(
        &self,
        meter: SmartMeterId,
        kind: RecordKind,
        limit: u32,
    ) -> Result<(u64, Vec<Record>), StoreError> {
        let kind = match kind {
            RecordKind::Warning => rows::WARNING,
            RecordKind::Order => rows::ORDER,
            RecordKind::Cost => rows::COST,
        };
        self.read(|connection| {
            let total: i64 = connection
                .prepare_cached("SELECT count(*) FROM outlet WHERE meter = ?1 AND kind = ?2")?
                .query_row(params![meter.0, kind], |row| row.get(0))?;
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM outlet WHERE meter = ?1 AND kind = ?2
                 ORDER BY at DESC, outlet LIMIT ?3"
            ))?;
            let mut found = statement.query(params![meter.0, kind, limit])?;
            let mut records = Vec::new();
            while let Some(row) = found.next()? {
                records.extend(rows::record(row)?);
            }
            Ok((total.unsigned_abs(), records))
        })
    }

    fn order(&self, order: NewOrder, openings: Option<(Timestamp, u32)>) -> Pending<Option<i64>> {
        self.submit(move |writer| {
            let connection = writer.connection();
            if let Some((since, most)) = openings {
                let opened: i64 = connection.query_row(
                    "SELECT count(*) FROM outlet_order WHERE kind = ?1 AND at >= ?2
                     AND (outcome IS NULL OR outcome <> ?3)",
                    params![OrderKind::Open as u8, since.millis(), Outcome::Refused as u8],
                    |row| row.get(0),
                )?;
                if opened >= i64::from(most) {
                    return Ok(None);
                }
            }
            connection.execute(
                "INSERT INTO outlet_order(meter, at, kind, what, reason) VALUES(?1, ?2, ?3, ?4, ?5)",
                params![
                    order.meter.0,
                    order.at.millis(),
                    order.kind as u8,
                    order.what,
                    order.reason
                ],
            )?;
            Ok(Some(connection.last_insert_rowid()))
        })
    }

    fn ended(&self, order: i64, outcome: Outcome, at: Timestamp) -> Pending<()> {
        self.submit(move |writer| {
            writer.connection().execute(
                "UPDATE outlet_order SET outcome = ?2, ended = ?3 WHERE no = ?1",
                params![order, outcome as u8, at.millis()],
            )?;
            Ok(())
        })
    }

    fn orders(&self, meter: SmartMeterId, limit: u32) -> Result<Vec<OrderRow>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT no, at, kind, what, reason, outcome, ended FROM outlet_order
                 WHERE meter = ?1 ORDER BY no DESC LIMIT ?2",
            )?;
            let mut found = statement.query(params![meter.0, limit])?;
            let mut orders = Vec::new();
            while let Some(row) = found.next()? {
                let Some(kind) = OrderKind::from_code(row.get(2)?) else {
                    continue;
                };
                let outcome: Option<u8> = row.get(5)?;
                let ended: Option<i64> = row.get(6)?;
                orders.push(OrderRow {
                    number: row.get(0)?,
                    order: NewOrder {
                        meter,
                        at: Timestamp::from_millis(row.get(1)?),
                        kind,
                        what: row.get(3)?,
                        reason: row.get(4)?,
                    },
                    ended: outcome
                        .and_then(Outcome::from_code)
                        .zip(ended.map(Timestamp::from_millis)),
                });
            }
            Ok(orders)
        })
    }
}

fn enrol(
    connection: &Connection,
    meters: &[(SmartMeterId, CivilDateTime)],
    offset_min: i16,
) -> Result<BTreeMap<SmartMeterId, CivilDateTime>, StoreError> {
    let zone = format!("UTC{offset_min:+} min");
    let known: Option<String> = connection
        .query_row("SELECT value FROM meta WHERE key = 'outlets'", (), |row| {
            row.get(0)
        })
        .optional()?;
    match known {
        Some(known) if known == zone => {}
        Some(stored) => {
            return Err(StoreError::OtherZone {
                stored,
                configured: zone,
            });
        }
        None => {
            connection.execute("INSERT INTO meta(key, value) VALUES('outlets', ?1)", [zone])?;
        }
    }
    let mut all = BTreeMap::new();
    let mut insert = connection
        .prepare_cached("INSERT OR IGNORE INTO outlet_meter(no, since) VALUES(?1, ?2)")?;
    let mut select = connection.prepare_cached("SELECT since FROM outlet_meter WHERE no = ?1")?;
    for (meter, since) in meters {
        insert.execute(params![meter.0, stored(since.ordinal())])?;
        let since: i64 = select.query_row([meter.0], |row| row.get(0))?;
        let since = CivilDateTime::from_ordinal(since.unsigned_abs());
        all.insert(*meter, since.ok_or(StoreError::DamagedValue("enrolment"))?);
    }
    Ok(all)
}
