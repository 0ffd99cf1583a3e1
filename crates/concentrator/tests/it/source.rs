//! Requirement D5: what carries APDUs cannot open them. Here by what its
//! source names.
//!
//! Evidence: the source itself. Of [`concentrator::direct`] every path is held
//! against a list of what may be named, so that another name for a thing that
//! opens APDUs, or a door that somebody adds elsewhere, is found as well; of
//! what stands around it everything that protects is forbidden by name. A
//! control: sources that break the rule in many ways.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// All that `direct` may name: octets, addresses, time, and the gateway prefix.
const DIRECT: &[&str] = &[
    "dlms::Instant",
    "dlms::codec::Reader",
    "dlms::codec::Wire",
    "dlms::xdlms::Gateway",
    "link::ALL_STATIONS",
    "link::Message",
    "link::Node",
    "link::Sap",
    "model::LogicalDeviceName",
    "model::MessageClass",
    "queue::Queue",
    "queue::Queued",
    "std::collections::BTreeMap",
    "std::collections::BTreeSet",
    "std::collections::VecDeque",
    "std::time::Duration",
    "super::Connection",
    "thiserror::Error",
];

/// Words of what protects, opens or holds keys: no name of what stands around
/// `direct` has one of them.
const FORBIDDEN: &[&str] = &[
    "security",
    "keyring",
    "keyfile",
    "keys",
    "key",
    "gcm",
    "crypto",
    "cipher",
    "protect",
    "unprotect",
    "envelope",
    "awslc",
    "aws_lc",
    "decrypt",
    "encrypt",
];

/// What makes names out of anything, or source out of other files.
const NEVER: &[&str] = &[
    "extern",
    "include",
    "include_str",
    "include_bytes",
    "concat_idents",
];

/// Words that are no names of crates, types or modules.
const OWN: &[&str] = &["Self", "self"];

/// What begins a path also behind a double colon.
const ROOTS: &[&str] = &["concentrator", "crate", "dlms", "link", "model"];

/// The words and double colons of a source, without comments, strings and
/// characters.
fn tokens(source: &str) -> Vec<String> {
    let octets: Vec<char> = source.chars().collect();
    let at = |place: usize| octets.get(place).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let mut place = 0;
    while place < octets.len() {
        let (one, two) = (at(place), at(place + 1));
        if (one, two) == ('/', '/') {
            while place < octets.len() && at(place) != '\n' {
                place += 1;
            }
        } else if (one, two) == ('/', '*') {
            let mut depth = 1;
            place += 2;
            while place < octets.len() && depth > 0 {
                match (at(place), at(place + 1)) {
                    ('/', '*') => depth += 1,
                    ('*', '/') => depth -= 1,
                    _ => {
                        place += 1;
                        continue;
                    }
                }
                place += 2;
            }
        } else if one == 'r' && (two == '"' || two == '#' && matches!(at(place + 2), '"' | '#')) {
            let hashes = (place + 1..).take_while(|it| at(*it) == '#').count();
            place += 2 + hashes;
            while place < octets.len()
                && !(at(place) == '"' && (1..=hashes).all(|it| at(place + it) == '#'))
            {
                place += 1;
            }
            place += 1 + hashes;
        } else if one == '"' {
            place += 1;
            while place < octets.len() && at(place) != '"' {
                place += if at(place) == '\\' { 2 } else { 1 };
            }
            place += 1;
        } else if one == '\'' && (two == '\\' || at(place + 2) == '\'') {
            place += if two == '\\' { 3 } else { 2 };
            while place < octets.len() && at(place) != '\'' {
                place += 1;
            }
            place += 1;
        } else if one == ':' && two == ':' {
            tokens.push("::".to_owned());
            place += 2;
        } else if one.is_alphanumeric() || one == '_' {
            let start = place;
            while at(place).is_alphanumeric() || at(place) == '_' {
                place += 1;
            }
            let word: String = octets[start..place].iter().collect();
            // A raw word is the word.
            if word == "r" && at(place) == '#' {
                place += 1;
            } else {
                tokens.push(word);
            }
        } else {
            if !one.is_whitespace() {
                tokens.push(one.to_string());
            }
            place += 1;
        }
    }
    tokens
}

