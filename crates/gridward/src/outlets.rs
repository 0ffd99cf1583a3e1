//! `gridward outlets`: outlet meters by way of their head end's API.

use std::io::{BufRead as _, BufReader, Read as _};

use clap::{Args, Subcommand, ValueEnum};
use model::xml::{CivilDate, Section};
use serde_json::{Value, json};

use crate::Outcome;
use crate::api::{Api, ApiOptions};
use crate::failure::Failure;
use crate::output::{COLUMNS, Ink, Output};
use crate::text::{pad, pad_left, printable, width, wrap};

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gridward outlets list --token-file token
  gridward outlets show 1
  gridward outlets usage 1 2 --date 2026-11-21
  gridward outlets ask 1 2 --date 2026-11-21 --sections 1-36
  gridward outlets switch 1 2=off --reason \"The fridge is replaced\"
  gridward outlets costs 1 --tell 77 --month 11 --days 1-30
  gridward outlets breaker 1 open --reason \"Moved out on 20 November\" --dry-run

The token is that which the head end's first start printed. It is never an
argument, which others could read: a file (chmod 600) or GRIDWARD_TOKEN holds
it. Without https:// only a head end on this machine is asked.

The meters' messages have no answer: an order that is sent is not known to be
obeyed. docs/outlets.md says more.")]
pub(crate) struct OutletsOptions {
    #[command(flatten)]
    api: ApiOptions,
    #[command(subcommand)]
    command: OutletsCommand,
}

/// What can be asked of outlet meters, and told them.
#[derive(Debug, Subcommand)]
enum OutletsCommand {
    /// List outlet meters, those that need somebody first
    #[command(after_help = "\
Examples:
  gridward outlets list
  gridward outlets list --url https://headend.example --token-file token")]
    List,
    /// Show one meter with its outlets
    #[command(after_help = "\
Example:
  gridward outlets show 1")]
    Show {
        /// Its number
        meter: u32,
    },
    /// Show a day of an outlet in its 144 sections
    #[command(after_help = "\
Examples:
  gridward outlets usage 1 2
  gridward outlets usage 1 2 --date 2026-11-21")]
    Usage {
        /// The meter's number
        meter: u32,
        /// The outlet's number
        outlet: u32,
        /// The day in the meter's civil time [default: today]
        #[arg(long, value_name = "YYYY-MM-DD", value_parser = date)]
        date: Option<CivilDate>,
    },
    /// Show the journal of orders to a meter, the newest first
    #[command(after_help = "\
Example:
  gridward outlets orders 1 --limit 100")]
    Orders {
        /// The meter's number
        meter: u32,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20,
              value_parser = clap::value_parser!(u16).range(1..=500))]
        limit: u16,
    },
    /// Show the costs that a meter was told, or tell it one
    #[command(after_help = "\
Examples:
  gridward outlets costs 1
  gridward outlets costs 1 --tell 77 --month 11 --days 1-30

Without --tell nothing is sent. A cost is in whole units of the currency that
both sides agreed on; a meter that is away is told when it calls.")]
    Costs {
        /// The meter's number
        meter: u32,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "tell",
              value_parser = clap::value_parser!(u16).range(1..=500))]
        limit: u16,
        /// Tell the meter's customer this cost, in whole units of the currency
        #[arg(long, value_name = "COST", requires = "month", requires = "days")]
        tell: Option<u64>,
        /// The month that it is for
        #[arg(long, value_name = "1-12", requires = "tell",
              value_parser = clap::value_parser!(u8).range(1..=12))]
        month: Option<u8>,
        /// The days of that month, from a first to a last
        #[arg(long, value_name = "FIRST-LAST", requires = "tell", value_parser = days)]
        days: Option<(u8, u8)>,
        /// The meter's place, which is asked for otherwise
        #[arg(long, value_name = "PLACE", requires = "tell")]
        yes: Option<String>,
        /// Say what would be told, and tell nothing
        #[arg(long, requires = "tell", conflicts_with = "yes")]
        dry_run: bool,
    },
    /// Ask a connected meter for sections of a day once more
    #[command(after_help = "\
Example:
  gridward outlets ask 1 2 --date 2026-11-21 --sections 1-36

