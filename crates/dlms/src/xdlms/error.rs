//! The APDUs that say that a request was not carried out at all.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, Wire};
use crate::codes::code_points;

use super::service::expect_tag;

code_points! {
    /// Why a request cannot be taken (`state-error`).
    pub enum StateError {
        1 ServiceNotAllowed "service-not-allowed",
        2 ServiceUnknown "service-unknown",
    }
}

/// What was wrong with a request (`service-error`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceError {
    /// `operation-not-possible` (1).
    OperationNotPossible,
    /// `service-not-supported` (2).
    ServiceNotSupported,
    /// `other-reason` (3).
    OtherReason,
    /// `pdu-too-long` (4).
    PduTooLong,
    /// `deciphering-error` (5).
    DecipheringError,
    /// `invocation-counter-error` (6): the counter that the server expects at
    /// least, where it tells it. It is a hint that nothing has verified.
    InvocationCounterError(Option<u32>),
    /// A choice that this table does not have, as it was read.
    Unknown(u8),
}

impl ServiceError {
    /// Tells the code as it is on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::OperationNotPossible => 1,
            Self::ServiceNotSupported => 2,
            Self::OtherReason => 3,
            Self::PduTooLong => 4,
            Self::DecipheringError => 5,
            Self::InvocationCounterError(_) => 6,
            Self::Unknown(code) => code,
        }
    }

    /// Tells the name in the standard's words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OperationNotPossible => "operation-not-possible",
            Self::ServiceNotSupported => "service-not-supported",
            Self::OtherReason => "other-reason",
            Self::PduTooLong => "pdu-too-long",
            Self::DecipheringError => "deciphering-error",
            Self::InvocationCounterError(_) => "invocation-counter-error",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// Refuses an APDU (`ExceptionResponse`).
///
/// ```text
/// D8 state-error service-error (counter (4), if service-error is 06)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExceptionResponse {
    /// Why it cannot be taken.
    pub state_error: StateError,
    /// What was wrong with it.
    pub service_error: ServiceError,
}

impl ExceptionResponse {
    /// Makes a refusal.
    #[must_use]
    pub const fn new(state_error: StateError, service_error: ServiceError) -> Self {
        Self {
            state_error,
            service_error,
        }
    }
}

impl Wire<'_> for ExceptionResponse {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0xD8, self.state_error.code(), self.service_error.code()]);
        if let ServiceError::InvocationCounterError(Some(counter)) = self.service_error {
            out.extend_from_slice(&counter.to_be_bytes());
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        expect_tag(reader, 0xD8, "exception-response")?;
        let state_error = StateError::from_code(reader.u8("state-error")?);
        let service_error = match reader.u8("service-error")? {
            1 => ServiceError::OperationNotPossible,
            2 => ServiceError::ServiceNotSupported,
            3 => ServiceError::OtherReason,
            4 => ServiceError::PduTooLong,
            5 => ServiceError::DecipheringError,
            6 if reader.is_empty() => ServiceError::InvocationCounterError(None),
            6 => {
                ServiceError::InvocationCounterError(Some(reader.u32("invocation-counter-error")?))
            }
            code => ServiceError::Unknown(code),
        };
        Ok(Self {
            state_error,
            service_error,
        })
    }
}

code_points! {
    /// The service that failed (the choices of `ConfirmedServiceError`).
    pub enum ConfirmedService {
        1 InitiateError "initiateError",
        2 GetStatus "getStatus",
        3 GetNameList "getNameList",
        4 GetVariableAttribute "getVariableAttribute",
        5 Read "read",
        6 Write "write",
        7 GetDataSetAttribute "getDataSetAttribute",
        8 GetTiAttribute "getTIAttribute",
        9 ChangeScope "changeScope",
        10 Start "start",
        11 Stop "stop",
        12 Resume "resume",
        13 MakeUsable "makeUsable",
        14 InitiateLoad "initiateLoad",
        15 LoadSegment "loadSegment",
        16 TerminateLoad "terminateLoad",
        17 InitiateUpLoad "initiateUpLoad",
        18 UpLoadSegment "upLoadSegment",
        19 TerminateUpLoad "terminateUpLoad",
    }
}

code_points! {
    /// The kind of a failure (the choices of `ServiceError`).
    pub enum ErrorClass {
        0 ApplicationReference "application-reference",
        1 HardwareResource "hardware-resource",
        2 VdeStateError "vde-state-error",
        3 Service "service",
        4 Definition "definition",
        5 Access "access",
        6 Initiate "initiate",
        7 LoadDataSet "load-data-set",
        8 ChangeScope "change-scope",
        9 Task "task",
        10 Other "other",
    }
}

impl ErrorClass {
    /// Tells the name of `value` in this class, in the standard's words.
    #[must_use]
    pub fn value_name(self, value: u8) -> Option<&'static str> {
        let names: &[&'static str] = match self {
            Self::ApplicationReference => &[
                "other",
                "time-elapsed",
                "application-unreachable",
                "application-reference-invalid",
                "application-context-unsupported",
                "provider-communication-error",
                "deciphering-error",
            ],
            Self::HardwareResource => &[
                "other",
                "memory-unavailable",
                "processor-resource-unavailable",
                "mass-storage-unavailable",
                "other-resource-unavailable",
            ],
            Self::VdeStateError => &[
                "other",
                "no-dlms-context",
                "loading-data-set",
                "status-nochange",
                "status-inoperable",
            ],
            Self::Service => &["other", "pdu-size", "service-unsupported"],
            Self::Definition => &[
                "other",
                "object-undefined",
                "object-class-inconsistent",
                "object-attribute-inconsistent",
            ],
            Self::Access => &[
                "other",
                "scope-of-access-violated",
                "object-access-violated",
                "hardware-fault",
                "object-unavailable",
            ],
            Self::Initiate => &[
                "other",
                "dlms-version-too-low",
                "incompatible-conformance",
                "pdu-size-too-short",
                "refused-by-the-VDE-Handler",
            ],
            Self::LoadDataSet => &[
                "other",
                "primitive-out-of-sequence",
                "not-loadable",
                "dataset-size-too-large",
                "not-awaited-segment",
                "interpretation-failure",
                "storage-failure",
                "data-set-not-ready",
            ],
            Self::Task => &[
                "other",
                "no-remote-control",
                "ti-stopped",
                "ti-running",
                "ti-unusable",
            ],
            Self::ChangeScope | Self::Other | Self::Unknown(_) => &[],
        };
        names.get(usize::from(value)).copied()
    }
}

/// Says that a service failed (`ConfirmedServiceError`).
///
/// ```text
/// 0E service class value
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfirmedServiceError {
    /// The service.
    pub service: ConfirmedService,
    /// The kind of the failure.
    pub class: ErrorClass,
    /// Which failure of that kind; [`ErrorClass::value_name`] has its name.
    pub value: u8,
}

impl Wire<'_> for ConfirmedServiceError {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0x0E, self.service.code(), self.class.code(), self.value]);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        expect_tag(reader, 0x0E, "confirmedServiceError")?;
        Ok(Self {
            service: ConfirmedService::from_code(reader.u8("confirmedServiceError")?),
            class: ErrorClass::from_code(reader.u8("serviceError")?),
            value: reader.u8("serviceError value")?,
        })
    }
}
