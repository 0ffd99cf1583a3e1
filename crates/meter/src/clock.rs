//! The meter's clock: what it shows for a true time, and the other way round.

use dlms::axdr::{ClockStatus, Date, DateTime};
use model::Timestamp;

use crate::template::ClockTemplate;

const MINUTE_S: i64 = 60;
const PPB: i128 = 1_000_000_000;

/// A clock that may be off, and its rules of local time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterClock {
    rules: ClockTemplate,
    /// How far it was ahead of the true time when it was set, in milliseconds.
    offset_ms: i64,
    /// When it was set, by the true time.
    set_at: Timestamp,
    /// How much faster than the true time it runs, in parts per billion.
    drift_ppb: i32,
}

impl MeterClock {
    /// Makes a clock that is right at `set_at`.
    pub const fn new(rules: ClockTemplate, set_at: Timestamp, drift_ppb: i32) -> Self {
        Self {
            rules,
            offset_ms: 0,
            set_at,
            drift_ppb,
        }
    }

    /// Returns the rules of local time.
    pub const fn rules(&self) -> &ClockTemplate {
        &self.rules
    }

    /// Changes the rules of local time.
    pub const fn rules_mut(&mut self) -> &mut ClockTemplate {
        &mut self.rules
    }

    /// Returns how far it was ahead of the true time when it was set, in milliseconds, and when
    /// that was.
    pub const fn setting(&self) -> (i64, Timestamp) {
        (self.offset_ms, self.set_at)
    }

    /// Goes on from a setting.
    pub const fn restore(&mut self, offset_ms: i64, set_at: Timestamp) {
        self.offset_ms = offset_ms;
        self.set_at = set_at;
    }

    /// Returns what the clock shows at the true time `now`, as UTC.
    pub fn shown(&self, now: Timestamp) -> Timestamp {
        now.plus_millis(self.offset_ms)
            .plus_millis(self.drift_ms(now.millis_since(self.set_at)))
    }

    /// Returns the true time at which the clock shows, or showed, `shown`, to the millisecond.
    pub fn true_time(&self, shown: Timestamp) -> Timestamp {
        let undrifted = shown.plus_millis(self.offset_ms.saturating_neg());
        let span = i128::from(undrifted.millis_since(self.set_at));
        let true_span = span * PPB / (PPB + i128::from(self.drift_ppb)).max(1);
        let drift = i64::try_from(span - true_span).unwrap_or(0);
        undrifted.plus_millis(-drift)
    }

    /// Sets the clock to `shown` at the true time `now`; returns by how many milliseconds it
    /// went forward.
    pub fn set(&mut self, now: Timestamp, shown: Timestamp) -> i64 {
        let forward = shown.millis_since(self.shown(now));
        self.offset_ms = shown.millis_since(now);
        self.set_at = now;
        forward
    }

    /// Returns the minutes from local time to UTC at the clock's UTC time `shown_s`, in seconds,
    /// and whether daylight saving holds.
    pub fn deviation(&self, shown_s: i64) -> (i16, bool) {
        let standard = self.rules.time_zone;
        if !self.daylight_saving(shown_s) {
            return (standard, false);
        }
        let saving = i16::from(self.rules.daylight_savings_deviation);
        (standard.saturating_sub(saving), true)
    }

    /// Returns local date and time at the clock's UTC time `shown_s`, in seconds.
    pub fn local(&self, shown_s: i64) -> DateTime {
        let (deviation, saving) = self.deviation(shown_s);
        let status = if saving {
            ClockStatus(ClockStatus::DAYLIGHT_SAVING_ACTIVE)
        } else {
            ClockStatus::OK
        };
        DateTime::from_unix_seconds(shown_s, deviation, status).unwrap_or(DateTime::ANY)
    }

    /// Returns the UTC time in seconds that a date and time means: by its own deviation, or by
    /// the clock's rules where it has none. `None` where it is not fully given.
    pub fn utc_of(&self, time: &DateTime) -> Option<i64> {
        if let Some(seconds) = time.to_unix_seconds() {
            return Some(seconds);
        }
        let local = time.to_local_seconds()?;
        let standard = local + i64::from(self.rules.time_zone) * MINUTE_S;
        let saving = standard - i64::from(self.rules.daylight_savings_deviation) * MINUTE_S;
        // In the hour that comes twice, the first one is meant.
        Some(if self.daylight_saving(saving) {
            saving
        } else {
            standard
        })
    }

