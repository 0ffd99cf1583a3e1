//! Options and control data of Linux's SCTP sockets, laid out as its header
//! `linux/sctp.h` has them (most of them are those of RFC 6458). Numbers are in
//! the machine's order, ports and payload protocol identifiers in the
//! network's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use sctp::{Config, Counters, PathState, PathStatus};
use sys::socket::{Control, lay_out, messages, option, set_option};

/// `IPPROTO_SCTP`, which is also the level of its options.
const LEVEL: i32 = 132;

const RTOINFO: i32 = 0;
const INITMSG: i32 = 2;
const NODELAY: i32 = 3;
const PEER_ADDR_PARAMS: i32 = 9;
const STATUS: i32 = 14;
const GET_PEER_ADDR_INFO: i32 = 15;
const DELAYED_SACK: i32 = 16;
const AUTH_CHUNK: i32 = 21;
const AUTH_KEY: i32 = 23;
const AUTH_ACTIVE_KEY: i32 = 24;
const AUTH_DELETE_KEY: i32 = 25;
const PEER_AUTH_CHUNKS: i32 = 26;
const RECVRCVINFO: i32 = 32;
const BINDX_ADD: i32 = 100;
const GET_PEER_ADDRS: i32 = 108;
const GET_LOCAL_ADDRS: i32 = 109;
const CONNECTX: i32 = 110;
const GET_ASSOC_STATS: i32 = 112;
const STREAM_SCHEDULER: i32 = 123;
const STREAM_SCHEDULER_VALUE: i32 = 124;
const EVENT: i32 = 127;
const AUTH_SUPPORTED: i32 = 129;
const EXPOSE_POTENTIALLY_FAILED_STATE: i32 = 131;
const REMOTE_UDP_ENCAPS_PORT: i32 = 132;

/// Control data.
const SNDINFO: i32 = 2;
const RCVINFO: i32 = 3;
const PRINFO: i32 = 5;

/// Notifications.
const ASSOC_CHANGE: u16 = 0x8001;
const PEER_ADDR_CHANGE: u16 = 0x8002;

/// `SPP_HB_ENABLE`.
const HEARTBEATS_ON: u32 = 1;
/// `SCTP_SS_PRIO`.
const PRIORITY: u32 = 1;
/// The kernel's own number for it; 1 hides such paths.
const PF_EXPOSED: u32 = 2;
/// `SCTP_UNORDERED`.
const UNORDERED: u16 = 1;
/// `SCTP_PR_SCTP_TTL`.
const TIME_TO_LIVE: u16 = 0x10;
/// `SCTP_ESTABLISHED`.
const ESTABLISHED: i32 = 4;

/// `sockaddr_storage`.
const ADDRESS_LEN: usize = 128;

/// `AF_INET`, `AF_INET6`.
const FAMILIES: (u16, u16) = (2, 10);

/// Addresses of one side that are looked at.
const ADDRESSES_MAX: usize = 16;

/// Octets of an option as it is laid out.
#[derive(Default)]
struct Layout(Vec<u8>);

impl Layout {
    fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    fn octets(mut self, octets: &[u8]) -> Self {
        self.0.extend_from_slice(octets);
        self
    }

    /// Zeros up to this length.
    fn to(mut self, length: usize) -> Self {
        self.0.resize(length, 0);
        self
    }

    fn set(self, socket: impl AsFd, name: i32) -> io::Result<()> {
        set_option(socket.as_fd(), LEVEL, name, &self.0)
    }
}

/// What stands at a place, where there is anything.
fn at<const N: usize>(octets: &[u8], place: usize) -> Option<[u8; N]> {
    octets.get(place..)?.first_chunk::<N>().copied()
}

fn u16_at(octets: &[u8], place: usize) -> Option<u16> {
    at(octets, place).map(u16::from_ne_bytes)
}

fn u32_at(octets: &[u8], place: usize) -> Option<u32> {
    at(octets, place).map(u32::from_ne_bytes)
}

fn u64_at(octets: &[u8], place: usize) -> Option<u64> {
    at(octets, place).map(u64::from_ne_bytes)
}

