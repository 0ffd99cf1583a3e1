//! The home gateway as a whole: opens what it keeps, and starts its activities.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use link::Clock;
use model::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{Config, ConfigError};
use crate::credential::{CredentialError, Credentials, Made, USER, replace};
use crate::history::{Bounds, History, HistoryError};
use crate::mdns::{Announced, MdnsError};
use crate::mqtt::{self, MqttError};
use crate::reader::{self, Manner, PollMemory};
use crate::recorder::{self, Record};
use crate::remember;
use crate::server::{self, App, Parts};
use crate::shared::Shared;
use crate::source::Source;
use crate::summary::Place;
use crate::tls::{Identity, IdentityError};

/// What a gateway is started with.
pub struct Options<S> {
    /// The configuration.
    pub config: Config,
    /// The folder of certificate, credential and history; made with mode 0700
    /// where it does not exist.
    pub data: PathBuf,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The way to the meter.
    pub source: S,
    /// Its kind, for people: `p1+tcp`.
    pub kind: String,
}

/// A gateway that runs.
#[derive(Debug)]
pub struct HomeGate {
    address: SocketAddr,
    fingerprint: String,
    user: String,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    announced: Option<Announced>,
    _lock: File,
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is refused.
    #[error("the configuration is refused")]
    Config(#[from] ConfigError),
    /// Credentials cannot be used.
    #[error("the credential cannot be used")]
    Credential(#[from] CredentialError),
    /// The data folder cannot be used.
    #[error("the data folder {path} cannot be used")]
    Folder {
        /// Names it.
        path: PathBuf,
        /// Says why.
        #[source]
        source: io::Error,
    },
    /// Another gateway uses the data folder.
    #[error("a gateway uses the data folder {0}: stop it first")]
    InUse(PathBuf),
    /// History cannot be opened.
    #[error("history cannot be opened")]
    History(#[from] HistoryError),
    /// There is no certificate.
    #[error("there is no certificate")]
    Identity(#[from] IdentityError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: is another program there? Choose another with --listen")]
    Listen {
        /// Names it.
        address: SocketAddr,
        /// Says why.
        #[source]
        source: io::Error,
    },
    /// It cannot be announced.
    #[error("the gateway cannot be announced by mDNS")]
    Mdns(#[from] MdnsError),
    /// What MQTT needs cannot be used.
    #[error("MQTT")]
    Mqtt(#[from] MqttError),
}

impl HomeGate {
    /// Starts all activities. What was made at the first start is told once.
    ///
    /// # Errors
    /// [`StartError`] says why it does not start.
    pub async fn start<S: Source>(options: Options<S>) -> Result<(Self, Option<Made>), StartError> {
        let Options {
            config,
            data,
            clock,
            source,
            kind,
        } = options;
        let (calendar, tariff) = config.check()?;
        let lock = lock_folder(&data)?;
        let now = Timestamp::from_millis(clock.unix_millis());
        let own = Own::new(&config, &data);
        let identity = own.identity(now)?;
        let (told, tls) = watch::channel(Arc::clone(&identity.config));
        let published = published(&data, now)?;
        let pushes = !source.is_polled();
        let history = if config.history {
            let bounds = Bounds {
                octets: config.history_octets_max,
                rows: config.history_rows_max,
            };
            Some(History::open(&data, bounds, now)?)
        } else {
            None
        };
        let interval = (!pushes).then_some(config.interval_s);
        let record = Arc::new(Record::new(history, interval)?);
        let shared = Arc::new(Shared::new(kind, pushes, now));
        if let Some(before) = remember::kept(&data) {
            shared.restore(&before);
        }
        let publisher = match &config.mqtt {
            Some(mqtt) => Some(mqtt::Publisher::new(mqtt, &config.name, &data)?),
            None => None,
        };
        // Bound before a password is made: one that nobody was told is lost.
        let listener =
            TcpListener::bind(config.listen)
                .await
                .map_err(|source| StartError::Listen {
                    address: config.listen,
                    source,
                })?;
        let address = listener.local_addr().map_err(|source| StartError::Listen {
            address: config.listen,
            source,
        })?;
        let (credentials, made) = Credentials::open(&data, config.third_parties.as_deref())?;
        let user = credentials.user().to_owned();
        let (stop, stopped) = watch::channel(false);
        let announced = if config.mdns {
            Some(Announced::new(&config.name, address)?)
        } else {
            None
        };
        let manner = Manner {
            interval: Duration::from_secs(config.interval_s.into()),
            standard_offset_minutes: Some(
                config
                    .standard_offset_minutes
                    .unwrap_or_else(|| calendar.standard_offset_minutes(now)),
            ),
        };
        let place = Place {
            calendar: calendar.clone(),
            tariff,
            current_age_max_ms: i64::from(config.current_age_max_s) * 1_000,
            interval_s: config.interval_s,
        };
        let mut tasks = vec![
            tokio::spawn(recorder::run(
                Arc::clone(&record),
                Arc::clone(&shared),
                Arc::clone(&clock),
                calendar,
                recorder::Keeping {
                    folder: data.clone(),
                    months: config.history_months,
                },
                stopped.clone(),
            )),
            tokio::spawn(reader::run(
                source,
                Arc::clone(&shared),
                Arc::clone(&clock),
                manner,
                PollMemory::new(&data),
                stopped.clone(),
            )),
        ];
        if let Some(publisher) = publisher {
            tasks.push(tokio::spawn(publisher.run(
                Arc::clone(&shared),
                Arc::clone(&clock),
                place.current_age_max_ms,
                stopped.clone(),
            )));
        }
        let parts = Parts {
            shared,
            record,
            credentials,
            place,
            name: config.name.clone(),
            streams: config.streams,
            published,
            authority: identity.authority.clone(),
            stop: stopped.clone(),
        };
        let app = App::new(parts, Arc::clone(&clock));
        let fingerprint = identity.fingerprint.clone();
        tasks.push(tokio::spawn(own.renew(
            fingerprint,
            told,
            clock,
            stopped.clone(),
        )));
        tasks.push(tokio::spawn(web::serve(
            listener,
            Some(tls),
            server::router(&app),
            server::limits(config.connections),
            stopped,
        )));
        // Whoever runs it as a service finds it in the log.
        tracing::info!(%address, fingerprint = identity.fingerprint, "the gateway is up");
        let running = Self {
            address,
            fingerprint: identity.fingerprint,
            user,
            stop,
            tasks,
            announced,
            _lock: lock,
        };
        Ok((running, made))
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// SHA-256 of its certificate.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The user of the home.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Stops all activities, and waits until what waits is kept.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Some(announced) = self.announced {
            announced.end();
        }
        for task in self.tasks {
            // One that panicked has told so.
            drop(tokio::time::timeout(STOP_TIMEOUT, task).await);
        }
    }
}

/// What a gateway will be known by.
#[derive(Debug)]
pub struct Prepared {
    /// The user of the home.
    pub user: String,
    /// A password that was made, to be told once.
    pub made: Option<Made>,
    /// SHA-256 of the certificate.
    pub fingerprint: String,
}

/// Makes what the first start would make, so that somebody who looks on is told
/// of it: credential and certificate. A `password` is taken over instead of one
/// that was there before; without it one that is there stays.
///
/// # Errors
/// [`StartError`] says why it cannot be; [`StartError::InUse`] while a gateway
/// runs on the folder.
pub fn prepare(
    config: &Config,
    data: &Path,
    password: Option<&str>,
    now: Timestamp,
) -> Result<Prepared, StartError> {
    let _lock = lock_folder(data)?;
    if let Some(password) = password {
        Credentials::choose(data, USER, password)?;
    }
    // A password that was made is told whatever comes: nothing fails after it.
    let identity = Own::new(config, data).identity(now)?;
    let (credentials, made) = Credentials::open(data, config.third_parties.as_deref())?;
    Ok(Prepared {
        user: credentials.user().to_owned(),
        made,
        fingerprint: identity.fingerprint,
    })
}

/// Where the certificate comes from.
struct Own {
    provided: Option<(PathBuf, PathBuf)>,
    folder: PathBuf,
    names: Vec<String>,
}

/// How often it is looked whether the certificate is to be made anew, or has
/// been replaced.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(24 * 3_600);

impl Own {
    fn new(config: &Config, folder: &Path) -> Self {
        Self {
            provided: config.cert.clone().zip(config.key.clone()),
            folder: folder.to_owned(),
            names: config.names.clone(),
        }
    }

    fn identity(&self, now: Timestamp) -> Result<Identity, IdentityError> {
        match &self.provided {
            Some((cert, key)) => Identity::provided(cert, key),
            None => Identity::own(&self.folder, &self.names, now),
        }
    }

    async fn renew(
        self,
        mut fingerprint: String,
        tls: watch::Sender<Arc<rustls::ServerConfig>>,
        clock: Arc<dyn Clock>,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(RENEWAL_INTERVAL) => {}
                _ = stop.changed() => return,
            }
            match self.identity(Timestamp::from_millis(clock.unix_millis())) {
                Ok(identity) if identity.fingerprint != fingerprint => {
                    tracing::info!(fingerprint = identity.fingerprint, "the certificate is new");
                    tls.send_replace(identity.config);
                    fingerprint = identity.fingerprint;
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "the certificate cannot be made anew"),
            }
        }
    }
}

/// The time that each activity has to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

fn lock_folder(folder: &Path) -> Result<File, StartError> {
    let cannot = |source| StartError::Folder {
        path: folder.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(cannot)?;
    let lock = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(folder.join("lock"))
        .map_err(cannot)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(cannot(error)),
    }
}

/// When the gateway was set up, kept from the first start on.
fn published(folder: &Path, now: Timestamp) -> Result<Timestamp, StartError> {
    let path = folder.join("since");
    let kept = std::fs::read_to_string(&path).ok();
    if let Some(secs) = kept.and_then(|text| text.trim().parse().ok()) {
        return Ok(Timestamp::from_secs(secs));
    }
    let now = Timestamp::from_secs(now.secs());
    replace(&path, format!("{}\n", now.secs()).as_bytes())
        .map_err(|source| StartError::Folder { path, source })?;
    Ok(now)
}
