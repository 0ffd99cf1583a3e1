//! Days and months of the place: civil ones of its zone.

use std::fmt;

use han::espi::{Occurrence, Rule, TimeConfiguration};
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp as Instant};
use model::Timestamp;

/// The zone by which days begin and end.
#[derive(Clone)]
pub struct Calendar {
    name: String,
    zone: TimeZone,
}

/// The name of a zone that the database does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no zone {0}: it is like Europe/Zurich")]
pub struct UnknownZone(String);

impl Calendar {
    /// Takes the name of a zone as the IANA database has it: `Europe/Zurich`.
    ///
    /// # Errors
    /// [`UnknownZone`] where that database has none of this name.
    pub fn new(name: &str) -> Result<Self, UnknownZone> {
        let zone =
            TimeZone::get(name).map_err(|_| UnknownZone(name.escape_debug().take(64).collect()))?;
        Ok(Self {
            name: zone.iana_name().unwrap_or(name).to_owned(),
            zone,
        })
    }

    /// Tells the zone's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells when the day `days` after the one of `time` begins.
    #[must_use]
    pub fn day(&self, time: Timestamp, days: i64) -> Timestamp {
        let date = self.date(time);
        self.midnight(date.saturating_add(Span::new().days(days.clamp(-4_000, 4_000))))
    }

    /// Tells when the month `months` after the one of `time` begins.
    #[must_use]
    pub fn month(&self, time: Timestamp, months: i64) -> Timestamp {
        let first = self.date(time).first_of_month();
        self.midnight(first.saturating_add(Span::new().months(months.clamp(-130, 130))))
    }

    /// Tells the same time of day, and day of month where `months` is not 0,
    /// so many days and months away; the last day of a shorter month.
    #[must_use]
    pub fn away(&self, time: Timestamp, days: i64, months: i64) -> Timestamp {
        let there = self
            .zone
            .to_datetime(instant(time))
            .saturating_add(Span::new().days(days).months(months));
        self.zone
            .to_ambiguous_timestamp(there)
            .compatible()
            .map_or(time, stamp)
    }

    /// Tells minutes of the day and the day of the week, Monday being 0, at
    /// `time`.
    #[must_use]
    pub fn place_in_week(&self, time: Timestamp) -> (u16, u8) {
        let there = self.zone.to_datetime(instant(time));
        let minutes = i32::from(there.hour()) * 60 + i32::from(there.minute());
        (
            u16::try_from(minutes).unwrap_or(0),
            u8::try_from(there.weekday().to_monday_zero_offset()).unwrap_or(0),
        )
    }

    /// Tells when the day of `time` is `minutes` old by the clock on the wall.
    #[must_use]
    pub fn at_minute(&self, time: Timestamp, minutes: u16) -> Timestamp {
        if minutes >= 24 * 60 {
            return self.day(time, 1);
        }
        let hour = i8::try_from(minutes / 60).unwrap_or(0);
        let minute = i8::try_from(minutes % 60).unwrap_or(0);
        let clock = Time::new(hour, minute, 0, 0).unwrap_or(Time::midnight());
        self.zone
            .to_ambiguous_timestamp(self.date(time).to_datetime(clock))
            .compatible()
            .map_or(time, stamp)
    }

    /// Tells the place's offset at `time`, in seconds east.
    #[must_use]
    pub fn offset_s(&self, time: Timestamp) -> i32 {
        self.zone.to_offset(instant(time)).seconds()
    }

    /// Tells the offset without daylight saving in the year of `time`, in
    /// minutes east: the lesser of those of winter and summer.
    #[must_use]
    pub fn standard_offset_minutes(&self, time: Timestamp) -> i16 {
        let year = self.date(time).year();
        let at =
            |month| Date::new(year, month, 1).map_or(0, |date| self.offset_s(self.midnight(date)));
        i16::try_from(at(1).min(at(7)) / 60).unwrap_or(0)
    }

    /// Tells the time of the place as Green Button has it. Rules of daylight
    /// saving are left out where none is in force now nor half a year away.
    #[must_use]
    pub fn local_time(&self, time: Timestamp) -> TimeConfiguration {
        let standard = i64::from(self.standard_offset_minutes(time)) * 60;
        let year = self.date(time).year();
        let mut turns = self
            .zone
            .following(instant(self.midnight(
                Date::new(year, 1, 1).unwrap_or_else(|_| self.date(time)),
            )))
            .take(2)
            .filter(|turn| self.date(stamp(turn.timestamp())).year() == year);
        let mut rules = [None, None];
        let mut offset = 0;
        for turn in turns.by_ref() {
            let after = i64::from(turn.offset().seconds());
            let daylight = after > standard;
            if daylight {
                offset = after - standard;
            }
            // The wall clock right before the turn tells when it comes.
            let before = self
                .zone
                .to_datetime(instant(stamp(turn.timestamp()).plus_secs(-1)))
                .saturating_add(Span::new().seconds(1));
            let rule = rule(before.date(), before.hour());
            if let Some(slot) = rules.get_mut(usize::from(!daylight)) {
                *slot = rule;
            }
        }
        let (start, end) = match rules {
            [Some(start), Some(end)] => (start, end),
            _ => (Rule::NONE, Rule::NONE),
        };
        TimeConfiguration {
            dst_end_rule: end,
            dst_offset: offset,
            dst_start_rule: start,
            tz_offset: standard,
        }
    }

    fn date(&self, time: Timestamp) -> Date {
        self.zone.to_datetime(instant(time)).date()
    }

    fn midnight(&self, date: Date) -> Timestamp {
        // Where midnight does not exist the day begins with the gap's end.
        self.zone
            .to_ambiguous_timestamp(date.to_datetime(Time::midnight()))
            .compatible()
            .map_or_else(|_| Timestamp::default(), stamp)
    }
}

impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Calendar").field(&self.name).finish()
    }
}

/// Writes a time by RFC 3339 in UTC, in whole seconds.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    let whole = Timestamp::from_secs(time.secs());
    instant(whole).to_string()
}

/// Reads one with a zone or an offset.
#[must_use]
pub fn parse_time(text: &str) -> Option<Timestamp> {
    if text.len() > 64 {
        return None;
    }
    text.parse::<Instant>().ok().map(stamp)
}

fn instant(time: Timestamp) -> Instant {
    Instant::from_millisecond(time.millis()).unwrap_or(Instant::UNIX_EPOCH)
}

fn stamp(time: Instant) -> Timestamp {
    Timestamp::from_millis(time.as_millisecond())
}

/// The rule that a turn on this date at this hour follows, if it comes each
/// year on the same day of the week.
fn rule(date: Date, hour: i8) -> Option<Rule> {
    let last = date.day() + 7 > date.days_in_month();
    let nth = u8::try_from((date.day() - 1) / 7 + 1).ok()?;
    Some(Rule {
        month: u8::try_from(date.month()).ok()?,
        occurrence: if last {
            Occurrence::Last
        } else {
            Occurrence::Nth(nth)
        },
        day_of_month: 0,
        day_of_week: u8::try_from(date.weekday().to_monday_one_offset()).ok()?,
        hour: u8::try_from(hour).ok()?,
        second: 0,
    })
}
