//! Isolation domains, ASes and interfaces as people write them.
//!
//! Source: the SCION specification of addresses (draft-dekater-scion-dataplane,
//! "ISD and AS numbers") and the reference implementation's `pkg/addr`.

use core::fmt;
use core::str::FromStr;

/// The number of an isolation domain. 0 stands for any of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Isd(pub u16);

/// The number of an AS, 48 bits. 0 stands for any of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct As(u64);

/// An AS within its isolation domain: `1-ff00:0:110`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IsdAs {
    /// The isolation domain.
    pub isd: Isd,
    /// The AS within it.
    pub asn: As,
}

/// The number of an interface of an AS. 0 stands for any of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceId(pub u16);

/// A text that is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The isolation domain is no number of 0 to 65535.
    #[error("an isolation domain is a number from 0 to 65535")]
    Isd,
    /// The AS has neither of its two forms.
    #[error("an AS is a number up to 4294967295, or three hexadecimal groups: ff00:0:110")]
    As,
    /// The interface is no number of 0 to 65535.
    #[error("an interface is a number from 0 to 65535")]
    Interface,
    /// A dash between isolation domain and AS is missing.
    #[error("ISD and AS are joined by a dash: 1-ff00:0:110")]
    NoDash,
}

/// The highest number that is written in decimal: those of BGP.
const MAX_BGP: u64 = u32::MAX as u64;
/// The highest number of 48 bits.
const MAX_AS: u64 = (1 << 48) - 1;

impl As {
    /// Takes a number.
    ///
    /// # Errors
    /// [`AddressError::As`] above 48 bits.
    pub const fn new(number: u64) -> Result<Self, AddressError> {
        if number > MAX_AS {
            return Err(AddressError::As);
        }
        Ok(Self(number))
    }

    /// Tells the number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Tells whether it stands for any AS.
    #[must_use]
    pub const fn is_wildcard(self) -> bool {
        self.0 == 0
    }
}

impl IsdAs {
    /// Joins both as one number: 16 bits, then 48.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        (self.isd.0 as u64) << 48 | self.asn.0
    }

    /// Takes both from one number.
    #[must_use]
    pub const fn from_u64(number: u64) -> Self {
        Self {
            isd: Isd((number >> 48) as u16),
            asn: As(number & MAX_AS),
        }
    }
}

/// Digits of a plain number: `u16::from_str` would take a sign too.
fn decimal<T: FromStr>(text: &str) -> Option<T> {
    if text.is_empty() || !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

impl FromStr for Isd {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        decimal(text).map(Self).ok_or(AddressError::Isd)
    }
}

impl FromStr for InterfaceId {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        decimal(text).map(Self).ok_or(AddressError::Interface)
    }
}

impl FromStr for As {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if !text.contains(':') {
            let number: u32 = decimal(text).ok_or(AddressError::As)?;
            return Ok(Self(u64::from(number)));
        }
        let mut groups = text.split(':');
        let mut number = 0;
        for _ in 0..3 {
            let group = groups.next().ok_or(AddressError::As)?;
            if group.is_empty()
                || group.len() > 4
                || !group.bytes().all(|octet| octet.is_ascii_hexdigit())
            {
                return Err(AddressError::As);
            }
            let value = u64::from_str_radix(group, 16).map_err(|_| AddressError::As)?;
            number = number << 16 | value;
        }
        if groups.next().is_some() {
            return Err(AddressError::As);
        }
        Ok(Self(number))
    }
}

impl FromStr for IsdAs {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (isd, asn) = text.split_once('-').ok_or(AddressError::NoDash)?;
        Ok(Self {
            isd: isd.parse()?,
            asn: asn.parse()?,
        })
    }
}

impl fmt::Display for Isd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for InterfaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for As {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 <= MAX_BGP {
            return self.0.fmt(f);
        }
        let group = |shift: u32| self.0 >> shift & 0xffff;
        write!(f, "{:x}:{:x}:{:x}", group(32), group(16), group(0))
    }
}

impl fmt::Display for IsdAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.isd, self.asn)
    }
}
