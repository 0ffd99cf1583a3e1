//! Server-sent events: one stream a page, with the topics it shows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::Stream;
use futures_util::stream::unfold;
use model::xml::SmartMeterId;
use model::{MeterId, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};
use utoipa::IntoParams;

use super::App;
use super::campaigns::CampaignRow;
use super::error::{ApiError, ErrorBody};
use super::fleet::FleetUpdate;
use super::guard::Params;
use super::meter::meter_id;
use crate::calendar::rfc3339;
use crate::hub::{Change, Numbered};
use crate::live::{WATCHED_MAX, Watch};
use crate::power::Power;

/// What a page wants to follow.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamQuery {
    /// Topics with commas between: `fleet`, `concentrators`, `campaigns`, `meter:ID`, `outlets`; at
    /// most 40.
    #[param(example = "fleet,meter:m_00000001")]
    #[serde(default)]
    topics: String,
}

const TOPICS_MAX: usize = 40;
/// Figures are looked at this often, and sent when they changed.
const TICK: Duration = Duration::from_secs(1);
const FLEET_EVERY: u32 = 2;
/// And sent at least this often.
const FLEET_AT_LEAST: u32 = 10;
const PING: Duration = Duration::from_secs(15);
/// Rows sent a second; of more, the rest is left to the page's next look at the list.
const ROWS_MAX: usize = 100;

/// Follows fleet, concentrators, campaigns, meters and outlet meters: events `fleet`, `row`,
/// `concentrator`, `campaign`, `meter`, `drill`, `power`, `power_error`, `outlet`.
#[utoipa::path(get, path = "/api/v1/stream", tag = "live", params(StreamQuery),
    responses(
        (status = 200, description = "Events", content_type = "text/event-stream", body = String),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
        (status = 503, description = "Too many streams", body = ErrorBody),
    ))]
pub(super) async fn stream(
    State(app): State<Arc<App>>,
    Params(query): Params<StreamQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let topics = Topics::parse(&app, &query.topics)?;
    let permit = Arc::clone(&app.streams)
        .try_acquire_owned()
        .map_err(|_| ApiError::TooManyStreams)?;
    let seen = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok()?.parse().ok());
    let follower = Follower::new(app, topics, seen, permit);
    let events = unfold(follower, |mut follower| async {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(PING).text("ping")))
}

struct Topics {
    fleet: bool,
    outlets: bool,
    concentrators: bool,
    campaigns: bool,
    meters: BTreeSet<MeterId>,
}

impl Topics {
    fn parse(app: &App, text: &str) -> Result<Self, ApiError> {
        let mut topics = Self {
            fleet: false,
            outlets: false,
            concentrators: false,
            campaigns: false,
            meters: BTreeSet::new(),
        };
        for (index, topic) in text.split(',').filter(|t| !t.is_empty()).enumerate() {
            if index >= TOPICS_MAX {
                let message = format!("A stream has at most {TOPICS_MAX} topics.");
                return Err(ApiError::BadRequest(message));
            }
            match topic.split_once(':') {
                None if topic == "fleet" => topics.fleet = true,
                None if topic == "outlets" => topics.outlets = true,
                None if topic == "concentrators" => topics.concentrators = true,
                None if topic == "campaigns" => topics.campaigns = true,
                Some(("meter", id)) => {
                    let id = meter_id(id)?;
                    let (_meter, ..) = app.fleet.meter(id).ok_or(ApiError::NoSuchMeter)?;
                    topics.meters.insert(id);
                }
                _ => {
                    let message = "A topic is fleet, concentrators, campaigns, outlets, or meter: \
                                   and a registry id.";
                    return Err(ApiError::BadRequest(message.to_owned()));
                }
            }
        }
        Ok(topics)
    }
}

