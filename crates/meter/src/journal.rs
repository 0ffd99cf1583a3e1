//! The journal: what a meter must not forget, on disk before it is answered.
//!
//! One journal serves all meters of a process. It is a row of append-only segment files; each
//! record carries its meter and a checksum of its own, so that damage to one costs no other.
//! Records gather in a buffer and become durable together: [`Journal::commit`] writes and syncs
//! once for all meters that had something to say. What is not committed may not be answered.
//!
//! A segment that has grown enough is closed by [`Journal::rotate`]: the next one begins with the
//! present state of every meter, so that old segments can go once their rows have left the
//! rings. Rows and log entries carry sequence numbers, which makes reading them twice harmless.
//!
//! Recovery reads every segment and takes each record whose checksum holds. Where one does not,
//! the octets up to the next record that holds are skipped, counted and reported; nothing is
//! ever appended behind damage.

mod record;
mod store;

use std::collections::VecDeque;
use std::io;

pub use record::{CHANNELS_MAX, LogEntry, Record, Row, STATE_LEN_MAX};
pub(crate) use store::sync_dir;
pub use store::{DirStore, Medium, Store};

use record::{HEADER_LEN, SegmentHeader, Step};

/// Names a meter in the journal: its system title.
pub type Title = [u8; 8];

/// The order in which segments were begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentNumber(pub u64);

/// The buffer is written out, without a sync, when it reaches this many octets, so that a large
/// backfill stays within bounds.
const BUFFER_MAX: usize = 4 << 20;

/// How many damaged stretches a [`Recovery`] names; all are counted.
const DAMAGE_NAMED_MAX: usize = 32;

/// How many segments there may be; each start after a crash begins one.
const SEGMENTS_MAX: usize = 4_096;

/// Bounds of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalLimits {
    /// A segment asks to be closed at this many octets.
    pub segment_octets: u64,
    /// The journal in whole; above it the oldest segments go even where rings still hold rows
    /// of theirs.
    pub total_octets: u64,
}

impl JournalLimits {
    /// Returns limits for `meters` that each keep `rows` rows: half a row's room more than they
    /// take, in about 32 segments of 1 to 64 MiB.
    pub fn for_fleet(meters: u64, rows: u64) -> Self {
        let held = meters.saturating_mul(rows).saturating_mul(48);
        let segment_octets = (held / 32).clamp(1 << 20, 64 << 20);
        Self {
            segment_octets,
            total_octets: (held + held / 2).saturating_add(8 * segment_octets),
        }
    }
}

/// An append-only journal in a [`Store`].
#[derive(Debug)]
pub struct Journal<S> {
    store: S,
    limits: JournalLimits,
    /// Closed segments with their lengths, oldest first.
    closed: VecDeque<(SegmentNumber, u64)>,
    current: SegmentNumber,
    salt: u32,
    medium: Box<dyn Medium>,
    /// Octets of the current segment, those in the buffer included.
    len: u64,
    buffer: Vec<u8>,
    uncommitted: bool,
    failed: bool,
}

