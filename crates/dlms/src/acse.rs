//! The association control APDUs of ISO/IEC 8650-1 as IEC 62056-5-3 uses
//! them: AARQ, AARE, RLRQ and RLRE, in BER.
//!
//! [`Wire::decode`](crate::codec::Wire::decode) is strict: fields in the order
//! of the ASN.1, each once, every length exact. It takes the legal variants of
//! BER: lengths in long form, a protocol version that is spelt out though it
//! is the default. `decode_lenient` of [`Aarq`], [`Aare`], [`Rlrq`] and
//! [`Rlre`] reads on where a peer's octets are wrong but their meaning is
//! plain, and tells each [`Deviation`].

mod association;
mod ber;
mod lenient;
mod release;

pub use association::{Aare, Aarq};
pub use ber::BitString;
pub use lenient::{Deviation, DeviationKind, Lenient, MAX_DEVIATIONS};
pub use release::{Rlre, Rlrq};

use core::fmt;

use crate::codes::code_points;

/// The object identifier 2.16.756.5.8, which the contents of every name of
/// the DLMS User Association start with.
const DLMS_UA: [u8; 5] = [0x60, 0x85, 0x74, 0x05, 0x08];

/// How objects are named in an association, and whether its APDUs are
/// protected (application context names, IEC 62056-5-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationContextName<'a> {
    /// Logical names, no ciphering (1).
    LogicalName,
    /// Short names, no ciphering (2).
    ShortName,
    /// Logical names with ciphering (3).
    LogicalNameCiphered,
    /// Short names with ciphering (4).
    ShortNameCiphered,
    /// Any other object identifier: its contents octets.
    Unknown(&'a [u8]),
}

impl<'a> ApplicationContextName<'a> {
    /// Tells whether APDUs of this context may be ciphered.
    #[must_use]
    pub const fn is_ciphered(self) -> bool {
        matches!(self, Self::LogicalNameCiphered | Self::ShortNameCiphered)
    }

    /// Tells whether objects are named by short names.
    #[must_use]
    pub const fn is_short_name(self) -> bool {
        matches!(self, Self::ShortName | Self::ShortNameCiphered)
    }

    /// Tells the name in the standard's words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LogicalName => "Logical_Name_Referencing_No_Ciphering",
            Self::ShortName => "Short_Name_Referencing_No_Ciphering",
            Self::LogicalNameCiphered => "Logical_Name_Referencing_With_Ciphering",
            Self::ShortNameCiphered => "Short_Name_Referencing_With_Ciphering",
            Self::Unknown(_) => "unknown",
        }
    }

    const fn from_contents(contents: &'a [u8]) -> Self {
        match contents {
            [0x60, 0x85, 0x74, 0x05, 0x08, 1, 1] => Self::LogicalName,
            [0x60, 0x85, 0x74, 0x05, 0x08, 1, 2] => Self::ShortName,
            [0x60, 0x85, 0x74, 0x05, 0x08, 1, 3] => Self::LogicalNameCiphered,
            [0x60, 0x85, 0x74, 0x05, 0x08, 1, 4] => Self::ShortNameCiphered,
            _ => Self::Unknown(contents),
        }
    }

    fn put_contents(self, out: &mut alloc::vec::Vec<u8>) {
        let id = match self {
            Self::LogicalName => 1,
            Self::ShortName => 2,
            Self::LogicalNameCiphered => 3,
            Self::ShortNameCiphered => 4,
            Self::Unknown(contents) => return out.extend_from_slice(contents),
        };
        out.extend_from_slice(&DLMS_UA);
        out.extend_from_slice(&[1, id]);
    }
}

/// How a client proves who it is (authentication mechanism names, IEC
/// 62056-5-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MechanismName<'a> {
    /// Lowest level security: none (0).
    Lowest,
    /// Low level security: a password (1).
    Low,
    /// High level security of the manufacturer's own making (2).
    High,
    /// High level security with MD5 (3).
    HighMd5,
    /// High level security with SHA-1 (4).
    HighSha1,
    /// High level security with GMAC (5).
    HighGmac,
    /// High level security with SHA-256 (6).
    HighSha256,
    /// High level security with ECDSA (7).
    HighEcdsa,
    /// Any other object identifier: its contents octets.
    Unknown(&'a [u8]),
}

impl<'a> MechanismName<'a> {
    /// Tells whether two more messages follow the AARE, in which both sides
    /// answer the other's challenge.
    #[must_use]
    pub const fn is_high(self) -> bool {
        matches!(
            self,
            Self::High
                | Self::HighMd5
                | Self::HighSha1
                | Self::HighGmac
                | Self::HighSha256
                | Self::HighEcdsa
        )
    }

    /// Tells the mechanism id, unless the name is not of the DLMS User
    /// Association.
    #[must_use]
    pub const fn id(self) -> Option<u8> {
        Some(match self {
            Self::Lowest => 0,
            Self::Low => 1,
            Self::High => 2,
            Self::HighMd5 => 3,
            Self::HighSha1 => 4,
            Self::HighGmac => 5,
            Self::HighSha256 => 6,
            Self::HighEcdsa => 7,
            Self::Unknown([0x60, 0x85, 0x74, 0x05, 0x08, 2, id]) => *id,
            Self::Unknown(_) => return None,
        })
    }

