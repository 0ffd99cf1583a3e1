//! `gridward read`: attributes, and rows of profiles.

use clap::Args;
use dlms::axdr::{Data, DateTime, RawData};
use dlms::client::GetItem;
use dlms::cosem::obis::name;
use dlms::cosem::{
    AttributeDescriptor, CaptureObject, EntryDescriptor, InterfaceClass, Obis, ProfileSelection,
    RangeDescriptor, ScalerUnit,
};
use dlms::xdlms::DataAccessResult;
use link::{Client, Endpoint, PathReceipt};
use model::MessageClass;
use serde_json::{Map, Value, json};

use crate::associate::{AssociationOptions, block_on, explain};
use crate::decode::{node, piece::Piece, value};
use crate::failure::Failure;
use crate::output::{COLUMNS, Ink, Output, Style};
use crate::target::{self, Classes, Target};
use crate::{Outcome, literal, text};

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gridward read tcp://10.0.0.7 0-0:42.0.0 0-0:1.0.0
  gridward read tcp://10.0.0.7 1-0:1.8.0 --keys meters.toml --meter GWD0000000000001
  gridward read hdlc+tcp://10.0.0.7:4059 1-0:1.8.0 --client 1 --password @lls.txt
  gridward read tcp://10.0.0.7 1-0:99.1.0 --profile --from 2026-11-20 --keys k.toml
  gridward read kitchen 1-0:1.8.0      (what it means: gridward config default)

URL: tcp:// udp:// tls:// hdlc+tcp://HOST[:4059], serial:///dev/ttyUSB0?baud=9600,
scion://[ISD-AS,ADDRESS][:4059]; with --json each reading then tells its paths.
Without an attribute, 2 is read. Scaler and unit of registers are read along.
Times without an offset are the meter's own. Entries count from 1, the oldest.")]
pub(crate) struct ReadOptions {
    /// Where the meter is, or its name in the configuration
    #[arg(value_name = "URL|NAME")]
    place: String,

    /// What to read: OBIS code, attribute behind a colon, class in front
    #[arg(required = true, value_name = "[CLASS/]OBIS[:ATTRIBUTE]")]
    objects: Vec<String>,

    /// Read rows of the profile, with named columns
    #[arg(long)]
    profile: bool,

    /// Only rows from this time on
    #[arg(long, value_name = "T", requires = "profile")]
    from: Option<String>,

    /// Only rows up to this time
    #[arg(long, value_name = "T", requires = "profile")]
    to: Option<String>,

    /// Only these rows
    #[arg(long, value_name = "A-B", requires = "profile", conflicts_with_all = ["from", "to"])]
    entries: Option<String>,

    #[command(flatten)]
    association: AssociationOptions,
}

pub(crate) fn run(options: &ReadOptions, output: &mut Output<'_, '_>) -> Outcome {
    let targets = options
        .objects
        .iter()
        .map(|text| Target::parse(text))
        .collect::<Result<Vec<_>, _>>()?;
    let selection = options.selection()?;
    let destination = options.association.destination(&options.place)?;
    let endpoint = &destination.endpoint;
    block_on(async {
        let mut session = destination.connect().await?;
        let client = &mut session.client;
        let outcome = if options.profile {
            client.set_class(MessageClass::Usage);
            profiles(client, endpoint, &targets, selection.as_ref(), output).await
        } else {
            attributes(client, endpoint, &targets, output).await
        };
        let ended = session.end().await;
        outcome.and(ended)
    })
}

impl ReadOptions {
    fn selection(&self) -> Result<Option<ProfileSelection>, Failure> {
        let time = |text: &str| literal::date_time(text).map_err(Failure::usage);
        if let Some(entries) = &self.entries {
            let rows = entries
                .split_once('-')
                .and_then(|(from, to)| Some((from.trim().parse().ok()?, to.trim().parse().ok()?)))
                .filter(|(from, to): &(u32, u32)| *from >= 1 && (*to == 0 || from <= to));
            let (from, to) = rows.ok_or_else(|| {
                Failure::usage(format!("--entries {entries}: not a range of rows"))
                    .hint("write 1-96; the oldest row is 1, and 1-0 means all")
            })?;
            return Ok(Some(ProfileSelection::Entry(EntryDescriptor::rows(
                from, to,
            ))));
        }
        if self.from.is_none() && self.to.is_none() {
            return Ok(None);
        }
        let from = match &self.from {
            Some(text) => time(text)?,
            None => time("1970-01-01")?,
        };
        let to = match &self.to {
            Some(text) => time(text)?,
            None => time("2099-12-31")?,
        };
        Ok(Some(ProfileSelection::Range(RangeDescriptor::by_clock(
            &from, &to,
        ))))
    }
}

