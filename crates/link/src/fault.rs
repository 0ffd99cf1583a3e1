//! A link that misbehaves on purpose, from a seed.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use crate::{Link, LinkError, Message};

/// What goes wrong, in permille of the messages of each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// The seed: the same seed and the same messages give the same faults.
    pub seed: u64,
    /// Messages that are lost.
    pub lose: u16,
    /// Messages that arrive twice.
    pub double: u16,
    /// Messages that arrive behind the one after them.
    pub swap: u16,
    /// Messages with one bit changed.
    pub corrupt: u16,
    /// Messages after which the link is cut; 0: never.
    pub cut_after: u32,
}

/// A link under a [`FaultPlan`].
pub struct Faulty<L> {
    inner: L,
    plan: FaultPlan,
    random: u64,
    passed: u32,
    held_back: Option<Message>,
    arrived: VecDeque<Message>,
    held_arrival: Option<Message>,
}

impl<L: Link> Faulty<L> {
    /// Puts faults over a link.
    pub const fn new(inner: L, plan: FaultPlan) -> Self {
        Self {
            inner,
            plan,
            random: plan.seed,
            passed: 0,
            held_back: None,
            arrived: VecDeque::new(),
            held_arrival: None,
        }
    }

    /// The next number of the seed's row (SplitMix64, Steele et al. 2014).
    const fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn happens(&mut self, permille: u16) -> bool {
        self.next() % 1_000 < u64::from(permille)
    }

    /// Passes one message through the plan; gives what comes out and keeps in
    /// `held` what comes out behind the next.
    fn through(&mut self, mut message: Message, hold: bool) -> Result<Fate, LinkError> {
        self.passed = self.passed.saturating_add(1);
        if self.plan.cut_after != 0 && self.passed > self.plan.cut_after {
            return Err(LinkError::Closed);
        }
        if self.happens(self.plan.lose) {
            return Ok(Fate::Lost);
        }
        if self.happens(self.plan.corrupt) && !message.payload.is_empty() {
            let bit = self.next();
            let index = usize::try_from(bit >> 3).unwrap_or(0) % message.payload.len();
            if let Some(octet) = message.payload.get_mut(index) {
                *octet ^= 1 << (bit & 7);
            }
        }
        if hold && self.happens(self.plan.swap) {
            return Ok(Fate::Held(message));
        }
        Ok(if self.happens(self.plan.double) {
            Fate::Twice(message)
        } else {
            Fate::Once(message)
        })
    }
}

enum Fate {
    Lost,
    Held(Message),
    Once(Message),
    Twice(Message),
}

impl<L: Link> Link for Faulty<L> {
    fn send(&mut self, message: Message) -> Result<(), LinkError> {
        let hold = self.held_back.is_none();
        match self.through(message, hold)? {
            Fate::Lost => return Ok(()),
            Fate::Held(message) => {
                self.held_back = Some(message);
                return Ok(());
            }
            Fate::Once(message) => self.inner.send(message)?,
            Fate::Twice(message) => {
                self.inner.send(message.clone())?;
                self.inner.send(message)?;
            }
        }
        self.held_back
            .take()
            .map_or(Ok(()), |message| self.inner.send(message))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.inner.poll_flush(cx)
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, LinkError>> {
        loop {
            if let Some(message) = self.arrived.pop_front() {
                return Poll::Ready(Ok(message));
            }
            let message = std::task::ready!(self.inner.poll_receive(cx))?;
            let hold = self.held_arrival.is_none();
            match self.through(message, hold)? {
                Fate::Lost => continue,
                Fate::Held(message) => {
                    self.held_arrival = Some(message);
                    continue;
                }
                Fate::Once(message) => self.arrived.push_back(message),
                Fate::Twice(message) => {
                    self.arrived.push_back(message.clone());
                    self.arrived.push_back(message);
                }
            }
            self.arrived.extend(self.held_arrival.take());
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.inner.poll_close(cx)
    }

    fn payload_max(&self) -> usize {
        self.inner.payload_max()
    }

    fn peer(&self) -> String {
        self.inner.peer()
    }

    fn sctp(&self) -> Option<crate::SctpStatus> {
        self.inner.sctp()
    }

    fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.inner.poll_lost(cx)
    }

    fn drkeys(&self) -> Option<crate::DrkeySource> {
        self.inner.drkeys()
    }

    fn take_receipts(&mut self) -> Vec<crate::PathReceipt> {
        self.inner.take_receipts()
    }

    fn scion(&self) -> Option<crate::ScionStatus> {
        self.inner.scion()
    }
}
