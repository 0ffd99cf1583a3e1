//! What a concentrator says of itself and of the meters behind it: a word, which is shown and
//! decides nothing.
//!
//! The objects of its logical device (SAP 1) are named in `docs/concentrator.md`.

use std::collections::BTreeMap;

use dlms::axdr::{Data, RawData};
use dlms::cosem::Obis;
use model::{LogicalDeviceName, Timestamp};

use crate::collector::RegisterRef;

/// Everything that one look at a concentrator gave; what it does not have is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Says when it was looked at.
    pub at: Timestamp,
    /// Holds the round trip time of the answer in microseconds.
    pub rtt_us: Option<u32>,
    /// Names its firmware.
    pub firmware: Option<String>,
    /// Holds its serial number.
    pub serial: Option<String>,
    /// Holds its clock less the head end's, in seconds.
    pub clock_s: Option<i64>,
    /// Holds the port on which it waits for head ends.
    pub port: Option<u16>,
    /// Counts the changes of its SAP list.
    pub sap_changes: Option<u32>,
    /// Says what it forwarded and dropped.
    pub forwarded: Option<Forwarded>,
    /// Says what it read on its own.
    pub collection: Option<Collection>,
    /// Holds the kinds of notices that nobody took yet, bit n for code n.
    pub alarms: Option<u32>,
    /// Lists its segments.
    pub segments: Vec<Segment>,
    /// Lists its connections to head ends.
    pub connections: Vec<Connection>,
    /// Says what its own metering measures.
    pub metering: Vec<Feeder>,
}

/// What a concentrator forwarded and dropped, in messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// To meters.
    pub down: u64,
    /// From meters.
    pub up: u64,
    /// For SAPs that nobody has.
    pub unknown: u64,
    /// That found a queue full.
    pub full: u64,
    /// That waited too long.
    pub expired: u64,
    /// From meters that nobody had asked.
    pub unasked: u64,
    /// For head ends that were gone.
    pub nobody: u64,
    /// Too long for their segment.
    pub unfit: u64,
    /// Meters that said the name of another.
    pub conflicts: u64,
}

/// What a concentrator read on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collection {
    /// Rounds that went well.
    pub rounds: u64,
    /// Rounds that failed.
    pub failed: u64,
    /// Rows that it holds for the head end.
    pub rows: u64,
    /// Octets that these take.
    pub octets: u64,
    /// Rows that it dropped before anybody took them.
    pub dropped: u64,
}

/// A segment of a concentrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Holds its number.
    pub number: u16,
    /// Names the kind of its medium.
    pub medium: String,
    /// Says whether its line is there.
    pub open: bool,
    /// Counts the messages that wait for it.
    pub waiting: u32,
    /// Lists the SAPs of the meters that are there.
    pub saps: Vec<u16>,
}

/// A connection of a concentrator to a head end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Names the head end's address.
    pub peer: String,
    /// Says whether the concentrator opened it.
    pub dialled: bool,
    /// Says since when it is there.
    pub since: Timestamp,
}

/// What a concentrator measures on a feeder, by phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feeder {
    /// Names the feeder.
    pub name: String,
    /// Holds voltages in mV.
    pub voltage_mv: [u32; 3],
    /// Holds currents in mA.
    pub current_ma: [u32; 3],
    /// Holds energies since ever in Wh.
    pub energy_wh: [u64; 3],
}

/// What a concentrator says of one meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterLine {
    /// Holds its SAP.
    pub sap: u16,
    /// Says whether it is there.
    pub there: bool,
    /// Says when it was heard last.
    pub heard: Option<Timestamp>,
    /// Counts the meters that repeat what goes to it.
    pub hops: u8,
    /// Holds the permille of its frames that are heard.
    pub quality: Option<u16>,
    /// Says whether the concentrator reads it on its own.
    pub collected: bool,
    /// Says whether the concentrator has keys to read it.
    pub has_keys: bool,
    /// Counts the rows of it that the concentrator holds.
    pub rows: u32,
}

/// The meters behind a concentrator by name.
pub type Meters = BTreeMap<LogicalDeviceName, MeterLine>;

/// The greatest number of meters that is kept of one concentrator; the SAPs of a list end at
/// 0x3FFF.
pub const METERS_MAX: usize = 16_384;
const SEGMENTS_MAX: usize = 64;
const CONNECTIONS_MAX: usize = 256;
const FEEDERS_MAX: usize = 64;
const TEXT_LEN_MAX: usize = 64;

const fn manufacturer(e: u8) -> Obis {
    // Value groups C from 128 to 199 are the manufacturer's (IEC 62056-6-1).
    Obis::new(0, 0, 128, 0, e, 255)
}

const fn attribute(class: u16, object: Obis) -> RegisterRef {
    RegisterRef {
        class,
        object,
        attribute: 2,
    }
}

