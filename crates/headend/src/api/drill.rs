//! Drills: a link of a simulated network is cut, and what readings of a meter go through.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::{ApiError, ErrorBody};
use super::guard::Params;
use super::meter::meter_id;
use super::orders::to_be_typed;
use super::outlets::{Body, reason};
use super::session::OPERATOR;
use crate::calendar::rfc3339;
use crate::drills::{
    CUT_S, DrillRefused, DrillSetup, DrillSummary, EVERY, LEAD, Phase, Running, TAIL, Timeline,
};
use crate::store::{DrillRow, NewDrill, StoreError};

/// Drills that are told of a meter.
const HISTORY: u32 = 20;

const NO_CONTROL: &str = "No control of a simulated network is configured (headend.scion, \
                          drill_control): links of real networks are not cut from here.";

/// Drills at a meter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DrillsView {
    /// Why there can be none at all.
    why_not: Option<&'static str>,
    /// The one that was asked for, else the one under way, else the last one.
    shown: Option<DrillView>,
    /// The last ones, the newest first, without their readings.
    drills: Vec<DrillView>,
}

/// One drill.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DrillView {
    /// Its number in the journal.
    number: i64,
    /// When it was asked for.
    #[schema(format = DateTime)]
    t: String,
    /// Who asked for it.
    who: String,
    /// Why.
    reason: String,
    /// The link that was asked for, by one of its ends; null: one on the path in use.
    #[schema(example = "2-ff00:0:211#1")]
    link: Option<String>,
    /// One of loud (its routers report what they cannot send on), silent.
    how: &'static str,
    /// After how many seconds the link is mended.
    mend_after_s: u16,
    /// One of waiting (for its turn at the meter), steady (nothing is cut yet), cut, mended, done,
    /// stopped, failed, cut_off (the head end stopped).
    state: &'static str,
    /// What became of it, in a sentence; null as long as it is under way.
    answer: Option<String>,
    /// When it ended; null as long as it is under way.
    #[schema(format = DateTime)]
    ended: Option<String>,
    summary: DrillSummary,
    /// The readings, of a meter's last 50 drills; empty of older ones, null in lists.
    timeline: Option<Timeline>,
}

/// What can be cut.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DrillLinksView {
    /// The links that paths to the meter cross.
    links: Vec<DrillLinkView>,
    /// Paths that the fence allows.
    allowed: usize,
    /// The link that is cut where none is named, as the last readings went; null where that is not
    /// known yet.
    #[schema(example = "2-ff00:0:211#1")]
    chosen: Option<String>,
    /// Milliseconds between two readings.
    every_ms: u64,
    /// How long is read before the cut, in seconds.
    lead_s: u64,
    /// How long is read after the link is mended, in seconds.
    tail_s: u64,
    /// The longest time that a link may be cut, in seconds.
    mend_after_s_max: u16,
}

/// A link of the simulated network.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DrillLinkView {
    /// One of its ends, which names it.
    #[schema(example = "2-ff00:0:211#1")]
    link: String,
    /// Its other end, which names it as well.
    to: String,
    /// How long a packet takes one way, as its ASes say.
    latency_ms: u64,
    /// Whether it is cut already.
    down: bool,
    /// Whether the path of the last readings crosses it.
    in_use: bool,
    /// Allowed paths that are left without it.
    leaves: usize,
}

/// How a link is cut.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DrillHow {
    /// Its routers report each packet that they cannot send on.
    Loud,
    /// Nobody does.
    Silent,
}

/// A drill to begin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDrillBody {
    /// The link by one of its ends; null: one that the path in use crosses when it is cut.
    #[serde(default)]
    #[schema(example = "2-ff00:0:211#1")]
    link: Option<String>,
    how: DrillHow,
    /// After how many seconds the link is mended, 1 to 60.
    mend_after_s: u16,
    /// Why, 10 to 200 characters.
    reason: String,
    /// The meter's place, or its name where it has none: asked for where no allowed path is left
    /// without the link.
    #[serde(default)]
    confirm: String,
}

/// Which drill.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct DrillQuery {
    /// The number of the drill that is shown.
    number: Option<i64>,
}

/// The drills at a meter, one of them with its readings.
#[utoipa::path(get, path = "/api/v1/meters/{id}/drill", tag = "paths",
    params(("id" = String, Path, description = "The registry id"), DrillQuery),
    responses(
        (status = 200, description = "Drills", body = DrillsView),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
        (status = 503, description = "The store failed", body = ErrorBody),
    ))]
