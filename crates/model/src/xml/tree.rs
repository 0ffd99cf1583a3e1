//! The little of XML that the messages use: elements with elements or text.

use alloc::borrow::ToOwned as _;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::{MAX_OCTETS, MAX_OUTLETS};

/// How deep elements lie in the deepest message: `server/rpsm/outlet/oid`.
const MAX_DEPTH: usize = 4;
/// Elements of the longest message: three for an outlet, and those around them.
const MAX_ELEMENTS: usize = 3 * MAX_OUTLETS + 16;
/// Longest text of an element, in octets.
const MAX_TEXT: usize = 64;

/// A message that was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("offset {offset}: {reason}")]
pub struct XmlError {
    /// Where, in octets from the first.
    pub offset: usize,
    /// Why.
    pub reason: XmlReason,
}

impl XmlError {
    /// What it says in at most 160 characters, whatever the message held: for
    /// logs and pages.
    #[must_use]
    pub fn brief(&self) -> String {
        const LONGEST: usize = 160;
        let whole = self.to_string();
        match whole.char_indices().nth(LONGEST - 1) {
            Some((end, last)) if whole.len() > end + last.len_utf8() => {
                let mut brief = whole.get(..end).unwrap_or_default().to_owned();
                brief.push('…');
                brief
            }
            _ => whole,
        }
    }
}

/// Why a message was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XmlReason {
    /// It is longer, deeper or has more elements than any message.
    #[error("the message is too large: {0}")]
    TooLarge(&'static str),
    /// It is not well-formed.
    #[error("not well-formed XML: {0}")]
    Malformed(String),
    /// It has something that messages never have.
    #[error("{0} has no place in a message")]
    NotAllowed(&'static str),
    /// Another element, or text, stands where one was expected.
    #[error("<{wanted}> was expected in <{within}>, there is {found}")]
    Expected {
        /// The element that was expected.
        wanted: &'static str,
        /// The element that it belongs to.
        within: String,
        /// What there is.
        found: String,
    },
    /// An element stands where no further one was expected.
    #[error("<{found}> was not expected in <{within}>")]
    Unexpected {
        /// The element.
        found: String,
        /// Where it stands.
        within: String,
    },
    /// The root is that of no message.
    #[error("the root is <SM> or <server>, not <{0}>")]
    Root(String),
    /// The type is that of no message with that root.
    #[error("type {value:?} is none of {known}")]
    Type {
        /// What it says.
        value: String,
        /// The types there are.
        known: &'static str,
    },
    /// The text of an element is not what it should be.
    #[error("<{element}> should be {reason}, not {value:?}")]
    Value {
        /// The element.
        element: String,
        /// What it should be.
        reason: String,
        /// What it says.
        value: String,
    },
    /// The number of outlets is not what `devices` says.
    #[error("<devices> says {said}, outlets there: {there}")]
    Devices {
        /// What it says.
        said: u32,
        /// How many there are.
        there: usize,
    },
    /// An outlet stands there twice.
    #[error("outlet {0} is there twice")]
    Twice(String),
}

/// An element with elements or a text in it.
#[derive(Debug, Default)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) offset: usize,
    pub(super) text: String,
    pub(super) text_offset: usize,
    pub(super) children: Vec<Self>,
}

pub(super) const fn error(offset: usize, reason: XmlReason) -> XmlError {
    XmlError { offset, reason }
}

