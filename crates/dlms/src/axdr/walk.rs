//! One pass over the octets of a value, without allocating.

use super::data::Work;
use super::{BitStr, DEPTH_MAX, Data, Date, DateTime, RawCompactArray, Tag, Time};
use crate::codec::{DecodeError, Malformed, Reader};

/// Which of the two kinds of sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sequence {
    /// `array`
    Array,
    /// `structure`
    Structure,
}

/// What a [`Walker`] comes across.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a> {
    /// A sequence begins and holds so many values.
    Begin(Sequence, usize),
    /// A value that is no sequence.
    Leaf(Leaf<'a>),
    /// The innermost open sequence ends.
    End,
}

/// A value that is neither array nor structure, borrowed from its octets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Leaf<'a> {
    /// `null-data`
    NullData,
    /// `boolean`
    Boolean(bool),
    /// `bit-string`
    BitString(BitStr<'a>),
    /// `double-long`
    DoubleLong(i32),
    /// `double-long-unsigned`
    DoubleLongUnsigned(u32),
    /// `octet-string`
    OctetString(&'a [u8]),
    /// `visible-string`, whose octets need not be ASCII in the field
    VisibleString(&'a [u8]),
    /// `utf8-string`, whose octets need not be UTF-8 in the field
    Utf8String(&'a [u8]),
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
    CompactArray(RawCompactArray<'a>),
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

impl<'a> Leaf<'a> {
    /// Takes the octets behind `tag`; `depth` sequences stand around them.
    ///
    /// Inlined with all of the walk, so that what is made of a tag and what
    /// the caller does with it become one jump: that halves the time.
    #[inline(always)]
    pub(super) fn take(
        tag: Tag,
        reader: &mut Reader<'a>,
        depth: usize,
    ) -> Result<Self, DecodeError> {
        Ok(match tag {
            Tag::NullData => Self::NullData,
            Tag::DontCare => Self::DontCare,
            Tag::Boolean => Self::Boolean(reader.u8("boolean")? != 0),
            Tag::BitString => Self::BitString(aside(reader, BitStr::take)?),
            Tag::DoubleLong => Self::DoubleLong(i32::from_be_bytes(reader.array("double-long")?)),
            Tag::DoubleLongUnsigned => {
                Self::DoubleLongUnsigned(reader.u32("double-long-unsigned")?)
            }
            Tag::OctetString => Self::OctetString(reader.octets("octet-string")?),
            Tag::VisibleString => Self::VisibleString(reader.octets("visible-string")?),
            Tag::Utf8String => Self::Utf8String(reader.octets("utf8-string")?),
            Tag::Bcd => Self::Bcd(reader.u8("bcd")?),
            Tag::Integer => Self::Integer(i8::from_be_bytes(reader.array("integer")?)),
            Tag::Long => Self::Long(i16::from_be_bytes(reader.array("long")?)),
            Tag::Unsigned => Self::Unsigned(reader.u8("unsigned")?),
            Tag::LongUnsigned => Self::LongUnsigned(reader.u16("long-unsigned")?),
            Tag::CompactArray => Self::CompactArray(aside(reader, |reader| {
                RawCompactArray::take(reader, depth)
            })?),
            Tag::Long64 => Self::Long64(i64::from_be_bytes(reader.array("long64")?)),
            Tag::Long64Unsigned => Self::Long64Unsigned(reader.u64("long64-unsigned")?),
            Tag::Enum => Self::Enum(reader.u8("enum")?),
            Tag::Float32 => Self::Float32(f32::from_be_bytes(reader.array("float32")?)),
            Tag::Float64 => Self::Float64(f64::from_be_bytes(reader.array("float64")?)),
            Tag::DateTime => Self::DateTime(DateTime::from_octets(reader.array("date-time")?)),
            Tag::Date => Self::Date(Date::from_octets(reader.array("date")?)),
            Tag::Time => Self::Time(Time::from_octets(reader.array("time")?)),
            Tag::DeltaInteger => {
                Self::DeltaInteger(i8::from_be_bytes(reader.array("delta-integer")?))
            }
            Tag::DeltaLong => Self::DeltaLong(i16::from_be_bytes(reader.array("delta-long")?)),
            Tag::DeltaDoubleLong => {
                Self::DeltaDoubleLong(i32::from_be_bytes(reader.array("delta-double-long")?))
            }
            Tag::DeltaUnsigned => Self::DeltaUnsigned(reader.u8("delta-unsigned")?),
            Tag::DeltaLongUnsigned => Self::DeltaLongUnsigned(reader.u16("delta-long-unsigned")?),
            Tag::DeltaDoubleLongUnsigned => {
                Self::DeltaDoubleLongUnsigned(reader.u32("delta-double-long-unsigned")?)
            }
            Tag::Array | Tag::Structure => {
                return Err(reader.error("data", Malformed::Tag(tag.as_u8())));
            }
        })
    }

    /// Tells the type.
    #[must_use]
    pub const fn tag(&self) -> Tag {
        match self {
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

    /// Tells the number of any integer type or `enum`; not of a delta, which
    /// is no value by itself.
    #[must_use]
    #[inline]
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::Integer(value) => Some(value.into()),
            Self::Long(value) => Some(value.into()),
            Self::DoubleLong(value) => Some(value.into()),
            Self::Long64(value) => Some(value),
            Self::Unsigned(value) | Self::Enum(value) => Some(value.into()),
            Self::LongUnsigned(value) => Some(value.into()),
            Self::DoubleLongUnsigned(value) => Some(value.into()),
            Self::Long64Unsigned(value) => i64::try_from(value).ok(),
            _ => None,
        }
    }

    /// Tells the number of any integer type or `enum` that is not negative.
    #[must_use]
    #[inline]
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::Long64Unsigned(value) => Some(value),
            _ => self.as_i64().and_then(|value| u64::try_from(value).ok()),
        }
    }

    /// Shows the octets of any of the three string types.
    #[must_use]
    #[inline]
    pub const fn as_octets(&self) -> Option<&'a [u8]> {
        match self {
            Self::OctetString(octets) | Self::VisibleString(octets) | Self::Utf8String(octets) => {
                Some(octets)
            }
            _ => None,
        }
    }

    /// Shows the text of any of the three string types, where it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        self.as_octets()
            .and_then(|octets| core::str::from_utf8(octets).ok())
    }

    /// Tells a point in time, as `date-time` or as the twelve octets of one in
    /// an `octet-string`.
    #[must_use]
    #[inline]
    pub fn as_date_time(&self) -> Option<DateTime> {
        match *self {
            Self::DateTime(value) => Some(value),
            Self::OctetString(octets) => octets.try_into().ok().map(DateTime::from_octets),
            _ => None,
        }
    }

    /// Makes a value of one's own.
    ///
    /// # Errors
    /// Where a compact array does not decode: its contents are not looked at
    /// before.
    pub fn to_data(self) -> Result<Data, DecodeError> {
        let octets = match self {
            Self::CompactArray(raw) => raw.octets().len(),
            _ => 0,
        };
        Data::from_leaf_within(self, 0, &mut Work::on(octets))
    }
}

/// Takes what is rare from a copy of `reader`: a cursor whose address no call
/// sees stays in registers.
#[inline(always)]
fn aside<'a, T>(
    reader: &mut Reader<'a>,
    take: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut copy = reader.clone();
    let taken = take(&mut copy)?;
    *reader = copy;
    Ok(taken)
}

