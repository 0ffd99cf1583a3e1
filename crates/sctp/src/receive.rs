//! What arrives: which TSNs were received, fragments on their way to being
//! messages, messages on their way to being in order
//! (RFC 9260, sections 6.2 to 6.9; RFC 8260, section 2; RFC 3758, 3.6).
//!
//! TSNs are counted here in 64 bits from the peer's initial TSN, so that they
//! never wrap.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::chunk::{Data, ForwardTsn, Order, Sack, Skipped};

/// Octets that keeping a chunk costs besides its user data, as it counts
/// against the receive buffer.
pub const CHUNK_COST: usize = 128;

/// Runs of received TSNs behind gaps; a chunk that would make one more is
/// dropped.
pub const GAPS_MAX: usize = 512;

/// TSNs behind the cumulative one that are taken: what a gap ack block can
/// tell.
pub const WINDOW_MAX: u64 = 65_535;

const DUPLICATES_MAX: usize = 32;

/// A message that arrived whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its stream.
    pub stream: u16,
    /// Payload protocol identifier.
    pub ppid: u32,
    /// Whether it was sent to be delivered out of order.
    pub unordered: bool,
    /// The octets.
    pub payload: Bytes,
}

impl Message {
    fn cost(&self) -> usize {
        self.payload.len() + CHUNK_COST
    }
}

/// What became of a DATA chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Taken, and everything before it too.
    InOrder,
    /// Taken, and something before it is missing.
    Gap,
    /// It was there already.
    Duplicate,
    /// There is no room for it.
    Dropped,
}

/// What the peer did against the rules, or cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// Fragments that do not fit together.
    Fragments,
    /// A message longer than is taken, or fragments that fill the buffer.
    TooLong,
}

/// Which fragments may belong together. In DATA that are neighbours in the
/// TSN; I-DATA says it.
type Group = (u16, bool, u32);

#[derive(Clone, Debug)]
struct Run {
    end: u64,
    stream: u16,
    unordered: bool,
    number: u32,
    ppid: u32,
    begins: bool,
    ends: bool,
    octets: usize,
    pieces: VecDeque<Bytes>,
}

#[derive(Clone, Debug, Default)]
struct InStream {
    next: u64,
    waiting: BTreeMap<u64, Message>,
}

#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    cumulative: u64,
    /// First and last TSN of each run behind the cumulative one.
    gaps: BTreeMap<u64, u64>,
    duplicates: Vec<u32>,
    runs: BTreeMap<(Group, u64), Run>,
    streams: BTreeMap<u16, InStream>,
    ready: VecDeque<Message>,
    held: usize,
    limit: usize,
    message_len_max: usize,
    interleaving: bool,
    advertised: usize,
}

impl Receiver {
    pub(crate) fn new(
        initial_tsn: u32,
        interleaving: bool,
        limit: usize,
        message_len_max: usize,
    ) -> Self {
        Self {
            cumulative: (1 << 32) + u64::from(initial_tsn) - 1,
            gaps: BTreeMap::new(),
            duplicates: Vec::new(),
            runs: BTreeMap::new(),
            streams: BTreeMap::new(),
            ready: VecDeque::new(),
            held: 0,
            limit,
            message_len_max,
            interleaving,
            advertised: limit,
        }
    }

    pub(crate) const fn cumulative(&self) -> u64 {
        self.cumulative
    }

    /// The TSN in 64 bits that is nearest to the cumulative one.
    pub(crate) fn unwrap(&self, tsn: u32) -> u64 {
        unwrap(self.cumulative, tsn)
    }

    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Octets that may still come.
    pub(crate) const fn window(&self) -> usize {
        self.limit.saturating_sub(self.held)
    }

    fn is_received(&self, tsn: u64) -> bool {
        tsn <= self.cumulative
            || self
                .gaps
                .range(..=tsn)
                .next_back()
                .is_some_and(|(_, end)| tsn <= *end)
    }

