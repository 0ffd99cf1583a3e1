//! Wired M-Bus as meters push over it: long frames of EN 13757-2, and the
//! transport layer of EN 13757-1 that cuts an APDU into several of them
//! (as in the customer interface of Netz NÖ and other Austrian utilities).

use alloc::vec::Vec;

use crate::codec::{DecodeError, Malformed, Reader, Wire};

/// The octet that opens a long frame, twice.
pub const START: u8 = 0x68;

/// The octet that closes it.
pub const STOP: u8 = 0x16;

/// Control, address and control information: the least that a length counts.
const LENGTH_MIN: u8 = 3;

/// Start, length, length, start; checksum, stop.
const OVERHEAD: usize = 6;

const CHECKSUM: &str = "M-Bus checksum";

/// A long frame (EN 13757-2, format class FT 1.2).
///
/// ```text
///  68 | L | L | 68 | C | A | CI | data       | checksum | 16
///                  '-- L octets, summed ----'
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongFrame<'a> {
    /// The control field; pushes have 53, send user data.
    pub control: u8,
    /// The address field; pushes have FF, all stations.
    pub address: u8,
    /// The control information field: what the data is.
    pub control_information: u8,
    /// At most 252 octets, of which more would be cut off.
    pub data: &'a [u8],
}

impl<'a> Wire<'a> for LongFrame<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        let length = self.data.len().min(usize::from(u8::MAX - LENGTH_MIN));
        let data = self.data.get(..length).unwrap_or_default();
        let counted = u8::try_from(length).unwrap_or_default() + LENGTH_MIN;
        out.extend_from_slice(&[START, counted, counted, START]);
        let head = [self.control, self.address, self.control_information];
        out.extend_from_slice(&head);
        out.extend_from_slice(data);
        out.extend_from_slice(&[sum(&head).wrapping_add(sum(data)), STOP]);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        expect(reader, START, "M-Bus start")?;
        let length = reader.u8("M-Bus length")?;
        let bad_length = reader.error("M-Bus length", Malformed::Length);
        if reader.u8("M-Bus length")? != length {
            return Err(bad_length);
        }
        expect(reader, START, "M-Bus start")?;
        let mut body = reader.sub(counted(length), "M-Bus frame")?;
        let computed = sum(body.peek_rest());
        let checksum = reader.error(CHECKSUM, Malformed::Checksum);
        if reader.u8(CHECKSUM)? != computed && !cfg!(fuzzing) {
            return Err(checksum);
        }
        expect(reader, STOP, "M-Bus stop")?;
        Ok(Self {
            control: body.u8("M-Bus control")?,
            address: body.u8("M-Bus address")?,
            control_information: body.u8("M-Bus control information")?,
            data: body.rest(),
        })
    }
}

/// Octets that a length tells. One below the least cannot be: Sagemcom meters
/// in Lower Austria put 257 octets into a frame and tell 01 (seen in the samples
/// of two public readers; the checksum over 257 is right).
fn counted(length: u8) -> usize {
    let told = usize::from(length);
    if length < LENGTH_MIN {
        told + 256
    } else {
        told
    }
}

fn expect(reader: &mut Reader<'_>, octet: u8, field: &'static str) -> Result<(), DecodeError> {
    let error = reader.error(field, Malformed::Tag(reader.peek().unwrap_or_default()));
    if reader.u8(field)? == octet {
        Ok(())
    } else {
        Err(error)
    }
}

fn sum(octets: &[u8]) -> u8 {
    octets.iter().fold(0, |sum, octet| sum.wrapping_add(*octet))
}

/// A piece of an APDU: what a long frame carries whose control information is
/// 00 to 1F (EN 13757-1, DLMS transport over M-Bus).
///
/// ```text
///  CI 000 FIN sequence | STSAP | DTSAP | octets
///         1      4     |   1   |   1   |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The number of this piece, from 0, modulo 16.
    pub sequence: u8,
    /// Whether this is the last piece.
    pub last: bool,
    /// The transport service access point of the sender.
    pub source: u8,
    /// That of the receiver.
    pub destination: u8,
    /// The piece.
    pub octets: &'a [u8],
}

/// The bit of the control information field that marks the last piece.
const FINAL: u8 = 0x10;

impl<'a> Segment<'a> {
    /// Reads what `frame` carries, whose data lies at `offset` of the input.
    ///
    /// # Errors
    /// [`Malformed::Tag`] for other control information, and truncation.
    pub fn of(frame: &LongFrame<'a>, offset: usize) -> Result<Self, DecodeError> {
        let information = frame.control_information;
        let mut reader = Reader::at(frame.data, offset);
        if information > 0x1F {
            return Err(DecodeError {
                offset: offset.saturating_sub(1),
                field: "M-Bus control information",
                reason: Malformed::Tag(information),
            });
        }
        Ok(Self {
            sequence: information & 0x0F,
            last: information & FINAL != 0,
            source: reader.u8("STSAP")?,
            destination: reader.u8("DTSAP")?,
            octets: reader.rest(),
        })
    }

