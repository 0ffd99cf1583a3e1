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

pub use output::Transmit;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use crate::auth::{Auth, Vector};
use crate::cause;
use crate::chunk::kind;
use crate::config::Config;
use crate::cookie::Cookie;
use crate::entropy::{self, Entropy};
use crate::event::{CloseReason, Event, MessageId};
use crate::handshake::Capabilities;
use crate::mac;
use crate::packet::write_chunk;
use crate::path::{Path, PathState, PathStatus};
use crate::receive::{Message, Receiver};
use crate::reconfiguration::{REQUESTS_MAX, Reconfiguration, Wanted};
use crate::scheduler::{Pending, Refused, Reliability, SendQueue, StreamOptions};
use crate::time::{Duration, Instant, micros};
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
    /// Copies of urgent chunks, ready to go.
    probes: VecDeque<Transmit>,
    /// The peer's addresses are others now.
    pub(crate) moved: bool,
}

impl Association {
    fn bare(
        config: Arc<Config>,
        locals: Arc<[IpAddr]>,
        local_port: u16,
        peer_port: u16,
        entropy: &mut dyn Entropy,
    ) -> Self {
        let scheduler = config.scheduler;
        Self {
            rx: Receiver::new(1, false, config.receive_buffer_max, config.message_len_max),
            config,
            locals,
            state: State::Closed,
            local_port,
            peer_port,
            local_tag: 0,
            peer_tag: 0,
            paths: Vec::new(),
            primary: 0,
            current: 0,
            capabilities: Capabilities::default(),
            outbound_streams: 0,
            inbound_streams: 0,
            tx: Outstanding::new(0, 0),
            queue: SendQueue::new(scheduler),
            control: VecDeque::new(),
            ack: Acknowledgement::default(),
            auth: None,
            reconfiguration: None,
            errors: 0,
            next_message: 0,
            handshake_due: None,
            guard_due: None,
            probe_due: None,
            forward_due: None,
            full: Vec::new(),
            readable_told: false,
            heard_since_timeout: false,
            secret: entropy::octets(entropy),
            drawn: 0,
            events: VecDeque::new(),
            counters: Counters::default(),
            probes: VecDeque::new(),
            moved: false,
        }
    }

    /// Starts to set up an association with the peer at `remotes`.
    pub(crate) fn connect(
        config: Arc<Config>,
        locals: Arc<[IpAddr]>,
        local_port: u16,
        advertise: bool,
        peer: &Peer,
        tag: u32,
        entropy: &mut dyn Entropy,
        now: Instant,
    ) -> Self {
        let mut association =
            Self::bare(Arc::clone(&config), locals, local_port, peer.port, entropy);
        association.local_tag = tag;
        association.outbound_streams = config.outbound_streams;
        for remote in peer.addresses.iter().take(config.peer_addresses_max) {
            association.add_path(*remote, peer.udp_port, None, now);
        }
        let initial_tsn = u32::from_be_bytes(entropy::octets(entropy));
        association.tx = Outstanding::new(initial_tsn, 0);
        let auth = config
            .auth
            .as_ref()
            .map(|auth| Vector::ours(&entropy::octets(entropy), &auth.chunks));
        let addresses = if advertise && association.locals.len() > 1 {
            association.locals.to_vec()
        } else {
            Vec::new()
        };
        let mut set_up = SetUp {
            chunk: Vec::new(),
            attempts: 0,
            auth,
            keys: peer.keys.clone(),
            initial_tsn,
            stale: false,
            addresses,
        };
        set_up.chunk = association.init(&set_up, 0);
        association.state = State::CookieWait(Box::new(set_up));
        association.send_set_up(now);
        association
    }

