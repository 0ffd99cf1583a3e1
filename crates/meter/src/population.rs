//! Neighbourhoods: from keys to meters that differ as real ones do, the same each time.

use std::sync::Arc;

use link::{ALL_STATIONS, MeterKeys};
use model::{Phase, Timestamp};

use crate::device::{DeviceConfig, OUTAGES_MAX, Site};
use crate::metrology::{Household, draw};
use crate::registers::Outage;
use crate::template::Template;

const DAY_S: i64 = 86_400;

/// How far ahead outages are drawn.
const DAYS_AHEAD: i64 = 30;

/// How likely a meter loses its supply on a day: one in this many.
const OUTAGE_EVERY_DAYS: u64 = 45;

/// Streets of the neighbourhood.
const STREETS: [&str; 8] = [
    "Lindenweg",
    "Bahnhofstrasse",
    "Am Bach",
    "Rosenweg",
    "Schulgasse",
    "Feldstrasse",
    "Mühleweg",
    "Kirchplatz",
];

/// When meters lose their supply now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outages {
    /// Never.
    Never,
    /// Before they are started: their profiles have gaps, and they answer whenever they are asked.
    Past,
    /// Also while they serve: then they answer nothing, for up to five hours.
    Always,
}

/// How a neighbourhood is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Population {
    /// What all draws start from.
    pub seed: u64,
    /// How many feeders there are, at least 1.
    pub feeders: u16,
    /// How many days of history a new meter has.
    pub history_days: u16,
    /// When meters lose their supply.
    pub outages: Outages,
    /// Whether the meters stand behind one address, told apart by consecutive SAPs; else each
    /// has the SAP of its model.
    pub consecutive_saps: bool,
}

impl Default for Population {
    fn default() -> Self {
        Self {
            seed: 1,
            feeders: 4,
            history_days: 30,
            outages: Outages::Always,
            consecutive_saps: true,
        }
    }
}

impl Population {
    /// Makes a meter for each of `keys`. What a meter is like depends on its system title and
    /// the seed, not on the others; its outages depend on the calendar, not on `now`.
    pub fn configs(
        &self,
        template: &Arc<Template>,
        keys: Vec<MeterKeys>,
        now: Timestamp,
    ) -> Vec<DeviceConfig> {
        keys.into_iter()
            .enumerate()
            .map(|(place, keys)| {
                let place = if self.consecutive_saps { place } else { 0 };
                let place = u16::try_from(place).unwrap_or(u16::MAX);
                let sap = template.sap.saturating_add(place);
                // What is sent to that one is for all.
                let passed = template.sap < ALL_STATIONS && sap >= ALL_STATIONS;
                let sap = sap.saturating_add(u16::from(passed));
                self.config(template, keys, sap, now)
            })
            .collect()
    }

    /// Makes the household behind the meter with this system title, the same as
    /// [`configs`](Self::configs) does.
    pub fn household(&self, title: [u8; 8], three_phase: bool) -> Household {
        Household::from_seed(self.seed_of(title), three_phase)
    }

    fn seed_of(&self, title: [u8; 8]) -> u64 {
        draw(self.seed, 1, u64::from_be_bytes(title))
    }

    fn config(
        &self,
        template: &Arc<Template>,
        keys: MeterKeys,
        sap: u16,
        now: Timestamp,
    ) -> DeviceConfig {
        let title = keys.system_title.0;
        let seed = self.seed_of(title);
        let pick = |what: u64, below: u64| draw(seed, what, 0) % below.max(1);
        let today = now.secs().div_euclid(DAY_S);
        let first = today - i64::from(self.history_days);
        let mut outages = match self.outages {
            Outages::Never => Vec::new(),
            Outages::Past | Outages::Always => outages(seed, first, today + DAYS_AHEAD),
        };
        if self.outages == Outages::Past {
            outages.retain(|outage| outage.to <= now);
        }
        DeviceConfig {
            template: template.clone(),
            keys,
            sap,
            site: site(&pick, self.feeders, template.three_phase),
            source: Arc::new(self.household(title, template.three_phase)),
            installed: Timestamp::from_secs(first * DAY_S),
            outages,
            // Up to 5 ppm either way: half a second a day.
            drift_ppb: i32::try_from(pick(6, 10_001)).unwrap_or(0) - 5_000,
        }
    }
}

fn site(pick: &impl Fn(u64, u64) -> u64, feeders: u16, three_phase: bool) -> Site {
    let street = usize::try_from(pick(2, STREETS.len() as u64)).unwrap_or(0);
    let street = STREETS.get(street).copied().unwrap_or("Lindenweg");
    let place = format!("{street} {}, flat {}", 1 + pick(3, 60), 1 + pick(4, 8));
    let feeder = format!("F{}", 1 + pick(5, u64::from(feeders)));
    let phase = match (three_phase, pick(7, 3)) {
        (true, _) => Phase::L123,
        (false, 0) => Phase::L1,
        (false, 1) => Phase::L2,
        (false, _) => Phase::L3,
    };
    Site {
        place: place.parse().unwrap_or_default(),
        feeder: feeder.parse().unwrap_or_else(|_| feeder_one()),
        phase,
    }
}

#[expect(clippy::expect_used, reason = "F1 is the name of a feeder")]
fn feeder_one() -> model::Feeder {
    "F1".parse().expect("F1 is the name of a feeder")
}

/// Draws outages of ten seconds to five hours on some of the days from `first` to `last`.
fn outages(seed: u64, first: i64, last: i64) -> Vec<Outage> {
    let mut outages = Vec::new();
    for day in first..last {
        let drawn = draw(seed, 8, day.cast_unsigned());
        if !drawn.is_multiple_of(OUTAGE_EVERY_DAYS) || outages.len() >= OUTAGES_MAX {
            continue;
        }
        let part = |what: u64, below: i64| {
            let value = draw(seed, what, day.cast_unsigned()) % below.unsigned_abs();
            value.cast_signed()
        };
        let from = day * DAY_S + part(9, DAY_S);
        // Half of them are short interruptions.
        let len = if part(10, 2) == 0 {
            10 + part(11, 170)
        } else {
            900 + part(12, 17_100)
        };
        outages.push(Outage {
            from: Timestamp::from_secs(from),
            to: Timestamp::from_secs(from + len),
        });
    }
    outages
}
