//! Firmware campaigns: planned, begun, watched, stopped.

pub(super) mod images;
pub(super) mod plan;
mod view;

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dlms::security::AwsLc;
use model::{IMAGE_LEN_MAX, Image};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::error::{ApiError, ErrorBody};
use super::guard::Params;
use super::outlets::{fresh, reason};
use super::substation::PageQuery;
use crate::campaigns::{CampaignError, ImageId, Order, Settings};
use plan::{Chosen, Skip};

pub(super) use view::CampaignRow;
pub(crate) use view::{
    CampaignList, CampaignMeters, CampaignMetersQuery, CampaignSettings, CampaignView,
};

/// The longest image in base64, and as much as the names of many meters take.
pub(super) const BODY_LEN_MAX: usize = (IMAGE_LEN_MAX as usize) * 4 / 3 + (4 << 20);

/// The longest image as it is.
pub(super) const IMAGE_BODY_LEN_MAX: usize = IMAGE_LEN_MAX as usize;

/// Characters of a campaign's name.
const NAME_LEN_MAX: usize = 80;

/// A campaign to begin, or to plan.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCampaign {
    /// What people call it; the image's identifier where it is not said.
    #[serde(default)]
    name: Option<String>,
    /// The signed image (gridward image sign) in base64; or image_id.
    #[serde(default)]
    image: Option<String>,
    /// An image that the head end keeps, by the 64 hex digits of its hash.
    #[serde(default)]
    image_id: Option<String>,
    /// Logical device names; all enrolled meters where it is not said.
    #[serde(default)]
    meters: Option<Vec<String>>,
    /// Only meters with this endpoint.
    #[serde(default)]
    endpoint: Option<String>,
    /// Only meters on this feeder.
    #[serde(default)]
    feeder: Option<String>,
    /// Only meters with this in name, place or system title, in any case; at most 100 characters.
    #[serde(default)]
    q: Option<String>,
    /// Meters that are left out although they could take part.
    #[serde(default)]
    skip: Vec<Skip>,
    /// How it goes about it; what is not said is as GET shows it of a campaign without.
    #[serde(default)]
    #[schema(value_type = Option<CampaignSettings>)]
    settings: Settings,
    /// Why: 10 to 200 characters.
    #[serde(default)]
    reason: Option<String>,
    /// What the image calls itself, typed by a person: nothing is begun where it is another.
    #[serde(default)]
    confirm: Option<String>,
    /// The mark of the plan that was looked at: nothing is begun where it comes to another now.
    #[serde(default)]
    plan: Option<String>,
    /// When that plan was made: nothing is begun after five minutes.
    #[serde(default)]
    #[schema(format = DateTime)]
    as_of: Option<String>,
}

/// The number of a campaign that was begun.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Begun {
    id: u32,
}

/// Lists campaigns.
#[utoipa::path(get, path = "/api/v1/campaigns", tag = "campaigns", params(PageQuery),
    responses(
        (status = 200, description = "Campaigns", body = CampaignList),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
    ))]
pub(super) async fn campaigns(
    State(app): State<Arc<App>>,
    Params(query): Params<PageQuery>,
) -> Result<Json<CampaignList>, ApiError> {
    query.check()?;
    app.blocking(move |app| {
        let now = app.clock.now();
        let all = app.campaigns.list();
        Ok(Json(CampaignList {
            total: all.len(),
            offset: query.offset(),
            rows: query.of(all).map(|one| CampaignRow::of(one, now)).collect(),
        }))
    })
    .await
}

/// The meters of one campaign.
#[utoipa::path(get, path = "/api/v1/campaigns/{id}/meters", tag = "campaigns",
    params(("id" = u32, Path, description = "The campaign's number"), CampaignMetersQuery),
    responses(
        (status = 200, description = "Its meters", body = CampaignMeters),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such campaign", body = ErrorBody),
    ))]
pub(super) async fn meters(
    State(app): State<Arc<App>>,
    id: Result<Path<u32>, PathRejection>,
    Params(query): Params<CampaignMetersQuery>,
) -> Result<Json<CampaignMeters>, ApiError> {
    let Path(id) = id.map_err(|_| ApiError::NoSuchCampaign)?;
    app.blocking(move |app| {
        let all = app.campaigns.members(id);
        view::meters(app, all.ok_or(ApiError::NoSuchCampaign)?, &query).map(Json)
    })
    .await
}

/// Begins a campaign: the image goes to the meters at once, and is activated in rings. Whom it
/// leaves out, and why, tells the plan of the same body.
#[utoipa::path(post, path = "/api/v1/campaigns", tag = "campaigns", request_body = NewCampaign,
    responses(
        (status = 201, description = "Begun", body = Begun),
        (status = 400, description = "Not understood, or no such image or meter", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 409, description = "It is not what was planned", body = ErrorBody),
        (status = 503, description = "The store failed", body = ErrorBody),
    ))]
