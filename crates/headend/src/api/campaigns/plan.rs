//! What a campaign would come to, without a word to any meter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use model::{LogicalDeviceName, MeterId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::super::App;
use super::super::error::{ApiError, ErrorBody};
use super::view::{CampaignBound, CampaignSettings, ImageView, NAMED_MAX, bound_view, settings};
use super::{Wanted, bad, refused};
use crate::api::meters::natural;
use crate::calendar::rfc3339;
use crate::campaigns::{BLOCK_LEN, BOUND_FACTOR, GroupOutline, ImageId};
use crate::collector::MeterTarget;
use crate::concentrators::leads_to;
use crate::fleet::FleetMeter;

/// Meters of the first ring that are named.
const FIRST_MAX: usize = 20;

/// Meters that are left out although they could take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Skip {
    /// Those that do not answer: else they are tried as often as the settings say.
    Silent,
    /// Those without a broadcast key: else all blocks go to each of them alone.
    NoBroadcastKey,
}

/// What a campaign would come to; nothing was sent and nothing kept.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignPlan {
    /// When it was looked at.
    #[schema(format = DateTime)]
    as_of: String,
    /// The mark of who takes part, with which image and settings: POST /campaigns with it begins
    /// this and nothing else.
    plan: String,
    name: String,
    image: ImageView,
    /// The SHA-256 of all octets of the image, in hex.
    image_id: String,
    settings: CampaignSettings,
    /// Meters that were chosen.
    chosen: usize,
    /// Meters that take part.
    meters: usize,
    /// Why the others do not, the most frequent reason first.
    out: Vec<PlanOut>,
    /// The others, at most 1,000 of them.
    left_out: Vec<PlanMeter>,
    /// Of those that take part: they do not answer now.
    silent: usize,
    /// Of those that take part: the head end does not know whether they run something newer. They
    /// refuse the image then.
    unknown_version: usize,
    rings: Vec<PlanRing>,
    /// Meters that activate first, at most 20 of them.
    first: Vec<PlanMeter>,
    /// Meters to which blocks are broadcast.
    shared: usize,
    /// Meters to each of which all blocks go alone.
    alone: usize,
    /// Of meters with the same endpoint and broadcast key, the largest first, at most 1,000.
    groups: Vec<PlanGroup>,
    /// Seconds until the last meter of the slowest group has verified the image at the latest,
    /// where the settings say what the segment is like.
    allowed_s: Option<f64>,
    /// Seconds that lie between rings, in all.
    soak_s: u64,
    /// Milliseconds that one block takes on the segment, where the settings say what it is like:
    /// what pace_ms should be.
    line_pace_ms: Option<u32>,
}

/// Why so many meters do not take part.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlanOut {
    /// One of no_keys, in_campaign, runs_it, newer, no_broadcast_key, silent.
    reason: &'static str,
    meters: usize,
}

/// A meter of a plan.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlanMeter {
    /// The registry id.
    id: String,
    /// The logical device name.
    name: String,
    place: String,
    /// What it said that it runs.
    firmware: Option<String>,
    /// Why it does not take part; null where it does.
    reason: Option<&'static str>,
    /// The campaign that it is in.
    campaign: Option<u32>,
}

/// A ring: meters that activate together, without those of the rings before.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlanRing {
    /// Thousandths of all meters that were told to activate when it is done.
    permille: u16,
    meters: usize,
}

/// Meters that share an endpoint and a broadcast key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlanGroup {
    endpoint: String,
    meters: u32,
    /// Whether blocks are broadcast to them; else all blocks go to each alone.
    shares: bool,
    /// Blocks of the image, with blocks as long as our meters take.
    blocks: u32,
    /// How long it may take, where the settings say what the segment is like.
    bound: Option<CampaignBound>,
}

/// Why a meter that was chosen does not take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Out {
    /// Nothing opens an association with it.
    NoKeys,
    /// A campaign under way has still to do with it.
    InCampaign(u32),
    /// It says that it runs this image.
    RunsIt,
    /// It says that it runs an image of which the head end knows that it is not older.
    Newer,
    /// It has no broadcast key, and such are not wanted.
    NoBroadcastKey,
    /// It does not answer, and such are not wanted.
    Silent,
}

impl Out {
    const fn name(self) -> &'static str {
        match self {
            Self::NoKeys => "no_keys",
            Self::InCampaign(_) => "in_campaign",
            Self::RunsIt => "runs_it",
            Self::Newer => "newer",
            Self::NoBroadcastKey => "no_broadcast_key",
            Self::Silent => "silent",
        }
    }
}

/// The meters that a body names, told apart.
pub(super) struct Chosen {
    /// Those that take part.
    pub(super) part: Vec<MeterTarget>,
    /// Tells this choice, image and settings from others.
    pub(super) mark: String,
    image: ImageId,
    out: Vec<(MeterId, Out)>,
    silent: usize,
    unknown_version: usize,
}

