//! The home gateway as a process: what its first line says, polls under a
//! flood, kills, and the file of its service. The meter is played behind a
//! serial server. Evidence: self-agreement over real sockets, the operating
//! system's word on processes and sockets, and systemd's on its file.

mod played;
mod wizard;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use played::{Adapter, Gateway, LONG, now, port};
use serde_json::Value;

/// Sockets that a process listens on, of whatever kind, as the system has it.
fn listening(process: u32) -> usize {
    let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let own: BTreeSet<String> = descriptors
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| {
            let link = link.to_string_lossy().into_owned();
            Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let mut count = 0;
    // State 0A is LISTEN; a UDP socket that is bound has 07.
    for (table, state) in [("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")] {
        let text = std::fs::read_to_string(format!("/proc/{process}/net/{table}"));
        for line in text.unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields[3] == state && own.contains(fields[9]) {
                count += 1;
            }
        }
    }
    count
}

/// Notes when the last poll was about to leave, in milliseconds since the
/// machine started.
fn look(data: &Path, kept: &mut Vec<u64>) {
    let told = std::fs::read_to_string(data.join("last-poll")).unwrap_or_default();
    let then = told.trim().split_once(' ').map(|(_, then)| then.parse());
    if let Some(Ok(then)) = then
        && kept.last() != Some(&then)
    {
        kept.push(then);
    }
}

#[test]
fn polls_keep_their_distance_under_a_flood_and_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let adapter = Adapter::start();
    let source = format!("raven+tcp://127.0.0.1:{}", adapter.port);
    let gateway = Gateway::start(&source, folder.path(), None);
    assert_eq!(listening(gateway.child.id()), 1, "one listening socket");
    adapter.wait_for_polls(1);
    let state = gateway
        .until(|state| !state["power"].is_null() && !state["registers"]["delivered"].is_null());
    assert_eq!(state["power"]["w"], 486);
    assert_eq!(state["registers"]["delivered"]["wh"], 27_875_431);
    assert_eq!(state["meter"]["id"], "00135003004a6b1f");

    // A hundred requests a second, until two more polls have left.
    let mut kept = Vec::new();
    look(folder.path(), &mut kept);
    let mut stream = gateway.connect();
    let begin = now();
    let mut requests = 0_u32;
    while adapter.polls().len() < 3 {
        let path = "/espi/1_1/resource/Subscription/1/UsagePoint/1/MeterReading/1/IntervalBlock";
        assert_eq!(gateway.ask(&mut stream, path).0, 200);
        look(folder.path(), &mut kept);
        requests += 1;
        thread::sleep(Duration::from_millis(8));
        assert!(begin.elapsed() < LONG);
    }
    look(folder.path(), &mut kept);
    assert!(requests > 100, "{requests} is no flood");
    let password = gateway.password.clone();
    drop(gateway);

    // Killed right after a poll: the next one leaves no sooner.
    let gateway = Gateway::start(&source, folder.path(), Some(&password));
    adapter.wait_for_polls(4);
    look(folder.path(), &mut kept);
    drop(gateway);
    // What the gateway keeps right before each poll leaves, by the system's
    // clock; the test sees a poll later than that, by as much as the machine
    // is busy.
    assert!(kept.len() >= 4, "{kept:?}");
    for pair in kept.windows(2) {
        assert!(pair[1] - pair[0] >= 7_000, "{kept:?}");
    }
    let heard = adapter.heard.lock().unwrap().clone();
    let reads = [
        "get_current_summation_delivered",
        "get_instantaneous_demand",
    ];
    assert!(
        heard.iter().all(|name| name.starts_with("get_")),
        "{heard:?}"
    );
    assert!(reads.iter().all(|name| heard.contains(*name)), "{heard:?}");
}

#[test]
fn it_comes_back_after_each_kill() {
    let folder = tempfile::tempdir().unwrap();
    let source = format!("p1+tcp://127.0.0.1:{}", port());
    let first = Gateway::start(&source, folder.path(), None);
    let password = first.password.clone();
    let fingerprint = first.line["fingerprint"].clone();
    let mut last = first.until(|state| !state["power"].is_null());
    drop(first);
    for _ in 0..5 {
        let gateway = Gateway::start(&source, folder.path(), Some(&password));
        assert_eq!(gateway.line["fingerprint"], fingerprint);
        let state = gateway.until(|state| state["meter"]["state"] == "answers");
        let total = |state: &Value| state["registers"]["delivered"]["wh"].as_i64().unwrap();
        assert!(total(&state) >= 27_875_300);
        last = state;
    }
    assert!(last["power"]["w"].as_i64() == Some(486), "{last}");
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut words = vec!["homegate", "--data", folder.path().to_str().unwrap()];
        words.extend(arguments);
        let ended = Command::new(env!("CARGO_BIN_EXE_gridward"))
            .args(words)
            .output()
            .unwrap();
        (
            ended.status.code().unwrap(),
            String::from_utf8(ended.stderr).unwrap(),
        )
    };
    let (status, error) = run(&[]);
    assert_eq!(status, 2, "{error}");
    assert!(error.contains("gridward homegate setup"), "{error}");
    let (status, error) = run(&["--source", "https://meter"]);
    assert_eq!(status, 2, "{error}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let (status, error) = run(&["--source", "p1:///dev/null", "--listen", &listen]);
    assert_eq!(status, 1, "{error}");
    assert!(error.contains("--listen"), "{error}");
    // The password of a start that failed is not lost: none was made.
    assert!(!folder.path().join("credential.toml").exists());
}

