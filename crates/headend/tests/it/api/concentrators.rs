//! Evidence: self-agreement over real sockets: a concentrator that says what the test puts into
//! its mouth, in the form of `docs/concentrator.md`.

use std::sync::atomic::Ordering;

use dlms::axdr::Data;
use dlms::codec::Wire as _;
use dlms::cosem::Obis;
use headend::Config;
use headend::concentrators::METERS_MAX;
use serde_json::{Value, json};

use super::live::next;
use super::{Fixture, until};
use crate::fake::FakeMeters;
use crate::support::NOON;

pub(super) const NAME: &str = "GWD1DC0000000001";

fn octets(text: &str) -> Data {
    Data::octet_string(text.as_bytes())
}

fn number(secs: i64) -> Data {
    Data::DoubleLongUnsigned(u32::try_from(secs).unwrap())
}

fn three(of: fn(u32) -> Data) -> Data {
    Data::Array([1, 2, 3].map(of).to_vec())
}

/// One line of the meters' status.
fn status(sap: u16, name: &str, there: bool, hops: u8, quality: Option<u16>) -> Data {
    let quality = quality.map_or(Data::NullData, Data::LongUnsigned);
    Data::Structure(vec![
        Data::LongUnsigned(sap),
        octets(name),
        Data::Boolean(there),
        if there {
            number(NOON - 90)
        } else {
            Data::NullData
        },
        Data::Unsigned(hops),
        quality,
    ])
}

fn collected(name: &str, on: bool, rows: u32) -> Data {
    Data::Structure(vec![
        octets(name),
        Data::Boolean(on),
        Data::DoubleLongUnsigned(rows),
        Data::Boolean(true),
    ])
}

fn segment(open: bool, saps: &[u16]) -> Data {
    Data::Array(vec![Data::Structure(vec![
        Data::LongUnsigned(0),
        octets("s-fsk"),
        Data::Boolean(open),
        Data::DoubleLongUnsigned(4),
        Data::Array(saps.iter().map(|sap| Data::LongUnsigned(*sap)).collect()),
    ])])
}

fn tell(meters: &FakeMeters, object: Obis, value: &Data) {
    let mut told = meters.told.lock().unwrap();
    told.insert(object, value.to_octets());
}

const SEGMENTS: Obis = Obis::new(0, 0, 128, 0, 11, 255);
const CHANGES: Obis = Obis::new(0, 0, 128, 0, 1, 255);
const METERS: Obis = Obis::new(0, 0, 128, 0, 2, 255);

