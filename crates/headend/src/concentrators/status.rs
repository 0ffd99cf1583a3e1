//! What a concentrator says of itself and of the meters behind it: a word, which is shown and
//! decides nothing.
//!
//! The objects of its logical device (SAP 1) are named in `docs/concentrator.md`.

use std::collections::BTreeMap;

use dlms::axdr::{Data, RawData};
use dlms::cosem::Obis;
use model::{LogicalDeviceName, Place, Timestamp};

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
    /// Says how it stands with the other of its pair; none where it does not tell.
    pub pair: Option<PairWord>,
    /// Says over which ways head ends come; none where it does not tell.
    pub wan: Option<Wan>,
    /// Says what it is before; none where it does not tell.
    pub installation: Option<Installation>,
}

/// What a concentrator says that it is before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installation {
    /// Says where it is, as people call it; may be empty.
    pub place: String,
    /// Names its feeders.
    pub feeders: Vec<String>,
    /// Holds the nominal rate of segments, by number, in bits a second.
    pub bit_rates: BTreeMap<u16, u32>,
}

/// What a concentrator says of its ways to head ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wan {
    /// Lists them, those that are preferred first.
    pub ways: Vec<WanWay>,
    /// Says over which of them head ends come, counted from 0.
    pub current: Option<usize>,
    /// Says when that changed last.
    pub change: Option<WanChange>,
}

/// One of a concentrator's ways to head ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WanWay {
    /// Names it; empty where it has no name.
    pub name: String,
    /// Says where it listens or connects to as configured.
    pub place: String,
    /// Says whether the concentrator opens it.
    pub dialled: bool,
    /// Names the class of all that comes over it; empty where none is said.
    pub class: String,
    /// Counts connections that are open over which messages came.
    pub connections: u16,
    /// Says how it is.
    pub state: WanState,
    /// Says since when messages come, or came.
    pub gained: Option<Timestamp>,
    /// Says since when they do not, or did not.
    pub lost: Option<Timestamp>,
    /// Says when the last one came.
    pub heard: Option<Timestamp>,
}

/// How a way of a concentrator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WanState {
    /// Nobody ever came over it.
    New,
    /// Messages come.
    Up,
    /// None came for a while.
    Quiet,
    /// The concentrator opens it, and no connection is open over which a message came.
    Down,
}

/// Head ends came over another way from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WanChange {
    /// Says from which way, counted from 0.
    pub from: usize,
    /// Says to which.
    pub to: usize,
    /// Says when the first message came over that.
    pub at: Timestamp,
    /// Says how long after the end of the last connection over the one that was, in milliseconds,
    /// where the end was seen at once.
    pub took_ms: Option<u32>,
}

/// What a concentrator says of the other of its pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairWord {
    /// There is none.
    Alone,
    /// There is one.
    Of(Pair),
}

/// A pair of concentrators, as one of them tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Names the other's logical device.
    pub peer: LogicalDeviceName,
    /// Says whether both work, each with segments of its own.
    pub both_work: bool,
    /// Holds the epoch in which it took segments last.
    pub epoch: u64,
    /// Counts the segments that it has.
    pub held: usize,
    /// Counts all segments.
    pub segments: u16,
    /// Says whether the other was heard within the lease.
    pub there: bool,
    /// Counts the segments that the other said to have.
    pub held_there: usize,
    /// Says whether each has what the other has.
    pub in_step: bool,
    /// Says how long before the look the other was last there with all of it, in milliseconds.
    pub behind_ms: Option<u32>,
    /// Says when it took segments last.
    pub taken: Option<Timestamp>,
    /// Counts how often it did because the other was silent.
    pub takeovers: u64,
}

