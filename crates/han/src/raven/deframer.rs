//! Fragments found in a stream.

/// Octets that a fragment may have: many times the longest of the manual.
pub const FRAGMENT_LENGTH_MAX: usize = 16_384;

/// Finds fragments in what an adapter sends. Holds at most one.
#[derive(Clone, Debug, Default)]
pub struct Deframer {
    buffer: Vec<u8>,
    /// The end tag that closes the fragment under way.
    end: Vec<u8>,
    done: usize,
    counters: Counters,
}

/// What an adapter has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Fragments from first to last tag.
    pub fragments: u64,
    /// Octets outside any fragment.
    pub noise_octets: u64,
    /// Fragments that became too long.
    pub cut: u64,
}

impl Deframer {
    /// Starts on a silent line.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes octets from the front of `input` until they make a fragment, or
    /// until there are none left.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<&[u8]> {
        self.buffer.drain(..self.done.min(self.buffer.len()));
        if self.done > 0 {
            self.end.clear();
        }
        self.done = 0;
        while let Some((octet, rest)) = input.split_first() {
            *input = rest;
            if self.buffer.is_empty() && *octet != b'<' {
                self.counters.noise_octets += u64::from(!octet.is_ascii_whitespace());
                continue;
            }
            self.buffer.push(*octet);
            if self.buffer.len() > FRAGMENT_LENGTH_MAX {
                self.counters.cut += 1;
                self.buffer.clear();
                self.end.clear();
                continue;
            }
            if *octet != b'>' {
                continue;
            }
            if self.end.is_empty() {
                self.begin();
            } else if self.buffer.ends_with(&self.end) {
                self.counters.fragments += 1;
                self.done = self.buffer.len();
                return Some(&self.buffer);
            }
        }
        None
    }

    /// Tells what the adapter has sent so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Looks at the first tag. An end tag here closes a fragment whose begin
    /// was lost.
    fn begin(&mut self) {
        let name = self
            .buffer
            .get(1..self.buffer.len() - 1)
            .unwrap_or_default();
        let is_name = name.first().is_some_and(u8::is_ascii_alphabetic)
            && name.iter().all(u8::is_ascii_alphanumeric);
        if is_name {
            self.end = [b"</", name, b">"].concat();
        } else {
            self.counters.noise_octets += self.buffer.len() as u64;
            self.buffer.clear();
        }
    }
}
