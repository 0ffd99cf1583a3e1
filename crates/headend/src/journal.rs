//! What the journals of orders and of drills have in common.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::store::{Pending, StoreError};

/// The waits before an end is written once more where that failed: the first, and the longest to
/// which it doubles.
const WRITE_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Writes down what became of `number`, again and again until the store takes it: as long as it is
/// open, it stands in the way of others. Where the head end is stopped before, or is gone, the next
/// start tells that nothing is known of it.
pub(crate) async fn write_end(
    what: &str,
    number: i64,
    mut close: impl FnMut() -> Pending<()>,
    mut stop: watch::Receiver<bool>,
) {
    let (mut pause, longest) = WRITE_AGAIN;
    loop {
        // Who is gone without a word will not say it any more.
        let stopping = *stop.borrow() || stop.has_changed().is_err();
        let Err(error) = close().await else {
            return;
        };
        tracing::error!(%error, number, what, "what became of it is not written");
        if stopping || matches!(error, StoreError::Closed) {
            return;
        }
        tokio::select! {
            // Once more before the end.
            _ = stop.wait_for(|stop| *stop) => {}
            () = sleep(pause) => pause = (pause * 2).min(longest),
        }
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement, in virtual time.
    use std::cell::Cell;

    use super::*;

    /// Tries so often that the store refuses `full` times, and tells how often.
    async fn tries(full: usize, stop: watch::Receiver<bool>) -> usize {
        let tries = Cell::new(0);
        let close = || -> Pending<()> {
            tries.set(tries.get() + 1);
            assert!(tries.get() <= 100, "as fast as it goes");
            let is_full = tries.get() <= full;
            Box::pin(async move {
                let taken = (!is_full).then_some(());
                taken.ok_or(StoreError::DamagedValue("test"))
            })
        };
        write_end("test", 1, close, stop).await;
        tries.get()
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_is_written_until_it_is_taken_or_there_is_no_head_end() {
        let (stop, stopped) = watch::channel(false);
        assert_eq!(tries(7, stopped.clone()).await, 8);
        // One that is dropped never says that it stops.
        let gone = watch::channel(false).1;
        assert_eq!(tries(usize::MAX, gone).await, 1);
        stop.send_replace(true);
        assert_eq!(tries(usize::MAX, stopped).await, 1);
        // Once more, where it stops meanwhile.
        let (stop, stopped) = watch::channel(false);
        let (tries, ()) = tokio::join!(tries(usize::MAX, stopped), async {
            sleep(WRITE_AGAIN.0 / 2).await;
            stop.send_replace(true);
        });
        assert_eq!(tries, 2);
    }
}
