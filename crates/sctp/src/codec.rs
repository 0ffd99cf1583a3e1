//! The one cursor that every wire form of this crate is read through, and the
//! guard that fills in lengths.
//!
//! A decoder never indexes its input: it asks a [`Reader`] for octets under
//! the name of the field it is after, so that each refusal says where it
//! stopped and what was missing there.

use thiserror::Error;

/// Why octets could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("octet {offset}: {reason} in {field}")]
pub struct DecodeError {
    /// Offset of the octet where reading stopped, from the first of the packet.
    pub offset: usize,
    /// The field that was being read.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: Malformed,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Octets are missing.
    #[error("truncated")]
    Truncated,
    /// A length that cannot be.
    #[error("impossible length")]
    Length,
    /// A value that the field cannot have.
    #[error("impossible value")]
    Value,
    /// Octets are left over.
    #[error("octets left over")]
    Trailing,
    /// The CRC32c is another.
    #[error("wrong checksum")]
    Checksum,
    /// More than are taken.
    #[error("too many")]
    TooMany,
}

/// A cursor over octets that somebody else sent.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first of `octets`, which is told as `offset` in errors.
    #[must_use]
    pub const fn at(octets: &'a [u8], offset: usize) -> Self {
        Self {
            rest: octets,
            offset,
        }
    }

    /// Tells the offset of the next octet.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Tells how many octets are left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Tells whether no octet is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes `count` octets.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] where fewer are left.
    #[inline]
    pub fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                self.offset += count;
                Ok(taken)
            }
            None => Err(self.error(field, Malformed::Truncated)),
        }
    }

    /// Takes `N` octets.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] where fewer are left.
    #[inline]
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                self.offset += N;
                Ok(*taken)
            }
            None => Err(self.error(field, Malformed::Truncated)),
        }
    }

    /// Takes one octet.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] where none is left.
    #[inline]
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(field).map(|[octet]| octet)
    }

    /// Takes two octets, the high one first.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] where fewer are left.
    #[inline]
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_be_bytes)
    }

    /// Takes four octets, the high one first.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] where fewer are left.
    #[inline]
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// Takes eight octets, the high one first.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] where fewer are left.
    #[inline]
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.array(field).map(u64::from_be_bytes)
    }

    /// Takes all that is left.
    pub const fn rest(&mut self) -> &'a [u8] {
        let taken = self.rest;
        self.offset += taken.len();
        self.rest = &[];
        taken
    }

    /// Ends a form of which nothing may be left.
    ///
    /// # Errors
    /// [`Malformed::Trailing`] where octets are left.
    pub const fn finish(self, field: &'static str) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.error(field, Malformed::Trailing))
        }
    }

    /// Makes an error at the next octet.
    #[must_use]
    pub const fn error(&self, field: &'static str, reason: Malformed) -> DecodeError {
        DecodeError {
            offset: self.offset,
            field,
            reason,
        }
    }
}

/// Rounds up to the four octets that chunks and parameters are padded to
/// (RFC 9260, section 3.2).
#[must_use]
pub const fn padded(length: usize) -> usize {
    length.saturating_add(3) & !3
}

/// Appends zeros until `out` is a multiple of four octets long from `start`.
pub(crate) fn pad(out: &mut Vec<u8>, start: usize) {
    let length = out.len().saturating_sub(start);
    out.resize(start.saturating_add(padded(length)), 0);
}

/// Writes `length` into the two octets at `at`, which were left for it.
pub(crate) fn fill_length(out: &mut [u8], at: usize, length: usize) {
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    if let Some(field) = out.get_mut(at..at.saturating_add(2)) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}
