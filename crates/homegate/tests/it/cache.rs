//! What is kept and what is not. Evidence: what users reported of other
//! gateways (zeros every four hours: home-assistant/core #75896; zeros or
//! billions of kilowatt hours in a power failure: #88260; totals that step
//! back: #113539), played again with numbers as they are told there.

use dlms::cosem::{Obis, ScalerUnit, Unit};
use han::measure::{Basis, MeterTime, Report, Value};
use homegate::cache::{Cache, TimeBasis};
use model::Timestamp;

const NOW: Timestamp = Timestamp::from_secs(1_795_233_600);

fn value(c: u8, d: u8, number: i64, scaler: i8, unit: Unit) -> Value {
    Value {
        obis: Obis::new(1, 0, c, d, 0, 255),
        quantity: ScalerUnit::new(scaler, unit).scaled(number),
        basis: Basis::Told,
        time: None,
    }
}

fn total(watt_hours: i64, at: Option<i64>) -> Report {
    Report {
        meter: Some("1".to_owned()),
        time: at.map(|at| MeterTime::utc(at, 1_000)),
        values: vec![value(1, 8, watt_hours, 0, Unit::WATT_HOUR)],
        ..Report::default()
    }
}

#[test]
fn a_total_never_steps_back_nor_to_zero() {
    let cache = Cache::new();
    for (told, kept) in [(1_000, 1_000), (0, 1_000), (999, 1_000), (1_001, 1_001)] {
        cache.take(&total(told, None), NOW, None);
        let own = cache.snapshot().delivered.unwrap();
        assert_eq!(own.thousandths, kept * 1_000);
        assert_eq!(own.basis, TimeBasis::Receipt);
    }
    assert_eq!(cache.snapshot().counters.shrunk, 2);
}

#[test]
fn an_older_value_does_not_replace_a_newer() {
    let cache = Cache::new();
    let start = NOW.secs();
    cache.take(&total(1_000, Some(start)), NOW, None);
    cache.take(&total(1_010, Some(start - 60)), NOW, None);
    let kept = cache.snapshot();
    assert_eq!(kept.delivered.unwrap().thousandths, 1_000_000);
    assert_eq!(kept.counters.older, 1);
    let own = kept.delivered.unwrap();
    assert_eq!(
        (own.at, own.error_ms, own.basis),
        (NOW, 1_000, TimeBasis::Meter)
    );
}

#[test]
fn a_clock_that_was_set_hides_no_values() {
    let cache = Cache::new();
    let power = |watts: i64, at: i64| Report {
        time: Some(MeterTime::utc(at, 1_000)),
        values: vec![value(16, 7, watts, 0, Unit::WATT)],
        ..Report::default()
    };
    let known = || cache.snapshot().net_power.unwrap();
    let start = NOW.secs();
    // A day ahead: the time of receipt counts, and once the clock is right the
    // next value is taken.
    cache.take(&power(100, start + 86_400), NOW, None);
    assert_eq!((known().at, known().basis), (NOW, TimeBasis::Receipt));
    let next = NOW.plus_secs(7);
    cache.take(&power(101, start + 7), next, None);
    assert_eq!(known().thousandths, 101_000);
    assert_eq!((known().at, known().basis), (next, TimeBasis::Meter));
    // Fallen to the year 2000 after a power cut.
    let next = NOW.plus_secs(14);
    cache.take(&power(102, 946_684_800), next, None);
    assert_eq!(known().thousandths, 102_000);
    assert_eq!((known().at, known().basis), (next, TimeBasis::Receipt));
    // Half an hour ahead, which is believed, then right: what is older is left
    // out for a minute, and no longer.
    cache.take(&power(103, start + 1_821), NOW.plus_secs(21), None);
    for (after, kept) in [(28, 103), (77, 103), (84, 84)] {
        cache.take(&power(after, start + after), NOW.plus_secs(after), None);
        assert_eq!(known().thousandths, kept * 1_000, "after {after} s");
    }
    assert_eq!(cache.snapshot().counters.older, 2);
}

#[test]
fn a_clock_of_the_gateway_that_was_set_back_hides_no_values() {
    let cache = Cache::new();
    cache.take(&total(1_000, None), NOW.plus_secs(86_400), None);
    cache.take(&total(1_001, None), NOW, None);
    assert_eq!(cache.snapshot().delivered.unwrap().thousandths, 1_001_000);
    assert_eq!(cache.snapshot().counters.older, 0);
}

