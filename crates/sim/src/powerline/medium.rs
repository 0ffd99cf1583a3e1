//! The wire, as a machine of discrete events: what is sent next, what is lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::task::Waker;
use std::time::Duration;

use link::{LinkError, Message, Node, Registration, SegmentEvent};
use model::MessageClass;
use model::powerline::Technology;

use super::tree::Tree;

/// A meter on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// The system title that it registers with.
    pub title: [u8; 8],
    /// The SAP of its management logical device.
    pub server: u16,
    /// Meters that repeat what goes to it.
    pub hops: u8,
    /// Frames lost on each section of the way, in permille, in a quiet hour; where a tree names
    /// the meter through which it is reached, on the link between the two.
    pub loss: u16,
    /// When it begins to listen. A meter without power until then, or one
    /// that a filter was put in for.
    pub appears: Duration,
}

/// A line with its meters.
#[derive(Clone, Debug)]
pub struct PowerLineConfig {
    /// How frames are carried.
    pub technology: Technology,
    /// The meters; the place in the list is the number of the node.
    pub nodes: Vec<NodeConfig>,
    /// The same seed and the same messages give the same run.
    pub seed: u64,
    /// How many times faster than the runtime's clock the line goes.
    pub speed: u32,
    /// By how much losses grow in each hour of the day, in percent; the line
    /// starts at midnight. 100 each: no noise.
    pub noise: [u16; 24],
    /// How often a frame is sent again.
    pub retries: u8,
    /// The time between two tries to find meters that are not known yet. While nobody answers it
    /// doubles, up to sixteen times as long.
    pub search: Duration,
    /// Whom the meters take the concentrator for.
    pub initiator: [u8; 8],
    /// Whether the meters were registered by that one before the line was made.
    pub standing: bool,
    /// Who is reached through whom, where [`with_tree`](Self::with_tree) names it.
    pub(super) tree: Tree,
}

impl PowerLineConfig {
    /// Makes a line without noise.
    #[must_use]
    pub const fn quiet(technology: Technology, nodes: Vec<NodeConfig>, seed: u64) -> Self {
        Self {
            technology,
            nodes,
            seed,
            speed: 1,
            noise: [100; 24],
            retries: 5,
            search: Duration::from_secs(10),
            initiator: *b"GWDPAIR\0",
            standing: false,
            tree: Tree::none(),
        }
    }
}

/// Makes the meters of a street: a third each behind none, one and two
/// others, losses of 5 to 50 permille, and `late` permille of them that begin
/// to listen only within the first day.
#[must_use]
pub fn street(count: u16, hops_max: u8, late: u16, seed: u64) -> Vec<NodeConfig> {
    let mut random = Random(seed ^ 0x5EED);
    (0..count)
        .map(|number| {
            let [high, low] = number.to_be_bytes();
            let hops = random.below(u64::from(hops_max) + 1);
            let appears = if random.below(1_000) < u64::from(late) {
                Duration::from_secs(60 + random.below(86_000))
            } else {
                Duration::from_millis(random.below(5_000))
            };
            NodeConfig {
                title: [b'G', b'W', b'D', 0, 0, 0, high, low],
                server: 1,
                hops: u8::try_from(hops).unwrap_or(0),
                loss: u16::try_from(5 + random.below(46)).unwrap_or(0),
                appears,
            }
        })
        .collect()
}

/// What the wire has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// The time that the wire was in use.
    pub airtime: Duration,
    /// Frames that were sent.
    pub frames: u64,
    /// Frames that were lost.
    pub lost: u64,
    /// Messages that were given up.
    pub given_up: u64,
    /// Registrations.
    pub registered: u64,
    /// Registrations of another initiator that were taken for its own.
    pub adopted: u64,
    /// Reports of unknown meters that met in one slot.
    pub collisions: u64,
}

/// Messages that may be in the segment at once.
pub(super) const WINDOW: usize = 32;

/// Messages that a meter may have waiting in either direction.
const PER_NODE_MAX: usize = 64;

