//! The SET service.

use alloc::vec::Vec;

use crate::axdr::RawData;
use crate::codec::{DecodeError, Malformed, Reader, Wire};
use crate::cosem::{
    AttributeDescriptor, AttributeDescriptorWithSelection, SelectiveAccessDescriptor,
};

use super::service::{
    DataAccessResult, DataBlockSa, InvokeIdAndPriority, expect_tag, last_data, list, put_list,
};

const REQUEST: &str = "set-request";
const RESPONSE: &str = "set-response";
const LIST: &str = "attribute-descriptor-list";

/// Writes attributes (`Set-Request`).
///
/// ```text
/// C1 01 invoke attribute (00 | 01 ..) value                  normal
/// C1 02 invoke attribute (00 | 01 ..) block                  with-first-datablock
/// C1 03 invoke block                                         with-datablock
/// C1 04 invoke count { attribute (00 | 01 ..) } count { value }    with-list
/// C1 05 invoke count { attribute (00 | 01 ..) } block        with-list-and-first-datablock
/// ```
///
/// The value of a normal request is everything to the end of the APDU;
/// whether it is one is found when it is walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetRequest<'a> {
    /// `set-request-normal` (1).
    Normal {
        /// Ties the response to it.
        invoke: InvokeIdAndPriority,
        /// The attribute.
        attribute: AttributeDescriptor,
        /// Which part of it; all of it where nothing is said.
        access_selection: Option<SelectiveAccessDescriptor<'a>>,
        /// The value to be written.
        value: RawData<'a>,
    },
    /// `set-request-with-first-datablock` (2).
    WithFirstDatablock {
        /// Ties the response to it.
        invoke: InvokeIdAndPriority,
        /// The attribute.
        attribute: AttributeDescriptor,
        /// Which part of it; all of it where nothing is said.
        access_selection: Option<SelectiveAccessDescriptor<'a>>,
        /// The first part of the value.
        block: DataBlockSa<'a>,
    },
    /// `set-request-with-datablock` (3).
    WithDatablock {
        /// As in the request that started the transfer.
        invoke: InvokeIdAndPriority,
        /// A further part of the value.
        block: DataBlockSa<'a>,
    },
    /// `set-request-with-list` (4).
    WithList {
        /// Ties the response to it.
        invoke: InvokeIdAndPriority,
        /// The attributes, at most [`LIST_MAX`](super::LIST_MAX).
        attributes: Vec<AttributeDescriptorWithSelection<'a>>,
        /// The value for each; whether there are as many is for the receiver
        /// to check.
        values: Vec<RawData<'a>>,
    },
    /// `set-request-with-list-and-first-datablock` (5).
    WithListAndFirstDatablock {
        /// Ties the response to it.
        invoke: InvokeIdAndPriority,
        /// The attributes, at most [`LIST_MAX`](super::LIST_MAX).
        attributes: Vec<AttributeDescriptorWithSelection<'a>>,
        /// The first part of the list of values.
        block: DataBlockSa<'a>,
    },
}

impl SetRequest<'_> {
    /// Tells the id, service class and priority.
    #[must_use]
    pub const fn invoke(&self) -> InvokeIdAndPriority {
        match self {
            Self::Normal { invoke, .. }
            | Self::WithFirstDatablock { invoke, .. }
            | Self::WithDatablock { invoke, .. }
            | Self::WithList { invoke, .. }
            | Self::WithListAndFirstDatablock { invoke, .. } => *invoke,
        }
    }

    /// Tells the name in the standard's words.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Normal { .. } => "set-request-normal",
            Self::WithFirstDatablock { .. } => "set-request-with-first-datablock",
            Self::WithDatablock { .. } => "set-request-with-datablock",
            Self::WithList { .. } => "set-request-with-list",
            Self::WithListAndFirstDatablock { .. } => "set-request-with-list-and-first-datablock",
        }
    }
}

impl<'a> Wire<'a> for SetRequest<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0xC1);
        match self {
            Self::Normal {
                invoke,
                attribute,
                access_selection,
                value,
            } => {
                out.extend_from_slice(&[1, invoke.0]);
                AttributeDescriptorWithSelection {
                    attribute: *attribute,
                    access_selection: *access_selection,
                }
                .encode(out);
                value.encode(out);
            }
            Self::WithFirstDatablock {
                invoke,
                attribute,
                access_selection,
                block,
            } => {
                out.extend_from_slice(&[2, invoke.0]);
                AttributeDescriptorWithSelection {
                    attribute: *attribute,
                    access_selection: *access_selection,
                }
                .encode(out);
                block.encode(out);
            }
            Self::WithDatablock { invoke, block } => {
                out.extend_from_slice(&[3, invoke.0]);
                block.encode(out);
            }
            Self::WithList {
                invoke,
                attributes,
                values,
            } => {
                out.extend_from_slice(&[4, invoke.0]);
                put_list(out, attributes);
                put_list(out, values);
            }
            Self::WithListAndFirstDatablock {
                invoke,
                attributes,
                block,
            } => {
                out.extend_from_slice(&[5, invoke.0]);
                put_list(out, attributes);
                block.encode(out);
            }
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        expect_tag(reader, 0xC1, REQUEST)?;
        let start = reader.clone();
        let choice = reader.u8(REQUEST)?;
        let invoke = InvokeIdAndPriority::decode(reader)?;
        Ok(match choice {
            1 => {
                let target = AttributeDescriptorWithSelection::decode(reader)?;
                Self::Normal {
                    invoke,
                    attribute: target.attribute,
                    access_selection: target.access_selection,
                    value: last_data(reader, "value")?,
                }
            }
            2 => {
                let target = AttributeDescriptorWithSelection::decode(reader)?;
                Self::WithFirstDatablock {
                    invoke,
                    attribute: target.attribute,
                    access_selection: target.access_selection,
                    block: DataBlockSa::decode(reader)?,
                }
            }
            3 => Self::WithDatablock {
                invoke,
                block: DataBlockSa::decode(reader)?,
            },
            4 => Self::WithList {
                invoke,
                attributes: list(reader, 10, LIST)?,
                values: list(reader, 1, "value-list")?,
            },
            5 => Self::WithListAndFirstDatablock {
                invoke,
                attributes: list(reader, 10, LIST)?,
                block: DataBlockSa::decode(reader)?,
            },
            _ => return Err(start.error(REQUEST, Malformed::Tag(choice))),
        })
    }
}

