//! Proofs that a check has passed. They have no size, cannot be copied and can
//! be made only beside the checks.

/// The authentication tag of a message verified.
#[derive(Debug)]
#[must_use]
pub struct TagVerified(());

impl TagVerified {
    pub(super) const fn new() -> Self {
        Self(())
    }
}

/// The password of a low-level security association matched.
#[derive(Debug)]
#[must_use]
pub struct PasswordVerified(());

impl PasswordVerified {
    pub(super) const fn new() -> Self {
        Self(())
    }
}

/// The peer answered our challenge of a high-level security association.
#[derive(Debug)]
#[must_use]
pub struct HlsVerified(());

impl HlsVerified {
    pub(super) const fn new() -> Self {
        Self(())
    }
}

/// A signature verified under a public key.
#[derive(Debug)]
#[must_use]
pub struct SignatureVerified(());

impl SignatureVerified {
    pub(super) const fn new() -> Self {
        Self(())
    }
}