/// Messages that a meter may answer one with: blocks that need no request.
const ANSWERS_MAX: u32 = 64;

/// Events of a meter that are urgent: so many at once, and one in so long.
const EVENTS_AT_ONCE: Micros = 4;
const EVENTS_EVERY: Micros = 60_000_000;

/// Octets of the longest message.
pub(super) const MESSAGE_LENGTH_MAX: usize = 65_535;

/// Messages to a meter that are given up in a row before it counts as gone.
const GONE_AFTER: u32 = 3;

/// Microseconds of the line's own time.
type Micros = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Down(u64),
    Up(Node),
    Search,
    Register,
}

#[derive(Debug)]
struct Down {
    node: Option<Node>,
    message: Message,
    sent: usize,
    tries: u8,
    /// Of a broadcast: who has missed a frame.
    missed: BTreeSet<Node>,
}

#[derive(Debug)]
struct Up {
    number: u64,
    message: Message,
    sent: usize,
    tries: u8,
}

#[derive(Debug)]
struct Meter {
    config: NodeConfig,
    registered: bool,
    /// The address by which the concentrator means it.
    address: u16,
    /// What the meter itself remembers: who has registered it, and under which address.
    own: Option<([u8; 8], u16)>,
    /// Unanswered messages in a row.
    silent: u32,
    plugged: bool,
    inbox: VecDeque<Message>,
    outbox: VecDeque<Up>,
    waker: Option<Waker>,
    /// The class of what each client asked last, and the answers since then.
    classes: BTreeMap<u16, (MessageClass, u32)>,
    /// Until when what nobody asked for has used up what it may.
    unasked: Micros,
    /// A running mean of frames heard, in permille.
    quality: u32,
    told: u32,
    /// Frames that had to go again since a message came to its end.
    again: u32,
}

/// What occupies the wire now.
#[derive(Debug)]
struct OnAir {
    ends: Micros,
    source: Source,
    octets: usize,
}

#[derive(Debug)]
pub(super) struct Medium {
    config: PowerLineConfig,
    random: Random,
    meters: Vec<Meter>,
    downs: BTreeMap<u64, Down>,
    ready: BTreeSet<(MessageClass, u64, Source)>,
    number: u64,
    on_air: Option<OnAir>,
    search_at: Micros,
    /// When the search that is under way, or was last, began.
    search_began: Micros,
    /// How often nobody has answered in a row.
    unanswered: u32,
    /// The permille of unknown meters that shall answer a Discover.
    probability: u64,
    /// Who has reported and waits for the Register.
    reported: Vec<Node>,
    /// Whose joining is under way, and how many of its messages are left.
    joining: Option<(Node, u32)>,
    unregistered: usize,
    pub(super) events: VecDeque<SegmentEvent>,
    pub(super) waker: Option<Waker>,
    pub(super) statistics: Statistics,
}

impl Meter {
    /// The class of a message to a client: that of what he asked, for as many
    /// answers as that may have; else it is an event, and a meter that has many
    /// of those comes behind all others.
    fn class(&mut self, client: u16, now: Micros) -> MessageClass {
        if let Some((class, answers)) = self.classes.get_mut(&client)
            && *answers < ANSWERS_MAX
        {
            *answers += 1;
            return *class;
        }
        let from = self.unasked.max(now);
        if from - now > EVENTS_AT_ONCE * EVENTS_EVERY {
            return MessageClass::Usage;
        }
        self.unasked = from + EVENTS_EVERY;
        MessageClass::Warning
    }
}

