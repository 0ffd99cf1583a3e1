//! Values as they are written on the command line.

use dlms::axdr::{BitString, ClockStatus, Data, DateTime, RawData};
use dlms::cosem::Obis;

use crate::failure::Failure;

/// How values are written, for help texts.
pub(crate) const HELP: &str = "\
Values:
  u8:5 u16: u32: u64: i8: i16: i32: i64: enum:1 bool:true f32: f64: bcd:
  \"text\" (visible-string)  utf8:text  octets:0011  bits:0101
  time:2026-11-21T10:00:00+01:00 (octet-string)  obis:1-0:1.8.0  null
  [u8:1, u8:2] (array)  {u32:5, \"text\"} (structure)  hex:0906… (A-XDR)
  A number alone takes the type of the value that it replaces.";

/// Sequences that stand in one another, at most.
const DEPTH_MAX: usize = 16;

/// A value, or a number whose type is to be found out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Value(Data),
    Number(i128),
}

/// Reads a value.
pub(crate) fn parse(text: &str) -> Result<Literal, Failure> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i128>() {
        return Ok(Literal::Number(number));
    }
    let mut rest = text;
    let value = value(&mut rest, 0).map_err(|why| fault(text, &why))?;
    if !rest.trim().is_empty() {
        return Err(fault(text, &format!("{:?} is left over", rest.trim())));
    }
    Ok(Literal::Value(value))
}

fn fault(text: &str, why: &str) -> Failure {
    Failure::usage(format!("{text:?} is no value: {why}")).hint(
        "write u32:5, \"text\", octets:0011, time:2026-11-21T10:00:00Z, [..] or {..}; see --help",
    )
}

fn value(rest: &mut &str, depth: usize) -> Result<Data, String> {
    if depth > DEPTH_MAX {
        return Err(format!(
            "more than {DEPTH_MAX} sequences stand in one another"
        ));
    }
    *rest = rest.trim_start();
    if let Some(after) = rest.strip_prefix('[') {
        *rest = after;
        return elements(rest, ']', depth).map(Data::Array);
    }
    if let Some(after) = rest.strip_prefix('{') {
        *rest = after;
        return elements(rest, '}', depth).map(Data::Structure);
    }
    if let Some(after) = rest.strip_prefix('"') {
        let (text, after) = after
            .split_once('"')
            .ok_or("the closing quote is missing")?;
        *rest = after;
        return Ok(Data::visible_string(text));
    }
    let end = rest.find([',', ']', '}']).unwrap_or(rest.len());
    let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    *rest = after;
    scalar(word.trim())
}

fn elements(rest: &mut &str, close: char, depth: usize) -> Result<Vec<Data>, String> {
    let mut elements = Vec::new();
    loop {
        *rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(close) {
            *rest = after;
            return Ok(elements);
        }
        elements.push(value(rest, depth + 1)?);
        *rest = rest.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => *rest = after,
            None if rest.starts_with(close) => {}
            None => return Err(format!("{close:?} is missing")),
        }
    }
}

fn scalar(word: &str) -> Result<Data, String> {
    if word == "null" {
        return Ok(Data::NullData);
    }
    let Some((kind, text)) = word.split_once(':') else {
        return Err(format!("{word:?} has no type"));
    };
    let text = text.trim();
    fn number<T: std::str::FromStr>(text: &str) -> Result<T, String>
    where
        T::Err: std::fmt::Display,
    {
        text.parse().map_err(|error| format!("{text:?}: {error}"))
    }
    let digits = || link::parse_hex(text).ok_or_else(|| format!("{text:?}: no hexadecimal digits"));
    Ok(match kind {
        "u8" | "unsigned" => Data::Unsigned(number(text)?),
        "u16" | "long-unsigned" => Data::LongUnsigned(number(text)?),
        "u32" | "double-long-unsigned" => Data::DoubleLongUnsigned(number(text)?),
        "u64" | "long64-unsigned" => Data::Long64Unsigned(number(text)?),
        "i8" | "integer" => Data::Integer(number(text)?),
        "i16" | "long" => Data::Long(number(text)?),
        "i32" | "double-long" => Data::DoubleLong(number(text)?),
        "i64" | "long64" => Data::Long64(number(text)?),
        "enum" => Data::Enum(number(text)?),
        "bcd" => Data::Bcd(u8::from_str_radix(text, 16).map_err(|error| error.to_string())?),
        "bool" | "boolean" => Data::Boolean(number(text)?),
        "f32" | "float32" => Data::Float32(number(text)?),
        "f64" | "float64" => Data::Float64(number(text)?),
        "octets" | "octet-string" => Data::OctetString(digits()?),
        "text" | "visible-string" => Data::visible_string(text),
        "utf8" | "utf8-string" => Data::Utf8String(text.into()),
        "bits" | "bit-string" => bits(text)?,
        "obis" => text
            .parse::<Obis>()
            .map_err(|error| error.to_string())?
            .to_data(),
        "time" | "date-time" => Data::date_time_octets(&date_time(text)?),
        "hex" => RawData::new(&digits()?)
            .decode()
            .map_err(|error| error.to_string())?,
        _ => return Err(format!("{kind:?} is no type")),
    })
}

