//! As much of BER (ITU-T X.690) as association control needs: tags of one
//! octet, definite lengths, primitive strings.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Malformed, Reader, put_length, put_nested, put_octets};

use super::lenient::{Deviation, DeviationKind, Notes};

const CONTEXT_SPECIFIC: u8 = 0x80;
const INTEGER: u8 = 0x02;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;

/// The context-specific, constructed tag of `user-information` (30), the last
/// field of every APDU of association control.
const USER_INFORMATION: u8 = 0xBE;

/// A string of bits, the first one being the highest of the first octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitString<'a> {
    /// How many bits of the last octet do not count (0 to 7).
    pub unused: u8,
    /// The octets that hold the bits.
    pub octets: &'a [u8],
}

impl<'a> BitString<'a> {
    /// The bit string whose only bit is set: `version1` as a protocol version,
    /// `authentication` as ACSE requirements.
    pub const FIRST_BIT: Self = Self {
        unused: 7,
        octets: &[0x80],
    };

    /// Tells whether bit `index`, counted from the first, is there and set.
    #[must_use]
    pub fn bit(self, index: usize) -> bool {
        let bits = (self.octets.len() * 8).saturating_sub(usize::from(self.unused));
        index < bits
            && self
                .octets
                .get(index / 8)
                .is_some_and(|octet| octet & (0x80 >> (index % 8)) != 0)
    }

    pub(super) fn from_contents(
        mut reader: Reader<'a>,
        field: &'static str,
    ) -> Result<Self, DecodeError> {
        let at = reader.clone();
        let unused = reader.u8(field)?;
        let octets = reader.rest();
        if unused > 7 || (octets.is_empty() && unused != 0) {
            return Err(at.error(field, Malformed::Value));
        }
        Ok(Self { unused, octets })
    }

    pub(super) fn put(self, out: &mut Vec<u8>, tag: u8) {
        out.push(tag);
        put_length(out, self.octets.len() + 1);
        out.push(self.unused);
        out.extend_from_slice(self.octets);
    }
}

/// The fields of one APDU, in turn.
///
/// Without `notes` it is strict. With them it reads on over lengths that do
/// not add up, fields out of turn and fields that it does not know, and notes
/// each.
pub(super) struct Fields<'a, 'n> {
    reader: Reader<'a>,
    notes: Option<&'n mut Notes>,
    tag: u8,
    tag_offset: usize,
    last: Option<u8>,
    seen: u32,
}

impl<'a, 'n> Fields<'a, 'n> {
    /// Starts behind the tag and the length of the APDU.
    pub(super) fn open(
        reader: &mut Reader<'a>,
        tag: u8,
        apdu: &'static str,
        mut notes: Option<&'n mut Notes>,
    ) -> Result<Self, DecodeError> {
        let start = reader.clone();
        let found = reader.u8(apdu)?;
        if found != tag {
            return Err(start.error(apdu, Malformed::Tag(found)));
        }
        let at = reader.offset();
        let body = match &mut notes {
            None => reader.nested(apdu)?,
            Some(notes) => {
                let length = reader.length(apdu)?;
                if length != reader.remaining() {
                    notes.add(Deviation::new(at, apdu, DeviationKind::Length));
                }
                reader.sub(reader.remaining(), apdu)?
            }
        };
        Ok(Self {
            reader: body,
            notes,
            tag,
            tag_offset: at,
            last: None,
            seen: 0,
        })
    }

    /// Takes the tag of the next field, none at the end.
    pub(super) fn next(&mut self, apdu: &'static str) -> Result<Option<u8>, DecodeError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let start = self.reader.clone();
        let tag = self.reader.u8(apdu)?;
        let number = tag & 0x1F;
        if tag & 0xC0 != CONTEXT_SPECIFIC || number == 0x1F || self.seen & (1 << number) != 0 {
            return Err(start.error(apdu, Malformed::Tag(tag)));
        }
        if self.last.is_some_and(|last| number < last) {
            match &mut self.notes {
                None => return Err(start.error(apdu, Malformed::Tag(tag))),
                Some(notes) => notes.add(Deviation::new(
                    start.offset(),
                    apdu,
                    DeviationKind::Order(tag),
                )),
            }
        }
        self.seen |= 1 << number;
        self.last = self.last.max(Some(number));
        self.tag = tag;
        self.tag_offset = start.offset();
        Ok(Some(tag))
    }