/// The class of breakers, disconnect control.
const BREAKER: u16 = 70;

/// Their attribute `control_state`.
const CONTROL_STATE: i8 = 3;

/// One attribute as it came.
struct Reading {
    class_id: u16,
    obis: Obis,
    attribute: i8,
    value: Result<Data, DataAccessResult>,
    scaler_unit: Option<ScalerUnit>,
    /// The paths that it took, over SCION.
    paths: Option<PathReceipt>,
}

async fn attributes(
    client: &mut Client,
    endpoint: &Endpoint,
    targets: &[Target],
    output: &mut Output<'_, '_>,
) -> Outcome {
    let mut readings = Vec::with_capacity(targets.len());
    let mut classes = Classes::new();
    let told = together(client, targets)
        .await
        .map_err(|error| explain(&error, endpoint))?;
    for (target, told) in targets.iter().zip(told) {
        readings.push(
            read_one(client, &mut classes, target, told)
                .await
                .map_err(|error| explain(&error, endpoint))?
                .ok_or_else(|| target::not_there(target.obis))?,
        );
    }
    if output.json() {
        let readings: Vec<Value> = readings.iter().map(Reading::to_json).collect();
        output.write_json(&Value::Array(readings))?;
    } else {
        let text = render(&readings, output.style());
        output.write(&text)?;
    }
    match readings
        .iter()
        .find_map(|reading| reading.value.as_ref().err())
    {
        None => Ok(()),
        Some(refusal) => {
            let error = link::ClientError::Refused(*refusal);
            Err(explain(&error, endpoint).shown())
        }
    }
}

/// Reads in one request what more than one target asks for; none where the
/// class has to be looked up, or where the meter gives no list.
async fn together(
    client: &mut Client,
    targets: &[Target],
) -> Result<Vec<Option<Got>>, link::ClientError> {
    let nothing = || targets.iter().map(|_| None).collect();
    if targets.len() < 2 {
        return Ok(nothing());
    }
    let asked: Vec<Vec<GetItem>> = targets
        .iter()
        .map(|target| match Classes::known(target) {
            Some(class_id) => items(class_id, target.obis, target.member.unwrap_or(2)),
            None => Vec::new(),
        })
        .collect();
    let mut results = match client.get(asked.concat()).await {
        Ok(results) => results.into_iter(),
        // Who cannot answer a list may still answer one by one.
        Err(link::ClientError::Failed(
            dlms::client::Failure::Exception(_)
            | dlms::client::Failure::ServiceError(_)
            | dlms::client::Failure::Malformed(_)
            | dlms::client::Failure::Unexpected,
        )) => return Ok(nothing()),
        Err(error) => return Err(error),
    };
    asked
        .iter()
        .map(|items| {
            let mut own = results.by_ref().take(items.len());
            if items.is_empty() {
                return Ok(None);
            }
            got(&mut own).map(Some)
        })
        .collect()
}

async fn read_one(
    client: &mut Client,
    classes: &mut Classes,
    target: &Target,
    told: Option<Got>,
) -> Result<Option<Reading>, link::ClientError> {
    let attribute = target.member.unwrap_or(2);
    let Some(mut class_id) = classes.of(client, target).await? else {
        return Ok(None);
    };
    let mut tried = match told {
        Some(told) => told,
        None => get(client, class_id, target.obis, attribute).await?,
    };
    let strange = matches!(
        tried.0,
        Err(DataAccessResult::ObjectClassInconsistent | DataAccessResult::ObjectUndefined)
    );
    // The class was a guess: the meter's own list knows.
    if strange
        && target.class_id.is_none()
        && let Ok(Some(listed)) = classes.listed(client, target.obis).await
        && listed != class_id
    {
        class_id = listed;
        tried = get(client, class_id, target.obis, attribute).await?;
    }
    let (value, scaler_unit) = tried;
    Ok(Some(Reading {
        class_id,
        obis: target.obis,
        attribute,
        value,
        scaler_unit,
        paths: client.scion().map(|status| status.receipt),
    }))
}

type Got = (Result<Data, DataAccessResult>, Option<ScalerUnit>);

/// An attribute, and the one that scales it.
fn items(class_id: u16, obis: Obis, attribute: i8) -> Vec<GetItem> {
    let item = |attribute| GetItem {
        attribute: AttributeDescriptor::new(class_id, obis, attribute),
        selection: None,
    };
    let mut items = vec![item(attribute)];
    items.extend(target::scaler_attribute(class_id, attribute).map(item));
    items
}