fn bits(text: &str) -> Result<Data, String> {
    let mut octets = vec![0_u8; text.len().div_ceil(8)];
    for (index, digit) in text.chars().enumerate() {
        match (digit, octets.get_mut(index / 8)) {
            ('0', _) => {}
            ('1', Some(octet)) => *octet |= 0x80 >> (index % 8),
            _ => return Err(format!("{text:?}: bits are 0 and 1")),
        }
    }
    u32::try_from(text.len())
        .ok()
        .and_then(|count| BitString::new(count, octets))
        .map(Data::BitString)
        .ok_or_else(|| "too many bits".to_owned())
}

/// Reads `2026-11-21`, `2026-11-21T10:00`, `2026-11-21T10:00:00+01:00`; without
/// an offset it is the meter's own time.
pub(crate) fn date_time(text: &str) -> Result<DateTime, String> {
    let wrong = || format!("{text:?} is no time such as 2026-11-21T10:00:00+01:00");
    let (date, clock) = match text.split_once(['T', ' ']) {
        Some((date, clock)) => (date, clock),
        None => (text, "00:00:00"),
    };
    let mut parts = date.splitn(3, '-');
    let mut part = || {
        parts
            .next()
            .filter(|part| part.bytes().all(|b| b.is_ascii_digit()))
    };
    let year: u16 = part()
        .and_then(|part| part.parse().ok())
        .ok_or_else(wrong)?;
    let month: u8 = part()
        .and_then(|part| part.parse().ok())
        .ok_or_else(wrong)?;
    let day: u8 = part()
        .and_then(|part| part.parse().ok())
        .ok_or_else(wrong)?;
    let unknown = ClockStatus::UNSPECIFIED;
    let (clock, deviation, status) = match clock.find(['Z', '+', '-']) {
        None => (clock, DateTime::DEVIATION_UNSPECIFIED, unknown),
        Some(at) => {
            let (clock, zone) = clock.split_at_checked(at).ok_or_else(wrong)?;
            // UTC has no daylight saving, and says so: Gurux Java 4.0.47 takes
            // an unspecified status for daylight saving and is an hour off.
            let status = if zone == "Z" { ClockStatus(0) } else { unknown };
            (clock, zone_deviation(zone).ok_or_else(wrong)?, status)
        }
    };
    let mut parts = clock.split(':');
    let mut part = || parts.next().map(str::parse::<u8>);
    let (Some(Ok(hour)), Some(Ok(minute)), second) = (part(), part(), part()) else {
        return Err(wrong());
    };
    let second = second.unwrap_or(Ok(0)).map_err(|_| wrong())?;
    let mut value = DateTime::ANY;
    value.date = dlms::axdr::Date::new(year, month, day).ok_or_else(wrong)?;
    value.time = dlms::axdr::Time::new(hour, minute, second).ok_or_else(wrong)?;
    value.deviation = deviation;
    value.status = status;
    Ok(value)
}

/// The standard counts the deviation from local time to UTC.
fn zone_deviation(zone: &str) -> Option<i16> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('+') { -1 } else { 1 };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let minutes = hours.parse::<i16>().ok()?.checked_mul(60)? + minutes.parse::<i16>().ok()?;
    (minutes <= 14 * 60).then_some(sign * minutes)
}

/// Gives a number the type of the value that it replaces.
pub(crate) fn as_type_of(number: i128, present: &Data) -> Result<Data, Failure> {
    fn fit<T: TryFrom<i128>>(number: i128, make: fn(T) -> Data) -> Option<Data> {
        T::try_from(number).ok().map(make)
    }
    let fitted = match present {
        Data::Unsigned(_) => fit(number, Data::Unsigned),
        Data::LongUnsigned(_) => fit(number, Data::LongUnsigned),
        Data::DoubleLongUnsigned(_) => fit(number, Data::DoubleLongUnsigned),
        Data::Long64Unsigned(_) => fit(number, Data::Long64Unsigned),
        Data::Integer(_) => fit(number, Data::Integer),
        Data::Long(_) => fit(number, Data::Long),
        Data::DoubleLong(_) => fit(number, Data::DoubleLong),
        Data::Long64(_) => fit(number, Data::Long64),
        Data::Enum(_) => fit(number, Data::Enum),
        other => {
            return Err(Failure::usage(format!(
                "the attribute holds a value of the type {}, so a number alone does not do",
                other.tag().name()
            ))
            .hint("give the value with its type, as in u32:5"));
        }
    };
    fitted.ok_or_else(|| {
        Failure::usage(format!(
            "{number} does not fit the attribute's type, {}",
            present.tag().name()
        ))
    })
}
