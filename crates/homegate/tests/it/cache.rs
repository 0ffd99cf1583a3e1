//! What is kept and what is not. Evidence: what users reported of other
//! gateways (zeros after a power cut, totals that step back, spikes after a
//! gap: home-assistant/core #75896, #88260, #113539), replayed.

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
