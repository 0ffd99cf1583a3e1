//! Dates and times (Blue Book, "Date and time formats").
//!
//! Every field may be left unspecified, and some values stand for a rule ("the
//! last Sunday of March"). The fields are therefore kept as the octets have
//! them, and turned to a point in time only on request.

use core::fmt;

/// A date of five octets.
///
/// ```text
/// | year (2) | month | day_of_month | day_of_week |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Date {
    /// The year, or [`Date::YEAR_UNSPECIFIED`].
    pub year: u16,
    /// The month from 1, or [`Date::DAYLIGHT_SAVINGS_END`],
    /// [`Date::DAYLIGHT_SAVINGS_BEGIN`], [`Date::UNSPECIFIED`].
    pub month: u8,
    /// The day from 1, or [`Date::SECOND_LAST_DAY`], [`Date::LAST_DAY`],
    /// [`Date::UNSPECIFIED`]; 0xE0 to 0xFC are reserved.
    pub day_of_month: u8,
    /// The day of the week from 1, a Monday, or [`Date::UNSPECIFIED`].
    pub day_of_week: u8,
}

impl Date {
    /// Any year.
    pub const YEAR_UNSPECIFIED: u16 = 0xFFFF;
    /// Any month, day or day of the week.
    pub const UNSPECIFIED: u8 = 0xFF;
    /// In `month`: that in which daylight saving ends.
    pub const DAYLIGHT_SAVINGS_END: u8 = 0xFD;
    /// In `month`: that in which daylight saving begins.
    pub const DAYLIGHT_SAVINGS_BEGIN: u8 = 0xFE;
    /// In `day_of_month`: the last but one.
    pub const SECOND_LAST_DAY: u8 = 0xFD;
    /// In `day_of_month`: the last.
    pub const LAST_DAY: u8 = 0xFE;

    /// The date of which nothing is specified.
    pub const ANY: Self = Self {
        year: Self::YEAR_UNSPECIFIED,
        month: Self::UNSPECIFIED,
        day_of_month: Self::UNSPECIFIED,
        day_of_week: Self::UNSPECIFIED,
    };

    /// Makes a date with its day of the week; nothing where the calendar has
    /// no such day.
    #[must_use]
    pub fn new(year: u16, month: u8, day_of_month: u8) -> Option<Self> {
        let days = days_of(year, month, day_of_month)?;
        Some(Self {
            year,
            month,
            day_of_month,
            day_of_week: weekday_of(days),
        })
    }

    /// Takes the octets as they are.
    #[must_use]
    #[inline]
    pub const fn from_octets(octets: [u8; 5]) -> Self {
        let [high, low, month, day_of_month, day_of_week] = octets;
        Self {
            year: u16::from_be_bytes([high, low]),
            month,
            day_of_month,
            day_of_week,
        }
    }

    /// Makes the octets.
    #[must_use]
    #[inline]
    pub const fn to_octets(self) -> [u8; 5] {
        let [high, low] = self.year.to_be_bytes();
        [high, low, self.month, self.day_of_month, self.day_of_week]
    }

    /// Tells the days since 1970-01-01 where year, month and day are given and
    /// the calendar has such a day.
    #[must_use]
    pub fn to_unix_days(self) -> Option<i64> {
        days_of(self.year, self.month, self.day_of_month)
    }

    /// Makes the date that lies `days` after 1970-01-01, in the years 0 to
    /// 9999.
    #[must_use]
    pub fn from_unix_days(days: i64) -> Option<Self> {
        let (year, month, day_of_month) = civil_of(days)?;
        Some(Self {
            year,
            month,
            day_of_month,
            day_of_week: weekday_of(days),
        })
    }

    /// Finds the one day that this date means in a given month, whatever it
    /// leaves open or states as a rule:
    ///
    /// - the last day, or with a day of the week the last such day;
    /// - the last day but one;
    /// - where the year is unspecified: the day of the week on or after the
    ///   day of the month (which may lie in the next month).
    ///
    /// Nothing where the date means another year or month, no single day, or
    /// a day of the week that the day does not fall on. A month told as the
    /// begin or end of daylight saving fits any month: only the caller knows
    /// the rule.
    #[must_use]
    pub fn resolve(self, year: u16, month: u8) -> Option<Self> {
        let same_year = self.year == Self::YEAR_UNSPECIFIED || self.year == year;
        let same_month = self.month == month || self.month >= Self::DAYLIGHT_SAVINGS_END;
        if !same_year || !same_month {
            return None;
        }
        let first = days_of(year, month, 1)?;
        let last = first + i64::from(days_in(year, month)?) - 1;
        let weekday = (self.day_of_week != Self::UNSPECIFIED).then_some(self.day_of_week);
        let days = match (self.day_of_month, weekday) {
            (Self::UNSPECIFIED, _) => return None,
            (Self::LAST_DAY, Some(weekday)) => last - days_between(weekday, weekday_of(last)),
            (Self::LAST_DAY, None) => last,
            (Self::SECOND_LAST_DAY, _) => last - 1,
            (day, Some(weekday)) if self.year == Self::YEAR_UNSPECIFIED => {
                let from = days_of(year, month, day)?;
                from + days_between(weekday_of(from), weekday)
            }
            (day, _) => days_of(year, month, day)?,
        };
        let date = Self::from_unix_days(days)?;
        weekday
            .is_none_or(|weekday| weekday == date.day_of_week)
            .then_some(date)
    }

