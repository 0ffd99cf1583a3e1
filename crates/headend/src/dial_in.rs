//! Concentrators that open the connection themselves.
//!
//! Whoever connects is nobody until his logical device proved that it is the one whose keys the
//! head end has: he tells a name without protection, and an association with the keys of the
//! device of that name is made over this connection. Then the connection stands for that
//! concentrator, in the place of an older one, and all that is asked of it or of meters behind it
//! goes that way: each association has its own pair of SAPs on it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use link::{
    Clock as LinkClock, Connecting, Connector, Endpoint, HostPort, Limits, Link, LinkError,
    LinkExt as _, Listener, Message, Sap, SystemClock,
};
use tokio::sync::mpsc::error::SendError;
use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::collector::{AccessError, CollectorHandle, Leases, MeterAccess, MeterTarget};
use crate::concentrators::{Concentrators, leads_to};
use crate::config::DialInConfig;
use crate::fleet::Fleet;
use crate::store::Failure;

/// What an endpoint begins with whose device opens the connection itself: `dial://`, and the name
/// of the concentrator's logical device.
const SCHEME: &str = "dial://";

/// What stands before the name where an endpoint has a host; no host begins so.
const HOST: &str = "dial:";

/// Connections that nobody has proved yet: all, and of one address. More are closed at once.
const UNPROVEN_MAX: usize = 256;
const UNPROVEN_OF_ONE_MAX: usize = 16;

/// How long a connection that proved nothing still counts, so that trying again and again is slow.
const REFUSAL: Duration = Duration::from_secs(2);

/// How long a connection may take to prove who it is.
const PROOF: Duration = Duration::from_secs(60);

/// Messages that wait to be sent on a connection, and those that one association may hold back.
const OUTGOING_MAX: usize = 64;
const HELD_MAX: usize = 256;

/// Messages that wait for one association, and octets of all that wait on a connection; more are
/// dropped.
const INCOMING_MAX: usize = 64;
const INCOMING_OCTETS_MAX: usize = 4 << 20;

/// Associations on one connection.
const WAYS_MAX: usize = 256;

/// A connection on which something was asked and nothing came for so long is cut.
const SILENCE: Duration = Duration::from_secs(180);

/// How long a message may take to leave.
const FLUSH: Duration = Duration::from_secs(30);

/// The connections that concentrators opened.
#[derive(Default)]
pub struct DialIn {
    trunks: Mutex<BTreeMap<String, Arc<Trunk>>>,
    arrivals: watch::Sender<u64>,
}

impl fmt::Debug for DialIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.trunks().keys().cloned().collect();
        f.debug_struct("DialIn")
            .field("trunks", &names)
            .finish_non_exhaustive()
    }
}

/// One connection with the associations on it.
struct Trunk {
    number: u64,
    peer: String,
    payload_max: usize,
    outgoing: mpsc::Sender<Message>,
    ways: Mutex<Ways>,
    waiting: AtomicUsize,
    closed: watch::Sender<bool>,
}

/// By client and server SAP: the number of the association, and its messages.
#[derive(Default)]
struct Ways {
    last: u64,
    open: BTreeMap<(Sap, Sap), (u64, mpsc::Sender<Message>)>,
}

/// Reads the endpoint of a device: a URL, or [`SCHEME`] and a name.
pub(crate) fn endpoint_of(text: &str) -> Option<Endpoint> {
    match text.strip_prefix(SCHEME) {
        Some(name) => Some(Endpoint::Tcp(HostPort {
            host: format!("{HOST}{name}"),
            port: 0,
        })),
        None => text.parse().ok(),
    }
}

/// Names the concentrator of an endpoint that opens the connection itself.
pub(crate) fn dials(endpoint: &str) -> Option<&str> {
    endpoint.strip_prefix(SCHEME)
}

impl DialIn {
    /// Tells which concentrators are connected, and from where.
    pub fn connected(&self) -> BTreeMap<String, String> {
        let trunks = self.trunks();
        let proven = trunks.iter().filter(|(name, _)| !name.starts_with('#'));
        proven
            .map(|(name, trunk)| (name.clone(), trunk.peer.clone()))
            .collect()
    }

