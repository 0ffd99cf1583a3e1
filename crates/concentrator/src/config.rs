//! The concentrator's section of the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use link::{Endpoint, Sap};
use model::{LogicalDeviceName, MessageClass};
use serde::Deserialize;

/// Configuration of the concentrator; unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Names its own logical device, 1 to 16 characters.
    pub name: String,
    /// Names the folder of the SAP table and the own counters.
    pub data: PathBuf,
    /// Names the key file that holds the own keys, and no others.
    pub keys: Option<PathBuf>,
    /// Holds for how long a SAP that was taken away rests, in days.
    pub quarantine_days: u16,
    /// Holds for how long a message may wait for its segment, in seconds.
    pub patience_s: u32,
    /// Holds for how long a meter may take to say its name, in seconds.
    pub answer_s: u32,
    /// Says by client SAP how urgent its messages are: `"1" = "control"`.
    pub classes: BTreeMap<String, String>,
    /// Lists the ways to the head end.
    pub wan: Vec<WanConfig>,
    /// Lists the segments.
    pub segment: Vec<SegmentConfig>,
}

/// A way to the head end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WanConfig {
    /// Names where head ends may connect.
    pub listen: Option<String>,
    /// Names the head end that is connected to.
    pub connect: Option<String>,
    /// Holds the time from one connection to the next, in seconds; 0: always on.
    pub every_s: u32,
    /// Holds how long such a connection stays, in seconds.
    pub stay_s: u32,
}

/// A segment with its meters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SegmentConfig {
    /// Names the medium: `ip`, `hdlc`, or one that is simulated: `s-fsk`, `prime`, `g3`.
    pub medium: String,
    /// Names the serial port of an `hdlc` line.
    pub port: Option<String>,
    /// Holds how many times faster than real a simulated medium goes.
    pub speed: Option<u32>,
    /// Holds the repetitions of each S-FSK frame, 0 to 7.
    pub credit: Option<u8>,
    /// Lists its meters.
    pub meter: Vec<MeterConfig>,
}

/// A meter of a segment, or several at one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeterConfig {
    /// Names where it listens, on IP and simulated media.
    pub endpoint: Option<String>,
    /// Holds its HDLC address on an `hdlc` line.
    pub address: Option<u16>,
    /// Names the SAPs of the management logical devices there: `1`, or `1-50`.
    pub servers: Option<String>,
}

/// Meters that a configuration may list.
const METERS_MAX: usize = 100_000;

impl Config {
    /// Returns the default configuration as a TOML section with a comment at each key.
    #[must_use]
    pub const fn default_toml() -> &'static str {
        include_str!("config.toml")
    }

    /// Checks values that must fit each other.
    ///
    /// # Errors
    /// [`ConfigError`] says which key and why.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fault = |key: &'static str, reason: &'static str| Err(ConfigError { key, reason });
        if self.own_name().is_none() {
            return fault(
                "name",
                "a logical device name: 1 to 16 printable characters",
            );
        }
        if !(1..=3_600).contains(&self.patience_s) || !(1..=3_600).contains(&self.answer_s) {
            return fault("patience_s and answer_s", "1 to 3600");
        }
        if self.classes().is_none() {
            return fault(
                "classes",
                "client SAPs with control, warning, request, billing or usage",
            );
        }
        for wan in &self.wan {
            let urls = [&wan.listen, &wan.connect];
            let given = urls.iter().filter(|url| url.is_some()).count();
            let parses = |url: &&Option<String>| {
                url.as_ref()
                    .is_none_or(|url| url.parse::<Endpoint>().is_ok())
            };
            if given != 1 || !urls.iter().all(parses) {
                return fault("wan", "either listen or connect, each an endpoint");
            }
            if wan.every_s > 0 && (wan.stay_s == 0 || wan.stay_s > wan.every_s) {
                return fault("wan.stay_s", "1 to every_s");
            }
        }
        let mut meters = 0;
        for segment in &self.segment {
            let medium = segment.medium.as_str();
            if !["ip", "hdlc", "s-fsk", "prime", "g3"].contains(&medium) {
                return fault("segment.medium", "ip, hdlc, s-fsk, prime or g3");
            }
            if segment.credit.is_some_and(|credit| credit > 7) || segment.speed == Some(0) {
                return fault("segment.credit and speed", "0 to 7, and 1 or more");
            }
            let port = segment.port.as_deref().map(str::parse::<Endpoint>);
            if (medium == "hdlc") != matches!(port, Some(Ok(Endpoint::Serial(..)))) {
                return fault("segment.port", "serial:///dev/… on hdlc, and there only");
            }
            for meter in &segment.meter {
                let Some(servers) = meter.servers() else {
                    return fault("segment.meter.servers", "a SAP, or a range such as 1-50");
                };
                meters += servers.count();
                let endpoint = meter.endpoint.as_deref().map(str::parse::<Endpoint>);
                let fits = match medium {
                    "hdlc" => endpoint.is_none() && meter.address.is_some(),
                    _ => matches!(endpoint, Some(Ok(_))) && meter.address.is_none(),
                };
                if !fits {
                    return fault(
                        "segment.meter",
                        "an address on hdlc, an endpoint on other media",
                    );
                }
            }
        }
        if meters > METERS_MAX {
            return fault("segment.meter", "up to 100,000 meters");
        }
        Ok(())
    }

    /// Tells the own logical device name.
    #[must_use]
    pub fn own_name(&self) -> Option<LogicalDeviceName> {
        LogicalDeviceName::from_octets(self.name.as_bytes()).ok()
    }

    /// Tells the message class of each client SAP.
    #[must_use]
    pub fn classes(&self) -> Option<BTreeMap<Sap, MessageClass>> {
        let class = |name: &str| {
            MessageClass::ALL
                .into_iter()
                .find(|class| class.name() == name)
        };
        self.classes
            .iter()
            .map(|(sap, name)| Some((sap.parse().ok()?, class(name)?)))
            .collect()
    }
}

