//! What concentrators tell beside what the head end reads. Evidence: self-agreement on a real
//! database, and a reference model of who said what.

use std::collections::BTreeMap;

use dlms::cosem::Obis;
use headend::store::{
    Contact, Delivery, LOAD_PROFILE, Notice, Source, Store, Stored, Supply, Sweep,
};
use model::{Event, EventKind, EventSource, Interval, MeterId, Timestamp};
use proptest::prelude::*;

use crate::support::{MIDNIGHT, NOON, Site, layout, row, rows, sweep, wait};

const DAY: i64 = 86_400;

fn concentrator(site: &Site, number: u32) -> MeterId {
    let mut one = crate::support::enrolment(number);
    one.name = format!("GWD1DC{number:010}").parse().unwrap();
    let at = Timestamp::from_secs(MIDNIGHT);
    wait(site.store.enrol_concentrators(vec![one], at))
        .unwrap()
        .added[0]
}

fn told(meter: MeterId, by: MeterId, rows: Vec<Interval>) -> Sweep {
    let mut sweep = sweep(meter, NOON, rows);
    sweep.source = Source::Concentrator(by);
    sweep.contact = Contact::Told;
    sweep
}

fn put(site: &Site, sweep: Sweep) -> Stored {
    wait(site.store.ingest(sweep)).unwrap()
}

/// What is stored of two days: values and who read them, by the beginning of the interval.
fn shown(site: &Site, meter: MeterId) -> BTreeMap<i64, (Interval, Option<MeterId>)> {
    let span = MIDNIGHT - DAY..MIDNIGHT + DAY;
    let slices = site.store.rows(meter, LOAD_PROFILE, span).unwrap();
    let mut all = BTreeMap::new();
    for slice in slices {
        for row in slice.rows {
            let start = row.start.secs();
            let via = slice.via.get(&start).copied();
            assert!(all.insert(start, (row, via)).is_none(), "a row twice");
        }
    }
    all
}

fn other(start: i64, by: i64) -> Interval {
    let mut row = row(start);
    row.values[0] = row.values[0].map(|value| value + by);
    row
}

#[test]
fn rows_of_a_concentrator_fill_gaps_and_carry_its_mark() {
    // A day that is whole, which is a block, and one that is young, which is hot.
    for start in [MIDNIGHT - DAY, MIDNIGHT] {
        let site = Site::new();
        let (meter, by) = (site.enrol(1), concentrator(&site, 9));
        assert_eq!(put(&site, sweep(meter, NOON, rows(start, 4))).added, 4);
        let stored = put(&site, told(meter, by, rows(start, 40)));
        assert_eq!((stored.added, stored.same, stored.conflicts), (36, 4, 0));
        assert_eq!(stored.counts[0].received, 40);
        // The meter itself was not reached.
        assert_eq!(stored.state.reached, Some(Timestamp::from_secs(NOON)));
        let again = put(&site, told(meter, by, rows(start, 40)));
        assert_eq!((again.added, again.same, again.conflicts), (0, 40, 0));
        let site = site.reopen();
        let all = shown(&site, meter);
        assert_eq!(all.len(), 40);
        for (index, (_, via)) in all.values().enumerate() {
            assert_eq!(*via, (index >= 4).then_some(by));
        }
        // What is read directly takes its place without a second row.
        let direct = put(&site, sweep(meter, NOON, rows(start, 20)));
        assert_eq!((direct.added, direct.same, direct.conflicts), (0, 20, 0));
        let marked = shown(&site, meter)
            .into_values()
            .filter(|(_, via)| via.is_some());
        assert_eq!(marked.count(), 20);
    }
}

#[test]
fn a_concentrator_replaces_nothing_and_what_it_tells_otherwise_is_noted() {
    for start in [MIDNIGHT - DAY, MIDNIGHT] {
        let site = Site::new();
        let (meter, by) = (site.enrol(1), concentrator(&site, 9));
        put(&site, sweep(meter, NOON, rows(start, 2)));
        let forged: Vec<_> = (0..3).map(|slot| other(start + slot * 900, 5)).collect();
        let stored = put(&site, told(meter, by, forged.clone()));
        assert_eq!((stored.added, stored.changed, stored.conflicts), (1, 0, 2));
        let noticed = stored.events.iter().map(|event| (event.source, event.code));
        let code = EventKind::RowsDiffer.code();
        assert_eq!(noticed.collect::<Vec<_>>(), [(EventSource::HeadEnd, code)]);
        // Told once more it is not noted anew.
        assert_eq!(put(&site, told(meter, by, forged.clone())).conflicts, 0);
        let all = shown(&site, meter);
        assert_eq!(all[&start], (row(start), None));
        assert_eq!(all[&(start + 1_800)], (other(start + 1_800, 5), Some(by)));
        // Its own row is found wrong once the meter was read.
        let direct = put(&site, sweep(meter, NOON, rows(start, 3)));
        assert_eq!((direct.changed, direct.conflicts), (1, 1));
        let all = shown(&site, meter);
        assert!((0..3).all(|slot| all[&(start + slot * 900)] == (row(start + slot * 900), None)));
        let span = start..start + DAY;
        let conflicts = site.store.conflicts(meter, LOAD_PROFILE, span).unwrap();
        let rows: Vec<_> = conflicts.iter().map(|it| it.row.clone()).collect();
        assert_eq!(rows, forged);
        assert!(conflicts.iter().all(|it| it.concentrator == by));
    }
}

