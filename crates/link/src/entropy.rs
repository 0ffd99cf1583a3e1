//! Where random octets come from.

/// A source of random octets that are fit for keys and challenges.
pub trait Entropy: Send + Sync {
    /// Fills `out` with random octets.
    ///
    /// # Errors
    /// The operating system's, where it has none to give.
    fn fill(&self, out: &mut [u8]) -> std::io::Result<()>;
}

/// The operating system's entropy.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) -> std::io::Result<()> {
        getrandom::fill(out).map_err(std::io::Error::other)
    }
}
