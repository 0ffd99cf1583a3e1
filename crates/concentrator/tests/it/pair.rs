//! Two concentrators before the same meters, in virtual time and from seeds: one is killed, the
//! line between them is cut, their disks are slow.
//!
//! Evidence: self-agreement. The meters are the project's own machines; what is compared is what
//! a head end was given with what the meters hold.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use concentrator::collector::state::{Bounds, NoticeKind, Record, State};
use concentrator::collector::{Collector, Settings};
use concentrator::core::{Core, Input, Output};
use concentrator::direct::{RouterLimits, SegmentId};
use concentrator::pair::lease::{Beat, Change, Lease, Mode, Side, Stays, Terms};
use concentrator::pair::wire::{Body, Hello, Word};
use concentrator::pair::{self, Log, Pair};
use concentrator::sap::{self, Table};
use dlms::Instant;
use dlms::axdr::Data;
use dlms::security::SystemTitle;
use dlms::server::{self, Server};
use link::{KeyFile, Message, SegmentEvent, SystemEntropy};
use meter::device::Session;
use model::{LogicalDeviceName, Timestamp};
use sim::draw;

use crate::adoption::registered;
use crate::collector::{LOAD, Metered, NOON, Nowhere, meter, name, settings};

const LEASE: Duration = Duration::from_secs(3);

fn terms(side: Side, mode: Mode, segments: u16) -> Terms {
    let turns = |number: u16| {
        if number.is_multiple_of(2) {
            Side::First
        } else {
            Side::Second
        }
    };
    Terms {
        side,
        mode,
        homes: (0..segments).map(turns).collect(),
        lease: LEASE,
    }
}

/// Two leases, with a line between them that delays, loses, reorders and is cut, and sides that
/// stop.
struct Two {
    lease: [Option<Lease>; 2],
    epochs: [u64; 2],
    /// What is on the way to each: when it arrives.
    line: [Vec<(Instant, Beat)>; 2],
    beat_at: [Instant; 2],
    cut: bool,
    now: Instant,
    /// Of a thousand words so many are lost; the others take up to so many milliseconds longer.
    loss: u64,
    jitter: u64,
    dice: (u64, u64),
    /// Whose each epoch is.
    owners: BTreeMap<u64, usize>,
}

const SIDES: [Side; 2] = [Side::First, Side::Second];

impl Two {
    fn new(mode: Mode) -> Self {
        let now = Instant::ORIGIN;
        let lease = SIDES.map(|side| Some(Lease::new(terms(side, mode, 4), 0, now)));
        Self {
            lease,
            epochs: [0; 2],
            line: [Vec::new(), Vec::new()],
            beat_at: [now; 2],
            cut: false,
            now,
            loss: 0,
            jitter: 0,
            dice: (0, 0),
            owners: BTreeMap::new(),
        }
    }

    fn roll(&mut self) -> u64 {
        self.dice.1 += 1;
        draw(self.dice.0, self.dice.1)
    }

    fn stop(&mut self, side: usize) {
        self.lease[side] = None;
        self.line = [Vec::new(), Vec::new()];
        if let Some(other) = &mut self.lease[1 - side] {
            other.parted();
        }
    }

    fn held(&self, side: usize) -> BTreeSet<SegmentId> {
        self.lease[side]
            .as_ref()
            .map_or_else(BTreeSet::new, |it| it.held().clone())
    }

    /// Orders whoever has segments to hand them over; tells whether that is begun.
    fn order(&mut self) -> bool {
        let now = self.now;
        let mut leases = self.lease.iter_mut().flatten();
        leases.any(|lease| lease.hand_over(now).is_ok())
    }

    fn start(&mut self, side: usize, mode: Mode) {
        let lease = Lease::new(terms(SIDES[side], mode, 4), self.epochs[side], self.now);
        self.lease[side] = Some(lease);
    }

    fn step(&mut self, millis: u64, delay: Duration, asleep: Option<usize>) {
        self.now = self.now + Duration::from_millis(millis);
        let here: Vec<bool> = self.lease.iter().map(Option::is_some).collect();
        for side in 0..2 {
            if asleep == Some(side) {
                continue;
            }
            let Some(lease) = &mut self.lease[side] else {
                self.line[side].clear();
                continue;
            };
            lease.set_in_step(here[1 - side] && !self.cut);
            self.line[side].sort_by_key(|(at, _)| *at);
            while self.line[side]
                .first()
                .is_some_and(|(at, _)| *at <= self.now)
            {
                lease.heard(self.line[side].remove(0).1);
            }
            let changes = lease.turn(self.now);
            assert!(lease.epoch() >= self.epochs[side], "an epoch went back");
            let takes = changes.iter().any(|it| matches!(it, Change::Take(_)));
            assert!(!takes || lease.epoch() > self.epochs[side]);
            if takes {
                let owner = *self.owners.entry(lease.epoch()).or_insert(side);
                assert_eq!(owner, side, "both have epoch {}", lease.epoch());
            }
            self.epochs[side] = lease.epoch();
            if !changes.is_empty() || self.now >= self.beat_at[side] {
                self.beat_at[side] = self.now + lease.terms().beat();
                let beat = lease.beat(self.now);
                let roll = self.roll();
                if !self.cut && roll % 1_000 >= self.loss {
                    let more = Duration::from_millis((roll >> 20) % (self.jitter + 1));
                    self.line[1 - side].push((self.now + delay + more, beat));
                }
            }
        }
    }
}

