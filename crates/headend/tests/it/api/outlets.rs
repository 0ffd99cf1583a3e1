//! Outlet meters over the API: a meter of our own calls over SCTP with TLS, and what it delivers
//! and is told is looked at from outside.
//!
//! Evidence: self-agreement over real sockets; both sides are ours, the messages' form is held
//! against the figures in `model`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headend::{Config, OutletsConfig};
use link::{Clock, Endpoint, SystemClock};
use meter::outlets::{
    OutletConfig, OutletJournal, OutletMeter, OutletShell, Output, Sockets, Thresholds,
};
use model::xml::{CivilDateTime, OutletId, OutletPower, SmartMeterId};
use serde_json::{Value, json};

use super::{Fixture, until};
use crate::http::Events;
use crate::support::NOON;

const PLACE: &str = "Lindenweg 14, flat 3";

/// The head end's time of day, for the meter.
struct Noon(SystemClock);

impl Clock for Noon {
    fn now(&self) -> dlms::Instant {
        self.0.now()
    }

    fn unix_seconds(&self) -> i64 {
        NOON
    }
}

/// Outlets that draw 100 W, and write down what they are told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Sockets for Told {
    fn measure(&mut self, _: CivilDateTime) -> Vec<(OutletId, OutletPower)> {
        vec![(OutletId(1), POWER), (OutletId(2), HEATER)]
    }

    fn obey(&mut self, output: Output) {
        self.0.lock().unwrap().push(format!("{output:?}"));
    }
}

const POWER: OutletPower = OutletPower {
    volts: 230,
    milliamperes: 435,
    watts: 100,
};
/// Above its threshold.
const HEATER: OutletPower = OutletPower {
    volts: 230,
    milliamperes: 9_000,
    watts: 2_070,
};

#[derive(Default)]
struct Memory(Vec<u8>);

impl OutletJournal for Memory {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.0.clone())
    }

    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(octets);
        Ok(())
    }

    fn replace(&mut self, octets: &[u8]) -> io::Result<()> {
        self.0 = octets.to_vec();
        Ok(())
    }
}

