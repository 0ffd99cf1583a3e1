//! Octets that ask for much (A10): what decoding them allocates is bounded by
//! what they are. Evidence: robustness. A binary of its own, since it counts
//! every allocation of the process.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that fails shall stop where it does; helpers are not test functions"
)]

use std::hint::black_box;

use dlms::acse::{Aare, Aarq, Rlre, Rlrq};
use dlms::axdr::{Data, RawData};
use dlms::client::{Associate, Client, Config, Input, Output};
use dlms::codec::Wire;
use dlms::security::Header;
use dlms::xdlms::Apdu;
use dlms::{Instant, framing};
use peak_alloc::PeakAlloc;

#[global_allocator]
static PEAK: PeakAlloc = PeakAlloc;

/// The bound: this, and so many octets for each octet of input.
const BASE: usize = 64 * 1_024;
const FACTOR: usize = 4;

/// Runs `work` and gives the octets that it had allocated at most.
fn peak<T>(work: impl FnOnce() -> T) -> usize {
    let before = PEAK.current_usage();
    PEAK.reset_peak_usage();
    let made = work();
    let peak = PEAK.peak_usage();
    drop(made);
    peak.saturating_sub(before)
}

fn bombs() -> Vec<Vec<u8>> {
    let mut bombs = Vec::new();
    let lengths: [&[u8]; 6] = [
        &[0x84, 0xFF, 0xFF, 0xFF, 0xFF],
        &[0x84, 0x7F, 0xFF, 0xFF, 0xFF],
        &[0x83, 0xFF, 0xFF, 0xFF],
        &[0x82, 0xFF, 0xFF],
        &[0x88, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        &[0xFF],
    ];
    // Every tag of a value and of an APDU with lengths that are not there.
    for tag in 0..=u8::MAX {
        for length in lengths {
            bombs.push([&[tag], length].concat());
            for choice in 1..=5 {
                bombs.push([&[tag, choice, 0xC1], length, &[0; 8]].concat());
            }
            bombs.push([&[0xC4, 1, 0xC1, 0, tag], length].concat());
        }
    }
    for len in [1_000_usize, 20_000, 65_535] {
        // Nested as deep as there are octets, wide as there are octets.
        bombs.push([1, 1].repeat(len / 2));
        bombs.push([2, 1].repeat(len / 2));
        let mut wide = vec![1, 0x82];
        wide.extend_from_slice(&u16::try_from(len - 4).unwrap().to_be_bytes());
        wide.resize(len, 0);
        bombs.push([&[0xC4, 1, 0xC1, 0], wide.as_slice()].concat());
        bombs.push(wide);
        // A compact array of nothing, many times.
        bombs.push([&[0x13, 0, 0x82, 0xFF, 0xFF], vec![0; len].as_slice()].concat());
        bombs.push([&[0x13, 2, 0x81, 0xFF], vec![0; len].as_slice()].concat());
        // Lists of the shortest entries.
        bombs.push([&[0xC4, 3, 0xC1, 0x82, 0xFF, 0xFF], vec![1; len].as_slice()].concat());
        bombs.push([&[0xC5, 3, 0xC1, 0x82, 0x10, 0x00], vec![0; len].as_slice()].concat());
        bombs.push([&[0xC7, 3, 0xC1, 0x82, 0x10, 0x00], vec![0; len].as_slice()].concat());
        bombs.push([0x7E].repeat(len));
        bombs.push([0x68].repeat(len));
        bombs.push([0x60, 0x80].repeat(len / 2));
    }
    bombs
}

/// Trees cost what their nodes are: 48 octets for a value of one octet, up to
/// three times that while a list grows. What a peer sends is walked, for
/// nothing; trees are for people.
const TREE_FACTOR: usize = 3 * 48;

/// An entry of a list of one octet costs this, and a list has `LIST_MAX` of
/// them at most.
const LIST_FACTOR: usize = 40;

type Taker = (&'static str, usize, fn(&[u8]));

#[test]
fn decoding_allocates_no_more_than_a_few_times_its_input() {
    let takers: [Taker; 8] = [
        ("apdu", LIST_FACTOR, |octets| {
            black_box(Apdu::from_octets(octets).is_ok());
        }),
        ("walk", 0, |octets| {
            black_box(RawData::new(octets).walk().all(|event| event.is_ok()));
        }),
        ("tree", TREE_FACTOR, |octets| {
            drop(black_box(Data::from_octets(octets)));
        }),
        ("aarq", FACTOR, |octets| {
            black_box(Aarq::decode_lenient(octets).is_ok());
            black_box(Aare::decode_lenient(octets).is_ok());
        }),
        ("rlrq", FACTOR, |octets| {
            black_box(Rlrq::decode_lenient(octets).is_ok());
            black_box(Rlre::decode_lenient(octets).is_ok());
        }),
        ("header", 0, |octets| {
            black_box(Header::decode(octets).is_ok());
        }),
        ("framing", FACTOR, |octets| {
            black_box(framing::unframe(octets, framing::detect(octets)).is_ok());
        }),
        ("client", FACTOR, |octets| {
            let mut client = Client::new(Config::default(), None);
            client.handle(Input::Associate(Associate::default()), Instant::ORIGIN);
            client.handle(Input::Apdu(octets), Instant::ORIGIN);
            while !matches!(client.poll(), Output::Timeout(_)) {}
        }),
    ];
    let bombs = bombs();
    for (name, factor, take) in takers {
        let mut worst = (0, 0);
        for bomb in &bombs {
            let peak = peak(|| take(bomb));
            assert!(
                peak <= BASE + factor * bomb.len(),
                "{name}: {peak} octets for {} of {:02x?}",
                bomb.len(),
                bomb.get(..8)
            );
            worst = worst.max((peak, bomb.len()));
        }
        println!(
            "{name}: at most {} octets, for {} of input",
            worst.0, worst.1
        );
    }
}
