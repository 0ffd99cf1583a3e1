//! The shell around the planner: contacts, broadcasts, what is kept.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use link::ClientError;
use model::{Image, ImageError, MeterId};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::planner::{
    MEMBERS_MAX, Member, MemberProgress, Next, Outcome, Planner, Progress, Reason, Settings, Step,
    Task,
};
use super::wire;
use crate::clock::Clock;
use crate::collector::{AccessError, Conversation, Leases, MeterAccess, MeterTarget};
use crate::fleet::Fleet;
use crate::store::{Pending, Store, StoreError};

/// Campaigns that a head end keeps.
pub const CAMPAIGNS_MAX: usize = 256;

/// After so many results what is known is made durable.
const KEEP_EVERY: u32 = 64;

/// Where campaigns are kept.
pub trait CampaignStore: Send + Sync {
    /// Keeps a campaign in the place of what was kept of it; its image with the first time.
    fn keep(&self, id: u32, record: Vec<u8>, image: Option<Arc<[u8]>>) -> Pending<()>;

    /// Returns all campaigns.
    ///
    /// # Errors
    /// Where the store fails.
    fn all(&self) -> Result<Vec<Kept>, StoreError>;
}

/// Campaigns among all else that the head end keeps.
#[derive(Debug)]
pub struct InStore(pub Arc<dyn Store>);

impl CampaignStore for InStore {
    fn keep(&self, id: u32, record: Vec<u8>, image: Option<Arc<[u8]>>) -> Pending<()> {
        self.0.keep_campaign(id, record, image)
    }

    fn all(&self) -> Result<Vec<Kept>, StoreError> {
        self.0.campaigns()
    }
}

/// A campaign as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub id: u32,
    /// What [`Campaigns`] gave.
    pub record: Vec<u8>,
    /// The image.
    pub image: Arc<[u8]>,
}

/// Tells where a meter is.
pub trait Targets: Send + Sync {
    /// Finds a meter.
    fn target(&self, meter: MeterId) -> Option<MeterTarget>;
}

impl Targets for Fleet {
    fn target(&self, meter: MeterId) -> Option<MeterTarget> {
        let (found, _, _) = self.meter(meter)?;
        Some(MeterTarget {
            id: found.meter.id,
            enrolment: found.meter.enrolment,
        })
    }
}

/// What [`Campaigns`] works with.
pub struct Parts {
    /// Where campaigns are kept.
    pub store: Arc<dyn CampaignStore>,
    /// How meters are reached.
    pub access: Arc<dyn MeterAccess>,
    /// Where they are.
    pub targets: Arc<dyn Targets>,
    /// Tells the time of day.
    pub clock: Arc<dyn Clock>,
    /// Who may talk to a meter.
    pub leases: Leases,
}

/// What is said about a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// What people call it.
    pub name: String,
    /// Why it was begun, where that was said.
    #[serde(default)]
    pub reason: Option<String>,
    /// When it was begun, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it ended, stopped or done.
    #[serde(default)]
    pub ended_ms: Option<i64>,
    /// The model whose meters the image is for.
    pub model: String,
    /// What a meter calls itself with it.
    pub identifier: String,
    /// The image's version.
    pub version: u32,
    /// Octets of the image.
    pub image_len: u32,
}

/// A campaign that is wanted.
#[derive(Clone, Debug)]
pub struct Order {
    /// What people call it.
    pub name: String,
    /// Why, where that is said.
    pub reason: Option<String>,
    /// The signed image.
    pub image: Vec<u8>,
    /// Whom it is for.
    pub meters: Vec<MeterTarget>,
    /// How it goes about it.
    pub settings: Settings,
}

/// A campaign as it is now.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Its number.
    pub id: u32,
    /// What is said about it.
    pub about: About,
    /// How it goes about it.
    pub settings: Settings,
    /// How far it is.
    pub progress: Progress,
    /// Meters that are out, and why.
    pub failed: Vec<(MeterId, Reason)>,
}

/// All campaigns of a head end.
pub struct Campaigns {
    shared: Arc<Shared>,
    entries: Mutex<BTreeMap<u32, Arc<Entry>>>,
    beginning: tokio::sync::Mutex<()>,
    stop: watch::Receiver<bool>,
}

