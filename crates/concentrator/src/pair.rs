//! Two concentrators before the same meters: who has which segment, and what each learns from
//! the other.
//!
//! [`Pair`] is a machine without I/O. Every record that one makes durable goes to the other,
//! who takes of it what is new to him; nothing counts as durable before both have it, as long
//! as both are there. What they took in while apart is put together when they meet again: rows
//! by the time of their capture, the SAP table by rules that are the same on both sides. Beside
//! that each tells which meters are registered on its lines, so that the other need not search.
//!
//! Not shared: invocation counters. Each has a system title of its own, and with it nonces of
//! its own, also while both poll the same meter.

pub mod lease;
mod registry;
pub mod shell;
pub mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use dlms::Instant;
use link::{Node, Registration};
use model::LogicalDeviceName;

use crate::collector::rows;
use crate::collector::state::{self, Notice};
use crate::direct::SegmentId;
use lease::{Change, Lease, Mode, Side, Stays, Terms};
pub use registry::REGISTERED_MAX;
use registry::Registry;
use wire::{Body, Hello, Registered, Word};

/// Records under way to the other that are not yet durable there.
const WINDOW: u64 = 256;

/// Records that wait to be sent; with more, the connection is given up and all begins anew.
const OUTBOX_MAX: usize = 1 << 18;

/// Octets that a message may have; a record that is longer stays where it is.
const WORD_LEN_MAX: usize = 60_000;

/// Notices of the other that are kept in case it dies.
const NOTICES_MAX: usize = state::NOTICES_MAX;

/// What a pair is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The own name.
    pub name: LogicalDeviceName,
    /// The other's name.
    pub peer: LogicalDeviceName,
    /// How segments are shared.
    pub terms: Terms,
}

/// What outlasts a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The epoch.
    pub epoch: u64,
    /// Up to which of the other's notices this one tells them.
    pub adopted: u32,
}

/// The logs whose records are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Log {
    /// The SAP table.
    Sap,
    /// What the collector keeps.
    Kept,
}

/// What a pair wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// This is to go to the other.
    Send(Vec<u8>),
    /// All that is there is to be given to [`Pair::snapshot`].
    Snapshot,
    /// The other has learnt this. Where it overrules, it goes before what is known here.
    Absorb {
        /// The record.
        body: Body,
        /// Whether it goes before.
        overrules: bool,
    },
    /// So many records of a log, the oldest, are as durable as they shall be.
    Ready(Log, usize),
    /// A segment is to be opened, or closed, now.
    Segment(Change),
    /// This is to be made durable before anything else is done.
    Keep(Kept),
    /// Notices of the other, who died before anybody took them, become own ones.
    Adopt(Vec<Notice>),
    /// The other tells the own notices up to this one.
    Told(u32),
    /// The connection is to be given up, for this reason.
    Drop(&'static str),
}

/// What is shown of a pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The other's name.
    pub peer: String,
    /// `standby` or `active`.
    pub mode: &'static str,
    /// The segments that this one has, of how many.
    pub held: Vec<u16>,
    /// All segments.
    pub segments: usize,
    /// The epoch.
    pub epoch: u64,
    /// Whether the other was heard within the lease.
    pub in_contact: bool,
    /// Whether each has what the other has.
    pub in_step: bool,
    /// How often this one took segments because the other was silent.
    pub takeovers: u64,
    /// The segments that the other said to have; none where it is silent.
    pub held_there: Vec<u16>,
    /// How long ago the other was last known to be there with all that this one has, in
    /// milliseconds; none before that ever was.
    pub behind_ms: Option<u64>,
    /// How long ago this one took segments last, in seconds; none where it never did since it
    /// began.
    pub taken_s: Option<u64>,
    /// Meters whose registration on the other's lines is known here.
    pub registrations: usize,
    /// Registrations that this one took from the other since it began, in place of a search.
    pub adopted: u64,
}

/// What others see of a pair, and by what they order the segments to be handed over.
#[derive(Debug)]
pub struct Shown {
    status: Mutex<Status>,
    /// The epoch in which they are to be; 0: there is no order.
    ordered: AtomicU64,
}

impl Shown {
    /// Shows this.
    #[must_use]
    pub const fn new(status: Status) -> Self {
        Self {
            status: Mutex::new(status),
            ordered: AtomicU64::new(0),
        }
    }

    /// Tells what is shown.
    #[must_use]
    pub fn status(&self) -> Status {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.clone()
    }

