//! Rows of a profile, as the meter gave them and as they are kept.
//!
//! ```text
//! octet   form: 0x01 = columns, 0x00 = as they came
//! columns:
//!   octet   columns of the profile, 1..=30
//!   [..]    the type of each column (its A-XDR tag)
//!   [..]    the channels in block codec v1 of `model::block`: capture time,
//!           then of each column its value, of times their local second and
//!           what else they say
//! as they came, for each row:
//!   8 octets  capture time, big-endian
//!   4 octets  length, big-endian
//!   [..]      the row in A-XDR
//! ```
//! What is read back is, to the octet, what the meter sent.

use dlms::axdr::{ClockStatus, Data, DateTime, RawData, Tag};
use dlms::codec::{Reader, Wire as _};
use dlms::cosem::CaptureObject;
use model::block::{CHANNELS_MAX, DayRows, Row as BlockRow, SLOTS_MAX};

/// A row of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// When it was captured, in seconds since 1970-01-01T00:00:00Z; where the
    /// meter does not say its deviation, since that time where it stands.
    pub at: i64,
    /// The row in A-XDR: a structure.
    pub octets: Vec<u8>,
}

/// Rows that one block may have: more than a day of minutes.
pub const ROWS_MAX: usize = SLOTS_MAX;

const COLUMNS: u8 = 0x01;
const AS_THEY_CAME: u8 = 0x00;

/// What an answer holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The rows that say when they were captured, oldest first.
    pub rows: Vec<Row>,
    /// Counts those that do not.
    pub untimed: usize,
}

/// Takes the rows of a buffer that a meter sent; `clock` is the column of
/// their times. Nothing where it is no array of rows.
#[must_use]
pub fn take(buffer: &[u8], clock: usize) -> Option<Taken> {
    let data = RawData::new(buffer).decode().ok()?.expanded();
    let mut taken = Taken::default();
    for row in data.as_array()? {
        let cells = row.as_structure()?;
        match cells.get(clock).and_then(time) {
            Some(at) => taken.rows.push(Row {
                at,
                octets: row.to_octets(),
            }),
            None => taken.untimed += 1,
        }
    }
    taken.rows.sort_by_key(|row| row.at);
    Some(taken)
}

fn time(cell: &Data) -> Option<i64> {
    let time = cell.as_date_time()?;
    time.to_unix_seconds().or_else(|| time.to_local_seconds())
}

/// Finds the column of the times in what a profile captures.
#[must_use]
pub fn clock_column(captured: &[CaptureObject]) -> Option<usize> {
    let is_clock = |it: &CaptureObject| it.class_id == 8 && it.attribute_index == 2;
    captured.iter().position(is_clock)
}

/// Encodes up to [`ROWS_MAX`] rows.
#[must_use]
pub fn encode(rows: &[Row]) -> Vec<u8> {
    columns(rows).unwrap_or_else(|| {
        let mut out = vec![AS_THEY_CAME];
        for row in rows {
            out.extend_from_slice(&row.at.to_be_bytes());
            let length = u32::try_from(row.octets.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(&row.octets);
        }
        out
    })
}

/// Decodes what [`encode`] wrote; nothing where the octets are anything else.
#[must_use]
pub fn decode(octets: &[u8]) -> Option<Vec<Row>> {
    let (form, rest) = octets.split_first()?;
    match *form {
        COLUMNS => from_columns(rest),
        AS_THEY_CAME => {
            let mut reader = Reader::new(rest);
            let mut rows = Vec::new();
            while !reader.is_empty() {
                let at = i64::from_be_bytes(reader.array("at").ok()?);
                let length = usize::try_from(reader.u32("length").ok()?).ok()?;
                let octets = reader.take(length, "row").ok()?.to_vec();
                rows.push(Row { at, octets });
                if rows.len() > ROWS_MAX {
                    return None;
                }
            }
            Some(rows)
        }
        _ => None,
    }
}

/// What is to be known of a block to keep it as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// When its first row was captured.
    pub first: i64,
    /// When its last row was.
    pub last: i64,
    /// Counts its rows.
    pub rows: u32,
    /// Its rows of the last second.
    pub tail: Vec<Row>,
}

