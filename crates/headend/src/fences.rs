//! Fences of meters that are reached over SCION: what a fence leaves, told before it is saved and
//! held against the same policy that sending is.
//!
//! A fence that is saved takes the place of the one that the meter was enrolled with, from its next
//! association on. Where a fence leaves one path or none, that is an event of the meter and an
//! alarm, until it leaves several again.

use std::sync::Arc;
use std::time::Duration;

use link::{LinkError, ScionFence, ScionOptions, ScionPath, ScionRemaining};
use model::{Event, EventKind, EventSource, MeterId};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::collector::MeterAccess;
use crate::fleet::Fleet;
use crate::store::{Contact, SavedFence, Store, StoreError, Sweep};

/// Between two looks at what all fences leave.
const EVERY: Duration = Duration::from_secs(60);

/// Meters that are looked at together: one whose daemon does not answer is not to hold up all.
const AT_ONCE: usize = 8;

/// The ways to a meter over SCION, as its own AS's daemon tells them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScionWays {
    /// What the endpoint says, with the fence that the meter was enrolled with.
    pub options: ScionOptions,
    /// The paths that there are, allowed or not.
    pub paths: Vec<ScionPath>,
}

/// What fences work with.
#[derive(Debug)]
pub struct FenceParts {
    /// Holds them.
    pub store: Arc<dyn Store>,
    /// Asks for paths.
    pub access: Arc<dyn MeterAccess>,
    /// Holds the meters.
    pub fleet: Arc<Fleet>,
    /// Tells the time of day.
    pub clock: Arc<dyn Clock>,
}

/// Fences of the meters of a running head end.
#[derive(Debug)]
pub struct Fences {
    parts: FenceParts,
    /// Held while it is told what a fence leaves, so that each turn is told once.
    telling: Mutex<()>,
}

/// Which fence is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    /// The one that holds.
    Current,
    /// The one that the meter was enrolled with.
    Enrolled,
    /// Another one.
    Other(ScionFence),
}

/// What a fence leaves.
#[derive(Clone, Debug)]
pub struct Left {
    /// The fence; none allows everything.
    pub fence: Option<ScionFence>,
    /// The fence that the meter was enrolled with.
    pub enrolled: Option<ScionFence>,
    /// What was saved last.
    pub saved: Option<SavedFence>,
    /// Each path in the order in which they are preferred, the allowed ones first, and why it is
    /// refused.
    pub paths: Vec<(ScionPath, Option<String>)>,
    /// How many are allowed.
    pub allowed: usize,
    /// What can be lost of them.
    pub remaining: ScionRemaining,
}

/// Why a fence is not looked at, or not saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FenceError {
    /// There is no such meter.
    #[error("no such meter")]
    NoSuchMeter,
    /// The meter is not reached over SCION.
    #[error("the meter is not reached over SCION")]
    NotScion,
    /// The paths are not known.
    #[error("the paths to the meter are not known: {0}")]
    Unknown(#[from] LinkError),
    /// It leaves no path, and nobody said that this is wanted.
    #[error("the fence leaves none of {0} paths")]
    LeavesNone(usize),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// A fence to be saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFence {
    /// What paths may touch; none: as the meter was enrolled.
    pub fence: Option<ScionFence>,
    /// Why.
    pub reason: String,
    /// Who says so.
    pub who: &'static str,
    /// Says that it may leave no path, so that nothing is sent any more.
    pub send_nothing: bool,
}

impl Fences {
    /// Looks at nothing yet.
    pub fn new(parts: FenceParts) -> Arc<Self> {
        Arc::new(Self {
            parts,
            telling: Mutex::default(),
        })
    }

    /// Tells what a fence leaves; nothing is sent to the meter.
    ///
    /// # Errors
    /// [`FenceError`]
    pub async fn left(&self, meter: MeterId, trial: Trial) -> Result<Left, FenceError> {
        let parts = &self.parts;
        let (found, ..) = parts.fleet.meter(meter).ok_or(FenceError::NoSuchMeter)?;
        let ways = parts.access.scion_ways(&found.meter.enrolment.endpoint);
        let ScionWays { mut options, paths } = ways.await?.ok_or(FenceError::NotScion)?;
        let saved = parts.store.fences().current(meter)?;
        let enrolled = options.fence.clone();
        options.fence = match trial {
            Trial::Current => effective(saved.as_ref(), enrolled.clone())?,
            Trial::Enrolled => enrolled.clone(),
            Trial::Other(fence) => Some(fence),
        };
        let policy = options.policy();
        let now = u64::try_from(parts.clock.now().secs()).unwrap_or(0);
        let preview = policy.preview(&paths, now);
        let (allowed, remaining) = (preview.allowed(), preview.remaining());
        let mut judged: Vec<_> = preview
            .paths
            .into_iter()
            .map(|(path, why)| (path.clone(), why.map(|why| why.to_string())))
            .collect();
        judged.sort_by(|(a, refused), (b, other)| {
            (refused.is_some().cmp(&other.is_some())).then_with(|| policy.order(a, b))
        });
        Ok(Left {
            fence: options.fence,
            enrolled,
            saved,
            paths: judged,
            allowed,
            remaining,
        })
    }

