//! `gridward decode`: one message taken apart, from its frames to its values.

mod describe;
mod frames;
pub(crate) mod node;
mod open;
pub(crate) mod piece;
mod recording;
mod telegram;
pub(crate) mod value;
mod values;

use dlms::axdr::{Data, RawData, Tag as ValueTag};
use dlms::codec::{Reader, Wire as _};
use dlms::xdlms::Tag;
use serde_json::{Map, Value, json};

use crate::cli::{As, DecodeOptions};
use crate::failure::Failure;
use crate::output::{Ink, Output, Style};
use crate::{Outcome, input, text};
use dlms::framing::{self, Framing};
use frames::{Unframed, unframe};
use node::Node;
use open::{Opened, Secrets};
use piece::Piece;

pub(crate) fn run(options: &DecodeOptions, output: &mut Output<'_, '_>) -> Outcome {
    let secrets = secrets(options)?;
    let input = input::octets(&options.message, output.input())?;
    let decoded = decode(&input, options.framing, &secrets)?;
    if output.json() {
        output.write_json(&decoded.to_json())
    } else {
        let style = output.style();
        output.write(&decoded.render(style))
    }
}

fn secrets(options: &DecodeOptions) -> Result<Secrets, Failure> {
    let system_title = options.system_title.as_deref();
    let system_title = system_title.map(crate::profile::system_title).transpose()?;
    let key = |secret: &Option<crate::secret::Secret>, option: &str| {
        secret.as_ref().map(|secret| secret.key(option)).transpose()
    };
    Ok(Secrets {
        encryption: key(&options.key, "--key")?,
        authentication: key(&options.auth_key, "--auth-key")?,
        system_title,
    })
}

/// A message, or several that one input held.
#[derive(Debug)]
struct Decoded {
    framing: &'static str,
    frames: Vec<Node>,
    messages: Vec<Opened>,
}

fn decode(input: &[u8], wanted: As, secrets: &Secrets) -> Result<Decoded, Failure> {
    let framing = match wanted {
        // A null alone; else 00 begins the wrapper.
        As::Auto if input == [0] => Framing::Apdu,
        As::Auto => match recording::detect_text(input) {
            Some(As::P1) => return telegram::p1(input),
            Some(As::Sml) => return telegram::sml(input),
            Some(As::Xml) => return telegram::xml(input, false),
            _ => framing::detect(input),
        },
        As::P1 => return telegram::p1(input),
        As::Sml => return telegram::sml(input),
        As::Xml => return telegram::xml(input, false),
        As::Raven => return telegram::xml(input, true),
        As::Zcl => return telegram::zcl(input),
        As::Hdlc => Framing::Hdlc,
        As::Wrapper => Framing::Wrapper,
        As::Mbus => Framing::MBus,
        As::Apdu if dlms::hdlc::llc::strip(input).is_some() => Framing::Llc,
        As::Apdu => Framing::Apdu,
        As::Axdr => {
            let message = value_alone(&Piece::new(input, 0));
            let messages = vec![message.map_err(|it| it.with("framing", json!("axdr")))?];
            return Ok(Decoded {
                framing: "axdr",
                frames: Vec::new(),
                messages,
            });
        }
    };
    let name = match framing {
        Framing::Hdlc => "hdlc",
        Framing::Wrapper => "wrapper",
        Framing::MBus => "mbus",
        Framing::Llc if wanted == As::Auto => "llc",
        Framing::Llc | Framing::Apdu => "apdu",
    };
    let told = |failure: Failure| failure.with("framing", json!(name));
    if framing == Framing::Apdu && wanted == As::Auto {
        return bare(input, secrets).map_err(told);
    }
    let strict = unframe(input, framing).and_then(|unframed| {
        let messages = unframed.messages.iter();
        let messages = messages.map(|message| open::open(message, secrets));
        Ok(Decoded {
            framing: name,
            frames: unframed.frames,
            messages: messages.collect::<Result<_, _>>()?,
        })
    });
    let refused = match strict {
        Ok(decoded) => return Ok(decoded),
        Err(refused) => refused,
    };
    if wanted != As::Auto {
        return Err(told(refused));
    }
    salvage(input, framing, name, secrets, &refused).ok_or_else(|| told(refused))
}

/// Finds whole messages in a recording that begins or ends within a frame, or
/// has damaged ones between. Nothing where there is no message that can be
/// opened.
fn salvage(
    input: &[u8],
    framing: Framing,
    name: &'static str,
    secrets: &Secrets,
    refused: &Failure,
) -> Option<Decoded> {
    let (unframed, passed) = recording::salvage(input, framing)?;
    let mut messages: Vec<Opened> = unframed
        .messages
        .iter()
        .filter_map(|message| open::open(message, secrets).ok())
        .collect();
    let first = messages.first_mut()?;
    first.notes.push(format!(
        "{passed} octets were passed over, of which the first were refused: {}",
        refused.sentence()
    ));
    Some(Decoded {
        framing: name,
        frames: unframed.frames,
        messages,
    })
}

