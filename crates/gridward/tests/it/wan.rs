//! The WAN of a concentrator that opens the connection itself: TLS with certificates of both sides,
//! certificates that do not fit, and windows; and one of several ways that is cut. Each party is a
//! process.
//!
//! Evidence: self-agreement from end to end over real sockets; TLS is rustls on both sides.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::delivery::{HeadEnd, NAME, Street, Wire, check, kept, page, span, until};
use crate::demo::get;
use crate::session::Role;

/// A certificate authority in a folder.
struct Authority {
    folder: tempfile::TempDir,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        let of = rcgen::DnType::CommonName;
        params.distinguished_name.push(of, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self {
            folder,
            issuer: rcgen::Issuer::new(params, key),
        }
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn ca(&self) -> String {
        self.at("ca.pem")
    }

    /// Issues a certificate that is good until the first day of a year; gives what an endpoint
    /// says of it.
    fn issue(&self, name: &str, until: i32) -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        let at = |end: &str| self.at(&format!("{name}-{until}.{end}"));
        std::fs::write(at("pem"), signed.pem()).unwrap();
        std::fs::write(at("key"), key.serialize_pem()).unwrap();
        format!("cert={}&key={}", at("pem"), at("key"))
    }
}

const HEAD_END: &str = "headend.example";
const LONG: i32 = 4_096;
const OVER: i32 = 2_020;

/// Where a head end listens, without what it listens with.
fn place(head_end: &HeadEnd) -> String {
    let listening = head_end.dial_in.clone().unwrap();
    let (place, _) = listening.split_once('?').unwrap_or((&listening, ""));
    place.to_owned()
}

fn dial_in(listen: &str) -> String {
    format!("[headend.dial_in]\nlisten = [\"{listen}\"]")
}

/// Requirement D14: both sides prove themselves to TLS, and then to each other's keys; meters are
/// read and rows delivered over that.
#[test]
fn over_tls_both_sides_show_certificates_and_all_goes_through() {
    let authority = Authority::new("ours");
    let ca = authority.ca();
    let street = Street::new(2, 1);
    let own = authority.issue(HEAD_END, LONG);
    let listen = format!("tls://127.0.0.1:0?ca={ca}&{own}");
    let head_end = street.head_end(&format!("dial://{NAME}"), &dial_in(&listen));
    let certificate = authority.issue("dc.example", LONG);
    let wan = format!(
        "connect = \"{}?ca={ca}&{certificate}&name={HEAD_END}\"",
        place(&head_end)
    );
    let (concentrator, _, status) = street.concentrator(&wan, "dc", &street.at("own.toml"));
    head_end.read();
    let told = page(&status, 2, |meter| {
        kept(meter) < 4 && meter["newest_row"].is_i64()
    });
    let (from, to) = span(&told);
    for number in 1..=2 {
        check(&street, &head_end, number, [&from, &to], "concentrator");
    }
    head_end.role.stop();
    concentrator.stop();
    street.meters.stop();
}

/// A concentrator without meters, and what it logs.
fn lonely(street: &Street, number: usize, connect: &str) -> (Role, PathBuf) {
    let config = format!(
        "[concentrator]\nname = \"{NAME}\"\ndata = \"{}\"\nkeys = \"{}\"\n\
         [[concentrator.wan]]\nconnect = \"{connect}\"\n",
        street.at(&format!("lonely-{number}")),
        street.at("own.toml"),
    );
    let file = street.at(&format!("lonely-{number}.toml"));
    std::fs::write(&file, config).unwrap();
    let log = PathBuf::from(street.at(&format!("lonely-{number}.log")));
    let mut role = Role::start_logged(&["concentrator", "--config", &file], &log);
    role.line();
    (role, log)
}

/// Waits until a log says all of this.
fn says(log: &Path, words: &[&str]) {
    until(&format!("{}: {words:?}", log.display()), || {
        let text = std::fs::read_to_string(log).unwrap();
        words.iter().all(|word| text.contains(word)).then_some(())
    });
}

