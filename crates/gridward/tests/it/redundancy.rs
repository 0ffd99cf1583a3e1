//! Two concentrators before the same meters, with a head end, each a process: one is killed
//! (SIGKILL), the other goes on.
//!
//! Evidence: self-agreement from end to end over real sockets.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;

use crate::delivery::Wire;
use crate::demo::get;
use crate::firmware::processes::post;
use crate::program::run;
use crate::session::{Role, done, make_keys, path, rows_of, until};

const METERS: usize = 4;

fn own_name(number: usize) -> String {
    format!("GWD1DC000000000{number}")
}

/// Makes the authority of the pair, and a certificate for each; and what another authority gave
/// to somebody who says to be the second.
fn papers(folder: &Path) {
    authority(folder, "ca", &[("dc1", "dc1"), ("dc2", "dc2")]);
    authority(folder, "other", &[("dc2", "stranger")]);
}

fn authority(folder: &Path, name: &str, whom: &[(&str, &str)]) {
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = authority.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(authority, key);
    let put = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    put(&format!("{name}.pem"), certificate.pem());
    for (side, file) in whom {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![format!("{side}.example")]).unwrap();
        put(
            &format!("{file}.pem"),
            params.signed_by(&key, &issuer).unwrap().pem(),
        );
        put(&format!("{file}.key"), key.serialize_pem());
    }
}

/// Connects to where a concentrator waits for the other, with a certificate or without; tells
/// whether it says anything.
fn is_spoken_to(folder: &Path, address: &str, papers: Option<&str>) -> bool {
    let file = |name: String| folder.join(name);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(file("ca.pem".to_owned())).unwrap();
    roots.add(ca).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match papers {
        None => config.with_no_client_auth(),
        Some(name) => {
            let chain = CertificateDer::from_pem_file(file(format!("{name}.pem"))).unwrap();
            let key = PrivateKeyDer::from_pem_file(file(format!("{name}.key"))).unwrap();
            config.with_client_auth_cert(vec![chain], key).unwrap()
        }
    };
    let name = ServerName::try_from("dc1.example").unwrap();
    let mut session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    matches!(stream.read(&mut [0; 64]), Ok(1..))
}

/// Meters, keys, and what both concentrators are configured with.
struct Street {
    folder: tempfile::TempDir,
    meters: Option<Role>,
    meters_url: String,
    mode: &'static str,
    segments: String,
    /// Seconds after which one that is silent has lost its segments.
    lease_s: u8,
    /// Seconds that the head end waits for an answer.
    timeout_s: u8,
}

/// A running concentrator.
struct Dc {
    role: Role,
    url: String,
    page: String,
    pair: Option<String>,
}

impl Dc {
    fn kill(mut self) {
        self.role.child.kill().unwrap();
        self.role.child.wait().unwrap();
    }
}

impl Street {
    fn new(mode: &'static str, split: bool) -> Self {
        let ranges = if split {
            vec!["1-2".to_owned(), format!("3-{METERS}")]
        } else {
            vec![format!("1-{METERS}")]
        };
        Self::on(mode, "medium = \"ip\"", &ranges)
    }

    /// As told, on segments of a medium with its further settings.
    fn on(mode: &'static str, medium: &str, ranges: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| path(folder.path(), name);
        let count = METERS.to_string();
        let names = [own_name(1), own_name(2)];
        let owns = [("own1.toml", names[0].as_str()), ("own2.toml", &names[1])];
        make_keys(folder.path(), METERS, &owns);
        papers(folder.path());
        let mut meters = Role::start(&[
            "meter",
            "--listen",
            "tcp://127.0.0.1:0",
            "--count",
            &count,
            "--history",
            "2",
            "--keys",
            &at("keys.toml"),
        ]);
        let urls = (0..METERS).map(|_| meters.line()["endpoint"].as_str().unwrap().to_owned());
        let meters_url = urls.last().unwrap();
        let segment = |servers: &String| {
            format!(
                "[[concentrator.segment]]\n{medium}\n[[concentrator.segment.meter]]\n\
                 endpoint = \"{meters_url}\"\nservers = \"{servers}\"\n"
            )
        };
        let segments = ranges.iter().map(segment).collect();
        Self {
            folder,
            meters: Some(meters),
            meters_url,
            mode,
            segments,
            lease_s: 5,
            timeout_s: 3,
        }
    }

