//! History: what is kept, what is missing, and what bounds it. Evidence:
//! self-agreement over synthetic days, and files that were damaged.

use homegate::cache::{Snapshot, Tagged, TimeBasis};
use homegate::calendar::{Calendar, parse_time, rfc3339};
use homegate::history::{Bounds, History, Minute};
use homegate::recorder::Record;
use homegate::summary::{self, Place, Step};
use homegate::tariff::{BandConfig, Tariff, TariffConfig};
use model::Timestamp;

const BOUNDS: Bounds = Bounds {
    octets: 64 << 20,
    rows: 600_000,
};

fn time(text: &str) -> Timestamp {
    parse_time(text).unwrap()
}

/// What the cache holds after a reading.
fn snapshot(at: Timestamp, watts: i64, delivered_mwh: i64) -> Snapshot {
    let tagged = |thousandths| {
        Some(Tagged {
            thousandths,
            at,
            error_ms: 1_000,
            basis: TimeBasis::Meter,
            received: at,
        })
    };
    Snapshot {
        net_power: tagged(watts * 1_000),
        delivered: tagged(delivered_mwh),
        connected: true,
        ..Snapshot::default()
    }
}

fn record(folder: &std::path::Path) -> Record {
    let history = History::open(folder, BOUNDS, Timestamp::default()).unwrap();
    Record::new(Some(history), Some(7)).unwrap()
}

/// Takes readings seven seconds apart at 3,600 W, a watt hour each second,
/// but for those that `lost` says; gives how many came.
fn play(
    record: &Record,
    from: Timestamp,
    to: Timestamp,
    mut lost: impl FnMut(Timestamp) -> bool,
) -> u64 {
    let mut at = from;
    let mut taken = 0;
    while at < to {
        if !lost(at) {
            let delivered = at.millis_since(time("2026-11-01T00:00:00Z"));
            record.take(&snapshot(at, 3_600, delivered));
            taken += 1;
        }
        at = at.plus_secs(7);
    }
    record.keep(true).unwrap();
    taken
}

fn zurich() -> Calendar {
    Calendar::new("Europe/Zurich").unwrap()
}

#[test]
fn a_gap_is_a_gap_and_its_energy_is_in_the_total() {
    let folder = tempfile::tempdir().unwrap();
    let record = record(folder.path());
    let (from, to) = (time("2026-11-18T23:00:00Z"), time("2026-11-19T13:32:08Z"));
    let (begin, end) = (time("2026-11-19T10:02:11Z"), time("2026-11-19T11:59:06Z"));
    play(&record, from.plus_secs(-120), to, |at| {
        at > begin && at < end
    });

    let step = ("1h", Step::Hour);
    let day = summary::history(&record, &zurich(), from, from.plus_secs(86_400), step, to);
    let day = day.unwrap();
    assert_eq!(day.intervals.len(), 15, "none begins in the future");
    assert_eq!(day.gaps.len(), 1);
    let found = time(&day.gaps[0].from);
    assert!(
        (0..7_000).contains(&begin.millis_since(found)),
        "{:?}",
        day.gaps
    );
    for interval in &day.intervals {
        let whole = interval.delivered_wh;
        match interval.t.as_str() {
            // Its end is not known, and the next one's begin.
            "2026-11-19T10:00:00Z" => assert_eq!(whole, None),
            "2026-11-19T11:00:00Z" => assert_eq!(whole, None),
            "2026-11-19T13:00:00Z" => {
                assert!(interval.partial);
                let secs = 32 * 60;
                assert!((secs - 7..=secs + 8).contains(&whole.unwrap()), "{whole:?}");
            }
            _ => {
                assert_eq!(whole, Some(3_600), "{}", interval.t);
                assert_eq!(interval.w, Some(3_600));
                assert!((513..=516).contains(&interval.readings), "{interval:?}");
            }
        }
    }
    let way = homegate::shared::Shared::new("raven".to_owned(), false, to).way();
    let place = Place {
        calendar: zurich(),
        tariff: None,
        current_age_max_ms: 60_000,
        interval_s: 7,
    };
    let periods = summary::Periods::of(&record, &place, &way, to).unwrap();
    let told = summary::state(&snapshot(to, 3_600, 0), &way, &place, &periods, to);
    let today = told.today.unwrap();
    let passed = to.millis_since(from) / 1_000;
    assert!((passed - 10..=passed).contains(&today.delivered_wh.unwrap()));
    assert!(today.complete);
    assert_eq!(told.missing_today, day.gaps);
    let yesterday = told.yesterday.unwrap();
    assert!(!yesterday.complete, "only its last minutes are known");
    // From the last register of its first minute on.
    assert!((60..=125).contains(&yesterday.delivered_wh.unwrap()));
    assert!(told.last_month.is_none(), "nothing is known of it");
}