async fn get(
    client: &mut Client,
    class_id: u16,
    obis: Obis,
    attribute: i8,
) -> Result<Got, link::ClientError> {
    let items = items(class_id, obis, attribute);
    got(&mut client.get(items).await?.into_iter())
}

/// Takes the answer to [`items`].
fn got(
    results: &mut dyn Iterator<Item = Result<Vec<u8>, DataAccessResult>>,
) -> Result<Got, link::ClientError> {
    let value = match results.next() {
        Some(Ok(octets)) => Ok(target::decode(&octets)?),
        Some(Err(refusal)) => Err(refusal),
        None => return Err(dlms::client::Failure::Unexpected.into()),
    };
    let scaler_unit = results
        .next()
        .and_then(Result::ok)
        .and_then(|octets| RawData::new(&octets).decode().ok())
        .and_then(|data| ScalerUnit::from_data(&data).ok());
    Ok((value, scaler_unit))
}

impl Reading {
    fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("obis".to_owned(), json!(self.obis.to_string()));
        object.insert("class".to_owned(), json!(self.class_id));
        object.insert("attribute".to_owned(), json!(self.attribute));
        if let Some(name) = name(self.obis) {
            object.insert("name".to_owned(), json!(name.to_string()));
        }
        if let Some(paths) = &self.paths {
            object.insert("paths".to_owned(), crate::scion::receipt(paths));
        }
        match &self.value {
            Err(refusal) => {
                object.insert("error".to_owned(), json!(refusal.name()));
            }
            Ok(data) => {
                object.insert("type".to_owned(), json!(data.tag().name()));
                object.insert("value".to_owned(), value::to_json(data));
                if let Some(text) = self.told(data) {
                    object.insert("text".to_owned(), json!(text));
                }
                let scaled = self
                    .scaler_unit
                    .and_then(|unit| Some((unit, value::scaled_json(data, unit)?)));
                let (unit, scaled) = match scaled {
                    Some((unit, scaled)) => (json!(unit.unit.to_string()), scaled),
                    None => (Value::Null, Value::Null),
                };
                object.insert("unit".to_owned(), unit);
                object.insert("scaled".to_owned(), scaled);
            }
        }
        Value::Object(object)
    }

    /// What octets are seen to say and code points stand for, for programs.
    fn told(&self, data: &Data) -> Option<String> {
        match (self.class_id, self.attribute, data) {
            (_, _, Data::OctetString(octets)) => told(octets),
            (BREAKER, CONTROL_STATE, Data::Enum(code)) => {
                Some(model::BreakerState::from_control_state(*code).to_string())
            }
            _ => None,
        }
    }

    /// The code, with the attribute where that is not the value itself.
    fn code(&self) -> String {
        match self.attribute {
            2 => self.obis.to_string(),
            attribute => format!("{}:{attribute}", self.obis),
        }
    }

    fn name(&self) -> String {
        let of = InterfaceClass::nearest(self.class_id, u8::MAX)
            .and_then(|class| class.attribute_name(self.attribute))
            .filter(|_| self.attribute != 2);
        match (name(self.obis), of) {
            (Some(name), None) => name.to_string(),
            (Some(name), Some(of)) => format!("{name}, {of}"),
            (None, Some(of)) => of.to_owned(),
            (None, None) => String::new(),
        }
    }
}

/// What octets are seen to say, for programs.
fn told(octets: &[u8]) -> Option<String> {
    value::as_date_time(octets)
        .map(|time| time.to_string())
        .or_else(|| value::as_text(octets).map(str::to_owned))
}

fn render(readings: &[Reading], style: Style) -> String {
    let widest = |of: fn(&Reading) -> String, most: usize| {
        let widths = readings.iter().map(|reading| text::width(&of(reading)));
        widths.filter(|width| *width <= most).max().unwrap_or(0)
    };
    let codes = widest(Reading::code, 20);
    let names = widest(Reading::name, 40);
    let labels = codes + 2 + names;
    let mut out = String::new();
    for reading in readings {
        let label = format!("{}  {}", text::pad(&reading.code(), codes), reading.name());
        let data = match &reading.value {
            Ok(data) => data,
            Err(refusal) => {
                let refused = style.paint(Ink::Error, &format!("refused: {}", refusal.name()));
                out.push_str(&format!("{}  {refused}\n", text::pad(&label, labels)));
                continue;
            }
        };
        if data.elements().is_some_and(|elements| !elements.is_empty()) {
            out.push_str(&style.paint(Ink::Head, &label));
            out.push('\n');
            out.push_str(&tree(data, style));
            continue;
        }
        let value = reading
            .scaler_unit
            .and_then(|unit| value::scaled_text(data, unit))
            .unwrap_or_else(|| match (value::to_text(data), reading.told(data)) {
                (text, _) if text.is_empty() => data.tag().name().to_owned(),
                (text, Some(told)) if matches!(data, Data::Enum(_)) => format!("{text} ({told})"),
                (text, _) => text,
            });
        let start = text::pad(&label, labels) + "  ";
        let room = COLUMNS.saturating_sub(text::width(&start));
        for (index, line) in text::wrap(&value, room).iter().enumerate() {
            if index == 0 {
                out.push_str(&start);
            } else {
                out.push_str(&" ".repeat(text::width(&start)));
            }
            out.push_str(&style.paint(Ink::Value, line));
            out.push('\n');
        }
    }
    out
}