    /// Shows something else.
    pub fn show(&self, status: Status) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// Orders all segments, which this one has in this epoch, to be handed over to the other.
    /// That is begun in the next turn.
    ///
    /// # Errors
    /// [`Stays`] where that cannot be, as far as is shown; `None` in it where the epoch or the
    /// other's name is not what they are.
    pub fn order(&self, peer: &str, epoch: u64) -> Result<(), Option<Stays>> {
        let status = self.status();
        if status.mode != "standby" {
            return Err(Some(Stays::BothWork));
        }
        if status.held.is_empty() {
            return Err(Some(Stays::NotHeld));
        }
        if status.peer != peer || status.epoch != epoch || epoch == 0 {
            return Err(None);
        }
        if !status.in_contact {
            return Err(Some(Stays::Away));
        }
        if !status.in_step || !status.held_there.is_empty() {
            return Err(Some(Stays::Behind));
        }
        self.ordered.store(epoch, Ordering::Release);
        Ok(())
    }

    /// Takes the order, if there is one: the epoch in which the segments are to be.
    pub fn take_order(&self) -> Option<u64> {
        let epoch = self.ordered.swap(0, Ordering::AcqRel);
        (epoch > 0).then_some(epoch)
    }
}

/// What a record waits for, beside the own disk.
#[derive(Debug)]
enum Wait {
    /// Nothing.
    Disk,
    /// It is yet to be sent.
    Unsent(Body),
    /// The other is to have it under this number.
    Sent(u64),
}

/// Records of one log that are not reported as durable.
#[derive(Debug, Default)]
struct Gate {
    /// What each waits for, oldest first.
    pending: VecDeque<Wait>,
    /// How many of them are on the disk.
    on_disk: usize,
    /// Records since start: made, and on the disk.
    made: u64,
    stored: u64,
    /// Records of the other that are about to be made here, as they are.
    absorbed: VecDeque<Body>,
}

/// One connection, once both have said who they are.
#[derive(Debug)]
struct Flow {
    outbox: VecDeque<(u64, Word)>,
    /// The number of the newest record that is to be sent, was sent, is durable there.
    last: u64,
    sent: u64,
    acked: u64,
    /// When `acked` moved last, or nothing waited.
    moved: Instant,
    /// The number that ends what was there at the start.
    all: Option<u64>,
    /// The newest that came; what is on the disk once both logs have so many records; and up
    /// to where that was told.
    received: u64,
    targets: VecDeque<(u64, [u64; 2])>,
    targeted: u64,
    told: u64,
    /// The number that ends what the other had.
    their_all: Option<u64>,
    /// Whether what the other had goes before what is known here.
    overrules: bool,
}

/// One of two concentrators.
#[derive(Debug)]
pub struct Pair {
    settings: Settings,
    lease: Lease,
    kept: Kept,
    gates: BTreeMap<Log, Gate>,
    connected: bool,
    flow: Option<Flow>,
    beat_at: Instant,
    /// Notices of the other that nobody took, and up to where they were taken.
    notices: VecDeque<Notice>,
    noticed: u32,
    newest: u32,
    outputs: VecDeque<Output>,
    takeovers: u64,
    /// When the other was last known to be there with all that this one has.
    stepped: Option<Instant>,
    /// When this one took segments last.
    taken: Option<Instant>,
    registry: Registry,
    left: bool,
}

impl Pair {
    /// Starts with what is durable. `newest` is the own newest notice.
    #[must_use]
    pub fn new(settings: Settings, kept: Kept, newest: u32, now: Instant) -> Self {
        Self {
            lease: Lease::new(settings.terms.clone(), kept.epoch, now),
            settings,
            kept,
            gates: BTreeMap::from([(Log::Sap, Gate::default()), (Log::Kept, Gate::default())]),
            connected: false,
            flow: None,
            beat_at: now,
            notices: VecDeque::new(),
            noticed: 0,
            newest,
            outputs: VecDeque::new(),
            takeovers: 0,
            stepped: None,
            taken: None,
            registry: Registry::default(),
            left: false,
        }
    }

    /// Shows the lease.
    #[must_use]
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Tells whether each has what the other has.
    #[must_use]
    pub fn in_step(&self) -> bool {
        self.flow.as_ref().is_some_and(Flow::in_step)
    }

