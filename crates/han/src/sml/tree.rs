//! Type-length-value as SML has it.

use dlms::codec::{DecodeError, Malformed, Reader};

/// How deep lists may nest; messages nest six.
const DEPTH_MAX: usize = 12;

/// Nodes that a file may have.
pub(super) const NODES_MAX: usize = 4_096;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// An optional value that is not there.
    Absent,
    /// Octets.
    Octets(Vec<u8>),
    /// A truth value.
    Boolean(bool),
    /// A number with a sign, of one to eight octets.
    Integer(i64),
    /// A number without a sign, of one to eight octets.
    Unsigned(u64),
    /// A list, or a structure: SML does not tell them apart.
    List(Vec<Self>),
    /// The end of a message.
    End,
}

impl Node {
    /// Takes a value from the front of `reader`; `budget` counts nodes down.
    ///
    /// # Errors
    /// The offset and the reason where it is none, or too deep or wide.
    pub(super) fn decode(reader: &mut Reader<'_>, budget: &mut usize) -> Result<Self, DecodeError> {
        Self::within(reader, budget, 0)
    }

    fn within(
        reader: &mut Reader<'_>,
        budget: &mut usize,
        depth: usize,
    ) -> Result<Self, DecodeError> {
        let limit = reader.error("SML value", Malformed::Limit);
        *budget = budget.checked_sub(1).ok_or(limit)?;
        if depth > DEPTH_MAX {
            return Err(limit);
        }
        let bad = reader.error(
            "SML type",
            Malformed::Tag(reader.peek().unwrap_or_default()),
        );
        let start = reader.offset();
        let first = reader.u8("SML type")?;
        if first == 0 {
            return Ok(Self::End);
        }
        let kind = first & 0x70;
        let mut length = usize::from(first & 0x0F);
        let mut more = first & 0x80 != 0;
        while more {
            let next = reader.u8("SML length")?;
            if next & 0x70 != 0 || length > usize::from(u16::MAX) {
                return Err(bad);
            }
            length = (length << 4) | usize::from(next & 0x0F);
            more = next & 0x80 != 0;
        }
        if kind == 0x70 {
            // Each element has an octet at least.
            if length > reader.remaining() {
                return Err(reader.error("SML list", Malformed::Truncated));
            }
            let mut elements = Vec::new();
            for _ in 0..length {
                elements.push(Self::within(reader, budget, depth + 1)?);
            }
            return Ok(Self::List(elements));
        }
        // The length of all but lists counts the octets that tell it.
        let head = reader.offset() - start;
        let count = length.checked_sub(head).ok_or(bad)?;
        let octets = reader.take(count, "SML value")?;
        match (kind, octets) {
            (0x00, []) => Ok(Self::Absent),
            (0x00, octets) => Ok(Self::Octets(octets.to_vec())),
            (0x40, [octet]) => Ok(Self::Boolean(*octet != 0)),
            (0x50, [first, ..]) if count <= 8 => {
                let sign = if first & 0x80 == 0 { 0 } else { -1 };
                Ok(Self::Integer(octets.iter().fold(sign, |number, octet| {
                    (number << 8) | i64::from(*octet)
                })))
            }
            (0x60, [_, ..]) if count <= 8 => {
                Ok(Self::Unsigned(octets.iter().fold(0, |number, octet| {
                    (number << 8) | u64::from(*octet)
                })))
            }
            _ => Err(bad),
        }
    }
}
