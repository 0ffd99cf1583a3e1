//! Fences that somebody set.

use model::{MeterId, Timestamp};
use rusqlite::params;

use super::SqliteStore;
use super::read::number;
use crate::store::{FenceTables, Pending, SavedFence, StoreError};

impl FenceTables for SqliteStore {
    fn put(&self, fence: SavedFence) -> Pending<()> {
        self.submit(move |writer| {
            writer
                .connection()
                .prepare_cached(
                    "INSERT INTO meter_fence(meter, at, who, reason, fence, allowed, known)
                     VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![
                    number(fence.meter),
                    fence.at.millis(),
                    fence.who,
                    fence.reason,
                    fence.fence,
                    fence.allowed,
                    fence.known,
                ])?;
            Ok(())
        })
    }

    fn current(&self, meter: MeterId) -> Result<Option<SavedFence>, StoreError> {
        Ok(self.history(meter, 1)?.pop())
    }

    fn history(&self, meter: MeterId, limit: u32) -> Result<Vec<SavedFence>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT at, who, reason, fence, allowed, known FROM meter_fence
                 WHERE meter = ?1 ORDER BY no DESC LIMIT ?2",
            )?;
            let rows = statement.query_map(params![number(meter), limit], |row| {
                Ok(SavedFence {
                    meter,
                    at: Timestamp::from_millis(row.get(0)?),
                    who: row.get(1)?,
                    reason: row.get(2)?,
                    fence: row.get(3)?,
                    allowed: row.get(4)?,
                    known: row.get(5)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}