    fn at(&self, name: &str) -> String {
        path(self.folder.path(), name)
    }

    /// Starts one of the two; `listen` is where it is reached, `way` how the other is.
    fn start(&self, number: usize, listen: &str, way: &str) -> Dc {
        let own = format!("dc{number}");
        let config = format!(
            "[concentrator]\nname = \"{}\"\ndata = \"{}\"\nkeys = \"{}\"\n\
             [concentrator.collect]\nkeys = \"{}\"\nall = true\nevery_s = 2\nbackfill_days = 1\n\
             [concentrator.pair]\npeer = \"{}\"\nmode = \"{}\"\nlease_s = {}\n\
             {way}?ca={}&cert={}&key={}&name=dc{}.example\"\n\
             [[concentrator.wan]]\nlisten = \"{listen}\"\n{}",
            own_name(number),
            self.at(&own),
            self.at(&format!("own{number}.toml")),
            self.at("collector.toml"),
            own_name(3 - number),
            self.mode,
            self.lease_s,
            self.at("ca.pem"),
            self.at(&format!("{own}.pem")),
            self.at(&format!("{own}.key")),
            3 - number,
            self.segments,
        );
        let file = self.at(&format!("{own}.toml"));
        std::fs::write(&file, config).unwrap();
        let mut role = Role::start(&["concentrator", "--config", &file]);
        let line = role.line();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Dc {
            role,
            url: text(&line["endpoints"][0]).unwrap(),
            page: text(&line["status"]).unwrap(),
            pair: text(&line["pair"]),
        }
    }

    /// Starts both; tells where the first listens for the second, without its certificates.
    fn both(&self) -> (Dc, Dc, String) {
        let any = "tcp://127.0.0.1:0";
        let first = self.start(1, any, "listen = \"tls://127.0.0.1:0");
        let pair = first.pair.clone().unwrap();
        let pair = pair.split('?').next().unwrap().to_owned();
        let second = self.start(2, any, &format!("connect = \"{pair}"));
        (first, second, pair)
    }

    /// Reads a meter's name through a concentrator, under the meter's own keys.
    fn read(&self, url: &str, name: &str, sap: u64) -> crate::program::Run {
        let (sap, keys, state) = (sap.to_string(), self.at("keys.toml"), self.at("state"));
        let mut all = vec!["read", url, "0-0:42.0.0", "--server", &sap, "--keys", &keys];
        all.extend([
            "--meter",
            name,
            "--state",
            &state,
            "--timeout",
            "2",
            "--json",
        ]);
        run(&all)
    }

    /// Reads one meter until that succeeds; tells how long it took and how often it was tried.
    #[expect(clippy::disallowed_methods, reason = "a wait for processes has an end")]
    fn resumes(&self, url: &str, name: &str, sap: u64) -> (Duration, u32) {
        let begun = Instant::now();
        for tries in 1.. {
            let read = self.read(url, name, sap);
            if read.status == 0 {
                assert_eq!(read.json()[0]["text"], name);
                return (begun.elapsed(), tries);
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "{}", read.error);
            thread::sleep(Duration::from_millis(100));
        }
        unreachable!()
    }
}

/// The SAP table of a concentrator, once all meters are there.
fn saps_of(dc: &Dc) -> BTreeMap<String, u64> {
    table(&until(&dc.page, |status| there(status) == METERS))
}

/// The SAP table that a status page shows.
fn table(status: &Value) -> BTreeMap<String, u64> {
    let meters = status["meters"].as_array().unwrap().iter();
    meters
        .map(|meter| {
            let name = meter["logical_device_name"].as_str().unwrap().to_owned();
            (name, meter["sap"].as_u64().unwrap())
        })
        .collect()
}

