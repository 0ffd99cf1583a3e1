//! Records of a journal: how they stand one behind the other in a file, so
//! that one that was cut off or damaged is seen.

/// Octets of the longest record.
pub const RECORD_LEN_MAX: usize = 64 * 1_024;

/// Octets before each record: its length and its CRC-32, little-endian.
const HEADER_LEN: usize = 8;

/// Appends a record to `out`; `false`, and nothing appended, where it is empty or longer than
/// [`RECORD_LEN_MAX`].
pub fn put_record(out: &mut alloc::vec::Vec<u8>, record: &[u8]) -> bool {
    let Some(length) = u32::try_from(record.len())
        .ok()
        .filter(|_| !record.is_empty() && record.len() <= RECORD_LEN_MAX)
    else {
        return false;
    };
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc32(record).to_le_bytes());
    out.extend_from_slice(record);
    true
}

/// The records of a journal, up to its end or to the first that is damaged.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    sound: usize,
}

impl<'a> Records<'a> {
    /// Goes through what a file holds.
    pub const fn new(octets: &'a [u8]) -> Self {
        Self {
            rest: octets,
            sound: 0,
        }
    }

    /// Returns how many octets are whole records so far: what stands behind them once there are no
    /// more is to be cut off before anything is appended.
    pub const fn sound(&self) -> usize {
        self.sound
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let ([a, b, c, d, e, f, g, h], rest) = self.rest.split_first_chunk::<HEADER_LEN>()?;
        let length = usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).ok()?;
        let check = u32::from_le_bytes([*e, *f, *g, *h]);
        if length == 0 || length > RECORD_LEN_MAX {
            return None;
        }
        let (record, rest) = rest.split_at_checked(length)?;
        if crc32(record) != check {
            return None;
        }
        self.rest = rest;
        self.sound += HEADER_LEN + length;
        Some(record)
    }
}

/// The CRC-32 of IEEE 802.3.
fn crc32(octets: &[u8]) -> u32 {
    let crc = octets.iter().fold(u32::MAX, |crc, octet| {
        (0..8).fold(crc ^ u32::from(*octet), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    });
    !crc
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement, and every octet cut off or changed.
    use super::*;

    #[test]
    fn the_checksum_is_the_usual_one() {
        // The check value that catalogues of CRCs give for CRC-32/ISO-HDLC.
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn records_end_where_one_is_cut_off_or_changed() {
        let mut octets = alloc::vec::Vec::new();
        for record in [&b"one"[..], b"another", b"x"] {
            assert!(put_record(&mut octets, record));
        }
        assert!(!put_record(&mut octets, b""));
        assert!(!put_record(&mut octets, &[0; RECORD_LEN_MAX + 1]));
        let all: alloc::vec::Vec<_> = Records::new(&octets).collect();
        assert_eq!(all, [&b"one"[..], b"another", b"x"]);
        let whole = [0, 11, 26, octets.len()];
        for end in 0..octets.len() {
            let mut records = Records::new(&octets[..end]);
            let count = records.by_ref().count();
            assert_eq!(records.sound(), whole[count]);
            assert_eq!(count, whole.iter().skip(1).filter(|at| **at <= end).count());
            let mut changed = octets.clone();
            changed[end] ^= 0x20;
            let found: alloc::vec::Vec<_> = Records::new(&changed).collect();
            assert!(found.len() < 3 && all.starts_with(&found), "{end}");
        }
    }
}
