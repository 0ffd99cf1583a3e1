//! First packets from addresses that are nobody's: what an attacker off the
//! path can send. They leave the namespace that they were made in only over
//! its own links.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};
use sctp::chunk::{Init, kind};
use sctp::packet::{Header, PacketBuilder};

use crate::failure::Failure;

/// What the flood is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protocol {
    /// INIT chunks in UDP, to port 4059
    Sctp,
    /// SYN segments
    Tcp,
}

/// SCTP's port, and UDP's that an honest peer would send from.
const SCTP_PORT: u16 = 4_059;

/// Packets are sent in bursts this far apart.
const STEP: Duration = Duration::from_millis(2);

/// Sends, and tells how many packets in how many microseconds.
#[expect(
    clippy::disallowed_methods,
    reason = "packets a second are kept by the clock"
)]
pub(super) fn run(
    protocol: Protocol,
    target: SocketAddrV4,
    rate: u32,
    seconds: u32,
) -> Result<String, Failure> {
    let cannot = |error: std::io::Error| Failure::new(format!("no raw socket: {error}"));
    let raw = socket_with(
        AddressFamily::INET,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(ipproto::RAW),
    )
    .map_err(|error| cannot(error.into()))?;
    let socket = UdpSocket::from(raw);
    let to = SocketAddr::from((*target.ip(), 0));
    let started = Instant::now();
    let limit = Duration::from_secs(u64::from(seconds));
    let mut sent = 0_u32;
    loop {
        let elapsed = started.elapsed().min(limit);
        let wanted = elapsed.as_secs_f64() * f64::from(rate);
        while f64::from(sent) < wanted {
            let packet = packet(protocol, target, sent);
            // What the queue of the link does not take is not sent again: it
            // is a flood.
            if socket.send_to(&packet, to).is_err() && sent == 0 {
                return Err(Failure::new("nothing can be sent to the target"));
            }
            sent += 1;
        }
        if elapsed >= limit {
            break;
        }
        std::thread::sleep(STEP);
    }
    Ok(format!("sent {sent} {}", started.elapsed().as_micros()))
}

/// The packet of number `number`: with each another sender.
fn packet(protocol: Protocol, target: SocketAddrV4, number: u32) -> Vec<u8> {
    // The block for benchmarks (RFC 2544), which is nobody's here.
    let source = Ipv4Addr::from_bits(0xC612_0000 | (number & 0x1_FFFF));
    let (protocol, payload) = match protocol {
        Protocol::Sctp => (17, udp(target.port(), &init(number))),
        Protocol::Tcp => (6, syn(source, target, number)),
    };
    let length = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX);
    let mut octets = Vec::with_capacity(usize::from(length));
    // RFC 791, section 3.1; identification and checksum are filled in below us.
    octets.extend([0x45, 0]);
    octets.extend(length.to_be_bytes());
    octets.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    octets.extend(source.octets());
    octets.extend(target.ip().octets());
    octets.extend(payload);
    octets
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
    let mut octets = Vec::with_capacity(usize::from(length));
    octets.extend(sctp::UDP_PORT.to_be_bytes());
    octets.extend(port.to_be_bytes());
    octets.extend(length.to_be_bytes());
    // No checksum (RFC 768).
    octets.extend([0, 0]);
    octets.extend(payload);
    octets
}

fn init(number: u32) -> Vec<u8> {
    let header = Header {
        source_port: SCTP_PORT,
        destination_port: SCTP_PORT,
        verification_tag: 0,
    };
    let mut packet = PacketBuilder::new(header, 64);
    let init = Init {
        initiate_tag: number | 0x8000_0000,
        a_rwnd: 65_536,
        outbound_streams: 5,
        inbound_streams: 5,
        initial_tsn: number,
        parameters: &[],
        parameters_offset: 0,
    };
    init.encode(kind::INIT, packet.octets());
    packet.finish()
}

/// RFC 9293, section 3.1: a SYN without options.
fn syn(source: Ipv4Addr, target: SocketAddrV4, number: u32) -> Vec<u8> {
    let mut octets = Vec::with_capacity(20);
    octets.extend(40_000_u16.to_be_bytes());
    octets.extend(target.port().to_be_bytes());
    octets.extend(number.to_be_bytes());
    octets.extend([0, 0, 0, 0, 0x50, 0x02, 0xFF, 0xFF, 0, 0, 0, 0]);
    let mut pseudo = Vec::with_capacity(32);
    pseudo.extend(source.octets());
    pseudo.extend(target.ip().octets());
    pseudo.extend([0, 6, 0, 20]);
    pseudo.extend(&octets);
    let sum = pseudo.chunks(2).fold(0_u32, |sum, pair| match pair {
        [high, low] => sum + u32::from(u16::from_be_bytes([*high, *low])),
        _ => sum,
    });
    let folded = (sum & 0xFFFF) + (sum >> 16);
    let folded = (folded & 0xFFFF) + (folded >> 16);
    let checksum = !u16::try_from(folded).unwrap_or(0);
    if let Some(place) = octets.get_mut(16..18) {
        place.copy_from_slice(&checksum.to_be_bytes());
    }
    octets
}

#[cfg(test)]
mod tests {
    //! Evidence: the rule of RFC 1071, and the crate's own reader of SCTP
    //! packets.
    use super::*;

    #[test]
    fn packets_are_what_a_listener_answers() {
        let target = SocketAddrV4::new(Ipv4Addr::new(10, 77, 1, 2), 9_900);
        let flood = packet(Protocol::Sctp, target, 5);
        assert_eq!(flood.len(), 20 + 8 + 12 + 20);
        let inside = sctp::packet::Packet::decode(&flood[28..]).unwrap();
        assert_eq!(inside.chunks().count(), 1);
        // A segment with its checksum adds up to nothing (RFC 1071).
        let flood = packet(Protocol::Tcp, target, 70_000);
        let mut sum: u32 = 6 + 20;
        for pair in flood[12..].chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
        }
        while sum > 0xFFFF {
            sum = (sum & 0xFFFF) + (sum >> 16);
        }
        assert_eq!(sum, 0xFFFF);
    }
}
