//! The SAP table and the own counters on disk.
//!
//! One file of lines: each holds a CRC-32 and a record, and is synced before
//! anybody is told. A last line that was cut off by a loss of power is
//! dropped; damage anywhere else is refused, since a table that has lost an
//! entry would give a meter's SAP to another. Opening a file writes it anew
//! without what is no longer needed.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use model::LogicalDeviceName;

use crate::sap::{Record, SapError, Table};

/// Octets that a file may have when it is opened.
const FILE_LEN_MAX: u64 = 64 << 20;

/// A file of records, open to be appended to.
#[derive(Debug)]
pub struct Log {
    file: File,
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A change of the SAP table.
    Sap(Record),
    /// How often the table had changed before what follows.
    Changes(u32),
    /// Below these counters of a client's association everything was used:
    /// ours, and the client's.
    Counters {
        /// The client's SAP.
        client: u16,
        /// Of what this device sends.
        sent: u32,
        /// Of what it has accepted.
        accepted: u32,
    },
    /// An attribute of an object of the WAN was written.
    Setup {
        /// The class.
        class: u16,
        /// The attribute.
        attribute: i8,
        /// What it is now, without blanks.
        value: String,
    },
}

impl Line {
    /// Whether nothing of `other` counts after this line.
    pub(crate) fn replaces(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Counters { client, .. }, Self::Counters { client: it, .. }) => client == it,
            (
                Self::Setup {
                    class, attribute, ..
                },
                Self::Setup {
                    class: other,
                    attribute: it,
                    ..
                },
            ) => (class, attribute) == (other, it),
            _ => false,
        }
    }

    fn text(&self) -> String {
        let body = match self {
            Self::Sap(Record::Assigned { sap, name, at }) => {
                let at = at.map_or_else(String::new, |at| format!(" {at}"));
                format!("assigned {sap} {}{at}", hex(name))
            }
            Self::Sap(Record::Released { sap, at }) => format!("released {sap} {at}"),
            Self::Changes(count) => format!("changes {count}"),
            Self::Counters {
                client,
                sent,
                accepted,
            } => format!("counters {client} {sent} {accepted}"),
            Self::Setup {
                class,
                attribute,
                value,
            } => format!("setup {class} {attribute} {value}"),
        };
        format!("{:08x} {body}\n", crc32fast::hash(body.as_bytes()))
    }

    fn parse(line: &str) -> Option<Self> {
        let (crc, body) = line.split_once(' ')?;
        if u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(body.as_bytes()) {
            return None;
        }
        let parts: Vec<&str> = body.split(' ').collect();
        match parts.as_slice() {
            ["assigned", sap, name, at @ ..] => Some(Self::Sap(Record::Assigned {
                sap: sap.parse().ok()?,
                name: LogicalDeviceName::from_octets(&link::parse_hex(name)?).ok()?,
                at: match at {
                    // As it was written before that was kept.
                    [] => None,
                    [at] => Some(at.parse().ok()?),
                    _ => return None,
                },
            })),
            ["released", sap, at] => Some(Self::Sap(Record::Released {
                sap: sap.parse().ok()?,
                at: at.parse().ok()?,
            })),
            ["changes", count] => Some(Self::Changes(count.parse().ok()?)),
            ["counters", client, sent, accepted] => Some(Self::Counters {
                client: client.parse().ok()?,
                sent: sent.parse().ok()?,
                accepted: accepted.parse().ok()?,
            }),
            ["setup", class, attribute, value] => Some(Self::Setup {
                class: class.parse().ok()?,
                attribute: attribute.parse().ok()?,
                value: (*value).to_owned(),
            }),
            _ => None,
        }
    }
}

fn hex(name: &LogicalDeviceName) -> String {
    let octets = name.as_str().bytes();
    octets.map(|octet| format!("{octet:02x}")).collect()
}

impl Log {
    /// Opens a file, or makes it, and gives the lines that are whole. It is
    /// written anew by [`compact`](Self::compact) of what the caller keeps.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be read, or is damaged in its midst.
    pub fn read(path: &Path) -> Result<Vec<Line>, StoreError> {
        let mut text = Vec::new();
        match File::open(path) {
            Ok(file) => {
                if file.metadata()?.len() > FILE_LEN_MAX {
                    return Err(StoreError::TooLarge(path.to_owned()));
                }
                file.take(FILE_LEN_MAX).read_to_end(&mut text)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        let mut lines = Vec::new();
        let mut rest = text.as_slice();
        let mut number = 0;
        while let Some(end) = rest.iter().position(|octet| *octet == b'\n') {
            number += 1;
            let (line, tail) = rest.split_at(end);
            rest = tail.get(1..).unwrap_or_default();
            let line = std::str::from_utf8(line).ok().and_then(Line::parse);
            match line {
                Some(line) => lines.push(line),
                // A sync that was under way may have left the end in any state.
                None if rest.is_empty() => break,
                None => {
                    return Err(StoreError::Damaged {
                        path: path.to_owned(),
                        line: number,
                    });
                }
            }
        }
        Ok(lines)
    }

    /// Writes the file anew with `lines`, durably and at once, and opens it.
    ///
    /// # Errors
    /// The system's error; the file is as it was before then.
    pub fn compact(path: &Path, lines: &[Line]) -> Result<Self, StoreError> {
        let beside = path.with_extension("new");
        let text: String = lines.iter().map(Line::text).collect();
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        drop(file);
        std::fs::rename(&beside, path)?;
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            File::open(folder)?.sync_all()?;
        }
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Self { file })
    }

    /// Appends lines and syncs them.
    ///
    /// # Errors
    /// The system's error: nothing may be built on the lines then.
    pub fn append(&mut self, lines: &[Line]) -> Result<(), StoreError> {
        let text: String = lines.iter().map(Line::text).collect();
        self.file.write_all(text.as_bytes())?;
        self.file.sync_data()?;
        Ok(())
    }
}

/// Opens the SAP table of a folder.
///
/// # Errors
/// [`StoreError`] where the file cannot be read or written, or contradicts
/// itself.
pub fn open_table(path: &Path, quarantine_s: u32) -> Result<(Table, Log), StoreError> {
    let mut table = Table::new(quarantine_s);
    for (number, line) in (1..).zip(Log::read(path)?) {
        let applied = match &line {
            Line::Sap(record) => table.apply(record),
            Line::Changes(count) => {
                table.resume(*count);
                Ok(())
            }
            Line::Counters { .. } | Line::Setup { .. } => Err(SapError::Unknown),
        };
        applied.map_err(|_| StoreError::Damaged {
            path: path.to_owned(),
            line: number,
        })?;
    }
    let mut lines: Vec<_> = table.records().into_iter().map(Line::Sap).collect();
    lines.push(Line::Changes(table.changes()));
    let log = Log::compact(path, &lines)?;
    Ok((table, log))
}

/// Why what is on disk cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system's error.
    #[error("the data folder cannot be used: {0}")]
    Io(#[from] std::io::Error),
    /// A line in the midst of a file is damaged, or contradicts those before.
    #[error("{}: line {line} is damaged; put a copy of the file in its place", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The file is larger than any that this program writes.
    #[error("{}: larger than any file of this kind", .0.display())]
    TooLarge(PathBuf),
}
