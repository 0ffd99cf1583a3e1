//! What the store and the fleet's figures take, on a real disk: meter-days ingested a second with
//! every one durable before it is acknowledged, and what a page of a fleet of 100,000 costs.
//!
//! `cargo bench -p headend --bench store [-- METERS DAYS]`
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark reads the clock, prints, and stops where it fails"
)]

use dlms::cosem::Obis;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headend::fleet::{Fleet, HealthKind};
use headend::hub::Hub;
use headend::store::{
    Channel, Contact, Enrolment, LOAD_PROFILE, ProfileLayout, ProfileRows, SqliteOptions,
    SqliteStore, Store, Sweep,
};
use headend::{Calendar, Config};
use model::{Interval, IntervalStatus, MeterId, Timestamp};
use tokio::sync::Semaphore;

const DAY: i64 = 86_400;
/// 2026-11-21T00:00:00Z.
const TODAY: i64 = 20_778 * DAY;
const COLLECTORS: usize = 128;

fn main() {
    let numbers: Vec<u32> = std::env::args()
        .filter_map(|word| word.parse().ok())
        .collect();
    let meters = numbers.first().copied().unwrap_or(10_000);
    let days = numbers.get(1).copied().unwrap_or(7);
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(folder.path(), Calendar::new("UTC").unwrap());
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&options).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();

    let begun = Instant::now();
    runtime.block_on(enrol(&*store, meters));
    println!("enrolment of {meters} meters: {:?}", begun.elapsed());

    let begun = Instant::now();
    for day in 0..i64::from(days) {
        runtime.block_on(collect(
            &store,
            meters,
            TODAY - (i64::from(days) - day) * DAY,
        ));
    }
    let spent = begun.elapsed();
    let figures = store.figures();
    let meter_days = u64::from(meters) * u64::from(days);
    println!(
        "ingest: {meter_days} meter-days of 96 rows in {spent:?}: {:.0} meter-days/s, {:.2} M rows/s, \
         {} commits",
        per_second(meter_days, spent),
        per_second(figures.rows, spent) / 1e6,
        figures.commits,
    );
    let size: u64 = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    println!(
        "on disk: {:.2} octets a row, log included",
        size as f64 / figures.rows as f64
    );

    let calendar = store.calendar().clone();
    let day = calendar.day_of(TODAY - DAY);
    let totals = timed("day totals of all meters, from columns", || {
        store.day_totals(LOAD_PROFILE, day).unwrap().len()
    });
    assert_eq!(totals, usize::try_from(meters).unwrap());
    let span = TODAY - i64::from(days) * DAY..TODAY;
    let meter = MeterId::new(1).unwrap();
    timed("all rows of one meter", || {
        store.rows(meter, LOAD_PROFILE, span.clone()).unwrap().len()
    });
    timed("gaps of one meter", || {
        store.gaps(meter, LOAD_PROFILE, span.clone()).unwrap().len()
    });
    timed("intervals received, each meter and day", || {
        store.day_counts(day.plus(-30)).unwrap().len()
    });

    let now = Timestamp::from_secs(TODAY + 3_600);
    let fleet = timed("the fleet loaded into memory", || {
        let hub = Arc::new(Hub::new(1));
        Fleet::load(&*store, &Config::default(), hub, now).unwrap()
    });
    timed("the fleet judged, every meter and day", || {
        let judge = fleet.judge(now);
        fleet.with_meters(|meters| {
            let healthy = |meter| judge.health(meter).kind == HealthKind::Read;
            let received: u32 = meters
                .values()
                .flat_map(|meter| judge.figures(meter))
                .map(|figure| figure.received)
                .sum();
            (
                meters.values().filter(|meter| healthy(meter)).count(),
                received,
            )
        })
    });
}

fn per_second(count: u64, spent: Duration) -> f64 {
    count as f64 / spent.as_secs_f64()
}

fn timed<T>(what: &str, mut work: impl FnMut() -> T) -> T {
    work();
    let begun = Instant::now();
    let result = work();
    println!("{what}: {:?}", begun.elapsed());
    result
}

async fn enrol(store: &dyn Store, meters: u32) {
    let all: Vec<Enrolment> = (1..=meters)
        .map(|number| Enrolment {
            name: format!("GWD{number:013}").parse().unwrap(),
            system_title: None,
            endpoint: "tcp://127.0.0.1:4059".to_owned(),
            server: 1,
            client: 1,
            place: format!("Place {number}").parse().unwrap(),
            feeder: None,
            phase: None,
            load_profile: LOAD_PROFILE,
            secrets: Vec::new(),
        })
        .collect();
    let at = Timestamp::from_secs(TODAY);
    for chunk in all.chunks(5_000) {
        store.enrol(chunk.to_vec(), at).await.unwrap();
    }
}

async fn collect(store: &Arc<dyn Store>, meters: u32, day: i64) {
    let slots = Arc::new(Semaphore::new(COLLECTORS));
    for number in 1..=meters {
        let slot = Arc::clone(&slots).acquire_owned().await.unwrap();
        let write = store.ingest(sweep(number, day));
        tokio::spawn(async move {
            assert_eq!(write.await.unwrap().added, 96);
            drop(slot);
        });
    }
    drop(
        slots
            .acquire_many(u32::try_from(COLLECTORS).unwrap())
            .await
            .unwrap(),
    );
}

fn sweep(number: u32, day: i64) -> Sweep {
    let channel = |object| Channel {
        object,
        attribute: 2,
        scaler: 0,
        unit: 30,
    };
    let mut register = (day - TODAY) / 10 + i64::from(number) * 1_000_000;
    let mut noise = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ day.unsigned_abs();
    let rows = (0..96).map(|slot| {
        noise = noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        register += i64::try_from(noise >> 55).unwrap();
        Interval {
            start: Timestamp::from_secs(day + slot * 900),
            duration_s: 900,
            values: vec![Some(register), Some(0)],
            status: IntervalStatus::default(),
        }
    });
    let contact = Contact::Reached { rtt_us: None };
    let meter = MeterId::new(u64::from(number)).unwrap();
    let mut sweep = Sweep::new(meter, Timestamp::from_secs(TODAY + 3_600), contact);
    sweep.profiles.push(ProfileRows {
        layout: ProfileLayout {
            object: LOAD_PROFILE,
            period_s: 900,
            channels: vec![
                channel(Obis::new(1, 0, 1, 8, 0, 255)),
                channel(Obis::new(1, 0, 2, 8, 0, 255)),
            ],
        },
        asked: Some(day..day + DAY),
        rows: rows.collect(),
    });
    sweep
}
