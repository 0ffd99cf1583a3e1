//! What the values of a DLMS notification are of.
//!
//! Meters lay them out in five ways: a list of objects with the values behind
//! it (IDIS, Energomera, Landis+Gyr), a structure for each (Aidon), codes in
//! line with their values (Kamstrup, Landis+Gyr E450, Kaifa in Austria and
//! Sweden), values whose places alone tell what they are (Kaifa in Norway,
//! Iskraemeco, Landis+Gyr in Slovenia), and structures that lost their tags,
//! which are refused.

mod layout;

use dlms::axdr::{Data, DateTime, RawData};
use dlms::codec::{DecodeError, Reader, Wire as _};
use dlms::cosem::obis::name;
use dlms::cosem::{Obis, ScalerUnit};
use dlms::xdlms::DataNotification;

use crate::measure::{Basis, MeterTime, Report, Text, Value};
use layout::Layout;

/// One value of which it is known what it is of.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The object.
    pub obis: Obis,
    /// Its class, where the message tells it.
    pub class_id: Option<u16>,
    /// The attribute, where the message tells it.
    pub attribute: Option<i8>,
    /// The value as it came.
    pub data: Data,
    /// Its scaler and unit, where they are told or known.
    pub scaler_unit: Option<ScalerUnit>,
    /// Where those are from.
    pub basis: Basis,
}

/// The values of a message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Push {
    /// Each value, in the order of the message.
    pub items: Vec<Item>,
    /// From which list their meaning is, where the message itself is silent.
    pub list: Option<&'static str>,
}

/// How deep values are looked for.
const DEPTH_MAX: usize = 4;

/// Finds the values of a notification's body.
#[must_use]
pub fn of_body(body: &Data) -> Push {
    within(body, 0)
}

fn within(body: &Data, depth: usize) -> Push {
    let Some(elements) = body.elements() else {
        return Push::default();
    };
    if let Some(items) = by_object_list(elements).or_else(|| one_structure_each(elements)) {
        return Push { items, list: None };
    }
    if let Some(layout) = Layout::of(elements) {
        return placed(layout, elements);
    }
    let found = in_line(elements);
    if !found.items.is_empty() || depth >= DEPTH_MAX {
        return found;
    }
    // The lists may stand within one another, each of them readable by itself.
    let mut push = Push::default();
    for element in elements {
        let inner = within(element, depth + 1);
        push.items.extend(inner.items);
        push.list = push.list.or(inner.list);
    }
    push
}

/// Reads a notification and finds its values.
///
/// # Errors
/// The offset and the reason where the octets are no notification, or its
/// body no value.
pub fn report(apdu: &[u8]) -> Result<Report, DecodeError> {
    let notification = DataNotification::from_octets(apdu)?;
    let body = notification.body.decode()?;
    Ok(of_body(&body).report(notification.date_time))
}

impl Push {
    /// Tells the values in the form that all sources share. `time` is the
    /// notification's own.
    #[must_use]
    pub fn report(&self, time: Option<DateTime>) -> Report {
        let mut report = Report {
            time: time.and_then(MeterTime::from_date_time),
            layout: self.list,
            ..Report::default()
        };
        for item in &self.items {
            let is_value = matches!(item.attribute, None | Some(2));
            if !is_value {
                continue;
            }
            if let Some(scaler_unit) = item.scaler_unit
                && let Some(number) = number(&item.data)
            {
                report.values.push(Value {
                    obis: item.obis,
                    quantity: scaler_unit.scaled(number),
                    basis: item.basis,
                    time: None,
                });
                continue;
            }
            let Some(octets) = item.data.as_octets() else {
                continue;
            };
            if item.obis == CLOCK {
                let told = item.data.as_date_time().and_then(MeterTime::from_date_time);
                report.time = report.time.or(told);
                continue;
            }
            let text = printable(octets);
            if report.meter.is_none() && is_meter_id(item.obis) {
                report.meter = Some(text.clone());
            }
            report.texts.push(Text {
                obis: item.obis,
                text,
            });
        }
        report
    }
}

const CLOCK: Obis = Obis::new(0, 0, 1, 0, 0, 255);

