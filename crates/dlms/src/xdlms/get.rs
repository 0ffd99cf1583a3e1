//! The GET service.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Malformed, Reader, Wire};
use crate::cosem::{
    AttributeDescriptor, AttributeDescriptorWithSelection, SelectiveAccessDescriptor,
};

use super::service::{
    DataBlockG, GetDataResult, InvokeIdAndPriority, expect_tag, last_get_data_result, list,
    put_list,
};

const REQUEST: &str = "get-request";
const RESPONSE: &str = "get-response";

/// Reads attributes (`Get-Request`).
///
/// ```text
/// C0 01 invoke attribute (00 | 01 selector parameters)     normal
/// C0 02 invoke block-number (4)                            next
/// C0 03 invoke count { attribute (00 | 01 ..) }            with-list
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GetRequest<'a> {
    /// `get-request-normal` (1): one attribute.
    Normal {
        /// Ties the response to it.
        invoke: InvokeIdAndPriority,
        /// The attribute.
        attribute: AttributeDescriptor,
        /// Which part of it; all of it where nothing is said.
        access_selection: Option<SelectiveAccessDescriptor<'a>>,
    },
    /// `get-request-next` (2): the block behind the one that came.
    Next {
        /// As in the request that started the transfer.
        invoke: InvokeIdAndPriority,
        /// The number of the block that came.
        block_number: u32,
    },
    /// `get-request-with-list` (3): several attributes, at most
    /// [`LIST_MAX`](super::LIST_MAX).
    WithList {
        /// Ties the response to it.
        invoke: InvokeIdAndPriority,
        /// The attributes.
        attributes: Vec<AttributeDescriptorWithSelection<'a>>,
    },
}

impl GetRequest<'_> {
    /// Tells the id, service class and priority.
    #[must_use]
    pub const fn invoke(&self) -> InvokeIdAndPriority {
        match self {
            Self::Normal { invoke, .. }
            | Self::Next { invoke, .. }
            | Self::WithList { invoke, .. } => *invoke,
        }
    }

    /// Tells the name in the standard's words.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Normal { .. } => "get-request-normal",
            Self::Next { .. } => "get-request-next",
            Self::WithList { .. } => "get-request-with-list",
        }
    }
}

impl<'a> Wire<'a> for GetRequest<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Normal {
                invoke,
                attribute,
                access_selection,
            } => {
                out.extend_from_slice(&[0xC0, 1, invoke.0]);
                AttributeDescriptorWithSelection {
                    attribute: *attribute,
                    access_selection: *access_selection,
                }
                .encode(out);
            }
            Self::Next {
                invoke,
                block_number,
            } => {
                out.extend_from_slice(&[0xC0, 2, invoke.0]);
                out.extend_from_slice(&block_number.to_be_bytes());
            }
            Self::WithList { invoke, attributes } => {
                out.extend_from_slice(&[0xC0, 3, invoke.0]);
                put_list(out, attributes);
            }
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        expect_tag(reader, 0xC0, REQUEST)?;
        let start = reader.clone();
        let choice = reader.u8(REQUEST)?;
        let invoke = InvokeIdAndPriority::decode(reader)?;
        Ok(match choice {
            1 => {
                let AttributeDescriptorWithSelection {
                    attribute,
                    access_selection,
                } = AttributeDescriptorWithSelection::decode(reader)?;
                Self::Normal {
                    invoke,
                    attribute,
                    access_selection,
                }
            }
            2 => Self::Next {
                invoke,
                block_number: reader.u32("block-number")?,
            },
            3 => Self::WithList {
                invoke,
                attributes: list(reader, 10, "attribute-descriptor-list")?,
            },
            _ => return Err(start.error(REQUEST, Malformed::Tag(choice))),
        })
    }
}

/// Answers a [`GetRequest`] (`Get-Response`).
///
/// ```text
/// C4 01 invoke (00 data | 01 result)                       normal
/// C4 02 invoke last number (4) (00 octets | 01 result)     with-datablock
/// C4 03 invoke count { 00 data | 01 result }               with-list
/// ```
///
/// The value of a normal response is everything to the end of the APDU;
/// whether it is one is found when it is walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GetResponse<'a> {
    /// `get-response-normal` (1).
    Normal {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// The value, or why there is none.
        result: GetDataResult<'a>,
    },
    /// `get-response-with-datablock` (2).
    WithDatablock {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// A part of the value.
        block: DataBlockG<'a>,
    },
    /// `get-response-with-list` (3).
    WithList {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// For each attribute its value, or why there is none.
        results: Vec<GetDataResult<'a>>,
    },
}

impl GetResponse<'_> {
    /// Tells the id, service class and priority.
    #[must_use]
    pub const fn invoke(&self) -> InvokeIdAndPriority {
        match self {
            Self::Normal { invoke, .. }
            | Self::WithDatablock { invoke, .. }
            | Self::WithList { invoke, .. } => *invoke,
        }
    }

    /// Tells the name in the standard's words.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Normal { .. } => "get-response-normal",
            Self::WithDatablock { .. } => "get-response-with-datablock",
            Self::WithList { .. } => "get-response-with-list",
        }
    }
}

impl<'a> Wire<'a> for GetResponse<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Normal { invoke, result } => {
                out.extend_from_slice(&[0xC4, 1, invoke.0]);
                result.encode(out);
            }
            Self::WithDatablock { invoke, block } => {
                out.extend_from_slice(&[0xC4, 2, invoke.0]);
                block.encode(out);
            }
            Self::WithList { invoke, results } => {
                out.extend_from_slice(&[0xC4, 3, invoke.0]);
                put_list(out, results);
            }
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        expect_tag(reader, 0xC4, RESPONSE)?;
        let start = reader.clone();
        let choice = reader.u8(RESPONSE)?;
        let invoke = InvokeIdAndPriority::decode(reader)?;
        Ok(match choice {
            1 => Self::Normal {
                invoke,
                result: last_get_data_result(reader)?,
            },
            2 => Self::WithDatablock {
                invoke,
                block: DataBlockG::decode(reader)?,
            },
            3 => Self::WithList {
                invoke,
                results: list(reader, 2, "get-response-with-list result")?,
            },
            _ => return Err(start.error(RESPONSE, Malformed::Tag(choice))),
        })
    }
}
