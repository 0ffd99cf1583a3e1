//! Collection from end to end, as in a deployment: a process of meters and the head end, both the
//! program itself, on the same machine.
//!
//! `cargo bench -p gridward --bench collect [-- METERS [DAYS]]`
//!
//! A meter-day is the load profile of one meter for one day of the calendar, 96 rows of a time, a
//! status and its registers: asked for over an association of HLS 5 with authenticated encryption,
//! verified, decoded, and in the store with the commit synced to disk. With each association come
//! clock, registers, breaker and event logs.
//!
//! First the head end meets the meters and reads DAYS days of each. Then it is started again with
//! one day more to read: so nothing is in its memory, and every counter must be reserved anew.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    dead_code,
    reason = "a benchmark reads the clock, prints, and stops where it fails"
)]

mod deployment;

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use deployment::{HeadEnd, Role, Site, Until};

const ROWS_A_DAY: u64 = 96;

/// What a collection consists of, as the head end names it.
const PHASES: [&str; 6] = ["plan", "associate", "status", "records", "release", "store"];

fn main() {
    let numbers: Vec<u32> = std::env::args()
        .filter_map(|word| word.parse().ok())
        .collect();
    let meters = numbers.first().copied().unwrap_or(2_000);
    let days = numbers.get(1).copied().unwrap_or(30);
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path());

    let begun = Instant::now();
    let (fleet, _) = site.meters(meters, days + 2);
    println!(
        "{meters} meters with {} days of history started in {:.1} s, {}",
        days + 2,
        begun.elapsed().as_secs_f64(),
        Memory::of(&fleet),
    );
    let first = collect(&site, &fleet, meters, days, Until::DayBefore);
    println!("\n{days} days of {meters} new meters: {first}");
    let second = collect(&site, &fleet, meters, 1, Until::LastDay);
    println!("\none more day of each, the head end just started: {second}");
    fleet.stop();
}

/// Collects all meters, checks that every row is there, and tells what it took.
fn collect(site: &Site, fleet: &Role, meters: u32, days: u32, until: Until) -> Figures {
    let fleet_before = cpu_s(fleet);
    let head_end = site.head_end(days, until);
    let begun = Instant::now();
    let start = Start {
        took: head_end.started,
        cpu_s: cpu_s(&head_end.role),
        memory: Memory::of(&head_end.role),
    };
    let metrics = head_end.collected(meters);
    let figures = Figures {
        spent: begun.elapsed(),
        meter_days: u64::from(meters) * u64::from(days),
        meters,
        fleet_cpu_s: cpu_s(fleet) - fleet_before,
        head_end_cpu_s: cpu_s(&head_end.role) - start.cpu_s,
        fleet_memory: Memory::of(fleet),
        head_end_memory: Memory::of(&head_end.role),
        start,
        metrics,
    };
    let rows = figures.of("gridward_store_rows_total");
    let wanted = (figures.meter_days * ROWS_A_DAY) as f64;
    assert!(rows == wanted, "{rows} rows were stored, not {wanted}");
    let HeadEnd { role, .. } = head_end;
    role.stop();
    figures
}

/// Processor time so far: user and system, in hundredths of a second (proc_pid_stat(5)).
fn cpu_s(role: &Role) -> f64 {
    let stat = role.about("stat");
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks
        .map(|ticks| ticks.parse::<f64>().unwrap())
        .sum::<f64>()
        / 100.0
}

/// Resident memory in MiB, now and at most so far.
struct Memory(u64, u64);

impl Memory {
    fn of(role: &Role) -> Self {
        let status = role.about("status");
        let of = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            let kib = line.split_whitespace().nth(1).unwrap();
            kib.parse::<u64>().unwrap() / 1_024
        };
        Self(of("VmRSS"), of("VmHWM"))
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB resident, at most {}", self.0, self.1)
    }
}

struct Start {
    took: Duration,
    cpu_s: f64,
    memory: Memory,
}

/// What one collection of all meters took.
struct Figures {
    start: Start,
    spent: Duration,
    meter_days: u64,
    meters: u32,
    fleet_cpu_s: f64,
    head_end_cpu_s: f64,
    fleet_memory: Memory,
    head_end_memory: Memory,
    metrics: BTreeMap<String, f64>,
}

impl Figures {
    fn of(&self, name: &str) -> f64 {
        self.metrics.get(name).copied().unwrap()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.spent.as_secs_f64();
        let meters = f64::from(self.meters);
        let per_day = 1e6 / self.meter_days as f64;
        let exchanges = self.of("gridward_access_exchanges_total");
        writeln!(
            f,
            "{:.0} meter-days/s\n  {} meter-days in {seconds:.2} s, {:.0} associations/s, \
             {:.1} exchanges in each",
            self.meter_days as f64 / seconds,
            self.meter_days,
            meters / seconds,
            exchanges / meters,
        )?;
        writeln!(
            f,
            "  processor time of a meter-day: head end {:.0} µs, meters {:.0} µs; {:.2} cores busy",
            self.head_end_cpu_s * per_day,
            self.fleet_cpu_s * per_day,
            (self.head_end_cpu_s + self.fleet_cpu_s) / seconds,
        )?;
        writeln!(
            f,
            "  store: {:.0} commits/s synced to disk, {:.0} writes in each",
            self.of("gridward_store_commits_total") / seconds,
            self.of("gridward_store_writes_total") / self.of("gridward_store_commits_total"),
        )?;
        let per_meter = |seconds: f64| seconds * 1e3 / meters;
        write!(f, "  an association passes, in ms with 256 at once:")?;
        for phase in PHASES {
            let name = format!("gridward_collector_phase_seconds_total{{phase=\"{phase}\"}}");
            write!(f, " {phase} {:.1}", per_meter(self.of(&name)))?;
        }
        writeln!(
            f,
            "\n    of associate: connecting {:.1}, counters made durable {:.1}",
            per_meter(self.of("gridward_access_connecting_seconds_total")),
            per_meter(self.of("gridward_access_reserving_seconds_total")),
        )?;
        write!(
            f,
            "  the head end answered {:.2} s after its start, {}\n  then {}; the meters {}",
            self.start.took.as_secs_f64(),
            self.start.memory,
            self.head_end_memory,
            self.fleet_memory,
        )
    }
}
