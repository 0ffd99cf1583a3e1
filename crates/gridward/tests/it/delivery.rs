//! What a concentrator read on its own comes into the head end, each a process: WAN cut, head end
//! and concentrator killed, connections from either side, strangers in its place.
//!
//! Evidence: self-agreement from end to end over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::concentrator::{Relay, failed, meter, rows, until_failed};
use crate::demo::get;
use crate::program::run;
use crate::session::{self, Role, done};

pub(crate) const NAME: &str = "GWD1DC0000000001";

/// What a concentrator reads of each meter: load profile, standard log and the log of fraud.
const PROFILES: &str = "[\"1-0:99.1.0\", \"0-0:99.98.0\", \"0-0:99.98.1\"]";

/// Waits until `what` gives something.
pub(crate) fn until<T>(why: &str, mut what: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1_800 {
        if let Some(it) = what() {
            return it;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("never: {why}");
}

/// Keys and meters, without anything between.
pub(crate) struct Street {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) meters: Role,
    url: String,
    count: usize,
}

impl Street {
    pub(crate) fn new(count: usize, seed: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (number, seed) = (count.to_string(), seed.to_string());
        let keys = at("keys.toml");
        done(run(&["keys", "generate", "--count", &number, &keys]));
        done(run(&["keys", "collector", &keys, &at("collector.toml")]));
        own_keys(&at("own.toml"));
        let (url, meters) = meters(&keys, &number, &seed);
        Self {
            folder,
            meters,
            url,
            count,
        }
    }

    pub(crate) fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Starts a concentrator with this way to the WAN; gives its own address, if it has one, and
    /// that of its page.
    pub(crate) fn concentrator(&self, wan: &str, data: &str, own: &str) -> (Role, String, String) {
        let config = format!(
            "[concentrator]\nname = \"{NAME}\"\ndata = \"{}\"\nkeys = \"{own}\"\nanswer_s = 10\n\
             [concentrator.collect]\nkeys = \"{}\"\nall = true\nevery_s = 2\nbackfill_days = 1\n\
             summary_s = 1\nprofiles = {PROFILES}\n[[concentrator.wan]]\n{wan}\n\
             [[concentrator.segment]]\nmedium = \"ip\"\n\
             [[concentrator.segment.meter]]\nendpoint = \"{}\"\nservers = \"1-{}\"\n",
            self.at(data),
            self.at("collector.toml"),
            self.url,
            self.count,
        );
        let file = self.at(&format!("{data}.toml"));
        std::fs::write(&file, config).unwrap();
        let mut role = Role::start(&["concentrator", "--config", &file]);
        let line = role.line();
        let url = line["endpoints"][0].as_str().unwrap_or_default().to_owned();
        let page = line["status"].as_str().unwrap().to_owned();
        (role, url, page)
    }

    /// Starts a head end whose meters are behind `endpoint`.
    pub(crate) fn head_end(&self, endpoint: &str, more: &str) -> HeadEnd {
        self.configure(endpoint, more, 1);
        HeadEnd::start(self, None)
    }

    /// Writes the head end's configuration; it has everything delivered that often, or never.
    pub(crate) fn configure(&self, endpoint: &str, more: &str, collect_s: u32) {
        let mut enrolment = String::from("logical_device_name,endpoint,server,client\n");
        for number in 1..=self.count {
            // At SAPs that are nobody's: they follow by name.
            let sap = 0x3000 + number;
            enrolment.push_str(&format!("{},{endpoint},{sap},1\n", meter(number)));
        }
        std::fs::write(self.at("meters.csv"), enrolment).unwrap();
        let config = format!(
            "[headend]\nenrolment = \"{}\"\nkeys = \"{}\"\n\
             [headend.collector]\nevery_s = 10\nhistory_days = 0\nretry_first_s = 1\n\
             retry_longest_s = 2\ntimeout_s = 10\n{more}\n\
             [[headend.concentrator]]\nendpoint = \"{endpoint}\"\nevery_s = 1\n\
             collect_s = {collect_s}\nprofiles = {PROFILES}\n\
             name = \"{NAME}\"\nkeys = \"{}\"\n",
            self.at("meters.csv"),
            self.at("keys.toml"),
            self.at("own.toml"),
        );
        std::fs::write(self.at("headend.toml"), config).unwrap();
    }

    /// What a meter itself holds of a span: its register of energy drawn at the end of each
    /// interval.
    fn held(&self, number: usize, span: [&str; 2]) -> Vec<i64> {
        let (server, name) = (number.to_string(), meter(number));
        let (keys, state) = (self.at("keys.toml"), self.at("state"));
        let read = run(&[
            "read",
            &self.url,
            "1-0:99.1.0",
            "--profile",
            "--json",
            "--from",
            span[0],
            "--to",
            span[1],
            "--server",
            &server,
            "--keys",
            &keys,
            "--meter",
            &name,
            "--state",
            &state,
        ]);
        let read = done(read).json();
        let rows = read["rows"].as_array().unwrap().iter();
        rows.map(|row| row["1-0:1.8.0"].as_i64().unwrap()).collect()
    }
}

/// Makes keys of a concentrator's own logical device.
pub(crate) fn own_keys(path: &str) {
    done(run(&["keys", "generate", "--first", "900001", path]));
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, text.replace("GWD0000000900001", NAME)).unwrap();
}

