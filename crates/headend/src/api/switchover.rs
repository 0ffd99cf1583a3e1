//! Orders to one of a pair of concentrators to hand its segments over to the other.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::concentrators::find;
use super::error::{ApiError, ErrorBody};
use super::orders::{MeterOrderView, accept, switching_too};
use super::outlets::{Body, fresh, reason};
use super::session::OPERATOR;
use crate::calendar::rfc3339;
use crate::concentrators::{Enrolled, Pair, PairWord};
use crate::orders::Order;
use crate::store::MeterOrderKind;

/// An order to hand over.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSwitchover {
    /// Why, 10 to 200 characters.
    reason: String,
    /// What the dry run asks to be typed.
    confirm: String,
    /// What the dry run said it is as of.
    #[schema(format = DateTime)]
    as_of: String,
}

/// What handing over would mean, by what the concentrator said when it was last looked at. Nothing
/// was sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SwitchoverDryRun {
    /// What the order must repeat: it is good for five minutes.
    #[schema(format = DateTime)]
    as_of: String,
    name: String,
    /// What has to be typed: the concentrator's name.
    confirm: String,
    possible: bool,
    /// Why there can be no such order now.
    why_not: Option<String>,
    /// What would be done, in order.
    steps: Vec<String>,
    /// The other one; empty where there is none.
    peer: String,
    /// When the concentrator said so.
    #[schema(format = DateTime)]
    told: Option<String>,
    /// Whether each has what the other has.
    in_step: bool,
    /// How long before that the other last had all that this one has.
    behind_ms: Option<u32>,
    /// Meters that are there, and go over to the other.
    meters: Option<usize>,
    /// Messages that wait for its segments, which are lost and asked again.
    waiting: u32,
    /// Seconds for which the order may be stopped before it is sent.
    armed_s: u16,
    /// Whether a second person must approve.
    second_person: bool,
}

/// Says what handing the segments over to the other of the pair would mean; nothing is sent.
#[utoipa::path(get, path = "/api/v1/concentrators/{id}/switchover", tag = "concentrator",
    params(("id" = String, Path, description = "The registry id")),
    responses(
        (status = 200, description = "What it would mean", body = SwitchoverDryRun),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such concentrator", body = ErrorBody),
    ))]
pub(super) async fn dry_run(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<SwitchoverDryRun>, ApiError> {
    let one = find(&app, &id)?;
    app.blocking(move |app| {
        let open = app.store.orders().switching(one.target.id)?;
        Ok(Json(looked_at(app, &one, open)))
    })
    .await
}

fn looked_at(app: &App, one: &Enrolled, open: Option<i64>) -> SwitchoverDryRun {
    let known = app.board.state(one.target.id);
    let report = known.report.as_deref();
    let pair = match report.and_then(|it| it.pair.as_ref()) {
        Some(PairWord::Of(pair)) => Some(pair),
        _ => None,
    };
    let why_not = match open {
        Some(other) => Some(switching_too(other)),
        None => handed_over_to(app, one).err(),
    };
    let config = app.orders.config();
    let meters = known.meters.as_ref();
    SwitchoverDryRun {
        as_of: rfc3339(app.clock.now()),
        name: one.target.enrolment.name.to_string(),
        confirm: one.target.enrolment.name.to_string(),
        possible: why_not.is_none(),
        why_not,
        steps: steps(one, pair, config.armed_s),
        peer: pair.map_or_else(String::new, |it| it.peer.to_string()),
        told: report.map(|it| rfc3339(it.at)),
        in_step: pair.is_some_and(|it| it.in_step),
        behind_ms: pair.and_then(|it| it.behind_ms),
        meters: meters.map(|(all, _)| all.values().filter(|it| it.there).count()),
        waiting: report.map_or(0, |it| it.segments.iter().map(|it| it.waiting).sum()),
        armed_s: config.armed_s,
        second_person: config.second_person,
    }
}

/// Names the one that would have the segments.
///
/// # Errors
/// Says why there is none, by what the concentrator said last.
fn handed_over_to(app: &App, one: &Enrolled) -> Result<String, String> {
    let known = app.board.state(one.target.id);
    if known.silent_since().is_some() {
        return Err("It does not answer: what it would do is not known.".to_owned());
    }
    let report = known.report.as_deref();
    let report = report.ok_or("It was not looked at yet.")?;
    let word = report.pair.as_ref();
    let word = word.ok_or("It does not tell how it stands with another one.")?;
    let pair = word.can_switch().map_err(|why| why.to_string())?;
    Ok(pair.peer.to_string())
}

fn steps(one: &Enrolled, pair: Option<&Pair>, armed_s: u16) -> Vec<String> {
    let client = one.target.enrolment.client;
    let mut steps = vec!["Write the order into the journal".to_owned()];
    if armed_s > 0 {
        steps.push(format!("Wait {armed_s} s, in which anybody may stop it"));
    }
    steps.push(format!(
        "Associate with the concentrator as client {client}, and read 0-0:128.0.14.255"
    ));
    steps.push(match pair {
        Some(pair) => format!(
            "Write {} and epoch {} into it, if both are as they were",
            pair.peer, pair.epoch
        ),
        None => "Write the other one's name and the epoch into it".to_owned(),
    });
    steps.push("Read back who has the segments".to_owned());
    steps
}

/// Has a concentrator hand its segments over. The order stands in the journal when this answers,
/// and is not done yet: follow it by its number.
#[utoipa::path(post, path = "/api/v1/concentrators/{id}/switchover", tag = "concentrator",
    params(("id" = String, Path, description = "The registry id")), request_body = NewSwitchover,
    responses(
        (status = 202, description = "Written down", body = MeterOrderView),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such concentrator", body = ErrorBody),
        (status = 409, description = "Not now", body = ErrorBody),
        (status = 503, description = "The store failed", body = ErrorBody),
    ))]
pub(super) async fn give(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Body(body): Body<NewSwitchover>,
) -> Result<(StatusCode, Json<MeterOrderView>), ApiError> {
    let one = find(&app, &id)?;
    let reason = reason(&body.reason)?.to_owned();
    if body.confirm.trim() != one.target.enrolment.name.as_str() {
        let message = "This is not the concentrator's name. Nothing was sent.";
        return Err(ApiError::BadRequest(message.to_owned()));
    }
    fresh(&app, &body.as_of)?;
    let other = handed_over_to(&app, &one).map_err(|_| {
        ApiError::NotNow(
            "no_standby",
            "The other one could not go on now, by what was told last. Look again.",
        )
    })?;
    let order = Order {
        meter: one.target.id,
        kind: MeterOrderKind::Switchover,
        text: other,
        reason,
        who: OPERATOR,
    };
    accept(&app, order).await
}
