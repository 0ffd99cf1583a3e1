//! Outlet meters: what they deliver, and what they are told.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{FromRequest, Path, Request, State};
use model::xml::{
    CivilDate, CivilDateTime, OutletId, OutletPower, Section, Sections, SmartMeterId, Switch,
    ToSmartMeter, XmlMessage,
};
use model::{BreakerAction, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::{ApiError, ErrorBody};
use super::guard::Params;
use crate::calendar::{parse_rfc3339, rfc3339};
use crate::outlets::{Figures, OrderError, OutletMeterEntry, Outlets, Record, Standing};
use crate::store::{Outcome, RecordKind};

/// Days that lists show.
const DAYS: u64 = 30;
/// Characters of a reason.
const REASON_LEN: std::ops::RangeInclusive<usize> = 10..=200;
/// Seconds that a look at what an order would mean is good for.
const PREVIEW_S: i64 = 300;
/// A meter without a connection for so many seconds counts as silent.
const SILENT_S: i64 = 1_200;
/// One that is connected tells something every ten minutes: after so many seconds it is quiet.
const QUIET_S: i64 = 1_500;
/// Seconds that a warning stands at its meter.
const WARNED_S: i64 = 3_600;
const ROWS_MAX: u32 = 500;
/// Octets of an order.
const BODY_LEN_MAX: usize = 64 * 1_024;

/// All outlet meters.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutletMeterList {
    /// Whether outlet meters are served at all.
    served: bool,
    /// Minutes that their civil time is ahead of UTC.
    utc_offset_min: i16,
    rows: Vec<OutletMeterRow>,
}

/// One outlet meter in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutletMeterRow {
    /// Its number (`sid`).
    id: u32,
    place: String,
    outlets: usize,
    /// One of ok, warn, off, miss, new.
    state: &'static str,
    state_text: String,
    connected: bool,
    /// When a message of it was last taken, since the head end started.
    #[schema(format = DateTime)]
    last_heard: Option<String>,
    /// What its outlets drew together in the newest section.
    power_w: Option<u64>,
    /// When that section ended.
    #[schema(format = DateTime)]
    power_at: Option<String>,
    /// Sections that are due and not here.
    missing: u32,
    /// The part of the sections that is here, on each of the last 30 days, in thousandths.
    days: Vec<Option<u16>>,
    read_permille: Option<u16>,
}

/// One outlet meter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutletMeter {
    id: u32,
    place: String,
    /// One of ok, warn, off, miss, new.
    state: &'static str,
    state_text: String,
    connected: bool,
    /// Since when it is, or is not, connected.
    #[schema(format = DateTime)]
    connected_since: String,
    #[schema(format = DateTime)]
    last_heard: Option<String>,
    /// From when on its sections are expected.
    #[schema(format = DateTime)]
    expected_from: String,
    /// Minutes that its civil time is ahead of UTC.
    utc_offset_min: i16,
    /// Its present day.
    today: String,
    /// Days that it keeps its sections.
    keeps_days: u16,
    missing: u32,
    days: Vec<OutletDay>,
    outlets: Vec<Outlet>,
    /// Messages that were not taken since the head end started, and why the last was not.
    refused: u64,
    refused_text: Option<String>,
    /// The last cost that it was told.
    cost: Option<CostRow>,
    warnings: u64,
    /// The numbers of its neighbours in the list.
    previous: Option<u32>,
    next: Option<u32>,
}

/// Sections of one day, of all outlets.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutletDay {
    date: String,
    received: u32,
    expected: u32,
}

/// One outlet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Outlet {
    /// Its number (`oid`).
    number: u32,
    /// What it feeds.
    name: String,
    /// What it was last ordered to be: on or off. The formats have no answer that says it is.
    ordered: Option<&'static str>,
    #[schema(format = DateTime)]
    ordered_at: Option<String>,
    /// Whether a section that began after the order agrees with it: yes, no; or neither is known.
    agrees: Option<bool>,
    /// When its newest section began, and the means of it.
    #[schema(format = DateTime)]
    section: Option<String>,
    volts: Option<u32>,
    milliamperes: Option<u32>,
    watts: Option<u32>,
    /// When it last warned.
    #[schema(format = DateTime)]
    warned_at: Option<String>,
}

/// A day of an outlet, section by section.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutletUsage {
    outlet: u32,
    date: String,
    /// When the day begins.
    #[schema(format = DateTime)]
    from: String,
    received: u32,
    /// Sections that are due and not here.
    missing: u32,
    /// The energy of the sections that are here.
    energy_wh: Option<u64>,
    /// All 144 of them.
    sections: Vec<SectionRow>,
}

