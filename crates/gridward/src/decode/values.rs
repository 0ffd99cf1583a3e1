//! The values of a message by their OBIS codes.

use std::collections::BTreeMap;

use dlms::axdr::Data;
use dlms::cosem::obis::name;
use dlms::cosem::{Obis, Unit};
use han::measure::{Basis, MeterTime, Report, Text, Trust, Value as Measured, Zone};
use han::push::{Item, Push};
use serde_json::{Map, Value, json};

use super::value;
use crate::output::{COLUMNS, Ink, Style};
use crate::text;

/// The values of a message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values {
    /// As DLMS messages tell them.
    pub(crate) items: Vec<Item>,
    /// As other messages do.
    pub(crate) measured: Vec<Measured>,
    /// What is no number, of those.
    pub(crate) texts: Vec<Text>,
    /// From which list their meaning is, where the message itself is silent.
    pub(crate) list: Option<&'static str>,
}

impl From<Push> for Values {
    fn from(push: Push) -> Self {
        Self {
            items: push.items,
            list: push.list,
            ..Self::default()
        }
    }
}

impl From<Report> for Values {
    fn from(report: Report) -> Self {
        Self {
            measured: report.values,
            texts: report.texts,
            list: report.layout,
            ..Self::default()
        }
    }
}

impl Values {
    /// An object with a key for each OBIS code; where an attribute is told that
    /// is not the value itself, or a code comes twice, the attribute is in it.
    pub(crate) fn to_json(&self) -> Value {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut object = Map::new();
        let mut put = |mut key: String, told: Value| {
            let times = seen.entry(key.clone()).or_default();
            *times += 1;
            if *times > 1 {
                key = format!("{key} ({times})");
            }
            object.insert(key, told);
        };
        for item in &self.items {
            let key = match item.attribute {
                None | Some(2) => item.obis.to_string(),
                Some(attribute) => format!("{}:{attribute}", item.obis),
            };
            put(key, item_json(item));
        }
        for value in &self.measured {
            put(value.obis.to_string(), measured_json(value));
        }
        for text in &self.texts {
            let mut told = named(text.obis);
            told.insert("value".to_owned(), json!(text.text));
            put(text.obis.to_string(), Value::Object(told));
        }
        Value::Object(object)
    }

    /// Tells whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.items.is_empty() && self.measured.is_empty() && self.texts.is_empty()
    }

    /// A table for people.
    pub(crate) fn render(&self, style: Style) -> String {
        let rows: Vec<Row> = self
            .items
            .iter()
            .map(Row::of)
            .chain(self.measured.iter().map(Row::measured))
            .chain(self.texts.iter().map(Row::text))
            .collect();
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
        let text = item_text(item);
        let is_number = item.data.as_i64().is_some() || item.data.as_u64().is_some();
        let text = if item.scaler_unit.is_some() && item.basis == Basis::Usual {
            format!("{text} (usual)")
        } else {
            text
        };
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

    fn measured(measured: &Measured) -> Self {
        let unit = match measured.quantity.unit {
            Unit::COUNT => String::new(),
            unit => unit.to_string(),
        };
        let time = measured
            .time
            .as_ref()
            .map(|time| format!(" at {}", time_text(time)))
            .unwrap_or_default();
        Self {
            obis: measured.obis.to_string(),
            name: name(measured.obis)
                .map(|name| name.to_string())
                .unwrap_or_default(),
            number: measured.quantity.decimal().to_string(),
            text: format!("{unit}{time}"),
        }
    }

    fn text(text: &Text) -> Self {
        Self {
            obis: text.obis.to_string(),
            name: name(text.obis)
                .map(|name| name.to_string())
                .unwrap_or_default(),
            number: String::new(),
            text: value::quoted(&text.text),
        }
    }
}

/// A value with its unit, or as it came.
fn item_text(item: &Item) -> String {
    item.scaler_unit
        .and_then(|scaler_unit| value::scaled_text(&item.data, scaler_unit))
        .unwrap_or_else(|| value::to_text(&item.data))
}

fn named(obis: Obis) -> Map<String, Value> {
    let mut object = Map::new();
    if let Some(name) = name(obis) {
        object.insert("name".to_owned(), json!(name.to_string()));
    }
    object
}

/// Says where scale and unit are from, unless the message tells them.
fn put_basis(object: &mut Map<String, Value>, basis: Basis) {
    let told = match basis {
        Basis::Told => return,
        Basis::Listed => "list",
        Basis::Usual => "usual",
    };
    object.insert("basis".to_owned(), json!(told));
}

fn item_json(item: &Item) -> Value {
    let mut object = named(item.obis);
    if let Some(class_id) = item.class_id {
        object.insert("class".to_owned(), json!(class_id));
    }
    if let Some(attribute) = item.attribute {
        object.insert("attribute".to_owned(), json!(attribute));
    }
    object.insert("value".to_owned(), value::to_json(&item.data));
    if let Data::OctetString(octets) = &item.data {
        let text = value::as_date_time(octets)
            .map(|time| time.to_string())
            .or_else(|| value::as_text(octets).map(str::to_owned));
        if let Some(text) = text {
            object.insert("text".to_owned(), json!(text));
        }
    }
    if let Some(scaler_unit) = item.scaler_unit
        && let Some(scaled) = value::scaled_json(&item.data, scaler_unit)
    {
        object.insert("unit".to_owned(), json!(scaler_unit.unit.to_string()));
        object.insert("scaled".to_owned(), scaled);
        put_basis(&mut object, item.basis);
    }
    Value::Object(object)
}

fn measured_json(measured: &Measured) -> Value {
    let mut object = named(measured.obis);
    let decimal = measured.quantity.decimal().to_string();
    let scaled = value::decimal_json(&decimal);
    object.insert("value".to_owned(), scaled.clone());
    object.insert("unit".to_owned(), json!(measured.quantity.unit.to_string()));
    object.insert("scaled".to_owned(), scaled);
    put_basis(&mut object, measured.basis);
    if let Some(time) = &measured.time {
        object.insert("time".to_owned(), json!(time_text(time)));
    }
    Value::Object(object)
}

/// A meter's time as ISO 8601 has it: with its offset where that is known.
pub(crate) fn time_text(time: &MeterTime) -> String {
    let local = dlms::axdr::DateTime::from_unix_seconds(time.shown, 0, dlms::axdr::ClockStatus::OK)
        .map(|shown| format!("{}T{}", shown.date, shown.time))
        .unwrap_or_default();
    let zone = match time.zone {
        Zone::Utc => "Z".to_owned(),
        Zone::Offset(minutes) => {
            let sign = if minutes < 0 { '-' } else { '+' };
            let minutes = minutes.unsigned_abs();
            format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
        }
        Zone::Local {
            daylight_saving: Some(true),
        } => " summer time".to_owned(),
        Zone::Local {
            daylight_saving: Some(false),
        } => " winter time".to_owned(),
        Zone::Local {
            daylight_saving: None,
        } => " local time".to_owned(),
    };
    let trust = match time.trust {
        Trust::Good => "",
        Trust::Doubtful => " (doubtful)",
        Trust::Invalid => " (invalid)",
    };
    format!("{local}{zone}{trust}")
}