/// Answers a [`SetRequest`] (`Set-Response`).
///
/// ```text
/// C5 01 invoke result                              normal
/// C5 02 invoke block-number (4)                    datablock
/// C5 03 invoke result block-number (4)             last-datablock
/// C5 04 invoke count { result } block-number (4)   last-datablock-with-list
/// C5 05 invoke count { result }                    with-list
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetResponse {
    /// `set-response-normal` (1).
    Normal {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// How it went.
        result: DataAccessResult,
    },
    /// `set-response-datablock` (2): asks for the next block.
    Datablock {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// The number of the block that came.
        block_number: u32,
    },
    /// `set-response-last-datablock` (3).
    LastDatablock {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// How it went.
        result: DataAccessResult,
        /// The number of the block that came.
        block_number: u32,
    },
    /// `set-response-last-datablock-with-list` (4).
    LastDatablockWithList {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// How it went for each attribute.
        results: Vec<DataAccessResult>,
        /// The number of the block that came.
        block_number: u32,
    },
    /// `set-response-with-list` (5).
    WithList {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// How it went for each attribute.
        results: Vec<DataAccessResult>,
    },
}

impl SetResponse {
    /// Tells the id, service class and priority.
    #[must_use]
    pub const fn invoke(&self) -> InvokeIdAndPriority {
        match self {
            Self::Normal { invoke, .. }
            | Self::Datablock { invoke, .. }
            | Self::LastDatablock { invoke, .. }
            | Self::LastDatablockWithList { invoke, .. }
            | Self::WithList { invoke, .. } => *invoke,
        }
    }

    /// Tells the name in the standard's words.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Normal { .. } => "set-response-normal",
            Self::Datablock { .. } => "set-response-datablock",
            Self::LastDatablock { .. } => "set-response-last-datablock",
            Self::LastDatablockWithList { .. } => "set-response-last-datablock-with-list",
            Self::WithList { .. } => "set-response-with-list",
        }
    }
}

impl Wire<'_> for SetResponse {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0xC5);
        match self {
            Self::Normal { invoke, result } => {
                out.extend_from_slice(&[1, invoke.0, result.code()]);
            }
            Self::Datablock {
                invoke,
                block_number,
            } => {
                out.extend_from_slice(&[2, invoke.0]);
                out.extend_from_slice(&block_number.to_be_bytes());
            }
            Self::LastDatablock {
                invoke,
                result,
                block_number,
            } => {
                out.extend_from_slice(&[3, invoke.0, result.code()]);
                out.extend_from_slice(&block_number.to_be_bytes());
            }
            Self::LastDatablockWithList {
                invoke,
                results,
                block_number,
            } => {
                out.extend_from_slice(&[4, invoke.0]);
                put_list(out, results);
                out.extend_from_slice(&block_number.to_be_bytes());
            }
            Self::WithList { invoke, results } => {
                out.extend_from_slice(&[5, invoke.0]);
                put_list(out, results);
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const BLOCK: &str = "block-number";
        expect_tag(reader, 0xC5, RESPONSE)?;
        let start = reader.clone();
        let choice = reader.u8(RESPONSE)?;
        let invoke = InvokeIdAndPriority::decode(reader)?;
        Ok(match choice {
            1 => Self::Normal {
                invoke,
                result: DataAccessResult::decode(reader)?,
            },
            2 => Self::Datablock {
                invoke,
                block_number: reader.u32(BLOCK)?,
            },
            3 => Self::LastDatablock {
                invoke,
                result: DataAccessResult::decode(reader)?,
                block_number: reader.u32(BLOCK)?,
            },
            4 => Self::LastDatablockWithList {
                invoke,
                results: list(reader, 1, "result")?,
                block_number: reader.u32(BLOCK)?,
            },
            5 => Self::WithList {
                invoke,
                results: list(reader, 1, "result")?,
            },
            _ => return Err(start.error(RESPONSE, Malformed::Tag(choice))),
        })
    }
}
