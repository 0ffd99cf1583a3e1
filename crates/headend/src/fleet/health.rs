//! How a meter is, in one word and one line.

use jiff::civil::Date;
use model::{EventKind, Severity, Timestamp};

use super::{FleetMeter, Judge};

/// How a meter is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Says it in one word.
    pub kind: HealthKind,
    /// Says it in one line.
    pub text: String,
}

/// The kinds, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HealthKind {
    /// A critical alarm is open.
    Alarm,
    /// It does not answer.
    Silent,
    /// Its newest interval is old.
    Late,
    /// A warning is open.
    Warning,
    /// Older intervals are missing.
    Gap,
    /// It was never read.
    New,
    /// All is there.
    Read,
}

impl HealthKind {
    /// Returns the state's name in the API.
    pub const fn state(self) -> &'static str {
        match self {
            Self::Alarm => "crit",
            Self::Silent => "off",
            Self::Late | Self::Warning => "warn",
            Self::Gap => "miss",
            Self::New => "new",
            Self::Read => "ok",
        }
    }
}

impl Judge {
    /// Says how a meter is.
    pub fn health(&self, meter: &FleetMeter) -> Health {
        let health = |kind, text: String| Health { kind, text };
        let alarms = meter.alarms(self.now);
        let worst = alarms.first();
        if let Some(alarm) = worst.filter(|alarm| alarm.known.severity == Severity::Critical) {
            return health(HealthKind::Alarm, alarm.known.title.to_owned());
        }
        if let Some(since) = self.silent_since(meter) {
            let text = format!("Silent {}", span(self.now.millis_since(since) / 1_000));
            return health(HealthKind::Silent, text);
        }
        let Some(newest) = meter.state.newest else {
            return health(HealthKind::New, "New".to_owned());
        };
        if newest.secs() < self.due() - self.rules.late_s {
            let text = format!("Late {}", span(self.now.secs() - newest.secs()));
            return health(HealthKind::Late, text);
        }
        if let Some(alarm) = worst {
            return health(HealthKind::Warning, alarm.known.title.to_owned());
        }
        if let Some(day) = self.gap(meter) {
            let date: Option<Date> = day.to_string().parse().ok();
            let date = date.map_or_else(String::new, |date| date.strftime("%-d %b").to_string());
            return health(HealthKind::Gap, format!("Gap {date}"));
        }
        health(HealthKind::Read, "Read".to_owned())
    }

    /// Says since when a meter does not answer, where it failed often enough in a row.
    pub fn silent_since(&self, meter: &FleetMeter) -> Option<Timestamp> {
        let failing = meter.state.failing?;
        let often = failing.attempts >= self.rules.silent_attempts;
        often.then(|| meter.state.reached.unwrap_or(failing.since))
    }
}

/// The events that end what another one began.
pub(super) const fn closed_by(kind: EventKind) -> &'static [EventKind] {
    match kind {
        EventKind::PowerDown => &[EventKind::PowerUp],
        EventKind::FellSilent => &[EventKind::HeardAgain],
        EventKind::ClockInvalid => &[EventKind::ClockAdjustedNew],
        EventKind::TerminalCoverRemoved => &[EventKind::TerminalCoverClosed],
        EventKind::StrongDcFieldDetected => &[EventKind::StrongDcFieldGone],
        EventKind::MeterCoverRemoved => &[EventKind::MeterCoverClosed],
        EventKind::FenceLeavesOne => &[EventKind::FenceLeavesNone, EventKind::FenceLeavesSeveral],
        EventKind::FenceLeavesNone => &[EventKind::FenceLeavesOne, EventKind::FenceLeavesSeveral],
        _ => &[],
    }
}

/// A span in the one unit that says it best.
fn span(secs: i64) -> String {
    match secs.max(0) {
        secs if secs < 3_600 => format!("{} min", secs / 60),
        secs if secs < 48 * 3_600 => format!("{} h", secs / 3_600),
        secs => format!("{} d", secs / 86_400),
    }
}
