//! The services where objects have short names.

use alloc::vec::Vec;

use crate::axdr::RawData;
use crate::codec::{DecodeError, Malformed, Reader, Wire, put_octets};

use super::service::{
    DataAccessResult, boolean, expect_tag, list, optional, put_list, put_optional,
};

const SPECIFICATIONS: &str = "variable-access-specification";
const DATA: &str = "list-of-data";

/// What is read or written (`Variable-Access-Specification`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableAccessSpecification<'a> {
    /// `variable-name` (2): an attribute or a method.
    VariableName(u16),
    /// `parameterized-access` (4): a part of an attribute, or a method with
    /// its parameter.
    ParameterizedAccess {
        /// `variable-name`.
        variable_name: u16,
        /// `selector`.
        selector: u8,
        /// `parameter`.
        parameter: RawData<'a>,
    },
    /// `block-number-access` (5): the block behind the one of this number.
    BlockNumberAccess(u16),
    /// `read-data-block-access` (6): a part of a request to read.
    ReadDataBlockAccess {
        /// Whether no further block follows.
        last_block: bool,
        /// The number of the block, counted from 1.
        block_number: u16,
        /// The octets.
        raw_data: &'a [u8],
    },
    /// `write-data-block-access` (7): a part of a request to write, whose
    /// octets are in the list of data.
    WriteDataBlockAccess {
        /// Whether no further block follows.
        last_block: bool,
        /// The number of the block, counted from 1.
        block_number: u16,
    },
}

impl<'a> Wire<'a> for VariableAccessSpecification<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::VariableName(name) => {
                out.push(2);
                out.extend_from_slice(&name.to_be_bytes());
            }
            Self::ParameterizedAccess {
                variable_name,
                selector,
                parameter,
            } => {
                out.push(4);
                out.extend_from_slice(&variable_name.to_be_bytes());
                out.push(*selector);
                parameter.encode(out);
            }
            Self::BlockNumberAccess(number) => {
                out.push(5);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::ReadDataBlockAccess {
                last_block,
                block_number,
                raw_data,
            } => {
                out.extend_from_slice(&[6, u8::from(*last_block)]);
                out.extend_from_slice(&block_number.to_be_bytes());
                put_octets(out, raw_data);
            }
            Self::WriteDataBlockAccess {
                last_block,
                block_number,
            } => {
                out.extend_from_slice(&[7, u8::from(*last_block)]);
                out.extend_from_slice(&block_number.to_be_bytes());
            }
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = reader.clone();
        Ok(match reader.u8(SPECIFICATIONS)? {
            2 => Self::VariableName(reader.u16("variable-name")?),
            4 => Self::ParameterizedAccess {
                variable_name: reader.u16("variable-name")?,
                selector: reader.u8("selector")?,
                parameter: RawData::skim(reader)?,
            },
            5 => Self::BlockNumberAccess(reader.u16("block-number")?),
            6 => Self::ReadDataBlockAccess {
                last_block: boolean(reader, "last-block")?,
                block_number: reader.u16("block-number")?,
                raw_data: reader.octets("raw-data")?,
            },
            7 => Self::WriteDataBlockAccess {
                last_block: boolean(reader, "last-block")?,
                block_number: reader.u16("block-number")?,
            },
            choice => return Err(start.error(SPECIFICATIONS, Malformed::Tag(choice))),
        })
    }
}

/// Reads (`ReadRequest`).
///
/// ```text
/// 05 count { specification }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest<'a> {
    /// What to read.
    pub specifications: Vec<VariableAccessSpecification<'a>>,
}

impl<'a> Wire<'a> for ReadRequest<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0x05);
        put_list(out, &self.specifications);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        expect_tag(reader, 0x05, "readRequest")?;
        Ok(Self {
            specifications: list(reader, 3, SPECIFICATIONS)?,
        })
    }
}

/// What was read (the choices of `ReadResponse`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadResult<'a> {
    /// `data` (0).
    Data(RawData<'a>),
    /// `data-access-error` (1).
    DataAccessError(DataAccessResult),
    /// `data-block-result` (2): a part of the response.
    DataBlockResult {
        /// Whether no further block follows.
        last_block: bool,
        /// The number of the block, counted from 1.
        block_number: u16,
        /// The octets.
        raw_data: &'a [u8],
    },
    /// `block-number` (3): asks for the block behind the one of this number.
    BlockNumber(u16),
}

