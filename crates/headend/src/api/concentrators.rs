//! Concentrators: the list, one of them, the meters behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use model::{Feeder, LogicalDeviceName, MeterId, Phase, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::{ApiError, ErrorBody};
use super::guard::Params;
use super::meter::meter_id;
use super::meters::{natural, scheme};
use super::substation::{balance_state, balance_text};
use crate::calendar::rfc3339;
use crate::concentrators::balance::Site;
use crate::concentrators::{
    Concentrators, Digest, Enrolled, Installation, Meters, PairWord, Report, State as Known, Wan,
    WanState, WanWay, leads_to,
};
use crate::fleet::{DayFigure, FleetMeter, Judge};

/// Which concentrators.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConcentratorsQuery {
    /// Part of the name or the endpoint, in any case; at most 100 characters.
    q: String,
    /// The number of concentrators to skip.
    offset: usize,
    /// The number of concentrators to return, 1 to 500.
    limit: usize,
}

impl Default for ConcentratorsQuery {
    fn default() -> Self {
        Self {
            q: String::new(),
            offset: 0,
            limit: 200,
        }
    }
}

/// A window of a list of concentrators, those that need a person first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConcentratorList {
    /// Concentrators that match.
    total: usize,
    offset: usize,
    rows: Vec<ConcentratorRow>,
}

/// One concentrator in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConcentratorRow {
    /// The registry id.
    id: String,
    /// The name of its own logical device.
    name: String,
    /// The endpoint's URL; it holds no secrets.
    endpoint: String,
    /// How it is reached: TCP, TLS, UDP, SCTP.
    via: &'static str,
    /// One of ok, warn, crit, off, new.
    state: &'static str,
    state_text: String,
    /// When it last answered.
    #[schema(format = DateTime)]
    as_of: Option<String>,
    /// There and back.
    rtt_ms: Option<f64>,
    /// The kinds of media of its segments: ip, hdlc, s-fsk, prime, g3.
    media: Vec<String>,
    /// Meters in its SAP list; null before it was read.
    meters: Option<usize>,
    /// Those of them that are there.
    there: Option<usize>,
    /// Meters of the registry that are reached through it.
    enrolled: usize,
    /// Intervals of those, due today.
    read_today: ReadToday,
    /// Meters that it reads on its own as well.
    collected: Option<usize>,
    /// Rows that it holds for the head end.
    held_rows: Option<u64>,
    firmware: Option<String>,
    /// Outages that are not over.
    outages: usize,
    /// Meters that are out, by its notices.
    meters_out: usize,
    /// Since when the first of them is.
    #[schema(format = DateTime)]
    out_since: Option<String>,
    /// Its feeder's phase that needs somebody most; null where nothing was told.
    balance: Option<BalanceBrief>,
    /// How it stands with the other of its pair; null where it does not tell.
    pair: Option<PairBrief>,
}

/// How a concentrator stands with the other of its pair, by its word.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PairBrief {
    /// One of none (it works alone), ready (the other could go on at once), behind (the other does
    /// not know all yet), away (the other is silent), standby (it stands by itself).
    state: &'static str,
    /// The other's name; empty where there is none.
    peer: String,
    /// The other's registry id; null where it is not a device of its own here.
    peer_id: Option<String>,
    /// One of standby, active (both work).
    mode: &'static str,
    /// The epoch in which it took segments last.
    epoch: u64,
    /// Segments that it has, that the other said to have, and all.
    held: usize,
    held_there: usize,
    segments: u16,
    /// How long before the look the other last had all that this one has.
    behind_ms: Option<u32>,
    /// When it took segments last.
    #[schema(format = DateTime)]
    taken: Option<String>,
    /// How often it did since its start because the other was silent.
    takeovers: u64,
}

/// A phase of a feeder in few words.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BalanceBrief {
    /// One of ok, warn, miss.
    state: &'static str,
    state_text: String,
    feeder: String,
    phase: &'static str,
    /// Thousandths of what was supplied; null where nothing could be weighed.
    loss_permille: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub(crate) struct ReadToday {
    received: u32,
    expected: u32,
}