/// A cursor over the octets of one value, in the order in which they stand.
///
/// As an iterator it ends after the value, or after the first error. Octets
/// behind the value are an error.
#[derive(Clone, Debug)]
pub struct Walker<'a> {
    cursor: Cursor<'a>,
    /// How many values are left in the sequences around the innermost one.
    outer: Outer,
}

/// What moves with every value. It stands apart from [`Outer`], which is
/// indexed, so that a loop can keep it in registers.
#[derive(Clone, Debug)]
struct Cursor<'a> {
    reader: Reader<'a>,
    /// How many values are left in the innermost open sequence.
    left: usize,
    depth: usize,
    over: bool,
}

type Outer = [usize; DEPTH_MAX];

impl<'a> Walker<'a> {
    /// Starts at the front of `reader`.
    #[must_use]
    #[inline]
    pub const fn over(reader: Reader<'a>) -> Self {
        Self {
            cursor: Cursor {
                reader,
                left: 1,
                depth: 0,
                over: false,
            },
            outer: [0; DEPTH_MAX],
        }
    }

    /// Tells the offset of the octet that is looked at next.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.cursor.reader.offset()
    }

    /// Tells how many sequences are open.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.cursor.depth
    }

    /// Goes over the leaves alone.
    #[inline]
    pub fn leaves(self) -> impl Iterator<Item = Result<Leaf<'a>, DecodeError>> {
        self.filter_map(|event| match event {
            Ok(Event::Leaf(leaf)) => Some(Ok(leaf)),
            Ok(Event::Begin(..) | Event::End) => None,
            Err(error) => Some(Err(error)),
        })
    }

    /// Walks to the end of the value and tells how many octets it takes.
    pub(super) fn skim(self) -> Result<usize, DecodeError> {
        let Self {
            mut cursor,
            mut outer,
        } = self;
        let start = cursor.reader.offset();
        loop {
            if cursor.left == 0 {
                match cursor.depth.checked_sub(1) {
                    None => return Ok(cursor.reader.offset() - start),
                    Some(depth) => cursor.close(&outer, depth),
                }
            } else {
                cursor.left -= 1;
                cursor.value(&mut outer)?;
            }
        }
    }
}

