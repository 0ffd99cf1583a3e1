//! What is asked of a meter as attributes, and what its octets mean.

use std::ops::Range;

use dlms::axdr::{Leaf, RawData};
use dlms::client::GetItem;
use dlms::codec::Wire as _;
use dlms::cosem::{AttributeDescriptor, Obis, ProfileSelection, RangeDescriptor};
use link::{PathReceipt, ScionPath, ScionTrust};
use model::{BreakerState, Event, EventSource, Timestamp};

use super::profile::{date_time, events};
use super::protocol;
use crate::collector::{AccessError, RegisterRef};
use crate::store::{PathTaken, Paths, RegisterValue};

pub(super) fn paths_of(receipt: &PathReceipt) -> Paths {
    let taken = |path: &ScionPath| PathTaken {
        hops: path.to_string(),
        fingerprint: path.fingerprint().to_string(),
        verified: path.trust == ScionTrust::Daemon,
    };
    Paths {
        sent: receipt.sent.as_ref().map(taken),
        received: receipt.received.as_ref().map(taken),
    }
}

/// An event log is read this far ahead: the meter's clock may be, too.
pub(super) const EVENTS_AHEAD_S: i64 = 86_400;

pub(super) const fn attribute_of(register: &RegisterRef) -> (u16, Obis, i8) {
    (register.class, register.object, register.attribute)
}

/// Says whether a register has a scaler.
pub(super) const fn is_scaled(register: &RegisterRef) -> bool {
    matches!(register.class, 3 | 4)
}

/// The whole of an attribute.
pub(super) const fn whole((class, object, attribute): (u16, Obis, i8)) -> GetItem {
    GetItem {
        attribute: AttributeDescriptor::new(class, object, attribute),
        selection: None,
    }
}

/// The rows of a profile or log that carry times from `from` to `to`, both included.
pub(super) fn rows_of(object: Obis, from: i64, to: i64) -> Result<GetItem, AccessError> {
    let from = date_time(from).ok_or(protocol())?;
    let to = date_time(to).ok_or(protocol())?;
    let selection = ProfileSelection::Range(RangeDescriptor::by_clock(&from, &to));
    Ok(GetItem {
        attribute: AttributeDescriptor::new(7, object, 2),
        selection: Some((selection.selector(), selection.to_data().to_octets())),
    })
}

/// The rows that close the intervals which begin in `range`: a row carries the time at which its
/// interval ends.
pub(super) fn intervals_of(
    object: Obis,
    range: &Range<i64>,
    period_s: u32,
) -> Result<GetItem, AccessError> {
    let period = i64::from(period_s);
    rows_of(object, range.start + period, range.end + period - 1)
}

pub(super) fn events_of(log: Obis, octets: &[u8], since: i64) -> Result<Vec<Event>, AccessError> {
    let events = events(octets).ok_or(protocol())?;
    Ok(events
        .into_iter()
        .map(|(seconds, code)| Event {
            at: Timestamp::from_secs(seconds),
            source: EventSource::Meter(log),
            code,
        })
        .filter(|event| event.at.millis() >= since)
        .collect())
}

pub(super) fn breaker_state(octets: &[u8]) -> Result<BreakerState, AccessError> {
    match RawData::new(octets).walk().leaves().next() {
        Some(Ok(Leaf::Enum(state))) => Ok(BreakerState::from_control_state(state)),
        _ => Err(protocol()),
    }
}

/// Reads a register's value.
pub(super) fn register_value(octets: &[u8], scaler: Option<(i8, u8)>) -> Option<RegisterValue> {
    let leaf = RawData::new(octets).walk().leaves().next()?.ok()?;
    match leaf.as_i64() {
        Some(value) => {
            let (scaler, unit) = scaler.unwrap_or((0, UNIT_COUNT));
            Some(RegisterValue::Number {
                value,
                scaler,
                unit,
            })
        }
        None => text(octets).map(RegisterValue::Text),
    }
}

/// The unit of a number without one (IEC 62056-6-2, table of units: 255, unitless).
pub(super) const UNIT_COUNT: u8 = 255;

/// Reads a text of printable characters; other octets as hexadecimal digits.
pub(super) fn text(octets: &[u8]) -> Option<String> {
    let leaf = RawData::new(octets).walk().leaves().next()?.ok()?;
    let octets = leaf.as_octets()?;
    let octets = octets.get(..octets.len().min(TEXT_LEN_MAX))?;
    if octets.iter().all(|octet| (0x20..0x7F).contains(octet)) {
        return Some(octets.iter().copied().map(char::from).collect());
    }
    Some(octets.iter().map(|octet| format!("{octet:02x}")).collect())
}

/// Octets of a text that are kept.
const TEXT_LEN_MAX: usize = 128;
