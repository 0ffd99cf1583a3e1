//! Firmware for a street over a power line, in virtual time: the head end's campaign, the meters
//! and the line; against the bound that follows from the line's parameters.
//!
//! `cargo bench -p gridward --bench firmware [-- METERS [BLOCKS]]`
//!
//! 1,200 meters and 256 KiB of content unless told otherwise; BLOCKS are those that the whole image
//! fills. `-- 60 24` tells soon whether it works; images are held to the bound from 24,000 octets
//! on. What goes on is told on the standard error.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::float_arithmetic,
    dead_code,
    reason = "a benchmark reads the clock, prints, and stops where it fails"
)]

#[path = "../../../meter/tests/it/disk.rs"]
mod disk;
#[path = "../../tests/it/firmware/line.rs"]
mod line;

use std::time::Instant;

use headend::campaigns::BOUND_FACTOR;
use line::Plan;
use meter::firmware::BLOCK_LEN;

/// Octets of content from which on what each meter takes to verify, which the bound leaves out, is
/// little beside the rest.
const COMPARED_FROM: usize = 24_000;

fn main() {
    let numbers: Vec<u32> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .map(|word| word.parse().expect("METERS and BLOCKS are numbers"))
        .collect();
    let meters = u16::try_from(numbers.first().copied().unwrap_or(1_200)).unwrap();
    let content = numbers.get(1).map_or(256 * 1_024, |blocks| {
        // Header and signature are in the first of them.
        let before = line::image(1).0.len() - 1;
        let image = usize::try_from(blocks * BLOCK_LEN).unwrap();
        image.checked_sub(before).expect("BLOCKS is 2 or more")
    });
    for credit in [0, 2] {
        let begun = Instant::now();
        eprintln!("credit {credit}: {meters} meters register");
        let found = line::run(Plan {
            credit,
            meters,
            content,
            loss: 50,
            seed: 1,
            told: |phase, at| eprintln!("  {phase} at {at:.0} s of the line's time"),
        });
        let bound = found.bound;
        println!(
            "\nS-FSK, credit {credit}, {meters} meters, {content} octets, 5 % of the blocks lost\n\
             bound {:.0} s = {:.2} h: passes {:.0} s, two rounds {:.0} s, repair by broadcast \
             {:.0} s, alone {:.0} s; by unicast {:.1} days",
            bound.all_s,
            bound.all_s / 3_600.0,
            bound.passes_s,
            bound.rounds_s,
            bound.repair_s,
            bound.alone_s,
            bound.unicast_s / 86_400.0
        );
        let [passes, asking, repair, finishing] = found.parts_s;
        println!(
            "measured {:.0} s = {:.2} h, {:.3} of the bound: passes {passes:.0} s, asking \
             {asking:.0} s, repair {repair:.0} s, rest alone and verifying {finishing:.0} s",
            found.transfer_s,
            found.transfer_s / 3_600.0,
            found.transfer_s / found.bound.all_s,
        );
        println!(
            "before it {:.0} s to tell all meters; behind it {:.0} s to activate; {} of {meters} \
             verified, {} run it",
            found.initiate_s, found.activate_s, found.verified, found.active
        );
        println!(
            "{} blocks broadcast; wire in use {:.0} s",
            found.blocks_broadcast, found.airtime_s
        );
        for (round, what) in found.rounds.iter().zip(["asking", "finishing"]) {
            println!(
                "bitmaps, by the head end's record: {what}, {} of {} meters, at most {} of one",
                round.reads, round.meters, round.most
            );
        }
        println!(
            "bitmaps, by the meters' count: {}, at most {} of one; answers of that length on the \
             line: {}, at most {} of one",
            found.bitmaps, found.bitmaps_of_one, found.as_long, found.as_long_of_one
        );
        println!("computed in {:.1} s", begun.elapsed().as_secs_f64());
        if std::env::args().any(|word| word == "--sizes") {
            println!(
                "messages to (true) and from single meters, by octets: {:?}",
                found.sizes
            );
        }
        let within = found.transfer_s < BOUND_FACTOR * bound.all_s;
        if content < COMPARED_FROM {
            println!("the image is too short to be held to the bound");
        }
        let within = within || content < COMPARED_FROM;
        assert!(within && found.active == usize::from(meters));
        assert!(found.rounds.iter().all(|round| round.most <= 1) && found.bitmaps_of_one <= 2);
        assert!(found.first_bitmap_after_s > 0.0);
    }
}
