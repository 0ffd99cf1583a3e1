//! The journal of orders to meters.

use model::{BreakerState, MeterId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, params};

use super::SqliteStore;
use super::read::{id, number};
use crate::store::{
    MeterOrderEnd, MeterOrderKind, MeterOrderLimit, MeterOrderLimits, MeterOrderOutcome,
    MeterOrderRow, MeterOrderTables, NewMeterOrder, Pending, ReadBack, StoreError,
};

const COLUMNS: &str = "no, meter, at, who, kind, message, reason, due, sent, outcome, answer, \
                       output, control, shown, read, ended";

/// What is written of an order that a head end left open.
const LEFT_UNSENT: &str = "The head end stopped before it was sent. Nothing was sent.";
const LEFT_SENT: &str = "The head end stopped after it was sent and before an answer was written \
                         down. It is not sent again: read the meter.";

impl MeterOrderTables for SqliteStore {
    fn begin(
        &self,
        order: NewMeterOrder,
        limits: MeterOrderLimits,
    ) -> Pending<Result<i64, MeterOrderLimit>> {
        self.submit(move |writer| begin(writer.connection(), &order, limits))
    }

    fn sending(&self, number: i64, at: Timestamp) -> Pending<()> {
        self.submit(move |writer| {
            writer
                .connection()
                .prepare_cached("UPDATE meter_order SET sent = ?2 WHERE no = ?1")?
                .execute(params![number, at.millis()])?;
            Ok(())
        })
    }

    fn close(&self, number: i64, end: MeterOrderEnd) -> Pending<()> {
        self.submit(move |writer| {
            let read = end.read_back.as_ref();
            let control = read.and_then(|read| read.control);
            writer
                .connection()
                .prepare_cached(
                    "UPDATE meter_order SET outcome = ?2, answer = ?3, output = ?4, control = ?5,
                         shown = ?6, read = ?7, ended = ?8
                     WHERE no = ?1 AND outcome IS NULL",
                )?
                .execute(params![
                    number,
                    end.outcome as u8,
                    end.answer,
                    read.and_then(|read| read.output),
                    control.map(BreakerState::control_state),
                    read.and_then(|read| read.text.clone()),
                    read.map(|read| read.at.millis()),
                    end.at.millis(),
                ])?;
            Ok(())
        })
    }

    fn interrupted(&self, at: Timestamp) -> Pending<usize> {
        self.submit(move |writer| {
            let left = writer.connection().execute(
                "UPDATE meter_order SET ended = ?1,
                     outcome = CASE WHEN sent IS NULL THEN ?2 ELSE ?3 END,
                     answer = CASE WHEN sent IS NULL THEN ?4 ELSE ?5 END
                 WHERE outcome IS NULL",
                params![
                    at.millis(),
                    MeterOrderOutcome::NotSent as u8,
                    MeterOrderOutcome::Unknown as u8,
                    LEFT_UNSENT,
                    LEFT_SENT,
                ],
            )?;
            Ok(left)
        })
    }

    fn by_number(&self, number: i64) -> Result<Option<MeterOrderRow>, StoreError> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM meter_order WHERE no = ?1"))?;
            let mut rows = statement.query([number])?;
            rows.next()?.map(order).transpose()
        })
    }

    fn list(
        &self,
        meter: Option<MeterId>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<(u64, Vec<MeterOrderRow>), StoreError> {
        let (whose, before) = (meter.map(number), before.unwrap_or(i64::MAX));
        let of = match whose {
            Some(_) => "meter = ?1",
            None => "?1 IS NULL",
        };
        self.read(|connection| {
            let total: i64 = connection
                .prepare_cached(&format!("SELECT count(*) FROM meter_order WHERE {of}"))?
                .query_row([whose], |row| row.get(0))?;
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM meter_order WHERE {of} AND no < ?2
                 ORDER BY no DESC LIMIT ?3"
            ))?;
            let mut found = statement.query(params![whose, before, limit])?;
            let mut rows = Vec::new();
            while let Some(row) = found.next()? {
                rows.push(order(row)?);
            }
            Ok((total.unsigned_abs(), rows))
        })
    }

    fn disconnections(&self, since: Timestamp) -> Result<u32, StoreError> {
        self.read(|connection| disconnections(connection, since))
    }

    fn switching(&self, meter: MeterId) -> Result<Option<i64>, StoreError> {
        self.read(|connection| switching(connection, meter))
    }
}

