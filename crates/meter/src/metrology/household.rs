//! A household drawn from a seed: parts of the recorded load, noise, and on some roofs the sun.
//!
//! Every part has an integral in closed form, so that an energy register of any meter at any
//! time costs a few look-ups, and power and energy agree exactly. The noise is antithetic: time
//! is cut into pairs of halves, what a random draw adds to one half it takes from the other, so
//! each pair holds the same energy.

use model::Timestamp;

use super::curve::Curve;
use super::{Energy, Load, Mains, Source, draw};

/// 2018-01-01T00:00:00+01:00, a Monday: day 0 of the curves, and before any register moves.
const ORIGIN_S: i64 = 1_514_761_200;
const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 24 * HOUR_S;
const CYCLE_S: u64 = 28 * DAY_S;

/// How long a half of each pair of noise lasts, in seconds. Two halves divide an hour, so that
/// every tariff window, which starts and ends on the hour, holds whole pairs.
const NOISE_HALVES_S: [u64; 4] = [1_800, 300, 30, 5];

/// A household's consumption and, with some, a photovoltaic plant.
///
/// Import and export are registered by phase and then summed, as a meter that sums phases does:
/// the plant feeds L3, the household draws from the others.
#[derive(Clone, Debug)]
pub struct Household {
    seed: u64,
    three_phase: bool,
    /// Two stretches of the recording: shift in seconds and weight in thousandths.
    parts: [(u64, u64); 2],
    /// Mean power of each level of noise, in mW.
    noise_mw: [u64; 4],
    /// Peak of the plant in hundreds of watts; 0 where there is none.
    plant_hw: u64,
    /// Registers when the meter was installed, in mW·s.
    base: Energy,
    /// Energy drawn in rate 2 before each day of a cycle and in the whole of it: the same in
    /// every cycle, since each window holds whole pairs of noise.
    drawn_2: Box<[u64; 29]>,
}

impl Household {
    /// Draws a household; the same arguments give the same household for ever.
    pub fn from_seed(seed: u64, three_phase: bool) -> Self {
        let pick = |what: u64, from: u64, to: u64| from + draw(seed, what, 0) % (to - from + 1);
        // Whole days and up to an hour either way, so that nights stay nights.
        let shift = |what| {
            let days = pick(what, 0, 27) * DAY_S;
            (CYCLE_S + days + pick(what + 1, 0, 7_200) - 3_600) % CYCLE_S
        };
        let plant_hw = if three_phase && pick(10, 0, 3) == 0 {
            pick(11, 20, 90)
        } else {
            0
        };
        let wh = |kwh: u64| kwh * 1_000 * super::MWS_PER_WH;
        let mut household = Self {
            seed,
            three_phase,
            parts: [(shift(1), pick(3, 300, 900)), (shift(4), pick(6, 50, 500))],
            noise_mw: [
                pick(20, 5_000, 40_000),
                pick(21, 2_000, 20_000),
                pick(22, 1_000, 8_000),
                pick(23, 500, 3_000),
            ],
            plant_hw,
            base: Energy {
                import: [wh(pick(30, 10, 3_000)), wh(pick(31, 10, 3_000))],
                export: if plant_hw > 0 {
                    [wh(pick(32, 1, 300)), wh(pick(33, 5, 1_000))]
                } else {
                    [0; 2]
                },
            },
            drawn_2: Box::new([0; 29]),
        };
        let mut sum = 0;
        let mut drawn_2 = [0; 29];
        for (slot, day) in drawn_2.iter_mut().zip(0..) {
            *slot = sum;
            sum += household.drawn_2_of_day(day * DAY_S, DAY_S);
        }
        *household.drawn_2 = drawn_2;
        household
    }

    /// Says whether a plant feeds in.
    pub const fn has_plant(&self) -> bool {
        self.plant_hw > 0
    }

    /// Power drawn at `second` by the two parts and by the noise, in mW.
    fn draw_mw(&self, second: u64) -> [u64; 3] {
        let curve = Curve::recorded();
        let part = |(shift, weight): (u64, u64)| u64::from(curve.watts(second + shift)) * weight;
        let noise = NOISE_HALVES_S
            .iter()
            .zip(self.noise_mw)
            .zip(100..)
            .map(|((half, mean), level)| {
                let pair = second / (2 * half);
                let drawn = draw(self.seed, level, pair) % (2 * mean + 1);
                if second % (2 * half) < *half {
                    drawn
                } else {
                    2 * mean - drawn
                }
            })
            .sum();
        let [a, b] = self.parts;
        [part(a), part(b), noise]
    }

