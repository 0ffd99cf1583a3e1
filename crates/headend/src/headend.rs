//! Puts the head end together, and takes it apart again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use link::{KeyFile, KeyFileError, SystemEntropy};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::api::{App, AppParts, ServeError, Tokens, limits, router};
use crate::campaigns::{self, Campaigns, Images};
use crate::clock::Clock;
use crate::collector::{Collector, CollectorHandle, Leases, MeterAccess};
use crate::concentrators::delivery::Deliverer;
use crate::concentrators::{AT_ONCE, Board, Concentrators, Follower, Watcher};
use crate::config::{Config, ConfigError, DialInConfig};
use crate::dial_in::Porter;
use crate::drills::{DrillParts, Drills};
use crate::fences::{FenceParts, Fences};
use crate::fleet::Fleet;
use crate::hub::Hub;
use crate::keys::{KeyError, KeyService, LocalKeys};
use crate::live::Live;
use crate::orders::{OrderParts, Orders};
use crate::outlets::{OutletParts, OutletStartError, Outlets};
use crate::registry::{self, Format, RegistryError};
use crate::store::{Enrolled, SqliteOptions, SqliteStore, Store, StoreError};

/// A running head end.
#[derive(Debug)]
pub struct HeadEnd {
    address: SocketAddr,
    dial_in: Vec<String>,
    store: Arc<dyn Store>,
    keys: Arc<dyn KeyService>,
    fleet: Arc<Fleet>,
    clock: Arc<dyn Clock>,
    collector: CollectorHandle,
    outlets: Option<Arc<Outlets>>,
    orders: Arc<Orders>,
    drills: Arc<Drills>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// What a head end is started with.
#[derive(Debug)]
pub struct Options<A> {
    /// Holds the configuration.
    pub config: Config,
    /// Names the data folder.
    pub data: PathBuf,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes the access to meters out of what it needs.
    pub access: A,
}

impl HeadEnd {
    /// Opens the store, enrols what the configuration names, listens, and starts to collect.
    /// Returns the operator's token with the first start: it is not kept and cannot be told again.
    ///
    /// # Errors
    /// [`StartError`] says what to do.
    pub async fn start<A>(
        options: Options<A>,
    ) -> Result<(Self, Option<Zeroizing<String>>), StartError>
    where
        A: FnOnce(Arc<dyn Store>, Arc<dyn KeyService>) -> Arc<dyn MeterAccess>,
    {
        let Options {
            config,
            data,
            clock,
            access,
        } = options;
        let calendar = config.check()?;
        let folder = SqliteOptions::new(&data, calendar);
        let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&folder));
        let store: Arc<dyn Store> = Arc::new(opened.await.map_err(|_| StoreError::Closed)??);
        let master = config
            .master_key
            .clone()
            .unwrap_or_else(|| data.join("master.key"));
        let keys: Arc<dyn KeyService> = Arc::new(LocalKeys::open(&master, Arc::clone(&store))?);
        let (tokens, token) = Tokens::open(&data)?;
        if let Some(enrolment) = &config.enrolment {
            let now = clock.now();
            enrol_files(&*store, &*keys, enrolment, config.keys.as_deref(), now).await?;
        }
        enrol_concentrators(&*store, &*keys, &config, clock.now()).await?;
        let now = clock.now();
        let hub = Arc::new(Hub::new(now.millis().unsigned_abs()));
        let loading = (Arc::clone(&store), config.clone());
        let fleet = tokio::task::spawn_blocking(move || {
            let (store, config) = loading;
            let concentrators = Concentrators::load(&*store, &config.concentrator)?;
            Ok::<_, StoreError>((Fleet::load(&*store, &config, hub, now)?, concentrators))
        });
        let (fleet, concentrators) = fleet.await.map_err(|_| StoreError::Closed)??;
        let (fleet, concentrators) = (Arc::new(fleet), Arc::new(concentrators));
        let access = access(Arc::clone(&store), Arc::clone(&keys));
        access.keep_to(fleet.lines());
        let leases = Leases::default();
        let (stop, stopped) = watch::channel(false);
        let (collector, handle) = Collector::new(
            Arc::clone(&store),
            Arc::clone(&access),
            Arc::clone(&fleet),
            Arc::clone(&clock),
            leases.clone(),
            Arc::new(SystemEntropy),
            config.collector.clone(),
        );
        let follower = Arc::new(Follower {
            access: Arc::clone(&access),
            store: Arc::clone(&store),
            fleet: Arc::clone(&fleet),
            collector: handle.clone(),
            clock: Arc::clone(&clock),
            timeout: Duration::from_secs(u64::from(config.collector.timeout_s)),
        });
        let followed: Vec<_> = config
            .concentrator
            .iter()
            .map(|it| tokio::spawn(Arc::clone(&follower).follow(it.clone(), stopped.clone())))
            .collect();
        let board = Arc::new(Board::new(&concentrators));
        let deliverer = Arc::new(Deliverer {
            access: Arc::clone(&access),
            store: Arc::clone(&store),
            fleet: Arc::clone(&fleet),
            board: Arc::clone(&board),
            clock: Arc::clone(&clock),
            leases: leases.clone(),
            timeout: Duration::from_secs(u64::from(config.collector.timeout_s)),
            retry: (
                Duration::from_secs(u64::from(config.collector.retry_first_s)),
                Duration::from_secs(u64::from(config.collector.retry_longest_s)),
            ),
        });
        let delivering = concentrators
            .iter()
            .filter(|it| it.has_keys && it.config.collect_s > 0)
            .map(|it| tokio::spawn(Arc::clone(&deliverer).run(it.clone(), stopped.clone())));
        let delivering: Vec<_> = delivering.collect();
        let (dial_in, taking) = dial_in(
            &config.dial_in,
            Porter::parts(&access, &concentrators, &fleet, &handle, &leases),
            &stopped,
        )
        .await?;
        let maker = match &config.maker_key {
            Some(path) => Some(link::load_maker_key(path)?),
            None => None,
        };
        let shelf = (data.join(IMAGES), maker);
        let images = tokio::task::spawn_blocking(move || {
            Images::open(&shelf.0, shelf.1).map_err(|source| StartError::File {
                path: shelf.0.display().to_string(),
                source,
            })
        });
        let images = Arc::new(images.await.map_err(|_| StoreError::Closed)??);
        let campaigns = Campaigns::open(
            campaigns::Parts {
                store: Arc::new(campaigns::InStore(Arc::clone(&store))),
                access: Arc::clone(&access),
                targets: Arc::clone(&fleet) as Arc<dyn campaigns::Targets>,
                clock: Arc::clone(&clock),
                leases: leases.clone(),
            },
            stopped.clone(),
        )?;
        let watcher = Arc::new(Watcher {
            board: Arc::clone(&board),
            access: Arc::clone(&access),
            leases: leases.clone(),
            hub: Arc::clone(fleet.hub()),
            lines: Arc::clone(fleet.lines()),
            clock: Arc::clone(&clock),
            timeout: Duration::from_secs(u64::from(config.collector.timeout_s)),
            places: tokio::sync::Semaphore::new(AT_ONCE),
        });
        let watched: Vec<_> = concentrators
            .iter()
            .map(|it| tokio::spawn(Arc::clone(&watcher).watch(it.clone(), stopped.clone())))
            .collect();
        let orders = OrderParts {
            config: config.orders.clone(),
            store: Arc::clone(&store),
            access: Arc::clone(&access),
            fleet: Arc::clone(&fleet),
            clock: Arc::clone(&clock),
            leases: leases.clone(),
            timeout: Duration::from_secs(u64::from(config.collector.timeout_s)),
            urgent: config.urgent_ways(),
            concentrators: Arc::clone(&concentrators),
            board: Arc::clone(&board),
        };
        let orders = Orders::open(orders, stopped.clone()).await?;
        let fences = Fences::new(FenceParts {
            store: Arc::clone(&store),
            access: Arc::clone(&access),
            fleet: Arc::clone(&fleet),
            clock: Arc::clone(&clock),
        });
        let drills = DrillParts {
            control: config.scion.drill_control,
            store: Arc::clone(&store),
            access: Arc::clone(&access),
            fleet: Arc::clone(&fleet),
            fences: Arc::clone(&fences),
            clock: Arc::clone(&clock),
            leases: leases.clone(),
        };
        let drills = Drills::open(drills, stopped.clone()).await?;
        let fenced = tokio::spawn(Arc::clone(&fences).watch(stopped.clone()));
        let live = Live::new(
            Arc::clone(&access),
            Arc::clone(&fleet),
            Arc::clone(&clock),
            leases,
            Duration::from_secs(u64::from(config.collector.timeout_s)),
        );
        let outlets = OutletParts {
            config: config.outlets.clone(),
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            hub: Arc::clone(fleet.hub()),
        };
        let outlets = Outlets::start(outlets).await?.map(Arc::new);
        let listen = |source| ServeError::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let connections = config.api.connections;
        let app = App::new(AppParts {
            config,
            store: Arc::clone(&store),
            fleet: Arc::clone(&fleet),
            concentrators: Arc::clone(&concentrators),
            board,
            clock: Arc::clone(&clock),
            live,
            collector: handle.clone(),
            outlets: outlets.clone(),
            campaigns,
            images,
            access,
            orders: Arc::clone(&orders),
            fences,
            drills: Arc::clone(&drills),
            maker,
            tokens,
            stop: stopped.clone(),
        })?;
        let limits = limits(connections);
        let served = web::serve(listener, None, router(&app), limits, stopped.clone());
        let mut tasks = vec![
            tokio::spawn(collector.run(stopped)),
            tokio::spawn(served),
            fenced,
        ];
        let followed = followed.into_iter().chain(delivering).chain(taking);
        tasks.extend(followed.chain(watched));
        let head_end = Self {
            address,
            dial_in,
            store,
            keys,
            fleet,
            clock,
            collector: handle,
            outlets,
            orders,
            drills,
            stop,
            tasks,
        };
        Ok((head_end, token))
    }

    /// Returns the address that the API listens on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns where concentrators may connect, with the ports that the system chose.
    pub fn dial_in(&self) -> &[String] {
        &self.dial_in
    }

    /// Returns the number of meters enrolled.
    pub fn meters(&self) -> usize {
        self.fleet.len()
    }

    /// Returns the outlet meters, where they are served.
    pub const fn outlets(&self) -> Option<&Arc<Outlets>> {
        self.outlets.as_ref()
    }

    /// Returns the store.
    pub const fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Enrols the meters of a file, with the secrets of a key file, while the head end runs.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong with which line.
    pub async fn enrol(
        &self,
        enrolment: &Path,
        keys: Option<&Path>,
    ) -> Result<Enrolled, StartError> {
        let now = self.clock.now();
        let enrolled = enrol_files(&*self.store, &*self.keys, enrolment, keys, now).await?;
        let (fleet, store) = (Arc::clone(&self.fleet), Arc::clone(&self.store));
        let reload = tokio::task::spawn_blocking(move || fleet.reload(&*store, now));
        reload.await.map_err(|_| StoreError::Closed)??;
        self.collector.enrolled().await;
        Ok(enrolled)
    }

    /// Stops: no new associations or requests, those under way end within their deadlines, and
    /// what they brought is durable.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Some(outlets) = &self.outlets {
            outlets.stop().await;
        }
        self.orders.ended().await;
        self.drills.ended().await;
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task ended abnormally");
            }
        }
        if let Err(error) = self.store.flush().await {
            tracing::error!(%error, "the last writes may not be durable");
        }
    }
}

