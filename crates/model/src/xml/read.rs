//! From XML to messages.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::str::FromStr;

use super::tree::{Element, XmlError, XmlReason, error, parse};
use super::{
    CivilDate, CivilDateTime, MAX_OUTLETS, OutletId, OutletPower, Section, Sections, SmartMeterId,
    Switch, ToServer, ToSmartMeter, XmlMessage,
};

impl XmlMessage {
    /// Reads a message.
    ///
    /// # Errors
    /// [`XmlError`] with offset and reason where it is not well-formed, has what no message has
    /// (a document type, entities, attributes, further elements), or a field is out of its range.
    /// Nothing of a refused message is given.
    pub fn read(octets: &[u8]) -> Result<Self, XmlError> {
        let root = parse(octets)?;
        let mut fields = Fields::of(&root);
        match root.name.as_str() {
            "SM" => {
                let kind = fields.take("type")?;
                let timestamp = fields.time("timestamp")?;
                let cmd = fields.take("cmd")?;
                fields.end()?;
                let message = to_smart_meter(kind, timestamp, Fields::of(cmd))?;
                Ok(Self::ToSmartMeter(message))
            }
            "server" => {
                let kind = fields.take("type")?;
                let mut login = Fields::of(fields.take("smlogin")?);
                let meter = SmartMeterId(login.number("sid")?);
                let timestamp = login.time("timestamp")?;
                login.end()?;
                let message = match kind.text.as_str() {
                    "1" => ToServer::QueryPower {
                        meter,
                        timestamp,
                        outlets: outlets(Fields::of(fields.take("rpoutlet")?), "data", power)?,
                    },
                    "2" => ToServer::WarnToChange {
                        meter,
                        timestamp,
                        outlets: outlets(Fields::of(fields.take("rpsm")?), "report", number)?,
                    },
                    _ => return Err(unknown(kind, "1 (Query_power) and 2 (Warn_to_Change)")),
                };
                fields.end()?;
                Ok(Self::ToServer(message))
            }
            other => Err(error(root.offset, XmlReason::Root(other.to_owned()))),
        }
    }
}

fn unknown(kind: &Element, known: &'static str) -> XmlError {
    let value = kind.text.clone();
    error(kind.text_offset, XmlReason::Type { value, known })
}

fn to_smart_meter(
    kind: &Element,
    timestamp: CivilDateTime,
    mut cmd: Fields<'_>,
) -> Result<ToSmartMeter, XmlError> {
    let message = match kind.text.as_str() {
        "1" => {
            return Ok(ToSmartMeter::ControlOnOff {
                timestamp,
                outlets: outlets(cmd, "status", switch)?,
            });
        }
        "2" => {
            let device = cmd.take("devtype")?;
            if device.text != "outlet" {
                return Err(value(device, "the word outlet"));
            }
            let outlet = OutletId(cmd.number("oid")?);
            let day = cmd.take("rtday")?;
            let day: CivilDate = read(day, |text| {
                text.parse::<CivilDate>().map_err(|why| why.to_string())
            })?;
            let start = cmd.section("section_start")?;
            let last = cmd.take("section_end")?;
            let end = section(last)?;
            ToSmartMeter::Retransmission {
                timestamp,
                outlet,
                day,
                sections: Sections::new(start, end)
                    .map_err(|_| value(last, &format!("{} or later", start.number())))?,
            }
        }
        "3" => {
            let month: u8 = cmd.number_to("month", 1, 12)?;
            // The year is not told: 29 February is taken.
            let days = match month {
                2 => 29,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let day_start = cmd.number_to("day_start", 1, days)?;
            ToSmartMeter::PowerCost {
                timestamp,
                month,
                day_start,
                day_end: cmd.number_to("day_end", day_start, days)?,
                total_cost: cmd.number("total_cost")?,
            }
        }
        _ => {
            let known = "1 (Control_On_Off), 2 (Retransmission) and 3 (Power_Cost)";
            return Err(unknown(kind, known));
        }
    };
    cmd.end()?;
    Ok(message)
}

/// The elements of an element, taken in order.
struct Fields<'a> {
    of: &'a Element,
    rest: core::slice::Iter<'a, Element>,
}

impl<'a> Fields<'a> {
    fn of(element: &'a Element) -> Self {
        Self {
            of: element,
            rest: element.children.iter(),
        }
    }

