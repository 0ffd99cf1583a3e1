//! `gridward concentrator` between head end and meters, each a process; and
//! what a concentrator in the wrong hands can do.
//!
//! Evidence: self-agreement from end to end over real sockets. That strangers
//! read through it: `interop/`; what is in its memory: `memory`.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::demo::{body, get};
use crate::program::run;
use crate::session::{Role, done};

/// Meters and a concentrator before them.
pub(crate) struct Street {
    folder: tempfile::TempDir,
    meters: Role,
    concentrator: Role,
    pub(crate) url: String,
    pub(crate) keys: String,
}

impl Street {
    fn new(count: usize, segment: &str) -> Self {
        Self::listening(count, segment, "tcp://127.0.0.1:0")
    }

    /// With a concentrator that listens there.
    pub(crate) fn listening(count: usize, segment: &str, listen: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let keys = at("keys.toml");
        let number = count.to_string();
        let mut meters = Role::start(&[
            "meter",
            "--listen",
            "tcp://127.0.0.1:0",
            "--count",
            &number,
            "--history",
            "1",
            "--keys",
            &keys,
        ]);
        let meters_url = (0..count)
            .map(|_| meters.line()["endpoint"].as_str().unwrap().to_owned())
            .next_back()
            .unwrap();
        let own = at("own.toml");
        done(run(&["keys", "generate", &own]));
        // Its own entry carries its own name.
        let text = std::fs::read_to_string(&own).unwrap();
        std::fs::write(&own, text.replace("GWD0000000000001", "GWD1DC0000000001")).unwrap();
        let config = format!(
            "[concentrator]\nname = \"GWD1DC0000000001\"\ndata = \"{}\"\nkeys = \"{own}\"\n\
             [[concentrator.wan]]\nlisten = \"{listen}\"\n\
             [[concentrator.segment]]\n{segment}\n\
             [[concentrator.segment.meter]]\nendpoint = \"{meters_url}\"\nservers = \"1-{count}\"\n",
            at("dc")
        );
        std::fs::write(at("dc.toml"), config).unwrap();
        let mut concentrator = Role::start(&["concentrator", "--config", &at("dc.toml")]);
        let line = concentrator.line();
        let url = line["endpoints"][0].as_str().unwrap().to_owned();
        Self {
            folder,
            meters,
            concentrator,
            url,
            keys,
        }
    }

