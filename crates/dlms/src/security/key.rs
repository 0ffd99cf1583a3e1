//! Keys and system titles.

use core::fmt;
use core::str::FromStr;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::crypto::Iv;
use super::suite::SecuritySuite;

/// A symmetric key of 16 or 32 octets. It is wiped when dropped, shows nothing
/// of itself, and compares in constant time.
#[derive(Clone)]
pub struct Key(Octets);

#[derive(Clone)]
pub(super) enum Octets {
    Aes128(Zeroizing<[u8; 16]>),
    Aes256(Zeroizing<[u8; 32]>),
}

impl Key {
    /// Takes a key of 16 or 32 octets.
    ///
    /// # Errors
    /// [`KeyLength`] where there are fewer, more or another number.
    pub fn from_octets(octets: &[u8]) -> Result<Self, KeyLength> {
        if let Ok(octets) = octets.try_into() {
            Ok(Self(Octets::Aes128(Zeroizing::new(octets))))
        } else if let Ok(octets) = octets.try_into() {
            Ok(Self(Octets::Aes256(Zeroizing::new(octets))))
        } else {
            Err(KeyLength(octets.len()))
        }
    }

    /// Tells how many octets the key has: 16 or 32.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a key is never empty")]
    pub const fn len(&self) -> usize {
        match &self.0 {
            Octets::Aes128(_) => 16,
            Octets::Aes256(_) => 32,
        }
    }

    /// Shows the octets, to be handed to an algorithm, a key store or the
    /// dedicated key of an InitiateRequest and to nothing else.
    #[must_use]
    pub fn dangerous_octets(&self) -> &[u8] {
        match &self.0 {
            Octets::Aes128(octets) => octets.as_slice(),
            Octets::Aes256(octets) => octets.as_slice(),
        }
    }

    pub(super) const fn octets(&self) -> &Octets {
        &self.0
    }

    /// Names the published example or default that this key is, if it is one.
    #[must_use]
    pub fn weakness(&self) -> Option<&'static str> {
        weak_key(self.dangerous_octets())
    }
}

impl From<[u8; 16]> for Key {
    fn from(octets: [u8; 16]) -> Self {
        Self(Octets::Aes128(Zeroizing::new(octets)))
    }
}

impl From<[u8; 32]> for Key {
    fn from(octets: [u8; 32]) -> Self {
        Self(Octets::Aes256(Zeroizing::new(octets)))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.dangerous_octets()
            .ct_eq(other.dangerous_octets())
            .into()
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// A key that has neither 16 nor 32 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key has 16 or 32 octets, not {0}")]
pub struct KeyLength(pub usize);

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    /// Global unicast encryption key (GUEK).
    Encryption,
    /// Global broadcast encryption key (GBEK).
    Broadcast,
    /// Global authentication key (GAK).
    Authentication,
    /// Master key, also called key encrypting key (KEK).
    Master,
    /// Dedicated unicast encryption key of one association.
    Dedicated,
}

impl KeyKind {
    /// Finds the key with this `key_id` of the Security Setup object's method
    /// `key_transfer`.
    #[must_use]
    pub const fn from_transfer_id(id: u8) -> Option<Self> {
        match id {
            0 => Some(Self::Encryption),
            1 => Some(Self::Broadcast),
            2 => Some(Self::Authentication),
            3 => Some(Self::Master),
            _ => None,
        }
    }

    /// Tells the `key_id`; the dedicated key has none.
    #[must_use]
    pub const fn transfer_id(self) -> Option<u8> {
        match self {
            Self::Encryption => Some(0),
            Self::Broadcast => Some(1),
            Self::Authentication => Some(2),
            Self::Master => Some(3),
            Self::Dedicated => None,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encryption => "global unicast encryption key",
            Self::Broadcast => "global broadcast encryption key",
            Self::Authentication => "authentication key",
            Self::Master => "master key",
            Self::Dedicated => "dedicated key",
        })
    }
}

/// The symmetric keys that two peers share.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Global unicast encryption key (GUEK).
    pub encryption: Key,
    /// Global authentication key (GAK); without it tags can neither be made
    /// nor verified.
    pub authentication: Option<Key>,
    /// Global broadcast encryption key (GBEK).
    pub broadcast: Option<Key>,
    /// Master key (KEK), under which other keys are transferred.
    pub master: Option<Key>,
    /// Dedicated key of the present association.
    pub dedicated: Option<Key>,
}

