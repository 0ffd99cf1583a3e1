//! Evidence: robustness. Mutated values never panic, and what is accepted is
//! encoded again to octets that decode to the same.

use dlms::axdr::{Data, RawData, TypeDescription};
use dlms::codec::{Reader, Wire};
use dlms::cosem::{
    AttributeDescriptorWithSelection, CaptureObject, EntryDescriptor, ObjectListElement,
    ProfileSelection, RangeDescriptor, ScalerUnit, SelectiveAccessDescriptor,
};

use super::arbitrary;
use crate::captures::{Random, hex, unhex};

/// Hands octets to every decoder of the two modules.
fn check(octets: &[u8]) {
    let decoded = Data::from_octets(octets);
    let walked = RawData::new(octets).walk().find_map(Result::err);
    let skimmed = RawData::from_octets(octets);
    folds_as_it_steps(octets);
    match &decoded {
        Ok(data) => {
            assert_eq!(walked, None, "{}", hex(octets));
            assert!(skimmed.is_ok(), "{}", hex(octets));
            let again = data.to_octets();
            let twice = Data::from_octets(&again).unwrap();
            assert_eq!(twice.to_octets(), again, "{}", hex(octets));
            if let Ok(scaler_unit) = ScalerUnit::from_data(data) {
                let again = scaler_unit.to_data();
                assert_eq!(ScalerUnit::from_data(&again), Ok(scaler_unit));
            }
            if let Ok(element) = ObjectListElement::from_data(data) {
                for version in 1..=3 {
                    let again = element.to_data(version);
                    assert_eq!(ObjectListElement::from_data(&again).as_ref(), Ok(&element));
                }
                assert!(ObjectListElement::from_data(&element.to_data(0)).is_ok());
            }
        }
        Err(error) => {
            assert!(error.offset <= octets.len());
            // A walk does not look into compact arrays.
            let inside = RawData::new(octets)
                .walk()
                .leaves()
                .filter_map(Result::ok)
                .any(|leaf| leaf.to_data().is_err());
            assert!(walked.is_some() || inside, "{}", hex(octets));
        }
    }
    comes_back::<TypeDescription>(octets);
    comes_back::<CaptureObject>(octets);
    comes_back::<EntryDescriptor>(octets);
    comes_back::<RangeDescriptor>(octets);
    if let Ok(range) = RangeDescriptor::from_octets(octets) {
        // A range that holds its last value holds its first.
        if let Some(true) = range.selects(&range.to_value) {
            assert_eq!(range.selects(&range.from_value), Some(true));
        }
    }
    let mut reader = Reader::new(octets);
    if let Ok(request) = AttributeDescriptorWithSelection::decode(&mut reader) {
        let taken = octets.len() - reader.remaining();
        assert_eq!(request.to_octets(), octets[..taken]);
    }
    if let Ok(selection) = SelectiveAccessDescriptor::from_octets(octets)
        && let Ok(selected) = ProfileSelection::from_descriptor(&selection)
    {
        assert_eq!(selected.selector(), selection.access_selector);
        assert!(Data::from_octets(&selected.to_data().to_octets()).is_ok());
    }
}

/// A walk in one go comes across what a walk step by step does.
fn folds_as_it_steps(octets: &[u8]) {
    let mut stepped = Vec::new();
    for event in RawData::new(octets).walk() {
        stepped.push(format!("{event:?}"));
    }
    let mut folded = Vec::new();
    RawData::new(octets)
        .walk()
        .for_each(|event| folded.push(format!("{event:?}")));
    assert_eq!(folded, stepped, "{}", hex(octets));
}

/// Decodes, encodes, decodes and encodes.
fn comes_back<T: for<'a> Wire<'a>>(octets: &[u8]) {
    if let Ok(value) = T::from_octets(octets) {
        let again = value.to_octets();
        let twice = T::from_octets(&again).unwrap();
        assert_eq!(twice.to_octets(), again, "{}", hex(octets));
    }
}

#[test]
fn mutated_values_never_panic() {
    let mut random = Random::new(2_056);
    let seeds = [
        // A range descriptor, an entry descriptor, an object list element.
        "0204020412000809060000010000ff0f02120000090c07e401010300000000800000090c07e4010204000000008000000100",
        "020406000000010600000000120001120000",
        "020412000311000906 0100010800ff 0202 0102 02030f01160100 02030f0216010101 0f01 0101 02020f011601",
        "00070100630100ff02 01 01 0204020412000809060000010000ff0f02120000090c07e401010300000000800000090c07e4010204000000008000000100",
        "130203060100021f0a10000000010203026162000001000405 00",
    ];
    for round in 0..30_000_usize {
        let mut octets = match seeds.get(round % 8) {
            Some(seed) => unhex(seed),
            None => arbitrary(&mut random, 4).to_octets(),
        };
        for _ in 0..random.below(5) {
            if octets.is_empty() {
                break;
            }
            let at = random.below(octets.len());
            match random.below(6) {
                0 => octets[at] = random.next().to_be_bytes()[0],
                1 => octets[at] ^= 1 << random.below(8),
                2 => octets.truncate(at),
                3 => octets.insert(at, random.next().to_be_bytes()[0]),
                4 => {
                    octets.remove(at);
                }
                _ => octets[at] = [0, 1, 2, 9, 0x13, 0x80, 0x82, 0x84, 0xFF][random.below(9)],
            }
        }
        check(&octets);
    }
}
