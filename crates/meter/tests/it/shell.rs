//! Evidence: self-agreement over real sockets of this machine: many clients at once against many
//! meters of one process, with a journal on a real disk. The time of day is the test's.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dlms::axdr::{ClockStatus, Data, DateTime, RawData};
use dlms::cosem::{MethodDescriptor, ProfileSelection, RangeDescriptor};
use dlms::security::CounterRecord;
use link::{
    Association, Client, ClientError, Clock, CounterStore, Endpoint, KeyFile, Limits, Listener,
    Service, Surroundings, SystemClock, SystemEntropy,
};
use meter::fleet::Fleet;
use meter::journal::DirStore;
use meter::population::{Outages, Population};
use meter::shell::{SharedFleet, serve};
use meter::template::Template;
use model::BreakerState;

use crate::pair::{MANAGEMENT, NOON, Peer, READING, attribute};

const METERS: u32 = 40;
const LIMIT: Duration = Duration::from_secs(30);

/// The system's monotonic clock, and a time of day that the test sets.
struct TestClock {
    system: SystemClock,
    unix_seconds: AtomicI64,
}

impl Clock for TestClock {
    fn now(&self) -> dlms::Instant {
        self.system.now()
    }

    fn unix_seconds(&self) -> i64 {
        self.unix_seconds.load(Ordering::SeqCst)
    }
}

/// A counter store for clients that live no longer than the test.
struct Forgetful;

impl CounterStore for Forgetful {
    fn store<'a>(
        &'a self,
        _: &'a CounterRecord,
    ) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>> {
        Box::pin(async { Ok(()) })
    }
}

struct Site {
    fleet: Arc<SharedFleet<DirStore>>,
    endpoint: Endpoint,
    clock: Arc<TestClock>,
    keys: KeyFile,
}

async fn start(dir: &std::path::Path, clock: Arc<TestClock>, keys: KeyFile) -> Site {
    let template = Arc::new(Template::built_in("smr5").unwrap());
    let now = model::Timestamp::from_secs(clock.unix_seconds());
    let population = Population {
        history_days: 3,
        outages: Outages::Never,
        ..Population::default()
    };
    let configs = population.configs(&template, keys.meters.clone(), now);
    let store = DirStore::open(dir).unwrap();
    let (fleet, recovery) = Fleet::open(store, configs, now, &SystemEntropy).unwrap();
    assert_eq!(recovery.damages, 0);
    let fleet = SharedFleet::new(fleet, clock.clone(), Arc::new(SystemEntropy));
    let endpoint: Endpoint = "tcp://127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(&endpoint, &[], Limits::default(), clock.clone())
        .await
        .unwrap();
    let endpoint = listener.local().clone();
    tokio::spawn(serve(
        listener,
        fleet.clone(),
        Service::default(),
        clock.clone(),
    ));
    Site {
        fleet,
        endpoint,
        clock,
        keys,
    }
}

