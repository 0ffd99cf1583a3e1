//! From the cache to history: looks at each change, counts readings, notes
//! times without any, and keeps both.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use link::Clock;
use model::Timestamp;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::cache::{BELIEVED_MS, Snapshot, Tagged};
use crate::calendar::Calendar;
use crate::history::{History, HistoryError, Minute};
use crate::remember;
use crate::shared::Shared;

/// What was read, for those who look back: the last minutes in memory, and
/// history where it is kept.
#[derive(Debug)]
pub struct Record {
    history: Option<History>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    recent: VecDeque<(Timestamp, i64)>,
    recent_gaps: VecDeque<(Timestamp, Timestamp)>,
    /// When the last reading was received.
    last: Option<Timestamp>,
    /// When the registers at hand were received.
    register: Option<Timestamp>,
    /// Spans between the last readings.
    spans: VecDeque<i64>,
    /// What came since it was kept last, by the begin of the minute.
    minutes: BTreeMap<i64, Minute>,
    /// What could not be kept.
    waiting: Vec<Minute>,
    gaps: Vec<(Timestamp, Timestamp)>,
    interval_ms: Option<i64>,
}

/// How far back readings are held in memory.
const RECENT_S: i64 = 20 * 60;

/// And how many at most.
const RECENT_MAX: usize = 2_400;

/// Times without readings that are held in memory.
const RECENT_GAPS_MAX: usize = 200;

/// Minutes and gaps that wait to be kept, at most: those of a disk that failed
/// for half a day. The oldest are given up.
const WAITING_MAX: usize = 720;

/// Before this the gateway's clock is not set: 2025-01-01T00:00:00Z.
const UNSET: Timestamp = Timestamp::from_secs(1_735_689_600);

/// Spans by which the pace of a meter that tells by itself is known.
const SPANS: usize = 9;

/// The shortest time without readings of such a meter that counts.
const PUSH_GAP_MIN_MS: i64 = 30_000;

impl Record {
    /// Goes on with `history` where it is kept. `interval_s` is the time
    /// between polls; nothing where the meter tells by itself.
    ///
    /// # Errors
    /// [`HistoryError`] where the last reading cannot be found out.
    pub fn new(history: Option<History>, interval_s: Option<u32>) -> Result<Self, HistoryError> {
        let last = match &history {
            Some(history) => history.last()?,
            None => None,
        };
        Ok(Self {
            history,
            state: Mutex::new(State {
                recent: VecDeque::new(),
                recent_gaps: VecDeque::new(),
                last,
                register: None,
                spans: VecDeque::new(),
                minutes: BTreeMap::new(),
                waiting: Vec::new(),
                gaps: Vec::new(),
                interval_ms: interval_s.map(|interval_s| i64::from(interval_s) * 1_000),
            }),
        })
    }

    /// The history, where it is kept.
    #[must_use]
    pub const fn history(&self) -> Option<&History> {
        self.history.as_ref()
    }

    /// Power as it was read, from `from` to `to`, of the last minutes.
    #[must_use]
    pub fn recent(&self, from: Timestamp, to: Timestamp) -> Vec<(Timestamp, i64)> {
        let state = self.lock();
        let within = state
            .recent
            .iter()
            .filter(|(at, _)| *at >= from && *at < to);
        within.copied().collect()
    }

    /// Times without readings of the last minutes.
    #[must_use]
    pub fn recent_gaps(&self, from: Timestamp, to: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let state = self.lock();
        let within = state
            .recent_gaps
            .iter()
            .filter(|(begin, end)| *end > from && *begin < to);
        within.copied().collect()
    }

    /// When the last reading was received, and after how long without another
    /// one that counts as missing.
    #[must_use]
    pub fn last(&self) -> (Option<Timestamp>, i64) {
        let state = self.lock();
        (state.last, state.gap_ms())
    }

