//! What the page shows.

use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use model::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;

use super::App;
use super::error::ApiError;
use crate::calendar::{parse_time, rfc3339};
use crate::summary::{self, INTERVALS_MAX, Periods, Step};
use crate::wire::{ErrorBody, History, State as HomeState};

/// What was found out of history, and when.
pub(super) type Looked = (Timestamp, Arc<Periods>);

/// How long that is told.
const LOOKED_MS: i64 = 10_000;

/// The state of the moment.
pub(super) async fn current(app: &Arc<App>) -> Result<HomeState, ApiError> {
    let now = app.now();
    let looked = app
        .periods
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let fresh = looked.filter(|(at, _)| (0..LOOKED_MS).contains(&now.millis_since(*at)));
    let periods = match fresh {
        Some((_, periods)) => periods,
        None => {
            let way = app.parts.shared.way();
            let found = app.blocking(move |app| {
                let parts = &app.parts;
                Ok(Periods::of(&parts.record, &parts.place, &way, now)?)
            });
            let periods = Arc::new(found.await?);
            *app.periods.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((now, Arc::clone(&periods)));
            periods
        }
    };
    let shared = &app.parts.shared;
    Ok(summary::state(
        &shared.snapshot(),
        &shared.way(),
        &app.parts.place,
        &periods,
        now,
    ))
}

/// Tells everything that the page shows beside graphs.
#[utoipa::path(get, path = "/api/v1/state", tag = "home",
    responses(
        (status = 200, description = "The state", body = HomeState),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 503, description = "History cannot be read", body = ErrorBody),
    ))]
pub(super) async fn state(State(app): State<Arc<App>>) -> Result<Json<HomeState>, ApiError> {
    Ok(Json(current(&app).await?))
}

/// What part of history is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryQuery {
    /// When it begins.
    #[param(format = DateTime)]
    from: String,
    /// When it ends.
    #[param(format = DateTime)]
    to: String,
    /// The step: `raw`, `1m`, `15m`, `1h` or `1d`.
    #[param(example = "1h")]
    step: String,
}

async fn look(app: &Arc<App>, query: Query<HistoryQuery>) -> Result<History, ApiError> {
    let Query(HistoryQuery { from, to, step }) = query;
    let time = |text: &str| {
        parse_time(text).ok_or(ApiError::BadRequest(
            "from and to are times with a zone, as in 2026-11-19T13:00:00Z.",
        ))
    };
    // Milliseconds make no interval.
    let whole = |at: Timestamp| Timestamp::from_secs(at.secs());
    let (from, to) = (whole(time(&from)?), whole(time(&to)?));
    let step = Step::ALL
        .into_iter()
        .find(|(name, _)| *name == step)
        .ok_or(ApiError::BadRequest(
            "step is one of raw, 1m, 15m, 1h and 1d.",
        ))?;
    if from >= to {
        return Err(ApiError::BadRequest("from must be before to."));
    }
    if step.1 != Step::Raw {
        if app.parts.record.history().is_none() {
            return Err(ApiError::NoHistory);
        }
        if to.millis_since(from) / 1_000 / step.1.secs() > INTERVALS_MAX {
            return Err(ApiError::TooLong);
        }
    }
    app.blocking(move |app| {
        let parts = &app.parts;
        let calendar = &parts.place.calendar;
        let now = app.now();
        Ok(summary::history(
            &parts.record,
            calendar,
            from,
            to,
            step,
            now,
        )?)
    })
    .await
}

/// Tells history; missing intervals have no values.
#[utoipa::path(get, path = "/api/v1/history", tag = "home", params(HistoryQuery),
    responses(
        (status = 200, description = "History", body = History),
        (status = 400, description = "Not understood, or too long", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No history is kept", body = ErrorBody),
    ))]
pub(super) async fn history(
    State(app): State<Arc<App>>,
    query: Result<Query<HistoryQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<History>, ApiError> {
    Ok(Json(look(&app, understood(query)?).await?))
}

/// Tells the same as a table.
#[utoipa::path(get, path = "/api/v1/download.csv", tag = "home", params(HistoryQuery),
    responses(
        (status = 200, description = "A table", content_type = "text/csv", body = String),
        (status = 400, description = "Not understood, or too long", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No history is kept", body = ErrorBody),
    ))]
pub(super) async fn download(
    State(app): State<Arc<App>>,
    query: Result<Query<HistoryQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, ApiError> {
    let history = look(&app, understood(query)?).await?;
    let mut text = String::from(
        "start_utc,start_local,delivered_wh,received_wh,power_w,power_min_w,power_max_w,\
         readings,complete\r\n",
    );
    let cell = |value: Option<i64>| value.map_or_else(String::new, |value| value.to_string());
    for interval in &history.intervals {
        let local = parse_time(&interval.t)
            .map(|at| local(&app, at))
            .unwrap_or_default();
        text.push_str(&format!(
            "{},{local},{},{},{},{},{},{},{}\r\n",
            interval.t,
            cell(interval.delivered_wh),
            cell(interval.received_wh),
            cell(interval.w),
            cell(interval.w_min),
            cell(interval.w_max),
            interval.readings,
            if interval.partial { "no" } else { "yes" }
        ));
    }
    let mut response = text.into_response();
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
    headers.insert(header::CONTENT_TYPE, kind);
    let name = HeaderValue::from_static("attachment; filename=\"energy.csv\"");
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

/// A time by the clock on the wall, with its offset.
fn local(app: &App, at: Timestamp) -> String {
    let offset = app.parts.place.calendar.offset_s(at);
    let shown = rfc3339(at.plus_secs(i64::from(offset)));
    let minutes = offset.abs() / 60;
    let sign = if offset < 0 { '-' } else { '+' };
    format!(
        "{}{sign}{:02}:{:02}",
        shown.trim_end_matches('Z'),
        minutes / 60,
        minutes % 60
    )
}

fn understood(
    query: Result<Query<HistoryQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Query<HistoryQuery>, ApiError> {
    query.map_err(|_| ApiError::BadRequest("The query has from, to and step, and nothing else."))
}
