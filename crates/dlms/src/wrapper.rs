//! The wrapper of DLMS over TCP and UDP (IEC 62056-47 clause 5.2).

use alloc::vec::Vec;

use crate::codec::{DecodeError, Malformed, Reader, Wire};

/// Octets before every APDU.
pub const HEADER_LENGTH: usize = 8;

/// The only version there is.
pub const VERSION: u16 = 1;

/// The eight octets before an APDU.
///
/// ```text
///  version 0001 | source wPort | destination wPort | length
///    2 octets   |   2 octets   |     2 octets      | 2 octets
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who speaks.
    pub source: u16,
    /// Who is meant.
    pub destination: u16,
    /// Octets of the APDU that follows.
    pub length: u16,
}

impl<'a> Wire<'a> for Header {
    fn encode(&self, out: &mut Vec<u8>) {
        for word in [VERSION, self.source, self.destination, self.length] {
            out.extend_from_slice(&word.to_be_bytes());
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.error("wrapper version", Malformed::Value);
        if reader.u16("wrapper version")? != VERSION {
            return Err(version);
        }
        Ok(Self {
            source: reader.u16("source wPort")?,
            destination: reader.u16("destination wPort")?,
            length: reader.u16("wrapper length")?,
        })
    }
}

/// An APDU in its wrapper: all of a datagram, or a piece of a stream.
///
/// An empty one is refused: no APDU has no octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrapper<'a> {
    /// Who speaks.
    pub source: u16,
    /// Who is meant.
    pub destination: u16,
    /// What is said: at most 65,535 octets, of which more would be cut off.
    pub apdu: &'a [u8],
}

impl<'a> Wire<'a> for Wrapper<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        let length = u16::try_from(self.apdu.len()).unwrap_or(u16::MAX);
        out.reserve(HEADER_LENGTH + usize::from(length));
        Header {
            source: self.source,
            destination: self.destination,
            length,
        }
        .encode(out);
        out.extend_from_slice(self.apdu.get(..usize::from(length)).unwrap_or_default());
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = reader.offset();
        let header = Header::decode(reader)?;
        if header.length == 0 {
            return Err(DecodeError {
                offset: start + 6,
                field: "wrapper length",
                reason: Malformed::Length,
            });
        }
        Ok(Self {
            source: header.source,
            destination: header.destination,
            apdu: reader.take(usize::from(header.length), "wrapped APDU")?,
        })
    }
}

/// Finds wrapped APDUs in a stream.
///
/// A stream whose header is wrong cannot be found into again: after an error
/// every call gives the same one, and the connection is to be closed. Memory
/// grows with what has arrived, never with what a header announces.
#[derive(Clone, Debug)]
pub struct Deframer {
    buffer: Vec<u8>,
    done: usize,
    apdu_length_max: u16,
    /// Octets of the stream before the buffer.
    offset: usize,
    failed: Option<DecodeError>,
}

impl Deframer {
    /// Starts at the beginning of a stream whose APDUs have at most
    /// `apdu_length_max` octets.
    #[must_use]
    pub const fn new(apdu_length_max: u16) -> Self {
        Self {
            buffer: Vec::new(),
            done: 0,
            apdu_length_max,
            offset: 0,
            failed: None,
        }
    }

    /// Takes octets from the front of `input` until they make an APDU, or
    /// until there are none left.
    ///
    /// # Errors
    /// Another version, a length of zero or above the bound; the offset counts
    /// from the beginning of the stream.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Wrapper<'_>>, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.offset = self.offset.wrapping_add(self.done);
        self.buffer.drain(..self.done.min(self.buffer.len()));
        self.done = 0;
        self.fill(2, input);
        let early = &self.buffer;
        if early.len() >= 2
            && let Err(error) = Header::decode(&mut Reader::at(early, self.offset))
            && error.reason == Malformed::Value
        {
            return self.fail(error);
        }
        if !self.fill(HEADER_LENGTH, input) {
            return Ok(None);
        }
        let header = match Header::decode(&mut Reader::at(&self.buffer, self.offset)) {
            Ok(header) => header,
            Err(error) => return self.fail(error),
        };
        let reason = match header.length {
            0 => Some(Malformed::Length),
            length if length > self.apdu_length_max => Some(Malformed::Limit),
            _ => None,
        };
        if let Some(reason) = reason {
            return self.fail(DecodeError {
                offset: self.offset.wrapping_add(6),
                field: "wrapper length",
                reason,
            });
        }
        let total = HEADER_LENGTH + usize::from(header.length);
        if !self.fill(total, input) {
            return Ok(None);
        }
        self.done = total;
        Wrapper::decode(&mut Reader::at(&self.buffer, self.offset)).map(Some)
    }

    /// Tells whether part of an APDU has arrived: a stream that ends now was
    /// cut short.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.buffer.len() <= self.done
    }

    fn fill(&mut self, count: usize, input: &mut &[u8]) -> bool {
        let missing = count.saturating_sub(self.buffer.len());
        let (taken, rest) = input.split_at_checked(missing).unwrap_or((*input, &[]));
        self.buffer.extend_from_slice(taken);
        *input = rest;
        self.buffer.len() >= count
    }

    fn fail(&mut self, error: DecodeError) -> Result<Option<Wrapper<'_>>, DecodeError> {
        self.failed = Some(error);
        self.buffer = Vec::new();
        Err(error)
    }
}
