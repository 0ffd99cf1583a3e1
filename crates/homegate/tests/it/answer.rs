//! What is served. Evidence: the resources and queries of the reference
//! implementation's routes (OpenESPI), the OpenSEG specification's rule for
//! queries without an interval; documents are read back by the feed reader.

use han::espi::{
    self, DateTimeInterval, Resource, Rule, SummaryMeasurement, TimeConfiguration, UsageSummary,
};
use homegate::answer::{Answer, Config, Energy, Past, answer, shows_summary};
use homegate::cache::{Snapshot, Tagged, TimeBasis};
use model::Timestamp;

const NOW: Timestamp = Timestamp::from_secs(1_795_233_600);

fn config() -> Config {
    Config {
        origin: "https://home.example".to_owned(),
        title: "Home".to_owned(),
        local_time: TimeConfiguration {
            dst_end_rule: Rule::CENTRAL_EUROPE_END,
            dst_offset: 3_600,
            dst_start_rule: Rule::CENTRAL_EUROPE_BEGIN,
            tz_offset: 3_600,
        },
        published: Timestamp::from_secs(1_795_000_000),
        current_age_max_ms: 60_000,
        interval_s: 7,
    }
}

fn tagged(thousandths: i64) -> Option<Tagged> {
    Some(Tagged {
        thousandths,
        at: NOW,
        error_ms: 1_000,
        basis: TimeBasis::Meter,
        received: NOW,
    })
}

fn snapshot() -> Snapshot {
    Snapshot {
        net_power: tagged(-1_499_600),
        delivered: tagged(12_345_678_900),
        connected: true,
        ..Snapshot::default()
    }
}

fn ask(path: &str, query: &str) -> Answer {
    answer(
        &format!("/espi/1_1/resource{path}"),
        query,
        &snapshot(),
        None,
        &config(),
        NOW.plus_secs(5),
    )
}

#[test]
fn without_an_interval_the_current_value_is_served() {
    let path = "/Subscription/1/UsagePoint/1/MeterReading/1/IntervalBlock";
    let Answer::Feed(feed) = ask(path, "") else {
        panic!()
    };
    let [entry] = feed.entries.as_slice() else {
        panic!()
    };
    let Resource::IntervalBlock(block) = &entry.content[0] else {
        panic!()
    };
    assert_eq!(block.readings.len(), 1);
    assert_eq!(block.readings[0].value, Some(-1_500));
    assert_eq!(
        block.readings[0].time_period.as_ref().unwrap().start,
        NOW.secs()
    );
}

#[test]
fn every_resource_is_where_its_link_says() {
    let Answer::Feed(feed) = ask("/Batch/Subscription/1/UsagePoint/1", "") else {
        panic!()
    };
    // Local time, usage point, and three each of two series.
    assert_eq!(feed.entries.len(), 8);
    for entry in &feed.entries {
        for rel in ["self", "up"] {
            let href = entry.link(rel).unwrap();
            let path = href
                .strip_prefix("https://home.example/espi/1_1/resource")
                .unwrap();
            let told = ask(path, "");
            let text = told
                .document()
                .unwrap_or_else(|| panic!("{path}: {told:?}"));
            assert!(!espi::read(&text).unwrap().entries.is_empty(), "{path}");
        }
    }
    for alone in [
        "/UsagePoint",
        "/UsagePoint/1",
        "/MeterReading/1",
        "/ReadingType/1",
    ] {
        assert!(ask(alone, "").document().is_some(), "{alone}");
    }
    let status = ask("/ReadServiceStatus", "").document().unwrap();
    assert!(status.contains("<espi:currentStatus>1<"));
}

#[test]
fn what_is_not_there_is_not_found() {
    for path in [
        "/UsagePoint/2",
        "/Subscription/2/UsagePoint",
        "/Authorization",
        "/MeterReading/3",
        "/../../etc/passwd",
        "",
    ] {
        assert_eq!(ask(path, ""), Answer::NotFound, "{path}");
    }
    // History: the specification's answer.
    let query = "published-min=2026-11-20T00:00:00Z&published-max=2026-11-21T00:00:00%2B01:00";
    assert_eq!(
        ask("/Batch/Subscription/1/UsagePoint/1", query),
        Answer::NotFound
    );
}

