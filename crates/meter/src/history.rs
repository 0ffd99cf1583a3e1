//! The rows of a meter's load profile in memory: a ring of packed blocks.
//!
//! A block holds up to 96 rows, the first in full and each other as its difference to the one
//! before, three to five octets. Sixty days of two channels take about 25 KiB.

use std::collections::VecDeque;

use model::IntervalStatus;

use crate::journal::{CHANNELS_MAX, Row, SegmentNumber};
use crate::varint::{put_i64, take_i64};

/// How many rows a block holds: a day of quarter hours.
const BLOCK_ROWS: u16 = 96;

/// Says of a packed row that it followed the one before by the capture period.
const REGULAR: u8 = 0x01;
/// Says that its deviation from UTC is that of the row before.
const SAME_DEVIATION: u8 = 0x02;
/// Says that its status is that of the row before.
const SAME_STATUS: u8 = 0x04;

/// A ring of captured rows in the order of their capture.
#[derive(Clone, Debug)]
pub struct History {
    blocks: VecDeque<Block>,
    capacity: usize,
    period_s: i64,
    /// Rows held in blocks; up to one block more than the capacity.
    len: usize,
    last: Option<Row>,
}

#[derive(Clone, Debug)]
struct Block {
    segment: SegmentNumber,
    first: Row,
    rows: u16,
    earliest_s: i64,
    latest_s: i64,
    packed: Vec<u8>,
}

impl History {
    /// Makes an empty ring of `capacity` rows that usually follow each other by `period_s`
    /// seconds.
    pub const fn new(capacity: usize, period_s: i64) -> Self {
        Self {
            blocks: VecDeque::new(),
            capacity,
            period_s,
            len: 0,
            last: None,
        }
    }

    /// Adds a row whose record went to `segment`; a row that is there already is left out. The
    /// oldest rows go where there are more than the ring holds.
    pub fn push(&mut self, segment: SegmentNumber, row: Row) {
        if self.last.is_some_and(|last| row.sequence <= last.sequence) {
            return;
        }
        let fits =
            |block: &&mut Block| block.rows < BLOCK_ROWS && block.first.channels == row.channels;
        match (self.blocks.back_mut().filter(fits), self.last) {
            (Some(block), Some(last)) if last.sequence + 1 == row.sequence => {
                block.add(&last, &row, self.period_s);
            }
            _ => {
                if let Some(block) = self.blocks.back_mut() {
                    block.packed.shrink_to_fit();
                }
                self.blocks.push_back(Block {
                    segment,
                    first: row,
                    rows: 1,
                    earliest_s: row.at_s,
                    latest_s: row.at_s,
                    packed: Vec::new(),
                });
            }
        }
        self.last = Some(row);
        self.len += 1;
        while let Some(oldest) = self.blocks.front() {
            if self.len - usize::from(oldest.rows) < self.capacity {
                break;
            }
            self.len -= usize::from(oldest.rows);
            self.blocks.pop_front();
        }
    }

    /// Drops the blocks that began before `segment`, which the journal holds no longer.
    pub fn drop_before(&mut self, segment: SegmentNumber) {
        while let Some(oldest) = self.blocks.front().filter(|block| block.segment < segment) {
            self.len -= usize::from(oldest.rows);
            self.blocks.pop_front();
        }
    }

    /// Returns the oldest segment that holds a row of the ring.
    pub fn oldest_segment(&self) -> Option<SegmentNumber> {
        self.blocks.front().map(|block| block.segment)
    }

    /// Returns how many rows the ring shows, at most its capacity.
    pub fn len(&self) -> usize {
        self.len.min(self.capacity)
    }

    /// Says whether the ring shows no row.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns how many rows the ring may show.
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns the newest row, which stays known after the ring let it go.
    pub const fn last(&self) -> Option<&Row> {
        self.last.as_ref()
    }

