//! Messages that are no DLMS: telegrams of P1, files of SML, fragments of
//! RAVEn, frames of ZigBee, feeds of Green Button.

use han::espi::{self, Resource};
use han::measure::Report;
use han::{p1, raven, sml, zcl};
use model::xml::{Switch, ToServer, ToSmartMeter, XmlMessage};
use serde_json::json;

use super::Decoded;
use super::node::Node;
use super::open::Opened;
use super::piece::Piece;
use super::values::time_text;
use crate::failure::Failure;
use crate::text::hex;

/// Messages that one input may have.
const MESSAGES_MAX: usize = 10_000;

/// The last readings of a block that people are shown.
const READINGS_SHOWN: usize = 3;

/// One telegram after the other.
pub(crate) fn p1(input: &[u8]) -> Result<Decoded, Failure> {
    let mut messages = Vec::new();
    let mut at = 0;
    while let Some(rest) = input.get(at..) {
        let blank = rest.iter().take_while(|octet| octet.is_ascii_whitespace());
        let start = at + blank.count();
        let rest = input.get(start..).unwrap_or_default();
        // What D0 heads add behind the telegram does not begin with a slash.
        if rest.first() != Some(&b'/') && !messages.is_empty() {
            break;
        }
        if messages.len() >= MESSAGES_MAX {
            return Err(Failure::at(start, "more telegrams than are taken"));
        }
        let (opened, length) = telegram(&Piece::new(rest, start))?;
        messages.push(opened);
        at = start + length;
    }
    Ok(decoded("p1", messages))
}

/// The telegram that `piece` begins with, and how long it is.
pub(crate) fn telegram(piece: &Piece) -> Result<(Opened, usize), Failure> {
    let octets = piece.octets();
    let telegram = p1::Telegram::decode(octets).map_err(|error| piece.fault(error))?;
    let mut tree = Node {
        value: json!(telegram.identification),
        ..Node::new("P1 telegram", piece.at(0))
    }
    .text(telegram.identification);
    for object in &telegram.objects {
        let cells: Vec<String> = object
            .cells
            .iter()
            .map(|cell| match cell.unit {
                Some(unit) => format!("{} {unit}", cell.value),
                None => cell.value.to_owned(),
            })
            .collect();
        tree.children.push(
            Node {
                value: json!(cells),
                ..Node::new(object.address.to_owned(), piece.at(object.offset))
            }
            .text(cells.join(", ")),
        );
    }
    let mut notes = Vec::new();
    match telegram.checksum {
        Some(checksum) => tree.children.push(
            Node {
                value: json!(format!("{checksum:04x}")),
                ..Node::new("checksum", None)
            }
            .text(format!("{checksum:04x}, right")),
        ),
        None => notes.push("the telegram has no checksum: damage is not seen".to_owned()),
    }
    if telegram.line_ends_changed {
        notes.push(
            "line ends were changed since it was sent: with CR LF the checksum is right".to_owned(),
        );
    }
    let plain = octets.get(..telegram.length).unwrap_or_default();
    let opened = of_report(tree, plain, telegram.report(), notes);
    Ok((opened, telegram.length))
}

/// One file after the other.
pub(crate) fn sml(input: &[u8]) -> Result<Decoded, Failure> {
    let mut messages = Vec::new();
    let mut at = 0;
    while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
        if messages.len() >= MESSAGES_MAX {
            return Err(Failure::at(at, "more files than are taken"));
        }
        let piece = Piece::new(rest, at);
        let file = sml::File::decode(rest).map_err(|error| piece.fault(error))?;
        let mut tree = Node::new("SML file", at).text(format!("{} octets", file.length));
        for message in &file.messages {
            let name = match message.tag {
                0x0101 => "PublicOpen.Res",
                0x0201 => "PublicClose.Res",
                0x0701 => "GetList.Res",
                _ => "message",
            };
            let body = sml_node("body", &message.body);
            tree.children.push(
                Node::new(name, piece.at(message.offset))
                    .text(format!("{:04x}", message.tag))
                    .with_all(body.children),
            );
        }
        let notes = match file.checksum {
            sml::Checksum::X25 => Vec::new(),
            sml::Checksum::Kermit => vec!["the checksum is that of Kermit".to_owned()],
        };
        let plain = rest.get(..file.length).unwrap_or_default();
        messages.push(of_report(tree, plain, file.report(), notes));
        at += file.length;
    }
    Ok(decoded("sml", messages))
}

