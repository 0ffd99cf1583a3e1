//! The other concentrator of a pair: what the machine of [`crate::pair`] wants, done.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use link::{Clock, Limits, Listener, Segment, SegmentEvent};
use tokio::sync::mpsc;

use super::driver::Driver;
use super::{REOPEN, StartError};
use crate::config::Config;
use crate::core::{Core, Input};
use crate::device::SharedCore;
use crate::direct::{Place, SegmentId};
use crate::pair::lease::{Change, Mode, Stays, Terms};
use crate::pair::shell::{self as line, Event, Way};
use crate::pair::{self, Log as Shared, Pair};
use crate::sap::OWN_SAP;
use crate::store::StoreError;

/// The other concentrator, as this one sees it.
pub(super) struct Partner {
    pub(super) pair: Pair,
    /// The connection that is there, by its number.
    line: Option<(u64, mpsc::Sender<Vec<u8>>)>,
    file: std::path::PathBuf,
    pub(super) shown: Arc<pair::Shown>,
    pub(super) held: Arc<AtomicU8>,
}

impl Partner {
    /// Hears what a segment tells, as far as the other is to know it.
    pub(super) fn watch(&mut self, id: SegmentId, event: &SegmentEvent, segment: &dyn Segment) {
        match event {
            SegmentEvent::Joined { node, .. } => {
                if let Some(how) = segment.registration(*node) {
                    self.pair.joined(id, *node, how);
                }
            }
            SegmentEvent::Left(node) => self.pair.left(id, *node),
            _ => {}
        }
    }

    /// Goes on with the meters that the other had registered on a segment.
    pub(super) fn adopt(&mut self, id: SegmentId, segment: &mut dyn Segment, core: &mut Core) {
        let all = self.pair.take_registrations(id);
        let named = all
            .iter()
            .filter_map(|it| Some((it.how.title, it.name.clone()?)));
        core.expect(named);
        let all: Vec<_> = all.iter().map(|it| it.how).collect();
        let count = segment.adopt(&all);
        self.pair.adopted(count);
        if !all.is_empty() {
            let told = all.len();
            tracing::info!(segment = id.0, told, count, "meters stay registered");
        }
    }
}

/// For so many seconds after segments were taken whoever asks for a meter that has not joined yet
/// is told so, to ask again, by the end of his connection: an answer he might await for minutes.
const SETTLING_S: u64 = 10;

/// Which of the segments this one has.
pub(super) const HELD_ALL: u8 = 0;
pub(super) const HELD_SOME: u8 = 1;
pub(super) const HELD_NONE: u8 = 2;

pub(super) async fn partner_of(
    config: &Config,
    name: &model::LogicalDeviceName,
    core: &SharedCore,
    clock: &Arc<dyn Clock>,
) -> Result<Option<(Partner, Way)>, StartError> {
    let Some(peer) = config.pair.peer() else {
        return Ok(None);
    };
    let lease = Duration::from_secs(u64::from(config.pair.lease_s));
    let side = config.pair.side();
    let way = match (&config.pair.listen, &config.pair.connect) {
        (Some(url), _) => {
            let limits = Limits {
                // One is wanted; strangers who never show a certificate go after a lease.
                links_max: 64,
                handshake: lease,
                idle: lease * 2,
            };
            let listener =
                Listener::bind(&url.parse()?, &[OWN_SAP], limits, Arc::clone(clock)).await?;
            Way::Listen(listener)
        }
        (None, Some(url)) => Way::Connect(url.parse()?),
        (None, None) => return Ok(None),
    };
    let settings = pair::Settings {
        name: name.clone(),
        peer,
        terms: Terms {
            side,
            mode: if config.pair.mode == "active" {
                Mode::Active
            } else {
                Mode::Standby
            },
            homes: config.homes(),
            lease,
        },
    };
    let file = config.data.join("pair.log");
    let kept = line::load(&file)?;
    let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
    core.give_half(side == pair::lease::Side::Second);
    let notices = core.collector().and_then(|it| it.state().notices().back());
    let newest = notices.map_or(0, |it| it.number);
    let pair = Pair::new(settings, kept, newest, clock.now());
    let shown = Arc::new(pair::Shown::new(pair.status(clock.now())));
    let partner = Partner {
        pair,
        line: None,
        file,
        shown,
        held: Arc::new(AtomicU8::new(HELD_NONE)),
    };
    Ok(Some((partner, way)))
}

impl Driver {
    /// Hears that records are on the own disk.
    pub(super) fn durable(&mut self, log: Shared, count: usize) {
        if let Some(partner) = &mut self.partner {
            partner.pair.stored(log, count);
        } else {
            self.take(ready(log, count).into_iter());
        }
    }