    /// Takes a chunk; with `discard` its TSN counts as received and its data
    /// goes nowhere.
    pub(crate) fn data(&mut self, data: &Data<'_>, discard: bool) -> Result<Arrival, Violation> {
        let tsn = self.unwrap(data.tsn);
        if self.is_received(tsn) {
            if self.duplicates.len() < DUPLICATES_MAX {
                self.duplicates.push(data.tsn);
            }
            return Ok(Arrival::Duplicate);
        }
        if tsn > self.cumulative + WINDOW_MAX {
            return Ok(Arrival::Dropped);
        }
        let next = tsn == self.cumulative + 1;
        let cost = data.payload.len() + CHUNK_COST;
        // What closes the gap is taken even where the buffer is full of what
        // stands behind the gap.
        let limit = if next {
            self.limit.saturating_add(65_536)
        } else {
            self.limit
        };
        if self.held.saturating_add(cost) > limit {
            return if next && self.ready.is_empty() && self.gaps.is_empty() {
                Err(Violation::TooLong)
            } else {
                Ok(Arrival::Dropped)
            };
        }
        if !self.note(tsn) {
            return Ok(Arrival::Dropped);
        }
        if !discard {
            self.take(tsn, data)?;
        }
        Ok(if self.gaps.is_empty() {
            Arrival::InOrder
        } else {
            Arrival::Gap
        })
    }

    /// Takes note of a TSN that was not received before, and tells whether
    /// there was room for that.
    fn note(&mut self, tsn: u64) -> bool {
        if tsn == self.cumulative + 1 {
            self.cumulative = tsn;
            self.close_gap();
            return true;
        }
        let left = self
            .gaps
            .range(..tsn)
            .next_back()
            .filter(|(_, end)| **end + 1 == tsn)
            .map(|(start, _)| *start);
        let right = self.gaps.get(&(tsn + 1)).copied();
        if right.is_some() {
            self.gaps.remove(&(tsn + 1));
        }
        if left.is_none() && right.is_none() && self.gaps.len() >= GAPS_MAX {
            return false;
        }
        self.gaps.insert(left.unwrap_or(tsn), right.unwrap_or(tsn));
        true
    }

    /// Moves the cumulative TSN over what was received behind it.
    fn close_gap(&mut self) {
        while let Some(entry) = self.gaps.first_entry() {
            if *entry.key() > self.cumulative + 1 {
                break;
            }
            let end = entry.remove();
            self.cumulative = self.cumulative.max(end);
        }
    }

    fn take(&mut self, tsn: u64, data: &Data<'_>) -> Result<(), Violation> {
        let (group, index, number) = match data.order {
            Order::Ssn(ssn) => ((0, false, 0), tsn, u32::from(ssn)),
            Order::Mid { mid, fsn } => (
                (data.stream, data.flags.unordered, mid),
                u64::from(fsn),
                mid,
            ),
        };
        if data.payload.len() > self.message_len_max {
            return Err(Violation::TooLong);
        }
        let piece = Bytes::copy_from_slice(data.payload);
        self.held += piece.len() + CHUNK_COST;
        if data.flags.beginning && data.flags.ending {
            self.complete(
                number,
                Message {
                    stream: data.stream,
                    ppid: data.ppid,
                    unordered: data.flags.unordered,
                    payload: piece,
                },
            );
            return Ok(());
        }
        let run = Run {
            end: index,
            stream: data.stream,
            unordered: data.flags.unordered,
            number,
            ppid: data.ppid,
            begins: data.flags.beginning,
            ends: data.flags.ending,
            octets: piece.len(),
            pieces: VecDeque::from([piece]),
        };
        self.join(group, index, run)
    }

    /// Joins a fragment with its neighbours, and makes the message when it is
    /// whole.
    fn join(&mut self, group: Group, index: u64, mut run: Run) -> Result<(), Violation> {
        let mut start = index;
        if !run.begins
            && let Some((&key, left)) = self.runs.range(..(group, index)).next_back()
            && key.0 == group
        {
            if left.end >= index {
                return Err(Violation::Fragments);
            }
            if left.end + 1 == index && !left.ends {
                if !left.is_of(&run) {
                    return Err(Violation::Fragments);
                }
                if let Some(left) = self.runs.remove(&key) {
                    run = left.followed_by(run);
                    start = key.1;
                }
            } else if left.end + 1 == index {
                // The message before ended, so that this must begin one.
                return Err(Violation::Fragments);
            }
        }
        if !run.ends
            && let Some(right) = self.runs.get(&(group, run.end + 1))
            && !right.begins
        {
            if !right.is_of(&run) {
                return Err(Violation::Fragments);
            }
            let key = (group, run.end + 1);
            if let Some(right) = self.runs.remove(&key) {
                run = run.followed_by(right);
            }
        }
        if run.octets > self.message_len_max {
            return Err(Violation::TooLong);
        }
        if run.begins && run.ends {
            self.held = self.held.saturating_sub(run.cost());
            let (number, message) = run.whole();
            self.held += message.cost();
            self.complete(number, message);
        } else if self.runs.insert((group, start), run).is_some() {
            return Err(Violation::Fragments);
        }
        Ok(())
    }