/// Why segments cannot be handed over to the other of a pair now, by what was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSwitch {
    /// There is no other one.
    #[error("It works alone: no other concentrator stands by for it.")]
    Alone,
    /// Both work.
    #[error("Both work, each with segments of its own: neither stands by for the other.")]
    BothWork,
    /// It has none.
    #[error("The other one has the segments: this one stands by.")]
    NotHeld,
    /// The other is silent.
    #[error("The other one is away: it would not go on.")]
    Away,
    /// The other lacks something.
    #[error("The other one is not in step: it does not know all yet that this one knows.")]
    Behind,
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
    /// Days after which it drops a row that nobody took, where it tells that.
    pub keep_days: Option<u64>,
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
    /// Says since when it has that, where the concentrator tells.
    pub sap_since: Option<Timestamp>,
    /// Counts the frames to or from it that had to go again today, where the concentrator tells.
    pub repeated_today: Option<u32>,
    /// Says whether it is there.
    pub there: bool,
    /// Says when it was heard last.
    pub heard: Option<Timestamp>,
    /// Counts the meters that repeat what goes to it.
    pub hops: u8,
    /// Holds the permille of its frames that are heard.
    pub quality: Option<u16>,
    /// Holds the SAP of the meter through which it is reached, 0 where it is heard directly; none
    /// where that is not told, or makes no sense.
    pub behind: Option<u16>,
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
const WAYS_MAX: usize = 64;
const TEXT_LEN_MAX: usize = 64;

/// Meters on one way and the concentrator, more than any medium forwards through.
const WAY_MAX: usize = 64;

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
pub(super) const LOOK: [RegisterRef; 14] = [
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
    PAIR,
    attribute(1, manufacturer(17)),
    attribute(1, manufacturer(18)),
];

/// The other of its pair.
pub(crate) const PAIR: RegisterRef = attribute(1, manufacturer(14));

/// What is asked of the meters: their status, who of them is collected, and more of each.
pub(super) const METERS: [RegisterRef; 3] = [
    attribute(1, manufacturer(2)),
    attribute(1, manufacturer(4)),
    attribute(1, manufacturer(19)),
];

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
        let pair = next().and_then(|it| PairWord::decode(&it));
        let wan = next().and_then(|it| Wan::decode(&it));
        let installation = next().and_then(|it| Installation::decode(&it));
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
            pair,
            wan,
            installation,
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
        // An older one does not tell who is behind whom.
        let (parts, behind) = match line.as_structure()? {
            [parts @ .., behind] if parts.len() == 6 => (parts, behind.as_u16()),
            parts => (parts, None),
        };
        let [sap, name, there, heard, hops, quality] = parts else {
            return None;
        };
        // Names that no logical device has are left out.
        let Some(name) = name_of(name) else { continue };
        let line = MeterLine {
            sap: sap.as_u16()?,
            sap_since: None,
            repeated_today: None,
            there: there.as_bool()?,
            heard: heard.as_u32().map(|at| Timestamp::from_secs(i64::from(at))),
            hops: hops.as_u8()?,
            quality: quality.as_u16().map(|permille| permille.min(1_000)),
            behind,
            collected: false,
            has_keys: false,
            rows: 0,
        };
        meters.entry(name).or_insert(line);
    }
    leave_out_what_is_no_tree(&mut meters);
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
    let more = |parts: &[Data]| match parts {
        [sap, since, repeated, ..] => Some((sap.as_u16()?, (moment(since), repeated.as_u32()))),
        _ => None,
    };
    let more = each(values.next().flatten(), METERS_MAX, more);
    let more: BTreeMap<u16, _> = more.into_iter().collect();
    for meter in meters.values_mut() {
        if let Some((since, repeated)) = more.get(&meter.sap) {
            meter.sap_since = *since;
            meter.repeated_today = *repeated;
        }
    }
    Some(meters)
}

