//! Civil dates, times and the 144 sections of a day.

use core::fmt;
use core::ops::RangeInclusive;
use core::str::FromStr;

/// A day of the calendar, 0000-01-01 to 9999-12-31, without a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CivilDate {
    year: u16,
    month: u8,
    day: u8,
}

/// A second of a day, without a zone: both sides keep the same civil time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CivilDateTime {
    date: CivilDate,
    seconds: u32,
}

/// Text that is no date or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CivilError {
    /// It does not have the form, digit for digit.
    #[error("a time like 2012-06-01 12:07:40, or a day like 2012-06-01")]
    Form,
    /// There is no such day or time.
    #[error("a day and time that there is")]
    NoSuch,
}

/// Days of a month.
const fn days(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

impl CivilDate {
    /// Takes year, month and day.
    ///
    /// # Errors
    /// [`CivilError::NoSuch`] where the calendar has no such day.
    pub const fn new(year: u16, month: u8, day: u8) -> Result<Self, CivilError> {
        if year > 9_999 || month == 0 || month > 12 || day == 0 || day > days(year, month) {
            return Err(CivilError::NoSuch);
        }
        Ok(Self { year, month, day })
    }

    /// Returns year, month and day.
    pub const fn parts(self) -> (u16, u8, u8) {
        (self.year, self.month, self.day)
    }

    /// Returns the beginning of a section of this day.
    pub const fn at(self, section: Section) -> CivilDateTime {
        CivilDateTime {
            date: self,
            seconds: (section.0 as u32 - 1) * Section::SECONDS,
        }
    }
}

impl CivilDateTime {
    /// The first second of the year 0.
    pub const START: Self = Self {
        date: CivilDate {
            year: 0,
            month: 1,
            day: 1,
        },
        seconds: 0,
    };

    /// Takes a day, and hour, minute and second of it.
    ///
    /// # Errors
    /// [`CivilError::NoSuch`] where a day has no such time.
    pub const fn new(
        date: CivilDate,
        hour: u8,
        minute: u8,
        second: u8,
    ) -> Result<Self, CivilError> {
        if hour > 23 || minute > 59 || second > 59 {
            return Err(CivilError::NoSuch);
        }
        let seconds = (hour as u32 * 60 + minute as u32) * 60 + second as u32;
        Ok(Self { date, seconds })
    }

    /// Returns the day.
    pub const fn date(self) -> CivilDate {
        self.date
    }

    /// Returns the seconds since the day began, 0 to 86,399.
    pub const fn seconds(self) -> u32 {
        self.seconds
    }

    /// Returns the seconds since 0000-01-01 00:00:00 in the calendar of today, so that times can be
    /// subtracted.
    pub const fn ordinal(self) -> u64 {
        let (year, month) = (self.date.year as u64, self.date.month);
        let mut days = self.date.day as u64 - 1;
        let mut earlier = 1;
        while earlier < month {
            days += self::days(self.date.year, earlier) as u64;
            earlier += 1;
        }
        // Each year before this one that has a day more; 0000 is one of them.
        let leaps = year.div_ceil(4) - year.div_ceil(100) + year.div_ceil(400);
        (year * 365 + leaps + days) * 86_400 + self.seconds as u64
    }

    /// Returns the time so many seconds after 0000-01-01 00:00:00, up to the end of 9999.
    pub fn from_ordinal(ordinal: u64) -> Option<Self> {
        let (day, seconds) = (ordinal / 86_400, ordinal % 86_400);
        // No year is longer than 366 days, so the guess is not late.
        let mut year = u16::try_from(day / 366)
            .ok()
            .filter(|year| *year <= 9_999)?;
        let begins = |year: u16| {
            let year = u64::from(year);
            year * 365 + year.div_ceil(4) - year.div_ceil(100) + year.div_ceil(400)
        };
        while begins(year + 1) <= day {
            year += 1;
        }
        let mut left = day - begins(year);
        let mut month = 1;
        while left >= u64::from(days(year, month)) {
            left -= u64::from(days(year, month));
            month += 1;
        }
        let date = CivilDate::new(year, month, u8::try_from(left + 1).ok()?).ok()?;
        Some(Self {
            date,
            seconds: u32::try_from(seconds).ok()?,
        })
    }

    /// Returns the civil time of a place whose clocks are so many seconds ahead of UTC, at a second
    /// since 1970-01-01T00:00:00Z.
    pub fn of_unix(unix: i64, ahead: i32) -> Option<Self> {
        // 1970-01-01 is 719,528 days behind 0000-01-01.
        let ordinal = (719_528 * 86_400_i64)
            .checked_add(unix)?
            .checked_add(i64::from(ahead))?;
        Self::from_ordinal(u64::try_from(ordinal).ok()?)
    }

    /// Returns the section that it lies in.
    pub const fn section(self) -> Section {
        // A day's seconds give 144 sections, so nothing is cut off.
        #[expect(clippy::cast_possible_truncation, reason = "86,399 / 600 + 1 is 144")]
        Section((self.seconds / Section::SECONDS) as u8 + 1)
    }
}

/// A number of exactly the digits of `text`.
fn digits<T: TryFrom<u32>>(text: &str) -> Result<T, CivilError> {
    if text.is_empty() || !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(CivilError::Form);
    }
    let number: u32 = text.parse().map_err(|_| CivilError::Form)?;
    T::try_from(number).map_err(|_| CivilError::NoSuch)
}