#[test]
fn every_lost_reading_is_visible() {
    for (permille, seed) in [(10, 7_u64), (100, 8)] {
        let folder = tempfile::tempdir().unwrap();
        let record = record(folder.path());
        let (from, to) = (time("2026-11-19T00:00:00Z"), time("2026-11-20T00:00:00Z"));
        let mut random = seed;
        let mut lost = 0;
        let mut in_row = false;
        let mut runs = 0;
        let taken = play(&record, from, to, |at| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let is_lost = (random >> 33) % 1_000 < permille && at > from;
            lost += u64::from(is_lost);
            runs += u64::from(is_lost && !in_row);
            in_row = is_lost;
            is_lost
        });
        let history = record.history().unwrap();
        let sum = history.sum(from, to).unwrap();
        assert_eq!(sum.readings, taken);
        let gaps = history.gaps(from, to, 0, 1_000_000).unwrap();
        // One that lasts until the end is not over.
        let open = u64::from(in_row);
        assert_eq!(u64::try_from(gaps.len()).unwrap(), runs - open);
        let told: i64 = gaps
            .iter()
            .map(|(from, to)| to.millis_since(*from) / 7_000 - 1)
            .sum();
        assert!(
            lost > 50 && told.unsigned_abs() <= lost,
            "{permille}: {lost}"
        );
        println!("{permille} of 1,000 lost: {lost} readings, {runs} gaps, all told");
    }
}

#[test]
fn a_restart_goes_on_and_tells_the_pause() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (time("2026-11-19T10:00:00Z"), time("2026-11-19T11:00:00Z"));
    let before = record(folder.path());
    play(&before, from, to, |_| false);
    drop(before);
    let after = record(folder.path());
    play(&after, to.plus_secs(600), to.plus_secs(1_200), |_| false);
    let history = after.history().unwrap();
    let gaps = history.gaps(from, to.plus_secs(3_600), 0, 10).unwrap();
    assert_eq!(gaps.len(), 1);
    assert!(gaps[0].1.millis_since(gaps[0].0) > 590_000);
}

#[test]
fn a_clock_that_is_not_set_makes_no_history() {
    let folder = tempfile::tempdir().unwrap();
    let record = record(folder.path());
    record.take(&snapshot(time("1970-01-01T00:10:00Z"), 400, 1_000));
    record.keep(true).unwrap();
    assert_eq!(record.history().unwrap().rows().unwrap(), (0, 0));
}

#[test]
fn rows_and_octets_are_bounded_and_the_oldest_gives_way() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = Bounds {
        octets: 1 << 20,
        rows: 5_000,
    };
    let history = History::open(folder.path(), bounds, Timestamp::default()).unwrap();
    let begin = time("2026-01-01T00:00:00Z").secs();
    let minute = |index: i64| Minute {
        start: begin + index * 60,
        readings: 8,
        powers: 8,
        watts: 4_000,
        watts_min: Some(400),
        watts_max: Some(600),
        delivered: Some(27_875_300_000 + index * 8_000),
        received: Some(1),
        register_ms: 55_000,
        last_ms: (begin + index * 60) * 1_000 + 55_000,
    };
    // More than fits: a year would be half a million.
    for hour in 0..500 {
        let minutes: Vec<_> = (hour * 60..(hour + 1) * 60).map(minute).collect();
        history.keep(&minutes, &[], false).unwrap();
    }
    let length = std::fs::metadata(folder.path().join("history.sqlite"))
        .unwrap()
        .len();
    assert!(length <= bounds.octets, "{length}");
    history.prune(Timestamp::default()).unwrap();
    let (minutes, _) = history.rows().unwrap();
    assert!((1..=bounds.rows).contains(&minutes), "{minutes}");
    let last = history.last().unwrap().unwrap();
    assert_eq!(last.secs(), begin + 29_999 * 60 + 55, "the newest stays");
    // Age takes a few thousand at once: a clock that jumps does not cost all.
    history.prune(time("2100-01-01T00:00:00Z")).unwrap();
    let (left, _) = history.rows().unwrap();
    assert_eq!(left, minutes.saturating_sub(3_000));
}

#[test]
fn a_file_that_is_damaged_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.sqlite");
    std::fs::write(&path, vec![0xA5; 8_192]).unwrap();
    let now = time("2026-11-19T10:00:00Z");
    let history = History::open(folder.path(), BOUNDS, now).unwrap();
    assert_eq!(history.rows().unwrap(), (0, 0));
    let aside = format!("history.damaged-{}.sqlite", now.secs());
    assert_eq!(
        std::fs::read(folder.path().join(aside)).unwrap(),
        vec![0xA5; 8_192]
    );
}

#[test]
fn a_file_of_another_program_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.sqlite");
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute_batch("PRAGMA application_id = 7; PRAGMA user_version = 3; CREATE TABLE t(a);")
        .unwrap();
    drop(other);
    let refused = History::open(folder.path(), BOUNDS, Timestamp::default());
    assert!(refused.is_err());
    assert!(path.exists());
}

