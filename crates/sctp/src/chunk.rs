//! The chunks: RFC 9260 section 3.3, and those of the extensions.

use crate::codec::{DecodeError, Malformed};
use crate::packet::{RawChunk, write_chunk};
use crate::parameter::without_last_padding;

/// Chunk types by number.
pub mod kind {
    /// DATA.
    pub const DATA: u8 = 0x00;
    /// INIT.
    pub const INIT: u8 = 0x01;
    /// INIT ACK.
    pub const INIT_ACK: u8 = 0x02;
    /// SACK.
    pub const SACK: u8 = 0x03;
    /// HEARTBEAT.
    pub const HEARTBEAT: u8 = 0x04;
    /// HEARTBEAT ACK.
    pub const HEARTBEAT_ACK: u8 = 0x05;
    /// ABORT.
    pub const ABORT: u8 = 0x06;
    /// SHUTDOWN.
    pub const SHUTDOWN: u8 = 0x07;
    /// SHUTDOWN ACK.
    pub const SHUTDOWN_ACK: u8 = 0x08;
    /// ERROR.
    pub const ERROR: u8 = 0x09;
    /// COOKIE ECHO.
    pub const COOKIE_ECHO: u8 = 0x0A;
    /// COOKIE ACK.
    pub const COOKIE_ACK: u8 = 0x0B;
    /// ECNE, reserved.
    pub const ECNE: u8 = 0x0C;
    /// CWR, reserved.
    pub const CWR: u8 = 0x0D;
    /// SHUTDOWN COMPLETE.
    pub const SHUTDOWN_COMPLETE: u8 = 0x0E;
    /// AUTH (RFC 4895).
    pub const AUTH: u8 = 0x0F;
    /// I-DATA (RFC 8260).
    pub const I_DATA: u8 = 0x40;
    /// RE-CONFIG (RFC 6525).
    pub const RE_CONFIG: u8 = 0x82;
    /// PAD (RFC 4820).
    pub const PAD: u8 = 0x84;
    /// FORWARD TSN (RFC 3758).
    pub const FORWARD_TSN: u8 = 0xC0;
    /// I-FORWARD-TSN (RFC 8260).
    pub const I_FORWARD_TSN: u8 = 0xC2;
}

/// The T bit of ABORT and SHUTDOWN COMPLETE: the tag is the receiver's own
/// reflected, since the sender has no association.
pub const FLAG_T: u8 = 0x01;

/// Octets of a DATA chunk before its user data.
pub const DATA_HEADER_LEN: usize = 16;

/// Octets of an I-DATA chunk before its user data.
pub const I_DATA_HEADER_LEN: usize = 20;

const FLAG_E: u8 = 0x01;
const FLAG_B: u8 = 0x02;
const FLAG_U: u8 = 0x04;
const FLAG_I: u8 = 0x08;

/// Flags of DATA and I-DATA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataFlags {
    /// The receiver shall acknowledge at once.
    pub immediate: bool,
    /// Not to be put in order within its stream.
    pub unordered: bool,
    /// The first fragment of a message.
    pub beginning: bool,
    /// The last fragment of a message.
    pub ending: bool,
}

impl DataFlags {
    const fn octet(self) -> u8 {
        (if self.immediate { FLAG_I } else { 0 })
            | (if self.unordered { FLAG_U } else { 0 })
            | (if self.beginning { FLAG_B } else { 0 })
            | (if self.ending { FLAG_E } else { 0 })
    }

    const fn of(octet: u8) -> Self {
        Self {
            immediate: octet & FLAG_I != 0,
            unordered: octet & FLAG_U != 0,
            beginning: octet & FLAG_B != 0,
            ending: octet & FLAG_E != 0,
        }
    }
}

/// DATA and I-DATA (RFC 9260, section 3.3.1; RFC 8260, section 2.1).
///
/// ```text
/// +---------------------------------------------------------------+
/// |                              TSN                              |
/// +-------------------------------+-------------------------------+
/// |       stream identifier       | stream sequence number (DATA) |
/// +-------------------------------+-------------------------------+
/// |               message identifier (I-DATA only)                |
/// +---------------------------------------------------------------+
/// |  payload protocol identifier; in I-DATA but for the first     |
/// |  fragment: fragment sequence number                           |
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    /// The flags.
    pub flags: DataFlags,
    /// Transmission sequence number.
    pub tsn: u32,
    /// Stream identifier.
    pub stream: u16,
    /// Which message and fragment.
    pub order: Order,
    /// Payload protocol identifier; 0 where the chunk has none.
    pub ppid: u32,
    /// User data.
    pub payload: &'a [u8],
}

