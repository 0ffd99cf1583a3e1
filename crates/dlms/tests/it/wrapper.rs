//! The wrapper. Evidence: third-party octets (a header of the wrapper and the
//! sessions of two meters), hand-made negatives, and robustness.

use std::fmt::Write as _;

use dlms::codec::{Malformed, Wire};
use dlms::wrapper::{Deframer, Header, Wrapper};
use expect_test::expect_file;

use crate::captures::{Random, capture, hex, unhex};

#[test]
fn headers_are_read_or_refused_with_offset_and_reason() {
    let text = include_str!("../vectors/wrapper.txt");
    let mut actual = String::new();
    let mut records = text.split("\n\n");
    writeln!(actual, "{}", records.next().unwrap().trim_end()).unwrap();
    for record in records {
        let mut lines = record.lines();
        let name = lines.next().unwrap();
        let octets = unhex(lines.next().unwrap());
        let datagram = Wrapper::from_octets(&octets).unwrap_err();
        writeln!(
            actual,
            "\n{name}\n  {}\n  datagram: {datagram}",
            hex(&octets)
        )
        .unwrap();
        match Deframer::new(u16::MAX).next(&mut octets.as_slice()) {
            Ok(None) => writeln!(actual, "  stream:   waits").unwrap(),
            Ok(Some(wrapper)) => panic!("{name}: {wrapper:?}"),
            Err(error) => writeln!(actual, "  stream:   {error}").unwrap(),
        }
        if let Ok(header) = Header::from_octets(&octets) {
            writeln!(actual, "  header:   {header:?}").unwrap();
            assert_eq!(header.to_octets(), octets);
        }
    }
    expect_file!["../vectors/wrapper.txt"].assert_eq(&actual);
}

/// The messages of a session, wrapped.
fn stream(name: &str) -> Option<(Vec<Vec<u8>>, Vec<u8>)> {
    let vector = capture(name)?;
    let apdus: Vec<Vec<u8>> = vector["hex"]
        .as_array()
        .unwrap()
        .iter()
        .map(|apdu| unhex(apdu.as_str().unwrap()))
        .collect();
    let mut octets = Vec::new();
    for apdu in &apdus {
        Wrapper {
            source: 16,
            destination: 1,
            apdu,
        }
        .encode(&mut octets);
    }
    Some((apdus, octets))
}

#[test]
fn several_apdus_in_one_segment_and_one_in_several() {
    for name in ["session-wrapper-dlms", "session-wrapper-dlms-list"] {
        let Some((apdus, octets)) = stream(name) else {
            continue;
        };
        for size in [1, 2, 7, 8, 9, 64, octets.len()] {
            let mut deframer = Deframer::new(u16::MAX);
            let mut found = Vec::new();
            for mut piece in octets.chunks(size) {
                while let Some(wrapper) = deframer.next(&mut piece).unwrap() {
                    assert_eq!((wrapper.source, wrapper.destination), (16, 1));
                    found.push(wrapper.apdu.to_vec());
                }
            }
            assert_eq!(found, apdus, "{name} in pieces of {size}");
            assert!(deframer.is_idle());
            let mut deframer = Deframer::new(u16::MAX);
            let mut owned = Vec::new();
            for mut piece in octets.chunks(size) {
                while let Some((header, apdu)) = deframer.next_owned(&mut piece).unwrap() {
                    assert_eq!(usize::from(header.length), apdu.len());
                    owned.push(apdu);
                }
            }
            assert_eq!(owned, apdus, "{name} in pieces of {size}");
        }
    }
}

#[test]
fn a_stream_may_be_cut_at_any_octet() {
    let mut octets = Vec::new();
    let apdus = [&[1_u8][..], &[2; 9], &[0, 1, 0, 16, 0, 1, 0, 1], &[4; 300]];
    for apdu in apdus {
        Wrapper {
            source: 0x0102,
            destination: 0xFFFE,
            apdu,
        }
        .encode(&mut octets);
    }
    for cut in 0..=octets.len() {
        let mut deframer = Deframer::new(300);
        let mut found = Vec::new();
        for mut piece in [&octets[..cut], &octets[cut..]] {
            while let Some(wrapper) = deframer.next(&mut piece).unwrap() {
                assert_eq!(wrapper.destination, 0xFFFE);
                found.push(wrapper.apdu.to_vec());
            }
        }
        assert_eq!(found, apdus, "cut at {cut}");
    }
}

#[test]
fn a_length_above_the_bound_ends_the_stream() {
    let mut octets = unhex("0001 0010 0001 0001 aa");
    octets.extend_from_slice(&unhex("0001 0010 0001 0101"));
    let mut deframer = Deframer::new(0x100);
    let mut input = octets.as_slice();
    assert_eq!(deframer.next(&mut input).unwrap().unwrap().apdu, [0xAA]);
    let error = deframer.next(&mut input).unwrap_err();
    assert_eq!((error.offset, error.reason), (15, Malformed::Limit));
    let good = unhex("0001 0010 0001 0001 aa");
    assert_eq!(deframer.next(&mut good.as_slice()), Err(error));
}

#[test]
fn the_greatest_apdu_goes_through() {
    let apdu = vec![0x55; usize::from(u16::MAX)];
    let wrapper = Wrapper {
        source: 1,
        destination: 2,
        apdu: &apdu,
    };
    let octets = wrapper.to_octets();
    assert_eq!(Wrapper::from_octets(&octets), Ok(wrapper));
    let mut deframer = Deframer::new(u16::MAX);
    assert_eq!(deframer.next(&mut octets.as_slice()), Ok(Some(wrapper)));
}

/// What is announced and does not come costs next to nothing, and what comes
/// is set aside once.
#[test]
fn memory_follows_what_has_come() {
    let apdu = vec![0x55; usize::from(u16::MAX)];
    let wrapper = Wrapper {
        source: 1,
        destination: 2,
        apdu: &apdu,
    };
    let octets = wrapper.to_octets();
    for chunk in [1, 1_000, 1_032, octets.len()] {
        let mut deframer = Deframer::new(u16::MAX);
        let mut out = None;
        for mut piece in octets.chunks(chunk) {
            out = deframer.next_owned(&mut piece).unwrap();
        }
        let (header, owned) = out.expect("it does not come out");
        assert_eq!((header.source, header.destination), (1, 2));
        assert_eq!(owned, apdu);
        let room = owned.capacity() - owned.len();
        assert!(room < 64, "{chunk}: {room}");
    }
}

#[test]
fn mutated_streams_never_panic() {
    let mut octets = Vec::new();
    for length in 1..6 {
        Wrapper {
            source: 1,
            destination: 16,
            apdu: &vec![7; length],
        }
        .encode(&mut octets);
    }
    for seed in 0..20_000 {
        let mut random = Random::new(seed);
        let mut mutated = octets.clone();
        let at = random.below(mutated.len());
        mutated[at] ^= 1 << random.below(8);
        let mut deframer = Deframer::new(64);
        let mut found = 0;
        for mut piece in mutated.chunks(1 + random.below(20)) {
            while let Ok(Some(wrapper)) = deframer.next(&mut piece) {
                assert!((1..=64).contains(&wrapper.apdu.len()));
                found += 1;
            }
        }
        assert!(found <= 9, "seed {seed}");
    }
}
