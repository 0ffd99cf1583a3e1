//! The fleet's figures.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::extract::State;
use model::{LogicalDeviceName, MeterId, Severity, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::error::{ApiError, ErrorBody};
use crate::calendar::rfc3339;
use crate::fleet::{Alarm, FleetMeter, HealthKind, Judge};

/// The fleet at a glance.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct FleetView {
    /// When these figures were taken.
    #[schema(format = DateTime)]
    as_of: String,
    /// Meters in the registry.
    meters: usize,
    read_today: Counts,
    read_30d: MonthCounts,
    /// The part of the intervals that must be there, in thousandths.
    target_permille: u16,
    /// Meters whose newest interval is too old.
    late: usize,
    /// Meters that do not answer.
    silent: usize,
    /// Alarms that nothing closed yet.
    alarms_open: usize,
    /// Those of them that are critical.
    alarms_critical: usize,
    /// Meters that are due and wait.
    queue: usize,
    /// Meter days collected a second, over the last ten seconds.
    meter_days_per_s: Option<f64>,
    /// The last 30 days, oldest first; the last one is today.
    days: Vec<DayCounts>,
    /// What a person should look at, at most three.
    needs: Vec<Need>,
    /// All feeders in order.
    feeders: Vec<String>,
}

/// Intervals received and expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Counts {
    received: u64,
    expected: u64,
}

/// Intervals of the last 30 days.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct MonthCounts {
    received: u64,
    expected: u64,
    /// Days with fewer intervals than the target.
    days_under_target: usize,
}

/// Intervals of one day.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DayCounts {
    /// The civil day of the site.
    #[schema(format = Date)]
    date: String,
    received: u64,
    expected: u64,
}

/// Something a person should look at.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Need {
    /// One of crit, warn, pend, miss, off.
    state: &'static str,
    title: String,
    detail: String,
    #[schema(format = DateTime)]
    since: String,
    href: String,
}

/// The part of the figures that the event stream sends.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct FleetUpdate {
    #[schema(format = DateTime)]
    as_of: String,
    read_today: Counts,
    late: usize,
    silent: usize,
    queue: usize,
    meter_days_per_s: Option<f64>,
    alarms_open: usize,
}

impl FleetUpdate {
    /// Says whether two say the same, whenever they were taken.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        let same_time = Self {
            as_of: other.as_of.clone(),
            ..self.clone()
        };
        same_time == *other
    }
}

/// The fleet's figures.
#[utoipa::path(get, path = "/api/v1/fleet", tag = "fleet",
    responses(
        (status = 200, description = "The fleet", body = FleetView),
        (status = 401, description = "Not signed in", body = ErrorBody),
    ))]
pub(super) async fn fleet(State(app): State<Arc<App>>) -> Result<Json<FleetView>, ApiError> {
    app.blocking(|app| Ok(Json(FleetView::clone(&app.fleet_view()))))
        .await
}

/// The last figures, so that many pages cost no more than one.
#[derive(Debug, Default)]
pub(crate) struct SummaryCache {
    view: Option<(Timestamp, Arc<FleetView>)>,
    /// Rows collected up to a time, newest last.
    rows: Vec<(Timestamp, u64)>,
}

/// Figures are this old at most.
const FRESH_MS: i64 = 1_000;
const RATE_MS: i64 = 10_000;
/// Intervals of 15 minutes in a day: the unit of "meter days".
const DAY_INTERVALS: f64 = 96.0;

impl App {
    pub(super) fn fleet_view(&self) -> Arc<FleetView> {
        let now = self.clock.now();
        let mut cache = self.summary.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, view)) = &cache.view
            && (0..FRESH_MS).contains(&now.millis_since(*at))
        {
            return Arc::clone(view);
        }
        let rate = cache.rate(now, self.collector.rows());
        let view = Arc::new(self.take_view(now, rate));
        cache.view = Some((now, Arc::clone(&view)));
        view
    }

    pub(super) fn fleet_update(&self) -> FleetUpdate {
        let view = self.fleet_view();
        FleetUpdate {
            as_of: view.as_of.clone(),
            read_today: view.read_today,
            late: view.late,
            silent: view.silent,
            queue: view.queue,
            meter_days_per_s: view.meter_days_per_s,
            alarms_open: view.alarms_open,
        }
    }

    fn take_view(&self, now: Timestamp, rate: Option<f64>) -> FleetView {
        let judge = self.fleet.judge(now);
        let target = u64::from(self.config.target_permille);
        let tally = self.fleet.with_meters(|meters| {
            let mut tally = Tally::new(&judge);
            for meter in meters.values() {
                tally.add(&judge, meter, now);
            }
            tally
        });
        let days: Vec<DayCounts> = tally
            .days
            .iter()
            .map(|(date, counts)| DayCounts {
                date: date.clone(),
                received: counts.received,
                expected: counts.expected,
            })
            .collect();
        let under = |day: &&DayCounts| day.received * 1_000 < day.expected * target;
        // What a disk does not tell is not there; whoever asks for it is told why.
        let outage = self.outage_need().unwrap_or_default();
        FleetView {
            as_of: rfc3339(now),
            meters: tally.meters,
            read_today: tally.days.last().map_or_else(Counts::default, |day| day.1),
            read_30d: MonthCounts {
                received: days.iter().map(|day| day.received).sum(),
                expected: days.iter().map(|day| day.expected).sum(),
                days_under_target: days.iter().filter(under).count(),
            },
            target_permille: self.config.target_permille,
            late: tally.late.count,
            silent: tally.silent.count,
            alarms_open: tally.alarms_open,
            alarms_critical: tally.alarms_critical,
            queue: self.collector.queued(),
            meter_days_per_s: rate,
            days,
            needs: tally.needs(outage),
            feeders: tally.feeders.into_iter().collect(),
        }
    }
}

