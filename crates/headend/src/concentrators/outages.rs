//! Outages: what a concentrator's notices of silence come to, one for all meters that fell silent
//! together.

use std::collections::BTreeSet;

use model::{LogicalDeviceName, Timestamp};

use super::delivery;
use crate::store::Notice;

/// Meters fell silent together (docs/concentrator.md).
const SILENT: u8 = 1;
/// Meters are there again.
const BACK: u8 = 2;

/// Meters that fell silent together, by the word of their concentrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Holds the number of the notice that told of it.
    pub number: u32,
    /// Says when, by the concentrator's clock.
    pub began: Timestamp,
    /// Says when the last of its meters was there again.
    pub ended: Option<Timestamp>,
    /// Holds its meters in the order of their names.
    pub meters: BTreeSet<LogicalDeviceName>,
    /// Holds those of them that are still out.
    pub out: BTreeSet<LogicalDeviceName>,
}

/// Makes outages out of notices, those stored last first; the outage that began last is the first.
///
/// A meter that is told to be silent twice, and never to be there again, is out in both.
pub fn outages(notices: &[Notice]) -> Vec<Outage> {
    let mut all: Vec<Outage> = Vec::new();
    for notice in notices.iter().rev() {
        let named: BTreeSet<_> = delivery::names(&notice.detail).into_iter().collect();
        if named.is_empty() {
            continue;
        }
        match notice.code {
            SILENT => all.push(Outage {
                number: notice.number,
                began: notice.at,
                ended: None,
                meters: named.clone(),
                out: named,
            }),
            BACK => {
                for outage in all.iter_mut().filter(|it| it.ended.is_none()) {
                    outage.out.retain(|name| !named.contains(name));
                    if outage.out.is_empty() {
                        outage.ended = Some(notice.at);
                    }
                }
            }
            _ => {}
        }
    }
    all.reverse();
    all
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use dlms::axdr::Data;
    use dlms::codec::Wire as _;

    use super::*;

    fn notice(number: u32, code: u8, meters: &[u32]) -> Notice {
        let names = meters.iter().map(|it| format!("GWD{it:013}"));
        let names = names.map(|it| Data::octet_string(it.into_bytes()));
        Notice {
            number,
            at: Timestamp::from_secs(i64::from(number) * 100),
            code,
            detail: Data::Array(names.collect()).to_octets(),
        }
    }

    fn told(mut notices: Vec<Notice>) -> Vec<(u32, usize, usize, Option<i64>)> {
        notices.reverse();
        let all = outages(&notices);
        let line = |it: &Outage| {
            let ended = it.ended.map(Timestamp::secs);
            (it.number, it.meters.len(), it.out.len(), ended)
        };
        all.iter().map(line).collect()
    }

    #[test]
    fn an_outage_ends_with_its_last_meter() {
        let mut all = vec![
            notice(1, 1, &[1, 2, 3]),
            notice(2, 4, &[]),
            notice(3, 2, &[1, 9]),
            notice(4, 1, &[4]),
        ];
        assert_eq!(told(all.clone()), [(4, 1, 1, None), (1, 3, 2, None)]);
        all.push(notice(5, 2, &[2, 3]));
        assert_eq!(told(all.clone()), [(4, 1, 1, None), (1, 3, 0, Some(500))]);
        // Silent once more is an outage of its own, and the first stays as it ended.
        all.push(notice(6, 1, &[2]));
        all.push(notice(7, 2, &[2, 4]));
        assert_eq!(
            told(all),
            [
                (6, 1, 0, Some(700)),
                (4, 1, 0, Some(700)),
                (1, 3, 0, Some(500))
            ]
        );
    }

    #[test]
    fn what_names_nobody_is_no_outage() {
        let mut odd = notice(2, 1, &[1]);
        odd.detail = vec![0xFF; 9];
        assert_eq!(told(vec![notice(1, 1, &[]), odd, notice(3, 2, &[1])]), []);
    }
}
