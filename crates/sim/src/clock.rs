//! The clock of a simulation.

use dlms::Instant;
use link::Clock;

/// A clock that starts at a time of day of the caller's choice and goes as
/// tokio's does.
#[derive(Clone, Copy, Debug)]
pub struct SimClock {
    origin: tokio::time::Instant,
    unix_seconds: i64,
}

impl SimClock {
    /// Starts a clock at `unix_seconds` since 1970-01-01T00:00:00Z.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "tokio's clock is the simulation's: paused, it is virtual time"
    )]
    pub fn starting_at(unix_seconds: i64) -> Self {
        Self {
            origin: tokio::time::Instant::now(),
            unix_seconds,
        }
    }

    fn elapsed_micros(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Clock for SimClock {
    fn now(&self) -> Instant {
        Instant::from_micros(self.elapsed_micros())
    }

    fn unix_seconds(&self) -> i64 {
        self.unix_millis().div_euclid(1_000)
    }

    fn unix_millis(&self) -> i64 {
        let elapsed = i64::try_from(self.elapsed_micros() / 1_000).unwrap_or(i64::MAX);
        let start = self.unix_seconds.saturating_mul(1_000);
        start.saturating_add(elapsed)
    }
}