    /// Tells what is shown.
    #[must_use]
    pub fn status(&self, now: Instant) -> Status {
        let terms = self.lease.terms();
        Status {
            peer: self.settings.peer.as_str().to_owned(),
            mode: match terms.mode {
                Mode::Standby => "standby",
                Mode::Active => "active",
            },
            held: self.lease.held().iter().map(|it| it.0).collect(),
            segments: terms.homes.len(),
            epoch: self.lease.epoch(),
            in_contact: self.lease.in_contact(now),
            in_step: self.in_step(),
            takeovers: self.takeovers,
            held_there: self
                .lease
                .held_there(now)
                .map(|held| held.iter().map(|it| it.0).collect())
                .unwrap_or_default(),
            behind_ms: self.stepped.map(|at| millis(now.since(at))),
            taken_s: self.taken.map(|at| now.since(at).as_secs()),
            registrations: self.registry.known(),
            adopted: self.registry.adopted,
        }
    }

    /// Takes that a meter has joined a segment of this one, and how it is registered.
    pub fn joined(&mut self, segment: SegmentId, node: Node, how: Registration) {
        self.registry.joined(segment, node, how);
    }

    /// Takes that a meter has left a segment of this one.
    pub fn left(&mut self, segment: SegmentId, node: Node) {
        if let Some(word) = self.registry.left(segment, node)
            && self.flow.is_some()
        {
            self.send(&word);
        }
    }

