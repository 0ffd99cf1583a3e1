//! What goes wrong, as clients and logs are told.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::campaigns::Overlap;
use crate::store::StoreError;

/// Why a request is not answered with what it asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The query or the body cannot be understood.
    #[error("{0}")]
    BadRequest(String),
    /// The request comes from another site.
    #[error("a request from another site was refused")]
    CrossSite,
    /// There is no such campaign.
    #[error("no such campaign")]
    NoSuchCampaign,
    /// There is no such concentrator.
    #[error("no such concentrator")]
    NoSuchConcentrator,
    /// A campaign cannot go on as long as another one has meters of it.
    #[error(transparent)]
    Overlap(#[from] Overlap),
    /// The disk failed.
    #[error("the disk failed")]
    Disk,
    /// There is no such image.
    #[error("no such image")]
    NoSuchImage,
    /// There is no such meter.
    #[error("no such meter")]
    NoSuchMeter,
    /// There is no such order.
    #[error("no such order")]
    NoSuchOrder,
    /// There is no such path.
    #[error("no such path")]
    NoSuchPath,
    /// An order cannot be given as things stand.
    #[error("{1}")]
    NotNow(&'static str, &'static str),
    /// Nobody is signed in.
    #[error("not signed in")]
    NotSignedIn,
    /// The operating system gives no random octets.
    #[error("the operating system gives no random octets")]
    NoEntropy,
    /// The head end is stopping.
    #[error("stopping")]
    Stopping,
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The answer took too long.
    #[error("the answer took too long")]
    TooLong,
    /// This address asks too often.
    #[error("too many requests")]
    TooManyRequests {
        /// Says after how many seconds to try again.
        retry_after_s: u64,
    },
    /// Too many event streams are open.
    #[error("too many event streams")]
    TooManyStreams,
    /// Too many wrong tokens came from this address.
    #[error("too many wrong tokens")]
    TooManyTokens {
        /// Says after how many seconds to try again.
        retry_after_s: u64,
    },
    /// The token is wrong.
    #[error("wrong token")]
    WrongToken,
}

/// The body of every answer that is an error.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// A name for programs.
    code: &'static str,
    /// A sentence for people that says what to do.
    message: String,
}

/// What the outside is told: status, name, sentence.
struct Public {
    status: StatusCode,
    code: &'static str,
    message: String,
    retry_after_s: Option<u64>,
}

/// The one place where errors become statuses and texts.
impl From<&ApiError> for Public {
    fn from(error: &ApiError) -> Self {
        let public = |status, code, message: &str| Self {
            status,
            code,
            message: message.to_owned(),
            retry_after_s: None,
        };
        let later = |status, code, message: &str, seconds| Self {
            retry_after_s: Some(seconds),
            ..public(status, code, message)
        };
        const BUSY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
        match error {
            ApiError::BadRequest(what) => public(StatusCode::BAD_REQUEST, "bad_request", what),
            ApiError::CrossSite => public(
                StatusCode::BAD_REQUEST,
                "cross_site",
                "Another site sent this request. Use this page itself.",
            ),
            ApiError::NoSuchCampaign => public(
                StatusCode::NOT_FOUND,
                "no_such_campaign",
                "No campaign has this number. /api/v1/campaigns lists them.",
            ),
            ApiError::NoSuchConcentrator => public(
                StatusCode::NOT_FOUND,
                "no_such_concentrator",
                "No concentrator has this address. Look it up by name.",
            ),
            ApiError::NoSuchImage => public(
                StatusCode::NOT_FOUND,
                "no_such_image",
                "The head end keeps no image with this hash. /api/v1/images lists them.",
            ),
            ApiError::NoSuchMeter => public(
                StatusCode::NOT_FOUND,
                "no_such_meter",
                "No meter has this address. Look it up by name or place.",
            ),
            ApiError::NoSuchOrder => public(
                StatusCode::NOT_FOUND,
                "no_such_order",
                "No order has this number. /api/v1/orders lists them.",
            ),
            ApiError::NoSuchPath => public(
                StatusCode::NOT_FOUND,
                "no_such_path",
                "The API has nothing here. See /api/v1/openapi.json.",
            ),
            ApiError::Overlap(Overlap { campaign, meters }) => public(
                StatusCode::CONFLICT,
                "meters_in_campaign",
                &format!(
                    "Campaign {campaign} has {meters} of its meters now. Let this one go on when \
                     campaign {campaign} has ended, or stop that one first. Nothing was changed."
                ),
            ),
            ApiError::NotNow(code, message) => public(StatusCode::CONFLICT, code, message),
            ApiError::NotSignedIn => public(
                StatusCode::UNAUTHORIZED,
                "not_signed_in",
                "Sign in with the token that was printed at the first start.",
            ),
            ApiError::Disk | ApiError::NoEntropy | ApiError::Store(_) => later(
                BUSY,
                "store_failed",
                "The head end could not read its data. Its log says why. Try again shortly.",
                5,
            ),
            ApiError::Stopping => later(
                BUSY,
                "stopping",
                "The head end is stopping. Try again shortly.",
                5,
            ),
            ApiError::TooLong => later(
                BUSY,
                "too_long",
                "The answer took too long. Ask for less, or try again shortly.",
                5,
            ),
            ApiError::TooManyRequests { retry_after_s } => later(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "Too many requests from this address. Wait a moment.",
                *retry_after_s,
            ),
            ApiError::TooManyStreams => later(
                BUSY,
                "too_many_streams",
                "Too many pages are open at once. Close some of them.",
                10,
            ),
            ApiError::TooManyTokens { retry_after_s } => later(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_attempts",
                "Too many wrong tokens from this address. Wait a minute.",
                *retry_after_s,
            ),
            ApiError::WrongToken => public(
                StatusCode::UNAUTHORIZED,
                "wrong_token",
                "This is not the token that was printed at the first start.",
            ),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let public = Public::from(&self);
        if let Self::Store(source) = &self {
            let cause = std::error::Error::source(source).map(ToString::to_string);
            tracing::error!(error = %source, cause, "a request failed");
        }
        let body = ErrorBody {
            error: ErrorDetail {
                code: public.code,
                message: public.message,
            },
        };
        let mut response = (public.status, Json(body)).into_response();
        if let Some(seconds) = public.retry_after_s {
            let seconds = HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::BadRequest(format!(
            "The query is not understood: {}.",
            rejection.body_text()
        ))
    }
}

impl From<JsonRejection> for ApiError {
    fn from(_: JsonRejection) -> Self {
        // What was sent may hold the token: nothing of it is repeated.
        Self::BadRequest("The body must be JSON: {\"token\": \"...\"}.".to_owned())
    }
}

pub(super) async fn no_such_path() -> ApiError {
    ApiError::NoSuchPath
}
