//! Instantaneous active power out of registers.

use dlms::cosem::Obis;
use model::Timestamp;

use crate::store::{RegisterReading, RegisterValue};

/// Active power of one moment, in watts; drawn is positive, delivered negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Power {
    /// Holds the sum over the phases.
    pub total: Option<i64>,
    /// Holds each phase: L1, L2, L3.
    pub phases: [Option<i64>; 3],
    /// Says when the registers were read.
    pub at: Option<Timestamp>,
}

/// The registers that tell the power: drawn and delivered, in total and per phase
/// (value group C 1 and 2, 21 and 22, 41 and 42, 61 and 62; D 7, instantaneous).
pub const POWER_REGISTERS: [Obis; 8] = [
    Obis::new(1, 0, 1, 7, 0, 255),
    Obis::new(1, 0, 2, 7, 0, 255),
    Obis::new(1, 0, 21, 7, 0, 255),
    Obis::new(1, 0, 22, 7, 0, 255),
    Obis::new(1, 0, 41, 7, 0, 255),
    Obis::new(1, 0, 42, 7, 0, 255),
    Obis::new(1, 0, 61, 7, 0, 255),
    Obis::new(1, 0, 62, 7, 0, 255),
];

/// Unit 27: watt (IEC 62056-6-2, table of units).
const WATT: u8 = 27;

impl Power {
    /// Takes the power out of registers' values; a phase without a drawn value has none.
    pub fn of(registers: &[RegisterReading]) -> Self {
        let net = |drawn, delivered| {
            let drawn = watts(registers, drawn)?;
            Some(drawn - watts(registers, delivered).unwrap_or(0))
        };
        let [total, total_out, l1, l1_out, l2, l2_out, l3, l3_out] = POWER_REGISTERS;
        let at = registers
            .iter()
            .filter(|reading| POWER_REGISTERS.contains(&reading.object) && reading.attribute == 2);
        Self {
            total: net(total, total_out),
            phases: [net(l1, l1_out), net(l2, l2_out), net(l3, l3_out)],
            at: at.map(|reading| reading.at).max(),
        }
    }
}

/// Takes total power and its time out of registers' values.
pub(crate) fn total(registers: &[RegisterReading]) -> Option<(i64, Timestamp)> {
    let power = Power::of(registers);
    power.total.zip(power.at)
}

fn watts(registers: &[RegisterReading], object: Obis) -> Option<i64> {
    let reading = registers
        .iter()
        .find(|reading| reading.object == object && reading.attribute == 2)?;
    match reading.value {
        RegisterValue::Number {
            value,
            scaler,
            unit: WATT,
        } => scaled(value, scaler),
        _ => None,
    }
}

/// Applies a power of ten; halves are rounded away from zero, `None` where it does not fit.
pub(crate) fn scaled(value: i64, scaler: i8) -> Option<i64> {
    let factor = 10_i64.checked_pow(u32::from(scaler.unsigned_abs()))?;
    if scaler >= 0 {
        return value.checked_mul(factor);
    }
    let half = if value < 0 { -(factor / 2) } else { factor / 2 };
    Some(value.checked_add(half)? / factor)
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;

    fn reading(object: Obis, value: i64, scaler: i8) -> RegisterReading {
        RegisterReading {
            object,
            attribute: 2,
            value: RegisterValue::Number {
                value,
                scaler,
                unit: WATT,
            },
            at: Timestamp::from_secs(7),
        }
    }

    #[test]
    fn delivered_power_is_negative_and_no_value_is_none() {
        let registers = [
            reading(Obis::new(1, 0, 1, 7, 0, 255), 0, 0),
            reading(Obis::new(1, 0, 2, 7, 0, 255), 1_250, 0),
            reading(Obis::new(1, 0, 21, 7, 0, 255), 4_865, -1),
        ];
        let power = Power::of(&registers);
        assert_eq!(power.total, Some(-1_250));
        assert_eq!(power.phases, [Some(487), None, None]);
        assert_eq!(power.at, Some(Timestamp::from_secs(7)));
        assert_eq!(Power::of(&[]), Power::default());
    }

    #[test]
    fn scales_are_bounded() {
        assert_eq!(scaled(486, 3), Some(486_000));
        assert_eq!(scaled(-4_865, -1), Some(-487));
        assert_eq!(scaled(1, i8::MAX), None);
        assert_eq!(scaled(i64::MAX, 1), None);
        assert_eq!(scaled(0, i8::MIN), None);
    }
}
