//! The key file: what opens which meter, for simulated meters, tests and
//! enrolment.
//!
//! ```toml
//! [[meter]]
//! logical_device_name = "GWD0000000000001"
//! system_title = "4757440000000001"
//! master_key = "…"
//! broadcast_key = "…"
//! [[meter.client]]
//! sap = 1
//! mechanism = "hls5"
//! encryption_key = "…"
//! authentication_key = "…"
//! password = "…"
//! suite = 0
//! drkey_secret = "…"  # in place of authentication_key, over scion://
//! ```

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use dlms::acse::MechanismName;
use dlms::security::{Key, KeyKind, SystemTitle};
use model::LogicalDeviceName;
use serde::Deserialize;
use toml::Spanned;
use zeroize::Zeroizing;

use crate::{Entropy, Sap};

/// The keys of some meters.
#[derive(Clone, Debug, Default)]
pub struct KeyFile {
    /// One entry a meter, in the file's order.
    pub meters: Vec<MeterKeys>,
}

/// The keys of one meter.
#[derive(Clone, Debug)]
pub struct MeterKeys {
    /// The name of its logical device.
    pub logical_device_name: LogicalDeviceName,
    /// Its system title.
    pub system_title: SystemTitle,
    /// The key under which others are transferred (KEK).
    pub master_key: Option<Key>,
    /// The key of broadcasts (GBEK).
    pub broadcast_key: Option<Key>,
    /// The clients that it lets in, but for the public one, which needs none.
    pub clients: Vec<ClientKeys>,
}

/// What opens a meter for one client.
#[derive(Clone, Debug)]
pub struct ClientKeys {
    /// The client's SAP.
    pub sap: Sap,
    /// How it proves itself.
    pub mechanism: MechanismName<'static>,
    /// The key that ciphers (GUEK).
    pub encryption_key: Option<Key>,
    /// The key that authenticates (GAK).
    pub authentication_key: Option<Key>,
    /// The password, where the mechanism has one.
    pub password: Option<Password>,
    /// The security suite, 0 to 2.
    pub suite: u8,
    /// The secret that keys of a SCION network (DRKey) are mixed with to make
    /// the key that authenticates: with it `authentication_key` is not used.
    pub drkey_secret: Option<Key>,
}

/// A password: wiped when dropped, shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// Takes the password's octets.
    #[must_use]
    pub fn new(octets: Vec<u8>) -> Self {
        Self(Zeroizing::new(octets))
    }

    /// Shows the octets, to be handed to the peer's check and to nothing else.
    #[must_use]
    pub fn dangerous_octets(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(..)")
    }
}

/// The pre-established client of DSMR and SMR, for what is sent to all meters
/// (GXF, `DlmsDeviceAssociation`).
pub const BROADCAST_CLIENT: u16 = 102;

/// Meters that one file may hold.
const METERS_MAX: usize = 1_000_000;

/// Octets that one file may have.
const FILE_LEN_MAX: u64 = 1 << 30;

