//! Frames and the deframer. Evidence: third-party octets (the FCS table, the
//! captures), hand-made negatives, and robustness.

use std::fmt::Write as _;

use dlms::codec::{Malformed, Reader, Wire};
use dlms::hdlc::{
    Address, Control, Deframer, FLAG, Fcs, Frame, ParameterForm, Parameters, Sequence,
};
use expect_test::expect_file;

use crate::captures::{Random, capture, hex, octets, unhex};

#[test]
fn check_sequences_are_those_that_were_measured() {
    let mut count = 0;
    for line in include_str!("../../vectors/hdlc-fcs.txt").lines() {
        if line.starts_with('#') {
            continue;
        }
        let (body, fcs) = line.split_once(' ').unwrap();
        let body = unhex(body);
        assert_eq!(hex(&Fcs::of(&body).to_le_bytes()), fcs, "{line}");
        // The body by octets, so that both the table and the slices are used.
        let single = body
            .iter()
            .fold(Fcs::new(), |fcs, octet| fcs.update(&[*octet]));
        assert_eq!(single.value(), Fcs::of(&body));
        count += 1;
    }
    assert_eq!(count, 26);
}

#[test]
fn measured_bodies_are_frames_that_come_back() {
    for line in include_str!("../../vectors/hdlc-fcs.txt").lines() {
        if line.starts_with('#') {
            continue;
        }
        let octets = unhex(&format!("7e{}7e", line.replace(' ', "")));
        // Some bodies of the table are cut from their frame without its length.
        let length = usize::from(octets[2]);
        if octets.len() != length + 2 {
            continue;
        }
        let frame = Frame::from_octets(&octets).unwrap();
        assert_eq!(hex(&frame.to_octets()), hex(&octets));
    }
}

#[test]
fn what_is_no_frame_is_refused_with_offset_and_reason() {
    let path = "../../vectors/hdlc-negative.txt";
    let text = include_str!("../../vectors/hdlc-negative.txt");
    let mut actual = String::new();
    let mut records = text.split("\n\n");
    writeln!(actual, "{}", records.next().unwrap().trim_end()).unwrap();
    for record in records {
        let mut lines = record.lines();
        let name = lines.next().unwrap();
        let octets = unhex(lines.next().unwrap());
        let error = Frame::from_octets(&octets).unwrap_err();
        let mut deframer = Deframer::new();
        let mut input = octets.as_slice();
        assert_eq!(deframer.next(&mut input), None, "{name}");
        let before = *deframer.counters();
        while deframer.pause() {
            assert_eq!(deframer.next(&mut input), None, "{name}");
        }
        writeln!(actual, "\n{name}\n  {}\n  {error}", hex(&octets)).unwrap();
        writeln!(actual, "  before {before:?}").unwrap();
        writeln!(actual, "  after  {:?}", deframer.counters()).unwrap();
        // The line stays usable.
        let good = unhex("7ea0070321930f017e");
        assert!(deframer.next(&mut good.as_slice()).is_some(), "{name}");
    }
    expect_file![path].assert_eq(&actual);
}

#[test]
fn addresses_have_one_two_or_four_octets() {
    let cases = [
        (Address::one(0x7F).unwrap(), "ff"),
        (Address::one(1).unwrap(), "03"),
        (Address::two(1, 17).unwrap(), "0223"),
        (Address::two(103, 127).unwrap(), "ceff"),
        (Address::four(1, 17).unwrap(), "00020023"),
        (Address::four(0x3FFF, 0x3FFE).unwrap(), "fefefefd"),
    ];
    for (address, octets) in cases {
        let frame = Frame {
            destination: address,
            source: Address::PUBLIC_CLIENT,
            segmented: false,
            control: Control::SetNormalResponseMode { poll: true },
            information: &[],
        };
        let wire = frame.to_octets();
        assert_eq!(hex(&wire[3..wire.len() - 5]), octets);
        assert_eq!(Frame::from_octets(&wire), Ok(frame));
    }
    assert_eq!(Address::one(0x80), None);
    assert_eq!(Address::two(0x80, 0), None);
    assert_eq!(Address::four(0x4000, 0), None);
}

