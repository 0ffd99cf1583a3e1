//! Invocation counters of our own: never used twice, never wrapping, reserved
//! durably before use.
//!
//! Two uses of one counter under the same key and title give away the key that
//! makes tags, so every way to a counter leads through storage: a *plan* names
//! what must be durable, the caller stores its record, and only
//! [`SendCounter::adopt`] makes it usable. A value is a [`FreshCounter`], which
//! cannot be copied and is used up by protecting one message.
//!
//! A server that refuses a counter may tell the one it expects, and anybody on
//! the way can forge that. Therefore a [`CounterHint`] is followed only
//! upwards, within [`HINT_AHEAD_MAX`] for one and [`HINT_BUDGET`] for all hints
//! in the life of a key, is tried with one message, and is kept only when the
//! response to that message verifies. What a failed trial has used is never
//! used again.

use alloc::vec::Vec;

use super::proof::TagVerified;

/// How far ahead of our counter one hint may lie: 2^24.
pub const HINT_AHEAD_MAX: u32 = 1 << 24;

/// How far all hints together may move the counter under one key: 2^28, a
/// sixteenth of its range. Somebody who forges every exception can waste that
/// and no more.
pub const HINT_BUDGET: u32 = 1 << 28;

/// How many values used by failed trials are remembered; further hints are
/// refused while so many lie ahead.
pub const HINT_TRIALS_MAX: usize = 16;

/// From here on a key should be replaced: nine tenths of its counters are used.
pub const COUNTER_WARNING: u32 = 0xE666_6666;

/// The end of all counters. The value itself is never sent: the peer's next
/// expected counter would not fit in its field.
const COUNTER_END: u32 = u32::MAX;

/// A counter that no other message has. It is used up by protecting one.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct FreshCounter(u32);

impl FreshCounter {
    /// Tells the value.
    #[must_use]
    pub const fn value(&self) -> u32 {
        self.0
    }

    /// Takes the caller's word that no message under this key and title has
    /// had `value`, which is what [`SendCounter`] otherwise sees to.
    pub const fn dangerous_assume_fresh(value: u32) -> Self {
        Self(value)
    }
}

/// Counters that are reserved for us: from `next` up to, but not including,
/// `end`.
#[derive(Debug, PartialEq, Eq)]
pub struct CounterBlock {
    next: u32,
    end: u32,
}

impl CounterBlock {
    /// Takes a block that the caller has durably reserved: after any crash
    /// nobody will be given a counter below `end` again. An `end` below `next`
    /// makes an empty block.
    #[must_use]
    pub const fn reserved(next: u32, end: u32) -> Self {
        Self {
            next,
            end: if end < next { next } else { end },
        }
    }

    /// Takes the next counter.
    ///
    /// # Errors
    /// [`CounterError::BlockUsed`] where the block is used up, and
    /// [`CounterError::Exhausted`] where the key has no counter left.
    pub const fn take(&mut self) -> Result<FreshCounter, CounterError> {
        if self.next < self.end {
            let value = self.next;
            self.next += 1;
            Ok(FreshCounter(value))
        } else if self.next == COUNTER_END {
            Err(CounterError::Exhausted)
        } else {
            Err(CounterError::BlockUsed)
        }
    }

    /// Tells the counter that the next message gets.
    #[must_use]
    pub const fn next(&self) -> u32 {
        self.next
    }

    /// Tells the first counter that is not reserved any more.
    #[must_use]
    pub const fn end(&self) -> u32 {
        self.end
    }

    /// Tells how many counters are left in the block.
    #[must_use]
    pub const fn remaining(&self) -> u32 {
        self.end - self.next
    }
}

/// What must be durable about the counters of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CounterRecord {
    /// The first counter that is not reserved: after a restart counting goes
    /// on here.
    pub end: u32,
    /// Counters ahead that trials of hints have used.
    pub spent: Vec<u32>,
    /// How far hints have moved the counter under this key.
    pub hinted: u32,
}

/// A step that becomes usable when its record is durable.
#[derive(Debug)]
#[must_use = "store the record, then adopt the plan"]
pub struct CounterPlan {
    record: CounterRecord,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Block { start: u32, end: u32 },
    Trial { value: u32 },
}

