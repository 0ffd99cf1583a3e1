//! Outlet meters and the head end as processes: made by `gridward keys outlets`, killed over and
//! over, and what is in the head end in the end is what the meter's journal holds, once.
//!
//! Evidence: self-agreement from end to end; what the meter holds is read from its journal.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use meter::outlets::{FileJournal, OutletConfig, OutletMeter, Thresholds};
use model::xml::{OutletId, SmartMeterId};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::program::{Run, run, run_with};

/// A role as a process, with a thread that reads what it says.
struct Role {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<Value>,
    said: Vec<Value>,
}

impl Role {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gridward"))
            .args(arguments)
            .args(["--json", "--stop-at-eof"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let (sender, lines) = mpsc::sync_channel(10_000);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { break };
                if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                    break;
                }
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
            said: Vec::new(),
        }
    }

    fn line(&mut self) -> Value {
        let line = self.lines.recv_timeout(LIMIT).expect("a line");
        self.said.push(line.clone());
        line
    }

    /// Waits for a line of this kind, also one that was read already.
    fn until(&mut self, what: &str, fits: impl Fn(&Value) -> bool) {
        while !self.said.iter().any(&fits) {
            let line = self.lines.recv_timeout(LIMIT);
            self.said
                .push(line.unwrap_or_else(|_| panic!("{what}: {:?}", self.said)));
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn stop(mut self) {
        drop(self.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

const LIMIT: Duration = Duration::from_secs(120);

struct HeadEnd {
    role: Role,
    address: String,
    udp: u64,
}

struct Site {
    folder: PathBuf,
    token: Option<String>,
}

impl Site {
    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    fn head_end(&mut self) -> HeadEnd {
        let mut role = Role::start(&[
            "headend",
            "--config",
            &self.path("papers/headend/gridward.toml"),
            "--data",
            &self.path("headend"),
            "--listen",
            "127.0.0.1:0",
        ]);
        let line = role.line();
        let url = line["url"].as_str().unwrap();
        if let Some(token) = line["token"].as_str() {
            self.token = Some(token.to_owned());
        }
        HeadEnd {
            address: url
                .trim_start_matches("http://")
                .trim_end_matches('/')
                .to_owned(),
            udp: line["outlets"]["udp_port"].as_u64().unwrap(),
            role,
        }
    }

    fn meter(&self, head_end: &HeadEnd) -> Role {
        let server = format!("sctps://127.0.0.1?udp={}", head_end.udp);
        let mut role = Role::start(&[
            "outlet-meter",
            "--config",
            &self.path("papers/meter-001/gridward.toml"),
            "--server",
            &server,
        ]);
        let line = role.line();
        assert_eq!(line["outlet_meter"], 1, "{line}");
        role
    }

    /// Asks the API; the status and the body.
    fn ask(&self, head_end: &HeadEnd, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&head_end.address).unwrap();
        write!(
            stream,
            "{method} /api/v1{path} HTTP/1.0\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            head_end.address,
            self.token.as_deref().unwrap(),
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }

    fn get(&self, head_end: &HeadEnd, path: &str) -> Value {
        let (status, body) = self.ask(head_end, "GET", path, "");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    fn post(&self, head_end: &HeadEnd, path: &str, body: &Value) -> Value {
        let (status, body) = self.ask(head_end, "POST", path, &body.to_string());
        assert_eq!(status, 200, "{path}: {body}");
        body
    }
}

fn replace(path: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{path}: {text}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what}");
}

/// Watts by outlet and the second at which a section began.
type Usage = BTreeMap<(u64, i64), u64>;

/// What the meter's journal holds, read from a copy: whoever opens a journal mends it.
fn held(folder: &Path) -> Usage {
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(folder.join("journal"), copy.path().join("journal")).unwrap();
    let folder = copy.path();
    let outlets = (1..=4).map(|outlet| (OutletId(outlet), Thresholds::of_power(2_000)));
    let outlets = outlets.collect();
    let config = OutletConfig::new(SmartMeterId(1), outlets);
    let journal = FileJournal::open(&folder.join("journal")).unwrap();
    let meter = OutletMeter::open(config, journal).unwrap();
    let mut usage = Usage::new();
    for (at, row) in meter.rows() {
        let unix = i64::try_from(at.ordinal()).unwrap() - 719_528 * 86_400 - 3_600;
        for (outlet, power) in row {
            usage.insert((u64::from(outlet.0), unix), u64::from(power.watts));
        }
    }
    usage
}

/// What the head end tells of all its days.
fn stored(site: &Site, head_end: &HeadEnd) -> Usage {
    let meter = site.get(head_end, "/outlet-meters/1");
    let mut usage = Usage::new();
    for day in meter["days"].as_array().unwrap() {
        for outlet in 1..=4 {
            let date = day["date"].as_str().unwrap();
            let path = format!("/outlet-meters/1/usage?outlet={outlet}&date={date}");
            let told = site.get(head_end, &path);
            for section in told["sections"].as_array().unwrap() {
                if let Some(watts) = section["watts"].as_u64() {
                    let at = headend::parse_rfc3339(section["t"].as_str().unwrap()).unwrap();
                    assert_eq!(usage.insert((outlet, at.secs()), watts), None);
                }
            }
        }
    }
    usage
}

/// Waits until the head end has all that the meter holds, and nothing else.
fn complete(site: &Site, head_end: &HeadEnd) {
    let told = site.get(head_end, "/outlet-meters/1");
    let since = headend::parse_rfc3339(told["expected_from"].as_str().unwrap()).unwrap();
    for _ in 0..240 {
        // First what is stored: the meter may end a section in between.
        let usage = stored(site, head_end);
        let mut held = held(&site.folder.join("papers/meter-001/data"));
        held.retain(|(_, at), _| *at >= since.secs());
        assert!(held.len() >= 3 * 143 * 4, "{}", held.len());
        for (key, watts) in &usage {
            assert_eq!(held.get(key), Some(watts), "{key:?}");
        }
        if usage == held {
            return;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    panic!("sections are missing");
}

#[test]
fn nothing_is_lost_or_doubled_when_both_are_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site {
        folder: folder.path().to_owned(),
        token: None,
    };
    let made = run(&["keys", "outlets", &site.path("papers"), "--history", "3"]);
    assert_eq!((made.status, made.error.as_str()), (0, ""));
    for file in [
        "authority.key",
        "headend/headend.key",
        "headend/breaker.key",
        "meter-001/meter.key",
    ] {
        let mode = std::fs::metadata(site.folder.join("papers").join(file)).unwrap();
        assert_eq!(mode.mode() & 0o777, 0o600, "{file}");
    }
    let config = site.path("papers/headend/gridward.toml");
    replace(&config, "sctps://127.0.0.1", "sctps://127.0.0.1?udp=0");

    // Three days are on their way while either side dies.
    let mut head_end = site.head_end();
    let mut meter = site.meter(&head_end);
    for round in 0..6_u32 {
        meter.until("not connected", |line| line["connected"] == true);
        std::thread::sleep(Duration::from_millis(u64::from(30 * (round + 1))));
        if round % 2 == 0 {
            meter.kill();
            if round % 4 == 0 {
                head_end.role.kill();
                head_end = site.head_end();
            }
        } else {
            head_end.role.kill();
            head_end = site.head_end();
            meter.kill();
        }
        meter = site.meter(&head_end);
    }
    complete(&site, &head_end);
    until("not connected", || {
        site.get(&head_end, "/outlet-meters/1")["connected"] == true
    });

    // Orders: an outlet, a cost, the breaker; each once, also after both were killed.
    let switch = json!({
        "reason": "The fridge is replaced today",
        "outlets": [{ "number": 1, "on": false }],
    });
    let answer = site.post(&head_end, "/outlet-meters/1/switch", &switch);
    assert_eq!(answer["outcome"], "sent");
    meter.until("not switched", |line| line["switched"] == 1);
    let cost = json!({ "month": 11, "day_start": 1, "day_end": 20, "total_cost": 77 });
    site.post(&head_end, "/outlet-meters/1/costs", &cost);
    meter.until("no cost", |line| line["total_cost"] == 77);
    let preview = site.get(&head_end, "/outlet-meters/1/breaker");
    let open = json!({
        "action": "open",
        "reason": "Moved out on 20 November",
        "place": "Outlet meter 001",
        "as_of": preview["as_of"],
    });
    site.post(&head_end, "/outlet-meters/1/breaker", &open);
    meter.until("not open", |line| line["breaker"] == "open");
    meter.kill();
    head_end.role.kill();
    head_end = site.head_end();
    let mut meter = site.meter(&head_end);
    meter.until("not connected", |line| line["connected"] == true);
    // Outlets are as they were ordered, without the order doing anything anew; the envelope of
    // before is not told again at all.
    meter.until("not switched", |line| line["switched"] == 1);
    let told = site.get(&head_end, "/outlet-meters/1");
    assert_eq!(told["outlets"][0]["ordered"], "off");
    assert_eq!(told["cost"]["total_cost"], 77);
    let orders = site.get(&head_end, "/outlet-meters/1/orders");
    let kinds: Vec<_> = orders["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {}", row["kind"], row["outcome"]).replace('"', ""))
        .collect();
    assert_eq!(kinds, ["open sent", "cost sent", "switch sent"]);

    complete(&site, &head_end);
    assert!(!meter.said.iter().any(|line| line["breaker"] == "open"));
    meter.stop();
    until("a meter that has stopped counts as connected", || {
        site.get(&head_end, "/outlet-meters/1")["connected"] == false
    });
    head_end.role.stop();

    // Who has no certificate of this authority, or another meter's, is nobody.
    let made = run(&["keys", "outlets", &site.path("strangers")]);
    assert_eq!(made.status, 0);
    let head_end = site.head_end();
    let server = format!("sctps://127.0.0.1?udp={}", head_end.udp);
    let mut stranger = Role::start(&[
        "outlet-meter",
        "--config",
        &site.path("strangers/meter-001/gridward.toml"),
        "--server",
        &server,
    ]);
    stranger.line();
    std::thread::sleep(Duration::from_secs(2));
    let told = site.get(&head_end, "/outlet-meters/1");
    assert_eq!(told["connected"], false);
    stranger.stop();
    head_end.role.stop();
}

#[test]
fn papers_are_added_to_and_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let papers = folder.path().join("papers");
    let papers = papers.to_str().unwrap();
    let made = run(&["keys", "outlets", papers, "--count", "2", "--json"]);
    assert_eq!((made.status, &made.json()["meters"]), (0, &json!(2)));
    let again = run(&["keys", "outlets", papers]);
    assert_eq!(again.status, 1);
    assert!(
        again.error.contains("meter-001 is there already"),
        "{}",
        again.error
    );
    let more = run(&["keys", "outlets", papers, "--first", "3"]);
    assert_eq!((more.status, more.error.as_str()), (0, ""));
    let list = std::fs::read_to_string(format!("{papers}/headend/meters.toml")).unwrap();
    assert_eq!(list.matches("[[meter]]").count(), 3);
    for file in ["headend", "meter-001", "meter-003"] {
        let file = format!("{papers}/{file}/gridward.toml");
        let checked = run(&["config", "check", &file]);
        assert_eq!((checked.status, checked.error.as_str()), (0, ""));
    }
    let other = run(&["keys", "outlets", folder.path().to_str().unwrap()]);
    assert!(
        other.error.contains("there are other files"),
        "{}",
        other.error
    );
}

/// A DLMS meter over SCTP: `gridward meter` serves it, `gridward read` reads it, two processes.
#[test]
fn a_meter_is_read_over_sctp() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.toml");
    let keys = keys.to_str().unwrap();
    let papers = folder.path().join("papers");
    let papers = papers.to_str().unwrap();
    assert_eq!(run(&["keys", "outlets", papers]).status, 0);
    let files = |side: &str, file: &str| {
        format!(
            "ca={papers}/{side}/ca.pem&cert={papers}/{side}/{file}.pem&key={papers}/{side}/{file}.key"
        )
    };
    for (listen, connect) in [
        ("sctp://127.0.0.1?udp=0".to_owned(), String::new()),
        (
            format!("sctps://127.0.0.1?udp=0&{}", files("headend", "headend")),
            files("meter-001", "meter"),
        ),
    ] {
        let mut role = Role::start(&["meter", "--listen", &listen, "--keys", keys, "--steady"]);
        let line = role.line();
        let told = line["endpoint"].as_str().unwrap();
        let scheme = listen.split(':').next().unwrap();
        let udp = told
            .split("udp=")
            .nth(1)
            .unwrap()
            .split('&')
            .next()
            .unwrap();
        let port = told
            .split("127.0.0.1:")
            .nth(1)
            .map_or("4059", |rest| rest.split(['?', '/']).next().unwrap());
        let url = format!("{scheme}://127.0.0.1:{port}?udp={udp}&{connect}");
        let url = url.trim_end_matches('&');
        let name = run(&["read", url, "0-0:42.0.0", "--json"]);
        assert_eq!((name.status, name.error.as_str()), (0, ""), "{url}");
        let state = folder.path().join("state");
        let read = run(&[
            "read",
            url,
            "1-0:1.8.0",
            "--keys",
            keys,
            "--meter",
            line["logical_device_name"].as_str().unwrap(),
            "--state",
            state.to_str().unwrap(),
            "--json",
        ]);
        assert_eq!((read.status, read.error.as_str()), (0, ""), "{url}");
        role.stop();
    }
}

/// A site with a head end, a meter that is connected, and the token in a file.
fn site(folder: &Path) -> (Site, HeadEnd, Role, String) {
    let mut site = Site {
        folder: folder.to_owned(),
        token: None,
    };
    let made = run(&["keys", "outlets", &site.path("papers"), "--history", "2"]);
    assert_eq!((made.status, made.error.as_str()), (0, ""));
    let config = site.path("papers/headend/gridward.toml");
    replace(&config, "sctps://127.0.0.1", "sctps://127.0.0.1?udp=0");
    let head_end = site.head_end();
    let token = site.path("token");
    std::fs::write(&token, site.token.as_deref().unwrap()).unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut meter = site.meter(&head_end);
    meter.until("not connected", |line| line["connected"] == true);
    until("not connected", || {
        let told = site.get(&head_end, "/outlet-meters/1");
        told["connected"] == true && told["missing"] == 0 && !told["outlets"][0]["watts"].is_null()
    });
    (site, head_end, meter, token)
}

/// `gridward outlets`, asked of one head end.
struct Asked {
    url: String,
    token: String,
    secret: String,
}

impl Asked {
    fn run(&self, words: &[&str], typed: &str) -> Run {
        let mut all = vec!["outlets"];
        all.extend(words);
        all.extend(["--url", &self.url, "--token-file", &self.token]);
        let ran = run_with(&all, typed.as_bytes());
        for line in ran.output.lines().chain(ran.error.lines()) {
            assert!(!line.contains(&self.secret), "the token is shown");
            let is_json = line.starts_with('{');
            assert!(
                is_json || line.chars().count() <= 80 || ran.status != 0,
                "{line}"
            );
        }
        ran
    }

    fn done(&self, words: &[&str]) -> String {
        let ran = self.run(words, "");
        assert_eq!((ran.status, ran.error.as_str()), (0, ""), "{words:?}");
        ran.output
    }

    fn failed(&self, words: &[&str], typed: &str) -> String {
        let ran = self.run(words, typed);
        assert_eq!((ran.status, ran.output.as_str()), (1, ""), "{words:?}");
        ran.error
    }
}

const REASON: [&str; 2] = ["--reason", "The fridge is replaced today"];
const PLACE: &str = "Outlet meter 001";

/// List, usage, retransmission, outlets and breaker by `gridward outlets`; what is not meant is
/// not sent, and what is sent arrives.
#[test]
fn orders_are_given_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let (mut site, head_end, mut meter, token) = site(folder.path());
    let mut asked = Asked {
        url: format!("http://{}/", head_end.address),
        token,
        secret: site.token.clone().unwrap(),
    };
    let journal = || site.get(&head_end, "/outlet-meters/1/orders")["rows"].clone();

    // Looking.
    let list = asked.done(&["list"]);
    assert!(list.contains(PLACE), "{list}");
    let list: Value = serde_json::from_str(&asked.done(&["list", "--json"])).unwrap();
    assert_eq!(list["rows"][0]["place"], PLACE);
    let shown = asked.done(&["show", "1"]);
    assert!(shown.contains("Connected since"), "{shown}");
    let told = site.get(&head_end, "/outlet-meters/1");
    let days = told["days"].as_array().unwrap();
    let full = days.iter().find(|day| day["received"] == 4 * 144).unwrap();
    let date = full["date"].as_str().unwrap();
    let day = asked.done(&["usage", "1", "2", "--date", date]);
    assert_eq!(
        day.lines().filter(|line| line.contains(":00  ")).count(),
        25,
        "{day}"
    );
    assert!(day.contains("144 sections, 0 missing"), "{day}");
    let day: Value =
        serde_json::from_str(&asked.done(&["usage", "1", "2", "--date", date, "--json"])).unwrap();
    assert_eq!(day["sections"].as_array().unwrap().len(), 144);

    // What is not meant: nothing is in the journal.
    let switch = ["switch", "1", "1=off", "3=off", REASON[0], REASON[1]];
    let words: Vec<&str> = switch.iter().copied().chain(["--dry-run"]).collect();
    let dry = asked.done(&words);
    assert!(
        dry.contains("outlet 3 off") && dry.contains("Nothing was sent"),
        "{dry}"
    );
    let words: Vec<&str> = words.into_iter().chain(["--json"]).collect();
    let dry: Value = serde_json::from_str(&asked.done(&words)).unwrap();
    assert_eq!(
        dry["body"]["outlets"][1],
        json!({ "number": 3, "on": false })
    );
    for typed in ["", "\n", "Outlet meter 002\n", "yes\n"] {
        let error = asked.failed(&switch, typed);
        assert!(error.contains("nothing was sent"), "{error}");
    }
    let words: Vec<&str> = switch
        .iter()
        .copied()
        .chain(["--yes", "somewhere"])
        .collect();
    assert!(asked.failed(&words, "").contains("nothing was sent"));
    let open = ["breaker", "1", "open", REASON[0], REASON[1]];
    assert!(asked.failed(&open, "no\n").contains("nothing was sent"));
    let error = asked.failed(&["switch", "1", "9=off", REASON[0], REASON[1]], "");
    assert!(
        error.contains("no outlet 9") && error.contains("1, 2, 3, 4"),
        "{error}"
    );
    let error = asked.failed(&["show", "7"], "");
    assert!(error.contains("gridward outlets list"), "{error}");
    let words = ["ask", "1", "2", "--date", date, "--sections", "1-36"];
    asked.done(&[&words[..], &["--dry-run"][..]].concat());
    let cost = [
        "costs", "1", "--tell", "77", "--month", "11", "--days", "1-30",
    ];
    let dry = asked.done(&[&cost[..], &["--dry-run"][..]].concat());
    assert!(dry.contains("days 1 to 30 of month 11 cost 77"), "{dry}");
    assert!(asked.failed(&cost, "77\n").contains("nothing was sent"));
    for wrong in [
        &["costs", "1", "--tell", "77"][..],
        &["costs", "1", "--month", "11"],
        &[
            "costs", "1", "--tell", "77", "--month", "13", "--days", "1-30",
        ],
        &[
            "costs", "1", "--tell", "77", "--month", "11", "--days", "30-1",
        ],
        &[
            "costs", "1", "--tell", "-7", "--month", "11", "--days", "1-30",
        ],
    ] {
        assert_eq!(asked.run(wrong, "").status, 2, "{wrong:?}");
    }
    assert!(asked.done(&["costs", "1"]).contains("no cost yet"));
    assert_eq!(journal(), json!([]));

    // What is meant arrives.
    let ran = asked.run(&switch, "Outlet meter 001\n");
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.output.contains("sent as order"), "{ran:?}");
    assert!(ran.error.contains("outlet 1 off"), "{ran:?}");
    for outlet in [1, 3] {
        meter.until("not switched", |line| line["switched"] == outlet);
    }
    asked.done(&words);
    let opened = asked.done(&[&open[..], &["--yes", PLACE, "--json"][..]].concat());
    let opened: Value = serde_json::from_str(&opened).unwrap();
    assert_eq!(
        (&opened["outcome"], &opened["meter"]),
        (&json!("sent"), &json!(1))
    );
    meter.until("not open", |line| line["breaker"] == "open");
    let kinds: Vec<Value> = journal()
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["kind"].clone())
        .collect();
    assert_eq!(kinds, ["open", "request", "switch"]);

    // Costs: two, of which the newest is shown first; days that a month has not are refused.
    asked.done(&[&cost[..], &["--yes", PLACE][..]].concat());
    meter.until("no cost", |line| line["total_cost"] == 77);
    let other = ["costs", "1", "--tell", "5", "--month", "12", "--days", "31"];
    let told = asked.done(&[&other[..], &["--yes", PLACE, "--json"][..]].concat());
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&told["outcome"], &told["place"]),
        (&json!("sent"), &json!(PLACE))
    );
    meter.until("no cost", |line| line["total_cost"] == 5);
    let february = [
        "costs", "1", "--tell", "5", "--month", "2", "--days", "1-30",
    ];
    let error = asked.failed(&[&february[..], &["--yes", PLACE][..]].concat(), "");
    assert!(error.contains("days"), "{error}");
    let text = asked.done(&["costs", "1"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines[1].contains("31-31") && lines[2].contains("1-30"),
        "{text}"
    );
    let told = asked.done(&["costs", "1", "--limit", "1", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&told["total"], &told["rows"][0]["total_cost"]),
        (&json!(2), &json!(5))
    );
    assert!(
        asked
            .done(&["costs", "1", "--limit", "1"])
            .contains("2 in all")
    );
    assert!(
        asked
            .failed(&["costs", "7"], "")
            .contains("gridward outlets list")
    );
    let text = asked.done(&["orders", "1"]);
    assert!(text.contains(REASON[1]) && text.contains("open"), "{text}");

    // A meter that is away gets no order to its breaker.
    meter.stop();
    head_end.role.stop();
    let head_end = site.head_end();
    asked.url = format!("http://{}", head_end.address);
    let error = asked.failed(&[&open[..], &["--yes", PLACE][..]].concat(), "");
    assert!(error.contains("not connected"), "{error}");
    let refused = asked.run(&[&words[..], &["--json"][..]].concat(), "");
    assert_eq!((refused.status, refused.error.as_str()), (1, ""));
    assert_eq!(refused.json()["code"], "not_connected");
    head_end.role.stop();
    let error = asked.failed(&["list"], "");
    assert!(
        error.contains("cannot be reached") && error.contains("--url"),
        "{error}"
    );
}

