//! From the octets of a port that pushes to reports: frames found, messages
//! joined, deciphered where a key is given, and read.
//!
//! A machine without I/O, and without any output: it has nothing to send.

use std::collections::BTreeMap;

use dlms::codec::{Reader, Wire as _};
use dlms::hdlc::{Listener, llc};
use dlms::mbus::{Assembler, Deframer, Segment};
use dlms::security::{Header, KeyRing, PeerWindows, Protection, SystemTitle, UnprotectError};
use dlms::xdlms::GeneralBlockTransfer;
use dlms::{Duration, Instant};

use crate::measure::Report;
use crate::{p1, push, raven, sml};

/// Octets that one message may have.
const MESSAGE_LENGTH_MAX: usize = 16_384;

/// A pause within a frame of HDLC that ends it: meters at 2,400 baud pause for
/// less.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Tag of general-block-transfer.
const BLOCK: u8 = 0xE0;

/// Tags of general-glo-ciphering and general-ded-ciphering.
const CIPHERED: [u8; 2] = [0xDB, 0xDC];

/// What a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Text telegrams.
    P1,
    /// Text telegrams, each ciphered as a whole (Luxembourg).
    P1Ciphered,
    /// Files of SML.
    Sml,
    /// Fragments of RAVEn and EMU-2.
    Raven,
    /// DLMS notifications in frames of HDLC or of wired M-Bus, whichever come:
    /// what is one is never the other, by start octets and checksums.
    Dlms,
    /// DLMS notifications in frames of HDLC.
    Hdlc,
    /// DLMS notifications in frames of wired M-Bus.
    MBus,
}

/// The keys of a port, where it ciphers.
#[derive(Debug)]
pub struct Keys {
    /// The keys.
    pub ring: KeyRing,
    /// Whether messages without a tag are taken: some ports in Austria send
    /// none, so their messages can be forged on the wire.
    pub unauthenticated: bool,
}

/// What a port has given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages read.
    pub reports: u64,
    /// Messages that could not be read, or hold no value.
    pub unread: u64,
    /// Ciphered messages that could not be opened: no key, a wrong one, or
    /// damage.
    pub closed: u64,
    /// Ciphered messages that came before.
    pub replayed: u64,
}

/// A port.
#[derive(Debug)]
pub struct Port {
    protocol: Protocol,
    line: Line,
    keys: Option<Keys>,
    windows: PeerWindows,
    /// The highest counter of each title that was taken and not asked for yet.
    taken: BTreeMap<SystemTitle, u32>,
    /// What has come of a message in blocks, and the number that is due.
    blocks: Option<(Vec<u8>, u16)>,
    counters: Counters,
}

#[derive(Debug)]
enum Line {
    P1(p1::Deframer),
    Ciphered(Ciphered),
    Sml(sml::Deframer),
    Raven(raven::Deframer),
    Hdlc(Box<Listener>),
    MBus(Deframer, Assembler),
    Either(Box<Listener>, Deframer, Assembler),
}

impl Line {
    fn new(protocol: Protocol) -> Self {
        let hdlc = || Box::new(Listener::new(MESSAGE_LENGTH_MAX, PAUSE_MAX));
        let assembler = || Assembler::new(MESSAGE_LENGTH_MAX);
        match protocol {
            Protocol::P1 => Self::P1(p1::Deframer::new()),
            Protocol::P1Ciphered => Self::Ciphered(Ciphered::default()),
            Protocol::Sml => Self::Sml(sml::Deframer::new()),
            Protocol::Raven => Self::Raven(raven::Deframer::new()),
            Protocol::Dlms => Self::Either(hdlc(), Deframer::new(), assembler()),
            Protocol::Hdlc => Self::Hdlc(hdlc()),
            Protocol::MBus => Self::MBus(Deframer::new(), assembler()),
        }
    }
}

