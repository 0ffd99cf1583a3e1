//! Counters of ciphered pushes that were taken, kept across restarts, so that
//! what was recorded on the line is not believed when it is played again.
//!
//! Two files. One is exact, written before each message is acted on and not
//! synced: it outlives the process, not the machine, and says which boot it is
//! of. The other is synced, and reaches [`RESERVED`] counters ahead, so that it
//! need not be written with each message: after a power cut what lies below is
//! refused, which costs a gateway so many messages at most, less those that
//! the meter sent meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use dlms::security::{Key, PeerWindows, SystemTitle};
use link::PushCounters;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::credential::replace;
use crate::reader::boot_id;

/// Counters that are refused after a power cut, at most.
pub const RESERVED: u32 = 16;

const EXACT: &str = "push-counters.json";
const AHEAD: &str = "push-counters-reserved.json";

/// Octets that a file may have: 16 titles.
const FILE_MAX: u64 = 4_096;

/// What is kept of the pushes under one key.
#[derive(Debug)]
pub struct PushMemory {
    folder: PathBuf,
    /// Tells one key from another, and does not tell the key.
    key: String,
    boot: Option<String>,
    /// By title: one above the highest counter taken, and what is refused after
    /// a power cut.
    floors: BTreeMap<SystemTitle, Floors>,
    is_kept: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Floors {
    exact: u64,
    ahead: u64,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    key: String,
    boot: Option<String>,
    /// Counters by title; one above the greatest where none is left.
    floors: BTreeMap<String, u64>,
}

/// Why counters cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushMemoryError {
    /// A file cannot be read.
    #[error("{path}")]
    File {
        /// Names it.
        path: PathBuf,
        /// Says why.
        #[source]
        source: io::Error,
    },
    /// A file is damaged.
    #[error("{0} is damaged: without it, messages that were recorded on the line are taken again")]
    Damaged(PathBuf),
}

impl PushMemory {
    /// Takes up what `folder` keeps of pushes under `key`; what it keeps of
    /// another key is of no use.
    ///
    /// # Errors
    /// [`PushMemoryError`] where it cannot be read, or is damaged.
    pub fn open(folder: &Path, key: &Key) -> Result<Self, PushMemoryError> {
        let digest = Sha256::new()
            .chain_update(b"gridward push counters")
            .chain_update(key.dangerous_octets())
            .finalize();
        let key: String = digest
            .iter()
            .take(8)
            .map(|octet| format!("{octet:02x}"))
            .collect();
        let boot = boot_id();
        let mut floors = BTreeMap::<SystemTitle, Floors>::new();
        let ahead = read(&folder.join(AHEAD))?.filter(|kept| kept.key == key);
        for (title, floor) in ahead.iter().flat_map(|kept| &kept.floors) {
            if let Ok(title) = title.parse() {
                let floor = *floor;
                floors.insert(
                    title,
                    Floors {
                        exact: floor,
                        ahead: floor,
                    },
                );
            }
        }
        // Not synced: after a power cut it may be anything, and is not needed.
        let exact = read(&folder.join(EXACT)).ok().flatten();
        let exact = exact.filter(|kept| kept.key == key && boot.is_some() && kept.boot == boot);
        for (title, floor) in exact.iter().flat_map(|kept| &kept.floors) {
            if let Ok(title) = title.parse::<SystemTitle>()
                && let Some(floors) = floors.get_mut(&title)
            {
                floors.exact = *floor;
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            key,
            boot,
            floors,
            is_kept: false,
        })
    }

    fn kept(&self, floor: impl Fn(&Floors) -> u64) -> Result<Vec<u8>, io::Error> {
        let floors = self.floors.iter();
        let kept = Kept {
            key: self.key.clone(),
            boot: self.boot.clone(),
            floors: floors
                .map(|(title, floors)| (title.to_string(), floor(floors)))
                .collect(),
        };
        serde_json::to_vec(&kept).map_err(io::Error::other)
    }
}

impl PushCounters for PushMemory {
    fn windows(&self) -> PeerWindows {
        let mut windows = PeerWindows::new(0);
        for (title, floors) in &self.floors {
            // The greatest counter is taken then, too: one message is lost.
            let floor = u32::try_from(floors.exact).unwrap_or(u32::MAX);
            windows = windows.with_peer(*title, floor);
        }
        windows
    }

    fn keep(&mut self, taken: &BTreeMap<SystemTitle, u32>) -> io::Result<()> {
        let mut beyond = false;
        for (title, counter) in taken {
            let floors = self.floors.entry(*title).or_default();
            floors.exact = floors.exact.max(u64::from(*counter) + 1);
            if floors.exact > floors.ahead {
                floors.ahead = floors.exact + u64::from(RESERVED);
                beyond = true;
            }
        }
        while self.floors.len() > dlms::security::PEERS_MAX {
            // As the windows do it: whoever has counted least goes.
            let least = self.floors.iter().min_by_key(|(_, floors)| floors.exact);
            let Some(title) = least.map(|(title, _)| *title) else {
                break;
            };
            self.floors.remove(&title);
        }
        self.is_kept = true;
        if beyond {
            let written = replace(&self.folder.join(AHEAD), &self.kept(|floors| floors.ahead)?);
            if written.is_err() {
                for floors in self.floors.values_mut() {
                    floors.ahead = 0;
                }
            }
            written?;
        }
        let path = self.folder.join(EXACT);
        let fresh = path.with_extension("new");
        fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?
            .write_all(&self.kept(|floors| floors.exact)?)?;
        fs::rename(&fresh, &path)
    }
}

impl Drop for PushMemory {
    /// An orderly end refuses nothing afterwards.
    fn drop(&mut self) {
        if self.is_kept
            && let Ok(kept) = self.kept(|floors| floors.exact)
        {
            // What is there already refuses more, never less.
            drop(replace(&self.folder.join(AHEAD), &kept));
        }
    }
}

fn read(path: &Path) -> Result<Option<Kept>, PushMemoryError> {
    let octets = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(data) if data.len() > FILE_MAX => Err(PushMemoryError::Damaged(path.to_owned())),
        Ok(_) | Err(_) => fs::read(path).map_err(|source| PushMemoryError::File {
            path: path.to_owned(),
            source,
        }),
    }?;
    serde_json::from_slice(&octets)
        .map(Some)
        .map_err(|_| PushMemoryError::Damaged(path.to_owned()))
}