impl fmt::Debug for Campaigns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Campaigns").finish_non_exhaustive()
    }
}

struct Shared {
    parts: Parts,
}

struct Entry {
    id: u32,
    image: Arc<[u8]>,
    identifier: String,
    signature: Vec<u8>,
    state: Mutex<Held>,
    wake: Notify,
    halted: AtomicBool,
}

struct Held {
    about: About,
    planner: Planner,
    /// Whether a task drives it.
    driven: bool,
    /// Becomes greater with each change.
    revision: u64,
}

impl Entry {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn record(&mut self) -> Vec<u8> {
        let planner = self.planner.record();
        let planner = serde_json::from_slice(&planner).unwrap_or(serde_json::Value::Null);
        let record = serde_json::json!({ "about": self.about, "planner": planner });
        record.to_string().into_bytes()
    }
}

impl Campaigns {
    /// Takes what the store holds and goes on with it, until `stop` says so.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn open(parts: Parts, stop: watch::Receiver<bool>) -> Result<Arc<Self>, StoreError> {
        let kept = parts.store.all()?;
        let campaigns = Arc::new(Self {
            shared: Arc::new(Shared { parts }),
            entries: Mutex::default(),
            beginning: tokio::sync::Mutex::default(),
            stop,
        });
        for Kept { id, record, image } in kept {
            match restored(id, &record, image) {
                Some(entry) => campaigns.add(Arc::new(entry)),
                None => tracing::error!(id, "a campaign was kept that cannot be read: it rests"),
            }
        }
        Ok(campaigns)
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, entry: Arc<Entry>) {
        self.entries().insert(entry.id, Arc::clone(&entry));
        self.drive(entry);
    }

    fn drive(&self, entry: Arc<Entry>) {
        {
            let mut held = entry.held();
            if held.driven {
                return;
            }
            held.driven = true;
        }
        tokio::spawn(drive(Arc::clone(&self.shared), entry, self.stop.clone()));
    }

    /// Plans a campaign and does nothing: what [`start`](Self::start) would begin. May block.
    ///
    /// # Errors
    /// [`CampaignError`], as where it is begun.
    pub fn draft(
        &self,
        meters: Vec<MeterTarget>,
        image_len: u32,
        settings: Settings,
    ) -> Result<Planner, CampaignError> {
        if let Some(fault) = settings.fault() {
            return Err(CampaignError::Settings(fault));
        }
        if meters.is_empty() || meters.len() > MEMBERS_MAX {
            return Err(CampaignError::NoMeters);
        }
        let members = meters.into_iter().map(|target| Member {
            meter: target.id,
            key: self.shared.parts.access.broadcast_key(&target),
            endpoint: target.enrolment.endpoint,
        });
        Ok(Planner::new(settings, image_len, members.collect()))
    }

    /// Returns the meters that campaigns under way still have to do with, and the number of one
    /// of these.
    pub fn engaged(&self) -> BTreeMap<MeterId, u32> {
        let entries: Vec<Arc<Entry>> = self.entries().values().cloned().collect();
        let mut engaged = BTreeMap::new();
        for entry in entries {
            let held = entry.held();
            if held.planner.is_under_way() {
                let members = held.planner.members();
                let open = members.filter(|it| !matches!(it.step, Step::Active | Step::Failed));
                engaged.extend(open.map(|it| (it.meter, entry.id)));
            }
        }
        engaged
    }

    /// Waits until nobody else is about to begin a campaign: what was planned holds until the
    /// guard goes.
    pub async fn beginning(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.beginning.lock().await
    }

    /// Begins a campaign.
    ///
    /// # Errors
    /// [`CampaignError`]; nothing was begun.
    pub async fn start(&self, order: Order) -> Result<u32, CampaignError> {
        let Order {
            name,
            reason,
            image,
            meters,
            settings,
        } = order;
        let image: Arc<[u8]> = image.into();
        let parsed = Image::parse(&image)?;
        let header = parsed.header();
        let image_len = u32::try_from(image.len()).map_err(|_| ImageError::Length)?;
        let about = About {
            name,
            reason,
            created_ms: self.shared.parts.clock.now().millis(),
            ended_ms: None,
            model: header.model().to_owned(),
            identifier: header.identifier().to_owned(),
            version: header.version(),
            image_len,
        };
        let planner = self.draft(meters, image_len, settings)?;
        let id = {
            let entries = self.entries();
            if entries.len() >= CAMPAIGNS_MAX {
                return Err(CampaignError::TooMany);
            }
            entries.last_key_value().map_or(1, |(id, _)| id + 1)
        };
        let entry = Arc::new(entry(id, about, planner, Arc::clone(&image)));
        let record = entry.held().record();
        self.entries().insert(id, Arc::clone(&entry));
        let kept = self.shared.parts.store.keep(id, record, Some(image)).await;
        if let Err(error) = kept {
            self.entries().remove(&id);
            return Err(error.into());
        }
        self.drive(entry);
        Ok(id)
    }

    /// Lists campaigns, the newest first.
    pub fn list(&self) -> Vec<Campaign> {
        let entries = self.entries();
        entries.values().rev().map(|entry| shown(entry)).collect()
    }

    /// Returns what is said about each campaign.
    pub fn about(&self) -> Vec<(u32, About)> {
        let entries = self.entries();
        let all = entries.values();
        all.map(|entry| (entry.id, entry.held().about.clone()))
            .collect()
    }

    /// Tells of each campaign a number that becomes greater whenever something about it changes.
    pub fn revisions(&self) -> Vec<(u32, u64)> {
        let entries = self.entries();
        let all = entries.values();
        all.map(|entry| (entry.id, entry.held().revision)).collect()
    }

    /// Lists the meters of a campaign in the order in which they activate.
    pub fn members(&self, id: u32) -> Option<Vec<MemberProgress>> {
        let entry = self.entries().get(&id).cloned()?;
        let held = entry.held();
        Some(held.planner.members().collect())
    }

    /// Finds a campaign.
    pub fn get(&self, id: u32) -> Option<Campaign> {
        self.entries().get(&id).map(|entry| shown(entry))
    }

    /// Stops a campaign: what is under way ends, nothing new is begun. Says whether there is such
    /// a campaign.
    pub fn stop(&self, id: u32) -> bool {
        let Some(entry) = self.entries().get(&id).cloned() else {
            return false;
        };
        {
            let mut held = entry.held();
            held.planner.stop();
            held.revision += 1;
        }
        entry.halted.store(true, Ordering::Relaxed);
        entry.wake.notify_one();
        true
    }

    /// Lets a stopped campaign go on, at a turn of its own among those that begin. Says whether
    /// there is such a campaign.
    ///
    /// # Errors
    /// [`Overlap`] where another campaign has some of its meters now: it stays as it is.
    pub async fn resume(&self, id: u32) -> Result<bool, Overlap> {
        // Held until the campaign counts as under way: no other begins or goes on meanwhile.
        let _turn = self.beginning().await;
        let Some(entry) = self.entries().get(&id).cloned() else {
            return Ok(false);
        };
        let wanted: Vec<MeterId> = entry.held().planner.resumable().collect();
        let engaged = self.engaged();
        let mut taken: BTreeMap<u32, usize> = BTreeMap::new();
        for other in wanted.iter().filter_map(|meter| engaged.get(meter)) {
            *taken.entry(*other).or_default() += 1;
        }
        if let Some((campaign, meters)) = taken.into_iter().max_by_key(|(_, meters)| *meters) {
            return Err(Overlap { campaign, meters });
        }
        entry.halted.store(false, Ordering::Relaxed);
        {
            let mut held = entry.held();
            held.planner.resume();
            held.about.ended_ms = None;
            held.revision += 1;
        }
        entry.wake.notify_one();
        self.drive(entry);
        Ok(true)
    }
}