fn i32_at(octets: &[u8], place: usize) -> Option<i32> {
    at(octets, place).map(i32::from_ne_bytes)
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// `sockaddr_in` or `sockaddr_in6`.
fn address(address: IpAddr, port: u16) -> Vec<u8> {
    let layout = Layout::default();
    let layout = match address {
        IpAddr::V4(address) => layout
            .u16(FAMILIES.0)
            .octets(&port.to_be_bytes())
            .octets(&address.octets())
            .to(16),
        IpAddr::V6(address) => layout
            .u16(FAMILIES.1)
            .octets(&port.to_be_bytes())
            .u32(0)
            .octets(&address.octets())
            .to(28),
    };
    layout.0
}

/// Reads an address; tells its octets too.
fn address_at(octets: &[u8], place: usize) -> Option<(IpAddr, usize)> {
    match u16_at(octets, place)? {
        family if family == FAMILIES.0 => {
            let address = Ipv4Addr::from(at::<4>(octets, place + 4)?);
            Some((address.into(), 16))
        }
        family if family == FAMILIES.1 => {
            let address = Ipv6Addr::from(at::<16>(octets, place + 8)?);
            Some((IpAddr::V6(address).to_canonical(), 28))
        }
        _ => None,
    }
}

/// Gives a socket what a configuration says, before it is bound.
pub(super) fn configure(socket: BorrowedFd<'_>, config: &Config, streams: u16) -> io::Result<()> {
    let attempts = u16::try_from(config.init_retransmits_max).unwrap_or(u16::MAX);
    Layout::default()
        .u16(streams)
        .u16(streams)
        .u16(attempts)
        .u16(0)
        .set(socket, INITMSG)?;
    Layout::default()
        .u32(0)
        .u32(milliseconds(config.rto.initial))
        .u32(milliseconds(config.rto.max))
        .u32(milliseconds(config.rto.min))
        .set(socket, RTOINFO)?;
    let path_retransmits = u16::try_from(config.path_retransmits_max).unwrap_or(u16::MAX);
    // Packed: the two octets of the retransmissions are followed by four.
    Layout::default()
        .to(4 + ADDRESS_LEN)
        .u32(milliseconds(config.heartbeat_interval))
        .u16(path_retransmits)
        .u32(0)
        .u32(0)
        .u32(HEARTBEATS_ON)
        .to(156)
        .set(socket, PEER_ADDR_PARAMS)?;
    // RFC 9260, section 6.2: at most 500 ms, and for every second packet.
    let delay = milliseconds(config.sack_delay).min(500);
    Layout::default()
        .u32(0)
        .u32(delay)
        .u32(2)
        .set(socket, DELAYED_SACK)?;
    Layout::default().u32(1).set(socket, NODELAY)?;
    Layout::default().u32(1).set(socket, RECVRCVINFO)?;
    Layout::default()
        .u32(0)
        .u32(PRIORITY)
        .set(socket, STREAM_SCHEDULER)?;
    for kind in [ASSOC_CHANGE, PEER_ADDR_CHANGE] {
        Layout::default()
            .u32(0)
            .u16(kind)
            .u8(1)
            .to(8)
            .set(socket, EVENT)?;
    }
    // Before Linux 5.5 such a path is told as one in use.
    Layout::default()
        .u32(0)
        .u32(PF_EXPOSED)
        .set(socket, EXPOSE_POTENTIALLY_FAILED_STATE)
        .unwrap_or_default();
    if let Some(auth) = &config.auth {
        Layout::default()
            .u32(0)
            .u32(1)
            .set(socket, AUTH_SUPPORTED)?;
        for chunk in &auth.chunks {
            Layout::default().u8(*chunk).set(socket, AUTH_CHUNK)?;
        }
    }
    Ok(())
}

/// Says to which UDP port packets go; 0 for none.
pub(super) fn encapsulate(socket: BorrowedFd<'_>, port: u16) -> io::Result<()> {
    Layout::default()
        .to(8 + ADDRESS_LEN)
        .octets(&port.to_be_bytes())
        .to(144)
        .set(socket, REMOTE_UDP_ENCAPS_PORT)
}

fn addresses(all: &[IpAddr], port: u16) -> Layout {
    all.iter().fold(Layout::default(), |layout, one| {
        layout.octets(&address(*one, port))
    })
}

/// Binds a socket to addresses.
pub(super) fn bind(socket: BorrowedFd<'_>, locals: &[IpAddr], port: u16) -> io::Result<()> {
    addresses(locals, port).set(socket, BINDX_ADD)
}

/// Begins an association with a peer at these addresses.
pub(super) fn connect(socket: BorrowedFd<'_>, remotes: &[IpAddr], port: u16) -> io::Result<()> {
    match addresses(remotes, port).set(socket, CONNECTX) {
        Err(error)
            if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
        {
            Ok(())
        }
        done => done,
    }
}

/// Gives a stream its priority, 0 for the most urgent.
pub(super) fn prioritise(socket: BorrowedFd<'_>, stream: u16, priority: u16) -> io::Result<()> {
    Layout::default()
        .u32(0)
        .u16(stream)
        .u16(priority)
        .set(socket, STREAM_SCHEDULER_VALUE)
}

/// Adds a key of authenticated chunks.
pub(super) fn add_key(socket: BorrowedFd<'_>, number: u16, key: &[u8]) -> io::Result<()> {
    let length = u16::try_from(key.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "too long a key"))?;
    let layout = Layout(Vec::with_capacity(8 + key.len()));
    let layout = layout.u32(0).u16(number).u16(length).octets(key);
    let octets = zeroize::Zeroizing::new(layout.0);
    set_option(socket, LEVEL, AUTH_KEY, &octets)
}

