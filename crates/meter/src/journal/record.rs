//! The octets of a record: marker, length, checksum, meter, kind, body.
//!
//! | octets | what |
//! |---|---|
//! | 2 | marker 0x6A 0x72 |
//! | 2 | length of what stands behind the checksum, low octet first |
//! | 4 | CRC-32 over salt, length, and what stands behind, low octet first |
//! | 8 | system title of the meter |
//! | 1 | kind |
//! | | body; numbers as LEB128, signed ones zigzag |

use model::IntervalStatus;

use super::{SegmentNumber, Title};
use crate::varint::{put_i64, put_u64, take_i64, take_u64};

/// How many values a row may hold.
pub const CHANNELS_MAX: usize = 8;

/// How many octets one slot of a meter's state may hold.
pub const STATE_LEN_MAX: usize = 8_192;

const MARKER: [u8; 2] = [0x6A, 0x72];
const PREFIX_LEN: usize = 8;
const PAYLOAD_LEN_MIN: usize = 9;
const PAYLOAD_LEN_MAX: usize = STATE_LEN_MAX + 64;
const MAGIC: &[u8; 8] = b"gwjrnl\x01\n";

/// The length of a segment's header.
pub(super) const HEADER_LEN: usize = 24;

/// One thing that a meter must not forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record<'a> {
    /// A captured row of a load profile.
    Row(Row),
    /// An entry of an event log.
    Log(LogEntry),
    /// A slot of the meter's state; the newest record of a slot is what holds.
    State {
        /// Which part of the state.
        slot: u8,
        /// What it is now, at most [`STATE_LEN_MAX`] octets.
        octets: &'a [u8],
    },
}

/// A captured row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which row of its meter this is, counted from the first one ever.
    pub sequence: u64,
    /// When it was captured by the meter's clock, in seconds since 1970 UTC.
    pub at_s: i64,
    /// The minutes from the meter's local time to UTC, as in a `date-time`: −60 for UTC+1.
    pub deviation: i16,
    /// The AMR profile status.
    pub status: IntervalStatus,
    /// The captured values; only the first `channels` count.
    pub values: [u64; CHANNELS_MAX],
    /// How many values, at most [`CHANNELS_MAX`].
    pub channels: u8,
}

impl Row {
    /// Returns the captured values.
    pub fn values(&self) -> &[u64] {
        self.values
            .get(..usize::from(self.channels))
            .unwrap_or(&self.values)
    }
}

/// An entry of an event log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Which log: the E field of its logical name 0-0:99.98.e.255.
    pub log: u8,
    /// Which entry of its log this is, counted from the first one ever.
    pub sequence: u64,
    /// When, by the meter's clock, in seconds since 1970 UTC.
    pub at_s: i64,
    /// The minutes from the meter's local time to UTC, as in a `date-time`: −60 for UTC+1.
    pub deviation: i16,
    /// The code of the event.
    pub code: u16,
}

impl Record<'_> {
    /// Appends the record of a meter to `out`.
    pub(super) fn frame(&self, salt: u32, title: Title, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MARKER);
        out.extend_from_slice(&[0; PREFIX_LEN - MARKER.len()]);
        out.extend_from_slice(&title);
        match self {
            Self::Row(row) => {
                out.push(1);
                put_u64(out, row.sequence);
                put_i64(out, row.at_s);
                put_i64(out, i64::from(row.deviation));
                out.push(row.status.bits());
                let values = row.values();
                for value in values {
                    put_u64(out, *value);
                }
            }
            Self::Log(entry) => {
                out.push(2);
                out.push(entry.log);
                put_u64(out, entry.sequence);
                put_i64(out, entry.at_s);
                put_i64(out, i64::from(entry.deviation));
                put_u64(out, u64::from(entry.code));
            }
            Self::State { slot, octets } => {
                out.push(3);
                out.push(*slot);
                out.extend_from_slice(octets.get(..STATE_LEN_MAX).unwrap_or(octets));
            }
        }
        let len = out.len() - start - PREFIX_LEN;
        let len = u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes();
        let crc = checksum(salt, len, out.get(start + PREFIX_LEN..).unwrap_or(&[]));
        if let Some(prefix) = out.get_mut(start + 2..start + PREFIX_LEN) {
            let (len_octets, crc_octets) = prefix.split_at_mut(2);
            len_octets.copy_from_slice(&len);
            crc_octets.copy_from_slice(&crc.to_le_bytes());
        }
    }
}

/// What stands at an offset of a segment.
pub(super) enum Step<'a> {
    Record {
        title: Title,
        record: Record<'a>,
        len: usize,
    },
    /// No record; `skip` octets further one may start.
    Damaged { skip: usize },
}

/// Takes the record at the front of `octets`, which are not empty.
pub(super) fn step(salt: u32, octets: &[u8]) -> Step<'_> {
    take(salt, octets).unwrap_or_else(|| {
        let skip = octets
            .iter()
            .skip(1)
            .position(|octet| *octet == MARKER[0])
            .map_or(octets.len(), |at| at + 1);
        Step::Damaged { skip }
    })
}