    /// Tells whether `day`, a day of the calendar, is one that this date
    /// means.
    #[must_use]
    pub fn includes(self, day: Self) -> bool {
        if self.day_of_month != Self::UNSPECIFIED {
            if self
                .resolve(day.year, day.month)
                .is_some_and(|found| found.same_day(day))
            {
                return true;
            }
            // A day of the week on or after the 31st may lie a month later.
            let (year, month) = match day.month {
                1 => (day.year.wrapping_sub(1), 12),
                month => (day.year, month.wrapping_sub(1)),
            };
            return self
                .resolve(year, month)
                .is_some_and(|found| found.same_day(day));
        }
        let weekday = day.to_unix_days().map(weekday_of);
        weekday.is_some()
            && (self.year == Self::YEAR_UNSPECIFIED || self.year == day.year)
            && (self.month == day.month || self.month >= Self::DAYLIGHT_SAVINGS_END)
            && (self.day_of_week == Self::UNSPECIFIED || Some(self.day_of_week) == weekday)
    }

    fn same_day(self, other: Self) -> bool {
        (self.year, self.month, self.day_of_month) == (other.year, other.month, other.day_of_month)
    }
}

/// Writes the date as ISO 8601 does; `*` stands for what is not specified.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.year {
            Self::YEAR_UNSPECIFIED => f.write_str("****")?,
            year => write!(f, "{year:04}")?,
        }
        match self.month {
            Self::DAYLIGHT_SAVINGS_END => f.write_str("-dst_end")?,
            Self::DAYLIGHT_SAVINGS_BEGIN => f.write_str("-dst_begin")?,
            month => write_field(f, "-", month)?,
        }
        match self.day_of_month {
            Self::SECOND_LAST_DAY => f.write_str("-second_last")?,
            Self::LAST_DAY => f.write_str("-last")?,
            day => write_field(f, "-", day)?,
        }
        let implied = self.to_unix_days().map(weekday_of);
        if self.day_of_week != Self::UNSPECIFIED && implied != Some(self.day_of_week) {
            match usize::from(self.day_of_week)
                .checked_sub(1)
                .and_then(|index| WEEKDAYS.get(index))
            {
                Some(name) => write!(f, " {name}")?,
                None => write!(f, " weekday {}", self.day_of_week)?,
            }
        }
        Ok(())
    }
}

/// A time of day of four octets, each of which may be [`Time::UNSPECIFIED`].
///
/// ```text
/// | hour | minute | second | hundredths |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Time {
    /// The hour, 0 to 23.
    pub hour: u8,
    /// The minute, 0 to 59.
    pub minute: u8,
    /// The second, 0 to 59.
    pub second: u8,
    /// The hundredths of a second, 0 to 99.
    pub hundredths: u8,
}

impl Time {
    /// Any hour, minute, second or hundredth.
    pub const UNSPECIFIED: u8 = 0xFF;

    /// The time of which nothing is specified.
    pub const ANY: Self = Self {
        hour: Self::UNSPECIFIED,
        minute: Self::UNSPECIFIED,
        second: Self::UNSPECIFIED,
        hundredths: Self::UNSPECIFIED,
    };

    /// Makes a time to the second, without hundredths.
    #[must_use]
    pub const fn new(hour: u8, minute: u8, second: u8) -> Option<Self> {
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        Some(Self {
            hour,
            minute,
            second,
            hundredths: Self::UNSPECIFIED,
        })
    }

    /// Takes the octets as they are.
    #[must_use]
    #[inline]
    pub const fn from_octets(octets: [u8; 4]) -> Self {
        let [hour, minute, second, hundredths] = octets;
        Self {
            hour,
            minute,
            second,
            hundredths,
        }
    }

    /// Makes the octets.
    #[must_use]
    #[inline]
    pub const fn to_octets(self) -> [u8; 4] {
        [self.hour, self.minute, self.second, self.hundredths]
    }

