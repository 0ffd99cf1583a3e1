//! `gridward outlet-meter`: a virtual meter of outlets as a process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use link::{Clock, Endpoint, SystemClock};
use meter::outlets::{
    FileJournal, OutletConfig, OutletMeter, OutletShell, Output as Done, Sockets, Thresholds,
};
use model::BreakerAction;
use model::xml::{
    CivilDateTime, MAX_OUTLETS, OutletId, OutletPower, Section, SmartMeterId, Switch,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::failure::{Failure, chain};
use crate::output::{Ink, Output};
use crate::{Outcome, config, role};

/// Lines that wait to be told.
const LINES_MAX: usize = 1_024;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gridward keys outlets papers --count 2
  gridward headend --config papers/headend/gridward.toml
  gridward outlet-meter --config papers/meter-001/gridward.toml

It calls the head end and tells what each outlet consumed in each ten minutes,
warns at once, and switches outlets as it is told, its own breaker only by an
order that is signed. What it measured is durable before it is told. SIGTERM
stops cleanly.")]
pub(crate) struct OutletMeterOptions {
    /// Configuration file, with a section [outlet_meter]
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// Call this head end in place of the one that is configured
    #[arg(long, value_name = "URL")]
    server: Option<String>,

    /// Draw this power at each outlet all the time, in W: for tests
    #[arg(long, value_name = "W")]
    power: Option<u32>,

    /// Stop at the end of standard input, as a supervisor wants it
    #[arg(long, hide = true)]
    stop_at_eof: bool,
}

/// The section `[outlet_meter]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OutletMeterConfig {
    number: u32,
    server: Option<String>,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    breaker_key: Option<PathBuf>,
    data: PathBuf,
    utc_offset_min: i16,
    days: u16,
    history_days: u16,
    seed: u64,
    outlet: Vec<OutletOptions>,
}

/// One outlet of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutletOptions {
    number: u32,
    #[serde(default)]
    name: String,
    #[serde(default = "warn_w")]
    warn_w: u32,
    warn_ma: Option<u32>,
    warn_v: Option<u32>,
}

const fn warn_w() -> u32 {
    2_000
}

impl OutletOptions {
    const fn thresholds(&self) -> Thresholds {
        Thresholds {
            watts: self.warn_w,
            milliamperes: self.warn_ma,
            volts: self.warn_v,
        }
    }
}

impl Default for OutletMeterConfig {
    fn default() -> Self {
        Self {
            number: 1,
            server: None,
            ca: None,
            certificate: None,
            key: None,
            breaker_key: None,
            data: "outlet-meter-data".into(),
            utc_offset_min: 60,
            days: 60,
            history_days: 0,
            seed: 1,
            outlet: vec![OutletOptions {
                number: 1,
                name: "Kitchen".to_owned(),
                warn_w: warn_w(),
                warn_ma: None,
                warn_v: None,
            }],
        }
    }
}

impl OutletMeterConfig {
    /// The section with a comment at each key.
    pub(crate) const DEFAULT_TOML: &'static str = include_str!("outlet_meter.toml");

    /// Takes the files that it names without a folder from this one.
    pub(crate) fn relative_to(&mut self, folder: &Path) {
        let files = [
            &mut self.ca,
            &mut self.certificate,
            &mut self.key,
            &mut self.breaker_key,
        ];
        for file in files.into_iter().flatten() {
            *file = folder.join(&*file);
        }
        self.data = folder.join(&self.data);
    }

