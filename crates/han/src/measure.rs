//! What every source tells in the end: values with unit and scale, and when
//! they held.
//!
//! What is missing is absent; nothing here stands for a value that was not
//! told.

use dlms::axdr::{ClockStatus, DateTime};
use dlms::cosem::{Obis, Scaled, Unit};
use model::Timestamp;

/// What one message of a meter tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Names the meter as the message does: a serial number, a server
    /// identification, an EUI-64.
    pub meter: Option<String>,
    /// The meter's own time of the message.
    pub time: Option<MeterTime>,
    /// What was measured.
    pub values: Vec<Value>,
    /// What is no number.
    pub texts: Vec<Text>,
    /// From which list meaning and scale are, where the message is silent.
    pub layout: Option<&'static str>,
}

impl Report {
    /// Finds a value by its code; medium and channel of electricity (1-x)
    /// count as the same, since makers number their channels as they like.
    #[must_use]
    pub fn electricity(&self, c: u8, d: u8, e: u8) -> Option<&Value> {
        self.values.iter().find(|value| {
            let [a, _, own_c, own_d, own_e, _] = value.obis.0;
            a == 1 && (own_c, own_d, own_e) == (c, d, e)
        })
    }

    /// Sums what each tariff tells where the total itself is not told (Dutch
    /// meters have 1.8.1 and 1.8.2 only). Nothing where neither is there, or
    /// where tariffs differ in scale or unit.
    #[must_use]
    pub fn total(&self, c: u8) -> Option<Scaled> {
        if let Some(value) = self.electricity(c, 8, 0) {
            return Some(value.quantity);
        }
        let mut sum: Option<Scaled> = None;
        for tariff in 1..=TARIFFS_MAX {
            let Some(value) = self.electricity(c, 8, tariff) else {
                continue;
            };
            sum = Some(match sum {
                None => value.quantity,
                Some(sum) => add(sum, value.quantity)?,
            });
        }
        sum
    }

    /// Tells active power from the grid less what goes to it, where the meter
    /// tells one of them or both.
    #[must_use]
    pub fn net_power(&self) -> Option<Scaled> {
        if let Some(value) = self.electricity(16, 7, 0) {
            return Some(value.quantity);
        }
        let import = self.electricity(1, 7, 0).map(|value| value.quantity);
        let export = self.electricity(2, 7, 0).map(|value| value.quantity);
        match (import, export) {
            (Some(import), Some(export)) => add(import, negative(export)),
            (Some(import), None) => Some(import),
            // Export alone says nothing about import.
            (None, _) => None,
        }
    }
}

/// Tariffs that a total may be the sum of.
const TARIFFS_MAX: u8 = 4;

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Value {
    /// What it is of.
    pub obis: Obis,
    /// Number, power of ten and unit.
    pub quantity: Scaled,
    /// Where scale and unit are from.
    pub basis: Basis,
    /// When it held, where that is told apart from the message (a gas meter's
    /// last reading).
    pub time: Option<MeterTime>,
}

/// Where the scale and the unit of a value are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// The message tells them.
    Told,
    /// The list of the maker, or of the companion standard, fixes them.
    Listed,
    /// The object's usual ones: the message is silent and no list is known.
    Usual,
}

/// One text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// What it is of.
    pub obis: Obis,
    /// The text, or the digits of octets that are none.
    pub text: String,
}

/// A time by a meter's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterTime {
    /// What the clock shows: seconds from 1970-01-01T00:00:00 in `zone`.
    pub shown: i64,
    /// Of which zone it is.
    pub zone: Zone,
    /// How far the instant may be from `shown`, in milliseconds either way:
    /// what the clock resolves, not how well it is set.
    pub error_ms: u32,
    /// What the clock says of itself.
    pub trust: Trust,
}

/// The zone of a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Zone {
    /// Coordinated universal time.
    Utc,
    /// Minutes east of it.
    Offset(i16),
    /// The place's own time; whether daylight saving was in force where the
    /// message tells that.
    Local {
        /// Whether daylight saving was in force.
        daylight_saving: Option<bool>,
    },
}

/// What a clock says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trust {
    /// Nothing against it.
    Good,
    /// Recovered after an incident; may be off.
    Doubtful,
    /// Lost: the time is none.
    Invalid,
}

impl MeterTime {
    /// Makes the time of a clock that counts seconds in UTC.
    #[must_use]
    pub const fn utc(shown: i64, error_ms: u32) -> Self {
        Self {
            shown,
            zone: Zone::Utc,
            error_ms,
            trust: Trust::Good,
        }
    }

    /// Takes a COSEM date-time; nothing where it tells no instant.
    #[must_use]
    pub fn from_date_time(time: DateTime) -> Option<Self> {
        let shown = time.to_local_seconds()?;
        let zone = match time.deviation {
            DateTime::DEVIATION_UNSPECIFIED => Zone::Local {
                daylight_saving: (time.status != ClockStatus::UNSPECIFIED)
                    .then(|| time.status.has(ClockStatus::DAYLIGHT_SAVING_ACTIVE)),
            },
            // The minutes from local time to UTC: west is positive.
            deviation => Zone::Offset(deviation.saturating_neg()),
        };
        let trust = if time.status.has(ClockStatus::INVALID_VALUE) {
            Trust::Invalid
        } else if time.status.has(ClockStatus::DOUBTFUL_VALUE) {
            Trust::Doubtful
        } else {
            Trust::Good
        };
        Some(Self {
            shown,
            zone,
            error_ms: SECOND_MS,
            trust,
        })
    }

