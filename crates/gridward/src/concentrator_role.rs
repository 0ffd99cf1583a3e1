//! `gridward concentrator`: the data concentrator as a process.

mod street;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use concentrator::config::SegmentConfig;
use concentrator::shell::{Concentrator, Reopen, Surroundings};
use link::{
    Clock, Endpoint, IpLimits, IpMeter, IpSegment, Link, LinkExt as _, MultidropConfig,
    MultidropMeter, MultidropSegment, Node, Sap, Segment, SystemClock, SystemEntropy,
};
use serde_json::json;
use sim::powerline::{G3, NodeConfig, PowerLine, PowerLineConfig, Prime, SFsk, Technology};
use tokio::sync::watch;

use crate::failure::Failure;
use crate::output::{Ink, Output};
use crate::{Outcome, config, role};

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gridward config default > gridward.toml
  gridward concentrator --config gridward.toml
  gridward read tcp://127.0.0.1:4059 --server 256 1-0:1.8.0

Each meter is reached by its own service access point: those of all meters are
in attribute 2 of 0-0:41.0.0 of the concentrator itself, server 1. What head end
and meter say to each other passes through as it is. SIGTERM stops cleanly.

With keys of its own (gridward keys collector) it reads meters on its own and
keeps what it read for the head end: the load profile of the meter with SAP
256 (0x0100) is 0-0:129.1.0 of the concentrator itself. The status page has
the same as JSON in /status.json.

Two of them before the same meters go on for each other: the section
[concentrator.pair] of the configuration, docs/concentrator.md.")]
pub(crate) struct ConcentratorOptions {
    /// Configuration file, with a section [concentrator]
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// Stop at the end of standard input, as a supervisor wants it
    #[arg(long, hide = true)]
    stop_at_eof: bool,
}

pub(crate) fn run(options: &ConcentratorOptions, output: &mut Output<'_, '_>) -> Outcome {
    let config = config::load(&options.config)?.concentrator;
    role::block_on(async {
        let stop = role::stopped(options.stop_at_eof)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        // One of a pair opens its segments when it is its turn.
        let paired = config.pair.peer.is_some();
        let mut segments = Vec::new();
        for segment in config.segment.iter().filter(|_| !paired) {
            segments.push(make(segment, &clock)?);
        }
        let again = Arc::clone(&clock);
        let surroundings = Surroundings {
            clock,
            entropy: Arc::new(SystemEntropy),
        };
        let failed = |error: &dyn std::error::Error| Failure::new(crate::failure::chain(error));
        let started = Concentrator::start(&config, segments, &surroundings);
        let mut concentrator = started.await.map_err(|error| failed(&error))?;
        for (number, metering) in config.metering.iter().enumerate() {
            if let Some(street) = street::Street::of(metering) {
                concentrator = concentrator.with_mains(number, Arc::new(street));
            }
        }
        if paired {
            let all = config.segment.iter().map(|segment| {
                let (segment, clock) = (segment.clone(), Arc::clone(&again));
                let open = move || make(&segment, &clock).map_err(|it| it.sentence());
                Box::new(open) as Reopen
            });
            concentrator = concentrator.with_shared(all.collect());
        }
        for (number, segment) in config.segment.iter().enumerate().filter(|_| !paired) {
            // A simulated line is not lost, and an IP segment looks after its
            // links itself.
            if segment.medium == "hdlc" {
                let (segment, clock) = (segment.clone(), Arc::clone(&again));
                let reopen = move || line(&segment, &clock).map_err(|it| it.sentence());
                concentrator = concentrator.with_reopen(number, Box::new(reopen));
            }
        }
        let status = concentrator.status().map(|at| format!("http://{at}/"));
        let endpoints: Vec<_> = concentrator.local().map(Endpoint::to_string).collect();
        if output.json() {
            let media: Vec<_> = config.segment.iter().map(|it| &it.medium).collect();
            output.write_json(&json!({
                "endpoints": endpoints,
                "logical_device_name": config.name,
                "media": media,
                "pair": concentrator.pair_local().map(Endpoint::to_string),
                "status": status,
            }))?;
        } else {
            let style = output.style();
            output.write(&format!(
                "{} {}\n{}Data: {}\nStop with Ctrl-C.\n",
                style.paint(Ink::Head, "Concentrator at"),
                style.paint(Ink::Value, &endpoints.join(" ")),
                status.map_or_else(String::new, |it| format!("Status: {it}\n")),
                config.data.display()
            ))?;
        }
        output.flush()?;
        let (end, ended) = watch::channel(false);
        let running = concentrator.run(ended);
        tokio::pin!(running);
        tokio::select! {
            result = &mut running => result.map_err(|error| failed(&error)),
            () = stop.wait() => {
                end.send_replace(true);
                running.await.map_err(|error| failed(&error))
            }
        }
    })
}

fn make(segment: &SegmentConfig, clock: &Arc<dyn Clock>) -> Result<Box<dyn Segment>, Failure> {
    let technology = match segment.medium.as_str() {
        "hdlc" => return line(segment, clock),
        "s-fsk" => Technology::SFsk(SFsk {
            credit: segment.credit.unwrap_or(0),
            ..SFsk::default()
        }),
        "prime" => Technology::Prime(Prime::default()),
        "g3" => Technology::G3(G3::default()),
        _ => {
            let meters = meters(segment)?;
            return Ok(Box::new(IpSegment::start(
                meters,
                IpLimits::default(),
                clock,
            )));
        }
    };
    simulated(segment, technology, clock)
}

