//! Options, operations, hex and JSON lines.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use dlms_cosem_rs::axdr::DateTime;
use dlms_cosem_rs::codec::{Error, ErrorKind};
use dlms_cosem_rs::obis::Obis;
use dlms_cosem_rs::security::{KeyRing, RandomSource, RustCryptoProvider, SystemTitle};

use crate::Failure;

/// `--name value` pairs, and the operations, two words each.
pub struct Command {
    named: BTreeMap<String, String>,
    pub operations: Vec<(String, String)>,
}

impl Command {
    pub fn new(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut named = BTreeMap::new();
        let mut words = Vec::new();
        while let Some(word) = arguments.next() {
            match word.strip_prefix("--") {
                Some(name) => {
                    drop(named.insert(name.to_owned(), arguments.next().unwrap_or_default()))
                }
                None => words.push(word),
            }
        }
        let operations = words
            .chunks_exact(2)
            .map(|pair| (pair[0].clone(), pair[1].clone()))
            .collect();
        Self { named, operations }
    }

    pub fn text<'a>(&'a self, name: &str, otherwise: &'a str) -> &'a str {
        self.named.get(name).map_or(otherwise, String::as_str)
    }

    pub fn number(&self, name: &str, otherwise: u32) -> Result<u32, Failure> {
        Ok(self
            .named
            .get(name)
            .map_or(Ok(otherwise), |text| text.parse())?)
    }

    pub fn title(&self, otherwise: &str) -> Result<SystemTitle, Failure> {
        Ok(SystemTitle::from_slice(&octets(self.text("title", otherwise))?).map_err(words)?)
    }

    pub fn provider(&self, ciphered: bool) -> Result<RustCryptoProvider<SystemRandom>, Failure> {
        let key = |name, otherwise| -> Result<[u8; 16], Failure> {
            Ok(octets(self.text(name, otherwise))?
                .try_into()
                .map_err(|_| "a key has 16 octets")?)
        };
        let ring = if ciphered {
            KeyRing::new(
                key("ek", "000102030405060708090a0b0c0d0e0f")?,
                key("ak", "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf")?,
            )
        } else {
            KeyRing::default()
        };
        Ok(RustCryptoProvider::with_rng(ring, SystemRandom))
    }
}

/// Class, logical name and attribute or method of `CLASS:OBIS:ID`.
pub fn target(text: &str) -> Result<(u16, Obis, i8), Failure> {
    let mut parts = text.split(':');
    let mut next = || parts.next().ok_or("a target is CLASS:OBIS:ID");
    let class = next()?.parse()?;
    let name: Vec<u8> = next()?
        .split('.')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let &[a, b, c, d, e, f] = name.as_slice() else {
        return Err("an OBIS code has six groups".into());
    };
    Ok((class, Obis::new(a, b, c, d, e, f), next()?.parse()?))
}

/// The date-time in UTC of `2026-01-01T00:00:00Z`.
pub fn moment(text: &str) -> Result<DateTime, Failure> {
    let part = |from: usize, to: usize| text.get(from..to).ok_or("a time is YYYY-MM-DDTHH:MM:SSZ");
    Ok(DateTime::from_civil(
        part(0, 4)?.parse()?,
        part(5, 7)?.parse()?,
        part(8, 10)?.parse()?,
        part(11, 13)?.parse()?,
        part(14, 16)?.parse()?,
        part(17, 19)?.parse()?,
        0,
    ))
}

pub fn octets(hex: &str) -> Result<Vec<u8>, Failure> {
    let digits: Vec<u8> = hex
        .chars()
        .map(|c| c.to_digit(16).map(|d| d as u8).ok_or("not hex"))
        .collect::<Result<_, _>>()?;
    Ok(digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |value, digit| value << 4 | digit))
        .collect())
}

pub fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The library's error as it prints itself for developers.
pub fn words(error: Error) -> String {
    format!("{error:?}")
}

/// A JSON string.
pub fn quoted(text: &str) -> String {
    let escaped: String = text
        .chars()
        .filter(|c| !c.is_control())
        .flat_map(|c| {
            matches!(c, '"' | '\\')
                .then_some('\\')
                .into_iter()
                .chain([c])
        })
        .collect();
    format!("\"{escaped}\"")
}

/// The operating system's random octets.
pub struct SystemRandom;

impl RandomSource for SystemRandom {
    fn fill(&self, out: &mut [u8]) -> dlms_cosem_rs::codec::Result<()> {
        File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(out))
            .map_err(|_| Error::new(ErrorKind::Unsupported, 0))
    }
}
