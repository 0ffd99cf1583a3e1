//! What stands before every handler: deadlines, rates, headers, sign-in.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{FromRequestParts, Query, Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use model::Timestamp;
use serde::de::DeserializeOwned;

use super::App;
use super::error::ApiError;

/// The time that a handler has until its answer begins.
const DEADLINE: Duration = Duration::from_secs(30);

pub(super) async fn deadline(request: Request, next: Next) -> Response {
    tokio::time::timeout(DEADLINE, next.run(request))
        .await
        .unwrap_or_else(|_| ApiError::TooLong.into_response())
}

pub(super) async fn rate(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let from = web::peer(request.extensions().get());
    app.rates.take(from, app.clock.now())?;
    let cross_site = request
        .headers()
        .get("sec-fetch-site")
        .is_some_and(|site| site == "cross-site");
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if cross_site && !is_read {
        return Err(ApiError::CrossSite);
    }
    Ok(next.run(request).await)
}

pub(super) async fn signed_in(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let from = web::peer(request.extensions().get());
    app.sessions
        .check(request.headers(), from, app.clock.now())?;
    Ok(next.run(request).await)
}

pub(super) async fn headers(request: Request, next: Next) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    let mut response = next.run(request).await;
    web::harden(response.headers_mut(), POLICY, is_api);
    response
}

/// The policy of the design language: nothing from elsewhere, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; \
                      img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";

/// Requests of each address: a bucket that fills by `per_s` a second up to ten seconds' worth.
#[derive(Debug)]
pub(crate) struct Rates {
    per_s: u32,
    buckets: Mutex<BTreeMap<IpAddr, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Thousandths of requests.
    level: u64,
    at: Timestamp,
}

/// Addresses remembered; beyond, those with a full bucket are forgotten first, then all.
const ADDRESSES_MAX: usize = 4_096;
const BURST_S: u64 = 10;

impl Rates {
    pub(super) const fn new(per_s: u32) -> Self {
        Self {
            per_s,
            buckets: Mutex::new(BTreeMap::new()),
        }
    }

    fn take(&self, from: IpAddr, now: Timestamp) -> Result<(), ApiError> {
        let per_s = u64::from(self.per_s);
        let full = per_s * BURST_S * 1_000;
        let filled = |bucket: &Bucket| {
            let passed = now.millis_since(bucket.at).clamp(0, 3_600_000);
            (bucket.level + passed.unsigned_abs() * per_s).min(full)
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= ADDRESSES_MAX && !buckets.contains_key(&from) {
            buckets.retain(|_, bucket| filled(bucket) < full);
            if buckets.len() >= ADDRESSES_MAX {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(from).or_insert(Bucket {
            level: full,
            at: now,
        });
        let level = filled(bucket);
        let left = level.checked_sub(1_000);
        *bucket = Bucket {
            level: left.unwrap_or(level),
            at: now,
        };
        drop(buckets);
        match left {
            Some(_) => Ok(()),
            None => Err(ApiError::TooManyRequests { retry_after_s: 1 }),
        }
    }
}

/// A query that says so where it is not understood.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(query) = Query::<T>::from_request_parts(parts, state).await?;
        Ok(Self(query))
    }
}
