//! The head end's section of the configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use dlms::cosem::Obis;
use link::Endpoint;
use model::LogicalDeviceName;
use serde::Deserialize;

use crate::calendar::{Calendar, UnknownZone};
use crate::dial_in::dials;
use crate::meters::WAYS_MAX;

/// Configuration of the head end; unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Names the site in the interface.
    pub site: String,
    /// Names the zone by which days begin and end.
    pub zone: String,
    /// Holds the address that API and interface listen on.
    pub listen: SocketAddr,
    /// Says that sign-in cookies may only travel over TLS: set it behind a TLS proxy.
    pub secure_cookies: bool,
    /// Names the enrolment file that is read at each start.
    pub enrolment: Option<PathBuf>,
    /// Names the key file that belongs to it.
    pub keys: Option<PathBuf>,
    /// Names the file of the master key; `master.key` in the data folder where it is not said.
    pub master_key: Option<PathBuf>,
    /// Names the file of the maker's public key: then campaigns with other images are refused.
    pub maker_key: Option<PathBuf>,
    /// Holds the part of the intervals that must be there, in thousandths.
    pub target_permille: u16,
    /// Tells how meters are collected.
    pub collector: CollectorConfig,
    /// Bounds what clients of the API may take.
    pub api: ApiConfig,
    /// Says where concentrators may connect that open the connection themselves.
    pub dial_in: DialInConfig,
    /// Lists concentrators whose SAP lists are followed.
    pub concentrator: Vec<ConcentratorConfig>,
    /// Tells how outlet meters are served.
    pub outlets: OutletsConfig,
    /// Says what orders to meters take.
    pub orders: OrdersConfig,
    /// Says what is known of a SCION network.
    pub scion: ScionConfig,
}

/// What is known of a SCION network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScionConfig {
    /// Names the control of a simulated network, `gridward sim scion --control`: links of it may be
    /// cut in drills. None, as for every network that is not simulated: there are no drills.
    pub drill_control: Option<SocketAddr>,
}

/// What orders to meters take.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OrdersConfig {
    /// Holds the seconds for which an order to switch may still be stopped.
    pub armed_s: u16,
    /// Holds the number of meters that may be disconnected within an hour.
    pub disconnects_per_hour: u32,
    /// Says whether a second person must approve: not to be had before there are users.
    pub second_person: bool,
}

impl Default for OrdersConfig {
    fn default() -> Self {
        Self {
            armed_s: 120,
            disconnects_per_hour: 10,
            second_person: false,
        }
    }
}

/// How outlet meters are served.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutletsConfig {
    /// Names where they call, an endpoint `sctps://`; none: they are not served.
    pub listen: Option<String>,
    /// Names the file of the authority that signed their certificates.
    pub ca: Option<PathBuf>,
    /// Names the file of the own certificate.
    pub certificate: Option<PathBuf>,
    /// Names the file of the key that belongs to it.
    pub key: Option<PathBuf>,
    /// Names the enrolment file of these meters.
    pub meters: Option<PathBuf>,
    /// Names the file of the key that signs orders to breakers; without it there are none.
    pub breaker_key: Option<PathBuf>,
    /// Holds the minutes that the meters' civil time is ahead of UTC, the whole year.
    pub utc_offset_min: i16,
    /// Holds the number of days that the meters keep their sections.
    pub days: u16,
    /// Holds the number of breakers that may be opened within an hour.
    pub openings_per_hour: u32,
}

impl Default for OutletsConfig {
    fn default() -> Self {
        Self {
            listen: None,
            ca: None,
            certificate: None,
            key: None,
            meters: None,
            breaker_key: None,
            utc_offset_min: 60,
            days: 60,
            openings_per_hour: 10,
        }
    }
}