impl ReadToday {
    fn add(&mut self, figure: DayFigure) {
        self.received += figure.received.min(figure.expected);
        self.expected += figure.expected;
    }
}

/// Everything that one concentrator says of itself. Nothing of it is proved by the meters.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConcentratorView {
    /// It as in the list.
    row: ConcentratorRow,
    /// The system title in hex; empty where it is not known.
    system_title: String,
    serial: Option<String>,
    /// Where it is, as people call it; empty where it does not tell.
    place: String,
    /// The names of its feeders; empty where it does not tell.
    feeders: Vec<String>,
    /// Why it does not answer, in a sentence.
    failing: Option<String>,
    /// Since when it does not answer.
    #[schema(format = DateTime)]
    failing_since: Option<String>,
    /// Its clock less the head end's.
    clock_offset_s: Option<i64>,
    /// Changes of its SAP list so far.
    sap_changes: Option<u32>,
    /// The port on which it waits for head ends.
    port: Option<u16>,
    /// Looks are so many seconds apart.
    every_s: u32,
    segments: Vec<SegmentView>,
    /// The ways to it, as the head end finds them.
    ways: Vec<WayView>,
    connections: Vec<ConnectionView>,
    /// Its own ways to head ends, by its word; null where it does not tell.
    wan: Option<WanView>,
    metering: Vec<FeederView>,
    forwarded: Option<ForwardedView>,
    collection: Option<CollectionView>,
    /// Thousandths of due intervals that must be read a day.
    target_permille: u16,
    /// The kinds of its notices that nobody took yet.
    notices: Vec<&'static str>,
    /// The concentrator before this one.
    previous: Option<String>,
    /// The concentrator after this one.
    next: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SegmentView {
    number: u16,
    /// One of ip, hdlc, s-fsk, prime, g3.
    medium: String,
    /// Whether its line is there.
    open: bool,
    /// Messages that wait for it.
    waiting: u32,
    /// Meters that are there.
    there: usize,
    /// The nominal rate of its medium in bits a second; null where it has none or none is told.
    bit_rate: Option<u32>,
}

/// A way to a concentrator.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WayView {
    /// The endpoint's URL; it holds no secrets.
    endpoint: String,
    /// One of all, orders (nothing else goes that way).
    carries: &'static str,
    /// One of up, down, new (not tried yet).
    state: &'static str,
    /// Since when it is so.
    #[schema(format = DateTime)]
    since: Option<String>,
    /// When it was tried last.
    #[schema(format = DateTime)]
    tried: Option<String>,
    /// There and back, of the last answer.
    rtt_ms: Option<f64>,
}

/// The ways of a concentrator to head ends, by its word.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WanView {
    /// The ways, those that are preferred first.
    ways: Vec<WanWayView>,
    /// The place in `ways` of the one over which head ends come; null where none ever did.
    current: Option<usize>,
    /// When that changed last; null where it never did since its start.
    change: Option<WanChangeView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WanWayView {
    /// What its operator calls it; may be empty.
    name: String,
    /// Where it listens or connects to as configured.
    place: String,
    /// Whether the concentrator opens it.
    dialled: bool,
    /// The class of all that comes over it: control for orders alone; may be empty.
    class: String,
    /// Open connections over which messages came.
    connections: u16,
    /// One of up (messages come), quiet (none came for a while), down (the concentrator opens it,
    /// and no connection is open over which one came), new (nobody ever came over it).
    state: &'static str,
    /// Since when messages come, or when they last began to.
    #[schema(format = DateTime)]
    gained: Option<String>,
    /// Since when none do, or when they last ceased to.
    #[schema(format = DateTime)]
    lost: Option<String>,
    /// When the last message came.
    #[schema(format = DateTime)]
    heard: Option<String>,
}

