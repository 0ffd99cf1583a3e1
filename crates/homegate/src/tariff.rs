//! What electricity costs: bands of the day and of the week.

use model::Timestamp;
use serde::Deserialize;

use crate::calendar::Calendar;

/// Bands that a tariff may have.
const BANDS_MAX: usize = 8;

/// A tariff as it is configured.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TariffConfig {
    /// Names the currency, as ISO 4217 does.
    pub currency: String,
    /// Holds what is paid each month without use.
    #[serde(default)]
    pub fixed_per_month: f64,
    /// Lists the bands; the first that fits holds.
    pub band: Vec<BandConfig>,
}

/// A band as it is configured.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BandConfig {
    /// Names it.
    pub name: String,
    /// Holds the price of a kilowatt hour.
    pub per_kwh: f64,
    /// Says when it begins, `HH:MM`; without it and `to` the whole day.
    pub from: Option<String>,
    /// Says when it ends; before `from` where it goes over midnight.
    pub to: Option<String>,
    /// Says on which days: `mon-sun`, `mon-fri` or `sat-sun`, of the day on
    /// which the moment lies.
    pub days: Option<String>,
}

/// A tariff.
#[derive(Clone, Debug, PartialEq)]
pub struct Tariff {
    /// Its currency.
    pub currency: String,
    /// What is paid each month without use.
    pub fixed_per_month: f64,
    /// The bands.
    pub bands: Vec<Band>,
}

/// A band.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    /// Its name.
    pub name: String,
    /// The price of a kilowatt hour.
    pub per_kwh: f64,
    /// Minutes of the day.
    from: u16,
    to: u16,
    /// A bit for each day of the week, Monday being the least.
    days: u8,
}

/// Why a tariff is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} must be {range}")]
pub struct TariffError {
    key: &'static str,
    range: &'static str,
}

impl Tariff {
    /// Takes a tariff as it is configured.
    ///
    /// # Errors
    /// [`TariffError`] says which key and why.
    pub fn new(config: &TariffConfig) -> Result<Self, TariffError> {
        let fault = |key, range| TariffError { key, range };
        let currency = &config.currency;
        if currency.len() != 3 || !currency.bytes().all(|letter| letter.is_ascii_uppercase()) {
            return Err(fault("currency", "three capital letters, as CHF"));
        }
        if !(0.0..=1e6).contains(&config.fixed_per_month) {
            return Err(fault("fixed_per_month", "0 and more"));
        }
        if config.band.is_empty() || config.band.len() > BANDS_MAX {
            return Err(fault("band", "1 to 8 tables"));
        }
        let bands = config.band.iter().map(|band| {
            if band.name.is_empty() || band.name.chars().count() > 40 {
                return Err(fault("band.name", "1 to 40 characters"));
            }
            if !(-1e3..=1e3).contains(&band.per_kwh) {
                return Err(fault("band.per_kwh", "-1000 to 1000"));
            }
            let time = |text: &Option<String>, otherwise| match text {
                None => Ok(otherwise),
                Some(text) => minutes(text).ok_or_else(|| fault("band.from and to", "HH:MM")),
            };
            if band.from.is_some() != band.to.is_some() {
                return Err(fault("band.from and to", "both or neither"));
            }
            Ok(Band {
                name: band.name.clone(),
                per_kwh: band.per_kwh,
                from: time(&band.from, 0)?,
                to: time(&band.to, DAY)?,
                days: match band.days.as_deref() {
                    None | Some("mon-sun") => 0x7F,
                    Some("mon-fri") => 0x1F,
                    Some("sat-sun") => 0x60,
                    Some(_) => {
                        return Err(fault("band.days", "mon-sun, mon-fri or sat-sun"));
                    }
                },
            })
        });
        Ok(Self {
            currency: currency.clone(),
            fixed_per_month: config.fixed_per_month,
            bands: bands.collect::<Result<_, _>>()?,
        })
    }

    /// Finds the band that holds at `time`; nothing where none fits.
    #[must_use]
    pub fn at(&self, time: Timestamp, calendar: &Calendar) -> Option<(usize, &Band)> {
        let (minute, day) = calendar.place_in_week(time);
        self.bands
            .iter()
            .enumerate()
            .find(|(_, band)| band.holds(minute, day))
    }

    /// Finds when the band changes after `time`: the next moment at which
    /// another one holds, within eight days.
    #[must_use]
    pub fn change(&self, time: Timestamp, calendar: &Calendar) -> Option<Timestamp> {
        let own = self.at(time, calendar).map(|(index, _)| index);
        let mut from = time;
        for _ in 0..8 * (2 * BANDS_MAX + 1) {
            from = self.edge(from, calendar);
            if self.at(from, calendar).map(|(index, _)| index) != own {
                return Some(from);
            }
        }
        None
    }

    /// The next moment after `time` at which a band may begin or end.
    #[must_use]
    pub fn edge(&self, time: Timestamp, calendar: &Calendar) -> Timestamp {
        self.bands
            .iter()
            .flat_map(|band| [band.from, band.to])
            .map(|minute| calendar.at_minute(time, minute))
            .chain([calendar.day(time, 1)])
            .filter(|edge| *edge > time)
            .min()
            .unwrap_or_else(|| time.plus_secs(86_400))
    }
}

/// Minutes of a day.
const DAY: u16 = 24 * 60;

impl Band {
    fn holds(&self, minute: u16, day: u8) -> bool {
        let in_day = if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        };
        in_day && self.days & (1_u8.checked_shl(u32::from(day)).unwrap_or(0)) != 0
    }
}

fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |digits: &str| {
        (digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit()))
            .then(|| digits.parse::<u16>().ok())
            .flatten()
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    let all = hours * 60 + minutes;
    (minutes < 60 && all <= DAY).then_some(all)
}
