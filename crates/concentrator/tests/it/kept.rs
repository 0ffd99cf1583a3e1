//! What the collector keeps, from octets that meters, disks and thieves made
//! up: rows, blocks, records, logs.
//!
//! Evidence: robustness. Seeds here; `fuzz/` has the same checks.

#[path = "kept/checks.rs"]
mod checks;

use concentrator::collector::rows::{self, Row};
use concentrator::collector::state::{Notice, NoticeKind, Record};
use dlms::axdr::{ClockStatus, Data, DateTime};
use dlms::codec::Wire as _;
use dlms::cosem::Obis;
use sim::draw;

const LOAD: Obis = Obis([1, 0, 99, 1, 0, 255]);

fn rows(count: i64, odd: bool) -> Vec<Row> {
    let rows = (0..count).map(|number| {
        let at = 1_790_000_100 + number * 900;
        let time = DateTime::from_unix_seconds(at, -60, ClockStatus(0)).unwrap();
        let mut cells = vec![
            Data::date_time_octets(&time),
            Data::Unsigned(0),
            Data::DoubleLongUnsigned(u32::try_from(number * 40).unwrap()),
        ];
        if odd {
            cells.push(Data::visible_string("as it came"));
        }
        Row {
            at,
            octets: Data::Structure(cells).to_octets(),
        }
    });
    rows.collect()
}

/// Well-made octets of each kind.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let name: model::LogicalDeviceName = "GWD0000000000001".parse().unwrap();
    let mut log = b"GWDCOLL1".to_vec();
    let mut lengths = Vec::new();
    for odd in [false, true] {
        let rows = rows(5, odd);
        let cells = rows.iter().map(|row| {
            let data = dlms::axdr::RawData::new(&row.octets).decode();
            data.unwrap()
        });
        seeds.push(Data::Array(cells.collect()).to_octets());
        let block = rows::encode(&rows);
        seeds.push(block.clone());
        let named = || name.clone();
        for record in [
            Record::Shape {
                name: named(),
                obis: LOAD,
                period_s: 900,
                captured: vec![1, 0].into(),
            },
            Record::Rows {
                name: named(),
                obis: LOAD,
                block: block.into(),
            },
            Record::Delivered {
                name: named(),
                obis: LOAD,
                until: rows[2].at,
            },
            Record::Mark {
                name: named(),
                obis: LOAD,
                last: rows[4].at,
                digests: vec![1, 2],
            },
            Record::Counter {
                name: named(),
                end: 5,
                hinted: 1,
                floor: 7,
            },
            Record::Switch {
                name: named(),
                on: true,
            },
            Record::Notice(Notice {
                number: 3,
                at: 1_790_000_000,
                kind: NoticeKind::Dropped,
                detail: Data::DoubleLongUnsigned(3).to_octets(),
            }),
            Record::Noticed(2),
            Record::Clock(-5),
        ] {
            let mut octets = Vec::new();
            record.encode(&mut octets);
            log.extend(u32::try_from(octets.len()).unwrap().to_be_bytes());
            log.extend(crc32fast::hash(&octets).to_be_bytes());
            log.extend(&octets);
            if let Ok(length) = u8::try_from(octets.len()) {
                lengths.push(length);
                lengths.extend(&octets);
            }
            seeds.push(octets);
        }
    }
    seeds.push(log);
    seeds.push(lengths);
    seeds
}

#[test]
fn well_made_octets_hold() {
    for seed in seeds() {
        checks::all(&seed);
    }
    // The checks do see what is in them: a log has its rows.
    let log = seeds().into_iter().rfind(|it| it.starts_with(b"GWDCOLL1"));
    let log = log.unwrap();
    let length = log.len() as u64;
    let found = concentrator::collector::log::replay(
        &mut &log[..],
        length,
        concentrator::collector::state::Bounds::default(),
    );
    let found = found.unwrap().unwrap();
    assert_eq!((found.good, found.damaged), (length, 0));
    assert!(found.state.rows() > 0);
}

#[test]
fn mutated_octets_neither_panic_nor_lie() {
    let seeds = seeds();
    for run in 0..20_000_u64 {
        let mut drawn = 0;
        let mut below = |limit: usize| {
            drawn += 1;
            let number = draw(run, drawn) % u64::try_from(limit.max(1)).unwrap();
            usize::try_from(number).unwrap()
        };
        let mut octets = seeds[below(seeds.len())].clone();
        for _ in 0..1 + below(4) {
            let place = below(octets.len());
            let value = u8::try_from(below(256)).unwrap();
            match below(7) {
                0 if !octets.is_empty() => octets[place] ^= 1 << below(8),
                1 if !octets.is_empty() => octets[place] = value,
                2 => octets.insert(place, value),
                3 => octets.truncate(place),
                4 if !octets.is_empty() => drop(octets.remove(place)),
                5 => {
                    let other = &seeds[below(seeds.len())];
                    let from = below(other.len());
                    octets.truncate(place);
                    octets.extend(&other[from..]);
                }
                _ if !octets.is_empty() => {
                    octets[place] = [0, 0x7F, 0x80, 0xFF][below(4)];
                }
                _ => octets.push(value),
            }
        }
        checks::all(&octets);
    }
}
