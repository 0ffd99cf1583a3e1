//! UDP with several packets in one call: the kernel cuts what is sent into
//! packets (`UDP_SEGMENT` of udp(7)), and joins those that arrived one after the
//! other (`UDP_GRO`).

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::BorrowedFd;

use crate::socket::{Control, lay_out, messages, option, receive_named, send_pieces, set_option};

/// Packets that go in one call, at most: older kernels take no more.
pub const PACKETS_MAX: usize = 64;

/// Octets of all packets of one call, at most: those of the longest UDP
/// datagram over IPv4.
pub const OCTETS_MAX: usize = 65_507;

/// Octets of the longest address that is taken or told (`sockaddr_in6`).
const NAME_LEN: usize = 28;

/// What arrived, in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Who sent it.
    pub from: SocketAddr,
    /// Octets of all packets together, one behind the other.
    pub length: usize,
    /// Octets of each packet but the last, which may have fewer; at least 1.
    pub packet_len: usize,
}

/// Has the kernel join packets that arrive, and tells whether it cuts what is
/// sent: both do where it knows how (Linux 5.0, 4.18).
pub fn prepare(socket: BorrowedFd<'_>) -> bool {
    let set = |name, value: i32| set_option(socket, libc::SOL_UDP, name, &value.to_ne_bytes());
    // Without, each packet comes by itself.
    set(libc::UDP_GRO, 1).unwrap_or_default();
    set(libc::UDP_SEGMENT, 0).is_ok()
}

/// Sends packets of one length to an address, the last of which may be shorter,
/// without waiting; all go or none. `traffic_class` is the octet of the code
/// point and ECN. More than one takes a socket that [`prepare`] said yes of, and
/// [`PACKETS_MAX`] and [`OCTETS_MAX`] hold.
///
/// # Errors
/// What the kernel refuses: [`io::ErrorKind::WouldBlock`] where it has no room;
/// several packets also where each is longer than the MTU, or IPsec lies on the way.
pub fn send(
    socket: BorrowedFd<'_>,
    to: SocketAddr,
    traffic_class: u8,
    packets: &[IoSlice<'_>],
) -> io::Result<()> {
    let class = i32::from(traffic_class).to_ne_bytes();
    let (level, kind) = match to.ip() {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_TOS),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
    };
    let class = Control {
        level,
        kind,
        data: &class,
    };
    let (name, name_len) = name(to);
    let name = name.get(..name_len).unwrap_or_default();
    let control = match packets {
        [first, _, ..] => {
            let segment = u16::try_from(first.len())
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?
                .to_ne_bytes();
            lay_out(&[
                class,
                Control {
                    level: libc::SOL_UDP,
                    kind: libc::UDP_SEGMENT,
                    data: &segment,
                },
            ])
        }
        _ => lay_out(&[class]),
    };
    send_pieces(socket, name, packets, &control).map(drop)
}

/// Tells whether what was sent and has not left the machine takes at most half of
/// what a socket may have there (`SO_MEMINFO` of socket(7)): above that, the kernel
/// does not say that it can be written to.
pub fn has_room(socket: BorrowedFd<'_>) -> bool {
    let mut told = [0; 36];
    let Ok(length) = option(socket, libc::SOL_SOCKET, libc::SO_MEMINFO, &mut told) else {
        return true;
    };
    let mut numbers = told
        .get(..length)
        .unwrap_or_default()
        .chunks_exact(4)
        .filter_map(|octets| <[u8; 4]>::try_from(octets).ok())
        .map(u32::from_ne_bytes);
    // What it holds that arrived, and may; what it holds that was sent, and may.
    let (sent, limit) = (numbers.nth(2), numbers.next());
    sent.zip(limit)
        .is_none_or(|(sent, limit)| sent <= limit / 2)
}

/// Receives one packet, or several from one sender that the kernel joined,
/// without waiting. A buffer of 65,535 octets takes all that can come.
///
/// # Errors
/// What the kernel tells, [`io::ErrorKind::WouldBlock`] where nothing is there.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Arrived> {
    let mut sender = [0; NAME_LEN];
    let mut control = [0; 64];
    let arrived = receive_named(socket, &mut sender, buffer, &mut control)?;
    let from = address(&sender).ok_or(io::ErrorKind::InvalidData)?;
    let joined = messages(control.get(..arrived.control_len).unwrap_or_default())
        .find(|message| (message.level, message.kind) == (libc::SOL_UDP, libc::UDP_GRO))
        .and_then(|message| <[u8; 4]>::try_from(message.data).ok())
        .and_then(|octets| usize::try_from(i32::from_ne_bytes(octets)).ok());
    Ok(Arrived {
        from,
        length: arrived.length,
        packet_len: joined.unwrap_or(arrived.length).max(1),
    })
}

/// Lays an address out as `sockaddr_in` or `sockaddr_in6`: family, port, and
/// for IPv6 flow, address and scope.
fn name(of: SocketAddr) -> ([u8; NAME_LEN], usize) {
    let mut octets = Vec::with_capacity(NAME_LEN);
    let family = if of.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    octets.extend(u16::try_from(family).unwrap_or_default().to_ne_bytes());
    octets.extend(of.port().to_be_bytes());
    let length = match of {
        SocketAddr::V4(of) => {
            octets.extend(of.ip().octets());
            16
        }
        SocketAddr::V6(of) => {
            octets.extend(of.flowinfo().to_be_bytes());
            octets.extend(of.ip().octets());
            octets.extend(of.scope_id().to_ne_bytes());
            NAME_LEN
        }
    };
    let mut name = [0; NAME_LEN];
    for (place, octet) in name.iter_mut().zip(octets) {
        *place = octet;
    }
    (name, length)
}

