//! The values of the own objects.

use std::collections::BTreeMap;

use dlms::axdr::{
    ClockStatus, Data, DateTime, put_array, put_boolean, put_enum, put_i8, put_i16, put_null,
    put_octet_string, put_structure, put_u8, put_u16, put_u32, put_u64,
};
use dlms::codec::Wire as _;
use dlms::cosem::{CaptureObject, EntryDescriptor, Obis, ProfileSelection, RangeDescriptor, Unit};
use dlms::server::Selection;
use dlms::xdlms::DataAccessResult;
use model::{LogicalDeviceName, MessageClass};

use super::objects::{EVENT_CODE, Kind};
use super::{COLLECTED, EVENT_DETAIL, METER_STATUS, SUPPLY};
use crate::collector::rows::{self, Row};
use crate::collector::state::Series;
use crate::core::Core;
use crate::pair::Status;
use crate::status::Peer;
use crate::ways::{State, Told};

type Get = Result<(), DataAccessResult>;

/// Rows of a profile, wherever they come from.
enum Rows<'a> {
    Kept(&'a Series),
    Made(Vec<Row>),
}

impl Rows<'_> {
    fn count(&self) -> usize {
        match self {
            Self::Kept(series) => usize::try_from(series.rows()).unwrap_or(usize::MAX),
            Self::Made(rows) => rows.len(),
        }
    }
}

/// Appends an attribute of a profile (class 7).
pub(super) fn put_profile(
    core: &Core,
    kind: &Kind,
    attribute: i8,
    selection: Option<&Selection<'_>>,
    unix: i64,
    out: &mut Vec<u8>,
) -> Get {
    let (captured, period_s, rows) = profile(core, kind, unix)?;
    match attribute {
        2 => put_buffer(&captured, &rows, selection, out),
        3 => {
            put_array(out, captured.len());
            for column in &captured {
                column.encode(out);
            }
            Ok(())
        }
        4 => {
            put_u32(out, period_s);
            Ok(())
        }
        5 => {
            // First in, first out.
            put_enum(out, 1);
            Ok(())
        }
        6 => {
            CaptureObject::new(0, Obis([0; 6]), 0).encode(out);
            Ok(())
        }
        7 => {
            put_u32(out, u32::try_from(rows.count()).unwrap_or(u32::MAX));
            Ok(())
        }
        8 => {
            put_u32(out, u32::MAX);
            Ok(())
        }
        _ => Err(DataAccessResult::ReadWriteDenied),
    }
}

