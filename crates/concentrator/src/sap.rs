//! Which logical device has which service access point.
//!
//! A SAP is given when a meter registers for the first time and stays with
//! its logical device name across restarts, also while the meter is gone. One
//! that is taken away rests for a quarantine before another meter gets it,
//! and the one that has rested longest goes first: a frame that is late must
//! not reach another meter than was meant. The head end checks the meter's
//! system title all the same: this table proves nothing.

use std::collections::BTreeMap;

use dlms::axdr::{put_array, put_octet_string, put_structure, put_u16};
use link::Sap;
use model::LogicalDeviceName;

/// The first SAP that a meter may get. Below lie the standard's own: 0x0001 is
/// the concentrator's management logical device, 0x007F means all stations,
/// 0x0002 to 0x000F are reserved (IEC 62056-47); clients are below 0x0080.
pub const SAP_FIRST: Sap = 0x0100;

/// The last: the upper HDLC address has 14 bits, of which 0x3FFF means all
/// stations and 0x3FFE is reserved (IEC 62056-46), so that the same numbers
/// serve on a local HDLC port.
pub const SAP_LAST: Sap = 0x3FFD;

/// Logical devices that a table may hold.
pub const ENTRIES_MAX: usize = (SAP_LAST - SAP_FIRST) as usize + 1;

/// A change of the table, as it is made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A SAP was given.
    Assigned {
        /// The SAP.
        sap: Sap,
        /// To whom.
        name: LogicalDeviceName,
        /// When, in seconds since 1970-01-01T00:00:00Z; none in records of before that was kept.
        at: Option<i64>,
    },
    /// A SAP was taken away, or rests already.
    Released {
        /// The SAP.
        sap: Sap,
        /// When, in seconds since 1970-01-01T00:00:00Z.
        at: i64,
    },
}

/// The table.
#[derive(Clone, Debug)]
pub struct Table {
    by_name: BTreeMap<LogicalDeviceName, Sap>,
    by_sap: BTreeMap<Sap, LogicalDeviceName>,
    /// When those that are given were given, where that is known.
    since: BTreeMap<Sap, i64>,
    /// SAPs that rest, with when each was taken away.
    resting: BTreeMap<Sap, i64>,
    quarantine_s: i64,
    changes: u32,
    /// Where the search for the next free SAP begins.
    next: Sap,
    /// Which SAPs are given here, where another concentrator gives the rest: even ones, or odd.
    half: Option<Sap>,
}

impl Table {
    /// Starts empty; a SAP that was taken away rests for `quarantine_s`
    /// seconds.
    #[must_use]
    pub const fn new(quarantine_s: u32) -> Self {
        Self {
            by_name: BTreeMap::new(),
            by_sap: BTreeMap::new(),
            since: BTreeMap::new(),
            resting: BTreeMap::new(),
            quarantine_s: quarantine_s as i64,
            changes: 0,
            next: SAP_FIRST,
            half: None,
        }
    }

    /// Gives even SAPs only, or odd ones: another concentrator gives the others, and may do so
    /// unheard. SAPs that were given before stay.
    pub const fn give_half(&mut self, odd: bool) {
        self.half = Some(odd as Sap);
    }

    /// Finds the SAP of a logical device.
    #[must_use]
    pub fn sap_of(&self, name: &LogicalDeviceName) -> Option<Sap> {
        self.by_name.get(name).copied()
    }

    /// Finds whose a SAP is.
    #[must_use]
    pub fn name_of(&self, sap: Sap) -> Option<&LogicalDeviceName> {
        self.by_sap.get(&sap)
    }

    /// Tells since when a SAP is its logical device's, in seconds since 1970-01-01T00:00:00Z;
    /// nothing where that was not kept.
    #[must_use]
    pub fn since(&self, sap: Sap) -> Option<i64> {
        self.since.get(&sap).copied()
    }

    /// Walks all entries by SAP.
    pub fn iter(&self) -> impl Iterator<Item = (Sap, &LogicalDeviceName)> {
        self.by_sap.iter().map(|(sap, name)| (*sap, name))
    }

