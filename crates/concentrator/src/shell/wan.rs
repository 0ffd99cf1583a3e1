//! The ways to head ends: connections that come in and that are made, windows, and what goes
//! over each.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dlms::server::{
    AssociationState, Input as ServerInput, Output as ServerOutput, Server, Settings,
};
use link::{Clock, Endpoint, Link, LinkError, LinkExt as _, Listener, Message, connect};
use model::MessageClass;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::partner::{HELD_ALL, HELD_NONE};
use super::{CONNECTIONS_MAX, EVENTS_AT_ONCE};
use crate::config::WanConfig;
use crate::core::Input;
use crate::device::{Device, MANAGEMENT_CLIENT, SharedCore};
use crate::direct::{Connection, RouterLimits};
use crate::sap::OWN_SAP;
use crate::status;
use crate::ways::{self, Moment, Ways};

/// Messages that wait for one connection; more are dropped.
const OUTGOING_MAX: usize = 1_024;

/// How long a connection that came in may take to say something at all.
const FIRST: Duration = Duration::from_secs(60);

/// How long connecting to a head end may take, and the wait before it is
/// tried again.
const CONNECTING: Duration = Duration::from_secs(15);

/// Of what comes over a connection: over which way of the configuration, and how urgent that makes
/// it where the client's SAP says nothing.
#[derive(Clone, Copy)]
pub(super) struct Arrives {
    pub(super) way: usize,
    pub(super) class: Option<MessageClass>,
}

/// The WAN: its connections and what they share.
pub(super) struct Wan {
    pub(super) inputs: mpsc::Sender<Input>,
    /// The number of the newest notice.
    pub(super) news: watch::Sender<u32>,
    pub(super) core: SharedCore,
    /// Which segments are this one's, of a pair.
    pub(super) held: Option<Arc<AtomicU8>>,
    /// Counts up when segments were handed to the other: connections end, so that whoever waits
    /// for an answer asks there.
    pub(super) hang_up: watch::Sender<u32>,
    pub(super) device: Arc<Mutex<Device>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) connections: Mutex<Connections>,
    pub(super) ways: Mutex<Ways>,
    pub(super) limits: RouterLimits,
}

#[derive(Default)]
pub(super) struct Connections {
    last: u64,
    open: BTreeMap<Connection, Open>,
}

/// A connection that is open.
struct Open {
    outgoing: mpsc::Sender<Message>,
    credits: Arc<Semaphore>,
    /// The address that it came from; none: we made it ourselves.
    from: Option<String>,
    /// When something came over it, in microseconds of the clock; 0: never.
    heard: Arc<AtomicU64>,
    /// Says that it has to make room.
    go: Arc<Notify>,
    peer: status::Peer,
}

impl Connections {
    /// Lets one go where there are too many: of the address that has most of
    /// them, first what never said anything, then what was silent for longest.
    /// So nobody keeps others out by connecting often and being quiet.
    fn make_room(&self) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let came = || {
            self.open
                .iter()
                .filter_map(|(at, it)| Some((at, it, it.from.as_deref()?)))
        };
        for (_, _, from) in came() {
            *counts.entry(from).or_default() += 1;
        }
        if counts.values().sum::<usize>() <= CONNECTIONS_MAX {
            return;
        }
        let most = counts.values().copied().max();
        let crowded = came().filter(|(.., from)| counts.get(from).copied() == most);
        let silent = crowded.min_by_key(|(at, it, _)| (it.heard.load(Ordering::Relaxed), **at));
        if let Some((_, it, _)) = silent {
            it.go.notify_one();
        }
    }
}

