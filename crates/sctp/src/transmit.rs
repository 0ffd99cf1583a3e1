//! What was sent and is not acknowledged (RFC 9260, sections 6.1, 6.3 and
//! 7.2.4; RFC 3758, section 3.5).
//!
//! TSNs are counted in 64 bits from our initial TSN, so that they never wrap.

use std::collections::{BTreeSet, VecDeque};

use crate::chunk::{ForwardTsn, Order, Sack, Skipped};
use crate::receive::{unwrap, wire};
use crate::scheduler::{Fragment, Reliability};
use crate::time::{Duration, Instant};

/// Reports of a missing chunk that make it sent again at once.
const MISSING_MAX: u8 = 3;

/// Paths and code points that are timed.
const CLASSES_MAX: usize = 64;

/// Further from the next TSN than anything under way can be.
const FAR: u64 = 1 << 24;

/// Where a chunk is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SentState {
    InFlight,
    /// To be sent again.
    Marked,
    /// In a gap ack block.
    Acked,
    /// Given up.
    Abandoned,
}

/// A chunk that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) fragment: Fragment,
    /// The path it went out on last.
    pub(crate) path: usize,
    pub(crate) sent_at: Instant,
    pub(crate) transmissions: u16,
    pub(crate) state: SentState,
    /// Copies that were sent on another path to probe for tail loss.
    pub(crate) probes: u8,
    /// Marked by the retransmission timer, not by reports.
    pub(crate) timed_out: bool,
    missing: u8,
    /// The paths that it went out on, a bit each.
    ways: u32,
}

impl Sent {
    fn len(&self) -> usize {
        self.fragment.payload.len()
    }
}

/// What an acknowledgement says of one path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PathAck {
    /// Octets newly acknowledged.
    pub(crate) octets: usize,
    /// Octets that had been under way.
    pub(crate) before: usize,
    /// Something was acknowledged that can only have come by this path.
    pub(crate) proven: bool,
    /// The earliest chunk under way was acknowledged.
    pub(crate) earliest: bool,
    pub(crate) round_trip: Option<Duration>,
    /// A chunk counts as lost.
    pub(crate) lost: bool,
}

/// What an acknowledgement says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acknowledged {
    pub(crate) advanced: bool,
    pub(crate) paths: Vec<PathAck>,
    /// Messages given up, by stream.
    pub(crate) abandoned: Vec<(u16, u64)>,
}

/// An acknowledgement of what was never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NeverSent;

#[derive(Clone, Debug)]
pub(crate) struct Outstanding {
    /// TSN of the first in the queue.
    base: u64,
    queue: VecDeque<Sent>,
    marked: BTreeSet<u64>,
    gap_acked: usize,
    flight: usize,
    peer_window: usize,
    advanced: u64,
    abandoned: usize,
    /// TSNs began anew at some time: acknowledgements of before may come.
    renumbered: bool,
    timing: Timing,
}

/// How long chunks took to be acknowledged, for each path and code point
/// apart: a network that tells classes apart has a queue for each.
#[derive(Clone, Debug, Default)]
struct Timing {
    classes: Vec<ClassTiming>,
}

#[derive(Clone, Copy, Debug)]
struct ClassTiming {
    path: usize,
    dscp: u8,
    smoothed: Duration,
    /// The longest of late.
    longest: Duration,
    /// When the newest of those went out that are acknowledged.
    newest: Instant,
}

impl Timing {
    /// Takes the round trip of a chunk that went out once.
    fn take(&mut self, sent: &Sent, now: Instant) {
        let took = now.since(sent.sent_at);
        let (path, dscp) = (sent.path, sent.fragment.dscp);
        if let Some(known) = self.of_mut(path, dscp) {
            known.smoothed = known.smoothed - known.smoothed / 8 + took / 8;
            known.longest = took.max(known.longest - known.longest / 8 + took / 8);
            known.newest = known.newest.max(sent.sent_at);
        } else if self.classes.len() < CLASSES_MAX {
            self.classes.push(ClassTiming {
                path,
                dscp,
                smoothed: took,
                longest: took,
                newest: sent.sent_at,
            });
        }
    }

    fn of_mut(&mut self, path: usize, dscp: u8) -> Option<&mut ClassTiming> {
        self.classes
            .iter_mut()
            .find(|class| class.path == path && class.dscp == dscp)
    }

