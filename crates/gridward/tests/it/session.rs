//! The commands that talk to a meter, against `gridward meter` as a process of
//! its own, over loopback. Evidence: self-agreement from end to end; that
//! strangers' meters are read is the business of `interop`.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::demo::get;
use crate::program::{Run, run};

/// A role as a process, which ends with its standard input.
pub(crate) struct Role {
    pub(crate) child: Child,
    lines: BufReader<ChildStdout>,
}

impl Role {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::begin(Command::new(env!("CARGO_BIN_EXE_gridward")), arguments)
    }

    /// Starts it in a folder in which the kernel may put a core dump.
    pub(crate) fn start_dumpable(
        arguments: &[&str],
        folder: &Path,
        environment: Vec<(String, std::ffi::OsString)>,
    ) -> Self {
        let mut command = Command::new("sh");
        let script = "ulimit -c unlimited; exec \"$0\" \"$@\"";
        command.args(["-c", script, env!("CARGO_BIN_EXE_gridward")]);
        command.current_dir(folder).envs(environment);
        Self::begin(command, arguments)
    }

    /// Starts it with a file for what it logs.
    pub(crate) fn start_logged(arguments: &[&str], log: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gridward"));
        command.stderr(std::fs::File::create(log).unwrap());
        Self::begin(command, arguments)
    }

    fn begin(mut command: Command, arguments: &[&str]) -> Self {
        let mut child = command
            .args(arguments)
            .args(["--json", "--stop-at-eof"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    pub(crate) fn line(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Tells it to stop, and that it did.
    pub(crate) fn stop(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }

    /// Sends it a signal, `TERM` or `INT`, and sees that it stops well by that alone.
    pub(crate) fn stop_by(mut self, signal: &str) {
        // To wait for a child closes its input, which would stop it as well.
        let input = self.child.stdin.take();
        let pid = self.child.id().to_string();
        let kill = "kill -s \"$0\" \"$1\"";
        let sent = Command::new("sh").args(["-c", kill, signal, &pid]).status();
        assert!(sent.unwrap().success(), "{signal}");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{signal}: {status}");
        drop(input);
    }
}

impl Drop for Role {
    /// Until it is gone the next one may find its folder locked.
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Two meters and where their keys are.
pub(crate) struct Site {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) role: Role,
    pub(crate) url: String,
    pub(crate) keys: String,
    pub(crate) state: String,
}

impl Site {
    pub(crate) fn new(scheme: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let keys = text(&folder.path().join("keys.toml"));
        let state = text(&folder.path().join("state"));
        let listen = format!("{scheme}://127.0.0.1:0");
        let mut role = Role::start(&[
            "meter",
            "--listen",
            &listen,
            "--count",
            "2",
            "--history",
            "1",
            "--keys",
            &keys,
        ]);
        let first = role.line();
        assert_eq!(first["logical_device_name"], "GWD0000000000001");
        assert_eq!(first["server"], 1);
        assert_eq!(role.line()["server"], 2);
        let url = first["endpoint"].as_str().unwrap().to_owned();
        Self {
            folder,
            role,
            url,
            keys,
            state,
        }
    }

    /// Runs a command at the meter, with its keys.
    fn run(&self, command: &str, arguments: &[&str]) -> Run {
        let keyed = ["--keys", &self.keys];
        self.run_as(command, arguments, &keyed)
    }

    fn run_as(&self, command: &str, arguments: &[&str], association: &[&str]) -> Run {
        let mut all = vec![command, &self.url];
        all.extend(arguments);
        all.extend(["--state", &self.state]);
        all.extend(association);
        run(&all)
    }
}

pub(crate) fn done(run: Run) -> Run {
    assert_eq!((run.status, run.error.as_str()), (0, ""), "{}", run.output);
    run
}

#[test]
fn a_meter_is_read_written_and_switched() {
    let site = Site::new("tcp");
    let public = done(site.run_as("read", &["0-0:42.0.0", "--json"], &[])).json();
    assert_eq!(public[0]["text"], "GWD0000000000001");

    let read = done(site.run(
        "read",
        &["1-0:1.8.0", "0-0:96.3.10:3", "1-0:1.8.0:3", "--json"],
    ));
    let read = read.json();
    assert_eq!(read[0]["obis"], "1-0:1.8.0");
    assert_eq!(
        (&read[0]["class"], &read[0]["attribute"]),
        (&3.into(), &2.into())
    );
    assert_eq!(read[0]["unit"], "Wh");
    assert!(read[0]["scaled"].is_u64());
    assert_eq!(
        (&read[1]["class"], &read[1]["value"]),
        (&70.into(), &1.into())
    );
    assert_eq!(read[1]["text"], "connected");
    assert_eq!(read[2]["value"], serde_json::json!([0, 30]));
    // Several at once are what each is alone, refusals and long ones too,
    // whole and in blocks.
    let asked = ["0-0:42.0.0", "1-0:99.1.0:3", "1/0-0:42.9.9", "1-0:1.8.0:3"];
    let alone: Vec<Value> = asked
        .iter()
        .map(|what| site.run("read", &[what, "--json"]).json()[0].clone())
        .collect();
    assert_eq!(alone[2]["error"], "object-undefined");
    for size in ["65535", "96"] {
        let more = ["--json", "--max-pdu", size];
        let together = site.run("read", &[&asked[..], &more[..]].concat());
        assert_eq!(together.status, 1);
        assert_eq!(together.json(), Value::Array(alone.clone()));
    }
    let shown = done(site.run("read", &["1-0:1.8.0"])).output;
    assert!(shown.starts_with("1-0:1.8.0  active energy import  ") && shown.ends_with(" Wh\n"));
    let shown = done(site.run("read", &["0-0:96.3.10:3", "0-0:96.13.0"])).output;
    assert!(shown.contains(" 1 (connected)\n"), "{shown}");
    assert!(shown.ends_with(" (empty)\n"), "{shown}");

    let second = done(site.run("read", &["0-0:42.0.0", "--server", "2", "--json"])).json();
    assert_eq!(second[0]["text"], "GWD0000000000002");

    let profile = ["1-0:99.1.0", "--profile", "--entries", "1-96", "--json"];
    let profile = done(site.run("read", &profile)).json();
    assert_eq!(profile["rows"].as_array().unwrap().len(), 96);
    let first = &profile["rows"][0];
    assert!(first["0-0:1.0.0"].as_str().unwrap().contains('T'));
    assert!(first["1-0:1.8.0"].is_u64());
    let from = first["0-0:1.0.0"].as_str().unwrap();
    let to = profile["rows"][3]["0-0:1.0.0"].as_str().unwrap();
    let range = [
        "1-0:99.1.0",
        "--profile",
        "--from",
        from,
        "--to",
        to,
        "--json",
    ];
    let range = done(site.run("read", &range)).json();
    assert_eq!(range["rows"].as_array().unwrap().len(), 4);
    assert_eq!(range["rows"][0], *first);

    done(site.run("write", &["0-0:1.0.0:3", "-120"]));
    let zone = done(site.run("read", &["0-0:1.0.0:3", "--json"])).json();
    assert_eq!(
        (&zone[0]["value"], &zone[0]["type"]),
        (&(-120).into(), &"long".into())
    );

    done(site.run("invoke", &["0-0:96.3.10:1"]));
    let open = done(site.run("read", &["0-0:96.3.10:2", "--json"])).json();
    assert_eq!(open[0]["value"], false);
    done(site.run("invoke", &["0-0:96.3.10:2"]));

    let objects = done(site.run("objects", &["--json"])).json();
    let objects = objects.as_array().unwrap();
    assert!(objects.len() > 20);
    let breaker = objects.iter().find(|object| object["class"] == 70).unwrap();
    assert_eq!(breaker["obis"], "0-0:96.3.10");
    assert_eq!(breaker["class_name"], "Disconnect control");
    assert_eq!(breaker["name"], "disconnect control");
    // As the model says: this client reads the state, and may open and close; requests and
    // answers authenticated and encrypted.
    let of = |list: &str, id: u8| -> (Value, u64) {
        let rows = breaker[list].as_array().unwrap();
        let row = rows.iter().find(|row| row["id"] == id).unwrap();
        (row["name"].clone(), row["access_mode"].as_u64().unwrap())
    };
    assert_eq!(of("attributes", 2), ("output_state".into(), 0x6D));
    assert_eq!(of("attributes", 4), ("control_mode".into(), 0x6F));
    assert_eq!(of("methods", 1), ("remote_disconnect".into(), 0x6D));
    // The public client may read names and time, and nothing of the breaker.
    let public = done(site.run_as("objects", &["--json"], &[])).json();
    let public = public.as_array().unwrap();
    assert!(public.len() < objects.len());
    assert!(public.iter().all(|object| object["class"] != 70));
    for line in done(site.run("objects", &[])).output.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    site.role.stop();
}

#[test]
fn refusals_say_what_to_do() {
    let site = Site::new("tcp");
    let keys = [
        "--key",
        "000102030405060708090a0b0c0d0e0f",
        "--auth-key",
        "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf",
    ];
    let wrong = [&["--client", "1"], &keys[..]].concat();
    let cases: [(&str, Run, &str); 7] = [
        (
            "wrong keys",
            site.run_as("read", &["1.8.0"], &wrong),
            "check --password or --key",
        ),
        (
            "the other meter's keys",
            site.run("read", &["1.8.0", "--meter", "GWD0000000000002"]),
            "check --password or --key",
        ),
        (
            "less protection",
            site.run("read", &["1.8.0", "--protect", "auth"]),
            "--protect",
        ),
        (
            "a client that is not known",
            site.run_as("read", &["1.8.0"], &["--client", "77"]),
            "--client is none that the meter knows",
        ),
        (
            "a password that is none",
            site.run_as(
                "read",
                &["1.8.0"],
                &["--client", "2", "--password", "abcdefgh"],
            ),
            "check --password",
        ),
        (
            "no right",
            site.run("write", &["1-0:99.1.0:4", "u32:5"]),
            "higher --security",
        ),
        (
            "no such object",
            site.run("read", &["1-0:99.77.0"]),
            "gridward objects",
        ),
    ];
    for (name, run, hint) in cases {
        assert_eq!(run.status, 1, "{name}: {}", run.output);
        assert!(run.error.contains(hint), "{name}: {}", run.error);
        assert!(!run.error.contains("000102"), "{name}: a key is shown");
    }
    let nobody = run(&["read", "tcp://127.0.0.1:1", "1.8.0"]);
    assert!(
        nobody.error.contains("is the meter there"),
        "{}",
        nobody.error
    );
    site.role.stop();
}

#[test]
fn counters_go_on_and_start_above_the_meter() {
    let site = Site::new("tcp");
    let end = || {
        let file = std::fs::read_dir(&site.state)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "counter")
            })
            .unwrap();
        let record: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        record["end"].as_u64().unwrap()
    };
    done(site.run("read", &["1.8.0"]));
    let first = end();
    done(site.run("read", &["1.8.0"]));
    let second = end();
    assert!(first > 0 && second > first, "{first}, {second}");

    // A client that has lost its state starts above what the meter has seen.
    std::fs::remove_dir_all(&site.state).unwrap();
    done(site.run("read", &["1.8.0"]));
    assert!(end() > second - 256, "{} after {second}", end());

    // Wrong keys use counters up and do not move them far.
    let higher = done(site.run("read", &["1.8.0", "--counter", "1000000"]));
    assert_eq!(higher.status, 0);
    assert!(end() > 1_000_000);
    let lower = site.run("read", &["1.8.0", "--counter", "5"]);
    assert_eq!(lower.status, 2);
    site.role.stop();
}

