//! Green Button over HTTP (NAESB ESPI 1.1): resources, their queries, and
//! batch downloads.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use han::espi::UsageSummary;
use model::Timestamp;

use super::App;
use super::error::ApiError;
use super::guard;
use crate::answer::{self, Answer, Config, Energy, Past};
use crate::credential::Who;
use crate::history::History;
use crate::recorder::round;
use crate::summary::{self, Place, Step};

/// Hosts that a request may name, in octets.
const HOST_MAX: usize = 255;

/// Serves a resource.
pub(super) async fn resource(State(app): State<Arc<App>>, request: Request) -> Response {
    let who = match guard::who(&app, request.headers(), request.extensions()).await {
        Ok(who) => who,
        Err(error) => return asked(error),
    };
    let shows_history = match &who {
        Who::Home => true,
        Who::Party { history, .. } => *history,
    };
    let uri = request.uri();
    let path = uri.path().to_owned();
    let query = uri.query().unwrap_or_default().to_owned();
    let config = config(&app, request.headers());
    let now = app.now();
    let snapshot = app.parts.shared.snapshot();
    let long = answer::asks_for_history(&query);
    let looks_back = long || answer::shows_summary(&path);
    let answered = if looks_back && shows_history && app.parts.record.history().is_some() {
        let turn = match app.downloads.try_acquire() {
            Ok(turn) => Ok(turn),
            // A summary is soon made: it waits for its turn.
            Err(_) if !long => app.downloads.acquire().await.map_err(|_| ()),
            Err(_) => Err(()),
        };
        let Ok(_turn) = turn else {
            return ApiError::TooManyAtOnce.into_response();
        };
        let work = move |app: &App| {
            let kept = app.parts.record.history().map(|history| Kept {
                history,
                place: &app.parts.place,
                now,
            });
            let past = kept.as_ref().map(|kept| kept as &dyn Past);
            let answer = answer::answer(&path, &query, &snapshot, past, &config, now);
            let document = answer.document();
            Ok((answer, document))
        };
        match app.blocking(work).await {
            Ok(answered) => answered,
            Err(error) => return error.into_response(),
        }
    } else {
        let answer = answer::answer(&path, &query, &snapshot, None, &config, now);
        let document = answer.document();
        (answer, document)
    };
    match answered {
        (Answer::Feed(_), Some(text)) => document(text, "application/atom+xml;type=feed"),
        (Answer::Entry(_), Some(text)) => document(text, "application/atom+xml;type=entry"),
        (Answer::ServiceStatus { .. }, Some(text)) => document(text, "application/xml"),
        (Answer::Malformed { parameter }, _) => plain(
            StatusCode::BAD_REQUEST,
            &format!("{parameter} is malformed\n"),
        ),
        _ => plain(StatusCode::NOT_FOUND, "not found\n"),
    }
}

/// Asks for a credential where there is none or a wrong one.
pub(super) fn asked(error: ApiError) -> Response {
    let asks = matches!(error, ApiError::NotSignedIn | ApiError::WrongCredential);
    let mut response = error.into_response();
    if asks {
        let challenge = HeaderValue::from_static("Basic realm=\"Gridward\", charset=\"UTF-8\"");
        let headers = response.headers_mut();
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

fn document(text: String, kind: &'static str) -> Response {
    let kind = HeaderValue::from_static(kind);
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn plain(status: StatusCode, text: &str) -> Response {
    (status, text.to_owned()).into_response()
}

fn config(app: &App, headers: &HeaderMap) -> Config {
    let parts = &app.parts;
    // What the client calls this gateway goes back to the same client only.
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .filter(|host| {
            !host.is_empty()
                && host.len() <= HOST_MAX
                && host
                    .bytes()
                    .all(|octet| octet.is_ascii_alphanumeric() || b".-:[]".contains(&octet))
        })
        .unwrap_or("localhost");
    Config {
        origin: format!("https://{host}"),
        title: parts.name.clone(),
        local_time: parts.place.calendar.local_time(app.now()),
        published: parts.published,
        current_age_max_ms: parts.place.current_age_max_ms,
        interval_s: parts.place.interval_s,
    }
}

/// History for feeds.
struct Kept<'h> {
    history: &'h History,
    place: &'h Place,
    now: Timestamp,
}

/// Intervals of a quarter of an hour up to this span, in seconds; of an hour
/// beyond.
const QUARTERS_S: i64 = 35 * 86_400;

impl Past for Kept<'_> {
    fn energy(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> (u32, Vec<Energy>) {
        let to = to.unwrap_or(self.now).min(self.now);
        let oldest = self.place.calendar.month(self.now, -120);
        let kept = self.history.first_register(oldest, to).ok().flatten();
        let Some(kept) = kept else {
            return (900, Vec::new());
        };
        let from = from.unwrap_or(kept.at).max(kept.at);
        let step = if to.millis_since(from) / 1_000 <= QUARTERS_S {
            Step::Quarter
        } else {
            Step::Hour
        };
        let secs = step.secs();
        // Whole intervals only, that begin in the span.
        let up = |at: Timestamp| {
            let behind = at.plus_millis(secs * 1_000 - 1);
            Timestamp::from_secs(behind.secs().div_euclid(secs) * secs)
        };
        let from = up(from);
        let end = Timestamp::from_secs(to.secs().div_euclid(secs) * secs);
        let calendar = &self.place.calendar;
        let mut energies = Vec::new();
        let slots = summary::slots(self.history, calendar, from, end, step, self.now, SLOTS_MAX);
        match slots {
            Ok(slots) => energies.extend(slots.into_iter().map(|slot| Energy {
                start: slot.from,
                delivered_wh: slot.delivered.map(round),
                received_wh: slot.received.map(round),
            })),
            Err(error) => tracing::error!(%error, "history cannot be read"),
        }
        (u32::try_from(secs).unwrap_or(900), energies)
    }

    fn summary(&self) -> Option<UsageSummary> {
        let made = summary::usage(self.history, self.place, self.now);
        made.unwrap_or_else(|error| {
            tracing::error!(%error, "history cannot be read");
            None
        })
    }
}

/// Intervals of one download: ten years of hours.
const SLOTS_MAX: usize = 88_000;
