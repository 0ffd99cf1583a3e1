//! A radio processor that says anything: as octets of its line, and as whole
//! frames of EZSP; what leaves for it stays within the table.
#![no_main]

use dlms::{Duration, Instant};
use han::ash::{Deframer, Frame};
use han::egress;
use han::ezsp::{Received, Sent};
use han::radio::{Config, Input, Output, Radio};
use han::zdo;
use libfuzzer_sys::fuzz_target;

fn found<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<Option<Frame>> {
    let mut deframer = Deframer::new();
    let mut found = Vec::new();
    for mut part in parts {
        while let Some(frame) = deframer.next(&mut part) {
            found.push(frame);
        }
    }
    found
}

/// Does what the machine wants; tells the number that it expects next.
fn settle(radio: &mut Radio, next: &mut u8) {
    loop {
        match radio.poll() {
            Output::Write(octets) => {
                for frame in found(core::iter::once(octets.as_slice())) {
                    match frame.expect("what leaves is a frame") {
                        Frame::Data { data, number, .. } => {
                            assert!(egress::check_radio(&data).is_ok());
                            *next = (number + 1) & 7;
                        }
                        Frame::Ack { .. } | Frame::Nak { .. } | Frame::Rst => {}
                        other => panic!("{other:?}"),
                    }
                }
            }
            Output::Timeout(_) => return,
            _ => {}
        }
    }
}

fuzz_target!(|octets: &[u8]| {
    let whole = found(core::iter::once(octets));
    assert_eq!(whole, found(octets.chunks(1)));
    let _ = (Received::decode(octets), Sent::decode(octets));
    for cluster in [0x8000, 0x8001, 0x8004, 0x8006] {
        let _ = zdo::Response::decode(cluster, octets);
    }
    if egress::check_radio(octets).is_ok() {
        assert!(Sent::decode(octets).is_some());
    }
    let config = Config {
        meter: None,
        network: None,
        channels: 0x07FF_F800,
        key: Some([7; 16].into()),
    };
    let mut now = Instant::ORIGIN;
    let mut radio = Radio::new(config, now);
    let mut next = 0;
    settle(&mut radio, &mut next);
    let up = Frame::RstAck { version: 2, code: 2 };
    radio.handle(Input::Octets(&up.to_octets()), now);
    settle(&mut radio, &mut next);
    for (number, line) in octets.split(|octet| *octet == b'\n').take(64).enumerate() {
        let frame = Frame::Data {
            number: u8::try_from(number & 7).unwrap_or_default(),
            again: false,
            acknowledged: next,
            data: line.iter().copied().take(128).collect(),
        };
        radio.handle(Input::Octets(&frame.to_octets()), now);
        radio.handle(Input::Ask { number: 1 }, now);
        settle(&mut radio, &mut next);
        now = now + Duration::from_millis(500);
        radio.handle(Input::Elapsed, now);
        settle(&mut radio, &mut next);
    }
    radio.handle(Input::Octets(octets), now);
    settle(&mut radio, &mut next);
});
