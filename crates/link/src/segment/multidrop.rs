//! Many meters on one RS-485 line, each asked in turn over HDLC.
//!
//! The line is half duplex and the concentrator its only primary station: one
//! of its data links at a time has the line, from its question to the answer.
//! Between a frame and the next the line may go to another link, so that an
//! urgent message waits for one frame and its answer, never for the rest of a
//! long message. A link's clock stands still while its frame waits for the
//! line: only silence of the meter counts as silence.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dlms::Instant;
use dlms::codec::Wire as _;
use dlms::hdlc::{
    Address, Control, Event, FRAME_LENGTH_MAX, Frame, Output, Parameters, Primary, llc, primary,
};
use model::MessageClass;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Node, Segment, SegmentEvent};
use crate::connect::serial;
use crate::time::Timer;
use crate::{Clock, Endpoint, LinkError, Message, Sap};

/// A meter of a [`Multidrop`] line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultidropMeter {
    /// The lower HDLC address: the physical device, 0x10 to 0x3FFD.
    pub address: u16,
    /// The SAP of its management logical device, the upper HDLC address.
    pub server: Sap,
}

/// How a [`Multidrop`] line is worked.
#[derive(Clone, Debug)]
pub struct MultidropConfig {
    /// The meters on it.
    pub meters: Vec<MultidropMeter>,
    /// Octets of a server address, 2 or 4.
    pub width: u8,
    /// Octets of information in a frame, 32 to 2,030.
    pub information: u16,
    /// Frames under way before an acknowledgement, 1 to 7. With more than one
    /// an urgent message waits for as many.
    pub window: u8,
    /// Bits a second, for the time that a frame takes on the line.
    pub baud: u32,
    /// How long a meter may take before it begins to answer.
    pub response_timeout: Duration,
    /// How often a meter that is silent is asked again.
    pub retries: u32,
    /// How long an answer to a message may take in all.
    pub reply_timeout: Duration,
    /// How long a data link stays open without a message. A meter ends it by
    /// itself after a time of its own (IEC 62056-21 has 120 s as default),
    /// which must be longer.
    pub linger: Duration,
    /// The wait before a meter that did not answer is looked for again; it
    /// doubles up to an hour.
    pub retry_first: Duration,
}

impl Default for MultidropConfig {
    fn default() -> Self {
        Self {
            meters: Vec::new(),
            width: 2,
            information: 128,
            window: 1,
            baud: 9_600,
            response_timeout: Duration::from_millis(1_500),
            retries: 2,
            reply_timeout: Duration::from_secs(30),
            linger: Duration::from_secs(60),
            retry_first: Duration::from_secs(10),
        }
    }
}

/// Meters that one line may have (RS-485 has 32 unit loads; transceivers of
/// an eighth of a load make 256).
const METERS_MAX: usize = 256;

/// Data links that one meter may have open: one for each client.
const LINKS_PER_METER_MAX: usize = 4;

/// Messages that may be in the segment at once.
const WINDOW: usize = 16;

/// The longest wait before a silent meter is looked for again.
const RETRY_LONGEST: Duration = Duration::from_secs(3_600);

/// Octets of the longest message.
const MESSAGE_LENGTH_MAX: usize = 65_532;

/// The line without I/O: who has it, and what waits for it.
pub struct Multidrop {
    config: MultidropConfig,
    nodes: Vec<NodeState>,
    links: BTreeMap<Key, DataLink>,
    waiting: VecDeque<(Option<Node>, Message)>,
    /// The data link whose question is on the line.
    holder: Option<Key>,
    /// Counts grants, so that within a class the oldest frame goes first.
    turns: u64,
    octets: VecDeque<Vec<u8>>,
    events: VecDeque<SegmentEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    node: Node,
    client: Sap,
    server: Sap,
}

struct NodeState {
    joined: bool,
    search_at: Instant,
    wait: Duration,
}

/// One data link, and what of it waits for the line.
struct DataLink {
    primary: Primary,
    /// Frames that wait for the line.
    frames: VecDeque<Vec<u8>>,
    since: u64,
    class: MessageClass,
    /// How far its clock is behind: the time that its frames have waited.
    lag: Duration,
    /// Since when its clock stands still.
    frozen: Option<Instant>,
    /// The message under way; it may be sent once more where the meter had
    /// let go of the data link.
    message: Option<Message>,
    fresh: bool,
    searching: bool,
    used: Instant,
    /// Questions that had to go again, as far as they were told.
    repeated: u64,
}