#[test]
fn messages_are_traced() {
    let site = Site::new("tcp");
    let file = site.folder.path().join("session.pcap");
    done(site.run("read", &["1.8.0", "--trace", file.to_str().unwrap()]));
    let octets = std::fs::read(file).unwrap();
    assert_eq!(octets.get(..4), Some(&0xA1B2_C3D4_u32.to_le_bytes()[..]));
    assert_eq!(octets.get(20..24), Some(&101_u32.to_le_bytes()[..]));
    let mut rest = &octets[24..];
    let mut sent = Vec::new();
    while !rest.is_empty() {
        let (head, behind) = rest.split_at(16);
        let length = u32::from_le_bytes(head[8..12].try_into().unwrap());
        assert_eq!(head[8..12], head[12..16], "nothing is left out");
        // The file ends where its last record does: a longer one panics here.
        let (packet, behind) = behind.split_at(usize::try_from(length).unwrap());
        rest = behind;
        sent.push(check_packet(packet));
    }
    // A request and its answer in turn: the counter by the public client, then the value.
    assert!(sent.len() >= 8, "{sent:?}");
    for (index, (by_client, tag)) in sent.iter().enumerate() {
        assert_eq!(*by_client, index % 2 == 0, "{index}: {sent:?}");
        let tags: &[u8] = match sent[index - index % 2].1 {
            0x60 => &[0x60, 0x61],
            0x62 => &[0x62, 0x63],
            0xC0 => &[0xC0, 0xC4],
            0xC8 => &[0xC8, 0xCC],
            0xCB => &[0xCB, 0xCF],
            other => panic!("{other:02x}: {sent:?}"),
        };
        assert_eq!(*tag, tags[index % 2], "{index}: {sent:?}");
    }
    site.role.stop();
}