fn epoch(status: &Value) -> u64 {
    status["pair"]["epoch"].as_u64().unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the head end's record has the time of day"
)]
fn now() -> model::Timestamp {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    model::Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap())
}

fn there(status: &Value) -> usize {
    let meters = status["meters"].as_array().unwrap().iter();
    meters.filter(|meter| meter["there"] == true).count()
}

fn holds(status: &Value, segments: &[u64]) -> bool {
    let held = status["pair"]["held_segments"].as_array().unwrap();
    let held: Vec<u64> = held.iter().map(|it| it.as_u64().unwrap()).collect();
    held == segments
}

fn in_step(status: &Value) -> bool {
    status["pair"]["in_step"] == true
}

/// All meters have a day's rows.
fn full(status: &Value) -> bool {
    let meters = status["meters"].as_array().unwrap();
    let rows = |meter: &Value| meter["rows"].as_u64().unwrap_or(0) > 90;
    meters.len() == METERS && meters.iter().all(rows)
}

/// Requirement D11, standby.
#[test]
fn the_standby_goes_on_when_the_active_one_is_killed() {
    let street = Street::new("standby", false);
    let (first, second, pair) = street.both();
    let saps = saps_of(&first);
    // The standby knows all of it, and has asked no meter.
    let status = until(&second.page, |it| in_step(it) && full(it));
    assert!(holds(&status, &[]));
    assert_eq!(status["forwarded"]["down"], 0);
    assert_eq!(there(&status), 0);
    let name = "GWD0000000000001";
    let sap = saps[name];
    // Whoever asks the wrong one is told so by the end of the connection.
    assert_eq!(street.read(&second.url, name, sap).status, 1);

    // A head end with both ways; it is in the midst of its first round.
    let head_end = HeadEnd::start(&street, &format!("{} {}", first.url, second.url), &saps);
    head_end.some_read(1);
    let first_url = first.url.clone();
    let killed = now();
    first.kill();
    head_end.reads_all_after(killed);
    let status = until(&second.page, |it| holds(it, &[0]) && there(it) == METERS);
    assert_eq!(status["pair"]["takeovers"], 1);
    assert_eq!(saps_of(&second), saps, "no meter has another SAP");
    head_end.some_read(METERS);
    head_end.has_what_meters_hold(&street, &saps);

    // It goes on reading by itself, where the first left off.
    let rounds = status["collection"]["rounds"].as_u64().unwrap();
    until(&second.page, |it| {
        it["collection"]["rounds"].as_u64().unwrap() > rounds + 8
    });
    street.kept_once(&second, 2, &saps);

    // The first comes back and waits; then it is the other way round.
    let listen = first_url;
    let first = street.start(1, &listen, &format!("listen = \"{pair}"));
    let status = until(&first.page, |it| in_step(it) && full(it));
    assert!(holds(&status, &[]));
    assert_eq!(table(&status), saps);
    let killed = now();
    second.kill();
    head_end.reads_all_after(killed);
    let (took, tries) = street.resumes(&first.url, name, sap);
    println!(
        "and back {:.1} s after the kill, at try {tries}",
        took.as_secs_f64()
    );
    assert_eq!(saps_of(&first), saps);
    street.kept_once(&first, 1, &saps);
    head_end.role.stop();
    first.role.stop();
    street.meters.unwrap().stop();
}

