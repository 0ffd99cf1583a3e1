//! Meters and a head end as processes, for the benchmark of collection and the test beside it.
#![allow(
    clippy::allow_attributes,
    clippy::disallowed_methods,
    reason = "processes run in real time, which a benchmark measures and a test bounds"
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

const DAY_S: u64 = 86_400;
const HOUR_S: u64 = 3_600;

/// How long one collection of all meters may take: what it asks for ends so long before a day does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(280);

/// Which day is the last one that the head end asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The one before the last whole day.
    DayBefore,
    /// The last whole day.
    LastDay,
}

/// Where everything is.
pub(crate) struct Site {
    folder: PathBuf,
    zone: String,
    /// Seconds since 1970 UTC at which the zone's present day began.
    pub(crate) midnight: u64,
    pub(crate) keys: String,
}

impl Site {
    /// Chooses a zone in which a day has just ended, so that the last 24 hours are one day of the
    /// calendar.
    pub(crate) fn new(folder: &Path) -> Self {
        // Long enough ago that a meter whose clock is late has seen it too.
        let now = now_s() - 120;
        let hour = now % DAY_S / HOUR_S;
        // In these names west is positive.
        let zone = match hour {
            0 => "Etc/GMT".to_owned(),
            1..=12 => format!("Etc/GMT+{hour}"),
            _ => format!("Etc/GMT-{}", 24 - hour),
        };
        Self {
            folder: folder.to_owned(),
            zone,
            midnight: now - now % HOUR_S,
            keys: folder.join("keys.toml").to_str().unwrap().to_owned(),
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// Starts meters with so many days of history, and enrols them; returns the line that each of
    /// them told.
    pub(crate) fn meters(&self, count: u32, history_days: u32) -> (Role, Vec<Value>) {
        let mut fleet = Role::start(&[
            "meter",
            "--listen",
            "tcp://127.0.0.1:0",
            "--count",
            &count.to_string(),
            "--keys",
            &self.keys,
            "--data",
            &self.path("meters"),
            "--history",
            &history_days.to_string(),
            "--steady",
        ]);
        let lines: Vec<Value> = (0..count).map(|_| fleet.line()).collect();
        let enrolment: String = lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(self.path("meters.jsonl"), enrolment).unwrap();
        (fleet, lines)
    }

    /// Starts the head end, which reads `days` days of meters that it does not know, and what is
    /// missing of the others.
    pub(crate) fn head_end(&self, days: u32, until: Until) -> HeadEnd {
        // Of new meters the interval under way is asked for as well.
        let delay = now_s() - self.midnight
            + match until {
                Until::DayBefore => DAY_S + PATIENCE.as_secs(),
                Until::LastDay => 0,
            };
        let config = format!(
            "[headend]\nzone = '{}'\nenrolment = '{}'\nkeys = '{}'\n\
             [headend.collector]\ndelay_s = {delay}\nevery_s = 43200\nhistory_days = {days}\n\
             concurrency = 256\nendpoint_concurrency = 256\n\
             [headend.api]\nrequests_per_s = 1000\n",
            self.zone,
            self.path("meters.jsonl"),
            self.keys,
        );
        std::fs::write(self.path("gridward.toml"), config).unwrap();
        let begun = Instant::now();
        let mut role = Role::start(&[
            "headend",
            "--config",
            &self.path("gridward.toml"),
            "--data",
            &self.path("headend"),
            "--listen",
            "127.0.0.1:0",
        ]);
        let line = role.line();
        HeadEnd {
            address: line["url"]
                .as_str()
                .unwrap()
                .trim_start_matches("http://")
                .trim_end_matches('/')
                .to_owned(),
            token: line["token"].as_str().map(str::to_owned),
            started: begun.elapsed(),
            role,
        }
    }
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// A head end that answers.
pub(crate) struct HeadEnd {
    pub(crate) role: Role,
    /// How long it took until it did.
    pub(crate) started: Duration,
    /// The operator's token, of the first start.
    pub(crate) token: Option<String>,
    address: String,
}

impl HeadEnd {
    /// Waits until all of `meters` were collected, and returns the figures then.
    pub(crate) fn collected(&self, meters: u32) -> BTreeMap<String, f64> {
        let begun = Instant::now();
        loop {
            let metrics = self.metrics();
            let of = |name: &str| metrics.get(name).copied().unwrap();
            let failed = of("gridward_collector_failed_total");
            assert!(failed == 0.0, "{failed} meters could not be collected");
            if of("gridward_collector_reached_total") >= f64::from(meters) {
                // Anew: what was read before may be older than the last of them.
                return self.metrics();
            }
            assert!(begun.elapsed() < PATIENCE, "it takes too long");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Reads what the head end counts.
    pub(crate) fn metrics(&self) -> BTreeMap<String, f64> {
        self.get("/metrics", "")
            .lines()
            .filter(|line| line.starts_with("gridward_"))
            .filter_map(|line| {
                let (name, value) = line.rsplit_once(' ')?;
                Some((name.to_owned(), value.trim().parse().ok()?))
            })
            .collect()
    }

    /// Asks the API, and returns what is behind the head of its answer.
    pub(crate) fn get(&self, path: &str, token: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.0\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\r\n",
            self.address
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{path}: {head}");
        body.to_owned()
    }
}

/// A role as a process, which ends with its standard input.
pub(crate) struct Role {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
}

impl Role {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gridward"))
            .args(arguments)
            .args(["--json", "--stop-at-eof"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            stdin,
            lines,
        }
    }

    pub(crate) fn line(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Names the folder that the system keeps about the process.
    pub(crate) fn folder(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.child.id()))
    }

    /// Reads a file that the system keeps about the process.
    pub(crate) fn about(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(mut self) {
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
