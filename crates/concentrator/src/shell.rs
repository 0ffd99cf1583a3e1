//! The concentrator on real links and in real time.
//!
//! One task owns the segments and turns the core; each connection of the WAN
//! has a task of its own; one thread writes to the disk. A connection is read
//! no further while too much of it waits, so that its sender is held back and
//! nothing piles up here.

mod partner;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use dlms::server::{
    AssociationState, Input as ServerInput, Output as ServerOutput, Server, Settings,
};
use link::{
    Clock, Endpoint, EndpointError, Entropy, KeyFile, KeyFileError, Limits, Link, LinkError,
    LinkExt as _, Listener, Message, Segment, SegmentEvent, connect,
};
use model::MessageClass;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::collector::log::Disk as Keeper;
use crate::collector::{Collector, Settings as Collecting, log, state};
use crate::config::{Config, ConfigError, WanConfig};
use crate::core::{Core, Input, Output};
use crate::device::{Device, DeviceError, MANAGEMENT_CLIENT, SharedCore};
use crate::direct::{Connection, RouterLimits, SegmentId};
use crate::metering::{Mains, Metering, Simulated, Thresholds};
use crate::pair::Log as Shared;
use crate::pair::shell::{self as line, Way};
use crate::pair::wire::Body;
use crate::sap::{OWN_SAP, Record};
use crate::status;
use crate::store::{Line, Log, StoreError, open_table};
use crate::substation::{Limits as BalanceLimits, Substation};
use partner::{HELD_ALL, HELD_NONE, Partner, partner_of};

/// Connections of the WAN that are open at once.
const CONNECTIONS_MAX: usize = 256;

/// Inputs that wait for the core; who has another waits.
const INPUTS_MAX: usize = 4_096;

/// Connections beyond those that may come in before one has to go.
const CONNECTIONS_SPARE: usize = 64;

/// How long a connection that came in may take to say something at all.
const FIRST: Duration = Duration::from_secs(60);

/// Messages that wait for one connection; more are dropped.
const OUTGOING_MAX: usize = 1_024;

/// How long a connection may take to swallow what is sent to it.
const FLUSH: Duration = Duration::from_secs(30);

/// The longest that a connection of the WAN may say nothing, whatever was
/// written: all that an inactivity time-out can hold.
const IDLE: Duration = Duration::from_secs(65_535);

/// How long connecting to a head end may take, and the wait before it is
/// tried again.
const CONNECTING: Duration = Duration::from_secs(15);

/// The waits between attempts to open a segment anew: the first, and the
/// longest to which it doubles.
const REOPEN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Opens a segment anew whose line was lost; tells why it cannot.
pub type Reopen = Box<dyn FnMut() -> Result<Box<dyn Segment>, String> + Send>;

/// What the shell works with.
#[derive(Clone)]
pub struct Surroundings {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The entropy.
    pub entropy: Arc<dyn Entropy>,
}

/// A concentrator that is ready to run.
pub struct Concentrator {
    core: SharedCore,
    segments: Vec<Port>,
    listeners: Vec<Listener>,
    dials: Vec<(Endpoint, WanConfig)>,
    device: Arc<Mutex<Device>>,
    changed: Arc<Notify>,
    log: Log,
    kept: log::Log,
    status: Option<tokio::net::TcpListener>,
    name: model::LogicalDeviceName,
    clock: Arc<dyn Clock>,
    credits: usize,
    pair: Option<(Partner, Way)>,
}

impl Concentrator {
    /// Opens the data folder, binds the listeners and takes the segments, in
    /// the order of the configuration.
    ///
    /// # Errors
    /// [`StartError`] says what cannot be used.
    pub async fn start(
        config: &Config,
        segments: Vec<Box<dyn Segment>>,
        surroundings: &Surroundings,
    ) -> Result<Self, StartError> {
        config.check()?;
        let limits = RouterLimits {
            patience: Duration::from_secs(u64::from(config.patience_s)),
            ..RouterLimits::default()
        };
        Self::with_limits(config, limits, segments, surroundings).await
    }