/// Whatever is wrong with a certificate, each side that can know says what, and what to do.
#[test]
fn certificates_that_do_not_fit_are_told_with_what_to_do() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    // Somebody's who takes the name of ours.
    let false_one = Authority::new("ours");
    let (ca, other_ca) = (ours.ca(), others.ca());
    let street = Street::new(1, 1);
    let start = |listen: &str, log: &str| {
        street.configure(&format!("dial://{NAME}"), &dial_in(listen), 1);
        let log = PathBuf::from(street.at(log));
        let start = |arguments: &[&str]| Role::start_logged(arguments, &log);
        let head_end = HeadEnd::start_with(&street, None, start);
        (head_end, log)
    };
    let (good, old) = (
        ours.issue("dc.example", LONG),
        ours.issue("dc.example", OVER),
    );
    let foreign = others.issue("dc.example", LONG);
    let forged = false_one.issue("dc.example", LONG);
    let listen = format!("tls://127.0.0.1:0?ca={ca}&{}", ours.issue(HEAD_END, LONG));
    let (head_end, log) = start(&listen, "headend.log");
    let at = place(&head_end);
    let mut number = 0;
    let mut connect = |place: &str, rest: &str| {
        number += 1;
        lonely(&street, number, &format!("{place}?{rest}"))
    };
    // What is wrong with a concentrator's own, the head end sees first.
    let (none, told) = connect(&at, &format!("ca={ca}&name={HEAD_END}"));
    says(&told, &["wants a certificate of this side: give cert=FILE"]);
    says(&log, &["showed no certificate: it must be given one"]);
    none.stop();
    let cases = [
        (
            format!("ca={ca}&{old}&name={HEAD_END}"),
            "says that the certificate of this side has expired",
        ),
        (
            format!("ca={ca}&{foreign}&name={HEAD_END}"),
            "does not trust who signed the certificate of this side",
        ),
        (
            format!("ca={ca}&{forged}&name={HEAD_END}"),
            "does not trust who signed the certificate of this side",
        ),
        (
            format!("ca={other_ca}&{good}&name={HEAD_END}"),
            "not signed by the authority in ca=: name the file",
        ),
        (
            format!("ca={ca}&{good}&name=other.example"),
            "not for other.example: if that is whom you mean",
        ),
        (
            format!("ca={ca}&cert={}&name={HEAD_END}", ours.at("ca.pem")),
            "cert= and key= belong together",
        ),
        (
            format!("ca={}&{good}&name={HEAD_END}", ours.at("none.pem")),
            "none.pem",
        ),
    ];
    let roles: Vec<_> = cases
        .iter()
        .map(|(rest, words)| (connect(&at, rest), words))
        .collect();
    for ((role, told), words) in roles {
        says(&told, &[words]);
        role.stop();
    }
    // Nobody of these was let in.
    assert!(head_end.meter(1)["last_read"].is_null());
    head_end.role.stop();
    std::fs::remove_dir_all(street.at("data")).unwrap();
    // A head end whose own is over, and one that speaks no TLS.
    let listen = format!("tls://127.0.0.1:0?ca={ca}&{}", ours.issue(HEAD_END, OVER));
    let (head_end, log) = start(&listen, "expired.log");
    let rest = format!("ca={ca}&{good}&name={HEAD_END}");
    let (role, told) = connect(&place(&head_end), &rest);
    says(
        &told,
        &["certificate of the peer has expired", "days ago: renew it"],
    );
    says(
        &log,
        &["says that the certificate of this side has expired"],
    );
    role.stop();
    head_end.role.stop();
    std::fs::remove_dir_all(street.at("data")).unwrap();
    let (head_end, _) = start("tcp://127.0.0.1:0", "plain.log");
    let (role, told) = connect(&place(&head_end).replace("tcp:", "tls:"), &rest);
    says(&told, &["check the scheme and the port"]);
    role.stop();
    head_end.role.stop();
    street.meters.stop();
}

fn connections(status: &str) -> u64 {
    let address = status.trim_start_matches("http://").trim_end_matches('/');
    let (_, body) = get(address, "/status.json", "");
    let status: Value = serde_json::from_str(&body).unwrap();
    status["wan_connections"].as_u64().unwrap()
}

