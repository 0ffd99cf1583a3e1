//! Health, and figures in Prometheus' text format, in base units.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};

use super::App;
use super::espi::asked;
use super::guard;
use crate::cache::Tagged;
use crate::credential::Who;

/// Answers that the gateway runs; whether the meter answers is a figure.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Figures; open over loopback, else for those signed in. What is stale is
/// left out.
pub(super) async fn metrics(State(app): State<Arc<App>>, request: Request) -> Response {
    if !web::is_local(request.extensions().get()) {
        match guard::who(&app, request.headers(), request.extensions()).await {
            Ok(Who::Home) => {}
            Ok(Who::Party { .. }) => return super::ApiError::Forbidden.into_response(),
            Err(error) => return asked(error),
        }
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], figures(&app)).into_response()
}

fn figures(app: &App) -> String {
    let now = app.now();
    let snapshot = app.parts.shared.snapshot();
    let way = app.parts.shared.way();
    let age_max = app.parts.place.current_age_max_ms;
    let fresh =
        |tagged: Option<Tagged>| tagged.filter(|it| now.millis_since(it.received) <= age_max);
    let counters = snapshot.counters;
    let mut text = String::new();
    let mut put = |name: &str, kind: &str, help: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!(
                "# HELP gridward_home_{name} {help}.\n# TYPE gridward_home_{name} {kind}\n\
                 gridward_home_{name} {value}\n"
            ));
        }
    };
    put(
        "power_watts",
        "gauge",
        "Power from the grid less power to it",
        fresh(snapshot.net_power).map(|it| thousandths(it.thousandths.into())),
    );
    let joules = |tagged: Option<Tagged>| {
        fresh(tagged).map(|it| thousandths(i128::from(it.thousandths) * 3_600))
    };
    put(
        "energy_delivered_joules_total",
        "counter",
        "The meter's register of energy from the grid",
        joules(snapshot.delivered),
    );
    put(
        "energy_received_joules_total",
        "counter",
        "The meter's register of energy to the grid",
        joules(snapshot.received),
    );
    put(
        "reading_age_seconds",
        "gauge",
        "Time since something of the meter was received",
        way.last
            .map(|last| thousandths(now.millis_since(last).max(0).into())),
    );
    put(
        "link_open",
        "gauge",
        "Whether the way to the meter is open",
        Some(u8::from(snapshot.connected).to_string()),
    );
    for (name, help, value) in [
        ("polls_total", "Polls sent", counters.polls),
        (
            "polls_lost_total",
            "Polls without an answer in time",
            counters.lost,
        ),
        (
            "polls_late_total",
            "Answers that came after that",
            counters.late,
        ),
        ("reports_total", "Messages taken in", counters.reports),
        (
            "unread_total",
            "Messages that could not be read",
            way.unread,
        ),
        (
            "values_older_total",
            "Values left out because they were older than the one at hand",
            counters.older,
        ),
        (
            "totals_shrunk_total",
            "Totals left out because they were smaller than the one at hand",
            counters.shrunk,
        ),
        (
            "totals_jumped_total",
            "Totals left out because nobody can have used so much since the one at hand",
            counters.jumped,
        ),
        (
            "disconnections_total",
            "Times that the way to the meter was lost",
            counters.disconnections,
        ),
    ] {
        put(name, "counter", help, Some(value.to_string()));
    }
    put(
        "up_seconds",
        "gauge",
        "Time since start",
        Some((now.millis_since(app.started) / 1_000).to_string()),
    );
    text
}

fn thousandths(value: i128) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let value = value.unsigned_abs();
    match value % 1_000 {
        0 => format!("{sign}{}", value / 1_000),
        rest => format!("{sign}{}.{rest:03}", value / 1_000),
    }
}