/// Head ends came over another way from then on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WanChangeView {
    /// Places in `ways`.
    from: usize,
    to: usize,
    /// When the first message came over the other way.
    #[schema(format = DateTime)]
    at: String,
    /// How long after the end of the last connection over the one; null where that end was not
    /// seen at once.
    took_ms: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConnectionView {
    peer: String,
    /// Whether the concentrator opened it.
    dialled: bool,
    #[schema(format = DateTime)]
    since: String,
}

/// What its own metering measures, by phase.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FeederView {
    feeder: String,
    voltage_mv: Vec<u32>,
    current_ma: Vec<u32>,
    energy_wh: Vec<u64>,
}

/// Messages forwarded and dropped since its start.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ForwardedView {
    down: u64,
    up: u64,
    /// For SAPs that nobody has.
    unknown: u64,
    /// That found a queue full.
    full: u64,
    /// That waited too long.
    expired: u64,
    /// From meters that nobody had asked.
    unasked: u64,
    /// For head ends that were gone.
    nobody: u64,
    /// Too long for their segment.
    unfit: u64,
    /// Meters that said the name of another.
    conflicts: u64,
}

/// What it read on its own.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CollectionView {
    /// Rounds that went well since its start.
    rounds: u64,
    /// Rounds that failed since its start.
    failed: u64,
    /// Octets that the rows it holds take.
    held_octets: u64,
    /// Rows that it dropped before anybody took them.
    dropped: u64,
    /// Days after which it drops a row that nobody took; null where it does not tell.
    keep_days: Option<u64>,
}

/// The meters behind a concentrator, worst first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConcentratorMeters {
    /// When the list was read; null where it was not yet.
    #[schema(format = DateTime)]
    as_of: Option<String>,
    total: usize,
    offset: usize,
    rows: Vec<ConcentratorMeter>,
}

/// A meter as its concentrator sees it, with what the registry knows of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConcentratorMeter {
    /// The logical device name that it said in clear.
    name: String,
    /// Its SAP at the concentrator.
    sap: u16,
    /// Since when it has that; null where the concentrator does not know or tell.
    #[schema(format = DateTime)]
    sap_since: Option<String>,
    /// The registry id; null where no such meter is enrolled.
    id: Option<String>,
    place: String,
    feeder: String,
    phase: &'static str,
    /// How the head end finds it: one of ok, warn, crit, off, miss, new; null where it is not
    /// enrolled.
    state: Option<&'static str>,
    state_text: String,
    /// The segment at which it is.
    segment: Option<u16>,
    there: bool,
    #[schema(format = DateTime)]
    heard: Option<String>,
    /// Meters that repeat what goes to it.
    hops: u8,
    /// The part of its frames that are heard, in thousandths.
    quality_permille: Option<u16>,
    /// The SAP of the meter through which it is reached, 0 where it is heard directly; null where
    /// its medium does not tell.
    behind: Option<u16>,
    /// Frames to or from it that had to go again since midnight in UTC, or since the concentrator's
    /// start; null where its medium or the concentrator does not tell.
    repeated_today: Option<u32>,
    /// direct, or conventional where the concentrator reads it on its own as well.
    mode: &'static str,
    /// Whether the concentrator could read it on its own.
    has_keys: bool,
    /// Rows of it that the concentrator holds.
    held_rows: u32,
    read_today: Option<ReadToday>,
}

/// Which of the meters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct BehindQuery {
    /// The number of meters to skip.
    offset: usize,
    /// The number of meters to return, 1 to 2000.
    limit: usize,
}

impl Default for BehindQuery {
    fn default() -> Self {
        Self {
            offset: 0,
            limit: 2_000,
        }
    }
}

/// Lists concentrators.
#[utoipa::path(get, path = "/api/v1/concentrators", tag = "concentrator",
    params(ConcentratorsQuery),
    responses(
        (status = 200, description = "Concentrators", body = ConcentratorList),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
    ))]