impl OutletsConfig {
    /// Returns the endpoint to listen at, with the files that stand beside it; none where outlet
    /// meters are not served.
    ///
    /// # Errors
    /// [`ConfigError`] says which key and why.
    pub fn endpoint(&self) -> Result<Option<Endpoint>, ConfigError> {
        let Some(listen) = &self.listen else {
            return Ok(None);
        };
        let endpoint: Endpoint = listen.parse().map_err(|_| ConfigError::Range {
            key: "outlets.listen",
            range: "an endpoint, as sctps://0.0.0.0",
        })?;
        let Endpoint::Sctps(at, options, mut tls) = endpoint else {
            return Err(ConfigError::Range {
                key: "outlets.listen",
                range: "sctps://…: outlet meters prove who they are by their certificates",
            });
        };
        tls.ca = tls.ca.or_else(|| self.ca.clone());
        tls.cert = tls.cert.or_else(|| self.certificate.clone());
        tls.key = tls.key.or_else(|| self.key.clone());
        if tls.ca.is_none() || tls.cert.is_none() || tls.key.is_none() {
            return Err(ConfigError::Range {
                key: "outlets.ca, certificate and key",
                range: "named where outlets.listen is: gridward keys outlets makes them",
            });
        }
        Ok(Some(Endpoint::Sctps(at, options, tls)))
    }
}

/// Where concentrators may connect.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DialInConfig {
    /// Lists endpoints: `tcp://`, or `tls://` with certificate and key.
    pub listen: Vec<String>,
    /// Holds the number of connections of each.
    pub connections: usize,
}

impl Default for DialInConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            connections: 1_024,
        }
    }
}

/// A concentrator whose SAP list is followed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConcentratorConfig {
    /// Names where it listens, as the enrolment of its meters does.
    pub endpoint: String,
    /// Lists other ways to the same one, each of which is tried where those before lead nowhere:
    /// its other listeners, over another network.
    #[serde(default)]
    pub also: Vec<String>,
    /// Names where it takes orders to its meters, so that they go before all else: a listener of
    /// its own with `class = "control"`. Else they go where all goes.
    #[serde(default)]
    pub urgent: Option<String>,
    /// Holds the time between two looks at the list, in seconds.
    #[serde(default = "every_minute")]
    pub every_s: u32,
    /// Names its own logical device: then it is enrolled as a device of its own.
    #[serde(default)]
    pub name: Option<String>,
    /// Names the key file that opens it; the meters' where it is not said.
    #[serde(default)]
    pub keys: Option<PathBuf>,
    /// Holds the time between two deliveries of what it read on its own, in seconds; 0: none.
    #[serde(default = "every_quarter")]
    pub collect_s: u32,
    /// Holds the time between two looks at what it says of itself and its meters, in seconds.
    #[serde(default = "every_minute")]
    pub status_s: u32,
    /// Lists the profiles that it reads of its meters, in its own order.
    #[serde(default = "its_profiles")]
    pub profiles: Vec<String>,
    /// Holds the percent of what a feeder is supplied with that may be lost on the way.
    #[serde(default = "lost_at_most")]
    pub loss_percent: u8,
}

impl ConcentratorConfig {
    /// Tells the name of its logical device; nothing where it has none, or none that is one.
    pub fn device(&self) -> Option<LogicalDeviceName> {
        self.name.as_ref()?.parse().ok()
    }

    /// Tells all ways to it, with a space between two, as an enrolment has them.
    pub fn ways(&self) -> String {
        let mut ways = self.endpoint.clone();
        for way in &self.also {
            ways.push(' ');
            ways.push_str(way);
        }
        ways
    }

    /// Tells the profiles; nothing where one has no OBIS code.
    pub fn profiles(&self) -> Option<Vec<Obis>> {
        let all = self.profiles.iter();
        all.map(|text| text.parse().ok()).collect()
    }
}

/// Other ways to a concentrator that may be named: so many that each is tried.
const ALSO_MAX: usize = WAYS_MAX - 1;

/// Profiles that a concentrator reads of a meter.
const PROFILES_MAX: usize = 7;

const fn every_quarter() -> u32 {
    900
}

fn its_profiles() -> Vec<String> {
    vec!["1-0:99.1.0".to_owned(), "0-0:99.98.0".to_owned()]
}

const fn every_minute() -> u32 {
    60
}

