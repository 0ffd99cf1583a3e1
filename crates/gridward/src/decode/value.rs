//! Values of A-XDR as nodes and as JSON.

use dlms::axdr::{Data, DateTime, Event, Leaf, RawData, Sequence};
use dlms::codec::{DecodeError, Malformed};
use dlms::cosem::obis::name;
use dlms::cosem::{ScalerUnit, Unit};
use han::push::{number, obis_of};
use serde_json::{Value, json};

use super::node::Node;
use super::piece::Piece;
use crate::text::{hex, printable};

/// Nodes that one message may become.
const NODES_MAX: usize = 200_000;

/// Octets of a string that people are shown; programs are told all.
const SHOWN_MAX: usize = 96;

/// What people are told of a string without anything in it.
const EMPTY: &str = "(empty)";

/// Makes nodes of a value, each at its place.
pub(crate) fn node(
    name: impl Into<std::borrow::Cow<'static, str>>,
    raw: RawData<'_>,
    piece: &Piece,
) -> Result<Node, DecodeError> {
    let name = name.into();
    let mut walker = raw.walk();
    let mut open: Vec<(Node, Sequence)> = Vec::new();
    let mut done: Option<Node> = None;
    let mut count = 0_usize;
    loop {
        let at = walker.offset();
        let Some(event) = walker.next() else { break };
        count += 1;
        if count > NODES_MAX {
            return Err(over(at));
        }
        let label = |open: &[(Node, Sequence)]| match open.last() {
            Some((parent, _)) => format!("[{}]", parent.children.len() + 1).into(),
            None => name.clone(),
        };
        let finished = match event? {
            Event::Begin(sequence, length) => {
                let mut node = Node::new(label(&open), piece.at(at));
                node.kind = Some(sequence.name());
                node.text = format!("{} of {length}", sequence.name());
                open.push((node, sequence));
                continue;
            }
            Event::Leaf(leaf) => {
                let mut node = Node::new(label(&open), piece.at(at));
                put_leaf(&mut node, leaf, at, &mut count)?;
                node
            }
            Event::End => match open.pop() {
                Some((node, sequence)) => closed(node, sequence),
                None => continue,
            },
        };
        match open.last_mut() {
            Some((parent, _)) => parent.children.push(finished),
            None => done = Some(finished),
        }
    }
    done.ok_or_else(|| DecodeError {
        offset: raw.offset(),
        field: "data",
        reason: Malformed::Truncated,
    })
}

const fn over(offset: usize) -> DecodeError {
    DecodeError {
        offset,
        field: "data",
        reason: Malformed::Limit,
    }
}

/// Tells a scaler and its unit where a structure is that.
fn closed(mut node: Node, sequence: Sequence) -> Node {
    if let (Sequence::Structure, [scaler, unit]) = (sequence, node.children.as_slice())
        && (scaler.kind, unit.kind) == (Some("integer"), Some("enum"))
        && let (Some(scaler), Some(unit)) = (
            scaler
                .value
                .as_i64()
                .and_then(|value| i8::try_from(value).ok()),
            unit.value
                .as_u64()
                .and_then(|value| u8::try_from(value).ok()),
        )
    {
        node.text = format!("scaler {scaler}, unit {}", unit_text(Unit(unit)));
        node.folded = true;
    }
    node
}

/// Names a unit, also those without a symbol.
fn unit_text(unit: Unit) -> String {
    match unit.symbol() {
        Some("") => "none".to_owned(),
        _ => unit.to_string(),
    }
}

fn put_leaf(
    node: &mut Node,
    leaf: Leaf<'_>,
    at: usize,
    count: &mut usize,
) -> Result<(), DecodeError> {
    node.kind = Some(leaf.tag().name());
    if let Leaf::CompactArray(_) = leaf {
        let data = leaf.to_data()?;
        if let Data::CompactArray(array) = &data {
            node.text = format!("compact-array of {}", array.elements().len());
            for (index, element) in array.elements().iter().enumerate() {
                node.children
                    .push(data_node(format!("[{}]", index + 1), element, at, count)?);
            }
        }
        return Ok(());
    }
    let data = leaf.to_data()?;
    node.value = to_json(&data);
    node.text = typed_text(&data);
    Ok(())
}

