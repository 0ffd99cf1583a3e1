//! An ear on a line where meters push.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::exchange::UnnumberedAssembly;
use super::{Address, Control, Deframer, LineCounters};
use crate::{Duration, Instant};

/// Most senders whose messages are put together at a time.
const SENDERS_MAX: usize = 16;

/// A message that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Whom it is for.
    pub destination: Address,
    /// Whose it is.
    pub source: Address,
    /// The message, without its LLC header if it had one.
    pub octets: Vec<u8>,
}

/// Puts together what meters push, unasked, in UI frames, and in I frames on
/// the customer interfaces whose meters send those without a connection
/// (Kaifa MA304H3E, control field 10). It never transmits.
#[derive(Debug)]
pub struct Listener {
    deframer: Deframer,
    senders: BTreeMap<(Address, Address), UnnumberedAssembly>,
    messages: VecDeque<Pushed>,
    message_length_max: usize,
    inter_octet_timeout: Duration,
    last_octet: Instant,
    dropped: u64,
}

impl Listener {
    /// Starts on a silent line. Messages of more than `message_length_max`
    /// octets are dropped; a pause of more than `inter_octet_timeout` ends a
    /// frame.
    #[must_use]
    pub fn new(message_length_max: usize, inter_octet_timeout: Duration) -> Self {
        Self {
            deframer: Deframer::new(),
            senders: BTreeMap::new(),
            messages: VecDeque::new(),
            message_length_max,
            inter_octet_timeout,
            last_octet: Instant::ORIGIN,
            dropped: 0,
        }
    }

    /// Takes octets of the line.
    pub fn handle(&mut self, mut octets: &[u8], now: Instant) {
        if now.since(self.last_octet) > self.inter_octet_timeout {
            loop {
                self.receive(&mut &[][..]);
                if !self.deframer.pause() {
                    break;
                }
            }
        }
        self.last_octet = now;
        self.receive(&mut octets);
    }

    /// Takes the next message; call until there is none.
    pub fn poll(&mut self) -> Option<Pushed> {
        self.messages.pop_front()
    }

    /// Tells what the line has carried so far.
    #[must_use]
    pub const fn line_counters(&self) -> &LineCounters {
        self.deframer.counters()
    }

    /// Counts messages that were too long, or whose sender was one too many.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    fn receive(&mut self, octets: &mut &[u8]) {
        while let Some(frame) = self.deframer.next(octets) {
            if !matches!(
                frame.control,
                Control::UnnumberedInformation { .. } | Control::Information { .. }
            ) {
                continue;
            }
            let key = (frame.destination, frame.source);
            if !self.senders.contains_key(&key) && self.senders.len() >= SENDERS_MAX {
                self.dropped += 1;
                continue;
            }
            let length_max = self.message_length_max;
            let assembly = self
                .senders
                .entry(key)
                .or_insert_with(|| UnnumberedAssembly::new(length_max));
            match assembly.push(frame.information, frame.segmented) {
                Ok(None) => {}
                Ok(Some(message)) => {
                    self.messages.push_back(Pushed {
                        destination: frame.destination,
                        source: frame.source,
                        octets: message,
                    });
                    self.senders.remove(&key);
                }
                Err(()) => {
                    self.dropped += 1;
                    self.senders.remove(&key);
                }
            }
        }
    }
}
