//! SCION packets: the headers that a host writes and reads.
//!
//! Source: `doc/protocols/scion-header.rst`, `scmp.rst` and
//! `extension-header.rst` of the reference implementation.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------+---------------+---------------------------------------+
//! |Version| TrafficClass  |                FlowID                 |
//! +---------------+-------+-------+-------------------------------+
//! |    NextHdr    |    HdrLen     |          PayloadLen           |
//! +---------------+---+---+---+---+-------------------------------+
//! |    PathType   |DT |DL |ST |SL |              RSV              |
//! +---------------+---+---+---+---+-------------------------------+
//! |            DstISD             |             DstAS, 48 bits …
//! |            SrcISD             |             SrcAS, 48 bits …
//! |    DstHostAddr, 4 to 16 octets    SrcHostAddr, 4 to 16 octets
//! |    path, then what NextHdr says
//! ```
//!
//! A path, type 1, is a word that says how many hop fields each of its up to
//! three segments has, an info field of 8 octets for each segment, and hop
//! fields of 12 octets.

use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use crate::address::{AddressError, InterfaceId, IsdAs};
use crate::path::MAX_HOPS;

/// Octets of the longest path: the word, three info fields, 64 hop fields.
pub const MAX_PATH: usize = 4 + 3 * INFO_FIELD + MAX_HOPS * HOP_FIELD;

const COMMON: usize = 12;
const INFO_FIELD: usize = 8;
const HOP_FIELD: usize = 12;
const UDP_HEADER: usize = 8;

const PATH_EMPTY: u8 = 0;
const PATH_SCION: u8 = 1;

const NEXT_UDP: u8 = 17;
const NEXT_HOP_BY_HOP: u8 = 200;
const NEXT_END_TO_END: u8 = 201;
const NEXT_SCMP: u8 = 202;

const SCMP_EXTERNAL_INTERFACE_DOWN: u8 = 5;
/// Type, code, checksum, the AS and the interface.
const SCMP_DOWN_HEADER: usize = 4 + 8 + 8;
/// The longest packet with a report, in octets (`scmp.rst`).
const MAX_SCMP: usize = 1_232;

/// Where an application is: an AS, a host in it, and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The AS.
    pub isd_as: IsdAs,
    /// The host.
    pub host: IpAddr,
    /// The port of SCION/UDP, which is that of the packets below too.
    pub port: u16,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{},{}]:{}", self.isd_as, self.host, self.port)
    }
}

/// A text that is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Brackets, comma or port are missing.
    #[error("write [1-ff00:0:111,192.0.2.7]:4059")]
    Form,
    /// The AS.
    #[error(transparent)]
    IsdAs(#[from] AddressError),
    /// The host is no IP address.
    #[error("the host in an AS is an IP address")]
    Host,
    /// The port is no number of 0 to 65535.
    #[error("the port is a number from 0 to 65535")]
    Port,
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let rest = text.strip_prefix('[').ok_or(PlaceError::Form)?;
        let (inner, port) = rest.rsplit_once("]:").ok_or(PlaceError::Form)?;
        let (isd_as, host) = inner.split_once(',').ok_or(PlaceError::Form)?;
        if port.is_empty() || !port.bytes().all(|octet| octet.is_ascii_digit()) {
            return Err(PlaceError::Port);
        }
        Ok(Self {
            isd_as: isd_as.parse()?,
            host: host.parse().map_err(|_| PlaceError::Host)?,
            port: port.parse().map_err(|_| PlaceError::Port)?,
        })
    }
}

/// Octets that are no packet, or none that a host can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// There are fewer octets than a field needs.
    #[error("octet {at}: truncated in {field}")]
    Truncated {
        /// Where the field begins.
        at: usize,
        /// Its name.
        field: &'static str,
    },
    /// The version is not 0.
    #[error("octet 0: version {0} of SCION is not known")]
    Version(u8),
    /// A path of a type that is not known.
    #[error("octet 8: path type {0} is not known")]
    PathType(u8),
    /// Host addresses that are not of IP.
    #[error("octet 9: host address types {0:#04x} are not those of IP")]
    HostType(u8),
    /// The header's length is not that of what it holds.
    #[error("octet 5: a header length of {0} octets is not that of its fields")]
    HeaderLength(usize),
    /// The payload's length is not that of the packet.
    #[error("octet 6: a payload length of {said}, there are {there} octets")]
    PayloadLength {
        /// What the header says.
        said: usize,
        /// What there is.
        there: usize,
    },
    /// Segments that no path has.
    #[error("a path's segments do not have {0:?} hop fields")]
    Segments([u8; 3]),
    /// What is carried is neither UDP nor SCMP.
    #[error("protocol {0} is neither SCION/UDP nor SCMP")]
    Protocol(u8),
    /// The checksum is not that of the octets.
    #[error("the checksum is wrong")]
    Checksum,
}