/// Forgets through whom a meter is said to be reached where that way does not end at the
/// concentrator.
fn leave_out_what_is_no_tree(meters: &mut Meters) {
    let told = meters.values().map(|it| (it.sap, it.behind));
    let told: BTreeMap<u16, Option<u16>> = told.collect();
    for meter in meters.values_mut() {
        let ends = |through: u16| {
            let way = std::iter::successors(Some(through), |on| *told.get(on)?);
            way.take(WAY_MAX).any(|on| on == 0)
        };
        meter.behind = meter.behind.filter(|through| ends(*through));
    }
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

/// Reads words of any language without control characters.
fn words(data: &Data) -> Option<String> {
    let text = std::str::from_utf8(data.as_octets()?).ok()?;
    let words = text.parse::<Place>().ok()?;
    Some(words.as_str().to_owned())
}

fn moment(data: &Data) -> Option<Timestamp> {
    let secs = data.as_u32()?;
    Some(Timestamp::from_secs(i64::from(secs)))
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
        let keep_days = numbers(data).map(|[.., days]: [u64; 8]| days);
        Some(Self {
            rounds,
            failed,
            rows,
            octets,
            dropped,
            keep_days: keep_days.filter(|days| *days > 0),
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

impl Wan {
    fn decode(data: &Data) -> Option<Self> {
        let [ways, current, change] = data.as_structure()? else {
            return None;
        };
        let ways = each(Some(ways.clone()), WAYS_MAX, WanWay::decode);
        let place = |data: &Data| {
            let place = usize::from(data.as_u8()?);
            (place < ways.len()).then_some(place)
        };
        let change = change.as_structure().and_then(|change| {
            let [from, to, at, took] = change else {
                return None;
            };
            Some(WanChange {
                from: place(from)?,
                to: place(to)?,
                at: moment(at)?,
                took_ms: took.as_u32(),
            })
        });
        let current = place(current);
        Some(Self {
            ways,
            current,
            change,
        })
    }
}

impl Installation {
    fn decode(data: &Data) -> Option<Self> {
        let [place, feeders, rates] = data.as_structure()? else {
            return None;
        };
        let feeders = feeders.as_array()?.iter().take(FEEDERS_MAX);
        let rate = |parts: &[Data]| match parts {
            [number, rate] => Some((number.as_u16()?, rate.as_u32())),
            _ => None,
        };
        let rates = each(Some(rates.clone()), SEGMENTS_MAX, rate).into_iter();
        Some(Self {
            place: words(place)?,
            feeders: feeders.map_while(words).collect(),
            bit_rates: rates.filter_map(|(at, rate)| Some((at, rate?))).collect(),
        })
    }
}

impl WanWay {
    fn decode(parts: &[Data]) -> Option<Self> {
        let [
            name,
            place,
            dialled,
            class,
            connections,
            state,
            gained,
            lost,
            heard,
        ] = parts
        else {
            return None;
        };
        Some(Self {
            name: words(name)?,
            place: text(place)?,
            dialled: dialled.as_bool()?,
            class: text(class)?,
            connections: connections.as_u16()?,
            state: match state.as_u8()? {
                0 => WanState::New,
                1 => WanState::Up,
                2 => WanState::Quiet,
                3 => WanState::Down,
                _ => return None,
            },
            gained: moment(gained),
            lost: moment(lost),
            heard: moment(heard),
        })
    }
}

impl PairWord {
    /// Reads what it says.
    pub(crate) fn decode(data: &Data) -> Option<Self> {
        if matches!(data, Data::NullData) {
            return Some(Self::Alone);
        }
        let [
            peer,
            both_work,
            epoch,
            held,
            segments,
            there,
            held_there,
            in_step,
            behind,
            taken,
            takeovers,
        ] = data.as_structure()?
        else {
            return None;
        };
        Some(Self::Of(Pair {
            peer: name_of(peer)?,
            both_work: both_work.as_bool()?,
            epoch: epoch.as_u64()?,
            held: held.as_array()?.len(),
            segments: segments.as_u16()?,
            there: there.as_bool()?,
            held_there: held_there.as_array()?.len(),
            in_step: in_step.as_bool()?,
            behind_ms: behind.as_u32(),
            taken: taken.as_u32().map(|at| Timestamp::from_secs(i64::from(at))),
            takeovers: takeovers.as_u64()?,
        }))
    }

    /// Returns the pair, where its segments can be handed over to the other.
    ///
    /// # Errors
    /// [`NoSwitch`] says why they cannot.
    pub fn can_switch(&self) -> Result<&Pair, NoSwitch> {
        let Self::Of(pair) = self else {
            return Err(NoSwitch::Alone);
        };
        if pair.both_work {
            Err(NoSwitch::BothWork)
        } else if pair.held == 0 {
            Err(NoSwitch::NotHeld)
        } else if !pair.there {
            Err(NoSwitch::Away)
        } else if !pair.in_step || pair.held_there > 0 {
            Err(NoSwitch::Behind)
        } else {
            Ok(pair)
        }
    }
}

impl Pair {
    /// Says whether it stands by, and the other has the segments or may have them.
    pub const fn stands_by(&self) -> bool {
        !self.both_work && self.held == 0
    }

    /// Says whether the other said to have all, and this one has none.
    pub fn is_handed_over(&self) -> bool {
        self.held == 0 && self.there && self.held_there == usize::from(self.segments)
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
    fn who_is_behind_whom_is_kept_where_each_way_ends_at_the_concentrator() {
        let told = [
            (256, Some(0)),
            (257, Some(256)),
            (258, Some(257)),
            // Behind themselves, alone and in turn, and behind one who is.
            (259, Some(259)),
            (260, Some(261)),
            (261, Some(260)),
            (262, Some(260)),
            // Behind nobody here, and behind one of whom nothing is told.
            (263, Some(999)),
            (264, None),
            (265, Some(264)),
        ];
        let lines = told.map(|(sap, behind)| {
            let Data::Structure(mut parts) = line(sap, &format!("GWD{sap:013}")) else {
                panic!("a line is a structure");
            };
            parts.push(behind.map_or(Data::NullData, Data::LongUnsigned));
            Data::Structure(parts)
        });
        // One of an older concentrator stands beside them.
        let mut lines = lines.to_vec();
        lines.push(line(266, "GWD0000000000266"));
        let found = meters(&[Some(Data::Array(lines).to_octets()), None]).unwrap();
        let kept: Vec<_> = found
            .values()
            .filter_map(|it| Some((it.sap, it.behind?)))
            .collect();
        assert_eq!(kept, [(256, 0), (257, 256), (258, 257)]);
        assert_eq!(found.len(), 11);
    }

    /// A pair of one segment.
    fn pair(held: usize, there: usize) -> Data {
        let segments = |count: usize| Data::Array(vec![Data::LongUnsigned(0); count]);
        Data::Structure(vec![
            Data::octet_string(*b"GWD1DC0000000002"),
            Data::Boolean(false),
            Data::Long64Unsigned(5),
            segments(held),
            Data::LongUnsigned(1),
            Data::Boolean(true),
            segments(there),
            Data::Boolean(true),
            Data::DoubleLongUnsigned(400),
            Data::NullData,
            Data::Long64Unsigned(1),
        ])
    }

    #[test]
    fn segments_are_handed_over_where_the_other_can_go_on() {
        let told = |change: fn(&mut Vec<Data>)| {
            let Data::Structure(mut parts) = pair(1, 0) else {
                panic!("a pair is a structure");
            };
            change(&mut parts);
            PairWord::decode(&Data::Structure(parts))
        };
        let refused = |change| told(change).unwrap().can_switch().unwrap_err();
        let ready = told(|_| {}).unwrap();
        assert_eq!(ready.can_switch().unwrap().behind_ms, Some(400));
        assert_eq!(
            PairWord::decode(&Data::NullData).unwrap().can_switch(),
            Err(NoSwitch::Alone)
        );
        assert_eq!(
            refused(|it| it[1] = Data::Boolean(true)),
            NoSwitch::BothWork
        );
        assert_eq!(
            refused(|it| it[3] = Data::Array(Vec::new())),
            NoSwitch::NotHeld
        );
        assert_eq!(refused(|it| it[5] = Data::Boolean(false)), NoSwitch::Away);
        assert_eq!(refused(|it| it[7] = Data::Boolean(false)), NoSwitch::Behind);
        assert_eq!(refused(|it| it[6] = it[3].clone()), NoSwitch::Behind);
        assert_eq!(told(|it| drop(it.pop())), None);
        assert_eq!(told(|it| it[0] = Data::NullData), None);
        let handed_over = |held, there| match PairWord::decode(&pair(held, there)) {
            Some(PairWord::Of(pair)) => pair.is_handed_over(),
            other => panic!("{other:?}"),
        };
        assert!(handed_over(0, 1));
        assert!(!handed_over(0, 0) && !handed_over(1, 1) && !handed_over(1, 0));
    }

    #[test]
    fn nothing_that_it_says_stops_the_head_end() {
        let mut state = 7_u32;
        let mut random = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let good = Data::Array(vec![line(256, "GWD0000000000001")]).to_octets();
        let pair = pair(1, 0).to_octets();
        for turn in 0..4_000 {
            let mut octets = if turn % 2 == 0 { &good } else { &pair }.clone();
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
