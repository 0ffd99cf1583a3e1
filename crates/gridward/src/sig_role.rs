//! `gridward sig`: a SCION-IP gateway as a process.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use clap::Args;
use link::{Endpoint, Gateway, GatewayFigures, GatewayPeer, GatewayView, PROBE_PORT, SystemClock};
use scion::sig::{Prefix, Rules, Service};
use serde::Deserialize;
use serde_json::json;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::failure::{Failure, chain};
use crate::output::{Ink, Output};
use crate::{Outcome, config, role};

/// Packets that may wait on their way to and from the interface.
const PACKETS_MAX: usize = 1_024;

/// The longest packet that an interface gives, in octets.
const PACKET_LEN_MAX: usize = 65_535;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gridward config default > gridward.toml
  gridward sig --config gridward.toml

Programs that know nothing of SCION reach those of other sites through it: it
makes a network interface, sets the routes of the other sites' addresses on it
and carries what is sent there in frames to their gateways, along paths that
the fence allows. Gateways and their addresses are configured; what is not named
there passes in neither direction. It needs CAP_NET_ADMIN, /dev/net/tun and the
program ip. SIGTERM stops it cleanly, and the interface goes with it.")]
pub(crate) struct SigOptions {
    /// Configuration file, with a section [sig]
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// The daemon of the own AS
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "SCION_DAEMON",
        hide_env_values = true
    )]
    scion_daemon: Option<String>,

    /// Stop at the end of standard input, as a supervisor wants it
    #[arg(long, hide = true)]
    stop_at_eof: bool,
}

/// The section `[sig]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SigConfig {
    listen: Option<String>,
    daemon: Option<String>,
    probe_port: u16,
    interface: String,
    address: Option<IpAddr>,
    mtu: u16,
    prefixes: Vec<String>,
    metrics: Option<SocketAddr>,
    peer: Vec<PeerConfig>,
}

/// Another site.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerConfig {
    name: String,
    gateway: String,
    prefixes: Vec<String>,
    #[serde(default)]
    offers: Vec<String>,
    #[serde(default)]
    uses: Vec<String>,
    #[serde(default = "yes")]
    probes: bool,
    #[serde(default = "probe_port")]
    probe_port: u16,
}

const fn yes() -> bool {
    true
}

const fn probe_port() -> u16 {
    PROBE_PORT
}

impl Default for SigConfig {
    fn default() -> Self {
        Self {
            listen: None,
            daemon: None,
            probe_port: PROBE_PORT,
            interface: "gridward0".to_owned(),
            address: None,
            mtu: 1_280,
            prefixes: Vec::new(),
            metrics: None,
            peer: Vec::new(),
        }
    }
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(all: &[String]) -> Result<Vec<T>, String> {
    let all = all.iter().map(|text| text.parse::<T>());
    all.map(|one| one.map_err(|error| error.to_string()))
        .collect()
}

impl SigConfig {
    pub(crate) const DEFAULT_TOML: &'static str = include_str!("sig.toml");

    /// Checks what must fit.
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(listen) = &self.listen {
            scion_endpoint(listen).map_err(|reason| format!("listen: {reason}"))?;
        }
        if !(1_280..=9_000).contains(&self.mtu) {
            return Err("mtu must be 1280 to 9000".to_owned());
        }
        let own = parse::<Prefix>(&self.prefixes).map_err(|it| format!("prefixes: {it}"))?;
        if let Some(address) = self.address
            && !own.iter().any(|prefix| prefix.contains(address))
        {
            return Err("address must be within prefixes".to_owned());
        }
        self.peers().map(drop)
    }