/// Uses a key from now on.
pub(super) fn use_key(socket: BorrowedFd<'_>, number: u16) -> io::Result<()> {
    key_id(number).set(socket, AUTH_ACTIVE_KEY)
}

/// Forgets a key.
pub(super) fn forget_key(socket: BorrowedFd<'_>, number: u16) -> io::Result<()> {
    key_id(number).set(socket, AUTH_DELETE_KEY)
}

fn key_id(number: u16) -> Layout {
    Layout::default().u32(0).u16(number).to(8)
}

/// Whether the peer wants any chunks authenticated.
pub(super) fn peer_authenticates(socket: BorrowedFd<'_>) -> bool {
    let mut value = [0; 8 + 256];
    option(socket, LEVEL, PEER_AUTH_CHUNKS, &mut value).is_ok()
        && u32_at(&value, 4).is_some_and(|count| count > 0)
}

/// What an association is like as a whole.
pub(super) struct Standing {
    pub(super) established: bool,
    pub(super) outbound_streams: u16,
    pub(super) primary: Option<IpAddr>,
}

/// `None` where there is no association yet, or none any more.
pub(super) fn standing(socket: BorrowedFd<'_>) -> Option<Standing> {
    let mut value = [0; 176];
    option(socket, LEVEL, STATUS, &mut value).ok()?;
    Some(Standing {
        established: i32_at(&value, 4)? == ESTABLISHED,
        outbound_streams: u16_at(&value, 18)?,
        // The primary path's `sctp_paddrinfo` begins at 24.
        primary: address_at(&value, 28).map(|(address, _)| address),
    })
}

fn sides(socket: BorrowedFd<'_>, name: i32) -> Vec<IpAddr> {
    let mut value = [0; 8 + ADDRESSES_MAX * 28];
    if option(socket, LEVEL, name, &mut value).is_err() {
        return Vec::new();
    }
    let count = u32_at(&value, 4).and_then(|count| usize::try_from(count).ok());
    let mut place = 8;
    std::iter::from_fn(|| {
        let (address, length) = address_at(&value, place)?;
        place += length;
        Some(address)
    })
    .take(count.unwrap_or(0))
    .collect()
}

/// The peer's addresses.
pub(super) fn remotes(socket: BorrowedFd<'_>) -> Vec<IpAddr> {
    sides(socket, GET_PEER_ADDRS)
}

