//! The algorithms, behind one door.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use aes_gcm::aead::AeadInOut;
use aes_gcm::aes::cipher::consts::U12;
use aes_gcm::aes::{Aes128Enc, Aes256Enc};
use aes_gcm::{AesGcm, KeyInit as _};
use aes_kw::{KwAes128, KwAes256};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::key::{Key, Octets};

/// An initialization vector of GCM: system title, then invocation counter.
pub type Iv = [u8; 12];

/// The integrity check value of a wrapped key has eight octets (RFC 3394).
const INTEGRITY_LEN: usize = 8;

/// An authentication tag, 96 bits in every suite.
pub type Tag = [u8; 12];

/// A provider of the symmetric algorithms of the security suites.
///
/// The signatures and key agreements of suites 1 and 2 will stand beside this
/// as a trait of their own, since small devices go without them.
pub trait Crypto: fmt::Debug + Send + Sync {
    /// Makes `key` ready for GCM: what does not depend on the message is
    /// computed here, once.
    fn gcm(&self, key: &Key) -> Arc<dyn Gcm>;

    /// Wraps `key` under `master` by AES key wrap (RFC 3394, section 2.2.1).
    fn wrap(&self, master: &Key, key: &Key) -> Vec<u8>;

    /// Unwraps a key that came under `master` (RFC 3394, section 2.2.2).
    ///
    /// # Errors
    /// [`UnwrapError`] where the octets are no key under `master`.
    fn unwrap(&self, master: &Key, wrapped: &[u8]) -> Result<Key, UnwrapError>;
}

/// A key made ready for AES-GCM (NIST SP 800-38D) with 96-bit initialization
/// vectors and tags. Implementations wipe what they derived when dropped.
pub trait Gcm: fmt::Debug + Send + Sync {
    /// Ciphers `text` in place and tells the tag over `aad` and the result.
    /// With an empty `text` that is GMAC.
    ///
    /// # Errors
    /// [`TextTooLong`] beyond GCM's limit; `text` is then unchanged.
    fn seal(&self, iv: &Iv, aad: &[u8], text: &mut [u8]) -> Result<Tag, TextTooLong>;

    /// Verifies `tag` in constant time, and deciphers `text` in place only if
    /// it is right.
    ///
    /// # Errors
    /// [`TagMismatch`]; `text` is then unchanged.
    fn open(&self, iv: &Iv, aad: &[u8], text: &mut [u8], tag: &Tag) -> Result<(), TagMismatch>;

    /// Ciphers or deciphers `text` in place without any tag: the counter mode
    /// inside GCM, whose first block for text is 2.
    ///
    /// # Errors
    /// [`TextTooLong`] beyond GCM's limit; `text` is then unchanged.
    fn counter_mode(&self, iv: &Iv, text: &mut [u8]) -> Result<(), TextTooLong>;
}

/// The tag is not of this key and message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the authentication tag does not verify")]
pub struct TagMismatch;

/// A text beyond GCM's limit of 2^36 - 32 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is too long for one message")]
pub struct TextTooLong;

/// Octets that are no wrapped key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnwrapError {
    /// A wrapped key has 24 or 40 octets.
    #[error("a wrapped key has 24 or 40 octets, not {0}")]
    Length(usize),
    /// The integrity check value of RFC 3394 did not come out.
    #[error("the wrapped key does not verify under the master key")]
    Integrity,
}

/// The algorithms of the RustCrypto project. They use the processor's AES and
/// carry-less multiplication where it has them, else constant-time software.
#[derive(Clone, Copy, Debug, Default)]
pub struct RustCrypto;

impl Crypto for RustCrypto {
    fn gcm(&self, key: &Key) -> Arc<dyn Gcm> {
        match key.octets() {
            Octets::Aes128(octets) => Arc::new(Ready(AesGcm::<Aes128Enc, U12, U12>::new(
                (&**octets).into(),
            ))),
            Octets::Aes256(octets) => Arc::new(Ready(AesGcm::<Aes256Enc, U12, U12>::new(
                (&**octets).into(),
            ))),
        }
    }

    fn wrap(&self, master: &Key, key: &Key) -> Vec<u8> {
        let key = key.dangerous_octets();
        let mut wrapped = vec![0; key.len() + INTEGRITY_LEN];
        let done = match master.octets() {
            Octets::Aes128(octets) => KwAes128::new((&**octets).into())
                .wrap_key(key, &mut wrapped)
                .is_ok(),
            Octets::Aes256(octets) => KwAes256::new((&**octets).into())
                .wrap_key(key, &mut wrapped)
                .is_ok(),
        };
        debug_assert!(done, "keys are whole blocks and the room is theirs");
        wrapped
    }

    fn unwrap(&self, master: &Key, wrapped: &[u8]) -> Result<Key, UnwrapError> {
        let mut key = Zeroizing::new([0; 32]);
        let len = match wrapped.len() {
            24 => 16,
            40 => 32,
            other => return Err(UnwrapError::Length(other)),
        };
        let room = key.get_mut(..len).unwrap_or_default();
        let unwrapped = match master.octets() {
            Octets::Aes128(octets) => KwAes128::new((&**octets).into()).unwrap_key(wrapped, room),
            Octets::Aes256(octets) => KwAes256::new((&**octets).into()).unwrap_key(wrapped, room),
        };
        unwrapped
            .ok()
            .and_then(|octets| Key::from_octets(octets).ok())
            .ok_or(UnwrapError::Integrity)
    }
}

/// A cipher with its round keys and the powers of its hash key.
struct Ready<G>(G);

impl<G> fmt::Debug for Ready<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gcm(..)")
    }
}

impl<G> Gcm for Ready<G>
where
    G: AeadInOut<NonceSize = U12, TagSize = U12> + ZeroizeOnDrop + Send + Sync,
{
    fn seal(&self, iv: &Iv, aad: &[u8], text: &mut [u8]) -> Result<Tag, TextTooLong> {
        self.0
            .encrypt_inout_detached(iv.into(), aad, text.into())
            .map(Into::into)
            .map_err(|_| TextTooLong)
    }

    fn open(&self, iv: &Iv, aad: &[u8], text: &mut [u8], tag: &Tag) -> Result<(), TagMismatch> {
        self.0
            .decrypt_inout_detached(iv.into(), aad, text.into(), tag.into())
            .map_err(|_| TagMismatch)
    }

    fn counter_mode(&self, iv: &Iv, text: &mut [u8]) -> Result<(), TextTooLong> {
        // Sealing is the counter mode plus a tag, which is left.
        self.seal(iv, &[], text).map(drop)
    }
}