/// The active one of two before the meters of a power line is killed in the midst of a head end's
/// round. The line's meters stay registered: the other was told how they are.
fn the_line_is_taken_over(street: &Street) {
    let (first, second, _) = street.both();
    let saps = saps_of(&first);
    let status = until(&second.page, |it| in_step(it) && full(it));
    assert_eq!((there(&status), &table(&status)), (0, &saps));
    registrations_are_known(&second);
    let head_end = HeadEnd::start(street, &format!("{} {}", first.url, second.url), &saps);
    head_end.some_read(1);
    let killed = now();
    first.kill();
    head_end.reads_all_after(killed);
    let status = until(&second.page, |it| holds(it, &[0]) && there(it) == METERS);
    assert_eq!(status["pair"]["takeovers"], 1);
    assert_eq!(
        status["pair"]["adopted"], METERS,
        "a meter was searched for"
    );
    assert_eq!(table(&status), saps, "no meter has another SAP");
    // Nothing is lost and nothing is doubled, at the head end and at the one that goes on.
    head_end.has_what_meters_hold(street, &saps);
    head_end.has_no_conflicts();
    let rounds = status["collection"]["rounds"].as_u64().unwrap();
    until(&second.page, |it| {
        it["collection"]["rounds"].as_u64().unwrap() > rounds + 4
    });
    street.kept_once(&second, 2, &saps);
    head_end.role.stop();
    second.role.stop();
}

/// Waits until one that stands by knows how all meters are registered with the other.
fn registrations_are_known(dc: &Dc) {
    until(&dc.page, |it| it["pair"]["registrations"] == METERS);
}

fn all_of_them() -> [String; 1] {
    [format!("1-{METERS}")]
}

/// A power line whose time goes faster than the clock's.
const LINE: &str = "medium = \"s-fsk\"\nspeed = 200\ncredit = 1";

/// Requirement D11 on a power line.
#[test]
fn a_power_line_is_taken_over_with_nothing_lost_or_doubled() {
    let street = Street::on("standby", LINE, &all_of_them());
    the_line_is_taken_over(&street);
    street.meters.unwrap().stop();
}

/// Requirement D11, both active.
#[test]
fn both_work_and_one_takes_all_when_the_other_is_killed() {
    let street = Street::new("active", true);
    let (first, second, pair) = street.both();
    until(&first.page, |it| {
        in_step(it) && holds(it, &[0]) && there(it) == 2
    });
    until(&second.page, |it| {
        in_step(it) && holds(it, &[1]) && there(it) == 2 && full(it)
    });
    let status = until(&first.page, full);
    let meters = status["meters"].as_array().unwrap().clone();
    let saps = table(&status);
    let head_end = HeadEnd::start(&street, &format!("{} {}", first.url, second.url), &saps);
    head_end.some_read(METERS);
    let listen = first.url.clone();
    let gone = meters.iter().find(|it| it["there"] == true).unwrap();
    let name = gone["logical_device_name"].as_str().unwrap();
    let killed = now();
    first.kill();
    head_end.reads_all_after(killed);
    let (took, tries) = street.resumes(&second.url, name, saps[name]);
    println!(
        "reads resume {:.1} s after the kill, at try {tries}",
        took.as_secs_f64()
    );
    until(&second.page, |it| holds(it, &[0, 1]) && there(it) == METERS);
    head_end.has_what_meters_hold(&street, &saps);
    street.kept_once(&second, 2, &saps);
    // Once the first is back and has caught up, each has its own again.
    let first = street.start(1, &listen, &format!("listen = \"{pair}"));
    until(&first.page, |it| holds(it, &[0]) && there(it) == 2);
    until(&second.page, |it| holds(it, &[1]) && in_step(it));
    let status = until(&first.page, full);
    assert_eq!(status["meters"].as_array().unwrap().len(), METERS);
    head_end.role.stop();
    first.role.stop();
    second.role.stop();
    street.meters.unwrap().stop();
}

