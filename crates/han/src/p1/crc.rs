//! CRC16 of DSMR: x^16 + x^15 + x^2 + 1, the low bit first, from 0.

/// Sums octets.
pub(super) fn arc(octets: &[u8]) -> u16 {
    octets.iter().fold(0, |crc, octet| step(crc, *octet))
}

/// Sums octets with a carriage return before each line feed.
pub(super) fn arc_with_line_ends(octets: &[u8]) -> u16 {
    octets.iter().fold(0, |crc, octet| match octet {
        b'\n' => step(step(crc, b'\r'), b'\n'),
        octet => step(crc, *octet),
    })
}

fn step(crc: u16, octet: u8) -> u16 {
    let mut crc = crc ^ u16::from(octet);
    for _ in 0..8 {
        crc = if crc & 1 == 0 {
            crc >> 1
        } else {
            (crc >> 1) ^ 0xA001
        };
    }
    crc
}

#[cfg(test)]
mod tests {
    //! Evidence: the check value of CRC-16/ARC in the catalogue of CRCs.
    use super::*;

    #[test]
    fn the_check_value_is_right() {
        assert_eq!(arc(b"123456789"), 0xBB3D);
        assert_eq!(arc_with_line_ends(b"a\nb"), arc(b"a\r\nb"));
    }
}
