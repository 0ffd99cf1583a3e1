//! Orders to meters that are read over DLMS, and their journal.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::{ApiError, ErrorBody};
use super::guard::Params;
use super::meter::{breaker_word, meter_id};
use super::outlets::{Body, fresh, reason};
use super::session::OPERATOR;
use crate::calendar::rfc3339;
use crate::fleet::FleetMeter;
use crate::orders::{Order, OrderRefused, is_armed};
use crate::store::{MeterOrderKind, MeterOrderLimit, MeterOrderRow, ReadBack, StoreError};

const ROWS_MAX: u32 = 500;
/// Characters of a text for the display.
const TEXT_MAX: usize = 200;

/// What an order asks for.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderKindName {
    /// Read the meter once.
    Read,
    /// Let the customer be supplied.
    Connect,
    /// Cut the customer's supply.
    Disconnect,
    /// Show a text on the display.
    Text,
}

impl From<OrderKindName> for MeterOrderKind {
    fn from(name: OrderKindName) -> Self {
        match name {
            OrderKindName::Read => Self::Read,
            OrderKindName::Connect => Self::Connect,
            OrderKindName::Disconnect => Self::Disconnect,
            OrderKindName::Text => Self::Text,
        }
    }
}

/// An order to a meter.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOrder {
    kind: OrderKindName,
    /// Why, 10 to 200 characters; not needed to read.
    #[serde(default)]
    reason: String,
    /// The text for the display, 1 to 200 characters; with `text` alone.
    #[serde(default)]
    text: String,
    /// What the dry run asks to be typed; to connect and to disconnect.
    #[serde(default)]
    confirm: String,
    /// What the dry run said it is as of; to connect and to disconnect.
    #[serde(default)]
    #[schema(format = DateTime)]
    as_of: String,
}

/// Orders, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MeterOrders {
    total: u64,
    rows: Vec<MeterOrderView>,
}

/// One order as it stands in the journal.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MeterOrderView {
    number: i64,
    /// The registry id, name and place of the meter, or of the concentrator where it is to hand
    /// over.
    meter: String,
    name: String,
    place: String,
    /// When it was given, and by whom.
    #[schema(format = DateTime)]
    t: String,
    who: String,
    /// One of read, connect, disconnect, text, switchover.
    kind: &'static str,
    /// The text for the display, or the concentrator that is to have the segments; empty with
    /// other kinds.
    text: String,
    reason: String,
    /// One of armed (it may be stopped), waiting (for its turn at the meter), sent (no answer yet),
    /// done (read back), unconfirmed (the meter said so, and what was read back does not show it),
    /// refused (by the meter), not_sent, unknown (sent, and no answer), stopped.
    state: &'static str,
    /// Until when it may be stopped.
    #[schema(format = DateTime)]
    due: String,
    /// From when on the meter may have it.
    #[schema(format = DateTime)]
    sent: Option<String>,
    /// The meter's answer, or why there is none.
    answer: Option<String>,
    read_back: Option<ReadBackView>,
    #[schema(format = DateTime)]
    ended: Option<String>,
}

/// What the meter said of itself after the order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReadBackView {
    /// Whether the customer is supplied: output_state.
    output: Option<bool>,
    /// control_state: open, closed, ready (to be closed by hand).
    control: Option<&'static str>,
    /// The text on the display, or the concentrator that has the segments.
    text: Option<String>,
    #[schema(format = DateTime)]
    at: String,
}

/// What an order would mean, and how the meter was when it was last read. Nothing was sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DryRun {
    /// What the order must repeat: it is good for five minutes.
    #[schema(format = DateTime)]
    as_of: String,
    name: String,
    place: String,
    /// What has to be typed: the place, or the name where there is none.
    confirm: String,
    possible: bool,
    /// Why there can be no such order now.
    why_not: Option<String>,
    /// What would be done, in order.
    steps: Vec<String>,
    /// The client that the head end is at this meter.
    client: u16,
    /// When the meter last answered.
    #[schema(format = DateTime)]
    last_read: Option<String>,
    /// Why it did not answer last, where it did not.
    failing: Option<&'static str>,
    /// The breaker when it was last read: open, closed, ready.
    breaker: Option<&'static str>,
    #[schema(format = DateTime)]
    breaker_at: Option<String>,
    /// What it drew then.
    draws_w: Option<i64>,
    #[schema(format = DateTime)]
    draws_at: Option<String>,
    /// Seconds for which the order may be stopped before it is sent.
    armed_s: u16,
    /// Whether a second person must approve.
    second_person: bool,
    /// Disconnections within the last hour that count, and how many are allowed.
    disconnections: u32,
    disconnections_max: u32,
}