/// Reads fields one after another and knows where it stands.
struct Cursor<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize, field: &'static str) -> Result<&'a [u8], PacketError> {
        let end = self.at.saturating_add(length);
        let taken = self.octets.get(self.at..end);
        let taken = taken.ok_or(PacketError::Truncated { at: self.at, field })?;
        self.at = end;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], PacketError> {
        let at = self.at;
        let octets = self.take(N, field)?;
        octets
            .first_chunk()
            .copied()
            .ok_or(PacketError::Truncated { at, field })
    }

    fn isd_as(&mut self, field: &'static str) -> Result<IsdAs, PacketError> {
        let octets = self.chunk::<8>(field)?;
        Ok(IsdAs::from_u64(u64::from_be_bytes(octets)))
    }

    fn host(&mut self, wide: bool, field: &'static str) -> Result<IpAddr, PacketError> {
        Ok(if wide {
            Ipv6Addr::from(self.chunk::<16>(field)?).into()
        } else {
            Ipv4Addr::from(self.chunk::<4>(field)?).into()
        })
    }
}

/// A packet's headers and what they carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The AS and the host that it comes from.
    pub source: (IsdAs, IpAddr),
    /// The AS and the host that it goes to.
    pub destination: (IsdAs, IpAddr),
    /// Traffic class: the differentiated services code point in the upper six
    /// bits.
    pub traffic_class: u8,
    /// What tells flows of one source apart, 20 bits.
    pub flow: u32,
    /// The path, without its type; empty within an AS.
    pub path: &'a [u8],
    /// What is carried: 17 UDP, 202 SCMP.
    protocol: u8,
    body: &'a [u8],
}

/// What a packet carries to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried<'a> {
    /// A datagram.
    Udp {
        /// The sender's port.
        source_port: u16,
        /// The receiver's port.
        destination_port: u16,
        /// What is in it.
        payload: &'a [u8],
    },
    /// An error that the network reports of a packet.
    Report(Report, &'a [u8]),
    /// Another message of SCMP, of this type and code.
    Scmp(u8, u8),
}

/// What the network reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// A link between two ASes is down.
    ExternalInterfaceDown {
        /// The AS that says so.
        isd_as: IsdAs,
        /// Its interface.
        interface: InterfaceId,
    },
    /// An AS cannot pass packets from one of its interfaces to another.
    InternalConnectivityDown {
        /// The AS that says so.
        isd_as: IsdAs,
        /// Where packets enter it.
        ingress: InterfaceId,
        /// Where they would leave it.
        egress: InterfaceId,
    },
    /// Anything else: destination unreachable, a packet that is too long, a
    /// path that has expired.
    Other {
        /// The message's type, below 128.
        kind: u8,
        /// Its code.
        code: u8,
    },
}

impl<'a> Packet<'a> {
    /// Reads a packet that is all the octets there are.
    ///
    /// # Errors
    /// [`PacketError`] where it is none.
    pub fn decode(octets: &'a [u8]) -> Result<Self, PacketError> {
        let (packet, said) = Self::headers(octets)?;
        let there = octets.len() - said.1;
        if said.0 != there {
            return Err(PacketError::PayloadLength {
                said: said.0,
                there,
            });
        }
        Ok(packet)
    }

    /// Reads the beginning of a packet that a report quotes.
    ///
    /// # Errors
    /// [`PacketError`] where its headers are not whole, or none.
    pub fn decode_quote(octets: &'a [u8]) -> Result<Self, PacketError> {
        Self::headers(octets).map(|(packet, _)| packet)
    }

