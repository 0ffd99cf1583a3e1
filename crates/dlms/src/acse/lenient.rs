//! What a lenient reading finds wrong and reads over.

use alloc::vec::Vec;
use core::fmt;

use crate::codec::{DecodeError, Reader};

/// How many deviations of one APDU are kept; further ones are dropped.
pub const MAX_DEVIATIONS: usize = 8;

/// A value whose octets were not all as they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lenient<T> {
    /// What the octets mean.
    pub value: T,
    /// What was wrong with them, empty where nothing was; at most
    /// [`MAX_DEVIATIONS`].
    pub deviations: Vec<Deviation>,
}

/// A fault in octets whose meaning is plain all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// Where it is, counted from the first octet handed in.
    pub offset: usize,
    /// The field or the APDU it is in, in the standard's words.
    pub field: &'static str,
    /// What is wrong.
    pub kind: DeviationKind,
}

impl Deviation {
    pub(super) const fn new(offset: usize, field: &'static str, kind: DeviationKind) -> Self {
        Self {
            offset,
            field,
            kind,
        }
    }
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {} in {}", self.offset, self.kind, self.field)
    }
}

/// What can be wrong with octets and yet be read over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviationKind {
    /// A length that does not match what stands behind it. Seen in the RLRE of
    /// Gurux servers: `63 11 80 01 00 BE 0F 04 0E ..`, where 0x15 and 0x10 are
    /// due.
    Length,
    /// A field before its turn: its tag. Seen in the AARE of Gurux servers
    /// with mechanism 7.
    Order(u8),
    /// A field that is not of this APDU, or does not hold what it should: its
    /// tag.
    Field(u8),
}

impl fmt::Display for DeviationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => f.write_str("wrong length"),
            Self::Order(tag) => write!(f, "field 0x{tag:02x} out of turn"),
            Self::Field(tag) => write!(f, "strange field 0x{tag:02x}"),
        }
    }
}

/// The deviations found so far.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<Deviation>);

impl Notes {
    pub(super) fn add(&mut self, deviation: Deviation) {
        if self.0.len() < MAX_DEVIATIONS {
            self.0.push(deviation);
        }
    }
}

/// Reads `octets` by `read`, and gathers what it notes.
pub(super) fn leniently<'a, T>(
    octets: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>, Option<&mut Notes>) -> Result<T, DecodeError>,
) -> Result<Lenient<T>, DecodeError> {
    let mut notes = Notes::default();
    let value = read(&mut Reader::new(octets), Some(&mut notes))?;
    Ok(Lenient {
        value,
        deviations: notes.0,
    })
}
