//! A street whose feeder is metered: what its houses draw, and what its lines lose.
//!
//! The houses are those that `gridward meter` simulates, drawn anew from the titles of their
//! meters: nothing is asked of a meter or of a head end, so that a meter which counts less than
//! its house draws shows.

use concentrator::config::MeteringConfig;
use concentrator::metering::{Mains, Sample};
use meter::metrology::{Household, Source as _};
use meter::population::Population;
use model::{Phase, Timestamp};

/// Milliwatt-seconds in a watt-hour.
const MWS_PER_WH: u128 = 3_600_000;
const VOLTAGE_V: u64 = 230;
/// What a phase of the feeder has against the current, in milliohms.
const RESISTANCE_MOHM: u64 = 20;

/// The houses of a feeder.
pub(super) struct Street {
    /// Each with the index of its phase.
    houses: Vec<(usize, Household)>,
    loss_percent: u8,
}

impl Street {
    /// Makes the street that a configuration lists, where it lists one.
    pub(super) fn of(config: &MeteringConfig) -> Option<Self> {
        if config.source != "street" {
            return None;
        }
        let population = Population {
            seed: config.seed,
            ..Population::default()
        };
        let houses = config.house.iter().filter_map(|house| {
            let (title, phase) = house.parts()?;
            let index = match phase {
                Phase::L1 => 0,
                Phase::L2 => 1,
                Phase::L3 => 2,
                Phase::L123 => return None,
            };
            Some((index, population.household(title, false)))
        });
        Some(Self {
            houses: houses.collect(),
            loss_percent: config.loss_percent,
        })
    }

    /// What is supplied where so much is drawn: what lines lose is a part of it.
    fn supplied(&self, drawn: u128) -> u128 {
        drawn * 100 / u128::from(100_u8.saturating_sub(self.loss_percent).max(1))
    }
}

impl Mains for Street {
    fn sample(&self, unix: i64) -> Sample {
        let at = Timestamp::from_secs(unix);
        let mut energy = [0_u128; 3];
        let mut power = [0_u128; 3];
        for (index, house) in &self.houses {
            if let (Some(energy), Some(power)) = (energy.get_mut(*index), power.get_mut(*index)) {
                *energy += u128::from(house.energy(at).import_mws());
                *power += u128::from(house.load(at).import_mw.iter().sum::<u64>());
            }
        }
        let current_ma = power.map(|drawn| {
            let mw = u64::try_from(self.supplied(drawn)).unwrap_or(u64::MAX);
            mw / VOLTAGE_V
        });
        let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Sample {
            voltage_mv: current_ma.map(|ma| {
                let drop = ma.saturating_mul(RESISTANCE_MOHM) / 1_000;
                narrow((VOLTAGE_V * 1_000).saturating_sub(drop))
            }),
            current_ma: current_ma.map(narrow),
            energy_wh: energy
                .map(|drawn| u64::try_from(self.supplied(drawn) / MWS_PER_WH).unwrap_or(u64::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement: a street against the sum of its houses.
    use concentrator::config::HouseConfig;

    use super::*;

    #[test]
    fn a_street_is_supplied_with_what_its_houses_draw_and_its_lines_lose() {
        let house = |number: u8, phase: &str| HouseConfig {
            title: format!("47574400000000{number:02X}"),
            phase: phase.to_owned(),
        };
        let config = MeteringConfig {
            feeder: "F1".to_owned(),
            source: "street".to_owned(),
            house: vec![house(1, "L1"), house(2, "L1"), house(3, "L3")],
            loss_percent: 4,
            ..MeteringConfig::default()
        };
        let street = Street::of(&config).unwrap();
        let houses: Vec<Household> = (1..=3_u8)
            .map(|number| {
                let title = [0x47, 0x57, 0x44, 0, 0, 0, 0, number];
                Population::default().household(title, false)
            })
            .collect();
        let (from, to) = (1_763_000_000, 1_763_086_400);
        let wh = |of: &[&Household]| {
            let sum = |at| -> u64 {
                let at = Timestamp::from_secs(at);
                of.iter().map(|it| it.energy(at).import_mws()).sum()
            };
            (sum(to) - sum(from)) / 3_600_000
        };
        let (before, after) = (street.sample(from), street.sample(to));
        let day = |phase: usize| after.energy_wh[phase] - before.energy_wh[phase];
        let drawn = [wh(&[&houses[0], &houses[1]]), 0, wh(&[&houses[2]])];
        for phase in 0..3 {
            // A day of a house is kilowatt-hours, so that one Wh of rounding is nothing.
            let metered = day(phase) * 96 / 100;
            assert!(
                metered.abs_diff(drawn[phase]) <= 2,
                "{phase}: {metered} {drawn:?}"
            );
            assert!(phase == 1 || drawn[phase] > 1_000, "{drawn:?}");
        }
        assert_eq!(before.current_ma[1], 0);
        assert!(before.current_ma[0] > 100 && before.voltage_mv[0] < 230_000);
        assert!(Street::of(&MeteringConfig::default()).is_none());
    }
}
