//! All associations of one SCTP port: what comes in finds its association,
//! set-up is answered without keeping anything (RFC 9260, sections 5 and 8).
//!
//! After each [`Endpoint::handle`], and after each request, call
//! [`Endpoint::poll`] until it gives [`Output::Timeout`].

mod arrivals;
mod requests;
mod set_up;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;
use zeroize::Zeroizing;

use crate::association::{Arrival, Association, Transmit};
use crate::config::{Config, EndpointConfig};
use crate::cookie::CookieJar;
use crate::entropy::Entropy;
use crate::event::{AssociationId, Event};
use crate::packet::{Header, PacketBuilder};
use crate::receive::Message;
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
    heartbeat_floor: Arc<AtomicU64>,
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
            heartbeat_floor: Arc::default(),
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
        association.settled();
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
        self.pace_heartbeats();
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

    /// Sets the shortest heartbeat interval by how many paths there are.
    fn pace_heartbeats(&self) {
        let Some(rate) = self.config.heartbeats_per_second_max else {
            return;
        };
        let paths = u64::try_from(self.by_peer.len()).unwrap_or(u64::MAX);
        let floor = paths.saturating_mul(1_000_000) / u64::from(rate.max(1));
        self.heartbeat_floor.store(floor, Ordering::Relaxed);
    }

    fn add(&mut self, mut association: Box<Association>) -> AssociationId {
        association.heartbeat_floor = Arc::clone(&self.heartbeat_floor);
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
        self.pace_heartbeats();
        id
    }
}

fn wrap(keys: Vec<(u16, Vec<u8>)>) -> Vec<(u16, Zeroizing<Vec<u8>>)> {
    keys.into_iter()
        .map(|(id, key)| (id, Zeroizing::new(key)))
        .collect()
}
