//! AES-GCM as AWS-LC has it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, Nonce, UnboundKey};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use subtle::ConstantTimeEq as _;

use super::crypto::{Crypto, Gcm, Iv, RustCrypto, Tag, TagMismatch, TextTooLong, UnwrapError};
use super::key::{Key, Octets};
use super::signature::{PublicKey, Signature, Signatures};

/// The algorithms of AWS-LC, for processors that have an operating system.
///
/// Its assembly ciphers and hashes side by side, which takes from a third to
/// two thirds of the time of [`RustCrypto`]. Key wrap, which is rare, is
/// [`RustCrypto`]'s.
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLc;

impl Crypto for AwsLc {
    fn gcm(&self, key: &Key) -> Arc<dyn Gcm> {
        let algorithm = match key.octets() {
            Octets::Aes128(_) => &AES_128_GCM,
            Octets::Aes256(_) => &AES_256_GCM,
        };
        match UnboundKey::new(algorithm, key.dangerous_octets()) {
            Ok(ready) => Arc::new(Ready(LessSafeKey::new(ready))),
            // The length is right, so only memory can have been short.
            Err(_) => RustCrypto.gcm(key),
        }
    }

    fn wrap(&self, master: &Key, key: &Key) -> Vec<u8> {
        RustCrypto.wrap(master, key)
    }

    fn unwrap(&self, master: &Key, wrapped: &[u8]) -> Result<Key, UnwrapError> {
        RustCrypto.unwrap(master, wrapped)
    }
}

impl Signatures for AwsLc {
    fn verify_p256(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.octets())
            .verify(message, signature)
            .is_ok()
    }
}

/// A key of AWS-LC, which wipes it when it is dropped.
struct Ready(LessSafeKey);

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gcm(..)")
    }
}

impl Ready {
    /// Seals `text` into `sealed`, which has the same length.
    fn seal_into(
        &self,
        iv: &Iv,
        aad: &[u8],
        text: &[u8],
        sealed: &mut [u8],
    ) -> Result<Tag, TextTooLong> {
        let mut tag = [0; MAX_TAG_LEN];
        let nonce = Nonce::assume_unique_for_key(*iv);
        self.0
            .seal_out_of_place_scatter(nonce, Aad::from(aad), text, sealed, &[], &mut tag)
            .map_err(|_| TextTooLong)?;
        cut(&tag).ok_or(TextTooLong)
    }
}

impl Gcm for Ready {
    fn seal(&self, iv: &Iv, aad: &[u8], text: &mut [u8]) -> Result<Tag, TextTooLong> {
        let nonce = Nonce::assume_unique_for_key(*iv);
        self.0
            .seal_in_place_separate_tag(nonce, Aad::from(aad), text)
            .ok()
            .and_then(|tag| cut(tag.as_ref()))
            .ok_or(TextTooLong)
    }

    /// AWS-LC verifies tags of 16 octets only. So what `text` deciphers to is
    /// sealed once more, and the first twelve octets of that tag are compared.
    fn open(&self, iv: &Iv, aad: &[u8], text: &mut [u8], tag: &Tag) -> Result<(), TagMismatch> {
        let mut plain = text.to_vec();
        let made = if plain.is_empty() {
            self.seal(iv, aad, text)
        } else {
            self.counter_mode(iv, &mut plain)
                .and_then(|()| self.seal_into(iv, aad, &plain, text))
        };
        let made = made.map_err(|_| TagMismatch)?;
        if bool::from(made.ct_eq(tag)) {
            text.copy_from_slice(&plain);
            Ok(())
        } else {
            Err(TagMismatch)
        }
    }

    fn counter_mode(&self, iv: &Iv, text: &mut [u8]) -> Result<(), TextTooLong> {
        // Sealing is the counter mode plus a tag, which is left.
        self.seal(iv, &[], text).map(drop)
    }
}

/// A tag of fewer octets is the front of the longer one (NIST SP 800-38D,
/// section 7.1, step 6).
fn cut(tag: &[u8]) -> Option<Tag> {
    tag.first_chunk().copied()
}