/// One section.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SectionRow {
    /// 1 to 144.
    number: u8,
    /// When it begins.
    #[schema(format = DateTime)]
    t: String,
    /// One of read, missing, not_due, before.
    state: &'static str,
    volts: Option<u32>,
    milliamperes: Option<u32>,
    watts: Option<u32>,
}

/// Warnings, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutletWarnings {
    total: u64,
    rows: Vec<WarningRow>,
}

/// One warning.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WarningRow {
    #[schema(format = DateTime)]
    t: String,
    outlet: u32,
    name: String,
    /// The number of the report, as the meter gave it.
    report: u8,
}

/// Costs that were told, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutletCosts {
    total: u64,
    rows: Vec<CostRow>,
}

/// One cost.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CostRow {
    /// When it was told.
    #[schema(format = DateTime)]
    t: String,
    month: u8,
    day_start: u8,
    day_end: u8,
    /// Whole units of the currency that both sides agreed on.
    total_cost: u64,
}

/// The journal of orders, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutletOrderList {
    rows: Vec<OrderView>,
}

/// One order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderView {
    number: i64,
    #[schema(format = DateTime)]
    t: String,
    /// One of switch, cost, request, open, close.
    kind: &'static str,
    what: String,
    reason: String,
    /// One of sent, waits, refused; null where the head end stopped before it knew.
    outcome: Option<&'static str>,
    #[schema(format = DateTime)]
    ended: Option<String>,
}

/// What became of an order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderAnswer {
    /// Its number in the journal.
    number: i64,
    /// sent, or waits where the meter is told when it connects.
    outcome: &'static str,
}

/// What an order to a breaker would mean.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BreakerPreview {
    /// What an order must repeat: it is good for five minutes.
    #[schema(format = DateTime)]
    as_of: String,
    place: String,
    /// What an order must repeat: the place, or the meter's number where it has none.
    confirm: String,
    possible: bool,
    /// Why there can be no such order.
    why_not: Option<&'static str>,
    /// What the outlets drew together in the newest section.
    draws_w: Option<u64>,
    /// When it began.
    #[schema(format = DateTime)]
    draws_section: Option<String>,
    outlets: Vec<PreviewOutlet>,
}

/// An outlet behind the breaker.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewOutlet {
    number: u32,
    name: String,
    watts: Option<u32>,
}

/// Outlets to switch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SwitchOrder {
    /// Why, 10 to 200 characters.
    reason: String,
    outlets: Vec<SwitchOutlet>,
}

/// One outlet to switch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SwitchOutlet {
    number: u32,
    on: bool,
}

/// An order to a breaker.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BreakerOrderBody {
    action: BreakerActionName,
    /// Why, 10 to 200 characters.
    reason: String,
    /// What the preview asks to be typed: the meter's place, or its number where it has none.
    place: String,
    /// What the preview said it is as of.
    #[schema(format = DateTime)]
    as_of: String,
}

/// What becomes of a breaker.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum BreakerActionName {
    Open,
    Close,
}

/// A cost to tell.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCost {
    month: u8,
    day_start: u8,
    day_end: u8,
    total_cost: u64,
}

/// Sections to ask for once more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRequest {
    outlet: u32,
    /// The day in the meter's civil time, as 2026-11-21.
    date: String,
    /// The first section, 1 to 144.
    first: u8,
    /// The last one.
    last: u8,
}

/// Which day of which outlet.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsageQuery {
    outlet: u32,
    /// The day in the meter's civil time, as 2026-11-21; today where it is not said.
    #[serde(default)]
    date: String,
}

/// How many rows.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct LimitQuery {
    /// 1 to 500.
    limit: u32,
}

impl Default for LimitQuery {
    fn default() -> Self {
        Self { limit: 50 }
    }
}

impl LimitQuery {
    fn get(&self) -> Result<u32, ApiError> {
        if (1..=ROWS_MAX).contains(&self.limit) {
            Ok(self.limit)
        } else {
            Err(ApiError::BadRequest("A limit is 1 to 500.".to_owned()))
        }
    }
}

type Found<'a> = (
    &'a Arc<Outlets>,
    SmartMeterId,
    &'a OutletMeterEntry,
    CivilDateTime,
);

