//! One meter: its page, its registers, its events.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use dlms::cosem::{Obis, ScalerUnit, Unit, obis};
use model::{
    BreakerState, Event, EventSource, Feeder, KnownEvent, MeterId, Phase, Severity, Timestamp,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::{ApiError, ErrorBody};
use super::guard::Params;
use super::meters::via;
use super::paths::{PathRunView, run_view};
use crate::calendar::{parse_rfc3339, rfc3339};
use crate::fleet::FleetMeter;
use crate::power::Power;
use crate::store::{CounterKey, Protection, RegisterReading, RegisterRow, RegisterValue};

/// Everything about one meter but its measurements.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MeterView {
    /// The registry id.
    id: String,
    /// The logical device name.
    name: String,
    place: String,
    feeder: String,
    phase: &'static str,
    /// How it is reached.
    via: &'static str,
    /// The concentrator through which it is reached, where that is a device of its own.
    concentrator: Option<ConcentratorRef>,
    /// The endpoint's URL; it holds no secrets.
    endpoint: String,
    /// The system title in hex; empty where it is not known.
    system_title: String,
    /// One of ok, warn, crit, off, miss, new.
    state: &'static str,
    state_text: String,
    /// When the meter last answered.
    #[schema(format = DateTime)]
    last_read: Option<String>,
    #[schema(format = DateTime)]
    enrolled: String,
    breaker: BreakerView,
    clock: ClockView,
    firmware: Option<String>,
    protection: ProtectionView,
    /// Full days since the present keys are in force.
    key_age_days: Option<i64>,
    counter: CounterView,
    gaps: GapsView,
    power: PowerView,
    path: PathView,
    /// The meter before this one in the registry.
    previous: Option<String>,
    /// The meter after this one in the registry.
    next: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConcentratorRef {
    /// The registry id.
    id: String,
    name: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BreakerView {
    /// One of closed, open, ready; null where it is not known.
    state: Option<&'static str>,
    #[schema(format = DateTime)]
    at: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClockView {
    /// The meter's time less the head end's.
    offset_s: Option<f64>,
    #[schema(format = DateTime)]
    at: Option<String>,
    /// The meter's offset from UTC; empty where it told none.
    #[schema(example = "UTC+1")]
    zone: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProtectionView {
    suite: u8,
    mode: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CounterView {
    /// Invocation counter values reserved so far under the present key.
    used: u32,
    of: u32,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GapsView {
    /// Missing intervals of the last 60 days.
    intervals: u64,
    #[schema(format = DateTime)]
    oldest: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PowerView {
    w: Option<i64>,
    l1_w: Option<i64>,
    l2_w: Option<i64>,
    l3_w: Option<i64>,
    #[schema(format = DateTime)]
    at: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PathView {
    hops: Vec<String>,
    rtt_ms: Option<f64>,
    /// The paths of the last readings, where the network tells them.
    scion: Option<PathRunView>,
}

/// Gaps are counted this far back.
const GAPS_BACK_S: i64 = 60 * 86_400;

/// One meter.
#[utoipa::path(get, path = "/api/v1/meters/{id}", tag = "meter",
    params(("id" = String, Path, description = "The registry id")),
    responses(
        (status = 200, description = "The meter", body = MeterView),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
    ))]
pub(super) async fn meter(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<MeterView>, ApiError> {
    let id = meter_id(&id)?;
    app.blocking(move |app| view(app, id).map(Json)).await
}

fn view(app: &App, id: MeterId) -> Result<MeterView, ApiError> {
    let now = app.clock.now();
    let (meter, previous, next) = app.fleet.meter(id).ok_or(ApiError::NoSuchMeter)?;
    let health = app.fleet.judge(now).health(&meter);
    let FleetMeter { meter, state, .. } = &meter;
    let enrolment = &meter.enrolment;
    let gaps = app.store.gaps(
        id,
        enrolment.load_profile,
        now.secs() - GAPS_BACK_S..app.fleet.due_until(now),
    )?;
    let registers: Vec<RegisterReading> = app
        .store
        .registers(id)?
        .into_iter()
        .map(|row| row.last)
        .collect();
    let used = app.store.counter(CounterKey {
        meter: id,
        client: enrolment.client,
    })?;
    let protection = meter.protection.as_ref();
    let concentrator = app.concentrators.at(&enrolment.endpoint);
    Ok(MeterView {
        id: id.to_string(),
        name: enrolment.name.to_string(),
        place: enrolment.place.as_str().to_owned(),
        feeder: enrolment
            .feeder
            .as_ref()
            .map_or("", Feeder::as_str)
            .to_owned(),
        phase: enrolment.phase.map_or("", Phase::name),
        via: via(&app.concentrators, &enrolment.endpoint),
        concentrator: concentrator.map(|one| ConcentratorRef {
            id: one.target.id.to_string(),
            name: one.target.enrolment.name.to_string(),
        }),
        endpoint: enrolment.endpoint.clone(),
        system_title: enrolment
            .system_title
            .map_or_else(String::new, |title| title.to_string()),
        state: health.kind.state(),
        state_text: health.text,
        last_read: state.reached.map(rfc3339),
        enrolled: rfc3339(meter.enrolled),
        breaker: BreakerView {
            state: state.breaker.and_then(|(breaker, _)| breaker_word(breaker)),
            at: state.breaker.map(|(_, at)| rfc3339(at)),
        },
        clock: ClockView {
            offset_s: state.clock.and_then(|clock| seconds(clock.offset_ms)),
            at: state.clock.map(|clock| rfc3339(clock.at)),
            zone: state
                .clock
                .and_then(|clock| clock.zone_min)
                .map_or_else(String::new, zone),
        },
        firmware: state.firmware.clone(),
        protection: ProtectionView {
            suite: protection.map_or(0, |protection| protection.suite),
            mode: mode(protection),
        },
        key_age_days: protection.map(|known| now.millis_since(known.since) / 86_400_000),
        counter: CounterView { used, of: u32::MAX },
        gaps: GapsView {
            intervals: gaps.iter().map(|gap| u64::from(gap.intervals)).sum(),
            oldest: gaps
                .first()
                .map(|gap| rfc3339(Timestamp::from_secs(gap.range.start))),
        },
        power: PowerView::of(&Power::of(&registers), state.power),
        path: PathView {
            hops: {
                let between = concentrator.map(|one| one.target.enrolment.name.as_str());
                let hops = ["Head end"].into_iter().chain(between).chain(["Meter"]);
                hops.map(str::to_owned).collect()
            },
            rtt_ms: state
                .rtt_us
                .map(|rtt| (f64::from(rtt) / 100.0).round() / 10.0),
            scion: app.store.path_runs(id, None, 1)?.1.pop().map(run_view),
        },
        previous: previous.map(|id| id.to_string()),
        next: next.map(|id| id.to_string()),
    })
}

impl PowerView {
    /// The stored registers, or the newer total of a live view.
    fn of(stored: &Power, last: Option<(i64, Timestamp)>) -> Self {
        let [l1, l2, l3] = stored.phases;
        match last {
            Some((watts, at)) if stored.at.is_none_or(|stored| stored < at) => Self {
                w: Some(watts),
                l1_w: None,
                l2_w: None,
                l3_w: None,
                at: Some(rfc3339(at)),
            },
            _ => Self {
                w: stored.total,
                l1_w: l1,
                l2_w: l2,
                l3_w: l3,
                at: stored.at.map(rfc3339),
            },
        }
    }
}

pub(super) fn meter_id(text: &str) -> Result<MeterId, ApiError> {
    text.parse().map_err(|_| ApiError::NoSuchMeter)
}

pub(super) const fn breaker_word(breaker: BreakerState) -> Option<&'static str> {
    match breaker {
        BreakerState::Disconnected => Some("open"),
        BreakerState::Connected => Some("closed"),
        BreakerState::ReadyForReconnection => Some("ready"),
        BreakerState::Unknown(_) => None,
    }
}

/// What the mechanism asks for: HLS 5 to 7 come with ciphered APDUs here.
fn mode(protection: Option<&Protection>) -> &'static str {
    match protection.map(|protection| protection.mechanism.as_str()) {
        Some("hls5" | "hls6" | "hls7") => "authenticated encryption",
        Some("lls") => "password only",
        Some("hls3" | "hls4") => "challenge only",
        _ => "none",
    }
}

fn seconds(millis: i64) -> Option<f64> {
    let millis = i32::try_from(millis).ok()?;
    Some(f64::from(millis) / 1_000.0)
}

fn zone(minutes: i16) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    let (hours, rest) = (minutes.unsigned_abs() / 60, minutes.unsigned_abs() % 60);
    match rest {
        0 => format!("UTC{sign}{hours}"),
        rest => format!("UTC{sign}{hours}:{rest:02}"),
    }
}

/// The last values of a meter's registers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Registers {
    /// When the newest of them was read.
    #[schema(format = DateTime)]
    read_at: Option<String>,
    rows: Vec<RegisterView>,
}

/// The last value of one register.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RegisterView {
    #[schema(example = "1-0:1.8.1")]
    obis: String,
    name: String,
    /// The scaled value; null for a text.
    #[schema(value_type = Option<f64>)]
    value: Option<serde_json::Number>,
    /// The value in full, every digit that the meter has.
    text: String,
    unit: String,
    scaler: i8,
    #[schema(format = DateTime)]
    at: String,
    /// Whether it is a running total.
    counter: bool,
    /// What was added since the last reading of an earlier day; null where it is no running
    /// total, and where there is no earlier reading yet.
    #[schema(value_type = Option<f64>)]
    since_yesterday: Option<serde_json::Number>,
}

/// The last values of a meter's registers.
#[utoipa::path(get, path = "/api/v1/meters/{id}/registers", tag = "meter",
    params(("id" = String, Path, description = "The registry id")),
    responses(
        (status = 200, description = "Registers", body = Registers),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
    ))]
