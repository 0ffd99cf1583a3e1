//! Drills: a link of a simulated network is cut on purpose while a meter is read at a fast and
//! steady pace, and what the readings went through is kept.
//!
//! There are none but where the configuration names the control of a simulated network. A drill
//! stands in the journal before anything is done. The cut itself says after how long the network
//! mends it, so that no end of ours leaves a link cut; we mend it besides, however the drill ends.
//! One drill at a time: there is one network.

mod control;
mod timeline;

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use dlms::cosem::Obis;
use link::{Clock as _, ScionPath, SystemClock};
use model::MeterId;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::collector::{AccessError, Conversation, Leases, MeterAccess, MeterTarget, RegisterRef};
use crate::fences::{FenceError, Fences, Left, Trial};
use crate::fleet::Fleet;
use crate::hub::Change;
use crate::journal;
use crate::store::{
    DrillEnd, DrillOutcome, DrillRow, Failure, NewDrill, PathTaken, Store, StoreError,
};
use control::Control;

pub use control::{ControlError, SimulatedLink};
pub use timeline::{DrillPath, DrillReading, DrillSummary, Timeline};

/// The time between two readings.
pub const EVERY: Duration = Duration::from_millis(100);

/// How long is read before the cut.
pub const LEAD: Duration = Duration::from_secs(2);

/// How long is read after the link is mended, and as long again over a new association.
pub const TAIL: Duration = Duration::from_secs(2);

/// How long a link may be cut, in seconds.
pub const CUT_S: std::ops::RangeInclusive<u16> = 1..=60;

/// Readings of one drill: those of the longest cut, and as many again where the control is slow.
const READINGS_MAX: u32 = 1_400;

/// How long one reading may take before it is lost.
const READING_MAX: Duration = Duration::from_secs(5);

/// How long a drill waits for others who talk to the meter before it is given up.
const LEASE_MAX: Duration = Duration::from_secs(60);

/// How often mending is tried, and the wait before the next time.
const MEND_TRIES: u32 = 3;
const MEND_AGAIN: Duration = Duration::from_millis(500);

/// After so many readings who looks is told.
const TELL_EVERY: usize = 5;

/// What is read: active energy drawn, which changes nothing and which every meter has.
const READ: [RegisterRef; 1] = [RegisterRef::register(Obis::new(1, 0, 1, 8, 0, 255))];

/// What drills work with.
#[derive(Debug)]
pub struct DrillParts {
    /// Names the control of the simulated network; none: there are no drills.
    pub control: Option<SocketAddr>,
    /// Holds the journal.
    pub store: Arc<dyn Store>,
    /// Says how meters are reached.
    pub access: Arc<dyn MeterAccess>,
    /// Holds the meters.
    pub fleet: Arc<Fleet>,
    /// Knows their paths.
    pub fences: Arc<Fences>,
    /// Tells the time of day.
    pub clock: Arc<dyn Clock>,
    /// Says who may talk to a meter.
    pub leases: Leases,
}

/// Drills of a running head end.
#[derive(Debug)]
pub struct Drills {
    parts: Arc<DrillParts>,
    running: Arc<Mutex<Option<Slot>>>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
    stop: watch::Receiver<bool>,
}

/// The drill that is under way, and who can stop it.
#[derive(Debug)]
struct Slot {
    running: Running,
    halt: watch::Sender<bool>,
}

/// A drill that is under way.
#[derive(Clone, Debug)]
pub struct Running {
    /// Its number in the journal.
    pub number: i64,
    /// What was asked for.
    pub drill: NewDrill,
    /// How far it is.
    pub phase: Phase,
    /// What readings went through so far.
    pub timeline: Timeline,
}

/// How far a drill is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It waits for its turn at the meter.
    Waiting,
    /// It reads, and nothing is cut yet.
    Steady,
    /// The link is cut.
    Cut,
    /// The link is mended.
    Mended,
}

impl Phase {
    /// Names it, as programs are told.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Steady => "steady",
            Self::Cut => "cut",
            Self::Mended => "mended",
        }
    }
}

/// A link that paths of a meter cross.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrillLink {
    /// The link.
    pub link: SimulatedLink,
    /// Whether the path of the last readings crosses it.
    pub in_use: bool,
    /// Allowed paths that do not.
    pub leaves: usize,
}

