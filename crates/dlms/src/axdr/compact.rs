//! Compact arrays: the type once, then the values without their tags.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::data::Work;
use super::walk::take_count;
use super::{DEPTH_MAX, Data, Leaf, ROOM_MAX, Tag};
use crate::codec::{DecodeError, Malformed, Reader, Wire, put_length, put_nested};

/// The type of every element of a compact array (`TypeDescription`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeDescription {
    /// A type that holds no other; made by [`TypeDescription::simple`].
    #[non_exhaustive]
    Simple {
        /// The type.
        tag: Tag,
    },
    /// `array`: so many values of one type, without a count in the contents.
    Array(u16, Box<Self>),
    /// `structure`: values of these types, without a count in the contents.
    Structure(Vec<Self>),
}

impl TypeDescription {
    /// Describes a type that holds no other; nothing for an array, a structure
    /// or a compact array.
    #[must_use]
    pub const fn simple(tag: Tag) -> Option<Self> {
        match tag {
            Tag::Array | Tag::Structure | Tag::CompactArray => None,
            _ => Some(Self::Simple { tag }),
        }
    }

    /// Describes the type of `value`; nothing where no compact array can hold
    /// it: one that holds a compact array, or an array of unlike values or
    /// none.
    #[must_use]
    pub fn of(value: &Data) -> Option<Self> {
        match value {
            Data::Array(elements) => {
                let inner = Self::of(elements.first()?)?;
                let count = u16::try_from(elements.len()).ok()?;
                elements
                    .iter()
                    .all(|element| inner.fits(element))
                    .then(|| Self::Array(count, Box::new(inner)))
            }
            Data::Structure(elements) => elements
                .iter()
                .map(Self::of)
                .collect::<Option<Vec<_>>>()
                .map(Self::Structure),
            other => Self::simple(other.tag()),
        }
    }

    /// Tells whether `value` is of this type.
    #[must_use]
    pub fn fits(&self, value: &Data) -> bool {
        match (self, value) {
            (Self::Array(count, inner), Data::Array(elements)) => {
                usize::from(*count) == elements.len()
                    && elements.iter().all(|element| inner.fits(element))
            }
            (Self::Structure(types), Data::Structure(elements)) => {
                types.len() == elements.len()
                    && types
                        .iter()
                        .zip(elements)
                        .all(|(inner, element)| inner.fits(element))
            }
            (Self::Simple { tag }, _) => *tag == value.tag(),
            _ => false,
        }
    }

    fn decode_within(
        reader: &mut Reader<'_>,
        depth: usize,
        work: &mut Work,
    ) -> Result<Self, DecodeError> {
        let at_tag = reader.clone();
        let octet = reader.u8("type-description")?;
        work.spend(&at_tag)?;
        let tag = match Tag::from_u8(octet) {
            Some(Tag::CompactArray) | None => {
                return Err(at_tag.error("type-description", Malformed::Tag(octet)));
            }
            Some(tag) => tag,
        };
        if depth >= DEPTH_MAX && matches!(tag, Tag::Array | Tag::Structure) {
            return Err(at_tag.error("type-description", Malformed::Limit));
        }
        Ok(match tag {
            Tag::Array => {
                let count = reader.u16("type-description")?;
                Self::Array(
                    count,
                    Box::new(Self::decode_within(reader, depth + 1, work)?),
                )
            }
            Tag::Structure => {
                let count = take_count(reader, "type-description")?;
                let mut types = Vec::with_capacity(count.min(ROOM_MAX));
                for _ in 0..count {
                    types.push(Self::decode_within(reader, depth + 1, work)?);
                }
                Self::Structure(types)
            }
            tag => Self::Simple { tag },
        })
    }

    /// Steps over a description without building it.
    fn skip(reader: &mut Reader<'_>, depth: usize) -> Result<(), DecodeError> {
        // The descriptions still to come at each level.
        let mut outer = [0_usize; DEPTH_MAX];
        let mut level = depth;
        let mut left = 1_usize;
        loop {
            while left == 0 {
                if level == depth {
                    return Ok(());
                }
                level -= 1;
                left = outer.get(level).copied().unwrap_or_default();
            }
            left -= 1;
            let at_tag = reader.clone();
            let octet = reader.u8("type-description")?;
            let count = match Tag::from_u8(octet) {
                Some(Tag::Array) => {
                    reader.u16("type-description")?;
                    1
                }
                Some(Tag::Structure) => take_count(reader, "type-description")?,
                Some(Tag::CompactArray) | None => {
                    return Err(at_tag.error("type-description", Malformed::Tag(octet)));
                }
                Some(_) => continue,
            };
            let Some(slot) = outer.get_mut(level) else {
                return Err(at_tag.error("type-description", Malformed::Limit));
            };
            *slot = left;
            left = count;
            level += 1;
        }
    }

