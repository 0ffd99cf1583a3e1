//! Which path is taken: the best that is allowed, another after silence.
//!
//! Nothing on the way reports the loss of one's own first router, of a link
//! that swallows, or of the answer's path; so silence is a failure like a
//! reported one. A failed path is not forgotten but moved back for a while:
//! its penalty halves with time, and is lifted by an answer.
//!
//! Silence does not say what failed, so all interfaces of the path are in
//! doubt, until an answer comes that crossed them. Of the other paths the one is
//! next whose interfaces are least so: first one that shares none with what has
//! just failed, even where it has failed itself some time ago.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::address::{InterfaceId, IsdAs};
use crate::path::{Fingerprint, Path};
use crate::policy::Policy;

/// Most paths that are kept; further ones are left out, the least preferred.
pub const MAX_PATHS: usize = 64;

/// What a failure adds to a path's penalty.
const FAILURE: u32 = 1 << 16;
/// Beyond this no failure adds anything: it is gone within a few half-lives.
const MOST: u32 = 8 * FAILURE;
/// In what time a penalty halves.
const HALF_LIFE: Duration = Duration::from_secs(30);
/// Below this a path is as good as new.
const FORGIVEN: u32 = FAILURE / 64;
/// How long an interface is in doubt: as long as one failure counts.
const IN_DOUBT: Duration = Duration::from_secs(7 * HALF_LIFE.as_secs());

/// How a path failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The network said that a link or router is down.
    Reported,
    /// A request had no answer in time.
    Silence,
}

/// No path may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPath {
    /// The network knows of none.
    #[error("the network knows no path there: is the AS right, and its daemon running?")]
    Unknown,
    /// There are paths, and the fence allows none of them. Nothing is sent.
    #[error("the fence allows none of the {0} paths there are: nothing was sent")]
    Fenced(usize),
}

#[derive(Clone, Debug)]
struct Penalty {
    /// As of `since`.
    value: u32,
    since: Duration,
}

/// The paths to one AS and what was seen of them. Times are durations since
/// any fixed moment, the same for all calls.
#[derive(Clone, Debug)]
pub struct Choice {
    policy: Policy,
    /// Allowed ones, in order of preference.
    allowed: Vec<Path>,
    /// How many there were before the fence, of those that have not ended.
    known: usize,
    penalties: BTreeMap<Fingerprint, Penalty>,
    /// Interfaces of allowed paths, by when one that crosses them failed last.
    doubts: BTreeMap<(IsdAs, InterfaceId), Duration>,
    /// The one in use: it stays until it fails or is no longer allowed.
    active: Option<Fingerprint>,
}