    /// Puts a whole message in order.
    fn complete(&mut self, number: u32, message: Message) {
        if message.unordered {
            self.ready.push_back(message);
            return;
        }
        let bits = self.number_bits();
        let entry = self.streams.entry(message.stream).or_default();
        let Some(number) = unwrap_number(entry.next, number, bits) else {
            // Older than what was given up.
            self.held = self.held.saturating_sub(message.cost());
            return;
        };
        if number == entry.next {
            entry.next += 1;
            self.ready.push_back(message);
            while let Some(message) = entry.waiting.remove(&entry.next) {
                entry.next += 1;
                self.ready.push_back(message);
            }
        } else {
            let cost = message.cost();
            if let Entry::Vacant(place) = entry.waiting.entry(number) {
                place.insert(message);
            } else {
                // The peer used a number twice; the first stays.
                self.held = self.held.saturating_sub(cost);
            }
        }
    }

    const fn number_bits(&self) -> u32 {
        if self.interleaving { 32 } else { 16 }
    }

    /// Takes messages that arrived before.
    pub(crate) fn keep(&mut self, messages: VecDeque<Message>) {
        self.held += messages.iter().map(Message::cost).sum::<usize>();
        self.ready.extend(messages);
    }

    /// Gives the next message to the application.
    pub(crate) fn deliver(&mut self) -> Option<Message> {
        let message = self.ready.pop_front()?;
        self.held = self.held.saturating_sub(message.cost());
        Some(message)
    }

    /// Whether the window opened so far that the peer should hear of it.
    pub(crate) const fn window_opened(&self) -> bool {
        let window = self.window();
        self.advertised < self.limit / 2 && window >= self.advertised + self.limit / 4
    }

    /// Makes a SACK with as many gap ack blocks as fit into `len_max` octets.
    pub(crate) fn sack(&mut self, len_max: usize) -> Sack {
        let room = len_max.saturating_sub(16) / 4;
        let mut gaps = Vec::with_capacity(self.gaps.len().min(room));
        for (start, end) in &self.gaps {
            if gaps.len() == room {
                break;
            }
            let offset = |tsn: u64| u16::try_from(tsn - self.cumulative).unwrap_or(u16::MAX);
            gaps.push((offset(*start), offset(*end)));
        }
        let mut duplicates = std::mem::take(&mut self.duplicates);
        duplicates.truncate(room - gaps.len());
        self.advertised = self.window();
        Sack {
            cumulative_tsn_ack: wire(self.cumulative),
            a_rwnd: u32::try_from(self.advertised).unwrap_or(u32::MAX),
            gaps,
            duplicates,
        }
    }

    /// Takes a FORWARD TSN, and tells whether it moved anything.
    pub(crate) fn forward(&mut self, forward: &ForwardTsn) -> bool {
        let new = self.unwrap(forward.new_cumulative_tsn);
        if new <= self.cumulative {
            return false;
        }
        self.cumulative = new;
        while let Some(entry) = self.gaps.first_entry() {
            if *entry.key() > new {
                break;
            }
            let end = entry.remove();
            self.cumulative = self.cumulative.max(end);
        }
        self.close_gap();
        match &forward.skipped {
            Skipped::Ssn(streams) => {
                // What follows a fragment that was given up is never whole.
                self.drop_runs(|(_, start), run| {
                    *start <= new || (*start == new + 1 && !run.begins)
                });
                for (stream, ssn) in streams {
                    self.skip(*stream, u32::from(*ssn));
                }
            }
            Skipped::Mid(streams) => {
                for (stream, unordered, mid) in streams {
                    self.drop_runs(|((other, u, number), _), _| {
                        other == stream && u == unordered && !is_after(*number, *mid)
                    });
                    if !unordered {
                        self.skip(*stream, *mid);
                    }
                }
            }
        }
        true
    }

    fn drop_runs(&mut self, gone: impl Fn(&(Group, u64), &Run) -> bool) {
        let mut freed = 0;
        self.runs.retain(|key, run| {
            let goes = gone(key, run);
            if goes {
                freed += run.cost();
            }
            !goes
        });
        self.held = self.held.saturating_sub(freed);
    }

    /// Delivers what of a stream is there up to `number`, and waits no longer
    /// for the rest of it.
    fn skip(&mut self, stream: u16, number: u32) {
        let bits = self.number_bits();
        let entry = self.streams.entry(stream).or_default();
        let Some(number) = unwrap_number(entry.next, number, bits) else {
            return;
        };
        let later = entry.waiting.split_off(&(number + 1));
        let kept = std::mem::replace(&mut entry.waiting, later);
        self.ready.extend(kept.into_values());
        entry.next = number + 1;
        while let Some(message) = entry.waiting.remove(&entry.next) {
            entry.next += 1;
            self.ready.push_back(message);
        }
    }