    /// Learns the names of the meters that are registered here, where the other is told soon.
    pub fn name<'a>(
        &mut self,
        now: Instant,
        find: impl Fn(SegmentId, Node) -> Option<&'a LogicalDeviceName>,
    ) {
        if self.flow.is_some() && now >= self.beat_at {
            self.registry.name(find);
        }
    }

    /// Takes what the other told of the meters that are registered on a segment, once this one
    /// opens it.
    pub fn take_registrations(&mut self, segment: SegmentId) -> Vec<Registered> {
        self.registry.take(segment)
    }

    /// Counts registrations that were taken.
    pub fn adopted(&mut self, count: usize) {
        self.registry.adopted += u64::try_from(count).unwrap_or(u64::MAX);
    }

    /// Lets go of all segments for the other to take, because somebody with the right to orders
    /// it.
    ///
    /// # Errors
    /// [`Stays`] says why not; nothing changes then.
    pub fn hand_over(&mut self, now: Instant) -> Result<(), Stays> {
        if self.left {
            return Err(Stays::NotHeld);
        }
        self.lease.hand_over(now)
    }

    /// Takes a connection to the other; one that was there before is gone.
    pub fn connected(&mut self, now: Instant) {
        self.disconnected();
        self.connected = true;
        self.registry.connected();
        let terms = self.lease.terms();
        let hello = Hello {
            side: terms.side,
            mode: terms.mode,
            segments: u16::try_from(terms.homes.len()).unwrap_or(u16::MAX),
            epoch: self.lease.epoch(),
            adopted: self.kept.adopted,
            newest: self.newest,
            name: self.settings.name.clone(),
            peer: self.settings.peer.clone(),
        };
        self.send(&Word::Hello(hello));
        self.beat_at = now;
    }

    /// Hears that the connection is gone. The lease goes on.
    pub fn disconnected(&mut self) {
        self.connected = false;
        self.flow = None;
        self.lease.parted();
        for gate in self.gates.values_mut() {
            gate.absorbed.clear();
            // What the next connection begins with has them.
            for wait in &mut gate.pending {
                if matches!(wait, Wait::Sent(_)) {
                    *wait = Wait::Disk;
                }
            }
        }
        self.report();
    }

    fn send(&mut self, word: &Word) {
        self.outputs.push_back(Output::Send(word.to_octets()));
    }

    fn drop_link(&mut self, reason: &'static str) {
        self.disconnected();
        self.outputs.push_back(Output::Drop(reason));
    }

    /// Takes what the other said.
    pub fn received(&mut self, octets: &[u8], now: Instant) {
        if !self.connected {
            return;
        }
        let Ok(word) = Word::from_octets(octets) else {
            return self.drop_link("the other speaks another form: both need the same version");
        };
        let word = match word {
            Word::Hello(hello) => return self.greeted(&hello, now),
            Word::Beat(beat) => {
                if self.flow.is_some() {
                    self.lease.heard(beat);
                }
                return;
            }
            word => word,
        };
        let Some(flow) = &mut self.flow else {
            return self.drop_link("the other did not say who it is");
        };
        let segments = self.lease.terms().homes.len();
        match word {
            Word::Here(meter) => {
                if usize::from(meter.segment.0) < segments {
                    self.registry.told(meter);
                }
            }
            Word::Gone(segment, address) => self.registry.gone(segment, address),
            Word::Record(number, body) => {
                if number <= flow.received {
                    return self.drop_link("the other repeats itself");
                }
                flow.received = number;
                let overrules = flow.their_all.is_some() || flow.overrules;
                self.learn(body, overrules);
            }
            Word::All(number) => {
                flow.received = flow.received.max(number);
                flow.their_all = Some(number);
            }
            Word::Stored(number) => {
                if number > flow.sent {
                    return self.drop_link("the other has stored what it was never sent");
                }
                if number > flow.acked {
                    flow.acked = number;
                    flow.moved = now;
                }
                self.report();
            }
            Word::Hello(_) | Word::Beat(_) => {}
        }
    }

    fn greeted(&mut self, hello: &Hello, now: Instant) {
        let terms = self.lease.terms();
        let ours = (self.lease.epoch(), terms.side);
        if hello.name != self.settings.peer || hello.peer != self.settings.name {
            return self.drop_link("this is not the concentrator that pair.peer names");
        }
        let segments = usize::from(hello.segments);
        if hello.side != terms.side.other()
            || hello.mode != terms.mode
            || segments != terms.homes.len()
        {
            return self.drop_link("mode and segments must be the same in both configurations");
        }
        if self.flow.is_some() {
            return self.drop_link("the other repeats itself");
        }
        if hello.newest < self.kept.adopted {
            // It has lost its disk, and counts anew.
            self.kept.adopted = 0;
            self.outputs.push_back(Output::Keep(self.kept));
        }
        if hello.adopted > 0 {
            self.outputs.push_back(Output::Told(hello.adopted));
        }
        self.notices.clear();
        self.noticed = 0;
        self.flow = Some(Flow {
            outbox: VecDeque::new(),
            last: 0,
            sent: 0,
            acked: 0,
            moved: now,
            all: None,
            received: 0,
            targets: VecDeque::new(),
            targeted: 0,
            told: 0,
            their_all: None,
            overrules: (hello.epoch, hello.side) > ours,
        });
        self.outputs.push_back(Output::Snapshot);
        self.tell(now);
    }

    fn tell(&mut self, now: Instant) {
        let beat = self.lease.beat(now);
        self.send(&Word::Beat(beat));
    }

    /// Takes what is there, once [`Output::Snapshot`] asked for it.
    pub fn snapshot(&mut self, all: Vec<Body>) {
        let own = self.settings.name.clone();
        let Some(flow) = &mut self.flow else { return };
        for body in all {
            for body in shared(body, &own) {
                flow.push(|number| Word::Record(number, body));
            }
        }
        let number = flow.push(Word::All);
        flow.all = Some(number);
        self.send_stored();
        self.report();
    }

    fn learn(&mut self, body: Body, overrules: bool) {
        match body {
            Body::Kept(state::Record::Notice(notice)) => {
                let known = self.notices.back().map_or(0, |it| it.number);
                if notice.number > self.kept.adopted.max(known).max(self.noticed) {
                    self.notices.push_back(notice);
                    if self.notices.len() > NOTICES_MAX {
                        self.notices.pop_front();
                    }
                }
            }
            Body::Kept(state::Record::Noticed(until)) => {
                self.noticed = self.noticed.max(until);
                self.notices.retain(|it| it.number > until);
            }
            body => self.outputs.push_back(Output::Absorb { body, overrules }),
        }
    }

    /// Hears that a record of the other is about to be made here as it is.
    pub fn absorbed(&mut self, body: Body) {
        let log = log_of(&body);
        if let Some(gate) = self.gates.get_mut(&log) {
            gate.absorbed.push_back(body);
        }
    }

    /// Hears that a record goes to the disk now.
    pub fn made(&mut self, body: Body) {
        if let Body::Kept(state::Record::Notice(notice)) = &body {
            self.newest = notice.number;
        }
        let own = &self.settings.name;
        let Some(gate) = self.gates.get_mut(&log_of(&body)) else {
            return;
        };
        gate.made += 1;
        let echo = gate.absorbed.front() == Some(&body);
        if echo {
            gate.absorbed.pop_front();
        }
        let wait = match (&mut self.flow, &body) {
            _ if echo => Wait::Disk,
            // What is not on the own disk may be lost, and with it that the SAP is given.
            (_, Body::Sap(_)) => Wait::Unsent(body),
            // Before the snapshot it is part of that.
            (Some(flow), Body::Kept(_)) if flow.all.is_some() => {
                let parts = shared(body, own).into_iter();
                parts.fold(Wait::Disk, |_, body| {
                    Wait::Sent(flow.push(|number| Word::Record(number, body)))
                })
            }
            _ => Wait::Disk,
        };
        gate.pending.push_back(wait);
        let full = self
            .flow
            .as_ref()
            .is_some_and(|it| it.outbox.len() > OUTBOX_MAX);
        if full {
            self.drop_link("the other cannot keep up");
        }
    }

    /// Hears that so many records of a log, the oldest, are on the disk.
    pub fn stored(&mut self, log: Log, count: usize) {
        if let Some(gate) = self.gates.get_mut(&log) {
            gate.on_disk += count;
            gate.stored += u64::try_from(count).unwrap_or(u64::MAX);
        }
        self.send_stored();
        self.report();
    }

    /// Sends records that went to the own disk first.
    fn send_stored(&mut self) {
        let Some(flow) = &mut self.flow else { return };
        if flow.all.is_none() {
            return;
        }
        for gate in self.gates.values_mut() {
            for wait in gate.pending.iter_mut().take(gate.on_disk) {
                if let Wait::Unsent(body) = wait {
                    let body = body.clone();
                    *wait = Wait::Sent(flow.push(|number| Word::Record(number, body)));
                }
            }
        }
    }

    /// Hears that all that came up to now has gone to the disk.
    pub fn drained(&mut self) {
        let made = [Log::Sap, Log::Kept].map(|log| self.gates.get(&log).map_or(0, |it| it.made));
        if let Some(flow) = &mut self.flow
            && flow.received > flow.targeted
        {
            flow.targeted = flow.received;
            flow.targets.push_back((flow.received, made));
            self.report();
        }
    }

    /// Tells the other, and the own core, what is durable by now.
    fn report(&mut self) {
        let in_step = self.in_step();
        self.lease.set_in_step(in_step);
        let acked = self.flow.as_ref().map_or(0, |flow| flow.acked);
        // What is reported between the two would be in neither, so it waits for the snapshot.
        let asked = self.flow.as_ref().is_some_and(|flow| flow.all.is_none());
        let mut stored = [0; 2];
        for ((log, gate), stored) in self.gates.iter_mut().zip(&mut stored) {
            *stored = gate.stored;
            let mut ready = 0;
            while gate.on_disk > 0
                && !asked
                && let Some(wait) = gate.pending.front()
                && (!in_step || wait.is_over(acked))
            {
                gate.pending.pop_front();
                gate.on_disk -= 1;
                ready += 1;
            }
            if ready > 0 {
                self.outputs.push_back(Output::Ready(*log, ready));
            }
        }
        if let Some(flow) = &mut self.flow {
            let mut done = None;
            while let Some((number, [sap, kept])) = flow.targets.front()
                && stored
                    .iter()
                    .zip([sap, kept])
                    .all(|(has, needs)| has >= needs)
            {
                done = Some(*number);
                flow.targets.pop_front();
            }
            if let Some(number) = done {
                flow.told = number;
                self.send(&Word::Stored(number));
                // That may be what was lacking.
                let in_step = self.in_step();
                self.lease.set_in_step(in_step);
            }
        }
    }

    /// Does what time and the window allow, and decides about segments.
    pub fn turn(&mut self, now: Instant) {
        if self.left {
            return;
        }
        let lease = self.lease.terms().lease;
        let before = self.lease.epoch();
        let alone = !self.lease.in_contact(now);
        let changes = self.lease.turn(now);
        if self.lease.epoch() != before {
            self.kept.epoch = self.lease.epoch();
            self.outputs.push_back(Output::Keep(self.kept));
            if alone {
                self.takeovers += 1;
            }
        }
        let changed = !changes.is_empty();
        let taken = changes.iter().any(|it| matches!(it, Change::Take(_)));
        if taken {
            self.taken = Some(now);
        }
        if self.in_step() && self.lease.in_contact(now) {
            self.stepped = Some(self.lease.heard_at());
        }
        for change in changes {
            if let Change::Release(segment) = change {
                self.registry.released(segment);
            }
            self.outputs.push_back(Output::Segment(change));
        }
        if taken && alone {
            self.adopt();
        }
        if self.flow.is_none() {
            return;
        }
        if changed || now >= self.beat_at {
            self.beat_at = now + self.lease.terms().beat();
            self.tell(now);
            for word in self.registry.tell() {
                self.send(&word);
            }
        }
        let mut words = Vec::new();
        if let Some(flow) = &mut self.flow {
            if flow.sent == flow.acked {
                flow.moved = now;
            }
            while flow.sent < flow.acked + WINDOW
                && let Some((number, word)) = flow.outbox.pop_front()
            {
                flow.sent = number;
                words.push(word);
            }
            if flow.acked < flow.sent && now > flow.moved + lease {
                return self.drop_link("the other does not store what it is sent");
            }
        }
        for word in words {
            self.send(&word);
        }
    }

    /// Tells the notices that the other can no longer tell.
    fn adopt(&mut self) {
        let adopted = self.kept.adopted;
        let new: Vec<_> = self
            .notices
            .drain(..)
            .filter(|it| it.number > adopted)
            .collect();
        let Some(last) = new.last() else { return };
        self.kept.adopted = last.number;
        self.outputs.push_back(Output::Adopt(new));
        self.outputs.push_back(Output::Keep(self.kept));
        if self.connected {
            // The other learns of it when it says who it is.
            self.drop_link("the other was silent for longer than the lease");
        }
    }

    /// Lets everything go because this concentrator stops.
    pub fn leave(&mut self) {
        if !self.left && self.flow.is_some() {
            let beat = self.lease.farewell();
            self.send(&Word::Beat(beat));
        }
        self.left = true;
    }

    /// Takes what is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Tells when [`turn`](Self::turn) is due without anything else happening.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        let lease = self.lease.deadline();
        if self.flow.is_some() {
            lease.min(self.beat_at)
        } else {
            lease
        }
    }
}