/// The folder of the images that wait for campaigns, within the data folder.
const IMAGES: &str = "images";

/// The greatest length of an enrolment file: 1 GiB.
const FILE_LEN_MAX: u64 = 1 << 30;

async fn enrol_files(
    store: &dyn Store,
    service: &dyn KeyService,
    enrolment: &Path,
    keys: Option<&Path>,
    at: model::Timestamp,
) -> Result<Enrolled, StartError> {
    let failed = |source| StartError::Enrolment {
        path: enrolment.display().to_string(),
        source,
    };
    let unreadable = |source| StartError::File {
        path: enrolment.display().to_string(),
        source,
    };
    let length = std::fs::metadata(enrolment).map_err(unreadable)?.len();
    if length > FILE_LEN_MAX {
        return Err(unreadable(std::io::ErrorKind::FileTooLarge.into()));
    }
    let text = std::fs::read_to_string(enrolment).map_err(unreadable)?;
    let entries = registry::parse(&text, Format::of(enrolment)).map_err(failed)?;
    let secrets = match keys {
        None => KeyFile::default(),
        Some(path) => KeyFile::load(path)?,
    };
    let enrolled = registry::enrol(store, service, entries, &secrets, at)
        .await
        .map_err(failed)?;
    tracing::info!(
        added = enrolled.added.len(),
        updated = enrolled.updated.len(),
        unchanged = enrolled.unchanged,
        "meters enrolled"
    );
    Ok(enrolled)
}

