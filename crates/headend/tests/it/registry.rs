//! Evidence: self-agreement, and robustness against malformed files.

use std::sync::Arc;

use headend::keys::{ClientSecrets, KeyError, KeyService, LocalKeys, METER_ITSELF, Secret};
use headend::registry::{self, Format};
use headend::store::Store;
use link::KeyFile;
use model::Timestamp;
use proptest::prelude::*;

use crate::support::{NOON, Site, wait};

const TOML: &str = r#"
[[meter]]
logical_device_name = "GWD0000000000001"
endpoint = "tcp://127.0.0.1:4059"
server = 3
place = "Lindenweg 14, flat 3"
feeder = "F2"
phase = "L1"

[[meter]]
logical_device_name = "GWD0000000000002"
endpoint = "tcp://127.0.0.1:4059"
load_profile = "1-0:99.1.0.255"
"#;

const KEYS: &str = r#"
[[meter]]
logical_device_name = "GWD0000000000001"
system_title = "4757440000000001"
master_key = "000102030405060708090a0b0c0d0e0f"
[[meter.client]]
sap = 1
mechanism = "hls5"
encryption_key = "101112131415161718191a1b1c1d1e1f"
authentication_key = "202122232425262728292a2b2c2d2e2f"
suite = 0
[[meter.client]]
sap = 2
mechanism = "lls"
password = "open sesame"
"#;

fn faults(text: &str, format: Format) -> String {
    registry::parse(text, format).unwrap_err().to_string()
}

#[test]
fn three_forms_say_the_same() {
    let csv = "logical_device_name,endpoint,server,place,feeder,phase,load_profile\r\n\
               GWD0000000000001,tcp://127.0.0.1:4059,3,\"Lindenweg 14, flat 3\",F2,L1,\r\n\
               GWD0000000000002,tcp://127.0.0.1:4059,,,,,1-0:99.1.0.255\r\n";
    let lines = r#"{"logical_device_name":"GWD0000000000001","endpoint":"tcp://127.0.0.1:4059","server":3,"place":"Lindenweg 14, flat 3","feeder":"F2","phase":"L1"}

{"logical_device_name":"GWD0000000000002","endpoint":"tcp://127.0.0.1:4059"}"#;
    let unlined = |text, format| {
        let mut entries = registry::parse(text, format).unwrap();
        entries.iter_mut().for_each(|entry| entry.line = 0);
        entries
    };
    let toml = unlined(TOML, Format::Toml);
    assert_eq!(toml.len(), 2);
    assert_eq!(toml[0].place.as_str(), "Lindenweg 14, flat 3");
    assert_eq!((toml[0].server, toml[1].server), (3, 1));
    assert_eq!(unlined(csv, Format::Csv), toml);
    assert_eq!(unlined(lines, Format::JsonLines), toml);
}

#[test]
fn faults_are_named_with_their_lines() {
    let bad = TOML.replace("\"F2\"", "\"<F2>\"").replace("0002", "0001");
    let text = faults(&bad, Format::Toml);
    assert!(text.contains("line 2: feeder: a feeder is"), "{text}");
    let twice = TOML.replace("0002", "0001");
    let text = faults(&twice, Format::Toml);
    assert_eq!(text, "line 10: the meter is already in line 2");
    let text = faults("[[meter]]\nendpiont = 1", Format::Toml);
    assert!(text.starts_with("line 2: unknown field"), "{text}");
    let head = "logical_device_name,endpoint\n";
    for (row, expected) in [
        ("GWD1", "line 2: 1 fields where the head has 2"),
        (",tcp://h:1", "line 2: logical_device_name is missing"),
        ("GWD1,", "line 2: endpoint is missing"),
        ("GWD1,127.0.0.1", "line 2: endpoint: an endpoint is a URL"),
        (
            "GWD1,tcp://u:p@h:1",
            "line 2: endpoint: an endpoint holds no user",
        ),
        ("GWD 1,tcp://h:1", "line 2: logical_device_name: a logical"),
        ("GWD1,\"tcp://h:1", "a quote is not closed"),
    ] {
        let text = faults(&format!("{head}{row}"), Format::Csv);
        assert!(text.contains(expected), "{row}: {text}");
    }
    let text = faults("name\nGWD1\n", Format::Csv);
    assert!(text.contains("there is no field name"), "{text}");
    assert!(faults("", Format::Csv).contains("empty"));
    assert!(faults("{}\n[", Format::JsonLines).contains("line 2"));
}