impl<'a> Cursor<'a> {
    #[inline(always)]
    fn close(&mut self, outer: &Outer, depth: usize) {
        self.depth = depth;
        self.left = outer.get(depth).copied().unwrap_or_default();
    }

    #[inline(always)]
    fn value(&mut self, outer: &mut Outer) -> Result<Event<'a>, DecodeError> {
        let unknown = self.reader.offset();
        let octet = self.reader.u8("data")?;
        let sequence = match Tag::from_u8(octet) {
            Some(Tag::Array) => Sequence::Array,
            Some(Tag::Structure) => Sequence::Structure,
            Some(tag) => return Leaf::take(tag, &mut self.reader, self.depth).map(Event::Leaf),
            None => {
                return Err(DecodeError {
                    offset: unknown,
                    field: "data",
                    reason: Malformed::Tag(octet),
                });
            }
        };
        let count = take_count(&mut self.reader, sequence.name())?;
        let Some(slot) = outer.get_mut(self.depth) else {
            return Err(DecodeError {
                offset: unknown,
                field: sequence.name(),
                reason: Malformed::Limit,
            });
        };
        *slot = self.left;
        self.left = count;
        self.depth += 1;
        Ok(Event::Begin(sequence, count))
    }

    #[inline(always)]
    fn next(&mut self, outer: &mut Outer) -> Option<Result<Event<'a>, DecodeError>> {
        if self.left == 0 {
            if let Some(depth) = self.depth.checked_sub(1) {
                self.close(outer, depth);
                return Some(Ok(Event::End));
            }
            if self.over {
                return None;
            }
            self.over = true;
            return self.reader.finish("data").err().map(Err);
        }
        self.left -= 1;
        let event = self.value(outer);
        if event.is_err() {
            self.left = 0;
            self.depth = 0;
            self.over = true;
        }
        Some(event)
    }
}

impl<'a> Iterator for Walker<'a> {
    type Item = Result<Event<'a>, DecodeError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        self.cursor.next(&mut self.outer)
    }

    /// Walks to the end, faster than a loop over [`next`](Self::next) does.
    #[inline(always)]
    fn fold<B, F: FnMut(B, Self::Item) -> B>(self, init: B, mut each: F) -> B {
        let Self {
            mut cursor,
            mut outer,
        } = self;
        let mut folded = init;
        while let Some(event) = cursor.next(&mut outer) {
            folded = each(folded, event);
        }
        folded
    }
}

impl core::iter::FusedIterator for Walker<'_> {}

impl Sequence {
    /// Tells the name in the ASN.1.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Array => "array",
            Self::Structure => "structure",
        }
    }
}

/// Takes the count of a sequence, each of whose values takes an octet or more.
#[inline]
pub(super) fn take_count(
    reader: &mut Reader<'_>,
    field: &'static str,
) -> Result<usize, DecodeError> {
    let count = reader.length(field)?;
    if count > reader.remaining() {
        return Err(reader.error(field, Malformed::Truncated));
    }
    Ok(count)
}
