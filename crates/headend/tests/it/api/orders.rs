//! Orders to meters over the API.
//!
//! Evidence: self-agreement over real sockets. The meters that obey, refuse and fall silent are the
//! virtual meter of `meter` under its own keys, and what it did is looked at in it, not in the head
//! end; what needs no meter is held against fakes that count who talks to them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use dlms::security::SystemTitle;
use headend::collector::MeterAccess;
use headend::store::{
    MeterOrderEnd, MeterOrderKind, MeterOrderLimit, MeterOrderLimits, MeterOrderOutcome,
    NewMeterOrder, Store as _,
};
use headend::{Config, HeadEnd, LinkAccess, Options};
use link::{
    Clock, Endpoint, KeyFile, Limits, Listener, Service, Surroundings, SystemClock, SystemEntropy,
};
use meter::fleet::Fleet;
use meter::journal::DirStore;
use meter::population::{Outages, Population};
use meter::shell::{SharedFleet, serve};
use meter::template::Template;
use model::{BreakerState, MeterId, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::live::next;
use super::{Fixture, Operator, started, until};
use crate::fake::FakeClock;
use crate::http::{Events, request};
use crate::support::{NOON, Site, wait};

const PLACE: &str = "Lindenweg 14, flat 3";
const REASON: &str = "Moved out on 20 November, case 88-204";
const TIMEOUT: Duration = Duration::from_secs(30);

/// The meters' time of day.
struct Noon(SystemClock);

impl Clock for Noon {
    fn now(&self) -> dlms::Instant {
        self.0.now()
    }

    fn unix_seconds(&self) -> i64 {
        NOON
    }
}

/// What lies between head end and meters does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Way {
    /// It carries everything.
    Open,
    /// It cuts a connection behind the first order, and leads on after that.
    CutOnce,
    /// It cuts a connection behind the first order, and leads nowhere after that.
    CutForGood,
    /// It leads nowhere.
    Closed,
}

/// A line to the meters that can be cut behind what a client asks in an association.
#[derive(Clone)]
struct Line {
    way: Arc<AtomicU8>,
    connections: Arc<AtomicUsize>,
    /// Messages to meters that are neither of making nor of ending an association.
    requests: Arc<AtomicUsize>,
}

impl Line {
    /// Waits for connections and leads them to `meters`.
    async fn to(meters: String) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let line = Self {
            way: Arc::new(AtomicU8::new(Way::Open as u8)),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let shared = line.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if shared.is(Way::Closed) {
                    continue;
                }
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let server = TcpStream::connect(&meters).await.unwrap();
                tokio::spawn(shared.clone().carry(client, server));
            }
        });
        (line, address)
    }

    fn set(&self, way: Way) {
        self.way.store(way as u8, Ordering::SeqCst);
    }

    fn is(&self, way: Way) -> bool {
        self.way.load(Ordering::SeqCst) == way as u8
    }

    /// Carries a connection message by message: AARQ and the reply to the meter's challenge first.
    async fn carry(self, client: TcpStream, server: TcpStream) {
        let (mut from, mut back) = client.into_split();
        let (mut answers, mut to) = server.into_split();
        let answering = tokio::spawn(async move {
            let mut octets = [0; 4_096];
            while let Ok(count @ 1..) = answers.read(&mut octets).await {
                if back.write_all(&octets[..count]).await.is_err() {
                    break;
                }
            }
        });
        let mut head = [0; 8];
        let mut message = 0;
        while from.read_exact(&mut head).await.is_ok() {
            let mut apdu = vec![0; usize::from(u16::from_be_bytes([head[6], head[7]]))];
            from.read_exact(&mut apdu).await.unwrap();
            message += 1;
            let cut = message == 3 && (self.is(Way::CutOnce) || self.is(Way::CutForGood));
            if cut {
                // Before the meter has it, so that no answer gets through.
                answering.abort();
            }
            if message >= 3 && apdu.first() != Some(&0x62) {
                self.requests.fetch_add(1, Ordering::SeqCst);
            }
            to.write_all(&[head.as_slice(), &apdu].concat())
                .await
                .unwrap();
            if cut {
                let next = if self.is(Way::CutOnce) {
                    Way::Open
                } else {
                    Way::Closed
                };
                self.set(next);
                // The meter reads what was sent before it finds the end.
                to.shutdown().await.unwrap();
                return;
            }
        }
        answering.abort();
    }
}

