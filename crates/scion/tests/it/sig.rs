//! Frames of the gateway. Evidence: the reference implementation's frames both
//! ways, and every order of loss, doubling and reordering of random packets.

use std::time::Duration;

use proptest::prelude::*;
use scion::sig::{
    Counters, Encoder, FrameError, HEADER, MAX_STREAMS, NotIp, Reassembler, StreamId,
};
use serde_json::Value;

use crate::hex;

const NOW: Duration = Duration::from_secs(1);

fn texts(value: &Value) -> Vec<Vec<u8>> {
    let texts = value.as_array().unwrap();
    texts
        .iter()
        .map(|text| hex(text.as_str().unwrap()))
        .collect()
}

fn frames(max_frame: usize, packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut encoder = Encoder::new(1, StreamId::new(2), max_frame);
    for packet in packets {
        encoder
            .push(packet, |frame| frames.push(frame.to_vec()))
            .unwrap();
    }
    encoder.flush(|frame| frames.push(frame.to_vec()));
    encoder.flush(|_| panic!("nothing is left"));
    frames
}

fn packets(frames: &[Vec<u8>]) -> (Vec<Vec<u8>>, Counters) {
    let mut packets = Vec::new();
    let mut reassembler = Reassembler::new();
    for frame in frames {
        reassembler
            .take(frame, NOW, |packet| packets.push(packet.to_vec()))
            .unwrap();
    }
    (packets, reassembler.counters())
}

#[test]
fn frames_are_those_of_the_reference() {
    let vectors: Value = serde_json::from_str(include_str!("../data/sig_frames.json")).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 5);
    for vector in vectors {
        let max_frame = usize::try_from(vector["mtu"].as_u64().unwrap()).unwrap();
        let expected = texts(&vector["frames"]);
        assert_eq!(
            frames(max_frame, &texts(&vector["packets"])),
            expected,
            "{}",
            vector["name"]
        );
        let (found, counters) = packets(&expected);
        assert_eq!(found, texts(&vector["packets"]), "{}", vector["name"]);
        assert_eq!(counters.malformed + counters.missing + counters.torn, 0);
    }
}

/// An IPv4 or IPv6 packet with `length` octets behind its fixed header.
fn packet(six: bool, length: u16, fill: u8) -> Vec<u8> {
    let mut packet = if six { vec![0; 40] } else { vec![0; 20] };
    if six {
        packet[0] = 0x60;
        packet[4..6].copy_from_slice(&length.to_be_bytes());
    } else {
        packet[0] = 0x45;
        packet[2..4].copy_from_slice(&(length + 20).to_be_bytes());
    }
    packet.resize(packet.len() + usize::from(length), fill);
    packet
}

#[test]
fn what_is_no_packet_is_left_out() {
    let mut encoder = Encoder::new(0, StreamId::new(0), 1_000);
    let mut push = |packet: &[u8]| {
        encoder
            .push(packet, |_| panic!("nothing to send"))
            .unwrap_err()
    };
    assert_eq!(push(&[]), NotIp::Empty);
    assert_eq!(push(&[0x15; 30]), NotIp::Version(1));
    assert_eq!(push(&[0x45; 19]), NotIp::Header);
    assert_eq!(push(&[0x60; 39]), NotIp::Header);
    assert_eq!(push(&[0; 0]), NotIp::Empty);
    let mut short = packet(false, 10, 0);
    short.pop();
    assert_eq!(
        push(&short),
        NotIp::Octets {
            said: 30,
            there: 29
        }
    );
    short[3] = 19;
    assert_eq!(push(&short), NotIp::Length(19));
    encoder.flush(|_| panic!("nothing to send"));
}

#[test]
fn malformed_frames_say_where() {
    let mut reassembler = Reassembler::new();
    let mut take = |frame: &[u8]| reassembler.take(frame, NOW, |_| ()).unwrap_err();
    assert_eq!(take(&[0; 15]), FrameError::Short(15));
    assert_eq!(take(&[1; 20]), FrameError::Version(1));
    let good = frames(200, &[packet(false, 20, 7)]).remove(0);
    let mut behind = good.clone();
    behind[3] = 40;
    assert_eq!(
        take(&behind),
        FrameError::Start {
            start: 40,
            length: 40
        }
    );
    let mut other = good;
    other[HEADER] = 0x75;
    assert_eq!(
        take(&other),
        FrameError::Packet {
            at: 16,
            reason: NotIp::Version(7)
        }
    );
    assert_eq!(reassembler.counters().malformed, 4);
}

