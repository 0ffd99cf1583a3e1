//! What the two concentrators of a pair say to each other.
//!
//! ```text
//! hello   1  version u8, side u8, mode u8, segments u16, epoch u64, adopted u32, newest u32,
//!            own name, expected name (octets with a length)
//! beat    2  number u64, echo u64, epoch u64, u8 (0 stays, 1 leaves, 2 yields by order), then
//!            the held segments, u16 each
//! record  3  number u64, log u8 (0 SAP table, 1 collector), the record
//! stored  4  number u64: all up to it is durable
//! all     5  number u64: what the sender had when it connected ends here
//! here    6  segment u16, initiator 8 octets, address u16, title 8 octets, hops u8, name
//!            (octets with a length; none: not known yet): a meter is registered
//! gone    7  segment u16, address u16: it is no longer
//! ```
//! Numbers are big-endian. The connection below authenticates both and keeps secret what passes.

use dlms::codec::{DecodeError, Malformed, Reader, put_octets};
use link::Registration;
use model::LogicalDeviceName;

use super::lease::{Beat, Mode, Side};
use crate::collector::state;
use crate::direct::SegmentId;
use crate::sap;

/// The version of this form; another is refused.
pub const VERSION: u8 = 3;

/// A record of either log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Of the SAP table.
    Sap(sap::Record),
    /// Of what the collector keeps.
    Kept(state::Record),
}

/// What one says when it is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Which of the two it is.
    pub side: Side,
    /// How it shares the work.
    pub mode: Mode,
    /// The segments that it has in its configuration.
    pub segments: u16,
    /// Its epoch.
    pub epoch: u64,
    /// Up to which of the other's notices it tells them itself.
    pub adopted: u32,
    /// Its own newest notice.
    pub newest: u32,
    /// Its name.
    pub name: LogicalDeviceName,
    /// Whom it expects.
    pub peer: LogicalDeviceName,
}

/// A meter that is registered on a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The segment.
    pub segment: SegmentId,
    /// How it is registered.
    pub how: Registration,
    /// Its name, once that is known.
    pub name: Option<LogicalDeviceName>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// Who is there.
    Hello(Hello),
    /// What it has.
    Beat(Beat),
    /// Something it has learnt.
    Record(u64, Body),
    /// Up to where that is durable.
    Stored(u64),
    /// The end of what it had.
    All(u64),
    /// A meter is registered with it.
    Here(Registered),
    /// The meter of a segment with this address is no longer.
    Gone(SegmentId, u16),
}

impl Word {
    /// Writes the message.
    #[must_use]
    pub fn to_octets(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Hello(hello) => {
                out.extend_from_slice(&[1, VERSION]);
                out.push(u8::from(hello.side == Side::Second));
                out.push(u8::from(hello.mode == Mode::Active));
                out.extend_from_slice(&hello.segments.to_be_bytes());
                out.extend_from_slice(&hello.epoch.to_be_bytes());
                out.extend_from_slice(&hello.adopted.to_be_bytes());
                out.extend_from_slice(&hello.newest.to_be_bytes());
                put_octets(&mut out, hello.name.as_str().as_bytes());
                put_octets(&mut out, hello.peer.as_str().as_bytes());
            }
            Self::Beat(beat) => {
                out.push(2);
                out.extend_from_slice(&beat.number.to_be_bytes());
                out.extend_from_slice(&beat.echo.to_be_bytes());
                out.extend_from_slice(&beat.epoch.to_be_bytes());
                out.push(match (beat.leaving, beat.yields) {
                    (true, _) => 1,
                    (false, yields) => u8::from(yields) * 2,
                });
                for segment in &beat.held {
                    out.extend_from_slice(&segment.0.to_be_bytes());
                }
            }
            Self::Record(number, body) => {
                out.push(3);
                out.extend_from_slice(&number.to_be_bytes());
                match body {
                    Body::Sap(record) => {
                        out.push(0);
                        put_sap(record, &mut out);
                    }
                    Body::Kept(record) => {
                        out.push(1);
                        record.encode(&mut out);
                    }
                }
            }
            Self::Stored(number) | Self::All(number) => {
                out.push(if matches!(self, Self::Stored(_)) {
                    4
                } else {
                    5
                });
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::Here(meter) => {
                out.push(6);
                out.extend_from_slice(&meter.segment.0.to_be_bytes());
                out.extend_from_slice(&meter.how.initiator);
                out.extend_from_slice(&meter.how.address.to_be_bytes());
                out.extend_from_slice(&meter.how.title);
                out.push(meter.how.hops);
                let name = meter.name.as_ref().map_or("", LogicalDeviceName::as_str);
                put_octets(&mut out, name.as_bytes());
            }
            Self::Gone(segment, address) => {
                out.push(7);
                out.extend_from_slice(&segment.0.to_be_bytes());
                out.extend_from_slice(&address.to_be_bytes());
            }
        }
        out
    }