impl Port {
    /// Starts on a silent port.
    #[must_use]
    pub fn new(protocol: Protocol, keys: Option<Keys>) -> Self {
        Self {
            protocol,
            line: Line::new(protocol),
            keys,
            windows: PeerWindows::new(0),
            taken: BTreeMap::new(),
            blocks: None,
            counters: Counters::default(),
        }
    }

    /// Goes on with counters that were used before, of messages under the same
    /// key.
    #[must_use]
    pub fn with_windows(mut self, windows: PeerWindows) -> Self {
        self.windows = windows;
        self
    }

    /// Tells the highest counter of each title that [`handle`](Self::handle) has
    /// taken since this was asked last. They must be kept before the reports of
    /// those messages are acted on, so that none is taken again.
    pub fn taken(&mut self) -> BTreeMap<SystemTitle, u32> {
        std::mem::take(&mut self.taken)
    }

    /// Takes octets of the port and tells what the messages in them say.
    pub fn handle(&mut self, mut octets: &[u8], now: Instant) -> Vec<Report> {
        let mut reports = Vec::new();
        let mut messages = Vec::new();
        match &mut self.line {
            Line::P1(deframer) => {
                while let Some(telegram) = deframer.next(&mut octets) {
                    reports.push(p1::Telegram::decode(telegram).ok().map(|it| it.report()));
                }
            }
            Line::Ciphered(deframer) => {
                while let Some(message) = deframer.next(&mut octets) {
                    messages.push(message);
                }
            }
            Line::Sml(deframer) => {
                while let Some(file) = deframer.next(&mut octets) {
                    reports.push(sml::File::decode(file).ok().map(|it| it.report()));
                }
            }
            Line::Raven(deframer) => {
                while let Some(fragment) = deframer.next(&mut octets) {
                    let read = raven::decode(fragment).unwrap_or_default();
                    reports.push(read.first().map(raven::Fragment::report));
                }
            }
            Line::Hdlc(listener) => from_hdlc(listener, octets, now, &mut messages),
            Line::MBus(deframer, assembler) => {
                from_mbus(deframer, assembler, octets, &mut messages);
            }
            Line::Either(listener, deframer, assembler) => {
                from_hdlc(listener, octets, now, &mut messages);
                from_mbus(deframer, assembler, octets, &mut messages);
            }
        }
        for message in messages {
            if let Some(whole) = self.joined(message) {
                let read = self.opened(whole).map(|plain| read(&plain));
                reports.extend(read);
            }
        }
        reports
            .into_iter()
            .filter_map(|report| {
                let told = report.filter(|report| !report.values.is_empty());
                match &told {
                    Some(_) => self.counters.reports += 1,
                    None => self.counters.unread += 1,
                }
                told
            })
            .collect()
    }

    /// Forgets what has come of a message: the line was cut, and what comes
    /// next is the begin of another. Keys, windows against replays and counters
    /// stay.
    pub fn interrupted(&mut self) {
        self.line = Line::new(self.protocol);
        self.blocks = None;
    }

    /// Tells what the port has given so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Joins blocks that come one after the other; anything else is whole.
    fn joined(&mut self, message: Vec<u8>) -> Option<Vec<u8>> {
        let message = match llc::strip(&message) {
            Some(behind) => behind.to_vec(),
            None => message,
        };
        if message.first() != Some(&BLOCK) {
            self.blocks = None;
            return Some(message);
        }
        let mut reader = Reader::new(&message);
        let block = GeneralBlockTransfer::decode(&mut reader).ok()?;
        let (mut whole, due) = match self.blocks.take() {
            Some(blocks) if block.block_number != 1 => blocks,
            _ => (Vec::new(), 1),
        };
        if block.block_number != due || whole.len() + block.block_data.len() > MESSAGE_LENGTH_MAX {
            self.counters.unread += 1;
            return None;
        }
        whole.extend_from_slice(block.block_data);
        if block.block_control.is_last_block() {
            return Some(whole);
        }
        self.blocks = Some((whole, due.wrapping_add(1)));
        None
    }