/// Begins to listen for concentrators, where that is configured.
async fn dial_in(
    config: &DialInConfig,
    porter: Option<Porter>,
    stopped: &watch::Receiver<bool>,
) -> Result<(Vec<String>, Vec<JoinHandle<()>>), StartError> {
    let Some(porter) = porter.filter(|_| !config.listen.is_empty()) else {
        return Ok((Vec::new(), Vec::new()));
    };
    let porter = Arc::new(porter);
    let listeners = porter.bind(config).await?;
    let places = listeners.iter().map(|it| it.local().to_string()).collect();
    let mut tasks = vec![tokio::spawn(Arc::clone(&porter).collect(stopped.clone()))];
    for listener in listeners {
        tasks.push(tokio::spawn(
            Arc::clone(&porter).listen(listener, stopped.clone()),
        ));
    }
    Ok((places, tasks))
}

/// Enrols the concentrators that the configuration names, with what opens them.
async fn enrol_concentrators(
    store: &dyn Store,
    service: &dyn KeyService,
    config: &Config,
    at: model::Timestamp,
) -> Result<(), StartError> {
    for concentrator in &config.concentrator {
        let Some(name) = concentrator.device() else {
            continue;
        };
        let keys = concentrator.keys.as_ref().or(config.keys.as_ref());
        let secrets = match keys {
            None => KeyFile::default(),
            Some(path) => KeyFile::load(path)?,
        };
        let all = vec![(name, concentrator.endpoint.clone())];
        let enrolled = registry::enrol_concentrators(store, service, all, &secrets, at);
        enrolled.await.map_err(|source| StartError::Enrolment {
            path: concentrator.endpoint.clone(),
            source,
        })?;
    }
    Ok(())
}

/// Why a head end does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration cannot be used.
    #[error("the configuration cannot be used")]
    Config(#[from] ConfigError),
    /// An enrolment or key file has faults.
    #[error("{path} cannot be enrolled")]
    Enrolment {
        /// Names the file.
        path: String,
        /// Says which lines and why.
        #[source]
        source: RegistryError,
    },
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    File {
        /// Names the file.
        path: String,
        /// Says why.
        #[source]
        source: std::io::Error,
    },
    /// The key file cannot be used.
    #[error("the key file cannot be used")]
    KeyFile(#[from] KeyFileError),
    /// The maker's public key cannot be used.
    #[error("the maker's public key cannot be used")]
    Maker(#[from] link::MakerKeyError),
    /// Keys or token cannot be used.
    #[error("keys or token cannot be used")]
    Keys(#[from] KeyError),
    /// Outlet meters cannot be served.
    #[error("outlet meters cannot be served")]
    Outlets(#[from] OutletStartError),
    /// Nothing can listen for concentrators.
    #[error("nothing can listen for concentrators")]
    DialIn(#[from] link::LinkError),
    /// The API cannot be served.
    #[error("the API cannot be served")]
    Serve(#[from] ServeError),
    /// The store cannot be used.
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
}