/// An authority, a certificate of each side, and the key that signs orders; returns its point.
fn papers(folder: &Path) -> Vec<u8> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = authority.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(authority, key);
    std::fs::write(folder.join("ca.pem"), certificate.pem()).unwrap();
    for side in ["server.example", "meter.example"] {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![side.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        std::fs::write(folder.join(format!("{side}.pem")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{side}.key")), key.serialize_pem()).unwrap();
    }
    let signer = rcgen::KeyPair::generate().unwrap();
    let file = folder.join("breaker.key");
    std::fs::write(&file, signer.serialize_pem()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(
        folder.join("meters.toml"),
        format!(
            "[[meter]]\nnumber = 7\nplace = \"{PLACE}\"\ncertificate = \"meter.example.pem\"\n\
             since = \"2026-11-20 00:00:00\"\noutlet = [\n  {{ number = 1, name = \"Kitchen\" }},\n  \
             {{ number = 2, name = \"Heater\" }},\n]\n"
        ),
    )
    .unwrap();
    signer.public_key_raw().to_vec()
}

fn outlets(folder: &Path) -> OutletsConfig {
    OutletsConfig {
        listen: Some("sctps://127.0.0.1?udp=0".to_owned()),
        ca: Some(folder.join("ca.pem")),
        certificate: Some(folder.join("server.example.pem")),
        key: Some(folder.join("server.example.key")),
        meters: Some(folder.join("meters.toml")),
        breaker_key: Some(folder.join("breaker.key")),
        openings_per_hour: 1,
        ..OutletsConfig::default()
    }
}

/// Sections that the meter lost.
const LOST: std::ops::RangeInclusive<u64> = 9..=11;

/// A meter with what it holds of the day before and of today.
fn meter(point: Vec<u8>) -> OutletMeter<Memory> {
    let outlets = [OutletId(1), OutletId(2)].map(|outlet| (outlet, Thresholds::of_power(2_000)));
    let outlets = BTreeMap::from(outlets);
    let config = OutletConfig {
        breaker_key: Some(point),
        ..OutletConfig::new(SmartMeterId(7), outlets)
    };
    let since: CivilDateTime = "2026-11-20 00:00:00".parse().unwrap();
    // 13:00 of the next day, an hour ahead of UTC.
    let rows = (0..144 + 78).filter(|section| !LOST.contains(section));
    let rows = rows.map(|section| {
        let at = CivilDateTime::from_ordinal(since.ordinal() + section * 600).unwrap();
        let row = BTreeMap::from([(OutletId(1), POWER), (OutletId(2), HEATER)]);
        (at, row)
    });
    let meter = OutletMeter::open(config, Memory::default()).unwrap();
    meter.with_history(rows).unwrap()
}

const METER: &str = "/api/v1/outlet-meters/7";

/// Nothing at all never confirms an order: where a meter has no place, its number does.
#[tokio::test]
async fn a_meter_without_a_place_is_confirmed_by_its_number() {
    let folder = tempfile::tempdir().unwrap();
    papers(folder.path());
    let meters = folder.path().join("meters.toml");
    let text = std::fs::read_to_string(&meters).unwrap();
    std::fs::write(&meters, text.replace(PLACE, "")).unwrap();
    let config = outlets(folder.path());
    let fixture = Fixture::start_with(|whole: &mut Config| {
        whole.collector.enabled = false;
        whole.outlets = config;
    })
    .await;
    let breaker = format!("{METER}/breaker");
    let preview = fixture.json(&breaker).await;
    assert_eq!(
        (&preview["place"], &preview["confirm"]),
        (&json!(""), &json!("7"))
    );
    for (typed, status) in [
        ("", 400),
        (" ", 400),
        (PLACE, 400),
        ("7", 409),
        (" 7 ", 409),
    ] {
        let order = json!({
            "action": "open", "reason": "Moved out on 20 November", "place": typed,
            "as_of": preview["as_of"],
        });
        let answer = fixture.post(&breaker, &order).await;
        assert_eq!(answer.status, status, "{typed:?}: {}", answer.text());
    }
    fixture.head_end.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_meter_delivers_and_is_told_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let point = papers(folder.path());
    let config = outlets(folder.path());
    let fixture = Fixture::start_with(|whole: &mut Config| {
        whole.collector.enabled = false;
        whole.api.requests_per_s = 1_000;
        whole.outlets = config;
    })
    .await;
    let list = fixture.json("/api/v1/outlet-meters").await;
    assert_eq!(list["rows"][0]["state"], "new");
    let refused = fixture.get(&format!("{METER}/breaker")).await.json();
    assert_eq!(refused["possible"], false);
    let request = json!({ "outlet": 1, "date": "2026-11-20", "first": 10, "last": 12 });
    let answer = fixture.post(&format!("{METER}/requests"), &request).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (409, "not_connected")
    );

    let bearer = format!("Bearer {}", fixture.token);
    let headers = [("authorization", bearer.as_str())];
    let mut events = Events::open(fixture.address, "outlets", &headers)
        .await
        .unwrap();
    let (_, udp) = fixture.head_end.outlets().unwrap().port();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let url = format!(
        "sctps://127.0.0.1?udp={udp}&name=server.example&ca={}&cert={}&key={}",
        at("ca.pem"),
        at("meter.example.pem"),
        at("meter.example.key")
    );
    let server: Endpoint = url.parse().unwrap();
    let told = Told::default();
    let clock = Arc::new(Noon(SystemClock::new()));
    let shell = OutletShell::new(meter(point), told.clone(), server, clock, 3_600);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(shell.run(async {
        drop(stopped.await);
    }));
    let event = tokio::time::timeout(Duration::from_secs(120), events.next("outlet"));
    assert_eq!(event.await.unwrap().unwrap().data["id"], 7);

    // What is missing is asked for by itself, and what the meter does not have stays missing.
    let day = format!("{METER}/usage?outlet=1&date=2026-11-20");
    until("the day", async || {
        let usage = fixture.json(&day).await;
        (usage["received"] == 141).then_some(())
    })
    .await;
    let usage = fixture.json(&day).await;
    assert_eq!(usage["missing"], 3);
    assert_eq!(usage["energy_wh"], 141 * 100 / 6);
    let sections = usage["sections"].as_array().unwrap();
    assert_eq!(sections.len(), 144);
    assert_eq!(sections[9]["state"], "missing");
    assert_eq!(sections[9]["watts"], Value::Null);
    assert_eq!(sections[12]["state"], "read");
    assert_eq!(sections[12]["t"], "2026-11-20T01:00:00Z");
    let today = fixture.json(&format!("{METER}/usage?outlet=2")).await;
    assert_eq!(today["date"], "2026-11-21");
    assert_eq!(today["sections"][143]["state"], "not_due");
    let before = format!("{METER}/usage?outlet=1&date=2026-11-19");
    assert_eq!(
        fixture.json(&before).await["sections"][0]["state"],
        "before"
    );

    until("a warning", async || {
        let warnings = fixture.json(&format!("{METER}/warnings")).await;
        (warnings["total"] == 1 && warnings["rows"][0]["name"] == "Heater").then_some(())
    })
    .await;

    let metrics = crate::http::request(fixture.address, "GET", "/metrics", &[], b"").await;
    let metrics = metrics.text();
    for line in [
        "gridward_outlet_meters 1",
        "gridward_outlet_meters_connected 1",
        "gridward_outlet_messages_refused_total 0",
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line}: {metrics}");
    }
    let figure = |name: &str| {
        let rest = metrics.lines().find_map(|it| it.strip_prefix(name));
        rest.and_then(|it| it.trim_start().parse::<f64>().ok())
            .unwrap_or_else(|| panic!("no {name}: {metrics}"))
    };
    assert!(figure("gridward_outlet_sections_missing ") >= 3.0);
    // Figures of SCTP are the process's: the meter here counts too.
    assert!(figure("gridward_sctp_associations_total ") >= 2.0);
    for class in ["usage", "warning", "request"] {
        let sent = figure(&format!(
            "gridward_sctp_messages_total{{class=\"{class}\"}} "
        ));
        assert!(sent >= 1.0, "{class}: {metrics}");
    }
    for name in [
        "gridward_sctp_lost_total ",
        "gridward_sctp_failovers_total ",
        "gridward_sctp_paths_failed_total ",
        "gridward_sctp_queue_seconds_total{class=\"usage\"} ",
    ] {
        assert!(figure(name) >= 0.0, "{name}");
    }

    // Outlets, with a reason.
    let switch = format!("{METER}/switch");
    let order =
        |reason: &str| json!({ "reason": reason, "outlets": [{ "number": 1, "on": false }] });
    assert_eq!(fixture.post(&switch, &order("because")).await.status, 400);
    let answer = fixture
        .post(&switch, &order("The heater of flat 3 is faulty"))
        .await;
    assert_eq!(
        (answer.status, &answer.json()["outcome"]),
        (200, &json!("sent"))
    );
    let has = |text: &str| {
        let lines = told.0.lock().unwrap();
        lines.iter().any(|line| line.starts_with(text))
    };
    let heard = async |text: &str| until(text, async || has(text).then_some(())).await;
    heard("Switch(OutletId(1), Off)").await;
    let stranger =
        json!({ "reason": "There is no such outlet", "outlets": [{ "number": 9, "on": true }] });
    assert_eq!(fixture.post(&switch, &stranger).await.status, 404);

    // Costs.
    let costs = format!("{METER}/costs");
    let cost = |month: u8, last: u8| json!({ "month": month, "day_start": 1, "day_end": last, "total_cost": 1_234 });
    assert_eq!(fixture.post(&costs, &cost(11, 20)).await.status, 200);
    assert_eq!(fixture.post(&costs, &cost(11, 31)).await.status, 400);
    heard("Cost").await;
    let listed = fixture.json(&costs).await;
    assert_eq!(
        (&listed["total"], &listed["rows"][0]["total_cost"]),
        (&json!(1), &json!(1_234))
    );

    // Sections once more.
    let requests = format!("{METER}/requests");
    assert_eq!(fixture.post(&requests, &request).await.status, 200);
    let backwards = json!({ "outlet": 1, "date": "2026-11-20", "first": 12, "last": 10 });
    assert_eq!(fixture.post(&requests, &backwards).await.status, 400);

    // The breaker: looked at first, with the place typed and a reason, and so often only.
    let breaker = format!("{METER}/breaker");
    let preview = fixture.json(&breaker).await;
    assert_eq!(
        (&preview["possible"], &preview["draws_w"]),
        (&json!(true), &json!(2_170))
    );
    let order = |action: &str, place: &str, as_of: &Value| json!({ "action": action, "reason": "Moved out on 20 November", "place": place, "as_of": as_of });
    let now = &preview["as_of"];
    let wrong = fixture
        .post(&breaker, &order("open", "Lindenweg 15", now))
        .await;
    assert_eq!(wrong.status, 400);
    let early = json!("2026-11-21T11:54:59Z");
    let old = fixture.post(&breaker, &order("open", PLACE, &early)).await;
    assert_eq!((old.status, old.code().as_str()), (409, "preview_too_old"));
    assert!(!has("Breaker"));
    assert_eq!(
        fixture
            .post(&breaker, &order("open", PLACE, now))
            .await
            .status,
        200
    );
    heard("Breaker(Open").await;
    let again = fixture.post(&breaker, &order("open", PLACE, now)).await;
    assert_eq!(
        (again.status, again.code().as_str()),
        (409, "too_many_openings")
    );
    assert_eq!(
        fixture
            .post(&breaker, &order("close", PLACE, now))
            .await
            .status,
        200
    );
    heard("Breaker(Close").await;

    let journal = fixture.json(&format!("{METER}/orders")).await;
    let rows = journal["rows"].as_array().unwrap().iter();
    let rows: Vec<_> = rows
        .map(|row| {
            (
                row["kind"].as_str().unwrap(),
                row["outcome"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("close", "sent"),
            ("open", "sent"),
            ("request", "sent"),
            ("cost", "sent"),
            ("switch", "sent"),
            ("request", "refused"),
        ]
    );
    let whole = fixture.json(METER).await;
    assert_eq!(whole["outlets"][0]["ordered"], "off");
    assert_eq!(whole["cost"]["total_cost"], 1_234);
    assert_eq!(whole["state"], "warn");
    let list = fixture.json("/api/v1/outlet-meters").await;
    assert_eq!(list["rows"][0]["missing"], 6);
    let found = fixture.json("/api/v1/find?q=outlet").await;
    assert_eq!(found["groups"][0]["hits"][0]["href"], "/outlet-meters/7");

    // An order is never given by another verb, nor by who is not signed in.
    let deleted = crate::http::request(fixture.address, "DELETE", &switch, &headers, b"").await;
    assert_eq!(deleted.status, 405);
    let unsigned = crate::http::request(fixture.address, "POST", &switch, &[], b"{}").await;
    assert_eq!(unsigned.status, 401);
    drop(stop);
    running.await.unwrap().unwrap();
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn without_a_place_to_call_there_are_none() {
    let fixture = Fixture::start_with(|config| config.collector.enabled = false).await;
    let list = fixture.json("/api/v1/outlet-meters").await;
    assert_eq!(
        list,
        json!({ "served": false, "utc_offset_min": 0, "rows": [] })
    );
    assert_eq!(fixture.get(METER).await.status, 404);
    fixture.head_end.stop().await;
}
