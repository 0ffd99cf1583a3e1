//! The concentrator's section of the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dlms::cosem::Obis;
use link::{Endpoint, Sap};
use model::{Feeder, LogicalDeviceName, MessageClass, Phase, Place};
use serde::Deserialize;

use crate::pair::lease::Side;
use crate::pair::side_of;

/// Configuration of the concentrator; unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Names its own logical device, 1 to 16 characters.
    pub name: String,
    /// Says where it is, as people call it: `Substation Lindenweg`; may be empty.
    pub place: String,
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
    /// Names where the status page is served, by HTTP; none: nowhere.
    pub status: Option<std::net::SocketAddr>,
    /// Says what the concentrator reads on its own.
    pub collect: CollectConfig,
    /// Says when what was supplied and what was metered differ too much.
    pub balance: BalanceConfig,
    /// Lists the feeders that it meters itself.
    pub metering: Vec<MeteringConfig>,
    /// Lists where meters hang, for the sums of feeders and phases.
    pub site: Vec<SiteConfig>,
    /// Names the other concentrator before the same meters.
    pub pair: PairConfig,
    /// Lists the ways to the head end.
    pub wan: Vec<WanConfig>,
    /// Lists the segments.
    pub segment: Vec<SegmentConfig>,
}

/// What the concentrator reads on its own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CollectConfig {
    /// Names the key file of the meters' collector client, and of no other.
    pub keys: Option<PathBuf>,
    /// Holds its client SAP at the meters.
    pub client: Sap,
    /// Says whether meters are collected that are not listed.
    pub all: bool,
    /// Lists meters that are collected, by logical device name.
    pub meters: Vec<String>,
    /// Holds the time from one round to the next, in seconds.
    pub every_s: u32,
    /// Holds the days that are read of a meter that is new.
    pub backfill_days: u16,
    /// Holds the days that rows are kept which nobody takes.
    pub keep_days: u16,
    /// Holds the mebibytes that all rows may take.
    pub keep_mib: u16,
    /// Lists the profiles that are read.
    pub profiles: Vec<String>,
    /// Holds the number of meters of a segment that are read at once.
    pub at_once: u8,
    /// Holds for how long silence is gathered before it is told, in seconds.
    pub summary_s: u32,
}

impl Default for CollectConfig {
    fn default() -> Self {
        Self {
            keys: None,
            client: 3,
            all: false,
            meters: Vec::new(),
            every_s: 3_600,
            backfill_days: 2,
            keep_days: 60,
            keep_mib: 40,
            profiles: vec!["1-0:99.1.0".to_owned(), "0-0:99.98.0".to_owned()],
            at_once: 4,
            summary_s: 60,
        }
    }
}

impl CollectConfig {
    /// Tells the profiles; nothing where one has no OBIS code.
    #[must_use]
    pub fn profiles(&self) -> Option<Vec<Obis>> {
        let all = self.profiles.iter();
        all.map(|text| text.parse().ok()).collect()
    }

    /// Tells the meters; nothing where one has no logical device name.
    #[must_use]
    pub fn meters(&self) -> Option<Vec<LogicalDeviceName>> {
        let all = self.meters.iter();
        all.map(|text| text.parse().ok()).collect()
    }
}

/// When what was supplied and what was metered differ too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BalanceConfig {
    /// Holds the percent of what was supplied that may be lost on the way.
    pub percent: u8,
    /// Holds the Wh in an interval below which nothing is said.
    pub least_wh: u32,
    /// Holds the intervals in a row before it is said.
    pub intervals: u8,
}

impl Default for BalanceConfig {
    fn default() -> Self {
        Self {
            percent: 8,
            least_wh: 50,
            intervals: 4,
        }
    }
}

