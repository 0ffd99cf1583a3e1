//! DLMS keys of a DRKey and a secret that was provisioned in the meter.

use alloc::vec;
use alloc::vec::Vec;

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Epoch, Octets, Protocol};

/// The shortest provisioned secret that is taken, in octets.
pub const MIN_SECRET: usize = 16;

/// What a mixed key is for. Keys of two purposes have nothing in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// The global unicast encryption key (GUEK).
    EncryptionKey,
    /// The global authentication key (GAK), HLS 5 among its uses.
    AuthenticationKey,
    /// The secret of HLS 3, 4, 6 or 7.
    HlsSecret,
}

impl Purpose {
    const fn label(self) -> &'static [u8; 4] {
        match self {
            Self::EncryptionKey => b"guek",
            Self::AuthenticationKey => b"gak ",
            Self::HlsSecret => b"hls ",
        }
    }
}

/// Who uses a mixed key with whom; each of it goes into the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// What for.
    pub purpose: Purpose,
    /// The security suite: 0, 1 (16 octets of key) or 2 (32 octets).
    pub suite: u8,
    /// The protocol that the DRKey was derived for.
    pub protocol: Protocol,
    /// The DRKey's epoch.
    pub epoch: Epoch,
    /// The client's SAP.
    pub client_sap: u16,
    /// The logical device's SAP.
    pub server_sap: u16,
    /// The client's system title.
    pub client_title: [u8; 8],
    /// The meter's system title.
    pub server_title: [u8; 8],
}

/// A mixture that would be no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MixError {
    /// The provisioned secret is shorter than [`MIN_SECRET`] octets.
    #[error("the provisioned secret has {0} octets, at least {MIN_SECRET} are needed")]
    ShortSecret(usize),
    /// All octets of the provisioned secret are the same.
    #[error("the provisioned secret is one octet over and over")]
    WeakSecret,
    /// The suite is none of 0, 1 and 2.
    #[error("security suite {0} is not 0, 1 or 2")]
    Suite(u8),
}

/// Opens the context that a key is bound to; a later form gets another text.
const LABEL: &[u8] = b"gridward drkey dlms 1";

/// Derives the DLMS key of one use with HKDF-SHA-256 (RFC 5869): the
/// provisioned secret is the salt, the DRKey between head end and meter the
/// keying material, and the whole of `for_use` the context. Whoever lacks
/// either of the two has nothing. The raw DRKey is never used as a key.
///
/// # Errors
/// [`MixError`] where the secret is none, or the suite is unknown.
pub fn mix(drkey: &Octets, secret: &[u8], for_use: &Use) -> Result<Zeroizing<Vec<u8>>, MixError> {
    if secret.len() < MIN_SECRET {
        return Err(MixError::ShortSecret(secret.len()));
    }
    if secret.iter().all(|octet| Some(octet) == secret.first()) {
        return Err(MixError::WeakSecret);
    }
    let length = match for_use.suite {
        0 | 1 => 16,
        2 => 32,
        other => return Err(MixError::Suite(other)),
    };
    let mut context = Vec::with_capacity(64);
    context.extend_from_slice(LABEL);
    context.extend_from_slice(for_use.purpose.label());
    context.push(for_use.suite);
    context.extend_from_slice(&for_use.protocol.0.to_be_bytes());
    context.extend_from_slice(&for_use.epoch.begin().to_be_bytes());
    context.extend_from_slice(&for_use.epoch.end().to_be_bytes());
    context.extend_from_slice(&for_use.client_sap.to_be_bytes());
    context.extend_from_slice(&for_use.server_sap.to_be_bytes());
    context.extend_from_slice(&for_use.client_title);
    context.extend_from_slice(&for_use.server_title);
    let mut key = Zeroizing::new(vec![0; length]);
    let expanded =
        Hkdf::<Sha256>::new(Some(secret), drkey.dangerous_octets()).expand(&context, &mut key);
    debug_assert!(expanded.is_ok(), "32 octets are within HKDF's bound");
    Ok(key)
}