#[test]
fn a_rest_of_another_length_is_never_handed_on() {
    let frames = frames(100, &[packet(false, 100, 1), packet(false, 5, 2)]);
    assert_eq!(frames.len(), 2);
    let mut shorter = frames[1].clone();
    shorter.remove(HEADER);
    shorter[3] -= 1;
    let mut reassembler = Reassembler::new();
    let mut got = Vec::new();
    reassembler
        .take(&frames[0], NOW, |packet| got.push(packet.to_vec()))
        .unwrap();
    let fault = reassembler.take(&shorter, NOW, |packet| got.push(packet.to_vec()));
    assert_eq!(
        fault,
        Err(FrameError::Rest {
            missing: 36,
            there: 35
        })
    );
    assert_eq!(got, [packet(false, 5, 2)], "what follows is whole");
    assert_eq!(reassembler.counters().torn, 1);
}

#[test]
fn flows_are_bounded_and_a_silent_one_is_forgotten() {
    let frame = |stream: u32, sequence: u8| {
        let mut frame = frames(200, &[packet(false, 20, 7)]).remove(0);
        frame[4..8].copy_from_slice(&stream.to_be_bytes());
        frame[15] = sequence;
        frame
    };
    let mut reassembler = Reassembler::new();
    let mut got = 0;
    for stream in 0..1_000_u32 {
        let now = NOW + Duration::from_millis(u64::from(stream));
        reassembler
            .take(&frame(stream, 5), now, |_| got += 1)
            .unwrap();
    }
    assert_eq!(got, 1_000);
    assert_eq!(
        reassembler.counters().evicted,
        1_000 - u64::try_from(MAX_STREAMS).unwrap()
    );
    // The same number anew: late at once, heard after the silence.
    reassembler
        .take(&frame(999, 0), NOW, |_| panic!("late"))
        .unwrap();
    assert_eq!(reassembler.counters().late, 1);
    let later = NOW + Duration::from_secs(60);
    reassembler
        .take(&frame(999, 0), later, |_| got += 1)
        .unwrap();
    assert_eq!(got, 1_001);
}

proptest! {
    /// Whatever was put in comes out, in any frame length.
    #[test]
    fn packets_come_out_as_they_went_in(
        lengths in prop::collection::vec((any::<bool>(), 0_u16..3_000), 1..20),
        max_frame in 56_usize..2_000,
    ) {
        let sent: Vec<_> = lengths
            .iter()
            .enumerate()
            .map(|(index, (six, length))| packet(*six, *length, u8::try_from(index).unwrap()))
            .collect();
        let frames = frames(max_frame, &sent);
        prop_assert!(frames.iter().all(|frame| frame.len() <= max_frame));
        let (found, counters) = packets(&frames);
        prop_assert_eq!(&found, &sent);
        prop_assert_eq!(counters.packets, u64::try_from(sent.len()).unwrap());
    }

    /// With frames lost, doubled and swapped, each packet that comes out is
    /// one that went in, in order, and none twice.
    #[test]
    fn a_bad_way_loses_but_never_makes_packets(
        lengths in prop::collection::vec(0_u16..400, 1..30),
        max_frame in 56_usize..300,
        fates in prop::collection::vec(0_u8..12, 200),
    ) {
        let sent: Vec<_> = lengths
            .iter()
            .enumerate()
            .map(|(index, length)| packet(index % 3 == 0, *length, u8::try_from(index).unwrap()))
            .collect();
        let mut way = Vec::new();
        for (frame, fate) in frames(max_frame, &sent).into_iter().zip(fates.iter().cycle()) {
            match fate {
                0 => {}
                1 => way.extend([frame.clone(), frame]),
                2 => {
                    let place = way.len().saturating_sub(1);
                    way.insert(place, frame);
                }
                _ => way.push(frame),
            }
        }
        let (found, _) = packets(&way);
        let mut rest = sent.iter();
        for packet in &found {
            prop_assert!(rest.any(|one| one == packet), "out of order, doubled or made up");
        }
    }

    /// No octets make the reassembly panic or grow.
    #[test]
    fn any_octets_are_taken_or_refused(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..40)) {
        let mut reassembler = Reassembler::new();
        let mut faults = 0;
        for mut part in parts {
            if let Some(version) = part.first_mut() {
                *version = 0;
            }
            let taken = reassembler.take(&part, NOW, |packet| assert!(packet.len() >= 20));
            prop_assert_eq!(taken.is_err(), reassembler.counters().malformed > faults);
            faults = reassembler.counters().malformed;
        }
    }
}