    /// Looks at the cache after a change.
    pub fn take(&self, snapshot: &Snapshot) {
        let reading = snapshot.net_power.or(snapshot.delivered);
        let Some(received) = reading.map(|reading| reading.received) else {
            return;
        };
        let mut state = self.lock();
        if let Some(delivered) = snapshot.delivered
            && self.history.is_some()
            && delivered.received >= UNSET
            && state.register != Some(delivered.received)
        {
            state.register = Some(delivered.received);
            state.registers(delivered, snapshot.received);
        }
        if received < UNSET || state.last.is_some_and(|last| received <= last) {
            // Nothing new, or a clock that is not set or was put back: then
            // the last reading counts until the clock is past it, and a clock
            // that was wrong by more than a day is forgotten.
            let back = state.last.map_or(0, |last| last.millis_since(received));
            if back > 86_400_000 {
                state.last = None;
            }
            return;
        }
        if let Some(last) = state.last {
            let span = received.millis_since(last);
            if span > state.gap_ms() {
                if self.history.is_some() {
                    state.gaps.push((last, received));
                }
                state.recent_gaps.push_back((last, received));
                if state.recent_gaps.len() > RECENT_GAPS_MAX {
                    state.recent_gaps.pop_front();
                }
            }
            state.spans.push_back(span);
            if state.spans.len() > SPANS {
                state.spans.pop_front();
            }
        }
        state.last = Some(received);
        if self.history.is_some() {
            state.count(received);
            if let Some(power) = snapshot.net_power.filter(|it| it.received == received) {
                state.power(power);
            }
        }
        if let Some(power) = snapshot.net_power.filter(|it| it.received == received) {
            let at = believed(power);
            if state.recent.back().is_none_or(|(last, _)| *last < at) {
                state.recent.push_back((at, whole(power)));
            }
        }
        while state.recent.len() > RECENT_MAX
            || state
                .recent
                .front()
                .is_some_and(|(at, _)| received.millis_since(*at) > RECENT_S * 1_000)
        {
            state.recent.pop_front();
        }
    }

    /// Keeps what waits; where that fails it goes on waiting.
    ///
    /// # Errors
    /// [`HistoryError`] says why.
    pub fn keep(&self, durably: bool) -> Result<(), HistoryError> {
        let Some(history) = &self.history else {
            return Ok(());
        };
        let (minutes, gaps) = {
            let mut state = self.lock();
            let mut minutes = std::mem::take(&mut state.waiting);
            minutes.extend(std::mem::take(&mut state.minutes).into_values());
            (minutes, std::mem::take(&mut state.gaps))
        };
        if minutes.is_empty() && gaps.is_empty() {
            return Ok(());
        }
        let kept = history.keep(&minutes, &gaps, durably);
        if kept.is_err() {
            let mut state = self.lock();
            let over = minutes.len().saturating_sub(WAITING_MAX);
            state.waiting = minutes.into_iter().skip(over).collect();
            // The older ones first, as they came.
            let later = std::mem::replace(&mut state.gaps, gaps);
            state.gaps.extend(later);
            let over = state.gaps.len().saturating_sub(WAITING_MAX);
            state.gaps.drain(..over);
        }
        kept
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// After how long without a reading one is missing: polls tell, and of a
    /// meter that tells by itself its pace.
    fn gap_ms(&self) -> i64 {
        if let Some(interval_ms) = self.interval_ms {
            return interval_ms * 3 / 2 + 1_000;
        }
        let mut spans: Vec<i64> = self.spans.iter().copied().collect();
        spans.sort_unstable();
        let median = spans.get(spans.len() / 2).copied().unwrap_or(0);
        (median.saturating_mul(5) / 2).max(PUSH_GAP_MIN_MS)
    }

    /// The minute that `at` lies in.
    fn minute(&mut self, at: Timestamp) -> &mut Minute {
        let start = at.secs().div_euclid(60) * 60;
        self.minutes.entry(start).or_insert_with(|| Minute {
            start,
            ..Minute::default()
        })
    }

    fn count(&mut self, received: Timestamp) {
        let minute = self.minute(received);
        minute.readings += 1;
        minute.last_ms = received.millis();
    }

    fn power(&mut self, power: Tagged) {
        let watts = whole(power);
        let minute = self.minute(believed(power));
        minute.powers += 1;
        minute.watts = minute.watts.saturating_add(watts);
        minute.watts_min = Some(minute.watts_min.map_or(watts, |least| least.min(watts)));
        minute.watts_max = Some(minute.watts_max.map_or(watts, |most| most.max(watts)));
        minute.last_ms = minute.last_ms.max(power.received.millis());
    }

    fn registers(&mut self, delivered: Tagged, received: Option<Tagged>) {
        let at = believed(delivered);
        let minute = self.minute(at);
        let into = at.millis().rem_euclid(60_000);
        minute.delivered = Some(delivered.thousandths);
        minute.received = received.map(|received| received.thousandths);
        minute.register_ms = u32::try_from(into).unwrap_or(0);
        minute.last_ms = minute.last_ms.max(delivered.received.millis());
    }
}

/// When a value held, by the meter where its clock is not far off.
fn believed(tagged: Tagged) -> Timestamp {
    let off = tagged.at.millis_since(tagged.received).saturating_abs();
    if off <= BELIEVED_MS {
        tagged.at
    } else {
        tagged.received
    }
}

/// Whole watts or watt hours, rounded.
#[must_use]
pub(crate) const fn whole(tagged: Tagged) -> i64 {
    round(tagged.thousandths)
}

/// Thousandths, rounded.
#[must_use]
pub(crate) const fn round(thousandths: i64) -> i64 {
    thousandths.saturating_add(if thousandths < 0 { -500 } else { 500 }) / 1_000
}

/// How often what waits is kept, so that it survives the process; each sixth
/// time so that it survives a power cut.
const KEPT_EVERY: Duration = Duration::from_secs(10);
const DURABLE_EVERY: u32 = 6;

/// Of those, how many lie between two times that the oldest gives way.
const PRUNED_EVERY: u32 = 360;

/// Where and how long is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// The folder of the registers' last state.
    pub folder: PathBuf,
    /// Months of history.
    pub months: u16,
}