impl App {
    fn outlet_meter(&self, id: Result<Path<u32>, PathRejection>) -> Result<Found<'_>, ApiError> {
        let Path(id) = id.map_err(|_| ApiError::NoSuchMeter)?;
        let outlets = self.outlets.as_ref().ok_or(ApiError::NoSuchMeter)?;
        let id = SmartMeterId(id);
        let (entry, since) = outlets.meters().get(&id).ok_or(ApiError::NoSuchMeter)?;
        Ok((outlets, id, entry, *since))
    }
}

/// Lists outlet meters.
#[utoipa::path(get, path = "/api/v1/outlet-meters", tag = "outlets",
    responses(
        (status = 200, description = "Outlet meters", body = OutletMeterList),
        (status = 401, description = "Not signed in", body = ErrorBody),
    ))]
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<OutletMeterList>, ApiError> {
    let Some(outlets) = app.outlets.clone() else {
        return Ok(Json(OutletMeterList {
            served: false,
            utc_offset_min: 0,
            rows: Vec::new(),
        }));
    };
    let figures = outlets.figures(DAYS).await;
    app.blocking(move |app| {
        let now = app.clock.now();
        let mut rows = Vec::new();
        for (id, (entry, _)) in outlets.meters() {
            let looked = look(app, &outlets, *id, entry, &figures, now)?;
            rows.push((looked.rank, looked.row));
        }
        rows.sort_by_key(|(rank, row)| (*rank, row.id));
        Ok(Json(OutletMeterList {
            served: true,
            utc_offset_min: outlets.utc_offset_min(),
            rows: rows.into_iter().map(|(_, row)| row).collect(),
        }))
    })
    .await
}

/// What lists and pages say of a meter.
struct Looked {
    rank: u8,
    row: OutletMeterRow,
    standing: Standing,
    latest: BTreeMap<OutletId, (CivilDateTime, OutletPower)>,
    warnings: u64,
    warned: BTreeMap<OutletId, CivilDateTime>,
}

fn look(
    app: &App,
    outlets: &Outlets,
    id: SmartMeterId,
    entry: &OutletMeterEntry,
    figures: &BTreeMap<SmartMeterId, Figures>,
    now: Timestamp,
) -> Result<Looked, ApiError> {
    let numbers: Vec<OutletId> = entry.outlets().into_keys().collect();
    let tables = app.store.outlets();
    let latest = tables.latest(id, &numbers)?;
    let (warnings, newest) = tables.records(id, RecordKind::Warning, 100)?;
    let mut warned = BTreeMap::new();
    for record in newest {
        if let Record::Warning { outlet, at, .. } = record {
            warned.entry(outlet).or_insert(at);
        }
    }
    let standing = outlets.standing(id).unwrap_or(Standing {
        connected: false,
        since: now,
        heard: None,
        refused: (0, None),
    });
    let none = Figures::default();
    let figures = figures.get(&id).unwrap_or(&none);
    let section = latest.values().map(|(at, _)| *at).max();
    let of_newest = latest.values().filter(|(at, _)| Some(*at) == section);
    let watts = of_newest.map(|(_, power)| u64::from(power.watts)).sum();
    let fresh = warned
        .iter()
        .map(|(outlet, at)| (outlets.moment(*at), *outlet))
        .max()
        .filter(|(at, _)| now.millis_since(*at) < WARNED_S * 1_000);
    let away_s = now.millis_since(standing.since) / 1_000;
    let (rank, state, state_text) = if !standing.connected && section.is_none() {
        (1, "new", "Not seen yet".to_owned())
    } else if !standing.connected && away_s >= SILENT_S {
        (0, "off", "No connection".to_owned())
    } else if !standing.connected {
        (2, "warn", "Connection lost".to_owned())
    } else if now.millis_since(standing.heard.unwrap_or(standing.since)) > QUIET_S * 1_000 {
        (2, "warn", "Nothing heard".to_owned())
    } else if let Some((_, outlet)) = fresh {
        (2, "warn", format!("Outlet {outlet} warned"))
    } else if figures.missing > 0 {
        let many = if figures.missing == 1 { "" } else { "s" };
        let text = format!("{} section{many} missing", figures.missing);
        (3, "miss", text)
    } else {
        (4, "ok", "Connected".to_owned())
    };
    let permille = |received: u32, expected: u32| {
        let part = (u64::from(received) * 1_000).checked_div(u64::from(expected));
        part.and_then(|part| u16::try_from(part).ok())
    };
    let sum = |part: fn(&(CivilDate, u32, u32)) -> u32| figures.days.iter().map(part).sum();
    let mut days: Vec<_> = figures
        .days
        .iter()
        .map(|(_, received, expected)| permille(*received, *expected))
        .collect();
    while days.len() < usize::try_from(DAYS).unwrap_or(0) {
        days.insert(0, None);
    }
    let row = OutletMeterRow {
        id: id.0,
        place: entry.place.as_str().to_owned(),
        outlets: numbers.len(),
        state,
        state_text,
        connected: standing.connected,
        last_heard: standing.heard.map(rfc3339),
        power_w: section.map(|_| watts),
        power_at: section.map(|at| {
            let length = i64::from(Section::SECONDS);
            rfc3339(outlets.moment(at).plus_secs(length))
        }),
        missing: figures.missing,
        days,
        read_permille: permille(sum(|day| day.1), sum(|day| day.2)),
    };
    Ok(Looked {
        rank,
        row,
        standing,
        latest,
        warnings,
        warned,
    })
}