/// Device IDs 1 to 10 (0-b:96.1.x), and those of electricity (1-1:0.0.5 and
/// 1-b:96.1.0, Kamstrup).
const fn is_meter_id(obis: Obis) -> bool {
    matches!(obis.0, [0 | 1, _, 96, 1, 0..=9, _] | [1, _, 0, 0, 0..=9, _])
}

/// The text of octets, or their digits.
pub(crate) fn printable(octets: &[u8]) -> String {
    let trimmed = octets
        .iter()
        .rposition(|octet| *octet != 0)
        .and_then(|last| octets.get(..=last))
        .unwrap_or_default();
    match std::str::from_utf8(trimmed) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => octets.iter().map(|octet| format!("{octet:02x}")).collect(),
    }
}

/// The number of any integer type but `enum`.
#[must_use]
pub fn number(data: &Data) -> Option<i128> {
    match data {
        Data::Enum(_) => None,
        Data::Long64Unsigned(value) => Some(i128::from(*value)),
        other => other.as_i64().map(i128::from),
    }
}

/// A list of objects, then their values in its order (push object list).
fn by_object_list(elements: &[Data]) -> Option<Vec<Item>> {
    let (list, rest) = elements.split_first()?;
    let objects: Vec<(u16, Obis, i8)> =
        list.as_array()?.iter().map(object).collect::<Option<_>>()?;
    if objects.is_empty() {
        return None;
    }
    // The list may name itself as the first of what is pushed.
    let (values, named_itself) = if objects.len() == elements.len() {
        (elements, true)
    } else if objects.len() == rest.len() {
        (rest, false)
    } else {
        return None;
    };
    let mut items: Vec<Item> = objects
        .iter()
        .zip(values)
        .map(|((class_id, obis, attribute), data)| Item {
            obis: *obis,
            class_id: Some(*class_id),
            attribute: Some(*attribute),
            data: data.clone(),
            scaler_unit: None,
            basis: Basis::Told,
        })
        .collect();
    // Only Landis+Gyr pushes registers so that name the list itself first.
    for item in &mut items {
        if item.attribute == Some(2) && item.class_id.is_some_and(|class| (3..=5).contains(&class))
        {
            let found = if named_itself {
                layout::landis_gyr(item.obis)
            } else {
                layout::usual(item.obis)
            };
            if number(&item.data).is_some() {
                item.scaler_unit = found;
                item.basis = Basis::Usual;
            }
        }
    }
    Some(items)
}

/// `structure { class_id, logical_name, attribute_index, data_index, .. }`
fn object(data: &Data) -> Option<(u16, Obis, i8)> {
    match data.as_structure()? {
        [class_id, logical_name, attribute, _, ..] => Some((
            class_id.as_u16()?,
            Obis::from_data(logical_name).ok()?,
            attribute.as_i8()?,
        )),
        _ => None,
    }
}

/// A structure for each: code, value, and scaler and unit where there are any
/// (Aidon).
fn one_structure_each(elements: &[Data]) -> Option<Vec<Item>> {
    let items: Vec<Item> = elements
        .iter()
        .map(|element| match element.as_structure()? {
            [obis, data] => item(obis, data, None),
            [obis, data, scaler_unit] => {
                item(obis, data, Some(ScalerUnit::from_data(scaler_unit).ok()?))
            }
            _ => None,
        })
        .collect::<Option<_>>()?;
    (!items.is_empty()).then_some(items)
}

fn item(obis: &Data, data: &Data, scaler_unit: Option<ScalerUnit>) -> Option<Item> {
    let Data::OctetString(octets) = obis else {
        return None;
    };
    Some(Item {
        obis: obis_of(octets)?,
        class_id: None,
        attribute: None,
        data: data.clone(),
        scaler_unit,
        basis: Basis::Told,
    })
}

/// Values alone, whose places tell what they are.
fn placed(layout: &'static Layout, elements: &[Data]) -> Push {
    let items = layout
        .places
        .iter()
        .zip(elements)
        .filter_map(|(place, data)| {
            let (obis, scaler_unit) = place.object?;
            Some(Item {
                obis,
                class_id: None,
                attribute: None,
                data: data.clone(),
                scaler_unit,
                basis: Basis::Listed,
            })
        })
        .collect();
    Push {
        items,
        list: Some(layout.name),
    }
}

