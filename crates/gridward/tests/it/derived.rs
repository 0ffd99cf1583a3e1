//! Keys that a SCION network derives are on no disk: meter, head end and a client as processes
//! over the simulated network, and then all files that they left.
//!
//! Evidence: a search of every file for every such key in each form that a program might keep it
//! in. The controls: the same keys planted among the same files, the secret that was provisioned,
//! which is found where it belongs, and an association that is made with the key searched for.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use dlms::security::SystemTitle;
use link::{Clock as _, DRKEY_PROTOCOL, KeyFile, MeterKeys, SystemClock};
use scion::drkey::{Epoch, Octets, Protocol, Purpose, SecretValue, Use, mix};
use sim::scion::{HEAD_END, METERS};

use crate::delivery::until;
use crate::demo::get;
use crate::memory::{FORMS, Found, Needles, forms, s_box};
use crate::program::{hex, run};
use crate::session::{Role, done};
use crate::simulated::{Network, text};

/// How long an epoch is, in seconds: the longest that there is.
const EPOCH_S: u32 = 259_200;

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The epoch that holds now, and the next one: its keys may be asked for ahead.
fn epochs() -> [Epoch; 2] {
    let now = u32::try_from(SystemClock::new().unix_seconds()).unwrap();
    let begin = now - now % EPOCH_S;
    [begin, begin + EPOCH_S].map(|begin| Epoch::new(begin, begin + EPOCH_S).unwrap())
}

/// What the network gives the head end, and what the meter: the simulated AS's secret is its
/// number.
fn of_the_network(epoch: Epoch) -> [Octets; 2] {
    let protocol = Protocol(DRKEY_PROTOCOL);
    let master = HEAD_END.to_u64().to_be_bytes();
    let level1 = SecretValue::derive(&master, protocol.hierarchy(), epoch).level1(METERS);
    let host_as = level1.host_as(protocol, HOST);
    [host_as.octets().clone(), host_as.host_host(HOST)]
}

/// The authentication key that is mixed of it for client 1 with this title.
fn mixed(epoch: Epoch, meter: &MeterKeys, server_sap: u16, title: SystemTitle) -> Vec<u8> {
    let secret = meter.clients[0].drkey_secret.as_ref().unwrap();
    let for_use = Use {
        purpose: Purpose::AuthenticationKey,
        suite: 0,
        protocol: Protocol(DRKEY_PROTOCOL),
        epoch,
        client_sap: meter.clients[0].sap,
        server_sap,
        client_title: title.0,
        server_title: meter.system_title.0,
    };
    let [_, between_hosts] = of_the_network(epoch);
    let mixed = mix(&between_hosts, secret.dangerous_octets(), &for_use);
    mixed.unwrap().to_vec()
}

/// The title that a program made for itself.
fn title_in(folder: &Path) -> SystemTitle {
    let text = std::fs::read_to_string(folder.join("system-title")).unwrap();
    text.trim().parse().unwrap()
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if path.is_file() {
            all.push(path);
        }
    }
    all
}

/// Which keys lie in which file, by their number and form; a file that is gone meanwhile holds
/// none.
fn found(folder: &Path, needles: &Needles) -> BTreeSet<(PathBuf, usize, &'static str)> {
    let mut all = BTreeSet::new();
    for path in files(folder) {
        let octets = match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            octets => octets.unwrap(),
        };
        let mut found = Found::new();
        needles.found_in(&octets, &mut found);
        let of = |(key, form): &(usize, &'static str)| (path.clone(), *key, *form);
        all.extend(found.keys().map(of));
    }
    all
}