impl KeyFile {
    /// Reads a file that its owner alone may read.
    ///
    /// # Errors
    /// [`KeyFileError`]: what is wrong with the file, never what stands in it.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let io = |source| KeyFileError::Io {
            path: path.to_owned(),
            source,
        };
        let metadata = std::fs::metadata(path).map_err(io)?;
        if metadata.mode() & 0o077 != 0 {
            return Err(KeyFileError::Readable {
                path: path.to_owned(),
                mode: metadata.mode() & 0o777,
            });
        }
        if metadata.len() > FILE_LEN_MAX {
            return Err(KeyFileError::TooLarge {
                path: path.to_owned(),
            });
        }
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(io)?);
        Self::parse(&text).map_err(|fault| KeyFileError::Content {
            path: path.to_owned(),
            fault,
        })
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// The first fault, with its line or meter.
    pub fn parse(text: &str) -> Result<Self, KeyFault> {
        // A tree of values takes some twenty times the text that it is of, so
        // that a fleet's file is read in parts, each a document of its own.
        // Where a part is none (a text over several lines may hold what looks
        // like a heading), the whole is read at once and says what is wrong.
        let mut meters = Vec::new();
        let mut seen = BTreeSet::new();
        let mut line = 1;
        for part in parts(text) {
            let Ok(raw) = toml::from_str(part) else {
                let raw = toml::from_str(text).map_err(|error| KeyFault {
                    line: error.span().map(|span| line_of(text, span.start)),
                    meter: None,
                    reason: KeyFaultReason::Toml(toml_reason(&error).into()),
                })?;
                meters.clear();
                seen.clear();
                take(raw, text, 1, &mut seen, &mut meters)?;
                break;
            };
            take(raw, part, line, &mut seen, &mut meters)?;
            line += breaks(part);
        }
        Ok(Self { meters })
    }

    /// Makes keys for meters of the maker `GWD`, numbered from `first`: client
    /// 1 with HLS 5 and ciphering, client 2 with a password that reads. All of
    /// them share one broadcast key, and the authentication key that goes with
    /// it, of client 102.
    ///
    /// # Errors
    /// Where there is no entropy.
    pub fn generate(first: u32, count: u32, entropy: &dyn Entropy) -> std::io::Result<Self> {
        let key = || -> std::io::Result<Key> {
            let mut octets = Zeroizing::new([0_u8; 16]);
            entropy.fill(octets.as_mut_slice())?;
            Ok(Key::from(*octets))
        };
        let password = || -> std::io::Result<Password> {
            let mut octets = Zeroizing::new([0_u8; 8]);
            entropy.fill(octets.as_mut_slice())?;
            Ok(Password::new(hex(octets.as_slice()).into_bytes()))
        };
        let mut meters = Vec::new();
        let (broadcast, of_all) = (key()?, key()?);
        for number in first..first.saturating_add(count) {
            let mut title = *b"GWD\0\0\0\0\0";
            if let Some(tail) = title.last_chunk_mut::<4>() {
                *tail = number.to_be_bytes();
            }
            meters.push(MeterKeys {
                logical_device_name: format!("GWD{number:013}")
                    .parse()
                    .map_err(std::io::Error::other)?,
                system_title: SystemTitle(title),
                master_key: Some(key()?),
                broadcast_key: Some(broadcast.clone()),
                clients: vec![
                    ClientKeys {
                        sap: 1,
                        mechanism: MechanismName::HighGmac,
                        encryption_key: Some(key()?),
                        authentication_key: Some(key()?),
                        password: None,
                        suite: 0,
                        drkey_secret: None,
                    },
                    ClientKeys {
                        sap: 2,
                        mechanism: MechanismName::Low,
                        encryption_key: None,
                        authentication_key: None,
                        password: Some(password()?),
                        suite: 0,
                        drkey_secret: None,
                    },
                    ClientKeys {
                        sap: BROADCAST_CLIENT,
                        mechanism: MechanismName::Lowest,
                        encryption_key: Some(key()?),
                        authentication_key: Some(of_all.clone()),
                        password: None,
                        suite: 0,
                        drkey_secret: None,
                    },
                ],
            });
        }
        Ok(Self { meters })
    }

    /// Gives each meter fresh keys for one more client, with HLS 5; a meter
    /// that has keys for it already keeps them.
    ///
    /// # Errors
    /// Where there is no entropy.
    pub fn add_client(&mut self, sap: Sap, entropy: &dyn Entropy) -> std::io::Result<()> {
        let key = || -> std::io::Result<Key> {
            let mut octets = Zeroizing::new([0_u8; 16]);
            entropy.fill(octets.as_mut_slice())?;
            Ok(Key::from(*octets))
        };
        for meter in &mut self.meters {
            if meter.client(sap).is_none() {
                meter.clients.push(ClientKeys {
                    sap,
                    mechanism: MechanismName::HighGmac,
                    encryption_key: Some(key()?),
                    authentication_key: Some(key()?),
                    password: None,
                    suite: 0,
                    drkey_secret: None,
                });
            }
        }
        Ok(())
    }

    /// Has the network derive a part of client 1's authentication keys: each
    /// meter gets a fresh secret that they are mixed with in the place of the
    /// key.
    ///
    /// # Errors
    /// Where there is no entropy.
    pub fn derive_by_network(&mut self, entropy: &dyn Entropy) -> std::io::Result<()> {
        for meter in &mut self.meters {
            for client in meter.clients.iter_mut().filter(|client| client.sap == 1) {
                let mut octets = Zeroizing::new([0_u8; 16]);
                entropy.fill(octets.as_mut_slice())?;
                client.authentication_key = None;
                client.drkey_secret = Some(Key::from(*octets));
            }
        }
        Ok(())
    }

    /// Takes of each meter what opens it for one client, and nothing else:
    /// what a concentrator that collects on its own is given.
    #[must_use]
    pub fn of_client(&self, sap: Sap) -> Self {
        let meters = self.meters.iter().filter_map(|meter| {
            let client = meter.client(sap)?;
            Some(MeterKeys {
                logical_device_name: meter.logical_device_name.clone(),
                system_title: meter.system_title,
                master_key: None,
                broadcast_key: None,
                clients: vec![client.clone()],
            })
        });
        Self {
            meters: meters.collect(),
        }
    }

    /// Writes a file that nobody but its owner may read, durably, in place of
    /// what stood there.
    ///
    /// # Errors
    /// The operating system's.
    pub fn save(&self, path: &Path) -> Result<(), KeyFileError> {
        let io = |source| KeyFileError::Io {
            path: path.to_owned(),
            source,
        };
        let text = Zeroizing::new(self.to_toml());
        let mut draft = path.as_os_str().to_owned();
        draft.push(".new");
        let draft = PathBuf::from(draft);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .map_err(io)?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(io)?;
        std::fs::rename(&draft, path).map_err(io)?;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        std::fs::File::open(folder.unwrap_or_else(|| Path::new(".")))
            .and_then(|folder| folder.sync_all())
            .map_err(io)
    }

    /// Finds a meter by its logical device name or its system title in hex.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&MeterKeys> {
        self.meters.iter().find(|meter| {
            meter.logical_device_name.as_str() == name
                || meter.system_title.to_string().eq_ignore_ascii_case(name)
        })
    }

    /// Lists the keys that are known to everybody: meter, which key, where it
    /// is published.
    #[must_use]
    pub fn weak(&self) -> Vec<(String, String, &'static str)> {
        let mut found = Vec::new();
        for meter in &self.meters {
            let mut look = |what: String, weakness: Option<&'static str>| {
                if let Some(weakness) = weakness {
                    found.push((meter.logical_device_name.to_string(), what, weakness));
                }
            };
            for (kind, key) in [
                (KeyKind::Master, &meter.master_key),
                (KeyKind::Broadcast, &meter.broadcast_key),
            ] {
                look(kind.to_string(), key.as_ref().and_then(Key::weakness));
            }
            for client in &meter.clients {
                for (kind, key) in [
                    (KeyKind::Encryption, &client.encryption_key),
                    (KeyKind::Authentication, &client.authentication_key),
                ] {
                    let weakness = key.as_ref().and_then(Key::weakness);
                    look(format!("{kind} of client {}", client.sap), weakness);
                }
                let secret = client.drkey_secret.as_ref();
                let what = format!("DRKey secret of client {}", client.sap);
                look(what, secret.and_then(Key::weakness));
                if let Some(password) = &client.password {
                    let weakness = weak_password(password.dangerous_octets());
                    look(format!("password of client {}", client.sap), weakness);
                }
            }
        }
        found
    }

    fn to_toml(&self) -> String {
        let mut out = String::with_capacity(self.meters.len() * 700);
        for meter in &self.meters {
            out.push_str("[[meter]]\n");
            let name = meter.logical_device_name.as_str();
            put(&mut out, "logical_device_name", name);
            put(&mut out, "system_title", &meter.system_title.to_string());
            put_key(&mut out, "master_key", meter.master_key.as_ref());
            put_key(&mut out, "broadcast_key", meter.broadcast_key.as_ref());
            for client in &meter.clients {
                out.push_str("[[meter.client]]\n");
                out.push_str(&format!("sap = {}\n", client.sap));
                put(&mut out, "mechanism", mechanism_name(client.mechanism));
                put_key(&mut out, "encryption_key", client.encryption_key.as_ref());
                put_key(
                    &mut out,
                    "authentication_key",
                    client.authentication_key.as_ref(),
                );
                if let Some(password) = &client.password {
                    put(&mut out, "password", &String::from_utf8_lossy(&password.0));
                }
                out.push_str(&format!("suite = {}\n", client.suite));
                put_key(&mut out, "drkey_secret", client.drkey_secret.as_ref());
            }
            out.push('\n');
        }
        out
    }
}

