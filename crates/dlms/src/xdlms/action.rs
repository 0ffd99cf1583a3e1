//! The ACTION service.

use alloc::vec::Vec;

use crate::axdr::RawData;
use crate::codec::{DecodeError, Malformed, Reader, Wire};
use crate::cosem::MethodDescriptor;

use super::service::{
    ActionResult, DataBlockSa, GetDataResult, InvokeIdAndPriority, expect_tag, last_data,
    last_get_data_result, list, optional, put_list, put_optional,
};

const REQUEST: &str = "action-request";
const RESPONSE: &str = "action-response";
const LIST: &str = "cosem-method-descriptor-list";

/// Invokes methods (`Action-Request`).
///
/// ```text
/// C3 01 invoke method (00 | 01 parameters)               normal
/// C3 02 invoke block-number (4)                          next-pblock
/// C3 03 invoke count { method } count { parameters }     with-list
/// C3 04 invoke method block                              with-first-pblock
/// C3 05 invoke count { method } block                    with-list-and-first-pblock
/// C3 06 invoke block                                     with-pblock
/// ```
///
/// The parameters of a normal request are everything to the end of the APDU;
/// whether they are a value is found when they are walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionRequest<'a> {
    /// `action-request-normal` (1).
    Normal {
        /// Ties the response to it.
        invoke: InvokeIdAndPriority,
        /// The method.
        method: MethodDescriptor,
        /// What it is invoked with (`method-invocation-parameters`).
        parameters: Option<RawData<'a>>,
    },
    /// `action-request-next-pblock` (2): the block behind the one that came.
    NextPblock {
        /// As in the request that started the transfer.
        invoke: InvokeIdAndPriority,
        /// The number of the block that came.
        block_number: u32,
    },
    /// `action-request-with-list` (3).
    WithList {
        /// Ties the response to it.
        invoke: InvokeIdAndPriority,
        /// The methods, at most [`LIST_MAX`](super::LIST_MAX).
        methods: Vec<MethodDescriptor>,
        /// What each is invoked with; whether there are as many is for the
        /// receiver to check.
        parameters: Vec<RawData<'a>>,
    },
    /// `action-request-with-first-pblock` (4).
    WithFirstPblock {
        /// Ties the response to it.
        invoke: InvokeIdAndPriority,
        /// The method.
        method: MethodDescriptor,
        /// The first part of its parameters.
        block: DataBlockSa<'a>,
    },
    /// `action-request-with-list-and-first-pblock` (5).
    WithListAndFirstPblock {
        /// Ties the response to it.
        invoke: InvokeIdAndPriority,
        /// The methods, at most [`LIST_MAX`](super::LIST_MAX).
        methods: Vec<MethodDescriptor>,
        /// The first part of the list of parameters.
        block: DataBlockSa<'a>,
    },
    /// `action-request-with-pblock` (6).
    WithPblock {
        /// As in the request that started the transfer.
        invoke: InvokeIdAndPriority,
        /// A further part of the parameters.
        block: DataBlockSa<'a>,
    },
}

impl ActionRequest<'_> {
    /// Tells the id, service class and priority.
    #[must_use]
    pub const fn invoke(&self) -> InvokeIdAndPriority {
        match self {
            Self::Normal { invoke, .. }
            | Self::NextPblock { invoke, .. }
            | Self::WithList { invoke, .. }
            | Self::WithFirstPblock { invoke, .. }
            | Self::WithListAndFirstPblock { invoke, .. }
            | Self::WithPblock { invoke, .. } => *invoke,
        }
    }

    /// Tells the name in the standard's words.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Normal { .. } => "action-request-normal",
            Self::NextPblock { .. } => "action-request-next-pblock",
            Self::WithList { .. } => "action-request-with-list",
            Self::WithFirstPblock { .. } => "action-request-with-first-pblock",
            Self::WithListAndFirstPblock { .. } => "action-request-with-list-and-first-pblock",
            Self::WithPblock { .. } => "action-request-with-pblock",
        }
    }
}

