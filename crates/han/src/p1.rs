//! Telegrams of customer ports that speak text: P1 of the Netherlands,
//! Belgium, Luxembourg, Sweden, Hungary and others (DSMR, e-MUCS), and the
//! data readout of optical D0 ports (IEC 62056-21, mode D).
//!
//! ```text
//! /XXXZ identification CR LF CR LF
//! address ( value * unit ) ( .. ) CR LF      as often as there are objects
//! ! checksum CR LF                           no checksum before DSMR 4
//! ```

mod crc;
mod deframer;
mod number;

use dlms::axdr::Date;
use dlms::codec::{DecodeError, Malformed};
use dlms::cosem::{Obis, Unit};

use crate::measure::{Basis, MeterTime, Report, SECOND_MS, Text, Trust, Value, Zone};

pub use deframer::{Counters, Deframer, TELEGRAM_LENGTH_MAX};

/// Objects that one telegram may have.
const OBJECTS_MAX: usize = 1_024;

/// Values that one object may have: a log of 10 failures or of 13 months has
/// fewer.
const CELLS_MAX: usize = 256;

/// The authentication key that every meter in Luxembourg has (Smarty P1
/// specification): its tag tells damage, not forgery.
pub const LUXEMBOURG_AUTHENTICATION_KEY: [u8; 16] = [
    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF,
];

/// A telegram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telegram<'a> {
    /// What stands behind the slash: maker, baud rate, type.
    pub identification: &'a str,
    /// The objects in order.
    pub objects: Vec<Object<'a>>,
    /// The checksum that was verified; nothing where the telegram has none.
    pub checksum: Option<u16>,
    /// Whether the checksum is right only with CR LF where LF stands: the text
    /// went through something that changes line ends.
    pub line_ends_changed: bool,
    /// How many octets it has, from slash to line end.
    pub length: usize,
}

/// An object with its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object<'a> {
    /// Where it begins.
    pub offset: usize,
    /// Its address as written.
    pub address: &'a str,
    /// The same as a code, where it is one.
    pub obis: Option<Obis>,
    /// What stands in parentheses.
    pub cells: Vec<Cell<'a>>,
}

/// A value in its parentheses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell<'a> {
    /// The value.
    pub value: &'a str,
    /// What stands behind `*`.
    pub unit: Option<&'a str>,
}

impl<'a> Telegram<'a> {
    /// Takes the telegram that `octets` begin with.
    ///
    /// # Errors
    /// The offset and the reason: no slash, no end, a line that is none, a
    /// checksum that does not match.
    pub fn decode(octets: &'a [u8]) -> Result<Self, DecodeError> {
        let error = |offset, field, reason| DecodeError {
            offset,
            field,
            reason,
        };
        match octets.first() {
            Some(b'/') => {}
            Some(other) => return Err(error(0, "P1 start", Malformed::Tag(*other))),
            None => return Err(error(0, "P1 start", Malformed::Truncated)),
        }
        let end = end_of(octets)
            .ok_or_else(|| error(octets.len(), "P1 telegram", Malformed::Truncated))?;
        let (body, tail) = octets.split_at_checked(end).unwrap_or((octets, &[]));
        let text = std::str::from_utf8(body)
            .map_err(|found| error(found.valid_up_to(), "P1 telegram", Malformed::Value))?;
        // Behind the exclamation mark.
        let line = tail.get(1..).unwrap_or_default();
        let line_length = line
            .iter()
            .position(|octet| *octet == b'\n')
            .map_or(line.len(), |at| at + 1);
        let digits = line.get(..line_length).unwrap_or_default().trim_ascii();
        let (checksum, line_ends_changed) = verify(octets, end, digits)?;
        let mut telegram = Self {
            identification: "",
            objects: Vec::new(),
            checksum,
            line_ends_changed,
            length: end + 1 + line_length,
        };
        telegram.lines(text)?;
        Ok(telegram)
    }

    fn lines(&mut self, text: &'a str) -> Result<(), DecodeError> {
        let mut offset = 0;
        for (index, whole) in text.split_inclusive('\n').enumerate() {
            let start = offset;
            offset += whole.len();
            // Frames of D0 heads have STX in front of the data.
            let line = whole.trim_matches(['\r', '\n', '\u{2}', '\u{3}']);
            if index == 0 {
                self.identification = line.strip_prefix('/').unwrap_or(line);
                continue;
            }
            if line.trim().is_empty() {
                continue;
            }
            let skipped = whole.find(line).unwrap_or_default();
            self.line(line, start + skipped)?;
        }
        Ok(())
    }