/// One outlet meter with its outlets.
#[utoipa::path(get, path = "/api/v1/outlet-meters/{id}", tag = "outlets",
    params(("id" = u32, Path, description = "The meter's number")),
    responses(
        (status = 200, description = "The meter", body = OutletMeter),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
    ))]
pub(super) async fn meter(
    State(app): State<Arc<App>>,
    id: Result<Path<u32>, PathRejection>,
) -> Result<Json<OutletMeter>, ApiError> {
    let (outlets, id, entry, since) = app.outlet_meter(id)?;
    let (outlets, entry) = (Arc::clone(outlets), entry.clone());
    let mut figures = outlets.figures(DAYS).await;
    app.blocking(move |app| {
        let now = app.clock.now();
        let Looked {
            row,
            standing,
            latest,
            warnings,
            warned,
            ..
        } = look(app, &outlets, id, &entry, &figures, now)?;
        let (_, orders) = app.store.outlets().records(id, RecordKind::Order, 500)?;
        let ordered = ordered(orders);
        let (_, cost) = app.store.outlets().records(id, RecordKind::Cost, 1)?;
        let time = |civil| rfc3339(outlets.moment(civil));
        let view = |(number, name): (OutletId, &str)| {
            let order = ordered.get(&number).copied();
            let newest = latest.get(&number).copied();
            Outlet {
                number: number.0,
                name: name.to_owned(),
                ordered: order.map(|(_, switch)| switch_name(switch)),
                ordered_at: order.map(|(at, _)| time(at)),
                agrees: order
                    .zip(newest)
                    .and_then(|((at, switch), (section, power))| {
                        match switch {
                            _ if section < at => None,
                            Switch::Off => Some(power.milliamperes == 0 && power.watts == 0),
                            // What draws nothing may be on all the same.
                            Switch::On => (power.watts > 0).then_some(true),
                        }
                    }),
                section: newest.map(|(at, _)| time(at)),
                volts: newest.map(|(_, power)| power.volts),
                milliamperes: newest.map(|(_, power)| power.milliamperes),
                watts: newest.map(|(_, power)| power.watts),
                warned_at: warned.get(&number).map(|at| time(*at)),
            }
        };
        let (refused, refusal) = standing.refused;
        let meters = outlets.meters();
        let days = figures.remove(&id).unwrap_or_default().days;
        Ok(Json(OutletMeter {
            id: row.id,
            place: row.place,
            state: row.state,
            state_text: row.state_text,
            connected: standing.connected,
            connected_since: rfc3339(standing.since),
            last_heard: row.last_heard,
            expected_from: time(since),
            utc_offset_min: outlets.utc_offset_min(),
            today: outlets.civil(now).date().to_string(),
            keeps_days: outlets.days(),
            missing: row.missing,
            days: days
                .into_iter()
                .map(|(date, received, expected)| OutletDay {
                    date: date.to_string(),
                    received,
                    expected,
                })
                .collect(),
            outlets: entry.outlets().into_iter().map(view).collect(),
            refused,
            refused_text: refusal.map(|refusal| refusal.to_string()),
            cost: cost.iter().find_map(|record| cost_row(&outlets, record)),
            warnings,
            previous: meters.range(..id).next_back().map(|(id, _)| id.0),
            next: meters
                .range((std::ops::Bound::Excluded(id), std::ops::Bound::Unbounded))
                .next()
                .map(|(id, _)| id.0),
        }))
    })
    .await
}

