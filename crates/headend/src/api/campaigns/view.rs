//! What the API tells of campaigns.

use std::collections::BTreeMap;

use model::{ImageHeader, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::App;
use crate::api::error::ApiError;
use crate::api::meters::natural;
use crate::calendar::rfc3339;
use crate::campaigns::{
    BOUND_FACTOR, Bound, Campaign, GroupProgress, Line, Medium, MemberProgress, Progress, Reason,
    RingProgress, Round, Settings, Step,
};

/// Meters, and groups of them, that are named one by one in an answer.
pub(super) const NAMED_MAX: usize = 1_000;

/// Campaigns, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignList {
    pub(super) total: usize,
    pub(super) offset: u32,
    pub(super) rows: Vec<CampaignRow>,
}

/// A campaign in few words.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignRow {
    id: u32,
    name: String,
    #[schema(format = DateTime)]
    created: String,
    #[schema(format = DateTime)]
    ended: Option<String>,
    /// One of initiating, broadcasting, asking, repairing, finishing, activating, done, stopped,
    /// stopped_by_failures.
    phase: &'static str,
    /// One of run, ok, warn, crit, pend.
    state: &'static str,
    state_text: String,
    image: ImageView,
    counts: CampaignCounts,
}

/// How many meters are at which step.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignCounts {
    meters: usize,
    waiting: usize,
    receiving: usize,
    /// Told what they lack.
    asked: usize,
    verified: usize,
    active: usize,
    failed: usize,
}

/// A ring: meters that activate together, without those of the rings before.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignRing {
    /// Thousandths of all meters that were told to activate when it is done.
    permille: u16,
    /// One of todo, soaking, run, done, stopped.
    state: &'static str,
    /// When it begins, where it waits for its time.
    #[schema(format = DateTime)]
    begins: Option<String>,
    counts: CampaignCounts,
}

/// Why so many meters are out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReasonCount {
    /// One of unreachable, refused, not_verified, not_activated, lost.
    reason: &'static str,
    meters: usize,
    /// Whether it counts towards the rate at which the campaign stops.
    counts: bool,
}

/// Which meters of a campaign.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct CampaignMetersQuery {
    /// Part of the name or the place, in any case; at most 100 characters.
    q: String,
    step: StepFilter,
    /// The number of a ring, counted from 0.
    ring: Option<u16>,
    /// The number of meters to skip.
    offset: usize,
    /// The number of meters to return, 1 to 500.
    limit: usize,
}