/// Which message and fragment of it a chunk carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// DATA: the stream sequence number; fragments have consecutive TSNs.
    Ssn(u16),
    /// I-DATA.
    Mid {
        /// Message identifier.
        mid: u32,
        /// Fragment sequence number, 0 in the first fragment.
        fsn: u32,
    },
}

impl<'a> Data<'a> {
    /// Appends the chunk.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let kind = match self.order {
            Order::Ssn(_) => kind::DATA,
            Order::Mid { .. } => kind::I_DATA,
        };
        write_chunk(out, kind, self.flags.octet(), |out| {
            out.extend(self.tsn.to_be_bytes());
            out.extend(self.stream.to_be_bytes());
            match self.order {
                Order::Ssn(ssn) => {
                    out.extend(ssn.to_be_bytes());
                    out.extend(self.ppid.to_be_bytes());
                }
                Order::Mid { mid, fsn } => {
                    out.extend([0, 0]);
                    out.extend(mid.to_be_bytes());
                    let last = if self.flags.beginning { self.ppid } else { fsn };
                    out.extend(last.to_be_bytes());
                }
            }
            out.extend_from_slice(self.payload);
        });
    }

    fn decode(raw: &RawChunk<'a>) -> Result<Self, DecodeError> {
        let mut reader = raw.reader();
        let flags = DataFlags::of(raw.flags);
        let tsn = reader.u32("TSN")?;
        let stream = reader.u16("stream identifier")?;
        let low = reader.u16("stream sequence number")?;
        let (order, ppid) = if raw.kind == kind::I_DATA {
            let mid = reader.u32("message identifier")?;
            let last = reader.u32("payload protocol identifier")?;
            if flags.beginning {
                (Order::Mid { mid, fsn: 0 }, last)
            } else {
                (Order::Mid { mid, fsn: last }, 0)
            }
        } else {
            let ppid = reader.u32("payload protocol identifier")?;
            (Order::Ssn(low), ppid)
        };
        Ok(Self {
            flags,
            tsn,
            stream,
            order,
            ppid,
            payload: reader.rest(),
        })
    }
}

/// INIT and INIT ACK (RFC 9260, sections 3.3.2 and 3.3.3).
///
/// ```text
/// +---------------------------------------------------------------+
/// |                         initiate tag                          |
/// +---------------------------------------------------------------+
/// |           advertised receiver window credit                   |
/// +-------------------------------+-------------------------------+
/// |  number of outbound streams   |   number of inbound streams   |
/// +-------------------------------+-------------------------------+
/// |                          initial TSN                          |
/// +---------------------------------------------------------------+
/// |                          parameters                           |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Init<'a> {
    /// The tag that packets to the sender must bear.
    pub initiate_tag: u32,
    /// Octets that the sender's buffer takes.
    pub a_rwnd: u32,
    /// Streams that the sender wants to send on.
    pub outbound_streams: u16,
    /// Streams that the sender takes.
    pub inbound_streams: u16,
    /// The sender's first TSN.
    pub initial_tsn: u32,
    /// Parameters as they stand.
    pub parameters: &'a [u8],
    /// Offset of the parameters in the packet.
    pub parameters_offset: usize,
}

impl<'a> Init<'a> {
    /// Appends the chunk as an INIT, or as an INIT ACK.
    pub fn encode(&self, kind: u8, out: &mut Vec<u8>) {
        write_chunk(out, kind, 0, |out| {
            out.extend(self.initiate_tag.to_be_bytes());
            out.extend(self.a_rwnd.to_be_bytes());
            out.extend(self.outbound_streams.to_be_bytes());
            out.extend(self.inbound_streams.to_be_bytes());
            out.extend(self.initial_tsn.to_be_bytes());
            out.extend_from_slice(without_last_padding(self.parameters));
        });
    }

    fn decode(raw: &RawChunk<'a>) -> Result<Self, DecodeError> {
        let mut reader = raw.reader();
        let initiate_tag = reader.u32("initiate tag")?;
        let a_rwnd = reader.u32("a_rwnd")?;
        let outbound_streams = reader.u16("number of outbound streams")?;
        let inbound_streams = reader.u16("number of inbound streams")?;
        let initial_tsn = reader.u32("initial TSN")?;
        Ok(Self {
            initiate_tag,
            a_rwnd,
            outbound_streams,
            inbound_streams,
            initial_tsn,
            parameters_offset: reader.offset(),
            parameters: reader.rest(),
        })
    }
}

