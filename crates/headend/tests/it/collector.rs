//! Evidence: self-agreement, in the meters' own time: the collector as a whole, over a store on disk
//! and meters that answer from a formula.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use headend::collector::{Collector, Leases};
use headend::fleet::Fleet;
use headend::hub::Hub;
use headend::store::{LOAD_PROFILE, Store};
use headend::{Clock as _, Config};
use link::{Entropy, SystemEntropy};
use model::{MeterId, Timestamp};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api::until;
use crate::fake::{FakeAccess, FakeClock, FakeMeters};
use crate::support::{NOON, Site, enrolment, rows, sweep, wait};

/// A collector that runs over one meter.
struct Running {
    _folder: TempDir,
    store: Arc<dyn Store>,
    fleet: Arc<Fleet>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(
        site: Site,
        config: &Config,
        meters: &Arc<FakeMeters>,
        entropy: impl FnOnce(&Arc<Fleet>) -> Arc<dyn Entropy>,
    ) -> Self {
        let Site { folder, store } = site;
        let store: Arc<dyn Store> = Arc::new(store);
        let hub = Arc::new(Hub::new(0));
        let fleet = Fleet::load(&*store, config, hub, meters.clock.now()).unwrap();
        let fleet = Arc::new(fleet);
        let entropy = entropy(&fleet);
        let (collector, _) = Collector::new(
            Arc::clone(&store),
            Arc::new(FakeAccess(Arc::clone(meters))),
            Arc::clone(&fleet),
            Arc::<FakeClock>::clone(&meters.clock),
            Leases::default(),
            entropy,
            config.collector.clone(),
        );
        let (stop, stopped) = watch::channel(false);
        Self {
            _folder: folder,
            store,
            fleet,
            stop,
            task: tokio::spawn(collector.run(stopped)),
        }
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

/// A site with one meter, enrolled from outside of a runtime.
async fn site(prepare: impl FnOnce(&Site, MeterId) + Send + 'static) -> (Site, MeterId) {
    let made = tokio::task::spawn_blocking(|| {
        let site = Site::new();
        let meter = site.enrol(1);
        prepare(&site, meter);
        (site, meter)
    });
    made.await.unwrap()
}

/// Where half of an association's time is over before the first span is asked for, one is asked for
/// all the same: else nothing ever came of a meter with more gaps than one.
#[tokio::test]
async fn a_slow_meter_gives_its_gaps_one_after_the_other() {
    let hours = |hours: i64| NOON - hours * 3_600;
    let (site, meter) = site(move |site, meter| {
        // Four gaps of an hour each, too far apart to be asked for together.
        for from in [16, 12, 8, 4] {
            let twelve = rows(hours(from), 12);
            wait(site.store.ingest(sweep(meter, hours(1), twelve))).unwrap();
        }
    })
    .await;
    let meters = FakeMeters::new(FakeClock::at(NOON));
    let config = Config::default();
    let timeout_s = i64::from(config.collector.timeout_s);
    meters.slow_s.store(timeout_s * 2 / 3, Ordering::SeqCst);
    let missing = |store: &dyn Store| {
        store
            .gaps(meter, LOAD_PROFILE, hours(16)..hours(1))
            .unwrap()
    };
    assert_eq!(missing(&site.store).len(), 3);
    let running = Running::start(site, &config, &meters, |_| Arc::new(SystemEntropy));
    until("no gap is left", async || {
        missing(&*running.store).is_empty().then_some(())
    })
    .await;
    running.stop().await;
}

/// Entropy that is asked for while meters are put in, and lets a concentrator be found silent then.
struct Meanwhile(Arc<Fleet>);

impl Entropy for Meanwhile {
    fn fill(&self, out: &mut [u8]) -> std::io::Result<()> {
        self.0.lines().silent(&enrolment(1).endpoint);
        SystemEntropy.fill(out)
    }
}

/// What is told of a segment while the collector takes its meters is not lost.
#[tokio::test]
async fn a_meter_is_read_whose_concentrator_was_looked_at_meanwhile() {
    let (site, meter) = site(|_, _| {}).await;
    let endpoint = enrolment(1).endpoint;
    let text =
        format!("[[concentrator]]\nendpoint = \"{endpoint}\"\nname = \"GWD1DC0000000001\"\n");
    let config: Config = toml::from_str(&text).unwrap();
    let meters = FakeMeters::new(FakeClock::at(NOON));
    let entropy =
        |fleet: &Arc<Fleet>| -> Arc<dyn Entropy> { Arc::new(Meanwhile(Arc::clone(fleet))) };
    let running = Running::start(site, &config, &meters, entropy);
    until("the meter is read", async || {
        let states = running.store.states().unwrap();
        states.get(&meter)?.reached
    })
    .await;
    running.stop().await;
}

/// Each word of a concentrator reaches the meters that have it among their ways.
#[tokio::test]
async fn a_meter_with_two_ways_is_read_once_both_were_looked_at() {
    const OTHER: &str = "tcp://127.0.0.1:4060";
    let (site, meter) = site(|site, _| {
        let mut two = enrolment(1);
        two.endpoint.push(' ');
        two.endpoint.push_str(OTHER);
        wait(site.store.enrol(vec![two], Timestamp::from_secs(NOON))).unwrap();
    })
    .await;
    let endpoint = enrolment(1).endpoint;
    let one = |endpoint: &str, number: u32| {
        format!("[[concentrator]]\nendpoint = \"{endpoint}\"\nname = \"GWD1DC000000000{number}\"\n")
    };
    let config: Config = toml::from_str(&(one(&endpoint, 1) + &one(OTHER, 2))).unwrap();
    let meters = FakeMeters::new(FakeClock::at(NOON));
    let running = Running::start(site, &config, &meters, |_| Arc::new(SystemEntropy));
    let lines = Arc::clone(running.fleet.lines());
    lines.silent(&endpoint);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(meters.opened.load(Ordering::SeqCst), 0);
    lines.silent(OTHER);
    until("the meter is read", async || {
        let states = running.store.states().unwrap();
        states.get(&meter)?.reached
    })
    .await;
    running.stop().await;
}