impl Wait {
    const fn is_over(&self, acked: u64) -> bool {
        match self {
            Self::Disk => true,
            Self::Unsent(_) => false,
            Self::Sent(number) => *number <= acked,
        }
    }
}

impl Flow {
    fn push(&mut self, word: impl FnOnce(u64) -> Word) -> u64 {
        self.last += 1;
        self.outbox.push_back((self.last, word(self.last)));
        self.last
    }

    fn in_step(&self) -> bool {
        let sent = self.all.is_some_and(|all| self.acked >= all);
        sent && self.their_all.is_some_and(|all| self.told >= all)
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

const fn log_of(body: &Body) -> Log {
    match body {
        Body::Sap(_) => Log::Sap,
        Body::Kept(_) => Log::Kept,
    }
}

/// What the other is told of a record: nothing of counters and the clock, which each has for
/// itself, nor of the own metering; rows that are too long for one message in parts.
fn shared(body: Body, own: &LogicalDeviceName) -> Vec<Body> {
    use state::Record;
    let Body::Kept(record) = &body else {
        return vec![body];
    };
    let len = match record {
        Record::Shape { name, captured, .. } if name != own => captured.len(),
        Record::Rows { name, block, .. } if name != own => block.len(),
        Record::Mark { name, digests, .. } if name != own => digests.len() * 4,
        Record::Delivered { name, .. } if name != own => 0,
        Record::Notice(notice) => notice.detail.len(),
        Record::Switch { .. } | Record::Noticed(_) => 0,
        _ => return Vec::new(),
    };
    if len <= WORD_LEN_MAX {
        return vec![body];
    }
    let Record::Rows { name, obis, block } = record else {
        return Vec::new();
    };
    let rows = rows::decode(block).unwrap_or_default();
    let parts = rows.chunks(rows.len().div_ceil(len.div_ceil(WORD_LEN_MAX / 2)).max(1));
    let blocks = parts.map(rows::encode);
    let fits = blocks.filter(|block| block.len() <= WORD_LEN_MAX);
    let bodies = fits.map(|block| {
        Body::Kept(Record::Rows {
            name: name.clone(),
            obis: *obis,
            block: block.into(),
        })
    });
    bodies.collect()
}

/// Tells which side a place in the configuration means.
#[must_use]
pub const fn side_of(number: u8) -> Option<Side> {
    match number {
        1 => Some(Side::First),
        2 => Some(Side::Second),
        _ => None,
    }
}
