//! The home gateway as a process of its own, on the same machine as its clients.
//!
//! `cargo bench -p gridward --bench homegate [-- KILLS]`
//!
//! A P1 port is played that tells twice a second, twice as often as any meter does. First memory
//! and processor at rest, over half a minute with one page that asks each second; then current
//! values asked for by four clients, each on a connection that stays open, Basic authentication
//! with each request; then KILLS (100) times SIGKILL, and how long until it tells a value again.
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

#[path = "../../tests/it/homegate/played.rs"]
mod played;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use played::{Gateway, port};

const REST: Duration = Duration::from_secs(30);
const FLOOD: Duration = Duration::from_secs(10);
const CLIENTS: usize = 4;

/// What may be resident, in octets; the other goals are of time, and printed.
const MEMORY_MAX: f64 = 15e6;
const CURRENT: &str =
    "/espi/1_1/resource/Subscription/1/UsagePoint/1/MeterReading/1/IntervalBlock/1";

fn main() {
    let kills: u32 = std::env::args()
        .find_map(|word| word.parse().ok())
        .unwrap_or(100);
    let folder = tempfile::tempdir().unwrap();
    let source = format!("p1+tcp://127.0.0.1:{}", port());
    let mut gateway = Gateway::start(&source, folder.path(), None);
    gateway.until(|state| !state["power"].is_null());
    let process = gateway.child.id();

    let start = memory(process, "VmHWM");
    println!("start: {:.1} MB at most", start / 1e6);

    let mut stream = gateway.connect();
    let (begin, before) = (Instant::now(), processor(process));
    while begin.elapsed() < REST {
        assert_eq!(gateway.ask(&mut stream, "/api/v1/state").0, 200);
        thread::sleep(Duration::from_secs(1));
    }
    let spent = processor(process) - before;
    let rest = memory(process, "VmRSS");
    println!(
        "at rest: {:.1} MB resident, {:.2} % of a core (goal: under 1 %)",
        rest / 1e6,
        spent / begin.elapsed().as_secs_f64() * 100.0
    );

    forget_most(process);
    let count = AtomicU64::new(0);
    let (begin, before) = (Instant::now(), processor(process));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut stream = gateway.connect();
                while begin.elapsed() < FLOOD {
                    let (status, body) = gateway.ask(&mut stream, CURRENT);
                    assert!(status == 200 && body.contains("<espi:value>486<"), "{body}");
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let requests = count.load(Ordering::Relaxed) as f64;
    let seconds = begin.elapsed().as_secs_f64();
    let most = memory(process, "VmHWM");
    println!(
        "flood: {:.0} current values a second (goal: 5000), {:.0} µs of processor each, {:.1} MB at most",
        requests / seconds,
        (processor(process) - before) / requests * 1e6,
        most / 1e6
    );
    for octets in [start, rest, most] {
        assert!(octets < MEMORY_MAX, "more than 15 MB: {octets}");
    }

    let password = gateway.password.clone();
    let mut times = Vec::new();
    for _ in 0..kills {
        drop(gateway);
        let begin = Instant::now();
        gateway = Gateway::start(&source, folder.path(), Some(&password));
        gateway.until(|state| !state["power"].is_null());
        times.push(begin.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let Some(longest) = times.last() else { return };
    println!(
        "{kills} kills: a value again after {:.2} s at the median, {longest:.2} s at most",
        times[times.len() / 2]
    );
    assert!(*longest < 15.0, "too long");
}

/// Seconds of processor that a process has taken.
fn processor(process: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    // Hundredths of a second on every Linux that is in use.
    ticks / 100.0
}

/// Has the system count the most that is resident (VmHWM) anew from now on.
fn forget_most(process: u32) {
    std::fs::write(format!("/proc/{process}/clear_refs"), "5").unwrap();
}

/// A figure of /proc/PID/status, in octets.
fn memory(process: u32, name: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024.0
}