fn begin(
    connection: &Connection,
    order: &NewMeterOrder,
    limits: MeterOrderLimits,
) -> Result<Result<i64, MeterOrderLimit>, StoreError> {
    let open: u32 = connection
        .prepare_cached("SELECT count(*) FROM meter_order WHERE outcome IS NULL")?
        .query_row((), |row| row.get(0))?;
    if open >= limits.open {
        return Ok(Err(MeterOrderLimit::Open));
    }
    if order.kind.switches()
        && let Some(other) = switching(connection, order.meter)?
    {
        return Ok(Err(MeterOrderLimit::Switching(other)));
    }
    let (since, most) = limits.disconnections;
    if order.kind == MeterOrderKind::Disconnect && disconnections(connection, since)? >= most {
        return Ok(Err(MeterOrderLimit::Disconnections));
    }
    connection
        .prepare_cached(
            "INSERT INTO meter_order(meter, at, who, kind, message, reason, due)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            number(order.meter),
            order.at.millis(),
            order.who,
            order.kind as u8,
            order.text,
            order.reason,
            order.due.millis(),
        ])?;
    Ok(Ok(connection.last_insert_rowid()))
}

/// What was not sent counts no more, and neither does what the meter refused.
fn disconnections(connection: &Connection, since: Timestamp) -> Result<u32, StoreError> {
    let count = connection
        .prepare_cached(
            "SELECT count(*) FROM meter_order WHERE kind = ?1 AND at >= ?2
             AND (outcome IS NULL OR outcome NOT IN (?3, ?4, ?5))",
        )?
        .query_row(
            params![
                MeterOrderKind::Disconnect as u8,
                since.millis(),
                MeterOrderOutcome::Refused as u8,
                MeterOrderOutcome::NotSent as u8,
                MeterOrderOutcome::Stopped as u8,
            ],
            |row| row.get(0),
        )?;
    Ok(count)
}

fn switching(connection: &Connection, meter: MeterId) -> Result<Option<i64>, StoreError> {
    let found = connection
        .prepare_cached(
            "SELECT no FROM meter_order WHERE meter = ?1 AND outcome IS NULL
             AND kind IN (?2, ?3, ?4) LIMIT 1",
        )?
        .query_row(
            params![
                number(meter),
                MeterOrderKind::Connect as u8,
                MeterOrderKind::Disconnect as u8,
                MeterOrderKind::Switchover as u8,
            ],
            |row| row.get(0),
        )
        .optional()?;
    Ok(found)
}

fn order(row: &SqlRow<'_>) -> Result<MeterOrderRow, StoreError> {
    let damaged = || StoreError::DamagedValue("order");
    let time = |at: usize| -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> = row.get(at)?;
        Ok(at.map(Timestamp::from_millis))
    };
    let outcome: Option<u8> = row.get(9)?;
    let outcome = outcome.map(|code| MeterOrderOutcome::from_code(code).ok_or_else(damaged));
    let end = match (outcome.transpose()?, time(15)?) {
        (Some(outcome), Some(at)) => Some(MeterOrderEnd {
            outcome,
            answer: row.get(10)?,
            read_back: match time(14)? {
                None => None,
                Some(at) => Some(ReadBack {
                    output: row.get(11)?,
                    control: row
                        .get::<_, Option<u8>>(12)?
                        .map(BreakerState::from_control_state),
                    text: row.get(13)?,
                    at,
                }),
            },
            at,
        }),
        _ => None,
    };
    Ok(MeterOrderRow {
        number: row.get(0)?,
        order: NewMeterOrder {
            meter: id(row.get(1)?)?,
            at: time(2)?.ok_or_else(damaged)?,
            who: row.get(3)?,
            kind: MeterOrderKind::from_code(row.get(4)?).ok_or_else(damaged)?,
            text: row.get(5)?,
            reason: row.get(6)?,
            due: time(7)?.ok_or_else(damaged)?,
        },
        sent: time(8)?,
        end,
    })
}