    /// Makes the association that a verified cookie tells of.
    pub(crate) fn accept(
        config: Arc<Config>,
        locals: Arc<[IpAddr]>,
        local_port: u16,
        cookie: Cookie,
        ours: Option<Vector>,
        keys: &[(u16, zeroize::Zeroizing<Vec<u8>>)],
        arrival: Arrival,
        entropy: &mut dyn Entropy,
        now: Instant,
    ) -> Self {
        let mut association = Self::bare(config, locals, local_port, cookie.peer_port, entropy);
        association.local_tag = cookie.local_tag;
        association.tx = Outstanding::new(cookie.local_tsn, cookie.a_rwnd);
        association.add_path(arrival.remote, arrival.udp_port, Some(arrival.local), now);
        for remote in &cookie.addresses {
            association.add_path(*remote, arrival.udp_port, None, now);
        }
        association.outbound_streams = cookie.outbound_streams;
        association.inbound_streams = cookie.inbound_streams;
        if let (Some(ours), Some(theirs)) = (ours, cookie.auth.clone()) {
            association.set_auth(ours, theirs, keys);
        }
        association.agreed(
            cookie.peer_tag,
            cookie.peer_tsn,
            cookie.local_tsn,
            cookie.capabilities,
        );
        association.established(0, now);
        association
    }

    fn set_auth(
        &mut self,
        ours: Vector,
        theirs: Vector,
        keys: &[(u16, zeroize::Zeroizing<Vec<u8>>)],
    ) {
        let mut auth = Auth::new(ours, theirs);
        for (id, key) in keys {
            auth.set_key(*id, key);
        }
        if let Some((id, _)) = keys.first() {
            auth.activate(*id);
        }
        self.auth = Some(Box::new(auth));
    }

    /// Takes what both sides agreed on.
    fn agreed(&mut self, peer_tag: u32, peer_tsn: u32, local_tsn: u32, both: Capabilities) {
        self.peer_tag = peer_tag;
        self.capabilities = both;
        self.queue.interleaving = both.interleaving;
        self.rx = Receiver::new(
            peer_tsn,
            both.interleaving,
            self.config.receive_buffer_max,
            self.config.message_len_max,
        );
        if both.reconfiguration {
            self.reconfiguration = Some(Box::new(Reconfiguration::new(local_tsn, peer_tsn)));
        }
    }

    /// The handshake is over; `path` carried it.
    fn established(&mut self, path: usize, now: Instant) {
        self.state = State::Established;
        self.handshake_due = None;
        self.errors = 0;
        self.moved = true;
        if let Some(path) = self.paths.get_mut(path) {
            path.answered();
        }
        self.current = path;
        self.events.push_back(Event::Established {
            outbound_streams: self.outbound_streams,
            inbound_streams: self.inbound_streams,
            capabilities: self.capabilities,
        });
        for at in 0..self.paths.len() {
            let wait = self.heartbeat_period(at);
            if let Some(path) = self.paths.get_mut(at) {
                path.heartbeat_due = Some(if path.confirmed { now + wait } else { now });
                if path.confirmed {
                    path.pmtu.plan(&self.config.pmtu, now, Duration::ZERO);
                }
            }
        }
    }

    /// Adds a path, unless it is there or there are enough.
    fn add_path(
        &mut self,
        remote: IpAddr,
        udp_port: Option<u16>,
        local: Option<IpAddr>,
        now: Instant,
    ) {
        if self.paths.len() >= self.config.peer_addresses_max.clamp(1, 16)
            || self.paths.iter().any(|path| path.remote == remote)
        {
            return;
        }
        let Some(local) = local.or_else(|| self.best_local(remote)) else {
            return;
        };
        self.paths
            .push(Path::new(local, remote, udp_port, &self.config, now));
        self.moved = true;
    }

    /// Our address with the longest prefix in common (RFC 6724, section 5,
    /// rule 8): the one in the peer's network, where there is one. Among
    /// equals, the one that the fewest paths have.
    fn best_local(&self, remote: IpAddr) -> Option<IpAddr> {
        let common = |local: IpAddr| match (local, remote) {
            (IpAddr::V4(a), IpAddr::V4(b)) => Some((a.to_bits() ^ b.to_bits()).leading_zeros()),
            (IpAddr::V6(a), IpAddr::V6(b)) => Some((a.to_bits() ^ b.to_bits()).leading_zeros()),
            _ => None,
        };
        let used = |local: IpAddr| self.paths.iter().filter(|path| path.local == local).count();
        let mut best: Option<(u32, usize, IpAddr)> = None;
        for local in self.locals.iter().copied() {
            let Some(prefix) = common(local) else {
                continue;
            };
            let count = used(local);
            if best.is_none_or(|(known, least, _)| {
                prefix > known || (prefix == known && count < least)
            }) {
                best = Some((prefix, count, local));
            }
        }
        best.map(|(.., local)| local)
    }