/// What is asked in each look, in the order in which [`Report::decode`] takes the answers.
pub(super) const LOOK: [RegisterRef; 11] = [
    attribute(1, Obis::new(1, 0, 0, 2, 0, 255)),
    attribute(1, Obis::new(0, 0, 96, 1, 0, 255)),
    attribute(8, Obis::new(0, 0, 1, 0, 0, 255)),
    attribute(41, Obis::new(0, 0, 25, 0, 0, 255)),
    attribute(1, manufacturer(1)),
    attribute(1, manufacturer(3)),
    attribute(1, manufacturer(6)),
    attribute(1, Obis::new(0, 0, 97, 98, 0, 255)),
    attribute(1, manufacturer(11)),
    attribute(1, manufacturer(12)),
    attribute(1, manufacturer(13)),
];

/// What is asked of the meters: their status, and who of them is collected.
pub(super) const METERS: [RegisterRef; 2] =
    [attribute(1, manufacturer(2)), attribute(1, manufacturer(4))];

impl Report {
    /// Reads the answers to [`LOOK`].
    pub(super) fn decode(answers: &[Option<Vec<u8>>], at: Timestamp, rtt_us: Option<u32>) -> Self {
        let mut values = answers.iter().map(|octets| {
            let octets = octets.as_deref()?;
            RawData::new(octets).decode().ok()
        });
        let mut next = || values.next().flatten();
        let firmware = next().as_ref().and_then(text);
        let serial = next().as_ref().and_then(text);
        let clock = next().and_then(|it| it.as_date_time()?.to_unix_seconds());
        let port = next().and_then(|it| it.as_u16());
        let sap_changes = next().and_then(|it| it.as_u32());
        let forwarded = next().and_then(|it| Forwarded::decode(&it));
        let collection = next().and_then(|it| Collection::decode(&it));
        let alarms = next().and_then(|it| it.as_u32());
        let segments = each(next(), SEGMENTS_MAX, Segment::decode);
        let connections = each(next(), CONNECTIONS_MAX, Connection::decode);
        let metering = each(next(), FEEDERS_MAX, Feeder::decode);
        Self {
            at,
            rtt_us,
            firmware,
            serial,
            clock_s: clock.map(|clock| clock.saturating_sub(at.secs())),
            port: port.filter(|port| *port > 0),
            sap_changes,
            forwarded,
            collection,
            alarms,
            segments,
            connections,
            metering,
        }
    }

    /// Tells at which segment each SAP is.
    pub fn segments_by_sap(&self) -> BTreeMap<u16, u16> {
        let of = |segment: &Segment| {
            let number = segment.number;
            segment
                .saps
                .clone()
                .into_iter()
                .map(move |sap| (sap, number))
        };
        self.segments.iter().flat_map(of).collect()
    }
}

/// Reads the answers to [`METERS`].
pub(super) fn meters(answers: &[Option<Vec<u8>>]) -> Option<Meters> {
    let mut values = answers.iter().map(|octets| {
        let octets = octets.as_deref()?;
        RawData::new(octets).decode().ok()
    });
    let status = values.next().flatten()?;
    let mut meters = Meters::new();
    for line in status.as_array()?.iter().take(METERS_MAX) {
        let [sap, name, there, heard, hops, quality] = line.as_structure()? else {
            return None;
        };
        // Names that no logical device has are left out.
        let Some(name) = name_of(name) else { continue };
        let line = MeterLine {
            sap: sap.as_u16()?,
            there: there.as_bool()?,
            heard: heard.as_u32().map(|at| Timestamp::from_secs(i64::from(at))),
            hops: hops.as_u8()?,
            quality: quality.as_u16().map(|permille| permille.min(1_000)),
            collected: false,
            has_keys: false,
            rows: 0,
        };
        meters.entry(name).or_insert(line);
    }
    let collected = values.next().flatten();
    let collected = collected.as_ref().and_then(Data::as_array);
    for line in collected.into_iter().flatten().take(METERS_MAX) {
        let Some([name, on, rows, keys]) = line.as_structure() else {
            continue;
        };
        let meter = name_of(name).and_then(|name| meters.get_mut(&name));
        if let Some(meter) = meter {
            meter.collected = on.as_bool().unwrap_or(false);
            meter.rows = rows.as_u32().unwrap_or(0);
            meter.has_keys = keys.as_bool().unwrap_or(false);
        }
    }
    Some(meters)
}

fn name_of(data: &Data) -> Option<LogicalDeviceName> {
    LogicalDeviceName::from_octets(data.as_octets()?).ok()
}

/// Reads a text of printable characters.
fn text(data: &Data) -> Option<String> {
    let octets = data.as_octets()?;
    let octets = octets.get(..octets.len().min(TEXT_LEN_MAX))?;
    let printable = octets.iter().all(|octet| (0x20..0x7F).contains(octet));
    printable.then(|| octets.iter().copied().map(char::from).collect())
}

/// Reads an array, as far as its elements are what they should be.
fn each<T>(data: Option<Data>, most: usize, decode: fn(&[Data]) -> Option<T>) -> Vec<T> {
    let data = data.unwrap_or(Data::NullData);
    let elements = data.as_array().unwrap_or_default().iter().take(most);
    let elements = elements.map_while(|element| decode(element.as_structure()?));
    elements.collect()
}

