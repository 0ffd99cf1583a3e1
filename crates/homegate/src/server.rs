//! The activity that serves: HTTPS with the page, its API, Green Button and
//! figures. It knows what is in the cache and in the record, and cannot reach
//! the meter.
#![expect(
    unused_qualifications,
    reason = "what utoipa's derive writes out qualifies the names of query types"
)]

mod error;
mod espi;
mod guard;
mod live;
mod metrics;
mod openapi;
mod page;
mod session;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use link::Clock;
use model::Timestamp;
use tokio::sync::{Semaphore, watch};
use web::{Limits, Pages};

use crate::credential::Credentials;
use crate::recorder::Record;
use crate::shared::Shared;
use crate::summary::Place;

pub use error::ApiError;
pub use openapi::openapi;

/// The parts that a server is made of.
#[derive(Debug)]
pub struct Parts {
    /// What is known of the meter.
    pub shared: Arc<Shared>,
    /// What was read.
    pub record: Arc<Record>,
    /// Who may look.
    pub credentials: Credentials,
    /// Zone, tariff and bounds.
    pub place: Place,
    /// The name of the place.
    pub name: String,
    /// Event streams at once.
    pub streams: usize,
    /// When the gateway was set up.
    pub published: Timestamp,
    /// The own authority's certificate in PEM, for whoever wants to trust it.
    pub authority: Option<Arc<str>>,
    /// Says when to stop.
    pub stop: watch::Receiver<bool>,
}

/// What handlers share.
pub struct App {
    parts: Parts,
    clock: Arc<dyn Clock>,
    sessions: web::Sessions,
    streams: Arc<Semaphore>,
    /// Long answers, one at a time: they take memory.
    downloads: Semaphore,
    periods: Mutex<Option<page::Looked>>,
    started: Timestamp,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts, clock: Arc<dyn Clock>) -> Arc<Self> {
        let streams = parts.streams.min(Semaphore::MAX_PERMITS);
        let started = Timestamp::from_millis(clock.unix_millis());
        Arc::new(Self {
            parts,
            clock,
            sessions: session::sessions(),
            streams: Arc::new(Semaphore::new(streams)),
            downloads: Semaphore::new(1),
            periods: Mutex::new(None),
            started,
        })
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.unix_millis())
    }

    /// Runs work that may take the disk or a core for a while off the async
    /// threads.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let app = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&app))
            .await
            .unwrap_or(Err(ApiError::Stopping))
    }
}

/// What clients may have: half of the connections for one address.
pub(crate) const fn limits(connections: usize) -> Limits {
    Limits {
        connections,
        per_address: connections.div_ceil(2),
        head: Duration::from_secs(60),
        stop: Duration::from_secs(3),
    }
}

/// Builds the routes.
pub fn router(app: &Arc<App>) -> Router {
    let signed_in = Router::new()
        .route("/state", get(page::state))
        .route("/live", get(live::live))
        .route("/history", get(page::history))
        .route("/download.csv", get(page::download))
        .route_layer(from_fn_with_state(Arc::clone(app), guard::signed_in));
    let api = signed_in
        .route(
            "/session",
            get(session::session)
                .post(session::sign_in)
                .delete(session::sign_out),
        )
        .route("/openapi.json", get(openapi::document))
        .fallback(error::no_such_path);
    Router::new()
        .nest("/api/v1", api)
        .route("/espi/{*rest}", get(espi::resource))
        .route("/healthz", get(metrics::healthz))
        .route("/metrics", get(metrics::metrics))
        .route("/ca.crt", get(authority))
        .fallback(asset)
        .layer(from_fn(guard::deadline))
        .layer(from_fn(guard::headers))
        .with_state(Arc::clone(app))
}

/// Gives the own authority's certificate to whoever wants to trust it: what it
/// says is seen in each handshake as well.
async fn authority(State(app): State<Arc<App>>) -> Response {
    match &app.parts.authority {
        Some(pem) => {
            let kind = [(header::CONTENT_TYPE, "application/x-x509-ca-cert")];
            (kind, pem.to_string()).into_response()
        }
        None => error::ApiError::NoSuchPath.into_response(),
    }
}

/// Serves a file of the pages; what has the form of a request for data is none.
async fn asset(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path();
    if path.starts_with("/api/") || path.starts_with("/espi/") {
        return error::ApiError::NoSuchPath.into_response();
    }
    web::asset(Pages::Home, &method, path, &headers)
}
