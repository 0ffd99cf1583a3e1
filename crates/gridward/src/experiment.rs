//! `gridward experiment`: what is claimed of the transports, measured beside
//! others on the same messages.

mod figures;
mod flood;
mod network;
mod peer;
mod plot;
mod report;
mod rows;
mod run;
mod scion;
mod trace;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::Outcome;
use crate::failure::Failure;
use crate::output::Output;
use peer::PeerCommand;
use report::Report;
use run::{Runner, Stack};
use scion::{ReaderOptions, ScionOptions, WalkOptions};

#[derive(Args, Debug)]
pub(crate) struct ExperimentOptions {
    #[command(subcommand)]
    command: ExperimentCommand,
}

/// What can be measured.
#[derive(Debug, Subcommand)]
enum ExperimentCommand {
    /// SCTP beside TCP and other SCTPs, between two network namespaces
    Sctp(SctpOptions),
    /// SCION natively beside SCION-IP gateways and plain IP, and links cut
    Scion(ScionOptions),
    /// One client of the experiment over SCION
    #[command(hide = true)]
    Reader(Box<ReaderOptions>),
    /// The same while routers of the reference implementation's are stopped
    #[command(hide = true)]
    Walker(WalkOptions),
    /// One side of an experiment
    #[command(hide = true)]
    Peer {
        #[command(subcommand)]
        command: PeerCommand,
    },
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sudo gridward experiment sctp
  sudo gridward experiment sctp --only failover,priority --out results
  sudo gridward experiment sctp --short --json

Takes root, ip, tc, iptables, unshare and nsenter. Nothing leaves the two
namespaces that it makes, and they go when it ends. scripts/experiment builds
the peer on usrsctp and runs this with it.")]
pub(crate) struct SctpOptions {
    /// Write a page, CSV and plots to this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Only these experiments [default: all]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    only: Vec<Name>,

    /// Seconds in place of minutes: shows that all works, not how well
    #[arg(long)]
    short: bool,

    /// The peer on usrsctp (interop/sctp/peer.c, built)
    #[arg(long, value_name = "PROGRAM")]
    usrsctp: Option<PathBuf>,

    /// The peer on the kernel's SCTP (interop/sctp/kernel/peer.c, built),
    /// where this kernel has it
    #[arg(long, value_name = "PROGRAM")]
    kernel: Option<PathBuf>,

    /// Seconds that a side may take to tell the next thing
    #[arg(long, hide = true, value_name = "SECONDS", default_value_t = run::PATIENCE)]
    patience: u64,
}

/// The experiments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// A link is cut while messages go
    Failover,
    /// Orders and warnings behind a megabyte of usage data
    Priority,
    /// What waits behind a lost packet
    Blocking,
    /// First packets from made-up addresses
    Flood,
    /// Packets overtake each other, none is lost
    Reordering,
    /// What an idle association costs
    Memory,
    /// Octets a second on the loopback
    Throughput,
}

pub(crate) fn run(options: &ExperimentOptions, output: &mut Output<'_, '_>) -> Outcome {
    match &options.command {
        ExperimentCommand::Sctp(options) => sctp(options, output),
        ExperimentCommand::Scion(options) => scion::run(options, output),
        ExperimentCommand::Reader(options) => scion::read(options, output),
        ExperimentCommand::Walker(options) => scion::walk(options, output),
        ExperimentCommand::Peer { command } => peer::run(command, output),
    }
}

fn sctp(options: &SctpOptions, output: &mut Output<'_, '_>) -> Outcome {
    let folder = Folder::new()?;
    let runner = Runner {
        program: std::env::current_exe()
            .map_err(|error| Failure::new(format!("the program does not find itself: {error}")))?,
        usrsctp: options.usrsctp.clone(),
        kernel: options.kernel.clone(),
        folder: folder.0.clone(),
        patience: Duration::from_secs(options.patience),
    };
    // The first thing to fail is the right to make a network.
    drop(network::Network::new()?);
    let names: Vec<Name> = if options.only.is_empty() {
        Name::value_variants().to_vec()
    } else {
        options.only.clone()
    };
    let about = about(&runner, options.short);
    if !output.json() {
        output.write(&format!("{about}\n"))?;
    }
    let mut reports = Vec::new();
    let mut failures = 0;
    for name in names {
        let mut said = |what: &str| output.note(what);
        let report = rows::measure(name, &runner, options.short, &mut said)?;
        if !output.json() {
            let table = report.table(output.style());
            output.write(&format!("\n{table}"))?;
            output.flush()?;
        }
        // What is measured is kept, whatever happens to the rest.
        if let Some(out) = &options.out {
            write(out, "sctp", &report)?;
        }
        failures += report.failures().count();
        reports.push(report);
    }
    if let Some(out) = &options.out {
        let page = page(&about, &reports);
        put(&out.join("sctp.md"), &page)?;
    }
    if output.json() {
        let reports: Vec<_> = reports.iter().map(Report::to_json).collect();
        output.write_json(&json!({"about": about, "experiments": reports}))?;
    }
    if failures > 0 {
        let rows = if failures == 1 { "row" } else { "rows" };
        return Err(Failure::new(format!("{failures} {rows} failed"))
            .hint("the others stand; what happened is said below each table")
            .shown());
    }
    Ok(())
}

/// On what this was measured.
fn about(runner: &Runner, short: bool) -> String {
    let missing: Vec<&str> = Stack::ALL
        .into_iter()
        .filter(|stack| !runner.stacks().any(|there| there == *stack))
        .map(Stack::name)
        .collect();
    let missing = if missing.is_empty() {
        String::new()
    } else {
        format!(" Not measured here: {}.", missing.join(", "))
    };
    format!("{}{missing}", machine(short))
}

/// The machine and the build.
fn machine(short: bool) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let build = if cfg!(debug_assertions) {
        "development build"
    } else {
        "release build"
    };
    let short = if short { ", the short form" } else { "" };
    format!(
        "Linux {}, {processors} processors, load {} at the start, {build}{short}.",
        kernel.trim(),
        load.join(" ")
    )
}

/// A folder that goes when the experiment ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("gridward-experiment-{}", std::process::id()));
        std::fs::create_dir_all(&path)
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn put(path: &Path, text: &str) -> Outcome {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
    }
    std::fs::write(path, text).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

/// Writes the table and the plot; `family` is what their names begin with.
fn write(out: &Path, family: &str, report: &Report) -> Outcome {
    let name = report.name;
    put(&out.join(format!("{family}-{name}.csv")), &report.csv())?;
    put(&out.join(format!("{family}-{name}.svg")), &report.plot)
}

fn page(about: &str, reports: &[Report]) -> String {
    let mut text = format!(
        "# SCTP beside others\n\nWritten by `gridward experiment sctp`; what it means stands in \
         [README.md](README.md).\n{about}\n\n"
    );
    for report in reports {
        text.push_str(&report.section("sctp"));
    }
    text
}
