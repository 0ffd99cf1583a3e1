//! Block codec v1: the rows of one (meter, profile, day) as deltas in a fixed number of bits.
//!
//! ```text
//! octet    codec id, 0x01
//! varint   slots of the day, 1..=1440
//! octet    channels, 1..=32
//! octet    rows: 0x00 = one in every slot, 0x01 = bitmap follows
//! [bits]   one bit a slot, least significant first, set where a row exists
//! octet    status: 0x00 = all zero, 0x01 = sparse, 0x02 = one octet a row
//! [..]     sparse: varint count, then per non-zero row: varint rows skipped, octet status
//! channel, as often as there are channels:
//!   octet  values: 0x00 = in every row, 0x01 = bitmap over the rows follows, 0x02 = in no row
//!   [bits] one bit a row
//!   signed varint   first value                     (where there is one)
//!   signed varint   least delta, octet bits a delta (where there are two or more)
//!   [bits]          delta - least delta, least significant bit first
//! 4 octets CRC-32 (IEEE 802.3) of everything before, little-endian
//! ```
//! Differences wrap, so every `i64` survives. Unused bits of the last octet are zero.

use alloc::vec;
use alloc::vec::Vec;

/// The rows of one profile on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayRows {
    channels: usize,
    rows: Vec<Option<Row>>,
}

/// One row: what the meter captured at the end of one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Holds one value per channel; `None` where the meter gave none.
    pub values: Vec<Option<i64>>,
    /// Holds the status octet.
    pub status: u8,
}

/// The greatest number of slots in a day: one a minute.
pub const SLOTS_MAX: usize = 1_500;
/// The greatest number of channels in a profile.
pub const CHANNELS_MAX: usize = 32;

const CODEC_V1: u8 = 0x01;
const ALL: u8 = 0x00;
const BITMAP: u8 = 0x01;
const NONE: u8 = 0x02;
const STATUS_ZERO: u8 = 0x00;
const STATUS_SPARSE: u8 = 0x01;
const STATUS_FULL: u8 = 0x02;
const CRC_LEN: usize = 4;

impl DayRows {
    /// Makes a day without rows.
    ///
    /// # Errors
    /// [`CodecError::Bounds`] where `slots` is not 1 to [`SLOTS_MAX`] or `channels` not 1 to
    /// [`CHANNELS_MAX`].
    pub fn new(slots: usize, channels: usize) -> Result<Self, CodecError> {
        if !(1..=SLOTS_MAX).contains(&slots) || !(1..=CHANNELS_MAX).contains(&channels) {
            return Err(CodecError::Bounds);
        }
        Ok(Self {
            channels,
            rows: vec![None; slots],
        })
    }

    /// Returns the number of slots.
    pub fn slots(&self) -> usize {
        self.rows.len()
    }

    /// Returns the number of channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Returns the number of rows.
    pub fn count(&self) -> usize {
        self.rows.iter().flatten().count()
    }

    /// Returns the row of a slot.
    pub fn row(&self, slot: usize) -> Option<&Row> {
        self.rows.get(slot).and_then(Option::as_ref)
    }

    /// Returns slot and row of each row, in ascending order.
    pub fn rows(&self) -> impl Iterator<Item = (usize, &Row)> {
        let indexed = self.rows.iter().enumerate();
        indexed.filter_map(|(slot, row)| row.as_ref().map(|row| (slot, row)))
    }

    /// Puts a row into its slot and says what that changed.
    ///
    /// # Errors
    /// [`CodecError::Bounds`] where the slot does not exist or the row has another number of
    /// values than the profile has channels.
    pub fn put(&mut self, slot: usize, row: Row) -> Result<Put, CodecError> {
        if row.values.len() != self.channels {
            return Err(CodecError::Bounds);
        }
        let place = self.rows.get_mut(slot).ok_or(CodecError::Bounds)?;
        let outcome = match place {
            None => Put::Added,
            Some(old) if *old == row => return Ok(Put::Same),
            Some(_) => Put::Changed,
        };
        *place = Some(row);
        Ok(outcome)
    }

