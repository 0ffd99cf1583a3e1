//! Frames of type 3 and their control field.

use alloc::vec::Vec;

use super::{Address, Fcs};
use crate::codec::{DecodeError, Malformed, Reader, Wire};

/// The octet before and behind every frame.
pub const FLAG: u8 = 0x7E;

/// The most octets that a frame has between its flags.
pub const FRAME_LENGTH_MAX: usize = 0x7FF;

/// The most octets of information that a frame has whatever its addresses.
pub const INFORMATION_LENGTH_MAX: u16 = 2030;

/// Format, two addresses of one octet, control, FCS.
pub(super) const FRAME_LENGTH_MIN: usize = 7;

/// Flag, format, two addresses of four octets, control, HCS.
pub(super) const HEADER_LENGTH_MAX: usize = 1 + 2 + 4 + 4 + 1 + 2;

pub(super) const FORMAT: &str = "frame format";
pub(super) const LENGTH: &str = "frame length";
pub(super) const CLOSING_FLAG: &str = "closing flag";
pub(super) const HCS: &str = "header check sequence";
pub(super) const FCS: &str = "frame check sequence";

/// A frame of type 3 (IEC 62056-46 clause 6.4, ISO/IEC 13239 annex H).
///
/// ```text
///  7E | 1010 S length | destination | source | control | HCS | information | FCS | 7E
///     |    2 octets   |   1, 2, 4   | 1, 2, 4|    1    |  2  |    0..      |  2  |
/// ```
///
/// The length counts from the format to the FCS. Without information there is
/// no HCS. In its wire form a frame has a flag of its own on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Whom the frame is for.
    pub destination: Address,
    /// Whose frame it is.
    pub source: Address,
    /// Whether the message goes on in the next frame.
    pub segmented: bool,
    /// What the frame does.
    pub control: Control,
    /// What it carries: at most [`INFORMATION_LENGTH_MAX`] octets. A frame
    /// with more is one that every receiver refuses.
    pub information: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads a frame; where `checked`, its check sequences were found right
    /// before.
    pub(super) fn parse(reader: &mut Reader<'a>, checked: bool) -> Result<Self, DecodeError> {
        let flag = reader.error("opening flag", Malformed::Tag(reader.peek().unwrap_or(0)));
        if reader.u8("opening flag")? != FLAG {
            return Err(flag);
        }
        let body = reader.peek_rest();
        let mut header = Reader::at(body, reader.offset());
        let (segmented, length) = format(&mut header)?;
        // The format has been taken, and the FCS is none of the header.
        let (destination, source, control) = addresses_and_control(&mut header, length)?;
        let header_length = header.offset() - reader.offset();
        let rest = length - header_length;
        let fcs_offset = reader.offset() + length - 2;
        let (information, hcs) = match rest {
            2 => (&[][..], None),
            5.. => {
                let hcs_offset = header.offset();
                let sequence = header.array::<2>(HCS)?;
                let information = header.take(rest - 4, "information")?;
                (information, Some((hcs_offset, sequence)))
            }
            _ => return Err(header.error(LENGTH, Malformed::Length)),
        };
        let sequence = header.array::<2>(FCS)?;
        let closing = header.error(
            CLOSING_FLAG,
            Malformed::Tag(header.peek().unwrap_or_default()),
        );
        if header.u8(CLOSING_FLAG)? != FLAG {
            return Err(closing);
        }
        if !checked && !cfg!(fuzzing) {
            let (head, tail) = body.split_at_checked(header_length).unwrap_or((body, &[]));
            let check = Fcs::new().update(head);
            if let Some((offset, sequence)) = hcs
                && check.value() != u16::from_le_bytes(sequence)
            {
                return Err(checksum(offset, HCS));
            }
            let tail = tail.get(..rest - 2).unwrap_or_default();
            if check.update(tail).value() != u16::from_le_bytes(sequence) {
                return Err(checksum(fcs_offset, FCS));
            }
        }
        *reader = header;
        Ok(Self {
            destination,
            source,
            segmented,
            control,
            information,
        })
    }

    /// Checks as much of a frame as its first octets tell, from the flag to
    /// the HCS where there is one, and tells how many octets the frame has
    /// between its flags.
    pub(super) fn check_header(octets: &[u8]) -> Result<usize, DecodeError> {
        let mut reader = Reader::new(octets);
        reader.u8("opening flag")?;
        let body = reader.peek_rest();
        let (_, length) = format(&mut reader)?;
        addresses_and_control(&mut reader, length)?;
        let header_length = reader.offset() - 1;
        match length - header_length {
            2 => Ok(length),
            5.. => {
                let offset = reader.offset();
                let sequence = reader.array::<2>(HCS)?;
                let header = body.get(..header_length).unwrap_or_default();
                if !cfg!(fuzzing) && Fcs::of(header) != u16::from_le_bytes(sequence) {
                    return Err(checksum(offset, HCS));
                }
                Ok(length)
            }
            _ => Err(reader.error(LENGTH, Malformed::Length)),
        }
    }

    /// Tells how many octets the frame has between its flags.
    const fn length(&self) -> usize {
        let head = 2 + self.destination.len() + self.source.len() + 1;
        match self.information.len() {
            0 => head + 2,
            count => head + 2 + count + 2,
        }
    }
}

