//! What comes in, chunk by chunk.

use zeroize::Zeroizing;

use super::{Arrival, Association, Control, SetUp, State};
use crate::auth::Verdict;
use crate::cause;
use crate::chunk::{Chunk, Data, FLAG_T, ForwardTsn, Init, Order, Sack, Unrecognized, kind};
use crate::cookie::Cookie;
use crate::event::{CloseReason, Event, MessageId};
use crate::handshake::{self, Capabilities};
use crate::packet::{Packet, RawChunk, write_chunk};
use crate::parameter::{self, Parameters, write_parameter};
use crate::path::PathState;
use crate::receive::{self, Violation};
use crate::time::Instant;
use crate::transmit::Acknowledged;

/// What the chunks of one packet came to.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    data: bool,
    /// It has to be acknowledged at once.
    immediate: bool,
    fresh: bool,
    duplicate: bool,
    authenticated: bool,
    /// Something in it that nobody can have seen before, so that it is no copy
    /// of an older packet.
    news: bool,
}

impl Association {
    /// Takes the chunks of a packet whose verification tag is right; those
    /// before `from` are done.
    pub(crate) fn handle_packet(
        &mut self,
        packet: &Packet<'_>,
        from: usize,
        arrival: Arrival,
        now: Instant,
    ) {
        self.counters.packets_received += 1;
        let guarded = self.auth.as_ref().is_some_and(|auth| auth.requires_any());
        if !guarded {
            self.arrived();
        }
        // What must stand alone is not taken with others (RFC 9260, section
        // 6.10).
        let alone = |kind| matches!(kind, kind::INIT_ACK | kind::SHUTDOWN_COMPLETE);
        if packet.chunks().nth(1).is_some()
            && packet
                .chunks()
                .map_while(Result::ok)
                .any(|raw| alone(raw.kind))
        {
            self.counters.malformed += 1;
            return;
        }
        let Some(at) = self.path_of(arrival, now) else {
            return;
        };
        if !guarded {
            self.take_port(at, arrival);
            self.take_local(at, arrival);
        }
        let mut taken = Taken::default();
        for (number, raw) in packet.chunks().enumerate() {
            let Ok(raw) = raw else {
                self.counters.malformed += 1;
                break;
            };
            if !self.take_chunk(&raw, number, number < from, at, &mut taken, now) {
                break;
            }
            if self.is_closed() {
                return;
            }
        }
        if guarded && taken.authenticated {
            self.arrived();
            self.take_local(at, arrival);
        }
        if guarded && taken.news {
            self.take_port(at, arrival);
        } else if guarded && taken.authenticated {
            self.ask_port(at, arrival, now);
        }
        if taken.data {
            self.acknowledge_later(taken, at, now);
        }
        self.tell_readable();
        self.progress(now);
    }

    fn arrived(&mut self) {
        for path in &mut self.paths {
            path.arrived();
        }
    }

    /// The path that a packet came by. Packets from addresses that the peer
    /// did not tell belong to nobody, but for the answer to our INIT.
    fn path_of(&mut self, arrival: Arrival, now: Instant) -> Option<usize> {
        if matches!(self.state, State::CookieWait(_)) {
            self.add_path(arrival.remote, arrival.udp_port, Some(arrival.local), now);
        }
        self.path_to(arrival.remote)
    }