/// One open stream.
struct Follower {
    app: Arc<App>,
    topics: Topics,
    changes: broadcast::Receiver<Numbered>,
    stop: watch::Receiver<bool>,
    ticks: Interval,
    tick: u32,
    /// The number of the last change looked at.
    seen: u64,
    last_fleet: Option<(FleetUpdate, u32)>,
    rows: BTreeSet<MeterId>,
    concentrators: BTreeSet<MeterId>,
    meters: BTreeSet<MeterId>,
    drills: BTreeSet<MeterId>,
    outlets: BTreeSet<SmartMeterId>,
    /// What of each campaign was told last.
    campaigns: BTreeMap<u32, u64>,
    ready: VecDeque<Event>,
    _watches: Vec<Watch>,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    fn new(app: Arc<App>, topics: Topics, seen: Option<u64>, permit: OwnedSemaphorePermit) -> Self {
        let (missed, changes) = app.hub.listen(seen);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut watches = Vec::new();
        let mut refused = Vec::new();
        for meter in &topics.meters {
            match app.live.watch(*meter) {
                Some(watch) => watches.push(watch),
                None => refused.push(*meter),
            }
        }
        let mut follower = Self {
            seen: app.hub.next_number().saturating_sub(1),
            stop: app.stop.clone(),
            topics,
            changes,
            ticks,
            tick: 0,
            last_fleet: None,
            rows: BTreeSet::new(),
            concentrators: BTreeSet::new(),
            meters: BTreeSet::new(),
            drills: BTreeSet::new(),
            outlets: BTreeSet::new(),
            campaigns: BTreeMap::new(),
            ready: VecDeque::new(),
            _watches: watches,
            _permit: permit,
            app,
        };
        for numbered in missed {
            follower.take(numbered);
        }
        let now = follower.app.clock.now();
        for meter in refused {
            let reason =
                format!("{WATCHED_MAX} meters are watched live already. Close some pages.");
            follower.power_error(meter, now, &reason);
        }
        follower
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if *self.stop.borrow() {
                return None;
            }
            tokio::select! {
                _ = self.stop.changed() => return None,
                _ = self.ticks.tick() => self.on_tick().await,
                change = self.changes.recv() => match change {
                    Ok(numbered) => self.take(numbered),
                    // A page that reads too slowly looks at its meters again.
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        self.meters.extend(&self.topics.meters);
                        self.drills.extend(&self.topics.meters);
                        if let Some(outlets) = self.app.outlets.as_ref().filter(|_| self.topics.outlets) {
                            self.outlets.extend(outlets.meters().keys().take(ROWS_MAX));
                        }
                    }
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
            }
        }
    }

    fn take(&mut self, (number, change): Numbered) {
        self.seen = self.seen.max(number);
        match change {
            Change::Row(id) if self.topics.fleet => {
                if self.rows.len() < ROWS_MAX {
                    self.rows.insert(id);
                }
            }
            Change::Concentrator(id) if self.topics.concentrators => {
                if self.concentrators.len() < ROWS_MAX {
                    self.concentrators.insert(id);
                }
            }
            Change::Meter(id) if self.topics.meters.contains(&id) => {
                self.meters.insert(id);
            }
            Change::Drill(id) if self.topics.meters.contains(&id) => {
                self.drills.insert(id);
            }
            Change::Power(id, power) if self.topics.meters.contains(&id) => {
                self.push("power", &PowerEvent::of(id, &power));
            }
            Change::PowerError(id, at, reason) if self.topics.meters.contains(&id) => {
                self.power_error(id, at, reason);
            }
            Change::Outlet(id) if self.topics.outlets => {
                if self.outlets.len() < ROWS_MAX {
                    self.outlets.insert(id);
                }
            }
            Change::Outlet(_)
            | Change::Row(_)
            | Change::Concentrator(_)
            | Change::Meter(_)
            | Change::Drill(_)
            | Change::Power(..)
            | Change::PowerError(..) => {}
        }
    }

    async fn on_tick(&mut self) {
        let tick = self.tick;
        self.tick = self.tick.wrapping_add(1);
        let rows = std::mem::take(&mut self.rows);
        if !rows.is_empty() {
            let read = self
                .app
                .blocking(move |app| Ok(rows.iter().filter_map(|id| app.row(*id)).collect()));
            let rows: Vec<_> = read.await.unwrap_or_default();
            for row in &rows {
                self.push("row", row);
            }
        }
        let concentrators = std::mem::take(&mut self.concentrators);
        if !concentrators.is_empty() {
            let read = self.app.blocking(move |app| {
                let rows = concentrators.iter();
                let rows = rows.map(|id| app.concentrator_row(*id));
                rows.filter_map(Result::transpose).collect()
            });
            let rows: Vec<_> = read.await.unwrap_or_default();
            for row in &rows {
                self.push("concentrator", row);
            }
        }
        for id in std::mem::take(&mut self.meters) {
            self.push("meter", &MeterEvent { id: id.to_string() });
        }
        for id in std::mem::take(&mut self.drills) {
            self.push("drill", &MeterEvent { id: id.to_string() });
        }
        for id in std::mem::take(&mut self.outlets) {
            self.push("outlet", &OutletEvent { id: id.0 });
        }
        if self.topics.campaigns && tick.is_multiple_of(FLEET_EVERY) {
            self.on_campaigns().await;
        }
        if self.topics.fleet && tick.is_multiple_of(FLEET_EVERY) {
            self.on_fleet(tick).await;
        }
    }

    /// Tells campaigns that changed since they were told last.
    async fn on_campaigns(&mut self) {
        let told = std::mem::take(&mut self.campaigns);
        let read = self.app.blocking(move |app| {
            let now = app.clock.now();
            let revisions: BTreeMap<u32, u64> = app.campaigns.revisions().into_iter().collect();
            let changed = revisions.iter().filter(|(id, at)| told.get(id) != Some(at));
            let changed = changed.filter_map(|(id, _)| app.campaigns.get(*id));
            let rows: Vec<_> = changed.map(|one| CampaignRow::of(one, now)).collect();
            Ok((rows, revisions))
        });
        let (rows, revisions) = read.await.unwrap_or_default();
        self.campaigns = revisions;
        for row in &rows {
            self.push("campaign", row);
        }
    }

    async fn on_fleet(&mut self, tick: u32) {
        let taken = self.app.blocking(|app| Ok(app.fleet_update())).await;
        let Ok(update) = taken else { return };
        if let Some((last, at)) = &self.last_fleet
            && last.says_the_same(&update)
            && tick.wrapping_sub(*at) < FLEET_AT_LEAST
        {
            return;
        }
        self.push("fleet", &update);
        self.last_fleet = Some((update, tick));
    }

    fn power_error(&mut self, id: MeterId, at: Timestamp, reason: &str) {
        let event = PowerErrorEvent {
            id: id.to_string(),
            at: rfc3339(at),
            reason,
        };
        self.push("power_error", &event);
    }

    fn push(&mut self, name: &str, data: &impl Serialize) {
        let event = Event::default().event(name).id(self.seen.to_string());
        if let Ok(event) = event.json_data(data) {
            self.ready.push_back(event);
        }
    }
}

#[derive(Serialize)]
struct PowerEvent {
    id: String,
    at: Option<String>,
    w: Option<i64>,
    l1_w: Option<i64>,
    l2_w: Option<i64>,
    l3_w: Option<i64>,
}

impl PowerEvent {
    fn of(id: MeterId, power: &Power) -> Self {
        let [l1_w, l2_w, l3_w] = power.phases;
        Self {
            id: id.to_string(),
            at: power.at.map(rfc3339),
            w: power.total,
            l1_w,
            l2_w,
            l3_w,
        }
    }
}

#[derive(Serialize)]
struct PowerErrorEvent<'a> {
    id: String,
    at: String,
    reason: &'a str,
}

#[derive(Serialize)]
struct OutletEvent {
    id: u32,
}

#[derive(Serialize)]
struct MeterEvent {
    id: String,
}