    /// Energy drawn from the origin to `second`, in mW·s.
    fn drawn_mws(&self, second: u64) -> u64 {
        let curve = Curve::recorded();
        let parts: u64 = self
            .parts
            .iter()
            .map(|(shift, weight)| {
                (curve.watt_seconds(second + shift) - curve.watt_seconds(*shift)) * weight
            })
            .sum();
        let noise: u64 = NOISE_HALVES_S
            .iter()
            .zip(self.noise_mw)
            .zip(100..)
            .map(|((half, mean), level)| {
                let pair = second / (2 * half);
                let within = second % (2 * half);
                let drawn = draw(self.seed, level, pair) % (2 * mean + 1);
                let first = within.min(*half) * drawn;
                let second = within.saturating_sub(*half) * (2 * mean - drawn);
                pair * 2 * half * mean + first + second
            })
            .sum();
        parts + noise
    }

    /// How clear day `day` is, in percent. Days that fall on the same side of the tariff are
    /// paired (Monday with Tuesday, Wednesday with Thursday, Saturday with Sunday, Friday with
    /// the next Friday) and each pair adds up to 120.
    fn clear_percent(&self, day: u64) -> u64 {
        let (week, weekday) = (day / 7, day % 7);
        let (pair, second) = match weekday {
            0 | 1 => (week * 4, weekday == 1),
            2 | 3 => (week * 4 + 1, weekday == 3),
            4 => (week / 2 * 8 + 2, week % 2 == 1),
            _ => (week * 4 + 3, weekday == 6),
        };
        let drawn = 20 + draw(self.seed, 200, pair) % 81;
        if second { 120 - drawn } else { drawn }
    }

    fn fed_mw(&self, second: u64) -> u64 {
        if self.plant_hw == 0 {
            return 0;
        }
        let day = second / DAY_S;
        self.plant_hw * sun_permille(second % DAY_S) * self.clear_percent(day)
    }

    fn fed_mws(&self, second: u64) -> u64 {
        if self.plant_hw == 0 {
            return 0;
        }
        let (cycles, second) = (second / CYCLE_S, second % CYCLE_S);
        let today = second / DAY_S;
        let clear: u64 = (0..today)
            .map(|day| self.clear_percent(cycles * 28 + day))
            .sum();
        // Each cycle holds 14 pairs of days.
        let whole = (cycles * 14 * 120 + clear) * sun_permille_seconds(DAY_S);
        let part = self.clear_percent(cycles * 28 + today) * sun_permille_seconds(second % DAY_S);
        self.plant_hw * (whole + part)
    }

    /// Returns the energy drawn in rate 2 from the start of the day at `start` to `within`
    /// seconds into it.
    fn drawn_2_of_day(&self, start: u64, within: u64) -> u64 {
        match rate_2_window(start / DAY_S, within) {
            Some((from, to)) => self.drawn_mws(start + to) - self.drawn_mws(start + from),
            None => 0,
        }
    }

    /// Returns the energy drawn in rate 2 from the origin to `second`.
    fn drawn_2_mws(&self, second: u64) -> u64 {
        let (cycles, within) = (second / CYCLE_S, second % CYCLE_S);
        let day = usize::try_from(within / DAY_S).unwrap_or(0);
        let before = self.drawn_2.get(day).copied().unwrap_or_default();
        let [.., cycle] = &*self.drawn_2;
        let part = self.drawn_2_of_day(second - second % DAY_S, second % DAY_S);
        cycles * cycle + before + part
    }

