//! Our own counters: none twice, across crashes, hints and forged hints.
//! Robustness; there is nobody to agree with.

use std::collections::BTreeSet;

use dlms::security::{
    COUNTER_WARNING, CounterBlock, CounterError, CounterHint, CounterRecord, Envelope,
    HINT_AHEAD_MAX, HINT_BUDGET, HINT_TRIALS_MAX, HintRefused, Protection, SendCounter,
    TagVerified, Wrapping,
};

use super::{GET, SERVER, ring, seal};
use crate::captures::{Random, unhex};

/// A proof, by the only way there is: a message that verifies.
fn proof() -> TagVerified {
    let ring = ring();
    let required = Protection::AuthenticatedEncrypted;
    let mut frame = seal(
        &ring,
        Envelope::new(Wrapping::Glo, required),
        1,
        &unhex(GET),
    );
    ring.unprotect(&mut frame, &SERVER, required)
        .unwrap()
        .into_proof()
}

fn with_block(count: u32) -> SendCounter {
    let mut counter = SendCounter::resume(CounterRecord::default());
    let plan = counter.plan_block(count).unwrap();
    counter.adopt(plan);
    counter
}

#[test]
fn a_block_ends() {
    let mut block = CounterBlock::reserved(5, 7);
    assert_eq!(block.remaining(), 2);
    assert_eq!(block.take().unwrap().value(), 5);
    assert_eq!(block.take().unwrap().value(), 6);
    assert_eq!(block.take(), Err(CounterError::BlockUsed));
    assert_eq!(CounterBlock::reserved(7, 5).remaining(), 0);
}

#[test]
fn counters_never_wrap() {
    let mut block = CounterBlock::reserved(u32::MAX - 1, u32::MAX);
    assert_eq!(block.take().unwrap().value(), u32::MAX - 1);
    for _ in 0..3 {
        assert_eq!(block.take(), Err(CounterError::Exhausted));
    }
    let mut counter = SendCounter::resume(CounterRecord {
        end: u32::MAX - 3,
        ..CounterRecord::default()
    });
    assert!(counter.nearly_exhausted());
    let plan = counter.plan_block(1_000).unwrap();
    assert_eq!(plan.record().end, u32::MAX);
    counter.adopt(plan);
    for expected in [u32::MAX - 3, u32::MAX - 2, u32::MAX - 1] {
        assert_eq!(counter.take().unwrap().value(), expected);
    }
    assert_eq!(counter.take(), Err(CounterError::Exhausted));
    assert_eq!(counter.plan_block(1).unwrap_err(), CounterError::Exhausted);
    assert!(u64::from(COUNTER_WARNING) > (1 << 32) / 10 * 9 - 10);
}

#[test]
fn nothing_is_usable_before_it_is_durable() {
    let mut counter = SendCounter::resume(CounterRecord::default());
    assert_eq!(counter.take(), Err(CounterError::BlockUsed));
    let plan = counter.plan_block(10).unwrap();
    assert_eq!(counter.take(), Err(CounterError::BlockUsed));
    counter.adopt(plan);
    assert_eq!(counter.take().unwrap().value(), 0);

    let plan = counter.plan_trial(CounterHint::new(500)).unwrap();
    assert!(plan.record().spent.contains(&500));
    assert_eq!(counter.take().unwrap().value(), 1);
    counter.adopt(plan);
    assert_eq!(counter.take().unwrap().value(), 500);
}

#[test]
fn a_good_hint_is_tried_once_and_kept_when_it_verifies() {
    let mut counter = with_block(100);
    let _first = counter.take().unwrap();
    let plan = counter.plan_trial(CounterHint::new(5_000)).unwrap();
    counter.adopt(plan);
    assert_eq!(counter.take().unwrap().value(), 5_000);
    assert!(counter.trial_running());
    assert_eq!(
        counter.plan_trial(CounterHint::new(6_000)).unwrap_err(),
        HintRefused::TrialRunning
    );
    counter.confirm_trial(&proof());
    assert_eq!(counter.take(), Err(CounterError::BlockUsed));
    let plan = counter.plan_block(10).unwrap();
    assert_eq!((plan.record().end, plan.record().hinted), (5_011, 4_999));
    assert!(plan.record().spent.is_empty());
    counter.adopt(plan);
    assert_eq!(counter.take().unwrap().value(), 5_001);
}

#[test]
fn a_failed_trial_changes_nothing_but_what_it_used() {
    let mut counter = with_block(100);
    let plan = counter.plan_trial(CounterHint::new(3)).unwrap();
    counter.adopt(plan);
    assert_eq!(counter.take().unwrap().value(), 3);
    counter.abandon_trial();
    let values: Vec<u32> = (0..5).map(|_| counter.take().unwrap().value()).collect();
    assert_eq!(values, [0, 1, 2, 4, 5], "3 was used");
    // Without a trial a proof moves nothing.
    counter.confirm_trial(&proof());
    assert_eq!(counter.take().unwrap().value(), 6);
}