pub(super) async fn concentrators(
    State(app): State<Arc<App>>,
    Params(query): Params<ConcentratorsQuery>,
) -> Result<Json<ConcentratorList>, ApiError> {
    if query.limit == 0 || query.limit > 500 || query.q.chars().count() > 100 {
        return Err(ApiError::BadRequest(
            "A limit is 1 to 500, and what is looked for has at most 100 characters.".to_owned(),
        ));
    }
    let list = app.blocking(move |app| {
        let text = query.q.trim().to_lowercase();
        let found = app.concentrators.iter().filter(|one| {
            let name = one.target.enrolment.name.as_str().to_lowercase();
            text.is_empty() || name.contains(&text) || one.config.endpoint.contains(&text)
        });
        let found: Vec<&Enrolled> = found.collect();
        let mut rows = app.concentrator_rows(&found)?;
        rows.sort_by(|a, b| {
            let urgency = |row: &ConcentratorRow| urgency(row.state);
            let names = || natural(&a.name, &b.name);
            urgency(a).cmp(&urgency(b)).then_with(names)
        });
        let total = rows.len();
        let window = rows.into_iter().skip(query.offset).take(query.limit);
        Ok(Json(ConcentratorList {
            total,
            offset: query.offset,
            rows: window.collect(),
        }))
    });
    list.await
}

/// One concentrator.
#[utoipa::path(get, path = "/api/v1/concentrators/{id}", tag = "concentrator",
    params(("id" = String, Path, description = "The registry id")),
    responses(
        (status = 200, description = "The concentrator", body = ConcentratorView),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such concentrator", body = ErrorBody),
    ))]
pub(super) async fn concentrator(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<ConcentratorView>, ApiError> {
    let one = find(&app, &id)?;
    app.blocking(move |app| Ok(Json(view(app, &one)?))).await
}

/// The meters behind one concentrator.
#[utoipa::path(get, path = "/api/v1/concentrators/{id}/meters", tag = "concentrator",
    params(("id" = String, Path, description = "The registry id"), BehindQuery),
    responses(
        (status = 200, description = "Its meters", body = ConcentratorMeters),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such concentrator", body = ErrorBody),
    ))]
pub(super) async fn behind(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Params(query): Params<BehindQuery>,
) -> Result<Json<ConcentratorMeters>, ApiError> {
    if query.limit == 0 || query.limit > 2_000 {
        return Err(ApiError::BadRequest("A limit is 1 to 2000.".to_owned()));
    }
    let one = find(&app, &id)?;
    app.blocking(move |app| Ok(Json(meters_of(app, &one, &query))))
        .await
}

/// Looks at a concentrator now instead of at its time; what it says comes with the stream.
#[utoipa::path(post, path = "/api/v1/concentrators/{id}/look", tag = "concentrator",
    params(("id" = String, Path, description = "The registry id")),
    responses(
        (status = 202, description = "It is looked at next"),
        (status = 400, description = "From another site", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such concentrator", body = ErrorBody),
    ))]
pub(super) async fn look(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let one = find(&app, &id)?;
    app.board.look_now(one.target.id);
    Ok(StatusCode::ACCEPTED)
}

pub(super) fn find(app: &App, id: &str) -> Result<Enrolled, ApiError> {
    let id = meter_id(id).map_err(|_| ApiError::NoSuchConcentrator)?;
    let one = app.concentrators.get(id);
    one.cloned().ok_or(ApiError::NoSuchConcentrator)
}

const fn urgency(state: &str) -> u8 {
    match state.as_bytes() {
        b"crit" => 0,
        b"off" => 1,
        b"warn" => 2,
        b"new" => 3,
        _ => 4,
    }
}

