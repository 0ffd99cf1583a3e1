//! Server-sent events: power as it is read, and the state.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::Stream;
use futures_util::stream::unfold;
use model::Timestamp;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::App;
use super::error::ApiError;
use super::page;
use crate::summary;
use crate::wire::{ErrorBody, MeterState};

/// The state is sent this often, and looked at each second in between: silence
/// is no change that somebody tells.
const STATE_TICKS: u32 = 10;
const TICK: Duration = Duration::from_secs(1);
const PING: Duration = Duration::from_secs(15);

/// Follows power and state: events `power` and `state`.
#[utoipa::path(get, path = "/api/v1/live", tag = "home",
    responses(
        (status = 200, description = "Events", content_type = "text/event-stream", body = String),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 503, description = "Too many streams", body = ErrorBody),
    ))]
pub(super) async fn live(
    State(app): State<Arc<App>>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let permit = Arc::clone(&app.streams)
        .try_acquire_owned()
        .map_err(|_| ApiError::TooManyAtOnce)?;
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let follower = Follower {
        changes: app.parts.shared.changes(),
        stop: app.parts.stop.clone(),
        ticks,
        tick: 0,
        power: None,
        health: None,
        ready: VecDeque::new(),
        _permit: permit,
        app,
    };
    let events = unfold(follower, |mut follower| async {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(PING).text("ping")))
}

/// One open stream.
struct Follower {
    app: Arc<App>,
    changes: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
    ticks: Interval,
    tick: u32,
    /// When the power that was told last was received.
    power: Option<Timestamp>,
    /// What was told last of meter and link.
    health: Option<(MeterState, bool)>,
    ready: VecDeque<Event>,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
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
                changed = self.changes.changed() => {
                    changed.ok()?;
                    self.look(false).await;
                }
                _ = self.ticks.tick() => {
                    let due = self.tick.is_multiple_of(STATE_TICKS);
                    self.tick = self.tick.wrapping_add(1);
                    self.look(due).await;
                }
            }
        }
    }

    async fn look(&mut self, due: bool) {
        let parts = &self.app.parts;
        let (snapshot, way) = (parts.shared.snapshot(), parts.shared.way());
        let now = self.app.now();
        let fresh = |last| now.millis_since(last) <= parts.place.current_age_max_ms;
        let meter = match way.last {
            None => MeterState::Unknown,
            Some(last) if fresh(last) => MeterState::Answers,
            Some(_) => MeterState::Silent,
        };
        let health = Some((meter, snapshot.connected));
        if (due || health != self.health)
            && let Ok(state) = page::current(&self.app).await
        {
            self.health = health;
            self.push("state", &state);
        }
        let power = snapshot.net_power.map(|power| power.received);
        if power != self.power {
            self.power = power;
            let told = summary::power(&snapshot, &self.app.parts.place, now);
            if let Some(told) = told {
                self.push("power", &told);
            }
        }
    }

    fn push(&mut self, name: &str, data: &impl Serialize) {
        let id = self.app.parts.shared.version();
        let event = Event::default().event(name).id(id.to_string());
        if let Ok(event) = event.json_data(data) {
            self.ready.push_back(event);
        }
    }
}
