//! Fences over the API, with a daemon and routers of the test's own.
//!
//! Evidence: self-agreement over real sockets: what a fence leaves is told by the policy that sends,
//! and which router packets come to is counted there. Nobody answers behind the routers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use dlms::security::SystemTitle;
use headend::collector::MeterAccess;
use headend::{Config, HeadEnd, LinkAccess, Options, StartError};
use link::Surroundings;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, UdpSocket};

use super::schema;
use crate::fake::FakeClock;
use crate::http::{Answer, request};
use crate::support::NOON;

const HEAD: u64 = (2 << 48) | 0xff00_0000_0211;
const METERS: u64 = (1 << 48) | 0xff00_0000_0111;
const REASON: &str = "Data may not leave the country";

/// Packets that came to each router.
type Seen = Arc<Mutex<BTreeMap<u8, usize>>>;

/// The least of Protocol Buffers.
fn number(field: u64, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for mut value in [field << 3, value] {
        while value > 0x7f {
            out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        out.push(u8::try_from(value).unwrap());
    }
    out
}

fn octets(field: u64, value: &[u8]) -> Vec<u8> {
    let mut out = number(field, u64::try_from(value.len()).unwrap());
    out[0] |= 2;
    out.extend_from_slice(value);
    out
}

/// A path over each of two links, that leaves through the link's own router.
fn path(link: u8, router: SocketAddr) -> Vec<u8> {
    // One segment of two hop fields, against the order it was made in.
    let mut raw = (2_u32 << 12).to_be_bytes().to_vec();
    raw.extend_from_slice(&[0, 0, 0, 1, 0x68, 0, 0, 0]);
    raw.extend_from_slice(&[0, 63, 0, link, 0, 0, 1, 2, 3, 4, 5, 6]);
    raw.extend_from_slice(&[0, 63, 0, 0, 0, link, 1, 2, 3, 4, 5, 6]);
    let address = octets(1, router.to_string().as_bytes());
    let mut path = octets(1, &raw);
    path.extend(octets(2, &octets(1, &address)));
    for end in [HEAD, METERS] {
        let one = [number(1, end), number(2, link.into())].concat();
        path.extend(octets(3, &one));
    }
    path.extend(number(4, 1_400));
    path.extend(octets(5, &number(1, 4_000_000_000)));
    path.extend(octets(6, &number(2, 1_000_000 * u64::from(link))));
    octets(1, &path)
}

/// Two routers that count, and the daemon of the head end's AS, which tells a path through each.
async fn network() -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let mut paths = Vec::new();
    for link in [1, 2] {
        let router = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        paths.extend(path(link, router.local_addr().unwrap()));
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            let mut buffer = [0; 2_000];
            while router.recv_from(&mut buffer).await.is_ok() {
                *seen.lock().unwrap().entry(link).or_default() += 1;
            }
        });
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let about = number(1, HEAD);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (about, paths) = (about.clone(), paths.clone());
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let answer = match request.uri().path().rsplit('/').next() {
                        Some("AS") => &about,
                        Some("Paths") => &paths,
                        method => panic!("{method:?} is asked"),
                    };
                    let head = http::Response::builder()
                        .header("content-type", "application/grpc")
                        .body(())
                        .unwrap();
                    let mut body = respond.send_response(head, false).unwrap();
                    let mut framed = BytesMut::new();
                    framed.put_u8(0);
                    framed.put_u32(u32::try_from(answer.len()).unwrap());
                    framed.put_slice(answer);
                    body.send_data(framed.freeze(), false).unwrap();
                    let mut trailers = http::HeaderMap::new();
                    trailers.insert("grpc-status", "0".parse().unwrap());
                    body.send_trailers(trailers).unwrap();
                }
            });
        }
    });
    (at, seen)
}

/// A head end with a meter over SCION, and one that is not.
struct Site {
    config: Config,
    folder: TempDir,
    head_end: HeadEnd,
    token: String,
    seen: Seen,
}