/// Holds an IPv4 packet with UDP and the wrapper in it against what it says of itself; gives
/// whether the client sent it, and the first octet of its APDU.
fn check_packet(packet: &[u8]) -> (bool, u8) {
    let word = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    assert_eq!((packet[0], packet[9]), (0x45, 17));
    let sum: u32 = (0..20).step_by(2).map(|at| u32::from(word(at))).sum();
    assert_eq!(
        (sum & 0xFFFF) + (sum >> 16),
        0xFFFF,
        "the check of the head"
    );
    assert_eq!(usize::from(word(2)), packet.len());
    assert_eq!(usize::from(word(24)), packet.len() - 20);
    assert_eq!(word(28), 1, "the wrapper's version");
    assert_eq!(usize::from(word(34)), packet.len() - 36);
    let by_client = word(22) == 4_059;
    let (from, to) = if by_client { (20, 22) } else { (22, 20) };
    assert_eq!((word(from), word(to)), (50_000, 4_059));
    // The meter's SAP is 1.
    assert_eq!(word(if by_client { 32 } else { 30 }), 1);
    (by_client, packet[36])
}

#[test]
fn a_meter_stops_at_a_signal_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| path(folder.path(), name);
    let (keys, data, state) = (at("keys.toml"), at("data"), at("state"));
    let words = [
        "meter",
        "--listen",
        "tcp://127.0.0.1:0",
        "--history",
        "1",
        "--keys",
        &keys,
        "--data",
        &data,
    ];
    for (signal, before, zone) in [("TERM", -60, -30), ("INT", -30, -120)] {
        let mut role = Role::start(&words);
        let url = role.line()["endpoint"].as_str().unwrap().to_owned();
        let zone_of = |more: &[&str]| {
            let own = ["--keys", &keys, "--state", &state];
            done(run(&[more, &own[..]].concat())).output
        };
        let read = ["read", &url, "0-0:1.0.0:3", "--json"];
        let was: Value = serde_json::from_str(&zone_of(&read)).unwrap();
        assert_eq!(was[0]["value"], before, "{signal}");
        zone_of(&["write", &url, "0-0:1.0.0:3", &zone.to_string()]);
        role.stop_by(signal);
    }
}

