//! One conversation a meter: who holds it, and who asks for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::MeterId;
use tokio::sync::OwnedMutexGuard;
use tokio::time::sleep;

/// Who may talk to a meter. Meters serve one association of a client at a time, so the collector
/// and a live view take turns.
#[derive(Clone, Debug, Default)]
pub struct Leases(Arc<Mutex<BTreeMap<MeterId, Arc<Slot>>>>);

#[derive(Debug, Default)]
struct Slot {
    talk: Arc<tokio::sync::Mutex<()>>,
    asking: AtomicUsize,
}

/// The right to talk to one meter, until it is dropped.
#[derive(Debug)]
pub struct Lease {
    slot: Arc<Slot>,
    leases: Leases,
    meter: MeterId,
    guard: Option<OwnedMutexGuard<()>>,
}

/// How often it is looked whether somebody waits.
const LOOK: Duration = Duration::from_millis(500);

impl Leases {
    /// Waits for the right to talk to a meter.
    pub async fn take(&self, meter: MeterId) -> Lease {
        let slot = {
            // Counted under the lock: a slot that somebody is about to ask for is not removed.
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let slot = Arc::clone(slots.entry(meter).or_default());
            slot.asking.fetch_add(1, Ordering::Relaxed);
            slot
        };
        let mut lease = Lease {
            slot,
            leases: self.clone(),
            meter,
            guard: None,
        };
        let talk = Arc::clone(&lease.slot.talk);
        lease.guard = Some(talk.lock_owned().await);
        lease
    }
}

impl Lease {
    /// Says whether somebody else waits for it.
    pub fn is_wanted(&self) -> bool {
        self.slot.asking.load(Ordering::Relaxed) > 1
    }

    /// Waits until somebody else waits for it.
    pub async fn wanted(&self) {
        while !self.is_wanted() {
            sleep(LOOK).await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.guard = None;
        let mut slots = self.leases.0.lock().unwrap_or_else(PoisonError::into_inner);
        if self.slot.asking.fetch_sub(1, Ordering::Relaxed) == 1 {
            slots.remove(&self.meter);
        }
    }
}