/// A feeder that the concentrator meters itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeteringConfig {
    /// Names the feeder.
    pub feeder: String,
    /// Names what measures: `simulated`, or `street` for simulated houses.
    pub source: String,
    /// Holds the mean load of each phase that is simulated, in W.
    pub watts: u32,
    /// Lists the houses of a street, whose meters are simulated elsewhere from the same loads.
    pub house: Vec<HouseConfig>,
    /// Holds what the houses are drawn from, as the meters' own seed.
    pub seed: u64,
    /// Holds the percent of what is supplied that the lines of a street lose.
    pub loss_percent: u8,
    /// Holds the hours before the first start of which a simulated feeder has rows.
    pub history_h: u8,
    /// Holds the voltage that there should be, in V.
    pub nominal_v: u16,
    /// Holds how far it may be from that, in percent.
    pub band_percent: u8,
    /// Holds the current that a phase may have, in A; 0: any.
    pub current_a: u16,
}

impl Default for MeteringConfig {
    fn default() -> Self {
        Self {
            feeder: String::new(),
            source: "simulated".to_owned(),
            watts: 20_000,
            house: Vec::new(),
            seed: 1,
            loss_percent: 4,
            history_h: 0,
            nominal_v: 230,
            band_percent: 10,
            current_a: 0,
        }
    }
}

/// A simulated house of a street.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HouseConfig {
    /// Holds the system title of its meter, 16 hexadecimal digits: what it is drawn from.
    pub title: String,
    /// Names the phase on which it hangs: `L1`, `L2` or `L3`.
    pub phase: String,
}

impl HouseConfig {
    /// Tells title and phase; nothing where one is none.
    #[must_use]
    pub fn parts(&self) -> Option<([u8; 8], Phase)> {
        let title = link::parse_hex(&self.title)?.try_into().ok()?;
        let phase = self.phase.parse().ok()?;
        (phase != Phase::L123).then_some((title, phase))
    }
}

/// Houses of one street.
const HOUSES_MAX: usize = 2_000;

/// Where a meter hangs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiteConfig {
    /// Names the meter's logical device.
    pub meter: String,
    /// Names the feeder.
    pub feeder: String,
    /// Names the phase: `L1`, `L2`, `L3` or `L123`.
    pub phase: String,
}

impl SiteConfig {
    /// Tells who hangs where; nothing where a name is none.
    #[must_use]
    pub fn parts(&self) -> Option<(LogicalDeviceName, (Feeder, Phase))> {
        let feeder = self.feeder.parse().ok()?;
        let phase = self.phase.parse().ok()?;
        Some((self.meter.parse().ok()?, (feeder, phase)))
    }
}

/// The other concentrator before the same meters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PairConfig {
    /// Holds the other's name; none: there is no other.
    pub peer: Option<String>,
    /// Says how both share the segments: `standby` or `active`.
    pub mode: String,
    /// Names where this one listens for the other.
    pub listen: Option<String>,
    /// Names where the other listens.
    pub connect: Option<String>,
    /// Holds after how long without a word the other is taken for gone, in seconds.
    pub lease_s: u16,
}

impl Default for PairConfig {
    fn default() -> Self {
        Self {
            peer: None,
            mode: "standby".to_owned(),
            listen: None,
            connect: None,
            lease_s: 3,
        }
    }
}

impl PairConfig {
    fn check(&self, own: Option<&LogicalDeviceName>) -> Result<(), ConfigError> {
        let fault = |key: &'static str, reason: &'static str| Err(ConfigError { key, reason });
        if !["standby", "active"].contains(&self.mode.as_str()) {
            return fault("pair.mode", "standby or active");
        }
        if !(1..=60).contains(&self.lease_s) {
            return fault("pair.lease_s", "1 to 60");
        }
        let urls: Vec<&String> = [&self.listen, &self.connect]
            .into_iter()
            .flatten()
            .collect();
        let Some(peer) = &self.peer else {
            if urls.is_empty() {
                return Ok(());
            }
            return fault(
                "pair.peer",
                "the other's name, where listen or connect is said",
            );
        };
        let peer = LogicalDeviceName::from_octets(peer.as_bytes()).ok();
        if peer.is_none() || peer.as_ref() == own {
            return fault("pair.peer", "the other's logical device name, not the own");
        }
        let secured = |url: &&String| match url.parse() {
            Ok(Endpoint::Tls(_, tls)) => {
                tls.ca.is_some() && tls.cert.is_some() && tls.key.is_some()
            }
            _ => false,
        };
        if urls.len() != 1 || !urls.iter().all(secured) {
            return fault(
                "pair.listen or pair.connect",
                "one of them, tls:// with ca, cert and key: both sides show certificates",
            );
        }
        Ok(())
    }