    /// Tells the seconds since midnight where hour and minute are given. An
    /// unspecified second counts as 0; hundredths do not count.
    #[must_use]
    pub fn to_seconds(self) -> Option<u32> {
        let second = match self.second {
            Self::UNSPECIFIED => 0,
            second => second,
        };
        let known = Self::new(self.hour, self.minute, second)?;
        Some(u32::from(known.hour) * 3_600 + u32::from(known.minute) * 60 + u32::from(known.second))
    }
}

/// Writes the time as ISO 8601 does; `*` stands for what is not specified.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_field(f, "", self.hour)?;
        write_field(f, ":", self.minute)?;
        write_field(f, ":", self.second)?;
        match self.hundredths {
            Self::UNSPECIFIED | 0 => Ok(()),
            hundredths => write_field(f, ".", hundredths),
        }
    }
}

/// The status octet of a `date-time`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClockStatus(pub u8);

impl ClockStatus {
    /// Nothing to report.
    pub const OK: Self = Self(0);
    /// The status is not specified.
    pub const UNSPECIFIED: Self = Self(0xFF);
    /// The time could not be recovered after an incident.
    pub const INVALID_VALUE: u8 = 0x01;
    /// The time was recovered after an incident, its value is not sure.
    pub const DOUBTFUL_VALUE: u8 = 0x02;
    /// The time comes from another source than `clock_base` says.
    pub const DIFFERENT_CLOCK_BASE: u8 = 0x04;
    /// At least one bit of the status itself is invalid.
    pub const INVALID_CLOCK_STATUS: u8 = 0x08;
    /// The time contains the daylight saving deviation.
    pub const DAYLIGHT_SAVING_ACTIVE: u8 = 0x80;

    /// Tells whether a status is given and any of `bits` is set in it.
    #[must_use]
    pub const fn has(self, bits: u8) -> bool {
        self.0 != Self::UNSPECIFIED.0 && self.0 & bits != 0
    }
}

/// Lists the bits that are set.
impl fmt::Display for ClockStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::UNSPECIFIED {
            return f.write_str("unspecified");
        }
        let names = [
            (Self::INVALID_VALUE, "invalid value"),
            (Self::DOUBTFUL_VALUE, "doubtful value"),
            (Self::DIFFERENT_CLOCK_BASE, "different clock base"),
            (Self::INVALID_CLOCK_STATUS, "invalid clock status"),
            (0x70, "reserved bits"),
            (Self::DAYLIGHT_SAVING_ACTIVE, "daylight saving"),
        ];
        let mut before = "";
        for (bit, name) in names {
            if self.has(bit) {
                write!(f, "{before}{name}")?;
                before = ", ";
            }
        }
        if before.is_empty() {
            f.write_str("ok")?;
        }
        Ok(())
    }
}

/// A date and time of twelve octets.
///
/// ```text
/// | date (5) | time (4) | deviation (2) | clock_status |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DateTime {
    /// The local date.
    pub date: Date,
    /// The local time.
    pub time: Time,
    /// The minutes from local time to UTC, or
    /// [`DateTime::DEVIATION_UNSPECIFIED`]. UTC is local time plus the
    /// deviation: Central European Time has −60. (Some companion standards
    /// turn the sign: India, Saudi Arabia, Italy.)
    pub deviation: i16,
    /// What the clock says of itself.
    pub status: ClockStatus,
}

impl DateTime {
    /// The local time stands in no known relation to UTC (0x8000).
    pub const DEVIATION_UNSPECIFIED: i16 = i16::MIN;

    /// The date and time of which nothing is specified.
    pub const ANY: Self = Self {
        date: Date::ANY,
        time: Time::ANY,
        deviation: Self::DEVIATION_UNSPECIFIED,
        status: ClockStatus::UNSPECIFIED,
    };

    /// Takes the octets as they are.
    #[must_use]
    #[inline]
    pub const fn from_octets(octets: [u8; 12]) -> Self {
        let [
            y1,
            y0,
            month,
            day,
            weekday,
            hour,
            minute,
            second,
            hundredths,
            d1,
            d0,
            status,
        ] = octets;
        Self {
            date: Date::from_octets([y1, y0, month, day, weekday]),
            time: Time::from_octets([hour, minute, second, hundredths]),
            deviation: i16::from_be_bytes([d1, d0]),
            status: ClockStatus(status),
        }
    }

    /// Makes the octets.
    #[must_use]
    #[inline]
    pub const fn to_octets(self) -> [u8; 12] {
        let [y1, y0, month, day, weekday] = self.date.to_octets();
        let [hour, minute, second, hundredths] = self.time.to_octets();
        let [d1, d0] = self.deviation.to_be_bytes();
        [
            y1,
            y0,
            month,
            day,
            weekday,
            hour,
            minute,
            second,
            hundredths,
            d1,
            d0,
            self.status.0,
        ]
    }

