//! Octets given as digits, as a file or on standard input.

use std::io::Read;

use crate::failure::Failure;

/// Octets that are taken at most: far above any message.
pub(crate) const OCTETS_MAX: usize = 1 << 20;

/// What stands for them at most: digits, spaces and line breaks.
const TEXT_MAX: u64 = 4 << 20;

/// Reads `HEX`, `@FILE` or `-`.
pub(crate) fn octets(argument: &str, input: &mut dyn Read) -> Result<Vec<u8>, Failure> {
    let octets = if argument == "-" {
        from_octets(limited(input, "standard input")?)?
    } else if let Some(path) = argument.strip_prefix('@') {
        let mut file = std::fs::File::open(path)
            .map_err(|error| Failure::new(format!("{path} cannot be read: {error}")))?;
        from_octets(limited(&mut file, path)?)?
    } else {
        from_digits(argument)?
    };
    if octets.is_empty() {
        return Err(Failure::at(0, "there are no octets")
            .hint("give hexadecimal digits, @FILE or - for standard input"));
    }
    if octets.len() > OCTETS_MAX {
        return Err(Failure::new(format!(
            "{} octets are more than one message has",
            octets.len()
        )));
    }
    Ok(octets)
}

fn limited(input: &mut dyn Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut octets = Vec::new();
    input
        .take(TEXT_MAX + 1)
        .read_to_end(&mut octets)
        .map_err(|error| Failure::new(format!("{name} cannot be read: {error}")))?;
    if octets.len() as u64 > TEXT_MAX {
        return Err(Failure::new(format!(
            "{name} is longer than any message: more than {TEXT_MAX} octets"
        )));
    }
    Ok(octets)
}

/// A file holds digits where all of it is printable, else the octets. Text
/// that begins as telegrams and XML do is taken as it is.
fn from_octets(octets: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if matches!(octets.trim_ascii_start().first(), Some(b'/' | b'<')) {
        return Ok(octets);
    }
    let printable = |octet: &u8| octet.is_ascii_graphic() || octet.is_ascii_whitespace();
    match std::str::from_utf8(&octets) {
        Ok(text) if octets.iter().all(printable) => from_digits(text),
        _ => Ok(octets),
    }
}

fn from_digits(text: &str) -> Result<Vec<u8>, Failure> {
    if let Some(octets) = link::parse_hex(text) {
        return Ok(octets);
    }
    let between = |character: char| character.is_whitespace() || matches!(character, ':' | '-');
    let strange = text
        .chars()
        .enumerate()
        .find(|(_, character)| !between(*character) && !character.is_ascii_hexdigit());
    let failure = match strange {
        Some((position, character)) => {
            let octet = text
                .chars()
                .take(position)
                .filter(char::is_ascii_hexdigit)
                .count()
                / 2;
            Failure::at(
                octet,
                format!(
                    "{:?}, character {}, is no hexadecimal digit",
                    character,
                    position + 1
                ),
            )
        }
        None => {
            let digits = text.chars().filter(char::is_ascii_hexdigit).count();
            Failure::at(digits / 2, "half an octet: the number of digits is odd")
        }
    };
    Err(failure.hint("give hexadecimal digits, @FILE or - for standard input"))
}
