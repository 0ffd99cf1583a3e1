//! The log that the collector's state is made of again after a start.
//!
//! ```text
//! 8 octets  "GWDCOLL1"
//! for each record:
//!   4 octets  length, big-endian
//!   4 octets  CRC-32 (IEEE 802.3) of the record, big-endian
//!   [..]      the record
//! ```
//! A last record that a loss of power cut off is dropped. Damage in the midst
//! ends the log there: what follows is asked of the meters anew, since a row
//! that is later than all that are kept is new, whoever had it before.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::state::{Bounds, Record, State};
use crate::store::StoreError;

const HEAD: &[u8; 8] = b"GWDCOLL1";

/// Octets that a record may have.
const RECORD_LEN_MAX: u32 = 1 << 20;

/// Octets beside those of the state that a log may have before it is written
/// anew.
const SPARE: u64 = 8 << 20;

/// Records that wait for the disk; who has another makes no more.
pub const WAITING_MAX: usize = 4_096;

/// What opening a log found.
#[derive(Debug)]
pub struct Opened {
    /// The state that the log makes.
    pub state: State,
    /// The log, to be appended to.
    pub log: Log,
    /// Octets in the midst of the log that could not be used; 0: none. The
    /// end of a record that was cut off is not counted.
    pub damaged: u64,
}

/// A log, open to be appended to.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    len: u64,
}

/// Opens a log, or makes it.
///
/// # Errors
/// [`StoreError`] where it cannot be read or written, or is the file of
/// another program.
pub fn open(path: &Path, bounds: Bounds) -> Result<Opened, StoreError> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    let len = file.metadata()?.len();
    let replayed = replay(&mut BufReader::new(&file), len, bounds)?;
    let Some(Replayed {
        state,
        good,
        damaged,
    }) = replayed
    else {
        return Err(StoreError::Damaged {
            path: path.to_owned(),
            line: 1,
        });
    };
    if good < len {
        file.set_len(good)?;
    }
    let mut log = Log {
        path: path.to_owned(),
        file,
        len: good,
    };
    if good == 0 {
        log.file.write_all(HEAD)?;
        log.len = HEAD.len() as u64;
    }
    log.file.sync_all()?;
    sync_folder(path)?;
    Ok(Opened {
        state,
        log,
        damaged,
    })
}

/// What the octets of a log make.
#[derive(Debug)]
pub struct Replayed {
    /// The state.
    pub state: State,
    /// Octets up to the end of the last record that is whole.
    pub good: u64,
    /// Octets after those that could not be used; 0: none. The end of a record
    /// that was cut off is not counted.
    pub damaged: u64,
}

/// Reads the `len` octets of a log; nothing where it is another program's.
///
/// # Errors
/// The reader's error.
pub fn replay(
    reader: &mut impl Read,
    len: u64,
    bounds: Bounds,
) -> Result<Option<Replayed>, StoreError> {
    let mut replayed = Replayed {
        state: State::new(bounds),
        good: 0,
        damaged: 0,
    };
    let head = HEAD.len() as u64;
    if len < head {
        return Ok(Some(replayed));
    }
    let mut found = [0; HEAD.len()];
    reader.read_exact(&mut found)?;
    if found != *HEAD {
        return Ok(None);
    }
    replayed.good = head;
    let mut body = Vec::new();
    loop {
        match record(reader, len - replayed.good, &mut body)? {
            Found::Record(record) => {
                replayed.state.apply(&record);
                replayed.good += 8 + body.len() as u64;
            }
            Found::End => return Ok(Some(replayed)),
            Found::Damage => {
                replayed.damaged = len - replayed.good;
                return Ok(Some(replayed));
            }
        }
    }
}

enum Found {
    Record(Record),
    End,
    Damage,
}

/// Reads the next record of the `left` octets into `body`.
fn record(reader: &mut impl Read, left: u64, body: &mut Vec<u8>) -> Result<Found, StoreError> {
    if left < 8 {
        return Ok(Found::End);
    }
    let mut head = [0; 8];
    reader.read_exact(&mut head)?;
    let [l3, l2, l1, l0, c3, c2, c1, c0] = head;
    let length = u32::from_be_bytes([l3, l2, l1, l0]);
    let crc = u32::from_be_bytes([c3, c2, c1, c0]);
    let rest = left - 8;
    if u64::from(length) > rest {
        // Either cut off, or a length that is none.
        return Ok(if length > RECORD_LEN_MAX {
            Found::Damage
        } else {
            Found::End
        });
    }
    body.resize(usize::try_from(length).unwrap_or(0), 0);
    reader.read_exact(body)?;
    if crc32fast::hash(body) != crc {
        // A sync that was under way may have left the end in any state.
        let last = u64::from(length) == rest;
        return Ok(if last { Found::End } else { Found::Damage });
    }
    Ok(match Record::decode(body) {
        Ok(record) => Found::Record(record),
        Err(_) => Found::Damage,
    })
}