    /// Begins TSNs and the numbers of all streams anew. Whole messages that
    /// waited for others are delivered, as after a FORWARD TSN over all.
    pub(crate) fn renumber(&mut self, next_tsn: u32) {
        self.runs.clear();
        self.gaps.clear();
        self.duplicates.clear();
        for entry in std::mem::take(&mut self.streams).into_values() {
            self.ready.extend(entry.waiting.into_values());
        }
        self.held = self.ready.iter().map(Message::cost).sum();
        self.cumulative = (1 << 32) + u64::from(next_tsn) - 1;
    }

    /// Starts the numbers of a stream at 0; what waited for a number goes.
    pub(crate) fn reset(&mut self, stream: u16) {
        if let Some(gone) = self.streams.remove(&stream) {
            let freed: usize = gone.waiting.values().map(Message::cost).sum();
            self.held = self.held.saturating_sub(freed);
        }
    }

    /// Streams that were used so far.
    pub(crate) fn used(&self) -> Vec<u16> {
        self.streams.keys().copied().collect()
    }

    /// Octets that are kept now, with what keeping them costs.
    #[cfg(test)]
    pub(crate) const fn held(&self) -> usize {
        self.held
    }
}

impl Run {
    const fn is_of(&self, other: &Self) -> bool {
        self.stream == other.stream
            && self.unordered == other.unordered
            && self.number == other.number
    }

    fn cost(&self) -> usize {
        self.octets + self.pieces.len() * CHUNK_COST
    }

    /// Joins two runs, the shorter one into the longer.
    fn followed_by(mut self, mut next: Self) -> Self {
        let ppid = if self.begins { self.ppid } else { next.ppid };
        let octets = self.octets + next.octets;
        let pieces = if self.pieces.len() >= next.pieces.len() {
            self.pieces.append(&mut next.pieces);
            self.pieces
        } else {
            while let Some(piece) = self.pieces.pop_back() {
                next.pieces.push_front(piece);
            }
            next.pieces
        };
        Self {
            end: next.end,
            ends: next.ends,
            ppid,
            octets,
            pieces,
            ..self
        }
    }

    fn whole(self) -> (u32, Message) {
        let mut payload = Vec::with_capacity(self.octets);
        for piece in self.pieces {
            payload.extend_from_slice(&piece);
        }
        let message = Message {
            stream: self.stream,
            ppid: self.ppid,
            unordered: self.unordered,
            payload: payload.into(),
        };
        (self.number, message)
    }
}

/// The 64-bit number nearest to `reference` whose low 32 bits are `tsn`.
pub(crate) fn unwrap(reference: u64, tsn: u32) -> u64 {
    let distance = tsn.wrapping_sub(wire(reference)).cast_signed();
    reference.saturating_add_signed(i64::from(distance))
}