    fn take(&mut self, wanted: &'static str) -> Result<&'a Element, XmlError> {
        let next = self.rest.next();
        if let Some(element) = next.filter(|element| element.name == wanted) {
            return Ok(element);
        }
        let (offset, found) = next.map_or_else(
            || (self.of.text_offset, "none".to_owned()),
            |element| (element.offset, format!("<{}>", element.name)),
        );
        let within = self.of.name.clone();
        Err(error(
            offset,
            XmlReason::Expected {
                wanted,
                within,
                found,
            },
        ))
    }

    fn end(mut self) -> Result<(), XmlError> {
        let Some(element) = self.rest.next() else {
            return Ok(());
        };
        let found = element.name.clone();
        let within = self.of.name.clone();
        Err(error(
            element.offset,
            XmlReason::Unexpected { found, within },
        ))
    }

    fn number<T: FromStr>(&mut self, name: &'static str) -> Result<T, XmlError> {
        number(self.take(name)?)
    }

    fn number_to(&mut self, name: &'static str, least: u8, most: u8) -> Result<u8, XmlError> {
        let element = self.take(name)?;
        let number = number(element)?;
        if (least..=most).contains(&number) {
            return Ok(number);
        }
        Err(value(element, &format!("a number from {least} to {most}")))
    }

    fn time(&mut self, name: &'static str) -> Result<CivilDateTime, XmlError> {
        read(self.take(name)?, |text| {
            text.parse::<CivilDateTime>().map_err(|why| why.to_string())
        })
    }

    fn section(&mut self, name: &'static str) -> Result<Section, XmlError> {
        section(self.take(name)?)
    }
}

/// The error of an element whose text should be something else.
fn value(element: &Element, reason: &str) -> XmlError {
    error(
        element.text_offset,
        XmlReason::Value {
            element: element.name.clone(),
            reason: reason.to_owned(),
            value: element.text.clone(),
        },
    )
}

/// The text of an element that has no elements.
fn text(element: &Element) -> Result<&str, XmlError> {
    match element.children.first() {
        None => Ok(&element.text),
        Some(child) => {
            let found = child.name.clone();
            let within = element.name.clone();
            Err(error(child.offset, XmlReason::Unexpected { found, within }))
        }
    }
}

fn read<T>(element: &Element, how: impl Fn(&str) -> Result<T, String>) -> Result<T, XmlError> {
    how(text(element)?).map_err(|why| {
        error(
            element.text_offset,
            XmlReason::Value {
                element: element.name.clone(),
                reason: why,
                value: element.text.clone(),
            },
        )
    })
}

/// A whole number of digits alone; leading zeros are taken, as the figures have them.
fn number<T: FromStr>(element: &Element) -> Result<T, XmlError> {
    let text = text(element)?;
    let digits = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .ok_or_else(|| value(element, "a whole number within its range"))
}

fn section(element: &Element) -> Result<Section, XmlError> {
    Section::new(number(element)?).map_err(|_| value(element, "a section from 1 to 144"))
}

fn switch(element: &Element) -> Result<Switch, XmlError> {
    match text(element)? {
        "0" => Ok(Switch::Off),
        "1" => Ok(Switch::On),
        _ => Err(value(element, "0 (off) or 1 (on)")),
    }
}

fn power(element: &Element) -> Result<OutletPower, XmlError> {
    let wrong = || {
        value(
            element,
            "volts, milliamperes and watts as whole numbers: 109,50,10",
        )
    };
    let mut parts = text(element)?.split(',');
    let mut next = || -> Result<u32, XmlError> {
        let part = parts.next().map(str::trim_ascii).ok_or_else(wrong)?;
        let digits = !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_digit());
        digits
            .then(|| part.parse().ok())
            .flatten()
            .ok_or_else(wrong)
    };
    let power = OutletPower {
        volts: next()?,
        milliamperes: next()?,
        watts: next()?,
    };
    if parts.next().is_some() {
        return Err(wrong());
    }
    Ok(power)
}

/// `devices`, then as many outlets, each with its number and one more element.
fn outlets<T>(
    mut fields: Fields<'_>,
    field: &'static str,
    how: impl Fn(&Element) -> Result<T, XmlError>,
) -> Result<Vec<(OutletId, T)>, XmlError> {
    let devices = fields.take("devices")?;
    let said: u32 = number(devices)?;
    let there = fields.rest.len();
    if usize::try_from(said) != Ok(there) {
        return Err(error(
            devices.text_offset,
            XmlReason::Devices { said, there },
        ));
    }
    if there == 0 || there > MAX_OUTLETS {
        return Err(value(devices, &format!("a number from 1 to {MAX_OUTLETS}")));
    }
    let mut seen = alloc::collections::BTreeSet::new();
    let mut outlets = Vec::with_capacity(there);
    for _ in 0..there {
        let element = fields.take("outlet")?;
        let mut outlet = Fields::of(element);
        let id = OutletId(outlet.number("oid")?);
        if !seen.insert(id) {
            return Err(error(element.offset, XmlReason::Twice(id.to_string())));
        }
        outlets.push((id, how(outlet.take(field)?)?));
        outlet.end()?;
    }
    fields.end()?;
    Ok(outlets)
}