    fn line(&mut self, line: &'a str, offset: usize) -> Result<(), DecodeError> {
        let error = |at: usize, field, reason| DecodeError {
            offset: offset + at,
            field,
            reason,
        };
        let Some(open) = line.find('(') else {
            return Err(error(line.len(), "P1 object", Malformed::Truncated));
        };
        let (address, mut rest) = line.split_at_checked(open).unwrap_or((line, ""));
        let mut cells = Vec::new();
        while let Some(inside) = rest.strip_prefix('(') {
            let at = line.len() - rest.len();
            let Some((cell, behind)) = inside.split_once(')') else {
                return Err(error(at, "P1 value", Malformed::Truncated));
            };
            let (value, unit) = match cell.split_once('*') {
                Some((value, unit)) => (value, Some(unit)),
                None => (cell, None),
            };
            if cells.len() >= CELLS_MAX {
                return Err(error(at, "P1 value", Malformed::Limit));
            }
            cells.push(Cell { value, unit });
            rest = behind;
        }
        if !rest.trim().is_empty() {
            let at = line.len() - rest.len();
            return Err(error(at, "P1 object", Malformed::Trailing));
        }
        let address = address.trim();
        if address.is_empty() {
            // Values go on in a line of their own (gas meters before DSMR 4).
            return match self.objects.last_mut() {
                Some(object) if object.cells.len() + cells.len() <= CELLS_MAX => {
                    object.cells.append(&mut cells);
                    Ok(())
                }
                Some(_) => Err(error(0, "P1 value", Malformed::Limit)),
                None => Err(error(0, "P1 object", Malformed::Value)),
            };
        }
        if self.objects.len() >= OBJECTS_MAX {
            return Err(error(0, "P1 object", Malformed::Limit));
        }
        self.objects.push(Object {
            offset,
            address,
            obis: code_of(address),
            cells,
        });
        Ok(())
    }

    /// Tells the values in the form that all sources share.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = Report::default();
        let mut device_name = None;
        for object in &self.objects {
            let Some(obis) = object.obis else { continue };
            match (obis.0, object.cells.as_slice()) {
                ([0 | 1, _, 1, 0, 0, _], [cell]) => {
                    report.time = time_of(cell.value);
                }
                // Before DSMR 4: time, and in the end object, unit and value.
                ([0, _, 24, 3, 0, _], [time, _, _, _, inner, unit, value, ..]) => {
                    let quantity = number::quantity(value.value, Some(unit.value));
                    if let (Some(inner), Some(quantity)) = (code_of(inner.value), quantity) {
                        report.values.push(Value {
                            obis: inner,
                            quantity,
                            basis: Basis::Told,
                            time: time_of(time.value),
                        });
                    }
                }
                (_, [cell]) => {
                    if let Some(quantity) = of_cell(obis, *cell) {
                        report.values.push(Value {
                            obis,
                            quantity,
                            basis: if cell.unit.is_some() {
                                Basis::Told
                            } else {
                                Basis::Listed
                            },
                            time: None,
                        });
                        continue;
                    }
                    let text = text_of(obis, cell.value);
                    if text.is_empty() {
                        continue;
                    }
                    match obis.0 {
                        [0, 0, 96, 1, 0 | 1, _] | [1, 0, 0, 0, 0, _] if report.meter.is_none() => {
                            report.meter = Some(text.clone());
                        }
                        [0, 0, 42, 0, 0, _] => device_name = Some(text.clone()),
                        _ => {}
                    }
                    report.texts.push(Text { obis, text });
                }
                (_, [time, cell]) => {
                    // A time of another form is no time, and the value is not
                    // taken as one of now.
                    if let (Some(time), Some(quantity)) =
                        (time_of(time.value), of_cell(obis, *cell))
                    {
                        report.values.push(Value {
                            obis,
                            quantity,
                            basis: Basis::Told,
                            time: Some(time),
                        });
                    }
                }
                _ => {}
            }
        }
        report.meter = report.meter.or(device_name);
        report
    }
}

/// Where the exclamation mark stands that ends a telegram: at the begin of a
/// line.
fn end_of(octets: &[u8]) -> Option<usize> {
    octets
        .windows(2)
        .position(|pair| pair == b"\n!")
        .map(|at| at + 1)
}

/// Verifies the checksum, where there is one.
fn verify(octets: &[u8], end: usize, digits: &[u8]) -> Result<(Option<u16>, bool), DecodeError> {
    if digits.is_empty() {
        return Ok((None, false));
    }
    let error = |reason| DecodeError {
        offset: end + 1,
        field: "P1 checksum",
        reason,
    };
    // Some meters write it without leading zeros.
    let told = std::str::from_utf8(digits)
        .ok()
        .filter(|digits| digits.len() <= 4 && digits.bytes().all(|d| d.is_ascii_hexdigit()))
        .and_then(|digits| u16::from_str_radix(digits, 16).ok())
        .ok_or_else(|| error(Malformed::Value))?;
    let summed = octets.get(..=end).unwrap_or_default();
    if crc::arc(summed) == told || cfg!(fuzzing) {
        return Ok((Some(told), false));
    }
    if !summed.contains(&b'\r') && crc::arc_with_line_ends(summed) == told {
        return Ok((Some(told), true));
    }
    Err(error(Malformed::Checksum))
}