fn sml_node(name: &'static str, node: &sml::Node) -> Node {
    let leaf = Node::new(name, None);
    match node {
        sml::Node::Absent => leaf.text("-"),
        sml::Node::End => leaf.text("end"),
        sml::Node::Boolean(value) => leaf.valued(*value),
        sml::Node::Integer(value) => leaf.valued(*value),
        sml::Node::Unsigned(value) => leaf.valued(*value),
        sml::Node::Octets(octets) => Node {
            value: json!(hex(octets)),
            ..leaf
        }
        .text(super::value::octet_text(octets)),
        sml::Node::List(elements) => {
            let mut list = leaf.text(format!("list of {}", elements.len()));
            for (index, element) in elements.iter().enumerate() {
                let mut child = sml_node("", element);
                child.name = format!("[{}]", index + 1).into();
                list.children.push(child);
            }
            list
        }
    }
}

/// Fragments side by side, a feed of Green Button, or a message between a head
/// end and a meter that is the gateway to outlets.
pub(crate) fn xml(input: &[u8], only_raven: bool) -> Result<Decoded, Failure> {
    if !only_raven && matches!(root_name(input), Some(b"SM" | b"server")) {
        return outlet_message(input);
    }
    if !only_raven
        && let Ok(text) = std::str::from_utf8(input)
        && let Ok(feed) = espi::read(text)
    {
        return Ok(decoded("xml", vec![green_button(&feed, input)]));
    }
    let fragments = raven::decode(input)?;
    let messages = fragments
        .iter()
        .enumerate()
        .map(|(index, fragment)| {
            let end = fragments
                .get(index + 1)
                .map_or(input.len(), |next| next.offset);
            let mut tree = Node::new(fragment.name.clone(), fragment.offset);
            for (name, value) in &fragment.fields {
                tree.children
                    .push(Node::new(name.clone(), None).valued(value.clone()));
            }
            let plain = input.get(fragment.offset..end).unwrap_or_default();
            of_report(tree, plain.trim_ascii(), fragment.report(), Vec::new())
        })
        .collect();
    Ok(decoded("raven", messages))
}

/// The name of the first element.
fn root_name(input: &[u8]) -> Option<&[u8]> {
    let mut rest = input;
    loop {
        let open = rest.iter().position(|octet| *octet == b'<')?;
        rest = rest.get(open + 1..)?;
        if !matches!(rest.first(), Some(b'?' | b'!')) {
            break;
        }
    }
    let end = rest
        .iter()
        .position(|octet| !octet.is_ascii_alphanumeric())
        .unwrap_or(rest.len());
    rest.get(..end)
}

