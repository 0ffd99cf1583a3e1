//! What processes that run until they are told to stop have in common.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::failure::Failure;

/// Runs a role on all processors.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("the runtime does not start: {error}")))?;
    let outcome = runtime.block_on(work);
    // A thread that waits for standard input would never end.
    runtime.shutdown_background();
    outcome
}

/// Runs a role on one thread: one that shall be small.
pub(crate) fn block_on_one<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_MAX)
        .build()
        .map_err(|error| Failure::new(format!("the runtime does not start: {error}")))?;
    let outcome = runtime.block_on(work);
    // A thread that waits for standard input would never end.
    runtime.shutdown_background();
    outcome
}

/// How long a role takes to be under way.
const SETTLING: Duration = Duration::from_secs(2);

/// The longest that what a small role no longer uses is kept.
const KEPT_MOST: Duration = Duration::from_secs(60);

/// Keeps the role on this runtime small, which has one thread: gives back what
/// the first words to all alone needed, then, at first often, what was not used
/// since, until the runtime ends.
pub(crate) fn stay_small() {
    tokio::spawn(async {
        let mut kept = SETTLING;
        loop {
            tokio::time::sleep(kept).await;
            give_back("what was used so far");
            kept = (kept * 2).min(KEPT_MOST);
        }
    });
}

/// Gives back program text and constants that only this part of the work
/// needed, and what it freed: on a small box the start's are half of what would
/// be resident.
pub(crate) fn give_back(part: &str) {
    sys::release_heap();
    let octets = sys::release_text();
    tracing::debug!(octets, part, "text that is not needed now is given back");
}

/// Threads of such a role for work that waits for the disk.
const BLOCKING_MAX: usize = 4;

/// Told when the process shall stop.
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Waits until the process shall stop.
    pub(crate) async fn wait(&self) {
        let mut told = self.0.clone();
        // The sender lives as long as the process.
        drop(told.wait_for(|told| *told).await);
        if !*told.borrow() {
            std::future::pending::<()>().await;
        }
    }
}

/// Listens for SIGTERM and SIGINT, and where it is asked for to the end of
/// standard input: a supervisor that ends, however it ends, closes that.
pub(crate) fn stopped(at_end_of_input: bool) -> Result<Stop, Failure> {
    let (sender, receiver) = watch::channel(false);
    let cannot = |error| Failure::new(format!("signals cannot be heard: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    if at_end_of_input {
        let sender = sender.clone();
        let wait = move || {
            use std::io::Read as _;
            let mut octets = [0; 64];
            while std::io::stdin()
                .read(&mut octets)
                .is_ok_and(|count| count > 0)
            {}
            sender.send_replace(true);
        };
        std::thread::Builder::new()
            .name("end-of-input".to_owned())
            .spawn(wait)
            .map_err(cannot)?;
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        sender.send_replace(true);
    });
    Ok(Stop(receiver))
}
