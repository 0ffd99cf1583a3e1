//! The load profile: amounts of energy in steps, and what is missing.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use dlms::cosem::Obis;
use model::{IntervalStatus, MeterId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::{ApiError, ErrorBody};
use super::guard::Params;
use super::meter::{meter_id, time};
use crate::calendar::{Calendar, rfc3339};
use crate::power::scaled;
use crate::store::{Channel, Conflict, Gap, ProfileSlice};

/// Which span, in which steps.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ProfileQuery {
    /// The beginning; the beginning of the site's day where it is not said.
    #[param(format = DateTime)]
    from: Option<String>,
    /// The end; the end of the site's day where it is not said.
    #[param(format = DateTime)]
    to: Option<String>,
    step: Step,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
enum Step {
    /// As the meter captures; at most 40 days.
    #[default]
    #[serde(rename = "15m")]
    Captured,
    /// Hours; at most 100 days.
    #[serde(rename = "1h")]
    Hour,
    /// Days of the site; at most 800 days.
    #[serde(rename = "1d")]
    Day,
}

impl Step {
    const fn days_max(self) -> i64 {
        match self {
            Self::Captured => 40,
            Self::Hour => 100,
            Self::Day => 800,
        }
    }
}

/// A load profile.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Profile {
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    to: String,
    /// The length of a step; of days the usual one.
    step_s: u32,
    #[schema(format = DateTime)]
    now: String,
    channels: Vec<ProfileChannel>,
    /// Intervals that exist, or are missing and due; what is not yet due is absent.
    intervals: Vec<ProfileInterval>,
    gaps: Vec<ProfileGap>,
    /// Readings that a concentrator tells otherwise than those that are shown.
    conflicts: Vec<ProfileConflict>,
}

/// What a column is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProfileChannel {
    /// The name of the field in each interval.
    key: &'static str,
    #[schema(example = "1-0:1.8.0")]
    obis: String,
    name: &'static str,
    unit: &'static str,
}

/// One step.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProfileInterval {
    /// The beginning.
    #[schema(format = DateTime)]
    t: String,
    /// Energy drawn; null where it is not known.
    import_wh: Option<i64>,
    /// Energy delivered; null where it is not known.
    export_wh: Option<i64>,
    /// What meter and head end say about the quality.
    status: Vec<&'static str>,
    /// Who read it: direct, or concentrator where one read any of it on its own, not protected
    /// from the meter on.
    source: &'static str,
    /// The concentrator's name.
    via: Option<String>,
}

/// What a concentrator tells otherwise than what is stored, which stays.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProfileConflict {
    /// The beginning of the interval.
    #[schema(format = DateTime)]
    t: String,
    /// The concentrator's name.
    via: String,
    #[schema(format = DateTime)]
    found: String,
}

/// A hole.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProfileGap {
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    to: String,
    intervals: u32,
    /// False where the meter was asked and does not have it; null where it was not asked yet.
    held_by_meter: Option<bool>,
}

/// The load profile of a meter.
#[utoipa::path(get, path = "/api/v1/meters/{id}/profile", tag = "meter",
    params(("id" = String, Path, description = "The registry id"), ProfileQuery),
    responses(
        (status = 200, description = "The profile", body = Profile),
        (status = 400, description = "Not understood, or too long a span", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
    ))]
pub(super) async fn profile(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Params(query): Params<ProfileQuery>,
) -> Result<Json<Profile>, ApiError> {
    let id = meter_id(&id)?;
    app.blocking(move |app| {
        let series = Series::read(app, id, &query)?;
        Ok(Json(series.into_profile(app.clock.now())))
    })
    .await
}

/// The load profile of a meter as comma-separated values.
#[utoipa::path(get, path = "/api/v1/meters/{id}/profile.csv", tag = "meter",
    params(("id" = String, Path, description = "The registry id"), ProfileQuery),
    responses(
        (status = 200, description = "The profile", content_type = "text/csv", body = String),
        (status = 400, description = "Not understood, or too long a span", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
    ))]
