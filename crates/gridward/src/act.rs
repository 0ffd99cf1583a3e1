//! `gridward write`, `gridward invoke` and `gridward objects`.

use clap::Args;
use dlms::cosem::obis::name;
use dlms::cosem::{
    AttributeAccess, AttributeDescriptor, InterfaceClass, MethodAccess, MethodDescriptor,
    ObjectListElement,
};
use model::MessageClass;
use serde_json::{Value, json};

use crate::associate::{AssociationOptions, block_on, explain};
use crate::decode::value;
use crate::failure::Failure;
use crate::literal::{self, Literal};
use crate::output::{COLUMNS, Ink, Output, Style};
use crate::target::{self, Classes, Target};
use crate::{Outcome, text};

#[derive(Args, Debug)]
#[command(after_help = format!("\
Examples:
  gridward write URL 0-0:96.13.0 '\"Good day\"' --keys meters.toml
  gridward write URL 1-0:99.1.0:4 u32:900 --keys meters.toml
  gridward write URL 0-0:1.0.0 time:2026-11-21T10:00:00+01:00 --keys meters.toml

{}", literal::HELP))]
pub(crate) struct WriteOptions {
    /// Where the meter is, or its name in the configuration
    #[arg(value_name = "URL|NAME")]
    place: String,
    /// What to write: OBIS code, attribute behind a colon, class in front
    #[arg(value_name = "[CLASS/]OBIS[:ATTRIBUTE]")]
    object: String,
    /// The value
    #[arg(allow_hyphen_values = true)]
    value: String,
    #[command(flatten)]
    association: AssociationOptions,
}

#[derive(Args, Debug)]
#[command(after_help = format!("\
Examples:
  gridward invoke URL 0-0:96.3.10:1 --keys meters.toml     (disconnects)
  gridward invoke URL 0-0:96.3.10:2 --keys meters.toml     (reconnects)
  gridward invoke URL 70/0-0:96.3.10:1 i8:0 --keys meters.toml

Without a value, i8:0 goes along, as most methods want it; null sends null-data.