impl DataLink {
    fn time(&self, now: Instant) -> Instant {
        let now = self.frozen.unwrap_or(now);
        Instant::from_micros(
            now.as_micros()
                .saturating_sub(u64::try_from(self.lag.as_micros()).unwrap_or(u64::MAX)),
        )
    }

    fn freeze(&mut self, now: Instant) {
        if self.frozen.is_none() {
            self.frozen = Some(now);
        }
    }

    /// Lets its clock go again once `airtime` is over, too.
    fn thaw(&mut self, now: Instant, airtime: Duration) {
        if let Some(frozen) = self.frozen.take() {
            self.lag += now.since(frozen) + airtime;
        }
    }

    fn is_asking(&self) -> bool {
        matches!(
            self.primary.state(),
            primary::StateKind::Connecting
                | primary::StateKind::Polling
                | primary::StateKind::Disconnecting
        )
    }
}

impl Multidrop {
    /// Starts with a quiet line.
    ///
    /// # Errors
    /// [`LinkError::Unsupported`] where an address does not fit the width, is
    /// there twice, or there are more than 256 meters.
    pub fn new(config: MultidropConfig, now: Instant) -> Result<Self, LinkError> {
        let mut seen = std::collections::BTreeSet::new();
        for meter in &config.meters {
            if server_address(&config, *meter, meter.server).is_none()
                || !seen.insert(meter.address)
            {
                return Err(LinkError::Unsupported(
                    "an HDLC address that does not fit its width, or stands twice,",
                ));
            }
        }
        if config.meters.len() > METERS_MAX {
            return Err(LinkError::Unsupported("a line of more than 256 meters"));
        }
        let nodes = config.meters.iter().map(|_| NodeState {
            joined: false,
            search_at: now,
            wait: config.retry_first,
        });
        Ok(Self {
            nodes: nodes.collect(),
            links: BTreeMap::new(),
            waiting: VecDeque::new(),
            holder: None,
            turns: 0,
            octets: VecDeque::new(),
            events: VecDeque::new(),
            config,
        })
    }

    /// Takes a message for a meter or for all.
    ///
    /// # Errors
    /// As [`Segment::send`].
    pub fn send(
        &mut self,
        node: Option<Node>,
        message: Message,
        now: Instant,
    ) -> Result<(), LinkError> {
        if message.payload.len() > MESSAGE_LENGTH_MAX {
            return Err(LinkError::TooLong {
                length: message.payload.len(),
                max: MESSAGE_LENGTH_MAX,
            });
        }
        let busy = self
            .links
            .values()
            .filter(|it| it.message.is_some())
            .count();
        // Two places more are kept for what is urgent.
        let places = if message.class <= MessageClass::Warning {
            WINDOW + 2
        } else {
            WINDOW
        };
        if self.waiting.len() + busy >= places {
            return Err(LinkError::Full(message.class));
        }
        if let Some(node) = node
            && self.meter(node).is_none()
        {
            return Err(LinkError::Closed);
        }
        // Behind what is as urgent or more.
        let place = self
            .waiting
            .iter()
            .position(|(_, other)| other.class > message.class)
            .unwrap_or(self.waiting.len());
        self.waiting.insert(place, (node, message));
        self.advance(now);
        Ok(())
    }

    /// Takes octets of the line.
    pub fn receive(&mut self, octets: &[u8], now: Instant) {
        // Only who was asked answers; what else is on the line is noise.
        if let Some(link) = self.holder.and_then(|key| self.links.get_mut(&key)) {
            let time = link.time(now);
            quietly(link.primary.handle(primary::Input::Octets(octets), time));
        }
        self.advance(now);
    }

    /// Lets time pass.
    pub fn timeout(&mut self, now: Instant) {
        for link in self.links.values_mut().filter(|it| it.frozen.is_none()) {
            let time = link.time(now);
            quietly(link.primary.handle(primary::Input::Timeout, time));
        }
        self.advance(now);
    }

