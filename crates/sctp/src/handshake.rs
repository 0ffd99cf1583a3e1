//! What INIT and INIT ACK tell (RFC 9260, sections 3.3.2, 3.3.3 and 5.1).

use std::net::IpAddr;

use crate::auth::Vector;
use crate::cause;
use crate::chunk::{self, Init, Unrecognized};
use crate::config::Config;
use crate::parameter::{self, Parameters, read_address, write_address, write_parameter};

/// What both sides have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Partial reliability (RFC 3758).
    pub partial_reliability: bool,
    /// I-DATA (RFC 8260).
    pub interleaving: bool,
    /// Stream reconfiguration (RFC 6525).
    pub reconfiguration: bool,
    /// Authenticated chunks (RFC 4895).
    pub auth: bool,
}

impl Capabilities {
    pub(crate) const fn offered(config: &Config) -> Self {
        Self {
            partial_reliability: config.partial_reliability,
            interleaving: config.interleaving,
            reconfiguration: config.reconfiguration,
            auth: config.auth.is_some(),
        }
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self {
            partial_reliability: self.partial_reliability && other.partial_reliability,
            interleaving: self.interleaving && other.interleaving,
            reconfiguration: self.reconfiguration && other.reconfiguration,
            auth: self.auth && other.auth,
        }
    }

    pub(crate) const fn octet(self) -> u8 {
        (self.partial_reliability as u8)
            | (self.interleaving as u8) << 1
            | (self.reconfiguration as u8) << 2
            | (self.auth as u8) << 3
    }

    pub(crate) const fn of(octet: u8) -> Self {
        Self {
            partial_reliability: octet & 1 != 0,
            interleaving: octet & 2 != 0,
            reconfiguration: octet & 4 != 0,
            auth: octet & 8 != 0,
        }
    }

    /// Appends the parameters that say so, authentication apart.
    fn write(self, out: &mut Vec<u8>) {
        let mut extensions = Vec::with_capacity(5);
        if self.reconfiguration {
            extensions.push(chunk::kind::RE_CONFIG);
        }
        if self.partial_reliability {
            extensions.push(chunk::kind::FORWARD_TSN);
        }
        if self.interleaving {
            extensions.push(chunk::kind::I_DATA);
            if self.partial_reliability {
                extensions.push(chunk::kind::I_FORWARD_TSN);
            }
        }
        if self.auth {
            extensions.push(chunk::kind::AUTH);
        }
        if self.partial_reliability {
            write_parameter(out, parameter::kind::FORWARD_TSN_SUPPORTED, |_| {});
        }
        if !extensions.is_empty() {
            write_parameter(out, parameter::kind::SUPPORTED_EXTENSIONS, |out| {
                out.extend(extensions);
            });
        }
    }
}

/// What the peer tells.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) tag: u32,
    pub(crate) a_rwnd: u32,
    pub(crate) outbound_streams: u16,
    pub(crate) inbound_streams: u16,
    pub(crate) initial_tsn: u32,
    /// Without the one that the packet came from, unless listed.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) capabilities: Capabilities,
    pub(crate) auth: Option<Vector>,
    pub(crate) cookie: Option<Vec<u8>>,
    /// Milliseconds that the cookie shall be good for beyond its lifetime.
    pub(crate) preserve_ms: u32,
    /// Parameters to tell back, each padded.
    pub(crate) unrecognized: Vec<Vec<u8>>,
}

/// What is told back in an ABORT.
pub(crate) type Causes = Vec<u8>;

/// The least receiver window of a peer (RFC 9260, section 3.3.2).
pub(crate) const A_RWND_MIN: u32 = 1_500;