    /// Takes one chunk, and tells whether to go on with the next.
    fn take_chunk(
        &mut self,
        raw: &RawChunk<'_>,
        number: usize,
        done: bool,
        at: usize,
        taken: &mut Taken,
        now: Instant,
    ) -> bool {
        if raw.kind == kind::AUTH {
            return self.on_auth(raw, at, taken);
        }
        if let Some(auth) = &self.auth
            && !taken.authenticated
            && auth.requires(raw.kind)
        {
            self.counters.unauthenticated += 1;
            return true;
        }
        if done {
            return true;
        }
        let Ok(chunk) = Chunk::decode(raw) else {
            self.counters.malformed += 1;
            if self.has_peer() {
                self.fail(cause::code::PROTOCOL_VIOLATION, b"malformed chunk", now);
            }
            return false;
        };
        let steady = !matches!(self.state, State::CookieWait(_) | State::CookieEchoed(_));
        match chunk {
            Chunk::InitAck(init) => {
                if number == 0 && matches!(self.state, State::CookieWait(_)) {
                    self.on_init_ack(&init, at, now);
                }
                return false;
            }
            Chunk::Abort { causes, .. } => {
                self.close(CloseReason::AbortedByPeer {
                    cause: cause::first(causes),
                });
                return false;
            }
            Chunk::CookieAck => {
                if matches!(self.state, State::CookieEchoed(_)) {
                    self.on_cookie_ack(at, now);
                }
            }
            Chunk::Error(causes) => self.on_error(causes, now),
            Chunk::Heartbeat(info) => {
                if steady {
                    let info = info.to_vec();
                    self.push_control(kind::HEARTBEAT_ACK, Some(at), |out| out.extend(info));
                }
            }
            _ if !steady => {}
            Chunk::Data(data) => return self.on_data(&data, raw, taken, now),
            Chunk::Sack(sack) => taken.news |= self.on_sack(&sack, now) && taken.authenticated,
            Chunk::HeartbeatAck(info) => taken.news |= self.on_heartbeat_ack(info, now),
            Chunk::Shutdown(ack) => self.on_shutdown(ack, now),
            Chunk::ShutdownAck => {
                if matches!(self.state, State::ShutdownSent | State::ShutdownAckSent) {
                    self.push_control(kind::SHUTDOWN_COMPLETE, Some(at), |_| {});
                    self.close(CloseReason::Shutdown);
                }
            }
            Chunk::ShutdownComplete { .. } => {
                if matches!(self.state, State::ShutdownAckSent) {
                    self.close(CloseReason::Shutdown);
                }
            }
            Chunk::ForwardTsn(forward) => return self.on_forward(&forward, raw, taken),
            Chunk::ReConfig(parameters) => {
                if self.reconfiguration.is_none() {
                    return self.on_unknown(raw);
                }
                self.on_re_config(parameters, at, now);
            }
            Chunk::Pad | Chunk::CookieEcho(_) | Chunk::Auth(_) => {}
            // An INIT is nothing of an association's; the endpoint has it.
            Chunk::Init(_) => return false,
            Chunk::Unknown(_) => return self.on_unknown(raw),
        }
        true
    }

    fn on_auth(&mut self, raw: &RawChunk<'_>, at: usize, taken: &mut Taken) -> bool {
        let Some(auth) = &self.auth else {
            // We offered none: the upper bits of its type say to stop.
            return false;
        };
        let Ok(Chunk::Auth(chunk)) = Chunk::decode(raw) else {
            self.counters.malformed += 1;
            return false;
        };
        match auth.verify(&chunk, raw.rest) {
            Verdict::Right => {
                taken.authenticated = true;
                true
            }
            Verdict::Wrong => {
                self.counters.unauthenticated += 1;
                false
            }
            Verdict::UnsupportedHmac => {
                let id = chunk.hmac_id.to_be_bytes();
                let cause = cause::cause(cause::code::UNSUPPORTED_HMAC_IDENTIFIER, &id);
                self.push_parameters(kind::ERROR, Some(at), &cause);
                false
            }
        }
    }

    /// Whether all behind an AUTH chunk that stands first is authenticated,
    /// or need not be: asked before a COOKIE ECHO is believed.
    pub(crate) fn admits_first(&self, packet: &Packet<'_>) -> bool {
        let Some(auth) = &self.auth else {
            return true;
        };
        if !auth.requires(kind::COOKIE_ECHO) {
            return true;
        }
        packet
            .chunks()
            .next()
            .and_then(Result::ok)
            .is_some_and(|raw| {
                matches!(Chunk::decode(&raw), Ok(Chunk::Auth(chunk))
                if auth.verify(&chunk, raw.rest) == Verdict::Right)
            })
    }

