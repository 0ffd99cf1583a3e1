//! Authentication of the peers: the password of low level security, the
//! challenges and replies of high level security.
//!
//! ```text
//! pass 1  client -> server   AARQ        CtoS
//! pass 2  client <- server   AARE        StoC
//! pass 3  client -> server   reply_to_HLS_authentication   f(StoC)
//! pass 4  client <- server   its response                  f(CtoS)
//!
//! mechanism 5: f(challenge) = SC | counter | GMAC(SC, authentication key, challenge)
//! ```
//!
//! The tag of mechanism 5 is made exactly as that of an APDU with
//! authentication only. Whoever chooses the challenge can therefore have a
//! peer sign an APDU of 8 to 64 octets, a disconnect for one: challenges that
//! read as an APDU are refused, and ours never do.

use alloc::vec::Vec;
use core::fmt;

use subtle::{ConstantTimeEq as _, ConstantTimeLess as _};
use zeroize::Zeroizing;

use super::counter::FreshCounter;
use super::crypto::Tag;
use super::envelope::{KeyRing, ProtectError, UnprotectError};
use super::key::SystemTitle;
use super::proof::{HlsVerified, PasswordVerified};
use super::replay::{ReplayError, ReplayWindow};
use super::suite::{Protection, SecurityControl};
use crate::codec::{DecodeError, Reader};

/// The longest password that is compared, in octets.
pub const PASSWORD_LEN_MAX: usize = 64;

/// The shortest challenge, in octets.
pub const CHALLENGE_LEN_MIN: usize = 8;

/// The longest challenge, in octets.
pub const CHALLENGE_LEN_MAX: usize = 64;

/// The length of a reply of mechanism 5: security control, counter, tag.
pub const GMAC_REPLY_LEN: usize = 17;

/// Compares the password of low level security in a time that depends on
/// neither of them. An empty secret matches nothing.
#[must_use]
pub fn password_matches(secret: &[u8], offered: &[u8]) -> Option<PasswordVerified> {
    let padded = |octets: &[u8]| {
        let mut room = Zeroizing::new([0_u8; PASSWORD_LEN_MAX]);
        room.iter_mut()
            .zip(octets)
            .for_each(|(to, from)| *to = *from);
        room
    };
    let len = |octets: &[u8]| u32::try_from(octets.len()).unwrap_or(u32::MAX);
    let same = padded(secret).ct_eq(&*padded(offered))
        & len(secret).ct_eq(&len(offered))
        & len(secret).ct_lt(&(len(&[0; PASSWORD_LEN_MAX]) + 1))
        & !len(secret).ct_eq(&0);
    bool::from(same).then(PasswordVerified::new)
}

/// A challenge of high level security that can be answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge(Vec<u8>);

impl Challenge {
    /// Makes a challenge of ours of `entropy`, 8 to 64 octets that nobody can
    /// foretell; two bits are used up so that it reads as no APDU.
    ///
    /// # Errors
    /// [`ChallengeError`] where the entropy is none.
    pub fn from_entropy(entropy: &[u8]) -> Result<Self, ChallengeError> {
        let mut octets = entropy.to_vec();
        if let Some(first) = octets.first_mut() {
            // 0x80 to 0xBF: between the ACSE and the xDLMS tags.
            *first = *first & 0x3F | 0x80;
        }
        Self::from_peer(&octets)
    }

    /// Takes the peer's challenge.
    ///
    /// # Errors
    /// [`ChallengeError`] where answering it would be unwise.
    pub fn from_peer(octets: &[u8]) -> Result<Self, ChallengeError> {
        if !(CHALLENGE_LEN_MIN..=CHALLENGE_LEN_MAX).contains(&octets.len()) {
            return Err(ChallengeError::Length(octets.len()));
        }
        let (first, rest) = octets.split_first().ok_or(ChallengeError::Length(0))?;
        if rest.iter().all(|octet| octet == first) {
            return Err(ChallengeError::Constant);
        }
        if reads_as_apdu(octets) {
            return Err(ChallengeError::ReadsAsApdu);
        }
        Ok(Self(octets.to_vec()))
    }

    /// Shows the octets.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenge({} octets)", self.0.len())
    }
}

/// Tells whether an APDU that does something could begin so. Random octets
/// rarely do: fewer than one challenge in a thousand is refused for it.
fn reads_as_apdu(octets: &[u8]) -> bool {
    match octets {
        // get, set, action: request and response, by choice.
        [0xC0 | 0xC4, 1..=3, ..]
        | [0xC1 | 0xC5, 1..=5, ..]
        | [0xC3, 1..=6, ..]
        | [0xC7, 1..=4, ..]
        // EventNotification: optional time absent, or present with 12 octets.
        | [0xC2, 0, ..] | [0xC2, 1, 12, ..]
        // DataNotification: long-invoke-id-and-priority, then a time of 0 or 12 octets.
        | [0x0F, _, _, _, _, 0 | 12, ..]
        // read, write and their unconfirmed forms: a short list of variables.
        | [0x05 | 0x06 | 0x16 | 0x18, 1..=8, 0..=7, ..]
        | [0x0C | 0x0D, 1..=8, 0..=3, ..]
        // InitiateRequest and -Response: options absent or present, version 6.
        | [0x01, 0, 0, 0 | 1, ..] | [0x01, 1, 16 | 32, ..] | [0x08, 0, 6, ..]
        | [0x08, 1, _, 6, ..]
        // ConfirmedServiceError, ExceptionResponse.
        | [0x0E, 1 | 5 | 6, 0..=10, ..] | [0xD8, 1..=2, 1..=6, ..]
        // Access: long-invoke-id-and-priority, then a time of 0 or 12 octets.
        | [0xD9 | 0xDA, _, _, _, _, 0 | 12, ..]
        // General block transfer and general protection.
        | [0xDB..=0xDF, 0 | 8, ..] | [0xE0, _, 0, _, 0, ..] => true,
        _ => false,
    }
}