    /// Tries another of our addresses towards a path that does not answer.
    fn rotate_local(&mut self, at: usize) {
        let Some(path) = self.paths.get_mut(at) else {
            return;
        };
        let family: Vec<IpAddr> = self
            .locals
            .iter()
            .copied()
            .filter(|local| local.is_ipv4() == path.remote.is_ipv4())
            .collect();
        let next = family
            .iter()
            .position(|local| *local == path.local)
            .map_or(0, |here| here + 1);
        if let Some(local) = family.get(next % family.len().max(1)) {
            path.local = *local;
        }
    }

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

    // ---- what the application asks for ----

    pub(crate) fn send(
        &mut self,
        stream: u16,
        payload: Bytes,
        options: &SendOptions,
    ) -> Result<MessageId, SendError> {
        match self.state {
            State::CookieWait(_) | State::CookieEchoed(_) | State::Established => {}
            _ => return Err(SendError::ShuttingDown),
        }
        if payload.is_empty() {
            return Err(SendError::Empty);
        }
        if payload.len() > self.config.message_len_max {
            return Err(SendError::TooLong);
        }
        if stream >= self.outbound_streams {
            return Err(SendError::NoStream);
        }
        let id = self.next_message;
        let message = Pending::new(
            id,
            payload,
            options.ppid,
            options.unordered,
            options.reliability,
        );
        match self.queue.push(stream, message, &self.config) {
            Ok(()) => {
                self.next_message += 1;
                Ok(MessageId(id))
            }
            Err(Refused::Full) => {
                if !self.full.contains(&stream) {
                    self.full.push(stream);
                }
                Err(SendError::Full)
            }
        }
    }

    pub(crate) fn receive(&mut self, now: Instant) -> Option<Message> {
        let message = self.rx.deliver();
        if message.is_none() {
            self.readable_told = false;
        } else if self.rx.window_opened() && matches!(self.state, State::Established) {
            self.ack.immediate = true;
            self.ack.due = Some(now);
        }
        message
    }

    /// Takes what arrived whole and was not received, at the end.
    pub(crate) fn take_unread(&mut self) -> VecDeque<Message> {
        std::iter::from_fn(|| self.rx.deliver()).collect()
    }

    /// Takes over what arrived before the peer began anew.
    pub(crate) fn keep_unread(&mut self, unread: VecDeque<Message>) {
        self.rx.keep(unread);
    }

    pub(crate) fn set_stream(&mut self, stream: u16, options: StreamOptions) {
        self.queue.set_options(stream, options);
    }

    pub(crate) fn stream_options(&self) -> Vec<(u16, StreamOptions)> {
        self.queue
            .used()
            .into_iter()
            .map(|stream| (stream, self.queue.options(stream)))
            .collect()
    }

    pub(crate) fn buffered_on(&self, stream: u16) -> usize {
        self.queue.buffered_on(stream)
    }

    pub(crate) fn shutdown(&mut self, now: Instant) {
        match self.state {
            State::Established => {
                self.state = State::ShutdownPending;
                self.guard_due = Some(now + self.config.rto.max.saturating_mul(5));
                self.progress_shutdown(now);
            }
            State::CookieEchoed(_) => {
                self.fail(cause::code::USER_INITIATED_ABORT, b"", now);
            }
            State::CookieWait(_) => self.close(CloseReason::Shutdown),
            _ => {}
        }
    }

    pub(crate) fn abort(&mut self, reason: &[u8], now: Instant) {
        let reason = reason.get(..reason.len().min(512)).unwrap_or_default();
        self.fail(cause::code::USER_INITIATED_ABORT, reason, now);
    }

    /// Tells the peer that it is over, and why.
    fn fail(&mut self, code: u16, information: &[u8], _: Instant) {
        if self.is_closed() {
            return;
        }
        self.control.clear();
        if self.has_peer() {
            let causes = cause::cause(code, information);
            self.push_parameters(kind::ABORT, None, &causes);
        }
        self.close(CloseReason::Aborted { cause: code });
    }

    /// Ends the association here.
    fn close(&mut self, reason: CloseReason) {
        if self.is_closed() {
            return;
        }
        self.state = State::Closed;
        self.events.push_back(Event::Closed {
            reason,
            unacknowledged: self.unacknowledged(),
        });
    }

