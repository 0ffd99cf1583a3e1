//! Balance: what the phases of feeders were supplied with against what their meters counted.
//!
//! A meter that is bypassed, or a load before all meters, shows as a loss that lines do not
//! explain. The feeder and the phase can be told from here, the house cannot. Only intervals count
//! of which all meters told, so that a meter that is late accuses nobody.

use std::collections::BTreeMap;

use model::{Feeder, Phase, Timestamp};

use crate::store::Supply;

/// A phase of a feeder; all three together where a meter hangs on all three.
pub type Site = (Feeder, Phase);

/// When a loss is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Holds the percent of what was supplied that may be lost on the way.
    pub percent: u8,
    /// Holds the percent by which more may be metered than was supplied: a meter of class B may
    /// err by 2 % (Directive 2014/32/EU, annex V, table 2).
    pub excess_percent: u8,
    /// Holds the Wh in a single interval up to which nothing is said of it: what a kettle more or
    /// less makes. Over a whole time smaller losses add up.
    pub least_wh: i64,
    /// Holds the intervals in a row after which it is said.
    pub run: usize,
}

impl Limits {
    /// Takes what may be lost; the rest is as a concentrator has it without being told otherwise.
    pub const fn new(percent: u8) -> Self {
        Self {
            percent,
            excess_percent: 2,
            least_wh: 50,
            run: 4,
        }
    }
}

/// What a branch comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// More was supplied than metered and lines lose.
    Losing,
    /// More was metered than supplied: a meter hangs elsewhere than the registry says.
    Excess,
    /// Nothing could be weighed.
    Unknown,
    /// What is lost is what lines lose.
    Even,
}

impl Verdict {
    /// Says whether somebody should look.
    pub const fn needs_somebody(self) -> bool {
        matches!(self, Self::Losing | Self::Excess)
    }
}

/// Why an interval counts, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It counts.
    Weighed,
    /// The feeder was not metered.
    Unmetered,
    /// Meters are missing.
    Incomplete,
    /// The houses delivered more than they drew: what flows back is not supplied.
    FedBack,
}

/// One interval of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Says when it ended.
    pub at: Timestamp,
    /// Holds the Wh that went in, where that is metered.
    pub supplied_wh: Option<i64>,
    /// Holds the Wh that meters counted.
    pub metered_wh: i64,
    /// Counts the meters that told.
    pub meters: u32,
    /// Says whether it counts.
    pub weight: Weight,
}

/// A phase of a feeder over a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Names feeder and phase.
    pub site: Site,
    /// Holds its intervals, oldest first.
    pub points: Vec<Point>,
    /// Counts the meters that it has.
    pub meters: u32,
    /// Sums what was supplied in the intervals that count.
    pub supplied_wh: i64,
    /// Sums what was metered in them.
    pub metered_wh: i64,
    /// Says what it comes to.
    pub verdict: Verdict,
}

impl Branch {
    /// Counts the intervals of a kind.
    pub fn count(&self, weight: Weight) -> usize {
        self.points.iter().filter(|it| it.weight == weight).count()
    }

    /// Tells the loss in thousandths of what was supplied; nothing where nothing was.
    pub const fn loss_permille(&self) -> Option<i64> {
        permille(self.supplied_wh, self.metered_wh)
    }
}

const fn permille(supplied: i64, metered: i64) -> Option<i64> {
    if supplied <= 0 {
        return None;
    }
    let lost = supplied.saturating_sub(metered);
    Some(lost.saturating_mul(1_000) / supplied)
}

/// Counts meters by branch. Where one hangs on all three phases its feeder is weighed as a whole,
/// as concentrators do.
pub fn sites(meters: impl Iterator<Item = Site>) -> BTreeMap<Site, u32> {
    let mut all: BTreeMap<Feeder, BTreeMap<Phase, u32>> = BTreeMap::new();
    for (feeder, phase) in meters {
        *all.entry(feeder).or_default().entry(phase).or_default() += 1;
    }
    let mut sites = BTreeMap::new();
    for (feeder, phases) in all {
        if phases.contains_key(&Phase::L123) {
            sites.insert((feeder, Phase::L123), phases.values().sum());
        } else {
            let phases = phases.into_iter();
            sites.extend(phases.map(|(phase, count)| ((feeder.clone(), phase), count)));
        }
    }
    sites
}

