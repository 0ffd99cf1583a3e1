//! From octets to messages: frames taken apart, segments and blocks joined.

use std::collections::BTreeMap;

use dlms::codec::{Reader, Wire as _};
use dlms::hdlc::{self, Address, Control, Frame, Parameters, llc};
use dlms::mbus::{LongFrame, Segment};
use dlms::wrapper::{HEADER_LENGTH, Wrapper};
use dlms::xdlms::{GeneralBlockTransfer, Tag};
use serde_json::json;

use super::node::Node;
use super::piece::Piece;
use crate::failure::Failure;

/// How the octets were framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Hdlc,
    Wrapper,
    Mbus,
    /// An APDU behind an LLC header, as HDLC carries it, without frames.
    Llc,
    /// An APDU, or else a value.
    Bare,
    Apdu,
    Axdr,
}

/// Frames that one input may have.
const FRAMES_MAX: usize = 10_000;

/// What begins blocks of general block transfer.
const BLOCK: u8 = 0xE0;

/// Finds out how octets are framed. No form begins like another, but for
/// APDUs and values.
pub(crate) fn detect(input: &[u8]) -> Framing {
    match input {
        [hdlc::FLAG, ..] => Framing::Hdlc,
        [dlms::mbus::START, _, _, dlms::mbus::START, ..] => Framing::Mbus,
        // Of values, null alone begins so, and that is one octet.
        [0, _, ..] => Framing::Wrapper,
        [0xE6, 0xE6 | 0xE7, 0, _, ..] => Framing::Llc,
        _ => Framing::Bare,
    }
}

/// The frames of an input, and the messages in them.
#[derive(Debug, Default)]
pub(crate) struct Unframed {
    pub(crate) frames: Vec<Node>,
    pub(crate) messages: Vec<Piece>,
}

/// Takes the frames off.
pub(crate) fn unframe(input: &[u8], framing: Framing) -> Result<Unframed, Failure> {
    let mut unframed = match framing {
        Framing::Hdlc => hdlc(input)?,
        Framing::Wrapper => wrapper(input)?,
        Framing::Mbus => mbus(input)?,
        Framing::Llc | Framing::Apdu => {
            let head = input.len() - llc::strip(input).map_or(input.len(), <[u8]>::len);
            let mut frames = Vec::new();
            if head > 0 {
                frames.push(llc_node(input, 0));
            }
            Unframed {
                frames,
                messages: vec![Piece::new(input.get(head..).unwrap_or_default(), head)],
            }
        }
        Framing::Bare | Framing::Axdr => Unframed {
            frames: Vec::new(),
            messages: vec![Piece::new(input, 0)],
        },
    };
    if framing != Framing::Axdr {
        join_blocks(&mut unframed)?;
    }
    Ok(unframed)
}

fn too_many(offset: usize) -> Failure {
    Failure::at(offset, format!("more than {FRAMES_MAX} frames"))
}

fn llc_node(octets: &[u8], at: usize) -> Node {
    let text = match octets {
        [0xE6, 0xE6, ..] => "e6 e6 00, from a client",
        _ => "e6 e7 00, from a server",
    };
    Node::new("LLC header", at).text(text)
}

fn hdlc(input: &[u8]) -> Result<Unframed, Failure> {
    let mut unframed = Unframed::default();
    // By who speaks to whom: what has come of a segmented message.
    let mut open: BTreeMap<(Address, Address), Piece> = BTreeMap::new();
    let mut at = 0;
    while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
        match rest {
            [hdlc::FLAG, hdlc::FLAG, ..] => {
                at += 1;
                continue;
            }
            [hdlc::FLAG] if at > 0 => break,
            _ => {}
        }
        let mut reader = Reader::at(rest, at);
        let frame = Frame::decode(&mut reader)?;
        if unframed.frames.len() >= FRAMES_MAX {
            return Err(too_many(at));
        }
        let information = frame.information;
        // Flag, check sequences.
        let start = reader.offset() - 3 - information.len();
        let mut node = frame_node(&frame, at);
        match frame.control {
            Control::Information { .. } | Control::UnnumberedInformation { .. } => {
                let key = (frame.source, frame.destination);
                let is_first = !open.contains_key(&key);
                let piece = open.entry(key).or_default();
                let head = match llc::strip(information) {
                    Some(_) if is_first => {
                        node = node.with(llc_node(information, start));
                        3
                    }
                    _ => 0,
                };
                let body = information.get(head..).unwrap_or_default();
                piece.append(&Piece::new(body, start + head));
                if !frame.segmented
                    && let Some(piece) = open.remove(&key)
                    && piece.len() > 0
                {
                    unframed.messages.push(piece);
                }
            }
            Control::SetNormalResponseMode { .. } | Control::UnnumberedAcknowledge { .. }
                if !information.is_empty() =>
            {
                let mut inside = Reader::at(information, start);
                let parameters = Parameters::decode(&mut inside)?;
                node = node.with_all(parameter_nodes(&parameters, start));
            }
            _ => {}
        }
        unframed.frames.push(node);
        let next = reader.offset();
        // A closing flag may open the next frame.
        let shared = input.get(next).is_some_and(|octet| *octet != hdlc::FLAG);
        at = if shared { next - 1 } else { next };
    }
    if unframed.frames.is_empty() {
        return Err(Failure::at(0, "flags without a frame between them"));
    }
    if !open.is_empty() {
        return Err(Failure::at(
            input.len(),
            "the last segment of the message is missing",
        ));
    }
    Ok(unframed)
}

