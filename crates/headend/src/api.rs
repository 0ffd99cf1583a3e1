//! The HTTP API, version 1, and the interface.
#![expect(
    unused_qualifications,
    reason = "what utoipa's derive writes out qualifies the names of query types"
)]

mod campaigns;
mod concentrators;
mod drill;
mod error;
mod fence;
mod fleet;
mod guard;
mod meter;
mod meters;
mod metrics;
mod openapi;
mod orders;
mod outlets;
mod paths;
mod profile;
mod serve;
mod session;
mod stream;
mod substation;
mod switchover;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use dlms::security::PublicKey;
use model::Timestamp;
use tokio::sync::{Semaphore, watch};
use tower_http::compression::CompressionLayer;
use web::Pages;

use crate::campaigns::{Campaigns, Images};
use crate::clock::Clock;
use crate::collector::{CollectorHandle, MeterAccess};
use crate::concentrators::{Board, Concentrators};
use crate::config::Config;
use crate::drills::Drills;
use crate::fences::Fences;
use crate::fleet::Fleet;
use crate::hub::Hub;
use crate::keys::KeyError;
use crate::live::Live;
use crate::orders::Orders;
use crate::outlets::Outlets;
use crate::store::Store;

pub use error::ApiError;
pub use openapi::openapi;
pub use serve::ServeError;
pub(crate) use serve::limits;
pub use session::Tokens;

/// What handlers share.
#[derive(Debug)]
pub struct App {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fleet: Arc<Fleet>,
    /// Holds the concentrators that are devices of their own.
    pub concentrators: Arc<Concentrators>,
    /// Holds what each of them said last.
    pub board: Arc<Board>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) live: Arc<Live>,
    pub(crate) collector: CollectorHandle,
    pub(crate) outlets: Option<Arc<Outlets>>,
    pub(crate) campaigns: Arc<Campaigns>,
    pub(crate) images: Arc<Images>,
    pub(crate) access: Arc<dyn MeterAccess>,
    pub(crate) orders: Arc<Orders>,
    pub(crate) fences: Arc<Fences>,
    pub(crate) drills: Arc<Drills>,
    pub(crate) maker: Option<PublicKey>,
    pub(crate) sessions: session::Sessions,
    pub(crate) rates: guard::Rates,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) summary: Mutex<fleet::SummaryCache>,
    pub(crate) started: Timestamp,
}

/// The parts that an [`App`] is made of.
#[derive(Debug)]
pub struct AppParts {
    /// Holds the configuration.
    pub config: Config,
    /// Holds the store.
    pub store: Arc<dyn Store>,
    /// Holds the fleet.
    pub fleet: Arc<Fleet>,
    /// Holds the concentrators that are devices of their own.
    pub concentrators: Arc<Concentrators>,
    /// Holds what each of them said last.
    pub board: Arc<Board>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Reads live power.
    pub live: Arc<Live>,
    /// Talks to the collector.
    pub collector: CollectorHandle,
    /// Serves outlet meters, where that is configured.
    pub outlets: Option<Arc<Outlets>>,
    /// Runs campaigns.
    pub campaigns: Arc<Campaigns>,
    /// Keeps the images that wait for one.
    pub images: Arc<Images>,
    /// Knows what opens meters.
    pub access: Arc<dyn MeterAccess>,
    /// Gives meters orders.
    pub orders: Arc<Orders>,
    /// Says what fences leave.
    pub fences: Arc<Fences>,
    /// Cuts links of a simulated network.
    pub drills: Arc<Drills>,
    /// Whose firmware images are taken; any where none is said.
    pub maker: Option<PublicKey>,
    /// Knows the token.
    pub tokens: Tokens,
    /// Says when to stop.
    pub stop: watch::Receiver<bool>,
}

impl App {
    /// Puts the parts together.
    ///
    /// # Errors
    /// [`KeyError::Entropy`] where the operating system gives no random octets.
    pub fn new(parts: AppParts) -> Result<Arc<Self>, KeyError> {
        let now = parts.clock.now();
        let streams = parts.config.api.streams;
        Ok(Arc::new(Self {
            rates: guard::Rates::new(parts.config.api.requests_per_s),
            streams: Arc::new(Semaphore::new(streams.min(Semaphore::MAX_PERMITS))),
            hub: Arc::clone(parts.fleet.hub()),
            sessions: session::Sessions::new(parts.tokens),
            summary: Mutex::default(),
            config: parts.config,
            store: parts.store,
            fleet: parts.fleet,
            concentrators: parts.concentrators,
            board: parts.board,
            clock: parts.clock,
            live: parts.live,
            collector: parts.collector,
            outlets: parts.outlets,
            campaigns: parts.campaigns,
            images: parts.images,
            access: parts.access,
            orders: parts.orders,
            fences: parts.fences,
            drills: parts.drills,
            maker: parts.maker,
            stop: parts.stop,
            started: now,
        }))
    }

