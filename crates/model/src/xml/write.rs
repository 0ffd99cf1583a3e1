//! From messages to XML, as the figures have it.

use alloc::string::String;
use core::fmt::{self, Display, Write as _};

use super::{MAX_OUTLETS, OutletId, OutletPower, Switch, ToServer, ToSmartMeter, XmlMessage};

/// A message that has no form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// There are no outlets, or too many.
    #[error("a message has 1 to {MAX_OUTLETS} outlets, not {0}")]
    Outlets(usize),
    /// An outlet stands there twice.
    #[error("outlet {0} is there twice")]
    Twice(OutletId),
    /// The days are none of the month, or run backwards.
    #[error("days {day_start} to {day_end} of month {month} are none")]
    Days {
        /// The month.
        month: u8,
        /// The first day.
        day_start: u8,
        /// The last day.
        day_end: u8,
    },
}

/// Lines of elements, two blanks a step deeper.
struct Lines {
    out: String,
    depth: usize,
}

impl Lines {
    fn indent(&mut self) {
        for _ in 0..self.depth {
            self.out.push_str("  ");
        }
    }

    fn leaf(&mut self, name: &str, value: impl Display) {
        self.indent();
        // Writing to a string does not fail, and no value has a sign that needs another form.
        let written = writeln!(self.out, "<{name}>{value}</{name}>");
        debug_assert!(written.is_ok(), "a string takes all that is written");
    }

    fn within(&mut self, name: &str, inner: impl FnOnce(&mut Self)) {
        self.indent();
        self.out.push('<');
        self.out.push_str(name);
        self.out.push_str(">\n");
        self.depth += 1;
        inner(self);
        self.depth -= 1;
        self.indent();
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push_str(">\n");
    }

    fn outlets<T>(&mut self, outlets: &[(OutletId, T)], field: &str, text: impl Fn(&T) -> String) {
        self.leaf("devices", outlets.len());
        for (id, value) in outlets {
            self.within("outlet", |lines| {
                lines.leaf("oid", id);
                lines.leaf(field, text(value));
            });
        }
    }
}

fn check<T>(outlets: &[(OutletId, T)]) -> Result<(), WriteError> {
    if outlets.is_empty() || outlets.len() > MAX_OUTLETS {
        return Err(WriteError::Outlets(outlets.len()));
    }
    let mut seen = alloc::collections::BTreeSet::new();
    match outlets.iter().find(|(id, _)| !seen.insert(*id)) {
        Some((id, _)) => Err(WriteError::Twice(*id)),
        None => Ok(()),
    }
}

impl XmlMessage {
    /// Writes the message, as the figures have it, with a line feed at the end.
    ///
    /// # Errors
    /// [`WriteError`] where it could not be read again: no outlets or too many, one twice, days
    /// that are none.
    pub fn write(&self) -> Result<String, WriteError> {
        let mut lines = Lines {
            out: String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"),
            depth: 0,
        };
        match self {
            Self::ToSmartMeter(message) => to_smart_meter(&mut lines, message)?,
            Self::ToServer(message) => to_server(&mut lines, message)?,
        }
        Ok(lines.out)
    }
}

fn to_smart_meter(lines: &mut Lines, message: &ToSmartMeter) -> Result<(), WriteError> {
    match message {
        ToSmartMeter::ControlOnOff { timestamp, outlets } => {
            check(outlets)?;
            lines.within("SM", |lines| {
                lines.leaf("type", 1);
                lines.leaf("timestamp", timestamp);
                lines.within("cmd", |lines| {
                    lines.outlets(outlets, "status", |switch| match switch {
                        Switch::Off => "0".into(),
                        Switch::On => "1".into(),
                    });
                });
            });
        }
        ToSmartMeter::Retransmission {
            timestamp,
            outlet,
            day,
            sections,
        } => lines.within("SM", |lines| {
            lines.leaf("type", 2);
            lines.leaf("timestamp", timestamp);
            lines.within("cmd", |lines| {
                lines.leaf("devtype", "outlet");
                lines.leaf("oid", outlet);
                lines.leaf("rtday", day);
                lines.leaf("section_start", sections.start().number());
                lines.leaf("section_end", sections.end().number());
            });
        }),
        ToSmartMeter::PowerCost {
            timestamp,
            month,
            day_start,
            day_end,
            total_cost,
        } => {
            let (month, day_start, day_end) = (*month, *day_start, *day_end);
            let leap = 2_000;
            let day = |day| super::CivilDate::new(leap, month, day).is_ok();
            if !day(day_start) || !day(day_end) || day_end < day_start {
                return Err(WriteError::Days {
                    month,
                    day_start,
                    day_end,
                });
            }
            lines.within("SM", |lines| {
                lines.leaf("type", 3);
                lines.leaf("timestamp", timestamp);
                lines.within("cmd", |lines| {
                    lines.leaf("month", month);
                    lines.leaf("day_start", day_start);
                    lines.leaf("day_end", day_end);
                    lines.leaf("total_cost", total_cost);
                });
            });
        }
    }
    Ok(())
}

fn to_server(lines: &mut Lines, message: &ToServer) -> Result<(), WriteError> {
    let (kind, meter, timestamp) = match message {
        ToServer::QueryPower {
            meter,
            timestamp,
            outlets,
        } => {
            check(outlets)?;
            (1, meter, timestamp)
        }
        ToServer::WarnToChange {
            meter,
            timestamp,
            outlets,
        } => {
            check(outlets)?;
            (2, meter, timestamp)
        }
    };
    lines.within("server", |lines| {
        lines.leaf("type", kind);
        lines.within("smlogin", |lines| {
            lines.leaf("sid", meter);
            lines.leaf("timestamp", timestamp);
        });
        match message {
            ToServer::QueryPower { outlets, .. } => lines.within("rpoutlet", |lines| {
                lines.outlets(outlets, "data", |power| alloc::format!("{power}"));
            }),
            ToServer::WarnToChange { outlets, .. } => lines.within("rpsm", |lines| {
                lines.outlets(outlets, "report", |report| alloc::format!("{report}"));
            }),
        }
    });
    Ok(())
}

impl Display for OutletPower {
    /// As in figure 8: volts, milliamperes and watts with commas between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{}", self.volts, self.milliamperes, self.watts)
    }
}
