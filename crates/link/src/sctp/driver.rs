//! The task that drives one SCTP endpoint on its sockets, and what the
//! handles of its associations share with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use model::MessageClass;
use sctp::{
    AssociationId, CloseReason, Connect, ConnectError, Endpoint, Event, Input, Instant, Output,
    PathStatus, Reliability, SendError, SendOptions, StreamOptions,
};
use tokio::sync::{Notify, broadcast};

use super::socket::Socket;
use super::{ClassFigures, Received, SctpEvent, SctpStatus};
use crate::{Clock, LinkError, Treatment};

/// Packets taken from one socket before others have their turn; of those that
/// the system joined, the rest of the last ones too.
const PACKETS_AT_ONCE: usize = 64;

/// Events that wait for one observer; it misses older ones.
pub(super) const EVENTS_MAX: usize = 64;

/// How long an association whose handle was dropped may take to deliver what
/// it holds and shut down.
pub(super) const SHUT_DOWN_LIMIT: Duration = Duration::from_secs(10);

/// What the task and the handles share.
pub(super) struct Shared {
    state: Mutex<State>,
    wake: Notify,
    clock: Arc<dyn Clock>,
}

struct State {
    endpoint: Endpoint,
    /// Boxed: a tree that grows at its end leaves half of its room empty.
    peers: BTreeMap<AssociationId, Box<Peer>>,
    /// Associations of which something waits to go out: their queues are
    /// looked at after each turn.
    draining: BTreeSet<AssociationId>,
    /// Associations without a handle, and when they are aborted.
    orphans: BTreeMap<AssociationId, Instant>,
    accepting: bool,
    accepted: VecDeque<(AssociationId, u32)>,
    acceptor: Option<Waker>,
    /// Handles of any kind; the task ends when there are none and all
    /// associations are over.
    handles: usize,
    ended: bool,
}

/// What is known of one association beside its machine.
struct Peer {
    /// The peer may begin anew; handles of before see their end.
    generation: u32,
    name: String,
    established: bool,
    handled: bool,
    ended: Option<End>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// A class refused a message, and none has room again since.
    refused: bool,
    classes: [Class; MessageClass::ALL.len()],
    observers: Option<broadcast::Sender<SctpEvent>>,
}

/// Why a handle's association is over.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Closed(CloseReason),
    Restarted,
}

/// What one class did.
#[derive(Default)]
struct Class {
    figures: ClassFigures,
    /// Octets handed in so far.
    handed: u64,
    /// For each message that waits: the octets handed in up to its end, and
    /// when.
    waiting: VecDeque<(u64, Instant)>,
}

/// Figures of all SCTP associations of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SctpTotals {
    /// Associations that came to stand.
    pub associations: u64,
    /// Associations that ended without being asked to.
    pub lost: u64,
    /// Times that data took another path.
    pub failovers: u64,
    /// Times that a path stopped answering.
    pub paths_failed: u64,
    /// By class in the order of [`MessageClass::ALL`]: messages handed to the
    /// network, and the microseconds that they waited for it.
    pub classes: [(u64, u64); MessageClass::ALL.len()],
}

pub(super) static ASSOCIATIONS: AtomicU64 = AtomicU64::new(0);
pub(super) static LOST: AtomicU64 = AtomicU64::new(0);
pub(super) static FAILOVERS: AtomicU64 = AtomicU64::new(0);
pub(super) static PATHS_FAILED: AtomicU64 = AtomicU64::new(0);
static SENT: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];
static WAITED: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];

impl SctpTotals {
    /// Returns the figures so far.
    #[must_use]
    pub fn so_far() -> Self {
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let mut classes = [(0, 0); MessageClass::ALL.len()];
        for (class, (sent, waited)) in classes.iter_mut().zip(SENT.iter().zip(&WAITED)) {
            *class = (read(sent), read(waited));
        }
        Self {
            associations: read(&ASSOCIATIONS),
            lost: read(&LOST),
            failovers: read(&FAILOVERS),
            paths_failed: read(&PATHS_FAILED),
            classes,
        }
    }
}

pub(super) fn count(figure: &AtomicU64) {
    figure.fetch_add(1, Ordering::Relaxed);
}