    /// Returns the energy fed in in rate 2 from the origin to `second`.
    fn fed_2_mws(&self, second: u64) -> u64 {
        if self.plant_hw == 0 {
            return 0;
        }
        let sun = |day: u64, within: u64| match rate_2_window(day, within) {
            Some((from, to)) => {
                let sun = sun_permille_seconds(to) - sun_permille_seconds(from);
                sun * self.clear_percent(day)
            }
            None => 0,
        };
        // Each cycle holds ten pairs of working days.
        let (cycles, today) = (second / CYCLE_S, second / DAY_S);
        let workday = sun_permille_seconds(23 * HOUR_S) - sun_permille_seconds(7 * HOUR_S);
        let days: u64 = (cycles * 28..today).map(|day| sun(day, DAY_S)).sum();
        let whole = cycles * 10 * 120 * workday + days;
        self.plant_hw * (whole + sun(today, second % DAY_S))
    }
}

impl Source for Household {
    fn energy(&self, at: Timestamp) -> Energy {
        let second = since_origin(at);
        let import_2 = self.drawn_2_mws(second);
        let export_2 = self.fed_2_mws(second);
        let import = self.drawn_mws(second);
        let export = self.fed_mws(second);
        Energy {
            import: [
                self.base.import[0] + import - import_2,
                self.base.import[1] + import_2,
            ],
            export: [
                self.base.export[0] + export - export_2,
                self.base.export[1] + export_2,
            ],
        }
    }

    fn load(&self, at: Timestamp) -> Load {
        let second = since_origin(at);
        if at.secs() < ORIGIN_S {
            return Load::default();
        }
        let [a, b, noise] = self.draw_mw(second);
        if !self.three_phase {
            return Load {
                import_mw: [a + b + noise, 0, 0],
                export_mw: [0; 3],
            };
        }
        if self.has_plant() {
            return Load {
                import_mw: [a, b + noise, 0],
                export_mw: [0, 0, self.fed_mw(second)],
            };
        }
        Load {
            import_mw: [a, b, noise],
            export_mw: [0; 3],
        }
    }

    fn mains(&self, at: Timestamp) -> Mains {
        let second = since_origin(at);
        let load = self.load(at);
        let phases = if self.three_phase { 3 } else { 1 };
        let mut voltage_dv = [0; 3];
        for (phase, voltage) in voltage_dv.iter_mut().enumerate().take(phases) {
            let phase = phase as u64;
            // 230 V, up to 3 V either way by the hour and 1 V by ten seconds, and a drop of
            // 0.1 V for each 100 W drawn.
            let slow = draw(self.seed, 300 + phase, second / HOUR_S) % 61;
            let fast = draw(self.seed, 310 + phase, second / 10) % 21;
            let drawn = load.import_mw.get(usize::try_from(phase).unwrap_or(0));
            let drop = drawn.copied().unwrap_or(0) / 100_000;
            let value = (2_300 - 40 + slow + fast).saturating_sub(drop.min(200));
            *voltage = u16::try_from(value).unwrap_or(u16::MAX);
        }
        Mains { voltage_dv }
    }
}

/// Returns the window of rate 2 in a day up to `within` seconds into it, in seconds.
const fn rate_2_window(day: u64, within: u64) -> Option<(u64, u64)> {
    let (from, to) = (7 * HOUR_S, 23 * HOUR_S);
    let to = if to < within { to } else { within };
    if day % 7 >= 5 || to <= from {
        return None;
    }
    Some((from, to))
}

fn since_origin(at: Timestamp) -> u64 {
    u64::try_from(at.secs() - ORIGIN_S).unwrap_or(0)
}

/// The sun stands over a plant from 6 to 18 o'clock, as a parabola of one value a minute.
fn sun_permille(second_of_day: u64) -> u64 {
    sun_minute(second_of_day / 60)
}

const SUN_RISE_MIN: u64 = 6 * 60;
const SUN_MINUTES: u64 = 12 * 60;

const fn sun_minute(minute_of_day: u64) -> u64 {
    if minute_of_day < SUN_RISE_MIN || minute_of_day >= SUN_RISE_MIN + SUN_MINUTES {
        return 0;
    }
    let x = minute_of_day - SUN_RISE_MIN;
    4_000 * x * (SUN_MINUTES - x) / (SUN_MINUTES * SUN_MINUTES)
}

