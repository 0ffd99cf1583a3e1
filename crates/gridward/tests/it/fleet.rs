//! Whole fleets in virtual time: the head end's collector, key service and
//! SQLite store, and hundreds of meters with their journals, over a field that
//! loses, doubles, swaps and damages messages, is cut and mended, while meters
//! lose their supply and the head end is killed.
//!
//! Evidence: what is in the store, against what the meters hold; what was on
//! the wire, against what may be; self-agreement of both ends for all that.
//! The seed tells everything: the same seed gives the same messages at the
//! same times.

#[path = "../../../meter/tests/it/disk.rs"]
#[expect(dead_code, reason = "the meter's own tests use all of it")]
pub(crate) mod disk;
mod head;
mod store;
mod street;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use headend::store::{LOAD_PROFILE, Store as _};
use link::{Clock as _, Endpoint, FaultPlan, KeyFile, Service};
use meter::device::DeviceConfig;
use meter::fleet::Fleet;
use meter::population::Population;
use meter::shell::SharedFleet;
use meter::template::Template;
use model::Timestamp;
use sim::{Field, Incoming, Network, SeededEntropy, SimClock, draw};
use tokio::task::{JoinHandle, JoinSet};

use disk::{Disk, Random};
use head::Head;
use watch::Watch;

/// 2026-03-16T00:00:00+01:00: two weeks before daylight saving begins.
const START: i64 = 1_773_615_600;
/// Before all that the meters hold.
const FROM: i64 = START - 2 * 86_400;
const DAY_S: u64 = 86_400;

/// What a run is like.
#[derive(Clone, Copy)]
struct Plan {
    seed: u64,
    meters: u32,
    days: u64,
    /// Between two collections of a meter.
    every_s: u32,
    faults: FaultPlan,
    /// How often a meter loses its supply, a link is cut and the head end is
    /// killed, in days between.
    restarts_every: u64,
    cuts_every: u64,
    kills_every: u64,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// A digest of every message, with its time and place.
    trace: u64,
    messages: u64,
    rows: u64,
    missing: u64,
    restarts: u32,
    cuts: u32,
    kills: u32,
}

/// What happens to the world, at its time in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Blow {
    Restart(usize),
    Cut(usize),
    Mend(usize),
    Kill,
    Rise,
}

/// Draws all that will happen.
fn script(plan: &Plan) -> Vec<(u64, Blow)> {
    let mut random = Random(draw(plan.seed, 1));
    let mut script = Vec::new();
    let end = plan.days * DAY_S;
    let mut often = |every: u64, what: &mut dyn FnMut(u64, &mut Random)| {
        let mut at = 0;
        loop {
            at += 1 + random.below(2 * every * DAY_S);
            if at >= end {
                break;
            }
            what(at, &mut random);
        }
    };
    for place in 0..usize::try_from(plan.meters).unwrap() {
        often(plan.restarts_every, &mut |at, _| {
            script.push((at, Blow::Restart(place)));
        });
        often(plan.cuts_every, &mut |at, random| {
            script.push((at, Blow::Cut(place)));
            script.push((at + 60 + random.below(2 * DAY_S), Blow::Mend(place)));
        });
    }
    often(plan.kills_every, &mut |at, random| {
        script.push((at, Blow::Kill));
        script.push((at + 5 + random.below(7_200), Blow::Rise));
    });
    script.sort_unstable();
    script
}

/// One meter with its disk, as a process of its own.
struct Home {
    endpoint: Endpoint,
    config: DeviceConfig,
    disk: Disk,
    entropy: Arc<SeededEntropy>,
    fleet: Option<Arc<SharedFleet<Disk>>>,
    task: Option<JoinHandle<()>>,
}

impl Home {
    /// Starts it, or starts it again on what its disk holds.
    fn start(&mut self, field: &Field, clock: SimClock) {
        let now = Timestamp::from_millis(clock.unix_millis());
        let configs = vec![self.config.clone()];
        let (fleet, _) = Fleet::open(self.disk.clone(), configs, now, &*self.entropy).unwrap();
        let fleet = SharedFleet::new(fleet, Arc::new(clock), Arc::clone(&self.entropy) as _);
        self.fleet = Some(Arc::clone(&fleet));
        let lossy = self.endpoint.loses_messages();
        self.task = Some(tokio::spawn(live(
            fleet,
            field.open(&self.endpoint),
            clock,
            lossy,
        )));
    }

