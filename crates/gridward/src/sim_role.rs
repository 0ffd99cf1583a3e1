//! `gridward sim`: networks that are simulated, as a process of their own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::{Args, Subcommand};
use scion::address::IsdAs;
use serde::Deserialize;
use serde_json::{Value, json};
use sim::scion::{Cut, End, HEAD_END, LinkState, METERS, Network, NoLink, Plan, Topology};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::failure::Failure;
use crate::output::{Ink, Output};
use crate::{Outcome, role};

#[derive(Args, Debug)]
pub(crate) struct SimOptions {
    #[command(subcommand)]
    command: SimCommand,
}

/// What can be simulated.
#[derive(Debug, Subcommand)]
enum SimCommand {
    /// A SCION network of six ASes: daemons, routers, links to be cut
    Scion(SimScionOptions),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gridward sim scion --control 127.0.0.1:30000
  curl http://127.0.0.1:30000/
  curl --json '{\"link\": \"1-ff00:0:110#1\", \"how\": \"silent\"}' \\
    http://127.0.0.1:30000/down

The control: GET / tells the links with what came to each; POST /down cuts one,
\"loud\" (its routers report it) or \"silent\", and with \"mend_after_s\" only for so
long; POST /up mends it; POST /loss with \"per_cent\" has it lose packets by
chance; POST /forget counts anew. A link is named by one of its ends. All answer
as GET / does.

Daemons answer paths and DRKeys; ASes are told apart by them, so all hosts are
127.0.0.1. Nothing authenticates hop fields. SIGTERM and Ctrl-C end it; then it
tells once more what came to each link.")]
pub(crate) struct SimScionOptions {
    /// Serve the control over HTTP at this address of the loopback
    #[arg(long, value_name = "HOST:PORT")]
    control: Option<SocketAddr>,

    /// Links take no time; else as long as daemons tell of them
    #[arg(long)]
    no_delays: bool,

    /// What decides which packets a link loses: the same number, the same row
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Where the daemon of an AS listens, and at which address its routers do;
    /// for hosts elsewhere, and for ports that stay
    #[arg(long, value_name = "ISD-AS=HOST:PORT", value_parser = place)]
    at: Vec<(IsdAs, SocketAddr)>,

    /// How long a DRKey holds
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400,
          value_parser = clap::value_parser!(u64).range(10..=259_200))]
    epoch: u64,

    /// Stop at the end of standard input, as a supervisor wants it
    #[arg(long, hide = true)]
    stop_at_eof: bool,
}

fn place(text: &str) -> Result<(IsdAs, SocketAddr), String> {
    let (isd_as, at) = text
        .split_once('=')
        .ok_or("write 1-ff00:0:111=127.0.0.1:30255")?;
    Ok((
        isd_as.parse().map_err(|error| format!("{error}"))?,
        at.parse().map_err(|error| format!("{at}: {error}"))?,
    ))
}

pub(crate) fn run(options: &SimOptions, output: &mut Output<'_, '_>) -> Outcome {
    match &options.command {
        SimCommand::Scion(options) => scion(options, output),
    }
}

/// What those who control may have.
const LIMITS: web::Limits = web::Limits {
    connections: 16,
    per_address: 16,
    head: Duration::from_secs(10),
    stop: Duration::from_secs(1),
};

/// The longest cut that mends by itself, in seconds.
const CUT_S_MAX: u32 = 3_600;

/// The longest order, in octets.
const ORDER_MAX: usize = 1_024;

fn scion(options: &SimScionOptions, output: &mut Output<'_, '_>) -> Outcome {
    if let Some(at) = options.control.filter(|at| !at.ip().is_loopback()) {
        return Err(
            Failure::usage(format!("{at}: the control asks nobody for a password"))
                .hint("have it listen on the loopback: --control 127.0.0.1:30000"),
        );
    }
    let topology = Topology::six();
    let places: BTreeMap<_, _> = options.at.iter().copied().collect();
    let ases = topology.ases();
    if let Some(stranger) = places.keys().find(|place| !ases.contains(place)) {
        let names: Vec<_> = ases.iter().map(ToString::to_string).collect();
        return Err(Failure::usage(format!("there is no AS {stranger}"))
            .hint(format!("there are {}", names.join(", "))));
    }
    role::block_on(async {
        let stop = role::stopped(options.stop_at_eof)?;
        let plan = Plan {
            delays: !options.no_delays,
            seed: options.seed,
            places,
            epoch: Duration::from_secs(options.epoch),
            ..Plan::new(topology)
        };
        let network = Network::start(plan).await.map_err(|error| {
            Failure::new(format!("the network does not start: {error}"))
                .hint("is another program listening at an address of --at?")
        })?;
        let network = Arc::new(network);
        let (end, ended) = watch::channel(false);
        let mut control = None;
        if let Some(at) = options.control {
            let listener = TcpListener::bind(at)
                .await
                .map_err(|error| Failure::new(format!("{at}: {error}")))?;
            control = listener.local_addr().ok();
            let routes = routes(Arc::clone(&network));
            tokio::spawn(web::serve(listener, None, routes, LIMITS, ended));
        }
        tell(&network, control, output)?;
        stop.wait().await;
        end.send_replace(true);
        finish(&network, output)
    })
}

