//! The two concentrators of the demo and the meters behind them: their keys, their
//! configuration, and which SAP each meter got.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use dlms::axdr::{ClockStatus, Data, DateTime};
use dlms::cosem::AttributeDescriptor;
use link::{
    Association, Client, Clock as _, Endpoint, KeyFile, Surroundings, SystemClock, SystemEntropy,
};
use meter::metrology::Source as _;
use meter::population::Population;
use model::Timestamp;
use serde_json::{Value, json};

use super::{Places, Program, Role, path};
use crate::failure::Failure;
use crate::keys;

/// Numbers of meters behind concentrators begin here: no meter that is reached directly has one.
const FIRST: u32 = 10_001;
/// Numbers of the concentrators themselves.
const OWN: u32 = 900_000;
/// The client under which a concentrator reads on its own.
const COLLECTOR: u16 = 3;
/// Days of history that meters behind concentrators have: a power line is slow.
const HISTORY_DAYS: &str = "3";
/// What the meters behind concentrators are: single-phase, so that each phase of a feeder has its
/// own balance.
pub(super) const MODEL: &str = "idis-like";
/// Percent of what is supplied that the lines of a feeder lose: what distribution loses without
/// theft is 2 to 5 % where it is little (3rd CEER report on power losses).
const LOSS_PERCENT: u32 = 4;
/// Hours before the first start that the feeders' own meters know.
const FEEDER_HISTORY_H: u32 = 6;
/// Seconds before the first start at which a meter was bypassed.
const BYPASSED_S: i64 = 3 * 3_600;
/// Feeders whose meters are read by the concentrator over the power line as well.
const READ_OVER_LINE: [&str; 2] = ["F1", "F2"];
/// How many times faster than real the power line goes.
pub(super) const SPEED: u32 = 200;
/// How long the meters are waited for that have not registered yet.
const REGISTERED: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);
const ANSWER: Duration = Duration::from_secs(10);

/// A concentrator of the demo.
pub(super) struct Concentrator {
    pub(super) role: Role,
    pub(super) name: String,
    pub(super) medium: &'static str,
    pub(super) endpoint: String,
    /// Where it takes what is urgent.
    urgent: String,
    pub(super) status: String,
    /// What is enrolled of its meters.
    pub(super) meters: Vec<Value>,
}

impl Concentrator {
    pub(super) fn json(&self) -> Value {
        json!({
            "endpoint": self.endpoint,
            "logical_device_name": self.name,
            "medium": self.medium,
            "status": self.status,
            "meters": self.meters.len(),
        })
    }

    /// The section of the head end's configuration.
    pub(super) fn section(&self, places: &Places, number: usize) -> String {
        format!(
            "\n[[headend.concentrator]]\nendpoint = \"{}\"\nurgent = \"{}\"\nname = \"{}\"\nkeys = {}\n\
             every_s = 10\nstatus_s = 10\ncollect_s = 60\n",
            self.endpoint,
            self.urgent,
            self.name,
            text(&own_keys(places, number)),
        )
    }
}

pub(super) fn text(path: &Path) -> toml::Value {
    toml::Value::from(path.display().to_string())
}

fn own_keys(places: &Places, number: usize) -> std::path::PathBuf {
    places
        .folder
        .join(format!("concentrator-{number}-own.toml"))
}