    /// Tells the control information field.
    #[must_use]
    pub const fn control_information(&self) -> u8 {
        (self.sequence & 0x0F) | if self.last { FINAL } else { 0 }
    }
}

/// An APDU put together from its pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The transport service access point of the sender.
    pub source: u8,
    /// That of the receiver.
    pub destination: u8,
    /// The APDU.
    pub octets: Vec<u8>,
}

/// Puts APDUs together.
///
/// A piece out of its turn ends the message under way; only a piece of number
/// 0 begins one.
#[derive(Clone, Debug)]
pub struct Assembler {
    message: Option<Message>,
    next: u8,
    length_max: usize,
    lost: u64,
}

impl Assembler {
    /// Starts with no message under way; one of more than `length_max` octets
    /// is dropped.
    #[must_use]
    pub const fn new(length_max: usize) -> Self {
        Self {
            message: None,
            next: 0,
            length_max,
            lost: 0,
        }
    }

    /// Takes a piece in, and gives the message that it completes.
    pub fn push(&mut self, segment: &Segment<'_>) -> Option<Message> {
        let under_way = self.message.take();
        let mut message = match under_way {
            Some(message)
                if segment.sequence == self.next
                    && message.source == segment.source
                    && message.destination == segment.destination =>
            {
                message
            }
            other => {
                self.lost += u64::from(other.is_some());
                if segment.sequence != 0 {
                    self.lost += u64::from(other.is_none());
                    return None;
                }
                Message {
                    source: segment.source,
                    destination: segment.destination,
                    octets: Vec::new(),
                }
            }
        };
        if message.octets.len() + segment.octets.len() > self.length_max {
            self.lost += 1;
            return None;
        }
        message.octets.extend_from_slice(segment.octets);
        self.next = segment.sequence.wrapping_add(1) & 0x0F;
        if segment.last {
            return Some(message);
        }
        self.message = Some(message);
        None
    }

    /// Tells whether a message is under way.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.message.is_none()
    }

    /// Counts the messages that were dropped: too long, or a piece missing.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }
}

/// Finds long frames in a stream.
///
/// What begins like a frame and is none is passed over up to the next start
/// octet, which may lie within it. Holds at most one frame; noise is counted.
#[derive(Clone, Debug, Default)]
pub struct Deframer {
    buffer: Vec<u8>,
    done: usize,
    counters: LineCounters,
}

/// What a line has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounters {
    /// Frames with a right checksum.
    pub frames: u64,
    /// Octets outside any frame.
    pub noise_octets: u64,
    /// Frames with a wrong checksum.
    pub checksum_faults: u64,
}

impl Deframer {
    /// Starts on a silent line.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes octets from the front of `input` until they make a frame, or
    /// until there are none left.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<LongFrame<'_>> {
        self.buffer.drain(..self.done.min(self.buffer.len()));
        self.done = 0;
        loop {
            let mut reader = Reader::new(&self.buffer);
            match LongFrame::decode(&mut reader) {
                Ok(_) => {
                    self.counters.frames += 1;
                    self.done = reader.offset();
                    break;
                }
                Err(error) if error.reason == Malformed::Truncated => {
                    if input.is_empty() {
                        return None;
                    }
                    let length = self.buffer.get(1).copied().map_or(0, counted);
                    let needed = match self.buffer.len() {
                        count @ ..4 => count + 1,
                        _ => length + OVERHEAD,
                    };
                    let missing = needed.saturating_sub(self.buffer.len()).max(1);
                    let (taken, rest) = input.split_at_checked(missing).unwrap_or((*input, &[]));
                    self.buffer.extend_from_slice(taken);
                    *input = rest;
                }
                Err(error) => {
                    self.counters.checksum_faults += u64::from(error.reason == Malformed::Checksum);
                    self.skip();
                }
            }
        }
        LongFrame::decode(&mut Reader::new(&self.buffer)).ok()
    }

    /// Tells that the line paused for longer than is allowed within a frame.
    /// Frames behind the start that was none are found by calling
    /// [`next`](Self::next) until it has none, and then this again.
    ///
    /// Returns whether anything was given up.
    pub fn pause(&mut self) -> bool {
        self.buffer.drain(..self.done.min(self.buffer.len()));
        self.done = 0;
        if self.buffer.is_empty() {
            return false;
        }
        self.skip();
        true
    }

    /// Tells what the line has carried so far.
    #[must_use]
    pub const fn counters(&self) -> &LineCounters {
        &self.counters
    }

    fn skip(&mut self) {
        let next = self
            .buffer
            .iter()
            .skip(1)
            .position(|octet| *octet == START)
            .map_or(self.buffer.len(), |at| at + 1);
        self.counters.noise_octets += next as u64;
        self.buffer.drain(..next.min(self.buffer.len()));
    }
}