/// Virtual meters at the end of a line, and a head end that has them.
struct Street {
    folder: TempDir,
    fleet: Arc<SharedFleet<DirStore>>,
    line: Line,
    /// Where it is entered, and where it leads.
    way: SocketAddr,
    meters: String,
    config: Config,
    head_end: HeadEnd,
    address: SocketAddr,
    token: String,
}

/// Serves two virtual meters at noon, whose keys are put into `keys.toml`; returns them and where
/// they listen.
pub(super) async fn two_meters(
    folder: &TempDir,
    listen: &str,
) -> (Arc<SharedFleet<DirStore>>, Endpoint) {
    let keys = KeyFile::generate(1, 2, &SystemEntropy).unwrap();
    keys.save(&folder.path().join("keys.toml")).unwrap();
    let template = Arc::new(Template::built_in("smr5").unwrap());
    let now = Timestamp::from_secs(NOON);
    let population = Population {
        history_days: 1,
        outages: Outages::Never,
        ..Population::default()
    };
    let configs = population.configs(&template, keys.meters.clone(), now);
    let store = DirStore::open(folder.path().join("meters")).unwrap();
    let (fleet, _) = Fleet::open(store, configs, now, &SystemEntropy).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(Noon(SystemClock::new()));
    let fleet = SharedFleet::new(fleet, Arc::clone(&clock), Arc::new(SystemEntropy));
    let endpoint: Endpoint = listen.parse().unwrap();
    let listener = Listener::bind(&endpoint, &[], Limits::default(), Arc::clone(&clock));
    let listener = listener.await.unwrap();
    let at = listener.local().clone();
    tokio::spawn(serve(
        listener,
        Arc::<SharedFleet<DirStore>>::clone(&fleet),
        Service::default(),
        clock,
    ));
    (fleet, at)
}

impl Street {
    /// Two meters; at the second the head end is client 2, which reads.
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let (fleet, at) = two_meters(&folder, "tcp://127.0.0.1:0").await;
        let meters = at.host_port().unwrap().to_string();
        let (line, way) = Line::to(meters.clone()).await;
        let mut text = String::new();
        for (number, place, client) in [
            (1, format!("place = \"{PLACE}\"\n"), 1),
            (2, String::new(), 2),
        ] {
            text.push_str(&format!(
                "[[meter]]\nlogical_device_name = \"GWD{number:013}\"\n\
                 endpoint = \"tcp://{way}\"\nserver = {number}\nclient = {client}\n{place}",
            ));
        }
        std::fs::write(folder.path().join("meters.toml"), text).unwrap();
        let config = Config {
            enrolment: Some(folder.path().join("meters.toml")),
            keys: Some(folder.path().join("keys.toml")),
            ..idle()
        };
        let (head_end, token) = start(&config, &folder, TIMEOUT).await;
        Self {
            folder,
            fleet,
            line,
            way,
            meters,
            config,
            address: head_end.address(),
            head_end,
            token: token.expect("a first start tells the token"),
        }
    }

    fn operator(&self) -> Operator<'_> {
        Operator::at(self.address, &self.token)
    }

    async fn json(&self, path: &str) -> Value {
        self.operator().json(path).await
    }

    async fn id(&self, number: usize) -> String {
        self.operator().id(number).await
    }

    /// Gives an order, and waits for its end.
    async fn order(&self, meter: &str, body: Value) -> Value {
        let number = self.give(meter, body).await;
        self.ended(number).await
    }

    async fn give(&self, meter: &str, mut body: Value) -> i64 {
        let path = format!("/api/v1/meters/{meter}/orders");
        let kind = body["kind"].as_str().unwrap().to_owned();
        if kind == "connect" || kind == "disconnect" {
            let dry = self.json(&format!("{path}/dry-run?kind={kind}")).await;
            assert_eq!(dry["possible"], true, "{dry}");
            body["confirm"] = dry["confirm"].clone();
            body["as_of"] = dry["as_of"].clone();
        }
        if kind != "read" {
            body["reason"] = json!(REASON);
        }
        let given = self.operator().post(&path, &body).await;
        assert_eq!(given.status, 202, "{}", given.text());
        given.json()["number"].as_i64().unwrap()
    }

    async fn ended(&self, number: i64) -> Value {
        let path = format!("/api/v1/orders/{number}");
        until("an order's end", async || {
            let order = self.json(&path).await;
            (!order["ended"].is_null()).then_some(order)
        })
        .await
    }

    fn breaker(&self, meter: usize) -> BreakerState {
        let state = |device: &meter::device::Device| device.breaker_state();
        self.fleet.with_device(meter - 1, state).unwrap()
    }

    async fn restart(self) -> Self {
        self.head_end.stop().await;
        let (head_end, _) = start(&self.config, &self.folder, TIMEOUT).await;
        Self {
            address: head_end.address(),
            head_end,
            ..self
        }
    }
}