/// The low 32 bits.
pub(crate) fn wire(tsn: u64) -> u32 {
    let [_, _, _, _, a, b, c, d] = tsn.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// Whether `a` comes after `b` in serial number arithmetic (RFC 1982).
pub(crate) const fn is_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

/// The number of at least `next` whose low `bits` are `number`, unless it
/// lies before `next`.
fn unwrap_number(next: u64, number: u32, bits: u32) -> Option<u64> {
    let modulus = 1_u64 << bits;
    let distance = u64::from(number).wrapping_sub(next) % modulus;
    (distance < modulus / 2).then(|| next + distance)
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement with RFC 9260 section 6 and RFC 3758.

    use super::*;
    use crate::chunk::DataFlags;

    const INITIAL: u32 = u32::MAX - 2;

    fn receiver(interleaving: bool) -> Receiver {
        Receiver::new(INITIAL, interleaving, 100_000, 50_000)
    }

    fn data(at: u32, ssn: u16, flags: &str, payload: &'static [u8]) -> Data<'static> {
        Data {
            flags: DataFlags {
                immediate: false,
                unordered: flags.contains('U'),
                beginning: flags.contains('B'),
                ending: flags.contains('E'),
            },
            tsn: INITIAL.wrapping_add(at),
            stream: 1,
            order: Order::Ssn(ssn),
            ppid: 7,
            payload,
        }
    }

    fn delivered(receiver: &mut Receiver) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| receiver.deliver())
            .map(|message| message.payload.to_vec())
            .collect()
    }

    #[test]
    fn fragments_in_any_order_make_the_message_across_the_wrap() {
        let parts = [
            data(0, 0, "B", b"a"),
            data(1, 0, "", b"b"),
            data(2, 0, "", b"c"),
            data(3, 0, "", b"d"),
            data(4, 0, "E", b"e"),
        ];
        for order in [
            [0, 1, 2, 3, 4],
            [4, 3, 2, 1, 0],
            [1, 3, 0, 4, 2],
            [2, 0, 4, 1, 3],
        ] {
            let mut receiver = receiver(false);
            for at in order {
                receiver.data(&parts[at], false).unwrap();
            }
            assert_eq!(delivered(&mut receiver), [b"abcde"]);
            assert_eq!(
                receiver.cumulative(),
                receiver.unwrap(INITIAL.wrapping_add(4))
            );
            assert_eq!(receiver.held(), 0);
        }
    }

    #[test]
    fn messages_wait_for_those_before_them_unless_unordered() {
        let mut receiver = receiver(false);
        receiver.data(&data(1, 1, "BE", b"second"), false).unwrap();
        receiver.data(&data(2, 0, "UBE", b"now"), false).unwrap();
        assert_eq!(delivered(&mut receiver), [b"now"]);
        receiver.data(&data(0, 0, "BE", b"first"), false).unwrap();
        assert_eq!(
            delivered(&mut receiver),
            [b"first".to_vec(), b"second".to_vec()]
        );
    }

    #[test]
    fn gaps_and_duplicates_are_told() {
        let mut receiver = receiver(false);
        for at in [0, 2, 3, 5, 3] {
            receiver.data(&data(at, 0, "UBE", b"x"), false).unwrap();
        }
        let sack = receiver.sack(1_000);
        assert_eq!(sack.cumulative_tsn_ack, INITIAL);
        assert_eq!(sack.gaps, [(2, 3), (5, 5)]);
        assert_eq!(sack.duplicates, [INITIAL.wrapping_add(3)]);
        assert_eq!(receiver.sack(1_000).duplicates, [0_u32; 0]);
        assert_eq!(receiver.sack(20).gaps, [(2, 3)]);
    }

    #[test]
    fn what_is_given_up_holds_nothing_back() {
        let mut receiver = receiver(false);
        receiver.data(&data(0, 0, "B", b"half"), false).unwrap();
        receiver.data(&data(3, 2, "BE", b"kept"), false).unwrap();
        assert!(delivered(&mut receiver).is_empty());
        assert!(receiver.forward(&ForwardTsn {
            new_cumulative_tsn: INITIAL.wrapping_add(2),
            skipped: Skipped::Ssn(vec![(1, 1)]),
        }));
        assert_eq!(delivered(&mut receiver), [b"kept"]);
        assert_eq!(
            receiver.cumulative(),
            receiver.unwrap(INITIAL.wrapping_add(3))
        );
        assert_eq!(receiver.held(), 0);
    }

    #[test]
    fn the_rest_of_what_is_given_up_is_not_kept() {
        let mut receiver = receiver(false);
        for (at, flags) in [(0, "B"), (2, "E"), (3, "B")] {
            receiver.data(&data(at, 0, flags, b"part"), false).unwrap();
        }
        receiver.forward(&ForwardTsn {
            new_cumulative_tsn: INITIAL.wrapping_add(1),
            skipped: Skipped::Ssn(vec![(1, 0)]),
        });
        assert_eq!(receiver.held(), 4 + CHUNK_COST);
    }

    #[test]
    fn fragments_that_do_not_fit_are_a_violation() {
        let mut receiver = receiver(false);
        receiver.data(&data(0, 0, "B", b"a"), false).unwrap();
        assert_eq!(
            receiver.data(&data(1, 1, "E", b"b"), false),
            Err(Violation::Fragments)
        );
    }

    #[test]
    fn a_full_buffer_takes_no_more() {
        let mut receiver = receiver(false);
        static BLOCK: [u8; 1_000] = [0; 1_000];
        let mut taken = 0;
        for at in 1..1_000 {
            if receiver.data(&data(at, 0, "UBE", &BLOCK), false) == Ok(Arrival::Gap) {
                taken += 1;
            }
        }
        assert_eq!(taken, 100_000 / (1_000 + CHUNK_COST));
        assert!(receiver.window() < 1_000 + CHUNK_COST);
        assert_eq!(
            receiver.data(&data(0, 0, "UBE", &BLOCK), false),
            Ok(Arrival::InOrder)
        );
    }
}