    /// Makes what the gateway knows of other sites.
    fn peers(&self) -> Result<Vec<GatewayPeer>, String> {
        let own = parse::<Prefix>(&self.prefixes).map_err(|it| format!("prefixes: {it}"))?;
        let mut peers: Vec<GatewayPeer> = Vec::new();
        for peer in &self.peer {
            let fault = |reason: String| format!("peer {}: {reason}", peer.name.escape_debug());
            let fit = |one: char| one.is_ascii_alphanumeric() || "-_.".contains(one);
            if peer.name.is_empty() || peer.name.len() > 32 || !peer.name.chars().all(fit) {
                let reason = "a name has 1 to 32 letters, digits, - _ and .";
                return Err(fault(reason.to_owned()));
            }
            let rules = Rules {
                own: own.clone(),
                other: parse(&peer.prefixes).map_err(fault)?,
                offers: parse::<Service>(&peer.offers).map_err(fault)?,
                uses: parse::<Service>(&peer.uses).map_err(fault)?,
            };
            let meets = |one: &Prefix| own.iter().any(|prefix| prefix.meets(*one));
            if let Some(prefix) = rules.other.iter().find(|prefix| meets(prefix)) {
                return Err(fault(format!("{prefix} is of the own site")));
            }
            let theirs = peers.iter().flat_map(|it| &it.rules.other);
            if let Some(twice) = theirs.into_iter().find(|it| rules.other.contains(it)) {
                return Err(fault(format!("{twice} is another peer's")));
            }
            let at = scion_endpoint(&peer.gateway).map_err(fault)?;
            if peers.iter().any(|it| same_host(&it.at, &at)) {
                return Err(fault("its gateway is another peer's".to_owned()));
            }
            peers.push(GatewayPeer {
                name: peer.name.clone(),
                at,
                probes: peer.probes.then_some(peer.probe_port),
                rules,
            });
        }
        Ok(peers)
    }
}

fn scion_endpoint(text: &str) -> Result<Endpoint, String> {
    match text.parse::<Endpoint>() {
        Ok(endpoint @ Endpoint::Scion(..)) => Ok(endpoint),
        Ok(_) => Err(format!("{text} is no scion:// place")),
        Err(error) => Err(format!("{text}: {error}")),
    }
}

fn same_host(one: &Endpoint, other: &Endpoint) -> bool {
    match (one, other) {
        (Endpoint::Scion(one, here), Endpoint::Scion(other, there)) => {
            (here.isd_as, &one.host) == (there.isd_as, &other.host)
        }
        _ => false,
    }
}

pub(crate) fn run(options: &SigOptions, output: &mut Output<'_, '_>) -> Outcome {
    let config = config::load(&options.config)?.sig;
    let unfit =
        |reason: String| Failure::usage(format!("{}: sig.{reason}", options.config.display()));
    let listen = config.listen.as_deref();
    let listen = listen.ok_or_else(|| unfit("listen is missing".to_owned()))?;
    let mut listen = scion_endpoint(listen).map_err(unfit)?;
    if let Some(own) = listen.scion_mut().filter(|own| own.daemon.is_none()) {
        own.daemon = config
            .daemon
            .clone()
            .or_else(|| options.scion_daemon.clone());
    }
    let peers = config.peers().map_err(unfit)?;
    role::block_on_one(async {
        let stop = role::stopped(options.stop_at_eof)?;
        let interface = Interface::make(&config).await?;
        let bound = Gateway::bind(
            &listen,
            config.probe_port,
            peers,
            Arc::new(SystemClock::new()),
        );
        let gateway = bound
            .await
            .map_err(|error| Failure::new(format!("{listen}: {}", chain(&error))))?;
        let view = gateway.view();
        let (end, ended) = watch::channel(false);
        let mut metrics = None;
        if let Some(at) = config.metrics {
            let listener = TcpListener::bind(at)
                .await
                .map_err(|error| Failure::new(format!("{at}: {error}")))?;
            metrics = listener.local_addr().ok();
            tokio::spawn(web::serve(
                listener,
                None,
                routes(view.clone()),
                LIMITS,
                ended,
            ));
        }
        role::stay_small();
        let (frames, probes) = gateway.ports();
        if output.json() {
            output.write_json(&json!({
                "interface": config.interface,
                "port": frames,
                "probe_port": probes,
                "peers": config.peer.iter().map(|peer| &peer.name).collect::<Vec<_>>(),
                "metrics": metrics.map(|at| format!("http://{at}/metrics")),
            }))?;
        } else {
            let style = output.style();
            output.write(&format!(
                "{} {}\n{}Stop with Ctrl-C.\n",
                style.paint(Ink::Head, "Gateway at"),
                style.paint(
                    Ink::Value,
                    &format!("{}, frames at port {frames}", config.interface)
                ),
                metrics.map_or_else(String::new, |at| format!("Figures: http://{at}/metrics\n")),
            ))?;
        }
        output.flush()?;
        let (out, from_site) = mpsc::channel(PACKETS_MAX);
        let (to_site, inner) = mpsc::channel(PACKETS_MAX);
        let broken = |error: std::io::Error| Failure::new(format!("{}: {error}", config.interface));
        let outcome = tokio::select! {
            () = stop.wait() => Ok(()),
            carried = gateway.run(from_site, to_site) => {
                carried.map_err(|error| Failure::new(chain(&error)))
            }
            read = interface.read(out) => read.map_err(broken),
            written = interface.write(inner) => written.map_err(broken),
        };
        end.send_replace(true);
        outcome
    })
}

