//! The concentrator on real links and in real time.
//!
//! One task owns the segments and turns the core; each connection of the WAN
//! has a task of its own; one thread writes to the disk. A connection is read
//! no further while too much of it waits, so that its sender is held back and
//! nothing piles up here.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use dlms::server::{Input as ServerInput, Output as ServerOutput, Server, Settings};
use link::{
    Clock, Endpoint, EndpointError, Entropy, KeyFile, KeyFileError, Limits, Link, LinkError,
    LinkExt as _, Listener, Message, Segment, SegmentEvent, SharedDevice, connect,
};
use model::MessageClass;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::config::{Config, ConfigError, WanConfig};
use crate::core::{Core, Input, Output};
use crate::device::{Device, DeviceError, SharedCore};
use crate::direct::{Connection, RouterLimits, SegmentId};
use crate::sap::{OWN_SAP, Record};
use crate::store::{Line, Log, StoreError, open_table};

/// Connections of the WAN that are open at once.
const CONNECTIONS_MAX: usize = 256;

/// Inputs that wait for the core; who has another waits.
const INPUTS_MAX: usize = 4_096;

/// Messages that wait for one connection; more are dropped.
const OUTGOING_MAX: usize = 1_024;

/// How long a connection may take to swallow what is sent to it.
const FLUSH: Duration = Duration::from_secs(30);

/// How long a connection of the WAN may say nothing.
const IDLE: Duration = Duration::from_secs(3_600);