pub(super) async fn start(
    State(app): State<Arc<App>>,
    body: Result<axum::body::Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Begun>), ApiError> {
    let wanted = Wanted::read(&app, body).await?;
    let why = wanted.asked.reason.as_deref().map(reason).transpose()?;
    let why = why.map(str::to_owned);
    if let Some(typed) = &wanted.asked.confirm
        && typed.trim() != wanted.identifier
    {
        return Err(bad(
            "This is not what the image calls itself. Nothing was begun.",
        ));
    }
    if let Some(as_of) = &wanted.asked.as_of {
        fresh(&app, as_of)?;
    }
    // Nobody else takes these meters between the look at them and the beginning.
    let turn = app.campaigns.beginning().await;
    let (chosen, wanted) = app
        .blocking(move |app| Ok((Chosen::of(app, &wanted)?, wanted)))
        .await?;
    if let Some(mark) = &wanted.asked.plan
        && *mark != chosen.mark
    {
        return Err(ApiError::NotNow(
            "plan_changed",
            "It would come to something else now than what was planned. Look again.",
        ));
    }
    let begun = app.campaigns.start(Order {
        name: wanted.name,
        reason: why,
        image: wanted.image,
        meters: chosen.part,
        settings: wanted.asked.settings,
    });
    let begun = begun.await;
    drop(turn);
    match begun {
        Ok(id) => Ok((StatusCode::CREATED, Json(Begun { id }))),
        Err(error) => Err(refused(error)),
    }
}

/// A body that was understood, with its image.
struct Wanted {
    asked: NewCampaign,
    name: String,
    identifier: String,
    version: u32,
    image: Vec<u8>,
}

impl Wanted {
    async fn read(
        app: &Arc<App>,
        body: Result<axum::body::Bytes, BytesRejection>,
    ) -> Result<Self, ApiError> {
        let body = body.map_err(|_| bad("The body is too long."))?;
        let asked: NewCampaign = serde_json::from_slice(&body)
            .map_err(|error| bad(&format!("The body is not understood: {error}.")))?;
        let image = match (&asked.image, &asked.image_id) {
            (Some(image), None) => STANDARD
                .decode(image.as_bytes())
                .map_err(|_| bad("The image is no base64."))?,
            (None, Some(id)) => {
                let id: ImageId = id.parse().map_err(|error| bad(&format!("{error}.")))?;
                app.blocking(move |app| images::octets(app, id)).await?
            }
            _ => return Err(bad("A campaign has one image: either image or image_id.")),
        };
        let parsed = Image::parse(&image).map_err(|error| bad(&format!("The image: {error}.")))?;
        if let Some(maker) = &app.maker {
            let _signed = parsed
                .verify(&AwsLc, maker)
                .map_err(|error| bad(&format!("The image: {error}.")))?;
        }
        let header = parsed.header();
        let (identifier, version) = (header.identifier().to_owned(), header.version());
        let name = asked.name.clone().unwrap_or_else(|| identifier.clone());
        if name.chars().count() > NAME_LEN_MAX || name.chars().any(char::is_control) {
            return Err(bad("A name has up to 80 printable characters."));
        }
        Ok(Self {
            asked,
            name,
            identifier,
            version,
            image,
        })
    }
}

fn refused(error: CampaignError) -> ApiError {
    match error {
        CampaignError::Store(error) => error.into(),
        error => bad(&format!("{error}.")),
    }
}

/// Shows a campaign.
#[utoipa::path(get, path = "/api/v1/campaigns/{id}", tag = "campaigns",
    params(("id" = u32, Path, description = "The campaign's number")),
    responses(
        (status = 200, description = "The campaign", body = CampaignView),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such campaign", body = ErrorBody),
    ))]
pub(super) async fn campaign(
    State(app): State<Arc<App>>,
    id: Result<Path<u32>, PathRejection>,
) -> Result<Json<CampaignView>, ApiError> {
    found(&app, id).map(Json)
}

/// Stops a campaign: what is under way with a meter ends, nothing new is begun.
#[utoipa::path(post, path = "/api/v1/campaigns/{id}/stop", tag = "campaigns",
    params(("id" = u32, Path, description = "The campaign's number")),
    responses(
        (status = 200, description = "The campaign", body = CampaignView),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such campaign", body = ErrorBody),
    ))]
pub(super) async fn stop(
    State(app): State<Arc<App>>,
    id: Result<Path<u32>, PathRejection>,
) -> Result<Json<CampaignView>, ApiError> {
    if let Ok(Path(id)) = &id {
        app.campaigns.stop(*id);
    }
    found(&app, id).map(Json)
}

/// Lets a stopped campaign go on, unless another one has some of its meters now.
#[utoipa::path(post, path = "/api/v1/campaigns/{id}/resume", tag = "campaigns",
    params(("id" = u32, Path, description = "The campaign's number")),
    responses(
        (status = 200, description = "The campaign", body = CampaignView),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such campaign", body = ErrorBody),
        (status = 409, description = "Another campaign has meters of it now", body = ErrorBody),
    ))]
pub(super) async fn resume(
    State(app): State<Arc<App>>,
    id: Result<Path<u32>, PathRejection>,
) -> Result<Json<CampaignView>, ApiError> {
    if let Ok(Path(id)) = &id {
        app.campaigns.resume(*id).await?;
    }
    found(&app, id).map(Json)
}

fn bad(text: &str) -> ApiError {
    ApiError::BadRequest(text.to_owned())
}

fn found(app: &App, id: Result<Path<u32>, PathRejection>) -> Result<CampaignView, ApiError> {
    let Path(id) = id.map_err(|_| ApiError::NoSuchCampaign)?;
    let campaign = app.campaigns.get(id).ok_or(ApiError::NoSuchCampaign)?;
    Ok(view::view(app, campaign))
}
