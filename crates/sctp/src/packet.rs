//! The common header, the checksum, and the chunks of a packet
//! (RFC 9260, section 3).

use crate::codec::{DecodeError, Malformed, Reader, fill_length, pad, padded};

/// Octets of the common header.
pub const HEADER_LEN: usize = 12;

/// Octets of type, flags and length before each chunk's value.
pub const CHUNK_HEADER_LEN: usize = 4;

/// Chunks that one packet may have; what follows is not looked at.
pub const CHUNKS_MAX: usize = 1_024;

/// The common header, without the checksum (RFC 9260, section 3.1).
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------------------------------+-------------------------------+
/// |          source port          |        destination port       |
/// +-------------------------------+-------------------------------+
/// |                       verification tag                        |
/// +---------------------------------------------------------------+
/// |                           checksum                            |
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Port of the sender.
    pub source_port: u16,
    /// Port of the receiver.
    pub destination_port: u16,
    /// The tag that the receiver chose, 0 before an INIT.
    pub verification_tag: u32,
}

/// A packet whose checksum is right.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The common header.
    pub header: Header,
    chunks: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads the header and checks the checksum.
    ///
    /// # Errors
    /// Where octets are missing or the checksum is another. The checksum is
    /// not looked at while fuzzing.
    pub fn decode(octets: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::at(octets, 0);
        let header = Header {
            source_port: reader.u16("source port")?,
            destination_port: reader.u16("destination port")?,
            verification_tag: reader.u32("verification tag")?,
        };
        let at = reader.clone();
        let told: [u8; 4] = reader.array("checksum")?;
        if told != checksum(octets) && !cfg!(fuzzing) {
            return Err(at.error("checksum", Malformed::Checksum));
        }
        Ok(Self {
            header,
            chunks: reader.rest(),
        })
    }

    /// Goes through the chunks.
    #[must_use]
    pub const fn chunks(&self) -> Chunks<'a> {
        Chunks {
            reader: Reader::at(self.chunks, HEADER_LEN),
            left: CHUNKS_MAX,
        }
    }
}

/// One chunk as it stands in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawChunk<'a> {
    /// The chunk type.
    pub kind: u8,
    /// The chunk flags.
    pub flags: u8,
    /// What stands behind the chunk length, without padding.
    pub value: &'a [u8],
    /// The whole chunk without padding.
    pub octets: &'a [u8],
    /// The whole chunk and all that stands behind it in the packet.
    pub rest: &'a [u8],
    /// Offset of its first octet in the packet.
    pub offset: usize,
}

impl<'a> RawChunk<'a> {
    /// Starts at the value.
    #[must_use]
    pub const fn reader(&self) -> Reader<'a> {
        Reader::at(self.value, self.offset + CHUNK_HEADER_LEN)
    }
}

/// Chunks of a packet one after the other; it ends after the first error.
#[derive(Clone, Debug)]
pub struct Chunks<'a> {
    reader: Reader<'a>,
    left: usize,
}

impl<'a> Chunks<'a> {
    fn read(&mut self) -> Result<RawChunk<'a>, DecodeError> {
        let offset = self.reader.offset();
        let whole = self.reader.clone().rest();
        let kind = self.reader.u8("chunk type")?;
        let flags = self.reader.u8("chunk flags")?;
        let length = usize::from(self.reader.u16("chunk length")?);
        let Some(value_len) = length.checked_sub(CHUNK_HEADER_LEN) else {
            return Err(DecodeError {
                offset: offset + 2,
                field: "chunk length",
                reason: Malformed::Length,
            });
        };
        let value = self.reader.take(value_len, "chunk value")?;
        let padding = padded(length) - length;
        // The last chunk is taken without its padding too.
        self.reader
            .take(padding.min(self.reader.remaining()), "chunk padding")?;
        let octets = whole.get(..length).unwrap_or_default();
        Ok(RawChunk {
            kind,
            flags,
            value,
            octets,
            rest: whole,
            offset,
        })
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<RawChunk<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() || self.left == 0 {
            return None;
        }
        self.left -= 1;
        let read = self.read();
        if read.is_err() {
            self.reader.rest();
        }
        Some(read)
    }
}

/// A packet as it grows.
#[derive(Clone, Debug)]
pub struct PacketBuilder {
    octets: Vec<u8>,
}

impl PacketBuilder {
    /// Starts with the header; `capacity` is a guess of the whole length.
    #[must_use]
    pub fn new(header: Header, capacity: usize) -> Self {
        let mut octets = Vec::with_capacity(capacity.max(HEADER_LEN));
        octets.extend(header.source_port.to_be_bytes());
        octets.extend(header.destination_port.to_be_bytes());
        octets.extend(header.verification_tag.to_be_bytes());
        octets.extend([0; 4]);
        Self { octets }
    }

    /// Tells how many octets there are so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.octets.len()
    }

    /// Tells whether there is no chunk yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.octets.len() <= HEADER_LEN
    }

    /// Appends chunks that are encoded and padded already.
    pub fn extend(&mut self, chunks: &[u8]) {
        self.octets.extend_from_slice(chunks);
    }

    /// Gives the octets to chunks that write themselves.
    pub const fn octets(&mut self) -> &mut Vec<u8> {
        &mut self.octets
    }

    /// Fills in the checksum.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let sum = checksum(&self.octets);
        if let Some(field) = self.octets.get_mut(8..HEADER_LEN) {
            field.copy_from_slice(&sum);
        }
        self.octets
    }
}

/// Computes the checksum of a packet, its own field taken as zero
/// (RFC 9260, section 6.8 and appendix A): CRC32c, the low octet first.
#[must_use]
pub fn checksum(packet: &[u8]) -> [u8; 4] {
    let (before, rest) = packet.split_at(packet.len().min(8));
    let (_, after) = rest.split_at(rest.len().min(4));
    let mut crc = crc32c::crc32c(before);
    crc = crc32c::crc32c_append(crc, &[0; 4]);
    crc = crc32c::crc32c_append(crc, after);
    crc.to_le_bytes()
}

/// Appends one chunk: type, flags, length, what `value` writes, padding.
pub fn write_chunk(out: &mut Vec<u8>, kind: u8, flags: u8, value: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([kind, flags, 0, 0]);
    value(out);
    let length = out.len() - start;
    fill_length(out, start + 2, length);
    pad(out, start);
}
