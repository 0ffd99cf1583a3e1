//! Firmware campaigns: begun, watched, stopped.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dlms::security::AwsLc;
use model::{IMAGE_LEN_MAX, Image, LogicalDeviceName, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::error::{ApiError, ErrorBody};
use crate::calendar::rfc3339;
use crate::campaigns::{
    BOUND_FACTOR, Bound, Campaign, CampaignError, GroupProgress, Line, Medium, Reason, Round,
    Settings, Step,
};
use crate::collector::MeterTarget;
use crate::concentrators::leads_to;

/// The longest image in base64, and as much as the names of many meters take.
pub(super) const BODY_LEN_MAX: usize = (IMAGE_LEN_MAX as usize) * 4 / 3 + (4 << 20);

/// Characters of a campaign's name.
const NAME_LEN_MAX: usize = 80;

/// Meters, and groups of them, that are named one by one in an answer.
const NAMED_MAX: usize = 1_000;

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

/// How a campaign goes about it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignSettings {
    /// How often all blocks are broadcast before any meter is asked, 1 to 4.
    passes: u8,
    /// Meters of one endpoint that are contacted at once, 1 to 64.
    parallel: u16,
    /// Contacts that fail before a meter is given up, 1 to 20.
    tries: u8,
    /// Seconds between two of them, doubling.
    retry_s: u32,
    /// Thousandths of the meters told to activate when each ring is done; the last is 1000.
    rings: Vec<u16>,
    /// Seconds between two rings.
    soak_s: u32,
    /// The campaign stops above so many thousandths of failures.
    failures_permille: u16,
    /// Milliseconds between two broadcast blocks: what one takes on the medium.
    pace_ms: u32,
    /// Meters that must lack a block for it to be broadcast again.
    broadcast_from: u16,
    /// What the segment is like, where that is known: then the campaign tells its bound.
    line: Option<CampaignLine>,
}

/// What a segment is like, as far as it says how long things take.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignLine {
    /// One of s-fsk, prime, g3.
    medium: &'static str,
    /// How often S-FSK frames are repeated, 0 to 7.
    credit: u8,
    /// Meters that pass on what goes to the farthest, on the other two, 0 to 15.
    hops: u8,
    /// Thousandths of the blocks of a pass that a meter does not hear, 0 to 500.
    loss_permille: u16,
}

/// All campaigns.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignList {
    /// The newest first.
    campaigns: Vec<CampaignView>,
}

/// A campaign as it is now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignView {
    id: u32,
    name: String,
    #[schema(format = DateTime)]
    created: String,
    #[schema(format = DateTime)]
    ended: Option<String>,
    /// One of initiating, broadcasting, asking, repairing, finishing, activating, done, stopped,
    /// stopped_by_failures.
    phase: &'static str,
    image: ImageView,
    settings: CampaignSettings,
    progress: ProgressView,
    /// Meters that are out, at most 1,000 of them.
    failed: Vec<FailedMeter>,
}

/// An image.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImageView {
    /// The model whose meters it is for.
    model: String,
    /// What a meter calls itself with it.
    identifier: String,
    version: u32,
    /// Octets.
    length: u32,
}

/// How far a campaign is: counts of meters.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProgressView {
    meters: usize,
    waiting: usize,
    receiving: usize,
    /// Told what they lack.
    asked: usize,
    verified: usize,
    active: usize,
    failed: usize,
    /// The ring that is under way, counted from 0.
    ring: Option<u16>,
    /// Blocks broadcast so far, over all endpoints.
    blocks_sent: u64,
    /// Blocks of the passes before any meter is asked, over all endpoints that share.
    blocks_blind: u64,
    /// The round of asking behind the passes, and the one within which each is sent the rest.
    rounds: Vec<CampaignRound>,
    /// Of meters that share an endpoint and a broadcast key, at most 1,000 groups.
    groups: Vec<CampaignGroup>,
}

/// A round in which meters are asked which blocks they lack.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignRound {
    /// Meters whose bitmap was asked for.
    meters: usize,
    /// How often that was, over all of them.
    reads: u64,
    /// How often of one of them: more than once only where a contact broke off.
    most_of_one: u16,
}

/// Meters that share an endpoint and a broadcast key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignGroup {
    endpoint: String,
    meters: u32,
    blocks_sent: u64,
    /// 0 where nothing is broadcast.
    blocks_blind: u64,
    /// Seconds from the first block until the last meter had verified the image.
    taken_s: Option<i64>,
    /// How long that may take, where the settings say what the segment is like.
    bound: Option<CampaignBound>,
}