pub(super) async fn profile_csv(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Params(query): Params<ProfileQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let id = meter_id(&id)?;
    let (name, text) = app
        .blocking(move |app| {
            let (meter, ..) = app.fleet.meter(id).ok_or(ApiError::NoSuchMeter)?;
            let series = Series::read(app, id, &query)?;
            let name = meter.meter.enrolment.name;
            Ok((name, series.to_csv(app.fleet.calendar())))
        })
        .await?;
    // A logical device name is printable ASCII; what a header could not hold is left out.
    let safe: String = name
        .as_str()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let disposition = format!("attachment; filename=\"{safe}.csv\"");
    Ok((
        [
            (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
            (header::CONTENT_DISPOSITION, disposition),
        ],
        text,
    ))
}

/// A profile cut into steps.
struct Series {
    range: Range<i64>,
    step_s: u32,
    channels: [Option<Obis>; 2],
    points: Vec<Point>,
    gaps: Vec<Gap>,
    conflicts: Vec<Conflict>,
    names: BTreeMap<MeterId, String>,
}

struct Point {
    range: Range<i64>,
    amounts: [Option<i64>; 2],
    status: Vec<&'static str>,
    via: Option<MeterId>,
}

/// Rows by the second at which their interval ends.
struct Captured<'a> {
    rows: BTreeMap<i64, Columns<'a>>,
}

type Columns<'a> = (
    &'a [Channel],
    &'a [Option<i64>],
    IntervalStatus,
    Option<MeterId>,
);

/// Unit 30: watt hour (IEC 62056-6-2, table of units).
const WATT_HOUR: u8 = 30;

impl Series {
    fn read(app: &App, id: MeterId, query: &ProfileQuery) -> Result<Self, ApiError> {
        let (meter, ..) = app.fleet.meter(id).ok_or(ApiError::NoSuchMeter)?;
        let calendar = app.fleet.calendar();
        let now = app.clock.now();
        let today = calendar.bounds(calendar.day_of(now.secs()));
        let bound = |text: &Option<String>, default| {
            let at = text.as_deref().map(time).transpose()?;
            Ok::<_, ApiError>(at.map_or(default, Timestamp::secs))
        };
        let range = bound(&query.from, today.start)?..bound(&query.to, today.end)?;
        let days_max = query.step.days_max();
        // An hour more than the days: one of them may have 25.
        if range.is_empty() || range.end - range.start > days_max * 86_400 + 3_600 {
            return Err(ApiError::BadRequest(format!(
                "The span must not be empty, and in these steps at most {days_max} days long."
            )));
        }
        let object = meter.meter.enrolment.load_profile;
        let period = i64::from(meter.meter.period_s.unwrap_or(900).max(1));
        let due = app.fleet.due_until(now);
        // One row before the span: where the registers stood at its beginning.
        let wide = range.start - period.max(3_600)..range.end;
        let slices = app.store.rows(id, object, wide)?;
        let gaps = app
            .store
            .gaps(id, object, range.start..range.end.min(due.max(range.start)))?;
        let conflicts = app.store.conflicts(id, object, range.clone())?;
        let told = !conflicts.is_empty() || slices.iter().any(|slice| !slice.via.is_empty());
        let names = if told {
            concentrators(app)?
        } else {
            BTreeMap::new()
        };
        let captured = Captured::of(&slices);
        let steps = steps(calendar, query.step, period, &range);
        let expected_from = meter.meter.expected_from.secs();
        let points = steps
            .into_iter()
            .filter(|step| step.end > expected_from)
            .filter_map(|step| captured.point(step, period, due))
            .collect();
        Ok(Self {
            step_s: match query.step {
                Step::Captured => u32::try_from(period).unwrap_or(900),
                Step::Hour => 3_600,
                Step::Day => 86_400,
            },
            channels: [1, 2].map(|c| captured.channel(c)),
            range,
            points,
            gaps,
            conflicts,
            names,
        })
    }

    fn name(&self, concentrator: MeterId) -> String {
        let name = self.names.get(&concentrator);
        name.cloned().unwrap_or_else(|| concentrator.to_string())
    }

