//! Invocation counters on disk: reserved durably before they are used, locked
//! against other runs.
//!
//! One file for each key and system title, named by a digest of both.

use std::fs::{File, TryLockError};
use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dlms::security::{CounterRecord, HINT_AHEAD_MAX, HINT_BUDGET, Key, SystemTitle};
use link::{CounterStore, Entropy as _, SystemEntropy};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::failure::Failure;
use crate::text::hex;

/// Counters that making one association may use: the AARQ, the reply to the
/// challenge and its envelope, and one to spare.
const TRIAL_LEN: u32 = 4;

/// Values that failed trials have used and that are remembered.
const SPENT_MAX: usize = 16 * 4;

/// How long another run with the same key is waited for.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// The counters of one key under one system title.
pub(crate) struct Counters {
    path: PathBuf,
    /// Locked as long as this lives.
    _lock: File,
    state: Mutex<State>,
}

struct State {
    /// What is on disk.
    durable: Record,
    /// While the word of a meter about its counter is being tried: what is
    /// asked to be durable, and holds once the meter has proved itself.
    trial: Option<Record>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    end: u32,
    spent: Vec<u32>,
    hinted: u32,
    /// The meter's own counters below this one are used.
    #[serde(default)]
    heard: u32,
}

impl From<&CounterRecord> for Record {
    fn from(record: &CounterRecord) -> Self {
        Self {
            end: record.end,
            spent: record.spent.clone(),
            hinted: record.hinted,
            heard: 0,
        }
    }
}

impl Counters {
    /// Opens the counters in `folder`, which is made where it is not there.
    pub(crate) fn open(folder: &Path, key: &Key, title: &SystemTitle) -> Result<Self, Failure> {
        make_folder(folder)?;
        let digest = Sha256::new()
            .chain_update(b"gridward invocation counter")
            .chain_update(key.dangerous_octets())
            .chain_update(title.0)
            .finalize();
        let name = hex(digest.get(..16).unwrap_or_default());
        let path = folder.join(format!("{name}.counter"));
        let lock = lock(&folder.join(format!("{name}.lock")))?;
        let durable = match std::fs::read(&path) {
            Ok(octets) => serde_json::from_slice(&octets).map_err(|_| {
                Failure::new(format!("{} is damaged", path.display())).hint(
                    "take it away and give --counter N, with an N above all that was ever used",
                )
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Record::default(),
            Err(error) => return Err(cannot(&path, &error)),
        };
        Ok(Self {
            path,
            _lock: lock,
            state: Mutex::new(State {
                durable,
                trial: None,
            }),
        })
    }

    /// Tells where the counters of the meter's answers go on, by what was heard in earlier runs.
    pub(crate) fn last_heard(&self) -> u32 {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.durable.heard
    }

    /// Remembers that the meter's answers have used all counters below `floor`.
    pub(crate) fn heard(&self, floor: u32) -> Result<(), Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let record = Record {
            heard: state.durable.heard.max(floor),
            ..state.durable.clone()
        };
        self.save(&record)
            .map_err(|error| cannot(&self.path, &error))?;
        state.durable = record;
        Ok(())
    }

    /// Goes on from `next` because the user says so; only upwards.
    pub(crate) fn raise(&self, next: u32) -> Result<(), Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if next < state.durable.end {
            return Err(Failure::usage(format!(
                "--counter {next}: counters below {} are used or reserved already",
                state.durable.end
            )));
        }
        let record = Record {
            end: next,
            ..state.durable.clone()
        };
        self.save(&record)
            .map_err(|error| cannot(&self.path, &error))?;
        state.durable = record;
        Ok(())
    }