/// Weighs sums, which are in ascending order of their times; branches that need somebody come
/// first, then those that lose most.
pub fn weigh(sums: Vec<Supply>, sites: &BTreeMap<Site, u32>, limits: Limits) -> Vec<Branch> {
    let mut by_site: BTreeMap<Site, Vec<Supply>> = BTreeMap::new();
    for sum in sums {
        let site = (sum.feeder.clone(), sum.phase);
        by_site.entry(site).or_default().push(sum);
    }
    let mut all: Vec<Branch> = by_site
        .into_iter()
        .map(|(site, sums)| branch(site, &sums, sites, limits))
        .collect();
    all.sort_by_key(|it| (it.verdict, -it.loss_permille().unwrap_or(i64::MIN + 1)));
    all
}

fn branch(site: Site, sums: &[Supply], sites: &BTreeMap<Site, u32>, limits: Limits) -> Branch {
    // A concentrator may know of more than the registry says where they hang.
    let told = sums.iter().map(|it| it.meters).max().unwrap_or(0);
    let meters = sites.get(&site).copied().unwrap_or(0).max(told);
    let weight = |sum: &Supply| match sum.supplied_wh {
        None => Weight::Unmetered,
        Some(_) if meters == 0 || sum.meters < meters => Weight::Incomplete,
        Some(_) if sum.metered_wh < 0 => Weight::FedBack,
        Some(_) => Weight::Weighed,
    };
    let points: Vec<Point> = sums
        .iter()
        .map(|sum| Point {
            at: sum.at,
            supplied_wh: sum.supplied_wh,
            metered_wh: sum.metered_wh,
            meters: sum.meters,
            weight: weight(sum),
        })
        .collect();
    let mut branch = Branch {
        site,
        points,
        meters,
        supplied_wh: 0,
        metered_wh: 0,
        verdict: Verdict::Unknown,
    };
    let mut each = Vec::new();
    for point in &branch.points {
        let (Weight::Weighed, Some(supplied)) = (point.weight, point.supplied_wh) else {
            continue;
        };
        branch.supplied_wh = branch.supplied_wh.saturating_add(supplied);
        branch.metered_wh = branch.metered_wh.saturating_add(point.metered_wh);
        each.push(judge(supplied, point.metered_wh, limits.least_wh, limits));
    }
    // What began an hour ago shows now, though a day hardly differs yet.
    if let Some(last) = each.len().checked_sub(limits.run.max(1)) {
        let last = each.get(last..).unwrap_or_default();
        let run = |verdict| last.iter().all(|it| *it == verdict);
        // Over the whole time only rounding says nothing: each register counts whole Wh, the
        // feeder's as well, so a sum is off by less than that in each interval. Few small houses
        // at night draw too little for a single interval to tell.
        let count = i64::try_from(each.len()).unwrap_or(i64::MAX);
        let least = count.saturating_mul(i64::from(meters).saturating_add(1));
        branch.verdict = if run(Verdict::Losing) {
            Verdict::Losing
        } else if run(Verdict::Excess) {
            Verdict::Excess
        } else {
            judge(branch.supplied_wh, branch.metered_wh, least, limits)
        };
    }
    branch
}

