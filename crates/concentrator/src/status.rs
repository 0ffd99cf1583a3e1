//! The status page: what an engineer before the cabinet wants to know, read
//! only, without scripts, on loopback unless configured otherwise.
//!
//! `/` is the page, `/status.json` the same for programs. Nothing can be
//! changed here, and nothing secret is shown.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use link::Clock;
use model::LogicalDeviceName;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::device::SharedCore;
use crate::metering::PHASES;
use crate::pair;
use crate::ways;

/// Octets that the head of a request may have.
const HEAD_LEN_MAX: usize = 4_096;

/// Connections that are served at once; more wait.
const AT_ONCE: usize = 8;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Notices that the page shows.
const NOTICES: usize = 20;

const STYLE: &str = include_str!("status.css");

/// What the page knows of the WAN.
pub trait Wan: Send + Sync {
    /// Lists the connections to head ends, oldest first.
    fn peers(&self) -> Vec<Peer>;

    /// Tells how the ways to head ends are.
    fn ways(&self) -> ways::Told;
}

/// A connection to a head end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it is.
    pub peer: String,
    /// Whether the connection was opened from here.
    pub dialled: bool,
    /// Since when it is there, in seconds since 1970-01-01T00:00:00Z.
    pub since: i64,
}

/// What is shown.
#[derive(Clone)]
pub struct Page {
    name: LogicalDeviceName,
    core: SharedCore,
    wan: Option<Arc<dyn Wan>>,
    pair: Option<Arc<pair::Shown>>,
}

impl Page {
    /// Shows a concentrator.
    #[must_use]
    pub const fn new(name: LogicalDeviceName, core: SharedCore) -> Self {
        Self {
            name,
            core,
            wan: None,
            pair: None,
        }
    }

    /// Shows the other concentrator of its pair as well.
    #[must_use]
    pub fn with_pair(mut self, pair: Arc<pair::Shown>) -> Self {
        self.pair = Some(pair);
        self
    }

    /// Shows its WAN as well.
    #[must_use]
    pub fn with_wan(mut self, wan: Arc<dyn Wan>) -> Self {
        self.wan = Some(wan);
        self
    }

