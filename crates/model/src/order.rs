//! An order to a meter's own breaker, signed: the envelope that the five XML messages lack.
//!
//! ```text
//! "GWB1" | meter, 4 octets | sequence, 8 | expires, 8 | action, 1 | signature, 64
//! ```
//!
//! Numbers are big-endian; `expires` counts seconds since 1970-01-01T00:00:00Z; the action is 0 to
//! open, 1 to close. The signature is ECDSA over P-256 and SHA-256 (FIPS 186-5) of all that stands
//! before it, `r` and `s` of 32 octets each. Signing and verifying are of those who hold keys:
//! nothing here says that an envelope is genuine.

use crate::xml::SmartMeterId;

/// Octets of an envelope.
pub const ENVELOPE_LEN: usize = 25 + SIGNATURE_LEN;

/// Octets of a signature.
pub const SIGNATURE_LEN: usize = 64;

const MAGIC: [u8; 4] = *b"GWB1";

/// What becomes of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BreakerAction {
    /// 0: the supply is cut.
    Open,
    /// 1: the supply is there.
    Close,
}

/// What is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerOrder {
    /// The meter that it is for.
    pub meter: SmartMeterId,
    /// Above that of every order before it.
    pub sequence: u64,
    /// The second since 1970-01-01T00:00:00Z from which on it is void.
    pub expires: u64,
    /// What is to be done.
    pub action: BreakerAction,
}

/// Octets that are no envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Its length is another.
    #[error("an envelope of {0} octets: it has 89")]
    Length(usize),
    /// It does not begin as one.
    #[error("octets 0 to 3 are no envelope's")]
    Magic,
    /// The action is neither 0 nor 1.
    #[error("octet 24: action {0} is neither open nor close")]
    Action(u8),
}

impl BreakerOrder {
    /// Returns the octets that are signed.
    pub fn signed(&self) -> [u8; 25] {
        let mut out = [0; 25];
        let action = match self.action {
            BreakerAction::Open => 0,
            BreakerAction::Close => 1,
        };
        let parts = MAGIC
            .into_iter()
            .chain(self.meter.0.to_be_bytes())
            .chain(self.sequence.to_be_bytes())
            .chain(self.expires.to_be_bytes())
            .chain([action]);
        for (place, octet) in out.iter_mut().zip(parts) {
            *place = octet;
        }
        out
    }

    /// Reads an envelope; whether its signature is right is another's to tell.
    ///
    /// # Errors
    /// Where it is none.
    pub fn read(octets: &[u8]) -> Result<(Self, [u8; SIGNATURE_LEN]), EnvelopeError> {
        let length = EnvelopeError::Length(octets.len());
        let (signed, signature) = octets.split_first_chunk::<25>().ok_or(length)?;
        let signature = <[u8; SIGNATURE_LEN]>::try_from(signature).map_err(|_| length)?;
        let (magic, rest) = signed.split_first_chunk::<4>().ok_or(length)?;
        if *magic != MAGIC {
            return Err(EnvelopeError::Magic);
        }
        let (meter, rest) = rest.split_first_chunk().ok_or(length)?;
        let (sequence, rest) = rest.split_first_chunk().ok_or(length)?;
        let (expires, rest) = rest.split_first_chunk().ok_or(length)?;
        let action = match rest {
            [0] => BreakerAction::Open,
            [1] => BreakerAction::Close,
            [other, ..] => return Err(EnvelopeError::Action(*other)),
            [] => return Err(length),
        };
        let order = Self {
            meter: SmartMeterId(u32::from_be_bytes(*meter)),
            sequence: u64::from_be_bytes(*sequence),
            expires: u64::from_be_bytes(*expires),
            action,
        };
        Ok((order, signature))
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: octets written out by hand after the form above.
    use super::*;

    #[test]
    fn envelopes_are_read_as_they_are_written_and_nothing_else_is() {
        let order = BreakerOrder {
            meter: SmartMeterId(7),
            sequence: 0x0102,
            expires: 0x6900_0000,
            action: BreakerAction::Close,
        };
        let mut octets = order.signed().to_vec();
        assert_eq!(
            octets,
            b"GWB1\0\0\0\x07\0\0\0\0\0\0\x01\x02\0\0\0\0\x69\0\0\0\x01"
        );
        octets.extend([0x5A; SIGNATURE_LEN]);
        assert_eq!(octets.len(), ENVELOPE_LEN);
        assert_eq!(BreakerOrder::read(&octets), Ok((order, [0x5A; 64])));
        for end in 0..octets.len() {
            assert_eq!(
                BreakerOrder::read(&octets[..end]),
                Err(EnvelopeError::Length(end))
            );
        }
        octets[24] = 2;
        assert_eq!(BreakerOrder::read(&octets), Err(EnvelopeError::Action(2)));
        octets[0] = 0;
        assert_eq!(BreakerOrder::read(&octets), Err(EnvelopeError::Magic));
    }
}
