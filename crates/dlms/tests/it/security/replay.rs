//! The replay window: against a naive set of what was taken, and that nothing
//! but a verified message moves it. Robustness and self-agreement.

use std::collections::BTreeSet;

use dlms::security::{
    CounterRestart, Envelope, PEERS_MAX, PeerCounter, PeerWindows, Protection, REPLAY_WINDOW_WIDTH,
    ReplayError, ReplayWindow, SystemTitle, UnprotectError, Wrapping,
};

use super::{GET, SERVER, ring, seal};
use crate::captures::{Random, unhex};

/// What the window should do, without any cleverness.
struct Naive {
    floor: u64,
    width: u64,
    taken: BTreeSet<u64>,
}

impl Naive {
    fn take(&mut self, counter: u32) -> bool {
        let counter = u64::from(counter);
        let next = self.next();
        let good =
            counter >= self.floor && !self.taken.contains(&counter) && counter + self.width >= next;
        if good {
            self.taken.insert(counter);
        }
        good
    }

    fn next(&self) -> u64 {
        self.taken
            .last()
            .map_or(self.floor, |last| (last + 1).max(self.floor))
    }
}

/// Takes a counter without cryptography, which `commit` would want.
fn take(window: &mut ReplayWindow, counter: u32) -> bool {
    window
        .check(counter)
        .and_then(|candidate| window.dangerous_commit_unverified(candidate))
        .is_ok()
}

#[test]
fn the_same_as_a_set() {
    let mut random = Random::new(0x6479);
    for round in 0..400 {
        let floor = match random.below(4) {
            0 => 0,
            1 => u32::MAX - u32::try_from(random.below(100)).unwrap(),
            2 => u32::try_from(random.below(200)).unwrap(),
            _ => u32::try_from(random.next() >> 32).unwrap(),
        };
        let sliding = round % 2 == 0;
        let mut window = if sliding {
            ReplayWindow::sliding(floor)
        } else {
            ReplayWindow::rising(floor)
        };
        let mut naive = Naive {
            floor: floor.into(),
            width: if sliding {
                REPLAY_WINDOW_WIDTH.into()
            } else {
                0
            },
            taken: BTreeSet::new(),
        };
        for _ in 0..400 {
            let next = naive.next();
            let near = |back: usize, ahead: usize, random: &mut Random| {
                (next + random.below(ahead) as u64)
                    .saturating_sub(random.below(back) as u64)
                    .min(u32::MAX.into())
            };
            let counter = match random.below(10) {
                0 => random.next() >> 32,
                1 => near(1, 200, &mut random),
                2 => near(200, 1, &mut random),
                _ => near(80, 6, &mut random),
            };
            let counter = u32::try_from(counter).unwrap();
            let looked = window.check(counter).is_ok();
            let taken = take(&mut window, counter);
            assert_eq!(looked, taken);
            assert_eq!(taken, naive.take(counter), "round {round}, {counter}");
            assert_eq!(
                window.floor().map(u64::from),
                u32::try_from(naive.next()).ok().map(u64::from)
            );
            assert!(!take(&mut window, counter), "a counter is taken once");
        }
    }
}

#[test]
fn looking_moves_nothing() {
    let mut window = ReplayWindow::sliding(100);
    assert!(take(&mut window, 150));
    let before = window.clone();
    for counter in (0..300).chain([u32::MAX]) {
        let _looked_at = window.check(counter);
    }
    assert_eq!(window, before);
}

#[test]
fn two_candidates_of_one_counter_are_taken_once() {
    let mut window = ReplayWindow::sliding(0);
    let first = window.check(5).unwrap();
    let second = window.check(5).unwrap();
    assert!(window.dangerous_commit_unverified(first).is_ok());
    assert!(window.dangerous_commit_unverified(second).is_err());
}

#[test]
fn after_the_last_counter_nothing_is_good() {
    for mut window in [
        ReplayWindow::rising(u32::MAX - 1),
        ReplayWindow::sliding(u32::MAX - 1),
    ] {
        assert!(take(&mut window, u32::MAX));
        assert_eq!(window.floor(), None);
        assert!(!take(&mut window, u32::MAX));
        assert!(!take(&mut window, 0));
    }
}

