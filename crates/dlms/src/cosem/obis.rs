//! OBIS codes (IEC 62056-6-1).

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use super::Unexpected;
use crate::axdr::Data;
use crate::codec::{DecodeError, Reader, Wire};

mod name;

pub use name::{Name, name};

/// An OBIS code, which is also the logical name of an object: value groups A
/// to F.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Obis(pub [u8; 6]);

impl Obis {
    /// Makes a code of its six value groups.
    #[must_use]
    pub const fn new(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8) -> Self {
        Self([a, b, c, d, e, f])
    }

    /// Reads the six octets of an `octet-string`.
    ///
    /// # Errors
    /// Where the value is none.
    pub fn from_data(data: &Data) -> Result<Self, Unexpected> {
        match data {
            Data::OctetString(octets) => octets.as_slice().try_into().ok(),
            _ => None,
        }
        .ok_or(Unexpected("logical_name"))
    }

    /// Makes an `octet-string` of the six octets.
    #[must_use]
    pub fn to_data(self) -> Data {
        Data::OctetString(self.0.into())
    }

    /// Writes the six groups with dots: `1.0.1.8.0.255`.
    #[must_use]
    pub const fn dotted(self) -> Dotted {
        Dotted(self)
    }
}

impl From<[u8; 6]> for Obis {
    fn from(octets: [u8; 6]) -> Self {
        Self(octets)
    }
}

/// Takes the six octets of an `octet-string`.
impl TryFrom<&[u8]> for Obis {
    type Error = core::array::TryFromSliceError;

    fn try_from(octets: &[u8]) -> Result<Self, Self::Error> {
        octets.try_into().map(Self)
    }
}

/// Writes `1-0:1.8.0`, and `*F` behind it where F is not 255.
impl fmt::Display for Obis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a}-{b}:{c}.{d}.{e}")?;
        match f {
            255 => Ok(()),
            f => write!(out, "*{f}"),
        }
    }
}

/// Reads `1-0:1.8.0*255`, `1.0.1.8.0.255` and what is short of them: F may be
/// left out (255), so may A and B (`1.8.0`: electricity, 1-0), and E (`1.8`:
/// 0). `&` stands for `*`, as in IEC 62056-21.
impl FromStr for Obis {
    type Err = ParseObisError;

    fn from_str(text: &str) -> Result<Self, ParseObisError> {
        parse(text.trim()).ok_or(ParseObisError)
    }
}

/// A code written with dots.
#[derive(Clone, Copy, Debug)]
pub struct Dotted(Obis);

impl fmt::Display for Dotted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0.0;
        write!(out, "{a}.{b}.{c}.{d}.{e}.{f}")
    }
}

/// Text that is no OBIS code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an OBIS code such as 1-0:1.8.0*255, 1.0.1.8.0.255 or 1.8.0")]
pub struct ParseObisError;

impl Wire<'_> for Obis {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array("logical name").map(Self)
    }
}

fn parse(text: &str) -> Option<Obis> {
    let (text, f) = match text.split_once(['*', '&']) {
        Some((text, f)) => (text, Some(group(f)?)),
        None => (text, None),
    };
    let (a, b, text) = match text.split_once(':') {
        Some((medium, text)) => {
            let (a, b) = medium.split_once('-')?;
            (Some(group(a)?), Some(group(b)?), text)
        }
        None => (None, None, text),
    };
    // More groups than six are no code, and are not kept.
    let mut groups = [0_u8; 6];
    let mut count = 0;
    for part in text.split('.') {
        *groups.get_mut(count)? = group(part)?;
        count += 1;
    }
    match (count, a, b, f, groups) {
        (6, None, None, None, groups) => Some(Obis(groups)),
        (5, None, None, f, [a, b, c, d, e, _]) => Some(Obis::new(a, b, c, d, e, f.unwrap_or(255))),
        (2 | 3, a, b, f, [c, d, e, ..]) => Some(Obis::new(
            a.unwrap_or(1),
            b.unwrap_or(0),
            c,
            d,
            e,
            f.unwrap_or(255),
        )),
        (4, Some(a), Some(b), None, [c, d, e, f, ..]) => Some(Obis::new(a, b, c, d, e, f)),
        _ => None,
    }
}

/// Reads one value group, decimal digits only.
fn group(text: &str) -> Option<u8> {
    let digits = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