/// Makes nodes of a value that stands nowhere by itself.
fn data_node(name: String, data: &Data, at: usize, count: &mut usize) -> Result<Node, DecodeError> {
    *count += 1;
    if *count > NODES_MAX {
        return Err(over(at));
    }
    let mut node = Node::new(name, None);
    node.kind = Some(data.tag().name());
    match data.elements() {
        Some(elements) => {
            node.text = format!("{} of {}", data.tag().name(), elements.len());
            for (index, element) in elements.iter().enumerate() {
                node.children
                    .push(data_node(format!("[{}]", index + 1), element, at, count)?);
            }
        }
        None => {
            node.value = to_json(data);
            node.text = typed_text(data);
        }
    }
    Ok(node)
}

/// A value with its type, but for octets that are seen to be something.
fn typed_text(data: &Data) -> String {
    let text = to_text(data);
    match data {
        Data::OctetString(octets) if !octets.is_empty() && text != hex_text(octets) => text,
        _ if text.is_empty() => data.tag().name().to_owned(),
        _ => format!("{} {text}", data.tag().name()),
    }
}

/// A value for programs: numbers as numbers, texts as texts, octets as digits,
/// sequences as arrays.
pub(crate) fn to_json(data: &Data) -> Value {
    match data {
        Data::NullData | Data::DontCare => Value::Null,
        Data::Array(elements) | Data::Structure(elements) => elements.iter().map(to_json).collect(),
        Data::CompactArray(array) => array.elements().iter().map(to_json).collect(),
        Data::Boolean(value) => json!(value),
        Data::BitString(bits) => json!(bit_text(bits)),
        Data::OctetString(octets) => json!(hex(octets)),
        Data::VisibleString(octets) | Data::Utf8String(octets) => {
            json!(String::from_utf8_lossy(octets))
        }
        Data::Bcd(value) => json!(value),
        Data::Float32(value) => float(f64::from(*value), &value.to_string()),
        Data::Float64(value) => float(*value, &value.to_string()),
        Data::DateTime(value) => json!(value.to_string()),
        Data::Date(value) => json!(value.to_string()),
        Data::Time(value) => json!(value.to_string()),
        Data::DeltaInteger(value) => json!(value),
        Data::DeltaLong(value) => json!(value),
        Data::DeltaDoubleLong(value) => json!(value),
        Data::DeltaUnsigned(value) => json!(value),
        Data::DeltaLongUnsigned(value) => json!(value),
        Data::DeltaDoubleLongUnsigned(value) => json!(value),
        number => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => json!(value),
            (None, value) => json!(value),
        },
    }
}

/// A number that JSON has, with the fewest digits that tell it; others as text.
fn float(value: f64, text: &str) -> Value {
    match text.parse::<f64>() {
        Ok(number) if value.is_finite() => json!(number),
        _ => json!(text),
    }
}

fn bit_text(bits: &dlms::axdr::BitString) -> String {
    bits.as_bit_str()
        .iter()
        .map(|bit| if bit { '1' } else { '0' })
        .collect()
}

/// A value for people, without its type.
pub(crate) fn to_text(data: &Data) -> String {
    match data {
        Data::NullData => String::new(),
        Data::DontCare => "any".to_owned(),
        Data::Array(elements) | Data::Structure(elements) => {
            format!("{} of {}", data.tag().name(), elements.len())
        }
        Data::CompactArray(array) => format!("compact-array of {}", array.elements().len()),
        Data::OctetString(octets) if octets.is_empty() => EMPTY.to_owned(),
        Data::BitString(bits) if bits.as_bit_str().is_empty() => EMPTY.to_owned(),
        Data::BitString(bits) => cut(&bit_text(bits), bits.as_bit_str().iter().count(), "bits"),
        Data::OctetString(octets) => octet_text(octets),
        Data::VisibleString(octets) | Data::Utf8String(octets) => {
            quoted(&String::from_utf8_lossy(octets))
        }
        Data::Bcd(value) => format!("{value:02x}"),
        Data::Float32(value) => value.to_string(),
        Data::Float64(value) => value.to_string(),
        Data::DateTime(value) => date_time_text(value),
        other => match to_json(other) {
            Value::String(text) => text,
            value => value.to_string(),
        },
    }
}

