//! The codec on the buffer of a load profile of one day: 96 rows of a time,
//! a status and two registers, 2,690 octets, all 384 values visited.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a benchmark that fails shall stop where it does"
)]

use divan::{Bencher, black_box};
use dlms::axdr::{
    Data, DateTime, Event, Leaf, RawData, put_array, put_octet_string, put_structure, put_u8,
    put_u32,
};
use dlms::codec::Wire;

const ROWS: usize = 96;

fn main() {
    divan::main();
}

/// Adds up what every value holds, so that none can be left out.
fn checksum(leaf: &Leaf<'_>) -> u64 {
    match leaf {
        Leaf::OctetString(octets) => octets.iter().map(|&octet| u64::from(octet)).sum(),
        Leaf::Unsigned(value) => u64::from(*value),
        Leaf::DoubleLongUnsigned(value) => u64::from(*value),
        _ => 0,
    }
}

fn put_profile(out: &mut Vec<u8>) {
    put_array(out, ROWS);
    for row in 0..ROWS as u32 {
        let hour = (row / 4) as u8;
        let minute = (row % 4 * 15) as u8;
        put_structure(out, 4);
        put_octet_string(out, &[0x07, 0xEA, 11, 20, 5, hour, minute, 0, 0, 0, 0, 0]);
        put_u8(out, 0);
        put_u32(out, 12_345_678 + 137 * row);
        put_u32(out, 2_345 + 3 * row);
    }
}

fn profile() -> Vec<u8> {
    let mut out = Vec::new();
    put_profile(&mut out);
    out
}

#[divan::bench]
fn walk(bencher: Bencher<'_, '_>) {
    let octets = profile();
    bencher.bench_local(|| {
        let mut sum = 0_u64;
        for event in RawData::new(black_box(&octets)).walk() {
            if let Event::Leaf(leaf) = event.unwrap() {
                sum = sum.wrapping_add(checksum(&leaf));
            }
        }
        sum
    });
}

#[divan::bench]
fn walk_times(bencher: Bencher<'_, '_>) {
    let octets = profile();
    bencher.bench_local(|| {
        let mut sum = 0_i64;
        for leaf in RawData::new(black_box(&octets)).walk().leaves() {
            let leaf = leaf.unwrap();
            if let Some(time) = leaf.as_date_time() {
                sum += time.to_unix_seconds().unwrap();
            }
        }
        sum
    });
}

#[divan::bench]
fn skim(bencher: Bencher<'_, '_>) {
    let octets = profile();
    bencher.bench_local(|| {
        RawData::from_octets(black_box(&octets))
            .unwrap()
            .octets()
            .len()
    });
}

#[divan::bench]
fn decode_tree(bencher: Bencher<'_, '_>) {
    let octets = profile();
    bencher.bench_local(|| Data::from_octets(black_box(&octets)).unwrap());
}

#[divan::bench]
fn encode_values(bencher: Bencher<'_, '_>) {
    let mut out = Vec::with_capacity(4_096);
    bencher.bench_local(|| {
        out.clear();
        put_profile(&mut out);
        black_box(out.len())
    });
}

#[divan::bench]
fn encode_tree(bencher: Bencher<'_, '_>) {
    let tree = Data::from_octets(&profile()).unwrap();
    let mut out = Vec::with_capacity(4_096);
    bencher.bench_local(|| {
        out.clear();
        black_box(&tree).encode(&mut out);
        black_box(out.len())
    });
}

#[divan::bench]
fn date_time_from_unix(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| {
        DateTime::from_unix_seconds(black_box(1_795_219_200), -60, Default::default())
    });
}

mod dlms_cosem_rs {
    //! The same with the other implementation.

    use super::{Bencher, black_box, profile};
    use ::dlms_cosem_rs::axdr::Data;
    use ::dlms_cosem_rs::codec::Decode;

    #[divan::bench]
    fn walk(bencher: Bencher<'_, '_>) {
        let octets = profile();
        bencher.bench_local(|| {
            let data = Data::from_bytes(black_box(&octets)).unwrap();
            let mut sum = 0_u64;
            for row in &data.as_seq().unwrap() {
                for value in &row.unwrap().as_seq().unwrap() {
                    let value = value.unwrap();
                    sum = sum.wrapping_add(match value.as_bytes() {
                        Some(octets) => octets.iter().map(|&octet| u64::from(octet)).sum(),
                        None => value.as_u64().unwrap(),
                    });
                }
            }
            sum
        });
    }
}
