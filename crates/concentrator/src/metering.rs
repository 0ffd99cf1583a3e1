//! The concentrator's own three-phase metering: what each feeder of the
//! substation is supplied with, and whether its phases are as they should be.

use std::sync::Arc;
use std::time::Duration;

use dlms::axdr::{ClockStatus, Data, DateTime};
use dlms::codec::Wire as _;
use dlms::cosem::{CaptureObject, Obis};
use model::{Feeder, Phase};

use crate::collector::state::NoticeKind;
use crate::substation::Told;

/// How often the metering looks.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(10);

/// The three phases in their order.
pub const PHASES: [Phase; 3] = [Phase::L1, Phase::L2, Phase::L3];

/// What is measured at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Voltages against neutral, in mV.
    pub voltage_mv: [u32; 3],
    /// Currents, in mA.
    pub current_ma: [u32; 3],
    /// Energy supplied since ever, in Wh.
    pub energy_wh: [u64; 3],
}

/// What measures: a chip, or something that behaves like one.
pub trait Mains: Send + Sync {
    /// Measures. `unix` is the time in seconds since 1970-01-01T00:00:00Z.
    fn sample(&self, unix: i64) -> Sample;
}

/// A feeder that is simulated: a load that follows the day, without noise, so
/// that its energy is the same whenever one asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simulated {
    /// The mean load of each phase, in W.
    pub watts: u32,
}

impl Mains for Simulated {
    fn sample(&self, unix: i64) -> Sample {
        const DAY_S: i64 = 86_400;
        const VOLTAGE_MV: u32 = 230_000;
        let second = unix.rem_euclid(DAY_S);
        // A load that rises from half to one and a half by noon, and falls.
        let half = DAY_S / 2;
        let up = second.min(DAY_S - second);
        let watts = i64::from(self.watts);
        let now = watts / 2 + watts * up / half;
        // Its integral over the part of the day that has passed.
        let rising = |seconds: i64| watts * seconds / 2 + watts * seconds * seconds / (2 * half);
        let today = if second <= half {
            rising(second)
        } else {
            2 * rising(half) - rising(DAY_S - second)
        };
        let joules = unix.div_euclid(DAY_S) * 2 * rising(half) + today;
        let energy = u64::try_from(joules / 3_600).unwrap_or(0);
        let current = now * 1_000_000 / i64::from(VOLTAGE_MV);
        Sample {
            voltage_mv: [VOLTAGE_MV; 3],
            current_ma: [u32::try_from(current).unwrap_or(0); 3],
            energy_wh: [energy; 3],
        }
    }
}

/// When the metering says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// A phase with less is gone, in mV.
    pub gone_mv: u32,
    /// The voltage that there should be, in mV.
    pub nominal_mv: u32,
    /// How far it may be from that, in percent.
    pub band_percent: u8,
    /// The current that a phase may have, in mA; 0: any.
    pub current_ma: u32,
    /// Samples in a row before something is said.
    pub samples: u8,
}

impl Default for Thresholds {
    /// The voltage band is that of EN 50160: 230 V ± 10 %.
    fn default() -> Self {
        Self {
            gone_mv: 46_000,
            nominal_mv: 230_000,
            band_percent: 10,
            current_ma: 0,
            samples: 3,
        }
    }
}

/// The metering of one feeder.
pub struct Metering {
    feeder: Feeder,
    /// Value group B of its objects: the channel.
    channel: u8,
    source: Arc<dyn Mains>,
    thresholds: Thresholds,
    period_s: u32,
    next: Option<i64>,
    /// Seconds before the first look of which there are rows.
    history_s: i64,
    sample: Sample,
    watches: [[Watch; 3]; 3],
}

#[derive(Clone, Copy, Debug, Default)]
struct Watch {
    run: u8,
    said: bool,
}

impl Watch {
    /// Says whether what is watched has changed for long enough.
    const fn see(&mut self, wrong: bool, samples: u8) -> bool {
        if wrong == self.said {
            self.run = 0;
            return false;
        }
        self.run += 1;
        if self.run < samples {
            return false;
        }
        self.run = 0;
        self.said = wrong;
        true
    }
}

/// What one look told.
#[derive(Debug, Default)]
pub struct Measured {
    /// What is to be noted.
    pub told: Vec<Told>,
    /// The row of an interval that has ended.
    pub row: Option<Interval>,
}

/// A row of the own load profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The end of the interval.
    pub at: i64,
    /// The row in A-XDR.
    pub octets: Vec<u8>,
    /// The registers of the phases, in Wh.
    pub supplied_wh: [i64; 3],
}

impl Metering {
    /// Meters a feeder as a channel, 1 to 64 (value group B of its objects).
    #[must_use]
    pub fn new(
        feeder: Feeder,
        channel: u8,
        source: Arc<dyn Mains>,
        thresholds: Thresholds,
        period_s: u32,
    ) -> Self {
        Self {
            feeder,
            channel,
            source,
            thresholds,
            period_s: period_s.max(1),
            next: None,
            history_s: 0,
            sample: Sample::default(),
            watches: [[Watch::default(); 3]; 3],
        }
    }

