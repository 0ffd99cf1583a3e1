//! Received and expected intervals of the last days.

use model::Timestamp;

use super::{FleetMeter, Judge};
use crate::calendar::{Calendar, Day, DayBounds};

/// The number of days shown.
pub const DAYS: i32 = 30;
const DAYS_KEPT: usize = 30;
const PERIOD_ASSUMED_S: u32 = 900;

/// Intervals received on each of the last days.
#[derive(Clone, Debug)]
pub(super) struct DayCounts {
    last: Day,
    /// Counts of the days up to `last`, in ascending order.
    counts: [u16; DAYS_KEPT],
}

impl DayCounts {
    pub(super) const fn new(today: Day) -> Self {
        Self {
            last: today,
            counts: [0; DAYS_KEPT],
        }
    }

    pub(super) fn set(&mut self, day: Day, received: u32) {
        let ahead = day.number() - self.last.number();
        if ahead > 0 {
            let shift = usize::try_from(ahead).unwrap_or(DAYS_KEPT).min(DAYS_KEPT);
            self.counts.rotate_left(shift);
            let kept = self.counts.len() - shift;
            self.counts.iter_mut().skip(kept).for_each(|n| *n = 0);
            self.last = day;
        }
        if let Some(place) = self.index(day).and_then(|index| self.counts.get_mut(index)) {
            *place = u16::try_from(received).unwrap_or(u16::MAX);
        }
    }

    fn get(&self, day: Day) -> u32 {
        let count = self.index(day).and_then(|index| self.counts.get(index));
        count.copied().map_or(0, u32::from)
    }

    fn index(&self, day: Day) -> Option<usize> {
        let back = usize::try_from(self.last.number() - day.number()).ok()?;
        (DAYS_KEPT - 1).checked_sub(back)
    }
}

/// Received and expected intervals of one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayFigure {
    /// Counts the intervals that are here.
    pub received: u32,
    /// Counts the intervals that should be here by now.
    pub expected: u32,
}

impl DayFigure {
    /// Returns the part that is here in thousandths, cut; `None` where nothing is expected.
    pub fn permille(self) -> Option<u16> {
        let received = u64::from(self.received.min(self.expected));
        let permille = (received * 1_000).checked_div(u64::from(self.expected))?;
        u16::try_from(permille).ok()
    }
}

/// The last days at one moment.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    days: Vec<(Day, DayBounds)>,
    due: i64,
}

impl Slots {
    pub(super) fn new(calendar: &Calendar, now: Timestamp, grace_s: i64) -> Self {
        let today = calendar.day_of(now.secs());
        let days = (1 - DAYS..=0).map(|back| {
            let day = today.plus(back);
            (day, calendar.bounds(day))
        });
        Self {
            days: days.collect(),
            due: now.secs() - grace_s,
        }
    }
}

impl Judge {
    /// Returns the last [`DAYS`] days, oldest first.
    pub fn days(&self) -> impl Iterator<Item = Day> {
        self.slots.days.iter().map(|(day, _)| *day)
    }

    /// Returns a meter's figures of the last [`DAYS`] days, oldest first.
    pub fn figures(&self, meter: &FleetMeter) -> impl Iterator<Item = DayFigure> {
        self.upto(meter, self.slots.due).map(|(_, figure)| figure)
    }

    /// Returns the first of these days of which rows are missing that are older than the newest.
    pub(super) fn gap(&self, meter: &FleetMeter) -> Option<Day> {
        let newest = meter.state.newest?.secs().min(self.slots.due);
        self.upto(meter, newest)
            .find(|(_, figure)| figure.received < figure.expected)
            .map(|(day, _)| day)
    }

    pub(super) const fn due(&self) -> i64 {
        self.slots.due
    }

    fn upto(&self, meter: &FleetMeter, until: i64) -> impl Iterator<Item = (Day, DayFigure)> {
        let period = i64::from(meter.meter.period_s.unwrap_or(PERIOD_ASSUMED_S).max(1));
        let from = meter.meter.expected_from.secs();
        self.slots.days.iter().map(move |(day, bounds)| {
            let start = bounds.start.max(from);
            let end = bounds.end.min(until);
            let length = bounds.end - bounds.start;
            // Rows end on the grid that begins with the day; a day's single row ends with it.
            let ended = |at: i64| (at - bounds.start).clamp(0, length) / period;
            let expected = if period >= 86_400 {
                i64::from(from <= bounds.start && bounds.end <= until)
            } else if start < end {
                ended(end) - ended(start)
            } else {
                0
            };
            let figure = DayFigure {
                received: meter.days.get(*day),
                expected: u32::try_from(expected).unwrap_or(0),
            };
            (*day, figure)
        })
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;

    #[test]
    fn days_shift_out() {
        let day = Day::new(1_000);
        let mut counts = DayCounts::new(day);
        counts.set(day, 96);
        counts.set(day.plus(-29), 1);
        counts.set(day.plus(-30), 7);
        assert_eq!(counts.get(day.plus(-29)), 1);
        assert_eq!(counts.get(day.plus(-30)), 0);
        counts.set(day.plus(2), 5);
        assert_eq!(counts.get(day.plus(2)), 5);
        assert_eq!(counts.get(day.plus(1)), 0);
        assert_eq!(counts.get(day), 96);
        assert_eq!(counts.get(day.plus(-29)), 0);
        counts.set(day.plus(100), 3);
        assert_eq!(counts.get(day.plus(100)), 3);
        assert_eq!(counts.get(day.plus(2)), 0);
        assert_eq!(counts.get(day.plus(101)), 0);
    }

    #[test]
    fn permille_is_cut_and_never_of_nothing() {
        let figure = |received, expected| DayFigure { received, expected }.permille();
        assert_eq!(figure(9_999, 10_000), Some(999));
        assert_eq!(figure(96, 96), Some(1_000));
        assert_eq!(figure(97, 96), Some(1_000));
        assert_eq!(figure(0, 0), None);
    }
}
