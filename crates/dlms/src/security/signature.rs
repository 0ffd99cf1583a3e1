//! Signatures of the suites with public keys: so far those that are verified.

use core::fmt;

use super::proof::SignatureVerified;

/// A provider of ECDSA.
pub trait Signatures: fmt::Debug + Send + Sync {
    /// Tells whether `signature`, r and s of 32 octets each, is one of `key`
    /// over `message` (ECDSA with P-256 and SHA-256, FIPS 186-5).
    fn verify_p256(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool;
}

/// A signature of P-256: r and s, big-endian, as security suite 1 has it.
pub type Signature = [u8; 64];

/// A public key of P-256: 04, then x and y (SEC 1, section 2.3.3).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 65]);

impl PublicKey {
    /// Takes the octets of an uncompressed point. Whether it lies on the curve
    /// shows when something is verified.
    ///
    /// # Errors
    /// [`NoPublicKey`] where they have another length or form.
    pub fn from_octets(octets: &[u8]) -> Result<Self, NoPublicKey> {
        match <[u8; 65]>::try_from(octets) {
            Ok(octets @ [4, ..]) => Ok(Self(octets)),
            _ => Err(NoPublicKey),
        }
    }

    /// Shows the octets.
    #[must_use]
    pub const fn octets(&self) -> &[u8; 65] {
        &self.0
    }

    /// Verifies a signature over `message`.
    ///
    /// # Errors
    /// [`SignatureMismatch`] where it is not this key's, or not of this message.
    pub fn verify(
        &self,
        provider: &dyn Signatures,
        message: &[u8],
        signature: &Signature,
    ) -> Result<SignatureVerified, SignatureMismatch> {
        if provider.verify_p256(self, message, signature) {
            Ok(SignatureVerified::new())
        } else {
            Err(SignatureMismatch)
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(")?;
        for octet in self.0.iter().skip(1).take(8) {
            write!(f, "{octet:02x}")?;
        }
        f.write_str("..)")
    }
}

/// Octets that are no public key of P-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a public key of P-256 has 65 octets, the first of which is 04")]
pub struct NoPublicKey;

/// A signature that does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct SignatureMismatch;