    /// Tells when another concentrator has connected.
    pub(crate) fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrivals.subscribe()
    }

    /// Says whether the concentrator of an endpoint is connected, or need not be.
    pub(crate) fn reaches(&self, endpoint: &str) -> bool {
        dials(endpoint).is_none_or(|name| self.trunks().contains_key(name))
    }

    fn trunks(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Trunk>>> {
        self.trunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a connection in the place of an older one of the same name, which is closed.
    fn put(&self, name: &str, trunk: &Arc<Trunk>) {
        let older = self.trunks().insert(name.to_owned(), Arc::clone(trunk));
        if let Some(older) = older.filter(|older| older.number != trunk.number) {
            older.close();
        }
    }

    fn remove(&self, trunk: &Trunk) {
        self.trunks()
            .retain(|_, other| other.number != trunk.number);
    }

    fn open(&self, name: &str, ends: (Sap, Sap)) -> Result<Box<dyn Link>, LinkError> {
        let trunk = self.trunks().get(name).map(Arc::clone);
        let trunk = trunk.ok_or_else(|| LinkError::Io(std::io::ErrorKind::NotConnected.into()))?;
        Ok(Box::new(Trunk::way(trunk, ends)?))
    }
}

impl Trunk {
    /// Makes a connection with its number, and what is sent on it.
    fn new(number: u64, peer: String, payload_max: usize) -> (Arc<Self>, mpsc::Receiver<Message>) {
        let (outgoing, sending) = mpsc::channel(OUTGOING_MAX);
        let trunk = Self {
            number,
            peer,
            payload_max,
            outgoing,
            ways: Mutex::default(),
            waiting: AtomicUsize::new(0),
            closed: watch::Sender::new(false),
        };
        (Arc::new(trunk), sending)
    }

    fn ways(&self) -> MutexGuard<'_, Ways> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.closed.send_replace(true);
        self.ways().open.clear();
    }

    /// Opens a way for one association; an older one between the same ends is over.
    fn way(trunk: Arc<Self>, ends: (Sap, Sap)) -> Result<Way, LinkError> {
        let (sender, arriving) = mpsc::channel(INCOMING_MAX);
        let number = {
            let mut ways = trunk.ways();
            if *trunk.closed.borrow() {
                return Err(LinkError::Closed);
            }
            if ways.open.len() >= WAYS_MAX && !ways.open.contains_key(&ends) {
                return Err(LinkError::Unsupported(
                    "so many associations on one connection",
                ));
            }
            ways.last += 1;
            let number = ways.last;
            ways.open.insert(ends, (number, sender));
            number
        };
        Ok(Way {
            trunk,
            ends,
            number,
            arriving,
            held: VecDeque::new(),
            reserving: None,
        })
    }

    /// Hands a message that came to whom it is for; what nobody waits for is dropped.
    fn deliver(&self, message: Message) {
        let ends = (message.destination, message.source);
        let length = message.payload.len();
        let ways = self.ways();
        let Some((_, way)) = ways.open.get(&ends) else {
            return;
        };
        if self.waiting.load(Ordering::Relaxed).saturating_add(length) > INCOMING_OCTETS_MAX {
            tracing::debug!(peer = self.peer, "a message was dropped: too much waits");
            return;
        }
        self.waiting.fetch_add(length, Ordering::Relaxed);
        if way.try_send(message).is_err() {
            self.waiting.fetch_sub(length, Ordering::Relaxed);
        }
    }

    /// Carries messages until the connection ends or is to end.
    async fn carry(
        &self,
        mut link: Box<dyn Link>,
        mut outgoing: mpsc::Receiver<Message>,
        clock: &dyn LinkClock,
    ) -> Result<(), LinkError> {
        let mut closed = self.closed.subscribe();
        let mut asked = None;
        loop {
            let silent = async {
                match asked {
                    Some(at) => {
                        let passed = clock.now().since(at);
                        tokio::time::sleep(SILENCE.saturating_sub(passed)).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = closed.changed() => return Ok(()),
                () = silent => return Err(LinkError::Timeout { phase: "waiting for any answer", seconds: SILENCE.as_secs() }),
                message = outgoing.recv() => {
                    let Some(message) = message else { return Ok(()) };
                    asked = asked.or_else(|| Some(clock.now()));
                    link.send(message)?;
                    let flushed = tokio::time::timeout(FLUSH, link.flush()).await;
                    flushed.map_err(|_| LinkError::Timeout { phase: "sending", seconds: FLUSH.as_secs() })??;
                }
                message = link.receive() => {
                    asked = None;
                    self.deliver(message?);
                }
            }
        }
    }
}

type Reserving = Pin<Box<dyn Future<Output = Result<OwnedPermit<Message>, SendError<()>>> + Send>>;

/// The way of one association over a connection of many.
struct Way {
    trunk: Arc<Trunk>,
    ends: (Sap, Sap),
    number: u64,
    arriving: mpsc::Receiver<Message>,
    held: VecDeque<Message>,
    reserving: Option<Reserving>,
}

impl Drop for Way {
    fn drop(&mut self) {
        let mut ways = self.trunk.ways();
        if ways
            .open
            .get(&self.ends)
            .is_some_and(|(number, _)| *number == self.number)
        {
            ways.open.remove(&self.ends);
        }
        drop(ways);
        self.arriving.close();
        while let Ok(message) = self.arriving.try_recv() {
            self.trunk
                .waiting
                .fetch_sub(message.payload.len(), Ordering::Relaxed);
        }
    }
}

impl Link for Way {
    fn send(&mut self, message: Message) -> Result<(), LinkError> {
        if message.payload.len() > self.trunk.payload_max {
            return Err(LinkError::TooLong {
                length: message.payload.len(),
                max: self.trunk.payload_max,
            });
        }
        if self.held.len() >= HELD_MAX {
            return Err(LinkError::Full(message.class));
        }
        self.held.push_back(message);
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        while !self.held.is_empty() {
            let outgoing = &self.trunk.outgoing;
            let reserving = self
                .reserving
                .get_or_insert_with(|| Box::pin(outgoing.clone().reserve_owned()));
            let reserved = std::task::ready!(reserving.as_mut().poll(cx));
            self.reserving = None;
            let permit = reserved.map_err(|_| LinkError::Closed)?;
            if let Some(message) = self.held.pop_front() {
                permit.send(message);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, LinkError>> {
        if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
            return Poll::Ready(Err(error));
        }
        let message = std::task::ready!(self.arriving.poll_recv(cx));
        let message = message.ok_or(LinkError::Closed)?;
        self.trunk
            .waiting
            .fetch_sub(message.payload.len(), Ordering::Relaxed);
        Poll::Ready(Ok(message))
    }

    fn payload_max(&self) -> usize {
        self.trunk.payload_max
    }

    fn peer(&self) -> String {
        self.trunk.peer.clone()
    }
}

/// Opens links as another connector does, and over the connections that concentrators opened.
pub(crate) struct DialConnector {
    pub(crate) inner: Arc<dyn Connector>,
    pub(crate) dial_in: Arc<DialIn>,
}

impl Connector for DialConnector {
    fn connect<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        ends: (Sap, Sap),
        clock: &'a Arc<dyn LinkClock>,
        limit: Duration,
    ) -> Connecting<'a> {
        if let Endpoint::Tcp(at) = endpoint
            && let Some(name) = at.host.strip_prefix(HOST)
        {
            return Box::pin(async move { self.dial_in.open(name, ends) });
        }
        self.inner.connect(endpoint, ends, clock, limit)
    }

    fn paths<'a>(&'a self, endpoint: &'a Endpoint, limit: Duration) -> link::Telling<'a> {
        self.inner.paths(endpoint, limit)
    }
}

/// Listens for concentrators.
pub(crate) struct Porter {
    dial_in: Arc<DialIn>,
    access: Arc<dyn MeterAccess>,
    concentrators: Arc<Concentrators>,
    fleet: Arc<Fleet>,
    collector: CollectorHandle,
    leases: Leases,
    clock: Arc<dyn LinkClock>,
    strangers: Mutex<Strangers>,
    unproven: Arc<Semaphore>,
}

/// Who connected and proved nothing yet.
#[derive(Default)]
struct Strangers {
    last: u64,
    proving: BTreeMap<Option<IpAddr>, usize>,
}

/// Counts a connection among those that prove themselves.
struct Proving<'a> {
    porter: &'a Porter,
    address: Option<IpAddr>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Proving<'_> {
    fn drop(&mut self) {
        let mut strangers = self.porter.strangers();
        if let Some(proving) = strangers.proving.get_mut(&self.address) {
            *proving = proving.saturating_sub(1);
            if *proving == 0 {
                strangers.proving.remove(&self.address);
            }
        }
    }
}

impl Porter {
    /// Takes what it needs; nothing where the access takes no such connections.
    pub(crate) fn parts(
        access: &Arc<dyn MeterAccess>,
        concentrators: &Arc<Concentrators>,
        fleet: &Arc<Fleet>,
        collector: &CollectorHandle,
        leases: &Leases,
    ) -> Option<Self> {
        Some(Self {
            dial_in: access.dial_in()?,
            access: Arc::clone(access),
            concentrators: Arc::clone(concentrators),
            fleet: Arc::clone(fleet),
            collector: collector.clone(),
            leases: leases.clone(),
            clock: Arc::new(SystemClock::new()),
            strangers: Mutex::default(),
            unproven: Arc::new(Semaphore::new(UNPROVEN_MAX)),
        })
    }

    /// Begins to listen.
    ///
    /// # Errors
    /// Why it cannot.
    pub(crate) async fn bind(&self, config: &DialInConfig) -> Result<Vec<Listener>, LinkError> {
        let mut listeners = Vec::new();
        for url in &config.listen {
            let endpoint: Endpoint = url
                .parse()
                .map_err(|_| LinkError::Unsupported("this endpoint"))?;
            let limits = Limits {
                links_max: config.connections.saturating_add(UNPROVEN_MAX),
                ..Limits::default()
            };
            let clock = Arc::clone(&self.clock);
            listeners.push(Listener::bind(&endpoint, &[], limits, clock).await?);
        }
        Ok(listeners)
    }

    /// Takes connections until `stop` says so.
    pub(crate) async fn listen(
        self: Arc<Self>,
        mut listener: Listener,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut links = JoinSet::new();
        while !*stop.borrow() {
            tokio::select! {
                _ = stop.changed() => {}
                accepted = listener.accept() => {
                    let Some(accepted) = accepted else { return };
                    let address = address(&accepted.link.peer());
                    let Some(permit) = self.admit(address) else {
                        tracing::debug!(peer = accepted.link.peer(), "a connection too many");
                        continue;
                    };
                    let porter = Arc::clone(&self);
                    links.spawn(async move {
                        porter.serve(accepted.link, address, permit).await;
                        drop(accepted.permit);
                    });
                }
                Some(_) = links.join_next() => {}
            }
        }
        links.shutdown().await;
    }

    /// Lets a connection in that is to prove itself, where few others do.
    fn admit(&self, address: Option<IpAddr>) -> Option<OwnedSemaphorePermit> {
        let mut strangers = self.strangers();
        let proving = strangers.proving.get(&address).copied().unwrap_or(0);
        if proving >= UNPROVEN_OF_ONE_MAX {
            return None;
        }
        let permit = Arc::clone(&self.unproven).try_acquire_owned().ok()?;
        strangers.proving.insert(address, proving + 1);
        Some(permit)
    }

    fn strangers(&self) -> MutexGuard<'_, Strangers> {
        self.strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(
        &self,
        link: Box<dyn Link>,
        address: Option<IpAddr>,
        permit: OwnedSemaphorePermit,
    ) {
        let number = {
            let mut strangers = self.strangers();
            strangers.last += 1;
            strangers.last
        };
        let (trunk, sending) = Trunk::new(number, link.peer(), link.payload_max());
        let proving = Proving {
            porter: self,
            address,
            _permit: permit,
        };
        let proof = async {
            let proof = tokio::time::timeout(PROOF, self.prove(&trunk)).await;
            let proof = proof.unwrap_or(Err(AccessError::ended(Failure::NoAnswer)));
            self.proved(&trunk, &proof);
            match proof {
                // The connection goes on without this.
                Ok(_) => {
                    drop(proving);
                    std::future::pending().await
                }
                Err(error) => {
                    tokio::time::sleep(REFUSAL).await;
                    error
                }
            }
        };
        let ended = tokio::select! {
            ended = trunk.carry(link, sending, &*self.clock) => ended.err().map(|error| error.to_string()),
            error = proof => Some(error.to_string()),
        };
        tracing::info!(
            peer = trunk.peer,
            ended,
            "the connection of a concentrator has ended"
        );
        self.dial_in.remove(&trunk);
        trunk.close();
    }

    fn proved(&self, trunk: &Arc<Trunk>, proof: &Result<MeterTarget, AccessError>) {
        match proof {
            Ok(target) => {
                let name = target.enrolment.name.as_str();
                tracing::info!(peer = trunk.peer, name, "a concentrator is connected");
                self.dial_in.put(name, trunk);
                self.dial_in.arrivals.send_modify(|count| *count += 1);
            }
            Err(error) => {
                tracing::warn!(peer = trunk.peer, reason = ?error.reason, "a connection of no concentrator that is enrolled");
            }
        }
    }

    /// Has the other side prove which concentrator it is.
    async fn prove(&self, trunk: &Arc<Trunk>) -> Result<MeterTarget, AccessError> {
        let unproven = format!("#{}", trunk.number);
        self.dial_in.put(&unproven, trunk);
        let here = format!("{SCHEME}{unproven}");
        let proved = async {
            let name = self.access.name(&here).await?;
            let stranger = AccessError::ended(Failure::OtherMeter);
            let known = self.concentrators.iter().find(|known| {
                known.target.enrolment.name == name
                    && known.has_keys
                    && dials(&known.target.enrolment.endpoint) == Some(name.as_str())
            });
            let known = known.ok_or(stranger)?;
            let lease = self.leases.take(known.target.id).await;
            let mut target = known.target.clone();
            target.enrolment.endpoint.clone_from(&here);
            // With keys that only it has, over this very connection.
            let talk = self.access.open(&target).await?;
            talk.close().await?;
            drop(lease);
            Ok(known.target.clone())
        };
        let proved = proved.await;
        self.dial_in.trunks().remove(&unproven);
        let target = proved?;
        Ok(target)
    }

    /// Has meters collected whose concentrator is there again.
    pub(crate) async fn collect(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut arrivals = self.dial_in.arrivals();
        let mut before: BTreeMap<String, String> = BTreeMap::new();
        while !*stop.borrow() {
            let connected = self.dial_in.connected();
            let fresh = connected
                .iter()
                .filter(|(name, peer)| before.get(*name) != Some(peer));
            let endpoints: Vec<String> = fresh.map(|(name, _)| format!("{SCHEME}{name}")).collect();
            before = connected;
            let meters = self.fleet.with_meters(|meters| {
                let there = meters.values().filter(|meter| {
                    meter.state.failing.is_some()
                        && endpoints
                            .iter()
                            .any(|it| leads_to(&meter.meter.enrolment.endpoint, it))
                });
                there.map(|meter| meter.meter.id).collect::<Vec<_>>()
            });
            for meter in meters {
                self.collector.read_now(meter).await;
            }
            tokio::select! {
                _ = stop.changed() => {}
                arrived = arrivals.changed() => {
                    if arrived.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// Finds the address in what a link says of its peer: `tcp://192.0.2.7:50123`.
fn address(peer: &str) -> Option<IpAddr> {
    let (_, place) = peer.split_once("://")?;
    let place: std::net::SocketAddr = place.parse().ok()?;
    Some(place.ip())
}

#[cfg(test)]
mod tests {
    //! Evidence: robustness against what a connection may send; that concentrators are known by
    //! their keys is shown with processes.
    use model::MessageClass;

    use super::*;

    fn message(source: Sap, destination: Sap, length: usize) -> Message {
        Message {
            source,
            destination,
            class: MessageClass::Request,
            payload: vec![0; length],
        }
    }

    fn trunk(number: u64) -> (Arc<Trunk>, mpsc::Receiver<Message>) {
        Trunk::new(number, format!("tcp://192.0.2.7:{number}"), 65_535)
    }

    async fn next(way: &mut Way) -> Option<Message> {
        let none = Duration::from_millis(50);
        let arrived = tokio::time::timeout(none, way.receive()).await;
        arrived.ok()?.ok()
    }

    #[tokio::test]
    async fn what_nobody_takes_is_bounded_and_freed() {
        let (trunk, _sending) = trunk(1);
        let mut way = Trunk::way(Arc::clone(&trunk), (1, 0x100)).unwrap();
        for _ in 0..1_000 {
            trunk.deliver(message(0x100, 1, 60_000));
        }
        let waiting = trunk.waiting.load(Ordering::Relaxed);
        assert!((1..=INCOMING_OCTETS_MAX).contains(&waiting), "{waiting}");
        assert!(next(&mut way).await.is_some());
        assert_eq!(trunk.waiting.load(Ordering::Relaxed), waiting - 60_000);
        drop(way);
        assert_eq!(trunk.waiting.load(Ordering::Relaxed), 0);
        // What nobody waits for is not kept at all.
        trunk.deliver(message(0x100, 1, 60_000));
        assert_eq!(trunk.waiting.load(Ordering::Relaxed), 0);
        let ways = (0..WAYS_MAX).map(|sap| {
            let sap = Sap::try_from(sap).unwrap();
            Trunk::way(Arc::clone(&trunk), (1, sap)).unwrap()
        });
        let ways: Vec<Way> = ways.collect();
        assert!(Trunk::way(Arc::clone(&trunk), (1, 0x3000)).is_err());
        drop(ways);
        assert!(trunk.ways().open.is_empty());
    }

    #[tokio::test]
    async fn each_association_hears_its_own_ends_only() {
        let (trunk, mut sending) = trunk(1);
        let mut one = Trunk::way(Arc::clone(&trunk), (1, 0x100)).unwrap();
        let mut two = Trunk::way(Arc::clone(&trunk), (1, 0x101)).unwrap();
        trunk.deliver(message(0x101, 1, 2));
        trunk.deliver(message(0x100, 2, 3));
        assert!(next(&mut one).await.is_none());
        assert_eq!(next(&mut two).await.unwrap().payload.len(), 2);
        one.send(message(1, 0x100, 4)).unwrap();
        one.flush().await.unwrap();
        assert_eq!(sending.recv().await.unwrap().destination, 0x100);
        assert!(one.send(message(1, 0x100, 65_536)).is_err());
        // A later association between the same ends takes the place of the one before.
        let mut again = Trunk::way(Arc::clone(&trunk), (1, 0x100)).unwrap();
        assert!(one.receive().await.is_err());
        drop(one);
        trunk.deliver(message(0x100, 1, 5));
        assert_eq!(next(&mut again).await.unwrap().payload.len(), 5);
        trunk.close();
        assert!(again.receive().await.is_err());
    }

    #[tokio::test]
    async fn a_newer_connection_takes_the_place_of_an_older_one() {
        let dial_in = DialIn::default();
        let ((older, _one), (newer, _two)) = (trunk(1), trunk(2));
        let opens = |dial_in: &DialIn| dial_in.open("GWD1", (1, 1)).map(|link| link.peer());
        assert!(opens(&dial_in).is_err());
        assert!(dial_in.reaches("tcp://192.0.2.1:4059") && !dial_in.reaches("dial://GWD1"));
        dial_in.put("GWD1", &older);
        assert_eq!(opens(&dial_in).unwrap(), older.peer);
        dial_in.put("GWD1", &newer);
        assert!(*older.closed.borrow() && !*newer.closed.borrow());
        // The end of the older one is none of the newer one.
        dial_in.remove(&older);
        assert_eq!(opens(&dial_in).unwrap(), newer.peer);
        assert!(dial_in.reaches("dial://GWD1"));
        dial_in.remove(&newer);
        assert!(opens(&dial_in).is_err() && dial_in.connected().is_empty());
    }

    #[test]
    fn a_name_is_no_host() {
        let endpoint = endpoint_of("dial://GWD1DC0000000001").unwrap();
        assert!(matches!(endpoint, Endpoint::Tcp(at) if at.host == "dial:GWD1DC0000000001"));
        assert!(endpoint_of("tcp://dial:GWD1:4059").is_none());
        assert!(endpoint_of("no endpoint").is_none());
        let address = address("tcp://[2001:db8::7]:50123").unwrap();
        assert!(address.is_ipv6());
    }
}
