//! The home gateway's section of the configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::calendar::{Calendar, UnknownZone};
use crate::tariff::{Tariff, TariffConfig, TariffError};

/// Configuration of the home gateway; unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Names the place.
    pub name: String,
    /// Names the zone by which days begin and end.
    pub zone: String,
    /// Holds the address that everything listens on.
    pub listen: SocketAddr,
    /// Says where the meter is, as a URL.
    pub source: Option<String>,
    /// Names the file of the encryption key of a port that ciphers.
    pub key_file: Option<PathBuf>,
    /// Names the file of its authentication key.
    pub auth_key_file: Option<PathBuf>,
    /// Names the file of the install code of a radio.
    pub install_code_file: Option<PathBuf>,
    /// Says whether messages without a tag are taken.
    pub unauthenticated: bool,
    /// Holds the time between two polls, in seconds.
    pub interval_s: u32,
    /// Holds how old a value may be that counts as current, in seconds.
    pub current_age_max_s: u32,
    /// Holds the place's offset from UTC without daylight saving, in minutes.
    pub standard_offset_minutes: Option<i16>,
    /// Says whether history is kept.
    pub history: bool,
    /// Holds how long it is kept, in months.
    pub history_months: u16,
    /// Bounds its file, in octets.
    pub history_octets_max: u64,
    /// Bounds its rows.
    pub history_rows_max: u32,
    /// Names the folder of certificate, credential and history.
    pub data: Option<PathBuf>,
    /// Names the file of the certificate, where one is provided.
    pub cert: Option<PathBuf>,
    /// Names the file of its private key.
    pub key: Option<PathBuf>,
    /// Lists names and addresses for the own certificate.
    pub names: Vec<String>,
    /// Bounds connections.
    pub connections: usize,
    /// Bounds event streams.
    pub streams: usize,
    /// Names the file of third parties.
    pub third_parties: Option<PathBuf>,
    /// Says whether the gateway is announced by mDNS.
    pub mdns: bool,
    /// Tells what electricity costs.
    pub tariff: Option<TariffConfig>,
    /// Tells where values are published.
    pub mqtt: Option<MqttConfig>,
}

/// Where values are published by MQTT.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttConfig {
    /// Names the broker's host.
    pub host: String,
    /// Holds its port; 1883, or 8883 with TLS, where it is not said.
    pub port: Option<u16>,
    /// Says whether it is reached over TLS.
    #[serde(default)]
    pub tls: bool,
    /// Names the file of the authority that signed its certificate.
    pub ca: Option<PathBuf>,
    /// Names the user.
    pub user: Option<String>,
    /// Names the file of the password.
    pub password_file: Option<PathBuf>,
    /// Says how Home Assistant is told of the device.
    #[serde(default)]
    pub discovery: Discovery,
    /// Holds what topics of discovery begin with.
    #[serde(default = "discovery_prefix")]
    pub discovery_prefix: String,
    /// Holds what the gateway's own topics begin with.
    #[serde(default = "topic")]
    pub topic: String,
}

/// How Home Assistant is told of the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Discovery {
    /// One message for the device: from version 2024.11 on.
    #[default]
    Device,
    /// One for each entity.
    Entities,
}

fn discovery_prefix() -> String {
    "homeassistant".to_owned()
}

fn topic() -> String {
    "gridward".to_owned()
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "At home".to_owned(),
            zone: "UTC".to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8443)),
            source: None,
            key_file: None,
            auth_key_file: None,
            install_code_file: None,
            unauthenticated: false,
            interval_s: 7,
            current_age_max_s: 60,
            standard_offset_minutes: None,
            history: true,
            history_months: 13,
            history_octets_max: 64 << 20,
            history_rows_max: 600_000,
            data: None,
            cert: None,
            key: None,
            names: Vec::new(),
            connections: 64,
            streams: 16,
            third_parties: None,
            mdns: false,
            tariff: None,
            mqtt: None,
        }
    }
}