impl Site {
    async fn start() -> Self {
        let (daemon, seen) = network().await;
        let folder = TempDir::new().unwrap();
        let text = format!(
            "[[meter]]\nlogical_device_name = \"GWD0000000000001\"\nclient = 16\n\
             endpoint = \"scion://[1-ff00:0:111,127.0.0.1]:4059?daemon={daemon}\"\n\
             [[meter]]\nlogical_device_name = \"GWD0000000000002\"\nclient = 16\n\
             endpoint = \"tcp://127.0.0.1:9\"\n",
        );
        std::fs::write(folder.path().join("meters.toml"), text).unwrap();
        let mut config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            enrolment: Some(folder.path().join("meters.toml")),
            ..Config::default()
        };
        config.collector.enabled = false;
        // The clock stands still, so that no request is ever forgiven.
        config.api.requests_per_s = 1_000_000;
        let (head_end, token) = start(&config, &folder).await;
        Self {
            config,
            folder,
            head_end,
            token: token.unwrap(),
            seen,
        }
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str())];
        let body = body.to_string();
        let address = self.head_end.address();
        let answer = request(address, method, path, &headers, body.as_bytes()).await;
        schema::check(&method.to_ascii_lowercase(), path, &answer);
        answer
    }

    async fn json(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, &Value::Null).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    async fn id(&self, number: usize) -> String {
        let list = self.json("/api/v1/meters?sort=meter").await;
        list["rows"][number - 1]["id"].as_str().unwrap().to_owned()
    }

    /// Tries to read a meter that does not answer; tells the routers that packets came to.
    async fn tried(&self, meter: &str) -> Vec<u8> {
        self.seen.lock().unwrap().clear();
        let path = format!("/api/v1/meters/{meter}/orders");
        let given = self.ask("POST", &path, &json!({ "kind": "read" })).await;
        let path = format!("/api/v1/orders/{}", given.json()["number"]);
        for _ in 0..12_000 {
            let order = self.json(&path).await;
            if !order["ended"].is_null() {
                assert_eq!(order["state"], "not_sent", "{order}");
                return self.seen.lock().unwrap().keys().copied().collect();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no end within two minutes");
    }

    async fn titles(&self, meter: &str) -> Vec<String> {
        let events = self.json(&format!("/api/v1/meters/{meter}/events")).await;
        let rows = events["rows"].as_array().unwrap().iter();
        rows.map(|row| row["title"].as_str().unwrap().to_owned())
            .collect()
    }
}

async fn start(config: &Config, folder: &TempDir) -> (HeadEnd, Option<String>) {
    for _ in 0..6_000 {
        let clock = FakeClock::at(NOON);
        let started = HeadEnd::start(Options {
            config: config.clone(),
            data: folder.path().join("data"),
            clock: Arc::<FakeClock>::clone(&clock),
            access: |store, keys| -> Arc<dyn MeterAccess> {
                Arc::new(LinkAccess::new(
                    store,
                    keys,
                    clock,
                    Surroundings::system(),
                    SystemTitle(*b"GWDH\0\0\0\x01"),
                    Duration::from_secs(2),
                ))
            },
        });
        match started.await {
            // The writer of the one before may take a moment to let the folder go.
            Err(StartError::Store(headend::store::StoreError::InUse)) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            started => {
                let (head_end, token) = started.unwrap();
                return (head_end, token.map(|token| token.to_string()));
            }
        }
    }
    panic!("the folder stayed locked for a minute");
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
    assert!(!site.tried(&id).await.is_empty());

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
    // The next association keeps to it.
    assert_eq!(site.tried(&id).await, [2]);

    let Site {
        config,
        folder,
        head_end,
        token,
        seen,
    } = site;
    head_end.stop().await;
    let (head_end, _) = start(&config, &folder).await;
    let site = Site {
        config,
        folder,
        head_end,
        token,
        seen,
    };
    assert_eq!(site.json(&path).await["fence"], fence);
    assert_eq!(site.tried(&id).await, [2]);
    let body = json!({ "fence": "-", "reason": REASON, "send_nothing": true });
    assert_eq!(site.ask("PUT", &path, &body).await.status, 200);
    assert_eq!(site.tried(&id).await, [0_u8; 0]);
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
    assert_eq!(back["saved"].as_array().unwrap().len(), 3);
    let other = format!("/api/v1/meters/{}/fence", site.id(2).await);
    assert_eq!(
        site.ask("GET", &other, &Value::Null).await.code(),
        "not_scion"
    );
    site.head_end.stop().await;
}