impl Wan {
    fn connections(&self) -> std::sync::MutexGuard<'_, Connections> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn device(&self) -> std::sync::MutexGuard<'_, Device> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_ways(&self) -> std::sync::MutexGuard<'_, Ways> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moment(&self) -> Moment {
        Moment {
            now: self.clock.now(),
            unix: self.clock.unix_seconds(),
        }
    }

    pub(super) fn send(&self, connection: Connection, message: Message) {
        let connections = self.connections();
        if let Some(open) = connections.open.get(&connection)
            && open.outgoing.try_send(message).is_err()
        {
            tracing::debug!(?connection, "an answer was dropped: nobody takes it");
        }
    }

    pub(super) fn credit(&self, connection: Connection) {
        if let Some(open) = self.connections().open.get(&connection) {
            open.credits.add_permits(1);
        }
    }

    pub(super) async fn listen(self: Arc<Self>, mut listener: Listener, arrives: Arrives) {
        let mut links = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Some(accepted) = accepted else { return };
                    let wan = Arc::clone(&self);
                    links.spawn(async move {
                        // Who came comes again, or sees himself why not.
                        drop(wan.serve(accepted.link, Side::Came, arrives).await);
                        drop(accepted.permit);
                    });
                }
                Some(_) = links.join_next() => {}
            }
        }
    }

    /// Connects to a head end: always, or in windows. Where another place was
    /// written, that one; and in turn the one that is configured, lest nobody
    /// is ever reached again.
    pub(super) async fn dial(
        self: Arc<Self>,
        configured: Endpoint,
        dial: WanConfig,
        arrives: Arrives,
        first: bool,
    ) {
        let mut failed = 0_u32;
        let mut trouble = Trouble::default();
        loop {
            let written = self.device().setup().destination.clone();
            let endpoint = match written.filter(|_| first && failed.is_multiple_of(2)) {
                Some(at) => configured.clone().with_host(&at.host).with_port(at.port),
                None => configured.clone(),
            };
            let stay = match window(self.clock.unix_seconds(), &dial) {
                Window::Always => None,
                Window::Open(stay) => Some(stay),
                Window::Closed(wait) => {
                    tokio::time::sleep(wait).await;
                    continue;
                }
            };
            match connect(&endpoint, (OWN_SAP, OWN_SAP), &self.clock, CONNECTING).await {
                Ok(link) => {
                    failed = 0;
                    let side = Side::Made(stay);
                    let served = Arc::clone(&self).serve(link, side, arrives).await;
                    trouble.tell(&endpoint, served.as_ref().err());
                    if served.is_ok() && stay.is_some() {
                        // The window is over; the next one is waited for.
                        continue;
                    }
                }
                Err(error) => {
                    failed = failed.wrapping_add(1);
                    trouble.tell(&endpoint, Some(&error));
                }
            }
            tokio::time::sleep(CONNECTING).await;
        }
    }

    /// Serves one connection until it ends, or for as long as it may stay.
    async fn serve(
        self: Arc<Self>,
        link: Box<dyn Link>,
        side: Side,
        arrives: Arrives,
    ) -> Result<(), LinkError> {
        let (outgoing, waiting) = mpsc::channel(OUTGOING_MAX);
        let peer = link.peer();
        let mut line = WanLine {
            link,
            waiting,
            credits: Arc::new(Semaphore::new(self.limits.per_connection)),
            heard: Arc::default(),
            came: matches!(side, Side::Came),
            arrives,
        };
        let go = Arc::new(Notify::new());
        let connection = {
            let mut connections = self.connections();
            connections.last += 1;
            let connection = Connection(connections.last);
            let open = Open {
                outgoing,
                credits: Arc::clone(&line.credits),
                from: line.came.then(|| address(&peer)),
                heard: Arc::clone(&line.heard),
                go: Arc::clone(&go),
                peer: status::Peer {
                    peer: peer.clone(),
                    dialled: !line.came,
                    since: self.clock.unix_seconds(),
                },
            };
            connections.open.insert(connection, open);
            connections.make_room();
            connection
        };
        tracing::info!(%peer, "a head end is connected");
        let mut served = Ok(());
        if self.inputs.send(Input::Opened(connection)).await.is_ok() {
            let stay = async {
                match side {
                    Side::Made(Some(stay)) => tokio::time::sleep(stay).await,
                    Side::Made(None) | Side::Came => std::future::pending().await,
                }
            };
            served = tokio::select! {
                ended = self.carry(&mut line, connection) => ended,
                () = stay => Ok(()),
                () = go.notified() => Err(LinkError::Closed),
            };
            let ended = served.as_ref().err().map(reason);
            tracing::info!(%peer, ended, "a connection to a head end has ended");
        }
        let heard = dlms::Instant::from_micros(line.heard.load(Ordering::Relaxed));
        if heard.as_micros() > 0 {
            let at = self.moment();
            let idle = at.now.since(heard) >= self.device().setup().idle();
            let seen = !idle && served.as_ref().err().is_some_and(hung_up);
            self.known_ways().ended(arrives.way, seen, at);
        }
        self.connections().open.remove(&connection);
        // Where the core is gone there is nothing to tell.
        drop(self.inputs.send(Input::Closed(connection)).await);
        served
    }

    async fn carry(&self, line: &mut WanLine, connection: Connection) -> Result<(), LinkError> {
        let WanLine {
            link,
            waiting,
            credits,
            heard,
            came,
            arrives,
        } = line;
        let swallow = self.limits.swallow;
        let mut own = Server::new(Settings::default());
        let mut news = self.news.subscribe();
        let idle = self.device().setup().idle();
        let mut handed_over = self.hang_up.subscribe();
        let mut pushed = Pushed::default();
        loop {
            for push in self.push(&mut own, &mut pushed) {
                put(link, push, swallow).await?;
                flush(link, swallow).await?;
            }
            let again = async {
                match pushed.again {
                    Some(at) => {
                        let left = at.since(self.clock.now());
                        tokio::time::sleep(left.max(Duration::from_millis(1))).await;
                    }
                    None => std::future::pending().await,
                }
            };
            let arrived = tokio::select! {
                Ok(()) = news.changed() => continue,
                Ok(()) = handed_over.changed() => return Ok(()),
                () = again => continue,
                Some(message) = waiting.recv() => {
                    put(link, message, swallow).await?;
                    let mut more = 0;
                    while more < EVENTS_AT_ONCE && let Ok(message) = waiting.try_recv() {
                        put(link, message, swallow).await?;
                        more += 1;
                    }
                    flush(link, swallow).await?;
                    continue;
                }
                arrived = async {
                    let credit = credits.acquire().await.map_err(|_| LinkError::Closed)?;
                    let quiet = *came && heard.load(Ordering::Relaxed) == 0;
                    let wait = if quiet { idle.min(FIRST) } else { idle };
                    let message = tokio::time::timeout(wait, link.receive()).await;
                    let message = message.map_err(|_| LinkError::Closed)??;
                    Ok::<_, LinkError>((message, credit))
                } => arrived,
            };
            let (mut message, credit) = arrived?;
            if let Some(class) = arrives.class {
                message.class = class;
            }
            let at = self.moment();
            let first = heard.swap(at.now.as_micros().max(1), Ordering::Relaxed) == 0;
            self.known_ways().message(arrives.way, first, at);
            if message.destination == OWN_SAP && message.payload.first() != Some(&GATEWAY_REQUEST) {
                drop(credit);
                for answer in self.answer(&mut own, &message) {
                    put(link, answer, swallow).await?;
                }
                flush(link, swallow).await?;
                continue;
            }
            if self.elsewhere(&message) {
                tracing::debug!(
                    sap = message.destination,
                    "a meter is the other concentrator's"
                );
                return Ok(());
            }
            // It comes back from the core once the message waits no longer.
            credit.forget();
            let input = Input::FromWan(connection, message);
            if self.inputs.send(input).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Tells whether the other of the pair is the one to ask: an end that is seen at once costs
    /// less than an answer that never comes.
    fn elsewhere(&self, message: &Message) -> bool {
        let Some(held) = &self.held else {
            return false;
        };
        match held.load(Ordering::Relaxed) {
            HELD_ALL => false,
            HELD_NONE => true,
            _ => {
                let named = message.destination != link::ALL_STATIONS
                    && message.payload.first() != Some(&GATEWAY_REQUEST);
                let core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
                named && !core.reaches(message.destination)
            }
        }
    }

    /// Pushes the oldest notice that nobody took to the management client,
    /// where its association is open on this connection: so nobody else is
    /// told what he did not ask for.
    fn push(&self, own: &mut Server, pushed: &mut Pushed) -> Vec<Message> {
        if own.state(MANAGEMENT_CLIENT) != AssociationState::Open {
            *pushed = Pushed::default();
            return Vec::new();
        }
        let now = self.clock.now();
        let mut device = self.device();
        let Some((number, apdu)) = device.push() else {
            pushed.again = None;
            return Vec::new();
        };
        let at_once = device.take_push_now();
        if pushed.number != number {
            *pushed = Pushed {
                number,
                again: Some(now + device.push_wait()),
                times: 0,
            };
        }
        let due = pushed.again.is_some_and(|at| at <= now);
        if !due && !at_once {
            return Vec::new();
        }
        pushed.times += 1;
        let setup = device.setup();
        let repetition = Duration::from_secs(u64::from(setup.repetition_s));
        // Once, and as often again as it is to be repeated.
        let more = pushed.times <= u32::from(setup.retries);
        pushed.again = more.then(|| now + repetition);
        let input = ServerInput::Notify {
            client: MANAGEMENT_CLIENT,
            apdu: &apdu,
        };
        own.handle(input, now, &mut *device);
        drop(device);
        transmitted(own)
    }

    /// Lets the own logical device answer.
    fn answer(&self, own: &mut Server, message: &Message) -> Vec<Message> {
        let mut device = self.device();
        let input = ServerInput::Apdu {
            client: message.source,
            broadcast: false,
            octets: &message.payload,
        };
        own.handle(input, self.clock.now(), &mut *device);
        drop(device);
        transmitted(own)
    }
}

impl status::Wan for Wan {
    fn peers(&self) -> Vec<status::Peer> {
        let connections = self.connections();
        connections
            .open
            .values()
            .map(|it| it.peer.clone())
            .collect()
    }

    fn ways(&self) -> ways::Told {
        self.known_ways().told(self.clock.now())
    }
}

/// Who opened a connection.
enum Side {
    /// A head end.
    Came,
    /// This concentrator; and how long it stays, where there are windows.
    Made(Option<Duration>),
}

/// Why a head end was not reached, or hung up, the last time: told once, and
/// again when it is another reason.
#[derive(Default)]
struct Trouble(Option<String>);

impl Trouble {
    fn tell(&mut self, endpoint: &Endpoint, error: Option<&LinkError>) {
        // A peer that hangs up is one that was reached.
        let now = error.filter(|error| !hung_up(error)).map(reason);
        if let Some(reason) = now.as_deref().filter(|_| now != self.0) {
            // Without the files that the endpoint names.
            let at = endpoint.host_port().map(ToString::to_string);
            tracing::warn!(
                head_end = at,
                reason,
                "no connection to the head end: it is tried again and again"
            );
        }
        self.0 = now;
    }
}

/// Whether an error says that the peer, or its system, ended the connection.
fn hung_up(error: &LinkError) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    match error {
        LinkError::Closed => true,
        LinkError::Io(it) => [BrokenPipe, ConnectionReset, UnexpectedEof].contains(&it.kind()),
        _ => false,
    }
}