pub(super) async fn registers(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Registers>, ApiError> {
    let id = meter_id(&id)?;
    app.blocking(move |app| {
        let (_meter, ..) = app.fleet.meter(id).ok_or(ApiError::NoSuchMeter)?;
        let rows = app.store.registers(id)?;
        Ok(Json(Registers {
            read_at: rows.iter().map(|row| row.last.at).max().map(rfc3339),
            rows: rows.iter().map(register).collect(),
        }))
    })
    .await
}

fn register(row: &RegisterRow) -> RegisterView {
    let last = &row.last;
    let (value, text, unit, scaler, since) = match &last.value {
        RegisterValue::Number {
            value,
            scaler,
            unit,
        } => {
            let scale = ScalerUnit::new(*scaler, Unit(*unit));
            let since = row
                .earlier
                .filter(|_| is_energy(last.object))
                .and_then(|(earlier, _)| value.checked_sub(earlier));
            (
                number(scale, *value),
                scale.scaled(*value).decimal().to_string(),
                Unit(*unit).symbol().unwrap_or("").to_owned(),
                *scaler,
                since.and_then(|since| number(scale, since)),
            )
        }
        RegisterValue::Text(text) => (None, text.clone(), String::new(), 0, None),
    };
    RegisterView {
        obis: last.object.to_string(),
        name: sentence_case(name(last.object)),
        value,
        text,
        unit,
        scaler,
        at: rfc3339(last.at),
        counter: is_energy(last.object),
        since_yesterday: since,
    }
}

/// A scaled value as JSON writes it: whole where it is whole.
fn number(scale: ScalerUnit, value: i64) -> Option<serde_json::Number> {
    if scale.scaler.unsigned_abs() > 20 {
        return None;
    }
    scale.scaled(value).decimal().to_string().parse().ok()
}

/// A name as the first words of a line are written.
fn sentence_case(mut name: String) -> String {
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    name
}

/// Value group D 8: a running total.
const fn is_energy(object: Obis) -> bool {
    let [a, _, _, d, _, _] = object.0;
    a == 1 && d == 8
}

pub(super) fn name(object: Obis) -> String {
    obis::name(object).map_or_else(|| object.to_string(), |name| name.to_string())
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// The number of events, 1 to 500.
    limit: u32,
    /// Only events before this time.
    #[param(format = DateTime)]
    before: Option<String>,
}

impl Default for EventsQuery {
    fn default() -> Self {
        Self {
            limit: 50,
            before: None,
        }
    }
}

/// Events of a meter, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Events {
    total: u64,
    rows: Vec<EventView>,
}