impl Medium {
    pub(super) fn new(config: PowerLineConfig) -> Self {
        let standing = config.standing.then_some(config.initiator);
        let meters: Vec<_> = (0_u32..)
            .zip(&config.nodes)
            .map(|(number, node)| Meter {
                config: *node,
                registered: false,
                address: 0,
                own: standing.map(|initiator| (initiator, address(Node(number)))),
                silent: 0,
                plugged: true,
                inbox: VecDeque::new(),
                outbox: VecDeque::new(),
                waker: None,
                classes: BTreeMap::new(),
                unasked: 0,
                quality: 1_000,
                told: 1_000,
                again: 0,
            })
            .collect();
        Self {
            random: Random(config.seed),
            unregistered: meters.len(),
            meters,
            downs: BTreeMap::new(),
            ready: BTreeSet::new(),
            number: 0,
            on_air: None,
            search_at: 0,
            search_began: 0,
            unanswered: 0,
            probability: 1_000,
            reported: Vec::new(),
            joining: None,
            events: VecDeque::new(),
            waker: None,
            statistics: Statistics::default(),
            config,
        }
    }

    pub(super) const fn speed(&self) -> u32 {
        self.config.speed
    }

    pub(super) const fn technology(&self) -> &Technology {
        &self.config.technology
    }

    fn meter(&mut self, node: Node) -> Option<&mut Meter> {
        self.meters.get_mut(usize::try_from(node.0).ok()?)
    }

    /// Tells how a meter is registered.
    pub(super) fn registration(&self, node: Node) -> Option<Registration> {
        let meter = self.meters.get(usize::try_from(node.0).ok()?)?;
        meter.registered.then_some(Registration {
            initiator: self.config.initiator,
            address: meter.address,
            title: meter.config.title,
            hops: meter.config.hops,
        })
    }

    /// Takes meters for registered.
    pub(super) fn adopt(&mut self, registrations: &[Registration], now: Micros) -> usize {
        let titles = (0_u32..).zip(&self.meters);
        let titles = titles.filter(|(_, meter)| !meter.registered);
        let mut titles: BTreeMap<_, _> = titles
            .map(|(number, meter)| (meter.config.title, Node(number)))
            .collect();
        let mut taken = 0;
        for it in registrations {
            if it.initiator != self.config.initiator {
                continue;
            }
            let Some(node) = titles.remove(&it.title) else {
                continue;
            };
            if let Some(meter) = self.meter(node) {
                meter.address = it.address;
                // Until it was heard nothing says that it is there.
                meter.silent = GONE_AFTER - 1;
            }
            self.joined(node, it.hops);
            self.statistics.adopted += 1;
            taken += 1;
        }
        if taken > 0 {
            let later = now.saturating_add(micros(self.config.search));
            self.search_at = self.search_at.max(later);
            self.wake();
        }
        taken
    }

    /// Forgets all that the concentrator's end knows, for another one of this identity.
    pub(super) fn change_hands(&mut self, initiator: [u8; 8], now: Micros) {
        self.config.initiator = initiator;
        for meter in &mut self.meters {
            meter.registered = false;
            meter.silent = 0;
            meter.outbox.clear();
        }
        self.unregistered = self.meters.len();
        self.downs.clear();
        self.ready.clear();
        self.on_air = None;
        self.reported.clear();
        self.joining = None;
        self.events.clear();
        self.waker = None;
        (self.search_at, self.unanswered, self.probability) = (now, 0, 1_000);
    }

    /// Tells whether a meter is meant by the address by which it knows itself, and by who
    /// registered it.
    fn is_bound(&self, node: Node) -> bool {
        let place = usize::try_from(node.0).unwrap_or(usize::MAX);
        let meter = self.meters.get(place);
        meter.is_some_and(|it| it.own == Some((self.config.initiator, it.address)))
    }

    /// Takes a message of the concentrator.
    pub(super) fn send(
        &mut self,
        node: Option<Node>,
        message: Message,
        now: Micros,
    ) -> Result<(), LinkError> {
        if message.payload.len() > MESSAGE_LENGTH_MAX {
            return Err(LinkError::TooLong {
                length: message.payload.len(),
                max: MESSAGE_LENGTH_MAX,
            });
        }
        // Two places more are kept for what is urgent.
        let places = if message.class <= MessageClass::Warning {
            WINDOW + 2
        } else {
            WINDOW
        };
        if self.downs.len() >= places {
            return Err(LinkError::Full(message.class));
        }
        if let Some(node) = node {
            let meter = self.meter(node).ok_or(LinkError::Closed)?;
            meter.classes.insert(message.source, (message.class, 0));
            // A client's SAP has 16 bits; who uses many is forgotten.
            if meter.classes.len() > PER_NODE_MAX {
                meter.classes.pop_first();
            }
        }
        self.number += 1;
        let key = (message.class, self.number, Source::Down(self.number));
        let down = Down {
            node,
            message,
            sent: 0,
            tries: 0,
            missed: BTreeSet::new(),
        };
        self.downs.insert(self.number, down);
        self.ready.insert(key);
        self.advance(now);
        self.wake();
        Ok(())
    }