    /// Takes its supply away, in the middle of whatever it does.
    async fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            drop(task.await);
        }
        self.fleet = None;
    }

    /// Tells all rows that it holds: time, status, values.
    fn rows(&self) -> BTreeMap<i64, (u8, Vec<i64>)> {
        let fleet = self.fleet.as_ref().unwrap();
        fleet.tick().unwrap();
        let rows = fleet.with_device(0, |device| {
            let mut all = BTreeMap::new();
            let mut rows = device.history().iter();
            while let Some(row) = rows.next_row() {
                let values = row.values().iter().map(|it| i64::try_from(*it).unwrap());
                let before = all.insert(row.at_s, (row.status.bits(), values.collect()));
                assert!(before.is_none(), "a row stands twice in the meter");
            }
            all
        });
        rows.unwrap()
    }
}

/// Serves a meter's links and keeps its time.
async fn live(fleet: Arc<SharedFleet<Disk>>, mut incoming: Incoming, clock: SimClock, lossy: bool) {
    let devices = fleet.only(0).unwrap();
    let mut service = Service::default();
    service.settings.lossy = lossy;
    let mut links = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(link) = incoming.recv() => {
                links.spawn(link::serve(link, Arc::clone(&devices), service, Arc::new(clock)));
            }
            Some(_) = links.join_next() => {}
            () = tokio::time::sleep(Duration::from_secs(3 * 3_600)) => fleet.tick().unwrap(),
        }
    }
}

fn run(plan: Plan) -> Found {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(simulate(plan))
}

/// Waits until so many seconds have passed since the beginning.
async fn until(clock: SimClock, secs: u64) {
    let passed = Duration::from_micros(clock.now().as_micros());
    tokio::time::sleep(Duration::from_secs(secs).saturating_sub(passed)).await;
}