fn put(record: &Record, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    record.encode(out);
    let Some((head, body)) = out
        .get_mut(start..)
        .and_then(|all| all.split_first_chunk_mut::<8>())
    else {
        return;
    };
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    let crc = crc32fast::hash(body).to_be_bytes();
    let ([l3, l2, l1, l0], [c3, c2, c1, c0]) = (length, crc);
    *head = [l3, l2, l1, l0, c3, c2, c1, c0];
}

fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
    Ok(())
}

impl Log {
    /// Appends records and syncs them.
    ///
    /// # Errors
    /// The system's error: nothing may be built on the records then.
    pub fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let mut out = Vec::new();
        for record in records {
            put(record, &mut out);
        }
        self.file.write_all(&out)?;
        self.file.sync_data()?;
        self.len += out.len() as u64;
        Ok(())
    }

    /// Writes the log anew with these records, durably and at once.
    ///
    /// # Errors
    /// The system's error; the log is as it was before then.
    pub fn rewrite(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let beside = self.path.with_extension("new");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        let mut writer = BufWriter::new(file);
        writer.write_all(HEAD)?;
        let mut len = HEAD.len() as u64;
        let mut out = Vec::new();
        for record in records {
            out.clear();
            put(record, &mut out);
            writer.write_all(&out)?;
            len += out.len() as u64;
        }
        let file = writer.into_inner().map_err(|error| error.into_error())?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        sync_folder(&self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.len = len;
        Ok(())
    }

    /// Counts its octets.
    #[must_use]
    pub const fn octets(&self) -> u64 {
        self.len
    }
}

/// The thread that writes a log.
#[derive(Debug)]
pub struct Disk {
    jobs: std::sync::mpsc::SyncSender<Job>,
    stored: mpsc::Receiver<Result<usize, StoreError>>,
    len: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Job {
    Append(Record),
    Rewrite(Vec<Record>),
}

impl Disk {
    /// Starts the thread.
    #[must_use]
    pub fn start(mut log: Log) -> Self {
        let (jobs, waiting) = std::sync::mpsc::sync_channel::<Job>(2 * WAITING_MAX);
        let (tell, stored) = mpsc::channel(2 * WAITING_MAX);
        let len = Arc::new(AtomicU64::new(log.octets()));
        let told = Arc::clone(&len);
        std::thread::spawn(move || {
            let mut next = None;
            while let Some(job) = next.take().or_else(|| waiting.recv().ok()) {
                let done = match job {
                    Job::Rewrite(records) => log.rewrite(&records).map(|()| 0),
                    Job::Append(record) => {
                        // What waits meanwhile is synced at once.
                        let mut records = vec![record];
                        while records.len() < 512 {
                            match waiting.try_recv() {
                                Ok(Job::Append(record)) => records.push(record),
                                Ok(other) => {
                                    next = Some(other);
                                    break;
                                }
                                Err(_) => break,
                            }
                        }
                        log.append(&records).map(|()| records.len())
                    }
                };
                told.store(log.octets(), Ordering::Relaxed);
                let failed = done.is_err();
                if tell.blocking_send(done).is_err() || failed {
                    return;
                }
            }
        });
        Self { jobs, stored, len }
    }

    /// Hands a record to the thread.
    ///
    /// # Errors
    /// Where the thread takes no more.
    pub fn store(&self, record: Record) -> Result<(), StoreError> {
        self.job(Job::Append(record))
    }

    /// Has the log written anew where it is much longer than the state needs.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn tidy(&self, state: &State) -> Result<(), StoreError> {
        let needed = u64::try_from(state.octets()).unwrap_or(u64::MAX);
        if self.len.load(Ordering::Relaxed) <= needed.saturating_mul(2).saturating_add(SPARE) {
            return Ok(());
        }
        // Not again before that is done.
        self.len.store(0, Ordering::Relaxed);
        self.job(Job::Rewrite(state.records()))
    }

    fn job(&self, job: Job) -> Result<(), StoreError> {
        self.jobs
            .try_send(job)
            .map_err(|_| StoreError::Io(std::io::Error::other("the disk takes no more")))
    }

    /// Waits until records are durable; tells how many, oldest first.
    ///
    /// # Errors
    /// The disk's.
    pub async fn stored(&mut self) -> Result<usize, StoreError> {
        match self.stored.recv().await {
            Some(stored) => stored,
            None => std::future::pending().await,
        }
    }
}