/// SACK (RFC 9260, section 3.3.4).
///
/// ```text
/// +---------------------------------------------------------------+
/// |                      cumulative TSN ack                       |
/// +---------------------------------------------------------------+
/// |           advertised receiver window credit                   |
/// +-------------------------------+-------------------------------+
/// |   number of gap ack blocks    |   number of duplicate TSNs    |
/// +-------------------------------+-------------------------------+
/// |    gap ack block 1 start      |     gap ack block 1 end       |
/// |              …                                                |
/// |                     duplicate TSN 1 …                         |
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sack {
    /// The last TSN before the first gap.
    pub cumulative_tsn_ack: u32,
    /// Octets that the sender's buffer takes.
    pub a_rwnd: u32,
    /// What was received behind gaps: first and last, counted from the
    /// cumulative TSN ack.
    pub gaps: Vec<(u16, u16)>,
    /// What was received again.
    pub duplicates: Vec<u32>,
}

impl Sack {
    /// Appends the chunk.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_chunk(out, kind::SACK, 0, |out| {
            out.extend(self.cumulative_tsn_ack.to_be_bytes());
            out.extend(self.a_rwnd.to_be_bytes());
            let count = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
            out.extend(count(self.gaps.len()));
            out.extend(count(self.duplicates.len()));
            for (start, end) in &self.gaps {
                out.extend(start.to_be_bytes());
                out.extend(end.to_be_bytes());
            }
            for tsn in &self.duplicates {
                out.extend(tsn.to_be_bytes());
            }
        });
    }

    fn decode(raw: &RawChunk<'_>) -> Result<Self, DecodeError> {
        let mut reader = raw.reader();
        let cumulative_tsn_ack = reader.u32("cumulative TSN ack")?;
        let a_rwnd = reader.u32("a_rwnd")?;
        let gaps = usize::from(reader.u16("number of gap ack blocks")?);
        let duplicates = usize::from(reader.u16("number of duplicate TSNs")?);
        if (gaps + duplicates) * 4 > reader.remaining() {
            return Err(reader.error("gap ack blocks", Malformed::Truncated));
        }
        let mut sack = Self {
            cumulative_tsn_ack,
            a_rwnd,
            gaps: Vec::with_capacity(gaps),
            duplicates: Vec::with_capacity(duplicates),
        };
        for _ in 0..gaps {
            let start = reader.u16("gap ack block start")?;
            sack.gaps.push((start, reader.u16("gap ack block end")?));
        }
        for _ in 0..duplicates {
            sack.duplicates.push(reader.u32("duplicate TSN")?);
        }
        Ok(sack)
    }
}

/// FORWARD TSN (RFC 3758, section 3.2) and I-FORWARD-TSN (RFC 8260, section
/// 2.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardTsn {
    /// What the receiver shall take as its cumulative TSN.
    pub new_cumulative_tsn: u32,
    /// The last message that is given up, by stream.
    pub skipped: Skipped,
}

/// The last message that is given up, by stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// FORWARD TSN: stream and stream sequence number.
    Ssn(Vec<(u16, u16)>),
    /// I-FORWARD-TSN: stream, whether unordered, message identifier.
    Mid(Vec<(u16, bool, u32)>),
}

impl ForwardTsn {
    /// Appends the chunk.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let kind = match self.skipped {
            Skipped::Ssn(_) => kind::FORWARD_TSN,
            Skipped::Mid(_) => kind::I_FORWARD_TSN,
        };
        write_chunk(out, kind, 0, |out| {
            out.extend(self.new_cumulative_tsn.to_be_bytes());
            match &self.skipped {
                Skipped::Ssn(streams) => {
                    for (stream, ssn) in streams {
                        out.extend(stream.to_be_bytes());
                        out.extend(ssn.to_be_bytes());
                    }
                }
                Skipped::Mid(streams) => {
                    for (stream, unordered, mid) in streams {
                        out.extend(stream.to_be_bytes());
                        out.extend(u16::from(*unordered).to_be_bytes());
                        out.extend(mid.to_be_bytes());
                    }
                }
            }
        });
    }

    fn decode(raw: &RawChunk<'_>) -> Result<Self, DecodeError> {
        let mut reader = raw.reader();
        let new_cumulative_tsn = reader.u32("new cumulative TSN")?;
        let skipped = if raw.kind == kind::FORWARD_TSN {
            let mut streams = Vec::with_capacity(reader.remaining() / 4);
            while !reader.is_empty() {
                let stream = reader.u16("stream identifier")?;
                streams.push((stream, reader.u16("stream sequence number")?));
            }
            Skipped::Ssn(streams)
        } else {
            let mut streams = Vec::with_capacity(reader.remaining() / 8);
            while !reader.is_empty() {
                let stream = reader.u16("stream identifier")?;
                let unordered = reader.u16("U bit")? & 1 != 0;
                streams.push((stream, unordered, reader.u32("message identifier")?));
            }
            Skipped::Mid(streams)
        };
        Ok(Self {
            new_cumulative_tsn,
            skipped,
        })
    }
}

