//! `gridward keys outlets`: keys and certificates of outlet meters and of their head end.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use clap::Args;
use link::{Clock as _, SystemClock};
use model::xml::{CivilDateTime, SmartMeterId};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use serde_json::json;
use zeroize::Zeroizing;

use crate::Outcome;
use crate::failure::{Failure, chain};
use crate::output::Output;

/// Seconds of a day.
const DAY: i64 = 86_400;
/// Days that certificates of meters and of the head end hold.
const DAYS: i64 = 20 * 365;
/// Days that the authority's holds.
const AUTHORITY_DAYS: i64 = 30 * 365;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gridward keys outlets papers --count 2
  gridward headend --config papers/headend/gridward.toml
  gridward outlet-meter --config papers/meter-001/gridward.toml

FOLDER gets, each file for its owner alone:
  authority.pem, authority.key   who signs certificates; keep the key elsewhere
  headend/      certificate, key that signs orders to breakers, meters.toml: the
                enrolment, and gridward.toml: a configuration that names them
  meter-001/    certificate, who may order its breaker, and gridward.toml

With a folder that is there already, meters are added: --first 3 --count 1.")]
pub(crate) struct PapersOptions {
    /// The folder to make, or to add meters to
    folder: PathBuf,

    /// How many meters
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,

    /// The number of the first meter
    #[arg(long, value_name = "N", default_value_t = 1)]
    first: u32,

    /// How many outlets each has
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    outlets: u32,

    /// Name or address of the head end, as meters call it
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    host: String,

    /// Days of sections that the virtual meters make up, and the head end wants
    #[arg(long, value_name = "DAYS", default_value_t = 7,
          value_parser = clap::value_parser!(u16).range(0..=60))]
    history: u16,

    /// Minutes that the meters' civil time is ahead of UTC
    #[arg(long, value_name = "MIN", default_value_t = Self::UTC_OFFSET_MIN, allow_hyphen_values = true,
          value_parser = clap::value_parser!(i16).range(-720..=840))]
    utc_offset_min: i16,
}

pub(crate) fn run(options: &PapersOptions, output: &mut Output<'_, '_>) -> Outcome {
    issue(options)?;
    let (folder, count) = (&options.folder, options.count);
    let headend = folder.join("headend");
    if output.json() {
        return output.write_json(&json!({
            "folder": folder.display().to_string(),
            "meters": count,
            "first": options.first,
            "headend": headend.join("gridward.toml").display().to_string(),
        }));
    }
    let many = if count == 1 { "" } else { "s" };
    let first = folder.join(folder_of(options.first));
    output.write(&format!(
        "{}: keys and certificates of {count} outlet meter{many}\nNext:\n  \
         gridward headend --config {}\n  gridward outlet-meter --config {}\n",
        folder.display(),
        headend.join("gridward.toml").display(),
        first.join("gridward.toml").display(),
    ))
}

