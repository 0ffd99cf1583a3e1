//! M-Bus. Evidence: the published example of a utility (a capture), and
//! robustness.

use dlms::codec::{Malformed, Wire};
use dlms::mbus::{Assembler, Deframer, LongFrame, Segment};

use crate::captures::{Random, capture, hex, unhex};

/// An APDU in long frames, as `Assembler` takes it.
fn frames(apdu: &[u8], size: usize) -> Vec<u8> {
    let mut octets = Vec::new();
    let count = apdu.chunks(size).count();
    for (index, piece) in apdu.chunks(size).enumerate() {
        let segment = Segment {
            sequence: u8::try_from(index & 0x0F).unwrap(),
            last: index + 1 == count,
            source: 1,
            destination: 0x67,
            octets: piece,
        };
        let mut data = vec![segment.source, segment.destination];
        data.extend_from_slice(piece);
        LongFrame {
            control: 0x53,
            address: 0xFF,
            control_information: segment.control_information(),
            data: &data,
        }
        .encode(&mut octets);
    }
    octets
}

fn receive(octets: &[u8]) -> (Vec<Vec<u8>>, Assembler) {
    let mut deframer = Deframer::new();
    let mut assembler = Assembler::new(4_096);
    let mut input = octets;
    let mut messages = Vec::new();
    loop {
        while let Some(frame) = deframer.next(&mut input) {
            let Ok(segment) = Segment::of(&frame, 0) else {
                continue;
            };
            messages.extend(assembler.push(&segment).map(|message| message.octets));
        }
        if !deframer.pause() {
            return (messages, assembler);
        }
    }
}

#[test]
fn the_published_push_is_put_together() {
    let Some(vector) = capture("real-mbus-netznoe-kaifa") else {
        return;
    };
    let octets = unhex(vector["hex"].as_str().unwrap());
    let (messages, assembler) = receive(&octets);
    assert_eq!(messages.len(), 1);
    assert_eq!(hex(&messages[0]), vector["expect"]["apdu"]);
    assert_eq!(assembler.lost(), 0);
    let mut rest = octets.as_slice();
    let mut again = Vec::new();
    let mut deframer = Deframer::new();
    for expected in vector["expect"]["mbus_frames"].as_array().unwrap() {
        let frame = deframer.next(&mut rest).unwrap();
        let segment = Segment::of(&frame, 7).unwrap();
        assert_eq!(expected["c"], frame.control);
        assert_eq!(expected["a"], frame.address);
        assert_eq!(expected["ci"], frame.control_information);
        assert_eq!(expected["ci"], segment.control_information());
        assert_eq!(expected["stsap"], segment.source);
        assert_eq!(expected["dtsap"], segment.destination);
        assert_eq!(expected["payload"], segment.octets.len());
        frame.encode(&mut again);
    }
    assert_eq!(hex(&again), hex(&octets));
}

#[test]
fn pieces_out_of_turn_lose_one_message_and_no_other() {
    let apdu: Vec<u8> = (0..=255).cycle().take(2_000).collect();
    let good = frames(&apdu, 100);
    let (messages, assembler) = receive(&good);
    assert_eq!(
        messages,
        core::slice::from_ref(&apdu),
        "more pieces than numbers"
    );
    assert_eq!(assembler.lost(), 0);
    // The second piece is missing.
    let piece = 100 + 2 + 3 + 6;
    let mut broken = good[..piece].to_vec();
    broken.extend_from_slice(&good[2 * piece..3 * piece]);
    broken.extend_from_slice(&good);
    let (messages, assembler) = receive(&broken);
    assert_eq!(messages, [apdu]);
    assert_eq!(assembler.lost(), 1);
    assert!(assembler.is_idle());
    let (messages, assembler) = receive(&frames(&[1; 5_000], 200));
    assert!(messages.is_empty(), "longer than the bound");
    assert!(assembler.lost() >= 1);
}

#[test]
fn refusals_say_where_and_why() {
    let good = frames(&[1, 2, 3], 200);
    assert_eq!(hex(&good), "6808086853ff100167010203d016");
    for (at, octet, offset, reason) in [
        (0, 0x10, 0, Malformed::Tag(0x10)),
        (2, 0x07, 2, Malformed::Length),
        (3, 0x69, 3, Malformed::Tag(0x69)),
        (8, 0x55, 12, Malformed::Checksum),
        (13, 0x17, 13, Malformed::Tag(0x17)),
    ] {
        let mut bad = good.clone();
        bad[at] = octet;
        let error = LongFrame::from_octets(&bad).unwrap_err();
        assert_eq!((error.offset, error.reason), (offset, reason));
    }
}

#[test]
fn mutated_streams_never_panic_and_never_lose_the_line() {
    let apdu: Vec<u8> = (0..=255).collect();
    let octets = frames(&apdu, 60);
    for seed in 0..10_000 {
        let mut random = Random::new(seed);
        let mut mutated = octets.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(mutated.len());
            match random.below(3) {
                0 => mutated[at] ^= 1 << random.below(8),
                1 => drop(mutated.remove(at)),
                _ => mutated.insert(at, 0x68),
            }
        }
        let (mut deframer, mut input) = (Deframer::new(), mutated.as_slice());
        while deframer.next(&mut input).is_some() {}
        while deframer.pause() {
            while deframer.next(&mut input).is_some() {}
        }
        let good = frames(&[9], 1);
        assert!(deframer.next(&mut good.as_slice()).is_some(), "seed {seed}");
        drop(receive(&mutated));
    }
}