impl Keys {
    /// Starts with the two keys that every ciphered association needs.
    #[must_use]
    pub const fn new(encryption: Key, authentication: Key) -> Self {
        Self {
            encryption,
            authentication: Some(authentication),
            broadcast: None,
            master: None,
            dedicated: None,
        }
    }

    /// Goes through the keys that are there.
    pub fn iter(&self) -> impl Iterator<Item = (KeyKind, &Key)> {
        [
            (KeyKind::Encryption, Some(&self.encryption)),
            (KeyKind::Broadcast, self.broadcast.as_ref()),
            (KeyKind::Authentication, self.authentication.as_ref()),
            (KeyKind::Master, self.master.as_ref()),
            (KeyKind::Dedicated, self.dedicated.as_ref()),
        ]
        .into_iter()
        .filter_map(|(kind, key)| key.map(|key| (kind, key)))
    }

    /// Checks that each key has the length of `suite`.
    ///
    /// # Errors
    /// [`KeyError::Length`] for the first that has not.
    pub fn check_length(&self, suite: SecuritySuite) -> Result<(), KeyError> {
        for (kind, key) in self.iter() {
            check_length(suite, kind, key)?;
        }
        Ok(())
    }

    /// Checks that no key is a known weak one and no two are the same.
    ///
    /// # Errors
    /// [`KeyError::Weak`] or [`KeyError::Same`] for the first that is.
    pub fn check_strength(&self) -> Result<(), KeyError> {
        for (position, (kind, key)) in self.iter().enumerate() {
            if let Some(weakness) = key.weakness() {
                return Err(KeyError::Weak { kind, weakness });
            }
            for (other, other_key) in self.iter().take(position) {
                if key == other_key {
                    return Err(KeyError::Same { kind, other });
                }
            }
        }
        Ok(())
    }
}

pub(super) const fn check_length(
    suite: SecuritySuite,
    kind: KeyKind,
    key: &Key,
) -> Result<(), KeyError> {
    if key.len() == suite.key_len() {
        Ok(())
    } else {
        Err(KeyError::Length {
            kind,
            expected: suite.key_len(),
            actual: key.len(),
        })
    }
}

/// Keys that cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The suite wants another length.
    #[error("the {kind} has {actual} octets, the security suite wants {expected}")]
    Length {
        /// Which key.
        kind: KeyKind,
        /// How many octets the suite's keys have.
        expected: usize,
        /// How many there are.
        actual: usize,
    },
    /// The key is public knowledge.
    #[error("the {kind} is known to everybody: {weakness}")]
    Weak {
        /// Which key.
        kind: KeyKind,
        /// Where it is published.
        weakness: &'static str,
    },
    /// Two keys of a peer are the same.
    #[error("the {kind} is the same as the {other}")]
    Same {
        /// Which key.
        kind: KeyKind,
        /// The other key.
        other: KeyKind,
    },
}

/// The system title: who protected an APDU. The first three octets are the
/// manufacturer's FLAG id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemTitle(pub [u8; 8]);

impl SystemTitle {
    /// Takes a title of eight octets.
    #[must_use]
    pub fn from_slice(octets: &[u8]) -> Option<Self> {
        octets.try_into().ok().map(Self)
    }

    /// Tells the manufacturer's FLAG id, where its three octets are capital letters.
    #[must_use]
    pub fn manufacturer(&self) -> Option<&str> {
        let flag = self.0.get(..3)?;
        flag.iter()
            .all(u8::is_ascii_uppercase)
            .then(|| core::str::from_utf8(flag).ok())?
    }

    /// Makes the initialization vector: the title, then the invocation counter.
    #[must_use]
    pub fn iv(&self, counter: u32) -> Iv {
        let mut iv = [0; 12];
        let (title, rest) = iv.split_at_mut(8);
        title.copy_from_slice(&self.0);
        rest.copy_from_slice(&counter.to_be_bytes());
        iv
    }
}

impl fmt::Display for SystemTitle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// Reads 16 hexadecimal digits; spaces, colons and hyphens between them are
/// skipped.
impl FromStr for SystemTitle {
    type Err = ParseSystemTitleError;

