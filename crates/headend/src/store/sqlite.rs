//! The embedded store: SQLite with a write-ahead log, every commit synced to disk.
//!
//! One thread owns the one writing connection. It takes what waits in its queue, up to a bound,
//! into one transaction, commits, and only then answers all: many collectors share one sync of the
//! disk. Readers have a few connections of their own and never wait for the writer.

mod drills;
mod fences;
mod orders;
mod outlets;
mod paths;
mod read;
mod schema;
mod write;

use dlms::cosem::Obis;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use dlms::security::CounterRecord;
use model::{Event, LogicalDeviceName, MeterId, Timestamp};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{mpsc, oneshot};

use super::{
    BlockVersion, Conflict, CounterKey, DayCount, DayTotal, Delivery, DeviceKind, Enrolled,
    Enrolment, Gap, Meter, MeterState, Notice, PathRun, Pending, ProfileLayout, ProfileSlice,
    RegisterRow, Store, StoreError, StoreFigures, Stored, Supply, Sweep, WrappedClient,
};
use crate::calendar::{Calendar, Day};
use crate::campaigns::Kept;
use write::Writer;

/// The store in one SQLite database.
pub struct SqliteStore {
    calendar: Calendar,
    queue: mpsc::Sender<Job>,
    readers: Readers,
    counters: Arc<Counters>,
}

/// How the store is opened.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// Holds the folder; it is made with mode 0700 where it does not exist.
    pub folder: PathBuf,
    /// Holds the site's zone.
    pub calendar: Calendar,
    /// Holds the number of writes that may wait, 1 to 65,536.
    pub queue: usize,
    /// Holds the number of writes that one commit takes at most.
    pub batch: usize,
    /// Holds the number of connections for reading.
    pub readers: usize,
}

impl SqliteOptions {
    /// Takes folder and calendar, and defaults for the rest.
    pub fn new(folder: impl Into<PathBuf>, calendar: Calendar) -> Self {
        Self {
            folder: folder.into(),
            calendar,
            queue: 1_024,
            batch: 512,
            readers: 4,
        }
    }
}

impl SqliteStore {
    /// Opens the store, makes it where there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError`] where the folder cannot be used, another process uses it, or the database is
    /// newer, foreign, or made for another zone.
    pub fn open(options: &SqliteOptions) -> Result<Self, StoreError> {
        let lock = lock_folder(&options.folder)?;
        let path = options.folder.join(DATABASE);
        private_file(&path)?;
        let mut connection = Connection::open_with_flags(&path, WRITE_FLAGS)?;
        schema::prepare(&mut connection, &options.calendar)?;
        let counters = Arc::new(Counters::default());
        let (queue, jobs) = mpsc::channel(options.queue.clamp(1, 65_536));
        let writer = Writer::new(connection, options.calendar.clone());
        let batch = options.batch.max(1);
        let shared = Arc::clone(&counters);
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                run(writer, jobs, batch, &shared);
                drop(lock);
            })
            .map_err(|source| StoreError::Folder {
                what: "the writer's thread cannot be started",
                source,
            })?;
        Ok(Self {
            calendar: options.calendar.clone(),
            queue,
            readers: Readers::new(path, options.readers.max(1)),
            counters,
        })
    }

    /// Queues work for the writer; its result is sent when the transaction it ran in is durable.
    fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Pending<T> {
        let queue = self.queue.clone();
        let counters = Arc::clone(&self.counters);
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let job: Job = Box::new(move |writer| {
                let result = writer.isolated(work);
                Box::new(move |committed| {
                    let result = match result {
                        Ok(_) if !committed => Err(StoreError::NotCommitted),
                        other => other,
                    };
                    // Nobody listens any more where the caller was cancelled.
                    drop(reply.send(result));
                })
            });
            counters.waiting.fetch_add(1, Ordering::Relaxed);
            let sent = queue.send(job).await;
            let result = match sent {
                Ok(()) => answer.await.unwrap_or(Err(StoreError::Closed)),
                Err(_) => Err(StoreError::Closed),
            };
            counters.waiting.fetch_sub(1, Ordering::Relaxed);
            result
        })
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let connection = self.readers.take()?;
        // A transaction, so that several statements see one state of the database.
        let run = |sql| connection.prepare_cached(sql)?.execute(());
        let result = run("BEGIN DEFERRED")
            .map_err(StoreError::from)
            .and_then(|_| {
                let result = work(&connection);
                run("ROLLBACK")?;
                result
            });
        self.readers.give(connection);
        result
    }
}

impl Store for SqliteStore {
    fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    fn enrol(&self, meters: Vec<Enrolment>, at: Timestamp) -> Pending<Enrolled> {
        self.submit(move |writer| writer.enrol(&meters, DeviceKind::Meter, at))
    }

    fn enrol_concentrators(&self, all: Vec<Enrolment>, at: Timestamp) -> Pending<Enrolled> {
        self.submit(move |writer| writer.enrol(&all, DeviceKind::Concentrator, at))
    }

