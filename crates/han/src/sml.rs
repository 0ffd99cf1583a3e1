//! Smart Message Language (BSI TR-03109-1, annex IV; SML 1.04): what optical
//! ports of German and Swiss meters send, one file every one to four seconds.
//!
//! ```text
//! 1B1B1B1B 01010101 messages fill 1B1B1B1B 1A count-of-fill checksum(2)
//! ```
//!
//! Four octets 1B within the messages are sent twice.

mod deframer;
mod tree;

use dlms::codec::{DecodeError, Malformed, Reader};
use dlms::cosem::{Obis, ScalerUnit, Unit};
use dlms::hdlc::Fcs;

use crate::measure::{Basis, MeterTime, Report, SECOND_MS, Text, Trust, Value, Zone};
use crate::push::printable;

pub use deframer::{Counters, Deframer};
pub use tree::Node;

/// Octets that a file may have: several times the longest known.
pub const FILE_LENGTH_MAX: usize = 16_384;

/// Messages that a file may have; meters send three.
const MESSAGES_MAX: usize = 16;

/// What begins every mark of the transport.
const ESCAPE: [u8; 4] = [0x1B; 4];

/// What begins a file, behind the escape.
const VERSION_1: [u8; 4] = [0x01; 4];

/// What ends a file, behind the escape.
const END: u8 = 0x1A;

/// `SML_GetList.Res`
const GET_LIST_RESPONSE: u64 = 0x0701;

/// A file: what one transmission carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The messages, without the octets between them.
    pub messages: Vec<Message>,
    /// Which checksum the transport has.
    pub checksum: Checksum,
    /// How many octets it has, marks and checksum included.
    pub length: usize,
}

/// The checksum of the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// CRC16 of HDLC, as the specification has it.
    X25,
    /// CRC16 as Kermit has it: the Holley DTZ541 (known from smllib 1.7).
    Kermit,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it begins in the file as it was sent.
    pub offset: usize,
    /// Its tag: 0101 opens, 0201 closes, 0701 is a list of values.
    pub tag: u64,
    /// What it holds.
    pub body: Node,
}

impl File {
    /// Takes the file that `octets` begin with.
    ///
    /// # Errors
    /// The offset and the reason: no start, no end, a checksum that does not
    /// match, messages that are none.
    pub fn decode(octets: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(octets);
        let start = reader.take(ESCAPE.len() + VERSION_1.len(), "SML start")?;
        if start != [ESCAPE, VERSION_1].as_flattened() {
            return Err(fault(0, "SML start", Malformed::Value));
        }
        let mut plain = Plain::default();
        loop {
            let at = reader.offset();
            let four: [u8; 4] = reader.array("SML file")?;
            if four != ESCAPE {
                plain.push(at, &four)?;
                continue;
            }
            let mark: [u8; 4] = reader.array("SML mark")?;
            match mark {
                ESCAPE => plain.push(at, &four)?,
                [END, fill, high, low] => {
                    let told = u16::from_be_bytes([high, low]);
                    let end = reader.offset();
                    let checksum = verify(octets.get(..end - 2).unwrap_or_default(), told)
                        .ok_or_else(|| fault(end - 2, "SML checksum", Malformed::Checksum))?;
                    let fill = usize::from(fill);
                    if fill > 3 || fill > plain.octets.len() {
                        return Err(fault(end - 3, "SML fill", Malformed::Value));
                    }
                    plain.octets.truncate(plain.octets.len() - fill);
                    return Ok(Self {
                        messages: plain.messages()?,
                        checksum,
                        length: end,
                    });
                }
                _ => return Err(fault(at + 4, "SML mark", Malformed::Value)),
            }
        }
    }

    /// Tells the values in the form that all sources share.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = Report::default();
        for message in &self.messages {
            if message.tag == GET_LIST_RESPONSE
                && let Node::List(fields) = &message.body
            {
                list(fields, &mut report);
            }
        }
        report
    }
}

const fn fault(offset: usize, field: &'static str, reason: Malformed) -> DecodeError {
    DecodeError {
        offset,
        field,
        reason,
    }
}

fn verify(summed: &[u8], told: u16) -> Option<Checksum> {
    // Both are sent with the low octet first.
    if Fcs::of(summed).swap_bytes() == told || cfg!(fuzzing) {
        return Some(Checksum::X25);
    }
    (kermit(summed) == told).then_some(Checksum::Kermit)
}

/// CRC16 of Kermit: as that of HDLC, from 0 and not inverted.
fn kermit(octets: &[u8]) -> u16 {
    let mut crc = 0_u16;
    for octet in octets {
        crc ^= u16::from(*octet);
        for _ in 0..8 {
            crc = if crc & 1 == 0 {
                crc >> 1
            } else {
                (crc >> 1) ^ 0x8408
            };
        }
    }
    crc
}

/// The messages of a file without the transport's marks.
#[derive(Debug, Default)]
struct Plain {
    octets: Vec<u8>,
    /// From which octet on how many were left out.
    skipped: Vec<(usize, usize)>,
}