    /// Takes a message of a meter.
    pub(super) fn answer(
        &mut self,
        node: Node,
        mut message: Message,
        now: Micros,
    ) -> Result<(), LinkError> {
        self.number += 1;
        let number = self.number;
        let meter = self.meter(node).ok_or(LinkError::Closed)?;
        message.class = meter.class(message.destination, now);
        if meter.outbox.len() >= PER_NODE_MAX {
            return Err(LinkError::Full(message.class));
        }
        let class = message.class;
        meter.outbox.push_back(Up {
            number,
            message,
            sent: 0,
            tries: 0,
        });
        if meter.outbox.len() == 1 && meter.registered {
            self.ready.insert((class, number, Source::Up(node)));
        }
        self.advance(now);
        self.wake();
        Ok(())
    }

    pub(super) fn receive(&mut self, node: Node, waker: &Waker) -> Option<Message> {
        let meter = self.meter(node)?;
        let message = meter.inbox.pop_front();
        if message.is_none() {
            meter.waker = Some(waker.clone());
        }
        message
    }

    /// Cuts a meter off the line, or puts it back.
    pub(super) fn plug(&mut self, node: Node, plugged: bool) {
        if let Some(meter) = self.meter(node) {
            meter.plugged = plugged;
        }
    }

    /// Tells when something happens next by itself.
    pub(super) fn next(&self) -> Option<Micros> {
        if let Some(on_air) = &self.on_air {
            return Some(on_air.ends);
        }
        (self.unregistered > 0).then_some(self.search_at)
    }

    /// Lets time pass up to `now`.
    pub(super) fn advance(&mut self, now: Micros) {
        loop {
            match self.on_air.take() {
                Some(on_air) if on_air.ends > now => {
                    self.on_air = Some(on_air);
                    break;
                }
                Some(on_air) => {
                    let ended = on_air.ends;
                    self.ended(on_air);
                    if self.on_air.is_none() {
                        self.start(ended);
                    }
                }
                None => {
                    self.start(now);
                    if self.on_air.is_none() {
                        break;
                    }
                }
            }
        }
    }

    /// Lets whoever turns the line look again.
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Begins to send what is most urgent.
    fn start(&mut self, now: Micros) {
        let found = !self.reported.is_empty() || self.joining.is_some();
        let searching = found || self.unregistered > 0 && self.search_at <= now;
        let next = self.ready.first().copied();
        let Some((_, _, source)) = next.filter(|(class, ..)| {
            // Looking for meters goes before bulk, so that it comes about.
            !(searching && *class >= MessageClass::Billing)
        }) else {
            if searching {
                self.search(now);
            }
            return;
        };
        let max = self.config.technology.frame_payload_max();
        let (octets, hops) = match source {
            Source::Down(id) => match self.downs.get(&id) {
                Some(down) => {
                    let hops = down
                        .node
                        .map_or_else(|| self.farthest(), |node| self.hops(node));
                    ((down.message.payload.len() - down.sent).min(max), hops)
                }
                None => (0, 0),
            },
            Source::Up(node) => {
                let hops = self.hops(node);
                let up = self.meter(node).and_then(|meter| meter.outbox.front());
                (
                    up.map_or(0, |up| (up.message.payload.len() - up.sent).min(max)),
                    hops,
                )
            }
            Source::Search | Source::Register => (0, 0),
        };
        let airtime = self.config.technology.frame_airtime(octets, hops);
        self.occupy(now, airtime, source, octets);
    }

