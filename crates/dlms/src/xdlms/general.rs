//! APDUs that carry other APDUs: ciphered, signed, in blocks, through a
//! gateway. They are taken apart here and opened elsewhere.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Malformed, Reader, Wire, put_octets};

use super::Tag;
use super::service::{expect_tag, optional, put_optional};

/// A service of its own tag, ciphered with the global or the dedicated key:
/// the `glo-` and `ded-` APDUs.
///
/// ```text
/// tag length (security control, invocation counter, protected octets)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceCiphering<'a> {
    /// The `glo-` or `ded-` tag.
    pub tag: Tag,
    /// Security header and protected octets.
    pub ciphered: &'a [u8],
}

impl<'a> Wire<'a> for ServiceCiphering<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.tag.code());
        put_octets(out, self.ciphered);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        const FIELD: &str = "ciphered service";
        let start = reader.clone();
        let tag = Tag::from_code(reader.u8(FIELD)?);
        if tag.unprotected().is_none() {
            return Err(start.error(FIELD, Malformed::Tag(tag.code())));
        }
        Ok(Self {
            tag,
            ciphered: reader.octets(tag.name())?,
        })
    }
}

/// Any APDU, ciphered with the global key of a named system
/// (`General-Glo-Ciphering`).
///
/// ```text
/// DB length system-title length (security control, invocation counter, ..)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneralGloCiphering<'a> {
    /// `system-title`: who ciphered it; some leave it empty.
    pub system_title: &'a [u8],
    /// `ciphered-content`: security header and protected octets.
    pub ciphered_content: &'a [u8],
}

/// Any APDU, ciphered with the dedicated key of a named system
/// (`General-Ded-Ciphering`).
///
/// ```text
/// DC length system-title length (security control, invocation counter, ..)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneralDedCiphering<'a> {
    /// `system-title`: who ciphered it; some leave it empty.
    pub system_title: &'a [u8],
    /// `ciphered-content`: security header and protected octets.
    pub ciphered_content: &'a [u8],
}

macro_rules! titled {
    ($name:ident, $tag:literal, $text:literal) => {
        impl<'a> Wire<'a> for $name<'a> {
            fn encode(&self, out: &mut Vec<u8>) {
                out.push($tag);
                put_octets(out, self.system_title);
                put_octets(out, self.ciphered_content);
            }

            fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                expect_tag(reader, $tag, $text)?;
                Ok(Self {
                    system_title: reader.octets("system-title")?,
                    ciphered_content: reader.octets("ciphered-content")?,
                })
            }
        }
    };
}

titled!(GeneralGloCiphering, 0xDB, "general-glo-ciphering");
titled!(GeneralDedCiphering, 0xDC, "general-ded-ciphering");

/// Which key protects an APDU (`Key-Info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyInfo<'a> {
    /// `identified-key` (0): one that both sides have.
    Identified {
        /// `key-id`: 0 global unicast, 1 global broadcast encryption key.
        key_id: u8,
    },
    /// `wrapped-key` (1): one that comes along, wrapped.
    Wrapped {
        /// `kek-id`: 0 master key.
        kek_id: u8,
        /// `key-ciphered-data`.
        key_ciphered_data: &'a [u8],
    },
    /// `agreed-key` (2): one that both sides compute.
    Agreed {
        /// `key-parameters`.
        key_parameters: &'a [u8],
        /// `key-ciphered-data`.
        key_ciphered_data: &'a [u8],
    },
}

impl<'a> Wire<'a> for KeyInfo<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Identified { key_id } => out.extend_from_slice(&[0, *key_id]),
            Self::Wrapped {
                kek_id,
                key_ciphered_data,
            } => {
                out.extend_from_slice(&[1, *kek_id]);
                put_octets(out, key_ciphered_data);
            }
            Self::Agreed {
                key_parameters,
                key_ciphered_data,
            } => {
                out.push(2);
                put_octets(out, key_parameters);
                put_octets(out, key_ciphered_data);
            }
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = reader.clone();
        Ok(match reader.u8("key-info")? {
            0 => Self::Identified {
                key_id: reader.u8("key-id")?,
            },
            1 => Self::Wrapped {
                kek_id: reader.u8("kek-id")?,
                key_ciphered_data: reader.octets("key-ciphered-data")?,
            },
            2 => Self::Agreed {
                key_parameters: reader.octets("key-parameters")?,
                key_ciphered_data: reader.octets("key-ciphered-data")?,
            },
            choice => return Err(start.error("key-info", Malformed::Tag(choice))),
        })
    }
}

/// Any APDU, ciphered from end to end (`General-Ciphering`).
///
/// ```text
/// DD transaction-id originator recipient date-time other (00 | 01 key-info)
///    ciphered-content                        each but key-info with length
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneralCiphering<'a> {
    /// `transaction-id`.
    pub transaction_id: &'a [u8],
    /// `originator-system-title`.
    pub originator_system_title: &'a [u8],
    /// `recipient-system-title`.
    pub recipient_system_title: &'a [u8],
    /// `date-time`: a date-time or nothing, undecoded since it is
    /// authenticated as it came.
    pub date_time: &'a [u8],
    /// `other-information`.
    pub other_information: &'a [u8],
    /// `key-info`.
    pub key_info: Option<KeyInfo<'a>>,
    /// `ciphered-content`: security header and protected octets.
    pub ciphered_content: &'a [u8],
}