/// What those who read the figures may have.
const LIMITS: web::Limits = web::Limits {
    connections: 16,
    per_address: 16,
    head: Duration::from_secs(10),
    stop: Duration::from_secs(1),
};

fn routes(view: GatewayView) -> Router {
    let text = move || {
        let text = metrics(&view);
        async move { ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text) }
    };
    Router::new().route("/metrics", get(text))
}

/// Writes the figures as Prometheus reads them.
fn metrics(view: &GatewayView) -> String {
    type Figure = fn(&GatewayFigures) -> u64;
    const FIGURES: [(&str, &str, &str, Figure); 17] = [
        (
            "sent_packets_total",
            "counter",
            "Packets sent to the site",
            |it| it.sent.0,
        ),
        ("sent_bytes_total", "counter", "Their octets", |it| {
            it.sent.1
        }),
        (
            "sent_frames_total",
            "counter",
            "Frames sent to its gateway",
            |it| it.frames,
        ),
        (
            "received_packets_total",
            "counter",
            "Packets from the site",
            |it| it.received.0,
        ),
        ("received_bytes_total", "counter", "Their octets", |it| {
            it.received.1
        }),
        (
            "received_frames_total",
            "counter",
            "Frames from its gateway",
            |it| it.reassembly.frames,
        ),
        (
            "frames_missing_total",
            "counter",
            "Frames that never came",
            |it| it.reassembly.missing,
        ),
        (
            "frames_late_total",
            "counter",
            "Frames that came too late",
            |it| it.reassembly.late,
        ),
        (
            "frames_malformed_total",
            "counter",
            "Malformed frames",
            |it| it.reassembly.malformed,
        ),
        (
            "fenced_total",
            "counter",
            "Frames by a path that is not allowed",
            |it| it.session.fenced,
        ),
        (
            "no_path_total",
            "counter",
            "Frames for which no path was allowed",
            |it| it.no_path,
        ),
        (
            "full_total",
            "counter",
            "Packets that the interface did not take in time",
            |it| it.full,
        ),
        (
            "silences_total",
            "counter",
            "Moves to another path after silence",
            |it| it.session.silences,
        ),
        (
            "reports_total",
            "counter",
            "Moves to another path that the network asked for",
            |it| it.session.reports,
        ),
        (
            "probes_answered_total",
            "counter",
            "Probes that were answered",
            |it| it.answered,
        ),
        (
            "alive",
            "gauge",
            "Whether the last probe was answered",
            |it| u64::from(it.alive.unwrap_or(false)),
        ),
        (
            "paths_allowed",
            "gauge",
            "Paths that the fence allows",
            |it| u64::try_from(it.paths.1).unwrap_or(u64::MAX),
        ),
    ];
    let peers = view.figures();
    let mut out = String::new();
    for (name, kind, help, figure) in FIGURES {
        // Writing to a text does not fail.
        writeln!(
            out,
            "# HELP gridward_sig_{name} {help}\n# TYPE gridward_sig_{name} {kind}"
        )
        .ok();
        for peer in &peers {
            let value = figure(peer);
            writeln!(out, "gridward_sig_{name}{{peer=\"{}\"}} {value}", peer.name).ok();
        }
    }
    out.push_str(
        "# HELP gridward_sig_refused_total Packets that did not pass\n\
         # TYPE gridward_sig_refused_total counter\n",
    );
    for peer in &peers {
        let ways = [
            ("out", &peer.refused_outwards),
            ("in", &peer.refused_inwards),
        ];
        for (way, refused) in ways {
            for (why, count) in refused {
                let (peer, why) = (&peer.name, why.name());
                writeln!(
                    out,
                    "gridward_sig_refused_total{{peer=\"{peer}\",way=\"{way}\",why=\"{why}\"}} {count}"
                )
                .ok();
            }
        }
    }
    for (why, count) in view.astray() {
        let why = why.name();
        writeln!(
            out,
            "gridward_sig_refused_total{{peer=\"\",way=\"out\",why=\"{why}\"}} {count}"
        )
        .ok();
    }
    out
}

/// The network interface of the own site.
struct Interface(AsyncFd<OwnedFd>);

