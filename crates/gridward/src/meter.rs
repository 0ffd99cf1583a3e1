//! `gridward meter`: virtual meters behind one address.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use dlms::server::Settings;
use link::{Clock, Endpoint, KeyFile, Limits, Listener, Sap, Service, SystemClock, SystemEntropy};
use meter::firmware::{DirImages, FirmwareConfig};
use meter::fleet::{Fleet, FleetError};
use meter::journal::DirStore;
use meter::metrology::{Bypassed, Fixed, Source};
use meter::population::{Outages, Population};
use meter::shell::{SharedFleet, serve};
use meter::template::Template;
use model::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::failure::Failure;
use crate::output::{COLUMNS, Ink, Output};
use crate::scion::ScionArgs;
use crate::{Outcome, role, text};

/// Meters behind one address: SAP 1 and up, below those that are reserved in
/// an HDLC address (IEC 62056-46, clause 6.4.2.3).
const COUNT_MAX: i64 = 16_000;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gridward meter --listen tcp://127.0.0.1:4059
  gridward meter --listen tcp://127.0.0.1:4059 --count 100 --keys meters.toml
  gridward meter --listen hdlc+tcp://127.0.0.1:4060 --model idis-like
  gridward read tcp://127.0.0.1:4059 1-0:1.8.0 --keys meters.toml --server 7

Several meters are told apart by --server of the client: 1 and up. What they
have measured is kept in FILE.data beside the key file FILE, so that the next
start goes on. With port 0 the system chooses one. SIGTERM stops cleanly.")]
pub(crate) struct MeterOptions {
    /// Where to listen
    #[arg(long, value_name = "URL")]
    listen: String,

    #[command(flatten)]
    scion: ScionArgs,

    /// How many meters
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,

    /// Model: smr5, idis-like, or a model file
    #[arg(long, value_name = "NAME|FILE", default_value = "smr5")]
    model: String,

    /// Key file; made where it is not there [default: in a new folder]
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,

    /// Where the journal is kept [default: FILE.data beside the key file]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Take firmware images of this maker: the file of its public key
    /// (gridward image keys)
    #[arg(long, value_name = "FILE")]
    maker_key: Option<PathBuf>,

    /// What the households are drawn from: the same number, the same loads
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Days of history that a new meter has
    #[arg(long, value_name = "DAYS", default_value_t = 30,
          value_parser = clap::value_parser!(u16).range(0..=366))]
    history: u16,

    /// Draw this power all the time, in W, in place of a household: for tests
    #[arg(long, value_name = "W")]
    power: Option<u32>,

    /// Lead the load around the Nth meter from a time on: its house draws on, it
    /// counts nothing
    #[arg(long, value_name = "N@TIME", value_parser = bypass)]
    bypass: Option<(u32, Timestamp)>,

    /// Lose the supply now and then while it serves, for up to five hours;
    /// without this only the history has such gaps
    #[arg(long)]
    outages: bool,

    /// Never have lost the supply: for tests that count rows
    #[arg(long, hide = true, conflicts_with = "outages")]
    steady: bool,

    /// Give each meter an address of its own, from that of --listen on in
    /// 127.0.0.0/8, and its model's SAP
    #[arg(long)]
    spread: bool,

    /// Stop at the end of standard input, as a supervisor wants it
    #[arg(long, hide = true)]
    stop_at_eof: bool,
}

