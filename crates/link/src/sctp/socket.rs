//! The sockets below an SCTP endpoint: one for each own address, so that a
//! packet always leaves from the address of its path.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use std::task::{Context, Poll};

use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ip_tos,
    set_ipv6_mtu_discover, set_ipv6_tclass, set_socket_recv_buffer_size,
    set_socket_recv_buffer_size_force,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};
use sctp::Transmit;
use tokio::net::UdpSocket;

use crate::SctpOver;

/// Packets that wait for one socket; more are dropped, as a router would.
const WAITING_MAX: usize = 1_024;

/// Octets that may wait in the system for one socket, as it counts them:
/// several windows, or answers of many peers at once.
const RECEIVE_BUFFER_LEN: usize = 1 << 20;

/// Attempts to find one UDP port that is free at all own addresses.
const PORT_ATTEMPTS: usize = 32;

/// Shortest header of an IPv4 packet.
const IPV4_HEADER_LEN: usize = 20;

/// One socket.
pub(super) struct Socket {
    local: IpAddr,
    // A raw socket has the same calls; its ports mean nothing.
    socket: UdpSocket,
    raw: bool,
    dscp: u8,
    may_fragment: bool,
    waiting: VecDeque<Transmit>,
    dropped: u64,
}

/// A packet that arrived, in the caller's buffer.
pub(super) struct Arrived {
    pub(super) from: IpAddr,
    pub(super) udp_port: Option<u16>,
    pub(super) octets: std::ops::Range<usize>,
}

/// Opens a socket at each address; with UDP all at one port, which is told.
pub(super) fn bind(locals: &[IpAddr], over: SctpOver) -> io::Result<(Vec<Socket>, u16)> {
    let port = match over {
        SctpOver::Udp(port) => port,
        SctpOver::Ip => {
            let sockets = locals.iter().map(|local| Socket::raw(*local));
            return Ok((sockets.collect::<io::Result<_>>()?, 0));
        }
    };
    let mut attempts = 0;
    loop {
        // All addresses have the port that the system chose for the first.
        let mut chosen = port;
        let mut sockets = Vec::with_capacity(locals.len());
        let bound: io::Result<()> = locals.iter().try_for_each(|local| {
            let socket = std::net::UdpSocket::bind((*local, chosen))?;
            chosen = socket.local_addr()?.port();
            sockets.push(Socket::new(*local, socket, false)?);
            Ok(())
        });
        attempts += 1;
        match bound {
            Ok(()) => return Ok((sockets, chosen)),
            Err(error)
                if port == 0
                    && error.kind() == io::ErrorKind::AddrInUse
                    && attempts < PORT_ATTEMPTS => {}
            Err(error) => return Err(error),
        }
    }
}

