//! Which meter is due: pure, with time and randomness from outside.

use std::collections::{BTreeMap, BTreeSet};

use model::{MeterId, Timestamp};

use crate::config::CollectorConfig;
use crate::store::Failure;

/// Decides which meter is collected next.
///
/// A meter waits until it is due, then behind its endpoint, which bounds how many are read at
/// once, and behind what it shares with others there. An endpoint that was unreachable is tried
/// with one meter at a time until it answers.
/// After each call of [`Planner::put`], [`Planner::ask`] or [`Planner::finished`] call
/// [`Planner::next`] until it returns something else than [`Next::Start`].
#[derive(Clone, Debug)]
pub struct Planner {
    config: CollectorConfig,
    meters: BTreeMap<MeterId, State>,
    endpoints: BTreeMap<String, Endpoint>,
    waiting: BTreeSet<(Timestamp, MeterId)>,
    /// Endpoints with a meter that may start, under the place of that meter in the queue.
    startable: BTreeSet<(Place, String)>,
    /// Meters in the queues of all endpoints.
    queued: usize,
    running: usize,
}

/// A meter as the planner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Names the meter.
    pub meter: MeterId,
    /// Names what it shares with others: its endpoint.
    pub endpoint: String,
    /// Says what it shares with some of these: a segment.
    pub line: Line,
    /// Counts its failures in a row.
    pub failures: u32,
    /// Says whether it was ever read.
    pub is_new: bool,
}

/// What meters share behind an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Numbers it among the lines of its endpoint.
    pub number: u32,
    /// Bounds how many of its meters are read at once, beside what bounds the endpoint; 0: none for
    /// now.
    pub at_once: usize,
}

impl Default for Line {
    /// The endpoint as a whole.
    fn default() -> Self {
        Self {
            number: 0,
            at_once: usize::MAX,
        }
    }
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Collect this meter, and say so with [`Planner::finished`].
    Start(Task),
    /// Nothing until then, unless something is finished, put or asked for.
    Wait(Timestamp),
    /// Nothing until something is finished, put or asked for.
    Idle,
}

/// One meter to collect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Names the meter.
    pub meter: MeterId,
    /// Says why it is collected now.
    pub priority: Priority,
}

/// Why a meter is collected; what compares smaller goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Somebody asked for it.
    Asked,
    /// Its time has come.
    Scheduled,
    /// It failed before.
    Retry,
    /// Gaps were left by the last association.
    Backfill,
}

/// How a collection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The meter answered.
    Done {
        /// Says whether gaps are left that it may still fill.
        more: bool,
    },
    /// It did not.
    Failed {
        /// Says why.
        reason: Failure,
    },
}

#[derive(Clone, Debug)]
struct State {
    endpoint: String,
    line: Line,
    failures: u32,
    phase: Phase,
    /// Asked for while it ran.
    again: bool,
    /// Given another endpoint while it ran.
    moved: Option<(String, Line)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting { due: Timestamp, priority: Priority },
    Queued { place: Place },
    Running,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    priority: Priority,
    due: Timestamp,
    meter: MeterId,
}

#[derive(Clone, Debug, Default)]
struct Endpoint {
    /// Those with meters that wait or are read.
    lines: BTreeMap<u32, Queue>,
    running: usize,
    unreachable: bool,
    meters: usize,
}

/// Who waits for one line.
#[derive(Clone, Debug, Default)]
struct Queue {
    places: BTreeSet<Place>,
    running: usize,
    at_once: usize,
}

impl Endpoint {
    fn head(&self, limit: usize) -> Option<Place> {
        let limit = if self.unreachable { 1 } else { limit };
        if self.running >= limit {
            return None;
        }
        let free = self.lines.values().filter(|it| it.running < it.at_once);
        free.filter_map(|it| it.places.first()).min().copied()
    }

    fn queued(&self) -> usize {
        self.lines.values().map(|it| it.places.len()).sum()
    }

    /// Changes what waits for a line; one that is left without anything is forgotten.
    fn change(&mut self, line: Line, change: impl FnOnce(&mut Queue)) {
        let queue = self.lines.entry(line.number).or_default();
        queue.at_once = line.at_once;
        change(queue);
        if queue.places.is_empty() && queue.running == 0 {
            self.lines.remove(&line.number);
        }
    }
}

impl Planner {
    /// Makes a planner without meters.
    pub const fn new(config: CollectorConfig) -> Self {
        Self {
            config,
            meters: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            waiting: BTreeSet::new(),
            startable: BTreeSet::new(),
            queued: 0,
            running: 0,
        }
    }