/// What can be cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrillSetup {
    /// The links that paths of the meter cross.
    pub links: Vec<DrillLink>,
    /// Paths that the fence allows.
    pub allowed: usize,
    /// The link that would be cut where none is named, as far as that is known.
    pub chosen: Option<String>,
}

/// Why there is no drill; nothing was written down and nothing cut.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DrillRefused {
    /// No control of a simulated network is configured.
    #[error("no control of a simulated network is configured")]
    NoControl,
    /// The meter's paths are not known, or it has none.
    #[error(transparent)]
    Fence(#[from] FenceError),
    /// Its fence leaves no path.
    #[error("the fence leaves no path")]
    LeavesNone,
    /// The control did not tell its links.
    #[error("the control of the simulated network failed")]
    Control(#[from] ControlError),
    /// The network has no such link.
    #[error("no such link")]
    NoSuchLink,
    /// No path to the meter crosses it.
    #[error("no path to the meter crosses the link")]
    Elsewhere,
    /// Somebody has cut it already.
    #[error("the link is cut already")]
    IsCut,
    /// No allowed path is left without the link, and nobody has confirmed that.
    #[error("no allowed path is left without the link, which was not confirmed")]
    Unconfirmed,
    /// An order to switch the meter has not ended.
    #[error("an order to switch the meter has not ended")]
    OrderUnderWay,
    /// Another drill is under way.
    #[error("another drill is under way")]
    Already,
    /// The head end is stopping.
    #[error("the head end is stopping")]
    Stopping,
    /// The journal cannot be written.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// Why a drill does not go through, in a sentence.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("Something else talks to the meter all the time. Nothing was cut.")]
    Busy,
    #[error("{} Nothing was cut.", .0.reason.sentence())]
    Meter(AccessError),
    #[error("No reading was answered before the cut was due. Nothing was cut.")]
    NoAnswer,
    #[error(
        "The path in use crosses no link of the simulated network that is up. Nothing was cut."
    )]
    NoLink,
    #[error("Somebody has cut the link meanwhile. Nothing was cut by this drill.")]
    IsCut,
    #[error("The control of the simulated network did not follow: {0}.")]
    Control(#[from] ControlError),
}

