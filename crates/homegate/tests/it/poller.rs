//! When the meter is asked. Evidence: self-agreement, in virtual time, with
//! faults from a seed.

use dlms::{Duration, Instant};
use homegate::poller::{Config, INTERVAL_MIN, Input, Output, Poller};

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1_000)
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Runs for `hours`; gives when polls left, and what was counted.
fn run(seed: u64, hours: u64, loss_permille: u64, cut_permille: u64) -> (Vec<u64>, Poller) {
    let mut random = Random(seed);
    let mut poller = Poller::new(Config::default(), None, at(0));
    let mut now = 0;
    let mut asked = Vec::new();
    let mut input = Some((0, Input::Elapsed));
    while now < hours * 3_600_000 {
        let due = loop {
            match poller.poll() {
                Output::Timeout(due) => break due.as_micros() / 1_000,
                Output::Connect => {
                    let opened = random.below(1_000) >= cut_permille;
                    let outcome = if opened {
                        Input::Connected
                    } else {
                        Input::Disconnected
                    };
                    input = Some((now + random.below(2_000), outcome));
                }
                Output::Disconnect => input = None,
                Output::Ask { number } => {
                    asked.push(now);
                    input = if random.below(1_000) < loss_permille {
                        None
                    } else if random.below(1_000) < cut_permille {
                        Some((now + random.below(3_000), Input::Disconnected))
                    } else {
                        Some((now + random.below(900), Input::Answered { number }))
                    };
                }
            }
        };
        match input.take() {
            Some((when, what)) if when <= due => {
                now = now.max(when);
                poller.handle(what, at(now));
            }
            other => {
                input = other;
                assert!(due > now || input.is_none(), "time stands still");
                now = due.max(now);
                poller.handle(Input::Elapsed, at(now));
            }
        }
    }
    (asked, poller)
}

#[test]
fn no_poll_is_missed_in_a_day() {
    let (asked, poller) = run(1, 24, 0, 0);
    assert_eq!(poller.counts().lost, 0);
    // A day of polls seven seconds apart, less the seconds to begin.
    assert!(asked.len() >= 24 * 3_600 / 7 - 1, "{}", asked.len());
    assert!(asked.windows(2).all(|pair| pair[1] - pair[0] == 7_000));
}

#[test]
fn polls_are_never_closer_whatever_happens() {
    for seed in 1..=50 {
        let (asked, poller) = run(seed, 6, 100, 50);
        let least = asked
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .min()
            .unwrap();
        assert!(least >= 7_000, "seed {seed}: {least} ms");
        assert!(poller.counts().lost > 0, "seed {seed}");
        // It never gives up: the last poll is not long ago.
        let last = asked.last().unwrap();
        assert!(6 * 3_600_000 - last < 300_000, "seed {seed}");
    }
}

#[test]
fn the_spacing_holds_across_restarts() {
    let first = |since: Option<u64>| {
        let since = since.map(Duration::from_millis);
        let mut poller = Poller::new(Config::default(), since, at(0));
        poller.handle(Input::Elapsed, at(0));
        assert_eq!(poller.poll(), Output::Connect);
        poller.handle(Input::Connected, at(0));
        match poller.poll() {
            Output::Timeout(due) => due.as_micros() / 1_000,
            Output::Ask { .. } => 0,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(first(Some(2_500)), 4_500);
    assert_eq!(first(Some(90_000)), 0);
    // Not kept: nobody knows, so the first waits.
    assert_eq!(first(None), 7_000);
}

#[test]
fn a_shorter_interval_is_not_taken() {
    let config = Config {
        interval: Duration::from_millis(10),
        ..Config::default()
    };
    let mut poller = Poller::new(config, Some(Duration::from_secs(60)), at(0));
    poller.handle(Input::Elapsed, at(0));
    assert_eq!(poller.poll(), Output::Connect);
    poller.handle(Input::Connected, at(0));
    assert_eq!(poller.poll(), Output::Ask { number: 1 });
    poller.handle(Input::Answered { number: 1 }, at(100));
    let due = u64::try_from(INTERVAL_MIN.as_millis()).unwrap();
    assert_eq!(poller.poll(), Output::Timeout(at(due)));
}

#[test]
fn a_poll_that_left_late_pushes_the_next_one_back() {
    let mut poller = Poller::new(Config::default(), Some(INTERVAL_MIN), at(0));
    poller.handle(Input::Elapsed, at(0));
    assert_eq!(poller.poll(), Output::Connect);
    poller.handle(Input::Connected, at(0));
    assert_eq!(poller.poll(), Output::Ask { number: 1 });
    poller.left(at(2_500));
    poller.handle(Input::Answered { number: 1 }, at(3_000));
    assert_eq!(poller.poll(), Output::Timeout(at(9_500)));
}

#[test]
fn late_and_lost_answers_are_counted() {
    let mut poller = Poller::new(Config::default(), Some(INTERVAL_MIN), at(0));
    poller.handle(Input::Elapsed, at(0));
    poller.handle(Input::Connected, at(0));
    while !matches!(poller.poll(), Output::Timeout(_)) {}
    poller.handle(Input::Elapsed, at(5_000));
    assert_eq!(poller.counts().lost, 1);
    poller.handle(Input::Answered { number: 1 }, at(5_100));
    assert_eq!(poller.counts().late, 1);
    assert_eq!(poller.counts().polls, 1);
}

#[test]
fn a_reading_comes_within_15_s_of_the_end_of_any_outage() {
    // The way is closed, opens and fails at once, hangs for five seconds, or the
    // meter is mute, for anything up to two hours; then everything works.
    for outage in (0..7_200).step_by(61).map(|secs| 20_000 + secs * 1_000) {
        for manner in 0..3 {
            let mut poller = Poller::new(Config::default(), Some(INTERVAL_MIN), at(0));
            poller.handle(Input::Elapsed, at(0));
            let (mut now, mut pending, mut asked) = (0, None, Vec::new());
            let answered = loop {
                assert!(now < outage + 60_000, "{outage} {manner}: nothing comes");
                let due = match poller.poll() {
                    Output::Timeout(due) => due.as_micros() / 1_000,
                    Output::Connect => {
                        pending = Some(match (manner, now >= outage) {
                            (_, true) | (2, _) => (now + 1_500, Input::Connected),
                            (0, _) => (now, Input::Disconnected),
                            _ => (now + 5_000, Input::Disconnected),
                        });
                        continue;
                    }
                    Output::Disconnect => {
                        pending = None;
                        continue;
                    }
                    Output::Ask { number } => {
                        asked.push(now);
                        if now >= outage {
                            pending = Some((now + 900, Input::Answered { number }));
                        }
                        continue;
                    }
                };
                let (when, input) = match pending.take() {
                    Some((when, input)) if when <= due => (when, input),
                    other => {
                        pending = other;
                        (due, Input::Elapsed)
                    }
                };
                now = now.max(when);
                poller.handle(input, at(now));
                if matches!(input, Input::Answered { .. }) && now >= outage {
                    break now;
                }
            };
            let took = answered - outage;
            assert!(took <= 15_000, "{outage} {manner}: {took} ms");
            assert!(asked.windows(2).all(|pair| pair[1] - pair[0] >= 7_000));
        }
    }
}
