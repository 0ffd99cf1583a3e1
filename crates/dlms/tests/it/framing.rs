//! What a dump is framed in, and its messages. Evidence: third-party octets
//! (captures and the published examples of two utilities), hand-made
//! negatives, and robustness.

use dlms::codec::Wire;
use dlms::framing::{AnyFrame, Framing, Message, detect, unframe};
use dlms::hdlc::{Address, Control, Frame, Listener};
use dlms::wrapper::Wrapper;
use dlms::{Duration, Instant};

use crate::captures::{Random, capture, hex, octets, unhex};

fn messages(octets: &[u8]) -> Vec<Message> {
    unframe(octets, detect(octets)).unwrap().messages
}

/// Each octet of a message is the one of the input that it says.
fn check_offsets(input: &[u8], messages: &[Message]) {
    for message in messages {
        for (offset, octet) in message.octets.iter().enumerate() {
            assert_eq!(input[message.input_offset(offset)], *octet);
        }
    }
}

#[test]
fn captured_pushes_give_their_apdu() {
    for (name, framing, frames) in [
        ("real-hdlc-norway-han-1phase", Framing::Hdlc, 1),
        ("real-hdlc-kaifa-ma304h3e", Framing::Hdlc, 1),
        ("real-hdlc-lgz-e450-2", Framing::Hdlc, 3),
        ("real-mbus-netznoe-kaifa", Framing::MBus, 2),
        ("real-aidon-no-list-1", Framing::Llc, 1),
        ("real-aidon-no-list-2", Framing::Llc, 1),
        ("real-aidon-no-list-3", Framing::Llc, 1),
        ("real-kaifa-no-list-1", Framing::Llc, 1),
        ("real-kamstrup-no-list-2-three-phase", Framing::Llc, 1),
        ("real-raw-energomera", Framing::Apdu, 1),
        ("real-raw-sagecom-xt211-untagged", Framing::Apdu, 1),
    ] {
        let Some(vector) = capture(name) else {
            continue;
        };
        let octets = unhex(vector["hex"].as_str().unwrap());
        assert_eq!(detect(&octets), framing, "{name}");
        let unframed = unframe(&octets, framing).unwrap();
        assert_eq!(unframed.frames.len(), frames, "{name}");
        assert_eq!(unframed.messages.len(), 1, "{name}");
        check_offsets(&octets, &unframed.messages);
        let apdu = hex(&unframed.messages[0].octets);
        match vector["expect"]["apdu"].as_str() {
            Some(expected) => assert_eq!(apdu, expected, "{name}"),
            None if framing == Framing::Llc => assert_eq!(apdu, hex(&octets[3..])),
            None => assert_eq!(apdu, hex(&octets)),
        }
    }
}

#[test]
fn a_dump_with_a_wrong_fcs_is_refused_where_it_is_wrong() {
    let Some(octets) = octets("real-hdlc-lg-zmf100-badfcs") else {
        return;
    };
    let error = unframe(&octets, detect(&octets)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "byte 393: bad checksum in frame check sequence"
    );
}

#[test]
fn a_recorded_session_is_taken_apart() {
    let Some(vector) = capture("session-hdlc-original-data") else {
        return;
    };
    let mut octets = Vec::new();
    for frame in vector["hex"].as_array().unwrap().iter().take(22) {
        octets.extend(unhex(frame.as_str().unwrap()));
    }
    let unframed = unframe(&octets, detect(&octets)).unwrap();
    assert_eq!(unframed.frames.len(), 22);
    let kinds: Vec<u8> = unframed
        .messages
        .iter()
        .map(|message| message.octets[0])
        .collect();
    assert_eq!(kinds, [0x60, 0x61, 0xC0, 0xC4]);
    check_offsets(&octets, &unframed.messages);
}

fn push(segmented: bool, information: &[u8]) -> Vec<u8> {
    Frame {
        destination: Address::two(103, 127).unwrap(),
        source: Address::one(1).unwrap(),
        segmented,
        control: Control::UnnumberedInformation { poll: true },
        information,
    }
    .to_octets()
}

