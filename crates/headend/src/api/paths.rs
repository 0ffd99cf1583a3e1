//! The paths that a meter's readings took, over a network that tells them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::{ApiError, ErrorBody};
use super::guard::Params;
use super::meter::{before, meter_id};
use crate::calendar::rfc3339;
use crate::store::{PathRun, PathTaken};
use model::Timestamp;

/// Which paths.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct PathsQuery {
    /// The number of runs, 1 to 500.
    limit: u32,
    /// Only runs that began before this time.
    #[param(format = DateTime)]
    before: Option<String>,
}

impl Default for PathsQuery {
    fn default() -> Self {
        Self {
            limit: 50,
            before: None,
        }
    }
}

/// The paths that a meter's readings took, the latest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PathRuns {
    total: u64,
    rows: Vec<PathRunView>,
}

/// Readings one after the other that came by the same paths. A register that was read between
/// first and last came by them; where runs overlap, by one of these.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PathRunView {
    #[schema(format = DateTime)]
    first: String,
    #[schema(format = DateTime)]
    last: String,
    /// Associations that they were read in.
    associations: u32,
    /// The path of the questions; null where it is not known.
    sent: Option<PathTakenView>,
    /// The path of the answers, in the order of the ASes that they crossed; null where the network
    /// told of none such.
    received: Option<PathTakenView>,
    /// The intervals among the readings, those of last begin first, at most 100 spans.
    carried: Vec<CarriedView>,
}

/// One path.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PathTakenView {
    /// ASes, and between them the interfaces where the path leaves one and enters the next.
    #[schema(example = "2-ff00:0:211 1>10 2-ff00:0:210")]
    hops: String,
    fingerprint: String,
    /// Whether the daemon of the head end's AS vouches for it.
    verified: bool,
}

/// Intervals of a profile.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CarriedView {
    #[schema(example = "1-0:99.1.0")]
    obis: String,
    /// When the first of them begins.
    #[schema(format = DateTime)]
    from: String,
    /// When the last of them ends.
    #[schema(format = DateTime)]
    to: String,
}

/// The paths that a meter's readings took, the latest first.
#[utoipa::path(get, path = "/api/v1/meters/{id}/paths", tag = "meter",
    params(("id" = String, Path, description = "The registry id"), PathsQuery),
    responses(
        (status = 200, description = "Paths", body = PathRuns),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
    ))]
pub(super) async fn paths(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Params(query): Params<PathsQuery>,
) -> Result<Json<PathRuns>, ApiError> {
    let id = meter_id(&id)?;
    let before = before(query.before.as_deref(), query.limit)?;
    app.blocking(move |app| {
        let (_meter, ..) = app.fleet.meter(id).ok_or(ApiError::NoSuchMeter)?;
        let (total, runs) = app.store.path_runs(id, before, query.limit)?;
        Ok(Json(PathRuns {
            total,
            rows: runs.into_iter().map(run_view).collect(),
        }))
    })
    .await
}

/// Shows one run.
pub(super) fn run_view(run: PathRun) -> PathRunView {
    let PathRun {
        receipt,
        associations,
    } = run;
    let second = |secs| rfc3339(Timestamp::from_secs(secs));
    PathRunView {
        first: rfc3339(receipt.first),
        last: rfc3339(receipt.last),
        associations,
        sent: receipt.paths.sent.map(taken),
        received: receipt.paths.received.map(taken),
        carried: receipt
            .carried
            .into_iter()
            .map(|carried| CarriedView {
                obis: carried.object.to_string(),
                from: second(carried.span.start),
                to: second(carried.span.end),
            })
            .collect(),
    }
}

fn taken(taken: PathTaken) -> PathTakenView {
    PathTakenView {
        hops: taken.hops,
        fingerprint: taken.fingerprint,
        verified: taken.verified,
    }
}