impl Plain {
    fn push(&mut self, at: usize, four: &[u8; 4]) -> Result<(), DecodeError> {
        if self.octets.len() >= FILE_LENGTH_MAX {
            return Err(fault(at, "SML file", Malformed::Limit));
        }
        let known = self.skipped.last().map_or(0, |(_, count)| *count);
        let count = at - self.octets.len();
        if count != known {
            self.skipped.push((self.octets.len(), count));
        }
        self.octets.extend_from_slice(four);
        Ok(())
    }

    /// Where an octet stood in what was sent.
    fn at(&self, index: usize) -> usize {
        let skipped = self
            .skipped
            .iter()
            .rev()
            .find(|(from, _)| *from <= index)
            .map_or(0, |(_, count)| *count);
        index + skipped
    }

    fn messages(&self) -> Result<Vec<Message>, DecodeError> {
        let told = |error: DecodeError| DecodeError {
            offset: self.at(error.offset),
            ..error
        };
        let mut reader = Reader::new(&self.octets);
        let mut messages = Vec::new();
        let mut budget = tree::NODES_MAX;
        while !reader.is_empty() {
            // Octets that fill up, or the end of a message told twice.
            if reader.peek() == Some(0) {
                reader.u8("SML fill").map_err(told)?;
                continue;
            }
            if messages.len() >= MESSAGES_MAX {
                return Err(told(reader.error("SML message", Malformed::Limit)));
            }
            let offset = self.at(reader.offset());
            let node = Node::decode(&mut reader, &mut budget).map_err(told)?;
            messages.push(message(node, offset)?);
        }
        Ok(messages)
    }
}

/// `{ transaction, group, abort, { tag, body }, checksum, end }`
fn message(node: Node, offset: usize) -> Result<Message, DecodeError> {
    let refused = || fault(offset, "SML message", Malformed::Value);
    let Node::List(fields) = node else {
        return Err(refused());
    };
    let body = fields.into_iter().nth(3).ok_or_else(refused)?;
    let Node::List(choice) = body else {
        return Err(refused());
    };
    let mut choice = choice.into_iter();
    match (choice.next(), choice.next(), choice.next()) {
        (Some(Node::Unsigned(tag)), Some(body), None) => Ok(Message { offset, tag, body }),
        _ => Err(refused()),
    }
}

/// `{ client, server, list, sensor time, values, signature, gateway time }`
fn list(fields: &[Node], report: &mut Report) {
    let [_, server, _, sensor_time, values, ..] = fields else {
        return;
    };
    if let Node::Octets(octets) = server {
        report.meter = Some(octets.iter().map(|octet| format!("{octet:02x}")).collect());
    }
    report.time = time(sensor_time);
    let Node::List(entries) = values else { return };
    for entry in entries {
        if let Node::List(fields) = entry {
            value(fields, report);
        }
    }
}

/// `{ name, status, time, unit, scaler, value, signature }`
fn value(fields: &[Node], report: &mut Report) {
    let [Node::Octets(name), _, at, unit, scaler, value, ..] = fields else {
        return;
    };
    let Ok(obis) = Obis::try_from(name.as_slice()) else {
        return;
    };
    let number = match value {
        Node::Integer(number) => i128::from(*number),
        Node::Unsigned(number) => i128::from(*number),
        Node::Octets(octets) => {
            let text = printable(octets);
            if !text.is_empty() {
                report.texts.push(Text { obis, text });
            }
            return;
        }
        Node::Absent | Node::Boolean(_) | Node::List(_) | Node::End => return,
    };
    // A number without a unit is a code of some kind, no quantity.
    let unit = match unit {
        Node::Unsigned(unit) => u8::try_from(*unit).ok(),
        _ => None,
    };
    let scaler = match scaler {
        Node::Integer(scaler) => i8::try_from(*scaler).ok(),
        Node::Absent => Some(0),
        _ => None,
    };
    if let (Some(unit), Some(scaler)) = (unit, scaler) {
        report.values.push(Value {
            obis,
            quantity: ScalerUnit::new(scaler, Unit(unit)).scaled(number),
            basis: Basis::Told,
            time: time(at),
        });
    }
}

/// `SML_Time`: a choice of seconds since the meter was made (which is no time
/// of day), UTC, or UTC with the offsets of the place.
fn time(node: &Node) -> Option<MeterTime> {
    let Node::List(choice) = node else {
        return None;
    };
    match choice.as_slice() {
        [Node::Unsigned(2), Node::Unsigned(seconds)] => {
            Some(MeterTime::utc(i64::try_from(*seconds).ok()?, SECOND_MS))
        }
        [Node::Unsigned(3), Node::List(local)] => match local.as_slice() {
            [
                Node::Unsigned(seconds),
                Node::Integer(offset),
                Node::Integer(season),
            ] => {
                let minutes = i16::try_from(offset.checked_add(*season)?).ok()?;
                let seconds = i64::try_from(*seconds).ok()?;
                Some(MeterTime {
                    shown: seconds.checked_add(i64::from(minutes) * 60)?,
                    zone: Zone::Offset(minutes),
                    error_ms: SECOND_MS,
                    trust: Trust::Good,
                })
            }
            _ => None,
        },
        _ => None,
    }
}
