//! The journal of drills.

use model::{MeterId, Timestamp};
use rusqlite::{Row as SqlRow, params};

use super::SqliteStore;
use super::read::{id, number};
use crate::store::{
    DrillEnd, DrillOutcome, DrillRow, DrillTables, NewDrill, Pending, StoreError, TIMELINES_KEPT,
};

/// What is written of a drill that a head end left open.
const LEFT: &str = "The head end stopped meanwhile. The network mends the link by itself after the \
                    time that was asked for.";

impl DrillTables for SqliteStore {
    fn begin(&self, drill: NewDrill) -> Pending<i64> {
        self.submit(move |writer| {
            let connection = writer.connection();
            connection
                .prepare_cached(
                    "INSERT INTO drill(meter, at, who, reason, link, silent, mend_after)
                     VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![
                    number(drill.meter),
                    drill.at.millis(),
                    drill.who,
                    drill.reason,
                    drill.link,
                    drill.silent,
                    drill.mend_after_s,
                ])?;
            Ok(connection.last_insert_rowid())
        })
    }

    fn close(&self, number: i64, end: DrillEnd) -> Pending<()> {
        self.submit(move |writer| {
            let connection = writer.connection();
            connection
                .prepare_cached(
                    "UPDATE drill SET outcome = ?2, answer = ?3, summary = ?4, timeline = ?5,
                         ended = ?6
                     WHERE no = ?1 AND outcome IS NULL",
                )?
                .execute(params![
                    number,
                    end.outcome as u8,
                    end.answer,
                    end.summary,
                    end.timeline,
                    end.at.millis(),
                ])?;
            connection
                .prepare_cached(
                    "UPDATE drill SET timeline = NULL
                     WHERE meter = (SELECT meter FROM drill WHERE no = ?1)
                         AND summary IS NOT NULL AND timeline IS NOT NULL
                         AND no NOT IN (SELECT no FROM drill AS kept
                             WHERE kept.meter = drill.meter AND kept.timeline IS NOT NULL
                             ORDER BY kept.no DESC LIMIT ?2)",
                )?
                .execute(params![number, TIMELINES_KEPT])?;
            Ok(())
        })
    }

    fn interrupted(&self, at: Timestamp) -> Pending<usize> {
        self.submit(move |writer| {
            let left = writer.connection().execute(
                "UPDATE drill SET outcome = ?1, answer = ?2, ended = ?3 WHERE outcome IS NULL",
                params![DrillOutcome::CutOff as u8, LEFT, at.millis()],
            )?;
            Ok(left)
        })
    }

    fn by_number(&self, meter: MeterId, number: i64) -> Result<Option<DrillRow>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT no, meter, at, who, reason, link, silent, mend_after, outcome, answer,
                     summary, timeline, ended
                 FROM drill WHERE meter = ?1 AND no = ?2",
            )?;
            let mut found = statement.query(params![self::number(meter), number])?;
            found.next()?.map(drill).transpose()
        })
    }

    fn list(&self, meter: MeterId, limit: u32) -> Result<Vec<DrillRow>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT no, meter, at, who, reason, link, silent, mend_after, outcome, answer,
                     summary, CASE WHEN summary IS NULL THEN timeline END, ended
                 FROM drill WHERE meter = ?1 ORDER BY no DESC LIMIT ?2",
            )?;
            let mut found = statement.query(params![number(meter), limit])?;
            let mut rows = Vec::new();
            while let Some(row) = found.next()? {
                rows.push(drill(row)?);
            }
            Ok(rows)
        })
    }
}

fn drill(row: &SqlRow<'_>) -> Result<DrillRow, StoreError> {
    let damaged = || StoreError::DamagedValue("drill");
    let outcome: Option<u8> = row.get(8)?;
    let end = match outcome {
        None => None,
        Some(code) => Some(DrillEnd {
            outcome: DrillOutcome::from_code(code).ok_or_else(damaged)?,
            answer: row.get(9)?,
            summary: row.get(10)?,
            timeline: row.get(11)?,
            at: Timestamp::from_millis(row.get(12)?),
        }),
    };
    Ok(DrillRow {
        number: row.get(0)?,
        drill: NewDrill {
            meter: id(row.get(1)?)?,
            at: Timestamp::from_millis(row.get(2)?),
            who: row.get(3)?,
            reason: row.get(4)?,
            link: row.get(5)?,
            silent: row.get(6)?,
            mend_after_s: row.get(7)?,
        },
        end,
    })
}