/// Looks at what [`encode`] wrote, without making all of its rows.
#[must_use]
pub fn head(octets: &[u8]) -> Option<Head> {
    let Some((&COLUMNS, rest)) = octets.split_first() else {
        let all = decode(octets)?;
        let last = all.last()?.at;
        return Some(Head {
            first: all.first()?.at,
            last,
            rows: u32::try_from(all.len()).ok()?,
            tail: all.into_iter().filter(|row| row.at == last).collect(),
        });
    };
    let (tags, day) = split(rest)?;
    let at = |row: &BlockRow| row.values.first().copied().flatten();
    let mut times = day.rows().map(|(_, row)| at(row));
    let first = times.next()??;
    let last = times.last().unwrap_or(Some(first))?;
    let newest = day.rows().filter(|(_, row)| at(row) == Some(last));
    let tail = newest.map(|(_, row)| made_row(tags, row));
    Some(Head {
        first,
        last,
        rows: u32::try_from(day.count()).ok()?,
        tail: tail.collect::<Option<_>>()?,
    })
}

/// The rows as channels; nothing where they are not all alike, or not of
/// numbers and times.
fn columns(rows: &[Row]) -> Option<Vec<u8>> {
    let mut out = vec![COLUMNS];
    let mut tags: Vec<Tag> = Vec::new();
    let mut day: Option<DayRows> = None;
    for (slot, row) in rows.iter().enumerate() {
        let data = RawData::new(&row.octets).decode().ok()?;
        let cells = data.as_structure()?;
        if slot == 0 {
            tags = cells.iter().map(Data::tag).collect();
        } else if !tags.iter().copied().eq(cells.iter().map(Data::tag)) {
            return None;
        }
        let mut values = vec![Some(row.at)];
        for cell in cells {
            put_cell(cell, &mut values)?;
        }
        if values.len() > CHANNELS_MAX {
            return None;
        }
        let day = match &mut day {
            Some(day) => day,
            None => day.insert(DayRows::new(rows.len(), values.len()).ok()?),
        };
        day.put(slot, BlockRow { values, status: 0 }).ok()?;
    }
    out.push(u8::try_from(tags.len()).ok()?);
    out.extend(tags.iter().map(|tag| tag.as_u8()));
    out.extend_from_slice(&day?.encode());
    Some(out)
}

fn put_cell(cell: &Data, values: &mut Vec<Option<i64>>) -> Option<()> {
    let value = match cell {
        Data::NullData => 0,
        Data::Boolean(value) => i64::from(*value),
        Data::Enum(value) => i64::from(*value),
        Data::Long64Unsigned(value) => value.cast_signed(),
        Data::OctetString(_) => {
            let time = cell.as_date_time()?;
            let said = said(&time);
            let local = time.to_local_seconds()?;
            // Only what can be made again to the octet is taken apart.
            if made(local, said)?.as_slice() != cell.as_octets()? {
                return None;
            }
            values.push(Some(local));
            said
        }
        Data::Integer(_)
        | Data::Long(_)
        | Data::DoubleLong(_)
        | Data::Long64(_)
        | Data::Unsigned(_)
        | Data::LongUnsigned(_)
        | Data::DoubleLongUnsigned(_) => cell.as_i64().or_else(|| cell.as_u32().map(i64::from))?,
        _ => return None,
    };
    values.push(Some(value));
    Some(())
}

/// Deviation, status and hundredths of a time in one number.
fn said(time: &DateTime) -> i64 {
    let [_, _, _, hundredths] = time.time.to_octets();
    (i64::from(time.deviation) << 16) | (i64::from(time.status.0) << 8) | i64::from(hundredths)
}

/// The octets of a time from its local second and what else it says.
fn made(local: i64, said: i64) -> Option<[u8; 12]> {
    let [.., d1, d0, status, hundredths] = said.to_be_bytes();
    let mut time =
        DateTime::from_unix_seconds(local, DateTime::DEVIATION_UNSPECIFIED, ClockStatus(status))?;
    time.deviation = i16::from_be_bytes([d1, d0]);
    time.time.hundredths = hundredths;
    Some(time.to_octets())
}

/// The types of the columns, and the channels.
fn split(octets: &[u8]) -> Option<(&[u8], DayRows)> {
    let (count, rest) = octets.split_first()?;
    let (tags, rest) = rest.split_at_checked(usize::from(*count))?;
    Some((tags, DayRows::decode(rest).ok()?))
}

fn from_columns(octets: &[u8]) -> Option<Vec<Row>> {
    let (tags, day) = split(octets)?;
    day.rows().map(|(_, row)| made_row(tags, row)).collect()
}

fn made_row(tags: &[u8], row: &BlockRow) -> Option<Row> {
    let mut values = row.values.iter().map(|value| value.unwrap_or(0));
    let at = values.next()?;
    let mut cells = Vec::with_capacity(tags.len());
    for tag in tags {
        cells.push(cell(*tag, &mut values)?);
    }
    values.next().is_none().then(|| Row {
        at,
        octets: Data::Structure(cells).to_octets(),
    })
}