    pub(crate) fn unacknowledged(&self) -> usize {
        // A message may be under way in part, and wait in part.
        let mut ids = self.tx.messages();
        let (whole, begun) = self.queue.waiting();
        ids.extend(begun);
        ids.sort_unstable();
        ids.dedup();
        ids.len() + whole
    }

    /// Asks for reconfiguration.
    pub(crate) fn request(&mut self, wanted: Wanted, now: Instant) -> Result<(), RequestError> {
        if !matches!(self.state, State::Established) {
            return Err(RequestError::NotEstablished);
        }
        let (outbound, inbound) = (self.outbound_streams, self.inbound_streams);
        let Some(reconfiguration) = &mut self.reconfiguration else {
            return Err(RequestError::Unsupported);
        };
        let known = match &wanted {
            Wanted::ResetOutgoing(streams, _) => streams.iter().all(|stream| *stream < outbound),
            Wanted::ResetIncoming(streams) => streams.iter().all(|stream| *stream < inbound),
            Wanted::AddOutgoing(count) => outbound.checked_add(*count).is_some(),
            Wanted::AddIncoming(count) => inbound
                .checked_add(*count)
                .is_some_and(|sum| sum <= self.config.inbound_streams_max),
        };
        if !known {
            return Err(RequestError::Unknown);
        }
        if reconfiguration.wanted.len() >= REQUESTS_MAX {
            return Err(RequestError::Busy);
        }
        self.hold_streams(&wanted);
        if let Some(reconfiguration) = &mut self.reconfiguration {
            reconfiguration.wanted.push_back(wanted);
        }
        self.progress_reconfiguration(now);
        Ok(())
    }

    /// Holds back new messages of streams that are to begin anew.
    fn hold_streams(&mut self, wanted: &Wanted) {
        if let Wanted::ResetOutgoing(streams, _) = wanted {
            for stream in self.all_if_empty(streams) {
                self.queue.hold(stream);
            }
        }
    }

    fn all_if_empty(&self, streams: &[u16]) -> Vec<u16> {
        if streams.is_empty() {
            self.queue.used()
        } else {
            streams.to_vec()
        }
    }

    /// Sends the next request, when nothing stands in its way.
    fn progress_reconfiguration(&mut self, now: Instant) {
        let path = self.data_path();
        let Some(reconfiguration) = &self.reconfiguration else {
            return;
        };
        if reconfiguration.request.is_some() {
            return;
        }
        let Some(wanted) = reconfiguration.wanted.front().cloned() else {
            return;
        };
        if let Wanted::ResetOutgoing(streams, _) = &wanted {
            let waiting = self
                .all_if_empty(streams)
                .into_iter()
                .any(|stream| !self.queue.is_drained(stream) || self.tx.has_stream(stream));
            if waiting {
                return;
            }
        }
        let due = now + self.rto(path);
        let last_tsn = crate::receive::wire(self.tx.next_tsn() - 1);
        if let Some(reconfiguration) = &mut self.reconfiguration {
            reconfiguration.wanted.pop_front();
            let octets = reconfiguration.begin(wanted, last_tsn, path, due);
            self.push_parameters(kind::RE_CONFIG, Some(path), &octets);
        }
    }

    pub(crate) fn set_primary(&mut self, remote: IpAddr) -> Result<(), RequestError> {
        let at = self.path_to(remote).ok_or(RequestError::Unknown)?;
        self.primary = at;
        self.update_current();
        Ok(())
    }

    pub(crate) fn heartbeat_now(
        &mut self,
        remote: IpAddr,
        now: Instant,
    ) -> Result<(), RequestError> {
        let at = self.path_to(remote).ok_or(RequestError::Unknown)?;
        if !matches!(self.state, State::Established) {
            return Err(RequestError::NotEstablished);
        }
        self.send_heartbeat(at, now);
        Ok(())
    }

    pub(crate) fn auth_mut(&mut self) -> Option<&mut Auth> {
        self.auth.as_deref_mut()
    }

    pub(crate) fn path_status(&self) -> Vec<PathStatus> {
        self.paths
            .iter()
            .enumerate()
            .map(|(at, path)| path.status(at == self.primary))
            .collect()
    }

