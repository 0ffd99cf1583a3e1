//! Enrolment from files: which meters there are, where they are, and what opens them.

mod csv;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use dlms::acse::MechanismName;
use dlms::cosem::Obis;
use dlms::security::{Key, SystemTitle};
use link::{KeyFile, MeterKeys};
use model::{Feeder, LogicalDeviceName, Phase, Place, Timestamp};
use serde::Deserialize;
use toml::Spanned;

use crate::keys::{ClientSecrets, KeyError, KeyService, METER_ITSELF, Secret};
use crate::store::{Enrolled, Enrolment, LOAD_PROFILE, Store, StoreError};

/// One meter of an enrolment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Holds the line it begins at.
    pub line: usize,
    /// Names the meter.
    pub name: LogicalDeviceName,
    /// Holds its system title, where the file says it.
    pub system_title: Option<SystemTitle>,
    /// Says how to reach it.
    pub endpoint: String,
    /// Holds the server SAP; 1 where the file does not say it.
    pub server: u16,
    /// Holds the client SAP that the head end uses, where the file says it.
    pub client: Option<u16>,
    /// Says where it is.
    pub place: Place,
    /// Says which feeder it hangs on.
    pub feeder: Option<Feeder>,
    /// Says which phase it hangs on.
    pub phase: Option<Phase>,
    /// Names the profile to collect.
    pub load_profile: Obis,
}

/// The form of an enrolment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values (RFC 4180) with a head line of field names.
    Csv,
    /// One JSON object a line, as `gridward meter --json` prints them.
    JsonLines,
    /// TOML with one `[[meter]]` table a meter.
    Toml,
}

impl Format {
    /// Tells the form from the end of a file's name: `.csv`, `.jsonl`, `.ndjson`, else TOML.
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Self::Csv,
            Some("jsonl" | "ndjson") => Self::JsonLines,
            _ => Self::Toml,
        }
    }
}

/// The greatest number of meters in one file.
pub const ENTRIES_MAX: usize = 2_000_000;
/// The greatest number of faults reported of one file.
pub const FAULTS_MAX: usize = 20;
/// The number of meters stored in one transaction.
const CHUNK: usize = 5_000;

/// Reads an enrolment file.
///
/// # Errors
/// [`RegistryError::File`] with the first faults and their lines; nothing is taken then.
pub fn parse(text: &str, format: Format) -> Result<Vec<Entry>, RegistryError> {
    let mut faults = Faults::default();
    let raw = match format {
        Format::Csv => csv::parse(text, &mut faults),
        Format::JsonLines => parse_json_lines(text, &mut faults),
        Format::Toml => parse_toml(text, &mut faults),
    };
    let mut entries = Vec::with_capacity(raw.len().min(ENTRIES_MAX));
    let mut lines: BTreeMap<LogicalDeviceName, usize> = BTreeMap::new();
    if raw.len() > ENTRIES_MAX {
        faults.add(0, Fault::TooMany);
    }
    for (line, raw) in raw.into_iter().take(ENTRIES_MAX) {
        match raw.check(line) {
            Err(fault) => faults.add(line, fault),
            Ok(entry) => match lines.insert(entry.name.clone(), line) {
                Some(first) => faults.add(line, Fault::Twice { first }),
                None => entries.push(entry),
            },
        }
    }
    faults.none().map(|()| entries)
}

/// Stores meters and their secrets.
///
/// The client SAP is the one the entry names, else the lowest of the key file, else the public
/// client 16.
///
/// # Errors
/// [`RegistryError`] where the store or the key service fails. Meters before the failure stay
/// enrolled: doing it again completes it.
pub async fn enrol(
    store: &dyn Store,
    keys: &dyn KeyService,
    entries: Vec<Entry>,
    secrets: &KeyFile,
    at: Timestamp,
) -> Result<Enrolled, RegistryError> {
    let secrets = secrets.meters.iter();
    let secrets = secrets.map(|meter| (&meter.logical_device_name, meter));
    let secrets: BTreeMap<_, _> = secrets.collect();
    let mut all = Enrolled::default();
    let mut entries = entries.into_iter().peekable();
    while entries.peek().is_some() {
        let mut chunk = Vec::with_capacity(CHUNK);
        for entry in entries.by_ref().take(CHUNK) {
            let known = secrets.get(&entry.name).copied();
            chunk.push(enrolment(keys, entry, known, at)?);
        }
        let enrolled = store.enrol(chunk, at).await?;
        all.added.extend(enrolled.added);
        all.updated.extend(enrolled.updated);
        all.unchanged += enrolled.unchanged;
    }
    Ok(all)
}