    /// Hears of the other concentrator.
    pub(super) fn heard(&mut self, event: Event) {
        let now = self.clock.now();
        let Some(partner) = &mut self.partner else {
            return;
        };
        let current = partner.line.as_ref().map(|(number, _)| *number);
        match event {
            Event::Up(number, line) => {
                partner.line = Some((number, line));
                partner.pair.connected(now);
            }
            Event::Word(number, word) if current == Some(number) => {
                partner.pair.received(&word, now);
            }
            Event::Down(number) if current == Some(number) => {
                partner.line = None;
                partner.pair.disconnected();
            }
            Event::Word(..) | Event::Down(_) => {}
        }
    }

    /// Tells the other that it need not wait, and lets that be sent.
    pub(super) async fn leave(&mut self, words: &mut mpsc::Receiver<Event>) {
        let Some(partner) = &mut self.partner else {
            return;
        };
        // Nothing is sent to a meter from here on.
        for port in &mut self.segments {
            port.segment = None;
        }
        partner.pair.leave();
        while let Some(output) = partner.pair.poll() {
            if let (pair::Output::Send(word), Some((_, line))) = (output, &partner.line) {
                // Where it cannot be said, the other finds out.
                drop(line.try_send(word));
            }
        }
        let Some((number, line)) = partner.line.take() else {
            return;
        };
        drop(line);
        let sent = async {
            while let Some(event) = words.recv().await {
                if matches!(event, Event::Down(it) if it == number) {
                    return;
                }
            }
        };
        drop(tokio::time::timeout(Duration::from_secs(1), sent).await);
    }

    /// Does what the pair wants; tells whether the core is to be turned again.
    pub(super) fn turn_pair(&mut self) -> Result<bool, StoreError> {
        let (now, unix) = (self.clock.now(), self.clock.unix_seconds());
        let Some(partner) = &mut self.partner else {
            return Ok(false);
        };
        if let Some(epoch) = partner.shown.take_order() {
            let begun = if partner.pair.lease().epoch() == epoch {
                partner.pair.hand_over(now)
            } else {
                Err(Stays::NotHeld)
            };
            match begun {
                Ok(()) => tracing::warn!(epoch, "segments go to the other one by order"),
                Err(why) => tracing::warn!(epoch, %why, "segments stay, in spite of an order"),
            }
        }
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        partner
            .pair
            .name(now, |segment, node| core.name_at(Place { segment, node }));
        partner.pair.turn(now);
        let (mut again, mut drained) = (false, false);
        loop {
            let Some(output) = partner.pair.poll() else {
                if again || drained {
                    break;
                }
                drained = true;
                partner.pair.drained();
                continue;
            };
            match output {
                pair::Output::Send(word) => {
                    if let Some((_, line)) = &partner.line
                        && line.try_send(word).is_err()
                    {
                        partner.line = None;
                        partner.pair.disconnected();
                    }
                    continue;
                }
                pair::Output::Keep(kept) => {
                    line::store(&partner.file, kept)?;
                    continue;
                }
                pair::Output::Drop(reason) => {
                    tracing::warn!(
                        reason,
                        "the connection to the other concentrator is given up"
                    );
                    partner.line = None;
                    continue;
                }
                pair::Output::Snapshot => partner.pair.snapshot(core.snapshot()),
                pair::Output::Absorb { body, overrules } => {
                    if core.learn(&body, overrules, now, unix) {
                        partner.pair.absorbed(body);
                    }
                }
                pair::Output::Ready(log, count) => {
                    for input in ready(log, count) {
                        core.handle(input, now, unix);
                    }
                }
                pair::Output::Adopt(notices) => {
                    if let Some(collector) = core.collector_mut() {
                        collector.adopt(notices);
                    }
                }
                pair::Output::Told(until) => {
                    if let Some(collector) = core.collector_mut() {
                        collector.noticed(until);
                    }
                }
                pair::Output::Segment(Change::Take(segment)) => {
                    tracing::info!(segment = segment.0, "a segment is this concentrator's");
                    if let Some(port) = self.segments.get_mut(usize::from(segment.0)) {
                        port.again = Some((now, REOPEN.0));
                    }
                }
                pair::Output::Segment(Change::Release(segment)) => {
                    tracing::info!(segment = segment.0, "a segment is the other concentrator's");
                    if let Some(port) = self.segments.get_mut(usize::from(segment.0)) {
                        port.segment = None;
                        port.again = None;
                    }
                    core.hand_over(segment, now, unix);
                    self.wan.hang_up.send_modify(|count| *count += 1);
                }
            }
            again = true;
        }
        drop(core);
        let status = partner.pair.status(now);
        let settles = status.taken_s.is_some_and(|ago| ago < SETTLING_S);
        let held = match status.held.len() {
            0 => HELD_NONE,
            some if some < status.segments || settles => HELD_SOME,
            _ => HELD_ALL,
        };
        partner.held.store(held, Ordering::Relaxed);
        partner.shown.show(status);
        Ok(again)
    }
}

/// What tells the core that records are durable.
fn ready(log: Shared, count: usize) -> Vec<Input> {
    match log {
        Shared::Sap => (0..count).map(|_| Input::Stored).collect(),
        Shared::Kept => vec![Input::Kept(count)],
    }
}