    fn ingest(&self, sweep: Sweep) -> Pending<Stored> {
        let counters = Arc::clone(&self.counters);
        self.submit(move |writer| {
            let stored = writer.ingest(&sweep)?;
            counters.rows.fetch_add(stored.added, Ordering::Relaxed);
            Ok(stored)
        })
    }

    fn deliver(&self, delivery: Delivery) -> Pending<Vec<(MeterId, Event)>> {
        self.submit(move |writer| writer.deliver(&delivery))
    }

    fn reserve_counters(&self, key: CounterKey, count: u32, at_least: u32) -> Pending<Range<u32>> {
        self.submit(move |writer| writer.reserve_counters(key, count, at_least))
    }

    fn keep_counters(&self, key: CounterKey, record: CounterRecord) -> Pending<()> {
        self.submit(move |writer| writer.keep_counters(key, &record))
    }

    fn keep_campaign(&self, id: u32, record: Vec<u8>, image: Option<Arc<[u8]>>) -> Pending<()> {
        self.submit(move |writer| writer.keep_campaign(id, &record, image.as_deref()))
    }

    fn campaigns(&self) -> Result<Vec<Kept>, StoreError> {
        self.read(read::campaigns)
    }

    fn seal(&self, before: Day, limit: u32) -> Pending<u32> {
        self.submit(move |writer| writer.seal(before, limit))
    }

    fn flush(&self) -> Pending<()> {
        self.submit(|_| Ok(()))
    }

    fn meters(&self) -> Result<Vec<Meter>, StoreError> {
        self.read(|connection| read::meters(connection, DeviceKind::Meter))
    }

    fn concentrators(&self) -> Result<Vec<Meter>, StoreError> {
        self.read(|connection| read::meters(connection, DeviceKind::Concentrator))
    }

    fn states(&self) -> Result<BTreeMap<MeterId, MeterState>, StoreError> {
        self.read(read::states)
    }

    fn day_counts(&self, from: Day) -> Result<Vec<DayCount>, StoreError> {
        self.read(|connection| read::day_counts(connection, from))
    }

    fn events_since(&self, since: Timestamp) -> Result<Vec<(MeterId, Event)>, StoreError> {
        self.read(|connection| read::events_since(connection, since))
    }

    fn events(
        &self,
        meter: MeterId,
        before: Option<Timestamp>,
        limit: u32,
    ) -> Result<(u64, Vec<Event>), StoreError> {
        self.read(|connection| read::events(connection, meter, before, limit))
    }

    fn path_runs(
        &self,
        meter: MeterId,
        before: Option<Timestamp>,
        limit: u32,
    ) -> Result<(u64, Vec<PathRun>), StoreError> {
        self.read(|connection| paths::runs(connection, meter, before, limit))
    }

    fn registers(&self, meter: MeterId) -> Result<Vec<RegisterRow>, StoreError> {
        self.read(|connection| read::registers(connection, meter))
    }

    fn rows(
        &self,
        meter: MeterId,
        object: Obis,
        range: Range<i64>,
    ) -> Result<Vec<ProfileSlice>, StoreError> {
        self.read(|connection| read::rows(connection, &self.calendar, meter, object, range))
    }

    fn gaps(
        &self,
        meter: MeterId,
        object: Obis,
        range: Range<i64>,
    ) -> Result<Vec<Gap>, StoreError> {
        self.read(|connection| read::gaps(connection, &self.calendar, meter, object, range))
    }

    fn day_totals(&self, object: Obis, day: Day) -> Result<Vec<DayTotal>, StoreError> {
        self.read(|connection| read::day_totals(connection, object, day))
    }

    fn versions(
        &self,
        meter: MeterId,
        object: Obis,
        day: Day,
    ) -> Result<Vec<BlockVersion>, StoreError> {
        self.read(|connection| read::versions(connection, meter, object, day))
    }

    fn told_layouts(&self, meter: MeterId, object: Obis) -> Result<Vec<ProfileLayout>, StoreError> {
        self.read(|connection| read::told_layouts(connection, meter, object))
    }

    fn conflicts(
        &self,
        meter: MeterId,
        object: Obis,
        range: Range<i64>,
    ) -> Result<Vec<Conflict>, StoreError> {
        self.read(|connection| read::conflicts(connection, meter, object, &range))
    }

    fn notices(&self, concentrator: MeterId, limit: u32) -> Result<Vec<Notice>, StoreError> {
        self.read(|connection| read::notices(connection, concentrator, limit))
    }

    fn notice_page(
        &self,
        concentrator: MeterId,
        offset: u32,
        limit: u32,
    ) -> Result<(u64, Vec<Notice>), StoreError> {
        self.read(|connection| read::notice_page(connection, concentrator, offset, limit))
    }

    fn outage_notices(&self, concentrator: MeterId) -> Result<Vec<Notice>, StoreError> {
        self.read(|connection| read::outage_notices(connection, concentrator))
    }