fn meters(keys: &str, count: &str, seed: &str) -> (String, Role) {
    let mut meters = Role::start(&[
        "meter",
        "--listen",
        "tcp://127.0.0.1:0",
        "--count",
        count,
        "--seed",
        seed,
        "--history",
        "1",
        "--keys",
        keys,
    ]);
    let count: usize = count.parse().unwrap();
    let urls = (0..count).map(|_| meters.line()["endpoint"].as_str().unwrap().to_owned());
    (urls.last().unwrap(), meters)
}

pub(crate) struct HeadEnd {
    pub(crate) role: Role,
    url: String,
    token: String,
    pub(crate) dial_in: Option<String>,
}

impl HeadEnd {
    pub(crate) fn start(street: &Street, token: Option<String>) -> Self {
        Self::start_with(street, token, Role::start)
    }

    /// Starts it in a way of one's own.
    pub(crate) fn start_with(
        street: &Street,
        token: Option<String>,
        start: impl FnOnce(&[&str]) -> Role,
    ) -> Self {
        let mut role = start(&[
            "headend",
            "--config",
            &street.at("headend.toml"),
            "--data",
            &street.at("data"),
            "--listen",
            "127.0.0.1:0",
        ]);
        let line = role.line();
        let text = |key: &str| line[key].as_str().map(str::to_owned);
        Self {
            url: text("url").unwrap(),
            token: token.or_else(|| text("token")).unwrap(),
            dial_in: line["dial_in"][0].as_str().map(str::to_owned),
            role,
        }
    }

    /// Kills it as a loss of supply would, and starts it again.
    fn killed(mut self, street: &Street) -> Self {
        self.role.child.kill().unwrap();
        self.role.child.wait().unwrap();
        Self::start(street, Some(self.token))
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        let (_, body) = get(&self.url, path, &self.token);
        let (start, end) = (body.find('{').unwrap(), body.rfind('}').unwrap());
        serde_json::from_str(&body[start..=end]).unwrap()
    }

    /// The rows of the list of meters, by number.
    pub(crate) fn meter(&self, number: usize) -> Value {
        rows(&self.url, &self.token)[&meter(number)].clone()
    }

    fn profile(&self, number: usize, span: [&str; 2]) -> Value {
        let id = self.meter(number)["id"].as_str().unwrap().to_owned();
        let [from, to] = span;
        self.json(&format!("/api/v1/meters/{id}/profile?from={from}&to={to}"))
    }

