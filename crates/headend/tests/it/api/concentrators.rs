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
    tell(meters, manufacturer(6), &counts(7));
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
    let lines = vec![
        status(256, "GWD0000000000001", true, 0, Some(990)),
        status(257, "GWD0000000000002", true, 2, Some(640)),
        status(258, "GWD0000000000099", false, 1, None),
    ];
    tell(meters, METERS, &Data::Array(lines));
    let lines = vec![
        collected("GWD0000000000001", true, 96),
        collected("GWD0000000000002", false, 0),
    ];
    tell(meters, manufacturer(4), &Data::Array(lines));
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
    // Kinds that nobody knows are not made up.
    assert_eq!(one["notices"], json!(["Meters fell silent"]));
    assert_eq!(one["segments"][0]["there"], 2);
    assert_eq!(one["segments"][0]["waiting"], 4);
    assert_eq!(one["connections"][0]["dialled"], true);
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
    assert_eq!(of("segment"), [Value::Null, json!(0), json!(0)]);
    assert_eq!(of("mode"), ["direct", "direct", "conventional"]);
    assert_eq!(of("held_rows"), [0, 0, 96]);
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
