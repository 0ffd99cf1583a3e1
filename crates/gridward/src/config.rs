//! The one configuration file: a section for each role, and meters by name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use zeroize::Zeroizing;

use crate::Outcome;
use crate::failure::Failure;
use crate::outlet_role::OutletMeterConfig;
use crate::output::Output;
use crate::profile::Profile;
use crate::sig_role::SigConfig;

/// Octets that a configuration may have.
const FILE_MAX: u64 = 1 << 20;

/// Characters that the name of a meter may have.
const NAME_LEN_MAX: usize = 64;

/// Names that are told where a name is not known.
const NAMES_SHOWN_MAX: usize = 8;

/// All sections; keys that nobody knows are refused.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The head end's.
    pub(crate) headend: headend::Config,
    /// The concentrator's.
    pub(crate) concentrator: concentrator::Config,
    /// The home gateway's.
    pub(crate) homegate: homegate::Config,
    /// That of a virtual meter of outlets.
    pub(crate) outlet_meter: OutletMeterConfig,
    /// The gateway's.
    pub(crate) sig: SigConfig,
    /// Meters that the commands know by name.
    meters: BTreeMap<String, Profile>,
}

#[derive(Args, Debug)]
pub(crate) struct ConfigOptions {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the default configuration, with a comment at each key
    #[command(after_help = "\
Examples:
  gridward config default > gridward.toml
  gridward headend --config gridward.toml
  gridward read kitchen 1-0:1.8.0 --config gridward.toml")]
    Default,
    /// Check a file: unknown keys, values that do not fit, who may read it
    #[command(after_help = "\
Examples:
  gridward config check ~/.config/gridward/gridward.toml
  gridward config check --profile lab.toml")]
    Check {
        /// The file
        file: PathBuf,
        /// The file is one for --profile-file
        #[arg(long)]
        profile: bool,
    },
}

pub(crate) fn run(options: &ConfigOptions, output: &mut Output<'_, '_>) -> Outcome {
    match &options.command {
        ConfigCommand::Default => {
            let text = format!(
                "{}{}\n{}\n{}\n{}\n{}",
                headend::Config::default_toml(),
                concentrator::Config::default_toml(),
                homegate::Config::default_toml(),
                OutletMeterConfig::DEFAULT_TOML,
                SigConfig::DEFAULT_TOML,
                Profile::DEFAULT_TOML
            );
            if output.json() {
                let table: toml::Table = text
                    .parse()
                    .map_err(|error| Failure::new(format!("the default: {error}")))?;
                return output.write_json(&json!(table));
            }
            output.write(&text)
        }
        ConfigCommand::Check { file, profile } => {
            if *profile {
                load_profile(file)?;
            } else {
                load(file)?;
            }
            if output.json() {
                return output.write_json(&json!({"file": file.display().to_string()}));
            }
            output.write(&format!("{}: in order\n", file.display()))
        }
    }
}

/// Reads and checks a configuration.
pub(crate) fn load(path: &Path) -> Result<Config, Failure> {
    let (mut config, mode): (Config, u32) = read(path)?;
    config
        .headend
        .check()
        .map_err(|error| told(path, &crate::failure::chain(&error)))?;
    config
        .concentrator
        .check()
        .map_err(|error| told(path, &crate::failure::chain(&error)))?;
    config
        .homegate
        .check()
        .map_err(|error| told(path, &crate::failure::chain(&error)))?;
    config
        .outlet_meter
        .check()
        .map_err(|reason| told(path, &format!("outlet_meter.{reason}")))?;
    config
        .sig
        .check()
        .map_err(|reason| told(path, &format!("sig.{reason}")))?;
    for (name, profile) in &mut config.meters {
        let fault = |reason: &str| told(path, &format!("meters.{}: {reason}", name.escape_debug()));
        if name.is_empty()
            || name.chars().count() > NAME_LEN_MAX
            || name.contains("://")
            || name.chars().any(char::is_control)
        {
            return Err(fault("a name has 1 to 64 characters and is no URL"));
        }
        match &profile.url {
            None => return Err(fault("url is missing")),
            Some(url) => {
                let endpoint = url.parse::<link::Endpoint>();
                endpoint.map_err(|error| fault(&format!("url: {error}")))?;
            }
        }
        profile.check().map_err(|reason| fault(&reason))?;
        if profile.holds_secret() && mode & 0o077 != 0 {
            return Err(exposed(path, mode));
        }
        profile.anchor(folder(path));
    }
    config.headend.relative_to(folder(path));
    config.homegate.relative_to(folder(path));
    config.outlet_meter.relative_to(folder(path));
    Ok(config)
}