/// Says how a concentrator is, in one word and one line.
fn health(known: &Known, digest: &Digest, now: Timestamp) -> (&'static str, String) {
    if let Some(since) = known.silent_since() {
        let minutes = now.millis_since(since).max(0) / 60_000;
        let text = match minutes {
            0..60 => format!("Silent {minutes} min"),
            60..2_880 => format!("Silent {} h", minutes / 60),
            _ => format!("Silent {} d", minutes / 1_440),
        };
        return ("off", text);
    }
    let Some(report) = &known.report else {
        return ("new", "New".to_owned());
    };
    if let Some(lost) = report.segments.iter().find(|it| !it.open) {
        return ("crit", format!("Line of segment {} lost", lost.number));
    }
    if let Some(PairWord::Of(pair)) = &report.pair {
        if !pair.there {
            return ("warn", format!("{} is away", pair.peer));
        }
        if pair.stands_by() {
            return ("ok", "Stands by".to_owned());
        }
    }
    let silent = known.meters.as_ref().map_or(0, |(meters, _)| {
        meters.values().filter(|it| !it.there).count()
    });
    match silent {
        0 => match &digest.worst {
            Some((site, verdict, loss)) if verdict.needs_somebody() => {
                let text = balance_text(*verdict, *loss);
                ("warn", format!("{} {}: {text}", site.0.as_str(), site.1))
            }
            _ => ("ok", "Answers".to_owned()),
        },
        1 => ("warn", "1 meter silent".to_owned()),
        _ => ("warn", format!("{silent} meters silent")),
    }
}

/// The kinds of a concentrator's notices, as bits n for code n; `docs/concentrator.md` has them.
pub(super) const NOTICES: [(u8, &str); 14] = [
    (1, "Meters fell silent"),
    (2, "Meters are there again"),
    (3, "A meter raises an alarm"),
    (4, "More was supplied than metered"),
    (5, "The balance is even again"),
    (6, "A phase is gone"),
    (7, "A phase is back"),
    (8, "A phase is overloaded"),
    (9, "A phase is no longer overloaded"),
    (10, "A voltage deviates"),
    (11, "A voltage no longer deviates"),
    (12, "Rows were dropped before anybody took them"),
    (13, "What was on disk was damaged"),
    (14, "The clock was set"),
];

/// What the registry knows of the meters behind each endpoint.
#[derive(Default)]
struct Behind {
    enrolled: usize,
    read_today: ReadToday,
}

impl App {
    /// One concentrator as a row, or `None` where it is gone.
    pub(super) fn concentrator_row(
        &self,
        id: MeterId,
    ) -> Result<Option<ConcentratorRow>, ApiError> {
        match self.concentrators.get(id) {
            Some(one) => Ok(self.concentrator_rows(&[one])?.pop()),
            None => Ok(None),
        }
    }

    fn concentrator_rows(&self, all: &[&Enrolled]) -> Result<Vec<ConcentratorRow>, ApiError> {
        let judge = self.fleet.judge(self.clock.now());
        let mut behind: BTreeMap<&str, Behind> = all
            .iter()
            .map(|one| (one.config.endpoint.as_str(), Behind::default()))
            .collect();
        self.fleet.with_meters(|meters| {
            for meter in meters.values() {
                // One of a pair has the same meters behind it as the other.
                for way in meter.meter.enrolment.endpoint.split_whitespace() {
                    let Some(behind) = behind.get_mut(way) else {
                        continue;
                    };
                    behind.enrolled += 1;
                    if let Some(today) = judge.figures(meter).last() {
                        behind.read_today.add(today);
                    }
                }
            }
        });
        let digests = self.digests(all)?;
        let (none, nothing) = (Behind::default(), Arc::default());
        let row = |one: &&Enrolled| {
            let behind = behind.get(one.config.endpoint.as_str()).unwrap_or(&none);
            let known = self.board.state(one.target.id);
            let digest = digests.get(&one.target.id).unwrap_or(&nothing);
            let pair = known.report.as_deref().and_then(|it| it.pair.as_ref());
            ConcentratorRow {
                pair: pair.map(|it| pair_brief(it, &self.concentrators)),
                ..row(one, &known, behind, digest, self.clock.now())
            }
        };
        Ok(all.iter().map(row).collect())
    }
}