/// The token comes from a file of its owner's or the environment, and goes nowhere in clear.
#[test]
fn the_token_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    let keep = |text: &str, mode| {
        std::fs::write(&token, text).unwrap();
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let listed = |url: &str, more: &[&str]| {
        let words = [
            "outlets",
            "list",
            "--url",
            url,
            "--token-file",
            token.to_str().unwrap(),
        ];
        run(&[&words[..], more].concat())
    };
    keep("secret-of-the-operator", 0o600);
    // Never sent: 192.0.2.1 is nobody's address.
    let refused = listed("http://192.0.2.1:8420", &[]);
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(refused.error.contains("in clear"), "{refused:?}");
    keep("secret-of-the-operator", 0o644);
    let refused = listed("http://127.0.0.1:1", &[]);
    assert!(refused.error.contains("chmod 600"), "{refused:?}");
    for text in ["", "two words", "a\r\nX-Other: b"] {
        keep(text, 0o600);
        let refused = listed("http://127.0.0.1:1", &[]);
        assert_eq!(refused.status, 2, "{refused:?}");
    }
    keep("secret-of-the-operator", 0o600);

    // Over TLS it goes to whom the authority names, and to nobody else.
    let made = run(&[
        "keys",
        "outlets",
        folder.path().join("papers").to_str().unwrap(),
    ]);
    assert_eq!(made.status, 0, "{made:?}");
    let paper = |name: &str| folder.path().join("papers/headend").join(name);
    let chain = CertificateDer::pem_file_iter(paper("headend.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            chain.map(Result::unwrap).collect(),
            PrivateKeyDer::from_pem_file(paper("headend.key")).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "https://127.0.0.1:{}",
        listener.local_addr().unwrap().port()
    );
    let server = std::thread::spawn(move || {
        let mut heard = Vec::new();
        for _ in 0..2 {
            let (stream, _) = listener.accept().unwrap();
            let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(tls, stream);
            let mut head = String::new();
            let mut lines = BufReader::new(&mut stream);
            // Whoever does not trust this side goes before it says anything.
            while lines.read_line(&mut head).is_ok_and(|count| count > 2) {}
            heard.push(head);
            let body = "{\"served\":false,\"rows\":[]}";
            let length = body.len();
            let answer = format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
            drop(stream.write_all(answer.as_bytes()));
            // No word that this is the end, as some servers do it.
        }
        heard
    });
    let other = run(&[
        "keys",
        "outlets",
        folder.path().join("other").to_str().unwrap(),
    ]);
    assert_eq!(other.status, 0, "{other:?}");
    let strange = folder.path().join("other/headend/ca.pem");
    let refused = listed(&url, &["--ca", strange.to_str().unwrap()]);
    assert_eq!(refused.status, 1, "{refused:?}");
    let taken = listed(&url, &["--ca", paper("ca.pem").to_str().unwrap()]);
    assert_eq!(taken.status, 0, "{taken:?}");
    assert!(
        taken.output.contains("serves no outlet meters"),
        "{taken:?}"
    );
    let heard = server.join().unwrap();
    assert!(!heard[0].contains("secret-of"), "{heard:?}");
    assert!(
        heard[1].contains("Bearer secret-of-the-operator"),
        "{heard:?}"
    );

    // From the environment: as it is, or as a file; and without any.
    let from = |value: Option<String>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gridward"));
        command.args(["outlets", "list", "--url", "http://127.0.0.1:1"]);
        command.env_remove("GRIDWARD_TOKEN");
        command.envs(value.map(|value| ("GRIDWARD_TOKEN", value)));
        let ran = command.output().unwrap();
        (ran.status.code(), String::from_utf8(ran.stderr).unwrap())
    };
    let (status, error) = from(None);
    assert!(
        status == Some(2) && error.contains("GRIDWARD_TOKEN"),
        "{error}"
    );
    for value in [
        "secret-of-the-operator".to_owned(),
        format!("@{}", token.display()),
    ] {
        let (status, error) = from(Some(value));
        assert_eq!(status, Some(1), "{error}");
        assert!(
            error.contains("cannot be reached") && !error.contains("secret-of"),
            "{error}"
        );
    }
}