    /// Tells the other's name, where there is another.
    #[must_use]
    pub fn peer(&self) -> Option<LogicalDeviceName> {
        LogicalDeviceName::from_octets(self.peer.as_ref()?.as_bytes()).ok()
    }

    /// Tells which of the two this one is.
    #[must_use]
    pub const fn side(&self) -> Side {
        match self.listen {
            Some(_) => Side::First,
            None => Side::Second,
        }
    }
}

/// A way to the head end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WanConfig {
    /// Holds what people call it, as it is told and shown: `Fibre`.
    pub name: Option<String>,
    /// Names where head ends may connect.
    pub listen: Option<String>,
    /// Names the head end that is connected to.
    pub connect: Option<String>,
    /// Holds the time from one connection to the next, in seconds; 0: always on.
    pub every_s: u32,
    /// Holds how long such a connection stays, in seconds.
    pub stay_s: u32,
    /// Tells how urgent all is that comes over it, whose client is not in `classes`: TCP and TLS
    /// do not carry that.
    pub class: Option<String>,
    /// Holds after how long without a message it counts as quiet, in seconds.
    pub quiet_s: u32,
}

impl Default for WanConfig {
    fn default() -> Self {
        Self {
            name: None,
            listen: None,
            connect: None,
            every_s: 0,
            stay_s: 0,
            class: None,
            quiet_s: 180,
        }
    }
}

impl WanConfig {
    /// Holds the characters that a name may have.
    pub const NAME_MAX: usize = 24;

    fn has_good_name(&self) -> bool {
        self.name.as_ref().is_none_or(|name| {
            let count = name.trim().chars().count();
            (1..=Self::NAME_MAX).contains(&count) && name.parse::<Place>().is_ok()
        })
    }

    /// Tells the message class of what comes over it; nothing where none is said or known.
    #[must_use]
    pub fn class(&self) -> Option<MessageClass> {
        class_of(self.class.as_deref()?)
    }
}

fn class_of(name: &str) -> Option<MessageClass> {
    MessageClass::ALL
        .into_iter()
        .find(|class| class.name() == name)
}

/// A segment with its meters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SegmentConfig {
    /// Names the medium: `ip`, `hdlc`, or one that is simulated: `s-fsk`, `prime`, `g3`.
    pub medium: String,
    /// Names the serial port of an `hdlc` line.
    pub port: Option<String>,
    /// Holds the octets of its meters' HDLC addresses, 2 or 4; 2 where none is said, which have
    /// room for addresses up to 125.
    pub width: Option<u8>,
    /// Holds how many times faster than real a simulated medium goes.
    pub speed: Option<u32>,
    /// Holds the repetitions of each S-FSK frame, 0 to 7.
    pub credit: Option<u8>,
    /// Says whose it is where a pair is active on both sides: 1 for the one that listens, 2 for
    /// the one that connects; else they take turns.
    pub home: Option<u8>,
    /// Lists its meters.
    pub meter: Vec<MeterConfig>,
}

/// A meter of a segment, or several at one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeterConfig {
    /// Names where it listens, on IP and simulated media.
    pub endpoint: Option<String>,
    /// Holds its HDLC address on an `hdlc` line: 1 to 125, or to 16381 where `width` is 4.
    pub address: Option<u16>,
    /// Names the SAPs of the management logical devices there: `1`, or `1-50`.
    pub servers: Option<String>,
}