/// Requirement D11: whatever stops, sleeps or is cut, never do both work where they hear each
/// other, and soon after all is well each segment has one of them.
#[test]
fn each_segment_has_one_of_them_and_no_more() {
    for (seed, mode) in (0..60).flat_map(|it| [(it, Mode::Standby), (it, Mode::Active)]) {
        let mut two = Two::new(mode);
        let delay = Duration::from_millis(draw(seed, 1) % 200);
        let all: BTreeSet<_> = (0..4).map(SegmentId).collect();
        // Since when nothing has been wrong.
        let mut well = two.now;
        let mut trouble: Option<(u64, Instant)> = None;
        let mut died = two.now;
        let mut word = 2;
        while two.now.as_micros() < 600_000_000 {
            word += 1;
            let roll = draw(seed, word);
            if let Some((kind, until)) = trouble {
                if two.now >= until {
                    match kind {
                        0 | 1 => two.start(usize::try_from(kind).unwrap(), mode),
                        _ => two.cut = false,
                    }
                    trouble = None;
                }
                well = two.now;
            } else if roll.is_multiple_of(400) {
                let kind = (roll >> 20) % 5;
                let lasts = Duration::from_millis((roll >> 32) % 20_000);
                match kind {
                    0 | 1 => two.stop(usize::try_from(kind).unwrap()),
                    2 => two.cut = true,
                    _ => {}
                }
                trouble = Some((kind, two.now + lasts));
                (well, died) = (two.now, two.now);
            }
            let asleep = trouble.and_then(|(kind, _)| usize::try_from(kind).ok()?.checked_sub(3));
            two.step(50 + roll % 100, delay, asleep);
            let (first, second) = (two.held(0), two.held(1));
            let both: Vec<_> = first.intersection(&second).collect();
            let dead = two.lease.iter().any(Option::is_none);
            let calm = two.now.since(well) > LEASE;
            if calm || dead {
                assert!(both.is_empty(), "seed {seed} {mode:?}: both have {both:?}");
            }
            let alone = dead && two.now.since(died) > LEASE + LEASE / 2;
            if alone || two.now.since(well) > LEASE * 3 {
                let union: BTreeSet<_> = first.union(&second).copied().collect();
                assert_eq!(union, all, "seed {seed} {mode:?}: nobody has the rest");
            }
            if mode == Mode::Active && two.now.since(well) > LEASE * 4 {
                assert_eq!((first.len(), second.len()), (2, 2), "seed {seed}");
            }
        }
    }
}

/// Words are lost, late and out of order, sides stop and sleep, somebody orders segments to be
/// handed over: no epoch ever has two holders, and all is well once the line is.
#[test]
fn no_epoch_has_two_holders_whatever_the_line_does() {
    let (mut taken, mut ordered) = (0, 0);
    for (seed, mode) in (0..100).flat_map(|it| [(it, Mode::Standby), (it, Mode::Active)]) {
        let mut two = Two::new(mode);
        two.dice.0 = seed;
        two.loss = 50 + two.roll() % 500;
        two.jitter = two.roll() % 6_000;
        let mut back: [Option<Instant>; 2] = [None; 2];
        let mut asleep: Option<(usize, Instant)> = None;
        while two.now.as_micros() < 200_000_000 {
            let roll = two.roll();
            let side = usize::try_from(roll >> 50 & 1).unwrap();
            let until = two.now + Duration::from_millis((roll >> 30) % 12_000);
            if roll.is_multiple_of(150) && two.lease[side].is_some() {
                two.stop(side);
                back[side] = Some(until);
            } else if roll % 150 == 1 {
                asleep = Some((side, until));
            } else if roll % 50 == 2 && two.order() {
                ordered += 1;
            }
            for (side, back) in back.iter_mut().enumerate() {
                if back.take_if(|at| *at <= two.now).is_some() {
                    two.start(side, mode);
                }
            }
            asleep = asleep.filter(|(_, until)| *until > two.now);
            two.step(50 + roll % 100, Duration::ZERO, asleep.map(|it| it.0));
        }
        (0..2)
            .filter(|side| back[*side].is_some())
            .for_each(|side| two.start(side, mode));
        (two.loss, two.jitter) = (0, 0);
        while two.now.as_micros() < 240_000_000 {
            two.step(100, Duration::from_millis(20), None);
        }
        let (first, second) = (two.held(0), two.held(1));
        assert_eq!(first.intersection(&second).count(), 0, "seed {seed}");
        assert_eq!(first.len() + second.len(), 4, "seed {seed}");
        taken += two.owners.len();
    }
    // The troubles were some.
    assert!(taken > 1_000, "{taken}");
    assert!(ordered > 200, "{ordered}");
}

