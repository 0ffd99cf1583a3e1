//! Asks for the files of keys and install codes, and tries whether they open
//! what a port tells.

use std::path::PathBuf;
use std::time::Duration;

use link::{SourceSettings, SourceUrl};

use super::search::{Found, Told, told};
use super::{SetupOptions, ask, quoted};
use crate::failure::Failure;
use crate::homegate_role::{install_code, parse, port_keys};
use crate::output::Output;

/// Asks for what the meter at `found` is read with, and gives it as lines of the
/// configuration.
pub(super) fn ask_for(
    found: &Found,
    options: &SetupOptions,
    output: &mut Output<'_, '_>,
) -> Result<String, Failure> {
    let (kind, url) = parse(&found.source)?;
    let scheme = kind.trim_end_matches("+tcp");
    match (scheme, found.is_ciphered) {
        ("ezsp", _) => install_code_of(options, output),
        (_, Some(true)) => keys_of(
            "The port ciphers. In which file is its key? It is 32 hexadecimal digits that\n\
             the grid operator gives; empty to name it later",
            Some(url),
            options,
            output,
        ),
        ("dlms", None) => keys_of(
            "Where the port ciphers: in which file is its key? Empty where it does not",
            None,
            options,
            output,
        ),
        _ => Ok(String::new()),
    }
}

fn install_code_of(options: &SetupOptions, output: &mut Output<'_, '_>) -> Result<String, Failure> {
    let file = file(
        options,
        output,
        "In which file is the install code? The utility lets the radio in that it was\n\
         given this code of; empty to name it later",
    )?;
    let config = homegate::Config {
        install_code_file: file,
        ..homegate::Config::default()
    };
    install_code(&config)?;
    if config.install_code_file.is_none() {
        output.note("Name the file of the install code as install_code_file before the start.");
    }
    Ok(line("install_code_file", config.install_code_file))
}

/// Asks for the files of a port's keys; they must open what is told at `port`.
fn keys_of(
    question: &str,
    port: Option<SourceUrl>,
    options: &SetupOptions,
    output: &mut Output<'_, '_>,
) -> Result<String, Failure> {
    let key_file = file(options, output, question)?;
    if key_file.is_none() {
        if port.is_some() {
            output.note("Name the key's file in the configuration as key_file before the start.");
        }
        return Ok(String::new());
    }
    let auth_key_file = file(
        options,
        output,
        "In which file is its authentication key? Empty where there is none",
    )?;
    let mut config = homegate::Config {
        key_file,
        auth_key_file,
        ..homegate::Config::default()
    };
    let wait = Duration::from_secs(options.listen_s.into());
    let mut opens = |config: &homegate::Config| -> Result<bool, Failure> {
        let keys = port_keys(config)?.map(|(keys, _)| keys);
        let Some(port) = port.clone() else {
            return Ok(true);
        };
        output.note("Listening with the key ..");
        let settings = SourceSettings {
            keys,
            ..SourceSettings::default()
        };
        Ok(matches!(told(port, settings, wait)?, Told::Values))
    };
    let mut lines = String::new();
    if !opens(&config)? {
        config.unauthenticated = true;
        if !opens(&config)? {
            return Err(Failure::new(
                "the key does not open what the port tells; nothing was written",
            )
            .hint("compare the digits; where there is an authentication key, name its file"));
        }
        output.note("Its messages have no tag: whoever is at the wire can forge them.");
        lines.push_str("unauthenticated = true\n");
    }
    lines.push_str(&line("key_file", config.key_file));
    lines.push_str(&line("auth_key_file", config.auth_key_file));
    Ok(lines)
}

/// Asks for a file; nothing where nothing is answered.
fn file(
    options: &SetupOptions,
    output: &mut Output<'_, '_>,
    question: &str,
) -> Result<Option<PathBuf>, Failure> {
    let answer = ask(options, output, question, "")?;
    if answer.is_empty() {
        return Ok(None);
    }
    std::path::absolute(&answer)
        .map(Some)
        .map_err(|error| Failure::usage(format!("{answer}: {error}")))
}

fn line(key: &str, file: Option<PathBuf>) -> String {
    file.map_or_else(String::new, |file| {
        format!("{key} = {}\n", quoted(&file.to_string_lossy()))
    })
}