    fn daylight_saving(&self, shown_s: i64) -> bool {
        let rules = &self.rules;
        if !rules.daylight_savings_enabled || rules.daylight_savings_deviation == 0 {
            return false;
        }
        let standard = i64::from(rules.time_zone) * MINUTE_S;
        let saving = standard - i64::from(rules.daylight_savings_deviation) * MINUTE_S;
        let local_days = (shown_s - standard).div_euclid(86_400);
        let Some(year) = Date::from_unix_days(local_days).map(|date| date.year) else {
            return false;
        };
        let change = |octets: [u8; 12], deviation: i64| {
            let rule = DateTime::from_octets(octets);
            let date = rule.date.resolve(year, rule.date.month)?;
            let second = rule.time.to_seconds()?;
            Some(date.to_unix_days()? * 86_400 + i64::from(second) + deviation)
        };
        let begin = change(rules.daylight_savings_begin, standard);
        let end = change(rules.daylight_savings_end, saving);
        match (begin, end) {
            (Some(begin), Some(end)) if begin <= end => (begin..end).contains(&shown_s),
            // South of the equator the year begins in summer.
            (Some(begin), Some(end)) => !(end..begin).contains(&shown_s),
            _ => false,
        }
    }

    fn drift_ms(&self, span_ms: i64) -> i64 {
        let drift = i128::from(span_ms) * i128::from(self.drift_ppb) / PPB;
        i64::try_from(drift).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: changes of daylight saving in Central Europe as published by law; else
    //! self-agreement.
    use super::*;
    use crate::template::Template;

    fn clock() -> MeterClock {
        let template = Template::built_in("smr5").unwrap();
        MeterClock::new(template.clock, Timestamp::from_secs(0), 0)
    }

    #[test]
    fn central_europe_changes_its_clocks_at_one_oclock_utc() {
        let clock = clock();
        // 2026: 29 March and 25 October; 2027: 28 March and 31 October, all at 01:00 UTC.
        for (begin, end) in [
            (1_774_746_000, 1_792_890_000),
            (1_806_195_600, 1_824_944_400),
        ] {
            assert_eq!(clock.deviation(begin - 1), (-60, false));
            assert_eq!(clock.deviation(begin), (-120, true));
            assert_eq!(clock.deviation(end - 1), (-120, true));
            assert_eq!(clock.deviation(end), (-60, false));
        }
        let time = clock.local(1_774_746_000);
        assert_eq!(time.to_string(), "2026-03-29T03:00:00+02:00");
        assert!(time.status.has(ClockStatus::DAYLIGHT_SAVING_ACTIVE));
    }

    #[test]
    fn local_times_find_back() {
        let clock = clock();
        for quarter in 0..366 * 96 {
            let utc = 1_774_000_000 + quarter * 900;
            let mut time = clock.local(utc);
            assert_eq!(clock.utc_of(&time), Some(utc));
            time.deviation = DateTime::DEVIATION_UNSPECIFIED;
            // The hour from 01:00 UTC on 25 October 2026 repeats the one before it.
            if !(1_792_890_000..1_792_893_600).contains(&utc) {
                assert_eq!(clock.utc_of(&time), Some(utc), "{time}");
            }
        }
    }

    #[test]
    fn the_south_saves_daylight_across_new_year() {
        let mut clock = clock();
        // Sydney: UTC+10, first Sunday of October to first Sunday of April.
        let rules = clock.rules_mut();
        rules.time_zone = -600;
        rules.daylight_savings_begin = [0xFF, 0xFF, 10, 1, 7, 2, 0, 0, 0, 0x80, 0, 0];
        rules.daylight_savings_end = [0xFF, 0xFF, 4, 1, 7, 3, 0, 0, 0, 0x80, 0, 0];
        // 2026-01-15, 2026-07-15, 2026-12-15, all at 00:00 UTC.
        assert_eq!(clock.deviation(1_768_435_200), (-660, true));
        assert_eq!(clock.deviation(1_784_073_600), (-600, false));
        assert_eq!(clock.deviation(1_797_292_800), (-660, true));
    }

    #[test]
    fn a_clock_that_drifts_still_knows_both_ways() {
        let start = Timestamp::from_secs(1_790_000_000);
        let template = Template::built_in("smr5").unwrap();
        let mut clock = MeterClock::new(template.clock, start, 20_000);
        let now = start.plus_secs(60 * 86_400);
        // 20 ppm are 1.728 s a day.
        assert_eq!(clock.shown(now).millis_since(now), 60 * 1_728);
        for secs in [0, 1, 900, 86_400, 5_000_000] {
            let shown = start.plus_secs(secs);
            let back = clock.shown(clock.true_time(shown));
            assert!(back.millis_since(shown).abs() <= 1);
        }
        assert_eq!(clock.set(now, now), -60 * 1_728);
        assert_eq!(clock.shown(now), now);
    }
}