    fn occupy(&mut self, now: Micros, airtime: Duration, source: Source, octets: usize) {
        self.statistics.frames += 1;
        self.statistics.airtime += airtime;
        let micros = u64::try_from(airtime.as_micros()).unwrap_or(u64::MAX);
        self.on_air = Some(OnAir {
            ends: now.saturating_add(micros),
            source,
            octets,
        });
    }

    fn hops(&self, node: Node) -> u8 {
        let meter = self
            .meters
            .get(usize::try_from(node.0).unwrap_or(usize::MAX));
        meter.map_or(0, |meter| meter.config.hops)
    }

    fn farthest(&self) -> u8 {
        let hops = self.meters.iter().map(|meter| meter.config.hops);
        hops.max().unwrap_or(0)
    }

    /// Tells whether a frame to or from a meter is heard.
    fn heard(&mut self, node: Node, at: Micros) -> bool {
        self.heard_of(node, at, &mut BTreeMap::new())
    }

    /// Tells whether a meter hears one frame, of which `links` tells what is known: whoever
    /// forwards to several loses it for all of them.
    fn heard_of(&mut self, node: Node, at: Micros, links: &mut BTreeMap<Node, bool>) -> bool {
        let reaches = self.config.technology.reaches(self.hops(node));
        if self.config.tree.is_none() {
            return self.passes(node, at) && reaches;
        }
        let way: Vec<Node> = self.config.tree.way(node).collect();
        for &link in way.iter().rev() {
            let known = links.get(&link).copied();
            let passes = known.unwrap_or_else(|| self.passes(link, at));
            links.insert(link, passes);
            // Nobody forwards who has not joined.
            let forwards = link == node || self.meter(link).is_some_and(|it| it.registered);
            if !passes || !forwards {
                return false;
            }
        }
        reaches
    }

    /// Tells whether a frame passes the link of a meter to the one before it, or all the sections
    /// between it and the concentrator where none is named.
    fn passes(&mut self, node: Node, at: Micros) -> bool {
        let hour = usize::try_from(at / 3_600_000_000 % 24).unwrap_or(0);
        let noise = u64::from(self.config.noise.get(hour).copied().unwrap_or(100));
        let one_link = self.config.tree.through(node).is_some();
        let Some(meter) = self.meter(node) else {
            return false;
        };
        let loss = (u64::from(meter.config.loss) * noise / 100).min(950);
        let sections = match meter.config.hops {
            _ if one_link => 1,
            hops => u32::from(hops) + 1,
        };
        let there = meter.plugged && at >= micros(meter.config.appears);
        let lost = (0..sections).any(|_| self.random.below(1_000) < loss);
        there && !lost
    }

    /// Keeps the running mean of a meter, and tells it when it has moved.
    fn rate(&mut self, node: Node, heard: bool) {
        let Some(meter) = self.meter(node) else {
            return;
        };
        let now = if heard { 1_000 } else { 0 };
        meter.quality = (meter.quality * 31 + now) / 32;
        if meter.quality.abs_diff(meter.told) >= 50 {
            meter.told = meter.quality;
            let permille = u16::try_from(meter.quality).unwrap_or(1_000);
            self.events.push_back(SegmentEvent::Quality(node, permille));
        }
    }

    /// Notes that a frame to or from a meter is to go again.
    fn goes_again(&mut self, node: Node) {
        if let Some(meter) = self.meter(node) {
            meter.again = meter.again.saturating_add(1);
        }
    }

    /// Tells how many frames had to go again, at the end of a message.
    fn tell_again(&mut self, node: Node) {
        let again = self.meter(node).map(|it| core::mem::take(&mut it.again));
        if let Some(again @ 1..) = again {
            self.events.push_back(SegmentEvent::Repeated(node, again));
        }
    }