pub(super) fn prepare(meters: &FakeMeters) {
    let manufacturer = |e| Obis::new(0, 0, 128, 0, e, 255);
    let counts = |count: u64| Data::Structure((1..=count).map(Data::Long64Unsigned).collect());
    tell(meters, Obis::new(1, 0, 0, 2, 0, 255), &octets("fw 1"));
    tell(meters, Obis::new(0, 0, 96, 1, 0, 255), &octets(NAME));
    let ahead = dlms::axdr::DateTime::from_unix_seconds(NOON + 3, 0, dlms::axdr::ClockStatus(0));
    let ahead = Data::date_time_octets(&ahead.unwrap());
    tell(meters, Obis::new(0, 0, 1, 0, 0, 255), &ahead);
    tell(
        meters,
        Obis::new(0, 0, 25, 0, 0, 255),
        &Data::LongUnsigned(4_059),
    );
    tell(meters, CHANGES, &Data::DoubleLongUnsigned(3));
    tell(meters, manufacturer(3), &counts(9));
    tell(meters, manufacturer(6), &counts(8));
    tell(
        meters,
        Obis::new(0, 0, 97, 98, 0, 255),
        &Data::DoubleLongUnsigned(1 << 1 | 1 << 31),
    );
    tell(meters, SEGMENTS, &segment(true, &[256, 257]));
    let peer = Data::Structure(vec![
        octets("127.0.0.1:40000"),
        Data::Boolean(true),
        number(NOON - 3_600),
    ]);
    tell(meters, manufacturer(12), &Data::Array(vec![peer]));
    let feeder = Data::Structure(vec![
        octets("F1"),
        Data::Unsigned(1),
        three(Data::DoubleLongUnsigned),
        three(Data::DoubleLongUnsigned),
        three(|it| Data::Long64Unsigned(u64::from(it))),
    ]);
    tell(meters, manufacturer(13), &Data::Array(vec![feeder]));
    // An older one does not say who is behind whom.
    let behind = |line: Data, sap: Option<u16>| {
        let Data::Structure(mut parts) = line else {
            panic!("a line is a structure");
        };
        parts.push(sap.map_or(Data::NullData, Data::LongUnsigned));
        Data::Structure(parts)
    };
    let lines = vec![
        behind(status(256, "GWD0000000000001", true, 0, Some(990)), Some(0)),
        behind(
            status(257, "GWD0000000000002", true, 2, Some(640)),
            Some(256),
        ),
        status(258, "GWD0000000000099", false, 1, None),
    ];
    tell(meters, METERS, &Data::Array(lines));
    let lines = vec![
        collected("GWD0000000000001", true, 96),
        collected("GWD0000000000002", false, 0),
    ];
    tell(meters, manufacturer(4), &Data::Array(lines));
    let more =
        |sap, since, repeated| Data::Structure(vec![Data::LongUnsigned(sap), since, repeated]);
    let lines = vec![
        more(256, number(NOON - 86_400), Data::NullData),
        more(257, Data::NullData, Data::DoubleLongUnsigned(214)),
    ];
    tell(meters, manufacturer(19), &Data::Array(lines));
}

pub(super) fn with_one(config: &mut Config) {
    let one = format!("endpoint = \"tcp://127.0.0.1:4059\"\nname = \"{NAME}\"\nstatus_s = 1");
    config.concentrator = vec![toml::from_str(&one).unwrap()];
}

impl Fixture {
    /// Waits until the one concentrator is as it should be.
    pub(super) async fn until(&self, what: impl Fn(&Value) -> bool) -> Value {
        until("the concentrator says so", async || {
            let list = self.json("/api/v1/concentrators").await;
            Some(list["rows"][0].clone()).filter(|row| what(row))
        })
        .await
    }
}