/// What each outlet was ordered to be last, from orders with the newest first.
fn ordered(orders: Vec<Record>) -> BTreeMap<OutletId, (CivilDateTime, Switch)> {
    let mut last = BTreeMap::new();
    for record in orders {
        let Record::Order { xml, .. } = record else {
            continue;
        };
        if let Ok(XmlMessage::ToSmartMeter(ToSmartMeter::ControlOnOff { timestamp, outlets })) =
            XmlMessage::read(xml.as_bytes())
        {
            for (outlet, switch) in outlets {
                last.entry(outlet).or_insert((timestamp, switch));
            }
        }
    }
    last
}

const fn switch_name(switch: Switch) -> &'static str {
    match switch {
        Switch::On => "on",
        Switch::Off => "off",
    }
}

fn cost_row(outlets: &Outlets, record: &Record) -> Option<CostRow> {
    let Record::Cost { xml, .. } = record else {
        return None;
    };
    let message = XmlMessage::read(xml.as_bytes()).ok()?;
    let XmlMessage::ToSmartMeter(ToSmartMeter::PowerCost {
        timestamp,
        month,
        day_start,
        day_end,
        total_cost,
    }) = message
    else {
        return None;
    };
    Some(CostRow {
        t: rfc3339(outlets.moment(timestamp)),
        month,
        day_start,
        day_end,
        total_cost,
    })
}

/// A day of an outlet in its 144 sections, with those that are missing.
#[utoipa::path(get, path = "/api/v1/outlet-meters/{id}/usage", tag = "outlets",
    params(("id" = u32, Path, description = "The meter's number"), UsageQuery),
    responses(
        (status = 200, description = "The day", body = OutletUsage),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter or outlet", body = ErrorBody),
    ))]
pub(super) async fn usage(
    State(app): State<Arc<App>>,
    id: Result<Path<u32>, PathRejection>,
    Params(query): Params<UsageQuery>,
) -> Result<Json<OutletUsage>, ApiError> {
    let (outlets, id, entry, since) = app.outlet_meter(id)?;
    let outlet = OutletId(query.outlet);
    if !entry.outlets().contains_key(&outlet) {
        return Err(ApiError::NoSuchMeter);
    }
    let now = outlets.civil(app.clock.now());
    let date = match query.date.as_str() {
        "" => now.date(),
        text => civil_date(text)?,
    };
    let outlets = Arc::clone(outlets);
    app.blocking(move |app| {
        let first = date.at(Sections::DAY.start());
        let end = CivilDateTime::from_ordinal(first.ordinal() + 86_400).unwrap_or(first);
        let stored = app.store.outlets().usage(id, outlet, first..end)?;
        let length = u64::from(Section::SECONDS);
        // The first section that is expected is the first that begins.
        let expected = since.ordinal().next_multiple_of(length);
        let row = |section: Section| {
            let begins = date.at(section);
            let power = stored.get(&begins);
            let state = match power {
                Some(_) => "read",
                None if begins.ordinal() < expected => "before",
                None if begins.ordinal() + length + crate::outlets::GRACE > now.ordinal() => {
                    "not_due"
                }
                None => "missing",
            };
            SectionRow {
                number: section.number(),
                t: rfc3339(outlets.moment(begins)),
                state,
                volts: power.map(|power| power.volts),
                milliamperes: power.map(|power| power.milliamperes),
                watts: power.map(|power| power.watts),
            }
        };
        let sections: Vec<SectionRow> = Sections::DAY.iter().map(row).collect();
        let count = |state| {
            let fitting = sections.iter().filter(|row| row.state == state).count();
            u32::try_from(fitting).unwrap_or(u32::MAX)
        };
        let watts: u64 = stored.values().map(|power| u64::from(power.watts)).sum();
        Ok(Json(OutletUsage {
            outlet: outlet.0,
            date: date.to_string(),
            from: rfc3339(outlets.moment(first)),
            received: count("read"),
            missing: count("missing"),
            energy_wh: (!stored.is_empty()).then_some(watts * length / 3_600),
            sections,
        }))
    })
    .await
}

/// Warnings of an outlet meter.
#[utoipa::path(get, path = "/api/v1/outlet-meters/{id}/warnings", tag = "outlets",
    params(("id" = u32, Path, description = "The meter's number"), LimitQuery),
    responses(
        (status = 200, description = "Warnings", body = OutletWarnings),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
    ))]