impl MeterConfig {
    /// Tells the SAPs; 1 where none is said.
    #[must_use]
    pub fn servers(&self) -> Option<std::ops::RangeInclusive<Sap>> {
        let text = self.servers.as_deref().unwrap_or("1");
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first >= 1 && first <= last).then_some(first..=last)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "GWD1DC0000000001".to_owned(),
            data: PathBuf::from("concentrator-data"),
            keys: None,
            quarantine_days: 30,
            patience_s: 300,
            answer_s: 60,
            classes: BTreeMap::new(),
            wan: Vec::new(),
            segment: Vec::new(),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("concentrator.{key} must be {reason}")]
pub struct ConfigError {
    /// Names the key.
    pub key: &'static str,
    /// Says what is allowed.
    pub reason: &'static str,
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;

    #[derive(Deserialize)]
    struct File {
        concentrator: Config,
    }

    fn check(text: &str) -> Result<(), ConfigError> {
        let file: File = toml::from_str(text).unwrap();
        file.concentrator.check()
    }

    #[test]
    fn the_printed_default_is_the_default_and_its_examples_are_in_order() {
        let file: File = toml::from_str(Config::default_toml()).unwrap();
        assert_eq!(file.concentrator, Config::default());
        assert_eq!(check(Config::default_toml()), Ok(()));
        let lines = Config::default_toml().lines().map(|line| {
            let code = line.strip_prefix("# ").filter(|line| {
                line.starts_with("[[") || line.contains(" = ") && !line.contains(": ")
            });
            code.unwrap_or(line)
        });
        let all: Vec<_> = lines.collect();
        let file: File = toml::from_str(&all.join("\n")).unwrap();
        assert_eq!(
            (file.concentrator.wan.len(), file.concentrator.segment.len()),
            (1, 2)
        );
        assert_eq!(file.concentrator.check(), Ok(()));
    }

    #[test]
    fn bad_values_are_refused() {
        for bad in [
            "name = \"a name that is far too long\"",
            "patience_s = 0",
            "[concentrator.classes]\n\"1\" = \"urgent\"",
            "[concentrator.classes]\n\"one\" = \"control\"",
            "[[concentrator.wan]]\nlisten = \"tcp://h\"\nconnect = \"tcp://h\"",
            "[[concentrator.wan]]\nlisten = \"h\"",
            "[[concentrator.wan]]\nconnect = \"tcp://h\"\nevery_s = 60",
            "[[concentrator.segment]]\nmedium = \"string\"",
            "[[concentrator.segment]]\nmedium = \"hdlc\"",
            "[[concentrator.segment]]\nmedium = \"ip\"\n[[concentrator.segment.meter]]\naddress = 17",
            "[[concentrator.segment]]\nmedium = \"ip\"\n[[concentrator.segment.meter]]\nendpoint = \"tcp://h\"\nservers = \"5-1\"",
            "[[concentrator.segment]]\nmedium = \"s-fsk\"\ncredit = 8",
        ] {
            assert!(check(&format!("[concentrator]\n{bad}")).is_err(), "{bad}");
        }
    }
}