    fn events(&self, number: usize) -> Vec<Value> {
        let id = self.meter(number)["id"].as_str().unwrap().to_owned();
        let events = self.json(&format!("/api/v1/meters/{id}/events"));
        events["rows"].as_array().unwrap().clone()
    }

    /// Waits until it has tried in vain several times more.
    pub(crate) fn fails_on(&self) {
        let now = failed(&self.url, &self.token);
        until_failed(&self.url, &self.token, now + 6.0);
    }

    /// Waits until the head end has read every meter itself.
    pub(crate) fn read(&self) {
        until("all meters are read", || {
            let rows = rows(&self.url, &self.token);
            rows.values()
                .all(|row| row["last_read"].is_string())
                .then_some(())
        });
    }
}

/// What the page of a concentrator tells of its meters, once `what` holds for each.
pub(crate) fn page(status: &str, count: usize, what: impl Fn(&Value) -> bool) -> Value {
    let address = status.trim_start_matches("http://").trim_end_matches('/');
    until("the concentrator has it so", || {
        let (_, body) = get(address, "/status.json", "");
        let status: Value = serde_json::from_str(&body).unwrap();
        let meters = status["meters"].as_array().unwrap();
        (meters.len() == count && meters.iter().all(&what)).then(|| status.clone())
    })
}

pub(crate) fn kept(meter: &Value) -> u64 {
    meter["rows"].as_u64().unwrap_or(0)
}

fn time(at: i64) -> String {
    headend::rfc3339(model::Timestamp::from_secs(at))
}

/// A span that is over, 20 hours to two before the newest row; a head end that is new has read
/// less.
pub(crate) fn span(status: &Value) -> (String, String) {
    let newest = status["meters"][0]["newest_row"].as_i64().unwrap();
    let newest = newest - newest % 900;
    (time(newest - 20 * 3_600), time(newest - 2 * 3_600))
}

/// Checks that what is stored of a meter is what it holds, read by whom `source` says.
pub(crate) fn check(
    street: &Street,
    head_end: &HeadEnd,
    number: usize,
    span: [&str; 2],
    source: &str,
) {
    let profile = head_end.profile(number, span);
    let intervals = profile["intervals"].as_array().unwrap();
    let times: Vec<&str> = intervals
        .iter()
        .map(|it| it["t"].as_str().unwrap())
        .collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    assert_eq!(profile["gaps"].as_array().unwrap().len(), 0, "{profile}");
    let registers = street.held(number, span);
    let measured: Vec<i64> = registers.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(measured.len() > 70, "{measured:?}");
    let stored = intervals.iter().skip(intervals.len() - measured.len());
    let stored: Vec<i64> = stored.map(|it| it["import_wh"].as_i64().unwrap()).collect();
    assert_eq!(stored, measured);
    for interval in intervals {
        assert_eq!(interval["source"], source, "{interval}");
        let via = (source == "concentrator").then_some(NAME);
        assert_eq!(interval["via"].as_str(), via);
    }
}

