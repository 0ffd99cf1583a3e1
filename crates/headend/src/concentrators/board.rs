//! Looks at each concentrator now and then, and keeps what it said last.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use model::{MeterId, Timestamp};
use tokio::sync::{Notify, Semaphore, watch};

use super::balance::{Site, Verdict};
use super::outages::Outage;
use super::status::{self, LOOK, METERS, Meters, Report};
use super::{Concentrators, Enrolled};
use crate::clock::Clock;
use crate::collector::{AccessError, Leases, MeterAccess, MeterTarget};
use crate::hub::{Change, Hub};
use crate::lines::Lines;
use crate::store::{Failing, Failure};

/// What each concentrator said last, in memory; it is asked again after a start.
///
/// One lock, held for a copy of an [`Arc`]; of each concentrator one report and one list of
/// meters are kept, both bounded.
pub struct Board {
    states: RwLock<BTreeMap<MeterId, State>>,
    asked: BTreeMap<MeterId, Notify>,
    digests: Mutex<BTreeMap<MeterId, (Timestamp, Arc<Digest>)>>,
}

/// What the notices and sums of one concentrator come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// Counts outages that are not over.
    pub outages: usize,
    /// Counts the meters that are out.
    pub out: usize,
    /// Says since when the first of them is.
    pub since: Option<Timestamp>,
    /// Holds the branch that needs somebody most, and its loss in thousandths.
    pub worst: Option<(Site, Verdict, Option<i64>)>,
}

impl Digest {
    /// Takes what outages come to; a meter that is out in several counts once.
    #[must_use]
    pub fn with_outages(self, all: &[Outage]) -> Self {
        let open = || all.iter().filter(|it| it.ended.is_none());
        let out: BTreeSet<_> = open().flat_map(|it| &it.out).collect();
        Self {
            outages: open().count(),
            out: out.len(),
            since: open().map(|it| it.began).min(),
            ..self
        }
    }
}

/// What is known of one concentrator.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Holds what it said last.
    pub report: Option<Arc<Report>>,
    /// Holds what it said of its meters, and when.
    pub meters: Option<(Arc<Meters>, Timestamp)>,
    /// Says since when it does not answer, and why.
    pub failing: Option<Failing>,
    /// Says how the ways to it are, by their addresses.
    pub ways: BTreeMap<String, Way>,
}

/// A way to a concentrator, as the head end finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Says whether it answered when it was tried last.
    pub up: bool,
    /// Says since when it is so.
    pub since: Timestamp,
    /// Says when it was tried last.
    pub tried: Timestamp,
    /// Holds the round trip time in microseconds of the last answer.
    pub rtt_us: Option<u32>,
}

/// What looking takes.
pub(crate) struct Watcher {
    pub(crate) board: Arc<Board>,
    pub(crate) access: Arc<dyn MeterAccess>,
    pub(crate) leases: Leases,
    pub(crate) hub: Arc<Hub>,
    /// What is told of segments.
    pub(crate) lines: Arc<Lines>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timeout: Duration,
    /// Those that are looked at together.
    pub(crate) places: Semaphore,
}

/// Concentrators that are looked at together.
pub(crate) const AT_ONCE: usize = 16;

/// A long list of meters is read in every so many looks, or where it has changed.
const LOOKS: u32 = 5;
/// A list of so many is read in every look.
const SHORT: usize = 128;
/// A digest is this old at most, also where nothing was delivered since.
const DIGEST_MS: i64 = 60_000;
/// Failures in a row after which one counts as silent.
const SILENT: u32 = 2;

impl Board {
    /// Makes a board for these.
    pub fn new(all: &Concentrators) -> Self {
        Self {
            states: RwLock::default(),
            asked: all.iter().map(|it| (it.target.id, Notify::new())).collect(),
            digests: Mutex::default(),
        }
    }

    /// Notes that one delivered notices or sums.
    pub fn delivered(&self, id: MeterId) {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        digests.remove(&id);
    }