#[test]
fn day_totals_say_how_many_intervals_a_concentrator_read() {
    let site = Site::new();
    let (meter, by) = (site.enrol(1), concentrator(&site, 9));
    put(&site, sweep(meter, NOON, rows(MIDNIGHT - DAY, 60)));
    put(&site, told(meter, by, rows(MIDNIGHT - DAY, 96)));
    let day = site.store.calendar().day_of(MIDNIGHT - DAY);
    let total = site.store.day_totals(LOAD_PROFILE, day).unwrap().remove(0);
    assert_eq!((total.received, total.via), (96, 36));
}

#[test]
fn the_columns_that_count_are_those_that_the_meter_told() {
    let site = Site::new();
    let (meter, by) = (site.enrol(1), concentrator(&site, 9));
    let told_by = |site: &Site| site.store.told_layouts(meter, LOAD_PROFILE).unwrap();
    put(&site, told(meter, by, rows(MIDNIGHT, 4)));
    assert!(told_by(&site).is_empty());
    put(&site, sweep(meter, NOON, Vec::new()));
    assert_eq!(told_by(&site), [layout()]);
    // Rows in other columns show nowhere where the meter was read.
    let mut odd = told(meter, by, rows(MIDNIGHT, 8));
    odd.profiles[0].layout.channels[0].scaler = 3;
    put(&site, odd);
    put(&site, sweep(meter, NOON, rows(MIDNIGHT, 8)));
    let all = shown(&site, meter);
    assert_eq!(all.len(), 8);
    assert!(all.values().all(|(_, via)| via.is_none()));
}

#[test]
fn an_event_that_is_told_is_the_meters_own_once_it_says_so() {
    let site = Site::new();
    let (meter, by) = (site.enrol(1), concentrator(&site, 9));
    let log = Obis::new(0, 0, 99, 98, 1, 255);
    let event = |source| Event {
        at: Timestamp::from_secs(NOON),
        source,
        code: EventKind::MeterCoverRemoved.code(),
    };
    let word = event(EventSource::Concentrator { by, log: Some(log) });
    let own = event(EventSource::Meter(log));
    for (given, new, kept) in [(word, 1, word), (own, 1, own), (word, 0, own)] {
        let mut sweep = Sweep::new(meter, Timestamp::from_secs(NOON), Contact::Told);
        sweep.events.push(given);
        assert_eq!(put(&site, sweep).events.len(), new);
        assert_eq!(site.store.events(meter, None, 9).unwrap(), (1, vec![kept]));
    }
}

#[test]
fn notices_and_sums_are_kept_once() {
    let site = Site::new();
    let (meter, by) = (site.enrol(1), concentrator(&site, 9));
    let at = Timestamp::from_secs(NOON);
    let silent = Event {
        at,
        source: EventSource::Concentrator { by, log: None },
        code: EventKind::FellSilent.code(),
    };
    let sum = |metered_wh, meters| Supply {
        at,
        feeder: "F1".parse().unwrap(),
        phase: "L1".parse().unwrap(),
        supplied_wh: Some(1_000),
        metered_wh,
        meters,
    };
    let deliver = |supply| {
        let delivery = Delivery {
            concentrator: by,
            notices: vec![Notice {
                number: 7,
                at,
                code: 1,
                detail: vec![1, 0],
            }],
            supply: vec![supply],
            events: vec![(meter, silent)],
        };
        wait(site.store.deliver(delivery)).unwrap().len()
    };
    assert_eq!(deliver(sum(400, 8)), 1);
    assert_eq!(deliver(sum(900, 10)), 0);
    // A sum of fewer meters, after its restart, takes nothing back.
    assert_eq!(deliver(sum(100, 2)), 0);
    assert_eq!(site.store.notices(by, 9).unwrap().len(), 1);
    let sums = site.store.supply(by, NOON..NOON + 1).unwrap();
    assert_eq!(sums, [sum(900, 10)]);
    assert_eq!(site.store.events(meter, None, 9).unwrap().1, [silent]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever comes in whatever order: a slot shows what the meter said last, else what the
    /// first concentrator told, with its mark; nothing forged ever shows without one.
    #[test]
    fn who_said_what_is_never_mixed_up(
        steps in prop::collection::vec((0_usize..3, 0_i64..10, 1_usize..6, 0_i64..3), 1..14),
        young: bool,
        sealed: bool,
    ) {
        let site = Site::new();
        let meter = site.enrol(1);
        let by = [concentrator(&site, 8), concentrator(&site, 9)];
        let start = if young { MIDNIGHT } else { MIDNIGHT - DAY };
        let mut model: BTreeMap<i64, (Interval, Option<MeterId>)> = BTreeMap::new();
        for (who, first, count, value) in steps {
            let rows: Vec<Interval> = (first..)
                .take(count)
                .map(|slot| other(start + slot * 900, value))
                .collect();
            let who = who.checked_sub(1).map(|index| by[index]);
            let before = model.len();
            for row in &rows {
                let at = row.start.secs();
                match who {
                    None => drop(model.insert(at, (row.clone(), None))),
                    Some(_) => drop(model.entry(at).or_insert_with(|| (row.clone(), who))),
                }
            }
            let stored = put(&site, match who {
                None => sweep(meter, NOON, rows),
                Some(by) => told(meter, by, rows),
            });
            prop_assert_eq!(usize::try_from(stored.added).unwrap(), model.len() - before);
            prop_assert_eq!(&shown(&site, meter), &model);
        }
        if sealed {
            let tomorrow = site.store.calendar().day_of(MIDNIGHT).plus(1);
            wait(site.store.seal(tomorrow, 10)).unwrap();
        }
        let site = site.reopen();
        prop_assert_eq!(&shown(&site, meter), &model);
    }
}
