//! Schema and migrations.

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::calendar::Calendar;
use crate::store::StoreError;

/// Marks the file as ours: "GWHE".
const APPLICATION_ID: i64 = 0x4757_4845;

/// Each entry brings the schema one version up; entries are never changed once released.
const MIGRATIONS: &[&str] = &[
    V1,
    CONCENTRATORS,
    OUTLETS,
    CAMPAIGNS,
    PATHS,
    ORDERS,
    FENCES,
    DRILLS,
    SUMMARIES,
];

// A concentrator is a device with a number among the meters' and of another kind: kind 1. `told`
// holds the layouts that a meter itself told, `via` which slots of a day a concentrator read, bit
// n of octet n / 8 for slot n, `conflict` what it told otherwise than what is stored.
const CONCENTRATORS: &str = "
ALTER TABLE meter ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;

ALTER TABLE event ADD COLUMN via INTEGER;

ALTER TABLE stray ADD COLUMN via INTEGER;

CREATE TABLE told(
    meter INTEGER NOT NULL,
    profile INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY(meter, profile)
) STRICT, WITHOUT ROWID;
INSERT INTO told(meter, profile, at)
    SELECT meter, profile, max(stored) FROM block GROUP BY meter, profile;
INSERT INTO told(meter, profile, at)
    SELECT DISTINCT meter, profile, 0 FROM hot WHERE true ON CONFLICT DO NOTHING;

CREATE TABLE via(
    meter INTEGER NOT NULL,
    profile INTEGER NOT NULL,
    day INTEGER NOT NULL,
    concentrator INTEGER NOT NULL,
    slots BLOB NOT NULL,
    PRIMARY KEY(meter, profile, day, concentrator)
) STRICT, WITHOUT ROWID;

CREATE TABLE conflict(
    meter INTEGER NOT NULL,
    profile INTEGER NOT NULL,
    at INTEGER NOT NULL,
    concentrator INTEGER NOT NULL,
    found INTEGER NOT NULL,
    status INTEGER NOT NULL,
    vals BLOB NOT NULL,
    PRIMARY KEY(meter, profile, at, concentrator)
) STRICT, WITHOUT ROWID;

CREATE TABLE notice(
    id INTEGER PRIMARY KEY,
    concentrator INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    code INTEGER NOT NULL,
    detail BLOB NOT NULL,
    UNIQUE(concentrator, number, at)
) STRICT;

CREATE TABLE supply(
    concentrator INTEGER NOT NULL,
    at INTEGER NOT NULL,
    feeder TEXT NOT NULL,
    phase TEXT NOT NULL,
    supplied INTEGER,
    metered INTEGER NOT NULL,
    meters INTEGER NOT NULL,
    PRIMARY KEY(concentrator, at, feeder, phase)
) STRICT, WITHOUT ROWID;
";

const CAMPAIGNS: &str = "
CREATE TABLE campaign(
    id INTEGER PRIMARY KEY,
    record BLOB NOT NULL,
    image BLOB NOT NULL
) STRICT;
";

// A run of readings by the same paths, and the spans of profiles that were read in it, in seconds.
const PATHS: &str = "
CREATE TABLE receipt(
    no INTEGER PRIMARY KEY,
    meter INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    sent TEXT,
    sent_mark TEXT,
    sent_verified INTEGER,
    received TEXT,
    received_mark TEXT,
    received_verified INTEGER,
    associations INTEGER NOT NULL,
    closed INTEGER NOT NULL
) STRICT;
CREATE INDEX receipt_meter ON receipt(meter, no);

CREATE TABLE carried(
    run INTEGER NOT NULL,
    object BLOB NOT NULL,
    first INTEGER NOT NULL,
    past INTEGER NOT NULL,
    PRIMARY KEY(run, object, first)
) STRICT, WITHOUT ROWID;
";

// Orders to meters: `due` before it nothing is sent, `sent` from when on the meter may have it,
// `output` and `control` attributes 2 and 3 of Disconnect control and `shown` the display's text as
// they were read back.
const ORDERS: &str = "
CREATE TABLE meter_order(
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    meter INTEGER NOT NULL,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    kind INTEGER NOT NULL,
    message TEXT NOT NULL,
    reason TEXT NOT NULL,
    due INTEGER NOT NULL,
    sent INTEGER,
    outcome INTEGER,
    answer TEXT,
    output INTEGER,
    control INTEGER,
    shown TEXT,
    read INTEGER,
    ended INTEGER
) STRICT;
CREATE INDEX meter_order_meter ON meter_order(meter, no);
CREATE INDEX meter_order_kind ON meter_order(kind, at);
CREATE INDEX meter_order_open ON meter_order(no) WHERE outcome IS NULL;
";

