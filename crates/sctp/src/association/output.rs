//! What goes out: control chunks, acknowledgements, data sent again, new
//! data, probes (RFC 9260, section 6).

use std::net::IpAddr;

use super::{Association, State};
use crate::chunk::{DATA_HEADER_LEN, Data, DataFlags, I_DATA_HEADER_LEN, Order, kind};
use crate::codec::padded;
use crate::packet::{Header, PacketBuilder, write_chunk};
use crate::path::PathState;
use crate::receive::wire;
use crate::scheduler::{Fragment, Head, Reliability};
use crate::time::{Duration, Instant};
use crate::transmit::Sent;

/// A packet to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Our address that it goes from.
    pub local: IpAddr,
    /// The peer's address.
    pub remote: IpAddr,
    /// The peer's UDP port; `None` for IP packets of protocol 132.
    pub udp_port: Option<u16>,
    /// Differentiated services code point.
    pub dscp: u8,
    /// Whether IP may fragment it. Packets that find out the MTU must not be.
    pub may_fragment: bool,
    /// The SCTP packet.
    pub octets: Vec<u8>,
}

impl std::fmt::Debug for Transmit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transmit")
            .field("local", &self.local)
            .field("remote", &self.remote)
            .field("udp_port", &self.udp_port)
            .field("dscp", &self.dscp)
            .field("octets", &self.octets.len())
            .finish_non_exhaustive()
    }
}

/// How long what was overtaken is waited for at least: the timers of what
/// drives this go in milliseconds.
const OVERTAKEN_MIN: Duration = Duration::from_millis(1);

/// Path, code point, and whether urgent.
type Way = (usize, u8, bool);

/// A packet as it grows, on its path.
struct Building {
    packet: PacketBuilder,
    path: usize,
    limit: usize,
    /// Where the AUTH chunk begins that covers what follows.
    auth_at: Option<usize>,
    may_fragment: bool,
}

impl Association {
    /// Takes note that [`Self::poll_transmit`] has nothing more.
    pub(crate) fn settled(&mut self) {
        for path in &mut self.paths {
            path.settled();
        }
    }