/// Starts a head end that reaches its meters over sockets and waits so long for their answers.
pub(super) async fn start(
    config: &Config,
    folder: &TempDir,
    timeout: Duration,
) -> (HeadEnd, Option<String>) {
    let data = folder.path().join("data");
    started(|| {
        let clock = FakeClock::at(NOON);
        Options {
            config: config.clone(),
            data: data.clone(),
            clock: Arc::<FakeClock>::clone(&clock),
            access: move |store, keys| -> Arc<dyn MeterAccess> {
                Arc::new(LinkAccess::new(
                    store,
                    keys,
                    clock,
                    Surroundings::system(),
                    SystemTitle(*b"GWDH\0\0\0\x01"),
                    timeout,
                ))
            },
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_meter_obeys_and_what_it_does_is_read_back() {
    let street = Street::start().await;
    let id = street.id(1).await;
    // A live view holds the meter's one conversation meanwhile: they take turns.
    let bearer = format!("Bearer {}", street.token);
    let headers = [("authorization", bearer.as_str())];
    let opened = Events::open(street.address, &format!("meter:{id}"), &headers).await;
    let mut live = opened.unwrap();
    assert!(live.next("power").await.is_some());

    let read = street.order(&id, json!({ "kind": "read" })).await;
    assert_eq!(
        (&read["state"], &read["who"]),
        (&json!("done"), &json!("operator"))
    );
    let meter = street.json(&format!("/api/v1/meters/{id}")).await;
    assert_eq!(meter["breaker"]["state"], "closed");
    assert!(!meter["last_read"].is_null());

    let order = street.order(&id, json!({ "kind": "disconnect" })).await;
    assert_eq!(street.breaker(1), BreakerState::Disconnected);
    assert_eq!(order["state"], "done");
    assert_eq!(order["answer"], "The meter answered: success.");
    assert_eq!(order["read_back"]["output"], false);
    assert_eq!(order["read_back"]["control"], "open");
    assert_eq!(order["reason"], REASON);
    // What was read back is what the meter's page shows.
    let meter = street.json(&format!("/api/v1/meters/{id}")).await;
    assert_eq!(meter["breaker"]["state"], "open");

    let order = street.order(&id, json!({ "kind": "connect" })).await;
    assert_eq!(street.breaker(1), BreakerState::Connected);
    assert_eq!(order["state"], "done");
    assert_eq!(order["read_back"]["output"], true);

    let text = "Work on the line, Thursday 8:00 to 9:30. Zählerraum bitte öffnen";
    let order = street
        .order(&id, json!({ "kind": "text", "text": text }))
        .await;
    assert_eq!(
        (&order["state"], &order["text"]),
        (&json!("done"), &json!(text))
    );
    assert_eq!(order["read_back"]["text"], text);
    let message = |device: &meter::device::Device| device.message().to_vec();
    assert_eq!(
        street.fleet.with_device(0, message).unwrap(),
        text.as_bytes()
    );
    assert!(live.next("power").await.is_some());
    drop(live);

    // All of it is in the journal, of the meter and of all, and stays.
    let street = street.restart().await;
    for path in [
        "/api/v1/orders".to_owned(),
        format!("/api/v1/meters/{id}/orders"),
    ] {
        let list = street.json(&path).await;
        let rows = list["rows"].as_array().unwrap();
        let kinds: Vec<_> = rows
            .iter()
            .map(|row| row["kind"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, ["text", "connect", "disconnect", "read"]);
        assert_eq!(list["total"], 4);
        assert!(
            rows.iter()
                .all(|row| row["state"] == "done" && row["meter"] == *id)
        );
    }
    let page = street.json("/api/v1/orders?limit=2&before=3").await;
    assert_eq!(
        (&page["rows"][0]["number"], &page["rows"][1]["number"]),
        (&json!(2), &json!(1))
    );
    let other = street.id(2).await;
    let none = street.json(&format!("/api/v1/meters/{other}/orders")).await;
    assert_eq!(none["rows"], json!([]));
    street.head_end.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_meter_that_refuses_is_told_as_such() {
    let street = Street::start().await;
    let id = street.id(2).await;
    let dry = street
        .json(&format!(
            "/api/v1/meters/{id}/orders/dry-run?kind=disconnect"
        ))
        .await;
    // Without a place its name is typed; and it is client 2 that would ask.
    assert_eq!((&dry["confirm"], &dry["client"]), (&dry["name"], &json!(2)));
    for body in [
        json!({ "kind": "disconnect" }),
        json!({ "kind": "text", "text": "Good day" }),
    ] {
        let order = street.order(&id, body).await;
        assert_eq!(order["state"], "refused", "{order}");
        let answer = order["answer"].as_str().unwrap();
        assert!(answer.starts_with("The meter"), "{answer}");
        assert!(!order["sent"].is_null());
    }
    assert_eq!(street.breaker(2), BreakerState::Connected);
    // A refusal does not count against what may be disconnected.
    let dry = street
        .json(&format!(
            "/api/v1/meters/{id}/orders/dry-run?kind=disconnect"
        ))
        .await;
    assert_eq!(dry["disconnections"], 0);
    street.head_end.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_without_an_answer_is_unknown_and_is_not_sent_again() {
    let street = Street::start().await;
    let id = street.id(1).await;
    street.line.set(Way::CutForGood);
    let order = street.order(&id, json!({ "kind": "disconnect" })).await;
    assert_eq!(order["state"], "unknown", "{order}");
    assert!(order["answer"].as_str().unwrap().contains("is not known"));
    assert!(order["read_back"].is_null());
    // It did it, which nobody can know; and once the way is open again nothing is sent by itself.
    until("the meter", async || {
        (street.breaker(1) == BreakerState::Disconnected).then_some(())
    })
    .await;
    let requests = street.line.requests.load(Ordering::SeqCst);
    assert_eq!(requests, 1);
    street.line.set(Way::Open);
    let street = street.restart().await;
    let path = format!("/api/v1/orders/{}", order["number"]);
    assert_eq!(street.json(&path).await["state"], "unknown");
    assert_eq!(street.line.requests.load(Ordering::SeqCst), requests);
    // Reading says what the meter is.
    street.order(&id, json!({ "kind": "read" })).await;
    let meter = street.json(&format!("/api/v1/meters/{id}")).await;
    assert_eq!(meter["breaker"]["state"], "open");
    street.head_end.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_back_shows_an_order_whose_answer_was_lost() {
    let street = Street::start().await;
    let id = street.id(1).await;
    street.line.set(Way::CutOnce);
    let order = street.order(&id, json!({ "kind": "disconnect" })).await;
    assert_eq!(order["state"], "done", "{order}");
    assert!(order["answer"].as_str().unwrap().contains("No answer came"));
    assert_eq!(order["read_back"]["control"], "open");
    assert_eq!(street.breaker(1), BreakerState::Disconnected);
    assert_eq!(street.line.connections.load(Ordering::SeqCst), 2);
    street.head_end.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_meter_that_is_not_reached_is_sent_nothing() {
    let street = Street::start().await;
    let id = street.id(1).await;
    street.line.set(Way::Closed);
    let order = street.order(&id, json!({ "kind": "disconnect" })).await;
    assert_eq!(order["state"], "not_sent", "{order}");
    assert!(order["sent"].is_null());
    assert!(
        order["answer"]
            .as_str()
            .unwrap()
            .ends_with("Nothing was sent.")
    );
    assert_eq!(street.breaker(1), BreakerState::Connected);
    street.head_end.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_takes_the_way_for_what_is_urgent() {
    let mut street = Street::start().await;
    let id = street.id(1).await;
    let (urgent, at) = Line::to(street.meters.clone()).await;
    let concentrator = format!(
        "endpoint = \"tcp://{}\"\nurgent = \"tcp://{at}\"",
        street.way
    );
    street.config.concentrator = vec![toml::from_str(&concentrator).unwrap()];
    let street = street.restart().await;
    // The other way leads nowhere.
    street.line.set(Way::Closed);
    let order = street.order(&id, json!({ "kind": "disconnect" })).await;
    assert_eq!(order["state"], "done", "{order}");
    assert_eq!(street.breaker(1), BreakerState::Disconnected);
    assert!(urgent.connections.load(Ordering::SeqCst) > 0);
    street.head_end.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_waits_for_its_turn_is_not_sent_once_the_head_end_stops() {
    // Who takes connections and says nothing, until the first one may end.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap();
    let (connections, seen) = tokio::sync::watch::channel(0);
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(async move {
        let (first, _) = listener.accept().await.unwrap();
        connections.send_replace(1);
        drop(ended.await);
        drop(first);
        while listener.accept().await.is_ok() {
            connections.send_modify(|count| *count += 1);
        }
    });
    let folder = TempDir::new().unwrap();
    let text = format!(
        "[[meter]]\nlogical_device_name = \"GWD0000000000001\"\nclient = 16\n\
         endpoint = \"tcp://{silent}\"\n",
    );
    std::fs::write(folder.path().join("meters.toml"), text).unwrap();
    let mut config = Config {
        enrolment: Some(folder.path().join("meters.toml")),
        ..idle()
    };
    config.collector.timeout_s = 120;
    let (head_end, token) = start(&config, &folder, TIMEOUT).await;
    let (address, token) = (head_end.address(), token.unwrap());
    let operator = Operator::at(address, &token);
    let path = format!("/api/v1/meters/{}/orders", operator.id(1).await);
    for _ in 0..2 {
        let given = operator.post(&path, &json!({ "kind": "read" })).await;
        assert_eq!(given.status, 202, "{}", given.text());
    }
    let mut first = seen.clone();
    first.wait_for(|count| *count == 1).await.unwrap();
    let stopping = tokio::spawn(head_end.stop());
    until("the end of the API", async || {
        TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;
    end.send(()).unwrap();
    stopping.await.unwrap();
    assert_eq!(*seen.borrow(), 1);
    let (head_end, _) = start(&config, &folder, TIMEOUT).await;
    let list = Operator::at(head_end.address(), &token).json(&path).await;
    let rows = list["rows"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["state"] == "not_sent"), "{list}");
    let stopped = rows.iter().filter(|row| {
        let answer = row["answer"].as_str().unwrap();
        answer == "The head end was stopped before it was sent. Nothing was sent."
    });
    assert_eq!(stopped.count(), 1, "{list}");
    head_end.stop().await;
}

/// A head end over fakes, where orders wait long before they are sent.
async fn armed(per_hour: u32) -> Fixture {
    Fixture::start_with(|config| {
        config.collector.enabled = false;
        config.orders.armed_s = 3_600;
        config.orders.disconnects_per_hour = per_hour;
    })
    .await
}

/// A configuration that reads no meter by itself.
pub(super) fn idle() -> Config {
    let mut config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        ..Config::default()
    };
    config.collector.enabled = false;
    config.orders.armed_s = 0;
    // The clock stands still, so that no request is ever forgiven.
    config.api.requests_per_s = 1_000_000;
    config
}

/// An order as the head end writes it, given and due at noon.
fn new_order(meter: MeterId, kind: MeterOrderKind, text: &str) -> NewMeterOrder {
    NewMeterOrder {
        meter,
        at: Timestamp::from_secs(NOON),
        who: "operator".to_owned(),
        kind,
        text: text.to_owned(),
        reason: REASON.to_owned(),
        due: Timestamp::from_secs(NOON),
    }
}

fn at_most(open: u32) -> MeterOrderLimits {
    MeterOrderLimits {
        disconnections: (Timestamp::from_secs(0), 10),
        open,
    }
}

fn disconnect(as_of: &str) -> Value {
    json!({ "kind": "disconnect", "reason": REASON, "confirm": PLACE, "as_of": as_of })
}

/// 2026-11-21T12:00:00Z.
const NOW: &str = "2026-11-21T12:00:00Z";

#[tokio::test]
async fn an_order_takes_a_reason_the_place_and_a_fresh_look() {
    let fixture = armed(10).await;
    let id = fixture.id(1).await;
    let path = format!("/api/v1/meters/{id}/orders");
    let dry = fixture
        .json(&format!("{path}/dry-run?kind=disconnect"))
        .await;
    assert_eq!(
        (&dry["as_of"], &dry["confirm"]),
        (&json!(NOW), &json!(PLACE))
    );
    assert_eq!(
        (&dry["armed_s"], &dry["second_person"]),
        (&json!(3_600), &json!(false))
    );
    let steps = dry["steps"].as_array().unwrap();
    assert!(
        steps
            .iter()
            .any(|it| it.as_str().unwrap().contains("remote_disconnect"))
    );
    let mut cases = vec![
        (json!({ "kind": "explode" }), 400, "bad_request"),
        (
            json!({ "kind": "text", "reason": REASON }),
            400,
            "bad_request",
        ),
        (
            json!({ "kind": "text", "text": "Good day" }),
            400,
            "bad_request",
        ),
        (
            json!({ "kind": "read", "text": "Good day" }),
            400,
            "bad_request",
        ),
        (
            json!({ "kind": "text", "reason": REASON, "text": "x".repeat(201) }),
            400,
            "bad_request",
        ),
        (disconnect("2026-11-21T11:54:59Z"), 409, "preview_too_old"),
        (disconnect("2026-11-21T12:00:01Z"), 409, "preview_too_old"),
        (disconnect("noon"), 400, "bad_request"),
    ];
    for (field, bad) in [("reason", "because"), ("confirm", "Lindenweg 15")] {
        let mut body = disconnect(NOW);
        body[field] = json!(bad);
        cases.push((body, 400, "bad_request"));
    }
    for (body, status, code) in cases {
        let answer = fixture.post(&path, &body).await;
        assert_eq!(
            (answer.status, answer.code()),
            (status, code.to_owned()),
            "{body}"
        );
    }
    let unsigned = request(fixture.address, "POST", &path, &[], b"{}").await;
    assert_eq!(unsigned.status, 401);
    let stranger = "/api/v1/meters/m_zzzzzzzz/orders";
    let answer = fixture.post(stranger, &disconnect(NOW)).await;
    assert_eq!(answer.status, 404);
    assert_eq!(fixture.json("/api/v1/orders").await["rows"], json!([]));
    assert_eq!(fixture.meters.opened.load(Ordering::SeqCst), 0);
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn an_order_that_waits_can_be_stopped_and_there_is_one_at_a_time() {
    let fixture = armed(2).await;
    let id = fixture.id(1).await;
    let path = format!("/api/v1/meters/{id}/orders");
    let give = async |body: Value| fixture.post(&path, &body).await;
    let first = give(disconnect(NOW)).await.json();
    assert_eq!(
        (&first["state"], &first["due"]),
        (&json!("armed"), &json!("2026-11-21T13:00:00Z"))
    );
    let mut connect = disconnect(NOW);
    connect["kind"] = json!("connect");
    assert_eq!(give(connect).await.code(), "order_under_way");
    let dry = fixture.json(&format!("{path}/dry-run?kind=connect")).await;
    assert_eq!(dry["possible"], false);
    assert!(dry["why_not"].as_str().unwrap().starts_with("Order 1 "));
    let stop = format!("/api/v1/orders/{}/stop", first["number"]);
    let stopped = fixture.ask(&stop, &[]).await;
    assert_eq!(stopped.json()["state"], "stopped");
    assert_eq!(fixture.ask(&stop, &[]).await.code(), "not_armed");
    assert_eq!(fixture.ask("/api/v1/orders/77/stop", &[]).await.status, 404);
    // What was stopped does not count; two that are armed do, and the third is one too many.
    for number in [1, 2] {
        let id = fixture.id(number).await;
        let mut body = disconnect(NOW);
        body["confirm"] = json!(super::PLACES[number - 1]);
        let path = format!("/api/v1/meters/{id}/orders");
        let given = fixture.post(&path, &body).await;
        assert_eq!(given.status, 202, "{}", given.text());
    }
    let third = fixture.id(3).await;
    let mut body = disconnect(NOW);
    body["confirm"] = json!(super::PLACES[2]);
    let path = format!("/api/v1/meters/{third}/orders");
    let given = fixture.post(&path, &body).await;
    assert_eq!(given.code(), "too_many_disconnections");
    let dry = fixture
        .json(&format!("{path}/dry-run?kind=disconnect"))
        .await;
    assert_eq!(
        (&dry["possible"], &dry["disconnections"]),
        (&json!(false), &json!(2))
    );

    // A head end that is stopped sends none of those that wait, then or later.
    let fixture = fixture.again(idle()).await;
    let list = fixture.json("/api/v1/orders").await;
    let states: Vec<_> = list["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["state"])
        .collect();
    assert_eq!(states, ["not_sent", "not_sent", "stopped"]);
    assert_eq!(fixture.meters.opened.load(Ordering::SeqCst), 0);
    fixture.head_end.stop().await;
}

/// The store's disk takes no end of what stands in a table until this is dropped.
pub(super) struct Full(rusqlite::Connection);

impl Full {
    pub(super) fn new(folder: &TempDir, table: &str) -> Self {
        let path = folder.path().join("data/headend.sqlite");
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.busy_timeout(Duration::from_secs(60)).unwrap();
        let full = format!(
            "CREATE TRIGGER full BEFORE UPDATE OF outcome ON {table}
             BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        );
        connection.execute_batch(&full).unwrap();
        Self(connection)
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        self.0.execute_batch("DROP TRIGGER full").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_could_not_be_written_is_written_once_the_store_takes_it() {
    let fixture = Fixture::start_with(|config| {
        config.collector.enabled = false;
        config.orders.armed_s = 0;
    })
    .await;
    let id = fixture.id(1).await;
    let path = format!("/api/v1/meters/{id}/orders");
    let full = Full::new(&fixture.folder, "meter_order");
    let given = fixture.operator().post(&path, &disconnect(NOW)).await;
    assert_eq!(given.status, 202, "{}", given.text());
    // The conversation about it is over; what became of it is not on the disk.
    until("the conversation's end", async || {
        let meters = &fixture.meters;
        let over = meters.open.load(Ordering::SeqCst) == 0;
        (over && meters.opened.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let order = fixture.json("/api/v1/orders/1").await;
    assert!(order["ended"].is_null(), "{order}");
    let again = fixture.operator().post(&path, &disconnect(NOW)).await;
    assert_eq!(again.code(), "order_under_way");
    drop(full);
    let order = until("its end", async || {
        let order = fixture.json("/api/v1/orders/1").await;
        (!order["ended"].is_null()).then_some(order)
    })
    .await;
    assert_eq!(order["state"], "not_sent", "{order}");
    // And the meter is free for another one.
    let again = fixture.operator().post(&path, &disconnect(NOW)).await;
    assert_eq!(again.status, 202, "{}", again.text());
    fixture.head_end.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_could_not_be_written_is_written_later_and_holds_meanwhile() {
    let fixture = armed(10).await;
    let id = fixture.id(1).await;
    let path = format!("/api/v1/meters/{id}/orders");
    let given = fixture.operator().post(&path, &disconnect(NOW)).await;
    assert_eq!(given.status, 202, "{}", given.text());
    let full = Full::new(&fixture.folder, "meter_order");
    let stop = fixture.ask("/api/v1/orders/1/stop", &[]).await;
    assert_eq!(stop.status, 503, "{}", stop.text());
    assert_eq!(fixture.meters.opened.load(Ordering::SeqCst), 0);
    // Who looks is told once it is written.
    let mut events = fixture.follow(&format!("meter:{id}"), None).await.unwrap();
    drop(full);
    assert_eq!(next(&mut events, "meter").await.data["id"], id);
    let order = fixture.json("/api/v1/orders/1").await;
    assert_eq!(order["state"], "stopped", "{order}");
    fixture.head_end.stop().await;
}

#[tokio::test]
async fn what_a_killed_head_end_left_is_told_and_never_sent_again() {
    let fixture = armed(10).await;
    let meter: MeterId = fixture.id(1).await.parse().unwrap();
    // As a head end leaves its journal that is killed with one order on its way and one armed.
    let orders = fixture.head_end.store().orders();
    let begin = |kind| orders.begin(new_order(meter, kind, ""), at_most(10));
    let sent = begin(MeterOrderKind::Disconnect).await.unwrap().unwrap();
    orders
        .sending(sent, Timestamp::from_secs(NOON))
        .await
        .unwrap();
    let other = begin(MeterOrderKind::Connect).await.unwrap();
    assert_eq!(other, Err(MeterOrderLimit::Switching(sent)));
    let waiting = begin(MeterOrderKind::Text).await.unwrap().unwrap();
    let fixture = fixture.again(idle()).await;
    for (number, state, words) in [
        (sent, "unknown", "It is not sent again"),
        (waiting, "not_sent", "Nothing was sent."),
    ] {
        let path = format!("/api/v1/orders/{number}");
        let order = fixture.json(&path).await;
        assert_eq!(order["state"], state);
        assert!(order["answer"].as_str().unwrap().contains(words), "{order}");
    }
    assert_eq!(fixture.meters.opened.load(Ordering::SeqCst), 0);
    fixture.head_end.stop().await;
}

#[test]
fn what_is_written_once_stays() {
    let site = Site::new();
    let meter = site.enrol(1);
    let order = new_order(meter, MeterOrderKind::Text, "Good day");
    let limits = at_most(1);
    let orders = site.store.orders();
    let number = wait(orders.begin(order.clone(), limits)).unwrap().unwrap();
    let full = wait(orders.begin(order.clone(), limits)).unwrap();
    assert_eq!(full, Err(MeterOrderLimit::Open));
    let end = |outcome| MeterOrderEnd {
        outcome,
        answer: "The meter answered: success.".to_owned(),
        read_back: None,
        at: Timestamp::from_secs(NOON + 1),
    };
    wait(orders.close(number, end(MeterOrderOutcome::Unconfirmed))).unwrap();
    wait(orders.close(number, end(MeterOrderOutcome::Done))).unwrap();
    let site = site.reopen();
    let orders = site.store.orders();
    assert_eq!(
        wait(orders.interrupted(Timestamp::from_secs(NOON + 9))).unwrap(),
        0
    );
    let row = orders.by_number(number).unwrap().unwrap();
    assert_eq!(row.order, order);
    assert_eq!(row.end, Some(end(MeterOrderOutcome::Unconfirmed)));
    assert_eq!(orders.list(Some(meter), None, 10).unwrap(), (1, vec![row]));
    assert_eq!(orders.list(None, Some(number), 10).unwrap(), (1, vec![]));
}
