//! Values in A-XDR.

mod agreement;
mod compact;
mod date_time;
mod mutation;
mod vectors;

use dlms::axdr::{BitString, CompactArray, Data, Date, DateTime, Tag, Time, TypeDescription};
use serde_json::{Value, json};

use crate::captures::{Random, hex};

/// Shows a value in the words of the vector files.
fn to_json(data: &Data) -> Value {
    let all = |elements: &[Data]| elements.iter().map(to_json).collect::<Value>();
    match data {
        Data::NullData => json!({"null": null}),
        Data::Array(elements) => json!({"array": all(elements)}),
        Data::Structure(elements) => json!({"structure": all(elements)}),
        Data::Boolean(value) => json!({"bool": value}),
        Data::BitString(bits) => json!({"bitstring": bits.to_string()}),
        Data::DoubleLong(value) => json!({"i32": value}),
        Data::DoubleLongUnsigned(value) => json!({"u32": value}),
        Data::OctetString(octets) => json!({"octets": hex(octets)}),
        Data::VisibleString(_) => json!({"visible": data.as_str()}),
        Data::Utf8String(_) => json!({"utf8": data.as_str()}),
        Data::Bcd(value) => json!({"bcd": value}),
        Data::Integer(value) => json!({"i8": value}),
        Data::Long(value) => json!({"i16": value}),
        Data::Unsigned(value) => json!({"u8": value}),
        Data::LongUnsigned(value) => json!({"u16": value}),
        Data::CompactArray(compact) => json!({
            "compact_array": all(compact.elements()),
            "type_description": description(compact.description()),
        }),
        Data::Long64(value) => json!({"i64": value}),
        Data::Long64Unsigned(value) => json!({"u64": value}),
        Data::Enum(value) => json!({"enum": value}),
        Data::Float32(value) => json!({"f32": f64::from(*value)}),
        Data::Float64(value) => json!({"f64": value}),
        Data::DateTime(value) => json!({"date_time": hex(&value.to_octets())}),
        Data::Date(value) => json!({"date": hex(&value.to_octets())}),
        Data::Time(value) => json!({"time": hex(&value.to_octets())}),
        Data::DeltaInteger(value) => json!({"delta_i8": value}),
        Data::DeltaLong(value) => json!({"delta_i16": value}),
        Data::DeltaDoubleLong(value) => json!({"delta_i32": value}),
        Data::DeltaUnsigned(value) => json!({"delta_u8": value}),
        Data::DeltaLongUnsigned(value) => json!({"delta_u16": value}),
        Data::DeltaDoubleLongUnsigned(value) => json!({"delta_u32": value}),
        Data::DontCare => json!({"dont_care": null}),
    }
}

fn description(types: &TypeDescription) -> Value {
    match types {
        TypeDescription::Simple { tag, .. } => json!(tag.as_u8()),
        TypeDescription::Array(count, inner) => json!(["array", count, description(inner)]),
        TypeDescription::Structure(types) => {
            json!([
                "structure",
                types.iter().map(description).collect::<Value>()
            ])
        }
    }
}

/// Makes any value at all, up to `depth` sequences deep.
fn arbitrary(random: &mut Random, depth: usize) -> Data {
    let tags = Tag::ALL.len();
    let tag = Tag::ALL[random.below(tags)];
    let tag = match tag {
        Tag::Array | Tag::Structure | Tag::CompactArray if depth == 0 => Tag::Unsigned,
        tag => tag,
    };
    of_type(random, tag, depth)
}

fn octets(random: &mut Random) -> Vec<u8> {
    let count = match random.below(20) {
        0 => 127 + random.below(200),
        _ => random.below(16),
    };
    (0..count).map(|_| random.next().to_be_bytes()[0]).collect()
}

fn fixed<const N: usize>(random: &mut Random) -> [u8; N] {
    core::array::from_fn(|_| random.next().to_be_bytes()[0])
}

