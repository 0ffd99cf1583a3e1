//! Which IP packets pass a gateway: prefixes, and services between two sites.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::RangeInclusive;
use core::str::FromStr;

use super::frame::{NotIp, packet_length};

/// A text that is no prefix and no service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// No address and length.
    #[error("{0:?} is no prefix: write 172.31.11.0/24, without bits behind the length")]
    Prefix(String),
    /// No protocol, or no ports.
    #[error("{0:?} is no service: write any, icmp, tcp, udp, tcp:4059 or udp:4059-4061")]
    Service(String),
}

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// Tells how many bits are alike.
    #[must_use]
    pub const fn length(self) -> u8 {
        self.length
    }

    /// Tells whether an address begins so.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.length);
                let of = |address: Ipv4Addr| address.to_bits().checked_shr(shift);
                of(own) == of(other)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.length);
                let of = |address: Ipv6Addr| address.to_bits().checked_shr(shift);
                of(own) == of(other)
            }
            _ => false,
        }
    }

    /// Tells whether some address begins as both do.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl FromStr for Prefix {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let read = || {
            let (address, length) = text.split_once('/')?;
            let address: IpAddr = address.parse().ok()?;
            let length: u8 = length.parse().ok()?;
            let (bits, tail) = match address {
                IpAddr::V4(address) => {
                    let tail = u32::MAX.checked_shr(length.into()).unwrap_or(0);
                    (32, address.to_bits() & tail != 0)
                }
                IpAddr::V6(address) => {
                    let tail = u128::MAX.checked_shr(length.into()).unwrap_or(0);
                    (128, address.to_bits() & tail != 0)
                }
            };
            (length <= bits && !tail).then_some(Self { address, length })
        };
        read().ok_or_else(|| RuleError::Prefix(text.into()))
    }
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP_V6: u8 = 58;

/// What is offered at one site to the other: a protocol, and ports of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// Whatever it is.
    Any,
    /// ICMP, of either version of IP.
    Icmp,
    /// TCP, at these ports or all.
    Tcp(Option<RangeInclusive<u16>>),
    /// UDP, at these ports or all.
    Udp(Option<RangeInclusive<u16>>),
}

impl Service {
    /// Tells whether a packet is of it, to or from the port at which it is
    /// offered.
    fn is_of(&self, protocol: u8, port: Option<u16>) -> bool {
        let within = |ports: &Option<RangeInclusive<u16>>| match ports {
            None => true,
            // What shows no ports, a later fragment, is of none.
            Some(ports) => port.is_some_and(|port| ports.contains(&port)),
        };
        match self {
            Self::Any => true,
            Self::Icmp => matches!(protocol, ICMP | ICMP_V6),
            Self::Tcp(ports) => protocol == TCP && within(ports),
            Self::Udp(ports) => protocol == UDP && within(ports),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, ports) = match self {
            Self::Any => return f.write_str("any"),
            Self::Icmp => return f.write_str("icmp"),
            Self::Tcp(ports) => ("tcp", ports),
            Self::Udp(ports) => ("udp", ports),
        };
        f.write_str(name)?;
        match ports {
            None => Ok(()),
            Some(ports) if ports.start() == ports.end() => write!(f, ":{}", ports.start()),
            Some(ports) => write!(f, ":{}-{}", ports.start(), ports.end()),
        }
    }
}

impl FromStr for Service {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let unfit = || RuleError::Service(text.into());
        let (name, ports) = match text.split_once(':') {
            None => (text, None),
            Some((name, ports)) => {
                let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
                let port = |text: &str| text.parse::<u16>().map_err(|_| unfit());
                let ports = port(first)?..=port(last)?;
                if ports.is_empty() {
                    return Err(unfit());
                }
                (name, Some(ports))
            }
        };
        match (name, ports) {
            ("any", None) => Ok(Self::Any),
            ("icmp", None) => Ok(Self::Icmp),
            ("tcp", ports) => Ok(Self::Tcp(ports)),
            ("udp", ports) => Ok(Self::Udp(ports)),
            _ => Err(unfit()),
        }
    }
}

/// What of a packet decides whether it passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Who sent it.
    pub source: IpAddr,
    /// Whom it is for.
    pub destination: IpAddr,
    /// What it carries.
    pub protocol: u8,
    /// The ports, the sender's first; none in what shows none.
    pub ports: Option<(u16, u16)>,
    /// Whether it opens a connection of TCP.
    pub opens: bool,
}

/// Extension headers of IPv6 that are walked through.
const EXTENSIONS_MAX: usize = 8;

impl Flow {
    /// Reads a whole IP packet.
    ///
    /// # Errors
    /// [`NotIp`] where it is none.
    pub fn of(packet: &[u8]) -> Result<Self, NotIp> {
        let said = packet_length(packet)?;
        if said != packet.len() {
            let there = packet.len();
            return Err(NotIp::Octets { said, there });
        }
        let (source, destination, protocol, content) = match packet.first() {
            Some(first) if first >> 4 == 4 => version_4(packet)?,
            _ => version_6(packet)?,
        };
        let ports = content.and_then(|content| match (protocol, content) {
            (TCP | UDP, [s0, s1, d0, d1, ..]) => Some((
                u16::from_be_bytes([*s0, *s1]),
                u16::from_be_bytes([*d0, *d1]),
            )),
            _ => None,
        });
        // SYN without ACK.
        let flags = content.and_then(|content| content.get(13).copied());
        let opens = protocol == TCP && flags.is_none_or(|flags| flags & 0x12 == 0x02);
        Ok(Self {
            source,
            destination,
            protocol,
            ports,
            opens,
        })
    }
}

