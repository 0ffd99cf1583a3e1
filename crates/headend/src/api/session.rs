//! Sign-in by token.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::App;
use super::error::{ApiError, ErrorBody};
use crate::calendar::rfc3339;
use crate::keys::{KeyError, read_private};

/// The operator's token, known by its digest only.
#[derive(Clone)]
pub struct Tokens {
    digest: [u8; 32],
}

impl Tokens {
    /// Reads the digest from the data folder; at the first start a token is made, its digest kept,
    /// and the token itself returned, once.
    ///
    /// # Errors
    /// [`KeyError`] where the file cannot be used, or the operating system gives no random octets.
    pub fn open(folder: &Path) -> Result<(Self, Option<Zeroizing<String>>), KeyError> {
        let path = folder.join(TOKEN_FILE);
        if let Some(text) = read_private(&path, 1_024)? {
            let digest = link::parse_hex(text.trim()).and_then(|octets| octets.try_into().ok());
            let digest = digest.ok_or_else(|| KeyError::NoKey(path.display().to_string()))?;
            return Ok((Self { digest }, None));
        }
        let token = web::random_text().map_err(|_| KeyError::Entropy)?;
        let digest = web::digest(&token);
        let failed = |source| KeyError::File {
            path: path.display().to_string(),
            source,
        };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        let hex: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
        writeln!(file, "{hex}").map_err(failed)?;
        file.sync_all().map_err(failed)?;
        Ok((Self { digest }, Some(token)))
    }

    fn is(&self, token: &str) -> bool {
        self.digest.ct_eq(&web::digest(token)).into()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(..)")
    }
}

/// Who is signed in, and who tried.
#[derive(Debug)]
pub(crate) struct Sessions {
    tokens: Tokens,
    open: web::Sessions,
    failures: Mutex<BTreeMap<IpAddr, Failures>>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    since: Timestamp,
    count: u32,
}

const TOKEN_FILE: &str = "operator.token.sha256";
/// Who is signed in, as long as there are no users.
pub(super) const OPERATOR: &str = "operator";
pub(super) const COOKIE: &str = "gridward_session";
/// Sessions at once; the one used least recently gives way.
const SESSIONS_MAX: usize = 256;
const IDLE_MS: i64 = 12 * 3_600 * 1_000;
const FAILURES_MAX: u32 = 10;
const FAILURES_S: i64 = 60;
const ADDRESSES_MAX: usize = 4_096;

impl Sessions {
    pub(super) const fn new(tokens: Tokens) -> Self {
        Self {
            tokens,
            open: web::Sessions::new(COOKIE, SESSIONS_MAX, IDLE_MS),
            failures: Mutex::new(BTreeMap::new()),
        }
    }

    /// Checks that a request carries a session's cookie or the token.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        from: IpAddr,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        if let Some(token) = bearer(headers) {
            return self.check_token(token, from, now);
        }
        if self.open.has(headers, now) {
            Ok(())
        } else {
            Err(ApiError::NotSignedIn)
        }
    }

    fn check_token(&self, token: &str, from: IpAddr, now: Timestamp) -> Result<(), ApiError> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let window = |entry: &Failures| now.millis_since(entry.since) < FAILURES_S * 1_000;
        failures.retain(|_, entry| window(entry));
        if let Some(entry) = failures.get(&from)
            && entry.count >= FAILURES_MAX
        {
            let left = FAILURES_S - now.millis_since(entry.since) / 1_000;
            return Err(ApiError::TooManyTokens {
                retry_after_s: left.max(1).unsigned_abs(),
            });
        }
        if self.tokens.is(token) {
            failures.remove(&from);
            return Ok(());
        }
        if failures.len() >= ADDRESSES_MAX && !failures.contains_key(&from) {
            return Err(ApiError::TooManyTokens {
                retry_after_s: FAILURES_S.unsigned_abs(),
            });
        }
        let entry = failures.entry(from).or_insert(Failures {
            since: now,
            count: 0,
        });
        entry.count += 1;
        Err(ApiError::WrongToken)
    }
}

/// What a page needs to know about who looks at it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Session {
    /// The site's name.
    #[schema(example = "Demo")]
    site: String,
    /// The zone by which its days begin and end.
    #[schema(example = "Europe/Zurich")]
    zone: String,
    /// The version of the head end.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The user's name.
    #[schema(example = "operator")]
    user: &'static str,
    /// The present time.
    #[schema(format = DateTime)]
    now: String,
}

impl Session {
    fn of(app: &App) -> Self {
        Self {
            site: app.config.site.clone(),
            zone: app.config.zone.clone(),
            version: env!("CARGO_PKG_VERSION"),
            user: OPERATOR,
            now: rfc3339(app.clock.now()),
        }
    }
}

/// A sign-in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignIn {
    /// The token printed at the first start.
    #[schema(value_type = String)]
    token: Zeroizing<String>,
}

/// Signs in with the token; the answer sets the cookie `gridward_session`.
#[utoipa::path(post, path = "/api/v1/session", tag = "session", request_body = SignIn,
    responses(
        (status = 200, description = "Signed in", body = Session),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Wrong token", body = ErrorBody),
        (status = 429, description = "Ten wrong tokens within a minute", body = ErrorBody),
    ),
    security(()))]
pub(super) async fn sign_in(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    let from = web::peer(request.extensions().get());
    let given: Result<Json<SignIn>, JsonRejection> =
        Json::from_request(limited(request), &()).await;
    let Json(SignIn { token }) = given?;
    let now = app.clock.now();
    app.sessions.check_token(&token, from, now)?;
    let open = &app.sessions.open;
    let cookie = open.begin(now).map_err(|_| ApiError::NoEntropy)?;
    let secure = if app.config.secure_cookies {
        "; Secure"
    } else {
        ""
    };
    let set = open.set_cookie(&cookie, secure);
    let mut response = Json(Session::of(&app)).into_response();
    if let Some(set) = set {
        response.headers_mut().insert(header::SET_COOKIE, set);
    }
    Ok(response)
}

/// Tells who is signed in.
#[utoipa::path(get, path = "/api/v1/session", tag = "session",
    responses(
        (status = 200, description = "Signed in", body = Session),
        (status = 401, description = "Not signed in", body = ErrorBody),
    ))]
pub(super) async fn session(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Session>, ApiError> {
    let from = web::peer(request.extensions().get());
    app.sessions
        .check(request.headers(), from, app.clock.now())?;
    Ok(Json(Session::of(&app)))
}

/// Signs out; whoever is not signed in stays so.
#[utoipa::path(delete, path = "/api/v1/session", tag = "session",
    responses((status = 204, description = "Signed out")), security(()))]
pub(super) async fn sign_out(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    app.sessions.open.end(&headers);
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(clear) = app.sessions.open.set_cookie("", "; Max-Age=0") {
        response.headers_mut().insert(header::SET_COOKIE, clear);
    }
    response
}

/// A token is 43 characters: nobody needs to send more than this.
const BODY_LEN_MAX: usize = 1_024;

fn limited(mut request: Request) -> Request {
    DefaultBodyLimit::max(BODY_LEN_MAX).apply(&mut request);
    request
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
