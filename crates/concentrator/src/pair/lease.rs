//! Which of two concentrators has which segment, without I/O.
//!
//! Each tells the other, several times within a lease, what it has, and which word of the other
//! it heard last. A word counts from the time when the one that it answers was sent, on the own
//! clock: so what lay in a buffer proves nothing, and no clock is compared with another.
//!
//! Who has no such proof for a whole lease takes what the other had, under an epoch that only
//! this side can give: those of the first are odd, those of the second even. Two cannot tell a
//! neighbour that has died from one that cannot be heard, so a cut between them leaves both with
//! everything, each under an epoch of its own; what follows from it is bounded elsewhere, and
//! here it ends: once they hear each other again, the lower epoch lets go.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use dlms::Instant;

use crate::direct::SegmentId;

/// Which of the two a concentrator is: the first is the one that listens for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The one that connects.
    Second,
    /// The one that listens; it goes first where nothing else decides.
    First,
}

impl Side {
    /// Tells the other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// How the two share the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One has all segments, the other waits. Who has them keeps them.
    Standby,
    /// Each has segments of its own, and those of the other while that one is silent.
    Active,
}

/// What does not change while a concentrator runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Which one this is.
    pub side: Side,
    /// How they share.
    pub mode: Mode,
    /// Whose each segment is in [`Mode::Active`].
    pub homes: Vec<Side>,
    /// After how long without a word the other is taken for gone.
    pub lease: Duration,
}

impl Terms {
    /// Tells who begins with a segment.
    #[must_use]
    pub fn home(&self, segment: SegmentId) -> Side {
        match self.mode {
            Mode::Standby => Side::First,
            Mode::Active => {
                let home = self.homes.get(usize::from(segment.0));
                home.copied().unwrap_or(Side::First)
            }
        }
    }

    fn segments(&self) -> impl Iterator<Item = SegmentId> {
        let count = u16::try_from(self.homes.len()).unwrap_or(u16::MAX);
        (0..count).map(SegmentId)
    }

    /// Tells how often each speaks.
    #[must_use]
    pub fn beat(&self) -> Duration {
        self.lease / 6
    }
}

/// What one tells the other of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// Counts up with each beat.
    pub number: u64,
    /// The newest beat of the other that was heard; 0: none.
    pub echo: u64,
    /// Under what the segments were taken last.
    pub epoch: u64,
    /// The segments that it has.
    pub held: BTreeSet<SegmentId>,
    /// Whether it stops now, so that nobody need wait for the lease.
    pub leaving: bool,
    /// Whether it let go of all by order, for the other to take.
    pub yields: bool,
}

/// Why segments stay where they are, though somebody orders them to be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stays {
    /// Both work, each with segments of its own.
    #[error("both work: neither stands by for the other")]
    BothWork,
    /// This one has none.
    #[error("this one has no segment to hand over")]
    NotHeld,
    /// The other was not heard within the lease.
    #[error("the other one is not there")]
    Away,
    /// The other lacks something that this one knows, or has segments itself.
    #[error("the other one is not in step")]
    Behind,
}

/// What is to be done with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is to be opened.
    Take(SegmentId),
    /// It is to be closed, before the next beat is sent.
    Release(SegmentId),
}

/// Beats that may be on the way: more than fit into a lease, twice.
const BEATS_MAX: usize = 16;

/// The lowest epoch above another that a side can give.
const fn next(epoch: u64, side: Side) -> u64 {
    let odd = matches!(side, Side::First);
    let above = epoch.saturating_add(1);
    if (above % 2 == 1) == odd {
        above
    } else {
        above.saturating_add(1)
    }
}