/// Which orders.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct OrdersQuery {
    /// The number of orders, 1 to 500.
    limit: u32,
    /// Only orders with numbers before this one.
    before: Option<i64>,
}

impl Default for OrdersQuery {
    fn default() -> Self {
        Self {
            limit: 50,
            before: None,
        }
    }
}

/// Which kind of order.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DryRunQuery {
    #[param(inline)]
    kind: OrderKindName,
}

/// The orders to a meter.
#[utoipa::path(get, path = "/api/v1/meters/{id}/orders", tag = "orders",
    params(("id" = String, Path, description = "The registry id"), OrdersQuery),
    responses(
        (status = 200, description = "Orders", body = MeterOrders),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
    ))]
pub(super) async fn of_meter(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Params(query): Params<OrdersQuery>,
) -> Result<Json<MeterOrders>, ApiError> {
    let id = meter_id(&id)?;
    app.blocking(move |app| {
        let (_meter, ..) = app.fleet.meter(id).ok_or(ApiError::NoSuchMeter)?;
        page(app, Some(id), &query)
    })
    .await
}

/// The orders to all meters.
#[utoipa::path(get, path = "/api/v1/orders", tag = "orders", params(OrdersQuery),
    responses(
        (status = 200, description = "Orders", body = MeterOrders),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
    ))]
pub(super) async fn of_all(
    State(app): State<Arc<App>>,
    Params(query): Params<OrdersQuery>,
) -> Result<Json<MeterOrders>, ApiError> {
    app.blocking(move |app| page(app, None, &query)).await
}

fn page(
    app: &App,
    meter: Option<model::MeterId>,
    query: &OrdersQuery,
) -> Result<Json<MeterOrders>, ApiError> {
    if !(1..=ROWS_MAX).contains(&query.limit) {
        return Err(ApiError::BadRequest("A limit is 1 to 500.".to_owned()));
    }
    let (total, rows) = app.store.orders().list(meter, query.before, query.limit)?;
    Ok(Json(MeterOrders {
        total,
        rows: rows.into_iter().map(|row| view(app, row)).collect(),
    }))
}

/// One order.
#[utoipa::path(get, path = "/api/v1/orders/{id}", tag = "orders",
    params(("id" = i64, Path, description = "The order's number")),
    responses(
        (status = 200, description = "The order", body = MeterOrderView),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such order", body = ErrorBody),
    ))]
pub(super) async fn order(
    State(app): State<Arc<App>>,
    number: Result<Path<i64>, PathRejection>,
) -> Result<Json<MeterOrderView>, ApiError> {
    let Path(number) = number.map_err(|_| ApiError::NoSuchOrder)?;
    app.blocking(move |app| one(app, number)).await
}

fn one(app: &App, number: i64) -> Result<Json<MeterOrderView>, ApiError> {
    let row = app.store.orders().by_number(number)?;
    Ok(Json(view(app, row.ok_or(ApiError::NoSuchOrder)?)))
}

fn view(app: &App, row: MeterOrderRow) -> MeterOrderView {
    let known = app.fleet.meter(row.order.meter);
    let concentrator = app.concentrators.get(row.order.meter);
    let enrolment = known.as_ref().map(|(found, ..)| &found.meter.enrolment);
    let enrolment = enrolment.or_else(|| Some(&concentrator?.target.enrolment));
    let state = match &row.end {
        Some(end) => end.outcome.name(),
        None if row.sent.is_some() => "sent",
        None if is_armed(&row, app.clock.now()) => "armed",
        None => "waiting",
    };
    let read_back = |read: ReadBack| ReadBackView {
        output: read.output,
        control: read.control.and_then(breaker_word),
        text: read.text,
        at: rfc3339(read.at),
    };
    let (answer, read, ended) = match row.end {
        Some(end) => (Some(end.answer), end.read_back, Some(end.at)),
        None => (None, None, None),
    };
    MeterOrderView {
        number: row.number,
        meter: row.order.meter.to_string(),
        name: enrolment.map_or_else(String::new, |it| it.name.to_string()),
        place: enrolment.map_or_else(String::new, |it| it.place.as_str().to_owned()),
        t: rfc3339(row.order.at),
        who: row.order.who,
        kind: row.order.kind.name(),
        text: row.order.text,
        reason: row.order.reason,
        state,
        due: rfc3339(row.order.due),
        sent: row.sent.map(rfc3339),
        answer,
        read_back: read.map(read_back),
        ended: ended.map(rfc3339),
    }
}

