//! All associations of one SCTP port: what comes in finds its association,
//! set-up is answered without keeping anything (RFC 9260, sections 5 and 8).
//!
//! After each [`Endpoint::handle`], and after each request, call
//! [`Endpoint::poll`] until it gives [`Output::Timeout`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::association::{
    Arrival, Association, Peer, RequestError, SendError, SendOptions, Status, Transmit,
};
use crate::auth::Vector;
use crate::cause;
use crate::chunk::{Chunk, FLAG_T, Init, kind};
use crate::config::{Config, EndpointConfig};
use crate::cookie::{Cookie, CookieJar};
use crate::entropy::{self, Entropy};
use crate::event::{AssociationId, Event, MessageId};
use crate::handshake::{self, Capabilities};
use crate::packet::{Header, Packet, PacketBuilder, write_chunk};
use crate::path::{self, PathStatus};
use crate::receive::Message;
use crate::reconfiguration::Wanted;
use crate::scheduler::StreamOptions;
use crate::time::Instant;

/// An INIT ACK has at most so many times the octets of the INIT's packet.
pub const AMPLIFICATION_MAX: usize = 3;

/// Answers to packets without an association that may wait; more are dropped.
pub const REPLIES_MAX: usize = 1_024;

/// Cookies that were used and must not be again; the oldest are forgotten.
pub const SPENT_MAX: usize = 65_536;

/// Associations that are over and of which messages wait to be received; the
/// oldest are forgotten.
pub const UNREAD_MAX: usize = 1_024;

/// What comes in.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A packet.
    Datagram {
        /// Our address that it came to.
        local: IpAddr,
        /// The address that it came from.
        remote: IpAddr,
        /// The UDP port that it came from; `None` for IP packets of protocol
        /// 132.
        udp_port: Option<u16>,
        /// The SCTP packet.
        octets: &'a [u8],
    },
    /// The time that [`Output::Timeout`] told has come.
    Timeout,
}

/// What goes out.
#[derive(Debug)]
pub enum Output {
    /// A packet to be sent.
    Transmit(Transmit),
    /// Something happened to an association.
    Event(AssociationId, Event),
    /// There is nothing more to do until then, or until something comes in.
    Timeout(Option<Instant>),
}

/// Why an association is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is one with the peer already.
    #[error("an association with this peer exists")]
    Exists,
    /// As many as are allowed.
    #[error("too many associations")]
    TooMany,
    /// No address of the peer is of a family that we have an address of.
    #[error("no usable address")]
    NoAddress,
}

/// Whom to connect to.
#[derive(Clone)]
pub struct Connect {
    /// The peer's addresses, the primary one first.
    pub addresses: Vec<IpAddr>,
    /// The peer's SCTP port.
    pub port: u16,
    /// The peer's UDP port, where it is not that of the endpoint's
    /// configuration.
    pub udp_port: Option<u16>,
    /// How the association behaves.
    pub config: Config,
    /// Endpoint pair shared keys (RFC 4895) with their identifiers; the first
    /// is used. Without any, the empty key 0.
    pub auth_keys: Vec<(u16, Vec<u8>)>,
}

impl std::fmt::Debug for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect")
            .field("addresses", &self.addresses)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// What an endpoint dropped or refused, and what it answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointCounters {
    /// Packets that are none, or with another checksum.
    pub malformed: u64,
    /// Packets for another port.
    pub other_port: u64,
    /// Packets of no association.
    pub out_of_the_blue: u64,
    /// Packets with another verification tag than their association's.
    pub wrong_tag: u64,
    /// INITs answered.
    pub inits: u64,
    /// INITs refused or dropped.
    pub inits_refused: u64,
    /// Cookies that we did not make.
    pub cookies_forged: u64,
    /// Cookies that came too late.
    pub cookies_stale: u64,
    /// Cookies that were used before.
    pub cookies_replayed: u64,
    /// Answers dropped since too many waited.
    pub replies_dropped: u64,
}

/// A peer's address, SCTP port and UDP port.
type PeerKey = (IpAddr, u16, u16);

/// All associations of one SCTP port.
pub struct Endpoint {
    config: EndpointConfig,
    association_config: Arc<Config>,
    locals: Arc<[IpAddr]>,
    entropy: Box<dyn Entropy>,
    jar: CookieJar,
    keys: Vec<(u16, Zeroizing<Vec<u8>>)>,
    associations: BTreeMap<AssociationId, Entry>,
    by_tag: BTreeMap<u32, AssociationId>,
    by_peer: BTreeMap<PeerKey, AssociationId>,
    timeouts: BTreeSet<(Instant, AssociationId)>,
    busy: BTreeSet<AssociationId>,
    replies: VecDeque<Transmit>,
    events: VecDeque<(AssociationId, Event)>,
    unread: BTreeMap<AssociationId, VecDeque<Message>>,
    spent: BTreeMap<u32, Instant>,
    spent_order: VecDeque<u32>,
    next_id: u64,
    now: Instant,
    counters: EndpointCounters,
}

