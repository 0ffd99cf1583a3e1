//! The ACCESS service: reads, writes and methods in one exchange.

use alloc::vec::Vec;

use crate::axdr::{DateTime, RawData};
use crate::codec::{DecodeError, Malformed, Reader, Wire};
use crate::cosem::{AttributeDescriptor, MethodDescriptor, SelectiveAccessDescriptor};

use super::service::{
    ActionResult, DataAccessResult, LongInvokeIdAndPriority, date_time, expect_tag, list, optional,
    put_date_time, put_list, put_optional,
};

/// One thing to do (`Access-Request-Specification`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessRequestSpecification<'a> {
    /// `access-request-get` (1).
    Get(AttributeDescriptor),
    /// `access-request-set` (2).
    Set(AttributeDescriptor),
    /// `access-request-action` (3).
    Action(MethodDescriptor),
    /// `access-request-get-with-selection` (4).
    GetWithSelection(AttributeDescriptor, SelectiveAccessDescriptor<'a>),
    /// `access-request-set-with-selection` (5).
    SetWithSelection(AttributeDescriptor, SelectiveAccessDescriptor<'a>),
}

impl<'a> Wire<'a> for AccessRequestSpecification<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Get(attribute) => {
                out.push(1);
                attribute.encode(out);
            }
            Self::Set(attribute) => {
                out.push(2);
                attribute.encode(out);
            }
            Self::Action(method) => {
                out.push(3);
                method.encode(out);
            }
            Self::GetWithSelection(attribute, selection) => {
                out.push(4);
                attribute.encode(out);
                selection.encode(out);
            }
            Self::SetWithSelection(attribute, selection) => {
                out.push(5);
                attribute.encode(out);
                selection.encode(out);
            }
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        const FIELD: &str = "access-request-specification";
        let start = reader.clone();
        Ok(match reader.u8(FIELD)? {
            1 => Self::Get(AttributeDescriptor::decode(reader)?),
            2 => Self::Set(AttributeDescriptor::decode(reader)?),
            3 => Self::Action(MethodDescriptor::decode(reader)?),
            4 => Self::GetWithSelection(
                AttributeDescriptor::decode(reader)?,
                SelectiveAccessDescriptor::decode(reader)?,
            ),
            5 => Self::SetWithSelection(
                AttributeDescriptor::decode(reader)?,
                SelectiveAccessDescriptor::decode(reader)?,
            ),
            choice => return Err(start.error(FIELD, Malformed::Tag(choice))),
        })
    }
}

/// Does several things (`Access-Request`).
///
/// ```text
/// D9 long-invoke (4) length date-time count { specification } count { data }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRequest<'a> {
    /// Ties the response to it.
    pub invoke: LongInvokeIdAndPriority,
    /// `date-time`: when it was sent.
    pub date_time: Option<DateTime>,
    /// `access-request-specification`: what to do, in turn.
    pub specifications: Vec<AccessRequestSpecification<'a>>,
    /// `access-request-list-of-data`: what to do it with, null-data for reads.
    pub data: Vec<RawData<'a>>,
}

impl<'a> Wire<'a> for AccessRequest<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0xD9);
        self.invoke.encode(out);
        put_date_time(out, self.date_time);
        put_list(out, &self.specifications);
        put_list(out, &self.data);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        expect_tag(reader, 0xD9, "access-request")?;
        Ok(Self {
            invoke: LongInvokeIdAndPriority::decode(reader)?,
            date_time: date_time(reader, "date-time")?,
            specifications: list(reader, 10, "access-request-specification")?,
            data: list(reader, 1, "access-request-list-of-data")?,
        })
    }
}

/// How one thing went (`Access-Response-Specification`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessResponseSpecification {
    /// `access-response-get` (1).
    Get(DataAccessResult),
    /// `access-response-set` (2).
    Set(DataAccessResult),
    /// `access-response-action` (3).
    Action(ActionResult),
}

impl Wire<'_> for AccessResponseSpecification {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&match self {
            Self::Get(result) => [1, result.code()],
            Self::Set(result) => [2, result.code()],
            Self::Action(result) => [3, result.code()],
        });
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const FIELD: &str = "access-response-specification";
        let start = reader.clone();
        Ok(match reader.u8(FIELD)? {
            1 => Self::Get(DataAccessResult::decode(reader)?),
            2 => Self::Set(DataAccessResult::decode(reader)?),
            3 => Self::Action(ActionResult::decode(reader)?),
            choice => return Err(start.error(FIELD, Malformed::Tag(choice))),
        })
    }
}

/// Answers an [`AccessRequest`] (`Access-Response`).
///
/// ```text
/// DA long-invoke (4) length date-time (00 | 01 count { specification })
///    count { data } count { result }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessResponse<'a> {
    /// As in the request.
    pub invoke: LongInvokeIdAndPriority,
    /// `date-time`: when it was sent.
    pub date_time: Option<DateTime>,
    /// `access-request-specification`: what was asked for, if it was to be
    /// repeated.
    pub request_specifications: Option<Vec<AccessRequestSpecification<'a>>>,
    /// `access-response-list-of-data`: what was read or returned, null-data
    /// for writes and refusals.
    pub data: Vec<RawData<'a>>,
    /// `access-response-specification`: how each went.
    pub response_specifications: Vec<AccessResponseSpecification>,
}

impl<'a> Wire<'a> for AccessResponse<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0xDA);
        self.invoke.encode(out);
        put_date_time(out, self.date_time);
        put_optional(out, self.request_specifications.as_ref(), |out, list| {
            put_list(out, list);
        });
        put_list(out, &self.data);
        put_list(out, &self.response_specifications);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        const REPEATED: &str = "access-request-specification";
        expect_tag(reader, 0xDA, "access-response")?;
        Ok(Self {
            invoke: LongInvokeIdAndPriority::decode(reader)?,
            date_time: date_time(reader, "date-time")?,
            request_specifications: optional(reader, REPEATED, |reader| {
                list(reader, 10, REPEATED)
            })?,
            data: list(reader, 1, "access-response-list-of-data")?,
            response_specifications: list(reader, 2, "access-response-specification")?,
        })
    }
}