impl Need {
    /// One line for all meters that are out behind a concentrator.
    pub(super) fn outage(
        meters: usize,
        name: &LogicalDeviceName,
        since: Timestamp,
        id: MeterId,
    ) -> Self {
        Self {
            state: "off",
            title: format!("{meters} meters are out"),
            detail: format!("Behind {name}"),
            since: rfc3339(since),
            href: format!("/concentrators/{id}"),
        }
    }
}

impl SummaryCache {
    fn rate(&mut self, now: Timestamp, rows: u64) -> Option<f64> {
        self.rows
            .retain(|(at, _)| (0..=RATE_MS).contains(&now.millis_since(*at)));
        self.rows.push((now, rows));
        let (first_at, first_rows) = *self.rows.first()?;
        let millis = u32::try_from(now.millis_since(first_at)).ok()?;
        let rows = u32::try_from(rows.saturating_sub(first_rows)).ok()?;
        if millis == 0 {
            return None;
        }
        let rate = f64::from(rows) * 1_000.0 / f64::from(millis) / DAY_INTERVALS;
        Some((rate * 10.0).round() / 10.0)
    }
}

struct Tally {
    meters: usize,
    days: Vec<(String, Counts)>,
    late: Group,
    silent: Group,
    gaps: Group,
    alarms_open: usize,
    alarms_critical: usize,
    alarms: Group,
    alarm: Option<Alarm>,
    feeders: BTreeSet<String>,
}

/// Meters of one kind, and the one for which it began first.
#[derive(Default)]
struct Group {
    count: usize,
    first: Option<(Timestamp, MeterId, String)>,
}

impl Group {
    fn add(&mut self, since: Timestamp, meter: &FleetMeter) {
        self.count += 1;
        let is_first = self.first.as_ref().is_none_or(|(first, ..)| since < *first);
        if is_first {
            self.first = Some((since, meter.meter.id, place_or_name(meter)));
        }
    }

    fn need(&self, state: &'static str, one: &str, many: &str, filter: &str) -> Option<Need> {
        let (since, id, place) = self.first.as_ref()?;
        let (title, detail, href) = if self.count == 1 {
            (one.to_owned(), place.clone(), format!("/meters/{id}"))
        } else {
            (
                format!("{} meters {many}", self.count),
                format!("First: {place}"),
                format!("/fleet?state={filter}"),
            )
        };
        Some(Need {
            state,
            title,
            detail,
            since: rfc3339(*since),
            href,
        })
    }
}

impl Tally {
    fn new(judge: &Judge) -> Self {
        Self {
            meters: 0,
            days: judge
                .days()
                .map(|day| (day.to_string(), Counts::default()))
                .collect(),
            late: Group::default(),
            silent: Group::default(),
            gaps: Group::default(),
            alarms_open: 0,
            alarms_critical: 0,
            alarms: Group::default(),
            alarm: None,
            feeders: BTreeSet::new(),
        }
    }

    fn add(&mut self, judge: &Judge, meter: &FleetMeter, now: Timestamp) {
        self.meters += 1;
        for ((_, counts), figure) in self.days.iter_mut().zip(judge.figures(meter)) {
            // A row that is early does not make up for one that is missing.
            counts.received += u64::from(figure.received.min(figure.expected));
            counts.expected += u64::from(figure.expected);
        }
        if let Some(feeder) = &meter.meter.enrolment.feeder
            && !self.feeders.contains(feeder.as_str())
        {
            self.feeders.insert(feeder.as_str().to_owned());
        }
        for alarm in meter.alarms(now) {
            self.alarms_open += 1;
            if alarm.known.severity == Severity::Critical {
                self.alarms_critical += 1;
                self.alarms.add(alarm.since, meter);
                self.alarm = Some(alarm);
            }
        }
        let newest = meter.state.newest.unwrap_or(meter.meter.enrolled);
        let kind = judge.health(meter).kind;
        if let Some(since) = judge.silent_since(meter) {
            self.silent.add(since, meter);
        } else if kind == HealthKind::Late {
            self.late.add(newest, meter);
        } else if kind == HealthKind::Gap {
            self.gaps.add(newest, meter);
        }
    }

    fn needs(&self, outage: Option<Need>) -> Vec<Need> {
        let alarm = self.alarm.map_or("Alarm", |alarm| alarm.known.title);
        [
            self.alarms
                .need("crit", alarm, "with a critical alarm", "alarms"),
            outage,
            self.silent
                .need("off", "A meter does not answer", "do not answer", "silent"),
            self.late
                .need("warn", "A meter is late", "are late", "late"),
            self.gaps
                .need("miss", "A meter has a gap", "have gaps", "gap"),
        ]
        .into_iter()
        .flatten()
        .take(3)
        .collect()
    }
}

fn place_or_name(meter: &FleetMeter) -> String {
    let enrolment = &meter.meter.enrolment;
    match enrolment.place.as_str() {
        "" => enrolment.name.to_string(),
        place => place.to_owned(),
    }
}