    /// Makes the status as JSON.
    #[must_use]
    pub fn json(&self, unix: i64) -> Value {
        let peers = self.wan.as_ref().map(|it| it.peers());
        let told = self.wan.as_ref().map(|it| it.ways()).unwrap_or_default();
        let core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let own = core.own_time(unix);
        let collector = core.collector();
        let behind = core.behind();
        let mut there = BTreeMap::new();
        let meters: Vec<Value> = core
            .table()
            .iter()
            .map(|(sap, name)| {
                let status = core.status().get(name).cloned().unwrap_or_default();
                if let Some(place) = status.place {
                    *there.entry(place.segment.0).or_insert(0_usize) += 1;
                }
                let kept = collector.and_then(|it| it.state().meter(name));
                let rows = kept.map(|it| it.series().map(|(_, it)| it.rows()).sum::<u32>());
                let last = kept.and_then(|it| it.series().filter_map(|(_, it)| it.last()).max());
                json!({
                    "sap": sap,
                    "sap_since": core.table().since(sap),
                    "logical_device_name": name.as_str(),
                    "there": status.place.is_some(),
                    "segment": status.place.map(|it| it.segment.0),
                    "heard": status.heard,
                    "hops": status.hops,
                    "quality_permille": status.quality,
                    "behind": behind.get(&sap),
                    "repeated_today": core.repeated_today(name, own),
                    "collected": collector.is_some_and(|it| it.collects(name)),
                    "rows": rows,
                    "newest_row": last,
                })
            })
            .collect();
        let segments: Vec<Value> = core
            .segments()
            .iter()
            .map(|(id, segment)| {
                json!({
                    "segment": id.0,
                    "medium": segment.medium,
                    "open": segment.open,
                    "bit_rate": segment.bit_rate,
                    "there": there.get(&id.0).copied().unwrap_or(0),
                })
            })
            .collect();
        let counters = core.counters();
        let collection = collector.map(|it| {
            let (counts, state) = (it.counts(), it.state());
            json!({
                "rounds": counts.rounds,
                "failed": counts.failed,
                "new_rows": counts.rows,
                "kept_rows": state.rows(),
                "kept_octets": state.octets(),
                "dropped_rows": state.dropped(),
                "untaken_notices": state.notices().iter()
                    .filter(|it| it.number > state.noticed()).count(),
            })
        });
        let notices: Vec<Value> = collector
            .iter()
            .flat_map(|it| it.state().notices().iter().rev().take(NOTICES))
            .map(|it| {
                json!({
                    "number": it.number,
                    "at": it.at,
                    "code": it.kind.code(),
                    "text": it.kind.text(),
                })
            })
            .collect();
        let metering: Vec<Value> = collector
            .iter()
            .flat_map(|it| it.metering())
            .map(|it| {
                let sample = it.sample();
                json!({
                    "feeder": it.feeder().as_str(),
                    "voltage_mv": sample.voltage_mv,
                    "current_ma": sample.current_ma,
                    "energy_wh": sample.energy_wh,
                })
            })
            .collect();
        json!({
            "logical_device_name": self.name.as_str(),
            "version": env!("CARGO_PKG_VERSION"),
            "time": own,
            "wan_connections": peers.as_ref().map(Vec::len),
            "wan": peers.unwrap_or_default().iter().map(|it| json!({
                "peer": it.peer,
                "dialled": it.dialled,
                "since": it.since,
            })).collect::<Vec<_>>(),
            "ways": told.ways.iter().enumerate().map(|(number, it)| json!({
                "name": it.name,
                "place": it.place,
                "dialled": it.dialled,
                "class": it.class.map(model::MessageClass::name),
                "connections": it.connections,
                "state": it.state.name(),
                "current": told.current == Some(number),
                "gained": it.gained,
                "lost": it.lost,
                "heard": it.heard,
            })).collect::<Vec<_>>(),
            "changed_over": told.change.map(|it| json!({
                "from": it.from,
                "to": it.to,
                "at": it.at,
                "took_ms": it.took.map(|took| took.as_millis()),
            })),
            "pair": self.pair.as_ref().map(|pair| {
                let pair = pair.status();
                json!({
                    "peer": pair.peer,
                    "mode": pair.mode,
                    "held_segments": pair.held,
                    "all_segments": pair.segments,
                    "epoch": pair.epoch,
                    "in_contact": pair.in_contact,
                    "in_step": pair.in_step,
                    "takeovers": pair.takeovers,
                    "behind_ms": pair.behind_ms,
                    "taken_s": pair.taken_s,
                    "registrations": pair.registrations,
                    "adopted": pair.adopted,
                })
            }),
            "segments": segments,
            "meters": meters,
            "forwarded": {
                "down": counters.down,
                "up": counters.up,
                "unknown": counters.unknown,
                "full": counters.full,
                "expired": counters.expired,
                "unasked": counters.unasked,
                "nobody": counters.nobody,
                "unfit": counters.unfit,
            },
            "name_conflicts": core.conflicts(),
            "collection": collection,
            "metering": metering,
            "notices": notices,
        })
    }