fn profile<'a>(
    core: &'a Core,
    kind: &Kind,
    unix: i64,
) -> Result<(Vec<CaptureObject>, u32, Rows<'a>), DataAccessResult> {
    let gone = DataAccessResult::ObjectUnavailable;
    let collector = core.collector().ok_or(gone)?;
    let kept = |name: &LogicalDeviceName, obis: Obis| {
        let series = collector.state().series(name, obis).ok_or(gone)?;
        let columns = series.captured().and_then(crate::collector::columns);
        Ok((columns.ok_or(gone)?, series.period_s(), Rows::Kept(series)))
    };
    match kind {
        Kind::Profile(name, obis) => kept(name, *obis),
        Kind::OwnProfile(obis) => kept(&collector.settings().name, *obis),
        Kind::Events => {
            let columns = vec![
                CaptureObject::CLOCK,
                CaptureObject::new(1, EVENT_CODE, 2),
                CaptureObject::new(1, EVENT_DETAIL, 2),
            ];
            let rows = collector.state().notices().iter().map(|notice| {
                let cells = [
                    time(notice.at).to_octets(),
                    Data::Unsigned(notice.kind.code()).to_octets(),
                    event_detail(notice.number, &notice.detail),
                ];
                made(notice.at, &cells)
            });
            Ok((columns, 0, Rows::Made(rows.collect())))
        }
        Kind::MeterTable => {
            let part = |object, index| CaptureObject {
                data_index: index,
                ..CaptureObject::new(1, object, 2)
            };
            let mut columns = vec![CaptureObject::CLOCK];
            columns.extend((1..=6).map(|index| part(METER_STATUS, index)));
            columns.extend((2..=3).map(|index| part(COLLECTED, index)));
            columns.push(part(METER_STATUS, 7));
            let behind = core.behind();
            let rows = core.table().iter().map(|(sap, name)| {
                let status = core.status().get(name).cloned().unwrap_or_default();
                let kept = collector.state().meter(name);
                let rows = kept.map_or(0, |it| it.series().map(|(_, it)| it.rows()).sum());
                let option = |value: Option<Data>| value.unwrap_or(Data::NullData);
                let heard = status.heard.and_then(|at| u32::try_from(at).ok());
                let cells = [
                    time(unix),
                    Data::LongUnsigned(sap),
                    Data::octet_string(name.as_str().as_bytes()),
                    Data::Boolean(status.place.is_some()),
                    option(heard.map(Data::DoubleLongUnsigned)),
                    Data::Unsigned(status.hops),
                    option(status.quality.map(Data::LongUnsigned)),
                    Data::Boolean(collector.collects(name)),
                    Data::DoubleLongUnsigned(rows),
                    option(behind.get(&sap).copied().map(Data::LongUnsigned)),
                ];
                made(unix, &cells.map(|cell| cell.to_octets()))
            });
            Ok((columns, 0, Rows::Made(rows.collect())))
        }
        Kind::Sums => {
            let part = |index| CaptureObject {
                data_index: index,
                ..CaptureObject::new(1, SUPPLY, 2)
            };
            let mut columns = vec![CaptureObject::CLOCK];
            columns.extend((1..=5).map(part));
            let lines = collector.substation().into_iter();
            let rows = lines.flat_map(crate::substation::Substation::lines);
            let rows = rows.map(|line| {
                let supplied = line.sum.supplied_wh;
                let cells = [
                    time(line.at),
                    Data::octet_string(line.feeder.as_str().as_bytes()),
                    Data::octet_string(line.phase.name().as_bytes()),
                    supplied.map_or(Data::NullData, Data::Long64),
                    Data::Long64(line.sum.metered_wh),
                    Data::DoubleLongUnsigned(line.sum.meters),
                ];
                made(line.at, &cells.map(|cell| cell.to_octets()))
            });
            Ok((columns, 900, Rows::Made(rows.collect())))
        }
        _ => Err(DataAccessResult::ObjectUndefined),
    }
}

/// The number of a notice and what it holds, as one value.
fn event_detail(number: u32, detail: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + detail.len());
    put_structure(&mut out, 2);
    put_u32(&mut out, number);
    out.extend_from_slice(detail);
    out
}

fn made(at: i64, cells: &[Vec<u8>]) -> Row {
    let mut octets = Vec::new();
    put_structure(&mut octets, cells.len());
    octets.extend(cells.iter().flatten());
    Row { at, octets }
}

fn time(unix: i64) -> Data {
    let time = DateTime::from_unix_seconds(unix, 0, ClockStatus(0));
    time.map_or(Data::NullData, |time| Data::date_time_octets(&time))
}

fn put_buffer(
    captured: &[CaptureObject],
    rows: &Rows<'_>,
    selection: Option<&Selection<'_>>,
    out: &mut Vec<u8>,
) -> Get {
    let scope = DataAccessResult::ScopeOfAccessViolated;
    let all = EntryDescriptor::rows(1, 0);
    match selection {
        Some(Selection::Profile(ProfileSelection::Range(range))) => {
            put_range(captured, rows, range, out)
        }
        Some(Selection::Other(_)) => Err(scope),
        Some(Selection::Profile(ProfileSelection::Entry(entries))) => {
            put_entries(captured, rows, entries, out)
        }
        None => put_entries(captured, rows, &all, out),
    }
}

fn put_entries(
    captured: &[CaptureObject],
    rows: &Rows<'_>,
    wanted: &EntryDescriptor,
    out: &mut Vec<u8>,
) -> Get {
    let columns: Vec<usize> = wanted.columns(captured.len()).collect();
    if columns.is_empty() {
        return Err(DataAccessResult::ScopeOfAccessViolated);
    }
    let span = wanted.entries(rows.count());
    let (first, count) = (span.start, span.len());
    match rows {
        Rows::Kept(series) => put_rows(series.entries(first, count), captured, &columns, out),
        Rows::Made(rows) => {
            let rows = rows.iter().skip(first).take(count).cloned();
            put_rows(rows, captured, &columns, out)
        }
    }
}

