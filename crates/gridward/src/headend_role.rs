//! `gridward headend`: the head end as a process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use headend::{HeadEnd, LinkAccess, Options};
use link::{Surroundings, SystemConnector};
use model::Timestamp;
use serde_json::json;

use crate::failure::Failure;
use crate::output::{Ink, Output};
use crate::{Outcome, config, counters, role};

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gridward config default > gridward.toml
  gridward headend --config gridward.toml --data /var/lib/gridward

The first start prints the operator's token, once: it is not kept and cannot be
told again. The interface is at the address that is printed; /healthz, /metrics
and /api/v1/openapi.json are beside it. SIGTERM stops cleanly.

Meters are enrolled from a file that the configuration names and that is read
at each start. What it adds or changes is taken over; a meter that it leaves
out stays enrolled. It is a list with a head line (.csv), one JSON object a line
(.jsonl, as gridward meter --json prints them) or [[meter]] tables (.toml):
  logical_device_name,endpoint,server,system_title,place,feeder,phase
  GWD0000000000001,tcp://192.0.2.7:4059,1,4757440000000001,Am Anger 9,F1,L1
The first two are needed. Then, in gridward.toml beside it:
  [headend]
  enrolment = \"meters.csv\"
  keys = \"keys.toml\"      # what opens them, mode 0600
Outlet meters call over SCTP: gridward keys outlets --help says how that begins.
To try it with virtual meters:
  gridward meter --listen tcp://127.0.0.1:4059 --count 10 --keys keys.toml \\
      --json > meters.jsonl")]
pub(crate) struct HeadendOptions {
    /// Configuration file [default: what `gridward config default` prints]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Data folder [default: headend in the state folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Address of interface and API [default: as configured, 127.0.0.1:8420]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,

    /// The daemon of the own AS, for meters with a scion:// URL
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

/// The system's time of day.
#[derive(Debug)]
struct WallClock;

impl headend::Clock for WallClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the head end's time of day comes in"
    )]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let millis = since.map_or(0, |since| since.as_millis());
        Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}

pub(crate) fn run(options: &HeadendOptions, output: &mut Output<'_, '_>) -> Outcome {
    let mut config = match &options.config {
        Some(path) => config::load(path)?.headend,
        None => config::Config::default().headend,
    };
    if let Some(listen) = options.listen {
        config.listen = listen;
    }
    let data = match &options.data {
        Some(data) => data.clone(),
        None => counters::default_folder()?.join("headend"),
    };
    let title = counters::own_title(&data)?;
    let timeout = Duration::from_secs(u64::from(config.collector.timeout_s));
    role::block_on(async {
        let stop = role::stopped(options.stop_at_eof)?;
        let clock: Arc<dyn headend::Clock> = Arc::new(WallClock);
        let connector = SystemConnector::default().with_scion_daemon(options.scion_daemon.clone());
        let surroundings = Surroundings {
            connector: Arc::new(connector),
            ..Surroundings::system()
        };
        let started = HeadEnd::start(Options {
            config,
            data: data.clone(),
            clock: Arc::clone(&clock),
            access: move |store, keys| {
                Arc::new(LinkAccess::new(
                    store,
                    keys,
                    clock,
                    surroundings,
                    title,
                    timeout,
                )) as Arc<dyn headend::collector::MeterAccess>
            },
        });
        let (head_end, token) = started
            .await
            .map_err(|error| Failure::new(crate::failure::chain(&error)))?;
        let url = format!("http://{}/", head_end.address());
        let meters = head_end.meters();
        let told = if output.json() {
            let mut line =
                json!({ "url": url, "data": data.display().to_string(), "meters": meters });
            if let (Some(outlets), Some(object)) = (head_end.outlets(), line.as_object_mut()) {
                let (sctp, udp) = outlets.port();
                let meters = outlets.meters().len();
                object.insert(
                    "outlets".to_owned(),
                    json!({ "meters": meters, "sctp_port": sctp, "udp_port": udp }),
                );
            }
            if let Some(object) = line.as_object_mut() {
                if let Some(token) = &token {
                    object.insert("token".to_owned(), json!(token.as_str()));
                }
                if !head_end.dial_in().is_empty() {
                    object.insert("dial_in".to_owned(), json!(head_end.dial_in()));
                }
            }
            output.write_json(&line)
        } else {
            let style = output.style();
            let sign_in = token.as_ref().map_or_else(String::new, |token| {
                format!(
                    "Sign in with this token, which is not told again:\n  {}\n",
                    style.paint(Ink::Value, token)
                )
            });
            let enrolled = match meters {
                0 => "Meters: none yet; gridward headend --help says how they are enrolled\n"
                    .to_owned(),
                number => format!("Meters: {number}\n"),
            };
            let outlets = head_end.outlets().map_or_else(String::new, |outlets| {
                let (sctp, udp) = outlets.port();
                let over = match udp {
                    0 => "over IP".to_owned(),
                    udp => format!("over UDP port {udp}"),
                };
                let meters = outlets.meters().len();
                format!("Outlet meters: {meters}, which call SCTP port {sctp} {over}\n")
            });
            let dial_in = head_end.dial_in().iter();
            let dial_in = dial_in.map(|at| format!("Concentrators connect to: {at}\n"));
            let dial_in: String = dial_in.collect();
            output.write(&format!(
                "{} {}\n{sign_in}{enrolled}{outlets}{dial_in}Data: {}\nStop with Ctrl-C.\n",
                style.paint(Ink::Head, "Head end at"),
                style.paint(Ink::Value, &url),
                data.display()
            ))
        };
        let told = told.and_then(|()| output.flush());
        if told.is_ok() {
            stop.wait().await;
        }
        head_end.stop().await;
        told
    })
}