/// The whole path: good, replayed, forged high, good again.
#[test]
fn only_a_verified_message_moves_the_window() {
    let ring = ring();
    let required = Protection::AuthenticatedEncrypted;
    let envelope = Envelope::new(Wrapping::Glo, required);
    let frame = |counter| seal(&ring, envelope, counter, &unhex(GET));
    let mut window = ReplayWindow::rising(0);
    let mut open =
        |mut frame: Vec<u8>| ring.unprotect_once(&mut frame, &SERVER, required, &mut window);

    open(frame(10)).unwrap();
    assert!(matches!(
        open(frame(10)).unwrap_err(),
        UnprotectError::Replayed(error) if error.floor == Some(11)
    ));
    // Counter 0xFFFFFFFF written over a good frame.
    let mut forged = frame(11);
    forged[3..7].fill(0xFF);
    assert_eq!(open(forged).unwrap_err(), UnprotectError::TagMismatch);
    // A tag of zeros, of another frame, and a frame of another sender.
    let mut forged = frame(12);
    let tag = forged.len() - 12;
    forged[tag..].fill(0);
    assert_eq!(open(forged).unwrap_err(), UnprotectError::TagMismatch);
    open(frame(11)).unwrap();
    open(frame(1_000_000)).unwrap();
    assert!(open(frame(999_999)).is_err(), "counters only rise");
    assert_eq!(window.floor(), Some(1_000_001));
}

#[test]
fn what_lies_below_the_stored_floor_is_refused_after_a_restart() {
    let mut window = ReplayWindow::sliding(0);
    for counter in [3, 9, 7, 20] {
        assert!(take(&mut window, counter));
    }
    let mut resumed = ReplayWindow::sliding(window.floor().unwrap());
    for counter in 0..=20 {
        assert!(!take(&mut resumed, counter), "{counter}");
    }
    assert!(take(&mut resumed, 21));
}

/// jDLMS 1.8.0 counts from 1 in every association; by default that is refused.
#[test]
fn a_peer_that_starts_again_needs_to_be_named() {
    for (restart, good) in [
        (CounterRestart::default(), false),
        (CounterRestart::Refuse, false),
        (CounterRestart::DangerousEachAssociation, true),
    ] {
        let mut peer = PeerCounter::new(ReplayWindow::rising(0), restart);
        for counter in 1..=3 {
            assert!(take(peer.window_mut(), counter));
        }
        peer.start_association();
        assert_eq!(take(peer.window_mut(), 1), good, "{restart:?}");
        assert!(!take(peer.window_mut(), 1), "{restart:?}");
        assert!(peer.window().check(4).is_ok());
    }
}

/// Takes a peer's counter without cryptography.
fn take_of(windows: &mut PeerWindows, peer: u8, counter: u32) -> Result<(), ReplayError> {
    let title = SystemTitle([b'P', b'E', b'R', 0, 0, 0, 0, peer]);
    windows.verify(&title, |window| {
        let candidate = window.check(counter)?;
        window.dangerous_commit_unverified(candidate)
    })
}

#[test]
fn more_peers_than_places_and_nothing_is_taken_twice() {
    let peers = PEERS_MAX + 8;
    let mut random = Random::new(0x17);
    for round in 0..60 {
        let start = if round % 10 == 0 { u32::MAX - 5_000 } else { 0 };
        let mut windows = PeerWindows::new(start);
        let mut taken = BTreeSet::new();
        let mut next = vec![start; peers];
        for _ in 0..2_000 {
            let peer = random.below(peers);
            let draw = u32::try_from(random.below(400)).unwrap();
            let counter = match random.below(4) {
                // A replay, or what was held up on the way.
                0 | 1 => next[peer].saturating_sub(draw),
                2 => next[peer],
                _ => next[peer].saturating_add(draw),
            };
            let good = windows.floor().is_some_and(|floor| counter >= floor);
            match take_of(&mut windows, u8::try_from(peer).unwrap(), counter) {
                Ok(()) => {
                    assert!(taken.insert((peer, counter)), "{peer}: {counter} again");
                    next[peer] = next[peer].max(counter.saturating_add(1));
                }
                Err(refusal) => {
                    assert!(!good, "{peer}: {counter} is above all floors");
                    // What is told leads on, for as long as there is anything left.
                    next[peer] = next[peer].max(refusal.floor.unwrap_or(u32::MAX));
                }
            }
        }
        assert!(taken.len() > 500, "{}", taken.len());
    }
}

#[test]
fn a_peer_is_kept_only_when_its_message_verified() {
    let mut windows = PeerWindows::new(7);
    for peer in 0..=u8::MAX {
        let title = SystemTitle([peer; 8]);
        let failed = windows.verify(&title, |window| {
            assert_eq!(window.floor(), Some(7));
            Err::<(), _>("the tag is wrong")
        });
        assert_eq!(failed, Err("the tag is wrong"));
    }
    assert_eq!(windows, PeerWindows::new(7));
    // The greatest counter leaves nothing, for a peer that had to go either.
    for peer in 0..=u8::try_from(PEERS_MAX).unwrap() {
        take_of(&mut windows, peer, u32::MAX).unwrap();
    }
    assert_eq!(windows.floor(), None);
    assert!(take_of(&mut windows, 200, u32::MAX).is_err());
    assert!(take_of(&mut windows, 0, u32::MAX).is_err());
}
