//! The owned tree.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::walk::take_count;
use super::{
    BitString, CompactArray, DEPTH_MAX, Date, DateTime, Leaf, ROOM_MAX, Tag, Time, VALUES_MAX,
    VALUES_PER_OCTET,
};
use crate::codec::{DecodeError, Malformed, Reader, Wire, put_length, put_octets};

/// A value of IEC 62056-6-2 (the CHOICE `Data`).
///
/// Strings are octets: what meters put there need not be text.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Data {
    /// `null-data`
    #[default]
    NullData,
    /// `array`
    Array(Vec<Self>),
    /// `structure`
    Structure(Vec<Self>),
    /// `boolean`
    Boolean(bool),
    /// `bit-string`
    BitString(BitString),
    /// `double-long`
    DoubleLong(i32),
    /// `double-long-unsigned`
    DoubleLongUnsigned(u32),
    /// `octet-string`
    OctetString(Vec<u8>),
    /// `visible-string`
    VisibleString(Vec<u8>),
    /// `utf8-string`
    Utf8String(Vec<u8>),
    /// `bcd`, two decimal digits
    Bcd(u8),
    /// `integer`
    Integer(i8),
    /// `long`
    Long(i16),
    /// `unsigned`
    Unsigned(u8),
    /// `long-unsigned`
    LongUnsigned(u16),
    /// `compact-array`
    CompactArray(Box<CompactArray>),
    /// `long64`
    Long64(i64),
    /// `long64-unsigned`
    Long64Unsigned(u64),
    /// `enum`
    Enum(u8),
    /// `float32`
    Float32(f32),
    /// `float64`
    Float64(f64),
    /// `date-time`
    DateTime(DateTime),
    /// `date`
    Date(Date),
    /// `time`
    Time(Time),
    /// `delta-integer`
    DeltaInteger(i8),
    /// `delta-long`
    DeltaLong(i16),
    /// `delta-double-long`
    DeltaDoubleLong(i32),
    /// `delta-unsigned`
    DeltaUnsigned(u8),
    /// `delta-long-unsigned`
    DeltaLongUnsigned(u16),
    /// `delta-double-long-unsigned`
    DeltaDoubleLongUnsigned(u32),
    /// `dont-care`
    DontCare,
}

impl Data {
    /// Tells the type.
    #[must_use]
    pub const fn tag(&self) -> Tag {
        match self {
            Self::Array(_) => Tag::Array,
            Self::Structure(_) => Tag::Structure,
            Self::NullData => Tag::NullData,
            Self::Boolean(_) => Tag::Boolean,
            Self::BitString(_) => Tag::BitString,
            Self::DoubleLong(_) => Tag::DoubleLong,
            Self::DoubleLongUnsigned(_) => Tag::DoubleLongUnsigned,
            Self::OctetString(_) => Tag::OctetString,
            Self::VisibleString(_) => Tag::VisibleString,
            Self::Utf8String(_) => Tag::Utf8String,
            Self::Bcd(_) => Tag::Bcd,
            Self::Integer(_) => Tag::Integer,
            Self::Long(_) => Tag::Long,
            Self::Unsigned(_) => Tag::Unsigned,
            Self::LongUnsigned(_) => Tag::LongUnsigned,
            Self::CompactArray(_) => Tag::CompactArray,
            Self::Long64(_) => Tag::Long64,
            Self::Long64Unsigned(_) => Tag::Long64Unsigned,
            Self::Enum(_) => Tag::Enum,
            Self::Float32(_) => Tag::Float32,
            Self::Float64(_) => Tag::Float64,
            Self::DateTime(_) => Tag::DateTime,
            Self::Date(_) => Tag::Date,
            Self::Time(_) => Tag::Time,
            Self::DeltaInteger(_) => Tag::DeltaInteger,
            Self::DeltaLong(_) => Tag::DeltaLong,
            Self::DeltaDoubleLong(_) => Tag::DeltaDoubleLong,
            Self::DeltaUnsigned(_) => Tag::DeltaUnsigned,
            Self::DeltaLongUnsigned(_) => Tag::DeltaLongUnsigned,
            Self::DeltaDoubleLongUnsigned(_) => Tag::DeltaDoubleLongUnsigned,
            Self::DontCare => Tag::DontCare,
        }
    }

    /// Makes an `octet-string`.
    #[must_use]
    pub fn octet_string(octets: impl Into<Vec<u8>>) -> Self {
        Self::OctetString(octets.into())
    }

    /// Makes a `visible-string`.
    #[must_use]
    pub fn visible_string(text: &str) -> Self {
        Self::VisibleString(text.into())
    }

    /// Makes the twelve octets of a point in time as an `octet-string`, the
    /// form in which most attributes carry one.
    #[must_use]
    pub fn date_time_octets(value: &DateTime) -> Self {
        Self::OctetString(value.to_octets().into())
    }

