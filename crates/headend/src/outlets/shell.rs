//! Outlet meters on real connections: a place where they call, and one task that keeps the machine.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use link::{Clock, LinkError, PPID_ENVELOPE, PPID_XML, Received, SctpAssociation, SctpSocket};
use model::xml::{CivilDate, CivilDateTime, OutletId, Sections, SmartMeterId, Switch};
use model::{BreakerAction, MessageClass, SIGNATURE_LEN};
use tokio::sync::{mpsc, oneshot};

use super::{Body, Figures, Input, OrderError, OutletHead, OutletStore, OutletStoreError, Output};

/// Events that wait for the machine; connections wait behind them.
const EVENTS_MAX: usize = 1_024;

/// Messages that wait for one meter's connection. One that takes no more is
/// cut: what was lost is asked for when it calls again.
const MESSAGES_MAX: usize = 1_024;

/// How long a meter may take to prove who it is.
const SECURE_LIMIT: Duration = Duration::from_secs(30);

/// Between two looks for what is missing.
const TICK: Duration = Duration::from_secs(10);

/// Tells which meter a certificate in DER form is of, if any.
pub type Identify = Arc<dyn Fn(Option<&[u8]>) -> Option<SmartMeterId> + Send + Sync>;

/// The key service: signs an order to a breaker, or refuses.
pub type Sign = Box<dyn FnMut(&[u8]) -> Option<[u8; SIGNATURE_LEN]> + Send>;

/// What happens to a meter, for who watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It has connected.
    Connected(SmartMeterId),
    /// Its connection is over.
    Disconnected(SmartMeterId),
    /// A message of it was taken, and is durable.
    Heard(SmartMeterId),
    /// A warning, a gap, or something that is not taken.
    Output(Output),
}

/// An order to a meter.
enum Order {
    Switch(Vec<(OutletId, Switch)>),
    Cost(u8, (u8, u8), u64),
    Breaker(BreakerAction, u64, Sign),
    Request(OutletId, CivilDate, Sections),
}

enum Event {
    Connected(SmartMeterId, u64, mpsc::Sender<(MessageClass, Body)>),
    Disconnected(SmartMeterId, u64),
    Received(SmartMeterId, u64, Received),
    Order(
        SmartMeterId,
        Order,
        oneshot::Sender<Result<bool, OrderError>>,
    ),
    Figures(u64, oneshot::Sender<BTreeMap<SmartMeterId, Figures>>),
    Stop,
    Tick,
}

/// Gives orders to outlet meters.
#[derive(Clone, Debug)]
pub struct OutletOrders(mpsc::Sender<Event>);

impl OutletOrders {
    /// Switches outlets, as [`OutletHead::switch`] does.
    ///
    /// # Errors
    /// Why there is no order.
    pub async fn switch(
        &self,
        meter: SmartMeterId,
        outlets: Vec<(OutletId, Switch)>,
    ) -> Result<bool, OrderError> {
        self.order(meter, Order::Switch(outlets)).await
    }

    /// Tells a cost, as [`OutletHead::cost`] does.
    ///
    /// # Errors
    /// Why it is not told.
    pub async fn cost(
        &self,
        meter: SmartMeterId,
        month: u8,
        days: (u8, u8),
        total: u64,
    ) -> Result<bool, OrderError> {
        self.order(meter, Order::Cost(month, days, total)).await
    }

    /// Opens or closes a breaker, as [`OutletHead::breaker`] does.
    ///
    /// # Errors
    /// Why there is no order.
    pub async fn breaker(
        &self,
        meter: SmartMeterId,
        action: BreakerAction,
        expires: u64,
        sign: Sign,
    ) -> Result<(), OrderError> {
        let order = Order::Breaker(action, expires, sign);
        self.order(meter, order).await.map(|_| ())
    }

    /// Asks for sections once more, as [`OutletHead::request`] does.
    ///
    /// # Errors
    /// Why it is not asked.
    pub async fn request(
        &self,
        meter: SmartMeterId,
        outlet: OutletId,
        day: CivilDate,
        sections: Sections,
    ) -> Result<(), OrderError> {
        let order = Order::Request(outlet, day, sections);
        self.order(meter, order).await.map(|_| ())
    }

