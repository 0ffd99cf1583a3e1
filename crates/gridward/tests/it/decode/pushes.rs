//! Pushes of real meters, read from a folder beside the project where it is
//! there. Evidence: third-party octets with what their sources say they mean.
//! They hold owners' keys and serial numbers, so none of them is in here.

use std::path::PathBuf;

use serde_json::Value;

use crate::program::{Run, run};

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/data/dlms/vectors"
    ));
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: {} is not there", folder.display());
    None
}

fn decode(vector: &Value, json: bool) -> Run {
    let digits = vector["hex"].as_str().unwrap();
    let mut arguments = vec!["decode", digits];
    for (name, option) in [("ek", "--key"), ("ak", "--auth-key")] {
        if let Some(key) = vector["keys"][name].as_str() {
            arguments.extend([option, key]);
        }
    }
    if json {
        arguments.push("--json");
    }
    run(&arguments)
}

#[test]
fn real_pushes_are_read() {
    let Some(folder) = folder() else { return };
    // How many values each tells, and whether its tag verifies.
    let expected = [
        ("real-aidon-no-list-1", 1, None),
        ("real-aidon-no-list-2", 12, None),
        ("real-aidon-no-list-3", 17, None),
        ("real-hdlc-kaifa-ma304h3e", 13, None),
        ("real-hdlc-lgz-e450-2", 16, Some(true)),
        ("real-hdlc-norway-han-1phase", 9, None),
        ("real-kaifa-no-list-1", 1, None),
        ("real-kaifa-no-list-2", 13, None),
        ("real-kaifa-no-list-3", 18, None),
        ("real-kamstrup-no-list-1-single-phase-real-sample", 8, None),
        ("real-kamstrup-no-list-2-single-phase-real-sample", 13, None),
        ("real-kamstrup-no-list-2-single-phase", 7, None),
        ("real-kamstrup-no-list-2-three-phase", 17, None),
        ("real-mbus-netznoe-kaifa", 11, None),
        ("real-raw-energomera", 7, None),
    ];
    for (name, count, verified) in expected {
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        let vector: Value = serde_json::from_str(&text).unwrap();
        let run = decode(&vector, true);
        assert_eq!(run.status, 0, "{name}: {}", run.output);
        let told = run.json();
        assert_eq!(told["data"].as_object().unwrap().len(), count, "{name}");
        assert_eq!(told["protection"]["verified"].as_bool(), verified, "{name}");
        assert_eq!(told["plain"], told["reencoded"], "{name}");
        if let Some(plain) = vector["expect"]["plain"].as_str() {
            assert_eq!(told["plain"], plain, "{name}");
        }
        let shown = decode(&vector, false).output;
        for line in shown.lines() {
            assert!(line.chars().count() <= 80, "{name}: a line is too long");
        }
    }
}

#[test]
fn a_bad_check_sequence_and_lost_tags_are_refused() {
    let Some(folder) = folder() else { return };
    for (name, reason) in [
        (
            "real-hdlc-lg-zmf100-badfcs",
            "bad checksum in frame check sequence",
        ),
        (
            "real-raw-sagecom-xt211-untagged",
            "unexpected tag 0x60 in data",
        ),
    ] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        let run = decode(&serde_json::from_str(&text).unwrap(), true);
        assert_eq!(run.status, 1, "{name}");
        let error = &run.json()["error"];
        assert_eq!(error["reason"], reason, "{name}");
        assert!(error["offset"].is_u64(), "{name}");
    }
}