    fn from_str(text: &str) -> Result<Self, ParseSystemTitleError> {
        let mut digits = text
            .chars()
            .filter(|character| !character.is_whitespace() && !matches!(character, ':' | '-'))
            .map(|character| character.to_digit(16).and_then(|it| u8::try_from(it).ok()));
        let mut digit = || digits.next().flatten().ok_or(ParseSystemTitleError);
        let mut octets = [0; 8];
        for octet in &mut octets {
            *octet = digit()? << 4 | digit()?;
        }
        match digits.next() {
            None => Ok(Self(octets)),
            Some(_) => Err(ParseSystemTitleError),
        }
    }
}

/// Text that is no system title.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a system title is 16 hexadecimal digits")]
pub struct ParseSystemTitleError;

impl fmt::Debug for SystemTitle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SystemTitle({self})")
    }
}

/// Keys that are printed in documents, tools and source code. A device that
/// has one has none.
const PUBLISHED: &[(&[u8], &str)] = &[
    (
        b"\x05\x6f\x9b\x0c\xfe\xdf\x15\x0e\x88\x9b\xea\xd5\x2f\xa7\xa1\x74",
        "example of the Smarty P1 specification's readers",
    ),
    (
        b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff",
        "counting 00 11 .. FF: example of IEC 62056-5-3 (dedicated key) and RFC 3394, fixed authentication key of Smarty meters",
    ),
    (
        b"\xff\xee\xdd\xcc\xbb\xaa\x99\x88\x77\x66\x55\x44\x33\x22\x11\x00",
        "counting down FF EE .. 00",
    ),
    (
        b"\x2b\x7e\x15\x16\x28\xae\xd2\xa6\xab\xf7\x15\x88\x09\xcf\x4f\x3c",
        "example of FIPS 197",
    ),
    (
        b"\xc5\xf4\x51\x28\x46\xed\xe5\x1c\xfb\x8c\xcf\x59\xf0\x8a\x69\x4e",
        "example of IEC 62056-5-3, key agreement",
    ),
    (
        b"\x59\xa7\x1f\xd8\x1c\x92\x9a\x86\xa9\x94\x38\xda\x17\xa6\x6c\x05",
        "example of IEC 62056-5-3, one-pass key agreement",
    ),
    (
        b"\xf0\x18\x4b\xda\x94\x66\xbf\xa4\x60\x1a\x64\xa7\xef\x46\x50\x4a",
        "example of IEC 62056-5-3, one-pass key agreement",
    ),
    (b"HLS_SECRET_16byt", "secret of a published test vector"),
    (b"0123456789012345", "text 0123456789012345"),
    (b"0123456789ABCDEF", "text 0123456789ABCDEF"),
    (b"0123456789abcdef", "text 0123456789abcdef"),
    (b"1234567890123456", "text 1234567890123456"),
    (b"1234567812345678", "text 1234567812345678"),
    (b"abcdefghijklmnop", "text abcdefghijklmnop"),
    (b"ABCDEFGHIJKLMNOP", "text ABCDEFGHIJKLMNOP"),
];

/// Names the published example or default that these octets are, if they are
/// one: all octets equal, octets that count up or down by one (`00..0F`,
/// `D0..DF`, the defaults of most tools and the examples of the standard), a
/// short group repeated, or a key printed somewhere.
#[must_use]
pub fn weak_key(octets: &[u8]) -> Option<&'static str> {
    let (first, rest) = octets.split_first()?;
    if rest.iter().all(|octet| octet == first) {
        return Some("all octets are equal");
    }
    if let Some((_, name)) = PUBLISHED.iter().find(|(key, _)| *key == octets) {
        return Some(name);
    }
    let steps_by = |step: u8| {
        octets
            .iter()
            .zip(rest)
            .all(|(a, b)| a.wrapping_add(step) == *b)
    };
    if steps_by(1) {
        return Some(match first {
            0x00 => "counting from 00: example of IEC 62056-5-3 and default of many tools",
            0xD0 => "counting from D0: example of IEC 62056-5-3 and default of many tools",
            _ => "octets that count up by one",
        });
    }
    if steps_by(0xFF) {
        return Some("octets that count down by one");
    }
    let repeats = |period: usize| {
        octets
            .iter()
            .zip(octets.iter().skip(period))
            .all(|(a, b)| a == b)
    };
    // A 32-octet key of two equal halves has the strength of a 16-octet one.
    let longest = if octets.len() > 16 {
        octets.len() / 2
    } else {
        4
    };
    (2..=longest)
        .any(repeats)
        .then_some("a short group of octets, repeated")
}