    /// Adds a meter, or gives a known one another endpoint. A new meter is due at once, one that
    /// fails after its wait, any other at its next turn.
    pub fn put(&mut self, planned: Planned, now: Timestamp, random: u32) {
        let Planned {
            meter,
            endpoint,
            line,
            failures,
            is_new,
        } = planned;
        if let Some(state) = self.meters.get_mut(&meter) {
            if state.endpoint == endpoint {
                state.moved = None;
                self.hang(meter, line);
                return;
            }
            if state.phase == Phase::Running {
                state.moved = Some((endpoint, line));
                return;
            }
            self.forget(meter);
        }
        let (due, priority) = match (failures, is_new) {
            (0, true) => (now, Priority::Scheduled),
            (0, false) => (self.next_turn(now, random), Priority::Scheduled),
            _ => (
                now.plus_millis(self.backoff_ms(failures, random)),
                Priority::Retry,
            ),
        };
        self.wait(meter, (endpoint, line), failures, due, priority);
    }

    /// Takes on which line of its endpoint a known meter hangs now, and what bounds that line; where
    /// it stands in the queue stays.
    pub fn hang(&mut self, meter: MeterId, line: Line) {
        let Some(state) = self.meters.get_mut(&meter) else {
            return;
        };
        let before = std::mem::replace(&mut state.line, line);
        if before == line {
            return;
        }
        let (name, phase) = (state.endpoint.clone(), state.phase);
        self.change(&name, |endpoint| match phase {
            Phase::Waiting { .. } => {}
            Phase::Queued { place } => {
                endpoint.change(before, |queue| {
                    queue.places.remove(&place);
                });
                endpoint.change(line, |queue| {
                    queue.places.insert(place);
                });
            }
            Phase::Running => {
                endpoint.change(before, |queue| {
                    queue.running = queue.running.saturating_sub(1);
                });
                endpoint.change(line, |queue| queue.running += 1);
            }
        });
    }

    fn wait(
        &mut self,
        meter: MeterId,
        (endpoint, line): (String, Line),
        failures: u32,
        due: Timestamp,
        priority: Priority,
    ) {
        self.endpoints.entry(endpoint.clone()).or_default().meters += 1;
        let state = State {
            endpoint,
            line,
            failures,
            phase: Phase::Waiting { due, priority },
            again: false,
            moved: None,
        };
        self.meters.insert(meter, state);
        self.waiting.insert((due, meter));
    }

    /// Collects a meter as soon as its endpoint allows, before all others; returns whether the
    /// meter is known.
    pub fn ask(&mut self, meter: MeterId, now: Timestamp) -> bool {
        let Some(state) = self.meters.get_mut(&meter) else {
            return false;
        };
        match state.phase {
            Phase::Running => state.again = true,
            Phase::Waiting { due, .. } => {
                self.waiting.remove(&(due, meter));
                self.enqueue(meter, Priority::Asked, now);
            }
            Phase::Queued { place } => {
                self.dequeue(meter, place);
                self.enqueue(meter, Priority::Asked, now);
            }
        }
        true
    }

    /// Says what to do now.
    pub fn next(&mut self, now: Timestamp) -> Next {
        while let Some((due, meter)) = self.waiting.first().copied() {
            if due > now {
                break;
            }
            self.waiting.remove(&(due, meter));
            let phase = self.meters.get(&meter).map(|state| state.phase);
            if let Some(Phase::Waiting { priority, .. }) = phase {
                self.enqueue(meter, priority, due);
            }
        }
        if self.running < self.config.concurrency
            && let Some((place, endpoint)) = self.startable.first().cloned()
        {
            let line = self.meters.get_mut(&place.meter).map(|state| {
                state.phase = Phase::Running;
                state.line
            });
            self.change(&endpoint, |endpoint| {
                endpoint.change(line.unwrap_or_default(), |queue| {
                    queue.places.remove(&place);
                    queue.running += 1;
                });
                endpoint.running += 1;
            });
            self.running += 1;
            return Next::Start(Task {
                meter: place.meter,
                priority: place.priority,
            });
        }
        self.waiting
            .first()
            .map_or(Next::Idle, |(due, _)| Next::Wait(*due))
    }

