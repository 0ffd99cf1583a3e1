//! The recorded household load: one power a minute, repeated every 28 days.

use std::sync::OnceLock;

use crate::varint::{take_i64, take_u64};

/// Minutes in the recording: four weeks, so that weekdays keep their place when it repeats.
const MINUTES: usize = 28 * 24 * 60;

/// The recording; `data/README.md` names its origin and form.
const RECORDING: &[u8] = include_bytes!("../../data/household_28d.bin");

/// A load curve of 28 days with its running integral, so that the energy up to any second costs
/// one look-up.
pub(super) struct Curve {
    watts: Vec<u16>,
    /// Watt-minutes before each minute, and the total behind the last.
    before: Vec<u64>,
}

impl Curve {
    /// Returns the compiled-in recording, unpacked once in a process.
    pub(super) fn recorded() -> &'static Self {
        static CURVE: OnceLock<Curve> = OnceLock::new();
        CURVE.get_or_init(|| Self::unpack(RECORDING))
    }

    fn unpack(mut packed: &[u8]) -> Self {
        let mut watts = Vec::with_capacity(MINUTES);
        let mut level = 0_i64;
        while watts.len() < MINUTES {
            let (Some(run), Some(step)) = (take_u64(&mut packed), take_i64(&mut packed)) else {
                break;
            };
            level += step;
            let value = u16::try_from(level.max(0)).unwrap_or(u16::MAX);
            let left = MINUTES - watts.len();
            let run = usize::try_from(run).unwrap_or(left).min(left);
            watts.resize(watts.len() + run, value);
        }
        watts.resize(MINUTES, 0);
        let mut before = Vec::with_capacity(MINUTES + 1);
        let mut sum = 0;
        for value in &watts {
            before.push(sum);
            sum += u64::from(*value);
        }
        before.push(sum);
        Self { watts, before }
    }

    /// Returns the power in watts at a second since the curve's origin.
    pub(super) fn watts(&self, second: u64) -> u16 {
        let minute = usize::try_from(second / 60 % MINUTES as u64).unwrap_or(0);
        self.watts.get(minute).copied().unwrap_or(0)
    }

    /// Returns the watt-seconds from the origin to `second`.
    pub(super) fn watt_seconds(&self, second: u64) -> u64 {
        let minutes = second / 60;
        let cycles = minutes / MINUTES as u64;
        let minute = usize::try_from(minutes % MINUTES as u64).unwrap_or(0);
        let cycle = self.before.last().copied().unwrap_or(0);
        let whole = cycles * cycle + self.before.get(minute).copied().unwrap_or(0);
        whole * 60 + u64::from(self.watts(second)) * (second % 60)
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: the totals of the recording, taken from the file it was packed from.
    use super::*;

    #[test]
    fn the_recording_has_its_totals() {
        let curve = Curve::recorded();
        assert_eq!(curve.watts.len(), MINUTES);
        assert_eq!(curve.watts.iter().min(), Some(&35));
        assert_eq!(curve.watts.iter().max(), Some(&6_761));
        // 299.479 kWh in 28 days.
        let total = curve.watt_seconds(MINUTES as u64 * 60);
        assert_eq!(total / 3_600, 299_479);
    }

    #[test]
    fn energy_is_the_sum_of_power() {
        let curve = Curve::recorded();
        let start = 5 * 86_400 + 17;
        let mut sum = curve.watt_seconds(start);
        for second in start..start + 10_000 {
            assert_eq!(curve.watt_seconds(second), sum);
            sum += u64::from(curve.watts(second));
        }
    }

    #[test]
    fn the_recording_repeats() {
        let curve = Curve::recorded();
        let cycle = MINUTES as u64 * 60;
        assert_eq!(curve.watts(cycle + 4_711), curve.watts(4_711));
        assert_eq!(
            curve.watt_seconds(3 * cycle + 4_711) - curve.watt_seconds(4_711),
            3 * curve.watt_seconds(cycle)
        );
    }
}
