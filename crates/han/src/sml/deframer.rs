//! Files found in a stream.

use super::{END, ESCAPE, FILE_LENGTH_MAX, VERSION_1};

/// Finds files in what an optical head gives. Holds at most one.
#[derive(Clone, Debug, Default)]
pub struct Deframer {
    buffer: Vec<u8>,
    done: usize,
    counters: Counters,
}

/// What a head has given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Files from start to end, right or not.
    pub files: u64,
    /// Octets outside any file.
    pub noise_octets: u64,
    /// Files without an end: another began, or they were too long.
    pub cut: u64,
}

/// Escape and version.
const START_LENGTH: usize = ESCAPE.len() + VERSION_1.len();

impl Deframer {
    /// Starts on a silent port.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes octets from the front of `input` until they make a file, or until
    /// there are none left.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<&[u8]> {
        self.buffer.drain(..self.done.min(self.buffer.len()));
        self.done = 0;
        while let Some((octet, rest)) = input.split_first() {
            *input = rest;
            self.buffer.push(*octet);
            if self.buffer.len() <= START_LENGTH {
                self.await_start();
                continue;
            }
            if self.restarts() {
                self.counters.cut += 1;
                self.buffer.drain(..self.buffer.len() - START_LENGTH);
            } else if self.ends() {
                self.counters.files += 1;
                self.done = self.buffer.len();
                return Some(&self.buffer);
            }
            if self.buffer.len() > FILE_LENGTH_MAX {
                self.counters.cut += 1;
                self.buffer.clear();
            }
        }
        None
    }

    /// Tells what the head has given so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Drops octets from the front until they may begin a file.
    fn await_start(&mut self) {
        let start = [ESCAPE, VERSION_1];
        while !self.buffer.is_empty() && !start.as_flattened().starts_with(&self.buffer) {
            self.buffer.remove(0);
            self.counters.noise_octets += 1;
        }
    }

    /// Tells whether another file begins with the last octets: the one before
    /// was cut, so it may stand anywhere.
    fn restarts(&self) -> bool {
        let start = [ESCAPE, VERSION_1];
        self.buffer
            .strip_suffix(start.as_flattened())
            .is_some_and(|before| !before.ends_with(&ESCAPE))
    }

    /// Tells whether the last octets end the file. Marks stand at multiples of
    /// four from its start, since files are filled up to that; an escape that
    /// is itself escaped is none.
    fn ends(&self) -> bool {
        if !self.buffer.len().is_multiple_of(4) {
            return false;
        }
        let mut words = self.buffer.rchunks_exact(4);
        let last = words.next().and_then(|word| word.first());
        let escapes = words.take_while(|word| **word == ESCAPE).count();
        // Of an odd number in a row, the last is an escape.
        last == Some(&END) && !escapes.is_multiple_of(2)
    }
}
