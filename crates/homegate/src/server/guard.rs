//! What stands before every handler: deadline, headers, who it is.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::App;
use super::error::ApiError;
use crate::credential::{PASSWORD_MAX, USER_MAX, Who};

/// The time that a handler has until its answer begins.
const DEADLINE: Duration = Duration::from_secs(30);

pub(super) async fn deadline(request: Request, next: Next) -> Response {
    tokio::time::timeout(DEADLINE, next.run(request))
        .await
        .unwrap_or_else(|_| ApiError::TooSlow.into_response())
}

pub(super) async fn signed_in(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    match who(&app, request.headers(), request.extensions()).await? {
        Who::Home => Ok(next.run(request).await),
        Who::Party { .. } => Err(ApiError::Forbidden),
    }
}

/// Finds out who asks: by a session's cookie, or by Basic authentication
/// (RFC 7617).
pub(super) async fn who(
    app: &App,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Who, ApiError> {
    let now = app.now();
    if let Some(given) = headers.get(header::AUTHORIZATION) {
        let (user, password) = given
            .to_str()
            .ok()
            .and_then(basic)
            .ok_or(ApiError::WrongCredential)?;
        let from = web::peer(extensions.get());
        let checked = app.parts.credentials.check(&user, &password, from, now);
        return Ok(checked.await?);
    }
    if app.sessions.has(headers, now) {
        Ok(Who::Home)
    } else {
        Err(ApiError::NotSignedIn)
    }
}

fn basic(value: &str) -> Option<(String, Zeroizing<String>)> {
    let (scheme, encoded) = value.split_once(' ')?;
    let encoded = encoded.trim();
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > (USER_MAX + PASSWORD_MAX) * 2 {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    let text = std::str::from_utf8(&decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), Zeroizing::new(password.to_owned())))
}

pub(super) async fn headers(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_data = ["/api/", "/espi/", "/metrics"]
        .iter()
        .any(|start| path.starts_with(start));
    let mut response = next.run(request).await;
    web::harden(response.headers_mut(), POLICY, is_data);
    response
}

/// The policy of the design language: nothing from elsewhere, nothing inline.
/// The page's worker keeps it there without the network.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; \
                      img-src 'self'; connect-src 'self'; manifest-src 'self'; \
                      worker-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";
