//! The API's own description.

use axum::Json;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr, SecurityRequirement};
use utoipa::{Modify, OpenApi as _};

/// Tells the description of the API (OpenAPI 3.1).
#[must_use]
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
        title = "Gridward home gateway",
        description = "Times are RFC 3339 in UTC. Energy is in Wh, power in W, whole numbers. \
                       null is no value, never zero. Green Button is under \
                       /espi/1_1/resource (NAESB ESPI 1.1).",
    ),
    paths(
        super::session::sign_in,
        super::session::session,
        super::session::sign_out,
        super::page::state,
        super::live::live,
        super::page::history,
        super::page::download,
        document,
    ),
    modifiers(&Common),
)]
struct Document;

struct Common;

impl Modify for Common {
    fn modify(&self, api: &mut OpenApi) {
        let components = api.components.get_or_insert_default();
        let cookie = ApiKey::Cookie(ApiKeyValue::new("gridward_home"));
        components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
        let basic = SecurityScheme::Http(Http::new(HttpAuthScheme::Basic));
        components.add_security_scheme("basic", basic);
        let either = ["session", "basic"];
        let either = either.map(|name| SecurityRequirement::new(name, [""; 0]));
        api.security = Some(either.to_vec());
        // Answers always have all their fields: what has no value is null.
        for schema in components.schemas.values_mut() {
            if let RefOr::T(Schema::Object(object)) = schema {
                object.required = object.properties.keys().cloned().collect();
            }
        }
    }
}
