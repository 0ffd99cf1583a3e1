//! The Metering cluster (0x0702; Smart Energy 1.x, annex D.3).

use std::collections::BTreeMap;

use dlms::cosem::{Obis, Scaled, Unit};

use super::{Attributes, EPOCH_2000, Value};
use crate::measure::{self, Basis, Formatting, MeterTime, Report, SECOND_MS, Trust};
use crate::push::printable;

/// Attributes that are kept at most.
const KEPT_MAX: usize = 256;

/// The attributes that a poll asks for, those that change first.
pub const METERING_ATTRIBUTES: [u16; 12] = [
    SUMMATION_DELIVERED,
    SUMMATION_RECEIVED,
    INSTANTANEOUS_DEMAND,
    READING_SNAPSHOT_TIME,
    STATUS,
    UNIT_OF_MEASURE,
    MULTIPLIER,
    DIVISOR,
    SUMMATION_FORMATTING,
    DEMAND_FORMATTING,
    DEVICE_TYPE,
    SERIAL_NUMBER,
];

/// The attributes that a poll asks a meter for that it knows already: values
/// and all that gives them a scale, so that an answer stands by itself. With
/// all of them an answer has 62 octets, which go into one frame.
pub const POLL_ATTRIBUTES: [u16; 8] = [
    SUMMATION_DELIVERED,
    SUMMATION_RECEIVED,
    INSTANTANEOUS_DEMAND,
    READING_SNAPSHOT_TIME,
    STATUS,
    UNIT_OF_MEASURE,
    MULTIPLIER,
    DIVISOR,
];

/// The attributes that say what a meter is, and how its values are shown.
pub const DESCRIPTION_ATTRIBUTES: [u16; 4] = [
    DEVICE_TYPE,
    SUMMATION_FORMATTING,
    DEMAND_FORMATTING,
    SERIAL_NUMBER,
];

const SUMMATION_DELIVERED: u16 = 0x0000;
const SUMMATION_RECEIVED: u16 = 0x0001;
const POWER_FACTOR: u16 = 0x0006;
const READING_SNAPSHOT_TIME: u16 = 0x0007;
const TIER_1_DELIVERED: u16 = 0x0100;
const TIER_15_RECEIVED: u16 = 0x011D;
const STATUS: u16 = 0x0200;
const UNIT_OF_MEASURE: u16 = 0x0300;
const MULTIPLIER: u16 = 0x0301;
const DIVISOR: u16 = 0x0302;
const SUMMATION_FORMATTING: u16 = 0x0303;
const DEMAND_FORMATTING: u16 = 0x0304;
const DEVICE_TYPE: u16 = 0x0306;
const SITE_ID: u16 = 0x0307;
const SERIAL_NUMBER: u16 = 0x0308;
const INSTANTANEOUS_DEMAND: u16 = 0x0400;

/// What a meter has told of itself so far. Values and the attributes that give
/// them a scale may come in several answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metering {
    /// Nothing where the meter says that it has no such attribute.
    told: BTreeMap<u16, Option<Value>>,
}

impl Metering {
    /// Takes an answer or a report in.
    pub fn take(&mut self, attributes: Attributes) {
        for (id, value) in attributes.0 {
            if self.told.len() >= KEPT_MAX && !self.told.contains_key(&id) {
                continue;
            }
            self.told.insert(id, value.ok());
        }
    }

    /// Forgets values, and keeps what says how to read them. For the begin of
    /// a poll, so that an old value never stands for a new one.
    pub fn forget_values(&mut self) {
        self.told
            .retain(|id, _| (UNIT_OF_MEASURE..INSTANTANEOUS_DEMAND).contains(id));
    }

    /// Tells whether unit, multiplier and divisor were asked for and answered.
    #[must_use]
    pub fn is_scaled(&self) -> bool {
        [UNIT_OF_MEASURE, MULTIPLIER, DIVISOR]
            .iter()
            .all(|id| self.told.contains_key(id))
    }

    /// Tells the Status attribute.
    #[must_use]
    pub fn status(&self) -> Option<u8> {
        u8::try_from(self.value(STATUS)?.as_u64()?).ok()
    }

    /// Tells how summations are to be shown.
    #[must_use]
    pub fn summation_formatting(&self) -> Option<Formatting> {
        self.formatting(SUMMATION_FORMATTING)
    }

    /// Tells how demand is to be shown.
    #[must_use]
    pub fn demand_formatting(&self) -> Option<Formatting> {
        self.formatting(DEMAND_FORMATTING)
    }

    fn formatting(&self, id: u16) -> Option<Formatting> {
        let octet = u8::try_from(self.value(id)?.as_u64()?).ok()?;
        Some(Formatting::from_octet(octet))
    }