impl Site {
    async fn client(&self, place: usize, sap: u16, floor: u32) -> Result<Client, ClientError> {
        let keys = &self.keys.meters[place];
        let (config, security) = Peer::settings(sap, keys, floor);
        let association = Association {
            client: sap,
            server: u16::try_from(place).unwrap() + 1,
            config,
            counters: security
                .is_some()
                .then(|| Arc::new(Forgetful) as Arc<dyn CounterStore>),
            security,
            password: keys.client(sap).and_then(|held| held.password.clone()),
            dedicated: false,
            counter: None,
            drkey: None,
        };
        let surroundings = Surroundings {
            clock: self.clock.clone(),
            ..Surroundings::system()
        };
        Client::connect(&self.endpoint, association, &surroundings, LIMIT).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_meters_answer_many_clients() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock {
        system: SystemClock::new(),
        unix_seconds: AtomicI64::new(NOON.secs()),
    });
    let keys = KeyFile::generate(1, METERS, &SystemEntropy).unwrap();
    let site = Arc::new(start(dir.path(), clock.clone(), keys.clone()).await);
    let mut readers = tokio::task::JoinSet::new();
    for place in 0..site.keys.meters.len() {
        let site = site.clone();
        readers.spawn(async move {
            for sap in [READING, MANAGEMENT] {
                let mut client = site.client(place, sap, 1).await.unwrap();
                let name = client.read(attribute("1 0.0.42.0.0.255 2")).await.unwrap();
                let expected = &site.keys.meters[place].logical_device_name;
                assert_eq!(name, Data::octet_string(expected.as_str().as_bytes()));
                let time = |secs| DateTime::from_unix_seconds(secs, -60, ClockStatus::OK).unwrap();
                let day = RangeDescriptor::by_clock(
                    &time(NOON.secs() - 86_400),
                    &time(NOON.secs() - 900),
                );
                let day = ProfileSelection::Range(day);
                let profile = attribute("7 1.0.99.1.0.255 2");
                let octets = client
                    .read_octets(profile, Some(&day), &mut |_| {})
                    .await
                    .unwrap();
                let rows = RawData::new(&octets).decode().unwrap();
                assert_eq!(rows.as_array().unwrap().len(), 96);
                client.release().await;
            }
        });
    }
    while let Some(outcome) = readers.join_next().await {
        outcome.unwrap();
    }

    // One breaker is opened, and its state read back.
    let state_of_breaker = attribute("70 0.0.96.3.10.255 3");
    let mut client = site.client(7, MANAGEMENT, 10_000).await.unwrap();
    assert_eq!(client.read(state_of_breaker).await.unwrap(), Data::Enum(1));
    let breaker = attribute("70 0.0.96.3.10.255 1");
    let disconnect = MethodDescriptor::new(breaker.class_id, breaker.instance, 1);
    client.invoke(disconnect, None).await.unwrap();
    assert_eq!(client.read(state_of_breaker).await.unwrap(), Data::Enum(0));

    // Time passes; the keeper of the time captures for all.
    let rows = |site: &Site, place| {
        let rows = site
            .fleet
            .with_device(place, |device| device.history().len());
        rows.unwrap()
    };
    let before = rows(&site, 0);
    clock.unix_seconds.fetch_add(1_800, Ordering::SeqCst);
    site.fleet.tick().unwrap();
    assert_eq!(rows(&site, 0), before + 2);
    // A meter that is asked first catches up by itself.
    clock.unix_seconds.fetch_add(900, Ordering::SeqCst);
    let in_use = attribute("7 1.0.99.1.0.255 7");
    let shown = client.read(in_use).await.unwrap().as_u32().unwrap();
    assert_eq!(usize::try_from(shown).unwrap(), before + 3);
    site.fleet.tick().unwrap();
    client.release().await;

    // The same folder later: everything is there.
    let Ok(site) = Arc::try_unwrap(site) else {
        panic!("a reader is still there");
    };
    let state = |site: &Site| {
        let state =
            |device: &meter::device::Device| (device.breaker_state(), device.history().len());
        site.fleet.with_device(7, state).unwrap()
    };
    let (breaker, rows) = state(&site);
    assert_eq!(breaker, BreakerState::Disconnected);
    drop(site);
    let dir = std::fs::read_dir(dir.path())
        .map(|_| dir.path().to_owned())
        .unwrap();
    let copy = tempfile::tempdir().unwrap();
    // The first fleet may still hold its folder for the links that end: a copy is a power cut.
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let site = start(copy.path(), clock, keys).await;
    assert_eq!(state(&site), (breaker, rows));
    assert!(
        site.client(7, MANAGEMENT, 1).await.is_err(),
        "counters went back"
    );
    let mut client = site.client(7, MANAGEMENT, 100_000).await.unwrap();
    assert_eq!(client.read(state_of_breaker).await.unwrap(), Data::Enum(0));
}