    /// Makes the page.
    #[must_use]
    pub fn html(&self, unix: i64) -> String {
        let status = self.json(unix);
        let now = at(&status, "/time").as_i64().unwrap_or(unix);
        let meters = array(&status, "meters");
        let there = meters
            .iter()
            .filter(|it| at(it, "/there") == &Value::Bool(true))
            .count();
        let mut out = String::with_capacity(4_096 + meters.len() * 256);
        let name = escape(self.name.as_str());
        let version = env!("CARGO_PKG_VERSION");
        out.push_str(&format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{name}</title>\
             <link rel=\"stylesheet\" href=\"/status.css\"><main><h1>{name}</h1>\
             <p>Concentrator {version}, as of {}. Read only. <a href=\"/\">Read again</a></p>\
             <div class=\"card strip\"><dl>",
            utc(now),
        ));
        let mut figure = |label: &str, value: String| {
            out.push_str(&format!("<div><dt>{label}</dt><dd>{value}</dd></div>"));
        };
        figure("Meters there", format!("{there} of {}", meters.len()));
        figure(
            "Head ends connected",
            number(at(&status, "/wan_connections")),
        );
        figure("Rows kept", number(at(&status, "/collection/kept_rows")));
        figure("Rounds failed", number(at(&status, "/collection/failed")));
        figure("Messages to meters", number(at(&status, "/forwarded/down")));
        figure("Messages from meters", number(at(&status, "/forwarded/up")));
        if let Some(peer) = at(&status, "/pair/peer").as_str() {
            let says = |path: &str| at(&status, path) == &Value::Bool(true);
            let held = array(at(&status, "/pair"), "held_segments").len();
            let all = number(at(&status, "/pair/all_segments"));
            let state = match (says("/pair/in_contact"), says("/pair/in_step")) {
                (true, true) => "there, in step",
                (true, false) => "there, catching up",
                (false, _) => "silent",
            };
            figure("Segments of this one", format!("{held} of {all}"));
            figure("The other", format!("{}: {state}", escape(peer)));
        }
        out.push_str("</dl></div>");
        table(
            &mut out,
            "Segments",
            &["Medium", "Line", "Meters there", "Number"],
            array(&status, "segments").iter().map(|it| {
                let line = match at(it, "/open") {
                    Value::Bool(true) => state("ok", "●", "there"),
                    _ => state("crit", "■", "lost"),
                };
                vec![
                    cell(at(it, "/medium").as_str().unwrap_or_default()),
                    line,
                    cell_n(at(it, "/there")),
                    cell_n(at(it, "/segment")),
                ]
            }),
        );
        let ways = array(&status, "ways");
        table(
            &mut out,
            "Ways to head ends",
            &["Way", "At", "State", "Since"],
            ways.iter().enumerate().map(|(number, it)| {
                let (line, since) = match at(it, "/state").as_str() {
                    Some("up") if at(it, "/current") == &Value::Bool(true) => {
                        (state("ok", "●", "in use"), "/gained")
                    }
                    Some("up") => (state("ok", "●", "heard"), "/gained"),
                    Some("quiet") if is_missed(ways, number) => {
                        (state("warn", "▲", "quiet"), "/lost")
                    }
                    Some("quiet") => (state("miss", "○", "quiet"), "/lost"),
                    Some("down") => (state("crit", "■", "down"), "/lost"),
                    _ => (state("miss", "○", "nobody yet"), "/lost"),
                };
                vec![
                    cell(at(it, "/name").as_str().unwrap_or_default()),
                    cell(at(it, "/place").as_str().unwrap_or_default()),
                    line,
                    cell(&at(it, since).as_i64().map(utc).unwrap_or_default()),
                ]
            }),
        );
        table(
            &mut out,
            "Connections to head ends",
            &["Head end", "Opened by", "Since"],
            array(&status, "wan").iter().map(|it| {
                let by = match at(it, "/dialled") {
                    Value::Bool(true) => "concentrator",
                    _ => "head end",
                };
                vec![
                    cell(at(it, "/peer").as_str().unwrap_or_default()),
                    cell(by),
                    cell(&at(it, "/since").as_i64().map(utc).unwrap_or_default()),
                ]
            }),
        );
        table(
            &mut out,
            "Notices",
            &["When", "What", "Number"],
            array(&status, "notices").iter().map(|it| {
                vec![
                    cell(&at(it, "/at").as_i64().map(utc).unwrap_or_default()),
                    cell(at(it, "/text").as_str().unwrap_or_default()),
                    cell_n(at(it, "/number")),
                ]
            }),
        );
        let phases = array(&status, "metering").iter().flat_map(|it| {
            PHASES.iter().enumerate().map(move |(index, phase)| {
                vec![
                    cell(at(it, "/feeder").as_str().unwrap_or_default()),
                    cell(phase.name()),
                    cell_scaled(at(it, &format!("/voltage_mv/{index}")), "V"),
                    cell_scaled(at(it, &format!("/current_ma/{index}")), "A"),
                    cell_scaled(at(it, &format!("/energy_wh/{index}")), "kWh"),
                ]
            })
        });
        table(
            &mut out,
            "Own metering",
            &["Feeder", "Phase", "Voltage", "Current", "Energy"],
            phases,
        );
        table(
            &mut out,
            "Meters",
            &[
                "Name",
                "State",
                "SAP",
                "Heard",
                "Hops",
                "Quality",
                "Collected",
                "Rows",
                "Newest row",
            ],
            meters.iter().map(|it| {
                let there = if at(it, "/there") == &Value::Bool(true) {
                    state("ok", "●", "there")
                } else {
                    state("miss", "○", "not there")
                };
                let time = |value: &Value| match value.as_i64() {
                    Some(time) => cell(&utc(time)),
                    None => "<td>–</td>".to_owned(),
                };
                vec![
                    cell(at(it, "/logical_device_name").as_str().unwrap_or_default()),
                    there,
                    cell_n(at(it, "/sap")),
                    time(at(it, "/heard")),
                    cell_n(at(it, "/hops")),
                    cell_percent(at(it, "/quality_permille")),
                    cell(if at(it, "/collected") == &Value::Bool(true) {
                        "yes"
                    } else {
                        "no"
                    }),
                    cell_n(at(it, "/rows")),
                    time(at(it, "/newest_row")),
                ]
            }),
        );
        out.push_str("</main></html>");
        out
    }
}

