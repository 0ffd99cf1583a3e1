//! The one configuration file: a section for each role.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use crate::Outcome;
use crate::failure::Failure;
use crate::output::Output;

/// Octets that a configuration may have.
const FILE_MAX: u64 = 1 << 20;

/// All sections; keys that nobody knows are refused.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The head end's.
    pub(crate) headend: headend::Config,
}

#[derive(Args, Debug)]
pub(crate) struct ConfigOptions {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the default configuration, with a comment at each key
    Default,
    /// Check a file: unknown keys, and values that do not fit
    Check {
        /// The file
        file: PathBuf,
    },
}

pub(crate) fn run(options: &ConfigOptions, output: &mut Output<'_, '_>) -> Outcome {
    match &options.command {
        ConfigCommand::Default => {
            let text = headend::Config::default_toml();
            if output.json() {
                let table: toml::Table = text
                    .parse()
                    .map_err(|error| Failure::new(format!("the default: {error}")))?;
                return output.write_json(&json!(table));
            }
            output.write(text)
        }
        ConfigCommand::Check { file } => {
            load(file)?;
            if output.json() {
                return output.write_json(&json!({"file": file.display().to_string()}));
            }
            output.write(&format!("{}: in order\n", file.display()))
        }
    }
}

/// Reads and checks a file.
pub(crate) fn load(path: &Path) -> Result<Config, Failure> {
    let told = |reason: String| {
        Failure::new(format!("{}: {reason}", path.display()))
            .hint("gridward config default prints every key with its default")
    };
    let length = std::fs::metadata(path)
        .map_err(|error| told(error.to_string()))?
        .len();
    if length > FILE_MAX {
        return Err(told("too large for a configuration".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| told(error.to_string()))?;
    let config: Config =
        toml::from_str(&text).map_err(|error| told(error.to_string().trim().to_owned()))?;
    config
        .headend
        .check()
        .map_err(|error| told(crate::failure::chain(&error)))?;
    Ok(config)
}