/// Makes the keys that are missing: those of `direct` meters and of `behind` others, which a
/// concentrator may read.
pub(super) fn make_keys(places: &Places, direct: u32, behind: u32) -> Result<(), Failure> {
    let no_entropy = |error| Failure::new(format!("the system gives no random octets: {error}"));
    let load = |path: &Path| {
        if path.exists() {
            KeyFile::load(path).map_err(|error| keys::failure(&error))
        } else {
            Ok(KeyFile::default())
        }
    };
    let save = |file: &KeyFile, path: &Path| file.save(path).map_err(|error| keys::failure(&error));
    let missing = |file: &KeyFile, wanted: u32| {
        let have = u32::try_from(file.meters.len()).unwrap_or(u32::MAX);
        (have, wanted.saturating_sub(have))
    };
    let mut others = load(&places.behind_keys)?;
    let mut all = load(&places.keys)?;
    all.meters
        .retain(|meter| others.find(meter.logical_device_name.as_str()).is_none());
    let (have, more) = missing(&others, behind);
    if more > 0 {
        let mut new = KeyFile::generate(FIRST.saturating_add(have), more, &SystemEntropy)
            .map_err(no_entropy)?;
        new.add_client(COLLECTOR, &SystemEntropy)
            .map_err(no_entropy)?;
        others.meters.append(&mut new.meters);
        save(&others, &places.behind_keys)?;
    }
    let (have, more) = missing(&all, direct);
    if more > 0 {
        let mut new =
            KeyFile::generate(have.saturating_add(1), more, &SystemEntropy).map_err(no_entropy)?;
        all.meters.append(&mut new.meters);
    }
    all.meters.append(&mut others.meters);
    save(&all, &places.keys)
}

/// Starts the meters behind both concentrators, and these; waits until the meters have SAPs.
pub(super) async fn start(
    places: &Places,
    program: &Program,
    each: u32,
    maker_key: &str,
) -> Result<(Role, Vec<Concentrator>), Failure> {
    let count = each.saturating_mul(2).to_string();
    let bypass = bypassed(places, each)?;
    let mut meters = Role::start(
        "the meters behind concentrators",
        program,
        &[
            "meter",
            "--listen",
            "tcp://127.0.0.1:0",
            "--count",
            &count,
            "--model",
            MODEL,
            "--history",
            HISTORY_DAYS,
            "--bypass",
            &bypass,
            "--keys",
            path(&places.behind_keys)?,
            "--maker-key",
            maker_key,
            "--data",
            path(&places.behind)?,
        ],
    )?;
    let mut lines = Vec::new();
    for _ in 0..each.saturating_mul(2) {
        lines.push(meters.line().await?);
    }
    let all = KeyFile::load(&places.behind_keys).map_err(|error| keys::failure(&error))?;
    let of_collector = all.of_client(COLLECTOR);
    let mut concentrators = Vec::new();
    let each = usize::try_from(each).unwrap_or(usize::MAX);
    for (number, (medium, lines)) in (1..).zip(["s-fsk", "ip"].into_iter().zip(lines.chunks(each)))
    {
        let own = own_keys(places, number);
        let name = format!("GWD1DC{number:010}");
        if !own.exists() {
            let no_entropy =
                |error| Failure::new(format!("the system gives no random octets: {error}"));
            let first = OWN.saturating_add(u32::try_from(number).unwrap_or(0));
            let mut keys = KeyFile::generate(first, 1, &SystemEntropy).map_err(no_entropy)?;
            for meter in &mut keys.meters {
                if let Ok(name) = name.parse() {
                    meter.logical_device_name = name;
                }
            }
            keys.save(&own).map_err(|error| keys::failure(&error))?;
        }
        let mut collector = of_collector.clone();
        let names: Vec<&str> = lines.iter().filter_map(|line| said(line, NAME)).collect();
        collector
            .meters
            .retain(|meter| names.contains(&meter.logical_device_name.as_str()));
        let collector_keys = places
            .folder
            .join(format!("concentrator-{number}-collector.toml"));
        collector
            .save(&collector_keys)
            .map_err(|error| keys::failure(&error))?;
        let config = places.folder.join(format!("concentrator-{number}.toml"));
        let settings = Settings {
            name: &name,
            number,
            medium,
            lines,
            data: &places.folder.join(format!("concentrator-{number}")),
            own: &own,
            collector: &collector_keys,
        };
        Places::put(&config, &settings.text())?;
        let arguments = ["concentrator", "--config", path(&config)?];
        let mut role = Role::start("a concentrator", program, &arguments)?;
        let line = role.line().await?;
        let no_address = || Failure::new("a concentrator tells no address");
        let at = |pointer: &str| {
            line.pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        concentrators.push(Concentrator {
            role,
            name,
            medium,
            endpoint: at("/endpoints/0").ok_or_else(no_address)?,
            urgent: at("/endpoints/1").ok_or_else(no_address)?,
            status: at("/status").unwrap_or_default(),
            meters: lines.to_vec(),
        });
    }
    for concentrator in &mut concentrators {
        let saps = registered(&concentrator.endpoint, concentrator.meters.len()).await?;
        for meter in &mut concentrator.meters {
            let sap = said(meter, NAME).and_then(|name| saps.get(name)).copied();
            if let Some(meter) = meter.as_object_mut() {
                meter.insert("endpoint".to_owned(), json!(concentrator.endpoint));
                // Who is late is found by name once it is there.
                meter.insert("server".to_owned(), json!(sap.unwrap_or(NOBODY)));
            }
        }
    }
    Ok((meters, concentrators))
}

const NAME: &str = "logical_device_name";

/// A SAP that no concentrator gives to a meter of so few.
const NOBODY: u16 = 0x3FFE;

fn said<'a>(line: &'a Value, name: &str) -> Option<&'a str> {
    line.get(name)?.as_str()
}