/// By order the other has all within moments, nobody has anything twice meanwhile, and what was
/// ordered stays as it is. An order that the other could not follow is refused.
#[test]
fn an_order_hands_all_segments_over() {
    for seed in 0..50 {
        let mut two = Two::new(Mode::Standby);
        two.dice.0 = seed;
        let delay = Duration::from_millis(two.roll() % 300);
        let all = |two: &Two| (two.held(0).len(), two.held(1).len());
        let run = |two: &mut Two, seconds: u64| {
            for _ in 0..seconds * 20 {
                two.step(50, delay, None);
                let both = two.held(0).intersection(&two.held(1)).count();
                assert_eq!(both, 0, "seed {seed}");
            }
        };
        run(&mut two, 10);
        assert_eq!(all(&two), (4, 0));
        // There and back again: who has them is home, and is not.
        for there in [(0, 4), (4, 0), (0, 4)] {
            let epochs = two.epochs;
            assert!(two.order(), "seed {seed}");
            run(&mut two, 3);
            assert_eq!(all(&two), there, "seed {seed}");
            assert!(two.epochs.iter().max() > epochs.iter().max());
            run(&mut two, 20);
            assert_eq!(all(&two), there, "seed {seed}");
        }
        let now = two.now;
        let refused = |two: &mut Two, side: usize| {
            let lease = two.lease[side].as_mut().unwrap();
            lease.hand_over(now).unwrap_err()
        };
        assert_eq!(refused(&mut two, 0), Stays::NotHeld);
        two.lease[1].as_mut().unwrap().set_in_step(false);
        assert_eq!(refused(&mut two, 1), Stays::Behind);
        two.stop(0);
        for _ in 0..100 {
            two.step(50, delay, None);
        }
        let lease = two.lease[1].as_mut().unwrap();
        assert_eq!(lease.hand_over(two.now).unwrap_err(), Stays::Away);
        assert_eq!(all(&two), (0, 4));
    }
    let mut two = Two::new(Mode::Active);
    for _ in 0..200 {
        two.step(50, Duration::ZERO, None);
    }
    let lease = two.lease[0].as_mut().unwrap();
    assert_eq!(lease.hand_over(two.now).unwrap_err(), Stays::BothWork);
}

/// The other does not take what it is offered: nobody is left with nothing for long.
#[test]
fn segments_that_the_other_does_not_take_are_taken_back() {
    let mut now = Instant::ORIGIN;
    let mut first = Lease::new(terms(Side::First, Mode::Standby, 1), 0, now);
    // It speaks, and takes nothing.
    let mut deaf = Lease::new(terms(Side::Second, Mode::Standby, 1), 0, now);
    let mut step = |first: &mut Lease| {
        now = now + LEASE / 10;
        first.set_in_step(true);
        let (one, two) = (first.beat(now), deaf.beat(now));
        deaf.heard(one.clone());
        first.heard(two);
        (now, first.turn(now), one.yields)
    };
    let mut at = Instant::ORIGIN;
    for _ in 0..20 {
        at = step(&mut first).0;
    }
    assert_eq!(first.held().len(), 1);
    let epoch = first.epoch();
    first.hand_over(at).unwrap();
    let mut offered = 0;
    for round in 0..40 {
        let (time, changes, yields) = step(&mut first);
        offered += usize::from(yields);
        let waited = time.since(at);
        match changes.as_slice() {
            [Change::Release(_)] => assert_eq!(round, 0),
            [Change::Take(_)] => assert!(waited >= LEASE * 3),
            _ => {}
        }
        // It says so for no longer than a lease.
        assert!(!yields || waited <= LEASE + LEASE / 10, "{waited:?}");
    }
    assert!(offered > 5);
    assert_eq!(first.held().len(), 1);
    assert!(first.epoch() > epoch);
}

/// After a cut the lower epoch lets go, and nothing moves any more.
#[test]
fn after_a_cut_the_higher_epoch_stays() {
    for seed in 0..50 {
        let mut two = Two::new(Mode::Standby);
        two.dice.0 = seed;
        let delay = Duration::from_millis(two.roll() % 100);
        let run = |two: &mut Two, seconds: u64| {
            for _ in 0..seconds * 20 {
                two.step(50, delay, None);
            }
        };
        run(&mut two, 10);
        assert_eq!((two.held(0).len(), two.held(1).len()), (4, 0));
        two.cut = true;
        let lasts = 8 + two.roll() % 20;
        run(&mut two, lasts);
        assert_eq!((two.held(0).len(), two.held(1).len()), (4, 4));
        two.cut = false;
        for side in 0..2 {
            two.lease[side].as_mut().unwrap().parted();
        }
        let epochs = two.epochs;
        run(&mut two, 20);
        assert_eq!((two.held(0).len(), two.held(1).len()), (0, 4), "{seed}");
        assert_eq!(two.epochs, epochs, "{seed}");
    }
}