    /// As [`start`](Self::start), with other bounds of the router.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn with_limits(
        config: &Config,
        limits: RouterLimits,
        segments: Vec<Box<dyn Segment>>,
        surroundings: &Surroundings,
    ) -> Result<Self, StartError> {
        let name = config.own_name().ok_or(StartError::Name)?;
        make_folder(&config.data)?;
        let quarantine = u32::from(config.quarantine_days) * 86_400;
        let (table, log) = open_table(&config.data.join("sap.log"), quarantine)?;
        let keys = config.keys.as_deref().map(KeyFile::load).transpose()?;
        let answer = Duration::from_secs(u64::from(config.answer_s));
        let classes = config.classes().unwrap_or_default();
        let opened = log::open(&config.data.join("collector.log"), bounds(config))?;
        let collector = collector(config, &name, keys.as_ref(), opened.state, surroundings)?;
        let mut core = Core::new(table, limits, classes, answer).with_collector(collector);
        if opened.damaged > 0
            && let Some(collector) = core.collector_mut()
        {
            tracing::error!(octets = opened.damaged, "what was collected is damaged");
            collector.note(
                surroundings.clock.unix_seconds(),
                state::NoticeKind::Damaged,
                &dlms::axdr::Data::Long64Unsigned(opened.damaged),
            );
        }
        for (number, segment) in (0_u16..).zip(&segments) {
            core.add_segment(SegmentId(number), segment.window(), segment.payload_max());
            core.describe_segment(SegmentId(number), segment.medium());
        }
        let core = Arc::new(Mutex::new(core));
        let changed = Arc::new(Notify::new());
        let clock = Arc::clone(&surroundings.clock);
        let mut device = Device::open(
            &config.data,
            name.clone(),
            keys.as_ref(),
            Arc::clone(&core),
            Arc::clone(&changed),
            Arc::clone(&clock),
            Arc::clone(&surroundings.entropy),
        )?;
        let mut listeners = Vec::new();
        let mut dials: Vec<(Endpoint, WanConfig)> = Vec::new();
        for wan in &config.wan {
            if let Some(url) = &wan.listen {
                let links = Limits {
                    links_max: CONNECTIONS_MAX + CONNECTIONS_SPARE,
                    idle: IDLE,
                    ..Limits::default()
                };
                let listener =
                    Listener::bind(&url.parse()?, &[OWN_SAP], links, Arc::clone(&clock)).await?;
                listeners.push(listener);
            } else if let Some(url) = &wan.connect {
                dials.push((url.parse()?, wan.clone()));
            }
        }
        let dialled = dials.iter().find_map(|(endpoint, _)| endpoint.host_port());
        device.set_wan(
            listeners.first().map(|it| it.local().clone()),
            dialled.cloned(),
        );
        let pair = partner_of(config, &name, &core, &clock).await?;
        let status = match config.status {
            Some(address) => Some(tokio::net::TcpListener::bind(address).await?),
            None => None,
        };
        Ok(Self {
            core,
            segments: segments.into_iter().map(Port::of).collect(),
            listeners,
            dials,
            device: Arc::new(Mutex::new(device)),
            changed,
            log,
            kept: opened.log,
            status,
            name,
            clock,
            credits: limits.per_connection,
            pair,
        })
    }

    /// Takes the segments of one of a pair, in the order of the configuration: of each what
    /// opens it whenever it is this one's turn.
    #[must_use]
    pub fn with_shared(mut self, segments: Vec<Reopen>) -> Self {
        let ports = segments.into_iter().map(|reopen| Port {
            segment: None,
            reopen: Some(reopen),
            again: None,
        });
        self.segments.extend(ports);
        self
    }

    /// Tells where it listens for the other of its pair.
    #[must_use]
    pub fn pair_local(&self) -> Option<&Endpoint> {
        match self.pair.as_ref()? {
            (_, Way::Listen(listener)) => Some(listener.local()),
            (_, Way::Connect(_)) => None,
        }
    }

    /// Tells where it listens, with the ports that the system chose.
    pub fn local(&self) -> impl Iterator<Item = &Endpoint> {
        self.listeners.iter().map(Listener::local)
    }

    /// Has a segment opened anew where its line is lost, again and again with
    /// growing waits; segments count from 0.
    #[must_use]
    pub fn with_reopen(mut self, segment: usize, reopen: Reopen) -> Self {
        if let Some(port) = self.segments.get_mut(segment) {
            port.reopen = Some(reopen);
        }
        self
    }

    /// Tells where the status page is.
    #[must_use]
    pub fn status(&self) -> Option<std::net::SocketAddr> {
        self.status.as_ref()?.local_addr().ok()
    }

    /// Shows the core, for status pages and tests.
    #[must_use]
    pub fn core(&self) -> SharedCore {
        Arc::clone(&self.core)
    }

    /// Runs until `stop` says so.
    ///
    /// # Errors
    /// [`StoreError`] where the disk fails: nothing may be promised then.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> Result<(), StoreError> {
        let (inputs, mut arriving) = mpsc::channel(INPUTS_MAX);
        let (news, _) = watch::channel(0);
        let held = self
            .pair
            .as_ref()
            .map(|(partner, _)| Arc::clone(&partner.held));
        let wan = Arc::new(Wan {
            inputs,
            news,
            core: Arc::clone(&self.core),
            held,
            hang_up: watch::channel(0).0,
            device: self.device,
            clock: Arc::clone(&self.clock),
            connections: Mutex::default(),
            credits: self.credits,
        });
        let known: Weak<dyn status::Wan> =
            Arc::downgrade(&(Arc::clone(&wan) as Arc<dyn status::Wan>));
        wan.device
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .show_wan(known);
        let mut tasks = JoinSet::new();
        for listener in self.listeners {
            tasks.spawn(Arc::clone(&wan).listen(listener));
        }
        for (number, (endpoint, dial)) in self.dials.into_iter().enumerate() {
            tasks.spawn(Arc::clone(&wan).dial(endpoint, dial, number == 0));
        }
        if let Some(listener) = self.status {
            let page = status::Page::new(self.name, Arc::clone(&self.core));
            let mut page = page.with_wan(Arc::clone(&wan) as Arc<dyn status::Wan>);
            if let Some((partner, _)) = &self.pair {
                page = page.with_pair(Arc::clone(&partner.shown));
            }
            tasks.spawn(status::serve(listener, page, Arc::clone(&self.clock)));
        }
        let mut disk = Disk::start(self.log);
        let mut keeper = Keeper::start(self.kept);
        let (tell, mut words) = mpsc::channel(EVENTS_AT_ONCE);
        let partner = self.pair.map(|(partner, way)| {
            tasks.spawn(line::run(way, tell, Arc::clone(&self.clock)));
            partner
        });
        let mut driver = Driver {
            core: self.core,
            segments: self.segments,
            wan,
            clock: self.clock,
            partner,
        };
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        loop {
            // A segment that always has something to tell must not keep the
            // others' tasks from running.
            tokio::task::consume_budget().await;
            let wait = driver.turn(&disk, &keeper)?;
            let wait = driver.reopen(wait);
            let sleep = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            let told = tokio::select! {
                input = arriving.recv() => {
                    driver.take(input.into_iter());
                    let mut more = 0;
                    while more < EVENTS_AT_ONCE && let Ok(input) = arriving.try_recv() {
                        driver.take(std::iter::once(input));
                        more += 1;
                    }
                    false
                }
                () = driver.events(&mut events) => true,
                stored = disk.stored() => {
                    stored?;
                    driver.durable(Shared::Sap, 1);
                    false
                }
                kept = keeper.stored() => {
                    driver.durable(Shared::Kept, kept?);
                    driver.tidy(&keeper)?;
                    false
                }
                Some(event) = words.recv() => {
                    driver.heard(event);
                    let mut more = 0;
                    while more < EVENTS_AT_ONCE && let Ok(event) = words.try_recv() {
                        driver.heard(event);
                        more += 1;
                    }
                    false
                }
                () = self.changed.notified() => false,
                () = sleep => {
                    driver.take(std::iter::once(Input::Timeout));
                    false
                }
                changed = stop.changed() => {
                    if changed.is_err() || *stop.borrow() {
                        driver.leave(&mut words).await;
                        return Ok(());
                    }
                    false
                }
            };
            if told {
                driver.take(events.drain(..));
            }
        }
    }
}

