//! Messages that wait to be sent, and the schedulers that choose among the
//! streams (RFC 8260, section 3).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::chunk::Order;
use crate::config::Config;
use crate::time::Instant;

/// Which stream comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheduler {
    /// Messages in the order in which they were handed in (RFC 8260, 3.1).
    #[default]
    FirstCome,
    /// One message of each stream in turn; one fragment where messages are
    /// interleaved (3.2).
    RoundRobin,
    /// The stream with the lowest priority number, always; streams of equal
    /// priority in turn (3.4).
    Priority,
    /// Each stream its share by weight (3.6).
    WeightedFair,
}

/// How one stream is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// 0 comes first.
    pub priority: u16,
    /// Share of the stream in weighted fair queueing; 0 counts as 1.
    pub weight: u16,
    /// Differentiated services code point, 0 to 63, of packets with data of
    /// this stream. Data of two code points is never in one packet.
    pub dscp: u8,
    /// Whether messages are acknowledged at once, and probed on a backup path
    /// where no acknowledgement comes.
    pub urgent: bool,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            priority: 256,
            weight: 1,
            dscp: 0,
            urgent: false,
        }
    }
}

/// How long a message is worth sending (RFC 3758, and section 3.1 of
/// RFC 7496).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reliability {
    /// Until it arrived.
    #[default]
    Reliable,
    /// Until then.
    Until(Instant),
    /// Until each fragment was sent again this often.
    Retransmits(u16),
}

/// A message that waits.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) payload: Bytes,
    pub(crate) ppid: u32,
    pub(crate) unordered: bool,
    pub(crate) reliability: Reliability,
    pub(crate) id: u64,
    /// Octets that went out.
    offset: usize,
    /// SSN or MID, chosen with the first fragment.
    number: Option<u32>,
    fsn: u32,
}

impl Pending {
    pub(crate) const fn new(
        id: u64,
        payload: Bytes,
        ppid: u32,
        unordered: bool,
        reliability: Reliability,
    ) -> Self {
        Self {
            payload,
            ppid,
            unordered,
            reliability,
            id,
            offset: 0,
            number: None,
            fsn: 0,
        }
    }

    const fn left(&self) -> usize {
        self.payload.len().saturating_sub(self.offset)
    }
}

/// A fragment that goes out for the first time.
#[derive(Clone, Debug)]
pub(crate) struct Fragment {
    pub(crate) id: u64,
    pub(crate) stream: u16,
    pub(crate) payload: Bytes,
    pub(crate) ppid: u32,
    pub(crate) unordered: bool,
    pub(crate) beginning: bool,
    pub(crate) ending: bool,
    pub(crate) order: Order,
    pub(crate) reliability: Reliability,
    pub(crate) dscp: u8,
    pub(crate) urgent: bool,
}

/// What stands first in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) stream: u16,
    pub(crate) dscp: u8,
    pub(crate) left: usize,
}

#[derive(Clone, Debug, Default)]
struct OutStream {
    options: StreamOptions,
    queue: VecDeque<Pending>,
    /// What was handed in while the stream, or all, is being reset.
    held: VecDeque<Pending>,
    resetting: bool,
    buffered: usize,
    next_ordered: u32,
    next_unordered: u32,
    key: Option<Key>,
    finish: u64,
}

/// Place of a stream in the line.
type Key = (u64, u64, u16);

/// Everything that waits to be sent.
#[derive(Clone, Debug)]
pub(crate) struct SendQueue {
    scheduler: Scheduler,
    pub(crate) interleaving: bool,
    /// Boxed: a tree has room for eleven wherever it has one.
    streams: BTreeMap<u16, Box<OutStream>>,
    line: BTreeSet<Key>,
    turn: u64,
    virtual_time: u64,
    /// Without interleaving a message goes out whole, once begun.
    begun: Option<u16>,
    buffered: usize,
    messages: usize,
    holding: bool,
    /// Messages given up before anything of them went out.
    pub(crate) expired: Vec<(u16, u64)>,
}