/// One event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventView {
    #[schema(format = DateTime)]
    at: String,
    /// One of info, warn, crit.
    state: &'static str,
    title: String,
    detail: String,
    /// The code in the meter's log.
    code: Option<u16>,
    /// Who noticed: meter, headend, or concentrator, which may tell what it likes.
    source: &'static str,
    /// The concentrator's name.
    via: Option<String>,
}

/// Checks which rows of a list that begins with the latest are asked for.
pub(super) fn before(time_before: Option<&str>, limit: u32) -> Result<Option<Timestamp>, ApiError> {
    if !(1..=500).contains(&limit) {
        return Err(ApiError::BadRequest("A limit is 1 to 500.".to_owned()));
    }
    time_before.map(time).transpose()
}

/// Events of a meter, newest first.
#[utoipa::path(get, path = "/api/v1/meters/{id}/events", tag = "meter",
    params(("id" = String, Path, description = "The registry id"), EventsQuery),
    responses(
        (status = 200, description = "Events", body = Events),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
    ))]
pub(super) async fn events(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Params(query): Params<EventsQuery>,
) -> Result<Json<Events>, ApiError> {
    let id = meter_id(&id)?;
    let before = before(query.before.as_deref(), query.limit)?;
    app.blocking(move |app| {
        let (_meter, ..) = app.fleet.meter(id).ok_or(ApiError::NoSuchMeter)?;
        let (total, events) = app.store.events(id, before, query.limit)?;
        let names = super::profile::concentrators(app)?;
        let rows = events.into_iter().map(|it| event(it, &names));
        Ok(Json(Events {
            total,
            rows: rows.collect(),
        }))
    })
    .await
}

