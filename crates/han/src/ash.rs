//! ASH: how frames of EZSP go over a serial line (Silicon Labs UG101).
//!
//! A machine without I/O: after each call, [`Ash::poll`] until it gives
//! [`Output::Timeout`]. What it sends on is [`Cleared`] and nothing else: the
//! egress filter stands above it by type.

use std::collections::VecDeque;

use dlms::{Duration, Instant};
use zeroize::Zeroizing;

use crate::egress::Cleared;

/// A frame.
///
/// ```text
/// control(1) | data(0 to 128, of Data: randomised) | CRC(2, high octet first) | flag
/// ```
///
/// Reserved octets stand behind an escape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A frame of EZSP.
    Data {
        /// Its number, 0 to 7.
        number: u8,
        /// Whether it is sent again.
        again: bool,
        /// The number that is expected next of the other side.
        acknowledged: u8,
        /// The frame.
        data: Vec<u8>,
    },
    /// Acknowledges.
    Ack {
        /// The number that is expected next.
        acknowledged: u8,
    },
    /// Asks for frames again.
    Nak {
        /// From which number on.
        acknowledged: u8,
    },
    /// Asks the processor to restart.
    Rst,
    /// It has restarted.
    RstAck {
        /// The version of ASH: 2.
        version: u8,
        /// Why.
        code: u8,
    },
    /// It has given up.
    Error {
        /// The version of ASH: 2.
        version: u8,
        /// Why.
        code: u8,
    },
}

const FLAG: u8 = 0x7E;
const ESCAPE: u8 = 0x7D;
const XON: u8 = 0x11;
const XOFF: u8 = 0x13;
const SUBSTITUTE: u8 = 0x18;
const CANCEL: u8 = 0x1A;

/// Turns a reserved octet behind an escape into another, and back.
const ESCAPED: u8 = 0x20;

/// Octets of data that a frame may have.
pub const DATA_LENGTH_MAX: usize = 128;

/// Octets of a frame without escapes: control, data, checksum.
const FRAME_LENGTH_MAX: usize = 1 + DATA_LENGTH_MAX + CRC_LENGTH;

const CRC_LENGTH: usize = 2;

/// The version of ASH.
const ASH_VERSION: u8 = 2;

impl Frame {
    /// Makes the octets, escapes and closing flag included.
    #[must_use]
    pub fn to_octets(&self) -> Vec<u8> {
        let mut plain = Zeroizing::new(Vec::with_capacity(FRAME_LENGTH_MAX));
        match self {
            Self::Data {
                number,
                again,
                acknowledged,
                data,
            } => {
                plain.push((number & 7) << 4 | u8::from(*again) << 3 | acknowledged & 7);
                plain.extend(data.iter().zip(Randomiser::new()).map(|(a, b)| a ^ b));
            }
            Self::Ack { acknowledged } => plain.push(0x80 | acknowledged & 7),
            Self::Nak { acknowledged } => plain.push(0xA0 | acknowledged & 7),
            Self::Rst => plain.push(0xC0),
            Self::RstAck { version, code } => plain.extend_from_slice(&[0xC1, *version, *code]),
            Self::Error { version, code } => plain.extend_from_slice(&[0xC2, *version, *code]),
        }
        let check = crc(&plain).to_be_bytes();
        plain.extend_from_slice(&check);
        let mut out = Vec::with_capacity(plain.len() + 8);
        for octet in plain.iter() {
            match *octet {
                FLAG | ESCAPE | XON | XOFF | SUBSTITUTE | CANCEL => {
                    out.extend_from_slice(&[ESCAPE, octet ^ ESCAPED]);
                }
                octet => out.push(octet),
            }
        }
        out.push(FLAG);
        out
    }

    /// Takes a frame without escapes and flag; nothing where it is none.
    #[must_use]
    pub fn decode(octets: &[u8]) -> Option<Self> {
        let (body, check) = octets.split_last_chunk::<CRC_LENGTH>()?;
        if crc(body).to_be_bytes() != *check {
            return None;
        }
        let (control, data) = body.split_first()?;
        let acknowledged = control & 7;
        Some(match (*control, data) {
            (0x00..=0x7F, data) if data.len() <= DATA_LENGTH_MAX => Self::Data {
                number: control >> 4,
                again: control & 8 != 0,
                acknowledged,
                data: data
                    .iter()
                    .zip(Randomiser::new())
                    .map(|(a, b)| a ^ b)
                    .collect(),
            },
            (0x80..=0x9F, []) => Self::Ack { acknowledged },
            (0xA0..=0xBF, []) => Self::Nak { acknowledged },
            (0xC0, []) => Self::Rst,
            (0xC1, [version, code]) => Self::RstAck {
                version: *version,
                code: *code,
            },
            (0xC2, [version, code]) => Self::Error {
                version: *version,
                code: *code,
            },
            _ => return None,
        })
    }
}

/// What data is made even with, so that the line sees few reserved octets.
struct Randomiser(u8);

