//! Parameters of INIT, INIT ACK, HEARTBEAT and RE-CONFIG (RFC 9260, section
//! 3.2.1 and those of the extensions).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::codec::{DecodeError, Malformed, Reader, fill_length, pad, padded};

/// Parameter types by number.
pub mod kind {
    /// Heartbeat information.
    pub const HEARTBEAT_INFO: u16 = 0x0001;
    /// IPv4 address.
    pub const IPV4_ADDRESS: u16 = 0x0005;
    /// IPv6 address.
    pub const IPV6_ADDRESS: u16 = 0x0006;
    /// State cookie.
    pub const STATE_COOKIE: u16 = 0x0007;
    /// Unrecognized parameter.
    pub const UNRECOGNIZED_PARAMETER: u16 = 0x0008;
    /// Cookie preservative.
    pub const COOKIE_PRESERVATIVE: u16 = 0x0009;
    /// Host name address, deprecated.
    pub const HOST_NAME_ADDRESS: u16 = 0x000B;
    /// Supported address types.
    pub const SUPPORTED_ADDRESS_TYPES: u16 = 0x000C;
    /// Outgoing SSN reset request (RFC 6525).
    pub const OUTGOING_SSN_RESET_REQUEST: u16 = 0x000D;
    /// Incoming SSN reset request (RFC 6525).
    pub const INCOMING_SSN_RESET_REQUEST: u16 = 0x000E;
    /// SSN/TSN reset request (RFC 6525).
    pub const SSN_TSN_RESET_REQUEST: u16 = 0x000F;
    /// Re-configuration response (RFC 6525).
    pub const RECONFIGURATION_RESPONSE: u16 = 0x0010;
    /// Add outgoing streams request (RFC 6525).
    pub const ADD_OUTGOING_STREAMS_REQUEST: u16 = 0x0011;
    /// Add incoming streams request (RFC 6525).
    pub const ADD_INCOMING_STREAMS_REQUEST: u16 = 0x0012;
    /// ECN capable, reserved.
    pub const ECN_CAPABLE: u16 = 0x8000;
    /// Random (RFC 4895).
    pub const RANDOM: u16 = 0x8002;
    /// Chunk list (RFC 4895).
    pub const CHUNK_LIST: u16 = 0x8003;
    /// Requested HMAC algorithm (RFC 4895).
    pub const REQUESTED_HMAC_ALGORITHM: u16 = 0x8004;
    /// Padding (RFC 4820).
    pub const PADDING: u16 = 0x8005;
    /// Supported extensions (RFC 5061).
    pub const SUPPORTED_EXTENSIONS: u16 = 0x8008;
    /// Forward TSN supported (RFC 3758).
    pub const FORWARD_TSN_SUPPORTED: u16 = 0xC000;
    /// Adaptation layer indication (RFC 5061).
    pub const ADAPTATION_LAYER_INDICATION: u16 = 0xC006;
}

/// Octets of type and length before each parameter's value.
pub const PARAMETER_HEADER_LEN: usize = 4;

/// Parameters that one chunk may have; more make it malformed.
pub const PARAMETERS_MAX: usize = 256;

/// One parameter, or one error cause: they have the same form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// The parameter type.
    pub kind: u16,
    /// What stands behind the length, without padding.
    pub value: &'a [u8],
    /// The whole parameter without padding.
    pub octets: &'a [u8],
    /// Offset of its first octet.
    pub offset: usize,
}

/// Parameters one after the other; it ends after the first error.
#[derive(Clone, Debug)]
pub struct Parameters<'a> {
    reader: Reader<'a>,
    left: usize,
}

impl<'a> Parameters<'a> {
    /// Starts at the first of `octets`, which has `offset` in the packet.
    #[must_use]
    pub const fn new(octets: &'a [u8], offset: usize) -> Self {
        Self {
            reader: Reader::at(octets, offset),
            left: PARAMETERS_MAX,
        }
    }

    fn read(&mut self) -> Result<Parameter<'a>, DecodeError> {
        if self.left == 0 {
            return Err(self.reader.error("parameters", Malformed::TooMany));
        }
        self.left -= 1;
        let offset = self.reader.offset();
        let whole = self.reader.clone().rest();
        let kind = self.reader.u16("parameter type")?;
        let length = usize::from(self.reader.u16("parameter length")?);
        let Some(value_len) = length.checked_sub(PARAMETER_HEADER_LEN) else {
            return Err(DecodeError {
                offset: offset + 2,
                field: "parameter length",
                reason: Malformed::Length,
            });
        };
        let value = self.reader.take(value_len, "parameter value")?;
        let padding = padded(length) - length;
        self.reader
            .take(padding.min(self.reader.remaining()), "parameter padding")?;
        Ok(Parameter {
            kind,
            value,
            octets: whole.get(..length).unwrap_or_default(),
            offset,
        })
    }
}

impl<'a> Iterator for Parameters<'a> {
    type Item = Result<Parameter<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.reader.rest();
        }
        Some(read)
    }
}

/// Appends one parameter: type, length, what `value` writes, padding.
pub fn write_parameter(out: &mut Vec<u8>, kind: u16, value: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(kind.to_be_bytes());
    out.extend([0, 0]);
    value(out);
    let length = out.len() - start;
    fill_length(out, start + 2, length);
    pad(out, start);
}

/// Cuts the padding of the last of some parameters, which is the chunk's
/// (RFC 9260, section 3.2).
#[must_use]
pub fn without_last_padding(parameters: &[u8]) -> &[u8] {
    let end = Parameters::new(parameters, 0)
        .map_while(Result::ok)
        .last()
        .map_or(0, |last| last.offset + last.octets.len());
    parameters.get(..end).unwrap_or(parameters)
}

/// Appends an address parameter.
pub fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => write_parameter(out, kind::IPV4_ADDRESS, |out| out.extend(v4.octets())),
        IpAddr::V6(v6) => write_parameter(out, kind::IPV6_ADDRESS, |out| out.extend(v6.octets())),
    }
}

/// Reads an address parameter.
///
/// # Errors
/// Where its length is not that of its family.
pub fn read_address(parameter: &Parameter<'_>) -> Result<IpAddr, DecodeError> {
    let mut reader = Reader::at(parameter.value, parameter.offset + PARAMETER_HEADER_LEN);
    let address = if parameter.kind == kind::IPV4_ADDRESS {
        IpAddr::V4(Ipv4Addr::from(reader.array::<4>("IPv4 address")?))
    } else {
        IpAddr::V6(Ipv6Addr::from(reader.array::<16>("IPv6 address")?))
    };
    reader.finish("address")?;
    Ok(address)
}
