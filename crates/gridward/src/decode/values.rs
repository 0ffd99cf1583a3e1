//! The values of a message by their OBIS codes.

use std::collections::BTreeMap;

use dlms::axdr::Data;
use dlms::cosem::obis::name;
use dlms::cosem::{Obis, ScalerUnit};
use serde_json::{Map, Value, json};

use super::{quirks, value};
use crate::output::{COLUMNS, Ink, Style};
use crate::text;

/// One value of which it is known what it is of.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) obis: Obis,
    /// Where the message tells it.
    pub(crate) class_id: Option<u16>,
    pub(crate) attribute: Option<i8>,
    pub(crate) data: Data,
    pub(crate) scaler_unit: Option<ScalerUnit>,
}

/// The values of a message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values {
    pub(crate) items: Vec<Item>,
    /// From which list their meaning is, where the message itself is silent.
    pub(crate) list: Option<&'static str>,
}

/// Finds the values of a notification's body. Meters have five ways to lay
/// them out. `kaifa_date_time` is whether the notification has the odd date-time that
/// Kaifa's have.
pub(crate) fn of_body(body: &Data, kaifa_date_time: bool) -> Values {
    let Some(elements) = body.elements() else {
        return Values::default();
    };
    let known = by_object_list(elements)
        .or_else(|| one_structure_each(elements))
        .map(|items| Values { items, list: None });
    known
        .or_else(|| kaifa(elements, kaifa_date_time))
        .unwrap_or_else(|| in_line(elements))
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
    let values = if objects.len() == elements.len() {
        elements
    } else if objects.len() == rest.len() {
        rest
    } else {
        return None;
    };
    let items = objects
        .iter()
        .zip(values)
        .map(|((class_id, obis, attribute), data)| Item {
            obis: *obis,
            class_id: Some(*class_id),
            attribute: Some(*attribute),
            data: data.clone(),
            scaler_unit: None,
        })
        .collect();
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
        obis: value::as_obis(octets)?,
        class_id: None,
        attribute: None,
        data: data.clone(),
        scaler_unit,
    })
}

/// Values alone, whose places tell what they are (Kaifa in Norway).
fn kaifa(elements: &[Data], kaifa_date_time: bool) -> Option<Values> {
    let places = quirks::kaifa(elements.len())?;
    let named = match elements {
        [Data::DoubleLongUnsigned(_)] => kaifa_date_time,
        [first, ..] => first
            .as_octets()
            .is_some_and(|octets| octets.starts_with(quirks::KAIFA)),
        [] => false,
    };
    named.then(|| Values {
        items: places
            .iter()
            .zip(elements)
            .map(|(place, data)| Item {
                obis: place.obis,
                class_id: None,
                attribute: None,
                data: data.clone(),
                scaler_unit: place.scaler_unit,
            })
            .collect(),
        list: Some("Kaifa, list KFM_001"),
    })
}

/// Codes in line with their values: code, value, and scaler and unit where
/// there are any (Kamstrup, Landis+Gyr E450, Kaifa in Austria).
fn in_line(elements: &[Data]) -> Values {
    let mut values = Values::default();
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
            values.items.push(found);
            rest = after;
        }
    }
    let named = |name: &[u8]| {
        elements
            .first()
            .and_then(Data::as_octets)
            .is_some_and(|octets| octets.starts_with(name))
    };
    if !values.items.is_empty() && named(quirks::KAMSTRUP) {
        let kind = values
            .items
            .iter()
            .find(|item| item.obis == quirks::KAMSTRUP_TYPE)
            .and_then(|item| item.data.as_octets().map(<[u8]>::to_vec))
            .unwrap_or_default();
        for item in &mut values.items {
            item.scaler_unit = item
                .scaler_unit
                .or_else(|| quirks::kamstrup(item.obis, &kind));
        }
        values.list = Some("Kamstrup, list Kamstrup_V0001");
    }
    values
}

/// A code is no value of another code.
fn is_value(data: &Data) -> bool {
    !matches!(data, Data::OctetString(octets) if value::as_obis(octets).is_some())
}