/// Requirement D11: the line between the two is cut while the head end reaches both, strangers
/// want to be the other, and both lose their supply.
#[test]
fn a_cut_between_them_doubles_nothing_and_strangers_are_not_heard() {
    let street = Street::new("standby", false);
    let any = "tcp://127.0.0.1:0";
    let first = street.start(1, any, "listen = \"tls://127.0.0.1:0");
    let pair = first.pair.clone().unwrap();
    let pair = pair.split('?').next().unwrap().to_owned();
    let address = pair.trim_start_matches("tls://");
    let wire = Wire::new();
    wire.lead(Some(address));
    let way = format!("connect = \"{}", wire.url.replace("tcp://", "tls://"));
    let second = street.start(2, any, &way);
    let saps = saps_of(&first);
    let status = until(&second.page, |it| in_step(it) && full(it));
    assert_eq!(table(&status), saps);

    // A head end that takes from both what they collect, and reads by itself.
    let delivered: String = [&first, &second]
        .into_iter()
        .zip(1..)
        .map(|(dc, number)| {
            format!(
                "[[headend.concentrator]]\nendpoint = \"{}\"\nname = \"{}\"\nkeys = \"{}\"\n\
                 every_s = 1\ncollect_s = 1\n",
                dc.url,
                own_name(number),
                street.at(&format!("own{number}.toml")),
            )
        })
        .collect();
    let ways = format!("{} {}", first.url, second.url);
    let head_end = HeadEnd::with(&street, &ways, &saps, &delivered);
    head_end.some_read(METERS);

    let cut = now();
    wire.lead(None);
    let other = until(&second.page, |it| holds(it, &[0]) && there(it) == METERS);
    let one = until(&first.page, |it| it["pair"]["in_contact"] == false);
    assert!(holds(&one, &[0]));
    assert!(epoch(&other) > epoch(&one));
    assert_eq!((table(&one), table(&other)), (saps.clone(), saps.clone()));
    head_end.reads_all_after(cut);
    // Whoever has no certificate of theirs is told nothing, and does not become the other.
    for papers in [None, Some("stranger")] {
        assert!(!is_spoken_to(street.folder.path(), address, papers));
    }
    assert!(is_spoken_to(street.folder.path(), address, Some("dc2")));
    until(&first.page, |it| it["pair"]["in_contact"] == false);

    // The lower epoch lets go.
    wire.lead(Some(address));
    until(&first.page, |it| in_step(it) && holds(it, &[]));
    let status = until(&second.page, |it| in_step(it) && holds(it, &[0]));
    assert_eq!(table(&status), saps);
    head_end.reads_all_after(now());
    head_end.has_what_meters_hold(&street, &saps);
    head_end.has_no_conflicts();

    // Both are killed; who is home begins.
    let urls = [first.url.clone(), second.url.clone()];
    let (before, after) = (epoch(&status), now());
    first.kill();
    second.kill();
    let first = street.start(1, &urls[0], &format!("listen = \"{pair}"));
    let second = street.start(2, &urls[1], &way);
    let status = until(&first.page, |it| holds(it, &[0]) && there(it) == METERS);
    assert!(epoch(&status) > before);
    assert_eq!(table(&status), saps);
    let status = until(&second.page, |it| in_step(it) && holds(it, &[]));
    assert_eq!(table(&status), saps);
    head_end.reads_all_after(after);
    head_end.has_what_meters_hold(&street, &saps);
    head_end.role.stop();
    first.role.stop();
    second.role.stop();
    street.meters.unwrap().stop();
}

/// Requirement D11: the standby is given the meters by an order over the API, and gives them back
/// by one over DLMS. Reads go on, nothing is lost and nothing is doubled; who may not, and who
/// comes late, changes nothing.
#[test]
fn the_meters_change_hands_by_order() {
    change_hands(Street::new("standby", false), 0);
}

/// As before on a power line: there and back again nobody is searched for.
#[test]
fn the_meters_of_a_power_line_change_hands_by_order() {
    change_hands(Street::on("standby", LINE, &all_of_them()), METERS);
}