/// Makes the folder, or adds meters to it.
pub(crate) fn issue(options: &PapersOptions) -> Outcome {
    if options.first.checked_add(options.count).is_none() {
        return Err(Failure::usage(
            "--first and --count lead past the last number",
        ));
    }
    let host = &options.host;
    if host.is_empty() || host.contains(['/', '?', '"', '\\']) || host.contains(char::is_whitespace)
    {
        return Err(Failure::usage(format!("{host}: no name or address")));
    }
    let now = SystemClock::new().unix_seconds();
    let folder = &options.folder;
    let added = folder.join("authority.key").exists();
    if !added && std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(
            Failure::new(format!("{}: there are other files", folder.display()))
                .hint("name a folder that is not there yet, or one that this command made"),
        );
    }
    for meter in options.meters() {
        let path = folder.join(name(meter));
        if path.exists() {
            return Err(Failure::new(format!("{} is there already", path.display()))
                .hint("add meters behind it with --first N; its key may be in use"));
        }
    }
    make(folder)?;
    let authority = if added {
        Authority::open(folder, now)?
    } else {
        Authority::make(folder, now)?
    };
    let headend = folder.join("headend");
    if !added {
        make(&headend)?;
        let signer = KeyPair::generate().map_err(failed)?;
        let secret = Zeroizing::new(signer.serialize_pem());
        put(&headend.join("breaker.key"), secret.as_bytes())?;
        put(
            &headend.join("breaker.pub"),
            signer.public_key_pem().as_bytes(),
        )?;
        authority.sign(
            &headend,
            "headend",
            (host, "Head end"),
            ExtendedKeyUsagePurpose::ServerAuth,
        )?;
        put(&headend.join("meters.toml"), b"")?;
        put(&headend.join("gridward.toml"), options.headend().as_bytes())?;
    }
    let breaker = headend.join("breaker.pub");
    let breaker = std::fs::read(&breaker)
        .map_err(|error| Failure::new(format!("{}: {error}", breaker.display())))?;
    let mut enrolment = String::new();
    for meter in options.meters() {
        let at = folder.join(name(meter));
        make(&at)?;
        let title = format!("Outlet meter {meter}");
        authority.sign(
            &at,
            "meter",
            (&name(meter), &title),
            ExtendedKeyUsagePurpose::ClientAuth,
        )?;
        put(&at.join("breaker.pub"), &breaker)?;
        put(&at.join("gridward.toml"), options.meter(meter).as_bytes())?;
        options.enrol(meter, now, &mut enrolment);
    }
    let list = headend.join("meters.toml");
    std::fs::File::options()
        .append(true)
        .open(&list)
        .and_then(|mut file| {
            file.write_all(enrolment.as_bytes())?;
            file.sync_all()
        })
        .map_err(|error| Failure::new(format!("{}: {error}", list.display())))
}

/// The folder of the meter of this number, beside the head end's.
pub(crate) fn folder_of(number: u32) -> String {
    name(SmartMeterId(number))
}

/// The folder of a meter.
fn name(meter: SmartMeterId) -> String {
    format!("meter-{meter}")
}

/// What the outlets of virtual meters feed.
const NAMES: [&str; 6] = ["Fridge", "Kettle", "Router", "Heater", "Lamp", "Washer"];

impl PapersOptions {
    /// Minutes ahead of UTC where nothing else is said.
    pub(crate) const UTC_OFFSET_MIN: i16 = 60;

    /// Meters on this machine, as by default.
    pub(crate) fn of(folder: &Path, first: u32, count: u32) -> Self {
        Self {
            folder: folder.to_owned(),
            count,
            first,
            outlets: 4,
            host: "127.0.0.1".to_owned(),
            history: 7,
            utc_offset_min: Self::UTC_OFFSET_MIN,
        }
    }

    fn meters(&self) -> impl Iterator<Item = SmartMeterId> {
        (self.first..self.first.saturating_add(self.count)).map(SmartMeterId)
    }

    fn outlet(number: u32) -> &'static str {
        let place = usize::try_from(number).unwrap_or(0).wrapping_sub(1) % NAMES.len();
        NAMES.get(place).copied().unwrap_or_default()
    }

    fn authority_part(&self) -> String {
        // An IPv6 address stands in brackets.
        if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        }
    }

    fn headend(&self) -> String {
        let local = self
            .host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
        let listen = if local {
            self.authority_part()
        } else if self.host.contains(':') {
            "[::]".to_owned()
        } else {
            "0.0.0.0".to_owned()
        };
        format!(
            "[headend.outlets]\n\
             listen = \"sctps://{listen}\"\n\
             ca = \"ca.pem\"\n\
             certificate = \"headend.pem\"\n\
             key = \"headend.key\"\n\
             meters = \"meters.toml\"\n\
             breaker_key = \"breaker.key\"\n\
             utc_offset_min = {}\n",
            self.utc_offset_min
        )
    }

    fn meter(&self, meter: SmartMeterId) -> String {
        let mut text = format!(
            "[outlet_meter]\n\
             number = {}\n\
             server = \"sctps://{}\"\n\
             ca = \"ca.pem\"\n\
             certificate = \"meter.pem\"\n\
             key = \"meter.key\"\n\
             breaker_key = \"breaker.pub\"\n\
             data = \"data\"\n\
             utc_offset_min = {}\n\
             history_days = {}\n\
             seed = {}\n",
            meter.0,
            self.authority_part(),
            self.utc_offset_min,
            self.history,
            meter.0,
        );
        for outlet in 1..=self.outlets {
            text.push_str(&format!(
                "\n[[outlet_meter.outlet]]\nnumber = {outlet}\nname = \"{}\"\nwarn_w = 2000\n",
                Self::outlet(outlet)
            ));
        }
        text
    }

    fn enrol(&self, meter: SmartMeterId, now: i64, text: &mut String) {
        let ahead = i32::from(self.utc_offset_min) * 60;
        let since = now - i64::from(self.history) * DAY;
        let since = CivilDateTime::of_unix(since, ahead).unwrap_or(CivilDateTime::START);
        let outlets: String = (1..=self.outlets)
            .map(|outlet| {
                let name = Self::outlet(outlet);
                format!("  {{ number = {outlet}, name = \"{name}\" }},\n")
            })
            .collect();
        text.push_str(&format!(
            "[[meter]]\nnumber = {}\nplace = \"Outlet meter {meter}\"\n\
             certificate = \"../{}/meter.pem\"\nsince = \"{since}\"\noutlet = [\n{outlets}]\n\n",
            meter.0,
            name(meter)
        ));
    }
}

