//! Orders to meters that are read over DLMS: read once, connect, disconnect, show a text; and to
//! one of a pair of concentrators: hand all segments over to the other.
//!
//! Each order stands in the journal before anything is done about it, once more before it is sent,
//! and with what became of it. One that was cut off by a stop of the head end is told as such and
//! never sent again. An order goes through the meter's one conversation, as readings do: under the
//! same lease, with the same keys and counters, and with no more rights than the enrolled client
//! has. What the meter answers is not what it did: only what is read back makes an order done.
//!
//! An order to switch waits before it is sent, and may be stopped for so long.

mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{BreakerState, MeterId, Timestamp};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::collector::{
    AccessError, Conversation, Leases, MeterAccess, MeterTarget, REGISTERS, StatusWanted,
};
use crate::concentrators::{Board, Concentrators};
use crate::config::OrdersConfig;
use crate::fleet::Fleet;
use crate::hub::Change;
use crate::journal;
use crate::store::{
    Contact, Failure, MeterOrderEnd, MeterOrderKind, MeterOrderLimit, MeterOrderLimits,
    MeterOrderOutcome, MeterOrderRow, NewMeterOrder, ReadBack, Receipt, Store, StoreError, Sweep,
};
use wire::Answered;

/// Orders that may be open at once.
const OPEN_MAX: u32 = 256;

/// How long an order waits for others who talk to the meter before it is given up; as long as an
/// association may take, where that is more.
const LEASE_MAX: Duration = Duration::from_secs(180);

/// Why an order is not sent that waits when the head end stops.
const STOPPED: &str = "The head end was stopped before it was sent.";

/// How long an order to hand over is looked after: some leases, in which the other takes the
/// segments or the one that had them takes them back.
const HANDED_OVER: Duration = Duration::from_secs(60);

/// The wait before it is looked at once more.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Seconds within which [`OrdersConfig::disconnects_per_hour`] counts.
const HOUR_S: i64 = 3_600;

/// What orders work with.
#[derive(Debug)]
pub struct OrderParts {
    /// Says what orders take.
    pub config: OrdersConfig,
    /// Holds the journal.
    pub store: Arc<dyn Store>,
    /// Says how meters are reached.
    pub access: Arc<dyn MeterAccess>,
    /// Holds the meters.
    pub fleet: Arc<Fleet>,
    /// Tells the time of day.
    pub clock: Arc<dyn Clock>,
    /// Says who may talk to a meter.
    pub leases: Leases,
    /// Holds the longest time that the conversation about one order may take over IP.
    pub timeout: Duration,
    /// Names where concentrators take orders, by where they take all else.
    pub urgent: BTreeMap<String, String>,
    /// Holds the concentrators that are devices of their own.
    pub concentrators: Arc<Concentrators>,
    /// Holds what they said last.
    pub board: Arc<Board>,
}

impl OrderParts {
    /// Tells that something changed about an order to this one.
    fn changed(&self, meter: MeterId) {
        let is_concentrator = self.concentrators.get(meter).is_some();
        self.fleet.hub().send(if is_concentrator {
            Change::Concentrator(meter)
        } else {
            Change::Meter(meter)
        });
    }

    fn target(&self, meter: MeterId, kind: MeterOrderKind) -> Option<MeterTarget> {
        if kind == MeterOrderKind::Switchover {
            return Some(self.concentrators.get(meter)?.target.clone());
        }
        let (found, _, _) = self.fleet.meter(meter)?;
        Some(MeterTarget {
            id: found.meter.id,
            enrolment: found.meter.enrolment,
        })
    }
}

/// Orders to the meters of a running head end.
#[derive(Debug)]
pub struct Orders {
    parts: Arc<OrderParts>,
    /// Those that may still be stopped.
    armed: Arc<Mutex<Armed>>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
    stop: watch::Receiver<bool>,
}

/// Orders that wait by their numbers, with their meters and what stops them.
type Armed = BTreeMap<i64, (MeterId, oneshot::Sender<()>)>;

/// An order as somebody gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The meter.
    pub meter: MeterId,
    /// What it asks for.
    pub kind: MeterOrderKind,
    /// The text for the display; empty with other kinds.
    pub text: String,
    /// Why.
    pub reason: String,
    /// Who gives it.
    pub who: &'static str,
}