A section is ten minutes: 1 begins at midnight, 144 at 23:50. Those that are
missing are asked for without this while the meter is connected.")]
    Ask {
        /// The meter's number
        meter: u32,
        /// The outlet's number
        outlet: u32,
        /// The day in the meter's civil time
        #[arg(long, value_name = "YYYY-MM-DD", value_parser = date)]
        date: CivilDate,
        /// The sections, from a first to a last
        #[arg(long, value_name = "FIRST-LAST", default_value = "1-144", value_parser = sections)]
        sections: (u8, u8),
        /// Say what would be asked, and ask nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Switch outlets of a meter
    #[command(
        override_usage = "\
gridward outlets switch [OPTIONS] --reason <TEXT>
         <METER> <OUTLET=on|off>...",
        after_help = "\
Examples:
  gridward outlets switch 1 2=off --reason \"The fridge is replaced\"
  gridward outlets switch 1 1=on 2=on --reason \"All is back\" --dry-run

An order for a meter that is away waits ten minutes for it. The next sections
show whether it was obeyed: gridward outlets show METER."
    )]
    Switch {
        /// The meter's number
        meter: u32,
        /// Outlets, and what they shall be
        #[arg(value_name = "OUTLET=on|off", required = true, value_parser = switch)]
        outlets: Vec<(u32, bool)>,
        #[command(flatten)]
        order: OrderOptions,
    },
    /// Open or close a meter's own breaker by a signed order
    #[command(after_help = "\
Example:
  gridward outlets breaker 1 open --reason \"Moved out on 20 November\" --dry-run

The head end signs the order, which is void after 60 seconds; a meter that is
not connected gets none. All outlets are behind the breaker.")]
    Breaker {
        /// The meter's number
        meter: u32,
        /// What becomes of it
        action: BreakerTo,
        #[command(flatten)]
        order: OrderOptions,
    },
}

/// Why something is ordered, and whether it is meant.
#[derive(Args, Debug)]
struct OrderOptions {
    /// Why: 10 to 200 characters, which the journal keeps
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The meter's place, which is asked for otherwise
    #[arg(long, value_name = "PLACE")]
    yes: Option<String>,
    /// Say what would be ordered, and order nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

// Without a comment each, which would make the help of this command alone a long one.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum BreakerTo {
    Open,
    Close,
}

impl BreakerTo {
    const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Close => "close",
        }
    }
}

fn date(text: &str) -> Result<CivilDate, String> {
    text.parse().map_err(|error| format!("a date is {error}"))
}

fn sections(text: &str) -> Result<(u8, u8), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| {
        let number = text.parse().ok()?;
        Section::new(number).ok().map(|_| number)
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        _ => Err("sections are 1 to 144, in order, as 1-36".to_owned()),
    }
}

fn days(text: &str) -> Result<(u8, u8), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if (1..=last).contains(&first) && last <= 31 => Ok((first, last)),
        _ => Err("days are 1 to 31, in order, as 1-30".to_owned()),
    }
}

fn switch(text: &str) -> Result<(u32, bool), String> {
    let (number, to) = text.split_once('=').unwrap_or((text, ""));
    let number = number.parse().ok();
    let to = match to {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    };
    number
        .zip(to)
        .ok_or_else(|| "an outlet's number and what it shall be, as 2=off".to_owned())
}

