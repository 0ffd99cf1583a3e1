//! `gridward concentrator` that reads meters on its own, each a process.
//!
//! Evidence: self-agreement from end to end over real sockets.

use serde_json::Value;

use crate::program::run;
use crate::session::{Role, done, make_keys, path, rows_of, until};

const NAME: &str = "GWD1DC0000000001";

struct Street {
    folder: tempfile::TempDir,
    meters: Role,
    meters_url: String,
}

impl Street {
    fn new(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| path(folder.path(), name);
        let number = count.to_string();
        make_keys(folder.path(), count, &[("own.toml", NAME)]);
        let mut meters = Role::start(&[
            "meter",
            "--listen",
            "tcp://127.0.0.1:0",
            "--count",
            &number,
            "--history",
            "1",
            "--keys",
            &at("keys.toml"),
        ]);
        let urls = (0..count).map(|_| meters.line()["endpoint"].as_str().unwrap().to_owned());
        let meters_url = urls.last().unwrap();
        let config = format!(
            "[concentrator]\nname = \"{NAME}\"\ndata = \"{}\"\nkeys = \"{}\"\n\
             [concentrator.collect]\nkeys = \"{}\"\nall = true\nevery_s = 2\nbackfill_days = 1\n\
             [[concentrator.wan]]\nlisten = \"tcp://127.0.0.1:0\"\n\
             [[concentrator.segment]]\nmedium = \"ip\"\n\
             [[concentrator.segment.meter]]\nendpoint = \"{meters_url}\"\nservers = \"1-{count}\"\n",
            at("dc"),
            at("own.toml"),
            at("collector.toml"),
        );
        std::fs::write(at("dc.toml"), config).unwrap();
        Self {
            folder,
            meters,
            meters_url,
        }
    }

    fn at(&self, name: &str) -> String {
        path(self.folder.path(), name)
    }

    /// Starts the concentrator; gives its own address and that of its page.
    fn concentrator(&self) -> (Role, String, String) {
        let mut role = Role::start(&["concentrator", "--config", &self.at("dc.toml")]);
        let line = role.line();
        let url = line["endpoints"][0].as_str().unwrap().to_owned();
        let status = line["status"].as_str().unwrap().to_owned();
        (role, url, status)
    }

    /// Reads rows of a span that is over.
    fn rows(&self, url: &str, object: &str, span: [&str; 2], who: &[&str]) -> Value {
        let state = self.at("state");
        let mut all = vec![
            "read",
            url,
            object,
            "--profile",
            "--json",
            "--state",
            &state,
        ];
        all.extend(["--from", span[0], "--to", span[1]]);
        all.extend(who);
        done(run(&all)).json()
    }
}

fn all_have_rows(status: &Value) -> bool {
    let meters = status["meters"].as_array().unwrap();
    let rows = |meter: &Value| meter["rows"].as_u64().unwrap_or(0) > 90;
    meters.len() == 2 && meters.iter().all(rows)
}

/// Requirement D1 and D2: both modes at once; then the process is killed, the
/// meters are gone, and the rows are those that the meters held.
#[test]
fn rows_outlive_the_wan_the_process_and_the_meters() {
    let street = Street::new(2);
    let (concentrator, url, page) = street.concentrator();
    // Nobody is connected from the WAN while it reads.
    let status = until(&page, all_have_rows);
    assert_eq!(status["wan_connections"], 0);
    let newest = status["meters"][0]["newest_row"].as_i64().unwrap();
    let time = |at: i64| {
        let at = dlms::axdr::DateTime::from_unix_seconds(at, 0, dlms::axdr::ClockStatus(0));
        format!("{}", at.unwrap())
    };
    let (from, to) = (time(newest - 20 * 3_600), time(newest));
    let span = [from.as_str(), to.as_str()];
    let keys = street.at("keys.toml");
    let mut held = Vec::new();
    for meter in status["meters"].as_array().unwrap() {
        let sap = meter["sap"].to_string();
        let name = meter["logical_device_name"].as_str().unwrap();
        let who = ["--server", &sap, "--keys", &keys, "--meter", name];
        let rows = street.rows(&url, "1-0:99.1.0", span, &who);
        held.push((meter["sap"].as_u64().unwrap(), rows));
    }
    // It goes on reading beside what passes through it.
    let rounds = status["collection"]["rounds"].as_u64().unwrap();
    until(&page, |status| {
        status["collection"]["rounds"].as_u64().unwrap() > rounds + 4
    });
    let mut child = concentrator;
    child.child.kill().unwrap();
    child.child.wait().unwrap();
    drop(child);
    let Street {
        folder,
        meters,
        meters_url,
    } = street;
    meters.stop();
    let street = Gone {
        folder,
        url: meters_url,
    };
    street.read_back(&held, span);
}

/// The street after its meters were taken away.
struct Gone {
    folder: tempfile::TempDir,
    url: String,
}

impl Gone {
    fn read_back(&self, held: &[(u64, Value)], span: [&str; 2]) {
        assert!(!self.url.is_empty());
        let at = |name: &str| path(self.folder.path(), name);
        let mut role = Role::start(&["concentrator", "--config", &at("dc.toml")]);
        let line = role.line();
        let url = line["endpoints"][0].as_str().unwrap();
        let (own, state) = (at("own.toml"), at("state"));
        let keyed = |command: &str, rest: &[&str]| {
            let mut all = vec![command, url];
            all.extend(rest);
            all.extend(["--keys", &own, "--state", &state, "--json"]);
            run(&all)
        };
        for (sap, rows) in held {
            let object = format!("0-0:129.{}.{}", sap >> 8, sap & 0xFF);
            let kept = keyed(
                "read",
                &[&object, "--profile", "--from", span[0], "--to", span[1]],
            );
            let kept = done(kept).json();
            assert!(rows_of(rows).len() > 70, "{rows}");
            assert_eq!(rows_of(&kept), rows_of(rows));
        }
        // The own logical device says who is there, and lets its clock be set
        // by whoever manages it.
        let table = done(keyed("read", &["0-0:128.0.8", "--profile"])).json();
        assert_eq!(rows_of(&table).len(), 2);
        let firmware = done(keyed("read", &["1-0:0.2.0"])).json();
        assert!(
            firmware[0]["text"]
                .as_str()
                .unwrap()
                .starts_with("gridward")
        );
        role.stop();
    }
}