    pub(crate) fn status(&self) -> Status {
        Status {
            established: matches!(self.state, State::Established),
            peer_port: self.peer_port,
            capabilities: self.capabilities,
            outbound_streams: self.outbound_streams,
            inbound_streams: self.inbound_streams,
            buffered: self.queue.buffered(),
            in_flight: self.tx.flight(),
            peer_window: self.tx.peer_window(),
            counters: self.counters,
        }
    }

    // ---- paths ----

    fn rto(&self, at: usize) -> Duration {
        self.paths
            .get(at)
            .map_or(self.config.rto.initial, |path| path.rto)
    }

    /// Where data goes: the primary path as long as it is active, else the
    /// healthiest.
    fn data_path(&self) -> usize {
        let is = |at: usize, state| {
            self.paths
                .get(at)
                .is_some_and(|path| path.state == state && path.confirmed)
        };
        if is(self.primary, PathState::Active) {
            return self.primary;
        }
        for state in [PathState::Active, PathState::PotentiallyFailed] {
            let best = self
                .paths
                .iter()
                .enumerate()
                .filter(|(_, path)| path.confirmed && path.state == state)
                .min_by_key(|(at, path)| (path.errors, *at != self.current, *at));
            if let Some((at, _)) = best {
                return at;
            }
        }
        // Nothing answers: stay, and let timeouts go around.
        if self
            .paths
            .get(self.current)
            .is_some_and(|path| path.confirmed)
        {
            self.current
        } else {
            self.paths
                .iter()
                .position(|path| path.confirmed)
                .unwrap_or(self.current)
        }
    }

    /// Another active path than `not`.
    fn other_path(&self, not: usize) -> Option<usize> {
        self.paths
            .iter()
            .enumerate()
            .filter(|(at, path)| *at != not && path.confirmed && path.state == PathState::Active)
            .min_by_key(|(at, path)| (path.errors, *at != self.primary, *at))
            .map(|(at, _)| at)
    }

    fn update_current(&mut self) {
        let now = self.data_path();
        if now == self.current {
            return;
        }
        let address = |at: usize| self.paths.get(at).map(|path| path.remote);
        if let (Some(from), Some(to)) = (address(self.current), address(now)) {
            self.counters.failovers += 1;
            self.tell(Event::Failover { from, to });
        }
        self.current = now;
    }