impl Config {
    /// Tells the default as a section of TOML with a comment at each key.
    #[must_use]
    pub const fn default_toml() -> &'static str {
        include_str!("config.toml")
    }

    /// Takes files that it names without a folder from this one, which is the
    /// configuration's own.
    pub fn relative_to(&mut self, folder: &Path) {
        let mut files = vec![
            &mut self.key_file,
            &mut self.auth_key_file,
            &mut self.install_code_file,
            &mut self.data,
            &mut self.cert,
            &mut self.key,
            &mut self.third_parties,
        ];
        if let Some(mqtt) = &mut self.mqtt {
            files.extend([&mut mqtt.ca, &mut mqtt.password_file]);
        }
        for file in files.into_iter().flatten() {
            *file = folder.join(&*file);
        }
    }

    /// Checks values that must fit each other.
    ///
    /// # Errors
    /// [`ConfigError`] says which key and why.
    pub fn check(&self) -> Result<(Calendar, Option<Tariff>), ConfigError> {
        let out_of_range = |key, range| Err(ConfigError::Range { key, range });
        let plain = |text: &str, most: usize| {
            (1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control)
        };
        if !plain(&self.name, 60) {
            return out_of_range("name", "1 to 60 characters");
        }
        if !(7..=3_600).contains(&self.interval_s) {
            return out_of_range("interval_s", "7 to 3600");
        }
        if !(10..=86_400).contains(&self.current_age_max_s) {
            return out_of_range("current_age_max_s", "10 to 86400");
        }
        if self
            .standard_offset_minutes
            .is_some_and(|minutes| minutes.unsigned_abs() > 14 * 60)
        {
            return out_of_range("standard_offset_minutes", "-840 to 840");
        }
        if !(1..=120).contains(&self.history_months) {
            return out_of_range("history_months", "1 to 120");
        }
        if !((1 << 20)..=(1 << 40)).contains(&self.history_octets_max) {
            return out_of_range("history_octets_max", "1 MiB to 1 TiB");
        }
        if self.history_rows_max < 1_440 {
            return out_of_range("history_rows_max", "1440 and more: a day");
        }
        if self.cert.is_some() != self.key.is_some() {
            return out_of_range("cert and key", "both or neither");
        }
        if self.names.len() > 32 || !self.names.iter().all(|name| plain(name, 253)) {
            return out_of_range("names", "up to 32 names of hosts");
        }
        if self.connections == 0 || self.connections > 4_096 || self.streams > 4_096 {
            return out_of_range("connections and streams", "1 to 4096");
        }
        if let Some(mqtt) = &self.mqtt {
            if !plain(&mqtt.host, 253) {
                return out_of_range("mqtt.host", "the name of a host");
            }
            for (key, topic) in [
                ("mqtt.topic", &mqtt.topic),
                ("mqtt.discovery_prefix", &mqtt.discovery_prefix),
            ] {
                if !plain(topic, 64) || topic.contains(['+', '#', ' ']) || topic.ends_with('/') {
                    return out_of_range(key, "1 to 64 characters, without +, # and blanks");
                }
            }
            if mqtt.tls != mqtt.ca.is_some() {
                return out_of_range("mqtt.tls and ca", "both or neither");
            }
            if mqtt.password_file.is_some() && mqtt.user.is_none() {
                return out_of_range("mqtt.user", "needed with password_file");
            }
        }
        let tariff = self.tariff.as_ref().map(Tariff::new).transpose()?;
        Ok((Calendar::new(&self.zone)?, tariff))
    }
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value is out of its range.
    #[error("homegate.{key} must be {range}")]
    Range {
        /// The key.
        key: &'static str,
        /// What it may be.
        range: &'static str,
    },
    /// The zone is none.
    #[error("homegate.zone")]
    Zone(#[from] UnknownZone),
    /// The tariff is none.
    #[error("homegate.tariff")]
    Tariff(#[from] TariffError),
}