fn entry(id: u32, about: About, planner: Planner, image: Arc<[u8]>) -> Entry {
    let parsed = Image::parse(&image).ok();
    let signature = parsed.map(|parsed| parsed.signature().to_vec());
    Entry {
        id,
        identifier: about.identifier.clone(),
        signature: signature.unwrap_or_default(),
        image,
        state: Mutex::new(Held {
            about,
            planner,
            driven: false,
            revision: 0,
        }),
        wake: Notify::new(),
        halted: AtomicBool::new(false),
    }
}

fn restored(id: u32, record: &[u8], image: Arc<[u8]>) -> Option<Entry> {
    let record: serde_json::Value = serde_json::from_slice(record).ok()?;
    let about = serde_json::from_value(record.get("about")?.clone()).ok()?;
    let planner = Planner::restore(record.get("planner")?.to_string().as_bytes()).ok()?;
    Some(entry(id, about, planner, image))
}

fn shown(entry: &Entry) -> Campaign {
    let held = entry.held();
    Campaign {
        id: entry.id,
        about: held.about.clone(),
        settings: held.planner.settings().clone(),
        progress: held.planner.progress(),
        failed: held.planner.failed().collect(),
    }
}

/// What a task under way came to.
enum Done {
    Contact(MeterId, Task, u16, Outcome),
    Broadcast(usize, usize),
}

