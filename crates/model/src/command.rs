//! What a head end may ask a meter to do.

use alloc::string::String;
use core::str::FromStr;

use crate::class::MessageClass;
use crate::time::Timestamp;

/// One thing that a meter is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Opens the breaker: method 1, remote_disconnect, of Disconnect control (class 70).
    Disconnect,
    /// Closes the breaker or makes it ready to be closed by hand: method 2, remote_reconnect.
    Reconnect,
    /// Sets the clock (class 8, attribute 2).
    SetClock {
        /// Holds the time to set.
        to: Timestamp,
        /// Says how exact the time was when it was taken.
        precision: ClockPrecision,
    },
    /// Shows a text to the customer.
    Display(DisplayText),
}

impl Command {
    /// Returns the message class: every command is control traffic, a text for the customer is
    /// billing information.
    pub const fn class(&self) -> MessageClass {
        match self {
            Self::Disconnect | Self::Reconnect | Self::SetClock { .. } => MessageClass::Control,
            Self::Display(_) => MessageClass::Billing,
        }
    }
}

/// How exact a time is, in milliseconds either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClockPrecision(pub u32);

/// A text for a meter's display: at most 1,024 characters (DSMR P1 companion standard, text
/// message), none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisplayText(String);

impl DisplayText {
    /// The greatest length in characters.
    pub const LEN_MAX: usize = 1_024;

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DisplayText {
    type Err = DisplayTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.chars().count() > Self::LEN_MAX || text.chars().any(char::is_control) {
            return Err(DisplayTextError);
        }
        Ok(Self(text.into()))
    }
}

/// The text is too long for a display or holds control characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a display text is at most 1,024 characters without control characters")]
pub struct DisplayTextError;

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;

    #[test]
    fn switching_is_control_traffic() {
        assert_eq!(Command::Disconnect.class(), MessageClass::Control);
        assert_eq!(Command::Reconnect.class(), MessageClass::Control);
        let text: DisplayText = "The price is high until 20:00".parse().unwrap();
        assert_eq!(Command::Display(text).class(), MessageClass::Billing);
    }

    #[test]
    fn display_texts_are_bounded() {
        assert!("x".repeat(1_024).parse::<DisplayText>().is_ok());
        assert!("x".repeat(1_025).parse::<DisplayText>().is_err());
        assert!("a\u{1b}[2J".parse::<DisplayText>().is_err());
    }
}