/// Stores concentrators, each with where it is, and their secrets, as devices of their own.
///
/// # Errors
/// As [`enrol`].
pub async fn enrol_concentrators(
    store: &dyn Store,
    keys: &dyn KeyService,
    all: Vec<(LogicalDeviceName, String)>,
    secrets: &KeyFile,
    at: Timestamp,
) -> Result<Enrolled, RegistryError> {
    let all = all.into_iter().map(|(name, endpoint)| {
        let known = secrets.find(name.as_str());
        let entry = Entry {
            line: 0,
            name,
            system_title: None,
            endpoint,
            server: 1,
            client: None,
            place: Place::default(),
            feeder: None,
            phase: None,
            load_profile: LOAD_PROFILE,
        };
        enrolment(keys, entry, known, at)
    });
    let all = all.collect::<Result<_, _>>()?;
    Ok(store.enrol_concentrators(all, at).await?)
}

fn enrolment(
    keys: &dyn KeyService,
    entry: Entry,
    known: Option<&MeterKeys>,
    at: Timestamp,
) -> Result<Enrolment, RegistryError> {
    let first = known.and_then(|known| known.clients.iter().map(|client| client.sap).min());
    let wrapped = known
        .map_or_else(Vec::new, secrets_of)
        .iter()
        .map(|client| keys.wrap(&entry.name, client, at))
        .collect::<Result<_, KeyError>>()?;
    Ok(Enrolment {
        system_title: entry
            .system_title
            .or_else(|| known.map(|known| known.system_title)),
        name: entry.name,
        endpoint: entry.endpoint,
        server: entry.server,
        client: entry.client.or(first).unwrap_or(PUBLIC_CLIENT),
        place: entry.place,
        feeder: entry.feeder,
        phase: entry.phase,
        load_profile: entry.load_profile,
        secrets: wrapped,
    })
}

/// Takes what a key file says of a meter as the key service keeps it.
fn secrets_of(meter: &MeterKeys) -> Vec<ClientSecrets> {
    let key = |name: &str, key: &Option<Key>| {
        let octets = key.as_ref()?.dangerous_octets().to_vec();
        Some((name.to_owned(), Secret::new(octets)))
    };
    let itself = [
        key("master_key", &meter.master_key),
        key("broadcast_key", &meter.broadcast_key),
    ];
    let itself = ClientSecrets {
        client: METER_ITSELF,
        mechanism: link::mechanism_name(MechanismName::Lowest).to_owned(),
        suite: 0,
        secrets: itself.into_iter().flatten().collect(),
    };
    let clients = meter.clients.iter().map(|client| {
        let password = client.password.as_ref().map(|password| {
            let octets = password.dangerous_octets().to_vec();
            ("password".to_owned(), Secret::new(octets))
        });
        let secrets = [
            key("encryption_key", &client.encryption_key),
            key("authentication_key", &client.authentication_key),
            key("drkey_secret", &client.drkey_secret),
            password,
        ];
        ClientSecrets {
            client: client.sap,
            mechanism: link::mechanism_name(client.mechanism).to_owned(),
            suite: client.suite,
            secrets: secrets.into_iter().flatten().collect(),
        }
    });
    std::iter::once(itself)
        .filter(|itself| !itself.secrets.is_empty())
        .chain(clients)
        .collect()
}

/// The public client's SAP (IEC 62056-5-3).
const PUBLIC_CLIENT: u16 = 16;

/// Why meters could not be enrolled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The file has faults.
    #[error("{0}")]
    File(FaultList),
    /// A secret could not be kept.
    #[error("a secret could not be kept")]
    Keys(#[from] KeyError),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// Faults of a file with their lines, at most [`FAULTS_MAX`] and how many more.
#[derive(Debug)]
pub struct FaultList {
    faults: Vec<(usize, Fault)>,
    more: usize,
}

impl FaultList {
    /// Returns line and text of each fault; line 0 is the file as a whole.
    pub fn iter(&self) -> impl Iterator<Item = (usize, String)> {
        self.faults
            .iter()
            .map(|(line, fault)| (*line, fault.to_string()))
    }
}

impl fmt::Display for FaultList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (line, fault)) in self.faults.iter().enumerate() {
            let end = if index > 0 { "\n" } else { "" };
            match line {
                0 => write!(f, "{end}{fault}")?,
                line => write!(f, "{end}line {line}: {fault}")?,
            }
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

/// One fault of a file.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Form(String),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("there is no field {0}: use {FIELDS}")]
    NoSuchField(String),
    #[error("the meter is already in line {first}")]
    Twice { first: usize },
    #[error("{field}: {reason}")]
    Value { field: &'static str, reason: String },
    #[error("more than 2,000,000 meters in one file")]
    TooMany,
}

const FIELDS: &str = "logical_device_name, endpoint, server, client, system_title, place, feeder, \
                      phase, load_profile";

#[derive(Default)]
struct Faults {
    faults: Vec<(usize, Fault)>,
    more: usize,
}

impl Faults {
    fn add(&mut self, line: usize, fault: Fault) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push((line, fault));
        } else {
            self.more += 1;
        }
    }

    fn none(self) -> Result<(), RegistryError> {
        if self.faults.is_empty() {
            return Ok(());
        }
        Err(RegistryError::File(FaultList {
            faults: self.faults,
            more: self.more,
        }))
    }
}

