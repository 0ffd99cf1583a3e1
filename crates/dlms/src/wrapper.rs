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
/// grows with what has arrived, to [`AHEAD_TIMES`] as much at most, never with
/// what a header alone announces, but for [`AHEAD_MAX`] octets.
#[derive(Clone, Debug)]
pub struct Deframer {
    head: [u8; HEADER_LENGTH],
    /// Octets of `head` that have come.
    headed: usize,
    /// There once all of `head` is, and is good.
    header: Option<Header>,
    apdu: Vec<u8>,
    /// Whether `apdu` is whole and was given.
    given: bool,
    apdu_length_max: u16,
    /// Octets of the stream before `head`.
    offset: usize,
    failed: Option<DecodeError>,
}

/// Octets that a header may have set aside before they come, so that an APDU of
/// that length is copied once on its way out of the stream.
pub const AHEAD_MAX: usize = 8 * 1_024;

/// How many octets each one of an APDU that has come may have set aside for what
/// is announced: with the first 1,024 there is room for the longest.
pub const AHEAD_TIMES: usize = 64;

/// Octets that an APDU which is given away has room for behind it: a gateway's
/// prefix can be put before it in its place.
const SPARE: usize = 32;

impl Deframer {
    /// Starts at the beginning of a stream whose APDUs have at most
    /// `apdu_length_max` octets.
    #[must_use]
    pub const fn new(apdu_length_max: u16) -> Self {
        Self {
            head: [0; HEADER_LENGTH],
            headed: 0,
            header: None,
            apdu: Vec::new(),
            given: false,
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
        let header = self.complete(input)?;
        Ok(header.map(|header| Wrapper {
            source: header.source,
            destination: header.destination,
            apdu: &self.apdu,
        }))
    }

    /// As [`next`](Self::next), and gives the APDU away: it was copied once, from
    /// `input`, where of a longer one than [`AHEAD_MAX`] octets that share came at
    /// once of which [`AHEAD_TIMES`] as much is all.
    ///
    /// # Errors
    /// As there.
    pub fn next_owned(
        &mut self,
        input: &mut &[u8],
    ) -> Result<Option<(Header, Vec<u8>)>, DecodeError> {
        let header = self.complete(input)?;
        Ok(header.map(|header| (header, core::mem::take(&mut self.apdu))))
    }

    /// Tells whether part of an APDU has arrived: a stream that ends now was
    /// cut short.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.headed == 0 || self.given
    }

    /// Goes on until an APDU is whole, and tells its header.
    fn complete(&mut self, input: &mut &[u8]) -> Result<Option<Header>, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.given {
            let length = self.header.map_or(0, |header| usize::from(header.length));
            self.offset = self.offset.wrapping_add(HEADER_LENGTH + length);
            self.headed = 0;
            self.header = None;
            self.apdu.clear();
            self.given = false;
        }
        let Some(header) = self.header(input)? else {
            return Ok(None);
        };
        let length = usize::from(header.length);
        let missing = length.saturating_sub(self.apdu.len());
        let (taken, rest) = input.split_at_checked(missing).unwrap_or((*input, &[]));
        if self.apdu.capacity() < self.apdu.len() + taken.len() {
            let arrived = self.apdu.len() + taken.len();
            let room = length.min(AHEAD_MAX.max(AHEAD_TIMES * arrived));
            self.apdu.reserve_exact(room + SPARE - self.apdu.len());
        }
        self.apdu.extend_from_slice(taken);
        *input = rest;
        self.given = self.apdu.len() == length;
        Ok(self.given.then_some(header))
    }

    /// Goes on until the header is whole.
    fn header(&mut self, input: &mut &[u8]) -> Result<Option<Header>, DecodeError> {
        if self.header.is_some() {
            return Ok(self.header);
        }
        let room = self.head.get_mut(self.headed..).unwrap_or_default();
        let count = room.len().min(input.len());
        let (taken, rest) = input.split_at_checked(count).unwrap_or_default();
        for (place, octet) in room.iter_mut().zip(taken) {
            *place = *octet;
        }
        *input = rest;
        self.headed += count;
        let head = self.head.get(..self.headed).unwrap_or_default();
        let header = match Header::decode(&mut Reader::at(head, self.offset)) {
            Ok(header) => header,
            // A wrong version tells itself before the rest has come.
            Err(error) if error.reason == Malformed::Value => return self.fail(error),
            Err(_) => return Ok(None),
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
        self.header = Some(header);
        Ok(self.header)
    }

    fn fail<T>(&mut self, error: DecodeError) -> Result<T, DecodeError> {
        self.failed = Some(error);
        self.apdu = Vec::new();
        Err(error)
    }
}
