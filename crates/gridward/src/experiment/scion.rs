//! `gridward experiment scion`: readings over SCION, through a gateway and over
//! plain IP, and what a cut link costs.

mod delay;
mod failover;
mod place;
mod reader;
mod reference;
mod routers;
mod tally;
mod walk;

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::report::Report;
use super::{Folder, machine, put, write};
use crate::Outcome;
use crate::failure::Failure;
use crate::output::Output;

pub(super) use reader::{ReaderOptions, run as read};
pub(super) use walk::{WalkOptions, run as walk};

/// What both ends keep to: no path through the third domain.
const FENCE: &str = "- 3 +";

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gridward experiment scion --short
  sudo gridward experiment scion --out results
  sudo gridward experiment scion --network /tmp/net --out results

As root it makes three network namespaces and reads through our SCION-IP gateway
as well; without, that row is left out. It takes ip, unshare and nsenter then.
Without --network the network is that of gridward sim scion, without delays.
With it, that of interop/scion/net, which is up already; with namespaces (root)
the reference implementation's gateway is measured too. In the simulated network
links are cut; in the other one routers are stopped and started again, and
meanwhile its gateways and the leaves' control services.")]
pub(crate) struct ScionOptions {
    /// Write a page, CSV and plots to this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Readings of each way [default: 500; with --short 20]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    readings: Option<u32>,

    /// Milliseconds from one reading to the next [default: 500; with --short 20]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=60_000))]
    apart: Option<u64>,

    /// Times that all ways are measured, one after the other; what they took is
    /// pooled
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,

    /// Seconds in place of minutes: shows that all works, not how well
    #[arg(long)]
    short: bool,

    /// The reference implementation's network: a folder of interop/scion/net
    #[arg(long, value_name = "FOLDER")]
    network: Option<PathBuf>,
}

/// How much is measured.
#[derive(Clone, Copy)]
struct Extent {
    runs: u32,
    /// Readings of each way in a run.
    readings: u32,
    apart_ms: u64,
    /// Times that each cut is made, and each router stopped.
    cuts: u32,
    /// Routers that are stopped at most, in all.
    stops: u32,
    /// Readings of each of these.
    cut_readings: u32,
    /// Packets that must have been counted for their absence elsewhere to mean
    /// something.
    packets: u64,
}

pub(super) fn run(options: &ScionOptions, output: &mut Output<'_, '_>) -> Outcome {
    let folder = Folder::new()?;
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(format!("the program does not find itself: {error}")))?;
    let (usual, apart, cuts, stops, cut_readings, packets) = if options.short {
        (20, 20, 1, 3, 40, 1)
    } else {
        (500, 500, 10, 150, 200, 10_000)
    };
    let extent = Extent {
        runs: options.runs,
        readings: options.readings.unwrap_or(usual),
        apart_ms: options.apart.unwrap_or(apart),
        cuts,
        stops,
        cut_readings,
        packets,
    };
    let mut said = Vec::new();
    let mut place = place::Place::new(
        program.clone(),
        folder.0.clone(),
        options.network.as_deref(),
        &mut said,
    )?;
    for line in &said {
        output.note(line);
    }
    let about = format!("{}{}", machine(options.short), place.about());
    if !output.json() {
        output.write(&format!("{about}\n"))?;
    }
    let mut reports = Vec::new();
    let (mut report, samples) = delay::measure(&place, extent, &mut |what| output.note(what))?;
    report.goals.extend(
        place
            .at_last()
            .and_then(|told| delay::kept_off(&told, extent)),
    );
    if let Some(out) = &options.out {
        put(
            &out.join(format!("{}-{}-all.csv", place.family(), report.name)),
            &samples,
        )?;
    }
    show(&report, &place, options, output)?;
    reports.push(report);
    let report = if place.is_simulated() {
        failover::measure(&program, &folder.0, extent, &mut |what| output.note(what))?
    } else {
        routers::measure(&place, extent, &mut |what| output.note(what))?
    };
    show(&report, &place, options, output)?;
    reports.push(report);
    if let Some(out) = &options.out {
        let page = page(&about, place.family(), &reports);
        put(&out.join(format!("{}.md", place.family())), &page)?;
    }
    if output.json() {
        let reports: Vec<_> = reports.iter().map(Report::to_json).collect();
        output.write_json(&json!({"about": about, "notes": said, "experiments": reports}))?;
    }
    Ok(())
}

/// Shows what was measured and keeps it, whatever happens to the rest.
fn show(
    report: &Report,
    place: &place::Place,
    options: &ScionOptions,
    output: &mut Output<'_, '_>,
) -> Outcome {
    if !output.json() {
        let table = report.table(output.style());
        output.write(&format!("\n{table}"))?;
        output.flush()?;
    }
    match &options.out {
        Some(out) => write(out, place.family(), report),
        None => Ok(()),
    }
}

fn page(about: &str, family: &str, reports: &[Report]) -> String {
    let mut text = format!(
        "# SCION, a gateway and plain IP\n\nWritten by `gridward experiment scion`; what it means \
         stands in [README.md](README.md).\n{about}\n\n"
    );
    for report in reports {
        text.push_str(&report.section(family));
    }
    text
}
