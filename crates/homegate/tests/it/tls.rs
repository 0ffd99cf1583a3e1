//! The own certificate and its authority. Evidence: self-agreement on when they
//! are made anew; that they hold is for curl, Python and Chromium to say
//! (`interop/home`, `ui/test/browser`).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use homegate::tls::Identity;
use model::Timestamp;

/// 2026-11-21T00:00:00Z, and days after it.
fn day(days: i64) -> Timestamp {
    Timestamp::from_secs(1_795_219_200 + days * 86_400)
}

#[test]
fn it_is_made_anew_in_time_under_the_same_authority() {
    let folder = tempfile::tempdir().unwrap();
    let own = |days, names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Identity::own(folder.path(), &names, day(days)).unwrap()
    };
    let first = own(0, &[]);
    let authority = first.authority.clone().unwrap();
    for days in [1, 100, 590] {
        let same = own(days, &[]);
        assert_eq!(same.fingerprint, first.fingerprint, "after {days} days");
        assert_eq!(same.authority.as_deref(), Some(&*authority));
    }
    let second = own(700, &[]);
    assert_ne!(second.fingerprint, first.fingerprint);
    assert_eq!(second.authority.as_deref(), Some(&*authority));
    // A name of the home more: the same authority may vouch for it.
    let named = own(701, &["meter.home.arpa", "192.168.7.9"]);
    assert_ne!(named.fingerprint, second.fingerprint);
    assert_eq!(named.authority.as_deref(), Some(&*authority));
    // Another name: it may not, and whoever trusts it is asked again.
    let foreign = own(702, &["meter.example.org"]);
    assert_ne!(foreign.authority.as_deref(), Some(&*authority));
    let again = own(703, &["www.meter.example.org"]);
    assert_eq!(
        again.authority, foreign.authority,
        "below what it may vouch for"
    );

    for name in ["ca-key.pem", "key.pem", "ca.pem", "cert.pem"] {
        let mode = fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o077, 0, "{name}");
    }
    let chain = fs::read_to_string(folder.path().join("cert.pem")).unwrap();
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);
    assert!(chain.ends_with(&*again.authority.unwrap()));
}

#[test]
fn what_was_made_without_an_authority_stays() {
    let folder = tempfile::tempdir().unwrap();
    let first = Identity::own(folder.path(), &[], day(0)).unwrap();
    for name in ["ca.pem", "ca-key.pem", "cert.json"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    let kept = Identity::own(folder.path(), &[], day(1)).unwrap();
    assert_eq!(kept.fingerprint, first.fingerprint);
    assert_eq!(kept.authority, None);
}
