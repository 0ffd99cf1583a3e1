//! XML of Rainforest's RAVEn and EMU-2 adapters (RAVEn XML API manual, version
//! 1.27): fragments side by side on a serial line, 115,200 baud 8N1.
//!
//! The adapter reads the meter over ZigBee. What can be sent to it is
//! [`Command`], which reads.

mod command;
mod deframer;

use dlms::codec::{DecodeError, Malformed};
use dlms::cosem::{Obis, Unit};

use crate::measure::{self, Basis, Formatting, MeterTime, Report, SECOND_MS, Value};
use crate::xml::{self, Element};
use crate::zcl::EPOCH_2000;

pub use command::Command;
pub use deframer::{Counters, Deframer, FRAGMENT_LENGTH_MAX};

/// Elements that one input may have.
const ELEMENTS_MAX: usize = 4_096;

/// What an adapter tells: an element and what stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Its name: `InstantaneousDemand`, `CurrentSummationDelivered`, ...
    pub name: String,
    /// What it holds, in order; elements within elements are left out.
    pub fields: Vec<(String, String)>,
    /// Where it begins.
    pub offset: usize,
}

/// Reads fragments that stand side by side. The octets are windows-1252, as
/// the adapters send them.
///
/// # Errors
/// The offset and the reason of the first that is none.
pub fn decode(octets: &[u8]) -> Result<Vec<Fragment>, DecodeError> {
    let text: String = octets.iter().map(|octet| character(*octet)).collect();
    // Octets and characters differ only behind 0x7F.
    let place = |offset: usize| {
        text.char_indices()
            .position(|(at, _)| at >= offset)
            .unwrap_or(octets.len())
    };
    let roots = xml::parse(&text, ELEMENTS_MAX).map_err(|error| DecodeError {
        offset: place(error.offset),
        ..error
    })?;
    if roots.is_empty() {
        return Err(DecodeError {
            offset: octets.len(),
            field: "XML",
            reason: Malformed::Truncated,
        });
    }
    Ok(roots
        .into_iter()
        .map(|root| {
            let offset = place(root.offset);
            Fragment::of(root, offset)
        })
        .collect())
}

/// A character of windows-1252; its five octets without a meaning are kept as
/// control characters.
fn character(octet: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8D}', 'Ž',
        '\u{8F}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9D}',
        'ž', 'Ÿ',
    ];
    octet
        .checked_sub(0x80)
        .and_then(|index| HIGH.get(usize::from(index)).copied())
        .unwrap_or_else(|| char::from(octet))
}

impl Fragment {
    fn of(root: Element, offset: usize) -> Self {
        Self {
            name: root.name,
            fields: root
                .children
                .into_iter()
                .filter(|child| child.children.is_empty())
                .map(|child| (child.name, child.text))
                .collect(),
            offset,
        }
    }

    /// Tells what stands under a name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }

    /// Tells the number that stands under a name, decimal or behind `0x`.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        let text = self.field(name)?;
        match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    }

    /// Tells the time that stands under a name; nothing for the marks that
    /// stand for none.
    #[must_use]
    pub fn time(&self, name: &str) -> Option<MeterTime> {
        match self.number(name)? {
            0 | 0x00FF_FFFF | 0xFFFF_FFFF => None,
            seconds => {
                let shown = i64::try_from(seconds).ok()?.checked_add(EPOCH_2000)?;
                Some(MeterTime::utc(shown, SECOND_MS))
            }
        }
    }

    /// How the utility wants the number shown.
    #[must_use]
    pub fn formatting(&self) -> Option<Formatting> {
        let digits = |name: &str| u8::try_from(self.number(name)?).ok();
        Some(Formatting {
            right: digits("DigitsRight")?,
            left: digits("DigitsLeft")?,
            suppress_leading_zeros: self.field("SuppressLeadingZero") == Some("Y"),
        })
    }

    /// Tells the values in the form that all sources share. An adapter that
    /// has lost its meter tells zeros without a time: those are no values.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = Report {
            meter: self
                .field("MeterMacId")
                .map(|id| id.trim_start_matches("0x").to_ascii_lowercase()),
            time: self.time("TimeStamp"),
            ..Report::default()
        };
        match self.name.as_str() {
            "InstantaneousDemand" if report.time.is_some() => {
                let demand = self.signed("Demand");
                self.put(&mut report, demand, Obis::new(1, 0, 16, 7, 0, 255), WATTS);
            }
            "CurrentSummationDelivered" | "CurrentSummation" if report.time.is_some() => {
                let delivered = self.counter("SummationDelivered");
                self.put(
                    &mut report,
                    delivered,
                    Obis::new(1, 0, 1, 8, 0, 255),
                    WATT_HOURS,
                );
                let received = self.counter("SummationReceived");
                self.put(
                    &mut report,
                    received,
                    Obis::new(1, 0, 2, 8, 0, 255),
                    WATT_HOURS,
                );
            }
            "TimeCluster" => report.time = self.time("UTCTime"),
            _ => {}
        }
        report
    }

    fn put(&self, report: &mut Report, number: Option<i128>, obis: Obis, unit: Unit) {
        let factor = |name: &str| {
            self.number(name)
                .and_then(|factor| u32::try_from(factor).ok())
        };
        // Without them the scale is not known; 0 stands for 1.
        let (Some(number), Some(multiplier), Some(divisor)) =
            (number, factor("Multiplier"), factor("Divisor"))
        else {
            return;
        };
        if let Some(quantity) = measure::ratio(number, multiplier, divisor, KILO, unit) {
            report.values.push(Value {
                obis,
                quantity,
                basis: Basis::Told,
                time: None,
            });
        }
    }

    /// A counter; all ones stand for none (as many as the meter's type has).
    fn counter(&self, name: &str) -> Option<i128> {
        match self.number(name)? {
            0xFFFF_FFFF_FFFF | u64::MAX => None,
            number => Some(i128::from(number)),
        }
    }

    /// A number with a sign, in two's complement of the 24 bits that the
    /// meter's type has or the 32 that adapters widen it to.
    fn signed(&self, name: &str) -> Option<i128> {
        let text = self.field(name)?;
        let number = self.number(name)?;
        let digits = text
            .strip_prefix("0x")
            .or_else(|| text.strip_prefix("0X"))
            .map_or(0, str::len);
        match (digits, number) {
            (_, number) if number > u64::from(u32::MAX) => None,
            (6, number) if number & 0x0080_0000 != 0 => Some(i128::from(number) - (1 << 24)),
            (_, number) if number & 0x8000_0000 != 0 => Some(i128::from(number) - (1 << 32)),
            (_, number) => Some(i128::from(number)),
        }
    }
}

/// Adapters tell kilowatts and kilowatt hours.
const KILO: i8 = 3;
const WATTS: Unit = Unit::WATT;
const WATT_HOURS: Unit = Unit::WATT_HOUR;