/// Tells whether a quiet way should be in use and is not: it stands before the one that is, and is
/// not for one class alone. The others are quiet between two times at which they are tried.
fn is_missed(ways: &[Value], number: usize) -> bool {
    let current = |it: &Value| at(it, "/current") == &Value::Bool(true);
    let before = ways.iter().position(current).is_some_and(|it| number < it);
    before
        && ways
            .get(number)
            .is_some_and(|it| at(it, "/class").is_null())
}

static NOTHING: Value = Value::Null;

fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    value.pointer(path).unwrap_or(&NOTHING)
}

fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn number(value: &Value) -> String {
    value
        .as_u64()
        .map_or_else(|| "–".to_owned(), |it| it.to_string())
}

fn cell(text: &str) -> String {
    format!("<td>{}</td>", escape(text))
}

fn cell_n(value: &Value) -> String {
    format!("<td class=\"n\">{}</td>", number(value))
}

/// A cell of a state: colour, shape and word.
fn state(class: &str, shape: &str, word: &str) -> String {
    // One box, so that a narrow page does not part the two.
    format!(
        "<td class=\"{class}\"><span><span aria-hidden=\"true\">{shape}</span> {word}</span></td>"
    )
}

/// A cell of permille, in percent.
fn cell_percent(value: &Value) -> String {
    match value.as_u64() {
        Some(value) => format!("<td class=\"n\">{}.{} %</td>", value / 10, value % 10),
        None => "<td class=\"n\">–</td>".to_owned(),
    }
}

/// A cell of thousandths.
fn cell_scaled(value: &Value, unit: &str) -> String {
    match value.as_u64() {
        Some(value) => {
            let (whole, tenth) = (value / 1_000, value % 1_000 / 100);
            format!("<td class=\"n\">{whole}.{tenth} {unit}</td>")
        }
        None => "<td class=\"n\">–</td>".to_owned(),
    }
}

