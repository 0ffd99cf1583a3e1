//! The concentrator as a process of its own: what an APDU costs it from socket to socket, what it
//! takes in memory, and what the day profiles of 1,200 meters cost it on an IP segment.
//!
//! `cargo bench -p gridward --bench concentrator [-- METERS [DAYS [RUNS]]]`
//!
//! Processor time is that of all its threads, user and system, as the kernel counts it in
//! nanoseconds (`/proc/PID/task/*/schedstat`); what head end and meters take does not count. First
//! requests of 90 octets and answers of 1,500, 64 under way over one connection, RUNS (5) times
//! 20,000 of them: with 90, 1,200 and 10,000 meters behind one address, and with 1,200 and the load
//! profiles of 60 days in the log, which no head end took. Then 1,200 meters of the program with
//! their keys: the last day of each, which it reads on its own, and the same read through it by
//! associations of HLS 5 with authenticated encryption.
//!
//! It fails where a row is missing, and a release where memory or the median of the time is above
//! its goal.
//!
//! With METERS all of it is done with so many, with DAYS (60) in the log, and RUNS is 1: `-- 90 1`
//! tells soon whether it works. What goes on is told on the standard error.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    dead_code,
    reason = "a benchmark reads the clock, prints, and stops where it fails"
)]

#[path = "../../../concentrator/tests/it/device.rs"]
mod device;

#[path = "../collect/deployment.rs"]
mod deployment;

#[path = "../../tests/it/association.rs"]
mod association;

#[path = "../../../concentrator/benches/collect/days.rs"]
mod days;

mod direct;
mod opaque;

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use concentrator::collector::log;
use concentrator::collector::state::Bounds;
use deployment::Role;
use model::LogicalDeviceName;

const NAME: &str = "GWD1DC0000000001";
const DAYS: u16 = 60;
/// The goals of a release: memory in MB, whatever is kept, and microseconds of processor time an
/// APDU.
const MEMORY_MAX: f64 = 64.0;
const COST_MAX: f64 = 20.0;
/// Nothing more comes if so long nothing came.
const STALLED: Duration = Duration::from_secs(300);
const TOLD_EVERY: Duration = Duration::from_secs(5);

fn main() {
    let numbers: Vec<u16> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .map(|word| word.parse().expect("METERS, DAYS and RUNS are numbers"))
        .collect();
    let of = |place: usize| numbers.get(place).copied();
    let days = i64::from(of(1).unwrap_or(DAYS));
    let (rows, profiled, runs) = match of(0) {
        Some(meters) => (vec![(meters, 0), (meters, days)], meters, 1),
        None => (
            vec![(90, 0), (1_200, 0), (1_200, days), (10_000, 0)],
            1_200,
            5,
        ),
    };
    let runs = of(2).map_or(runs, usize::from);
    assert!(profiled > 0 && runs > 0, "there is nothing to measure");
    if cfg!(debug_assertions) {
        println!("not optimised as a release is: the release is faster");
    }
    println!(
        "| meters | until all have a SAP, processor time of that | memory then, at most | \
         processor time an APDU: median of {runs}, least to most | of that user | APDUs a second |"
    );
    println!("|---|---|---|---|---|---|");
    for (meters, days) in rows {
        forward(meters, days, runs);
    }
    println!();
    profiles(profiled);
}

