//! Counters of the peer: each is taken once, and none before its tag verified.
//!
//! A window belongs to one key: the unicast, the broadcast and the dedicated
//! key of a peer have one each.

use alloc::collections::BTreeMap;

use super::key::SystemTitle;
use super::proof::TagVerified;

/// How many counters below the highest one a sliding window remembers.
pub const REPLAY_WINDOW_WIDTH: u32 = 64;

/// Which counters of one peer under one key were taken (after RFC 6479).
///
/// Checking and moving are two steps: [`check`](Self::check) looks,
/// [`commit`](Self::commit) moves and wants the proof that the tag verified.
/// So no forged counter, however high, can shut the true peer out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayWindow {
    /// One above the highest counter taken.
    next: u64,
    /// Bit `k`: the counter `next - 1 - k` was taken.
    taken: u64,
    /// How far below `next` a counter that was not taken is still good.
    width: u32,
}

/// A counter that would be taken if the tag verifies.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Candidate {
    counter: u32,
}

impl Candidate {
    /// Tells the counter.
    #[must_use]
    pub const fn counter(&self) -> u32 {
        self.counter
    }
}

impl ReplayWindow {
    /// Starts a window for links that may reorder: any counter from `floor`
    /// on is good once, within [`REPLAY_WINDOW_WIDTH`] of the highest.
    #[must_use]
    pub fn sliding(floor: u32) -> Self {
        Self::with_width(floor, REPLAY_WINDOW_WIDTH)
    }

    /// Starts a window for links that keep the order, as the standard has it:
    /// counters only rise, from `floor` on.
    #[must_use]
    pub fn rising(floor: u32) -> Self {
        Self::with_width(floor, 0)
    }

    fn with_width(floor: u32, width: u32) -> Self {
        Self::from_next(u64::from(floor), width)
    }

    const fn from_next(next: u64, width: u32) -> Self {
        Self {
            next,
            // What lies below the floor counts as taken.
            taken: u64::MAX,
            width,
        }
    }

    /// Looks whether `counter` is still good. Nothing moves.
    ///
    /// # Errors
    /// [`ReplayError`] where it was taken, or is too old to tell.
    pub fn check(&self, counter: u32) -> Result<Candidate, ReplayError> {
        let wide = u64::from(counter);
        let good = wide >= self.next || {
            let back = self.next - 1 - wide;
            back < u64::from(self.width) && self.taken & (1 << back) == 0
        };
        if good {
            Ok(Candidate { counter })
        } else {
            Err(ReplayError {
                counter,
                floor: self.floor(),
            })
        }
    }

    /// Takes a counter whose message verified.
    ///
    /// # Errors
    /// [`ReplayError`] where it was taken since it was checked.
    pub fn commit(
        &mut self,
        candidate: Candidate,
        _proof: &TagVerified,
    ) -> Result<(), ReplayError> {
        self.take(candidate)
    }

    /// Takes a counter without any proof. Only for associations that encrypt
    /// without authenticating, with a window that ends with the association
    /// and is never stored: whoever is on the way can move it.
    ///
    /// # Errors
    /// [`ReplayError`] where it was taken since it was checked.
    pub fn dangerous_commit_unverified(&mut self, candidate: Candidate) -> Result<(), ReplayError> {
        self.take(candidate)
    }

    fn take(&mut self, candidate: Candidate) -> Result<(), ReplayError> {
        let Candidate { counter } = self.check(candidate.counter)?;
        let wide = u64::from(counter);
        if wide >= self.next {
            let up = wide - self.next + 1;
            self.taken = if up < 64 { self.taken << up } else { 0 } | 1;
            self.next = wide + 1;
        } else {
            self.taken |= 1 << (self.next - 1 - wide);
        }
        Ok(())
    }

    /// Tells the lowest counter that is good for sure: one above the highest
    /// taken. This is what must be durable before a message is acted on, and
    /// what a server tells in an exception. Nothing is good after 0xFFFFFFFF.
    #[must_use]
    pub fn floor(&self) -> Option<u32> {
        u32::try_from(self.next).ok()
    }
}

/// A counter that was taken before, or that is too old to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invocation counter {counter} was used before")]
pub struct ReplayError {
    /// The counter.
    pub counter: u32,
    /// The lowest counter that is good for sure, if the key has one left.
    pub floor: Option<u32>,
}

