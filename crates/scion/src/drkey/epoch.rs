//! Epochs, and the keys kept for them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::Protocol;
use crate::address::IsdAs;

/// How long a key is still taken after its epoch, in seconds (reference
/// `pkg/drkey`, `GRACE_PERIOD`).
pub const GRACE: u64 = 5;

/// How late whoever chooses the epoch reckons, in seconds: so the other end
/// takes it whether its clock is up to two seconds behind or three ahead.
pub const LATE: u64 = 2;

/// How long before an epoch ends the next one's key is worth fetching, in
/// seconds.
pub const PREFETCH: u64 = 30 * 60;

/// The longest epoch that is taken, in seconds: three days.
const MAX_EPOCH: u32 = 3 * 24 * 60 * 60;

/// Most epochs of one key that are kept: the last, this, the next.
const MAX_EPOCHS: usize = 3;

/// When a key holds: from its begin up to, not including, its end, in seconds
/// since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    begin: u32,
    end: u32,
}

/// An epoch that is none, or does not fit those there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// It ends before it begins, or is longer than three days.
    #[error("an epoch of {begin} to {end} is none: it lasts from one second to three days")]
    Length {
        /// Its begin.
        begin: u32,
        /// Its end.
        end: u32,
    },
    /// It is over, or begins later than anybody would fetch it.
    #[error("an epoch of {begin} to {end} is of no use at {now}")]
    Elsewhere {
        /// Its begin.
        begin: u32,
        /// Its end.
        end: u32,
        /// The present time.
        now: u64,
    },
    /// It overlaps another one of the same key.
    #[error("an epoch of {begin} to {end} overlaps that of {there_begin} to {there_end}")]
    Overlap {
        /// Its begin.
        begin: u32,
        /// Its end.
        end: u32,
        /// The begin of the one there is.
        there_begin: u32,
        /// The end of the one there is.
        there_end: u32,
    },
}

impl Epoch {
    /// Takes begin and end.
    ///
    /// # Errors
    /// [`EpochError::Length`] below one second or above three days.
    pub const fn new(begin: u32, end: u32) -> Result<Self, EpochError> {
        if end <= begin || end - begin > MAX_EPOCH {
            return Err(EpochError::Length { begin, end });
        }
        Ok(Self { begin, end })
    }

    /// Tells the first second.
    #[must_use]
    pub const fn begin(self) -> u32 {
        self.begin
    }

    /// Tells the second after the last.
    #[must_use]
    pub const fn end(self) -> u32 {
        self.end
    }

    /// Tells whether `now` lies within it.
    #[must_use]
    pub const fn covers(self, now: u64) -> bool {
        self.begin as u64 <= now && now < self.end as u64
    }

    /// Tells whether a key of it is still taken from a peer whose clock lags.
    #[must_use]
    pub const fn in_grace(self, now: u64) -> bool {
        self.end as u64 <= now && now < self.end as u64 + GRACE
    }

    const fn is_over(self, now: u64) -> bool {
        self.end as u64 + GRACE <= now
    }

    const fn overlaps(self, other: Self) -> bool {
        self.begin < other.end && other.begin < self.end
    }
}

/// What a key is between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CacheKey {
    /// The protocol.
    pub protocol: Protocol,
    /// The AS whose secret it comes from.
    pub issuer: IsdAs,
    /// The host of it, where the key is a host's.
    pub issuer_host: Option<IpAddr>,
    /// The other AS.
    pub other: IsdAs,
    /// The host of that, where the key is a host's.
    pub other_host: Option<IpAddr>,
}

/// Keys by what they are between and when, a bounded number of them. They are
/// never stored elsewhere: after a restart they are fetched again.
#[derive(Clone, Debug)]
pub struct Cache<K> {
    capacity: usize,
    keys: BTreeMap<CacheKey, Vec<(Epoch, K)>>,
}