    /// Tells what is there of each meter, as [`OutletHead::figures`] does; nothing once it has
    /// stopped.
    pub async fn figures(&self, days: u64) -> BTreeMap<SmartMeterId, Figures> {
        let (answer, answered) = oneshot::channel();
        if self.0.send(Event::Figures(days, answer)).await.is_err() {
            return BTreeMap::new();
        }
        answered.await.unwrap_or_default()
    }

    /// Stops: what was taken is durable, connections end, and nothing more is taken.
    pub async fn stop(&self) {
        // One that has stopped takes no event.
        drop(self.0.send(Event::Stop).await);
        self.0.closed().await;
    }

    async fn order(&self, meter: SmartMeterId, order: Order) -> Result<bool, OrderError> {
        let (answer, answered) = oneshot::channel();
        let event = Event::Order(meter, order, answer);
        self.0
            .send(event)
            .await
            .map_err(|_| OrderError::NotConnected)?;
        answered.await.map_err(|_| OrderError::NotConnected)?
    }
}

/// Serves the meters that call at `socket`. `ahead` are the seconds that civil time is ahead of
/// UTC, the same on both sides; `told` hears what happens. Ends with [`OutletOrders::stop`].
pub fn serve<S: OutletStore + Send + 'static>(
    head: OutletHead<S>,
    socket: SctpSocket,
    identify: Identify,
    clock: Arc<dyn Clock>,
    ahead: i32,
    told: impl FnMut(Told) + Send + 'static,
) -> (OutletOrders, tokio::task::JoinHandle<()>) {
    let (events, inbox) = mpsc::channel(EVENTS_MAX);
    let machine = Machine {
        head,
        clock,
        ahead,
        told,
        meters: BTreeMap::new(),
    };
    // The store waits for the disk, so the machine has a thread of its own.
    tokio::task::spawn_blocking(move || machine.run(inbox));
    let orders = OutletOrders(events.clone());
    let task = tokio::spawn(async move {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut number = 0;
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    if events.send(Event::Tick).await.is_err() {
                        break;
                    }
                }
                accepted = socket.accept() => {
                    let Ok(association) = accepted else { break };
                    number += 1;
                    let (events, identify) = (events.clone(), Arc::clone(&identify));
                    tokio::spawn(connection(association, number, identify, events));
                }
            }
        }
    });
    (orders, task)
}

/// The machine on its thread.
struct Machine<S, T> {
    head: OutletHead<S>,
    clock: Arc<dyn Clock>,
    ahead: i32,
    told: T,
    /// By meter: the number of its connection, and the way there.
    meters: BTreeMap<SmartMeterId, (u64, mpsc::Sender<(MessageClass, Body)>)>,
}

impl<S: OutletStore, T: FnMut(Told)> Machine<S, T> {
    fn run(mut self, mut inbox: mpsc::Receiver<Event>) {
        while let Some(event) = inbox.blocking_recv() {
            if matches!(event, Event::Stop) {
                return;
            }
            if let Err(error) = self.event(event) {
                // What was not stored was not received: it is asked for again.
                tracing::error!(%error, "a message of an outlet meter is not stored");
            }
            while let Some(output) = self.head.poll() {
                self.output(output);
            }
        }
    }

    fn now(&self) -> CivilDateTime {
        CivilDateTime::of_unix(self.clock.unix_seconds(), self.ahead)
            .unwrap_or(CivilDateTime::START)
    }

