//! Evidence: a range descriptor that other implementations send; rules of
//! the Blue Book for entries worked out by hand.

use dlms::axdr::{ClockStatus, Data, DateTime};
use dlms::codec::{Malformed, Reader, Wire};
use dlms::cosem::{
    AttributeDescriptor, AttributeDescriptorWithSelection, CaptureObject, EntryDescriptor,
    MethodDescriptor, Obis, ProfileSelection, RangeDescriptor,
};

use crate::captures::{hex, unhex};

/// From a GET.request of the load profile by range, which two decoders of
/// other projects read (CC0).
const BY_RANGE: &str = "00070100630100ff0201010204020412000809060000010000ff0f02120000\
    090c07e401010300000000800000090c07e4010204000000008000000100";

#[test]
fn a_request_by_range_is_read_and_written() {
    let octets = unhex(BY_RANGE);
    let mut reader = Reader::new(&octets);
    let request = AttributeDescriptorWithSelection::decode(&mut reader).unwrap();
    assert!(reader.is_empty());
    assert_eq!(
        request.attribute,
        AttributeDescriptor::new(7, Obis::new(1, 0, 99, 1, 0, 255), 2)
    );
    assert_eq!(request.to_octets(), octets);
    let selection = request.access_selection.unwrap();
    let selected = ProfileSelection::from_descriptor(&selection).unwrap();
    assert_eq!(selected.selector(), 1);
    assert_eq!(
        selected.to_data().to_octets(),
        selection.access_parameters.octets()
    );
    let ProfileSelection::Range(range) = selected else {
        panic!("not by range");
    };
    assert_eq!(range.restricting_object, CaptureObject::CLOCK);
    assert_eq!(
        range.from_value.as_date_time().unwrap().to_string(),
        "2020-01-01T00:00:00"
    );
}

#[test]
fn other_selectors_and_flags_are_refused_with_offset() {
    let mut octets = unhex(BY_RANGE);
    octets[10] = 3;
    let request = AttributeDescriptorWithSelection::decode(&mut Reader::new(&octets)).unwrap();
    let error = ProfileSelection::from_descriptor(&request.access_selection.unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "byte 11: bad value in access_selector");
    octets[9] = 2;
    let error = AttributeDescriptorWithSelection::decode(&mut Reader::new(&octets)).unwrap_err();
    assert_eq!(error.to_string(), "byte 9: bad value in access-selection");
    let error = EntryDescriptor::from_octets(&unhex("00")).unwrap_err();
    assert_eq!(error.reason, Malformed::Value);
}

fn at(seconds: i64, deviation: i16) -> Data {
    Data::date_time_octets(
        &DateTime::from_unix_seconds(seconds, deviation, ClockStatus::OK).unwrap(),
    )
}

#[test]
fn a_range_selects_rows_by_time() {
    let start = 1_795_132_800;
    let time = |seconds| DateTime::from_unix_seconds(seconds, -60, ClockStatus::OK).unwrap();
    let range = RangeDescriptor::by_clock(&time(start), &time(start + 3_600));
    assert_eq!(range.selects(&at(start, -60)), Some(true));
    assert_eq!(range.selects(&at(start + 3_600, -60)), Some(true));
    assert_eq!(range.selects(&at(start - 1, -60)), Some(false));
    assert_eq!(range.selects(&at(start + 3_601, -60)), Some(false));
    // The same point in time, told in another zone.
    assert_eq!(range.selects(&at(start, 0)), Some(true));
    // Without deviation the local time counts.
    let local = Data::date_time_octets(&DateTime {
        deviation: DateTime::DEVIATION_UNSPECIFIED,
        ..time(start)
    });
    assert_eq!(range.selects(&local), Some(true));
    assert_eq!(range.selects(&Data::NullData), None);
    assert_eq!(range.selects(&Data::date_time_octets(&DateTime::ANY)), None);
    assert_eq!(RangeDescriptor::from_octets(&range.to_octets()), Ok(range));
}

#[test]
fn a_range_selects_rows_by_number_and_columns_by_name() {
    let register = CaptureObject::new(3, Obis::new(1, 0, 1, 8, 0, 255), 2);
    let status = CaptureObject::new(1, Obis::new(0, 0, 96, 10, 2, 255), 2);
    let captured = [CaptureObject::CLOCK, status, register];
    let mut range = RangeDescriptor {
        restricting_object: register,
        from_value: Data::DoubleLongUnsigned(100),
        to_value: Data::Long64Unsigned(u64::MAX),
        selected_values: Vec::new(),
    };
    assert_eq!(range.selects(&Data::Unsigned(99)), Some(false));
    assert_eq!(range.selects(&Data::DoubleLongUnsigned(100)), Some(true));
    assert_eq!(range.selects(&Data::Long64Unsigned(u64::MAX)), Some(true));
    assert_eq!(range.selects(&Data::Integer(-1)), Some(false));
    assert_eq!(range.restricting_column(&captured), Some(2));
    assert_eq!(range.columns(&captured), Some(vec![0, 1, 2]));
    range.selected_values = vec![register, CaptureObject::CLOCK, register];
    assert_eq!(range.columns(&captured), Some(vec![0, 2]));
    range
        .selected_values
        .push(CaptureObject::new(3, Obis::new(1, 0, 2, 8, 0, 255), 2));
    assert_eq!(range.columns(&captured), None);
}

#[test]
fn entries_count_from_one_and_nought_means_the_last() {
    for (from, to, expected) in [
        (1, 0, 0..96),
        (1, 96, 0..96),
        (1, 1, 0..1),
        (95, 200, 94..96),
        (96, 0, 95..96),
        (97, 0, 0..0),
        (5, 4, 0..0),
        (0, 2, 0..2),
        (u32::MAX, u32::MAX, 0..0),
    ] {
        assert_eq!(
            EntryDescriptor::rows(from, to).entries(96),
            expected,
            "{from} {to}"
        );
    }
    let entry = EntryDescriptor {
        from_selected_value: 2,
        to_selected_value: 3,
        ..EntryDescriptor::rows(1, 0)
    };
    assert_eq!(entry.columns(4), 1..3);
    assert_eq!(entry.columns(1), 0..0);
    assert_eq!(
        hex(&entry.to_octets()),
        "020406000000010600000000120002120003"
    );
    assert_eq!(EntryDescriptor::from_octets(&entry.to_octets()), Ok(entry));
}

#[test]
fn descriptors_are_nine_octets() {
    let clock = Obis::new(0, 0, 1, 0, 0, 255);
    let attribute = AttributeDescriptor::new(8, clock, -1);
    assert_eq!(hex(&attribute.to_octets()), "00080000010000ffff");
    assert_eq!(
        AttributeDescriptor::from_octets(&attribute.to_octets()),
        Ok(attribute)
    );
    let method = MethodDescriptor::new(8, clock, 6);
    assert_eq!(hex(&method.to_octets()), "00080000010000ff06");
    assert_eq!(
        MethodDescriptor::from_octets(&method.to_octets()),
        Ok(method)
    );
    let error = MethodDescriptor::from_octets(&unhex("00080000010000ff")).unwrap_err();
    assert_eq!(error.to_string(), "byte 8: truncated in method-id");
}