    fn on_unknown(&mut self, raw: &RawChunk<'_>) -> bool {
        let rule = Unrecognized::of(raw.kind);
        if rule.report && self.has_peer() {
            let told = raw
                .octets
                .get(..raw.octets.len().min(256))
                .unwrap_or_default();
            let cause = cause::cause(cause::code::UNRECOGNIZED_CHUNK_TYPE, told);
            self.push_parameters(kind::ERROR, None, &cause);
        }
        !rule.stop
    }

    // ---- set-up ----

    /// Our INIT; `preservative` asks for a cookie that is good for so many
    /// milliseconds more.
    pub(super) fn init(&self, set_up: &SetUp, preservative: u32) -> Vec<u8> {
        let mut parameters = handshake::parameters(
            Capabilities::offered(&self.config),
            set_up.auth.as_ref(),
            &set_up.addresses,
            None,
            &[],
            usize::MAX,
        );
        if preservative > 0 {
            write_parameter(
                &mut parameters,
                parameter::kind::COOKIE_PRESERVATIVE,
                |out| {
                    out.extend(preservative.to_be_bytes());
                },
            );
        }
        let mut octets = Vec::new();
        Init {
            initiate_tag: self.local_tag,
            a_rwnd: u32::try_from(self.config.receive_buffer_max).unwrap_or(u32::MAX),
            outbound_streams: self.config.outbound_streams.max(1),
            inbound_streams: self.config.inbound_streams_max.max(1),
            initial_tsn: set_up.initial_tsn,
            parameters: &parameters,
            parameters_offset: 0,
        }
        .encode(kind::INIT, &mut octets);
        octets
    }

    /// The tag and TSN of our INIT, as long as it is not answered: what an
    /// INIT that crosses it is answered with (RFC 9260, section 5.2.1).
    pub(crate) fn own_init(&self) -> Option<(u32, u32)> {
        match &self.state {
            State::CookieWait(set_up) | State::CookieEchoed(set_up) => {
                Some((self.local_tag, set_up.initial_tsn))
            }
            _ => None,
        }
    }

    pub(crate) fn own_vector(&self) -> Option<crate::auth::Vector> {
        match &self.state {
            State::CookieWait(set_up) | State::CookieEchoed(set_up) => set_up.auth.clone(),
            _ => None,
        }
    }