impl Chosen {
    /// Chooses. May block.
    pub(super) fn of(app: &App, wanted: &Wanted) -> Result<Self, ApiError> {
        let named = named(app, wanted)?;
        let engaged = app.campaigns.engaged();
        let versions = versions(app);
        let asked = &wanted.asked;
        let skips = |it| asked.skip.contains(&it);
        let (mut part, mut out) = (Vec::new(), Vec::new());
        let (mut silent_part, mut unknown_version) = (0, 0);
        for Candidate {
            target,
            is_silent,
            runs,
        } in named
        {
            let runs = runs.as_deref();
            let version = runs.and_then(|runs| versions.get(runs).copied());
            let verdict = if !app.access.has_keys(&target) {
                Some(Out::NoKeys)
            } else if let Some(campaign) = engaged.get(&target.id) {
                Some(Out::InCampaign(*campaign))
            } else if runs == Some(wanted.identifier.as_str()) {
                Some(Out::RunsIt)
            } else if version.is_some_and(|version| version >= wanted.version) {
                Some(Out::Newer)
            } else if skips(Skip::NoBroadcastKey) && app.access.broadcast_key(&target).is_none() {
                Some(Out::NoBroadcastKey)
            } else if skips(Skip::Silent) && is_silent {
                Some(Out::Silent)
            } else {
                None
            };
            match verdict {
                Some(why) => out.push((target.id, why)),
                None => {
                    silent_part += usize::from(is_silent);
                    unknown_version += usize::from(version.is_none());
                    part.push(target);
                }
            }
        }
        let image = ImageId::of(&wanted.image);
        let mut hash = Sha256::new();
        hash.update(b"gridward campaign plan v1\0");
        hash.update(image.octets());
        let settings = serde_json::to_vec(&asked.settings).unwrap_or_default();
        hash.update(Sha256::digest(&settings));
        for target in &part {
            hash.update(target.id.number().to_be_bytes());
        }
        let mark = <[u8; 32]>::from(hash.finalize());
        Ok(Self {
            part,
            mark: mark.iter().map(|octet| format!("{octet:02x}")).collect(),
            image,
            out,
            silent: silent_part,
            unknown_version,
        })
    }
}

/// A meter that a body names.
struct Candidate {
    target: MeterTarget,
    is_silent: bool,
    /// What it said that it runs.
    runs: Option<String>,
}

/// Finds the meters that a body names, in ascending order of their ids.
fn named(app: &App, wanted: &Wanted) -> Result<Vec<Candidate>, ApiError> {
    let asked = &wanted.asked;
    let mut names: Option<BTreeSet<LogicalDeviceName>> = None;
    if let Some(all) = &asked.meters {
        let all = all.iter().map(|name| name.parse());
        let all = all.collect::<Result<_, _>>();
        names = Some(all.map_err(|_| bad("A name is no logical device name."))?);
    }
    let text = asked.q.as_deref().unwrap_or_default();
    if text.chars().count() > 100 {
        return Err(bad("What is looked for has at most 100 characters."));
    }
    let text = text.trim().to_lowercase();
    let judge = app.fleet.judge(app.clock.now());
    let found = app.fleet.with_meters(|meters| {
        let fits = meters.values().filter(|meter| {
            let enrolment = &meter.meter.enrolment;
            let feeder = enrolment.feeder.as_ref().map_or("", |it| it.as_str());
            let (at, on) = (asked.endpoint.as_deref(), asked.feeder.as_deref());
            at.is_none_or(|endpoint| leads_to(&enrolment.endpoint, endpoint))
                && on.is_none_or(|wanted| wanted == feeder)
                && (text.is_empty() || meter.matches(&text))
                && names
                    .as_mut()
                    .is_none_or(|names| names.remove(&enrolment.name))
        });
        let candidate = |meter: &FleetMeter| Candidate {
            target: MeterTarget {
                id: meter.meter.id,
                enrolment: meter.meter.enrolment.clone(),
            },
            is_silent: judge.silent_since(meter).is_some(),
            runs: meter.state.firmware.clone(),
        };
        fits.map(candidate).collect()
    });
    match names.and_then(|left| left.into_iter().next()) {
        Some(name) => Err(bad(&format!("No meter {name} is enrolled there."))),
        None => Ok(found),
    }
}

/// The versions of the images that the head end has seen, by what meters call themselves with
/// them; the lowest where two have one name, so that no meter is left out by mistake.
fn versions(app: &App) -> BTreeMap<String, u32> {
    let kept = app.images.list();
    let kept = kept.into_iter().map(|it| (it.identifier, it.version));
    let brought = app.campaigns.about();
    let brought = brought
        .into_iter()
        .map(|(_, it)| (it.identifier, it.version));
    let mut versions = BTreeMap::new();
    for (identifier, version) in kept.chain(brought) {
        let known = versions.entry(identifier).or_insert(version);
        *known = version.min(*known);
    }
    versions
}

/// Says what a campaign would come to; no meter is told anything. The same body begins it.
#[utoipa::path(post, path = "/api/v1/campaigns/plan", tag = "campaigns",
    request_body = super::NewCampaign,
    responses(
        (status = 200, description = "What it would come to", body = CampaignPlan),
        (status = 400, description = "Not understood, or no such image or meter", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 503, description = "The store failed", body = ErrorBody),
    ))]