pub(super) async fn warnings(
    State(app): State<Arc<App>>,
    id: Result<Path<u32>, PathRejection>,
    Params(query): Params<LimitQuery>,
) -> Result<Json<OutletWarnings>, ApiError> {
    let (outlets, id, entry, _) = app.outlet_meter(id)?;
    let (outlets, entry, limit) = (Arc::clone(outlets), entry.clone(), query.get()?);
    app.blocking(move |app| {
        let names = entry.outlets();
        let (total, records) = app
            .store
            .outlets()
            .records(id, RecordKind::Warning, limit)?;
        let row = |record| match record {
            Record::Warning {
                outlet, at, number, ..
            } => Some(WarningRow {
                t: rfc3339(outlets.moment(at)),
                outlet: outlet.0,
                name: names.get(&outlet).copied().unwrap_or_default().to_owned(),
                report: number,
            }),
            _ => None,
        };
        Ok(Json(OutletWarnings {
            total,
            rows: records.into_iter().filter_map(row).collect(),
        }))
    })
    .await
}

/// Costs that an outlet meter was told.
#[utoipa::path(get, path = "/api/v1/outlet-meters/{id}/costs", tag = "outlets",
    params(("id" = u32, Path, description = "The meter's number"), LimitQuery),
    responses(
        (status = 200, description = "Costs", body = OutletCosts),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
    ))]
pub(super) async fn costs(
    State(app): State<Arc<App>>,
    id: Result<Path<u32>, PathRejection>,
    Params(query): Params<LimitQuery>,
) -> Result<Json<OutletCosts>, ApiError> {
    let (outlets, id, ..) = app.outlet_meter(id)?;
    let (outlets, limit) = (Arc::clone(outlets), query.get()?);
    app.blocking(move |app| {
        let (total, records) = app.store.outlets().records(id, RecordKind::Cost, limit)?;
        let rows = records.iter().filter_map(|it| cost_row(&outlets, it));
        Ok(Json(OutletCosts {
            total,
            rows: rows.collect(),
        }))
    })
    .await
}

/// The journal of orders to an outlet meter.
#[utoipa::path(get, path = "/api/v1/outlet-meters/{id}/orders", tag = "outlets",
    params(("id" = u32, Path, description = "The meter's number"), LimitQuery),
    responses(
        (status = 200, description = "Orders", body = OutletOrderList),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
    ))]
pub(super) async fn orders(
    State(app): State<Arc<App>>,
    id: Result<Path<u32>, PathRejection>,
    Params(query): Params<LimitQuery>,
) -> Result<Json<OutletOrderList>, ApiError> {
    let (_, id, ..) = app.outlet_meter(id)?;
    let limit = query.get()?;
    app.blocking(move |app| {
        let rows = app.store.outlets().orders(id, limit)?;
        let view = |row: crate::store::OrderRow| OrderView {
            number: row.number,
            t: rfc3339(row.order.at),
            kind: row.order.kind.name(),
            what: row.order.what,
            reason: row.order.reason,
            outcome: row.ended.map(|(outcome, _)| outcome.name()),
            ended: row.ended.map(|(_, at)| rfc3339(at)),
        };
        Ok(Json(OutletOrderList {
            rows: rows.into_iter().map(view).collect(),
        }))
    })
    .await
}

/// Switches outlets, and nothing else: the format has no proof of who sent it.
#[utoipa::path(post, path = "/api/v1/outlet-meters/{id}/switch", tag = "outlets",
    params(("id" = u32, Path, description = "The meter's number")), request_body = SwitchOrder,
    responses(
        (status = 200, description = "Sent, or it waits for the meter", body = OrderAnswer),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter or outlet", body = ErrorBody),
        (status = 503, description = "The store failed", body = ErrorBody),
    ))]
pub(super) async fn switch(
    State(app): State<Arc<App>>,
    id: Result<Path<u32>, PathRejection>,
    Body(body): Body<SwitchOrder>,
) -> Result<Json<OrderAnswer>, ApiError> {
    let (outlets, id, entry, _) = app.outlet_meter(id)?;
    let reason = reason(&body.reason)?;
    let known = entry.outlets();
    let mut wanted = BTreeMap::new();
    for outlet in &body.outlets {
        let number = OutletId(outlet.number);
        let to = if outlet.on { Switch::On } else { Switch::Off };
        if !known.contains_key(&number) {
            return Err(ApiError::NoSuchMeter);
        }
        if wanted.insert(number, to).is_some() {
            return Err(ApiError::BadRequest("An outlet is named twice.".to_owned()));
        }
    }
    if wanted.is_empty() {
        return Err(ApiError::BadRequest("No outlet is named.".to_owned()));
    }
    answer(
        outlets
            .switch(id, wanted.into_iter().collect(), reason)
            .await,
    )
}