/// Meters are asked together where nothing speaks against it, and one by one on a line that wants
/// that: from the first on, when nobody has looked at the concentrator yet.
#[tokio::test]
async fn meters_on_a_slow_line_are_asked_as_it_wants_them_to_be() {
    let together = |many: usize| {
        move |meters: &FakeMeters| {
            prepare(meters);
            meters.together.store(many, Ordering::SeqCst);
        }
    };
    let fixture = Fixture::start_over(together(3), |_| {}).await;
    fixture.collected(3).await;
    assert_eq!(fixture.meters.most.load(Ordering::SeqCst), 3);
    let fixture = Fixture::start_over(together(1), |config| {
        with_one(config);
        config.collector.media.s_fsk.at_once = 1;
    })
    .await;
    fixture.until(|row| !row["as_of"].is_null()).await;
    fixture.collected(3).await;
    assert_eq!(fixture.meters.most.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_concentrator_is_shown_as_it_says_it_is() {
    let fixture = Fixture::start_over(prepare, with_one).await;
    fixture.collected(3).await;
    let row = fixture.until(|row| !row["as_of"].is_null()).await;
    assert_eq!(
        (&row["name"], &row["state"], &row["state_text"], &row["via"]),
        (
            &json!(NAME),
            &json!("warn"),
            &json!("1 meter silent"),
            &json!("TCP")
        )
    );
    assert_eq!(
        (
            &row["meters"],
            &row["there"],
            &row["enrolled"],
            &row["collected"]
        ),
        (&json!(3), &json!(2), &json!(3), &json!(1))
    );
    assert_eq!(row["held_rows"], 5);
    assert_eq!(row["media"], json!(["s-fsk"]));
    let today = &row["read_today"];
    assert!(today["received"].as_u64().unwrap() > 0, "{today}");
    let id = row["id"].as_str().unwrap();
    let path = format!("/api/v1/concentrators/{id}");
    let one = fixture.json(&path).await;
    assert_eq!(one["row"]["firmware"], "fw 1");
    assert_eq!(one["clock_offset_s"], 3);
    assert_eq!(
        (&one["port"], &one["sap_changes"]),
        (&json!(4_059), &json!(3))
    );
    assert_eq!(one["forwarded"]["down"], 1);
    assert_eq!(one["forwarded"]["conflicts"], 9);
    assert_eq!(one["collection"]["dropped"], 7);
    assert_eq!(one["collection"]["keep_days"], 8);
    assert_eq!(one["target_permille"], 985);
    // Kinds that nobody knows are not made up.
    assert_eq!(one["notices"], json!(["Meters fell silent"]));
    assert_eq!(one["segments"][0]["there"], 2);
    assert_eq!(one["segments"][0]["waiting"], 4);
    assert_eq!(one["connections"][0]["dialled"], true);
    assert_eq!(one["wan"], Value::Null);
    assert_eq!((&one["place"], &one["feeders"]), (&json!(""), &json!([])));
    assert_eq!(one["segments"][0]["bit_rate"], Value::Null);
    assert_eq!(one["metering"][0]["current_ma"], json!([1, 2, 3]));
    let behind = fixture.json(&format!("{path}/meters")).await;
    assert_eq!(behind["total"], 3);
    let of = |name: &str| -> Vec<Value> {
        let rows = behind["rows"].as_array().unwrap().iter();
        rows.map(|row| row[name].clone()).collect()
    };
    // Whoever is not there comes first, then whoever is heard worst.
    assert_eq!(of("sap"), [258, 257, 256]);
    assert_eq!(of("there"), [false, true, true]);
    assert_eq!(of("hops"), [1, 2, 0]);
    assert_eq!(of("behind"), [Value::Null, json!(256), json!(0)]);
    assert_eq!(of("segment"), [Value::Null, json!(0), json!(0)]);
    assert_eq!(of("mode"), ["direct", "direct", "conventional"]);
    assert_eq!(of("held_rows"), [0, 0, 96]);
    assert_eq!(of("repeated_today"), [Value::Null, json!(214), Value::Null]);
    let yesterday = headend::rfc3339(model::Timestamp::from_secs(NOON - 86_400));
    assert_eq!(
        of("sap_since"),
        [Value::Null, Value::Null, json!(yesterday)]
    );
    assert!(of("id")[0].is_null() && of("id")[1].is_string());
    let page = fixture
        .json(&format!("{path}/meters?offset=1&limit=1"))
        .await;
    assert_eq!(
        (&page["total"], &page["rows"][0]["sap"]),
        (&json!(3), &json!(257))
    );
    // The meters themselves are told to be behind it.
    let meter = of("id")[2].as_str().unwrap().to_owned();
    let meter = fixture.json(&format!("/api/v1/meters/{meter}")).await;
    assert_eq!(meter["via"], "Concentrator");
    assert_eq!(meter["concentrator"], json!({ "id": id, "name": NAME }));
    assert_eq!(meter["path"]["hops"], json!(["Head end", NAME, "Meter"]));
    let found = fixture.json("/api/v1/find?q=gwd1dc").await;
    assert_eq!(found["groups"][0]["name"], "Concentrators");
    assert_eq!(
        found["groups"][0]["hits"][0]["href"],
        format!("/concentrators/{id}")
    );
    fixture.head_end.stop().await;
}

const WAYS: Obis = Obis::new(0, 0, 128, 0, 17, 255);

/// A way to head ends, of this state.
fn way(name: &str, state: u8, class: &str) -> Data {
    let known = |secs| {
        if state == 0 {
            Data::NullData
        } else {
            number(secs)
        }
    };
    Data::Structure(vec![
        octets(name),
        octets("192.0.2.8:4059"),
        Data::Boolean(state == 3),
        octets(class),
        Data::LongUnsigned(u16::from(state == 1)),
        Data::Unsigned(state),
        known(NOON - 3_600),
        known(NOON - 2_520),
        known(NOON - 9),
    ])
}

#[tokio::test]
async fn over_which_way_it_is_reached_is_told() {
    let fixture = Fixture::start_over(prepare, with_one).await;
    let row = fixture.until(|row| !row["as_of"].is_null()).await;
    let path = format!("/api/v1/concentrators/{}", row["id"].as_str().unwrap());
    let told = async |ways: &[Data], current: u8, change: Data| {
        let ways = Data::Array(ways.to_vec());
        let told = Data::Structure(vec![ways, Data::Unsigned(current), change]);
        tell(&fixture.meters, WAYS, &told);
        until("it tells its ways", async || {
            let one = fixture.json(&path).await;
            Some(one["wan"].clone()).filter(|wan| wan["current"] == current)
        })
        .await
    };
    let ways = [
        way("Fibre", 2, ""),
        way("Züri LTE", 1, ""),
        way("", 0, "control"),
        way("Radio", 3, ""),
    ];
    let change = Data::Structure(vec![
        Data::Unsigned(0),
        Data::Unsigned(1),
        number(NOON - 2_517),
        Data::DoubleLongUnsigned(3_200),
    ]);
    let wan = told(&ways, 1, change).await;
    let time = |secs| headend::rfc3339(model::Timestamp::from_secs(secs));
    assert_eq!(
        wan["change"],
        json!({ "from": 0, "to": 1, "at": time(NOON - 2_517), "took_ms": 3_200 })
    );
    let of = |key: &str| -> Vec<Value> {
        let ways = wan["ways"].as_array().unwrap().iter();
        ways.map(|way| way[key].clone()).collect()
    };
    assert_eq!(of("name"), ["Fibre", "Züri LTE", "", "Radio"]);
    assert_eq!(of("state"), ["quiet", "up", "new", "down"]);
    assert_eq!(of("class"), ["", "", "control", ""]);
    assert_eq!(of("connections"), [0, 1, 0, 0]);
    assert_eq!(of("lost")[0], time(NOON - 2_520));
    assert!(of("heard")[2].is_null());
    // Ways that there are not are none.
    let broken = Data::Structure(vec![
        Data::Unsigned(0),
        Data::Unsigned(7),
        number(NOON),
        Data::NullData,
    ]);
    let wan = told(&ways[..1], 0, broken).await;
    assert_eq!(wan["change"], Value::Null);
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn where_it_is_and_how_fast_its_segments_are_is_told() {
    let before = |meters: &FakeMeters| {
        prepare(meters);
        let rate = |number, rate| Data::Structure(vec![Data::LongUnsigned(number), rate]);
        let told = Data::Structure(vec![
            octets("Substation Lindenstraße"),
            Data::Array(vec![octets("F1"), octets("F2")]),
            Data::Array(vec![
                rate(0, Data::DoubleLongUnsigned(2_400)),
                rate(1, Data::NullData),
            ]),
        ]);
        tell(meters, Obis::new(0, 0, 128, 0, 18, 255), &told);
    };
    let fixture = Fixture::start_over(before, with_one).await;
    let row = fixture.until(|row| !row["as_of"].is_null()).await;
    let path = format!("/api/v1/concentrators/{}", row["id"].as_str().unwrap());
    let one = fixture.json(&path).await;
    assert_eq!(one["place"], "Substation Lindenstraße");
    assert_eq!(one["feeders"], json!(["F1", "F2"]));
    assert_eq!(one["segments"][0]["bit_rate"], 2_400);
    fixture.head_end.stop().await;
}

const PAIR: Obis = Obis::new(0, 0, 128, 0, 14, 255);

/// What one of a pair says, of one segment.
fn pair(held: usize, there: bool, held_there: usize, in_step: bool) -> Data {
    let segments = |count: usize| Data::Array(vec![Data::LongUnsigned(0); count]);
    Data::Structure(vec![
        octets("GWD1DC0000000002"),
        Data::Boolean(false),
        Data::Long64Unsigned(7),
        segments(held),
        Data::LongUnsigned(1),
        Data::Boolean(there),
        segments(held_there),
        Data::Boolean(in_step),
        Data::DoubleLongUnsigned(2_900),
        number(NOON - 600),
        Data::Long64Unsigned(1),
    ])
}

#[tokio::test]
async fn how_a_pair_stands_is_told() {
    let fixture = Fixture::start_over(prepare, with_one).await;
    // An older one does not tell.
    let row = fixture.until(|row| !row["as_of"].is_null()).await;
    assert_eq!(row["pair"], Value::Null);
    for (told, state, health) in [
        (Data::NullData, "none", "1 meter silent"),
        (pair(1, true, 0, true), "ready", "1 meter silent"),
        (pair(1, true, 0, false), "behind", "1 meter silent"),
        (pair(1, false, 0, false), "away", "GWD1DC0000000002 is away"),
        // What is silent behind one that has no segment says nothing.
        (pair(0, true, 1, true), "standby", "Stands by"),
    ] {
        tell(&fixture.meters, PAIR, &told);
        let row = fixture.until(|row| row["pair"]["state"] == state).await;
        assert_eq!(row["state_text"], health);
    }
    let row = fixture.until(|_| true).await;
    assert_eq!(
        row["pair"],
        json!({
            "state": "standby",
            "peer": "GWD1DC0000000002",
            "peer_id": null,
            "mode": "standby",
            "epoch": 7,
            "held": 0,
            "held_there": 1,
            "segments": 1,
            "behind_ms": 2_900,
            "taken": headend::rfc3339(model::Timestamp::from_secs(NOON - 600)),
            "takeovers": 1,
        })
    );
    fixture.head_end.stop().await;
}

/// An order to hand over is looked at, confirmed and journalled as one to a meter is. That it is
/// obeyed is shown with processes.
#[tokio::test]
async fn handing_over_takes_a_reason_a_look_and_a_name() {
    let fixture = Fixture::start_over(prepare, with_one).await;
    let row = fixture.until(|row| !row["as_of"].is_null()).await;
    let id = row["id"].as_str().unwrap();
    let path = format!("/api/v1/concentrators/{id}/switchover");
    for (told, why) in [
        (None, "It does not tell how it stands with another one."),
        (
            Some(Data::NullData),
            "It works alone: no other concentrator stands by for it.",
        ),
        (
            Some(pair(1, true, 0, false)),
            "The other one is not in step: it does not know all yet that this one knows.",
        ),
    ] {
        if let Some(told) = told {
            tell(&fixture.meters, PAIR, &told);
        }
        let dry = until("the dry run says so", async || {
            let dry = fixture.json(&path).await;
            (dry["why_not"] == why).then_some(dry)
        })
        .await;
        assert_eq!(dry["possible"], false);
        let order = json!({
            "reason": "Work on the feeder's fuses", "confirm": NAME, "as_of": dry["as_of"],
        });
        let refused = fixture.operator().post(&path, &order).await;
        assert_eq!(
            (refused.status, refused.code()),
            (409, "no_standby".to_owned())
        );
    }
    tell(&fixture.meters, PAIR, &pair(1, true, 0, true));
    fixture.until(|row| row["pair"]["state"] == "ready").await;
    let dry = fixture.json(&path).await;
    assert_eq!(
        (&dry["possible"], &dry["meters"]),
        (&json!(true), &json!(2))
    );
    assert_eq!(
        (&dry["peer"], &dry["waiting"]),
        (&json!("GWD1DC0000000002"), &json!(4))
    );
    assert_eq!(dry["steps"].as_array().unwrap().len(), 5);
    let good = json!({
        "reason": "Work on the feeder's fuses", "confirm": NAME, "as_of": dry["as_of"],
    });
    let with = |key: &str, value: &str| {
        let mut order = good.clone();
        order[key] = json!(value);
        order
    };
    let old = headend::rfc3339(model::Timestamp::from_secs(NOON - 301));
    for (order, status, code) in [
        (with("reason", "short"), 400, "bad_request"),
        (with("confirm", "yes"), 400, "bad_request"),
        (with("as_of", &old), 409, "preview_too_old"),
        (with("what", "more"), 400, "bad_request"),
    ] {
        let refused = fixture.operator().post(&path, &order).await;
        assert_eq!((refused.status, refused.code()), (status, code.to_owned()));
    }
    assert_eq!(fixture.json("/api/v1/orders").await["total"], 0);
    // It waits, and whoever stops it stops it; meanwhile there is no second one.
    let given = fixture.operator().post(&path, &good).await;
    assert_eq!(given.status, 202, "{}", given.text());
    let order = given.json();
    assert_eq!(
        (
            &order["kind"],
            &order["name"],
            &order["text"],
            &order["state"]
        ),
        (
            &json!("switchover"),
            &json!(NAME),
            &json!("GWD1DC0000000002"),
            &json!("armed")
        )
    );
    let again = fixture.operator().post(&path, &good).await;
    assert_eq!(
        (again.status, again.code()),
        (409, "order_under_way".to_owned())
    );
    let dry = fixture.json(&path).await;
    assert_eq!(
        dry["why_not"],
        "Order 1 to switch it has not ended. Nothing was sent."
    );
    let stopped = fixture
        .operator()
        .post("/api/v1/orders/1/stop", &json!({}))
        .await;
    assert_eq!(stopped.json()["state"], "stopped");
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn what_changes_is_told_and_a_look_can_be_asked_for() {
    let slow = |config: &mut Config| {
        with_one(config);
        config.concentrator[0].status_s = 86_400;
    };
    let fixture = Fixture::start_over(prepare, slow).await;
    let row = fixture.until(|row| !row["as_of"].is_null()).await;
    let id = row["id"].as_str().unwrap().to_owned();
    let mut events = fixture.follow("concentrators", None).await.unwrap();
    tell(&fixture.meters, SEGMENTS, &segment(false, &[]));
    let path = format!("/api/v1/concentrators/{id}/look");
    let elsewhere = [("sec-fetch-site", "cross-site")];
    assert_eq!(fixture.ask(&path, &elsewhere).await.status, 400);
    assert_eq!(fixture.ask(&path, &[]).await.status, 202);
    let event = next(&mut events, "concentrator").await;
    assert_eq!(event.data["id"], id);
    assert_eq!(event.data["state"], "crit");
    assert_eq!(event.data["state_text"], "Line of segment 0 lost");
    // Silent only after it did not answer twice, and what it said stays, with its time.
    fixture.meters.silent.lock().unwrap().extend(0..100);
    fixture.clock.set(NOON + 300);
    for state in ["crit", "off"] {
        assert_eq!(fixture.ask(&path, &[]).await.status, 202);
        let event = next(&mut events, "concentrator").await;
        assert_eq!(event.data["state"], state, "{}", event.data);
        assert_eq!(event.data["meters"], 3);
    }
    let one = fixture.json(&format!("/api/v1/concentrators/{id}")).await;
    assert_eq!(one["row"]["state_text"], "Silent 5 min");
    assert_eq!(
        one["failing"],
        "It did not answer in time: check the way to it."
    );
    assert!(one["row"]["as_of"].as_str() < one["failing_since"].as_str());
    fixture.head_end.stop().await;
}

/// The way for orders is tried beside the other, so that an order is not the first to find out.
#[tokio::test]
async fn the_ways_to_a_concentrator_are_told_with_what_was_measured() {
    let urgent = |config: &mut Config| {
        with_one(config);
        config.concentrator[0].urgent = Some("tcp://127.0.0.1:4061".to_owned());
    };
    let fixture = Fixture::start_over(prepare, urgent).await;
    let row = fixture.until(|row| !row["as_of"].is_null()).await;
    let path = format!("/api/v1/concentrators/{}", row["id"].as_str().unwrap());
    let ways = async |state: &'static str| {
        until("both ways are so", async || {
            let ways = fixture.json(&path).await["ways"].clone();
            let both = ways.as_array().unwrap().iter();
            let both = both.filter(|way| way["state"] == state).count() == 2;
            both.then_some(ways)
        })
        .await
    };
    let since = headend::rfc3339(model::Timestamp::from_secs(NOON));
    let up = ways("up").await;
    for (way, endpoint, carries) in [
        (&up[0], "tcp://127.0.0.1:4059", "all"),
        (&up[1], "tcp://127.0.0.1:4061", "orders"),
    ] {
        assert_eq!(
            (&way["endpoint"], &way["carries"]),
            (&json!(endpoint), &json!(carries))
        );
        assert_eq!(
            (&way["since"], &way["rtt_ms"]),
            (&json!(since), &json!(1.234))
        );
    }
    fixture.meters.silent.lock().unwrap().extend(0..100);
    fixture.clock.set(NOON + 60);
    let down = ways("down").await;
    let since = headend::rfc3339(model::Timestamp::from_secs(NOON + 60));
    assert_eq!(
        (&down[0]["since"], &down[1]["since"]),
        (&json!(since), &json!(since))
    );
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_said_so() {
    let fixture = Fixture::start().await;
    let list = fixture.json("/api/v1/concentrators").await;
    assert_eq!(list, json!({ "total": 0, "offset": 0, "rows": [] }));
    // A meter is none.
    let meter = fixture.id(1).await;
    for id in [meter.as_str(), "m_00000000", "c-17"] {
        for rest in ["", "/meters"] {
            let answer = fixture
                .get(&format!("/api/v1/concentrators/{id}{rest}"))
                .await;
            assert_eq!(
                (answer.status, answer.code()),
                (404, "no_such_concentrator".to_owned())
            );
        }
    }
    for query in ["limit=0", "limit=501", "what=1"] {
        let answer = fixture.get(&format!("/api/v1/concentrators?{query}")).await;
        assert_eq!(answer.status, 400);
    }
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn a_concentrator_that_lies_about_its_size_is_cut_off() {
    let fixture = Fixture::start_over(prepare, with_one).await;
    fixture.until(|row| row["meters"] == 3).await;
    let many = 0..u32::try_from(METERS_MAX).unwrap() + 10;
    let lines = many.map(|it| status(256, &format!("GWD{it:013}"), true, 0, None));
    tell(&fixture.meters, METERS, &Data::Array(lines.collect()));
    tell(&fixture.meters, CHANGES, &Data::DoubleLongUnsigned(4));
    let row = fixture.until(|row| row["meters"] != 3).await;
    assert_eq!(row["meters"], METERS_MAX);
    // What cannot be read at all changes nothing.
    tell(&fixture.meters, METERS, &Data::Boolean(true));
    tell(&fixture.meters, CHANGES, &Data::DoubleLongUnsigned(5));
    let before = row["as_of"].clone();
    fixture.clock.set(NOON + 10);
    let row = fixture.until(|row| row["as_of"] != before).await;
    assert_eq!(row["meters"], METERS_MAX);
    fixture.head_end.stop().await;
}