    fn on_init_ack(&mut self, init: &Init<'_>, at: usize, now: Instant) {
        let State::CookieWait(set_up) = &self.state else {
            return;
        };
        let mut set_up = set_up.clone();
        if init.initiate_tag == 0 {
            // The peer has no tag to be told by: ours is reflected (RFC 9260,
            // section 3.3.3).
            self.peer_tag = self.local_tag;
            let causes = cause::cause(cause::code::INVALID_MANDATORY_PARAMETER, &[]);
            let mut octets = Vec::new();
            write_chunk(&mut octets, kind::ABORT, FLAG_T, |out| out.extend(causes));
            self.control.clear();
            self.queue_control(Control {
                kind: kind::ABORT,
                octets,
                path: Some(at),
                pad_to: None,
            });
            self.close(CloseReason::Refused);
            return;
        }
        self.peer_tag = init.initiate_tag;
        let terms = match handshake::read(init, self.config.peer_addresses_max) {
            Ok(terms) => terms,
            Err(causes) => {
                if let Some(causes) = causes {
                    self.push_parameters(kind::ABORT, None, &causes);
                }
                self.close(CloseReason::Refused);
                return;
            }
        };
        let Some(cookie) = terms.cookie else {
            let missing = [
                [0, 0, 0, 1].as_slice(),
                &parameter::kind::STATE_COOKIE.to_be_bytes(),
            ];
            self.fail(
                cause::code::MISSING_MANDATORY_PARAMETER,
                &missing.concat(),
                now,
            );
            return;
        };
        let both = Capabilities::offered(&self.config).and(terms.capabilities);
        if self.config.auth.as_ref().is_some_and(|auth| auth.required) && !both.auth {
            self.fail(
                cause::code::USER_INITIATED_ABORT,
                b"authentication required",
                now,
            );
            self.refused();
            return;
        }
        self.take_addresses(&terms.addresses, at, now);
        self.outbound_streams = self.config.outbound_streams.min(terms.inbound_streams);
        self.inbound_streams = self.config.inbound_streams_max.min(terms.outbound_streams);
        self.drop_surplus();
        self.tx
            .set_peer_window(usize::try_from(terms.a_rwnd).unwrap_or(usize::MAX));
        self.agreed(terms.tag, terms.initial_tsn, set_up.initial_tsn, both);
        if both.auth
            && let (Some(ours), Some(theirs)) = (set_up.auth.clone(), terms.auth)
        {
            let keys: Vec<(u16, Zeroizing<Vec<u8>>)> = set_up.keys.clone();
            self.set_auth(ours, theirs, &keys);
        }
        let mut chunk = Vec::with_capacity(cookie.len() + 8);
        write_chunk(&mut chunk, kind::COOKIE_ECHO, 0, |out| out.extend(cookie));
        if !terms.unrecognized.is_empty() {
            let told = terms.unrecognized.concat();
            let told = told.get(..told.len().min(256)).unwrap_or_default();
            let cause = cause::cause(cause::code::UNRECOGNIZED_PARAMETERS, told);
            write_chunk(&mut chunk, kind::ERROR, 0, |out| {
                out.extend_from_slice(parameter::without_last_padding(&cause));
            });
        }
        set_up.chunk = chunk;
        set_up.attempts = 0;
        self.control.clear();
        self.state = State::CookieEchoed(set_up);
        self.send_set_up(now);
    }

    /// Gives up messages on streams that the peer does not take.
    fn drop_surplus(&mut self) {
        for (stream, id) in self.queue.drop_from(self.outbound_streams) {
            self.tell(Event::Abandoned {
                stream,
                message: MessageId(id),
            });
        }
    }

    /// Tells that the peer lacks something instead of that we aborted.
    fn refused(&mut self) {
        if let Some(Event::Closed { reason, .. }) = self.events.back_mut() {
            *reason = CloseReason::Refused;
        }
    }

    /// Makes paths of the addresses that the peer told; the answer came by
    /// the path `at`.
    fn take_addresses(&mut self, told: &[std::net::IpAddr], at: usize, now: Instant) {
        let source = self.paths.get(at).map(|path| path.remote);
        let udp_port = self
            .paths
            .get(at)
            .or_else(|| self.paths.first())
            .and_then(|path| path.udp_port);
        // In the order in which the application named them, so that the
        // first is the primary one.
        self.paths
            .retain(|path| Some(path.remote) == source || told.contains(&path.remote));
        for remote in told {
            self.add_path(*remote, udp_port, None, now);
        }
        self.primary = 0;
        self.current = source
            .and_then(|source| self.path_to(source))
            .unwrap_or_default();
    }

    fn on_cookie_ack(&mut self, at: usize, now: Instant) {
        self.established(at, now);
    }

    /// A COOKIE ECHO came that tells the tags of this association: the set-up
    /// crossed another, or our COOKIE ACK was lost (RFC 9260, section 5.2.4,
    /// cases B and D).
    pub(crate) fn cookie_again(&mut self, cookie: &Cookie, arrival: Arrival, now: Instant) {
        if let State::CookieWait(set_up) | State::CookieEchoed(set_up) = &self.state {
            let set_up = set_up.clone();
            let Some(at) = self.path_to(arrival.remote) else {
                return;
            };
            self.take_addresses(&cookie.addresses, at, now);
            self.outbound_streams = cookie.outbound_streams;
            self.inbound_streams = cookie.inbound_streams;
            self.drop_surplus();
            self.tx
                .set_peer_window(usize::try_from(cookie.a_rwnd).unwrap_or(usize::MAX));
            self.agreed(
                cookie.peer_tag,
                cookie.peer_tsn,
                set_up.initial_tsn,
                cookie.capabilities,
            );
            if let (Some(ours), Some(theirs)) = (set_up.auth.clone(), cookie.auth.clone()) {
                self.set_auth(ours, theirs, &set_up.keys);
            }
            self.control.clear();
            let at = self.path_to(arrival.remote).unwrap_or_default();
            self.established(at, now);
        } else if self.peer_tag != cookie.peer_tag {
            // Our answer to the INIT was used with another tag of the peer.
            self.peer_tag = cookie.peer_tag;
        }
        let at = self.path_to(arrival.remote);
        self.push_control(kind::COOKIE_ACK, at, |_| {});
    }

