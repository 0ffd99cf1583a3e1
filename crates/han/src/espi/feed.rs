//! Atom feeds that carry resources.

use dlms::axdr::Date;
use dlms::codec::{DecodeError, Malformed};
use model::Timestamp;

use super::Resource;
use super::slot::{Leaf, element, text};
use crate::xml::{self, ATOM, ESPI, Element, Namespace};

/// Elements that a feed may have: a year of five-minute readings with quality
/// has fewer.
const ELEMENTS_MAX: usize = 1 << 20;

/// A feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feed {
    /// `urn:uuid:..`
    pub id: String,
    /// For people.
    pub title: String,
    /// When it was made.
    pub updated: Option<Timestamp>,
    /// Where it is.
    pub links: Vec<Link>,
    /// What it carries.
    pub entries: Vec<Entry>,
}

/// An entry of a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// `urn:uuid:..`
    pub id: String,
    /// Where it is, what it belongs to, and what belongs to it.
    pub links: Vec<Link>,
    /// For people.
    pub title: String,
    /// Mostly one; several interval blocks may stand together.
    pub content: Vec<Resource>,
    /// When it was first there.
    pub published: Option<Timestamp>,
    /// When it last changed.
    pub updated: Option<Timestamp>,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// `self`, `up` or `related`.
    pub rel: String,
    /// Where it points.
    pub href: String,
}

impl Link {
    /// Makes a link.
    #[must_use]
    pub fn new(rel: &str, href: impl Into<String>) -> Self {
        Self {
            rel: rel.to_owned(),
            href: href.into(),
        }
    }
}

impl Entry {
    /// Finds the link with this relation.
    #[must_use]
    pub fn link(&self, rel: &str) -> Option<&str> {
        self.links
            .iter()
            .find(|link| link.rel == rel)
            .map(|link| link.href.as_str())
    }
}

/// Why a feed cannot be read: the offset, the field and the reason.
pub type ReadError = DecodeError;

/// Reads a feed, an entry that stands alone, or a resource that does.
///
/// # Errors
/// Where it is no XML, neither feed nor entry, or a field holds what it must
/// not.
pub fn read(text: &str) -> Result<Feed, ReadError> {
    // Utilities put a byte order mark in front.
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let roots = xml::parse(text, ELEMENTS_MAX)?;
    let [root] = roots.as_slice() else {
        return Err(error(0, "feed"));
    };
    match (root.namespace, root.name.as_str()) {
        (Namespace::Atom, "feed") => feed(root),
        (Namespace::Atom, "entry") => Ok(Feed {
            entries: vec![entry(root)?],
            ..Feed::default()
        }),
        (Namespace::Espi, _) => match resource(root)? {
            Some(resource) => Ok(Feed {
                entries: vec![Entry {
                    content: vec![resource],
                    ..Entry::default()
                }],
                ..Feed::default()
            }),
            None => Err(error(root.offset, "resource")),
        },
        _ => Err(error(root.offset, "feed")),
    }
}

const fn error(offset: usize, field: &'static str) -> DecodeError {
    DecodeError {
        offset,
        field,
        reason: Malformed::Value,
    }
}

fn feed(root: &Element) -> Result<Feed, DecodeError> {
    Ok(Feed {
        id: child_text(root, "id"),
        title: child_text(root, "title"),
        updated: time(root, "updated")?,
        links: links(root),
        entries: root.all("entry").map(entry).collect::<Result<_, _>>()?,
    })
}

fn entry(root: &Element) -> Result<Entry, DecodeError> {
    let mut content = Vec::new();
    for child in root.all("content").flat_map(|content| &content.children) {
        content.extend(resource(child)?);
    }
    Ok(Entry {
        id: child_text(root, "id"),
        links: links(root),
        title: child_text(root, "title"),
        content,
        published: time(root, "published")?,
        updated: time(root, "updated")?,
    })
}

fn child_text(root: &Element, name: &str) -> String {
    root.child(name)
        .map(|child| child.text.clone())
        .unwrap_or_default()
}

fn links(root: &Element) -> Vec<Link> {
    root.all("link")
        .filter_map(|link| {
            Some(Link::new(
                link.attribute("rel").unwrap_or("alternate"),
                link.attribute("href")?,
            ))
        })
        .collect()
}

fn time(root: &Element, name: &'static str) -> Result<Option<Timestamp>, DecodeError> {
    root.child(name)
        .filter(|child| !child.text.is_empty())
        .map(|child| parse_time(&child.text).ok_or_else(|| error(child.offset, name)))
        .transpose()
}

fn resource(element: &Element) -> Result<Option<Resource>, DecodeError> {
    if element.namespace != Namespace::Espi {
        return Ok(None);
    }
    Ok(Some(match element.name.as_str() {
        "UsagePoint" => Resource::UsagePoint(Leaf::read(element)?),
        "MeterReading" => Resource::MeterReading(Leaf::read(element)?),
        "ReadingType" => Resource::ReadingType(Leaf::read(element)?),
        "IntervalBlock" => Resource::IntervalBlock(Leaf::read(element)?),
        "LocalTimeParameters" => Resource::LocalTimeParameters(Leaf::read(element)?),
        "UsageSummary" => Resource::UsageSummary(Leaf::read(element)?),
        "ElectricPowerUsageSummary" => Resource::ElectricPowerUsageSummary(Leaf::read(element)?),
        "ElectricPowerQualitySummary" => {
            Resource::ElectricPowerQualitySummary(Leaf::read(element)?)
        }
        _ => return Ok(None),
    }))
}

