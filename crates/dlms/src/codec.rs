//! The cursor and the trait that every wire form of this crate goes through.
//!
//! A decoder never indexes its input: it asks a [`Reader`] for octets under
//! the name of the field it is after, so that each refusal says where it
//! stopped and what was missing there.

use alloc::vec::Vec;

/// A form that has octets.
pub trait Wire<'a>: Sized {
    /// Appends the octets of this value.
    fn encode(&self, out: &mut Vec<u8>);

    /// Takes a value from the front of `reader`.
    ///
    /// # Errors
    /// The offset and the reason where the octets are none of this form.
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError>;

    /// Decodes a value that is all of `octets`.
    ///
    /// # Errors
    /// As [`Wire::decode`], and where octets are left over.
    fn from_octets(octets: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(octets);
        let value = Self::decode(&mut reader)?;
        reader.finish("value")?;
        Ok(value)
    }

    /// Makes the octets of this value.
    fn to_octets(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// A cursor over octets that somebody else sent.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// The offset behind the last octet: one number less to keep up with.
    end: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first of `octets`, which has offset 0.
    #[must_use]
    pub const fn new(octets: &'a [u8]) -> Self {
        Self::at(octets, 0)
    }

    /// Starts at the first of `octets`, which is told as `offset` in errors.
    #[must_use]
    pub const fn at(octets: &'a [u8], offset: usize) -> Self {
        Self {
            rest: octets,
            end: offset.saturating_add(octets.len()),
        }
    }

    /// Tells the offset of the next octet.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.end - self.rest.len()
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

    /// Shows what is left without taking it.
    #[must_use]
    pub const fn peek_rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Shows the next octet without taking it.
    #[must_use]
    pub const fn peek(&self) -> Option<u8> {
        match self.rest {
            [first, ..] => Some(*first),
            [] => None,
        }
    }

    /// Takes `count` octets.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] where fewer are left.
    #[inline]
    pub const fn take(
        &mut self,
        count: usize,
        field: &'static str,
    ) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
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
    pub const fn array<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
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
    pub const fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        match self.rest {
            [first, rest @ ..] => {
                self.rest = rest;
                Ok(*first)
            }
            [] => Err(self.error(field, Malformed::Truncated)),
        }
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

    /// Takes a length in the definite form that A-XDR (IEC 61334-6) and BER
    /// share: one octet up to 0x7F, else 0x81 to 0x84 and that many octets.
    /// Longer forms than needed are legal and taken.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], or [`Malformed::Length`] for the indefinite
    /// form 0x80 and for lengths of more than four octets.
    #[inline]
    pub fn length(&mut self, field: &'static str) -> Result<usize, DecodeError> {
        let start = self.offset();
        let first = self.u8(field)?;
        if first < 0x80 {
            return Ok(usize::from(first));
        }
        let count = usize::from(first & 0x7F);
        if count == 0 || count > 4 {
            return Err(DecodeError {
                offset: start,
                field,
                reason: Malformed::Length,
            });
        }
        let mut length = 0_u32;
        for &octet in self.take(count, field)? {
            length = (length << 8) | u32::from(octet);
        }
        usize::try_from(length).map_err(|_| DecodeError {
            offset: start,
            field,
            reason: Malformed::Length,
        })
    }

    /// Takes octets that stand behind their length.
    ///
    /// # Errors
    /// As [`Reader::length`], and [`Malformed::Truncated`].
    #[inline]
    pub fn octets(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.length(field)?;
        self.take(length, field)
    }

    /// Takes `count` octets as a reader of their own, which the caller must
    /// [`finish`](Self::finish).
    ///
    /// # Errors
    /// [`Malformed::Truncated`] where fewer are left.
    pub const fn sub(&mut self, count: usize, field: &'static str) -> Result<Self, DecodeError> {
        let offset = self.offset();
        match self.take(count, field) {
            Ok(octets) => Ok(Self::at(octets, offset)),
            Err(error) => Err(error),
        }
    }

    /// Takes octets behind their length as a reader of their own, which the
    /// caller must [`finish`](Self::finish).
    ///
    /// # Errors
    /// As [`Reader::octets`].
    pub fn nested(&mut self, field: &'static str) -> Result<Self, DecodeError> {
        let length = self.length(field)?;
        self.sub(length, field)
    }

    /// Takes all that is left.
    pub const fn rest(&mut self) -> &'a [u8] {
        let taken = self.rest;
        self.rest = &[];
        taken
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`Malformed::Trailing`] where octets are.
    pub const fn finish(&self, field: &'static str) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.error(field, Malformed::Trailing))
        }
    }

    /// Makes an error that points at the next octet.
    #[must_use]
    pub const fn error(&self, field: &'static str, reason: Malformed) -> DecodeError {
        DecodeError {
            offset: self.offset(),
            field,
            reason,
        }
    }
}