/// A word that lay in a buffer while this side slept is no proof that the other is there, and
/// none that it has nothing.
#[test]
fn old_words_prove_nothing() {
    let second = Duration::from_secs(1);
    let mut now = Instant::ORIGIN;
    let mut first = Lease::new(terms(Side::First, Mode::Standby, 1), 0, now);
    let mut other = Lease::new(terms(Side::Second, Mode::Standby, 1), 0, now);
    for _ in 0..5 {
        first.set_in_step(true);
        now = now + second / 2;
        let (one, two) = (first.beat(now), other.beat(now));
        other.heard(one);
        first.heard(two);
        first.turn(now);
        other.turn(now);
    }
    assert_eq!((first.held().len(), other.held().len()), (1, 0));
    assert!(first.in_contact(now));
    // While the first sleeps the other goes on speaking, and takes over.
    let mut buffer = Vec::new();
    for _ in 0..8 {
        now = now + second;
        buffer.push(other.beat(now));
        other.turn(now);
    }
    assert_eq!(other.held().len(), 1);
    assert!(other.epoch() > first.epoch());
    // It lets go first, and takes nothing while it reads what was said meanwhile.
    assert_eq!(first.turn(now).len(), 1);
    for beat in buffer {
        first.heard(beat);
        assert_eq!(first.turn(now), []);
        assert!(!first.in_contact(now));
    }
    // An answer is what proves it.
    now = now + second / 10;
    other.heard(first.beat(now));
    first.heard(other.beat(now));
    assert!(first.in_contact(now));
    assert_eq!(first.turn(now), []);
    assert_eq!((first.held().len(), other.held().len()), (0, 1));
}

/// One concentrator with its disk.
struct Half {
    core: Core,
    pair: Pair,
    open: bool,
    up: bool,
    /// On the way to the disk, and there.
    waiting: (Vec<sap::Record>, Vec<Record>),
    durable: (Vec<sap::Record>, Vec<Record>),
    kept: pair::Kept,
    since: Option<Instant>,
}

const SEGMENT: SegmentId = SegmentId(0);

/// Both, their meters, and a head end.
struct World {
    keys: KeyFile,
    meters: Vec<Metered>,
    servers: Vec<[Server; 2]>,
    sides: [Half; 2],
    line: [VecDeque<(Instant, Vec<u8>)>; 2],
    connected: bool,
    cut: bool,
    again: Instant,
    micros: u64,
    seed: u64,
    word: u64,
    /// What the head end was given, and of that what it confirmed durably.
    got: BTreeMap<(usize, i64), Vec<u8>>,
    confirmed: BTreeSet<(usize, i64)>,
    confirming: Vec<(usize, Vec<(usize, i64)>)>,
    notices: Vec<(i64, Vec<u8>)>,
    /// Whether the line was cut at any time.
    was_cut: bool,
    repeated: usize,
    longest_gap: Duration,
    /// When each meter is there for the first time, and whose each SAP ever was.
    joins: Vec<Instant>,
    given: BTreeMap<link::Sap, LogicalDeviceName>,
    told: [BTreeSet<(link::Sap, LogicalDeviceName)>; 2],
    /// Which of them was in step a tenth of a second ago.
    steady: [bool; 2],
}

fn joined(node: usize) -> SegmentEvent {
    SegmentEvent::Joined {
        node: link::Node(u32::try_from(node).unwrap()),
        server: 1,
        title: None,
        hops: 0,
    }
}

fn own(side: usize) -> LogicalDeviceName {
    format!("GWD1DC000000000{}", side + 1).parse().unwrap()
}

fn core(keys: &KeyFile, side: usize, table: Table, state: State) -> Core {
    let settings = Settings {
        name: own(side),
        title: SystemTitle([
            b'G',
            b'W',
            b'D',
            b'D',
            b'C',
            0,
            0,
            u8::try_from(side).unwrap() + 1,
        ]),
        every_s: 300,
        timeout: Duration::from_secs(3),
        ..settings(true)
    };
    let collector = Collector::new(settings, &keys.of_client(3), state, Arc::new(SystemEntropy));
    let limits = RouterLimits::default();
    let mut core =
        Core::new(table, limits, BTreeMap::new(), Duration::from_secs(3)).with_collector(collector);
    core.give_half(side == 1);
    core
}

pub(crate) fn partner(side: usize, kept: pair::Kept, newest: u32, now: Instant) -> Pair {
    let settings = pair::Settings {
        name: own(side),
        peer: own(1 - side),
        terms: terms(SIDES[side], Mode::Standby, 1),
    };
    Pair::new(settings, kept, newest, now)
}

impl World {
    fn new(seed: u64, meters: u32) -> Self {
        let mut keys = KeyFile::generate(1, meters, &SystemEntropy).unwrap();
        keys.add_client(3, &SystemEntropy).unwrap();
        let now = Instant::ORIGIN;
        let sides = [0, 1].map(|side| Half {
            core: core(
                &keys,
                side,
                Table::new(86_400),
                State::new(Bounds::default()),
            ),
            pair: partner(side, pair::Kept::default(), 0, now),
            open: false,
            up: true,
            waiting: (Vec::new(), Vec::new()),
            durable: (Vec::new(), Vec::new()),
            kept: pair::Kept::default(),
            since: None,
        });
        let server = || Server::new(server::Settings::default());
        Self {
            meters: keys.meters.iter().map(|keys| meter(keys, 700)).collect(),
            servers: keys.meters.iter().map(|_| [server(), server()]).collect(),
            keys,
            sides,
            line: [VecDeque::new(), VecDeque::new()],
            connected: false,
            cut: false,
            again: now,
            micros: 0,
            seed,
            word: 0,
            got: BTreeMap::new(),
            confirmed: BTreeSet::new(),
            confirming: Vec::new(),
            notices: Vec::new(),
            was_cut: false,
            repeated: 0,
            longest_gap: Duration::ZERO,
            joins: (0..u64::from(meters))
                .map(|it| now + Duration::from_secs(it * (draw(seed, it) % 5_000)))
                .collect(),
            given: BTreeMap::new(),
            told: [BTreeSet::new(), BTreeSet::new()],
            steady: [false; 2],
        }
    }