/// Octets without any frame: an APDU, else a value. Where they are neither,
/// the reading that got further tells what is wrong.
fn bare(input: &[u8], secrets: &Secrets) -> Result<Decoded, Failure> {
    let first = input.first().copied().unwrap_or_default();
    let decoded = |framing, unframed: Unframed, messages| Decoded {
        framing,
        frames: unframed.frames,
        messages,
    };
    let as_value = || {
        let piece = Piece::new(input, 0);
        value_alone(&piece).or_else(|refused| body_alone(&piece).ok_or(refused))
    };
    let as_apdu = || {
        let mut unframed = unframe(input, Framing::Apdu)?;
        let messages = std::mem::take(&mut unframed.messages)
            .iter()
            .map(|message| open::open(message, secrets))
            .collect::<Result<Vec<_>, _>>()?;
        Ok::<_, Failure>(decoded("apdu", unframed, messages))
    };
    let value = |opened| decoded("axdr", Unframed::default(), vec![opened]);
    let is_apdu = !matches!(Tag::from_code(first), Tag::Unknown(_));
    match (is_apdu, ValueTag::from_u8(first).is_some()) {
        (true, false) => as_apdu(),
        (false, true) => as_value().map(value),
        (true, true) => as_apdu().or_else(|refused| match as_value() {
            Ok(opened) => Ok(value(opened)),
            Err(other) if other.offset() >= refused.offset() => Err(other),
            Err(_) => Err(refused),
        }),
        (false, false) => Err(Failure::at(
            0,
            format!("{first:02x} begins no frame, no APDU and no value"),
        )
        .hint("an HDLC frame begins with 7e, the wrapper with 00 01, an M-Bus frame with 68")),
    }
}

/// A body alone, mended where it is short or has octets behind it.
fn body_alone(piece: &Piece) -> Option<Opened> {
    let (mended, note) = if let Some(short) = han::push::short(piece.octets()) {
        let note = format!(
            "the value tells {} elements and holds {}: the rest was never sent",
            short.told, short.held
        );
        (piece.with_octets(&short.octets), note)
    } else {
        let behind = open::behind_values(piece.octets())?;
        let note = format!("{behind} octets stand behind the value");
        (piece.part(0..piece.len() - behind), note)
    };
    let mut opened = value_alone(&mended).ok()?;
    if opened.values.is_empty() {
        return None;
    }
    opened.plain = Some(piece.octets().to_vec());
    opened.notes.push(note);
    Some(opened)
}

fn value_alone(piece: &Piece) -> Result<Opened, Failure> {
    let raw = RawData::new(piece.octets());
    let tree = value::node("value", raw, piece).map_err(|error| piece.fault(error))?;
    let mut reader = Reader::new(piece.octets());
    let data = Data::decode(&mut reader)
        .and_then(|data| reader.finish("value").map(|()| data))
        .map_err(|error| piece.fault(error))?;
    let mut again = Vec::new();
    data.encode(&mut again);
    Ok(Opened {
        tree,
        plain: Some(piece.octets().to_vec()),
        again: Some(again),
        protection: None,
        values: han::push::of_body(&data).into(),
        notes: Vec::new(),
    })
}

impl Decoded {
    fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("framing".to_owned(), json!(self.framing));
        if !self.frames.is_empty() {
            let frames: Vec<Value> = self.frames.iter().map(Node::to_json).collect();
            object.insert("frames".to_owned(), json!(frames));
        }
        match self.messages.as_slice() {
            [] => object.extend([
                ("apdu".to_owned(), Value::Null),
                ("plain".to_owned(), Value::Null),
                ("reencoded".to_owned(), Value::Null),
                ("protection".to_owned(), Value::Null),
                ("data".to_owned(), json!({})),
            ]),
            [message] => object.extend(message.to_json()),
            messages => {
                let messages: Vec<Value> = messages
                    .iter()
                    .map(|message| Value::Object(message.to_json()))
                    .collect();
                object.insert("messages".to_owned(), json!(messages));
            }
        }
        Value::Object(object)
    }

    fn render(&self, style: Style) -> String {
        let mut out = String::new();
        if !self.frames.is_empty() {
            out.push_str(&node::render(&self.frames, style));
        }
        for message in &self.messages {
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&message.render(style));
        }
        out
    }
}

impl Opened {
    fn to_json(&self) -> Map<String, Value> {
        let digits = |octets: &Option<Vec<u8>>| match octets {
            Some(octets) => json!(text::hex(octets)),
            None => Value::Null,
        };
        let mut object = Map::new();
        object.insert("apdu".to_owned(), self.tree.to_json());
        object.insert("plain".to_owned(), digits(&self.plain));
        object.insert("reencoded".to_owned(), digits(&self.again));
        object.insert(
            "protection".to_owned(),
            self.protection
                .as_ref()
                .map_or(Value::Null, open::Protected::to_json),
        );
        object.insert("data".to_owned(), self.values.to_json());
        if let Some(list) = self.values.list {
            object.insert("list".to_owned(), json!(list));
        }
        if !self.notes.is_empty() {
            object.insert("notes".to_owned(), json!(self.notes));
        }
        object
    }

    fn render(&self, style: Style) -> String {
        let mut out = node::render(std::slice::from_ref(&self.tree), style);
        if let Some(protection) = &self.protection {
            out.push('\n');
            out.push_str(&protection.render(style));
        }
        if !self.values.is_empty() {
            let heading = match self.values.list {
                Some(list) => format!("Values (meaning and scalers from {list})"),
                None => "Values".to_owned(),
            };
            out.push_str(&format!("\n{}\n", style.paint(Ink::Head, &heading)));
            out.push_str(&self.values.render(style));
        }
        for note in &self.notes {
            out.push('\n');
            for line in text::wrap(&format!("Note: {note}"), crate::output::COLUMNS) {
                out.push_str(&style.paint(Ink::Warn, &line));
                out.push('\n');
            }
        }
        out
    }
}
