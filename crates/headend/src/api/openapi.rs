//! The API's own description.

use axum::Json;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::HttpAuthScheme;
use utoipa::{Modify, OpenApi as _};

use super::session::COOKIE;

/// Returns the description of the API (OpenAPI 3.1).
pub fn openapi() -> OpenApi {
    Document::openapi()
}

/// This description.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "session",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)), security(()))]
pub(super) async fn document() -> Json<OpenApi> {
    Json(openapi())
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Gridward head end",
        description = "Times are RFC 3339 in UTC. Energy is in Wh, power in W, whole numbers. \
                       null is no value, never zero.",
    ),
    paths(
        super::session::sign_in,
        super::session::session,
        super::session::sign_out,
        super::fleet::fleet,
        super::meters::meters,
        super::meters::find,
        super::meter::meter,
        super::meter::registers,
        super::meter::events,
        super::paths::paths,
        super::fence::fence,
        super::fence::preview,
        super::fence::save,
        super::drill::drill,
        super::drill::links,
        super::drill::begin,
        super::drill::stop,
        super::orders::of_meter,
        super::orders::dry_run,
        super::orders::give,
        super::orders::of_all,
        super::orders::order,
        super::orders::stop,
        super::profile::profile,
        super::profile::profile_csv,
        super::outlets::list,
        super::outlets::meter,
        super::outlets::usage,
        super::outlets::warnings,
        super::outlets::costs,
        super::outlets::orders,
        super::outlets::switch,
        super::outlets::tell_cost,
        super::outlets::request,
        super::outlets::preview,
        super::outlets::breaker,
        super::campaigns::campaigns,
        super::campaigns::start,
        super::campaigns::plan::plan,
        super::campaigns::campaign,
        super::campaigns::meters,
        super::campaigns::stop,
        super::campaigns::resume,
        super::campaigns::images::images,
        super::campaigns::images::upload,
        super::campaigns::images::forget,
        super::concentrators::concentrators,
        super::concentrators::concentrator,
        super::concentrators::behind,
        super::concentrators::look,
        super::switchover::dry_run,
        super::switchover::give,
        super::substation::outages,
        super::substation::notices,
        super::substation::balance,
        super::stream::stream,
        document,
    ),
    components(schemas(super::fleet::FleetUpdate)),
    modifiers(&Common),
)]
struct Document;

struct Common;

impl Modify for Common {
    fn modify(&self, api: &mut OpenApi) {
        web::complete(api, COOKIE, "token", HttpAuthScheme::Bearer);
    }
}