/// A value of several parts, as `decode` shows it.
fn tree(data: &Data, style: Style) -> String {
    use dlms::codec::Wire as _;
    let octets = data.to_octets();
    let piece = Piece::new(&octets, 0);
    match value::node("value", RawData::new(piece.octets()), &piece) {
        Ok(tree) => node::render_values(&tree.children, style),
        // What was decoded encodes to what decodes.
        Err(error) => format!("{error}\n"),
    }
}

/// One column of a profile.
struct Column {
    object: CaptureObject,
    scaler_unit: Option<ScalerUnit>,
}

impl Column {
    fn key(&self) -> String {
        match self.object.attribute_index {
            2 => self.object.logical_name.to_string(),
            attribute => format!("{}:{attribute}", self.object.logical_name),
        }
    }

    fn is_clock(&self) -> bool {
        self.object.class_id == 8 && self.object.attribute_index == 2
    }

    fn heading(&self) -> String {
        let unit = self
            .scaler_unit
            .and_then(|unit| unit.unit.symbol())
            .filter(|symbol| !symbol.is_empty());
        match unit {
            Some(unit) => format!("{} [{unit}]", self.key()),
            None => self.key(),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "key": self.key(),
            "obis": self.object.logical_name.to_string(),
            "class": self.object.class_id,
            "attribute": self.object.attribute_index,
            "name": name(self.object.logical_name).map(|name| name.to_string()),
            "unit": self.scaler_unit.map(|unit| unit.unit.to_string()),
            "scaler": self.scaler_unit.map(|unit| unit.scaler),
        })
    }
}

/// The class of profiles (IEC 62056-6-2, Profile generic) and its attributes.
const PROFILE_CLASS: u16 = 7;
const CAPTURE_OBJECTS: i8 = 3;
const CAPTURE_PERIOD: i8 = 4;

async fn profiles(
    client: &mut Client,
    endpoint: &Endpoint,
    targets: &[Target],
    selection: Option<&ProfileSelection>,
    output: &mut Output<'_, '_>,
) -> Outcome {
    let [target] = targets else {
        return Err(Failure::usage("--profile reads one profile at a time"));
    };
    let told = |error: link::ClientError| explain(&error, endpoint);
    let attribute = |id| AttributeDescriptor::new(PROFILE_CLASS, target.obis, id);
    let captured = client
        .read(attribute(CAPTURE_OBJECTS))
        .await
        .map_err(told)?;
    let objects = CaptureObject::list_from_data(&captured).map_err(|_| {
        Failure::new(format!(
            "{}: the meter's list of captured objects is malformed",
            target.obis
        ))
    })?;
    let period = client
        .read(attribute(CAPTURE_PERIOD))
        .await
        .ok()
        .and_then(|data| data.as_u32())
        .unwrap_or(0);
    let columns = columns(client, objects).await.map_err(told)?;
    let octets = {
        let mut progress = output.progress("read");
        client
            .read_octets(attribute(2), selection, &mut |octets| progress.tell(octets))
            .await
            .map_err(told)?
    };
    let buffer = target::decode(&octets).map_err(told)?.expanded();
    let rows: Vec<Vec<Data>> = buffer
        .elements()
        .unwrap_or_default()
        .iter()
        .map(|row| row.elements().unwrap_or_default().to_vec())
        .collect();
    let rows = with_times(&columns, rows, period);
    if output.json() {
        let columns_json: Vec<Value> = columns.iter().map(Column::to_json).collect();
        let rows: Vec<Value> = rows.iter().map(|row| row_json(&columns, row)).collect();
        return output.write_json(&json!({
            "obis": target.obis.to_string(),
            "columns": columns_json,
            "rows": rows,
        }));
    }
    let style = output.style();
    let table = table(&columns, &rows, style);
    output.write(&table)
}

