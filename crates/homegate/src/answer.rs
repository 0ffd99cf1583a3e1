//! What is served of the cache: Green Button resources and their queries
//! (NAESB ESPI 1.1; OpenSEG specification).
//!
//! Without interval parameters the current value is served, with them history.
//! This part knows the cache's snapshot and nothing of the meter.

use han::espi::{
    self, DateTimeInterval, Entry, Feed, IntervalBlock, IntervalReading, Publication,
    ReadingQuality, ReadingType, Resource, Series, TimeConfiguration, UsageSummary, codes,
};
use model::Timestamp;

use crate::cache::{Snapshot, Tagged};

/// Where all resources are.
pub const ROOT: &str = "/espi/1_1/resource";

/// Octets that path and query may have.
const TARGET_LENGTH_MAX: usize = 2_048;

/// Parameters that a query may have.
const PARAMETERS_MAX: usize = 16;

/// What stays the same while the gateway runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the gateway is: `https://HOST`, without a slash at its end.
    pub origin: String,
    /// The name of the place, for people.
    pub title: String,
    /// The time of the place.
    pub local_time: TimeConfiguration,
    /// When the gateway was set up.
    pub published: Timestamp,
    /// How old a value may be that is served as current, in milliseconds.
    pub current_age_max_ms: i64,
    /// Seconds between polls, told as the length of readings.
    pub interval_s: u32,
}

/// What a request is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A feed.
    Feed(Feed),
    /// One entry.
    Entry(Box<Entry>),
    /// The service runs, or is out of reach of the meter.
    ServiceStatus {
        /// Whether the way to the meter is open.
        online: bool,
    },
    /// There is no such resource, or no data of that time.
    NotFound,
    /// A parameter is malformed.
    Malformed {
        /// Which.
        parameter: &'static str,
    },
}

impl Answer {
    /// Writes the document; nothing where there is none.
    #[must_use]
    pub fn document(&self) -> Option<String> {
        match self {
            Self::Feed(feed) => Some(espi::write(feed)),
            Self::Entry(entry) => Some(espi::write_entry(entry)),
            Self::ServiceStatus { online } => Some(format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                 <espi:ServiceStatus xmlns:espi=\"http://naesb.org/espi\">\
                 <espi:currentStatus>{}</espi:currentStatus></espi:ServiceStatus>\n",
                u8::from(*online)
            )),
            Self::NotFound | Self::Malformed { .. } => None,
        }
    }
}

/// A query, taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Query {
    /// Whether an interval is asked for.
    interval: bool,
    published_min: Option<Timestamp>,
    published_max: Option<Timestamp>,
    updated_min: Option<Timestamp>,
    updated_max: Option<Timestamp>,
    start_index: Option<u64>,
    max_results: Option<u64>,
}

/// What was used in the past.
pub trait Past {
    /// Tells the length of intervals in seconds, and those that begin from
    /// `from` on and end by `to`, in ascending order; without bounds all that
    /// are kept.
    fn energy(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> (u32, Vec<Energy>);

    /// Tells what was used this month and the one before, today and yesterday;
    /// nothing where nothing of this month is known.
    fn summary(&self) -> Option<UsageSummary>;
}

/// Energy of one interval; what is missing has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Energy {
    /// When it begins.
    pub start: Timestamp,
    /// Energy from the grid.
    pub delivered_wh: Option<i64>,
    /// Energy to the grid.
    pub received_wh: Option<i64>,
}

/// Tells whether a query asks for history, which takes longer to answer.
#[must_use]
pub fn asks_for_history(query: &str) -> bool {
    query.split('&').any(|pair| pair.starts_with("published-m"))
}

/// Tells whether what is at `path` has a summary in it or points to one, which
/// takes a look at history too.
#[must_use]
pub fn shows_summary(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    path.contains("/UsageSummary")
        || path.contains("/Batch/")
        || path.ends_with("/UsagePoint")
        || path.ends_with("/UsagePoint/1")
}

