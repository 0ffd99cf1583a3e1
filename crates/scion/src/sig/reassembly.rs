//! Packets taken out of frames.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::frame::{FrameError, HEADER, Header, StreamId, packet_length};

/// The longest packet: that of IPv6 without extension, in octets.
pub const MAX_PACKET: usize = 40 + 65_535;

/// Most flows of one peer at once. One more makes the longest idle go.
pub const MAX_STREAMS: usize = 64;

/// After this long without a frame a flow is forgotten, so that a gateway that
/// starts anew with the same number is heard.
const IDLE: Duration = Duration::from_secs(30);

/// What became of frames and packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that came.
    pub frames: u64,
    /// Packets that were handed on.
    pub packets: u64,
    /// Frames that never came before a later one did.
    pub missing: u64,
    /// Frames that came twice or too late; they are left out.
    pub late: u64,
    /// Frames that were malformed, in whole or from some place on.
    pub malformed: u64,
    /// Packets that were begun and not ended.
    pub torn: u64,
    /// Flows that made room for others.
    pub evicted: u64,
}

#[derive(Clone, Debug)]
struct Stream {
    next: u64,
    last: Duration,
    /// What there is of a packet, and how long it will be.
    part: Vec<u8>,
    length: usize,
}

/// Takes the packets out of one peer's frames, in order and without waiting:
/// a frame that is missing takes the packets it had a part of with it.
#[derive(Clone, Debug, Default)]
pub struct Reassembler {
    streams: BTreeMap<(u8, StreamId), Stream>,
    counters: Counters,
}

impl Reassembler {
    /// Starts with nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows what became of all so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes a frame that came at `now`, counted from any fixed moment, and
    /// hands each packet that it ends to `deliver`.
    ///
    /// # Errors
    /// [`FrameError`] where it is malformed: what stood before the fault was
    /// handed on.
    pub fn take(
        &mut self,
        frame: &[u8],
        now: Duration,
        mut deliver: impl FnMut(&[u8]),
    ) -> Result<(), FrameError> {
        self.counters.frames += 1;
        let (header, payload) = Header::decode(frame).inspect_err(|_| {
            self.counters.malformed += 1;
        })?;
        self.make_room(&header, now);
        let counters = &mut self.counters;
        let stream = self
            .streams
            .entry((header.session, header.stream))
            .or_insert_with(|| Stream {
                next: header.sequence,
                last: now,
                part: Vec::new(),
                length: 0,
            });
        if header.sequence < stream.next {
            counters.late += 1;
            return Ok(());
        }
        stream.last = now;
        if header.sequence > stream.next {
            counters.missing = counters
                .missing
                .saturating_add(header.sequence - stream.next);
            counters.torn += u64::from(!stream.part.is_empty());
            stream.part.clear();
        }
        stream.next = header.sequence.saturating_add(1);
        stream
            .unpack(&header, payload, counters, &mut deliver)
            .inspect_err(|_| counters.malformed += 1)
    }

    fn make_room(&mut self, header: &Header, now: Duration) {
        let key = (header.session, header.stream);
        let idle = |stream: &Stream| now.saturating_sub(stream.last) > IDLE;
        if self.streams.get(&key).is_some_and(idle) {
            self.streams.remove(&key);
        }
        if self.streams.contains_key(&key) || self.streams.len() < MAX_STREAMS {
            return;
        }
        self.streams.retain(|_, stream| !idle(stream));
        while self.streams.len() >= MAX_STREAMS {
            let longest = self.streams.iter().min_by_key(|(_, stream)| stream.last);
            let Some(longest) = longest.map(|(key, _)| *key) else {
                return;
            };
            self.streams.remove(&longest);
            self.counters.evicted += 1;
        }
    }
}

impl Stream {
    fn unpack(
        &mut self,
        header: &Header,
        payload: &[u8],
        counters: &mut Counters,
        deliver: &mut impl FnMut(&[u8]),
    ) -> Result<(), FrameError> {
        let start = header.start.map_or(payload.len(), usize::from);
        let (rest, begins) = payload.split_at_checked(start).unwrap_or((payload, &[]));
        let mut fault = Ok(());
        if !self.part.is_empty() {
            let missing = self.length.saturating_sub(self.part.len());
            let there = rest.len();
            let goes_on = header.start.is_none() && there < missing;
            if goes_on || there == missing {
                self.part.extend_from_slice(rest);
            }
            if there == missing {
                deliver(&self.part);
                counters.packets += 1;
                self.part.clear();
            } else if !goes_on {
                counters.torn += 1;
                self.part.clear();
                fault = Err(FrameError::Rest { missing, there });
            }
        }
        let mut packets = begins;
        while !packets.is_empty() {
            let at = HEADER + payload.len() - packets.len();
            let length =
                packet_length(packets).map_err(|reason| FrameError::Packet { at, reason })?;
            match packets.split_at_checked(length) {
                Some((packet, others)) => {
                    deliver(packet);
                    counters.packets += 1;
                    packets = others;
                }
                None => {
                    self.part.extend_from_slice(packets);
                    self.length = length;
                    break;
                }
            }
        }
        fault
    }
}
