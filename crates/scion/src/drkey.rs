//! DRKey: keys that two ASes' hosts can derive, and DLMS keys mixed from them.
//!
//! The hierarchy is that of the reference implementation's
//! `doc/cryptography/drkey.rst` and `pkg/drkey`: its PRF is AES-128 in CBC-MAC
//! over zero-padded blocks with a zero IV, not CMAC. What the names mean: the
//! *issuer* (fast side, A) derives a key by itself, the *other* side (B) has
//! to fetch it.
//!
//! A DRKey alone is no proof of a meter: any host in the issuer's AS that the
//! control service serves can have it, the AS's operator knows it, and it is
//! bound to an IP address. [`mix`] therefore joins it with a secret that only
//! the meter and its utility hold.

mod epoch;
mod mix;

use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use cbc_mac::{CbcMac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

pub use epoch::{Cache, CacheKey, Epoch, EpochError, GRACE, LATE, PREFETCH};
pub use mix::{MIN_SECRET, MixError, Purpose, Use, mix};

use crate::address::IsdAs;

/// A protocol that keys are derived for, 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u16);

impl Protocol {
    /// The hierarchy that all protocols without a number of their own share.
    pub const GENERIC: Self = Self(0);
    /// SCMP, the one protocol with a hierarchy of its own.
    pub const SCMP: Self = Self(1);

    /// Tells whether its keys come from a hierarchy of its own.
    #[must_use]
    pub const fn is_specific(self) -> bool {
        self.0 == Self::SCMP.0
    }

    /// Tells the protocol whose secret value and first-level key are used.
    #[must_use]
    pub const fn hierarchy(self) -> Self {
        if self.is_specific() {
            self
        } else {
            Self::GENERIC
        }
    }
}

/// The octets of a key. They are wiped when dropped, show nothing of
/// themselves, and compare in constant time.
#[derive(Clone)]
pub struct Octets(Zeroizing<[u8; 16]>);

impl Octets {
    /// Takes the octets that a daemon or a control service gave.
    #[must_use]
    pub fn new(octets: [u8; 16]) -> Self {
        Self(Zeroizing::new(octets))
    }

    /// Shows the octets, to be handed to an algorithm and to nothing else.
    #[must_use]
    pub fn dangerous_octets(&self) -> &[u8; 16] {
        &self.0
    }

    fn prf(&self, input: &[u8]) -> Self {
        let mut mac = CbcMac::<aes::Aes128>::new((&*self.0).into());
        mac.update(input);
        // What is not whole is filled with zeros, as the hierarchy has it.
        Self(Zeroizing::new(mac.finalize().into_bytes().into()))
    }
}

impl PartialEq for Octets {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

impl Eq for Octets {}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Octets(..)")
    }
}

/// What opens one step of a derivation (reference `pkg/drkey/protocol.go`).
const AS_AS: u8 = 0;
const AS_HOST: u8 = 1;
const HOST_AS: u8 = 2;
const HOST_HOST: u8 = 3;

/// Type and length of a host's address as SCION's address header has them.
const IPV4: u8 = 0;
const IPV6: u8 = 3;

fn put_host(input: &mut Vec<u8>, host: IpAddr) {
    match host {
        IpAddr::V4(host) => {
            input.push(IPV4);
            input.extend_from_slice(&host.octets());
        }
        IpAddr::V6(host) => {
            input.push(IPV6);
            input.extend_from_slice(&host.octets());
        }
    }
}

/// The secret of one AS for one protocol and epoch, from which all else comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretValue {
    key: Octets,
    protocol: Protocol,
}

impl SecretValue {
    /// Derives it from the AS's master secret.
    #[must_use]
    pub fn derive(master: &[u8], protocol: Protocol, epoch: Epoch) -> Self {
        let mut password = Zeroizing::new(Vec::with_capacity(master.len() + 18));
        password.extend_from_slice(&(master.len() as u64).to_be_bytes());
        password.extend_from_slice(master);
        password.extend_from_slice(&protocol.0.to_be_bytes());
        password.extend_from_slice(&epoch.begin().to_be_bytes());
        password.extend_from_slice(&epoch.end().to_be_bytes());
        let mut key = Zeroizing::new([0; 16]);
        pbkdf2::pbkdf2_hmac::<Sha256>(&password, b"Derive DRKey Key", 1_000, &mut *key);
        Self {
            key: Octets(key),
            protocol,
        }
    }

    /// Shows its octets.
    #[must_use]
    pub const fn octets(&self) -> &Octets {
        &self.key
    }

    /// Derives the key between this AS and another.
    #[must_use]
    pub fn level1(&self, other: IsdAs) -> Level1 {
        let mut input = Vec::with_capacity(9);
        input.push(AS_AS);
        input.extend_from_slice(&other.to_u64().to_be_bytes());
        Level1 {
            key: self.key.prf(&input),
            protocol: self.protocol,
        }
    }
}

/// The key between two ASes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level1 {
    key: Octets,
    protocol: Protocol,
}

impl Level1 {
    /// Takes one that was fetched, of the hierarchy of `protocol`.
    #[must_use]
    pub const fn fetched(key: Octets, protocol: Protocol) -> Self {
        Self {
            key,
            protocol: protocol.hierarchy(),
        }
    }

    /// Shows its octets.
    #[must_use]
    pub const fn octets(&self) -> &Octets {
        &self.key
    }

    fn level2(&self, kind: u8, protocol: Protocol, host: IpAddr) -> Octets {
        let mut input = Vec::with_capacity(32);
        input.push(kind);
        if !self.protocol.is_specific() {
            input.extend_from_slice(&protocol.0.to_be_bytes());
        }
        put_host(&mut input, host);
        self.key.prf(&input)
    }

    /// Derives the key between the issuer's AS and a host of the other.
    #[must_use]
    pub fn as_host(&self, protocol: Protocol, other: IpAddr) -> Octets {
        self.level2(AS_HOST, protocol, other)
    }

    /// Derives the key between a host of the issuer's AS and the other AS.
    #[must_use]
    pub fn host_as(&self, protocol: Protocol, issuer: IpAddr) -> HostAs {
        HostAs(self.level2(HOST_AS, protocol, issuer))
    }

    /// Derives the key between two hosts.
    #[must_use]
    pub fn host_host(&self, protocol: Protocol, issuer: IpAddr, other: IpAddr) -> Octets {
        self.host_as(protocol, issuer).host_host(other)
    }
}

/// The key between a host of the issuer's AS and the other AS: what a head end
/// fetches once for each meter AS and epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAs(Octets);

impl HostAs {
    /// Takes one that was fetched.
    #[must_use]
    pub const fn fetched(key: Octets) -> Self {
        Self(key)
    }

    /// Shows its octets.
    #[must_use]
    pub const fn octets(&self) -> &Octets {
        &self.0
    }

    /// Derives the key with one host of that AS.
    #[must_use]
    pub fn host_host(&self, other: IpAddr) -> Octets {
        let mut input = Vec::with_capacity(32);
        input.push(HOST_HOST);
        put_host(&mut input, other);
        self.0.prf(&input)
    }
}