impl<S: Store> Journal<S> {
    /// Opens the journal in `store`, handing every record that holds to `visit`, oldest first.
    ///
    /// `salt` must come from the system's entropy: checksums of new segments start from it, so
    /// that no client can write a value that passes for a record when a damaged file is read.
    ///
    /// # Errors
    /// [`JournalError::Io`] where the store fails. Damage is no error: see [`Recovery`].
    pub fn open(
        mut store: S,
        limits: JournalLimits,
        salt: u32,
        mut visit: impl FnMut(SegmentNumber, Title, Record<'_>),
    ) -> Result<(Self, Recovery), JournalError> {
        let mut recovery = Recovery::default();
        let mut numbers = store.list()?;
        numbers.sort_unstable();
        let mut closed = VecDeque::new();
        let mut append_to = None;
        let newest = numbers.last().copied();
        for number in numbers {
            let octets = store.read(number)?;
            let len = octets.len() as u64;
            let (header, clean) = recovery.replay(number, &octets, &mut visit);
            match header {
                Some(header) if clean && Some(number) == newest && len < limits.segment_octets => {
                    append_to = Some((number, header.salt, len));
                }
                _ => closed.push_back((number, len)),
            }
        }
        let journal = if let Some((current, salt, len)) = append_to {
            Self {
                medium: store.append_to(current)?,
                store,
                limits,
                closed,
                current,
                salt,
                len,
                buffer: Vec::new(),
                uncommitted: false,
                failed: false,
            }
        } else {
            let current = SegmentNumber(newest.map_or(1, |number| number.0 + 1));
            let medium = store.create(current)?;
            let mut journal = Self {
                store,
                limits,
                closed,
                current,
                salt,
                medium,
                len: 0,
                buffer: Vec::new(),
                uncommitted: false,
                failed: false,
            };
            journal.begin(salt);
            journal.commit()?;
            journal
        };
        Ok((journal, recovery))
    }

    /// Adds a record of a meter; it is durable after the next [`commit`](Self::commit).
    ///
    /// # Errors
    /// [`JournalError::Io`] where the buffer was full and could not be written out;
    /// [`JournalError::Failed`] after an earlier failure.
    pub fn append(&mut self, title: Title, record: &Record<'_>) -> Result<(), JournalError> {
        if self.failed {
            return Err(JournalError::Failed);
        }
        let before = self.buffer.len();
        record.frame(self.salt, title, &mut self.buffer);
        self.len += (self.buffer.len() - before) as u64;
        self.uncommitted = true;
        if self.buffer.len() >= BUFFER_MAX {
            self.write_out()?;
        }
        Ok(())
    }

    /// Makes all records added so far durable.
    ///
    /// # Errors
    /// [`JournalError::Io`] where the medium fails. The journal then takes nothing more: what
    /// reached the disk is unknown until it is opened again.
    pub fn commit(&mut self) -> Result<(), JournalError> {
        if self.failed {
            return Err(JournalError::Failed);
        }
        if !self.uncommitted {
            return Ok(());
        }
        self.write_out()?;
        if let Err(error) = self.medium.sync() {
            self.failed = true;
            return Err(error.into());
        }
        self.uncommitted = false;
        Ok(())
    }

    /// Returns the segment that records go to.
    pub const fn current(&self) -> SegmentNumber {
        self.current
    }

    /// Says whether the current segment has grown enough for [`rotate`](Self::rotate).
    pub fn rotation_due(&self) -> bool {
        self.len >= self.limits.segment_octets || self.closed.len() >= SEGMENTS_MAX
    }

    /// Closes the current segment and begins the next with what `snapshot` adds: the present
    /// state and logs of every meter. Then removes the segments before `oldest_needed`, which is
    /// the least that any ring holds a row of, and further ones while the whole is over its
    /// bound. Returns the oldest segment that is left: rings drop the rows before it.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn rotate(
        &mut self,
        salt: u32,
        oldest_needed: SegmentNumber,
        snapshot: impl FnOnce(&mut Self) -> Result<(), JournalError>,
    ) -> Result<SegmentNumber, JournalError> {
        self.commit()?;
        let next = SegmentNumber(self.current.0 + 1);
        let medium = self.store.create(next)?;
        self.closed.push_back((self.current, self.len));
        self.medium = medium;
        self.current = next;
        self.len = 0;
        self.begin(salt);
        snapshot(self)?;
        self.commit()?;
        let mut total: u64 = self.closed.iter().map(|(_, len)| len).sum::<u64>() + self.len;
        while let Some((number, len)) = self.closed.front().copied() {
            let bounded = total <= self.limits.total_octets && self.closed.len() < SEGMENTS_MAX;
            if number >= oldest_needed && bounded {
                break;
            }
            self.store.remove(number)?;
            self.closed.pop_front();
            total -= len;
        }
        Ok(self
            .closed
            .front()
            .map_or(self.current, |(number, _)| *number))
    }

