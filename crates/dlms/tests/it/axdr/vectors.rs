//! Evidence: octets and values written down from the standard and read by
//! another decoder; refusals counted out by hand; the buffer of a profile that
//! other implementations encode alike.

use dlms::axdr::{DEPTH_MAX, Data, Event, Leaf, RawData, Sequence};
use dlms::codec::{Malformed, Reader, Wire};
use serde_json::Value;

use super::to_json;
use crate::captures::{hex, skipped, unhex};

/// Every way to look at the octets of a value.
fn check(octets: &[u8]) -> Result<Data, String> {
    let decoded = Data::from_octets(octets).map_err(|error| error.to_string());
    let mut reader = Reader::new(octets);
    let raw = RawData::from_rest(&mut reader);
    assert!(reader.is_empty());
    let walked = raw.walk().collect::<Result<Vec<_>, _>>();
    if let Ok(data) = &decoded {
        assert_eq!(raw.decode().as_ref(), Ok(data));
        let skimmed = RawData::skim(&mut Reader::new(octets)).unwrap();
        assert_eq!(skimmed.octets(), octets);
        let mut tree = Vec::new();
        flatten(data, &mut tree);
        let walked: Vec<_> = walked
            .unwrap()
            .into_iter()
            .map(|event| format!("{event:?}"))
            .collect();
        assert_eq!(walked.len(), tree.len());
        for (event, expected) in walked.iter().zip(&tree) {
            if expected != "compact array" {
                assert_eq!(event, expected);
            }
        }
    }
    decoded
}

/// Writes the events that a walk over a tree should have.
fn flatten(data: &Data, events: &mut Vec<String>) {
    let (kind, elements) = match data {
        Data::Array(elements) => (Sequence::Array, elements),
        Data::Structure(elements) => (Sequence::Structure, elements),
        Data::CompactArray(_) => return events.push("compact array".to_owned()),
        _ => {
            let octets = data.to_octets();
            let event = RawData::new(&octets).walk().next().unwrap().unwrap();
            return events.push(format!("{event:?}"));
        }
    };
    events.push(format!("{:?}", Event::Begin(kind, elements.len())));
    for element in elements {
        flatten(element, events);
    }
    events.push(format!("{:?}", Event::End));
}

#[test]
fn values_are_read_as_written_down() {
    let mut count = 0;
    for line in lines(include_str!("../../vectors/axdr.txt")) {
        let (octets, expected) = line.split_once(' ').unwrap();
        let data = check(&unhex(octets)).unwrap();
        assert_eq!(
            to_json(&data),
            serde_json::from_str::<Value>(expected).unwrap(),
            "{octets}"
        );
        let again = if octets == "03ff" { "0301" } else { octets };
        assert_eq!(hex(&data.to_octets()), again);
        count += 1;
    }
    assert_eq!(count, 27);
}

#[test]
fn refusals_say_where_and_why() {
    let mut count = 0;
    for line in lines(include_str!("../../vectors/axdr-negative.txt")) {
        let (octets, expected) = line.split_once(' ').unwrap();
        assert_eq!(check(&unhex(octets)).unwrap_err(), expected, "{octets}");
        count += 1;
    }
    assert_eq!(count, 23);
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with('#'))
}

#[test]
fn nothing_is_no_value() {
    assert_eq!(check(&[]).unwrap_err(), "byte 0: truncated in data");
}

#[test]
fn depth_is_bounded_alike_for_trees_and_walks() {
    let nested = |depth: usize| {
        let mut octets = [2, 1].repeat(depth);
        octets.push(0);
        octets
    };
    assert!(check(&nested(DEPTH_MAX)).is_ok());
    let over = nested(DEPTH_MAX + 1);
    let error = Data::from_octets(&over).unwrap_err();
    assert_eq!(error.reason, Malformed::Limit);
    assert_eq!(error.offset, 2 * DEPTH_MAX);
    assert_eq!(
        RawData::new(&over).walk().find_map(Result::err),
        Some(error)
    );
    assert_eq!(RawData::from_octets(&over), Err(error));

    let nested = |depth: usize| {
        let mut octets = vec![0x13];
        octets.extend([2, 1].repeat(depth));
        octets.extend([0x11, 0x01, 0xAA]);
        octets
    };
    assert!(check(&nested(DEPTH_MAX)).is_ok());
    let over = nested(DEPTH_MAX + 1);
    let error = Data::from_octets(&over).unwrap_err();
    assert_eq!(error.reason, Malformed::Limit);
    assert_eq!(
        RawData::new(&over).walk().find_map(Result::err),
        Some(error)
    );
}

#[test]
fn a_type_description_cannot_multiply_the_work() {
    for octets in [
        // An array of arrays of arrays of nothing: 65,535³ values.
        "1301ffff01ffff01ffff000100",
        // Behind them something, so that the elements have octets.
        "13020201ffff01ffff0011020102",
    ] {
        let error = Data::from_octets(&unhex(octets)).unwrap_err();
        assert_eq!(error.reason, Malformed::Limit, "{octets}");
    }
}

#[test]
fn raw_data_takes_one_value_and_keeps_offsets() {
    let octets = unhex("c4 0202 1105 0901aa 06");
    let mut reader = Reader::new(&octets);
    reader.u8("tag").unwrap();
    let raw = RawData::skim(&mut reader).unwrap();
    assert_eq!(hex(raw.octets()), "020211050901aa");
    assert_eq!(raw.offset(), 1);
    let rest = RawData::from_rest(&mut reader);
    assert_eq!(
        rest.walk().next().unwrap().unwrap_err().to_string(),
        "byte 9: truncated in double-long-unsigned"
    );
    assert_eq!(hex(&rest.to_octets()), "06");
}

#[test]
fn a_walk_ends_after_its_first_error() {
    let octets = unhex("0203 1101 2a 1102");
    let mut walker = RawData::new(&octets).walk();
    assert_eq!(
        walker.next(),
        Some(Ok(Event::Begin(Sequence::Structure, 3)))
    );
    assert_eq!(walker.next(), Some(Ok(Event::Leaf(Leaf::Unsigned(1)))));
    assert!(walker.next().unwrap().is_err());
    assert_eq!(walker.next(), None);
    assert_eq!(walker.next(), None);
}

#[test]
fn a_profile_of_a_day_is_walked_whole() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/data/dlms/profile_data.bin"
    );
    let Ok(octets) = std::fs::read(path) else {
        skipped("profile_data.bin is not beside the project");
        return;
    };
    let mut times = 0;
    let mut energy = 0;
    let mut leaves = 0;
    for leaf in RawData::new(&octets).walk().leaves() {
        let leaf = leaf.unwrap();
        leaves += 1;
        times += usize::from(leaf.as_date_time().is_some());
        energy += leaf.as_u64().unwrap_or_default();
    }
    assert_eq!((leaves, times), (384, 96));
    // Two registers that start at 12,345,678 and 2,345 and rise by 137 and 3
    // each row, as the octets show.
    let rows = 96;
    assert_eq!(
        energy,
        rows * (12_345_678 + 2_345) + (137 + 3) * rows * (rows - 1) / 2
    );
    let data = check(&octets).unwrap();
    assert_eq!(data.to_octets(), octets);
}