/// Appends a length in the shortest definite form.
#[expect(
    clippy::cast_possible_truncation,
    reason = "each arm bounds the value; nothing of 4 GiB is ever encoded"
)]
pub fn put_length(out: &mut Vec<u8>, length: usize) {
    match length {
        0..=0x7F => out.push(length as u8),
        0x80..=0xFF => out.extend_from_slice(&[0x81, length as u8]),
        0x100..=0xFFFF => {
            out.push(0x82);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(0x84);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
}

/// Appends octets behind their length.
pub fn put_octets(out: &mut Vec<u8>, octets: &[u8]) {
    put_length(out, octets.len());
    out.extend_from_slice(octets);
}

/// Appends what `body` writes behind its length.
pub fn put_nested(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    body(out);
    let length = out.len() - start;
    let mut prefix = Vec::with_capacity(5);
    put_length(&mut prefix, length);
    out.splice(start..start, prefix);
}

/// Octets that are none of the form they should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {reason} in {field}")]
pub struct DecodeError {
    /// Where decoding stopped, counted from the first octet handed in.
    pub offset: usize,
    /// The field that was being decoded, in the standard's words.
    pub field: &'static str,
    /// What was wrong there.
    pub reason: Malformed,
}

/// What can be wrong with octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The input ended inside the field.
    #[error("truncated")]
    Truncated,
    /// Octets are left where there should be none.
    #[error("trailing octets")]
    Trailing,
    /// A length in no form that is allowed.
    #[error("bad length")]
    Length,
    /// A tag that cannot stand here.
    #[error("unexpected tag 0x{0:02x}")]
    Tag(u8),
    /// A value outside what the field may hold.
    #[error("bad value")]
    Value,
    /// A checksum that does not match.
    #[error("bad checksum")]
    Checksum,
    /// Deeper, wider or more work than this crate's bounds.
    #[error("over the limit")]
    Limit,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_round_trip() {
        for length in [0, 1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x1_0000, 0xFFFF_FFFF] {
            let mut out = Vec::new();
            put_length(&mut out, length);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.length("length"), Ok(length));
            assert_eq!(reader.finish("length"), Ok(()));
        }
    }

    #[test]
    fn refusals_say_where_and_what() {
        let mut reader = Reader::new(&[0x85, 0, 0, 0, 0, 0]);
        let error = reader.length("conformance").unwrap_err();
        assert_eq!(
            alloc::format!("{error}"),
            "byte 0: bad length in conformance"
        );
        let mut reader = Reader::at(&[0x02, 0x01], 45);
        let error = reader.octets("calling AP title").unwrap_err();
        assert_eq!(
            alloc::format!("{error}"),
            "byte 46: truncated in calling AP title"
        );
    }

    #[test]
    fn nested_fills_in_its_length() {
        let mut out = alloc::vec![0xBE];
        put_nested(&mut out, |out| out.extend_from_slice(&[7; 200]));
        assert_eq!(out.len(), 203);
        assert_eq!(out.get(..3), Some(&[0xBE, 0x81, 200][..]));
    }
}
