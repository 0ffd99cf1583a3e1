//! What octets from somewhere are framed in, and the messages within them:
//! for people who have a dump and a question. Links know their framing and
//! use [`hdlc`], [`wrapper`](crate::wrapper) and [`mbus`].

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Malformed, Reader, Wire};
use crate::hdlc::{self, Address, Control, llc};
use crate::mbus::{self, LongFrame, Segment};
use crate::wrapper::Wrapper;
use crate::xdlms::{BlockControl, GeneralBlockTransfer};

/// What octets are framed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Frames of type 3.
    Hdlc,
    /// The header of TCP and UDP.
    Wrapper,
    /// Long frames of wired M-Bus.
    MBus,
    /// The LLC header of HDLC without its frame, as some adapters give it.
    Llc,
    /// Nothing: an APDU.
    Apdu,
}

/// Decides by the first octets, of which none can begin an APDU.
#[must_use]
pub fn detect(octets: &[u8]) -> Framing {
    match *octets {
        [hdlc::FLAG, ..] => Framing::Hdlc,
        // A frame whose opening flag is missing.
        [format, low, .., hdlc::FLAG]
            if format & 0xF0 == 0xA0
                && usize::from(u16::from_be_bytes([format & 0x07, low])) + 1 == octets.len() =>
        {
            Framing::Hdlc
        }
        [mbus::START, ..] => Framing::MBus,
        [0, ..] => Framing::Wrapper,
        _ if llc::strip(octets).is_some() => Framing::Llc,
        _ => Framing::Apdu,
    }
}

/// A frame of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located<'a> {
    /// Where it begins.
    pub offset: usize,
    /// How many octets it has.
    pub length: usize,
    /// What it is.
    pub frame: AnyFrame<'a>,
}

/// A frame of any framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnyFrame<'a> {
    /// Of HDLC.
    Hdlc(hdlc::Frame<'a>),
    /// Of the wrapper.
    Wrapper(Wrapper<'a>),
    /// Of wired M-Bus.
    MBus(LongFrame<'a>),
    /// The octets themselves, behind an LLC header or not.
    Bare(&'a [u8]),
}

/// The frames of an input and what they carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unframed<'a> {
    /// Every frame, in order.
    pub frames: Vec<Located<'a>>,
    /// Every block of general block transfer that was joined with others.
    pub blocks: Vec<Block>,
    /// The messages that they make: none where all are supervisory.
    pub messages: Vec<Message>,
}

impl<'a> Unframed<'a> {
    const fn of(frames: Vec<Located<'a>>, messages: Vec<Message>) -> Self {
        Self {
            frames,
            blocks: Vec::new(),
            messages,
        }
    }
}

/// A block of general block transfer that is part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where it begins.
    pub offset: usize,
    /// How many octets of the message it holds.
    pub length: usize,
    /// Whether it is the last one, and how it was sent.
    pub block_control: BlockControl,
    /// Its number, from 1.
    pub block_number: u16,
    /// The number of the block that it acknowledges.
    pub block_number_ack: u16,
}

/// A message put together from its frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The APDU.
    pub octets: Vec<u8>,
    /// Where its parts were found, in order.
    pub parts: Vec<Part>,
}

/// A part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it begins in the input.
    pub input: usize,
    /// Where it begins in the message.
    pub message: usize,
    /// How many octets it has.
    pub length: usize,
}

impl Message {
    fn push(&mut self, input: usize, octets: &[u8]) {
        self.parts.push(Part {
            input,
            message: self.octets.len(),
            length: octets.len(),
        });
        self.octets.extend_from_slice(octets);
    }

    /// Takes `count` octets off the front.
    fn drop_front(&mut self, count: usize) {
        self.octets.drain(..count.min(self.octets.len()));
        for part in &mut self.parts {
            let cut = count.saturating_sub(part.message).min(part.length);
            part.input += cut;
            part.length -= cut;
            part.message = part.message.saturating_sub(count);
        }
        self.parts.retain(|part| part.length > 0);
    }

    /// Tells where in the input the octet at `offset` of the message came
    /// from; behind its end, what would follow.
    #[must_use]
    pub fn input_offset(&self, offset: usize) -> usize {
        self.parts
            .iter()
            .rev()
            .find(|part| part.message <= offset)
            .map_or(offset, |part| part.input + (offset - part.message))
    }

    fn end(&self) -> usize {
        self.input_offset(self.octets.len())
    }