    /// Returns the digest of one, unless it is too old or something was delivered since.
    pub fn digest(&self, id: MeterId, now: Timestamp) -> Option<Arc<Digest>> {
        let digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, digest) = digests.get(&id)?;
        (0..DIGEST_MS)
            .contains(&now.millis_since(*at))
            .then(|| Arc::clone(digest))
    }

    /// Keeps the digest of one.
    pub fn keep_digest(&self, id: MeterId, now: Timestamp, digest: Arc<Digest>) {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        digests.insert(id, (now, digest));
    }

    /// Returns what is known of one.
    pub fn state(&self, id: MeterId) -> State {
        let states = self.states.read().unwrap_or_else(PoisonError::into_inner);
        states.get(&id).cloned().unwrap_or_default()
    }

    /// Asks for a look now.
    pub fn look_now(&self, id: MeterId) {
        if let Some(asked) = self.asked.get(&id) {
            asked.notify_one();
        }
    }

    async fn asked(&self, id: MeterId) {
        match self.asked.get(&id) {
            Some(asked) => asked.notified().await,
            None => std::future::pending().await,
        }
    }

    fn change(&self, id: MeterId, change: impl FnOnce(&mut State)) {
        let mut states = self.states.write().unwrap_or_else(PoisonError::into_inner);
        change(states.entry(id).or_default());
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").finish_non_exhaustive()
    }
}

impl State {
    /// Notes what came of trying a way: whether it answered, and how fast.
    fn tried(&mut self, way: &str, up: bool, rtt_us: Option<u32>, now: Timestamp) {
        let fresh = Way {
            up,
            since: now,
            tried: now,
            rtt_us,
        };
        let known = self.ways.entry(way.to_owned()).or_insert(fresh);
        *known = Way {
            since: if known.up == up { known.since } else { now },
            rtt_us: rtt_us.or(known.rtt_us),
            ..fresh
        };
    }

    /// Says since when it does not answer, where it failed often enough in a row.
    pub fn silent_since(&self) -> Option<Timestamp> {
        let failing = self.failing.filter(|it| it.attempts >= SILENT)?;
        Some(self.report.as_ref().map_or(failing.since, |it| it.at))
    }
}

impl Watcher {
    /// Looks at one until `stop` says so.
    pub(crate) async fn watch(self: Arc<Self>, one: Enrolled, stop: watch::Receiver<bool>) {
        // Its meters do not wait for ever behind others that are looked at before it.
        let waited = async {
            tokio::time::sleep(self.timeout).await;
            self.lines.silent(&one.config.endpoint);
            std::future::pending().await
        };
        tokio::select! {
            () = self.look_on(&one, stop) => {}
            () = waited => {}
        }
    }

    async fn look_on(&self, one: &Enrolled, mut stop: watch::Receiver<bool>) {
        let id = one.target.id;
        let every = Duration::from_secs(u64::from(one.config.status_s));
        let mut looks = 0_u32;
        while !*stop.borrow() {
            let look = async {
                let _place = self.places.acquire().await.ok()?;
                // Whose turn does not come keeps no place from others, and is no failure.
                let lease = tokio::time::timeout(self.timeout, self.leases.take(id));
                let lease = lease.await.ok()?;
                let (looked, came) = self.look(one, looks).await;
                // What came is told before others are waited for.
                self.keep(one, looked);
                if looks.is_multiple_of(LOOKS) {
                    self.try_others(one, came.as_deref()).await;
                }
                drop(lease);
                Some(())
            };
            let looked = tokio::select! {
                looked = look => looked,
                _ = stop.changed() => return,
            };
            if looked.is_some() {
                looks = looks.wrapping_add(1);
            }
            tokio::select! {
                _ = stop.changed() => {}
                () = self.board.asked(id) => {}
                () = tokio::time::sleep(every) => {}
            }
        }
    }

    fn keep(&self, one: &Enrolled, looked: Result<(Report, Option<Meters>), AccessError>) {
        let id = one.target.id;
        match &looked {
            Ok((report, _)) => self.lines.told(&one.config.endpoint, &report.segments),
            Err(_) => self.lines.silent(&one.config.endpoint),
        }
        let now = self.clock.now();
        self.board.change(id, |state| match looked {
            Ok((report, meters)) => {
                state.failing = None;
                if let Some(meters) = meters {
                    state.meters = Some((Arc::new(meters), report.at));
                }
                state.report = Some(Arc::new(report));
            }
            Err(error) => {
                let failing = state.failing.get_or_insert(Failing {
                    since: now,
                    attempts: 0,
                    reason: error.reason,
                });
                failing.attempts = failing.attempts.saturating_add(1);
                failing.reason = error.reason;
            }
        });
        self.hub.send(Change::Concentrator(id));
    }