    /// Returns the value of a channel in the last slot of the day: the register's state when the
    /// day closed.
    pub fn close(&self, channel: usize) -> Option<i64> {
        let last = self.rows.last()?.as_ref()?;
        last.values.get(channel).copied().flatten()
    }

    /// Encodes the rows.
    pub fn encode(&self) -> Vec<u8> {
        let rows: Vec<&Row> = self.rows.iter().flatten().collect();
        let mut out = Vec::with_capacity(16 + rows.len() * self.channels);
        out.push(CODEC_V1);
        put_varint(&mut out, len_u64(self.rows.len()));
        out.push(u8::try_from(self.channels).unwrap_or(u8::MAX));
        put_presence(
            &mut out,
            rows.len(),
            self.rows.iter().map(Option::is_some),
            false,
        );
        put_status(&mut out, &rows);
        for channel in 0..self.channels {
            let column = || {
                rows.iter()
                    .map(move |row| row.values.get(channel).copied().flatten())
            };
            let values: Vec<i64> = column().flatten().collect();
            put_presence(&mut out, values.len(), column().map(|v| v.is_some()), true);
            put_deltas(&mut out, &values);
        }
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Decodes what [`DayRows::encode`] wrote.
    ///
    /// # Errors
    /// [`CodecError`] where the octets are anything else; the work done is bounded by
    /// [`SLOTS_MAX`] times [`CHANNELS_MAX`].
    pub fn decode(octets: &[u8]) -> Result<Self, CodecError> {
        let body_len = octets
            .len()
            .checked_sub(CRC_LEN)
            .ok_or(CodecError::Truncated(octets.len()))?;
        let (body, crc) = octets.split_at(body_len);
        if crc != crc32fast::hash(body).to_le_bytes() && !cfg!(fuzzing) {
            return Err(CodecError::Checksum);
        }
        let mut reader = Reader {
            octets: body,
            at: 0,
        };
        let codec = reader.octet()?;
        if codec != CODEC_V1 {
            return Err(CodecError::UnknownCodec(codec));
        }
        let slots = usize::try_from(reader.varint()?).map_err(|_| CodecError::Bounds)?;
        let channels = usize::from(reader.octet()?);
        let mut day = Self::new(slots, channels)?;
        let present = reader.presence(slots, false)?;
        let count = present.iter().filter(|set| **set).count();
        let mut rows = reader.status(count)?;
        for _ in 0..channels {
            let present = reader.presence(count, true)?;
            let values = present.iter().filter(|set| **set).count();
            let mut deltas = reader.deltas(values)?.into_iter();
            for (row, set) in rows.iter_mut().zip(present) {
                row.values.push(if set { deltas.next() } else { None });
            }
        }
        if reader.at != body.len() {
            return Err(CodecError::Trailing(reader.at));
        }
        let mut rows = rows.into_iter();
        for (place, set) in day.rows.iter_mut().zip(present) {
            if set {
                *place = rows.next();
            }
        }
        Ok(day)
    }
}

/// What putting a row changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The slot was empty.
    Added,
    /// The slot held another row, which is now replaced.
    Changed,
    /// The slot held the same row.
    Same,
}

/// Why octets are no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// A count is zero or beyond its bound.
    #[error("slots or channels out of bounds")]
    Bounds,
    /// The checksum is another one: the block is damaged.
    #[error("checksum does not match")]
    Checksum,
    /// A field holds a value that the encoder never writes.
    #[error("byte {0}: value that no encoder writes")]
    Malformed(usize),
    /// Octets follow the last field.
    #[error("byte {0}: octets after the end")]
    Trailing(usize),
    /// The octets end within a field.
    #[error("byte {0}: truncated")]
    Truncated(usize),
    /// The first octet names no codec known to this version.
    #[error("codec {0} is not known to this version")]
    UnknownCodec(u8),
}