/// Waits until something is all there; ends the benchmark where no more of it comes.
fn until_all(what: &str, all: usize, mut there: impl FnMut() -> usize) {
    let (mut most, mut since, mut told) = (0, Instant::now(), Instant::now());
    loop {
        let now = there();
        if now >= all {
            return;
        }
        if now > most {
            (most, since) = (now, Instant::now());
        }
        assert!(since.elapsed() < STALLED, "{now} of {all} {what}");
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            eprintln!("  {now} of {all} {what}");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// A concentrator as a process, and where it keeps things.
struct Concentrator {
    role: Role,
    url: String,
    sap_log: std::path::PathBuf,
    status: String,
}

impl Concentrator {
    fn start(folder: &Path, more: &str, meters: &str) -> Self {
        let data = folder.join("dc");
        let config = format!(
            "[concentrator]\nname = \"{NAME}\"\ndata = \"{}\"\n{more}\
             [[concentrator.wan]]\nlisten = \"tcp://127.0.0.1:0\"\n\
             [[concentrator.segment]]\nmedium = \"ip\"\n{meters}",
            data.display()
        );
        let file = folder.join("dc.toml");
        std::fs::write(&file, config).unwrap();
        let mut role = Role::start(&["concentrator", "--config", file.to_str().unwrap()]);
        let line = role.line();
        Self {
            role,
            url: line["endpoints"][0].as_str().unwrap().to_owned(),
            sap_log: data.join("sap.log"),
            status: line["status"].as_str().unwrap().to_owned(),
        }
    }

    fn address(&self) -> &str {
        self.url.trim_start_matches("tcp://")
    }

    /// Waits until so many meters have a SAP, durably; gives them by name.
    fn registered(&self, count: usize) -> BTreeMap<String, u16> {
        let mut all = BTreeMap::new();
        until_all("meters have a SAP", count, || {
            let text = std::fs::read_to_string(&self.sap_log).unwrap_or_default();
            let lines = text.lines().filter_map(|line| {
                let mut words = line.split(' ').skip(1);
                let assigned = words.next() == Some("assigned");
                let sap = words.next()?.parse().ok()?;
                let name = link::parse_hex(words.next()?)?;
                assigned.then_some((String::from_utf8(name).ok()?, sap))
            });
            all = lines.collect();
            all.len()
        });
        all
    }
}

/// Processor time of all threads of a process so far, in microseconds.
fn processor_us(role: &Role) -> u64 {
    let mut sum = 0;
    for thread in std::fs::read_dir(role.folder().join("task")).unwrap() {
        let text = std::fs::read_to_string(thread.unwrap().path().join("schedstat"));
        // Nanoseconds on a processor, nanoseconds waiting, turns.
        let text = text.unwrap_or_default();
        let first = text.split(' ').next().and_then(|it| it.parse::<u64>().ok());
        sum += first.unwrap_or(0);
    }
    sum / 1_000
}

/// User and system time of a process so far, in hundredths of a second (`proc_pid_stat(5)`).
fn user_and_system(role: &Role) -> [f64; 2] {
    let stat = role.about("stat");
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let mut ticks = fields.split_whitespace().skip(11);
    [(); 2].map(|()| ticks.next().unwrap().parse().unwrap())
}

/// Resident memory in MB (10^6), now and at most so far.
fn memory_mb(role: &Role) -> [f64; 2] {
    let status = role.about("status");
    ["VmRSS", "VmHWM"].map(|name| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1.024 / 1_000.0
    })
}

fn forward(count: u16, days: i64, runs: usize) {
    let folder = tempfile::tempdir().unwrap();
    eprintln!("{count} meters, {days} days in the log: starting");
    if days > 0 {
        fill(&folder.path().join("dc"), count, days);
    }
    let (saps, last) = opaque::saps(count);
    let endpoint = opaque::meters(&saps);
    let begun = Instant::now();
    let meters = format!(
        "[[concentrator.segment.meter]]\nendpoint = \"{endpoint}\"\nservers = \"1-{last}\"\n"
    );
    let concentrator = Concentrator::start(folder.path(), "", &meters);
    let there = concentrator.registered(usize::from(count));
    let (registered, role) = (begun.elapsed(), &concentrator.role);
    let (joining, [memory, _]) = (processor_us(role), memory_mb(role));
    let addresses: Vec<u16> = there.into_values().collect();
    eprintln!("  {count} meters have a SAP; once to warm up");
    opaque::ask(concentrator.address(), &addresses, opaque::REQUESTS / 4);
    let [user, system] = user_and_system(role);
    let mut costs = Vec::new();
    let mut rate: f64 = 0.0;
    for run in 1..=runs {
        eprintln!("  run {run} of {runs}: {} requests", opaque::REQUESTS);
        let (before, begun) = (processor_us(role), Instant::now());
        opaque::ask(concentrator.address(), &addresses, opaque::REQUESTS);
        let apdus = (2 * opaque::REQUESTS) as f64;
        costs.push((processor_us(role) - before) as f64 / apdus);
        rate = rate.max(apdus / begun.elapsed().as_secs_f64());
    }
    costs.sort_by(f64::total_cmp);
    let [user, system] = {
        let [u, s] = user_and_system(role);
        [u - user, s - system]
    };
    let [_, most] = memory_mb(role);
    let median = costs[costs.len() / 2];
    println!(
        "| {count}{} | {:.1} s, {:.1} s | {memory:.1} MB, {most:.1} MB | \
         {:.1} µs, {:.1} to {:.1} | {:.0} % | {rate:.0} |",
        if days > 0 {
            format!(", {days} days of each kept")
        } else {
            String::new()
        },
        registered.as_secs_f64(),
        joining as f64 / 1e6,
        median,
        costs[0],
        costs[costs.len() - 1],
        100.0 * user / (user + system).max(1.0),
    );
    // What is in the log is all there, and stays; read last, since the page takes its time.
    let kept = &direct::page(&concentrator.status)["collection"];
    let (rows, dropped) = (kept["kept_rows"].as_i64(), kept["dropped_rows"].as_i64());
    assert_eq!(
        (rows, dropped),
        (Some(i64::from(count) * days * 96), Some(0))
    );
    if !cfg!(debug_assertions) {
        assert!(
            most < MEMORY_MAX,
            "{most:.1} MB, where the goal is {MEMORY_MAX}"
        );
        assert!(
            median < COST_MAX,
            "{median:.1} µs an APDU, where the goal is {COST_MAX}"
        );
    }
    concentrator.role.stop();
}

/// Writes the log that a concentrator has after so many days without a head end.
fn fill(data: &Path, meters: u16, days: i64) {
    std::fs::create_dir_all(data).unwrap();
    let mut opened = log::open(&data.join("collector.log"), Bounds::default()).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = i64::try_from(now.unwrap().as_secs()).unwrap();
    let begin = now - now % 900 - days * 86_400 + 3_600;
    let (saps, _) = opaque::saps(meters);
    for sap in saps {
        let name: LogicalDeviceName = opaque::name(sap).parse().unwrap();
        let records = days::records(&name, i64::from(sap), begin, days);
        opened.log.append(&records).unwrap();
    }
}

/// The last day of every meter, in both modes.
fn profiles(count: u16) {
    let folder = tempfile::tempdir().unwrap();
    eprintln!("day profiles of {count} meters: starting them");
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let program = |words: &[&str]| {
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_gridward"))
            .args(words)
            .stdout(std::process::Stdio::null())
            .status();
        assert!(done.unwrap().success(), "{words:?}");
    };
    let number = count.to_string();
    program(&["keys", "generate", "--count", &number, &at("keys.toml")]);
    program(&["keys", "collector", &at("keys.toml"), &at("collector.toml")]);
    program(&["keys", "generate", "--first", "900001", &at("own.toml")]);
    let text = std::fs::read_to_string(at("own.toml")).unwrap();
    std::fs::write(at("own.toml"), text.replace("GWD0000000900001", NAME)).unwrap();
    let mut meters = Role::start(&[
        "meter",
        "--listen",
        "tcp://127.0.0.1:0",
        "--count",
        &number,
        "--history",
        "2",
        "--keys",
        &at("keys.toml"),
        "--steady",
    ]);
    let lines: Vec<_> = (0..count).map(|_| meters.line()).collect();
    let endpoint = lines[0]["endpoint"].as_str().unwrap();
    let last = lines.iter().filter_map(|it| it["server"].as_u64()).max();
    let segment = format!(
        "[[concentrator.segment.meter]]\nendpoint = \"{endpoint}\"\nservers = \"1-{}\"\n",
        last.unwrap()
    );
    println!("| day profiles of {count} meters on IP | took | processor time of a meter-day |");
    println!("|---|---|---|");
    let own = format!("keys = \"{}\"\n", at("own.toml"));
    let concentrator = Concentrator::start(folder.path(), &own, &segment);
    let saps = concentrator.registered(usize::from(count));
    eprintln!("  read through it");
    let (joined, begun) = (processor_us(&concentrator.role), Instant::now());
    direct::read_all(&concentrator.url, &at("keys.toml"), &saps);
    let spent = processor_us(&concentrator.role) - joined;
    told("read through it, 64 at once", begun, spent, count);
    concentrator.role.stop();
    // The same again, with meters that it knows: nobody joins anew.
    let collect = format!(
        "{own}[concentrator.collect]\nkeys = \"{}\"\nall = true\nevery_s = 60\nbackfill_days = 1\n\
         profiles = [\"1-0:99.1.0\"]\nat_once = 64\n",
        at("collector.toml")
    );
    eprintln!("  read by itself");
    let begun = Instant::now();
    let concentrator = Concentrator::start(folder.path(), &collect, &segment);
    direct::until_collected(&concentrator.status, usize::from(count));
    let spent = processor_us(&concentrator.role);
    told(
        "read by itself, each once a minute, from its start",
        begun,
        spent,
        count,
    );
    concentrator.role.stop();
    meters.stop();
}

fn told(what: &str, begun: Instant, spent_us: u64, count: u16) {
    println!(
        "| {what} | {:.1} s | {:.0} µs |",
        begun.elapsed().as_secs_f64(),
        spent_us as f64 / f64::from(count)
    );
}
