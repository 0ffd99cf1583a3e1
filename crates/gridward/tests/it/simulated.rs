//! `gridward sim scion` as a process, with a meter and clients over it.
//! Evidence: self-agreement; the same over the reference implementation's
//! routers is `interop/scion/links`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::concentrator::{self, Street};
use crate::delivery::until;
use crate::program::run;
use crate::session::{Role, done};

const METERS: &str = "1-ff00:0:111";

/// The simulated network as a process.
pub(crate) struct Network {
    role: Role,
    control: String,
    /// The daemons of both leaves.
    pub(crate) head: String,
    pub(crate) meters: String,
}

/// The simulated network, a meter in it and where it is read from.
struct Net {
    network: Network,
    meter: Role,
    url: String,
    name: String,
    _folder: tempfile::TempDir,
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

impl Net {
    fn start() -> Self {
        let network = Network::start();
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys.toml");
        let mut meter = Role::start(&[
            "meter",
            "--listen",
            &format!("scion://[{METERS},127.0.0.1]:0"),
            "--scion-daemon",
            &network.meters,
            "--history",
            "0",
            "--keys",
            keys.to_str().unwrap(),
        ]);
        let first = meter.line();
        let url = text(&first["endpoint"]);
        Self {
            network,
            meter,
            url: url.split('?').next().unwrap().to_owned(),
            name: text(&first["logical_device_name"]),
            _folder: folder,
        }
    }

    /// One reading within the fence that keeps out of domain 3; the hops of
    /// its paths.
    fn read(&self) -> [String; 2] {
        let fence = [
            "--scion-daemon",
            &self.network.head,
            "--fence",
            "- 3 +",
            "--json",
        ];
        let arguments = ["read", &self.url, "0-0:42.0.0"];
        let read = done(run(&[&arguments[..], &fence].concat())).json();
        assert!(read.to_string().contains(&self.name), "{read}");
        ["sent", "received"].map(|way| read[0]["paths"][way]["hops"].as_str().unwrap().to_owned())
    }
}

impl Network {
    fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(more: &[&str]) -> Self {
        let plain = ["sim", "scion", "--no-delays", "--control", "127.0.0.1:0"];
        let mut role = Role::start(&[&plain[..], more].concat());
        let told = role.line();
        Self {
            role,
            control: text(&told["control"]),
            head: text(&told["head_end"]["daemon"]),
            meters: text(&told["meters"]["daemon"]),
        }
    }

    /// Asks the control; tells its status and what it says.
    fn ask(&self, method: &str, path: &str, kind: &str, body: &str) -> (u16, Value) {
        let address = self.control.trim_start_matches("http://");
        let address = address.trim_end_matches('/');
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let json = body.find('{').zip(body.rfind('}'));
        let json = json.map_or(Value::Null, |(from, to)| {
            serde_json::from_str(&body[from..=to]).unwrap()
        });
        (status, json)
    }

    fn order(&self, path: &str, order: &Value) -> Value {
        let (status, told) = self.ask("POST", path, "application/json", &order.to_string());
        assert_eq!(status, 200, "{told}");
        told
    }

    fn links(&self) -> Value {
        self.ask("GET", "/", "text/plain", "").1
    }
}

/// A link as the network tells it.
fn link<'v>(told: &'v Value, name: &str) -> &'v Value {
    let links = told["links"].as_array().unwrap();
    links.iter().find(|link| link["link"] == name).unwrap()
}

/// Whether a path, as it is told, goes through the link that ends there.
fn crosses(hops: &str, end: &str) -> bool {
    let (isd_as, interface) = end.split_once('#').unwrap();
    let beside = [
        format!("{isd_as} {interface}>"),
        format!(">{interface} {isd_as}"),
    ];
    beside.iter().any(|it| hops.contains(it))
}

fn nobody_went_abroad(told: &Value) {
    for name in ["1-ff00:0:110#2", "3-ff00:0:310#2"] {
        assert_eq!(link(told, name)["packets"], 0, "{told}");
    }
    let all = told["links"].as_array().unwrap();
    let packets = all.iter().map(|link| link["packets"].as_u64().unwrap());
    assert!(packets.sum::<u64>() > 0);
}

#[test]
fn readings_cross_it_whichever_link_is_cut_and_keep_off_what_is_forbidden() {
    let mut net = Net::start();
    net.read();
    for how in ["loud", "silent"] {
        for cut in [
            "2-ff00:0:211#1",
            "2-ff00:0:210#11",
            "1-ff00:0:110#1",
            "1-ff00:0:111#2",
        ] {
            let told = net
                .network
                .order("/down", &json!({"link": cut, "how": how}));
            let down = |link: &&Value| link["state"] == "down" && link["how"] == how;
            let all = told["links"].as_array().unwrap();
            assert_eq!(all.iter().filter(down).count(), 1);
            // What is cut is not what the reading went by.
            for hops in net.read().iter().chain(&net.read()) {
                assert!(!hops.is_empty());
                assert!(!crosses(hops, cut), "{cut}: {hops}");
            }
            net.network.order("/up", &json!({"link": cut}));
        }
    }
    let told = net.network.links();
    nobody_went_abroad(&told);
    assert!(
        told["links"]
            .as_array()
            .unwrap()
            .iter()
            .any(|link| link["cut"] != 0)
    );
    // What is lost by chance is repeated.
    let told = net
        .network
        .order("/loss", &json!({"link": "2-ff00:0:210#10", "per_cent": 20}));
    assert_eq!(link(&told, "2-ff00:0:210#10")["loss_per_cent"], 20.0);
    for _ in 0..3 {
        net.read();
    }
    // At the end it tells all this once more.
    net.meter.stop();
    drop(net.network.role.child.stdin.take());
    nobody_went_abroad(&net.network.role.line());
    net.network.role.stop();
}

