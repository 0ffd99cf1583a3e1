//! Scales, times and formats. Evidence: the RAVEn manual's own examples of
//! scale and format; self-agreement otherwise.

use dlms::axdr::DateTime;
use dlms::cosem::{Scaled, Unit};
use han::measure::{self, Formatting, MeterTime, Trust, Zone};
use model::Timestamp;

fn kilowatt_hours(number: i128, scaler: i8) -> Scaled {
    Scaled {
        number,
        scaler,
        unit: Unit::WATT_HOUR,
    }
}

#[test]
fn numbers_are_shown_as_the_utility_wants() {
    // RAVEn XML API manual: 12.3456 with three digits to the left and five to
    // the right is 012.34560.
    let format = Formatting {
        right: 5,
        left: 3,
        suppress_leading_zeros: false,
    };
    let value = kilowatt_hours(123_456, -1);
    assert_eq!(format.show(value, 3).unwrap(), "012.34560");
    let bare = Formatting {
        suppress_leading_zeros: true,
        ..format
    };
    assert_eq!(bare.show(value, 3).unwrap(), "12.34560");
    assert_eq!(bare.show(measure::negative(value), 3).unwrap(), "-12.34560");
    // 0x9B: three digits to the right, three to the left, suppressed.
    let octet = Formatting::from_octet(0x9B);
    assert_eq!((octet.right, octet.left), (3, 3));
    assert!(octet.suppress_leading_zeros);
    assert_eq!(octet.show(kilowatt_hours(5, 0), 3).unwrap(), "0.005");
}

#[test]
fn rounding_is_to_the_nearest() {
    assert_eq!(measure::at_scaler(kilowatt_hours(1_499, 0), 3), Some(1));
    assert_eq!(measure::at_scaler(kilowatt_hours(1_500, 0), 3), Some(2));
    assert_eq!(measure::at_scaler(kilowatt_hours(-1_500, 0), 3), Some(-2));
    assert_eq!(measure::at_scaler(kilowatt_hours(7, 3), 0), Some(7_000));
    assert_eq!(measure::at_scaler(kilowatt_hours(i128::MAX, 3), 0), None);
}

#[test]
fn deviation_and_status_give_the_instant() {
    // 2021-09-27 09:47:15, summer time, −120 minutes to UTC.
    let octets = [0x07, 0xE5, 9, 27, 1, 9, 47, 15, 0xFF, 0xFF, 0x88, 0x80];
    let time = MeterTime::from_date_time(DateTime::from_octets(octets)).unwrap();
    assert_eq!(time.zone, Zone::Offset(120));
    assert_eq!(
        time.instant(None),
        Some(Timestamp::from_secs(1_632_728_835))
    );
    // Without a deviation the place's offset is needed, and the status tells
    // whether it was summer.
    let mut local = octets;
    local[9..11].copy_from_slice(&[0x80, 0x00]);
    let time = MeterTime::from_date_time(DateTime::from_octets(local)).unwrap();
    assert_eq!(time.instant(None), None);
    assert_eq!(
        time.instant(Some(60)),
        Some(Timestamp::from_secs(1_632_728_835))
    );
    // Not told at all: no instant rather than one an hour off.
    local[11] = 0xFF;
    let time = MeterTime::from_date_time(DateTime::from_octets(local)).unwrap();
    assert_eq!(time.instant(Some(60)), None);
    // A clock that lost its time has none.
    let mut lost = octets;
    lost[11] = 0x81;
    let time = MeterTime::from_date_time(DateTime::from_octets(lost)).unwrap();
    assert_eq!(time.trust, Trust::Invalid);
    assert_eq!(time.instant(Some(60)), None);
}
