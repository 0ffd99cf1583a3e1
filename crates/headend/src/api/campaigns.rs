//! Firmware campaigns: begun, watched, stopped.

mod view;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dlms::security::AwsLc;
use model::{IMAGE_LEN_MAX, Image, LogicalDeviceName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::error::{ApiError, ErrorBody};
use super::guard::Params;
use super::substation::PageQuery;
use crate::campaigns::{CampaignError, Settings};
use crate::collector::MeterTarget;
use crate::concentrators::leads_to;

pub(super) use view::CampaignRow;
pub(crate) use view::{
    CampaignList, CampaignMeters, CampaignMetersQuery, CampaignSettings, CampaignView,
};

/// The longest image in base64, and as much as the names of many meters take.
pub(super) const BODY_LEN_MAX: usize = (IMAGE_LEN_MAX as usize) * 4 / 3 + (4 << 20);

/// Characters of a campaign's name.
const NAME_LEN_MAX: usize = 80;

/// A campaign to begin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCampaign {
    /// What people call it; the image's identifier where it is not said.
    #[serde(default)]
    name: Option<String>,
    /// The signed image (gridward image sign) in base64.
    image: String,
    /// Logical device names; all enrolled meters where it is not said.
    #[serde(default)]
    meters: Option<Vec<String>>,
    /// Only meters with this endpoint.
    #[serde(default)]
    endpoint: Option<String>,
    /// How it goes about it; what is not said is as GET shows it of a campaign without.
    #[serde(default)]
    #[schema(value_type = Option<CampaignSettings>)]
    settings: Settings,
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

/// Begins a campaign: the image goes to the meters at once, and is activated in rings.
#[utoipa::path(post, path = "/api/v1/campaigns", tag = "campaigns", request_body = NewCampaign,
    responses(
        (status = 201, description = "Begun", body = Begun),
        (status = 400, description = "Not understood, or no such image or meter", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
    ))]
pub(super) async fn start(
    State(app): State<Arc<App>>,
    body: Result<axum::body::Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Begun>), ApiError> {
    let body = body.map_err(|_| bad("The body is too long."))?;
    let wanted: NewCampaign = serde_json::from_slice(&body)
        .map_err(|error| bad(&format!("The body is not understood: {error}.")))?;
    let image = STANDARD.decode(wanted.image.as_bytes());
    let image = image.map_err(|_| bad("The image is no base64."))?;
    let parsed = Image::parse(&image).map_err(|error| bad(&format!("The image: {error}.")))?;
    if let Some(maker) = &app.maker {
        let _signed = parsed
            .verify(&AwsLc, maker)
            .map_err(|error| bad(&format!("The image: {error}.")))?;
    }
    let name = wanted
        .name
        .unwrap_or_else(|| parsed.header().identifier().to_owned());
    if name.chars().count() > NAME_LEN_MAX || name.chars().any(char::is_control) {
        return Err(bad("A name has up to 80 printable characters."));
    }
    let (meters, endpoint) = (wanted.meters, wanted.endpoint);
    let targets = app
        .blocking(move |app| targets(app, meters, endpoint.as_deref()))
        .await?;
    let begun = app.campaigns.start(name, image, targets, wanted.settings);
    match begun.await {
        Ok(id) => Ok((StatusCode::CREATED, Json(Begun { id }))),
        Err(CampaignError::Store(error)) => Err(error.into()),
        Err(error) => Err(bad(&format!("{error}."))),
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

/// Lets a stopped campaign go on.
#[utoipa::path(post, path = "/api/v1/campaigns/{id}/resume", tag = "campaigns",
    params(("id" = u32, Path, description = "The campaign's number")),
    responses(
        (status = 200, description = "The campaign", body = CampaignView),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such campaign", body = ErrorBody),
    ))]
pub(super) async fn resume(
    State(app): State<Arc<App>>,
    id: Result<Path<u32>, PathRejection>,
) -> Result<Json<CampaignView>, ApiError> {
    if let Ok(Path(id)) = &id {
        app.campaigns.resume(*id);
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

/// Finds the meters of a campaign.
fn targets(
    app: &App,
    names: Option<Vec<String>>,
    endpoint: Option<&str>,
) -> Result<Vec<MeterTarget>, ApiError> {
    let mut wanted: Option<BTreeSet<LogicalDeviceName>> = None;
    if let Some(names) = names {
        let names = names.iter().map(|name| name.parse());
        wanted = Some(
            names
                .collect::<Result<_, _>>()
                .map_err(|_| bad("A name is no logical device name."))?,
        );
    }
    let targets: Vec<MeterTarget> = app.fleet.with_meters(|meters| {
        let meters = meters.values().map(|meter| &meter.meter);
        let fits = meters.filter(|meter| {
            let enrolment = &meter.enrolment;
            endpoint.is_none_or(|endpoint| leads_to(&enrolment.endpoint, endpoint))
                && wanted
                    .as_mut()
                    .is_none_or(|wanted| wanted.remove(&enrolment.name))
        });
        fits.map(|meter| MeterTarget {
            id: meter.id,
            enrolment: meter.enrolment.clone(),
        })
        .collect()
    });
    match wanted.and_then(|left| left.into_iter().next()) {
        Some(name) => Err(bad(&format!("No meter {name} is enrolled there."))),
        None => Ok(targets),
    }
}