    /// The association stands since a COOKIE ECHO; the peer shall know.
    pub(crate) fn acknowledge_cookie(&mut self) {
        self.push_control(kind::COOKIE_ACK, Some(0), |_| {});
    }

    /// The peer asks for an association while we wait for its SHUTDOWN
    /// COMPLETE: it is told once more (RFC 9260, section 9.2).
    pub(crate) fn init_while_shutting_down(&mut self) -> bool {
        if !matches!(self.state, State::ShutdownAckSent) {
            return false;
        }
        self.push_control(kind::SHUTDOWN_ACK, None, |_| {});
        true
    }

    /// The peer began anew while we wait for its SHUTDOWN COMPLETE (RFC 9260,
    /// section 5.2.4, case A).
    pub(crate) fn cookie_while_shutting_down(&mut self) -> bool {
        if !matches!(self.state, State::ShutdownAckSent) {
            return false;
        }
        let cause = cause::cause(cause::code::COOKIE_RECEIVED_WHILE_SHUTTING_DOWN, &[]);
        self.push_control(kind::SHUTDOWN_ACK, None, |_| {});
        self.push_parameters(kind::ERROR, None, &cause);
        true
    }

    fn on_error(&mut self, causes: &[u8], now: Instant) {
        let Some(code) = cause::first(causes) else {
            return;
        };
        if code == cause::code::STALE_COOKIE {
            if let State::CookieEchoed(set_up) = &self.state {
                // Once, with a cookie that shall be good for longer
                // (RFC 9260, section 5.2.6).
                let mut set_up = set_up.clone();
                if set_up.stale {
                    self.close(CloseReason::SetUpTimeout);
                    return;
                }
                set_up.stale = true;
                self.recall_data(now);
                self.peer_tag = 0;
                self.auth = None;
                self.reconfiguration = None;
                set_up.chunk = self.init(&set_up, 60_000);
                self.control.clear();
                self.state = State::CookieWait(set_up);
                self.send_set_up(now);
            }
            return;
        }
        self.tell(Event::PeerError { cause: code });
    }

    // ---- data ----

    fn on_data(
        &mut self,
        data: &Data<'_>,
        raw: &RawChunk<'_>,
        taken: &mut Taken,
        now: Instant,
    ) -> bool {
        if !matches!(
            self.state,
            State::Established | State::ShutdownPending | State::ShutdownSent
        ) {
            return true;
        }
        let interleaved = matches!(data.order, Order::Mid { .. });
        if interleaved != self.capabilities.interleaving {
            if interleaved {
                return self.on_unknown(raw);
            }
            self.fail(
                cause::code::PROTOCOL_VIOLATION,
                b"DATA instead of I-DATA",
                now,
            );
            return false;
        }
        if data.payload.is_empty() {
            self.fail(cause::code::NO_USER_DATA, &data.tsn.to_be_bytes(), now);
            return false;
        }
        let unknown = data.stream >= self.inbound_streams;
        let arrival = match self.rx.data(data, unknown) {
            Ok(arrival) => arrival,
            Err(violation) => {
                let (code, text): (u16, &[u8]) = match violation {
                    Violation::Fragments => (
                        cause::code::PROTOCOL_VIOLATION,
                        b"fragments that do not fit together",
                    ),
                    Violation::TooLong => (cause::code::OUT_OF_RESOURCE, b"message too long"),
                };
                self.fail(code, text, now);
                return false;
            }
        };
        taken.data = true;
        // The first of all is acknowledged at once.
        taken.immediate |= data.flags.immediate || !self.ack.begun;
        match arrival {
            receive::Arrival::InOrder => {
                taken.fresh = true;
                taken.news |= taken.authenticated;
            }
            receive::Arrival::Gap => {
                taken.fresh = true;
                taken.news |= taken.authenticated;
                taken.immediate = true;
            }
            receive::Arrival::Duplicate => {
                taken.duplicate = true;
                taken.immediate = true;
                self.counters.duplicates += 1;
            }
            receive::Arrival::Dropped => {
                taken.immediate = true;
                self.counters.dropped += 1;
            }
        }
        if unknown && arrival != receive::Arrival::Duplicate {
            let [high, low] = data.stream.to_be_bytes();
            let cause = cause::cause(cause::code::INVALID_STREAM_IDENTIFIER, &[high, low, 0, 0]);
            self.push_parameters(kind::ERROR, None, &cause);
        }
        true
    }