/// Does what the planner says until the campaign or the head end ends.
async fn drive(shared: Arc<Shared>, entry: Arc<Entry>, mut stop: watch::Receiver<bool>) {
    let mut tasks: JoinSet<Done> = JoinSet::new();
    let parts = &shared.parts;
    while !*stop.borrow() {
        let now = parts.clock.now();
        let (next, record) = {
            let mut held = entry.held();
            let next = held.planner.next(now);
            held.revision += 1;
            if next == Next::Over {
                held.about.ended_ms.get_or_insert_with(|| now.millis());
                held.driven = false;
            }
            let planner = &held.planner;
            let due = planner.must_keep() || planner.changed() >= KEEP_EVERY || next == Next::Over;
            (next, due.then(|| held.record()))
        };
        if let Some(record) = record
            && let Err(error) = parts.store.keep(entry.id, record, None).await
        {
            tracing::error!(%error, id = entry.id, "a campaign could not be kept: it rests");
            entry.held().driven = false;
            break;
        }
        let wait = match next {
            Next::Contact(meter, task) => {
                let (shared, entry) = (Arc::clone(&shared), Arc::clone(&entry));
                tasks.spawn(async move {
                    let (bitmaps, outcome) = contact(&shared, &entry, meter, task).await;
                    Done::Contact(meter, task, bitmaps, outcome)
                });
                continue;
            }
            Next::Broadcast {
                group,
                block_len,
                blocks,
                meter,
            } => {
                let (shared, entry) = (Arc::clone(&shared), Arc::clone(&entry));
                tasks.spawn(async move {
                    let sent = broadcast(&shared, &entry, meter, block_len, &blocks).await;
                    Done::Broadcast(group, sent)
                });
                continue;
            }
            Next::Over => return,
            Next::Wait(until) => u64::try_from(until.millis_since(now).max(1)).unwrap_or(1),
            Next::Idle => 60_000,
        };
        tokio::select! {
            biased;
            _ = stop.changed() => {}
            () = entry.wake.notified() => {}
            Some(joined) = tasks.join_next(), if !tasks.is_empty() => match joined {
                Ok(Done::Contact(meter, task, bitmaps, outcome)) => {
                    let now = parts.clock.now();
                    tracing::debug!(%meter, ?outcome, "a contact of a campaign");
                    let mut held = entry.held();
                    held.planner.asked(meter, task, bitmaps);
                    held.planner.contacted(meter, outcome, now);
                }
                Ok(Done::Broadcast(group, sent)) => entry.held().planner.broadcast(group, sent),
                Err(error) => tracing::error!(%error, "a contact ended abnormally"),
            },
            () = tokio::time::sleep(Duration::from_millis(wait.min(60_000))) => {}
        }
    }
    tasks.shutdown().await;
}

/// Waits after a broadcast that could not be sent.
const BROKEN_PAUSE: Duration = Duration::from_secs(10);

