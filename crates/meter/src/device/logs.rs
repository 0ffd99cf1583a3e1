//! The event logs of a meter, each a ring of as many entries as its profile shows.

use std::collections::{BTreeMap, VecDeque};

use crate::journal::LogEntry;
use crate::template::{ProfileRows, Template};

#[derive(Debug)]
pub(super) struct Logs(BTreeMap<u8, Log>);

#[derive(Debug)]
struct Log {
    entries: VecDeque<LogEntry>,
    entries_max: usize,
    next_sequence: u64,
}

impl Logs {
    pub(super) fn new(template: &Template) -> Self {
        let profiles = template.objects.values().filter_map(|object| {
            let profile = object.profile.as_ref()?;
            match profile.rows {
                ProfileRows::Log(log) => Some((log, profile.entries)),
                ProfileRows::Load => None,
            }
        });
        Self(
            profiles
                .map(|(log, entries)| {
                    let log_state = Log {
                        entries: VecDeque::new(),
                        entries_max: usize::try_from(entries).unwrap_or(usize::MAX),
                        next_sequence: 0,
                    };
                    (log, log_state)
                })
                .collect(),
        )
    }

    /// Says whether the model has this log.
    pub(super) fn has(&self, log: u8) -> bool {
        self.0.contains_key(&log)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.values().all(|log| log.next_sequence == 0)
    }

    /// Returns the number of the next entry of a log.
    pub(super) fn next_sequence(&self, log: u8) -> u64 {
        self.0.get(&log).map_or(0, |log| log.next_sequence)
    }

    /// Adds an entry; one that is there already is left out.
    pub(super) fn push(&mut self, entry: LogEntry) {
        let Some(log) = self.0.get_mut(&entry.log) else {
            return;
        };
        if entry.sequence < log.next_sequence {
            return;
        }
        log.next_sequence = entry.sequence.saturating_add(1);
        if log.entries.len() >= log.entries_max {
            log.entries.pop_front();
        }
        log.entries.push_back(entry);
    }

    /// Goes over the entries of a log, oldest first.
    pub(super) fn of(&self, log: u8) -> impl Iterator<Item = &LogEntry> {
        self.0.get(&log).into_iter().flat_map(|log| &log.entries)
    }

    /// Returns the newest entry of a log.
    pub(super) fn last(&self, log: u8) -> Option<&LogEntry> {
        self.0.get(&log).and_then(|log| log.entries.back())
    }

    /// Goes over all entries.
    pub(super) fn iter(&self) -> impl Iterator<Item = &LogEntry> {
        self.0.values().flat_map(|log| &log.entries)
    }

    pub(super) fn octets(&self) -> usize {
        let capacity = |log: &Log| log.entries.capacity() * size_of::<LogEntry>();
        self.0.values().map(capacity).sum()
    }
}