    /// Has it tell rows of so many seconds before its first look: only what is simulated knows
    /// what was before it was there.
    #[must_use]
    pub fn with_history(mut self, seconds: u32) -> Self {
        self.history_s = i64::from(seconds);
        self
    }

    /// Measures with another source.
    pub fn set_source(&mut self, source: Arc<dyn Mains>) {
        self.source = source;
    }

    /// Tells the rows of what was before the first look, oldest first.
    #[must_use]
    pub fn past(&self, unix: i64) -> Vec<Interval> {
        let period = i64::from(self.period_s);
        let count = self.history_s / period;
        if self.next.is_some() || count == 0 {
            return Vec::new();
        }
        let due = unix.div_euclid(period) * period;
        let times = (0..=count).rev().map(|back| due - back * period);
        times
            .filter_map(|at| row(at, &self.source.sample(at)))
            .collect()
    }

    /// Tells the feeder.
    #[must_use]
    pub const fn feeder(&self) -> &Feeder {
        &self.feeder
    }

    /// Tells the channel, value group B of its objects.
    #[must_use]
    pub const fn channel(&self) -> u8 {
        self.channel
    }

    /// Tells the seconds between two rows.
    #[must_use]
    pub const fn period_s(&self) -> u32 {
        self.period_s
    }

    /// Shows what was measured last.
    #[must_use]
    pub const fn sample(&self) -> &Sample {
        &self.sample
    }

    /// Names its load profile: 1-b:99.1.0.255 (IEC 62056-6-1: load profile
    /// with recording period 1).
    #[must_use]
    pub const fn profile(&self) -> Obis {
        Obis([1, self.channel, 99, 1, 0, 255])
    }

    /// Tells what its load profile captures, in A-XDR.
    #[must_use]
    pub fn captured(&self) -> Vec<u8> {
        let mut all = vec![CaptureObject::CLOCK.to_data()];
        for group in ENERGY_GROUPS {
            let obis = Obis([1, self.channel, group, 8, 0, 255]);
            all.push(CaptureObject::new(3, obis, 2).to_data());
        }
        Data::Array(all).to_octets()
    }

    /// Looks.
    pub fn tick(&mut self, unix: i64) -> Measured {
        let sample = self.source.sample(unix);
        self.sample = sample;
        let mut measured = Measured::default();
        let limits = self.thresholds;
        let band = u64::from(limits.nominal_mv) * u64::from(limits.band_percent) / 100;
        let [gone, overload, deviation] = &mut self.watches;
        for (index, phase) in PHASES.into_iter().enumerate() {
            let at = |all: &[u32; 3]| all.get(index).copied().unwrap_or(0);
            let (voltage, current) = (at(&sample.voltage_mv), at(&sample.current_ma));
            let is_gone = voltage < limits.gone_mv;
            let off = u64::from(voltage.abs_diff(limits.nominal_mv)) > band;
            let over = limits.current_ma > 0 && current > limits.current_ma;
            let looks = [
                (
                    gone.get_mut(index),
                    is_gone,
                    NoticeKind::PhaseLoss,
                    NoticeKind::PhaseBack,
                    None,
                ),
                (
                    overload.get_mut(index),
                    over,
                    NoticeKind::Overload,
                    NoticeKind::OverloadEnd,
                    Some(current),
                ),
                (
                    deviation.get_mut(index),
                    // A phase that is gone does not deviate as well.
                    off && !is_gone,
                    NoticeKind::Deviation,
                    NoticeKind::DeviationEnd,
                    Some(voltage),
                ),
            ];
            for (watch, wrong, begins, ends, value) in looks {
                let Some(watch) = watch else { continue };
                if !watch.see(wrong, limits.samples.max(1)) {
                    continue;
                }
                let mut detail = vec![
                    Data::octet_string(self.feeder.as_str().as_bytes()),
                    Data::octet_string(phase.name().as_bytes()),
                ];
                detail.extend(value.map(Data::DoubleLongUnsigned));
                measured.told.push(Told {
                    kind: if wrong { begins } else { ends },
                    detail: Data::Structure(detail),
                });
            }
        }
        let period = i64::from(self.period_s);
        let due = unix.div_euclid(period) * period;
        match self.next {
            Some(next) if due >= next => {
                self.next = Some(due + period);
                // What was measured a little late stands for the interval's end.
                measured.row = row(due, &sample);
            }
            Some(next) if next - due <= 2 * period => {}
            // At first, or where the clock was set back.
            _ => self.next = Some(due + period),
        }
        measured
    }
}

/// Value group C of the active energy import of each phase (IEC 62056-6-1).
pub const ENERGY_GROUPS: [u8; 3] = [21, 41, 61];

/// Value group C of the current of each phase.
pub const CURRENT_GROUPS: [u8; 3] = [31, 51, 71];

