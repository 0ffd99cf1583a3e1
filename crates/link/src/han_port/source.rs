//! A source: the way to a home's meter, kept open.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use han::egress::Refused;
use han::measure::Report;
use han::port::{Counters, Keys, Port, Protocol};
use han::zcl::InstallCode;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::listen::Ears;
use super::url::SourceUrl;
use crate::Clock;

/// What a source needs beside its URL, and what no URL may hold.
#[derive(Debug, Default)]
pub struct SourceSettings {
    /// The keys of a port that ciphers.
    pub keys: Option<Keys>,
    /// The install code under which a radio joins the meter's network; its
    /// owner has given it to the utility.
    pub install_code: Option<InstallCode>,
}

/// What a source tells.
#[derive(Debug)]
pub enum SourceEvent {
    /// The way to the meter is open.
    Connected,
    /// It could not be opened, or was lost. A source that pushes is opened
    /// again by itself; one that is polled when it is told to.
    Disconnected(SourceError),
    /// The meter told something: values, or its time.
    Report(Report),
    /// The meter has answered [`Source::ask`]; what it said came before.
    Answered {
        /// As it was given there.
        number: u64,
    },
}

/// Why the way to a meter is not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The device or the serial server is not there, or went away.
    #[error("the port cannot be used")]
    Io(#[from] io::Error),
    /// The serial server closed the connection, or the device is gone.
    #[error("the port was closed at its other end")]
    Closed,
    /// What was about to be written may not leave.
    #[error("the egress filter has refused to write")]
    Refused(#[source] Refused),
    /// The meter cannot be read through the radio.
    #[error(transparent)]
    Radio(#[from] han::radio::Fault),
    /// Nothing came for too long.
    #[error("nothing came for {seconds} s")]
    Silent {
        /// For how long.
        seconds: u64,
    },
}

/// The way to a home's meter. Dropping it closes the port.
///
/// A source that pushes opens its port at once, and again after each loss with
/// growing pauses; [`connect`](Self::connect), [`disconnect`](Self::disconnect)
/// and [`ask`](Self::ask) do nothing there, since nothing can be sent. A source
/// that is polled does what it is told.
pub struct Source {
    polled: bool,
    events: mpsc::Receiver<SourceEvent>,
    commands: mpsc::Sender<Command>,
    counters: Arc<Mutex<Counters>>,
    task: JoinHandle<()>,
}

/// What a source that is polled is told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Command {
    Connect,
    Disconnect,
    Ask { number: u64 },
}

/// Events that may wait to be fetched; the port is not read meanwhile.
const EVENTS_MAX: usize = 64;

/// Commands that may wait; more are dropped, and count as not answered.
const COMMANDS_MAX: usize = 16;

impl Source {
    /// Starts. Needs a tokio runtime around it.
    #[must_use]
    pub fn start(url: SourceUrl, settings: SourceSettings, clock: Arc<dyn Clock>) -> Self {
        let (ready, events) = mpsc::channel(EVENTS_MAX);
        let (commands, told) = mpsc::channel(COMMANDS_MAX);
        let counters = Arc::new(Mutex::new(Counters::default()));
        let polled = url.protocol.is_polled();
        let shared = Shared {
            events: ready,
            counters: Arc::clone(&counters),
            clock,
        };
        let task = if polled {
            tokio::spawn(super::poll::run(url, settings, told, shared))
        } else {
            tokio::spawn(listen(url, settings.keys, shared))
        };
        Self {
            polled,
            events,
            commands,
            counters,
            task,
        }
    }

    /// Tells whether the meter speaks only when asked.
    #[must_use]
    pub const fn is_polled(&self) -> bool {
        self.polled
    }

    /// Waits for what the source tells next; nothing once it has ended. A
    /// wait that is given up loses nothing.
    pub async fn next(&mut self) -> Option<SourceEvent> {
        self.events.recv().await
    }

    /// Has the way to the meter opened, once:
    /// [`SourceEvent::Connected`] or [`SourceEvent::Disconnected`] follows.
    pub fn connect(&self) {
        self.tell(Command::Connect);
    }

    /// Has it closed.
    pub fn disconnect(&self) {
        self.tell(Command::Disconnect);
    }

    /// Asks the meter for its values.
    pub fn ask(&self, number: u64) {
        self.tell(Command::Ask { number });
    }

    /// Tells what the port has given so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, command: Command) {
        if self.polled && self.commands.try_send(command).is_err() {
            tracing::debug!(?command, "the source is busy");
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("polled", &self.polled)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a source and its task share.
pub(super) struct Shared {
    events: mpsc::Sender<SourceEvent>,
    counters: Arc<Mutex<Counters>>,
    pub(super) clock: Arc<dyn Clock>,
}

/// Nobody fetches any more.
pub(super) struct Unheard;

impl Shared {
    pub(super) async fn tell(&self, event: SourceEvent) -> Result<(), Unheard> {
        self.events.send(event).await.map_err(|_| Unheard)
    }

    pub(super) fn count(&self, counters: Counters) {
        self.read(|own| *own = counters);
    }

    pub(super) fn read(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut self.counters.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// How long opening a port may take.
pub(super) const OPENING_MAX: Duration = Duration::from_secs(10);

/// The pause before a port is opened again: doubled with each failure in a
/// row.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// Octets that are read at once.
pub(super) const INPUT_SIZE: usize = 4_096;

/// Listens for ever.
async fn listen(url: SourceUrl, keys: Option<Keys>, shared: Shared) {
    let protocol = match url.framing {
        Some(Protocol::P1) if keys.is_some() => Protocol::P1Ciphered,
        Some(protocol) => protocol,
        None => return,
    };
    let mut port = Port::new(protocol, keys);
    let mut pause = PAUSE_FIRST;
    loop {
        let reports = port.counters().reports;
        let Ok(lost) = hear(&url, &mut port, &shared).await else {
            return;
        };
        tracing::info!(source = %url, reason = %lost, "the port is closed");
        if shared.tell(SourceEvent::Disconnected(lost)).await.is_err() {
            return;
        }
        if port.counters().reports > reports {
            pause = PAUSE_FIRST;
        }
        port.interrupted();
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Listens until the port is lost.
async fn hear(url: &SourceUrl, port: &mut Port, shared: &Shared) -> Result<SourceError, Unheard> {
    let mut ears = match tokio::time::timeout(OPENING_MAX, Ears::open(&url.place)).await {
        Ok(Ok(ears)) => ears,
        Ok(Err(error)) => return Ok(error.into()),
        Err(_) => return Ok(SourceError::silent(OPENING_MAX)),
    };
    tracing::info!(source = %url, "the port is open");
    shared.tell(SourceEvent::Connected).await?;
    let mut input = [0; INPUT_SIZE];
    loop {
        let heard = match octets(&mut ears, &mut input, url.silence()).await {
            Ok(heard) => heard,
            Err(error) => return Ok(error),
        };
        let reports = port.handle(heard, shared.clock.now());
        shared.count(port.counters());
        for report in reports {
            shared.tell(SourceEvent::Report(report)).await?;
        }
    }
}

/// Waits for octets, at most for `silence`.
async fn octets<'a>(
    line: &mut (impl AsyncRead + Unpin),
    input: &'a mut [u8],
    silence: Duration,
) -> Result<&'a [u8], SourceError> {
    match tokio::time::timeout(silence, line.read(input)).await {
        Ok(Ok(0)) => Err(SourceError::Closed),
        Ok(Ok(count)) => Ok(input.get(..count).unwrap_or_default()),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(SourceError::silent(silence)),
    }
}

impl SourceError {
    pub(super) const fn silent(silence: Duration) -> Self {
        Self::Silent {
            seconds: silence.as_secs(),
        }
    }
}