impl Socket {
    fn raw(local: IpAddr) -> io::Result<Self> {
        let family = if local.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let refused = |error: rustix::io::Errno| {
            let error = io::Error::from(error);
            if error.kind() == io::ErrorKind::PermissionDenied {
                io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    "SCTP over IP takes the right to open raw sockets (CAP_NET_RAW): use udp=PORT \
                     on both sides, or give the program that right",
                )
            } else {
                error
            }
        };
        let raw = socket_with(
            family,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(ipproto::SCTP),
        )
        .map_err(refused)?;
        rustix::net::bind(&raw, &SocketAddr::new(local, 0)).map_err(refused)?;
        Self::new(local, std::net::UdpSocket::from(raw), true)
    }

    fn new(local: IpAddr, socket: std::net::UdpSocket, raw: bool) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        // Above the system's limit it takes CAP_NET_ADMIN. With less, more is
        // lost before it is read; that is no reason not to begin.
        set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER_LEN)
            .or_else(|_| set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_LEN))
            .unwrap_or_default();
        let mut socket = Self {
            local,
            socket: UdpSocket::from_std(socket)?,
            raw,
            dscp: 0,
            may_fragment: false,
            waiting: VecDeque::new(),
            dropped: 0,
        };
        socket.set_may_fragment(true)?;
        Ok(socket)
    }

    pub(super) const fn local(&self) -> IpAddr {
        self.local
    }

    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    fn set_may_fragment(&mut self, may: bool) -> io::Result<()> {
        if self.may_fragment == may {
            return Ok(());
        }
        if self.local.is_ipv4() {
            let way = if may {
                Ipv4PathMtuDiscovery::DONT
            } else {
                Ipv4PathMtuDiscovery::PROBE
            };
            set_ip_mtu_discover(&self.socket, way)?;
        } else {
            let way = if may {
                Ipv6PathMtuDiscovery::DONT
            } else {
                Ipv6PathMtuDiscovery::PROBE
            };
            set_ipv6_mtu_discover(&self.socket, way)?;
        }
        self.may_fragment = may;
        Ok(())
    }

    fn set_dscp(&mut self, dscp: u8) -> io::Result<()> {
        if self.dscp == dscp {
            return Ok(());
        }
        // The code point stands above the two bits of ECN (RFC 2474, RFC 3168).
        let octet = dscp << 2;
        if self.local.is_ipv4() {
            set_ip_tos(&self.socket, octet)?;
        } else {
            set_ipv6_tclass(&self.socket, u32::from(octet))?;
        }
        self.dscp = dscp;
        Ok(())
    }

    /// Takes a packet that is to be sent.
    pub(super) fn push(&mut self, packet: Transmit) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(packet);
        } else {
            self.dropped += 1;
        }
    }

    /// Hands to the system what waits, as far as it takes it.
    pub(super) fn flush(&mut self) {
        while let Some(packet) = self.waiting.pop_front() {
            match self.send(&packet) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.waiting.push_front(packet);
                    return;
                }
                // What cannot be sent is lost, as in the network: no route,
                // longer than the link's MTU, a refusal told by ICMP.
                Err(error) => {
                    self.dropped += 1;
                    tracing::trace!(local = %self.local, remote = %packet.remote, %error, "lost");
                }
                Ok(()) => {}
            }
        }
    }

    fn send(&mut self, packet: &Transmit) -> io::Result<()> {
        self.set_dscp(packet.dscp)?;
        self.set_may_fragment(packet.may_fragment)?;
        let port = packet.udp_port.unwrap_or(0);
        self.socket
            .try_send_to(&packet.octets, SocketAddr::new(packet.remote, port))
            .map(drop)
    }

    /// Tells when packets can be received, or sent where some wait.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let reads = self.socket.poll_recv_ready(cx).is_ready();
        let writes = !self.waiting.is_empty() && self.socket.poll_send_ready(cx).is_ready();
        if reads || writes {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Receives a packet; `Ok(None)` for what is none of SCTP.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Arrived>> {
        let (length, from) = self.socket.try_recv_from(buffer)?;
        if !self.raw {
            return Ok(Some(Arrived {
                from: from.ip().to_canonical(),
                udp_port: Some(from.port()),
                octets: 0..length,
            }));
        }
        // Over IPv4 a raw socket gives the IP header too (raw(7)).
        let start = match (self.local.is_ipv4(), buffer.first()) {
            (false, _) => 0,
            (true, Some(first)) => usize::from(first & 0x0F) * 4,
            (true, None) => return Ok(None),
        };
        let least = if self.local.is_ipv4() {
            IPV4_HEADER_LEN
        } else {
            0
        };
        Ok((start >= least && start <= length).then_some(Arrived {
            from: from.ip(),
            udp_port: None,
            octets: start..length,
        }))
    }
}

/// The own address that the system sends from to `remote`.
pub(super) fn source(remote: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if remote.is_ipv4() {
        std::net::Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    // Connecting a UDP socket sends nothing: it asks the routes.
    socket.connect((remote, 9))?;
    Ok(socket.local_addr()?.ip())
}