/// Codes in line with their values: code, value, and scaler and unit where
/// there are any (Kamstrup, Landis+Gyr E450, Kaifa in Austria).
fn in_line(elements: &[Data]) -> Push {
    let mut push = Push::default();
    let mut rest = elements;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        let found = match behind {
            [data, scaler_unit, after @ ..] if is_value(data) => {
                match ScalerUnit::from_data(scaler_unit) {
                    Ok(scaler_unit) => item(first, data, Some(scaler_unit)).zip(Some(after)),
                    Err(_) => item(first, data, None).zip(behind.get(1..)),
                }
            }
            [data] if is_value(data) => item(first, data, None).zip(behind.get(1..)),
            _ => None,
        };
        if let Some((found, after)) = found {
            push.items.push(found);
            rest = after;
        }
    }
    name_scales(&mut push, elements);
    push
}

/// Adds scaler and unit to values that came without.
fn name_scales(push: &mut Push, elements: &[Data]) {
    let text_of = |obis: Obis| {
        push.items
            .iter()
            .find(|item| item.obis == obis)
            .and_then(|item| item.data.as_octets())
    };
    let named = |name: &[u8]| {
        elements
            .first()
            .and_then(Data::as_octets)
            .is_some_and(|octets| octets.starts_with(name))
            || text_of(layout::LIST_NAME).is_some_and(|octets| octets.starts_with(name))
    };
    let silent = push
        .items
        .iter()
        .any(|item| item.scaler_unit.is_none() && number(&item.data).is_some());
    if push.items.is_empty() || !silent {
        return;
    }
    if named(layout::KAMSTRUP) {
        let kind = text_of(layout::KAMSTRUP_TYPE)
            .map(<[u8]>::to_vec)
            .unwrap_or_default();
        fill(push, Basis::Listed, |obis| layout::kamstrup(obis, &kind));
        push.list = Some("Kamstrup, list Kamstrup_V0001");
    } else if named(layout::KAIFA) {
        fill(push, Basis::Listed, layout::kaifa);
        push.list = Some("Kaifa, list KFM_001");
    } else {
        fill(push, Basis::Usual, layout::usual);
    }
}

fn fill(push: &mut Push, basis: Basis, known: impl Fn(Obis) -> Option<ScalerUnit>) {
    for item in &mut push.items {
        if item.scaler_unit.is_none()
            && number(&item.data).is_some()
            && let Some(scaler_unit) = known(item.obis)
        {
            item.scaler_unit = Some(scaler_unit);
            item.basis = basis;
        }
    }
}

/// A code is no value of another code.
fn is_value(data: &Data) -> bool {
    !matches!(data, Data::OctetString(octets) if obis_of(octets).is_some())
}

/// An OBIS code, where six octets look like one: named, or ending in 255.
#[must_use]
pub fn obis_of(octets: &[u8]) -> Option<Obis> {
    let obis = Obis::try_from(octets).ok()?;
    let [a, .., f] = obis.0;
    (f == 255 && (a <= 9 || name(obis).is_some())).then_some(obis)
}

/// A body whose outermost structure or array tells more elements than it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Short {
    /// The same octets with the count that is true.
    pub octets: Vec<u8>,
    /// How many elements it tells.
    pub told: u8,
    /// How many it has.
    pub held: u8,
}

/// Finds out whether `body` only lacks elements at its end: Iskraemeco AM550
/// in Austria tells twelve and has eight. Nothing where it is whole, or cut
/// within an element.
#[must_use]
pub fn short(body: &[u8]) -> Option<Short> {
    let (&[tag, told], elements) = body.split_first_chunk::<2>()?;
    if !matches!(tag, 0x01 | 0x02) || told >= 0x80 {
        return None;
    }
    let mut reader = Reader::new(elements);
    let mut held = 0_u8;
    while held < told && !reader.is_empty() {
        Data::decode(&mut reader).ok()?;
        held += 1;
    }
    if held == told || held == 0 {
        return None;
    }
    let mut octets = vec![tag, held];
    octets.extend_from_slice(elements);
    // What was made must read as a whole.
    RawData::new(&octets).decode().ok()?;
    Some(Short { octets, told, held })
}