    /// Goes over the rows that the ring shows, oldest first.
    pub fn iter(&self) -> Rows<'_> {
        self.entries(0, self.len())
    }

    /// Goes over `count` rows from the one at `from`, counted from 0 for the oldest shown.
    pub fn entries(&self, from: usize, count: usize) -> Rows<'_> {
        let mut skip = self.len - self.len() + from;
        let mut index = 0;
        while let Some(block) = self.blocks.get(index) {
            let rows = usize::from(block.rows);
            if skip < rows {
                break;
            }
            skip -= rows;
            index += 1;
        }
        let mut rows = Rows {
            history: self,
            index,
            cursor: None,
            left: usize::MAX,
            from_s: i64::MIN,
            to_s: i64::MAX,
        };
        for _ in 0..skip {
            rows.next();
        }
        rows.left = count;
        rows
    }

    /// Goes over the rows captured from `from_s` to `to_s`, both included, in the order of their
    /// capture; times are seconds since 1970 UTC. Blocks outside are not unpacked.
    pub fn range(&self, from_s: i64, to_s: i64) -> Rows<'_> {
        let mut rows = self.entries(0, usize::MAX);
        rows.from_s = from_s;
        rows.to_s = to_s;
        rows
    }

    /// Returns about how many octets the ring takes.
    pub fn octets(&self) -> usize {
        let blocks = self.blocks.capacity() * size_of::<Block>();
        let packed: usize = self
            .blocks
            .iter()
            .map(|block| block.packed.capacity())
            .sum();
        size_of::<Self>() + blocks + packed
    }
}

impl Block {
    fn add(&mut self, last: &Row, row: &Row, period_s: i64) {
        self.rows += 1;
        self.earliest_s = self.earliest_s.min(row.at_s);
        self.latest_s = self.latest_s.max(row.at_s);
        let step = row.at_s.wrapping_sub(last.at_s);
        let mut flags = 0;
        if step == period_s {
            flags |= REGULAR;
        }
        if row.deviation == last.deviation {
            flags |= SAME_DEVIATION;
        }
        if row.status == last.status {
            flags |= SAME_STATUS;
        }
        self.packed.push(flags);
        if flags & REGULAR == 0 {
            put_i64(&mut self.packed, step);
        }
        if flags & SAME_DEVIATION == 0 {
            put_i64(&mut self.packed, i64::from(row.deviation));
        }
        if flags & SAME_STATUS == 0 {
            self.packed.push(row.status.bits());
        }
        for (value, before) in row.values().iter().zip(last.values()) {
            put_i64(&mut self.packed, value.wrapping_sub(*before).cast_signed());
        }
    }
}

/// Rows of a [`History`].
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    history: &'a History,
    index: usize,
    cursor: Option<Cursor<'a>>,
    left: usize,
    from_s: i64,
    to_s: i64,
}

#[derive(Clone, Debug)]
struct Cursor<'a> {
    row: Row,
    packed: &'a [u8],
    rows: u16,
}

impl Cursor<'_> {
    /// Steps to the next row of the block; `None` at its end.
    fn step(&mut self, period_s: i64) -> Option<()> {
        self.rows = self.rows.checked_sub(1)?;
        let (flags, rest) = self.packed.split_first()?;
        self.packed = rest;
        let step = if flags & REGULAR == 0 {
            take_i64(&mut self.packed)?
        } else {
            period_s
        };
        self.row.at_s = self.row.at_s.wrapping_add(step);
        if flags & SAME_DEVIATION == 0 {
            self.row.deviation = i16::try_from(take_i64(&mut self.packed)?).ok()?;
        }
        if flags & SAME_STATUS == 0 {
            let (status, rest) = self.packed.split_first()?;
            self.packed = rest;
            self.row.status = IntervalStatus::from_bits(*status);
        }
        let channels = usize::from(self.row.channels).min(CHANNELS_MAX);
        for value in self.row.values.iter_mut().take(channels) {
            *value = value.wrapping_add_signed(take_i64(&mut self.packed)?);
        }
        self.row.sequence += 1;
        Some(())
    }
}

impl Rows<'_> {
    /// Returns the next row without copying it.
    pub fn next_row(&mut self) -> Option<&Row> {
        if self.left == 0 {
            return None;
        }
        let (from_s, to_s) = (self.from_s, self.to_s);
        loop {
            let row = self.advance()?;
            if (from_s..=to_s).contains(&row.at_s) {
                break;
            }
        }
        self.left -= 1;
        self.cursor.as_ref().map(|cursor| &cursor.row)
    }

    /// Returns the next row, whether in range or not.
    fn advance(&mut self) -> Option<&Row> {
        let history = self.history;
        let stepped = match &mut self.cursor {
            Some(cursor) => cursor.step(history.period_s),
            None => None,
        };
        if stepped.is_none() {
            if self.cursor.take().is_some() {
                self.index += 1;
            }
            loop {
                let block = history.blocks.get(self.index)?;
                if block.latest_s < self.from_s || block.earliest_s > self.to_s {
                    self.index += 1;
                    continue;
                }
                self.cursor = Some(Cursor {
                    row: block.first,
                    packed: &block.packed,
                    rows: block.rows - 1,
                });
                break;
            }
        }
        self.cursor.as_ref().map(|cursor| &cursor.row)
    }
}