/// Records until `stop` says so.
pub async fn run(
    record: Arc<Record>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    calendar: Calendar,
    keeping: Keeping,
    mut stop: watch::Receiver<bool>,
) {
    let mut changes = shared.changes();
    let mut ticks = interval(KEPT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tick: u32 = 0;
    let mut kept = None;
    loop {
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    break;
                }
                record.take(&shared.snapshot());
            }
            _ = ticks.tick() => {
                tick = tick.wrapping_add(1);
                let now = Timestamp::from_millis(clock.unix_millis());
                let oldest = calendar.month(now, -i64::from(keeping.months));
                let durably = tick.is_multiple_of(DURABLE_EVERY);
                let prune = tick % PRUNED_EVERY == 1 && now > UNSET;
                let snapshot = shared.snapshot();
                let registers = Some(snapshot.delivered).filter(|it| durably && *it != kept);
                if let Some(registers) = registers {
                    kept = registers;
                }
                let (record, folder) = (Arc::clone(&record), keeping.folder.clone());
                let work = move || {
                    record.keep(durably)?;
                    if registers.is_some() {
                        remembered(&folder, &snapshot);
                    }
                    match record.history().filter(|_| prune) {
                        Some(history) => history.prune(oldest),
                        None => Ok(()),
                    }
                };
                if let Ok(Err(error)) = tokio::task::spawn_blocking(work).await {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "history is not kept; it waits");
                }
            }
            _ = stop.changed() => break,
        }
    }
    if let Err(error) = record.keep(true) {
        tracing::warn!(%error, "the last minutes of history are not kept");
    }
    remembered(&keeping.folder, &shared.snapshot());
}

fn remembered(folder: &Path, snapshot: &Snapshot) {
    if snapshot.delivered.is_some()
        && let Err(error) = remember::keep(folder, snapshot)
    {
        tracing::warn!(%error, "where the registers stand is not kept");
    }
}
