//! Frames of the SCION-IP gateway: what comes out of any of them is a packet.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use scion::sig::{Encoder, Reassembler, StreamId, packet_length};

fuzz_target!(|octets: &[u8]| {
    let mut reassembler = Reassembler::new();
    let mut packets = Vec::new();
    for part in octets.split(|octet| *octet == 0xa5) {
        let _ = reassembler.take(part, Duration::ZERO, |packet| {
            assert_eq!(packet_length(packet), Ok(packet.len()));
            packets.push(packet.to_vec());
        });
    }
    // Packets that were taken out go in and come out again.
    let mut encoder = Encoder::new(3, StreamId::new(4), 60);
    let mut again = Reassembler::new();
    let mut found = Vec::new();
    let mut frames = Vec::new();
    for packet in &packets {
        assert!(
            encoder
                .push(packet, |frame| frames.push(frame.to_vec()))
                .is_ok()
        );
    }
    encoder.flush(|frame| frames.push(frame.to_vec()));
    for frame in frames {
        assert!(
            again
                .take(&frame, Duration::ZERO, |packet| found.push(packet.to_vec()))
                .is_ok()
        );
    }
    assert_eq!(found, packets);
});