struct Entry {
    association: Box<Association>,
    timeout: Option<Instant>,
    keys: Vec<PeerKey>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("port", &self.config.port)
            .field("associations", &self.associations.len())
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Makes an endpoint without associations.
    #[must_use]
    pub fn new(config: EndpointConfig, mut entropy: Box<dyn Entropy>, now: Instant) -> Self {
        let jar = CookieJar::new(
            entropy.as_mut(),
            config.cookie_key_rotation,
            config.cookie_lifetime,
            now,
        );
        Self {
            association_config: Arc::new(config.association.clone()),
            locals: config.addresses.clone().into(),
            config,
            entropy,
            jar,
            keys: Vec::new(),
            associations: BTreeMap::new(),
            by_tag: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            timeouts: BTreeSet::new(),
            busy: BTreeSet::new(),
            replies: VecDeque::new(),
            events: VecDeque::new(),
            unread: BTreeMap::new(),
            spent: BTreeMap::new(),
            spent_order: VecDeque::new(),
            next_id: 0,
            now,
            counters: EndpointCounters::default(),
        }
    }

    /// Sets the endpoint pair shared keys (RFC 4895) of associations that are
    /// accepted; the first is used.
    pub fn set_auth_keys(&mut self, keys: Vec<(u16, Vec<u8>)>) {
        self.keys = wrap(keys);
    }