impl<'a> Wire<'a> for Frame<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        let length = self.length();
        out.reserve(length + 2);
        out.push(FLAG);
        let start = out.len();
        let [high, low] = u16::try_from(length & FRAME_LENGTH_MAX)
            .unwrap_or_default()
            .to_be_bytes();
        out.extend_from_slice(&[0xA0 | if self.segmented { 0x08 } else { 0 } | high, low]);
        self.destination.encode(out);
        self.source.encode(out);
        out.push(self.control.octet());
        let mut checked = start;
        let mut check = Fcs::new();
        if !self.information.is_empty() {
            check = check.update(out.get(start..).unwrap_or_default());
            checked = out.len();
            out.extend_from_slice(&check.value().to_le_bytes());
            out.extend_from_slice(self.information);
        }
        check = check.update(out.get(checked..).unwrap_or_default());
        out.extend_from_slice(&check.value().to_le_bytes());
        out.push(FLAG);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Self::parse(reader, false)
    }
}

const fn checksum(offset: usize, field: &'static str) -> DecodeError {
    DecodeError {
        offset,
        field,
        reason: Malformed::Checksum,
    }
}

fn format(reader: &mut Reader<'_>) -> Result<(bool, usize), DecodeError> {
    let octet = reader.peek().unwrap_or_default();
    let kind = reader.error(FORMAT, Malformed::Tag(octet));
    let bad_length = reader.error(LENGTH, Malformed::Length);
    if octet & 0xF0 != 0xA0 && !reader.is_empty() {
        return Err(kind);
    }
    let format = reader.u16(FORMAT)?;
    let length = usize::from(format) & FRAME_LENGTH_MAX;
    if length < FRAME_LENGTH_MIN {
        return Err(bad_length);
    }
    Ok((format & 0x0800 != 0, length))
}

/// Reads both addresses and the control field, which with the FCS must fit
/// into a frame of `length` octets.
fn addresses_and_control(
    reader: &mut Reader<'_>,
    length: usize,
) -> Result<(Address, Address, Control), DecodeError> {
    let start = reader.offset();
    let bad_length = DecodeError {
        offset: start - 2,
        field: LENGTH,
        reason: Malformed::Length,
    };
    let destination = Address::decode(reader, "destination address")?;
    let source = Address::decode(reader, "source address")?;
    let control = Control::from_octet(reader.u8("control field")?);
    if reader.offset() - start + 4 > length {
        return Err(bad_length);
    }
    Ok((destination, source, control))
}

/// A number of the sequence modulo 8 in which I frames are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sequence(u8);

impl Sequence {
    /// Makes the number that is `value` modulo 8.
    #[must_use]
    pub const fn new(value: u8) -> Self {
        Self(value & 7)
    }

    /// Tells the number, 0 to 7.
    #[must_use]
    pub const fn value(self) -> u8 {
        self.0
    }