/// Answers a request for `path` with `query`, the part behind the question
/// mark. Without `past` no history is kept, or it may not be shown.
#[must_use]
pub fn answer(
    path: &str,
    query: &str,
    snapshot: &Snapshot,
    past: Option<&dyn Past>,
    config: &Config,
    now: Timestamp,
) -> Answer {
    if path.len() + query.len() > TARGET_LENGTH_MAX {
        return Answer::Malformed { parameter: "path" };
    }
    let query = match parse(query) {
        Ok(query) => query,
        Err(parameter) => return Answer::Malformed { parameter },
    };
    let Some(resource) = path
        .strip_prefix(ROOT)
        .map(|rest| rest.trim_end_matches('/'))
    else {
        return Answer::NotFound;
    };
    if resource == "/ReadServiceStatus" {
        return Answer::ServiceStatus {
            online: snapshot.connected,
        };
    }
    let published = if query.interval {
        // Where no history is kept: the specification's answer to a request
        // for it.
        let Some(past) = past else {
            return Answer::NotFound;
        };
        let (length_s, energies) = past.energy(query.published_min, query.published_max);
        match history(&energies, length_s, config) {
            Some(published) => published,
            None => return Answer::NotFound,
        }
    } else {
        Publication {
            summary: past.and_then(Past::summary),
            ..publication(snapshot, config, now)
        }
    };
    let mut feed = published.feed();
    let base = format!("{}{ROOT}", config.origin);
    let here = format!("{base}{}", canonical(resource));
    let whole = matches!(
        resource,
        "/Batch/Subscription/1"
            | "/Batch/Subscription/1/UsagePoint"
            | "/Batch/Subscription/1/UsagePoint/1"
            | "/Batch/RetailCustomer/1/UsagePoint"
            | "/Batch/RetailCustomer/1/UsagePoint/1"
    );
    if !whole {
        if let Some(entry) = feed
            .entries
            .iter()
            .find(|entry| entry.link("self") == Some(&here))
        {
            return Answer::Entry(Box::new(entry.clone()));
        }
        if resource == "/IntervalBlock" {
            let is_block = |resource: &Resource| matches!(resource, Resource::IntervalBlock(_));
            feed.entries
                .retain(|entry| entry.content.iter().any(is_block));
        } else {
            feed.entries.retain(|entry| entry.link("up") == Some(&here));
        }
        if feed.entries.is_empty() {
            return Answer::NotFound;
        }
        if let Some(link) = feed.links.first_mut() {
            link.href = here;
        }
    }
    feed.entries.retain(|entry| {
        let updated = entry.updated.unwrap_or_default();
        query.updated_min.is_none_or(|least| updated >= least)
            && query.updated_max.is_none_or(|most| updated <= most)
    });
    let skipped = query.start_index.unwrap_or(1).saturating_sub(1);
    let kept = query.max_results.unwrap_or(u64::MAX);
    feed.entries = feed
        .entries
        .into_iter()
        .skip(usize::try_from(skipped).unwrap_or(usize::MAX))
        .take(usize::try_from(kept).unwrap_or(usize::MAX))
        .collect();
    Answer::Feed(feed)
}

/// Resources may be asked for by themselves; they stand in the one
/// subscription.
fn canonical(resource: &str) -> String {
    const POINT: &str = "/Subscription/1/UsagePoint";
    for alone in ["/MeterReading", "/UsageSummary"] {
        if resource == alone || resource.starts_with(&format!("{alone}/")) {
            return format!("{POINT}/1{resource}");
        }
    }
    match resource.strip_prefix("/UsagePoint") {
        Some(rest) => format!("{POINT}{rest}"),
        None => resource.to_owned(),
    }
}

/// Takes a query apart.
///
/// Errs with the parameter that is malformed; parameters that are not known
/// are passed over.
fn parse(query: &str) -> Result<Query, &'static str> {
    let mut parsed = Query::default();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    for (index, pair) in pairs.enumerate() {
        if index >= PARAMETERS_MAX {
            return Err("query");
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(value).ok_or("query")?;
        let time = |parameter| strict_time(&value).map(Some).ok_or(parameter);
        let number = |parameter, least: u64| {
            value
                .parse::<u64>()
                .ok()
                .filter(|number| *number >= least && !value.starts_with('+'))
                .map(Some)
                .ok_or(parameter)
        };
        match name {
            "published-min" => {
                parsed.published_min = time("published-min")?;
                parsed.interval = true;
            }
            "published-max" => {
                parsed.published_max = time("published-max")?;
                parsed.interval = true;
            }
            "updated-min" => parsed.updated_min = time("updated-min")?,
            "updated-max" => parsed.updated_max = time("updated-max")?,
            "start-index" => parsed.start_index = number("start-index", 1)?,
            "max-results" => parsed.max_results = number("max-results", 0)?,
            "depth" => {
                number("depth", 0)?;
            }
            _ => {}
        }
    }
    if let (Some(least), Some(most)) = (parsed.published_min, parsed.published_max)
        && least > most
    {
        return Err("published-max");
    }
    Ok(parsed)
}

/// RFC 3339 with date, time and zone.
fn strict_time(text: &str) -> Option<Timestamp> {
    let (_, clock) = text.split_once('T')?;
    let zoned = clock.ends_with('Z') || clock.contains(['+', '-']);
    zoned.then(|| espi::parse_time(text)).flatten()
}