/// Where a meter hangs, where the registry says so.
pub(super) fn site(meter: &FleetMeter) -> Option<Site> {
    let enrolment = &meter.meter.enrolment;
    Some((enrolment.feeder.clone()?, enrolment.phase?))
}

fn row(
    one: &Enrolled,
    known: &Known,
    behind: &Behind,
    digest: &Digest,
    now: Timestamp,
) -> ConcentratorRow {
    let report = known.report.as_deref();
    let meters = known.meters.as_ref().map(|(meters, _)| meters);
    let count = |keep: fn(&crate::concentrators::MeterLine) -> bool| {
        meters.map(|meters| meters.values().filter(|it| keep(it)).count())
    };
    let mut media: Vec<String> = Vec::new();
    for segment in report.into_iter().flat_map(|it| &it.segments) {
        if !media.contains(&segment.medium) {
            media.push(segment.medium.clone());
        }
    }
    let (state, state_text) = health(known, digest, now);
    ConcentratorRow {
        id: one.target.id.to_string(),
        name: one.target.enrolment.name.to_string(),
        endpoint: one.config.endpoint.clone(),
        via: scheme(&one.config.endpoint),
        state,
        state_text,
        as_of: report.map(|it| rfc3339(it.at)),
        rtt_ms: report
            .and_then(|it| it.rtt_us)
            .map(|us| f64::from(us) / 1_000.0),
        media,
        meters: meters.map(|it| it.len()),
        there: count(|it| it.there),
        enrolled: behind.enrolled,
        read_today: behind.read_today,
        collected: count(|it| it.collected),
        held_rows: report.and_then(|it| it.collection).map(|it| it.rows),
        firmware: report.and_then(|it| it.firmware.clone()),
        outages: digest.outages,
        meters_out: digest.out,
        out_since: digest.since.map(rfc3339),
        balance: digest
            .worst
            .as_ref()
            .map(|(site, verdict, loss)| BalanceBrief {
                state: balance_state(*verdict),
                state_text: balance_text(*verdict, *loss),
                feeder: site.0.as_str().to_owned(),
                phase: site.1.name(),
                loss_permille: *loss,
            }),
        pair: None,
    }
}

fn pair_brief(word: &PairWord, all: &Concentrators) -> PairBrief {
    let PairWord::Of(pair) = word else {
        return PairBrief {
            state: "none",
            peer: String::new(),
            peer_id: None,
            mode: "standby",
            epoch: 0,
            held: 0,
            held_there: 0,
            segments: 0,
            behind_ms: None,
            taken: None,
            takeovers: 0,
        };
    };
    PairBrief {
        state: if !pair.there {
            "away"
        } else if pair.stands_by() {
            "standby"
        } else if pair.in_step {
            "ready"
        } else {
            "behind"
        },
        peer: pair.peer.to_string(),
        peer_id: all.named(&pair.peer).map(|it| it.target.id.to_string()),
        mode: if pair.both_work { "active" } else { "standby" },
        epoch: pair.epoch,
        held: pair.held,
        held_there: pair.held_there,
        segments: pair.segments,
        behind_ms: pair.behind_ms,
        taken: pair.taken.map(rfc3339),
        takeovers: pair.takeovers,
    }
}