fn frame_node(frame: &Frame<'_>, at: usize) -> Node {
    let control = control_name(frame.control);
    let segmented = if frame.segmented {
        ", more follows"
    } else {
        ""
    };
    let count = frame.information.len();
    Node {
        value: json!({
            "source": frame.source.to_string(),
            "destination": frame.destination.to_string(),
            "control": control,
            "segmented": frame.segmented,
            "information": count,
        }),
        ..Node::new("HDLC frame", at)
    }
    .text(format!(
        "{control}, {} to {}, {count} octets{segmented}",
        frame.source, frame.destination
    ))
}

fn control_name(control: Control) -> String {
    let numbered = |name: &str, receive: hdlc::Sequence| format!("{name} {}", receive.value());
    match control {
        Control::Information { receive, send, .. } => {
            format!("I {}/{}", send.value(), receive.value())
        }
        Control::ReceiveReady { receive, .. } => numbered("RR", receive),
        Control::ReceiveNotReady { receive, .. } => numbered("RNR", receive),
        Control::SetNormalResponseMode { .. } => "SNRM".to_owned(),
        Control::Disconnect { .. } => "DISC".to_owned(),
        Control::UnnumberedAcknowledge { .. } => "UA".to_owned(),
        Control::DisconnectedMode { .. } => "DM".to_owned(),
        Control::FrameReject { .. } => "FRMR".to_owned(),
        Control::UnnumberedInformation { .. } => "UI".to_owned(),
        Control::Unknown(octet) => format!("control {octet:02x}"),
    }
}

fn parameter_nodes(parameters: &Parameters, at: usize) -> Vec<Node> {
    [
        (
            "maximum information field length, transmit",
            u64::from(parameters.information_length_transmit),
        ),
        (
            "maximum information field length, receive",
            u64::from(parameters.information_length_receive),
        ),
        (
            "window size, transmit",
            u64::from(parameters.window_transmit),
        ),
        ("window size, receive", u64::from(parameters.window_receive)),
    ]
    .into_iter()
    .enumerate()
    .map(|(index, (name, value))| Node::new(name, (index == 0).then_some(at)).valued(value))
    .collect()
}

fn wrapper(input: &[u8]) -> Result<Unframed, Failure> {
    let mut unframed = Unframed::default();
    let mut at = 0;
    while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
        let mut reader = Reader::at(rest, at);
        let wrapped = Wrapper::decode(&mut reader)?;
        if unframed.frames.len() >= FRAMES_MAX {
            return Err(too_many(at));
        }
        let count = wrapped.apdu.len();
        unframed.frames.push(
            Node {
                value: json!({
                    "source": wrapped.source,
                    "destination": wrapped.destination,
                    "length": count,
                }),
                ..Node::new("wrapper", at)
            }
            .text(format!(
                "{} to {}, {count} octets",
                wrapped.source, wrapped.destination
            )),
        );
        unframed
            .messages
            .push(Piece::new(wrapped.apdu, at + HEADER_LENGTH));
        at = reader.offset();
    }
    Ok(unframed)
}