impl Values {
    /// An object with a key for each OBIS code; where an attribute is told that
    /// is not the value itself, or a code comes twice, the attribute is in it.
    pub(crate) fn to_json(&self) -> Value {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut object = Map::new();
        for item in &self.items {
            let mut key = match item.attribute {
                None | Some(2) => item.obis.to_string(),
                Some(attribute) => format!("{}:{attribute}", item.obis),
            };
            let times = seen.entry(key.clone()).or_default();
            *times += 1;
            if *times > 1 {
                key = format!("{key} ({times})");
            }
            object.insert(key, item.to_json());
        }
        Value::Object(object)
    }

    /// A table for people.
    pub(crate) fn render(&self, style: Style) -> String {
        let rows: Vec<Row> = self.items.iter().map(Row::of).collect();
        let columns = |pick: fn(&Row) -> &str, most: usize| {
            let widths = rows.iter().map(|row| text::width(pick(row)));
            widths.filter(|width| *width <= most).max().unwrap_or(0)
        };
        let codes = columns(|row| &row.obis, 20);
        let names = columns(|row| &row.name, 40);
        let numbers = columns(|row| &row.number, 16);
        let mut out = String::new();
        for row in &rows {
            let start = format!(
                "  {}  {}  ",
                text::pad(&row.obis, codes),
                text::pad(&row.name, names)
            );
            let value = if row.number.is_empty() {
                row.text.clone()
            } else {
                let number = text::pad_left(&row.number, numbers);
                format!("{number} {}", row.text).trim_end().to_owned()
            };
            out.push_str(&start);
            let room = COLUMNS.saturating_sub(text::width(&start));
            let lines = if text::width(&value) <= room {
                vec![value]
            } else {
                text::wrap(&value, room)
            };
            for (index, line) in lines.iter().enumerate() {
                if index > 0 {
                    out.push_str(&" ".repeat(text::width(&start)));
                }
                out.push_str(&style.paint(Ink::Value, line));
                out.push('\n');
            }
        }
        out
    }
}

/// One line of the table.
struct Row {
    obis: String,
    name: String,
    /// A number, which stands right-aligned; empty for all else.
    number: String,
    /// Its unit; or the value that is no number.
    text: String,
}

impl Row {
    fn of(item: &Item) -> Self {
        let obis = match item.attribute {
            None | Some(2) => item.obis.to_string(),
            Some(attribute) => format!("{}:{attribute}", item.obis),
        };
        let name = name(item.obis).map(|name| name.to_string());
        let text = item.text();
        let is_number = item.data.as_i64().is_some() || item.data.as_u64().is_some();
        let (number, text) = match text.split_once(' ') {
            Some((number, unit)) if is_number => (number.to_owned(), unit.to_owned()),
            None if is_number => (text, String::new()),
            _ => (String::new(), text),
        };
        Self {
            obis,
            name: name.unwrap_or_default(),
            number,
            text,
        }
    }
}

impl Item {
    pub(crate) fn text(&self) -> String {
        self.scaler_unit
            .and_then(|scaler_unit| value::scaled_text(&self.data, scaler_unit))
            .unwrap_or_else(|| value::to_text(&self.data))
    }

    fn to_json(&self) -> Value {
        let mut object = Map::new();
        if let Some(name) = name(self.obis) {
            object.insert("name".to_owned(), json!(name.to_string()));
        }
        if let Some(class_id) = self.class_id {
            object.insert("class".to_owned(), json!(class_id));
        }
        if let Some(attribute) = self.attribute {
            object.insert("attribute".to_owned(), json!(attribute));
        }
        object.insert("value".to_owned(), value::to_json(&self.data));
        if let Data::OctetString(octets) = &self.data {
            let text = value::as_date_time(octets)
                .map(|time| time.to_string())
                .or_else(|| value::as_text(octets).map(str::to_owned));
            if let Some(text) = text {
                object.insert("text".to_owned(), json!(text));
            }
        }
        if let Some(scaler_unit) = self.scaler_unit
            && let Some(scaled) = value::scaled_json(&self.data, scaler_unit)
        {
            object.insert("unit".to_owned(), json!(scaler_unit.unit.to_string()));
            object.insert("scaled".to_owned(), scaled);
        }
        Value::Object(object)
    }
}