/// What a peer's counter does when an association starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CounterRestart {
    /// It goes on, as the standard wants; lower counters are refused.
    #[default]
    Refuse,
    /// It starts again, as seen with the jDLMS 1.8.0 server. Such a peer uses
    /// its counters twice under one key, and old responses can be replayed to
    /// us: let it be only for peers that cannot be repaired.
    DangerousEachAssociation,
}

/// The counter of one peer under one key, across associations.
#[derive(Clone, Debug)]
pub struct PeerCounter {
    window: ReplayWindow,
    restart: CounterRestart,
}

impl PeerCounter {
    /// Starts with a window resumed from storage.
    #[must_use]
    pub const fn new(window: ReplayWindow, restart: CounterRestart) -> Self {
        Self { window, restart }
    }

    /// Notes that an association starts.
    pub fn start_association(&mut self) {
        match self.restart {
            CounterRestart::Refuse => {}
            CounterRestart::DangerousEachAssociation => {
                self.window = ReplayWindow::with_width(0, self.window.width);
            }
        }
    }

    /// Shows the window.
    #[must_use]
    pub const fn window(&self) -> &ReplayWindow {
        &self.window
    }

    /// Shows the window, to be moved.
    pub const fn window_mut(&mut self) -> &mut ReplayWindow {
        &mut self.window
    }
}

/// Peers that are told apart under one key.
pub const PEERS_MAX: usize = 16;

/// The counters of several peers under one key, told apart by system title:
/// with the title and the counter in the nonce, each peer counts for itself.
///
/// At most [`PEERS_MAX`] titles are kept. Where one more has to be, the title
/// with the lowest counter goes, and below that counter no title that is not
/// kept is taken any more. So nothing is taken twice, and whoever went goes on
/// above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerWindows {
    /// Where the counters of a title that is not kept begin; beyond the
    /// greatest where there is none left.
    floor: u64,
    windows: BTreeMap<SystemTitle, ReplayWindow>,
}

impl PeerWindows {
    /// Starts without peers; the counters of all of them begin at `floor`.
    #[must_use]
    pub const fn new(floor: u32) -> Self {
        Self {
            floor: floor as u64,
            windows: BTreeMap::new(),
        }
    }

    /// Adds a peer whose counters below `floor` are used.
    #[must_use]
    pub fn with_peer(mut self, title: SystemTitle, floor: u32) -> Self {
        self.keep(title, ReplayWindow::sliding(floor));
        self
    }

    /// Shows the window of a peer, whether it was heard before or not. A
    /// window that slides, since the reply to a challenge carries a counter of
    /// its own.
    #[must_use]
    pub fn window(&self, title: &SystemTitle) -> ReplayWindow {
        self.windows
            .get(title)
            .cloned()
            .unwrap_or_else(|| ReplayWindow::from_next(self.floor, REPLAY_WINDOW_WIDTH))
    }

    /// Lets `verify` move the window of a peer. One that was never heard is
    /// kept only when it moved: a title alone proves nothing.
    ///
    /// # Errors
    /// What `verify` says; then nothing has moved.
    pub fn verify<T, E>(
        &mut self,
        title: &SystemTitle,
        verify: impl FnOnce(&mut ReplayWindow) -> Result<T, E>,
    ) -> Result<T, E> {
        let before = self.window(title);
        let mut window = before.clone();
        let verified = verify(&mut window)?;
        if window != before {
            self.keep(*title, window);
        }
        Ok(verified)
    }

    fn keep(&mut self, title: SystemTitle, window: ReplayWindow) {
        self.windows.insert(title, window);
        if self.windows.len() <= PEERS_MAX {
            return;
        }
        let lowest = self
            .windows
            .iter()
            .filter(|(other, _)| **other != title)
            .min_by_key(|(_, window)| window.next)
            .map(|(other, window)| (*other, window.next));
        if let Some((other, next)) = lowest {
            self.windows.remove(&other);
            self.floor = self.floor.max(next);
        }
    }

    /// Tells the lowest counter that is good for sure whichever peer sends it,
    /// if the key has one left.
    #[must_use]
    pub fn floor(&self) -> Option<u32> {
        let kept = self.windows.values().map(|window| window.next);
        u32::try_from(kept.fold(self.floor, u64::max)).ok()
    }

    /// Tells whether a title is kept.
    #[must_use]
    pub fn contains(&self, title: &SystemTitle) -> bool {
        self.windows.contains_key(title)
    }
}