fn is_word(token: &str) -> bool {
    let first = token.chars().next();
    first.is_some_and(|it| it.is_alphabetic() || it == '_')
}

/// Takes a tree of `use` apart; gives the paths, and the names that they get.
fn tree(tokens: &[String], place: &mut usize, prefix: &str, paths: &mut Vec<(String, String)>) {
    let mut path = prefix.to_owned();
    let mut last = String::new();
    while let Some(token) = tokens.get(*place) {
        *place += 1;
        match token.as_str() {
            "::" => {}
            "{" => loop {
                tree(tokens, place, &path, paths);
                match tokens.get(*place - 1).map(String::as_str) {
                    Some(",") => {}
                    _ => {
                        // What follows the brace belongs to whoever opened it.
                        *place += 1;
                        return;
                    }
                }
            },
            "," | "}" | ";" => {
                if !last.is_empty() {
                    paths.push((path, last));
                }
                return;
            }
            "as" => {
                last = tokens.get(*place).cloned().unwrap_or_default();
                *place += 1;
            }
            word => {
                if !path.is_empty() {
                    path.push_str("::");
                }
                path.push_str(word);
                last = word.to_owned();
            }
        }
    }
}

/// Every path that a source names: those of `use` in full, and all others that
/// do not begin with something that it brought in or made itself.
fn paths(source: &str) -> BTreeSet<String> {
    let tokens = tokens(source);
    let mut all = BTreeSet::new();
    let mut known: BTreeSet<String> = OWN.iter().map(|it| (*it).to_owned()).collect();
    let mut rest: Vec<String> = Vec::new();
    let mut place = 0;
    while let Some(token) = tokens.get(place) {
        place += 1;
        if token == "use" {
            let mut found = Vec::new();
            // A leading `::` changes nothing.
            tree(&tokens, &mut place, "", &mut found);
            for (path, name) in found {
                // `path::self` is `path`.
                let path = path.strip_suffix("::self").unwrap_or(&path);
                all.insert(path.to_owned());
                known.insert(name);
            }
            continue;
        }
        if ["struct", "enum", "type", "trait", "mod"].contains(&token.as_str())
            && let Some(name) = tokens.get(place)
        {
            if token == "mod" {
                all.insert(format!("mod {name}"));
            }
            known.insert(name.clone());
        }
        rest.push(token.clone());
    }
    for (place, token) in rest.iter().enumerate() {
        if NEVER.contains(&token.as_str()) {
            all.insert(token.clone());
        }
        let first = place == 0 || rest[place - 1] != "::";
        let begins = is_word(token) && (first || ROOTS.contains(&token.as_str()));
        let goes_on = rest.get(place + 1).is_some_and(|it| it == "::");
        if !begins || !goes_on || known.contains(token) {
            continue;
        }
        // Its own generics, as in `size_of::<T>()`, are no path.
        let mut path = token.clone();
        let mut next = place + 1;
        while rest.get(next).is_some_and(|it| it == "::")
            && let Some(word) = rest.get(next + 1).filter(|it| is_word(it))
        {
            path.push_str("::");
            path.push_str(word);
            next += 2;
        }
        if path != *token {
            all.insert(path);
        }
    }
    all
}

/// What a source of `direct` names beyond what it may.
fn beyond(source: &str) -> Vec<String> {
    // What the language and its prelude have; and functions of a type that is
    // named in full may follow.
    let prelude = [
        "Vec", "String", "Option", "Box", "usize", "u8", "u16", "u32", "u64",
    ];
    let allowed = |path: &str| {
        let mut known = DIRECT.iter().chain(&prelude);
        known.any(|known| {
            path == *known
                || path
                    .strip_prefix(*known)
                    .is_some_and(|it| it.starts_with("::"))
        })
    };
    let mut paths = paths(source);
    // Its own file, which is read as well.
    paths.remove("mod queue");
    paths.into_iter().filter(|it| !allowed(it)).collect()
}

