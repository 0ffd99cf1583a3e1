//! Evidence: self-agreement, in virtual time: the planner against bounds that must always hold,
//! over random outcomes, and single rules by example.

use std::collections::{BTreeMap, BTreeSet};

use headend::CollectorConfig;
use headend::collector::{Line, Next, Outcome, Planned, Planner, Priority, Task};
use headend::store::Failure;
use model::{MeterId, Timestamp};
use proptest::prelude::*;

use crate::support::NOON;

fn config() -> CollectorConfig {
    CollectorConfig {
        every_s: 900,
        delay_s: 20,
        concurrency: 8,
        endpoint_concurrency: 3,
        retry_first_s: 30,
        retry_longest_s: 3_600,
        ..CollectorConfig::default()
    }
}

fn meter(number: u64) -> MeterId {
    MeterId::new(number).unwrap()
}

fn planned(number: u64, endpoint: u64) -> Planned {
    Planned {
        meter: meter(number),
        endpoint: format!("tcp://10.0.0.{endpoint}:4059"),
        line: Line::default(),
        failures: 0,
        is_new: true,
    }
}

const DONE: Outcome = Outcome::Done { more: false };

fn failed(reason: Failure) -> Outcome {
    Outcome::Failed { reason }
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(NOON + secs)
}

fn start_all(planner: &mut Planner, now: Timestamp) -> Vec<Task> {
    let mut tasks = Vec::new();
    while let Next::Start(task) = planner.next(now) {
        tasks.push(task);
    }
    tasks
}

#[test]
fn a_new_meter_is_due_at_once_and_then_after_each_interval() {
    let mut planner = Planner::new(config());
    planner.put(planned(1, 1), at(100), 0);
    let Next::Start(task) = planner.next(at(100)) else {
        panic!("nothing started");
    };
    assert_eq!(task.priority, Priority::Scheduled);
    assert_eq!(planner.next(at(101)), Next::Idle);
    planner.finished(meter(1), DONE, at(105), 7);
    assert_eq!(planner.next(at(105)), Next::Wait(at(920).plus_millis(7)));
    assert!(matches!(planner.next(at(921)), Next::Start(_)));
}

#[test]
fn failures_wait_longer_and_longer_up_to_a_bound() {
    let mut planner = Planner::new(config());
    planner.put(planned(1, 1), at(0), 0);
    let mut now = at(0);
    let mut waits = Vec::new();
    for _ in 0..10 {
        assert_eq!(start_all(&mut planner, now).len(), 1);
        planner.finished(meter(1), failed(Failure::NoAnswer), now, u32::MAX);
        let Next::Wait(until) = planner.next(now) else {
            panic!("started at once");
        };
        waits.push(until.millis_since(now) / 1_000);
        now = until;
    }
    assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]), "{waits:?}");
    assert!((15..=30).contains(&waits[0]));
    assert!((1_800..=3_600).contains(&waits[9]));
    // An answer makes good.
    assert_eq!(start_all(&mut planner, now).len(), 1);
    planner.finished(meter(1), DONE, now, 0);
    let Next::Wait(until) = planner.next(now) else {
        panic!("started at once");
    };
    assert!(until.millis_since(now) <= 900_000);
}

#[test]
fn an_endpoint_takes_so_many_at_once_and_one_while_it_is_unreachable() {
    let mut planner = Planner::new(config());
    for number in 1..=10 {
        planner.put(planned(number, 1), at(0), 0);
    }
    let first = start_all(&mut planner, at(0));
    assert_eq!(first.len(), 3);
    for task in first {
        planner.finished(task.meter, failed(Failure::Unreachable), at(1), 0);
    }
    let probe = start_all(&mut planner, at(1));
    assert_eq!(probe.len(), 1);
    planner.finished(probe[0].meter, DONE, at(2), 0);
    assert_eq!(start_all(&mut planner, at(2)).len(), 3);
}

const fn line(number: u32, at_once: usize) -> Line {
    Line { number, at_once }
}

#[test]
fn a_line_takes_so_many_at_once_and_the_endpoint_bounds_all_of_them() {
    let mut planner = Planner::new(config());
    // Two lines behind one endpoint, which takes three.
    for number in 1..=8 {
        let line = if number <= 4 { line(1, 1) } else { line(2, 16) };
        planner.put(
            Planned {
                line,
                ..planned(number, 1)
            },
            at(0),
            0,
        );
    }
    let numbers = |tasks: &[Task]| -> Vec<u64> {
        let numbers = tasks.iter().map(|task| task.meter.number());
        numbers.collect()
    };
    let first = start_all(&mut planner, at(0));
    assert_eq!(numbers(&first), [1, 5, 6]);
    planner.finished(meter(5), DONE, at(1), 0);
    assert_eq!(numbers(&start_all(&mut planner, at(1))), [7]);
    planner.finished(meter(1), DONE, at(1), 0);
    assert_eq!(numbers(&start_all(&mut planner, at(1))), [2]);
    assert_eq!((planner.running(), planner.queued()), (3, 3));
    // All turn out to hang on one slow line, those that are being read as well.
    for number in 1..=8 {
        planner.hang(meter(number), line(3, 2));
    }
    assert_eq!((planner.running(), planner.queued()), (3, 3));
    planner.finished(meter(2), DONE, at(2), 0);
    assert!(start_all(&mut planner, at(2)).is_empty());
    planner.finished(meter(6), DONE, at(2), 0);
    assert_eq!(numbers(&start_all(&mut planner, at(2))), [3]);
    // And it turns out not to be so slow.
    for number in 1..=8 {
        planner.hang(meter(number), line(3, 16));
    }
    assert_eq!(numbers(&start_all(&mut planner, at(2))), [4]);
    // Nobody is known twice, and who is not known is not put in.
    planner.hang(meter(99), line(3, 16));
    assert!(!planner.ask(meter(99), at(2)));
}