impl Drills {
    /// Ends what the head end before left open, and is ready for drills until `stop` says so.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn open(
        parts: DrillParts,
        stop: watch::Receiver<bool>,
    ) -> Result<Arc<Self>, StoreError> {
        let left = parts.store.drills().interrupted(parts.clock.now()).await?;
        if left > 0 {
            tracing::warn!(left, "drills were cut off by the last stop");
        }
        Ok(Arc::new(Self {
            parts: Arc::new(parts),
            running: Arc::default(),
            tasks: tokio::sync::Mutex::new(JoinSet::new()),
            stop,
        }))
    }

    /// Says whether there can be drills at all.
    pub fn is_configured(&self) -> bool {
        self.parts.control.is_some()
    }

    /// Shows the drill that is under way.
    pub fn running(&self) -> Option<Running> {
        let slot = lock(&self.running);
        slot.as_ref().map(|slot| slot.running.clone())
    }

    /// Tells what can be cut; nothing is sent to the meter.
    ///
    /// # Errors
    /// [`DrillRefused`] where there is no control or it does not answer as one, the meter's paths
    /// are not known, or the store fails.
    pub async fn setup(&self, meter: MeterId) -> Result<DrillSetup, DrillRefused> {
        let (_, all, left) = self.look(meter).await?;
        let known = || left.paths.iter().map(|(path, _)| path);
        let active = self.active(meter, &left)?;
        let allowed = allowed(&left);
        let chosen = active.and_then(|active| best(&all, active, &allowed));
        let chosen = chosen.map(|link| link.link.clone());
        let all = all
            .into_iter()
            .filter(|link| known().any(|path| crosses(path, link)));
        let links = all.map(|link| DrillLink {
            in_use: active.is_some_and(|active| crosses(active, &link)),
            leaves: leaves(&allowed, &link),
            link,
        });
        Ok(DrillSetup {
            links: links.collect(),
            allowed: allowed.len(),
            chosen,
        })
    }

    /// The path that the last readings of a meter took, if it is still there.
    fn active<'p>(
        &self,
        meter: MeterId,
        left: &'p Left,
    ) -> Result<Option<&'p ScionPath>, StoreError> {
        let (_, runs) = self.parts.store.path_runs(meter, None, 1)?;
        let last = runs.into_iter().next();
        let last = last.and_then(|run| run.receipt.paths.sent);
        let known = left.paths.iter().map(|(path, _)| path);
        Ok(last.and_then(|last| path_of(known, &last.fingerprint)))
    }

    /// Asks the control and the head end's AS what there is.
    async fn look(
        &self,
        meter: MeterId,
    ) -> Result<(Control, Vec<SimulatedLink>, Left), DrillRefused> {
        let control = self.parts.control.ok_or(DrillRefused::NoControl)?;
        let left = self.parts.fences.left(meter, Trial::Current).await?;
        let control = Control(control);
        let links = control.links().await?;
        Ok((control, links, left))
    }

    /// Writes a drill down and begins it; returns it as it stands in the journal. A cut that leaves
    /// no allowed path wants somebody to have `confirmed` it; where no link is named, that is judged
    /// by the path of the last readings.
    ///
    /// # Errors
    /// [`DrillRefused`] as of [`Self::setup`], where the fence or the link stands against it, an order
    /// to switch the meter or another drill is under way, or the head end is stopping: there is no
    /// drill then.
    pub async fn begin(&self, drill: NewDrill, confirmed: bool) -> Result<Running, DrillRefused> {
        let meter = drill.meter;
        let (control, links, left) = self.look(meter).await?;
        let parts = &self.parts;
        if let Some(name) = &drill.link {
            let found = links.iter().find(|link| link.ends_at(name));
            let found = found.ok_or(DrillRefused::NoSuchLink)?;
            if !left.paths.iter().any(|(path, _)| crosses(path, found)) {
                return Err(DrillRefused::Elsewhere);
            }
            if found.is_down() {
                return Err(DrillRefused::IsCut);
            }
        }
        if left.allowed == 0 {
            return Err(DrillRefused::LeavesNone);
        }
        let remaining = allowed(&left);
        let cut = match &drill.link {
            Some(name) => links.iter().find(|link| link.ends_at(name)),
            None => self
                .active(meter, &left)?
                .and_then(|path| best(&links, path, &remaining)),
        };
        if !confirmed && cut.is_some_and(|link| leaves(&remaining, link) == 0) {
            return Err(DrillRefused::Unconfirmed);
        }
        if parts.store.orders().switching(meter)?.is_some() {
            return Err(DrillRefused::OrderUnderWay);
        }
        let (found, ..) = parts.fleet.meter(meter).ok_or(FenceError::NoSuchMeter)?;
        // Held from here on: who stops waits for a drill that is in the journal.
        let mut tasks = self.tasks.lock().await;
        if *self.stop.borrow() {
            return Err(DrillRefused::Stopping);
        }
        if lock(&self.running).is_some() {
            return Err(DrillRefused::Already);
        }
        let number = parts.store.drills().begin(drill.clone()).await?;
        tracing::info!(number, %meter, link = drill.link, "a drill");
        let running = Running {
            number,
            drill: drill.clone(),
            phase: Phase::Waiting,
            timeline: Timeline {
                every_ms: millis(EVERY),
                ..Timeline::default()
            },
        };
        let (halt, halted) = watch::channel(false);
        *lock(&self.running) = Some(Slot {
            running: running.clone(),
            halt,
        });
        let run = Run {
            parts: Arc::clone(parts),
            control,
            number,
            drill,
            target: MeterTarget {
                id: meter,
                enrolment: found.meter.enrolment,
            },
            allowed: remaining,
            running: Arc::clone(&self.running),
            clock: SystemClock::new(),
            begun: OnceLock::new(),
            cut: Mutex::default(),
        };
        while tasks.try_join_next().is_some() {}
        tasks.spawn(run.run(halted, self.stop.clone()));
        parts.fleet.hub().send(Change::Drill(meter));
        Ok(running)
    }

    /// Ends the drill of a meter early; says whether there was one. Its link is mended.
    pub fn halt(&self, meter: MeterId) -> bool {
        let slot = lock(&self.running);
        let slot = slot.as_ref().filter(|it| it.running.drill.meter == meter);
        slot.is_some_and(|slot| {
            slot.halt.send_replace(true);
            true
        })
    }

    /// Waits for the drill that is under way, after the signal to stop: its link is mended.
    pub(crate) async fn ended(&self) {
        let mut tasks = self.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
    }

    /// Returns a drill of a meter with its timeline, where that is kept.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn by_number(&self, meter: MeterId, number: i64) -> Result<Option<DrillRow>, StoreError> {
        self.parts.store.drills().by_number(meter, number)
    }

    /// Returns the drills of a meter, the newest first and at most `limit`, without their timelines.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn list(&self, meter: MeterId, limit: u32) -> Result<Vec<DrillRow>, StoreError> {
        self.parts.store.drills().list(meter, limit)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