    /// Runs work that may take the disk or a core for a while off the async threads.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let app = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&app))
            .await
            .unwrap_or(Err(ApiError::Stopping))
    }
}

/// Builds the routes.
pub fn router(app: &Arc<App>) -> Router {
    let signed_in = Router::new()
        .route("/fleet", get(fleet::fleet))
        .route("/meters", get(meters::meters))
        .route("/meters/{id}", get(meter::meter))
        .route("/meters/{id}/profile", get(profile::profile))
        .route("/meters/{id}/profile.csv", get(profile::profile_csv))
        .route("/meters/{id}/registers", get(meter::registers))
        .route("/meters/{id}/events", get(meter::events))
        .route("/meters/{id}/paths", get(paths::paths))
        .route(
            "/meters/{id}/orders",
            get(orders::of_meter).post(orders::give),
        )
        .route("/meters/{id}/fence", get(fence::fence).put(fence::save))
        .route("/meters/{id}/fence/preview", get(fence::preview))
        .route("/meters/{id}/drill", get(drill::drill).post(drill::begin))
        .route("/meters/{id}/drill/links", get(drill::links))
        .route("/meters/{id}/drill/stop", post(drill::stop))
        .route("/meters/{id}/orders/dry-run", get(orders::dry_run))
        .route("/orders", get(orders::of_all))
        .route("/orders/{id}", get(orders::order))
        .route("/orders/{id}/stop", post(orders::stop))
        .route("/outlet-meters", get(outlets::list))
        .route("/outlet-meters/{id}", get(outlets::meter))
        .route("/outlet-meters/{id}/usage", get(outlets::usage))
        .route("/outlet-meters/{id}/warnings", get(outlets::warnings))
        .route(
            "/outlet-meters/{id}/costs",
            get(outlets::costs).post(outlets::tell_cost),
        )
        .route("/outlet-meters/{id}/orders", get(outlets::orders))
        .route("/outlet-meters/{id}/switch", post(outlets::switch))
        .route("/outlet-meters/{id}/requests", post(outlets::request))
        .route(
            "/outlet-meters/{id}/breaker",
            get(outlets::preview).post(outlets::breaker),
        )
        .route(
            "/campaigns",
            get(campaigns::campaigns)
                .post(campaigns::start)
                .layer(DefaultBodyLimit::max(campaigns::BODY_LEN_MAX)),
        )
        .route(
            "/campaigns/plan",
            post(campaigns::plan::plan).layer(DefaultBodyLimit::max(campaigns::BODY_LEN_MAX)),
        )
        .route(
            "/images",
            get(campaigns::images::images)
                .post(campaigns::images::upload)
                .layer(DefaultBodyLimit::max(campaigns::IMAGE_BODY_LEN_MAX)),
        )
        .route("/images/{id}", delete(campaigns::images::forget))
        .route("/campaigns/{id}", get(campaigns::campaign))
        .route("/campaigns/{id}/meters", get(campaigns::meters))
        .route("/campaigns/{id}/stop", post(campaigns::stop))
        .route("/campaigns/{id}/resume", post(campaigns::resume))
        .route("/concentrators", get(concentrators::concentrators))
        .route("/concentrators/{id}", get(concentrators::concentrator))
        .route("/concentrators/{id}/meters", get(concentrators::behind))
        .route("/concentrators/{id}/look", post(concentrators::look))
        .route(
            "/concentrators/{id}/switchover",
            get(switchover::dry_run).post(switchover::give),
        )
        .route("/concentrators/{id}/outages", get(substation::outages))
        .route("/concentrators/{id}/notices", get(substation::notices))
        .route("/concentrators/{id}/balance", get(substation::balance))
        .route("/find", get(meters::find))
        .route("/stream", get(stream::stream))
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
        .route("/healthz", get(metrics::healthz))
        .route("/metrics", get(metrics::metrics))
        .fallback(asset)
        .layer(CompressionLayer::new().gzip(true).br(true))
        .layer(from_fn(guard::deadline))
        .layer(from_fn_with_state(Arc::clone(app), guard::rate))
        .layer(from_fn(guard::headers))
        .with_state(Arc::clone(app))
}

/// Serves a file of the pages; what has the form of a request for data is none.
async fn asset(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path();
    if path.starts_with("/api/") {
        return error::ApiError::NoSuchPath.into_response();
    }
    web::asset(Pages::HeadEnd, &method, path, &headers)
}