pub(crate) fn run(options: &MeterOptions, output: &mut Output<'_, '_>) -> Outcome {
    let mut endpoint: Endpoint = options
        .listen
        .parse()
        .map_err(|error| Failure::usage(format!("{}: {error}", options.listen)))?;
    options.scion.put(&mut endpoint)?;
    let service = Service {
        settings: Settings {
            lossy: endpoint.loses_messages(),
            ..Settings::default()
        },
        ..Service::default()
    };
    if i64::from(options.count) > COUNT_MAX && !options.spread {
        return Err(Failure::usage(format!(
            "one address tells {COUNT_MAX} meters apart at most"
        ))
        .hint("with --spread each meter has an address of its own"));
    }
    let template = Arc::new(options.template()?);
    let keys_path = options.keys_path()?;
    let keys = keys(&keys_path, options.count)?;
    let data = match &options.data {
        Some(data) => data.clone(),
        None => {
            let mut name = keys_path.clone().into_os_string();
            name.push(".data");
            PathBuf::from(name)
        }
    };
    let firmware = match &options.maker_key {
        Some(path) => {
            let maker = link::load_maker_key(path)
                .map_err(|error| Failure::new(crate::failure::chain(&error)))?;
            let images = DirImages::open(data.join("images"))
                .map_err(|error| Failure::new(format!("{}: {error}", data.display())))?;
            Some(FirmwareConfig::new(maker, Arc::new(images)))
        }
        None => None,
    };
    // One alone is on a small board, where each thread and each page counts.
    let is_small = options.count == 1;
    let work = async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let stop = role::stopped(options.stop_at_eof)?;
        let now = Timestamp::from_secs(clock.unix_seconds());
        let population = Population {
            seed: options.seed,
            history_days: options.history,
            outages: match options {
                _ if options.outages => Outages::Always,
                _ if options.steady || options.power.is_some() => Outages::Never,
                _ => Outages::Past,
            },
            consecutive_saps: !options.spread,
            ..Population::default()
        };
        let mut configs = population.configs(&template, keys.meters, now);
        if let Some(import_w) = options.power {
            let source = Arc::new(Fixed {
                import_w,
                export_w: 0,
            });
            for config in &mut configs {
                config.source = Arc::clone(&source) as Arc<dyn Source>;
                config.drift_ppb = 0;
            }
        }
        if let Some((number, from)) = options.bypass {
            let place = usize::try_from(number).unwrap_or(usize::MAX).checked_sub(1);
            let Some(config) = place.and_then(|place| configs.get_mut(place)) else {
                return Err(
                    Failure::usage(format!("there is no meter {number} to bypass"))
                        .hint("N counts the meters from 1"),
                );
            };
            let source = Arc::clone(&config.source);
            config.source = Arc::new(Bypassed { source, from });
        }
        let saps: Vec<Sap> = configs.iter().map(|config| config.sap).collect();
        // The addresses first: they fail at once where they are taken.
        let mut listeners = Vec::new();
        for (endpoint, saps) in options.places(&endpoint, saps)? {
            let listener =
                Listener::bind(&endpoint, &saps, Limits::default(), Arc::clone(&clock)).await;
            listeners.push(listener.map_err(|error| {
                Failure::new(format!("{endpoint}: {}", crate::failure::chain(&error)))
                    .hint("is another program listening there? Port 0 takes a free one")
            })?);
        }
        let locals: Vec<Endpoint> = listeners
            .iter()
            .map(|listener| listener.local().clone())
            .collect();
        let store = DirStore::open(&data)
            .map_err(|error| Failure::new(format!("{}: {error}", data.display())))?;
        let opened = tokio::task::spawn_blocking(move || {
            let (mut fleet, recovery) = Fleet::open(store, configs, now, &SystemEntropy)?;
            if let Some(firmware) = &firmware {
                fleet
                    .set_firmware(firmware)
                    .map_err(|error| FleetError::Journal(error.into()))?;
            }
            Ok((fleet, recovery))
        });
        let (fleet, recovery) = opened
            .await
            .map_err(|error| Failure::new(format!("the meters did not start: {error}")))?
            .map_err(|error: FleetError| broken(&error))?;
        if recovery.damages > 0 {
            tracing::warn!(
                damages = recovery.damages,
                "the journal had damaged parts; what they held is lost"
            );
        }
        let fleet = SharedFleet::new(fleet, Arc::clone(&clock), Arc::new(SystemEntropy));
        tell(&fleet, &locals, &keys_path, output)?;
        if is_small {
            role::stay_small();
        }
        let mut serving = JoinSet::new();
        for (place, listener) in listeners.into_iter().enumerate() {
            let devices = if options.spread {
                fleet.only(place)
            } else {
                Some(Arc::clone(&fleet) as Arc<dyn link::Devices>)
            };
            if let Some(devices) = devices {
                serving.spawn(serve(listener, devices, service, Arc::clone(&clock)));
            }
        }
        let outcome = tokio::select! {
            () = stop.wait() => Ok(()),
            kept = Arc::clone(&fleet).keep_time() => kept.map_err(|error| broken(&error)),
            Some(_) = serving.join_next() => Err(Failure::new("a listener ended")),
        };
        serving.shutdown().await;
        outcome?;
        // What was answered is durable already; this catches up with the time.
        let last = tokio::task::spawn_blocking(move || fleet.tick());
        match last.await {
            Ok(ticked) => ticked.map_err(|error| broken(&error)),
            Err(error) => Err(Failure::new(format!("the meters did not stop: {error}"))),
        }
    };
    if is_small {
        role::block_on_one(work)
    } else {
        role::block_on(work)
    }
}

/// Reads `N@TIME`.
fn bypass(text: &str) -> Result<(u32, Timestamp), String> {
    let wrong = || format!("{text:?} is not as 7@2026-11-21T10:00:00Z");
    let (number, time) = text.split_once('@').ok_or_else(wrong)?;
    let number = number.parse().map_err(|_| wrong())?;
    let time = crate::literal::date_time(time)?.to_unix_seconds();
    // Without an offset it is nobody's time in particular.
    Ok((number, Timestamp::from_secs(time.ok_or_else(wrong)?)))
}

fn broken(error: &FleetError) -> Failure {
    Failure::new(crate::failure::chain(error))
}