    /// Takes one value of this type from the contents.
    fn take(
        &self,
        reader: &mut Reader<'_>,
        depth: usize,
        work: &mut Work,
    ) -> Result<Data, DecodeError> {
        work.spend(reader)?;
        match self {
            Self::Simple { tag } => {
                Data::from_leaf_within(Leaf::take(*tag, reader, depth)?, depth, work)
            }
            Self::Array(count, inner) => {
                let count = usize::from(*count);
                let mut elements = Vec::with_capacity(count.min(ROOM_MAX));
                for _ in 0..count {
                    elements.push(inner.take(reader, depth + 1, work)?);
                }
                Ok(Data::Array(elements))
            }
            Self::Structure(types) => {
                let mut elements = Vec::with_capacity(types.len().min(ROOM_MAX));
                for inner in types {
                    elements.push(inner.take(reader, depth + 1, work)?);
                }
                Ok(Data::Structure(elements))
            }
        }
    }

    /// Appends a value of this type without its tags.
    fn put(&self, value: &Data, out: &mut Vec<u8>) {
        match (self, value) {
            (Self::Array(_, inner), Data::Array(elements)) => {
                for element in elements {
                    inner.put(element, out);
                }
            }
            (Self::Structure(types), Data::Structure(elements)) => {
                for (inner, element) in types.iter().zip(elements) {
                    inner.put(element, out);
                }
            }
            _ => value.encode_body(out),
        }
    }
}

impl Wire<'_> for TypeDescription {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Simple { tag } => out.push(tag.as_u8()),
            Self::Array(count, inner) => {
                out.push(Tag::Array.as_u8());
                out.extend_from_slice(&count.to_be_bytes());
                inner.encode(out);
            }
            Self::Structure(types) => {
                out.push(Tag::Structure.as_u8());
                put_length(out, types.len());
                for inner in types {
                    inner.encode(out);
                }
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut work = Work::on(reader.remaining());
        Self::decode_within(reader, 0, &mut work)
    }
}

/// An element whose type is not the one that the compact array describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("element {index} is not of the type described")]
pub struct Mismatch {
    /// Which element, counted from 0.
    pub index: usize,
}

/// A compact array of one's own, whose elements are all of the type described.
#[derive(Clone, Debug, PartialEq)]
pub struct CompactArray {
    description: TypeDescription,
    elements: Vec<Data>,
}

impl CompactArray {
    /// Packs elements that are all of one type.
    ///
    /// # Errors
    /// The first element that is not of the type described.
    pub fn new(description: TypeDescription, elements: Vec<Data>) -> Result<Self, Mismatch> {
        match elements
            .iter()
            .position(|element| !description.fits(element))
        {
            Some(index) => Err(Mismatch { index }),
            None => Ok(Self {
                description,
                elements,
            }),
        }
    }

    /// Shows the type of the elements.
    #[must_use]
    pub const fn description(&self) -> &TypeDescription {
        &self.description
    }

    /// Shows the elements.
    #[must_use]
    pub fn elements(&self) -> &[Data] {
        &self.elements
    }

    /// Hands the elements over.
    #[must_use]
    pub fn into_elements(self) -> Vec<Data> {
        self.elements
    }

    pub(super) fn encode_body(&self, out: &mut Vec<u8>) {
        self.description.encode(out);
        put_nested(out, |out| {
            for element in &self.elements {
                self.description.put(element, out);
            }
        });
    }
}

/// The borrowed octets of a compact array, whose type description is known to
/// be whole and whose contents have not been looked at.
#[derive(Clone, Copy, Debug)]
pub struct RawCompactArray<'a> {
    octets: &'a [u8],
    offset: usize,
}

impl<'a> RawCompactArray<'a> {
    /// Shows the octets behind the tag.
    #[must_use]
    pub const fn octets(self) -> &'a [u8] {
        self.octets
    }

    /// Decodes description and elements.
    ///
    /// # Errors
    /// Where the contents are not elements of the type described.
    pub fn decode(self) -> Result<CompactArray, DecodeError> {
        self.decode_within(0, &mut Work::on(self.octets.len()))
    }

    pub(super) fn take(reader: &mut Reader<'a>, depth: usize) -> Result<Self, DecodeError> {
        let offset = reader.offset();
        let mut ahead = reader.clone();
        TypeDescription::skip(&mut ahead, depth)?;
        ahead.octets("array-contents")?;
        let octets = reader.take(ahead.offset() - offset, "compact-array")?;
        Ok(Self { octets, offset })
    }

    pub(super) fn decode_within(
        self,
        depth: usize,
        work: &mut Work,
    ) -> Result<CompactArray, DecodeError> {
        let mut reader = Reader::at(self.octets, self.offset);
        let description = TypeDescription::decode_within(&mut reader, depth, work)?;
        let mut contents = reader.nested("array-contents")?;
        let mut elements = Vec::new();
        while !contents.is_empty() {
            let before = contents.offset();
            elements.push(description.take(&mut contents, depth, work)?);
            if contents.offset() == before {
                // An element without octets never uses the contents up.
                return Err(contents.error("array-contents", Malformed::Value));
            }
        }
        Ok(CompactArray {
            description,
            elements,
        })
    }
}

impl PartialEq for RawCompactArray<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.octets == other.octets
    }
}

impl Eq for RawCompactArray<'_> {}