/// Says what an order would mean; nothing is sent.
#[utoipa::path(get, path = "/api/v1/meters/{id}/orders/dry-run", tag = "orders",
    params(("id" = String, Path, description = "The registry id"), DryRunQuery),
    responses(
        (status = 200, description = "What it would mean", body = DryRun),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
    ))]
pub(super) async fn dry_run(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Params(query): Params<DryRunQuery>,
) -> Result<Json<DryRun>, ApiError> {
    let id = meter_id(&id)?;
    app.blocking(move |app| {
        let (found, ..) = app.fleet.meter(id).ok_or(ApiError::NoSuchMeter)?;
        let kind = MeterOrderKind::from(query.kind);
        let disconnections = app.orders.disconnections()?;
        let config = app.orders.config();
        let most = config.disconnects_per_hour;
        let why_not = if kind.switches()
            && let Some(other) = app.store.orders().switching(id)?
        {
            Some(switching_too(other))
        } else if kind == MeterOrderKind::Disconnect && disconnections >= most {
            Some(TOO_MANY.to_owned())
        } else {
            None
        };
        let FleetMeter { meter, state, .. } = &found;
        let enrolment = &meter.enrolment;
        Ok(Json(DryRun {
            as_of: rfc3339(app.clock.now()),
            name: enrolment.name.to_string(),
            place: enrolment.place.as_str().to_owned(),
            confirm: to_be_typed(&found),
            possible: why_not.is_none(),
            why_not,
            steps: steps(kind, enrolment.client, config.armed_s),
            client: enrolment.client,
            last_read: state.reached.map(rfc3339),
            failing: state.failing.map(|failing| failing.reason.sentence()),
            breaker: state.breaker.and_then(|(breaker, _)| breaker_word(breaker)),
            breaker_at: state.breaker.map(|(_, at)| rfc3339(at)),
            draws_w: state.power.map(|(watts, _)| watts),
            draws_at: state.power.map(|(_, at)| rfc3339(at)),
            armed_s: if kind.switches() { config.armed_s } else { 0 },
            second_person: config.second_person,
            disconnections,
            disconnections_max: most,
        }))
    })
    .await
}

/// What a person types to confirm what becomes of a meter: its place, else its name.
pub(super) fn to_be_typed(found: &FleetMeter) -> String {
    let enrolment = &found.meter.enrolment;
    match enrolment.place.as_str() {
        "" => enrolment.name.to_string(),
        place => place.to_owned(),
    }
}

fn steps(kind: MeterOrderKind, client: u16, armed_s: u16) -> Vec<String> {
    let mut steps = vec!["Write the order into the journal".to_owned()];
    if kind.switches() && armed_s > 0 {
        steps.push(format!("Wait {armed_s} s, in which anybody may stop it"));
    }
    steps.push(format!("Associate with the meter as client {client}"));
    let breaker = "Disconnect control, 0-0:96.3.10.255";
    let read_back = || format!("Read back output and control state of {breaker}");
    match kind {
        MeterOrderKind::Read => {
            steps.push("Read clock, registers and breaker".to_owned());
        }
        MeterOrderKind::Connect => {
            steps.push(format!("Invoke method 2, remote_reconnect, of {breaker}"));
            steps.push(read_back());
        }
        MeterOrderKind::Disconnect => {
            steps.push(format!("Invoke method 1, remote_disconnect, of {breaker}"));
            steps.push(read_back());
        }
        // Concentrators have steps of their own.
        MeterOrderKind::Switchover => {}
        MeterOrderKind::Text => {
            let message = "Consumer message, 0-0:96.13.0.255";
            steps.push(format!("Write the text into {message}"));
            steps.push(format!("Read back {message}"));
        }
    }
    steps
}

const TOO_MANY: &str =
    "As many meters were disconnected within the hour as are allowed. Nothing was sent.";

pub(super) fn switching_too(other: i64) -> String {
    format!("Order {other} to switch it has not ended. Nothing was sent.")
}

/// Gives a meter an order. It stands in the journal when this answers, and is not done yet: follow
/// it by its number.
#[utoipa::path(post, path = "/api/v1/meters/{id}/orders", tag = "orders",
    params(("id" = String, Path, description = "The registry id")), request_body = NewOrder,
    responses(
        (status = 202, description = "Written down", body = MeterOrderView),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such meter", body = ErrorBody),
        (status = 409, description = "Not now", body = ErrorBody),
        (status = 503, description = "The store failed", body = ErrorBody),
    ))]
