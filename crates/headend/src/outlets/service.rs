//! Outlet meters of a running head end: who they are, how they stand, what they are told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use link::{LinkError, SctpSocket};
use model::xml::{CivilDate, CivilDateTime, OutletId, Sections, SmartMeterId, Switch};
use model::{BreakerAction, SIGNATURE_LEN, Timestamp};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

use super::enrolment::{self, OutletFileError, OutletMeterEntry};
use super::shell::{Identify, OutletOrders, Sign, Told, serve};
use super::{
    Enrolment, Figures, OrderError, OutletHead, OutletSettings, OutletStore, OutletStoreError,
    Output, Record, Refusal,
};
use crate::clock::Clock;
use crate::config::{ConfigError, OutletsConfig};
use crate::hub::{Change, Hub};
use crate::store::{NewOrder, OrderKind, Outcome, Store, StoreError};

/// Seconds that an order to a breaker is good for.
const BREAKER_ORDER_S: i64 = 60;

/// Associations beyond one for each meter: one that calls anew before the old one is over.
const SPARE: usize = 64;

/// Outlet meters of a running head end.
pub struct Outlets {
    config: OutletsConfig,
    meters: BTreeMap<SmartMeterId, (OutletMeterEntry, CivilDateTime)>,
    orders: OutletOrders,
    standing: Arc<Mutex<BTreeMap<SmartMeterId, Standing>>>,
    signer: Option<Arc<EcdsaKeyPair>>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    hub: Arc<Hub>,
    port: (u16, u16),
    task: JoinHandle<()>,
}

/// How a meter stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Says whether it is connected.
    pub connected: bool,
    /// Says since when.
    pub since: Timestamp,
    /// Says when a message of it was last taken.
    pub heard: Option<Timestamp>,
    /// Counts what it sent and was not taken, and says why the last was not.
    pub refused: (u64, Option<Refusal>),
}

/// What it would mean to open or close a breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Says why there can be no such order, if so.
    pub refused: Option<&'static str>,
    /// Holds what the outlets drew together in the newest section, in watts, and when it began.
    pub draws: Option<(u64, CivilDateTime)>,
    /// Lists the outlets that lose their supply, with what they drew.
    pub outlets: Vec<(OutletId, String, Option<u32>)>,
}

/// What [`Outlets::start`] needs.
pub(crate) struct OutletParts {
    pub(crate) config: OutletsConfig,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) hub: Arc<Hub>,
}

