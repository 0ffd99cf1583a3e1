//! Evidence: agreement with another implementation (dlms-cosem-rs 0.1.0) on
//! random values and on random octets, seeded.

use dlms::axdr::{BitString, Data, Tag};
use dlms::codec::Wire;
use dlms_cosem_rs::axdr::{Data as Theirs, DataBuf};
use dlms_cosem_rs::codec::{Decode, Encode, SliceWriter};

use super::arbitrary;
use crate::captures::{Random, hex};

fn encode(value: &impl Encode) -> Vec<u8> {
    let mut room = vec![0; 1 << 16];
    let mut writer = SliceWriter::new(&mut room);
    value.encode(&mut writer).unwrap();
    writer.as_slice().to_vec()
}

/// Puts a value into their words; compact arrays expand, as theirs do.
fn translate(data: &Data) -> DataBuf {
    let all = |elements: &[Data]| elements.iter().map(translate).collect();
    match data {
        Data::NullData => DataBuf::Null,
        Data::Array(elements) => DataBuf::Array(all(elements)),
        Data::Structure(elements) => DataBuf::Structure(all(elements)),
        Data::Boolean(value) => DataBuf::Boolean(*value),
        Data::BitString(bits) => {
            let bits = bits.as_bit_str();
            DataBuf::BitString {
                bits: usize::try_from(bits.len()).unwrap(),
                bytes: bits.octets().to_vec(),
            }
        }
        Data::DoubleLong(value) => DataBuf::DoubleLong(*value),
        Data::DoubleLongUnsigned(value) => DataBuf::DoubleLongUnsigned(*value),
        Data::OctetString(octets) => DataBuf::OctetString(octets.clone()),
        Data::VisibleString(octets) => DataBuf::VisibleString(octets.clone()),
        Data::Utf8String(octets) => DataBuf::Utf8String(octets.clone()),
        Data::Bcd(value) => DataBuf::Bcd(value.cast_signed()),
        Data::Integer(value) => DataBuf::Integer(*value),
        Data::Long(value) => DataBuf::Long(*value),
        Data::Unsigned(value) => DataBuf::Unsigned(*value),
        Data::LongUnsigned(value) => DataBuf::LongUnsigned(*value),
        Data::CompactArray(compact) => DataBuf::Array(all(compact.elements())),
        Data::Long64(value) => DataBuf::Long64(*value),
        Data::Long64Unsigned(value) => DataBuf::Long64Unsigned(*value),
        Data::Enum(value) => DataBuf::Enum(*value),
        Data::Float32(value) => DataBuf::Float32(*value),
        Data::Float64(value) => DataBuf::Float64(*value),
        Data::DateTime(value) => {
            DataBuf::DateTime(dlms_cosem_rs::axdr::DateTime::from_bytes(value.to_octets()))
        }
        Data::Date(value) => {
            DataBuf::Date(dlms_cosem_rs::axdr::Date::from_bytes(value.to_octets()))
        }
        Data::Time(value) => {
            DataBuf::Time(dlms_cosem_rs::axdr::Time::from_bytes(value.to_octets()))
        }
        Data::DeltaInteger(value) => DataBuf::DeltaInteger(*value),
        Data::DeltaLong(value) => DataBuf::DeltaLong(*value),
        Data::DeltaDoubleLong(value) => DataBuf::DeltaDoubleLong(*value),
        Data::DeltaUnsigned(value) => DataBuf::DeltaUnsigned(*value),
        Data::DeltaLongUnsigned(value) => DataBuf::DeltaLongUnsigned(*value),
        Data::DeltaDoubleLongUnsigned(value) => DataBuf::DeltaDoubleLongUnsigned(*value),
        Data::DontCare => DataBuf::DontCare,
    }
}

#[test]
fn both_read_and_write_random_values_alike() {
    let mut random = Random::new(61_334);
    let mut kinds = std::collections::BTreeSet::new();
    for round in 0..4_000 {
        let ours = arbitrary(&mut random, 4);
        kinds.insert(ours.tag());
        let octets = ours.to_octets();
        assert_eq!(Data::from_octets(&octets), Ok(ours.clone()), "{round}");
        let theirs = Theirs::from_bytes(&octets)
            .unwrap_or_else(|error| panic!("{round}: {error} in {}", hex(&octets)));
        assert_eq!(encode(&theirs), octets, "{round}");
        let translated = translate(&ours);
        assert_eq!(
            DataBuf::from_data(&theirs),
            Ok(translated.clone()),
            "{round}"
        );
        if !octets.contains(&Tag::CompactArray.as_u8()) {
            assert_eq!(encode(&translated), octets, "{round}");
        }
    }
    assert_eq!(kinds.len(), Tag::ALL.len());
}

#[test]
fn both_accept_the_same_octets() {
    let mut random = Random::new(5);
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..20_000 {
        let mut octets = arbitrary(&mut random, 3).to_octets();
        for _ in 0..=random.below(3) {
            let at = random.below(octets.len());
            match random.below(3) {
                0 => octets[at] = random.next().to_be_bytes()[0],
                1 => octets[at] ^= 1 << random.below(8),
                _ => octets.truncate(at + 1),
            }
        }
        let ours = Data::from_octets(&octets);
        // Compact arrays are read whole here, on demand there.
        let theirs = DataBuf::parse(&octets);
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{round}: {}", hex(&octets));
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => {
                assert_eq!(encode(&translate(&ours)), encode(&theirs), "{round}");
                accepted += 1;
            }
            _ => refused += 1,
        }
    }
    assert!(accepted > 2_000 && refused > 2_000, "{accepted} {refused}");
}

#[test]
fn bit_strings_number_their_bits_alike() {
    let bits: BitString = [true, false, false, true, true].into_iter().collect();
    let octets = Data::BitString(bits.clone()).to_octets();
    assert_eq!(hex(&octets), "040598");
    let Ok(Theirs::BitString(theirs)) = Theirs::from_bytes(&octets) else {
        panic!("no bit string");
    };
    for index in 0..5 {
        let theirs = theirs.bit(usize::try_from(index).unwrap());
        assert_eq!(bits.as_bit_str().bit(index), Some(theirs));
    }
    assert_eq!(bits.as_bit_str().bit(5), None);
}
