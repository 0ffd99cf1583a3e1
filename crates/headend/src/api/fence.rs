//! Paths to a meter over SCION, and the fence that says which of them may be taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use link::{ScionFence, ScionPath, ScionRemaining};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::{ApiError, ErrorBody};
use super::guard::Params;
use super::meter::meter_id;
use super::outlets::{Body, reason};
use super::session::OPERATOR;
use crate::calendar::rfc3339;
use crate::fences::{FenceError, Left, NewFence, Trial};
use crate::store::{PathRun, SavedFence};
use model::MeterId;

/// Places that are told of an AS, over all paths.
const PLACES_MAX: usize = 8;

/// Fences that are told of a meter.
const HISTORY: u32 = 20;

/// What a fence leaves of the paths that the head end's own AS knows to a meter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FenceView {
    /// The fence in SCION's path policy language; null: everything is allowed.
    #[schema(example = "- 3 +")]
    fence: Option<String>,
    /// The one that the meter was enrolled with.
    enrolled: Option<String>,
    /// Fences that were saved, the newest first; the first one counts.
    saved: Vec<SavedFenceView>,
    /// Paths that are known, and how many of them are allowed.
    known: usize,
    allowed: usize,
    /// One of none, one, one_link (several, but one interface is on all of them), several.
    remaining: &'static str,
    /// The interface that is on all of them.
    #[schema(example = "1-ff00:0:110#2")]
    decides: Option<String>,
    /// Whether the path of the last questions is allowed; null where it is not known.
    active_stays: Option<bool>,
    /// When the last readings began that took another path than those before.
    #[schema(format = DateTime)]
    moved: Option<String>,
    /// Whether links of its network can be cut on purpose, see `…/drill`.
    drills: bool,
    /// The allowed ones first, in the order in which they are preferred.
    paths: Vec<FencePath>,
    /// What the ASes on these paths tell of themselves, in the order of their numbers: their own
    /// word, which nobody checks. Texts are bounded and have no control characters.
    about: Vec<AsView>,
}

/// What an AS tells of itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AsView {
    #[schema(example = "2-ff00:0:211")]
    isd_as: String,
    /// Where its routers on these paths are; empty: it does not say.
    #[schema(example = json!(["DE-Frankfurt"]))]
    places: Vec<String>,
    note: Option<String>,
}

/// A path, and whether it may be taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FencePath {
    #[schema(example = "2-ff00:0:211 1>10 2-ff00:0:210")]
    hops: String,
    /// The ASes in order.
    ases: Vec<String>,
    fingerprint: String,
    /// How long a packet takes one way, as its ASes say.
    latency_ms: Option<f64>,
    /// Whether the last questions took it.
    active: bool,
    /// Why it may not be taken.
    refused: Option<String>,
}

/// A fence as it was saved.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SavedFenceView {
    #[schema(format = DateTime)]
    at: String,
    who: String,
    reason: String,
    /// Null: as the meter was enrolled.
    fence: Option<String>,
    allowed: u32,
    known: u32,
}

/// Which fence would be saved.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FenceQuery {
    /// The fence in SCION's path policy language; empty: as the meter was enrolled.
    fence: String,
}

/// A fence to save.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FenceBody {
    /// The fence in SCION's path policy language; null: as the meter was enrolled. It must be said.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required)]
    fence: Option<String>,
    /// Why, 10 to 200 characters.
    reason: String,
    /// Says that it may leave no path, so that nothing is sent any more.
    #[serde(default)]
    send_nothing: bool,
}

/// The paths to a meter and what its fence leaves of them.
#[utoipa::path(get, path = "/api/v1/meters/{id}/fence", tag = "paths",
    params(("id" = String, Path, description = "The registry id")),
    responses(
        (status = 200, description = "Paths and fence", body = FenceView),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
        (status = 409, description = "Not over SCION, or no paths are known", body = ErrorBody),
    ))]
pub(super) async fn fence(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<FenceView>, ApiError> {
    let id = meter_id(&id)?;
    let left = app.fences.left(id, Trial::Current).await?;
    app.blocking(move |app| view(app, id, left).map(Json)).await
}

/// What a fence would leave; nothing is saved.
#[utoipa::path(get, path = "/api/v1/meters/{id}/fence/preview", tag = "paths",
    params(("id" = String, Path, description = "The registry id"), FenceQuery),
    responses(
        (status = 200, description = "What it would leave", body = FenceView),
        (status = 400, description = "Not a fence", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
        (status = 409, description = "Not over SCION, or no paths are known", body = ErrorBody),
    ))]
pub(super) async fn preview(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Params(query): Params<FenceQuery>,
) -> Result<Json<FenceView>, ApiError> {
    let id = meter_id(&id)?;
    let trial = match query.fence.trim() {
        "" => Trial::Enrolled,
        text => Trial::Other(parsed(text)?),
    };
    let left = app.fences.left(id, trial).await?;
    app.blocking(move |app| view(app, id, left).map(Json)).await
}