/// The heading of a meter's entry.
const HEADING: &str = "[[meter]]";

/// Meters that are read as one document.
const PART_METERS: usize = 64;

/// Cuts a file before every sixty-fourth line that opens a meter's entry.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut headings = 0;
        let mut end = 0;
        for line in rest.split_inclusive('\n') {
            if line.starts_with(HEADING) {
                headings += 1;
                if headings > PART_METERS {
                    break;
                }
            }
            end += line.len();
        }
        let (part, after) = rest.split_at_checked(end)?;
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}

/// Checks the entries of a document that begins at a line of its file.
fn take(
    raw: RawFile,
    text: &str,
    mut line: usize,
    seen: &mut BTreeSet<LogicalDeviceName>,
    meters: &mut Vec<MeterKeys>,
) -> Result<(), KeyFault> {
    let mut offset = 0;
    for entry in raw.meter {
        // Counted on from the entry before: a file may hold a million.
        let start = entry.span().start;
        line += breaks(text.get(offset..start).unwrap_or_default());
        offset = start;
        let entry = entry.into_inner();
        let told = entry.logical_device_name.clone();
        let fault = |reason| KeyFault {
            line: Some(line),
            meter: Some(told.as_str().into()),
            reason,
        };
        if meters.len() >= METERS_MAX {
            return Err(fault(KeyFaultReason::TooMany));
        }
        let entry = entry.check().map_err(fault)?;
        if !seen.insert(entry.logical_device_name.clone()) {
            return Err(fault(KeyFaultReason::Twice));
        }
        meters.push(entry);
    }
    Ok(())
}