/// The integral of [`sun_permille`] from midnight.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated when compiling: an index outside fails the build"
)]
fn sun_permille_seconds(second_of_day: u64) -> u64 {
    static BEFORE: [u64; 24 * 60 + 1] = {
        let mut before = [0; 24 * 60 + 1];
        let mut minute = 0;
        while minute < 24 * 60 {
            before[minute + 1] = before[minute] + sun_minute(minute as u64);
            minute += 1;
        }
        before
    };
    let minute = usize::try_from(second_of_day / 60).unwrap_or(0);
    let whole = BEFORE.get(minute).copied().unwrap_or(0) * 60;
    whole + sun_permille(second_of_day) * (second_of_day % 60)
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement: power against the differences of energy, second by second.
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_secs(ORIGIN_S + i64::try_from(second).unwrap())
    }

    #[test]
    fn every_second_of_energy_is_that_seconds_power() {
        for seed in 0..40 {
            let household = Household::from_seed(seed, seed % 3 != 0);
            // Around tariff changes, noon, the end of a week and of a cycle.
            for start in [
                7 * HOUR_S - 20,
                4 * DAY_S + 23 * HOUR_S - 20,
                12 * HOUR_S + 50,
                7 * DAY_S - 30,
                CYCLE_S - 30,
                57 * CYCLE_S + 40 * HOUR_S + 1_790,
            ] {
                let mut before = household.energy(at(start));
                for second in start..start + 60 {
                    let after = household.energy(at(second + 1));
                    let load = household.load(at(second));
                    let import: u64 = load.import_mw.iter().sum();
                    let export: u64 = load.export_mw.iter().sum();
                    assert_eq!(after.import_mws() - before.import_mws(), import);
                    assert_eq!(after.export_mws() - before.export_mws(), export);
                    // Only one rate runs.
                    let day = second / DAY_S % 7;
                    let hour = second / HOUR_S % 24;
                    let other = usize::from(!(day < 5 && (7..23).contains(&hour)));
                    assert_eq!(after.import[other], before.import[other], "{second}");
                    assert_eq!(after.export[other], before.export[other], "{second}");
                    before = after;
                }
            }
        }
    }

    #[test]
    fn the_shortcuts_to_rate_2_are_the_sum_of_its_windows() {
        for seed in 0..100 {
            let household = Household::from_seed(seed, true);
            let mut drawn = 0;
            let mut fed = 0;
            for day in 0..90 {
                let start = day * DAY_S;
                assert_eq!(household.drawn_2_mws(start), drawn);
                assert_eq!(household.fed_2_mws(start), fed);
                if day % 7 < 5 {
                    let (from, to) = (start + 7 * HOUR_S, start + 23 * HOUR_S);
                    drawn += household.drawn_mws(to) - household.drawn_mws(from);
                    fed += household.fed_mws(to) - household.fed_mws(from);
                }
            }
        }
        let household = Household::from_seed(5, true);
        let fed = household.fed_mws(CYCLE_S);
        assert_eq!(household.fed_mws(9 * CYCLE_S), 9 * fed);
    }

    #[test]
    fn a_neighbourhood_is_plausible() {
        let year = 365 * DAY_S;
        let mut plants = 0;
        for seed in 0..200 {
            let household = Household::from_seed(seed, true);
            let kwh = (household.drawn_mws(9 * year) - household.drawn_mws(8 * year))
                / super::super::MWS_PER_WH
                / 1_000;
            assert!((1_000..7_500).contains(&kwh), "{kwh} kWh a year");
            if household.has_plant() {
                plants += 1;
                let fed = household.fed_mws(year) / super::super::MWS_PER_WH / 1_000;
                assert!((2_000..20_000).contains(&fed), "{fed} kWh fed in a year");
            }
            let mains = household.mains(at(8 * year + seed * 5_003));
            for voltage in mains.voltage_dv {
                assert!((2_070..=2_530).contains(&voltage), "{voltage} dV");
            }
        }
        assert!((20..80).contains(&plants), "{plants} of 200 have a plant");
        assert_ne!(
            Household::from_seed(1, true).energy(at(year)),
            Household::from_seed(2, true).energy(at(year))
        );
    }

    #[test]
    fn nothing_moves_before_the_origin() {
        let household = Household::from_seed(3, true);
        assert_eq!(
            household.energy(Timestamp::from_millis(i64::MIN)),
            household.energy(at(0))
        );
        assert_eq!(household.load(Timestamp::from_secs(0)), Load::default());
    }
}
