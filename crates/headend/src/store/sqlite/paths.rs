//! What paths readings took.

use dlms::cosem::Obis;
use model::{MeterId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};

use super::read::number;
use super::write::Writer;
use crate::store::{
    Carried, Contact, PathRun, PathTaken, Paths, Receipt, Source, StoreError, Sweep,
};

/// Counting a meter's runs costs as many steps: at each so many-th run, whose it is.
const PURGE_EVERY: i64 = 64;

impl Writer {
    /// Notes what the readings of a sweep came by: another run where the paths are others than
    /// those of the sweep before.
    pub(super) fn put_receipts(&self, sweep: &Sweep) -> Result<(), StoreError> {
        if sweep.source != Source::Direct {
            return Ok(());
        }
        let meter = number(sweep.meter);
        if sweep.receipts.is_empty() {
            if matches!(sweep.contact, Contact::Reached { .. }) {
                // What is read over another network lies in no run, so none may go on behind it.
                self.connection()
                    .prepare_cached(
                        "UPDATE receipt SET closed = 1 WHERE meter = ?1 AND closed = 0",
                    )?
                    .execute([meter])?;
            }
            return Ok(());
        }
        let mut counted = Vec::new();
        for receipt in &sweep.receipts {
            let run = match self.run_of(meter, &receipt.paths)? {
                Some(run) => run,
                None => self.put_run(meter, receipt)?,
            };
            let associations = i64::from(!counted.contains(&run));
            counted.push(run);
            self.connection()
                .prepare_cached(
                    "UPDATE receipt SET last = max(last, ?2), associations = associations + ?3
                     WHERE no = ?1",
                )?
                .execute(params![run, receipt.last.millis(), associations])?;
            for carried in &receipt.carried {
                self.put_carried(run, carried)?;
            }
        }
        Ok(())
    }

    /// Finds the run that is under way, where it is by these paths.
    fn run_of(&self, meter: i64, paths: &Paths) -> Result<Option<i64>, StoreError> {
        let mut last = self.connection().prepare_cached(
            "SELECT no, sent, sent_mark, sent_verified, received, received_mark, received_verified
             FROM receipt WHERE meter = ?1 AND closed = 0 ORDER BY no DESC LIMIT 1",
        )?;
        let mut rows = last.query([meter])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let same = taken(row, 1)? == paths.sent && taken(row, 4)? == paths.received;
        Ok(same.then_some(row.get(0)?))
    }