    /// Takes the next octets for the line.
    pub fn transmit(&mut self) -> Option<Vec<u8>> {
        self.octets.pop_front()
    }

    /// Takes the next event.
    pub fn event(&mut self) -> Option<SegmentEvent> {
        self.events.pop_front()
    }

    /// Tells when [`timeout`](Self::timeout) is due.
    pub fn deadline(&mut self) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let mut sooner = |at: Instant| next = Some(next.map_or(at, |other| other.min(at)));
        for link in self.links.values_mut() {
            if link.frozen.is_some() {
                continue;
            }
            if let Output::Timeout(Some(at)) = link.primary.poll() {
                sooner(at + link.lag);
            }
            if link.message.is_none() && link.primary.state() == primary::StateKind::Ready {
                sooner(link.used + self.config.linger);
            }
        }
        // One meter is looked for at a time.
        if !self.links.values().any(|link| link.searching) {
            for node in self.nodes.iter().filter(|node| !node.joined) {
                sooner(node.search_at);
            }
        }
        next
    }

    fn meter(&self, node: Node) -> Option<MultidropMeter> {
        let index = usize::try_from(node.0).ok()?;
        self.config.meters.get(index).copied()
    }

    fn node(&mut self, node: Node) -> Option<&mut NodeState> {
        let index = usize::try_from(node.0).ok()?;
        self.nodes.get_mut(index)
    }

    /// Goes on until nothing more can be done now.
    fn advance(&mut self, now: Instant) {
        loop {
            self.collect(now);
            let begun = self.begin(now) | self.search(now) | self.let_go(now);
            let granted = self.grant(now);
            if !begun && !granted {
                return;
            }
        }
    }

    /// Fetches what the machines have to say.
    fn collect(&mut self, now: Instant) {
        let mut gone = Vec::new();
        for (&key, link) in &mut self.links {
            loop {
                match link.primary.poll() {
                    Output::Transmit(octets) => {
                        if link.frames.is_empty() {
                            self.turns += 1;
                            link.since = self.turns;
                        }
                        link.frames.push_back(octets);
                        link.freeze(now);
                    }
                    Output::Event(event) => {
                        let node = self
                            .nodes
                            .get_mut(usize::try_from(key.node.0).unwrap_or(usize::MAX));
                        if let Some(node) = node
                            && told(key, link, node, &self.config, event, now, &mut self.events)
                        {
                            gone.push(key);
                        }
                    }
                    Output::Timeout(_) => break,
                }
            }
        }
        for key in gone {
            self.links.remove(&key);
            if self.holder == Some(key) {
                self.holder = None;
            }
        }
        let asking = |key: Key| {
            let link = self.links.get(&key);
            link.is_some_and(|link| link.is_asking() && link.frames.is_empty())
        };
        if !self.holder.is_some_and(asking) {
            self.holder = None;
        }
    }

    /// Hands messages that wait to data links that are free.
    fn begin(&mut self, now: Instant) -> bool {
        let mut begun = false;
        let mut later = VecDeque::new();
        while let Some((node, message)) = self.waiting.pop_front() {
            let Some(node) = node else {
                self.broadcast(&message);
                begun = true;
                continue;
            };
            let key = Key {
                node,
                client: message.source,
                server: message.destination,
            };
            match self.link_for(key, now) {
                Some(link) if link.message.is_none() => {
                    link.class = message.class;
                    link.fresh = false;
                    link.used = now;
                    let time = link.time(now);
                    let sent = match link.primary.state() {
                        primary::StateKind::Ready => link
                            .primary
                            .handle(primary::Input::Message(&message.payload), time),
                        primary::StateKind::Disconnected => {
                            link.fresh = true;
                            link.primary.handle(primary::Input::Connect, time)
                        }
                        _ => Ok(()),
                    };
                    quietly(sent);
                    link.message = Some(message);
                    begun = true;
                }
                Some(_) => later.push_back((Some(node), message)),
                None => self.events.push_back(SegmentEvent::Done {
                    node: Some(node),
                    class: message.class,
                    delivered: false,
                }),
            }
        }
        self.waiting = later;
        begun
    }

    fn link_for(&mut self, key: Key, now: Instant) -> Option<&mut DataLink> {
        if !self.links.contains_key(&key) {
            let meter = self.meter(key.node)?;
            let server = server_address(&self.config, meter, key.server)?;
            let client = Address::one(key.client)?;
            let of_meter = self.links.iter().filter(|(it, _)| it.node == key.node);
            if of_meter.count() >= LINKS_PER_METER_MAX {
                let idle = self
                    .links
                    .iter()
                    .filter(|(it, link)| it.node == key.node && link.message.is_none())
                    .min_by_key(|(_, link)| link.used)
                    .map(|(it, _)| *it)?;
                self.links.remove(&idle);
            }
            let link = DataLink {
                primary: Primary::new(primary_config(&self.config, client, server)),
                frames: VecDeque::new(),
                since: 0,
                class: MessageClass::Usage,
                lag: Duration::ZERO,
                frozen: None,
                message: None,
                repeated: 0,
                fresh: true,
                searching: false,
                used: now,
            };
            self.links.insert(key, link);
        }
        self.links.get_mut(&key)
    }

    /// Looks for one meter that has not answered yet.
    fn search(&mut self, now: Instant) -> bool {
        if self.links.values().any(|link| link.searching) {
            return false;
        }
        let due = |(number, node): (u32, &NodeState)| {
            (!node.joined && node.search_at <= now).then_some(Node(number))
        };
        let Some(node) = (0_u32..).zip(&self.nodes).find_map(due) else {
            return false;
        };
        let Some(meter) = self.meter(node) else {
            return false;
        };
        let key = Key {
            node,
            client: PUBLIC_CLIENT,
            server: meter.server,
        };
        let wait = match self.node(node) {
            Some(state) => {
                state.search_at = now + state.wait;
                state.wait = (state.wait * 2).min(RETRY_LONGEST);
                state.wait
            }
            None => return false,
        };
        tracing::trace!(?node, ?wait, "looking for a meter");
        let Some(link) = self.link_for(key, now) else {
            return false;
        };
        if link.message.is_some() || link.primary.state() != primary::StateKind::Disconnected {
            return false;
        }
        link.searching = true;
        link.class = MessageClass::Usage;
        let time = link.time(now);
        quietly(link.primary.handle(primary::Input::Connect, time));
        true
    }

    /// Ends data links that nobody used for long.
    fn let_go(&mut self, now: Instant) -> bool {
        let mut ended = false;
        for link in self.links.values_mut() {
            if link.message.is_none()
                && link.frames.is_empty()
                && link.primary.state() == primary::StateKind::Ready
                && now.since(link.used) >= self.config.linger
            {
                link.class = MessageClass::Usage;
                let time = link.time(now);
                quietly(link.primary.handle(primary::Input::Disconnect, time));
                ended = true;
            }
        }
        ended
    }

    /// Gives the line to the most urgent of what waits for it.
    fn grant(&mut self, now: Instant) -> bool {
        if self.holder.is_some() {
            return false;
        }
        let next = self
            .links
            .iter()
            .filter(|(_, link)| !link.frames.is_empty())
            .min_by_key(|(_, link)| (link.class, link.since))
            .map(|(key, _)| *key);
        let Some(key) = next else { return false };
        let Some(link) = self.links.get_mut(&key) else {
            return false;
        };
        let frames = core::mem::take(&mut link.frames);
        let length = frames.iter().map(Vec::len).sum::<usize>();
        self.octets.extend(frames);
        link.thaw(now, airtime(length, self.config.baud));
        if link.is_asking() {
            self.holder = Some(key);
        }
        true
    }

    /// Sends to every station: UI frames, which nobody answers.
    fn broadcast(&mut self, message: &Message) {
        let all = match self.config.width {
            4 => Address::four(0x3FFF, 0x3FFF),
            _ => Address::two(0x7F, 0x7F),
        };
        let ends = all.zip(Address::one(message.source));
        let delivered = ends.is_some();
        if let Some((destination, source)) = ends {
            let octets = [&llc::COMMAND, message.payload.as_slice()].concat();
            let size = usize::from(self.config.information).max(1);
            let count = octets.len().div_ceil(size);
            for (index, information) in octets.chunks(size).enumerate() {
                let frame = Frame {
                    destination,
                    source,
                    segmented: index + 1 < count,
                    control: Control::UnnumberedInformation { poll: false },
                    information,
                };
                self.octets.push_back(frame.to_octets());
            }
        }
        self.events.push_back(SegmentEvent::Done {
            node: None,
            class: message.class,
            delivered,
        });
    }
}

