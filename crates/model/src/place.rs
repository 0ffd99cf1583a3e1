//! Where a meter hangs in the network.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

/// A place in words, as people on site call it: "Lindenweg 14, flat 3". At most 120 characters,
/// no control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(String);

/// A feeder's short name: "F2". 1 to 24 letters, digits, hyphens, dots, slashes or spaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Feeder(String);

impl Place {
    /// The greatest length in characters.
    pub const LEN_MAX: usize = 120;

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.chars().count() > Self::LEN_MAX || text.chars().any(char::is_control) {
            return Err(PlaceError::Place);
        }
        Ok(Self(text.into()))
    }
}

impl Feeder {
    /// The greatest length in characters.
    pub const LEN_MAX: usize = 24;

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Feeder {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '/' | ' ' | '_');
        if text.is_empty() || text.chars().count() > Self::LEN_MAX || !text.chars().all(allowed) {
            return Err(PlaceError::Feeder);
        }
        Ok(Self(text.into()))
    }
}

/// The phase or phases of the feeder that a meter is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// First phase only.
    L1,
    /// Second phase only.
    L2,
    /// Third phase only.
    L3,
    /// All three phases.
    L123,
}

impl Phase {
    /// Returns the name: `L1`, `L2`, `L3`, `L123`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::L1 => "L1",
            Self::L2 => "L2",
            Self::L3 => "L3",
            Self::L123 => "L123",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Phase {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::L1, Self::L2, Self::L3, Self::L123]
            .into_iter()
            .find(|phase| phase.name() == text)
            .ok_or(PlaceError::Phase)
    }
}

/// Why a text names no place, feeder or phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// The place is too long or holds control characters.
    #[error("a place is at most 120 characters without control characters")]
    Place,
    /// The feeder is empty, too long, or holds other characters than allowed.
    #[error("a feeder is 1 to 24 letters, digits, spaces or any of - . / _")]
    Feeder,
    /// The phase is none of those known.
    #[error("a phase is L1, L2, L3 or L123")]
    Phase,
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement, and robustness against malformed text.
    use super::*;

    #[test]
    fn places_feeders_and_phases_read_back() {
        assert_eq!(
            " Lindenweg 14, flat 3 ".parse::<Place>().unwrap().as_str(),
            "Lindenweg 14, flat 3"
        );
        assert_eq!("F2".parse::<Feeder>().unwrap().as_str(), "F2");
        assert_eq!("L123".parse::<Phase>(), Ok(Phase::L123));
        assert_eq!("a\nb".parse::<Place>(), Err(PlaceError::Place));
        assert_eq!("x".repeat(121).parse::<Place>(), Err(PlaceError::Place));
        assert_eq!("".parse::<Feeder>(), Err(PlaceError::Feeder));
        assert_eq!("<F>".parse::<Feeder>(), Err(PlaceError::Feeder));
        assert_eq!("L4".parse::<Phase>(), Err(PlaceError::Phase));
    }
}