/// Reads and checks a file of `--profile-file`.
pub(crate) fn load_profile(path: &Path) -> Result<Profile, Failure> {
    let (mut profile, mode): (Profile, u32) = read(path)?;
    if profile.url.is_some() {
        return Err(told(
            path,
            "url: a profile goes with any place; a meter with a place stands in the configuration",
        ));
    }
    profile.check().map_err(|reason| told(path, &reason))?;
    if profile.holds_secret() && mode & 0o077 != 0 {
        return Err(exposed(path, mode));
    }
    profile.anchor(folder(path));
    Ok(profile)
}

/// Finds a meter's URL and profile in `path`, or in the user's configuration.
pub(crate) fn meter(name: &str, path: Option<&Path>) -> Result<(String, Profile), Failure> {
    const WRITE: &str = "write a URL, as in tcp://10.0.0.7, or give the meter this name in the \
                         configuration: gridward config default shows how";
    let path = match path {
        Some(path) => path.to_owned(),
        None => default_path().filter(|path| path.exists()).ok_or_else(|| {
            Failure::usage(format!(
                "{name} is no URL, and there is no configuration that knows meters by name"
            ))
            .hint(WRITE)
        })?,
    };
    let mut config = load(&path)?;
    match config.meters.remove(name) {
        Some(mut profile) => match profile.url.take() {
            Some(url) => Ok((url, profile)),
            // Checked when it was read.
            None => Err(told(&path, "url is missing")),
        },
        None => {
            let failure =
                Failure::usage(format!("{}: there is no meter {name}", path.display())).hint(WRITE);
            let known: Vec<&str> = config
                .meters
                .keys()
                .take(NAMES_SHOWN_MAX)
                .map(String::as_str)
                .collect();
            let more = match config.meters.len().saturating_sub(known.len()) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            Err(match known.as_slice() {
                [] => failure,
                known => failure.hint(format!("it has: {}{more}", known.join(", "))),
            })
        }
    }
}

/// The user's configuration.
fn default_path() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    from("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| from("HOME").map(|home| PathBuf::from(home).join(".config")))
        .map(|folder| folder.join("gridward/gridward.toml"))
}

/// Reads a file's keys, and tells who may read it.
fn read<T: DeserializeOwned>(path: &Path) -> Result<(T, u32), Failure> {
    let cannot = |error: std::io::Error| told(path, &error.to_string());
    let file = File::open(path).map_err(cannot)?;
    let mode = file.metadata().map_err(cannot)?.mode();
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_MAX + 1)
        .read_to_string(&mut text)
        .map_err(cannot)?;
    if text.len() as u64 > FILE_MAX {
        return Err(told(path, "too large for a configuration"));
    }
    let content =
        toml::from_str(&text).map_err(|error| told(path, &link::toml_fault(&text, &error)))?;
    Ok((content, mode))
}

fn told(path: &Path, reason: &str) -> Failure {
    Failure::new(format!("{}: {reason}", path.display()))
        .hint("gridward config default prints every key with its default")
}

fn exposed(path: &Path, mode: u32) -> Failure {
    Failure::new(format!(
        "{}: a secret stands in it, and others may read it (mode {:04o})",
        path.display(),
        mode & 0o777
    ))
    .hint(format!(
        "chmod 600 {}, or name the secret's file in its place: @FILE",
        path.display()
    ))
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new(""))
}