fn cell(tag: u8, values: &mut impl Iterator<Item = i64>) -> Option<Data> {
    let value = values.next()?;
    Some(if tag == Tag::NullData.as_u8() {
        Data::NullData
    } else if tag == Tag::Boolean.as_u8() {
        Data::Boolean(value != 0)
    } else if tag == Tag::Enum.as_u8() {
        Data::Enum(u8::try_from(value).ok()?)
    } else if tag == Tag::Integer.as_u8() {
        Data::Integer(i8::try_from(value).ok()?)
    } else if tag == Tag::Long.as_u8() {
        Data::Long(i16::try_from(value).ok()?)
    } else if tag == Tag::DoubleLong.as_u8() {
        Data::DoubleLong(i32::try_from(value).ok()?)
    } else if tag == Tag::Long64.as_u8() {
        Data::Long64(value)
    } else if tag == Tag::Unsigned.as_u8() {
        Data::Unsigned(u8::try_from(value).ok()?)
    } else if tag == Tag::LongUnsigned.as_u8() {
        Data::LongUnsigned(u16::try_from(value).ok()?)
    } else if tag == Tag::DoubleLongUnsigned.as_u8() {
        Data::DoubleLongUnsigned(u32::try_from(value).ok()?)
    } else if tag == Tag::Long64Unsigned.as_u8() {
        Data::Long64Unsigned(value.cast_unsigned())
    } else if tag == Tag::OctetString.as_u8() {
        Data::octet_string(made(value, values.next()?)?)
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement, and robustness against damaged blocks.
    use super::*;

    fn day(rows: i64) -> Vec<Row> {
        let start = 1_750_000_500;
        let rows = (0..rows).map(|number| {
            let at = start + number * 900;
            let time = DateTime::from_unix_seconds(at, -120, ClockStatus(0x80)).unwrap();
            let data = Data::Structure(vec![
                Data::date_time_octets(&time),
                Data::Unsigned(0),
                Data::DoubleLongUnsigned(
                    u32::try_from(4_000_000_000 + number * 40 + number * 7_919 % 400).unwrap(),
                ),
                Data::Long64Unsigned(u64::MAX - u64::try_from(number).unwrap()),
            ]);
            Row {
                at,
                octets: data.to_octets(),
            }
        });
        rows.collect()
    }

    #[test]
    fn what_a_meter_sent_comes_back_to_the_octet_in_a_tenth_of_the_room() {
        let rows = day(96);
        let octets = encode(&rows);
        assert_eq!(octets[0], COLUMNS);
        assert_eq!(decode(&octets).unwrap(), rows);
        let head = head(&octets).unwrap();
        assert_eq!((head.first, head.last), (rows[0].at, rows[95].at));
        assert_eq!((head.rows, head.tail), (96, rows[95..].to_vec()));
        let sent: usize = rows.iter().map(|row| row.octets.len()).sum();
        assert!(octets.len() * 10 < sent, "{} of {sent}", octets.len());
    }

    #[test]
    fn rows_that_are_not_alike_come_back_as_well() {
        let mut rows = day(3);
        rows[1].octets = Data::Structure(vec![
            Data::octet_string([1, 2, 3]),
            Data::visible_string("x"),
        ])
        .to_octets();
        let octets = encode(&rows);
        assert_eq!(octets[0], AS_THEY_CAME);
        assert_eq!(decode(&octets).unwrap(), rows);
    }

    #[test]
    fn an_answer_is_taken_apart() {
        let rows = day(4);
        let mut all: Vec<Data> = rows
            .iter()
            .map(|row| RawData::new(&row.octets).decode().unwrap())
            .collect();
        all.reverse();
        all.push(Data::Structure(vec![Data::NullData, Data::Unsigned(1)]));
        let taken = take(&Data::Array(all).to_octets(), 0).unwrap();
        assert_eq!((taken.rows, taken.untimed), (rows, 1));
        assert_eq!(take(&Data::Unsigned(1).to_octets(), 0), None);
        assert_eq!(take(&[0x01], 0), None);
    }

    #[test]
    fn damaged_blocks_are_refused() {
        let octets = encode(&day(5));
        for length in 0..octets.len() {
            assert_eq!(decode(&octets[..length]), None, "{length}");
            assert_eq!(head(&octets[..length]), None, "{length}");
        }
        assert_eq!(decode(&[2]), None);
        assert_eq!(decode(&[AS_THEY_CAME, 0, 0]), None);
        assert_eq!(decode(&[COLUMNS, 200, 1]), None);
    }
}
