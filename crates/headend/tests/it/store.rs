//! Evidence: self-agreement on a real database, a reference model, and robustness against damage
//! and sudden death.

mod crash;
mod model_based;

use dlms::cosem::Obis;
use headend::store::{
    Carried, Contact, CounterKey, Failure, LOAD_PROFILE, Receipt, RegisterReading, RegisterValue,
    SqliteOptions, SqliteStore, Store, StoreError, Sweep,
};
use headend::{Calendar, Day};
use model::{BreakerState, Event, EventKind, EventSource, IntervalStatus, MeterId, Timestamp};

use crate::support::{MIDNIGHT, NOON, Site, enrolment, paths, row, rows, sweep, wait, zurich};

const DAY: i64 = 86_400;

fn count(site: &Site, day: Day) -> u32 {
    let counts = site.store.day_counts(day).unwrap();
    let counts = counts.iter().filter(|count| count.day == day);
    counts.map(|count| count.received).sum()
}

#[test]
fn ingest_is_idempotent() {
    let site = Site::new();
    let meter = site.enrol(1);
    let day = zurich().day_of(MIDNIGHT - DAY);
    let first = wait(
        site.store
            .ingest(sweep(meter, NOON, rows(MIDNIGHT - DAY, 96))),
    )
    .unwrap();
    assert_eq!((first.added, first.same, first.changed), (96, 0, 0));
    assert_eq!(first.counts[0].received, 96);
    let again = wait(
        site.store
            .ingest(sweep(meter, NOON, rows(MIDNIGHT - DAY, 96))),
    )
    .unwrap();
    assert_eq!((again.added, again.same, again.changed), (0, 96, 0));
    assert_eq!(count(&site, day), 96);
    assert_eq!(
        site.store.versions(meter, LOAD_PROFILE, day).unwrap().len(),
        1
    );
}