/// Adds scaler and unit to registers.
async fn columns(
    client: &mut Client,
    objects: Vec<CaptureObject>,
) -> Result<Vec<Column>, link::ClientError> {
    let scaled: Vec<Option<GetItem>> = objects
        .iter()
        .map(|object| {
            target::scaler_attribute(object.class_id, object.attribute_index).map(|attribute| {
                GetItem {
                    attribute: AttributeDescriptor::new(
                        object.class_id,
                        object.logical_name,
                        attribute,
                    ),
                    selection: None,
                }
            })
        })
        .collect();
    let wanted: Vec<GetItem> = scaled.iter().flatten().cloned().collect();
    let mut results = if wanted.is_empty() {
        Vec::new()
    } else {
        client.get(wanted).await?
    }
    .into_iter();
    Ok(objects
        .into_iter()
        .zip(scaled)
        .map(|(object, item)| Column {
            object,
            scaler_unit: item
                .and_then(|_| results.next()?.ok())
                .and_then(|octets| RawData::new(&octets).decode().ok())
                .and_then(|data| ScalerUnit::from_data(&data).ok()),
        })
        .collect())
}

/// Puts in the times that a meter leaves out because they follow from the row
/// before and the capture period.
fn with_times(columns: &[Column], mut rows: Vec<Vec<Data>>, period: u32) -> Vec<Vec<Data>> {
    let Some(clock) = columns.iter().position(Column::is_clock) else {
        return rows;
    };
    let mut last: Option<DateTime> = None;
    for row in &mut rows {
        let Some(cell) = row.get_mut(clock) else {
            continue;
        };
        if *cell == Data::NullData {
            last = last.and_then(|time| later(time, period));
            if let Some(time) = last {
                *cell = Data::DateTime(time);
            }
        } else {
            last = cell.as_date_time();
        }
    }
    rows
}

/// The time `period` seconds later, with the same deviation.
fn later(time: DateTime, period: u32) -> Option<DateTime> {
    let local = time.to_local_seconds()?.checked_add(i64::from(period))?;
    let mut next = DateTime::from_unix_seconds(local, 0, time.status)?;
    next.deviation = time.deviation;
    Some(next)
}

fn row_json(columns: &[Column], row: &[Data]) -> Value {
    let mut object = Map::new();
    for (column, data) in columns.iter().zip(row) {
        let cell = column
            .scaler_unit
            .and_then(|unit| value::scaled_json(data, unit))
            .or_else(|| match data {
                Data::OctetString(octets) => told(octets).map(Value::String),
                _ => None,
            })
            .unwrap_or_else(|| value::to_json(data));
        object.insert(column.key(), cell);
    }
    Value::Object(object)
}

fn table(columns: &[Column], rows: &[Vec<Data>], style: Style) -> String {
    let mut out = String::new();
    for column in columns {
        if let Some(name) = name(column.object.logical_name) {
            out.push_str(&style.paint(Ink::Faint, &format!("{}  {name}", column.key())));
            out.push('\n');
        }
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            columns
                .iter()
                .zip(row)
                .map(|(column, data)| cell(column, data))
                .collect()
        })
        .collect();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cells = cells.iter().filter_map(|row| row.get(index));
            cells
                .map(|cell| text::width(cell))
                .max()
                .unwrap_or(0)
                .max(text::width(&column.heading()))
        })
        .collect();
    let headings: Vec<String> = columns.iter().map(Column::heading).collect();
    let mut put = |cells: &[String], ink: Option<Ink>| {
        let mut line = String::new();
        for (index, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            if index > 0 {
                line.push_str("  ");
            }
            let left = columns.get(index).is_some_and(Column::is_clock);
            line.push_str(&if left {
                text::pad(cell, *width)
            } else {
                text::pad_left(cell, *width)
            });
        }
        let line = line.trim_end();
        out.push_str(&match ink {
            Some(ink) => style.paint(ink, line),
            None => line.to_owned(),
        });
        out.push('\n');
    };
    put(&headings, Some(Ink::Head));
    for row in &cells {
        put(row, None);
    }
    out.push_str(&style.paint(
        Ink::Faint,
        &match rows.len() {
            1 => "1 row".to_owned(),
            count => format!("{count} rows"),
        },
    ));
    out.push('\n');
    out
}

fn cell(column: &Column, data: &Data) -> String {
    match (data, column.scaler_unit) {
        (Data::NullData, _) => "-".to_owned(),
        (_, Some(unit)) => {
            value::scaled_text(data, ScalerUnit::new(unit.scaler, dlms::cosem::Unit::COUNT))
                .unwrap_or_else(|| value::to_text(data))
        }
        _ => value::to_text(data),
    }
}
