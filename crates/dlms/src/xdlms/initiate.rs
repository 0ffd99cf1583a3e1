//! What both sides agree on when an association is made.

use alloc::vec::Vec;
use core::fmt;
use core::ops::{BitAnd, BitOr};

use crate::codec::{DecodeError, Malformed, Reader, Wire, put_octets};

use super::service::{boolean, expect_tag, optional, put_optional};

/// The version of DLMS that everybody speaks.
pub const DLMS_VERSION: u8 = 6;

/// The name of the virtual application association where objects have logical
/// names (`vaa-name`).
pub const VAA_NAME_LN: u16 = 0x0007;

/// The name of the virtual application association where objects have short
/// names (`vaa-name`).
pub const VAA_NAME_SN: u16 = 0xFA00;

/// Which services and features there are (`Conformance`): a set of 24 bits,
/// bit 0 being the high one of the first octet.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conformance(u32);

macro_rules! conformance {
    ($($bit:literal $name:ident $text:literal,)+) => {
        impl Conformance {
            $(
                #[doc = concat!("`", $text, "` (", stringify!($bit), ").")]
                pub const $name: Self = Self(1 << (23 - $bit));
            )+

            const NAMES: [&'static str; 24] = [$($text,)+];
        }
    };
}

conformance! {
    0 RESERVED_ZERO "reserved-zero",
    1 GENERAL_PROTECTION "general-protection",
    2 GENERAL_BLOCK_TRANSFER "general-block-transfer",
    3 READ "read",
    4 WRITE "write",
    5 UNCONFIRMED_WRITE "unconfirmed-write",
    6 DELTA_VALUE_ENCODING "delta-value-encoding",
    7 RESERVED_SEVEN "reserved-seven",
    8 ATTRIBUTE0_SUPPORTED_WITH_SET "attribute0-supported-with-set",
    9 PRIORITY_MGMT_SUPPORTED "priority-mgmt-supported",
    10 ATTRIBUTE0_SUPPORTED_WITH_GET "attribute0-supported-with-get",
    11 BLOCK_TRANSFER_WITH_GET_OR_READ "block-transfer-with-get-or-read",
    12 BLOCK_TRANSFER_WITH_SET_OR_WRITE "block-transfer-with-set-or-write",
    13 BLOCK_TRANSFER_WITH_ACTION "block-transfer-with-action",
    14 MULTIPLE_REFERENCES "multiple-references",
    15 INFORMATION_REPORT "information-report",
    16 DATA_NOTIFICATION "data-notification",
    17 ACCESS "access",
    18 PARAMETERIZED_ACCESS "parameterized-access",
    19 GET "get",
    20 SET "set",
    21 SELECTIVE_ACCESS "selective-access",
    22 EVENT_NOTIFICATION "event-notification",
    23 ACTION "action",
}

impl Conformance {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// Makes the set from its three octets.
    #[must_use]
    pub const fn from_octets(octets: [u8; 3]) -> Self {
        let [a, b, c] = octets;
        Self(u32::from_be_bytes([0, a, b, c]))
    }

    /// Tells the three octets.
    #[must_use]
    pub const fn to_octets(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }

    /// Tells whether every bit of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Joins two sets, as `|` does, where a constant is wanted.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Tells the names of the bits that are set, in their order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .enumerate()
            .filter(move |(bit, _)| self.0 & (1 << (23 - bit)) != 0)
            .map(|(_, name)| name)
    }

    /// Takes the set under its tag, `[APPLICATION 31]`. The tag in one octet,
    /// `5F`, is taken too, as IEC 62056-5-3 allows.
    fn decode(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, DecodeError> {
        expect_tag(reader, 0x5F, field)?;
        if reader.peek() == Some(0x1F) {
            reader.u8(field)?;
        }
        let start = reader.clone();
        let mut bits = reader.nested(field)?;
        if bits.remaining() != 4 {
            return Err(start.error(field, Malformed::Length));
        }
        let at = bits.clone();
        if bits.u8(field)? != 0 {
            return Err(at.error(field, Malformed::Value));
        }
        bits.array(field).map(Self::from_octets)
    }

    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0x5F, 0x1F, 4, 0]);
        out.extend_from_slice(&self.to_octets());
    }
}

impl BitOr for Conformance {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

impl BitAnd for Conformance {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Debug for Conformance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// What a client proposes (`InitiateRequest`). [`fmt::Debug`] tells only the
/// length of the dedicated key.
///
/// ```text
/// 01 (00 | 01 dedicated-key) (00 | 01 response-allowed) (00 | 01 quality)
///    version 5F 1F 04 00 conformance (3) max-receive-pdu-size (2)
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InitiateRequest<'a> {
    /// `dedicated-key`: the key of this association alone. It must go out
    /// ciphered only.
    pub dedicated_key: Option<&'a [u8]>,
    /// `response-allowed`; the default is true.
    pub response_allowed: bool,
    /// `proposed-quality-of-service`.
    pub proposed_quality_of_service: Option<i8>,
    /// `proposed-dlms-version-number`.
    pub proposed_dlms_version_number: u8,
    /// `proposed-conformance`.
    pub proposed_conformance: Conformance,
    /// `client-max-receive-pdu-size`, in octets; 0 means no limit.
    pub client_max_receive_pdu_size: u16,
}

impl InitiateRequest<'_> {
    /// Makes a proposal of this conformance and size in octets.
    #[must_use]
    pub const fn new(proposed_conformance: Conformance, client_max_receive_pdu_size: u16) -> Self {
        Self {
            dedicated_key: None,
            response_allowed: true,
            proposed_quality_of_service: None,
            proposed_dlms_version_number: DLMS_VERSION,
            proposed_conformance,
            client_max_receive_pdu_size,
        }
    }
}