/// Has meters change hands, and back; tells of each time that so many stay registered.
fn change_hands(street: Street, stay: usize) {
    let (first, second, _) = street.both();
    let saps = saps_of(&first);
    until(&second.page, |it| {
        in_step(it) && full(it) && it["pair"]["registrations"] == stay
    });
    let concentrators: String = [(&first, 1), (&second, 2)]
        .into_iter()
        .map(|(dc, number)| {
            format!(
                "[[headend.concentrator]]\nendpoint = \"{}\"\nname = \"{}\"\nkeys = \"{}\"\n\
                 every_s = 1\ncollect_s = 1\nstatus_s = 1\n",
                dc.url,
                own_name(number),
                street.at(&format!("own{number}.toml")),
            )
        })
        .collect();
    let orders = "[headend.orders]\narmed_s = 0\n";
    let ways = format!("{} {}", first.url, second.url);
    let head_end = HeadEnd::with(&street, &ways, &saps, &format!("{orders}{concentrators}"));
    head_end.some_read(METERS);
    let active = head_end.concentrator(1, "ready");
    let standby = head_end.concentrator(2, "standby");
    assert_eq!(active["pair"]["peer"], own_name(2).as_str());
    assert_eq!(active["pair"]["peer_id"], standby["id"]);
    assert_eq!(standby["state_text"], "Stands by");

    // The standby has nothing to give.
    let (code, refused) = head_end.switch_over(&standby, 2);
    assert_eq!(
        (code, &refused["error"]["code"]),
        (409, &"no_standby".into())
    );
    let before = until(&first.page, |it| holds(it, &[0]));
    let (code, order) = head_end.switch_over(&active, 1);
    let ordered = now();
    assert_eq!(code, 202, "{order}");
    let order = head_end.ended(&order);
    assert_eq!(order["state"], "done", "{order}");
    assert_eq!(order["read_back"]["text"], own_name(2).as_str());
    assert_eq!(order["kind"], "switchover");
    let status = until(&second.page, |it| holds(it, &[0]) && there(it) == METERS);
    assert!(epoch(&status) > epoch(&before));
    // Nobody was silent for that.
    assert_eq!(status["pair"]["takeovers"], 0);
    assert_eq!(status["pair"]["adopted"], stay);
    assert_eq!(saps_of(&second), saps, "no meter has another SAP");
    until(&first.page, |it| in_step(it) && holds(it, &[]));
    head_end.reads_all_after(ordered);
    head_end.concentrator(2, "ready");
    head_end.concentrator(1, "standby");
    head_end.has_what_meters_hold(&street, &saps);
    head_end.has_no_conflicts();
    head_end.role.stop();

    // Back again, by hand: not without keys, not in another epoch, not to anybody else.
    let (url, object) = (second.url.as_str(), "0-0:128.0.14");
    let (own, state) = (street.at("own2.toml"), street.at("state"));
    let keyed = ["--keys", &own, "--state", &state, "--json"];
    let write = |value: String, more: &[&str]| {
        let all = [&["write", url, object, value.as_str()], more].concat();
        run(&all).status
    };
    let to = |name: String, epoch: u64| format!("{{\"{name}\", u64:{epoch}}}");
    let current = epoch(&status);
    assert_ne!(write(to(own_name(1), current), &[]), 0);
    assert_ne!(write(to(own_name(1), epoch(&before)), &keyed), 0);
    assert_ne!(write(to(own_name(3), current), &keyed), 0);
    until(&first.page, |it| it["pair"]["registrations"] == stay);
    let status = until(&second.page, in_step);
    assert!(holds(&status, &[0]) && epoch(&status) == current);
    assert_eq!(write(to(own_name(1), current), &keyed), 0);
    let status = until(&first.page, |it| holds(it, &[0]) && there(it) == METERS);
    assert_eq!(status["pair"]["adopted"], stay);
    until(&second.page, |it| in_step(it) && holds(it, &[]));
    assert_eq!(saps_of(&first), saps);
    let name = "GWD0000000000001";
    street.resumes(&first.url, name, saps[name]);
    street.meters.unwrap().stop();
    first.role.stop();
    second.role.stop();
}

/// A head end whose meters have two ways.
struct HeadEnd {
    role: Role,
    url: String,
    token: String,
}

impl HeadEnd {
    fn start(street: &Street, ways: &str, saps: &BTreeMap<String, u64>) -> Self {
        Self::with(street, ways, saps, "")
    }