    /// Tries the way on which orders go, and those over which the look did not come: neither an
    /// order nor a look is to be the first to find that one leads nowhere.
    async fn try_others(&self, one: &Enrolled, came: Option<&str>) {
        let own = one.target.enrolment.endpoint.split_whitespace();
        // A look that came over none has tried them all.
        let others = own.filter(|way| came.is_some_and(|came| came != *way));
        for way in others.chain(one.config.urgent.as_deref()) {
            self.try_way(one, way).await;
        }
    }

    async fn try_way(&self, one: &Enrolled, way: &str) {
        let target = over(one, way);
        let tried = async {
            let talk = self.access.open(&target).await?;
            let rtt_us = talk.rtt_us();
            talk.close().await.unwrap_or_default();
            Ok::<_, AccessError>(rtt_us)
        };
        let tried = tokio::time::timeout(self.timeout, tried).await;
        let rtt_us = tried.ok().and_then(Result::ok);
        let now = self.clock.now();
        self.board.change(one.target.id, |state| {
            state.tried(way, rtt_us.is_some(), rtt_us.flatten(), now);
        });
        self.hub.send(Change::Concentrator(one.target.id));
    }

    /// Looks over one way after the other, those that answered last first; tells over which one it
    /// came.
    async fn look(
        &self,
        one: &Enrolled,
        looks: u32,
    ) -> (
        Result<(Report, Option<Meters>), AccessError>,
        Option<String>,
    ) {
        let known = self.board.state(one.target.id).ways;
        let mut ways: Vec<&str> = one.target.enrolment.endpoint.split_whitespace().collect();
        // What was not tried yet comes before what did not answer.
        ways.sort_by_key(|way| known.get(*way).map_or(1, |it| if it.up { 0 } else { 2 }));
        let mut outcome = Err(AccessError::ended(Failure::Unreachable));
        for way in ways {
            let target = over(one, way);
            let look = self.look_over(one, &target, looks);
            let looked = tokio::time::timeout(self.timeout, look).await;
            outcome = looked.unwrap_or(Err(AccessError::ended(Failure::NoAnswer)));
            let rtt_us = outcome.as_ref().ok().and_then(|(report, _)| report.rtt_us);
            let now = self.clock.now();
            self.board.change(one.target.id, |state| {
                state.tried(way, outcome.is_ok(), rtt_us, now);
            });
            if outcome.is_ok() {
                return (outcome, Some(way.to_owned()));
            }
        }
        (outcome, None)
    }

    async fn look_over(
        &self,
        one: &Enrolled,
        target: &MeterTarget,
        looks: u32,
    ) -> Result<(Report, Option<Meters>), AccessError> {
        let mut talk = self.access.open(target).await?;
        let answers = talk.attributes(&LOOK).await?;
        let report = Report::decode(&answers, self.clock.now(), talk.rtt_us());
        let before = self.board.state(one.target.id);
        let changed = before
            .report
            .is_none_or(|before| before.sap_changes != report.sap_changes);
        let short = before.meters.is_none_or(|(all, _)| all.len() <= SHORT);
        let meters = if changed || short || looks.is_multiple_of(LOOKS) {
            status::meters(&talk.attributes(&METERS).await?)
        } else {
            None
        };
        // What came counts whether or not the release is confirmed.
        talk.close().await.unwrap_or_default();
        Ok((report, meters))
    }
}

