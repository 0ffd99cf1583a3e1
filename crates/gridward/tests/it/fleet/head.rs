//! The head end without its API: key service, registry, collector, store.

use std::sync::{Arc, Weak};
use std::time::Duration;

use headend::collector::{Collector, CollectorHandle, Lease, Leases, MeterAccess as _};
use headend::fleet::Fleet;
use headend::hub::Hub;
use headend::keys::LocalKeys;
use headend::registry::{self, Format};
use headend::store::{SqliteOptions, SqliteStore, Store, StoreError};
use headend::{Calendar, CollectorConfig, Config, LinkAccess};
use link::{Clock as _, KeyFile, Surroundings};
use model::{MeterId, Timestamp};
use sim::{Field, SeededEntropy, SimClock, draw};
use tempfile::TempDir;
use tokio::sync::watch::{self, Sender};
use tokio::task::JoinHandle;

use super::store::Lockstep;
use super::watch::{HEAD_END, Watch};
use super::{Home, Plan};

/// The simulation's clock as the head end sees it.
#[derive(Debug)]
struct Wall(SimClock);

impl headend::Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.unix_millis())
    }
}

/// A head end that can be killed, on a disk that stays.
pub(super) struct Head {
    folder: TempDir,
    config: Config,
    keys: KeyFile,
    enrolment: String,
    surroundings: Surroundings,
    seed: u64,
    watch: Arc<Watch>,
    clock: SimClock,
    running: Option<Running>,
    starts: u64,
}

struct Running {
    stop: Sender<bool>,
    task: JoinHandle<()>,
    store: Weak<Lockstep>,
    fleet: Arc<Fleet>,
    access: Arc<LinkAccess>,
    leases: Leases,
    collector: CollectorHandle,
}

impl Head {
    pub(super) fn new(
        plan: &Plan,
        keys: &KeyFile,
        homes: &[Home],
        field: Arc<Field>,
        watch: Arc<Watch>,
        clock: SimClock,
    ) -> Self {
        let enrolment = keys.meters.iter().zip(homes).map(|(meter, home)| {
            let (name, endpoint) = (&meter.logical_device_name, &home.endpoint);
            format!("{{\"logical_device_name\":\"{name}\",\"endpoint\":\"{endpoint}\"}}\n")
        });
        let config = Config {
            collector: CollectorConfig {
                every_s: plan.every_s,
                ..CollectorConfig::default()
            },
            ..Config::default()
        };
        let surroundings = Surroundings {
            clock: Arc::new(clock),
            entropy: Arc::new(SeededEntropy::new(draw(plan.seed, 5))),
            connector: field,
        };
        Self::of(
            config,
            keys.clone(),
            enrolment.collect(),
            surroundings,
            plan.seed,
            watch,
            clock,
        )
    }

    /// With these meters, reached through `surroundings`.
    pub(super) fn of(
        config: Config,
        keys: KeyFile,
        enrolment: String,
        surroundings: Surroundings,
        seed: u64,
        watch: Arc<Watch>,
        clock: SimClock,
    ) -> Self {
        // What is durable there is durable enough for a simulation, and soon.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self {
            folder: folder.unwrap(),
            config,
            keys,
            enrolment,
            surroundings,
            seed,
            watch,
            clock,
            running: None,
            starts: 0,
        }
    }

    /// Opens the store; the writer of the one before may take a moment to let
    /// the folder go. No virtual time passes in that moment.
    pub(super) fn open_store(&self) -> SqliteStore {
        let calendar = Calendar::new(&self.config.zone).unwrap();
        let options = SqliteOptions::new(self.folder.path(), calendar);
        for _ in 0..2_000 {
            match SqliteStore::open(&options) {
                Err(StoreError::InUse) => std::thread::sleep(Duration::from_millis(5)),
                opened => return opened.unwrap(),
            }
        }
        panic!("the store stayed in use for ten seconds");
    }

    pub(super) async fn start(&mut self) {
        if self.running.is_some() {
            return;
        }
        self.starts += 1;
        let lockstep = Arc::new(Lockstep::new(self.open_store(), Arc::clone(&self.watch)));
        let store: Arc<dyn Store> = Arc::clone(&lockstep) as _;
        let clock: Arc<dyn headend::Clock> = Arc::new(Wall(self.clock));
        let now = clock.now();
        let master = self.folder.path().join("master.key");
        let keys = Arc::new(LocalKeys::open(&master, Arc::clone(&store)).unwrap());
        let entries = registry::parse(&self.enrolment, Format::JsonLines).unwrap();
        let enrolled = registry::enrol(&*store, &*keys, entries, &self.keys, now);
        enrolled.await.unwrap();
        let hub = Arc::new(Hub::new(now.millis().unsigned_abs()));
        let fleet = Arc::new(Fleet::load(&*store, &self.config, hub, now).unwrap());
        let collector = self.config.collector.clone();
        let access = LinkAccess::new(
            Arc::clone(&store),
            keys,
            Arc::clone(&clock),
            self.surroundings.clone(),
            HEAD_END,
            Duration::from_secs(u64::from(collector.timeout_s)),
        );
        access.keep_to(fleet.lines());
        let (access, leases) = (Arc::new(access), Leases::default());
        let (collector, handle) = Collector::new(
            store,
            Arc::clone(&access) as _,
            Arc::clone(&fleet),
            clock,
            leases.clone(),
            Arc::new(SeededEntropy::new(draw(self.seed, 100_000 + self.starts))),
            collector,
        );
        let (stop, stopped) = watch::channel(false);
        self.running = Some(Running {
            stop,
            task: tokio::spawn(collector.run(stopped)),
            store: Arc::downgrade(&lockstep),
            fleet,
            access,
            leases,
            collector: handle,
        });
    }

    /// Shows the meters, as it sees them while it runs.
    pub(super) fn fleet(&self) -> &Fleet {
        &self.running.as_ref().unwrap().fleet
    }

    /// Waits until nobody else talks to a meter, and shows the way to it.
    pub(super) async fn access(&self, meter: MeterId) -> (Lease, Arc<LinkAccess>) {
        let running = self.running.as_ref().unwrap();
        let lease = running.leases.take(meter).await;
        (lease, Arc::clone(&running.access))
    }

    /// Tells how many collections since it was started went well, and how many failed.
    pub(super) fn associations(&self) -> (u64, u64) {
        self.running.as_ref().unwrap().collector.associations()
    }

    /// Ends it in the middle of whatever it does.
    pub(super) async fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.task.abort();
            running.end().await;
        }
    }

    /// Lets it end.
    pub(super) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.end().await;
        }
    }
}

impl Running {
    async fn end(self) {
        let Self {
            stop,
            task,
            store,
            fleet,
            access,
            leases: _,
            collector,
        } = self;
        stop.send_replace(true);
        drop(task.await);
        drop((fleet, access, collector));
        // The task that seals days goes by itself.
        while store.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    }
}