#[test]
fn hints_lead_only_upwards_and_not_far() {
    let mut counter = with_block(100);
    for _ in 0..50 {
        let _used = counter.take().unwrap();
    }
    for expected in [0, 49, 50] {
        assert_eq!(
            counter.plan_trial(CounterHint::new(expected)).unwrap_err(),
            HintRefused::NotAhead { next: 50 }
        );
    }
    assert_eq!(
        counter.plan_trial(CounterHint::new(u32::MAX)).unwrap_err(),
        HintRefused::TooFar {
            ahead: u32::MAX - 50
        }
    );
    assert_eq!(
        counter
            .plan_trial(CounterHint::new(51 + HINT_AHEAD_MAX))
            .unwrap_err(),
        HintRefused::TooFar {
            ahead: HINT_AHEAD_MAX + 1
        }
    );
    assert!(
        counter
            .plan_trial(CounterHint::new(50 + HINT_AHEAD_MAX))
            .is_ok()
    );
    assert_eq!(counter.take().unwrap().value(), 50, "nothing moved");
}

/// Somebody on the way answers each request with an exception that tells
/// 0xFFFFFFFF, or the highest counter that is believed, while the true server
/// goes on and takes whatever verifies.
#[test]
fn forged_hints_do_not_exhaust_the_key() {
    let mut counter = with_block(10);
    let mut refused = None;
    for _ in 0..100_000 {
        assert!(counter.plan_trial(CounterHint::new(u32::MAX)).is_err());
        let hint = CounterHint::new(counter.next() + HINT_AHEAD_MAX);
        match counter.plan_trial(hint) {
            Ok(plan) => {
                counter.adopt(plan);
                let _trial = counter.take().unwrap();
                // The server has seen less: the trial verifies.
                counter.confirm_trial(&proof());
                let plan = counter.plan_block(10).unwrap();
                counter.adopt(plan);
            }
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    assert_eq!(refused, Some(HintRefused::BudgetSpent));
    assert!(counter.next() <= HINT_BUDGET + 1_000);
    assert!(!counter.nearly_exhausted());
    let _goes_on = counter.take().unwrap();

    // The same where no trial verifies: sixteen values are lost, no more.
    let mut counter = with_block(10);
    for trial in 0.. {
        match counter.plan_trial(CounterHint::new(1_000_000)) {
            Ok(plan) => {
                counter.adopt(plan);
                assert_eq!(counter.take().unwrap().value(), 1_000_000 + trial);
                counter.abandon_trial();
            }
            Err(error) => {
                assert_eq!(error, HintRefused::TooManyTrials);
                assert_eq!(usize::try_from(trial).unwrap(), HINT_TRIALS_MAX);
                break;
            }
        }
    }
    assert_eq!(counter.take().unwrap().value(), 0);
}

#[test]
fn the_operator_may_raise_and_not_lower() {
    let mut counter = with_block(100);
    assert_eq!(
        counter.dangerous_plan_raise(99, 10).unwrap_err(),
        HintRefused::NotAhead { next: 100 }
    );
    let plan = counter.dangerous_plan_raise(1 << 30, 10).unwrap();
    counter.adopt(plan);
    assert_eq!(counter.take().unwrap().value(), 1 << 30);
}

/// A client that lives through any mixture of sending, plans, hints, trials
/// and crashes with lost or kept records never sends a counter twice.
#[test]
fn no_counter_twice_whatever_happens() {
    for seed in 0..1_000 {
        let mut random = Random::new(seed);
        let mut stored = CounterRecord::default();
        let mut counter = SendCounter::resume(stored.clone());
        let mut sent = BTreeSet::new();
        let proof = proof();
        let mut pending = Vec::new();
        for step in 0..400 {
            let mut plan = None;
            match random.below(12) {
                0 => {
                    plan = counter
                        .plan_block(u32::try_from(random.below(20)).unwrap())
                        .ok()
                }
                1 => {
                    let ahead = u32::try_from(random.below(60)).unwrap();
                    plan = counter
                        .plan_trial(CounterHint::new(counter.next().saturating_add(ahead)))
                        .ok();
                }
                2 => counter.abandon_trial(),
                3 => counter.confirm_trial(&proof),
                4 => {
                    // A crash: what was not stored is lost.
                    pending.clear();
                    counter = SendCounter::resume(stored.clone());
                }
                5 if !pending.is_empty() => {
                    let at = random.below(pending.len());
                    counter.adopt(pending.remove(at));
                }
                6 if random.below(8) == 0 => {
                    let next = stored.end + u32::try_from(random.below(50)).unwrap();
                    plan = counter.dangerous_plan_raise(next, 5).ok();
                }
                _ => {
                    if let Ok(fresh) = counter.take() {
                        let value = fresh.value();
                        assert!(
                            sent.insert(value),
                            "seed {seed}, step {step}: {value} twice"
                        );
                    }
                }
            }
            // The record is stored, or the write fails and the plan is dropped.
            // Adopting may come later, and in another order.
            if let Some(plan) = plan
                && random.below(5) != 0
            {
                stored = plan.record().clone();
                pending.push(plan);
            }
        }
        assert!(!sent.is_empty());
    }
}