impl<K> Cache<K> {
    /// Makes an empty cache of at most `capacity` keys, at least one. Where it
    /// is full, the key that ends first makes room: it can be fetched again.
    #[must_use]
    pub const fn new(capacity: usize) -> Self {
        Self {
            capacity: if capacity == 0 { 1 } else { capacity },
            keys: BTreeMap::new(),
        }
    }

    /// Counts the keys, each epoch's of one pair as one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.values().map(Vec::len).sum()
    }

    /// Tells whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Keeps a key that was fetched. One of the same epoch is replaced: the
    /// issuer has drawn a new master secret.
    ///
    /// # Errors
    /// [`EpochError`] where the epoch is over, begins later than
    /// [`PREFETCH`] from now, or overlaps another one.
    pub fn insert(
        &mut self,
        between: CacheKey,
        epoch: Epoch,
        key: K,
        now: u64,
    ) -> Result<(), EpochError> {
        let Epoch { begin, end } = epoch;
        if epoch.is_over(now) || u64::from(begin) > now.saturating_add(PREFETCH) {
            return Err(EpochError::Elsewhere { begin, end, now });
        }
        self.purge(now);
        if let Some(there) = self.keys.get_mut(&between) {
            if let Some((_, old)) = there.iter_mut().find(|(at, _)| *at == epoch) {
                *old = key;
                return Ok(());
            }
            if let Some((at, _)) = there.iter().find(|(at, _)| at.overlaps(epoch)) {
                return Err(EpochError::Overlap {
                    begin,
                    end,
                    there_begin: at.begin,
                    there_end: at.end,
                });
            }
            if there.len() == MAX_EPOCHS {
                there.remove(0);
            }
        }
        while self.len() >= self.capacity {
            self.drop_first_to_end();
        }
        let there = self.keys.entry(between).or_default();
        there.push((epoch, key));
        there.sort_by_key(|(at, _)| *at);
        Ok(())
    }

    /// Gives the key that holds at `now`.
    #[must_use]
    pub fn current(&self, between: &CacheKey, now: u64) -> Option<(Epoch, &K)> {
        self.acceptable(between, now)
            .find(|(epoch, _)| epoch.covers(now))
    }

    /// Gives each key that a peer may have used: the one that holds, then the
    /// one whose epoch has just ended, within [`GRACE`].
    pub fn acceptable(
        &self,
        between: &CacheKey,
        now: u64,
    ) -> impl Iterator<Item = (Epoch, &K)> + use<'_, K> {
        let there = self.keys.get(between).map_or(&[][..], Vec::as_slice);
        there
            .iter()
            .rev()
            .filter(move |(epoch, _)| epoch.covers(now) || epoch.in_grace(now))
            .map(|(epoch, key)| (*epoch, key))
    }

    /// Tells whether a key is worth fetching now: there is none that holds, or
    /// it ends within [`PREFETCH`] and the next is not there.
    #[must_use]
    pub fn is_due(&self, between: &CacheKey, now: u64) -> bool {
        self.current(between, now).is_none_or(|(epoch, _)| {
            u64::from(epoch.end) <= now.saturating_add(PREFETCH)
                && self
                    .keys
                    .get(between)
                    .is_none_or(|there| !there.iter().any(|(next, _)| next.begin >= epoch.end))
        })
    }

    /// Forgets the keys whose epoch and grace are over.
    pub fn purge(&mut self, now: u64) {
        self.keys.retain(|_, there| {
            there.retain(|(epoch, _)| !epoch.is_over(now));
            !there.is_empty()
        });
    }

    fn drop_first_to_end(&mut self) {
        let first = self
            .keys
            .iter()
            .filter_map(|(between, there)| Some((there.first()?.0.end, *between)))
            .min();
        let Some((_, between)) = first else { return };
        if let Some(there) = self.keys.get_mut(&between) {
            there.remove(0);
            if there.is_empty() {
                self.keys.remove(&between);
            }
        }
    }
}