    /// Makes the next packet, if there is anything to send.
    pub(crate) fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        if let Some(transmit) = self.probes.pop_front() {
            return Some(transmit);
        }
        if let Some(transmit) = self.control_packet(now) {
            return Some(transmit);
        }
        if matches!(
            self.state,
            State::Closed | State::CookieWait(_) | State::CookieEchoed(_)
        ) {
            return None;
        }
        if self.ack.immediate {
            if self.ack_path() == self.data_path()
                && let Some(transmit) = self.data_packet(now)
            {
                return Some(transmit);
            }
            return self.sack_packet();
        }
        self.data_packet(now)
    }

    fn building(&self, path: usize, tag: u32, capacity: usize) -> Option<Building> {
        let way = self.paths.get(path)?;
        Some(Building {
            packet: PacketBuilder::new(
                Header {
                    source_port: self.local_port,
                    destination_port: self.peer_port,
                    verification_tag: tag,
                },
                capacity,
            ),
            path,
            limit: way.pmtu.current,
            auth_at: None,
            may_fragment: true,
        })
    }

    /// Octets that a chunk of this type may still have.
    fn room(&self, building: &Building, kind: u8) -> usize {
        let auth = match &self.auth {
            Some(auth) if building.auth_at.is_none() && auth.peer_requires(kind) => {
                auth.chunk_len()
            }
            _ => 0,
        };
        building
            .limit
            .saturating_sub(building.packet.len())
            .saturating_sub(auth)
    }

    /// Begins to authenticate, where a chunk of this type has to be.
    fn before_chunk(&self, building: &mut Building, kind: u8) {
        if building.auth_at.is_none()
            && let Some(auth) = &self.auth
            && auth.peer_requires(kind)
        {
            building.auth_at = Some(building.packet.len());
            auth.begin(building.packet.octets());
        }
    }

    fn finish(&mut self, mut building: Building, dscp: u8) -> Option<Transmit> {
        if building.packet.is_empty() {
            return None;
        }
        if let (Some(at), Some(auth)) = (building.auth_at, &self.auth) {
            auth.seal(building.packet.octets(), at);
        }
        let path = self.paths.get(building.path)?;
        self.counters.packets_sent += 1;
        Some(Transmit {
            local: path.local,
            remote: path.remote,
            udp_port: path.udp_port,
            dscp,
            may_fragment: building.may_fragment,
            octets: building.packet.finish(),
        })
    }

    /// A packet of control chunks for one path.
    fn control_packet(&mut self, now: Instant) -> Option<Transmit> {
        let first = self.control.front()?;
        let alone = |kind: u8| {
            matches!(
                kind,
                kind::INIT | kind::SHUTDOWN_COMPLETE | kind::COOKIE_ECHO | kind::ABORT
            )
        };
        let path = first.path.unwrap_or_else(|| self.data_path());
        let tag = if first.kind == kind::INIT {
            0
        } else {
            self.peer_tag
        };
        let Some(mut building) = self.building(path, tag, 256) else {
            self.control.pop_front();
            return None;
        };
        while let Some(next) = self.control.front() {
            let begun = !building.packet.is_empty();
            let other_way = next.path.is_some_and(|other| other != path);
            let too_long = self.room(&building, next.kind) < next.octets.len();
            if begun && (other_way || too_long || alone(next.kind) || next.pad_to.is_some()) {
                break;
            }
            let Some(next) = self.control.pop_front() else {
                break;
            };
            self.before_chunk(&mut building, next.kind);
            building.packet.extend(&next.octets);
            if let Some(size) = next.pad_to {
                let missing = size.saturating_sub(building.packet.len());
                if let Some(missing) = missing.checked_sub(4) {
                    write_chunk(building.packet.octets(), kind::PAD, 0, |out| {
                        out.resize(out.len() + missing, 0);
                    });
                }
                building.may_fragment = false;
                break;
            }
            if alone(next.kind) {
                break;
            }
        }
        if matches!(self.state, State::CookieEchoed(_)) && !building.packet.is_empty() {
            self.put_first_data(&mut building, now);
        }
        if self.ack.immediate && self.ack_path() == path && building.may_fragment {
            self.put_sack(&mut building);
        }
        self.finish(building, self.config.control_dscp)
    }

    /// A packet with a HEARTBEAT alone.
    pub(super) fn heartbeat_packet(&mut self, at: usize, nonce: u64) -> Option<Transmit> {
        let mut building = self.building(at, self.peer_tag, 64)?;
        self.before_chunk(&mut building, kind::HEARTBEAT);
        building.packet.extend(&super::paths::heartbeat(nonce));
        self.finish(building, self.config.control_dscp)
    }

    /// Where acknowledgements go: where data came from, unless nothing comes
    /// back from there.
    fn ack_path(&self) -> usize {
        let active = self
            .paths
            .get(self.ack.path)
            .is_some_and(|path| path.state == PathState::Active);
        if active {
            self.ack.path
        } else {
            self.data_path()
        }
    }

    fn put_sack(&mut self, building: &mut Building) {
        if matches!(
            self.state,
            State::Closed | State::CookieWait(_) | State::CookieEchoed(_)
        ) {
            return;
        }
        let room = self.room(building, kind::SACK);
        if room < 16 {
            return;
        }
        self.before_chunk(building, kind::SACK);
        self.rx.sack(room).encode(building.packet.octets());
        self.ack.packets = 0;
        self.ack.immediate = false;
        self.ack.due = None;
        self.ack.begun = true;
        self.ack.last_path = building.path;
    }

    /// Bundles data with a COOKIE ECHO, as much as fits (RFC 9260, section
    /// 5.1, C). Where chunks are authenticated, data waits for the COOKIE ACK.
    fn put_first_data(&mut self, building: &mut Building, now: Instant) {
        let dscp = self.config.control_dscp;
        if self.auth.is_some() {
            return;
        }
        let header = self.data_header_len();
        let mut any = false;
        // What went with a COOKIE ECHO that got lost goes with the next.
        while let Some((tsn, sent)) = self.tx.first_marked() {
            let fragment = sent.fragment.clone();
            let length = padded(header + fragment.payload.len());
            if fragment.dscp != dscp || self.room(building, self.data_kind()) < length {
                break;
            }
            encode(&fragment, tsn, fragment.urgent, building.packet.octets());
            self.tx.sent_again(tsn, building.path, now);
            self.counters.chunks_retransmitted += 1;
            if let Some(way) = self.paths.get_mut(building.path) {
                way.flight += fragment.payload.len();
            }
            any = true;
        }
        while self.tx.first_marked().is_none()
            && let Some(head) = self.queue.head(now)
        {
            let room = (self.room(building, self.data_kind()) & !3).saturating_sub(header);
            let open = self
                .paths
                .get(building.path)
                .is_some_and(|way| way.flight < way.cwnd);
            if head.dscp != dscp || head.left > room || !open || !self.tx.may_send(head.left) {
                break;
            }
            let Some(fragment) = self.queue.take(room) else {
                break;
            };
            self.put_data(building, fragment, now);
            any = true;
        }
        self.tell_expired();
        if any {
            self.after_data(building.path, now);
        }
    }

    fn sack_packet(&mut self) -> Option<Transmit> {
        let path = self.ack_path();
        let mut building = self.building(path, self.peer_tag, 64)?;
        self.put_sack(&mut building);
        // Whatever became of it, one try is made of each.
        self.ack.immediate = false;
        self.finish(building, self.config.control_dscp)
    }

    const fn data_kind(&self) -> u8 {
        if self.capabilities.interleaving {
            kind::I_DATA
        } else {
            kind::DATA
        }
    }

    const fn data_header_len(&self) -> usize {
        if self.capabilities.interleaving {
            I_DATA_HEADER_LEN
        } else {
            DATA_HEADER_LEN
        }
    }

    /// Octets of user data that fit into a packet on every path, so that a
    /// chunk can be sent again on any.
    fn fragment_len_max(&self) -> usize {
        let packet = self
            .paths
            .iter()
            .filter(|path| path.confirmed)
            .map(|path| path.pmtu.current)
            .min()
            .unwrap_or(0);
        let auth = match &self.auth {
            Some(auth) if auth.peer_requires(self.data_kind()) => auth.chunk_len(),
            _ => 0,
        };
        packet
            .saturating_sub(crate::packet::HEADER_LEN + self.data_header_len() + auth)
            .max(64)
            & !3
    }

    /// A packet with data: what is to be sent again, else what is new.
    fn data_packet(&mut self, now: Instant) -> Option<Transmit> {
        if !matches!(
            self.state,
            State::Established | State::ShutdownPending | State::ShutdownReceived
        ) {
            return None;
        }
        self.expire(now);
        let head = self.queue.head(now);
        self.tell_expired();
        // What is urgent and new does not wait for what is not urgent and
        // old.
        let urgent_first = head.is_some_and(|head| self.queue.options(head.stream).urgent) && {
            let marked = self.tx.first_marked();
            marked.is_some_and(|(_, sent)| !sent.fragment.urgent) && !self.tx.has_urgent_marked()
        };
        if !urgent_first && let Some(transmit) = self.retransmission(now) {
            return Some(transmit);
        }
        if let Some(head) = head
            && let Some(transmit) = self.new_data(head, now)
        {
            return Some(transmit);
        }
        if urgent_first {
            return self.retransmission(now);
        }
        None
    }

    fn expire(&mut self, now: Instant) {
        if self.tx.first_marked().is_none() || !self.capabilities.partial_reliability {
            return;
        }
        let mut flights = self.flights();
        let abandoned = self.tx.expire(&mut flights, now);
        if !abandoned.is_empty() {
            self.set_flights(&flights);
            self.tell_abandoned(&abandoned, now);
            self.send_forward(now);
        }
    }

    fn tell_expired(&mut self) {
        for (stream, id) in std::mem::take(&mut self.queue.expired) {
            self.tell(crate::event::Event::Abandoned {
                stream,
                message: crate::event::MessageId(id),
            });
        }
    }

    fn retransmission(&mut self, now: Instant) -> Option<Transmit> {
        let (first, path, dscp) = {
            let (tsn, sent) = self.tx.most_urgent_marked()?;
            let mut path = sent.path;
            let usable = self
                .paths
                .get(path)
                .is_some_and(|way| way.state == PathState::Active);
            if sent.timed_out || !usable {
                // Another way than the one that did not answer (RFC 9260,
                // section 6.4.1).
                path = match self.other_path(path) {
                    Some(other) if !usable => {
                        let best = self.data_path();
                        if best == path { other } else { best }
                    }
                    Some(other) => other,
                    None => self.data_path(),
                };
            }
            (tsn, path, sent.fragment.dscp)
        };
        let way = self.paths.get(path)?;
        let octets = self
            .tx
            .get(first)
            .map_or(0, |sent| sent.fragment.payload.len());
        if way.flight >= way.cwnd && !way.rescue && way.flight > 0 {
            return None;
        }
        if !self.tx.may_send(octets) && self.tx.flight() > 0 {
            return None;
        }
        let mut building = self.building(path, self.peer_tag, 1_500)?;
        if self.ack.packets > 0 && self.ack_path() == path {
            self.put_sack(&mut building);
        }
        let mut next = Some(first);
        let mut any = false;
        while let Some(tsn) = next {
            let Some(sent) = self.tx.get(tsn) else { break };
            let fragment = sent.fragment.clone();
            let timed_out = sent.timed_out;
            let length = padded(self.data_header_len() + fragment.payload.len());
            let fits = self.room(&building, self.data_kind()) >= length;
            if any && (!fits || fragment.dscp != dscp) {
                break;
            }
            let Some(way) = self.paths.get(path) else {
                break;
            };
            if any && way.flight >= way.cwnd {
                break;
            }
            self.before_chunk(&mut building, self.data_kind());
            // After a timeout one packet is under way, for which the peer
            // would wait longer than we do.
            let immediate = fragment.urgent || (timed_out && self.config.immediate_sack);
            encode(&fragment, tsn, immediate, building.packet.octets());
            self.tx.sent_again(tsn, path, now);
            self.counters.chunks_retransmitted += 1;
            if !timed_out {
                self.counters.fast_retransmits += 1;
            }
            if let Some(way) = self.paths.get_mut(path) {
                way.flight += fragment.payload.len();
                way.rescue = false;
            }
            any = true;
            next = self.tx.marked_from(tsn + 1).map(|(tsn, _)| tsn);
        }
        self.after_data(path, now);
        self.finish(building, dscp)
    }

    fn new_data(&mut self, head: Head, now: Instant) -> Option<Transmit> {
        let path = self.data_path();
        let fragment_max = self.fragment_len_max();
        let burst_max = self.config.burst_max.max(1);
        let way = self.paths.get_mut(path)?;
        way.before_data(now);
        if way.flight >= way.cwnd || !way.may_burst(burst_max) {
            return None;
        }
        if !self.tx.may_send(head.left.min(fragment_max)) {
            return None;
        }
        let before = way.flight;
        let mut building = self.building(path, self.peer_tag, 1_500)?;
        if self.ack.packets > 0 && self.ack_path() == path {
            self.put_sack(&mut building);
        }
        let dscp = head.dscp;
        let mut next = Some(head);
        let mut any = false;
        while let Some(head) = next {
            if head.dscp != dscp {
                break;
            }
            let room = (self.room(&building, self.data_kind()) & !3)
                .saturating_sub(self.data_header_len());
            // What does not fit goes into a packet of its own, and is cut
            // only when it does not fit there either.
            if head.left > room && (any || room < 64) {
                break;
            }
            let take = room.min(fragment_max);
            let Some(way) = self.paths.get(path) else {
                break;
            };
            if any && (way.flight >= way.cwnd || !self.tx.may_send(head.left.min(take))) {
                break;
            }
            let Some(fragment) = self.queue.take(take) else {
                break;
            };
            self.put_data(&mut building, fragment, now);
            any = true;
            next = self.queue.head(now);
            self.tell_expired();
        }
        if !any {
            return self.finish(building, self.config.control_dscp);
        }
        if let Some(way) = self.paths.get_mut(path) {
            way.burst(way.flight.saturating_sub(before));
        }
        self.after_data(path, now);
        self.tell_writable();
        self.finish(building, dscp)
    }

    fn put_data(&mut self, building: &mut Building, mut fragment: Fragment, now: Instant) {
        if !self.capabilities.partial_reliability {
            fragment.reliability = Reliability::Reliable;
        }
        let length = fragment.payload.len();
        let urgent = fragment.urgent;
        // The peer need not wait for a second packet that does not come
        // (RFC 9260, section 3.3.1), where its waiting would be long beside
        // our timeout.
        // Nor for one that the window does not let through.
        let alone = self.paths.get(building.path).is_some_and(|way| {
            way.flight + length >= way.cwnd && way.cwnd < 2 * way.chunk_len_max()
        });
        let last = self.config.immediate_sack
            && (self.queue.is_empty() || alone)
            && (self.config.rto.min < Duration::from_millis(250)
                || matches!(self.state, State::ShutdownPending));
        self.before_chunk(building, self.data_kind());
        let tsn = self.tx.push(fragment, building.path, now);
        if let Some(sent) = self.tx.get(tsn) {
            encode(
                &sent.fragment,
                tsn,
                urgent || last,
                building.packet.octets(),
            );
        }
        if let Some(way) = self.paths.get_mut(building.path) {
            way.flight += length;
        }
        self.counters.chunks_sent += 1;
        if urgent && self.probe_due.is_none() {
            self.probe_due = self.probe_wait(building.path).map(|wait| now + wait);
        }
    }

    /// Starts the retransmission timer, unless it runs.
    fn after_data(&mut self, path: usize, now: Instant) {
        if let Some(way) = self.paths.get_mut(path)
            && way.t3.is_none()
        {
            way.t3 = Some(now + way.rto);
        }
    }

    fn tell_writable(&mut self) {
        if self.full.is_empty() {
            return;
        }
        let (open, full): (Vec<u16>, Vec<u16>) = std::mem::take(&mut self.full)
            .into_iter()
            .partition(|stream| self.queue.is_half_empty(*stream, &self.config));
        self.full = full;
        for stream in open {
            self.events
                .push_back(crate::event::Event::Writable { stream });
        }
    }

    // ---- tail-loss probe ----

    /// How long an urgent message may be unacknowledged.
    fn probe_wait(&self, path: usize) -> Option<Duration> {
        let probe = self.config.tail_loss_probe?;
        let way = self.paths.get(path)?;
        let wait = way
            .round_trip()
            .map_or(way.rto / 2, |round_trip| round_trip.saturating_mul(2));
        Some(wait.max(probe.min))
    }

    /// How long this chunk may be unacknowledged before it is sent once more
    /// ahead of the timer: an urgent one, and one that something overtook that
    /// went out later. In a class of its own a chunk that is lost has nothing
    /// behind it that could report it missing for long.
    fn patience(&self, sent: &Sent) -> Option<Duration> {
        let probe = self.config.tail_loss_probe?;
        let twice = |usual: Duration, min: Duration| usual.saturating_mul(2).max(min);
        let overtaken = self
            .tx
            .overtaken(sent)
            .map(|most| twice(most, OVERTAKEN_MIN));
        if !sent.fragment.urgent {
            return overtaken;
        }
        let usual = self.tx.round_trip_of(sent);
        let urgent = usual.map_or_else(
            || self.probe_wait(sent.path),
            |usual| Some(twice(usual, probe.min)),
        );
        urgent.into_iter().chain(overtaken).min()
    }

    /// When the first chunk under way has waited long enough.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        let config = self.config.tail_loss_probe?;
        self.tx
            .in_flight()
            .filter(|(_, sent)| sent.probes < config.probes_max)
            .filter_map(|(_, sent)| self.probe_at(sent))
            .min()
    }

    /// When this chunk is sent once more, where it is still worth that then.
    fn probe_at(&self, sent: &Sent) -> Option<Instant> {
        let wait = self.patience(sent)?;
        let due = sent.sent_at + wait.saturating_mul(1 << u32::from(sent.probes).min(8));
        let worth = match sent.fragment.reliability {
            Reliability::Reliable => true,
            Reliability::Until(end) => due < end,
            Reliability::Retransmits(max) => {
                sent.transmissions.saturating_add(sent.probes.into()) <= max
            }
        };
        worth.then_some(due)
    }

    /// Sends chunks that nothing was heard of once more: urgent ones on a
    /// backup path, and asks the path that they went on whether it is there;
    /// those that were overtaken on their own.
    pub(super) fn on_probe_due(&mut self, now: Instant) {
        self.probe_due = None;
        let Some(config) = self.config.tail_loss_probe else {
            return;
        };
        let late: Vec<(u64, Way)> = self
            .tx
            .in_flight()
            .filter(|(_, sent)| sent.probes < config.probes_max)
            .filter(|(_, sent)| self.probe_at(sent).is_some_and(|due| due <= now))
            .map(|(tsn, sent)| {
                let fragment = &sent.fragment;
                (tsn, (sent.path, fragment.dscp, fragment.urgent))
            })
            .collect();
        let mut ways: Vec<Way> = late.iter().map(|(_, way)| *way).collect();
        ways.sort_unstable_by_key(|(path, dscp, urgent)| (!urgent, *path, *dscp));
        ways.dedup();
        // No more at once than an acknowledgement may set free.
        let mut packets = self.config.burst_max.max(1);
        for way in ways {
            let late = late.iter().filter(|(_, other)| *other == way);
            let late: Vec<u64> = late.map(|(tsn, _)| *tsn).collect();
            let mut rest = late.as_slice();
            while !rest.is_empty() && packets > 0 {
                packets -= 1;
                let taken = self.probe(way, rest, now);
                rest = rest.get(taken.max(1)..).unwrap_or_default();
            }
        }
        // What cannot go out now is not asked for without a pause.
        let soon = now + config.min.max(Duration::from_millis(1));
        self.probe_due = self.next_probe().map(|due| due.max(soon));
    }

    /// Sends a packet of late chunks of one path and code point; tells how many
    /// of them.
    fn probe(&mut self, (from, dscp, urgent): Way, late: &[u64], now: Instant) -> usize {
        // Something came through where a chunk was overtaken.
        let to = if urgent {
            self.other_path(from).unwrap_or(from)
        } else {
            from
        };
        let Some(mut building) = self.building(to, self.peer_tag, 512) else {
            return 0;
        };
        let mut taken = 0;
        for tsn in late {
            let Some(sent) = self.tx.get(*tsn) else {
                break;
            };
            let length = padded(self.data_header_len() + sent.fragment.payload.len());
            if self.room(&building, self.data_kind()) < length {
                break;
            }
            let fragment = sent.fragment.clone();
            self.before_chunk(&mut building, self.data_kind());
            encode(&fragment, *tsn, true, building.packet.octets());
            self.tx.probed(*tsn, to);
            self.counters.tail_loss_probes += 1;
            taken += 1;
        }
        if let Some(transmit) = self.finish(building, dscp) {
            self.probes.push_back(transmit);
        }
        let waits = self.paths.get(from).is_some_and(|path| {
            path.heartbeat
                .is_some_and(|heartbeat| heartbeat.expires < Instant::from_micros(u64::MAX))
        });
        if to != from && !waits {
            self.send_heartbeat(from, now);
        }
        taken
    }

    // ---- partial reliability ----

    /// Tells the peer what was given up, where anything was (RFC 3758,
    /// section 3.5, C).
    pub(super) fn send_forward(&mut self, now: Instant) {
        if !self.capabilities.partial_reliability || !self.tx.must_forward() {
            self.forward_due = None;
            return;
        }
        let path = self.data_path();
        let room = self
            .paths
            .get(path)
            .map_or(0, |path| path.pmtu.current.saturating_sub(100));
        if let Some(forward) = self.tx.forward(self.capabilities.interleaving, room) {
            let mut octets = Vec::new();
            forward.encode(&mut octets);
            let kind = octets.first().copied().unwrap_or_default();
            // One that waits is replaced.
            self.control.retain(|control| control.kind != kind);
            self.queue_control(super::Control {
                kind,
                octets,
                path: Some(path),
                pad_to: None,
            });
            self.forward_due = Some(now + self.rto(path));
        }
    }
}

fn encode(fragment: &Fragment, tsn: u64, immediate: bool, out: &mut Vec<u8>) {
    Data {
        flags: DataFlags {
            immediate,
            unordered: fragment.unordered,
            beginning: fragment.beginning,
            ending: fragment.ending,
        },
        tsn: wire(tsn),
        stream: fragment.stream,
        order: match fragment.order {
            // Unordered DATA has no number (RFC 9260, section 6.6).
            Order::Ssn(_) if fragment.unordered => Order::Ssn(0),
            order => order,
        },
        ppid: fragment.ppid,
        payload: &fragment.payload,
    }
    .encode(out);
}
