//! The sockets below an SCTP endpoint: one for each own address, so that a
//! packet always leaves from the address of its path.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::task::{Context, Poll};

use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
    set_socket_recv_buffer_size, set_socket_recv_buffer_size_force,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};
use sctp::Transmit;
use sys::udp;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::{SctpOver, Treatment};

/// Packets that wait in a queue of one socket; more are dropped, as a router would.
const WAITING_MAX: usize = 1_024;

/// Packets that wait for more to go with them, at most.
const GATHERED_MAX: usize = 128;

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
    /// Several packets may go in one call.
    trains: bool,
    may_fragment: bool,
    /// Packets that the system has no room for yet: what is urgent and what SCTP
    /// says by itself, and data that is not urgent.
    waiting: [VecDeque<Transmit>; 2],
    dropped: u64,
}

/// Packets of one sender that arrived, in the caller's buffer.
pub(super) struct Arrived {
    pub(super) from: IpAddr,
    pub(super) udp_port: Option<u16>,
    pub(super) octets: std::ops::Range<usize>,
    /// Octets of each packet but the last, which may have fewer; at least 1.
    pub(super) packet_len: usize,
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
            trains: !raw && udp::prepare(socket.as_fd()),
            socket: UdpSocket::from_std(socket)?,
            raw,
            may_fragment: false,
            waiting: [VecDeque::new(), VecDeque::new()],
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

    /// Takes a packet that is to be sent, with others where [`Self::flush`]
    /// finds some that it can go with.
    pub(super) fn push(&mut self, packet: Transmit) {
        let at = place(packet.dscp);
        let gathered = |socket: &Self| socket.waiting.get(at).map_or(0, VecDeque::len);
        if gathered(self) >= GATHERED_MAX {
            self.flush();
        }
        match self.waiting.get_mut(at) {
            Some(queue) if queue.len() < WAITING_MAX => queue.push_back(packet),
            _ => self.dropped += 1,
        }
    }

    /// Hands to the system what waits, as far as it takes it; what is urgent
    /// first.
    pub(super) fn flush(&mut self) {
        for at in 0..self.waiting.len() {
            self.flush_queue(at);
        }
    }

    fn flush_queue(&mut self, at: usize) {
        // Of packets that were refused together, each is tried by itself.
        let mut alone = 0_usize;
        while let Some(count) = self.train(at) {
            let count = if alone > 0 { 1 } else { count };
            match self.send(at, count) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) if count > 1 => {
                    alone = count;
                    continue;
                }
                // What cannot be sent is lost, as in the network: no route,
                // longer than the link's MTU, a refusal told by ICMP.
                Err(error) => {
                    self.dropped += 1;
                    tracing::trace!(local = %self.local, %error, "lost");
                }
                Ok(()) => {}
            }
            if let Some(queue) = self.waiting.get_mut(at) {
                queue.drain(..count);
            }
            alone = alone.saturating_sub(count);
        }
    }

    /// How many of the packets that wait in a queue can go in one call: those
    /// that differ in nothing but their octets and, the last, in having fewer;
    /// `None` where none waits.
    fn train(&self, at: usize) -> Option<usize> {
        let queue = self.waiting.get(at)?;
        let first = queue.front()?;
        let (mut count, mut octets) = (0, 0);
        let most = if self.trains { udp::PACKETS_MAX } else { 1 };
        for packet in queue.iter().take(most) {
            let alike = (packet.remote, packet.udp_port) == (first.remote, first.udp_port)
                && (packet.dscp, packet.may_fragment) == (first.dscp, first.may_fragment)
                && packet.octets.len() <= first.octets.len();
            octets += packet.octets.len();
            if !alike || octets > udp::OCTETS_MAX {
                break;
            }
            count += 1;
            if packet.octets.len() < first.octets.len() {
                break;
            }
        }
        Some(count.max(1))
    }

    /// Sends the first packets that wait in a queue in one call. Data that is
    /// not urgent leaves half of the room that the system has for this socket to
    /// what is: a queue of the system's would else keep both until it is through
    /// with the data.
    fn send(&mut self, at: usize, count: usize) -> io::Result<()> {
        let first = self.waiting.get(at).and_then(VecDeque::front);
        let Some((dscp, may_fragment, to)) = first.map(|first| {
            let to = SocketAddr::new(first.remote, first.udp_port.unwrap_or(0));
            (first.dscp, first.may_fragment, to)
        }) else {
            return Ok(());
        };
        self.set_may_fragment(may_fragment)?;
        let packets: Vec<IoSlice<'_>> = self
            .waiting
            .get(at)
            .into_iter()
            .flatten()
            .take(count)
            .map(|packet| IoSlice::new(&packet.octets))
            .collect();
        let socket = self.socket.as_fd();
        let send = || udp::send(socket, to, traffic_class(dscp), &packets);
        let when_writable = || self.socket.try_io(Interest::WRITABLE, send);
        if at == place(URGENT) {
            return match send() {
                // Whether the runtime is to wait for room is found out anew.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => when_writable(),
                done => done,
            };
        }
        self.socket.try_io(Interest::WRITABLE, || {
            if udp::has_room(socket) {
                send()
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            }
        })
    }

    /// Tells when packets can be received, or sent where some wait.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let reads = self.socket.poll_recv_ready(cx).is_ready();
        let waits = self.waiting.iter().any(|queue| !queue.is_empty());
        let writes = waits && self.socket.poll_send_ready(cx).is_ready();
        if reads || writes {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Receives a packet, or several of one sender; `Ok(None)` for what is none
    /// of SCTP.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Arrived>> {
        if !self.raw {
            let arrived = self.socket.try_io(Interest::READABLE, || {
                udp::receive(self.socket.as_fd(), buffer)
            })?;
            return Ok(Some(Arrived {
                from: arrived.from.ip().to_canonical(),
                udp_port: Some(arrived.from.port()),
                octets: 0..arrived.length,
                packet_len: arrived.packet_len,
            }));
        }
        let (length, from) = self.socket.try_recv_from(buffer)?;
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
            packet_len: length.max(1),
        }))
    }
}