    /// Reads headers; tells the length that the payload is said to have and
    /// where it begins.
    fn headers(octets: &'a [u8]) -> Result<(Self, (usize, usize)), PacketError> {
        let mut cursor = Cursor { octets, at: 0 };
        let first = u32::from_be_bytes(cursor.chunk("common header")?);
        let version = (first >> 28).to_be_bytes()[3];
        if version != 0 {
            return Err(PacketError::Version(version));
        }
        let [mut protocol, header, l0, l1] = cursor.chunk("common header")?;
        let [path_type, hosts, _, _] = cursor.chunk("common header")?;
        let wide = |bits: u8| match bits & 0b1111 {
            0b0000 => Ok(false),
            0b0011 => Ok(true),
            _ => Err(PacketError::HostType(hosts)),
        };
        let (to_wide, from_wide) = (wide(hosts >> 4)?, wide(hosts)?);
        let to = cursor.isd_as("destination AS")?;
        let from = cursor.isd_as("source AS")?;
        let to_host = cursor.host(to_wide, "destination host")?;
        let from_host = cursor.host(from_wide, "source host")?;
        let header = 4 * usize::from(header);
        let length = header
            .checked_sub(cursor.at)
            .ok_or(PacketError::HeaderLength(header))?;
        let path = cursor.take(length, "path")?;
        match path_type {
            PATH_EMPTY if path.is_empty() => {}
            PATH_EMPTY => return Err(PacketError::HeaderLength(header)),
            PATH_SCION => drop(Segments::read(path)?),
            other => return Err(PacketError::PathType(other)),
        }
        let body_at = cursor.at;
        for extension in [NEXT_HOP_BY_HOP, NEXT_END_TO_END] {
            if protocol == extension {
                let [next, length] = cursor.chunk("extension header")?;
                cursor.take(4 * usize::from(length) + 2, "extension header")?;
                protocol = next;
            }
        }
        let packet = Self {
            source: (from, from_host),
            destination: (to, to_host),
            traffic_class: (first >> 20).to_be_bytes()[3],
            flow: first & 0xf_ffff,
            path,
            protocol,
            body: octets.get(cursor.at..).unwrap_or_default(),
        };
        let said = usize::from(u16::from_be_bytes([l0, l1]));
        Ok((packet, (said, body_at)))
    }

    /// Reads what the packet carries, and checks it.
    ///
    /// # Errors
    /// [`PacketError`] where it is neither a whole datagram nor a message of
    /// SCMP, or its checksum is wrong.
    pub fn carried(&self) -> Result<Carried<'a>, PacketError> {
        let mut cursor = Cursor {
            octets: self.body,
            at: 0,
        };
        match self.protocol {
            NEXT_UDP => {
                let [s0, s1, d0, d1, l0, l1, _, _] = cursor.chunk("UDP header")?;
                let said = usize::from(u16::from_be_bytes([l0, l1]));
                let there = self.body.len();
                if said != there {
                    return Err(PacketError::PayloadLength { said, there });
                }
                self.check(NEXT_UDP)?;
                Ok(Carried::Udp {
                    source_port: u16::from_be_bytes([s0, s1]),
                    destination_port: u16::from_be_bytes([d0, d1]),
                    payload: self.body.get(cursor.at..).unwrap_or_default(),
                })
            }
            NEXT_SCMP => {
                let [kind, code, _, _] = cursor.chunk("SCMP header")?;
                self.check(NEXT_SCMP)?;
                let id = |octets: [u8; 8]| {
                    let [.., high, low] = octets;
                    InterfaceId(u16::from_be_bytes([high, low]))
                };
                let report = match kind {
                    SCMP_EXTERNAL_INTERFACE_DOWN => Report::ExternalInterfaceDown {
                        isd_as: cursor.isd_as("reporting AS")?,
                        interface: id(cursor.chunk("interface")?),
                    },
                    6 => Report::InternalConnectivityDown {
                        isd_as: cursor.isd_as("reporting AS")?,
                        ingress: id(cursor.chunk("ingress")?),
                        egress: id(cursor.chunk("egress")?),
                    },
                    0..=127 => {
                        cursor.take(4, "SCMP information")?;
                        Report::Other { kind, code }
                    }
                    128.. => return Ok(Carried::Scmp(kind, code)),
                };
                let quote = self.body.get(cursor.at..).unwrap_or_default();
                Ok(Carried::Report(report, quote))
            }
            other => Err(PacketError::Protocol(other)),
        }
    }

    /// Reads the ports of a quoted datagram, whose payload may be cut off:
    /// the sender's, then the receiver's.
    ///
    /// # Errors
    /// [`PacketError`] where it is no datagram.
    pub fn quoted_ports(&self) -> Result<(u16, u16), PacketError> {
        if self.protocol != NEXT_UDP {
            return Err(PacketError::Protocol(self.protocol));
        }
        let mut cursor = Cursor {
            octets: self.body,
            at: 0,
        };
        let [s0, s1, d0, d1] = cursor.chunk("UDP header")?;
        Ok((u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])))
    }

    fn check(&self, protocol: u8) -> Result<(), PacketError> {
        let ends = (self.source, self.destination);
        if checksum(ends.0, ends.1, protocol, self.body) == 0 {
            Ok(())
        } else {
            Err(PacketError::Checksum)
        }
    }
}