impl CounterPlan {
    /// Shows what to store before the plan is adopted. Records of one key are
    /// stored in the order of their plans; each contains those before it.
    #[must_use]
    pub const fn record(&self) -> &CounterRecord {
        &self.record
    }

    /// Tells whether it is for trying a hint.
    #[must_use]
    pub const fn is_trial(&self) -> bool {
        matches!(self.step, Step::Trial { .. })
    }
}

/// The counter that a server said it expects: a word, not a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterHint {
    expected: u32,
}

impl CounterHint {
    /// Takes the counter of an ExceptionResponse with the reason
    /// invocation-counter-error, or of a counter object read without protection.
    #[must_use]
    pub const fn new(expected: u32) -> Self {
        Self { expected }
    }

    /// Tells the counter that the server is said to expect.
    #[must_use]
    pub const fn expected(self) -> u32 {
        self.expected
    }
}

/// The counters that we send under one key.
///
/// It is not `Clone`: two of them would hand out the same counters.
#[derive(Debug)]
pub struct SendCounter {
    block: CounterBlock,
    trial: Trial,
    /// What is durable, or will be with the next plan. Its end never lies
    /// behind the block's next counter.
    record: CounterRecord,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trial {
    None,
    /// Durably spent, not yet taken.
    Ready(u32),
    /// Taken: the message is on its way or was answered.
    Sent(u32),
}

impl SendCounter {
    /// Goes on from what is durable; a key that was never used has the
    /// default record. The first counter needs [`plan_block`](Self::plan_block).
    #[must_use]
    pub const fn resume(record: CounterRecord) -> Self {
        Self {
            block: CounterBlock::reserved(record.end, record.end),
            trial: Trial::None,
            record,
        }
    }

    /// Plans to reserve the next `count` counters; fewer, where the key has
    /// fewer left.
    ///
    /// # Errors
    /// [`CounterError::Exhausted`] where the key has none left.
    pub fn plan_block(&mut self, count: u32) -> Result<CounterPlan, CounterError> {
        let start = self.record.end;
        if start == COUNTER_END {
            return Err(CounterError::Exhausted);
        }
        let end = start.saturating_add(count.max(1));
        self.reserve(end);
        Ok(CounterPlan {
            record: self.record.clone(),
            step: Step::Block { start, end },
        })
    }

    /// Plans to try the counter that a hint tells, with one message.
    ///
    /// # Errors
    /// [`HintRefused`] where the hint leads nowhere or too far.
    pub fn plan_trial(&mut self, hint: CounterHint) -> Result<CounterPlan, HintRefused> {
        if self.trial != Trial::None {
            return Err(HintRefused::TrialRunning);
        }
        let next = self.block.next;
        if hint.expected <= next {
            return Err(HintRefused::NotAhead { next });
        }
        // What an earlier trial used is stepped over: fewer steps than trials.
        let mut value = hint.expected;
        while self.record.spent.contains(&value) {
            value = value.saturating_add(1);
        }
        let ahead = value - next;
        if ahead > HINT_AHEAD_MAX || value == COUNTER_END {
            return Err(HintRefused::TooFar { ahead });
        }
        if ahead > HINT_BUDGET.saturating_sub(self.record.hinted) {
            return Err(HintRefused::BudgetSpent);
        }
        self.forget_passed();
        if self.record.spent.len() >= HINT_TRIALS_MAX {
            return Err(HintRefused::TooManyTrials);
        }
        self.record.spent.push(value);
        Ok(CounterPlan {
            record: self.record.clone(),
            step: Step::Trial { value },
        })
    }

    /// Plans to go on from `next`, because the operator says so and not
    /// because a message did. Only upwards.
    ///
    /// # Errors
    /// [`HintRefused::NotAhead`] where `next` lies behind what is reserved.
    pub fn dangerous_plan_raise(
        &mut self,
        next: u32,
        count: u32,
    ) -> Result<CounterPlan, HintRefused> {
        if next < self.record.end {
            return Err(HintRefused::NotAhead {
                next: self.record.end,
            });
        }
        let end = next.saturating_add(count);
        self.reserve(end);
        Ok(CounterPlan {
            record: self.record.clone(),
            step: Step::Block { start: next, end },
        })
    }

