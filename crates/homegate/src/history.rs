//! History in SQLite: one row a minute with what power was and where the
//! registers stood, and one for each time without readings.
//!
//! What is lost when the process is killed are the last ten seconds at most;
//! when power is cut, the last minute. Both are then told as missing, and the
//! energy is in the registers. Time, octets and rows are bounded; the oldest
//! gives way.

use std::fmt;
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::Timestamp;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};

/// The store.
pub struct History {
    connection: Mutex<Connection>,
    bounds: Bounds,
}

/// What bounds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Octets of its file; the log beside it has 4 MiB at most.
    pub octets: u64,
    /// Rows of minutes, and of times without readings.
    pub rows: u32,
}

/// What readings of one minute tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Minute {
    /// When it begins, in seconds since 1970-01-01T00:00:00Z.
    pub start: i64,
    /// Readings in it.
    pub readings: u32,
    /// Those that told power.
    pub powers: u32,
    /// The sum of those, in watts.
    pub watts: i64,
    /// The least and the greatest of them.
    pub watts_min: Option<i64>,
    /// See above.
    pub watts_max: Option<i64>,
    /// Where the registers stood last, in thousandths of a watt hour.
    pub delivered: Option<i64>,
    /// See above.
    pub received: Option<i64>,
    /// When, in milliseconds from the minute's begin.
    pub register_ms: u32,
    /// When the last reading was received, in milliseconds since 1970.
    pub last_ms: i64,
}

/// Where the registers stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// When.
    pub at: Timestamp,
    /// Energy from the grid, in thousandths of a watt hour.
    pub delivered: Option<i64>,
    /// Energy to the grid.
    pub received: Option<i64>,
}

/// What an interval holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Readings.
    pub readings: u64,
    /// Power on average, in watts.
    pub watts: Option<i64>,
    /// The least.
    pub watts_min: Option<i64>,
    /// The greatest.
    pub watts_max: Option<i64>,
}