/// A wire that can be cut, and led elsewhere.
pub(crate) struct Wire {
    pub(crate) url: String,
    target: Arc<Mutex<Option<String>>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Wire {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("tcp://{}", listener.local_addr().unwrap());
        let target: Arc<Mutex<Option<String>>> = Arc::default();
        let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let (to, keep) = (Arc::clone(&target), Arc::clone(&open));
        thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.unwrap();
                let Some(far) = to.lock().unwrap().clone() else {
                    continue;
                };
                let Ok(far) = TcpStream::connect(far.trim_start_matches("tcp://")) else {
                    continue;
                };
                for stream in [&near, &far] {
                    keep.lock().unwrap().push(stream.try_clone().unwrap());
                }
                let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
                for (mut from, mut to) in [(near, far), back] {
                    thread::spawn(move || {
                        let mut octets = [0; 4_096];
                        while let Ok(count @ 1..) = from.read(&mut octets) {
                            if to.write_all(&octets[..count]).is_err() {
                                break;
                            }
                        }
                        drop(to.shutdown(Shutdown::Both));
                    });
                }
            }
        });
        Self { url, target, open }
    }

    /// Leads it elsewhere, or nowhere; what is open is cut.
    pub(crate) fn lead(&self, to: Option<&str>) {
        *self.target.lock().unwrap() = to.map(str::to_owned);
        for stream in self.open.lock().unwrap().drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

/// Requirement D1: what was read while the WAN was down comes afterwards, once, with its mark,
/// though either side is killed on the way; outages are events.
#[test]
fn rows_arrive_once_and_marked_whatever_is_cut_or_killed() {
    const COUNT: usize = 6;
    let street = Street::new(COUNT, 1);
    let wire = Wire::new();
    let own = street.at("own.toml");
    let listen = "listen = \"tcp://127.0.0.1:0\"";
    let (concentrator, url, status) = street.concentrator(listen, "dc", &own);
    let head_end = street.head_end(&wire.url, "");
    // The WAN is down while it reads.
    let told = page(&status, COUNT, |meter| kept(meter) > 90);
    let (from, to) = span(&told);
    let span = [from.as_str(), to.as_str()];
    assert!(head_end.meter(1)["last_read"].is_null());
    wire.lead(Some(&url));
    // As soon as some of it is there, the head end is killed.
    until("a row of the concentrator", || {
        let some = (1..=COUNT).any(|number| {
            let profile = head_end.profile(number, span);
            let mut all = profile["intervals"].as_array().unwrap().iter();
            all.any(|it| it["source"] == "concentrator")
        });
        some.then_some(())
    });
    let head_end = head_end.killed(&street);
    // What is durable there is confirmed, and so may go here.
    page(&status, COUNT, |meter| kept(meter) < 4);
    for number in 1..=COUNT {
        check(&street, &head_end, number, span, "concentrator");
        assert_eq!(
            head_end.profile(number, span)["conflicts"]
                .as_array()
                .unwrap()
                .len(),
            0
        );
    }
    // Nor does the concentrator tell it again when it was killed.
    let mut concentrator = concentrator;
    concentrator.child.kill().unwrap();
    concentrator.child.wait().unwrap();
    drop(concentrator);
    let (concentrator, url, status) = street.concentrator(listen, "dc", &own);
    page(&status, COUNT, |meter| kept(meter) < 4);
    wire.lead(Some(&url));
    head_end.read();
    check(&street, &head_end, COUNT, span, "concentrator");
    // Meters that fall silent together are one message, and an event of each that it names.
    let Street { meters, folder, .. } = street;
    meters.stop();
    let silent = until("an event of the outage", || {
        let all = (1..=COUNT).flat_map(|number| head_end.events(number));
        let mut silent = all.filter(|it| it["title"] == "Silent behind its concentrator");
        silent.next()
    });
    let told = (silent["source"].as_str(), silent["via"].as_str());
    assert_eq!(told, (Some("concentrator"), Some(NAME)));
    // All that are out are one line of the concentrator's, until they are there again.
    let row = until("the outage", || {
        let list = head_end.json("/api/v1/concentrators");
        (list["rows"][0]["meters_out"] == COUNT).then(|| list["rows"][0].clone())
    });
    let id = row["id"].as_str().unwrap();
    let list = head_end.json(&format!("/api/v1/concentrators/{id}/outages"));
    let all = list["rows"].as_array().unwrap().iter();
    let out: u64 = all.map(|it| it["out"].as_u64().unwrap()).sum();
    assert_eq!((list["meters_out"].as_u64(), out), (Some(6), 6));
    let list = head_end.json(&format!("/api/v1/concentrators/{id}/notices"));
    assert_eq!(list["rows"][0]["title"], "Meters fell silent");
    head_end.role.stop();
    concentrator.stop();
    drop(folder);
}

/// Requirement D1: an alarm and an event of a meter, of which nobody but its concentrator tells.
#[test]
fn an_alarm_and_its_event_come_from_the_concentrator_alone() {
    let mut street = Street::new(2, 1);
    // Somebody guesses a password at the first meter: an event and a bit of its alarm register.
    for _ in 0..3 {
        let guess = run(&[
            "read",
            &street.url,
            "0-0:42.0.0",
            "--client",
            "2",
            "--password",
            "guess",
        ]);
        assert_ne!(guess.status, 0, "{}", guess.output);
    }
    let own = street.at("own.toml");
    let listen = "listen = \"tcp://127.0.0.1:0\"";
    let (concentrator, url, status) = street.concentrator(listen, "dc", &own);
    let alarms = |status: &Value| {
        let all = status["notices"].as_array().unwrap().iter();
        all.filter(|it| it["code"] == 3).count()
    };
    // It asks for events before it asks for alarms.
    let told = session::until(&status, |status| alarms(status) > 0);
    let rounds = told["collection"]["rounds"].as_u64().unwrap();
    let told = session::until(&status, |status| {
        status["collection"]["rounds"].as_u64().unwrap() > rounds + 4
    });
    assert_eq!(alarms(&told), 1, "{told}");
    street.meters.child.kill().unwrap();
    street.meters.child.wait().unwrap();
    let head_end = street.head_end(&url, "");
    let told = |number: usize| -> Vec<String> {
        let all = head_end.events(number).into_iter();
        let told = all.filter(|it| {
            let told = (it["source"].as_str(), it["via"].as_str());
            told == (Some("concentrator"), Some(NAME))
        });
        let told = told.map(|it| format!("{} {}", it["title"], it["detail"]));
        told.collect()
    };
    let alarm = "\"Raises alarms, its concentrator says\" \"\"".to_owned();
    let event = "\"Several failed sign-ins at the meter\" \"Log 0-0:99.98.1, code 46\"";
    let event = event.to_owned();
    until("event and alarm", || {
        let told = told(1);
        (told.contains(&alarm) && told.contains(&event)).then_some(())
    });
    let both = told(1);
    let both = both.iter().filter(|it| **it == alarm || **it == event);
    assert_eq!(both.count(), 2);
    assert!(told(2).iter().all(|it| *it != alarm && *it != event));
    head_end.role.stop();
    concentrator.stop();
}

/// Requirement D13: a concentrator in the wrong hands, with its keys, tells rows of its own making:
/// of meters that were read they replace nothing and are told, elsewhere they have its mark, and
/// of meters that are not behind it nothing is taken.
#[test]
fn forged_rows_have_their_mark_and_replace_nothing() {
    let street = Street::new(2, 1);
    let wire = Wire::new();
    let own = street.at("own.toml");
    let listen = "listen = \"tcp://127.0.0.1:0\"";
    let (honest, url, status) = street.concentrator(listen, "dc", &own);
    page(&status, 2, |meter| kept(meter) > 0);
    wire.lead(Some(&url));
    // The head end reads the last rows of each itself, and nothing is delivered yet.
    street.configure(&wire.url, "", 0);
    let head_end = HeadEnd::start(&street, None);
    head_end.read();
    let told = page(&status, 2, |_| true);
    let newest = told["meters"][0]["newest_row"].as_i64().unwrap();
    let newest = newest - newest % 900;
    honest.stop();
    // Others take its place and its keys; their meters have the same names and other readings,
    // and there is one more, which is enrolled elsewhere.
    let forged = Street::new(3, 77);
    let at_home = [time(newest - 2_700), time(newest)];
    let recent = [at_home[0].as_str(), at_home[1].as_str()];
    let before: Vec<Value> = (1..=2)
        .map(|number| head_end.profile(number, recent))
        .collect();
    let token = head_end.token.clone();
    head_end.role.stop();
    street.configure(&wire.url, "", 1);
    let head_end = HeadEnd::start(&street, Some(token));
    let (thief, url, status) = forged.concentrator(listen, "dc", &own);
    page(&status, 3, |meter| kept(meter) > 80);
    wire.lead(Some(&url));
    until("conflicts are told", || {
        let told = (1..=2).all(|number| {
            let events = head_end.events(number);
            events.iter().any(|it| {
                it["title"] == "Its concentrator tells other readings than itself"
                    && it["source"] == "headend"
            })
        });
        told.then_some(())
    });
    page(&status, 3, |meter| {
        let other = meter["logical_device_name"].as_str().unwrap() == "GWD0000000000003";
        other || kept(meter) < 4
    });
    for (number, before) in (1..=2).zip(before) {
        // What was read stands as it stood, and what was told otherwise is listed.
        let after = head_end.profile(number, recent);
        let direct = |profile: &Value| -> Vec<Value> {
            let all = profile["intervals"].as_array().unwrap().iter();
            all.filter(|it| it["source"] == "direct" && it["import_wh"].is_number())
                .cloned()
                .collect()
        };
        assert!(!direct(&before).is_empty(), "{before}");
        for interval in direct(&before) {
            assert!(direct(&after).contains(&interval), "{interval} {after}");
        }
        assert!(
            !after["conflicts"].as_array().unwrap().is_empty(),
            "{after}"
        );
        // Nothing that it told shows as read from the meter.
        let (from, to) = (time(newest - 20 * 3_600), time(newest - 2 * 3_600));
        let earlier = head_end.profile(number, [&from, &to]);
        let all = earlier["intervals"].as_array().unwrap();
        assert!(all.len() > 60, "{earlier}");
        assert!(
            all.iter().all(|it| it["source"] == "concentrator"),
            "{earlier}"
        );
        // Its events and alarms are its own word, too.
        let events = head_end.events(number);
        assert!(
            events
                .iter()
                .all(|it| it["source"] != "meter" || it["via"].is_null())
        );
    }
    // The rows of a meter that is not its own stay where they are.
    let kept_there = page(&status, 3, |_| true);
    let third = kept_there["meters"]
        .as_array()
        .unwrap()
        .iter()
        .find(|meter| meter["logical_device_name"] == "GWD0000000000003");
    assert!(kept(third.unwrap()) > 80);
    head_end.role.stop();
    thief.stop();
    street.meters.stop();
    forged.meters.stop();
}

/// Requirement D2: the concentrator opens the connection. Its meters are read and delivered over
/// it; a new connection takes the place of an old one; who has not its keys gets nothing, however
/// often he knocks.
#[test]
fn a_concentrator_that_connects_is_known_by_its_keys() {
    let street = Street::new(2, 1);
    let endpoint = format!("dial://{NAME}");
    let more = "[headend.dial_in]\nlisten = [\"tcp://127.0.0.1:0\"]";
    let head_end = street.head_end(&endpoint, more);
    let place = head_end.dial_in.clone().unwrap();
    // Somebody with other keys says that he is it, before and while it is there.
    let wrong = street.at("wrong.toml");
    own_keys(&wrong);
    let (impostor, _, _) =
        street.concentrator(&format!("connect = \"{place}\""), "impostor", &wrong);
    // Others say nothing at all, or nonsense, from another address.
    let mut crowd = Vec::new();
    for number in 0..200 {
        let mut stream = from_elsewhere(&place);
        if number % 2 == 0 {
            drop(stream.write_all(&[0xA5; 64]));
        }
        crowd.push(stream);
    }
    let wan = format!("connect = \"{place}\"");
    let own = street.at("own.toml");
    let (concentrator, _, status) = street.concentrator(&wan, "dc", &own);
    head_end.read();
    let told = page(&status, 2, |meter| {
        kept(meter) < 4 && meter["newest_row"].is_i64()
    });
    let (from, to) = span(&told);
    let delivered = [from.as_str(), to.as_str()];
    for number in 1..=2 {
        check(&street, &head_end, number, delivered, "concentrator");
    }
    // The process dies, and another opens a connection anew.
    let mut concentrator = concentrator;
    concentrator.child.kill().unwrap();
    concentrator.child.wait().unwrap();
    drop(concentrator);
    let before = head_end.meter(1)["last_read"].clone();
    let (concentrator, _, _) = street.concentrator(&wan, "dc", &own);
    until("it is read again", || {
        let row = head_end.meter(1);
        (row["last_read"].is_string() && row["last_read"] != before).then_some(())
    });
    drop(crowd);
    head_end.role.stop();
    concentrator.stop();
    impostor.stop();
    street.meters.stop();
}

/// Connects from an address that is not the one of everybody else here.
fn from_elsewhere(place: &str) -> TcpStream {
    let place: std::net::SocketAddr = place.trim_start_matches("tcp://").parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let stream = socket.connect(place).await.unwrap().into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream
    })
}