/// Tells a cost to the customer of an outlet meter.
#[utoipa::path(post, path = "/api/v1/outlet-meters/{id}/costs", tag = "outlets",
    params(("id" = u32, Path, description = "The meter's number")), request_body = NewCost,
    responses(
        (status = 200, description = "Sent, or it waits for the meter", body = OrderAnswer),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
        (status = 503, description = "The store failed", body = ErrorBody),
    ))]
pub(super) async fn tell_cost(
    State(app): State<Arc<App>>,
    id: Result<Path<u32>, PathRejection>,
    Body(body): Body<NewCost>,
) -> Result<Json<OrderAnswer>, ApiError> {
    let (outlets, id, ..) = app.outlet_meter(id)?;
    // A leap year: of which year the month is, the format does not say.
    let there = |day| CivilDate::new(2024, body.month, day).is_ok();
    if !there(body.day_start) || !there(body.day_end) || body.day_start > body.day_end {
        let message = "A month has days from a first one to a last one.";
        return Err(ApiError::BadRequest(message.to_owned()));
    }
    let days = (body.day_start, body.day_end);
    answer(outlets.cost(id, body.month, days, body.total_cost).await)
}

/// Asks an outlet meter for sections of a day once more. Those that are missing are asked for
/// without this while it is connected.
#[utoipa::path(post, path = "/api/v1/outlet-meters/{id}/requests", tag = "outlets",
    params(("id" = u32, Path, description = "The meter's number")), request_body = NewRequest,
    responses(
        (status = 200, description = "Sent", body = OrderAnswer),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter or outlet", body = ErrorBody),
        (status = 409, description = "The meter is not connected", body = ErrorBody),
        (status = 503, description = "The store failed", body = ErrorBody),
    ))]
pub(super) async fn request(
    State(app): State<Arc<App>>,
    id: Result<Path<u32>, PathRejection>,
    Body(body): Body<NewRequest>,
) -> Result<Json<OrderAnswer>, ApiError> {
    let (outlets, id, entry, _) = app.outlet_meter(id)?;
    let outlet = OutletId(body.outlet);
    if !entry.outlets().contains_key(&outlet) {
        return Err(ApiError::NoSuchMeter);
    }
    let date = civil_date(&body.date)?;
    let wrong = |_| ApiError::BadRequest("Sections are 1 to 144, in order.".to_owned());
    let (first, last) = (Section::new(body.first), Section::new(body.last));
    let sections = Sections::new(first.map_err(wrong)?, last.map_err(wrong)?).map_err(wrong)?;
    answer(outlets.request(id, outlet, date, sections).await)
}

/// Says what an order to a meter's own breaker would mean; nothing is sent.
#[utoipa::path(get, path = "/api/v1/outlet-meters/{id}/breaker", tag = "outlets",
    params(("id" = u32, Path, description = "The meter's number")),
    responses(
        (status = 200, description = "What it would mean", body = BreakerPreview),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
    ))]
pub(super) async fn preview(
    State(app): State<Arc<App>>,
    id: Result<Path<u32>, PathRejection>,
) -> Result<Json<BreakerPreview>, ApiError> {
    let (outlets, id, entry, _) = app.outlet_meter(id)?;
    let (outlets, place) = (Arc::clone(outlets), entry.place.as_str().to_owned());
    let confirm = to_be_typed(id, entry);
    app.blocking(move |app| {
        let preview = outlets.preview(id)?.ok_or(ApiError::NoSuchMeter)?;
        Ok(Json(BreakerPreview {
            as_of: rfc3339(app.clock.now()),
            place,
            confirm,
            possible: preview.refused.is_none(),
            why_not: preview.refused,
            draws_w: preview.draws.map(|(watts, _)| watts),
            draws_section: preview.draws.map(|(_, at)| rfc3339(outlets.moment(at))),
            outlets: preview
                .outlets
                .into_iter()
                .map(|(outlet, name, watts)| PreviewOutlet {
                    number: outlet.0,
                    name,
                    watts,
                })
                .collect(),
        }))
    })
    .await
}

/// Opens or closes a meter's own breaker by a signed envelope. It takes a reason, what the preview
/// asks to be typed, and a preview of the last five minutes; each is in the journal before anything is signed.
#[utoipa::path(post, path = "/api/v1/outlet-meters/{id}/breaker", tag = "outlets",
    params(("id" = u32, Path, description = "The meter's number")), request_body = BreakerOrderBody,
    responses(
        (status = 200, description = "Sent", body = OrderAnswer),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
        (status = 409, description = "Not now", body = ErrorBody),
        (status = 503, description = "The store failed", body = ErrorBody),
    ))]