    /// Saves a fence, which holds from the meter's next association on.
    ///
    /// # Errors
    /// [`FenceError`]: then the fence is as it was.
    pub async fn save(&self, meter: MeterId, new: NewFence) -> Result<Left, FenceError> {
        let trial = match &new.fence {
            Some(fence) => Trial::Other(fence.clone()),
            None => Trial::Enrolled,
        };
        let left = self.left(meter, trial).await?;
        if left.allowed == 0 && !new.send_nothing {
            return Err(FenceError::LeavesNone(left.paths.len()));
        }
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let saved = SavedFence {
            meter,
            at: self.parts.clock.now(),
            who: new.who.to_owned(),
            reason: new.reason,
            fence: new.fence.map(|fence| fence.to_string()),
            allowed: count(left.allowed),
            known: count(left.paths.len()),
        };
        self.parts.store.fences().put(saved.clone()).await?;
        tracing::info!(%meter, allowed = left.allowed, "a fence is saved");
        let left = Left {
            saved: Some(saved),
            ..left
        };
        self.note(meter, &left).await;
        Ok(left)
    }

    /// Looks at all fences again and again, until `stop` says so: what a fence leaves changes with
    /// the network.
    pub(crate) async fn watch(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let fenced = self.parts.fleet.with_meters(|meters| {
                let over = |endpoint: &str| endpoint.contains("scion://");
                let all = meters.iter();
                let all = all.filter(|(_, it)| over(&it.meter.enrolment.endpoint));
                all.map(|(id, _)| *id).collect::<Vec<_>>()
            });
            let mut looks = JoinSet::new();
            for meter in fenced {
                if looks.len() >= AT_ONCE {
                    tokio::select! {
                        // What is under way ends with the set.
                        _ = stop.wait_for(|stop| *stop) => return,
                        _ = looks.join_next() => {}
                    }
                }
                looks.spawn(Arc::clone(&self).look(meter));
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = async { while looks.join_next().await.is_some() {} } => {}
            }
            tokio::select! {
                _ = stop.changed() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Looks at the fence of one meter.
    async fn look(self: Arc<Self>, meter: MeterId) {
        match self.left(meter, Trial::Current).await {
            Ok(left) => self.note(meter, &left).await,
            Err(error) => tracing::debug!(%error, %meter, "a fence is not looked at"),
        }
    }

    /// Makes an event of it where a fence has come to leave one path or none, and where that is
    /// over. What was told last stands in the fleet, also after a start.
    async fn note(&self, meter: MeterId, left: &Left) {
        let _one_at_a_time = self.telling.lock().await;
        // Another one was saved meanwhile: that was told, or will be.
        let holds = self.parts.store.fences().current(meter);
        if !holds.is_ok_and(|saved| saved == left.saved) {
            return;
        }
        let found = match left.remaining {
            _ if left.fence.is_none() => None,
            ScionRemaining::None => Some(EventKind::FenceLeavesNone),
            ScionRemaining::One => Some(EventKind::FenceLeavesOne),
            ScionRemaining::OneLinkDecides { .. } | ScionRemaining::Several => None,
        };
        let Some((known, ..)) = self.parts.fleet.meter(meter) else {
            return;
        };
        let alarms = known.alarms(self.parts.clock.now());
        let mut open = alarms.iter().map(|alarm| alarm.known.kind);
        let told = open
            .find(|kind| [EventKind::FenceLeavesNone, EventKind::FenceLeavesOne].contains(kind));
        if found == told {
            return;
        }
        let kind = found.unwrap_or(EventKind::FenceLeavesSeveral);
        let at = self.parts.clock.now();
        let mut sweep = Sweep::new(meter, at, Contact::Told);
        sweep.events.push(Event {
            at,
            source: EventSource::HeadEnd,
            code: kind.code(),
        });
        match self.parts.store.ingest(sweep).await {
            Ok(stored) => self.parts.fleet.apply(meter, false, &stored),
            Err(error) => tracing::error!(%error, %meter, "an event of a fence is not kept"),
        }
    }
}

/// The fence that holds: what was saved last, else the enrolment's. A saved one that cannot be read
/// is an error, so that nothing is sent.
pub(crate) fn effective(
    saved: Option<&SavedFence>,
    enrolled: Option<ScionFence>,
) -> Result<Option<ScionFence>, StoreError> {
    match saved.and_then(|saved| saved.fence.as_ref()) {
        None => Ok(enrolled),
        Some(text) => {
            let fence = text.parse();
            fence
                .map(Some)
                .map_err(|_| StoreError::DamagedValue("fence"))
        }
    }
}
