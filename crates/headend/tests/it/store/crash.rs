//! Evidence: a process that ingests is killed without warning, again and again; what it was told
//! is durable is there afterwards.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use headend::store::{CounterKey, LOAD_PROFILE, SqliteOptions, SqliteStore, Store, StoreError};
use model::MeterId;

use crate::support::{MIDNIGHT, NOON, Site, rows, sweep, wait, zurich};

const FOLDER: &str = "GRIDWARD_CRASH_TEST_FOLDER";
const ROUNDS: usize = 4;
const LINES: usize = 60;

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let site = Site::new();
    let meter = site.enrol(1);
    let Site { folder, store } = site;
    drop(store);
    let mut acknowledged: Vec<i64> = Vec::new();
    let mut reserved = 0;
    for _ in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::crash::child", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        for line in lines.map_while(Result::ok) {
            let mut words = line
                .split(' ')
                .skip_while(|word| *word != "DURABLE")
                .skip(1);
            let Some(start) = words.next() else { continue };
            let counter: u32 = words.next().unwrap().parse().unwrap();
            acknowledged.push(start.parse().unwrap());
            assert!(counter > reserved, "{counter} was reserved before");
            reserved = counter;
            seen += 1;
            if seen == LINES {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(
            seen >= LINES,
            "the child ended by itself after {seen} lines"
        );
    }

    let store = open(folder.path());
    for start in &acknowledged {
        let slices = store
            .rows(meter, LOAD_PROFILE, *start..start + 86_400)
            .unwrap();
        assert_eq!(slices[0].rows, rows(*start, 96), "the day at {start}");
    }
    let key = CounterKey { meter, client: 1 };
    assert!(store.counter(key).unwrap() >= reserved);
    let days = store.day_counts(zurich().day_of(0)).unwrap();
    let received: u32 = days.iter().map(|count| count.received).sum();
    assert!(received as usize >= 96 * acknowledged.len());
    assert_eq!(received % 96, 0, "a sweep is stored whole or not at all");
}

/// Runs in a process of its own: ingests days without end and says which are durable.
#[test]
#[ignore = "is the child process of the test above"]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let store = open(folder.as_ref());
    let meter = MeterId::new(1).unwrap();
    let days = store.day_counts(zurich().day_of(0)).unwrap();
    let done = days.len();
    let mut start = MIDNIGHT - i64::try_from(done + 1).unwrap() * 86_400;
    let key = CounterKey { meter, client: 1 };
    loop {
        let (stored, block) = wait(async {
            tokio::join!(
                store.ingest(sweep(meter, NOON, rows(start, 96))),
                store.reserve_counters(key, 100, 0),
            )
        });
        stored.unwrap();
        println!("DURABLE {start} {}", block.unwrap().end);
        start -= 86_400;
    }
}

fn open(folder: &std::path::Path) -> SqliteStore {
    let utc = headend::Calendar::new("Europe/Zurich").unwrap();
    let options = SqliteOptions::new(folder, utc);
    loop {
        match SqliteStore::open(&options) {
            Err(StoreError::InUse) => std::thread::yield_now(),
            other => return other.unwrap(),
        }
    }
}