/// How long a transfer may take, computed from what the segment is like; all times in seconds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignBound {
    blocks: u32,
    /// One pass of all blocks.
    pass_s: f64,
    /// All passes before any meter is asked.
    passes_s: f64,
    /// Two rounds of reading every meter's bitmap, in an association each.
    rounds_s: f64,
    /// What anybody is expected to lack, broadcast once more.
    repair_s: f64,
    /// What is expected to be lacking then, to each meter alone.
    alone_s: f64,
    /// All of it.
    bound_s: f64,
    /// So many times the bound it may take.
    factor: f64,
    /// All blocks to each meter alone, without any broadcast.
    unicast_s: f64,
}

/// A meter that is out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailedMeter {
    /// The logical device name.
    name: String,
    /// One of unreachable, refused, not_verified, not_activated, lost.
    reason: &'static str,
}

/// The number of a campaign that was begun.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Begun {
    id: u32,
}

/// Lists campaigns.
#[utoipa::path(get, path = "/api/v1/campaigns", tag = "campaigns",
    responses(
        (status = 200, description = "Campaigns", body = CampaignList),
        (status = 401, description = "Not signed in", body = ErrorBody),
    ))]
pub(super) async fn campaigns(State(app): State<Arc<App>>) -> Json<CampaignList> {
    let all = app.campaigns.list();
    Json(CampaignList {
        campaigns: all.into_iter().map(|one| view(&app, one)).collect(),
    })
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
    Ok(view(app, campaign))
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

fn view(app: &App, campaign: Campaign) -> CampaignView {
    let Campaign {
        id,
        about,
        settings,
        progress,
        failed,
    } = campaign;
    let at = |ms: i64| rfc3339(Timestamp::from_millis(ms));
    let count = |step| progress.steps.get(&step).copied().unwrap_or(0);
    let failed = app.fleet.with_meters(|meters| {
        let named = failed.into_iter().take(NAMED_MAX).map(|(meter, reason)| {
            let name = meters
                .get(&meter)
                .map(|it| it.meter.enrolment.name.to_string());
            FailedMeter {
                name: name.unwrap_or_else(|| meter.to_string()),
                reason: reason_name(reason),
            }
        });
        named.collect()
    });
    CampaignView {
        id,
        name: about.name,
        created: at(about.created_ms),
        ended: about.ended_ms.map(at),
        phase: progress.phase,
        image: ImageView {
            model: about.model,
            identifier: about.identifier,
            version: about.version,
            length: about.image_len,
        },
        settings: CampaignSettings {
            passes: settings.passes,
            parallel: settings.parallel,
            tries: settings.tries,
            retry_s: settings.retry_s,
            rings: settings.rings,
            soak_s: settings.soak_s,
            failures_permille: settings.failures_permille,
            pace_ms: settings.pace_ms,
            broadcast_from: settings.broadcast_from,
            line: settings.line.map(line_view),
        },
        progress: ProgressView {
            meters: progress.meters,
            waiting: count(Step::Waiting),
            receiving: count(Step::Receiving),
            asked: count(Step::Asked),
            verified: count(Step::Verified),
            active: count(Step::Active),
            failed: count(Step::Failed),
            ring: progress.ring,
            blocks_sent: progress.groups.iter().map(|group| group.sent).sum(),
            blocks_blind: progress.groups.iter().map(|group| group.blind).sum(),
            rounds: progress.rounds.into_iter().map(round_view).collect(),
            groups: {
                let groups = progress.groups.into_iter();
                let shared = groups.filter(|group| group.meters > 1);
                shared.take(NAMED_MAX).map(group_view).collect()
            },
        },
        failed,
    }
}

const fn line_view(line: Line) -> CampaignLine {
    CampaignLine {
        medium: match line.medium {
            Medium::SFsk => "s-fsk",
            Medium::Prime => "prime",
            Medium::G3 => "g3",
        },
        credit: line.credit,
        hops: line.hops,
        loss_permille: line.loss_permille,
    }
}

const fn round_view(round: Round) -> CampaignRound {
    CampaignRound {
        meters: round.meters,
        reads: round.reads,
        most_of_one: round.most,
    }
}

fn group_view(group: GroupProgress) -> CampaignGroup {
    CampaignGroup {
        endpoint: group.endpoint,
        meters: group.meters,
        blocks_sent: group.sent,
        blocks_blind: group.blind,
        taken_s: group.taken_s,
        bound: group.bound.map(bound_view),
    }
}

const fn bound_view(bound: Bound) -> CampaignBound {
    CampaignBound {
        blocks: bound.blocks,
        pass_s: bound.pass_s,
        passes_s: bound.passes_s,
        rounds_s: bound.rounds_s,
        repair_s: bound.repair_s,
        alone_s: bound.alone_s,
        bound_s: bound.all_s,
        factor: BOUND_FACTOR,
        unicast_s: bound.unicast_s,
    }
}

const fn reason_name(reason: Reason) -> &'static str {
    match reason {
        Reason::Unreachable => "unreachable",
        Reason::Refused => "refused",
        Reason::NotVerified => "not_verified",
        Reason::NotActivated => "not_activated",
        Reason::Lost => "lost",
    }
}
