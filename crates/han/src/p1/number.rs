//! Numbers as text, without loss.

use dlms::cosem::{Scaled, Unit};

use super::UNITS;
use crate::measure::quantity as of;

/// Digits that a number may have.
const DIGITS_MAX: usize = 30;

/// Reads a number with its unit; nothing where it is none or the unit is not
/// known. Decimals are kept: they tell the resolution.
pub(super) fn quantity(number: &str, unit: Option<&str>) -> Option<Scaled> {
    let (scaler, unit) = match unit {
        None => (0, Unit::COUNT),
        Some(unit) => UNITS
            .iter()
            .find(|(name, ..)| *name == unit)
            .or_else(|| {
                UNITS
                    .iter()
                    .find(|(name, ..)| name.eq_ignore_ascii_case(unit))
            })
            .map(|(_, scaler, unit)| (*scaler, *unit))?,
    };
    let (digits, negative) = match number.strip_prefix('-') {
        Some(digits) => (digits, true),
        None => (number.strip_prefix('+').unwrap_or(number), false),
    };
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let count = whole.len() + decimals.len();
    if count == 0 || count > DIGITS_MAX {
        return None;
    }
    let mut value = 0_i128;
    for digit in whole.bytes().chain(decimals.bytes()) {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i128::from(digit - b'0');
    }
    let scaler = scaler - i8::try_from(decimals.len()).ok()?;
    Some(of(if negative { -value } else { value }, scaler, unit))
}