/// As concentrators have it. What all of a country's distribution lost in 2022, with what was
/// stolen, began at 2 % (1.95 to 22.63 %, 3rd CEER report on power losses): a sound feeder of low
/// voltage, and the errors of its meters, leave room below 8 %.
const fn lost_at_most() -> u8 {
    8
}

/// How meters are collected.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CollectorConfig {
    /// Says whether meters are collected at all.
    pub enabled: bool,
    /// Holds the time between two collections of a meter, in seconds.
    pub every_s: u32,
    /// Holds how long after the end of an interval it is collected at the earliest, in seconds.
    pub delay_s: u32,
    /// Holds how far back a new meter is read, in days.
    pub history_days: u16,
    /// Holds how far back gaps are filled, in days.
    pub backfill_days: u16,
    /// Holds the number of meters read at once.
    pub concurrency: usize,
    /// Holds the number of meters read at once behind one endpoint.
    pub endpoint_concurrency: usize,
    /// Holds the longest span asked for at once, in days.
    pub span_days: u16,
    /// Holds the time after which an association is given up, in seconds.
    pub timeout_s: u16,
    /// Holds the wait after a first failure, in seconds; it doubles with each further one.
    pub retry_first_s: u32,
    /// Holds the longest wait after a failure, in seconds.
    pub retry_longest_s: u32,
    /// Says how meters on a shared medium are read.
    pub media: MediaConfig,
}

/// How meters are read on the media of concentrators' segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MediaConfig {
    /// Holds what S-FSK wants.
    #[serde(rename = "s-fsk")]
    pub s_fsk: MediumConfig,
    /// Holds what PRIME wants.
    pub prime: MediumConfig,
    /// Holds what G3 wants.
    pub g3: MediumConfig,
    /// Holds what RS-485 with HDLC wants.
    pub hdlc: MediumConfig,
}

/// How meters on one medium are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediumConfig {
    /// Holds the number of meters of one segment read at once;
    /// [`CollectorConfig::endpoint_concurrency`] holds all the same.
    pub at_once: usize,
    /// Holds the longest wait for one answer, in seconds, where it is longer than
    /// [`CollectorConfig::timeout_s`].
    pub answer_s: u16,
    /// Holds the time after which an association is given up, in seconds, where it is longer.
    pub timeout_s: u16,
    /// Holds the longest span asked for at once, in days, where it is shorter than
    /// [`CollectorConfig::span_days`].
    pub span_days: u16,
}

impl MediaConfig {
    /// Returns what a medium wants, by the name that a concentrator gives it; nothing where it is
    /// asked as the endpoint itself.
    pub fn of(&self, medium: Option<&str>) -> Option<MediumConfig> {
        match medium? {
            "s-fsk" => Some(self.s_fsk),
            "prime" => Some(self.prime),
            "g3" => Some(self.g3),
            "hdlc" => Some(self.hdlc),
            _ => None,
        }
    }

    pub(crate) fn all(&self) -> [MediumConfig; 4] {
        [self.s_fsk, self.prime, self.g3, self.hdlc]
    }
}

impl Default for MediaConfig {
    /// What a day of a load profile takes on each medium, some 3 KiB, for all that are asked at
    /// once and for the concentrator's own reading: 41 s on S-FSK with credit 2
    /// (`model::powerline`).
    fn default() -> Self {
        Self {
            s_fsk: MediumConfig {
                at_once: 2,
                answer_s: 300,
                timeout_s: 1_800,
                span_days: 1,
            },
            prime: MediumConfig {
                at_once: 4,
                answer_s: 120,
                timeout_s: 600,
                span_days: 2,
            },
            g3: MediumConfig {
                at_once: 4,
                answer_s: 240,
                timeout_s: 900,
                span_days: 2,
            },
            hdlc: MediumConfig {
                at_once: 4,
                answer_s: 120,
                timeout_s: 600,
                span_days: 2,
            },
        }
    }
}

/// Bounds on clients of the API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Holds the number of connections.
    pub connections: usize,
    /// Holds the number of open event streams.
    pub streams: usize,
    /// Holds the number of requests a second that one address may make, and of which it may save
    /// up ten seconds' worth.
    pub requests_per_s: u32,
}