    /// Tells the values in the form that all sources share. Without unit,
    /// multiplier and divisor there are none.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = Report {
            meter: self.text(SERIAL_NUMBER).or_else(|| self.text(SITE_ID)),
            time: match self.value(READING_SNAPSHOT_TIME) {
                Some(Value::Time(seconds)) => Some(MeterTime {
                    trust: Trust::Good,
                    ..MeterTime::utc(i64::from(*seconds) + EPOCH_2000, SECOND_MS)
                }),
                _ => None,
            },
            ..Report::default()
        };
        if !self.is_scaled() {
            return report;
        }
        let Some((medium, energy, power)) = self.units() else {
            return report;
        };
        let mut push = |id: u16, obis: Obis, (scaler, unit): (i8, Unit)| {
            if let Some(quantity) = self.quantity(id, scaler, unit) {
                report.values.push(measure::Value {
                    obis,
                    quantity,
                    basis: Basis::Told,
                    time: None,
                });
            }
        };
        let electric = medium == ELECTRICITY;
        let total = |c: u8, e: u8| match medium {
            ELECTRICITY => Obis::new(1, 0, c, 8, e, 255),
            medium => Obis::new(medium, 0, 1, 0, e, 255),
        };
        push(SUMMATION_DELIVERED, total(1, 0), energy);
        if electric {
            push(SUMMATION_RECEIVED, total(2, 0), energy);
        }
        for id in TIER_1_DELIVERED..=TIER_15_RECEIVED {
            let index = id - TIER_1_DELIVERED;
            let tier = u8::try_from(index / 2 + 1).unwrap_or_default();
            match (index % 2, electric) {
                (0, _) => push(id, total(1, tier), energy),
                (_, true) => push(id, total(2, tier), energy),
                (_, false) => {}
            }
        }
        if let Some(power) = power
            && electric
        {
            push(INSTANTANEOUS_DEMAND, Obis::new(1, 0, 16, 7, 0, 255), power);
        }
        if let Some(hundredths) = self.value(POWER_FACTOR).and_then(Value::as_i128) {
            report.values.push(measure::Value {
                obis: Obis::new(1, 0, 13, 7, 0, 255),
                quantity: measure::quantity(hundredths, -2, Unit::COUNT),
                basis: Basis::Listed,
                time: None,
            });
        }
        report
    }

    fn value(&self, id: u16) -> Option<&Value> {
        self.told.get(&id)?.as_ref()
    }

    fn text(&self, id: u16) -> Option<String> {
        let text = match self.value(id)? {
            Value::Octets(octets) => printable(octets),
            Value::Text(text) => text.clone(),
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// Tells the medium, and scale and unit of totals and of rates.
    fn units(&self) -> Option<Units> {
        let code = self.value(UNIT_OF_MEASURE)?.as_u64()? & !BCD;
        let (medium, total, rate) = match code {
            0x00 => (ELECTRICITY, (3, Unit::WATT_HOUR), Some((3, Unit::WATT))),
            0x0D => (ELECTRICITY, (3, Unit::VAR_HOUR), Some((3, Unit::VAR))),
            0x01 => (0, (0, Unit(13)), None),
            0x02 => (0, (0, Unit(137)), None),
            0x03 => (0, (2, Unit(137)), None),
            0x04 => (0, (0, Unit(140)), None),
            0x05 => (0, (0, Unit(139)), None),
            0x06 => (0, (0, Unit(146)), None),
            0x07 => (0, (0, Unit(19)), None),
            0x0A => (0, (3, Unit(137)), None),
            0x0C => (0, (6, Unit(25)), None),
            _ => return None,
        };
        // Which medium a volume is of, the device type tells.
        let device = self.value(DEVICE_TYPE).and_then(Value::as_u64);
        let medium = match (medium, device) {
            (ELECTRICITY, None | Some(0)) => ELECTRICITY,
            (_, Some(1)) => 7,
            (_, Some(2)) => 8,
            (_, Some(3)) => 6,
            (0, _) => 7,
            _ => return None,
        };
        Some((medium, total, rate))
    }

    fn quantity(&self, id: u16, scaler: i8, unit: Unit) -> Option<Scaled> {
        let mut number = self.value(id)?.as_i128()?;
        if self.value(UNIT_OF_MEASURE)?.as_u64()? & BCD != 0 {
            number = from_bcd(number)?;
        }
        let factor = |id: u16| {
            self.value(id)
                .and_then(Value::as_u64)
                .and_then(|factor| u32::try_from(factor).ok())
                .unwrap_or(1)
        };
        measure::ratio(number, factor(MULTIPLIER), factor(DIVISOR), scaler, unit)
    }
}

/// A medium, the scale and unit of its totals, and those of its rates.
type Units = (u8, (i8, Unit), Option<(i8, Unit)>);

/// The medium of electricity in OBIS codes.
const ELECTRICITY: u8 = 1;

/// The bit of the unit that says that digits are binary coded decimals.
const BCD: u64 = 0x80;

fn from_bcd(number: i128) -> Option<i128> {
    let mut digits = number.unsigned_abs();
    let mut value = 0_i128;
    let mut place = 1_i128;
    while digits > 0 {
        let digit = i128::try_from(digits & 0x0F).ok()?;
        if digit > 9 {
            return None;
        }
        value += digit * place;
        place *= 10;
        digits >>= 4;
    }
    Some(if number < 0 { -value } else { value })
}

/// Names the bits of the Status attribute of an electricity meter, lowest
/// first.
pub fn status_names(status: u8) -> impl Iterator<Item = &'static str> {
    const NAMES: [&str; 8] = [
        "check meter",
        "low battery",
        "tamper detect",
        "power failure",
        "power quality",
        "leak detect",
        "service disconnect open",
        "reserved",
    ];
    NAMES
        .into_iter()
        .enumerate()
        .filter(move |(bit, _)| status & (1 << bit) != 0)
        .map(|(_, name)| name)
}
