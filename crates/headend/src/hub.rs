//! Tells whoever listens that something changed.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use model::xml::SmartMeterId;
use model::{MeterId, Timestamp};
use tokio::sync::broadcast;

use crate::power::Power;

/// Changes, in order, to any number of listeners; the last ones are kept for those who come back.
#[derive(Debug)]
pub struct Hub {
    recent: Mutex<Recent>,
    listeners: broadcast::Sender<Numbered>,
}

/// A change with its place in the order.
pub type Numbered = (u64, Change);

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The row of a meter in lists.
    Row(MeterId),
    /// Something about a meter that its page shows.
    Meter(MeterId),
    /// The power of a watched meter.
    Power(MeterId, Power),
    /// A drill at a meter.
    Drill(MeterId),
    /// Something about an outlet meter.
    Outlet(SmartMeterId),
    /// What is known of a concentrator.
    Concentrator(MeterId),
    /// A watched meter did not give its power.
    PowerError(MeterId, Timestamp, &'static str),
}

#[derive(Debug)]
struct Recent {
    next: u64,
    changes: VecDeque<Numbered>,
}

/// The number of changes kept, and of those a slow listener may be behind before it misses some.
const KEPT: usize = 1_024;

impl Hub {
    /// Makes a hub that numbers changes from `first` on: a time in milliseconds keeps numbers
    /// rising across restarts.
    pub fn new(first: u64) -> Self {
        let (listeners, _) = broadcast::channel(KEPT);
        Self {
            recent: Mutex::new(Recent {
                next: first,
                changes: VecDeque::with_capacity(KEPT),
            }),
            listeners,
        }
    }

    /// Tells a change.
    pub fn send(&self, change: Change) {
        // Held while sending, so that listeners get numbers in order.
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let numbered = (recent.next, change);
        recent.next += 1;
        if recent.changes.len() == KEPT {
            recent.changes.pop_front();
        }
        recent.changes.push_back(numbered);
        // An error means that nobody listens.
        drop(self.listeners.send(numbered));
    }

    /// Returns the changes after number `seen` that are still kept, and those to come.
    pub fn listen(&self, seen: Option<u64>) -> (Vec<Numbered>, broadcast::Receiver<Numbered>) {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = seen.map_or_else(Vec::new, |seen| {
            let later = recent.changes.iter().filter(|(number, _)| *number > seen);
            later.copied().collect()
        });
        (missed, self.listeners.subscribe())
    }

    /// Returns the number that the next change will have.
    pub fn next_number(&self) -> u64 {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.next
    }
}
