//! Which meters are registered on the lines of a pair: what each tells the other, so that whoever
//! takes a line over need not search for them.
//!
//! It is kept in memory and told beside the records: where it is lost, or wrong, meters are
//! searched for.

use std::collections::{BTreeMap, BTreeSet};

use link::{Node, Registration};
use model::LogicalDeviceName;

use super::wire::{Registered, Word};
use crate::direct::SegmentId;

/// Registrations of the other that are kept, on all segments: as many as meters can have SAPs.
pub const REGISTERED_MAX: usize = crate::sap::ENTRIES_MAX;

/// Registrations that are told with one beat, so that they hold nothing else up for long.
const AT_ONCE: usize = 128;

/// What is known of registrations here, and of those that the other told.
#[derive(Debug, Default)]
pub(super) struct Registry {
    own: BTreeMap<(SegmentId, Node), Registered>,
    untold: BTreeSet<(SegmentId, Node)>,
    theirs: BTreeMap<(SegmentId, u16), Registered>,
    pub(super) adopted: u64,
}

impl Registry {
    /// Takes that a connection begins: the other is told all.
    pub(super) fn connected(&mut self) {
        self.untold = self.own.keys().copied().collect();
    }

    /// Counts those that the other told.
    pub(super) fn known(&self) -> usize {
        self.theirs.len()
    }

    /// Takes that a meter is registered here.
    pub(super) fn joined(&mut self, segment: SegmentId, node: Node, how: Registration) {
        let meter = Registered {
            segment,
            how,
            name: None,
        };
        self.own.insert((segment, node), meter);
        self.untold.insert((segment, node));
    }

    /// Takes that a meter is no longer registered here; tells what the other is to be told.
    pub(super) fn left(&mut self, segment: SegmentId, node: Node) -> Option<Word> {
        self.untold.remove(&(segment, node));
        let meter = self.own.remove(&(segment, node))?;
        Some(Word::Gone(segment, meter.how.address))
    }

    /// Forgets a segment that this one no longer has. The other keeps what it was told of it.
    pub(super) fn released(&mut self, segment: SegmentId) {
        self.own.retain(|(it, _), _| *it != segment);
        self.untold.retain(|(it, _)| *it != segment);
    }

    /// Learns the names of the own ones.
    pub(super) fn name<'a>(
        &mut self,
        find: impl Fn(SegmentId, Node) -> Option<&'a LogicalDeviceName>,
    ) {
        for (&(segment, node), meter) in &mut self.own {
            let name = find(segment, node);
            if name != meter.name.as_ref() {
                meter.name = name.cloned();
                self.untold.insert((segment, node));
            }
        }
    }

    /// Takes some that the other was not told yet.
    pub(super) fn tell(&mut self) -> Vec<Word> {
        let mut words = Vec::new();
        while words.len() < AT_ONCE
            && let Some(place) = self.untold.pop_first()
        {
            words.extend(self.own.get(&place).cloned().map(Word::Here));
        }
        words
    }

    /// Takes what the other told; what there is no room for is left out.
    pub(super) fn told(&mut self, meter: Registered) {
        let key = (meter.segment, meter.how.address);
        if self.theirs.len() < REGISTERED_MAX || self.theirs.contains_key(&key) {
            self.theirs.insert(key, meter);
        }
    }

    /// Hears that a meter of the other has gone.
    pub(super) fn gone(&mut self, segment: SegmentId, address: u16) {
        self.theirs.remove(&(segment, address));
    }

    /// Takes what the other told of a segment.
    pub(super) fn take(&mut self, segment: SegmentId) -> Vec<Registered> {
        let of_it = (segment, 0)..=(segment, u16::MAX);
        let keys: Vec<_> = self.theirs.range(of_it).map(|(key, _)| *key).collect();
        let theirs = keys.iter().filter_map(|key| self.theirs.remove(key));
        theirs.collect()
    }
}