/// A text in quotes, safe to show.
pub(crate) fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN_MAX * 2).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("\"{}{more}\"", printable(&shown))
}

fn cut(text: &str, count: usize, what: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX * 2) {
        Some((end, _)) => format!("{}… ({count} {what})", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// What an octet string most likely is: an OBIS code, a point in time, a text,
/// else its digits.
pub(crate) fn octet_text(octets: &[u8]) -> String {
    if let Some(obis) = obis_of(octets) {
        return match name(obis) {
            Some(name) => format!("{obis} {name}"),
            None => obis.to_string(),
        };
    }
    if let Some(time) = as_date_time(octets) {
        return date_time_text(&time);
    }
    if let Some(text) = as_text(octets) {
        return quoted(text);
    }
    // Texts are often filled up with zeros.
    let zeros = octets.iter().rev().take_while(|octet| **octet == 0).count();
    match octets.get(..octets.len() - zeros).and_then(as_text) {
        Some(text) if text.len() > 3 => format!("{} and {zeros} zeros", quoted(text)),
        _ => hex_text(octets),
    }
}

/// Digits; of a long string the first and how many there are.
pub(crate) fn hex_text(octets: &[u8]) -> String {
    cut(&hex(octets), octets.len(), "octets")
}

/// A point in time, where twelve octets look like one.
pub(crate) fn as_date_time(octets: &[u8]) -> Option<DateTime> {
    let time = DateTime::from_octets(octets.try_into().ok()?);
    let (date, clock) = (time.date, time.time);
    let plausible = (1970..2170).contains(&date.year)
        && (1..=12).contains(&date.month)
        && (1..=31).contains(&date.day_of_month)
        && (clock.hour < 24 || clock.hour == 255)
        && (clock.minute < 60 || clock.minute == 255)
        && (clock.second < 60 || clock.second == 255);
    plausible.then_some(time)
}

/// A text, where all octets are printable.
pub(crate) fn as_text(octets: &[u8]) -> Option<&str> {
    let printable = |octet: &u8| (0x20..0x7F).contains(octet);
    (!octets.is_empty() && octets.iter().all(printable))
        .then(|| std::str::from_utf8(octets).ok())?
}

/// A point in time, and what its status says unless that is nothing.
pub(crate) fn date_time_text(time: &DateTime) -> String {
    match time.status.0 {
        0 | 0xFF => time.to_string(),
        _ => format!("{time} ({})", time.status),
    }
}

/// What is measured: number, power of ten and unit, written out.
pub(crate) fn scaled_text(data: &Data, scaler_unit: ScalerUnit) -> Option<String> {
    let number = number(data)?;
    let scaled = scaler_unit.scaled(number);
    Some(match scaler_unit.unit.symbol() {
        Some("") => scaled.decimal().to_string(),
        _ => format!("{} {}", scaled.decimal(), scaler_unit.unit),
    })
}

/// The scaled number for programs: a number where JSON tells it exactly, else
/// its digits.
pub(crate) fn scaled_json(data: &Data, scaler_unit: ScalerUnit) -> Option<Value> {
    let decimal = scaler_unit.scaled(number(data)?).decimal().to_string();
    Some(decimal_json(&decimal))
}

/// Digits as a number where JSON tells it exactly, else as they are.
pub(crate) fn decimal_json(decimal: &str) -> Value {
    if let Ok(whole) = decimal.parse::<i64>() {
        return json!(whole);
    }
    let significant = decimal.chars().filter(char::is_ascii_digit).count();
    match decimal.parse::<f64>() {
        Ok(number) if significant <= 15 => json!(number),
        _ => json!(decimal),
    }
}