/// What is known of the links, for programs.
fn state(network: &Network) -> Value {
    let link = |state: &LinkState| {
        let [one, other] = state.link.ends;
        let counters = state.counters;
        json!({
            "link": one.to_string(),
            "to": other.to_string(),
            "latency_ms": u64::try_from(state.link.latency.as_millis()).unwrap_or(u64::MAX),
            "state": if state.cut.is_some() { "down" } else { "up" },
            "how": state.cut.map(|cut| match cut {
                Cut::Loud => "loud",
                Cut::Silent => "silent",
            }),
            "mends_by_itself": state.mends.is_some(),
            "loss_per_cent": state.loss * 100.0,
            "packets": counters.packets,
            "octets": counters.octets,
            "cut": counters.cut,
            "lost": counters.lost,
        })
    };
    let links: Vec<_> = network.links().iter().map(link).collect();
    json!({"links": links, "astray": network.astray()})
}

fn tell(network: &Network, control: Option<SocketAddr>, output: &mut Output<'_, '_>) -> Outcome {
    let daemon = |isd_as| {
        let at = network.daemon(isd_as);
        at.map_or_else(String::new, |at| at.to_string())
    };
    let (meters, head) = (daemon(METERS), daemon(HEAD_END));
    let host = network
        .daemon(METERS)
        .map_or_else(String::new, |at| at.ip().to_string());
    let endpoint = format!("scion://[{METERS},{host}]:4059");
    let control = control.map(|at| format!("http://{at}/"));
    if output.json() {
        let daemons: BTreeMap<_, _> = network
            .daemons()
            .iter()
            .map(|(isd_as, at)| (isd_as.to_string(), at.to_string()))
            .collect();
        let mut told = state(network);
        if let Some(told) = told.as_object_mut() {
            told.insert("daemons".to_owned(), json!(daemons));
            let end = |isd_as: IsdAs, at: &str| json!({"isd_as": isd_as.to_string(), "daemon": at});
            told.insert("meters".to_owned(), end(METERS, &meters));
            told.insert("head_end".to_owned(), end(HEAD_END, &head));
            told.insert("endpoint".to_owned(), json!(endpoint));
            told.insert("control".to_owned(), json!(control));
        }
        output.write_json(&told)?;
        return output.flush();
    }
    let style = output.style();
    let mut text = format!(
        "{}\n",
        style.paint(Ink::Head, "A SCION network: 6 ASes in 3 domains, 8 links")
    );
    for (isd_as, what, at) in [(METERS, "meters", &meters), (HEAD_END, "head end", &head)] {
        let at = style.paint(Ink::Value, at);
        text.push_str(&format!("  {isd_as}  {what:<8}  daemon {at}\n"));
    }
    text.push_str(&format!("{}\n", style.paint(Ink::Head, "Links")));
    for state in network.links() {
        let [one, other] = state.link.ends.map(|end| end.to_string());
        let millis = state.link.latency.as_millis();
        text.push_str(&format!("  {one:<16}  {other:<16}  {millis:>3} ms\n"));
    }
    text.push_str(&format!("{}\n", style.paint(Ink::Head, "Try")));
    let client = style.paint(Ink::Faint, "# in other shells");
    text.push_str(&format!(
        "  SCION_DAEMON={meters} gridward meter \\\n    --listen '{endpoint}'  {client}\n  \
         SCION_DAEMON={head} gridward read \\\n    '{endpoint}' 0-0:42.0.0 --fence '- 3 +'\n"
    ));
    if let Some(control) = &control {
        text.push_str(&format!(
            "  curl --json '{{\"link\": \"1-ff00:0:110#1\", \"how\": \"silent\"}}' \\\n    {control}down\n"
        ));
        let control = style.paint(Ink::Value, control);
        text.push_str(&format!("Control: {control}\n"));
    }
    text.push_str("Stop with Ctrl-C.\n");
    output.write(&text)?;
    output.flush()
}

