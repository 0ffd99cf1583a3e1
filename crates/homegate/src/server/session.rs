//! Sign-in of the page: the one credential for a cookie.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::Timestamp;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::App;
use super::error::ApiError;
use super::guard;
use crate::calendar::rfc3339;
use crate::credential::Who;
use crate::wire::{ErrorBody, Session, SignIn};

/// Open sessions, by the digest of their cookie.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: Mutex<BTreeMap<[u8; 32], Timestamp>>,
}

const COOKIE: &str = "gridward_home";
/// Sessions at once; the one used least recently gives way.
const SESSIONS_MAX: usize = 64;
/// A tablet on the wall stays signed in for as long as it looks once a month.
const IDLE_MS: i64 = 31 * 86_400 * 1_000;

impl Sessions {
    /// Checks that a request carries the cookie of an open session.
    pub(super) fn check(&self, headers: &HeaderMap, now: Timestamp) -> Result<(), ApiError> {
        let key = digest(web::cookie(headers, COOKIE).ok_or(ApiError::NotSignedIn)?);
        let mut open = self.lock();
        match open.get_mut(&key) {
            Some(used) if now.millis_since(*used) < IDLE_MS => {
                *used = (*used).max(now);
                Ok(())
            }
            Some(_) => {
                open.remove(&key);
                Err(ApiError::NotSignedIn)
            }
            None => Err(ApiError::NotSignedIn),
        }
    }

    fn begin(&self, now: Timestamp) -> Result<Zeroizing<String>, ApiError> {
        let mut octets = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *octets).map_err(|_| ApiError::NoEntropy)?;
        let cookie = Zeroizing::new(URL_SAFE_NO_PAD.encode(*octets));
        let mut open = self.lock();
        open.retain(|_, used| now.millis_since(*used) < IDLE_MS);
        if open.len() >= SESSIONS_MAX {
            let oldest = open.iter().min_by_key(|(_, used)| **used);
            if let Some(key) = oldest.map(|(key, _)| *key) {
                open.remove(&key);
            }
        }
        open.insert(digest(&cookie), now);
        Ok(cookie)
    }

    fn end(&self, headers: &HeaderMap) {
        if let Some(cookie) = web::cookie(headers, COOKIE) {
            self.lock().remove(&digest(cookie));
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Timestamp>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    let cookie = app.sessions.begin(now)?;
    let set = format!(
        "{COOKIE}={}; HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age={}",
        *cookie,
        IDLE_MS / 1_000
    );
    let mut response = Json(about(&app)).into_response();
    let set = HeaderValue::try_from(set).map_err(|_| ApiError::NoEntropy)?;
    response.headers_mut().insert(header::SET_COOKIE, set);
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
    let clear = format!("{COOKIE}=; HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age=0");
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Ok(clear) = HeaderValue::try_from(clear) {
        response.headers_mut().insert(header::SET_COOKIE, clear);
    }
    response
}

/// User and password are 320 characters at most.
const BODY_LEN_MAX: usize = 2_048;

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}