fn outlet_message(input: &[u8]) -> Result<Decoded, Failure> {
    let message = XmlMessage::read(input)
        .map_err(|error| Failure::at(error.offset, error.reason.to_string()))?;
    let mut tree = Node {
        value: json!(message.name()),
        ..Node::new("XML message", 0)
    }
    .text(format!(
        "{}, class {}",
        message.name(),
        message.class().name()
    ));
    let mut put = |name: &'static str, text: String| {
        tree.children.push(Node::new(name, None).valued(text));
    };
    match &message {
        XmlMessage::ToSmartMeter(ToSmartMeter::ControlOnOff { timestamp, outlets }) => {
            put("timestamp", timestamp.to_string());
            for (outlet, switch) in outlets {
                let state = match switch {
                    Switch::Off => "off",
                    Switch::On => "on",
                };
                put("outlet", format!("{outlet} {state}"));
            }
        }
        XmlMessage::ToSmartMeter(ToSmartMeter::Retransmission {
            timestamp,
            outlet,
            day,
            sections,
        }) => {
            put("timestamp", timestamp.to_string());
            put("outlet", outlet.to_string());
            put("day", day.to_string());
            put("sections", sections.iter().count().to_string());
        }
        XmlMessage::ToSmartMeter(ToSmartMeter::PowerCost {
            timestamp,
            month,
            day_start,
            day_end,
            total_cost,
        }) => {
            put("timestamp", timestamp.to_string());
            put("days", format!("{day_start} to {day_end} of month {month}"));
            put("total cost", total_cost.to_string());
        }
        XmlMessage::ToServer(ToServer::QueryPower {
            meter,
            timestamp,
            outlets,
        }) => {
            put("meter", meter.to_string());
            put("timestamp", timestamp.to_string());
            for (outlet, power) in outlets {
                put(
                    "outlet",
                    format!(
                        "{outlet} {} V {} mA {} W",
                        power.volts, power.milliamperes, power.watts
                    ),
                );
            }
        }
        XmlMessage::ToServer(ToServer::WarnToChange {
            meter,
            timestamp,
            outlets,
        }) => {
            put("meter", meter.to_string());
            put("timestamp", timestamp.to_string());
            for (outlet, report) in outlets {
                put("outlet", format!("{outlet} report {report}"));
            }
        }
    }
    let mut opened = of_report(tree, input, Report::default(), Vec::new());
    opened.again = message.write().ok().map(String::into_bytes);
    Ok(decoded("xml", vec![opened]))
}

fn green_button(feed: &espi::Feed, input: &[u8]) -> Opened {
    let mut tree = Node {
        value: json!(feed.title),
        ..Node::new("Green Button feed", 0)
    }
    .text(feed.title.clone());
    for entry in &feed.entries {
        for resource in &entry.content {
            tree.children.push(resource_node(resource, &entry.title));
        }
    }
    of_report(tree, input, Report::default(), Vec::new())
}

fn resource_node(resource: &Resource, title: &str) -> Node {
    let (name, text) = match resource {
        Resource::UsagePoint(point) => (
            "UsagePoint",
            point
                .service_category
                .as_ref()
                .and_then(|category| category.kind)
                .map_or_else(String::new, |kind| format!("service {kind}")),
        ),
        Resource::MeterReading(_) => ("MeterReading", title.to_owned()),
        Resource::ReadingType(kind) => (
            "ReadingType",
            format!(
                "unit {}, times 10^{}, every {} s",
                kind.uom.unwrap_or_default(),
                kind.power_of_ten_multiplier.unwrap_or_default(),
                kind.interval_length.unwrap_or_default()
            ),
        ),
        Resource::IntervalBlock(block) => {
            let mut node = Node {
                value: json!(block.readings.len()),
                ..Node::new("IntervalBlock", None)
            }
            .text(format!("{} readings", block.readings.len()));
            for reading in block.readings.iter().take(READINGS_SHOWN) {
                let start = reading.time_period.as_ref().map(|period| period.start);
                node.children.push(
                    Node {
                        value: json!({ "start": start, "value": reading.value }),
                        ..Node::new("IntervalReading", None)
                    }
                    .text(
                        reading
                            .value
                            .map_or_else(String::new, |value| value.to_string()),
                    ),
                );
            }
            return node;
        }
        Resource::LocalTimeParameters(time) => (
            "LocalTimeParameters",
            format!("{} s east of UTC", time.tz_offset),
        ),
        Resource::UsageSummary(_) | Resource::ElectricPowerUsageSummary(_) => {
            ("UsageSummary", title.to_owned())
        }
        Resource::ElectricPowerQualitySummary(_) => {
            ("ElectricPowerQualitySummary", title.to_owned())
        }
    };
    Node::new(name, None).text(text)
}

