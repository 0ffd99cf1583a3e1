//! The concentrator on real links and in real time.
//!
//! One task owns the segments and turns the core; each connection of the WAN
//! has a task of its own; one thread writes to the disk. A connection is read
//! no further while too much of it waits, so that its sender is held back and
//! nothing piles up here.

mod driver;
mod partner;
mod setup;
mod wan;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use link::{
    Clock, Endpoint, EndpointError, Entropy, KeyFile, KeyFileError, Limits, LinkError, Listener,
    Segment,
};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use crate::collector::log::Disk as Keeper;
use crate::collector::{log, state};
use crate::config::{Config, ConfigError, WanConfig};
use crate::core::{Core, Input};
use crate::device::{Device, DeviceError, SharedCore};
use crate::direct::{RouterLimits, SegmentId};
use crate::metering::Mains;
use crate::pair::Log as Shared;
use crate::pair::shell::{self as line, Way};
use crate::sap::{OWN_SAP, Record};
use crate::status;
use crate::store::{Line, Log, StoreError, open_table};
use crate::ways::Ways;
use driver::{Driver, Port};
use partner::{Partner, partner_of};
use setup::{bounds, collector};
use wan::{Arrives, Wan};

/// Connections of the WAN that are open at once.
const CONNECTIONS_MAX: usize = 256;

/// Inputs that wait for the core; who has another waits.
const INPUTS_MAX: usize = 4_096;

/// Connections beyond those that may come in before one has to go.
const CONNECTIONS_SPARE: usize = 64;

/// The longest that a connection of the WAN may say nothing, whatever was
/// written: all that an inactivity time-out can hold.
const IDLE: Duration = Duration::from_secs(65_535);

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
    listeners: Vec<(Listener, Arrives)>,
    dials: Vec<(Endpoint, WanConfig, Arrives)>,
    ways: Ways,
    device: Arc<Mutex<Device>>,
    changed: Arc<Notify>,
    log: Log,
    kept: log::Log,
    status: Option<tokio::net::TcpListener>,
    name: model::LogicalDeviceName,
    clock: Arc<dyn Clock>,
    limits: RouterLimits,
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
        let now = surroundings.clock.now();
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
            core.rate_segment(SegmentId(number), segment.bit_rate());
            if segment.is_one_wire() {
                core.share_segment(SegmentId(number), now);
            }
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
        device.set_place(&config.place);
        let mut listeners = Vec::new();
        let mut dials: Vec<(Endpoint, WanConfig, Arrives)> = Vec::new();
        let mut ways = Ways::default();
        for (way, wan) in config.wan.iter().enumerate() {
            let class = wan.class();
            let arrives = Arrives { way, class };
            if let Some(url) = &wan.listen {
                let links = Limits {
                    links_max: CONNECTIONS_MAX + CONNECTIONS_SPARE,
                    idle: IDLE,
                    ..Limits::default()
                };
                let listener =
                    Listener::bind(&url.parse()?, &[OWN_SAP], links, Arc::clone(&clock)).await?;
                ways.add(wan, place(listener.local()));
                listeners.push((listener, arrives));
            } else if let Some(url) = &wan.connect {
                let endpoint: Endpoint = url.parse()?;
                ways.add(wan, place(&endpoint));
                dials.push((endpoint, wan.clone(), arrives));
            }
        }
        let dialled = dials.iter().find_map(|(endpoint, ..)| endpoint.host_port());
        device.set_wan(
            listeners.first().map(|(it, _)| it.local().clone()),
            dialled.cloned(),
        );
        let pair = partner_of(config, &name, &core, &clock).await?;
        if let Some((partner, _)) = &pair {
            device.show_pair(Arc::clone(&partner.shown));
        }
        let status = match config.status {
            Some(address) => Some(tokio::net::TcpListener::bind(address).await?),
            None => None,
        };
        Ok(Self {
            core,
            segments: segments.into_iter().map(Port::of).collect(),
            listeners,
            dials,
            ways,
            device: Arc::new(Mutex::new(device)),
            changed,
            log,
            kept: opened.log,
            status,
            name,
            clock,
            limits,
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
        self.listeners.iter().map(|(listener, _)| listener.local())
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

    /// Has a feeder of the own metering, counted from 0, measured by `source`: how a street is
    /// simulated is known outside.
    #[must_use]
    pub fn with_mains(self, feeder: usize, source: Arc<dyn Mains>) -> Self {
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(collector) = core.collector_mut() {
            collector.set_mains(feeder, source);
        }
        drop(core);
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
            ways: Mutex::new(self.ways),
            limits: self.limits,
        });
        let known: Weak<dyn status::Wan> =
            Arc::downgrade(&(Arc::clone(&wan) as Arc<dyn status::Wan>));
        wan.device
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .show_wan(known);
        let mut tasks = JoinSet::new();
        for (listener, arrives) in self.listeners {
            tasks.spawn(Arc::clone(&wan).listen(listener, arrives));
        }
        for (number, (endpoint, dial, arrives)) in self.dials.into_iter().enumerate() {
            let first = number == 0;
            tasks.spawn(Arc::clone(&wan).dial(endpoint, dial, arrives, first));
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

/// Where an endpoint is, without the files that it names.
fn place(endpoint: &Endpoint) -> String {
    let place = endpoint.host_port();
    place.map(ToString::to_string).unwrap_or_default()
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
