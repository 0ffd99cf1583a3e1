//! Numbers that are the same each time: for simulations, and for nothing else.

use std::sync::atomic::{AtomicU64, Ordering};

use link::Entropy;

/// Octets from a seed. Whoever knows the seed knows the keys.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    drawn: AtomicU64,
}

impl SeededEntropy {
    /// Starts from a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            drawn: AtomicU64::new(0),
        }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) -> std::io::Result<()> {
        for part in out.chunks_mut(8) {
            let drawn = draw(self.seed, self.drawn.fetch_add(1, Ordering::Relaxed));
            for (octet, random) in part.iter_mut().zip(drawn.to_le_bytes()) {
                *octet = random;
            }
        }
        Ok(())
    }
}

/// Draws the number at a place of a seed's row (SplitMix64, Steele et al. 2014).
#[must_use]
pub const fn draw(seed: u64, place: u64) -> u64 {
    let mixed = seed.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