/// AUTH (RFC 4895, section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Shared key identifier.
    pub key_id: u16,
    /// HMAC identifier.
    pub hmac_id: u16,
    /// The HMAC.
    pub hmac: &'a [u8],
}

/// Every chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// DATA, I-DATA.
    Data(Data<'a>),
    /// INIT.
    Init(Init<'a>),
    /// INIT ACK.
    InitAck(Init<'a>),
    /// SACK.
    Sack(Sack),
    /// HEARTBEAT: heartbeat information parameter as it stands.
    Heartbeat(&'a [u8]),
    /// HEARTBEAT ACK: the same.
    HeartbeatAck(&'a [u8]),
    /// ABORT.
    Abort {
        /// The T bit.
        reflected: bool,
        /// Error causes as they stand.
        causes: &'a [u8],
    },
    /// SHUTDOWN: cumulative TSN ack.
    Shutdown(u32),
    /// SHUTDOWN ACK.
    ShutdownAck,
    /// ERROR: error causes as they stand.
    Error(&'a [u8]),
    /// COOKIE ECHO: the cookie.
    CookieEcho(&'a [u8]),
    /// COOKIE ACK.
    CookieAck,
    /// SHUTDOWN COMPLETE.
    ShutdownComplete {
        /// The T bit.
        reflected: bool,
    },
    /// AUTH.
    Auth(Auth<'a>),
    /// RE-CONFIG: parameters as they stand.
    ReConfig(&'a [u8]),
    /// PAD.
    Pad,
    /// FORWARD TSN, I-FORWARD-TSN.
    ForwardTsn(ForwardTsn),
    /// Anything else: the upper two bits of the type say what to do with it.
    Unknown(u8),
}

impl<'a> Chunk<'a> {
    /// Reads the value of a chunk by its type.
    ///
    /// # Errors
    /// The offset and the reason where it has not that form.
    pub fn decode(raw: &RawChunk<'a>) -> Result<Self, DecodeError> {
        let mut reader = raw.reader();
        Ok(match raw.kind {
            kind::DATA | kind::I_DATA => Self::Data(Data::decode(raw)?),
            kind::INIT => Self::Init(Init::decode(raw)?),
            kind::INIT_ACK => Self::InitAck(Init::decode(raw)?),
            kind::SACK => Self::Sack(Sack::decode(raw)?),
            kind::HEARTBEAT => Self::Heartbeat(raw.value),
            kind::HEARTBEAT_ACK => Self::HeartbeatAck(raw.value),
            kind::ABORT => Self::Abort {
                reflected: raw.flags & FLAG_T != 0,
                causes: raw.value,
            },
            kind::SHUTDOWN => {
                let ack = reader.u32("cumulative TSN ack")?;
                reader.finish("SHUTDOWN")?;
                Self::Shutdown(ack)
            }
            kind::SHUTDOWN_ACK => Self::ShutdownAck,
            kind::ERROR => Self::Error(raw.value),
            kind::COOKIE_ECHO => Self::CookieEcho(raw.value),
            kind::COOKIE_ACK => Self::CookieAck,
            kind::SHUTDOWN_COMPLETE => Self::ShutdownComplete {
                reflected: raw.flags & FLAG_T != 0,
            },
            kind::AUTH => Self::Auth(Auth {
                key_id: reader.u16("shared key identifier")?,
                hmac_id: reader.u16("HMAC identifier")?,
                hmac: reader.rest(),
            }),
            kind::RE_CONFIG => Self::ReConfig(raw.value),
            kind::PAD => Self::Pad,
            kind::FORWARD_TSN | kind::I_FORWARD_TSN => Self::ForwardTsn(ForwardTsn::decode(raw)?),
            other => Self::Unknown(other),
        })
    }
}

/// What to do with a chunk or parameter of unknown type, by the upper two
/// bits of its type (RFC 9260, sections 3.2 and 3.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unrecognized {
    /// Nothing behind it is looked at.
    pub stop: bool,
    /// It is told to the sender.
    pub report: bool,
}

impl Unrecognized {
    /// Reads the upper two bits of a chunk type, or of a parameter type's
    /// high octet.
    #[must_use]
    pub const fn of(high: u8) -> Self {
        Self {
            stop: high & 0x80 == 0,
            report: high & 0x40 != 0,
        }
    }
}
