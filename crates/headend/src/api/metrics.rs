//! Health and figures for machines.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use link::SctpTotals;
use model::MessageClass;

use super::App;
use super::error::ApiError;
use crate::collector::Phase;

/// Answers that the head end works: its store answers, and it is not stopping.
pub(super) async fn healthz(State(app): State<Arc<App>>) -> Result<&'static str, ApiError> {
    if *app.stop.borrow() {
        return Err(ApiError::Stopping);
    }
    app.store.flush().await?;
    Ok("ok\n")
}

/// Figures in Prometheus' text format; open over loopback, else for those signed in.
pub(super) async fn metrics(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    let peer = request.extensions().get();
    if !web::is_local(peer) {
        let from = web::peer(peer);
        app.sessions
            .check(request.headers(), from, app.clock.now())?;
    }
    let store = app.store.figures();
    let (reached, failed) = app.collector.associations();
    let streams =
        app.config.api.streams - app.streams.available_permits().min(app.config.api.streams);
    let uptime = app.clock.now().millis_since(app.started) / 1_000;
    let access = app.collector.access();
    let seconds = |us: u64| format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    let figures: [(&str, &str, &str, String); 16] = [
        (
            "gridward_up_seconds",
            "gauge",
            "Time since start",
            uptime.to_string(),
        ),
        (
            "gridward_meters",
            "gauge",
            "Meters in the registry",
            app.fleet.len().to_string(),
        ),
        (
            "gridward_store_commits_total",
            "counter",
            "Transactions since start",
            store.commits.to_string(),
        ),
        (
            "gridward_store_writes_total",
            "counter",
            "Writes since start",
            store.writes.to_string(),
        ),
        (
            "gridward_store_rows_total",
            "counter",
            "Profile rows added since start",
            store.rows.to_string(),
        ),
        (
            "gridward_store_waiting",
            "gauge",
            "Writes that wait",
            store.waiting.to_string(),
        ),
        (
            "gridward_collector_queued",
            "gauge",
            "Meters due that wait",
            app.collector.queued().to_string(),
        ),
        (
            "gridward_collector_running",
            "gauge",
            "Meters being collected",
            app.collector.running().to_string(),
        ),
        (
            "gridward_collector_reached_total",
            "counter",
            "Collections that succeeded",
            reached.to_string(),
        ),
        (
            "gridward_collector_failed_total",
            "counter",
            "Collections that failed",
            failed.to_string(),
        ),
        (
            "gridward_access_exchanges_total",
            "counter",
            "Messages sent to meters, each of which waits for its answer",
            access.exchanges.to_string(),
        ),
        (
            "gridward_access_connecting_seconds_total",
            "counter",
            "Time spent opening links, over all conversations",
            seconds(access.connecting_us),
        ),
        (
            "gridward_access_reservations_total",
            "counter",
            "Blocks of invocation counters reserved durably",
            access.reservations.to_string(),
        ),
        (
            "gridward_access_reserving_seconds_total",
            "counter",
            "Time spent waiting until counters were reserved, over all conversations",
            seconds(access.reserving_us),
        ),
        (
            "gridward_live_watched",
            "gauge",
            "Meters watched live",
            app.live.watched().to_string(),
        ),
        (
            "gridward_api_streams",
            "gauge",
            "Open event streams",
            streams.to_string(),
        ),
    ];
    let mut text = String::new();
    for (name, kind, help, value) in figures {
        text.push_str(&format!(
            "# HELP {name} {help}.\n# TYPE {name} {kind}\n{name} {value}\n"
        ));
    }
    let name = "gridward_collector_phase_seconds_total";
    text.push_str(&format!(
        "# HELP {name} Time spent in each phase, over all collections.\n# TYPE {name} counter\n"
    ));
    for (phase, spent) in Phase::ALL.into_iter().zip(app.collector.phases_ms()) {
        let spent = seconds(spent.saturating_mul(1_000));
        text.push_str(&format!("{name}{{phase=\"{}\"}} {spent}\n", phase.name()));
    }
    outlets(&mut text, &app).await;
    sctp(&mut text, &seconds);
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Figures of outlet meters, where they are served.
async fn outlets(text: &mut String, app: &App) {
    let Some(outlets) = &app.outlets else {
        return;
    };
    let figures = outlets.figures(1).await;
    let missing: u64 = figures.values().map(|it| u64::from(it.missing)).sum();
    let standing = outlets.meters().keys();
    let standing: Vec<_> = standing.filter_map(|id| outlets.standing(*id)).collect();
    let connected = standing.iter().filter(|it| it.connected).count();
    let refused: u64 = standing.iter().map(|it| it.refused.0).sum();
    for (name, kind, help, value) in [
        (
            "gridward_outlet_meters",
            "gauge",
            "Outlet meters that are enrolled",
            outlets.meters().len().to_string(),
        ),
        (
            "gridward_outlet_meters_connected",
            "gauge",
            "Outlet meters that are connected",
            connected.to_string(),
        ),
        (
            "gridward_outlet_sections_missing",
            "gauge",
            "Sections of outlet meters that are due and not here",
            missing.to_string(),
        ),
        (
            "gridward_outlet_messages_refused_total",
            "counter",
            "Messages of outlet meters that were not taken, since start",
            refused.to_string(),
        ),
    ] {
        text.push_str(&format!(
            "# HELP {name} {help}.\n# TYPE {name} {kind}\n{name} {value}\n"
        ));
    }
}

/// Figures of all SCTP associations.
fn sctp(text: &mut String, seconds: &dyn Fn(u64) -> String) {
    let totals = SctpTotals::so_far();
    for (name, help, value) in [
        (
            "gridward_sctp_associations_total",
            "SCTP associations that came to stand",
            totals.associations,
        ),
        (
            "gridward_sctp_lost_total",
            "SCTP associations that ended without being asked to",
            totals.lost,
        ),
        (
            "gridward_sctp_failovers_total",
            "Times that data took another path",
            totals.failovers,
        ),
        (
            "gridward_sctp_paths_failed_total",
            "Times that a path stopped answering",
            totals.paths_failed,
        ),
    ] {
        text.push_str(&format!(
            "# HELP {name} {help}.\n# TYPE {name} counter\n{name} {value}\n"
        ));
    }
    let sent = "gridward_sctp_messages_total";
    let waited = "gridward_sctp_queue_seconds_total";
    let (mut messages, mut times) = (String::new(), String::new());
    for (class, (count, micros)) in MessageClass::ALL.into_iter().zip(totals.classes) {
        let class = class.name();
        messages.push_str(&format!("{sent}{{class=\"{class}\"}} {count}\n"));
        let time = seconds(micros);
        times.push_str(&format!("{waited}{{class=\"{class}\"}} {time}\n"));
    }
    text.push_str(&format!(
        "# HELP {sent} Messages handed to the network whole.\n# TYPE {sent} counter\n{messages}\
         # HELP {waited} Time that these waited for it.\n# TYPE {waited} counter\n{times}"
    ));
}