/// Its paths. What the kernel does not tell is 0: what is under way on each,
/// and its timeouts in a row.
pub(super) fn paths(socket: BorrowedFd<'_>) -> Vec<PathStatus> {
    let locals = sides(socket, GET_LOCAL_ADDRS);
    let primary = standing(socket).and_then(|standing| standing.primary);
    let remotes = remotes(socket);
    let paths = remotes.into_iter().enumerate();
    paths
        .filter_map(|(number, remote)| path(socket, &locals, number, remote, primary))
        .collect()
}

fn path(
    socket: BorrowedFd<'_>,
    locals: &[IpAddr],
    number: usize,
    remote: IpAddr,
    primary: Option<IpAddr>,
) -> Option<PathStatus> {
    let mut value = Layout::default()
        .u32(0)
        .octets(&address(remote, 0))
        .to(152)
        .0;
    // The port is part of what a path is known by.
    let port = rustix::net::getpeername(socket).ok()??;
    let port = std::net::SocketAddr::try_from(port).ok()?.port();
    value.get_mut(6..8)?.copy_from_slice(&port.to_be_bytes());
    option(socket, LEVEL, GET_PEER_ADDR_INFO, &mut value).ok()?;
    let number_at = |place: usize| u32_at(&value, place);
    let srtt = number_at(140)?;
    // The kernel chooses the own address by the route; where each side has as
    // many, they go together.
    let alike = |local: &&IpAddr| local.is_ipv4() == remote.is_ipv4();
    let local = locals
        .get(number)
        .filter(alike)
        .or_else(|| locals.iter().find(alike))?;
    Some(PathStatus {
        local: *local,
        remote,
        state: match i32_at(&value, 132)? {
            1 => PathState::PotentiallyFailed,
            2 => PathState::Active,
            3 => PathState::Unconfirmed,
            _ => PathState::Inactive,
        },
        primary: primary == Some(remote),
        round_trip: (srtt > 0).then(|| Duration::from_millis(srtt.into())),
        rto: Duration::from_millis(number_at(144)?.into()),
        congestion_window: usize::try_from(number_at(136)?).unwrap_or(usize::MAX),
        in_flight: 0,
        mtu: usize::try_from(number_at(148)?).unwrap_or(usize::MAX),
        errors: 0,
    })
}

/// What it did, as far as the kernel tells. Reading it changes nothing but the
/// longest timeout, which is not read here.
pub(super) fn counters(socket: BorrowedFd<'_>) -> Counters {
    let mut value = [0; 256];
    if option(socket, LEVEL, GET_ASSOC_STATS, &mut value).is_err() {
        return Counters::default();
    }
    let number = |place: usize| u64_at(&value, place).unwrap_or(0);
    Counters {
        packets_sent: number(160),
        packets_received: number(168),
        chunks_retransmitted: number(176),
        duplicates: number(192),
        chunks_sent: number(208) + number(232),
        ..Counters::default()
    }
}

/// Control data of a message that is sent: its stream, its identifier, and
/// within which time it is worth to be sent.
pub(super) fn sending(stream: u16, protocol: u32, lifetime: Option<Duration>) -> Vec<u8> {
    let flags = if lifetime.is_some() { UNORDERED } else { 0 };
    let info = Layout::default()
        .u16(stream)
        .u16(flags)
        .octets(&protocol.to_be_bytes())
        .to(16);
    let reliability = Layout::default()
        .u16(TIME_TO_LIVE)
        .to(4)
        .u32(lifetime.map_or(0, milliseconds).max(1));
    let all = [
        Control {
            level: LEVEL,
            kind: SNDINFO,
            data: &info.0,
        },
        Control {
            level: LEVEL,
            kind: PRINFO,
            data: &reliability.0,
        },
    ];
    let used = if lifetime.is_some() { 2 } else { 1 };
    lay_out(all.get(..used).unwrap_or_default())
}

/// Stream and identifier of a message that came.
pub(super) fn received(control: &[u8]) -> Option<(u16, u32)> {
    let info = messages(control).find(|one| one.level == LEVEL && one.kind == RCVINFO)?;
    let protocol = at(info.data, 8).map(u32::from_be_bytes)?;
    Some((u16_at(info.data, 0)?, protocol))
}