    /// Tells how many logical devices have a SAP.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_sap.len()
    }

    /// Tells whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_sap.is_empty()
    }

    /// Counts the changes since the table was made. Who has seen a count and
    /// sees it again need not read the list.
    #[must_use]
    pub const fn changes(&self) -> u32 {
        self.changes
    }

    /// Works out the record that gives `name` a SAP; none is needed where it
    /// has one.
    ///
    /// # Errors
    /// [`SapError::Full`] where every SAP is given or rests.
    pub fn plan(&self, name: &LogicalDeviceName, now: i64) -> Result<Option<Record>, SapError> {
        if self.by_name.contains_key(name) {
            return Ok(None);
        }
        let free = |sap: &Sap| {
            let rested = self.resting.get(sap).is_none_or(|at| {
                // A clock that was set back makes it rest longer, never less.
                now.saturating_sub(*at) >= self.quarantine_s
            });
            let ours = self.half.is_none_or(|half| *sap % 2 == half);
            ours && rested && !self.by_sap.contains_key(sap)
        };
        let sap = (self.next..=SAP_LAST)
            .chain(SAP_FIRST..self.next)
            .find(free)
            .ok_or(SapError::Full)?;
        Ok(Some(Record::Assigned {
            sap,
            name: name.clone(),
            at: Some(now),
        }))
    }

    /// Gives a logical device the SAP that an operator names.
    ///
    /// # Errors
    /// [`SapError`] where the SAP is none for meters, is another's, or rests.
    pub fn plan_at(
        &self,
        sap: Sap,
        name: &LogicalDeviceName,
        now: i64,
    ) -> Result<Vec<Record>, SapError> {
        if !(SAP_FIRST..=SAP_LAST).contains(&sap) {
            return Err(SapError::Range);
        }
        if self.sap_of(name) == Some(sap) {
            return Ok(Vec::new());
        }
        if self.by_sap.contains_key(&sap) {
            return Err(SapError::Taken);
        }
        let rests = |at: &i64| now.saturating_sub(*at) < self.quarantine_s;
        if self.resting.get(&sap).is_some_and(rests) {
            return Err(SapError::Resting);
        }
        let mut records: Vec<_> = self.plan_release(name, now).into_iter().collect();
        records.push(Record::Assigned {
            sap,
            name: name.clone(),
            at: Some(now),
        });
        Ok(records)
    }

    /// Works out the record that takes a logical device's SAP away; none
    /// where it has none.
    #[must_use]
    pub fn plan_release(&self, name: &LogicalDeviceName, now: i64) -> Option<Record> {
        let sap = self.sap_of(name)?;
        Some(Record::Released { sap, at: now })
    }

    /// Works out what a record of the other concentrator of a pair changes here. `overrules`
    /// says whether it goes before what is known here; both sides come to the same table.
    #[must_use]
    pub fn plan_other(&self, record: &Record, overrules: bool, now: i64) -> Vec<Record> {
        match record {
            Record::Released { sap, at } => {
                let later = |before: &i64| before < at;
                let new = if self.by_sap.contains_key(sap) {
                    overrules
                } else {
                    self.resting.get(sap).is_none_or(later)
                };
                if new {
                    vec![record.clone()]
                } else {
                    Vec::new()
                }
            }
            Record::Assigned { sap, name, .. } => {
                if self.name_of(*sap) == Some(name) || self.resting.contains_key(sap) && !overrules
                {
                    return Vec::new();
                }
                let rest = |sap| Record::Released { sap, at: now };
                let mut records = Vec::new();
                if let Some(own) = self.sap_of(name) {
                    // Both gave it one while they did not hear each other: the lower stays.
                    if own < *sap {
                        let free = !self.by_sap.contains_key(sap);
                        return if free { vec![rest(*sap)] } else { Vec::new() };
                    }
                    records.push(rest(own));
                }
                if let Some(other) = self.name_of(*sap) {
                    if other < name {
                        return records;
                    }
                    records.push(rest(*sap));
                }
                records.push(record.clone());
                records
            }
        }
    }

    /// Applies a record that is durable.
    ///
    /// # Errors
    /// [`SapError`] where it contradicts the table: the file is damaged. The
    /// table is as it was then.
    pub fn apply(&mut self, record: &Record) -> Result<(), SapError> {
        match record {
            Record::Assigned { sap, name, at } => {
                if !(SAP_FIRST..=SAP_LAST).contains(sap) {
                    return Err(SapError::Range);
                }
                if self.by_sap.contains_key(sap) || self.by_name.contains_key(name) {
                    return Err(SapError::Taken);
                }
                self.resting.remove(sap);
                self.by_sap.insert(*sap, name.clone());
                self.by_name.insert(name.clone(), *sap);
                if let Some(at) = at {
                    self.since.insert(*sap, *at);
                }
                self.next = if *sap >= SAP_LAST { SAP_FIRST } else { sap + 1 };
            }
            Record::Released { sap, at } => {
                if !(SAP_FIRST..=SAP_LAST).contains(sap) {
                    return Err(SapError::Range);
                }
                if let Some(name) = self.by_sap.remove(sap) {
                    self.by_name.remove(&name);
                }
                self.since.remove(sap);
                self.resting.insert(*sap, *at);
            }
        }
        self.changes = self.changes.wrapping_add(1);
        Ok(())
    }

    /// Takes up the count of changes where it was left.
    pub const fn resume(&mut self, changes: u32) {
        self.changes = changes;
    }

    /// Gives the records that make a table like this one.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let resting = self.resting.iter();
        let given = self.iter().map(|(sap, name)| Record::Assigned {
            sap,
            name: name.clone(),
            at: self.since(sap),
        });
        resting
            .map(|(sap, at)| Record::Released { sap: *sap, at: *at })
            .chain(given)
            .collect()
    }

    /// Appends the list as attribute 2 of SAP assignment (class 17, version 0)
    /// has it: an array of structures of a long-unsigned and an octet-string.
    /// The concentrator's own entry comes first.
    pub fn encode_list(&self, own: &LogicalDeviceName, out: &mut Vec<u8>) {
        put_array(out, self.len() + 1);
        for (sap, name) in std::iter::once((OWN_SAP, own)).chain(self.iter()) {
            put_structure(out, 2);
            put_u16(out, sap);
            put_octet_string(out, name.as_str().as_bytes());
        }
    }
}

/// The SAP of the concentrator's own management logical device.
pub const OWN_SAP: Sap = 1;

/// Why a SAP cannot be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SapError {
    /// Every SAP is given or rests.
    #[error("no service access point is free")]
    Full,
    /// It is none for meters.
    #[error("a meter's service access point is 0x0100 to 0x3FFD")]
    Range,
    /// It is another's.
    #[error("the service access point or the logical device has another already")]
    Taken,
    /// It was taken away too short a time ago.
    #[error("the service access point still rests")]
    Resting,
    /// It is nobody's.
    #[error("no logical device has this service access point")]
    Unknown,
}