fn event(event: Event, names: &BTreeMap<MeterId, String>) -> EventView {
    let known = KnownEvent::of(event.code);
    let in_log = |log| format!("Log {log}, code {}", event.code);
    let (source, detail, by) = match event.source {
        EventSource::Meter(log) => ("meter", in_log(log), None),
        EventSource::HeadEnd => ("headend", String::new(), None),
        EventSource::Concentrator { by, log } => {
            let detail = log.map_or_else(String::new, in_log);
            ("concentrator", detail, Some(by))
        }
    };
    EventView {
        at: rfc3339(event.at),
        state: match known.map(|known| known.severity) {
            Some(Severity::Critical) => "crit",
            Some(Severity::Warning) => "warn",
            Some(Severity::Info) | None => "info",
        },
        title: known.map_or_else(
            || format!("Event {}", event.code),
            |known| known.title.to_owned(),
        ),
        detail,
        code: (source != "headend").then_some(event.code),
        source,
        via: by.map(|by| names.get(&by).cloned().unwrap_or_else(|| by.to_string())),
    }
}

pub(super) fn time(text: &str) -> Result<Timestamp, ApiError> {
    parse_rfc3339(text)
        .ok_or_else(|| ApiError::BadRequest("A time is written 2026-11-19T12:00:00Z.".to_owned()))
}