/// Counts a message of the class at this place that has gone out.
pub(super) fn waited(figures: &mut ClassFigures, place: usize, waited: Duration) {
    figures.waited(waited);
    if let (Some(sent), Some(total)) = (SENT.get(place), WAITED.get(place)) {
        count(sent);
        let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        total.fetch_add(micros, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn new(endpoint: Endpoint, accepting: bool, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                endpoint,
                peers: BTreeMap::new(),
                draining: BTreeSet::new(),
                orphans: BTreeMap::new(),
                accepting,
                accepted: VecDeque::new(),
                acceptor: None,
                handles: 0,
                ended: false,
            }),
            wake: Notify::new(),
            clock,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Instant {
        now(&*self.clock)
    }

    /// Holds the task, until the hold is dropped.
    pub(super) fn hold(self: &Arc<Self>) -> Hold {
        self.lock().handles += 1;
        Hold(Arc::clone(self))
    }

    /// Stops accepting; what was accepted goes on.
    pub(super) fn refuse(&self) {
        let mut state = self.lock();
        state.accepting = false;
        for (id, generation) in std::mem::take(&mut state.accepted) {
            state.release(id, generation, self.now());
        }
        drop(state);
        self.wake.notify_one();
    }

    pub(super) fn poll_accept(
        self: &Arc<Self>,
        cx: &Context<'_>,
    ) -> Poll<Result<Handle, LinkError>> {
        let mut state = self.lock();
        if state.ended {
            return Poll::Ready(Err(LinkError::Closed));
        }
        let Some((id, generation)) = state.accepted.pop_front() else {
            state.acceptor = Some(cx.waker().clone());
            return Poll::Pending;
        };
        if let Some(peer) = state.peers.get_mut(&id) {
            peer.handled = true;
        }
        drop(state);
        Poll::Ready(Ok(Handle {
            hold: self.hold(),
            id,
            generation,
        }))
    }

    pub(super) fn connect(
        self: &Arc<Self>,
        connect: &Connect,
        name: String,
    ) -> Result<Handle, ConnectError> {
        let now = self.now();
        let mut state = self.lock();
        let id = state.endpoint.connect(connect, now)?;
        state.configure(id);
        let mut peer = Peer::new(name);
        peer.handled = true;
        state.peers.insert(id, Box::new(peer));
        drop(state);
        self.wake.notify_one();
        Ok(Handle {
            hold: self.hold(),
            id,
            generation: 0,
        })
    }

    /// Takes a turn: hands out packets and events until there are none, and
    /// tells when to come back; `None` where the task is over.
    fn turn(&self, sockets: &mut [Socket]) -> Option<Option<Instant>> {
        let now = self.now();
        let mut state = self.lock();
        let late: Vec<AssociationId> = state
            .orphans
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            state.orphans.remove(&id);
            state.endpoint.abort(id, b"", now);
        }
        let next = loop {
            match state.endpoint.poll() {
                Output::Transmit(packet) => {
                    if let Some(socket) = sockets
                        .iter_mut()
                        .find(|socket| socket.local() == packet.local)
                    {
                        socket.push(packet);
                    }
                }
                Output::Event(id, event) => state.event(id, event, now),
                Output::Timeout(at) => break at,
            }
        };
        state.look_at_queues(now);
        let over = state.handles == 0 && !state.accepting && state.endpoint.is_empty();
        if over {
            state.ended = true;
            return None;
        }
        let orphan = state.orphans.values().min().copied();
        Some(match (next, orphan) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        })
    }

    /// Ends all, when the task goes.
    fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let mut wakers: Vec<Waker> = state.acceptor.take().into_iter().collect();
        for peer in state.peers.values_mut() {
            wakers.extend(peer.reader.take());
            wakers.extend(peer.writer.take());
        }
        drop(state);
        for waker in wakers {
            waker.wake();
        }
    }
}

/// Turns the clock's time into that of the machine.
pub(super) fn now(clock: &dyn Clock) -> Instant {
    Instant::from_micros(clock.now().as_micros())
}