/// One side's view.
#[derive(Clone, Debug)]
pub struct Lease {
    terms: Terms,
    epoch: u64,
    held: BTreeSet<SegmentId>,
    peer: Option<Beat>,
    /// The highest epoch of the other.
    seen: u64,
    /// The last time at which the other is known to have been there; the start, where it never
    /// was.
    heard: Instant,
    /// Own beats that the other may still answer, and when they were sent.
    sent: VecDeque<(u64, Instant)>,
    number: u64,
    /// The newest beat of the other on this connection.
    newest: u64,
    /// Segments that the other has under a higher epoch, as an old word of it says.
    overruled: BTreeSet<SegmentId>,
    turned: Instant,
    in_step: bool,
    /// Since when there are segments that nobody has, though both are there.
    free: Option<Instant>,
    /// Since when they are offered to the other, by order.
    yielding: Option<Instant>,
}

impl Lease {
    /// Starts with nothing held, from the epoch that is durable.
    #[must_use]
    pub const fn new(terms: Terms, epoch: u64, now: Instant) -> Self {
        Self {
            terms,
            epoch,
            held: BTreeSet::new(),
            peer: None,
            seen: 0,
            heard: now,
            sent: VecDeque::new(),
            number: 0,
            newest: 0,
            overruled: BTreeSet::new(),
            turned: now,
            in_step: false,
            free: None,
            yielding: None,
        }
    }

    /// Tells the epoch, which only rises; a segment is served in an epoch that is durable.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Shows the segments that are held.
    #[must_use]
    pub const fn held(&self) -> &BTreeSet<SegmentId> {
        &self.held
    }

    /// Shows what does not change.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Tells whether the other was heard within the lease.
    #[must_use]
    pub fn in_contact(&self, now: Instant) -> bool {
        let here = self.peer.as_ref().is_some_and(|peer| !peer.leaving);
        here && now < self.heard + self.terms.lease
    }

    /// Shows what the other said to have, where it was heard within the lease.
    #[must_use]
    pub fn held_there(&self, now: Instant) -> Option<&BTreeSet<SegmentId>> {
        let there = self.in_contact(now);
        let peer = self.peer.as_ref().filter(|_| there);
        peer.map(|peer| &peer.held)
    }

    /// Tells when the other is known to have been there last, or this one began.
    #[must_use]
    pub const fn heard_at(&self) -> Instant {
        self.heard
    }

    /// Lets go of all segments in the next [`turn`](Self::turn), for the other to take.
    ///
    /// What it says of that is good for a lease; the other acts on it within a lease after that,
    /// or not at all; and this one takes nothing for three. So the two never take at once.
    ///
    /// # Errors
    /// [`Stays`] where the other could not go on with nothing lost; nothing changes then.
    pub fn hand_over(&mut self, now: Instant) -> Result<(), Stays> {
        if self.terms.mode == Mode::Active {
            return Err(Stays::BothWork);
        }
        if self.held.is_empty() {
            return Err(Stays::NotHeld);
        }
        let there = self.held_there(now).ok_or(Stays::Away)?;
        if !self.in_step || !there.is_empty() || !self.overruled.is_empty() {
            return Err(Stays::Behind);
        }
        self.yielding = Some(now);
        Ok(())
    }

    /// Tells what is to be told to the other, at once.
    #[must_use]
    pub fn beat(&mut self, now: Instant) -> Beat {
        self.number += 1;
        self.sent.push_back((self.number, now));
        if self.sent.len() > BEATS_MAX {
            self.sent.pop_front();
        }
        Beat {
            number: self.number,
            echo: self.newest,
            epoch: self.epoch,
            held: self.held.clone(),
            leaving: false,
            yields: self.held.is_empty()
                && self
                    .yielding
                    .is_some_and(|since| now < since + self.terms.lease),
        }
    }

    /// Tells that all is let go.
    #[must_use]
    pub const fn farewell(&self) -> Beat {
        Beat {
            number: self.number + 1,
            echo: self.newest,
            epoch: self.epoch,
            held: BTreeSet::new(),
            leaving: true,
            yields: false,
        }
    }

    /// Hears the other.
    pub fn heard(&mut self, beat: Beat) {
        if beat.number <= self.newest {
            return;
        }
        self.newest = beat.number;
        self.seen = self.seen.max(beat.epoch);
        if beat.leaving {
            self.peer = Some(beat);
            return;
        }
        let Some(place) = self.sent.iter().position(|(it, _)| *it == beat.echo) else {
            // It may have been said at any time; that this epoch is over holds at any time.
            if beat.epoch > self.epoch {
                self.overruled.extend(beat.held);
            }
            return;
        };
        self.sent.drain(..place);
        if let Some((_, at)) = self.sent.front() {
            self.heard = self.heard.max(*at);
        }
        self.peer = Some(beat);
    }

