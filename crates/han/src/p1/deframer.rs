//! Telegrams found in a stream.

/// Octets that a telegram may have: three times the longest known (thirteen
/// months and a text of 1,024 characters).
pub const TELEGRAM_LENGTH_MAX: usize = 16_384;

/// Finds telegrams in what a serial port gives. Holds at most one.
#[derive(Clone, Debug, Default)]
pub struct Deframer {
    buffer: Vec<u8>,
    /// How much of the buffer was handed out and is to go.
    done: usize,
    ended: bool,
    counters: Counters,
}

/// What a port has given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Telegrams from slash to line end, right or not.
    pub telegrams: u64,
    /// Octets outside any telegram.
    pub noise_octets: u64,
    /// Telegrams without an end: another began, or they were too long.
    pub cut: u64,
}

impl Deframer {
    /// Starts on a silent port.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes octets from the front of `input` until they make a telegram, or
    /// until there are none left.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<&[u8]> {
        self.buffer.drain(..self.done.min(self.buffer.len()));
        self.done = 0;
        while let Some((octet, rest)) = input.split_first() {
            *input = rest;
            let begins_line = self.buffer.last().is_none_or(|last| *last == b'\n');
            // Nothing within a telegram has a slash (IEC 62056-21).
            if *octet == b'/' {
                self.counters.cut += u64::from(!self.buffer.is_empty());
                self.buffer.clear();
                self.ended = false;
            } else if self.buffer.is_empty() {
                self.counters.noise_octets += 1;
                continue;
            } else if *octet == b'!' && begins_line {
                self.ended = true;
            }
            if self.buffer.len() >= TELEGRAM_LENGTH_MAX {
                self.counters.cut += 1;
                self.buffer.clear();
                self.ended = false;
                continue;
            }
            self.buffer.push(*octet);
            if *octet == b'\n' && self.ended {
                self.counters.telegrams += 1;
                self.ended = false;
                self.done = self.buffer.len();
                return Some(&self.buffer);
            }
        }
        None
    }

    /// Tells what the port has given so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }
}