/// The meters of a segment that have endpoints.
fn meters(segment: &SegmentConfig) -> Result<Vec<IpMeter>, Failure> {
    let mut all = Vec::new();
    for meter in &segment.meter {
        let endpoint: Endpoint = meter
            .endpoint
            .as_deref()
            .unwrap_or_default()
            .parse()
            .map_err(|error| Failure::new(format!("concentrator.segment.meter: {error}")))?;
        let servers = meter.servers().into_iter().flatten();
        // 0x7F means all of them, and is nobody's own.
        let own = servers.filter(|server| *server != link::ALL_STATIONS);
        all.extend(own.map(|server| IpMeter {
            endpoint: endpoint.clone(),
            server,
        }));
    }
    Ok(all)
}

fn line(segment: &SegmentConfig, clock: &Arc<dyn Clock>) -> Result<Box<dyn Segment>, Failure> {
    let port = segment.port.as_deref().unwrap_or_default();
    let failed = |error: String| Failure::new(format!("{port}: {error}"));
    let endpoint: Endpoint = port
        .parse()
        .map_err(|error: link::EndpointError| failed(error.to_string()))?;
    let meters = segment.meter.iter().flat_map(|meter| {
        let address = meter.address;
        let servers = meter.servers().into_iter().flatten().take(1);
        servers.filter_map(move |server| {
            Some(MultidropMeter {
                address: address?,
                server,
            })
        })
    });
    let usual = MultidropConfig::default();
    let config = MultidropConfig {
        meters: meters.collect(),
        width: segment.width.unwrap_or(usual.width),
        ..usual
    };
    let segment = MultidropSegment::open(&endpoint, config, Arc::clone(clock))
        .map_err(|error| failed(crate::failure::chain(&error)))?;
    Ok(Box::new(segment))
}

/// A power line that is simulated, with real meters plugged in.
fn simulated(
    segment: &SegmentConfig,
    technology: Technology,
    clock: &Arc<dyn Clock>,
) -> Result<Box<dyn Segment>, Failure> {
    let meters = meters(segment)?;
    let hops = match technology {
        Technology::SFsk(it) => it.credit.min(2),
        Technology::Prime(_) | Technology::G3(_) => 0,
    };
    let nodes = (0_u32..).zip(&meters).map(|(number, meter)| NodeConfig {
        // The line registers its meters by a title of its own making.
        title: (0x4757_4400_0000_0000 | u64::from(number)).to_be_bytes(),
        server: meter.server,
        hops: u8::try_from(number % (u32::from(hops) + 1)).unwrap_or(0),
        loss: losses(number),
        appears: Duration::ZERO,
    });
    let mut config = PowerLineConfig::quiet(technology, nodes.collect(), 1);
    if !matches!(technology, Technology::SFsk(_)) {
        let pairs = (0_u32..).zip(&meters).filter_map(|(it, _)| tree(it));
        let tree = config.with_tree(pairs);
        config = tree.map_err(|error| Failure::new(crate::failure::chain(&error)))?;
    }
    config.speed = segment.speed.unwrap_or(1);
    // Each of a pair simulates the line, and its meters remember neither.
    config.standing = true;
    let (_, segment, plugs) = PowerLine::new(config);
    for (plug, meter) in plugs.into_iter().zip(meters) {
        tokio::spawn(bridge(plug, meter, Arc::clone(clock)));
    }
    Ok(Box::new(segment))
}

/// Through whom a meter of a simulated line is reached whose medium has switches or routers: of
/// eight each two are heard directly, one of them forwards to two, and these to three and one.
fn tree(number: u32) -> Option<(Node, Node)> {
    let through = match number % 8 {
        1 | 2 => 0,
        3..=5 => 1,
        6 => 2,
        _ => return None,
    };
    Some((Node(number), Node(number - number % 8 + through)))
}

/// Permille of the frames that are lost on each section of the way to a meter of a simulated
/// line: of more than a few, some are heard badly, as in a street.
const fn losses(number: u32) -> u16 {
    match number {
        0..8 => 20,
        _ if number % 17 == 11 => 140,
        _ if number % 9 == 8 => 70,
        _ if number.is_multiple_of(2) => 10,
        _ => 30,
    }
}

/// Carries what comes over a simulated line to a meter and back.
async fn bridge(mut plug: Box<dyn Link>, meter: IpMeter, clock: Arc<dyn Clock>) {
    let mut next = None;
    loop {
        let first = match next.take() {
            Some(message) => message,
            None => match plug.receive().await {
                Ok(message) => message,
                Err(_) => return,
            },
        };
        let client: Sap = first.source;
        let ends = (client, meter.server);
        let connected = link::connect(&meter.endpoint, ends, &clock, Duration::from_secs(10));
        let Ok(mut link) = connected.await else {
            continue;
        };
        let mut sent = link.send(first);
        while sent.is_ok() {
            tokio::select! {
                message = plug.receive() => match message {
                    Ok(message) => sent = link.send(message),
                    Err(_) => return,
                },
                message = link.receive() => match message {
                    // A line that is full loses it, as lines do.
                    Ok(message) => drop(plug.send(message)),
                    Err(_) => break,
                },
            }
        }
    }
}