/// Takes what a data link tells; tells whether the link is to be forgotten.
fn told(
    key: Key,
    link: &mut DataLink,
    node: &mut NodeState,
    config: &MultidropConfig,
    event: Event,
    now: Instant,
    events: &mut VecDeque<SegmentEvent>,
) -> bool {
    let mut done = |link: &mut DataLink, delivered| {
        if let Some(message) = link.message.take() {
            let repeated = link.primary.counters().response_timeouts;
            if let Ok(more @ 1..) = u32::try_from(repeated.saturating_sub(link.repeated)) {
                link.repeated = repeated;
                events.push_back(SegmentEvent::Repeated(key.node, more));
            }
            events.push_back(SegmentEvent::Done {
                node: Some(key.node),
                class: message.class,
                delivered,
            });
        }
    };
    match event {
        Event::Connected { .. } => {
            link.searching = false;
            link.used = now;
            if let Some(message) = &link.message {
                let time = link.time(now);
                quietly(
                    link.primary
                        .handle(primary::Input::Message(&message.payload), time),
                );
            }
            if !node.joined {
                node.joined = true;
                node.wait = config.retry_first;
                events.push_back(SegmentEvent::Joined {
                    node: key.node,
                    server: key.server,
                    title: None,
                    hops: 0,
                });
            }
        }
        Event::Message(payload) => {
            let class = link.class;
            done(link, true);
            link.used = now;
            events.push_back(received(key, class, payload));
        }
        Event::UnnumberedInformation { octets, .. } => {
            events.push_back(received(key, MessageClass::Warning, octets));
        }
        Event::Unanswered => done(link, true),
        Event::Disconnected { reason } => {
            // A meter lets go of a data link after a time of its own. What
            // was sent then it has not taken: it goes once more.
            let again = link.message.is_some()
                && !link.fresh
                && matches!(
                    reason,
                    dlms::hdlc::DisconnectReason::Peer | dlms::hdlc::DisconnectReason::Refused
                );
            if again {
                link.fresh = true;
                let time = link.time(now);
                quietly(link.primary.handle(primary::Input::Connect, time));
                return false;
            }
            let silent = reason == dlms::hdlc::DisconnectReason::NoAnswer;
            done(link, false);
            if silent && node.joined {
                node.joined = false;
                node.search_at = now + node.wait;
                events.push_back(SegmentEvent::Left(key.node));
            }
            return true;
        }
        _ => {}
    }
    false
}

