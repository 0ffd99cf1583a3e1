//! What two concentrators say to each other: what decodes encodes to the same octets, and who hears
//! it in any state goes on.
#![no_main]

use std::time::Duration;

use concentrator::pair::lease::{Mode, Side, Terms};
use concentrator::direct::SegmentId;
use concentrator::pair::wire::{Hello, Word};
use concentrator::pair::{Kept, Output, Pair, REGISTERED_MAX, Settings};
use dlms::Instant;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let name = |number: u32| format!("GWD1DC{number:010}").parse().expect("a name");
    let mut now = Instant::ORIGIN;
    let settings = Settings {
        name: name(1),
        peer: name(2),
        terms: Terms {
            side: Side::First,
            mode: Mode::Active,
            homes: vec![Side::First, Side::Second],
            lease: Duration::from_secs(3),
        },
    };
    let mut pair = Pair::new(settings, Kept::default(), 0, now);
    pair.connected(now);
    let hello = Word::Hello(Hello {
        side: Side::Second,
        mode: Mode::Active,
        segments: 2,
        epoch: 4,
        adopted: 0,
        newest: 0,
        name: name(2),
        peer: name(1),
    });
    pair.received(&hello.to_octets(), now);
    // One that is registered here, and told.
    let own = link::Registration {
        initiator: [1; 8],
        address: 7,
        title: [2; 8],
        hops: 0,
    };
    pair.joined(SegmentId(0), link::Node(7), own);
    // Words with a length of one octet before each, and time between.
    let mut rest = octets;
    while let Some((len, after)) = rest.split_first() {
        let (word, after) = after.split_at(usize::from(*len).min(after.len()));
        rest = after;
        if let Ok(read) = Word::from_octets(word) {
            let written = read.to_octets();
            assert_eq!(Word::from_octets(&written).as_ref(), Ok(&read));
        }
        now = now + Duration::from_millis(200);
        pair.received(word, now);
        pair.turn(now);
        while let Some(output) = pair.poll() {
            match output {
                Output::Snapshot => pair.snapshot(Vec::new()),
                Output::Absorb { body, .. } => {
                    pair.absorbed(body.clone());
                    pair.made(body);
                }
                _ => {}
            }
        }
        pair.drained();
        assert!(pair.status(now).registrations <= REGISTERED_MAX);
    }
    for segment in [SegmentId(0), SegmentId(1)] {
        let told = pair.take_registrations(segment);
        assert!(told.iter().all(|meter| meter.segment == segment));
    }
    assert_eq!(pair.status(now).registrations, 0);
});
