//! Sums of the substation: what each feeder and phase was supplied with, what
//! its meters say that was used, and whether that is the same.
//!
//! A meter that is bypassed, or a load before all meters, shows as a
//! difference that its neighbours cannot explain. Which house it is in cannot
//! be told from here; which feeder and phase can.

use std::collections::BTreeMap;

use dlms::axdr::{Data, RawData};
use dlms::cosem::{CaptureObject, Obis};
use model::{Feeder, LogicalDeviceName, Phase};

use crate::collector::rows::Row;
use crate::collector::state::NoticeKind;

/// Active energy import (IEC 62056-6-1: A = 1, C = 1, D = 8), in Wh.
const IMPORT: Obis = Obis([1, 0, 1, 8, 0, 255]);

/// Active energy export (C = 2), in Wh.
const EXPORT: Obis = Obis([1, 0, 2, 8, 0, 255]);

/// Intervals that are kept: a week of quarter hours.
const INTERVALS_MAX: usize = 7 * 96;

/// Something to be noted.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// What kind.
    pub kind: NoticeKind,
    /// The rest, as [`NoticeKind`] says.
    pub detail: Data,
}

/// When a difference is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Percent of what was supplied that may be lost on the way.
    pub percent: u8,
    /// Wh in an interval below which nothing is said.
    pub least_wh: u32,
    /// Intervals in a row before it is said.
    pub intervals: u8,
    /// Seconds after which meters that are missing are no longer waited for.
    pub patience_s: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            percent: 8,
            least_wh: 50,
            intervals: 4,
            patience_s: 2 * 86_400,
        }
    }
}

/// The sums of one interval on one phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// What was supplied, in Wh, where it was measured.
    pub supplied_wh: Option<i64>,
    /// What the meters say, import less export, in Wh.
    pub metered_wh: i64,
    /// Meters that said something.
    pub meters: u32,
}

/// One line of the sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The end of the interval, in seconds since 1970-01-01T00:00:00Z.
    pub at: i64,
    /// The feeder.
    pub feeder: Feeder,
    /// The phase; all three where a meter has all three.
    pub phase: Phase,
    /// The sums.
    pub sum: Sum,
}

type Branch = (Feeder, Phase);

/// The sums.
#[derive(Clone, Debug)]
pub struct Substation {
    sites: BTreeMap<LogicalDeviceName, Branch>,
    /// Meters that each branch has.
    meters: BTreeMap<Branch, u32>,
    limits: Limits,
    period_s: i64,
    last: BTreeMap<LogicalDeviceName, (i64, i64)>,
    last_supplied: BTreeMap<Feeder, (i64, [i64; 3])>,
    sums: BTreeMap<i64, BTreeMap<Branch, Sum>>,
    /// Intervals before this one were weighed.
    weighed: i64,
    state: BTreeMap<Branch, (u8, bool)>,
    incomplete: u64,
}

impl Substation {
    /// Walks the feeders on which meters hang, once for each of their phases.
    pub fn feeders(&self) -> impl Iterator<Item = &Feeder> {
        self.meters.keys().map(|(feeder, _)| feeder)
    }

    /// Starts without sums. `sites` says where each meter hangs. Where one
    /// hangs on all three phases, its feeder is weighed as a whole.
    #[must_use]
    pub fn new(
        sites: BTreeMap<LogicalDeviceName, (Feeder, Phase)>,
        period_s: u32,
        limits: Limits,
    ) -> Self {
        let three: Vec<Feeder> = sites
            .values()
            .filter(|(_, phase)| *phase == Phase::L123)
            .map(|(feeder, _)| feeder.clone())
            .collect();
        let sites: BTreeMap<LogicalDeviceName, Branch> = sites
            .into_iter()
            .map(|(name, (feeder, phase))| {
                let whole = three.contains(&feeder);
                (name, (feeder, if whole { Phase::L123 } else { phase }))
            })
            .collect();
        let mut meters = BTreeMap::new();
        for branch in sites.values() {
            *meters.entry(branch.clone()).or_insert(0) += 1;
        }
        Self {
            sites,
            meters,
            limits,
            period_s: i64::from(period_s.max(1)),
            last: BTreeMap::new(),
            last_supplied: BTreeMap::new(),
            sums: BTreeMap::new(),
            weighed: i64::MIN,
            state: BTreeMap::new(),
            incomplete: 0,
        }
    }

    /// Counts intervals that were not weighed, since meters were missing.
    #[must_use]
    pub const fn incomplete(&self) -> u64 {
        self.incomplete
    }