impl Randomiser {
    const fn new() -> Self {
        Self(0x42)
    }
}

impl Iterator for Randomiser {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let told = self.0;
        self.0 = if told & 1 == 0 {
            told >> 1
        } else {
            (told >> 1) ^ 0xB8
        };
        Some(told)
    }
}

/// CRC-CCITT that begins with ones.
fn crc(octets: &[u8]) -> u16 {
    let mut crc = 0xFFFF_u16;
    for octet in octets {
        crc ^= u16::from(*octet) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            };
        }
    }
    crc
}

/// Finds frames in what a processor sends. Holds at most one.
#[derive(Clone, Debug, Default)]
pub struct Deframer {
    buffer: Vec<u8>,
    escaped: bool,
    damaged: bool,
}

impl Deframer {
    /// Starts on a silent line.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes octets from the front of `input` until they make a frame, or
    /// until there are none left. A frame that is damaged is nothing inside.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Option<Frame>> {
        while let Some((octet, rest)) = input.split_first() {
            *input = rest;
            match *octet {
                FLAG => {
                    let is_empty = self.buffer.is_empty() && !self.damaged && !self.escaped;
                    let found = (!self.damaged && !self.escaped)
                        .then(|| Frame::decode(&self.buffer))
                        .flatten();
                    self.clear();
                    if !is_empty {
                        return Some(found);
                    }
                }
                CANCEL => self.clear(),
                SUBSTITUTE => self.damaged = true,
                XON | XOFF => {}
                ESCAPE => self.escaped = true,
                octet if self.buffer.len() < FRAME_LENGTH_MAX => {
                    let mask = if self.escaped { ESCAPED } else { 0 };
                    self.buffer.push(octet ^ mask);
                    self.escaped = false;
                }
                _ => self.damaged = true,
            }
        }
        None
    }

    fn clear(&mut self) {
        self.buffer.clear();
        self.escaped = false;
        self.damaged = false;
    }
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Write these octets to the line.
    Write(Vec<u8>),
    /// The processor has restarted, and frames can be sent.
    Up,
    /// A frame of EZSP has come.
    Frame(Vec<u8>),
    /// The processor cannot be reached any more.
    Failed(Fault),
    /// Nothing until then; nothing at all without a time.
    Timeout(Option<Instant>),
}

/// Why the processor cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It does not restart: nothing there, another speed, another protocol.
    #[error("no radio processor answers: check the device, its speed and its firmware")]
    Silent,
    /// It does not acknowledge.
    #[error("the radio processor does not acknowledge what is sent")]
    Unacknowledged,
    /// It has restarted by itself.
    #[error("the radio processor has restarted (code {0:#04x})")]
    Restarted(u8),
    /// It has given up.
    #[error("the radio processor has failed (code {0:#04x})")]
    Failed(u8),
}

/// The host's side of a line.
#[derive(Debug)]
pub struct Ash {
    deframer: Deframer,
    state: State,
    /// The number of the next frame out, and of the next one in.
    next_out: u8,
    next_in: u8,
    /// A frame was asked for again, and has not come yet.
    rejecting: bool,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum State {
    Closed,
    Restarting { until: Instant, tries: u32 },
    Up { sent: Option<Sent> },
}

/// A frame that is not acknowledged yet.
#[derive(Debug)]
struct Sent {
    number: u8,
    data: Zeroizing<Vec<u8>>,
    until: Instant,
    wait: Duration,
    tries: u32,
}

/// How long a restart may take, and how often it is tried.
const RESTART_MAX: Duration = Duration::from_millis(2_500);
const RESTARTS_MAX: u32 = 4;

/// How long an acknowledgement may take: at first, and at most.
const WAIT_FIRST: Duration = Duration::from_millis(1_600);
const WAIT_MAX: Duration = Duration::from_millis(3_200);

/// How often a frame is sent.
const TRIES_MAX: u32 = 5;

impl Default for Ash {
    fn default() -> Self {
        Self::new()
    }
}

impl Ash {
    /// Starts on a line that is closed.
    #[must_use]
    pub fn new() -> Self {
        Self {
            deframer: Deframer::new(),
            state: State::Closed,
            next_out: 0,
            next_in: 0,
            rejecting: false,
            outputs: VecDeque::new(),
        }
    }

    /// Has the processor restart.
    pub fn restart(&mut self, now: Instant) {
        self.ask_restart(now, 1);
    }

    /// Tells whether a frame can be sent: one is under way at a time.
    #[must_use]
    pub const fn is_free(&self) -> bool {
        matches!(self.state, State::Up { sent: None })
    }

    /// Sends a frame that may leave. Does nothing and says so where the line is
    /// not [free](Self::is_free), or the frame is longer than it carries.
    pub fn send(&mut self, frame: Cleared<'_>, now: Instant) -> bool {
        let State::Up { sent } = &mut self.state else {
            return false;
        };
        if sent.is_some() || frame.octets().len() > DATA_LENGTH_MAX {
            return false;
        }
        let own = Sent {
            number: self.next_out,
            data: Zeroizing::new(frame.octets().to_vec()),
            until: now + WAIT_FIRST,
            wait: WAIT_FIRST,
            tries: 1,
        };
        self.outputs.push_back(own.write(self.next_in));
        *sent = Some(own);
        self.next_out = (self.next_out + 1) & 7;
        true
    }