fn put_range(
    captured: &[CaptureObject],
    rows: &Rows<'_>,
    wanted: &RangeDescriptor,
    out: &mut Vec<u8>,
) -> Get {
    let scope = DataAccessResult::ScopeOfAccessViolated;
    let clock = rows::clock_column(captured).ok_or(scope)?;
    if wanted.restricting_column(captured) != Some(clock) {
        return Err(scope);
    }
    let columns = wanted.columns(captured).ok_or(scope)?;
    // Where an end does not say its deviation, what is near is compared as it
    // stands, in the meter's own local time.
    let end = |value: &Data| {
        let time = value
            .as_date_time()
            .ok_or(DataAccessResult::TypeUnmatched)?;
        let exact = time.to_unix_seconds();
        let local = exact.or_else(|| time.to_local_seconds());
        Ok((local.ok_or(DataAccessResult::OtherReason)?, exact.is_some()))
    };
    let ((from, from_exact), (to, to_exact)) = (end(&wanted.from_value)?, end(&wanted.to_value)?);
    let exact = from_exact && to_exact;
    let around = if exact { 0 } else { 86_400 };
    let selects = |row: &Row| {
        if exact {
            return true;
        }
        let data = dlms::axdr::RawData::new(&row.octets).decode().ok();
        let cell = data.as_ref().and_then(|it| it.as_structure()?.get(clock));
        cell.and_then(|cell| wanted.selects(cell)).unwrap_or(false)
    };
    let span = from.saturating_sub(around)..=to.saturating_add(around);
    match rows {
        Rows::Kept(series) => {
            let rows = series.range(span).filter(selects);
            put_rows(rows, captured, &columns, out)
        }
        Rows::Made(rows) => {
            let rows = rows.iter().filter(|row| span.contains(&row.at)).cloned();
            put_rows(rows.filter(selects), captured, &columns, out)
        }
    }
}

fn put_rows(
    rows: impl Iterator<Item = Row>,
    captured: &[CaptureObject],
    columns: &[usize],
    out: &mut Vec<u8>,
) -> Get {
    let mut count = 0;
    let mut body = Vec::new();
    for row in rows {
        count += 1;
        if columns.len() == captured.len() {
            body.extend_from_slice(&row.octets);
            continue;
        }
        let data = dlms::axdr::RawData::new(&row.octets).decode();
        let data = data.map_err(|_| DataAccessResult::OtherReason)?;
        let cells = data.as_structure().unwrap_or_default();
        put_structure(&mut body, columns.len());
        for column in columns {
            let cell = cells.get(*column).unwrap_or(&Data::NullData);
            cell.encode(&mut body);
        }
    }
    put_array(out, count);
    out.append(&mut body);
    Ok(())
}

/// Appends an attribute of a register of the own metering (class 3).
pub(super) fn put_register(core: &Core, kind: &Kind, attribute: i8, out: &mut Vec<u8>) -> Get {
    let gone = DataAccessResult::ObjectUnavailable;
    let metering = core.collector().ok_or(gone)?.metering();
    let (place, unit, scaler) = match kind {
        Kind::Energy(place, _) => (place, Unit::WATT_HOUR, 0),
        Kind::Current(place, _) => (place, Unit::AMPERE, -3),
        Kind::Voltage(place, _) => (place, Unit::VOLT, -3),
        _ => return Err(DataAccessResult::ObjectUndefined),
    };
    if attribute == 3 {
        put_structure(out, 2);
        put_i8(out, scaler);
        put_enum(out, unit.0);
        return Ok(());
    }
    let sample = metering.get(*place).ok_or(gone)?.sample();
    match kind {
        Kind::Energy(_, phase) => {
            put_u64(out, sample.energy_wh.get(*phase).copied().unwrap_or(0));
        }
        Kind::Current(_, phase) => {
            put_u32(out, sample.current_ma.get(*phase).copied().unwrap_or(0));
        }
        Kind::Voltage(_, phase) => {
            put_u32(out, sample.voltage_mv.get(*phase).copied().unwrap_or(0));
        }
        _ => return Err(DataAccessResult::ObjectUndefined),
    }
    Ok(())
}

/// Appends an attribute of the clock (class 8), which shows UTC.
pub(super) fn put_clock(unix: i64, attribute: i8, out: &mut Vec<u8>) -> Get {
    const NEVER: [u8; 12] = [
        0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x80, 0, 0,
    ];
    match attribute {
        2 => time(unix).encode(out),
        3 => put_i16(out, 0),
        4 => put_u8(out, 0),
        5 | 6 => put_octet_string(out, &NEVER),
        7 => put_i8(out, 0),
        8 => put_boolean(out, false),
        // Internal crystal (IEC 62056-6-2, clock_base).
        9 => put_enum(out, 1),
        _ => return Err(DataAccessResult::ReadWriteDenied),
    }
    Ok(())
}