    fn put_run(&self, meter: i64, receipt: &Receipt) -> Result<i64, StoreError> {
        let connection = self.connection();
        connection
            .prepare_cached("UPDATE receipt SET closed = 1 WHERE meter = ?1 AND closed = 0")?
            .execute([meter])?;
        let part = |taken: &Option<PathTaken>| match taken {
            Some(taken) => (
                Some(taken.hops.clone()),
                Some(taken.fingerprint.clone()),
                Some(taken.verified),
            ),
            None => (None, None, None),
        };
        let (sent, received) = (part(&receipt.paths.sent), part(&receipt.paths.received));
        connection
            .prepare_cached(
                "INSERT INTO receipt(meter, first, last, sent, sent_mark, sent_verified, received,
                     received_mark, received_verified, associations, closed)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, 0)",
            )?
            .execute(params![
                meter,
                receipt.first.millis(),
                receipt.last.millis(),
                sent.0,
                sent.1,
                sent.2,
                received.0,
                received.1,
                received.2,
            ])?;
        let run = connection.last_insert_rowid();
        if run % PURGE_EVERY == 0 {
            self.purge_runs(meter)?;
        }
        Ok(run)
    }

    /// Forgets a meter's oldest runs, where it has more than it may.
    fn purge_runs(&self, meter: i64) -> Result<(), StoreError> {
        let connection = self.connection();
        let old: Option<i64> = connection
            .prepare_cached(
                "SELECT no FROM receipt WHERE meter = ?1 ORDER BY no DESC LIMIT 1 OFFSET ?2",
            )?
            .query_row(params![meter, Receipt::RUNS_MAX], |row| row.get(0))
            .optional()?;
        if let Some(old) = old {
            connection
                .prepare_cached(
                    "DELETE FROM carried WHERE run IN
                         (SELECT no FROM receipt WHERE meter = ?1 AND no <= ?2)",
                )?
                .execute(params![meter, old])?;
            connection
                .prepare_cached("DELETE FROM receipt WHERE meter = ?1 AND no <= ?2")?
                .execute(params![meter, old])?;
        }
        Ok(())
    }

    /// Adds a span of a profile to those of a run that it meets.
    fn put_carried(&self, run: i64, carried: &Carried) -> Result<(), StoreError> {
        let connection = self.connection();
        let (object, span) = (carried.object.0, &carried.span);
        let met: (Option<i64>, Option<i64>) = connection
            .prepare_cached(
                "SELECT min(first), max(past) FROM carried
                 WHERE run = ?1 AND object = ?2 AND first <= ?4 AND past >= ?3",
            )?
            .query_row(params![run, object, span.start, span.end], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let first = met.0.map_or(span.start, |first| first.min(span.start));
        let past = met.1.map_or(span.end, |past| past.max(span.end));
        if met.0.is_some() {
            connection
                .prepare_cached(
                    "DELETE FROM carried WHERE run = ?1 AND object = ?2 AND first <= ?4 AND past >= ?3",
                )?
                .execute(params![run, object, span.start, span.end])?;
        }
        connection
            .prepare_cached("INSERT INTO carried(run, object, first, past) VALUES(?1, ?2, ?3, ?4)")?
            .execute(params![run, object, first, past])?;
        Ok(())
    }
}

fn taken(row: &SqlRow<'_>, at: usize) -> Result<Option<PathTaken>, StoreError> {
    let Some(hops) = row.get::<_, Option<String>>(at)? else {
        return Ok(None);
    };
    Ok(Some(PathTaken {
        hops,
        fingerprint: row.get(at + 1)?,
        verified: row.get(at + 2)?,
    }))
}

pub(super) fn runs(
    connection: &Connection,
    meter: MeterId,
    before: Option<Timestamp>,
    limit: u32,
) -> Result<(u64, Vec<PathRun>), StoreError> {
    let total: i64 = connection
        .prepare_cached("SELECT count(*) FROM receipt WHERE meter = ?1")?
        .query_row([number(meter)], |row| row.get(0))?;
    let before = before.map_or(i64::MAX, Timestamp::millis);
    let mut statement = connection.prepare_cached(
        "SELECT no, sent, sent_mark, sent_verified, received, received_mark, received_verified,
             first, last, associations
         FROM receipt WHERE meter = ?1 AND first < ?2 ORDER BY no DESC LIMIT ?3",
    )?;
    let mut rows = statement.query(params![number(meter), before, limit.min(Receipt::RUNS_MAX)])?;
    let mut runs = Vec::new();
    while let Some(row) = rows.next()? {
        let time = |at| row.get(at).map(Timestamp::from_millis);
        runs.push(PathRun {
            receipt: Receipt {
                first: time(7)?,
                last: time(8)?,
                paths: Paths {
                    sent: taken(row, 1)?,
                    received: taken(row, 4)?,
                },
                carried: carried(connection, row.get(0)?)?,
            },
            associations: row.get(9)?,
        });
    }
    Ok((u64::try_from(total).unwrap_or(0), runs))
}

fn carried(connection: &Connection, run: i64) -> Result<Vec<Carried>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT object, first, past FROM carried WHERE run = ?1 ORDER BY first DESC, object LIMIT ?2",
    )?;
    let rows = statement.query_map(params![run, Receipt::CARRIED_MAX], |row| {
        Ok(Carried {
            object: Obis(row.get(0)?),
            span: row.get(1)?..row.get(2)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
