//! The frame check sequence of ISO/IEC 13239, 16 bits.

/// The generator x^16 + x^12 + x^5 + 1, low bit first.
const POLYNOMIAL: u16 = 0x8408;

/// `TABLES[k][octet]` is what `octet` leaves behind once `k` zero octets have
/// followed it, so that eight octets are taken in one step.
static TABLES: [[u16; 256]; 8] = tables();

/// A frame check sequence under way.
#[derive(Clone, Copy, Debug)]
pub struct Fcs(u16);

impl Fcs {
    /// Starts before the first octet.
    #[must_use]
    pub const fn new() -> Self {
        Self(0xFFFF)
    }

    /// Computes the sequence over `octets`, to be sent low octet first.
    #[must_use]
    pub fn of(octets: &[u8]) -> u16 {
        Self::new().update(octets).value()
    }

    /// Takes `octets` in.
    #[must_use]
    #[inline]
    #[expect(
        clippy::indexing_slicing,
        reason = "an octet indexes 256 entries, a constant eight tables"
    )]
    pub fn update(self, octets: &[u8]) -> Self {
        let mut crc = self.0;
        let (chunks, rest) = octets.as_chunks::<8>();
        for &[a, b, c, d, e, f, g, h] in chunks {
            let [low, high] = crc.to_le_bytes();
            crc = TABLES[7][usize::from(a ^ low)]
                ^ TABLES[6][usize::from(b ^ high)]
                ^ TABLES[5][usize::from(c)]
                ^ TABLES[4][usize::from(d)]
                ^ TABLES[3][usize::from(e)]
                ^ TABLES[2][usize::from(f)]
                ^ TABLES[1][usize::from(g)]
                ^ TABLES[0][usize::from(h)];
        }
        for &octet in rest {
            let [low, high] = crc.to_le_bytes();
            crc = u16::from(high) ^ TABLES[0][usize::from(octet ^ low)];
        }
        Self(crc)
    }

    /// Tells the sequence over what was taken in, to be sent low octet first.
    #[must_use]
    pub const fn value(self) -> u16 {
        !self.0
    }
}

impl Default for Fcs {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "computed by the compiler, which refuses an index out of bounds; the octet is below 256"
)]
const fn tables() -> [[u16; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut octet = 0;
    while octet < 256 {
        let mut crc = octet as u16;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ POLYNOMIAL
            } else {
                crc >> 1
            };
            bit += 1;
        }
        tables[0][octet] = crc;
        octet += 1;
    }
    let mut step = 1;
    while step < 8 {
        let mut octet = 0;
        while octet < 256 {
            let before = tables[step - 1][octet];
            tables[step][octet] = (before >> 8) ^ tables[0][(before & 0xFF) as usize];
            octet += 1;
        }
        step += 1;
    }
    tables
}
