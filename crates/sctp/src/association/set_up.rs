//! How an association begins, at either side (RFC 9260, section 5).

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Acknowledgement, Arrival, Association, Counters, Peer, SetUp, State};
use crate::auth::{Auth, Vector};
use crate::config::Config;
use crate::cookie::Cookie;
use crate::entropy::{self, Entropy};
use crate::event::Event;
use crate::handshake::Capabilities;
use crate::receive::Receiver;
use crate::reconfiguration::Reconfiguration;
use crate::scheduler::SendQueue;
use crate::time::{Duration, Instant};
use crate::transmit::Outstanding;

impl Association {
    pub(super) fn bare(
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
            heartbeat_floor: Arc::default(),
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
        keys: &[(u16, Zeroizing<Vec<u8>>)],
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

    pub(super) fn set_auth(
        &mut self,
        ours: Vector,
        theirs: Vector,
        keys: &[(u16, Zeroizing<Vec<u8>>)],
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
    pub(super) fn agreed(
        &mut self,
        peer_tag: u32,
        peer_tsn: u32,
        local_tsn: u32,
        both: Capabilities,
    ) {
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
    pub(super) fn established(&mut self, path: usize, now: Instant) {
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
                // Data may have gone with the COOKIE ECHO.
                path.t3 = (path.flight > 0).then(|| now + path.rto);
                path.heartbeat_due = Some(if path.confirmed { now + wait } else { now });
                if path.confirmed {
                    path.pmtu.plan(&self.config.pmtu, now, Duration::ZERO);
                }
            }
        }
    }
}