#[test]
fn only_the_first_faults_are_told() {
    let rows = "GWD1,nowhere\n".repeat(1_000);
    let text = faults(
        &format!("logical_device_name,endpoint\n{rows}"),
        Format::Csv,
    );
    assert_eq!(text.lines().count(), registry::FAULTS_MAX + 1);
    assert!(text.ends_with("and 980 more"), "{text}");
}

#[test]
fn secrets_are_in_no_error_and_no_debug() {
    let keys = KeyFile::parse(KEYS).unwrap();
    let shown = format!("{keys:?}");
    assert!(!shown.contains("sesame") && !shown.contains("1011") && !shown.contains("16, 17"));
    for (from, to) in [
        ("101112131415", "10111213141"),
        ("\"101112", "101112"),
        ("open sesame\"", "open sesame\" x"),
        ("hls5", "hls9"),
        ("sap = 1", "sap = 0"),
        ("master_key", "mastre_key"),
        ("suite = 0", "suite = \"open sesame\""),
    ] {
        let text = KeyFile::parse(&KEYS.replace(from, to))
            .unwrap_err()
            .to_string();
        assert!(text.contains("line "), "{text}");
        assert!(
            !text.contains("sesame") && !text.contains("1011") && !text.contains("2021"),
            "{text}"
        );
    }
}

#[test]
fn enrolment_is_idempotent_and_secrets_come_back() {
    let Site { folder, store } = Site::new();
    let store: Arc<dyn Store> = Arc::new(store);
    let master = folder.path().join("master.key");
    let keys = LocalKeys::open(&master, Arc::clone(&store)).unwrap();
    let secrets = KeyFile::parse(KEYS).unwrap();
    let enrol = |secrets| {
        let entries = registry::parse(TOML, Format::Toml).unwrap();
        wait(registry::enrol(
            &*store,
            &keys,
            entries,
            secrets,
            Timestamp::from_secs(NOON),
        ))
        .unwrap()
    };
    let first = enrol(&secrets);
    assert_eq!((first.added.len(), first.unchanged), (2, 0));
    let again = enrol(&secrets);
    assert_eq!((again.updated.len(), again.unchanged), (0, 2));

    let meters = store.meters().unwrap();
    assert_eq!(meters[0].enrolment.client, 1);
    assert_eq!(meters[1].enrolment.client, 16);
    assert_eq!(meters[0].protection.as_ref().unwrap().mechanism, "hls5");
    let name = &meters[0].enrolment.name;
    let client = keys.client_secrets(name, 1).unwrap().unwrap();
    let key = |name: &str| client.secrets[name].expose()[0];
    assert_eq!((client.mechanism.as_str(), client.suite), ("hls5", 0));
    assert_eq!(client.secrets.len(), 2);
    assert_eq!(
        (key("encryption_key"), key("authentication_key")),
        (0x10, 0x20)
    );
    let password = &keys.client_secrets(name, 2).unwrap().unwrap().secrets["password"];
    assert_eq!(password.expose(), b"open sesame");
    let itself = keys.client_secrets(name, METER_ITSELF).unwrap().unwrap();
    assert_eq!(itself.secrets["master_key"].expose()[15], 0x0f);
    assert!(keys.client_secrets(name, 7).unwrap().is_none());

    // Nothing of it stands in the files in the clear.
    wait(store.flush()).unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let octets = std::fs::read(entry.unwrap().path()).unwrap();
        let holds = |secret: &[u8]| octets.windows(secret.len()).any(|part| part == secret);
        assert!(!holds(b"open sesame"));
        assert!(!holds(&[0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17]));
    }

    // A changed secret is a change, and counts from now.
    let changed = KeyFile::parse(&KEYS.replace("open sesame", "shut sesame")).unwrap();
    assert_eq!(enrol(&changed).updated.len(), 1);
}