impl Iterator for Rows<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        self.next_row().copied()
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement with a plain list of rows.
    use super::*;
    use crate::metrology::draw;

    fn row(sequence: u64, at_s: i64) -> Row {
        let mut values = [0; CHANNELS_MAX];
        values[0] = 1_000_000 + sequence * 110 + draw(7, 1, sequence) % 100;
        values[1] = draw(7, 2, sequence) % 3;
        Row {
            sequence,
            at_s,
            deviation: if sequence.is_multiple_of(500) {
                120
            } else {
                60
            },
            status: if sequence.is_multiple_of(97) {
                IntervalStatus::CLOCK_ADJUSTED
            } else {
                IntervalStatus::default()
            },
            values,
            channels: 2,
        }
    }

    /// Rows with gaps, and a clock that was set back once.
    fn rows(count: u64) -> Vec<Row> {
        let mut at_s = 1_795_000_500;
        (0..count)
            .map(|sequence| {
                at_s += match sequence % 301 {
                    300 => -3_600 * 3,
                    150 => 86_400,
                    _ => 900,
                };
                row(sequence, at_s)
            })
            .collect()
    }

    fn filled(rows: &[Row], capacity: usize) -> History {
        let mut history = History::new(capacity, 900);
        for row in rows {
            history.push(SegmentNumber(row.sequence / 1_000), *row);
        }
        history
    }

    #[test]
    fn a_ring_shows_the_newest_rows() {
        let rows = rows(3_000);
        for capacity in [1, 95, 96, 97, 960, 2_999, 3_000, 5_760] {
            let history = filled(&rows, capacity);
            let shown = rows.len().min(capacity);
            assert_eq!(history.len(), shown);
            let kept = &rows[rows.len() - shown..];
            assert!(history.iter().eq(kept.iter().copied()), "{capacity}");
            for from in [0, 1, 95, 96, 300] {
                let expected = kept.iter().skip(from).take(7).copied();
                assert!(history.entries(from, 7).eq(expected), "{capacity} {from}");
            }
            assert!(history.blocks.len() <= capacity / 96 + 2);
        }
    }

    #[test]
    fn a_range_is_a_filter_by_time() {
        let rows = rows(3_000);
        let history = filled(&rows, 5_760);
        for (from, to) in [
            (500, 600),
            (0, 2_999),
            (149, 151),
            (299, 301),
            (2_000, 1_000),
        ] {
            let (from_s, to_s) = (rows[from].at_s, rows[to].at_s);
            let expected = rows
                .iter()
                .filter(|row| (from_s..=to_s).contains(&row.at_s))
                .copied();
            assert!(history.range(from_s, to_s).eq(expected), "{from} {to}");
        }
        assert!(history.range(i64::MIN, i64::MAX).eq(rows.iter().copied()));
    }

    #[test]
    fn rows_seen_twice_count_once_and_lost_ones_leave_a_gap() {
        let rows = rows(500);
        let mut history = filled(&rows, 5_760);
        for row in &rows[100..] {
            history.push(SegmentNumber(9), *row);
        }
        assert!(history.iter().eq(rows.iter().copied()));
        let mut history = History::new(5_760, 900);
        let kept: Vec<Row> = rows
            .iter()
            .filter(|row| !(120..130).contains(&row.sequence))
            .copied()
            .collect();
        for row in &kept {
            history.push(SegmentNumber(1), *row);
        }
        assert!(history.iter().eq(kept));
    }

    #[test]
    fn blocks_go_with_their_segment() {
        let rows = rows(2_500);
        let mut history = filled(&rows, 5_760);
        assert_eq!(history.oldest_segment(), Some(SegmentNumber(0)));
        history.drop_before(SegmentNumber(1));
        assert_eq!(history.oldest_segment(), Some(SegmentNumber(1)));
        let first = history.iter().next().unwrap().sequence;
        assert!((1_000..1_100).contains(&first));
        assert_eq!(history.len(), 2_500 - usize::try_from(first).unwrap());
        history.drop_before(SegmentNumber(99));
        assert!(history.is_empty());
        assert_eq!(history.last().map(|row| row.sequence), Some(2_499));
    }

    #[test]
    fn sixty_days_are_small() {
        let rows: Vec<Row> = (0..5_760).map(|n| row(n, 900 * n.cast_signed())).collect();
        let history = filled(&rows, 5_760);
        assert!(history.octets() < 40_000, "{} octets", history.octets());
    }
}