fn allowed(left: &Left) -> Vec<ScionPath> {
    let all = left.paths.iter().filter(|(_, refused)| refused.is_none());
    all.map(|(path, _)| path.clone()).collect()
}

fn path_of<'p>(
    mut paths: impl Iterator<Item = &'p ScionPath>,
    fingerprint: &str,
) -> Option<&'p ScionPath> {
    paths.find(|path| path.fingerprint().to_string() == fingerprint)
}

/// Says whether a path crosses a link.
fn crosses(path: &ScionPath, link: &SimulatedLink) -> bool {
    let mut ends = path.interfaces();
    ends.any(|(isd_as, interface, _)| link.ends_at(&format!("{isd_as}#{interface}")))
}

/// Counts the paths that are left without a link.
fn leaves(allowed: &[ScionPath], link: &SimulatedLink) -> usize {
    allowed.iter().filter(|path| !crosses(path, link)).count()
}

/// The link on a path without which most paths are left, the nearest one of several.
fn best<'l>(
    links: &'l [SimulatedLink],
    path: &ScionPath,
    allowed: &[ScionPath],
) -> Option<&'l SimulatedLink> {
    let ends = path.interfaces();
    let crossed = ends.filter_map(|(isd_as, interface, _)| {
        let end = format!("{isd_as}#{interface}");
        links.iter().find(|link| link.ends_at(&end))
    });
    let up = crossed.filter(|link| !link.is_down());
    up.min_by_key(|link| Reverse(leaves(allowed, link)))
}

/// One drill on its way.
struct Run {
    parts: Arc<DrillParts>,
    control: Control,
    number: i64,
    drill: NewDrill,
    target: MeterTarget,
    allowed: Vec<ScionPath>,
    running: Arc<Mutex<Option<Slot>>>,
    clock: SystemClock,
    /// When the first reading was due.
    begun: OnceLock<dlms::Instant>,
    /// The link that may be cut by us.
    cut: Mutex<Option<String>>,
}

/// What came of one question.
struct Answered {
    sent: u64,
    path: Option<PathTaken>,
}

