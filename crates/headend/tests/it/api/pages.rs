//! Evidence: self-agreement over real sockets: meters that answer from a formula are collected,
//! and pages tell the formula's values.

use super::{Fixture, PLACES, until};
use crate::fake::{FakeMeters, HELD_S};
use crate::http::request;
use crate::support::{MIDNIGHT, NOON, paths};

#[tokio::test]
async fn the_fleet_is_told() {
    let fixture = Fixture::start().await;
    fixture.meters.silent.lock().unwrap().insert(3);
    fixture.collected(2).await;
    let fleet = fixture.json("/api/v1/fleet").await;
    assert_eq!(fleet["meters"], 3);
    assert_eq!(fleet["target_permille"], 985);
    assert_eq!(fleet["feeders"], serde_json::json!(["F1", "F2"]));
    let days = fleet["days"].as_array().unwrap();
    assert_eq!(days.len(), 30);
    assert_eq!(days[29]["date"], "2026-11-21");
    assert_eq!(days[28]["received"], days[28]["expected"]);
    assert!(days[28]["received"].as_u64().unwrap() >= 2 * 96);
    assert_eq!(days[0]["expected"], 0);
    assert_eq!(fleet["alarms_critical"], 1);
    assert_eq!(fleet["needs"][0]["title"], "Meter cover removed");
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn meters_are_listed_filtered_and_sorted() {
    let fixture = Fixture::start().await;
    fixture.collected(3).await;
    let names = |list: &serde_json::Value| -> Vec<String> {
        let rows = list["rows"].as_array().unwrap().iter();
        rows.map(|row| row["place"].as_str().unwrap().to_owned())
            .collect()
    };
    let list = fixture.json("/api/v1/meters").await;
    assert_eq!(list["total"], 3);
    // The one with the alarm first.
    assert_eq!(list["rows"][0]["state"], "crit");
    assert_eq!(list["rows"][0]["state_text"], "Meter cover removed");
    assert_eq!(list["rows"][1]["state"], "ok");
    assert_eq!(list["rows"][1]["power_w"], 487);
    assert_eq!(list["rows"][1]["via"], "Direct TCP");
    assert_eq!(list["rows"][1]["days"][28], 1_000);
    assert_eq!(list["rows"][1]["read_permille"], 1_000);
    let list = fixture.json("/api/v1/meters?sort=place").await;
    assert_eq!(names(&list), [PLACES[1], PLACES[0], PLACES[2]]);
    let list = fixture
        .json("/api/v1/meters?sort=place&dir=desc&offset=1&limit=1")
        .await;
    assert_eq!(
        (names(&list), &list["total"]),
        (vec![PLACES[0].to_owned()], &3.into())
    );
    let list = fixture.json("/api/v1/meters?q=M%C3%9CHLE").await;
    assert_eq!(names(&list), [PLACES[2]]);
    let list = fixture.json("/api/v1/meters?state=alarms").await;
    assert_eq!(names(&list), [PLACES[1]]);
    for (query, total) in [
        ("feeder=F1", 1),
        ("feeder=F2", 2),
        ("feeder=F9", 0),
        ("state=silent", 0),
        ("state=late", 0),
        ("state=new", 0),
        ("state=gap", 0),
        ("q=4757440000000003", 1),
        ("offset=99999999", 3),
    ] {
        let list = fixture.json(&format!("/api/v1/meters?{query}")).await;
        assert_eq!(list["total"], total, "{query}");
    }
    for sort in ["state", "meter", "feeder", "power", "last_read", "read"] {
        for dir in ["asc", "desc"] {
            let list = fixture
                .json(&format!("/api/v1/meters?sort={sort}&dir={dir}"))
                .await;
            assert_eq!(list["rows"].as_array().unwrap().len(), 3);
        }
    }
    for query in [
        "limit=0",
        "limit=501",
        "limit=x",
        "sort=size",
        "state=bad",
        "offset=-1",
        "x=1",
    ] {
        let answer = fixture.get(&format!("/api/v1/meters?{query}")).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "bad_request"),
            "{query}"
        );
    }
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn a_meter_has_its_page() {
    let fixture = Fixture::start().await;
    fixture.collected(3).await;
    let id = fixture.id(1).await;
    let meter = fixture.json(&format!("/api/v1/meters/{id}")).await;
    assert_eq!(meter["name"], "GWD0000000000001");
    assert_eq!(meter["system_title"], "4757440000000001");
    assert_eq!(meter["breaker"]["state"], "closed");
    assert_eq!(meter["clock"]["offset_s"], -1.25);
    assert_eq!(meter["clock"]["zone"], "UTC+1");
    assert_eq!(meter["firmware"], "1.2.3");
    assert_eq!(meter["power"]["w"], 487);
    assert_eq!(meter["power"]["l1_w"], 486);
    assert_eq!(meter["power"]["l2_w"], serde_json::Value::Null);
    assert_eq!(meter["path"]["rtt_ms"], 1.2);
    assert_eq!(meter["gaps"]["intervals"], 0);
    assert_eq!(meter["counter"]["of"], u32::MAX);
    assert_eq!(meter["previous"], serde_json::Value::Null);
    assert_eq!(meter["next"], fixture.id(2).await);

    let registers = fixture
        .json(&format!("/api/v1/meters/{id}/registers"))
        .await;
    let rows = registers["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["obis"] == "1-0:1.8.0").unwrap();
    assert_eq!(row["value"], NOON / 36);
    assert_eq!(row["unit"], "Wh");
    let row = rows.iter().find(|row| row["obis"] == "1-0:1.7.0").unwrap();
    assert_eq!(
        (&row["value"], &row["text"]),
        (&486.5.into(), &"486.5".into())
    );

    let id = fixture.id(2).await;
    let events = fixture.json(&format!("/api/v1/meters/{id}/events")).await;
    assert_eq!(events["total"], 1);
    assert_eq!(events["rows"][0]["state"], "crit");
    assert_eq!(events["rows"][0]["code"], 44);
    let path = format!("/api/v1/meters/{id}/events?before=2026-11-21T10:00:00Z");
    assert_eq!(fixture.json(&path).await["rows"], serde_json::json!([]));
    for query in ["limit=0", "limit=501", "before=now"] {
        let answer = fixture
            .get(&format!("/api/v1/meters/{id}/events?{query}"))
            .await;
        assert_eq!(answer.status, 400, "{query}");
    }
    for unknown in ["m_00000000", "m_zzzzzzzz", "7", "..%2f..", "m_"] {
        let answer = fixture.get(&format!("/api/v1/meters/{unknown}")).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "no_such_meter"),
            "{unknown}"
        );
    }
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn profiles_show_amounts_and_gaps() {
    let fixture = Fixture::start_with(|config| config.collector.enabled = true).await;
    fixture.collected(3).await;
    let id = fixture.id(1).await;
    let day = "from=2026-11-19T23:00:00Z&to=2026-11-20T23:00:00Z";
    let profile = fixture
        .json(&format!("/api/v1/meters/{id}/profile?{day}"))
        .await;
    let intervals = profile["intervals"].as_array().unwrap();
    assert_eq!(intervals.len(), 96);
    assert!(
        intervals
            .iter()
            .all(|i| i["import_wh"] == 25 && i["export_wh"] == 0)
    );
    assert_eq!(profile["step_s"], 900);
    assert_eq!(profile["gaps"], serde_json::json!([]));
    let profile = fixture
        .json(&format!("/api/v1/meters/{id}/profile?{day}&step=1h"))
        .await;
    assert_eq!(profile["intervals"].as_array().unwrap().len(), 24);
    assert_eq!(profile["intervals"][0]["import_wh"], 100);
    let profile = fixture
        .json(&format!("/api/v1/meters/{id}/profile?{day}&step=1d"))
        .await;
    assert_eq!(profile["intervals"][0]["import_wh"], 2_400);
    // Today, up to now: nothing that is not yet due.
    let profile = fixture.json(&format!("/api/v1/meters/{id}/profile")).await;
    let intervals = profile["intervals"].as_array().unwrap();
    assert!((48..=52).contains(&intervals.len()), "{}", intervals.len());
    assert_eq!(profile["from"], "2026-11-20T23:00:00Z");
    assert_eq!(profile["to"], "2026-11-21T23:00:00Z");

    let csv = fixture
        .get(&format!("/api/v1/meters/{id}/profile.csv?{day}"))
        .await;
    let mut lines = csv.text().lines();
    assert_eq!(
        lines.next().unwrap(),
        "start_utc,start_local,end_utc,import_wh,export_wh,quality,source"
    );
    assert_eq!(
        lines.next().unwrap(),
        "2026-11-19T23:00:00Z,2026-11-20T00:00:00+01:00,2026-11-19T23:15:00Z,25,0,,direct"
    );
    assert_eq!(lines.count(), 95);

    for query in [
        "from=2026-11-20T23:00:00Z&to=2026-11-20T23:00:00Z",
        "from=2026-09-01T00:00:00Z&to=2026-11-20T23:00:00Z",
        "from=0000-01-01T00:00:00Z&to=9999-01-01T00:00:00Z&step=1d",
        "from=x",
        "step=1m",
    ] {
        let answer = fixture
            .get(&format!("/api/v1/meters/{id}/profile?{query}"))
            .await;
        assert_eq!(answer.status, 400, "{query}");
    }
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn holes_are_named_and_totals_come_from_the_registers() {
    let hole = MIDNIGHT - 86_400 + 10 * 900;
    let holes = [hole, hole + 900];
    let prepare = |meters: &FakeMeters| meters.holes.lock().unwrap().extend(holes);
    let fixture = Fixture::start_over(prepare, |config| config.collector.every_s = 10).await;
    fixture.collected(3).await;
    let id = fixture.id(1).await;
    let day = "from=2026-11-19T23:00:00Z&to=2026-11-20T23:00:00Z";
    let path = format!("/api/v1/meters/{id}/profile?{day}");
    let profile = fixture.json(&path).await;
    let intervals = profile["intervals"].as_array().unwrap();
    let null = serde_json::Value::Null;
    assert_eq!(intervals.len(), 96);
    assert_eq!(intervals[9]["import_wh"], 25);
    assert_eq!(intervals[10]["import_wh"], null);
    assert_eq!(intervals[11]["import_wh"], null);
    // The register after the hole is known, how much of it was used when is not.
    assert_eq!(intervals[12]["import_wh"], null);
    assert_eq!(
        intervals[12]["status"],
        serde_json::json!(["start_missing"])
    );
    assert_eq!(profile["gaps"][0]["intervals"], 2);
    assert_eq!(profile["gaps"][0]["held_by_meter"], null);
    let days = fixture.json(&format!("{path}&step=1d")).await;
    assert_eq!(days["intervals"][0]["import_wh"], 2_400);
    assert_eq!(days["intervals"][0]["status"], serde_json::json!(["gap"]));
    let list = fixture.json("/api/v1/meters?state=gap").await;
    assert_eq!(
        (&list["total"], &list["rows"][0]["state_text"]),
        (&2.into(), &"Gap 20 Nov".into())
    );
    let meter = fixture.json(&format!("/api/v1/meters/{id}")).await;
    assert_eq!(meter["gaps"]["intervals"], 2);
    assert_eq!(meter["gaps"]["oldest"], "2026-11-20T01:30:00Z");
    // The next collection asks for it, and learns that the meter does not hold it.
    fixture.clock.set(NOON + 60);
    until("the meter is asked", async || {
        let profile = fixture.json(&path).await;
        (profile["gaps"][0]["held_by_meter"] == false).then_some(())
    })
    .await;
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn find_groups_its_hits() {
    let fixture = Fixture::start().await;
    let found = fixture.json("/api/v1/find?q=linden").await;
    assert_eq!(found["groups"][0]["name"], "Places");
    assert_eq!(found["groups"][0]["hits"][0]["title"], "Lindenweg 2");
    let found = fixture.json("/api/v1/find?q=GWD0000000000003").await;
    assert_eq!(found["groups"][0]["name"], "Meters");
    assert_eq!(found["groups"][0]["hits"][0]["detail"], PLACES[2]);
    assert_eq!(
        fixture.json("/api/v1/find?q=").await["groups"],
        serde_json::json!([])
    );
    assert_eq!(fixture.get("/api/v1/find").await.status, 400);
    let long = "x".repeat(101);
    assert_eq!(
        fixture.get(&format!("/api/v1/find?q={long}")).await.status,
        400
    );
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn the_interface_is_served_under_its_policy() {
    let fixture = Fixture::start().await;
    let get = async |path: &str| request(fixture.address, "GET", path, &[], b"").await;
    for path in ["/", "/fleet?state=late", "/meters/m_00000000"] {
        let page = get(path).await;
        assert_eq!(page.status, 200);
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
        let policy = &page.headers["content-security-policy"];
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
        assert!(!policy.contains("unsafe"));
        assert_eq!(page.headers["x-content-type-options"], "nosniff");
        assert_eq!(page.headers["referrer-policy"], "no-referrer");
        assert_eq!(page.headers["cache-control"], "no-cache");
        let again = [("if-none-match", page.headers["etag"].as_str())];
        let again = request(fixture.address, "GET", path, &again, b"").await;
        assert_eq!((again.status, again.body.len()), (304, 0));
    }
    for path in [
        "/nothing.js",
        "/..%2f..%2fetc/passwd.txt",
        "/../Cargo.toml",
        "/assets/x.css",
    ] {
        assert_eq!(get(path).await.status, 404, "{path}");
    }
    for path in ["/api/v1/nothing", "/api/v1/"] {
        let answer = get(path).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "no_such_path"),
            "{path}"
        );
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let answer = request(fixture.address, "POST", "/fleet", &[], b"").await;
    assert_eq!(answer.status, 405);
    let small = [("accept-encoding", "gzip")];
    let answer = request(fixture.address, "GET", "/api/v1/openapi.json", &small, b"").await;
    assert_eq!(answer.headers["content-encoding"], "gzip");
    let metrics = get("/metrics").await;
    assert!(metrics.text().contains("\ngridward_meters 3\n"));
    assert_eq!(get("/healthz").await.text(), "ok\n");
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn gaps_are_filled_when_the_meter_has_the_rows_after_all() {
    let fixture = Fixture::start_with(|config| config.collector.every_s = 10).await;
    fixture.collected(3).await;
    // Time passes without a collection; then one brings all that was missed.
    fixture.clock.set(NOON + 6 * 3_600);
    let id = fixture.id(1).await;
    until("the gaps are filled", async || {
        let profile = fixture.json(&format!("/api/v1/meters/{id}/profile")).await;
        let intervals = profile["intervals"].as_array().unwrap();
        let filled = intervals.len() >= 72 && profile["gaps"] == serde_json::json!([]);
        filled.then_some(())
    })
    .await;
    let held = HELD_S / 900 + 6 * 4;
    let list = fixture.json("/api/v1/meters?sort=meter").await;
    assert_eq!(list["rows"][0]["read_permille"], 1_000);
    let fleet = fixture.json("/api/v1/fleet").await;
    let received = fleet["read_30d"]["received"].as_i64().unwrap();
    assert!(received <= 3 * held && received > 0);
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn readings_tell_the_paths_that_they_took() {
    let fixture = Fixture::start_over(
        |meters| *meters.paths.lock().unwrap() = vec![paths(1)],
        |_| {},
    )
    .await;
    fixture.collected(3).await;
    let id = fixture.id(1).await;
    let runs = fixture.json(&format!("/api/v1/meters/{id}/paths")).await;
    assert_eq!(
        (&runs["total"], &runs["rows"][0]["associations"]),
        (&1.into(), &1.into())
    );
    let run = &runs["rows"][0];
    assert_eq!(run["sent"]["hops"], "2-ff00:0:211 1>10 1-ff00:0:111");
    assert_eq!(run["received"]["fingerprint"], "0000000000000001");
    assert_eq!(run["received"]["verified"], true);
    // The spans that were asked for meet, so they are one.
    assert_eq!(run["carried"].as_array().unwrap().len(), 1);
    assert_eq!(run["carried"][0]["obis"], "1-0:99.1.0");
    assert_eq!(run["carried"][0]["from"], "2026-11-18T12:00:00Z");
    // A register lies in the run by its time.
    let registers = fixture
        .json(&format!("/api/v1/meters/{id}/registers"))
        .await;
    let at = registers["rows"][0]["at"].as_str().unwrap();
    let within = run["first"].as_str().unwrap()..=run["last"].as_str().unwrap();
    assert!(within.contains(&at), "{at} {within:?}");
    let meter = fixture.json(&format!("/api/v1/meters/{id}")).await;
    assert_eq!(meter["path"]["scion"], *run);
    for query in ["limit=0", "limit=501", "before=noon", "x=1"] {
        let path = format!("/api/v1/meters/{id}/paths?{query}");
        assert_eq!(fixture.get(&path).await.status, 400, "{query}");
    }
    let path = format!("/api/v1/meters/{id}/paths?before=2026-11-20T00:00:00Z");
    assert_eq!(
        fixture.json(&path).await["rows"].as_array().unwrap().len(),
        0
    );
    assert_eq!(fixture.get("/api/v1/meters/m_9/paths").await.status, 404);
    fixture.head_end.stop().await;
}