/// Tells at the end what came to each link.
fn finish(network: &Network, output: &mut Output<'_, '_>) -> Outcome {
    if output.json() {
        output.write_json(&state(network))?;
        return output.flush();
    }
    let style = output.style();
    let mut text = format!("{}\n", style.paint(Ink::Head, "Packets by link"));
    for state in network.links() {
        let [one, other] = state.link.ends.map(|end| end.to_string());
        let counters = state.counters;
        text.push_str(&format!(
            "  {one:<16}  {other:<16}  {:>9}",
            counters.packets
        ));
        if counters.cut + counters.lost > 0 {
            text.push_str(&format!("  not sent {}", counters.cut + counters.lost));
        }
        text.push('\n');
    }
    output.write(&text)?;
    output.flush()
}

/// An order to a link.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    link: String,
    #[serde(default)]
    how: How,
    mend_after_s: Option<u32>,
    per_cent: Option<f64>,
}

/// How a link is cut.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum How {
    #[default]
    Loud,
    Silent,
}

/// Why an order is not followed, with the status that says so.
type Refusal = (StatusCode, String);

fn routes(network: Arc<Network>) -> Router {
    type Net = State<Arc<Network>>;
    type Follow = fn(&Network, End, &Order) -> Result<(), Refusal>;
    let order = |follow: Follow| {
        post(
            move |State(network): Net, headers: HeaderMap, body: Bytes| async move {
                let done =
                    ordered(&headers, &body).and_then(|(end, order)| follow(&network, end, &order));
                answer(&network, done)
            },
        )
    };
    Router::new()
        .route(
            "/",
            get(|State(network): Net| async move { answer(&network, Ok(())) }),
        )
        .route(
            "/down",
            order(|network, end, order| {
                let how = match order.how {
                    How::Loud => Cut::Loud,
                    How::Silent => Cut::Silent,
                };
                let cut = match order.mend_after_s {
                    None => network.cut(end, Some(how)),
                    Some(seconds) if (1..=CUT_S_MAX).contains(&seconds) => {
                        network.cut_for(end, how, Duration::from_secs(u64::from(seconds)))
                    }
                    Some(_) => {
                        let why = format!("\"mend_after_s\" is a number from 1 to {CUT_S_MAX}");
                        return Err((StatusCode::BAD_REQUEST, why));
                    }
                };
                cut.map_err(no_link)
            }),
        )
        .route(
            "/up",
            order(|network, end, _| network.cut(end, None).map_err(no_link)),
        )
        .route(
            "/loss",
            order(|network, end, order| {
                let share = order.per_cent.filter(|share| (0.0..=100.0).contains(share));
                let share = share.ok_or_else(|| {
                    let why = "\"per_cent\" is a number from 0 to 100";
                    (StatusCode::BAD_REQUEST, why.to_owned())
                })?;
                network.lose(end, share / 100.0).map_err(no_link)
            }),
        )
        .route(
            "/forget",
            post(|State(network): Net, headers: HeaderMap| async move {
                let done = is_json(&headers).map(|()| network.forget());
                answer(&network, done)
            }),
        )
        .layer(DefaultBodyLimit::max(ORDER_MAX))
        .with_state(network)
}

fn no_link(error: NoLink) -> Refusal {
    (StatusCode::NOT_FOUND, error.to_string())
}

/// A page in a browser cannot send this type to us without being asked for.
fn is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    match kind {
        Some(kind) if kind.starts_with("application/json") => Ok(()),
        _ => Err((
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send application/json, as curl --json does".to_owned(),
        )),
    }
}

fn ordered(headers: &HeaderMap, body: &[u8]) -> Result<(End, Order), Refusal> {
    is_json(headers)?;
    let wrong = |why: String| (StatusCode::BAD_REQUEST, why);
    let order: Order = serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))?;
    let end = order.link.parse::<End>();
    let end = end.map_err(|error| wrong(format!("{:?}: {error}", order.link)))?;
    Ok((end, order))
}

fn answer(network: &Network, done: Result<(), Refusal>) -> Response {
    match done {
        Ok(()) => Json(state(network)).into_response(),
        Err((status, why)) => (status, Json(json!({"error": why}))).into_response(),
    }
}
