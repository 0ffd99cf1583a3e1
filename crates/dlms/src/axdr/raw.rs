//! The octets of a value, kept as they came.

use alloc::vec::Vec;

use super::walk::Walker;
use super::{Data, Tag};
use crate::codec::{DecodeError, Reader, Wire};

/// The borrowed octets of one value.
///
/// Two are equal where their octets are.
#[derive(Clone, Copy, Debug)]
pub struct RawData<'a> {
    octets: &'a [u8],
    offset: usize,
}

impl<'a> RawData<'a> {
    /// Holds octets that are meant to be one value, and looks at none of them.
    #[must_use]
    pub const fn new(octets: &'a [u8]) -> Self {
        Self { octets, offset: 0 }
    }

    /// Takes exactly one value from the front of `reader`, which is walked
    /// once to find its end.
    ///
    /// # Errors
    /// Where the octets are no value or nest deeper than [`DEPTH_MAX`].
    ///
    /// [`DEPTH_MAX`]: super::DEPTH_MAX
    pub fn skim(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let offset = reader.offset();
        let count = Walker::over(reader.clone()).skim()?;
        Ok(Self {
            octets: reader.take(count, "data")?,
            offset,
        })
    }

    /// Takes everything that is left, which is meant to be one value. Nothing
    /// is checked before it is walked; octets behind the value are found then.
    #[must_use]
    pub const fn from_rest(reader: &mut Reader<'a>) -> Self {
        let offset = reader.offset();
        Self {
            octets: reader.rest(),
            offset,
        }
    }

    /// Shows the octets.
    #[must_use]
    pub const fn octets(self) -> &'a [u8] {
        self.octets
    }

    /// Tells where the first octet stood in what was decoded.
    #[must_use]
    pub const fn offset(self) -> usize {
        self.offset
    }

    /// Tells the type, where the first octet is a known tag.
    #[must_use]
    pub fn tag(self) -> Option<Tag> {
        self.octets.first().copied().and_then(Tag::from_u8)
    }

    /// Goes over the value once, without allocating.
    #[must_use]
    #[inline]
    pub const fn walk(self) -> Walker<'a> {
        Walker::over(Reader::at(self.octets, self.offset))
    }

    /// Decodes the value into a tree.
    ///
    /// # Errors
    /// Where the octets are not exactly one value, or over the bounds.
    pub fn decode(self) -> Result<Data, DecodeError> {
        let mut reader = Reader::at(self.octets, self.offset);
        let value = Data::decode(&mut reader)?;
        reader.finish("data")?;
        Ok(value)
    }
}

impl PartialEq for RawData<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.octets == other.octets
    }
}

impl Eq for RawData<'_> {}

/// Decoding takes exactly one value, as [`RawData::skim`] does.
impl<'a> Wire<'a> for RawData<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.octets);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Self::skim(reader)
    }
}