pub(super) async fn drill(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Params(query): Params<DrillQuery>,
) -> Result<Json<DrillsView>, ApiError> {
    let id = meter_id(&id)?;
    app.blocking(move |app| {
        let (_meter, ..) = app.fleet.meter(id).ok_or(ApiError::NoSuchMeter)?;
        // First what is under way: what ends meanwhile stands in the journal then.
        let running = app.drills.running().filter(|it| it.drill.meter == id);
        let rows = app.drills.list(id, HISTORY)?;
        let under_way = |row: &DrillRow| {
            let running = running.as_ref();
            running.filter(|it| it.number == row.number && row.end.is_none())
        };
        let number = query.number.or_else(|| rows.first().map(|row| row.number));
        let shown = match number {
            Some(number) => app.drills.by_number(id, number)?,
            None => None,
        };
        let shown = shown.map(|row| view(&row, under_way(&row), true));
        let drills = rows.iter().map(|row| view(row, under_way(row), false));
        Ok(Json(DrillsView {
            why_not: (!app.drills.is_configured()).then_some(NO_CONTROL),
            shown: shown.transpose()?,
            drills: drills.collect::<Result<_, _>>()?,
        }))
    })
    .await
}

/// Takes JSON from the journal.
fn kept<T: DeserializeOwned>(text: Option<&String>) -> Result<Option<T>, StoreError> {
    let read = text.map(|text| serde_json::from_str(text)).transpose();
    read.map_err(|error| {
        tracing::error!(%error, "what readings of a drill went through is damaged");
        StoreError::DamagedValue("drill")
    })
}

fn view(
    row: &DrillRow,
    running: Option<&Running>,
    with_timeline: bool,
) -> Result<DrillView, StoreError> {
    let (timeline, summary) = match (&row.end, running) {
        (Some(end), _) => {
            let timeline: Option<Timeline> = kept(end.timeline.as_ref())?;
            (timeline.unwrap_or_default(), kept(end.summary.as_ref())?)
        }
        (None, Some(running)) => (running.timeline.clone(), None),
        (None, None) => (Timeline::default(), None),
    };
    let end = row.end.as_ref();
    let drill = &row.drill;
    Ok(DrillView {
        number: row.number,
        t: rfc3339(drill.at),
        who: drill.who.clone(),
        reason: drill.reason.clone(),
        link: drill.link.clone(),
        how: if drill.silent { "silent" } else { "loud" },
        mend_after_s: drill.mend_after_s,
        state: match (end, running) {
            (Some(end), _) => end.outcome.name(),
            (None, Some(running)) => running.phase.name(),
            // It is written down, and is about to begin.
            (None, None) => Phase::Waiting.name(),
        },
        answer: end.map(|end| end.answer.clone()),
        ended: end.map(|end| rfc3339(end.at)),
        summary: summary.unwrap_or_else(|| timeline.summary()),
        timeline: with_timeline.then_some(timeline),
    })
}

/// The links of the simulated network that paths to a meter cross. Nothing is sent to the meter.
#[utoipa::path(get, path = "/api/v1/meters/{id}/drill/links", tag = "paths",
    params(("id" = String, Path, description = "The registry id")),
    responses(
        (status = 200, description = "Links", body = DrillLinksView),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
        (status = 409, description = "There can be no drill", body = ErrorBody),
    ))]
pub(super) async fn links(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<DrillLinksView>, ApiError> {
    let id = meter_id(&id)?;
    let DrillSetup {
        links,
        allowed,
        chosen,
    } = app.drills.setup(id).await?;
    let links = links.into_iter().map(|found| DrillLinkView {
        down: found.link.is_down(),
        link: found.link.link,
        to: found.link.to,
        latency_ms: found.link.latency_ms,
        in_use: found.in_use,
        leaves: found.leaves,
    });
    Ok(Json(DrillLinksView {
        links: links.collect(),
        allowed,
        chosen,
        every_ms: u64::try_from(EVERY.as_millis()).unwrap_or(u64::MAX),
        lead_s: LEAD.as_secs(),
        tail_s: 2 * TAIL.as_secs(),
        mend_after_s_max: *CUT_S.end(),
    }))
}

/// Begins a drill: reads the meter at a fast pace, cuts the link meanwhile and mends it. It stands
/// in the journal when this answers; the network mends the link by itself after the time given,
/// whatever becomes of the head end.
#[utoipa::path(post, path = "/api/v1/meters/{id}/drill", tag = "paths",
    params(("id" = String, Path, description = "The registry id")), request_body = NewDrillBody,
    responses(
        (status = 202, description = "Begun", body = DrillView),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
        (status = 409, description = "There can be no drill now", body = ErrorBody),
        (status = 503, description = "The store failed", body = ErrorBody),
    ))]
