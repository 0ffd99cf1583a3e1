//! What reader, recorder and server share: the cache, and whether the way to
//! the meter is open.

use std::sync::{Mutex, MutexGuard, PoisonError};

use han::measure::Report;
use model::Timestamp;
use tokio::sync::watch;

use crate::cache::{Cache, Snapshot};

/// The cache with a bell.
#[derive(Debug)]
pub struct Shared {
    cache: Cache,
    way: Mutex<Way>,
    changes: watch::Sender<u64>,
}

/// The way to the meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// What kind it is.
    pub source: String,
    /// Whether the meter tells by itself.
    pub pushes: bool,
    /// Since when it is open, or is not.
    pub since: Timestamp,
    /// Why it is not open, and what to do.
    pub reason: Option<String>,
    /// When something of the meter was received last.
    pub last: Option<Timestamp>,
    /// Messages that could not be read.
    pub unread: u64,
}

impl Shared {
    /// Starts with a way that is not open yet.
    #[must_use]
    pub fn new(source: String, pushes: bool, now: Timestamp) -> Self {
        let way = Way {
            source,
            pushes,
            since: now,
            reason: Some("The way to the meter is being opened.".to_owned()),
            last: None,
            unread: 0,
        };
        Self {
            cache: Cache::new(),
            way: Mutex::new(way),
            changes: watch::channel(0).0,
        }
    }

    /// Takes over what was known of the registers before a restart.
    pub fn restore(&self, before: &Snapshot) {
        self.cache.restore(before);
    }

    /// Copies what is known of the meter.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.cache.snapshot()
    }

    /// Copies what is known of the way.
    #[must_use]
    pub fn way(&self) -> Way {
        self.lock().clone()
    }

    /// Tells of each change from now on; of several in a row perhaps once.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Counts changes.
    #[must_use]
    pub fn version(&self) -> u64 {
        *self.changes.borrow()
    }

    /// Takes a report in.
    pub fn take(&self, report: &Report, received: Timestamp, standard_offset_minutes: Option<i16>) {
        self.cache.take(report, received, standard_offset_minutes);
        self.lock().last = Some(received);
        self.changed();
    }

    /// Tells that the way is open.
    pub fn opened(&self, now: Timestamp) {
        self.cache.connected(true);
        let mut way = self.lock();
        way.since = now;
        way.reason = None;
        drop(way);
        self.changed();
    }

    /// Tells that it is not, and why.
    pub fn closed(&self, reason: &str, now: Timestamp) {
        let was_open = self.cache.snapshot().connected;
        self.cache.connected(false);
        let mut way = self.lock();
        if was_open {
            way.since = now;
        }
        way.reason = Some(reason.chars().take(REASON_MAX).collect());
        drop(way);
        self.changed();
    }

    /// Takes the poller's counts over.
    pub fn counted(&self, polls: u64, lost: u64, late: u64) {
        self.cache.counted(polls, lost, late);
    }

    /// Takes over how many messages could not be read.
    pub fn unread(&self, unread: u64) {
        self.lock().unread = unread;
    }

    fn changed(&self) {
        self.changes
            .send_modify(|version| *version = version.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, Way> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Characters that a reason may have.
const REASON_MAX: usize = 200;