/// The code point of control messages.
const URGENT: u8 = Treatment::of(model::MessageClass::Control).dscp;

/// The queue of a socket that a packet waits in.
fn place(dscp: u8) -> usize {
    let mut rows = Treatment::ALL.iter();
    usize::from(rows.any(|row| !row.urgent && row.dscp == dscp))
}

/// The code point stands above the two bits of ECN (RFC 2474, RFC 3168).
const fn traffic_class(dscp: u8) -> u8 {
    dscp << 2
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

#[cfg(test)]
mod tests {
    //! Evidence: the system's own sockets.
    use std::time::Duration;

    use super::*;

    /// Whatever goes in one call: packets arrive as they were handed in.
    #[tokio::test]
    async fn packets_stay_what_they_are() {
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        let (mut sockets, _) = bind(&[local], SctpOver::Udp(0)).unwrap();
        let socket = &mut sockets[0];
        let sinks = [(); 2].map(|()| {
            let sink = std::net::UdpSocket::bind((local, 0)).unwrap();
            sink.set_read_timeout(Some(Duration::from_secs(60)))
                .unwrap();
            sink
        });
        let lengths = [
            1_000, 1_000, 400, 1_000, 1_200, 1_200, 1_200, 3, 3, 30_000, 30_000, 30_000,
        ];
        for round in 0..5 {
            let mut pushed = [Vec::new(), Vec::new()];
            for (number, length) in (round..).zip(lengths) {
                let to = usize::from(number % 7 == 6);
                let octets = vec![number; length];
                pushed[to].push(octets.clone());
                socket.push(Transmit {
                    local,
                    remote: local,
                    udp_port: Some(sinks[to].local_addr().unwrap().port()),
                    dscp: if number % 5 == 4 { 40 } else { 0 },
                    may_fragment: number % 11 != 10,
                    octets,
                });
            }
            while socket.waiting.iter().any(|queue| !queue.is_empty()) {
                socket.socket.writable().await.unwrap();
                socket.flush();
            }
            for (sink, pushed) in sinks.iter().zip(pushed) {
                for expected in pushed {
                    let mut buffer = vec![0; 65_535];
                    let length = sink.recv(&mut buffer).unwrap();
                    assert!(buffer[..length] == expected, "of {}", expected[0]);
                }
            }
        }
        assert_eq!(socket.dropped(), 0);
    }

    #[tokio::test]
    async fn what_is_urgent_goes_before_what_waits() {
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        let (mut sockets, _) = bind(&[local], SctpOver::Udp(0)).unwrap();
        let socket = &mut sockets[0];
        let sink = std::net::UdpSocket::bind((local, 0)).unwrap();
        sink.set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let usage = Treatment::of(model::MessageClass::Usage).dscp;
        for (dscp, octet) in [(usage, 1), (usage, 2), (URGENT, 3), (0, 4), (usage, 5)] {
            socket.push(Transmit {
                local,
                remote: local,
                udp_port: Some(sink.local_addr().unwrap().port()),
                dscp,
                may_fragment: true,
                octets: vec![octet; 100],
            });
        }
        while socket.waiting.iter().any(|queue| !queue.is_empty()) {
            socket.socket.writable().await.unwrap();
            socket.flush();
        }
        let order = [(); 5].map(|()| {
            let mut buffer = [0; 200];
            assert_eq!(sink.recv(&mut buffer).unwrap(), 100);
            buffer[0]
        });
        assert_eq!(order, [3, 4, 1, 2, 5]);
    }
}
