//! Evidence: own octets worked out from the type description of the standard,
//! and self-agreement; agreement with another implementation stands beside.

use dlms::axdr::{CompactArray, Data, Mismatch, RawData, Tag, TypeDescription};
use dlms::codec::Wire;

use crate::captures::{hex, unhex};

fn simple(tag: Tag) -> TypeDescription {
    TypeDescription::simple(tag).unwrap()
}

#[test]
fn nested_types_and_deltas_pack_and_expand() {
    // Each element: a register, two deltas, and a text.
    let types = TypeDescription::Structure(vec![
        simple(Tag::DoubleLongUnsigned),
        TypeDescription::Array(2, Box::new(simple(Tag::DeltaUnsigned))),
        simple(Tag::VisibleString),
    ]);
    let element = |register, deltas: [u8; 2], text: &str| {
        Data::Structure(vec![
            Data::DoubleLongUnsigned(register),
            Data::Array(deltas.map(Data::DeltaUnsigned).to_vec()),
            Data::visible_string(text),
        ])
    };
    let elements = vec![element(1, [2, 3], "ab"), element(256, [4, 5], "")];
    let compact = CompactArray::new(types, elements.clone()).unwrap();
    let data = Data::CompactArray(Box::new(compact));
    let octets = data.to_octets();
    assert_eq!(
        hex(&octets),
        "13 0203 06 0100021f 0a 10 00000001 02 03 026162 00000100 04 05 00".replace(' ', "")
    );
    assert_eq!(Data::from_octets(&octets), Ok(data.clone()));
    assert_eq!(data.expanded(), Data::Array(elements));
}

#[test]
fn elements_of_another_type_are_refused() {
    let mixed = vec![Data::Unsigned(1), Data::LongUnsigned(2)];
    assert_eq!(
        CompactArray::new(simple(Tag::Unsigned), mixed),
        Err(Mismatch { index: 1 })
    );
    for tag in [Tag::Array, Tag::Structure, Tag::CompactArray] {
        assert_eq!(TypeDescription::simple(tag), None);
    }
}

#[test]
fn the_type_of_a_value_is_found() {
    let row = Data::Structure(vec![
        Data::Unsigned(1),
        Data::Array(vec![Data::Long(1), Data::Long(2)]),
    ]);
    let types = TypeDescription::of(&row).unwrap();
    assert_eq!(hex(&types.to_octets()), "020211010002 10".replace(' ', ""));
    assert_eq!(
        TypeDescription::from_octets(&types.to_octets()),
        Ok(types.clone())
    );
    assert!(types.fits(&row));
    let unlike = Data::Array(vec![Data::Long(1), Data::Unsigned(2)]);
    assert_eq!(TypeDescription::of(&unlike), None);
    assert_eq!(TypeDescription::of(&Data::Array(Vec::new())), None);
}

#[test]
fn an_empty_compact_array_keeps_its_type() {
    let octets = unhex("13 0202 12 06 00");
    let data = Data::from_octets(&octets).unwrap();
    assert_eq!(data.to_octets(), octets);
    assert_eq!(data.expanded(), Data::Array(Vec::new()));
}

#[test]
fn a_leaf_decodes_by_itself() {
    let octets = unhex("13 12 04 0001 0002");
    let leaf = RawData::new(&octets).walk().leaves().next().unwrap();
    let data = leaf.unwrap().to_data().unwrap();
    assert_eq!(data, Data::from_octets(&octets).unwrap());
}
