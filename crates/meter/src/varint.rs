//! Numbers in as few octets as they need: LEB128, signed ones zigzag.

/// Appends an unsigned number.
#[inline]
pub(crate) fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7F);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Appends a signed number.
#[inline]
pub(crate) fn put_i64(out: &mut Vec<u8>, value: i64) {
    put_u64(
        out,
        (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned(),
    );
}

/// Takes an unsigned number; `None` where the octets end in it or it has more than 64 bits.
#[inline]
pub(crate) fn take_u64(octets: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = octets.split_first()?;
        *octets = rest;
        let bits = u64::from(first & 0x7F);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Takes a signed number.
#[inline]
pub(crate) fn take_i64(octets: &mut &[u8]) -> Option<i64> {
    let value = take_u64(octets)?;
    Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement, and robustness against endless numbers.
    use super::*;

    #[test]
    fn numbers_read_back() {
        for value in [0, 1, -1, 63, -64, 64, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            put_i64(&mut out, value);
            assert_eq!(take_i64(&mut out.as_slice()), Some(value));
        }
        assert_eq!(take_u64(&mut [0xFF; 10].as_slice()), None);
        assert_eq!(take_u64(&mut [0x80].as_slice()), None);
    }
}