fn take(salt: u32, octets: &[u8]) -> Option<Step<'_>> {
    let (prefix, rest) = octets.split_first_chunk::<PREFIX_LEN>()?;
    let [m0, m1, l0, l1, crc @ ..] = *prefix;
    if [m0, m1] != MARKER {
        return None;
    }
    let len = usize::from(u16::from_le_bytes([l0, l1]));
    if !(PAYLOAD_LEN_MIN..=PAYLOAD_LEN_MAX).contains(&len) {
        return None;
    }
    let payload = rest.get(..len)?;
    if checksum(salt, [l0, l1], payload) != u32::from_le_bytes(crc) {
        return None;
    }
    let (title, rest) = payload.split_first_chunk::<8>()?;
    let (kind, body) = rest.split_first()?;
    let record = decode(*kind, body)?;
    Some(Step::Record {
        title: *title,
        record,
        len: PREFIX_LEN + len,
    })
}

fn decode(kind: u8, mut body: &[u8]) -> Option<Record<'_>> {
    let body = &mut body;
    match kind {
        1 => {
            let sequence = take_u64(body)?;
            let at_s = take_i64(body)?;
            let deviation = i16::try_from(take_i64(body)?).ok()?;
            let (status, rest) = body.split_first()?;
            *body = rest;
            let mut values = [0; CHANNELS_MAX];
            let mut channels = 0;
            for slot in &mut values {
                if body.is_empty() {
                    break;
                }
                *slot = take_u64(body)?;
                channels += 1;
            }
            body.is_empty().then_some(Record::Row(Row {
                sequence,
                at_s,
                deviation,
                status: IntervalStatus::from_bits(*status),
                values,
                channels,
            }))
        }
        2 => {
            let (log, rest) = body.split_first()?;
            *body = rest;
            let entry = LogEntry {
                log: *log,
                sequence: take_u64(body)?,
                at_s: take_i64(body)?,
                deviation: i16::try_from(take_i64(body)?).ok()?,
                code: u16::try_from(take_u64(body)?).ok()?,
            };
            body.is_empty().then_some(Record::Log(entry))
        }
        3 => {
            let (slot, octets) = body.split_first()?;
            Some(Record::State {
                slot: *slot,
                octets,
            })
        }
        _ => None,
    }
}

fn checksum(salt: u32, len: [u8; 2], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&salt.to_le_bytes());
    crc.update(&len);
    crc.update(payload);
    crc.finalize()
}

/// The head of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) number: SegmentNumber,
    pub(super) salt: u32,
}

impl SegmentHeader {
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.number.0.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        let crc = crc32fast::hash(out.get(start..).unwrap_or(&[]));
        out.extend_from_slice(&crc.to_le_bytes());
    }

    pub(super) fn decode(octets: &[u8]) -> Option<Self> {
        let (head, rest) = octets.split_first_chunk::<20>()?;
        let (crc, _) = rest.split_first_chunk::<4>()?;
        if crc32fast::hash(head) != u32::from_le_bytes(*crc) {
            return None;
        }
        let rest = head.strip_prefix(MAGIC)?;
        let (number, salt) = rest.split_first_chunk::<8>()?;
        Some(Self {
            number: SegmentNumber(u64::from_le_bytes(*number)),
            salt: u32::from_le_bytes(salt.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement, and robustness against damage.
    use super::*;

    const TITLE: Title = *b"GWD\0\0\0\0\x01";

    fn samples() -> Vec<Record<'static>> {
        let mut values = [0; CHANNELS_MAX];
        values[0] = 18_204_317;
        values[1] = u64::MAX;
        vec![
            Record::Row(Row {
                sequence: 5_759,
                at_s: 1_795_000_500,
                deviation: 60,
                status: IntervalStatus::POWER_DOWN,
                values,
                channels: 2,
            }),
            Record::Log(LogEntry {
                log: 1,
                sequence: 3,
                at_s: -1,
                deviation: -720,
                code: 255,
            }),
            Record::State {
                slot: 7,
                octets: b"jr\x09\0jr",
            },
        ]
    }

    #[test]
    fn records_read_back() {
        for record in samples() {
            let mut out = Vec::new();
            record.frame(99, TITLE, &mut out);
            let Step::Record {
                title,
                record: again,
                len,
            } = step(99, &out)
            else {
                panic!("{record:?} does not read back");
            };
            assert_eq!((title, again, len), (TITLE, record, out.len()));
            // Another segment's salt does not open it.
            assert!(matches!(step(98, &out), Step::Damaged { .. }));
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        for record in samples() {
            let mut out = Vec::new();
            record.frame(99, TITLE, &mut out);
            for bit in 0..out.len() * 8 {
                let mut bad = out.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(matches!(step(99, &bad), Step::Damaged { .. }), "bit {bit}");
            }
            for cut in 1..out.len() {
                assert!(matches!(step(99, &out[..cut]), Step::Damaged { .. }));
            }
        }
    }
}