    /// Plans the acknowledgement of a packet with data (RFC 9260, section
    /// 6.2).
    fn acknowledge_later(&mut self, taken: Taken, at: usize, now: Instant) {
        self.ack.path = at;
        if taken.duplicate && !taken.fresh && at == self.ack.last_path {
            // The peer did not get our acknowledgement: it may get it
            // another way (RFC 9260, section 6.4).
            if let Some(other) = self.other_path(at) {
                self.ack.path = other;
            }
        }
        self.ack.packets = self.ack.packets.saturating_add(1);
        if matches!(self.state, State::ShutdownSent) {
            self.ack.immediate = true;
            self.send_shutdown(now);
        }
        if taken.immediate || self.ack.packets >= 2 {
            self.ack.immediate = true;
            self.ack.due = None;
        } else if self.ack.due.is_none() {
            let wait = self
                .config
                .sack_delay
                .min(crate::time::Duration::from_millis(500));
            self.ack.due = Some(now + wait);
        }
    }

    fn tell_readable(&mut self) {
        if self.rx.is_ready() && !self.readable_told {
            self.readable_told = true;
            self.events.push_back(Event::Readable);
        }
    }

    fn on_forward(&mut self, forward: &ForwardTsn, raw: &RawChunk<'_>, taken: &mut Taken) -> bool {
        if !self.capabilities.partial_reliability
            || self.capabilities.interleaving != (raw.kind == kind::I_FORWARD_TSN)
        {
            return self.on_unknown(raw);
        }
        self.rx.forward(forward);
        taken.data = true;
        taken.immediate = true;
        taken.fresh = true;
        true
    }

    // ---- acknowledgements ----

    /// Takes an acknowledgement, and tells whether it was the first of
    /// something.
    fn on_sack(&mut self, sack: &Sack, now: Instant) -> bool {
        let recovering: Vec<Option<u64>> = self.paths.iter().map(|path| path.recovery).collect();
        let mut flights = self.flights();
        let done = self.tx.acknowledge(sack, &recovering, &mut flights, now);
        let first = done
            .as_ref()
            .is_ok_and(|done| done.paths.iter().any(|path| path.octets > 0));
        self.acknowledged(done, &flights, now);
        first
    }

