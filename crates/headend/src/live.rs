//! Live power: one association with each watched meter, however many watch it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::MeterId;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::clock::Clock;
use crate::collector::{
    AccessError, Conversation, LIVE_REGISTERS, Leases, MeterAccess, MeterTarget,
};
use crate::fleet::Fleet;
use crate::hub::Change;
use crate::power::Power;
use crate::store::Failure;

/// Reads the power of watched meters every second.
#[derive(Debug)]
pub struct Live {
    access: Arc<dyn MeterAccess>,
    fleet: Arc<Fleet>,
    clock: Arc<dyn Clock>,
    leases: Leases,
    answer: Duration,
    watched: Mutex<BTreeMap<MeterId, Watched>>,
}

#[derive(Debug)]
struct Watched {
    watches: usize,
    task: AbortHandle,
}

/// Keeps a meter watched until it is dropped.
#[derive(Debug)]
pub struct Watch {
    live: Arc<Live>,
    meter: MeterId,
}

/// The greatest number of meters watched at once.
pub const WATCHED_MAX: usize = 32;
const PERIOD: Duration = Duration::from_secs(1);
const PAUSE_LONGEST: Duration = Duration::from_secs(30);

impl Live {
    /// Makes a reader that gives up on an answer after `answer` over IP.
    pub fn new(
        access: Arc<dyn MeterAccess>,
        fleet: Arc<Fleet>,
        clock: Arc<dyn Clock>,
        leases: Leases,
        answer: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            access,
            fleet,
            clock,
            leases,
            answer,
            watched: Mutex::default(),
        })
    }

    /// Watches a meter; `None` where [`WATCHED_MAX`] others are watched already.
    pub fn watch(self: &Arc<Self>, meter: MeterId) -> Option<Watch> {
        let mut watched = self.lock();
        let count = watched.len();
        match watched.get_mut(&meter) {
            Some(entry) => entry.watches += 1,
            None if count >= WATCHED_MAX => return None,
            None => {
                let task = tokio::spawn(Arc::clone(self).read(meter)).abort_handle();
                watched.insert(meter, Watched { watches: 1, task });
            }
        }
        Some(Watch {
            live: Arc::clone(self),
            meter,
        })
    }

    /// Returns the number of meters watched.
    pub fn watched(&self) -> usize {
        self.lock().len()
    }

    async fn read(self: Arc<Self>, meter: MeterId) {
        let mut pause = PERIOD;
        loop {
            let lease = self.leases.take(meter).await;
            let Some((known, _, _)) = self.fleet.meter(meter) else {
                return;
            };
            let target = MeterTarget {
                id: meter,
                enrolment: known.meter.enrolment,
            };
            let mut answered = false;
            let pace = self.fleet.lines().pace(&target.enrolment);
            let limit = pace.association(self.answer);
            // On a slow line an association takes minutes, and others do not wait for ours.
            let opened = tokio::select! {
                opened = bounded(limit, self.access.open(&target)) => opened,
                () = lease.wanted() => {
                    drop(lease);
                    continue;
                }
            };
            let outcome = match opened {
                Ok(talk) => {
                    let is_wanted = || lease.is_wanted();
                    let limit = pace.answer(self.answer);
                    self.follow(meter, talk, limit, &mut answered, is_wanted)
                        .await
                }
                Err(error) => Err(error),
            };
            drop(lease);
            if answered {
                pause = PERIOD;
            }
            let Err(error) = outcome else { continue };
            // What breaks off after values may be a counter that another client of the meter has
            // moved, which a new association mends: only a try without any value is told.
            if !answered {
                let reason = error.reason.sentence();
                let change = Change::PowerError(meter, self.clock.now(), reason);
                self.fleet.hub().send(change);
            }
            sleep(pause).await;
            if !answered {
                pause = (pause * 2).min(PAUSE_LONGEST);
            }
        }
    }

    /// Reads every second until the meter fails or somebody else wants to talk to it.
    async fn follow(
        &self,
        meter: MeterId,
        mut talk: Box<dyn Conversation>,
        limit: Duration,
        answered: &mut bool,
        is_wanted: impl Fn() -> bool,
    ) -> Result<(), AccessError> {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            let registers = bounded(limit, talk.registers(&LIVE_REGISTERS)).await?;
            *answered = true;
            let mut power = Power::of(&registers);
            let at = *power.at.get_or_insert_with(|| self.clock.now());
            if let Some(watts) = power.total {
                self.fleet.apply_power(meter, watts, at);
            }
            self.fleet.hub().send(Change::Power(meter, power));
            if is_wanted() {
                return bounded(limit, talk.close()).await;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<MeterId, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn bounded<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, AccessError>>,
) -> Result<T, AccessError> {
    let answer = timeout(limit, answer).await;
    answer.unwrap_or(Err(AccessError::ended(Failure::NoAnswer)))
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.live.lock();
        let Some(entry) = watched.get_mut(&self.meter) else {
            return;
        };
        entry.watches -= 1;
        if entry.watches == 0 {
            entry.task.abort();
            watched.remove(&self.meter);
        }
    }
}