async fn simulate(plan: Plan) -> Found {
    let clock = SimClock::starting_at(START);
    let watch = Arc::new(Watch::new(clock));
    let network = Network {
        latency: Duration::from_millis(35),
        faults: FaultPlan {
            seed: draw(plan.seed, 2),
            ..plan.faults
        },
    };
    let field = Arc::new(Field::new(network, Some(Arc::clone(&watch) as _)));
    let keys = KeyFile::generate(1, plan.meters, &SeededEntropy::new(draw(plan.seed, 3))).unwrap();
    let population = Population {
        seed: plan.seed,
        history_days: 0,
        consecutive_saps: false,
        ..Population::default()
    };
    let template = Arc::new(Template::built_in("smr5").unwrap());
    let now = Timestamp::from_secs(START);
    let configs = population.configs(&template, keys.meters.clone(), now);
    let mut homes: Vec<Home> = configs
        .into_iter()
        .enumerate()
        .map(|(place, config)| {
            // Half of the meters are asked with repetition, half without.
            let scheme = if place % 2 == 0 { "tcp" } else { "udp" };
            Home {
                endpoint: format!("{scheme}://home-{place}:4059").parse().unwrap(),
                config,
                disk: Disk::default(),
                entropy: Arc::new(SeededEntropy::new(draw(plan.seed, 1_000 + place as u64))),
                fleet: None,
                task: None,
            }
        })
        .collect();
    for home in &mut homes {
        home.start(&field, clock);
    }
    let mut head = Head::new(
        &plan,
        &keys,
        &homes,
        Arc::clone(&field),
        Arc::clone(&watch),
        clock,
    );
    head.start().await;

    let mut random = Random(draw(plan.seed, 4));
    let (mut restarts, mut cuts, mut kills) = (0, 0, 0);
    for (at, blow) in script(&plan) {
        until(clock, at).await;
        match blow {
            Blow::Restart(place) => {
                homes[place].stop().await;
                homes[place].disk.power_cut(&mut random);
                homes[place].start(&field, clock);
                restarts += 1;
            }
            Blow::Cut(place) => {
                field.cut(&homes[place].endpoint);
                cuts += 1;
            }
            Blow::Mend(place) => field.mend(&homes[place].endpoint),
            Blow::Kill => {
                head.kill().await;
                kills += 1;
            }
            Blow::Rise => head.start().await,
        }
    }
    // Everything works again, and there is time to catch up.
    for home in &homes {
        field.mend(&home.endpoint);
    }
    head.start().await;
    let catching_up = 2 * DAY_S + 2 * u64::from(plan.every_s);
    until(clock, plan.days * DAY_S + catching_up).await;
    head.stop().await;

    let store = head.open_store();
    let (mut rows, mut missing) = (0, 0);
    let until = clock.unix_seconds();
    for (meter, home) in store.meters().unwrap().iter().zip(&homes) {
        let held = home.rows();
        let name = meter.enrolment.name.to_string();
        let slices = store.rows(meter.id, LOAD_PROFILE, FROM..until).unwrap();
        let mut stored = BTreeMap::new();
        for row in slices.iter().flat_map(|slice| &slice.rows) {
            let values = row.values.iter().map(|value| value.unwrap()).collect();
            let before = stored.insert(row.captured().secs(), (row.status.bits(), values));
            assert!(before.is_none(), "{name}: a row stands twice in the store");
        }
        let newest = *stored.last_key_value().unwrap().0;
        assert!(
            until - newest <= 2 * i64::from(plan.every_s) + 7_200,
            "{name} is late"
        );
        let held: BTreeMap<_, _> = held.into_iter().filter(|(at, _)| *at <= newest).collect();
        for (at, row) in &held {
            assert_eq!(stored.get(at), Some(row), "{name} at {at}");
        }
        assert_eq!(
            stored.len(),
            held.len(),
            "{name}: rows that the meter does not hold"
        );
        // Every other interval up to there is a gap, and the meter was asked for it.
        let gaps = store.gaps(meter.id, LOAD_PROFILE, FROM..newest).unwrap();
        let mut gone: Vec<i64> = Vec::new();
        for gap in &gaps {
            assert!(gap.refused.is_some(), "{name}: {gap:?} was not asked for");
            gone.extend((gap.range.start + 900..=gap.range.end).step_by(900));
        }
        let first = meter.expected_from.secs() + 900;
        let expected: Vec<i64> = (first..=newest)
            .step_by(900)
            .filter(|at| !held.contains_key(at))
            .collect();
        assert_eq!(gone, expected, "{name}: gaps");
        rows += stored.len() as u64;
        missing += gone.len() as u64;
    }
    for home in &mut homes {
        home.stop().await;
    }
    let (trace, messages, faults) = watch.told();
    assert_eq!(faults, Vec::<String>::new());
    Found {
        trace,
        messages,
        rows,
        missing,
        restarts,
        cuts,
        kills,
    }
}

const ROUGH: FaultPlan = FaultPlan {
    seed: 0,
    lose: 6,
    double: 6,
    swap: 6,
    corrupt: 3,
    cut_after: 0,
};

#[test]
fn two_hundred_meters_for_thirty_days() {
    let found = run(Plan {
        seed: 2026,
        meters: 200,
        days: 30,
        every_s: 86_400,
        faults: ROUGH,
        restarts_every: 5,
        cuts_every: 10,
        kills_every: 3,
    });
    println!("{found:?}");
    assert!(found.rows > 200 * 30 * 90, "{found:?}");
    assert!(found.missing > 0, "meters without supply capture nothing");
    assert!(
        found.restarts > 600 && found.cuts > 300 && found.kills > 4,
        "{found:?}"
    );
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let plan = |seed| Plan {
        seed,
        meters: 12,
        days: 4,
        every_s: 10_800,
        faults: ROUGH,
        restarts_every: 2,
        cuts_every: 3,
        kills_every: 1,
    };
    for seed in 1..=3 {
        let found = run(plan(seed));
        assert_eq!(found, run(plan(seed)), "seed {seed}");
        assert_ne!(found.trace, run(plan(seed + 100)).trace);
    }
}