/// Why outlet meters cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutletStartError {
    /// The configuration cannot be used.
    #[error("the configuration cannot be used")]
    Config(#[from] ConfigError),
    /// The file of the meters cannot be used.
    #[error("the outlet meters cannot be enrolled")]
    Enrolment(#[from] OutletFileError),
    /// A certificate or a key cannot be used, or the address is taken.
    #[error("{what}")]
    Link {
        /// Names what.
        what: String,
        /// Says why.
        #[source]
        source: LinkError,
    },
    /// The key that signs can be read by others.
    #[error("{0}: a key that others can read signs nothing: chmod 600 {0}")]
    Exposed(String),
    /// It is no key for signatures.
    #[error("{0}: no P-256 key in PKCS #8 form")]
    NoKey(String),
    /// The store cannot be used.
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
    /// The store cannot be read.
    #[error("the store cannot be used")]
    Records(#[from] OutletStoreError),
}

impl Outlets {
    /// Starts to serve, where the configuration says so.
    pub(crate) async fn start(parts: OutletParts) -> Result<Option<Self>, OutletStartError> {
        let OutletParts {
            config,
            store,
            clock,
            hub,
        } = parts;
        let Some(endpoint) = config.endpoint()? else {
            return Ok(None);
        };
        let file = config.meters.clone().unwrap_or_default();
        let entries = enrolment::read(&file)?;
        let signer = match &config.breaker_key {
            None => None,
            Some(path) => Some(Arc::new(signer(path)?)),
        };
        let known = certificates(&entries)?;
        let ahead = i32::from(config.utc_offset_min) * 60;
        let civil = |at: Timestamp| {
            CivilDateTime::of_unix(at.secs(), ahead).unwrap_or(CivilDateTime::START)
        };
        let now = clock.now();
        let expected = entries
            .iter()
            .map(|entry| (entry.id(), entry.since().unwrap_or_else(|| civil(now))))
            .collect();
        let since = store
            .outlets()
            .enrol(expected, config.utc_offset_min)
            .await?;
        let meters: BTreeMap<_, _> = entries
            .into_iter()
            .filter_map(|entry| {
                let since = *since.get(&entry.id())?;
                Some((entry.id(), (entry, since)))
            })
            .collect();
        let enrolments = meters
            .iter()
            .map(|(id, (entry, since))| Enrolment {
                meter: *id,
                outlets: entry.outlets().into_keys().collect(),
                since: *since,
            })
            .collect();
        let settings = OutletSettings {
            days: u64::from(config.days),
            ..OutletSettings::default()
        };
        let oldest = now.plus_secs(-86_400 * (i64::from(config.days) + 1));
        let tables = Tables {
            store: Arc::clone(&store),
            from: civil(oldest),
            runtime: tokio::runtime::Handle::current(),
        };
        let opened =
            tokio::task::spawn_blocking(move || OutletHead::open(settings, enrolments, tables));
        let head = opened.await.map_err(|_| StoreError::Closed)??;
        let time: Arc<dyn link::Clock> = Arc::new(Time {
            system: link::SystemClock::new(),
            wall: Arc::clone(&clock),
        });
        let associations = meters.len().saturating_add(SPARE);
        let listened = SctpSocket::listen(&endpoint, associations, &time).await;
        let socket = listened.map_err(|source| OutletStartError::Link {
            what: format!(
                "outlet meters cannot be listened for at {}",
                config.listen.as_deref().unwrap_or_default()
            ),
            source,
        })?;
        let port = (socket.port(), socket.udp_port());
        let standing: BTreeMap<_, _> = meters
            .keys()
            .map(|id| {
                let standing = Standing {
                    connected: false,
                    since: now,
                    heard: None,
                    refused: (0, None),
                };
                (*id, standing)
            })
            .collect();
        let standing = Arc::new(Mutex::new(standing));
        let identify: Identify = Arc::new(move |shown| known.get(&fingerprint(shown?)).copied());
        let watcher = Watcher {
            standing: Arc::clone(&standing),
            clock: Arc::clone(&clock),
            hub: Arc::clone(&hub),
        };
        let told = move |told| watcher.told(&told);
        let (orders, task) = serve(head, socket, identify, time, ahead, told);
        Ok(Some(Self {
            config,
            meters,
            orders,
            standing,
            signer,
            store,
            clock,
            hub,
            port,
            task,
        }))
    }

    /// Returns the ports of SCTP and UDP that it listens at; UDP's is 0 over IP.
    pub const fn port(&self) -> (u16, u16) {
        self.port
    }

    /// Returns the meters, each with from when on its sections are expected.
    pub const fn meters(&self) -> &BTreeMap<SmartMeterId, (OutletMeterEntry, CivilDateTime)> {
        &self.meters
    }

    /// Returns the minutes that the meters' civil time is ahead of UTC.
    pub const fn utc_offset_min(&self) -> i16 {
        self.config.utc_offset_min
    }

    /// Returns the number of days that meters keep their sections.
    pub const fn days(&self) -> u16 {
        self.config.days
    }

    /// Returns the moment of a civil time.
    pub fn moment(&self, civil: CivilDateTime) -> Timestamp {
        // 1970-01-01 is 719,528 days behind 0000-01-01.
        let seconds = i64::try_from(civil.ordinal()).unwrap_or(i64::MAX) - 719_528 * 86_400;
        Timestamp::from_secs(seconds - i64::from(self.config.utc_offset_min) * 60)
    }

    /// Returns the civil time of a moment.
    pub fn civil(&self, at: Timestamp) -> CivilDateTime {
        let ahead = i32::from(self.config.utc_offset_min) * 60;
        CivilDateTime::of_unix(at.secs(), ahead).unwrap_or(CivilDateTime::START)
    }

    /// Returns how a meter stands.
    pub fn standing(&self, id: SmartMeterId) -> Option<Standing> {
        lock(&self.standing).get(&id).cloned()
    }

    /// Tells what is there of each meter on each of the last `days` days.
    pub async fn figures(&self, days: u64) -> BTreeMap<SmartMeterId, Figures> {
        self.orders.figures(days).await
    }

    /// Switches outlets.
    ///
    /// # Errors
    /// Why there is no order; it is in the journal with that.
    pub async fn switch(
        &self,
        id: SmartMeterId,
        outlets: Vec<(OutletId, Switch)>,
        reason: &str,
    ) -> Result<(i64, Outcome), OrderError> {
        let words = outlets.iter().map(|(outlet, switch)| {
            let to = match switch {
                Switch::On => "on",
                Switch::Off => "off",
            };
            format!("outlet {outlet} {to}")
        });
        let what = words.collect::<Vec<_>>().join(", ");
        let number = self.begin(id, OrderKind::Switch, what, reason).await?;
        let done = self.orders.switch(id, outlets).await;
        self.end(id, number, done).await
    }

    /// Tells a cost.
    ///
    /// # Errors
    /// Why it is not told; it is in the journal with that.
    pub async fn cost(
        &self,
        id: SmartMeterId,
        month: u8,
        days: (u8, u8),
        total: u64,
    ) -> Result<(i64, Outcome), OrderError> {
        let what = format!("{total} for days {} to {} of month {month}", days.0, days.1);
        let number = self.begin(id, OrderKind::Cost, what, "").await?;
        let done = self.orders.cost(id, month, days, total).await;
        self.end(id, number, done).await
    }

    /// Asks for sections of a day once more.
    ///
    /// # Errors
    /// Why it is not asked; it is in the journal with that.
    pub async fn request(
        &self,
        id: SmartMeterId,
        outlet: OutletId,
        day: CivilDate,
        sections: Sections,
    ) -> Result<(i64, Outcome), OrderError> {
        let what = format!(
            "outlet {outlet}, {day}, sections {} to {}",
            sections.start().number(),
            sections.end().number()
        );
        let number = self.begin(id, OrderKind::Request, what, "").await?;
        let done = self.orders.request(id, outlet, day, sections).await;
        self.end(id, number, done.map(|()| true)).await
    }

    /// Opens or closes a breaker by a signed envelope that is good for a minute. It does not wait
    /// for a meter that is not connected.
    ///
    /// # Errors
    /// Why there is no order; it is in the journal with that.
    pub async fn breaker(
        &self,
        id: SmartMeterId,
        action: BreakerAction,
        reason: &str,
    ) -> Result<(i64, Outcome), OrderError> {
        let signer = self.signer.clone().ok_or(OrderError::NoSigner)?;
        let (kind, what) = match action {
            BreakerAction::Open => (OrderKind::Open, "breaker open"),
            BreakerAction::Close => (OrderKind::Close, "breaker closed"),
        };
        let number = self.begin(id, kind, what.to_owned(), reason).await?;
        let expires = self.clock.now().secs() + BREAKER_ORDER_S;
        let sign: Sign = Box::new(move |octets| {
            let signature = signer.sign(&SystemRandom::new(), octets).ok()?;
            <[u8; SIGNATURE_LEN]>::try_from(signature.as_ref()).ok()
        });
        let expires = u64::try_from(expires).unwrap_or(0);
        let done = self.orders.breaker(id, action, expires, sign).await;
        self.end(id, number, done.map(|()| true)).await
    }

    /// Says what it would mean to give an order to a breaker. Nothing is sent.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn preview(&self, id: SmartMeterId) -> Result<Option<Preview>, StoreError> {
        let Some((entry, _)) = self.meters.get(&id) else {
            return Ok(None);
        };
        let outlets: Vec<OutletId> = entry.outlets().into_keys().collect();
        let latest = self.store.outlets().latest(id, &outlets)?;
        let newest = latest.values().map(|(at, _)| *at).max();
        let of_newest = latest.values().filter(|(at, _)| Some(*at) == newest);
        let watts = of_newest.map(|(_, power)| u64::from(power.watts)).sum();
        let refused = if self.signer.is_none() {
            Some(
                "The head end has no key that signs orders to breakers: headend.outlets.breaker_key.",
            )
        } else if self.standing(id).is_none_or(|standing| !standing.connected) {
            Some("The meter is not connected, and an order to a breaker does not wait.")
        } else {
            None
        };
        Ok(Some(Preview {
            refused,
            draws: newest.map(|at| (watts, at)),
            outlets: entry
                .outlets()
                .into_iter()
                .map(|(outlet, name)| {
                    let watts = latest.get(&outlet).map(|(_, power)| power.watts);
                    (outlet, name.to_owned(), watts)
                })
                .collect(),
        }))
    }

    /// Stops: what was taken is durable.
    pub(crate) async fn stop(&self) {
        self.orders.stop().await;
        self.task.abort();
    }

    /// Writes an order down before anything is done about it.
    async fn begin(
        &self,
        meter: SmartMeterId,
        kind: OrderKind,
        what: String,
        reason: &str,
    ) -> Result<i64, OrderError> {
        if !self.meters.contains_key(&meter) {
            return Err(OrderError::Unknown);
        }
        let at = self.clock.now();
        let openings = (kind == OrderKind::Open)
            .then(|| (at.plus_secs(-3_600), self.config.openings_per_hour));
        let order = NewOrder {
            meter,
            at,
            kind,
            what,
            reason: reason.to_owned(),
        };
        let begun = self.store.outlets().order(order, openings).await;
        begun
            .map_err(OutletStoreError::from)?
            .ok_or(OrderError::TooMany)
    }

    /// Writes down what became of it.
    async fn end(
        &self,
        meter: SmartMeterId,
        number: i64,
        done: Result<bool, OrderError>,
    ) -> Result<(i64, Outcome), OrderError> {
        let outcome = match &done {
            Ok(true) => Outcome::Sent,
            Ok(false) => Outcome::Waits,
            Err(_) => Outcome::Refused,
        };
        let ended = self
            .store
            .outlets()
            .ended(number, outcome, self.clock.now());
        if let Err(error) = ended.await {
            tracing::error!(%error, "what became of an order is not in the journal");
        }
        self.hub.send(Change::Outlet(meter));
        done.map(|_| (number, outcome))
    }
}

impl fmt::Debug for Outlets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlets")
            .field("meters", &self.meters.len())
            .finish_non_exhaustive()
    }
}

