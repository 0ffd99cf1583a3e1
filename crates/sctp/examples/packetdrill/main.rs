//! `packetdrill [-v] [--markdown] SCRIPT|FOLDER…`: runs scripts in
//! packetdrill's format against the stack, in simulated time. A script with
//! `#ifdef` passes when it does so as Linux or as FreeBSD.
//!
//! ```text
//! cargo run -p sctp --example packetdrill -- crates/sctp/tests/it/scripts
//! ```
#![allow(
    clippy::allow_attributes,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it tells its verdicts"
)]

mod run;
mod script;
mod socket;
mod wire;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut verbose = false;
    let mut markdown = false;
    let mut paths = Vec::new();
    for argument in std::env::args_os().skip(1) {
        match argument.to_str() {
            Some("-v") => verbose = true,
            Some("--markdown") => markdown = true,
            _ => collect(Path::new(&argument), &mut paths),
        }
    }
    if paths.is_empty() {
        eprintln!("packetdrill [-v] [--markdown] SCRIPT|FOLDER…");
        return ExitCode::from(2);
    }
    paths.sort();
    let mut passed = 0;
    for path in &paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let verdict = match std::fs::read_to_string(path) {
            Ok(text) => {
                run::run_text(&text, &["Linux", "FreeBSD"]).map_err(|failure| failure.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        passed += usize::from(verdict.is_ok());
        match verdict {
            Ok(system) if markdown => println!("| {name} | passed ({system}) |"),
            Err(why) if markdown => println!("| {name} | failed: {why} |"),
            Ok(system) if verbose => println!("passed  {name} (as {system})"),
            Ok(_) => {}
            Err(why) => println!("FAILED  {name}: {why}"),
        }
    }
    println!("{passed} of {} passed", paths.len());
    if passed == paths.len() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The scripts of a folder and of those within it.
fn collect(path: &Path, into: &mut Vec<PathBuf>) {
    if !path.is_dir() {
        into.push(path.to_owned());
        return;
    }
    let Ok(entries) = std::fs::read_dir(path) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_script = path.extension().is_some_and(|extension| extension == "pkt");
        if is_script || path.is_dir() {
            collect(&path, into);
        }
    }
}