/// What a concentrator's configuration is made of.
struct Settings<'a> {
    name: &'a str,
    number: usize,
    medium: &'static str,
    lines: &'a [Value],
    data: &'a Path,
    own: &'a Path,
    collector: &'a Path,
}

impl Settings<'_> {
    fn text(&self) -> String {
        let endpoint = self.lines.first().and_then(|line| said(line, "endpoint"));
        let servers: Vec<u64> = self
            .lines
            .iter()
            .filter_map(|line| line.get("server")?.as_u64())
            .collect();
        let (first, last) = (servers.iter().min(), servers.iter().max());
        // Over a power line the meters of some feeders are read by the concentrator as well, else
        // each.
        let over_line = self.medium == "s-fsk";
        let line = if over_line {
            format!("speed = {SPEED}\ncredit = 2\n")
        } else {
            String::new()
        };
        let is_read = |line: &&Value| {
            let feeder = said(line, "feeder").unwrap_or_default();
            !over_line || READ_OVER_LINE.contains(&feeder)
        };
        let read = || self.lines.iter().filter(is_read);
        let names: Vec<&str> = read().filter_map(|line| said(line, NAME)).collect();
        let sites: String = read().filter_map(site).collect();
        let feeders: BTreeSet<&str> = read().filter_map(|line| said(line, "feeder")).collect();
        let metering: String = feeders
            .into_iter()
            .map(|feeder| metering(feeder, self.lines))
            .collect();
        format!(
            "[concentrator]\nname = \"{}\"\nplace = \"Substation {}\"\ndata = {}\nkeys = {}\n\
             [concentrator.collect]\nkeys = {}\nmeters = {}\nevery_s = 300\n\
             {metering}{sites}\
             [[concentrator.wan]]\nname = \"Loopback\"\nlisten = \"tcp://127.0.0.1:0\"\n\
             [[concentrator.wan]]\nname = \"Orders\"\nlisten = \"tcp://127.0.0.1:0\"\n\
             class = \"control\"\n\
             [[concentrator.segment]]\nmedium = \"{}\"\n{line}\
             [[concentrator.segment.meter]]\nendpoint = \"{}\"\nservers = \"{}-{}\"\n",
            self.name,
            self.number,
            text(self.data),
            text(self.own),
            text(self.collector),
            json!(names),
            self.medium,
            endpoint.unwrap_or_default(),
            first.copied().unwrap_or(1),
            last.copied().unwrap_or(1),
        )
    }
}