    fn of(&self, path: usize, dscp: u8) -> Option<&ClassTiming> {
        self.classes
            .iter()
            .find(|class| class.path == path && class.dscp == dscp)
    }
}

impl Outstanding {
    pub(crate) fn new(initial_tsn: u32, peer_window: u32) -> Self {
        let base = (1 << 32) + u64::from(initial_tsn);
        Self {
            base,
            queue: VecDeque::new(),
            marked: BTreeSet::new(),
            gap_acked: 0,
            flight: 0,
            peer_window: usize::try_from(peer_window).unwrap_or(usize::MAX),
            advanced: base - 1,
            abandoned: 0,
            renumbered: false,
            timing: Timing::default(),
        }
    }

    /// Begins TSNs anew; nothing is under way.
    pub(crate) fn renumber(&mut self, next_tsn: u32) {
        let window = self.peer_window;
        *self = Self::new(next_tsn, 0);
        self.peer_window = window;
        self.renumbered = true;
    }

    pub(crate) const fn set_peer_window(&mut self, octets: usize) {
        self.peer_window = octets;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// TSN of the next chunk.
    pub(crate) fn next_tsn(&self) -> u64 {
        self.base + u64::try_from(self.queue.len()).unwrap_or(u64::MAX)
    }

    /// The last TSN that the peer has, and all before it.
    pub(crate) const fn cumulative(&self) -> u64 {
        self.base - 1
    }

    pub(crate) const fn flight(&self) -> usize {
        self.flight
    }

    pub(crate) const fn peer_window(&self) -> usize {
        self.peer_window
    }

    /// Octets that the peer's buffer has left; with nothing under way, one
    /// chunk may go anyhow (RFC 9260, section 6.1, A).
    pub(crate) const fn may_send(&self, octets: usize) -> bool {
        self.flight == 0 || octets <= self.peer_window.saturating_sub(self.flight)
    }

    fn at(&self, tsn: u64) -> Option<usize> {
        usize::try_from(tsn.checked_sub(self.base)?).ok()
    }

    pub(crate) fn get(&self, tsn: u64) -> Option<&Sent> {
        self.queue.get(self.at(tsn)?)
    }

    /// Takes a chunk that goes out for the first time, and tells its TSN.
    pub(crate) fn push(&mut self, fragment: Fragment, path: usize, now: Instant) -> u64 {
        let tsn = self.next_tsn();
        self.flight += fragment.payload.len();
        self.queue.push_back(Sent {
            fragment,
            path,
            sent_at: now,
            transmissions: 1,
            state: SentState::InFlight,
            probes: 0,
            timed_out: false,
            missing: 0,
            ways: way(path),
        });
        tsn
    }

    /// Takes a chunk that never goes out, since its message is given up.
    pub(crate) fn push_abandoned(&mut self, fragment: Fragment, path: usize, now: Instant) {
        let length = fragment.payload.len();
        self.push(fragment, path, now);
        self.flight = self.flight.saturating_sub(length);
        if let Some(sent) = self.queue.back_mut() {
            sent.state = SentState::Abandoned;
            self.abandoned += 1;
        }
    }

    /// The first chunk that is to be sent again.
    pub(crate) fn first_marked(&self) -> Option<(u64, &Sent)> {
        self.marked_from(0)
    }

    /// The first urgent chunk that is to be sent again, else the first.
    pub(crate) fn most_urgent_marked(&self) -> Option<(u64, &Sent)> {
        self.urgent_marked().or_else(|| self.first_marked())
    }

    /// Whether an urgent chunk is to be sent again.
    pub(crate) fn has_urgent_marked(&self) -> bool {
        self.urgent_marked().is_some()
    }

    fn urgent_marked(&self) -> Option<(u64, &Sent)> {
        self.marked
            .iter()
            .filter_map(|tsn| Some((*tsn, self.get(*tsn)?)))
            .find(|(_, sent)| sent.fragment.urgent)
    }

    /// The first chunk from `tsn` on that is to be sent again.
    pub(crate) fn marked_from(&self, tsn: u64) -> Option<(u64, &Sent)> {
        let tsn = *self.marked.range(tsn..).next()?;
        Some((tsn, self.get(tsn)?))
    }

    /// Takes note that a marked chunk went out again.
    pub(crate) fn sent_again(&mut self, tsn: u64, path: usize, now: Instant) {
        let Some(at) = self.at(tsn) else { return };
        if let Some(sent) = self.queue.get_mut(at)
            && sent.state == SentState::Marked
        {
            sent.state = SentState::InFlight;
            sent.path = path;
            sent.sent_at = now;
            sent.transmissions = sent.transmissions.saturating_add(1);
            sent.timed_out = false;
            sent.ways |= way(path);
            self.flight += sent.len();
            self.marked.remove(&tsn);
        }
    }

    /// Takes note that a copy of a chunk went out on another path.
    pub(crate) fn probed(&mut self, tsn: u64, path: usize) {
        if let Some(at) = self.at(tsn)
            && let Some(sent) = self.queue.get_mut(at)
        {
            sent.probes = sent.probes.saturating_add(1);
            sent.ways |= way(path);
        }
    }

    /// Whether an acknowledgement had gaps.
    pub(crate) const fn has_gaps(&self) -> bool {
        self.gap_acked > 0
    }

    /// How long chunks of this one's class take on its path, smoothed.
    pub(crate) fn round_trip_of(&self, sent: &Sent) -> Option<Duration> {
        let class = self.timing.of(sent.path, sent.fragment.dscp)?;
        Some(class.smoothed)
    }

    /// How long chunks of this one's class took on its path at most of late,
    /// where something that went out there after it has arrived.
    pub(crate) fn overtaken(&self, sent: &Sent) -> Option<Duration> {
        let mut classes = self.timing.classes.iter();
        if !classes.any(|class| class.path == sent.path && class.newest > sent.sent_at) {
            return None;
        }
        let class = self.timing.of(sent.path, sent.fragment.dscp)?;
        Some(class.longest)
    }

    /// Chunks under way with their TSNs.
    pub(crate) fn in_flight(&self) -> impl Iterator<Item = (u64, &Sent)> {
        (self.base..)
            .zip(&self.queue)
            .filter(|(_, sent)| sent.state == SentState::InFlight)
    }

    /// Takes the cumulative TSN ack of a SHUTDOWN, which has no gap ack
    /// blocks.
    pub(crate) fn shutdown_ack(
        &mut self,
        cumulative: u32,
        flights: &mut [usize],
        now: Instant,
    ) -> Result<Acknowledged, NeverSent> {
        let sack = Sack {
            cumulative_tsn_ack: cumulative,
            ..Sack::default()
        };
        let window = self.peer_window.saturating_add(self.flight);
        let done = self.acknowledge(&sack, &[], flights, now);
        self.peer_window = window;
        done
    }

    /// Takes an acknowledgement. `recovering` holds for each path the TSN
    /// that ends its fast recovery; `flights` holds the octets under way on
    /// each path.
    pub(crate) fn acknowledge(
        &mut self,
        sack: &Sack,
        recovering: &[Option<u64>],
        flights: &mut [usize],
        now: Instant,
    ) -> Result<Acknowledged, NeverSent> {
        let cumulative = unwrap(self.cumulative(), sack.cumulative_tsn_ack);
        let mut done = Acknowledged {
            paths: flights
                .iter()
                .map(|flight| PathAck {
                    before: *flight,
                    ..PathAck::default()
                })
                .collect(),
            ..Acknowledged::default()
        };
        let end = self.next_tsn();
        let last_gap = sack.gaps.iter().map(|(_, last)| u64::from(*last)).max();
        if self.renumbered && cumulative.abs_diff(end) > FAR {
            return Ok(done);
        }
        if cumulative >= end
            || last_gap.is_some_and(|last| {
                cumulative >= self.cumulative() && cumulative.saturating_add(last) >= end
            })
        {
            return Err(NeverSent);
        }
        if cumulative < self.cumulative() {
            // It was overtaken by a later one.
            return Ok(done);
        }
        done.advanced = cumulative > self.cumulative();
        let mut earliest_seen = vec![false; flights.len()];
        let mut newest: Vec<(usize, u8, u64)> = Vec::new();

        while self.base <= cumulative {
            let tsn = self.base;
            let Some(sent) = self.queue.pop_front() else {
                break;
            };
            self.base += 1;
            match sent.state {
                SentState::Acked => self.gap_acked -= 1,
                SentState::Abandoned => self.abandoned -= 1,
                SentState::InFlight => {
                    self.flight = self.flight.saturating_sub(sent.len());
                    note(
                        &sent,
                        tsn,
                        now,
                        flights,
                        &mut done.paths,
                        &earliest_seen,
                        &mut newest,
                        &mut self.timing,
                        true,
                    );
                }
                SentState::Marked => {
                    self.marked.remove(&tsn);
                    note(
                        &sent,
                        tsn,
                        now,
                        flights,
                        &mut done.paths,
                        &earliest_seen,
                        &mut newest,
                        &mut self.timing,
                        false,
                    );
                }
            }
        }
        self.advanced = self.advanced.max(cumulative);

        if !sack.gaps.is_empty() || self.gap_acked > 0 {
            self.gaps(
                sack,
                cumulative,
                now,
                flights,
                &mut done,
                &mut earliest_seen,
                &mut newest,
            );
        }
        if !sack.gaps.is_empty() {
            self.count_missing(
                sack, cumulative, recovering, flights, &newest, &mut done, now,
            );
        }
        self.peer_window = usize::try_from(sack.a_rwnd).unwrap_or(usize::MAX);
        Ok(done)
    }

    /// Goes through the gap ack blocks. What an earlier acknowledgement told
    /// and this one does not was thrown away by the peer, and is under way
    /// again.
    fn gaps(
        &mut self,
        sack: &Sack,
        cumulative: u64,
        now: Instant,
        flights: &mut [usize],
        done: &mut Acknowledged,
        earliest_seen: &mut [bool],
        newest: &mut Vec<(usize, u8, u64)>,
    ) {
        let mut blocks: Vec<(u64, u64)> = sack
            .gaps
            .iter()
            .filter(|(first, last)| *first > 0 && first <= last)
            .map(|(first, last)| {
                (
                    cumulative + u64::from(*first),
                    cumulative + u64::from(*last),
                )
            })
            .collect();
        blocks.sort_unstable();
        let mut blocks = blocks.into_iter().peekable();
        for (tsn, sent) in (self.base..).zip(self.queue.iter_mut()) {
            while blocks.peek().is_some_and(|(_, last)| *last < tsn) {
                blocks.next();
            }
            let told = blocks.peek().is_some_and(|(first, _)| *first <= tsn);
            match (told, sent.state) {
                (true, SentState::InFlight) => {
                    self.flight = self.flight.saturating_sub(sent.len());
                    note(
                        sent,
                        tsn,
                        now,
                        flights,
                        &mut done.paths,
                        earliest_seen,
                        newest,
                        &mut self.timing,
                        true,
                    );
                    sent.state = SentState::Acked;
                    self.gap_acked += 1;
                }
                (true, SentState::Marked) => {
                    self.marked.remove(&tsn);
                    note(
                        sent,
                        tsn,
                        now,
                        flights,
                        &mut done.paths,
                        earliest_seen,
                        newest,
                        &mut self.timing,
                        false,
                    );
                    sent.state = SentState::Acked;
                    self.gap_acked += 1;
                }
                (false, SentState::Acked) => {
                    sent.state = SentState::InFlight;
                    self.flight += sent.len();
                    self.gap_acked -= 1;
                    if let Some(flight) = flights.get_mut(sent.path) {
                        *flight += sent.len();
                    }
                }
                (false, SentState::InFlight) => {
                    if let Some(seen) = earliest_seen.get_mut(sent.path) {
                        *seen = true;
                    }
                }
                _ => {}
            }
        }
    }

    /// Counts reports of missing chunks by the highest TSN newly acknowledged
    /// (RFC 9260, section 7.2.4), for each path and code point apart: what
    /// went another way, or in another class, may just be faster.
    fn count_missing(
        &mut self,
        sack: &Sack,
        cumulative: u64,
        recovering: &[Option<u64>],
        flights: &mut [usize],
        newest: &[(usize, u8, u64)],
        done: &mut Acknowledged,
        now: Instant,
    ) {
        let Some(last) = sack.gaps.iter().map(|(_, last)| u64::from(*last)).max() else {
            return;
        };
        let horizon = cumulative + last;
        // In fast recovery, an advance of the cumulative TSN counts as a
        // report of everything that is missing below the last block.
        let mut highest: Vec<(usize, u8, u64)> = newest.to_vec();
        if done.advanced && recovering.iter().any(Option::is_some) {
            for (tsn, sent) in (self.base..=horizon).zip(&self.queue) {
                if sent.state == SentState::Acked
                    && recovering.get(sent.path).is_some_and(Option::is_some)
                {
                    raise(&mut highest, sent.path, sent.fragment.dscp, tsn);
                }
            }
        }
        if highest.is_empty() {
            return;
        }
        let mut lost = Vec::new();
        for (tsn, sent) in (self.base..=horizon).zip(self.queue.iter_mut()) {
            if sent.state != SentState::InFlight || sent.transmissions > 1 {
                continue;
            }
            let later = highest.iter().any(|(path, dscp, top)| {
                *path == sent.path && *dscp == sent.fragment.dscp && *top > tsn
            });
            if later {
                sent.missing = sent.missing.saturating_add(1);
                if sent.missing >= MISSING_MAX {
                    lost.push(tsn);
                }
            }
        }
        for tsn in lost {
            let path = self.get(tsn).map(|sent| sent.path);
            self.mark(tsn, false, flights, now, &mut done.abandoned);
            if let Some(path) = path
                && let Some(ack) = done.paths.get_mut(path)
            {
                ack.lost = true;
            }
        }
    }

    /// Marks a chunk to be sent again, or gives its message up.
    fn mark(
        &mut self,
        tsn: u64,
        timed_out: bool,
        flights: &mut [usize],
        now: Instant,
        abandoned: &mut Vec<(u16, u64)>,
    ) {
        let Some(at) = self.at(tsn) else { return };
        let Some(sent) = self.queue.get_mut(at) else {
            return;
        };
        if sent.state != SentState::InFlight {
            return;
        }
        let length = sent.len();
        self.flight = self.flight.saturating_sub(length);
        if let Some(flight) = flights.get_mut(sent.path) {
            *flight = flight.saturating_sub(length);
        }
        sent.state = SentState::Marked;
        sent.timed_out = timed_out;
        sent.missing = 0;
        self.marked.insert(tsn);
        if is_over(sent, now) {
            let (stream, id) = (sent.fragment.stream, sent.fragment.id);
            self.abandon(id, flights);
            abandoned.push((stream, id));
        }
    }

    /// The retransmission timer of a path ran out: everything under way
    /// there is to be sent again. Tells the messages given up.
    pub(crate) fn timed_out(
        &mut self,
        path: usize,
        flights: &mut [usize],
        now: Instant,
    ) -> Vec<(u16, u64)> {
        let late: Vec<u64> = self
            .in_flight()
            .filter(|(_, sent)| sent.path == path)
            .map(|(tsn, _)| tsn)
            .collect();
        let mut abandoned = Vec::new();
        for tsn in late {
            self.mark(tsn, true, flights, now, &mut abandoned);
        }
        abandoned
    }

    /// Gives up marked messages whose time is over.
    pub(crate) fn expire(&mut self, flights: &mut [usize], now: Instant) -> Vec<(u16, u64)> {
        let mut over: Vec<(u16, u64)> = self
            .marked
            .iter()
            .filter_map(|tsn| self.get(*tsn))
            .filter(
                |sent| matches!(sent.fragment.reliability, Reliability::Until(end) if end <= now),
            )
            .map(|sent| (sent.fragment.stream, sent.fragment.id))
            .collect();
        over.dedup();
        for (_, id) in &over {
            self.abandon(*id, flights);
        }
        over
    }

    /// Gives up a message.
    fn abandon(&mut self, id: u64, flights: &mut [usize]) {
        for (tsn, sent) in (self.base..).zip(self.queue.iter_mut()) {
            if sent.fragment.id != id {
                continue;
            }
            match sent.state {
                SentState::InFlight => {
                    let length = sent.len();
                    self.flight = self.flight.saturating_sub(length);
                    if let Some(flight) = flights.get_mut(sent.path) {
                        *flight = flight.saturating_sub(length);
                    }
                }
                SentState::Marked => {
                    self.marked.remove(&tsn);
                }
                SentState::Acked | SentState::Abandoned => continue,
            }
            sent.state = SentState::Abandoned;
            self.abandoned += 1;
        }
    }

    /// Whether the peer must be told that chunks were given up.
    pub(crate) fn must_forward(&mut self) -> bool {
        if self.abandoned > 0 {
            while self
                .get(self.advanced + 1)
                .is_some_and(|sent| sent.state == SentState::Abandoned)
            {
                self.advanced += 1;
            }
        }
        self.advanced > self.cumulative()
    }

    /// Makes the chunk that tells it, of at most `len_max` octets.
    pub(crate) fn forward(&mut self, interleaving: bool, len_max: usize) -> Option<ForwardTsn> {
        if !self.must_forward() {
            return None;
        }
        let each = if interleaving { 8 } else { 4 };
        let room = len_max.saturating_sub(8) / each;
        let mut streams: Vec<(u16, bool, u32)> = Vec::new();
        let mut new = self.cumulative();
        for (tsn, sent) in (self.base..=self.advanced).zip(&self.queue) {
            let fragment = &sent.fragment;
            if fragment.unordered && !interleaving {
                new = tsn;
                continue;
            }
            let number = match fragment.order {
                Order::Ssn(ssn) => u32::from(ssn),
                Order::Mid { mid, .. } => mid,
            };
            let known = streams
                .iter()
                .position(|(stream, u, _)| *stream == fragment.stream && *u == fragment.unordered);
            if let Some((.., last)) = known.and_then(|at| streams.get_mut(at)) {
                *last = number;
            } else if streams.len() < room {
                streams.push((fragment.stream, fragment.unordered, number));
            } else {
                break;
            }
            new = tsn;
        }
        Some(ForwardTsn {
            new_cumulative_tsn: wire(new),
            skipped: if interleaving {
                Skipped::Mid(streams)
            } else {
                Skipped::Ssn(
                    streams
                        .into_iter()
                        .map(|(stream, _, ssn)| (stream, crate::scheduler::low(ssn)))
                        .collect(),
                )
            },
        })
    }

    /// Whether anything of a stream is not acknowledged.
    pub(crate) fn has_stream(&self, stream: u16) -> bool {
        self.queue.iter().any(|sent| {
            sent.fragment.stream == stream
                && matches!(sent.state, SentState::InFlight | SentState::Marked)
        })
    }

    /// Messages of which something is not acknowledged, some several times.
    pub(crate) fn messages(&self) -> Vec<u64> {
        self.queue
            .iter()
            .filter(|sent| matches!(sent.state, SentState::InFlight | SentState::Marked))
            .map(|sent| sent.fragment.id)
            .collect()
    }
}

/// Whether a message is not worth sending again.
fn is_over(sent: &Sent, now: Instant) -> bool {
    match sent.fragment.reliability {
        Reliability::Reliable => false,
        Reliability::Until(end) => end <= now,
        Reliability::Retransmits(max) => sent.transmissions > max,
    }
}

const fn way(path: usize) -> u32 {
    if path < 32 { 1 << path } else { 0 }
}

fn raise(highest: &mut Vec<(usize, u8, u64)>, path: usize, dscp: u8, tsn: u64) {
    match highest
        .iter_mut()
        .find(|(other, code, _)| *other == path && *code == dscp)
    {
        Some((.., top)) => *top = (*top).max(tsn),
        None => highest.push((path, dscp, tsn)),
    }
}

/// Counts a newly acknowledged chunk for its path.
fn note(
    sent: &Sent,
    tsn: u64,
    now: Instant,
    flights: &mut [usize],
    paths: &mut [PathAck],
    earliest_seen: &[bool],
    newest: &mut Vec<(usize, u8, u64)>,
    timing: &mut Timing,
    in_flight: bool,
) {
    let length = sent.len();
    if in_flight && let Some(flight) = flights.get_mut(sent.path) {
        *flight = flight.saturating_sub(length);
    }
    if let Some(ack) = paths.get_mut(sent.path) {
        ack.octets += length;
        // Where it went out on two paths, it may have come by either.
        if sent.ways == way(sent.path) {
            ack.proven = true;
        }
        // Karn: nothing is measured by what went out twice.
        if sent.probes == 0 && sent.transmissions == 1 {
            ack.round_trip = Some(now.since(sent.sent_at));
            timing.take(sent, now);
        }
        if earliest_seen.get(sent.path) == Some(&false) {
            ack.earliest = true;
        }
    }
    if sent.transmissions == 1 {
        raise(newest, sent.path, sent.fragment.dscp, tsn);
    }
}