/// An impostor alone gets nothing: no meter counts as read, and nothing is delivered.
#[test]
fn an_impostor_gets_nothing() {
    let street = Street::new(2, 1);
    let more = "[headend.dial_in]\nlisten = [\"tcp://127.0.0.1:0\"]";
    let head_end = street.head_end(&format!("dial://{NAME}"), more);
    let wrong = street.at("wrong.toml");
    own_keys(&wrong);
    let wan = format!("connect = \"{}\"", head_end.dial_in.clone().unwrap());
    let (impostor, _, status) = street.concentrator(&wan, "impostor", &wrong);
    page(&status, 2, |meter| kept(meter) > 90);
    head_end.fails_on();
    for number in 1..=2 {
        assert!(head_end.meter(number)["last_read"].is_null());
    }
    page(&status, 2, |meter| kept(meter) > 90);
    head_end.role.stop();
    impostor.stop();
    street.meters.stop();
}

/// Requirement D3, of connections from the other side: a list in which two meters are swapped
/// leads to no reading.
#[test]
fn a_list_that_lies_leads_to_no_reading_where_the_concentrator_connects() {
    let street = Street::new(2, 1);
    let more = "[headend.dial_in]\nlisten = [\"tcp://127.0.0.1:0\"]";
    let head_end = street.head_end(&format!("dial://{NAME}"), more);
    let lie = |_, up: bool, mut message: Vec<u8>| {
        if up && message[2..4] == [0, 1] {
            let names = [meter(1).into_bytes(), meter(2).into_bytes()];
            let length = names[0].len();
            for at in 0..message.len().saturating_sub(length - 1) {
                let found = &mut message[at..at + length];
                if found == names[0].as_slice() {
                    found.copy_from_slice(&names[1]);
                } else if found == names[1].as_slice() {
                    found.copy_from_slice(&names[0]);
                }
            }
        }
        vec![message]
    };
    let relay = Relay::new(&head_end.dial_in.clone().unwrap(), Box::new(lie));
    let wan = format!("connect = \"{}\"", relay.url);
    let own = street.at("own.toml");
    let (concentrator, _, status) = street.concentrator(&wan, "dc", &own);
    page(&status, 2, |meter| kept(meter) > 90);
    // It is known as what it is, and what it says of its meters leads nowhere.
    let address = status
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    until("it is connected", || {
        let (_, body) = get(&address, "/status.json", "");
        let status: Value = serde_json::from_str(&body).unwrap();
        (status["wan_connections"] == 1).then_some(())
    });
    head_end.fails_on();
    for number in 1..=2 {
        assert!(head_end.meter(number)["last_read"].is_null());
    }
    head_end.role.stop();
    concentrator.stop();
    street.meters.stop();
}