/// A feeder that the concentrator meters, with the houses that hang on it.
fn metering(feeder: &str, lines: &[Value]) -> String {
    let of = |line: &&Value| said(line, "feeder") == Some(feeder);
    let houses: Vec<String> = lines
        .iter()
        .filter(of)
        .filter_map(|line| {
            let (title, phase) = (said(line, "system_title")?, said(line, "phase")?);
            Some(format!("{{ title = \"{title}\", phase = \"{phase}\" }}"))
        })
        .collect();
    format!(
        "[[concentrator.metering]]\nfeeder = \"{feeder}\"\nsource = \"street\"\n\
         loss_percent = {LOSS_PERCENT}\nhistory_h = {FEEDER_HISTORY_H}\nhouse = [{}]\n",
        houses.join(", ")
    )
}

/// Which of the meters was bypassed and when, as `--bypass` of `gridward meter` takes it: of those
/// over IP the one whose house draws most. Said once, since what a meter counted stays counted.
fn bypassed(places: &Places, each: u32) -> Result<String, Failure> {
    let file = places.folder.join("bypass.txt");
    if file.exists() {
        return std::fs::read_to_string(&file)
            .map(|text| text.trim().to_owned())
            .map_err(|error| Failure::new(format!("{}: {error}", file.display())));
    }
    let keys = KeyFile::load(&places.behind_keys).map_err(|error| keys::failure(&error))?;
    let now = SystemClock::new().unix_seconds();
    let at = now.div_euclid(900) * 900 - BYPASSED_S;
    let drawn = |title: [u8; 8]| {
        let house = Population::default().household(title, false);
        let until = |secs| house.energy(Timestamp::from_secs(secs)).import_mws();
        until(now).saturating_sub(until(at))
    };
    let over_ip = (1_u32..)
        .zip(&keys.meters)
        .skip(usize::try_from(each).unwrap_or(usize::MAX));
    let most = over_ip.max_by_key(|(_, meter)| drawn(meter.system_title.0));
    let number = most.map_or(1, |(number, _)| number);
    let time = DateTime::from_unix_seconds(at, 0, ClockStatus(0))
        .ok_or_else(|| Failure::new("the clock has no time"))?;
    let text = format!("{number}@{time}");
    Places::put(&file, &format!("{text}\n"))?;
    Ok(text)
}

/// Where a meter hangs, so that it counts in the sum of its feeder.
fn site(line: &Value) -> Option<String> {
    let (meter, feeder, phase) = (
        said(line, NAME)?,
        said(line, "feeder")?,
        said(line, "phase")?,
    );
    Some(format!(
        "[[concentrator.site]]\nmeter = \"{meter}\"\nfeeder = \"{feeder}\"\nphase = \"{phase}\"\n"
    ))
}

/// Reads a concentrator's list until so many meters have SAPs, or some did not come in time.
async fn registered(endpoint: &str, count: usize) -> Result<BTreeMap<String, u16>, Failure> {
    let endpoint: Endpoint = endpoint
        .parse()
        .map_err(|error| Failure::new(format!("{endpoint}: {error}")))?;
    let mut saps = BTreeMap::new();
    let waiting = async {
        loop {
            if let Some(list) = list(&endpoint).await {
                saps = list;
            }
            // It is in its list itself.
            if saps.len() > count {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    // Those that come later are found by name.
    drop(tokio::time::timeout(REGISTERED, waiting).await);
    Ok(saps)
}

async fn list(endpoint: &Endpoint) -> Option<BTreeMap<String, u16>> {
    let (association, around) = (Association::public(1), Surroundings::system());
    let client = Client::connect(endpoint, association, &around, ANSWER).await;
    let mut client = client.ok()?;
    let object = concentrator::device::SAP_ASSIGNMENT;
    let value = client.read(AttributeDescriptor::new(17, object, 2)).await;
    client.release().await;
    let value = value.ok()?;
    let entry = |entry: &Data| {
        let [sap, name] = entry.as_structure()? else {
            return None;
        };
        let name = String::from_utf8(name.as_octets()?.to_vec()).ok()?;
        Some((name, sap.as_u16()?))
    };
    Some(value.as_array()?.iter().filter_map(entry).collect())
}
