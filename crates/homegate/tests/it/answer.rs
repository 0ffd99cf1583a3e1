//! What is served. Evidence: the resources and queries of the reference
//! implementation's routes (OpenESPI), the OpenSEG specification's rule for
//! queries without an interval; documents are read back by the feed reader.

use han::espi::{self, Resource, Rule, TimeConfiguration};
use homegate::answer::{Answer, Config, answer};
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
    let late = answer(path, "", &snapshot(), &config(), NOW.plus_secs(61));
    assert_eq!(late, Answer::NotFound);
    // The usage point is still there.
    let path = "/espi/1_1/resource/UsagePoint/1";
    assert!(
        answer(path, "", &snapshot(), &config(), NOW.plus_secs(61))
            .document()
            .is_some()
    );
}
