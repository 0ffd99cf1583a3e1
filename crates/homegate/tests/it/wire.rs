//! The examples of the page's API. Evidence: self-agreement, that the files
//! which the page is tested with are what the types say.

use std::fs;
use std::path::PathBuf;

use homegate::wire::{ErrorBody, History, Power, Session, State};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Reads `text` as `T` and compares what `T` writes with it.
fn check<T: Serialize + DeserializeOwned>(name: &str, text: &str) {
    let read: T = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let told: Value = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), told, "{name}");
}

#[test]
fn examples_are_what_the_types_say() {
    let mut seen = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        match name.split(['-', '.']).next().unwrap() {
            "state" => check::<State>(&name, &text),
            "session" => check::<Session>(&name, &text),
            "history" => check::<History>(&name, &text),
            "error" => check::<ErrorBody>(&name, &text),
            "live" => {
                let mut event = "";
                for line in text.lines() {
                    match line.split_once(": ") {
                        Some(("event", told)) => event = told,
                        Some(("data", data)) if event == "state" => check::<State>(&name, data),
                        Some(("data", data)) => check::<Power>(&name, data),
                        _ => {}
                    }
                }
            }
            other => panic!("{other}: what is it?"),
        }
        seen += 1;
    }
    assert!(seen >= 15, "{seen} files");
}