/// Who signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    now: i64,
}

impl Authority {
    fn params(now: i64) -> Result<CertificateParams, Failure> {
        let mut params = params(Vec::new(), "Gridward outlet meters", now, AUTHORITY_DAYS)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(params)
    }

    fn make(folder: &Path, now: i64) -> Result<Self, Failure> {
        let key = KeyPair::generate().map_err(failed)?;
        let params = Self::params(now)?;
        let pem = params.self_signed(&key).map_err(failed)?.pem();
        let secret = Zeroizing::new(key.serialize_pem());
        put(&folder.join("authority.key"), secret.as_bytes())?;
        put(&folder.join("authority.pem"), pem.as_bytes())?;
        let issuer = Issuer::new(params, key);
        Ok(Self { issuer, pem, now })
    }

    fn open(folder: &Path, now: i64) -> Result<Self, Failure> {
        let read = |file: &str| {
            let path = folder.join(file);
            std::fs::read_to_string(&path)
                .map_err(|error| Failure::new(format!("{}: {error}", path.display())))
        };
        let secret = Zeroizing::new(read("authority.key")?);
        let key = KeyPair::from_pem(&secret).map_err(|_| {
            Failure::new(format!(
                "{}: no private key in PEM form",
                folder.join("authority.key").display()
            ))
        })?;
        // Its name and its key are what certificates say of it.
        let issuer = Issuer::new(Self::params(now)?, key);
        let pem = read("authority.pem")?;
        Ok(Self { issuer, pem, now })
    }

    /// Makes a key and its certificate in a folder.
    fn sign(
        &self,
        folder: &Path,
        file: &str,
        (host, title): (&str, &str),
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<(), Failure> {
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = params(vec![host.to_owned()], title, self.now, DAYS)?;
        params.extended_key_usages = vec![usage];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        let secret = Zeroizing::new(key.serialize_pem());
        put(&folder.join(format!("{file}.key")), secret.as_bytes())?;
        put(
            &folder.join(format!("{file}.pem")),
            certificate.pem().as_bytes(),
        )?;
        put(&folder.join("ca.pem"), self.pem.as_bytes())
    }
}

fn params(
    hosts: Vec<String>,
    title: &str,
    now: i64,
    days: i64,
) -> Result<CertificateParams, Failure> {
    let mut params = CertificateParams::new(hosts).map_err(failed)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, title);
    params.distinguished_name = subject;
    let date = |unix: i64| {
        let civil = CivilDateTime::of_unix(unix, 0).unwrap_or(CivilDateTime::START);
        let (year, month, day) = civil.date().parts();
        rcgen::date_time_ymd(i32::from(year), month, day)
    };
    // Clocks of meters may be late.
    params.not_before = date(now - DAY);
    params.not_after = date(now + days * DAY);
    Ok(params)
}

fn make(folder: &Path) -> Outcome {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| Failure::new(format!("{}: {error}", folder.display())))
}

/// Writes a new file for its owner alone.
fn put(path: &Path, octets: &[u8]) -> Outcome {
    std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(octets)?;
            file.sync_all()
        })
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

fn failed(error: rcgen::Error) -> Failure {
    Failure::new(format!("no certificate can be made: {}", chain(&error)))
}