#[test]
fn young_days_are_hot_until_sealed_and_read_alike() {
    let site = Site::new();
    let meter = site.enrol(1);
    let today = zurich().day_of(NOON);
    for slot in 0..40 {
        let row = rows(MIDNIGHT + slot * 900, 1);
        let stored = wait(site.store.ingest(sweep(meter, NOON, row))).unwrap();
        assert_eq!(stored.added, 1);
    }
    assert!(
        site.store
            .versions(meter, LOAD_PROFILE, today)
            .unwrap()
            .is_empty()
    );
    let read = |site: &Site| {
        site.store
            .rows(meter, LOAD_PROFILE, MIDNIGHT..MIDNIGHT + DAY)
            .unwrap()
    };
    let hot = read(&site);
    assert_eq!(hot[0].rows, rows(MIDNIGHT, 40));
    assert_eq!(wait(site.store.seal(today, 10)).unwrap(), 0);
    assert_eq!(wait(site.store.seal(today.plus(1), 10)).unwrap(), 1);
    assert_eq!(wait(site.store.seal(today.plus(1), 10)).unwrap(), 0);
    assert_eq!(read(&site), hot);
    assert_eq!(count(&site, today), 40);
    assert_eq!(
        site.store
            .versions(meter, LOAD_PROFILE, today)
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_changed_row_stays_as_an_older_version() {
    let site = Site::new();
    let meter = site.enrol(1);
    let day = zurich().day_of(MIDNIGHT - DAY);
    wait(
        site.store
            .ingest(sweep(meter, NOON, rows(MIDNIGHT - DAY, 96))),
    )
    .unwrap();
    let mut other = row(MIDNIGHT - DAY + 900);
    other.values[0] = Some(5);
    other.status = IntervalStatus::CLOCK_ADJUSTED;
    let stored = wait(site.store.ingest(sweep(meter, NOON, vec![other.clone()]))).unwrap();
    assert_eq!((stored.added, stored.changed), (0, 1));
    let versions = site.store.versions(meter, LOAD_PROFILE, day).unwrap();
    assert_eq!(versions.len(), 2);
    assert_eq!(
        versions[0].rows.row(1).unwrap().values,
        row(MIDNIGHT - DAY + 900).values
    );
    assert_eq!(versions[1].rows.row(1).unwrap().values, other.values);
}

#[test]
fn day_totals_come_from_the_registers_whatever_the_order_of_arrival() {
    let site = Site::new();
    let meter = site.enrol(1);
    let day = zurich().day_of(MIDNIGHT - DAY);
    let total = |site: &Site| site.store.day_totals(LOAD_PROFILE, day).unwrap()[0].clone();
    // With a hole, and before the day before is there.
    let mut holed = rows(MIDNIGHT - DAY, 96);
    holed.drain(30..60);
    wait(site.store.ingest(sweep(meter, NOON, holed))).unwrap();
    assert_eq!(total(&site).totals, [None; 4]);
    assert_eq!(total(&site).closes[0], Some(MIDNIGHT / 36));
    wait(
        site.store
            .ingest(sweep(meter, NOON, rows(MIDNIGHT - 2 * DAY, 96))),
    )
    .unwrap();
    assert_eq!(total(&site).totals, [Some(2_400), Some(0), None, None]);
    assert_eq!(total(&site).received, 66);
}

#[test]
fn gaps_are_named_refused_and_refilled() {
    let site = Site::new();
    let meter = site.enrol(1);
    let span = MIDNIGHT - DAY..MIDNIGHT;
    let mut holed = rows(MIDNIGHT - DAY, 96);
    holed.drain(10..14);
    holed.drain(40..42);
    wait(site.store.ingest(sweep(meter, NOON, holed.clone()))).unwrap();
    let start = |slot: i64| MIDNIGHT - DAY + slot * 900;
    let gaps = site.store.gaps(meter, LOAD_PROFILE, span.clone()).unwrap();
    let seen: Vec<_> = gaps
        .iter()
        .map(|gap| (gap.range.clone(), gap.intervals, gap.refused.is_some()))
        .collect();
    assert_eq!(
        seen,
        [
            (start(10)..start(14), 4, false),
            (start(44)..start(46), 2, false)
        ]
    );
    // Asked for the whole day again: the meter has one of them.
    let mut answer = sweep(meter, NOON, vec![row(start(45))]);
    answer.profiles[0].asked = Some(span.clone());
    wait(site.store.ingest(answer)).unwrap();
    let gaps = site.store.gaps(meter, LOAD_PROFILE, span.clone()).unwrap();
    assert_eq!(gaps.len(), 2);
    assert_eq!(gaps[1].range, start(44)..start(45));
    assert!(gaps.iter().all(|gap| gap.refused.unwrap().0 == 1));
    // A refusal counts up, and goes when the rows come after all.
    let mut answer = sweep(meter, NOON, Vec::new());
    answer.profiles[0].asked = Some(start(12)..start(14));
    wait(site.store.ingest(answer)).unwrap();
    let gaps = site.store.gaps(meter, LOAD_PROFILE, span.clone()).unwrap();
    let tries: Vec<_> = gaps
        .iter()
        .map(|gap| (gap.range.clone(), gap.refused.unwrap().0))
        .collect();
    assert_eq!(
        tries,
        [
            (start(10)..start(12), 1),
            (start(12)..start(14), 2),
            (start(44)..start(45), 1)
        ]
    );
    wait(site.store.ingest(sweep(meter, NOON, rows(start(0), 96)))).unwrap();
    assert!(
        site.store
            .gaps(meter, LOAD_PROFILE, span)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn nothing_is_expected_before_the_first_interval() {
    let site = Site::new();
    let at = Timestamp::from_secs(MIDNIGHT + 3_700);
    let enrolled = wait(site.store.enrol(vec![enrolment(1)], at)).unwrap();
    let meter = enrolled.added[0];
    let gaps = |site: &Site| {
        site.store
            .gaps(meter, LOAD_PROFILE, MIDNIGHT - DAY..MIDNIGHT + 7_200)
            .unwrap()
    };
    assert_eq!(gaps(&site)[0].range, MIDNIGHT + 4_500..MIDNIGHT + 7_200);
    // The meter has older ones: from then on they are expected without a hole.
    let stored = wait(
        site.store
            .ingest(sweep(meter, NOON, vec![row(MIDNIGHT - 900)])),
    )
    .unwrap();
    assert_eq!(
        stored.expected_from,
        Some(Timestamp::from_secs(MIDNIGHT - 900))
    );
    assert_eq!(gaps(&site)[0].range, MIDNIGHT..MIDNIGHT + 7_200);
}

#[test]
fn days_of_92_and_100_intervals_are_full() {
    let site = Site::new();
    let meter = site.enrol(1);
    for (noon, slots) in [(1_774_782_000, 92), (1_792_926_000, 100)] {
        let day = zurich().day_of(noon);
        let bounds = zurich().bounds(day);
        let sweep = sweep(meter, NOON, rows(bounds.start, slots));
        let stored = wait(site.store.ingest(sweep)).unwrap();
        assert_eq!((stored.added, stored.stray), (slots as u64, 0));
        assert!(
            site.store
                .gaps(meter, LOAD_PROFILE, bounds.start..bounds.end)
                .unwrap()
                .is_empty()
        );
    }
}

#[test]
fn rows_off_the_grid_are_kept_apart() {
    let site = Site::new();
    let meter = site.enrol(1);
    let mut odd = row(MIDNIGHT - DAY + 17);
    let stored = wait(site.store.ingest(sweep(meter, NOON, vec![odd.clone()]))).unwrap();
    assert_eq!((stored.added, stored.stray), (0, 1));
    odd.start = odd.start.plus_millis(1);
    let mut short = row(MIDNIGHT - DAY);
    short.duration_s = 300;
    let stored = wait(site.store.ingest(sweep(meter, NOON, vec![short]))).unwrap();
    assert_eq!((stored.added, stored.stray), (0, 1));
    assert_eq!(count(&site, zurich().day_of(MIDNIGHT - DAY)), 0);
}

#[test]
fn states_registers_and_events_are_kept() {
    let site = Site::new();
    let meter = site.enrol(1);
    let at = |secs| Timestamp::from_secs(secs);
    let register = |secs, value| RegisterReading {
        object: Obis::new(1, 0, 1, 8, 1, 255),
        attribute: 2,
        value: RegisterValue::Number {
            value,
            scaler: 0,
            unit: 30,
        },
        at: at(secs),
    };
    let failed = Contact::Failed {
        reason: Failure::NoAnswer,
    };
    for minute in 0..3 {
        wait(
            site.store
                .ingest(Sweep::new(meter, at(NOON + 60 * minute), failed)),
        )
        .unwrap();
    }
    let failing = site.store.states().unwrap()[&meter].failing.unwrap();
    assert_eq!((failing.since, failing.attempts), (at(NOON), 3));

    let event = Event {
        at: at(NOON - 5),
        source: EventSource::Meter(Obis::new(0, 0, 99, 98, 1, 255)),
        code: EventKind::MeterCoverRemoved.code(),
    };
    let mut sweep = Sweep::new(meter, at(NOON + 300), Contact::Reached { rtt_us: None });
    sweep.registers = vec![register(NOON - DAY, 100), register(NOON, 140)];
    sweep.events = vec![event, event];
    sweep.breaker = Some(BreakerState::Connected);
    let stored = wait(site.store.ingest(sweep)).unwrap();
    assert_eq!(stored.events, [event]);
    let site = site.reopen();
    let state = site.store.states().unwrap()[&meter].clone();
    assert_eq!(state, stored.state);
    assert_eq!(state.failing, None);
    assert_eq!(
        state.breaker,
        Some((BreakerState::Connected, at(NOON + 300)))
    );
    let rows = site.store.registers(meter).unwrap();
    assert_eq!(rows[0].last, register(NOON, 140));
    assert_eq!(rows[0].earlier, Some((100, at(NOON - DAY))));
    assert_eq!(
        site.store.events(meter, None, 10).unwrap(),
        (1, vec![event])
    );
    assert_eq!(
        site.store.events_since(at(NOON - 60)).unwrap(),
        [(meter, event)]
    );
}

#[test]
fn counters_are_reserved_once_across_restarts() {
    let mut site = Site::new();
    let key = CounterKey {
        meter: site.enrol(1),
        client: 1,
    };
    let mut past = 0;
    for round in 0..4 {
        let block = wait(site.store.reserve_counters(key, 1_000, round)).unwrap();
        assert!(block.start >= past && block.len() == 1_000);
        past = block.end;
        site = site.reopen();
        assert_eq!(site.store.counter(key).unwrap(), past);
    }
    let block = wait(site.store.reserve_counters(key, 10, 1_000_000)).unwrap();
    assert_eq!(block, 1_000_000..1_000_010);
    let error = wait(site.store.reserve_counters(key, 10, u32::MAX - 5)).unwrap_err();
    assert!(matches!(error, StoreError::CounterExhausted));
    assert_eq!(site.store.counter(key).unwrap(), 1_000_010);
}

#[test]
fn enrolling_again_changes_only_what_changed() {
    let site = Site::new();
    let id = site.enrol(1);
    let at = Timestamp::from_secs(NOON);
    let same = wait(site.store.enrol(vec![enrolment(1)], at)).unwrap();
    assert_eq!((same.unchanged, same.updated.len()), (1, 0));
    let mut moved = enrolment(1);
    moved.place = "Lindenweg 16".parse().unwrap();
    let updated = wait(site.store.enrol(vec![moved.clone()], at)).unwrap();
    assert_eq!(updated.updated, [id]);
    assert_eq!(site.store.meters().unwrap()[0].enrolment, moved);
}

#[test]
fn what_no_meter_sent_is_refused() {
    let site = Site::new();
    let meter = site.enrol(1);
    let unknown = MeterId::new(77).unwrap();
    let error = wait(site.store.ingest(sweep(unknown, NOON, Vec::new()))).unwrap_err();
    assert!(matches!(error, StoreError::UnknownMeter(id) if id == unknown));
    let mut narrow = row(MIDNIGHT);
    narrow.values.pop();
    let error = wait(site.store.ingest(sweep(meter, NOON, vec![narrow]))).unwrap_err();
    assert!(matches!(error, StoreError::TooMuch));
    let mut odd = sweep(meter, NOON, Vec::new());
    odd.profiles[0].layout.period_s = 7;
    let error = wait(site.store.ingest(odd)).unwrap_err();
    assert!(matches!(error, StoreError::TooMuch));
}

#[test]
fn a_failed_write_takes_no_other_with_it() {
    let site = Site::new();
    let meter = site.enrol(1);
    let unknown = MeterId::new(77).unwrap();
    let (good, bad, good_too) = wait(async {
        tokio::join!(
            site.store
                .ingest(sweep(meter, NOON, rows(MIDNIGHT - DAY, 96))),
            site.store.ingest(sweep(unknown, NOON, rows(MIDNIGHT, 96))),
            site.store
                .ingest(sweep(meter, NOON, rows(MIDNIGHT - 2 * DAY, 96))),
        )
    });
    assert_eq!(good.unwrap().added, 96);
    assert!(bad.is_err());
    assert_eq!(good_too.unwrap().added, 96);
}

#[test]
fn many_writes_share_one_commit() {
    let site = Site::new();
    let meter = site.enrol(1);
    let before = site.store.figures();
    wait(async {
        let mut writes = Vec::new();
        for day in 1..200 {
            let sweep = sweep(meter, NOON, rows(MIDNIGHT - day * DAY, 96));
            writes.push(tokio::spawn(site.store.ingest(sweep)));
        }
        for write in writes {
            write.await.unwrap().unwrap();
        }
    });
    let after = site.store.figures();
    assert_eq!(after.writes - before.writes, 199);
    assert!(after.commits - before.commits < 199);
    assert_eq!(after.rows - before.rows, 199 * 96);
}

#[test]
fn the_folder_belongs_to_one_process() {
    let site = Site::new();
    let options = SqliteOptions::new(site.folder.path(), zurich());
    let error = SqliteStore::open(&options).unwrap_err();
    assert!(matches!(error, StoreError::InUse));
}

#[test]
fn files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    site.enrol(1);
    for entry in std::fs::read_dir(site.folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", entry.path());
    }
}

#[test]
fn another_zone_a_newer_schema_and_foreign_files_are_refused() {
    let site = Site::new();
    let Site { folder, store } = site;
    drop(store);
    let open = |zone: &str| {
        let options = SqliteOptions::new(folder.path(), Calendar::new(zone).unwrap());
        loop {
            match SqliteStore::open(&options) {
                Err(StoreError::InUse) => std::thread::yield_now(),
                other => return other.map(drop),
            }
        }
    };
    assert!(matches!(
        open("Asia/Kolkata"),
        Err(StoreError::OtherZone { .. })
    ));
    let path = folder.path().join("headend.sqlite");
    let sql = |sql: &str| {
        rusqlite::Connection::open(&path)
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    };
    sql("PRAGMA user_version = 99");
    let error = open("Europe/Zurich").unwrap_err();
    assert!(matches!(error, StoreError::NewerSchema { found: 99, .. }));
    sql("PRAGMA application_id = 7");
    assert!(matches!(open("Europe/Zurich"), Err(StoreError::NotOurs)));
}

#[test]
fn a_damaged_block_is_an_error_for_its_day_only() {
    let site = Site::new();
    let meter = site.enrol(1);
    wait(
        site.store
            .ingest(sweep(meter, NOON, rows(MIDNIGHT - 2 * DAY, 192))),
    )
    .unwrap();
    let path = site.folder.path().join("headend.sqlite");
    rusqlite::Connection::open(path)
        .unwrap()
        .execute(
            "UPDATE block SET rows = CAST(substr(rows, 1, 9) || x'ffff' || substr(rows, 12) AS BLOB)
             WHERE day = ?1",
            [zurich().day_of(MIDNIGHT - DAY).number()],
        )
        .unwrap();
    let read = |from| site.store.rows(meter, LOAD_PROFILE, from..from + DAY);
    assert_eq!(read(MIDNIGHT - 2 * DAY).unwrap()[0].rows.len(), 96);
    assert!(matches!(
        read(MIDNIGHT - DAY),
        Err(StoreError::Damaged { .. })
    ));
    // Another ingest does not paper over the damage.
    let stored = wait(
        site.store
            .ingest(sweep(meter, NOON, rows(MIDNIGHT - DAY, 96))),
    );
    assert!(matches!(stored, Err(StoreError::Damaged { .. })));
}

fn receipt(way: u8, at: i64, carried: &[(i64, i64)]) -> Receipt {
    let carried = carried.iter().map(|span| Carried {
        object: LOAD_PROFILE,
        span: span.0..span.1,
    });
    Receipt {
        first: Timestamp::from_secs(at),
        last: Timestamp::from_secs(at + 1),
        paths: paths(way),
        carried: carried.collect(),
    }
}

/// Stores an association in which answers took these ways.
fn came_by(site: &Site, meter: MeterId, receipts: Vec<Receipt>) {
    let mut sweep = sweep(meter, NOON, Vec::new());
    sweep.profiles.clear();
    sweep.receipts = receipts;
    wait(site.store.ingest(sweep)).unwrap();
}

#[test]
fn readings_by_the_same_paths_are_one_run_and_none_spans_what_came_otherwise() {
    let site = Site::new();
    let (meter, other) = (site.enrol(1), site.enrol(2));
    came_by(
        &site,
        meter,
        vec![
            receipt(1, 100, &[(0, 900)]),
            receipt(1, 101, &[(900, 1_800)]),
        ],
    );
    came_by(&site, meter, vec![receipt(1, 200, &[(3_600, 4_500)])]);
    came_by(&site, other, vec![receipt(1, 210, &[])]);
    // A failover within one association: both have it.
    came_by(
        &site,
        meter,
        vec![
            receipt(1, 300, &[(4_500, 5_400)]),
            receipt(2, 300, &[(4_500, 5_400)]),
        ],
    );
    came_by(&site, meter, vec![receipt(2, 400, &[])]);
    // Over another network.
    came_by(&site, meter, Vec::new());
    came_by(&site, meter, vec![receipt(2, 600, &[])]);
    let site = site.reopen();
    let (total, runs) = site.store.path_runs(meter, None, 10).unwrap();
    let told: Vec<_> = runs
        .iter()
        .map(|run| {
            let receipt = &run.receipt;
            let spans: Vec<_> = receipt
                .carried
                .iter()
                .map(|it| (it.span.start, it.span.end))
                .collect();
            let times = (receipt.first.secs(), receipt.last.secs());
            (receipt.paths.clone(), times, run.associations, spans)
        })
        .collect();
    assert_eq!(total, 3);
    assert_eq!(
        told,
        [
            (paths(2), (600, 601), 1, vec![]),
            (paths(2), (300, 401), 2, vec![(4_500, 5_400)]),
            (paths(1), (100, 301), 3, vec![(3_600, 5_400), (0, 1_800)]),
        ]
    );
    let before = Some(Timestamp::from_secs(300));
    assert_eq!(site.store.path_runs(meter, before, 10).unwrap().1.len(), 1);
    assert_eq!(site.store.path_runs(meter, None, 1).unwrap().1.len(), 1);
    assert_eq!(site.store.path_runs(other, None, 10).unwrap().0, 1);
}

#[test]
fn old_runs_make_room() {
    let site = Site::new();
    let meter = site.enrol(1);
    let mut at = 0;
    while at < i64::from(Receipt::RUNS_MAX) + 300 {
        let receipts = (0..Receipt::COUNT_MAX).map(|_| {
            at += 1;
            receipt(u8::try_from(at % 2).unwrap(), at, &[(0, 900)])
        });
        came_by(&site, meter, receipts.collect());
    }
    let (total, runs) = site.store.path_runs(meter, None, 1).unwrap();
    let most = u64::from(Receipt::RUNS_MAX);
    assert!((most..most + 64).contains(&total), "{total}");
    assert_eq!(runs[0].receipt.first.secs(), at);
    // More than one association may bring.
    let mut sweep = sweep(meter, NOON, Vec::new());
    sweep.profiles.clear();
    sweep.receipts = vec![receipt(1, 0, &[]); Receipt::COUNT_MAX + 1];
    assert!(wait(site.store.ingest(sweep)).is_err());
}
