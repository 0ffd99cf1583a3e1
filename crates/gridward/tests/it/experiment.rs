//! `gridward experiment scion` in its short form, as a process. Evidence:
//! self-agreement; what was measured stands in `docs/experiments`.

use serde_json::Value;

use crate::program::run;

/// The short form: that all works and nothing is lost; never how fast.
#[test]
fn the_experiment_loses_no_reading_and_keeps_off_what_is_forbidden() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("results");
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_gridward"))
        .args([
            "experiment",
            "scion",
            "--short",
            "--json",
            "--runs",
            "2",
            "--out",
        ])
        .arg(&out)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    let [delay, failover] = told["experiments"].as_array().unwrap().as_slice() else {
        panic!("{told}");
    };
    let column = |report: &Value, row: &Value, name: &str| {
        let columns = report["columns"].as_array().unwrap();
        let at = columns.iter().position(|column| column == name).unwrap();
        row[at].clone()
    };
    let rows = |report: &Value| report["rows"].as_array().unwrap().clone();
    let ways = rows(delay);
    let of = |way: &str| ways.iter().find(|row| row[0] == way);
    for way in ["native", "plain IP", "our gateway"] {
        let Some(row) = of(way) else {
            // It takes a namespace and an interface; then it is said.
            assert!(
                way == "our gateway" && said.contains("our gateway is not measured"),
                "{said}"
            );
            continue;
        };
        assert_eq!(column(delay, row, "lost"), 0.0, "{way}");
        assert!(column(delay, row, "p50").as_f64().unwrap() > 0.0);
        assert!(column(delay, row, "meter MB").as_f64().unwrap() > 1.0);
    }
    // What others published is there and marked, and nothing of it measured.
    let paper = of("paper: native").unwrap();
    assert_eq!(column(delay, paper, "mean"), 32.8);
    assert!(delay["legend"].as_str().unwrap().contains("quoted"));
    let cuts = rows(failover);
    // No cut, then each way at each place, of usual and of doubled messages.
    assert_eq!(cuts.len(), 2 * (1 + 2 * 3));
    for row in &cuts {
        assert_eq!(column(failover, row, "lost"), 0.0, "{row}");
        assert_eq!(column(failover, row, "readings"), 40.0);
    }
    for report in [delay, failover] {
        let goals = report["goals"].as_array().unwrap();
        let kept = goals
            .iter()
            .find(|goal| goal["wanted"].as_str().unwrap().contains("forbidden"));
        assert_eq!(kept.unwrap()["met"], true, "{kept:?}");
    }
    let goal = |says: &str| {
        let goals = failover["goals"].as_array().unwrap();
        let found = goals
            .iter()
            .find(|goal| goal["wanted"].as_str().unwrap().contains(says));
        found.unwrap_or_else(|| panic!("{says}: {goals:?}")).clone()
    };
    assert_eq!(goal("each cut is met")["found"], "12 of 12");
    // What is sent through the third domain on purpose is seen there.
    let kept = goal("forbidden");
    let (_, on_purpose) = kept["found"].as_str().unwrap().rsplit_once(": ").unwrap();
    assert!(on_purpose.parse::<u64>().unwrap() > 0, "{kept}");
    // Judged; how fast it is is not asked here.
    goal("doubled messages under 30 ms");
    goal("doubled messages right after a cut");
    for file in [
        "scion.md",
        "scion-delay.csv",
        "scion-delay.svg",
        "scion-delay-all.csv",
        "scion-failover.csv",
        "scion-failover.svg",
    ] {
        assert!(
            std::fs::metadata(out.join(file)).unwrap().len() > 100,
            "{file}"
        );
    }
    let svg = std::fs::read_to_string(out.join("scion-delay.svg")).unwrap();
    assert!(svg.contains("paper: native, mean 32.8 ms (quoted)"));
    let all = std::fs::read_to_string(out.join("scion-delay-all.csv")).unwrap();
    assert_eq!(
        all.lines()
            .filter(|line| line.starts_with("\"native\""))
            .count(),
        2 * 20
    );
    // Two runs of each way, pooled, and held against each other run by run.
    assert!(delay["legend"].as_str().unwrap().contains("2 times"));
    assert!(all.lines().any(|line| line.starts_with("\"native\",2,20,")));
    if of("our gateway").is_some() {
        let goals = delay["goals"].as_array().unwrap();
        let each = |goal: &&Value| goal["wanted"].as_str().unwrap().ends_with("in each run");
        let each = goals.iter().find(each).unwrap();
        assert!(each["found"].as_str().unwrap().ends_with(" of 2"), "{each}");
    }
}

#[test]
fn a_network_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let refused = run(&["experiment", "scion", "--short", "--network", path]);
    assert_eq!(refused.status, 1);
    assert!(
        refused.error.contains("interop/scion/net up"),
        "{}",
        refused.error
    );
}

/// A peer that listens and then tells nothing any more costs its own row; the
/// others stay, and the end says that something failed.
#[test]
fn a_stack_that_gives_no_answer_leaves_the_others_rows() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let silent = folder.path().join("silent");
    let script = "#!/bin/sh\n[ \"$1\" = keep ] && echo ready && echo kept 100\nexec cat\n";
    std::fs::write(&silent, script).unwrap();
    std::fs::set_permissions(&silent, std::fs::Permissions::from_mode(0o755)).unwrap();
    let out = folder.path().join("results");
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_gridward"))
        .args([
            "experiment",
            "sctp",
            "--short",
            "--json",
            "--only",
            "memory",
        ])
        .args(["--patience", "5", "--usrsctp"])
        .arg(&silent)
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    if said.contains("no network to experiment in") {
        println!("skipped: {said}");
        return;
    }
    assert_eq!(done.status.code(), Some(1), "{said}");
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    let rows = told["experiments"][0]["rows"].as_array().unwrap();
    let names: Vec<&Value> = rows.iter().map(|row| &row[0]).collect();
    assert_eq!(names, ["Gridward SCTP", "the same with TLS", "usrsctp"]);
    let why = rows[2][4]["failed"].as_str().unwrap();
    assert!(why.contains("at 100 associations"), "{why}");
    assert!(
        why.contains("usrsctp (hold) gave no answer for 5 s"),
        "{why}"
    );
    let csv = std::fs::read_to_string(out.join("sctp-memory.csv")).unwrap();
    assert_eq!(csv.lines().count(), 4, "{csv}");
    assert!(csv.contains(why), "{csv}");
    let page = std::fs::read_to_string(out.join("sctp.md")).unwrap();
    assert!(
        page.contains("FAILED: usrsctp: at 100 associations"),
        "{page}"
    );
}