pub(super) async fn give(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Body(body): Body<NewOrder>,
) -> Result<(StatusCode, Json<MeterOrderView>), ApiError> {
    let id = meter_id(&id)?;
    let (found, ..) = app.fleet.meter(id).ok_or(ApiError::NoSuchMeter)?;
    accept(&app, checked(&app, &body, &found)?).await
}

/// Gives an order that was checked.
pub(super) async fn accept(
    app: &Arc<App>,
    order: Order,
) -> Result<(StatusCode, Json<MeterOrderView>), ApiError> {
    // Whoever goes away now leaves an order that is either not written or carried out.
    let orders = Arc::clone(&app.orders);
    let given = tokio::spawn(async move { orders.give(order).await });
    match given.await.unwrap_or(Err(OrderRefused::Stopping)) {
        Ok(row) => {
            let view = app.blocking(move |app| Ok(view(app, row))).await?;
            Ok((StatusCode::ACCEPTED, Json(view)))
        }
        Err(refused) => Err(refused.into()),
    }
}

/// Checks what an order takes, by its kind.
fn checked(app: &App, body: &NewOrder, found: &FleetMeter) -> Result<Order, ApiError> {
    let wrong = |message: &str| ApiError::BadRequest(message.to_owned());
    let kind = MeterOrderKind::from(body.kind);
    let reason = match kind {
        MeterOrderKind::Read if body.reason.trim().is_empty() => "",
        _ => reason(&body.reason)?,
    };
    let text = body.text.trim();
    if kind == MeterOrderKind::Text {
        let length = text.chars().count();
        if !(1..=TEXT_MAX).contains(&length) || text.chars().any(char::is_control) {
            return Err(wrong("A text for the display has 1 to 200 characters."));
        }
    } else if !text.is_empty() {
        return Err(wrong("Only an order of kind text has a text."));
    }
    if kind.switches() {
        if body.confirm.trim() != to_be_typed(found) {
            return Err(wrong("This is not the meter's place. Nothing was sent."));
        }
        fresh(app, &body.as_of)?;
    }
    Ok(Order {
        meter: found.meter.id,
        kind,
        text: text.to_owned(),
        reason: reason.to_owned(),
        who: OPERATOR,
    })
}

/// Stops an order that waits to be sent.
#[utoipa::path(post, path = "/api/v1/orders/{id}/stop", tag = "orders",
    params(("id" = i64, Path, description = "The order's number")),
    responses(
        (status = 200, description = "Stopped: nothing was sent", body = MeterOrderView),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such order", body = ErrorBody),
        (status = 409, description = "It is on its way, or has ended", body = ErrorBody),
        (status = 503, description = "The store failed", body = ErrorBody),
    ))]
pub(super) async fn stop(
    State(app): State<Arc<App>>,
    number: Result<Path<i64>, PathRejection>,
) -> Result<Json<MeterOrderView>, ApiError> {
    let Path(number) = number.map_err(|_| ApiError::NoSuchOrder)?;
    let orders = Arc::clone(&app.orders);
    let halted = tokio::spawn(async move { orders.halt(number, OPERATOR).await });
    let halted = halted.await.unwrap_or(Err(StoreError::Closed))?;
    let shown = app.blocking(move |app| one(app, number)).await?;
    if halted {
        Ok(shown)
    } else {
        Err(ApiError::NotNow(
            "not_armed",
            "The order is on its way or has ended: it cannot be stopped any more.",
        ))
    }
}

impl From<OrderRefused> for ApiError {
    fn from(refused: OrderRefused) -> Self {
        match refused {
            OrderRefused::NoSuchMeter => Self::NoSuchMeter,
            OrderRefused::Limit(MeterOrderLimit::Switching(_)) => Self::NotNow(
                "order_under_way",
                "Another order to switch this meter has not ended. Nothing was sent.",
            ),
            OrderRefused::Limit(MeterOrderLimit::Disconnections) => {
                Self::NotNow("too_many_disconnections", TOO_MANY)
            }
            OrderRefused::Limit(MeterOrderLimit::Open) => Self::NotNow(
                "too_many_orders",
                "Too many orders are under way. Try again when some have ended.",
            ),
            OrderRefused::Stopping => Self::Stopping,
            OrderRefused::Store(error) => Self::Store(error),
        }
    }
}
