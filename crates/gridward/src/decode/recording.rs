//! Recordings: what they are of, and whole messages in them.

use dlms::codec::{Reader, Wire as _};
use dlms::framing::Framing;
use dlms::hdlc::{self, Frame};
use dlms::mbus::LongFrame;

use super::frames::{Unframed, unframe};
use crate::cli::As;

/// Frames that are taken of one recording.
const FRAMES_MAX: usize = 10_000;

/// Octets of frames in line that a salvaged message may have.
const RUN_MAX: usize = 16_384;

/// What begins blocks of general block transfer.
const BLOCK: u8 = 0xE0;

/// Finds messages that are no DLMS by how they begin: none of those octets
/// begins a frame, an APDU or a value.
pub(crate) fn detect_text(input: &[u8]) -> Option<As> {
    match input.trim_ascii_start() {
        [b'/', ..] => Some(As::P1),
        [b'<', ..] | [0xEF, 0xBB, 0xBF, b'<', ..] => Some(As::Xml),
        [0x1B, 0x1B, 0x1B, 0x1B, 0x01, 0x01, 0x01, 0x01, ..] => Some(As::Sml),
        _ => None,
    }
}

/// Takes what is right in a recording, frame by frame, and tells how many
/// octets are in none.
pub(crate) fn salvage(input: &[u8], framing: Framing) -> Option<(Unframed, usize)> {
    let mut whole = Unframed::default();
    let mut passed = 0;
    let mut open: Option<(Vec<u8>, usize)> = None;
    let mut at = 0;
    let begins = |at: usize| {
        matches!(
            (framing, input.get(at..)),
            (Framing::Hdlc, Some([hdlc::FLAG, ..]))
                | (Framing::MBus, Some([dlms::mbus::START, ..]))
        )
    };
    while at < input.len() && whole.frames.len() < FRAMES_MAX {
        let rest = input.get(at..).unwrap_or_default();
        let length = begins(at).then(|| frame_length(rest, framing)).flatten();
        let Some(length) = length else {
            // A flag alone is none of what is lost.
            passed += usize::from(rest.first() != Some(&hdlc::FLAG));
            at += 1;
            continue;
        };
        // Frames of one message stand in line; those of two do not share any.
        let (octets, start) = open.take().unwrap_or_else(|| (Vec::new(), at));
        let end = at + length;
        let run = input.get(start..end).unwrap_or_default();
        let joined = if run.len() == octets.len() + length {
            run
        } else {
            input.get(at..end).unwrap_or_default()
        };
        let from = end - joined.len();
        match unframe_at(joined, from, framing) {
            Some(mut found) if !found.messages.is_empty() => {
                whole.frames.append(&mut found.frames);
                whole.messages.append(&mut found.messages);
            }
            _ if joined.len() > RUN_MAX => {}
            _ => open = Some((joined.to_vec(), from)),
        }
        // A closing flag may open the next frame.
        let shared =
            framing == Framing::Hdlc && input.get(end).is_some_and(|octet| *octet != hdlc::FLAG);
        at = if shared { end - 1 } else { end };
        if shared {
            open = open.map(|(mut octets, from)| {
                octets.pop();
                (octets, from)
            });
        }
    }
    (!whole.messages.is_empty()).then_some((whole, passed))
}

fn frame_length(octets: &[u8], framing: Framing) -> Option<usize> {
    let mut reader = Reader::new(octets);
    match framing {
        Framing::Hdlc => Frame::decode(&mut reader).map(|_| ()),
        _ => LongFrame::decode(&mut reader).map(|_| ()),
    }
    .ok()?;
    Some(reader.offset())
}

/// Takes frames off that stand at `from` of the input.
fn unframe_at(octets: &[u8], from: usize, framing: Framing) -> Option<Unframed> {
    let mut unframed = unframe(octets, framing).ok()?;
    unframed.messages = unframed
        .messages
        .iter()
        .map(|message| message.moved(from))
        .collect();
    for frame in &mut unframed.frames {
        frame.at = frame.at.map(|at| at + from);
    }
    // Blocks of a transfer are no message until the last.
    let blocks = unframed
        .messages
        .iter()
        .any(|message| message.octets().first() == Some(&BLOCK));
    (!blocks).then_some(unframed)
}