/// Appends who is collected: an array of structures of logical device name,
/// whether it is, rows kept, and whether there are keys.
pub(super) fn put_collected(core: &Core, out: &mut Vec<u8>) {
    let Some(collector) = core.collector() else {
        return put_array(out, 0);
    };
    put_array(out, core.table().len());
    for (_, name) in core.table().iter() {
        let kept = collector.state().meter(name);
        let rows = kept.map_or(0, |it| it.series().map(|(_, it)| it.rows()).sum());
        put_structure(out, 4);
        put_octet_string(out, name.as_str().as_bytes());
        put_boolean(out, collector.collects(name));
        put_u32(out, rows);
        put_boolean(out, collector.has_keys(name));
    }
}

/// Appends what was collected: a structure of long64-unsigned: rounds that
/// went well, that failed, new rows, rows without a time, rows kept, octets
/// that they take, rows dropped before anybody took them.
pub(super) fn put_collection(core: &Core, out: &mut Vec<u8>) {
    let all = core.collector().map_or([0; 8], |collector| {
        let (counts, state) = (collector.counts(), collector.state());
        [
            counts.rounds,
            counts.failed,
            counts.rows,
            counts.untimed,
            state.rows(),
            u64::try_from(state.octets()).unwrap_or(u64::MAX),
            state.dropped(),
            u64::try_from(state.bounds().age_s / 86_400).unwrap_or(0),
        ]
    });
    put_structure(out, all.len());
    for count in all {
        put_u64(out, count);
    }
}

/// Appends the segments: an array of structures of number, medium, whether its
/// line is there, messages that wait, and the SAPs of the meters that are there.
pub(super) fn put_segments(core: &Core, out: &mut Vec<u8>) {
    let mut there: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (sap, name) in core.table().iter() {
        if let Some(place) = core.status().get(name).and_then(|it| it.place) {
            there.entry(place.segment).or_default().push(sap);
        }
    }
    put_array(out, core.segments().len());
    for (id, segment) in core.segments() {
        put_structure(out, 5);
        put_u16(out, id.0);
        put_octet_string(out, segment.medium.as_bytes());
        put_boolean(out, segment.open);
        put_u32(out, u32::try_from(core.waiting(*id)).unwrap_or(u32::MAX));
        let saps = there.remove(id).unwrap_or_default();
        put_array(out, saps.len());
        for sap in saps {
            put_u16(out, sap);
        }
    }
}

/// Appends the connections of the WAN: an array of structures of the peer,
/// whether it was connected to from here, and since when.
pub(super) fn put_connections(peers: &[Peer], out: &mut Vec<u8>) {
    put_array(out, peers.len());
    for peer in peers {
        put_structure(out, 3);
        put_octet_string(out, peer.peer.as_bytes());
        put_boolean(out, peer.dialled);
        put_u32(out, u32::try_from(peer.since).unwrap_or(0));
    }
}

/// Appends the ways to head ends, in the form of [`WAYS`](super::WAYS).
pub(super) fn put_ways(told: &Told, out: &mut Vec<u8>) {
    let place = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    put_structure(out, 3);
    put_array(out, told.ways.len());
    for way in &told.ways {
        put_structure(out, 9);
        put_octet_string(out, way.name.as_bytes());
        put_octet_string(out, way.place.as_bytes());
        put_boolean(out, way.dialled);
        put_octet_string(out, way.class.map_or("", MessageClass::name).as_bytes());
        put_u16(out, u16::try_from(way.connections).unwrap_or(u16::MAX));
        put_u8(
            out,
            match way.state {
                State::New => 0,
                State::Up => 1,
                State::Quiet => 2,
                State::Down => 3,
            },
        );
        for at in [way.gained, way.lost, way.heard] {
            put_option(at, out);
        }
    }
    match told.current {
        Some(current) => put_u8(out, place(current)),
        None => put_null(out),
    }
    let Some(change) = told.change else {
        return put_null(out);
    };
    put_structure(out, 4);
    put_u8(out, place(change.from));
    put_u8(out, place(change.to));
    put_option(Some(change.at), out);
    let took = change.took.map(|took| took.as_millis());
    put_option(took.and_then(|it| i64::try_from(it).ok()), out);
}