/// Saves a fence. It holds from the meter's next association on. One that leaves no path is refused
/// unless `send_nothing` says that this is wanted.
#[utoipa::path(put, path = "/api/v1/meters/{id}/fence", tag = "paths",
    params(("id" = String, Path, description = "The registry id")), request_body = FenceBody,
    responses(
        (status = 200, description = "Saved", body = FenceView),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
        (status = 409, description = "It leaves no path, or no paths are known", body = ErrorBody),
        (status = 503, description = "The store failed", body = ErrorBody),
    ))]
pub(super) async fn save(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Body(body): Body<FenceBody>,
) -> Result<Json<FenceView>, ApiError> {
    let id = meter_id(&id)?;
    let new = NewFence {
        fence: body.fence.as_deref().map(parsed).transpose()?,
        reason: reason(&body.reason)?.to_owned(),
        who: OPERATOR,
        send_nothing: body.send_nothing,
    };
    let left = app.fences.save(id, new).await?;
    app.blocking(move |app| view(app, id, left).map(Json)).await
}

fn parsed(text: &str) -> Result<ScionFence, ApiError> {
    text.trim()
        .parse()
        .map_err(|error| ApiError::BadRequest(format!("This is no fence: {error}.")))
}

fn view(app: &App, id: MeterId, left: Left) -> Result<FenceView, ApiError> {
    let (_, runs) = app.store.path_runs(id, None, 2)?;
    let saved = app.store.fences().history(id, HISTORY)?;
    let sent = |run: &PathRun| run.receipt.paths.sent.clone();
    let active = runs.first().and_then(sent).map(|taken| taken.fingerprint);
    let decides = match left.remaining {
        ScionRemaining::OneLinkDecides { isd_as, interface } => {
            Some(format!("{isd_as}#{interface}"))
        }
        _ => None,
    };
    let path = |(path, refused): (ScionPath, Option<String>)| {
        let fingerprint = path.fingerprint().to_string();
        FencePath {
            hops: path.to_string(),
            ases: path
                .hops()
                .iter()
                .map(|hop| hop.isd_as.to_string())
                .collect(),
            active: active.as_ref() == Some(&fingerprint),
            fingerprint,
            latency_ms: path
                .latency
                .map(|it| (it.as_secs_f64() * 10_000.0).round() / 10.0),
            refused,
        }
    };
    let known = left.paths.len();
    let about = about(&left.paths);
    let paths: Vec<FencePath> = left.paths.into_iter().map(path).collect();
    let active_stays = paths.iter().find(|path| path.active);
    Ok(FenceView {
        fence: left.fence.map(|fence| fence.to_string()),
        enrolled: left.enrolled.map(|fence| fence.to_string()),
        saved: saved.into_iter().map(saved_view).collect(),
        known,
        allowed: left.allowed,
        remaining: match left.remaining {
            ScionRemaining::None => "none",
            ScionRemaining::One => "one",
            ScionRemaining::OneLinkDecides { .. } => "one_link",
            ScionRemaining::Several => "several",
        },
        decides,
        active_stays: active_stays.map(|path| path.refused.is_none()),
        moved: match runs.as_slice() {
            [last, before] if sent(last) != sent(before) => Some(rfc3339(last.receipt.first)),
            _ => None,
        },
        drills: app.drills.is_configured(),
        paths,
        about,
    })
}

/// Each AS once, with all that it tells on any path.
fn about(paths: &[(ScionPath, Option<String>)]) -> Vec<AsView> {
    let mut all = BTreeMap::new();
    for (path, _) in paths {
        for hop in path.hops() {
            all.entry(hop.isd_as).or_insert_with(|| AsView {
                isd_as: hop.isd_as.to_string(),
                places: Vec::new(),
                note: None,
            });
        }
        for told in &*path.about {
            let Some(view) = all.get_mut(&told.isd_as) else {
                continue;
            };
            for place in &told.places {
                if view.places.len() < PLACES_MAX && !view.places.contains(place) {
                    view.places.push(place.clone());
                }
            }
            view.note = view.note.take().or_else(|| told.note.clone());
        }
    }
    all.into_values().collect()
}

fn saved_view(saved: SavedFence) -> SavedFenceView {
    SavedFenceView {
        at: rfc3339(saved.at),
        who: saved.who,
        reason: saved.reason,
        fence: saved.fence,
        allowed: saved.allowed,
        known: saved.known,
    }
}

impl From<FenceError> for ApiError {
    fn from(error: FenceError) -> Self {
        match error {
            FenceError::NoSuchMeter => Self::NoSuchMeter,
            FenceError::NotScion => Self::NotNow(
                "not_scion",
                "This meter is not reached over SCION: it has no paths to choose from.",
            ),
            FenceError::Unknown(error) => {
                tracing::info!(%error, "paths are not known");
                Self::NotNow(
                    "paths_unknown",
                    "The daemon of the head end's AS tells no paths to this meter. Is it running, \
                     and is the AS right? Nothing was changed.",
                )
            }
            FenceError::LeavesNone(_) => Self::NotNow(
                "leaves_none",
                "This fence leaves no path: nothing would be sent to the meter any more. Say so \
                 where that is wanted. Nothing was changed.",
            ),
            FenceError::Store(error) => Self::Store(error),
        }
    }
}