/// Value group C of the voltage of each phase.
pub const VOLTAGE_GROUPS: [u8; 3] = [32, 52, 72];

fn row(at: i64, sample: &Sample) -> Option<Interval> {
    let time = DateTime::from_unix_seconds(at, 0, ClockStatus(0))?;
    let mut cells = vec![Data::date_time_octets(&time)];
    cells.extend(sample.energy_wh.map(Data::Long64Unsigned));
    let octets = Data::Structure(cells).to_octets();
    let supplied_wh = sample
        .energy_wh
        .map(|wh| i64::try_from(wh).unwrap_or(i64::MAX));
    Some(Interval {
        at,
        octets,
        supplied_wh,
    })
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use std::sync::Mutex;

    use super::*;

    struct Played(Mutex<Sample>);

    impl Mains for Played {
        fn sample(&self, _: i64) -> Sample {
            *self.0.lock().unwrap()
        }
    }

    fn good() -> Sample {
        Sample {
            voltage_mv: [230_000, 231_000, 229_000],
            current_ma: [10_000; 3],
            energy_wh: [1_000, 2_000, 3_000],
        }
    }

    #[test]
    fn failure_default_and_deviation_are_told_once_and_so_is_their_end() {
        let played = Arc::new(Played(Mutex::new(good())));
        let thresholds = Thresholds {
            current_ma: 100_000,
            ..Thresholds::default()
        };
        let feeder: Feeder = "F1".parse().unwrap();
        let source = Arc::clone(&played) as Arc<dyn Mains>;
        let mut metering = Metering::new(feeder, 1, source, thresholds, 900);
        let mut kinds = |sample: Sample| {
            *played.0.lock().unwrap() = sample;
            let all = (0..5).flat_map(|_| metering.tick(0).told);
            all.map(|told| {
                let detail = told.detail.as_structure().unwrap().to_vec();
                let phase = String::from_utf8(detail[1].as_octets().unwrap().to_vec()).unwrap();
                (told.kind, phase)
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(kinds(good()), []);
        let mut bad = good();
        bad.voltage_mv[1] = 0;
        assert_eq!(kinds(bad), [(NoticeKind::PhaseLoss, "L2".to_owned())]);
        bad.voltage_mv[0] = 260_000;
        bad.current_ma[2] = 120_000;
        assert_eq!(
            kinds(bad),
            [
                (NoticeKind::Deviation, "L1".to_owned()),
                (NoticeKind::Overload, "L3".to_owned()),
            ]
        );
        let mut ends = kinds(good());
        ends.sort();
        assert_eq!(
            ends,
            [
                (NoticeKind::PhaseBack, "L2".to_owned()),
                (NoticeKind::OverloadEnd, "L3".to_owned()),
                (NoticeKind::DeviationEnd, "L1".to_owned()),
            ]
        );
    }

    #[test]
    fn each_interval_has_one_row() {
        let feeder: Feeder = "F1".parse().unwrap();
        let source = Arc::new(Simulated { watts: 4_000 });
        let mut metering = Metering::new(feeder, 1, source, Thresholds::default(), 900);
        let start = 1_750_000_000;
        let rows: Vec<Interval> = (0..400)
            .filter_map(|step| metering.tick(start + step * 10).row)
            .collect();
        assert_eq!(rows.len(), 4);
        for pair in rows.windows(2) {
            assert_eq!(pair[1].at - pair[0].at, 900);
            let used = pair[1].supplied_wh[0] - pair[0].supplied_wh[0];
            // Between half and one and a half of the mean of 1,000 Wh.
            assert!((500..=1_500).contains(&used), "{used}");
        }
    }

    #[test]
    fn what_is_simulated_has_rows_of_before_once() {
        let feeder: Feeder = "F1".parse().unwrap();
        let source: Arc<dyn Mains> = Arc::new(Simulated { watts: 4_000 });
        let thresholds = Thresholds::default();
        let plain = Metering::new(feeder, 1, source, thresholds, 900);
        let now = 1_750_000_000;
        assert_eq!(plain.past(now), []);
        let mut metering = plain.with_history(3_600);
        let past: Vec<i64> = metering.past(now).iter().map(|it| it.at).collect();
        let due = now / 900 * 900;
        assert_eq!(past, [4, 3, 2, 1, 0].map(|back| due - back * 900));
        // What follows joins on without a hole.
        assert_eq!(metering.tick(now).row, None);
        assert_eq!(metering.past(now), []);
        assert_eq!(metering.tick(now + 900).row.unwrap().at, due + 900);
    }

    #[test]
    fn a_simulated_day_has_its_mean_load() {
        let one = Simulated { watts: 4_000 };
        let day = |day: i64| one.sample(day * 86_400).energy_wh[0];
        assert_eq!(day(20_001) - day(20_000), 96_000);
        let mut before = 0;
        for second in (20_000 * 86_400..20_002 * 86_400).step_by(600) {
            let now = one.sample(second).energy_wh[0];
            assert!(now >= before);
            before = now;
        }
    }
}
