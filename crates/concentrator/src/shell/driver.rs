//! What turns the core: its segments, what it wants of them, and what they tell.

use std::future::poll_fn;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use link::{Clock, LinkError, Segment, SegmentEvent};

use super::partner::Partner;
use super::wan::Wan;
use super::{Disk, EVENTS_AT_ONCE, REOPEN, Reopen};
use crate::collector::log::Disk as Keeper;
use crate::core::{Input, Output};
use crate::device::SharedCore;
use crate::direct::SegmentId;
use crate::pair::wire::Body;
use crate::store::StoreError;

/// A segment, or the place of one that was lost.
pub(super) struct Port {
    pub(super) segment: Option<Box<dyn Segment>>,
    pub(super) reopen: Option<Reopen>,
    /// When it is opened anew, and the wait after that.
    pub(super) again: Option<(dlms::Instant, Duration)>,
}

impl Port {
    pub(super) fn of(segment: Box<dyn Segment>) -> Self {
        Self {
            segment: Some(segment),
            reopen: None,
            again: None,
        }
    }
}

/// The task that owns the segments and turns the core.
pub(super) struct Driver {
    pub(super) core: SharedCore,
    pub(super) segments: Vec<Port>,
    pub(super) wan: Arc<Wan>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) partner: Option<Partner>,
}

impl Driver {
    pub(super) fn take(&self, inputs: impl Iterator<Item = Input>) {
        let (now, unix) = (self.clock.now(), self.clock.unix_seconds());
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        for input in inputs {
            core.handle(input, now, unix);
        }
    }

    /// Does what core and pair want; tells how long nothing more is wanted.
    pub(super) fn turn(
        &mut self,
        disk: &Disk,
        keeper: &Keeper,
    ) -> Result<Option<Duration>, StoreError> {
        // First, since whoever has slept through a lease sends nothing more.
        self.turn_pair()?;
        loop {
            let wait = self.turn_core(disk, keeper)?;
            if self.turn_pair()? {
                continue;
            }
            let Some(partner) = &self.partner else {
                return Ok(wait);
            };
            let left = partner.pair.deadline().since(self.clock.now());
            let left = left.max(Duration::from_millis(1));
            return Ok(Some(wait.map_or(left, |wait| wait.min(left))));
        }
    }

    /// Does what the core wants; tells how long nothing more is wanted.
    fn turn_core(&mut self, disk: &Disk, keeper: &Keeper) -> Result<Option<Duration>, StoreError> {
        loop {
            let (now, unix) = (self.clock.now(), self.clock.unix_seconds());
            let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
            match core.poll(now, unix) {
                Output::ToSegment {
                    segment,
                    node,
                    message,
                } => {
                    let class = message.class;
                    let place = usize::from(segment.0);
                    let sent = match self.segments.get_mut(place) {
                        Some(Port {
                            segment: Some(it), ..
                        }) => it.send(node, message),
                        _ => Err(LinkError::Closed),
                    };
                    if let Err(error) = sent {
                        tracing::debug!(?segment, ?node, %error, "a segment does not take a message");
                        let done = SegmentEvent::Done {
                            node,
                            class,
                            delivered: false,
                        };
                        core.handle(Input::FromSegment(segment, done), now, unix);
                    }
                }
                Output::ToWan {
                    connection,
                    message,
                } => self.wan.send(connection, message),
                Output::Credit(connection) => self.wan.credit(connection),
                Output::Store(record) => {
                    if let Some(partner) = &mut self.partner {
                        partner.pair.made(Body::Sap(record.clone()));
                    }
                    disk.store(record)?;
                }
                Output::Keep(record) => {
                    if let Some(partner) = &mut self.partner {
                        partner.pair.made(Body::Kept(record.clone()));
                    }
                    keeper.store(record)?;
                }
                Output::Wait(at) => {
                    let least = Duration::from_millis(1);
                    return Ok(at.map(|at| at.since(now).max(least)));
                }
            }
        }
    }

    /// Tells what is new to the head ends, and keeps the log short.
    pub(super) fn tidy(&self, keeper: &Keeper) -> Result<(), StoreError> {
        let core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(collector) = core.collector() else {
            return Ok(());
        };
        if let Some(newest) = collector.settled() {
            self.wan.news.send_if_modified(|before| {
                let changed = *before != newest;
                *before = newest;
                changed
            });
        }
        keeper.tidy(collector.state())
    }

    /// Opens segments anew whose time has come; tells how long there is
    /// nothing to do.
    pub(super) fn reopen(&mut self, mut wait: Option<Duration>) -> Option<Duration> {
        let now = self.clock.now();
        for (number, port) in self.segments.iter_mut().enumerate() {
            let Some((at, then)) = port.again else {
                continue;
            };
            let mut left = at.since(now);
            if at <= now
                && let Some(reopen) = &mut port.reopen
            {
                match reopen() {
                    Ok(mut segment) => {
                        tracing::info!(segment = number, "a segment is open again");
                        let id = SegmentId(u16::try_from(number).unwrap_or(u16::MAX));
                        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
                        if let Some(partner) = &mut self.partner {
                            core.add_segment(id, segment.window(), segment.payload_max());
                            partner.adopt(id, &mut *segment, &mut core);
                        }
                        core.describe_segment(id, segment.medium());
                        core.rate_segment(id, segment.bit_rate());
                        if segment.is_one_wire() {
                            core.share_segment(id, now);
                        }
                        drop(core);
                        port.segment = Some(segment);
                        port.again = None;
                        // The new segment is to be driven at once.
                        wait = Some(Duration::ZERO);
                        continue;
                    }
                    Err(error) => {
                        tracing::info!(segment = number, error, "a segment cannot be opened");
                        port.again = Some((now + then, (then * 2).min(REOPEN.1)));
                        left = then;
                    }
                }
            }
            wait = Some(wait.map_or(left, |wait| wait.min(left)));
        }
        wait
    }

    /// Waits until a segment has something to tell.
    pub(super) async fn events(&mut self, events: &mut Vec<Input>) {
        poll_fn(|cx| {
            let now = self.clock.now();
            // A share for each, so that a flood from one holds no other up.
            let share = (EVENTS_AT_ONCE / self.segments.len().max(1)).max(1);
            for (number, port) in (0_u16..).zip(&mut self.segments) {
                for _ in 0..share {
                    let Some(segment) = &mut port.segment else {
                        break;
                    };
                    match segment.poll_event(cx) {
                        Poll::Ready(Ok(event)) => {
                            if let Some(partner) = &mut self.partner {
                                partner.watch(SegmentId(number), &event, &**segment);
                            }
                            events.push(Input::FromSegment(SegmentId(number), event));
                        }
                        Poll::Ready(Err(error)) => {
                            tracing::error!(segment = number, %error, "a segment has ended");
                            port.segment = None;
                            if port.reopen.is_some() {
                                port.again = Some((now + REOPEN.0, REOPEN.0));
                            }
                            events.push(Input::Lost(SegmentId(number)));
                        }
                        Poll::Pending => break,
                    }
                }
            }
            if events.is_empty() {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }
}