    /// Tells the instant. A local time is taken as `standard_offset_minutes`
    /// east of UTC, an hour more while daylight saving is in force; where the
    /// message does not tell that, or the offset is not given, there is none.
    #[must_use]
    pub fn instant(&self, standard_offset_minutes: Option<i16>) -> Option<Timestamp> {
        if self.trust == Trust::Invalid {
            return None;
        }
        let minutes = match self.zone {
            Zone::Utc => 0,
            Zone::Offset(minutes) => i64::from(minutes),
            Zone::Local { daylight_saving } => {
                i64::from(standard_offset_minutes?) + if daylight_saving? { 60 } else { 0 }
            }
        };
        Some(Timestamp::from_secs(
            self.shown.saturating_sub(minutes.saturating_mul(60)),
        ))
    }
}

/// What a clock of whole seconds resolves.
pub(crate) const SECOND_MS: u32 = 1_000;

/// Adds two quantities of the same unit at the finer scale.
#[must_use]
pub fn add(left: Scaled, right: Scaled) -> Option<Scaled> {
    if left.unit != right.unit {
        return None;
    }
    let scaler = left.scaler.min(right.scaler);
    let number = at_scaler(left, scaler)?.checked_add(at_scaler(right, scaler)?)?;
    Some(Scaled {
        number,
        scaler,
        unit: left.unit,
    })
}

/// Turns the sign.
#[must_use]
pub const fn negative(quantity: Scaled) -> Scaled {
    Scaled {
        number: quantity.number.saturating_neg(),
        ..quantity
    }
}

/// Tells the number that `quantity` has with another power of ten, rounded to
/// the nearest (halves away from zero); nothing where it does not fit.
#[must_use]
pub fn at_scaler(quantity: Scaled, scaler: i8) -> Option<i128> {
    let shift = i32::from(quantity.scaler) - i32::from(scaler);
    let factor = 10_i128.checked_pow(shift.unsigned_abs());
    if shift >= 0 {
        return quantity.number.checked_mul(factor?);
    }
    let Some(divisor) = factor else {
        return Some(0);
    };
    let half = divisor / 2;
    let away = if quantity.number < 0 { -half } else { half };
    Some(quantity.number.checked_add(away)? / divisor)
}

/// Puts a number to a power of ten and a unit.
#[must_use]
pub(crate) const fn quantity(number: i128, scaler: i8, unit: Unit) -> Scaled {
    Scaled {
        number,
        scaler,
        unit,
    }
}

/// Multiplies a number by `multiplier` / `divisor`, exactly where decimal
/// digits can tell it, else rounded to nine digits more. A factor of 0 stands
/// for 1 (RAVEn XML API; meters that do not have it).
#[must_use]
pub(crate) fn ratio(
    number: i128,
    multiplier: u32,
    divisor: u32,
    scaler: i8,
    unit: Unit,
) -> Option<Scaled> {
    let mut number = number.checked_mul(i128::from(multiplier.max(1)))?;
    let mut divisor = i128::from(divisor.max(1));
    let mut scaler = scaler;
    while divisor % 10 == 0 {
        divisor /= 10;
        scaler = scaler.checked_sub(1)?;
    }
    for _ in 0..RATIO_DIGITS {
        if number % divisor == 0 {
            break;
        }
        number = number.checked_mul(10)?;
        scaler = scaler.checked_sub(1)?;
    }
    let half = divisor / 2;
    let away = if number < 0 { -half } else { half };
    let number = if number % divisor == 0 {
        number / divisor
    } else {
        number.checked_add(away)? / divisor
    };
    Some(quantity(number, scaler, unit))
}

/// Digits that a ratio is rounded to where it has no end.
const RATIO_DIGITS: u32 = 9;

/// How a utility wants a number shown (ZigBee Metering, Summation Formatting;
/// the digits of RAVEn).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formatting {
    /// Digits behind the decimal point.
    pub right: u8,
    /// Digits before it, at least.
    pub left: u8,
    /// Whether leading zeros are left out.
    pub suppress_leading_zeros: bool,
}

impl Formatting {
    /// Takes the octet of the Metering cluster: bits 0 to 2 digits to the
    /// right, 3 to 6 to the left, 7 suppresses leading zeros.
    #[must_use]
    pub const fn from_octet(octet: u8) -> Self {
        Self {
            right: octet & 0x07,
            left: (octet >> 3) & 0x0F,
            suppress_leading_zeros: octet & 0x80 != 0,
        }
    }

    /// Writes a number so, rounded, without its unit. `scaler` is the power of
    /// ten of the unit that is shown: 3 for kilowatt hours.
    #[must_use]
    pub fn show(self, quantity: Scaled, scaler: i8) -> Option<String> {
        let right = self.right.min(DIGITS_SHOWN_MAX);
        let finest = scaler.checked_sub(i8::try_from(right).ok()?)?;
        let number = at_scaler(quantity, finest)?;
        let sign = if number < 0 { "-" } else { "" };
        let digits = number.unsigned_abs().to_string();
        let least = usize::from(right) + 1;
        let digits = format!("{digits:0>least$}");
        let (whole, fraction) = digits.split_at_checked(digits.len() - usize::from(right))?;
        let width = if self.suppress_leading_zeros {
            1
        } else {
            usize::from(self.left.min(DIGITS_SHOWN_MAX))
        };
        Some(if fraction.is_empty() {
            format!("{sign}{whole:0>width$}")
        } else {
            format!("{sign}{whole:0>width$}.{fraction}")
        })
    }
}

/// Digits that are shown on either side of the point, at most.
const DIGITS_SHOWN_MAX: u8 = 16;