    pub(crate) fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// The SAP of each meter, once `count` are in the list.
    pub(crate) fn saps(&self, count: usize) -> BTreeMap<String, u64> {
        for _ in 0..600 {
            let list = run(&["read", &self.url, "0-0:41.0.0", "--json"]);
            let list = done(list).json();
            let entries = list[0]["value"].as_array().unwrap().clone();
            if entries.len() > count {
                return entries.iter().map(entry).collect();
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("the meters do not register");
    }

    pub(crate) fn stop(self) {
        self.concentrator.stop();
        self.meters.stop();
    }
}

/// SAP and name of an entry of the list.
pub(crate) fn entry(entry: &Value) -> (String, u64) {
    let sap = entry[0].as_u64().unwrap();
    let name = entry[1].as_str().unwrap();
    let octets = (0..name.len()).step_by(2);
    let plain: Option<Vec<u8>> = octets
        .map(|at| u8::from_str_radix(name.get(at..at + 2)?, 16).ok())
        .collect();
    let text = plain.and_then(|octets| String::from_utf8(octets).ok());
    (text.unwrap_or_else(|| name.to_owned()), sap)
}

pub(crate) fn read_name(
    url: &str,
    keys: &str,
    meter: &str,
    server: u64,
    state: &str,
) -> crate::program::Run {
    run(&[
        "read",
        url,
        "0-0:42.0.0",
        "--server",
        &server.to_string(),
        "--keys",
        keys,
        "--meter",
        meter,
        "--state",
        state,
        "--json",
    ])
}

pub(crate) fn meter(number: usize) -> String {
    format!("GWD{number:013}")
}

#[test]
fn meters_are_read_and_switched_through_it_with_their_own_keys() {
    let street = Street::new(3, "medium = \"ip\"");
    let saps = street.saps(3);
    let state = street.at("state");
    for number in 1..=3 {
        let name = meter(number);
        let read = done(read_name(
            &street.url,
            &street.keys,
            &name,
            saps[&name],
            &state,
        ));
        assert_eq!(read.json()[0]["text"], name);
    }
    let server = saps[&meter(2)].to_string();
    let keyed = |command: &str, what: &str| {
        let name = meter(2);
        run(&[
            command,
            &street.url,
            what,
            "--server",
            &server,
            "--keys",
            &street.keys,
            "--meter",
            &name,
            "--state",
            &state,
            "--json",
        ])
    };
    done(keyed("invoke", "0-0:96.3.10:1"));
    assert_eq!(
        done(keyed("read", "0-0:96.3.10:2")).json()[0]["value"],
        false
    );
    done(keyed("invoke", "0-0:96.3.10:2"));
    assert_eq!(
        done(keyed("read", "0-0:96.3.10:2")).json()[0]["value"],
        true
    );
    // Its own logical device shows the state of all to whoever has its keys.
    let own = street.at("own.toml");
    let status = done(run(&[
        "read",
        &street.url,
        "0-0:128.0.2",
        "--keys",
        &own,
        "--state",
        &state,
        "--json",
    ]));
    assert_eq!(status.json()[0]["value"].as_array().unwrap().len(), 3);
    let refused = run(&["read", &street.url, "0-0:128.0.2", "--json"]);
    assert_eq!(refused.status, 1);
    street.stop();
}

#[test]
fn a_power_line_between_them_changes_nothing_but_the_time() {
    for medium in ["s-fsk", "prime", "g3"] {
        let street = Street::new(2, &format!("medium = \"{medium}\"\nspeed = 200"));
        let saps = street.saps(2);
        for number in 1..=2 {
            let name = meter(number);
            let state = street.at("state");
            let read = done(read_name(
                &street.url,
                &street.keys,
                &name,
                saps[&name],
                &state,
            ));
            assert_eq!(read.json()[0]["text"], name);
        }
        street.stop();
    }
}

/// Requirement D1: through whom meters of a line with switches are reached comes from the line over
/// the concentrator to the head end; of a line on which all repeat nothing is made up.
#[test]
fn who_is_behind_whom_comes_to_the_head_end_where_the_line_knows_it() {
    const COUNT: usize = 8;
    let trees = [
        ("prime", [0, 1, 1, 2, 2, 2, 2, 0], true),
        ("s-fsk", [0, 1, 2, 0, 1, 2, 0, 1], false),
    ];
    for (medium, hops, known) in trees {
        let line = format!("medium = \"{medium}\"\nspeed = 500\n");
        let credit = if known { "" } else { "credit = 2\n" };
        let street = Street::new(COUNT, &format!("{line}{credit}"));
        let saps = street.saps(COUNT);
        let sap = |number: usize| saps[&meter(number)];
        let folder = street.folder.path().join("headend");
        let more = format!(
            "[[headend.concentrator]]\nendpoint = \"{}\"\nname = \"GWD1DC0000000001\"\n\
             keys = \"{}\"\nevery_s = 1\nstatus_s = 1\n",
            street.url,
            street.at("own.toml")
        );
        let ends = [sap(1), sap(2)];
        let (role, url, token) = head_end(&folder, &street.url, &street.keys, ends, &more);
        let told = behind_it(&url, &token, COUNT);
        let number = |sap: u64| (1..=COUNT).find(|it| saps[&meter(*it)] == sap).unwrap();
        // The place of each meter on the line, and that of the one before it.
        let through = [
            None,
            Some(1),
            Some(1),
            Some(2),
            Some(2),
            Some(2),
            Some(3),
            None,
        ];
        assert_eq!(told.len(), COUNT);
        for row in told {
            let one = number(row["sap"].as_u64().unwrap());
            assert_eq!(row["hops"], hops[one - 1], "{medium} {row}");
            let expected = known.then(|| through[one - 1].map_or(0, sap));
            assert_eq!(row["behind"].as_u64(), expected, "{medium} {row}");
            assert_eq!(row["behind"].is_null(), !known, "{medium} {row}");
        }
        role.stop();
        street.stop();
    }
}

/// What a head end tells of the meters behind its one concentrator, once `count` are there.
fn behind_it(url: &str, token: &str, count: usize) -> Vec<Value> {
    for _ in 0..1_200 {
        let list = body(url, "/api/v1/concentrators", token);
        let id = list["rows"][0]["id"].as_str().unwrap();
        let path = format!("/api/v1/concentrators/{id}/meters");
        let rows = body(url, &path, token)["rows"].clone();
        let there = |row: &Value| row["there"] == true;
        let rows = rows.as_array().unwrap();
        if rows.iter().filter(|row| there(row)).count() == count {
            return rows.clone();
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("the head end does not learn of {count} meters");
}

/// Keys of a key file: all runs of 32 hexadecimal digits.
pub(crate) fn keys_in(path: &str) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(path).unwrap();
    let words = text.split('"').filter(|word| word.len() == 32);
    words
        .filter_map(|word| {
            let octets = (0..32).step_by(2);
            octets
                .map(|at| u8::from_str_radix(&word[at..at + 2], 16).ok())
                .collect()
        })
        .collect()
}

/// What a relay on the way does to one message: the wrapper's octets, and
/// whether it goes to the meter. Gives what is sent instead.
pub(crate) type Meddle = dyn Fn(usize, bool, Vec<u8>) -> Vec<Vec<u8>> + Send + Sync;

/// A concentrator in the wrong hands, in the place of ours.
pub(crate) struct Relay {
    pub(crate) url: String,
    /// What went to the meter.
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Relay {
    pub(crate) fn new(target: &str, meddle: Box<Meddle>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("tcp://{}", listener.local_addr().unwrap());
        let target = target.trim_start_matches("tcp://").to_owned();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&heard);
        let meddle: Arc<Meddle> = Arc::from(meddle);
        thread::spawn(move || {
            for near in listener.incoming() {
                let (near, far) = (near.unwrap(), TcpStream::connect(&target).unwrap());
                for down in [true, false] {
                    let ends = (near.try_clone().unwrap(), far.try_clone().unwrap());
                    let (from, to) = if down { ends } else { (ends.1, ends.0) };
                    let (meddle, keep) = (Arc::clone(&meddle), Arc::clone(&keep));
                    thread::spawn(move || carry(from, to, down, &*meddle, &keep));
                }
            }
        });
        Self { url, heard }
    }
}

fn carry(
    mut from: TcpStream,
    mut to: TcpStream,
    down: bool,
    meddle: &Meddle,
    keep: &Mutex<Vec<Vec<u8>>>,
) {
    for number in 0.. {
        let mut message = vec![0; 8];
        if from.read_exact(&mut message).is_err() {
            break;
        }
        let length = usize::from(u16::from_be_bytes([message[6], message[7]]));
        message.resize(8 + length, 0);
        if from.read_exact(&mut message[8..]).is_err() {
            break;
        }
        if down {
            keep.lock().unwrap().push(message.clone());
        }
        for message in meddle(number, down, message) {
            if to.write_all(&message).is_err() {
                return;
            }
        }
    }
    drop(to.shutdown(Shutdown::Both));
}

fn with_port(mut message: Vec<u8>, down: bool, port: u16) -> Vec<u8> {
    let at = if down { 4 } else { 2 };
    message[at..at + 2].copy_from_slice(&port.to_be_bytes());
    message
}

/// Meters without a concentrator, for a relay to stand before.
struct Meters {
    role: Role,
    folder: tempfile::TempDir,
    url: String,
    keys: String,
    state: String,
}

impl Meters {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (keys, state) = (at("keys.toml"), at("state"));
        let mut role = Role::start(&[
            "meter",
            "--listen",
            "tcp://127.0.0.1:0",
            "--count",
            "2",
            "--history",
            "1",
            "--keys",
            &keys,
        ]);
        let url = role.line()["endpoint"].as_str().unwrap().to_owned();
        role.line();
        Self {
            role,
            folder,
            url,
            keys,
            state,
        }
    }

    fn run(&self, url: &str, command: &str, what: &str) -> crate::program::Run {
        let name = meter(1);
        run(&[
            command,
            url,
            what,
            "--server",
            "1",
            "--keys",
            &self.keys,
            "--meter",
            &name,
            "--state",
            &self.state,
            "--json",
        ])
    }

    fn closed(&self) -> bool {
        let read = done(self.run(&self.url, "read", "0-0:96.3.10:2"));
        read.json()[0]["value"].as_bool().unwrap()
    }
}

#[test]
fn a_concentrator_that_swaps_meters_is_found_out() {
    let meters = Meters::new();
    let swap = |_, down, message| vec![with_port(message, down, if down { 2 } else { 1 })];
    let relay = Relay::new(&meters.url, Box::new(swap));
    for what in ["0-0:42.0.0", "1-0:1.8.0"] {
        let read = meters.run(&relay.url, "read", what);
        assert_eq!(read.status, 1, "{}", read.output);
        assert!(!read.output.contains("value"), "{}", read.output);
    }
    let switched = meters.run(&relay.url, "invoke", "0-0:96.3.10:1");
    assert_eq!(switched.status, 1);
    assert!(meters.closed());
    drop(meters.folder);
    meters.role.stop();
}

#[test]
fn a_concentrator_that_alters_octets_gets_no_wrong_reading_through() {
    let meters = Meters::new();
    let honest = Relay::new(&meters.url, Box::new(|_, _, message| vec![message]));
    done(meters.run(&honest.url, "read", "0-0:42.0.0"));
    let mut refused = 0;
    for (number, down, place) in [
        (0, true, 50),
        (0, true, 90),
        (1, true, 30),
        (1, true, 95),
        (2, true, 50),
        (0, false, 30),
        (0, false, 80),
        (1, false, 40),
        (1, false, 90),
        (2, false, 60),
        (2, false, 99),
        (3, false, 50),
    ] {
        let alter = move |at: usize, to_meter: bool, mut message: Vec<u8>| {
            if (at, to_meter) == (number, down) {
                let length = message.len() - 8;
                message[8 + length * place / 100] ^= 0x10;
            }
            vec![message]
        };
        let relay = Relay::new(&meters.url, Box::new(alter));
        let read = meters.run(&relay.url, "read", "0-0:42.0.0");
        if read.status == 0 {
            // What is not protected, as in an AARQ, may be altered to no
            // effect; a value never is.
            assert_eq!(read.json()[0]["text"], meter(1));
        } else {
            refused += 1;
        }
    }
    assert!(refused >= 6, "{refused}");
    meters.role.stop();
}

#[test]
fn a_concentrator_that_repeats_what_it_heard_switches_nothing() {
    let meters = Meters::new();
    let honest = Relay::new(&meters.url, Box::new(|_, _, message| vec![message]));
    done(meters.run(&honest.url, "invoke", "0-0:96.3.10:1"));
    assert!(!meters.closed());
    let recorded = honest.heard.lock().unwrap().clone();
    assert!(recorded.len() >= 3);
    done(meters.run(&meters.url, "invoke", "0-0:96.3.10:2"));
    assert!(meters.closed());
    // The whole session again; then each of its messages to the other meter.
    for port in [1, 2] {
        let target = meters.url.trim_start_matches("tcp://");
        let mut stream = TcpStream::connect(target).unwrap();
        for message in &recorded {
            stream
                .write_all(&with_port(message.clone(), true, port))
                .unwrap();
        }
        stream
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        let mut answers = Vec::new();
        drop(stream.read_to_end(&mut answers));
        assert!(meters.closed(), "port {port}");
    }
    // Everything twice on the way. What was ordered may be done; the copy
    // that comes later does not undo what is ordered next.
    let twice = |_, down: bool, message: Vec<u8>| {
        if down {
            vec![message.clone(), message]
        } else {
            vec![message]
        }
    };
    let relay = Relay::new(&meters.url, Box::new(twice));
    drop(meters.run(&relay.url, "invoke", "0-0:96.3.10:1"));
    done(meters.run(&meters.url, "invoke", "0-0:96.3.10:2"));
    assert!(meters.closed());
    meters.role.stop();
}

/// Rows of the head end's meters, by name.
pub(crate) fn rows(url: &str, token: &str) -> BTreeMap<String, Value> {
    let (_, body) = get(url, "/api/v1/meters", token);
    let (start, end) = (body.find('{').unwrap(), body.rfind('}').unwrap());
    let body: Value = serde_json::from_str(&body[start..=end]).unwrap();
    let rows = body["rows"].as_array().unwrap();
    rows.iter()
        .map(|row| (row["name"].as_str().unwrap().to_owned(), row.clone()))
        .collect()
}

/// Starts a head end whose two meters are behind `url` at these SAPs.
fn head_end(
    folder: &Path,
    url: &str,
    keys: &str,
    saps: [u64; 2],
    more: &str,
) -> (Role, String, String) {
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let mut enrolment = String::from("logical_device_name,endpoint,server,client\n");
    for (number, sap) in (1..).zip(saps) {
        enrolment.push_str(&format!("{},{url},{sap},1\n", meter(number)));
    }
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(at("meters.csv"), enrolment).unwrap();
    let config = format!(
        "[headend]\nenrolment = \"{}\"\nkeys = \"{keys}\"\n\
         [headend.collector]\nhistory_days = 1\nretry_first_s = 1\nretry_longest_s = 2\ntimeout_s = 3\n{more}",
        at("meters.csv")
    );
    std::fs::write(at("headend.toml"), config).unwrap();
    let mut role = Role::start(&[
        "headend",
        "--config",
        &at("headend.toml"),
        "--data",
        &at("data"),
        "--listen",
        "127.0.0.1:0",
    ]);
    let line = role.line();
    let text = |key: &str| line[key].as_str().unwrap().to_owned();
    (role, text("url"), text("token"))
}

/// Waits until every meter of a head end was read.
fn all_read(url: &str, token: &str) {
    for _ in 0..1_200 {
        if rows(url, token)
            .values()
            .all(|row| row["last_read"].is_string())
        {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("{:?}", rows(url, token));
}

/// How often a head end has tried in vain.
pub(crate) fn failed(url: &str, token: &str) -> f64 {
    let (_, metrics) = get(url, "/metrics", token);
    metrics
        .lines()
        .filter(|line| line.starts_with("gridward_collector_failed_total"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .fold(0.0, f64::max)
}

/// Waits until a head end has tried in vain so often.
pub(crate) fn until_failed(url: &str, token: &str, often: f64) {
    for _ in 0..1_200 {
        if failed(url, token) >= often {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("the head end does not try");
}

#[test]
fn a_head_end_refuses_swapped_saps() {
    let street = Street::new(2, "medium = \"ip\"");
    let saps = street.saps(2);
    let [one, two] = [saps[&meter(1)], saps[&meter(2)]];
    let swapped = street.folder.path().join("swapped");
    let (role, url, token) = head_end(&swapped, &street.url, &street.keys, [two, one], "");
    until_failed(&url, &token, 4.0);
    for (name, row) in rows(&url, &token) {
        assert!(row["last_read"].is_null(), "{name}: {row}");
        assert!(row["power_w"].is_null(), "{name}: {row}");
    }
    role.stop();
    street.stop();
}

#[test]
fn a_head_end_follows_its_meters_by_name_in_the_list() {
    let street = Street::new(2, "medium = \"ip\"");
    street.saps(2);
    // Enrolled at SAPs that are nobody's.
    let folder = street.folder.path().join("followed");
    let more = format!(
        "[[headend.concentrator]]\nendpoint = \"{}\"\nevery_s = 1\n",
        street.url
    );
    let (role, url, token) = head_end(&folder, &street.url, &street.keys, [0x3000, 0x3001], &more);
    all_read(&url, &token);
    role.stop();
    street.stop();
}

/// What a concentrator says instead of who is where; none of it is true of
/// either meter, as far as the first entry of a name goes.
fn lies(saps: [u16; 2]) -> Vec<Vec<(u16, String)>> {
    let [one, two] = saps;
    let (first, second) = (meter(1), meter(2));
    let nobody = |sap: u16| (sap, format!("GWD{:013}", 70_000 + u32::from(sap)));
    vec![
        // The names are swapped.
        vec![(one, second.clone()), (two, first.clone())],
        // Each is there twice, first where the other is.
        vec![
            (two, first.clone()),
            (one, second.clone()),
            (one, first.clone()),
            (two, second.clone()),
        ],
        // Both are gone, and others came.
        (0x100..0x180).map(nobody).collect(),
        // Nobody is there.
        Vec::new(),
        // Both at one SAP, at which neither is.
        vec![(0x3000, first.clone()), (0x3000, second.clone())],
        // At SAPs that are no meter's: all stations', its own, none.
        vec![(0x7F, first.clone()), (1, second.clone())],
        vec![(0, first), (0xFFFF, second)],
    ]
}

/// Writes a list into the answer to who reads it, where this is one.
fn with_list(message: &[u8], list: &[(u16, String)]) -> Option<Vec<u8>> {
    // GET response, normal, with data: an array.
    let (head, apdu) = message.split_at_checked(8)?;
    let [0xC4, 1, invoke, 0, 1, ..] = apdu else {
        return None;
    };
    let mut answer = vec![0xC4, 1, *invoke, 0, 1];
    let count = u8::try_from(list.len()).unwrap();
    if count >= 0x80 {
        answer.push(0x81);
    }
    answer.push(count);
    for (sap, name) in list {
        answer.extend([2, 2, 0x12]);
        answer.extend(sap.to_be_bytes());
        answer.extend([9, u8::try_from(name.len()).unwrap()]);
        answer.extend(name.bytes());
    }
    let mut message = head.to_vec();
    let length = u16::try_from(answer.len()).unwrap();
    message[6..8].copy_from_slice(&length.to_be_bytes());
    message.extend(answer);
    Some(message)
}

#[test]
fn a_list_that_lies_leads_to_no_reading() {
    let street = Street::new(2, "medium = \"ip\"");
    let saps = street.saps(2);
    let place = |number| u16::try_from(saps[&meter(number)]).unwrap();
    let lies = lies([place(1), place(2)]);
    let told = Arc::new(AtomicUsize::new(0));
    let honest = Arc::new(AtomicBool::new(false));
    let (count, truth) = (Arc::clone(&told), Arc::clone(&honest));
    let number_of_lies = lies.len();
    // Another lie each time that somebody looks.
    let lie = move |_, down: bool, message: Vec<u8>| {
        let own = !down && message[2..4] == [0, 1];
        if !own || truth.load(Ordering::Relaxed) {
            return vec![message];
        }
        let turn = count.load(Ordering::Relaxed) % lies.len();
        match with_list(&message, &lies[turn]) {
            Some(lied) => {
                count.fetch_add(1, Ordering::Relaxed);
                vec![lied]
            }
            None => vec![message],
        }
    };
    let relay = Relay::new(&street.url, Box::new(lie));
    let folder = street.folder.path().join("lied");
    let more = format!(
        "[[headend.concentrator]]\nendpoint = \"{}\"\nevery_s = 1\n",
        relay.url
    );
    let (role, url, token) = head_end(&folder, &relay.url, &street.keys, [0x3000, 0x3001], &more);
    // Every lie twice.
    for _ in 0..2_400 {
        if told.load(Ordering::Relaxed) >= 2 * number_of_lies {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    assert!(
        told.load(Ordering::Relaxed) >= 2 * number_of_lies,
        "nobody looks"
    );
    until_failed(&url, &token, 4.0);
    for (name, row) in rows(&url, &token) {
        assert!(row["last_read"].is_null(), "{name}: {row}");
        assert!(row["power_w"].is_null(), "{name}: {row}");
    }
    // The control: with the truth, by the same way, both are read.
    honest.store(true, Ordering::Relaxed);
    all_read(&url, &token);
    role.stop();
    street.stop();
}
