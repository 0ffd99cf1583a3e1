//! Randomness as an input.

/// Where unpredictable octets come from: verification tags, TSNs, keys of
/// cookies, nonces of heartbeats.
pub trait Entropy: Send {
    /// Fills `octets` with octets that nobody can predict.
    fn fill(&mut self, octets: &mut [u8]);
}

/// `N` octets.
pub(crate) fn octets<const N: usize>(entropy: &mut dyn Entropy) -> [u8; N] {
    let mut octets = [0; N];
    entropy.fill(&mut octets);
    octets
}

/// A number other than 0: what a verification tag must be.
pub(crate) fn tag(entropy: &mut dyn Entropy) -> u32 {
    // A source that only gives zeros shall not hang us.
    for _ in 0..8 {
        let tag = u32::from_be_bytes(octets(entropy));
        if tag != 0 {
            return tag;
        }
    }
    1
}
