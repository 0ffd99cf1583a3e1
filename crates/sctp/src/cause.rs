//! Error causes of ABORT and ERROR (RFC 9260, section 3.3.10).

use crate::parameter::{Parameters, write_parameter};

/// Cause codes by number.
pub mod code {
    /// Invalid stream identifier.
    pub const INVALID_STREAM_IDENTIFIER: u16 = 1;
    /// Missing mandatory parameter.
    pub const MISSING_MANDATORY_PARAMETER: u16 = 2;
    /// Stale cookie.
    pub const STALE_COOKIE: u16 = 3;
    /// Out of resource.
    pub const OUT_OF_RESOURCE: u16 = 4;
    /// Unresolvable address.
    pub const UNRESOLVABLE_ADDRESS: u16 = 5;
    /// Unrecognized chunk type.
    pub const UNRECOGNIZED_CHUNK_TYPE: u16 = 6;
    /// Invalid mandatory parameter.
    pub const INVALID_MANDATORY_PARAMETER: u16 = 7;
    /// Unrecognized parameters.
    pub const UNRECOGNIZED_PARAMETERS: u16 = 8;
    /// No user data.
    pub const NO_USER_DATA: u16 = 9;
    /// Cookie received while shutting down.
    pub const COOKIE_RECEIVED_WHILE_SHUTTING_DOWN: u16 = 10;
    /// Restart of an association with new addresses.
    pub const RESTART_WITH_NEW_ADDRESSES: u16 = 11;
    /// User-initiated abort.
    pub const USER_INITIATED_ABORT: u16 = 12;
    /// Protocol violation.
    pub const PROTOCOL_VIOLATION: u16 = 13;
    /// Unsupported HMAC identifier (RFC 4895).
    pub const UNSUPPORTED_HMAC_IDENTIFIER: u16 = 0x0105;
}

/// The first cause code of an ABORT or ERROR, if it has any.
#[must_use]
pub fn first(causes: &[u8]) -> Option<u16> {
    Parameters::new(causes, 0)
        .next()
        .and_then(Result::ok)
        .map(|cause| cause.kind)
}

/// The octets of one cause.
#[must_use]
pub fn cause(code: u16, information: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(information.len() + 8);
    write_parameter(&mut out, code, |out| out.extend_from_slice(information));
    out
}

/// Names a cause for people.
#[must_use]
pub const fn name(code: u16) -> &'static str {
    match code {
        code::INVALID_STREAM_IDENTIFIER => "invalid stream identifier",
        code::MISSING_MANDATORY_PARAMETER => "missing mandatory parameter",
        code::STALE_COOKIE => "stale cookie",
        code::OUT_OF_RESOURCE => "out of resource",
        code::UNRESOLVABLE_ADDRESS => "unresolvable address",
        code::UNRECOGNIZED_CHUNK_TYPE => "unrecognized chunk type",
        code::INVALID_MANDATORY_PARAMETER => "invalid mandatory parameter",
        code::UNRECOGNIZED_PARAMETERS => "unrecognized parameters",
        code::NO_USER_DATA => "no user data",
        code::COOKIE_RECEIVED_WHILE_SHUTTING_DOWN => "cookie received while shutting down",
        code::RESTART_WITH_NEW_ADDRESSES => "restart of an association with new addresses",
        code::USER_INITIATED_ABORT => "user-initiated abort",
        code::PROTOCOL_VIOLATION => "protocol violation",
        code::UNSUPPORTED_HMAC_IDENTIFIER => "unsupported HMAC identifier",
        _ => "unknown cause",
    }
}