impl MeterKeys {
    /// Finds what opens the meter for a client.
    #[must_use]
    pub fn client(&self, sap: Sap) -> Option<&ClientKeys> {
        self.clients.iter().find(|client| client.sap == sap)
    }
}

/// Names the default that a password is, if it is one.
#[must_use]
pub fn weak_password(password: &[u8]) -> Option<&'static str> {
    const KNOWN: &[&[u8]] = &[
        b"00000000",
        b"11111111",
        b"12345678",
        b"87654321",
        b"ABCDEFGH",
        b"AAAAAAAA",
        b"Gurux",
        b"GuruxLow",
        b"0000000000000000",
        b"1234567890123456",
        b"password",
        b"admin",
    ];
    if password.len() < 8 {
        return Some("fewer than 8 characters");
    }
    if KNOWN.contains(&password) {
        return Some("a default of common tools and meters");
    }
    dlms::security::weak_key(password)
}

/// The mechanisms by their names in the key file and on the command line.
const MECHANISMS: &[(&str, MechanismName<'static>)] = &[
    ("none", MechanismName::Lowest),
    ("lls", MechanismName::Low),
    ("hls2", MechanismName::High),
    ("hls3", MechanismName::HighMd5),
    ("hls4", MechanismName::HighSha1),
    ("hls5", MechanismName::HighGmac),
    ("hls6", MechanismName::HighSha256),
    ("hls7", MechanismName::HighEcdsa),
];

/// Tells a mechanism's name in the key file and on the command line.
#[must_use]
pub fn mechanism_name(mechanism: MechanismName<'_>) -> &'static str {
    MECHANISMS
        .iter()
        .find(|(_, known)| *known == mechanism)
        .map_or("unknown", |(name, _)| name)
}

/// Finds the mechanism with this name.
#[must_use]
pub fn mechanism_from_name(name: &str) -> Option<MechanismName<'static>> {
    MECHANISMS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, mechanism)| *mechanism)
}

fn put(out: &mut String, name: &str, text: &str) {
    out.push_str(&format!("{name} = {}\n", toml::Value::from(text)));
}

fn put_key(out: &mut String, name: &str, key: Option<&Key>) {
    if let Some(key) = key {
        put(out, name, &Zeroizing::new(hex(key.dangerous_octets())));
    }
}

fn hex(octets: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
    octets
        .iter()
        .flat_map(|octet| [digit(octet >> 4), digit(octet & 0x0F)])
        .collect()
}