/// Sends blocks to a group, and tells how many of them went.
async fn broadcast(
    shared: &Shared,
    entry: &Entry,
    meter: MeterId,
    block_len: u32,
    blocks: &[u32],
) -> usize {
    let pace = u64::from(entry.held().planner.settings().pace_ms);
    let Some(target) = shared.parts.targets.target(meter) else {
        // Nobody is there any more: what is not sent is found missing.
        return blocks.len();
    };
    let mut sender = match shared.parts.access.broadcast(&target).await {
        Ok(sender) => sender,
        Err(error) => {
            tracing::info!(%error, "nothing can be broadcast now");
            tokio::time::sleep(BROKEN_PAUSE).await;
            return 0;
        }
    };
    for (sent, number) in blocks.iter().enumerate() {
        if entry.halted.load(Ordering::Relaxed) {
            return sent;
        }
        let item = wire::block(*number, part(&entry.image, *number, block_len));
        if let Err(error) = sender.tell(item).await {
            tracing::info!(%error, "a broadcast broke off");
            tokio::time::sleep(BROKEN_PAUSE).await;
            return sent;
        }
        tokio::time::sleep(Duration::from_millis(pace)).await;
    }
    blocks.len()
}

/// One block of an image.
fn part(image: &[u8], number: u32, block_len: u32) -> &[u8] {
    let len = usize::try_from(block_len.max(1)).unwrap_or(usize::MAX);
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    image.chunks(len).nth(number).unwrap_or_default()
}

/// Why a contact ended early.
enum Trouble {
    /// The meter said no.
    Refused,
    /// Nobody answers any more.
    Broken,
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        tracing::debug!(%error, "a contact of a campaign");
        match error {
            ClientError::Refused(_) | ClientError::NotDone(_) => Self::Refused,
            _ => Self::Broken,
        }
    }
}

impl From<AccessError> for Trouble {
    fn from(error: AccessError) -> Self {
        if error.is_final {
            Self::Broken
        } else {
            Self::Refused
        }
    }
}

/// What a contact has done so far, however it ends.
#[derive(Default)]
struct Spent {
    /// Activate was sent.
    told: bool,
    /// So many times the bitmap of blocks was asked for.
    bitmaps: u16,
}

async fn contact(shared: &Shared, entry: &Entry, meter: MeterId, task: Task) -> (u16, Outcome) {
    let Some(target) = shared.parts.targets.target(meter) else {
        return (0, Outcome::Failed(Reason::Unreachable));
    };
    let _lease = shared.parts.leases.take(meter).await;
    let mut spent = Spent::default();
    let outcome = match shared.parts.access.open(&target).await {
        Ok(mut talk) => {
            let outcome = talk_about(&mut *talk, entry, task, &mut spent).await;
            if !matches!(outcome, Err(Trouble::Broken)) {
                // What was said counts, whether or not the release is confirmed.
                talk.close().await.unwrap_or_default();
            }
            outcome
        }
        Err(error) => Err(error.into()),
    };
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(Trouble::Broken) => Outcome::Broken { told: spent.told },
        Err(Trouble::Refused) => Outcome::Failed(match task {
            Task::Activate => Reason::NotActivated,
            _ => Reason::Refused,
        }),
    };
    (spent.bitmaps, outcome)
}

async fn talk_about(
    talk: &mut dyn Conversation,
    entry: &Entry,
    task: Task,
    spent: &mut Spent,
) -> Result<Outcome, Trouble> {
    let runs = |name: &Option<String>| name.as_deref() == Some(entry.identifier.as_str());
    if task == Task::Activate {
        return activate(talk, entry, &mut spent.told, runs).await;
    }
    let client = talk.client().ok_or(Trouble::Refused)?;
    match task {
        Task::Initiate => {
            let state = wire::state(client).await?;
            if state.status == wire::STATUS_ACTIVATED && runs(&talk.firmware().await?) {
                return Ok(Outcome::Active);
            }
            let client = talk.client().ok_or(Trouble::Refused)?;
            if !state.enabled {
                wire::enable(client).await?;
            }
            let image_len = u32::try_from(entry.image.len()).unwrap_or(u32::MAX);
            wire::initiate(client, entry.identifier.as_bytes(), image_len).await?;
            Ok(Outcome::Initiated {
                block_len: state.block_len,
            })
        }
        Task::Ask => Ok(Outcome::Lacks(missing(client, spent).await?)),
        Task::Finish | Task::Activate => {
            let state = wire::state(client).await?;
            if state.status == wire::STATUS_ACTIVATED && runs(&talk.firmware().await?) {
                return Ok(Outcome::Active);
            }
            let client = talk.client().ok_or(Trouble::Refused)?;
            finish(client, entry, state, spent).await
        }
    }
}

