//! The activity that reads the meter: it drives the [`poller`](crate::poller)
//! and puts what the meter tells into the cache. It has no way to learn what
//! anybody asks for.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use link::Clock;
use model::Timestamp;
use tokio::sync::watch;

use crate::poller::{Config, Input, Output, Poller};
use crate::shared::Shared;
use crate::source::{Event, Source};

/// What a busy machine may hold one poll back more than the next: they leave
/// so much farther apart.
const JITTER: Duration = Duration::from_millis(100);

/// How a meter is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Time between polls.
    pub interval: Duration,
    /// The place's offset from UTC without daylight saving, for meters that
    /// tell local time.
    pub standard_offset_minutes: Option<i16>,
}

/// Reads until `stop` says so.
pub async fn run(
    mut source: impl Source,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    manner: Manner,
    memory: PollMemory,
    mut stop: watch::Receiver<bool>,
) {
    let time_of_day = || Timestamp::from_millis(clock.unix_millis());
    let polled = source.is_polled();
    let config = Config {
        interval: manner.interval + JITTER,
        ..Config::default()
    };
    let mut poller = Poller::new(config, memory.since(), clock.now());
    // The first open costs nothing, and is what a machine waits for.
    poller.handle(Input::Elapsed, clock.now());
    loop {
        let mut due = None;
        while polled && due.is_none() {
            match poller.poll() {
                Output::Connect => source.connect(),
                Output::Disconnect => {
                    source.disconnect();
                    shared.closed("The meter did not answer.", time_of_day());
                }
                Output::Ask { number } => {
                    memory.keep();
                    source.ask(number);
                    // A machine that is busy may have held this one back.
                    poller.left(clock.now());
                }
                Output::Timeout(at) => due = Some(at),
            }
        }
        let counts = poller.counts();
        shared.counted(counts.polls, counts.lost, counts.late);
        let wait = due.map(|due| due.since(clock.now()));
        let input = tokio::select! {
            event = source.next() => match event {
                None => {
                    shared.closed("Reading has ended. Start the gateway again.", time_of_day());
                    return;
                }
                Some(Event::Connected) => {
                    shared.opened(time_of_day());
                    Some(Input::Connected)
                }
                Some(Event::Disconnected(reason)) => {
                    tracing::info!(reason, "the way to the meter is closed");
                    shared.closed(&reason, time_of_day());
                    Some(Input::Disconnected)
                }
                Some(Event::Report(report)) => {
                    shared.unread(source.unread());
                    shared.take(&report, time_of_day(), manner.standard_offset_minutes);
                    None
                }
                Some(Event::Answered { number }) => Some(Input::Answered { number }),
            },
            () = wait_for(wait) => Some(Input::Elapsed),
            _ = stop.changed() => return,
        };
        if let Some(input) = input.filter(|_| polled) {
            poller.handle(input, clock.now());
        }
    }
}

async fn wait_for(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// When the last poll left, kept across restarts of the process by the clock
/// that runs since the machine started, which nobody sets. After a restart of
/// the machine nothing is known, and the first poll waits.
#[derive(Debug)]
pub struct PollMemory {
    path: PathBuf,
    boot: Option<String>,
}

/// A poll is kept before it leaves: on a busy machine it may have waited for so
/// long before it was on the line, and the next one, after a kill, waits for
/// none. With what the system's clock since its start resolves, twice.
const UNDER_WAY: Duration = Duration::from_millis(1_000);

impl PollMemory {
    /// Keeps it in a file of `folder`.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            path: folder.join("last-poll"),
            boot: boot_id(),
        }
    }

    /// Tells how long ago the last poll left; nothing where that is not known.
    #[must_use]
    pub fn since(&self) -> Option<Duration> {
        let told = fs::read_to_string(&self.path).ok()?;
        let since = since(&told, self.boot.as_deref()?, uptime()?)?;
        // What cannot be written anew may be from long before the last poll.
        fs::write(&self.path, &told).ok()?;
        Some(since)
    }

    /// Keeps that a poll leaves now.
    fn keep(&self) {
        let (Some(boot), Some(uptime)) = (&self.boot, uptime()) else {
            return;
        };
        let text = format!("{boot} {}\n", uptime.as_millis());
        if let Err(error) = fs::write(&self.path, text) {
            tracing::warn!(%error, "the time of the last poll is not kept");
        }
    }
}