pub(crate) fn run(options: &OutletsOptions, output: &mut Output<'_, '_>) -> Outcome {
    if let OutletsCommand::Switch { order, .. } | OutletsCommand::Breaker { order, .. } =
        &options.command
    {
        check_reason(&order.reason)?;
    }
    let api = options.api.api()?;
    match &options.command {
        OutletsCommand::List => list(&api, output),
        OutletsCommand::Show { meter } => show(&api, *meter, output),
        OutletsCommand::Usage {
            meter,
            outlet,
            date,
        } => usage(&api, *meter, *outlet, *date, output),
        OutletsCommand::Orders { meter, limit } => orders(&api, *meter, *limit, output),
        OutletsCommand::Costs {
            meter,
            tell: Some(cost),
            month,
            days,
            yes,
            dry_run,
            ..
        } => {
            let at = Meter::look(&api, *meter)?;
            let month = month.unwrap_or_default();
            let (first, last) = days.unwrap_or_default();
            let sent = Order {
                path: format!("/outlet-meters/{meter}/costs"),
                body: json!({
                    "month": month, "day_start": first, "day_end": last, "total_cost": cost,
                }),
                what: vec![format!(
                    "days {first} to {last} of month {month} cost {cost}"
                )],
            };
            sent.decide(&api, &at, yes.as_deref(), *dry_run, output)
        }
        OutletsCommand::Costs { meter, limit, .. } => costs(&api, *meter, *limit, output),
        OutletsCommand::Ask {
            meter,
            outlet,
            date,
            sections: (first, last),
            dry_run,
        } => {
            let at = Meter::look(&api, *meter)?;
            at.outlet(*outlet)?;
            let body = json!({
                "outlet": outlet, "date": date.to_string(), "first": first, "last": last,
            });
            let what = format!("sections {first} to {last} of {date} of outlet {outlet}");
            let order = Order {
                path: format!("/outlet-meters/{meter}/requests"),
                body,
                what: vec![what],
            };
            if *dry_run {
                return order.told(&at, output);
            }
            order.send(&api, &at, output)
        }
        OutletsCommand::Switch {
            meter,
            outlets,
            order,
        } => {
            let at = Meter::look(&api, *meter)?;
            let mut what = Vec::new();
            let mut seen = Vec::new();
            for (number, on) in outlets {
                let outlet = at.outlet(*number)?;
                if seen.contains(number) {
                    return Err(Failure::usage(format!("outlet {number} is named twice")));
                }
                seen.push(*number);
                let to = if *on { "on" } else { "off" };
                what.push(format!("outlet {number} {to}: {}", drawing(outlet)));
            }
            let wanted: Vec<Value> = outlets
                .iter()
                .map(|(number, on)| json!({ "number": number, "on": on }))
                .collect();
            let sent = Order {
                path: format!("/outlet-meters/{meter}/switch"),
                body: json!({ "reason": order.reason.trim(), "outlets": wanted }),
                what,
            };
            sent.decide(&api, &at, order.yes.as_deref(), order.dry_run, output)
        }
        OutletsCommand::Breaker {
            meter,
            action,
            order,
        } => breaker(&api, *meter, *action, order, output),
    }
}

/// Characters of a reason, as the head end takes it.
const REASON_LEN: std::ops::RangeInclusive<usize> = 10..=200;
/// Octets of a line that is typed.
const TYPED_MAX: u64 = 4_096;

fn check_reason(reason: &str) -> Outcome {
    let reason = reason.trim();
    if REASON_LEN.contains(&reason.chars().count()) && !reason.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Failure::usage("--reason: 10 to 200 characters in one line")
        .hint("say it so that somebody who reads the journal in a year knows why"))
}

fn breaker(
    api: &Api,
    meter: u32,
    action: BreakerTo,
    order: &OrderOptions,
    output: &mut Output<'_, '_>,
) -> Outcome {
    // What the order means is looked at first: it must not be older than five minutes.
    let at = Meter {
        number: meter,
        told: api
            .get(&format!("/outlet-meters/{meter}/breaker"))
            .map_err(which)?,
    };
    if at.told.get("possible") != Some(&Value::Bool(true)) {
        let why = at.told.get("why_not").and_then(Value::as_str);
        let why = printable(why.unwrap_or("The head end does not say why."));
        return Err(
            Failure::new(format!("there can be no such order now. {why}"))
                .hint("gridward outlets show tells how the meter is"),
        );
    }
    let mut what = vec![format!("its breaker: {}", action.name())];
    match number(&at.told, "draws_w") {
        Some(watts) => what.push(format!(
            "its outlets drew {watts} W together in the section from {}",
            field(&at.told, "draws_section")
        )),
        None => what.push("what its outlets draw is not known".to_owned()),
    }
    for outlet in rows(&at.told, "outlets") {
        let number = number(outlet, "number").unwrap_or(0);
        what.push(format!("outlet {number}: {}", drawing(outlet)));
    }
    let sent = Order {
        path: format!("/outlet-meters/{meter}/breaker"),
        body: json!({
            "action": action.name(),
            "reason": order.reason.trim(),
            "place": at.to_be_typed(),
            "as_of": at.told.get("as_of"),
        }),
        what,
    };
    sent.decide(api, &at, order.yes.as_deref(), order.dry_run, output)
}

