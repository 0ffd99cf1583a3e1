//! What a meter measured.

use alloc::vec::Vec;
use core::fmt;

use dlms::cosem::Obis;

use crate::time::Timestamp;

/// One value of one attribute, as the meter holds it: physical value = `value` · 10^`scaler`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Names the object.
    pub object: Obis,
    /// Names the attribute; attribute 2 is the value of a register.
    pub attribute: i8,
    /// Holds the unscaled value.
    pub value: i64,
    /// Holds the power of ten, as in attribute 3 of a register.
    pub scaler: i8,
    /// Holds the unit's code: 30 is Wh, 27 is W (IEC 62056-6-2, table of units).
    pub unit: u8,
    /// Says when the value held, by the head end's clock where the meter gave no time.
    pub at: Timestamp,
}

/// One row of a load profile, seen as the interval it closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Says when the interval began; the meter captured at `start` + `duration_s`.
    pub start: Timestamp,
    /// Holds the capture period in seconds, 1 to 86,400.
    pub duration_s: u32,
    /// Holds one captured value per channel, unscaled; `None` where the meter gave none.
    pub values: Vec<Option<i64>>,
    /// Holds what the meter says about the interval's quality.
    pub status: IntervalStatus,
}

impl Interval {
    /// Returns when the meter captured the row.
    pub const fn captured(&self) -> Timestamp {
        self.start.plus_secs(self.duration_s as i64)
    }
}

/// The AMR profile status of an interval, one octet (DSMR P3 companion standard; bit numbers as
/// in GXF's `AmrProfileStatusCodeHelper`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntervalStatus(u8);

impl IntervalStatus {
    /// A hardware or memory error that may have spoilt the value.
    pub const CRITICAL_ERROR: Self = Self(0x01);
    /// The clock may be off by more than its limit.
    pub const CLOCK_INVALID: Self = Self(0x02);
    /// The value is not for billing as it stands.
    pub const DATA_NOT_VALID: Self = Self(0x04);
    /// Daylight saving was in force.
    pub const DAYLIGHT_SAVING: Self = Self(0x08);
    /// The clock was set by more than its limit during the interval.
    pub const CLOCK_ADJUSTED: Self = Self(0x20);
    /// The value was recovered after a power failure.
    pub const RECOVERED_VALUE: Self = Self(0x40);
    /// The power failed during the interval.
    pub const POWER_DOWN: Self = Self(0x80);

    const NAMES: [(u8, &'static str); 8] = [
        (0x01, "critical_error"),
        (0x02, "clock_invalid"),
        (0x04, "data_not_valid"),
        (0x08, "daylight_saving"),
        (0x10, "reserved_4"),
        (0x20, "clock_adjusted"),
        (0x40, "recovered_value"),
        (0x80, "power_down"),
    ];

    /// Takes the octet as the meter sent it; bits without a meaning are kept.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Returns the octet.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Says whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the union of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the names of the set bits, lowest bit first.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .filter(move |(bit, _)| self.0 & bit != 0)
            .map(|(_, name)| name)
    }
}

impl fmt::Display for IntervalStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.names().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: bit numbers as in GXF's test (128 + 4 = power down and data not valid).
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn status_bits_have_the_meaning_of_the_companion_standard() {
        let status = IntervalStatus::from_bits(132);
        assert!(status.contains(IntervalStatus::POWER_DOWN));
        assert!(status.contains(IntervalStatus::DATA_NOT_VALID));
        assert_eq!(status.to_string(), "data_not_valid power_down");
        let status = IntervalStatus::from_bits(0b0010_0100);
        assert_eq!(status.to_string(), "data_not_valid clock_adjusted");
        assert_eq!(IntervalStatus::default().to_string(), "");
    }
}