/// Has totals told, one each minute, and compares what is known after each.
fn told(cache: &Cache, from_s: i64, totals: &[(i64, i64)]) {
    for (index, (told, kept)) in totals.iter().enumerate() {
        let after = from_s + 60 * i64::try_from(index).unwrap();
        cache.take(&total(*told, None), NOW.plus_secs(after), None);
        let known = cache.snapshot().delivered.unwrap();
        assert_eq!(known.thousandths, kept * 1_000, "{told} after {after} s");
    }
}

#[test]
fn absurd_totals_of_a_power_failure_are_left_out() {
    // #88260: billions of kilowatt hours in the hour of a power failure.
    let cache = Cache::new();
    let right = 27_875_300;
    let absurd = 4_294_967_295_000;
    told(
        &cache,
        0,
        &[
            (right, right),
            (absurd, right),
            (absurd, right),
            (absurd, right),
            (absurd, right),
            (0, right),
            (right + 20, right + 20),
        ],
    );
    let counters = cache.snapshot().counters;
    assert_eq!((counters.jumped, counters.shrunk), (4, 1));
    // Neither is it taken where nothing is known yet.
    let cache = Cache::new();
    cache.take(&total(absurd, None), NOW, None);
    assert_eq!(cache.snapshot().delivered, None);
    told(&cache, 60, &[(right, right)]);
}

#[test]
fn what_nobody_can_have_used_is_believed_three_in_a_row() {
    let cache = Cache::new();
    let right = 27_875_300;
    // A divisor of 1 instead of 1,000, twice, and one by itself between.
    let wrong = right * 100;
    told(
        &cache,
        0,
        &[
            (right, right),
            (wrong, right),
            (wrong, right),
            (right + 30, right + 30),
            (wrong, right + 30),
            (wrong + 5, right + 30),
            (wrong / 2, right + 30),
            (right + 40, right + 40),
        ],
    );
    assert_eq!(cache.snapshot().counters.jumped, 5);
    // A meter that was exchanged tells its own again and again.
    let own = right + 5_000_000;
    told(
        &cache,
        600,
        &[
            (own, right + 40),
            (own + 1, right + 40),
            (own + 2, own + 2),
            (own + 3, own + 3),
        ],
    );
    // After an outage of a day so much can have been used.
    told(&cache, 100_000, &[(own + 2_000_000, own + 2_000_000)]);
    assert_eq!(cache.snapshot().counters.jumped, 7);
}

#[test]
fn less_is_believed_after_hours_and_zero_never() {
    let cache = Cache::new();
    cache.take(&total(1_000, None), NOW, None);
    let hours = |hours: i64, watt_hours| {
        let at = NOW.plus_secs(hours * 3_600);
        cache.take(&total(watt_hours, None), at, None);
        cache.snapshot().delivered.unwrap().thousandths / 1_000
    };
    for hour in 1..20 {
        assert_eq!(hours(hour, 0), 1_000, "zero at hour {hour}");
    }
    // A meter that was exchanged for one without a number.
    for hour in 20..26 {
        assert_eq!(hours(hour, hour), 1_000, "at hour {hour}");
    }
    assert_eq!(hours(26, 26), 26);
    assert_eq!(hours(27, 27), 27);
}

#[test]
fn another_meter_counts_anew() {
    let cache = Cache::new();
    cache.take(&total(1_000, None), NOW, None);
    let other = Report {
        meter: Some("2".to_owned()),
        ..total(5, None)
    };
    cache.take(&other, NOW, None);
    assert_eq!(cache.snapshot().delivered.unwrap().thousandths, 5_000);
    assert_eq!(cache.snapshot().counters.shrunk, 0);
}

#[test]
fn what_is_not_told_is_not_there() {
    let cache = Cache::new();
    cache.take(&Report::default(), NOW, None);
    let kept = cache.snapshot();
    assert_eq!(
        (kept.net_power, kept.delivered, kept.received),
        (None, None, None)
    );
    // A unit that is none of power is no power.
    let odd = Report {
        values: vec![value(16, 7, 5, 0, Unit::VOLT)],
        ..Report::default()
    };
    cache.take(&odd, NOW, None);
    assert_eq!(cache.snapshot().net_power, None);
}

#[test]
fn what_is_stale_is_not_current() {
    let cache = Cache::new();
    let report = Report {
        values: vec![value(16, 7, -1_500, 0, Unit::WATT)],
        ..Report::default()
    };
    cache.take(&report, NOW, None);
    let kept = cache.snapshot();
    assert_eq!(
        kept.current_power(NOW.plus_secs(30), 30_000)
            .unwrap()
            .thousandths,
        -1_500_000
    );
    assert_eq!(kept.current_power(NOW.plus_secs(31), 30_000), None);
}