/// A meter as the head end tells of it.
struct Meter {
    number: u32,
    told: Value,
}

impl Meter {
    fn look(api: &Api, number: u32) -> Result<Self, Failure> {
        let told = api
            .get(&format!("/outlet-meters/{number}"))
            .map_err(which)?;
        Ok(Self { number, told })
    }

    fn place(&self) -> &str {
        self.told.get("place").and_then(Value::as_str).unwrap_or("")
    }

    /// What is to be typed where it is meant: its place, or its number where it has none.
    fn to_be_typed(&self) -> String {
        match self.place().trim() {
            "" => self.number.to_string(),
            place => place.to_owned(),
        }
    }

    /// Says whether somebody typed that: no input at all never sends anything.
    fn is_meant(&self, typed: &str) -> bool {
        typed.trim() == self.to_be_typed()
    }

    fn outlet(&self, wanted: u32) -> Result<&Value, Failure> {
        let all = rows(&self.told, "outlets");
        let found = all
            .iter()
            .find(|outlet| number(outlet, "number") == Some(u64::from(wanted)));
        found.ok_or_else(|| {
            let numbers = all.iter().filter_map(|outlet| number(outlet, "number"));
            let numbers: Vec<String> = numbers.map(|number| number.to_string()).collect();
            Failure::new(format!(
                "outlet meter {} has no outlet {wanted}",
                self.number
            ))
            .hint(format!("its outlets are {}", numbers.join(", ")))
        })
    }

    fn title(&self) -> String {
        format!("outlet meter {}, {}", self.number, printable(self.place()))
    }
}

/// Something to be sent.
struct Order {
    path: String,
    body: Value,
    /// What it means, a line each.
    what: Vec<String>,
}

impl Order {
    /// Sends it if it is meant.
    fn decide(
        self,
        api: &Api,
        at: &Meter,
        yes: Option<&str>,
        dry_run: bool,
        output: &mut Output<'_, '_>,
    ) -> Outcome {
        if dry_run {
            return self.told(at, output);
        }
        match yes {
            Some(place) if at.is_meant(place) => {}
            Some(_) => {
                return Err(Failure::new(format!(
                    "--yes is not the place of outlet meter {}: nothing was sent",
                    at.number
                ))
                .hint(format!("gridward outlets show {} tells it", at.number)));
            }
            None => {
                for line in self.lines(at) {
                    output.note(&line);
                }
                let what = if at.place().trim().is_empty() {
                    "the meter's number"
                } else {
                    "the place"
                };
                output.note(&format!(
                    "Type {what} to send it, anything else to leave it:"
                ));
                if !at.is_meant(&typed(output)?) {
                    return Err(Failure::new("that is not the place: nothing was sent")
                        .hint("type it as it stands above, or give it with --yes PLACE"));
                }
            }
        }
        self.send(api, at, output)
    }

    fn lines(&self, at: &Meter) -> Vec<String> {
        let mut lines = wrap(&format!("To {}:", at.title()), COLUMNS);
        for what in &self.what {
            let wrapped = wrap(what, COLUMNS - 4);
            for (place, line) in wrapped.iter().enumerate() {
                lines.push(format!("{}{line}", if place == 0 { "  " } else { "    " }));
            }
        }
        lines
    }

    /// Tells what would be sent.
    fn told(&self, at: &Meter, output: &mut Output<'_, '_>) -> Outcome {
        if output.json() {
            return output.write_json(&json!({
                "dry_run": true,
                "meter": at.number,
                "place": at.place(),
                "path": format!("/api/v1{}", self.path),
                "body": self.body,
            }));
        }
        let lines = self.lines(at).join("\n");
        output.write(&format!("{lines}\nNothing was sent (--dry-run).\n"))
    }

