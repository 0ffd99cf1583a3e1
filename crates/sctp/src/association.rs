//! One association: states, paths, timers (RFC 9260).
//!
//! The state machine of set-up and shutdown (RFC 9260, section 4):
//!
//! ```text
//!   connect ──> CookieWait ──INIT ACK──> CookieEchoed ──COOKIE ACK──┐
//!   COOKIE ECHO (nothing is kept before it) ────────────────────> Established
//!                                                                   │
//!          shutdown() ┌─────────────────────────────────────────────┤ SHUTDOWN
//!              ShutdownPending                              ShutdownReceived
//!         all acked   │                                             │ all acked
//!               ShutdownSent ──SHUTDOWN ACK──> Closed        ShutdownAckSent
//! ```

mod input;
mod output;
mod paths;
mod requests;
mod set_up;
mod streams;
mod timers;

pub use output::Transmit;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use thiserror::Error;

use crate::auth::{Auth, Vector};
use crate::config::Config;
use crate::event::Event;
use crate::handshake::Capabilities;
use crate::packet::write_chunk;
use crate::path::Path;
use crate::receive::Receiver;
use crate::reconfiguration::Reconfiguration;
use crate::scheduler::{Reliability, SendQueue};
use crate::time::Instant;
use crate::transmit::Outstanding;

/// Chunks that wait for a packet besides data; more are dropped.
const CONTROL_MAX: usize = 64;

/// Events that wait to be fetched; of paths no more are told then.
const EVENTS_MAX: usize = 256;

/// How a message is to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendOptions {
    /// Payload protocol identifier.
    pub ppid: u32,
    /// Delivered as soon as it arrives, whatever was sent before.
    pub unordered: bool,
    /// How long it is worth sending. Only where both sides have partial
    /// reliability; else it is sent until it arrived.
    pub reliability: Reliability,
}

/// Why a message is not taken. It was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no such association.
    #[error("no such association")]
    NoAssociation,
    /// It is on its way to its end.
    #[error("the association is shutting down")]
    ShuttingDown,
    /// The peer does not take so many streams.
    #[error("no such stream")]
    NoStream,
    /// The stream's buffer is full; [`Event::Writable`] follows.
    #[error("the stream's buffer is full")]
    Full,
    /// Longer than `message_len_max`.
    #[error("the message is too long")]
    TooLong,
    /// A message has at least one octet.
    #[error("the message is empty")]
    Empty,
}

/// Why a request is refused at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// There is no such association.
    #[error("no such association")]
    NoAssociation,
    /// It does not stand.
    #[error("the association is not established")]
    NotEstablished,
    /// The peer has not what it takes.
    #[error("the peer does not support it")]
    Unsupported,
    /// A stream, path or key that there is not.
    #[error("no such stream, path or key")]
    Unknown,
    /// Too many wait already.
    #[error("too many requests wait")]
    Busy,
}

/// Where set-up and shutdown stand.
#[derive(Clone, Debug)]
pub(crate) enum State {
    CookieWait(Box<SetUp>),
    CookieEchoed(Box<SetUp>),
    Established,
    ShutdownPending,
    ShutdownSent,
    ShutdownReceived,
    ShutdownAckSent,
    Closed,
}

/// What only set-up needs.
#[derive(Clone, Debug)]
pub(crate) struct SetUp {
    /// The chunk that is sent until it is answered.
    chunk: Vec<u8>,
    attempts: u32,
    auth: Option<Vector>,
    /// Endpoint pair shared keys, for when authentication is agreed.
    keys: Vec<(u16, zeroize::Zeroizing<Vec<u8>>)>,
    initial_tsn: u32,
    stale: bool,
    addresses: Vec<IpAddr>,
}

/// A chunk that waits for a packet.
#[derive(Clone, Debug)]
struct Control {
    kind: u8,
    octets: Vec<u8>,
    /// `None`: whichever way data goes.
    path: Option<usize>,
    /// Octets that the packet is padded to.
    pad_to: Option<usize>,
}

/// When and where an acknowledgement goes.
#[derive(Clone, Copy, Debug, Default)]
struct Acknowledgement {
    packets: u8,
    immediate: bool,
    /// One was sent.
    begun: bool,
    due: Option<Instant>,
    path: usize,
    last_path: usize,
}