fn three<T: Copy>(data: &Data, of: fn(&Data) -> Option<T>) -> Option<[T; 3]> {
    let [a, b, c] = data.as_array()? else {
        return None;
    };
    Some([of(a)?, of(b)?, of(c)?])
}

/// Reads a structure of whole numbers.
fn numbers<const N: usize>(data: &Data) -> Option<[u64; N]> {
    let parts = data.as_structure()?.get(..N)?;
    let mut all = [0; N];
    for (to, from) in all.iter_mut().zip(parts) {
        *to = from.as_u64()?;
    }
    Some(all)
}

impl Forwarded {
    fn decode(data: &Data) -> Option<Self> {
        let [
            down,
            up,
            unknown,
            full,
            expired,
            unasked,
            nobody,
            unfit,
            conflicts,
        ] = numbers(data)?;
        Some(Self {
            down,
            up,
            unknown,
            full,
            expired,
            unasked,
            nobody,
            unfit,
            conflicts,
        })
    }
}

impl Collection {
    fn decode(data: &Data) -> Option<Self> {
        let [rounds, failed, _, _, rows, octets, dropped] = numbers(data)?;
        Some(Self {
            rounds,
            failed,
            rows,
            octets,
            dropped,
        })
    }
}

impl Segment {
    fn decode(parts: &[Data]) -> Option<Self> {
        let [number, medium, open, waiting, saps] = parts else {
            return None;
        };
        let saps = saps.as_array()?.iter().take(METERS_MAX);
        Some(Self {
            number: number.as_u16()?,
            medium: text(medium)?,
            open: open.as_bool()?,
            waiting: waiting.as_u32()?,
            saps: saps.map(Data::as_u16).collect::<Option<_>>()?,
        })
    }
}

impl Connection {
    fn decode(parts: &[Data]) -> Option<Self> {
        let [peer, dialled, since] = parts else {
            return None;
        };
        Some(Self {
            peer: text(peer)?,
            dialled: dialled.as_bool()?,
            since: Timestamp::from_secs(i64::from(since.as_u32()?)),
        })
    }
}

impl Feeder {
    fn decode(parts: &[Data]) -> Option<Self> {
        let [name, _, voltages, currents, energies] = parts else {
            return None;
        };
        Some(Self {
            name: text(name)?,
            voltage_mv: three(voltages, Data::as_u32)?,
            current_ma: three(currents, Data::as_u32)?,
            energy_wh: three(energies, Data::as_u64)?,
        })
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: robustness, and self-agreement; what a concentrator of ours says is read in the
    //! tests with processes.
    use dlms::codec::Wire as _;

    use super::*;

    fn line(sap: u16, name: &str) -> Data {
        Data::Structure(vec![
            Data::LongUnsigned(sap),
            Data::octet_string(name.as_bytes()),
            Data::Boolean(true),
            Data::NullData,
            Data::Unsigned(2),
            Data::LongUnsigned(1_200),
        ])
    }

    #[test]
    fn names_that_nobody_has_and_those_told_twice_do_not_count() {
        let status = Data::Array(vec![
            line(256, "GWD0000000000001"),
            line(257, ""),
            line(258, "GWD0000000000001"),
        ]);
        let collected = Data::Array(vec![
            Data::Structure(vec![
                Data::octet_string(*b"GWD0000000000009"),
                Data::Boolean(true),
                Data::DoubleLongUnsigned(7),
                Data::Boolean(true),
            ]),
            Data::Structure(vec![
                Data::octet_string(*b"GWD0000000000001"),
                Data::Boolean(true),
                Data::DoubleLongUnsigned(7),
                Data::Boolean(true),
            ]),
        ]);
        let answers = [Some(status.to_octets()), Some(collected.to_octets())];
        let found = meters(&answers).unwrap();
        let [(name, meter)] = found.iter().collect::<Vec<_>>()[..] else {
            panic!("{found:?}");
        };
        assert_eq!(name.as_str(), "GWD0000000000001");
        assert_eq!(
            (meter.sap, meter.hops, meter.quality),
            (256, 2, Some(1_000))
        );
        assert_eq!((meter.collected, meter.rows, meter.heard), (true, 7, None));
    }

    #[test]
    fn nothing_that_it_says_stops_the_head_end() {
        let mut state = 7_u32;
        let mut random = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let good = Data::Array(vec![line(256, "GWD0000000000001")]).to_octets();
        for _ in 0..2_000 {
            let mut octets = good.clone();
            for _ in 0..3 {
                let place = usize::from(random()) % octets.len();
                octets[place] = random();
            }
            let answers: Vec<_> = (0..LOOK.len()).map(|_| Some(octets.clone())).collect();
            let report = Report::decode(&answers, Timestamp::from_secs(0), None);
            assert!(report.segments.len() <= SEGMENTS_MAX);
            drop(meters(&answers));
        }
        let none: Vec<_> = LOOK.map(|_| None).to_vec();
        let report = Report::decode(&none, Timestamp::from_secs(0), None);
        assert_eq!(
            (report.firmware, report.clock_s, report.port),
            (None, None, None)
        );
        assert_eq!(meters(&none), None);
    }
}