    fn slice(&self, start: usize, length: usize) -> Self {
        let mut slice = Self::default();
        for part in &self.parts {
            let from = part.message.max(start);
            let to = (part.message + part.length).min(start + length);
            if let Some(octets) = self.octets.get(from..to)
                && !octets.is_empty()
            {
                slice.push(part.input + (from - part.message), octets);
            }
        }
        slice
    }
}

/// Takes all of `octets` out of their frames. Frames that share a message are
/// joined: by the segmentation bit of HDLC, the sequence of M-Bus, and, where
/// a message was cut into blocks by general block transfer without
/// confirmation, by those (as the Landis+Gyr E450 pushes, with an LLC header
/// before the first block alone). A block that stands alone, or begins in the
/// middle of a message, is a message of its own.
///
/// # Errors
/// The offset in `octets` and the reason of the first frame that is none, of
/// a message that is not whole, and of what is left over.
pub fn unframe(octets: &[u8], framing: Framing) -> Result<Unframed<'_>, DecodeError> {
    let mut unframed = match framing {
        Framing::Hdlc => hdlc_frames(octets)?,
        Framing::Wrapper => wrapped(octets)?,
        Framing::MBus => mbus_frames(octets)?,
        Framing::Llc => bare(
            octets,
            octets.len() - llc::strip(octets).map_or(0, <[u8]>::len),
        ),
        Framing::Apdu => bare(octets, 0),
    };
    join_blocks(&mut unframed)?;
    Ok(unframed)
}

const GENERAL_BLOCK_TRANSFER: u8 = 0xE0;

/// Octets without frames: one message, or blocks side by side, each of which
/// tells its length.
fn bare(octets: &[u8], skip: usize) -> Unframed<'_> {
    let message = |from: usize, octets: &[u8]| {
        let mut message = Message::default();
        message.push(from, octets);
        message
    };
    let body = octets.get(skip..).unwrap_or_default();
    let mut blocks = Vec::new();
    let mut reader = Reader::at(body, skip);
    while reader.peek() == Some(GENERAL_BLOCK_TRANSFER) {
        let start = reader.offset();
        if GeneralBlockTransfer::decode(&mut reader).is_err() {
            break;
        }
        let part = octets.get(start..reader.offset()).unwrap_or_default();
        blocks.push(message(start, part));
    }
    let messages = if reader.is_empty() && blocks.len() > 1 {
        blocks
    } else {
        [message(skip, body)].into()
    };
    let frame = Located {
        offset: 0,
        length: octets.len(),
        frame: AnyFrame::Bare(octets),
    };
    Unframed::of([frame].into(), messages)
}

fn hdlc_frames(octets: &[u8]) -> Result<Unframed<'_>, DecodeError> {
    let mut frames = Vec::new();
    let mut messages = Vec::new();
    let mut open: BTreeMap<(Address, Address), Message> = BTreeMap::new();
    let mut reader = Reader::new(octets);
    while !reader.is_empty() {
        if let [hdlc::FLAG, rest @ ..] = reader.peek_rest()
            && (rest.is_empty() && !frames.is_empty() || rest.starts_with(&[hdlc::FLAG]))
        {
            reader.u8("flag")?;
            continue;
        }
        let shared = !frames.is_empty() && reader.peek() != Some(hdlc::FLAG);
        if shared {
            // The flag that closed the last frame opens this one.
            let start = reader.offset().saturating_sub(1);
            reader = Reader::at(octets.get(start..).unwrap_or_default(), start);
        }
        let offset = reader.offset();
        let frame = hdlc::Frame::decode(&mut reader)?;
        let length = reader.offset() - offset;
        frames.push(Located {
            offset,
            length,
            frame: AnyFrame::Hdlc(frame),
        });
        if !matches!(
            frame.control,
            Control::Information { .. } | Control::UnnumberedInformation { .. }
        ) {
            continue;
        }
        let key = (frame.destination, frame.source);
        let mut message = open.remove(&key).unwrap_or_default();
        // Behind the information stand the FCS and the flag.
        let information = llc::continued(&message.octets, frame.information);
        let input = reader.offset() - 3 - information.len();
        message.push(input, information);
        if frame.segmented {
            open.insert(key, message);
            continue;
        }
        let skip = llc::strip(&message.octets).map_or(0, |_| llc::COMMAND.len());
        message.drop_front(skip);
        messages.push(message);
    }
    if frames.is_empty() {
        return Err(reader.error("HDLC frame", Malformed::Truncated));
    }
    if !open.is_empty() {
        return Err(reader.error("last segment", Malformed::Truncated));
    }
    Ok(Unframed::of(frames, messages))
}