    fn into_profile(self, now: Timestamp) -> Profile {
        let secs = |secs| rfc3339(Timestamp::from_secs(secs));
        let via: Vec<_> = self
            .points
            .iter()
            .map(|point| point.via.map(|by| self.name(by)))
            .collect();
        let conflicts = self.conflicts.iter().map(|conflict| ProfileConflict {
            t: rfc3339(conflict.row.start),
            via: self.name(conflict.concentrator),
            found: rfc3339(conflict.found),
        });
        let conflicts = conflicts.collect();
        let [import, export] = self.channels;
        let channel = |key, name, object: Option<Obis>, default| ProfileChannel {
            key,
            obis: object.unwrap_or(default).to_string(),
            name,
            unit: "Wh",
        };
        Profile {
            from: secs(self.range.start),
            to: secs(self.range.end),
            step_s: self.step_s,
            now: rfc3339(now),
            channels: vec![
                channel(
                    "import_wh",
                    "Energy used",
                    import,
                    Obis::new(1, 0, 1, 8, 0, 255),
                ),
                channel(
                    "export_wh",
                    "Energy delivered",
                    export,
                    Obis::new(1, 0, 2, 8, 0, 255),
                ),
            ],
            intervals: self
                .points
                .into_iter()
                .zip(via)
                .map(|(point, via)| {
                    let [import_wh, export_wh] = point.amounts;
                    ProfileInterval {
                        t: secs(point.range.start),
                        import_wh,
                        export_wh,
                        status: point.status,
                        source: source(via.is_some()),
                        via,
                    }
                })
                .collect(),
            conflicts,
            gaps: self
                .gaps
                .into_iter()
                .map(|gap| ProfileGap {
                    from: secs(gap.range.start),
                    to: secs(gap.range.end),
                    intervals: gap.intervals,
                    held_by_meter: gap.refused.map(|_| false),
                })
                .collect(),
        }
    }

    fn to_csv(&self, calendar: &Calendar) -> String {
        let mut text =
            String::from("start_utc,start_local,end_utc,import_wh,export_wh,quality,source\r\n");
        for point in &self.points {
            let start = point.range.start;
            let number = |amount: Option<i64>| amount.map_or_else(String::new, |n| n.to_string());
            let [import, export] = point.amounts.map(number);
            text.push_str(&format!(
                "{},{},{},{import},{export},{},{}\r\n",
                rfc3339(Timestamp::from_secs(start)),
                local(calendar, start),
                rfc3339(Timestamp::from_secs(point.range.end)),
                point.status.join(" "),
                source(point.via.is_some()),
            ));
        }
        text
    }
}

/// Says who read something.
const fn source(via: bool) -> &'static str {
    if via { "concentrator" } else { "direct" }
}

/// The names of all concentrators of the registry.
pub(super) fn concentrators(app: &App) -> Result<BTreeMap<MeterId, String>, ApiError> {
    let all = app.store.concentrators()?.into_iter();
    Ok(all
        .map(|it| (it.id, it.enrolment.name.as_str().to_owned()))
        .collect())
}