    fn send(&self, api: &Api, at: &Meter, output: &mut Output<'_, '_>) -> Outcome {
        let mut answer = api.post(&self.path, &self.body)?;
        let (outcome, order) = (field(&answer, "outcome"), number(&answer, "number"));
        if output.json() {
            if let Some(answer) = answer.as_object_mut() {
                answer.insert("meter".to_owned(), json!(at.number));
                answer.insert("place".to_owned(), json!(at.place()));
            }
            return output.write_json(&answer);
        }
        let style = output.style();
        let number = order.map_or_else(String::new, |order| format!(" as order {order}"));
        let next = match outcome.as_str() {
            "sent" => "What the next sections hold shows whether it was obeyed".to_owned(),
            "waits" => "The meter is told if it connects within ten minutes".to_owned(),
            _ => "See the journal".to_owned(),
        };
        output.write(&format!(
            "{}{number}, to {}\n{next}: gridward outlets {} {}\n",
            style.paint(Ink::Good, &outcome),
            at.title(),
            if outcome == "sent" { "show" } else { "orders" },
            at.number
        ))
    }
}

/// Reads a line that somebody types.
fn typed(output: &mut Output<'_, '_>) -> Result<String, Failure> {
    let mut answer = Vec::new();
    let mut reader = BufReader::with_capacity(1, output.input().take(TYPED_MAX));
    reader
        .read_until(b'\n', &mut answer)
        .map_err(|error| Failure::new(format!("standard input cannot be read: {error}")))?;
    String::from_utf8(answer).map_err(|_| Failure::usage("the place is text in UTF-8"))
}

/// Where no such meter is known: what to do.
fn which(failure: Failure) -> Failure {
    if failure.is("no_such_meter") {
        failure.hint("gridward outlets list tells the meters that there are")
    } else {
        failure
    }
}

fn field(of: &Value, name: &str) -> String {
    match of.get(name) {
        Some(Value::String(text)) => printable(text),
        _ => "-".to_owned(),
    }
}

fn number(of: &Value, name: &str) -> Option<u64> {
    of.get(name).and_then(Value::as_u64)
}

fn amount(of: &Value, name: &str, unit: &str) -> String {
    number(of, name).map_or_else(|| "-".to_owned(), |number| format!("{number}{unit}"))
}

fn rows<'v>(of: &'v Value, name: &str) -> &'v [Value] {
    of.get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// What an outlet feeds and draws.
fn drawing(outlet: &Value) -> String {
    let name = field(outlet, "name");
    match number(outlet, "watts") {
        Some(watts) => format!("{name}, drew {watts} W in its newest section"),
        None => format!("{name}, not known what it draws"),
    }
}

/// Cuts and fills up to a number of columns.
fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return pad(text, columns);
    }
    let mut cut: String = text.chars().take(columns - 1).collect();
    cut.push('…');
    cut
}

fn list(api: &Api, output: &mut Output<'_, '_>) -> Outcome {
    let told = api.get("/outlet-meters")?;
    if output.json() {
        return output.write_json(&told);
    }
    if told.get("served") == Some(&Value::Bool(false)) {
        return output.write(
            "This head end serves no outlet meters.\n\
             gridward keys outlets --help says how that begins.\n",
        );
    }
    let style = output.style();
    let head = format!(
        "{}  {}  {}  {}  {}",
        pad_left("No", 5),
        pad("Place", 28),
        pad("State", 20),
        pad_left("Power", 10),
        pad_left("Missing", 7)
    );
    let mut text = format!("{}\n", style.paint(Ink::Head, &head));
    for row in rows(&told, "rows") {
        let ink = match row.get("state").and_then(Value::as_str) {
            Some("ok") => Ink::Good,
            Some("new" | "miss") => Ink::Faint,
            _ => Ink::Warn,
        };
        text.push_str(&format!(
            "{}  {}  {}  {}  {}\n",
            pad_left(&amount(row, "id", ""), 5),
            fit(&field(row, "place"), 28),
            style.paint(ink, &fit(&field(row, "state_text"), 20)),
            pad_left(&amount(row, "power_w", " W"), 10),
            pad_left(&amount(row, "missing", ""), 7),
        ));
    }
    output.write(&text)
}

