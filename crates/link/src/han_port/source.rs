//! A source: the way to a home's meter, kept open.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dlms::security::{PeerWindows, SystemTitle};
use han::egress::Refused;
use han::measure::Report;
use han::port::{Counters, Keys, Port, Protocol};
use han::zcl::InstallCode;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::listen::Ears;
use super::url::{Place, SourceUrl};
use crate::Clock;

/// What a source needs beside its URL, and what no URL may hold.
#[derive(Debug, Default)]
pub struct SourceSettings {
    /// The keys of a port that ciphers.
    pub keys: Option<Keys>,
    /// The install code under which a radio joins the meter's network; its
    /// owner has given it to the utility.
    pub install_code: Option<InstallCode>,
    /// Where counters of ciphered messages are kept, so that none is taken
    /// again after a restart; without it only while the source lives.
    pub counters: Option<Box<dyn PushCounters>>,
}

/// Where counters of ciphered messages that were taken are kept.
pub trait PushCounters: fmt::Debug + Send + Sync {
    /// Tells what was kept: which counters each title has used.
    fn windows(&self) -> PeerWindows;

    /// Keeps the highest counters that were taken, by title, before their
    /// messages are acted on.
    ///
    /// # Errors
    /// What the system says; the messages are then left out.
    fn keep(&mut self, taken: &BTreeMap<SystemTitle, u32>) -> io::Result<()>;
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
    /// Octets come, and none of them can be read.
    #[error("what comes cannot be read: speed or parity is another")]
    Unreadable,
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
    octets: Arc<AtomicU64>,
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
        let octets = Arc::new(AtomicU64::new(0));
        let polled = url.protocol.is_polled();
        let shared = Shared {
            events: ready,
            counters: Arc::clone(&counters),
            octets: Arc::clone(&octets),
            clock,
        };
        let task = if polled {
            tokio::spawn(super::poll::run(url, settings, told, shared))
        } else {
            tokio::spawn(listen(url, settings, shared))
        };
        Self {
            polled,
            events,
            commands,
            counters,
            octets,
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

    /// Tells how many octets a port that pushes has given so far, whether they
    /// could be read or not; of one that is polled 0.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.octets.load(Ordering::Relaxed)
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
    octets: Arc<AtomicU64>,
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
pub(super) const OPENING_MAX: Duration = Duration::from_secs(5);

/// The pause before a port is opened again: doubled with each failure in a
/// row. However long an outage was, a port that is there again is heard within
/// 15 s, of which P1's own pause of 10 s and [`OPENING_MAX`] leave this.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(4);

/// Octets that are read at once.
pub(super) const INPUT_SIZE: usize = 4_096;

/// How long octets may come of which none can be read until the port is tried
/// in another form, where the URL leaves that open: twice what the slowest port
/// with a list every ten seconds needs.
const FORM_MAX: Duration = Duration::from_secs(30);

/// Listens for ever.
async fn listen(url: SourceUrl, settings: SourceSettings, shared: Shared) {
    let SourceSettings {
        keys, mut counters, ..
    } = settings;
    let protocol = match url.framing {
        Some(Protocol::P1) if keys.is_some() => Protocol::P1Ciphered,
        Some(protocol) => protocol,
        None => return,
    };
    let mut port = Port::new(protocol, keys);
    if let Some(counters) = &counters {
        port = port.with_windows(counters.windows());
    }
    let attempts = url.attempts();
    let mut attempt = 0;
    let mut pause = PAUSE_FIRST;
    loop {
        let before = port.counters();
        let Some(place) = attempts.get(attempt % attempts.len().max(1)) else {
            return;
        };
        let is_only = attempts.len() == 1 || before != Counters::default();
        let mut ears = Hearing {
            url: &url,
            place,
            is_only,
            counters: &mut counters,
        };
        let Ok(lost) = ears.hear(&mut port, &shared).await else {
            return;
        };
        if let SourceError::Unreadable = lost {
            attempt += 1;
        } else {
            tracing::info!(source = %url, reason = %lost, "the port is closed");
            if shared.tell(SourceEvent::Disconnected(lost)).await.is_err() {
                return;
            }
        }
        if port.counters().reports > before.reports {
            pause = PAUSE_FIRST;
        }
        port.interrupted();
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// A port that is listened to.
struct Hearing<'a> {
    url: &'a SourceUrl,
    place: &'a Place,
    /// Whether there is no other form of octets to try.
    is_only: bool,
    counters: &'a mut Option<Box<dyn PushCounters>>,
}

impl Hearing<'_> {
    /// Listens until the port is lost.
    async fn hear(&mut self, port: &mut Port, shared: &Shared) -> Result<SourceError, Unheard> {
        let mut ears = match tokio::time::timeout(OPENING_MAX, Ears::open(self.place)).await {
            Ok(Ok(ears)) => ears,
            Ok(Err(error)) => return Ok(error.into()),
            Err(_) => return Ok(SourceError::silent(OPENING_MAX)),
        };
        tracing::info!(source = %self.url, form = %self.form(), "the port is open");
        shared.tell(SourceEvent::Connected).await?;
        let mut input = [0; INPUT_SIZE];
        let mut unread_since = None;
        loop {
            let heard = match octets(&mut ears, &mut input, self.url.silence()).await {
                Ok(heard) => heard,
                Err(error) => return Ok(error),
            };
            let count = u64::try_from(heard.len()).unwrap_or(0);
            shared.octets.fetch_add(count, Ordering::Relaxed);
            let now = shared.clock.now();
            let reports = port.handle(heard, now);
            shared.count(port.counters());
            let taken = port.taken();
            if let Some(counters) = self.counters.as_mut()
                && !taken.is_empty()
                && let Err(error) = counters.keep(&taken)
            {
                // What could be told again after a restart is not told now.
                tracing::warn!(%error, "the counter of a message cannot be kept");
                continue;
            }
            for report in reports {
                shared.tell(SourceEvent::Report(report)).await?;
            }
            if self.is_only {
                continue;
            }
            if port.counters() != Counters::default() {
                tracing::info!(form = %self.form(), "the port can be read so: name it in the source");
                self.is_only = true;
            } else if now.since(*unread_since.get_or_insert(now)) > FORM_MAX {
                tracing::info!(form = %self.form(), "the port cannot be read so");
                return Ok(SourceError::Unreadable);
            }
        }
    }

    /// The form of octets, as options of a URL.
    fn form(&self) -> String {
        match self.place {
            Place::Device(device) => {
                format!("baud={}&parity={}", device.baud, device.parity.name())
            }
            Place::Server(_) => String::new(),
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
