//! The one timer table of a machine.

use alloc::collections::BTreeMap;

use crate::Instant;

#[derive(Debug)]
pub(super) struct Timers<T>(BTreeMap<T, Instant>);

impl<T: Ord + Copy> Timers<T> {
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(super) fn arm(&mut self, timer: T, at: Instant) {
        self.0.insert(timer, at);
    }

    /// Arms a timer that is not armed yet.
    pub(super) fn arm_once(&mut self, timer: T, at: Instant) {
        self.0.entry(timer).or_insert(at);
    }

    pub(super) fn stop(&mut self, timer: T) {
        self.0.remove(&timer);
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }

    /// Takes the first timer that is due.
    pub(super) fn expired(&mut self, now: Instant) -> Option<T> {
        let (&timer, _) = self
            .0
            .iter()
            .filter(|(_, at)| **at <= now)
            .min_by_key(|(_, at)| **at)?;
        self.0.remove(&timer);
        Some(timer)
    }

    pub(super) fn is_due(&self, timer: T, now: Instant) -> bool {
        self.0.get(&timer).is_some_and(|at| *at <= now)
    }
}
