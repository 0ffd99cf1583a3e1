//! The server as clients see it, over TLS, with a meter that the test plays.
//! Evidence: self-agreement; other people's programs look at the same server
//! in `interop/home`.

use homegate::credential::third_party_token;
use homegate::source::Event;
use homegate::wire::{ErrorBody, History, MeterState, Power, Session, State};

use sha2::Digest as _;

use crate::support::{Home, basic, config, hours, line, report, start, start_in, start_on};

const RESOURCES: &str = "/espi/1_1/resource";

fn state(home: &str) -> State {
    serde_json::from_str(home).unwrap()
}

fn code(body: &str) -> String {
    let body: ErrorBody = serde_json::from_str(body).unwrap();
    assert!(body.error.message.ends_with('.'), "{body:?}");
    body.error.code
}

#[tokio::test]
async fn nothing_is_told_to_strangers() {
    let home = start(config()).await;
    home.tell(report(486, 27_875_300, None)).await;
    for path in [
        "/api/v1/state",
        "/api/v1/live",
        "/api/v1/history?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&step=1h",
        "/api/v1/download.csv",
        "/api/v1/session",
    ] {
        let answer = home.get(path, &[]).await;
        assert_eq!(
            (answer.status, code(&answer.body).as_str()),
            (401, "not_signed_in")
        );
        // The page asks, not the browser.
        assert!(!answer.headers.contains_key("www-authenticate"), "{path}");
        let wrong = home
            .get(path, &[("authorization", basic("home", "wrong"))])
            .await;
        assert_eq!(
            (wrong.status, code(&wrong.body).as_str()),
            (401, "wrong_credential")
        );
    }
    let answer = home.get(&format!("{RESOURCES}/UsagePoint"), &[]).await;
    assert_eq!(answer.status, 401);
    let asks = &answer.headers["www-authenticate"];
    assert!(asks.starts_with("Basic realm="), "{asks}");
    for header in ["content-security-policy", "x-content-type-options"] {
        assert!(answer.headers.contains_key(header));
    }
}