/// Undoes percent-encoding. A plus stays one: it stands before offsets.
fn decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((octet, behind)) = rest.split_first() {
        rest = behind;
        if *octet != b'%' {
            octets.push(*octet);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        octets.push(u8::from_str_radix(digits, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(octets).ok()
}

/// What the cache holds, as series of one reading each. What it does not hold,
/// or holds too long, is not there.
fn publication(snapshot: &Snapshot, config: &Config, now: Timestamp) -> Publication {
    let interval_s = config.interval_s;
    let fresh = |tagged: Option<Tagged>| {
        tagged.filter(|tagged| now.millis_since(tagged.received) <= config.current_age_max_ms)
    };
    let series = |id, title: &str, reading_type, tagged: Option<Tagged>| Series {
        id,
        title: title.to_owned(),
        reading_type,
        blocks: fresh(tagged)
            .and_then(|tagged| IntervalBlock::of(vec![reading(tagged, interval_s)]))
            .into_iter()
            .collect(),
    };
    let updated = [snapshot.net_power, snapshot.delivered, snapshot.received]
        .into_iter()
        .filter_map(fresh)
        .map(|tagged| tagged.at)
        .max()
        .unwrap_or(config.published);
    Publication {
        base: format!("{}{ROOT}", config.origin),
        subscription: 1,
        usage_point: 1,
        title: config.title.clone(),
        published: config.published,
        updated,
        local_time: config.local_time.clone(),
        service: codes::SERVICE_ELECTRICITY,
        series: vec![
            series(
                1,
                "Power now",
                // The sign tells the direction. Of the codes, readers in use
                // (greenbutton-objects) know forward and reverse, and refuse a
                // whole feed that has the one for net.
                ReadingType {
                    flow_direction: None,
                    ..ReadingType::net_power(interval_s)
                },
                snapshot.net_power,
            ),
            series(
                2,
                "Register of energy used",
                ReadingType::register(codes::FLOW_FORWARD, interval_s),
                snapshot.delivered,
            ),
            series(
                3,
                "Register of energy delivered",
                ReadingType::register(codes::FLOW_REVERSE, interval_s),
                snapshot.received,
            ),
        ],
        summary: None,
    }
}

/// Energy of past intervals as series of deltas, a block for each day; nothing
/// where all of it is missing.
fn history(energies: &[Energy], length_s: u32, config: &Config) -> Option<Publication> {
    let series = |id, title: &str, flow, value: fn(&Energy) -> Option<i64>| {
        let mut days: Vec<(i64, Vec<IntervalReading>)> = Vec::new();
        for energy in energies {
            let Some(value) = value(energy) else {
                continue;
            };
            let start = energy.start.secs();
            let day = start
                .saturating_add(config.local_time.tz_offset)
                .div_euclid(DAY_S);
            let reading = IntervalReading {
                time_period: Some(DateTimeInterval {
                    duration: length_s,
                    start,
                }),
                value: Some(value),
                ..IntervalReading::default()
            };
            match days.last_mut().filter(|(last, _)| *last == day) {
                Some((_, readings)) => readings.push(reading),
                None => days.push((day, vec![reading])),
            }
        }
        let blocks = days.into_iter();
        Series {
            id,
            title: title.to_owned(),
            reading_type: ReadingType::energy(flow, length_s),
            blocks: blocks
                .filter_map(|(_, readings)| IntervalBlock::of(readings))
                .collect(),
        }
    };
    let used = series(4, "Energy used", codes::FLOW_FORWARD, |energy| {
        energy.delivered_wh
    });
    let given = series(5, "Energy delivered", codes::FLOW_REVERSE, |energy| {
        energy.received_wh
    });
    let end = energies
        .iter()
        .rev()
        .find(|energy| energy.delivered_wh.is_some() || energy.received_wh.is_some())?
        .start
        .plus_secs(i64::from(length_s));
    Some(Publication {
        series: vec![used, given],
        updated: end,
        ..publication(&Snapshot::default(), config, end)
    })
}

/// Seconds of a day without a turn of daylight saving.
const DAY_S: i64 = 86_400;

/// A reading in whole watts or watt hours.
fn reading(tagged: Tagged, interval_s: u32) -> IntervalReading {
    let rounded = tagged
        .thousandths
        .saturating_add(if tagged.thousandths < 0 { -500 } else { 500 })
        / 1_000;
    IntervalReading {
        qualities: vec![ReadingQuality {
            quality: codes::QUALITY_RAW,
        }],
        time_period: Some(DateTimeInterval {
            duration: interval_s,
            start: tagged.at.secs(),
        }),
        value: Some(rounded),
        ..IntervalReading::default()
    }
}
