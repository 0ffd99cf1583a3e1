//! What readings went through while a link was cut, and what that comes to.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Readings at a steady pace, and what was done to a link meanwhile. Times are milliseconds since
/// the first reading was due.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Timeline {
    /// The time between two readings, in milliseconds.
    pub every_ms: u32,
    /// The link that was cut, by one of its ends.
    #[schema(example = "2-ff00:0:211#1")]
    pub link: Option<String>,
    /// The other end of that link.
    pub to: Option<String>,
    /// When the link was cut.
    pub cut_ms: Option<u32>,
    /// When it was mended.
    pub mended_ms: Option<u32>,
    /// When the association was made anew, which chooses its path afresh.
    pub anew_ms: Option<u32>,
    /// The paths that answers came by, in the order in which they were first seen.
    pub paths: Vec<DrillPath>,
    /// The readings in the order in which they were due.
    pub readings: Vec<DrillReading>,
}

/// A path that answers came by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DrillPath {
    /// Its ASes, and between them the interfaces.
    #[schema(example = "2-ff00:0:211 1>10 2-ff00:0:210")]
    pub hops: String,
    /// Its fingerprint, 16 hexadecimal digits.
    pub fingerprint: String,
}

/// One reading.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DrillReading {
    /// When it was due.
    pub due_ms: u32,
    /// When it was asked: later where the one before it took longer than the pace.
    pub asked_ms: u32,
    /// How long after it was due its answer was there, in milliseconds; null where none came.
    pub latency_ms: Option<f64>,
    /// The number of its path, from 0; null where there is no answer or no path is told.
    pub path: Option<u16>,
    /// How often it was sent; 1 where nothing was repeated.
    pub sent: u32,
    /// Whether an association had to be made for it.
    pub anew: bool,
    /// Why there is no answer.
    pub why: Option<String>,
}

/// What a drill comes to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DrillSummary {
    /// Readings that were due.
    pub readings: u32,
    /// Those without an answer.
    pub lost: u32,
    /// Those that were answered and sent more than once.
    pub retried: u32,
    /// What half of the readings before the cut took at most, in milliseconds.
    pub usual_ms: Option<f64>,
    /// The longest time without an answer, in milliseconds.
    pub gap_ms: Option<f64>,
    /// When that began, in milliseconds since the first reading was due.
    pub gap_from_ms: Option<f64>,
    /// The number of the path before the cut.
    pub from: Option<u16>,
    /// The number of the path that was taken then; null where it stayed.
    pub to: Option<u16>,
    /// From the cut to the first answer on that path, in milliseconds.
    pub moved_ms: Option<f64>,
    /// When the first answer came on the path before again.
    pub back_ms: Option<f64>,
}

impl DrillReading {
    /// Tells when the answer was there, in milliseconds.
    pub fn answered_ms(&self) -> Option<f64> {
        self.latency_ms
            .map(|latency| f64::from(self.due_ms) + latency)
    }
}

impl Timeline {
    /// Notes a path; returns its number.
    pub(super) fn path(&mut self, hops: String, fingerprint: String) -> u16 {
        let found = self
            .paths
            .iter()
            .position(|path| path.fingerprint == fingerprint);
        let number = found.unwrap_or_else(|| {
            self.paths.push(DrillPath { hops, fingerprint });
            self.paths.len() - 1
        });
        u16::try_from(number).unwrap_or(u16::MAX)
    }

