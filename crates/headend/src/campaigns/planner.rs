//! Which meter of a campaign is contacted next and for what, and which blocks are broadcast.
//!
//! A campaign brings one image to meters. Those that share an endpoint and a broadcast key are a
//! group: each is told end to end that an image comes, its blocks are then sent to all of them at
//! once, twice without asking anybody, since asking costs more than a second pass. Only then each
//! meter is asked which blocks it lacks; what anybody lacks is broadcast again, and at the second
//! contact the rest goes to each meter alone and the image is verified there. Meters without
//! such company get all blocks alone.
//!
//! When all groups are done, rings follow each other: a few meters activate, end to end, and the
//! next ring begins only where nothing speaks against it.
//!
//! Every task may be done twice, so what is kept of a campaign need not be of this moment; where a
//! phase ends it must be ([`Planner::must_keep`]). What meters lack is not kept: a round of asking
//! that is broken off begins anew.

use std::collections::{BTreeMap, VecDeque};

use model::{MeterId, Timestamp};
use serde::{Deserialize, Serialize};

use super::bound::{Bound, Line};

/// How a campaign goes about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How often all blocks are broadcast before anybody is asked.
    pub passes: u8,
    /// Meters of one endpoint that are contacted at once.
    pub parallel: u16,
    /// Contacts with a meter that fail before it is given up.
    pub tries: u8,
    /// Seconds between two of them; the double after each.
    pub retry_s: u32,
    /// Thousandths of the meters that have been told to activate when each ring is done, rising.
    pub rings: Vec<u16>,
    /// Seconds between two rings.
    pub soak_s: u32,
    /// The campaign stops where more than so many thousandths of a ring, or of all meters during
    /// the transfer, refuse the image or do not come back with it.
    pub failures_permille: u16,
    /// Milliseconds between two broadcast blocks: what one takes on the medium, so that what
    /// matters more finds its way between them.
    pub pace_ms: u32,
    /// How many meters must lack a block that is broadcast again; below, it goes to each alone.
    pub broadcast_from: u16,
    /// What the segment is like, where that is known: then the campaign tells its bound.
    pub line: Option<Line>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            passes: 2,
            parallel: 4,
            tries: 5,
            retry_s: 60,
            rings: vec![10, 100, 1_000],
            soak_s: 600,
            failures_permille: 50,
            pace_ms: 50,
            broadcast_from: 1,
            line: None,
        }
    }
}

impl Settings {
    /// Says what is out of bounds.
    pub fn fault(&self) -> Option<&'static str> {
        let rising = self.rings.is_sorted_by(|a, b| a < b);
        let ends = self.rings.last() == Some(&1_000);
        if !(1..=4).contains(&self.passes) {
            Some("passes is 1 to 4")
        } else if !(1..=64).contains(&self.parallel) {
            Some("parallel is 1 to 64")
        } else if !(1..=20).contains(&self.tries) || !(1..=86_400).contains(&self.retry_s) {
            Some("tries is 1 to 20, retry_s 1 to 86400")
        } else if !rising || !ends || self.rings.len() > RINGS_MAX || self.rings.first() == Some(&0)
        {
            Some("rings rise to 1000, at most 10 of them")
        } else if self.soak_s > 604_800 || self.failures_permille > 1_000 {
            Some("soak_s is 0 to 604800, failures_permille 0 to 1000")
        } else if self.pace_ms > 60_000 {
            Some("pace_ms is 0 to 60000")
        } else {
            self.line.and_then(|line| line.fault())
        }
    }
}

const RINGS_MAX: usize = 10;

/// Meters that one campaign may have.
pub const MEMBERS_MAX: usize = 100_000;

/// A meter of a campaign, as it is put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The meter.
    pub meter: MeterId,
    /// Where it is reached.
    pub endpoint: String,
    /// Tells the broadcast key, where it has one; meters with another are another group.
    pub key: Option<u64>,
}

/// How far a meter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Nothing was said to it.
    Waiting,
    /// It takes blocks.
    Receiving,
    /// It was asked what it lacks.
    Asked,
    /// It has verified the image.
    Verified,
    /// It runs it, and says so.
    Active,
    /// It is out: see [`Reason`].
    Failed,
}

/// Why a meter is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It could not be reached, or its association not be made.
    Unreachable,
    /// It takes no image.
    Refused,
    /// The image does not verify there, blocks from us alone included.
    NotVerified,
    /// It refused to activate, or runs another firmware all the same.
    NotActivated,
    /// It was told to activate and has not answered since.
    Lost,
}