#[test]
fn every_control_field_comes_back() {
    for octet in 0..=u8::MAX {
        assert_eq!(Control::from_octet(octet).octet(), octet);
    }
    assert_eq!(
        Control::from_octet(0x52),
        Control::Information {
            receive: Sequence::new(2),
            send: Sequence::new(1),
            poll: true
        }
    );
    // SREJ and REJ of ISO/IEC 13239, SABM, SNRME: none that DLMS has.
    for octet in [0x0D, 0x09, 0x2F, 0xCF] {
        assert_eq!(Control::from_octet(octet), Control::Unknown(octet));
    }
}

#[test]
fn parameters_come_in_every_width_and_without_their_group() {
    let parse = |text: &str| Parameters::from_octets(&unhex(text));
    assert_eq!(parse(""), Ok(Parameters::DEFAULT));
    assert_eq!(parse("818000"), Ok(Parameters::DEFAULT));
    let parameters = Parameters {
        information_length_transmit: 128,
        information_length_receive: 1_024,
        window_transmit: 1,
        window_receive: 7,
    };
    // One octet, two and four; a parameter that nobody knows; a user group.
    let mixed = "81 80 14 05 01 80 06 02 0400 07 01 01 08 04 00000007 63 02 beef f0 03 112233";
    assert_eq!(parse(mixed), Ok(parameters));
    for form in [ParameterForm::Narrow, ParameterForm::Wide] {
        let mut octets = Vec::new();
        parameters.encode_as(form, &mut octets);
        assert_eq!(Parameters::from_octets(&octets), Ok(parameters));
    }
    // Nothing that cannot be: windows of 0 and 8, no octets of information.
    let absurd = parse("81 80 0d 05 01 00 06 02 ffff 07 01 00 08 01 08");
    assert_eq!(
        absurd,
        Ok(Parameters {
            information_length_transmit: 1,
            information_length_receive: 2_030,
            window_transmit: 1,
            window_receive: 7,
        })
    );
    for (text, expected) in [
        ("80", "byte 0: unexpected tag 0x80 in format identifier"),
        ("8180", "byte 2: truncated in group length"),
        ("81800305", "byte 3: truncated in parameter group"),
        (
            "8180020500",
            "byte 4: bad length in maximum information field length, transmit",
        ),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), expected);
    }
}

#[test]
fn captured_frames_come_back() {
    for name in [
        "hdlc-4byte-addr-snrm",
        "hdlc-dm-or-ua-info",
        "hdlc-rr",
        "hdlc-snrm-1byte",
        "hdlc-snrm-2byte",
        "hdlc-ua-2octet-sizes",
        "hdlc-ua-params",
    ] {
        let Some(vector) = capture(name) else {
            continue;
        };
        let octets = unhex(vector["hex"].as_str().unwrap());
        let frame = Frame::from_octets(&octets).unwrap();
        assert_eq!(hex(&frame.to_octets()), hex(&octets), "{name}");
        let expected = &vector["expect"]["frame"];
        assert_eq!(u64::from(frame.control.octet()), expected["control"]);
        if let Some(parameters) = expected.get("params") {
            let actual = Parameters::from_octets(frame.information).unwrap();
            assert_eq!(
                parameters["max_info_tx"],
                actual.information_length_transmit
            );
            assert_eq!(parameters["max_info_rx"], actual.information_length_receive);
            assert_eq!(parameters["window_tx"], actual.window_transmit);
            assert_eq!(parameters["window_rx"], actual.window_receive);
            let form = match name {
                "hdlc-ua-2octet-sizes" => ParameterForm::Wide,
                _ => ParameterForm::Narrow,
            };
            let mut again = Vec::new();
            actual.encode_as(form, &mut again);
            assert_eq!(hex(&again), hex(frame.information), "{name}");
        }
        for (field, address) in [("dst", frame.destination), ("src", frame.source)] {
            let Some(parts) = expected.get(field).and_then(|parts| parts.as_array()) else {
                continue;
            };
            let parts: Vec<u64> = parts.iter().map(|part| part.as_u64().unwrap()).collect();
            let (upper, lower) = match *parts.as_slice() {
                [upper] => (upper, None),
                [upper, lower] => (upper, Some(lower)),
                [a, b, c, d] => (a << 7 | b, Some(c << 7 | d)),
                _ => panic!("{name}: {parts:?}"),
            };
            assert_eq!(u64::from(address.upper()), upper);
            assert_eq!(address.lower().map(u64::from), lower);
        }
    }
}