/// The two or three numbers of a text with these lengths, with `sign` between them.
fn fields<const N: usize>(
    text: &str,
    sign: char,
    lengths: [usize; N],
) -> Result<[&str; N], CivilError> {
    let mut parts = text.split(sign);
    let mut found = [""; N];
    for (place, length) in found.iter_mut().zip(lengths) {
        *place = parts
            .next()
            .filter(|part| part.len() == length)
            .ok_or(CivilError::Form)?;
    }
    if parts.next().is_some() {
        return Err(CivilError::Form);
    }
    Ok(found)
}

impl FromStr for CivilDate {
    type Err = CivilError;

    fn from_str(text: &str) -> Result<Self, CivilError> {
        let [year, month, day] = fields(text, '-', [4, 2, 2])?;
        Self::new(digits(year)?, digits(month)?, digits(day)?)
    }
}

impl FromStr for CivilDateTime {
    type Err = CivilError;

    fn from_str(text: &str) -> Result<Self, CivilError> {
        let (date, time) = text.split_once(' ').ok_or(CivilError::Form)?;
        let [hour, minute, second] = fields(time, ':', [2, 2, 2])?;
        Self::new(
            date.parse()?,
            digits(hour)?,
            digits(minute)?,
            digits(second)?,
        )
    }
}

impl fmt::Display for CivilDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for CivilDateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (minutes, second) = (self.seconds / 60, self.seconds % 60);
        write!(
            f,
            "{} {:02}:{:02}:{second:02}",
            self.date,
            minutes / 60,
            minutes % 60
        )
    }
}

/// Ten minutes of a day, 1 (00:00 to 00:10) to 144 (23:50 to 24:00).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Section(u8);

impl Section {
    /// How many a day has.
    pub const COUNT: u8 = 144;
    /// How long one is, in seconds.
    pub const SECONDS: u32 = 600;

    /// Takes a number.
    ///
    /// # Errors
    /// [`SectionError`] where it is none of 1 to 144.
    pub const fn new(number: u8) -> Result<Self, SectionError> {
        if number == 0 || number > Self::COUNT {
            return Err(SectionError::Number(number));
        }
        Ok(Self(number))
    }

    /// Returns the number.
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// Consecutive sections of one day, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sections {
    start: Section,
    end: Section,
}

/// Numbers that are no sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SectionError {
    /// A day has sections 1 to 144.
    #[error("a day has sections 1 to 144, {0} is none")]
    Number(u8),
    /// The end comes before the start.
    #[error("sections {start} to {end} run backwards")]
    Backwards {
        /// The first.
        start: u8,
        /// The last.
        end: u8,
    },
}

impl Sections {
    /// A whole day.
    pub const DAY: Self = Self {
        start: Section(1),
        end: Section(Section::COUNT),
    };

    /// Takes the first and the last.
    ///
    /// # Errors
    /// [`SectionError::Backwards`] where the last comes before the first.
    pub const fn new(start: Section, end: Section) -> Result<Self, SectionError> {
        if end.0 < start.0 {
            let (start, end) = (start.0, end.0);
            return Err(SectionError::Backwards { start, end });
        }
        Ok(Self { start, end })
    }

    /// Returns the first.
    pub const fn start(self) -> Section {
        self.start
    }

    /// Returns the last.
    pub const fn end(self) -> Section {
        self.end
    }

    /// Returns each of them.
    pub fn iter(self) -> impl Iterator<Item = Section> {
        let numbers: RangeInclusive<u8> = self.start.0..=self.end.0;
        numbers.map(Section)
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: days counted by hand, and self-agreement.
    use super::*;

    #[test]
    fn times_are_counted() {
        let at = |text: &str| text.parse::<CivilDateTime>().unwrap();
        let day = 86_400;
        for (text, ordinal) in [
            ("0000-01-01 00:00:00", 0),
            ("0000-12-31 00:00:01", 365 * day + 1),
            ("0001-01-01 00:00:00", 366 * day),
            // 719,528 days before 1970-01-01 in this calendar.
            ("1970-01-01 00:00:00", 719_528 * day),
            ("2012-06-01 12:07:40", (719_528 + 15_492) * day + 43_660),
        ] {
            assert_eq!(at(text).ordinal(), ordinal, "{text}");
        }
        assert_eq!(
            CivilDateTime::of_unix(1_338_552_460, 3_600),
            Some(at("2012-06-01 13:07:40"))
        );
        assert_eq!(CivilDateTime::of_unix(i64::MIN, 0), None);
        let end = at("9999-12-31 23:59:59").ordinal();
        assert_eq!(CivilDateTime::from_ordinal(end + 1), None);
        assert_eq!(CivilDateTime::from_ordinal(u64::MAX), None);
        let mut ordinal = 0;
        while ordinal <= end {
            let time = CivilDateTime::from_ordinal(ordinal).unwrap();
            assert_eq!(time.ordinal(), ordinal, "{time}");
            ordinal += 86_399 * 29;
        }
        assert_eq!(
            CivilDateTime::from_ordinal(end).map(CivilDateTime::ordinal),
            Some(end)
        );
    }
}
