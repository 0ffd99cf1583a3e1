//! Reads a home's meter where a URL says, and prints what it tells, a line
//! each: for trying a port, an adapter or a radio without a gateway.
//!
//! ```text
//! cargo run -p link --example meter_reader -- ezsp:///dev/ttyUSB0 --polls 10
//! ```

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use link::{Source, SourceEvent, SourceSettings, SourceUrl, SystemClock};

const USAGE: &str = "meter_reader URL [--install-code DIGITS] [--polls N | --reports N] \
    [--pause MILLISECONDS] [--patience MILLISECONDS]";

struct Options {
    url: SourceUrl,
    settings: SourceSettings,
    polls: u64,
    reports: u64,
    pause: Duration,
    patience: Duration,
}

fn options() -> Result<Options, String> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or(USAGE)?;
    let mut options = Options {
        url: url.parse().map_err(|error| format!("{error}"))?,
        settings: SourceSettings::default(),
        polls: u64::MAX,
        reports: u64::MAX,
        pause: Duration::from_secs(7),
        patience: Duration::from_secs(5),
    };
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        let number = || {
            value
                .parse::<u64>()
                .map_err(|error| format!("{name}: {error}"))
        };
        match name.as_str() {
            "--install-code" => {
                let code = value.parse().map_err(|error| format!("{error}"))?;
                options.settings.install_code = Some(code);
            }
            "--polls" => options.polls = number()?,
            "--reports" => options.reports = number()?,
            "--pause" => options.pause = Duration::from_millis(number()?),
            "--patience" => options.patience = Duration::from_millis(number()?),
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(options)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let told = match options() {
        Ok(options) => read(options).await.map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}

async fn read(options: Options) -> io::Result<()> {
    let polled = options.url.protocol.is_polled();
    let mut source = Source::start(options.url, options.settings, Arc::new(SystemClock::new()));
    let mut out = io::stdout();
    let (mut polls, mut reports, mut connected) = (0, 0, false);
    let mut awaited = None;
    source.connect();
    loop {
        let wait = match (polled, connected, awaited) {
            (true, true, Some(_)) => options.patience,
            (true, true, None) => options.pause,
            // Opening takes its time.
            _ => Duration::from_secs(3_600),
        };
        match tokio::time::timeout(wait, source.next()).await {
            Err(_) => {
                if let Some(number) = awaited.take() {
                    writeln!(out, "lost {number}")?;
                } else {
                    polls += 1;
                    source.ask(polls);
                    awaited = Some(polls);
                }
            }
            Ok(None) => return Ok(()),
            Ok(Some(SourceEvent::Connected)) => {
                connected = true;
                writeln!(out, "connected")?;
            }
            Ok(Some(SourceEvent::Disconnected(error))) => {
                connected = false;
                let cause = std::error::Error::source(&error);
                let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
                writeln!(out, "disconnected {error}{cause}")?;
                tokio::time::sleep(Duration::from_secs(1)).await;
                source.connect();
            }
            Ok(Some(SourceEvent::Report(report))) => {
                reports += 1;
                let quantity = |it: Option<dlms::cosem::Scaled>| {
                    it.map_or_else(|| "-".to_owned(), |it| it.to_string())
                };
                writeln!(
                    out,
                    "report meter={} time={} delivered={} received={} power={}",
                    report.meter.as_deref().unwrap_or("-"),
                    report
                        .time
                        .map_or_else(|| "-".to_owned(), |time| time.shown.to_string()),
                    quantity(report.total(1)),
                    quantity(report.total(2)),
                    quantity(report.net_power())
                )?;
            }
            Ok(Some(SourceEvent::Answered { number })) => {
                if awaited == Some(number) {
                    awaited = None;
                }
                writeln!(out, "answered {number}")?;
            }
        }
        out.flush()?;
        if (awaited.is_none() && polls >= options.polls) || reports >= options.reports {
            return Ok(());
        }
    }
}