// Fences that were set; the last of a meter counts, none is as the meter was enrolled.
const FENCES: &str = "
CREATE TABLE meter_fence(
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    meter INTEGER NOT NULL,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    reason TEXT NOT NULL,
    fence TEXT,
    allowed INTEGER NOT NULL,
    known INTEGER NOT NULL
) STRICT;
CREATE INDEX meter_fence_meter ON meter_fence(meter, no);
";

// Links of a simulated network that were cut on purpose; `timeline` holds what readings went through
// meanwhile, as JSON.
const DRILLS: &str = "
CREATE TABLE drill(
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    meter INTEGER NOT NULL,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    reason TEXT NOT NULL,
    link TEXT,
    silent INTEGER NOT NULL,
    mend_after INTEGER NOT NULL,
    outcome INTEGER,
    answer TEXT,
    timeline TEXT,
    ended INTEGER
) STRICT;
CREATE INDEX drill_meter ON drill(meter, no);
";

// What readings came to, as JSON: `timeline` goes of old drills.
const SUMMARIES: &str = "
ALTER TABLE drill ADD COLUMN summary TEXT;
";

// Times: `at`-like columns in milliseconds since 1970 unless the name of the table says seconds:
// hot, stray and absent count in seconds, since captures do. Days count from 1970-01-01 in the
// site's zone.
const V1: &str = "
CREATE TABLE meta(
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE meter(
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    system_title BLOB,
    endpoint TEXT NOT NULL,
    server INTEGER NOT NULL,
    client INTEGER NOT NULL,
    place TEXT NOT NULL,
    feeder TEXT,
    phase TEXT,
    load_profile BLOB NOT NULL,
    enrolled INTEGER NOT NULL,
    expected_from INTEGER NOT NULL,
    period INTEGER
) STRICT;

CREATE TABLE client(
    name TEXT NOT NULL,
    client INTEGER NOT NULL,
    mechanism TEXT NOT NULL,
    suite INTEGER NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY(name, client)
) STRICT, WITHOUT ROWID;

CREATE TABLE secret(
    name TEXT NOT NULL,
    client INTEGER NOT NULL,
    kind TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    PRIMARY KEY(name, client, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE counter(
    meter INTEGER NOT NULL,
    client INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    spent BLOB NOT NULL DEFAULT x'',
    hinted INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY(meter, client)
) STRICT, WITHOUT ROWID;

CREATE TABLE profile(
    id INTEGER PRIMARY KEY,
    object BLOB NOT NULL,
    period INTEGER NOT NULL,
    channels BLOB NOT NULL,
    UNIQUE(object, period, channels)
) STRICT;

CREATE TABLE block(
    meter INTEGER NOT NULL,
    profile INTEGER NOT NULL,
    day INTEGER NOT NULL,
    version INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    n INTEGER NOT NULL,
    c0 INTEGER, c1 INTEGER, c2 INTEGER, c3 INTEGER,
    t0 INTEGER, t1 INTEGER, t2 INTEGER, t3 INTEGER,
    rows BLOB NOT NULL,
    PRIMARY KEY(meter, profile, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE block_old(
    meter INTEGER NOT NULL,
    profile INTEGER NOT NULL,
    day INTEGER NOT NULL,
    version INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    rows BLOB NOT NULL,
    PRIMARY KEY(meter, profile, day, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE hot(
    at INTEGER NOT NULL,
    meter INTEGER NOT NULL,
    profile INTEGER NOT NULL,
    status INTEGER NOT NULL,
    vals BLOB NOT NULL,
    PRIMARY KEY(at, meter, profile)
) STRICT, WITHOUT ROWID;

CREATE TABLE hot_old(
    at INTEGER NOT NULL,
    meter INTEGER NOT NULL,
    profile INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    status INTEGER NOT NULL,
    vals BLOB NOT NULL
) STRICT;

CREATE TABLE stray(
    meter INTEGER NOT NULL,
    profile INTEGER NOT NULL,
    at INTEGER NOT NULL,
    status INTEGER NOT NULL,
    vals BLOB NOT NULL,
    PRIMARY KEY(meter, profile, at)
) STRICT, WITHOUT ROWID;

CREATE TABLE day_count(
    day INTEGER NOT NULL,
    meter INTEGER NOT NULL,
    profile INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY(day, meter, profile)
) STRICT, WITHOUT ROWID;

CREATE TABLE absent(
    meter INTEGER NOT NULL,
    object BLOB NOT NULL,
    first INTEGER NOT NULL,
    past INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    asked INTEGER NOT NULL,
    PRIMARY KEY(meter, object, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE register(
    meter INTEGER NOT NULL,
    object BLOB NOT NULL,
    attribute INTEGER NOT NULL,
    value INTEGER,
    scaler INTEGER,
    unit INTEGER,
    text TEXT,
    at INTEGER NOT NULL,
    earlier INTEGER,
    earlier_at INTEGER,
    PRIMARY KEY(meter, object, attribute)
) STRICT, WITHOUT ROWID;

CREATE TABLE event(
    meter INTEGER NOT NULL,
    at INTEGER NOT NULL,
    log BLOB NOT NULL,
    code INTEGER NOT NULL,
    PRIMARY KEY(meter, at, log, code)
) STRICT, WITHOUT ROWID;
CREATE INDEX event_at ON event(at);

CREATE TABLE state(
    meter INTEGER PRIMARY KEY,
    reached INTEGER,
    failing_since INTEGER,
    attempts INTEGER,
    reason INTEGER,
    newest INTEGER,
    rtt INTEGER,
    breaker INTEGER,
    breaker_at INTEGER,
    clock_offset INTEGER,
    clock_zone INTEGER,
    clock_at INTEGER,
    firmware TEXT,
    power INTEGER,
    power_at INTEGER
) STRICT;
";

// What outlet meters deliver, each value once under its meter, kind, outlet and time; times are
// seconds since 0000-01-01 in the meters' civil time. The journal of orders counts in milliseconds
// since 1970.
const OUTLETS: &str = "
CREATE TABLE outlet(
    meter INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    outlet INTEGER NOT NULL,
    at INTEGER NOT NULL,
    a INTEGER,
    b INTEGER,
    c INTEGER,
    xml TEXT,
    PRIMARY KEY(meter, kind, outlet, at)
) STRICT, WITHOUT ROWID;

CREATE TABLE outlet_meter(
    no INTEGER PRIMARY KEY,
    since INTEGER NOT NULL
) STRICT;

CREATE TABLE outlet_order(
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    meter INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    what TEXT NOT NULL,
    reason TEXT NOT NULL,
    outcome INTEGER,
    ended INTEGER
) STRICT;
CREATE INDEX outlet_order_meter ON outlet_order(meter, no);
CREATE INDEX outlet_order_at ON outlet_order(kind, at);
";

/// Sets what holds for each connection.
pub(super) fn tune(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    // Without this, every statement with a range over a parameter is parsed and planned anew each
    // time that its parameters change: a seventh of all that collecting costs.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(128);
    connection.execute_batch(
        "PRAGMA cache_size = -16384; PRAGMA mmap_size = 268435456; PRAGMA temp_store = MEMORY;
         PRAGMA trusted_schema = OFF; PRAGMA foreign_keys = ON;",
    )?;
    Ok(())
}

/// Brings the database of the writing connection up to date and checks that it is this site's.
pub(super) fn prepare(connection: &mut Connection, calendar: &Calendar) -> Result<(), StoreError> {
    tune(connection)?;
    let application: i64 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let mut version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    if application != APPLICATION_ID && (version != 0 || tables != 0) {
        return Err(StoreError::NotOurs);
    }
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if version > known {
        return Err(StoreError::NewerSchema {
            found: version,
            known,
        });
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    let done = usize::try_from(version).unwrap_or(0);
    for migration in MIGRATIONS.iter().skip(done) {
        let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        change.execute_batch(migration)?;
        version += 1;
        change.pragma_update(None, "user_version", version)?;
        change.pragma_update(None, "application_id", APPLICATION_ID)?;
        change.commit()?;
    }
    let stored: Option<String> = connection
        .query_row("SELECT value FROM meta WHERE key = 'zone'", (), |row| {
            row.get(0)
        })
        .optional()?;
    match stored {
        None => {
            connection.execute(
                "INSERT INTO meta(key, value) VALUES('zone', ?1)",
                [calendar.name()],
            )?;
            Ok(())
        }
        Some(stored) if stored == calendar.name() => Ok(()),
        Some(stored) => Err(StoreError::OtherZone {
            stored,
            configured: calendar.name().to_owned(),
        }),
    }
}
