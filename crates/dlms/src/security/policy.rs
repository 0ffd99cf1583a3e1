//! The security policy of the Security Setup object (class 64, attribute 2).

use super::suite::Protection;

/// The version of the class, which says how the octet is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyVersion {
    /// Version 0: 0 nothing, 1 authenticated, 2 encrypted, 3 both; the same
    /// for requests and responses.
    V0,
    /// Version 1: one bit for each protection of requests (2 authenticated,
    /// 3 encrypted, 4 signed) and of responses (5, 6, 7 likewise).
    V1,
}

/// What a message must have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Required {
    /// What symmetric cryptography must do.
    pub protection: Protection,
    /// Whether a digital signature is needed.
    pub signed: bool,
}

/// A security policy: the least protection of requests and of responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityPolicy {
    version: PolicyVersion,
    octet: u8,
}

impl SecurityPolicy {
    /// Takes the octet of attribute 2 or of the method `security_activate`.
    ///
    /// # Errors
    /// [`PolicyError::Value`] for a value that the version does not have.
    pub const fn new(version: PolicyVersion, octet: u8) -> Result<Self, PolicyError> {
        let known = match version {
            PolicyVersion::V0 => octet <= 3,
            PolicyVersion::V1 => octet & 0x03 == 0,
        };
        if known {
            Ok(Self { version, octet })
        } else {
            Err(PolicyError::Value(octet))
        }
    }

    /// Makes the policy that asks for nothing.
    #[must_use]
    pub const fn nothing(version: PolicyVersion) -> Self {
        Self { version, octet: 0 }
    }

    /// Tells the octet.
    #[must_use]
    pub const fn octet(self) -> u8 {
        self.octet
    }

    /// Tells the version of the class.
    #[must_use]
    pub const fn version(self) -> PolicyVersion {
        self.version
    }

    /// Tells what requests must have.
    #[must_use]
    pub const fn request(self) -> Required {
        match self.version {
            PolicyVersion::V0 => Self::required(self.octet),
            PolicyVersion::V1 => Self::required(self.octet >> 2),
        }
    }

    /// Tells what responses must have.
    #[must_use]
    pub const fn response(self) -> Required {
        match self.version {
            PolicyVersion::V0 => Self::required(self.octet),
            PolicyVersion::V1 => Self::required(self.octet >> 5),
        }
    }

    /// Tells the policy after the method `security_activate` with `octet`:
    /// everything that was required stays so.
    ///
    /// # Errors
    /// [`PolicyError::Weaker`], or [`PolicyError::Value`].
    pub const fn activate(self, octet: u8) -> Result<Self, PolicyError> {
        match Self::new(self.version, octet) {
            // In both versions each bit is one more thing required.
            Ok(policy) if self.octet & !octet == 0 => Ok(policy),
            Ok(_) => Err(PolicyError::Weaker {
                present: self.octet,
                asked: octet,
            }),
            Err(error) => Err(error),
        }
    }

    const fn required(bits: u8) -> Required {
        Required {
            protection: Protection::of(bits & 1 != 0, bits & 2 != 0),
            signed: bits & 4 != 0,
        }
    }
}

/// A policy that is not activated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The version of the class has no such value.
    #[error("no security policy has the value {0}")]
    Value(u8),
    /// Something that was required would not be any more.
    #[error("the security policy {asked} is weaker than the present {present}")]
    Weaker {
        /// The present policy.
        present: u8,
        /// The policy asked for.
        asked: u8,
    },
}