impl<'a> Wire<'a> for ActionRequest<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0xC3);
        match self {
            Self::Normal {
                invoke,
                method,
                parameters,
            } => {
                out.extend_from_slice(&[1, invoke.0]);
                method.encode(out);
                put_optional(out, *parameters, |out, data| data.encode(out));
            }
            Self::NextPblock {
                invoke,
                block_number,
            } => {
                out.extend_from_slice(&[2, invoke.0]);
                out.extend_from_slice(&block_number.to_be_bytes());
            }
            Self::WithList {
                invoke,
                methods,
                parameters,
            } => {
                out.extend_from_slice(&[3, invoke.0]);
                put_list(out, methods);
                put_list(out, parameters);
            }
            Self::WithFirstPblock {
                invoke,
                method,
                block,
            } => {
                out.extend_from_slice(&[4, invoke.0]);
                method.encode(out);
                block.encode(out);
            }
            Self::WithListAndFirstPblock {
                invoke,
                methods,
                block,
            } => {
                out.extend_from_slice(&[5, invoke.0]);
                put_list(out, methods);
                block.encode(out);
            }
            Self::WithPblock { invoke, block } => {
                out.extend_from_slice(&[6, invoke.0]);
                block.encode(out);
            }
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        const PARAMETERS: &str = "method-invocation-parameters";
        expect_tag(reader, 0xC3, REQUEST)?;
        let start = reader.clone();
        let choice = reader.u8(REQUEST)?;
        let invoke = InvokeIdAndPriority::decode(reader)?;
        Ok(match choice {
            1 => Self::Normal {
                invoke,
                method: MethodDescriptor::decode(reader)?,
                parameters: optional(reader, PARAMETERS, |reader| last_data(reader, PARAMETERS))?,
            },
            2 => Self::NextPblock {
                invoke,
                block_number: reader.u32("block-number")?,
            },
            3 => Self::WithList {
                invoke,
                methods: list(reader, 9, LIST)?,
                parameters: list(reader, 1, PARAMETERS)?,
            },
            4 => Self::WithFirstPblock {
                invoke,
                method: MethodDescriptor::decode(reader)?,
                block: DataBlockSa::decode(reader)?,
            },
            5 => Self::WithListAndFirstPblock {
                invoke,
                methods: list(reader, 9, LIST)?,
                block: DataBlockSa::decode(reader)?,
            },
            6 => Self::WithPblock {
                invoke,
                block: DataBlockSa::decode(reader)?,
            },
            _ => return Err(start.error(REQUEST, Malformed::Tag(choice))),
        })
    }
}

/// How a method went, and what it returned
/// (`Action-Response-With-Optional-Data`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionResponseWithOptionalData<'a> {
    /// How it went.
    pub result: ActionResult,
    /// What it returned.
    pub return_parameters: Option<GetDataResult<'a>>,
}

impl<'a> Wire<'a> for ActionResponseWithOptionalData<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.result.encode(out);
        put_optional(out, self.return_parameters, |out, result| {
            result.encode(out);
        });
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            result: ActionResult::decode(reader)?,
            return_parameters: optional(reader, "return-parameters", GetDataResult::decode)?,
        })
    }
}

/// Answers an [`ActionRequest`] (`Action-Response`).
///
/// ```text
/// C7 01 invoke result (00 | 01 (00 data | 01 result))             normal
/// C7 02 invoke block                                              with-pblock
/// C7 03 invoke count { result (00 | 01 (00 data | 01 result)) }   with-list
/// C7 04 invoke block-number (4)                                   next-pblock
/// ```
///
/// What a normal response returns is everything to the end of the APDU;
/// whether it is a value is found when it is walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionResponse<'a> {
    /// `action-response-normal` (1).
    Normal {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// How it went, and what it returned.
        response: ActionResponseWithOptionalData<'a>,
    },
    /// `action-response-with-pblock` (2).
    WithPblock {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// A part of what the methods returned.
        block: DataBlockSa<'a>,
    },
    /// `action-response-with-list` (3).
    WithList {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// For each method how it went, and what it returned.
        responses: Vec<ActionResponseWithOptionalData<'a>>,
    },
    /// `action-response-next-pblock` (4): asks for the next block.
    NextPblock {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// The number of the block that came.
        block_number: u32,
    },
}

impl ActionResponse<'_> {
    /// Tells the id, service class and priority.
    #[must_use]
    pub const fn invoke(&self) -> InvokeIdAndPriority {
        match self {
            Self::Normal { invoke, .. }
            | Self::WithPblock { invoke, .. }
            | Self::WithList { invoke, .. }
            | Self::NextPblock { invoke, .. } => *invoke,
        }
    }

    /// Tells the name in the standard's words.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Normal { .. } => "action-response-normal",
            Self::WithPblock { .. } => "action-response-with-pblock",
            Self::WithList { .. } => "action-response-with-list",
            Self::NextPblock { .. } => "action-response-next-pblock",
        }
    }
}

impl<'a> Wire<'a> for ActionResponse<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0xC7);
        match self {
            Self::Normal { invoke, response } => {
                out.extend_from_slice(&[1, invoke.0]);
                response.encode(out);
            }
            Self::WithPblock { invoke, block } => {
                out.extend_from_slice(&[2, invoke.0]);
                block.encode(out);
            }
            Self::WithList { invoke, responses } => {
                out.extend_from_slice(&[3, invoke.0]);
                put_list(out, responses);
            }
            Self::NextPblock {
                invoke,
                block_number,
            } => {
                out.extend_from_slice(&[4, invoke.0]);
                out.extend_from_slice(&block_number.to_be_bytes());
            }
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        expect_tag(reader, 0xC7, RESPONSE)?;
        let start = reader.clone();
        let choice = reader.u8(RESPONSE)?;
        let invoke = InvokeIdAndPriority::decode(reader)?;
        Ok(match choice {
            1 => Self::Normal {
                invoke,
                response: ActionResponseWithOptionalData {
                    result: ActionResult::decode(reader)?,
                    return_parameters: optional(reader, "return-parameters", last_get_data_result)?,
                },
            },
            2 => Self::WithPblock {
                invoke,
                block: DataBlockSa::decode(reader)?,
            },
            3 => Self::WithList {
                invoke,
                responses: list(reader, 2, "list-of-responses")?,
            },
            4 => Self::NextPblock {
                invoke,
                block_number: reader.u32("block-number")?,
            },
            _ => return Err(start.error(RESPONSE, Malformed::Tag(choice))),
        })
    }
}