/// Reads hexadecimal digits; spaces, colons, hyphens and line breaks between
/// them are skipped.
#[must_use]
pub fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let mut digits = text
        .chars()
        .filter(|character| !character.is_whitespace() && !matches!(character, ':' | '-'))
        .map(|character| {
            character
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        });
    let mut out = Vec::with_capacity(text.len() / 2);
    while let Some(high) = digits.next() {
        out.push(high? << 4 | digits.next()??);
    }
    Some(out)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    meter: Vec<Spanned<RawMeter>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMeter {
    logical_device_name: String,
    system_title: String,
    master_key: Option<Zeroizing<String>>,
    broadcast_key: Option<Zeroizing<String>>,
    #[serde(default)]
    client: Vec<RawClient>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClient {
    sap: Sap,
    mechanism: String,
    encryption_key: Option<Zeroizing<String>>,
    authentication_key: Option<Zeroizing<String>>,
    password: Option<Zeroizing<String>>,
    #[serde(default)]
    suite: u8,
    drkey_secret: Option<Zeroizing<String>>,
}

impl RawMeter {
    fn check(self) -> Result<MeterKeys, KeyFaultReason> {
        let name = self.logical_device_name.parse();
        let mut clients: Vec<ClientKeys> = Vec::with_capacity(self.client.len());
        for client in self.client {
            let client = client.check()?;
            if clients.iter().any(|other| other.sap == client.sap) {
                return Err(KeyFaultReason::ClientTwice(client.sap));
            }
            clients.push(client);
        }
        Ok(MeterKeys {
            logical_device_name: name.map_err(|_| KeyFaultReason::Name)?,
            system_title: self
                .system_title
                .parse()
                .map_err(|_| KeyFaultReason::Title)?,
            master_key: key("master_key", self.master_key)?,
            broadcast_key: key("broadcast_key", self.broadcast_key)?,
            clients,
        })
    }
}

impl RawClient {
    fn check(self) -> Result<ClientKeys, KeyFaultReason> {
        if self.suite > 2 {
            return Err(KeyFaultReason::Suite);
        }
        if self.sap == 0 {
            return Err(KeyFaultReason::Station);
        }
        Ok(ClientKeys {
            sap: self.sap,
            mechanism: mechanism_from_name(&self.mechanism).ok_or(KeyFaultReason::Mechanism)?,
            encryption_key: key("encryption_key", self.encryption_key)?,
            authentication_key: key("authentication_key", self.authentication_key)?,
            password: self
                .password
                .map(|text| Password::new(text.as_bytes().to_vec())),
            suite: self.suite,
            drkey_secret: key("drkey_secret", self.drkey_secret)?,
        })
    }
}

fn key(
    field: &'static str,
    text: Option<Zeroizing<String>>,
) -> Result<Option<Key>, KeyFaultReason> {
    text.map(|text| {
        let octets = parse_hex(&text)
            .map(Zeroizing::new)
            .ok_or(KeyFaultReason::Key(field))?;
        Key::from_octets(&octets).map_err(|_| KeyFaultReason::Key(field))
    })
    .transpose()
}

/// Tells what is wrong in a file that may hold secrets, and where: the error's
/// own text quotes the line.
#[must_use]
pub fn toml_fault(text: &str, error: &toml::de::Error) -> String {
    let reason = toml_reason(error);
    match error.span() {
        Some(span) => format!("line {}: {reason}", line_of(text, span.start)),
        None => reason,
    }
}

/// Tells what is wrong without the values that the error's own text quotes;
/// names of keys are none.
#[must_use]
pub fn toml_reason(error: &toml::de::Error) -> String {
    let message = error.message().lines().next().unwrap_or_default().trim();
    let of_names = [
        "unknown field",
        "missing field",
        "duplicate ",
        "unknown variant",
    ]
    .iter()
    .any(|start| message.starts_with(start));
    if of_names || !message.contains(['"', '`']) {
        message.chars().take(MESSAGE_MAX).collect()
    } else {
        "not the kind of value that belongs here".to_owned()
    }
}

/// Characters of a message that are told.
const MESSAGE_MAX: usize = 300;

fn line_of(text: &str, offset: usize) -> usize {
    breaks(text.get(..offset).unwrap_or(text)) + 1
}

fn breaks(text: &str) -> usize {
    text.bytes().filter(|octet| *octet == b'\n').count()
}

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The operating system's error.
    #[error("{path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Others than the owner may read it.
    #[error("{path} may be read by others (mode {mode:o}): chmod 600 it")]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is larger than any key file.
    #[error("{path} is too large for a key file")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// What stands in it is wrong.
    #[error("{path}: {fault}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: KeyFault,
    },
}