#[test]
fn flags_may_be_shared_and_repeated() {
    let (first, second) = (push(true, &unhex("e6e7000f01")), push(false, &[2, 3]));
    let separate = [first.clone(), second.clone()].concat();
    let shared = [&first[..], &second[1..]].concat();
    let filled = [&[0x7E, 0x7E], &first[..], &[0x7E], &second[..], &[0x7E]].concat();
    for octets in [separate, shared, filled] {
        let messages = messages(&octets);
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].octets, [0x0F, 1, 2, 3]);
        assert_eq!(messages[0].parts.len(), 2);
        check_offsets(&octets, &messages);
    }
    // An LLC header over two segments.
    let octets = [push(true, &[0xE6]), push(false, &[0xE7, 0x00, 0x0F])].concat();
    let messages = messages(&octets);
    assert_eq!(messages[0].octets, [0x0F]);
    check_offsets(&octets, &messages);
}

#[test]
fn an_llc_header_may_be_repeated_in_each_segment() {
    let parts = [
        push(true, &unhex("e6e7000f01")),
        push(true, &unhex("e6e70002")),
        push(false, &unhex("e6e70003")),
    ];
    let octets = parts.concat();
    let messages = messages(&octets);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].octets, [0x0F, 1, 2, 3]);
    check_offsets(&octets, &messages);
    let mut listener = Listener::new(1_024, Duration::from_millis(500));
    listener.handle(&octets, Instant::ORIGIN);
    assert_eq!(listener.poll().unwrap().octets, [0x0F, 1, 2, 3]);
    // Octets alike behind another begin are the message's own.
    let octets = [push(true, &[0x0F, 1]), push(false, &unhex("e6e70003"))].concat();
    assert_eq!(self::messages(&octets)[0].octets, unhex("0f01e6e70003"));
}

#[test]
fn blocks_may_stand_side_by_side_without_frames() {
    // Two blocks, streamed, the second one the last.
    let octets = unhex("e04000010000030f0102e0c000020000020304");
    for (framing, skip) in [(Framing::Apdu, 0), (Framing::Llc, 3)] {
        let octets = [&unhex("e6e700")[..skip], &octets].concat();
        assert_eq!(detect(&octets), framing);
        let unframed = unframe(&octets, framing).unwrap();
        assert_eq!(unframed.messages.len(), 1);
        assert_eq!(unframed.messages[0].octets, [0x0F, 1, 2, 3, 4]);
        assert_eq!(unframed.blocks.len(), 2);
        check_offsets(&octets, &unframed.messages);
    }
    // One that is cut is told where it ends.
    assert!(unframe(&octets[..octets.len() - 1], Framing::Apdu).is_err());
}

#[test]
fn refusals_say_where_and_why() {
    let whole = push(false, &[1, 2, 3]);
    let mut trailing = whole.clone();
    trailing.extend_from_slice(&[0x11, 0x22]);
    let block = |last: u8, number: u8| push(false, &[0xE0, last, 0, number, 0, 0, 1, 0xAA]);
    let wrapped = Wrapper {
        source: 1,
        destination: 16,
        apdu: &[0xC4, 1],
    }
    .to_octets();
    for (octets, expected) in [
        (push(true, &[1, 2, 3]), "byte 15: truncated in last segment"),
        (trailing, "byte 15: unexpected tag 0x11 in frame format"),
        (
            whole[1..].to_vec(),
            "byte 0: unexpected tag 0xa0 in opening flag",
        ),
        (vec![0x7E; 4], "byte 4: truncated in frame format"),
        (
            [block(0, 1), block(0x80, 3)].concat(),
            "byte 31: bad value in block number",
        ),
        (
            [block(0, 1), block(0, 2)].concat(),
            "byte 37: truncated in last block",
        ),
        (
            [&wrapped[..], &wrapped[..9]].concat(),
            "byte 18: truncated in wrapped APDU",
        ),
        (
            unhex("6806066853ff0101670ac516"),
            "byte 6: bad value in M-Bus segment number",
        ),
        (
            unhex("6806066853ff0001670ac416"),
            "byte 12: truncated in last segment",
        ),
        (
            unhex("6806066853ff7201670a3616"),
            "byte 6: unexpected tag 0x72 in M-Bus control information",
        ),
        (vec![0x68], "byte 1: truncated in M-Bus length"),
        (vec![0x7E], "byte 1: truncated in frame format"),
        (vec![0], "byte 0: truncated in wrapper version"),
    ] {
        let error = unframe(&octets, detect(&octets)).unwrap_err();
        assert_eq!(error.to_string(), expected, "{}", hex(&octets));
    }
}