/// Local time with its offset: 2026-11-21T13:00:00+01:00.
fn local(calendar: &Calendar, secs: i64) -> String {
    let offset = calendar.offset_s(secs);
    let wall = rfc3339(Timestamp::from_secs(secs + i64::from(offset)));
    let sign = if offset < 0 { '-' } else { '+' };
    let minutes = offset.unsigned_abs() / 60;
    let wall = wall.trim_end_matches('Z');
    format!("{wall}{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Cuts a span into steps; days and hours are the site's.
fn steps(calendar: &Calendar, step: Step, period: i64, range: &Range<i64>) -> Vec<Range<i64>> {
    let mut steps = Vec::new();
    let mut day = calendar.day_of(range.start);
    loop {
        let bounds = calendar.bounds(day);
        if bounds.start >= range.end {
            return steps;
        }
        let length = match step {
            Step::Captured => period,
            Step::Hour => 3_600_i64.max(period),
            Step::Day => bounds.end - bounds.start,
        };
        let length = length.clamp(60, bounds.end - bounds.start);
        let mut start = bounds.start;
        while start < bounds.end {
            let end = (start + length).min(bounds.end);
            if start >= range.start && end <= range.end {
                steps.push(start..end);
            }
            start = end;
        }
        day = day.plus(1);
    }
}

impl<'a> Captured<'a> {
    fn of(slices: &'a [ProfileSlice]) -> Self {
        let mut rows = BTreeMap::new();
        for slice in slices {
            for row in &slice.rows {
                let columns = (
                    slice.layout.channels.as_slice(),
                    row.values.as_slice(),
                    row.status,
                    slice.via.get(&row.start.secs()).copied(),
                );
                rows.insert(row.captured().secs(), columns);
            }
        }
        Self { rows }
    }

    /// The object that tells energy drawn (value group C 1) or delivered (2), in watt hours.
    fn channel(&self, c: u8) -> Option<Obis> {
        let (channels, ..) = self.rows.values().next_back()?;
        let mut channels = channels.iter();
        channels
            .find(|channel| tells(channel, c))
            .map(|channel| channel.object)
    }

    /// One step, or `None` where it is neither here nor due.
    fn point(&self, step: Range<i64>, period: i64, due: i64) -> Option<Point> {
        let inside = self.rows.range(step.start + 1..=step.end);
        let rows = inside.clone().count();
        let is_due = step.end <= due;
        if rows == 0 && !is_due && step.start + period > due {
            return None;
        }
        let mut flags = IntervalStatus::default();
        for (_, (.., status, _)) in inside {
            flags = flags.union(*status);
        }
        // What a step added rests on the row before it as well.
        let mut rests_on = self.rows.range(step.start..=step.end);
        let via = rests_on.find_map(|(_, (.., via))| *via);
        let mut status: Vec<&'static str> = flags.names().collect();
        let amounts = [1, 2].map(|c| self.amount(c, &step, &mut status));
        let slots = usize::try_from((step.end - step.start) / period.max(1)).unwrap_or(0);
        if slots > 1 && rows < slots {
            status.push(if is_due { "gap" } else { "incomplete" });
        }
        status.dedup();
        Some(Point {
            range: step,
            amounts,
            status,
            via,
        })
    }

    /// What a step added. A running total tells it by its states at both ends, whatever is
    /// missing between; a step still under way counts to its newest row.
    fn amount(&self, c: u8, step: &Range<i64>, status: &mut Vec<&'static str>) -> Option<i64> {
        let (last_at, _) = self.rows.range(step.start + 1..=step.end).next_back()?;
        let (end, running) = self.value(c, *last_at)?;
        if !running {
            let mut sum = 0_i64;
            for (at, _) in self.rows.range(step.start + 1..=step.end) {
                sum = sum.checked_add(self.value(c, *at)?.0)?;
            }
            return Some(sum);
        }
        let Some((start, _)) = self.value(c, step.start) else {
            push(status, "start_missing");
            return None;
        };
        let amount = end.checked_sub(start)?;
        if amount < 0 {
            push(status, "register_went_back");
            return None;
        }
        Some(amount)
    }

    /// A value in watt hours, and whether it is a running total.
    fn value(&self, c: u8, at: i64) -> Option<(i64, bool)> {
        let (channels, values, ..) = self.rows.get(&at)?;
        let columns = channels.iter().zip(values.iter());
        let (channel, value) = columns.into_iter().find(|(channel, _)| tells(channel, c))?;
        let value = scaled((*value)?, channel.scaler)?;
        Some((value, channel.is_running_total()))
    }
}

fn push(status: &mut Vec<&'static str>, word: &'static str) {
    if !status.contains(&word) {
        status.push(word);
    }
}

/// Says whether a column is the total energy drawn (1) or delivered (2) in watt hours: value
/// group D 8 (running total), 9 or 29 (of one interval), E 0.
fn tells(channel: &Channel, c: u8) -> bool {
    let [a, _, group_c, d, e, _] = channel.object.0;
    let total = e == 0 && matches!(d, 8 | 9 | 29);
    a == 1 && group_c == c && total && channel.attribute == 2 && channel.unit == WATT_HOUR
}
