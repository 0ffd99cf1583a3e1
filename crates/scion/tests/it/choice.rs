//! Which path is taken. Evidence: self-agreement, on the network of the
//! reference implementation's tests.

use std::time::Duration;

use scion::choice::{Choice, Failure, NoPath};
use scion::path::Fingerprint;
use scion::policy::{Policy, Preference};

use crate::network::{ids, six};

const START: Duration = Duration::from_secs(1_000);

fn choice(fence: &str) -> Choice {
    let mut choice = Choice::new(Policy {
        acl: Some(fence.parse().unwrap()),
        preferences: vec![Preference::Latency],
        ..Policy::default()
    });
    choice.update(&six(), 0);
    choice
}

fn id(path: Result<&scion::path::Path, NoPath>) -> u8 {
    ids([path.unwrap()])[0]
}

#[test]
fn silence_moves_to_another_first_router_and_link() {
    let mut choice = choice("- 3 +");
    assert_eq!(id(choice.best(START)), 1);
    // 4 shares nothing with 1 but the AS 210.
    assert_eq!(
        id(choice.failed(Fingerprint([1; 32]), Failure::Silence, START)),
        4
    );
    assert_eq!(id(choice.best(START)), 4, "it stays");
    // 3 has the other first router; 1 has it too, but has failed.
    assert_eq!(
        id(choice.failed(Fingerprint([4; 32]), Failure::Silence, START)),
        3
    );
    assert_eq!(
        id(choice.failed(Fingerprint([3; 32]), Failure::Silence, START)),
        2
    );
    // All have failed alike: still one is tried, never one beyond the fence.
    for _ in 0..100 {
        let active = choice.active().unwrap().fingerprint();
        let next = id(choice.failed(active, Failure::Silence, START));
        assert!((1..=4).contains(&next));
        assert_ne!(next, active.0[0]);
    }
}

/// Routers fail one after the other and come back, which nobody tells. Each time
/// the next attempt takes a path that shares nothing with the one that failed,
/// although all of them have failed before.
#[test]
fn what_failed_before_is_taken_where_it_is_apart() {
    let mut choice = choice("- 3 +");
    let mut now = START;
    let mut active = id(choice.best(now));
    for (failed, next) in [(1, 4), (4, 1), (1, 4), (4, 1)] {
        assert_eq!(active, failed);
        now += Duration::from_secs(4);
        active = id(choice.failed(Fingerprint([failed; 32]), Failure::Silence, now));
        assert_eq!(active, next);
        let untried = choice.untried(&[Fingerprint([failed; 32])], now);
        assert_eq!(ids(untried), [next]);
        // It has failed itself; 2, which has not, crosses what has just failed,
        // and is taken neither for the repetition nor for what follows.
        assert_eq!(id(choice.best(now)), next);
        choice.answered(Fingerprint([next; 32]));
        assert_eq!(id(choice.best(now)), next);
    }
    // Where both are silent the others follow, and none twice.
    let tried = [Fingerprint([1; 32]), Fingerprint([4; 32])];
    for path in tried {
        now += Duration::from_millis(150);
        choice.failed(path, Failure::Silence, now).unwrap();
    }
    let third = ids(choice.untried(&tried, now));
    assert!([[2], [3]].map(Vec::from).contains(&third), "{third:?}");
    // After a while nothing is in doubt, and what shares least is next again.
    now += Duration::from_secs(300);
    assert_eq!(ids(choice.untried(&tried[..1], now)), [4]);
}

#[test]
fn a_failure_of_a_path_that_is_no_longer_used_changes_nothing() {
    let mut choice = choice("+");
    choice.best(START).unwrap();
    choice
        .failed(Fingerprint([1; 32]), Failure::Reported, START)
        .unwrap();
    let now = choice.active().unwrap().fingerprint();
    choice
        .failed(Fingerprint([1; 32]), Failure::Reported, START)
        .unwrap();
    choice
        .failed(Fingerprint([99; 32]), Failure::Reported, START)
        .unwrap();
    assert_eq!(choice.active().unwrap().fingerprint(), now);
}