    /// Returns the octets of all segments.
    pub fn octets(&self) -> u64 {
        self.closed.iter().map(|(_, len)| len).sum::<u64>() + self.len
    }

    fn begin(&mut self, salt: u32) {
        self.salt = salt;
        let before = self.buffer.len();
        SegmentHeader {
            number: self.current,
            salt,
        }
        .encode(&mut self.buffer);
        self.len += (self.buffer.len() - before) as u64;
        self.uncommitted = true;
    }

    fn write_out(&mut self) -> Result<(), JournalError> {
        if let Err(error) = self.medium.append(&self.buffer) {
            self.failed = true;
            return Err(error.into());
        }
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_MAX);
        Ok(())
    }
}

/// What opening a journal found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records that held.
    pub records: u64,
    /// Damaged stretches that were skipped.
    pub damages: u64,
    /// Octets in those stretches.
    pub damaged_octets: u64,
    /// Where the first of them are.
    pub named: Vec<Damage>,
}

/// A stretch of a segment that holds no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub segment: SegmentNumber,
    /// The offset of the first octet.
    pub offset: u64,
    /// How many octets.
    pub len: u64,
}

impl Recovery {
    /// Reads a segment; says what its header was and whether all of it held.
    fn replay(
        &mut self,
        number: SegmentNumber,
        octets: &[u8],
        visit: &mut impl FnMut(SegmentNumber, Title, Record<'_>),
    ) -> (Option<SegmentHeader>, bool) {
        let header = SegmentHeader::decode(octets).filter(|header| header.number == number);
        let Some(header) = header else {
            // Without the salt no record can be told from noise.
            self.damage(number, 0, octets.len());
            return (None, false);
        };
        let mut offset = HEADER_LEN;
        let mut clean = true;
        let mut bad_from = None;
        while let Some(rest) = octets.get(offset..).filter(|rest| !rest.is_empty()) {
            match record::step(header.salt, rest) {
                Step::Record { title, record, len } => {
                    if let Some(from) = bad_from.take() {
                        self.damage(number, from, offset - from);
                    }
                    self.records += 1;
                    visit(number, title, record);
                    offset += len;
                }
                Step::Damaged { skip } => {
                    clean = false;
                    bad_from.get_or_insert(offset);
                    offset += skip;
                }
            }
        }
        if let Some(from) = bad_from {
            self.damage(number, from, octets.len() - from);
        }
        (Some(header), clean)
    }

    fn damage(&mut self, segment: SegmentNumber, offset: usize, len: usize) {
        self.damages += 1;
        self.damaged_octets += len as u64;
        if self.named.len() < DAMAGE_NAMED_MAX {
            self.named.push(Damage {
                segment,
                offset: offset as u64,
                len: len as u64,
            });
        }
    }
}

/// Why a journal cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The store failed.
    #[error("the journal's storage failed: {0}")]
    Io(#[from] io::Error),
    /// It failed before, and nothing was taken since.
    #[error("the journal failed before; open it again")]
    Failed,
}

/// A journal as a meter sees it, whatever its store.
pub trait Durable {
    /// Adds a record and tells which segment it went to; it is durable after the next
    /// [`commit`](Self::commit).
    ///
    /// # Errors
    /// As [`Journal::append`].
    fn append(&mut self, title: Title, record: &Record<'_>) -> Result<SegmentNumber, JournalError>;

    /// Makes all records added so far durable.
    ///
    /// # Errors
    /// As [`Journal::commit`].
    fn commit(&mut self) -> Result<(), JournalError>;
}

impl<S: Store> Durable for Journal<S> {
    fn append(&mut self, title: Title, record: &Record<'_>) -> Result<SegmentNumber, JournalError> {
        Self::append(self, title, record)?;
        Ok(self.current)
    }

    fn commit(&mut self) -> Result<(), JournalError> {
        Self::commit(self)
    }
}
