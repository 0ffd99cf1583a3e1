//! Figures of what arrived.

use model::MessageClass;

use super::run::Played;
use super::trace::millis;

/// Latencies in milliseconds, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Latencies(pub(super) Vec<f64>);

impl Latencies {
    /// Those of some classes.
    pub(super) fn of(played: &Played, classes: &[MessageClass]) -> Self {
        let chosen = played
            .arrivals
            .iter()
            .filter(|arrival| classes.contains(&arrival.class));
        let mut all: Vec<f64> = chosen.map(|arrival| arrival.latency()).collect();
        all.sort_by(f64::total_cmp);
        Self(all)
    }

    /// The least that `per_cent` of all do not exceed.
    pub(super) fn percentile(&self, per_cent: usize) -> Option<f64> {
        let rank = (self.0.len() * per_cent).div_ceil(100);
        self.0.get(rank.max(1) - 1).copied()
    }

    pub(super) fn most(&self) -> Option<f64> {
        self.0.last().copied()
    }

    pub(super) fn mean(&self) -> Option<f64> {
        let count = u32::try_from(self.0.len())
            .ok()
            .filter(|count| *count > 0)?;
        Some(self.0.iter().sum::<f64>() / f64::from(count))
    }

    /// Per cent that took longer.
    pub(super) fn later_than(&self, limit: f64) -> Option<f64> {
        let late = self.0.iter().filter(|latency| **latency > limit).count();
        let (late, all) = (u32::try_from(late).ok()?, u32::try_from(self.0.len()).ok()?);
        (all > 0).then(|| f64::from(late) * 100.0 / f64::from(all))
    }
}

/// The longest pause between two deliveries of some classes, in milliseconds.
pub(super) fn longest_pause(played: &Played, classes: &[MessageClass]) -> Option<f64> {
    let mut times: Vec<u64> = played
        .arrivals
        .iter()
        .filter(|arrival| classes.contains(&arrival.class))
        .map(|arrival| arrival.arrived)
        .collect();
    times.sort_unstable();
    let pauses = times.windows(2).map(|pair| match pair {
        [one, next] => next - one,
        _ => 0,
    });
    pauses.max().map(millis)
}

#[cfg(test)]
mod tests {
    //! Evidence: figures computed by hand.
    use super::super::trace::Arrival;
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let latencies = Latencies((1..=200_i32).map(f64::from).collect());
        assert_eq!(latencies.percentile(50), Some(100.0));
        assert_eq!(latencies.percentile(99), Some(198.0));
        assert_eq!(latencies.percentile(100), Some(200.0));
        assert_eq!(latencies.later_than(190.0), Some(5.0));
        assert_eq!(latencies.mean(), Some(100.5));
        assert_eq!(Latencies::default().percentile(50), None);
        assert_eq!(Latencies::default().mean(), None);
        assert_eq!(Latencies::default().later_than(1.0), None);
    }

    #[test]
    fn pauses_loss_and_doubles_are_counted() {
        let one = |number, arrived| Arrival {
            number,
            class: MessageClass::Control,
            due: 0,
            arrived,
        };
        let played = Played {
            sent: 4,
            arrivals: vec![one(0, 1_000), one(2, 9_000), one(1, 9_500), one(2, 9_600)],
            ..Played::default()
        };
        assert_eq!(longest_pause(&played, &MessageClass::ALL), Some(8.0));
        assert_eq!(longest_pause(&played, &[MessageClass::Usage]), None);
        // One behind a later one, and one twice.
        assert_eq!(played.faults(), (1, 2));
    }
}