impl<'a> Wire<'a> for GeneralCiphering<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0xDD);
        put_octets(out, self.transaction_id);
        put_octets(out, self.originator_system_title);
        put_octets(out, self.recipient_system_title);
        put_octets(out, self.date_time);
        put_octets(out, self.other_information);
        put_optional(out, self.key_info, |out, key_info| key_info.encode(out));
        put_octets(out, self.ciphered_content);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        expect_tag(reader, 0xDD, "general-ciphering")?;
        Ok(Self {
            transaction_id: reader.octets("transaction-id")?,
            originator_system_title: reader.octets("originator-system-title")?,
            recipient_system_title: reader.octets("recipient-system-title")?,
            date_time: reader.octets("date-time")?,
            other_information: reader.octets("other-information")?,
            key_info: optional(reader, "key-info", KeyInfo::decode)?,
            ciphered_content: reader.octets("ciphered-content")?,
        })
    }
}

/// Any APDU, signed from end to end (`General-Signing`).
///
/// ```text
/// DF transaction-id originator recipient date-time other content signature
///                                                   each with length
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneralSigning<'a> {
    /// `transaction-id`.
    pub transaction_id: &'a [u8],
    /// `originator-system-title`.
    pub originator_system_title: &'a [u8],
    /// `recipient-system-title`.
    pub recipient_system_title: &'a [u8],
    /// `date-time`: a date-time or nothing, undecoded since it is signed as it
    /// came.
    pub date_time: &'a [u8],
    /// `other-information`.
    pub other_information: &'a [u8],
    /// `content`: the APDU.
    pub content: &'a [u8],
    /// `signature`.
    pub signature: &'a [u8],
}

impl<'a> Wire<'a> for GeneralSigning<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0xDF);
        put_octets(out, self.transaction_id);
        put_octets(out, self.originator_system_title);
        put_octets(out, self.recipient_system_title);
        put_octets(out, self.date_time);
        put_octets(out, self.other_information);
        put_octets(out, self.content);
        put_octets(out, self.signature);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        expect_tag(reader, 0xDF, "general-signing")?;
        Ok(Self {
            transaction_id: reader.octets("transaction-id")?,
            originator_system_title: reader.octets("originator-system-title")?,
            recipient_system_title: reader.octets("recipient-system-title")?,
            date_time: reader.octets("date-time")?,
            other_information: reader.octets("other-information")?,
            content: reader.octets("content")?,
            signature: reader.octets("signature")?,
        })
    }
}

/// How a block stands in its transfer (`Block-Control`).
///
/// ```text
///    7            6           5..0
/// | last-block | streaming | window |
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockControl(pub u8);

impl BlockControl {
    /// Makes one; only the low six bits of `window` count.
    #[must_use]
    pub const fn new(last_block: bool, streaming: bool, window: u8) -> Self {
        Self((window & 0x3F) | if last_block { 0x80 } else { 0 } | if streaming { 0x40 } else { 0 })
    }

    /// Tells whether no further block follows.
    #[must_use]
    pub const fn is_last_block(self) -> bool {
        self.0 & 0x80 != 0
    }

    /// Tells whether the sender goes on without waiting.
    #[must_use]
    pub const fn is_streaming(self) -> bool {
        self.0 & 0x40 != 0
    }

    /// Tells how many blocks the sender takes at once (0 to 63).
    #[must_use]
    pub const fn window(self) -> u8 {
        self.0 & 0x3F
    }
}

/// One block of any APDU (`General-Block-Transfer`).
///
/// ```text
/// E0 block-control block-number (2) block-number-ack (2) length block-data
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneralBlockTransfer<'a> {
    /// `block-control`.
    pub block_control: BlockControl,
    /// `block-number`, counted from 1.
    pub block_number: u16,
    /// `block-number-ack`: the last block that came without a gap.
    pub block_number_ack: u16,
    /// `block-data`: a part of an APDU.
    pub block_data: &'a [u8],
}

impl<'a> Wire<'a> for GeneralBlockTransfer<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0xE0, self.block_control.0]);
        out.extend_from_slice(&self.block_number.to_be_bytes());
        out.extend_from_slice(&self.block_number_ack.to_be_bytes());
        put_octets(out, self.block_data);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        expect_tag(reader, 0xE0, "general-block-transfer")?;
        Ok(Self {
            block_control: BlockControl(reader.u8("block-control")?),
            block_number: reader.u16("block-number")?,
            block_number_ack: reader.u16("block-number-ack")?,
            block_data: reader.octets("block-data")?,
        })
    }
}

/// An APDU to or from a device behind a gateway.
///
/// ```text
/// E6 | E7 network-id length physical-device-address APDU
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gateway<'a> {
    /// Whether it comes from the device (`E7`) or goes to it (`E6`).
    pub is_response: bool,
    /// The network behind the gateway.
    pub network_id: u8,
    /// The device in that network.
    pub physical_device_address: &'a [u8],
    /// The APDU: everything to the end.
    pub apdu: &'a [u8],
}

impl<'a> Wire<'a> for Gateway<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        let tag = if self.is_response { 0xE7 } else { 0xE6 };
        out.extend_from_slice(&[tag, self.network_id]);
        put_octets(out, self.physical_device_address);
        out.extend_from_slice(self.apdu);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = reader.clone();
        let is_response = match reader.u8("gateway")? {
            0xE6 => false,
            0xE7 => true,
            tag => return Err(start.error("gateway", Malformed::Tag(tag))),
        };
        Ok(Self {
            is_response,
            network_id: reader.u8("network-id")?,
            physical_device_address: reader.octets("physical-device-address")?,
            apdu: reader.rest(),
        })
    }
}