/// Writes a datagram. `path` is as the data plane has it, empty within an AS;
/// `class` is the traffic class and `flow` the flow, 20 bits.
///
/// # Errors
/// [`PacketError`] where the path is none, or `payload` is longer than a
/// packet can say.
pub fn datagram(
    from: Place,
    to: Place,
    path: &[u8],
    (class, flow): (u8, u32),
    payload: &[u8],
) -> Result<Vec<u8>, PacketError> {
    let length = body_length(UDP_HEADER, payload)?;
    let ends = ((from.isd_as, from.host), (to.isd_as, to.host));
    let mut out = headers(ends, path, (class, flow), NEXT_UDP, length)?;
    let body = out.len();
    out.extend_from_slice(&from.port.to_be_bytes());
    out.extend_from_slice(&to.port.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(payload);
    put_checksum(&mut out, ends, NEXT_UDP, body, 6);
    Ok(out)
}

/// Writes what a router reports to the host whose packet it could not send on:
/// [`Report::ExternalInterfaceDown`]. `from` is the router, `path` leads from it
/// to that host, and as much of `quote`, the packet, as fits is quoted.
///
/// # Errors
/// [`PacketError`] where the path is none.
pub fn interface_down(
    from: (IsdAs, IpAddr),
    to: (IsdAs, IpAddr),
    path: &[u8],
    interface: InterfaceId,
    quote: &[u8],
) -> Result<Vec<u8>, PacketError> {
    let before = COMMON + 16 + 2 * 16 + path.len() + SCMP_DOWN_HEADER;
    let quote = quote
        .get(..MAX_SCMP.saturating_sub(before))
        .unwrap_or(quote);
    let length = body_length(SCMP_DOWN_HEADER, quote)?;
    let mut out = headers((from, to), path, (0, 0), NEXT_SCMP, length)?;
    let body = out.len();
    out.extend_from_slice(&[SCMP_EXTERNAL_INTERFACE_DOWN, 0, 0, 0]);
    out.extend_from_slice(&from.0.to_u64().to_be_bytes());
    out.extend_from_slice(&u64::from(interface.0).to_be_bytes());
    out.extend_from_slice(quote);
    put_checksum(&mut out, (from, to), NEXT_SCMP, body, 2);
    Ok(out)
}

fn body_length(header: usize, rest: &[u8]) -> Result<u16, PacketError> {
    u16::try_from(header + rest.len()).map_err(|_| PacketError::PayloadLength {
        said: usize::from(u16::MAX),
        there: rest.len(),
    })
}

/// An AS and a host in it, at either end: from, then to.
type Ends = ((IsdAs, IpAddr), (IsdAs, IpAddr));

/// Writes the headers in front of a body of `length` octets.
fn headers(
    (from, to): Ends,
    path: &[u8],
    (class, flow): (u8, u32),
    protocol: u8,
    length: u16,
) -> Result<Vec<u8>, PacketError> {
    let wide = |host: IpAddr| if host.is_ipv6() { 0b0011 } else { 0 };
    let octets_of = |host: IpAddr| if host.is_ipv6() { 16 } else { 4 };
    let header = COMMON + 16 + octets_of(to.1) + octets_of(from.1) + path.len();
    let words = u8::try_from(header / 4).map_err(|_| PacketError::HeaderLength(header))?;
    let path_type = if path.is_empty() {
        PATH_EMPTY
    } else {
        drop(Segments::read(path)?);
        PATH_SCION
    };
    let mut out = Vec::with_capacity(header + usize::from(length));
    let first = u32::from(class) << 20 | (flow & 0xf_ffff);
    out.extend_from_slice(&first.to_be_bytes());
    out.extend_from_slice(&[protocol, words]);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&[path_type, wide(to.1) << 4 | wide(from.1), 0, 0]);
    out.extend_from_slice(&to.0.to_u64().to_be_bytes());
    out.extend_from_slice(&from.0.to_u64().to_be_bytes());
    put_host(&mut out, to.1);
    put_host(&mut out, from.1);
    out.extend_from_slice(path);
    Ok(out)
}

/// Puts the checksum into a message that begins at `body`, `at` octets in it.
fn put_checksum(out: &mut [u8], (from, to): Ends, protocol: u8, body: usize, at: usize) {
    let sum = checksum(from, to, protocol, out.get(body..).unwrap_or_default());
    if let Some(place) = out.get_mut(body + at..body + at + 2) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
}

fn put_host(out: &mut Vec<u8>, host: IpAddr) {
    match host {
        IpAddr::V4(host) => out.extend_from_slice(&host.octets()),
        IpAddr::V6(host) => out.extend_from_slice(&host.octets()),
    }
}

