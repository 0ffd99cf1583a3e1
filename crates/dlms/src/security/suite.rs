//! Security suites and the security control octet.

use core::fmt;

/// A security suite of IEC 62056-5-3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecuritySuite {
    /// AES-GCM-128 and AES-128 key wrap.
    Suite0,
    /// Suite 0 with ECDSA and ECDH on P-256, SHA-256 and V.44.
    Suite1,
    /// AES-GCM-256 and AES-256 key wrap, ECDSA and ECDH on P-384, SHA-384 and V.44.
    Suite2,
}

impl SecuritySuite {
    /// Finds the suite with this id.
    #[must_use]
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            0 => Some(Self::Suite0),
            1 => Some(Self::Suite1),
            2 => Some(Self::Suite2),
            _ => None,
        }
    }

    /// Tells the id, as in the security control octet and in attribute 3 of
    /// the Security Setup object.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::Suite0 => 0,
            Self::Suite1 => 1,
            Self::Suite2 => 2,
        }
    }

    /// Tells how many octets each symmetric key of the suite has.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::Suite0 | Self::Suite1 => 16,
            Self::Suite2 => 32,
        }
    }
}

/// What symmetric cryptography does for an APDU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protection {
    /// Nothing.
    #[default]
    None,
    /// A tag over the plain text.
    Authenticated,
    /// Ciphered, without a tag: anyone on the way can change it unnoticed.
    Encrypted,
    /// Ciphered, with a tag.
    AuthenticatedEncrypted,
}

impl Protection {
    /// Makes a protection of its two halves.
    #[must_use]
    pub const fn of(authenticated: bool, encrypted: bool) -> Self {
        match (authenticated, encrypted) {
            (false, false) => Self::None,
            (true, false) => Self::Authenticated,
            (false, true) => Self::Encrypted,
            (true, true) => Self::AuthenticatedEncrypted,
        }
    }

    /// Tells whether there is a tag.
    #[must_use]
    pub const fn authenticated(self) -> bool {
        matches!(self, Self::Authenticated | Self::AuthenticatedEncrypted)
    }

    /// Tells whether the text is ciphered.
    #[must_use]
    pub const fn encrypted(self) -> bool {
        matches!(self, Self::Encrypted | Self::AuthenticatedEncrypted)
    }

    /// Tells whether this is at least `required`.
    #[must_use]
    pub const fn covers(self, required: Self) -> bool {
        (self.authenticated() || !required.authenticated())
            && (self.encrypted() || !required.encrypted())
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no protection",
            Self::Authenticated => "authentication",
            Self::Encrypted => "encryption",
            Self::AuthenticatedEncrypted => "authenticated encryption",
        })
    }
}

/// The security control octet.
///
/// ```text
///   7             6         5           4               3 2 1 0
/// +-------------+---------+-----------+---------------+---------+
/// | compressed  | key set | encrypted | authenticated | suite   |
/// +-------------+---------+-----------+---------------+---------+
/// ```
///
/// Key set: 0 unicast, 1 broadcast. Octets that no suite has yet are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecurityControl(u8);

impl SecurityControl {
    const AUTHENTICATED: u8 = 0x10;
    const ENCRYPTED: u8 = 0x20;
    const BROADCAST: u8 = 0x40;
    const COMPRESSED: u8 = 0x80;

    /// Makes the octet for an APDU under the unicast or the dedicated key.
    #[must_use]
    pub const fn new(suite: SecuritySuite, protection: Protection) -> Self {
        let mut octet = suite.id();
        if protection.authenticated() {
            octet |= Self::AUTHENTICATED;
        }
        if protection.encrypted() {
            octet |= Self::ENCRYPTED;
        }
        Self(octet)
    }

    /// Tells that the broadcast key is used.
    #[must_use]
    pub const fn with_broadcast(self) -> Self {
        Self(self.0 | Self::BROADCAST)
    }

    /// Takes the octet as received.
    #[must_use]
    pub const fn from_octet(octet: u8) -> Self {
        Self(octet)
    }

    /// Tells the octet.
    #[must_use]
    pub const fn octet(self) -> u8 {
        self.0
    }

    /// Tells the suite's id, which may be one that this crate does not have.
    #[must_use]
    pub const fn suite_id(self) -> u8 {
        self.0 & 0x0F
    }

    /// Tells the suite.
    #[must_use]
    pub const fn suite(self) -> Option<SecuritySuite> {
        SecuritySuite::from_id(self.suite_id())
    }

    /// Tells the protection.
    #[must_use]
    pub const fn protection(self) -> Protection {
        Protection::of(
            self.0 & Self::AUTHENTICATED != 0,
            self.0 & Self::ENCRYPTED != 0,
        )
    }

    /// Tells whether the broadcast key is used.
    #[must_use]
    pub const fn broadcast(self) -> bool {
        self.0 & Self::BROADCAST != 0
    }

    /// Tells whether the text was compressed before it was protected.
    #[must_use]
    pub const fn compressed(self) -> bool {
        self.0 & Self::COMPRESSED != 0
    }
}

impl fmt::Debug for SecurityControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecurityControl(0x{:02x})", self.0)
    }
}