/// Asks which blocks are missing.
async fn missing(client: &mut link::Client, spent: &mut Spent) -> Result<Vec<u32>, ClientError> {
    spent.bitmaps = spent.bitmaps.saturating_add(1);
    wire::missing(client).await
}

/// Sends what is missing, lets the meter verify, and where that fails sends all of it once more:
/// what came by broadcast may have been anybody's.
async fn finish(
    client: &mut link::Client,
    entry: &Entry,
    mut state: wire::ImageState,
    spent: &mut Spent,
) -> Result<Outcome, Trouble> {
    if state.block_len == 0 {
        return Ok(Outcome::Failed(Reason::Refused));
    }
    let image_len = u32::try_from(entry.image.len()).unwrap_or(u32::MAX);
    let blocks = image_len.div_ceil(state.block_len);
    let (mut refused, mut anew) = (false, false);
    loop {
        match state.status {
            wire::STATUS_VERIFIED if is_ours(client, entry).await? => {
                return Ok(Outcome::Verified);
            }
            wire::STATUS_INITIATED if !refused && state.first_missing <= blocks => {}
            _ if anew => return Ok(Outcome::Failed(Reason::NotVerified)),
            // Another image, or what came does not verify: all of it from us alone.
            _ => {
                anew = true;
                wire::initiate(client, entry.identifier.as_bytes(), image_len).await?;
                state.first_missing = 0;
            }
        }
        if state.first_missing < blocks {
            let missing = if anew {
                (0..blocks).collect()
            } else {
                missing(client, spent).await?
            };
            for number in missing {
                if entry.halted.load(Ordering::Relaxed) {
                    return Err(Trouble::Broken);
                }
                let octets = part(&entry.image, number, state.block_len);
                wire::send_block(client, number, octets).await?;
            }
        }
        match wire::verify(client).await {
            Ok(()) => {}
            Err(ClientError::NotDone(_)) if anew => {
                return Ok(Outcome::Failed(Reason::NotVerified));
            }
            Err(ClientError::NotDone(_)) => {
                refused = true;
                state = wire::state(client).await?;
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        return if is_ours(client, entry).await? {
            Ok(Outcome::Verified)
        } else {
            Ok(Outcome::Failed(Reason::NotVerified))
        };
    }
}

/// Says whether what the meter has verified is this campaign's image: the signature is its.
async fn is_ours(client: &mut link::Client, entry: &Entry) -> Result<bool, Trouble> {
    let verified = wire::to_activate(client).await?;
    Ok(verified.is_some_and(|verified| verified.signature == entry.signature))
}

async fn activate(
    talk: &mut dyn Conversation,
    entry: &Entry,
    told: &mut bool,
    runs: impl Fn(&Option<String>) -> bool,
) -> Result<Outcome, Trouble> {
    let client = talk.client().ok_or(Trouble::Refused)?;
    let state = wire::state(client).await?;
    if state.status != wire::STATUS_ACTIVATED {
        if state.status != wire::STATUS_VERIFIED || !is_ours(client, entry).await? {
            return Ok(Outcome::Failed(Reason::NotVerified));
        }
        *told = true;
        wire::activate(client).await?;
    }
    // Not its word that it was done, but what it says that it runs.
    if runs(&talk.firmware().await?) {
        Ok(Outcome::Active)
    } else {
        Ok(Outcome::Failed(Reason::NotActivated))
    }
}

/// Another campaign has meters that one to go on would take up: of several, the one with most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("campaign {campaign} has {meters} of its meters now")]
pub struct Overlap {
    /// The other campaign's number.
    pub campaign: u32,
    /// How many of these meters it has.
    pub meters: usize,
}

/// Why a campaign is not begun.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CampaignError {
    /// The image cannot be used.
    #[error("the image cannot be used: {0}")]
    Image(#[from] ImageError),
    /// There is no meter to bring it to, or too many.
    #[error("a campaign has 1 to 100000 meters")]
    NoMeters,
    /// A setting is out of bounds.
    #[error("{0}")]
    Settings(&'static str),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// There are too many campaigns.
    #[error("there are too many campaigns")]
    TooMany,
}