    /// A frame has been on the wire.
    fn ended(&mut self, on_air: OnAir) {
        match on_air.source {
            Source::Down(id) => self.down_ended(id, &on_air),
            Source::Up(node) => self.up_ended(node, &on_air),
            Source::Search => self.search_ended(on_air.ends),
            Source::Register => {
                let reported = core::mem::take(&mut self.reported);
                for node in reported {
                    if self.heard(node, on_air.ends) {
                        self.register(node);
                    }
                }
                self.search_on(on_air.ends);
            }
        }
    }

    fn down_ended(&mut self, id: u64, on_air: &OnAir) {
        let Some(mut down) = self.downs.remove(&id) else {
            return;
        };
        let key = (down.message.class, id, Source::Down(id));
        let Some(node) = down.node else {
            let mut links = BTreeMap::new();
            for number in (0_u32..).take(self.meters.len()) {
                if !self.heard_of(Node(number), on_air.ends, &mut links) {
                    down.missed.insert(Node(number));
                }
            }
            down.sent += on_air.octets;
            if down.sent < down.message.payload.len() {
                self.downs.insert(id, down);
                return;
            }
            self.ready.remove(&key);
            for number in (0_u32..).take(self.meters.len()) {
                if !down.missed.contains(&Node(number)) {
                    self.deliver(Node(number), down.message.clone());
                }
            }
            self.done(None, down.message.class, true);
            return;
        };
        let registered = self.meter(node).is_some_and(|meter| meter.registered);
        let heard = self.heard(node, on_air.ends) && registered && self.is_bound(node);
        self.rate(node, heard);
        if heard {
            down.sent += on_air.octets;
            down.tries = 0;
            if down.sent < down.message.payload.len() {
                self.downs.insert(id, down);
                return;
            }
            self.ready.remove(&key);
            if let Some(meter) = self.meter(node) {
                meter.silent = 0;
            }
            self.tell_again(node);
            self.done(Some(node), down.message.class, true);
            self.deliver(node, down.message);
            return;
        }
        self.statistics.lost += 1;
        down.tries += 1;
        if down.tries <= self.config.retries && registered {
            self.goes_again(node);
            self.downs.insert(id, down);
            return;
        }
        self.tell_again(node);
        self.ready.remove(&key);
        self.statistics.given_up += 1;
        self.done(Some(node), down.message.class, false);
        self.given_up(node, on_air.ends);
    }

    fn given_up(&mut self, node: Node, now: Micros) {
        let Some(meter) = self.meter(node) else {
            return;
        };
        meter.silent += 1;
        if meter.silent < GONE_AFTER || !meter.registered {
            return;
        }
        // Those for whom it forwards go with it.
        self.leave(node);
        for behind in self.config.tree.behind(node) {
            if self.meter(behind).is_some_and(|it| it.registered) {
                self.leave(behind);
            }
        }
        self.unanswered = 0;
        let soon = now.saturating_add(micros(self.config.search));
        self.search_at = self.search_at.min(soon);
    }

    fn leave(&mut self, node: Node) {
        let Some(meter) = self.meter(node) else {
            return;
        };
        meter.registered = false;
        let waiting = meter.outbox.front().map(|up| (up.message.class, up.number));
        self.unregistered += 1;
        if let Some((class, number)) = waiting {
            self.ready.remove(&(class, number, Source::Up(node)));
        }
        self.events.push_back(SegmentEvent::Left(node));
    }

    fn done(&mut self, node: Option<Node>, class: MessageClass, delivered: bool) {
        self.events.push_back(SegmentEvent::Done {
            node,
            class,
            delivered,
        });
    }

    fn deliver(&mut self, node: Node, message: Message) {
        let Some(meter) = self.meter(node) else {
            return;
        };
        // A meter that does not listen misses it.
        if meter.inbox.len() < PER_NODE_MAX {
            meter.inbox.push_back(message);
        }
        if let Some(waker) = meter.waker.take() {
            waker.wake();
        }
    }