    /// Takes the contents of the field.
    pub(super) fn contents(&mut self, field: &'static str) -> Result<Reader<'a>, DecodeError> {
        self.reader.nested(field)
    }

    /// Takes an octet string that is `inner` inside an explicit tag.
    pub(super) fn explicit(
        &mut self,
        inner: u8,
        field: &'static str,
    ) -> Result<&'a [u8], DecodeError> {
        let mut ahead = self.reader.clone();
        let result = ahead
            .nested(field)
            .and_then(|contents| explicit(contents, inner, field));
        let adds_up = result.is_ok()
            && ahead
                .peek()
                .is_none_or(|next| next & 0xC0 == CONTEXT_SPECIFIC);
        if self.tag == USER_INFORMATION && self.notes.is_some() && !adds_up {
            return self.user_information(field);
        }
        self.reader = ahead;
        result
    }

    /// Takes the last field where its lengths are wrong: what it holds ends
    /// where the APDU does.
    fn user_information(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let at = self.reader.offset();
        self.reader.length(field)?;
        let start = self.reader.clone();
        let tag = self.reader.u8(field)?;
        if tag != OCTET_STRING {
            return Err(start.error(field, Malformed::Tag(tag)));
        }
        self.reader.length(field)?;
        if let Some(notes) = &mut self.notes {
            notes.add(Deviation::new(at, field, DeviationKind::Length));
        }
        Ok(self.reader.rest())
    }

    /// Takes an octet string inside an explicit tag.
    pub(super) fn octet_string(
        &mut self,
        field: &'static str,
    ) -> Result<Option<&'a [u8]>, DecodeError> {
        self.explicit(OCTET_STRING, field).map(Some)
    }

    /// Takes an integer inside an explicit tag. A lenient reading skips a
    /// field that holds something else.
    pub(super) fn invocation_id(
        &mut self,
        field: &'static str,
    ) -> Result<Option<i32>, DecodeError> {
        match (
            explicit_integer(self.reader.nested(field)?, field),
            &mut self.notes,
        ) {
            (Err(_), Some(notes)) => {
                notes.add(Deviation::new(
                    self.tag_offset,
                    field,
                    DeviationKind::Field(self.tag),
                ));
                Ok(None)
            }
            (result, _) => result.map(Some),
        }
    }

    /// Passes over a field that the APDU does not have.
    pub(super) fn unknown(&mut self, apdu: &'static str) -> Result<(), DecodeError> {
        match &mut self.notes {
            None => Err(DecodeError {
                offset: self.tag_offset,
                field: apdu,
                reason: Malformed::Tag(self.tag),
            }),
            Some(notes) => {
                notes.add(Deviation::new(
                    self.tag_offset,
                    apdu,
                    DeviationKind::Field(self.tag),
                ));
                self.reader.octets(apdu).map(|_| ())
            }
        }
    }

    /// Makes the error for a field that should have been there.
    pub(super) const fn missing(&self, field: &'static str) -> DecodeError {
        self.reader.error(field, Malformed::Truncated)
    }
}

/// Takes an octet string of tag `inner` that is all of `reader`.
pub(super) fn explicit<'a>(
    mut reader: Reader<'a>,
    inner: u8,
    field: &'static str,
) -> Result<&'a [u8], DecodeError> {
    expect_tag(&mut reader, inner, field)?;
    let octets = reader.octets(field)?;
    reader.finish(field)?;
    Ok(octets)
}

/// Takes an `INTEGER` that is all of `reader`.
pub(super) fn explicit_integer(
    mut reader: Reader<'_>,
    field: &'static str,
) -> Result<i32, DecodeError> {
    expect_tag(&mut reader, INTEGER, field)?;
    let contents = reader.nested(field)?;
    reader.finish(field)?;
    integer(contents, field)
}

/// Takes an `INTEGER` that holds a code point, all of `reader`.
pub(super) fn explicit_code(reader: Reader<'_>, field: &'static str) -> Result<u8, DecodeError> {
    let at = reader.clone();
    let value = explicit_integer(reader, field)?;
    u8::try_from(value).map_err(|_| at.error(field, Malformed::Value))
}