/// One host of SCION for meters that know nothing of it: a concentrator with two links to the
/// network, before meters on plain TCP.
#[test]
fn meters_behind_a_concentrator_are_read_whichever_of_its_links_is_cut() {
    let mut network = Network::start();
    let fence = "fence=-%203%20%2B";
    let listen = format!(
        "scion://[{METERS},127.0.0.1]:0?daemon={}&{fence}",
        network.meters
    );
    let mut street = Street::listening(3, "medium = \"ip\"", &listen);
    let place = street.url.split('?').next().unwrap();
    street.url = format!("{place}?daemon={}&{fence}", network.head);
    let saps = street.saps(3);
    let read = |cut: Option<&str>| {
        for number in 1..=3 {
            let name = concentrator::meter(number);
            let (sap, state) = (saps[&name], street.at("state"));
            let read = concentrator::read_name(&street.url, &street.keys, &name, sap, &state);
            let read = done(read).json();
            assert!(read.to_string().contains(&name), "{read}");
            for way in ["sent", "received"] {
                let hops = read[0]["paths"][way]["hops"].as_str().unwrap();
                let through = cut.filter(|cut| crosses(hops, cut));
                assert_eq!(through, None, "{hops}");
            }
        }
    };
    read(None);
    for cut in ["1-ff00:0:111#1", "1-ff00:0:111#2"] {
        network.order("/down", &json!({"link": cut, "how": "silent"}));
        read(Some(cut));
        network.order("/up", &json!({"link": cut}));
    }
    let told = network.links();
    nobody_went_abroad(&told);
    // The first one is what all prefer: its cut was met.
    assert!(
        link(&told, "1-ff00:0:110#10")["cut"].as_u64().unwrap() > 0,
        "{told}"
    );
    street.stop();
    drop(network.role.child.stdin.take());
    network.role.line();
    network.role.stop();
}

#[test]
fn a_cut_for_a_while_mends_by_itself() {
    let net = Net::start();
    let cut = "1-ff00:0:110#1";
    let told = net.network.order(
        "/down",
        &json!({"link": cut, "how": "silent", "mend_after_s": 1}),
    );
    let by_itself = |told: &Value| link(told, cut)["mends_by_itself"].as_bool();
    // Within a second on a busy machine it may be mended already.
    assert_eq!(by_itself(&told), Some(link(&told, cut)["state"] == "down"));
    until("the link mends", || {
        (link(&net.network.links(), cut)["state"] == "up").then_some(())
    });
    assert_eq!(by_itself(&net.network.links()), Some(false));
    // What is cut without a time stays cut, also after one that had a time.
    net.network
        .order("/down", &json!({"link": cut, "mend_after_s": 1}));
    let told = net.network.order("/down", &json!({"link": cut}));
    assert_eq!(
        (by_itself(&told), &link(&told, cut)["state"]),
        (Some(false), &json!("down"))
    );
}

#[test]
fn the_control_follows_no_wrong_order_and_listens_to_nobody_else() {
    let net = Net::start();
    for (path, kind, body, status) in [
        (
            "/down",
            "application/json",
            r#"{"link": "9-ff00:0:999#1"}"#,
            404,
        ),
        (
            "/down",
            "application/json",
            r#"{"link": "9-ff00:0:999"}"#,
            400,
        ),
        (
            "/down",
            "application/json",
            r#"{"link": "1-ff00:0:110#1", "how": "somehow"}"#,
            400,
        ),
        (
            "/down",
            "application/json",
            r#"{"link": "1-ff00:0:110#1", "mend_after_s": 0}"#,
            400,
        ),
        ("/down", "text/plain", r#"{"link": "1-ff00:0:110#1"}"#, 415),
        ("/forget", "text/plain", "", 415),
        (
            "/loss",
            "application/json",
            r#"{"link": "1-ff00:0:110#1", "per_cent": 101}"#,
            400,
        ),
        (
            "/loss",
            "application/json",
            r#"{"link": "1-ff00:0:110#1"}"#,
            400,
        ),
        ("/down", "application/json", "{", 400),
    ] {
        let (found, said) = net.network.ask("POST", path, kind, body);
        assert_eq!(found, status, "{path} {body}: {said}");
        assert!(said["error"].is_string(), "{said}");
    }
    let told = net.network.links();
    let links = told["links"].as_array().unwrap();
    assert!(
        links
            .iter()
            .all(|link| link["state"] == "up" && link["loss_per_cent"] == 0.0)
    );
    net.read();
    let before = net.network.links();
    assert!(
        before["links"]
            .as_array()
            .unwrap()
            .iter()
            .any(|link| link["packets"] != 0)
    );
    let told = net.network.order("/forget", &json!({}));
    assert!(
        told["links"]
            .as_array()
            .unwrap()
            .iter()
            .all(|link| link["packets"] == 0)
    );
    for (arguments, why) in [
        (["--control", "192.0.2.1:1"], "asks nobody for a password"),
        (
            ["--at", "9-ff00:0:999=127.0.0.1:1"],
            "there is no AS 9-ff00:0:999",
        ),
        (
            ["--at", "1-ff00:0:111"],
            "write 1-ff00:0:111=127.0.0.1:30255",
        ),
    ] {
        let refused = run(&[&["sim", "scion"][..], &arguments].concat());
        assert_eq!(refused.status, 2);
        assert!(refused.error.contains(why), "{}", refused.error);
    }
    // A port that is taken.
    let daemon = format!("{METERS}={}", net.network.head);
    let refused = run(&["sim", "scion", "--at", &daemon]);
    assert_eq!(refused.status, 1);
    assert!(
        refused.error.contains("does not start"),
        "{}",
        refused.error
    );
}