/// What a source around `direct` names that it must not.
fn forbidden(source: &str) -> Vec<String> {
    let mut found: Vec<String> = tokens(source)
        .into_iter()
        .filter(|token| NEVER.contains(&token.as_str()))
        .collect();
    let named = paths(source).into_iter().filter(|path| {
        let glob = path.ends_with("*") || path == "dlms" || path == "link";
        let words = path.split("::").any(|word| {
            let word = word.to_ascii_lowercase();
            FORBIDDEN.contains(&word.as_str())
        });
        glob || words
    });
    found.extend(named);
    found
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn read(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    // Tests at the end of a file are none of its paths.
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    text[..end].to_owned()
}

#[test]
fn the_direct_path_names_nothing_that_opens_an_apdu() {
    let mut files = vec![folder().join("direct.rs")];
    for file in std::fs::read_dir(folder().join("direct")).unwrap() {
        files.push(file.unwrap().path());
    }
    let mut named = BTreeSet::new();
    for file in files {
        let source = read(&file);
        named.extend(paths(&source));
        assert_eq!(beyond(&source), Vec::<String>::new(), "{}", file.display());
    }
    // It was read at all: all of the list is used.
    for path in DIRECT {
        let used = named
            .iter()
            .any(|it| it == path || it.starts_with(&format!("{path}::")));
        assert!(used, "{path} is not named: take it off the list");
    }
}

#[test]
fn what_stands_around_it_names_no_keys() {
    for file in ["core.rs", "sap.rs", "identify.rs"] {
        let source = read(&folder().join(file));
        assert!(paths(&source).len() > 3, "{file} was not read");
        assert_eq!(forbidden(&source), Vec::<String>::new(), "{file}");
    }
}

#[test]
fn sources_that_break_the_rule_are_found() {
    let source = read(&folder().join("direct.rs"));
    for line in [
        "use dlms::security::KeyRing;",
        "use dlms::{codec::Reader, security as harmless};",
        "use dlms::{\n    codec::{Reader, Wire as _},\n    security::{self},\n};",
        "use dlms as d;",
        "use dlms::*;",
        "use ::dlms::r#security;",
        "pub use crate::device::Device;",
        "use crate::direct::door::Opener as Message;",
        "use super::door::Opener;",
        "use link::KeyFile as Sap2;",
        "fn open() { dlms::security::AwsLc; }",
        "fn open() { ::dlms /* :: */ :: security::AwsLc::default(); }",
        "fn open() { link::KeyFile::load(path); }",
        "fn open() { crate::collector::open(); }",
        "extern crate dlms as d;",
        "include!(\"../device.rs\");",
        "mod door;",
        "#[path = \"../device.rs\"] mod door { }",
    ] {
        let broken = format!("{source}\n{line}\n");
        assert!(!beyond(&broken).is_empty(), "not found: {line}");
    }
    let around = read(&folder().join("core.rs"));
    for line in [
        "use dlms::security::KeyRing;",
        "use dlms::{client, security as harmless};",
        "use link::{Message, KeyFile as Sap2};",
        "use dlms::*;",
        "fn open() { dlms::client::Security::new(); }",
        "extern crate dlms as d;",
    ] {
        let broken = format!("{around}\n{line}\n");
        assert!(!forbidden(&broken).is_empty(), "not found: {line}");
    }
    // And what only speaks of it is not taken for it.
    for line in [
        "// dlms::security::KeyRing",
        "/* /* dlms::security */ dlms::security::KeyRing */",
        "const WORDS: &str = \"dlms::security::KeyRing\";",
        "const WORDS: &str = r#\"dlms::\"security\"#;",
        "const MARK: char = '\"'; const END: char = '\\'';",
        "fn len<'a>(it: &'a [u8]) -> usize { size_of::<Message>() }",
    ] {
        let fine = format!("{source}\n{line}\n");
        assert_eq!(beyond(&fine), Vec::<String>::new(), "{line}");
    }
}