#[tokio::test]
async fn programs_send_the_credential_and_the_page_gets_a_cookie() {
    let home = start(config()).await;
    home.tell(report(-1_512, 27_875_300, Some(4_120_377))).await;
    let told = state(&home.look("/api/v1/state").await.body);
    let power = told.power.unwrap();
    assert_eq!(power.w, -1_512);
    assert_eq!(told.registers.delivered.unwrap().wh, 27_875_300);
    assert_eq!(told.registers.received.unwrap().wh, 4_120_377);
    assert_eq!(told.meter.state, MeterState::Answers);
    assert!(told.link.open && told.link.pushes);

    let wrong = home
        .post("/api/v1/session", r#"{"user":"home","password":"no"}"#)
        .await;
    assert_eq!(wrong.status, 401);
    let malformed = home
        .post("/api/v1/session", "{\"password\":\"hunter2")
        .await;
    assert_eq!(malformed.status, 400);
    assert!(!malformed.body.contains("hunter2"));
    let body = serde_json::json!({ "user": "home", "password": home.password }).to_string();
    let right = home.post("/api/v1/session", &body).await;
    assert_eq!(right.status, 200);
    let session: Session = serde_json::from_str(&right.body).unwrap();
    assert!(session.history);
    let set = &right.headers["set-cookie"];
    for attribute in ["HttpOnly", "Secure", "SameSite=Strict"] {
        assert!(set.contains(attribute), "{set}");
    }
    let cookie = set.split(';').next().unwrap().to_owned();
    for path in ["/api/v1/state", "/api/v1/session"] {
        let answer = home.get(path, &[("cookie", cookie.clone())]).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    let resource = format!("{RESOURCES}/Batch/RetailCustomer/1/UsagePoint");
    let feed = home.get(&resource, &[("cookie", cookie)]).await;
    assert_eq!(feed.status, 200, "the page's download button");
}

#[tokio::test]
async fn wrong_passwords_are_limited_and_the_verified_one_is_not() {
    let home = start(config()).await;
    assert_eq!(home.look("/api/v1/state").await.status, 200);
    let try_one = async || {
        let header = ("authorization", basic("home", "guess"));
        home.get("/api/v1/state", &[header]).await
    };
    for _ in 0..10 {
        assert_eq!(try_one().await.status, 401);
    }
    let limited = try_one().await;
    assert_eq!(limited.status, 429);
    assert!(limited.headers.contains_key("retry-after"));
    // Whoever guesses does not lock the home out.
    assert_eq!(home.look("/api/v1/state").await.status, 200);
}

#[tokio::test]
async fn green_button_is_served_and_malformed_queries_get_the_right_error() {
    let home = start(config()).await;
    let batch = format!("{RESOURCES}/Batch/Subscription/1");
    home.tell(report(-1_500, 12_345_678, None)).await;
    let feed = home.look(&batch).await;
    assert_eq!(feed.status, 200);
    assert_eq!(
        feed.headers["content-type"],
        "application/atom+xml;type=feed"
    );
    assert!(feed.body.contains("<espi:value>-1500</espi:value>"));
    assert!(feed.body.contains("https://localhost/espi/1_1/resource"));
    let alone = format!("{RESOURCES}/UsagePoint/1/MeterReading/1");
    assert_eq!(home.look(&alone).await.status, 200);
    let status = home.look(&format!("{RESOURCES}/ReadServiceStatus")).await;
    assert!(status.body.contains("<espi:currentStatus>1<"));
    for (query, status) in [
        ("published-min=yesterday", 400),
        ("published-max=2026-11-19", 400),
        ("max-results=-1", 400),
        ("start-index=0", 400),
        (
            "published-min=2026-11-20T00:00:00Z&published-max=2026-11-19T00:00:00Z",
            400,
        ),
        // Nothing was kept in that time.
        (
            "published-min=2026-01-01T00:00:00Z&published-max=2026-01-02T00:00:00Z",
            404,
        ),
    ] {
        let answer = home.look(&format!("{batch}?{query}")).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.body);
    }
    assert_eq!(home.look(&format!("{RESOURCES}/Nothing")).await.status, 404);
}

#[tokio::test]
async fn without_history_requests_for_it_are_not_found() {
    let home = start(homegate::Config {
        history: false,
        ..config()
    })
    .await;
    home.tell(report(486, 27_875_300, None)).await;
    let query = "published-min=2020-01-01T00:00:00Z";
    let batch = format!("{RESOURCES}/Batch/Subscription/1?{query}");
    assert_eq!(home.look(&batch).await.status, 404);
    let span = "from=2026-11-19T00:00:00Z&to=2026-11-20T00:00:00Z";
    let history = home.look(&format!("/api/v1/history?{span}&step=1h")).await;
    assert_eq!(
        (history.status, code(&history.body).as_str()),
        (404, "no_history")
    );
    let raw = home.look(&format!("/api/v1/history?{span}&step=raw")).await;
    assert_eq!(raw.status, 200);
    let told = state(&home.look("/api/v1/state").await.body);
    assert!(told.today.is_none() && told.power.is_some());
    let files: Vec<_> = std::fs::read_dir(home.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(!files.contains(&"history.sqlite".into()), "{files:?}");
}

#[tokio::test]
async fn third_parties_see_green_button_and_what_they_were_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("third.toml");
    let (token, digest) = third_party_token().unwrap();
    let text = format!("[[third_party]]\nname = \"adviser\"\ntoken_sha256 = \"{digest}\"\n");
    std::fs::write(&file, text).unwrap();
    let with = homegate::Config {
        third_parties: Some(file.clone()),
        ..config()
    };
    let mode = |mode| {
        let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(mode);
        std::fs::set_permissions(&file, mode).unwrap();
    };
    mode(0o600);
    let home = start(with).await;
    home.tell(report(486, 27_875_300, None)).await;
    let shown = ("authorization", basic("adviser", &token));
    let batch = format!("{RESOURCES}/Batch/Subscription/1");
    let ask = async |path: &str| home.get(path, std::slice::from_ref(&shown)).await.status;
    assert_eq!(ask(&batch).await, 200);
    assert_eq!(
        ask(&format!("{batch}?published-min=2020-01-01T00:00:00Z")).await,
        404
    );
    assert_eq!(ask("/api/v1/state").await, 403);
    assert_eq!(ask("/api/v1/session").await, 403);
    let wrong = ("authorization", basic("adviser", "guess"));
    assert_eq!(home.get(&batch, &[wrong]).await.status, 401);
}

#[tokio::test]
async fn third_parties_who_were_shown_history_get_it() {
    let (token, digest) = third_party_token().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("third.toml");
    let text = format!(
        "[[third_party]]\nname = \"adviser\"\ntoken_sha256 = \"{digest}\"\nhistory = true\n"
    );
    std::fs::write(&file, text).unwrap();
    let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
    std::fs::set_permissions(&file, mode).unwrap();
    let data = tempfile::tempdir().unwrap();
    hours(data.path(), 3);
    let with = homegate::Config {
        third_parties: Some(file),
        ..config()
    };
    let home = start_on(with, data).await;
    let shown = ("authorization", basic("adviser", &token));
    let path = format!("{RESOURCES}/Batch/Subscription/1?published-min=2020-01-01T00:00:00Z");
    let told = home.get(&path, std::slice::from_ref(&shown)).await;
    assert_eq!(told.status, 200, "{}", told.body);
    let feed = han::espi::read(&told.body).unwrap();
    let energy: i64 = feed
        .entries
        .iter()
        .filter_map(|entry| match &entry.content[0] {
            han::espi::Resource::IntervalBlock(block) => Some(&block.readings),
            _ => None,
        })
        .flatten()
        .filter_map(|reading| reading.value)
        .sum();
    // Whole quarters of three hours of 600 W, less those at either end.
    assert!((1_200..=1_800).contains(&energy), "{energy} Wh");
    let page = home.get("/api/v1/state", &[shown]).await.status;
    assert_eq!(page, 403, "the page is not a third party's");
}

#[tokio::test]
async fn a_certificate_that_is_provided_is_served() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let made = params.self_signed(&pair).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert"), folder.path().join("key"));
    std::fs::write(&cert, made.pem()).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
    std::fs::set_permissions(&key, mode).unwrap();
    let home = start(homegate::Config {
        cert: Some(cert),
        key: Some(key),
        ..config()
    })
    .await;
    // The client holds what it is shown against the fingerprint that was told.
    assert_eq!(home.look("/api/v1/session").await.status, 200);
    let own = sha2::Sha256::digest(made.der());
    let own: Vec<String> = own.iter().map(|octet| format!("{octet:02X}")).collect();
    assert_eq!(home.gate.fingerprint(), own.join(":"));
    assert!(!home.folder.path().join("ca.pem").exists(), "no authority");
}