#[test]
fn what_somebody_asks_for_goes_first_and_gaps_go_last() {
    let mut planner = Planner::new(CollectorConfig {
        concurrency: 1,
        ..config()
    });
    for number in 1..=4 {
        planner.put(planned(number, number), at(0), 0);
    }
    assert_eq!(start_all(&mut planner, at(0))[0].meter, meter(1));
    assert!(planner.ask(meter(4), at(1)));
    assert!(planner.ask(meter(1), at(1)));
    assert!(!planner.ask(meter(99), at(1)));
    planner.finished(meter(1), Outcome::Done { more: true }, at(2), 0);
    let mut order = Vec::new();
    while let Next::Start(task) = planner.next(at(3)) {
        order.push((task.meter.number(), task.priority));
        let more = task.meter == meter(1) && order.len() < 3;
        planner.finished(task.meter, Outcome::Done { more }, at(3), 0);
    }
    assert_eq!(
        order,
        [
            (4, Priority::Asked),
            (1, Priority::Asked),
            (2, Priority::Scheduled),
            (3, Priority::Scheduled),
            (1, Priority::Backfill),
        ]
    );
}

#[test]
fn a_meter_moves_to_another_endpoint() {
    let mut planner = Planner::new(config());
    planner.put(planned(1, 1), at(0), 0);
    assert_eq!(start_all(&mut planner, at(0)).len(), 1);
    planner.put(planned(1, 2), at(0), 0);
    planner.finished(meter(1), failed(Failure::Unreachable), at(1), 0);
    // The new endpoint is not the one that failed: three at once.
    for number in 2..=4 {
        planner.put(planned(number, 2), at(1), 0);
    }
    assert_eq!(start_all(&mut planner, at(1)).len(), 3);
    for number in 2..=4 {
        planner.finished(meter(number), DONE, at(2), 0);
    }
    let retried = start_all(&mut planner, at(17));
    assert_eq!(retried[0].meter, meter(1));
}

proptest! {
    #[test]
    fn bounds_hold_and_nobody_starves(
        endpoints in proptest::collection::vec(0_u64..6, 1..60),
        // Meters hang on two lines of each endpoint, the second of which takes one.
        slow in proptest::collection::vec(any::<bool>(), 60),
        rehung in proptest::collection::vec((1_u64..60, any::<bool>()), 400),
        outcomes in proptest::collection::vec((0_u8..6, any::<u32>(), 0_i64..40), 400),
    ) {
        let config = config();
        let mut planner = Planner::new(config.clone());
        let mut now = at(0);
        let mut random = outcomes.iter().map(|(_, random, _)| *random).cycle();
        for (number, endpoint) in (1..).zip(&endpoints) {
            planner.put(planned(number, *endpoint), now, random.next().unwrap());
        }
        let mut lines: BTreeMap<u64, Line> = BTreeMap::new();
        for (number, slow) in (1..).zip(&slow) {
            let line = if *slow { line(2, 1) } else { line(1, 9) };
            lines.insert(number, line);
            planner.hang(meter(number), line);
        }
        let mut rehung = rehung.into_iter();
        let mut moved = BTreeSet::new();
        let mut running: Vec<MeterId> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut steps = outcomes.iter();
        loop {
            let next = planner.next(now);
            if let Next::Start(task) = next {
                prop_assert!(!running.contains(&task.meter), "started twice");
                running.push(task.meter);
                seen.insert(task.meter);
                prop_assert!(running.len() <= config.concurrency);
                let mut load: BTreeMap<u64, usize> = BTreeMap::new();
                let mut on_slow: BTreeMap<u64, usize> = BTreeMap::new();
                for meter in &running {
                    let index = usize::try_from(meter.number()).unwrap() - 1;
                    *load.entry(endpoints[index]).or_default() += 1;
                    // Those that came to hang there while they were read were not begun for it.
                    if lines[&meter.number()].number == 2 && !moved.contains(meter) {
                        *on_slow.entry(endpoints[index]).or_default() += 1;
                    }
                }
                prop_assert!(on_slow.values().all(|n| *n <= 1));
                prop_assert!(load.values().all(|n| *n <= config.endpoint_concurrency));
                continue;
            }
            prop_assert_eq!(planner.running(), running.len());
            let Some((outcome, random, wait)) = steps.next() else { break };
            now = now.plus_secs(*wait);
            if let Some((number, slow)) = rehung.next() {
                let line = if slow { line(2, 1) } else { line(1, 9) };
                lines.insert(number, line);
                planner.hang(meter(number), line);
                if running.contains(&meter(number)) {
                    moved.insert(meter(number));
                }
            }
            if running.is_empty() {
                match next {
                    Next::Wait(until) => now = until,
                    Next::Idle | Next::Start(_) => prop_assert!(false, "all meters are lost"),
                }
                continue;
            }
            let meter = running.remove(usize::from(*outcome) % running.len());
            moved.remove(&meter);
            let outcome = match outcome {
                0 => failed(Failure::Unreachable),
                1 => failed(Failure::NoAnswer),
                2 => Outcome::Done { more: true },
                _ => DONE,
            };
            planner.finished(meter, outcome, now, *random);
        }
        prop_assert!(seen.len() == endpoints.len() || outcomes.len() < 4 * endpoints.len() + 200);
    }
}