    fn up_ended(&mut self, node: Node, on_air: &OnAir) {
        let heard = self.heard(node, on_air.ends) && self.is_bound(node);
        self.rate(node, heard);
        let retries = self.config.retries;
        let Some(meter) = self.meter(node) else {
            return;
        };
        let Some(up) = meter.outbox.front_mut() else {
            return;
        };
        let key = (up.message.class, up.number, Source::Up(node));
        let mut lost = false;
        if heard {
            up.sent += on_air.octets;
            up.tries = 0;
            if up.sent < up.message.payload.len() {
                return;
            }
        } else {
            lost = true;
            up.tries += 1;
            if up.tries <= retries {
                self.statistics.lost += 1;
                self.goes_again(node);
                return;
            }
        }
        let up = meter.outbox.pop_front();
        self.ready.remove(&key);
        // The next one takes its turn behind what others wait with.
        self.number += 1;
        let number = self.number;
        if let Some(next) = self.meter(node).and_then(|it| it.outbox.front_mut()) {
            next.number = number;
            let class = next.message.class;
            self.ready.insert((class, number, Source::Up(node)));
        }
        self.tell_again(node);
        if lost {
            self.statistics.lost += 1;
            self.statistics.given_up += 1;
        } else if let Some(up) = up {
            self.events
                .push_back(SegmentEvent::Received(node, up.message));
        }
    }

    /// Looks for meters, a message at a time so that urgent ones come between: on S-FSK a Discover
    /// with slots for reports, then a Register; else the exchange of one meter that has asked to
    /// join.
    fn search(&mut self, now: Micros) {
        if !self.reported.is_empty() {
            let octets = REGISTER + REGISTER_EACH * self.reported.len();
            let airtime = self.config.technology.airtime(octets, 0);
            self.occupy(now, airtime, Source::Register, 0);
            return;
        }
        if self.joining.is_none() {
            self.search_began = now;
        }
        let airtime = match self.config.technology {
            Technology::SFsk(it) => {
                let frame = self.config.technology.frame_airtime(DISCOVER, 0);
                frame + it.slot() * (u32::from(it.credit) + 1) * u32::from(it.report_slots())
            }
            Technology::Prime(_) | Technology::G3(_) => {
                let messages = self.config.technology.join_messages();
                let joining = self.joining;
                let joining = joining.or_else(|| Some((self.joiner(now)?, messages)));
                let Some((node, _)) = joining else {
                    self.search_in_vain(now);
                    return;
                };
                self.joining = joining;
                self.config.technology.join_airtime(self.hops(node))
            }
        };
        self.occupy(now, airtime, Source::Search, 0);
    }

    /// The first meter that wants to join and has a way to the concentrator.
    fn joiner(&self, now: Micros) -> Option<Node> {
        let meter = |node: Node| self.meters.get(usize::try_from(node.0).ok()?);
        let forwarded = |node: Node, hops: u8| match self.config.tree.through(node) {
            Some(through) => meter(through).is_some_and(|it| it.registered),
            None => {
                hops == 0
                    || self
                        .meters
                        .iter()
                        .any(|meter| meter.registered && meter.config.hops + 1 >= hops)
            }
        };
        let there = |meter: &Meter| meter.plugged && now >= micros(meter.config.appears);
        let wants = |node: Node, meter: &Meter| {
            !meter.registered && there(meter) && forwarded(node, meter.config.hops)
        };
        // Behind somebody who is off nobody hears that there is a line.
        let lit = |node: Node| self.config.tree.way(node).filter_map(meter).all(there);
        (0_u32..)
            .map(Node)
            .zip(&self.meters)
            .find(|(node, meter)| wants(*node, meter) && lit(*node))
            .map(|(node, _)| node)
    }

    fn search_ended(&mut self, now: Micros) {
        if let Technology::SFsk(it) = self.config.technology {
            if !self.reports(it.report_slots(), now) {
                self.search_in_vain(now);
            } else if self.reported.is_empty() {
                self.search_on(now);
            }
            return;
        }
        let Some((node, left)) = self.joining else {
            return;
        };
        self.joining = (left > 1).then_some((node, left - 1));
        if self.joining.is_none() {
            if (0..3).all(|_| self.heard(node, now)) {
                self.register(node);
            }
            self.search_on(now);
        }
    }