    /// Reads a message.
    ///
    /// # Errors
    /// Where the octets are none.
    pub fn from_octets(octets: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(octets);
        let reader = &mut reader;
        let word = match reader.u8("kind")? {
            1 => {
                if reader.u8("version")? != VERSION {
                    return Err(reader.error("version", Malformed::Value));
                }
                let second = flag(reader, "side")?;
                let active = flag(reader, "mode")?;
                Self::Hello(Hello {
                    side: if second { Side::Second } else { Side::First },
                    mode: if active { Mode::Active } else { Mode::Standby },
                    segments: reader.u16("segments")?,
                    epoch: reader.u64("epoch")?,
                    adopted: reader.u32("adopted")?,
                    newest: reader.u32("newest")?,
                    name: name(reader)?,
                    peer: name(reader)?,
                })
            }
            2 => {
                let (number, echo) = (reader.u64("number")?, reader.u64("echo")?);
                let epoch = reader.u64("epoch")?;
                let (leaving, yields) = match reader.u8("stays")? {
                    0 => (false, false),
                    1 => (true, false),
                    2 => (false, true),
                    _ => return Err(reader.error("stays", Malformed::Value)),
                };
                let mut beat = Beat {
                    number,
                    echo,
                    epoch,
                    leaving,
                    yields,
                    ..Beat::default()
                };
                while !reader.is_empty() {
                    beat.held.insert(SegmentId(reader.u16("segment")?));
                }
                Self::Beat(beat)
            }
            3 => {
                let number = reader.u64("number")?;
                let body = match reader.u8("log")? {
                    0 => Body::Sap(take_sap(reader)?),
                    1 => Body::Kept(state::Record::decode(reader.rest())?),
                    _ => return Err(reader.error("log", Malformed::Value)),
                };
                Self::Record(number, body)
            }
            4 => Self::Stored(reader.u64("number")?),
            5 => Self::All(reader.u64("number")?),
            6 => Self::Here(Registered {
                segment: SegmentId(reader.u16("segment")?),
                how: Registration {
                    initiator: reader.array("initiator")?,
                    address: reader.u16("address")?,
                    title: reader.array("title")?,
                    hops: reader.u8("hops")?,
                },
                name: named(reader)?,
            }),
            7 => Self::Gone(SegmentId(reader.u16("segment")?), reader.u16("address")?),
            _ => return Err(reader.error("kind", Malformed::Value)),
        };
        reader.finish("word")?;
        Ok(word)
    }
}

fn flag(reader: &mut Reader<'_>, field: &'static str) -> Result<bool, DecodeError> {
    match reader.u8(field)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(reader.error(field, Malformed::Value)),
    }
}

fn name(reader: &mut Reader<'_>) -> Result<LogicalDeviceName, DecodeError> {
    named(reader)?.ok_or_else(|| reader.error("name", Malformed::Value))
}

fn named(reader: &mut Reader<'_>) -> Result<Option<LogicalDeviceName>, DecodeError> {
    let octets = reader.octets("name")?;
    if octets.is_empty() {
        return Ok(None);
    }
    let name = LogicalDeviceName::from_octets(octets);
    name.map(Some)
        .map_err(|_| reader.error("name", Malformed::Value))
}

fn put_sap(record: &sap::Record, out: &mut Vec<u8>) {
    match record {
        sap::Record::Assigned { sap, name, at } => {
            out.push(if at.is_some() { 2 } else { 1 });
            out.extend_from_slice(&sap.to_be_bytes());
            put_octets(out, name.as_str().as_bytes());
            if let Some(at) = at {
                out.extend_from_slice(&at.to_be_bytes());
            }
        }
        sap::Record::Released { sap, at } => {
            out.push(0);
            out.extend_from_slice(&sap.to_be_bytes());
            out.extend_from_slice(&at.to_be_bytes());
        }
    }
}

fn take_sap(reader: &mut Reader<'_>) -> Result<sap::Record, DecodeError> {
    let kind = reader.u8("assigned")?;
    let sap = reader.u16("sap")?;
    let time = |reader: &mut Reader<'_>| reader.array("at").map(i64::from_be_bytes);
    match kind {
        0 => {
            let at = time(reader)?;
            Ok(sap::Record::Released { sap, at })
        }
        1 | 2 => {
            let name = name(reader)?;
            let at = if kind == 2 { Some(time(reader)?) } else { None };
            Ok(sap::Record::Assigned { sap, name, at })
        }
        _ => Err(reader.error("assigned", Malformed::Value)),
    }
}