    /// Takes octets of the line.
    pub fn handle(&mut self, mut octets: &[u8], now: Instant) {
        while let Some(frame) = self.deframer.next(&mut octets) {
            match &self.state {
                State::Closed => {}
                State::Restarting { .. } => {
                    if let Some(Frame::RstAck {
                        version: ASH_VERSION,
                        ..
                    }) = frame
                    {
                        self.state = State::Up { sent: None };
                        (self.next_out, self.next_in) = (0, 0);
                        self.rejecting = false;
                        self.outputs.push_back(Output::Up);
                    }
                }
                State::Up { .. } => self.take(frame, now),
            }
        }
    }

    /// Takes that time went by.
    pub fn elapsed(&mut self, now: Instant) {
        match &self.state {
            State::Restarting { until, tries } if now >= *until => {
                let tries = *tries;
                if tries >= RESTARTS_MAX {
                    self.fail(Fault::Silent);
                } else {
                    self.ask_restart(now, tries + 1);
                }
            }
            State::Up { sent: Some(sent) } if now >= sent.until => self.again(now),
            _ => {}
        }
    }

    /// Tells what is to be done next; call until it gives a timeout.
    pub fn poll(&mut self) -> Output {
        let due = match &self.state {
            State::Restarting { until, .. } => Some(*until),
            State::Up { sent: Some(sent) } => Some(sent.until),
            State::Closed | State::Up { sent: None } => None,
        };
        self.outputs.pop_front().unwrap_or(Output::Timeout(due))
    }

    fn take(&mut self, frame: Option<Frame>, now: Instant) {
        match frame {
            None => self.reject(),
            Some(Frame::Data {
                number,
                again,
                acknowledged,
                data,
            }) => {
                self.acknowledged(acknowledged);
                if number == self.next_in {
                    self.next_in = (self.next_in + 1) & 7;
                    self.rejecting = false;
                    self.acknowledge();
                    self.outputs.push_back(Output::Frame(data));
                } else if again {
                    self.acknowledge();
                } else {
                    self.reject();
                }
            }
            Some(Frame::Ack { acknowledged }) => self.acknowledged(acknowledged),
            Some(Frame::Nak { acknowledged }) => {
                self.acknowledged(acknowledged);
                if matches!(self.state, State::Up { sent: Some(_) }) {
                    self.again(now);
                }
            }
            Some(Frame::RstAck { code, .. }) => self.fail(Fault::Restarted(code)),
            Some(Frame::Error { code, .. }) => self.fail(Fault::Failed(code)),
            Some(Frame::Rst) => {}
        }
    }

    fn acknowledged(&mut self, next: u8) {
        if let State::Up { sent } = &mut self.state
            && sent
                .as_ref()
                .is_some_and(|sent| (sent.number + 1) & 7 == next)
        {
            *sent = None;
        }
    }

    fn acknowledge(&mut self) {
        let frame = Frame::Ack {
            acknowledged: self.next_in,
        };
        self.outputs.push_back(Output::Write(frame.to_octets()));
    }

    /// Asks for what was damaged or left out, once until it comes.
    fn reject(&mut self) {
        if !self.rejecting {
            self.rejecting = true;
            let frame = Frame::Nak {
                acknowledged: self.next_in,
            };
            self.outputs.push_back(Output::Write(frame.to_octets()));
        }
    }

    fn again(&mut self, now: Instant) {
        let next_in = self.next_in;
        let State::Up { sent: Some(sent) } = &mut self.state else {
            return;
        };
        if sent.tries >= TRIES_MAX {
            self.fail(Fault::Unacknowledged);
            return;
        }
        sent.tries += 1;
        sent.wait = sent.wait.saturating_mul(2).min(WAIT_MAX);
        sent.until = now + sent.wait;
        let write = sent.write(next_in);
        self.outputs.push_back(write);
    }

    fn ask_restart(&mut self, now: Instant, tries: u32) {
        self.state = State::Restarting {
            until: now + RESTART_MAX,
            tries,
        };
        // Ends whatever was begun before.
        let mut octets = vec![CANCEL];
        octets.extend_from_slice(&Frame::Rst.to_octets());
        self.outputs.push_back(Output::Write(octets));
    }

    fn fail(&mut self, fault: Fault) {
        self.state = State::Closed;
        self.outputs.push_back(Output::Failed(fault));
    }
}

impl Sent {
    fn write(&self, next_in: u8) -> Output {
        let frame = Frame::Data {
            number: self.number,
            again: self.tries > 1,
            acknowledged: next_in,
            data: self.data.to_vec(),
        };
        Output::Write(frame.to_octets())
    }
}