#[test]
fn days_of_the_zone_are_23_to_25_hours() {
    let calendar = zurich();
    let spring = time("2026-03-29T10:00:00Z");
    let hours = |at| calendar.day(at, 1).millis_since(calendar.day(at, 0)) / 3_600_000;
    assert_eq!(hours(spring), 23);
    assert_eq!(hours(time("2026-10-25T10:00:00Z")), 25);
    assert_eq!(hours(time("2026-11-19T10:00:00Z")), 24);
    assert_eq!(
        rfc3339(calendar.month(time("2026-11-19T10:00:00Z"), -1)),
        "2026-09-30T22:00:00Z"
    );
    assert_eq!(calendar.standard_offset_minutes(spring), 60);
    let local = calendar.local_time(spring);
    assert_eq!(local.tz_offset, 3_600);
    assert_eq!(local.dst_offset, 3_600);
    assert_eq!(local.dst_start_rule, han::espi::Rule::CENTRAL_EUROPE_BEGIN);
    assert_eq!(local.dst_end_rule, han::espi::Rule::CENTRAL_EUROPE_END);
    let new_york = Calendar::new("America/New_York")
        .unwrap()
        .local_time(spring);
    assert_eq!(new_york.tz_offset, -18_000);
    assert_eq!(
        new_york.dst_start_rule,
        han::espi::Rule::NORTH_AMERICA_BEGIN
    );
    assert_eq!(new_york.dst_end_rule, han::espi::Rule::NORTH_AMERICA_END);
    let none = Calendar::new("UTC").unwrap().local_time(spring);
    assert_eq!(none.dst_start_rule, han::espi::Rule::NONE);
    assert!(Calendar::new("Europe/Nowhere").is_err());
}

#[test]
fn a_tariff_prices_each_band_by_the_registers() {
    let band = |name: &str, per_kwh, hours: Option<(&str, &str)>, days: Option<&str>| BandConfig {
        name: name.to_owned(),
        per_kwh,
        from: hours.map(|(from, _)| from.to_owned()),
        to: hours.map(|(_, to)| to.to_owned()),
        days: days.map(str::to_owned),
    };
    let tariff = Tariff::new(&TariffConfig {
        currency: "CHF".to_owned(),
        fixed_per_month: 6.0,
        band: vec![
            band("Day", 0.30, Some(("06:00", "20:00")), Some("mon-fri")),
            band("Night", 0.20, None, None),
        ],
    })
    .unwrap();
    let calendar = zurich();
    // 2026-11-19 is a Thursday; 13:32 in Zurich.
    let now = time("2026-11-19T12:32:00Z");
    assert_eq!(tariff.at(now, &calendar).unwrap().1.name, "Day");
    let until = tariff.change(now, &calendar).unwrap();
    assert_eq!(rfc3339(until), "2026-11-19T19:00:00Z");
    let friday_night = time("2026-11-20T20:00:00Z");
    let until = tariff.change(friday_night, &calendar).unwrap();
    assert_eq!(rfc3339(until), "2026-11-23T05:00:00Z", "over the weekend");

    let folder = tempfile::tempdir().unwrap();
    let record = record(folder.path());
    play(&record, time("2026-11-18T22:58:00Z"), now, |_| false);
    let place = Place {
        calendar,
        tariff: Some(tariff),
        current_age_max_ms: 60_000,
        interval_s: 7,
    };
    let way = homegate::shared::Shared::new("raven".to_owned(), false, now).way();
    let periods = summary::Periods::of(&record, &place, &way, now).unwrap();
    let told = summary::state(&snapshot(now, 3_600, 0), &way, &place, &periods, now);
    let cost = told.today.unwrap().cost.unwrap();
    // 06:00 to 13:32 by day, six hours by night, a watt hour each second.
    let (day, night) = (cost.parts[0].wh, cost.parts[1].wh);
    assert!((27_100..=27_120).contains(&day), "{day}");
    assert_eq!(night, 21_600);
    assert_eq!(cost.parts[1].cost, 4.32);
    assert!((cost.total - (cost.parts[0].cost + 4.32)).abs() < 0.001);
    assert_eq!(cost.unpriced_wh, 0);
    assert_eq!(told.power.unwrap().cost_per_hour, Some(1.08));
    assert_eq!(told.price.unwrap().name, "Day");
    let month = told.month.unwrap();
    assert_eq!(month.cost.unwrap().fixed, 6.0);
    assert!(!month.complete, "it began before anything was known");
}

#[test]
fn tariffs_that_are_none_are_refused() {
    let config = |text: &str| toml::from_str::<TariffConfig>(text).map(|it| Tariff::new(&it));
    for text in [
        "currency = \"chf\"\nband = [{ name = \"a\", per_kwh = 1.0 }]",
        "currency = \"CHF\"\nband = []",
        "currency = \"CHF\"\nband = [{ name = \"\", per_kwh = 1.0 }]",
        "currency = \"CHF\"\nband = [{ name = \"a\", per_kwh = 1e9 }]",
        "currency = \"CHF\"\nband = [{ name = \"a\", per_kwh = 1.0, from = \"6:00\", to = \"7\" }]",
        "currency = \"CHF\"\nband = [{ name = \"a\", per_kwh = 1.0, from = \"06:00\" }]",
        "currency = \"CHF\"\nband = [{ name = \"a\", per_kwh = nan }]",
        "currency = \"CHF\"\nband = [{ name = \"a\", per_kwh = 1.0, days = \"tue\" }]",
    ] {
        assert!(config(text).unwrap().is_err(), "{text}");
    }
}