/// Judges a loss: by what may be lost of what was supplied, and by what says nothing.
fn judge(supplied: i64, metered: i64, least: i64, limits: Limits) -> Verdict {
    let lost = supplied.saturating_sub(metered);
    let part = |percent: u8| supplied.saturating_mul(i64::from(percent)) / 100;
    if lost > least && lost > part(limits.percent) {
        Verdict::Losing
    } else if -lost > least && -lost > part(limits.excess_percent) {
        Verdict::Excess
    } else {
        Verdict::Even
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;

    fn site(feeder: &str, phase: Phase) -> Site {
        (feeder.parse().unwrap(), phase)
    }

    /// A day of quarter hours of two meters, with what was supplied and metered of each.
    fn day(feeder: &str, of: impl Fn(i64) -> (i64, i64)) -> Vec<Supply> {
        let at = |slot: i64| {
            let (supplied, metered_wh) = of(slot);
            Supply {
                at: Timestamp::from_secs(slot * 900),
                feeder: feeder.parse().unwrap(),
                phase: Phase::L1,
                supplied_wh: Some(supplied),
                metered_wh,
                meters: 2,
            }
        };
        (1..=96).map(at).collect()
    }

    fn one(sums: Vec<Supply>, meters: u32) -> Branch {
        let sites = BTreeMap::from([(site("F1", Phase::L1), meters)]);
        let mut all = weigh(sums, &sites, Limits::new(8));
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    #[test]
    fn what_lines_lose_is_even_and_more_is_a_loss() {
        let even = one(day("F1", |_| (1_000, 960)), 2);
        assert_eq!(
            (even.verdict, even.loss_permille()),
            (Verdict::Even, Some(40))
        );
        assert_eq!((even.supplied_wh, even.metered_wh), (96_000, 92_160));
        let lost = one(day("F1", |_| (1_000, 850)), 2);
        assert_eq!(
            (lost.verdict, lost.loss_permille()),
            (Verdict::Losing, Some(150))
        );
        // A third of next to nothing may be what three registers round away.
        let little = one(day("F1", |_| (9, 6)), 2);
        assert_eq!(
            (little.verdict, little.loss_permille()),
            (Verdict::Even, Some(333))
        );
        // 40 % of little: no quarter hour tells it, the day does.
        let night = one(day("F1", |_| (100, 60)), 2);
        assert_eq!(
            (night.verdict, night.loss_permille()),
            (Verdict::Losing, Some(400))
        );
        let mut hour = day("F1", |slot| (100, if slot > 4 { 60 } else { 96 }));
        hour.truncate(8);
        assert_eq!(one(hour, 2).verdict, Verdict::Losing);
    }

    #[test]
    fn what_began_an_hour_ago_shows_and_what_ended_does_not_at_once_go() {
        let since = |from: i64| move |slot| (1_000, if slot > from { 600 } else { 970 });
        assert_eq!(one(day("F1", since(93)), 2).verdict, Verdict::Even);
        let now = one(day("F1", since(92)), 2);
        assert_eq!(
            (now.verdict, now.loss_permille()),
            (Verdict::Losing, Some(45))
        );
        let past = one(
            day("F1", |slot| (1_000, if slot < 60 { 600 } else { 970 })),
            2,
        );
        assert_eq!(past.verdict, Verdict::Losing);
    }

    #[test]
    fn nobody_is_accused_by_a_meter_that_is_missing_or_a_roof_that_delivers() {
        let missing = one(day("F1", |_| (1_000, 500)), 3);
        assert_eq!(missing.verdict, Verdict::Unknown);
        assert_eq!(missing.count(Weight::Incomplete), 96);
        assert_eq!(missing.loss_permille(), None);
        // What flows back is not supplied: the sun is no thief.
        let sunny = one(
            day("F1", |slot| {
                if (40..60).contains(&slot) {
                    (0, -700)
                } else {
                    (1_000, 960)
                }
            }),
            2,
        );
        assert_eq!(
            (sunny.verdict, sunny.loss_permille()),
            (Verdict::Even, Some(40))
        );
        assert_eq!(sunny.count(Weight::FedBack), 20);
        let mut unmetered = day("F1", |_| (1_000, 500));
        unmetered.iter_mut().for_each(|it| it.supplied_wh = None);
        assert_eq!(one(unmetered, 2).verdict, Verdict::Unknown);
        let mut nobody = day("F1", |_| (1_000, 0));
        nobody.iter_mut().for_each(|it| it.meters = 0);
        assert_eq!(one(nobody, 0).verdict, Verdict::Unknown);
        // Three quarter hours say nothing yet.
        let mut young = day("F1", |_| (1_000, 500));
        young.truncate(3);
        assert_eq!(one(young, 2).verdict, Verdict::Unknown);
    }

    #[test]
    fn a_meter_that_hangs_elsewhere_shows_on_both_phases() {
        let mut sums = day("F1", |_| (1_000, 1_400));
        sums.extend(day("F2", |_| (1_000, 560)));
        sums.extend(day("F3", |_| (1_000, 970)));
        let sites = sites(["F1", "F2", "F3"].into_iter().flat_map(|it| {
            let of = site(it, Phase::L1);
            [of.clone(), of]
        }));
        let all = weigh(sums, &sites, Limits::new(8));
        let told: Vec<_> = all
            .iter()
            .map(|it| (it.site.0.as_str(), it.verdict, it.loss_permille()))
            .collect();
        assert_eq!(
            told,
            [
                ("F2", Verdict::Losing, Some(440)),
                ("F1", Verdict::Excess, Some(-400)),
                ("F3", Verdict::Even, Some(30)),
            ]
        );
    }

    #[test]
    fn a_feeder_with_a_meter_on_all_phases_is_weighed_as_a_whole() {
        let all = [
            site("F1", Phase::L1),
            site("F1", Phase::L123),
            site("F2", Phase::L2),
            site("F2", Phase::L2),
        ];
        assert_eq!(
            sites(all.into_iter()),
            BTreeMap::from([(site("F1", Phase::L123), 2), (site("F2", Phase::L2), 2)])
        );
    }
}
