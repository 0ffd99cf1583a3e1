//! What tells one meter from another.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

/// The head end's own name for a meter: opaque, stable, never reused.
///
/// Written `m_` and the number in base 32 (digits and lower-case letters without i, l, o, u),
/// so that an address shows neither the meter's name nor its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeterId(u64);

impl MeterId {
    /// Takes a registry number, 1 to 2^63 − 1.
    ///
    /// # Errors
    /// [`IdentityError::MeterIdRange`] outside that range.
    pub const fn new(number: u64) -> Result<Self, IdentityError> {
        if number == 0 || number > i64::MAX.unsigned_abs() {
            return Err(IdentityError::MeterIdRange);
        }
        Ok(Self(number))
    }

    /// Returns the registry number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const MIXER: u64 = 0x5_deec_e66d;
const MIXED_BITS: u32 = 40;

/// Spreads small numbers over the 40-bit range, one to one, so that neighbours in the registry
/// are not neighbours in an address bar; larger numbers stay as they are.
const fn mix(number: u64) -> u64 {
    let mask = (1 << MIXED_BITS) - 1;
    if number > mask {
        return number;
    }
    number.wrapping_mul(MIXER) & mask
}

const fn unmix(mixed: u64) -> u64 {
    let mask = (1 << MIXED_BITS) - 1;
    if mixed > mask {
        return mixed;
    }
    // Newton's iteration for the inverse of an odd number modulo a power of two: each round
    // doubles the number of right bits, from 3 to beyond 64.
    let mut inverse = MIXER;
    let mut round = 0;
    while round < 5 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(MIXER.wrapping_mul(inverse)));
        round += 1;
    }
    mixed.wrapping_mul(inverse) & mask
}

impl fmt::Display for MeterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = mix(self.0);
        let mut digits = [0_u8; 13];
        let mut length = 0;
        for slot in digits.iter_mut().rev() {
            if length >= 8 && rest == 0 {
                break;
            }
            let digit = usize::try_from(rest & 31).unwrap_or_default();
            *slot = BASE32.get(digit).copied().unwrap_or(b'0');
            rest >>= 5;
            length += 1;
        }
        f.write_str("m_")?;
        for digit in digits.iter().skip(digits.len() - length) {
            write!(f, "{}", char::from(*digit))?;
        }
        Ok(())
    }
}

impl FromStr for MeterId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("m_").ok_or(IdentityError::MeterIdText)?;
        if digits.len() < 8 || digits.len() > 13 {
            return Err(IdentityError::MeterIdText);
        }
        let mut mixed = 0_u64;
        for digit in digits.bytes() {
            let value = BASE32
                .iter()
                .position(|known| *known == digit)
                .and_then(|value| u64::try_from(value).ok())
                .ok_or(IdentityError::MeterIdText)?;
            if mixed >> 59 != 0 {
                return Err(IdentityError::MeterIdText);
            }
            mixed = (mixed << 5) | value;
        }
        let id = Self::new(unmix(mixed))?;
        // One meter has one address: longer forms with leading zeros are refused.
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(IdentityError::MeterIdText)
        }
    }
}

/// A COSEM logical device name: 1 to 16 printable ASCII characters, the first three the
/// manufacturer's FLAG code (IEC 62056-6-2, 4.1.8.2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogicalDeviceName(String);

impl LogicalDeviceName {
    /// The greatest length in octets.
    pub const LEN_MAX: usize = 16;

    /// Takes the octets that the object 0-0:42.0.0.255 holds.
    ///
    /// # Errors
    /// [`IdentityError::LogicalDeviceName`] where they are none, more than 16, or not printable
    /// ASCII.
    pub fn from_octets(octets: &[u8]) -> Result<Self, IdentityError> {
        let printable = octets.iter().all(|octet| (0x21..=0x7e).contains(octet));
        if octets.is_empty() || octets.len() > Self::LEN_MAX || !printable {
            return Err(IdentityError::LogicalDeviceName);
        }
        Ok(Self(octets.iter().copied().map(char::from).collect()))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the manufacturer's FLAG code: the first three characters, fewer where the name is
    /// shorter.
    pub fn manufacturer(&self) -> &str {
        self.0.get(..3).unwrap_or(&self.0)
    }
}

impl fmt::Display for LogicalDeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LogicalDeviceName {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_octets(text.as_bytes())
    }
}

/// Why a text or number names no meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The registry number is zero or above 2^63 − 1.
    #[error("a registry number is 1 to 2^63 - 1")]
    MeterIdRange,
    /// The text is no registry id.
    #[error("a registry id is m_ and 8 to 13 digits or lower-case letters")]
    MeterIdText,
    /// The octets are no logical device name.
    #[error("a logical device name is 1 to 16 printable ASCII characters without spaces")]
    LogicalDeviceName,
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement, and robustness against malformed text.
    use alloc::collections::BTreeSet;

    use super::*;

    #[test]
    fn meter_ids_have_one_text_each() {
        let mut seen = BTreeSet::new();
        let numbers = (1..5_000_u64).chain([1 << 39, (1 << 40) - 1, 1 << 40, u64::MAX >> 1]);
        for number in numbers {
            let id = MeterId::new(number).unwrap();
            let text = id.to_string();
            assert_eq!(text.parse::<MeterId>(), Ok(id), "{number} as {text}");
            assert!(
                text.bytes()
                    .all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit())
            );
            assert!(seen.insert(text));
        }
    }

    #[test]
    fn what_is_no_meter_id_is_refused() {
        assert_eq!(MeterId::new(0), Err(IdentityError::MeterIdRange));
        assert_eq!(MeterId::new(1 << 63), Err(IdentityError::MeterIdRange));
        for text in [
            "",
            "m_",
            "1",
            "m_1",
            "m_00000000",
            "m_zzzzzzzzzzzzz",
            "m_ZZZZZZZZ",
            "m_0000000000001",
            "m_aaaa aaaa",
            "M_01J00000",
        ] {
            assert!(text.parse::<MeterId>().is_err(), "{text}");
        }
    }

    #[test]
    fn logical_device_names_are_bounded_and_printable() {
        let name: LogicalDeviceName = "GWD0000000000001".parse().unwrap();
        assert_eq!(name.manufacturer(), "GWD");
        for text in ["", "GWD00000000000012", "GWD 1", "GWD\u{7f}", "GWDé"] {
            assert!(text.parse::<LogicalDeviceName>().is_err(), "{text:?}");
        }
    }
}