/// The Internet checksum over the pseudo header and a message: addresses,
/// length, protocol. Of a message that holds its own it is 0.
fn checksum(from: (IsdAs, IpAddr), to: (IsdAs, IpAddr), protocol: u8, message: &[u8]) -> u16 {
    let mut pseudo = Vec::with_capacity(48);
    for (isd_as, host) in [to, from] {
        pseudo.extend_from_slice(&isd_as.to_u64().to_be_bytes());
        put_host(&mut pseudo, host);
    }
    let words = |octets: &[u8]| -> u64 {
        let (pairs, rest) = octets.as_chunks::<2>();
        let last = rest.first().map_or(0, |last| u64::from(*last) << 8);
        pairs
            .iter()
            .map(|pair| u64::from(u16::from_be_bytes(*pair)))
            .sum::<u64>()
            + last
    };
    let length = u64::try_from(message.len()).unwrap_or(u64::MAX);
    let mut sum = words(&pseudo) + words(message) + u64::from(protocol);
    sum += (length >> 16) + (length & 0xffff);
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    u16::try_from(sum).map_or(0, |sum| !sum)
}

/// The parts of a path.
struct Segments<'a> {
    /// Info field and hop fields of each segment.
    parts: Vec<(&'a [u8; INFO_FIELD], &'a [[u8; HOP_FIELD]])>,
}

impl<'a> Segments<'a> {
    fn read(path: &'a [u8]) -> Result<Self, PacketError> {
        let mut cursor = Cursor {
            octets: path,
            at: 0,
        };
        let word = u32::from_be_bytes(cursor.chunk("path")?);
        let count = |shift: u32| (word >> shift & 0x3f).to_be_bytes()[3];
        let counts = [count(12), count(6), count(0)];
        let wrong = PacketError::Segments(counts);
        // A segment has two hop fields at least, but where a path turns at a
        // peering link it has one; none follows one that is not there.
        let used = counts.iter().take_while(|count| **count > 0).count();
        if used == 0 || counts.iter().skip(used).any(|count| *count > 0) {
            return Err(wrong);
        }
        let total: usize = counts.iter().map(|count| usize::from(*count)).sum();
        if total > MAX_HOPS || path.len() != 4 + used * INFO_FIELD + total * HOP_FIELD {
            return Err(wrong);
        }
        let (infos, _) = cursor
            .take(used * INFO_FIELD, "info fields")?
            .as_chunks::<INFO_FIELD>();
        let mut parts = Vec::with_capacity(used);
        for (info, count) in infos.iter().zip(counts) {
            let octets = cursor.take(usize::from(count) * HOP_FIELD, "hop fields")?;
            parts.push((info, octets.as_chunks::<HOP_FIELD>().0));
        }
        Ok(Self { parts })
    }
}

/// Names the interfaces that packets cross on a path of the data plane, in
/// the order of travel: way out of the first AS, way in and way out of each
/// next one, way into the last. The ASes are not in it.
///
/// # Errors
/// [`PacketError`] where it is no path.
pub fn crossed(path: &[u8]) -> Result<Vec<InterfaceId>, PacketError> {
    /// The info field's flag that hop fields lie in the order in which the
    /// segment was made.
    const MADE: u8 = 0b01;
    /// The flag of a segment that ends at a peering link.
    const PEERING: u8 = 0b10;
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let segments = Segments::read(path)?;
    let last_segment = segments.parts.len() - 1;
    let mut crossed = Vec::new();
    for (number, (info, hops)) in segments.parts.iter().enumerate() {
        let [flags, ..] = **info;
        let last_hop = hops.len() - 1;
        for (index, hop) in hops.iter().enumerate() {
            let [_, _, i0, i1, e0, e1, ..] = *hop;
            let ingress = InterfaceId(u16::from_be_bytes([i0, i1]));
            let egress = InterfaceId(u16::from_be_bytes([e0, e1]));
            let (enters, leaves) = if flags & MADE != 0 {
                (ingress, egress)
            } else {
                (egress, ingress)
            };
            // Where one segment ends and the next begins in the same AS, the
            // packet crosses to the other hop field, not to another AS; over a
            // peering link it does leave.
            let peering = flags & PEERING != 0;
            let begins = index == 0 && (number == 0 || !peering);
            let ends = index == last_hop && (number == last_segment || !peering);
            if !begins {
                crossed.push(enters);
            }
            if !ends {
                crossed.push(leaves);
            }
        }
    }
    Ok(crossed)
}