#[test]
fn a_published_dump_with_a_wrong_fcs_is_refused_where_it_is_wrong() {
    let Some(octets) = octets("real-hdlc-lg-zmf100-badfcs") else {
        return;
    };
    let error = Frame::from_octets(&octets).unwrap_err();
    assert_eq!(error.offset, octets.len() - 3);
    assert_eq!(error.reason, Malformed::Checksum);
    assert_eq!(error.field, "frame check sequence");
    let mut deframer = Deframer::new();
    assert_eq!(deframer.next(&mut octets.as_slice()), None);
    assert_eq!(deframer.counters().fcs_faults, 1);
}

/// Three frames, two of which share a flag, with noise before and between.
fn stream() -> (Vec<u8>, Vec<Vec<u8>>) {
    let first = Frame {
        destination: Address::two(1, 17).unwrap(),
        source: Address::PUBLIC_CLIENT,
        segmented: true,
        control: Control::UnnumberedInformation { poll: true },
        // Flags and what looks like a frame within one.
        information: &unhex("7e7ea0070321930f017e7ea7ff7e"),
    }
    .to_octets();
    let second = unhex("7ea0070321930f017e");
    let third = unhex("7ea00802232193bd647e");
    let mut octets = unhex("00a007ff");
    octets.extend_from_slice(&first);
    octets.extend_from_slice(&second[1..]);
    octets.extend_from_slice(&unhex("7e7e112233a0"));
    octets.extend_from_slice(&third);
    (octets, vec![first, second, third])
}

#[test]
fn a_stream_may_be_cut_at_any_octet() {
    let (octets, frames) = stream();
    for first in 0..=octets.len() {
        for second in [first, (first + 1).min(octets.len()), octets.len()] {
            let mut deframer = Deframer::new();
            let mut found = Vec::new();
            for mut piece in [&octets[..first], &octets[first..second], &octets[second..]] {
                while let Some(frame) = deframer.next(&mut piece) {
                    found.push(frame.to_octets());
                }
                assert!(piece.is_empty());
            }
            assert_eq!(found, frames, "cut at {first} and {second}");
            assert_eq!(deframer.counters().frames, 3);
            assert_eq!(deframer.counters().noise_octets, 4 + 4);
        }
    }
}

#[test]
fn noise_that_looks_like_a_frame_hides_none_behind_it() {
    let good = unhex("7ea0070321930f017e");
    // The start of a frame of 2,047 octets, its header and HCS sound.
    let mut start = Frame {
        destination: Address::PUBLIC_CLIENT,
        source: Address::PUBLIC_CLIENT,
        segmented: false,
        control: Control::UnnumberedInformation { poll: false },
        information: &[0; 2_030],
    }
    .to_octets();
    start.truncate(20);
    start.extend_from_slice(&good);
    let mut deframer = Deframer::new();
    let mut input = start.as_slice();
    assert_eq!(deframer.next(&mut input), None, "the frame may still go on");
    assert!(deframer.pause());
    assert_eq!(deframer.next(&mut input).unwrap().to_octets(), good);
    assert!(!deframer.pause());
    assert_eq!(deframer.counters().abandoned, 1);
}

#[test]
fn mutated_streams_never_panic_and_never_lose_the_line() {
    let (octets, _) = stream();
    let good = unhex("7ea0070321930f017e");
    for seed in 0..20_000 {
        let mut random = Random::new(seed);
        let mut mutated = octets.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(mutated.len());
            match random.below(4) {
                0 => mutated[at] ^= 1 << random.below(8),
                1 => mutated[at] = FLAG,
                2 => drop(mutated.remove(at)),
                _ => mutated.insert(at, random.next().to_be_bytes()[0]),
            }
        }
        let mut deframer = Deframer::new();
        let mut input = mutated.as_slice();
        while deframer.next(&mut input).is_some() {}
        while deframer.pause() {
            while deframer.next(&mut input).is_some() {}
        }
        assert_eq!(
            deframer
                .next(&mut good.as_slice())
                .map(|frame| frame.to_octets()),
            Some(good.clone()),
            "seed {seed}"
        );
        // A frame that decodes is one that its own octets make again.
        let at = random.below(mutated.len());
        let mut reader = Reader::new(&mutated[at..]);
        if let Ok(frame) = Frame::decode(&mut reader) {
            assert_eq!(frame.to_octets(), mutated[at..at + reader.offset()]);
        }
        let start = random.below(mutated.len());
        if let Ok(parameters) = Parameters::from_octets(&mutated[start..]) {
            assert!((1..=7).contains(&parameters.window_receive));
        }
    }
}
