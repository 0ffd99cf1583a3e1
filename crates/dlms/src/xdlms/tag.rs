//! The first octet of an APDU.

use crate::codes::code_points;

code_points! {
    /// What an APDU is (the choices of `ACSE-APDU` and `XDLMS-APDU`).
    pub enum Tag {
        0x01 InitiateRequest "initiateRequest",
        0x05 ReadRequest "readRequest",
        0x06 WriteRequest "writeRequest",
        0x08 InitiateResponse "initiateResponse",
        0x0C ReadResponse "readResponse",
        0x0D WriteResponse "writeResponse",
        0x0E ConfirmedServiceError "confirmedServiceError",
        0x0F DataNotification "data-notification",
        0x10 DataNotificationConfirm "data-notification-confirm",
        0x16 UnconfirmedWriteRequest "unconfirmedWriteRequest",
        0x18 InformationReportRequest "informationReportRequest",
        0x21 GloInitiateRequest "glo-initiateRequest",
        0x25 GloReadRequest "glo-readRequest",
        0x26 GloWriteRequest "glo-writeRequest",
        0x28 GloInitiateResponse "glo-initiateResponse",
        0x2C GloReadResponse "glo-readResponse",
        0x2D GloWriteResponse "glo-writeResponse",
        0x2E GloConfirmedServiceError "glo-confirmedServiceError",
        0x36 GloUnconfirmedWriteRequest "glo-unconfirmedWriteRequest",
        0x38 GloInformationReportRequest "glo-informationReportRequest",
        0x41 DedInitiateRequest "ded-initiateRequest",
        0x45 DedReadRequest "ded-readRequest",
        0x46 DedWriteRequest "ded-writeRequest",
        0x48 DedInitiateResponse "ded-initiateResponse",
        0x4C DedReadResponse "ded-readResponse",
        0x4D DedWriteResponse "ded-writeResponse",
        0x4E DedConfirmedServiceError "ded-confirmedServiceError",
        0x56 DedUnconfirmedWriteRequest "ded-unconfirmedWriteRequest",
        0x58 DedInformationReportRequest "ded-informationReportRequest",
        0x60 Aarq "aarq",
        0x61 Aare "aare",
        0x62 Rlrq "rlrq",
        0x63 Rlre "rlre",
        0xC0 GetRequest "get-request",
        0xC1 SetRequest "set-request",
        0xC2 EventNotificationRequest "event-notification-request",
        0xC3 ActionRequest "action-request",
        0xC4 GetResponse "get-response",
        0xC5 SetResponse "set-response",
        0xC7 ActionResponse "action-response",
        0xC8 GloGetRequest "glo-get-request",
        0xC9 GloSetRequest "glo-set-request",
        0xCA GloEventNotificationRequest "glo-event-notification-request",
        0xCB GloActionRequest "glo-action-request",
        0xCC GloGetResponse "glo-get-response",
        0xCD GloSetResponse "glo-set-response",
        0xCF GloActionResponse "glo-action-response",
        0xD0 DedGetRequest "ded-get-request",
        0xD1 DedSetRequest "ded-set-request",
        0xD2 DedEventNotificationRequest "ded-event-notification-request",
        0xD3 DedActionRequest "ded-actionRequest",
        0xD4 DedGetResponse "ded-get-response",
        0xD5 DedSetResponse "ded-set-response",
        0xD7 DedActionResponse "ded-action-response",
        0xD8 ExceptionResponse "exception-response",
        0xD9 AccessRequest "access-request",
        0xDA AccessResponse "access-response",
        0xDB GeneralGloCiphering "general-glo-ciphering",
        0xDC GeneralDedCiphering "general-ded-ciphering",
        0xDD GeneralCiphering "general-ciphering",
        0xDF GeneralSigning "general-signing",
        0xE0 GeneralBlockTransfer "general-block-transfer",
        0xE6 GatewayRequest "gateway-request",
        0xE7 GatewayResponse "gateway-response",
    }
}

/// The key that a service-specific ciphering uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySet {
    /// The global key: `glo-`.
    Global,
    /// The dedicated key of the association: `ded-`.
    Dedicated,
}

impl Tag {
    /// Tells, for a `glo-` or `ded-` tag, the key and the tag of the service
    /// inside.
    #[must_use]
    pub const fn unprotected(self) -> Option<(KeySet, Self)> {
        if matches!(self, Self::Unknown(_)) {
            return None;
        }
        let code = self.code();
        let (keys, inside) = match code {
            0x20..=0x3F => (KeySet::Global, code - 0x20),
            0x40..=0x5F => (KeySet::Dedicated, code - 0x40),
            0xC8..=0xCF => (KeySet::Global, code - 0x08),
            0xD0..=0xD7 => (KeySet::Dedicated, code - 0x10),
            _ => return None,
        };
        Some((keys, Self::from_code(inside)))
    }

    /// Tells the `glo-` or `ded-` tag of a service that has one.
    #[must_use]
    pub const fn protected(self, keys: KeySet) -> Option<Self> {
        let code = self.code();
        let step = match (code, keys) {
            (0x01..=0x1F, KeySet::Global) => 0x20,
            (0x01..=0x1F, KeySet::Dedicated) => 0x40,
            (0xC0..=0xC7, KeySet::Global) => 0x08,
            (0xC0..=0xC7, KeySet::Dedicated) => 0x10,
            _ => return None,
        };
        match Self::from_code(code + step) {
            Self::Unknown(_) => None,
            tag => Some(tag),
        }
    }
}