/// The head end's store as the machine wants it, which waits on a thread of its own.
#[derive(Debug)]
struct Tables {
    store: Arc<dyn Store>,
    from: CivilDateTime,
    runtime: tokio::runtime::Handle,
}

impl OutletStore for Tables {
    fn load(&mut self, each: &mut dyn FnMut(Record)) -> Result<(), OutletStoreError> {
        Ok(self.store.outlets().load(self.from, each)?)
    }

    fn insert(&mut self, records: &[Record]) -> Result<usize, OutletStoreError> {
        if records.is_empty() {
            return Ok(0);
        }
        let inserted = self.store.outlets().insert(records.to_vec());
        Ok(self.runtime.block_on(inserted)?)
    }
}

/// The head end's time of day, for SCTP.
struct Time {
    system: link::SystemClock,
    wall: Arc<dyn Clock>,
}

impl link::Clock for Time {
    fn now(&self) -> dlms::Instant {
        self.system.now()
    }

    fn unix_seconds(&self) -> i64 {
        self.wall.now().secs()
    }
}

/// Writes down how meters stand.
struct Watcher {
    standing: Arc<Mutex<BTreeMap<SmartMeterId, Standing>>>,
    clock: Arc<dyn Clock>,
    hub: Arc<Hub>,
}

impl Watcher {
    fn told(&self, told: &Told) {
        let now = self.clock.now();
        let (Told::Connected(id)
        | Told::Disconnected(id)
        | Told::Heard(id)
        | Told::Output(
            Output::Warning(id, ..)
            | Output::Gap(id, ..)
            | Output::Refused(id, _)
            | Output::Send { meter: id, .. },
        )) = told;
        if let Some(standing) = lock(&self.standing).get_mut(id) {
            match told {
                Told::Connected(_) | Told::Disconnected(_) => {
                    standing.connected = matches!(told, Told::Connected(_));
                    standing.since = now;
                }
                Told::Heard(_) => standing.heard = Some(now),
                Told::Output(Output::Refused(_, refusal)) => {
                    standing.refused =
                        (standing.refused.0.saturating_add(1), Some(refusal.clone()));
                }
                Told::Output(_) => {}
            }
        }
        match told {
            Told::Connected(meter) => tracing::info!(%meter, "an outlet meter is connected"),
            Told::Output(Output::Warning(meter, outlet, at)) => {
                tracing::info!(%meter, %outlet, %at, "an outlet passed its threshold");
            }
            Told::Output(Output::Gap(meter, outlet, day, _)) => {
                tracing::info!(%meter, %outlet, %day, "an outlet meter does not give sections");
            }
            Told::Output(Output::Refused(meter, reason)) => {
                tracing::warn!(%meter, %reason, "a message of an outlet meter is not taken");
            }
            _ => {}
        }
        self.hub.send(Change::Outlet(*id));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

/// Which meter shows which certificate.
fn certificates(
    entries: &[OutletMeterEntry],
) -> Result<BTreeMap<[u8; 32], SmartMeterId>, OutletStartError> {
    let mut known = BTreeMap::new();
    let mut twice = BTreeSet::new();
    for entry in entries {
        let certificate = link::certificate_der(&entry.certificate);
        let certificate = certificate.map_err(|source| OutletStartError::Link {
            what: format!("the certificate of meter {} cannot be used", entry.id()),
            source,
        })?;
        if known
            .insert(fingerprint(&certificate), entry.id())
            .is_some()
        {
            twice.insert(entry.id());
        }
    }
    match twice.first() {
        None => Ok(known),
        Some(id) => Err(OutletFileError::Fault {
            path: "the file of outlet meters".to_owned(),
            reason: format!("meter {id}: another meter has the same certificate"),
        }
        .into()),
    }
}

/// Reads the key that signs.
fn signer(path: &Path) -> Result<EcdsaKeyPair, OutletStartError> {
    let shown = || path.display().to_string();
    let mode = std::fs::metadata(path)
        .map_err(|source| OutletFileError::File {
            path: shown(),
            source,
        })?
        .mode();
    if mode & 0o077 != 0 {
        return Err(OutletStartError::Exposed(shown()));
    }
    let octets = link::private_key_der(path).map_err(|source| OutletStartError::Link {
        what: "the key that signs orders to breakers cannot be used".to_owned(),
        source,
    })?;
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &octets)
        .map_err(|_| OutletStartError::NoKey(shown()))
}
