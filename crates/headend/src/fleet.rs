//! The fleet as it is now, in memory: what lists, figures and searches are answered from.
//!
//! The store is the truth; this view is loaded from it at start and follows every ingest.

mod days;
mod health;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use model::{Event, EventSource, KnownEvent, MeterId, Severity, Timestamp};

use crate::calendar::{Calendar, Day};
use crate::config::Config;
use crate::hub::{Change, Hub};
use crate::lines::Lines;
use crate::store::{Meter, MeterState, Store, StoreError, Stored};

pub use days::{DAYS, DayFigure};
use days::{DayCounts, Slots};
pub use health::{Health, HealthKind};

/// All meters with their present state.
#[derive(Debug)]
pub struct Fleet {
    calendar: Calendar,
    rules: Rules,
    hub: Arc<Hub>,
    lines: Arc<Lines>,
    meters: RwLock<BTreeMap<MeterId, FleetMeter>>,
}

/// When something counts as due, late or silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The time a row has, after its interval ended, to get here.
    grace_s: i64,
    /// The age of the newest interval, beyond that, at which a meter is late.
    late_s: i64,
    /// The number of failures in a row at which it is silent.
    silent_attempts: u32,
}

/// One meter of the fleet.
#[derive(Clone, Debug)]
pub struct FleetMeter {
    /// Holds what the registry says.
    pub meter: Meter,
    /// Holds its state.
    pub state: MeterState,
    days: DayCounts,
    /// By code, and whether a concentrator told it: its word closes nothing that the meter said.
    alarms: BTreeMap<(u16, bool), Timestamp>,
    search: String,
}

/// An alarm that nothing closed yet.
#[derive(Clone, Copy, Debug)]
pub struct Alarm {
    /// Says what happened.
    pub known: &'static KnownEvent,
    /// Says when.
    pub since: Timestamp,
}

/// Alarms that nothing can close are shown for this long.
const MOMENTARY_S: i64 = 7 * 86_400;
/// Alarms are looked for this far back at start.
const ALARMS_BACK_S: i64 = 30 * 86_400;