/// The code of an address. D0 ports write C, F, L and P for 96 to 99, and
/// leave out what is understood.
fn code_of(address: &str) -> Option<Obis> {
    if let Ok(obis) = address.parse() {
        return Some(obis);
    }
    let (head, rest) = address.split_once('.')?;
    let letter = match head {
        "C" => "96",
        "F" => "97",
        "L" => "98",
        "P" => "99",
        _ => return None,
    };
    // Abstract objects: 0-0.
    let rest = if rest == "F" { "97" } else { rest };
    format!("0-0:{letter}.{rest}").parse().ok()
}

/// The quantity in a cell; numbers without a unit count only where the object
/// is known to have none.
fn of_cell(obis: Obis, cell: Cell<'_>) -> Option<dlms::cosem::Scaled> {
    if cell.unit.is_some() {
        return number::quantity(cell.value, cell.unit);
    }
    let counts = matches!(
        obis.0,
        // Power factors; numbers of sags, swells and failures.
        [1, _, 13 | 33 | 53 | 73, 7, ..] | [1, _, 32 | 52 | 72, 32 | 36, ..] | [0, _, 96, 7, ..]
    );
    if !counts {
        return None;
    }
    number::quantity(cell.value, None)
}

/// Serial numbers and messages are written as the digits of their octets.
fn text_of(obis: Obis, value: &str) -> String {
    let coded = matches!(
        obis.0,
        [0, _, 96, 1, ..] | [0, _, 96, 13, ..] | [0, _, 42, 0, 0, _]
    );
    let octets: Option<Vec<u8>> = (coded && value.len().is_multiple_of(2))
        .then(|| {
            value
                .as_bytes()
                .chunks_exact(2)
                .map(|pair| {
                    let digits = std::str::from_utf8(pair).ok()?;
                    u8::from_str_radix(digits, 16).ok()
                })
                .collect()
        })
        .flatten();
    let text = octets
        .filter(|octets| octets.iter().all(|octet| (0x20..0x7F).contains(octet)))
        .and_then(|octets| String::from_utf8(octets).ok());
    text.unwrap_or_else(|| value.to_owned())
}

/// `YYMMDDhhmmss`, and S or W for summer and winter time.
fn time_of(text: &str) -> Option<MeterTime> {
    let (digits, daylight_saving) = match text.as_bytes() {
        [digits @ .., b'S'] => (digits, Some(true)),
        [digits @ .., b'W'] => (digits, Some(false)),
        digits => (digits, None),
    };
    if digits.len() != 12 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut pairs = digits.chunks_exact(2).map(|pair| match pair {
        [tens, ones] => i64::from(tens - b'0') * 10 + i64::from(ones - b'0'),
        _ => 0,
    });
    let mut next = || pairs.next().unwrap_or_default();
    let (year, month, day) = (next(), next(), next());
    let (hour, minute, second) = (next(), next(), next());
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // A meter that was never read tells 1970.
    let year = if year >= 70 { 1900 + year } else { 2000 + year };
    let date = Date::new(
        u16::try_from(year).ok()?,
        u8::try_from(month).ok()?,
        u8::try_from(day).ok()?,
    )?;
    Some(MeterTime {
        shown: date.to_unix_days()? * 86_400 + hour * 3_600 + minute * 60 + second,
        zone: Zone::Local { daylight_saving },
        error_ms: SECOND_MS,
        trust: Trust::Good,
    })
}

/// What units are written as, and what they are.
const UNITS: &[(&str, i8, Unit)] = &[
    ("Wh", 0, Unit::WATT_HOUR),
    ("kWh", 3, Unit::WATT_HOUR),
    ("MWh", 6, Unit::WATT_HOUR),
    ("W", 0, Unit::WATT),
    ("kW", 3, Unit::WATT),
    ("MW", 6, Unit::WATT),
    ("var", 0, Unit::VAR),
    ("kvar", 3, Unit::VAR),
    ("varh", 0, Unit::VAR_HOUR),
    ("kvarh", 3, Unit::VAR_HOUR),
    ("VA", 0, Unit::VOLT_AMPERE),
    ("kVA", 3, Unit::VOLT_AMPERE),
    ("VAh", 0, Unit::VOLT_AMPERE_HOUR),
    ("kVAh", 3, Unit::VOLT_AMPERE_HOUR),
    ("V", 0, Unit::VOLT),
    ("A", 0, Unit::AMPERE),
    ("mA", -3, Unit::AMPERE),
    ("Hz", 0, Unit::HERTZ),
    ("m3", 0, CUBIC_METRE),
    ("dm3", -3, CUBIC_METRE),
    ("J", 0, JOULE),
    ("MJ", 6, JOULE),
    ("GJ", 9, JOULE),
    ("s", 0, SECOND),
];

const CUBIC_METRE: Unit = Unit(13);
const JOULE: Unit = Unit(25);
const SECOND: Unit = Unit(7);