impl Reason {
    /// Says whether it speaks against the image, and not only against the network.
    pub const fn counts(self) -> bool {
        !matches!(self, Self::Unreachable)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    meter: u64,
    group: u32,
    step: Step,
    #[serde(default)]
    reason: Option<Reason>,
    #[serde(default)]
    tries: u8,
    /// Milliseconds since 1970.
    #[serde(default)]
    not_before: i64,
    /// Whether activate was sent.
    #[serde(default)]
    told: bool,
    /// How often its bitmap was asked for in each of the two rounds.
    #[serde(default)]
    bitmaps: [u16; 2],
    #[serde(skip)]
    busy: bool,
    /// What it lacked when it was asked.
    #[serde(skip)]
    holes: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    Initiate,
    Pass(u8),
    Ask,
    Repair,
    Finish,
    Done,
}

impl Phase {
    /// Its place in the order of phases.
    const fn place(self) -> u8 {
        match self {
            Self::Initiate => 0,
            Self::Pass(_) => 1,
            Self::Ask => 2,
            Self::Repair => 3,
            Self::Finish => 4,
            Self::Done => 5,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Initiate => "initiating",
            Self::Pass(_) => "broadcasting",
            Self::Ask => "asking",
            Self::Repair => "repairing",
            Self::Finish => "finishing",
            Self::Done => "done",
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Group {
    endpoint: String,
    key: Option<u64>,
    phase: Phase,
    /// Octets of a block, as the first meter said.
    #[serde(default)]
    block_len: Option<u32>,
    /// Blocks still to be broadcast again.
    #[serde(default)]
    burst: VecDeque<u32>,
    /// Blocks broadcast so far.
    #[serde(default)]
    sent: u64,
    /// When the first pass began and when the last meter had verified, in milliseconds since 1970.
    #[serde(default)]
    began_ms: Option<i64>,
    #[serde(default)]
    ended_ms: Option<i64>,
    #[serde(skip)]
    sending: bool,
    #[serde(skip)]
    running: u16,
}

/// What ended a campaign before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// Somebody said so.
    Operator,
    /// Too many meters failed.
    Failures,
}

/// A campaign, without I/O.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Planner {
    settings: Settings,
    image_len: u32,
    groups: Vec<Group>,
    members: Vec<State>,
    /// The ring that is under way, once all groups are done.
    #[serde(default)]
    ring: Option<u16>,
    /// When the next ring may begin, in milliseconds since 1970.
    #[serde(default)]
    soak_until: i64,
    #[serde(default)]
    stopped: Option<Stopped>,
    #[serde(default)]
    over: bool,
    #[serde(skip)]
    places: BTreeMap<u64, usize>,
    /// The places of each group's members.
    #[serde(skip)]
    of: Vec<Vec<usize>>,
    #[serde(skip)]
    changed: u32,
    #[serde(skip)]
    must_keep: bool,
}

/// What is to be done with a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Tell it that an image comes.
    Initiate,
    /// Ask it which blocks it lacks.
    Ask,
    /// Send it what it lacks, and let it verify.
    Finish,
    /// Let it activate, and look whether it does.
    Activate,
}

/// What came of a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It takes blocks of so many octets.
    Initiated {
        /// Octets of a block.
        block_len: u32,
    },
    /// It lacks these blocks.
    Lacks(Vec<u32>),
    /// The image verified.
    Verified,
    /// It runs the image.
    Active,
    /// Nobody answered, or the contact broke off; it may be tried again.
    Broken {
        /// Whether activate was sent.
        told: bool,
    },
    /// It is out.
    Failed(Reason),
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Contact a meter.
    Contact(MeterId, Task),
    /// Broadcast blocks to a group, in this order; [`Planner::broadcast`] hears how far it came.
    Broadcast {
        /// The group.
        group: usize,
        /// Octets of a block.
        block_len: u32,
        /// The numbers of the blocks.
        blocks: Vec<u32>,
        /// One of its meters, whose keys are those of all.
        meter: MeterId,
    },
    /// Nothing before this time.
    Wait(Timestamp),
    /// Nothing before something under way has ended.
    Idle,
    /// All is done, or the campaign was stopped and nothing is under way.
    Over,
}