impl Peer {
    fn new(name: String) -> Self {
        Self {
            generation: 0,
            name,
            established: false,
            handled: false,
            ended: None,
            reader: None,
            writer: None,
            refused: false,
            classes: std::array::from_fn(|_| Class::default()),
            observers: None,
        }
    }

    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
    }

    /// A class that refused a message has room again, or nothing waits.
    fn room(&mut self) {
        self.refused = false;
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    fn tell(&self, event: SctpEvent) {
        if let Some(observers) = &self.observers {
            // An error says that nobody listens any more.
            drop(observers.send(event));
        }
    }

    /// A link's end, where it is over for handles of `generation`.
    fn over(&self, generation: u32) -> Option<LinkError> {
        let end = if self.generation == generation {
            self.ended?
        } else {
            End::Restarted
        };
        Some(end.into())
    }
}

impl From<End> for LinkError {
    fn from(end: End) -> Self {
        match end {
            End::Closed(CloseReason::SetUpTimeout) => Self::DataLink("no answer to SCTP's INIT"),
            End::Closed(CloseReason::Unreachable) => Self::DataLink("no path to the peer is left"),
            End::Closed(CloseReason::Refused) => {
                Self::DataLink("it does not offer authenticated chunks")
            }
            End::Closed(_) | End::Restarted => Self::Closed,
        }
    }
}

impl State {
    /// Gives each class its stream.
    fn configure(&mut self, id: AssociationId) {
        for row in Treatment::ALL {
            let options = StreamOptions {
                priority: row.priority,
                weight: 1,
                dscp: row.dscp,
                urgent: row.urgent,
            };
            // An association that is gone has no streams to set.
            self.endpoint
                .set_stream(id, row.stream, options)
                .unwrap_or_default();
        }
    }

    fn event(&mut self, id: AssociationId, event: Event, now: Instant) {
        let Self {
            endpoint, peers, ..
        } = self;
        match event {
            Event::Established { .. } => {
                count(&ASSOCIATIONS);
                if let Some(peer) = peers.get_mut(&id) {
                    peer.established = true;
                    peer.wake();
                    return;
                }
                let mut peer = Peer::new(name(&endpoint.paths(id)));
                peer.established = true;
                peers.insert(id, Box::new(peer));
                self.configure(id);
                if self.accepting {
                    self.accepted.push_back((id, 0));
                    if let Some(waker) = self.acceptor.take() {
                        waker.wake();
                    }
                } else {
                    self.release(id, 0, now);
                }
            }
            Event::Readable => match peers.get_mut(&id) {
                Some(peer) => {
                    if let Some(waker) = peer.reader.take() {
                        waker.wake();
                    }
                    if self.orphans.contains_key(&id) {
                        while endpoint.receive(id, now).is_some() {}
                    }
                }
                None => while endpoint.receive(id, now).is_some() {},
            },
            Event::Writable { .. } => {
                if let Some(peer) = peers.get_mut(&id) {
                    peer.room();
                }
            }
            Event::Path { remote, was, state } => {
                if let Some(peer) = peers.get(&id) {
                    tracing::info!(peer = peer.name, %remote, ?state, "a path of SCTP changed");
                    peer.tell(SctpEvent::Path { remote, state });
                }
                // What may have failed and then has is one failure.
                if was == sctp::PathState::Active {
                    count(&PATHS_FAILED);
                }
            }
            Event::Failover { from, to } => {
                count(&FAILOVERS);
                if let Some(peer) = peers.get(&id) {
                    tracing::info!(peer = peer.name, %from, %to, "SCTP goes another way");
                    peer.tell(SctpEvent::Failover { from, to });
                }
            }
            Event::Restarted { unacknowledged } => self.restarted(id, unacknowledged, now),
            Event::Closed { reason, .. } => {
                if reason != CloseReason::Shutdown {
                    count(&LOST);
                }
                self.orphans.remove(&id);
                if let Some(peer) = peers.get_mut(&id) {
                    tracing::debug!(peer = peer.name, ?reason, "an SCTP association is over");
                    peer.ended = Some(End::Closed(reason));
                    peer.wake();
                    if !peer.handled {
                        peers.remove(&id);
                        self.accepted.retain(|(waiting, _)| *waiting != id);
                    }
                }
            }
            // Messages given up, stream resets and additions are not asked
            // for here; errors that the peer reports change nothing.
            _ => {}
        }
    }