impl Default for CampaignMetersQuery {
    fn default() -> Self {
        Self {
            q: String::new(),
            step: StepFilter::All,
            ring: None,
            offset: 0,
            limit: 100,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum StepFilter {
    All,
    Waiting,
    Receiving,
    Asked,
    Verified,
    Active,
    Failed,
}

impl StepFilter {
    const fn takes(self, step: Step) -> bool {
        matches!(
            (self, step),
            (Self::All, _)
                | (Self::Waiting, Step::Waiting)
                | (Self::Receiving, Step::Receiving)
                | (Self::Asked, Step::Asked)
                | (Self::Verified, Step::Verified)
                | (Self::Active, Step::Active)
                | (Self::Failed, Step::Failed)
        )
    }
}

/// A window of the meters of a campaign: those that are out first, then those whose last contact
/// broke off, then by how much is still to be done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignMeters {
    /// Meters that match.
    total: usize,
    offset: usize,
    rows: Vec<CampaignMeter>,
}

/// How far one meter is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignMeter {
    /// The registry id.
    id: String,
    /// The logical device name.
    name: String,
    place: String,
    endpoint: String,
    /// The ring with which it activates, counted from 0.
    ring: u16,
    /// One of waiting, receiving, asked, verified, active, failed.
    step: &'static str,
    /// Why it is out: one of unreachable, refused, not_verified, not_activated, lost.
    reason: Option<&'static str>,
    /// Contacts in a row that broke off.
    tries: u8,
    /// When it is tried again, where the last contact broke off.
    #[schema(format = DateTime)]
    next_try: Option<String>,
    /// Whether it was told to activate.
    told: bool,
    /// Whether it is being talked to.
    busy: bool,
    /// How often its bitmap of blocks was asked for, in the first round and in the second.
    bitmaps: [u16; 2],
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

/// A campaign as it is now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignView {
    #[serde(flatten)]
    row: CampaignRow,
    settings: CampaignSettings,
    /// Why it was begun, where that was said.
    reason: Option<String>,
    progress: ProgressView,
    /// Why meters are out, the most frequent reason first.
    reasons: Vec<ReasonCount>,
    /// Meters that are out, at most 1,000 of them; all of them are in the list of its meters.
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

impl ImageView {
    pub(super) fn of(header: &ImageHeader, length: usize) -> Self {
        Self {
            model: header.model().to_owned(),
            identifier: header.identifier().to_owned(),
            version: header.version(),
            length: u32::try_from(length).unwrap_or(u32::MAX),
        }
    }
}

/// How far a campaign is: counts of meters.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProgressView {
    #[serde(flatten)]
    counts: CampaignCounts,
    /// The ring that is under way, counted from 0.
    ring: Option<u16>,
    /// Of each ring, its own meters alone.
    rings: Vec<CampaignRing>,
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
    /// One of initiating, broadcasting, asking, repairing, finishing, done.
    phase: &'static str,
    meters: u32,
    blocks_sent: u64,
    /// 0 where nothing is broadcast.
    blocks_blind: u64,
    /// When the first block was broadcast.
    #[schema(format = DateTime)]
    began: Option<String>,
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

impl CampaignCounts {
    fn of(meters: usize, steps: &BTreeMap<Step, usize>) -> Self {
        let count = |step| steps.get(&step).copied().unwrap_or(0);
        Self {
            meters,
            waiting: count(Step::Waiting),
            receiving: count(Step::Receiving),
            asked: count(Step::Asked),
            verified: count(Step::Verified),
            active: count(Step::Active),
            failed: count(Step::Failed),
        }
    }
}

impl CampaignRow {
    pub(in crate::api) fn of(campaign: Campaign, now: Timestamp) -> Self {
        let (state, state_text) = state(&campaign.progress, now);
        let (about, progress) = (campaign.about, campaign.progress);
        let at = |ms: i64| rfc3339(Timestamp::from_millis(ms));
        Self {
            id: campaign.id,
            name: about.name,
            created: at(about.created_ms),
            ended: about.ended_ms.map(at),
            phase: progress.phase,
            state,
            state_text,
            image: ImageView {
                model: about.model,
                identifier: about.identifier,
                version: about.version,
                length: about.image_len,
            },
            counts: CampaignCounts::of(progress.meters, &progress.steps),
        }
    }
}

/// The state of a campaign as pages show it, in few words.
fn state(progress: &Progress, now: Timestamp) -> (&'static str, String) {
    let failed = progress.steps.get(&Step::Failed).copied().unwrap_or(0);
    let sent: u64 = progress.groups.iter().map(|group| group.sent).sum();
    let blind: u64 = progress.groups.iter().map(|group| group.blind).sum();
    let text = match progress.phase {
        "initiating" => "Telling meters that an image comes".to_owned(),
        "broadcasting" if blind > 0 => {
            format!("Broadcasting, {} %", sent.min(blind) * 100 / blind)
        }
        "broadcasting" => "Broadcasting".to_owned(),
        "asking" => "Asking what is missing".to_owned(),
        "repairing" => "Broadcasting what is missing".to_owned(),
        "finishing" => "Sending the rest, verifying".to_owned(),
        "activating" => {
            let ring = progress.ring.unwrap_or(0) + 1;
            let of = progress.rings.len();
            if progress.next_ring.is_some_and(|at| at > now) {
                format!("Waiting before ring {ring} of {of}")
            } else {
                format!("Activating ring {ring} of {of}")
            }
        }
        "done" if failed > 0 => return ("warn", format!("Done, {failed} failed")),
        "done" => return ("ok", "Done".to_owned()),
        "stopped" => return ("pend", "Stopped".to_owned()),
        _ => return ("crit", "Stopped by failures".to_owned()),
    };
    ("run", text)
}

pub(super) fn view(app: &App, campaign: Campaign) -> CampaignView {
    let now = app.clock.now();
    let asked = campaign.settings.clone();
    let reason = campaign.about.reason.clone();
    let failed = app.fleet.with_meters(|meters| {
        let named = campaign.failed.iter().take(NAMED_MAX);
        let named = named.map(|(meter, reason)| {
            let known = meters.get(meter);
            let name = known.map(|it| it.meter.enrolment.name.to_string());
            FailedMeter {
                name: name.unwrap_or_else(|| meter.to_string()),
                reason: reason_name(*reason),
            }
        });
        named.collect()
    });
    let progress = campaign.progress.clone();
    let mut reasons: Vec<ReasonCount> = progress
        .reasons
        .iter()
        .map(|(reason, meters)| ReasonCount {
            reason: reason_name(*reason),
            meters: *meters,
            counts: reason.counts(),
        })
        .collect();
    reasons.sort_by_key(|it| std::cmp::Reverse(it.meters));
    CampaignView {
        row: CampaignRow::of(campaign, now),
        settings: settings(asked),
        reason,
        reasons,
        failed,
        progress: progress_view(progress, now),
    }
}

/// Tells how a campaign goes about it.
pub(super) fn settings(settings: Settings) -> CampaignSettings {
    CampaignSettings {
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
    }
}

fn progress_view(progress: Progress, now: Timestamp) -> ProgressView {
    let (phase, ring, next) = (progress.phase, progress.ring, progress.next_ring);
    let rings = (0..).zip(progress.rings);
    ProgressView {
        counts: CampaignCounts::of(progress.meters, &progress.steps),
        ring,
        rings: rings
            .map(|(number, of)| ring_view(number, &of, (phase, ring), next.filter(|at| *at > now)))
            .collect(),
        blocks_sent: progress.groups.iter().map(|group| group.sent).sum(),
        blocks_blind: progress.groups.iter().map(|group| group.blind).sum(),
        rounds: progress.rounds.into_iter().map(round_view).collect(),
        groups: {
            let groups = progress.groups.into_iter();
            let shared = groups.filter(|group| group.meters > 1);
            shared.take(NAMED_MAX).map(group_view).collect()
        },
    }
}

fn ring_view(
    number: u16,
    of: &RingProgress,
    (phase, ring): (&str, Option<u16>),
    waits: Option<Timestamp>,
) -> CampaignRing {
    let state = match (phase, ring) {
        ("done", _) => "done",
        (_, Some(ring)) if number < ring => "done",
        ("stopped" | "stopped_by_failures", Some(ring)) if number == ring => "stopped",
        (_, Some(ring)) if number == ring && waits.is_some() => "soaking",
        (_, Some(ring)) if number == ring => "run",
        _ => "todo",
    };
    CampaignRing {
        permille: of.permille,
        state,
        begins: waits.filter(|_| state == "soaking").map(rfc3339),
        counts: CampaignCounts::of(of.meters, &of.steps),
    }
}

/// Lists the meters of a campaign that are asked for.
pub(super) fn meters(
    app: &App,
    all: Vec<MemberProgress>,
    query: &CampaignMetersQuery,
) -> Result<CampaignMeters, ApiError> {
    if query.limit == 0 || query.limit > 500 || query.q.chars().count() > 100 {
        return Err(ApiError::BadRequest(
            "A limit is 1 to 500, and what is looked for has at most 100 characters.".to_owned(),
        ));
    }
    let text = query.q.trim().to_lowercase();
    Ok(app.fleet.with_meters(|meters| {
        let name = |it: &MemberProgress| {
            let known = meters.get(&it.meter);
            known.map_or("", |known| known.meter.enrolment.name.as_str())
        };
        let found = |it: &MemberProgress| {
            let place = meters.get(&it.meter);
            let place = place.map_or("", |known| known.meter.enrolment.place.as_str());
            text.is_empty()
                || name(it).to_lowercase().contains(&text)
                || place.to_lowercase().contains(&text)
        };
        let mut all: Vec<MemberProgress> = all
            .into_iter()
            .filter(|it| query.step.takes(it.step) && query.ring.is_none_or(|ring| ring == it.ring))
            .filter(found)
            .collect();
        all.sort_by(|a, b| {
            let urgency = |it: &MemberProgress| match it.step {
                Step::Failed => (0, it.step),
                _ if it.tries > 0 => (1, it.step),
                _ => (2, it.step),
            };
            let names = || natural(name(a), name(b));
            urgency(a).cmp(&urgency(b)).then_with(names)
        });
        let total = all.len();
        let window = all.into_iter().skip(query.offset).take(query.limit);
        let rows = window.map(|it| {
            let known = meters.get(&it.meter).map(|known| &known.meter.enrolment);
            CampaignMeter {
                id: it.meter.to_string(),
                name: known.map_or_else(|| it.meter.to_string(), |known| known.name.to_string()),
                place: known.map_or_else(String::new, |known| known.place.as_str().to_owned()),
                endpoint: known.map_or_else(String::new, |known| known.endpoint.clone()),
                ring: it.ring,
                step: step_name(it.step),
                reason: it.reason.map(reason_name),
                tries: it.tries,
                next_try: it.next_try.map(rfc3339),
                told: it.told,
                busy: it.busy,
                bitmaps: it.bitmaps,
            }
        });
        CampaignMeters {
            total,
            offset: query.offset,
            rows: rows.collect(),
        }
    }))
}

const fn step_name(step: Step) -> &'static str {
    match step {
        Step::Waiting => "waiting",
        Step::Receiving => "receiving",
        Step::Asked => "asked",
        Step::Verified => "verified",
        Step::Active => "active",
        Step::Failed => "failed",
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
        phase: group.phase,
        meters: group.meters,
        blocks_sent: group.sent,
        blocks_blind: group.blind,
        began: group.began.map(rfc3339),
        taken_s: group.taken_s,
        bound: group.bound.map(bound_view),
    }
}

pub(super) const fn bound_view(bound: Bound) -> CampaignBound {
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
