//! The peer's addresses: which are used, and whether they answer (RFC 9260,
//! sections 6.4 and 8; RFC 7829).

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use super::{Arrival, Association, Control, EVENTS_MAX};
use crate::chunk::kind;
use crate::event::Event;
use crate::mac;
use crate::packet::write_chunk;
use crate::path::{Path, PathState};
use crate::time::{Duration, Instant, micros};

impl Association {
    /// Adds a path, unless it is there or there are enough.
    pub(super) fn add_path(
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
    pub(super) fn best_local(&self, remote: IpAddr) -> Option<IpAddr> {
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
    pub(super) fn rotate_local(&mut self, at: usize) {
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

    /// Takes the UDP port that a packet came from: the peer's encapsulation
    /// moved, behind a NAT perhaps (RFC 6951, section 5.4). Where chunks are
    /// authenticated, a packet has to show first that it is the peer's and no
    /// copy of an older one, else whoever sees the tag could lead the rest away.
    pub(super) fn take_port(&mut self, at: usize, arrival: Arrival) {
        if let Some(path) = self.paths.get_mut(at)
            && path.udp_port != arrival.udp_port
        {
            path.udp_port = arrival.udp_port;
            path.asked = None;
            self.moved = true;
        }
    }

    /// Takes our own address that a packet came to, for a path that is not in
    /// use.
    pub(super) fn take_local(&mut self, at: usize, arrival: Arrival) {
        if let Some(path) = self.paths.get_mut(at)
            && path.local != arrival.local
            && (path.state != PathState::Active || !path.confirmed)
            && self.locals.contains(&arrival.local)
        {
            path.local = arrival.local;
        }
    }

    /// Asks at the UDP port that an authenticated packet came from, which may
    /// be a copy, whether the peer is there; at most once a retransmission
    /// timeout.
    pub(super) fn ask_port(&mut self, at: usize, arrival: Arrival, now: Instant) {
        let Some(path) = self.paths.get(at) else {
            return;
        };
        let waits = path.asked.is_some_and(|(_, until)| until > now);
        if path.udp_port == arrival.udp_port || waits {
            return;
        }
        let until = now + path.rto;
        let nonce = self.draw();
        if let Some(mut transmit) = self.heartbeat_packet(at, nonce) {
            transmit.udp_port = arrival.udp_port;
            self.probes.push_back(transmit);
        }
        if let Some(path) = self.paths.get_mut(at) {
            path.asked = Some((nonce, until));
        }
    }

    pub(super) fn rto(&self, at: usize) -> Duration {
        self.paths
            .get(at)
            .map_or(self.config.rto.initial, |path| path.rto)
    }

    /// Where data goes: the primary path as long as it is active, else the
    /// healthiest.
    pub(super) fn data_path(&self) -> usize {
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
    pub(super) fn other_path(&self, not: usize) -> Option<usize> {
        self.paths
            .iter()
            .enumerate()
            .filter(|(at, path)| *at != not && path.confirmed && path.state == PathState::Active)
            .min_by_key(|(at, path)| (path.errors, *at != self.primary, *at))
            .map(|(at, _)| at)
    }

    pub(super) fn update_current(&mut self) {
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
    pub(super) fn tell(&mut self, event: Event) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(event);
        }
    }

    fn tell_path(&mut self, at: usize, was: PathState) {
        if let Some(path) = self.paths.get(at) {
            let event = Event::Path {
                remote: path.remote,
                was,
                state: path.state,
            };
            self.tell(event);
        }
        self.update_current();
    }

    /// Counts a timeout on a path, and gives the association up when there
    /// were too many.
    pub(super) fn count_error(&mut self, at: usize) {
        let Some(path) = self.paths.get_mut(at) else {
            return;
        };
        let (was, was_confirmed) = (path.state, path.confirmed);
        let changed = path.count_error(&self.config);
        if was_confirmed {
            self.errors = self.errors.saturating_add(1);
        } else {
            self.rotate_local(at);
        }
        if changed {
            self.tell_path(at, was);
        }
        let some_active = self
            .paths
            .iter()
            .any(|path| path.confirmed && path.state == PathState::Active);
        if self.errors > self.config.association_retransmits_max && !some_active {
            self.give_up();
        }
    }

    /// The peer answered on a path.
    pub(super) fn path_answered(&mut self, at: usize, now: Instant) {
        self.errors = 0;
        let Some(path) = self.paths.get_mut(at) else {
            return;
        };
        let was = path.state;
        let changed = path.answered();
        path.answered_at = Some(now);
        if changed {
            path.pmtu.plan(&self.config.pmtu, now, Duration::ZERO);
        }
        if changed {
            self.tell_path(at, was);
        }
    }

    // ---- heartbeats ----

    /// HB.interval plus RTO, give or take half an RTO (RFC 9260, section
    /// 8.3); longer where there are very many associations.
    pub(super) fn heartbeat_period(&mut self, at: usize) -> Duration {
        let rto = self.rto(at);
        let floor = self.heartbeat_floor.load(Ordering::Relaxed);
        if floor > micros(self.config.heartbeat_interval) {
            // Spread over as long again, that many that came to stand at once
            // do not beat at once; a sixteenth more, that the mean is below
            // what may be.
            let period = floor / 2 + floor / 16 + self.draw() % floor;
            return Duration::from_micros(period).max(self.config.heartbeat_interval);
        }
        let jitter = self.draw() % micros(rto).max(1);
        (self.config.heartbeat_interval + rto / 2).saturating_add(Duration::from_micros(jitter))
    }

    /// A number that nobody outside can predict.
    pub(super) fn draw(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        let mac = mac::sha256(&self.secret, &[&self.drawn.to_be_bytes()]);
        mac.first_chunk().copied().map_or(0, u64::from_be_bytes)
    }

    pub(super) fn on_heartbeat_due(&mut self, at: usize, now: Instant) {
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

    pub(super) fn send_heartbeat(&mut self, at: usize, now: Instant) {
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

    pub(super) fn send_mtu_probe(&mut self, at: usize, now: Instant) {
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

    pub(super) fn push_heartbeat(&mut self, at: usize, nonce: u64, pad_to: Option<usize>) {
        self.queue_control(Control {
            kind: kind::HEARTBEAT,
            octets: heartbeat(nonce),
            path: Some(at),
            pad_to,
        });
    }
}

/// A HEARTBEAT chunk.
pub(super) fn heartbeat(nonce: u64) -> Vec<u8> {
    let mut octets = Vec::with_capacity(16);
    write_chunk(&mut octets, kind::HEARTBEAT, 0, |out| {
        crate::parameter::write_parameter(out, crate::parameter::kind::HEARTBEAT_INFO, |out| {
            out.extend(nonce.to_be_bytes())
        });
    });
    octets
}
