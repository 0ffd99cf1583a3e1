//! Drills over the API, before a virtual meter in a simulated SCION network.
//!
//! Evidence: self-agreement over real sockets. That a link is cut and mended is looked at in the
//! network (`sim::scion`), not in the head end; its control is one of the test's own here, with the
//! words of `gridward sim scion`, which the browser test with programs as processes has itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use headend::store::{DrillEnd, DrillOutcome, NewDrill, Store as _, TIMELINES_KEPT};
use model::{MeterId, Timestamp};
use serde_json::{Value, json};
use sim::scion::{Cut, End, Kind, Link, LinkState, METERS, Network, Topology};

use super::Fixture;
use super::fence::Site;
use super::orders::Full;
use crate::http::Events;
use crate::support::{self as store, NOON, wait};

const REASON: &str = "Drill of the quarter, case 88-205";
const NEAR: &str = "2-ff00:0:211#1";
const FAR: &str = "1-ff00:0:111#1";

/// Serves the control of a network, in which somebody else cuts a link before it is looked at for
/// the second time.
fn control(network: &Arc<Network>, meanwhile: Option<&'static str>) -> SocketAddr {
    fn told(network: &Network) -> Json<Value> {
        let link = |state: &LinkState| {
            let [link, to] = state.link.ends.map(|end| end.to_string());
            let is_up = if state.cut.is_some() { "down" } else { "up" };
            json!({ "link": link, "to": to, "latency_ms": 1, "state": is_up, "packets": 0 })
        };
        let links: Vec<_> = network.links().iter().map(link).collect();
        Json(json!({ "links": links, "astray": 0 }))
    }
    type Net = State<Arc<Network>>;
    let end = |order: &Value| order["link"].as_str().unwrap().parse::<End>().unwrap();
    let down = move |State(network): Net, Json(order): Json<Value>| async move {
        let how = match order["how"].as_str() {
            Some("loud") => Cut::Loud,
            Some("silent") => Cut::Silent,
            _ => return Err(StatusCode::BAD_REQUEST),
        };
        let seconds = order["mend_after_s"].as_u64().unwrap();
        network
            .cut_for(end(&order), how, Duration::from_secs(seconds))
            .unwrap();
        Ok(told(&network))
    };
    let up = move |State(network): Net, Json(order): Json<Value>| async move {
        network.cut(end(&order), None).unwrap();
        told(&network)
    };
    let looks = Arc::new(AtomicUsize::new(0));
    let look = move |State(network): Net| {
        let look = looks.fetch_add(1, Ordering::SeqCst);
        if let Some(link) = meanwhile.filter(|_| look == 1) {
            let end = link.parse().unwrap();
            network.cut(end, Some(Cut::Loud)).unwrap();
        }
        std::future::ready(told(&network))
    };
    let routes = Router::new()
        .route("/", get(look))
        .route("/down", post(down))
        .route("/up", post(up))
        .with_state(Arc::clone(network));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

async fn start() -> Site {
    start_with(None).await
}

async fn start_with(meanwhile: Option<&'static str>) -> Site {
    // A third link that no path to the meter crosses.
    let mut links = Topology::pair().links().to_vec();
    let end = |isd_as: &str, interface: &str| format!("{isd_as}#{interface}").parse::<End>();
    links.push(Link {
        ends: [
            end(&METERS.to_string(), "9").unwrap(),
            end("3-ff00:0:310", "1").unwrap(),
        ],
        kind: Kind::Child,
        latency: Duration::from_millis(1),
    });
    let at = |config: &mut headend::Config, network: &Arc<Network>| {
        config.scion.drill_control = Some(control(network, meanwhile));
        // An order to switch waits for as long as a test may take.
        config.orders.armed_s = 3_600;
    };
    Site::start_with(Topology::new(links), at).await
}

fn is_cut(network: &Network) -> bool {
    network.links().iter().any(|link| link.cut.is_some())
}

/// Looks at the drill again and again.
async fn until(site: &Site, path: &str, reached: impl Fn(&Value) -> bool) -> Value {
    super::until("the drill gets there", async || {
        let shown = site.json(path).await["shown"].clone();
        reached(&shown).then_some(shown)
    })
    .await
}

fn order(link: Option<&str>, how: &str, seconds: u16) -> Value {
    json!({ "link": link, "how": how, "mend_after_s": seconds, "reason": REASON })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_is_lived_through_told_and_kept() {
    let site = start().await;
    let id = site.id(1).await;
    let path = format!("/api/v1/meters/{id}/drill");
    let before = site.json(&path).await;
    assert_eq!(
        (&before["why_not"], &before["shown"], &before["drills"]),
        (&Value::Null, &Value::Null, &json!([]))
    );
    let setup = site.json(&format!("{path}/links")).await;
    assert_eq!(setup["allowed"], 2);
    let links = setup["links"].as_array().unwrap();
    assert_eq!(links.len(), 2, "{setup}");
    assert_eq!(
        (&links[0]["link"], &links[0]["to"], &links[0]["leaves"]),
        (&json!(NEAR), &json!(FAR), &json!(1))
    );

    let bearer = format!("Bearer {}", site.token);
    let topics = format!("meter:{id}");
    let headers = [("authorization", bearer.as_str())];
    let events = Events::open(site.head_end.address(), &topics, &headers).await;
    let mut events = events.unwrap();
    let begun = site.ask("POST", &path, &order(None, "silent", 6)).await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    let begun = begun.json();
    assert_eq!(
        (
            &begun["number"],
            &begun["who"],
            &begun["reason"],
            &begun["link"]
        ),
        (&json!(1), &json!("operator"), &json!(REASON), &Value::Null)
    );
    assert_eq!(events.next("drill").await.unwrap().data["id"], id);
    let shown = until(&site, &path, |drill| drill["state"] == "cut").await;
    // One link, told by both its ends, and the network mends it in any case.
    let cut = site.network.links().into_iter().find(|it| it.cut.is_some());
    let cut = cut.unwrap();
    assert_eq!((cut.cut, cut.mends.is_some()), (Some(Cut::Silent), true));
    let ends = cut.link.ends.map(|end| json!(end.to_string()));
    let told = [&shown["timeline"]["link"], &shown["timeline"]["to"]];
    assert_eq!(told, [&ends[0], &ends[1]]);
    // There is one network, and one drill at a time.
    let other = site.ask("POST", &path, &order(None, "loud", 1)).await;
    assert_eq!(
        (other.status, other.code()),
        (409, "drill_under_way".to_owned())
    );

    let done = until(&site, &path, |drill| !drill["ended"].is_null()).await;
    assert_eq!(done["state"], "done", "{done}");
    assert!(!is_cut(&site.network));
    let (summary, timeline) = (&done["summary"], &done["timeline"]);
    let readings = timeline["readings"].as_array().unwrap();
    assert_eq!(summary["readings"], readings.len());
    let answered = readings
        .iter()
        .filter(|it| !it["latency_ms"].is_null())
        .count();
    assert_eq!(summary["lost"], readings.len() - answered);
    assert!(answered > 0);
    // Off the path that crosses the link, which on a busy machine need not be the quicker one.
    let hops = |of: &Value| {
        let number = usize::try_from(of.as_u64().unwrap()).unwrap();
        timeline["paths"][number]["hops"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let [one, other] = cut.link.ends.map(|end| end.interface);
    let crossing = format!("2-ff00:0:211 {one}>{other} 1-ff00:0:111");
    assert_eq!(hops(&summary["from"]), crossing);
    assert_ne!(hops(&summary["to"]), crossing);
    assert!(summary["moved_ms"].as_f64().unwrap() > 0.0);
    let times = ["cut_ms", "mended_ms", "anew_ms"].map(|it| timeline[it].as_u64().unwrap());
    assert!(times.is_sorted(), "{times:?}");
    // The new association begins on the quicker path.
    if one.0 == 1 {
        assert!(!summary["back_ms"].is_null(), "{summary}");
    }
    assert!(readings.iter().any(|it| it["anew"] == true));

    // It is kept, and told by its number.
    let site = site.restart().await;
    assert_eq!(site.json(&path).await["shown"], done);
    let told = site.json(&format!("{path}?number=1")).await;
    assert_eq!(told["drills"][0]["timeline"], Value::Null);
    assert_eq!(told["drills"][0]["summary"], *summary);
    assert_eq!(
        site.json(&format!("{path}?number=7")).await["shown"],
        Value::Null
    );
    site.head_end.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_mended_whoever_ends_the_drill() {
    let site = start().await;
    let path = format!("/api/v1/meters/{}/drill", site.id(1).await);
    let stop = format!("{path}/stop");
    let none = site.ask("POST", &stop, &Value::Null).await;
    assert_eq!((none.status, none.code()), (409, "no_drill".to_owned()));
    // Somebody stops it.
    let begun = site.ask("POST", &path, &order(Some(FAR), "loud", 60)).await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    until(&site, &path, |drill| drill["state"] == "cut").await;
    assert!(is_cut(&site.network));
    assert_eq!(site.ask("POST", &stop, &Value::Null).await.status, 202);
    let stopped = until(&site, &path, |drill| !drill["ended"].is_null()).await;
    assert_eq!(
        (&stopped["state"], &stopped["answer"]),
        (
            &json!("stopped"),
            &json!("It was stopped before its end. The link was mended.")
        )
    );
    assert!(!is_cut(&site.network));
    assert!(!stopped["timeline"]["mended_ms"].is_null());

    // The head end stops.
    let begun = site
        .ask("POST", &path, &order(Some(NEAR), "silent", 60))
        .await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    until(&site, &path, |drill| drill["state"] == "cut").await;
    assert!(is_cut(&site.network));
    let site = site.restart().await;
    assert!(!is_cut(&site.network));
    let shown = site.json(&path).await["shown"].clone();
    assert_eq!(
        (&shown["number"], &shown["state"]),
        (&json!(2), &json!("cut_off"))
    );

    // The meter cannot be reached: nothing is cut in vain.
    for link in site.network.links() {
        site.network
            .cut(link.link.ends[0], Some(Cut::Silent))
            .unwrap();
    }
    let begun = site.ask("POST", &path, &order(None, "loud", 1)).await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    let failed = until(&site, &path, |drill| !drill["ended"].is_null()).await;
    assert_eq!(failed["state"], "failed");
    let answer = failed["answer"].as_str().unwrap();
    assert!(answer.ends_with("Nothing was cut."), "{answer}");
    assert_eq!(failed["timeline"]["cut_ms"], Value::Null);
    site.head_end.stop().await;
}

/// Somebody else's cut is neither replaced by ours nor mended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_somebody_cuts_meanwhile_is_left_to_him() {
    let site = start_with(Some(NEAR)).await;
    let path = format!("/api/v1/meters/{}/drill", site.id(1).await);
    let named = order(Some(FAR), "silent", 1);
    let begun = site.ask("POST", &path, &named).await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    let failed = until(&site, &path, |drill| !drill["ended"].is_null()).await;
    assert_eq!(
        (&failed["state"], &failed["answer"]),
        (
            &json!("failed"),
            &json!("Somebody has cut the link meanwhile. Nothing was cut by this drill.")
        )
    );
    let links = site.network.links();
    let cut: Vec<_> = links.iter().filter(|it| it.cut.is_some()).collect();
    assert_eq!(cut.len(), 1);
    assert_eq!(
        (cut[0].cut, cut[0].mends.is_some()),
        (Some(Cut::Loud), false)
    );
    site.head_end.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_drill_that_could_not_be_written_is_written_once_the_store_takes_it() {
    let site = start().await;
    let path = format!("/api/v1/meters/{}/drill", site.id(1).await);
    let begun = site.ask("POST", &path, &order(None, "loud", 60)).await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    until(&site, &path, |drill| drill["state"] == "cut").await;
    let full = Full::new(&site.folder, "drill");
    let stop = format!("{path}/stop");
    assert_eq!(site.ask("POST", &stop, &Value::Null).await.status, 202);
    let mended = until(&site, &path, |drill| drill["state"] == "mended").await;
    assert!(!is_cut(&site.network));
    tokio::time::sleep(Duration::from_millis(300)).await;
    // It is under way still, with all that is known of it, and no other one begins.
    let shown = site.json(&path).await["shown"].clone();
    assert_eq!(
        (&shown["state"], &shown["ended"], &shown["timeline"]),
        (&json!("mended"), &Value::Null, &mended["timeline"])
    );
    let other = site.ask("POST", &path, &order(None, "loud", 1)).await;
    assert_eq!(other.code(), "drill_under_way");
    drop(full);
    let ended = until(&site, &path, |drill| !drill["ended"].is_null()).await;
    assert_eq!(
        (&ended["state"], &ended["timeline"]),
        (&json!("stopped"), &mended["timeline"])
    );
    site.head_end.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_against_a_drill_is_said_and_nothing_is_cut() {
    let site = start().await;
    let id = site.id(1).await;
    let path = format!("/api/v1/meters/{id}/drill");
    let other = format!("/api/v1/meters/{}/drill", site.id(2).await);
    let refused = async |path: &str, order: &Value| {
        let answer = site.ask("POST", path, order).await;
        (answer.status, answer.code())
    };
    let now = |code: &str| (409, code.to_owned());
    let bad = (400, "bad_request".to_owned());
    for order in [
        json!({ "how": "loud", "mend_after_s": 5, "reason": "because" }),
        json!({ "how": "gently", "mend_after_s": 5, "reason": REASON }),
        json!({ "how": "loud", "reason": REASON }),
        order(None, "loud", 0),
        order(None, "loud", 61),
    ] {
        assert_eq!(refused(&path, &order).await, bad, "{order}");
    }
    let loud = |link| order(link, "loud", 5);
    assert_eq!(refused(&other, &loud(None)).await, now("not_scion"));
    for (link, code) in [
        ("9-ff00:0:999#1", "no_such_link"),
        ("nowhere", "no_such_link"),
        ("3-ff00:0:310#1", "link_elsewhere"),
    ] {
        assert_eq!(refused(&path, &loud(Some(link))).await, now(code), "{link}");
    }
    site.network
        .cut(NEAR.parse().unwrap(), Some(Cut::Loud))
        .unwrap();
    assert_eq!(refused(&path, &loud(Some(FAR))).await, now("link_is_cut"));
    site.network.cut(NEAR.parse().unwrap(), None).unwrap();

    // An order that waits is not to find its meter cut off.
    let orders = format!("/api/v1/meters/{id}/orders");
    let dry = site
        .json(&format!("{orders}/dry-run?kind=disconnect"))
        .await;
    let switch = json!({
        "kind": "disconnect", "reason": REASON, "confirm": dry["confirm"], "as_of": dry["as_of"],
    });
    let given = site.ask("POST", &orders, &switch).await;
    assert_eq!(given.status, 202, "{}", given.text());
    assert_eq!(refused(&path, &loud(None)).await, now("order_under_way"));
    let halt = format!("/api/v1/orders/{}/stop", given.json()["number"]);
    assert_eq!(site.ask("POST", &halt, &Value::Null).await.status, 200);

    // The only path that the fence leaves is cut by those alone who type the place.
    let fence = async |text: &str, nothing: bool| {
        let body = json!({ "fence": text, "reason": REASON, "send_nothing": nothing });
        let at = format!("/api/v1/meters/{id}/fence");
        let saved = site.ask("PUT", &at, &body).await;
        assert_eq!(saved.status, 200);
        assert_eq!(saved.json()["drills"], true);
    };
    fence(&format!("- {NEAR} +"), false).await;
    let mut last = loud(Some("2-ff00:0:211#2"));
    assert_eq!(refused(&path, &last).await, now("confirm_place"));
    last["confirm"] = json!("somewhere else");
    assert_eq!(refused(&path, &last).await, now("confirm_place"));
    fence("-", true).await;
    assert_eq!(refused(&path, &loud(None)).await, now("leaves_none"));
    assert!(!is_cut(&site.network));
    assert_eq!(site.json(&path).await["drills"], json!([]));
    fence(&format!("- {NEAR} +"), false).await;
    last["confirm"] = dry["confirm"].clone();
    let begun = site.ask("POST", &path, &last).await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    let stop = format!("{path}/stop");
    assert_eq!(site.ask("POST", &stop, &Value::Null).await.status, 202);
    until(&site, &path, |drill| !drill["ended"].is_null()).await;
    assert!(!is_cut(&site.network));
    site.head_end.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_simulated_network_there_is_no_drill() {
    let site = Site::start_with(Topology::pair(), |_, _| {}).await;
    let path = format!("/api/v1/meters/{}/drill", site.id(1).await);
    let why = site.json(&path).await["why_not"].clone();
    assert!(why.as_str().unwrap().contains("headend.scion"), "{why}");
    let refused = site.ask("POST", &path, &order(None, "loud", 5)).await;
    assert_eq!(
        (refused.status, refused.code()),
        (409, "no_control".to_owned())
    );
    let links = site
        .ask("GET", &format!("{path}/links"), &Value::Null)
        .await;
    assert_eq!((links.status, links.code()), (409, "no_control".to_owned()));
    site.head_end.stop().await;

    // A control that is gone, or is another program, is said to be.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = gone.local_addr().unwrap();
    drop(gone);
    let change = |config: &mut headend::Config, _: &Arc<Network>| {
        config.scion.drill_control = Some(at);
    };
    let site = Site::start_with(Topology::pair(), change).await;
    let path = format!("/api/v1/meters/{}/drill", site.id(1).await);
    assert_eq!(site.json(&path).await["why_not"], Value::Null);
    let refused = site.ask("POST", &path, &order(None, "loud", 5)).await;
    assert_eq!(
        (refused.status, refused.code()),
        (409, "control_failed".to_owned())
    );
    site.head_end.stop().await;
}

/// A drill as it ended, with what readings came to.
fn ended(readings: u32) -> DrillEnd {
    let summary = json!({ "readings": readings, "lost": 0, "retried": 0 });
    let reading =
        json!({ "due_ms": 0, "asked_ms": 0, "sent": 1, "anew": false, "latency_ms": 1.5 });
    let timeline = json!({ "every_ms": 100, "paths": [], "readings": [reading] });
    DrillEnd {
        outcome: DrillOutcome::Done,
        answer: String::new(),
        summary: Some(summary.to_string()),
        timeline: Some(timeline.to_string()),
        at: Timestamp::from_secs(NOON + 1),
    }
}

fn new_drill(meter: MeterId) -> NewDrill {
    NewDrill {
        meter,
        at: Timestamp::from_secs(NOON),
        who: "operator".to_owned(),
        reason: REASON.to_owned(),
        link: None,
        silent: true,
        mend_after_s: 5,
    }
}

#[test]
fn the_last_timelines_of_a_meter_are_kept_and_all_rows() {
    let site = store::Site::new();
    let (meter, other) = (site.enrol(1), site.enrol(2));
    let drills = site.store.drills();
    let close = |meter, end: &DrillEnd| {
        let number = wait(drills.begin(new_drill(meter))).unwrap();
        wait(drills.close(number, end.clone())).unwrap();
        number
    };
    // As one was kept before there were summaries.
    let old = DrillEnd {
        summary: None,
        ..ended(1)
    };
    let oldest = close(meter, &old);
    let first = close(meter, &ended(7));
    let others = close(other, &ended(8));
    for number in 1..TIMELINES_KEPT {
        close(meter, &ended(number));
    }
    let timeline = |meter, number| {
        let row = drills.by_number(meter, number).unwrap().unwrap();
        row.end.unwrap().timeline
    };
    assert_eq!(timeline(meter, first), ended(7).timeline);
    let last = close(meter, &ended(9));
    assert_eq!(timeline(meter, first), None);
    assert_eq!(timeline(meter, first + 2), ended(1).timeline);
    assert_eq!(timeline(meter, last), ended(9).timeline);
    assert_eq!(timeline(other, others), ended(8).timeline);
    assert_eq!(timeline(meter, oldest), old.timeline);
    assert_eq!(drills.by_number(other, first).unwrap(), None);
    // Lists have what readings came to, and not the readings.
    let rows = drills.list(meter, 100).unwrap();
    assert_eq!(rows.len(), usize::try_from(TIMELINES_KEPT).unwrap() + 2);
    let ends: Vec<_> = rows.into_iter().map(|row| row.end.unwrap()).collect();
    let (last, before) = ends.split_last().unwrap();
    assert_eq!(*last, old);
    assert!(before.iter().all(|end| end.timeline.is_none()));
    assert_eq!(before.last().unwrap().summary, ended(7).summary);
}

#[tokio::test]
async fn a_drill_is_shown_by_its_number_however_old_it_is() {
    let fixture = Fixture::start_with(|config| config.collector.enabled = false).await;
    let id = fixture.id(1).await;
    let drills = fixture.head_end.store().drills();
    for number in 1..=25 {
        let begun = drills.begin(new_drill(id.parse().unwrap())).await;
        drills.close(begun.unwrap(), ended(number)).await.unwrap();
    }
    let path = format!("/api/v1/meters/{id}/drill");
    let told = fixture.json(&format!("{path}?number=2")).await;
    assert_eq!(
        (
            &told["shown"]["number"],
            &told["shown"]["summary"]["readings"],
            told["shown"]["timeline"]["readings"]
                .as_array()
                .unwrap()
                .len()
        ),
        (&json!(2), &json!(2), 1)
    );
    let rows = told["drills"].as_array().unwrap();
    assert_eq!(rows.len(), 20);
    assert_eq!(rows[0]["summary"]["readings"], 25);
    // One that was written down a moment ago is about to begin.
    drills.begin(new_drill(id.parse().unwrap())).await.unwrap();
    let told = fixture.json(&path).await;
    assert_eq!(
        (&told["shown"]["number"], &told["shown"]["state"]),
        (&json!(26), &json!("waiting"))
    );
    // What is damaged is said to be, and not that nothing was read.
    let damaged = DrillEnd {
        timeline: Some("{".to_owned()),
        ..ended(1)
    };
    drills.close(26, damaged).await.unwrap();
    assert_eq!(fixture.get(&path).await.status, 503);
    fixture.head_end.stop().await;
}