impl<'a> Wire<'a> for ReadResult<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Data(data) => {
                out.push(0);
                data.encode(out);
            }
            Self::DataAccessError(error) => out.extend_from_slice(&[1, error.code()]),
            Self::DataBlockResult {
                last_block,
                block_number,
                raw_data,
            } => {
                out.extend_from_slice(&[2, u8::from(*last_block)]);
                out.extend_from_slice(&block_number.to_be_bytes());
                put_octets(out, raw_data);
            }
            Self::BlockNumber(number) => {
                out.push(3);
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = reader.clone();
        Ok(match reader.u8("readResponse")? {
            0 => Self::Data(RawData::skim(reader)?),
            1 => Self::DataAccessError(DataAccessResult::decode(reader)?),
            2 => Self::DataBlockResult {
                last_block: boolean(reader, "last-block")?,
                block_number: reader.u16("block-number")?,
                raw_data: reader.octets("raw-data")?,
            },
            3 => Self::BlockNumber(reader.u16("block-number")?),
            choice => return Err(start.error("readResponse", Malformed::Tag(choice))),
        })
    }
}

/// Answers a [`ReadRequest`] (`ReadResponse`).
///
/// ```text
/// 0C count { result }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadResponse<'a> {
    /// One for each that was asked for.
    pub results: Vec<ReadResult<'a>>,
}

impl<'a> Wire<'a> for ReadResponse<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0x0C);
        put_list(out, &self.results);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        expect_tag(reader, 0x0C, "readResponse")?;
        Ok(Self {
            results: list(reader, 2, "readResponse")?,
        })
    }
}

/// Writes (`WriteRequest`).
///
/// ```text
/// 06 count { specification } count { data }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteRequest<'a> {
    /// What to write to.
    pub specifications: Vec<VariableAccessSpecification<'a>>,
    /// The value for each; whether there are as many is for the receiver to
    /// check.
    pub data: Vec<RawData<'a>>,
}

/// Writes, and wants no answer (`UnconfirmedWriteRequest`).
///
/// ```text
/// 16 count { specification } count { data }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnconfirmedWriteRequest<'a> {
    /// What to write to.
    pub specifications: Vec<VariableAccessSpecification<'a>>,
    /// The value for each; whether there are as many is for the receiver to
    /// check.
    pub data: Vec<RawData<'a>>,
}

macro_rules! write {
    ($name:ident, $tag:literal, $text:literal) => {
        impl<'a> Wire<'a> for $name<'a> {
            fn encode(&self, out: &mut Vec<u8>) {
                out.push($tag);
                put_list(out, &self.specifications);
                put_list(out, &self.data);
            }

            fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                expect_tag(reader, $tag, $text)?;
                Ok(Self {
                    specifications: list(reader, 3, SPECIFICATIONS)?,
                    data: list(reader, 1, DATA)?,
                })
            }
        }
    };
}

write!(WriteRequest, 0x06, "writeRequest");
write!(UnconfirmedWriteRequest, 0x16, "unconfirmedWriteRequest");

/// How a write went (the choices of `WriteResponse`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteResult {
    /// `success` (0).
    Success,
    /// `data-access-error` (1).
    DataAccessError(DataAccessResult),
    /// `block-number` (2): asks for the block behind the one of this number.
    BlockNumber(u16),
}

impl Wire<'_> for WriteResult {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Success => out.push(0),
            Self::DataAccessError(error) => out.extend_from_slice(&[1, error.code()]),
            Self::BlockNumber(number) => {
                out.push(2);
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let start = reader.clone();
        Ok(match reader.u8("writeResponse")? {
            0 => Self::Success,
            1 => Self::DataAccessError(DataAccessResult::decode(reader)?),
            2 => Self::BlockNumber(reader.u16("block-number")?),
            choice => return Err(start.error("writeResponse", Malformed::Tag(choice))),
        })
    }
}

/// Answers a [`WriteRequest`] (`WriteResponse`).
///
/// ```text
/// 0D count { result }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteResponse {
    /// One for each that was to be written.
    pub results: Vec<WriteResult>,
}

impl Wire<'_> for WriteResponse {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0x0D);
        put_list(out, &self.results);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        expect_tag(reader, 0x0D, "writeResponse")?;
        Ok(Self {
            results: list(reader, 1, "writeResponse")?,
        })
    }
}

/// Reports values unasked (`InformationReportRequest`).
///
/// ```text
/// 18 (00 | 01 length time) count { specification } count { data }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InformationReportRequest<'a> {
    /// `current-time`: a `GeneralizedTime`, undecoded.
    pub current_time: Option<&'a [u8]>,
    /// What the values are of.
    pub specifications: Vec<VariableAccessSpecification<'a>>,
    /// The values.
    pub data: Vec<RawData<'a>>,
}

impl<'a> Wire<'a> for InformationReportRequest<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0x18);
        put_optional(out, self.current_time, put_octets);
        put_list(out, &self.specifications);
        put_list(out, &self.data);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        expect_tag(reader, 0x18, "informationReportRequest")?;
        Ok(Self {
            current_time: optional(reader, "current-time", |reader| {
                reader.octets("current-time")
            })?,
            specifications: list(reader, 3, SPECIFICATIONS)?,
            data: list(reader, 1, DATA)?,
        })
    }
}