    /// Checks what must fit.
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(server) = &self.server {
            self.endpoint(server)?;
        }
        if !(1..=400).contains(&self.days) || self.history_days > self.days {
            return Err("days must be 1 to 400, and history_days no more".to_owned());
        }
        if !(-720..=840).contains(&self.utc_offset_min) {
            return Err("utc_offset_min must be -720 to 840".to_owned());
        }
        let outlets: BTreeSet<u32> = self.outlet.iter().map(|outlet| outlet.number).collect();
        if outlets.len() != self.outlet.len() || outlets.is_empty() || outlets.len() > MAX_OUTLETS {
            return Err("outlet must be 1 to 1000 outlets, each once".to_owned());
        }
        Ok(())
    }

    /// The head end, with the files that stand beside its URL.
    fn endpoint(&self, server: &str) -> Result<Endpoint, String> {
        let endpoint: Endpoint = server.parse().map_err(|error| format!("server: {error}"))?;
        let Endpoint::Sctps(at, options, mut tls) = endpoint else {
            return Err(
                "server must be sctps://…: head end and meter prove who they are".to_owned(),
            );
        };
        tls.ca = tls.ca.or_else(|| self.ca.clone());
        tls.cert = tls.cert.or_else(|| self.certificate.clone());
        tls.key = tls.key.or_else(|| self.key.clone());
        if tls.ca.is_none() || tls.cert.is_none() || tls.key.is_none() {
            return Err(
                "ca, certificate and key are missing: gridward keys outlets makes them".to_owned(),
            );
        }
        Ok(Endpoint::Sctps(at, options, tls))
    }
}

pub(crate) fn run(options: &OutletMeterOptions, output: &mut Output<'_, '_>) -> Outcome {
    let config = config::load(&options.config)?.outlet_meter;
    let shown = options.config.display();
    let told = |reason: String| Failure::new(format!("{shown}: outlet_meter.{reason}"));
    let server = match (&options.server, &config.server) {
        (Some(server), _) => config
            .endpoint(server)
            .map_err(|reason| Failure::usage(format!("--{reason}")))?,
        (None, Some(server)) => config.endpoint(server).map_err(told)?,
        (None, None) => return Err(told("server is missing".to_owned())),
    };
    let breaker_key = config.breaker_key.as_deref().map(point).transpose()?;
    let failed = |what: &Path, error: &dyn std::error::Error| {
        Failure::new(format!("{}: {}", what.display(), chain(error)))
    };
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.data)
        .map_err(|error| failed(&config.data, &error))?;
    let id = SmartMeterId(config.number);
    let path = config.data.join("journal");
    // Two of them would write over each other.
    let lock = std::fs::File::create(config.data.join("lock"))
        .map_err(|error| failed(&config.data, &error))?;
    lock.try_lock().map_err(|_| {
        Failure::new(format!(
            "{}: another outlet meter uses this folder",
            config.data.display()
        ))
    })?;
    role::block_on_one(async {
        let stop = role::stopped(options.stop_at_eof)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let ahead = i32::from(config.utc_offset_min) * 60;
        let now =
            CivilDateTime::of_unix(clock.unix_seconds(), ahead).unwrap_or(CivilDateTime::START);
        let outlets: BTreeMap<OutletId, Thresholds> = config
            .outlet
            .iter()
            .map(|outlet| (OutletId(outlet.number), outlet.thresholds()))
            .collect();
        let (lines, mut told) = mpsc::channel(LINES_MAX);
        let household = Household {
            seed: config.seed,
            fixed: options.power,
            outlets: outlets.keys().copied().collect(),
            off: BTreeSet::new(),
            breaker: config.data.join("breaker-is-open"),
            open: config.data.join("breaker-is-open").exists(),
            lines,
        };
        let machine = OutletConfig {
            days: usize::from(config.days),
            breaker_key,
            ..OutletConfig::new(id, outlets)
        };
        let journal = FileJournal::open(&path).map_err(|error| failed(&path, &error))?;
        let meter = OutletMeter::open(machine, journal)
            .and_then(|meter| meter.with_history(household.history(now, config.history_days)))
            .map_err(|error| failed(&path, &error))?;
        let sections = meter.rows().count();
        let shell = OutletShell::new(meter, household, server.clone(), Arc::clone(&clock), ahead);
        if output.json() {
            output.write_json(&json!({
                "outlet_meter": config.number,
                "server": server.to_string(),
                "outlets": config.outlet.len(),
                "sections": sections,
            }))?;
        } else {
            let style = output.style();
            output.write(&format!(
                "{} {}\nOutlets: {}\nSections held: {sections}\nStop with Ctrl-C.\n",
                style.paint(Ink::Head, &format!("Outlet meter {id} calls")),
                style.paint(Ink::Value, &server.to_string()),
                config
                    .outlet
                    .iter()
                    .map(|outlet| match outlet.name.as_str() {
                        "" => OutletId(outlet.number).to_string(),
                        name => format!("{} {name}", OutletId(outlet.number)),
                    })
                    .collect::<Vec<_>>()
                    .join(", "),
            ))?;
        }
        output.flush()?;
        let running = shell.run(stop.wait());
        tokio::pin!(running);
        loop {
            tokio::select! {
                ended = &mut running => {
                    return ended.map_err(|error| failed(&path, &error));
                }
                Some((text, value)) = told.recv() => {
                    if output.json() {
                        output.write_json(&value)?;
                    } else {
                        output.write(&format!("{text}\n"))?;
                    }
                    output.flush()?;
                }
            }
        }
    })
}