impl MeterOptions {
    /// Tells where to listen for which meters.
    fn places(
        &self,
        endpoint: &Endpoint,
        saps: Vec<Sap>,
    ) -> Result<Vec<(Endpoint, Vec<Sap>)>, Failure> {
        if !self.spread {
            return Ok(vec![(endpoint.clone(), saps)]);
        }
        let unfit = || {
            Failure::usage("--spread starts at an address of 127.0.0.0/8 with a port")
                .hint("for example --listen tcp://127.0.0.1:4059")
        };
        let at = endpoint
            .host_port()
            .filter(|at| at.port != 0)
            .ok_or_else(unfit)?;
        let first: Ipv4Addr = at.host.parse().map_err(|_| unfit())?;
        (0_u32..)
            .zip(saps)
            .map(|(offset, sap)| {
                let address = Ipv4Addr::from(u32::from(first).saturating_add(offset));
                if !address.is_loopback() {
                    return Err(unfit());
                }
                let place = endpoint.clone().with_host(&address.to_string());
                Ok((place, vec![sap]))
            })
            .collect()
    }

    fn template(&self) -> Result<Template, Failure> {
        let built_in = Template::BUILT_IN
            .iter()
            .any(|(name, _)| *name == self.model);
        let path = PathBuf::from(&self.model);
        let template = if built_in || !path.exists() {
            Template::built_in(&self.model)
        } else {
            let text = std::fs::read_to_string(&path)
                .map_err(|error| Failure::new(format!("{}: {error}", self.model)))?;
            Template::parse(&text)
        };
        template.map_err(|error| Failure::new(format!("model {}: {error}", self.model)))
    }

    fn keys_path(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.keys {
            return Ok(path.clone());
        }
        // A folder for this run alone: new keys and an old journal, or the
        // other way round, would count under the same key twice.
        let mut name = [0_u8; 6];
        link::Entropy::fill(&SystemEntropy, &mut name)
            .map_err(|error| Failure::new(format!("the system gives no random octets: {error}")))?;
        let folder = std::env::temp_dir().join(format!("gridward-meter-{}", text::hex(&name)));
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
        Ok(folder.join("meters.toml"))
    }
}

/// Reads the key file, or makes it.
pub(crate) fn keys(path: &std::path::Path, count: u32) -> Result<KeyFile, Failure> {
    if !path.exists() {
        let file = KeyFile::generate(1, count, &SystemEntropy)
            .map_err(|error| Failure::new(format!("the system gives no random octets: {error}")))?;
        file.save(path)
            .map_err(|error| crate::keys::failure(&error))?;
        return Ok(file);
    }
    let mut file = KeyFile::load(path).map_err(|error| crate::keys::failure(&error))?;
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    if file.meters.len() < wanted {
        return Err(Failure::new(format!(
            "{} holds keys of {} meters, and {count} are wanted",
            path.display(),
            file.meters.len()
        ))
        .hint("ask for fewer, or make a file for more with gridward keys generate"));
    }
    file.meters.truncate(wanted);
    Ok(file)
}

/// Meters that people are told of one by one.
const SHOWN_MAX: usize = 20;

fn tell(
    fleet: &SharedFleet<DirStore>,
    locals: &[Endpoint],
    keys: &std::path::Path,
    output: &mut Output<'_, '_>,
) -> Outcome {
    let Some(first) = locals.first() else {
        return Err(Failure::new("there is no meter to serve"));
    };
    let meters: Vec<(Value, String)> = (0..fleet.len())
        .filter_map(|place| {
            let local = locals.get(place).unwrap_or(first);
            fleet.with_device(place, |device| {
                let title = text::hex(&device.title());
                let site = device.site();
                let line = json!({
                    "endpoint": local.to_string(),
                    "server": device.sap(),
                    "system_title": title,
                    "logical_device_name": device.name(),
                    "place": site.place.as_str(),
                    "feeder": site.feeder.as_str(),
                    "phase": site.phase.name(),
                });
                let place = format!(
                    "{}, feeder {}, {}",
                    site.place.as_str(),
                    site.feeder.as_str(),
                    site.phase
                );
                let row = format!("  {:>6}  {}  {title}  {place}", device.sap(), device.name());
                (line, row)
            })
        })
        .collect();
    if output.json() {
        for (line, _) in &meters {
            output.write_json(line)?;
        }
        output.note(&format!("keys: {}", keys.display()));
        return output.flush();
    }
    let style = output.style();
    let count = match meters.len() {
        1 => "1 meter".to_owned(),
        count => format!("{count} meters"),
    };
    output.write(&format!(
        "{}\n",
        style.paint(
            Ink::Head,
            &format!(
                "{count} at {first}{}",
                if locals.len() > 1 { " and up" } else { "" }
            )
        )
    ))?;
    for (_, row) in meters.iter().take(SHOWN_MAX) {
        let row: String = row.chars().take(COLUMNS).collect();
        output.write(&format!("{row}\n"))?;
    }
    if meters.len() > SHOWN_MAX {
        output.write(&format!("  … and {} more\n", meters.len() - SHOWN_MAX))?;
    }
    output.write(&format!(
        "Keys: {}\nStop with Ctrl-C.\n",
        style.paint(Ink::Value, &keys.display().to_string())
    ))?;
    output.flush()
}