fn put_presence(
    out: &mut Vec<u8>,
    set: usize,
    bits: impl ExactSizeIterator<Item = bool>,
    none: bool,
) {
    if set == bits.len() {
        out.push(ALL);
    } else if none && set == 0 {
        out.push(NONE);
    } else {
        out.push(BITMAP);
        let mut writer = BitWriter::new(out);
        bits.for_each(|bit| writer.put(u64::from(bit), 1));
        writer.finish();
    }
}

fn put_status(out: &mut Vec<u8>, rows: &[&Row]) {
    let set = rows.iter().filter(|row| row.status != 0).count();
    if set == 0 {
        out.push(STATUS_ZERO);
    } else if set * 2 < rows.len() {
        out.push(STATUS_SPARSE);
        put_varint(out, len_u64(set));
        let mut skipped = 0;
        for row in rows {
            if row.status == 0 {
                skipped += 1;
            } else {
                put_varint(out, skipped);
                out.push(row.status);
                skipped = 0;
            }
        }
    } else {
        out.push(STATUS_FULL);
        out.extend(rows.iter().map(|row| row.status));
    }
}

fn put_deltas(out: &mut Vec<u8>, values: &[i64]) {
    let Some(first) = values.first() else {
        return;
    };
    put_varint(out, zigzag(*first));
    let deltas = || {
        let pairs = values.iter().zip(values.iter().skip(1));
        pairs.map(|(before, after)| after.wrapping_sub(*before))
    };
    let Some(least) = deltas().min() else {
        return;
    };
    put_varint(out, zigzag(least));
    let over = |delta: i64| delta.wrapping_sub(least).cast_unsigned();
    let widest = deltas().map(over).max().unwrap_or(0);
    let width = u64::BITS - widest.leading_zeros();
    out.push(u8::try_from(width).unwrap_or(u8::MAX));
    let mut writer = BitWriter::new(out);
    deltas().for_each(|delta| writer.put(over(delta), width));
    writer.finish();
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = (value & 0x7f).to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

const fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

fn len_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: u128,
    pending_bits: u32,
}

impl<'a> BitWriter<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            pending: 0,
            pending_bits: 0,
        }
    }

    fn put(&mut self, value: u64, width: u32) {
        self.pending |= u128::from(value) << self.pending_bits;
        self.pending_bits += width;
        while self.pending_bits >= 8 {
            let [low, ..] = self.pending.to_le_bytes();
            self.out.push(low);
            self.pending >>= 8;
            self.pending_bits -= 8;
        }
    }

    fn finish(self) {
        if self.pending_bits > 0 {
            let [low, ..] = self.pending.to_le_bytes();
            self.out.push(low);
        }
    }
}

struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn octet(&mut self) -> Result<u8, CodecError> {
        let octet = self.octets.get(self.at);
        let octet = *octet.ok_or(CodecError::Truncated(self.at))?;
        self.at += 1;
        Ok(octet)
    }

    fn varint(&mut self) -> Result<u64, CodecError> {
        let start = self.at;
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let octet = self.octet()?;
            let bits = u64::from(octet & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(CodecError::Malformed(start));
            }
            value |= bits << shift;
            if octet & 0x80 == 0 {
                // One value has one encoding.
                if octet == 0 && shift > 0 {
                    return Err(CodecError::Malformed(start));
                }
                return Ok(value);
            }
        }
        Err(CodecError::Malformed(start))
    }

    fn presence(&mut self, count: usize, none: bool) -> Result<Vec<bool>, CodecError> {
        let at = self.at;
        match self.octet()? {
            ALL => Ok(vec![true; count]),
            NONE if none => Ok(vec![false; count]),
            BITMAP => {
                let bits = self.bits(count, 1)?;
                Ok(bits.into_iter().map(|bit| bit == 1).collect())
            }
            _ => Err(CodecError::Malformed(at)),
        }
    }

    fn status(&mut self, count: usize) -> Result<Vec<Row>, CodecError> {
        let row = |status| Row {
            values: Vec::new(),
            status,
        };
        let at = self.at;
        match self.octet()? {
            STATUS_ZERO => Ok((0..count).map(|_| row(0)).collect()),
            STATUS_FULL => (0..count).map(|_| Ok(row(self.octet()?))).collect(),
            STATUS_SPARSE => {
                let mut rows: Vec<Row> = (0..count).map(|_| row(0)).collect();
                let set = self.varint()?;
                if set > len_u64(count) {
                    return Err(CodecError::Malformed(at));
                }
                let mut index = 0_usize;
                for _ in 0..set {
                    let skipped = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                    let status = self.octet()?;
                    let place = rows.get_mut(index.saturating_add(skipped));
                    let place = place.ok_or(CodecError::Malformed(at))?;
                    place.status = status;
                    index = index.saturating_add(skipped).saturating_add(1);
                }
                Ok(rows)
            }
            _ => Err(CodecError::Malformed(at)),
        }
    }

    fn deltas(&mut self, count: usize) -> Result<Vec<i64>, CodecError> {
        let mut values = Vec::with_capacity(count);
        if count == 0 {
            return Ok(values);
        }
        let mut value = unzigzag(self.varint()?);
        values.push(value);
        if count == 1 {
            return Ok(values);
        }
        let least = unzigzag(self.varint()?);
        let at = self.at;
        let width = u32::from(self.octet()?);
        if width > u64::BITS {
            return Err(CodecError::Malformed(at));
        }
        for over in self.bits(count - 1, width)? {
            value = value.wrapping_add(least.wrapping_add(over.cast_signed()));
            values.push(value);
        }
        Ok(values)
    }

    /// Reads `count` numbers of `width` bits each.
    fn bits(&mut self, count: usize, width: u32) -> Result<Vec<u64>, CodecError> {
        let mut numbers = Vec::with_capacity(count);
        let mask = u128::from(u64::MAX.checked_shr(u64::BITS - width).unwrap_or(0));
        let mut pending = 0_u128;
        let mut pending_bits = 0;
        for _ in 0..count {
            while pending_bits < width {
                pending |= u128::from(self.octet()?) << pending_bits;
                pending_bits += 8;
            }
            let number = pending & mask;
            numbers.push(u64::try_from(number).unwrap_or(u64::MAX));
            pending >>= width;
            pending_bits -= width;
        }
        if pending != 0 {
            return Err(CodecError::Malformed(self.at));
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement over random days, and robustness against damaged blocks.
    use proptest::prelude::*;

    use super::*;

    fn row(channels: usize) -> impl Strategy<Value = Row> {
        let value = prop_oneof![
            1 => Just(None),
            4 => (0_i64..2_000).prop_map(Some),
            1 => any::<i64>().prop_map(Some),
        ];
        (
            proptest::collection::vec(value, channels),
            prop_oneof![4 => Just(0), 1 => any::<u8>()],
        )
            .prop_map(|(values, status)| Row { values, status })
    }

    fn day() -> impl Strategy<Value = DayRows> {
        (1..=120_usize, 1..=4_usize).prop_flat_map(|(slots, channels)| {
            proptest::collection::vec(proptest::option::weighted(0.9, row(channels)), slots)
                .prop_map(move |rows| DayRows { channels, rows })
        })
    }

    fn register_day(slots: usize, step: impl Fn(i64) -> i64) -> DayRows {
        let mut day = DayRows::new(slots, 2).unwrap();
        let mut import = 18_204_317;
        for slot in 0..slots {
            import += step(i64::try_from(slot).unwrap());
            let row = Row {
                values: vec![Some(import), Some(0)],
                status: 0,
            };
            assert_eq!(day.put(slot, row), Ok(Put::Added));
        }
        day
    }

    proptest! {
        #[test]
        fn every_day_reads_back(day in day()) {
            prop_assert_eq!(DayRows::decode(&day.encode()), Ok(day));
        }

        #[test]
        fn no_damage_goes_unseen(day in day(), at in any::<prop::sample::Index>(), flip in 1_u8..) {
            let mut octets = day.encode();
            let at = at.index(octets.len());
            octets[at] ^= flip;
            prop_assert!(DayRows::decode(&octets).is_err());
            octets.truncate(at);
            prop_assert!(DayRows::decode(&octets).is_err());
        }

        #[test]
        fn whatever_carries_a_right_checksum_is_decoded_within_bounds(
            mut octets in proptest::collection::vec(any::<u8>(), 0..300),
            codec in any::<bool>(),
        ) {
            if let Some(first) = octets.first_mut() && codec {
                *first = CODEC_V1;
            }
            let crc = crc32fast::hash(&octets);
            octets.extend_from_slice(&crc.to_le_bytes());
            if let Ok(day) = DayRows::decode(&octets) {
                prop_assert!(day.slots() <= SLOTS_MAX && day.channels() <= CHANNELS_MAX);
                prop_assert_eq!(DayRows::decode(&day.encode()), Ok(day));
            }
        }
    }

    #[test]
    fn extreme_values_survive() {
        let mut day = DayRows::new(4, 1).unwrap();
        for (slot, value) in [i64::MIN, i64::MAX, 0, i64::MIN].into_iter().enumerate() {
            let row = Row {
                values: vec![Some(value)],
                status: 0xff,
            };
            day.put(slot, row).unwrap();
        }
        assert_eq!(DayRows::decode(&day.encode()), Ok(day));
    }

    #[test]
    fn an_ordinary_day_takes_about_a_byte_and_a_half_a_row() {
        let day = register_day(96, |slot| 30 + (slot * 7_919) % 400);
        let octets = day.encode();
        assert!(octets.len() <= 96 * 3 / 2, "{} octets", octets.len());
        assert_eq!(DayRows::decode(&octets), Ok(day));
    }

    #[test]
    fn a_row_is_added_once() {
        let mut day = register_day(96, |_| 100);
        let same = day.row(5).cloned().unwrap();
        assert_eq!(day.put(5, same.clone()), Ok(Put::Same));
        let other = Row { status: 4, ..same };
        assert_eq!(day.put(5, other.clone()), Ok(Put::Changed));
        assert_eq!(day.row(5), Some(&other));
        assert_eq!(day.put(96, other.clone()), Err(CodecError::Bounds));
        let narrow = Row {
            values: vec![None],
            ..other
        };
        assert_eq!(day.put(0, narrow), Err(CodecError::Bounds));
    }

    #[test]
    fn what_no_encoder_writes_is_refused() {
        let with_crc = |octets: &[u8]| {
            let mut octets = octets.to_vec();
            octets.extend_from_slice(&crc32fast::hash(&octets).to_le_bytes());
            DayRows::decode(&octets)
        };
        let empty = [CODEC_V1, 1, 1, BITMAP, 0, STATUS_ZERO, ALL];
        assert_eq!(with_crc(&empty).unwrap().count(), 0);
        for (octets, error) in [
            (&[][..], CodecError::Truncated(0)),
            (&[9], CodecError::UnknownCodec(9)),
            (&[1, 0, 1], CodecError::Bounds),
            (&[1, 0xdd, 0x0b, 1], CodecError::Bounds),
            (&[1, 1, 33], CodecError::Bounds),
            (&[1, 0x81, 0x00, 1], CodecError::Malformed(1)),
            (&[1, 1, 1, 2], CodecError::Malformed(3)),
            (&[1, 1, 1, 1, 2, 0, 0], CodecError::Malformed(5)),
            (&[1, 1, 1, 0, 3], CodecError::Malformed(4)),
            (&[1, 1, 1, 1, 0, 0, 0, 0], CodecError::Trailing(7)),
            (&[1, 2, 1, 0, 0, 0, 2, 2, 65], CodecError::Malformed(8)),
        ] {
            assert_eq!(with_crc(octets), Err(error), "{octets:?}");
        }
    }
}
