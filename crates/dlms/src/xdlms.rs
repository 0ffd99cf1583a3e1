//! The APDUs of xDLMS (IEC 62056-5-3), in A-XDR.
//!
//! [`Apdu`] is any of them; each is a type of its own too, whose octets begin
//! with its tag. Values inside stay octets, [`RawData`](crate::axdr::RawData),
//! until they are walked. A value that ends its APDU is not looked at when the
//! APDU is decoded: octets that are no value, and octets behind the value, are
//! found when it is walked or decoded.

mod access;
mod action;
mod error;
mod general;
mod get;
mod initiate;
mod notification;
mod service;
mod set;
mod short_name;
mod tag;

pub use access::{
    AccessRequest, AccessRequestSpecification, AccessResponse, AccessResponseSpecification,
};
pub use action::{ActionRequest, ActionResponse, ActionResponseWithOptionalData};
pub use error::{
    ConfirmedService, ConfirmedServiceError, ErrorClass, ExceptionResponse, ServiceError,
    StateError,
};
pub use general::{
    BlockControl, Gateway, GeneralBlockTransfer, GeneralCiphering, GeneralDedCiphering,
    GeneralGloCiphering, GeneralSigning, KeyInfo, ServiceCiphering,
};
pub use get::{GetRequest, GetResponse};
pub use initiate::{
    Conformance, DLMS_VERSION, InitiateRequest, InitiateResponse, VAA_NAME_LN, VAA_NAME_SN,
};
pub use notification::{DataNotification, DataNotificationConfirm, EventNotificationRequest};
pub use service::{
    ActionResult, DataAccessResult, DataBlockG, DataBlockSa, GetDataResult, InvokeIdAndPriority,
    LIST_MAX, LongInvokeIdAndPriority,
};
pub use set::{SetRequest, SetResponse};
pub use short_name::{
    InformationReportRequest, ReadRequest, ReadResponse, ReadResult, UnconfirmedWriteRequest,
    VariableAccessSpecification, WriteRequest, WriteResponse, WriteResult,
};
pub use tag::{KeySet, Tag};

use alloc::vec::Vec;

use crate::acse::{Aare, Aarq, Rlre, Rlrq};
use crate::codec::{DecodeError, Reader, Wire};