    /// Goes on at once, or leaves to others who wait as long as it had the line.
    fn search_on(&mut self, now: Micros) {
        let had = now.saturating_sub(self.search_began);
        let pause = if self.ready.is_empty() { 0 } else { had };
        self.search_at = now.saturating_add(pause);
        self.unanswered = 0;
    }

    /// Waits, for longer each time.
    fn search_in_vain(&mut self, now: Micros) {
        let pause = micros(self.config.search) << self.unanswered;
        self.search_at = now.saturating_add(pause);
        self.unanswered = (self.unanswered + 1).min(SEARCH_DOUBLES);
    }

    /// Hears the reports behind a Discover: each meter that answers takes a
    /// slot of its choice. Tells whether anything was heard.
    fn reports(&mut self, slots: u16, now: Micros) -> bool {
        let mut taken: BTreeMap<u64, Vec<Node>> = BTreeMap::new();
        for number in (0_u32..).take(self.meters.len()) {
            let node = Node(number);
            let known = self.meter(node).is_none_or(|meter| meter.registered);
            if !known && self.random.below(1_000) < self.probability && self.heard(node, now) {
                let slot = self.random.below(u64::from(slots));
                taken.entry(slot).or_default().push(node);
            }
        }
        let mut collisions = 0;
        for nodes in taken.values() {
            match nodes.as_slice() {
                [node] if self.heard(*node, now) => self.reported.push(*node),
                [_] => {}
                _ => collisions += 1,
            }
        }
        self.statistics.collisions += collisions;
        // Fewer shall answer where many met, more where there was room.
        if collisions * 2 > u64::from(slots) {
            self.probability = (self.probability / 2).max(1);
        } else if collisions * 4 < u64::from(slots) {
            self.probability = (self.probability * 2).min(1_000);
        }
        !taken.is_empty() || self.probability < 1_000
    }

    fn register(&mut self, node: Node) {
        let initiator = self.config.initiator;
        let Some(meter) = self.meter(node) else {
            return;
        };
        meter.address = address(node);
        meter.own = Some((initiator, meter.address));
        meter.silent = 0;
        let hops = meter.config.hops;
        self.joined(node, hops);
        self.statistics.registered += 1;
    }

    fn joined(&mut self, node: Node, hops: u8) {
        let Some(meter) = self.meter(node) else {
            return;
        };
        meter.registered = true;
        let (server, title) = (meter.config.server, meter.config.title);
        let waiting = meter.outbox.front().map(|up| (up.message.class, up.number));
        if let Some((class, number)) = waiting {
            self.ready.insert((class, number, Source::Up(node)));
        }
        self.unregistered -= 1;
        self.events.push_back(SegmentEvent::Joined {
            node,
            server,
            title: Some(title),
            hops,
        });
        // With a tree it is known who forwards, but for meters that it leaves out.
        let through = self.config.tree.through(node);
        if !self.config.tree.is_none() && (through.is_some() || hops == 0) {
            self.events.push_back(SegmentEvent::Behind(node, through));
        }
    }
}

/// Octets of a Discover: tag, probability, slots, two credits (layout of
/// gurux-dlms).
const DISCOVER: usize = 6;

/// Octets of a Register without its entries: tag, own title, count.
const REGISTER: usize = 10;

/// Octets of an entry: title, MAC address.
const REGISTER_EACH: usize = 10;

/// How often the pause between two searches doubles while nobody answers (chosen here).
const SEARCH_DOUBLES: u32 = 4;

/// The address that a meter is given: by its place in the list (chosen here).
fn address(node: Node) -> u16 {
    u16::try_from(node.0).unwrap_or(u16::MAX).saturating_add(16)
}

fn micros(span: Duration) -> Micros {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Numbers of a seed (SplitMix64, Steele et al. 2014).
#[derive(Debug)]
struct Random(u64);

impl Random {
    const fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % if bound == 0 { 1 } else { bound }
    }
}