    /// The peer began anew: the handle of before sees its end, and a new one
    /// is accepted.
    fn restarted(&mut self, id: AssociationId, unacknowledged: usize, now: Instant) {
        // What came before it began anew is of an exchange that is over.
        while self.endpoint.receive(id, now).is_some() {}
        let accepting = self.accepting;
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        tracing::info!(peer = peer.name, unacknowledged, "the peer began anew");
        peer.generation = peer.generation.wrapping_add(1);
        peer.handled = false;
        peer.classes = std::array::from_fn(|_| Class::default());
        peer.wake();
        let generation = peer.generation;
        self.accepted.retain(|(waiting, _)| *waiting != id);
        if accepting {
            self.accepted.push_back((id, generation));
            if let Some(waker) = self.acceptor.take() {
                waker.wake();
            }
        } else {
            self.endpoint.abort(id, b"", now);
        }
    }

    /// Lets an association go whose handle is gone.
    fn release(&mut self, id: AssociationId, generation: u32, now: Instant) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if peer.generation != generation {
            return;
        }
        peer.handled = false;
        if peer.ended.is_some() {
            self.peers.remove(&id);
            return;
        }
        while self.endpoint.receive(id, now).is_some() {}
        self.endpoint.shutdown(id, now);
        self.orphans.insert(id, now + SHUT_DOWN_LIMIT);
    }

    /// Sees which messages have gone out, and wakes who waits for that.
    fn look_at_queues(&mut self, now: Instant) {
        let Self {
            endpoint,
            peers,
            draining,
            ..
        } = self;
        draining.retain(|id| {
            let Some(peer) = peers.get_mut(id) else {
                return false;
            };
            let mut left = false;
            for row in Treatment::ALL {
                let place = usize::from(row.class.priority());
                let Some(class) = peer.classes.get_mut(place) else {
                    continue;
                };
                let waiting = u64::try_from(endpoint.buffered(*id, row.stream)).unwrap_or(0);
                let gone = class.handed.saturating_sub(waiting);
                while let Some((_, handed_at)) = class.waiting.pop_front_if(|(end, _)| *end <= gone)
                {
                    waited(&mut class.figures, place, now.since(handed_at));
                }
                left |= !class.waiting.is_empty();
            }
            if !left {
                peer.room();
            }
            left
        });
    }
}

/// What a peer is called.
fn name(paths: &[PathStatus]) -> String {
    let remotes: Vec<String> = paths.iter().map(|path| path.remote.to_string()).collect();
    remotes.join(",")
}

/// Keeps the task of an endpoint.
pub(super) struct Hold(Arc<Shared>);

impl std::ops::Deref for Hold {
    type Target = Arc<Shared>;

    fn deref(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.handles = state.handles.saturating_sub(1);
        drop(state);
        self.0.wake.notify_one();
    }
}

/// One association, until it is dropped.
pub(super) struct Handle {
    hold: Hold,
    id: AssociationId,
    generation: u32,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let now = self.hold.now();
        self.hold.lock().release(self.id, self.generation, now);
        self.hold.wake.notify_one();
    }
}

