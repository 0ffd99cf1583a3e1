//! When daylight saving begins and ends (`DstRuleType`).

use dlms::codec::DecodeError;

use super::slot::{Leaf, bad};
use crate::xml::Element;

/// The moment of a year at which daylight saving begins or ends, in the time
/// that is in force until then.
///
/// ```text
/// | month (4) | occurrence (3) | day of month (5) | day of week (3) | hour (5) | second (12) |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The month from 1.
    pub month: u8,
    /// Which day of it.
    pub occurrence: Occurrence,
    /// The day of the month, for the first two occurrences; else 0.
    pub day_of_month: u8,
    /// The day of the week from 1, a Monday; 0 where it does not matter.
    pub day_of_week: u8,
    /// The hour, 0 to 23.
    pub hour: u8,
    /// The second of the hour, 0 to 3,599.
    pub second: u16,
}

/// Which day of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occurrence {
    /// The day of the month.
    DayOfMonth,
    /// The first such day of the week on or after the day of the month.
    OnOrAfter,
    /// The n-th such day of the week, 1 to 5.
    Nth(u8),
    /// The last such day of the week.
    Last,
}

impl Rule {
    /// Daylight saving begins in the European Union: the last Sunday of March
    /// at two in Central Europe.
    pub const CENTRAL_EUROPE_BEGIN: Self = Self::sunday(3, Occurrence::Last, 2);
    /// It ends there: the last Sunday of October at three.
    pub const CENTRAL_EUROPE_END: Self = Self::sunday(10, Occurrence::Last, 3);
    /// Daylight saving begins in the United States and Canada: the second
    /// Sunday of March at two.
    pub const NORTH_AMERICA_BEGIN: Self = Self::sunday(3, Occurrence::Nth(2), 2);
    /// It ends there: the first Sunday of November at two.
    pub const NORTH_AMERICA_END: Self = Self::sunday(11, Occurrence::Nth(1), 2);
    /// There is none.
    pub const NONE: Self = Self {
        month: 0,
        occurrence: Occurrence::DayOfMonth,
        day_of_month: 0,
        day_of_week: 0,
        hour: 0,
        second: 0,
    };

    const fn sunday(month: u8, occurrence: Occurrence, hour: u8) -> Self {
        Self {
            month,
            occurrence,
            day_of_month: 0,
            day_of_week: 7,
            hour,
            second: 0,
        }
    }

    /// Makes the 32 bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        let occurrence = match self.occurrence {
            Occurrence::DayOfMonth => 0,
            Occurrence::OnOrAfter => 1,
            Occurrence::Nth(n) => u32::from(n.clamp(1, 5)) + 1,
            Occurrence::Last => 7,
        };
        (u32::from(self.month & 0x0F) << 28)
            | (occurrence << 25)
            | (u32::from(self.day_of_month & 0x1F) << 20)
            | (u32::from(self.day_of_week & 0x07) << 17)
            | (u32::from(self.hour & 0x1F) << 12)
            | u32::from(self.second & 0x0FFF)
    }

    /// Takes the 32 bits.
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        let field = |shift: u32, mask: u32| u8::try_from((bits >> shift) & mask).unwrap_or(0);
        Self {
            month: field(28, 0x0F),
            occurrence: match field(25, 0x07) {
                0 => Occurrence::DayOfMonth,
                1 => Occurrence::OnOrAfter,
                7 => Occurrence::Last,
                n => Occurrence::Nth(n - 1),
            },
            day_of_month: field(20, 0x1F),
            day_of_week: field(17, 0x07),
            hour: field(12, 0x1F),
            second: u16::try_from(bits & 0x0FFF).unwrap_or(0),
        }
    }
}

impl Leaf for Rule {
    fn read(element: &Element) -> Result<Self, DecodeError> {
        let digits = element.text.as_str();
        let bits = (digits.len() == 8)
            .then(|| u32::from_str_radix(digits, 16).ok())
            .flatten();
        bits.map(Self::from_bits)
            .ok_or_else(|| bad(element, "DstRuleType"))
    }

    fn write(&self, out: &mut String) {
        out.push_str(&format!("{:08X}", self.bits()));
    }
}