    /// Lists the sums that are kept, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = Line> + '_ {
        self.sums.iter().flat_map(|(at, branches)| {
            branches.iter().map(|((feeder, phase), sum)| Line {
                at: *at,
                feeder: feeder.clone(),
                phase: *phase,
                sum: *sum,
            })
        })
    }

    /// Takes new rows of a meter's load profile, oldest first.
    pub fn metered(
        &mut self,
        name: &LogicalDeviceName,
        captured: &[CaptureObject],
        rows: &[Row],
    ) -> Vec<Told> {
        let Some(branch) = self.sites.get(name).cloned() else {
            return Vec::new();
        };
        let column = |obis| {
            let is = |it: &CaptureObject| it.logical_name == obis && it.attribute_index == 2;
            captured.iter().position(is)
        };
        let Some(import) = column(IMPORT) else {
            return Vec::new();
        };
        let export = column(EXPORT);
        for row in rows {
            let Ok(data) = RawData::new(&row.octets).decode() else {
                continue;
            };
            let cells = data.as_structure().unwrap_or_default();
            let number = |column: usize| {
                let cell = cells.get(column)?;
                cell.as_i64().or_else(|| i64::try_from(cell.as_u64()?).ok())
            };
            let Some(used) = number(import) else {
                continue;
            };
            let net = used - export.and_then(number).unwrap_or(0);
            let before = self.last.insert(name.clone(), (row.at, net));
            // Only an interval whose both ends are known has a sum.
            if let Some((at, before)) = before
                && at + self.period_s == row.at
            {
                let sum = self.sum(row.at, branch.clone());
                sum.metered_wh += net - before;
                sum.meters += 1;
            }
        }
        Vec::new()
    }

    /// Takes what a feeder was supplied with: the registers of its phases at
    /// the end of an interval, in Wh.
    pub fn supplied(&mut self, feeder: &Feeder, at: i64, registers_wh: [i64; 3]) {
        let before = self
            .last_supplied
            .insert(feeder.clone(), (at, registers_wh));
        let Some((before_at, before)) = before else {
            return;
        };
        if before_at + self.period_s != at {
            return;
        }
        let mut whole = 0;
        let phases = [Phase::L1, Phase::L2, Phase::L3];
        let three = self.meters.contains_key(&(feeder.clone(), Phase::L123));
        for ((phase, now), before) in phases.into_iter().zip(registers_wh).zip(before) {
            let used = now - before;
            whole += used;
            if !three {
                self.sum(at, (feeder.clone(), phase)).supplied_wh = Some(used);
            }
        }
        if three {
            self.sum(at, (feeder.clone(), Phase::L123)).supplied_wh = Some(whole);
        }
    }

    fn sum(&mut self, at: i64, branch: Branch) -> &mut Sum {
        while self.sums.len() >= INTERVALS_MAX && !self.sums.contains_key(&at) {
            self.sums.pop_first();
        }
        self.sums.entry(at).or_default().entry(branch).or_default()
    }

    /// Weighs the intervals that are complete, in their order.
    pub fn weigh(&mut self, unix: i64) -> Vec<Told> {
        let mut told = Vec::new();
        let from = self.weighed;
        let measured_until = self.last_supplied.values().map(|(at, _)| *at).max();
        let open: Vec<i64> = self.sums.range(from..).map(|(at, _)| *at).collect();
        for at in open {
            let Some(branches) = self.sums.get(&at) else {
                break;
            };
            // A feeder of which no meter is known accuses nobody.
            let known = |branch: &Branch| self.meters.keys().any(|(feeder, _)| *feeder == branch.0);
            let measured = branches
                .iter()
                .filter(|(branch, sum)| sum.supplied_wh.is_some() && known(branch));
            let complete = |branch: &Branch, sum: &Sum| {
                sum.meters >= self.meters.get(branch).copied().unwrap_or(0)
            };
            let all = measured.clone().all(|(branch, sum)| complete(branch, sum));
            let some = measured.clone().next().is_some();
            // What meters held from before the own metering began, or while it
            // stood still.
            if !some && measured_until.is_some_and(|until| until >= at) {
                self.weighed = at + 1;
                continue;
            }
            let late = at.saturating_add(i64::from(self.limits.patience_s)) < unix;
            if !(late || all && some) {
                break;
            }
            let ready: Vec<(Branch, Sum)> = measured
                .filter(|(branch, sum)| complete(branch, sum))
                .map(|(branch, sum)| (branch.clone(), *sum))
                .collect();
            if !all {
                self.incomplete += 1;
            }
            for (branch, sum) in ready {
                told.extend(self.weigh_one(at, branch, sum));
            }
            self.weighed = at + 1;
        }
        told
    }

    fn weigh_one(&mut self, at: i64, branch: Branch, sum: Sum) -> Option<Told> {
        let supplied = sum.supplied_wh?;
        let lost = supplied - sum.metered_wh;
        let allowed = supplied.saturating_mul(i64::from(self.limits.percent)) / 100;
        let uneven = lost > allowed && lost > i64::from(self.limits.least_wh);
        let (run, said) = self.state.entry(branch.clone()).or_default();
        // As many intervals one way as the other, so that it does not flutter.
        if uneven == *said {
            *run = 0;
            return None;
        }
        *run += 1;
        if *run < self.limits.intervals.max(1) {
            return None;
        }
        (*run, *said) = (0, uneven);
        let (feeder, phase) = branch;
        Some(Told {
            kind: if uneven {
                NoticeKind::Balance
            } else {
                NoticeKind::BalanceEven
            },
            detail: Data::Structure(vec![
                Data::octet_string(feeder.as_str().as_bytes()),
                Data::octet_string(phase.name().as_bytes()),
                Data::Long64(at),
                Data::Long64(supplied),
                Data::Long64(sum.metered_wh),
            ]),
        })
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;
    use dlms::codec::Wire as _;

    const PERIOD: i64 = 900;

    fn name(number: usize) -> LogicalDeviceName {
        format!("GWD{number:013}").parse().unwrap()
    }

    fn row(at: i64, import: i64) -> Row {
        let cells = vec![
            Data::NullData,
            Data::DoubleLongUnsigned(u32::try_from(import).unwrap()),
        ];
        Row {
            at,
            octets: Data::Structure(cells).to_octets(),
        }
    }

    /// Six meters on two feeders, one a phase; tells what comes of `hidden`
    /// Wh an interval that one of them does not count.
    fn told(hidden: i64, meter: usize, lost_percent: i64) -> Vec<Told> {
        let feeders: [Feeder; 2] = ["F1".parse().unwrap(), "F2".parse().unwrap()];
        let phases = [Phase::L1, Phase::L2, Phase::L3];
        let sites = (0..6)
            .map(|number| {
                let place = (feeders[number / 3].clone(), phases[number % 3]);
                (name(number), place)
            })
            .collect();
        let mut all = Substation::new(sites, 900, Limits::default());
        let captured = [CaptureObject::CLOCK, CaptureObject::new(3, IMPORT, 2)];
        let mut told = Vec::new();
        for step in 0..12 {
            let at = 1_750_000_500 / PERIOD * PERIOD + step * PERIOD;
            for number in 0..6 {
                let used = 300 * step - if number == meter { hidden * step } else { 0 };
                let rows = [row(at, 10_000 + used)];
                told.extend(all.metered(&name(number), &captured, &rows));
            }
            for feeder in &feeders {
                let register = (300 * step) * (100 + lost_percent) / 100;
                all.supplied(feeder, at, [register; 3]);
            }
            told.extend(all.weigh(at));
        }
        told
    }

    #[test]
    fn consumption_that_is_hidden_names_its_feeder_and_phase() {
        let told = told(150, 4, 3);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].kind, NoticeKind::Balance);
        let detail = told[0].detail.as_structure().unwrap();
        assert_eq!(detail[0].as_octets(), Some(&b"F2"[..]));
        assert_eq!(detail[1].as_octets(), Some(&b"L2"[..]));
        assert_eq!(detail[3].as_i64(), Some(309));
        assert_eq!(detail[4].as_i64(), Some(150));
    }

    #[test]
    fn what_the_lines_lose_is_no_theft() {
        assert_eq!(told(0, 0, 3), []);
    }

    #[test]
    fn a_feeder_without_meters_accuses_nobody() {
        let [feeder, other]: [Feeder; 2] = ["F1".parse().unwrap(), "Transformer".parse().unwrap()];
        let sites = BTreeMap::from([(name(1), (feeder, Phase::L1))]);
        let mut all = Substation::new(sites, 900, Limits::default());
        let captured = [CaptureObject::CLOCK, CaptureObject::new(3, IMPORT, 2)];
        for step in 0..10 {
            let at = step * PERIOD;
            all.metered(&name(1), &captured, &[row(at, step * 100)]);
            all.supplied(&other, at, [step * 1_000; 3]);
            assert_eq!(all.weigh(at), []);
        }
        assert_eq!((all.incomplete(), all.lines().count()), (0, 36));
    }

    #[test]
    fn a_meter_that_is_missing_accuses_nobody() {
        let feeder: Feeder = "F1".parse().unwrap();
        let sites = BTreeMap::from([
            (name(1), (feeder.clone(), Phase::L1)),
            (name(2), (feeder.clone(), Phase::L123)),
        ]);
        let mut all = Substation::new(sites, 900, Limits::default());
        let captured = [CaptureObject::CLOCK, CaptureObject::new(3, IMPORT, 2)];
        for step in 0..10 {
            let at = step * PERIOD;
            all.metered(&name(1), &captured, &[row(at, step * 100)]);
            all.supplied(&feeder, at, [step * 100, step * 100, 0]);
            assert_eq!(all.weigh(at), []);
        }
        assert!(all.lines().all(|line| line.phase == Phase::L123));
        assert_eq!(all.weigh(i64::MAX / 2), []);
        assert!(all.incomplete() > 0);
    }
}