    /// Makes the local time of a point in time, to the second.
    ///
    /// `seconds` count from 1970-01-01T00:00Z without leap seconds;
    /// `deviation` are the minutes from local time to UTC. Nothing outside
    /// the years 0 to 9999.
    #[must_use]
    pub fn from_unix_seconds(seconds: i64, deviation: i16, status: ClockStatus) -> Option<Self> {
        let offset = match deviation {
            Self::DEVIATION_UNSPECIFIED => 0,
            minutes => i64::from(minutes) * 60,
        };
        let local = seconds.checked_sub(offset)?;
        let date = Date::from_unix_days(local.div_euclid(SECONDS_PER_DAY))?;
        let second = local.rem_euclid(SECONDS_PER_DAY);
        let part = |value: i64| u8::try_from(value).ok();
        let time = Time {
            hour: part(second / 3_600)?,
            minute: part(second / 60 % 60)?,
            second: part(second % 60)?,
            hundredths: 0,
        };
        Some(Self {
            date,
            time,
            deviation,
            status,
        })
    }

    /// Tells the seconds since 1970-01-01T00:00 in local time. Nothing where
    /// year, month, day, hour or minute are not given or not of the calendar.
    #[must_use]
    pub fn to_local_seconds(self) -> Option<i64> {
        let days = self.date.to_unix_days()?;
        Some(days * SECONDS_PER_DAY + i64::from(self.time.to_seconds()?))
    }

    /// Tells the seconds since 1970-01-01T00:00Z. Nothing where
    /// [`DateTime::to_local_seconds`] is nothing or the deviation is not
    /// given.
    #[must_use]
    pub fn to_unix_seconds(self) -> Option<i64> {
        if self.deviation == Self::DEVIATION_UNSPECIFIED {
            return None;
        }
        Some(self.to_local_seconds()? + i64::from(self.deviation) * 60)
    }
}

/// Writes the date and time as ISO 8601 does, with the offset from UTC where
/// it is known; `*` stands for what is not specified.
impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}T{}", self.date, self.time)?;
        match self.deviation {
            Self::DEVIATION_UNSPECIFIED => Ok(()),
            0 => f.write_str("Z"),
            deviation => {
                let sign = if deviation < 0 { '+' } else { '-' };
                let minutes = deviation.unsigned_abs();
                write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}

const SECONDS_PER_DAY: i64 = 86_400;

/// Days from 0000-03-01, where the arithmetic starts, to 1970-01-01.
const EPOCH: i64 = 719_468;

const DAYS_PER_400_YEARS: i64 = 146_097;

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

fn write_field(f: &mut fmt::Formatter<'_>, before: &str, value: u8) -> fmt::Result {
    match value {
        0xFF => write!(f, "{before}**"),
        value => write!(f, "{before}{value:02}"),
    }
}

fn days_in(year: u16, month: u8) -> Option<u8> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

/// Counts the days from 1970-01-01 in the proleptic Gregorian calendar, by
/// years that begin in March so that a leap day is the last of its year.
fn days_of(year: u16, month: u8, day: u8) -> Option<i64> {
    if year > 9_999 || day == 0 || day > days_in(year, month)? {
        return None;
    }
    let (year, month) = match month {
        1 | 2 => (i64::from(year) - 1, i64::from(month) + 9),
        _ => (i64::from(year), i64::from(month) - 3),
    };
    let (century, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    let day = year * 365 + year / 4 - year / 100 + day_of_year;
    Some(century * DAYS_PER_400_YEARS + day - EPOCH)
}

fn civil_of(days: i64) -> Option<(u16, u8, u8)> {
    let days = days.checked_add(EPOCH)?;
    let (century, day) = (
        days.div_euclid(DAYS_PER_400_YEARS),
        days.rem_euclid(DAYS_PER_400_YEARS),
    );
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        10.. => (year + 1, month - 9),
        _ => (year, month + 3),
    };
    let year = u16::try_from(century.checked_mul(400)?.checked_add(year)?).ok()?;
    if year > 9_999 {
        return None;
    }
    Some((year, u8::try_from(month).ok()?, u8::try_from(day).ok()?))
}

/// Tells the day of the week from 1, a Monday; 1970-01-01 was a Thursday.
fn weekday_of(days: i64) -> u8 {
    u8::try_from((days + 3).rem_euclid(7) + 1).unwrap_or(Date::UNSPECIFIED)
}

/// Counts the days from one day of the week to the next `to`.
fn days_between(from: u8, to: u8) -> i64 {
    (i64::from(to) - i64::from(from)).rem_euclid(7)
}
