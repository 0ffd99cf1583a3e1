//! What the head end knows of outlet meters, in SQLite: each value once under
//! its meter, outlet and time.

use std::path::Path;

use model::xml::{CivilDateTime, OutletId, OutletPower, SmartMeterId};
use rusqlite::{Connection, params};

/// One thing to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// What an outlet consumed in a section.
    Usage {
        /// The meter.
        meter: SmartMeterId,
        /// The outlet.
        outlet: OutletId,
        /// When the section began.
        at: CivilDateTime,
        /// What was measured.
        power: OutletPower,
    },
    /// A warning.
    Warning {
        /// The meter.
        meter: SmartMeterId,
        /// The outlet.
        outlet: OutletId,
        /// When.
        at: CivilDateTime,
        /// The number of the report.
        number: u8,
    },
    /// An order to outlets.
    Order {
        /// The meter.
        meter: SmartMeterId,
        /// Its time.
        at: CivilDateTime,
        /// The message.
        xml: String,
    },
    /// A cost.
    Cost {
        /// The meter.
        meter: SmartMeterId,
        /// Its time.
        at: CivilDateTime,
        /// The message.
        xml: String,
    },
    /// The sequence of an order to a breaker, which is not used again.
    Sequence(u64),
}

/// Where records are kept.
pub trait OutletStore {
    /// Goes through all records.
    ///
    /// # Errors
    /// Where they cannot be read.
    fn load(&mut self, each: &mut dyn FnMut(Record)) -> Result<(), OutletStoreError>;

    /// Adds records, all or none, durable when it returns, and tells how many were new.
    ///
    /// # Errors
    /// Where they cannot be written.
    fn insert(&mut self, records: &[Record]) -> Result<usize, OutletStoreError>;
}

/// Why the store does not give or take records.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutletStoreError {
    /// SQLite's reason.
    #[error("the store of outlets failed")]
    Sqlite(#[from] rusqlite::Error),
    /// The head end's store has a reason.
    #[error("the store failed")]
    Store(#[from] crate::store::StoreError),
}

/// Records in one SQLite file.
#[derive(Debug)]
pub struct SqliteOutlets(Connection);

/// Kinds in the column `kind`.
pub(crate) const USAGE: u8 = 1;
pub(crate) const WARNING: u8 = 2;
pub(crate) const ORDER: u8 = 3;
pub(crate) const COST: u8 = 4;
const SEQUENCE: u8 = 5;

impl SqliteOutlets {
    /// Opens a file, or makes it.
    ///
    /// # Errors
    /// SQLite's.
    pub fn open(path: &Path) -> Result<Self, OutletStoreError> {
        let connection = Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             CREATE TABLE IF NOT EXISTS outlet (
                 meter INTEGER NOT NULL, kind INTEGER NOT NULL, outlet INTEGER NOT NULL,
                 at INTEGER NOT NULL, a INTEGER, b INTEGER, c INTEGER, xml TEXT,
                 PRIMARY KEY (meter, kind, outlet, at)
             ) WITHOUT ROWID;",
        )?;
        Ok(Self(connection))
    }
}

/// SQLite's integers have a sign. Times fit; a sequence that does not is used
/// up.
pub(crate) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl OutletStore for SqliteOutlets {
    fn load(&mut self, each: &mut dyn FnMut(Record)) -> Result<(), OutletStoreError> {
        let mut statement = self
            .0
            .prepare("SELECT meter, kind, outlet, at, a, b, c, xml FROM outlet ORDER BY at")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Some(record) = record(row)? {
                each(record);
            }
        }
        Ok(())
    }

    fn insert(&mut self, records: &[Record]) -> Result<usize, OutletStoreError> {
        if records.is_empty() {
            return Ok(0);
        }
        let transaction = self.0.transaction()?;
        let new = insert(&transaction, records)?;
        transaction.commit()?;
        Ok(new)
    }
}

/// Reads a record from the columns of [`COLUMNS`]; none where a later program wrote it.
pub(crate) fn record(row: &rusqlite::Row<'_>) -> Result<Option<Record>, rusqlite::Error> {
    let meter = SmartMeterId(row.get(0)?);
    let outlet = OutletId(row.get(2)?);
    let kind: u8 = row.get(1)?;
    let ordinal = u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0);
    if kind == SEQUENCE {
        return Ok(Some(Record::Sequence(ordinal)));
    }
    let Some(at) = CivilDateTime::from_ordinal(ordinal) else {
        return Ok(None);
    };
    Ok(Some(match kind {
        USAGE => Record::Usage {
            meter,
            outlet,
            at,
            power: OutletPower {
                volts: row.get(4)?,
                milliamperes: row.get(5)?,
                watts: row.get(6)?,
            },
        },
        WARNING => Record::Warning {
            meter,
            outlet,
            at,
            number: row.get(4)?,
        },
        ORDER => {
            let xml = row.get(7)?;
            Record::Order { meter, at, xml }
        }
        COST => {
            let xml = row.get(7)?;
            Record::Cost { meter, at, xml }
        }
        _ => return Ok(None),
    }))
}

/// What [`record`] reads.
pub(crate) const COLUMNS: &str = "meter, kind, outlet, at, a, b, c, xml";

/// Adds records within a transaction, and tells how many were new.
pub(crate) fn insert(
    connection: &Connection,
    records: &[Record],
) -> Result<usize, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "INSERT OR IGNORE INTO outlet (meter, kind, outlet, at, a, b, c, xml)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let none: Option<u32> = None;
    let no_text: Option<&str> = None;
    let mut new = 0;
    for record in records {
        new += match record {
            Record::Usage {
                meter,
                outlet,
                at,
                power,
            } => statement.execute(params![
                meter.0,
                USAGE,
                outlet.0,
                stored(at.ordinal()),
                power.volts,
                power.milliamperes,
                power.watts,
                no_text
            ])?,
            Record::Warning {
                meter,
                outlet,
                at,
                number,
            } => statement.execute(params![
                meter.0,
                WARNING,
                outlet.0,
                stored(at.ordinal()),
                number,
                none,
                none,
                no_text
            ])?,
            Record::Order { meter, at, xml } => statement.execute(params![
                meter.0,
                ORDER,
                0,
                stored(at.ordinal()),
                none,
                none,
                none,
                xml
            ])?,
            Record::Cost { meter, at, xml } => statement.execute(params![
                meter.0,
                COST,
                0,
                stored(at.ordinal()),
                none,
                none,
                none,
                xml
            ])?,
            Record::Sequence(number) => statement.execute(params![
                0,
                SEQUENCE,
                0,
                stored(*number),
                none,
                none,
                none,
                no_text
            ])?,
        };
    }
    Ok(new)
}
