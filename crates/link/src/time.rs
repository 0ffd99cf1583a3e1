//! The clock that the shells hand to the machines.

use core::pin::Pin;
use core::task::{Context, Poll};

use dlms::Instant;
use tokio::time::Sleep;

/// A monotonic clock and the time of day.
pub trait Clock: Send + Sync {
    /// Tells the time on the monotonic clock.
    fn now(&self) -> Instant;

    /// Tells the time of day in seconds since 1970-01-01T00:00:00Z.
    fn unix_seconds(&self) -> i64;

    /// Tells the time of day in milliseconds since 1970-01-01T00:00:00Z.
    fn unix_millis(&self) -> i64 {
        self.unix_seconds().saturating_mul(1_000)
    }
}

/// The system's clock, as tokio sees it: a paused runtime pauses it too.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: tokio::time::Instant,
}

impl SystemClock {
    /// Starts a clock whose origin is now.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the clock comes in"
    )]
    pub fn new() -> Self {
        Self {
            origin: tokio::time::Instant::now(),
        }
    }

    /// Turns a point on this clock into one that tokio's timers take.
    #[must_use]
    pub fn deadline(&self, at: Instant) -> tokio::time::Instant {
        self.origin + core::time::Duration::from_micros(at.as_micros())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn unix_seconds(&self) -> i64 {
        self.unix_millis().div_euclid(1_000)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the clock comes in"
    )]
    fn unix_millis(&self) -> i64 {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| {
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            })
    }
}

/// The timer of a machine: one allocation, set anew with each deadline.
#[derive(Debug, Default)]
pub(crate) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Waits for a machine's deadline; gives the time to hand to the machine,
    /// which is never before the deadline.
    pub(crate) fn poll(
        &mut self,
        deadline: Option<Instant>,
        clock: &dyn Clock,
        cx: &mut Context<'_>,
    ) -> Poll<Instant> {
        let Some(deadline) = deadline else {
            return Poll::Pending;
        };
        let left = deadline.since(clock.now());
        // A timer that is set to now is over only later, and would be set
        // again then.
        if !left.is_zero() {
            let timer = self
                .0
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(left)));
            #[expect(
                clippy::disallowed_methods,
                reason = "a timer of tokio's is set by its clock"
            )]
            timer.as_mut().reset(tokio::time::Instant::now() + left);
            core::task::ready!(timer.as_mut().poll(cx));
        }
        Poll::Ready(clock.now().max(deadline))
    }
}