/// One as it is reached over one of its ways.
fn over(one: &Enrolled, way: &str) -> MeterTarget {
    let mut target = one.target.clone();
    way.clone_into(&mut target.enrolment.endpoint);
    target
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement, in virtual time.
    use super::*;
    use crate::collector::{Answer, Conversation, Line};
    use crate::concentrators::tests::enrolment;
    use crate::config::Config;

    const HERE: &str = "tcp://10.0.0.1:4059";
    const TIMEOUT: Duration = Duration::from_secs(30);

    /// Nobody answers.
    #[derive(Debug)]
    struct Deaf;

    impl MeterAccess for Deaf {
        fn open<'a>(&'a self, _: &'a MeterTarget) -> Answer<'a, Box<dyn Conversation>> {
            Box::pin(std::future::pending())
        }
    }

    #[derive(Debug)]
    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(1_795_262_400)
        }
    }

    fn one(number: u32) -> Enrolled {
        let text = format!("endpoint = \"{HERE}\"\nname = \"GWD1DC000000000{number}\"\n");
        Enrolled {
            target: MeterTarget {
                id: MeterId::new(u64::from(number)).unwrap(),
                enrolment: enrolment(number, HERE, 1),
            },
            config: toml::from_str(&text).unwrap(),
            has_keys: true,
        }
    }

    fn watcher(places: usize) -> Arc<Watcher> {
        let text =
            format!("[[concentrator]]\nendpoint = \"{HERE}\"\nname = \"GWD1DC0000000001\"\n");
        let config: Config = toml::from_str(&text).unwrap();
        Arc::new(Watcher {
            board: Arc::new(Board::new(&Concentrators::default())),
            access: Arc::new(Deaf),
            leases: Leases::default(),
            hub: Arc::new(Hub::new(0)),
            lines: Arc::new(Lines::new(&config)),
            clock: Arc::new(Noon),
            timeout: TIMEOUT,
            places: Semaphore::new(places),
        })
    }

    #[test]
    fn a_way_is_as_it_was_found_last_and_since_it_changed() {
        let mut state = State::default();
        let at = Timestamp::from_secs;
        for (up, rtt_us, secs) in [(true, Some(48), 1), (true, Some(52), 2), (false, None, 3)] {
            state.tried(HERE, up, rtt_us, at(secs));
            let since = if up { 1 } else { 3 };
            let expected = Way {
                up,
                since: at(since),
                tried: at(secs),
                rtt_us: rtt_us.or(Some(52)),
            };
            assert_eq!(state.ways[HERE], expected);
        }
        state.tried(HERE, false, None, at(9));
        assert_eq!(state.ways[HERE].since, at(3));
    }

    /// Where there is one place, and the first waits for its turn without an end, the second is
    /// looked at all the same.
    #[tokio::test(start_paused = true)]
    async fn whose_turn_does_not_come_keeps_no_place_from_others() {
        let watcher = watcher(1);
        let (_stop, stopped) = watch::channel(false);
        let (first, second) = (one(1), one(2));
        let (held, looked) = (first.target.id, second.target.id);
        let _lease = watcher.leases.take(held).await;
        let first = tokio::spawn(Arc::clone(&watcher).watch(first, stopped.clone()));
        let others = tokio::spawn(Arc::clone(&watcher).watch(second, stopped));
        let failing = async {
            while watcher.board.state(looked).failing.is_none() {
                tokio::time::sleep(TIMEOUT).await;
            }
        };
        tokio::time::timeout(100 * TIMEOUT, failing).await.unwrap();
        // That its turn does not come says nothing of a concentrator.
        assert_eq!(watcher.board.state(held).failing, None);
        first.abort();
        others.abort();
    }

    /// What a look comes to is told before the way of orders, which is tried after it.
    #[tokio::test(start_paused = true)]
    async fn a_look_is_told_before_other_ways_are_waited_for() {
        const URGENT: &str = "tcp://10.0.0.1:4061";
        let watcher = watcher(1);
        let (_stop, stopped) = watch::channel(false);
        let mut one = one(1);
        one.config.urgent = Some(URGENT.to_owned());
        let id = one.target.id;
        let watching = tokio::spawn(Arc::clone(&watcher).watch(one, stopped));
        let told = async |what: fn(&State) -> bool| {
            let told = async {
                while !what(&watcher.board.state(id)) {
                    tokio::time::sleep(TIMEOUT / 30).await;
                }
            };
            tokio::time::timeout(100 * TIMEOUT, told).await.unwrap();
        };
        told(|state| state.failing.is_some()).await;
        assert!(!watcher.board.state(id).ways.contains_key(URGENT));
        told(|state| state.ways.contains_key(URGENT)).await;
        watching.abort();
    }

    /// Before one was looked at, its meters are not read; but no longer than a look may take.
    #[tokio::test(start_paused = true)]
    async fn meters_do_not_wait_for_ever_for_a_look_at_their_concentrator() {
        let watcher = watcher(0);
        let (_stop, stopped) = watch::channel(false);
        let meter = enrolment(7, HERE, 256);
        let mut changes = watcher.lines.changes();
        let line = || watcher.lines.pace(&meter).line;
        assert_eq!(line().at_once, 0);
        let watching = tokio::spawn(Arc::clone(&watcher).watch(one(1), stopped));
        let changed = tokio::time::timeout(100 * TIMEOUT, changes.changed());
        changed.await.unwrap().unwrap();
        assert_eq!(line(), Line::default());
        watching.abort();
    }
}
