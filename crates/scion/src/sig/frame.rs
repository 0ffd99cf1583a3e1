//! The header of a frame, and packets put into frames.

use alloc::vec::Vec;

/// Octets of the header.
pub const HEADER: usize = 16;

/// The shortest frame that packets can be put into: the fixed part of an IPv6
/// header is never split.
pub const MIN_FRAME: usize = HEADER + IPV6_HEADER;

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// Says that no packet begins in a frame.
const NO_START: u16 = 0xffff;

/// What tells flows of one peer apart, 20 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(u32);

impl StreamId {
    /// Takes the lower 20 bits of a number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number & 0xf_ffff)
    }

    /// Tells the number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which traffic class, as both gateways agree.
    pub session: u8,
    /// Which flow of it.
    pub stream: StreamId,
    /// Where the first packet that begins in the frame does so, in octets
    /// behind the header; none where none begins.
    pub start: Option<u16>,
    /// The place of the frame in its flow.
    pub sequence: u64,
}

/// Octets that are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// There are fewer octets than a header has.
    #[error("offset {0}: the header of a frame has 16 octets")]
    Short(usize),
    /// The version is not 0.
    #[error("offset 0: version {0} of frames is not known")]
    Version(u8),
    /// The first packet begins behind the end.
    #[error("offset 2: the first packet begins at {start}, the frame has {length} octets")]
    Start {
        /// Where it is said to begin.
        start: u16,
        /// How many octets there are.
        length: usize,
    },
    /// What begins there is no IP packet.
    #[error("offset {at}: {reason}")]
    Packet {
        /// Where it begins, counted from the header's first octet.
        at: usize,
        /// What is wrong with it.
        reason: NotIp,
    },
    /// The rest of a packet is shorter or longer than its length said.
    #[error("offset 16: the packet has {missing} octets to come, the frame has {there} of it")]
    Rest {
        /// Octets that were missing.
        missing: usize,
        /// Octets that the frame gives to it.
        there: usize,
    },
}

impl Header {
    /// Reads the header of a frame and gives the rest.
    ///
    /// # Errors
    /// [`FrameError`] where it is too short, of another version, or says that
    /// a packet begins behind its end. Reserved bits are not looked at.
    pub fn decode(frame: &[u8]) -> Result<(Self, &[u8]), FrameError> {
        let Some((header, rest)) = frame.split_first_chunk::<HEADER>() else {
            return Err(FrameError::Short(frame.len()));
        };
        let [version, session, i0, i1, s0, s1, s2, s3, sequence @ ..] = *header;
        if version != 0 {
            return Err(FrameError::Version(version));
        }
        let start = u16::from_be_bytes([i0, i1]);
        let start = (start != NO_START).then_some(start);
        if let Some(start) = start
            && usize::from(start) >= rest.len()
        {
            let length = rest.len();
            return Err(FrameError::Start { start, length });
        }
        let header = Self {
            session,
            stream: StreamId::new(u32::from_be_bytes([s0, s1, s2, s3])),
            start,
            sequence: u64::from_be_bytes(sequence),
        };
        Ok((header, rest))
    }

    /// Makes the octets.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER] {
        let [i0, i1] = self.start.unwrap_or(NO_START).to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.0.to_be_bytes();
        let [q0, q1, q2, q3, q4, q5, q6, q7] = self.sequence.to_be_bytes();
        [
            0,
            self.session,
            i0,
            i1,
            s0,
            s1,
            s2,
            s3,
            q0,
            q1,
            q2,
            q3,
            q4,
            q5,
            q6,
            q7,
        ]
    }
}

/// Octets that are no IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotIp {
    /// There is nothing.
    #[error("a packet has at least an octet")]
    Empty,
    /// Neither version 4 nor 6.
    #[error("version {0} is neither 4 nor 6")]
    Version(u8),
    /// The fixed part of the header is not whole.
    #[error("the fixed part of the IP header is not whole")]
    Header,
    /// The length is below that of a header.
    #[error("a total length of {0} is below that of the header")]
    Length(u16),
    /// The length is not that of the octets.
    #[error("the packet says {said} octets and has {there}")]
    Octets {
        /// What the header says.
        said: usize,
        /// What there is.
        there: usize,
    },
}

/// Reads from its header how long a packet is, in octets.
///
/// # Errors
/// [`NotIp`] where the fixed part of the header is not whole or not one.
pub fn packet_length(packet: &[u8]) -> Result<usize, NotIp> {
    match packet {
        [] => Err(NotIp::Empty),
        [first, _, l0, l1, ..] if first >> 4 == 4 && packet.len() >= IPV4_HEADER => {
            let length = u16::from_be_bytes([*l0, *l1]);
            if usize::from(length) < IPV4_HEADER {
                return Err(NotIp::Length(length));
            }
            Ok(usize::from(length))
        }
        [first, _, _, _, l0, l1, ..] if first >> 4 == 6 && packet.len() >= IPV6_HEADER => {
            Ok(IPV6_HEADER + usize::from(u16::from_be_bytes([*l0, *l1])))
        }
        [first, ..] if matches!(first >> 4, 4 | 6) => Err(NotIp::Header),
        [first, ..] => Err(NotIp::Version(first >> 4)),
    }
}

/// Puts the packets of one flow into frames.
#[derive(Clone, Debug)]
pub struct Encoder {
    session: u8,
    stream: StreamId,
    max_frame: usize,
    sequence: u64,
    start: Option<u16>,
    frame: Vec<u8>,
}

impl Encoder {
    /// Starts a flow with frames of at most `max_frame` octets, the header
    /// among them: 56 at least ([`MIN_FRAME`]), 65,535 at most.
    #[must_use]
    pub fn new(session: u8, stream: StreamId, max_frame: usize) -> Self {
        let max_frame = max_frame.clamp(MIN_FRAME, usize::from(u16::MAX));
        let mut frame = Vec::with_capacity(max_frame);
        frame.resize(HEADER, 0);
        Self {
            session,
            stream,
            max_frame,
            sequence: 0,
            start: None,
            frame,
        }
    }

    /// Puts a packet behind those before it; `send` is handed each frame that
    /// has become full.
    ///
    /// # Errors
    /// [`NotIp`] where it is no whole IP packet; it is left out.
    pub fn push(&mut self, packet: &[u8], mut send: impl FnMut(&[u8])) -> Result<(), NotIp> {
        let said = packet_length(packet)?;
        if said != packet.len() {
            let there = packet.len();
            return Err(NotIp::Octets { said, there });
        }
        if self.max_frame - self.frame.len() < IPV6_HEADER {
            self.emit(&mut send);
        }
        if self.start.is_none() {
            self.start = u16::try_from(self.frame.len() - HEADER).ok();
        }
        let mut rest = packet;
        loop {
            let room = self.max_frame - self.frame.len();
            let (now, later) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            self.frame.extend_from_slice(now);
            if later.is_empty() {
                return Ok(());
            }
            self.emit(&mut send);
            rest = later;
        }
    }

    /// Hands out what there is, when no packet waits any more.
    pub fn flush(&mut self, mut send: impl FnMut(&[u8])) {
        if self.frame.len() > HEADER {
            self.emit(&mut send);
        }
    }

    fn emit(&mut self, send: &mut impl FnMut(&[u8])) {
        let header = Header {
            session: self.session,
            stream: self.stream,
            start: self.start.take(),
            sequence: self.sequence,
        };
        if let Some(place) = self.frame.first_chunk_mut::<HEADER>() {
            *place = header.encode();
        }
        send(&self.frame);
        self.sequence = self.sequence.wrapping_add(1);
        self.frame.truncate(HEADER);
    }
}