/// Reads the one element that a message is.
pub(super) fn parse(octets: &[u8]) -> Result<Element, XmlError> {
    if octets.len() > MAX_OCTETS {
        return Err(error(
            MAX_OCTETS,
            XmlReason::TooLarge("256 KiB are the most"),
        ));
    }
    let text = core::str::from_utf8(octets).map_err(|wrong| {
        let reason = "octets that are not UTF-8".to_owned();
        error(wrong.valid_up_to(), XmlReason::Malformed(reason))
    })?;
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    config.check_end_names = true;
    config.check_comments = true;
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    let mut elements = 0_usize;
    loop {
        let at = position(&reader);
        let event = reader.read_event().map_err(|reason| {
            let at = usize::try_from(reader.error_position()).unwrap_or(at);
            error(at, XmlReason::Malformed(reason.to_string()))
        })?;
        match event {
            Event::Start(start) => {
                elements += 1;
                if elements > MAX_ELEMENTS {
                    return Err(error(at, XmlReason::TooLarge("too many elements")));
                }
                if open.len() == MAX_DEPTH {
                    return Err(error(at, XmlReason::TooLarge("too deep")));
                }
                if root.is_some() {
                    return Err(error(at, XmlReason::NotAllowed("a second root")));
                }
                open.push(element(&start, at, position(&reader))?);
            }
            Event::End(_) => close(&mut open, &mut root, at)?,
            Event::Empty(start) => {
                let found = start.name().into_inner().to_owned();
                let within = open
                    .last()
                    .map(|parent| parent.name.clone())
                    .unwrap_or_default();
                return Err(error(at, XmlReason::Unexpected { found, within }));
            }
            Event::Text(text) => put_text(&mut open, &text, at)?,
            Event::Decl(declaration) => {
                if at != 0 && !(at == 3 && octets.starts_with(b"\xef\xbb\xbf")) {
                    return Err(error(
                        at,
                        XmlReason::NotAllowed("a declaration behind the start"),
                    ));
                }
                let utf8 = declaration.encoding().is_none_or(|encoding| {
                    encoding.is_ok_and(|encoding| encoding.eq_ignore_ascii_case("utf-8"))
                });
                if !utf8 {
                    return Err(error(
                        at,
                        XmlReason::NotAllowed("an encoding other than UTF-8"),
                    ));
                }
            }
            Event::Comment(_) => {}
            Event::DocType(_) => {
                return Err(error(at, XmlReason::NotAllowed("a document type")));
            }
            Event::CData(_) => return Err(error(at, XmlReason::NotAllowed("CDATA"))),
            Event::PI(_) => {
                return Err(error(at, XmlReason::NotAllowed("a processing instruction")));
            }
            Event::GeneralRef(_) => {
                return Err(error(at, XmlReason::NotAllowed("an entity")));
            }
            Event::Eof => {
                let end = octets.len();
                if let Some(unfinished) = open.last() {
                    let reason = alloc::format!("<{}> is not closed", unfinished.name);
                    return Err(error(end, XmlReason::Malformed(reason)));
                }
                let missing = || error(end, XmlReason::Malformed("there is no element".to_owned()));
                return root.ok_or_else(missing);
            }
        }
    }
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

fn element(start: &BytesStart<'_>, at: usize, text_offset: usize) -> Result<Element, XmlError> {
    if !start.attributes_raw().trim_ascii().is_empty() {
        return Err(error(at, XmlReason::NotAllowed("an attribute")));
    }
    Ok(Element {
        name: start.name().into_inner().to_owned(),
        offset: at,
        text_offset,
        ..Element::default()
    })
}

fn close(open: &mut Vec<Element>, root: &mut Option<Element>, at: usize) -> Result<(), XmlError> {
    let Some(mut element) = open.pop() else {
        return Err(error(
            at,
            XmlReason::Malformed("an end without a start".to_owned()),
        ));
    };
    if element.children.is_empty() {
        element.text = element.text.trim_ascii().to_owned();
    } else {
        check_between(&element)?;
        element.text.clear();
    }
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None => *root = Some(element),
    }
    Ok(())
}

fn put_text(open: &mut [Element], text: &str, at: usize) -> Result<(), XmlError> {
    let Some(element) = open.last_mut() else {
        if text.trim_ascii().is_empty() {
            return Ok(());
        }
        return Err(error(at, XmlReason::NotAllowed("text outside the root")));
    };
    if !element.children.is_empty() || text.trim_ascii().is_empty() {
        // Between elements: white space, and the figures' remarks to the end of a line.
        let between = text.lines().map(str::trim_ascii);
        let foreign = between.filter(|line| !line.is_empty() && !line.starts_with("//"));
        return match foreign.count() {
            0 => Ok(()),
            _ => Err(error(at, XmlReason::NotAllowed("text between elements"))),
        };
    }
    if element.text.len() + text.len() > MAX_TEXT {
        return Err(error(at, XmlReason::TooLarge("a text is too long")));
    }
    element.text.push_str(text);
    Ok(())
}

/// Refuses text before the first element, unless it is a remark.
fn check_between(element: &Element) -> Result<(), XmlError> {
    let mut lines = element.text.lines().map(str::trim_ascii);
    if lines.all(|line| line.is_empty() || line.starts_with("//")) {
        return Ok(());
    }
    Err(error(
        element.text_offset,
        XmlReason::NotAllowed("text between elements"),
    ))
}