/// What an association did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets received.
    pub packets_received: u64,
    /// Data chunks sent for the first time.
    pub chunks_sent: u64,
    /// Data chunks sent again.
    pub chunks_retransmitted: u64,
    /// Data chunks sent again since acknowledgements showed them missing.
    pub fast_retransmits: u64,
    /// Copies of urgent chunks sent on another path.
    pub tail_loss_probes: u64,
    /// Retransmission timeouts.
    pub timeouts: u64,
    /// Data chunks received twice or more.
    pub duplicates: u64,
    /// Data chunks for which there was no room.
    pub dropped: u64,
    /// How often data took another path.
    pub failovers: u64,
    /// Chunks that were to be authenticated and were not.
    pub unauthenticated: u64,
    /// Chunks that were malformed.
    pub malformed: u64,
}

/// What an association is like, for people and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether it stands, and messages are taken.
    pub established: bool,
    /// The peer's SCTP port.
    pub peer_port: u16,
    /// What both sides have.
    pub capabilities: Capabilities,
    /// Streams to send on.
    pub outbound_streams: u16,
    /// Streams to receive on.
    pub inbound_streams: u16,
    /// Octets that wait to be sent.
    pub buffered: usize,
    /// Octets sent and not acknowledged.
    pub in_flight: usize,
    /// Octets that the peer's buffer takes.
    pub peer_window: usize,
    /// What it did so far.
    pub counters: Counters,
}

#[derive(Debug)]
pub(crate) struct Association {
    config: Arc<Config>,
    locals: Arc<[IpAddr]>,
    pub(crate) state: State,
    local_port: u16,
    pub(crate) peer_port: u16,
    pub(crate) local_tag: u32,
    pub(crate) peer_tag: u32,
    pub(crate) paths: Vec<Path>,
    primary: usize,
    current: usize,
    capabilities: Capabilities,
    outbound_streams: u16,
    inbound_streams: u16,
    tx: Outstanding,
    queue: SendQueue,
    rx: Receiver,
    control: VecDeque<Control>,
    ack: Acknowledgement,
    auth: Option<Box<Auth>>,
    reconfiguration: Option<Box<Reconfiguration>>,
    errors: u32,
    next_message: u64,
    /// T1-init, T1-cookie, T2-shutdown.
    handshake_due: Option<Instant>,
    /// T5-shutdown-guard.
    guard_due: Option<Instant>,
    probe_due: Option<Instant>,
    forward_due: Option<Instant>,
    /// Streams of which a message was refused.
    full: Vec<u16>,
    readable_told: bool,
    heard_since_timeout: bool,
    secret: [u8; 32],
    drawn: u64,
    pub(crate) events: VecDeque<Event>,
    counters: Counters,
    /// Copies of urgent chunks, and questions at ports that the peer may have,
    /// ready to go.
    probes: VecDeque<Transmit>,
    /// The peer's addresses are others now.
    pub(crate) moved: bool,
    /// The shortest heartbeat interval that so many associations leave, in
    /// microseconds.
    pub(crate) heartbeat_floor: Arc<AtomicU64>,
}

impl Association {
    pub(crate) const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether the peer can be told that all is over.
    const fn has_peer(&self) -> bool {
        self.peer_tag != 0
    }

    pub(crate) fn path_to(&self, remote: IpAddr) -> Option<usize> {
        self.paths.iter().position(|path| path.remote == remote)
    }

    fn push_control(&mut self, kind: u8, path: Option<usize>, value: impl FnOnce(&mut Vec<u8>)) {
        let mut octets = Vec::with_capacity(16);
        write_chunk(&mut octets, kind, 0, value);
        self.queue_control(Control {
            kind,
            octets,
            path,
            pad_to: None,
        });
    }

    /// The same for chunks that are parameters or error causes.
    fn push_parameters(&mut self, kind: u8, path: Option<usize>, parameters: &[u8]) {
        self.push_control(kind, path, |out| {
            out.extend_from_slice(crate::parameter::without_last_padding(parameters));
        });
    }

    fn queue_control(&mut self, control: Control) {
        if self.control.len() < CONTROL_MAX {
            self.control.push_back(control);
        }
    }
}

/// Whom to connect to.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) port: u16,
    pub(crate) udp_port: Option<u16>,
    pub(crate) keys: Vec<(u16, zeroize::Zeroizing<Vec<u8>>)>,
}

/// Where a packet came from, and where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
    pub(crate) udp_port: Option<u16>,
}