/// Blocks that one burst has at most, so that a stop and what is kept come between.
const BURST_MAX: usize = 256;

/// Copies of a block that is repaired by broadcast, at most.
const COPIES_MAX: u32 = 4;

impl Planner {
    /// Plans a campaign for an image of `image_len` octets.
    pub fn new(settings: Settings, image_len: u32, members: Vec<Member>) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        let mut known: BTreeMap<(String, Option<u64>), u32> = BTreeMap::new();
        let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
        let mut states = Vec::new();
        for member in members.into_iter().take(MEMBERS_MAX) {
            let place = (member.endpoint.clone(), member.key);
            let group = *known.entry(place).or_insert_with(|| {
                groups.push(Group {
                    endpoint: member.endpoint,
                    key: member.key,
                    phase: Phase::Initiate,
                    block_len: None,
                    burst: VecDeque::new(),
                    sent: 0,
                    began_ms: None,
                    ended_ms: None,
                    sending: false,
                    running: 0,
                });
                u32::try_from(groups.len() - 1).unwrap_or(u32::MAX)
            });
            *counts.entry(group).or_default() += 1;
            states.push(State {
                meter: member.meter.number(),
                group,
                step: Step::Waiting,
                reason: None,
                tries: 0,
                not_before: 0,
                told: false,
                bitmaps: [0; 2],
                busy: false,
                holes: Vec::new(),
            });
        }
        // Who is alone has nobody to share a broadcast with.
        for (number, group) in (0..).zip(&mut groups) {
            if counts.get(&number).is_none_or(|count| *count < 2) {
                group.key = None;
            }
        }
        // Rings shall not follow a street: neighbours have numbers that follow each other.
        states.sort_by_key(|state| (scattered(state.meter), state.meter));
        let mut planner = Self {
            settings,
            image_len,
            groups,
            members: states,
            ring: None,
            soak_until: 0,
            stopped: None,
            over: false,
            places: BTreeMap::new(),
            of: Vec::new(),
            changed: 0,
            must_keep: true,
        };
        planner.index();
        planner
    }

    /// Goes on with what was kept.
    ///
    /// # Errors
    /// Where the octets are none of ours.
    pub fn restore(record: &[u8]) -> Result<Self, serde_json::Error> {
        let mut planner: Self = serde_json::from_slice(record)?;
        planner.index();
        for state in &mut planner.members {
            // What they lacked was not kept: they are asked again.
            if state.step == Step::Asked {
                let group = planner.groups.get(group_of(state));
                let phase = group.map(|group| group.phase);
                if phase == Some(Phase::Ask) {
                    state.step = Step::Receiving;
                }
            }
        }
        Ok(planner)
    }

    /// Returns what is to be kept.
    pub fn record(&mut self) -> Vec<u8> {
        self.changed = 0;
        self.must_keep = false;
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn index(&mut self) {
        let numbers = self.members.iter().map(|state| state.meter);
        self.places = numbers.zip(0..).collect();
        self.of = vec![Vec::new(); self.groups.len()];
        for (place, state) in self.members.iter().enumerate() {
            if let Some(of) = self.of.get_mut(group_of(state)) {
                of.push(place);
            }
        }
    }

    /// Says whether [`record`](Self::record) must be durable before anything more is done.
    pub const fn must_keep(&self) -> bool {
        self.must_keep
    }

    /// Returns how many results came since [`record`](Self::record).
    pub const fn changed(&self) -> u32 {
        self.changed
    }

    /// Returns how it goes about it.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Says whether it has something left to do, and was not stopped.
    pub const fn is_under_way(&self) -> bool {
        !self.over && self.stopped.is_none()
    }

    /// Tells what it would come to with blocks of `block_len` octets, before any meter has said
    /// how long its own are.
    pub fn outline(&self, block_len: u32) -> Vec<GroupOutline> {
        let (line, passes) = (self.settings.line.as_ref(), self.settings.passes);
        let all = self.groups.iter().zip(&self.of);
        let outline = all.map(|(group, of)| {
            let meters = u32::try_from(of.len()).unwrap_or(u32::MAX);
            GroupOutline {
                endpoint: group.endpoint.clone(),
                meters,
                shares: group.key.is_some(),
                blocks: self.image_len.div_ceil(block_len.max(1)),
                bound: line.map(|it| Bound::of(it, meters, self.image_len, block_len, passes)),
            }
        });
        outline.collect()
    }

    /// Stops it: nothing new is begun.
    pub const fn stop(&mut self) {
        if !self.over && self.stopped.is_none() {
            self.stopped = Some(Stopped::Operator);
            self.must_keep = true;
        }
    }

    /// Tells the meters that [`resume`](Self::resume) would take up; none where it would do nothing.
    pub fn resumable(&self) -> impl Iterator<Item = MeterId> {
        let rests = self.over || self.stopped.is_some();
        let left = self.members.iter().filter(move |state| {
            rests
                && match state.step {
                    Step::Active => false,
                    Step::Failed => state.reason == Some(Reason::Unreachable),
                    Step::Waiting | Step::Receiving | Step::Asked | Step::Verified => true,
                }
        });
        left.filter_map(|state| MeterId::new(state.meter).ok())
    }

    /// Lets a stopped campaign go on, meters that could not be reached included.
    pub fn resume(&mut self) {
        if self.stopped.take().is_none() && !self.over {
            return;
        }
        self.over = false;
        self.must_keep = true;
        for state in &mut self.members {
            if state.step == Step::Failed && state.reason == Some(Reason::Unreachable) {
                state.reason = None;
                state.tries = 0;
                state.not_before = 0;
                // A later contact does what the earlier ones would have.
                state.step = Step::Waiting;
                if let Some(group) = self.groups.get_mut(group_of(state))
                    && matches!(group.phase, Phase::Finish | Phase::Done)
                {
                    state.step = Step::Asked;
                    group.phase = Phase::Finish;
                    group.ended_ms = None;
                    self.ring = None;
                }
            }
        }
    }

    /// Tells what is to be done next.
    pub fn next(&mut self, now: Timestamp) -> Next {
        let busy = self.groups.iter().any(|it| it.sending || it.running > 0);
        if self.over || self.stopped.is_some() {
            return if busy { Next::Idle } else { Next::Over };
        }
        let mut wake: Option<i64> = None;
        for group in 0..self.groups.len() {
            // Phases that have nothing left end at once, one after the other.
            while self.advance(group, now) {}
            if let Some(next) = self.next_of(group, now, &mut wake) {
                return next;
            }
        }
        if self.groups.iter().all(|group| group.phase == Phase::Done)
            && let Some(next) = self.next_of_ring(now, &mut wake)
        {
            return next;
        }
        if self.stopped.is_some() {
            return self.next(now);
        }
        match wake {
            Some(at) => Next::Wait(Timestamp::from_millis(at)),
            None => Next::Idle,
        }
    }

    fn of(&self, group: usize) -> impl Iterator<Item = &State> {
        let places = self.of.get(group).into_iter().flatten();
        places.filter_map(|place| self.members.get(*place))
    }

    /// Changes each member of a group.
    fn each_of(&mut self, group: usize, change: impl Fn(&mut State)) {
        for place in self.of.get(group).into_iter().flatten() {
            if let Some(state) = self.members.get_mut(*place) {
                change(state);
            }
        }
    }

    /// Ends a group's phase where nothing is left of it.
    fn advance(&mut self, number: usize, now: Timestamp) -> bool {
        let Some(group) = self.groups.get(number) else {
            return false;
        };
        if group.sending || group.running > 0 {
            return false;
        }
        let none = |step: Step| !self.of(number).any(|state| state.step == step);
        let shared = group.key.is_some() && group.block_len.is_some();
        let next = match group.phase {
            Phase::Initiate if none(Step::Waiting) => {
                if shared && !none(Step::Receiving) {
                    Phase::Pass(0)
                } else {
                    Phase::Finish
                }
            }
            Phase::Pass(_) | Phase::Repair if none(Step::Receiving) && none(Step::Asked) => {
                Phase::Finish
            }
            Phase::Pass(pass) if group.burst.is_empty() => {
                if pass + 1 < self.settings.passes {
                    Phase::Pass(pass + 1)
                } else {
                    Phase::Ask
                }
            }
            Phase::Ask if none(Step::Receiving) => Phase::Repair,
            Phase::Repair if group.burst.is_empty() => Phase::Finish,
            Phase::Finish if none(Step::Receiving) && none(Step::Asked) => Phase::Done,
            _ => return false,
        };
        let burst = match next {
            Phase::Pass(_) => (0..self.blocks(number)).collect(),
            Phase::Repair => self.repair(number),
            _ => VecDeque::new(),
        };
        if let Some(group) = self.groups.get_mut(number) {
            group.phase = next;
            group.burst = burst;
            match next {
                Phase::Pass(_) => {
                    group.began_ms = group.began_ms.or_else(|| Some(now.millis()));
                }
                Phase::Done => group.ended_ms = Some(now.millis()),
                Phase::Initiate | Phase::Ask | Phase::Repair | Phase::Finish => {}
            }
        }
        self.each_of(number, |state| {
            state.tries = 0;
            state.not_before = 0;
        });
        self.must_keep = true;
        true
    }

    fn blocks(&self, group: usize) -> u32 {
        let len = self.groups.get(group).and_then(|group| group.block_len);
        self.image_len.div_ceil(len.unwrap_or(u32::MAX).max(1))
    }

    /// The blocks to broadcast again: what is lacked, as often as it takes until sending the rest
    /// to each alone costs less than one more broadcast.
    fn repair(&mut self, number: usize) -> VecDeque<u32> {
        let mut lacking: BTreeMap<u32, u32> = BTreeMap::new();
        let (mut meters, mut holes) = (0_u32, 0_usize);
        for state in self.of(number) {
            if state.step == Step::Asked {
                meters += 1;
                holes += state.holes.len();
                for block in &state.holes {
                    *lacking.entry(*block).or_default() += 1;
                }
            }
        }
        self.each_of(number, |state| state.holes = Vec::new());
        // What is lacking was lost in every pass: so much is lost in one.
        let all = f64::from(meters) * f64::from(self.blocks(number));
        let lacked = f64::from(u32::try_from(holes).unwrap_or(u32::MAX));
        let once = (lacked / all.max(1.0)).powf(1.0 / f64::from(self.settings.passes.max(1)));
        let mut burst = VecDeque::new();
        let mut copies: BTreeMap<u32, u32> = BTreeMap::new();
        for (block, count) in &lacking {
            if *count < u32::from(self.settings.broadcast_from) {
                continue;
            }
            let mut left = f64::from(*count);
            let mut times = 0;
            while times < COPIES_MAX && (times == 0 || left > 1.0) {
                left *= once;
                times += 1;
            }
            copies.insert(*block, times);
        }
        for time in 0..COPIES_MAX {
            let again = copies.iter().filter(|(_, times)| **times > time);
            burst.extend(again.map(|(block, _)| *block));
        }
        burst
    }

    fn next_of(&mut self, number: usize, now: Timestamp, wake: &mut Option<i64>) -> Option<Next> {
        let group = self.groups.get(number)?;
        let (step, task) = match group.phase {
            Phase::Pass(_) | Phase::Repair => {
                if group.sending || group.burst.is_empty() {
                    return None;
                }
                let takes = |state: &&State| matches!(state.step, Step::Receiving | Step::Asked);
                let meter = MeterId::new(self.of(number).find(takes)?.meter).ok()?;
                let blocks = group.burst.iter().copied().take(BURST_MAX).collect();
                let block_len = group.block_len?;
                self.groups.get_mut(number)?.sending = true;
                return Some(Next::Broadcast {
                    group: number,
                    block_len,
                    blocks,
                    meter,
                });
            }
            Phase::Initiate => (Step::Waiting, Task::Initiate),
            Phase::Ask => (Step::Receiving, Task::Ask),
            Phase::Finish => (Step::Receiving, Task::Finish),
            Phase::Done => return None,
        };
        if group.running >= self.settings.parallel {
            return None;
        }
        let also = task == Task::Finish;
        let places = self.of.get(number).into_iter().flatten().copied();
        let found = due(&self.members, places, now, wake, |state| {
            state.step == step || also && state.step == Step::Asked
        })?;
        self.begin(found, task)
    }

    fn begin(&mut self, place: usize, task: Task) -> Option<Next> {
        let state = self.members.get_mut(place)?;
        let meter = MeterId::new(state.meter).ok()?;
        state.busy = true;
        self.groups.get_mut(group_of(state))?.running += 1;
        Some(Next::Contact(meter, task))
    }

    fn next_of_ring(&mut self, now: Timestamp, wake: &mut Option<i64>) -> Option<Next> {
        let ring = match self.ring {
            Some(ring) => ring,
            None => {
                self.ring = Some(0);
                self.must_keep = true;
                0
            }
        };
        if self.soak_until > now.millis() {
            *wake = Some(self.soak_until);
            return None;
        }
        let size = self.ring_size(ring);
        let parallel = self.settings.parallel;
        let groups = &self.groups;
        let found = due(&self.members, 0..size, now, wake, |state| {
            let group = groups.get(group_of(state));
            state.step == Step::Verified && group.is_some_and(|group| group.running < parallel)
        });
        if let Some(found) = found {
            return self.begin(found, Task::Activate);
        }
        let members = self.members.iter().take(size);
        let open = members.filter(|state| state.step == Step::Verified || state.busy);
        if open.count() > 0 {
            return None;
        }
        // The ring is done, and had no more failures than it may.
        if usize::from(ring) + 1 >= self.settings.rings.len() {
            self.over = true;
            self.must_keep = true;
            return Some(Next::Over);
        }
        self.ring = Some(ring + 1);
        self.soak_until = now.millis() + i64::from(self.settings.soak_s) * 1_000;
        self.must_keep = true;
        *wake = Some(self.soak_until);
        None
    }

    /// Meters up to and with a ring.
    fn ring_size(&self, ring: u16) -> usize {
        let permille = self.settings.rings.get(usize::from(ring)).copied();
        let permille = usize::from(permille.unwrap_or(1_000));
        (self.members.len() * permille).div_ceil(1_000)
    }

    /// Hears what came of a contact.
    pub fn contacted(&mut self, meter: MeterId, outcome: Outcome, now: Timestamp) {
        let Some(place) = self.places.get(&meter.number()).copied() else {
            return;
        };
        let (tries_max, retry_s) = (self.settings.tries, self.settings.retry_s);
        let Some(state) = self.members.get_mut(place) else {
            return;
        };
        state.busy = false;
        self.changed += 1;
        let Some(of) = self.groups.get_mut(group_of(state)) else {
            return;
        };
        of.running = of.running.saturating_sub(1);
        let mut failed = None;
        match outcome {
            Outcome::Initiated { block_len } => {
                // A meter with blocks of its own length gets them alone.
                let shared = *of.block_len.get_or_insert(block_len) == block_len;
                state.step = if shared { Step::Receiving } else { Step::Asked };
            }
            Outcome::Lacks(holes) => {
                state.step = Step::Asked;
                state.holes = holes;
            }
            Outcome::Verified => state.step = Step::Verified,
            Outcome::Active => state.step = Step::Active,
            Outcome::Failed(reason) => failed = Some(reason),
            Outcome::Broken { told } => {
                state.told |= told;
                state.tries = state.tries.saturating_add(1);
                let doubled = u32::from(state.tries.saturating_sub(1)).min(6);
                let wait_ms = (i64::from(retry_s) * 1_000) << doubled;
                state.not_before = now.millis() + wait_ms;
                if state.tries >= tries_max {
                    failed = Some(if state.told {
                        Reason::Lost
                    } else {
                        Reason::Unreachable
                    });
                }
            }
        }
        if let Some(reason) = failed {
            state.step = Step::Failed;
            state.reason = Some(reason);
            self.judge();
        } else if state.step != Step::Waiting && state.not_before <= now.millis() {
            state.tries = 0;
        }
    }

    /// Hears that a meter's bitmap was asked for so many times within one contact, answered or
    /// not.
    pub fn asked(&mut self, meter: MeterId, task: Task, count: u16) {
        let place = self.places.get(&meter.number()).copied();
        let Some(state) = place.and_then(|place| self.members.get_mut(place)) else {
            return;
        };
        let [asking, finishing] = &mut state.bitmaps;
        let round = match task {
            Task::Ask => asking,
            Task::Finish => finishing,
            Task::Initiate | Task::Activate => return,
        };
        *round = round.saturating_add(count);
    }

    /// Stops where more fail than may.
    fn judge(&mut self) {
        let of = match self.ring {
            Some(ring) => self.ring_size(ring),
            None => self.members.len(),
        };
        let members = self.members.iter().take(of);
        let failed = members.filter(|state| state.reason.is_some_and(Reason::counts));
        let limit = of * usize::from(self.settings.failures_permille) / 1_000;
        if failed.count() > limit && self.stopped.is_none() {
            self.stopped = Some(Stopped::Failures);
            self.must_keep = true;
        }
    }

    /// Hears that so many of the blocks last asked for were broadcast.
    pub fn broadcast(&mut self, group: usize, count: usize) {
        if let Some(group) = self.groups.get_mut(group) {
            group.sending = false;
            let count = count.min(group.burst.len());
            group.burst.drain(..count);
            group.sent += count as u64;
            self.changed += 1;
        }
    }

    /// Tells how far it is.
    pub fn progress(&self) -> Progress {
        let mut steps = BTreeMap::new();
        let mut reasons = BTreeMap::new();
        let mut rounds = [Round::default(); 2];
        let mut counts = vec![0_u32; self.groups.len()];
        for state in &self.members {
            *steps.entry(state.step).or_insert(0) += 1;
            if let Some(reason) = state.reason {
                *reasons.entry(reason).or_insert(0) += 1;
            }
            for (round, reads) in rounds.iter_mut().zip(state.bitmaps) {
                round.meters += usize::from(reads > 0);
                round.reads += u64::from(reads);
                round.most = round.most.max(reads);
            }
            if let Some(count) = counts.get_mut(group_of(state)) {
                *count += 1;
            }
        }
        let first = self.groups.iter().map(|group| group.phase);
        let earliest = first.min_by_key(|phase| phase.place());
        let phase = match (self.stopped, self.over, self.ring, earliest) {
            (Some(Stopped::Operator), ..) => "stopped",
            (Some(Stopped::Failures), ..) => "stopped_by_failures",
            (_, true, ..) => "done",
            (_, _, Some(_), _) => "activating",
            (.., Some(Phase::Done) | None) => "finishing",
            (.., Some(phase)) => phase.name(),
        };
        let groups = self.groups.iter().zip(counts).map(|(group, meters)| {
            let shared = group.block_len.filter(|_| group.key.is_some());
            let blocks = shared.map_or(0, |len| self.image_len.div_ceil(len.max(1)));
            let passes = self.settings.passes;
            let line = self.settings.line.as_ref().zip(shared);
            let of = |(line, len)| Bound::of(line, meters, self.image_len, len, passes);
            let span = group.began_ms.zip(group.ended_ms);
            GroupProgress {
                endpoint: group.endpoint.clone(),
                phase: group.phase.name(),
                meters,
                sent: group.sent,
                blind: u64::from(blocks) * u64::from(passes),
                bound: line.map(of),
                began: group.began_ms.map(Timestamp::from_millis),
                taken_s: span.map(|(began, ended)| ended.saturating_sub(began) / 1_000),
            }
        });
        Progress {
            phase,
            meters: self.members.len(),
            steps,
            reasons,
            ring: self.ring,
            rings: self.rings(),
            next_ring: Some(self.soak_until)
                .filter(|until| *until > 0 && !self.over)
                .map(Timestamp::from_millis),
            rounds,
            groups: groups.collect(),
        }
    }

    /// Tells of each ring how far its own meters are.
    fn rings(&self) -> Vec<RingProgress> {
        let mut from = 0;
        let rings = (0..).zip(&self.settings.rings).map(|(ring, permille)| {
            let to = self.ring_size(ring);
            let mut steps = BTreeMap::new();
            for state in self.members.get(from..to).unwrap_or_default() {
                *steps.entry(state.step).or_insert(0) += 1;
            }
            let meters = to.saturating_sub(from);
            from = to;
            RingProgress {
                permille: *permille,
                meters,
                steps,
            }
        });
        rings.collect()
    }

    /// Goes over all meters in the order in which they activate.
    pub fn members(&self) -> impl Iterator<Item = MemberProgress> {
        let mut ring = 0;
        let places = self.members.iter().enumerate();
        places.filter_map(move |(place, state)| {
            while place >= self.ring_size(ring) && usize::from(ring) < self.settings.rings.len() {
                ring += 1;
            }
            let waits = state.tries > 0 && !state.busy;
            let open = !matches!(state.step, Step::Active | Step::Failed);
            Some(MemberProgress {
                meter: MeterId::new(state.meter).ok()?,
                ring,
                step: state.step,
                reason: state.reason,
                tries: state.tries,
                next_try: (waits && open).then(|| Timestamp::from_millis(state.not_before)),
                told: state.told,
                bitmaps: state.bitmaps,
                busy: state.busy,
            })
        })
    }

    /// Goes over the meters that are out, with the reason of each.
    pub fn failed(&self) -> impl Iterator<Item = (MeterId, Reason)> {
        self.members
            .iter()
            .filter_map(|state| Some((MeterId::new(state.meter).ok()?, state.reason?)))
    }
}