/// A meter as a file has it, unchecked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    logical_device_name: Option<String>,
    endpoint: Option<String>,
    server: Option<u16>,
    client: Option<u16>,
    system_title: Option<String>,
    place: Option<String>,
    feeder: Option<String>,
    phase: Option<String>,
    load_profile: Option<String>,
}

impl Raw {
    fn check(self, line: usize) -> Result<Entry, Fault> {
        let name = self
            .logical_device_name
            .ok_or(Fault::Missing("logical_device_name"))?;
        let endpoint = self.endpoint.ok_or(Fault::Missing("endpoint"))?;
        let system_title = self.system_title.as_deref();
        Ok(Entry {
            line,
            name: value("logical_device_name", &name)?,
            system_title: optional("system_title", system_title)?,
            endpoint: check_endpoint(&endpoint)?,
            server: self.server.unwrap_or(1),
            client: self.client,
            place: value("place", &self.place.unwrap_or_default())?,
            feeder: optional("feeder", self.feeder.as_deref())?,
            phase: optional("phase", self.phase.as_deref())?,
            load_profile: match self.load_profile {
                None => LOAD_PROFILE,
                Some(text) => value("load_profile", &text)?,
            },
        })
    }
}

fn value<T: std::str::FromStr<Err: fmt::Display>>(
    field: &'static str,
    text: &str,
) -> Result<T, Fault> {
    text.trim().parse().map_err(|error: T::Err| Fault::Value {
        field,
        reason: error.to_string(),
    })
}

fn optional<T: std::str::FromStr<Err: fmt::Display>>(
    field: &'static str,
    text: Option<&str>,
) -> Result<Option<T>, Fault> {
    match text.map(str::trim) {
        None | Some("") => Ok(None),
        Some(text) => value(field, text).map(Some),
    }
}

/// Checks the outer form of an endpoint, or of several with spaces between them; `link` knows
/// the rest. Secrets have no place in it.
fn check_endpoint(text: &str) -> Result<String, Fault> {
    let ways: Result<Vec<String>, Fault> = text.split_whitespace().map(check_way).collect();
    let ways = ways?;
    if (1..=4).contains(&ways.len()) {
        return Ok(ways.join(" "));
    }
    Err(Fault::Value {
        field: "endpoint",
        reason: "an endpoint is a URL such as tcp://10.1.2.3:4059, or up to four of them"
            .to_owned(),
    })
}

fn check_way(text: &str) -> Result<String, Fault> {
    let fault = |reason: &str| Fault::Value {
        field: "endpoint",
        reason: reason.to_owned(),
    };
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(fault("an endpoint is a URL such as tcp://10.1.2.3:4059"));
    };
    let known = scheme
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '+');
    if scheme.is_empty() || !known || rest.is_empty() || text.len() > 512 {
        return Err(fault("an endpoint is a URL such as tcp://10.1.2.3:4059"));
    }
    if text.chars().any(char::is_control) {
        return Err(fault("an endpoint has no control characters"));
    }
    if scheme != "scion" && rest.contains('@') {
        return Err(fault("an endpoint holds no user name or password"));
    }
    Ok(text.to_owned())
}

fn parse_toml(text: &str, faults: &mut Faults) -> Vec<(usize, Raw)> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(default)]
        meter: Vec<Spanned<Raw>>,
    }
    let lines = Lines::new(text);
    match toml::from_str::<File>(text) {
        Ok(file) => file
            .meter
            .into_iter()
            .map(|raw| (lines.of(Some(raw.span())), raw.into_inner()))
            .collect(),
        Err(error) => {
            let line = lines.of(error.span());
            faults.add(line, Fault::Form(link::toml_reason(&error)));
            Vec::new()
        }
    }
}

fn parse_json_lines(text: &str, faults: &mut Faults) -> Vec<(usize, Raw)> {
    let mut raw = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match serde_json::from_str(line) {
            Ok(entry) => raw.push((index + 1, entry)),
            Err(error) => faults.add(index + 1, Fault::Form(error.to_string())),
        }
    }
    raw
}

/// Where lines begin, to name them.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        let breaks = text
            .bytes()
            .enumerate()
            .filter(|(_, octet)| *octet == b'\n');
        Self(breaks.map(|(at, _)| at).collect())
    }

    fn of(&self, span: Option<Range<usize>>) -> usize {
        span.map_or(0, |span| self.0.partition_point(|at| *at < span.start) + 1)
    }
}