fn mbus(input: &[u8]) -> Result<Unframed, Failure> {
    let mut unframed = Unframed::default();
    let mut open: Option<(Piece, u8)> = None;
    let mut at = 0;
    while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
        let mut reader = Reader::at(rest, at);
        let frame = LongFrame::decode(&mut reader)?;
        if unframed.frames.len() >= FRAMES_MAX {
            return Err(too_many(at));
        }
        // Start, two lengths, start, control, address, control information.
        let data_at = at + 7;
        let segment = Segment::of(&frame, data_at)?;
        let expected = open.as_ref().map_or(0, |(_, next)| *next);
        if segment.sequence != expected {
            return Err(Failure::at(
                data_at - 1,
                format!(
                    "segment {} where segment {expected} was due",
                    segment.sequence
                ),
            ));
        }
        let (mut piece, _) = open.take().unwrap_or_default();
        piece.append(&Piece::new(segment.octets, data_at + 2));
        let more = if segment.last { "" } else { ", more follows" };
        unframed.frames.push(
            Node {
                value: json!({
                    "address": frame.address,
                    "source": segment.source,
                    "destination": segment.destination,
                    "segment": segment.sequence,
                    "last": segment.last,
                    "information": segment.octets.len(),
                }),
                ..Node::new("M-Bus frame", at)
            }
            .text(format!(
                "segment {}, {} to {}, {} octets{more}",
                segment.sequence,
                segment.source,
                segment.destination,
                segment.octets.len()
            )),
        );
        if segment.last {
            unframed.messages.push(piece);
        } else {
            open = Some((piece, segment.sequence.wrapping_add(1) & 0x0F));
        }
        at = reader.offset();
    }
    if open.is_some() {
        return Err(Failure::at(
            input.len(),
            "the last segment of the message is missing",
        ));
    }
    Ok(unframed)
}

/// Joins blocks of general block transfer that stand in line: what meters
/// push so is not confirmed, and each block comes once.
fn join_blocks(unframed: &mut Unframed) -> Result<(), Failure> {
    let mut joined: Vec<Piece> = Vec::new();
    let mut open: Option<Open> = None;
    for message in std::mem::take(&mut unframed.messages) {
        if message.octets().first() != Some(&BLOCK) {
            joined.extend(open.take().map(|open| open.blocks).into_iter().flatten());
            joined.push(message);
            continue;
        }
        let mut reader = Reader::new(message.octets());
        let block = GeneralBlockTransfer::decode(&mut reader).map_err(|e| message.fault(e))?;
        reader
            .finish(Tag::GeneralBlockTransfer.name())
            .map_err(|e| message.fault(e))?;
        let due = open.as_ref().map_or(1, |open| open.next);
        if block.block_number != due {
            if open.is_some() {
                return Err(Failure::at(
                    message.at(2),
                    format!("block {} where block {due} was due", block.block_number),
                ));
            }
            // A block out of the middle is shown as it is.
            joined.push(message);
            continue;
        }
        let mut transfer = open.take().unwrap_or_default();
        let start = message.index_of(block.block_data).unwrap_or_default();
        let part = message.part(start..start + block.block_data.len());
        transfer.nodes.push(block_node(&block, message.at(0)));
        transfer.whole.append(&part);
        transfer.next = block.block_number.wrapping_add(1);
        let last = block.block_control.is_last_block();
        transfer.blocks.push(message);
        if last {
            unframed.frames.append(&mut transfer.nodes);
            joined.push(transfer.whole);
        } else {
            open = Some(transfer);
        }
    }
    if let Some(open) = open {
        if open.blocks.len() > 1 {
            let end = open.blocks.last().map_or(0, |block| block.at(block.len()));
            return Err(Failure::at(end, "the last block of the message is missing"));
        }
        joined.extend(open.blocks);
    }
    unframed.messages = joined;
    Ok(())
}

#[derive(Default)]
struct Open {
    nodes: Vec<Node>,
    blocks: Vec<Piece>,
    whole: Piece,
    next: u16,
}

fn block_node(block: &GeneralBlockTransfer<'_>, at: usize) -> Node {
    let last = block.block_control.is_last_block();
    Node {
        value: json!({
            "block_number": block.block_number,
            "block_number_ack": block.block_number_ack,
            "last_block": last,
            "streaming": block.block_control.is_streaming(),
            "window": block.block_control.window(),
            "length": block.block_data.len(),
        }),
        ..Node::new(Tag::GeneralBlockTransfer.name(), at)
    }
    .text(format!(
        "block {}{}, {} octets",
        block.block_number,
        if last { ", the last" } else { "" },
        block.block_data.len()
    ))
}