/// Why a message is not taken onto a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
}

impl SendQueue {
    pub(crate) const fn new(scheduler: Scheduler) -> Self {
        Self {
            scheduler,
            interleaving: false,
            streams: BTreeMap::new(),
            line: BTreeSet::new(),
            turn: 0,
            virtual_time: 0,
            begun: None,
            buffered: 0,
            messages: 0,
            holding: false,
            expired: Vec::new(),
        }
    }

    pub(crate) fn set_options(&mut self, stream: u16, options: StreamOptions) {
        let entry = self.streams.entry(stream).or_default();
        entry.options = options;
        if let Some(key) = entry.key.take() {
            self.line.remove(&key);
            self.enqueue(stream);
        }
    }

    pub(crate) fn options(&self, stream: u16) -> StreamOptions {
        self.streams
            .get(&stream)
            .map(|stream| stream.options)
            .unwrap_or_default()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// How many messages wait whole, and which in part.
    pub(crate) fn waiting(&self) -> (usize, Vec<u64>) {
        let begun: Vec<u64> = self
            .streams
            .values()
            .filter_map(|entry| entry.queue.front())
            .filter(|head| head.offset > 0)
            .map(|head| head.id)
            .collect();
        (self.messages.saturating_sub(begun.len()), begun)
    }

    pub(crate) const fn buffered(&self) -> usize {
        self.buffered
    }

    pub(crate) fn buffered_on(&self, stream: u16) -> usize {
        self.streams
            .get(&stream)
            .map_or(0, |stream| stream.buffered)
    }

    /// Whether at most half of what a stream takes waits there.
    pub(crate) fn is_half_empty(&self, stream: u16, config: &Config) -> bool {
        self.streams.get(&stream).is_none_or(|entry| {
            entry.buffered <= config.stream_buffer_max / 2
                && entry.queue.len() + entry.held.len() <= config.stream_messages_max / 2
        })
    }

    pub(crate) fn push(
        &mut self,
        stream: u16,
        message: Pending,
        config: &Config,
    ) -> Result<(), Refused> {
        let entry = self.streams.entry(stream).or_default();
        let length = message.payload.len();
        let waiting = entry.queue.len() + entry.held.len();
        if (waiting > 0 && entry.buffered.saturating_add(length) > config.stream_buffer_max)
            || waiting >= config.stream_messages_max
        {
            return Err(Refused::Full);
        }
        entry.buffered += length;
        self.buffered += length;
        self.messages += 1;
        if entry.resetting || self.holding {
            entry.held.push_back(message);
        } else {
            entry.queue.push_back(message);
            self.enqueue(stream);
        }
        Ok(())
    }

    /// Puts a stream in line, if it is not there and has something to send.
    fn enqueue(&mut self, stream: u16) {
        let Some(entry) = self.streams.get_mut(&stream) else {
            return;
        };
        let Some(head) = entry.queue.front() else {
            return;
        };
        if entry.key.is_some() {
            return;
        }
        let key = match self.scheduler {
            Scheduler::FirstCome => (head.id, 0, stream),
            Scheduler::RoundRobin => (self.turn, 0, stream),
            Scheduler::Priority => (u64::from(entry.options.priority), self.turn, stream),
            Scheduler::WeightedFair => (entry.finish.max(self.virtual_time), self.turn, stream),
        };
        self.turn += 1;
        entry.key = Some(key);
        self.line.insert(key);
    }

    fn leave(&mut self, stream: u16) {
        if let Some(entry) = self.streams.get_mut(&stream)
            && let Some(key) = entry.key.take()
        {
            self.line.remove(&key);
        }
    }

    /// Tells what comes next; messages whose time is over are given up here.
    pub(crate) fn head(&mut self, now: Instant) -> Option<Head> {
        loop {
            let stream = match self.begun {
                Some(stream) => stream,
                None => self.line.first()?.2,
            };
            let entry = self.streams.get_mut(&stream)?;
            let head = entry.queue.front()?;
            if let Reliability::Until(end) = head.reliability
                && end <= now
                && head.offset == 0
            {
                self.expired.push((stream, head.id));
                self.drop_head(stream);
                continue;
            }
            return Some(Head {
                stream,
                dscp: entry.options.dscp,
                left: head.left(),
            });
        }
    }

    /// Removes the first message of a stream and puts the stream anew in
    /// line.
    fn drop_head(&mut self, stream: u16) {
        self.leave(stream);
        if let Some(entry) = self.streams.get_mut(&stream)
            && let Some(gone) = entry.queue.pop_front()
        {
            entry.buffered = entry.buffered.saturating_sub(gone.left());
            self.buffered = self.buffered.saturating_sub(gone.left());
            self.messages -= 1;
        }
        if self.begun == Some(stream) {
            self.begun = None;
        }
        self.enqueue(stream);
    }

    /// Takes at most `payload_max` octets of what comes next.
    pub(crate) fn take(&mut self, payload_max: usize) -> Option<Fragment> {
        let stream = match self.begun {
            Some(stream) => stream,
            None => self.line.first()?.2,
        };
        let entry = self.streams.get_mut(&stream)?;
        let message = entry.queue.front_mut()?;
        let number = match message.number {
            Some(number) => number,
            None => {
                let next = if message.unordered {
                    &mut entry.next_unordered
                } else {
                    &mut entry.next_ordered
                };
                let number = *next;
                // Unordered DATA has no number.
                if self.interleaving || !message.unordered {
                    *next = next.wrapping_add(1);
                }
                message.number = Some(number);
                number
            }
        };
        let take = message.left().min(payload_max);
        let from = message.offset;
        let fragment = Fragment {
            id: message.id,
            stream,
            payload: message.payload.slice(from..from + take),
            ppid: message.ppid,
            unordered: message.unordered,
            beginning: from == 0,
            ending: from + take == message.payload.len(),
            order: if self.interleaving {
                Order::Mid {
                    mid: number,
                    fsn: message.fsn,
                }
            } else {
                Order::Ssn(low(number))
            },
            reliability: message.reliability,
            dscp: entry.options.dscp,
            urgent: entry.options.urgent,
        };
        message.offset += take;
        message.fsn = message.fsn.wrapping_add(1);
        entry.buffered = entry.buffered.saturating_sub(take);
        self.buffered = self.buffered.saturating_sub(take);
        self.served(stream, take, fragment.ending);
        Some(fragment)
    }

    /// Finds the stream its next place in line.
    fn served(&mut self, stream: u16, octets: usize, ended: bool) {
        const SCALE: u64 = 1 << 16;
        if self.scheduler == Scheduler::WeightedFair
            && let Some(entry) = self.streams.get_mut(&stream)
        {
            let start = entry
                .key
                .map_or(self.virtual_time, |(start, ..)| start)
                .max(entry.finish);
            let cost = u64::try_from(octets).unwrap_or(u64::MAX).max(1);
            let weight = u64::from(entry.options.weight.max(1));
            self.virtual_time = self.virtual_time.max(start);
            entry.finish = start.saturating_add(cost.saturating_mul(SCALE) / weight);
        }
        if ended {
            if let Some(entry) = self.streams.get_mut(&stream) {
                entry.queue.pop_front();
                self.messages -= 1;
            }
            self.begun = None;
            self.leave(stream);
            self.enqueue(stream);
        } else if self.interleaving {
            // A message that came first is not left for a later one.
            if self.scheduler != Scheduler::FirstCome {
                self.leave(stream);
                self.enqueue(stream);
            }
        } else {
            self.begun = Some(stream);
        }
    }

    /// Gives up what is left of a message that was begun, and makes an empty
    /// last fragment of it. It takes a TSN that the peer can only hear of as
    /// given up: else, where all that was sent got there after all, the peer
    /// would wait for the rest.
    pub(crate) fn abandon(&mut self, stream: u16, id: u64) -> Option<Fragment> {
        let entry = self.streams.get(&stream)?;
        let head = entry.queue.front().filter(|head| head.id == id)?;
        let number = head.number?;
        let rest = Fragment {
            id,
            stream,
            payload: Bytes::new(),
            ppid: head.ppid,
            unordered: head.unordered,
            beginning: false,
            ending: true,
            order: if self.interleaving {
                Order::Mid {
                    mid: number,
                    fsn: head.fsn,
                }
            } else {
                Order::Ssn(low(number))
            },
            reliability: head.reliability,
            dscp: entry.options.dscp,
            urgent: false,
        };
        self.drop_head(stream);
        Some(rest)
    }

    /// Gives up what waits on streams from `first` on, before anything went
    /// out there, and tells it.
    pub(crate) fn drop_from(&mut self, first: u16) -> Vec<(u16, u64)> {
        let streams: Vec<u16> = self.streams.range(first..).map(|(at, _)| *at).collect();
        let mut gone = Vec::new();
        for stream in streams {
            self.leave(stream);
            let Some(entry) = self.streams.get_mut(&stream) else {
                continue;
            };
            let waiting = entry.queue.drain(..).chain(entry.held.drain(..));
            let before = gone.len();
            gone.extend(waiting.map(|message| (stream, message.id)));
            self.messages = self.messages.saturating_sub(gone.len() - before);
            self.buffered = self.buffered.saturating_sub(entry.buffered);
            entry.buffered = 0;
        }
        gone
    }

    /// Whether the stream has sent everything handed in before its reset.
    pub(crate) fn is_drained(&self, stream: u16) -> bool {
        self.streams
            .get(&stream)
            .is_none_or(|entry| entry.queue.is_empty())
    }

    /// Streams that were used so far.
    pub(crate) fn used(&self) -> Vec<u16> {
        self.streams.keys().copied().collect()
    }

    /// Holds back what is handed in from now on.
    pub(crate) fn hold(&mut self, stream: u16) {
        self.streams.entry(stream).or_default().resetting = true;
    }

    /// Holds back on all streams what is handed in from now on.
    pub(crate) const fn hold_all(&mut self) {
        self.holding = true;
    }

    /// Whether everything handed in before was sent once.
    pub(crate) fn is_drained_all(&self) -> bool {
        self.streams.values().all(|entry| entry.queue.is_empty())
    }

    /// Whether of some message a part was sent, and not all.
    pub(crate) fn is_begun(&self) -> bool {
        self.streams
            .values()
            .filter_map(|entry| entry.queue.front())
            .any(|head| head.offset > 0 || head.number.is_some())
    }

    /// Starts the numbers of all streams at 0.
    pub(crate) fn restart(&mut self) {
        for entry in self.streams.values_mut() {
            entry.next_ordered = 0;
            entry.next_unordered = 0;
        }
    }

    /// Sends what was held back, but on streams that are being reset.
    pub(crate) fn release_all(&mut self) {
        self.holding = false;
        for stream in self.used() {
            if let Some(entry) = self.streams.get_mut(&stream)
                && !entry.resetting
            {
                let held = std::mem::take(&mut entry.held);
                entry.queue.extend(held);
                self.enqueue(stream);
            }
        }
    }

    /// Ends a reset: where it was done, numbers start at 0.
    pub(crate) fn release(&mut self, stream: u16, done: bool) {
        let Some(entry) = self.streams.get_mut(&stream) else {
            return;
        };
        entry.resetting = false;
        if done {
            entry.next_ordered = 0;
            entry.next_unordered = 0;
        }
        let held = std::mem::take(&mut entry.held);
        entry.queue.extend(held);
        self.enqueue(stream);
    }
}

/// The low sixteen bits.
pub(crate) fn low(number: u32) -> u16 {
    let [_, _, high, low] = number.to_be_bytes();
    u16::from_be_bytes([high, low])
}