#[test]
fn meters_that_are_spread_have_addresses_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let keys = path(folder.path(), "keys.toml");
    // A port that is free on the first address; on the others of this network nobody listens.
    let port = std::net::TcpListener::bind("127.44.0.1:0").unwrap();
    let listen = format!("tcp://{}", port.local_addr().unwrap());
    drop(port);
    let mut role = Role::start(&[
        "meter",
        "--listen",
        &listen,
        "--spread",
        "--count",
        "3",
        "--history",
        "1",
        "--keys",
        &keys,
    ]);
    let told: Vec<Value> = (0..3).map(|_| role.line()).collect();
    for (index, meter) in told.iter().enumerate() {
        let url = meter["endpoint"].as_str().unwrap();
        let address = format!("127.44.0.{}:", index + 1);
        assert!(url.contains(&address), "{url}");
        let read = run(&["read", url, "0-0:42.0.0", "--json"]);
        assert_eq!(done(read).json()[0]["text"], meter["logical_device_name"]);
    }
    assert_ne!(
        told[0]["logical_device_name"],
        told[1]["logical_device_name"]
    );
    role.stop();
}

#[test]
fn hdlc_over_tcp_is_the_same() {
    let site = Site::new("hdlc+tcp");
    let read = done(site.run("read", &["1-0:1.8.0", "--json"])).json();
    assert_eq!(read[0]["unit"], "Wh");
    site.role.stop();
}

/// A file in a folder, as an argument.
pub(crate) fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

/// Makes the keys of so many meters, those that a concentrator reads them with, and for each of
/// `names` the keys of a concentrator's own logical device: `keys.toml`, `collector.toml`, and the
/// files that are named.
pub(crate) fn make_keys(folder: &Path, count: usize, names: &[(&str, &str)]) {
    let at = |name: &str| path(folder, name);
    let (count, keys) = (count.to_string(), at("keys.toml"));
    done(run(&["keys", "generate", "--count", &count, &keys]));
    done(run(&["keys", "collector", &keys, &at("collector.toml")]));
    for ((file, name), number) in names.iter().zip(900_001..) {
        // A number of its own, and with it a title that no meter has.
        let (file, number) = (at(file), number.to_string());
        done(run(&["keys", "generate", "--first", &number, &file]));
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.replace(&format!("GWD0000000{number}"), name);
        std::fs::write(&file, text).unwrap();
    }
}

/// Waits until a concentrator's status page says something.
pub(crate) fn until(page: &str, what: impl Fn(&Value) -> bool) -> Value {
    let address = page.trim_start_matches("http://").trim_end_matches('/');
    let mut last = Value::Null;
    for _ in 0..1_200 {
        let (code, body) = get(address, "/status.json", "");
        assert!(code.contains("200"), "{code}");
        last = serde_json::from_str(&body).unwrap();
        if what(&last) {
            return last;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the status page never says so: {last}");
}

/// The rows of a profile that was read.
pub(crate) fn rows_of(profile: &Value) -> Vec<Value> {
    let rows = profile["rows"].as_array().or_else(|| profile.as_array());
    rows.unwrap().clone()
}
