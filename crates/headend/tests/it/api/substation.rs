//! Evidence: self-agreement over real sockets: notices and sums as a concentrator delivered them,
//! put into the store by the test, in the form of `docs/concentrator.md`.

use dlms::axdr::Data;
use dlms::codec::Wire as _;
use headend::Config;
use headend::store::{Delivery, Notice, Supply};
use model::{MeterId, Timestamp};
use serde_json::{Value, json};

use super::Fixture;
use super::concentrators::{NAME, prepare, with_one};
use super::live::next;
use crate::support::NOON;

fn octets(text: &str) -> Data {
    Data::octet_string(text.as_bytes())
}

fn names(meters: &[u32]) -> Data {
    Data::Array(
        meters
            .iter()
            .map(|it| octets(&format!("GWD{it:013}")))
            .collect(),
    )
}

fn notice(number: u32, code: u8, at: i64, detail: &Data) -> Notice {
    Notice {
        number,
        at: Timestamp::from_secs(at),
        code,
        detail: detail.to_octets(),
    }
}

/// A sum of a quarter hour, so many before noon.
fn sum(back: i64, site: [&str; 2], supplied: Option<i64>, metered_wh: i64, meters: u32) -> Supply {
    Supply {
        at: Timestamp::from_secs(NOON - back * 900),
        feeder: site[0].parse().unwrap(),
        phase: site[1].parse().unwrap(),
        supplied_wh: supplied,
        metered_wh,
        meters,
    }
}

async fn deliver(fixture: &Fixture, notices: Vec<Notice>, supply: Vec<Supply>) -> MeterId {
    let store = fixture.head_end.store();
    let concentrator = store.concentrators().unwrap()[0].id;
    let delivery = Delivery {
        concentrator,
        notices,
        supply,
        events: Vec::new(),
    };
    store.deliver(delivery).await.unwrap();
    concentrator
}