#[test]
fn a_length_that_ran_over_counts_256_more() {
    // 257 octets, told as 01: three of the head, and 254 of a segment.
    let mut body = vec![0x53, 0xFF, 0x10, 0x01, 0x67];
    body.extend((0..252).map(|octet: u8| octet));
    assert_eq!(body.len(), 257);
    let sum = body
        .iter()
        .fold(0_u8, |sum, octet| sum.wrapping_add(*octet));
    let mut octets = [&[0x68, 1, 1, 0x68][..], &body, &[sum, 0x16]].concat();
    let found = messages(&octets);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].octets, body[5..]);
    // A stream of them, cut anywhere.
    let mut deframer = dlms::mbus::Deframer::new();
    let stream = [&octets[..], &octets].concat();
    let mut frames = 0;
    for part in stream.chunks(7) {
        let mut part = part;
        while let Some(frame) = deframer.next(&mut part) {
            assert_eq!(frame.data.len(), 254);
            frames += 1;
        }
    }
    assert_eq!(frames, 2);
    octets[100] ^= 1;
    let error = unframe(&octets, detect(&octets)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "byte 261: bad checksum in M-Bus checksum"
    );
}

#[test]
fn supervisory_frames_carry_no_message() {
    let octets = unhex("7ea0070321930f017e");
    let unframed = unframe(&octets, detect(&octets)).unwrap();
    assert!(unframed.messages.is_empty());
    assert!(matches!(unframed.frames[0].frame, AnyFrame::Hdlc(_)));
    assert_eq!(unframed.frames[0].length, 9);
    assert!(
        messages(&[])
            .iter()
            .all(|message| message.octets.is_empty())
    );
}

#[test]
fn mutated_dumps_never_panic() {
    let mut seeds = vec![
        [push(true, &unhex("e6e7000f01")), push(false, &[2, 3])].concat(),
        unhex("6806066853ff1001670ad416"),
        Wrapper {
            source: 1,
            destination: 2,
            apdu: &[1, 2, 3],
        }
        .to_octets(),
        unhex("e6e7000f00"),
    ];
    seeds.push(push(false, &[0xE0, 0x80, 0, 1, 0, 0, 1, 0xAA]));
    for seed in 0..40_000 {
        let mut random = Random::new(seed);
        let mut octets = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(3) {
            let at = random.below(octets.len());
            match random.below(4) {
                0 => octets[at] ^= 1 << random.below(8),
                1 => drop(octets.remove(at)),
                2 => octets.insert(at, random.next().to_be_bytes()[0]),
                _ => octets.extend_from_within(at..),
            }
            if octets.is_empty() {
                octets.push(0);
            }
        }
        for framing in [
            Framing::Hdlc,
            Framing::Wrapper,
            Framing::MBus,
            Framing::Llc,
            Framing::Apdu,
        ] {
            match unframe(&octets, framing) {
                Ok(unframed) => check_offsets(&octets, &unframed.messages),
                Err(error) => assert!(error.offset <= octets.len(), "seed {seed}: {error}"),
            }
        }
    }
}
