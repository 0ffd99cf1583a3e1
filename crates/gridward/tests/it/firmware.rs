//! Firmware: from the maker's key to meters that run it.
//!
//! Evidence: self-agreement from end to end, over a power line in virtual time and over real
//! sockets; a bound that is computed twice, from different sides; OpenSSL on the maker's keys and
//! signatures where it is installed.

mod bound;
#[allow(dead_code, reason = "the benchmark uses all of it")]
mod line;
mod processes;

use sim::powerline::{SFsk, Technology};

use crate::fleet::disk;
use bound::Bound;
use line::Plan;

/// The bound once more, from the slots of the line: 150 ms each, 36 octets of a MAC frame, of
/// which 13 are not the message's, 131 of a message in a frame.
fn recomputed(meters: f64, image: usize, credit: f64) -> f64 {
    let slot = 45.0 * 8.0 / 2_400.0 * (credit + 1.0);
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
    let passes = 2.0 * n * message(130);
    let association: f64 = bound::ASSOCIATION
        .iter()
        .map(|octets| message(*octets))
        .sum();
    let bitmap = message(bound::ASK) + message(blocks.div_ceil(8) + bound::AROUND_BITS);
    let rounds = 2.0 * meters * (association + bitmap);
    // Nobody lacks a block with (1 - 1/400)^meters, and one meter one of 8,000 after the third.
    let repair = n * (1.0 - (1.0 - 1.0 / 400.0_f64).powf(meters)) * message(130);
    let alone = n * meters / 8_000.0 * (message(121) + message(24));
    passes + rounds + repair + alone
}

#[test]
fn the_bound_comes_out_of_the_slots_as_well() {
    for (meters, image, credit) in [
        (1_200_u32, 262_252, 0_u8),
        (1_200, 262_252, 2),
        (40, 8_300, 0),
    ] {
        let technology = Technology::SFsk(SFsk {
            credit,
            ..SFsk::default()
        });
        let bound = Bound::of(&technology, meters, image, 50);
        let again = recomputed(f64::from(meters), image, f64::from(credit));
        let off = (bound.all_s / again - 1.0).abs();
        assert!(off < 1e-9, "{} and {again}", bound.all_s);
    }
}

#[test]
fn an_image_reaches_a_street_within_the_bound() {
    let found = line::run(Plan {
        technology: Technology::SFsk(SFsk::default()),
        meters: 60,
        content: 24_000,
        loss: 50,
        seed: 5,
    });
    let ratio = found.transfer_s / found.bound.all_s;
    println!("{}\n{:.0} s, {ratio:.3}", found.bound, found.transfer_s);
    assert_eq!((found.verified, found.active), (60, 60));
    assert!(ratio < 1.3, "{ratio:.3}: {found:?}");
    // Nobody is asked before the second pass is over, and nobody more than twice.
    assert!(found.first_bitmap_after_s > 0.0, "{found:?}");
    assert!(
        found.bitmaps >= 60 && found.bitmaps_of_one <= 2,
        "{found:?}"
    );
    assert!(found.blocks_broadcast >= 2 * found.bound.blocks as u64);
}

/// The figures of `docs/perf.md`, as the benchmark prints them.
#[test]
#[ignore = "takes minutes: cargo bench -p gridward --bench firmware prints the same"]
fn a_street_of_1200_takes_256_kib_within_the_bound() {
    for credit in [0, 2] {
        let found = line::run(Plan {
            technology: Technology::SFsk(SFsk {
                credit,
                ..SFsk::default()
            }),
            meters: 1_200,
            content: 256 * 1_024,
            loss: 50,
            seed: 1,
        });
        let ratio = found.transfer_s / found.bound.all_s;
        println!(
            "credit {credit}: {}\n{ratio:.3} of it: {found:?}",
            found.bound
        );
        assert_eq!((found.verified, found.active), (1_200, 1_200));
        assert!(ratio < 1.3, "{ratio:.3}");
        assert!(found.first_bitmap_after_s > 0.0 && found.bitmaps_of_one <= 2);
    }
}