    /// A SAP is one meter's for good, on either side; one that is told to anybody for the first
    /// time while both are in step is on the other's disk.
    fn saps_are_given_once(&mut self) {
        for number in 0..2 {
            let side = &self.sides[number];
            for (sap, name) in side.core.table().iter() {
                let whose = self.given.entry(sap).or_insert_with(|| name.clone());
                assert_eq!(whose, name, "seed {}: {sap} means two meters", self.seed);
                let record = sap::Record::Assigned {
                    sap,
                    name: name.clone(),
                    at: side.core.table().since(sap),
                };
                let there = &self.sides[1 - number].durable.0;
                let new = self.told[number].insert((sap, name.clone()));
                let alone = !side.up || !side.pair.in_step() || !self.steady[number];
                let unknown = new && !alone && !there.contains(&record);
                assert!(!unknown, "seed {}: {sap}", self.seed);
            }
            self.steady[number] = side.up && side.pair.in_step();
        }
    }

    fn roll(&mut self) -> u64 {
        self.word += 1;
        draw(self.seed, self.word)
    }

    const fn now(&self) -> Instant {
        Instant::from_micros(self.micros)
    }

    fn unix(&self) -> i64 {
        NOON + i64::try_from(self.micros / 1_000_000).unwrap()
    }

    fn kill(&mut self, side: usize) {
        self.sides[side].up = false;
        self.sides[side].open = false;
        self.hang_up();
    }

    fn hang_up(&mut self) {
        self.connected = false;
        self.line = [VecDeque::new(), VecDeque::new()];
        self.again = self.now() + Duration::from_millis(500);
        for side in self.sides.iter_mut().filter(|side| side.up) {
            side.pair.disconnected();
        }
    }

    fn start(&mut self, number: usize) {
        let now = self.now();
        let side = &mut self.sides[number];
        let mut state = State::new(Bounds::default());
        side.durable.1.iter().for_each(|record| state.apply(record));
        let mut table = Table::new(86_400);
        side.durable
            .0
            .iter()
            .for_each(|record| table.apply(record).unwrap());
        let newest = state.notices().back().map_or(0, |it| it.number);
        side.core = core(&self.keys, number, table, state);
        side.pair = partner(number, side.kept, newest, now);
        side.waiting = (Vec::new(), Vec::new());
        side.up = true;
    }

    /// Lets one of them do what it wants until it waits.
    fn settle(&mut self, number: usize) {
        loop {
            let mut sent = Vec::new();
            let (now, unix) = (self.now(), self.unix());
            let side = &mut self.sides[number];
            loop {
                match side.core.poll(now, unix) {
                    Output::ToSegment { node, message, .. } => {
                        assert!(side.open, "somebody sends who has no segment");
                        sent.push((node.unwrap(), message));
                        break;
                    }
                    Output::Store(record) => {
                        side.pair.made(Body::Sap(record.clone()));
                        side.waiting.0.push(record);
                    }
                    Output::Keep(record) => {
                        side.pair.made(Body::Kept(record.clone()));
                        side.waiting.1.push(record);
                    }
                    Output::ToWan { .. } | Output::Credit(_) => {}
                    Output::Wait(_) => break,
                }
            }
            if let Some((node, message)) = sent.pop() {
                self.deliver(number, node, &message);
                continue;
            }
            if !self.turn_pair(number) {
                return;
            }
        }
    }

    fn turn_pair(&mut self, number: usize) -> bool {
        let (now, unix) = (self.now(), self.unix());
        let there = (0..self.meters.len()).filter(|it| self.joins[*it] <= now);
        let there: Vec<usize> = there.collect();
        let side = &mut self.sides[number];
        side.pair.turn(now);
        let (mut again, mut drained) = (false, false);
        loop {
            let Some(output) = side.pair.poll() else {
                if again || drained {
                    return again;
                }
                drained = true;
                side.pair.drained();
                continue;
            };
            match output {
                pair::Output::Send(word) => {
                    if self.connected && !self.cut {
                        // What was written is what is read.
                        assert_eq!(Word::from_octets(&word).unwrap().to_octets(), word);
                        let at = now + Duration::from_millis(5);
                        self.line[1 - number].push_back((at, word));
                    }
                    continue;
                }
                pair::Output::Keep(kept) => {
                    side.kept = kept;
                    continue;
                }
                pair::Output::Drop(_) => {
                    self.hang_up();
                    return true;
                }
                pair::Output::Snapshot => side.pair.snapshot(side.core.snapshot()),
                pair::Output::Absorb { body, overrules } => {
                    if side.core.learn(&body, overrules, now, unix) {
                        side.pair.absorbed(body);
                    }
                }
                pair::Output::Ready(Log::Sap, count) => {
                    for _ in 0..count {
                        side.core.handle(Input::Stored, now, unix);
                    }
                }
                pair::Output::Ready(Log::Kept, count) => {
                    side.core.handle(Input::Kept(count), now, unix);
                }
                pair::Output::Adopt(notices) => side.core.collector_mut().unwrap().adopt(notices),
                pair::Output::Told(until) => side.core.collector_mut().unwrap().noticed(until),
                pair::Output::Segment(Change::Take(segment)) => {
                    side.open = true;
                    side.since = Some(now);
                    side.core.add_segment(segment, 4, 2_048);
                    for node in &there {
                        let event = Input::FromSegment(segment, joined(*node));
                        side.core.handle(event, now, unix);
                    }
                }
                pair::Output::Segment(Change::Release(segment)) => {
                    side.open = false;
                    side.core.hand_over(segment, now, unix);
                }
            }
            again = true;
        }
    }

