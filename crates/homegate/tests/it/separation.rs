//! Poller and server know nothing of each other, and neither knows what could
//! change anything at a meter. Evidence: their source, every file of it.

use std::collections::BTreeMap;
use std::path::Path;

/// Every file of a crate's source by its name there, without comments.
fn sources(crate_name: &str) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(crate_name)
        .join("src");
    let mut found = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code: String = text
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"))
                    .flat_map(|line| [line, "\n"])
                    .collect();
                let name = path.strip_prefix(&root).unwrap();
                found.insert(name.to_str().unwrap().to_owned(), code);
            }
        }
    }
    found
}

/// What stands behind each place where `word` stands as a whole word.
fn behind<'c>(code: &'c str, word: &str) -> Vec<&'c str> {
    let is_inside = |it: char| it.is_alphanumeric() || it == '_';
    code.match_indices(word)
        .filter_map(|(at, _)| {
            let rest = &code[at + word.len()..];
            let is_whole = !code[..at].ends_with(is_inside) && !rest.starts_with(is_inside);
            is_whole.then_some(rest)
        })
        .collect()
}

fn names(code: &str, word: &str) -> bool {
    !behind(code, word).is_empty()
}

/// The files of the activity that reads.
const READING: [&str; 4] = ["poller.rs", "push_memory.rs", "reader.rs", "source.rs"];

/// Where both are put together.
const TOGETHER: [&str; 2] = ["gateway.rs", "lib.rs"];

#[test]
fn neither_names_the_other() {
    let sources = sources("homegate");
    for (file, code) in &sources {
        let file = file.as_str();
        if TOGETHER.contains(&file) {
            continue;
        }
        if READING.contains(&file) {
            // Not a word of the other activity; `answer` stands in sentences.
            for word in [
                "answer::",
                "cache::",
                "calendar",
                "gateway::",
                "history",
                "mdns",
                "mqtt",
                "recorder",
                "remember",
                "server",
                "summary",
                "tariff",
                "tls",
                "web",
                "wire",
            ] {
                let is_named = match word.strip_suffix("::") {
                    Some(word) => behind(code, word).iter().any(|it| it.starts_with("::")),
                    None => names(code, word),
                };
                assert!(!is_named, "{file} names {word}");
            }
        } else {
            for word in [
                "reader",
                "poller",
                "Poller",
                "push_memory",
                "PollMemory",
                "PushMemory",
                "SourceEvent",
                "han_port",
                "raven",
                "zcl",
                "sml",
            ] {
                assert!(!names(code, word), "{file} names {word}");
            }
            let own = behind(code, "crate");
            assert!(
                !own.iter().any(|it| it.starts_with("::source")),
                "{file} names the way to the meter"
            );
        }
    }
    // What both share is three files, each of which is there.
    for file in ["shared.rs", "cache.rs", "server.rs", "server/error.rs"] {
        assert!(sources.contains_key(file), "{file}");
    }
    // The search finds what is there: where both meet, and in a line as it
    // could be written.
    assert!(names(&sources["gateway.rs"], "reader"));
    assert!(names("use crate::{reader as r};", "reader"));
    assert!(!names("Readership, reader_of", "reader"));
}

/// What the gateway and the readers below it may name of the crates that hold
/// orders to meters, and clients that write.
const MAY_NAME: [(&str, &[&str]); 2] = [
    ("model", &["Timestamp"]),
    ("link", &["Clock", "PushCounters", "Source", "SourceEvent"]),
];

/// What no file names, wherever it comes from.
const FORBIDDEN: [&str; 9] = [
    "ActionRequest",
    "BreakerAction",
    "BreakerOrder",
    "OutletId",
    "SetRequest",
    "Switch",
    "ToSmartMeter",
    "breaker",
    "outlet",
];

#[test]
fn nothing_here_can_switch_an_outlet_or_write_to_a_meter() {
    let check = |code: &str| -> Result<(), String> {
        for (from, allowed) in MAY_NAME {
            for rest in behind(code, from) {
                // Elsewhere these are words: `link` is also what feeds have.
                let Some(path) = rest.strip_prefix("::") else {
                    let is_import = rest.starts_with(" as ") || rest.starts_with(';');
                    let is_use = code.contains(&format!("use {from}{rest}"));
                    if is_import && is_use {
                        return Err(format!("the whole of {from}"));
                    }
                    continue;
                };
                let end = path.find(|it: char| !it.is_alphanumeric() && it != '_');
                let name = &path[..end.unwrap_or(path.len())];
                if !allowed.contains(&name) {
                    return Err(format!("{from}::{name}"));
                }
            }
        }
        for rest in behind(code, "dlms") {
            let end = rest.find(';').unwrap_or(rest.len());
            let path = &rest[..end];
            for word in ["client", "server"] {
                if rest.starts_with("::") && names(path, word) {
                    return Err(format!("dlms' {word}"));
                }
            }
        }
        match FORBIDDEN.into_iter().find(|word| names(code, word)) {
            Some(word) => Err(word.to_owned()),
            None => Ok(()),
        }
    };
    for crate_name in ["homegate", "han"] {
        let sources = sources(crate_name);
        assert!(sources.len() > 20, "{crate_name}: {}", sources.len());
        for (file, code) in &sources {
            assert_eq!(check(code), Ok(()), "{crate_name}/src/{file}");
        }
    }
    // What is planted is found.
    for planted in [
        "use model::xml::Switch;",
        "use model::{Timestamp, BreakerOrder};",
        "let order = model::BreakerOrder::new();",
        "use model as nouns;",
        "use link;",
        "use link::{Client, Clock};",
        "use dlms::client::Client;",
        "use dlms::{client, Instant};",
        "fn outlet() {}",
    ] {
        assert!(check(planted).is_err(), "{planted}");
    }
}