fn received(key: Key, class: MessageClass, payload: Vec<u8>) -> SegmentEvent {
    SegmentEvent::Received(
        key.node,
        Message {
            source: key.server,
            destination: key.client,
            class,
            payload,
        },
    )
}

fn server_address(config: &MultidropConfig, meter: MultidropMeter, server: Sap) -> Option<Address> {
    match config.width {
        2 => Address::two(server, meter.address),
        4 => Address::four(server, meter.address),
        _ => None,
    }
    .filter(|address| !address.is_all_stations())
}

fn primary_config(config: &MultidropConfig, client: Address, server: Address) -> primary::Config {
    let mut primary = primary::Config::new(server);
    primary.client = client;
    primary.parameters = Parameters {
        information_length_transmit: config.information,
        information_length_receive: config.information,
        window_transmit: config.window,
        window_receive: config.window,
    };
    // What is asked of the meter's answer begins when the question is out and
    // ends when the longest frame is in.
    primary.response_timeout = config.response_timeout
        + airtime(
            FRAME_LENGTH_MAX.min(usize::from(config.information) + 32),
            config.baud,
        );
    primary.retries = config.retries;
    primary.reply_timeout = config.reply_timeout;
    // A line that many share is not kept busy with nothing.
    primary.keep_alive = None;
    primary
}

/// The time that octets take on the line: ten bits each.
fn airtime(octets: usize, baud: u32) -> Duration {
    let bits = u64::try_from(octets).unwrap_or(u64::MAX).saturating_mul(10);
    Duration::from_micros(bits.saturating_mul(1_000_000) / u64::from(baud.max(1)))
}