    fn deliver(&mut self, number: usize, node: link::Node, message: &Message) {
        let (now, unix) = (self.now(), self.unix());
        let place = usize::try_from(node.0).unwrap();
        let mut answers = Vec::new();
        let device = &mut self.meters[place].device;
        let mut nowhere = Nowhere;
        let at = Timestamp::from_secs(unix);
        let mut session = Session::new(device, &mut nowhere, &SystemEntropy, at);
        let server = &mut self.servers[place][number];
        let input = server::Input::Apdu {
            client: message.source,
            broadcast: false,
            octets: &message.payload,
        };
        server.handle(input, now, &mut session);
        while let server::Output::Transmit { client, octets } = server.poll() {
            answers.push(Message {
                source: 1,
                destination: client,
                class: message.class,
                payload: octets,
            });
        }
        let core = &mut self.sides[number].core;
        let done = SegmentEvent::Done {
            node: Some(node),
            class: message.class,
            delivered: !answers.is_empty(),
        };
        core.handle(Input::FromSegment(SEGMENT, done), now, unix);
        for answer in answers {
            let received = SegmentEvent::Received(node, answer);
            core.handle(Input::FromSegment(SEGMENT, received), now, unix);
        }
    }

    /// Lets a tenth of a second pass.
    fn step(&mut self) {
        self.micros += 100_000;
        let (now, unix) = (self.now(), self.unix());
        if self.micros.is_multiple_of(1_000_000) {
            for meter in &mut self.meters {
                let at = Timestamp::from_secs(unix);
                meter.device.tick(at, &mut Nowhere).unwrap();
                meter.device.committed();
            }
        }
        let both = self.sides.iter().all(|side| side.up);
        if both && !self.connected && !self.cut && now >= self.again {
            self.connected = true;
            self.sides
                .iter_mut()
                .for_each(|side| side.pair.connected(now));
        }
        for number in 0..2 {
            let roll = self.roll();
            let side = &mut self.sides[number];
            if !side.up {
                continue;
            }
            while self.line[number].front().is_some_and(|(at, _)| *at <= now) {
                let (_, word) = self.line[number].pop_front().unwrap();
                side.pair.received(&word, now);
            }
            if !roll.is_multiple_of(4) {
                let (table, kept) = std::mem::take(&mut side.waiting);
                side.pair.stored(Log::Sap, table.len());
                side.pair.stored(Log::Kept, kept.len());
                side.durable.0.extend(table);
                side.durable.1.extend(kept);
            }
            for (node, at) in self.joins.iter().enumerate() {
                if side.open && *at <= now && now < *at + Duration::from_millis(100) {
                    let event = Input::FromSegment(SEGMENT, joined(node));
                    side.core.handle(event, now, unix);
                }
            }
            side.core.handle(Input::Timeout, now, unix);
            self.settle(number);
        }
        self.saps_are_given_once();
        let open = self
            .sides
            .iter()
            .filter(|side| side.up && side.open)
            .count();
        assert!(open < 2 || self.was_cut, "seed {}: both at once", self.seed);
    }

    /// Lets the head end take what one of them has.
    fn collect(&mut self, number: usize) {
        if !self.sides[number].up {
            return;
        }
        let mut given = Vec::new();
        for place in 0..self.meters.len() {
            let state = self.sides[number].core.collector().unwrap().state();
            let Some(series) = state.series(&name(place + 1), LOAD) else {
                continue;
            };
            let rows: Vec<_> = series.range(i64::MIN..=i64::MAX).collect();
            let in_order = rows.windows(2).all(|two| two[0].at < two[1].at);
            assert!(in_order, "seed {}: a row is there twice", self.seed);
            let Some(last) = rows.last().map(|row| row.at) else {
                continue;
            };
            for row in rows {
                let key = (place, row.at);
                if self.confirmed.contains(&key) {
                    self.repeated += 1;
                }
                given.push(key);
                if let Some(before) = self.got.insert(key, row.octets.clone()) {
                    assert_eq!(before, row.octets, "one row with two values");
                }
            }
            let collector = self.sides[number].core.collector_mut().unwrap();
            collector.delivered(&name(place + 1), LOAD, last);
        }
        let collector = self.sides[number].core.collector_mut().unwrap();
        let state = collector.state();
        let open = state
            .notices()
            .iter()
            .filter(|it| it.number > state.noticed());
        let told = open.map(|it| (it.at, it.detail.clone()));
        self.notices.extend(told);
        if let Some(last) = state.notices().back().map(|it| it.number) {
            collector.noticed(last);
        }
        self.confirming.push((number, given));
        self.settle(number);
    }

    /// Counts as confirmed what is durable where it was said.
    fn confirm(&mut self) {
        let sides = &self.sides;
        let confirmed = &mut self.confirmed;
        self.confirming.retain(|(number, given)| {
            let side = &sides[*number];
            let settled = side.core.collector().unwrap().settled().is_some();
            if side.up && settled {
                confirmed.extend(given);
            }
            side.up && !settled
        });
    }

