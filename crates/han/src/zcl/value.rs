//! Values of attributes, by the types of the cluster library.

use dlms::codec::{DecodeError, Malformed, Reader};

use super::u16_le;

/// How deep arrays and structures may nest.
const DEPTH_MAX: usize = 4;

/// Elements that arrays and structures of one value may have.
const ELEMENTS_MAX: usize = 256;

/// A value with its type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No data (0x00).
    None,
    /// A truth value (0x10).
    Boolean(bool),
    /// Octets without meaning of their own (0x08 to 0x0F), the low one first.
    Data(u64),
    /// Bits (0x18 to 0x1F).
    Bitmap(u64),
    /// A number without a sign (0x20 to 0x27).
    Unsigned(u64),
    /// A number with a sign (0x28 to 0x2F).
    Signed(i64),
    /// One of a list (0x30, 0x31).
    Enum(u16),
    /// A floating point number (0x39, 0x3A); of half precision (0x38) its
    /// bits.
    Float(f64),
    /// Octets (0x41, 0x43).
    Octets(Vec<u8>),
    /// Text (0x42, 0x44).
    Text(String),
    /// Elements (0x48, 0x4C, 0x50, 0x51).
    Elements(Vec<Self>),
    /// Seconds from 2000-01-01T00:00:00Z (0xE2).
    Time(u32),
    /// A time of day or a date (0xE0, 0xE1) as its four octets.
    Clock([u8; 4]),
    /// An identifier (0xE8, 0xE9, 0xEA).
    Identifier(u32),
    /// An EUI-64 (0xF0), the high octet first.
    Eui64([u8; 8]),
    /// The type's own mark of a value that is not there.
    Invalid,
}

impl Value {
    /// Takes a type and its value from the front of `reader`.
    ///
    /// # Errors
    /// The offset and the reason: an unknown type, which has no known extent,
    /// or truncation.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut budget = ELEMENTS_MAX;
        let kind = reader.u8("type")?;
        Self::of_kind(kind, reader, 0, &mut budget)
    }

    fn of_kind(
        kind: u8,
        reader: &mut Reader<'_>,
        depth: usize,
        budget: &mut usize,
    ) -> Result<Self, DecodeError> {
        let unknown = DecodeError {
            offset: reader.offset().saturating_sub(1),
            field: "type",
            reason: Malformed::Tag(kind),
        };
        Ok(match kind {
            0x00 => Self::None,
            0x10 => match reader.u8("boolean")? {
                0xFF => Self::Invalid,
                octet => Self::Boolean(octet != 0),
            },
            0x08..=0x0F => Self::Data(unsigned(reader, kind - 0x07)?),
            0x18..=0x1F => Self::Bitmap(unsigned(reader, kind - 0x17)?),
            0x20..=0x27 => {
                let size = kind - 0x1F;
                let number = unsigned(reader, size)?;
                if number == u64::MAX >> (64 - 8 * u32::from(size)) {
                    Self::Invalid
                } else {
                    Self::Unsigned(number)
                }
            }
            0x28..=0x2F => {
                let size = u32::from(kind - 0x27);
                let shift = 64 - 8 * size;
                let number = unsigned(reader, kind - 0x27)?;
                let number = (number << shift).cast_signed() >> shift;
                if number == i64::MIN >> shift {
                    Self::Invalid
                } else {
                    Self::Signed(number)
                }
            }
            0x30 => match reader.u8("enum8")? {
                0xFF => Self::Invalid,
                octet => Self::Enum(u16::from(octet)),
            },
            0x31 => match u16_le(reader, "enum16")? {
                0xFFFF => Self::Invalid,
                number => Self::Enum(number),
            },
            0x38 => Self::Data(unsigned(reader, 2)?),
            0x39 => Self::float(f64::from(f32::from_le_bytes(reader.array("single")?))),
            0x3A => Self::float(f64::from_le_bytes(reader.array("double")?)),
            0x41 | 0x42 => {
                let length = reader.u8("string length")?;
                let none = length == 0xFF;
                Self::string(kind == 0x42, none, usize::from(length), reader)?
            }
            0x43 | 0x44 => {
                let length = u16_le(reader, "string length")?;
                let none = length == 0xFFFF;
                Self::string(kind == 0x44, none, usize::from(length), reader)?
            }
            0x48 | 0x50 | 0x51 => {
                let element = reader.u8("element type")?;
                Self::elements(Some(element), reader, depth, budget)?
            }
            0x4C => Self::elements(None, reader, depth, budget)?,
            0xE0 | 0xE1 => match reader.array("time")? {
                [0xFF, 0xFF, 0xFF, 0xFF] => Self::Invalid,
                octets => Self::Clock(octets),
            },
            0xE2 => match u32::from_le_bytes(reader.array("UTC time")?) {
                u32::MAX => Self::Invalid,
                seconds => Self::Time(seconds),
            },
            0xE8 | 0xE9 => Self::Identifier(u32::from(u16_le(reader, "identifier")?)),
            0xEA => Self::Identifier(u32::from_le_bytes(reader.array("identifier")?)),
            0xF0 => {
                let mut octets: [u8; 8] = reader.array("EUI-64")?;
                octets.reverse();
                if octets == [0xFF; 8] {
                    Self::Invalid
                } else {
                    Self::Eui64(octets)
                }
            }
            // Keys are not read, and not kept.
            0xF1 => {
                reader.take(16, "security key")?;
                Self::None
            }
            _ => return Err(unknown),
        })
    }

    const fn float(number: f64) -> Self {
        if number.is_nan() {
            Self::Invalid
        } else {
            Self::Float(number)
        }
    }

    fn string(
        is_text: bool,
        none: bool,
        length: usize,
        reader: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        if none {
            return Ok(Self::Invalid);
        }
        let octets = reader.take(length, "string")?;
        Ok(if is_text {
            Self::Text(String::from_utf8_lossy(octets).into_owned())
        } else {
            Self::Octets(octets.to_vec())
        })
    }

    fn elements(
        kind: Option<u8>,
        reader: &mut Reader<'_>,
        depth: usize,
        budget: &mut usize,
    ) -> Result<Self, DecodeError> {
        let limit = reader.error("elements", Malformed::Limit);
        if depth >= DEPTH_MAX {
            return Err(limit);
        }
        let count = u16_le(reader, "elements")?;
        if count == 0xFFFF {
            return Ok(Self::Invalid);
        }
        let mut elements = Vec::new();
        for _ in 0..count {
            *budget = budget.checked_sub(1).ok_or(limit)?;
            let kind = match kind {
                Some(kind) => kind,
                None => reader.u8("element type")?,
            };
            elements.push(Self::of_kind(kind, reader, depth + 1, budget)?);
        }
        Ok(Self::Elements(elements))
    }

    /// Tells a number, bits or one of a list.
    #[must_use]
    pub const fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) | Self::Bitmap(number) => Some(*number),
            Self::Enum(number) => Some(*number as u64),
            _ => None,
        }
    }

    /// Tells a whole number.
    #[must_use]
    pub fn as_i128(&self) -> Option<i128> {
        match self {
            Self::Unsigned(number) => Some(i128::from(*number)),
            Self::Signed(number) => Some(i128::from(*number)),
            _ => None,
        }
    }
}

/// Takes a number of one to eight octets, the low one first.
fn unsigned(reader: &mut Reader<'_>, size: u8) -> Result<u64, DecodeError> {
    Ok(reader
        .take(usize::from(size), "number")?
        .iter()
        .rev()
        .fold(0, |number, octet| (number << 8) | u64::from(*octet)))
}
