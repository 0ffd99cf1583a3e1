//! What goes wrong, as clients and logs are told.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::credential::Refusal;
use crate::history::HistoryError;
use crate::wire::{ErrorBody, ErrorDetail};

/// Why a request is not answered with what it asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The query or the body cannot be understood.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The request comes from another site.
    #[error("a request from another site was refused")]
    CrossSite,
    /// A third party asked for what is not shown to it.
    #[error("not shown to third parties")]
    Forbidden,
    /// History failed.
    #[error("history failed")]
    History(#[from] HistoryError),
    /// No history is kept.
    #[error("no history is kept")]
    NoHistory,
    /// There is no such path.
    #[error("no such path")]
    NoSuchPath,
    /// Nobody is signed in.
    #[error("not signed in")]
    NotSignedIn,
    /// The operating system gives no random octets.
    #[error("the operating system gives no random octets")]
    NoEntropy,
    /// The gateway is stopping.
    #[error("stopping")]
    Stopping,
    /// More intervals are asked for than one answer has.
    #[error("too many intervals")]
    TooLong,
    /// The answer took too long.
    #[error("the answer took too long")]
    TooSlow,
    /// Too many streams or downloads are open.
    #[error("too many at once")]
    TooManyAtOnce,
    /// Too many wrong credentials came from this address.
    #[error("too many wrong credentials")]
    TooManyAttempts {
        /// Says after how many seconds to try again.
        retry_after_s: u64,
    },
    /// The credential is wrong.
    #[error("wrong credential")]
    WrongCredential,
}

impl ApiError {
    /// Status, name, sentence, and when to try again: the one place where
    /// errors become statuses and texts.
    const fn public(&self) -> (StatusCode, &'static str, &'static str, Option<u64>) {
        const BUSY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
        match self {
            Self::BadRequest(what) => (StatusCode::BAD_REQUEST, "bad_request", what, None),
            Self::CrossSite => (
                StatusCode::BAD_REQUEST,
                "cross_site",
                "Another site sent this request. Use this page itself.",
                None,
            ),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "This is not shown to third parties.",
                None,
            ),
            Self::History(_) | Self::NoEntropy => (
                BUSY,
                "history_failed",
                "The gateway could not read its data. Its log says why. Try again shortly.",
                Some(5),
            ),
            Self::NoHistory => (
                StatusCode::NOT_FOUND,
                "no_history",
                "This gateway keeps no history: homegate.history is off.",
                None,
            ),
            Self::NoSuchPath => (
                StatusCode::NOT_FOUND,
                "no_such_path",
                "There is nothing here. See /api/v1/openapi.json.",
                None,
            ),
            Self::NotSignedIn => (
                StatusCode::UNAUTHORIZED,
                "not_signed_in",
                "Sign in with the user and the password of this gateway.",
                None,
            ),
            Self::Stopping => (
                BUSY,
                "stopping",
                "The gateway is stopping. Try again shortly.",
                Some(5),
            ),
            Self::TooLong => (
                StatusCode::BAD_REQUEST,
                "too_long",
                "One answer has at most 1,500 intervals. Ask for less, or for a longer step.",
                None,
            ),
            Self::TooSlow => (
                BUSY,
                "too_slow",
                "The answer took too long. Ask for less, or try again shortly.",
                Some(5),
            ),
            Self::TooManyAtOnce => (
                BUSY,
                "too_many_at_once",
                "Too many pages or downloads are open at once. Close some of them.",
                Some(10),
            ),
            Self::TooManyAttempts { retry_after_s } => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_attempts",
                "Too many wrong passwords from this address. Wait a minute.",
                Some(*retry_after_s),
            ),
            Self::WrongCredential => (
                StatusCode::UNAUTHORIZED,
                "wrong_credential",
                "User or password is not the one of this gateway.",
                None,
            ),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, message, retry) = self.public();
        if let Self::History(source) = &self {
            let cause = std::error::Error::source(source).map(ToString::to_string);
            tracing::error!(error = %source, cause, "a request failed");
        }
        let error = ErrorDetail {
            code: code.to_owned(),
            message: message.to_owned(),
        };
        let mut response = (status, Json(ErrorBody { error })).into_response();
        if let Some(seconds) = retry {
            let seconds = HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Wrong => Self::WrongCredential,
            Refusal::TooMany { retry_after_s } => Self::TooManyAttempts { retry_after_s },
        }
    }
}

pub(super) async fn no_such_path() -> ApiError {
    ApiError::NoSuchPath
}
