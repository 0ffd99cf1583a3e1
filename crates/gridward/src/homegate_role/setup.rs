//! `gridward homegate setup`: a few questions, and the configuration is there.

mod search;
mod secrets;

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use homegate::credential::Credentials;
use link::{Clock as _, SystemClock};
use model::Timestamp;
use serde_json::json;
use zeroize::Zeroizing;

use self::search::Found;
use crate::failure::Failure;
use crate::output::Output;
use crate::{Outcome, config};

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gridward homegate setup
  gridward homegate setup --yes --config /etc/gridward/gridward.toml

It listens to serial devices as meters' ports speak, and asks what it cannot
find out. Nothing is sent to a device, but to a silent one of which you say
that it is a RAVEn or EMU-2 adapter: that one is asked for its values.")]
pub(super) struct SetupOptions {
    /// The configuration to write; one that is there is left alone
    #[arg(long, value_name = "FILE", default_value = "gridward.toml")]
    config: PathBuf,

    /// Data folder [default: homegate in the state folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Where the meter is, where it is not to be looked for
    #[arg(long, value_name = "URL")]
    source: Option<String>,

    /// Folder of serial devices
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/dev/serial/by-id",
        hide = true
    )]
    devices: PathBuf,

    /// Seconds to listen to a port in each way
    #[arg(long, value_name = "N", default_value_t = 12,
          value_parser = clap::value_parser!(u32).range(1..=300))]
    listen_s: u32,

    /// Ask nothing, take what is found and the defaults
    #[arg(long)]
    yes: bool,
}

/// Characters of an answer.
const ANSWER_MAX: u64 = 1_024;

pub(super) fn run(options: &SetupOptions, output: &mut Output<'_, '_>) -> Outcome {
    if options.config.exists() {
        return Err(Failure::new(format!(
            "{} is there already and left alone",
            options.config.display()
        ))
        .hint("name another file with --config, or edit the section [homegate] of this one"));
    }
    let found = match &options.source {
        Some(source) => Found {
            source: source.clone(),
            is_ciphered: None,
        },
        None => match search::search(options, output)? {
            Some(found) => found,
            None => named(options, output)?,
        },
    };
    let secrets = secrets::ask_for(&found, options, output)?;
    let source = found.source;
    let name = ask(options, output, "What is this place called?", "At home")?;
    let zone = ask(options, output, "In which time zone is it?", &zone())?;
    let whole = ask(
        options,
        output,
        "Shall others in the home network see the page? yes or no",
        "yes",
    )?;
    let listen: SocketAddr = if whole.eq_ignore_ascii_case("no") {
        SocketAddr::from(([127, 0, 0, 1], 8_443))
    } else {
        SocketAddr::from(([0, 0, 0, 0], 8_443))
    };
    let password = Zeroizing::new(ask(
        options,
        output,
        "A password of 10 characters or more; empty for one that is made and told at the end",
        "",
    )?);
    let mut text = format!(
        "# Written by gridward homegate setup; gridward config default shows every key.\n\
         [homegate]\nname = {}\nzone = {}\nlisten = {}\nsource = {}\n",
        quoted(&name),
        quoted(&zone),
        quoted(&listen.to_string()),
        quoted(&source)
    );
    text.push_str(&secrets);
    if let Some(data) = &options.data {
        let data = std::path::absolute(data).unwrap_or_else(|_| data.clone());
        text.push_str(&format!("data = {}\n", quoted(&data.to_string_lossy())));
    }
    write(&options.config, &text)?;
    // What was written is what will be read.
    let checked = config::load(&options.config);
    let config = match checked {
        Ok(config) => config.homegate,
        Err(failure) => {
            // Nothing that does not hold is left behind.
            drop(fs::remove_file(&options.config));
            return Err(failure);
        }
    };
    let data = super::folder(options.data.as_deref(), &config)?;
    let chosen = Some(password.as_str()).filter(|password| !password.is_empty());
    if chosen.is_some() && Credentials::exist(&data) {
        output.note("There was a password before; the new one takes its place.");
    }
    let now = Timestamp::from_millis(SystemClock::new().unix_millis());
    let prepared = homegate::prepare(&config, &data, chosen, now).map_err(|error| {
        drop(fs::remove_file(&options.config));
        Failure::new(crate::failure::chain(&error))
    })?;
    let start = format!("gridward homegate --config {}", options.config.display());
    if output.json() {
        return output.write_json(&json!({
            "config": options.config.display().to_string(),
            "source": source,
            "listen": listen.to_string(),
            "data": data.display().to_string(),
            "user": prepared.user,
            "password": prepared.made.as_ref().map(|made| made.password.as_str()),
            "fingerprint": prepared.fingerprint,
        }));
    }
    let password = super::password(prepared.made.as_ref(), output.style());
    output.write(&format!(
        "Written: {}\n{password}Certificate, SHA-256:\n  {}\nStart with:\n  {start}\n",
        options.config.display(),
        prepared.fingerprint
    ))
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// Asks where the meter is, which was not found.
fn named(options: &SetupOptions, output: &mut Output<'_, '_>) -> Result<Found, Failure> {
    let source = ask(
        options,
        output,
        "Where is the meter? A URL as p1:///dev/ttyAMA0, p1+tcp://HOST:PORT, or\n\
         ezsp:///dev/ttyUSB0 for a ZigBee radio",
        "",
    )?;
    if source.is_empty() {
        return Err(Failure::new("no meter was found, and none was named")
            .hint("plug the reader in, or name it: --source p1:///dev/ttyUSB0"));
    }
    Ok(Found {
        source,
        is_ciphered: None,
    })
}

/// Asks, and takes the default where nothing is answered.
fn ask(
    options: &SetupOptions,
    output: &mut Output<'_, '_>,
    question: &str,
    default: &str,
) -> Result<String, Failure> {
    if options.yes {
        return Ok(default.to_owned());
    }
    let shown = match default {
        "" => String::new(),
        default => format!(" [{default}]"),
    };
    output.note(&format!("{question}{shown}"));
    let mut answer = Vec::new();
    // One octet at a time: what is behind the line belongs to the next answer.
    let mut reader = BufReader::with_capacity(1, output.input().take(ANSWER_MAX));
    reader
        .read_until(b'\n', &mut answer)
        .map_err(|error| Failure::new(format!("standard input cannot be read: {error}")))?;
    let answer =
        String::from_utf8(answer).map_err(|_| Failure::usage("an answer is text in UTF-8"))?;
    let answer = answer.trim();
    Ok(if answer.is_empty() { default } else { answer }.to_owned())
}

/// The zone of this machine.
fn zone() -> String {
    let linked = fs::read_link("/etc/localtime").ok();
    let linked = linked.as_deref().and_then(Path::to_str);
    linked
        .and_then(|path| path.split_once("zoneinfo/"))
        .map_or_else(|| "UTC".to_owned(), |(_, zone)| zone.to_owned())
}

fn write(path: &Path, text: &str) -> Outcome {
    let cannot = |error: std::io::Error| Failure::new(format!("{}: {error}", path.display()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(cannot)?;
    file.write_all(text.as_bytes()).map_err(cannot)
}