    /// Takes what comes in. What is malformed, forged or strange is counted
    /// and dropped.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) {
        self.now = self.now.max(now);
        match input {
            Input::Timeout => self.handle_timeouts(),
            Input::Datagram {
                local,
                remote,
                udp_port,
                octets,
            } => {
                let arrival = Arrival {
                    local,
                    remote,
                    udp_port,
                };
                self.handle_datagram(arrival, octets);
            }
        }
    }

    /// Gives what goes out, and in the end the time to come back.
    pub fn poll(&mut self) -> Output {
        if let Some(reply) = self.replies.pop_front() {
            return Output::Transmit(reply);
        }
        loop {
            if let Some((id, event)) = self.events.pop_front() {
                return Output::Event(id, event);
            }
            let Some(id) = self.busy.first().copied() else {
                let next = self.timeouts.first().map(|(at, _)| *at);
                return Output::Timeout(next);
            };
            let Some(entry) = self.associations.get_mut(&id) else {
                self.busy.remove(&id);
                continue;
            };
            if let Some(transmit) = entry.association.poll_transmit(self.now) {
                return Output::Transmit(transmit);
            }
            self.busy.remove(&id);
            self.settle(id);
        }
    }

    /// Takes over what changed in an association.
    fn settle(&mut self, id: AssociationId) {
        let Some(entry) = self.associations.get_mut(&id) else {
            return;
        };
        let association = &mut entry.association;
        self.events
            .extend(association.events.drain(..).map(|event| (id, event)));
        if association.is_closed() {
            self.remove(id);
            return;
        }
        if std::mem::take(&mut association.moved) {
            let port = association.peer_port;
            let keys: Vec<PeerKey> = association
                .paths
                .iter()
                .map(|path| (path.remote, port, path.udp_port.unwrap_or(0)))
                .collect();
            for key in std::mem::take(&mut entry.keys) {
                if self.by_peer.get(&key) == Some(&id) {
                    self.by_peer.remove(&key);
                }
            }
            for key in &keys {
                self.by_peer.entry(*key).or_insert(id);
            }
            entry.keys = keys;
        }
        let timeout = entry.association.timeout();
        if entry.timeout != timeout {
            if let Some(old) = entry.timeout {
                self.timeouts.remove(&(old, id));
            }
            if let Some(new) = timeout {
                self.timeouts.insert((new, id));
            }
            entry.timeout = timeout;
        }
    }

    fn remove(&mut self, id: AssociationId) {
        let Some(mut entry) = self.associations.remove(&id) else {
            return;
        };
        let unread = entry.association.take_unread();
        if !unread.is_empty() {
            self.unread.insert(id, unread);
            if self.unread.len() > UNREAD_MAX {
                self.unread.pop_first();
            }
        }
        if let Some(at) = entry.timeout {
            self.timeouts.remove(&(at, id));
        }
        for key in entry.keys {
            if self.by_peer.get(&key) == Some(&id) {
                self.by_peer.remove(&key);
            }
        }
        let tag = entry.association.local_tag;
        if self.by_tag.get(&tag) == Some(&id) {
            self.by_tag.remove(&tag);
        }
        // Its cookie may be sent once more, by somebody who kept it.
        self.spend(tag);
    }

    /// Takes note that a cookie with this tag was used.
    fn spend(&mut self, tag: u32) {
        let end = self.now + self.config.cookie_lifetime + self.config.cookie_lifetime;
        if self.spent.insert(tag, end).is_none() {
            self.spent_order.push_back(tag);
        }
        while let Some(oldest) = self.spent_order.front().copied() {
            let over = self.spent.get(&oldest).is_none_or(|end| *end <= self.now);
            if !over && self.spent.len() <= SPENT_MAX {
                break;
            }
            self.spent_order.pop_front();
            self.spent.remove(&oldest);
        }
    }

    fn handle_timeouts(&mut self) {
        while let Some((at, id)) = self.timeouts.first().copied() {
            if at > self.now {
                break;
            }
            self.timeouts.pop_first();
            if let Some(entry) = self.associations.get_mut(&id) {
                entry.timeout = None;
                entry.association.handle_timeout(self.now);
                self.busy.insert(id);
            }
        }
    }

    fn handle_datagram(&mut self, arrival: Arrival, octets: &[u8]) {
        let Ok(packet) = Packet::decode(octets) else {
            self.counters.malformed += 1;
            return;
        };
        if packet.header.destination_port != self.config.port || packet.header.source_port == 0 {
            self.counters.other_port += 1;
            return;
        }
        let Some(Ok(first)) = packet.chunks().next() else {
            self.counters.malformed += 1;
            return;
        };
        if first.kind == kind::INIT {
            // It must stand alone, under tag 0 (RFC 9260, section 8.5.1, A).
            let alone = packet.chunks().count() == 1;
            match Chunk::decode(&first) {
                Ok(Chunk::Init(init)) if alone && packet.header.verification_tag == 0 => {
                    self.handle_init(arrival, packet.header.source_port, &init, octets.len());
                }
                _ => self.counters.malformed += 1,
            }
            return;
        }
        let cookie_at = packet
            .chunks()
            .map_while(Result::ok)
            .take(2)
            .position(|raw| raw.kind == kind::COOKIE_ECHO);
        let behind_auth = first.kind == kind::AUTH;
        if let Some(at) = cookie_at
            && (at == 0 || behind_auth)
            && let Some(Ok(raw)) = packet.chunks().nth(at)
        {
            self.handle_cookie(arrival, &packet, raw.value, at);
            return;
        }
        let Some(id) = self.find(arrival, &packet, first.kind, first.flags) else {
            self.handle_out_of_the_blue(arrival, &packet);
            return;
        };
        self.deliver(id, &packet, 0, arrival);
    }

    /// Finds the association that a packet with this tag belongs to
    /// (RFC 9260, section 8.5).
    fn find(
        &self,
        arrival: Arrival,
        packet: &Packet<'_>,
        first: u8,
        flags: u8,
    ) -> Option<AssociationId> {
        let tag = packet.header.verification_tag;
        let port = packet.header.source_port;
        let reflects =
            matches!(first, kind::ABORT | kind::SHUTDOWN_COMPLETE) && flags & FLAG_T != 0;
        if reflects {
            let id = self.by_peer_of(arrival, port)?;
            let association = &self.associations.get(&id)?.association;
            return (association.peer_tag == tag && tag != 0).then_some(id);
        }
        let id = *self.by_tag.get(&tag)?;
        let association = &self.associations.get(&id)?.association;
        (association.peer_port == port).then_some(id)
    }

    fn by_peer_of(&self, arrival: Arrival, port: u16) -> Option<AssociationId> {
        self.by_peer
            .get(&(arrival.remote, port, arrival.udp_port.unwrap_or(0)))
            .copied()
    }

    fn deliver(&mut self, id: AssociationId, packet: &Packet<'_>, from: usize, arrival: Arrival) {
        if let Some(entry) = self.associations.get_mut(&id) {
            entry
                .association
                .handle_packet(packet, from, arrival, self.now);
            self.busy.insert(id);
        }
    }

    /// Answers a packet that belongs to no association (RFC 9260, section
    /// 8.4).
    fn handle_out_of_the_blue(&mut self, arrival: Arrival, packet: &Packet<'_>) {
        if self
            .by_peer_of(arrival, packet.header.source_port)
            .is_some()
        {
            // With a wrong tag it is dropped (RFC 9260, section 8.5).
            self.counters.wrong_tag += 1;
            return;
        }
        self.counters.out_of_the_blue += 1;
        let Some(Ok(first)) = packet.chunks().next() else {
            return;
        };
        let mut silent = false;
        for raw in packet.chunks().map_while(Result::ok) {
            silent |= matches!(
                raw.kind,
                kind::ABORT | kind::SHUTDOWN_COMPLETE | kind::COOKIE_ACK | kind::INIT
            ) || (raw.kind == kind::ERROR
                && cause::first(raw.value) == Some(cause::code::STALE_COOKIE));
        }
        if silent || packet.header.verification_tag == 0 {
            return;
        }
        let answer = if first.kind == kind::SHUTDOWN_ACK {
            kind::SHUTDOWN_COMPLETE
        } else {
            kind::ABORT
        };
        self.reply(
            arrival,
            packet.header.source_port,
            packet.header.verification_tag,
            |out| write_chunk(out, answer, FLAG_T, |_| {}),
        );
    }

    /// Sends one packet to who is no association.
    fn reply(&mut self, arrival: Arrival, port: u16, tag: u32, chunks: impl FnOnce(&mut Vec<u8>)) {
        if self.replies.len() >= REPLIES_MAX {
            self.counters.replies_dropped += 1;
            return;
        }
        let header = Header {
            source_port: self.config.port,
            destination_port: port,
            verification_tag: tag,
        };
        let mut packet = PacketBuilder::new(header, 128);
        chunks(packet.octets());
        self.replies.push_back(Transmit {
            local: arrival.local,
            remote: arrival.remote,
            udp_port: arrival.udp_port,
            dscp: self.config.association.control_dscp,
            may_fragment: true,
            octets: packet.finish(),
        });
    }

    fn abort_init(&mut self, arrival: Arrival, port: u16, tag: u32, causes: &[u8]) {
        self.counters.inits_refused += 1;
        // Not longer than what was asked with.
        let causes = causes.get(..causes.len().min(64)).unwrap_or_default();
        self.reply(arrival, port, tag, |out| {
            write_chunk(out, kind::ABORT, 0, |out| {
                out.extend_from_slice(crate::parameter::without_last_padding(causes));
            });
        });
    }

    /// Answers an INIT, and keeps nothing (RFC 9260, sections 5.1 and 5.2).
    fn handle_init(&mut self, arrival: Arrival, port: u16, init: &Init<'_>, asked: usize) {
        let mut terms = match handshake::read(init, self.config.association.peer_addresses_max) {
            Ok(terms) => terms,
            Err(None) => {
                self.counters.inits_refused += 1;
                return;
            }
            Err(Some(causes)) => {
                self.abort_init(arrival, port, init.initiate_tag, &causes);
                return;
            }
        };
        if !terms.addresses.is_empty() && !terms.addresses.contains(&arrival.remote) {
            terms.addresses.insert(0, arrival.remote);
            terms
                .addresses
                .truncate(self.config.association.peer_addresses_max);
        }
        let met = self.by_peer_of(arrival, port).or_else(|| {
            let udp_port = arrival.udp_port.unwrap_or(0);
            terms
                .addresses
                .iter()
                .find_map(|address| self.by_peer.get(&(*address, port, udp_port)).copied())
        });
        let met = met.and_then(|id| Some((id, &self.associations.get(&id)?.association)));
        let mut tie = None;
        let mut own = None;
        let mut vector = None;
        if let Some((_, association)) = met {
            if let Some(init) = association.own_init() {
                own = Some(init);
                vector = association.own_vector();
            } else {
                // An association may only begin anew from the addresses that
                // it has (RFC 9260, section 5.2.2).
                let strange = terms
                    .addresses
                    .iter()
                    .find(|address| association.path_to(**address).is_none())
                    .copied();
                if let Some(strange) = strange {
                    let mut told = Vec::new();
                    crate::parameter::write_address(&mut told, strange);
                    let causes = cause::cause(cause::code::RESTART_WITH_NEW_ADDRESSES, &told);
                    self.abort_init(arrival, port, terms.tag, &causes);
                    return;
                }
            }
            let (local, peer) = (association.local_tag, association.peer_tag);
            if peer != 0 {
                tie = Some((local, peer));
            }
        } else if !self.config.accept {
            self.counters.inits_refused += 1;
            self.reply(arrival, port, terms.tag, |out| {
                write_chunk(out, kind::ABORT, 0, |_| {});
            });
            return;
        }
        self.jar.rotate(self.entropy.as_mut(), self.now);
        let (local_tag, local_tsn) = own.unwrap_or_else(|| {
            let tag = entropy::tag(self.entropy.as_mut());
            (
                tag,
                u32::from_be_bytes(entropy::octets(self.entropy.as_mut())),
            )
        });
        let config = &self.config.association;
        let both = Capabilities::offered(config).and(terms.capabilities);
        if config.auth.as_ref().is_some_and(|auth| auth.required) && !both.auth {
            let causes = cause::cause(
                cause::code::USER_INITIATED_ABORT,
                b"authentication required",
            );
            self.abort_init(arrival, port, terms.tag, &causes);
            return;
        }
        let key = self.jar.key_id();
        if both.auth && vector.is_none() {
            vector = self.derived_vector(key, local_tag, terms.tag);
        }
        if !both.auth {
            vector = None;
        }
        let cookie = Cookie {
            made: self.now,
            local_tag,
            peer_tag: terms.tag,
            local_tsn,
            peer_tsn: terms.initial_tsn,
            a_rwnd: terms.a_rwnd,
            outbound_streams: config.outbound_streams.max(1).min(terms.inbound_streams),
            inbound_streams: config
                .inbound_streams_max
                .max(1)
                .min(terms.outbound_streams),
            peer_port: port,
            capabilities: both,
            tie: tie.and_then(|(local, peer)| self.jar.tie(key, local, peer)),
            addresses: terms.addresses,
            auth: if both.auth { terms.auth } else { None },
        };
        let sealed = self.jar.seal(&cookie, arrival.remote);
        let addresses: &[IpAddr] = if self.config.advertise && self.locals.len() > 1 {
            &self.locals
        } else {
            &[]
        };
        // Header, chunk and fixed fields take 32 octets.
        let room = (asked * AMPLIFICATION_MAX).saturating_sub(32);
        let parameters = handshake::parameters(
            both,
            vector.as_ref(),
            addresses,
            Some(&sealed),
            &terms.unrecognized,
            room,
        );
        if parameters.len() > room {
            self.counters.inits_refused += 1;
            return;
        }
        let answer = Init {
            initiate_tag: local_tag,
            a_rwnd: u32::try_from(config.receive_buffer_max).unwrap_or(u32::MAX),
            outbound_streams: cookie.outbound_streams,
            inbound_streams: config.inbound_streams_max.max(1),
            initial_tsn: local_tsn,
            parameters: &parameters,
            parameters_offset: 0,
        };
        self.counters.inits += 1;
        self.reply(arrival, port, terms.tag, |out| {
            answer.encode(kind::INIT_ACK, out);
        });
    }

    /// Our part of authentication, which follows from the cookie's key.
    fn derived_vector(&self, key: u8, local_tag: u32, peer_tag: u32) -> Option<Vector> {
        let auth = self.config.association.auth.as_ref()?;
        let random = self.jar.random(key, local_tag, peer_tag)?;
        Some(Vector::ours(&random, &auth.chunks))
    }

    /// Takes a COOKIE ECHO (RFC 9260, sections 5.1.5 and 5.2.4). It is chunk
    /// number `at` of the packet.
    fn handle_cookie(&mut self, arrival: Arrival, packet: &Packet<'_>, octets: &[u8], at: usize) {
        let Ok((cookie, key)) = self.jar.open(octets, arrival.remote) else {
            self.counters.cookies_forged += 1;
            return;
        };
        if packet.header.verification_tag != cookie.local_tag
            || packet.header.source_port != cookie.peer_port
        {
            self.counters.cookies_forged += 1;
            return;
        }
        let by_tag = self.by_tag.get(&cookie.local_tag).copied();
        let met = by_tag.or_else(|| {
            let udp_port = arrival.udp_port.unwrap_or(0);
            self.by_peer_of(arrival, cookie.peer_port).or_else(|| {
                cookie.addresses.iter().find_map(|address| {
                    self.by_peer
                        .get(&(*address, cookie.peer_port, udp_port))
                        .copied()
                })
            })
        });
        let tags = met.and_then(|id| {
            let association = &self.associations.get(&id)?.association;
            Some((id, association.local_tag, association.peer_tag))
        });
        let exact = tags
            .is_some_and(|(_, local, peer)| local == cookie.local_tag && peer == cookie.peer_tag);
        if let Some(late) = self.jar.staleness(&cookie, self.now)
            && !exact
        {
            self.counters.cookies_stale += 1;
            let micros = u32::try_from(late.as_micros()).unwrap_or(u32::MAX);
            let causes = cause::cause(cause::code::STALE_COOKIE, &micros.to_be_bytes());
            self.reply(arrival, cookie.peer_port, cookie.peer_tag, |out| {
                write_chunk(out, kind::ERROR, 0, |out| out.extend(causes));
            });
            return;
        }
        let Some((id, local, peer)) = tags else {
            self.accept(arrival, packet, cookie, key, at);
            return;
        };
        if local == cookie.local_tag {
            // Cases B and D.
            let shutting_down_elsewhere = peer != cookie.peer_tag
                && self
                    .associations
                    .get(&id)
                    .is_some_and(|entry| entry.association.own_init().is_none());
            if shutting_down_elsewhere {
                self.counters.cookies_replayed += 1;
                return;
            }
            if let Some(entry) = self.associations.get_mut(&id) {
                entry.association.cookie_again(&cookie, arrival, self.now);
            }
            self.deliver(id, packet, at + 1, arrival);
            return;
        }
        let tied = cookie.tie.is_some() && cookie.tie == self.jar.tie(key, local, peer);
        if peer != cookie.peer_tag && tied {
            // Case A: the peer began anew.
            self.restart(id, arrival, packet, cookie, key, at);
            return;
        }
        // Case C, and what fits no case, is dropped.
        self.counters.cookies_replayed += 1;
    }

    fn accept(
        &mut self,
        arrival: Arrival,
        packet: &Packet<'_>,
        cookie: Cookie,
        key: u8,
        at: usize,
    ) {
        if self
            .spent
            .get(&cookie.local_tag)
            .is_some_and(|end| *end > self.now)
        {
            self.counters.cookies_replayed += 1;
            return;
        }
        if self.associations.len() >= self.config.associations_max {
            let causes = cause::cause(cause::code::OUT_OF_RESOURCE, &[]);
            self.reply(arrival, cookie.peer_port, cookie.peer_tag, |out| {
                write_chunk(out, kind::ABORT, 0, |out| out.extend(causes));
            });
            return;
        }
        let Some(association) = self.made_of(arrival, packet, cookie, key) else {
            return;
        };
        let id = self.add(association);
        if let Some(entry) = self.associations.get_mut(&id) {
            entry.association.acknowledge_cookie();
        }
        self.settle(id);
        self.deliver(id, packet, at + 1, arrival);
    }

    fn made_of(
        &mut self,
        arrival: Arrival,
        packet: &Packet<'_>,
        cookie: Cookie,
        key: u8,
    ) -> Option<Box<Association>> {
        let ours = if cookie.auth.is_some() {
            self.derived_vector(key, cookie.local_tag, cookie.peer_tag)
        } else {
            None
        };
        let association = Association::accept(
            Arc::clone(&self.association_config),
            Arc::clone(&self.locals),
            self.config.port,
            cookie,
            ours,
            &self.keys,
            arrival,
            self.entropy.as_mut(),
            self.now,
        );
        if !association.admits_first(packet) {
            self.counters.cookies_forged += 1;
            return None;
        }
        Some(Box::new(association))
    }

    fn restart(
        &mut self,
        id: AssociationId,
        arrival: Arrival,
        packet: &Packet<'_>,
        cookie: Cookie,
        key: u8,
        at: usize,
    ) {
        if let Some(entry) = self.associations.get_mut(&id)
            && entry.association.cookie_while_shutting_down()
        {
            self.busy.insert(id);
            return;
        }
        let Some(mut fresh) = self.made_of(arrival, packet, cookie, key) else {
            return;
        };
        let Some(entry) = self.associations.get_mut(&id) else {
            return;
        };
        for (stream, options) in entry.association.stream_options() {
            fresh.set_stream(stream, options);
        }
        let unacknowledged = entry.association.unacknowledged();
        fresh.keep_unread(entry.association.take_unread());
        fresh.events.clear();
        fresh.events.extend(entry.association.events.drain(..));
        fresh.events.push_back(Event::Restarted { unacknowledged });
        fresh.acknowledge_cookie();
        let old = std::mem::replace(&mut entry.association, fresh);
        let tag = entry.association.local_tag;
        self.by_tag.remove(&old.local_tag);
        self.by_tag.insert(tag, id);
        self.spend(old.local_tag);
        self.settle(id);
        self.deliver(id, packet, at + 1, arrival);
    }

    fn add(&mut self, association: Box<Association>) -> AssociationId {
        let id = AssociationId(self.next_id);
        self.next_id += 1;
        self.by_tag.insert(association.local_tag, id);
        self.associations.insert(
            id,
            Entry {
                association,
                timeout: None,
                keys: Vec::new(),
            },
        );
        self.busy.insert(id);
        self.settle(id);
        id
    }

    // ---- what the application asks for ----

    /// Begins an association with a peer.
    ///
    /// # Errors
    /// Where there is one, or no address fits, or there are too many.
    pub fn connect(
        &mut self,
        connect: &Connect,
        now: Instant,
    ) -> Result<AssociationId, ConnectError> {
        self.now = self.now.max(now);
        if self.associations.len() >= self.config.associations_max {
            return Err(ConnectError::TooMany);
        }
        let udp_port = connect
            .udp_port
            .or_else(|| path::udp_port(self.config.encapsulation));
        let exists = connect.addresses.iter().any(|address| {
            self.by_peer
                .contains_key(&(*address, connect.port, udp_port.unwrap_or(0)))
        });
        if exists {
            return Err(ConnectError::Exists);
        }
        let mut tag = entropy::tag(self.entropy.as_mut());
        while self.by_tag.contains_key(&tag) {
            tag = tag.wrapping_add(1).max(1);
        }
        let peer = Peer {
            addresses: connect.addresses.clone(),
            port: connect.port,
            udp_port,
            keys: wrap(connect.auth_keys.clone()),
        };
        let association = Association::connect(
            Arc::new(connect.config.clone()),
            Arc::clone(&self.locals),
            self.config.port,
            self.config.advertise,
            &peer,
            tag,
            self.entropy.as_mut(),
            self.now,
        );
        if association.paths.is_empty() {
            return Err(ConnectError::NoAddress);
        }
        Ok(self.add(Box::new(association)))
    }

    fn with<T, E>(
        &mut self,
        id: AssociationId,
        now: Instant,
        none: E,
        ask: impl FnOnce(&mut Association, Instant) -> Result<T, E>,
    ) -> Result<T, E> {
        self.now = self.now.max(now);
        let entry = self.associations.get_mut(&id).ok_or(none)?;
        let done = ask(&mut entry.association, self.now);
        self.busy.insert(id);
        done
    }

    /// Hands in a message to be sent on a stream.
    ///
    /// # Errors
    /// Where it is not taken, and why.
    pub fn send(
        &mut self,
        id: AssociationId,
        stream: u16,
        payload: Bytes,
        options: &SendOptions,
        now: Instant,
    ) -> Result<MessageId, SendError> {
        self.with(id, now, SendError::NoAssociation, |association, _| {
            association.send(stream, payload, options)
        })
    }

    /// Takes the next message that arrived; those that arrived before the end
    /// of an association, also after it. [`Event::Readable`] comes again only
    /// after this gave `None`.
    pub fn receive(&mut self, id: AssociationId, now: Instant) -> Option<Message> {
        if let Some(unread) = self.unread.get_mut(&id) {
            let message = unread.pop_front();
            if unread.is_empty() {
                self.unread.remove(&id);
            }
            return message;
        }
        self.with(id, now, (), |association, now| {
            association.receive(now).ok_or(())
        })
        .ok()
    }

    /// Ends an association once all was delivered. Messages are no longer
    /// taken.
    pub fn shutdown(&mut self, id: AssociationId, now: Instant) {
        self.with(id, now, (), |association, now| {
            association.shutdown(now);
            Ok(())
        })
        .unwrap_or_default();
    }

    /// Ends an association at once, and tells the peer the reason, of which
    /// up to 512 octets are sent.
    pub fn abort(&mut self, id: AssociationId, reason: &[u8], now: Instant) {
        self.with(id, now, (), |association, now| {
            association.abort(reason, now);
            Ok(())
        })
        .unwrap_or_default();
    }

    /// Sets how a stream is treated. It may be set before the association
    /// stands.
    ///
    /// # Errors
    /// Where there is no such association.
    pub fn set_stream(
        &mut self,
        id: AssociationId,
        stream: u16,
        options: StreamOptions,
    ) -> Result<(), RequestError> {
        self.with(
            id,
            self.now,
            RequestError::NoAssociation,
            |association, _| {
                association.set_stream(stream, options);
                Ok(())
            },
        )
    }

    /// Asks to begin anew on streams that we send on; all for none. What is
    /// handed in until that is done waits. [`Event::StreamsReset`] tells the
    /// end.
    ///
    /// # Errors
    /// Where that cannot be asked now.
    pub fn reset_outgoing(
        &mut self,
        id: AssociationId,
        streams: &[u16],
        now: Instant,
    ) -> Result<(), RequestError> {
        self.request(id, Wanted::ResetOutgoing(streams.to_vec(), None), now)
    }

    /// Asks the peer to begin anew on streams that it sends on; all for none.
    ///
    /// # Errors
    /// Where that cannot be asked now.
    pub fn reset_incoming(
        &mut self,
        id: AssociationId,
        streams: &[u16],
        now: Instant,
    ) -> Result<(), RequestError> {
        self.request(id, Wanted::ResetIncoming(streams.to_vec()), now)
    }

    /// Asks for more streams to send on.
    ///
    /// # Errors
    /// Where that cannot be asked now.
    pub fn add_outgoing(
        &mut self,
        id: AssociationId,
        count: u16,
        now: Instant,
    ) -> Result<(), RequestError> {
        self.request(id, Wanted::AddOutgoing(count), now)
    }

    /// Asks the peer to add streams that it sends on.
    ///
    /// # Errors
    /// Where that cannot be asked now.
    pub fn add_incoming(
        &mut self,
        id: AssociationId,
        count: u16,
        now: Instant,
    ) -> Result<(), RequestError> {
        self.request(id, Wanted::AddIncoming(count), now)
    }

    fn request(
        &mut self,
        id: AssociationId,
        wanted: Wanted,
        now: Instant,
    ) -> Result<(), RequestError> {
        self.with(id, now, RequestError::NoAssociation, |association, now| {
            association.request(wanted, now)
        })
    }

    /// Makes the path to `remote` the primary one.
    ///
    /// # Errors
    /// Where the peer has no such address.
    pub fn set_primary(&mut self, id: AssociationId, remote: IpAddr) -> Result<(), RequestError> {
        self.with(
            id,
            self.now,
            RequestError::NoAssociation,
            |association, _| association.set_primary(remote),
        )
    }

    /// Sends a heartbeat on the path to `remote` now.
    ///
    /// # Errors
    /// Where the peer has no such address, or the association does not stand.
    pub fn heartbeat(
        &mut self,
        id: AssociationId,
        remote: IpAddr,
        now: Instant,
    ) -> Result<(), RequestError> {
        self.with(id, now, RequestError::NoAssociation, |association, now| {
            association.heartbeat_now(remote, now)
        })
    }

    /// Adds or replaces an endpoint pair shared key (RFC 4895), such as one
    /// exported from TLS.
    ///
    /// # Errors
    /// Where authentication was not agreed, or there are too many keys.
    pub fn set_auth_key(
        &mut self,
        id: AssociationId,
        key_id: u16,
        key: &[u8],
    ) -> Result<(), RequestError> {
        self.with(
            id,
            self.now,
            RequestError::NoAssociation,
            |association, _| {
                let auth = association.auth_mut().ok_or(RequestError::Unsupported)?;
                if auth.set_key(key_id, key) {
                    Ok(())
                } else {
                    Err(RequestError::Busy)
                }
            },
        )
    }

    /// Authenticates what is sent with another key from now on. The peer must
    /// have it already.
    ///
    /// # Errors
    /// Where authentication was not agreed, or there is no such key.
    pub fn activate_auth_key(
        &mut self,
        id: AssociationId,
        key_id: u16,
    ) -> Result<(), RequestError> {
        self.with(
            id,
            self.now,
            RequestError::NoAssociation,
            |association, _| {
                let auth = association.auth_mut().ok_or(RequestError::Unsupported)?;
                if auth.activate(key_id) {
                    Ok(())
                } else {
                    Err(RequestError::Unknown)
                }
            },
        )
    }

    /// Forgets a key that is not active: what is authenticated with it is no
    /// longer taken.
    ///
    /// # Errors
    /// Where authentication was not agreed, or the key is not there or
    /// active.
    pub fn remove_auth_key(&mut self, id: AssociationId, key_id: u16) -> Result<(), RequestError> {
        self.with(
            id,
            self.now,
            RequestError::NoAssociation,
            |association, _| {
                let auth = association.auth_mut().ok_or(RequestError::Unsupported)?;
                if auth.remove_key(key_id) {
                    Ok(())
                } else {
                    Err(RequestError::Unknown)
                }
            },
        )
    }

    /// Tells octets that wait on a stream to be sent.
    #[must_use]
    pub fn buffered(&self, id: AssociationId, stream: u16) -> usize {
        self.associations
            .get(&id)
            .map_or(0, |entry| entry.association.buffered_on(stream))
    }

    /// Tells what the paths of an association are like.
    #[must_use]
    pub fn paths(&self, id: AssociationId) -> Vec<PathStatus> {
        self.associations
            .get(&id)
            .map(|entry| entry.association.path_status())
            .unwrap_or_default()
    }

    /// Tells what an association is like.
    #[must_use]
    pub fn status(&self, id: AssociationId) -> Option<Status> {
        self.associations
            .get(&id)
            .map(|entry| entry.association.status())
    }

    /// Tells what was dropped and refused.
    #[must_use]
    pub const fn counters(&self) -> EndpointCounters {
        self.counters
    }

    /// Goes through the associations.
    pub fn ids(&self) -> impl Iterator<Item = AssociationId> {
        self.associations.keys().copied()
    }

    /// Tells how many associations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.associations.len()
    }

    /// Tells whether there is no association.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.associations.is_empty()
    }
}

fn wrap(keys: Vec<(u16, Vec<u8>)>) -> Vec<(u16, Zeroizing<Vec<u8>>)> {
    keys.into_iter()
        .map(|(id, key)| (id, Zeroizing::new(key)))
        .collect()
}