/// Requirement D2: a concentrator that is there in windows only. Everything waits for the next one,
/// and nothing is lost between them.
#[test]
fn in_windows_it_comes_delivers_and_goes_again() {
    let street = Street::new(2, 1);
    let endpoint = format!("dial://{NAME}");
    let head_end = street.head_end(&endpoint, &dial_in("tcp://127.0.0.1:0"));
    let wan = format!(
        "connect = \"{}\"\nevery_s = 15\nstay_s = 9",
        place(&head_end)
    );
    let (concentrator, _, status) = street.concentrator(&wan, "dc", &street.at("own.toml"));
    // When each meter was read last.
    let read = || {
        [1, 2].map(|number| {
            let at = head_end.meter(number)["last_read"].clone();
            at.as_str().unwrap_or_default().to_owned()
        })
    };
    for _ in 0..2 {
        let before = read();
        until("a window opens", || {
            (connections(&status) == 1).then_some(())
        });
        // A busy machine may take more than one.
        until("both meters are read in a window", || {
            let now = read();
            let later = now.iter().zip(&before).all(|(now, before)| now > before);
            later.then_some(())
        });
        until("the window closes", || {
            (connections(&status) == 0).then_some(())
        });
    }
    let told = page(&status, 2, |meter| {
        kept(meter) < 4 && meter["newest_row"].is_i64()
    });
    let (from, to) = span(&told);
    for number in 1..=2 {
        check(&street, &head_end, number, [&from, &to], "concentrator");
    }
    head_end.role.stop();
    concentrator.stop();
    street.meters.stop();
}

/// Requirement D9: a head end that looks at a concentrator goes on over its other way when one is
/// cut, and comes back; what each side found is told.
#[test]
fn it_is_told_over_which_way_a_head_end_comes() {
    let street = Street::new(1, 1);
    let [fibre, lte] = [Wire::new(), Wire::new()];
    let listen =
        |name: &str| format!("name = \"{name}\"\nlisten = \"tcp://127.0.0.1:0\"\nquiet_s = 3");
    let wan = format!(
        "{}\n[[concentrator.wan]]\n{}",
        listen("Fibre"),
        listen("LTE")
    );
    let (concentrator, url, status) = street.concentrator(&wan, "dc", &street.at("own.toml"));
    let address = status.trim_start_matches("http://").trim_end_matches('/');
    let (_, body) = get(address, "/status.json", "");
    let own: Value = serde_json::from_str(&body).unwrap();
    fibre.lead(Some(&url));
    lte.lead(own["ways"][1]["place"].as_str());
    street.configure(&fibre.url, "", 0);
    let file = street.at("headend.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        format!("{config}status_s = 1\nalso = [\"{}\"]\n", lte.url),
    )
    .unwrap();
    let head_end = HeadEnd::start(&street, None);
    let told = |why: &str, what: fn(&Value) -> bool| {
        until(why, || {
            let list = head_end.json("/api/v1/concentrators");
            let id = list["rows"][0]["id"].as_str()?.to_owned();
            let one = head_end.json(&format!("/api/v1/concentrators/{id}"));
            what(&one).then_some(one)
        })
    };
    let one = told("both ways are tried", |one| {
        let own = &one["wan"];
        own["current"] == 0 && own["ways"][0]["state"] == "up" && own["ways"][1]["state"] != "new"
    });
    assert_eq!(one["wan"]["ways"][0]["name"], "Fibre");
    assert_eq!(one["wan"]["ways"][1]["name"], "LTE");
    // The first is cut: looks go on over the other one, and both sides find it so.
    fibre.lead(None);
    let one = told("it runs over LTE", |one| {
        let states = |of: &Value| [0, 1].map(|way| of[way]["state"].clone());
        one["wan"]["current"] == 1
            && states(&one["ways"]) == ["down", "up"]
            && states(&one["wan"]["ways"]) == ["quiet", "up"]
    });
    assert!(one["wan"]["ways"][0]["lost"].is_string());
    let change = &one["wan"]["change"];
    assert_eq!([&change["from"], &change["to"]], [0, 1]);
    // It is mended, and preferred again.
    fibre.lead(Some(&url));
    told("it runs over fibre", |one| {
        one["wan"]["current"] == 0 && one["ways"][0]["state"] == "up"
    });
    head_end.role.stop();
    concentrator.stop();
    street.meters.stop();
}