impl<'a> Wire<'a> for InitiateRequest<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0x01);
        put_optional(out, self.dedicated_key, put_octets);
        put_optional(out, (!self.response_allowed).then_some(0), |out, no| {
            out.push(no);
        });
        put_optional(out, self.proposed_quality_of_service, |out, quality| {
            out.extend_from_slice(&quality.to_be_bytes());
        });
        out.push(self.proposed_dlms_version_number);
        self.proposed_conformance.put(out);
        out.extend_from_slice(&self.client_max_receive_pdu_size.to_be_bytes());
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        const ALLOWED: &str = "response-allowed";
        expect_tag(reader, 0x01, "initiateRequest")?;
        Ok(Self {
            dedicated_key: optional(reader, "dedicated-key", |reader| {
                reader.octets("dedicated-key")
            })?,
            response_allowed: optional(reader, ALLOWED, |reader| boolean(reader, ALLOWED))?
                .unwrap_or(true),
            proposed_quality_of_service: quality(reader, "proposed-quality-of-service")?,
            proposed_dlms_version_number: reader.u8("proposed-dlms-version-number")?,
            proposed_conformance: Conformance::decode(reader, "proposed-conformance")?,
            client_max_receive_pdu_size: reader.u16("client-max-receive-pdu-size")?,
        })
    }
}

impl fmt::Debug for InitiateRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InitiateRequest")
            .field(
                "dedicated_key",
                &self
                    .dedicated_key
                    .map(|key| alloc::format!("{} octets", key.len())),
            )
            .field("response_allowed", &self.response_allowed)
            .field(
                "proposed_quality_of_service",
                &self.proposed_quality_of_service,
            )
            .field(
                "proposed_dlms_version_number",
                &self.proposed_dlms_version_number,
            )
            .field("proposed_conformance", &self.proposed_conformance)
            .field(
                "client_max_receive_pdu_size",
                &self.client_max_receive_pdu_size,
            )
            .finish()
    }
}

/// What a server agrees to (`InitiateResponse`).
///
/// ```text
/// 08 (00 | 01 quality) version 5F 1F 04 00 conformance (3)
///    max-receive-pdu-size (2) vaa-name (2)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitiateResponse {
    /// `negotiated-quality-of-service`.
    pub negotiated_quality_of_service: Option<i8>,
    /// `negotiated-dlms-version-number`.
    pub negotiated_dlms_version_number: u8,
    /// `negotiated-conformance`.
    pub negotiated_conformance: Conformance,
    /// `server-max-receive-pdu-size`, in octets; 0 means no limit.
    pub server_max_receive_pdu_size: u16,
    /// `vaa-name`: [`VAA_NAME_LN`] or [`VAA_NAME_SN`].
    pub vaa_name: u16,
}

impl InitiateResponse {
    /// Makes an answer of this conformance and size in octets, for logical
    /// names.
    #[must_use]
    pub const fn new(
        negotiated_conformance: Conformance,
        server_max_receive_pdu_size: u16,
    ) -> Self {
        Self {
            negotiated_quality_of_service: None,
            negotiated_dlms_version_number: DLMS_VERSION,
            negotiated_conformance,
            server_max_receive_pdu_size,
            vaa_name: VAA_NAME_LN,
        }
    }
}

impl Wire<'_> for InitiateResponse {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0x08);
        put_optional(out, self.negotiated_quality_of_service, |out, quality| {
            out.extend_from_slice(&quality.to_be_bytes());
        });
        out.push(self.negotiated_dlms_version_number);
        self.negotiated_conformance.put(out);
        out.extend_from_slice(&self.server_max_receive_pdu_size.to_be_bytes());
        out.extend_from_slice(&self.vaa_name.to_be_bytes());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        expect_tag(reader, 0x08, "initiateResponse")?;
        Ok(Self {
            negotiated_quality_of_service: quality(reader, "negotiated-quality-of-service")?,
            negotiated_dlms_version_number: reader.u8("negotiated-dlms-version-number")?,
            negotiated_conformance: Conformance::decode(reader, "negotiated-conformance")?,
            server_max_receive_pdu_size: reader.u16("server-max-receive-pdu-size")?,
            vaa_name: reader.u16("vaa-name")?,
        })
    }
}

fn quality(reader: &mut Reader<'_>, field: &'static str) -> Result<Option<i8>, DecodeError> {
    optional(reader, field, |reader| {
        reader.array(field).map(i8::from_be_bytes)
    })
}