fn table(out: &mut String, title: &str, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    let id = title.to_lowercase().replace(' ', "-");
    out.push_str(&format!(
        "<h2 id=\"{id}\">{title}</h2><div class=\"card\"><table aria-labelledby=\"{id}\"><thead><tr>"
    ));
    let first = rows.peek().cloned().unwrap_or_default();
    for (name, cell) in head.iter().zip(&first) {
        // The head stands over its column: numbers to the right.
        let class = if cell.starts_with("<td class=\"n\"") {
            " class=\"n\""
        } else {
            ""
        };
        out.push_str(&format!("<th scope=\"col\"{class}>{name}</th>"));
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        out.push_str("<tr>");
        // A narrow page shows each row as a card, with the heads beside the values.
        for (name, cell) in head.iter().zip(&row) {
            out.push_str(&cell.replacen("<td", &format!("<td data-l=\"{name}\""), 1));
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

fn utc(unix: i64) -> String {
    let time = dlms::axdr::DateTime::from_unix_seconds(unix, 0, dlms::axdr::ClockStatus(0));
    time.map(|it| it.to_string()).unwrap_or_default()
}

/// Serves the page until the task ends.
pub async fn serve(listener: TcpListener, page: Page, clock: Arc<dyn Clock>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (page, clock) = (page.clone(), Arc::clone(&clock));
                tokio::spawn(async move {
                    let answered = answer(stream, &page, clock.unix_seconds());
                    // Whoever is too slow, or goes away, gets nothing.
                    drop(tokio::time::timeout(PATIENCE, answered).await);
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a browser could not be let in");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(mut stream: TcpStream, page: &Page, unix: i64) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut piece = [0; 1_024];
    while !head.windows(4).any(|it| it == b"\r\n\r\n") {
        let read = stream.read(&mut piece).await?;
        if read == 0 || head.len() + read > HEAD_LEN_MAX {
            return Ok(());
        }
        head.extend_from_slice(piece.get(..read).unwrap_or_default());
    }
    let head = String::from_utf8_lossy(&head);
    let (status, kind, body) = respond(&head, page, unix);
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'self'; frame-ancestors 'none'\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(response.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

const TEXT: &str = "text/plain; charset=utf-8";

fn respond(head: &str, page: &Page, unix: i64) -> (&'static str, &'static str, String) {
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (words.next(), words.next());
    // A name that somebody else points here is not answered to: only whoever
    // asked for this address itself.
    let host = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim())
    });
    let named = host.is_none_or(|host| {
        let literal = host.parse::<std::net::SocketAddr>().is_ok()
            || host
                .trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok();
        let name = host.split(':').next().unwrap_or_default();
        !literal && !name.eq_ignore_ascii_case("localhost")
    });
    match (method, path) {
        _ if named => ("403 Forbidden", TEXT, "ask by address\n".to_owned()),
        (Some("GET"), Some("/")) => ("200 OK", "text/html; charset=utf-8", page.html(unix)),
        (Some("GET"), Some("/status.css")) => {
            ("200 OK", "text/css; charset=utf-8", STYLE.to_owned())
        }
        (Some("GET"), Some("/status.json")) => {
            ("200 OK", "application/json", page.json(unix).to_string())
        }
        (Some("GET"), _) => ("404 Not Found", TEXT, "there is no such page\n".to_owned()),
        _ => (
            "405 Method Not Allowed",
            TEXT,
            "this page can only be read\n".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement. What the page shows of a concentrator is in `tests/it`.
    use super::*;

    #[test]
    fn a_quiet_way_is_missed_only_before_the_one_in_use_and_without_a_class() {
        let way =
            |class: Option<&str>, current: bool| json!({ "class": class, "current": current });
        let missed = |current: Option<usize>| -> Vec<usize> {
            let classes = [None, Some("control"), None, None];
            let ways = classes.iter().enumerate();
            let ways: Vec<_> = ways
                .map(|(number, class)| way(*class, current == Some(number)))
                .collect();
            (0..5).filter(|it| is_missed(&ways, *it)).collect()
        };
        let expected: [(Option<usize>, &[usize]); 4] = [
            (Some(0), &[]),
            (Some(2), &[0]),
            (Some(3), &[0, 2]),
            (None, &[]),
        ];
        for (current, expected) in expected {
            assert_eq!(missed(current).as_slice(), expected, "{current:?}");
        }
    }
}