#[test]
fn setup_writes_a_configuration_that_starts() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gridward.toml");
    let data = folder.path().join("data");
    let source = format!("p1+tcp://127.0.0.1:{}", port());
    let setup = |answers: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gridward"))
            .args(["homegate", "setup", "--source", &source, "--config"])
            .arg(&config)
            .arg("--data")
            .arg(&data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(answers.as_bytes()).unwrap();
        drop(input);
        child.wait_with_output().unwrap()
    };
    let short = setup("Lindenweg \"14\"\nEurope/Zurich\nno\nshort\n");
    assert_eq!(short.status.code(), Some(1));
    assert!(!config.exists(), "nothing half done is left");
    let wrong = setup("Home\nEurope/Nowhere\nno\n\n");
    assert_eq!(wrong.status.code(), Some(1));
    let done = setup("Lindenweg \"14\"\nEurope/Zurich\nno\ncorrect horse battery\n");
    assert!(done.status.success(), "{done:?}");
    let again = setup("\n\n\n\n");
    assert_eq!(again.status.code(), Some(1), "what is there is left alone");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(!text.contains("horse"), "{text}");
    std::fs::write(&config, text.replace(":8443", ":0")).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_gridward"))
        .args(["homegate", "--json", "--config"])
        .arg(&config)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let gateway = Gateway {
        child,
        line: serde_json::from_str(&line).unwrap(),
        data,
        password: "correct horse battery".to_owned(),
    };
    gateway.until(|state| state["power"]["w"] == 486);
    let (_, session) = gateway.ask(&mut gateway.connect(), "/api/v1/session");
    assert!(
        session.contains(r#""name":"Lindenweg \"14\"""#),
        "{session}"
    );
}

#[test]
fn what_a_service_tells_nobody_is_told_by_setup_and_log() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let source = format!("p1+tcp://127.0.0.1:{}", port());
    let setup = |config: &Path| {
        Command::new(env!("CARGO_BIN_EXE_gridward"))
            .args(["homegate", "setup", "--yes", "--json", "--source", &source])
            .arg("--config")
            .arg(config)
            .arg("--data")
            .arg(&data)
            .output()
            .unwrap()
    };
    let config = folder.path().join("gridward.toml");
    let told = setup(&config);
    assert!(told.status.success(), "{told:?}");
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    let password = told["password"].as_str().unwrap().to_owned();
    let fingerprint = told["fingerprint"].as_str().unwrap();

    // As the service file runs it: no standard output, and its log.
    let service = service();
    let log = service
        .lines()
        .find_map(|line| line.strip_prefix("Environment=GRIDWARD_LOG="));
    let errors = folder.path().join("log");
    let child = Command::new(env!("CARGO_BIN_EXE_gridward"))
        .args(["homegate", "--listen", "127.0.0.1:0", "--config"])
        .arg(&config)
        .env("GRIDWARD_LOG", log.unwrap())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&errors).unwrap())
        .spawn()
        .unwrap();
    let mut gateway = Gateway {
        child,
        line: Value::Null,
        data: data.clone(),
        password,
    };
    let end = now() + LONG;
    let address = loop {
        let log = std::fs::read_to_string(&errors).unwrap();
        let line = log.lines().find(|line| line.contains(fingerprint));
        let after = line.and_then(|line| line.split("address=").nth(1));
        if let Some(after) = after {
            break after.split(' ').next().unwrap().to_owned();
        }
        assert!(now() < end, "{log}");
        thread::sleep(Duration::from_millis(50));
    };
    gateway.line = serde_json::json!({ "url": format!("https://{address}/") });
    gateway.until(|state| state["power"]["w"] == 486);
    let log = std::fs::read_to_string(&errors).unwrap();
    assert!(!log.contains(&gateway.password), "{log}");

    // A credential is not taken away from a gateway that runs.
    let other = setup(&folder.path().join("other.toml"));
    let error = String::from_utf8(other.stdout).unwrap();
    assert_eq!(other.status.code(), Some(1), "{error}");
    assert!(error.contains("stop it first"), "{error}");
    assert!(!folder.path().join("other.toml").exists());
}

/// The file of the service.
fn service() -> String {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/gridward-homegate.service");
    std::fs::read_to_string(file).unwrap()
}

#[test]
fn tokens_of_third_parties() {
    let ended = Command::new(env!("CARGO_BIN_EXE_gridward"))
        .args(["homegate", "token", "energy-adviser", "--history"])
        .output()
        .unwrap();
    let table = String::from_utf8(ended.stdout).unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    let token = told.lines().last().unwrap().trim();
    assert!(token.len() >= 32 && !table.contains(token), "{table}{told}");
    assert!(table.contains("name = \"energy-adviser\"") && table.contains("history = true"));
}

#[test]
fn the_service_may_do_nothing_that_it_need_not() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../packaging/gridward-homegate.service")
        .canonicalize()
        .unwrap();
    let text = service();
    for line in [
        // From power-up, and again however often it ends.
        "WantedBy=multi-user.target",
        "Restart=always",
        "StartLimitIntervalSec=0",
        "CapabilityBoundingSet=",
        "AmbientCapabilities=",
        "NoNewPrivileges=yes",
        "DevicePolicy=closed",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "MemoryDenyWriteExecute=yes",
        "SystemCallFilter=@system-service",
    ] {
        assert!(text.lines().any(|own| own == line), "{line}");
    }
    let analyzed = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20"])
        .arg(&file)
        .output();
    match analyzed {
        Ok(told) => {
            let table = String::from_utf8_lossy(&told.stdout).into_owned();
            if table.contains("Overall exposure level") {
                assert!(told.status.success(), "exposure above 2.0: {table}");
            } else {
                println!("skipped: this systemd-analyze knows no offline security");
            }
        }
        Err(error) => println!("skipped: no systemd-analyze here ({error})"),
    }
}
