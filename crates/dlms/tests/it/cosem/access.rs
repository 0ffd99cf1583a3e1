//! Evidence: modes and bits from three public tables that agree (see the
//! module); octets of our own.

use dlms::axdr::Data;
use dlms::codec::Wire;
use dlms::cosem::{AttributeAccess, MethodAccess, Obis, ObjectListElement, Unexpected};

use crate::captures::{Random, hex, unhex};

#[test]
fn modes_mean_what_their_version_says() {
    let read = AttributeAccess::READ;
    let both = AttributeAccess::READ_AND_WRITE;
    let authenticated = AttributeAccess::AUTHENTICATED_REQUEST;
    for (mode, access) in [
        (0, AttributeAccess::NONE),
        (1, read),
        (2, AttributeAccess::WRITE),
        (3, both),
        (4, read.with(authenticated)),
        (5, AttributeAccess::WRITE.with(authenticated)),
        (6, both.with(authenticated)),
    ] {
        for version in 0..3 {
            assert_eq!(AttributeAccess::from_mode(mode, version), access);
            assert_eq!(access.to_mode(version), mode);
        }
    }
    assert_eq!(AttributeAccess::from_mode(7, 1), AttributeAccess::NONE);
    // Version 3: read, authenticated request and response.
    let access = AttributeAccess::from_mode(0x25, 3);
    assert!(access.contains(read.with(authenticated)));
    assert!(!access.contains(AttributeAccess::WRITE));
    assert_eq!(
        access.to_string(),
        "read, authenticated request, authenticated response"
    );
    assert_eq!(access.to_mode(3), 0x25);
    assert_eq!(access.to_mode(2), 4);
    assert_eq!(AttributeAccess::NONE.to_string(), "no access");

    for (mode, version, access) in [
        (0, 1, MethodAccess::NONE),
        (1, 0, MethodAccess::ACCESS),
        (1, 2, MethodAccess::ACCESS),
        (
            2,
            1,
            MethodAccess::ACCESS.with(MethodAccess::AUTHENTICATED_REQUEST),
        ),
        (0x0D, 3, MethodAccess(0x0D)),
    ] {
        assert_eq!(MethodAccess::from_mode(mode, version), access);
        assert_eq!(access.to_mode(version), mode);
    }
}

#[test]
fn an_element_of_an_object_list_is_read_and_written() {
    // A register whose value may be read by range and whose reset may be
    // invoked.
    let octets = "0204 120003 1100 0906 0100010800ff 0202 \
                  0102 0203 0f01 1601 00 0203 0f02 1603 0102 0f01 0f02 \
                  0101 0202 0f01 1601"
        .replace(' ', "");
    let data = Data::from_octets(&unhex(&octets)).unwrap();
    let element = ObjectListElement::from_data(&data).unwrap();
    assert_eq!(element.class_id, 3);
    assert_eq!(element.logical_name, Obis::new(1, 0, 1, 8, 0, 255));
    assert_eq!(element.attribute_access[1].access_mode, 3);
    assert_eq!(
        element.attribute_access[1].access_selectors,
        Some(vec![1, 2])
    );
    assert_eq!(element.method_access[0].access_mode, 1);
    for version in 1..=3 {
        assert_eq!(hex(&element.to_data(version).to_octets()), octets);
    }
    // Version 0 has a boolean for methods.
    let old = element.to_data(0).to_octets();
    let head = octets.strip_suffix("1601").unwrap();
    assert_eq!(hex(&old), format!("{head}0301"));
    let again = Data::from_octets(&old).unwrap();
    assert_eq!(ObjectListElement::from_data(&again).unwrap(), element);
}

#[test]
fn mutated_elements_are_refused_or_come_back() {
    let good = unhex(
        "0204 120003 1100 0906 0100010800ff 0202 \
         0102 0203 0f01 1601 00 0203 0f02 1603 0102 0f01 0f02 \
         0101 0202 0f01 1601",
    );
    let (mut read, mut refused) = (0, 0);
    for seed in 0..20_000 {
        let mut random = Random::new(seed);
        let mut octets = good.clone();
        for _ in 0..1 + random.below(3) {
            let place = random.below(octets.len());
            octets[place] = random.next().to_be_bytes()[0];
        }
        let element = Data::from_octets(&octets)
            .ok()
            .and_then(|data| ObjectListElement::from_data(&data).ok());
        let Some(element) = element else {
            refused += 1;
            continue;
        };
        read += 1;
        let again = ObjectListElement::from_data(&element.to_data(3));
        assert_eq!(again, Ok(element), "seed {seed}");
    }
    assert!(read > 1_000 && refused > 1_000, "{read}, {refused}");
}

#[test]
fn a_field_of_another_type_is_named() {
    for (octets, field) in [
        ("00", "object_list_element"),
        (
            "0204 0900 1100 0906 0100010800ff 0202 0100 0100",
            "class_id",
        ),
        (
            "0204 120003 1100 0905 0100010800 0202 0100 0100",
            "logical_name",
        ),
        (
            "0204 120003 1100 0906 0100010800ff 0201 0100",
            "access_rights",
        ),
        (
            "0204 120003 1100 0906 0100010800ff 0202 0101 00 0100",
            "attribute_access_item",
        ),
        (
            "0204 120003 1100 0906 0100010800ff 0202 0100 0101 0202 0f01 00",
            "access_mode",
        ),
    ] {
        let data = Data::from_octets(&unhex(octets)).unwrap();
        assert_eq!(ObjectListElement::from_data(&data), Err(Unexpected(field)));
    }
}