/// Why an order is not taken; nothing was written down and nothing is sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrderRefused {
    /// There is no such meter.
    #[error("no such meter")]
    NoSuchMeter,
    /// Something stands against it.
    #[error("a limit stands against the order")]
    Limit(MeterOrderLimit),
    /// The head end is stopping.
    #[error("the head end is stopping")]
    Stopping,
    /// The journal cannot be written.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl Orders {
    /// Ends what the head end before left open, and is ready for orders until `stop` says so.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn open(
        parts: OrderParts,
        stop: watch::Receiver<bool>,
    ) -> Result<Arc<Self>, StoreError> {
        let left = parts.store.orders().interrupted(parts.clock.now()).await?;
        if left > 0 {
            tracing::warn!(left, "orders to meters were cut off by the last stop");
        }
        Ok(Arc::new(Self {
            parts: Arc::new(parts),
            armed: Arc::default(),
            tasks: tokio::sync::Mutex::new(JoinSet::new()),
            stop,
        }))
    }

    /// Returns what orders take.
    pub fn config(&self) -> &OrdersConfig {
        &self.parts.config
    }

    /// Tells how many disconnections of the last hour count against what is allowed.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn disconnections(&self) -> Result<u32, StoreError> {
        let since = self.parts.clock.now().plus_secs(-HOUR_S);
        self.parts.store.orders().disconnections(since)
    }

    /// Writes an order down and lets it be carried out; returns it as it stands in the journal.
    ///
    /// # Errors
    /// [`OrderRefused`]: there is no order then.
    pub async fn give(&self, order: Order) -> Result<MeterOrderRow, OrderRefused> {
        let parts = &self.parts;
        let target = parts.target(order.meter, order.kind);
        let target = target.ok_or(OrderRefused::NoSuchMeter)?;
        // Held from here on: who stops waits for every order that is in the journal.
        let mut tasks = self.tasks.lock().await;
        if *self.stop.borrow() {
            return Err(OrderRefused::Stopping);
        }
        let at = parts.clock.now();
        let armed_s = if order.kind.switches() {
            parts.config.armed_s
        } else {
            0
        };
        let new = NewMeterOrder {
            meter: order.meter,
            at,
            who: order.who.to_owned(),
            kind: order.kind,
            text: order.text,
            reason: order.reason,
            due: at.plus_secs(i64::from(armed_s)),
        };
        let limits = MeterOrderLimits {
            disconnections: (at.plus_secs(-HOUR_S), parts.config.disconnects_per_hour),
            open: OPEN_MAX,
        };
        let begun = parts.store.orders().begin(new.clone(), limits).await?;
        let number = begun.map_err(OrderRefused::Limit)?;
        tracing::info!(number, meter = %order.meter, kind = order.kind.name(), "an order");
        let (stopper, stopped) = oneshot::channel();
        lock(&self.armed).insert(number, (order.meter, stopper));
        let run = Run {
            parts: Arc::clone(parts),
            number,
            order: new.clone(),
            target,
        };
        while tasks.try_join_next().is_some() {}
        let (armed, stop) = (Arc::clone(&self.armed), self.stop.clone());
        let wait = Duration::from_secs(u64::from(armed_s));
        tasks.spawn(run.run(wait, stopped, armed, stop));
        parts.changed(order.meter);
        Ok(MeterOrderRow {
            number,
            order: new,
            sent: None,
            end: None,
        })
    }

    /// Stops an order that waits to be sent. Says whether it did: one that is on its way, or has
    /// ended, cannot be stopped.
    ///
    /// # Errors
    /// Where the store fails: nothing is sent then either, and that it was stopped is written as
    /// soon as the store takes it.
    pub async fn halt(&self, number: i64, who: &str) -> Result<bool, StoreError> {
        // Whoever takes it out of here has it: it is not sent any more.
        let Some((meter, stopper)) = lock(&self.armed).remove(&number) else {
            return Ok(false);
        };
        drop(stopper);
        let end = MeterOrderEnd {
            outcome: MeterOrderOutcome::Stopped,
            answer: format!("Stopped by {who} before it was sent. Nothing was sent."),
            read_back: None,
            at: self.parts.clock.now(),
        };
        let orders = self.parts.store.orders();
        if let Err(error) = orders.close(number, end.clone()).await {
            tracing::error!(%error, number, "that an order was stopped is not written yet");
            let (parts, stop) = (Arc::clone(&self.parts), self.stop.clone());
            let mut tasks = self.tasks.lock().await;
            tasks.spawn(async move { write_end(&parts, (number, meter), end, stop).await });
            return Err(error);
        }
        self.parts.changed(meter);
        Ok(true)
    }

    /// Waits for orders that are on their way, after the signal to stop; what still waits to be
    /// sent is not sent. One on a slow line is cut off after the time that it would have over IP:
    /// the next start tells that nothing is known of it.
    pub(crate) async fn ended(&self) {
        let mut tasks = self.tasks.lock().await;
        // A conversation, and a look at what it came to.
        let limit = self.parts.timeout.saturating_mul(2);
        let all = timeout(limit, async { while tasks.join_next().await.is_some() {} });
        if all.await.is_err() {
            tracing::warn!("orders on their way were cut off");
            tasks.shutdown().await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes down what became of an order: as long as it is open, nobody can switch the meter.
async fn write_end(
    parts: &OrderParts,
    (number, meter): (i64, MeterId),
    end: MeterOrderEnd,
    stop: watch::Receiver<bool>,
) {
    let close = || parts.store.orders().close(number, end.clone());
    journal::write_end("an order", number, close, stop).await;
    parts.changed(meter);
}

/// One order on its way.
struct Run {
    parts: Arc<OrderParts>,
    number: i64,
    order: NewMeterOrder,
    target: MeterTarget,
}

/// How far an order came, however its conversation ends.
#[derive(Default)]
struct Progress {
    /// It stands in the journal as sent.
    sent: bool,
    answered: Option<Answered>,
    read_back: Option<ReadBack>,
    /// What was read beside.
    sweep: Option<Sweep>,
}

impl Run {
    async fn run(
        self,
        wait: Duration,
        stopped: oneshot::Receiver<()>,
        armed: Arc<Mutex<Armed>>,
        mut stop: watch::Receiver<bool>,
    ) {
        let stopping = tokio::select! {
            biased;
            // Whoever stopped it writes that down.
            _ = stopped => return,
            _ = stop.wait_for(|stop| *stop) => true,
            () = sleep(wait) => false,
        };
        if lock(&armed).remove(&self.number).is_none() {
            return;
        }
        let end = if stopping {
            self.not_sent(STOPPED)
        } else {
            self.carry_out(&mut stop).await
        };
        let outcome = end.outcome.name();
        tracing::info!(number = self.number, meter = %self.order.meter, outcome, "an order ended");
        write_end(&self.parts, (self.number, self.order.meter), end, stop).await;
    }

    fn end(&self, outcome: MeterOrderOutcome, answer: String) -> MeterOrderEnd {
        MeterOrderEnd {
            outcome,
            answer,
            read_back: None,
            at: self.parts.clock.now(),
        }
    }

    fn not_sent(&self, why: &str) -> MeterOrderEnd {
        let answer = format!("{why} Nothing was sent.");
        self.end(MeterOrderOutcome::NotSent, answer)
    }

    async fn carry_out(&self, stop: &mut watch::Receiver<bool>) -> MeterOrderEnd {
        let parts = &self.parts;
        let pace = parts.fleet.lines().pace(&self.target.enrolment);
        let limit = pace.association(parts.timeout);
        let lease = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return self.not_sent(STOPPED),
            lease = timeout(LEASE_MAX.max(limit), parts.leases.take(self.order.meter)) => lease,
        };
        let Ok(lease) = lease else {
            return self.not_sent("Something else talks to the meter all the time.");
        };
        let mut progress = Progress::default();
        let talk = timeout(limit, self.talk(&mut progress));
        let failed = match talk.await {
            Ok(outcome) => outcome.err(),
            Err(_) => Some(AccessError::ended(Failure::NoAnswer)),
        };
        // No answer is no reason to send it again; but what the meter is now may be read.
        let is_open = matches!(progress.answered, None | Some(Answered::Nothing(_)));
        let was_done = matches!(progress.answered, Some(Answered::Done(_)));
        if progress.sent && self.order.kind == MeterOrderKind::Switchover && (is_open || was_done) {
            // The concentrator ends the conversation as it hands over.
            let looks = timeout(HANDED_OVER, self.look_on(&mut progress, limit));
            drop(looks.await);
            let other = self.order.text.parse().ok();
            let other = other.and_then(|name| parts.concentrators.named(&name));
            let both = [Some(self.order.meter), other.map(|it| it.target.id)];
            both.into_iter()
                .flatten()
                .for_each(|it| parts.board.look_now(it));
        } else if progress.sent && is_open && self.order.kind != MeterOrderKind::Read {
            let look = timeout(limit, self.look(&mut progress));
            drop(look.await);
        }
        drop(lease);
        if let Some(sweep) = progress.sweep.take() {
            self.keep(sweep).await;
        }
        self.judge(progress, failed)
    }

    /// Says what became of the order.
    fn judge(&self, progress: Progress, failed: Option<AccessError>) -> MeterOrderEnd {
        let Progress {
            sent,
            answered,
            read_back,
            ..
        } = progress;
        let shows = self.is_shown(read_back.as_ref());
        let mut end = match (answered, failed) {
            (Some(Answered::NotSent(why)), _) => self.not_sent(&why),
            (Some(Answered::Refused(why)), _) => self.end(MeterOrderOutcome::Refused, why),
            (Some(Answered::Done(what)), _) if shows => self.end(MeterOrderOutcome::Done, what),
            (Some(Answered::Done(what)), _) => self.end(MeterOrderOutcome::Unconfirmed, what),
            (None, Some(error)) if !sent => self.not_sent(error.reason.sentence()),
            (None, Some(error)) if !error.is_final => {
                let why = error.reason.sentence().to_owned();
                self.end(MeterOrderOutcome::Refused, why)
            }
            (Some(Answered::Nothing(why)), _) => self.unknown(&why, shows),
            (None, Some(error)) => self.unknown(error.reason.sentence(), shows),
            (None, None) => self.unknown("The conversation ended early.", shows),
        };
        end.read_back = read_back;
        end
    }

    /// No answer came; what was read back afterwards may say more.
    fn unknown(&self, why: &str, shows: bool) -> MeterOrderEnd {
        if shows && self.order.kind != MeterOrderKind::Read {
            let answer = format!("{why} No answer came, but what was read back shows it.");
            return self.end(MeterOrderOutcome::Done, answer);
        }
        let answer = format!(
            "{why} Whether the meter did it is not known, and it is not sent again by itself."
        );
        self.end(MeterOrderOutcome::Unknown, answer)
    }

    /// Says whether what was read back is what was asked for.
    fn is_shown(&self, read: Option<&ReadBack>) -> bool {
        let Some(read) = read else {
            return self.order.kind == MeterOrderKind::Read;
        };
        match self.order.kind {
            MeterOrderKind::Read => true,
            MeterOrderKind::Connect => {
                read.control == Some(BreakerState::Connected) && read.output != Some(false)
            }
            // Ready to be closed by hand is not what was asked for.
            MeterOrderKind::Disconnect => {
                read.control == Some(BreakerState::Disconnected) && read.output != Some(true)
            }
            MeterOrderKind::Text | MeterOrderKind::Switchover => {
                read.text.as_deref() == Some(self.order.text.as_str())
            }
        }
    }

    /// The meter by the ways on which orders go before other messages, where there are such.
    fn urgent_target(&self) -> MeterTarget {
        let mut target = self.target.clone();
        let ways = target.enrolment.endpoint.split_whitespace();
        let ways = ways.map(|way| self.parts.urgent.get(way).map_or(way, String::as_str));
        target.enrolment.endpoint = ways.collect::<Vec<_>>().join(" ");
        target
    }

    /// The conversation in which the order is given.
    async fn talk(&self, progress: &mut Progress) -> Result<(), AccessError> {
        let parts = &self.parts;
        let mut talk = parts.access.open(&self.urgent_target()).await?;
        if self.order.kind != MeterOrderKind::Read && talk.client().is_none() {
            let why = "There is no way to give this meter an order.".to_owned();
            progress.answered = Some(Answered::NotSent(why));
            return Ok(());
        }
        // Durable first: from here on the meter may have it.
        let sending = parts.store.orders().sending(self.number, parts.clock.now());
        if let Err(error) = sending.await {
            tracing::error!(%error, number = self.number, "an order is not sent: the store failed");
            let why = "The journal could not be written.".to_owned();
            progress.answered = Some(Answered::NotSent(why));
            return Ok(());
        }
        progress.sent = true;
        parts.changed(self.order.meter);
        if self.order.kind == MeterOrderKind::Read {
            self.read(&mut *talk, progress).await?;
            let registers = progress.sweep.as_ref().map_or(0, |it| it.registers.len());
            let what = format!("The meter answered: {registers} registers, clock and breaker.");
            progress.answered = Some(Answered::Done(what));
            talk.close().await.unwrap_or_default();
            return Ok(());
        }
        let Some(client) = talk.client() else {
            return Ok(());
        };
        let answered = wire::give(client, self.order.kind, &self.order.text).await;
        let goes_on = matches!(answered, Answered::Done(_) | Answered::Refused(_));
        progress.answered = Some(answered);
        if goes_on {
            if self.order.kind != MeterOrderKind::Switchover {
                self.read_back(&mut *talk, progress).await?;
            }
            talk.close().await.unwrap_or_default();
        }
        Ok(())
    }

    /// A conversation in which is only read what the meter is now.
    async fn look(&self, progress: &mut Progress) -> Result<(), AccessError> {
        let mut talk = self.parts.access.open(&self.urgent_target()).await?;
        self.read_back(&mut *talk, progress).await?;
        talk.close().await.unwrap_or_default();
        Ok(())
    }

    /// Looks again and again until what is read back is what was asked for.
    async fn look_on(&self, progress: &mut Progress, limit: Duration) {
        loop {
            // One that cannot be looked at now is looked at once more.
            drop(timeout(limit, self.look(progress)).await);
            if self.is_shown(progress.read_back.as_ref()) {
                return;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn read_back(
        &self,
        talk: &mut dyn Conversation,
        progress: &mut Progress,
    ) -> Result<(), AccessError> {
        let told = talk.attributes(wire::shown_by(self.order.kind)).await?;
        let at = self.parts.clock.now();
        let own = &self.target.enrolment.name;
        let read = wire::read_back(self.order.kind, own, &told, at);
        progress.read_back = read.or_else(|| progress.read_back.take());
        let moved = matches!(
            self.order.kind,
            MeterOrderKind::Connect | MeterOrderKind::Disconnect
        );
        if moved {
            self.read(talk, progress).await?;
        }
        Ok(())
    }

    /// Reads how the meter is.
    async fn read(
        &self,
        talk: &mut dyn Conversation,
        progress: &mut Progress,
    ) -> Result<(), AccessError> {
        let clock = &self.parts.clock;
        let first = clock.now();
        drop(talk.paths());
        let wanted = StatusWanted {
            registers: &REGISTERS,
            profile: self.target.enrolment.load_profile,
            firmware: false,
        };
        let status = talk.status(&wanted).await?;
        let last = clock.now();
        let rtt_us = talk.rtt_us();
        let mut sweep = Sweep::new(self.order.meter, last, Contact::Reached { rtt_us });
        sweep.clock = status.clock;
        sweep.registers = status.registers;
        sweep.breaker = status.breaker;
        let paths = talk.paths().into_iter().take(Receipt::COUNT_MAX);
        sweep.receipts = paths
            .map(|paths| Receipt {
                first,
                last,
                paths,
                carried: Vec::new(),
            })
            .collect();
        progress.sweep = Some(sweep);
        Ok(())
    }

    /// Stores what was read beside the order, as a reading like others.
    async fn keep(&self, sweep: Sweep) {
        let has_registers = !sweep.registers.is_empty();
        let (meter, breaker) = (sweep.meter, sweep.breaker.is_some());
        match self.parts.store.ingest(sweep).await {
            Ok(stored) => {
                let fleet = &self.parts.fleet;
                fleet.apply(meter, has_registers || breaker, &stored);
            }
            Err(error) => tracing::error!(%error, %meter, "what was read is not stored"),
        }
    }
}

/// Tells from when to when an order may be stopped, where that is now.
pub(crate) fn is_armed(row: &MeterOrderRow, now: Timestamp) -> bool {
    row.end.is_none() && row.sent.is_none() && now < row.order.due
}
