//! Addresses of stations and of what stands behind them.

use alloc::vec::Vec;
use core::fmt;

use crate::codec::{DecodeError, Malformed, Reader};

/// The address of a client, or of a logical device within a physical one.
///
/// A client has one octet. A server has one (the upper address alone), two
/// (upper and lower, 7 bits each) or four (14 bits each). Upper is the
/// logical device, lower the physical one. (IEC 62056-46 clause 6.4.2)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    upper: u16,
    lower: u16,
    width: AddressWidth,
}

/// How many octets an address has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressWidth {
    /// One octet: an upper address of 7 bits.
    One,
    /// Two octets: upper and lower of 7 bits each.
    Two,
    /// Four octets: upper and lower of 14 bits each.
    Four,
}

impl Address {
    /// The public client.
    pub const PUBLIC_CLIENT: Self = Self::narrow(0x10, 0, AddressWidth::One);
    /// The client management process.
    pub const CLIENT_MANAGEMENT: Self = Self::narrow(0x01, 0, AddressWidth::One);
    /// The management logical device, in one octet.
    pub const MANAGEMENT_DEVICE: Self = Self::narrow(0x01, 0, AddressWidth::One);

    /// Makes an address of one octet; `None` above 0x7F.
    #[must_use]
    pub const fn one(upper: u16) -> Option<Self> {
        Self::new(upper, 0, AddressWidth::One)
    }

    /// Makes an address of two octets; `None` where a part is above 0x7F.
    #[must_use]
    pub const fn two(upper: u16, lower: u16) -> Option<Self> {
        Self::new(upper, lower, AddressWidth::Two)
    }

    /// Makes an address of four octets; `None` where a part is above 0x3FFF.
    #[must_use]
    pub const fn four(upper: u16, lower: u16) -> Option<Self> {
        Self::new(upper, lower, AddressWidth::Four)
    }

    const fn new(upper: u16, lower: u16, width: AddressWidth) -> Option<Self> {
        let highest = Self::all_stations(width);
        if upper > highest || lower > highest {
            return None;
        }
        Some(Self {
            upper,
            lower,
            width,
        })
    }

    const fn narrow(upper: u16, lower: u16, width: AddressWidth) -> Self {
        Self {
            upper,
            lower,
            width,
        }
    }

    /// Tells the upper part: the client, or the logical device.
    #[must_use]
    pub const fn upper(self) -> u16 {
        self.upper
    }

    /// Tells the lower part, the physical device; `None` in one octet.
    #[must_use]
    pub const fn lower(self) -> Option<u16> {
        match self.width {
            AddressWidth::One => None,
            AddressWidth::Two | AddressWidth::Four => Some(self.lower),
        }
    }

    /// Tells how many octets the address has.
    #[must_use]
    pub const fn width(self) -> AddressWidth {
        self.width
    }

    /// Tells whether a part means every station: no answer is due then.
    #[must_use]
    pub const fn is_all_stations(self) -> bool {
        let all = Self::all_stations(self.width);
        self.upper == all || (self.lower == all && !matches!(self.width, AddressWidth::One))
    }

    /// The value of a part that means every station, the highest of its width.
    const fn all_stations(width: AddressWidth) -> u16 {
        match width {
            AddressWidth::One | AddressWidth::Two => 0x7F,
            AddressWidth::Four => 0x3FFF,
        }
    }

    /// Tells whether a frame to `self` is for the station `own`.
    #[must_use]
    pub const fn covers(self, own: Self) -> bool {
        if self.width as u8 != own.width as u8 {
            return false;
        }
        let all = Self::all_stations(self.width);
        (self.upper == own.upper || self.upper == all)
            && (self.lower == own.lower || self.lower == all)
    }

    pub(super) const fn len(self) -> usize {
        match self.width {
            AddressWidth::One => 1,
            AddressWidth::Two => 2,
            AddressWidth::Four => 4,
        }
    }

    pub(super) fn encode(self, out: &mut Vec<u8>) {
        let low = |part: u16| (part.to_le_bytes()[0]) << 1;
        let high = |part: u16| ((part >> 7).to_le_bytes()[0]) << 1;
        match self.width {
            AddressWidth::One => out.push(low(self.upper) | 1),
            AddressWidth::Two => out.extend_from_slice(&[low(self.upper), low(self.lower) | 1]),
            AddressWidth::Four => out.extend_from_slice(&[
                high(self.upper),
                low(self.upper),
                high(self.lower),
                low(self.lower) | 1,
            ]),
        }
    }

    pub(super) fn decode(
        reader: &mut Reader<'_>,
        field: &'static str,
    ) -> Result<Self, DecodeError> {
        let refusal = reader.error(field, Malformed::Value);
        let mut octets = [0_u8; 4];
        let mut count = 0;
        for octet in &mut octets {
            *octet = reader.u8(field)?;
            count += 1;
            if *octet & 1 == 1 {
                break;
            }
        }
        let part = |octet: u8| u16::from(octet >> 1);
        let [a, b, c, d] = octets;
        match count {
            1 if a & 1 == 1 => Ok(Self::narrow(part(a), 0, AddressWidth::One)),
            2 => Ok(Self::narrow(part(a), part(b), AddressWidth::Two)),
            4 if d & 1 == 1 => Ok(Self::narrow(
                part(a) << 7 | part(b),
                part(c) << 7 | part(d),
                AddressWidth::Four,
            )),
            _ => Err(refusal),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lower() {
            Some(lower) => write!(f, "{}/{lower}", self.upper),
            None => write!(f, "{}", self.upper),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