{}", literal::HELP))]
pub(crate) struct InvokeOptions {
    /// Where the meter is, or its name in the configuration
    #[arg(value_name = "URL|NAME")]
    place: String,
    /// What to invoke: OBIS code, method behind a colon, class in front
    #[arg(value_name = "[CLASS/]OBIS:METHOD")]
    object: String,
    /// The parameter
    #[arg(allow_hyphen_values = true)]
    value: Option<String>,
    #[command(flatten)]
    association: AssociationOptions,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gridward objects tcp://10.0.0.7
  gridward objects tcp://10.0.0.7 --keys meters.toml --client 1 --json

Rights of an attribute: r read, w write, - neither; + where a request must be
protected.")]
pub(crate) struct ObjectsOptions {
    /// Where the meter is, or its name in the configuration
    #[arg(value_name = "URL|NAME")]
    place: String,
    #[command(flatten)]
    association: AssociationOptions,
}

pub(crate) fn write(options: &WriteOptions, output: &mut Output<'_, '_>) -> Outcome {
    let target = Target::parse(&options.object)?;
    let wanted = literal::parse(&options.value)?;
    let destination = options.association.destination(&options.place)?;
    let endpoint = &destination.endpoint;
    block_on(async {
        let mut session = destination.connect().await?;
        let client = &mut session.client;
        client.set_class(MessageClass::Control);
        let told = |error: link::ClientError| explain(&error, endpoint);
        let class_id = Classes::new()
            .of(client, &target)
            .await
            .map_err(told)?
            .ok_or_else(|| target::not_there(target.obis))?;
        let attribute = AttributeDescriptor::new(class_id, target.obis, target.member.unwrap_or(2));
        let data = match wanted {
            Literal::Value(data) => data,
            Literal::Number(number) => {
                let present = client.read(attribute).await.map_err(|error| {
                    told(error).hint(
                        "the type of a number alone is that of the present value, which cannot \
                         be read; give the type, as in u32:5",
                    )
                })?;
                literal::as_type_of(number, &present)?
            }
        };
        let outcome = client.write(attribute, &data).await.map_err(told);
        let ended = session.end().await;
        outcome.and(ended)?;
        if output.json() {
            return output.write_json(&json!({
                "obis": target.obis.to_string(),
                "class": class_id,
                "attribute": attribute.attribute,
                "type": data.tag().name(),
                "written": value::to_json(&data),
            }));
        }
        let style = output.style();
        output.write(&format!(
            "{}  {}:{} is now {} {}\n",
            style.paint(Ink::Good, "written"),
            target.obis,
            attribute.attribute,
            data.tag().name(),
            value::to_text(&data)
        ))
    })
}

pub(crate) fn invoke(options: &InvokeOptions, output: &mut Output<'_, '_>) -> Outcome {
    let target = Target::parse(&options.object)?;
    let method_id = target.member.ok_or_else(|| {
        Failure::usage(format!("{}: which method?", options.object))
            .hint("write it behind a colon, as in 0-0:96.3.10:1")
    })?;
    let parameter = match &options.value {
        None => dlms::axdr::Data::Integer(0),
        Some(text) => match literal::parse(text)? {
            Literal::Value(data) => data,
            Literal::Number(number) => {
                return Err(Failure::usage(format!("{number}: of which type?"))
                    .hint(format!("write i8:{number} or u32:{number}")));
            }
        },
    };
    let destination = options.association.destination(&options.place)?;
    let endpoint = &destination.endpoint;
    block_on(async {
        let mut session = destination.connect().await?;
        let client = &mut session.client;
        client.set_class(MessageClass::Control);
        let told = |error: link::ClientError| explain(&error, endpoint);
        let class_id = Classes::new()
            .of(client, &target)
            .await
            .map_err(told)?
            .ok_or_else(|| target::not_there(target.obis))?;
        let method = MethodDescriptor::new(class_id, target.obis, method_id);
        let outcome = client.invoke(method, Some(&parameter)).await.map_err(told);
        let ended = session.end().await;
        let returned = outcome?;
        ended?;
        let method_name = InterfaceClass::nearest(class_id, u8::MAX)
            .and_then(|class| class.method_name(method_id));
        if output.json() {
            return output.write_json(&json!({
                "obis": target.obis.to_string(),
                "class": class_id,
                "method": method_id,
                "name": method_name,
                "returned": returned.as_ref().map(value::to_json),
            }));
        }
        let style = output.style();
        let named = method_name.map_or_else(String::new, |name| format!(" ({name})"));
        let answer = returned.map_or_else(String::new, |data| {
            format!(", returned {} {}", data.tag().name(), value::to_text(&data))
        });
        output.write(&format!(
            "{}  {}:{method_id}{named}{answer}\n",
            style.paint(Ink::Good, "done"),
            target.obis,
        ))
    })
}

pub(crate) fn objects(options: &ObjectsOptions, output: &mut Output<'_, '_>) -> Outcome {
    let destination = options.association.destination(&options.place)?;
    let endpoint = &destination.endpoint;
    block_on(async {
        let mut session = destination.connect().await?;
        let list = {
            let mut progress = output.progress("read");
            target::object_list(&mut session.client, &mut |octets| progress.tell(octets)).await
        };
        let ended = session.end().await;
        let mut list = list.map_err(|error| explain(&error, endpoint))?;
        ended?;
        list.sort_by_key(|element| (element.logical_name, element.class_id));
        if output.json() {
            let list: Vec<Value> = list.iter().map(element_json).collect();
            return output.write_json(&Value::Array(list));
        }
        let style = output.style();
        let text = list_text(&list, style);
        output.write(&text)
    })
}

/// Versions of association objects from 3 on tell rights bit by bit.
const RIGHTS_VERSION: u8 = 3;

/// Whether modes can only be told bit by bit: older ones are small numbers.
fn rights_version(list: &[ObjectListElement]) -> u8 {
    list.iter()
        .find(|element| element.class_id == 15)
        .map_or(RIGHTS_VERSION, |element| element.version)
}

fn element_json(element: &ObjectListElement) -> Value {
    let class = InterfaceClass::nearest(element.class_id, element.version);
    let attributes: Vec<Value> = element
        .attribute_access
        .iter()
        .map(|item| {
            json!({
                "id": item.attribute_id,
                "name": class.and_then(|class| class.attribute_name(item.attribute_id)),
                "access_mode": item.access_mode,
                "access_selectors": item.access_selectors,
            })
        })
        .collect();
    let methods: Vec<Value> = element
        .method_access
        .iter()
        .map(|item| {
            json!({
                "id": item.method_id,
                "name": class.and_then(|class| class.method_name(item.method_id)),
                "access_mode": item.access_mode,
            })
        })
        .collect();
    json!({
        "obis": element.logical_name.to_string(),
        "class": element.class_id,
        "version": element.version,
        "class_name": class.map(|class| class.name),
        "name": name(element.logical_name).map(|name| name.to_string()),
        "attributes": attributes,
        "methods": methods,
    })
}

fn list_text(list: &[ObjectListElement], style: Style) -> String {
    let version = rights_version(list);
    let codes = list
        .iter()
        .map(|element| text::width(&element.logical_name.to_string()))
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    for element in list {
        let class = InterfaceClass::nearest(element.class_id, element.version);
        let code = element.logical_name.to_string();
        let name = name(element.logical_name).map_or_else(String::new, |name| name.to_string());
        let class_text = format!(
            "{}/{} {}",
            element.class_id,
            element.version,
            class.map_or("", |class| class.name)
        );
        let room = COLUMNS.saturating_sub(codes + 4);
        let gap = room.saturating_sub(text::width(&name) + text::width(&class_text));
        let head = style.paint(Ink::Head, &text::pad(&code, codes));
        if gap >= 1 {
            out.push_str(&format!(
                "{head}  {name}{}  {}\n",
                " ".repeat(gap.saturating_sub(2)),
                style.paint(Ink::Faint, class_text.trim_end())
            ));
        } else {
            out.push_str(&format!("{head}  {name}\n"));
            let class_text = style.paint(Ink::Faint, class_text.trim_end());
            out.push_str(&format!("{}  {class_text}\n", " ".repeat(codes)));
        }
        let mut rights: Vec<String> = element
            .attribute_access
            .iter()
            .map(|item| {
                format!(
                    "{} {}",
                    item.attribute_id,
                    attribute_rights(item.access_mode, version)
                )
            })
            .collect();
        rights.extend(element.method_access.iter().filter_map(|item| {
            let access = MethodAccess::from_mode(item.access_mode, version);
            if !access.contains(MethodAccess::ACCESS) {
                return None;
            }
            let method = class.and_then(|class| class.method_name(item.method_id));
            Some(match method {
                Some(method) => format!("{method}()"),
                None => format!("method {}", item.method_id),
            })
        }));
        for line in text::wrap(&rights.join(", "), COLUMNS.saturating_sub(codes + 2)) {
            out.push_str(&format!("{}  {line}\n", " ".repeat(codes)));
        }
    }
    out.push_str(&style.paint(
        Ink::Faint,
        &match list.len() {
            1 => "1 object".to_owned(),
            count => format!("{count} objects"),
        },
    ));
    out.push('\n');
    out
}

fn attribute_rights(mode: u8, version: u8) -> String {
    let access = AttributeAccess::from_mode(mode, version);
    let mut text = String::new();
    if access.contains(AttributeAccess::READ) {
        text.push('r');
    }
    if access.contains(AttributeAccess::WRITE) {
        text.push('w');
    }
    if text.is_empty() {
        text.push('-');
    }
    let protected = [
        AttributeAccess::AUTHENTICATED_REQUEST,
        AttributeAccess::ENCRYPTED_REQUEST,
        AttributeAccess::DIGITALLY_SIGNED_REQUEST,
    ]
    .into_iter()
    .any(|right| access.contains(right));
    if protected {
        text.push('+');
    }
    text
}