/// Time since the poll that was kept as `told`, `uptime` after the start of the
/// machine that is told by `boot`.
fn since(told: &str, boot: &str, uptime: Duration) -> Option<Duration> {
    let (own, then) = told.trim().split_once(' ')?;
    if own != boot {
        return None;
    }
    let then = Duration::from_millis(then.parse().ok()?);
    uptime.checked_sub(then)?.checked_sub(UNDER_WAY)
}

/// What tells one run of the machine from the next.
pub(crate) fn boot_id() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    boot.map(|boot| boot.trim().to_owned())
}

fn uptime() -> Option<Duration> {
    let told = fs::read_to_string("/proc/uptime").ok()?;
    let (seconds, rest) = told.split_once('.')?;
    let hundredths = rest.get(..2)?;
    let millis = seconds.parse::<u64>().ok()?.checked_mul(1_000)?;
    Some(Duration::from_millis(
        millis.checked_add(hundredths.parse::<u64>().ok()? * 10)?,
    ))
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement, and the system's word on its own start.

    use super::*;

    #[test]
    fn a_poll_is_known_in_the_same_run_of_the_machine_alone() {
        let at = Duration::from_millis;
        assert_eq!(since("a 5000\n", "a", at(9_500)), Some(at(3_500)));
        // Another run, before the poll, still on its way, and no such text.
        assert_eq!(since("a 5000\n", "b", at(9_500)), None);
        assert_eq!(since("a 5000\n", "a", at(4_000)), None);
        assert_eq!(since("a 5000\n", "a", at(5_900)), None);
        for odd in ["", "a", "a b", "a -1", "a 99999999999999999999999"] {
            assert_eq!(since(odd, "a", at(9_500)), None, "{odd:?}");
        }
    }

    #[test]
    fn what_was_kept_is_told_to_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let memory = PollMemory::new(folder.path());
        assert_eq!(memory.since(), None, "nothing is kept yet");
        let before = uptime().unwrap();
        memory.keep();
        // As long ago as it takes until a poll is not under way any more.
        let told = fs::read_to_string(folder.path().join("last-poll")).unwrap();
        let (boot, then) = told.trim().split_once(' ').unwrap();
        let then: u64 = then.parse().unwrap();
        assert!(u128::from(then) >= before.as_millis(), "{told} {before:?}");
        assert!(u128::from(then) <= uptime().unwrap().as_millis(), "{told}");
        let earlier = then.saturating_sub(3_000);
        fs::write(
            folder.path().join("last-poll"),
            format!("{boot} {earlier}\n"),
        )
        .unwrap();
        let since = PollMemory::new(folder.path()).since().unwrap();
        assert!(since >= Duration::from_millis(2_000), "{since:?}");
        let most = uptime().unwrap() - Duration::from_millis(earlier);
        assert!(since <= most - UNDER_WAY, "{since:?} of {most:?}");
        // In another run of the machine nothing is known.
        let other = format!("another {earlier}\n");
        fs::write(folder.path().join("last-poll"), other).unwrap();
        assert_eq!(PollMemory::new(folder.path()).since(), None);
    }

    #[test]
    fn what_cannot_be_kept_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        // A folder where the file should be can be neither read nor written.
        fs::create_dir(folder.path().join("last-poll")).unwrap();
        let memory = PollMemory::new(folder.path());
        memory.keep();
        assert_eq!(memory.since(), None);
    }
}