impl Handle {
    /// Looks at the association, where it is not over for this handle.
    fn peer<'s>(&self, state: &'s mut State) -> Result<&'s mut Peer, LinkError> {
        if state.ended {
            return Err(LinkError::Closed);
        }
        let peer = state.peers.get_mut(&self.id).ok_or(LinkError::Closed)?;
        match peer.over(self.generation) {
            Some(end) => Err(end),
            None => Ok(peer),
        }
    }

    pub(super) fn poll_established(&self, cx: &Context<'_>) -> Poll<Result<(), LinkError>> {
        let mut state = self.hold.lock();
        let peer = self.peer(&mut state)?;
        if peer.established {
            return Poll::Ready(Ok(()));
        }
        peer.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Puts a message into its class's queue; with a lifetime it is given up
    /// after that, and delivered out of order.
    pub(super) fn send_for(
        &self,
        class: MessageClass,
        protocol: u32,
        payload: Bytes,
        lifetime: Option<Duration>,
    ) -> Result<(), LinkError> {
        let row = Treatment::of(class);
        let length = payload.len();
        let now = self.hold.now();
        let mut state = self.hold.lock();
        self.peer(&mut state)?;
        let options = SendOptions {
            ppid: protocol,
            unordered: lifetime.is_some(),
            reliability: lifetime.map_or(Reliability::Reliable, |lifetime| {
                Reliability::Until(now + lifetime)
            }),
        };
        let sent = state
            .endpoint
            .send(self.id, row.stream, payload, &options, now);
        let peer = self.peer(&mut state)?;
        let entry = peer.classes.get_mut(usize::from(class.priority()));
        let entry = entry.ok_or(LinkError::Closed)?;
        match sent {
            Ok(_) => {
                entry.figures.sent += 1;
                entry.handed += u64::try_from(length).unwrap_or(0);
                entry.waiting.push_back((entry.handed, now));
                state.draining.insert(self.id);
                drop(state);
                self.hold.wake.notify_one();
                Ok(())
            }
            Err(SendError::Full) => {
                entry.figures.refused += 1;
                peer.refused = true;
                Err(LinkError::Full(class))
            }
            Err(SendError::TooLong) => Err(LinkError::TooLong {
                length,
                max: super::MESSAGE_LEN_MAX,
            }),
            Err(SendError::NoStream) => Err(LinkError::DataLink(
                "it takes fewer streams than there are classes",
            )),
            Err(_) => Err(LinkError::Closed),
        }
    }

    /// Waits until a class that refused a message takes one again, or all is
    /// handed to the network.
    pub(super) fn wait_to_write(&self, cx: &Context<'_>) -> Result<(), LinkError> {
        let mut state = self.hold.lock();
        self.peer(&mut state)?.writer = Some(cx.waker().clone());
        Ok(())
    }

    /// Waits until a class that refused a message takes one again.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<Result<(), LinkError>> {
        let mut state = self.hold.lock();
        let peer = self.peer(&mut state)?;
        if !peer.refused {
            return Poll::Ready(Ok(()));
        }
        peer.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn poll_flush(&self, cx: &Context<'_>) -> Poll<Result<(), LinkError>> {
        let mut state = self.hold.lock();
        let peer = self.peer(&mut state)?;
        if peer.classes.iter().all(|class| class.waiting.is_empty()) {
            return Poll::Ready(Ok(()));
        }
        peer.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn poll_receive(&self, cx: &Context<'_>) -> Poll<Result<Received, LinkError>> {
        let now = self.hold.now();
        let mut state = self.hold.lock();
        loop {
            let ended = self.peer(&mut state).err();
            let mine = state
                .peers
                .get(&self.id)
                .is_some_and(|peer| peer.generation == self.generation);
            // What arrived before the end is received after it.
            let message = if mine {
                state.endpoint.receive(self.id, now)
            } else {
                None
            };
            let Some(message) = message else {
                if let Some(end) = ended {
                    return Poll::Ready(Err(end));
                }
                self.peer(&mut state)?.reader = Some(cx.waker().clone());
                return Poll::Pending;
            };
            // The peer's window has opened: the task tells it.
            self.hold.wake.notify_one();
            let Some(row) = Treatment::of_stream(message.stream) else {
                tracing::debug!(stream = message.stream, "dropped a message of no class");
                continue;
            };
            if let Some(peer) = state.peers.get_mut(&self.id)
                && let Some(class) = peer.classes.get_mut(usize::from(row.class.priority()))
            {
                class.figures.received += 1;
            }
            return Poll::Ready(Ok(Received {
                class: row.class,
                protocol: message.ppid,
                payload: message.payload,
            }));
        }
    }

    pub(super) fn poll_close(&self, cx: &Context<'_>) -> Poll<Result<(), LinkError>> {
        let now = self.hold.now();
        let mut state = self.hold.lock();
        let Ok(peer) = self.peer(&mut state) else {
            return Poll::Ready(Ok(()));
        };
        peer.writer = Some(cx.waker().clone());
        state.endpoint.shutdown(self.id, now);
        drop(state);
        self.hold.wake.notify_one();
        Poll::Pending
    }

    /// Adds a key of authenticated chunks (RFC 4895).
    pub(super) fn set_auth_key(&self, key_id: u16, key: &[u8]) -> bool {
        let mut state = self.hold.lock();
        state.endpoint.set_auth_key(self.id, key_id, key).is_ok()
    }

    /// Authenticates what is sent with this key from now on.
    pub(super) fn activate_auth_key(&self, key_id: u16) -> bool {
        let mut state = self.hold.lock();
        state.endpoint.activate_auth_key(self.id, key_id).is_ok()
    }

    /// Takes nothing more that is authenticated with this key.
    pub(super) fn remove_auth_key(&self, key_id: u16) -> bool {
        let mut state = self.hold.lock();
        state.endpoint.remove_auth_key(self.id, key_id).is_ok()
    }

    pub(super) fn observe(&self) -> broadcast::Receiver<SctpEvent> {
        let mut state = self.hold.lock();
        match self.peer(&mut state) {
            Ok(peer) => peer
                .observers
                .get_or_insert_with(|| broadcast::channel(EVENTS_MAX).0)
                .subscribe(),
            // Over: nothing more is told.
            Err(_) => broadcast::channel(1).1,
        }
    }

    pub(super) fn status(&self) -> SctpStatus {
        let state = self.hold.lock();
        let mut status = SctpStatus {
            paths: state.endpoint.paths(self.id),
            counters: state
                .endpoint
                .status(self.id)
                .map(|status| status.counters)
                .unwrap_or_default(),
            ..SctpStatus::default()
        };
        if let Some(peer) = state.peers.get(&self.id) {
            for (figures, class) in status.classes.iter_mut().zip(&peer.classes) {
                *figures = class.figures;
                figures.waiting = class.waiting.len();
            }
        }
        status
    }

    pub(super) fn name(&self) -> String {
        let state = self.hold.lock();
        state
            .peers
            .get(&self.id)
            .map(|peer| peer.name.clone())
            .unwrap_or_default()
    }
}

/// Drives the endpoint until nobody needs it any more.
pub(super) async fn drive(shared: Arc<Shared>, mut sockets: Vec<Socket>) {
    /// Whatever ends the task, those who wait are told.
    struct Ends(Arc<Shared>);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.end();
        }
    }
    let ends = Ends(shared);
    let shared = &ends.0;
    let mut buffer = vec![0; usize::from(u16::MAX)].into_boxed_slice();
    while let Some(deadline) = shared.turn(&mut sockets) {
        for socket in &mut sockets {
            socket.flush();
        }
        let wait = async {
            match deadline {
                Some(at) => tokio::time::sleep(at.since(shared.now())).await,
                None => std::future::pending().await,
            }
        };
        let ready = poll_fn(|cx| {
            let mut any = Poll::Pending;
            for socket in &sockets {
                if socket.poll_ready(cx).is_ready() {
                    any = Poll::Ready(());
                }
            }
            any
        });
        tokio::select! {
            () = ready => receive(shared, &sockets, &mut buffer),
            () = wait => {
                let now = shared.now();
                shared.lock().endpoint.handle(Input::Timeout, now);
            }
            () = shared.wake.notified() => {}
        }
    }
    let dropped: u64 = sockets.iter().map(Socket::dropped).sum();
    if dropped > 0 {
        tracing::debug!(dropped, "packets of SCTP that were not sent");
    }
}

fn receive(shared: &Shared, sockets: &[Socket], buffer: &mut [u8]) {
    for socket in sockets {
        let mut packets = 0;
        while packets < PACKETS_AT_ONCE {
            let arrived = match socket.receive(buffer) {
                Ok(Some(arrived)) => arrived,
                Ok(None) => {
                    packets += 1;
                    continue;
                }
                // Nothing more, or a refusal of what was sent before: SCTP
                // sees that by itself.
                Err(_) => break,
            };
            let octets = buffer.get(arrived.octets).unwrap_or_default();
            let now = shared.now();
            let mut state = shared.lock();
            for octets in octets.chunks(arrived.packet_len) {
                let input = Input::Datagram {
                    local: socket.local(),
                    remote: arrived.from,
                    udp_port: arrived.udp_port,
                    octets,
                };
                state.endpoint.handle(input, now);
            }
            // One without octets counts too.
            packets += octets.len().div_ceil(arrived.packet_len).max(1);
        }
    }
}