/// Reads what the kernel laid out so.
fn address(octets: &[u8; NAME_LEN]) -> Option<SocketAddr> {
    let (family, rest) = octets.split_first_chunk::<2>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    let family = i32::from(u16::from_ne_bytes(*family));
    if family == libc::AF_INET {
        let (ip, _) = rest.split_first_chunk::<4>()?;
        return Some(SocketAddr::new(Ipv4Addr::from(*ip).into(), port));
    }
    let (flow, rest) = rest.split_first_chunk::<4>()?;
    let (ip, rest) = rest.split_first_chunk::<16>()?;
    let (scope, _) = rest.split_first_chunk::<4>()?;
    (family == libc::AF_INET6).then(|| {
        let (flow, scope) = (u32::from_be_bytes(*flow), u32::from_ne_bytes(*scope));
        SocketAddrV6::new(Ipv6Addr::from(*ip), port, flow, scope).into()
    })
}

#[cfg(test)]
mod tests {
    //! Evidence: the kernel's own sockets, on the loopback.
    use std::net::UdpSocket;
    use std::os::fd::AsFd as _;

    use super::*;

    /// Takes packets until there are so many, and tells each with its sender.
    fn packets(socket: &UdpSocket, count: usize) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut buffer = vec![0; 65_535];
        let mut all = Vec::new();
        while all.len() < count {
            let arrived = receive(socket.as_fd(), &mut buffer).unwrap();
            let octets = &buffer[..arrived.length];
            all.extend(
                octets
                    .chunks(arrived.packet_len)
                    .map(|packet| (arrived.from, packet.to_vec())),
            );
        }
        all
    }

    #[test]
    fn what_is_sent_at_once_arrives_as_packets() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let one = UdpSocket::bind(host).unwrap();
            let (joins, plain) = (
                UdpSocket::bind(host).unwrap(),
                UdpSocket::bind(host).unwrap(),
            );
            let cuts = prepare(one.as_fd());
            prepare(joins.as_fd());
            let sent: Vec<Vec<u8>> = [700, 700, 700, 12].map(|length| vec![7; length]).into();
            let slices: Vec<IoSlice<'_>> = sent.iter().map(|one| IoSlice::new(one)).collect();
            for other in [&joins, &plain] {
                let to = other.local_addr().unwrap();
                if cuts {
                    send(one.as_fd(), to, 0xB8, &slices).unwrap();
                } else {
                    println!("skipped: several at once, which this kernel does not cut");
                    for packet in slices.chunks(1) {
                        send(one.as_fd(), to, 0xB8, packet).unwrap();
                    }
                }
                let arrived = packets(other, sent.len());
                let from = one.local_addr().unwrap();
                let told: Vec<_> = sent.iter().map(|packet| (from, packet.clone())).collect();
                assert_eq!(arrived, told);
            }
            let nothing = receive(plain.as_fd(), &mut [0; 16]).unwrap_err();
            assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn the_traffic_class_goes_with_each_call() {
        let v4 = ("127.0.0.1:0", libc::IPPROTO_IP, libc::IP_RECVTOS);
        let v6 = ("[::1]:0", libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS);
        for (address, level, asked) in [v4, v6] {
            let one = UdpSocket::bind(address).unwrap();
            let other = UdpSocket::bind(address).unwrap();
            let on = 1_i32.to_ne_bytes();
            set_option(other.as_fd(), level, asked, &on).unwrap();
            for class in [0xA0_u8, 0, 0x20] {
                let to = other.local_addr().unwrap();
                send(one.as_fd(), to, class, &[IoSlice::new(b"packet")]).unwrap();
                let (mut buffer, mut control) = ([0; 16], [0; 64]);
                let arrived =
                    receive_named(other.as_fd(), &mut [], &mut buffer, &mut control).unwrap();
                let told: Vec<Control<'_>> = messages(&control[..arrived.control_len]).collect();
                // IPv4 tells an octet, IPv6 a whole number.
                let octets = if level == libc::IPPROTO_IP {
                    vec![class]
                } else {
                    i32::from(class).to_ne_bytes().to_vec()
                };
                assert_eq!(told[0].data, octets, "{address}");
            }
        }
    }

    #[test]
    fn a_socket_that_holds_nothing_has_room() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut told = [0; 36];
        option(
            socket.as_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            &mut told,
        )
        .unwrap();
        let limit = u32::from_ne_bytes(told[12..16].try_into().unwrap());
        assert!(limit > 0, "{told:?}");
        assert!(has_room(socket.as_fd()));
    }

    #[test]
    fn addresses_are_read_as_they_were_laid_out() {
        for text in ["192.0.2.7:4059", "[2001:db8::7]:9899"] {
            let address_: SocketAddr = text.parse().unwrap();
            assert_eq!(address(&name(address_).0), Some(address_));
        }
        assert_eq!(address(&[0; NAME_LEN]), None);
    }
}