/// How long connecting to a head end may take, and the wait before it is
/// tried again.
const CONNECTING: Duration = Duration::from_secs(15);

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
    segments: Vec<Option<Box<dyn Segment>>>,
    listeners: Vec<Listener>,
    dials: Vec<(Endpoint, WanConfig)>,
    device: SharedDevice,
    changed: Arc<Notify>,
    log: Log,
    clock: Arc<dyn Clock>,
    credits: usize,
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
        let mut core = Core::new(table, limits, classes, answer);
        for (number, segment) in (0_u16..).zip(&segments) {
            core.add_segment(SegmentId(number), segment.window(), segment.payload_max());
        }
        let core = Arc::new(Mutex::new(core));
        let changed = Arc::new(Notify::new());
        let clock = Arc::clone(&surroundings.clock);
        let device = Device::open(
            &config.data,
            name,
            keys.as_ref(),
            Arc::clone(&core),
            Arc::clone(&changed),
            Arc::clone(&clock),
            Arc::clone(&surroundings.entropy),
        )?;
        let mut listeners = Vec::new();
        let mut dials = Vec::new();
        for wan in &config.wan {
            if let Some(url) = &wan.listen {
                let links = Limits {
                    links_max: CONNECTIONS_MAX,
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
        Ok(Self {
            core,
            segments: segments.into_iter().map(Some).collect(),
            listeners,
            dials,
            device: Arc::new(Mutex::new(device)),
            changed,
            log,
            clock,
            credits: limits.per_connection,
        })
    }

    /// Tells where it listens, with the ports that the system chose.
    pub fn local(&self) -> impl Iterator<Item = &Endpoint> {
        self.listeners.iter().map(Listener::local)
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
        let wan = Arc::new(Wan {
            inputs,
            device: self.device,
            clock: Arc::clone(&self.clock),
            connections: Mutex::default(),
            credits: self.credits,
        });
        let mut tasks = JoinSet::new();
        for listener in self.listeners {
            tasks.spawn(Arc::clone(&wan).listen(listener));
        }
        for (endpoint, dial) in self.dials {
            tasks.spawn(Arc::clone(&wan).dial(endpoint, dial));
        }
        let mut disk = Disk::start(self.log);
        let mut driver = Driver {
            core: self.core,
            segments: self.segments,
            wan,
            clock: self.clock,
        };
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        loop {
            let wait = driver.turn(&disk)?;
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
                    driver.take(std::iter::once(Input::Stored));
                    false
                }
                () = self.changed.notified() => false,
                () = sleep => {
                    driver.take(std::iter::once(Input::Timeout));
                    false
                }
                changed = stop.changed() => {
                    if changed.is_err() || *stop.borrow() {
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

struct Driver {
    core: SharedCore,
    segments: Vec<Option<Box<dyn Segment>>>,
    wan: Arc<Wan>,
    clock: Arc<dyn Clock>,
}

impl Driver {
    fn take(&self, inputs: impl Iterator<Item = Input>) {
        let (now, unix) = (self.clock.now(), self.clock.unix_seconds());
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        for input in inputs {
            core.handle(input, now, unix);
        }
    }

    /// Does what the core wants; tells how long nothing more is wanted.
    fn turn(&mut self, disk: &Disk) -> Result<Option<Duration>, StoreError> {
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
                        Some(Some(it)) => it.send(node, message),
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
                Output::Store(record) => disk.store(record)?,
                Output::Wait(at) => {
                    let least = Duration::from_millis(1);
                    return Ok(at.map(|at| at.since(now).max(least)));
                }
            }
        }
    }

    /// Waits until a segment has something to tell.
    async fn events(&mut self, events: &mut Vec<Input>) {
        poll_fn(|cx| {
            for (number, place) in (0_u16..).zip(&mut self.segments) {
                while let Some(segment) = place
                    && events.len() < EVENTS_AT_ONCE
                {
                    match segment.poll_event(cx) {
                        Poll::Ready(Ok(event)) => {
                            events.push(Input::FromSegment(SegmentId(number), event));
                        }
                        Poll::Ready(Err(error)) => {
                            tracing::error!(segment = number, %error, "a segment has ended");
                            *place = None;
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
    device: SharedDevice,
    clock: Arc<dyn Clock>,
    connections: Mutex<Connections>,
    credits: usize,
}

#[derive(Default)]
struct Connections {
    last: u64,
    open: BTreeMap<Connection, (mpsc::Sender<Message>, Arc<Semaphore>)>,
}

impl Wan {
    fn connections(&self) -> std::sync::MutexGuard<'_, Connections> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, connection: Connection, message: Message) {
        let connections = self.connections();
        if let Some((outgoing, _)) = connections.open.get(&connection)
            && outgoing.try_send(message).is_err()
        {
            tracing::debug!(?connection, "an answer was dropped: nobody takes it");
        }
    }

    fn credit(&self, connection: Connection) {
        if let Some((_, credits)) = self.connections().open.get(&connection) {
            credits.add_permits(1);
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
                        wan.serve(accepted.link, None).await;
                        drop(accepted.permit);
                    });
                }
                Some(_) = links.join_next() => {}
            }
        }
    }

    /// Connects to a head end: always, or in windows.
    async fn dial(self: Arc<Self>, endpoint: Endpoint, dial: WanConfig) {
        loop {
            let stay = match window(self.clock.unix_seconds(), &dial) {
                Window::Always => None,
                Window::Open(stay) => Some(stay),
                Window::Closed(wait) => {
                    tokio::time::sleep(wait).await;
                    continue;
                }
            };
            match connect(&endpoint, (OWN_SAP, OWN_SAP), &self.clock, CONNECTING).await {
                Ok(link) => Arc::clone(&self).serve(link, stay).await,
                Err(error) => tracing::info!(%endpoint, %error, "the head end cannot be reached"),
            }
            tokio::time::sleep(CONNECTING).await;
        }
    }

    /// Serves one connection until it ends, or for as long as it may stay.
    async fn serve(self: Arc<Self>, link: Box<dyn Link>, stay: Option<Duration>) {
        let (outgoing, mut waiting) = mpsc::channel(OUTGOING_MAX);
        let credits = Arc::new(Semaphore::new(self.credits));
        let connection = {
            let mut connections = self.connections();
            connections.last += 1;
            let connection = Connection(connections.last);
            connections
                .open
                .insert(connection, (outgoing, Arc::clone(&credits)));
            connection
        };
        let peer = link.peer();
        tracing::info!(%peer, "a head end is connected");
        if self.inputs.send(Input::Opened(connection)).await.is_ok() {
            let carried = self.carry(link, connection, &credits, &mut waiting);
            let ended = match stay {
                Some(stay) => tokio::time::timeout(stay, carried).await.unwrap_or(Ok(())),
                None => carried.await,
            };
            let ended = ended.err().map(|error| error.to_string());
            tracing::info!(%peer, ended, "a connection to a head end has ended");
        }
        self.connections().open.remove(&connection);
        // Where the core is gone there is nothing to tell.
        drop(self.inputs.send(Input::Closed(connection)).await);
    }

    async fn carry(
        &self,
        mut link: Box<dyn Link>,
        connection: Connection,
        credits: &Semaphore,
        waiting: &mut mpsc::Receiver<Message>,
    ) -> Result<(), LinkError> {
        let mut own = Server::new(Settings::default());
        loop {
            let arrived = tokio::select! {
                Some(message) = waiting.recv() => {
                    put(&mut link, message).await?;
                    let mut more = 0;
                    while more < EVENTS_AT_ONCE && let Ok(message) = waiting.try_recv() {
                        put(&mut link, message).await?;
                        more += 1;
                    }
                    flush(&mut link).await?;
                    continue;
                }
                arrived = async {
                    let credit = credits.acquire().await.map_err(|_| LinkError::Closed)?;
                    let message = tokio::time::timeout(IDLE, link.receive()).await;
                    let message = message.map_err(|_| LinkError::Closed)??;
                    Ok::<_, LinkError>((message, credit))
                } => arrived,
            };
            let (message, credit) = arrived?;
            if message.destination == OWN_SAP && message.payload.first() != Some(&GATEWAY_REQUEST) {
                drop(credit);
                for answer in self.answer(&mut own, &message) {
                    put(&mut link, answer).await?;
                }
                flush(&mut link).await?;
                continue;
            }
            // It comes back from the core once the message waits no longer.
            credit.forget();
            let input = Input::FromWan(connection, message);
            if self.inputs.send(input).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Lets the own logical device answer.
    fn answer(&self, own: &mut Server, message: &Message) -> Vec<Message> {
        let mut device = self.device.lock().unwrap_or_else(PoisonError::into_inner);
        let input = ServerInput::Apdu {
            client: message.source,
            broadcast: false,
            octets: &message.payload,
        };
        own.handle(input, self.clock.now(), &mut *device);
        let mut answers = Vec::new();
        while let ServerOutput::Transmit { client, octets } = own.poll() {
            answers.push(Message {
                source: OWN_SAP,
                destination: client,
                class: MessageClass::Request,
                payload: octets,
            });
        }
        answers
    }
}

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