/// Reads the contents of an `INTEGER` that holds a code point.
pub(super) fn code(contents: Reader<'_>, field: &'static str) -> Result<u8, DecodeError> {
    let at = contents.clone();
    u8::try_from(integer(contents, field)?).map_err(|_| at.error(field, Malformed::Value))
}

/// Reads the contents of an `INTEGER`: one to four octets, no more than
/// needed (X.690, 8.3).
fn integer(mut contents: Reader<'_>, field: &'static str) -> Result<i32, DecodeError> {
    let at = contents.clone();
    match *contents.rest() {
        [] => Err(at.error(field, Malformed::Truncated)),
        [0x00, 0x00..=0x7F, ..] | [0xFF, 0x80..=0xFF, ..] => Err(at.error(field, Malformed::Value)),
        [a] => Ok(i32::from(i8::from_be_bytes([a]))),
        [a, b] => Ok(i32::from(i16::from_be_bytes([a, b]))),
        [a, b, c] => Ok(i32::from_be_bytes([a, b, c, 0]) >> 8),
        [a, b, c, d] => Ok(i32::from_be_bytes([a, b, c, d])),
        _ => Err(at.error(field, Malformed::Length)),
    }
}

fn expect_tag(reader: &mut Reader<'_>, tag: u8, field: &'static str) -> Result<(), DecodeError> {
    let start = reader.clone();
    let found = reader.u8(field)?;
    if found == tag {
        Ok(())
    } else {
        Err(start.error(field, Malformed::Tag(found)))
    }
}

/// Appends an octet string of tag `inner` inside the tag `outer`.
pub(super) fn put_explicit(out: &mut Vec<u8>, outer: u8, inner: u8, octets: &[u8]) {
    out.push(outer);
    put_nested(out, |out| {
        out.push(inner);
        put_octets(out, octets);
    });
}

/// Appends an `INTEGER` inside the tag `outer`.
pub(super) fn put_explicit_integer(out: &mut Vec<u8>, outer: u8, value: i32) {
    out.push(outer);
    put_nested(out, |out| put_integer(out, INTEGER, value));
}

/// Appends an `INTEGER` in as few octets as it needs, under `tag`.
pub(super) fn put_integer(out: &mut Vec<u8>, tag: u8, value: i32) {
    let mut octets = &value.to_be_bytes()[..];
    while let [0x00, 0x00..=0x7F, ..] | [0xFF, 0x80..=0xFF, ..] = octets
        && let Some((_, rest)) = octets.split_first()
    {
        octets = rest;
    }
    out.push(tag);
    put_octets(out, octets);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_as_short_as_they_can_be() {
        for (value, octets) in [
            (0, &[2, 1, 0][..]),
            (127, &[2, 1, 0x7F]),
            (128, &[2, 2, 0, 0x80]),
            (-1, &[2, 1, 0xFF]),
            (-129, &[2, 2, 0xFF, 0x7F]),
            (0x1_0000, &[2, 3, 1, 0, 0]),
            (-8_388_608, &[2, 3, 0x80, 0, 0]),
            (i32::MAX, &[2, 4, 0x7F, 0xFF, 0xFF, 0xFF]),
            (i32::MIN, &[2, 4, 0x80, 0, 0, 0]),
        ] {
            let mut out = Vec::new();
            put_integer(&mut out, INTEGER, value);
            assert_eq!(out, octets);
            assert_eq!(explicit_integer(Reader::new(&out), "id"), Ok(value));
        }
        for octets in [
            &[2, 2, 0, 5][..],
            &[2, 2, 0xFF, 0x80],
            &[2, 0],
            &[2, 5, 1, 0, 0, 0, 0],
        ] {
            assert!(explicit_integer(Reader::new(octets), "id").is_err());
        }
    }

    #[test]
    fn bits_count_from_the_high_one() {
        let bits = BitString {
            unused: 2,
            octets: &[0x84],
        };
        let set: Vec<usize> = (0..9).filter(|index| bits.bit(*index)).collect();
        assert_eq!(set, [0, 5]);
        assert!(
            !BitString {
                unused: 3,
                octets: &[0x84]
            }
            .bit(5)
        );
    }
}