/// A round in which meters are asked which blocks they lack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Meters whose bitmap was asked for.
    pub meters: usize,
    /// How often that was, over all of them.
    pub reads: u64,
    /// How often of one of them: more than once only where a contact broke off.
    pub most: u16,
}

/// What a campaign would come to for meters with the same endpoint and broadcast key.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupOutline {
    /// Where they are reached.
    pub endpoint: String,
    /// How many there are.
    pub meters: u32,
    /// Whether blocks are broadcast to them; else all blocks go to each alone.
    pub shares: bool,
    /// Blocks of the image.
    pub blocks: u32,
    /// How long it may take, where the settings say what the segment is like: `all_s` where they
    /// share, else `unicast_s`.
    pub bound: Option<Bound>,
}

/// How far the meters are that share an endpoint and a broadcast key.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupProgress {
    /// Where they are reached.
    pub endpoint: String,
    /// What is done with them: `initiating`, `broadcasting`, `asking`, `repairing`, `finishing`,
    /// `done` once each has verified the image or is out.
    pub phase: &'static str,
    /// How many there are.
    pub meters: u32,
    /// Blocks broadcast so far.
    pub sent: u64,
    /// Blocks of the blind passes; 0 where nothing is broadcast.
    pub blind: u64,
    /// How long the transfer may take, where the settings say what the segment is like.
    pub bound: Option<Bound>,
    /// When the first block was sent.
    pub began: Option<Timestamp>,
    /// Seconds from the first block until the last meter had verified the image, or was given up.
    pub taken_s: Option<i64>,
}