    /// Deciphers a message, where it is ciphered.
    fn opened(&mut self, mut message: Vec<u8>) -> Option<Vec<u8>> {
        if !message.first().is_some_and(|tag| CIPHERED.contains(tag)) {
            return Some(message);
        }
        let header = Header::decode(&message).ok();
        let title = header.as_ref().and_then(|header| header.system_title);
        let (Some(header), Some(title), Some(keys)) = (header, title, &self.keys) else {
            self.counters.closed += 1;
            return None;
        };
        let authenticated = header.control.protection().authenticated();
        let range = if authenticated {
            let opened = self.windows.verify(&title, |window| {
                keys.ring
                    .unprotect_once(&mut message, &title, Protection::Authenticated, window)
            });
            match opened {
                Ok(opened) => {
                    let highest = self.taken.entry(title).or_insert(header.counter);
                    *highest = header.counter.max(*highest);
                    opened.range()
                }
                Err(UnprotectError::Replayed(_)) => {
                    self.counters.replayed += 1;
                    return None;
                }
                Err(_) => {
                    self.counters.closed += 1;
                    return None;
                }
            }
        } else if keys.unauthenticated {
            match keys.ring.dangerous_decrypt_unverified(&mut message, &title) {
                Ok(opened) => opened.range(),
                Err(_) => {
                    self.counters.closed += 1;
                    return None;
                }
            }
        } else {
            self.counters.closed += 1;
            return None;
        };
        message.get(range).map(<[u8]>::to_vec)
    }
}

fn from_hdlc(listener: &mut Listener, octets: &[u8], now: Instant, messages: &mut Vec<Vec<u8>>) {
    listener.handle(octets, now);
    while let Some(pushed) = listener.poll() {
        messages.push(pushed.octets);
    }
}

fn from_mbus(
    deframer: &mut Deframer,
    assembler: &mut Assembler,
    mut octets: &[u8],
    messages: &mut Vec<Vec<u8>>,
) {
    while let Some(frame) = deframer.next(&mut octets) {
        if let Ok(segment) = Segment::of(&frame, 0)
            && let Some(message) = assembler.push(&segment)
        {
            messages.push(message.octets);
        }
    }
}

/// Reads a message: a notification, or a telegram of Luxembourg's ports.
fn read(plain: &[u8]) -> Option<Report> {
    if plain.first() == Some(&b'/') {
        return p1::Telegram::decode(plain)
            .ok()
            .map(|telegram| telegram.report());
    }
    push::report(plain).ok()
}

/// Ciphered APDUs found in a stream that has no frames: each tells its length.
#[derive(Debug, Default)]
struct Ciphered {
    buffer: Vec<u8>,
}

/// Tag and length of the system title.
const CIPHERED_START: [u8; 2] = [0xDB, 8];

/// Those, and the title.
const CIPHERED_HEAD: usize = 10;

impl Ciphered {
    fn next(&mut self, input: &mut &[u8]) -> Option<Vec<u8>> {
        while let Some((octet, rest)) = input.split_first() {
            *input = rest;
            self.buffer.push(*octet);
            if self.buffer.len() <= CIPHERED_START.len() {
                if !CIPHERED_START.starts_with(&self.buffer) {
                    self.buffer.clear();
                    self.buffer
                        .extend(CIPHERED_START.first().filter(|tag| *tag == octet));
                }
                continue;
            }
            let mut reader = Reader::new(self.buffer.get(CIPHERED_HEAD..).unwrap_or_default());
            let Ok(length) = reader.length("ciphered content") else {
                // Not there yet; a form that is none never becomes one.
                if self.buffer.len() > CIPHERED_HEAD + LENGTH_OCTETS_MAX {
                    self.buffer.clear();
                }
                continue;
            };
            let whole = CIPHERED_HEAD + reader.offset() + length;
            if whole > MESSAGE_LENGTH_MAX {
                self.buffer.clear();
            } else if self.buffer.len() >= whole {
                return Some(std::mem::take(&mut self.buffer));
            }
        }
        None
    }
}

/// Octets that tell a length, at most.
const LENGTH_OCTETS_MAX: usize = 5;
