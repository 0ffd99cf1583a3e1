//! The records of a meter whose load profile was read for so many days.

use std::sync::Arc;

use concentrator::collector::rows;
use concentrator::collector::state::Record;
use dlms::axdr::{ClockStatus, Data, DateTime};
use dlms::codec::Wire as _;
use dlms::cosem::Obis;
use model::LogicalDeviceName;

/// The load profile.
pub(crate) const LOAD: Obis = Obis([1, 0, 99, 1, 0, 255]);

/// Makes them, a block a day, for the `number`th meter from `begin` on, in seconds since 1970.
pub(crate) fn records(name: &LogicalDeviceName, number: i64, begin: i64, days: i64) -> Vec<Record> {
    let mut records = vec![Record::Shape {
        name: name.clone(),
        obis: LOAD,
        period_s: 900,
        captured: Arc::from([1, 0]),
    }];
    let mut import = 18_204_317 + number * 977;
    for day in 0..days {
        let rows: Vec<rows::Row> = (0..96)
            .map(|slot| {
                let at = begin + day * 86_400 + slot * 900;
                // A household: 20 to 400 Wh in a quarter of an hour.
                import += 20 + (slot * 7_919 + day * 104_729 + import) % 380;
                let time = DateTime::from_unix_seconds(at, -60, ClockStatus(0)).unwrap();
                let cells = vec![
                    Data::date_time_octets(&time),
                    Data::Unsigned(0),
                    Data::DoubleLongUnsigned(u32::try_from(import).unwrap()),
                    Data::DoubleLongUnsigned(0),
                ];
                rows::Row {
                    at,
                    octets: Data::Structure(cells).to_octets(),
                }
            })
            .collect();
        records.push(Record::Rows {
            name: name.clone(),
            obis: LOAD,
            block: rows::encode(&rows).into(),
        });
    }
    records
}