type Parts<'a> = (IpAddr, IpAddr, u8, Option<&'a [u8]>);

/// Addresses, protocol and what is carried; that only where it is the first
/// part of it.
fn version_4(packet: &[u8]) -> Result<Parts<'_>, NotIp> {
    let Some(
        [
            first,
            _,
            _,
            _,
            _,
            _,
            f0,
            f1,
            _,
            protocol,
            _,
            _,
            addresses @ ..,
        ],
    ) = packet.first_chunk::<20>()
    else {
        return Err(NotIp::Header);
    };
    let [s0, s1, s2, s3, d0, d1, d2, d3] = *addresses;
    let length = usize::from(first & 0x0f) * 4;
    let content = packet.get(length..).filter(|_| length >= 20);
    let content = content.ok_or(NotIp::Header)?;
    let is_first = u16::from_be_bytes([*f0, *f1]) & 0x1fff == 0;
    Ok((
        Ipv4Addr::new(s0, s1, s2, s3).into(),
        Ipv4Addr::new(d0, d1, d2, d3).into(),
        *protocol,
        is_first.then_some(content),
    ))
}

fn version_6(packet: &[u8]) -> Result<Parts<'_>, NotIp> {
    /// Hop-by-hop and destination options, routing (RFC 8200, clause 4).
    const OPTIONS: [u8; 3] = [0, 43, 60];
    const FRAGMENT: u8 = 44;
    let Some((head, mut content)) = packet.split_first_chunk::<40>() else {
        return Err(NotIp::Header);
    };
    let [_, _, _, _, _, _, mut protocol, _, addresses @ ..] = *head;
    let (source, destination) = addresses.split_at(16);
    let address = |octets: &[u8]| -> Result<Ipv6Addr, NotIp> {
        let octets: [u8; 16] = octets.try_into().map_err(|_| NotIp::Header)?;
        Ok(octets.into())
    };
    let (source, destination) = (address(source)?, address(destination)?);
    let mut shown = true;
    for _ in 0..EXTENSIONS_MAX {
        let [next, length, f0, f1, ..] = *content else {
            break;
        };
        let skipped = if OPTIONS.contains(&protocol) {
            8 + 8 * usize::from(length)
        } else if protocol == FRAGMENT {
            shown = u16::from_be_bytes([f0, f1]) & 0xfff8 == 0;
            8
        } else {
            break;
        };
        content = content.get(skipped..).ok_or(NotIp::Header)?;
        protocol = next;
        if !shown {
            break;
        }
    }
    let content = shown.then_some(content);
    Ok((source.into(), destination.into(), protocol, content))
}

/// Why a packet does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refused {
    /// It is no IP packet.
    #[error("no IP packet")]
    NotIp,
    /// Its sender is not of the site that it comes from.
    #[error("not an address of the site that it comes from")]
    Source,
    /// Whom it is for is not of the site that it is sent to.
    #[error("not for an address of the site")]
    Destination,
    /// No service is of it.
    #[error("no service between the sites")]
    Service,
}

impl Refused {
    /// Lists all, for tables.
    pub const ALL: [Self; 4] = [Self::NotIp, Self::Source, Self::Destination, Self::Service];

    /// Names it in a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotIp => "not_ip",
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Service => "service",
        }
    }
}

/// What passes between the own site and one other.
///
/// Packets are judged one by one, without memory: an answer is told by the port
/// that it comes from, and over TCP by not opening a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The own site's addresses.
    pub own: Vec<Prefix>,
    /// The other's.
    pub other: Vec<Prefix>,
    /// What the own site offers to the other.
    pub offers: Vec<Service>,
    /// What the own site uses at the other.
    pub uses: Vec<Service>,
}

impl Rules {
    /// Judges a packet from the own site.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn outwards(&self, packet: &[u8]) -> Result<Flow, Refused> {
        judge(packet, (&self.own, &self.other), (&self.uses, &self.offers))
    }

    /// Judges a packet from the other site.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn inwards(&self, packet: &[u8]) -> Result<Flow, Refused> {
        judge(packet, (&self.other, &self.own), (&self.offers, &self.uses))
    }
}

/// Judges a packet between two sites: `there` is what the receiving one offers,
/// `back` what the sending one does.
fn judge(
    packet: &[u8],
    (from, to): (&[Prefix], &[Prefix]),
    (there, back): (&[Service], &[Service]),
) -> Result<Flow, Refused> {
    let flow = Flow::of(packet).map_err(|_| Refused::NotIp)?;
    let within = |all: &[Prefix], address| all.iter().any(|prefix| prefix.contains(address));
    if !within(from, flow.source) {
        return Err(Refused::Source);
    }
    if !within(to, flow.destination) {
        return Err(Refused::Destination);
    }
    let of = |all: &[Service], port| all.iter().any(|one| one.is_of(flow.protocol, port));
    let asks = of(there, flow.ports.map(|(_, port)| port));
    let answers = !flow.opens && of(back, flow.ports.map(|(port, _)| port));
    if asks || answers {
        Ok(flow)
    } else {
        Err(Refused::Service)
    }
}