/// The uncompressed point of a P-256 key in a file.
fn point(path: &Path) -> Result<Vec<u8>, Failure> {
    let octets = link::public_key_der(path).map_err(|error| Failure::new(chain(&error)))?;
    // RFC 5480: ecPublicKey, prime256v1, and a bit string of 65 octets.
    let point = octets.strip_prefix(&[
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08,
        0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ]);
    point
        .filter(|point| point.len() == 65)
        .map(<[u8]>::to_vec)
        .ok_or_else(|| Failure::new(format!("{}: no P-256 key", path.display())))
}

/// Outlets with loads that are made up: the same seed, the same loads.
struct Household {
    seed: u64,
    fixed: Option<u32>,
    outlets: Vec<OutletId>,
    off: BTreeSet<OutletId>,
    /// There while the breaker is open: what a real one knows by its position.
    breaker: PathBuf,
    open: bool,
    lines: mpsc::Sender<(String, Value)>,
}

/// Watts of what is plugged in, and in how many of 1,000 sections it runs.
const LOADS: [(u32, u64); 6] = [
    (90, 900),
    (1_900, 60),
    (45, 1_000),
    (700, 150),
    (8, 1_000),
    (2_300, 25),
];

impl Household {
    /// What an outlet would draw.
    fn draws(&self, outlet: OutletId, ordinal: u64) -> u32 {
        if let Some(fixed) = self.fixed {
            return fixed;
        }
        let kind = usize::try_from(outlet.0).unwrap_or(0).wrapping_sub(1) % LOADS.len();
        let (watts, share) = LOADS.get(kind).copied().unwrap_or((40, 1_000));
        let at = |step: u64| mix(self.seed ^ (u64::from(outlet.0) << 40) ^ (ordinal / step));
        if at(600) % 1_000 >= share {
            return 0;
        }
        let noise = u32::try_from(at(60) % 200).unwrap_or(0);
        watts * (900 + noise) / 1_000
    }

    fn power(&self, outlet: OutletId, ordinal: u64) -> OutletPower {
        let watts = self.draws(outlet, ordinal);
        OutletPower {
            volts: 230,
            milliamperes: u32::try_from(u64::from(watts) * 1_000 / 230).unwrap_or(u32::MAX),
            watts,
        }
    }

    /// Sections of the days before.
    fn history(
        &self,
        now: CivilDateTime,
        days: u16,
    ) -> Vec<(CivilDateTime, BTreeMap<OutletId, OutletPower>)> {
        let length = u64::from(Section::SECONDS);
        let end = now.ordinal() / length * length;
        let begin = end.saturating_sub(u64::from(days) * 86_400);
        (begin..end)
            .step_by(usize::try_from(length).unwrap_or(600))
            .filter_map(|ordinal| {
                let row = self.outlets.iter();
                let row = row.map(|outlet| (*outlet, self.power(*outlet, ordinal + length / 2)));
                Some((CivilDateTime::from_ordinal(ordinal)?, row.collect()))
            })
            .collect()
    }