impl Fleet {
    /// Loads the fleet from the store.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub fn load(
        store: &dyn Store,
        config: &Config,
        hub: Arc<Hub>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let calendar = store.calendar().clone();
        let collector = &config.collector;
        let every = i64::from(collector.every_s);
        let fleet = Self {
            rules: Rules {
                grace_s: every + every / 10 + i64::from(collector.delay_s) + 60,
                late_s: 3_600,
                silent_attempts: 2,
            },
            hub,
            lines: Arc::new(Lines::new(config)),
            meters: RwLock::default(),
            calendar,
        };
        fleet.reload(store, now)?;
        Ok(fleet)
    }

    /// Takes meters that were enrolled or changed since, and everything else anew.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub fn reload(&self, store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
        let today = self.calendar.day_of(now.secs());
        let mut states = store.states()?;
        let mut meters: BTreeMap<MeterId, FleetMeter> = store
            .meters()?
            .into_iter()
            .map(|meter| {
                let state = states.remove(&meter.id).unwrap_or_default();
                (meter.id, FleetMeter::new(meter, state, today))
            })
            .collect();
        for count in store.day_counts(today.plus(1 - DAYS))? {
            if let Some(meter) = meters.get_mut(&count.meter) {
                meter.days.set(count.day, count.received);
            }
        }
        for (meter, event) in store.events_since(now.plus_secs(-ALARMS_BACK_S))? {
            if let Some(meter) = meters.get_mut(&meter) {
                meter.note(event);
            }
        }
        *self.write() = meters;
        Ok(())
    }

    /// Returns what is known of the segments that the meters hang on.
    pub const fn lines(&self) -> &Arc<Lines> {
        &self.lines
    }

    /// Follows an ingest; `has_registers` says whether it brought registers.
    pub fn apply(&self, id: MeterId, has_registers: bool, stored: &Stored) {
        let mut meters = self.write();
        let Some(meter) = meters.get_mut(&id) else {
            return;
        };
        let was_failing = meter.state.failing.map(|failing| failing.reason);
        meter.state = stored.state.clone();
        if let Some(from) = stored.expected_from {
            meter.meter.expected_from = from;
        }
        if stored.period_s.is_some() {
            meter.meter.period_s = stored.period_s;
        }
        for count in &stored.counts {
            meter.days.set(count.day, count.received);
        }
        for event in &stored.events {
            meter.note(*event);
        }
        let failing = meter.state.failing.map(|failing| failing.reason);
        let changed = stored.added > 0
            || stored.changed > 0
            || !stored.events.is_empty()
            || has_registers
            || was_failing != failing;
        drop(meters);
        self.hub.send(Change::Row(id));
        if changed {
            self.hub.send(Change::Meter(id));
        }
    }

    /// Takes events that were noticed without an association with the meter.
    pub(crate) fn tell(&self, events: &[(MeterId, Event)]) {
        let mut meters = self.write();
        for (id, event) in events {
            if let Some(meter) = meters.get_mut(id) {
                meter.note(*event);
            }
        }
        drop(meters);
        for (id, _) in events {
            self.hub.send(Change::Row(*id));
            self.hub.send(Change::Meter(*id));
        }
    }

    /// Takes a power value that is shown live and not stored.
    pub fn apply_power(&self, meter: MeterId, watts: i64, at: Timestamp) {
        if let Some(meter) = self.write().get_mut(&meter) {
            meter.state.power = Some((watts, at));
        }
    }

    /// Returns the calendar of the site.
    pub const fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// Returns the hub that tells of changes.
    pub const fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Returns a meter, and the ids before and after it.
    pub fn meter(&self, id: MeterId) -> Option<(FleetMeter, Option<MeterId>, Option<MeterId>)> {
        let meters = self.read();
        let meter = meters.get(&id)?.clone();
        let previous = meters.range(..id).next_back().map(|(id, _)| *id);
        let next = meters.range(id..).nth(1).map(|(id, _)| *id);
        Some((meter, previous, next))
    }

    /// Returns the number of meters.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Says whether there are no meters.
    pub fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    /// Returns the second up to which intervals are due: what ended before it should be here.
    pub fn due_until(&self, now: Timestamp) -> i64 {
        now.secs() - self.rules.grace_s
    }

    /// Runs `look` over all meters in ascending order of their ids.
    pub fn with_meters<T>(&self, look: impl FnOnce(&BTreeMap<MeterId, FleetMeter>) -> T) -> T {
        look(&self.read())
    }

    /// Prepares what judging meters at one moment needs.
    pub fn judge(&self, now: Timestamp) -> Judge {
        Judge {
            now,
            rules: self.rules,
            slots: Slots::new(&self.calendar, now, self.rules.grace_s),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<MeterId, FleetMeter>> {
        self.meters.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<MeterId, FleetMeter>> {
        self.meters.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FleetMeter {
    fn new(meter: Meter, state: MeterState, today: Day) -> Self {
        let enrolment = &meter.enrolment;
        let title = enrolment.system_title.map(|title| title.to_string());
        let parts = [
            enrolment.name.as_str(),
            enrolment.place.as_str(),
            title.as_deref().unwrap_or_default(),
        ];
        Self {
            search: parts.join("\n").to_lowercase(),
            days: DayCounts::new(today),
            alarms: BTreeMap::new(),
            meter,
            state,
        }
    }

    /// Says whether name, place or system title contain a text in lower case.
    pub fn matches(&self, text: &str) -> bool {
        self.search.contains(text)
    }

    /// Returns the alarms that nothing closed yet, worst first, newest first among equals.
    pub fn alarms(&self, now: Timestamp) -> Vec<Alarm> {
        let mut alarms: Vec<Alarm> = self
            .alarms
            .iter()
            .filter_map(|((code, _), since)| {
                let known = KnownEvent::of(*code)?;
                let lasts = !health::closed_by(known.kind).is_empty();
                let fresh = now.millis_since(*since) < MOMENTARY_S * 1_000;
                (lasts || fresh).then_some(Alarm {
                    known,
                    since: *since,
                })
            })
            .collect();
        alarms.sort_by_key(|alarm| {
            (
                std::cmp::Reverse(alarm.known.severity),
                -alarm.since.millis(),
            )
        });
        alarms
    }

    fn note(&mut self, event: Event) {
        let Some(known) = KnownEvent::of(event.code) else {
            return;
        };
        let told = matches!(event.source, EventSource::Concentrator { .. });
        if known.severity >= Severity::Warning {
            let since = self.alarms.entry((event.code, told)).or_insert(event.at);
            *since = (*since).max(event.at);
        }
        self.alarms.retain(|(code, was_told), since| {
            let opened = KnownEvent::of(*code).map(|opened| opened.kind);
            let closes =
                opened.is_some_and(|opened| health::closed_by(opened).contains(&known.kind));
            !(closes && *since <= event.at && (*was_told || !told))
        });
    }
}

/// Judges meters at one moment.
#[derive(Clone, Debug)]
pub struct Judge {
    now: Timestamp,
    rules: Rules,
    slots: Slots,
}