fn view(app: &App, one: &Enrolled) -> Result<ConcentratorView, ApiError> {
    let known = app.board.state(one.target.id);
    let report = known.report.as_deref();
    let mut rows = app.concentrator_rows(&[one])?;
    let row = rows.pop().ok_or(ApiError::NoSuchConcentrator)?;
    let installation = report.and_then(|it| it.installation.as_ref());
    let failing = known.failing;
    let alarms = report.and_then(|it| it.alarms).unwrap_or(0);
    let open = NOTICES.iter().filter(|(code, _)| alarms >> code & 1 == 1);
    let ids: Vec<MeterId> = app.concentrators.iter().map(|it| it.target.id).collect();
    let place = ids.iter().position(|id| *id == one.target.id).unwrap_or(0);
    let beside = |place: Option<usize>| ids.get(place?).map(ToString::to_string);
    Ok(ConcentratorView {
        row,
        system_title: one
            .target
            .enrolment
            .system_title
            .map_or_else(String::new, |title| title.to_string()),
        serial: report.and_then(|it| it.serial.clone()),
        place: installation.map_or_else(String::new, |it| it.place.clone()),
        feeders: installation.map_or_else(Vec::new, |it| it.feeders.clone()),
        failing: failing.map(|it| it.reason.sentence().to_owned()),
        failing_since: failing.map(|it| rfc3339(it.since)),
        clock_offset_s: report.and_then(|it| it.clock_s),
        sap_changes: report.and_then(|it| it.sap_changes),
        port: report.and_then(|it| it.port),
        every_s: one.config.status_s,
        segments: of(report, |it| {
            let all = it.segments.iter();
            all.map(|it| segment(it, installation)).collect()
        }),
        ways: ways(one, &known),
        connections: of(report, |it| {
            let all = it.connections.iter().map(|it| ConnectionView {
                peer: it.peer.clone(),
                dialled: it.dialled,
                since: rfc3339(it.since),
            });
            all.collect()
        }),
        wan: report.and_then(|it| it.wan.as_ref()).map(wan),
        metering: of(report, |it| {
            let all = it.metering.iter().map(|it| FeederView {
                feeder: it.name.clone(),
                voltage_mv: it.voltage_mv.to_vec(),
                current_ma: it.current_ma.to_vec(),
                energy_wh: it.energy_wh.to_vec(),
            });
            all.collect()
        }),
        forwarded: report.and_then(|it| it.forwarded).map(|it| ForwardedView {
            down: it.down,
            up: it.up,
            unknown: it.unknown,
            full: it.full,
            expired: it.expired,
            unasked: it.unasked,
            nobody: it.nobody,
            unfit: it.unfit,
            conflicts: it.conflicts,
        }),
        collection: report
            .and_then(|it| it.collection)
            .map(|it| CollectionView {
                rounds: it.rounds,
                failed: it.failed,
                held_octets: it.octets,
                dropped: it.dropped,
                keep_days: it.keep_days,
            }),
        target_permille: app.config.target_permille,
        notices: open.map(|(_, text)| *text).collect(),
        previous: beside(place.checked_sub(1)),
        next: beside(place.checked_add(1)),
    })
}

fn wan(told: &Wan) -> WanView {
    let way = |way: &WanWay| WanWayView {
        name: way.name.clone(),
        place: way.place.clone(),
        dialled: way.dialled,
        class: way.class.clone(),
        connections: way.connections,
        state: match way.state {
            WanState::New => "new",
            WanState::Up => "up",
            WanState::Quiet => "quiet",
            WanState::Down => "down",
        },
        gained: way.gained.map(rfc3339),
        lost: way.lost.map(rfc3339),
        heard: way.heard.map(rfc3339),
    };
    WanView {
        ways: told.ways.iter().map(way).collect(),
        current: told.current,
        change: told.change.map(|it| WanChangeView {
            from: it.from,
            to: it.to,
            at: rfc3339(it.at),
            took_ms: it.took_ms,
        }),
    }
}

/// The ways to one: where it is talked to, and where it takes orders, if that is elsewhere.
fn ways(one: &Enrolled, known: &Known) -> Vec<WayView> {
    let all = std::iter::once(&one.config.endpoint).chain(&one.config.also);
    let all = all.map(|way| (way, "all"));
    let all = all.chain(one.config.urgent.iter().map(|way| (way, "orders")));
    let way = |(endpoint, carries): (&String, &'static str)| {
        let way = known.ways.get(endpoint);
        WayView {
            endpoint: endpoint.clone(),
            carries,
            state: match way.map(|it| it.up) {
                Some(true) => "up",
                Some(false) => "down",
                None => "new",
            },
            since: way.map(|it| rfc3339(it.since)),
            tried: way.map(|it| rfc3339(it.tried)),
            rtt_ms: way
                .and_then(|it| it.rtt_us)
                .map(|us| f64::from(us) / 1_000.0),
        }
    };
    all.map(way).collect()
}