    fn with(street: &Street, ways: &str, saps: &BTreeMap<String, u64>, more: &str) -> Self {
        let mut enrolment = String::from("logical_device_name,endpoint,server,client\n");
        for (name, sap) in saps {
            enrolment.push_str(&format!("{name},{ways},{sap},1\n"));
        }
        std::fs::write(street.at("meters.csv"), enrolment).unwrap();
        let config = format!(
            "[headend]\nenrolment = \"{}\"\nkeys = \"{}\"\n\
             [headend.collector]\nhistory_days = 1\nevery_s = 10\nretry_first_s = 1\n\
             retry_longest_s = 2\ntimeout_s = {}\nconcurrency = 1\n{more}",
            street.at("meters.csv"),
            street.at("keys.toml"),
            street.timeout_s,
        );
        std::fs::write(street.at("headend.toml"), config).unwrap();
        let mut role = Role::start(&[
            "headend",
            "--config",
            &street.at("headend.toml"),
            "--data",
            &street.at("headend"),
            "--listen",
            "127.0.0.1:0",
        ]);
        let line = role.line();
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        let (url, token) = (text("url"), text("token"));
        Self { role, url, token }
    }

    fn body(&self, path: &str) -> Value {
        let (_, body) = get(&self.url, path, &self.token);
        let (start, end) = (body.find('{').unwrap(), body.rfind('}').unwrap());
        serde_json::from_str(&body[start..=end]).unwrap()
    }

    fn rows(&self) -> Vec<Value> {
        self.body("/api/v1/meters")["rows"]
            .as_array()
            .unwrap()
            .clone()
    }