#[test]
fn the_preferred_path_comes_back_only_with_an_answer() {
    let mut choice = choice("- 3 +");
    choice.best(START).unwrap();
    choice
        .failed(Fingerprint([1; 32]), Failure::Silence, START)
        .unwrap();
    // The second one has not failed, but crosses what the first one does.
    assert!(choice.to_probe(START).is_none());
    let later = START + Duration::from_secs(220);
    assert_eq!(
        id(choice.best(later)),
        4,
        "what works is not left on a guess"
    );
    assert!(
        choice
            .to_probe(later)
            .is_some_and(|path| ids([path]) == [1])
    );
    // The probe is lost.
    choice
        .failed(Fingerprint([1; 32]), Failure::Silence, later)
        .unwrap();
    assert_eq!(id(choice.best(later)), 4);
    // The next one is answered.
    choice.answered(Fingerprint([1; 32]));
    assert_eq!(id(choice.best(later)), 1);
    assert!(choice.to_probe(later).is_none());
}

#[test]
fn urgent_messages_have_a_second_path_apart() {
    let mut all = choice("- 3 +");
    assert_eq!(id(all.best(START)), 1);
    let first = Fingerprint([1; 32]);
    assert_eq!(ids(all.beside(first, START)), [4]);
    // Whichever is the first, and whatever has failed: what shares a router with it would be lost
    // with it.
    assert_eq!(ids(all.beside(Fingerprint([3; 32]), START)), [2]);
    assert_eq!(id(all.failed(first, Failure::Silence, START)), 4);
    assert_eq!(ids(all.beside(Fingerprint([4; 32]), START)), [1]);
    let mut one = choice("- 3 - 2-ff00:0:210#3 - 2-ff00:0:211#2 +");
    assert_eq!(id(one.best(START)), 1);
    assert!(one.beside(first, START).is_none());
    assert_eq!(
        id(one.failed(Fingerprint([1; 32]), Failure::Silence, START)),
        1
    );
}

#[test]
fn a_fence_without_a_path_sends_nothing() {
    let mut fenced = choice("- 2-ff00:0:210 +");
    assert_eq!(fenced.best(START).unwrap_err(), NoPath::Fenced(6));
    assert!(fenced.beside(Fingerprint([1; 32]), START).is_none());
    assert!(
        fenced
            .failed(Fingerprint([1; 32]), Failure::Silence, START)
            .is_err()
    );
    fenced.answered(Fingerprint([1; 32]));
    assert!(fenced.active().is_none());
    let mut nothing = Choice::new(Policy::default());
    assert_eq!(nothing.best(START).unwrap_err(), NoPath::Unknown);
}

#[test]
fn a_narrower_fence_takes_the_path_in_use_away() {
    let mut choice = choice("+");
    assert_eq!(id(choice.best(START)), 1);
    let policy = Policy {
        acl: Some("- 1-ff00:0:110 +".parse().unwrap()),
        ..Policy::default()
    };
    choice.set_policy(policy, &six(), 0);
    assert!(choice.active().is_none());
    assert_eq!(id(choice.best(START)), 3);
    assert_eq!(choice.known(), 6);
    choice.update(&[], 0);
    assert_eq!(choice.best(START).unwrap_err(), NoPath::Unknown);
}

#[test]
fn what_has_ended_is_neither_taken_nor_counted() {
    let mut paths = six();
    for path in paths.iter_mut().take(4) {
        path.expiry = Some(500);
    }
    let mut choice = choice("- 3 +");
    choice.update(&paths, 499);
    assert_eq!((choice.known(), choice.allowed().len()), (6, 4));
    // The network may still tell of them, or have told of them before.
    choice.update(&paths, 500);
    assert_eq!((choice.known(), choice.allowed().len()), (2, 0));
    assert_eq!(choice.best(START).unwrap_err(), NoPath::Fenced(2));
    for path in &mut paths {
        path.expiry = Some(500);
    }
    choice.update(&paths, 500);
    assert_eq!(choice.best(START).unwrap_err(), NoPath::Unknown);
}