/// How far the meters of one ring are, without those of the rings before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingProgress {
    /// Thousandths of all meters that were told to activate when it is done.
    pub permille: u16,
    /// How many meters it has.
    pub meters: usize,
    /// How many of them are at each step.
    pub steps: BTreeMap<Step, usize>,
}

/// How far one meter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberProgress {
    /// The meter.
    pub meter: MeterId,
    /// The ring with which it activates, counted from 0.
    pub ring: u16,
    /// How far it is.
    pub step: Step,
    /// Why it is out.
    pub reason: Option<Reason>,
    /// Contacts in a row that broke off.
    pub tries: u8,
    /// When it is tried again, where the last contact broke off.
    pub next_try: Option<Timestamp>,
    /// Whether it was told to activate.
    pub told: bool,
    /// How often its bitmap was asked for in each of the two rounds.
    pub bitmaps: [u16; 2],
    /// Whether it is being talked to.
    pub busy: bool,
}

/// How far a campaign is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What it does: `initiating`, `broadcasting`, `asking`, `repairing`, `finishing`,
    /// `activating`, `done`, `stopped`, `stopped_by_failures`.
    pub phase: &'static str,
    /// How many meters it has.
    pub meters: usize,
    /// How many meters are at each step.
    pub steps: BTreeMap<Step, usize>,
    /// Why meters are out.
    pub reasons: BTreeMap<Reason, usize>,
    /// The ring that is under way, counted from 0.
    pub ring: Option<u16>,
    /// Of each ring, its own meters alone.
    pub rings: Vec<RingProgress>,
    /// When the ring that is under way began to activate, or will: a while after the one before.
    pub next_ring: Option<Timestamp>,
    /// The round behind the blind passes, and the one within which each is sent the rest.
    pub rounds: [Round; 2],
    /// Of each group.
    pub groups: Vec<GroupProgress>,
}

fn group_of(state: &State) -> usize {
    usize::try_from(state.group).unwrap_or(usize::MAX)
}

/// Finds the first of `places` that fits and may be contacted, and notes when the next one may.
fn due(
    members: &[State],
    places: impl Iterator<Item = usize>,
    now: Timestamp,
    wake: &mut Option<i64>,
    fits: impl Fn(&State) -> bool,
) -> Option<usize> {
    for place in places {
        let Some(state) = members.get(place) else {
            continue;
        };
        if state.busy || !fits(state) {
            continue;
        }
        if state.not_before <= now.millis() {
            return Some(place);
        }
        *wake = Some(wake.map_or(state.not_before, |wake| wake.min(state.not_before)));
    }
    None
}

/// Spreads numbers (SplitMix64, Steele et al. 2014).
const fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
