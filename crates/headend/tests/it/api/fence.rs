//! Fences over the API, before a virtual meter in a simulated SCION network.
//!
//! Evidence: self-agreement over real sockets: what a fence leaves is told by the policy that sends,
//! and which link packets come to, of questions and of answers, is counted by the network
//! (`sim::scion`).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dlms::security::SystemTitle;
use headend::campaigns::wire;
use headend::collector::{MeterAccess, MeterTarget};
use headend::fences::ScionWays;
use headend::keys::LocalKeys;
use headend::store::{SqliteOptions, SqliteStore, Store, StoreError};
use headend::{Config, HeadEnd, LinkAccess};
use link::{Connector as _, Endpoint, Surroundings, SystemConnector};
use serde_json::{Value, json};
use sim::scion::{HEAD_END, METERS, Network, Plan, Topology};
use tempfile::TempDir;

use super::orders::{idle, start, two_meters};
use super::{Fixture, Operator, until};
use crate::fake::{FakeClock, FakeMeters};
use crate::http::Answer;
use crate::support::{NOON, zurich};

const REASON: &str = "Data may not leave the country";
/// What crosses a closed fence is answered by nobody: short, so that a try ends soon.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A head end with a meter over SCION, and one that is not.
pub(super) struct Site {
    config: Config,
    pub(super) folder: TempDir,
    pub(super) head_end: HeadEnd,
    pub(super) token: String,
    pub(super) network: Arc<Network>,
}

impl Site {
    async fn start() -> Self {
        Self::start_with(Topology::pair(), |_, _| {}).await
    }

    pub(super) async fn start_with(
        topology: Topology,
        change: impl FnOnce(&mut Config, &Arc<Network>),
    ) -> Self {
        let network = Network::start(Plan::new(topology)).await.unwrap();
        let network = Arc::new(network);
        let [daemon, meters] = [HEAD_END, METERS].map(|at| network.daemon(at).unwrap());
        let folder = TempDir::new().unwrap();
        let listen = format!("scion://[{METERS},127.0.0.1]:0?daemon={meters}");
        let (_, at) = two_meters(&folder, &listen).await;
        let port = at.host_port().unwrap().port;
        let text = format!(
            "[[meter]]\nlogical_device_name = \"GWD0000000000001\"\nclient = 1\nserver = 1\n\
             endpoint = \"scion://[{METERS},127.0.0.1]:{port}?daemon={daemon}\"\n\
             [[meter]]\nlogical_device_name = \"GWD0000000000002\"\nclient = 16\n\
             endpoint = \"tcp://127.0.0.1:9\"\n",
        );
        std::fs::write(folder.path().join("meters.toml"), text).unwrap();
        let mut config = Config {
            enrolment: Some(folder.path().join("meters.toml")),
            keys: Some(folder.path().join("keys.toml")),
            ..idle()
        };
        change(&mut config, &network);
        let (head_end, token) = start(&config, &folder, TIMEOUT).await;
        Self {
            config,
            folder,
            head_end,
            token: token.unwrap(),
            network,
        }
    }

