//! Frames as `decode` shows them; what they are and how they are joined is
//! [`dlms::framing`]'s.

use std::collections::BTreeSet;

use dlms::codec::{DecodeError, Malformed, Reader, Wire as _};
use dlms::framing::{self, AnyFrame, Block, Located, Message};
use dlms::hdlc::{self, Control, Frame, Parameters, llc};
use dlms::mbus::{LongFrame, Segment};
use dlms::wrapper::Wrapper;
use dlms::xdlms::Tag;
use serde_json::json;

use super::node::Node;
use super::piece::Piece;
use crate::failure::Failure;

/// The frames of an input, and the messages in them.
#[derive(Debug, Default)]
pub(crate) struct Unframed {
    pub(crate) frames: Vec<Node>,
    pub(crate) messages: Vec<Piece>,
}

/// Takes the frames off.
pub(crate) fn unframe(input: &[u8], framing: framing::Framing) -> Result<Unframed, Failure> {
    let unframed = framing::unframe(input, framing).map_err(|error| refused(&error))?;
    let starts = unframed.messages.iter().flat_map(|message| &message.parts);
    let starts: BTreeSet<usize> = starts.map(|part| part.input).collect();
    let mut frames = Vec::new();
    for located in &unframed.frames {
        frames.extend(frame_nodes(located, &starts)?);
    }
    frames.extend(unframed.blocks.iter().map(block_node));
    let messages = unframed.messages.iter().map(piece);
    Ok(Unframed {
        frames,
        messages: messages.filter(|message| message.len() > 0).collect(),
    })
}

/// Says in words what has no field of its own.
fn refused(error: &DecodeError) -> Failure {
    let reason = match (error.field, error.reason) {
        ("last segment", Malformed::Truncated) => "the last segment of the message is missing",
        ("last block", Malformed::Truncated) => "the last block of the message is missing",
        ("block number" | "M-Bus segment number", Malformed::Value) => {
            "a part of the message is missing: this one is not the next"
        }
        _ => return Failure::from(*error),
    };
    Failure::at(error.offset, reason)
}

fn piece(message: &Message) -> Piece {
    let mut piece = Piece::default();
    for part in &message.parts {
        let octets = message.octets.get(part.message..part.message + part.length);
        piece.append(&Piece::new(octets.unwrap_or_default(), part.input));
    }
    piece
}

/// A frame's node, where it has one; `starts` are the places where parts of
/// messages begin.
fn frame_nodes(located: &Located<'_>, starts: &BTreeSet<usize>) -> Result<Option<Node>, Failure> {
    let at = located.offset;
    Ok(Some(match located.frame {
        AnyFrame::Hdlc(frame) => {
            let mut node = frame_node(&frame, at);
            // Behind the information stand the FCS and the flag.
            let start = at + located.length - 3 - frame.information.len();
            match frame.control {
                Control::SetNormalResponseMode { .. } | Control::UnnumberedAcknowledge { .. }
                    if !frame.information.is_empty() =>
                {
                    let mut inside = Reader::at(frame.information, start);
                    let parameters = Parameters::decode(&mut inside)?;
                    node = node.with_all(parameter_nodes(&parameters, start));
                }
                // The header was taken off where the message begins behind it.
                Control::Information { .. } | Control::UnnumberedInformation { .. }
                    if llc::strip(frame.information).is_some() && !starts.contains(&start) =>
                {
                    node = node.with(llc_node(frame.information, start));
                }
                _ => {}
            }
            node
        }
        AnyFrame::Wrapper(wrapper) => wrapper_node(&wrapper, at),
        AnyFrame::MBus(frame) => mbus_node(&frame, at)?,
        AnyFrame::Bare(octets) => {
            return Ok(llc::strip(octets)
                .filter(|_| !starts.contains(&at))
                .map(|_| llc_node(octets, at)));
        }
    }))
}

fn llc_node(octets: &[u8], at: usize) -> Node {
    let text = match octets {
        [0xE6, 0xE6, ..] => "e6 e6 00, from a client",
        _ => "e6 e7 00, from a server",
    };
    Node::new("LLC header", at).text(text)
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

fn wrapper_node(wrapper: &Wrapper<'_>, at: usize) -> Node {
    let count = wrapper.apdu.len();
    Node {
        value: json!({
            "source": wrapper.source,
            "destination": wrapper.destination,
            "length": count,
        }),
        ..Node::new("wrapper", at)
    }
    .text(format!(
        "{} to {}, {count} octets",
        wrapper.source, wrapper.destination
    ))
}

fn mbus_node(frame: &LongFrame<'_>, at: usize) -> Result<Node, Failure> {
    // Start, two lengths, start, control, address, control information.
    let segment = Segment::of(frame, at + 7)?;
    let more = if segment.last { "" } else { ", more follows" };
    Ok(Node {
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
    )))
}

fn block_node(block: &Block) -> Node {
    let last = block.block_control.is_last_block();
    Node {
        value: json!({
            "block_number": block.block_number,
            "block_number_ack": block.block_number_ack,
            "last_block": last,
            "streaming": block.block_control.is_streaming(),
            "window": block.block_control.window(),
            "length": block.length,
        }),
        ..Node::new(Tag::GeneralBlockTransfer.name(), block.offset)
    }
    .text(format!(
        "block {}{}, {} octets",
        block.block_number,
        if last { ", the last" } else { "" },
        block.length
    ))
}