    fn event(&mut self, event: Event) -> Result<(), OutletStoreError> {
        let now = self.now();
        let current = |meter, number| {
            self.meters
                .get(&meter)
                .is_some_and(|(known, _)| *known == number)
        };
        match event {
            Event::Tick => self.head.handle(Input::Tick, now),
            Event::Connected(meter, number, way) => {
                (self.told)(Told::Connected(meter));
                // A later connection takes the place of an earlier one.
                if self.meters.insert(meter, (number, way)).is_some() {
                    self.head.handle(Input::Disconnected(meter), now)?;
                }
                self.head.handle(Input::Connected(meter), now)
            }
            Event::Disconnected(meter, number) if current(meter, number) => {
                self.meters.remove(&meter);
                (self.told)(Told::Disconnected(meter));
                self.head.handle(Input::Disconnected(meter), now)
            }
            Event::Received(meter, number, message) if current(meter, number) => {
                if message.protocol == PPID_XML {
                    self.head.handle(Input::Xml(meter, &message.payload), now)?;
                    (self.told)(Told::Heard(meter));
                }
                Ok(())
            }
            Event::Figures(days, answer) => {
                drop(answer.send(self.head.figures(days, now)));
                Ok(())
            }
            Event::Disconnected(..) | Event::Received(..) | Event::Stop => Ok(()),
            Event::Order(meter, order, answer) => {
                let done = match order {
                    Order::Switch(outlets) => self.head.switch(meter, outlets, now),
                    Order::Cost(month, days, total) => {
                        self.head.cost(meter, month, days, total, now)
                    }
                    Order::Breaker(action, expires, mut sign) => {
                        let done = self.head.breaker(meter, action, expires, &mut sign);
                        done.map(|()| true)
                    }
                    Order::Request(outlet, day, sections) => {
                        let done = self.head.request(meter, outlet, day, sections, now);
                        done.map(|()| true)
                    }
                };
                // Who asked may be gone.
                drop(answer.send(done));
                Ok(())
            }
        }
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Send { meter, class, body } => {
                let full = self
                    .meters
                    .get(&meter)
                    .is_some_and(|(_, way)| way.try_send((class, body)).is_err());
                if full {
                    tracing::warn!(%meter, "the connection takes no more: it is cut");
                    self.meters.remove(&meter);
                    (self.told)(Told::Disconnected(meter));
                    let now = self.now();
                    if let Err(error) = self.head.handle(Input::Disconnected(meter), now) {
                        tracing::error!(%error, "the store of outlets");
                    }
                }
            }
            Output::Warning(..) | Output::Gap(..) | Output::Refused(..) => {
                (self.told)(Told::Output(output));
            }
        }
    }
}

/// Serves one connection.
async fn connection(
    mut association: SctpAssociation,
    number: u64,
    identify: Identify,
    events: mpsc::Sender<Event>,
) {
    let peer = association.peer();
    match tokio::time::timeout(SECURE_LIMIT, association.secure()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::info!(peer, %error, "refused an association");
            drop(tokio::time::timeout(SECURE_LIMIT, association.close()).await);
            return;
        }
        Err(_) => return,
    }
    let certificate = association.peer_certificate();
    let Some(meter) = identify(certificate.as_deref()) else {
        tracing::info!(peer, "an association of no meter that is enrolled");
        return;
    };
    let (way, mut messages) = mpsc::channel(MESSAGES_MAX);
    if events
        .send(Event::Connected(meter, number, way))
        .await
        .is_err()
    {
        return;
    }
    let mut held = None;
    let ended = loop {
        match next(&mut association, &mut messages, &mut held).await {
            Ok(Next::Received(message)) => {
                let event = Event::Received(meter, number, message);
                if events.send(event).await.is_err() {
                    return;
                }
            }
            Ok(Next::Sent) => {}
            Err(error) => break error,
        }
    };
    tracing::info!(%meter, %ended, "the connection of an outlet meter is over");
    drop(events.send(Event::Disconnected(meter, number)).await);
}

enum Next {
    Received(Received),
    Sent,
}

/// Receives a message, or sends one.
async fn next(
    association: &mut SctpAssociation,
    messages: &mut mpsc::Receiver<(MessageClass, Body)>,
    held: &mut Option<(MessageClass, u32, Bytes)>,
) -> Result<Next, LinkError> {
    poll_fn(|cx| {
        if let Poll::Ready(received) = association.poll_receive(cx) {
            return Poll::Ready(received.map(Next::Received));
        }
        if held.is_some() {
            // Its class was full: again once the queues are empty.
            match association.poll_flush(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(flushed) => flushed?,
            }
        } else {
            match messages.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(Err(LinkError::Closed)),
                Poll::Ready(Some((class, Body::Xml(xml)))) => {
                    *held = Some((class, PPID_XML, xml.into()));
                }
                Poll::Ready(Some((class, Body::Envelope(octets)))) => {
                    *held = Some((class, PPID_ENVELOPE, octets.into()));
                }
            }
        }
        if let Some((class, protocol, payload)) = held.take() {
            match association.send(class, protocol, payload.clone()) {
                Ok(()) => {}
                Err(LinkError::Full(_)) => *held = Some((class, protocol, payload)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(Next::Sent))
    })
    .await
}