/// Reads an INIT or INIT ACK.
///
/// `Err(None)` is dropped in silence.
pub(crate) fn read(init: &Init<'_>, addresses_max: usize) -> Result<Terms, Option<Causes>> {
    let invalid = || Some(cause::cause(cause::code::INVALID_MANDATORY_PARAMETER, &[]));
    if init.initiate_tag == 0 {
        return Err(None);
    }
    if init.outbound_streams == 0 || init.inbound_streams == 0 || init.a_rwnd < A_RWND_MIN {
        return Err(invalid());
    }
    let mut terms = Terms {
        tag: init.initiate_tag,
        a_rwnd: init.a_rwnd,
        outbound_streams: init.outbound_streams,
        inbound_streams: init.inbound_streams,
        initial_tsn: init.initial_tsn,
        addresses: Vec::new(),
        capabilities: Capabilities::default(),
        auth: None,
        cookie: None,
        preserve_ms: 0,
        unrecognized: Vec::new(),
    };
    let (mut random, mut chunks, mut hmacs) = (None, None, None);
    for parameter in Parameters::new(init.parameters, init.parameters_offset) {
        let parameter = parameter.map_err(|_| invalid())?;
        match parameter.kind {
            parameter::kind::IPV4_ADDRESS | parameter::kind::IPV6_ADDRESS => {
                let address = read_address(&parameter).map_err(|_| invalid())?;
                if is_unicast(address)
                    && !terms.addresses.contains(&address)
                    && terms.addresses.len() < addresses_max
                {
                    terms.addresses.push(address);
                }
            }
            parameter::kind::STATE_COOKIE => terms.cookie = Some(parameter.value.to_vec()),
            parameter::kind::COOKIE_PRESERVATIVE => {
                let octets = <[u8; 4]>::try_from(parameter.value).map_err(|_| invalid())?;
                terms.preserve_ms = u32::from_be_bytes(octets);
            }
            parameter::kind::HOST_NAME_ADDRESS => {
                return Err(Some(cause::cause(
                    cause::code::UNRESOLVABLE_ADDRESS,
                    parameter.octets,
                )));
            }
            parameter::kind::FORWARD_TSN_SUPPORTED => {
                terms.capabilities.partial_reliability = true;
            }
            parameter::kind::SUPPORTED_EXTENSIONS => {
                for kind in parameter.value {
                    match *kind {
                        chunk::kind::I_DATA => terms.capabilities.interleaving = true,
                        chunk::kind::RE_CONFIG => terms.capabilities.reconfiguration = true,
                        _ => {}
                    }
                }
            }
            parameter::kind::RANDOM => random = Some(parameter.octets),
            parameter::kind::CHUNK_LIST => chunks = Some(parameter.octets),
            parameter::kind::REQUESTED_HMAC_ALGORITHM => hmacs = Some(parameter.octets),
            parameter::kind::UNRECOGNIZED_PARAMETER
            | parameter::kind::SUPPORTED_ADDRESS_TYPES
            | parameter::kind::ECN_CAPABLE
            | parameter::kind::PADDING
            | parameter::kind::ADAPTATION_LAYER_INDICATION => {}
            other => {
                let [high, _] = other.to_be_bytes();
                let rule = Unrecognized::of(high);
                if rule.report {
                    let mut octets = parameter.octets.to_vec();
                    crate::codec::pad(&mut octets, 0);
                    terms.unrecognized.push(octets);
                }
                if rule.stop {
                    break;
                }
            }
        }
    }
    // Authentication takes a random number and algorithms; without both, the
    // peer has none (RFC 4895, section 6).
    if let (Some(random), Some(hmacs)) = (random, hmacs) {
        terms.auth = Vector::of(random, chunks, hmacs);
        terms.capabilities.auth = terms.auth.is_some();
    }
    Ok(terms)
}

/// Whether packets may be sent to one host at this address.
fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast()),
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_multicast()),
    }
}

/// Parameters of our INIT or INIT ACK, as many as fit into `len_max` octets;
/// what matters most stands first.
pub(crate) fn parameters(
    capabilities: Capabilities,
    auth: Option<&Vector>,
    addresses: &[IpAddr],
    cookie: Option<&[u8]>,
    unrecognized: &[Vec<u8>],
    len_max: usize,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    if let Some(cookie) = cookie {
        write_parameter(&mut out, parameter::kind::STATE_COOKIE, |out| {
            out.extend_from_slice(cookie);
        });
    }
    let push = |out: &mut Vec<u8>, octets: &[u8]| {
        if out.len() + octets.len() <= len_max {
            out.extend_from_slice(octets);
        }
    };
    let mut part = Vec::new();
    capabilities.write(&mut part);
    push(&mut out, &part);
    if let Some(auth) = auth {
        part.clear();
        auth.write(&mut part);
        push(&mut out, &part);
    }
    for address in addresses {
        part.clear();
        write_address(&mut part, *address);
        push(&mut out, &part);
    }
    for octets in unrecognized {
        part.clear();
        write_parameter(&mut part, parameter::kind::UNRECOGNIZED_PARAMETER, |out| {
            out.extend_from_slice(octets);
        });
        push(&mut out, &part);
    }
    out
}