/// Why history cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The folder cannot be used.
    #[error("the folder of history cannot be used")]
    Folder(#[source] std::io::Error),
    /// It was written by a later version, or is of another program.
    #[error("history.sqlite is of another program or of a later version of this one")]
    Foreign,
    /// SQLite says why.
    #[error("history failed")]
    Sqlite(#[from] rusqlite::Error),
}

/// Marks the file as ours: "GWHG".
const APPLICATION_ID: i64 = 0x4757_4847;
const VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE minute(
    start INTEGER PRIMARY KEY,
    readings INTEGER NOT NULL,
    powers INTEGER NOT NULL,
    watts INTEGER NOT NULL,
    watts_min INTEGER,
    watts_max INTEGER,
    delivered INTEGER,
    received INTEGER,
    register_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE gap(
    start_ms INTEGER PRIMARY KEY,
    end_ms INTEGER NOT NULL
) STRICT;
";

/// Rows that age takes at once: a clock that jumps ahead does not cost all.
const AGED_AT_ONCE: u32 = 3_000;

/// Rows that a full file gives up.
const GIVEN_UP: u32 = 10_000;

/// Octets of a page of the database.
const PAGE: u64 = 4_096;

impl History {
    /// Opens the history in `folder`, or begins it. A file that is damaged is
    /// put aside.
    ///
    /// # Errors
    /// [`HistoryError`] says why not.
    pub fn open(folder: &Path, bounds: Bounds, now: Timestamp) -> Result<Self, HistoryError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(HistoryError::Folder)?;
        let path = folder.join("history.sqlite");
        match Self::prepare(&path, bounds) {
            Err(HistoryError::Sqlite(error)) if is_damage(&error) => {
                let aside = folder.join(format!("history.damaged-{}.sqlite", now.secs()));
                tracing::warn!(aside = %aside.display(), "history is damaged and put aside");
                std::fs::rename(&path, &aside).map_err(HistoryError::Folder)?;
                for end in ["-wal", "-shm"] {
                    let mut beside = path.clone().into_os_string();
                    beside.push(end);
                    // Where there is none, nothing is in the way.
                    drop(std::fs::remove_file(PathBuf::from(beside)));
                }
                Self::prepare(&path, bounds)
            }
            other => other,
        }
    }

    fn prepare(path: &Path, bounds: Bounds) -> Result<Self, HistoryError> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(HistoryError::Folder)?;
        let connection = Connection::open(path)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let told = (number("application_id")?, number("user_version")?);
        if !matches!(told, (0, 0) | (APPLICATION_ID, VERSION)) {
            return Err(HistoryError::Foreign);
        }
        // 256 KiB of pages in memory: the gateway is small.
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA cache_size = -256;
             PRAGMA journal_size_limit = 4194304; PRAGMA wal_autocheckpoint = 256;
             PRAGMA trusted_schema = OFF;",
        )?;
        let pages = (bounds.octets / PAGE).clamp(64, 1 << 31);
        connection.pragma_update(None, "max_page_count", i64::try_from(pages).unwrap_or(64))?;
        if told == (0, 0) {
            connection.execute_batch(&format!(
                "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID};
                 PRAGMA user_version = {VERSION}; COMMIT;"
            ))?;
        }
        let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if sound != "ok" {
            return Err(HistoryError::Sqlite(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
                None,
            )));
        }
        Ok(Self {
            connection: Mutex::new(connection),
            bounds,
        })
    }

    /// Keeps what came: adds to minutes that are there. `durably` says that it
    /// must survive a power cut.
    ///
    /// # Errors
    /// [`HistoryError::Sqlite`] where it is not kept.
    pub fn keep(
        &self,
        minutes: &[Minute],
        gaps: &[(Timestamp, Timestamp)],
        durably: bool,
    ) -> Result<(), HistoryError> {
        let mut connection = self.lock();
        match write(&mut connection, minutes, gaps, durably) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
                give_up(&connection, GIVEN_UP)?;
                Ok(write(&mut connection, minutes, gaps, durably)?)
            }
            other => Ok(other?),
        }
    }

    /// Lets the oldest give way: what is older than `oldest`, a few thousand
    /// rows at once, and what is above the bound of rows.
    ///
    /// # Errors
    /// [`HistoryError::Sqlite`] where that fails.
    pub fn prune(&self, oldest: Timestamp) -> Result<(), HistoryError> {
        let connection = self.lock();
        connection.execute(
            "DELETE FROM minute WHERE start IN
             (SELECT start FROM minute WHERE start < ?1 ORDER BY start LIMIT ?2)",
            params![oldest.secs(), AGED_AT_ONCE],
        )?;
        connection.execute(
            "DELETE FROM gap WHERE start_ms IN
             (SELECT start_ms FROM gap WHERE end_ms < ?1 ORDER BY start_ms LIMIT ?2)",
            params![oldest.millis(), AGED_AT_ONCE],
        )?;
        let over = |connection: &Connection, count: &str| -> Result<u32, rusqlite::Error> {
            let rows: u32 = connection.query_row(count, [], |row| row.get(0))?;
            Ok(rows.saturating_sub(self.bounds.rows))
        };
        let minutes = over(&connection, "SELECT count(*) FROM minute")?;
        if minutes > 0 {
            give_up(&connection, minutes)?;
        }
        let gaps = over(&connection, "SELECT count(*) FROM gap")?;
        if gaps > 0 {
            connection.execute(
                "DELETE FROM gap WHERE start_ms IN
                 (SELECT start_ms FROM gap ORDER BY start_ms LIMIT ?1)",
                params![gaps],
            )?;
        }
        Ok(())
    }

    /// Tells when the last reading was received that is kept.
    ///
    /// # Errors
    /// [`HistoryError::Sqlite`] where it cannot be read.
    pub fn last(&self) -> Result<Option<Timestamp>, HistoryError> {
        let last = self
            .lock()
            .prepare_cached("SELECT last_ms FROM minute ORDER BY start DESC LIMIT 1")?
            .query_row([], |row| row.get(0))
            .optional()?;
        Ok(last.map(Timestamp::from_millis))
    }

    /// Tells the first register at or after `from`, before `to`.
    ///
    /// # Errors
    /// [`HistoryError::Sqlite`] where it cannot be read.
    pub fn first_register(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Option<Registers>, HistoryError> {
        let sql = "SELECT start, register_ms, delivered, received FROM minute
             WHERE start >= ?1 AND start < ?2 AND delivered IS NOT NULL
             AND start * 1000 + register_ms BETWEEN ?3 AND ?4
             ORDER BY start LIMIT 1";
        self.register(sql, from, to)
    }

    /// Tells the last register at or before `to`, from `from` on.
    ///
    /// # Errors
    /// [`HistoryError::Sqlite`] where it cannot be read.
    pub fn last_register(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Option<Registers>, HistoryError> {
        let sql = "SELECT start, register_ms, delivered, received FROM minute
             WHERE start >= ?1 AND start <= ?2 AND delivered IS NOT NULL
             AND start * 1000 + register_ms BETWEEN ?3 AND ?4
             ORDER BY start DESC LIMIT 1";
        self.register(sql, from, to)
    }

    fn register(
        &self,
        sql: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Option<Registers>, HistoryError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let bounds = params![from.secs() - 60, to.secs(), from.millis(), to.millis()];
        let found = statement.query_row(bounds, |row| {
            let start: i64 = row.get(0)?;
            Ok(Registers {
                at: Timestamp::from_secs(start).plus_millis(row.get(1)?),
                delivered: row.get(2)?,
                received: row.get(3)?,
            })
        });
        Ok(found.optional()?)
    }

    /// Tells where the registers stood at `at`: in between the readings before
    /// and after where these are at most `slack_s` seconds apart, else as the
    /// nearer one that is at most `near_s` seconds away.
    ///
    /// # Errors
    /// [`HistoryError::Sqlite`] where it cannot be read.
    pub fn register_at(
        &self,
        at: Timestamp,
        slack_s: i64,
        near_s: i64,
    ) -> Result<Option<Registers>, HistoryError> {
        let reach = slack_s.max(near_s);
        let before = self.last_register(at.plus_secs(-reach), at)?;
        let after = self.first_register(at, at.plus_secs(reach))?;
        if let (Some(before), Some(after)) = (before, after)
            && after.at.millis_since(before.at) <= slack_s * 1_000
        {
            let whole = after.at.millis_since(before.at);
            let part = at.millis_since(before.at);
            let between = |from: Option<i64>, to: Option<i64>| {
                let (from, to) = (from?, to?);
                if whole == 0 || to < from {
                    return Some(from);
                }
                let grown = i128::from(to - from) * i128::from(part) / i128::from(whole);
                from.checked_add(i64::try_from(grown).ok()?)
            };
            return Ok(Some(Registers {
                at,
                delivered: between(before.delivered, after.delivered),
                received: between(before.received, after.received),
            }));
        }
        let distance = |found: &Registers| found.at.millis_since(at).saturating_abs();
        Ok([before, after]
            .into_iter()
            .flatten()
            .filter(|found| distance(found) <= near_s * 1_000)
            .min_by_key(distance))
    }

    /// Sums what readings from `from` to `to` told of power.
    ///
    /// # Errors
    /// [`HistoryError::Sqlite`] where it cannot be read.
    pub fn sum(&self, from: Timestamp, to: Timestamp) -> Result<Sum, HistoryError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT coalesce(sum(readings), 0), sum(powers), sum(watts), min(watts_min),
             max(watts_max) FROM minute WHERE start >= ?1 AND start < ?2",
        )?;
        Ok(statement.query_row(params![from.secs(), to.secs()], |row| {
            let powers: Option<i64> = row.get(1)?;
            let watts: Option<i64> = row.get(2)?;
            Ok(Sum {
                readings: row.get::<_, i64>(0)?.unsigned_abs(),
                watts: powers
                    .filter(|powers| *powers > 0)
                    .and_then(|powers| Some(rounded(watts?, powers))),
                watts_min: row.get(3)?,
                watts_max: row.get(4)?,
            })
        })?)
    }

    /// Tells the least and the greatest power of a time, each with its minute.
    ///
    /// # Errors
    /// [`HistoryError::Sqlite`] where it cannot be read.
    pub fn extremes(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<[Option<(i64, Timestamp)>; 2], HistoryError> {
        let connection = self.lock();
        let find = |sql: &str| {
            connection
                .prepare_cached(sql)?
                .query_row(params![from.secs(), to.secs()], |row| {
                    Ok((row.get(0)?, Timestamp::from_secs(row.get(1)?)))
                })
                .optional()
        };
        Ok([
            find(
                "SELECT watts_min, start FROM minute WHERE start >= ?1 AND start < ?2
                 AND watts_min IS NOT NULL ORDER BY watts_min, start LIMIT 1",
            )?,
            find(
                "SELECT watts_max, start FROM minute WHERE start >= ?1 AND start < ?2
                 AND watts_max IS NOT NULL ORDER BY watts_max DESC, start LIMIT 1",
            )?,
        ])
    }

    /// Tells times without readings that lie in a time at least in part and
    /// are `least_ms` long or longer: the latest `most` of them, in ascending
    /// order.
    ///
    /// # Errors
    /// [`HistoryError::Sqlite`] where they cannot be read.
    pub fn gaps(
        &self,
        from: Timestamp,
        to: Timestamp,
        least_ms: i64,
        most: u32,
    ) -> Result<Vec<(Timestamp, Timestamp)>, HistoryError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT start_ms, end_ms FROM gap WHERE start_ms < ?2 AND end_ms > ?1
             AND end_ms - start_ms >= ?3 ORDER BY start_ms DESC LIMIT ?4",
        )?;
        let rows =
            statement.query_map(params![from.millis(), to.millis(), least_ms, most], |row| {
                Ok((
                    Timestamp::from_millis(row.get(0)?),
                    Timestamp::from_millis(row.get(1)?),
                ))
            })?;
        let mut gaps = rows.collect::<Result<Vec<_>, _>>()?;
        gaps.reverse();
        Ok(gaps)
    }

    /// Counts rows: minutes, and times without readings.
    ///
    /// # Errors
    /// [`HistoryError::Sqlite`] where they cannot be read.
    pub fn rows(&self) -> Result<(u32, u32), HistoryError> {
        let sql = "SELECT (SELECT count(*) FROM minute), (SELECT count(*) FROM gap)";
        Ok(self
            .lock()
            .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    /// Each change is whole, whoever panicked.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

fn write(
    connection: &mut Connection,
    minutes: &[Minute],
    gaps: &[(Timestamp, Timestamp)],
    durably: bool,
) -> Result<(), rusqlite::Error> {
    connection.pragma_update(None, "synchronous", if durably { "FULL" } else { "NORMAL" })?;
    let transaction = connection.transaction()?;
    {
        let mut statement = transaction.prepare_cached(
            "INSERT INTO minute VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT(start) DO UPDATE SET
             readings = readings + excluded.readings,
             powers = powers + excluded.powers,
             watts = watts + excluded.watts,
             watts_min = coalesce(min(watts_min, excluded.watts_min), watts_min,
                                  excluded.watts_min),
             watts_max = coalesce(max(watts_max, excluded.watts_max), watts_max,
                                  excluded.watts_max),
             delivered = coalesce(excluded.delivered, delivered),
             received = coalesce(excluded.received, received),
             register_ms = CASE WHEN excluded.delivered IS NULL THEN register_ms
                           ELSE excluded.register_ms END,
             last_ms = max(last_ms, excluded.last_ms)",
        )?;
        for minute in minutes {
            statement.execute(params![
                minute.start,
                minute.readings,
                minute.powers,
                minute.watts,
                minute.watts_min,
                minute.watts_max,
                minute.delivered,
                minute.received,
                minute.register_ms,
                minute.last_ms
            ])?;
        }
        let mut statement =
            transaction.prepare_cached("INSERT OR REPLACE INTO gap VALUES (?1, ?2)")?;
        for (from, to) in gaps {
            statement.execute(params![from.millis(), to.millis()])?;
        }
    }
    transaction.commit()
}

fn give_up(connection: &Connection, rows: u32) -> Result<(), rusqlite::Error> {
    for sql in [
        "DELETE FROM minute WHERE start IN (SELECT start FROM minute ORDER BY start LIMIT ?1)",
        "DELETE FROM gap WHERE end_ms < coalesce((SELECT min(start) FROM minute), 0) * 1000
         AND ?1 > 0",
    ] {
        connection.execute(sql, params![rows])?;
    }
    Ok(())
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

fn rounded(sum: i64, count: i64) -> i64 {
    let half = if sum < 0 { -count / 2 } else { count / 2 };
    sum.saturating_add(half) / count
}
