//! Firmware: from the maker's key to meters that run it.
//!
//! Evidence: self-agreement from end to end, over a power line in virtual time and over real
//! sockets; a bound that is computed twice, from different sides; OpenSSL on the maker's keys and
//! signatures where it is installed.

#[allow(dead_code, reason = "the benchmark uses all of it")]
pub(crate) mod line;
pub(crate) mod processes;

use std::time::Duration;

use serde_json::Value;

use crate::fleet::disk;
use crate::program::run;
use line::Plan;

/// The bound once more, from the slots of the line and from what was seen on it, with nothing of
/// the program's: 150 ms each, 36 octets of a MAC frame, of which 13 are not the message's, 131 of
/// a message in a frame.
fn recomputed(meters: u32, image: usize, credit: u8) -> f64 {
    let meters = f64::from(meters);
    let slot = 45.0 * 8.0 / 2_400.0 * (f64::from(credit) + 1.0);
    let message = |octets: usize| {
        let (full, rest) = (octets / 131, octets % 131);
        let slots = full * 4
            + if rest > 0 {
                (rest + 13).div_ceil(36)
            } else {
                0
            };
        f64::from(u32::try_from(slots).unwrap()) * slot
    };
    let blocks = image.div_ceil(80);
    let n = f64::from(u32::try_from(blocks).unwrap());
    let passes = 2.0 * n * message(BROADCAST);
    let association: f64 = ASSOCIATION.iter().map(|(_, octets)| message(*octets)).sum();
    let bitmap = message(ASK.1) + message(blocks.div_ceil(8) + 29);
    let rounds = 2.0 * meters * (association + bitmap);
    // Nobody lacks a block with (1 - 1/400)^meters, and one meter one of 8,000 after the third.
    let repair = n * (1.0 - (1.0 - 1.0 / 400.0_f64).powf(meters)) * message(BROADCAST);
    let alone = n * meters / 8_000.0 * (message(BLOCK.1) + message(BLOCK_DONE.1));
    passes + rounds + repair + alone
}

/// Messages as they are seen on the line: whether they go to a meter, and their octets.
const ASSOCIATION: [(bool, usize); 6] = [
    (true, 111),
    (false, 123),
    (true, 51),
    (false, 44),
    (true, 42),
    (false, 42),
];
const ASK: (bool, usize) = (true, 32);
const BLOCK: (bool, usize) = (true, 121);
const BLOCK_DONE: (bool, usize) = (false, 24);
const BROADCAST: usize = 130;

#[test]
fn the_bound_that_the_program_prints_comes_out_of_the_slots_as_well() {
    for (meters, image, credit) in [(1_200, 262_252, 0), (1_200, 262_252, 2), (40, 108_300, 0)] {
        let (count, size, repeated) = (meters.to_string(), image.to_string(), credit.to_string());
        let mut arguments = vec!["image", "plan", "--segment", "s-fsk", "--meters", &count];
        arguments.extend(["--size", &size, "--credit", &repeated, "--loss", "50"]);
        let told = run(&arguments);
        assert_eq!(told.status, 0, "{}", told.error);
        for line in told.output.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        let again = recomputed(meters, image, credit);
        let rounded = format!(" {again:.0} s ");
        let bound = told.output.lines().find(|line| line.starts_with("bound"));
        assert!(
            bound.unwrap().contains(&rounded),
            "{again}: {}",
            told.output
        );

        arguments.push("--json");
        let told: Value = run(&arguments).json();
        let bound = told["bound_s"].as_f64().unwrap();
        assert!((bound / again - 1.0).abs() < 1e-9, "{bound} and {again}");
        // A block's four slots, each repeated.
        assert_eq!(told["settings"]["pace_ms"], 600 * (u64::from(credit) + 1));
    }
    let told = run(&["image", "plan"]);
    assert_eq!(told.status, 2);
}

#[test]
fn an_image_reaches_a_street_within_the_bound() {
    let found = line::run(Plan {
        credit: 0,
        meters: 60,
        content: 24_000,
        loss: 50,
        seed: 6,
        told: |_, _| {},
    });
    let ratio = found.transfer_s / found.bound.all_s;
    println!("{:?}\n{:.0} s, {ratio:.3}", found.bound, found.transfer_s);
    assert_eq!((found.verified, found.active), (60, 60));
    assert!(ratio < 1.3, "{ratio:.3}: {found:?}");
    let taken = Duration::from_secs(u64::try_from(found.taken_s).unwrap());
    assert!(
        (taken.as_secs_f64() - found.transfer_s).abs() < 3.0,
        "{found:?}"
    );
    asked_twice_at_most(&found);
    assert!(found.blocks_broadcast >= 2 * u64::from(found.bound.blocks));
    // What the bound takes messages to be, they are: of 60 meters each is told, asked, served,
    // and told to activate.
    for message in ASSOCIATION {
        assert!(found.sizes[&message] >= 4 * 60, "{message:?}: {found:?}");
    }
    assert!(found.sizes[&ASK] >= 60 && found.sizes[&BLOCK] > 0);
    // The answer: a bit for each of 302 blocks, with less around it than long ones have.
    assert!(found.sizes[&(false, 38 + 27)] >= 60, "{found:?}");
    assert!(found.sizes[&BLOCK_DONE] >= found.sizes[&BLOCK]);
}

/// Nobody is asked before the last pass is over, and nobody more often than once a round: in the
/// head end's own record, by the meters' own count, and by the answers on the line.
fn asked_twice_at_most(found: &line::Found) {
    let meters = found.verified;
    assert!(found.first_bitmap_after_s > 0.0, "{found:?}");
    let [asking, finishing] = found.rounds;
    assert_eq!((asking.meters, asking.most), (meters, 1), "{found:?}");
    assert!(finishing.most <= 1, "{found:?}");
    assert_eq!(found.bitmaps, asking.reads + finishing.reads, "{found:?}");
    assert!(found.bitmaps_of_one <= 2, "{found:?}");
}

/// The figures of `docs/firmware.md`, as the benchmark prints them.
#[test]
#[ignore = "takes minutes: cargo bench -p gridward --bench firmware holds the same to the same"]
fn a_street_of_1200_takes_256_kib_within_the_bound() {
    for credit in [0, 2] {
        let found = line::run(Plan {
            credit,
            meters: 1_200,
            content: 256 * 1_024,
            loss: 50,
            seed: 1,
            told: |_, _| {},
        });
        let ratio = found.transfer_s / found.bound.all_s;
        println!("credit {credit}: {ratio:.3} of it: {found:?}");
        assert_eq!((found.verified, found.active), (1_200, 1_200));
        assert!(ratio < 1.3, "{ratio:.3}");
        asked_twice_at_most(&found);
    }
}