fn show(api: &Api, meter: u32, output: &mut Output<'_, '_>) -> Outcome {
    let meter = Meter::look(api, meter)?;
    let told = &meter.told;
    if output.json() {
        return output.write_json(told);
    }
    let style = output.style();
    let connected = told.get("connected") == Some(&Value::Bool(true));
    let mut facts = vec![
        format!("{}.", field(told, "state_text")),
        format!(
            "{} since {}, last heard {}.",
            if connected {
                "Connected"
            } else {
                "Not connected"
            },
            field(told, "connected_since"),
            field(told, "last_heard")
        ),
        format!("{} sections are missing.", amount(told, "missing", "")),
    ];
    if number(told, "refused") > Some(0) {
        facts.push(format!(
            "{} messages were refused, the last: {}.",
            amount(told, "refused", ""),
            field(told, "refused_text")
        ));
    }
    let title = format!(
        "Outlet meter {}, {}",
        meter.number,
        printable(meter.place())
    );
    let mut out = String::new();
    for line in wrap(&title, COLUMNS) {
        out.push_str(&format!("{}\n", style.paint(Ink::Head, &line)));
    }
    for line in wrap(&facts.join(" "), COLUMNS - 2) {
        out.push_str(&format!("  {line}\n"));
    }
    let head = format!(
        "{}  {}  {}  {}  {}  {}  {}",
        pad_left("No", 5),
        pad("Outlet", 22),
        pad("Ordered", 7),
        pad("Agrees", 7),
        pad_left("V", 5),
        pad_left("mA", 8),
        pad_left("W", 8)
    );
    out.push_str(&format!("{}\n", style.paint(Ink::Head, &head)));
    for outlet in rows(told, "outlets") {
        let agrees = match outlet.get("agrees") {
            Some(Value::Bool(true)) => style.paint(Ink::Good, &pad("yes", 7)),
            Some(Value::Bool(false)) => style.paint(Ink::Warn, &pad("no", 7)),
            _ => pad("-", 7),
        };
        out.push_str(&format!(
            "{}  {}  {}  {agrees}  {}  {}  {}\n",
            pad_left(&amount(outlet, "number", ""), 5),
            fit(&field(outlet, "name"), 22),
            pad(&field(outlet, "ordered"), 7),
            pad_left(&amount(outlet, "volts", ""), 5),
            pad_left(&amount(outlet, "milliamperes", ""), 8),
            pad_left(&amount(outlet, "watts", ""), 8),
        ));
    }
    output.write(&out)
}

/// Sections of an hour.
const AN_HOUR: usize = 6;

fn usage(
    api: &Api,
    meter: u32,
    outlet: u32,
    date: Option<CivilDate>,
    output: &mut Output<'_, '_>,
) -> Outcome {
    let at = Meter::look(api, meter)?;
    let named = field(at.outlet(outlet)?, "name");
    let day = date.map_or_else(String::new, |date| format!("&date={date}"));
    let told = api.get(&format!(
        "/outlet-meters/{meter}/usage?outlet={outlet}{day}"
    ))?;
    if output.json() {
        return output.write_json(&told);
    }
    let style = output.style();
    let title = format!("{}, outlet {outlet} ({named})", at.title());
    let mut out = String::new();
    for line in wrap(&title, COLUMNS) {
        out.push_str(&format!("{}\n", style.paint(Ink::Head, &line)));
    }
    out.push_str(&format!(
        "{}: {} sections, {} missing, {}\n",
        field(&told, "date"),
        amount(&told, "received", ""),
        amount(&told, "missing", ""),
        amount(&told, "energy_wh", " Wh"),
    ));
    let mut head = pad("W from", 8);
    for minute in (0..60).step_by(10) {
        head.push_str(&pad_left(&format!(":{minute:02}"), 10));
    }
    out.push_str(&format!("{}\n", style.paint(Ink::Faint, &head)));
    for (hour, sections) in rows(&told, "sections").chunks(AN_HOUR).enumerate() {
        out.push_str(&pad(&format!("{hour:02}:00"), 8));
        for section in sections {
            let cell = match section.get("state").and_then(Value::as_str) {
                Some("read") => amount(section, "watts", ""),
                Some("missing") => style.paint(Ink::Warn, &pad_left("missing", 10)),
                Some("not_due") => "..".to_owned(),
                _ => "-".to_owned(),
            };
            out.push_str(&pad_left(&cell, 10));
        }
        out.push('\n');
    }
    out.push_str(&style.paint(
        Ink::Faint,
        ".. not due yet, - before the first that is expected",
    ));
    out.push('\n');
    output.write(&out)
}

