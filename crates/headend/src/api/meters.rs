//! Lists of meters, and the find field.

use std::cmp::Ordering;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::{Feeder, MeterId, Phase};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::{ApiError, ErrorBody};
use super::guard::Params;
use crate::calendar::rfc3339;
use crate::concentrators::Concentrators;
use crate::fleet::{FleetMeter, Health, HealthKind, Judge};

/// Which meters, in which order.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct MetersQuery {
    /// Part of name, place or system title, in any case; at most 100 characters.
    q: String,
    #[param(inline)]
    state: StateFilter,
    /// The feeder's name.
    feeder: String,
    #[param(inline)]
    sort: Sort,
    #[param(inline)]
    dir: Direction,
    /// The number of meters to skip.
    offset: usize,
    /// The number of meters to return, 1 to 500.
    limit: usize,
}

impl Default for MetersQuery {
    fn default() -> Self {
        Self {
            q: String::new(),
            state: StateFilter::All,
            feeder: String::new(),
            sort: Sort::State,
            dir: Direction::Asc,
            offset: 0,
            limit: 200,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum StateFilter {
    All,
    Late,
    Alarms,
    Silent,
    New,
    Gap,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Sort {
    State,
    Meter,
    Place,
    Feeder,
    Power,
    LastRead,
    Read,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Direction {
    Asc,
    Desc,
}

/// A window of a list of meters.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MeterList {
    /// Meters that match.
    total: usize,
    offset: usize,
    rows: Vec<MeterRow>,
}

/// One meter in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MeterRow {
    /// The registry id.
    id: String,
    /// The logical device name.
    name: String,
    place: String,
    feeder: String,
    phase: &'static str,
    /// How it is reached.
    via: &'static str,
    /// One of ok, warn, crit, off, miss, new.
    state: &'static str,
    state_text: String,
    /// Total active power; delivered is negative.
    power_w: Option<i64>,
    #[schema(format = DateTime)]
    power_at: Option<String>,
    /// When the meter last answered.
    #[schema(format = DateTime)]
    last_read: Option<String>,
    /// The part of the intervals that is here, on each of the last 30 days, in thousandths.
    days: Vec<Option<u16>>,
    /// The same over all of them.
    read_permille: Option<u16>,
}

/// Lists meters.
#[utoipa::path(get, path = "/api/v1/meters", tag = "fleet", params(MetersQuery),
    responses(
        (status = 200, description = "Meters", body = MeterList),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
    ))]
pub(super) async fn meters(
    State(app): State<Arc<App>>,
    Params(query): Params<MetersQuery>,
) -> Result<Json<MeterList>, ApiError> {
    if query.limit == 0 || query.limit > 500 || query.q.chars().count() > 100 {
        return Err(ApiError::BadRequest(
            "A limit is 1 to 500, and what is looked for has at most 100 characters.".to_owned(),
        ));
    }
    app.blocking(move |app| Ok(Json(list(app, &query)))).await
}

fn list(app: &App, query: &MetersQuery) -> MeterList {
    let judge = app.fleet.judge(app.clock.now());
    let text = query.q.trim().to_lowercase();
    app.fleet.with_meters(|meters| {
        let mut found: Vec<(&FleetMeter, Health)> = meters
            .values()
            .filter(|meter| text.is_empty() || meter.matches(&text))
            .filter(|meter| query.feeder.is_empty() || feeder(meter) == query.feeder)
            .map(|meter| (meter, judge.health(meter)))
            .filter(|(meter, health)| query.state.keeps(&judge, meter, health.kind))
            .collect();
        // Stable, and in the order of the ids before: equal meters keep their places.
        let order = |ordering: Ordering| match query.dir {
            Direction::Asc => ordering,
            Direction::Desc => ordering.reverse(),
        };
        match query.sort {
            Sort::State => {
                found.sort_by_key(|(meter, health)| (health.kind, meter.state.newest));
                if matches!(query.dir, Direction::Desc) {
                    found.reverse();
                }
            }
            Sort::Meter => found.sort_by(|(a, _), (b, _)| {
                order(a.meter.enrolment.name.cmp(&b.meter.enrolment.name))
            }),
            Sort::Place => found.sort_by(|(a, _), (b, _)| {
                order(natural(
                    a.meter.enrolment.place.as_str(),
                    b.meter.enrolment.place.as_str(),
                ))
            }),
            Sort::Feeder => {
                found.sort_by(|(a, _), (b, _)| order(natural(feeder(a), feeder(b))));
            }
            Sort::Power => sort_by(&mut found, query.dir, |meter| {
                meter.state.power.map(|(watts, _)| watts)
            }),
            Sort::LastRead => sort_by(&mut found, query.dir, |meter| meter.state.reached),
            Sort::Read => sort_by(&mut found, query.dir, |meter| read_permille(&judge, meter)),
        }
        let total = found.len();
        let window = found.into_iter().skip(query.offset).take(query.limit);
        MeterList {
            total,
            offset: query.offset,
            rows: window
                .map(|(meter, health)| row(app, &judge, meter, health))
                .collect(),
        }
    })
}

/// Sorts by a value that may be missing; what is missing comes last either way.
fn sort_by<K: Ord>(
    found: &mut [(&FleetMeter, Health)],
    dir: Direction,
    key: impl Fn(&FleetMeter) -> Option<K>,
) {
    found.sort_by(|(a, _), (b, _)| match (key(a), key(b)) {
        (Some(a), Some(b)) => match dir {
            Direction::Asc => a.cmp(&b),
            Direction::Desc => b.cmp(&a),
        },
        (a, b) => b.is_some().cmp(&a.is_some()),
    });
}

/// Compares texts with numbers in them by these numbers: flat 3 comes before flat 12.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.chars().peekable(), b.chars().peekable());
    loop {
        let (left, right) = match (a.peek(), b.peek()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(left), Some(right)) => (*left, *right),
        };
        let order = if left.is_ascii_digit() && right.is_ascii_digit() {
            number(&mut a).cmp(&number(&mut b))
        } else {
            a.next();
            b.next();
            left.to_lowercase().cmp(right.to_lowercase())
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn number(text: &mut std::iter::Peekable<std::str::Chars<'_>>) -> u64 {
    let mut number = 0_u64;
    while let Some(digit) = text.next_if(char::is_ascii_digit) {
        let digit = u64::from(digit.to_digit(10).unwrap_or(0));
        number = number.saturating_mul(10).saturating_add(digit);
    }
    number
}

impl StateFilter {
    fn keeps(self, judge: &Judge, meter: &FleetMeter, kind: HealthKind) -> bool {
        match self {
            Self::All => true,
            Self::Late => kind == HealthKind::Late,
            Self::Alarms => matches!(kind, HealthKind::Alarm | HealthKind::Warning),
            Self::Silent => judge.silent_since(meter).is_some(),
            Self::New => kind == HealthKind::New,
            Self::Gap => kind == HealthKind::Gap,
        }
    }
}

fn feeder(meter: &FleetMeter) -> &str {
    let feeder = meter.meter.enrolment.feeder.as_ref();
    feeder.map_or("", Feeder::as_str)
}

fn read_permille(judge: &Judge, meter: &FleetMeter) -> Option<u16> {
    let mut all = crate::fleet::DayFigure::default();
    for figure in judge.figures(meter) {
        all.received += figure.received.min(figure.expected);
        all.expected += figure.expected;
    }
    all.permille()
}

fn row(app: &App, judge: &Judge, meter: &FleetMeter, health: Health) -> MeterRow {
    let enrolment = &meter.meter.enrolment;
    MeterRow {
        id: meter.meter.id.to_string(),
        name: enrolment.name.to_string(),
        place: enrolment.place.as_str().to_owned(),
        feeder: feeder(meter).to_owned(),
        phase: enrolment.phase.map_or("", Phase::name),
        via: via(&app.concentrators, &enrolment.endpoint),
        state: health.kind.state(),
        state_text: health.text,
        power_w: meter.state.power.map(|(watts, _)| watts),
        power_at: meter.state.power.map(|(_, at)| rfc3339(at)),
        last_read: meter.state.reached.map(rfc3339),
        days: judge
            .figures(meter)
            .map(crate::fleet::DayFigure::permille)
            .collect(),
        read_permille: read_permille(judge, meter),
    }
}

impl App {
    /// One meter as a row, or `None` where it is gone.
    pub(super) fn row(&self, id: MeterId) -> Option<MeterRow> {
        let judge = self.fleet.judge(self.clock.now());
        let (meter, _, _) = self.fleet.meter(id)?;
        let health = judge.health(&meter);
        Some(row(self, &judge, &meter, health))
    }
}

/// Says how a meter is reached: through a concentrator, or by the scheme of its endpoint.
pub(super) fn via(concentrators: &Concentrators, endpoint: &str) -> &'static str {
    if concentrators.at(endpoint).is_some() {
        return "Concentrator";
    }
    match endpoint.split_once("://").map(|(scheme, _)| scheme) {
        Some("tcp") => "Direct TCP",
        Some("tls") => "Direct TLS",
        Some("udp") => "Direct UDP",
        Some("sctp" | "sctps") => "Direct SCTP",
        Some("scion") => "Direct SCION",
        Some("serial") => "Serial line",
        Some("hdlc+tcp") => "HDLC over TCP",
        Some("dial") => "Concentrator that connects",
        _ => "Direct",
    }
}

/// Names what an endpoint is reached over.
pub(super) fn scheme(endpoint: &str) -> &'static str {
    match endpoint.split_once("://").map(|(scheme, _)| scheme) {
        Some("tcp") => "TCP",
        Some("tls") => "TLS",
        Some("udp") => "UDP",
        Some("sctp") => "SCTP",
        Some("sctps") => "SCTP with TLS",
        Some("hdlc+tcp") => "HDLC over TCP",
        Some("serial") => "Serial line",
        _ => "",
    }
}