/// An error with its cause.
fn reason(error: &LinkError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// One connection, as its task has it.
struct WanLine {
    link: Box<dyn Link>,
    waiting: mpsc::Receiver<Message>,
    credits: Arc<Semaphore>,
    heard: Arc<AtomicU64>,
    came: bool,
    arrives: Arrives,
}

/// The address in what a link says of its peer, without its port.
fn address(peer: &str) -> String {
    let at = peer.split_once("://").map_or(peer, |(_, at)| at);
    at.rsplit_once(':').map_or(at, |(host, _)| host).to_owned()
}

/// The push whose confirmation is waited for.
#[derive(Default)]
struct Pushed {
    number: u32,
    again: Option<dlms::Instant>,
    /// How often it was sent.
    times: u32,
}

fn transmitted(own: &mut Server) -> Vec<Message> {
    let mut all = Vec::new();
    while let ServerOutput::Transmit { client, octets } = own.poll() {
        all.push(Message {
            source: OWN_SAP,
            destination: client,
            class: MessageClass::Request,
            payload: octets,
        });
    }
    all
}

/// Whether a connection to the head end is wanted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Window {
    /// Yes, as long as it holds.
    Always,
    /// Yes, for so long.
    Open(Duration),
    /// Not for so long.
    Closed(Duration),
}