/// Messages and events that are taken before the core is turned, and written
/// before a flush: no more than a link's line holds.
const EVENTS_AT_ONCE: usize = 128;

/// A segment, or the place of one that was lost.
struct Port {
    segment: Option<Box<dyn Segment>>,
    reopen: Option<Reopen>,
    /// When it is opened anew, and the wait after that.
    again: Option<(dlms::Instant, Duration)>,
}

impl Port {
    fn of(segment: Box<dyn Segment>) -> Self {
        Self {
            segment: Some(segment),
            reopen: None,
            again: None,
        }
    }
}

struct Driver {
    core: SharedCore,
    segments: Vec<Port>,
    wan: Arc<Wan>,
    clock: Arc<dyn Clock>,
    partner: Option<Partner>,
}

impl Driver {
    fn take(&self, inputs: impl Iterator<Item = Input>) {
        let (now, unix) = (self.clock.now(), self.clock.unix_seconds());
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        for input in inputs {
            core.handle(input, now, unix);
        }
    }

    /// Does what core and pair want; tells how long nothing more is wanted.
    fn turn(&mut self, disk: &Disk, keeper: &Keeper) -> Result<Option<Duration>, StoreError> {
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
    fn tidy(&self, keeper: &Keeper) -> Result<(), StoreError> {
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
    fn reopen(&mut self, mut wait: Option<Duration>) -> Option<Duration> {
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
                    Ok(segment) => {
                        tracing::info!(segment = number, "a segment is open again");
                        let id = SegmentId(u16::try_from(number).unwrap_or(u16::MAX));
                        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
                        if self.partner.is_some() {
                            core.add_segment(id, segment.window(), segment.payload_max());
                        }
                        core.describe_segment(id, segment.medium());
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
    async fn events(&mut self, events: &mut Vec<Input>) {
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

/// The WAN: its connections and what they share.
struct Wan {
    inputs: mpsc::Sender<Input>,
    /// The number of the newest notice.
    news: watch::Sender<u32>,
    core: SharedCore,
    /// Which segments are this one's, of a pair.
    held: Option<Arc<AtomicU8>>,
    /// Counts up when segments were handed to the other: connections end, so that whoever waits
    /// for an answer asks there.
    hang_up: watch::Sender<u32>,
    device: Arc<Mutex<Device>>,
    clock: Arc<dyn Clock>,
    connections: Mutex<Connections>,
    credits: usize,
}

#[derive(Default)]
struct Connections {
    last: u64,
    open: BTreeMap<Connection, Open>,
}

/// A connection that is open.
struct Open {
    outgoing: mpsc::Sender<Message>,
    credits: Arc<Semaphore>,
    /// The address that it came from; none: we made it ourselves.
    from: Option<String>,
    /// When something came over it, in microseconds of the clock; 0: never.
    heard: Arc<AtomicU64>,
    /// Says that it has to make room.
    go: Arc<Notify>,
    peer: status::Peer,
}

impl Connections {
    /// Lets one go where there are too many: of the address that has most of
    /// them, first what never said anything, then what was silent for longest.
    /// So nobody keeps others out by connecting often and being quiet.
    fn make_room(&self) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let came = || {
            self.open
                .iter()
                .filter_map(|(at, it)| Some((at, it, it.from.as_deref()?)))
        };
        for (_, _, from) in came() {
            *counts.entry(from).or_default() += 1;
        }
        if counts.values().sum::<usize>() <= CONNECTIONS_MAX {
            return;
        }
        let most = counts.values().copied().max();
        let crowded = came().filter(|(.., from)| counts.get(from).copied() == most);
        let silent = crowded.min_by_key(|(at, it, _)| (it.heard.load(Ordering::Relaxed), **at));
        if let Some((_, it, _)) = silent {
            it.go.notify_one();
        }
    }
}

impl Wan {
    fn connections(&self) -> std::sync::MutexGuard<'_, Connections> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn device(&self) -> std::sync::MutexGuard<'_, Device> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, connection: Connection, message: Message) {
        let connections = self.connections();
        if let Some(open) = connections.open.get(&connection)
            && open.outgoing.try_send(message).is_err()
        {
            tracing::debug!(?connection, "an answer was dropped: nobody takes it");
        }
    }

    fn credit(&self, connection: Connection) {
        if let Some(open) = self.connections().open.get(&connection) {
            open.credits.add_permits(1);
        }
    }

    async fn listen(self: Arc<Self>, mut listener: Listener) {
        let mut links = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Some(accepted) = accepted else { return };
                    let wan = Arc::clone(&self);
                    links.spawn(async move {
                        // Who came comes again, or sees himself why not.
                        drop(wan.serve(accepted.link, Side::Came).await);
                        drop(accepted.permit);
                    });
                }
                Some(_) = links.join_next() => {}
            }
        }
    }

    /// Connects to a head end: always, or in windows. Where another place was
    /// written, that one; and in turn the one that is configured, lest nobody
    /// is ever reached again.
    async fn dial(self: Arc<Self>, configured: Endpoint, dial: WanConfig, first: bool) {
        let mut failed = 0_u32;
        let mut trouble = Trouble::default();
        loop {
            let written = self.device().setup().destination.clone();
            let endpoint = match written.filter(|_| first && failed.is_multiple_of(2)) {
                Some(at) => configured.clone().with_host(&at.host).with_port(at.port),
                None => configured.clone(),
            };
            let stay = match window(self.clock.unix_seconds(), &dial) {
                Window::Always => None,
                Window::Open(stay) => Some(stay),
                Window::Closed(wait) => {
                    tokio::time::sleep(wait).await;
                    continue;
                }
            };
            match connect(&endpoint, (OWN_SAP, OWN_SAP), &self.clock, CONNECTING).await {
                Ok(link) => {
                    failed = 0;
                    let served = Arc::clone(&self).serve(link, Side::Made(stay)).await;
                    trouble.tell(&endpoint, served.as_ref().err());
                    if served.is_ok() && stay.is_some() {
                        // The window is over; the next one is waited for.
                        continue;
                    }
                }
                Err(error) => {
                    failed = failed.wrapping_add(1);
                    trouble.tell(&endpoint, Some(&error));
                }
            }
            tokio::time::sleep(CONNECTING).await;
        }
    }

    /// Serves one connection until it ends, or for as long as it may stay.
    async fn serve(self: Arc<Self>, link: Box<dyn Link>, side: Side) -> Result<(), LinkError> {
        let (outgoing, waiting) = mpsc::channel(OUTGOING_MAX);
        let peer = link.peer();
        let mut line = WanLine {
            link,
            waiting,
            credits: Arc::new(Semaphore::new(self.credits)),
            heard: Arc::default(),
            came: matches!(side, Side::Came),
        };
        let go = Arc::new(Notify::new());
        let connection = {
            let mut connections = self.connections();
            connections.last += 1;
            let connection = Connection(connections.last);
            let open = Open {
                outgoing,
                credits: Arc::clone(&line.credits),
                from: line.came.then(|| address(&peer)),
                heard: Arc::clone(&line.heard),
                go: Arc::clone(&go),
                peer: status::Peer {
                    peer: peer.clone(),
                    dialled: !line.came,
                    since: self.clock.unix_seconds(),
                },
            };
            connections.open.insert(connection, open);
            connections.make_room();
            connection
        };
        tracing::info!(%peer, "a head end is connected");
        let mut served = Ok(());
        if self.inputs.send(Input::Opened(connection)).await.is_ok() {
            let stay = async {
                match side {
                    Side::Made(Some(stay)) => tokio::time::sleep(stay).await,
                    Side::Made(None) | Side::Came => std::future::pending().await,
                }
            };
            served = tokio::select! {
                ended = self.carry(&mut line, connection) => ended,
                () = stay => Ok(()),
                () = go.notified() => Err(LinkError::Closed),
            };
            let ended = served.as_ref().err().map(reason);
            tracing::info!(%peer, ended, "a connection to a head end has ended");
        }
        self.connections().open.remove(&connection);
        // Where the core is gone there is nothing to tell.
        drop(self.inputs.send(Input::Closed(connection)).await);
        served
    }

    async fn carry(&self, line: &mut WanLine, connection: Connection) -> Result<(), LinkError> {
        let WanLine {
            link,
            waiting,
            credits,
            heard,
            came,
        } = line;
        let mut own = Server::new(Settings::default());
        let mut news = self.news.subscribe();
        let idle = self.device().setup().idle();
        let mut handed_over = self.hang_up.subscribe();
        let mut pushed = Pushed::default();
        loop {
            for push in self.push(&mut own, &mut pushed) {
                put(link, push).await?;
                flush(link).await?;
            }
            let again = async {
                match pushed.again {
                    Some(at) => {
                        let left = at.since(self.clock.now());
                        tokio::time::sleep(left.max(Duration::from_millis(1))).await;
                    }
                    None => std::future::pending().await,
                }
            };
            let arrived = tokio::select! {
                Ok(()) = news.changed() => continue,
                Ok(()) = handed_over.changed() => return Ok(()),
                () = again => continue,
                Some(message) = waiting.recv() => {
                    put(link, message).await?;
                    let mut more = 0;
                    while more < EVENTS_AT_ONCE && let Ok(message) = waiting.try_recv() {
                        put(link, message).await?;
                        more += 1;
                    }
                    flush(link).await?;
                    continue;
                }
                arrived = async {
                    let credit = credits.acquire().await.map_err(|_| LinkError::Closed)?;
                    let quiet = *came && heard.load(Ordering::Relaxed) == 0;
                    let wait = if quiet { idle.min(FIRST) } else { idle };
                    let message = tokio::time::timeout(wait, link.receive()).await;
                    let message = message.map_err(|_| LinkError::Closed)??;
                    Ok::<_, LinkError>((message, credit))
                } => arrived,
            };
            let (message, credit) = arrived?;
            heard.store(self.clock.now().as_micros().max(1), Ordering::Relaxed);
            if message.destination == OWN_SAP && message.payload.first() != Some(&GATEWAY_REQUEST) {
                drop(credit);
                for answer in self.answer(&mut own, &message) {
                    put(link, answer).await?;
                }
                flush(link).await?;
                continue;
            }
            if self.elsewhere(&message) {
                tracing::debug!(
                    sap = message.destination,
                    "a meter is the other concentrator's"
                );
                return Ok(());
            }
            // It comes back from the core once the message waits no longer.
            credit.forget();
            let input = Input::FromWan(connection, message);
            if self.inputs.send(input).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Tells whether the other of the pair is the one to ask: an end that is seen at once costs
    /// less than an answer that never comes.
    fn elsewhere(&self, message: &Message) -> bool {
        let Some(held) = &self.held else {
            return false;
        };
        match held.load(Ordering::Relaxed) {
            HELD_ALL => false,
            HELD_NONE => true,
            _ => {
                let named = message.destination != link::ALL_STATIONS
                    && message.payload.first() != Some(&GATEWAY_REQUEST);
                let core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
                named && !core.reaches(message.destination)
            }
        }
    }

    /// Pushes the oldest notice that nobody took to the management client,
    /// where its association is open on this connection: so nobody else is
    /// told what he did not ask for.
    fn push(&self, own: &mut Server, pushed: &mut Pushed) -> Vec<Message> {
        if own.state(MANAGEMENT_CLIENT) != AssociationState::Open {
            *pushed = Pushed::default();
            return Vec::new();
        }
        let now = self.clock.now();
        let mut device = self.device();
        let Some((number, apdu)) = device.push() else {
            pushed.again = None;
            return Vec::new();
        };
        let at_once = device.take_push_now();
        if pushed.number != number {
            *pushed = Pushed {
                number,
                again: Some(now + device.push_wait()),
                times: 0,
            };
        }
        let due = pushed.again.is_some_and(|at| at <= now);
        if !due && !at_once {
            return Vec::new();
        }
        pushed.times += 1;
        let setup = device.setup();
        let repetition = Duration::from_secs(u64::from(setup.repetition_s));
        // Once, and as often again as it is to be repeated.
        let more = pushed.times <= u32::from(setup.retries);
        pushed.again = more.then(|| now + repetition);
        let input = ServerInput::Notify {
            client: MANAGEMENT_CLIENT,
            apdu: &apdu,
        };
        own.handle(input, now, &mut *device);
        drop(device);
        transmitted(own)
    }

    /// Lets the own logical device answer.
    fn answer(&self, own: &mut Server, message: &Message) -> Vec<Message> {
        let mut device = self.device();
        let input = ServerInput::Apdu {
            client: message.source,
            broadcast: false,
            octets: &message.payload,
        };
        own.handle(input, self.clock.now(), &mut *device);
        drop(device);
        transmitted(own)
    }
}

impl status::Wan for Wan {
    fn peers(&self) -> Vec<status::Peer> {
        let connections = self.connections();
        connections
            .open
            .values()
            .map(|it| it.peer.clone())
            .collect()
    }
}

/// Who opened a connection.
enum Side {
    /// A head end.
    Came,
    /// This concentrator; and how long it stays, where there are windows.
    Made(Option<Duration>),
}

/// Why a head end was not reached, or hung up, the last time: told once, and
/// again when it is another reason.
#[derive(Default)]
struct Trouble(Option<String>);

impl Trouble {
    fn tell(&mut self, endpoint: &Endpoint, error: Option<&LinkError>) {
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        // A peer that hangs up is one that was reached.
        let now = match error {
            None | Some(LinkError::Closed) => None,
            Some(LinkError::Io(it))
                if [BrokenPipe, ConnectionReset, UnexpectedEof].contains(&it.kind()) =>
            {
                None
            }
            Some(error) => Some(reason(error)),
        };
        if let Some(reason) = now.as_deref().filter(|_| now != self.0) {
            // Without the files that the endpoint names.
            let at = endpoint.host_port().map(ToString::to_string);
            tracing::warn!(
                head_end = at,
                reason,
                "no connection to the head end: it is tried again and again"
            );
        }
        self.0 = now;
    }
}

/// An error with its cause.
fn reason(error: &LinkError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// One connection, as its task has it.
struct WanLine {
    link: Box<dyn Link>,
    waiting: mpsc::Receiver<Message>,
    credits: Arc<Semaphore>,
    heard: Arc<AtomicU64>,
    came: bool,
}

/// The address in what a link says of its peer, without its port.
fn address(peer: &str) -> String {
    let at = peer.split_once("://").map_or(peer, |(_, at)| at);
    at.rsplit_once(':').map_or(at, |(host, _)| host).to_owned()
}

/// The push whose confirmation is waited for.
#[derive(Default)]
struct Pushed {
    number: u32,
    again: Option<dlms::Instant>,
    /// How often it was sent.
    times: u32,
}

fn transmitted(own: &mut Server) -> Vec<Message> {
    let mut all = Vec::new();
    while let ServerOutput::Transmit { client, octets } = own.poll() {
        all.push(Message {
            source: OWN_SAP,
            destination: client,
            class: MessageClass::Request,
            payload: octets,
        });
    }
    all
}

fn bounds(config: &Config) -> state::Bounds {
    state::Bounds {
        age_s: i64::from(config.collect.keep_days) * 86_400,
        octets: usize::from(config.collect.keep_mib) << 20,
    }
}

fn collector(
    config: &Config,
    name: &model::LogicalDeviceName,
    keys: Option<&KeyFile>,
    kept: state::State,
    surroundings: &Surroundings,
) -> Result<Collector, StartError> {
    let collect = &config.collect;
    let given = collect.keys.as_deref().map(KeyFile::load).transpose()?;
    let given = given.unwrap_or_default();
    let others = |meter: &link::MeterKeys| {
        let only = meter.clients.iter().all(|it| it.sap == collect.client);
        !only || meter.master_key.is_some() || meter.broadcast_key.is_some()
    };
    if given.meters.iter().any(others) {
        return Err(StartError::TooMuch);
    }
    let own = keys.and_then(|keys| keys.find(name.as_str()));
    let title = own.map(|own| dlms::security::SystemTitle(own.system_title.0));
    if title.is_none() && !given.meters.is_empty() {
        return Err(StartError::NoTitle);
    }
    let same = |meter: &link::MeterKeys| title.is_some_and(|it| it.0 == meter.system_title.0);
    if given.meters.iter().any(same) {
        return Err(StartError::SameTitle);
    }
    let settings = Collecting {
        name: name.clone(),
        client: collect.client,
        title: title.unwrap_or(dlms::security::SystemTitle([0; 8])),
        profiles: collect.profiles().unwrap_or_default(),
        every_s: collect.every_s,
        at_once: usize::from(collect.at_once),
        backfill_days: collect.backfill_days,
        timeout: Duration::from_secs(u64::from(config.answer_s)),
        summary: Duration::from_secs(u64::from(collect.summary_s)),
        all: collect.all,
        listed: collect.meters().unwrap_or_default().into_iter().collect(),
    };
    let entropy = Arc::clone(&surroundings.entropy);
    let mut collector = Collector::new(settings, &given, kept, entropy);
    let sites: BTreeMap<_, _> = config.site.iter().filter_map(|it| it.parts()).collect();
    let mut metering = Vec::new();
    for (channel, one) in (1_u8..).zip(&config.metering) {
        let Ok(feeder) = one.feeder.parse() else {
            continue;
        };
        let source: Arc<dyn Mains> = Arc::new(Simulated { watts: one.watts });
        let thresholds = Thresholds {
            nominal_mv: u32::from(one.nominal_v) * 1_000,
            gone_mv: u32::from(one.nominal_v) * 200,
            band_percent: one.band_percent,
            current_ma: u32::from(one.current_a) * 1_000,
            ..Thresholds::default()
        };
        metering.push(Metering::new(
            feeder, channel, source, thresholds, INTERVAL_S,
        ));
    }
    if !sites.is_empty() {
        let limits = BalanceLimits {
            percent: config.balance.percent,
            least_wh: config.balance.least_wh,
            intervals: config.balance.intervals,
            ..BalanceLimits::default()
        };
        collector = collector.with_substation(Substation::new(sites, INTERVAL_S, limits));
    }
    Ok(collector.with_metering(metering))
}

/// Seconds of an interval of the own metering: a quarter of an hour.
const INTERVAL_S: u32 = 900;

/// Whether a connection to the head end is wanted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Window {
    /// Yes, as long as it holds.
    Always,
    /// Yes, for so long.
    Open(Duration),
    /// Not for so long.
    Closed(Duration),
}

/// Windows begin at multiples of `every_s` of the time of day, so that a
/// restart does not move them.
fn window(unix: i64, dial: &WanConfig) -> Window {
    let every = i64::from(dial.every_s);
    if every == 0 {
        return Window::Always;
    }
    let into = unix.rem_euclid(every);
    let stay = i64::from(dial.stay_s);
    let seconds = |count: i64| Duration::from_secs(u64::try_from(count).unwrap_or(1));
    if into < stay {
        Window::Open(seconds(stay - into))
    } else {
        Window::Closed(seconds(every - into))
    }
}

/// The first octet of a request with a gateway prefix, which is for the device
/// that it names.
const GATEWAY_REQUEST: u8 = 0xE6;

async fn put(link: &mut Box<dyn Link>, message: Message) -> Result<(), LinkError> {
    match link.send(message) {
        // A class whose line is full, with a flush behind every burst: the
        // burst was longer than the line.
        Err(LinkError::Full(_)) => flush(link).await,
        // One that does not fit is lost, the rest goes on.
        Err(LinkError::TooLong { .. }) => Ok(()),
        sent => sent,
    }
}

async fn flush(link: &mut Box<dyn Link>) -> Result<(), LinkError> {
    let flushed = tokio::time::timeout(FLUSH, link.flush()).await;
    flushed.unwrap_or(Err(LinkError::Timeout {
        phase: "sending",
        seconds: FLUSH.as_secs(),
    }))
}

/// The thread that writes the SAP table.
struct Disk {
    records: std::sync::mpsc::SyncSender<Record>,
    stored: mpsc::Receiver<Result<(), StoreError>>,
}

impl Disk {
    fn start(mut log: Log) -> Self {
        // As many as there can be meters waiting for a SAP.
        let (records, waiting) =
            std::sync::mpsc::sync_channel::<Record>(crate::sap::ENTRIES_MAX + 1);
        let (tell, stored) = mpsc::channel(64);
        std::thread::spawn(move || {
            while let Ok(record) = waiting.recv() {
                // What waits meanwhile is synced at once.
                let mut lines = vec![Line::Sap(record)];
                lines.extend(waiting.try_iter().take(255).map(Line::Sap));
                let written = log.append(&lines);
                let failed = written.is_err();
                if tell.blocking_send(written).is_err() || failed {
                    return;
                }
                for _ in 1..lines.len() {
                    if tell.blocking_send(Ok(())).is_err() {
                        return;
                    }
                }
            }
        });
        Self { records, stored }
    }

    fn store(&self, record: Record) -> Result<(), StoreError> {
        self.records
            .try_send(record)
            .map_err(|_| StoreError::Io(std::io::Error::other("the disk takes no more")))
    }

    async fn stored(&mut self) -> Result<(), StoreError> {
        match self.stored.recv().await {
            Some(stored) => stored,
            None => std::future::pending().await,
        }
    }
}

fn make_folder(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(path)?;
    Ok(())
}

/// Why a concentrator does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The own name.
    #[error("concentrator.name is no logical device name")]
    Name,
    /// The data folder.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The key file.
    #[error("{0}")]
    Keys(#[from] KeyFileError),
    /// The own logical device.
    #[error("{0}")]
    Device(#[from] DeviceError),
    /// The key file of the collector opens more than its client.
    #[error(
        "concentrator.collect.keys holds keys of other clients: make it with gridward keys collector"
    )]
    TooMuch,
    /// There is no system title to collect with.
    #[error("concentrator.collect.keys needs concentrator.keys, whose entry has the system title")]
    NoTitle,
    /// The own system title is a meter's: both would use the same nonces.
    #[error(
        "the system title of concentrator.keys is that of a meter: make another with gridward keys generate --first"
    )]
    SameTitle,
    /// The address of the status page.
    #[error("the status page cannot be served: {0}")]
    Status(#[from] std::io::Error),
    /// An endpoint.
    #[error("{0}")]
    Endpoint(#[from] EndpointError),
    /// A listener.
    #[error("{0}")]
    Link(#[from] LinkError),
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;

    fn open(from: Option<&str>, heard: u64) -> Open {
        Open {
            outgoing: mpsc::channel(1).0,
            credits: Arc::new(Semaphore::new(1)),
            from: from.map(str::to_owned),
            heard: Arc::new(AtomicU64::new(heard)),
            go: Arc::new(Notify::new()),
            peer: status::Peer {
                peer: String::new(),
                dialled: false,
                since: 0,
            },
        }
    }

    /// Whether a connection was told to go.
    async fn goes(connections: &Connections, number: u64) -> bool {
        let go = &connections.open[&Connection(number)].go;
        tokio::time::timeout(Duration::ZERO, go.notified())
            .await
            .is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_most_and_says_nothing_makes_room() {
        let mut connections = Connections::default();
        connections.open.insert(Connection(1), open(None, 0));
        connections
            .open
            .insert(Connection(2), open(Some("192.0.2.1"), 5));
        for number in 3..=u64::try_from(CONNECTIONS_MAX).unwrap() + 1 {
            let heard = if number == 9 { 0 } else { number };
            let it = open(Some("192.0.2.66"), heard);
            connections.open.insert(Connection(number), it);
        }
        // So many are well.
        connections.make_room();
        assert!(!goes(&connections, 9).await);
        let last = u64::try_from(CONNECTIONS_MAX).unwrap() + 2;
        connections
            .open
            .insert(Connection(last), open(Some("192.0.2.2"), 1));
        connections.make_room();
        for number in 1..=last {
            assert_eq!(goes(&connections, number).await, number == 9, "{number}");
        }
        // Without that one, who was silent for longest.
        connections.open.remove(&Connection(9));
        connections
            .open
            .insert(Connection(last + 1), open(Some("192.0.2.66"), last));
        connections.make_room();
        for number in connections.open.keys().copied().collect::<Vec<_>>() {
            assert_eq!(goes(&connections, number.0).await, number.0 == 3);
        }
    }

    #[test]
    fn a_peer_is_known_by_its_address() {
        assert_eq!(address("tcp://192.0.2.1:4059"), "192.0.2.1");
        assert_eq!(address("tls://[2001:db8::1]:4059"), "[2001:db8::1]");
        assert_eq!(address("somebody"), "somebody");
    }

    #[test]
    fn windows_are_those_of_the_time_of_day() {
        let dial = |every_s, stay_s| WanConfig {
            every_s,
            stay_s,
            ..WanConfig::default()
        };
        assert_eq!(window(77, &dial(0, 0)), Window::Always);
        let hourly = dial(3_600, 600);
        let seconds = Duration::from_secs;
        assert_eq!(window(7_200, &hourly), Window::Open(seconds(600)));
        assert_eq!(window(7_799, &hourly), Window::Open(seconds(1)));
        assert_eq!(window(7_800, &hourly), Window::Closed(seconds(3_000)));
        assert_eq!(window(-1, &hourly), Window::Closed(seconds(1)));
        assert_eq!(window(5, &dial(10, 10)), Window::Open(seconds(5)));
    }
}
