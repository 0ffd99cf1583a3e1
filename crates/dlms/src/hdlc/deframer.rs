//! Frames out of a stream of octets.

use alloc::vec::Vec;

use super::frame::{CLOSING_FLAG, FCS, FORMAT, HCS, HEADER_LENGTH_MAX, LENGTH};
use super::{FLAG, FRAME_LENGTH_MAX, Frame};
use crate::codec::{DecodeError, Reader};

/// Finds frames in a stream.
///
/// A frame of type 3 has its length and no stuffing, so a flag may stand
/// inside one. What begins like a frame and is none is passed over up to the
/// next flag, which may lie within it: one octet of noise costs at most the
/// frame that it falls into. A closing flag may open the next frame.
///
/// Holds at most one frame of the greatest length. Nothing that a line
/// carries is an error: it is counted in [`LineCounters`].
#[derive(Clone, Debug, Default)]
pub struct Deframer {
    /// From the flag that may open a frame.
    buffer: Vec<u8>,
    /// Octets at the front of the buffer that are done with.
    done: usize,
    /// Whether the header of the candidate was found right.
    header_checked: bool,
    counters: LineCounters,
}

/// What a line has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounters {
    /// Frames with right check sequences.
    pub frames: u64,
    /// Octets outside any frame.
    pub noise_octets: u64,
    /// What began like a frame of another type than 3.
    pub format_faults: u64,
    /// Frames whose length cannot be.
    pub length_faults: u64,
    /// Frames with an address of a width that does not exist.
    pub address_faults: u64,
    /// Frames with a wrong header check sequence.
    pub hcs_faults: u64,
    /// Frames with a wrong frame check sequence.
    pub fcs_faults: u64,
    /// Frames without a flag where their length says.
    pub closing_flag_faults: u64,
    /// Frames that a pause or the end cut short.
    pub abandoned: u64,
}

impl Deframer {
    /// Starts on a silent line.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            buffer: Vec::new(),
            done: 0,
            header_checked: false,
            counters: LineCounters {
                frames: 0,
                noise_octets: 0,
                format_faults: 0,
                length_faults: 0,
                address_faults: 0,
                hcs_faults: 0,
                fcs_faults: 0,
                closing_flag_faults: 0,
                abandoned: 0,
            },
        }
    }

    /// Takes octets from the front of `input` until they make a frame, or
    /// until there are none left.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Frame<'_>> {
        self.buffer.drain(..self.done.min(self.buffer.len()));
        self.done = 0;
        loop {
            if self.buffer.is_empty() {
                let start = input.iter().position(|octet| *octet == FLAG);
                let (noise, rest) = input
                    .split_at_checked(start.unwrap_or(input.len()))
                    .unwrap_or_default();
                self.counters.noise_octets += noise.len() as u64;
                *input = rest;
                if rest.is_empty() {
                    return None;
                }
            }
            match self.candidate() {
                Candidate::Needs(count) => {
                    if input.is_empty() {
                        return None;
                    }
                    let missing = count.saturating_sub(self.buffer.len()).max(1);
                    let (taken, rest) = input.split_at_checked(missing).unwrap_or((*input, &[]));
                    self.buffer.extend_from_slice(taken);
                    *input = rest;
                }
                Candidate::None => self.skip(),
                Candidate::Refused(error) => {
                    self.count(&error);
                    self.skip();
                }
                Candidate::Frame(length) => {
                    self.counters.frames += 1;
                    self.header_checked = false;
                    // The closing flag stays: it may open the next frame.
                    self.done = length + 1;
                    break;
                }
            }
        }
        Frame::parse(&mut Reader::new(&self.buffer), true).ok()
    }

    /// Tells that the line paused for longer than is allowed within a frame:
    /// what has come of one is none. Frames behind it are found by calling
    /// [`next`](Self::next) until it has none, and then this again.
    ///
    /// Returns whether anything was given up.
    pub fn pause(&mut self) -> bool {
        self.buffer.drain(..self.done.min(self.buffer.len()));
        self.done = 0;
        if self.is_idle() {
            return false;
        }
        self.counters.abandoned += 1;
        self.skip();
        true
    }

    /// Tells whether no frame has begun.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.buffer.len().saturating_sub(self.done) <= 1
    }

    /// Tells what the line has carried so far.
    #[must_use]
    pub const fn counters(&self) -> &LineCounters {
        &self.counters
    }

    fn candidate(&mut self) -> Candidate {
        match *self.buffer.as_slice() {
            [] | [_] => return Candidate::Needs(2),
            [_, FLAG, ..] => return Candidate::None,
            // A flag at the end of one frame and noise behind it.
            [_, kind, ..] if kind & 0xF0 != 0xA0 => {
                self.counters.format_faults += 1;
                return Candidate::None;
            }
            [_, _] => return Candidate::Needs(3),
            _ => {}
        }
        let length = match *self.buffer.as_slice() {
            [_, high, low, ..] => usize::from(u16::from_be_bytes([high, low])) & FRAME_LENGTH_MAX,
            _ => return Candidate::None,
        };
        let total = length + 2;
        if !self.header_checked {
            let needed = total.min(HEADER_LENGTH_MAX);
            if length >= super::frame::FRAME_LENGTH_MIN && self.buffer.len() < needed {
                return Candidate::Needs(needed);
            }
            if let Err(error) = Frame::check_header(&self.buffer) {
                return Candidate::Refused(error);
            }
            self.header_checked = true;
        }
        if self.buffer.len() < total {
            return Candidate::Needs(total);
        }
        match Frame::parse(&mut Reader::new(&self.buffer), false) {
            Ok(_) => Candidate::Frame(length),
            Err(error) => Candidate::Refused(error),
        }
    }

    /// Passes over the flag that opened no frame, up to the next.
    fn skip(&mut self) {
        self.header_checked = false;
        let next = self
            .buffer
            .iter()
            .skip(1)
            .position(|octet| *octet == FLAG)
            .map_or(self.buffer.len(), |at| at + 1);
        self.counters.noise_octets += next.saturating_sub(1) as u64;
        self.buffer.drain(..next.min(self.buffer.len()));
    }

    fn count(&mut self, error: &DecodeError) {
        let counters = &mut self.counters;
        *match error.field {
            FORMAT => &mut counters.format_faults,
            LENGTH => &mut counters.length_faults,
            HCS => &mut counters.hcs_faults,
            FCS => &mut counters.fcs_faults,
            CLOSING_FLAG => &mut counters.closing_flag_faults,
            _ => &mut counters.address_faults,
        } += 1;
    }
}

enum Candidate {
    /// The buffer must hold so many octets before more can be said.
    Needs(usize),
    /// A flag between frames.
    None,
    Refused(DecodeError),
    /// A frame of that many octets between its flags.
    Frame(usize),
}