/// What the kernel tells beside messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// A path is another now.
    Path(IpAddr, PathState),
    /// The peer began anew.
    Restarted,
    /// The association was shut down.
    Shut,
    /// The association is over without having been shut down.
    Lost,
}

/// Reads a notification; `None` for what changes nothing.
pub(super) fn told(octets: &[u8]) -> Option<Told> {
    match u16_at(octets, 0)? {
        PEER_ADDR_CHANGE => {
            let (address, _) = address_at(octets, 8)?;
            let state = match i32_at(octets, 136)? {
                0 | 5 => PathState::Active,
                1 => PathState::Inactive,
                6 => PathState::PotentiallyFailed,
                _ => return None,
            };
            Some(Told::Path(address, state))
        }
        ASSOC_CHANGE => match u16_at(octets, 8)? {
            1 | 4 => Some(Told::Lost),
            2 => Some(Told::Restarted),
            3 => Some(Told::Shut),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: lengths and places as a C compiler has them for Linux's header
    //! (5.10 and later, x86-64); what the kernel makes of them is tested where
    //! it has SCTP (`interop/sctp/kernel`).
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_laid_out() {
        for one in ["192.0.2.7", "2001:db8::7"] {
            let one: IpAddr = one.parse().unwrap();
            let octets = address(one, 4_059);
            assert_eq!(octets[2..4], 4_059_u16.to_be_bytes());
            assert_eq!(address_at(&octets, 0), Some((one, octets.len())));
            assert_eq!(address_at(&octets[..7], 0), None);
        }
        let mapped = address("::ffff:192.0.2.7".parse().unwrap(), 1);
        assert_eq!(
            address_at(&mapped, 0),
            Some(("192.0.2.7".parse().unwrap(), 28))
        );
    }

    #[test]
    fn notifications_of_paths_and_associations_are_read() {
        let path = |state: u32| {
            let layout = Layout::default()
                .u16(PEER_ADDR_CHANGE)
                .to(8)
                .octets(&address("192.0.2.7".parse().unwrap(), 4_059))
                .to(136)
                .u32(state);
            told(&layout.to(148).0)
        };
        let remote = "192.0.2.7".parse().unwrap();
        assert_eq!(path(0), Some(Told::Path(remote, PathState::Active)));
        assert_eq!(path(1), Some(Told::Path(remote, PathState::Inactive)));
        assert_eq!(
            path(6),
            Some(Told::Path(remote, PathState::PotentiallyFailed))
        );
        assert_eq!(path(4), None);
        let association = |state: u16| {
            let layout = Layout::default().u16(ASSOC_CHANGE).to(8).u16(state);
            told(&layout.to(20).0)
        };
        assert_eq!(association(0), None);
        assert_eq!(association(1), Some(Told::Lost));
        assert_eq!(association(2), Some(Told::Restarted));
        assert_eq!(association(3), Some(Told::Shut));
        for end in 0..10 {
            assert_eq!(told(&[0x02; 10][..end]), None);
        }
    }

    #[test]
    fn stream_and_identifier_are_read_from_control_data() {
        let octets = sending(3, 0x4757_0002, None);
        assert_eq!(octets.len(), 32);
        assert_eq!(octets[20..24], 0x4757_0002_u32.to_be_bytes());
        let sealed = sending(3, 1, Some(Duration::from_millis(250)));
        assert_eq!(sealed.len(), 32 + 24);
        assert_eq!(sealed[18..20], UNORDERED.to_ne_bytes());
        assert_eq!(sealed[52..56], 250_u32.to_ne_bytes());
        let info = Layout::default()
            .u16(4)
            .to(8)
            .octets(&0x4757_0004_u32.to_be_bytes())
            .to(28);
        let control = lay_out(&[Control {
            level: LEVEL,
            kind: RCVINFO,
            data: &info.0,
        }]);
        assert_eq!(received(&control), Some((4, 0x4757_0004)));
        assert_eq!(received(&control[..24]), None);
        assert_eq!(received(&octets), None);
    }
}