pub(in crate::api) async fn plan(
    State(app): State<Arc<App>>,
    body: Result<axum::body::Bytes, BytesRejection>,
) -> Result<Json<CampaignPlan>, ApiError> {
    let wanted = Wanted::read(&app, body).await?;
    app.blocking(move |app| {
        if let Some(fault) = wanted.asked.settings.fault() {
            return Err(bad(&format!("{fault}.")));
        }
        let chosen = Chosen::of(app, &wanted)?;
        view(app, wanted, chosen).map(Json)
    })
    .await
}

fn view(app: &App, wanted: Wanted, chosen: Chosen) -> Result<CampaignPlan, ApiError> {
    let image_len = u32::try_from(wanted.image.len()).unwrap_or(u32::MAX);
    let asked = wanted.asked.settings;
    let meters = chosen.part.len();
    let (mut groups, mut rings, mut first) = (Vec::new(), Vec::new(), Vec::new());
    if !chosen.part.is_empty() {
        let planner = app.campaigns.draft(chosen.part, image_len, asked.clone());
        let planner = planner.map_err(refused)?;
        groups = planner.outline(BLOCK_LEN);
        rings = planner.progress().rings;
        let of_first = planner.members().take_while(|it| it.ring == 0);
        first = of_first.take(FIRST_MAX).map(|it| it.meter).collect();
    }
    let mut reasons: BTreeMap<&'static str, usize> = BTreeMap::new();
    for (_, why) in &chosen.out {
        *reasons.entry(why.name()).or_default() += 1;
    }
    let mut out: Vec<PlanOut> = reasons
        .into_iter()
        .map(|(reason, meters)| PlanOut { reason, meters })
        .collect();
    out.sort_by_key(|it| std::cmp::Reverse(it.meters));
    let shared = groups.iter().filter(|group| group.shares);
    let shared: usize = shared
        .map(|group| usize::try_from(group.meters).unwrap_or(usize::MAX))
        .sum();
    let all_known = groups.iter().map(longest).collect::<Option<Vec<f64>>>();
    let allowed_s = all_known.and_then(|all| all.into_iter().reduce(f64::max));
    groups.sort_by_key(|group| std::cmp::Reverse(group.meters));
    let between = asked.rings.len().saturating_sub(1);
    let (mut left_out, first) = app.fleet.with_meters(|all| {
        let of = |id: &MeterId, why: Option<Out>| {
            let known = all.get(id)?;
            let enrolment = &known.meter.enrolment;
            Some(PlanMeter {
                id: id.to_string(),
                name: enrolment.name.to_string(),
                place: enrolment.place.as_str().to_owned(),
                firmware: known.state.firmware.clone(),
                reason: why.map(Out::name),
                campaign: match why {
                    Some(Out::InCampaign(campaign)) => Some(campaign),
                    _ => None,
                },
            })
        };
        let mut left: Vec<_> = chosen.out.iter().collect();
        left.sort_by_key(|(id, why)| (*why, *id));
        let left = left.into_iter().take(NAMED_MAX);
        let left: Vec<PlanMeter> = left.filter_map(|(id, why)| of(id, Some(*why))).collect();
        let first: Vec<PlanMeter> = first.iter().filter_map(|id| of(id, None)).collect();
        (left, first)
    });
    left_out.sort_by(|a, b| a.reason.cmp(&b.reason).then(natural(&a.name, &b.name)));
    Ok(CampaignPlan {
        as_of: rfc3339(app.clock.now()),
        plan: chosen.mark,
        name: wanted.name,
        image: image_view(&wanted.image)?,
        image_id: chosen.image.to_string(),
        chosen: meters + chosen.out.len(),
        meters,
        out,
        left_out,
        silent: chosen.silent,
        unknown_version: chosen.unknown_version,
        rings: rings
            .into_iter()
            .map(|ring| PlanRing {
                permille: ring.permille,
                meters: ring.meters,
            })
            .collect(),
        first,
        shared,
        alone: meters - shared,
        groups: groups.into_iter().take(NAMED_MAX).map(group_view).collect(),
        allowed_s,
        line_pace_ms: asked.line.map(|line| line.pace_ms(BLOCK_LEN)),
        soak_s: u64::from(asked.soak_s) * u64::try_from(between).unwrap_or(0),
        settings: settings(asked),
    })
}

/// Seconds that a group may take.
fn longest(group: &GroupOutline) -> Option<f64> {
    let bound = group.bound?;
    Some(if group.shares {
        bound.all_s * BOUND_FACTOR
    } else {
        bound.unicast_s
    })
}

fn image_view(image: &[u8]) -> Result<ImageView, ApiError> {
    let parsed = model::Image::parse(image).map_err(|error| bad(&format!("{error}.")))?;
    Ok(ImageView::of(parsed.header(), image.len()))
}

fn group_view(group: GroupOutline) -> PlanGroup {
    PlanGroup {
        endpoint: group.endpoint,
        meters: group.meters,
        shares: group.shares,
        blocks: group.blocks,
        bound: group.bound.map(bound_view),
    }
}