/// Writes a feed.
#[must_use]
pub fn write(feed: &Feed) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    out.push_str(&format!("<feed xmlns=\"{ATOM}\" xmlns:espi=\"{ESPI}\">\n"));
    simple("id", &feed.id, &mut out);
    simple("title", &feed.title, &mut out);
    write_time("updated", feed.updated, &mut out);
    write_links(&feed.links, &mut out);
    for entry in &feed.entries {
        out.push_str("<entry>\n");
        inside_entry(entry, &mut out);
        out.push_str("</entry>\n");
    }
    out.push_str("</feed>\n");
    out
}

/// Writes an entry that stands alone.
#[must_use]
pub fn write_entry(entry: &Entry) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    out.push_str(&format!("<entry xmlns=\"{ATOM}\" xmlns:espi=\"{ESPI}\">\n"));
    inside_entry(entry, &mut out);
    out.push_str("</entry>\n");
    out
}

fn inside_entry(entry: &Entry, out: &mut String) {
    simple("id", &entry.id, out);
    write_links(&entry.links, out);
    simple("title", &entry.title, out);
    out.push_str("<content>");
    for resource in &entry.content {
        write_resource(resource, out);
    }
    out.push_str("</content>\n");
    write_time("published", entry.published, out);
    write_time("updated", entry.updated, out);
}

fn simple(name: &str, value: &str, out: &mut String) {
    out.push_str(&format!("<{name}>"));
    text(value, out);
    out.push_str(&format!("</{name}>\n"));
}

fn write_time(name: &str, value: Option<Timestamp>, out: &mut String) {
    if let Some(written) = value.and_then(format_time) {
        simple(name, &written, out);
    }
}

fn write_links(links: &[Link], out: &mut String) {
    for link in links {
        out.push_str("<link rel=\"");
        text(&link.rel, out);
        out.push_str("\" href=\"");
        text(&link.href, out);
        out.push_str("\"/>\n");
    }
}

fn write_resource(resource: &Resource, out: &mut String) {
    let mut put = |name: &str, leaf: &dyn Fn(&mut String)| element(name, out, |out| leaf(out));
    match resource {
        Resource::UsagePoint(inner) => put("UsagePoint", &|out| inner.write(out)),
        Resource::MeterReading(inner) => put("MeterReading", &|out| inner.write(out)),
        Resource::ReadingType(inner) => put("ReadingType", &|out| inner.write(out)),
        Resource::IntervalBlock(inner) => put("IntervalBlock", &|out| inner.write(out)),
        Resource::LocalTimeParameters(inner) => {
            put("LocalTimeParameters", &|out| inner.write(out));
        }
        Resource::UsageSummary(inner) => put("UsageSummary", &|out| inner.write(out)),
        Resource::ElectricPowerUsageSummary(inner) => {
            put("ElectricPowerUsageSummary", &|out| inner.write(out));
        }
        Resource::ElectricPowerQualitySummary(inner) => {
            put("ElectricPowerQualitySummary", &|out| inner.write(out));
        }
    }
}

/// RFC 3339 in UTC, to the second; nothing outside the years 0 to 9999.
fn format_time(time: Timestamp) -> Option<String> {
    let date = Date::from_unix_days(time.secs().div_euclid(DAY_S))?;
    let second = time.secs().rem_euclid(DAY_S);
    Some(format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year,
        date.month,
        date.day_of_month,
        second / 3_600,
        second / 60 % 60,
        second % 60
    ))
}

const DAY_S: i64 = 86_400;

/// Reads a time as RFC 3339 has it, and without a zone (UTC is taken) or a time
/// of day, as utilities export them.
#[must_use]
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let (date, rest) = match text.split_once(['T', 't', ' ']) {
        Some((date, rest)) => (date, rest),
        None => (text, "00:00:00Z"),
    };
    let number = |text: &str, count: usize| -> Option<i64> {
        (text.len() == count && text.bytes().all(|octet| octet.is_ascii_digit()))
            .then(|| text.parse().ok())
            .flatten()
    };
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let date = Date::new(
        u16::try_from(number(year, 4)?).ok()?,
        u8::try_from(number(month, 2)?).ok()?,
        u8::try_from(number(day, 2)?).ok()?,
    )?;
    let (clock, offset_s) = match rest.strip_suffix(['Z', 'z']) {
        Some(clock) => (clock, 0),
        None => match rest
            .rfind(['+', '-'])
            .and_then(|at| rest.split_at_checked(at))
        {
            Some((clock, offset)) => {
                let (sign, offset) = offset.split_at_checked(1)?;
                let (hours, minutes) = offset.split_once(':')?;
                let offset_s = number(hours, 2)? * 3_600 + number(minutes, 2)? * 60;
                (clock, if sign == "-" { -offset_s } else { offset_s })
            }
            None => (rest, 0),
        },
    };
    let (clock, _) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = clock.split(':');
    let hour = number(parts.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = number(parts.next()?, 2).filter(|minute| *minute < 60)?;
    let second = number(parts.next()?, 2).filter(|second| *second < 61)?;
    if parts.next().is_some() {
        return None;
    }
    let seconds = date.to_unix_days()? * DAY_S + hour * 3_600 + minute * 60 + second - offset_s;
    Some(Timestamp::from_secs(seconds))
}
