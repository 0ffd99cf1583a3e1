//! Evidence: codes and symbols from two public tables that agree (see the
//! module), decimals worked out by hand.

use dlms::axdr::Data;
use dlms::codec::Wire;
use dlms::cosem::{ScalerUnit, Unexpected, Unit};

use crate::captures::unhex;

fn check(number: impl Into<i128>, scaler: i8, unit: Unit, expected: &str) {
    assert_eq!(
        ScalerUnit::new(scaler, unit).scaled(number).to_string(),
        expected
    );
}

#[test]
fn decimals_are_exact() {
    check(12_345_678, -3, Unit::WATT_HOUR, "12345.678 Wh");
    check(12_345_600, -3, Unit::WATT_HOUR, "12345.600 Wh");
    check(2_301, -1, Unit::VOLT, "230.1 V");
    check(-5, -2, Unit::AMPERE, "-0.05 A");
    check(-105, -2, Unit::AMPERE, "-1.05 A");
    check(0, -2, Unit::AMPERE, "0.00 A");
    check(7, 0, Unit::WATT, "7 W");
    check(7, 3, Unit::WATT, "7000 W");
    check(-7, 3, Unit::WATT, "-7000 W");
    check(0, 3, Unit::WATT, "0 W");
    check(3, 0, Unit::COUNT, "3");
    check(3, 0, Unit(200), "3 unit 200");
    check(u64::MAX, -20, Unit::COUNT, "0.18446744073709551615");
    check(i64::MIN, -1, Unit::COUNT, "-922337203685477580.8");
    let small = format!("0.{}1", "0".repeat(127));
    check(1, i8::MIN, Unit::COUNT, &small);
    let large = format!("1{}", "0".repeat(127));
    check(1, i8::MAX, Unit::COUNT, &large);
}

#[test]
fn scaler_and_unit_come_from_their_structure() {
    // Scaler −3, unit Wh; as in the Green Book's and every meter's register.
    let data = Data::from_octets(&unhex("0202 0ffd 161e")).unwrap();
    let scaler_unit = ScalerUnit::from_data(&data).unwrap();
    assert_eq!(scaler_unit, ScalerUnit::new(-3, Unit::WATT_HOUR));
    assert_eq!(scaler_unit.to_data(), data);
    assert_eq!(
        ScalerUnit::from_data(&Data::NullData),
        Err(Unexpected("scaler_unit"))
    );
}

#[test]
fn units_have_their_codes() {
    for (code, symbol) in [
        (27, "W"),
        (30, "Wh"),
        (32, "varh"),
        (33, "A"),
        (35, "V"),
        (44, "Hz"),
        (20, "kg"),
        (50, "kg/s"),
        (13, "m³"),
        (56, "%"),
    ] {
        assert_eq!(Unit(code).symbol(), Some(symbol));
    }
    assert_eq!(Unit(99).symbol(), None);
    assert_eq!(Unit(99).to_string(), "unit 99");
}