    fn tell(&self, text: String, value: Value) {
        // Who reads too slowly misses lines, not measurements.
        drop(self.lines.try_send((text, value)));
    }
}

impl Sockets for Household {
    fn measure(&mut self, now: CivilDateTime) -> Vec<(OutletId, OutletPower)> {
        let ordinal = now.ordinal();
        let power = |outlet: &OutletId| {
            if self.open || self.off.contains(outlet) {
                return OutletPower {
                    volts: if self.open { 0 } else { 230 },
                    milliamperes: 0,
                    watts: 0,
                };
            }
            self.power(*outlet, ordinal)
        };
        self.outlets.iter().map(|it| (*it, power(it))).collect()
    }

    fn obey(&mut self, output: Done) {
        match output {
            Done::Switch(outlet, switch) => {
                let on = switch == Switch::On;
                if on {
                    self.off.remove(&outlet);
                } else {
                    self.off.insert(outlet);
                }
                let to = if on { "on" } else { "off" };
                self.tell(
                    format!("Outlet {outlet} is {to}"),
                    json!({ "switched": outlet.0, "on": on }),
                );
            }
            Done::Breaker(action, _verified) => {
                self.open = action == BreakerAction::Open;
                let kept = if self.open {
                    std::fs::write(&self.breaker, "")
                } else {
                    std::fs::remove_file(&self.breaker)
                };
                if let Err(error) = kept
                    && error.kind() != std::io::ErrorKind::NotFound
                {
                    tracing::warn!(%error, "the breaker's position is not kept");
                }
                let is = if self.open { "open" } else { "closed" };
                self.tell(format!("The breaker is {is}"), json!({ "breaker": is }));
            }
            Done::Cost(cost) => self.tell(
                format!(
                    "Days {} to {} of month {} cost {}",
                    cost.day_start, cost.day_end, cost.month, cost.total
                ),
                json!({
                    "month": cost.month,
                    "day_start": cost.day_start,
                    "day_end": cost.day_end,
                    "total_cost": cost.total,
                }),
            ),
            Done::Refused(reason) => self.tell(
                format!("Not obeyed: {reason}"),
                json!({ "refused": reason.to_string() }),
            ),
        }
    }

    fn connected(&mut self, is: bool) {
        let text = if is {
            "Connected"
        } else {
            "The connection is over; it calls again"
        };
        self.tell(text.to_owned(), json!({ "connected": is }));
    }
}

/// splitmix64.
const fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;

    #[test]
    fn the_printed_default_is_the_default() {
        #[derive(Deserialize)]
        struct File {
            outlet_meter: OutletMeterConfig,
        }
        let file: File = toml::from_str(OutletMeterConfig::DEFAULT_TOML).unwrap();
        assert_eq!(file.outlet_meter, OutletMeterConfig::default());
        assert_eq!(file.outlet_meter.check(), Ok(()));
    }

    #[test]
    fn thresholds_that_are_printed_as_comments_are_read() {
        let text = OutletMeterConfig::DEFAULT_TOML.replace("# warn", "warn");
        let section = text.split_once("[[outlet_meter.outlet]]").unwrap().1;
        let outlet: OutletOptions = toml::from_str(section).unwrap();
        let all = Thresholds {
            watts: 2_000,
            milliamperes: Some(16_000),
            volts: Some(253),
        };
        assert_eq!(outlet.thresholds(), all);
    }

    #[test]
    fn a_meter_without_certificates_calls_nobody() {
        for server in ["sctp://127.0.0.1", "sctps://127.0.0.1", "tcp://127.0.0.1"] {
            let config = OutletMeterConfig {
                server: Some(server.to_owned()),
                ..OutletMeterConfig::default()
            };
            assert!(config.check().is_err(), "{server}");
        }
    }
}