    fn acknowledged(
        &mut self,
        done: Result<Acknowledged, crate::transmit::NeverSent>,
        flights: &[usize],
        now: Instant,
    ) {
        let Ok(done) = done else {
            self.fail(
                cause::code::PROTOCOL_VIOLATION,
                b"acknowledgement of what was never sent",
                now,
            );
            return;
        };
        self.set_flights(flights);
        self.heard_since_timeout = true;
        let cumulative = self.tx.cumulative();
        let highest = self.tx.next_tsn() - 1;
        for (at, ack) in done.paths.iter().enumerate() {
            if ack.octets > 0 {
                if ack.proven || self.is_healthiest(at) {
                    self.path_answered(at, now);
                } else {
                    self.errors = 0;
                }
            }
            let Some(path) = self.paths.get_mut(at) else {
                continue;
            };
            if let Some(round_trip) = ack.round_trip {
                path.sampled(round_trip, &self.config.rto, now);
            }
            if path.recovery.is_some_and(|exit| exit <= cumulative) {
                path.recovery = None;
            }
            path.freed(ack.octets);
            if done.advanced && ack.octets > 0 {
                path.acknowledged(ack.octets, ack.before);
            }
            if ack.lost {
                path.lost(highest);
            }
            if path.flight == 0 {
                path.t3 = None;
            } else if ack.earliest || path.t3.is_none() {
                path.t3 = Some(now + path.rto);
            }
        }
        self.tell_abandoned(&done.abandoned, now);
        self.send_forward(now);
        if self.tx.has_gaps() {
            self.probe_due = self.next_probe();
        } else if self.probe_due.is_some()
            && !self.tx.in_flight().any(|(_, sent)| sent.fragment.urgent)
        {
            self.probe_due = None;
        }
    }

    // ---- paths ----

    /// Whether every other path has failed more often than this one: what
    /// went out on several came by this one then.
    fn is_healthiest(&self, at: usize) -> bool {
        let errors = self.paths.get(at).map_or(u32::MAX, |path| path.errors);
        self.paths.iter().enumerate().all(|(other, path)| {
            other == at || (path.state != PathState::Active && path.errors > errors)
        })
    }

    /// Takes the answer to a heartbeat, and tells whether it was one that is
    /// waited for.
    fn on_heartbeat_ack(&mut self, info: &[u8], now: Instant) -> bool {
        let nonce = Parameters::new(info, 0)
            .next()
            .and_then(Result::ok)
            .filter(|parameter| parameter.kind == parameter::kind::HEARTBEAT_INFO)
            .and_then(|parameter| <[u8; 8]>::try_from(parameter.value).ok())
            .map(u64::from_be_bytes);
        let Some(nonce) = nonce else {
            return false;
        };
        for at in 0..self.paths.len() {
            let Some(path) = self.paths.get_mut(at) else {
                return false;
            };
            if path.asked.take_if(|asked| asked.0 == nonce).is_some() {
                return true;
            }
            if let Some(probe) = path.mtu_probe.take_if(|probe| probe.nonce == nonce) {
                if let Some(size) = probe.probe {
                    path.pmtu.found(size, &self.config.pmtu, now);
                }
                return true;
            }
            if let Some(heartbeat) = path.heartbeat.take_if(|known| known.nonce == nonce) {
                path.measured(now.since(heartbeat.sent_at), &self.config.rto);
                self.path_answered(at, now);
                let period = self.heartbeat_period(at);
                if let Some(path) = self.paths.get_mut(at) {
                    path.heartbeat_due = Some(now + period);
                }
                return true;
            }
        }
        false
    }

    // ---- shutdown ----

    fn on_shutdown(&mut self, ack: u32, now: Instant) {
        let mut flights = self.flights();
        let done = self.tx.shutdown_ack(ack, &mut flights, now);
        self.acknowledged(done, &flights, now);
        if self.is_closed() {
            return;
        }
        match self.state {
            State::Established | State::ShutdownPending => {
                self.state = State::ShutdownReceived;
                // Only who sends SHUTDOWN has T5; here it bounds a peer that
                // never takes the rest, later than retransmissions do.
                let times = self.config.association_retransmits_max.saturating_add(5);
                self.guard_due = Some(now + self.config.rto.max.saturating_mul(times));
                self.progress(now);
            }
            State::ShutdownSent => {
                self.state = State::ShutdownAckSent;
                self.push_control(kind::SHUTDOWN_ACK, None, |_| {});
                self.handshake_due = Some(now + self.rto(self.data_path()));
            }
            State::ShutdownAckSent => self.push_control(kind::SHUTDOWN_ACK, None, |_| {}),
            _ => {}
        }
    }
}