    /// Takes how a collection ended, and plans the next one of this meter.
    pub fn finished(&mut self, meter: MeterId, outcome: Outcome, now: Timestamp, random: u32) {
        let Some(state) = self.meters.get_mut(&meter) else {
            return;
        };
        if state.phase != Phase::Running {
            return;
        }
        let again = std::mem::take(&mut state.again);
        let moved = state.moved.take();
        let (endpoint, line) = (state.endpoint.clone(), state.line);
        let failures = match outcome {
            Outcome::Done { .. } => 0,
            Outcome::Failed { .. } => state.failures.saturating_add(1),
        };
        state.failures = failures;
        self.running = self.running.saturating_sub(1);
        self.change(&endpoint, |endpoint| {
            endpoint.change(line, |queue| {
                queue.running = queue.running.saturating_sub(1);
            });
            endpoint.running = endpoint.running.saturating_sub(1);
            let lost = Outcome::Failed {
                reason: Failure::Unreachable,
            };
            endpoint.unreachable = outcome == lost;
        });
        let (due, priority) = match outcome {
            _ if again => (now, Priority::Asked),
            Outcome::Done { more: true } => (now, Priority::Backfill),
            Outcome::Done { more: false } => (self.next_turn(now, random), Priority::Scheduled),
            Outcome::Failed { .. } => {
                let wait = self.backoff_ms(failures, random);
                (now.plus_millis(wait), Priority::Retry)
            }
        };
        if let Some(state) = self.meters.get_mut(&meter) {
            state.phase = Phase::Waiting { due, priority };
            self.waiting.insert((due, meter));
        }
        if let Some(to) = moved {
            self.forget(meter);
            self.wait(meter, to, failures, due, priority);
        }
    }

    /// Returns the number of meters that are due and wait for their endpoint.
    pub const fn queued(&self) -> usize {
        self.queued
    }

    /// Returns the number of meters being collected.
    pub const fn running(&self) -> usize {
        self.running
    }

    /// The first turn after `now`: turns are as long as configured and begin with the day in UTC,
    /// so that they fall on the ends of intervals; each meter comes a little later than that.
    fn next_turn(&self, now: Timestamp, random: u32) -> Timestamp {
        let every = i64::from(self.config.every_s.max(1));
        let delay = i64::from(self.config.delay_s);
        let turn = now.plus_secs(-delay).secs().div_euclid(every) + 1;
        let spread_ms = (every * 1_000 / SPREAD).max(1);
        Timestamp::from_secs(turn.saturating_mul(every).saturating_add(delay))
            .plus_millis(i64::from(random) % spread_ms)
    }

    /// The wait after the nth failure in a row: doubling, bounded, its second half random.
    fn backoff_ms(&self, failures: u32, random: u32) -> i64 {
        let first = i64::from(self.config.retry_first_s.max(1)) * 1_000;
        let longest = i64::from(self.config.retry_longest_s) * 1_000;
        let doublings = failures.saturating_sub(1).min(32);
        let wait = first
            .saturating_mul(1_i64 << doublings)
            .min(longest.max(first));
        wait / 2 + i64::from(random) % (wait / 2 + 1)
    }

    fn enqueue(&mut self, meter: MeterId, priority: Priority, due: Timestamp) {
        let place = Place {
            priority,
            due,
            meter,
        };
        let Some(state) = self.meters.get_mut(&meter) else {
            return;
        };
        state.phase = Phase::Queued { place };
        let (endpoint, line) = (state.endpoint.clone(), state.line);
        self.change(&endpoint, |endpoint| {
            endpoint.change(line, |queue| {
                queue.places.insert(place);
            });
        });
    }

    fn dequeue(&mut self, meter: MeterId, place: Place) {
        if let Some(state) = self.meters.get(&meter) {
            let (endpoint, line) = (state.endpoint.clone(), state.line);
            self.change(&endpoint, |endpoint| {
                endpoint.change(line, |queue| {
                    queue.places.remove(&place);
                });
            });
        }
    }

    fn forget(&mut self, meter: MeterId) {
        let Some(state) = self.meters.get(&meter) else {
            return;
        };
        match state.phase {
            Phase::Waiting { due, .. } => {
                self.waiting.remove(&(due, meter));
            }
            Phase::Queued { place } => self.dequeue(meter, place),
            Phase::Running => return,
        }
        let Some(state) = self.meters.remove(&meter) else {
            return;
        };
        if let Some(endpoint) = self.endpoints.get_mut(&state.endpoint) {
            endpoint.meters = endpoint.meters.saturating_sub(1);
            if endpoint.meters == 0 {
                self.endpoints.remove(&state.endpoint);
            }
        }
    }

    /// Changes an endpoint and keeps `startable` true.
    fn change(&mut self, name: &str, change: impl FnOnce(&mut Endpoint)) {
        let limit = self.config.endpoint_concurrency;
        let Some(endpoint) = self.endpoints.get_mut(name) else {
            return;
        };
        let before = endpoint.head(limit);
        self.queued -= endpoint.queued();
        change(endpoint);
        self.queued += endpoint.queued();
        let after = endpoint.head(limit);
        if before == after {
            return;
        }
        if let Some(place) = before {
            self.startable.remove(&(place, name.to_owned()));
        }
        if let Some(place) = after {
            self.startable.insert((place, name.to_owned()));
        }
    }
}

/// Meters come within this part of a turn after its beginning: one tenth.
const SPREAD: i64 = 10;