/// A challenge that is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChallengeError {
    /// Neither 8 to 64 octets.
    #[error("a challenge has 8 to 64 octets, not {0}")]
    Length(usize),
    /// All octets are equal.
    #[error("the challenge is not random")]
    Constant,
    /// Answering would put a tag on an APDU of the peer's choice.
    #[error("the challenge reads as an APDU")]
    ReadsAsApdu,
}

/// Who answers a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The client, in pass 3.
    Client,
    /// The server, in pass 4.
    Server,
}

/// Both challenges and both titles of one association.
///
/// The other mechanisms (3, 4, 6 and 7) use the same four values and will be
/// further pairs of methods.
#[derive(Clone, Debug)]
pub struct HlsExchange {
    client: SystemTitle,
    server: SystemTitle,
    ctos: Challenge,
    stoc: Challenge,
}

impl HlsExchange {
    /// Puts the four values together.
    ///
    /// # Errors
    /// [`HlsError::SameTitle`] and [`HlsError::Reflected`]: what one side
    /// answers could be handed back to it as the other side's answer.
    pub fn new(
        client: SystemTitle,
        server: SystemTitle,
        ctos: Challenge,
        stoc: Challenge,
    ) -> Result<Self, HlsError> {
        if client == server {
            return Err(HlsError::SameTitle);
        }
        // Equal challenges, and such as "ab" and "abab" whose joined forms,
        // which mechanisms 6 and 7 sign, are equal in both orders.
        let forth = ctos.0.iter().chain(&stoc.0);
        let back = stoc.0.iter().chain(&ctos.0);
        if forth.eq(back) {
            return Err(HlsError::Reflected);
        }
        Ok(Self {
            client,
            server,
            ctos,
            stoc,
        })
    }

    /// Makes our reply by mechanism 5, for pass 3 as the client or pass 4 as
    /// the server.
    ///
    /// # Errors
    /// [`HlsError::Protect`] where there is no authentication key.
    pub fn gmac_reply(
        &self,
        who: Role,
        ring: &KeyRing,
        counter: FreshCounter,
    ) -> Result<[u8; GMAC_REPLY_LEN], HlsError> {
        let (title, challenge) = self.of(who);
        let value = counter.value();
        let (control, tag) = ring.gmac(title, counter, challenge.octets())?;
        let mut reply = [0; GMAC_REPLY_LEN];
        let parts = [control.octet()]
            .into_iter()
            .chain(value.to_be_bytes())
            .chain(tag);
        reply
            .iter_mut()
            .zip(parts)
            .for_each(|(to, from)| *to = from);
        Ok(reply)
    }

    /// Verifies the reply of the peer, which is `who`, by mechanism 5. Its
    /// counter is taken in `window` once the tag has verified; a reply with
    /// the counter of the APDU that carried it, `enclosing`, which has just
    /// been taken there, is good too: jDLMS 1.8.0 and Gurux Java 4.0.47 use
    /// that one twice. What makes the reply fresh is our challenge.
    ///
    /// # Errors
    /// [`HlsError`]; the peer is then not authenticated.
    pub fn gmac_verify(
        &self,
        who: Role,
        ring: &KeyRing,
        window: &mut ReplayWindow,
        enclosing: Option<u32>,
        reply: &[u8],
    ) -> Result<HlsVerified, HlsError> {
        let mut reader = Reader::new(reply);
        let control = reader.u8("security control")?;
        let counter = reader.u32("invocation counter")?;
        let tag: Tag = reader.array("authentication tag")?;
        reader.finish("reply to HLS authentication")?;
        let expected = SecurityControl::new(ring.suite(), Protection::Authenticated);
        if control != expected.octet() {
            return Err(HlsError::SecurityControl {
                expected: expected.octet(),
                received: control,
            });
        }
        let candidate = if enclosing == Some(counter) {
            None
        } else {
            Some(window.check(counter)?)
        };
        let (title, challenge) = self.of(who);
        let proof = ring.gmac_verify(title, counter, challenge.octets(), &tag)?;
        if let Some(candidate) = candidate {
            window.commit(candidate, &proof)?;
        }
        Ok(HlsVerified::new())
    }

    /// The title of the one who answers, and the challenge that it answers.
    const fn of(&self, who: Role) -> (&SystemTitle, &Challenge) {
        match who {
            Role::Client => (&self.client, &self.stoc),
            Role::Server => (&self.server, &self.ctos),
        }
    }
}

/// The peer is not authenticated, or we cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HlsError {
    /// Client and server have the same system title.
    #[error("client and server have the same system title")]
    SameTitle,
    /// The challenge is the other side's, given back.
    #[error("the challenge is the one we sent, given back")]
    Reflected,
    /// The reply is none.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// The security control octet is not the one of a reply in this suite.
    #[error("security control 0x{received:02x} where 0x{expected:02x} belongs")]
    SecurityControl {
        /// What belongs there.
        expected: u8,
        /// What stands there.
        received: u8,
    },
    /// The counter of the reply was used before.
    #[error(transparent)]
    Replayed(#[from] ReplayError),
    /// The reply does not verify.
    #[error(transparent)]
    Verify(#[from] UnprotectError),
    /// Our reply cannot be made.
    #[error(transparent)]
    Protect(#[from] ProtectError),
}
