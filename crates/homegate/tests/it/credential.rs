//! Credentials. Evidence: self-agreement, and that nothing secret is shown.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;

use homegate::credential::{Credentials, Refusal, Who, third_party_token};
use model::Timestamp;

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[tokio::test]
async fn a_password_is_made_told_once_and_kept_as_its_digest() {
    let folder = tempfile::tempdir().unwrap();
    let (first, made) = Credentials::open(folder.path(), None).unwrap();
    let made = made.unwrap();
    assert!(made.password.len() >= 32);
    let text = std::fs::read_to_string(folder.path().join("credential.toml")).unwrap();
    assert!(text.contains("token_sha256") && !text.contains(made.password.as_str()));
    assert!(!format!("{made:?} {first:?}").contains(made.password.as_str()));
    let (again, none) = Credentials::open(folder.path(), None).unwrap();
    assert!(none.is_none());
    let who = again.check("home", &made.password, FROM, NOW).await;
    assert_eq!(who, Ok(Who::Home));
    for (user, password) in [("home", "x"), ("Home", made.password.as_str()), ("", "")] {
        assert_eq!(
            again.check(user, password, FROM, NOW).await,
            Err(Refusal::Wrong)
        );
    }
}

#[tokio::test]
async fn a_chosen_password_is_kept_by_argon2id() {
    let folder = tempfile::tempdir().unwrap();
    for refused in ["short", &"x".repeat(257)] {
        assert!(Credentials::choose(folder.path(), "home", refused).is_err());
    }
    let chosen = "correct horse battery";
    Credentials::choose(folder.path(), "home", chosen).unwrap();
    let text = std::fs::read_to_string(folder.path().join("credential.toml")).unwrap();
    assert!(text.contains("memory_kib = 4096"), "{text}");
    let (credentials, made) = Credentials::open(folder.path(), None).unwrap();
    assert!(made.is_none());
    for _ in 0..3 {
        assert_eq!(
            credentials.check("home", chosen, FROM, NOW).await,
            Ok(Who::Home)
        );
    }
    let wrong = credentials.check("home", "correct horse", FROM, NOW).await;
    assert_eq!(wrong, Err(Refusal::Wrong));
    // More memory than the gateway has for it is refused, not taken.
    let greedy = text.replace("memory_kib = 4096", "memory_kib = 4000000");
    std::fs::write(folder.path().join("credential.toml"), greedy).unwrap();
    assert!(Credentials::open(folder.path(), None).is_err());
}

#[tokio::test]
async fn attempts_are_limited_before_anything_is_hashed() {
    let folder = tempfile::tempdir().unwrap();
    let chosen = "correct horse battery";
    Credentials::choose(folder.path(), "home", chosen).unwrap();
    let (credentials, _) = Credentials::open(folder.path(), None).unwrap();
    for _ in 0..10 {
        let tried = credentials.check("home", "a guess", FROM, NOW).await;
        assert_eq!(tried, Err(Refusal::Wrong));
    }
    let limited = |now| credentials.check("home", chosen, FROM, now);
    assert!(matches!(
        limited(NOW).await,
        Err(Refusal::TooMany { retry_after_s: 60 })
    ));
    let other = IpAddr::from([192, 0, 2, 7]);
    let elsewhere = credentials.check("home", chosen, other, NOW).await;
    assert_eq!(elsewhere, Ok(Who::Home));
    // What was verified is known without a hash, from everywhere.
    assert_eq!(limited(NOW).await, Ok(Who::Home));
    let tried = credentials.check("home", "a guess", FROM, NOW.plus_secs(61));
    assert_eq!(tried.await, Err(Refusal::Wrong), "after a minute");
}

#[test]
fn files_that_others_read_or_that_are_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credential.toml");
    let digest = "ab".repeat(32);
    for text in [
        "user = \"home\"",
        "user = \"\"\ntoken_sha256 = \"00\"",
        &format!("user = \"a:b\"\ntoken_sha256 = \"{digest}\""),
        &format!("user = \"home\"\ntoken_sha256 = \"{}\"", &digest[1..]),
        &format!("user = \"home\"\ntoken_sha256 = \"{digest}\"\npassword = \"secret\""),
        "not toml secret",
    ] {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let error = Credentials::open(folder.path(), None).unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("secret"),
            "{error:?}"
        );
    }
    let right = format!("user = \"home\"\ntoken_sha256 = \"{digest}\"");
    std::fs::write(&path, right).unwrap();
    assert!(Credentials::open(folder.path(), None).is_ok());
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    assert!(Credentials::open(folder.path(), None).is_err());
}

#[test]
fn files_of_third_parties_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("third.toml");
    let (_, digest) = third_party_token().unwrap();
    let party = |name: &str, digest: &str| {
        format!("[[third_party]]\nname = \"{name}\"\ntoken_sha256 = \"{digest}\"\n")
    };
    let check = |text: &str| {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        Credentials::open(folder.path(), Some(&path)).is_ok()
    };
    assert!(check(&party("adviser", &digest)));
    assert!(check(""));
    assert!(!check(&party("home", &digest)), "the home's own name");
    assert!(!check(&party("adviser", &digest).repeat(2)));
    assert!(!check(&party("adviser", "00")));
    std::fs::remove_file(&path).unwrap();
    assert!(Credentials::open(folder.path(), Some(&path)).is_err());
}
