//! `gridward meter`: virtual meters.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::meter::device::DeviceConfig;
use ::meter::fleet::Fleet;
use ::meter::journal::DirStore;
use ::meter::population::Population;
use ::meter::shell::{SharedFleet, serve};
use ::meter::template::Template;
use link::{Endpoint, HostPort, KeyFile, Limits, Listener, Sap, Service};
use model::Timestamp;
use serde_json::json;

use crate::Outcome;
use crate::cli::MeterOptions;
use crate::failure::Failure;
use crate::output::Output;
use crate::process::{asked_to_end, block_on, make_private_folder, state_folder, surroundings};

/// Meters on one listener, told apart by SAP: from the model's own up to the
/// highest that HDLC and the wrapper both have (0x3FFE).
const METERS_PER_LISTENER_MAX: u32 = 16_000;

pub(crate) fn run(options: &MeterOptions, output: &mut Output<'_, '_>) -> Outcome {
    let endpoint: Endpoint = options
        .listen
        .parse()
        .map_err(|error| Failure::usage(format!("--listen {}: {error}", options.listen)))?;
    if options.count > METERS_PER_LISTENER_MAX && !options.spread {
        return Err(Failure::usage(format!(
            "one listener tells {METERS_PER_LISTENER_MAX} meters apart at most"
        ))
        .hint("add --spread: each meter then has an address of its own in 127.0.0.0/8"));
    }
    let template = Arc::new(template(&options.model)?);
    let data = match &options.data {
        Some(folder) => folder.clone(),
        None => state_folder("meter")?,
    };
    make_private_folder(&data)?;
    let keys = keys(options, &data, output)?;
    block_on(serve_meters(
        options, endpoint, template, &data, keys, output,
    ))
}

fn template(model: &str) -> Result<Template, Failure> {
    let read = if model.contains(['/', '.']) {
        std::fs::read_to_string(model)
            .map_err(|error| Failure::new(format!("{model}: {error}")))
            .and_then(|text| {
                Template::parse(&text).map_err(|error| Failure::new(format!("{model}: {error}")))
            })
    } else {
        Template::built_in(model).map_err(|error| Failure::new(error.to_string()))
    };
    read.map_err(|failure| failure.hint("--model takes smr5, idis-like, or a model file (./FILE)"))
}

/// Takes the key file, or makes one where there is none.
fn keys(
    options: &MeterOptions,
    data: &Path,
    output: &mut Output<'_, '_>,
) -> Result<KeyFile, Failure> {
    let path: PathBuf = options
        .keys
        .clone()
        .unwrap_or_else(|| data.join("keys.toml"));
    let wanted = options.count as usize;
    let broken = |error: link::KeyFileError| crate::keys::failure(&error);
    if !path.exists() {
        let file = KeyFile::generate(1, options.count, &link::SystemEntropy)
            .map_err(|error| Failure::new(format!("the system gives no random octets: {error}")))?;
        file.save(&path).map_err(broken)?;
        output.note(&format!("fresh keys: {}", path.display()));
        return Ok(file);
    }
    let mut file = KeyFile::load(&path).map_err(broken)?;
    if file.meters.len() < wanted {
        return Err(Failure::new(format!(
            "{} has keys for {} meters, and {wanted} are wanted",
            path.display(),
            file.meters.len()
        ))
        .hint("make a file with more: gridward keys generate --count N FILE"));
    }
    file.meters.truncate(wanted);
    output.note(&format!("keys: {}", path.display()));
    Ok(file)
}