    /// Orders whoever has the segment to hand it over; tells whether that is begun.
    fn order(&mut self) -> bool {
        let Some(holder) = self.holder() else {
            return false;
        };
        let now = self.now();
        let begun = self.sides[holder].pair.hand_over(now).is_ok();
        self.settle(holder);
        begun
    }

    fn holder(&self) -> Option<usize> {
        (0..2).find(|side| self.sides[*side].up && self.sides[*side].open)
    }

    /// Runs for so many seconds, with faults every `every` seconds or so.
    fn run(&mut self, seconds: u64, every: u64, cuts: bool) {
        let end = self.micros + seconds * 1_000_000;
        let mut mend: Option<(u64, usize)> = None;
        let mut gap = Duration::ZERO;
        while self.micros < end {
            self.step();
            self.confirm();
            let roll = self.roll();
            if roll.is_multiple_of(3_000) {
                self.collect(usize::from(roll >> 60 & 1 == 1));
            }
            if (roll >> 13).is_multiple_of(6_000) {
                // Somebody with the right to do so sets the clock: that makes a notice.
                let (side, unix) = (usize::from(roll >> 61 & 1 == 1), self.unix());
                if self.sides[side].up {
                    let collector = self.sides[side].core.collector_mut().unwrap();
                    let detail = Data::DoubleLongUnsigned(u32::try_from(self.word).unwrap());
                    collector.note(unix, NoticeKind::MeterAlarm, &detail);
                    self.settle(side);
                }
            }
            match mend {
                Some((at, which)) if self.micros >= at => {
                    if which < 2 {
                        self.start(which);
                    } else {
                        self.cut = false;
                        self.hang_up();
                    }
                    mend = None;
                }
                Some(_) => {}
                None if every > 0 && (roll >> 7).is_multiple_of(every * 10) => {
                    let lasts = (2 + (roll >> 40) % 900) * 1_000_000;
                    let which = usize::try_from((roll >> 30) % if cuts { 3 } else { 2 }).unwrap();
                    if which < 2 {
                        self.kill(which);
                    } else {
                        self.cut = true;
                        self.was_cut = true;
                        self.line = [VecDeque::new(), VecDeque::new()];
                    }
                    mend = Some((self.micros + lasts, which));
                }
                None => {}
            }
            gap = if self.holder().is_some() {
                Duration::ZERO
            } else {
                gap + Duration::from_millis(100)
            };
            self.longest_gap = self.longest_gap.max(gap);
        }
        if let Some((_, which)) = mend {
            if which < 2 {
                self.start(which);
            } else {
                self.cut = false;
                self.hang_up();
            }
        }
    }

    /// Lets all be well for a while, and compares.
    fn finish(mut self) {
        let seed = self.seed;
        self.run(2_400, 0, false);
        for side in 0..2 {
            assert!(self.sides[side].pair.in_step(), "seed {seed}: not in step");
        }
        let holder = self.holder().unwrap();
        self.collect(holder);
        self.run(10, 0, false);
        for place in 0..self.meters.len() {
            let got = self
                .got
                .keys()
                .filter(|(it, _)| *it == place)
                .map(|(_, at)| *at);
            let got: Vec<i64> = got.collect();
            let (first, last) = (got[0], got[got.len() - 1]);
            let joined = i64::try_from(self.joins[place].as_micros() / 1_000_000).unwrap();
            assert!(
                first <= NOON + joined - 85_000 && last >= self.unix() - 2_000,
                "seed {seed}"
            );
            let held = self.meters[place].device.history().range(first, last + 1);
            let held: Vec<i64> = held.map(|row| row.at_s).collect();
            assert_eq!(got, held, "seed {seed}: not what meter {place} holds");
        }
        // The two have the same.
        let tables = [0, 1].map(|side| {
            let all = self.sides[side].core.table().iter();
            all.map(|(sap, name)| (sap, name.clone()))
                .collect::<Vec<_>>()
        });
        assert_eq!(tables[0].len(), self.meters.len(), "seed {seed}");
        assert_eq!(tables[0], tables[1], "seed {seed}");
        for place in 0..self.meters.len() {
            let marks = [0, 1].map(|side| {
                let state = self.sides[side].core.collector().unwrap().state();
                let series = state.series(&name(place + 1), LOAD).unwrap();
                (series.last(), series.delivered(), series.rows())
            });
            assert_eq!(marks[0], marks[1], "seed {seed}");
        }
        if !self.was_cut {
            assert_eq!(
                self.repeated, 0,
                "seed {seed}: confirmed rows were given again"
            );
            // The lease, what was left of a beat, and the start of who was killed meanwhile.
            assert!(
                self.longest_gap <= LEASE * 3,
                "seed {seed}: {:?}",
                self.longest_gap
            );
        }
    }
}

#[test]
fn rows_are_there_once_whoever_is_killed() {
    for seed in 0..6 {
        let mut world = World::new(seed, 4);
        world.run(4 * 3_600, 600, false);
        world.finish();
    }
}