/// Any APDU.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Apdu<'a> {
    /// Asks for an association.
    Aarq(Aarq<'a>),
    /// Answers that.
    Aare(Aare<'a>),
    /// Asks to release an association.
    Rlrq(Rlrq<'a>),
    /// Answers that.
    Rlre(Rlre<'a>),
    /// What a client proposes.
    InitiateRequest(InitiateRequest<'a>),
    /// Reads by short names.
    ReadRequest(ReadRequest<'a>),
    /// Writes by short names.
    WriteRequest(WriteRequest<'a>),
    /// What a server agrees to.
    InitiateResponse(InitiateResponse),
    /// What was read by short names.
    ReadResponse(ReadResponse<'a>),
    /// How a write by short names went.
    WriteResponse(WriteResponse),
    /// Says that a service failed.
    ConfirmedServiceError(ConfirmedServiceError),
    /// Pushes values.
    DataNotification(DataNotification<'a>),
    /// Confirms that.
    DataNotificationConfirm(DataNotificationConfirm),
    /// Writes by short names, and wants no answer.
    UnconfirmedWriteRequest(UnconfirmedWriteRequest<'a>),
    /// Reports values of short names.
    InformationReportRequest(InformationReportRequest<'a>),
    /// A service ciphered with the global or the dedicated key.
    ServiceCiphering(ServiceCiphering<'a>),
    /// Reads.
    GetRequest(GetRequest<'a>),
    /// Writes.
    SetRequest(SetRequest<'a>),
    /// Reports the value of an attribute.
    EventNotificationRequest(EventNotificationRequest<'a>),
    /// Invokes methods.
    ActionRequest(ActionRequest<'a>),
    /// What was read.
    GetResponse(GetResponse<'a>),
    /// How a write went.
    SetResponse(SetResponse),
    /// How methods went.
    ActionResponse(ActionResponse<'a>),
    /// Refuses an APDU.
    ExceptionResponse(ExceptionResponse),
    /// Does several things.
    AccessRequest(AccessRequest<'a>),
    /// How they went.
    AccessResponse(AccessResponse<'a>),
    /// Any APDU, ciphered with the global key of a named system.
    GeneralGloCiphering(GeneralGloCiphering<'a>),
    /// Any APDU, ciphered with the dedicated key of a named system.
    GeneralDedCiphering(GeneralDedCiphering<'a>),
    /// Any APDU, ciphered from end to end.
    GeneralCiphering(GeneralCiphering<'a>),
    /// Any APDU, signed from end to end.
    GeneralSigning(GeneralSigning<'a>),
    /// One block of any APDU.
    GeneralBlockTransfer(GeneralBlockTransfer<'a>),
    /// An APDU to or from a device behind a gateway.
    Gateway(Gateway<'a>),
    /// An APDU that this crate does not know.
    Unknown {
        /// Its first octet.
        tag: u8,
        /// Everything behind that.
        rest: &'a [u8],
    },
}

impl Apdu<'_> {
    /// Tells the tag.
    #[must_use]
    pub const fn tag(&self) -> Tag {
        match self {
            Self::Aarq(_) => Tag::Aarq,
            Self::Aare(_) => Tag::Aare,
            Self::Rlrq(_) => Tag::Rlrq,
            Self::Rlre(_) => Tag::Rlre,
            Self::InitiateRequest(_) => Tag::InitiateRequest,
            Self::ReadRequest(_) => Tag::ReadRequest,
            Self::WriteRequest(_) => Tag::WriteRequest,
            Self::InitiateResponse(_) => Tag::InitiateResponse,
            Self::ReadResponse(_) => Tag::ReadResponse,
            Self::WriteResponse(_) => Tag::WriteResponse,
            Self::ConfirmedServiceError(_) => Tag::ConfirmedServiceError,
            Self::DataNotification(_) => Tag::DataNotification,
            Self::DataNotificationConfirm(_) => Tag::DataNotificationConfirm,
            Self::UnconfirmedWriteRequest(_) => Tag::UnconfirmedWriteRequest,
            Self::InformationReportRequest(_) => Tag::InformationReportRequest,
            Self::ServiceCiphering(apdu) => apdu.tag,
            Self::GetRequest(_) => Tag::GetRequest,
            Self::SetRequest(_) => Tag::SetRequest,
            Self::EventNotificationRequest(_) => Tag::EventNotificationRequest,
            Self::ActionRequest(_) => Tag::ActionRequest,
            Self::GetResponse(_) => Tag::GetResponse,
            Self::SetResponse(_) => Tag::SetResponse,
            Self::ActionResponse(_) => Tag::ActionResponse,
            Self::ExceptionResponse(_) => Tag::ExceptionResponse,
            Self::AccessRequest(_) => Tag::AccessRequest,
            Self::AccessResponse(_) => Tag::AccessResponse,
            Self::GeneralGloCiphering(_) => Tag::GeneralGloCiphering,
            Self::GeneralDedCiphering(_) => Tag::GeneralDedCiphering,
            Self::GeneralCiphering(_) => Tag::GeneralCiphering,
            Self::GeneralSigning(_) => Tag::GeneralSigning,
            Self::GeneralBlockTransfer(_) => Tag::GeneralBlockTransfer,
            Self::Gateway(apdu) if apdu.is_response => Tag::GatewayResponse,
            Self::Gateway(_) => Tag::GatewayRequest,
            Self::Unknown { tag, .. } => Tag::from_code(*tag),
        }
    }

    /// Tells the name in the standard's words, down to the form of a service:
    /// `get-request-with-list`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::GetRequest(apdu) => apdu.name(),
            Self::SetRequest(apdu) => apdu.name(),
            Self::ActionRequest(apdu) => apdu.name(),
            Self::GetResponse(apdu) => apdu.name(),
            Self::SetResponse(apdu) => apdu.name(),
            Self::ActionResponse(apdu) => apdu.name(),
            other => other.tag().name(),
        }
    }

    /// Tells the id, service class and priority of the GET, SET and ACTION
    /// services.
    #[must_use]
    pub const fn invoke(&self) -> Option<InvokeIdAndPriority> {
        Some(match self {
            Self::GetRequest(apdu) => apdu.invoke(),
            Self::SetRequest(apdu) => apdu.invoke(),
            Self::ActionRequest(apdu) => apdu.invoke(),
            Self::GetResponse(apdu) => apdu.invoke(),
            Self::SetResponse(apdu) => apdu.invoke(),
            Self::ActionResponse(apdu) => apdu.invoke(),
            _ => return None,
        })
    }

    /// Tells whether there is another APDU inside that only a key opens or
    /// verifies.
    #[must_use]
    pub const fn is_protected(&self) -> bool {
        matches!(
            self,
            Self::ServiceCiphering(_)
                | Self::GeneralGloCiphering(_)
                | Self::GeneralDedCiphering(_)
                | Self::GeneralCiphering(_)
                | Self::GeneralSigning(_)
        )
    }
}

impl<'a> Wire<'a> for Apdu<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Aarq(apdu) => apdu.encode(out),
            Self::Aare(apdu) => apdu.encode(out),
            Self::Rlrq(apdu) => apdu.encode(out),
            Self::Rlre(apdu) => apdu.encode(out),
            Self::InitiateRequest(apdu) => apdu.encode(out),
            Self::ReadRequest(apdu) => apdu.encode(out),
            Self::WriteRequest(apdu) => apdu.encode(out),
            Self::InitiateResponse(apdu) => apdu.encode(out),
            Self::ReadResponse(apdu) => apdu.encode(out),
            Self::WriteResponse(apdu) => apdu.encode(out),
            Self::ConfirmedServiceError(apdu) => apdu.encode(out),
            Self::DataNotification(apdu) => apdu.encode(out),
            Self::DataNotificationConfirm(apdu) => apdu.encode(out),
            Self::UnconfirmedWriteRequest(apdu) => apdu.encode(out),
            Self::InformationReportRequest(apdu) => apdu.encode(out),
            Self::ServiceCiphering(apdu) => apdu.encode(out),
            Self::GetRequest(apdu) => apdu.encode(out),
            Self::SetRequest(apdu) => apdu.encode(out),
            Self::EventNotificationRequest(apdu) => apdu.encode(out),
            Self::ActionRequest(apdu) => apdu.encode(out),
            Self::GetResponse(apdu) => apdu.encode(out),
            Self::SetResponse(apdu) => apdu.encode(out),
            Self::ActionResponse(apdu) => apdu.encode(out),
            Self::ExceptionResponse(apdu) => apdu.encode(out),
            Self::AccessRequest(apdu) => apdu.encode(out),
            Self::AccessResponse(apdu) => apdu.encode(out),
            Self::GeneralGloCiphering(apdu) => apdu.encode(out),
            Self::GeneralDedCiphering(apdu) => apdu.encode(out),
            Self::GeneralCiphering(apdu) => apdu.encode(out),
            Self::GeneralSigning(apdu) => apdu.encode(out),
            Self::GeneralBlockTransfer(apdu) => apdu.encode(out),
            Self::Gateway(apdu) => apdu.encode(out),
            Self::Unknown { tag, rest } => {
                out.push(*tag);
                out.extend_from_slice(rest);
            }
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut ahead = reader.clone();
        let code = ahead.u8("apdu")?;
        let tag = Tag::from_code(code);
        if tag.unprotected().is_some() {
            return ServiceCiphering::decode(reader).map(Self::ServiceCiphering);
        }
        match tag {
            Tag::Aarq => Aarq::decode(reader).map(Self::Aarq),
            Tag::Aare => Aare::decode(reader).map(Self::Aare),
            Tag::Rlrq => Rlrq::decode(reader).map(Self::Rlrq),
            Tag::Rlre => Rlre::decode(reader).map(Self::Rlre),
            Tag::InitiateRequest => InitiateRequest::decode(reader).map(Self::InitiateRequest),
            Tag::ReadRequest => ReadRequest::decode(reader).map(Self::ReadRequest),
            Tag::WriteRequest => WriteRequest::decode(reader).map(Self::WriteRequest),
            Tag::InitiateResponse => InitiateResponse::decode(reader).map(Self::InitiateResponse),
            Tag::ReadResponse => ReadResponse::decode(reader).map(Self::ReadResponse),
            Tag::WriteResponse => WriteResponse::decode(reader).map(Self::WriteResponse),
            Tag::ConfirmedServiceError => {
                ConfirmedServiceError::decode(reader).map(Self::ConfirmedServiceError)
            }
            Tag::DataNotification => DataNotification::decode(reader).map(Self::DataNotification),
            Tag::DataNotificationConfirm => {
                DataNotificationConfirm::decode(reader).map(Self::DataNotificationConfirm)
            }
            Tag::UnconfirmedWriteRequest => {
                UnconfirmedWriteRequest::decode(reader).map(Self::UnconfirmedWriteRequest)
            }
            Tag::InformationReportRequest => {
                InformationReportRequest::decode(reader).map(Self::InformationReportRequest)
            }
            Tag::GetRequest => GetRequest::decode(reader).map(Self::GetRequest),
            Tag::SetRequest => SetRequest::decode(reader).map(Self::SetRequest),
            Tag::EventNotificationRequest => {
                EventNotificationRequest::decode(reader).map(Self::EventNotificationRequest)
            }
            Tag::ActionRequest => ActionRequest::decode(reader).map(Self::ActionRequest),
            Tag::GetResponse => GetResponse::decode(reader).map(Self::GetResponse),
            Tag::SetResponse => SetResponse::decode(reader).map(Self::SetResponse),
            Tag::ActionResponse => ActionResponse::decode(reader).map(Self::ActionResponse),
            Tag::ExceptionResponse => {
                ExceptionResponse::decode(reader).map(Self::ExceptionResponse)
            }
            Tag::AccessRequest => AccessRequest::decode(reader).map(Self::AccessRequest),
            Tag::AccessResponse => AccessResponse::decode(reader).map(Self::AccessResponse),
            Tag::GeneralGloCiphering => {
                GeneralGloCiphering::decode(reader).map(Self::GeneralGloCiphering)
            }
            Tag::GeneralDedCiphering => {
                GeneralDedCiphering::decode(reader).map(Self::GeneralDedCiphering)
            }
            Tag::GeneralCiphering => GeneralCiphering::decode(reader).map(Self::GeneralCiphering),
            Tag::GeneralSigning => GeneralSigning::decode(reader).map(Self::GeneralSigning),
            Tag::GeneralBlockTransfer => {
                GeneralBlockTransfer::decode(reader).map(Self::GeneralBlockTransfer)
            }
            Tag::GatewayRequest | Tag::GatewayResponse => {
                Gateway::decode(reader).map(Self::Gateway)
            }
            _ => {
                *reader = ahead;
                Ok(Self::Unknown {
                    tag: code,
                    rest: reader.rest(),
                })
            }
        }
    }
}