impl Interface {
    /// Makes it, with its address and the routes to the other sites.
    async fn make(config: &SigConfig) -> Result<Self, Failure> {
        let name = config.interface.as_str();
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for what is no I/O-safe owner; an OwnedFd is one"
        )]
        let made = sys::tun::open(name).and_then(AsyncFd::new);
        let made = made.map_err(|error| {
            Failure::new(format!("the network interface {name}: {error}"))
                .hint("it takes CAP_NET_ADMIN and /dev/net/tun")
        })?;
        let mtu = config.mtu.to_string();
        ip(&["link", "set", name, "mtu", &mtu, "up"]).await?;
        let address = config.address.map(|address| address.to_string());
        if let Some(address) = &address {
            let bits = if address.contains(':') { 128 } else { 32 };
            let address = format!("{address}/{bits}");
            ip(&["address", "replace", &address, "dev", name]).await?;
        }
        for prefix in config.peer.iter().flat_map(|peer| &peer.prefixes) {
            let mut words = vec!["route", "replace", prefix, "dev", name];
            if let Some(address) = &address
                && address.contains(':') == prefix.contains(':')
            {
                words.extend(["src", address]);
            }
            ip(&words).await?;
        }
        Ok(Self(made))
    }

    async fn read(&self, out: mpsc::Sender<Vec<u8>>) -> std::io::Result<()> {
        let mut buffer = vec![0_u8; PACKET_LEN_MAX];
        loop {
            let mut ready = self.0.readable().await?;
            let read = ready.try_io(|fd| Ok(rustix::io::read(fd, buffer.as_mut_slice())?));
            let Ok(length) = read else { continue };
            let packet = buffer.get(..length?).unwrap_or_default().to_vec();
            // Where the gateway is slow the system's queue holds the rest.
            if out.send(packet).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn write(&self, mut packets: mpsc::Receiver<Vec<u8>>) -> std::io::Result<()> {
        while let Some(packet) = packets.recv().await {
            loop {
                let mut ready = self.0.writable().await?;
                match ready.try_io(|fd| Ok(rustix::io::write(fd, &packet)?)) {
                    Ok(Ok(_)) => break,
                    // What the system does not take is lost as on the way.
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "a packet was not taken");
                        break;
                    }
                    Err(_) => {}
                }
            }
        }
        Ok(())
    }
}

/// Has the system's program change an interface.
async fn ip(words: &[&str]) -> Result<(), Failure> {
    let told = tokio::process::Command::new("ip").args(words).output();
    let told = told
        .await
        .map_err(|error| Failure::new(format!("the program ip: {error}")))?;
    if told.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&told.stderr);
    Err(Failure::new(format!(
        "ip {}: {}",
        words.join(" "),
        why.trim()
    )))
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;

    fn section(text: &str) -> SigConfig {
        #[derive(Deserialize)]
        struct File {
            sig: SigConfig,
        }
        let file: File = toml::from_str(text).expect("a file");
        file.sig
    }

    #[test]
    fn the_default_is_the_file() {
        assert_eq!(section(SigConfig::DEFAULT_TOML), SigConfig::default());
        assert_eq!(SigConfig::default().check(), Ok(()));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let whole = "[sig]\nlisten = 'scion://[1-ff00:0:111,192.0.2.7]:30056'\n\
             prefixes = ['172.31.11.0/24']\naddress = '172.31.11.1'\n[[sig.peer]]\nname = 'utility'\n\
             gateway = 'scion://[2-ff00:0:211,192.0.2.9]:30056?fence=- 3 +'\n\
             prefixes = ['172.31.21.0/24']\noffers = ['tcp:4059']\n";
        assert_eq!(section(whole).check(), Ok(()));
        for (from, to, part) in [
            ("31.11.0/24'", "31.11.0/33'", "172.31.11.0/33"),
            (
                "address = '172.31.11.1'",
                "address = '172.31.12.1'",
                "within prefixes",
            ),
            ("tcp:4059", "http", "\"http\" is no service"),
            ("172.31.21.0/24", "172.31.11.128/25", "of the own site"),
            ("'scion://[2", "'udp://[2", "peer utility"),
            ("name = 'utility'", "name = 'a b'", "letters"),
            ("[sig]", "[sig]\nmtu = 100", "1280 to 9000"),
        ] {
            let changed = whole.replacen(from, to, 1);
            let told = section(&changed).check().expect_err("it does not fit");
            assert!(told.contains(part), "{told}");
        }
        let (_, again) = whole.split_once("[[").expect("a peer");
        let twice = format!("{whole}[[{again}");
        assert!(section(&twice).check().is_err());
    }
}