/// What to look for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FindQuery {
    /// Part of name, place or system title, in any case; at most 100 characters.
    q: String,
}

/// What was found, at most eight hits.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Found {
    groups: Vec<FoundGroup>,
}

/// Hits of one kind.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FoundGroup {
    name: &'static str,
    hits: Vec<Hit>,
}

/// One hit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Hit {
    title: String,
    detail: String,
    href: String,
}

const HITS_MAX: usize = 8;

/// Finds concentrators by name, and meters by name or place.
#[utoipa::path(get, path = "/api/v1/find", tag = "fleet", params(FindQuery),
    responses(
        (status = 200, description = "Hits", body = Found),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
    ))]
pub(super) async fn find(
    State(app): State<Arc<App>>,
    Params(query): Params<FindQuery>,
) -> Result<Json<Found>, ApiError> {
    if query.q.chars().count() > 100 {
        let message = "What is looked for has at most 100 characters.";
        return Err(ApiError::BadRequest(message.to_owned()));
    }
    let text = query.q.trim().to_lowercase();
    if text.is_empty() {
        return Ok(Json(Found { groups: Vec::new() }));
    }
    app.blocking(move |app| {
        let (mut names, mut places) = (Vec::new(), Vec::new());
        app.fleet.with_meters(|meters| {
            for meter in meters.values().filter(|meter| meter.matches(&text)) {
                let enrolment = &meter.meter.enrolment;
                let (name, place) = (enrolment.name.to_string(), enrolment.place.as_str());
                let href = format!("/meters/{}", meter.meter.id);
                if place.to_lowercase().contains(&text) {
                    places.push(Hit {
                        title: place.to_owned(),
                        detail: name,
                        href,
                    });
                } else {
                    names.push(Hit {
                        title: name,
                        detail: place.to_owned(),
                        href,
                    });
                }
                if names.len() >= HITS_MAX {
                    break;
                }
            }
        });
        names.truncate(HITS_MAX);
        let concentrators: Vec<Hit> = app
            .concentrators
            .iter()
            .map(|one| &one.target)
            .filter(|target| {
                let name = target.enrolment.name.as_str();
                name.to_lowercase().contains(&text)
            })
            .take(2)
            .map(|target| Hit {
                title: target.enrolment.name.to_string(),
                detail: target.enrolment.endpoint.clone(),
                href: format!("/concentrators/{}", target.id),
            })
            .collect();
        names.truncate(HITS_MAX - concentrators.len());
        places.sort_by(|a, b| natural(&a.title, &b.title));
        places.truncate(HITS_MAX - names.len() - concentrators.len());
        let mut outlets = Vec::new();
        if let Some(served) = &app.outlets {
            for (id, (entry, _)) in served.meters() {
                let (title, place) = (format!("Outlet meter {id}"), entry.place.as_str());
                if title.to_lowercase().contains(&text) || place.to_lowercase().contains(&text) {
                    let left = HITS_MAX - names.len() - places.len() - concentrators.len();
                    if outlets.len() >= left {
                        break;
                    }
                    outlets.push(Hit {
                        title,
                        detail: place.to_owned(),
                        href: format!("/outlet-meters/{}", id.0),
                    });
                }
            }
        }
        let groups = [
            ("Concentrators", concentrators),
            ("Meters", names),
            ("Places", places),
            ("Outlet meters", outlets),
        ];
        let groups = groups.into_iter().filter(|(_, hits)| !hits.is_empty());
        Ok(Json(Found {
            groups: groups
                .map(|(name, hits)| FoundGroup { name, hits })
                .collect(),
        }))
    })
    .await
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;

    #[test]
    fn numbers_in_places_count_as_numbers() {
        let mut places = ["Lindenweg 14", "lindenweg 9", "Am Bach 2", "Lindenweg 14a"];
        places.sort_by(|a, b| natural(a, b));
        assert_eq!(
            places,
            ["Am Bach 2", "lindenweg 9", "Lindenweg 14", "Lindenweg 14a"]
        );
        let long = "9".repeat(40);
        assert_eq!(natural(&long, &long), Ordering::Equal);
    }
}
