//! `gridward config`: the configuration file, one section a role.

use std::path::Path;

use serde::Deserialize;

use crate::Outcome;
use crate::cli::{ConfigCommand, ConfigOptions};
use crate::failure::Failure;
use crate::output::Output;

/// The whole file; unknown keys are refused.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    /// The head end's section.
    pub(crate) headend: ::headend::Config,
}

pub(crate) fn run(options: &ConfigOptions, output: &mut Output<'_, '_>) -> Outcome {
    match &options.command {
        ConfigCommand::Default => output.write(::headend::Config::default_toml()),
        ConfigCommand::Check { file } => {
            let settings = load(file)?;
            settings
                .headend
                .check()
                .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
            if output.json() {
                return output.write_json(&serde_json::json!({ "file": file, "valid": true }));
            }
            output.write(&format!("{} can be used\n", file.display()))
        }
    }
}

/// Reads a configuration file.
pub(crate) fn load(path: &Path) -> Result<File, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        let line = error.span().map_or(0, |span| {
            text.bytes()
                .take(span.start)
                .filter(|octet| *octet == b'\n')
                .count()
                + 1
        });
        Failure::new(format!(
            "{} line {line}: {}",
            path.display(),
            error.message()
        ))
        .hint("every key, with its default: gridward config default")
    })
}