    fn operator(&self) -> Operator<'_> {
        Operator::at(self.head_end.address(), &self.token)
    }

    pub(super) async fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        self.operator()
            .ask(method, path, &[], body.as_bytes())
            .await
    }

    pub(super) async fn json(&self, path: &str) -> Value {
        self.operator().json(path).await
    }

    pub(super) async fn id(&self, number: usize) -> String {
        self.operator().id(number).await
    }

    pub(super) async fn restart(self) -> Self {
        self.head_end.stop().await;
        let (head_end, _) = start(&self.config, &self.folder, TIMEOUT).await;
        Self { head_end, ..self }
    }

    /// Reads a meter; tells the links that packets came to, and what became of it.
    async fn tried(&self, meter: &str) -> (Vec<u16>, String) {
        self.network.forget();
        let path = format!("/api/v1/meters/{meter}/orders");
        let given = self.ask("POST", &path, &json!({ "kind": "read" })).await;
        let path = format!("/api/v1/orders/{}", given.json()["number"]);
        let order = until("the order's end", async || {
            let order = self.json(&path).await;
            (!order["ended"].is_null()).then_some(order)
        })
        .await;
        let state = order["state"].as_str().unwrap().to_owned();
        let links = self.network.links().into_iter();
        let used = links.filter(|it| it.counters.packets > 0);
        let used = used.map(|it| it.link.ends[0].interface.0);
        (used.collect(), state)
    }

    /// The critical alarm, where there is one.
    async fn alarm(&self) -> Option<String> {
        let meters = self.json("/api/v1/meters").await;
        let mut rows = meters["rows"].as_array().unwrap().iter();
        let row = rows.find(|row| row["state"] == "crit")?;
        Some(row["state_text"].as_str().unwrap().to_owned())
    }

    async fn titles(&self, meter: &str) -> Vec<String> {
        let events = self.json(&format!("/api/v1/meters/{meter}/events")).await;
        let rows = events["rows"].as_array().unwrap().iter();
        rows.map(|row| row["title"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// Counts the alarms of all meters, and the critical ones of them: as they were within the last
/// second of the clock.
async fn alarms(operator: Operator<'_>) -> (u64, u64) {
    let fleet = operator.json("/api/v1/fleet").await;
    let count = |name: &str| fleet[name].as_u64().unwrap();
    (count("alarms_open"), count("alarms_critical"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_is_previewed_saved_and_kept() {
    let site = Site::start().await;
    let id = site.id(1).await;
    let path = format!("/api/v1/meters/{id}/fence");
    let all = site.json(&path).await;
    assert_eq!((&all["known"], &all["allowed"]), (&json!(2), &json!(2)));
    assert_eq!(
        (&all["remaining"], &all["fence"]),
        (&json!("several"), &Value::Null)
    );
    assert_eq!(all["paths"][0]["latency_ms"], 1.0);
    assert_eq!(
        all["paths"][0]["ases"],
        json!(["2-ff00:0:211", "1-ff00:0:111"])
    );
    // What the ASes tell of themselves, each once.
    let of = |isd_as: &str, place: &str| json!({"isd_as": isd_as, "places": [place], "note": "simulated"});
    assert_eq!(
        all["about"],
        json!([
            of("1-ff00:0:111", "CH-Luzern"),
            of("2-ff00:0:211", "DE-Frankfurt")
        ])
    );
    // The quicker link; both where that one is slow.
    let (used, state) = site.tried(&id).await;
    assert!(used.contains(&1) && state == "done", "{used:?} {state}");

    // A look changes nothing, and tells what each path is refused for.
    let look = format!("{path}/preview?fence=-%202-ff00:0:211%231%20%2B");
    let one = site.json(&look).await;
    assert_eq!(
        (&one["allowed"], &one["remaining"]),
        (&json!(1), &json!("one"))
    );
    let refused = one["paths"][1]["refused"].as_str().unwrap();
    assert!(refused.starts_with("2-ff00:0:211#1 is denied"), "{refused}");
    assert_eq!(site.json(&path).await["allowed"], 2);
    let none = site.json(&format!("{path}/preview?fence=-")).await;
    assert_eq!(
        (&none["allowed"], &none["remaining"]),
        (&json!(0), &json!("none"))
    );
    assert!(site.titles(&id).await.is_empty());

    // None is refused unless somebody says so, and so is what is no fence.
    for (body, status, code) in [
        (
            json!({ "fence": "-", "reason": REASON }),
            409,
            "leaves_none",
        ),
        (
            json!({ "fence": "3", "reason": REASON }),
            400,
            "bad_request",
        ),
        (
            json!({ "fence": "+", "reason": "because" }),
            400,
            "bad_request",
        ),
        // Not to say which is not to say none.
        (json!({ "reason": REASON }), 400, "bad_request"),
    ] {
        let answer = site.ask("PUT", &path, &body).await;
        assert_eq!(
            (answer.status, answer.code()),
            (status, code.to_owned()),
            "{body}"
        );
    }
    let fence = "- 2-ff00:0:211#1 +";
    let saved = site
        .ask("PUT", &path, &json!({ "fence": fence, "reason": REASON }))
        .await;
    assert_eq!(saved.status, 200, "{}", saved.text());
    let saved = saved.json();
    assert_eq!(
        (&saved["fence"], &saved["allowed"]),
        (&json!(fence), &json!(1))
    );
    assert_eq!(
        (&saved["saved"][0]["who"], &saved["saved"][0]["reason"]),
        (&json!("operator"), &json!(REASON))
    );
    assert_eq!(site.titles(&id).await, ["Its fence leaves one path"]);
    assert_eq!(site.alarm().await, None);
    // The next association keeps to it.
    assert_eq!(site.tried(&id).await, (vec![2], "done".to_owned()));

    let site = site.restart().await;
    assert_eq!(site.json(&path).await["fence"], fence);
    assert_eq!(site.tried(&id).await, (vec![2], "done".to_owned()));
    assert_eq!(
        site.titles(&id).await,
        ["Its fence leaves one path"],
        "once"
    );
    let body = json!({ "fence": "-", "reason": REASON, "send_nothing": true });
    assert_eq!(site.ask("PUT", &path, &body).await.status, 200);
    let none = Some("Its fence leaves no path".to_owned());
    assert_eq!(site.alarm().await, none);
    let (used, state) = site.tried(&id).await;
    assert_eq!((used, state.as_str()), (vec![], "not_sent"));
    assert!(
        site.titles(&id)
            .await
            .contains(&"Its fence leaves no path".to_owned())
    );
    // Back to what the meter was enrolled with.
    let body = json!({ "fence": null, "reason": REASON });
    let back = site.ask("PUT", &path, &body).await.json();
    assert_eq!(
        (&back["allowed"], &back["fence"]),
        (&json!(2), &Value::Null)
    );
    assert_eq!(site.alarm().await, None);
    let titles = site.titles(&id).await;
    let again = "Its fence leaves several paths again".to_owned();
    assert!(titles.contains(&again), "{titles:?}");
    assert_eq!(back["saved"].as_array().unwrap().len(), 3);
    let other = format!("/api/v1/meters/{}/fence", site.id(2).await);
    assert_eq!(
        site.ask("GET", &other, &Value::Null).await.code(),
        "not_scion"
    );
    site.head_end.stop().await;
}

/// What is broadcast to a meter and its neighbours keeps to the fence that was saved, as all else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broadcast_keeps_to_the_fence_that_was_saved() {
    let site = Site::start().await;
    let path = format!("/api/v1/meters/{}/fence", site.id(1).await);
    let body = json!({ "fence": "- 2-ff00:0:211#1 +", "reason": REASON });
    assert_eq!(site.ask("PUT", &path, &body).await.status, 200);
    let Site {
        folder,
        head_end,
        network,
        ..
    } = site;
    head_end.stop().await;
    let data = folder.path().join("data");
    let store: Arc<dyn Store> = Arc::new(reopened(&data).await);
    let keys = LocalKeys::open(&data.join("master.key"), Arc::clone(&store)).unwrap();
    let access = LinkAccess::new(
        Arc::clone(&store),
        Arc::new(keys),
        FakeClock::at(NOON),
        Surroundings::system(),
        SystemTitle(*b"GWDH\0\0\0\x01"),
        Duration::from_secs(30),
    );
    let all = store.meters().unwrap().into_iter();
    let mut targets = all.map(|meter| MeterTarget {
        id: meter.id,
        enrolment: meter.enrolment,
    });
    let target = targets
        .find(|it| it.enrolment.endpoint.starts_with("scion"))
        .unwrap();
    network.forget();
    let mut sender = access.broadcast(&target).await.unwrap();
    sender.tell(wire::block(0, b"content")).await.unwrap();
    let packets = || -> Vec<u64> {
        let links = network.links();
        links.iter().map(|it| it.counters.packets).collect()
    };
    until("it comes to the link within the fence", async || {
        let packets = packets();
        assert_eq!(packets[0], 0, "{packets:?}");
        (packets[1] > 0).then_some(())
    })
    .await;
    // With others it would share no broadcast whose fence may be another.
    assert_eq!(access.broadcast_key(&target), None);
}

/// Fences are looked at several at once, so that one daemon that does not answer holds up few, and
/// never more than eight.
#[tokio::test]
async fn fences_are_looked_at_several_at_once_and_bounded() {
    let others = TempDir::new().unwrap();
    let text = (1..=24).map(|number| {
        format!(
            "[[meter]]\nlogical_device_name = \"GWD{number:013}\"\nclient = 16\n\
             endpoint = \"scion://[{METERS},127.0.0.1]:{}\"\n",
            4_000 + number
        )
    });
    let file = others.path().join("meters.toml");
    std::fs::write(&file, text.collect::<String>()).unwrap();
    let together = |meters: &FakeMeters| meters.together.store(8, Ordering::SeqCst);
    let fixture = Fixture::start_over(together, |config| {
        config.enrolment = Some(file);
        config.collector.enabled = false;
    })
    .await;
    until("all fences are looked at", async || {
        (fixture.meters.made.load(Ordering::SeqCst) == 24).then_some(())
    })
    .await;
    assert_eq!(fixture.meters.most.load(Ordering::SeqCst), 8);
    fixture.head_end.stop().await;
}

/// What a fence leaves changes with the network, and the alarm with it; what was told before a start
/// is not told again.
#[tokio::test]
async fn a_network_that_changes_raises_the_alarm_and_ends_it() {
    let network = Network::start(Plan::new(Topology::pair())).await.unwrap();
    let daemon = network.daemon(HEAD_END).unwrap();
    let url = format!("scion://[{METERS},127.0.0.1]:4059?daemon={daemon}&fence=%2B");
    let endpoint: Endpoint = url.parse().unwrap();
    let paths = SystemConnector::default();
    let paths = paths.paths(&endpoint, TIMEOUT).await.unwrap().unwrap();
    assert_eq!(paths.len(), 2);
    let Endpoint::Scion(_, options) = &endpoint else {
        panic!("{endpoint}");
    };
    let ways = |count: usize| {
        Some(ScionWays {
            options: options.clone(),
            paths: paths[..count].to_vec(),
        })
    };
    let others = TempDir::new().unwrap();
    let file = others.path().join("meters.toml");
    let text = format!(
        "[[meter]]\nlogical_device_name = \"GWD0000000000001\"\nclient = 16\nendpoint = \"{url}\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let config = || Config {
        enrolment: Some(file.clone()),
        ..idle()
    };
    let set = |meters: &FakeMeters, count: usize| *meters.ways.lock().unwrap() = ways(count);
    let with = |count| move |meters: &FakeMeters| set(meters, count);
    let mut fixture = Fixture::start_over(with(1), |it| *it = config()).await;
    let mut now = NOON;
    for (left, open, events) in [
        (1, (1, 0), 1),
        (0, (1, 1), 2),
        (0, (1, 1), 2),
        (2, (0, 0), 3),
    ] {
        set(&fixture.meters, left);
        now += 60;
        fixture.clock.set(now);
        // A start looks at all fences.
        fixture = fixture.again(config()).await;
        let id = fixture.id(1).await;
        until("the alarm follows the network", async || {
            now += 2;
            fixture.clock.set(now);
            (alarms(fixture.operator()).await == open).then_some(())
        })
        .await;
        let told = fixture.json(&format!("/api/v1/meters/{id}/events")).await;
        assert_eq!(told["rows"].as_array().unwrap().len(), events, "{told}");
    }
    fixture.head_end.stop().await;
}

async fn reopened(data: &Path) -> SqliteStore {
    let options = SqliteOptions::new(data, zurich());
    until("the folder is let go", async || {
        match SqliteStore::open(&options) {
            Err(StoreError::InUse) => None,
            opened => Some(opened.unwrap()),
        }
    })
    .await
}