pub(super) async fn begin(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Body(body): Body<NewDrillBody>,
) -> Result<(StatusCode, Json<DrillView>), ApiError> {
    let id = meter_id(&id)?;
    let reason = reason(&body.reason)?.to_owned();
    if !CUT_S.contains(&body.mend_after_s) {
        let message = "A link is cut for 1 to 60 seconds.";
        return Err(ApiError::BadRequest(message.to_owned()));
    }
    let (found, ..) = app.fleet.meter(id).ok_or(ApiError::NoSuchMeter)?;
    let confirmed = body.confirm.trim() == to_be_typed(&found);
    let new = NewDrill {
        meter: id,
        at: app.clock.now(),
        who: OPERATOR.to_owned(),
        reason,
        link: body.link,
        silent: matches!(body.how, DrillHow::Silent),
        mend_after_s: body.mend_after_s,
    };
    // Whoever goes away now leaves a drill that is either not written or carried out.
    let drills = Arc::clone(&app.drills);
    let begun = tokio::spawn(async move { drills.begin(new, confirmed).await });
    let begun = begun.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a drill did not begin");
        Err(DrillRefused::Stopping)
    });
    let running = begun?;
    let row = DrillRow {
        number: running.number,
        drill: running.drill.clone(),
        end: None,
    };
    let view = view(&row, Some(&running), true)?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// Ends the drill at a meter early. Its link is mended; the drill has ended when it says so.
#[utoipa::path(post, path = "/api/v1/meters/{id}/drill/stop", tag = "paths",
    params(("id" = String, Path, description = "The registry id")),
    responses(
        (status = 202, description = "It ends"),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
        (status = 409, description = "There is none under way", body = ErrorBody),
    ))]
pub(super) async fn stop(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = meter_id(&id)?;
    let (_meter, ..) = app.fleet.meter(id).ok_or(ApiError::NoSuchMeter)?;
    if app.drills.halt(id) {
        Ok(StatusCode::ACCEPTED)
    } else {
        Err(ApiError::NotNow(
            "no_drill",
            "No drill is under way at this meter.",
        ))
    }
}

impl From<DrillRefused> for ApiError {
    fn from(refused: DrillRefused) -> Self {
        match refused {
            DrillRefused::NoControl => Self::NotNow("no_control", NO_CONTROL),
            DrillRefused::Fence(error) => error.into(),
            DrillRefused::LeavesNone => Self::NotNow(
                "leaves_none",
                "The meter's fence leaves no path: nothing is sent to it. Nothing was cut.",
            ),
            DrillRefused::Control(error) => {
                tracing::info!(%error, "the control of the simulated network failed");
                Self::NotNow(
                    "control_failed",
                    "The control of the simulated network does not answer as one. Is gridward sim \
                     scion running, and is headend.scion.drill_control its --control? Nothing was \
                     cut.",
                )
            }
            DrillRefused::NoSuchLink => Self::NotNow(
                "no_such_link",
                "The simulated network has no such link. Nothing was cut.",
            ),
            DrillRefused::Elsewhere => Self::NotNow(
                "link_elsewhere",
                "No path to this meter crosses that link. Nothing was cut.",
            ),
            DrillRefused::IsCut => Self::NotNow(
                "link_is_cut",
                "Somebody has cut that link already. Mend it first, or choose another one.",
            ),
            DrillRefused::Unconfirmed => Self::NotNow(
                "confirm_place",
                "No allowed path is left without this link: nothing would be answered until it is \
                 mended. Type the meter's place to confirm. Nothing was cut.",
            ),
            DrillRefused::OrderUnderWay => Self::NotNow(
                "order_under_way",
                "An order to switch this meter has not ended. Nothing was cut.",
            ),
            DrillRefused::Already => Self::NotNow(
                "drill_under_way",
                "Another drill is under way: there is one at a time. Nothing was cut.",
            ),
            DrillRefused::Stopping => Self::Stopping,
            DrillRefused::Store(error) => Self::Store(error),
        }
    }
}