fn orders(api: &Api, meter: u32, limit: u16, output: &mut Output<'_, '_>) -> Outcome {
    let told = api
        .get(&format!("/outlet-meters/{meter}/orders?limit={limit}"))
        .map_err(which)?;
    if output.json() {
        return output.write_json(&told);
    }
    let style = output.style();
    let mut out = String::new();
    for order in rows(&told, "rows") {
        // Where the head end stopped before it knew.
        let outcome = match order.get("outcome") {
            Some(Value::String(outcome)) => printable(outcome),
            _ => "not known".to_owned(),
        };
        out.push_str(&format!(
            "{}  {}  {}  {}\n",
            style.paint(Ink::Head, &pad_left(&amount(order, "number", ""), 5)),
            pad(&field(order, "t"), 24),
            pad(&field(order, "kind"), 8),
            outcome
        ));
        for line in [field(order, "what"), field(order, "reason")] {
            for line in wrap(&line, COLUMNS - 7)
                .iter()
                .filter(|line| !line.is_empty())
            {
                out.push_str(&format!("       {line}\n"));
            }
        }
    }
    if out.is_empty() {
        out.push_str("Nothing was ordered yet.\n");
    }
    output.write(&out)
}

fn costs(api: &Api, meter: u32, limit: u16, output: &mut Output<'_, '_>) -> Outcome {
    let told = api
        .get(&format!("/outlet-meters/{meter}/costs?limit={limit}"))
        .map_err(which)?;
    if output.json() {
        return output.write_json(&told);
    }
    let rows = rows(&told, "rows");
    if rows.is_empty() {
        return output.write("It was told no cost yet.\n");
    }
    let head = format!(
        "{}  {}  {}  {}",
        pad("Told", 24),
        pad_left("Month", 5),
        pad_left("Days", 5),
        pad_left("Cost", 20)
    );
    let mut out = format!("{}\n", output.style().paint(Ink::Head, &head));
    for row in rows {
        let days = format!(
            "{}-{}",
            amount(row, "day_start", ""),
            amount(row, "day_end", "")
        );
        out.push_str(&format!(
            "{}  {}  {}  {}\n",
            pad(&field(row, "t"), 24),
            pad_left(&amount(row, "month", ""), 5),
            pad_left(&days, 5),
            pad_left(&amount(row, "total_cost", ""), 20),
        ));
    }
    let total = number(&told, "total").unwrap_or(0);
    if total > rows.len() as u64 {
        out.push_str(&format!("{total} in all: --limit shows more.\n"));
    }
    output.write(&out)
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.

    use super::*;

    #[test]
    fn sections_and_outlets_are_taken_apart() {
        assert_eq!(sections("1-144"), Ok((1, 144)));
        assert_eq!(sections("7"), Ok((7, 7)));
        for wrong in ["", "0-3", "1-145", "5-4", "1-", "-", "1-2-3", "a"] {
            assert!(sections(wrong).is_err(), "{wrong}");
        }
        assert_eq!(days("1-30"), Ok((1, 30)));
        assert_eq!(days("31"), Ok((31, 31)));
        for wrong in ["", "0-3", "1-32", "5-4", "1-", "-", "1-2-3", "a"] {
            assert!(days(wrong).is_err(), "{wrong}");
        }
        assert_eq!(switch("2=off"), Ok((2, false)));
        assert_eq!(switch("12=on"), Ok((12, true)));
        for wrong in ["", "2", "2=", "=on", "2=ON", "2=off=on", "-1=on"] {
            assert!(switch(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nothing_typed_never_means_a_meter() {
        let at = |place| Meter {
            number: 7,
            told: json!({ "place": place }),
        };
        for (place, typed, is_meant) in [
            ("Am Bach 2", "Am Bach 2\n", true),
            ("Am Bach 2", "7\n", false),
            ("Am Bach 2", "", false),
            ("", "7\n", true),
            ("", "", false),
            (" ", "\n", false),
        ] {
            assert_eq!(at(place).is_meant(typed), is_meant, "{place:?} {typed:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_cut() {
        assert_eq!(fit("abc", 5), "abc  ");
        assert_eq!(fit("abcdef", 5), "abcd…");
    }
}
