//! XML as a small tree with bounds. No document types, no entities but the
//! five of the language: what neither adapters nor feeds have.

use dlms::codec::{DecodeError, Malformed};
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use quick_xml::name::ResolveResult;
use quick_xml::{NsReader, XmlVersion};

/// How deep elements may nest.
const DEPTH_MAX: usize = 24;

/// Attributes that one element may have.
const ATTRIBUTES_MAX: usize = 32;

/// The namespace of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Namespace {
    None,
    Atom,
    Espi,
    /// The customer's part of Green Button, which names people.
    Customer,
    Other,
}

pub(crate) const ATOM: &str = "http://www.w3.org/2005/Atom";
pub(crate) const ESPI: &str = "http://naesb.org/espi";
pub(crate) const CUSTOMER: &str = "http://naesb.org/espi/customer";

/// An element.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) namespace: Namespace,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Self>,
    /// All text of its own, without space around it.
    pub(crate) text: String,
    /// Where it begins.
    pub(crate) offset: usize,
}

impl Element {
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }
}

const FIELD: &str = "XML";

/// Reads all elements that stand side by side in `text`, at most
/// `elements_max` of them and within them.
///
/// # Errors
/// The offset and the reason.
pub(crate) fn parse(text: &str, elements_max: usize) -> Result<Vec<Element>, DecodeError> {
    let mut reader = NsReader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let mut roots: Vec<Element> = Vec::new();
    let mut count = 0_usize;
    loop {
        let offset = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let error = |reason| DecodeError {
            offset,
            field: FIELD,
            reason,
        };
        let bad = || error(Malformed::Value);
        let (namespace, event) = reader.read_resolved_event().map_err(|_| bad())?;
        let namespace = match namespace {
            ResolveResult::Bound(uri) => match uri.0 {
                ATOM => Namespace::Atom,
                ESPI => Namespace::Espi,
                CUSTOMER => Namespace::Customer,
                _ => Namespace::Other,
            },
            ResolveResult::Unbound => Namespace::None,
            ResolveResult::Unknown(_) => Namespace::Other,
        };
        let empty = matches!(event, Event::Empty(_));
        match event {
            Event::Start(start) | Event::Empty(start) => {
                count += 1;
                if count > elements_max || open.len() >= DEPTH_MAX {
                    return Err(error(Malformed::Limit));
                }
                let mut attributes = Vec::new();
                for attribute in start.attributes() {
                    let attribute = attribute.map_err(|_| bad())?;
                    if attributes.len() >= ATTRIBUTES_MAX {
                        return Err(error(Malformed::Limit));
                    }
                    let value = attribute
                        .normalized_value(XmlVersion::Implicit1_0)
                        .map_err(|_| bad())?;
                    attributes.push((
                        attribute.key.local_name().as_ref().to_owned(),
                        value.into_owned(),
                    ));
                }
                let element = Element {
                    name: start.local_name().as_ref().to_owned(),
                    namespace,
                    attributes,
                    children: Vec::new(),
                    text: String::new(),
                    offset,
                };
                if empty {
                    close(element, &mut open, &mut roots);
                } else {
                    open.push(element);
                }
            }
            Event::End(_) => {
                let element = open.pop().ok_or_else(bad)?;
                close(element, &mut open, &mut roots);
            }
            Event::Text(text) => {
                let content = text.xml10_content();
                match open.last_mut() {
                    Some(element) => element.text.push_str(&content),
                    None if content.trim().is_empty() => {}
                    None => return Err(bad()),
                }
            }
            Event::CData(text) => {
                let element = open.last_mut().ok_or_else(bad)?;
                element.text.push_str(&text.xml10_content());
            }
            Event::GeneralRef(reference) => {
                let element = open.last_mut().ok_or_else(bad)?;
                if let Some(character) = reference.resolve_char_ref().map_err(|_| bad())? {
                    element.text.push(character);
                } else {
                    let name = reference.xml10_content();
                    let known = resolve_predefined_entity(&name).ok_or_else(bad)?;
                    element.text.push_str(known);
                }
            }
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::DocType(_) => return Err(bad()),
            Event::Eof => break,
        }
    }
    if open.is_empty() {
        Ok(roots)
    } else {
        Err(DecodeError {
            offset: text.len(),
            field: FIELD,
            reason: Malformed::Truncated,
        })
    }
}

fn close(mut element: Element, open: &mut [Element], roots: &mut Vec<Element>) {
    let trimmed = element.text.trim();
    if trimmed.len() != element.text.len() {
        element.text = trimmed.to_owned();
    }
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None => roots.push(element),
    }
}
