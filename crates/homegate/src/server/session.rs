//! Sign-in of the page: the one credential for a cookie.

use std::sync::Arc;

use axum::Json;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use web::Sessions;

use super::App;
use super::error::ApiError;
use super::guard;
use crate::calendar::rfc3339;
use crate::credential::Who;
use crate::wire::{ErrorBody, Session, SignIn};

pub(super) const COOKIE: &str = "gridward_home";
/// Sessions at once; the one used least recently gives way.
const SESSIONS_MAX: usize = 64;
/// A tablet on the wall stays signed in for as long as it looks once a month.
const IDLE_MS: i64 = 31 * 86_400 * 1_000;

/// Has no session yet.
pub(super) const fn sessions() -> Sessions {
    Sessions::new(COOKIE, SESSIONS_MAX, IDLE_MS)
}

fn about(app: &App) -> Session {
    let place = &app.parts.place;
    Session {
        name: app.parts.name.clone(),
        zone: place.calendar.name().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        user: app.parts.credentials.user().to_owned(),
        now: rfc3339(app.now()),
        history: app.parts.record.history().is_some(),
        currency: place.tariff.as_ref().map(|tariff| tariff.currency.clone()),
    }
}

/// Signs in; the answer sets the cookie `gridward_home`.
#[utoipa::path(post, path = "/api/v1/session", tag = "session", request_body = SignIn,
    responses(
        (status = 200, description = "Signed in", body = Session),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Wrong user or password", body = ErrorBody),
        (status = 429, description = "Ten wrong ones within a minute", body = ErrorBody),
    ),
    security(()))]
pub(super) async fn sign_in(
    State(app): State<Arc<App>>,
    mut request: Request,
) -> Result<Response, ApiError> {
    let cross_site = request
        .headers()
        .get("sec-fetch-site")
        .is_some_and(|site| site == "cross-site");
    if cross_site {
        return Err(ApiError::CrossSite);
    }
    let from = web::peer(request.extensions().get());
    DefaultBodyLimit::max(BODY_LEN_MAX).apply(&mut request);
    // What was sent may hold the password: nothing of it is repeated.
    let Json(SignIn { user, password }) = Json::from_request(request, &()).await.map_err(|_| {
        ApiError::BadRequest("The body must be JSON: {\"user\": \"…\", \"password\": \"…\"}.")
    })?;
    let now = app.now();
    let credentials = &app.parts.credentials;
    match credentials.check(&user, &password, from, now).await? {
        Who::Home => {}
        Who::Party { .. } => return Err(ApiError::Forbidden),
    }
    let cookie = app.sessions.begin(now).map_err(|_| ApiError::NoEntropy)?;
    let attributes = format!("; Secure; Max-Age={}", IDLE_MS / 1_000);
    let set = app.sessions.set_cookie(&cookie, &attributes);
    let mut response = Json(about(&app)).into_response();
    if let Some(set) = set {
        response.headers_mut().insert(header::SET_COOKIE, set);
    }
    Ok(response)
}

/// Tells who is signed in, and about the place.
#[utoipa::path(get, path = "/api/v1/session", tag = "session",
    responses(
        (status = 200, description = "Signed in", body = Session),
        (status = 401, description = "Not signed in", body = ErrorBody),
    ))]
pub(super) async fn session(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Session>, ApiError> {
    match guard::who(&app, request.headers(), request.extensions()).await? {
        Who::Home => Ok(Json(about(&app))),
        Who::Party { .. } => Err(ApiError::Forbidden),
    }
}

/// Signs out; whoever is not signed in stays so.
#[utoipa::path(delete, path = "/api/v1/session", tag = "session",
    responses((status = 204, description = "Signed out")), security(()))]
pub(super) async fn sign_out(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    app.sessions.end(&headers);
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(clear) = app.sessions.set_cookie("", "; Secure; Max-Age=0") {
        response.headers_mut().insert(header::SET_COOKIE, clear);
    }
    response
}

/// User and password are 320 characters at most.
const BODY_LEN_MAX: usize = 2_048;