/// What is wrong in a key file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFault {
    /// The line, where it is known.
    pub line: Option<usize>,
    /// The meter's logical device name, where it is known.
    pub meter: Option<Box<str>>,
    /// What is wrong.
    pub reason: KeyFaultReason,
}

impl std::fmt::Display for KeyFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if let Some(meter) = &self.meter {
            write!(f, "meter {}: ", meter.escape_debug())?;
        }
        self.reason.fmt(f)
    }
}

impl std::error::Error for KeyFault {}

/// What can be wrong in a key file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFaultReason {
    /// It is no TOML of this form.
    #[error("not a key file: {0}")]
    Toml(Box<str>),
    /// More meters than one file may hold.
    #[error("more than {METERS_MAX} meters")]
    TooMany,
    /// The name stands twice.
    #[error("this logical device name stands twice")]
    Twice,
    /// The name is none.
    #[error("a logical device name has 1 to 16 characters without spaces")]
    Name,
    /// The title is none.
    #[error("system_title is 16 hexadecimal digits")]
    Title,
    /// A key is none.
    #[error("{0} is 32 or 64 hexadecimal digits")]
    Key(&'static str),
    /// The mechanism is none.
    #[error("mechanism is one of none, lls, hls2, hls3, hls4, hls5, hls6, hls7")]
    Mechanism,
    /// The suite is none.
    #[error("suite is 0, 1 or 2")]
    Suite,
    /// The SAP is nobody's.
    #[error("sap 0 is no station")]
    Station,
    /// A client stands twice.
    #[error("client {0} stands twice")]
    ClientTwice(Sap),
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement of what is written with what is read, and
    //! robustness against files that are wrong.

    use super::*;
    use crate::SystemEntropy;

    #[test]
    fn what_is_generated_reads_back_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let made = KeyFile::generate(1, 3, &SystemEntropy).unwrap();
        made.save(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let read = KeyFile::load(&path).unwrap();
        assert_eq!(read.to_toml(), made.to_toml());
        assert!(read.weak().is_empty());
        let meter = read.find("4757440000000002").unwrap();
        assert_eq!(meter.logical_device_name.as_str(), "GWD0000000000002");
        assert_eq!(meter.client(1).unwrap().mechanism, MechanismName::HighGmac);
        let mut keys: Vec<_> = read
            .meters
            .iter()
            .flat_map(|meter| {
                meter
                    .clients
                    .iter()
                    .filter_map(|client| client.encryption_key.as_ref())
            })
            .map(Key::dangerous_octets)
            .collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 6, "each meter has its own keys");
        let shared = |meter: &MeterKeys| {
            let of_all = meter.client(BROADCAST_CLIENT).unwrap();
            (
                meter.broadcast_key.clone(),
                of_all.authentication_key.clone(),
            )
        };
        let first = shared(read.meters.first().unwrap());
        assert!(first.0.is_some() && first.1.is_some());
        assert!(read.meters.iter().all(|meter| shared(meter) == first));
    }

    #[test]
    fn what_a_collector_is_given_opens_nothing_else() {
        let mut all = KeyFile::generate(1, 2, &SystemEntropy).unwrap();
        assert!(all.of_client(3).meters.is_empty());
        all.add_client(3, &SystemEntropy).unwrap();
        let before = all.to_toml();
        all.add_client(3, &SystemEntropy).unwrap();
        assert_eq!(all.to_toml(), before, "keys that are in use stay");
        let given = all.of_client(3);
        let read = KeyFile::parse(&given.to_toml()).unwrap();
        assert_eq!(read.meters.len(), 2);
        for meter in &read.meters {
            assert!(meter.master_key.is_none() && meter.broadcast_key.is_none());
            let saps: Vec<_> = meter.clients.iter().map(|client| client.sap).collect();
            assert_eq!(saps, [3]);
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        KeyFile::default().save(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refusal = KeyFile::load(&path).unwrap_err().to_string();
        assert!(
            refusal.ends_with("may be read by others (mode 640): chmod 600 it"),
            "{refusal}"
        );
    }

    const SECRET: &str = "c0ffee00c0ffee01c0ffee02c0ffee03";

    fn fault(meter: &str) -> String {
        let fault = KeyFile::parse(meter).unwrap_err().to_string();
        assert!(
            !fault.contains("c0ffee"),
            "a key stands in the message: {fault}"
        );
        fault
    }

    #[test]
    fn faults_say_where_and_never_quote_a_key() {
        let head =
            "[[meter]]\nlogical_device_name = \"GWD1\"\nsystem_title = \"4757440000000001\"\n";
        assert_eq!(
            fault(&format!("{head}master_key = \"{SECRET}0\"\n")),
            "line 1: meter GWD1: master_key is 32 or 64 hexadecimal digits"
        );
        assert_eq!(
            fault(&format!("{head}mester_key = \"{SECRET}\"\n")),
            "line 4: not a key file: unknown field `mester_key`, expected one of \
             `logical_device_name`, `system_title`, `master_key`, `broadcast_key`, `client`"
        );
        assert_eq!(
            fault(&format!("{head}master_key = {SECRET}\n"))
                .split(':')
                .next(),
            Some("line 4")
        );
        assert_eq!(
            fault(&format!("{head}{head}")),
            "line 4: meter GWD1: this logical device name stands twice"
        );
        assert_eq!(
            fault(&format!(
                "{head}[[meter.client]]\nsap = 1\nmechanism = \"hls9\"\n"
            )),
            "line 1: meter GWD1: mechanism is one of none, lls, hls2, hls3, hls4, hls5, hls6, hls7"
        );
    }

    #[test]
    fn a_fleet_is_read_in_parts_as_if_it_were_one() {
        let count = u32::try_from(PART_METERS).unwrap() * 3 + 5;
        let made = KeyFile::generate(1, count, &SystemEntropy).unwrap();
        let text = made.to_toml();
        assert_eq!(KeyFile::parse(&text).unwrap().to_toml(), text);
        let lines = text.lines().count();
        let first = text.split("\n\n").next().unwrap();
        assert_eq!(
            fault(&format!("{text}{first}\n")),
            format!(
                "line {}: meter GWD0000000000001: this logical device name stands twice",
                lines + 1
            )
        );
        assert_eq!(
            fault(&format!("{text}[[meter]]\nname = \"\"\n"))
                .split(':')
                .next(),
            Some(format!("line {}", lines + 2).as_str())
        );
    }

    #[test]
    fn a_heading_within_a_text_is_no_heading() {
        let mut text = String::new();
        for number in 0..=PART_METERS {
            // The heading that would end the first part stands in a password.
            let password = if number == PART_METERS - 1 {
                "\"\"\"one\n[[meter]]\ntwo\"\"\""
            } else {
                "\"one\""
            };
            text.push_str(&format!(
                "[[meter]]\nlogical_device_name = \"GWD{number}\"\nsystem_title = \"4757440000000001\"\n\
                 [[meter.client]]\nsap = 2\nmechanism = \"lls\"\npassword = {password}\n"
            ));
        }
        let read = KeyFile::parse(&text).unwrap();
        assert_eq!(read.meters.len(), PART_METERS + 1);
        let odd = read.meters.get(PART_METERS - 1).unwrap();
        let password = odd.client(2).unwrap().password.as_ref().unwrap();
        assert_eq!(password.dangerous_octets(), b"one\n[[meter]]\ntwo");
    }

    #[test]
    fn known_keys_and_passwords_are_named() {
        let text = "[[meter]]\nlogical_device_name = \"GWD1\"\nsystem_title = \"4757440000000001\"\n\
            [[meter.client]]\nsap = 1\nmechanism = \"hls5\"\n\
            encryption_key = \"000102030405060708090A0B0C0D0E0F\"\n\
            [[meter.client]]\nsap = 2\nmechanism = \"lls\"\npassword = \"12345678\"\n";
        let weak = KeyFile::parse(text).unwrap().weak();
        let what: Vec<_> = weak.iter().map(|(_, what, _)| what.as_str()).collect();
        assert_eq!(
            what,
            [
                "global unicast encryption key of client 1",
                "password of client 2"
            ]
        );
    }
}
