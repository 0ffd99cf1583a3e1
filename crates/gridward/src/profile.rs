//! How an association with a meter is made: from options, from a profile file,
//! or as the local configuration says for a meter with a name.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use dlms::security::SystemTitle;
use link::Sap;
use serde::Deserialize;

use crate::failure::Failure;
use crate::secret::Secret;

/// What there is to say about an association; each of these is an option of
/// the command line and a key of a profile.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[command(next_help_heading = "Association")]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Profile {
    /// Where the meter is: of a meter in the configuration only.
    #[arg(skip)]
    pub(crate) url: Option<String>,

    /// Our own SAP [default: 16, the public client; with --keys the first of
    /// the meter's entry]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) client: Option<Sap>,

    /// The logical device's SAP [default: 1]
    #[arg(long, value_name = "N")]
    pub(crate) server: Option<Sap>,

    /// How to show who we are [default: hls5 with --key, lls with --password]
    #[arg(long, value_enum, value_name = "MECHANISM")]
    pub(crate) security: Option<Mechanism>,

    /// Password: its characters, hex:DIGITS, or @FILE
    #[arg(
        long,
        value_name = "P",
        env = "GRIDWARD_PASSWORD",
        hide_env_values = true
    )]
    pub(crate) password: Option<Secret>,

    /// Encryption key (GUEK): hexadecimal digits or @FILE
    #[arg(long, value_name = "EK", env = "GRIDWARD_KEY", hide_env_values = true)]
    pub(crate) key: Option<Secret>,

    /// Authentication key (GAK): hexadecimal digits or @FILE
    #[arg(
        long,
        value_name = "AK",
        env = "GRIDWARD_AUTH_KEY",
        hide_env_values = true
    )]
    pub(crate) auth_key: Option<Secret>,

    /// Our own system title [default: made once, kept in the state folder]
    #[arg(long, value_name = "T")]
    pub(crate) system_title: Option<String>,

    /// How requests are protected [default: authenc where there are keys]
    #[arg(
        long,
        value_enum,
        value_name = "none|auth|enc|authenc",
        hide_possible_values = true
    )]
    pub(crate) protect: Option<Protect>,

    /// The form of protected requests [default: glo]
    #[arg(
        long,
        value_enum,
        value_name = "glo|ded|general-glo|general-ded",
        hide_possible_values = true
    )]
    pub(crate) wrapping: Option<Form>,

    /// Security suite
    #[arg(long, value_name = "0|1|2", value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) suite: Option<u8>,

    /// Take keys and mechanism from this key file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "auth_key", "password"])]
    pub(crate) keys: Option<PathBuf>,

    /// The meter's entry in it: system title or logical device name; without
    /// it the name is first read as client 16
    #[arg(long, value_name = "NAME")]
    pub(crate) meter: Option<String>,

    /// Where used invocation counters are remembered
    /// [default: ~/.local/state/gridward]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,

    /// The longest APDU that we take; longer values come in blocks
    /// [default: 65535]
    #[arg(long, value_name = "OCTETS",
          value_parser = clap::value_parser!(u16).range(i64::from(MAX_PDU_LEAST)..))]
    pub(crate) max_pdu: Option<u16>,

    /// How long to wait for an answer [default: 10]
    #[arg(long, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=TIMEOUT_MAX))]
    pub(crate) timeout: Option<u64>,
}

/// The shortest APDU that we may be told to take at most, in octets.
const MAX_PDU_LEAST: u16 = 64;

/// The longest wait for an answer, in seconds.
const TIMEOUT_MAX: u64 = 3_600;

/// How somebody shows who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mechanism {
    None,
    Lls,
    Hls3,
    Hls4,
    Hls5,
    Hls6,
    Hls7,
}

/// How requests are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protect {
    None,
    Auth,
    Enc,
    Authenc,
}

/// The form of protected requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Form {
    #[default]
    Glo,
    Ded,
    GeneralGlo,
    GeneralDed,
}

impl Profile {
    /// The keys as they stand in the configuration, for people.
    pub(crate) const DEFAULT_TOML: &'static str = include_str!("profile.toml");

    /// Puts what `self` says before what `base` says. One secret of `self`
    /// takes the place of all of `base`, so that those of two meters never
    /// mix.
    pub(crate) fn over(self, base: Self) -> Self {
        let of = if self.has_secrets() { &self } else { &base };
        let secrets = of.clone();
        Self {
            url: self.url.or(base.url),
            client: self.client.or(base.client),
            server: self.server.or(base.server),
            security: self.security.or(base.security),
            password: secrets.password,
            key: secrets.key,
            auth_key: secrets.auth_key,
            system_title: self.system_title.or(base.system_title),
            protect: self.protect.or(base.protect),
            wrapping: self.wrapping.or(base.wrapping),
            suite: self.suite.or(base.suite),
            keys: secrets.keys,
            meter: self.meter.or(secrets.meter),
            state: self.state.or(base.state),
            max_pdu: self.max_pdu.or(base.max_pdu),
            timeout: self.timeout.or(base.timeout),
        }
    }

    fn has_secrets(&self) -> bool {
        self.keys.is_some() || self.secrets().any(|_| true)
    }

    fn secrets(&self) -> impl Iterator<Item = &Secret> {
        [&self.password, &self.key, &self.auth_key]
            .into_iter()
            .flatten()
    }

    /// Whether a secret stands in it, and not only the name of its file.
    pub(crate) fn holds_secret(&self) -> bool {
        self.secrets().any(|secret| !secret.is_reference())
    }

    /// Takes the names of files as seen from `folder`.
    pub(crate) fn anchor(&mut self, folder: &Path) {
        for path in [&mut self.keys, &mut self.state].into_iter().flatten() {
            *path = folder.join(&*path);
        }
        for secret in [&mut self.password, &mut self.key, &mut self.auth_key]
            .into_iter()
            .flatten()
        {
            secret.anchor(folder);
        }
    }

    /// Says what is wrong with it, as a key and a reason.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.client == Some(0) {
            return Err("client: 0 is no station".to_owned());
        }
        if self.suite.is_some_and(|suite| suite > 2) {
            return Err("suite is 0, 1 or 2".to_owned());
        }
        if self.max_pdu.is_some_and(|size| size < MAX_PDU_LEAST) {
            return Err(format!("max_pdu is {MAX_PDU_LEAST} to 65535 octets"));
        }
        if (self.timeout).is_some_and(|timeout| !(1..=TIMEOUT_MAX).contains(&timeout)) {
            return Err(format!("timeout is 1 to {TIMEOUT_MAX} seconds"));
        }
        if self.keys.is_some() && self.secrets().any(|_| true) {
            return Err("keys takes the place of key, auth_key and password".to_owned());
        }
        if self.meter.is_some() && self.keys.is_none() {
            return Err("meter names an entry of a key file, and keys is missing".to_owned());
        }
        if let Some(title) = &self.system_title {
            system_title(title).map_err(|_| "system_title is 16 hexadecimal digits")?;
        }
        for (name, key) in [("key", &self.key), ("auth_key", &self.auth_key)] {
            if let Some(key) = key
                && !key.is_reference()
            {
                key.key(name).map_err(|failure| failure.sentence())?;
            }
        }
        Ok(())
    }
}

/// Reads a system title as people write it.
pub(crate) fn system_title(text: &str) -> Result<SystemTitle, Failure> {
    text.parse().map_err(|error| {
        Failure::usage(format!("--system-title {text}: not a system title"))
            .hint(format!("{error}"))
    })
}