/// A frame of the cluster library; what it tells is taken as of Metering.
pub(crate) fn zcl(input: &[u8]) -> Result<Decoded, Failure> {
    let frame = zcl::Frame::decode(input)?;
    let kind = if frame.cluster_specific {
        "of the cluster"
    } else {
        "of all clusters"
    };
    let name = frame.command_name().map_or_else(
        || format!("command {:02x} {kind}", frame.command),
        str::to_owned,
    );
    let from = if frame.from_server {
        "server"
    } else {
        "client"
    };
    let mut tree = Node {
        value: json!({
            "command": frame.command,
            "cluster_specific": frame.cluster_specific,
            "manufacturer": frame.manufacturer,
            "from_server": frame.from_server,
            "sequence": frame.sequence,
        }),
        ..Node::new("ZCL frame", 0)
    }
    .text(format!("{name}, from {from}, number {}", frame.sequence));
    let mut metering = zcl::Metering::default();
    match frame.attributes()? {
        Some(attributes) => {
            for (id, value) in &attributes.0 {
                let node = Node::new(format!("attribute {id:04x}"), None);
                tree.children.push(match value {
                    Ok(value) => zcl_node(node, value),
                    Err(status) => node.text(format!("status {status:02x}")),
                });
            }
            metering.take(attributes);
        }
        None if !frame.payload.is_empty() => tree.children.push(
            Node {
                value: json!(hex(frame.payload)),
                ..Node::new("payload", frame.payload_offset())
            }
            .text(super::value::hex_text(frame.payload)),
        ),
        None => {}
    }
    let opened = of_report(tree, input, metering.report(), Vec::new());
    Ok(decoded("zcl", vec![opened]))
}

fn zcl_node(node: Node, value: &zcl::Value) -> Node {
    match value {
        zcl::Value::None => node.text("no data"),
        zcl::Value::Invalid => node.text("not valid"),
        zcl::Value::Boolean(value) => node.valued(*value),
        zcl::Value::Data(value) | zcl::Value::Bitmap(value) => Node {
            value: json!(value),
            ..node
        }
        .text(format!("{value:#x}")),
        zcl::Value::Unsigned(value) => node.valued(*value),
        zcl::Value::Signed(value) => node.valued(*value),
        zcl::Value::Enum(value) => node.valued(*value),
        zcl::Value::Float(value) => node.valued(*value),
        zcl::Value::Octets(octets) => Node {
            value: json!(hex(octets)),
            ..node
        }
        .text(super::value::octet_text(octets)),
        zcl::Value::Text(text) => node.valued(text.clone()),
        zcl::Value::Time(seconds) => {
            let time = han::measure::MeterTime::utc(i64::from(*seconds) + zcl::EPOCH_2000, 1_000);
            Node {
                value: json!(seconds),
                ..node
            }
            .text(time_text(&time))
        }
        zcl::Value::Clock(octets) => node.valued(hex(octets)),
        zcl::Value::Identifier(value) => node.valued(*value),
        zcl::Value::Eui64(octets) => node.valued(hex(octets)),
        zcl::Value::Elements(elements) => {
            let mut list = node.text(format!("{} elements", elements.len()));
            for (index, element) in elements.iter().enumerate() {
                list.children.push(zcl_node(
                    Node::new(format!("[{}]", index + 1), None),
                    element,
                ));
            }
            list
        }
    }
}

fn decoded(framing: &'static str, messages: Vec<Opened>) -> Decoded {
    Decoded {
        framing,
        frames: Vec::new(),
        messages,
    }
}

/// What is told of a message that has no encoder here.
fn of_report(mut tree: Node, plain: &[u8], report: Report, notes: Vec<String>) -> Opened {
    if let Some(meter) = &report.meter {
        tree.children
            .insert(0, Node::new("meter", None).valued(meter.clone()));
    }
    if let Some(time) = &report.time {
        tree.children
            .insert(0, Node::new("time", None).valued(time_text(time)));
    }
    Opened {
        tree,
        plain: Some(plain.to_vec()),
        again: None,
        protection: None,
        values: report.into(),
        notes,
    }
}
