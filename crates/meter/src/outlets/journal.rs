//! What an outlet meter must not forget, on disk before anything is done about it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use model::xml::{CivilDateTime, OutletId, OutletPower, Switch};
use model::{Records, put_record};

use super::Cost;

/// Where an outlet meter's journal is kept.
pub trait OutletJournal {
    /// Returns all that was appended.
    ///
    /// # Errors
    /// The medium's.
    fn read(&mut self) -> io::Result<Vec<u8>>;

    /// Appends octets; durable when it returns.
    ///
    /// # Errors
    /// The medium's.
    fn append(&mut self, octets: &[u8]) -> io::Result<()>;

    /// Puts these octets in the place of all, or nothing; durable when it returns.
    ///
    /// # Errors
    /// The medium's.
    fn replace(&mut self, octets: &[u8]) -> io::Result<()>;
}

/// A journal in one file.
#[derive(Debug)]
pub struct FileJournal {
    path: PathBuf,
    file: File,
}

/// Octets of the longest journal that is read.
const JOURNAL_LEN_MAX: u64 = 1 << 30;

impl FileJournal {
    /// Opens a journal, or makes it.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }
}

impl OutletJournal for FileJournal {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut octets = Vec::new();
        File::open(&self.path)?
            .take(JOURNAL_LEN_MAX)
            .read_to_end(&mut octets)?;
        Ok(octets)
    }

    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        self.file.write_all(octets)?;
        self.file.sync_data()
    }

    fn replace(&mut self, octets: &[u8]) -> io::Result<()> {
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(octets)?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        if let Some(folder) = self
            .path
            .parent()
            .filter(|path| !path.as_os_str().is_empty())
        {
            File::open(folder)?.sync_all()?;
        }
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        Ok(())
    }
}

/// One thing to remember. Times are seconds as [`CivilDateTime::ordinal`] counts them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Row(u64, BTreeMap<OutletId, OutletPower>),
    Switch(OutletId, u64, Switch),
    Warning(u64, OutletId),
    Cost(Cost),
    Sequence(u64),
}

const ROW: u8 = 1;
const SWITCH: u8 = 2;
const WARNING: u8 = 3;
const COST: u8 = 4;
const SEQUENCE: u8 = 5;

impl Entry {
    fn octets(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Row(section, row) => {
                out.push(ROW);
                out.extend(section.to_le_bytes());
                for (outlet, power) in row {
                    for number in [outlet.0, power.volts, power.milliamperes, power.watts] {
                        out.extend(number.to_le_bytes());
                    }
                }
            }
            Self::Switch(outlet, at, switch) => {
                out.push(SWITCH);
                out.extend(outlet.0.to_le_bytes());
                out.extend(at.to_le_bytes());
                out.push(u8::from(*switch == Switch::On));
            }
            Self::Warning(at, outlet) => {
                out.push(WARNING);
                out.extend(at.to_le_bytes());
                out.extend(outlet.0.to_le_bytes());
            }
            Self::Cost(cost) => {
                out.push(COST);
                out.extend(cost.told.ordinal().to_le_bytes());
                out.extend([cost.month, cost.day_start, cost.day_end]);
                out.extend(cost.total.to_le_bytes());
            }
            Self::Sequence(sequence) => {
                out.push(SEQUENCE);
                out.extend(sequence.to_le_bytes());
            }
        }
        out
    }

    fn read(octets: &[u8]) -> Option<Self> {
        let (kind, mut rest) = octets.split_first()?;
        let rest = &mut rest;
        let entry = match *kind {
            ROW => {
                let section = u64::from_le_bytes(take(rest)?);
                let mut row = BTreeMap::new();
                while !rest.is_empty() {
                    let mut number = || take(rest).map(u32::from_le_bytes);
                    let outlet = OutletId(number()?);
                    let power = OutletPower {
                        volts: number()?,
                        milliamperes: number()?,
                        watts: number()?,
                    };
                    row.insert(outlet, power);
                }
                Self::Row(section, row)
            }
            SWITCH => Self::Switch(
                OutletId(u32::from_le_bytes(take(rest)?)),
                u64::from_le_bytes(take(rest)?),
                match take(rest)? {
                    [0] => Switch::Off,
                    [1] => Switch::On,
                    [_] => return None,
                },
            ),
            WARNING => Self::Warning(
                u64::from_le_bytes(take(rest)?),
                OutletId(u32::from_le_bytes(take(rest)?)),
            ),
            COST => {
                let told = CivilDateTime::from_ordinal(u64::from_le_bytes(take(rest)?))?;
                let [month, day_start, day_end] = take(rest)?;
                Self::Cost(Cost {
                    told,
                    month,
                    day_start,
                    day_end,
                    total: u64::from_le_bytes(take(rest)?),
                })
            }
            SEQUENCE => Self::Sequence(u64::from_le_bytes(take(rest)?)),
            _ => return None,
        };
        rest.is_empty().then_some(entry)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

/// Reads what a journal holds, and cuts off what is damaged behind it.
pub(super) fn recover(journal: &mut impl OutletJournal) -> io::Result<(Vec<Entry>, u64)> {
    let octets = journal.read()?;
    let mut records = Records::new(&octets);
    // Entries of a later program are left out, not damage.
    let entries = records.by_ref().filter_map(Entry::read).collect();
    let sound = octets.get(..records.sound()).unwrap_or_default();
    if sound.len() < octets.len() {
        let lost = octets.len() - sound.len();
        tracing::warn!(lost, "octets at the end of the journal were damaged");
        journal.replace(sound)?;
    }
    Ok((entries, u64::try_from(sound.len()).unwrap_or(u64::MAX)))
}

/// Appends an entry, and returns its octets.
pub(super) fn append(journal: &mut impl OutletJournal, entry: &Entry) -> io::Result<u64> {
    let mut out = Vec::new();
    if !put_record(&mut out, &entry.octets()) {
        return Err(io::Error::other(
            "an entry that is too long for the journal",
        ));
    }
    journal.append(&out)?;
    Ok(u64::try_from(out.len()).unwrap_or(u64::MAX))
}

/// Writes a journal anew, and returns its octets.
pub(super) fn rewrite(journal: &mut impl OutletJournal, entries: &[Entry]) -> io::Result<u64> {
    let mut out = Vec::new();
    for entry in entries {
        put_record(&mut out, &entry.octets());
    }
    journal.replace(&out)?;
    Ok(u64::try_from(out.len()).unwrap_or(u64::MAX))
}