#[tokio::test]
async fn outages_are_one_for_all_meters_and_end_with_the_last_one() {
    let fixture = Fixture::start_over(prepare, with_one).await;
    let told = vec![
        notice(7, 1, NOON - 7_200, &names(&[1])),
        notice(8, 2, NOON - 7_100, &names(&[1])),
        notice(9, 1, NOON - 600, &names(&[1, 2, 3, 99])),
        notice(10, 2, NOON - 60, &names(&[2, 99])),
    ];
    let id = deliver(&fixture, told, Vec::new()).await;
    let path = format!("/api/v1/concentrators/{id}");
    let list = fixture.json(&format!("{path}/outages")).await;
    assert_eq!(
        (&list["total"], &list["open"], &list["meters_out"]),
        (&json!(2), &json!(1), &json!(2))
    );
    let open = &list["rows"][0];
    assert_eq!(
        (
            &open["number"],
            &open["meters"],
            &open["out"],
            &open["ended"]
        ),
        (&json!(9), &json!(4), &json!(2), &Value::Null)
    );
    assert_eq!(open["began"], "2026-11-21T11:50:00Z");
    assert_eq!(open["sites"], json!(["F1 L2", "F2 L1", "F2 L3"]));
    let first = open["first"].as_array().unwrap();
    let out: Vec<_> = first.iter().map(|it| it["out"] == true).collect();
    assert_eq!(out, [true, true, false, false]);
    assert_eq!(first[0]["id"], fixture.id(1).await);
    assert_eq!(first[0]["place"], super::PLACES[0]);
    assert!(first[3]["id"].is_null(), "{first:?}");
    let past = &list["rows"][1];
    assert_eq!((&past["number"], &past["out"]), (&json!(7), &json!(0)));
    assert_eq!(past["ended"], "2026-11-21T10:01:40Z");
    let page = fixture
        .json(&format!("{path}/outages?offset=1&limit=1"))
        .await;
    assert_eq!(
        (&page["total"], &page["open"], &page["rows"][0]["number"]),
        (&json!(2), &json!(1), &json!(7))
    );
    // The fleet is told of all of them in one line.
    fixture.clock.set(NOON + 2);
    let fleet = fixture.json("/api/v1/fleet").await;
    let line = fleet["needs"].as_array().unwrap().iter();
    let line = line.clone().find(|it| it["title"] == "2 meters are out");
    let line = line.unwrap_or_else(|| panic!("{}", fleet["needs"]));
    assert_eq!(line["detail"], format!("Behind {NAME}"));
    assert_eq!(line["href"], format!("/concentrators/{id}"));
    assert_eq!(line["since"], "2026-11-21T11:50:00Z");
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn notices_say_what_they_hold_and_nothing_where_it_is_damaged() {
    let fixture = Fixture::start_over(prepare, with_one).await;
    let branch = |parts: Vec<Data>| {
        let mut all = vec![octets("F2"), octets("L1")];
        all.extend(parts);
        Data::Structure(all)
    };
    let balance = [NOON, 309, 150].map(Data::Long64);
    let all = [
        (1, names(&[1, 2])),
        (3, Data::Structure(vec![octets("GWD1"), Data::Unsigned(4)])),
        (4, branch(balance.to_vec())),
        (6, branch(Vec::new())),
        (8, branch(vec![Data::DoubleLongUnsigned(104_260)])),
        (10, branch(vec![Data::DoubleLongUnsigned(198_000)])),
        (12, Data::DoubleLongUnsigned(37)),
        (14, Data::DoubleLong(-3)),
        (99, Data::Boolean(true)),
        (4, Data::Boolean(true)),
        (6, Data::Structure(vec![octets("F\u{1}"), octets("L1")])),
    ];
    let told = (1..).zip(&all);
    let told = told.map(|(number, (code, detail))| notice(number, *code, NOON, detail));
    let id = deliver(&fixture, told.collect(), Vec::new()).await;
    let path = format!("/api/v1/concentrators/{id}/notices");
    let list = fixture.json(&path).await;
    assert_eq!(list["total"], 11);
    let of = |name: &str| -> Vec<Value> {
        let rows = list["rows"].as_array().unwrap().iter().rev();
        rows.map(|row| row[name].clone()).collect()
    };
    assert_eq!(
        of("detail"),
        [
            "",
            "GWD1",
            "F2 L1: 309 Wh supplied, 150 Wh metered",
            "F2 L1",
            "F2 L1, 104.2 A",
            "F2 L1, 198.0 V",
            "37 rows",
            "by -3 s",
            "",
            "",
            "",
        ]
    );
    assert_eq!(of("meters")[..2], [json!(2), Value::Null]);
    assert_eq!(of("title")[2], "More was supplied than metered");
    assert_eq!(of("title")[8], "Notice with code 99");
    assert_eq!(of("state")[..4], ["warn", "crit", "warn", "crit"]);
    let page = fixture.json(&format!("{path}?offset=10&limit=5")).await;
    assert_eq!(page["rows"].as_array().unwrap().len(), 1);
    assert_eq!(page["rows"][0]["number"], 1);
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn theft_shows_in_the_balance_and_a_missing_meter_does_not() {
    let fixture = Fixture::start_over(prepare, with_one).await;
    let mut supply = Vec::new();
    for back in (0..8).rev() {
        supply.push(sum(back, ["F2", "L1"], Some(1_000), 700, 1));
        supply.push(sum(back, ["F1", "L2"], Some(1_000), 970, 1));
        supply.push(sum(back, ["F2", "L3"], Some(1_000), 0, 0));
        supply.push(sum(back, ["F3", "L1"], None, 500, 4));
    }
    // Of another day.
    supply.push(sum(200, ["F1", "L2"], Some(9_000), 9, 1));
    let id = deliver(&fixture, Vec::new(), supply).await;
    let path = format!("/api/v1/concentrators/{id}/balance");
    let list = fixture.json(&path).await;
    assert_eq!(
        (&list["loss_percent"], &list["run"], &list["total"]),
        (&json!(8), &json!(4), &json!(4))
    );
    let lines: Vec<_> = list["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let of = |name: &str| row[name].as_str().unwrap().to_owned();
            let site = format!("{} {}", of("feeder"), of("phase"));
            (
                site,
                of("state"),
                of("state_text"),
                row["loss_permille"].clone(),
            )
        })
        .collect();
    let line = |site: &str, state: &str, text: &str, loss: Value| {
        (site.to_owned(), state.to_owned(), text.to_owned(), loss)
    };
    assert_eq!(
        lines,
        [
            line("F2 L1", "warn", "30.0 % lost", json!(300)),
            line("F2 L3", "miss", "0 of 1 meters told", Value::Null),
            line("F3 L1", "miss", "The feeder is not metered", Value::Null),
            line("F1 L2", "ok", "Loss in range", json!(30)),
        ]
    );
    let stolen = &list["rows"][0];
    assert_eq!(
        (&stolen["supplied_wh"], &stolen["metered_wh"]),
        (&json!(8_000), &json!(5_600))
    );
    assert_eq!(stolen["points"].as_array().unwrap().len(), 8);
    assert_eq!(
        stolen["points"][7],
        json!({
            "t": "2026-11-21T12:00:00Z", "supplied_wh": 1_000, "metered_wh": 700,
            "meters": 1, "weight": "weighed",
        })
    );
    // What could not be weighed is null, never zero; what was told all the same is there.
    let sums = |row: usize| {
        let row = &list["rows"][row];
        (row["supplied_wh"].clone(), row["metered_wh"].clone())
    };
    assert_eq!(sums(1), (json!(8_000), Value::Null));
    assert_eq!(sums(2), (Value::Null, json!(4_000)));
    assert_eq!(list["rows"][1]["incomplete"], 8);
    assert_eq!(list["rows"][2]["unmetered"], 8);
    let hour = fixture.json(&format!("{path}?hours=1&limit=1")).await;
    assert_eq!(hour["rows"][0]["points"].as_array().unwrap().len(), 4);
    assert_eq!(hour["rows"].as_array().unwrap().len(), 1);
    fixture.head_end.stop().await;
}

/// Meters whose enrolments name two ways are weighed for the list as they are for the page: of
/// the two of a branch one did not tell, which is no loss.
#[tokio::test]
async fn meters_with_two_ways_are_weighed_for_the_list() {
    let two_ways = |config: &mut Config| {
        with_one(config);
        let file = config.enrolment.clone().unwrap();
        let one = "tcp://127.0.0.1:4059";
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.replace(one, &format!("tcp://127.0.0.1:4060 {one}"));
        std::fs::write(file, text.replace("\"L3\"", "\"L1\"")).unwrap();
    };
    let fixture = Fixture::start_over(prepare, two_ways).await;
    let supply = (0..4).rev();
    let supply = supply.map(|back| sum(back, ["F2", "L1"], Some(1_000), 700, 1));
    let id = deliver(&fixture, Vec::new(), supply.collect()).await;
    let path = format!("/api/v1/concentrators/{id}/balance");
    let page = fixture.json(&path).await["rows"][0].clone();
    assert_eq!(
        [&page["state"], &page["state_text"]],
        ["miss", "1 of 2 meters told"]
    );
    let list = fixture.json("/api/v1/concentrators").await;
    let row = &list["rows"][0]["balance"];
    assert_eq!(
        [&row["feeder"], &row["phase"], &row["state"]],
        ["F2", "L1", "miss"]
    );
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn what_was_told_comes_with_the_stream() {
    let fixture = Fixture::start_over(prepare, with_one).await;
    let mut events = fixture.follow("concentrators", None).await.unwrap();
    let before = next(&mut events, "concentrator").await;
    assert_eq!(
        (&before.data["outages"], &before.data["balance"]),
        (&json!(0), &Value::Null)
    );
    let told = vec![notice(1, 1, NOON - 600, &names(&[1, 2]))];
    let supply = (0..4).rev();
    let supply = supply.map(|back| sum(back, ["F2", "L1"], Some(1_000), 700, 1));
    deliver(&fixture, told, supply.collect()).await;
    // A digest is a minute old at most.
    fixture.clock.set(NOON + 61);
    let after = loop {
        let event = next(&mut events, "concentrator").await;
        if event.data["outages"] == 1 {
            break event;
        }
    };
    assert_eq!(after.data["meters_out"], 2);
    assert_eq!(after.data["out_since"], "2026-11-21T11:50:00Z");
    assert_eq!(
        after.data["balance"],
        json!({
            "state": "warn", "state_text": "30.0 % lost", "feeder": "F2", "phase": "L1",
            "loss_permille": 300,
        })
    );
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn what_was_never_told_is_empty_and_what_is_not_there_is_said_so() {
    let fixture = Fixture::start_over(prepare, with_one).await;
    let id = fixture.head_end.store().concentrators().unwrap()[0].id;
    let path = format!("/api/v1/concentrators/{id}");
    for rest in ["outages", "notices", "balance"] {
        let list = fixture.json(&format!("{path}/{rest}")).await;
        assert_eq!((&list["total"], &list["rows"]), (&json!(0), &json!([])));
        for query in ["limit=0", "limit=201", "what=1", "offset=-1"] {
            let answer = fixture.get(&format!("{path}/{rest}?{query}")).await;
            assert_eq!(answer.status, 400, "{rest} {query}");
        }
        let answer = fixture
            .get(&format!("/api/v1/concentrators/m_00000000/{rest}"))
            .await;
        assert_eq!(
            (answer.status, answer.code()),
            (404, "no_such_concentrator".to_owned())
        );
    }
    for hours in [0, 49] {
        let answer = fixture.get(&format!("{path}/balance?hours={hours}")).await;
        assert_eq!(answer.status, 400);
    }
    fixture.head_end.stop().await;
}