fn wrapped(octets: &[u8]) -> Result<Unframed<'_>, DecodeError> {
    let mut frames = Vec::new();
    let mut messages = Vec::new();
    let mut reader = Reader::new(octets);
    loop {
        let offset = reader.offset();
        let wrapper = Wrapper::decode(&mut reader)?;
        frames.push(Located {
            offset,
            length: reader.offset() - offset,
            frame: AnyFrame::Wrapper(wrapper),
        });
        let mut message = Message::default();
        message.push(reader.offset() - wrapper.apdu.len(), wrapper.apdu);
        messages.push(message);
        if reader.is_empty() {
            return Ok(Unframed::of(frames, messages));
        }
    }
}

fn mbus_frames(octets: &[u8]) -> Result<Unframed<'_>, DecodeError> {
    let mut frames = Vec::new();
    let mut messages = Vec::new();
    let mut open: Option<(u8, Message)> = None;
    let mut reader = Reader::new(octets);
    while !reader.is_empty() || frames.is_empty() {
        let offset = reader.offset();
        let frame = LongFrame::decode(&mut reader)?;
        frames.push(Located {
            offset,
            length: reader.offset() - offset,
            frame: AnyFrame::MBus(frame),
        });
        // Start, length, length, start, control, address, information.
        let data = offset + 7;
        let segment = Segment::of(&frame, data)?;
        let (expected, mut message) = open.take().unwrap_or_default();
        if segment.sequence != expected {
            return Err(DecodeError {
                offset: data - 1,
                field: "M-Bus segment number",
                reason: Malformed::Value,
            });
        }
        message.push(data + 2, segment.octets);
        if segment.last {
            messages.push(message);
        } else {
            open = Some(((segment.sequence + 1) & 0x0F, message));
        }
    }
    if open.is_some() {
        return Err(reader.error("last segment", Malformed::Truncated));
    }
    Ok(Unframed::of(frames, messages))
}

/// A message of which more blocks are due.
#[derive(Default)]
struct OpenBlocks {
    whole: Message,
    blocks: Vec<Block>,
    messages: Vec<Message>,
}

/// Joins blocks that stand in line.
fn join_blocks(unframed: &mut Unframed<'_>) -> Result<(), DecodeError> {
    let mut messages = Vec::with_capacity(unframed.messages.len());
    let mut open: Option<OpenBlocks> = None;
    for message in core::mem::take(&mut unframed.messages) {
        if message.octets.first() != Some(&GENERAL_BLOCK_TRANSFER) {
            // No more blocks come: what there is of them is shown as it is.
            messages.extend(open.take().into_iter().flat_map(|open| open.messages));
            messages.push(message);
            continue;
        }
        let refuse = |error: DecodeError| DecodeError {
            offset: message.input_offset(error.offset),
            ..error
        };
        let mut reader = Reader::new(&message.octets);
        let block = GeneralBlockTransfer::decode(&mut reader).map_err(refuse)?;
        reader.finish("general-block-transfer").map_err(refuse)?;
        let last = open.as_ref().and_then(|open| open.blocks.last());
        let due = last.map_or(1, |last| last.block_number.wrapping_add(1));
        if block.block_number != due {
            if open.is_some() {
                return Err(refuse(DecodeError {
                    offset: 2,
                    field: "block number",
                    reason: Malformed::Value,
                }));
            }
            messages.push(message);
            continue;
        }
        let mut transfer = open.take().unwrap_or_default();
        let start = message.octets.len() - block.block_data.len();
        for part in message.slice(start, block.block_data.len()).parts {
            let at = part.message + start;
            let octets = message.octets.get(at..at + part.length);
            transfer.whole.push(part.input, octets.unwrap_or_default());
        }
        transfer.blocks.push(Block {
            offset: message.input_offset(0),
            length: block.block_data.len(),
            block_control: block.block_control,
            block_number: block.block_number,
            block_number_ack: block.block_number_ack,
        });
        let is_last = block.block_control.is_last_block();
        transfer.messages.push(message);
        if is_last {
            unframed.blocks.append(&mut transfer.blocks);
            messages.push(transfer.whole);
        } else {
            open = Some(transfer);
        }
    }
    match open.map(|open| open.messages) {
        Some(blocks) if blocks.len() > 1 => {
            let end = blocks.last().map_or(0, Message::end);
            return Err(DecodeError {
                offset: end,
                field: "last block",
                reason: Malformed::Truncated,
            });
        }
        blocks => messages.extend(blocks.into_iter().flatten()),
    }
    unframed.messages = messages;
    Ok(())
}