#[test]
fn rows_are_there_once_after_the_line_between_them_was_cut() {
    for seed in 100..104 {
        let mut world = World::new(seed, 4);
        world.run(4 * 3_600, 600, true);
        world.finish();
    }
}

/// Requirement D11: what is handed over by order is neither lost nor doubled, also where one is
/// killed in the midst of it.
#[test]
fn rows_are_there_once_whoever_has_the_meters_by_order() {
    for seed in 200..203 {
        let mut world = World::new(seed, 4);
        world.run(600, 0, false);
        for round in 0..12 {
            let before = world.holder().unwrap();
            let status = |world: &World| world.sides[1 - before].pair.status(world.now());
            let takeovers = status(&world).takeovers;
            assert!(world.order(), "seed {seed}");
            world.run(2, 0, false);
            let after = world.holder();
            assert_eq!(after, Some(1 - before), "seed {seed}");
            let status = status(&world);
            // Nobody was silent.
            assert_eq!(status.takeovers, takeovers);
            assert!(status.taken_s.is_some_and(|ago| ago <= 2), "{status:?}");
            assert!(status.behind_ms.is_some_and(|ago| ago <= 3_000));
            world.run(120 + 60 * round, 0, false);
            world.collect(usize::from(round % 2 == 0));
        }
        // With kills at any time.
        let mut begun = 0;
        for _ in 0..40 {
            world.run(90, 120, false);
            begun += usize::from(world.order());
        }
        assert!(begun > 10, "seed {seed}: {begun}");
        world.finish();
    }
}

/// The one that died had something to tell: the other tells it, and the first, once it is back,
/// does not tell it again.
#[test]
fn notices_are_told_once_by_who_is_left() {
    let mut world = World::new(7, 1);
    world.run(60, 0, false);
    let detail = Data::DoubleLongUnsigned(77);
    let (unix, told) = (world.unix(), |world: &World, side: usize| {
        let state = world.sides[side].core.collector().unwrap().state().clone();
        let open = state
            .notices()
            .iter()
            .filter(|it| it.number > state.noticed());
        open.count()
    });
    // One was taken before the connection that is there was made, one after it, one was not.
    let note = |world: &mut World, taken: bool| {
        let collector = world.sides[0].core.collector_mut().unwrap();
        collector.note(unix, NoticeKind::MeterAlarm, &detail);
        let newest = collector.state().notices().back().unwrap().number;
        if taken {
            collector.noticed(newest);
        }
        world.settle(0);
        world.run(5, 0, false);
    };
    note(&mut world, true);
    world.hang_up();
    note(&mut world, true);
    note(&mut world, false);
    assert_eq!((told(&world, 0), told(&world, 1)), (1, 0));
    world.kill(0);
    world.run(10, 0, false);
    assert_eq!(told(&world, 1), 1);
    world.start(0);
    world.run(10, 0, false);
    assert_eq!((told(&world, 0), told(&world, 1)), (0, 1));
}

/// What they say survives being written; damage and strangers end the connection.
#[test]
fn words_of_strangers_end_the_connection() {
    let hello = |name: &str, segments| {
        Word::Hello(Hello {
            side: Side::First,
            mode: Mode::Standby,
            segments,
            epoch: 9,
            adopted: 0,
            newest: 0,
            name: name.parse().unwrap(),
            peer: own(1),
        })
    };
    let begin = || {
        let mut pair = partner(1, pair::Kept::default(), 0, Instant::ORIGIN);
        pair.connected(Instant::ORIGIN);
        while pair.poll().is_some() {}
        pair
    };
    let dropped = |pair: &mut Pair| {
        let mut all = std::iter::from_fn(|| pair.poll());
        all.any(|it| matches!(it, pair::Output::Drop(_)))
    };
    let good = hello(own(0).as_str(), 1).to_octets();
    let mut pair = begin();
    pair.received(&good, Instant::ORIGIN);
    assert!(!dropped(&mut pair));
    for bad in [
        hello("GWD1DC0000000009", 1).to_octets(),
        hello(own(0).as_str(), 2).to_octets(),
        Word::All(1).to_octets(),
        Vec::new(),
        vec![9],
    ] {
        let mut pair = begin();
        pair.received(&bad, Instant::ORIGIN);
        assert!(dropped(&mut pair), "{bad:02x?}");
    }
    // Nothing that is damaged is taken for a word and panics, or grows.
    let name: LogicalDeviceName = name(1);
    let at = Some(1_795_262_400);
    let record = Word::Record(
        1,
        Body::Sap(sap::Record::Assigned {
            sap: 0x100,
            name,
            at,
        }),
    );
    let here = Word::Here(registered(7));
    for word in [
        good,
        record.to_octets(),
        Word::Stored(u64::MAX).to_octets(),
        here.to_octets(),
    ] {
        for place in 0..word.len() * 8 {
            let mut bad = word.clone();
            bad[place / 8] ^= 1 << (place % 8);
            if let Ok(read) = Word::from_octets(&bad) {
                assert_eq!(read.to_octets(), bad);
            }
            let mut pair = begin();
            pair.received(&hello(own(0).as_str(), 1).to_octets(), Instant::ORIGIN);
            pair.received(&bad, Instant::ORIGIN);
            while pair.poll().is_some() {}
        }
        for end in 0..word.len() {
            drop(Word::from_octets(&word[..end]));
        }
    }
}
