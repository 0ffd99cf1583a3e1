//! What must hold of any octets that are taken for rows, records or a log of
//! the collector. The fuzz target has the same.

use concentrator::collector::log;
use concentrator::collector::rows::{self, Row};
use concentrator::collector::state::{Bounds, Record, State};

/// Bounds that little reaches.
const BOUNDS: Bounds = Bounds {
    age_s: 60 * 86_400,
    octets: 16 * 1_024,
};

/// Takes octets for all of them.
pub(crate) fn all(octets: &[u8]) {
    answer(octets);
    block(octets);
    record(octets);
    log(octets);
    let logged = [b"GWDCOLL1", octets].concat();
    log(&logged);
    records(octets);
}

/// The rows of a meter's answer come out of a block as they went in.
fn answer(octets: &[u8]) {
    for clock in 0..2 {
        let Some(taken) = rows::take(octets, clock) else {
            continue;
        };
        assert!(taken.rows.is_sorted_by_key(|row| row.at));
        for rows in taken.rows.chunks(rows::ROWS_MAX) {
            same(rows);
        }
    }
}

fn same(rows: &[Row]) {
    let block = rows::encode(rows);
    assert_eq!(rows::decode(&block).as_deref(), Some(rows));
    let head = rows::head(&block).expect("a block has a head");
    assert_eq!(Some(head.first), rows.first().map(|row| row.at));
    assert_eq!(Some(head.last), rows.last().map(|row| row.at));
    assert_eq!(usize::try_from(head.rows), Ok(rows.len()));
    let tail = rows.iter().filter(|row| row.at == head.last);
    assert!(tail.eq(&head.tail));
}

/// What is taken for a block has rows that can be kept again.
fn block(octets: &[u8]) {
    if let Some(rows) = rows::decode(octets)
        && !rows.is_empty()
    {
        assert!(rows.len() <= rows::ROWS_MAX);
        let again = rows::decode(&rows::encode(&rows));
        assert_eq!(again, Some(rows));
    }
    // Without any promise: a block may have a head and no rows.
    drop(rows::head(octets));
}

/// A record is written in one way, and its state makes itself again.
fn record(octets: &[u8]) {
    let Ok(record) = Record::decode(octets) else {
        return;
    };
    let mut out = Vec::new();
    record.encode(&mut out);
    let again = Record::decode(&out).expect("what was written can be read");
    let mut twice = Vec::new();
    again.encode(&mut twice);
    assert_eq!(twice, out);
    let mut state = State::new(BOUNDS);
    // Twice: what comes again changes nothing for the worse.
    state.apply(&record);
    state.apply(&record);
    hold(state);
}

/// Octets taken for one record after the other, each behind its length.
fn records(octets: &[u8]) {
    let mut state = State::new(BOUNDS);
    let mut rest = octets;
    while let Some((length, after)) = rest.split_first() {
        let (record, after) = after
            .split_at_checked(usize::from(*length))
            .unwrap_or((after, &[]));
        if let Ok(record) = Record::decode(record) {
            state.apply(&record);
        }
        rest = after;
    }
    hold(state);
}

/// A log is read up to where it is whole, and that part is all that counts.
fn log(octets: &[u8]) {
    let length = octets.len() as u64;
    let read = log::replay(&mut &octets[..], length, BOUNDS);
    let Some(found) = read.expect("octets in memory can be read") else {
        return;
    };
    assert!(found.good + found.damaged <= length);
    let good = usize::try_from(found.good).expect("it fits in memory");
    let again = log::replay(&mut &octets[..good], found.good, BOUNDS);
    let again = again.expect("octets in memory can be read");
    let again = again.expect("it was a log");
    assert_eq!((again.good, again.damaged), (found.good, 0));
    assert_eq!(encoded(&again.state), encoded(&found.state));
    hold(found.state);
}

/// What must hold of every state.
fn hold(mut state: State) {
    assert!(state.octets() <= BOUNDS.octets);
    let mut again = State::new(BOUNDS);
    for record in state.records() {
        again.apply(&record);
    }
    assert!(again.octets() <= BOUNDS.octets);
    for now in [i64::MIN, 0, 1_800_000_000, i64::MAX] {
        state.expire(now);
        assert!(state.octets() <= BOUNDS.octets);
        for (_, meter) in state.meters() {
            for (_, series) in meter.series() {
                let kept = series.entries(0, usize::MAX).count();
                assert!(kept <= usize::try_from(series.rows()).unwrap_or(usize::MAX));
            }
        }
    }
}

fn encoded(state: &State) -> Vec<Vec<u8>> {
    let records = state.records();
    let octets = records.iter().map(|record| {
        let mut out = Vec::new();
        record.encode(&mut out);
        out
    });
    octets.collect()
}
