//! What the page and other programs of the home are told, as JSON: version 1
//! of the API that `api.md` beside this crate's manifest describes.
//!
//! Energy is in watt hours, power in watts, times are RFC 3339 in UTC. What has
//! no value is `null`, and never zero.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who looks, and at what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The name of the place.
    #[schema(example = "At home")]
    pub name: String,
    /// The zone by which days begin and end.
    #[schema(example = "Europe/Zurich")]
    pub zone: String,
    /// The version of the gateway.
    pub version: String,
    /// The user's name.
    pub user: String,
    /// The present time.
    pub now: String,
    /// Whether history is kept.
    pub history: bool,
    /// The currency of costs, where a tariff is configured.
    pub currency: Option<String>,
}

/// A sign-in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The user's name.
    pub user: String,
    /// The password.
    #[schema(value_type = String)]
    pub password: zeroize::Zeroizing<String>,
}

/// All that the page shows beside graphs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The present time.
    pub now: String,
    /// Power now; null where the meter is silent: what is stale is not now.
    pub power: Option<Power>,
    /// The price now, where a tariff is configured.
    pub price: Option<Price>,
    /// The least power of today.
    pub lowest_today: Option<Extreme>,
    /// The greatest power of today.
    pub highest_today: Option<Extreme>,
    /// The meter.
    pub meter: Meter,
    /// The way to it.
    pub link: Link,
    /// What was counted since the start.
    pub counters: Counters,
    /// The meter's registers.
    pub registers: Registers,
    /// Today so far; null where history is off or nothing is known, as with
    /// the next ones.
    pub today: Option<Period>,
    /// Yesterday.
    pub yesterday: Option<Period>,
    /// This month so far.
    pub month: Option<Period>,
    /// The month before.
    pub last_month: Option<Period>,
    /// Readings of today.
    pub readings_today: Option<Readings>,
    /// Where readings of today are missing, the latest eight.
    pub missing_today: Vec<Gap>,
}

/// Power of a moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Power {
    /// From the grid less to the grid.
    pub w: i64,
    /// When it held.
    pub at: String,
    /// How far `at` may be off, in milliseconds either way.
    pub error_ms: u32,
    /// Whose time `at` is.
    pub basis: Basis,
    /// When it was received.
    pub received: String,
    /// What an hour at this power costs, where a tariff is configured and power
    /// comes from the grid.
    pub cost_per_hour: Option<f64>,
}

/// Whose time a value is tagged with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The meter told when it read itself.
    Meter,
    /// The meter told none: when it was received.
    Receipt,
}

/// A price.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// The name of the band.
    #[schema(example = "Day")]
    pub name: String,
    /// Of a kilowatt hour.
    pub per_kwh: f64,
    /// Its currency.
    #[schema(example = "CHF")]
    pub currency: String,
    /// Until when it holds; null where it does not change within a week.
    pub until: Option<String>,
}

/// The least or the greatest power.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Extreme {
    /// From the grid less to the grid.
    pub w: i64,
    /// In which minute.
    pub at: String,
}

/// The meter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Meter {
    /// Its number, where it tells one.
    pub id: Option<String>,
    /// Whether it answers.
    pub state: MeterState,
    /// When something of it was received last.
    pub last: Option<String>,
}

/// Whether the meter answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MeterState {
    /// Values come.
    Answers,
    /// Values came, and do not any more.
    Silent,
    /// Nothing came since the start.
    Unknown,
}

/// The way to the meter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Its kind.
    #[schema(example = "p1+tcp")]
    pub source: String,
    /// Whether it is open.
    pub open: bool,
    /// Since when it is open, or is not.
    pub since: String,
    /// Whether the meter tells by itself; else it is asked.
    pub pushes: bool,
    /// Seconds between two polls; null where the meter tells by itself.
    pub interval_s: Option<u32>,
    /// Why it is not open, and what to do.
    pub reason: Option<String>,
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Counters {
    /// Polls sent; messages read, where the meter tells by itself.
    pub total: u64,
    /// Of polls: without an answer in time. Of messages: unreadable ones.
    pub lost: u64,
    /// Answers that came after that.
    pub late: u64,
    /// Values left out because they were older than the one at hand.
    pub older: u64,
    /// Totals left out because they were smaller than the one at hand.
    pub shrunk: u64,
    /// Times that the way to the meter was lost.
    pub disconnections: u64,
}

/// The meter's registers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Registers {
    /// Energy from the grid.
    pub delivered: Option<Register>,
    /// Energy to the grid.
    pub received: Option<Register>,
}

/// One register.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// What it stands at.
    pub wh: i64,
    /// When it held.
    pub at: String,
    /// Whether it is older than power may be that counts as current.
    pub stale: bool,
}

/// A day or a month.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// When it begins; later where nothing was known then.
    pub from: String,
    /// When it ends; the latest reading where it is not over.
    pub to: String,
    /// Whether its begin and its end are those of the calendar, or it is under
    /// way and complete so far.
    pub complete: bool,
    /// Energy from the grid.
    pub delivered_wh: Option<i64>,
    /// Energy to the grid.
    pub received_wh: Option<i64>,
    /// Of a period that is over: energy from the grid by the same time of day,
    /// or day and time of month, as now.
    pub delivered_by_now_wh: Option<i64>,
    /// What it cost, where a tariff is configured.
    pub cost: Option<Cost>,
}

/// What a period cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// The sum of the next two.
    pub total: f64,
    /// What is paid without use; of a month the whole of it.
    pub fixed: f64,
    /// The bands.
    pub parts: Vec<CostPart>,
    /// The currency.
    #[schema(example = "CHF")]
    pub currency: String,
    /// Energy of which no reading tells the band; it is in no part.
    pub unpriced_wh: i64,
}

/// What was used of one band.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CostPart {
    /// The band's name.
    pub name: String,
    /// Energy from the grid.
    pub wh: i64,
    /// Its cost.
    pub cost: f64,
}

/// Readings of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Readings {
    /// Those that came.
    pub received: u64,
    /// Those that could have come; null where the meter tells by itself.
    pub expected: Option<u64>,
}

/// A time without readings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// The last reading before.
    pub from: String,
    /// The first one after; null while there is none.
    pub to: Option<String>,
}

/// History.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// When it begins.
    pub from: String,
    /// When it ends.
    pub to: String,
    /// The present time.
    pub now: String,
    /// The step: `raw`, `1m`, `15m`, `1h` or `1d`.
    pub step: String,
    /// The intervals, in ascending order; those that begin in the future are
    /// left out.
    pub intervals: Vec<Interval>,
    /// Where no reading came.
    pub gaps: Vec<Gap>,
}

/// One interval, or one reading where the step is `raw`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// When it begins.
    pub t: String,
    /// Energy from the grid.
    pub delivered_wh: Option<i64>,
    /// Energy to the grid.
    pub received_wh: Option<i64>,
    /// Power on average over its readings.
    pub w: Option<i64>,
    /// The least power.
    pub w_min: Option<i64>,
    /// The greatest power.
    pub w_max: Option<i64>,
    /// Readings in it.
    pub readings: u64,
    /// Whether it is not over.
    pub partial: bool,
}

/// The body of every answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorDetail {
    /// A name for programs.
    pub code: String,
    /// A sentence for people that says what to do.
    pub message: String,
}
