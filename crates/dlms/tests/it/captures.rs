//! Octets of real meters. They lie beside the project, not in it: a test that
//! needs one says on its output that it was skipped where they are absent.

use std::path::PathBuf;

use serde_json::Value;

/// Says that a test is skipped, in the words by which `scripts/check` counts it so.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
pub(crate) fn skipped(why: &str) {
    println!("skipped: {why}");
}

/// Reads a capture; `None`, and a line that says so, where it is absent.
pub(crate) fn capture(name: &str) -> Option<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/dlms/vectors")
        .join(name)
        .with_extension("json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        skipped(&format!("the capture {name} is not beside the project"));
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

/// Reads the octets of a capture that has one message.
pub(crate) fn octets(name: &str) -> Option<Vec<u8>> {
    capture(name).map(|vector| unhex(vector["hex"].as_str().unwrap()))
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(u8::is_ascii_hexdigit)
        .map(|digit| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap())
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A sequence that a seed repeats (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from((self.next() >> 33) % bound as u64).unwrap()
    }

    pub(crate) fn octets(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_be_bytes()[0]).collect()
    }

    /// True in `permille` of a thousand cases.
    pub(crate) fn chance(&mut self, permille: usize) -> bool {
        self.below(1_000) < permille
    }
}