    /// Takes up a plan whose record the caller has made durable.
    pub fn adopt(&mut self, plan: CounterPlan) {
        match plan.step {
            // Consecutive plans join; a plan that leaps leaves what is between.
            Step::Block { start, end } if start == self.block.end => self.block.end = end,
            Step::Block { start, end } if start > self.block.end => {
                self.block = CounterBlock { next: start, end };
            }
            Step::Block { .. } => {}
            Step::Trial { value } => self.trial = Trial::Ready(value),
        }
    }

    /// Takes the counter for one message: of a trial that was adopted, else
    /// the next.
    ///
    /// # Errors
    /// As [`CounterBlock::take`].
    pub fn take(&mut self) -> Result<FreshCounter, CounterError> {
        if let Trial::Ready(value) = self.trial {
            self.trial = Trial::Sent(value);
            return Ok(FreshCounter(value));
        }
        loop {
            let counter = self.block.take()?;
            if !self.record.spent.contains(&counter.0) {
                return Ok(counter);
            }
        }
    }

    /// Ends a trial whose response verified: counting goes on behind it, in a
    /// block that must be planned next. Without a trial nothing happens.
    pub fn confirm_trial(&mut self, _proof: &TagVerified) {
        if let Trial::Sent(value) = self.trial {
            self.trial = Trial::None;
            if value >= self.block.next {
                let ahead = value - self.block.next;
                self.record.hinted = self.record.hinted.saturating_add(ahead);
                let next = value + 1;
                self.block = CounterBlock::reserved(next, self.block.end);
                // Whatever is stored next may forget the value itself.
                self.record.end = self.record.end.max(next);
            }
        }
    }

    /// Ends a trial that was not answered, or not by a response that
    /// verified: counting goes on where it was, and the value stays spent.
    pub fn abandon_trial(&mut self) {
        self.trial = Trial::None;
    }

    /// Tells whether a hint is being tried.
    #[must_use]
    pub const fn trial_running(&self) -> bool {
        !matches!(self.trial, Trial::None)
    }

    /// Tells how many counters can be taken before another block is needed.
    #[must_use]
    pub const fn remaining(&self) -> u32 {
        self.block.remaining()
    }

    /// Tells the counter that the next message gets, trials apart.
    #[must_use]
    pub const fn next(&self) -> u32 {
        self.block.next
    }

    /// Tells whether the key should be replaced soon ([`COUNTER_WARNING`]).
    #[must_use]
    pub const fn nearly_exhausted(&self) -> bool {
        self.block.next >= COUNTER_WARNING
    }

    fn reserve(&mut self, end: u32) {
        self.record.end = end;
        self.forget_passed();
    }

    /// Drops spent values that counting has passed and will not meet again.
    fn forget_passed(&mut self) {
        let next = self.block.next;
        self.record.spent.retain(|&spent| spent >= next);
    }
}

/// No counter can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CounterError {
    /// The reserved block is used up; reserve the next.
    #[error("the reserved invocation counters are used up")]
    BlockUsed,
    /// All counters of the key are used: the key must be replaced.
    #[error("the key has no invocation counter left and must be replaced")]
    Exhausted,
}

/// A hint that is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HintRefused {
    /// Counters move only upwards.
    #[error("the counter told by the server is not ahead of ours ({next})")]
    NotAhead {
        /// Our next counter.
        next: u32,
    },
    /// Further than [`HINT_AHEAD_MAX`].
    #[error("the counter told by the server is {ahead} ahead of ours: too far to be believed")]
    TooFar {
        /// How far.
        ahead: u32,
    },
    /// Hints have moved this key's counter by [`HINT_BUDGET`] already.
    #[error("hints have moved the counter of this key too often")]
    BudgetSpent,
    /// [`HINT_TRIALS_MAX`] trials have failed.
    #[error("too many counters told by the server did not verify")]
    TooManyTrials,
    /// Another hint is being tried.
    #[error("another counter is being tried")]
    TrialRunning,
}