/// Profiles that may be read, of the eight that are kept of a meter.
const PROFILES_MAX: usize = 7;

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
        if self.place.parse::<Place>().is_err() {
            return fault("place", "up to 120 characters of one line");
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
        let collect = &self.collect;
        if collect
            .profiles()
            .is_none_or(|all| all.len() > PROFILES_MAX)
        {
            return fault("collect.profiles", "up to 7 OBIS codes");
        }
        if collect.meters().is_none() {
            return fault("collect.meters", "logical device names");
        }
        if !(1..=86_400).contains(&collect.every_s) || !(1..=3_600).contains(&collect.summary_s) {
            return fault("collect.every_s and summary_s", "1 to 86400 and 1 to 3600");
        }
        let days = collect.keep_days;
        if days == 0 || collect.backfill_days > days || collect.keep_mib == 0 {
            return fault("collect.backfill_days", "at most keep_days, which is not 0");
        }
        if collect.at_once == 0 || [0, 1, 16].contains(&collect.client) {
            return fault(
                "collect.client and at_once",
                "a SAP of its own, and 1 or more",
            );
        }
        for metering in &self.metering {
            let known = matches!(metering.source.as_str(), "simulated" | "street");
            if metering.feeder.parse::<Feeder>().is_err() || !known {
                return fault(
                    "metering",
                    "a feeder's name and the source simulated or street",
                );
            }
            let houses = &metering.house;
            let right = houses.iter().all(|house| house.parts().is_some());
            if houses.len() > HOUSES_MAX
                || !right
                || houses.is_empty() == (metering.source == "street")
            {
                return fault(
                    "metering.house",
                    "of a street: 1 to 2000 titles of 16 digits with L1, L2 or L3",
                );
            }
            if metering.loss_percent > 50 || metering.history_h > 24 {
                return fault("metering", "loss_percent up to 50, history_h up to 24");
            }
        }
        if self.metering.len() > 64 {
            return fault("metering", "up to 64 feeders");
        }
        if !self.site.iter().all(|site| site.parts().is_some()) {
            return fault("site", "a meter's name, a feeder and L1, L2, L3 or L123");
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
            if wan.class.is_some() && wan.class().is_none() {
                return fault("wan.class", "control, warning, request, billing or usage");
            }
            if !wan.has_good_name() {
                return fault("wan.name", "1 to 24 characters");
            }
            if !(1..=604_800).contains(&wan.quiet_s) {
                return fault("wan.quiet_s", "1 to 604800");
            }
            if wan.every_s > 0 && (wan.stay_s == 0 || wan.stay_s > wan.every_s) {
                return fault("wan.stay_s", "1 to every_s");
            }
        }
        self.pair.check(self.own_name().as_ref())?;
        let mut meters = 0;
        for segment in &self.segment {
            if segment.home.is_some_and(|home| side_of(home).is_none()) {
                return fault("segment.home", "1 or 2");
            }
            let medium = segment.medium.as_str();
            if !["ip", "hdlc", "s-fsk", "prime", "g3"].contains(&medium) {
                return fault("segment.medium", "ip, hdlc, s-fsk, prime or g3");
            }
            if segment.credit.is_some_and(|credit| credit > 7) || segment.speed == Some(0) {
                return fault("segment.credit and speed", "0 to 7, and 1 or more");
            }
            if segment
                .width
                .is_some_and(|it| medium != "hdlc" || ![2, 4].contains(&it))
            {
                return fault("segment.width", "2 or 4, on hdlc only");
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
                    "hdlc" => {
                        let address = meter.address.unwrap_or(0);
                        endpoint.is_none() && segment.addresses().contains(&address)
                    }
                    _ => matches!(endpoint, Some(Ok(_))) && meter.address.is_none(),
                };
                if !fits {
                    return fault(
                        "segment.meter",
                        "an address on hdlc (1 to 125, with width = 4 to 16381), an endpoint \
                         on other media",
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

    /// Tells whose each segment is where a pair is active on both sides.
    #[must_use]
    pub fn homes(&self) -> Vec<Side> {
        let all = self.segment.iter().enumerate();
        let turns = |number: usize| {
            if number.is_multiple_of(2) {
                Side::First
            } else {
                Side::Second
            }
        };
        all.map(|(number, it)| it.home.and_then(side_of).unwrap_or_else(|| turns(number)))
            .collect()
    }

    /// Tells the message class of each client SAP.
    #[must_use]
    pub fn classes(&self) -> Option<BTreeMap<Sap, MessageClass>> {
        self.classes
            .iter()
            .map(|(sap, name)| Some((sap.parse().ok()?, class_of(name)?)))
            .collect()
    }
}

impl SegmentConfig {
    /// Tells the HDLC addresses that a meter may have, as wide as they are here.
    const fn addresses(&self) -> std::ops::RangeInclusive<u16> {
        match self.width {
            Some(4) => 1..=0x3FFD,
            _ => 1..=0x7D,
        }
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
            place: String::new(),
            data: PathBuf::from("concentrator-data"),
            keys: None,
            quarantine_days: 30,
            patience_s: 300,
            answer_s: 60,
            classes: BTreeMap::new(),
            status: Some(std::net::SocketAddr::from(([127, 0, 0, 1], 0))),
            collect: CollectConfig::default(),
            balance: BalanceConfig::default(),
            metering: Vec::new(),
            site: Vec::new(),
            pair: PairConfig::default(),
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
            (2, 2)
        );
        let classes: Vec<_> = file.concentrator.wan.iter().map(WanConfig::class).collect();
        assert_eq!(classes, [None, Some(MessageClass::Control)]);
        assert_eq!(file.concentrator.check(), Ok(()));
    }

    #[test]
    fn addresses_of_a_line_are_as_wide_as_it_says() {
        for (width, address, good) in [
            ("", 125, true),
            ("", 126, false),
            ("width = 2", 125, true),
            ("width = 2", 126, false),
            ("width = 4", 126, true),
            ("width = 4", 16_381, true),
            ("width = 4", 16_382, false),
            ("width = 4", 0, false),
            ("width = 3", 17, false),
        ] {
            let text = format!(
                "[concentrator]\n[[concentrator.segment]]\nmedium = \"hdlc\"\n{width}\n\
                 port = \"serial:///dev/ttyUSB0\"\n[[concentrator.segment.meter]]\n\
                 address = {address}"
            );
            assert_eq!(check(&text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn bad_values_are_refused() {
        for bad in [
            "[[concentrator.wan]]\nlisten = \"tcp://h\"\nclass = \"fast\"",
            "[[concentrator.wan]]\nlisten = \"tcp://h\"\nname = \" \"",
            "[[concentrator.wan]]\nlisten = \"tcp://h\"\nname = \"a way whose name is too long\"",
            "[[concentrator.wan]]\nlisten = \"tcp://h\"\nquiet_s = 0",
            "name = \"a name that is far too long\"",
            "place = \"two\\nlines\"",
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
            "[[concentrator.segment]]\nmedium = \"ip\"\nwidth = 4",
            "[concentrator.collect]\nprofiles = [\"load\"]",
            "[concentrator.collect]\nmeters = [\"a name that is far too long\"]",
            "[concentrator.collect]\nclient = 1",
            "[concentrator.collect]\nkeep_days = 1",
            "[[concentrator.metering]]\nfeeder = \"F1\"\nsource = \"modbus\"",
            "[[concentrator.metering]]\nfeeder = \"F1\"\nsource = \"street\"",
            "[[concentrator.metering]]\nfeeder = \"F1\"\nhistory_h = 25",
            "[[concentrator.metering]]\nfeeder = \"F1\"\nhouse = [{ title = \"00\", phase = \"L1\" }]",
            "[[concentrator.metering]]\nfeeder = \"F1\"\nsource = \"street\"\n\
             house = [{ title = \"4757440000000001\", phase = \"L123\" }]",
            "[concentrator.pair]\nmode = \"both\"",
            "[concentrator.pair]\nlease_s = 0",
            "[concentrator.pair]\nlisten = \"tls://h?ca=a&cert=b&key=c\"",
            "[concentrator.pair]\npeer = \"GWD1DC0000000002\"",
            "[concentrator.pair]\npeer = \"GWD1DC0000000001\"\nconnect = \"tls://h?ca=a&cert=b&key=c\"",
            "[concentrator.pair]\npeer = \"GWD1DC0000000002\"\nconnect = \"tcp://h\"",
            "[concentrator.pair]\npeer = \"GWD1DC0000000002\"\nconnect = \"tls://h?ca=a\"",
            "[[concentrator.segment]]\nmedium = \"ip\"\nhome = 3",
            "[[concentrator.site]]\nmeter = \"GWD1\"\nfeeder = \"F1\"\nphase = \"L4\"",
        ] {
            assert!(check(&format!("[concentrator]\n{bad}")).is_err(), "{bad}");
        }
    }
}