    /// Tells the truth value of a `boolean`.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    /// Tells the number of any integer type or `enum`; not of a delta, which
    /// is no value by itself.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        self.as_number_leaf().and_then(|leaf| leaf.as_i64())
    }

    /// Tells the number of any integer type or `enum` that is not negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        self.as_number_leaf().and_then(|leaf| leaf.as_u64())
    }

    /// Tells the number of any integer type or `enum` that fits.
    #[must_use]
    pub fn as_u32(&self) -> Option<u32> {
        self.as_u64().and_then(|value| value.try_into().ok())
    }

    /// Tells the number of any integer type or `enum` that fits.
    #[must_use]
    pub fn as_u16(&self) -> Option<u16> {
        self.as_u64().and_then(|value| value.try_into().ok())
    }

    /// Tells the number of any integer type or `enum` that fits.
    #[must_use]
    pub fn as_u8(&self) -> Option<u8> {
        self.as_u64().and_then(|value| value.try_into().ok())
    }

    /// Tells the number of any integer type or `enum` that fits.
    #[must_use]
    pub fn as_i8(&self) -> Option<i8> {
        self.as_i64().and_then(|value| value.try_into().ok())
    }

    /// Shows the octets of any of the three string types.
    #[must_use]
    pub fn as_octets(&self) -> Option<&[u8]> {
        match self {
            Self::OctetString(octets) | Self::VisibleString(octets) | Self::Utf8String(octets) => {
                Some(octets)
            }
            _ => None,
        }
    }

    /// Shows the text of any of the three string types, where it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.as_octets()
            .and_then(|octets| core::str::from_utf8(octets).ok())
    }

    /// Shows the values of an array or a structure.
    #[must_use]
    pub fn elements(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) | Self::Structure(elements) => Some(elements),
            _ => None,
        }
    }

    /// Shows the values of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// Shows the values of a structure.
    #[must_use]
    pub fn as_structure(&self) -> Option<&[Self]> {
        match self {
            Self::Structure(elements) => Some(elements),
            _ => None,
        }
    }

    /// Lends a bit string.
    #[must_use]
    pub const fn as_bit_string(&self) -> Option<&BitString> {
        match self {
            Self::BitString(bits) => Some(bits),
            _ => None,
        }
    }

    /// Tells a point in time, as `date-time` or as the twelve octets of one in
    /// an `octet-string`.
    #[must_use]
    pub fn as_date_time(&self) -> Option<DateTime> {
        match self {
            Self::DateTime(value) => Some(*value),
            Self::OctetString(octets) => {
                octets.as_slice().try_into().ok().map(DateTime::from_octets)
            }
            _ => None,
        }
    }

    /// Tells a date, as `date` or as the five octets of one in an
    /// `octet-string`.
    #[must_use]
    pub fn as_date(&self) -> Option<Date> {
        match self {
            Self::Date(value) => Some(*value),
            Self::OctetString(octets) => octets.as_slice().try_into().ok().map(Date::from_octets),
            _ => None,
        }
    }

    /// Tells a time, as `time` or as the four octets of one in an
    /// `octet-string`.
    #[must_use]
    pub fn as_time(&self) -> Option<Time> {
        match self {
            Self::Time(value) => Some(*value),
            Self::OctetString(octets) => octets.as_slice().try_into().ok().map(Time::from_octets),
            _ => None,
        }
    }

    /// Expands a compact array to the array it stands for; any other value is
    /// handed back as it is.
    #[must_use]
    pub fn expanded(self) -> Self {
        match self {
            Self::CompactArray(compact) => Self::Array(compact.into_elements()),
            other => other,
        }
    }

    const fn as_number_leaf(&self) -> Option<Leaf<'static>> {
        match *self {
            Self::Integer(value) => Some(Leaf::Integer(value)),
            Self::Long(value) => Some(Leaf::Long(value)),
            Self::DoubleLong(value) => Some(Leaf::DoubleLong(value)),
            Self::Long64(value) => Some(Leaf::Long64(value)),
            Self::Unsigned(value) => Some(Leaf::Unsigned(value)),
            Self::LongUnsigned(value) => Some(Leaf::LongUnsigned(value)),
            Self::DoubleLongUnsigned(value) => Some(Leaf::DoubleLongUnsigned(value)),
            Self::Long64Unsigned(value) => Some(Leaf::Long64Unsigned(value)),
            Self::Enum(value) => Some(Leaf::Enum(value)),
            _ => None,
        }
    }

    pub(super) fn from_leaf_within(
        leaf: Leaf<'_>,
        depth: usize,
        work: &mut Work,
    ) -> Result<Self, DecodeError> {
        Ok(match leaf {
            Leaf::NullData => Self::NullData,
            Leaf::Boolean(value) => Self::Boolean(value),
            Leaf::BitString(bits) => Self::BitString(bits.into()),
            Leaf::DoubleLong(value) => Self::DoubleLong(value),
            Leaf::DoubleLongUnsigned(value) => Self::DoubleLongUnsigned(value),
            Leaf::OctetString(octets) => Self::OctetString(octets.into()),
            Leaf::VisibleString(octets) => Self::VisibleString(octets.into()),
            Leaf::Utf8String(octets) => Self::Utf8String(octets.into()),
            Leaf::Bcd(value) => Self::Bcd(value),
            Leaf::Integer(value) => Self::Integer(value),
            Leaf::Long(value) => Self::Long(value),
            Leaf::Unsigned(value) => Self::Unsigned(value),
            Leaf::LongUnsigned(value) => Self::LongUnsigned(value),
            Leaf::CompactArray(raw) => {
                Self::CompactArray(Box::new(raw.decode_within(depth, work)?))
            }
            Leaf::Long64(value) => Self::Long64(value),
            Leaf::Long64Unsigned(value) => Self::Long64Unsigned(value),
            Leaf::Enum(value) => Self::Enum(value),
            Leaf::Float32(value) => Self::Float32(value),
            Leaf::Float64(value) => Self::Float64(value),
            Leaf::DateTime(value) => Self::DateTime(value),
            Leaf::Date(value) => Self::Date(value),
            Leaf::Time(value) => Self::Time(value),
            Leaf::DeltaInteger(value) => Self::DeltaInteger(value),
            Leaf::DeltaLong(value) => Self::DeltaLong(value),
            Leaf::DeltaDoubleLong(value) => Self::DeltaDoubleLong(value),
            Leaf::DeltaUnsigned(value) => Self::DeltaUnsigned(value),
            Leaf::DeltaLongUnsigned(value) => Self::DeltaLongUnsigned(value),
            Leaf::DeltaDoubleLongUnsigned(value) => Self::DeltaDoubleLongUnsigned(value),
            Leaf::DontCare => Self::DontCare,
        })
    }

    fn decode_within(
        reader: &mut Reader<'_>,
        depth: usize,
        work: &mut Work,
    ) -> Result<Self, DecodeError> {
        let at_tag = reader.clone();
        let octet = reader.u8("data")?;
        work.spend(&at_tag)?;
        let Some(tag) = Tag::from_u8(octet) else {
            return Err(at_tag.error("data", Malformed::Tag(octet)));
        };
        if !matches!(tag, Tag::Array | Tag::Structure) {
            let leaf = Leaf::take(tag, reader, depth)?;
            return Self::from_leaf_within(leaf, depth, work);
        }
        let count = take_count(reader, tag.name())?;
        if depth >= DEPTH_MAX {
            return Err(at_tag.error(tag.name(), Malformed::Limit));
        }
        let mut elements = Vec::with_capacity(count.min(ROOM_MAX));
        for _ in 0..count {
            elements.push(Self::decode_within(reader, depth + 1, work)?);
        }
        Ok(if tag == Tag::Array {
            Self::Array(elements)
        } else {
            Self::Structure(elements)
        })
    }

    /// Appends the octets that stand behind the tag.
    pub(super) fn encode_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::NullData | Self::DontCare => {}
            Self::Array(elements) | Self::Structure(elements) => {
                put_length(out, elements.len());
                for element in elements {
                    element.encode(out);
                }
            }
            Self::Boolean(value) => out.push(u8::from(*value)),
            Self::BitString(bits) => bits.as_bit_str().put(out),
            Self::DoubleLong(value) | Self::DeltaDoubleLong(value) => {
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::DoubleLongUnsigned(value) | Self::DeltaDoubleLongUnsigned(value) => {
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::OctetString(octets) | Self::VisibleString(octets) | Self::Utf8String(octets) => {
                put_octets(out, octets)
            }
            Self::Integer(value) | Self::DeltaInteger(value) => {
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::Long(value) | Self::DeltaLong(value) => {
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::Unsigned(value)
            | Self::DeltaUnsigned(value)
            | Self::Enum(value)
            | Self::Bcd(value) => {
                out.push(*value);
            }
            Self::LongUnsigned(value) | Self::DeltaLongUnsigned(value) => {
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::CompactArray(compact) => compact.encode_body(out),
            Self::Long64(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Long64Unsigned(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Float32(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Float64(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::DateTime(value) => out.extend_from_slice(&value.to_octets()),
            Self::Date(value) => out.extend_from_slice(&value.to_octets()),
            Self::Time(value) => out.extend_from_slice(&value.to_octets()),
        }
    }
}

impl Wire<'_> for Data {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.tag().as_u8());
        self.encode_body(out);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut work = Work::on(reader.remaining());
        Self::decode_within(reader, 0, &mut work)
    }
}

/// How many more values may be decoded.
pub(super) struct Work(usize);

impl Work {
    /// Bounds the work on so many octets.
    pub(super) fn on(octets: usize) -> Self {
        Self(octets.saturating_mul(VALUES_PER_OCTET).min(VALUES_MAX))
    }

    pub(super) const fn spend(&mut self, reader: &Reader<'_>) -> Result<(), DecodeError> {
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => Err(reader.error("data", Malformed::Limit)),
        }
    }
}