impl Choice {
    /// Starts without paths.
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Self {
            policy,
            allowed: Vec::new(),
            known: 0,
            penalties: BTreeMap::new(),
            doubts: BTreeMap::new(),
            active: None,
        }
    }

    /// Shows the policy.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Takes the paths that the network now knows; `unix` is the time in
    /// seconds since 1970, to hold their ends against. Those that the policy
    /// refuses are not kept, so that nothing can choose them.
    pub fn update(&mut self, paths: &[Path], unix: u64) {
        self.known = paths.iter().filter(|path| !path.has_ended(unix)).count();
        self.allowed = self
            .policy
            .allowed(paths, unix)
            .into_iter()
            .take(MAX_PATHS)
            .cloned()
            .collect();
        let there: Vec<_> = self.allowed.iter().map(Path::fingerprint).collect();
        self.penalties.retain(|path, _| there.contains(path));
        let allowed = &self.allowed;
        self.doubts.retain(|interface, _| {
            allowed
                .iter()
                .any(|path| crossed(path).any(|it| it == *interface))
        });
        self.active = self.active.filter(|path| there.contains(path));
    }

    /// Takes another policy, for the same paths: `paths` are all that there
    /// are, as for [`update`](Self::update).
    pub fn set_policy(&mut self, policy: Policy, paths: &[Path], unix: u64) {
        self.policy = policy;
        self.update(paths, unix);
    }

    /// Shows the allowed paths in order of preference.
    #[must_use]
    pub fn allowed(&self) -> &[Path] {
        &self.allowed
    }

    /// Counts the paths that there are and have not ended, allowed or not.
    #[must_use]
    pub const fn known(&self) -> usize {
        self.known
    }

    fn penalty(&self, path: &Path, now: Duration) -> u32 {
        self.penalties
            .get(&path.fingerprint())
            .map_or(0, |penalty| {
                let age = now.saturating_sub(penalty.since).as_millis();
                let halvings = age / HALF_LIFE.as_millis();
                let halved = u32::try_from(halvings)
                    .ok()
                    .and_then(|halvings| penalty.value.checked_shr(halvings))
                    .unwrap_or(0);
                if halved < FORGIVEN { 0 } else { halved }
            })
    }

    /// Tells when the last failure was that an interface of a path may be the
    /// cause of; none is better than any, and an older one better than a newer.
    fn doubted(&self, path: &Path, now: Duration) -> Option<Duration> {
        crossed(path)
            .filter_map(|interface| self.doubts.get(&interface).copied())
            .filter(|since| now.saturating_sub(*since) < IN_DOUBT)
            .max()
    }

    /// Gives the path to send on: the one in use while it is unharmed, else the
    /// one that is least in doubt; of equals the least harmed, then the most
    /// preferred.
    ///
    /// # Errors
    /// [`NoPath`] where there is none; the caller sends nothing then.
    pub fn best(&mut self, now: Duration) -> Result<&Path, NoPath> {
        let active = self
            .position(self.active)
            .filter(|(_, path)| self.penalty(path, now) == 0)
            .map(|(index, _)| index);
        let index = active.or_else(|| self.least_harmed(now));
        let path = index
            .and_then(|index| self.allowed.get(index))
            .ok_or_else(|| no_path(self.known))?;
        self.active = Some(path.fingerprint());
        Ok(path)
    }

    /// Gives a second path beside the `first`, for messages that are sent twice:
    /// the one that shares least with it; of equals the one that is least in
    /// doubt, then the least harmed. None where there is no other.
    ///
    /// What has failed is taken here too: nobody tells when it is mended, and a
    /// copy finds out. Another path that shares a router with the first one would
    /// be lost with it.
    #[must_use]
    pub fn beside(&self, first: Fingerprint, now: Duration) -> Option<&Path> {
        let (_, first) = self.position(Some(first))?;
        self.others(first)
            .min_by_key(|(index, path)| {
                (
                    shared(path, first),
                    self.doubted(path, now),
                    self.penalty(path, now),
                    *index,
                )
            })
            .map(|(_, path)| path)
    }

    /// Notes a failure of a path, and gives the one to send on now: where it
    /// was in use, the other one that is least in doubt, of equals the least
    /// harmed, then the one that shares least with it.
    ///
    /// # Errors
    /// [`NoPath`] where there is none.
    pub fn failed(
        &mut self,
        path: Fingerprint,
        how: Failure,
        now: Duration,
    ) -> Result<&Path, NoPath> {
        let Some((_, failed)) = self.position(Some(path)) else {
            return self.best(now);
        };
        let failed = failed.clone();
        // One lost packet is silence too: what the network reports weighs more.
        let added = match how {
            Failure::Reported => 2 * FAILURE,
            Failure::Silence => FAILURE,
        };
        let value = self.penalty(&failed, now).saturating_add(added).min(MOST);
        self.penalties.insert(path, Penalty { value, since: now });
        self.doubts
            .extend(crossed(&failed).map(|interface| (interface, now)));
        if self.active.is_some_and(|active| active != path) {
            return self.best(now);
        }
        let next = self
            .least_harmed_but(now, &failed)
            .or_else(|| self.least_harmed(now))
            .and_then(|index| self.allowed.get(index))
            .ok_or_else(|| no_path(self.known))?;
        self.active = Some(next.fingerprint());
        Ok(next)
    }

    /// Gives the path least in doubt that is not among those `tried` for one
    /// message, in order; of equals the least harmed, then the one that shares
    /// least with the last of them. None where all were tried.
    #[must_use]
    pub fn untried(&self, tried: &[Fingerprint], now: Duration) -> Option<&Path> {
        let last = self.position(tried.last().copied()).map(|(_, path)| path);
        let others = self.allowed.iter().enumerate();
        others
            .filter(|(_, path)| !tried.contains(&path.fingerprint()))
            .min_by_key(|(index, path)| {
                let shared = last.map(|last| shared(path, last));
                let doubted = self.doubted(path, now);
                (doubted, self.penalty(path, now), shared, *index)
            })
            .map(|(_, path)| path)
    }

    /// Notes that something came by a path that answers what was sent on it:
    /// neither it nor what it crosses is in doubt.
    pub fn lives(&mut self, path: Fingerprint) {
        self.penalties.remove(&path);
        if let Some((_, living)) = self.position(Some(path)) {
            let crossed: Vec<_> = crossed(living).collect();
            self.doubts
                .retain(|interface, _| !crossed.contains(interface));
        }
    }

    /// Notes that an answer came to what was sent on a path. Where it is
    /// preferred to the one in use, or that one has failed since or is in doubt,
    /// it is taken.
    pub fn answered(&mut self, path: Fingerprint) {
        self.lives(path);
        let Some((index, _)) = self.position(Some(path)) else {
            return;
        };
        // What was sent on it since it failed, or something that it crosses, was
        // not answered.
        let unproven = |active: &Path| {
            self.penalties.contains_key(&active.fingerprint())
                || crossed(active).any(|interface| self.doubts.contains_key(&interface))
        };
        let active = self
            .position(self.active)
            .filter(|(_, active)| !unproven(active))
            .map(|(index, _)| index);
        if active.is_none_or(|active| index < active) {
            self.active = Some(path);
        }
    }

    /// Gives a path that is preferred to the one in use, whose penalty is over
    /// and of which nothing is in doubt, to be tried with something that may be
    /// lost: it is taken again once [`answered`](Self::answered) says so.
    #[must_use]
    pub fn to_probe(&self, now: Duration) -> Option<&Path> {
        let (active, _) = self.position(self.active)?;
        self.allowed
            .iter()
            .take(active)
            .find(|path| self.penalty(path, now) == 0 && self.doubted(path, now).is_none())
    }

    /// Gives the path in use, if one was chosen.
    #[must_use]
    pub fn active(&self) -> Option<&Path> {
        self.position(self.active).map(|(_, path)| path)
    }

    fn position(&self, path: Option<Fingerprint>) -> Option<(usize, &Path)> {
        let path = path?;
        self.allowed
            .iter()
            .enumerate()
            .find(|(_, there)| there.fingerprint() == path)
    }

    fn others<'a>(&'a self, but: &Path) -> impl Iterator<Item = (usize, &'a Path)> {
        let but = but.fingerprint();
        let all = self.allowed.iter().enumerate();
        all.filter(move |(_, path)| path.fingerprint() != but)
    }

    fn least_harmed_but(&self, now: Duration, but: &Path) -> Option<usize> {
        self.others(but)
            .min_by_key(|(index, path)| {
                let (doubted, penalty) = (self.doubted(path, now), self.penalty(path, now));
                (doubted, penalty, shared(path, but), *index)
            })
            .map(|(index, _)| index)
    }

    fn least_harmed(&self, now: Duration) -> Option<usize> {
        self.allowed
            .iter()
            .enumerate()
            .min_by_key(|(index, path)| {
                let (doubted, penalty) = (self.doubted(path, now), self.penalty(path, now));
                (doubted, penalty, *index)
            })
            .map(|(index, _)| index)
    }
}

/// What a path shares with another: whether the first interface, and how many.
fn shared(path: &Path, other: &Path) -> (bool, usize) {
    let first = path.same_first_interface(other);
    (first, path.shared_interfaces(other))
}

/// The interfaces that a path crosses.
fn crossed(path: &Path) -> impl Iterator<Item = (IsdAs, InterfaceId)> {
    let all = path.interfaces();
    all.map(|(isd_as, interface, _)| (isd_as, interface))
}

const fn no_path(known: usize) -> NoPath {
    if known == 0 {
        NoPath::Unknown
    } else {
        NoPath::Fenced(known)
    }
}
