//! Images that wait for a campaign, over the API.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::App;
use super::super::error::{ApiError, ErrorBody};
use super::bad;
use crate::calendar::rfc3339;
use crate::campaigns::{IMAGES_MAX, ImageId, Maker, ShelfError, ShelvedImage};

/// Images that the head end keeps, the latest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FirmwareImages {
    /// So many are kept at most.
    most: usize,
    rows: Vec<FirmwareImage>,
}

/// A signed image that the head end keeps.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FirmwareImage {
    /// The SHA-256 of all its octets, in hex.
    id: String,
    /// The model whose meters it is for.
    model: String,
    /// What a meter calls itself with it.
    identifier: String,
    version: u32,
    /// Octets, with all that is before the content.
    length: u32,
    /// When it came.
    #[schema(format = DateTime)]
    uploaded: String,
    /// One of verified, unchecked, refused: whether the maker whose key the head end has signed
    /// it; unchecked where it has none, and then meters alone verify.
    signature: &'static str,
    /// Campaigns with an image of this identifier and version.
    campaigns: Vec<u32>,
}

/// A signed image as it is.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it is there for the description of the API alone")]
struct ImageOctets(Vec<u8>);

impl FirmwareImage {
    fn of(app: &App, image: &ShelvedImage) -> Self {
        let campaigns = app.campaigns.about();
        let with = campaigns.iter().filter(|(_, about)| {
            (about.version, &about.identifier, &about.model)
                == (image.version, &image.identifier, &image.model)
        });
        Self {
            id: image.id.to_string(),
            model: image.model.clone(),
            identifier: image.identifier.clone(),
            version: image.version,
            length: image.image_len,
            uploaded: rfc3339(image.since),
            signature: match image.maker {
                Maker::Unchecked => "unchecked",
                Maker::Verified => "verified",
                Maker::Refused => "refused",
            },
            campaigns: with.map(|(id, _)| *id).collect(),
        }
    }
}

/// Lists the images that the head end keeps.
#[utoipa::path(get, path = "/api/v1/images", tag = "campaigns",
    responses(
        (status = 200, description = "Images", body = FirmwareImages),
        (status = 401, description = "Not signed in", body = ErrorBody),
    ))]
pub(in crate::api) async fn images(
    State(app): State<Arc<App>>,
) -> Result<Json<FirmwareImages>, ApiError> {
    app.blocking(move |app| {
        let all = app.images.list();
        Ok(Json(FirmwareImages {
            most: IMAGES_MAX,
            rows: all.iter().map(|it| FirmwareImage::of(app, it)).collect(),
        }))
    })
    .await
}

/// Keeps a signed image (gridward image sign) for campaigns. The same one twice is one.
#[utoipa::path(post, path = "/api/v1/images", tag = "campaigns",
    request_body(content = ImageOctets, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "It was kept already", body = FirmwareImage),
        (status = 201, description = "It is kept", body = FirmwareImage),
        (status = 400, description = "No image, or not of this maker", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 409, description = "As many are kept as may be", body = ErrorBody),
        (status = 503, description = "The disk failed", body = ErrorBody),
    ))]
pub(in crate::api) async fn upload(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<FirmwareImage>), ApiError> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    // A form of another site cannot say this without asking first.
    if kind.split(';').next() != Some("application/octet-stream") {
        return Err(bad(
            "An image is sent as it is, and the content type must be application/octet-stream.",
        ));
    }
    let body = body.map_err(|_| bad("An image has at most 4 MiB. Nothing was kept."))?;
    app.blocking(move |app| match app.images.keep(&body, app.clock.now()) {
        Ok((image, is_new)) => {
            tracing::info!(image = %image.id, is_new, "an image for campaigns was sent");
            let status = if is_new {
                StatusCode::CREATED
            } else {
                StatusCode::OK
            };
            Ok((status, Json(FirmwareImage::of(app, &image))))
        }
        Err(ShelfError::Image(error)) => {
            Err(bad(&format!("The image: {error}. Nothing was kept.")))
        }
        Err(ShelfError::Full) => Err(ApiError::NotNow(
            "too_many_images",
            "As many images are kept as may be. Remove one that no campaign needs any more.",
        )),
        Err(ShelfError::Disk(error)) => Err(broken(&error)),
    })
    .await
}

/// Forgets an image. Campaigns that began with it go on: they have their own copy.
#[utoipa::path(delete, path = "/api/v1/images/{id}", tag = "campaigns",
    params(("id" = String, Path, description = "The image's hash")),
    responses(
        (status = 204, description = "It is forgotten"),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such image", body = ErrorBody),
        (status = 503, description = "The disk failed", body = ErrorBody),
    ))]
pub(in crate::api) async fn forget(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let Path(id) = id.map_err(|_| ApiError::NoSuchImage)?;
    let id: ImageId = id.parse().map_err(|_| ApiError::NoSuchImage)?;
    app.blocking(move |app| match app.images.forget(&id) {
        Ok(true) => Ok(StatusCode::NO_CONTENT),
        Ok(false) => Err(ApiError::NoSuchImage),
        Err(error) => Err(broken(&error)),
    })
    .await
}

/// Reads an image that a campaign is to begin with.
pub(super) fn octets(app: &App, id: ImageId) -> Result<Vec<u8>, ApiError> {
    match app.images.read(&id) {
        Ok(Some(octets)) => Ok(octets),
        Ok(None) => Err(bad(
            "The head end keeps no image with this hash. /api/v1/images lists them.",
        )),
        Err(error) => Err(broken(&error)),
    }
}

fn broken(error: &std::io::Error) -> ApiError {
    tracing::error!(%error, "the folder of images cannot be used");
    ApiError::Disk
}