    /// Adds up.
    pub fn summary(&self) -> DrillSummary {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let mut answers: Vec<(f64, Option<u16>)> = self
            .readings
            .iter()
            .filter_map(|reading| Some((reading.answered_ms()?, reading.path)))
            .collect();
        answers.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let cut = self.cut_ms.map(f64::from);
        let before = |at: f64| cut.is_none_or(|cut| at <= cut);
        let from = answers.iter().rev().find(|(at, _)| before(*at));
        let from = from.and_then(|(_, path)| *path);
        let other = |(at, path): &&(f64, Option<u16>)| {
            !before(*at) && from.is_some() && path.is_some() && *path != from
        };
        let moved = answers.iter().find(other);
        let back = moved.and_then(|(moved, _)| {
            let again = |(at, path): &&(f64, Option<u16>)| at > moved && *path == from;
            answers.iter().find(again)
        });
        let gap = self.gap(&answers);
        let mut usual: Vec<f64> = self
            .readings
            .iter()
            .filter(|reading| reading.answered_ms().is_some_and(before))
            .filter_map(|reading| reading.latency_ms)
            .collect();
        usual.sort_by(f64::total_cmp);
        DrillSummary {
            readings: count(self.readings.len()),
            lost: count(self.readings.len() - answers.len()),
            retried: count(
                self.readings
                    .iter()
                    .filter(|reading| reading.latency_ms.is_some() && reading.sent > 1)
                    .count(),
            ),
            usual_ms: usual.get(usual.len() / 2).copied(),
            gap_ms: gap.map(|(_, length)| tenth(length)),
            gap_from_ms: gap.map(|(from, _)| tenth(from)),
            from,
            to: moved.and_then(|(_, path)| *path),
            moved_ms: moved.zip(cut).map(|((at, _), cut)| tenth(at - cut)),
            back_ms: back.map(|(at, _)| tenth(*at)),
        }
    }

    /// The longest time without an answer, up to the last reading that was due: when it began, and
    /// how long it is.
    fn gap(&self, answers: &[(f64, Option<u16>)]) -> Option<(f64, f64)> {
        let last = self
            .readings
            .last()
            .map(|reading| f64::from(reading.due_ms));
        let mut longest: Option<(f64, f64)> = None;
        let ends = answers.iter().skip(1).map(|(at, _)| *at).chain(last);
        for ((from, _), to) in answers.iter().zip(ends) {
            if longest.is_none_or(|(_, length)| to - from > length) {
                longest = Some((*from, (to - from).max(0.0)));
            }
        }
        longest
    }
}

/// To a tenth of a millisecond.
pub(super) fn tenth(ms: f64) -> f64 {
    (ms * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    //! Evidence: figures that were worked out by hand.
    use super::*;

    fn reading(due_ms: u32, latency_ms: f64, path: u16, sent: u32) -> DrillReading {
        DrillReading {
            due_ms,
            asked_ms: due_ms,
            latency_ms: Some(latency_ms),
            path: Some(path),
            sent,
            ..DrillReading::default()
        }
    }

    #[test]
    fn a_failover_and_the_way_back_are_found() {
        let mut drill = Timeline {
            every_ms: 100,
            cut_ms: Some(250),
            mended_ms: Some(600),
            anew_ms: Some(700),
            ..Timeline::default()
        };
        assert_eq!(drill.path("a".to_owned(), "1".to_owned()), 0);
        assert_eq!(drill.path("b".to_owned(), "2".to_owned()), 1);
        assert_eq!(drill.path("a".to_owned(), "1".to_owned()), 0);
        drill.readings = vec![
            reading(0, 3.0, 0, 1),
            reading(100, 5.0, 0, 1),
            reading(200, 4.0, 0, 1),
            // Came after 160 ms; those that were due meanwhile came together behind it.
            reading(300, 160.0, 1, 2),
            reading(400, 64.0, 1, 1),
            DrillReading {
                due_ms: 500,
                why: Some("lost".to_owned()),
                ..DrillReading::default()
            },
            reading(600, 6.0, 1, 1),
            reading(700, 7.5, 0, 1),
        ];
        assert_eq!(
            drill.summary(),
            DrillSummary {
                readings: 8,
                lost: 1,
                retried: 1,
                usual_ms: Some(4.0),
                gap_ms: Some(256.0),
                gap_from_ms: Some(204.0),
                from: Some(0),
                to: Some(1),
                moved_ms: Some(210.0),
                back_ms: Some(707.5),
            }
        );
    }

    #[test]
    fn what_never_answered_again_is_a_gap_to_the_end_and_no_move() {
        let lost = |due_ms| DrillReading {
            due_ms,
            ..DrillReading::default()
        };
        let drill = Timeline {
            every_ms: 100,
            cut_ms: Some(150),
            readings: vec![
                reading(0, 2.0, 0, 1),
                reading(100, 2.0, 0, 1),
                lost(200),
                lost(300),
            ],
            ..Timeline::default()
        };
        let summary = drill.summary();
        assert_eq!((summary.lost, summary.gap_ms), (2, Some(198.0)));
        assert_eq!(
            (summary.from, summary.to, summary.moved_ms),
            (Some(0), None, None)
        );
        assert_eq!(Timeline::default().summary(), DrillSummary::default());
    }
}