#[test]
fn a_concentrator_is_a_device_of_its_own_and_no_meter() {
    let site = Site::new();
    let store = Arc::new(site.store);
    let master = site.folder.path().join("master.key");
    let service = LocalKeys::open(&master, Arc::clone(&store) as Arc<dyn Store>).unwrap();
    let secrets = KeyFile::parse(KEYS).unwrap();
    let at = Timestamp::from_secs(NOON);
    let name: model::LogicalDeviceName = "GWD0000000000001".parse().unwrap();
    let all = |endpoint: &str| vec![(name.clone(), endpoint.to_owned())];
    let enrol = |endpoint: &str| {
        let enrolled =
            registry::enrol_concentrators(&*store, &service, all(endpoint), &secrets, at);
        wait(enrolled).unwrap()
    };
    assert_eq!(enrol("tcp://192.0.2.1:4059").added.len(), 1);
    assert_eq!(enrol("tcp://192.0.2.1:4059").unchanged, 1);
    assert_eq!(enrol("tcp://192.0.2.2:4059").updated.len(), 1);
    assert!(store.meters().unwrap().is_empty());
    let known = store.concentrators().unwrap().remove(0);
    assert_eq!(known.enrolment.endpoint, "tcp://192.0.2.2:4059");
    assert_eq!((known.enrolment.server, known.enrolment.client), (1, 1));
    let title = known.enrolment.system_title.unwrap();
    assert_eq!(title.to_string(), "4757440000000001");
    assert!(service.client_secrets(&name, 1).unwrap().is_some());
    let key = headend::store::CounterKey {
        meter: known.id,
        client: 1,
    };
    assert_eq!(wait(store.reserve_counters(key, 8, 0)).unwrap(), 0..8);
    // A meter does not take its name, and with that its place.
    let entries = registry::parse(TOML, Format::Toml).unwrap();
    let refused = wait(registry::enrol(&*store, &service, entries, &secrets, at));
    assert!(refused.is_err());
    assert!(store.meters().unwrap().is_empty());
}

#[test]
fn a_wrapped_secret_opens_in_its_own_place_only() {
    let Site { folder, store } = Site::new();
    let store: Arc<dyn Store> = Arc::new(store);
    let master = folder.path().join("master.key");
    let keys = LocalKeys::open(&master, Arc::clone(&store)).unwrap();
    let secrets = KeyFile::parse(KEYS).unwrap();
    let entries = registry::parse(TOML, Format::Toml).unwrap();
    let at = Timestamp::from_secs(NOON);
    wait(registry::enrol(&*store, &keys, entries, &secrets, at)).unwrap();
    let sql = rusqlite::Connection::open(folder.path().join("headend.sqlite")).unwrap();
    sql.execute_batch(
        "UPDATE client SET name = 'GWD0000000000002'; UPDATE secret SET name = 'GWD0000000000002';",
    )
    .unwrap();
    let name = "GWD0000000000002".parse().unwrap();
    let error = keys.client_secrets(&name, 1).unwrap_err();
    assert!(matches!(error, KeyError::DoesNotOpen));
    // Nor under another master key.
    let other = LocalKeys::open(&folder.path().join("other.key"), store).unwrap();
    let name = "GWD0000000000001".parse().unwrap();
    sql.execute_batch(
        "UPDATE client SET name = 'GWD0000000000001'; UPDATE secret SET name = 'GWD0000000000001';",
    )
    .unwrap();
    assert!(keys.client_secrets(&name, 1).is_ok());
    assert!(matches!(
        other.client_secrets(&name, 1),
        Err(KeyError::DoesNotOpen)
    ));
}

#[test]
fn files_of_secrets_that_others_can_read_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let Site { folder, store } = Site::new();
    let store: Arc<dyn Store> = Arc::new(store);
    let path = folder.path().join("master.key");
    LocalKeys::open(&path, Arc::clone(&store)).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = LocalKeys::open(&path, Arc::clone(&store)).unwrap_err();
    assert!(matches!(error, KeyError::NotPrivate(_)));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, "0011").unwrap();
    let error = LocalKeys::open(&path, store).unwrap_err();
    assert!(matches!(error, KeyError::NoKey(_)));
}

#[test]
fn a_secret_has_a_bound() {
    let Site { folder, store } = Site::new();
    let keys = LocalKeys::open(&folder.path().join("master.key"), Arc::new(store)).unwrap();
    let secrets = |len| ClientSecrets {
        client: 1,
        mechanism: "lls".to_owned(),
        suite: 0,
        secrets: [("password".to_owned(), Secret::new(vec![7; len]))].into(),
    };
    let name = "GWD1".parse().unwrap();
    let at = Timestamp::from_secs(NOON);
    for len in [0, 1, 7, 8, 9, Secret::LEN_MAX] {
        assert!(keys.wrap(&name, &secrets(len), at).is_ok(), "{len}");
    }
    let error = keys.wrap(&name, &secrets(Secret::LEN_MAX + 1), at);
    assert!(matches!(error, Err(KeyError::TooLong)));
}

proptest! {
    #[test]
    fn no_text_breaks_a_parser(text in "(?s).{0,200}", splice in 0_usize..400) {
        for format in [Format::Csv, Format::JsonLines, Format::Toml] {
            drop(registry::parse(&text, format));
        }
        drop(KeyFile::parse(&text));
        let mut near = KEYS.to_owned();
        let at = (0..=splice.min(near.len())).rev().find(|at| near.is_char_boundary(*at)).unwrap();
        near.insert_str(at, &text);
        drop(KeyFile::parse(&near));
    }
}
