//! Which crate may use which. Evidence: what `cargo metadata` says of the
//! workspace itself.
//!
//! Each crate may use only what lies below it; crates of one layer do not use
//! each other, so that roles meet only over the wire.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// The layers from below; a crate that is not here has no place in the house.
const LAYERS: &[(&str, u8)] = &[
    ("dlms", 0),
    ("scion", 0),
    ("sctp", 0),
    ("sys", 0),
    ("model", 1),
    ("han", 2),
    ("link", 3),
    ("sim", 4),
    ("web", 4),
    ("concentrator", 5),
    ("headend", 5),
    ("homegate", 5),
    ("meter", 5),
    ("gridward", 6),
];

/// Crates without input, output, clock or entropy.
const PURE: &[&str] = &["dlms", "han", "model", "scion", "sctp"];

/// What pure crates may use: computation only.
const PURE_DEPENDENCIES: &[&str] = &[
    "aes",
    "aes-gcm",
    "aes-kw",
    "aws-lc-rs", // optional, and nothing of it but ciphers
    "bytes",
    "cbc-mac",
    "crc32c",
    "crc32fast",
    "dlms",
    "hkdf",
    "hmac",
    "model",
    "pbkdf2",
    "quick-xml",
    "serde",
    "sha1",
    "sha2",
    "subtle",
    "thiserror",
    "zeroize",
];

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Each crate of the workspace with what it uses, tests apart.
fn uses(metadata: &Value) -> BTreeMap<String, Vec<String>> {
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap();
            let names = dependencies
                .iter()
                .filter(|dependency| dependency["kind"] != "dev")
                .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
                .collect();
            (package["name"].as_str().unwrap().to_owned(), names)
        })
        .collect()
}

fn faults(uses: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let layer = |name: &str| {
        LAYERS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, layer)| *layer)
    };
    let mut faults = Vec::new();
    for (name, dependencies) in uses {
        let Some(own) = layer(name) else {
            faults.push(format!("{name} has no layer"));
            continue;
        };
        for dependency in dependencies {
            if let Some(other) = layer(dependency)
                && other >= own
            {
                faults.push(format!("{name} uses {dependency}, which is not below it"));
            }
            if PURE.contains(&name.as_str()) && !PURE_DEPENDENCIES.contains(&dependency.as_str()) {
                faults.push(format!("{name} is pure and uses {dependency}"));
            }
        }
    }
    faults
}

#[test]
fn dependencies_point_down() {
    let uses = uses(&metadata());
    assert!(uses.len() >= LAYERS.len(), "crates are missing: {uses:?}");
    assert_eq!(faults(&uses), Vec::<String>::new());
}

#[test]
fn what_points_up_or_sideways_is_found() {
    let of = |name: &str, uses: &[&str]| {
        let uses = uses.iter().map(|name| (*name).to_owned()).collect();
        BTreeMap::from([(name.to_owned(), uses)])
    };
    assert_eq!(faults(&of("headend", &["link", "dlms"])).len(), 0);
    assert_eq!(faults(&of("headend", &["meter"])).len(), 1);
    assert_eq!(faults(&of("link", &["headend"])).len(), 1);
    assert_eq!(faults(&of("dlms", &["tokio"])).len(), 1);
    assert_eq!(faults(&of("attic", &[])).len(), 1);
}