impl Config {
    /// Returns the default configuration as a TOML section with a comment at each key.
    pub const fn default_toml() -> &'static str {
        include_str!("config.toml")
    }

    /// Takes the files that it names without a folder from this one, which is the
    /// configuration's own.
    pub fn relative_to(&mut self, folder: &Path) {
        let outlets = &mut self.outlets;
        let files = [
            &mut self.enrolment,
            &mut self.keys,
            &mut self.master_key,
            &mut outlets.ca,
            &mut outlets.certificate,
            &mut outlets.key,
            &mut outlets.meters,
            &mut outlets.breaker_key,
            &mut self.maker_key,
        ];
        let theirs = self.concentrator.iter_mut().map(|it| &mut it.keys);
        for file in files.into_iter().chain(theirs).flatten() {
            *file = folder.join(&*file);
        }
    }

    /// Returns where concentrators take orders to their meters, by where they take all else.
    pub fn urgent_ways(&self) -> BTreeMap<String, String> {
        let all = self.concentrator.iter();
        all.filter_map(|it| Some((it.endpoint.clone(), it.urgent.clone()?)))
            .collect()
    }

    /// Checks values that must fit each other, and returns the calendar.
    ///
    /// # Errors
    /// [`ConfigError`] says which key and why.
    pub fn check(&self) -> Result<Calendar, ConfigError> {
        let out_of_range = |key, range| Err(ConfigError::Range { key, range });
        let collector = &self.collector;
        if self.site.chars().count() > 60 || self.site.chars().any(char::is_control) {
            return out_of_range("site", "up to 60 characters");
        }
        if self.target_permille > 1_000 {
            return out_of_range("target_permille", "0 to 1000");
        }
        if !(10..=86_400).contains(&collector.every_s) {
            return out_of_range("collector.every_s", "10 to 86400");
        }
        if !(1..=60).contains(&collector.span_days) {
            return out_of_range("collector.span_days", "1 to 60");
        }
        if collector.history_days > 400 || collector.backfill_days > 400 {
            return out_of_range("collector.history_days and backfill_days", "up to 400");
        }
        if !(1..=4_096).contains(&collector.concurrency)
            || !(1..=4_096).contains(&collector.endpoint_concurrency)
        {
            return out_of_range("collector.concurrency", "1 to 4096");
        }
        for medium in collector.media.all() {
            if !(1..=4_096).contains(&medium.at_once) || !(1..=60).contains(&medium.span_days) {
                return out_of_range(
                    "collector.media",
                    "at_once 1 to 4096, span_days 1 to 60 in each",
                );
            }
            if medium.answer_s == 0 || medium.timeout_s < medium.answer_s {
                return out_of_range(
                    "collector.media",
                    "answer_s 1 and more, timeout_s at least answer_s in each",
                );
            }
        }
        if collector.timeout_s == 0 || collector.retry_first_s == 0 {
            return out_of_range("collector.timeout_s and retry_first_s", "1 and more");
        }
        if collector.retry_longest_s < collector.retry_first_s {
            return out_of_range("collector.retry_longest_s", "at least retry_first_s");
        }
        let looks = self.concentrator.iter().map(|it| it.every_s);
        if !looks.clone().all(|every| (1..=86_400).contains(&every)) || looks.len() > 10_000 {
            return out_of_range("concentrator.every_s", "1 to 86400");
        }
        let dial_in = &self.dial_in;
        let listens =
            |url: &String| matches!(url.parse(), Ok(Endpoint::Tcp(_) | Endpoint::Tls(..)));
        if !dial_in.listen.iter().all(listens) {
            return out_of_range("dial_in.listen", "endpoints with tcp:// or tls://");
        }
        if !(1..=65_536).contains(&dial_in.connections) {
            return out_of_range("dial_in.connections", "1 to 65536");
        }
        for concentrator in &self.concentrator {
            if concentrator.name.is_some() && concentrator.device().is_none() {
                return out_of_range(
                    "concentrator.name",
                    "a logical device name: 1 to 16 printable characters",
                );
            }
            let urgent = concentrator.urgent.as_ref();
            if urgent.is_some_and(|url| url.parse::<Endpoint>().is_err()) {
                return out_of_range("concentrator.urgent", "an endpoint, as tcp://host:4061");
            }
            let also = &concentrator.also;
            if !also.is_empty() && dials(&concentrator.endpoint).is_some() {
                return out_of_range(
                    "concentrator.also",
                    "left out where endpoint is dial://NAME",
                );
            }
            let other = |(at, way): (usize, &String)| {
                let mut before = also.iter().take(at).chain([&concentrator.endpoint]);
                before.all(|it| it != way) && way.parse::<Endpoint>().is_ok()
            };
            if also.len() > ALSO_MAX || !also.iter().enumerate().all(other) {
                return out_of_range("concentrator.also", "up to 3 other endpoints, each once");
            }
            if !(1..=86_400).contains(&concentrator.status_s) {
                return out_of_range("concentrator.status_s", "1 to 86400");
            }
            if concentrator.collect_s > 86_400 {
                return out_of_range("concentrator.collect_s", "up to 86400");
            }
            if !(1..=50).contains(&concentrator.loss_percent) {
                return out_of_range("concentrator.loss_percent", "1 to 50");
            }
            let profiles = concentrator.profiles();
            if profiles.is_none_or(|all| all.len() > PROFILES_MAX) {
                return out_of_range("concentrator.profiles", "up to 7 OBIS codes");
            }
        }
        if self.api.connections == 0 || self.api.streams == 0 || self.api.requests_per_s == 0 {
            return out_of_range("api", "1 and more");
        }
        let outlets = &self.outlets;
        if outlets.endpoint()?.is_some() && outlets.meters.is_none() {
            return out_of_range("outlets.meters", "named where outlets.listen is");
        }
        if !(1..=400).contains(&outlets.days) {
            return out_of_range("outlets.days", "1 to 400");
        }
        if !(-720..=840).contains(&outlets.utc_offset_min) {
            return out_of_range("outlets.utc_offset_min", "-720 to 840");
        }
        if self.orders.armed_s > 3_600 {
            return out_of_range("orders.armed_s", "up to 3600");
        }
        if self.scion.drill_control.is_some_and(|at| at.port() == 0) {
            return out_of_range("scion.drill_control", "an address with its port");
        }
        if self.orders.second_person {
            return out_of_range(
                "orders.second_person",
                "false: there is one operator as long as there are no users",
            );
        }
        Ok(Calendar::new(&self.zone)?)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            site: "Gridward".to_owned(),
            zone: "Europe/Zurich".to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8_420)),
            secure_cookies: false,
            enrolment: None,
            keys: None,
            master_key: None,
            maker_key: None,
            target_permille: 985,
            collector: CollectorConfig::default(),
            api: ApiConfig::default(),
            dial_in: DialInConfig::default(),
            concentrator: Vec::new(),
            outlets: OutletsConfig::default(),
            orders: OrdersConfig::default(),
            scion: ScionConfig::default(),
        }
    }
}