fn of<T>(report: Option<&Report>, take: impl FnOnce(&Report) -> Vec<T>) -> Vec<T> {
    report.map(take).unwrap_or_default()
}

fn segment(
    segment: &crate::concentrators::Segment,
    installation: Option<&Installation>,
) -> SegmentView {
    SegmentView {
        number: segment.number,
        medium: segment.medium.clone(),
        open: segment.open,
        waiting: segment.waiting,
        there: segment.saps.len(),
        bit_rate: installation.and_then(|it| it.bit_rates.get(&segment.number).copied()),
    }
}

fn meters_of(app: &App, one: &Enrolled, query: &BehindQuery) -> ConcentratorMeters {
    let known = app.board.state(one.target.id);
    let Some((meters, at)) = &known.meters else {
        return ConcentratorMeters {
            as_of: None,
            total: 0,
            offset: query.offset,
            rows: Vec::new(),
        };
    };
    let judge = app.fleet.judge(app.clock.now());
    let by_sap = known.report.as_deref().map(Report::segments_by_sap);
    let by_sap = by_sap.unwrap_or_default();
    let mut rows = app.fleet.with_meters(|fleet| {
        let enrolled: BTreeMap<&LogicalDeviceName, &FleetMeter> = fleet
            .values()
            .filter(|it| leads_to(&it.meter.enrolment.endpoint, &one.config.endpoint))
            .map(|it| (&it.meter.enrolment.name, it))
            .collect();
        lines(meters, &enrolled, &by_sap, &judge)
    });
    // Those that are not there, then those that are heard worst.
    rows.sort_by(|a, b| {
        let key = |row: &ConcentratorMeter| (row.there, row.quality_permille.unwrap_or(u16::MAX));
        key(a).cmp(&key(b)).then_with(|| a.sap.cmp(&b.sap))
    });
    let total = rows.len();
    let window = rows.into_iter().skip(query.offset).take(query.limit);
    ConcentratorMeters {
        as_of: Some(rfc3339(*at)),
        total,
        offset: query.offset,
        rows: window.collect(),
    }
}

fn lines(
    meters: &Meters,
    enrolled: &BTreeMap<&LogicalDeviceName, &FleetMeter>,
    by_sap: &BTreeMap<u16, u16>,
    judge: &Judge,
) -> Vec<ConcentratorMeter> {
    let line = |(name, line): (&LogicalDeviceName, &crate::concentrators::MeterLine)| {
        let meter = enrolled.get(name);
        let enrolment = meter.map(|it| &it.meter.enrolment);
        let health = meter.map(|it| judge.health(it));
        let feeder = enrolment.and_then(|it| it.feeder.as_ref());
        let phase = enrolment.and_then(|it| it.phase);
        ConcentratorMeter {
            name: name.to_string(),
            sap: line.sap,
            sap_since: line.sap_since.map(rfc3339),
            id: meter.map(|it| it.meter.id.to_string()),
            place: enrolment.map_or_else(String::new, |it| it.place.as_str().to_owned()),
            feeder: feeder.map_or("", Feeder::as_str).to_owned(),
            phase: phase.map_or("", Phase::name),
            state: health.as_ref().map(|it| it.kind.state()),
            state_text: health.map_or_else(String::new, |it| it.text),
            segment: by_sap.get(&line.sap).copied(),
            there: line.there,
            heard: line.heard.map(rfc3339),
            hops: line.hops,
            quality_permille: line.quality,
            behind: line.behind,
            repeated_today: line.repeated_today,
            mode: if line.collected {
                "conventional"
            } else {
                "direct"
            },
            has_keys: line.has_keys,
            held_rows: line.rows,
            read_today: meter.and_then(|it| {
                let mut today = ReadToday::default();
                today.add(judge.figures(it).last()?);
                Some(today)
            }),
        }
    };
    meters.iter().map(line).collect()
}