#[tokio::test]
async fn events_tell_power_as_it_comes() {
    let home = start(config()).await;
    home.tell(report(486, 27_875_300, None)).await;
    let mut stream = home.follow("/api/v1/live").await;
    assert_eq!(line(&mut stream, "event: ").await.unwrap(), "state");
    let told = state(&line(&mut stream, "data: ").await.unwrap());
    assert_eq!(told.power.unwrap().w, 486);
    home.meter
        .send(Event::Report(report(491, 27_875_301, None)))
        .await
        .unwrap();
    let power = loop {
        let event = line(&mut stream, "event: ").await.unwrap();
        let data = line(&mut stream, "data: ").await.unwrap();
        if event == "power" {
            let power: Power = serde_json::from_str(&data).unwrap();
            if power.w == 491 {
                break power;
            }
        }
    };
    assert_eq!(power.cost_per_hour, None);
    // The way's loss is told as well.
    let lost = Event::Disconnected("the port was closed".to_owned());
    home.meter.send(lost).await.unwrap();
    loop {
        let event = line(&mut stream, "event: ").await.unwrap();
        let data = line(&mut stream, "data: ").await.unwrap();
        if event == "state" && !state(&data).link.open {
            break;
        }
    }
    home.gate.stop().await;
}

#[tokio::test]
async fn raw_history_and_tables() {
    let home = start(config()).await;
    for watts in [480, 490, 500] {
        home.tell(report(watts, 27_875_300 + watts, None)).await;
    }
    let span = "from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z";
    let answer = home.look(&format!("/api/v1/history?{span}&step=raw")).await;
    let history: History = serde_json::from_str(&answer.body).unwrap();
    let watts: Vec<_> = history.intervals.iter().filter_map(|it| it.w).collect();
    assert_eq!(watts, [480, 490, 500]);
    let table = home
        .look(&format!("/api/v1/download.csv?{span}&step=raw"))
        .await;
    assert_eq!(table.body.lines().count(), 4, "{}", table.body);
    let first = table.body.lines().nth(1).unwrap();
    assert!(first.contains(",,,480,,,1,yes"), "{first}");
    for bad in [
        format!("{span}&step=2h"),
        format!("{span}&step=1m"),
        "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z&step=1h".to_owned(),
        "from=x&to=y&step=1h".to_owned(),
        format!("{span}&step=1h&more=1"),
    ] {
        let answer = home.look(&format!("/api/v1/history?{bad}")).await;
        assert_eq!(answer.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_second_start_keeps_certificate_credential_and_registers() {
    let home = start(config()).await;
    home.tell(report(486, 27_875_300, None)).await;
    let Home {
        gate,
        folder,
        password,
        ..
    } = home;
    let fingerprint = gate.fingerprint().to_owned();
    gate.stop().await;
    let (gate, meter, made) = start_in(config(), folder.path()).await;
    assert_eq!(made, None, "the password is told once");
    assert_eq!(gate.fingerprint(), fingerprint);
    gate.stop().await;
    drop(meter);
    let again = crate::support::resume(config(), folder, password).await;
    // A meter that tells zero after a power cut is not believed.
    again.tell(report(0, 0, None)).await;
    let told = state(&again.look("/api/v1/state").await.body);
    assert_eq!(told.registers.delivered.unwrap().wh, 27_875_300);
    assert_eq!(told.counters.shrunk, 1);
    let figures = again.get("/metrics", &[]).await.body;
    assert!(
        figures.contains("gridward_home_power_watts 0\n"),
        "{figures}"
    );
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = again.folder.path().join(name);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    for name in ["key.pem", "credential.toml", "history.sqlite"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
}

#[tokio::test]
async fn the_page_and_the_description_need_no_credential() {
    let home = start(config()).await;
    for path in ["/", "/history", "/api/v1/openapi.json", "/healthz"] {
        assert_eq!(home.get(path, &[]).await.status, 200, "{path}");
    }
    let policy = &home.get("/", &[]).await.headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert_eq!(home.get("/nothing.js", &[]).await.status, 404);
}