impl Run {
    async fn run(self, mut halted: watch::Receiver<bool>, mut stop: watch::Receiver<bool>) {
        let ended = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {
                (DrillOutcome::CutOff, "The head end was stopped meanwhile.".to_owned())
            }
            _ = halted.wait_for(|halted| *halted) => {
                (DrillOutcome::Stopped, "It was stopped before its end.".to_owned())
            }
            ended = self.drill() => match ended {
                Ok(()) => (DrillOutcome::Done, String::new()),
                Err(broken) => (DrillOutcome::Failed, broken.to_string()),
            },
        };
        let (outcome, mut answer) = ended;
        self.mend_for_sure(&mut answer).await;
        let timeline = self.noted(|timeline| timeline.clone());
        let summary = timeline.summary();
        if outcome == DrillOutcome::Done {
            answer = format!(
                "{} readings, {} lost. The link was mended.",
                summary.readings, summary.lost
            );
        }
        let end = DrillEnd {
            outcome,
            answer,
            summary: self.json(&summary),
            timeline: self.json(&timeline),
            at: self.parts.clock.now(),
        };
        let (number, meter) = (self.number, self.drill.meter);
        tracing::info!(number, %meter, outcome = outcome.name(), "a drill ended");
        let close = || self.parts.store.drills().close(number, end.clone());
        journal::write_end("a drill", number, close, stop).await;
        // As long as its end is not written it is the one that is under way.
        *lock(&self.running) = None;
        self.parts.fleet.hub().send(Change::Drill(meter));
    }

    /// As it is kept.
    fn json(&self, value: &impl Serialize) -> Option<String> {
        let text = serde_json::to_string(value);
        text.inspect_err(|error| {
            tracing::error!(%error, number = self.number, "what readings went through is not kept");
        })
        .ok()
    }

    /// Mends what may be cut, however the drill ended.
    async fn mend_for_sure(&self, answer: &mut String) {
        let Some(link) = lock(&self.cut).clone() else {
            return;
        };
        for attempt in 1..=MEND_TRIES {
            let Err(error) = self.control.mend(&link).await else {
                let at = self.now_ms();
                self.note(|timeline| {
                    if timeline.cut_ms.is_some() {
                        timeline.mended_ms = timeline.mended_ms.or(at);
                    }
                });
                self.phase(Phase::Mended);
                answer.push_str(" The link was mended.");
                return;
            };
            tracing::warn!(%error, link, attempt, "a link is not mended");
            if attempt < MEND_TRIES {
                sleep(MEND_AGAIN).await;
            }
        }
        let seconds = self.drill.mend_after_s;
        answer.push_str(&format!(
            " Its control could not be told to mend the link: the network does so by itself \
             {seconds} s after the cut."
        ));
    }

    async fn drill(&self) -> Result<(), Broken> {
        let parts = &self.parts;
        let lease = timeout(LEASE_MAX, parts.leases.take(self.drill.meter)).await;
        let lease = lease.map_err(|_| Broken::Busy)?;
        let talk = timeout(LEASE_MAX, parts.access.open(&self.target)).await;
        let talk = talk.unwrap_or(Err(AccessError::ended(Failure::NoAnswer)));
        let talk = talk.map_err(Broken::Meter)?;
        self.begun.get_or_init(|| self.clock.now());
        self.phase(Phase::Steady);
        tokio::try_join!(self.cut_and_mend(), self.read(talk))?;
        drop(lease);
        Ok(())
    }

    async fn cut_and_mend(&self) -> Result<(), Broken> {
        self.until(millis(LEAD)).await;
        let mut last = self.last_path();
        while last.is_none() && self.since() < LEAD + READING_MAX {
            // A meter that takes its time is waited for.
            sleep(EVERY).await;
            last = self.last_path();
        }
        let last = last.ok_or(Broken::NoAnswer)?;
        // As they are now: somebody may have cut one since the drill was asked for.
        let links = self.control.links().await?;
        let link = self.chosen(&links, last.as_deref())?;
        // From here on it may be cut.
        *lock(&self.cut) = Some(link.link.clone());
        let seconds = self.drill.mend_after_s;
        self.control
            .cut(&link.link, self.drill.silent, seconds)
            .await?;
        let at = self.now_ms().unwrap_or(0);
        self.note(|timeline| {
            timeline.cut_ms = Some(at);
            timeline.link = Some(link.link.clone());
            timeline.to = Some(link.to.clone());
        });
        self.phase(Phase::Cut);
        self.until(at + u32::from(seconds) * 1_000).await;
        self.control.mend(&link.link).await?;
        *lock(&self.cut) = None;
        let at = self.now_ms();
        self.note(|timeline| timeline.mended_ms = at);
        self.phase(Phase::Mended);
        Ok(())
    }

    /// The path of the last answer, where it told one; nothing before the first answer.
    fn last_path(&self) -> Option<Option<String>> {
        self.noted(|timeline| {
            let answered = timeline.readings.iter().rev();
            let mut answered = answered.filter(|reading| reading.latency_ms.is_some());
            let path = answered.next()?.path;
            let path = path.and_then(|path| timeline.paths.get(usize::from(path)));
            Some(path.map(|path| path.fingerprint.clone()))
        })
    }

    /// The link to cut: the one that was named, or one that the path of the last answer crosses.
    fn chosen<'l>(
        &self,
        links: &'l [SimulatedLink],
        last: Option<&str>,
    ) -> Result<&'l SimulatedLink, Broken> {
        let Some(name) = &self.drill.link else {
            let path = last.and_then(|last| path_of(self.allowed.iter(), last));
            let best = path.and_then(|path| best(links, path, &self.allowed));
            return best.ok_or(Broken::NoLink);
        };
        let named = links.iter().find(|link| link.ends_at(name));
        let named = named.ok_or(Broken::NoLink)?;
        if named.is_down() {
            return Err(Broken::IsCut);
        }
        Ok(named)
    }

    /// Reads at a steady pace until some time after the link is mended.
    async fn read(&self, talk: Box<dyn Conversation>) -> Result<(), Broken> {
        let mut talk = Some(talk);
        let tail = millis(TAIL);
        for number in 0..READINGS_MAX {
            let due = number * millis(EVERY);
            self.until(due).await;
            let (mended, anew) = self.noted(|it| (it.mended_ms, it.anew_ms));
            let since = mended.map_or(0, |mended| due.saturating_sub(mended));
            if since >= 2 * tail {
                break;
            }
            if since >= tail && anew.is_none() {
                // A new one takes the best path of all, whatever the one before ran into.
                close(talk.take()).await;
                let at = self.now_ms();
                self.note(|timeline| timeline.anew_ms = at);
            }
            self.reading(due, &mut talk).await;
        }
        close(talk.take()).await;
        Ok(())
    }

    /// Reads once and writes down what came of it.
    async fn reading(&self, due_ms: u32, talk: &mut Option<Box<dyn Conversation>>) {
        let mut reading = DrillReading {
            due_ms,
            asked_ms: self.now_ms().unwrap_or(due_ms),
            anew: talk.is_none(),
            ..DrillReading::default()
        };
        let answer = timeout(READING_MAX, self.ask(talk)).await;
        let answer = answer.unwrap_or(Err(AccessError::ended(Failure::NoAnswer)));
        let late = self.since().as_secs_f64() * 1_000.0 - f64::from(due_ms);
        match answer {
            Ok(answered) => {
                reading.latency_ms = Some(timeline::tenth(late.max(0.0)));
                reading.sent = u32::try_from(answered.sent).unwrap_or(u32::MAX);
                reading.path = answered.path.map(|path| {
                    let number = |it: &mut Timeline| it.path(path.hops, path.fingerprint);
                    self.note(number).unwrap_or(0)
                });
            }
            Err(error) => {
                *talk = None;
                reading.why = Some(error.reason.sentence().to_owned());
            }
        }
        let count = self.note(|timeline| {
            timeline.readings.push(reading);
            timeline.readings.len()
        });
        if count.is_some_and(|count| count.is_multiple_of(TELL_EVERY)) {
            self.parts.fleet.hub().send(Change::Drill(self.drill.meter));
        }
    }

    async fn ask(&self, talk: &mut Option<Box<dyn Conversation>>) -> Result<Answered, AccessError> {
        let talk = match talk {
            Some(talk) => talk,
            None => talk.insert(self.parts.access.open(&self.target).await?),
        };
        let before = sent(&mut **talk);
        drop(talk.paths());
        talk.attributes(&READ).await?;
        Ok(Answered {
            sent: sent(&mut **talk).saturating_sub(before),
            path: talk.paths().pop().and_then(|paths| paths.sent),
        })
    }

    fn since(&self) -> Duration {
        let begun = self.begun.get();
        begun.map_or(Duration::ZERO, |begun| self.clock.now().since(*begun))
    }

    fn now_ms(&self) -> Option<u32> {
        u32::try_from(self.since().as_millis()).ok()
    }

    async fn until(&self, at_ms: u32) {
        let at = Duration::from_millis(u64::from(at_ms));
        sleep(at.saturating_sub(self.since())).await;
    }

    fn phase(&self, phase: Phase) {
        if let Some(slot) = lock(&self.running).as_mut() {
            slot.running.phase = phase;
        }
        self.parts.fleet.hub().send(Change::Drill(self.drill.meter));
    }

    /// Changes the timeline.
    fn note<T>(&self, change: impl FnOnce(&mut Timeline) -> T) -> Option<T> {
        let mut slot = lock(&self.running);
        slot.as_mut().map(|slot| change(&mut slot.running.timeline))
    }

    /// Looks at the timeline.
    fn noted<T: Default>(&self, look: impl FnOnce(&Timeline) -> T) -> T {
        let slot = lock(&self.running);
        let slot = slot.as_ref();
        slot.map_or_else(T::default, |slot| look(&slot.running.timeline))
    }
}

/// Messages that a conversation sent.
fn sent(talk: &mut dyn Conversation) -> u64 {
    talk.client().map_or(0, |client| client.sent())
}

/// Releases an association, for as long as a reading may take.
async fn close(talk: Option<Box<dyn Conversation>>) {
    if let Some(talk) = talk {
        // Its answer is of no use any more.
        drop(timeout(READING_MAX, talk.close()).await);
    }
}