/// Appends what the concentrator is before, in the form of
/// [`INSTALLATION`](super::INSTALLATION).
pub(super) fn put_installation(core: &Core, place: &str, out: &mut Vec<u8>) {
    let feeders = core.feeders();
    put_structure(out, 3);
    put_octet_string(out, place.as_bytes());
    put_array(out, feeders.len());
    for feeder in feeders {
        put_octet_string(out, feeder.as_str().as_bytes());
    }
    put_array(out, core.segments().len());
    for (id, segment) in core.segments() {
        put_structure(out, 2);
        put_u16(out, id.0);
        put_option(segment.bit_rate.map(i64::from), out);
    }
}

/// Appends more of each meter, in the form of [`METER_HISTORY`](super::METER_HISTORY).
pub(super) fn put_history(core: &Core, unix: i64, out: &mut Vec<u8>) {
    let table = core.table();
    put_array(out, table.len());
    for (sap, name) in table.iter() {
        put_structure(out, 3);
        put_u16(out, sap);
        put_option(table.since(sap), out);
        put_option(core.repeated_today(name, unix).map(i64::from), out);
    }
}

/// Appends a number of 32 bits, or null where there is none that fits.
fn put_option(number: Option<i64>, out: &mut Vec<u8>) {
    match number.and_then(|it| u32::try_from(it).ok()) {
        Some(number) => put_u32(out, number),
        None => put_null(out),
    }
}

/// Appends what the own metering measures: an array of structures of feeder,
/// value group B, and three voltages, currents and energies.
pub(super) fn put_metering(core: &Core, out: &mut Vec<u8>) {
    let all = core.collector().map_or(&[][..], |it| it.metering());
    put_array(out, all.len());
    for one in all {
        let sample = one.sample();
        put_structure(out, 5);
        put_octet_string(out, one.feeder().as_str().as_bytes());
        put_u8(out, one.channel());
        put_array(out, sample.voltage_mv.len());
        sample.voltage_mv.iter().for_each(|it| put_u32(out, *it));
        put_array(out, sample.current_ma.len());
        sample.current_ma.iter().for_each(|it| put_u32(out, *it));
        put_array(out, sample.energy_wh.len());
        sample.energy_wh.iter().for_each(|it| put_u64(out, *it));
    }
}

/// Appends the state of the pair, in the form of [`PAIR`](super::PAIR).
pub(super) fn put_pair(status: Option<&Status>, unix: i64, out: &mut Vec<u8>) {
    let Some(status) = status else {
        return put_null(out);
    };
    let put_segments = |segments: &[u16], out: &mut Vec<u8>| {
        put_array(out, segments.len());
        segments.iter().for_each(|it| put_u16(out, *it));
    };
    let taken = status.taken_s.and_then(|ago| i64::try_from(ago).ok());
    let taken = taken.and_then(|ago| u32::try_from(unix - ago).ok());
    put_structure(out, 11);
    put_octet_string(out, status.peer.as_bytes());
    put_boolean(out, status.mode == "active");
    put_u64(out, status.epoch);
    put_segments(&status.held, out);
    put_u16(out, u16::try_from(status.segments).unwrap_or(u16::MAX));
    put_boolean(out, status.in_contact);
    put_segments(&status.held_there, out);
    put_boolean(out, status.in_step);
    match status.behind_ms {
        Some(ago) => put_u32(out, u32::try_from(ago).unwrap_or(u32::MAX)),
        None => put_null(out),
    }
    match taken {
        Some(at) => put_u32(out, at),
        None => put_null(out),
    }
    put_u64(out, status.takeovers);
}

/// Makes the body of a push: a structure of the own name, the event log's
/// name, the time, the code, and number and detail as the event log has them.
pub(super) fn push_body(
    name: &LogicalDeviceName,
    notice: &crate::collector::state::Notice,
) -> Vec<u8> {
    let mut out = Vec::new();
    put_structure(&mut out, 5);
    put_octet_string(&mut out, name.as_str().as_bytes());
    put_octet_string(&mut out, &super::objects::EVENTS.0);
    time(notice.at).encode(&mut out);
    put_u8(&mut out, notice.kind.code());
    out.extend(event_detail(notice.number, &notice.detail));
    out
}