/// Windows begin at multiples of `every_s` of the time of day, so that a
/// restart does not move them.
fn window(unix: i64, dial: &WanConfig) -> Window {
    let every = i64::from(dial.every_s);
    if every == 0 {
        return Window::Always;
    }
    let into = unix.rem_euclid(every);
    let stay = i64::from(dial.stay_s);
    let seconds = |count: i64| Duration::from_secs(u64::try_from(count).unwrap_or(1));
    if into < stay {
        Window::Open(seconds(stay - into))
    } else {
        Window::Closed(seconds(every - into))
    }
}

/// The first octet of a request with a gateway prefix, which is for the device
/// that it names.
const GATEWAY_REQUEST: u8 = 0xE6;

async fn put(
    link: &mut Box<dyn Link>,
    message: Message,
    swallow: Duration,
) -> Result<(), LinkError> {
    match link.send(message) {
        // A class whose line is full, with a flush behind every burst: the
        // burst was longer than the line.
        Err(LinkError::Full(_)) => flush(link, swallow).await,
        // One that does not fit is lost, the rest goes on.
        Err(LinkError::TooLong { .. }) => Ok(()),
        sent => sent,
    }
}

async fn flush(link: &mut Box<dyn Link>, swallow: Duration) -> Result<(), LinkError> {
    let flushed = tokio::time::timeout(swallow, link.flush()).await;
    flushed.unwrap_or(Err(LinkError::Timeout {
        phase: "sending",
        seconds: swallow.as_secs(),
    }))
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;

    fn open(from: Option<&str>, heard: u64) -> Open {
        Open {
            outgoing: mpsc::channel(1).0,
            credits: Arc::new(Semaphore::new(1)),
            from: from.map(str::to_owned),
            heard: Arc::new(AtomicU64::new(heard)),
            go: Arc::new(Notify::new()),
            peer: status::Peer {
                peer: String::new(),
                dialled: false,
                since: 0,
            },
        }
    }

    /// Whether a connection was told to go.
    async fn goes(connections: &Connections, number: u64) -> bool {
        let go = &connections.open[&Connection(number)].go;
        tokio::time::timeout(Duration::ZERO, go.notified())
            .await
            .is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_most_and_says_nothing_makes_room() {
        let mut connections = Connections::default();
        connections.open.insert(Connection(1), open(None, 0));
        connections
            .open
            .insert(Connection(2), open(Some("192.0.2.1"), 5));
        for number in 3..=u64::try_from(CONNECTIONS_MAX).unwrap() + 1 {
            let heard = if number == 9 { 0 } else { number };
            let it = open(Some("192.0.2.66"), heard);
            connections.open.insert(Connection(number), it);
        }
        // So many are well.
        connections.make_room();
        assert!(!goes(&connections, 9).await);
        let last = u64::try_from(CONNECTIONS_MAX).unwrap() + 2;
        connections
            .open
            .insert(Connection(last), open(Some("192.0.2.2"), 1));
        connections.make_room();
        for number in 1..=last {
            assert_eq!(goes(&connections, number).await, number == 9, "{number}");
        }
        // Without that one, who was silent for longest.
        connections.open.remove(&Connection(9));
        connections
            .open
            .insert(Connection(last + 1), open(Some("192.0.2.66"), last));
        connections.make_room();
        for number in connections.open.keys().copied().collect::<Vec<_>>() {
            assert_eq!(goes(&connections, number.0).await, number.0 == 3);
        }
    }

    #[test]
    fn a_peer_is_known_by_its_address() {
        assert_eq!(address("tcp://192.0.2.1:4059"), "192.0.2.1");
        assert_eq!(address("tls://[2001:db8::1]:4059"), "[2001:db8::1]");
        assert_eq!(address("somebody"), "somebody");
    }

    #[test]
    fn windows_are_those_of_the_time_of_day() {
        let dial = |every_s, stay_s| WanConfig {
            every_s,
            stay_s,
            ..WanConfig::default()
        };
        assert_eq!(window(77, &dial(0, 0)), Window::Always);
        let hourly = dial(3_600, 600);
        let seconds = Duration::from_secs;
        assert_eq!(window(7_200, &hourly), Window::Open(seconds(600)));
        assert_eq!(window(7_799, &hourly), Window::Open(seconds(1)));
        assert_eq!(window(7_800, &hourly), Window::Closed(seconds(3_000)));
        assert_eq!(window(-1, &hourly), Window::Closed(seconds(1)));
        assert_eq!(window(5, &dial(10, 10)), Window::Open(seconds(5)));
    }
}
