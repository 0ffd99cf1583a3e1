//! What the descriptions of the APIs share.

use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr, SecurityRequirement};

/// Completes a description: each path wants the session of the cookie, or the other way to sign in
/// under its name; all fields of answers are always there, since what has no value is null.
pub fn complete(api: &mut OpenApi, cookie: &str, other: &str, scheme: HttpAuthScheme) {
    let components = api.components.get_or_insert_default();
    let session = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(cookie)));
    components.add_security_scheme("session", session);
    components.add_security_scheme(other, SecurityScheme::Http(Http::new(scheme)));
    let either = ["session", other].map(|name| SecurityRequirement::new(name, [""; 0]));
    api.security = Some(either.to_vec());
    for schema in components.schemas.values_mut() {
        require_all(schema);
    }
}

/// Requires every property of a schema, and of the parts of its own that it is put together of.
fn require_all(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            object.required = object.properties.keys().cloned().collect();
        }
        RefOr::T(Schema::AllOf(all)) => all.items.iter_mut().for_each(require_all),
        _ => {}
    }
}
