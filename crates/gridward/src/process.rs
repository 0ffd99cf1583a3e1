//! What the long-running commands have in common: a runtime, an end, a clock.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use link::{Clock, Surroundings, SystemClock, SystemEntropy};
use model::Timestamp;
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::Outcome;
use crate::failure::Failure;

/// Runs a future on a runtime of its own.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("no threads can be started: {error}")))?
        .block_on(future)
}

/// Waits until this process is asked to end: by SIGTERM, by SIGINT, or, where
/// a parent holds standard input, by its end.
pub(crate) async fn asked_to_end(with_input: bool) -> Outcome {
    let listen = |kind| {
        signal(kind)
            .map_err(|error| Failure::new(format!("signals cannot be listened for: {error}")))
    };
    let (mut terminate, mut interrupt) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    let input_ends = async {
        if with_input {
            let mut rest = [0; 64];
            let mut input = tokio::io::stdin();
            while matches!(input.read(&mut rest).await, Ok(count) if count > 0) {}
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = input_ends => {}
    }
    Ok(())
}

/// The system's clock and entropy.
pub(crate) fn surroundings() -> Surroundings {
    Surroundings {
        clock: Arc::new(SystemClock::new()),
        entropy: Arc::new(SystemEntropy),
    }
}

/// The time of day for the head end.
pub(crate) struct WallClock(pub(crate) Arc<dyn Clock>);

impl std::fmt::Debug for WallClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WallClock")
    }
}

impl ::headend::Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.unix_millis())
    }
}

/// The folder in which a command keeps what has to last, where none was named.
pub(crate) fn state_folder(command: &str) -> Result<PathBuf, Failure> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let base = set("XDG_STATE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/state")))
        .ok_or_else(|| {
            Failure::new("there is no home folder to keep data in").hint("name one with --data DIR")
        })?;
    Ok(base.join("gridward").join(command))
}

/// Makes a folder that its owner alone may look into.
pub(crate) fn make_private_folder(folder: &std::path::Path) -> Outcome {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| Failure::new(format!("{} cannot be made: {error}", folder.display())))
}