    /// Tells where the client goes on, given the counter that the meter says
    /// it has: above the larger of both. The meter's word is kept only when
    /// [`confirm`](Self::confirm) is called.
    pub(crate) fn resume(&self, told: Option<u32>) -> Result<CounterRecord, Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let own = state.durable.clone();
        let mut record = CounterRecord {
            end: own.end,
            spent: own.spent.clone(),
            hinted: own.hinted,
        };
        let floor = told.map_or(0, |told| told.saturating_add(1));
        if floor > own.end {
            let ahead = floor - own.end;
            if ahead > HINT_AHEAD_MAX
                || ahead > HINT_BUDGET.saturating_sub(own.hinted)
                || own.spent.len() >= SPENT_MAX
            {
                return Err(Failure::new(format!(
                    "the meter says that its counter is {}, ours would go on at {}: too far to \
                     be believed unproved",
                    floor - 1,
                    own.end
                ))
                .hint(format!("if that is right, say --counter {floor} once")));
            }
            record.end = floor;
            record.hinted = own.hinted.saturating_add(ahead);
            state.trial = Some(own);
        }
        Ok(record)
    }

    /// The meter has proved that it has the keys: its word about the counter
    /// holds.
    pub(crate) fn confirm(&self) -> Result<(), Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(record) = state.trial.take() {
            self.save(&record)
                .map_err(|error| cannot(&self.path, &error))?;
            state.durable = record;
        }
        Ok(())
    }

    /// The meter has not proved itself: its word does not hold.
    pub(crate) fn abandon(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.trial = None;
    }

    fn reserve(&self, record: &CounterRecord) -> std::io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = Record {
            heard: state.durable.heard,
            ..Record::from(record)
        };
        if state.trial.is_none() {
            self.save(&wanted)?;
            state.durable = wanted;
            return Ok(());
        }
        // Only what the trial can use is spent, wherever the meter's word led.
        let start = wanted.end.saturating_sub(dlms::client::COUNTERS_RESERVED);
        let mut durable = state.durable.clone();
        durable.spent.extend(
            (start..start.saturating_add(TRIAL_LEN))
                .filter(|value| !state.durable.spent.contains(value)),
        );
        self.save(&durable)?;
        state.durable = durable;
        state.trial = Some(wanted);
        Ok(())
    }

    fn save(&self, record: &Record) -> std::io::Result<()> {
        let text = serde_json::to_vec(record).map_err(std::io::Error::other)?;
        let draft = self.path.with_extension("new");
        let mut file = File::create(&draft)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&draft, &self.path)?;
        match self.path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl CounterStore for Counters {
    fn store<'a>(
        &'a self,
        record: &'a CounterRecord,
    ) -> Pin<Box<dyn Future<Output = std::io::Result<()>> + Send + 'a>> {
        // One small file for one user: there is nobody to be kept waiting.
        Box::pin(async move { self.reserve(record) })
    }
}

/// The state folder where none is named.
pub(crate) fn default_folder() -> Result<PathBuf, Failure> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    from("GRIDWARD_STATE")
        .map(PathBuf::from)
        .or_else(|| from("XDG_STATE_HOME").map(|home| PathBuf::from(home).join("gridward")))
        .or_else(|| from("HOME").map(|home| PathBuf::from(home).join(".local/state/gridward")))
        .ok_or_else(|| {
            Failure::usage("there is no state folder: HOME is not set")
                .hint("name one with --state DIR: used counters are remembered there")
        })
}

/// Our own system title where none is given: made once for each state folder.
pub(crate) fn own_title(folder: &Path) -> Result<SystemTitle, Failure> {
    make_folder(folder)?;
    let _lock = lock(&folder.join("system-title.lock"))?;
    let path = folder.join("system-title");
    match std::fs::read_to_string(&path) {
        Ok(text) => text
            .parse()
            .map_err(|_| Failure::new(format!("{} holds no system title", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut title = *b"GWD\0\0\0\0\0";
            if let Some(tail) = title.last_chunk_mut::<5>() {
                SystemEntropy.fill(tail).map_err(|error| {
                    Failure::new(format!("the system gives no random octets: {error}"))
                })?;
            }
            let title = SystemTitle(title);
            File::create(&path)
                .and_then(|mut file| {
                    file.write_all(format!("{title}\n").as_bytes())?;
                    file.sync_all()
                })
                .map_err(|error| cannot(&path, &error))?;
            Ok(title)
        }
        Err(error) => Err(cannot(&path, &error)),
    }
}

fn make_folder(folder: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| cannot(folder, &error).hint("name another folder with --state DIR"))
}

fn lock(path: &Path) -> Result<File, Failure> {
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|error| cannot(path, &error))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(cannot(path, &error)),
        }
    }
    Err(
        Failure::new("another run of gridward is using the same key and system title")
            .hint("wait for it to end, or give this one a --system-title of its own"),
    )
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.

    use super::*;

    #[test]
    fn what_was_heard_is_remembered_and_never_falls() {
        let folder = tempfile::tempdir().unwrap();
        let (key, title) = (Key::from([7; 16]), SystemTitle(*b"GWD\0\0\0\0\x01"));
        let open = || Counters::open(folder.path(), &key, &title).unwrap();
        assert_eq!(open().last_heard(), 0);
        open().heard(90).unwrap();
        open().heard(40).unwrap();
        let counters = open();
        assert_eq!(counters.last_heard(), 90);
        // Reserving counters of our own does not forget it.
        let record = CounterRecord {
            end: 256,
            ..CounterRecord::default()
        };
        counters.reserve(&record).unwrap();
        drop(counters);
        let again = open();
        assert_eq!(again.last_heard(), 90);
        assert_eq!(again.resume(None).unwrap().end, 256);
    }
}