/// Passes over a refusal that says only that there was nothing to do.
fn quietly(handled: Result<(), dlms::hdlc::Error>) {
    if let Err(error) = handled {
        tracing::trace!(%error, "nothing to do on the data link");
    }
}

/// The public client's SAP (IEC 62056-5-3).
const PUBLIC_CLIENT: Sap = 16;

/// Octets that are read from the system at once.
const INPUT_SIZE: usize = 2 * 1_024;

/// A [`Multidrop`] line over a stream of octets: a serial port, a
/// pseudo-terminal, or a serial server over TCP.
pub struct MultidropSegment<S> {
    stream: S,
    line: Multidrop,
    clock: Arc<dyn Clock>,
    timer: Timer,
    output: Vec<u8>,
    written: usize,
    input: Box<[u8; INPUT_SIZE]>,
}

impl MultidropSegment<tokio_serial::SerialStream> {
    /// Opens the serial port that `endpoint` names; its baud rate counts, not
    /// that of `config`.
    ///
    /// # Errors
    /// [`LinkError`] where the port cannot be opened or the addresses do not
    /// fit.
    pub fn open(
        endpoint: &Endpoint,
        mut config: MultidropConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LinkError> {
        let Endpoint::Serial(port, _) = endpoint else {
            return Err(LinkError::Unsupported("an endpoint that is no serial port"));
        };
        config.baud = port.baud;
        Self::over(serial(port)?, config, clock)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> MultidropSegment<S> {
    /// Works a line over a stream.
    ///
    /// # Errors
    /// As [`Multidrop::new`].
    pub fn over(
        stream: S,
        config: MultidropConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LinkError> {
        let line = Multidrop::new(config, clock.now())?;
        Ok(Self {
            stream,
            line,
            clock,
            timer: Timer::default(),
            output: Vec::new(),
            written: 0,
            input: Box::new([0; INPUT_SIZE]),
        })
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), LinkError> {
        loop {
            let rest = self.output.get(self.written..).unwrap_or_default();
            if rest.is_empty() {
                self.written = 0;
                let Some(octets) = self.line.transmit() else {
                    self.output.clear();
                    let _flushed: Poll<_> = Pin::new(&mut self.stream).poll_flush(cx)?;
                    return Ok(());
                };
                self.output = octets;
                continue;
            }
            match Pin::new(&mut self.stream).poll_write(cx, rest)? {
                Poll::Pending => return Ok(()),
                Poll::Ready(0) => return Err(LinkError::Closed),
                Poll::Ready(count) => self.written += count,
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, LinkError> {
        let mut buffer = ReadBuf::new(&mut self.input[..]);
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer)? {
            Poll::Pending => return Ok(false),
            Poll::Ready(()) if buffer.filled().is_empty() => return Err(LinkError::Closed),
            Poll::Ready(()) => {}
        }
        self.line.receive(buffer.filled(), self.clock.now());
        Ok(true)
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let over = self.timer.poll(self.line.deadline(), &*self.clock, cx);
        if let Poll::Ready(now) = over {
            self.line.timeout(now);
        }
        over.is_ready()
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Segment for MultidropSegment<S> {
    fn send(&mut self, node: Option<Node>, message: Message) -> Result<(), LinkError> {
        self.line.send(node, message, self.clock.now())
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<SegmentEvent, LinkError>> {
        loop {
            self.poll_write(cx)?;
            if let Some(event) = self.line.event() {
                return Poll::Ready(Ok(event));
            }
            let read = self.poll_read(cx)?;
            let timed = self.poll_timer(cx);
            if !read && !timed {
                self.poll_write(cx)?;
                return Poll::Pending;
            }
        }
    }

    fn window(&self) -> usize {
        WINDOW
    }

    fn payload_max(&self) -> usize {
        MESSAGE_LENGTH_MAX
    }

    fn medium(&self) -> &'static str {
        "hdlc"
    }

    fn is_one_wire(&self) -> bool {
        true
    }

    fn bit_rate(&self) -> Option<u32> {
        Some(self.line.config.baud)
    }
}