#[test]
fn keys_that_the_network_derives_are_on_no_disk() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let keys = at("keys.toml");
    done(run(&["keys", "generate", "--drkey", &keys]));
    let epoch = EPOCH_S.to_string();
    let network = Network::start_with(&["--epoch", &epoch]);
    // Where a program writes what nobody told it to write lies in the folder as well.
    let environment = || -> Vec<(String, OsString)> {
        let names = ["HOME", "TMPDIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"];
        let places = names.map(|name| (name.to_owned(), folder.path().join("home").into()));
        places.into_iter().collect()
    };
    std::fs::create_dir(folder.path().join("home")).unwrap();
    let mut meter = Role::start_dumpable(
        &[
            "meter",
            "--listen",
            &format!("scion://[{METERS},127.0.0.1]:0"),
            "--scion-daemon",
            &network.meters,
            "--history",
            "1",
            "--keys",
            &keys,
            "--data",
            &at("meter"),
        ],
        folder.path(),
        environment(),
    );
    let told = meter.line();
    let server = u16::try_from(told["server"].as_u64().unwrap()).unwrap();
    let place = text(&told["endpoint"]);
    let url = format!(
        "{}?daemon={}",
        place.split('?').next().unwrap(),
        network.head
    );

    // Whoever reads has keys of the network's.
    let (name, state) = (text(&told["logical_device_name"]), at("state"));
    let read = |keys: &str| {
        run(&[
            "read",
            &url,
            "0-0:42.0.0",
            "--keys",
            keys,
            "--state",
            &state,
            "--json",
        ])
    };
    assert!(done(read(&keys)).output.contains(&name));
    let mut enrolled = told;
    enrolled["endpoint"] = url.clone().into();
    std::fs::write(at("meters.jsonl"), format!("{enrolled}\n")).unwrap();
    let config = format!(
        "[headend]\nenrolment = \"{}\"\nkeys = \"{keys}\"\n\
         [headend.collector]\nevery_s = 10\nhistory_days = 0\nretry_first_s = 1\n\
         retry_longest_s = 2\n",
        at("meters.jsonl"),
    );
    std::fs::write(at("headend.toml"), config).unwrap();
    let data = at("headend");
    let mut head_end = Role::start_dumpable(
        &[
            "headend",
            "--config",
            &at("headend.toml"),
            "--data",
            &data,
            "--listen",
            "127.0.0.1:0",
        ],
        folder.path(),
        environment(),
    );
    let api = text(&head_end.line()["url"]);
    until("the head end reads the meter", || {
        let (_, metrics) = get(&api, "/metrics", "");
        let mut lines = metrics.lines();
        let reached = lines.find_map(|line| line.strip_prefix("gridward_collector_reached_total "));
        reached.filter(|count| *count != "0").map(drop)
    });

    let file = KeyFile::load(Path::new(&keys)).unwrap();
    let entry = &file.meters[0];
    let titles = [&state, &data].map(|folder| title_in(Path::new(folder)));
    let derived: Vec<Vec<u8>> = epochs()
        .into_iter()
        .flat_map(|epoch| {
            let given = of_the_network(epoch).map(|key| key.dangerous_octets().to_vec());
            let mixed = titles.map(|title| mixed(epoch, entry, server, title));
            given.into_iter().chain(mixed)
        })
        .collect();
    let needles = Needles::new(&derived);
    let folder_now = |needles| found(folder.path(), needles);
    assert_eq!(folder_now(&needles), BTreeSet::new(), "while they run");

    // The key that is searched for is the one in use: with it in the place of the secret the
    // meter is read too.
    let secret = entry.clients[0].drkey_secret.as_ref().unwrap();
    let line = format!("drkey_secret = \"{}\"", hex(secret.dangerous_octets()));
    let owners = std::fs::read_to_string(&keys).unwrap();
    let reads = epochs().into_iter().any(|epoch| {
        let key = mixed(epoch, entry, server, titles[0]);
        let other = format!("authentication_key = \"{}\"", hex(&key));
        let control = at("control.toml");
        std::fs::copy(&keys, &control).unwrap();
        std::fs::write(&control, owners.replace(&line, &other)).unwrap();
        let tried = read(&control);
        tried.status == 0 && tried.output.contains(&name)
    });
    assert!(reads, "the keys searched for are not those in use");

    head_end.stop();
    meter.stop();
    let control: BTreeSet<PathBuf> = folder_now(&needles)
        .into_iter()
        .map(|(path, ..)| path)
        .collect();
    let planted = [folder.path().join("control.toml")];
    assert_eq!(control, BTreeSet::from(planted), "when they have ended");
    // What was provisioned is found where it belongs.
    let provisioned = Needles::new(&[secret.dangerous_octets().to_vec()]);
    let there = (PathBuf::from(&keys), 0, "hex");
    assert!(folder_now(&provisioned).contains(&there));

    // And each of them in each form is found where it is planted.
    let hidden = Path::new(&data).join("a").join("folder");
    std::fs::create_dir_all(&hidden).unwrap();
    let mut octets = vec![b'x'; 5_000];
    let s_box = s_box();
    for key in &derived {
        for form in forms(key, &s_box) {
            octets.extend(form);
            octets.push(b'x');
        }
    }
    std::fs::write(hidden.join("planted"), octets).unwrap();
    let planted = found(Path::new(&data), &needles);
    assert_eq!(planted.len(), derived.len() * FORMS.len(), "{planted:?}");
    drop(network);
}