    /// Tells the number `count` later.
    #[must_use]
    pub const fn plus(self, count: u8) -> Self {
        Self(self.0.wrapping_add(count) & 7)
    }

    /// Counts the steps from `earlier` up to this number, 0 to 7.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u8 {
        self.0.wrapping_sub(earlier.0) & 7
    }
}

/// The control field (IEC 62056-46 clause 6.4.3).
///
/// `poll` is the P/F bit: from a primary station it asks for an answer, from
/// a secondary it says that the answer ends here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// I: a numbered piece of a message.
    Information {
        /// N(R), the next number awaited from the other side.
        receive: Sequence,
        /// N(S), the number of this frame.
        send: Sequence,
        /// The P/F bit.
        poll: bool,
    },
    /// RR: ready to receive.
    ReceiveReady {
        /// N(R), the next number awaited.
        receive: Sequence,
        /// The P/F bit.
        poll: bool,
    },
    /// RNR: not ready to receive.
    ReceiveNotReady {
        /// N(R), the next number awaited.
        receive: Sequence,
        /// The P/F bit.
        poll: bool,
    },
    /// SNRM: sets normal response mode.
    SetNormalResponseMode {
        /// The P/F bit.
        poll: bool,
    },
    /// DISC: ends the connection.
    Disconnect {
        /// The P/F bit.
        poll: bool,
    },
    /// UA: the command was accepted.
    UnnumberedAcknowledge {
        /// The P/F bit.
        poll: bool,
    },
    /// DM: there is no connection.
    DisconnectedMode {
        /// The P/F bit.
        poll: bool,
    },
    /// FRMR: a frame was refused for what it says.
    FrameReject {
        /// The P/F bit.
        poll: bool,
    },
    /// UI: information outside any sequence.
    UnnumberedInformation {
        /// The P/F bit.
        poll: bool,
    },
    /// A field that DLMS does not use.
    Unknown(u8),
}

/// The P/F bit.
const POLL: u8 = 0x10;

impl Control {
    /// Reads the field.
    #[must_use]
    pub const fn from_octet(octet: u8) -> Self {
        let poll = octet & POLL != 0;
        let receive = Sequence::new(octet >> 5);
        if octet & 1 == 0 {
            return Self::Information {
                receive,
                send: Sequence::new(octet >> 1),
                poll,
            };
        }
        match octet & 0x0F {
            0x01 => return Self::ReceiveReady { receive, poll },
            0x05 => return Self::ReceiveNotReady { receive, poll },
            _ => {}
        }
        match octet & !POLL {
            0x83 => Self::SetNormalResponseMode { poll },
            0x43 => Self::Disconnect { poll },
            0x63 => Self::UnnumberedAcknowledge { poll },
            0x0F => Self::DisconnectedMode { poll },
            0x87 => Self::FrameReject { poll },
            0x03 => Self::UnnumberedInformation { poll },
            _ => Self::Unknown(octet),
        }
    }

    /// Tells the field's octet.
    #[must_use]
    pub const fn octet(self) -> u8 {
        let (code, poll) = match self {
            Self::Information {
                receive,
                send,
                poll,
            } => (receive.0 << 5 | send.0 << 1, poll),
            Self::ReceiveReady { receive, poll } => (receive.0 << 5 | 0x01, poll),
            Self::ReceiveNotReady { receive, poll } => (receive.0 << 5 | 0x05, poll),
            Self::SetNormalResponseMode { poll } => (0x83, poll),
            Self::Disconnect { poll } => (0x43, poll),
            Self::UnnumberedAcknowledge { poll } => (0x63, poll),
            Self::DisconnectedMode { poll } => (0x0F, poll),
            Self::FrameReject { poll } => (0x87, poll),
            Self::UnnumberedInformation { poll } => (0x03, poll),
            Self::Unknown(octet) => return octet,
        };
        if poll { code | POLL } else { code }
    }

    /// Tells the P/F bit.
    #[must_use]
    pub const fn poll(self) -> bool {
        self.octet() & POLL != 0
    }
}
