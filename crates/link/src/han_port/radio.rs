//! A radio processor on a line: the machine of [`han::radio`], driven.

use std::time::Duration;

use dlms::Instant;
use han::radio::{Config, Input, Output, Radio};
use han::zcl::InstallCode;
use tokio::sync::mpsc;

use super::poll::{End, Line};
use super::source::{Command, INPUT_SIZE, Shared, SourceError, SourceEvent, SourceSettings};
use super::url::SourceUrl;

/// The longest that nothing happens: a timer is asked again then.
const IDLE_MAX: Duration = Duration::from_secs(60);

pub(super) async fn serve(
    url: &SourceUrl,
    settings: &SourceSettings,
    line: &mut Line,
    told: &mut mpsc::Receiver<Command>,
    shared: &Shared,
) -> Result<(), End> {
    let config = Config {
        meter: url.meter,
        network: url.network,
        channels: url.channels,
        key: settings.install_code.as_ref().map(InstallCode::link_key),
    };
    let mut radio = Radio::new(config, shared.clock.now());
    let mut input = [0; INPUT_SIZE];
    loop {
        let due = settle(&mut radio, line, shared).await?;
        let wait = due.since(shared.clock.now()).min(IDLE_MAX);
        tokio::select! {
            command = told.recv() => match command {
                None => return Err(End::Unheard),
                Some(Command::Disconnect) => return Ok(()),
                Some(Command::Connect) => {}
                Some(Command::Ask { number }) => {
                    radio.handle(Input::Ask { number }, shared.clock.now());
                }
            },
            heard = line.read(&mut input) => {
                radio.handle(Input::Octets(heard?), shared.clock.now());
            }
            () = tokio::time::sleep(wait) => radio.handle(Input::Elapsed, shared.clock.now()),
        }
    }
}

/// Does all that is to be done now, and tells when the next is due.
async fn settle(radio: &mut Radio, line: &mut Line, shared: &Shared) -> Result<Instant, End> {
    loop {
        match radio.poll() {
            Output::Write(octets) => line.write_ash(&octets).await?,
            Output::Radio { eui64 } => {
                tracing::info!(eui64 = format!("{eui64:016x}"), "the radio's own address");
            }
            Output::Connected(found) => {
                tracing::info!(
                    eui64 = format!("{:016x}", found.eui64),
                    node = found.node,
                    endpoint = found.endpoint,
                    link_key_made = found.link_key_made,
                    "the meter is found"
                );
                shared.tell(SourceEvent::Connected).await?;
            }
            Output::Report(report) => {
                shared.read(|counters| match report.values.is_empty() {
                    true => counters.unread += 1,
                    false => counters.reports += 1,
                });
                shared.tell(SourceEvent::Report(report)).await?;
            }
            Output::Answered { number } => shared.tell(SourceEvent::Answered { number }).await?,
            Output::Failed(fault) => return Err(SourceError::Radio(fault).into()),
            Output::Timeout(due) => return Ok(due),
        }
    }
}