fn of_type(random: &mut Random, tag: Tag, depth: usize) -> Data {
    match tag {
        Tag::NullData => Data::NullData,
        Tag::Array | Tag::Structure => {
            let count = random.below(6);
            let elements = (0..count).map(|_| arbitrary(random, depth - 1)).collect();
            if tag == Tag::Array {
                Data::Array(elements)
            } else {
                Data::Structure(elements)
            }
        }
        Tag::Boolean => Data::Boolean(random.below(2) == 1),
        Tag::BitString => {
            let bits: BitString = (0..random.below(70))
                .map(|_| random.below(2) == 1)
                .collect();
            Data::BitString(bits)
        }
        Tag::DoubleLong => Data::DoubleLong(i32::from_be_bytes(fixed(random))),
        Tag::DoubleLongUnsigned => Data::DoubleLongUnsigned(u32::from_be_bytes(fixed(random))),
        Tag::OctetString => Data::OctetString(octets(random)),
        Tag::VisibleString => Data::VisibleString(octets(random)),
        Tag::Utf8String => Data::Utf8String(octets(random)),
        Tag::Bcd => Data::Bcd(fixed::<1>(random)[0]),
        Tag::Integer => Data::Integer(i8::from_be_bytes(fixed(random))),
        Tag::Long => Data::Long(i16::from_be_bytes(fixed(random))),
        Tag::Unsigned => Data::Unsigned(fixed::<1>(random)[0]),
        Tag::LongUnsigned => Data::LongUnsigned(u16::from_be_bytes(fixed(random))),
        Tag::CompactArray => {
            let types = types(random, depth - 1);
            let elements = (0..random.below(5))
                .map(|_| of_description(random, &types, depth - 1))
                .collect();
            Data::CompactArray(Box::new(CompactArray::new(types, elements).unwrap()))
        }
        Tag::Long64 => Data::Long64(i64::from_be_bytes(fixed(random))),
        Tag::Long64Unsigned => Data::Long64Unsigned(u64::from_be_bytes(fixed(random))),
        Tag::Enum => Data::Enum(fixed::<1>(random)[0]),
        // No NaN: it equals nothing, not even itself.
        Tag::Float32 => Data::Float32(f32::from(i16::from_be_bytes(fixed(random))) / 8.0),
        Tag::Float64 => Data::Float64(f64::from(i32::from_be_bytes(fixed(random))) / 1024.0),
        Tag::DateTime => Data::DateTime(DateTime::from_octets(fixed(random))),
        Tag::Date => Data::Date(Date::from_octets(fixed(random))),
        Tag::Time => Data::Time(Time::from_octets(fixed(random))),
        Tag::DeltaInteger => Data::DeltaInteger(i8::from_be_bytes(fixed(random))),
        Tag::DeltaLong => Data::DeltaLong(i16::from_be_bytes(fixed(random))),
        Tag::DeltaDoubleLong => Data::DeltaDoubleLong(i32::from_be_bytes(fixed(random))),
        Tag::DeltaUnsigned => Data::DeltaUnsigned(fixed::<1>(random)[0]),
        Tag::DeltaLongUnsigned => Data::DeltaLongUnsigned(u16::from_be_bytes(fixed(random))),
        Tag::DeltaDoubleLongUnsigned => {
            Data::DeltaDoubleLongUnsigned(u32::from_be_bytes(fixed(random)))
        }
        Tag::DontCare => Data::DontCare,
    }
}

/// Makes a type description of which every element has octets.
fn types(random: &mut Random, depth: usize) -> TypeDescription {
    match random.below(4) {
        0 if depth > 0 => TypeDescription::Array(
            u16::try_from(1 + random.below(3)).unwrap(),
            Box::new(types(random, depth - 1)),
        ),
        1 if depth > 0 => TypeDescription::Structure(
            (0..1 + random.below(4))
                .map(|_| types(random, depth - 1))
                .collect(),
        ),
        _ => loop {
            let tag = Tag::ALL[random.below(Tag::ALL.len())];
            match TypeDescription::simple(tag) {
                Some(simple) if tag.fixed_length() != Some(0) => break simple,
                _ => {}
            }
        },
    }
}

fn of_description(random: &mut Random, types: &TypeDescription, depth: usize) -> Data {
    match types {
        TypeDescription::Simple { tag, .. } => of_type(random, *tag, depth),
        TypeDescription::Array(count, inner) => Data::Array(
            (0..*count)
                .map(|_| of_description(random, inner, depth))
                .collect(),
        ),
        TypeDescription::Structure(types) => Data::Structure(
            types
                .iter()
                .map(|inner| of_description(random, inner, depth))
                .collect(),
        ),
    }
}