    /// Makes the mechanism with this id, if it is one of 0 to 7.
    #[must_use]
    pub const fn from_id(id: u8) -> Option<Self> {
        Some(match id {
            0 => Self::Lowest,
            1 => Self::Low,
            2 => Self::High,
            3 => Self::HighMd5,
            4 => Self::HighSha1,
            5 => Self::HighGmac,
            6 => Self::HighSha256,
            7 => Self::HighEcdsa,
            _ => return None,
        })
    }

    /// Tells the name in the standard's words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lowest => "COSEM_lowest_level_security_mechanism_name",
            Self::Low => "COSEM_low_level_security_mechanism_name",
            Self::High => "COSEM_high_level_security_mechanism_name",
            Self::HighMd5 => "COSEM_high_level_security_mechanism_name_using_MD5",
            Self::HighSha1 => "COSEM_high_level_security_mechanism_name_using_SHA-1",
            Self::HighGmac => "COSEM_high_level_security_mechanism_name_using_GMAC",
            Self::HighSha256 => "COSEM_high_level_security_mechanism_name_using_SHA-256",
            Self::HighEcdsa => "COSEM_high_level_security_mechanism_name_using_ECDSA",
            Self::Unknown(_) => "unknown",
        }
    }

    const fn from_contents(contents: &'a [u8]) -> Self {
        if let [0x60, 0x85, 0x74, 0x05, 0x08, 2, id] = contents
            && let Some(known) = Self::from_id(*id)
        {
            return known;
        }
        Self::Unknown(contents)
    }

    fn put_contents(self, out: &mut alloc::vec::Vec<u8>) {
        match self {
            Self::Unknown(contents) => out.extend_from_slice(contents),
            known => {
                out.extend_from_slice(&DLMS_UA);
                out.extend_from_slice(&[2, known.id().unwrap_or_default()]);
            }
        }
    }
}

/// A password or a challenge (`Authentication-value`). [`fmt::Debug`] tells
/// its form and length only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AuthenticationValue<'a> {
    /// `charstring` (0): what DLMS/COSEM uses, for octets of any value.
    Charstring(&'a [u8]),
    /// `bitstring` (1).
    BitString(BitString<'a>),
    /// `external` (2): the contents octets, undecoded.
    External(&'a [u8]),
    /// `other` (3): the contents octets, undecoded.
    Other(&'a [u8]),
}

impl<'a> AuthenticationValue<'a> {
    /// Tells the octets of the value, whatever its form.
    #[must_use]
    pub const fn octets(self) -> &'a [u8] {
        match self {
            Self::Charstring(octets) | Self::External(octets) | Self::Other(octets) => octets,
            Self::BitString(bits) => bits.octets,
        }
    }
}

impl fmt::Debug for AuthenticationValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self {
            Self::Charstring(_) => "Charstring",
            Self::BitString(_) => "BitString",
            Self::External(_) => "External",
            Self::Other(_) => "Other",
        };
        write!(f, "{form}({} octets)", self.octets().len())
    }
}

code_points! {
    /// Whether the server accepted (`Association-result`).
    pub enum AssociationResult {
        0 Accepted "accepted",
        1 RejectedPermanent "rejected-permanent",
        2 RejectedTransient "rejected-transient",
    }
}

/// Why the server answered as it did (`Associate-source-diagnostic`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssociateSourceDiagnostic {
    /// `acse-service-user` (1): the application's reason.
    ServiceUser(ServiceUserDiagnostic),
    /// `acse-service-provider` (2): the reason of association control itself.
    ServiceProvider(ServiceProviderDiagnostic),
}

code_points! {
    /// The application's reason (`acse-service-user`).
    pub enum ServiceUserDiagnostic {
        0 Null "null",
        1 NoReasonGiven "no-reason-given",
        2 ApplicationContextNameNotSupported "application-context-name-not-supported",
        3 CallingApTitleNotRecognized "calling-AP-title-not-recognized",
        4 CallingApInvocationIdentifierNotRecognized "calling-AP-invocation-identifier-not-recognized",
        5 CallingAeQualifierNotRecognized "calling-AE-qualifier-not-recognized",
        6 CallingAeInvocationIdentifierNotRecognized "calling-AE-invocation-identifier-not-recognized",
        7 CalledApTitleNotRecognized "called-AP-title-not-recognized",
        8 CalledApInvocationIdentifierNotRecognized "called-AP-invocation-identifier-not-recognized",
        9 CalledAeQualifierNotRecognized "called-AE-qualifier-not-recognized",
        10 CalledAeInvocationIdentifierNotRecognized "called-AE-invocation-identifier-not-recognized",
        11 AuthenticationMechanismNameNotRecognised "authentication-mechanism-name-not-recognised",
        12 AuthenticationMechanismNameRequired "authentication-mechanism-name-required",
        13 AuthenticationFailure "authentication-failure",
        14 AuthenticationRequired "authentication-required",
    }
}

code_points! {
    /// The reason of association control itself (`acse-service-provider`).
    pub enum ServiceProviderDiagnostic {
        0 Null "null",
        1 NoReasonGiven "no-reason-given",
        2 NoCommonAcseVersion "no-common-acse-version",
    }
}

code_points! {
    /// Why a client releases (`Release-request-reason`).
    pub enum ReleaseRequestReason {
        0 Normal "normal",
        1 Urgent "urgent",
        30 UserDefined "user-defined",
    }
}

code_points! {
    /// How a server took a release (`Release-response-reason`).
    pub enum ReleaseResponseReason {
        0 Normal "normal",
        1 NotFinished "not-finished",
        30 UserDefined "user-defined",
    }
}
