//! `gridward keys`: making and checking key files.

use std::path::Path;

use link::{KeyFile, KeyFileError, SystemEntropy};
use serde_json::json;

use crate::cli::{KeysCommand, KeysOptions};
use crate::failure::Failure;
use crate::output::{Ink, Output};
use crate::{Outcome, text};

pub(crate) fn run(options: &KeysOptions, output: &mut Output<'_, '_>) -> Outcome {
    match &options.command {
        KeysCommand::Generate {
            file,
            count,
            first,
            drkey,
        } => generate(file, *first, *count, *drkey, output),
        KeysCommand::Collector { file, out, client } => collector(file, out, *client, output),
        KeysCommand::Outlets(options) => crate::papers::run(options, output),
        KeysCommand::Check { file } => check(file, output),
    }
}

fn generate(
    path: &Path,
    first: u32,
    count: u32,
    drkey: bool,
    output: &mut Output<'_, '_>,
) -> Outcome {
    if path.exists() {
        return Err(Failure::new(format!("{} is there already", path.display()))
            .hint("choose another name, or move the file away: its keys may be in use"));
    }
    if first.checked_add(count).is_none() {
        return Err(Failure::usage(
            "--first and --count lead past the last number",
        ));
    }
    let generated = KeyFile::generate(first, count, &SystemEntropy).and_then(|mut file| {
        if drkey {
            file.derive_by_network(&SystemEntropy)?;
        }
        Ok(file)
    });
    let file = generated
        .map_err(|error| Failure::new(format!("the system gives no random octets: {error}")))?;
    file.save(path).map_err(|error| failure(&error))?;
    if output.json() {
        return output.write_json(&json!({
            "file": path.display().to_string(),
            "meters": file.meters.len(),
            "first": file.meters.first().map(|meter| meter.logical_device_name.as_str()),
            "last": file.meters.last().map(|meter| meter.logical_device_name.as_str()),
        }));
    }
    let names = match (file.meters.first(), file.meters.last()) {
        (Some(first), Some(last)) if file.meters.len() > 1 => format!(
            "{} to {}",
            first.logical_device_name, last.logical_device_name
        ),
        (Some(only), _) => only.logical_device_name.to_string(),
        (None, _) => "no meter".to_owned(),
    };
    output.write(&format!(
        "{}: fresh keys of {}, {names}\n",
        path.display(),
        meters(file.meters.len()),
    ))
}

fn collector(path: &Path, out: &Path, client: u16, output: &mut Output<'_, '_>) -> Outcome {
    if out.exists() {
        return Err(Failure::new(format!("{} is there already", out.display()))
            .hint("choose another name, or move the file away"));
    }
    let mut file = KeyFile::load(path).map_err(|error| failure(&error))?;
    file.add_client(client, &SystemEntropy)
        .map_err(|error| Failure::new(format!("the system gives no random octets: {error}")))?;
    let given = file.of_client(client);
    // What the meters need first: a concentrator with keys that no meter has
    // would be locked out.
    file.save(path).map_err(|error| failure(&error))?;
    given.save(out).map_err(|error| failure(&error))?;
    if output.json() {
        return output.write_json(&json!({
            "file": out.display().to_string(),
            "client": client,
            "meters": given.meters.len(),
        }));
    }
    output.write(&format!(
        "{}: keys of client {client} for {}\n",
        out.display(),
        meters(given.meters.len()),
    ))
}

fn check(path: &Path, output: &mut Output<'_, '_>) -> Outcome {
    let file = KeyFile::load(path).map_err(|error| failure(&error))?;
    let weak = file.weak();
    if weak.is_empty() {
        if output.json() {
            return output.write_json(&json!({
                "file": path.display().to_string(),
                "meters": file.meters.len(),
                "weak": [],
            }));
        }
        return output.write(&format!(
            "{}: {}, no known weak key\n",
            path.display(),
            meters(file.meters.len())
        ));
    }
    let failure = Failure::new(format!(
        "{}: {} known to everybody",
        path.display(),
        match weak.len() {
            1 => "one secret is".to_owned(),
            count => format!("{count} secrets are"),
        }
    ))
    .hint("gridward keys generate FILE makes fresh keys");
    if output.json() {
        let weak: Vec<_> = weak
            .iter()
            .map(|(meter, what, weakness)| {
                json!({"meter": meter, "key": what, "weakness": weakness})
            })
            .collect();
        return Err(failure
            .with("meters", json!(file.meters.len()))
            .with("weak", json!(weak)));
    }
    let style = output.style();
    for (meter, what, weakness) in &weak {
        let head = format!("{meter}: {what}");
        output.write(&format!("{}\n", style.paint(Ink::Head, &head)))?;
        for line in text::wrap(weakness, 76) {
            output.write(&format!("    {line}\n"))?;
        }
    }
    Err(failure)
}

fn meters(count: usize) -> String {
    match count {
        1 => "1 meter".to_owned(),
        count => format!("{count} meters"),
    }
}

/// Turns a fault of a key file into what is told.
pub(crate) fn failure(error: &KeyFileError) -> Failure {
    Failure::new(crate::failure::chain(error))
}