#[test]
fn malformed_queries_name_the_parameter() {
    for (query, parameter) in [
        ("published-min=yesterday", "published-min"),
        ("published-max=2026-11-21", "published-max"),
        ("updated-min=2026-13-01T00:00:00Z", "updated-min"),
        ("updated-max=", "updated-max"),
        ("start-index=0", "start-index"),
        ("start-index=-1", "start-index"),
        ("max-results=many", "max-results"),
        ("depth=1.5", "depth"),
        ("updated-min=%zz", "query"),
    ] {
        let told = ask("/UsagePoint", query);
        assert_eq!(told, Answer::Malformed { parameter }, "{query}");
    }
    let many = "x=1&".repeat(20);
    assert_eq!(
        ask("/UsagePoint", &many),
        Answer::Malformed { parameter: "query" }
    );
}

#[test]
fn entries_are_paged_and_filtered() {
    let count = |query: &str| match ask("/Batch/Subscription/1/UsagePoint/1", query) {
        Answer::Feed(feed) => feed.entries.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(count("max-results=3"), 3);
    assert_eq!(count("start-index=7"), 2);
    assert_eq!(count("start-index=99"), 0);
    assert_eq!(count("updated-min=2030-01-01T00:00:00Z"), 0);
    assert_eq!(count("unknown=1"), 8);
}

#[test]
fn a_silent_meter_has_no_current_value() {
    let path = "/espi/1_1/resource/Subscription/1/UsagePoint/1/MeterReading";
    let late = answer(path, "", &snapshot(), None, &config(), NOW.plus_secs(61));
    assert_eq!(late, Answer::NotFound);
    // The usage point is still there.
    let path = "/espi/1_1/resource/UsagePoint/1";
    assert!(
        answer(path, "", &snapshot(), None, &config(), NOW.plus_secs(61))
            .document()
            .is_some()
    );
}

/// Quarters of an hour over two days, of which some are missing.
struct Days;

impl Past for Days {
    fn energy(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> (u32, Vec<Energy>) {
        let begin = Timestamp::from_secs(NOW.secs() / 86_400 * 86_400).plus_secs(-2 * 86_400);
        let quarters = (0..192_i64).map(|index| Energy {
            start: begin.plus_secs(index * 900),
            delivered_wh: (!(40..44).contains(&index)).then_some(100 + index),
            received_wh: None,
        });
        let within = quarters.filter(|energy| {
            from.is_none_or(|from| energy.start >= from)
                && to.is_none_or(|to| energy.start.plus_secs(900) <= to)
        });
        (900, within.collect())
    }

    fn summary(&self) -> Option<UsageSummary> {
        let measured = SummaryMeasurement {
            power_of_ten_multiplier: Some(0),
            uom: Some(72),
            value: Some(96_400),
            ..SummaryMeasurement::default()
        };
        Some(UsageSummary {
            billing_period: Some(DateTimeInterval {
                duration: 1_600_000,
                start: NOW.secs() - 1_600_000,
            }),
            current_billing_period_over_all_consumption: Some(measured),
            quality_of_reading: Some(14),
            status_time_stamp: NOW.secs(),
            commodity: Some(1),
            ..UsageSummary::default()
        })
    }
}

/// Asks for current values of a gateway that keeps history.
fn ask_with_past(path: &str) -> Answer {
    let path = format!("/espi/1_1/resource{path}");
    answer(&path, "", &snapshot(), Some(&Days), &config(), NOW)
}

#[test]
fn the_summary_stands_where_the_usage_point_says() {
    let summary = |answer: Answer| match answer {
        Answer::Entry(entry) => entry.content,
        Answer::Feed(feed) => feed.entries.into_iter().flat_map(|it| it.content).collect(),
        other => panic!("{other:?}"),
    };
    for path in [
        "/UsageSummary",
        "/UsageSummary/1",
        "/Subscription/1/UsagePoint/1/UsageSummary",
        "/Subscription/1/UsagePoint/1/UsageSummary/1",
    ] {
        assert!(shows_summary(path), "{path}");
        let told = summary(ask_with_past(path));
        let [Resource::UsageSummary(told)] = told.as_slice() else {
            panic!("{path}: {told:?}")
        };
        assert_eq!(Some(told), Days.summary().as_ref(), "{path}");
        // Who may not see history sees none.
        assert_eq!(ask(path, ""), Answer::NotFound, "{path}");
    }
    for path in ["/Batch/Subscription/1", "/UsagePoint", "/UsagePoint/1"] {
        assert!(shows_summary(path), "{path}");
        let text = ask_with_past(path).document().unwrap();
        let link = "/Subscription/1/UsagePoint/1/UsageSummary\"";
        assert!(text.contains(link), "{path}: {text}");
        assert!(!ask(path, "").document().unwrap().contains(link), "{path}");
    }
    assert!(!shows_summary("/MeterReading/1/IntervalBlock"));
}

#[test]
fn all_interval_blocks_stand_in_one_feed() {
    let Answer::Feed(feed) = ask("/IntervalBlock", "") else {
        panic!()
    };
    let own: Vec<&str> = feed
        .entries
        .iter()
        .filter_map(|it| it.link("self"))
        .collect();
    assert_eq!(own.len(), 2, "{own:?}");
    assert!(
        own.iter().all(|it| it.contains("/IntervalBlock/")),
        "{own:?}"
    );
}

fn past(query: &str) -> Answer {
    answer(
        "/espi/1_1/resource/Batch/RetailCustomer/1/UsagePoint",
        query,
        &snapshot(),
        Some(&Days),
        &config(),
        NOW,
    )
}

#[test]
fn history_is_energy_of_intervals_and_what_is_missing_is_missing() {
    let Answer::Feed(feed) = past("published-min=2020-01-01T00:00:00Z") else {
        panic!()
    };
    let blocks: Vec<_> = feed
        .entries
        .iter()
        .filter_map(|entry| match &entry.content[0] {
            Resource::IntervalBlock(block) => Some(block),
            _ => None,
        })
        .collect();
    let readings: Vec<_> = blocks.iter().flat_map(|block| &block.readings).collect();
    assert_eq!(readings.len(), 188);
    let values: Vec<_> = readings.iter().filter_map(|it| it.value).collect();
    assert!(!values.contains(&0) && !values.contains(&141), "{values:?}");
    assert!((2..=3).contains(&blocks.len()), "a block for each day");
    // Power of the moment has no place in it.
    let text = espi::write(&feed);
    assert!(!text.contains("-1500"), "{text}");
    assert_eq!(espi::read(&text).unwrap().entries.len(), feed.entries.len());
    assert_eq!(
        past("published-min=2040-01-01T00:00:00Z"),
        Answer::NotFound,
        "no data of that time"
    );
    let turned = "published-min=2026-11-21T00:00:00Z&published-max=2026-11-20T00:00:00Z";
    let parameter = "published-max";
    assert_eq!(past(turned), Answer::Malformed { parameter });
}

#[test]
fn what_is_served_validates_under_both_schemas() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/espi/xsd")
        .canonicalize();
    let Ok(folder) = folder else {
        println!("skipped: the schemas of Green Button are not beside the project");
        return;
    };
    let documents = [
        past("published-min=2020-01-01T00:00:00Z"),
        ask("/Batch/Subscription/1", ""),
        ask("/UsagePoint/1", ""),
        ask_with_past("/Batch/Subscription/1"),
        ask_with_past("/UsageSummary/1"),
    ];
    for (number, document) in documents.iter().enumerate() {
        let text = document.document().unwrap();
        for schema in ["greenbutton.xsd", "greenbutton-1.x.xsd"] {
            let started = std::process::Command::new("xmllint")
                .args(["--nonet", "--noout", "--schema"])
                .arg(folder.join(schema))
                .arg("-")
                .stdin(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn();
            let Ok(mut child) = started else {
                println!("skipped: there is no xmllint (Debian: libxml2-utils)");
                return;
            };
            let mut input = child.stdin.take().unwrap();
            std::io::Write::write_all(&mut input, text.as_bytes()).unwrap();
            drop(input);
            let told = child.wait_with_output().unwrap();
            let error = String::from_utf8_lossy(&told.stderr).into_owned();
            assert!(told.status.success(), "{number}, {schema}: {error}");
        }
    }
}