    /// Tells an event that may come often.
    fn tell(&mut self, event: Event) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(event);
        }
    }

    fn tell_path(&mut self, at: usize) {
        if let Some(path) = self.paths.get(at) {
            let event = Event::Path {
                remote: path.remote,
                state: path.state,
            };
            self.tell(event);
        }
        self.update_current();
    }

    /// Counts a timeout on a path, and gives the association up when there
    /// were too many.
    fn count_error(&mut self, at: usize) {
        let Some(path) = self.paths.get_mut(at) else {
            return;
        };
        let was_confirmed = path.confirmed;
        let changed = path.count_error(&self.config);
        if was_confirmed {
            self.errors = self.errors.saturating_add(1);
        } else {
            self.rotate_local(at);
        }
        if changed {
            self.tell_path(at);
        }
        let some_active = self
            .paths
            .iter()
            .any(|path| path.confirmed && path.state == PathState::Active);
        if self.errors > self.config.association_retransmits_max && !some_active {
            self.close(CloseReason::Unreachable);
        }
    }

    /// The peer answered on a path.
    fn path_answered(&mut self, at: usize, now: Instant) {
        self.errors = 0;
        let Some(path) = self.paths.get_mut(at) else {
            return;
        };
        let changed = path.answered();
        path.answered_at = Some(now);
        if changed {
            path.pmtu.plan(&self.config.pmtu, now, Duration::ZERO);
        }
        if changed {
            self.tell_path(at);
        }
    }

    // ---- heartbeats ----

    /// HB.interval plus RTO, give or take half an RTO (RFC 9260, section
    /// 8.3).
    fn heartbeat_period(&mut self, at: usize) -> Duration {
        let rto = self.rto(at);
        let jitter = self.draw() % micros(rto).max(1);
        (self.config.heartbeat_interval + rto / 2).saturating_add(Duration::from_micros(jitter))
    }

    /// A number that nobody outside can predict.
    fn draw(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        let mac = mac::sha256(&self.secret, &[&self.drawn.to_be_bytes()]);
        mac.first_chunk().copied().map_or(0, u64::from_be_bytes)
    }

    fn on_heartbeat_due(&mut self, at: usize, now: Instant) {
        let period = self.heartbeat_period(at);
        let Some(path) = self.paths.get_mut(at) else {
            return;
        };
        // A path on which the peer answered lately needs none.
        let busy = path.state == PathState::Active
            && path.errors == 0
            && path
                .answered_at
                .is_some_and(|at| now.since(at) < self.config.heartbeat_interval);
        if busy {
            path.heartbeat_due = Some(now + period);
        } else {
            self.send_heartbeat(at, now);
        }
    }

    fn send_heartbeat(&mut self, at: usize, now: Instant) {
        let nonce = self.draw();
        let period = self.heartbeat_period(at);
        let Some(path) = self.paths.get_mut(at) else {
            return;
        };
        path.heartbeat = Some(crate::path::Heartbeat {
            nonce,
            sent_at: now,
            expires: now + path.rto,
            probe: None,
        });
        path.heartbeat_due = Some(now + period);
        self.push_heartbeat(at, nonce, None);
    }

    fn send_mtu_probe(&mut self, at: usize, now: Instant) {
        let nonce = self.draw();
        let Some(path) = self.paths.get_mut(at) else {
            return;
        };
        path.pmtu.due = None;
        let Some(size) = path.pmtu.candidate() else {
            path.pmtu.plan(&self.config.pmtu, now, Duration::ZERO);
            return;
        };
        if path.state != PathState::Active {
            path.pmtu.due = Some(now + self.config.pmtu.raise_interval);
            return;
        }
        path.mtu_probe = Some(crate::path::Heartbeat {
            nonce,
            sent_at: now,
            expires: now + path.rto,
            probe: Some(size),
        });
        self.push_heartbeat(at, nonce, Some(size));
    }

    fn push_heartbeat(&mut self, at: usize, nonce: u64, pad_to: Option<usize>) {
        let mut octets = Vec::with_capacity(16);
        write_chunk(&mut octets, kind::HEARTBEAT, 0, |out| {
            crate::parameter::write_parameter(out, crate::parameter::kind::HEARTBEAT_INFO, |out| {
                out.extend(nonce.to_be_bytes())
            });
        });
        self.queue_control(Control {
            kind: kind::HEARTBEAT,
            octets,
            path: Some(at),
            pad_to,
        });
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

    // ---- timers ----

    /// When [`Association::handle_timeout`] is to be called.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        if self.is_closed() {
            return None;
        }
        let own = [
            self.handshake_due,
            self.guard_due,
            self.probe_due,
            self.forward_due,
            self.ack.due,
            self.reconfiguration
                .as_ref()
                .and_then(|reconfiguration| reconfiguration.request.as_ref())
                .map(|request| request.due),
        ];
        let paths = self.paths.iter().flat_map(|path| {
            [
                path.t3,
                path.heartbeat_due,
                path.heartbeat.map(|heartbeat| heartbeat.expires),
                path.mtu_probe.map(|probe| probe.expires),
                path.pmtu.due,
            ]
        });
        let steady = !matches!(self.state, State::CookieWait(_) | State::CookieEchoed(_));
        own.into_iter()
            .chain(paths.filter(|_| steady))
            .flatten()
            .min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.is_closed() {
            return;
        }
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.guard_due) {
            self.fail(
                cause::code::USER_INITIATED_ABORT,
                b"shutdown took too long",
                now,
            );
            return;
        }
        if is_due(self.handshake_due) {
            self.on_handshake_timeout(now);
        }
        if matches!(self.state, State::CookieWait(_) | State::CookieEchoed(_)) {
            return;
        }
        if is_due(self.ack.due) {
            self.ack.immediate = true;
            self.ack.due = None;
        }
        for at in 0..self.paths.len() {
            let due = |which: fn(&Path) -> Option<Instant>| {
                self.paths.get(at).is_some_and(|path| is_due(which(path)))
            };
            let t3 = due(|path| path.t3);
            let missed = due(|path| path.heartbeat.map(|heartbeat| heartbeat.expires));
            let probe_missed = due(|path| path.mtu_probe.map(|probe| probe.expires));
            if t3 {
                self.on_t3(at, now);
            }
            if missed {
                self.on_heartbeat_missed(at, now);
            }
            if probe_missed
                && let Some(path) = self.paths.get_mut(at)
                && let Some(Some(size)) = path.mtu_probe.take().map(|probe| probe.probe)
            {
                let rto = path.rto;
                path.pmtu.missed(size, &self.config.pmtu, now, rto);
            }
            if self.is_closed() {
                return;
            }
            let quiet = matches!(self.state, State::ShutdownSent | State::ShutdownAckSent);
            let path = self.paths.get(at);
            let heartbeat = path.is_some_and(|path| is_due(path.heartbeat_due));
            let probe = path.is_some_and(|path| is_due(path.pmtu.due));
            if heartbeat {
                self.on_heartbeat_due(at, now);
            }
            if probe && !quiet {
                self.send_mtu_probe(at, now);
            } else if probe && let Some(path) = self.paths.get_mut(at) {
                path.pmtu.due = None;
            }
        }
        if is_due(self.probe_due) {
            self.on_probe_due(now);
        }
        if is_due(self.forward_due) {
            self.forward_due = None;
            self.send_forward(now);
        }
        self.on_request_due(now);
        self.progress(now);
    }

    fn on_heartbeat_missed(&mut self, at: usize, now: Instant) {
        let Some(path) = self.paths.get_mut(at) else {
            return;
        };
        // The answer may still come, and is taken then.
        if let Some(heartbeat) = &mut path.heartbeat {
            heartbeat.expires = Instant::from_micros(u64::MAX);
        }
        path.back_off(&self.config.rto);
        self.count_error(at);
        let period = self.heartbeat_period(at);
        let Some(path) = self.paths.get_mut(at) else {
            return;
        };
        // What may have failed is asked again at once (RFC 7829, section
        // 3.2); what has failed, as often as what is idle.
        path.heartbeat_due = Some(if path.state == PathState::Inactive {
            now + period
        } else {
            now
        });
    }

    /// The retransmission timer of a path ran out (RFC 9260, section 6.3.3).
    fn on_t3(&mut self, at: usize, now: Instant) {
        if let Some(path) = self.paths.get_mut(at)
            && path.flight == 0
        {
            path.t3 = None;
            return;
        }
        self.counters.timeouts += 1;
        let mut flights = self.flights();
        let abandoned = self.tx.timed_out(at, &mut flights, now);
        self.set_flights(&flights);
        self.tell_abandoned(&abandoned, now);
        let Some(path) = self.paths.get_mut(at) else {
            return;
        };
        path.t3 = None;
        path.timed_out(&self.config);
        if path.pmtu.due.is_none() && path.pmtu.candidate().is_some() {
            path.pmtu.due = Some(now + self.config.pmtu.raise_interval);
        }
        // A peer whose buffer is full and that says so is there.
        let closed_window = self.tx.peer_window() == 0 && self.heard_since_timeout;
        self.heard_since_timeout = false;
        if !closed_window {
            self.count_error(at);
            let still_in_use = self.data_path() == at;
            if still_in_use && self.paths.len() > 1 && !self.is_closed() {
                self.go_around(at);
            }
        }
        self.send_forward(now);
    }

    /// Nothing answers: the next path is tried (RFC 9260, section 6.4.1).
    fn go_around(&mut self, at: usize) {
        if self
            .paths
            .get(at)
            .is_some_and(|path| path.state == PathState::Active)
        {
            return;
        }
        let count = self.paths.len();
        let next = (1..count)
            .map(|step| (at + step) % count)
            .find(|next| self.paths.get(*next).is_some_and(|path| path.confirmed));
        if let Some(next) = next {
            self.current = next;
        }
    }

    fn on_request_due(&mut self, now: Instant) {
        let Some(request) = self
            .reconfiguration
            .as_ref()
            .and_then(|reconfiguration| reconfiguration.request.as_ref())
            .filter(|request| request.due <= now)
        else {
            return;
        };
        let (old, octets) = (request.path, request.octets.clone());
        if let Some(path) = self.paths.get_mut(old) {
            path.back_off(&self.config.rto);
        }
        self.count_error(old);
        let path = self.data_path();
        let due = now + self.rto(path);
        if let Some(request) = self
            .reconfiguration
            .as_mut()
            .and_then(|reconfiguration| reconfiguration.request.as_mut())
        {
            request.due = due;
            request.path = path;
        }
        self.push_parameters(kind::RE_CONFIG, Some(path), &octets);
    }

    fn flights(&self) -> Vec<usize> {
        self.paths.iter().map(|path| path.flight).collect()
    }

    fn set_flights(&mut self, flights: &[usize]) {
        for (path, flight) in self.paths.iter_mut().zip(flights) {
            path.flight = *flight;
        }
    }

    fn tell_abandoned(&mut self, abandoned: &[(u16, u64)], now: Instant) {
        for (stream, id) in abandoned {
            if let Some(rest) = self.queue.abandon(*stream, *id) {
                self.tx.push_abandoned(rest, self.current, now);
            }
            self.tell(Event::Abandoned {
                stream: *stream,
                message: MessageId(*id),
            });
        }
    }

    /// Takes the steps that follow from what is acknowledged and empty.
    pub(crate) fn progress(&mut self, now: Instant) {
        self.progress_shutdown(now);
        self.progress_reconfiguration(now);
    }

    /// Sends SHUTDOWN or SHUTDOWN ACK once all is acknowledged (RFC 9260,
    /// section 9.2).
    fn progress_shutdown(&mut self, now: Instant) {
        if !self.tx.is_empty() || !self.queue.is_empty() {
            return;
        }
        match self.state {
            State::ShutdownPending => {
                self.state = State::ShutdownSent;
                self.send_shutdown(now);
            }
            State::ShutdownReceived => {
                self.state = State::ShutdownAckSent;
                self.push_control(kind::SHUTDOWN_ACK, None, |_| {});
                self.handshake_due = Some(now + self.rto(self.data_path()));
            }
            _ => {}
        }
    }

    fn send_shutdown(&mut self, now: Instant) {
        let ack = crate::receive::wire(self.rx.cumulative());
        self.push_control(kind::SHUTDOWN, None, |out| out.extend(ack.to_be_bytes()));
        self.handshake_due = Some(now + self.rto(self.data_path()));
    }

    /// T1-init, T1-cookie or T2-shutdown ran out.
    fn on_handshake_timeout(&mut self, now: Instant) {
        self.handshake_due = None;
        let path = self.data_path();
        match &mut self.state {
            State::CookieWait(set_up) | State::CookieEchoed(set_up) => {
                set_up.attempts += 1;
                if set_up.attempts > self.config.init_retransmits_max {
                    self.close(CloseReason::SetUpTimeout);
                    return;
                }
                // The peer may be reached at another of its addresses.
                let count = self.paths.len().max(1);
                self.current = (self.current + 1) % count;
                if let Some(path) = self.paths.get_mut(self.current) {
                    path.back_off(&self.config.rto);
                }
                self.send_set_up(now);
            }
            State::ShutdownSent => {
                self.shutdown_error(path);
                if !self.is_closed() {
                    self.send_shutdown(now);
                }
            }
            State::ShutdownAckSent => {
                self.shutdown_error(path);
                if !self.is_closed() {
                    self.push_control(kind::SHUTDOWN_ACK, None, |_| {});
                    self.handshake_due = Some(now + self.rto(self.data_path()));
                }
            }
            _ => {}
        }
    }

    fn shutdown_error(&mut self, at: usize) {
        if let Some(path) = self.paths.get_mut(at) {
            path.back_off(&self.config.rto);
        }
        self.count_error(at);
        if !self.is_closed() && self.errors > self.config.association_retransmits_max {
            self.close(CloseReason::Unreachable);
        }
    }

    /// Sends INIT or COOKIE ECHO, and waits for the answer.
    fn send_set_up(&mut self, now: Instant) {
        let (chunk_kind, octets) = match &self.state {
            State::CookieWait(set_up) => (kind::INIT, set_up.chunk.clone()),
            State::CookieEchoed(set_up) => (kind::COOKIE_ECHO, set_up.chunk.clone()),
            _ => return,
        };
        let path = self.current;
        self.queue_control(Control {
            kind: chunk_kind,
            octets,
            path: Some(path),
            pad_to: None,
        });
        self.handshake_due = Some(now + self.rto(path));
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