    fn supply(&self, concentrator: MeterId, range: Range<i64>) -> Result<Vec<Supply>, StoreError> {
        self.read(|connection| read::supply(connection, concentrator, &range))
    }

    fn counter_record(&self, key: CounterKey) -> Result<CounterRecord, StoreError> {
        self.read(|connection| read::counter_record(connection, key))
    }

    fn counter(&self, key: CounterKey) -> Result<u32, StoreError> {
        self.read(|connection| read::counter(connection, key))
    }

    fn secrets(
        &self,
        name: &LogicalDeviceName,
        client: u16,
    ) -> Result<Option<WrappedClient>, StoreError> {
        self.read(|connection| read::secrets(connection, name, client))
    }

    fn outlets(&self) -> &dyn super::OutletTables {
        self
    }

    fn orders(&self) -> &dyn super::MeterOrderTables {
        self
    }

    fn fences(&self) -> &dyn super::FenceTables {
        self
    }

    fn drills(&self) -> &dyn super::DrillTables {
        self
    }

    fn figures(&self) -> StoreFigures {
        StoreFigures {
            commits: self.counters.commits.load(Ordering::Relaxed),
            writes: self.counters.writes.load(Ordering::Relaxed),
            rows: self.counters.rows.load(Ordering::Relaxed),
            waiting: self.counters.waiting.load(Ordering::Relaxed),
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("calendar", &self.calendar)
            .finish_non_exhaustive()
    }
}

/// Work for the writer; what it returns is called after the commit, with its success.
type Job = Box<dyn FnOnce(&mut Writer) -> Finish + Send>;
type Finish = Box<dyn FnOnce(bool) + Send>;

#[derive(Debug, Default)]
struct Counters {
    commits: AtomicU64,
    writes: AtomicU64,
    rows: AtomicU64,
    waiting: AtomicU64,
}

/// Group commit: takes what waits, runs it in one transaction, commits, answers.
fn run(mut writer: Writer, mut jobs: mpsc::Receiver<Job>, batch: usize, counters: &Counters) {
    let mut finishes: Vec<Finish> = Vec::with_capacity(batch);
    while let Some(first) = jobs.blocking_recv() {
        let begun = writer.begin();
        let mut next = Some(first);
        while let Some(job) = next.take() {
            finishes.push(job(&mut writer));
            if finishes.len() < batch {
                next = jobs.try_recv().ok();
            }
        }
        let committed = begun.and_then(|()| writer.commit());
        if let Err(error) = &committed {
            tracing::error!(%error, "a transaction of the store failed; its writes are refused");
        }
        counters.commits.fetch_add(1, Ordering::Relaxed);
        let writes = u64::try_from(finishes.len()).unwrap_or(u64::MAX);
        counters.writes.fetch_add(writes, Ordering::Relaxed);
        for finish in finishes.drain(..) {
            finish(committed.is_ok());
        }
    }
}

/// A few connections for reading, handed out one at a time.
struct Readers {
    path: PathBuf,
    limit: usize,
    state: Mutex<ReaderState>,
    returned: Condvar,
}

#[derive(Default)]
struct ReaderState {
    idle: Vec<Connection>,
    open: usize,
}

impl Readers {
    fn new(path: PathBuf, limit: usize) -> Self {
        Self {
            path,
            limit,
            state: Mutex::default(),
            returned: Condvar::new(),
        }
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let mut state = self.lock();
        loop {
            if let Some(connection) = state.idle.pop() {
                return Ok(connection);
            }
            if state.open < self.limit {
                state.open += 1;
                break;
            }
            state = self
                .returned
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        let opened = Connection::open_with_flags(&self.path, READ_FLAGS)
            .map_err(StoreError::from)
            .and_then(|connection| {
                schema::tune(&connection)?;
                Ok(connection)
            });
        if opened.is_err() {
            self.lock().open -= 1;
            self.returned.notify_one();
        }
        opened
    }

    fn give(&self, connection: Connection) {
        self.lock().idle.push(connection);
        self.returned.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, ReaderState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock_folder(folder: &Path) -> Result<File, StoreError> {
    let failed = |what| move |source| StoreError::Folder { what, source };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed("the data folder cannot be made"))?;
    let lock = private_file(&folder.join(LOCK))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(TryLockError::Error(source)) => Err(failed("the data folder cannot be locked")(source)),
    }
}

/// Opens a file that only its owner may read, and makes it where it does not exist. The engine
/// gives its log the same mode.
fn private_file(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| StoreError::Folder {
            what: "a file of the data folder cannot be opened",
            source,
        })
}

const DATABASE: &str = "headend.sqlite";
const LOCK: &str = "headend.lock";
const WRITE_FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE
    .union(OpenFlags::SQLITE_OPEN_NO_MUTEX)
    .union(OpenFlags::SQLITE_OPEN_NOFOLLOW);
const READ_FLAGS: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);
