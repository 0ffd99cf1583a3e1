//! Which spans of a profile to ask for.

use std::ops::Range;

use model::Timestamp;

use crate::store::Gap;

/// Bounds on what one association asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeLimits {
    /// Holds the longest span, in seconds.
    pub span_s: i64,
    /// Holds the number of spans.
    pub spans: usize,
    /// Holds the distance in seconds up to which two gaps are asked for in one span.
    pub join_s: i64,
}

/// How often a meter is asked for a gap that it said it does not hold.
const REFUSALS_MAX: u32 = 3;
/// The wait after its first such answer; four times as long after each further one.
const REFUSAL_WAIT_S: i64 = 6 * 3_600;

/// Turns gaps into spans to ask for, newest first, and says whether some are left for later.
///
/// A gap that the meter refused is asked for again a few times, further and further apart: a
/// meter may have been rebuilding its memory. Gaps come in ascending order.
pub fn plan_ranges(gaps: &[Gap], limits: RangeLimits, now: Timestamp) -> (Vec<Range<i64>>, bool) {
    let mut spans: Vec<Range<i64>> = Vec::new();
    for gap in gaps.iter().rev().filter(|gap| is_worth_asking(gap, now)) {
        let mut rest = gap.range.clone();
        match spans.last_mut() {
            Some(last)
                if last.start - rest.end <= limits.join_s
                    && last.end - rest.start <= limits.span_s =>
            {
                last.start = rest.start;
                continue;
            }
            _ => {}
        }
        while !rest.is_empty() {
            if spans.len() == limits.spans {
                return (spans, true);
            }
            let start = rest
                .start
                .max(rest.end.saturating_sub(limits.span_s.max(1)));
            spans.push(start..rest.end);
            rest.end = start;
        }
    }
    (spans, false)
}

fn is_worth_asking(gap: &Gap, now: Timestamp) -> bool {
    let Some((tries, asked)) = gap.refused else {
        return true;
    };
    let wait = REFUSAL_WAIT_S.saturating_mul(4_i64.saturating_pow(tries.saturating_sub(1)));
    tries < REFUSALS_MAX && now.millis_since(asked) >= wait.saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;

    const LIMITS: RangeLimits = RangeLimits {
        span_s: 1_000,
        spans: 4,
        join_s: 100,
    };

    fn gap(range: Range<i64>) -> Gap {
        Gap {
            range,
            intervals: 1,
            refused: None,
        }
    }

    fn plan(gaps: &[Gap]) -> (Vec<Range<i64>>, bool) {
        plan_ranges(gaps, LIMITS, Timestamp::from_secs(1_000_000))
    }

    #[test]
    fn newest_first_joined_where_near_and_cut_where_long() {
        assert_eq!(plan(&[]), (vec![], false));
        let near = [gap(0..100), gap(150..200), gap(5_000..5_100)];
        assert_eq!(plan(&near), (vec![5_000..5_100, 0..200], false));
        let long = [gap(0..2_500)];
        assert_eq!(plan(&long), (vec![1_500..2_500, 500..1_500, 0..500], false));
        let endless = [gap(0..100_000)];
        let (spans, more) = plan(&endless);
        assert_eq!((spans.len(), more), (4, true));
        assert_eq!(spans[0], 99_000..100_000);
    }

    #[test]
    fn a_refused_gap_is_asked_for_again_later_and_not_for_ever() {
        let refused = |tries, hours_ago: i64| Gap {
            refused: Some((tries, Timestamp::from_secs(1_000_000 - hours_ago * 3_600))),
            ..gap(0..100)
        };
        assert!(plan(&[refused(1, 5)]).0.is_empty());
        assert_eq!(plan(&[refused(1, 6)]).0.len(), 1);
        assert!(plan(&[refused(2, 23)]).0.is_empty());
        assert_eq!(plan(&[refused(2, 24)]).0.len(), 1);
        assert!(plan(&[refused(3, 10_000)]).0.is_empty());
    }
}