impl Default for CollectorConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            every_s: 900,
            delay_s: 20,
            history_days: 30,
            backfill_days: 60,
            concurrency: 64,
            endpoint_concurrency: 16,
            span_days: 7,
            timeout_s: 30,
            retry_first_s: 30,
            retry_longest_s: 3_600,
            media: MediaConfig::default(),
        }
    }
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            connections: 512,
            streams: 64,
            requests_per_s: 100,
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value is out of its range.
    #[error("headend.{key} must be {range}")]
    Range {
        /// Names the key.
        key: &'static str,
        /// Says what is allowed.
        range: &'static str,
    },
    /// The zone is not known.
    #[error("headend.zone: {0}")]
    Zone(#[from] UnknownZone),
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;

    #[test]
    fn the_printed_default_is_the_default() {
        #[derive(Deserialize)]
        struct File {
            headend: Config,
        }
        let file: File = toml::from_str(Config::default_toml()).unwrap();
        assert_eq!(file.headend, Config::default());
        assert!(file.headend.check().is_ok());
    }

    #[test]
    fn files_are_beside_the_configuration() {
        let mut config = Config {
            enrolment: Some("meters.csv".into()),
            keys: Some("/etc/gridward/keys.toml".into()),
            ..Config::default()
        };
        config.relative_to(Path::new("/srv/gridward"));
        assert_eq!(config.enrolment, Some("/srv/gridward/meters.csv".into()));
        assert_eq!(config.keys, Some("/etc/gridward/keys.toml".into()));
        assert_eq!(config.master_key, None);
        config.enrolment = Some("meters.csv".into());
        config.relative_to(Path::new(""));
        assert_eq!(config.enrolment, Some("meters.csv".into()));
    }

    #[test]
    fn unknown_keys_and_bad_values_are_refused() {
        assert!(toml::from_str::<Config>("zome = \"UTC\"").is_err());
        assert!(toml::from_str::<Config>("[collector]\nevery = 3").is_err());
        assert!(toml::from_str::<Config>("[collector.media]\ng3 = { at_once = 1 }").is_err());
        for bad in [
            "zone = \"Mars\"",
            "target_permille = 1001",
            "[collector]\nevery_s = 0",
            "[collector]\nconcurrency = 0",
            "[collector]\nretry_first_s = 10\nretry_longest_s = 5",
            "[collector.media]\ng3 = { at_once = 0, answer_s = 9, timeout_s = 9, span_days = 1 }",
            "[collector.media]\ng3 = { at_once = 1, answer_s = 9, timeout_s = 8, span_days = 1 }",
            "[collector.media]\ng3 = { at_once = 1, answer_s = 9, timeout_s = 9, span_days = 0 }",
            "[api]\nstreams = 0",
            "[dial_in]\nlisten = [\"udp://h\"]",
            "[dial_in]\nconnections = 0",
            "[[concentrator]]\nendpoint = \"tcp://h\"\nname = \"a name that is far too long\"",
            "[[concentrator]]\nendpoint = \"tcp://h\"\ncollect_s = 86401",
            "[[concentrator]]\nendpoint = \"tcp://h\"\nstatus_s = 0",
            "[[concentrator]]\nendpoint = \"tcp://h\"\nurgent = \"h:4061\"",
            "[[concentrator]]\nendpoint = \"tcp://h\"\nalso = [\"h:4059\"]",
            "[[concentrator]]\nendpoint = \"tcp://h\"\nalso = [\"tcp://h\"]",
            "[[concentrator]]\nendpoint = \"tcp://h\"\nalso = [\"tcp://i\", \"tcp://i\"]",
            "[[concentrator]]\nendpoint = \"dial://GWD1DC0000000001\"\nalso = [\"tcp://h\"]",
            "[[concentrator]]\nendpoint = \"tcp://h\"\nprofiles = [\"load\"]",
            "[[concentrator]]\nendpoint = \"tcp://h\"\nloss_percent = 0",
            "[outlets]\nlisten = \"sctp://127.0.0.1\"\nmeters = \"meters.toml\"",
            "[outlets]\nlisten = \"sctps://127.0.0.1\"\nmeters = \"meters.toml\"",
            "[outlets]\ndays = 0",
            "[scion]\ndrill_control = \"127.0.0.1:0\"",
            "[orders]\narmed_s = 3601",
            "[orders]\nsecond_person = true",
        ] {
            let config: Config = toml::from_str(bad).unwrap();
            assert!(config.check().is_err(), "{bad}");
        }
    }

    #[test]
    fn as_many_ways_may_be_named_as_are_tried() {
        for others in 0..=4_usize {
            let also: Vec<_> = (0..others).map(|it| format!("\"tcp://h{it}\"")).collect();
            let also = also.join(", ");
            let text = format!("[[concentrator]]\nendpoint = \"tcp://h\"\nalso = [{also}]");
            let config: Config = toml::from_str(&text).unwrap();
            assert_eq!(config.check().is_ok(), others <= 3, "{text}");
        }
    }
}
