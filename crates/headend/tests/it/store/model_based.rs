//! Evidence: the store against a map, over random sequences of ingests, seals and restarts.

use std::collections::BTreeMap;

use headend::store::{LOAD_PROFILE, Store};
use model::{Interval, IntervalStatus, Timestamp};
use proptest::prelude::*;

use crate::support::{MIDNIGHT, NOON, Site, sweep, wait, zurich};

/// The span under test: three days around the end of daylight saving would be as good; these
/// reach from two days before the ingest's day to its noon.
const SLOTS: usize = 96 * 2 + 48;
const FIRST: i64 = MIDNIGHT - 2 * 86_400;

#[derive(Clone, Debug)]
enum Step {
    Ingest(Vec<(usize, i64, u8)>),
    Seal,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let row = (
        0..SLOTS,
        0..3_i64,
        prop_oneof![5 => Just(0_u8), 1 => any::<u8>()],
    );
    let scattered = proptest::collection::vec(row, 1..30).prop_map(Step::Ingest);
    let run = (0..SLOTS, 1..120_usize, 0..3_i64).prop_map(|(first, length, value)| {
        let slots = first..(first + length).min(SLOTS);
        Step::Ingest(slots.map(|slot| (slot, value, 0)).collect())
    });
    prop_oneof![4 => scattered, 4 => run, 1 => Just(Step::Seal), 1 => Just(Step::Reopen)]
}

fn interval(slot: usize, value: i64, status: u8) -> Interval {
    Interval {
        start: Timestamp::from_secs(FIRST + i64::try_from(slot).unwrap() * 900),
        duration_s: 900,
        values: vec![Some(value * 1_000), (value > 0).then_some(value)],
        status: IntervalStatus::from_bits(status),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_store_agrees_with_a_map(steps in proptest::collection::vec(step(), 1..14)) {
        let mut site = Site::new();
        let meter = site.enrol(1);
        let mut map: BTreeMap<usize, Interval> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Ingest(given) => {
                    let rows: Vec<_> =
                        given.iter().map(|(slot, value, status)| interval(*slot, *value, *status)).collect();
                    let (mut added, mut changed, mut same) = (0, 0, 0);
                    // The store takes a sweep's rows day by day; within a day in their order.
                    for ((slot, _, _), row) in given.iter().zip(&rows) {
                        match map.insert(*slot, row.clone()) {
                            None => added += 1,
                            Some(old) if old == *row => same += 1,
                            Some(_) => changed += 1,
                        }
                    }
                    let stored = wait(site.store.ingest(sweep(meter, NOON, rows))).unwrap();
                    prop_assert_eq!((stored.added, stored.changed, stored.same), (added, changed, same));
                }
                Step::Seal => {
                    let before = zurich().day_of(NOON);
                    while wait(site.store.seal(before, 1)).unwrap() > 0 {}
                }
                Step::Reopen => site = site.reopen(),
            }
        }
        let span = FIRST..FIRST + i64::try_from(SLOTS).unwrap() * 900;
        let slices = site.store.rows(meter, LOAD_PROFILE, span.clone()).unwrap();
        let stored: Vec<Interval> = slices.into_iter().flat_map(|slice| slice.rows).collect();
        let expected: Vec<Interval> = map.values().cloned().collect();
        prop_assert_eq!(stored, expected);
        let counts = site.store.day_counts(zurich().day_of(FIRST)).unwrap();
        let received: usize = counts.iter().map(|count| count.received as usize).sum();
        prop_assert_eq!(received, map.len());
        let gaps = site.store.gaps(meter, LOAD_PROFILE, span).unwrap();
        let missing: usize = gaps.iter().map(|gap| gap.intervals as usize).sum();
        prop_assert_eq!(missing, SLOTS - map.len());
    }
}
