//! Comma-separated values after RFC 4180.

use super::{Fault, Faults, Raw};

/// Reads records under a head line; each comes with the line it begins at.
pub(super) fn parse(text: &str, faults: &mut Faults) -> Vec<(usize, Raw)> {
    let mut records = Records::new(text);
    let Some((_, head)) = records.next_record() else {
        faults.add(0, Fault::Form("the file is empty".to_owned()));
        return Vec::new();
    };
    let head: Vec<String> = head.iter().map(|name| name.trim().to_owned()).collect();
    let mut raw = Vec::new();
    while let Some((line, fields)) = records.next_record() {
        if fields.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        if fields.len() != head.len() {
            let counts = format!("{} fields where the head has {}", fields.len(), head.len());
            faults.add(line, Fault::Form(counts));
            continue;
        }
        let mut entry = Raw::default();
        for (name, field) in head.iter().zip(fields) {
            if let Err(fault) = set(&mut entry, name, field) {
                faults.add(line, fault);
            }
        }
        raw.push((line, entry));
    }
    if records.unclosed {
        faults.add(
            records.line,
            Fault::Form("a quote is not closed".to_owned()),
        );
    }
    raw
}

fn set(entry: &mut Raw, name: &str, field: String) -> Result<(), Fault> {
    let field = (!field.trim().is_empty()).then_some(field);
    match name {
        "logical_device_name" => entry.logical_device_name = field,
        "endpoint" => entry.endpoint = field,
        "server" => entry.server = number("server", field)?,
        "client" => entry.client = number("client", field)?,
        "system_title" => entry.system_title = field,
        "place" => entry.place = field,
        "feeder" => entry.feeder = field,
        "phase" => entry.phase = field,
        "load_profile" => entry.load_profile = field,
        other => return Err(Fault::NoSuchField(other.chars().take(40).collect())),
    }
    Ok(())
}

fn number(field: &'static str, text: Option<String>) -> Result<Option<u16>, Fault> {
    let parsed = text.map(|text| text.trim().parse()).transpose();
    parsed.map_err(|_| Fault::Value {
        field,
        reason: "a SAP is a number from 0 to 65535".to_owned(),
    })
}

struct Records<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
    unclosed: bool,
}

impl<'a> Records<'a> {
    fn new(text: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self {
            rest: text.chars().peekable(),
            line: 1,
            unclosed: false,
        }
    }

    fn next_record(&mut self) -> Option<(usize, Vec<String>)> {
        self.rest.peek()?;
        let begins = self.line;
        let mut fields = Vec::new();
        let mut field = String::new();
        let mut quoted = false;
        loop {
            match self.rest.next() {
                None => {
                    self.unclosed |= quoted;
                    break;
                }
                Some('"') if quoted => {
                    if self.rest.next_if_eq(&'"').is_some() {
                        field.push('"');
                    } else {
                        quoted = false;
                    }
                }
                Some('"') if field.is_empty() => quoted = true,
                Some(c) if quoted => {
                    self.line += usize::from(c == '\n');
                    field.push(c);
                }
                Some(',') => fields.push(std::mem::take(&mut field)),
                Some('\r') if self.rest.peek() == Some(&'\n') => {}
                Some('\n') => {
                    self.line += 1;
                    break;
                }
                Some(c) => field.push(c),
            }
        }
        fields.push(field);
        Some((begins, fields))
    }
}
