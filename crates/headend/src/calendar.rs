//! Days of the site: civil days of its zone, 23 to 25 hours long.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::Timestamp;

/// The zone by which days begin and end.
#[derive(Clone)]
pub struct Calendar {
    name: String,
    zone: TimeZone,
}

/// A civil day, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

/// The first and last second of a day, half open, in seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayBounds {
    /// Holds the first second of the day.
    pub start: i64,
    /// Holds the first second of the next day.
    pub end: i64,
}

impl Calendar {
    /// Takes the name of a zone as the IANA database has it: `Europe/Zurich`.
    ///
    /// # Errors
    /// [`UnknownZone`] where that database has none of this name.
    pub fn new(name: &str) -> Result<Self, UnknownZone> {
        let zone = TimeZone::get(name).map_err(|_| UnknownZone(name.chars().take(64).collect()))?;
        Ok(Self {
            name: zone.iana_name().unwrap_or(name).to_owned(),
            zone,
        })
    }

    /// Returns the zone's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the day that a second lies in.
    pub fn day_of(&self, secs: i64) -> Day {
        let time = instant(secs);
        Day::from_date(self.zone.to_datetime(time).date())
    }

    /// Returns when a day begins and ends.
    pub fn bounds(&self, day: Day) -> DayBounds {
        DayBounds {
            start: self.midnight(day),
            end: self.midnight(day.plus(1)),
        }
    }

    /// Returns `count` days from `first` on, each with its bounds.
    pub(crate) fn days(&self, first: Day, count: i32) -> impl Iterator<Item = (Day, DayBounds)> {
        let mut start = self.midnight(first);
        (0..count).map(move |offset| {
            let day = first.plus(offset);
            let end = self.midnight(day.plus(1));
            let bounds = DayBounds { start, end };
            start = end;
            (day, bounds)
        })
    }

    /// Returns the offset from UTC at a second, in seconds east.
    pub fn offset_s(&self, secs: i64) -> i32 {
        self.zone.to_offset(instant(secs)).seconds()
    }

    fn midnight(&self, day: Day) -> i64 {
        let midnight = day.date().to_datetime(jiff::civil::Time::midnight());
        // Where midnight does not exist the day begins with the gap's end, as `compatible` has it.
        match self.zone.to_ambiguous_timestamp(midnight).compatible() {
            Ok(time) => time.as_second(),
            Err(_) => i64::from(day.0).saturating_mul(86_400),
        }
    }
}

impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Calendar").field(&self.name).finish()
    }
}

impl Day {
    /// Takes the number of days since 1970-01-01; the years 1900 to 2200 can be told apart, what
    /// lies outside becomes the nearest of these.
    pub const fn new(days: i32) -> Self {
        let days = if days < Self::MIN { Self::MIN } else { days };
        Self(if days > Self::MAX { Self::MAX } else { days })
    }

    const MIN: i32 = -25_567;
    const MAX: i32 = 84_006;

    /// Returns the number of days since 1970-01-01.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// Returns the day `days` later, earlier where negative.
    #[must_use]
    pub const fn plus(self, days: i32) -> Self {
        Self::new(self.0.saturating_add(days))
    }

    fn from_date(date: Date) -> Self {
        let days = date.duration_since(EPOCH).as_hours().div_euclid(24);
        Self::new(i32::try_from(days).unwrap_or_default())
    }

    fn date(self) -> Date {
        let days = jiff::SignedDuration::from_hours(i64::from(self.0) * 24);
        EPOCH.saturating_add(days)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.date())
    }
}

/// Writes a point in time as RFC 3339 in UTC, with milliseconds where it has some.
pub fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.millis()).map_or_else(
        |_| String::from("1970-01-01T00:00:00Z"),
        |time| time.to_string(),
    )
}

/// Reads a point in time of RFC 3339.
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    if text.len() > 64 {
        return None;
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_millis(time.as_millisecond()))
}

/// There is no zone of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no time zone `{0}`: use a name of the IANA database such as Europe/Zurich")]
pub struct UnknownZone(pub String);

fn instant(secs: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(secs).unwrap_or_default()
}

const EPOCH: Date = Date::constant(1970, 1, 1);

#[cfg(test)]
mod tests {
    //! Evidence: the transitions of Europe/Zurich in 2026 (29 March, 25 October), a fact of the
    //! IANA database.
    use super::*;

    fn hours(calendar: &Calendar, date: &str) -> i64 {
        let date: Date = date.parse().unwrap();
        let bounds = calendar.bounds(Day::from_date(date));
        assert_eq!(calendar.day_of(bounds.start).date(), date);
        assert_eq!(calendar.day_of(bounds.end - 1).date(), date);
        assert_ne!(calendar.day_of(bounds.end).date(), date);
        (bounds.end - bounds.start) / 3_600
    }

    #[test]
    fn days_have_23_to_25_hours() {
        let zurich = Calendar::new("Europe/Zurich").unwrap();
        assert_eq!(hours(&zurich, "2026-11-21"), 24);
        assert_eq!(hours(&zurich, "2026-03-29"), 23);
        assert_eq!(hours(&zurich, "2026-10-25"), 25);
        assert_eq!(zurich.offset_s(1_795_262_400), 3_600);
    }

    #[test]
    fn zones_are_named_or_refused() {
        assert_eq!(Calendar::new("UTC").unwrap().name(), "UTC");
        assert!(Calendar::new("Mars/Olympus").is_err());
        assert!(Calendar::new("../../etc/passwd").is_err());
    }

    #[test]
    fn days_read_as_dates() {
        assert_eq!(Day::new(20_778).to_string(), "2026-11-21");
        assert_eq!(Day::new(i32::MAX).plus(1).to_string(), "2200-01-01");
        assert_eq!(Day::new(i32::MIN).to_string(), "1900-01-01");
    }

    #[test]
    fn times_read_back() {
        let at = Timestamp::from_millis(1_795_262_400_250);
        assert_eq!(rfc3339(at), "2026-11-21T12:00:00.25Z");
        assert_eq!(parse_rfc3339(&rfc3339(at)), Some(at));
        assert_eq!(parse_rfc3339("2026-11-21T13:00:00.25+01:00"), Some(at));
        assert_eq!(parse_rfc3339("yesterday"), None);
    }
}