    /// Hears that the connection is gone: numbers of another begin anew, and what was offered is
    /// offered no longer.
    pub const fn parted(&mut self) {
        self.newest = 0;
        self.in_step = false;
        self.yielding = None;
    }

    /// Learns whether both have what the other has.
    pub const fn set_in_step(&mut self, in_step: bool) {
        self.in_step = in_step;
    }

    /// Tells when [`turn`](Self::turn) is due without anything else happening.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.turned + self.terms.lease / 4
    }

    /// Whether this process slept through a lease: then the other has what this one had.
    fn stalled(&mut self, now: Instant) -> bool {
        let slept = now.since(self.turned) > self.terms.lease;
        self.turned = now;
        slept
    }

    /// Decides anew.
    pub fn turn(&mut self, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.stalled(now) {
            // Before anything else is sent. The other is listened for as at a start, and what it
            // said before that is no answer.
            self.release(|_| true, &mut changes);
            self.heard = now;
            self.peer = None;
            self.sent.clear();
            self.free = None;
            self.yielding = None;
            return changes;
        }
        let overruled = std::mem::take(&mut self.overruled);
        self.release(|segment| overruled.contains(&segment), &mut changes);
        if !changes.is_empty() {
            // What it had when it was heard last says nothing of what it has now.
            self.heard = self.heard.max(now);
            self.peer = None;
            self.free = None;
            self.yielding = None;
            return changes;
        }
        if !self.in_contact(now) {
            self.yielding = None;
            let leaving = self.peer.as_ref().is_some_and(|peer| peer.leaving);
            if leaving || now >= self.heard + self.terms.lease {
                self.take(|_| true, &mut changes);
            }
            return changes;
        }
        let Some(peer) = self.peer.clone() else {
            return changes;
        };
        if let Some(since) = self.yielding {
            if peer.held.is_empty() && now < since + self.terms.lease * 3 {
                self.release(|_| true, &mut changes);
                return changes;
            }
            self.yielding = None;
        }
        let side = self.terms.side;
        let (ours, theirs) = ((self.epoch, side), (peer.epoch, side.other()));
        if theirs > ours {
            self.release(|segment| peer.held.contains(&segment), &mut changes);
        }
        let homes = self.terms.clone();
        if self.terms.mode == Mode::Active && self.in_step {
            self.release(|segment| homes.home(segment) != side, &mut changes);
        }
        let free = |it: &SegmentId| !self.held.contains(it) && !peer.held.contains(it);
        if !self.terms.segments().any(|it| free(&it)) {
            self.free = None;
            return changes;
        }
        // What the other learnt while it had them comes first, within a lease.
        let since = *self.free.get_or_insert(now);
        if self.in_step || now >= since + self.terms.lease {
            let mine = |segment| {
                (homes.home(segment) == side || peer.yields) && !peer.held.contains(&segment)
            };
            self.take(mine, &mut changes);
        }
        changes
    }

    fn take(&mut self, which: impl Fn(SegmentId) -> bool, changes: &mut Vec<Change>) {
        let held = &self.held;
        let new = self.terms.segments();
        let new: Vec<_> = new.filter(|it| !held.contains(it) && which(*it)).collect();
        if new.is_empty() {
            return;
        }
        self.epoch = next(self.epoch.max(self.seen), self.terms.side);
        for segment in new {
            self.held.insert(segment);
            changes.push(Change::Take(segment));
        }
    }

    fn release(&mut self, which: impl Fn(SegmentId) -> bool, changes: &mut Vec<Change>) {
        self.held.retain(|segment| {
            let goes = which(*segment);
            if goes {
                changes.push(Change::Release(*segment));
            }
            !goes
        });
    }
}
