//! Bit strings: a count of bits, and octets with the first bit on top.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::codec::{DecodeError, Malformed, Reader, put_length};

/// A bit string that somebody else holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BitStr<'a> {
    bits: u32,
    octets: &'a [u8],
}

impl<'a> BitStr<'a> {
    /// Takes the first `bits` bits of `octets`; nothing where there are more
    /// or fewer octets than those need.
    #[must_use]
    pub fn new(bits: u32, octets: &'a [u8]) -> Option<Self> {
        let needed = usize::try_from(bits.div_ceil(8)).ok()?;
        (needed == octets.len()).then_some(Self { bits, octets })
    }

    /// Tells how many bits there are.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.bits
    }

    /// Tells whether there is no bit.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// Shows the octets, in which unused low bits of the last one may be set.
    #[must_use]
    pub const fn octets(self) -> &'a [u8] {
        self.octets
    }

    /// Tells the bit at `index`; bit 0 is the top one of the first octet.
    #[must_use]
    pub fn bit(self, index: u32) -> Option<bool> {
        if index >= self.bits {
            return None;
        }
        let octet = self.octets.get(usize::try_from(index / 8).ok()?)?;
        Some(octet & (0x80 >> (index % 8)) != 0)
    }

    /// Goes over the bits from the first to the last.
    pub fn iter(self) -> impl Iterator<Item = bool> + use<'a> {
        (0..self.bits).map_while(move |index| self.bit(index))
    }

    pub(super) fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = reader.error("bit-string", Malformed::Length);
        let bits = u32::try_from(reader.length("bit-string")?).map_err(|_| start)?;
        let count = usize::try_from(bits.div_ceil(8)).map_err(|_| start)?;
        let octets = reader.take(count, "bit-string")?;
        Ok(Self { bits, octets })
    }

    pub(super) fn put(self, out: &mut Vec<u8>) {
        put_length(out, usize::try_from(self.bits).unwrap_or(usize::MAX));
        out.extend_from_slice(self.octets);
    }
}

/// Writes the bits as `0` and `1`.
impl fmt::Display for BitStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter()
            .try_for_each(|bit| f.write_str(if bit { "1" } else { "0" }))
    }
}

impl fmt::Debug for BitStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BitStr({self})")
    }
}

/// A bit string of one's own.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct BitString {
    bits: u32,
    octets: Box<[u8]>,
}

impl BitString {
    /// Takes the first `bits` bits of `octets`; nothing where there are more
    /// or fewer octets than those need.
    #[must_use]
    pub fn new(bits: u32, octets: impl Into<Box<[u8]>>) -> Option<Self> {
        let octets = octets.into();
        BitStr::new(bits, &octets)?;
        Some(Self { bits, octets })
    }

    /// Lends the bits.
    #[must_use]
    pub const fn as_bit_str(&self) -> BitStr<'_> {
        BitStr {
            bits: self.bits,
            octets: &self.octets,
        }
    }
}

impl FromIterator<bool> for BitString {
    /// Collects bits, the first one on top. More than `u32::MAX` are not kept.
    fn from_iter<I: IntoIterator<Item = bool>>(source: I) -> Self {
        let mut octets = Vec::new();
        let mut bits = 0_u32;
        let mut last = 0_u8;
        for bit in source.into_iter().take(0xFFFF_FFFF) {
            last |= u8::from(bit) << (7 - bits % 8);
            bits += 1;
            if bits.is_multiple_of(8) {
                octets.push(last);
                last = 0;
            }
        }
        if !bits.is_multiple_of(8) {
            octets.push(last);
        }
        Self {
            bits,
            octets: octets.into(),
        }
    }
}

impl From<BitStr<'_>> for BitString {
    fn from(source: BitStr<'_>) -> Self {
        Self {
            bits: source.bits,
            octets: source.octets.into(),
        }
    }
}

impl fmt::Display for BitString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bit_str().fmt(f)
    }
}

impl fmt::Debug for BitString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BitString({self})")
    }
}