pub(super) async fn breaker(
    State(app): State<Arc<App>>,
    id: Result<Path<u32>, PathRejection>,
    Body(body): Body<BreakerOrderBody>,
) -> Result<Json<OrderAnswer>, ApiError> {
    let (outlets, id, entry, _) = app.outlet_meter(id)?;
    let reason = reason(&body.reason)?;
    if body.place.trim() != to_be_typed(id, entry) {
        let message = "This is not what confirms it: the meter's place, or its number where it has \
                       none. Nothing was sent.";
        return Err(ApiError::BadRequest(message.to_owned()));
    }
    fresh(&app, &body.as_of)?;
    let action = match body.action {
        BreakerActionName::Open => BreakerAction::Open,
        BreakerActionName::Close => BreakerAction::Close,
    };
    answer(outlets.breaker(id, action, reason).await)
}

/// What confirms an order to a meter's breaker: never nothing at all.
fn to_be_typed(id: SmartMeterId, entry: &OutletMeterEntry) -> String {
    match entry.place.as_str().trim() {
        "" => id.0.to_string(),
        place => place.to_owned(),
    }
}

/// Checks that what an order would mean was looked at lately.
pub(super) fn fresh(app: &App, as_of: &str) -> Result<(), ApiError> {
    let looked =
        parse_rfc3339(as_of).ok_or_else(|| ApiError::BadRequest("as_of is no time.".to_owned()))?;
    let age_ms = app.clock.now().millis_since(looked);
    if (0..=PREVIEW_S * 1_000).contains(&age_ms) {
        Ok(())
    } else {
        Err(ApiError::NotNow(
            "preview_too_old",
            "What the order would mean was looked at more than five minutes ago. Look again.",
        ))
    }
}

fn answer(done: Result<(i64, Outcome), OrderError>) -> Result<Json<OrderAnswer>, ApiError> {
    match done {
        Ok((number, outcome)) => Ok(Json(OrderAnswer {
            number,
            outcome: outcome.name(),
        })),
        Err(OrderError::Unknown) => Err(ApiError::NoSuchMeter),
        Err(OrderError::NotConnected) => Err(ApiError::NotNow(
            "not_connected",
            "The meter is not connected. Nothing was sent.",
        )),
        Err(OrderError::NoSigner | OrderError::NotSigned) => Err(ApiError::NotNow(
            "not_signed",
            "The head end has no key that signs this order. Nothing was sent.",
        )),
        Err(OrderError::TooMany) => Err(ApiError::NotNow(
            "too_many_openings",
            "As many breakers were opened within the hour as are allowed. Nothing was sent.",
        )),
        Err(OrderError::Malformed(error)) => Err(ApiError::BadRequest(format!(
            "It cannot be written: {error}."
        ))),
        Err(OrderError::Store(error)) => {
            tracing::error!(%error, "an order was not stored");
            Err(ApiError::Stopping)
        }
    }
}

/// Takes the reason of an order.
pub(super) fn reason(text: &str) -> Result<&str, ApiError> {
    let text = text.trim();
    if REASON_LEN.contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        Ok(text)
    } else {
        let message = "A reason has 10 to 200 characters.";
        Err(ApiError::BadRequest(message.to_owned()))
    }
}

fn civil_date(text: &str) -> Result<CivilDate, ApiError> {
    text.parse()
        .map_err(|error| ApiError::BadRequest(format!("A date is {error}.")))
}

/// An order as JSON, whoever says so in the head of the request.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let is_json = request
            .headers()
            .get(axum::http::header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.split(';').next() == Some("application/json"));
        // A form of another site cannot say this without asking first.
        if !is_json {
            let message = "The body must be JSON, and the content type must say so.";
            return Err(ApiError::BadRequest(message.to_owned()));
        }
        let octets = Bytes::from_request(request, state);
        let octets = octets.await.map_err(|_: BytesRejection| {
            ApiError::BadRequest("The body is too long.".to_owned())
        })?;
        if octets.len() > BODY_LEN_MAX {
            return Err(ApiError::BadRequest("The body is too long.".to_owned()));
        }
        let read = serde_json::from_slice(&octets);
        let body = read.map_err(|error| {
            ApiError::BadRequest(format!("The body is not understood: {error}."))
        })?;
        Ok(Self(body))
    }
}