async fn serve_meters(
    options: &MeterOptions,
    endpoint: Endpoint,
    template: Arc<Template>,
    data: &Path,
    keys: KeyFile,
    output: &mut Output<'_, '_>,
) -> Outcome {
    let with = surroundings();
    let now = Timestamp::from_secs(with.clock.unix_seconds());
    let population = Population {
        history_days: options.history_days,
        consecutive_saps: !options.spread,
        ..Population::default()
    };
    let configs = population.configs(&template, keys.meters, now);
    let names: Vec<_> = configs.iter().map(Line::of).collect();
    let store = DirStore::open(data.join("journal")).map_err(|error| {
        Failure::new(format!(
            "the journal in {} cannot be used: {error}",
            data.display()
        ))
        .hint("another process may run these meters: choose another folder with --data")
    })?;
    let entropy = Arc::clone(&with.entropy);
    let opened = tokio::task::spawn_blocking(move || Fleet::open(store, configs, now, &*entropy));
    let (fleet, recovery) = opened
        .await
        .map_err(|error| Failure::new(format!("the meters did not start: {error}")))?
        .map_err(|error| Failure::new(format!("the meters did not start: {error}")))?;
    if recovery.damages > 0 {
        tracing::warn!(
            damages = recovery.damages,
            "the journal was damaged and has been repaired"
        );
    }
    let fleet = SharedFleet::new(fleet, Arc::clone(&with.clock), Arc::clone(&with.entropy));
    let mut tasks = tokio::task::JoinSet::new();
    let saps: Vec<Sap> = names.iter().map(|line| line.server).collect();
    let places: Vec<(Endpoint, Vec<Sap>)> = if options.spread {
        spread(&endpoint, &saps)?
    } else {
        vec![(endpoint, saps)]
    };
    let mut locals = Vec::new();
    for (place, (endpoint, saps)) in places.iter().enumerate() {
        let bound = Listener::bind(endpoint, saps, Limits::default(), Arc::clone(&with.clock));
        let listener = bound.await.map_err(|error| {
            Failure::new(format!("{endpoint}: {}", crate::failure::chain(&error)))
        })?;
        locals.push(listener.local().to_string());
        let devices: Arc<dyn link::Devices> = if options.spread {
            fleet
                .only(place)
                .ok_or_else(|| Failure::new("a meter is missing"))?
        } else {
            Arc::clone(&fleet) as Arc<dyn link::Devices>
        };
        tasks.spawn(serve(
            listener,
            devices,
            Service::default(),
            Arc::clone(&with.clock),
        ));
    }
    for (index, line) in names.iter().enumerate() {
        let local = locals
            .get(index)
            .or_else(|| locals.first())
            .map_or("", String::as_str);
        output.write_json(&json!({
            "endpoint": local,
            "server": line.server,
            "system_title": line.system_title,
            "logical_device_name": line.name,
            "place": line.place,
            "feeder": line.feeder,
            "phase": line.phase,
        }))?;
    }
    output.flush()?;
    let time = Arc::clone(&fleet).keep_time();
    tokio::select! {
        ended = asked_to_end(options.until_eof) => ended?,
        kept = time => kept.map_err(|error| Failure::new(format!("the journal failed: {error}")))?,
    }
    // What is due is durable before the process ends.
    tasks.shutdown().await;
    let last = tokio::task::spawn_blocking(move || fleet.tick());
    match last.await {
        Ok(Err(error)) => Err(Failure::new(format!("the journal failed: {error}"))),
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}

/// What is told of a meter when it is there.
struct Line {
    server: Sap,
    system_title: String,
    name: String,
    place: String,
    feeder: String,
    phase: String,
}

impl Line {
    fn of(config: &DeviceConfig) -> Self {
        Self {
            server: config.sap,
            system_title: config.keys.system_title.to_string(),
            name: config.keys.logical_device_name.clone(),
            place: config.site.place.as_str().to_owned(),
            feeder: config.site.feeder.as_str().to_owned(),
            phase: config.site.phase.to_string(),
        }
    }
}

/// Gives each meter an address of its own from that of `endpoint` on.
fn spread(endpoint: &Endpoint, saps: &[Sap]) -> Result<Vec<(Endpoint, Vec<Sap>)>, Failure> {
    let loopback = || {
        Failure::usage("--spread needs an address of 127.0.0.0/8 to start from")
            .hint("for example --listen tcp://127.0.0.1:4059")
    };
    let at = endpoint.host_port().ok_or_else(loopback)?;
    let first: Ipv4Addr = at.host.parse().map_err(|_| loopback())?;
    if !first.is_loopback() || at.port == 0 {
        return Err(loopback());
    }
    let mut places = Vec::with_capacity(saps.len());
    for (offset, sap) in (0_u32..).zip(saps) {
        let address = Ipv4Addr::from(u32::from(first).saturating_add(offset));
        if !address.is_loopback() {
            return Err(loopback());
        }
        let host = HostPort {
            host: address.to_string(),
            port: at.port,
        };
        let endpoint = match endpoint {
            Endpoint::Udp(_) => Endpoint::Udp(host),
            Endpoint::HdlcTcp(_, options) => Endpoint::HdlcTcp(host, *options),
            Endpoint::Tls(_, options) => Endpoint::Tls(host, options.clone()),
            Endpoint::Tcp(_) | Endpoint::Serial(..) => Endpoint::Tcp(host),
        };
        places.push((endpoint, vec![*sap]));
    }
    Ok(places)
}