    /// One of the two concentrators, once its pair is said to be so.
    fn concentrator(&self, number: usize, state: &str) -> Value {
        let name = own_name(number);
        let mut rows = Vec::new();
        for _ in 0..2_400 {
            let list = self.body("/api/v1/concentrators");
            rows.clone_from(list["rows"].as_array().unwrap());
            let found = rows.iter().find(|it| it["name"] == name.as_str());
            if let Some(found) = found.filter(|it| it["pair"]["state"] == state) {
                return found.clone();
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("{name} is never {state}: {rows:?}");
    }

    /// Orders a concentrator to hand over to the other.
    fn switch_over(&self, concentrator: &Value, number: usize) -> (u16, Value) {
        let id = concentrator["id"].as_str().unwrap();
        let path = format!("/api/v1/concentrators/{id}/switchover");
        let dry = self.body(&path);
        assert_eq!(dry["confirm"], own_name(number).as_str());
        let order = serde_json::json!({
            "reason": "Work on the feeder's fuses on Monday",
            "confirm": dry["confirm"],
            "as_of": dry["as_of"],
        });
        post(&self.url, &path, &self.token, &order)
    }

    /// Waits for the end of an order.
    fn ended(&self, order: &Value) -> Value {
        let path = format!("/api/v1/orders/{}", order["number"]);
        for _ in 0..2_400 {
            let order = self.body(&path);
            if !order["ended"].is_null() {
                return order;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("{order}");
    }

    fn some_read(&self, count: usize) {
        for _ in 0..2_400 {
            let read = self
                .rows()
                .iter()
                .filter(|row| row["last_read"].is_string())
                .count();
            if read >= count {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("{:?}", self.rows());
    }

    /// Waits until it has read every meter since, by its own record, and tells when.
    #[expect(clippy::print_stdout, reason = "a figure for who asks for it")]
    fn reads_all_after(&self, since: model::Timestamp) {
        for _ in 0..2_400 {
            let rows = self.rows();
            let read = |row: &Value| headend::parse_rfc3339(row["last_read"].as_str()?);
            let read: Vec<_> = rows.iter().filter_map(read).collect();
            if read.len() == METERS && read.iter().all(|at| *at > since) {
                let after = |at: Option<&model::Timestamp>| at.unwrap().millis_since(since);
                println!(
                    "the head end's record: the first meter {} ms, the last {} ms after",
                    after(read.iter().min()),
                    after(read.iter().max()),
                );
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("{:?}", self.rows());
    }

    /// What two concentrators told of a meter is what it tells itself.
    fn has_no_conflicts(&self) {
        for row in self.rows() {
            let id = row["id"].as_str().unwrap();
            let to = now().plus_secs(-900);
            let (from, to) = (to.plus_secs(-20 * 3_600), to);
            let (from, to) = (headend::rfc3339(from), headend::rfc3339(to));
            let path = format!("/api/v1/meters/{id}/profile?from={from}&to={to}");
            let profile = self.body(&path);
            assert_eq!(profile["conflicts"].as_array().unwrap().len(), 0);
            let times = profile["intervals"].as_array().unwrap().iter();
            let times: Vec<&str> = times.map(|it| it["t"].as_str().unwrap()).collect();
            assert!(times.windows(2).all(|two| two[0] < two[1]), "{times:?}");
        }
    }

    /// Compares what is stored of each meter with what the meter itself holds.
    fn has_what_meters_hold(&self, street: &Street, saps: &BTreeMap<String, u64>) {
        for (server, name) in (1..).zip(saps.keys()) {
            let rows = self.rows();
            let row = rows.iter().find(|row| row["name"] == *name).unwrap();
            let id = row["id"].as_str().unwrap();
            let to = now().secs() / 900 * 900 - 900;
            let from = to - 80 * 900;
            let time = |at| headend::rfc3339(model::Timestamp::from_secs(at));
            let path = format!(
                "/api/v1/meters/{id}/profile?from={}&to={}",
                time(from),
                time(to)
            );
            let stored = self.body(&path);
            assert_eq!(stored["gaps"].as_array().unwrap().len(), 0, "{stored}");
            let stored: Vec<i64> = stored["intervals"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it["import_wh"].as_i64().unwrap())
                .collect();
            let held = street.held(server, name, from, to);
            let registers: Vec<i64> = held
                .iter()
                .map(|row| row["1-0:1.8.0"].as_i64().unwrap())
                .collect();
            let measured: Vec<i64> = registers.windows(2).map(|two| two[1] - two[0]).collect();
            assert_eq!(stored.len(), 80);
            assert_eq!(stored, measured, "{name}");
        }
    }
}

impl Street {
    /// The rows that a meter itself holds, read from it directly.
    fn held(&self, server: u16, name: &str, from: i64, to: i64) -> Vec<Value> {
        let time = |at| headend::rfc3339(model::Timestamp::from_secs(at));
        let (server, keys, state) = (server.to_string(), self.at("keys.toml"), self.at("state"));
        let (from, to) = (time(from), time(to));
        let mut all = vec![
            "read",
            &self.meters_url,
            "1-0:99.1.0",
            "--profile",
            "--json",
        ];
        all.extend([
            "--from", &from, "--to", &to, "--server", &server, "--keys", &keys,
        ]);
        all.extend(["--meter", name, "--state", &state]);
        rows_of(&done(run(&all)).json())
    }

    /// What a concentrator keeps of each meter is what that holds, each row once.
    fn kept_once(&self, dc: &Dc, number: usize, saps: &BTreeMap<String, u64>) {
        let status = until(&dc.page, full);
        for (server, (name, sap)) in (1..).zip(saps) {
            let meters = status["meters"].as_array().unwrap();
            let meter = meters
                .iter()
                .find(|it| it["logical_device_name"] == **name)
                .unwrap();
            // The event log's newest row may be newer than the load profile's.
            let to = meter["newest_row"].as_i64().unwrap() / 900 * 900 - 900;
            let from = to - 80 * 900;
            let time = |at| headend::rfc3339(model::Timestamp::from_secs(at));
            let object = format!("0-0:129.{}.{}", sap >> 8, sap & 0xFF);
            let (own, state) = (self.at(&format!("own{number}.toml")), self.at("state"));
            let (begin, end) = (time(from), time(to));
            let mut all = vec!["read", &dc.url, &object, "--profile", "--json"];
            all.extend([
                "--from", &begin, "--to", &end, "--keys", &own, "--state", &state,
            ]);
            let kept = rows_of(&done(run(&all)).json());
            assert!(kept.len() > 70, "{}", kept.len());
            assert_eq!(kept, self.held(server, name, from, to), "{name}");
        }
    }
}
