//! Direct Connect: what head end and meter say to each other, carried as it
//! is.
//!
//! A request names its meter by the wrapper's destination port, which is the
//! meter's SAP, or by a gateway prefix (0xE6) before the APDU; what comes back
//! has the form in which was asked. The APDU itself is neither parsed nor
//! copied. This module names nothing of what protects APDUs; a test reads its
//! source and says so.
//!
//! Between the WAN and each segment stands a bounded queue by message class.
//! The most urgent message goes first, within a class the meters take turns,
//! and no more messages are in a segment than its window holds, so that an
//! urgent one waits for what is on the medium and for nothing else.

mod queue;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use dlms::Instant;
use dlms::codec::{Reader, Wire as _};
use dlms::xdlms::Gateway;
use link::{Message, Node, Sap};
use model::{LogicalDeviceName, MessageClass};

use queue::{Queue, Queued};

/// A connection of the WAN, by a number that is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Connection(pub u64);

impl Connection {
    /// Stands for the concentrator itself, which asks meters for their names.
    pub const OWN: Self = Self(0);
}

/// A segment, by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u16);

/// Where a meter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// In which segment.
    pub segment: SegmentId,
    /// Which node of it.
    pub node: Node,
}

/// Bounds of the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterLimits {
    /// Messages that one connection may have waiting in all queues. The shell
    /// reads no further from a connection that has so many.
    pub per_connection: usize,
    /// Messages that one connection may have waiting for one meter; more are
    /// dropped.
    pub per_meter: usize,
    /// Messages of one meter that may be in its segment at once.
    pub in_flight: usize,
    /// Messages that one segment's queue holds; more are dropped.
    pub per_segment: usize,
    /// How long a message may wait before it is dropped.
    pub patience: Duration,
    /// Messages that a meter may send in answer to one request.
    pub answers: u16,
    /// Messages that a meter may send unasked in a row.
    pub unasked: u16,
    /// After how long it may send one more.
    pub unasked_every: Duration,
    /// How long a connection of the WAN may take to swallow what is sent to it. Meanwhile the
    /// shell reads nothing from it, and hangs up then.
    pub swallow: Duration,
}

impl Default for RouterLimits {
    fn default() -> Self {
        Self {
            per_connection: 2_048,
            per_meter: 16,
            in_flight: 4,
            per_segment: 32_768,
            patience: Duration::from_secs(300),
            answers: 64,
            unasked: 10,
            unasked_every: Duration::from_secs(6),
            swallow: Duration::from_secs(30),
        }
    }
}

/// Clients of one meter whose answers find their way; the one that was silent
/// for longest makes room.
const ROUTES_PER_METER_MAX: usize = 8;

/// Places of a segment beyond its window that are kept for what is urgent.
const URGENT_PLACES: usize = 2;

/// What the router wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A message is to go to a meter, or to all of a segment.
    ToSegment {
        /// The segment.
        segment: SegmentId,
        /// The meter; none: all of them.
        node: Option<Node>,
        /// The message.
        message: Message,
    },
    /// A message is to go to a connection of the WAN.
    ToWan {
        /// The connection.
        connection: Connection,
        /// The message.
        message: Message,
    },
    /// A message of this connection waits no longer.
    Credit(Connection),
    /// A message of the concentrator itself for this meter has waited for too long, and went
    /// nowhere.
    Expired(Place),
}

/// What was done and what was dropped, since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages that went to meters.
    pub down: u64,
    /// Messages that went to the WAN.
    pub up: u64,
    /// Messages for a SAP or a gateway address that no meter here has.
    pub unknown: u64,
    /// Messages that found a queue full.
    pub full: u64,
    /// Messages that waited for too long.
    pub expired: u64,
    /// Messages of meters for which nobody had asked, beyond their bound.
    pub unasked: u64,
    /// Messages of meters for which nobody was there.
    pub nobody: u64,
    /// Messages that are longer than their segment carries, or malformed.
    pub unfit: u64,
}

/// In which form a client asks, and is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// By SAP.
    Sap,
    /// With this prefix.
    Gateway { network_id: u8, address: Box<[u8]> },
}

/// A client of a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ends {
    place: Place,
    client: Sap,
    server: Sap,
}

#[derive(Debug)]
struct Route {
    connection: Connection,
    form: Form,
    used: u64,
    answers: u16,
    class: MessageClass,
}

/// A meter that is there.
#[derive(Debug)]
struct Meter {
    sap: Sap,
    name: LogicalDeviceName,
    title: Option<[u8; 8]>,
    server: Sap,
    /// What it may send unasked, and since when that fills up again.
    unasked: u16,
    filled: Instant,
}

#[derive(Debug)]
struct Segment {
    queue: Queue,
    window: usize,
    payload_max: usize,
    /// Messages in the segment, by node.
    flying: BTreeMap<Option<Node>, usize>,
    in_flight: usize,
}

/// The router, without I/O.
#[derive(Debug)]
pub struct Router {
    limits: RouterLimits,
    /// Client SAPs that the concentrator itself has at its meters: no answer
    /// to them is anybody else's.
    reserved: std::collections::BTreeSet<Sap>,
    /// The class of what a client's SAP sends, where it is known.
    classes: BTreeMap<Sap, MessageClass>,
    segments: BTreeMap<SegmentId, Segment>,
    places: BTreeMap<Place, Meter>,
    saps: BTreeMap<Sap, Place>,
    names: BTreeMap<Box<[u8]>, Place>,
    /// Connections with what each has waiting.
    connections: BTreeMap<Connection, usize>,
    routes: BTreeMap<Ends, Route>,
    outputs: VecDeque<Output>,
    counters: Counters,
    turn: u64,
}

impl Router {
    /// Starts without segments. `classes` tells the message class of what
    /// each client SAP sends: the APDU is not looked at.
    #[must_use]
    pub const fn new(limits: RouterLimits, classes: BTreeMap<Sap, MessageClass>) -> Self {
        Self {
            limits,
            reserved: std::collections::BTreeSet::new(),
            classes,
            segments: BTreeMap::new(),
            places: BTreeMap::new(),
            saps: BTreeMap::new(),
            names: BTreeMap::new(),
            connections: BTreeMap::new(),
            routes: BTreeMap::new(),
            outputs: VecDeque::new(),
            counters: Counters {
                down: 0,
                up: 0,
                unknown: 0,
                full: 0,
                expired: 0,
                unasked: 0,
                nobody: 0,
                unfit: 0,
            },
            turn: 0,
        }
    }

    /// Tells what was done and dropped.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Tells how many messages wait for a segment.
    #[must_use]
    pub fn waiting(&self, segment: SegmentId) -> usize {
        self.segments.get(&segment).map_or(0, |it| it.queue.len())
    }

    /// Adds a segment.
    pub fn add_segment(&mut self, segment: SegmentId, window: usize, payload_max: usize) {
        let segment_state = Segment {
            queue: Queue::default(),
            window: window.max(1),
            payload_max,
            flying: BTreeMap::new(),
            in_flight: 0,
        };
        self.segments.insert(segment, segment_state);
    }

    /// Keeps a client SAP for the concentrator itself: what comes from the
    /// WAN with it is dropped.
    pub fn reserve(&mut self, client: Sap) {
        self.reserved.insert(client);
    }

    /// Forgets what is in a segment whose line is lost.
    pub fn lost(&mut self, segment: SegmentId) {
        if let Some(segment) = self.segments.get_mut(&segment) {
            segment.flying.clear();
            segment.in_flight = 0;
        }
    }

    /// Takes a connection of the WAN.
    pub fn open(&mut self, connection: Connection) {
        self.connections.insert(connection, 0);
    }

    /// Forgets a connection, what it has waiting and what would come back.
    pub fn close(&mut self, connection: Connection) {
        self.connections.remove(&connection);
        self.routes
            .retain(|_, route| route.connection != connection);
        for segment in self.segments.values_mut() {
            segment
                .queue
                .forget(|queued| queued.connection == connection);
        }
    }

    /// Lets a meter be reached by its SAP, its name and its title. Where
    /// another meter had the SAP here, that one is no longer reached by it.
    pub fn attach(
        &mut self,
        place: Place,
        server: Sap,
        sap: Sap,
        name: LogicalDeviceName,
        title: Option<[u8; 8]>,
        now: Instant,
    ) {
        self.detach(place);
        if let Some(before) = self.saps.get(&sap).copied() {
            self.detach(before);
        }
        self.saps.insert(sap, place);
        self.names.insert(name.as_str().as_bytes().into(), place);
        if let Some(title) = title {
            self.names.insert(title.into(), place);
        }
        let meter = Meter {
            sap,
            name,
            title,
            server,
            unasked: self.limits.unasked,
            filled: now,
        };
        self.places.insert(place, meter);
    }

    /// Lets a meter be reached no more. What waits for it is dropped.
    pub fn detach(&mut self, place: Place) {
        let Some(meter) = self.places.remove(&place) else {
            return;
        };
        self.saps.remove(&meter.sap);
        self.names.remove(meter.name.as_str().as_bytes());
        if let Some(title) = meter.title {
            self.names.remove(&title[..]);
        }
        self.routes.retain(|ends, _| ends.place != place);
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            for dropped in segment.queue.forget_node(place.node) {
                self.counters.expired += 1;
                credit(&mut self.connections, &mut self.outputs, dropped.connection);
            }
        }
    }

    /// Finds where the meter with a SAP is.
    #[must_use]
    pub fn place_of(&self, sap: Sap) -> Option<Place> {
        self.saps.get(&sap).copied()
    }

    /// Takes a message of the WAN. It is queued or dropped; a credit comes
    /// back once it waits no longer, at once where it is dropped.
    pub fn from_wan(&mut self, connection: Connection, mut message: Message, now: Instant) {
        let Some(waiting) = self.connections.get_mut(&connection) else {
            return;
        };
        *waiting += 1;
        if let Some(class) = self.classes.get(&message.source) {
            message.class = *class;
        }
        let queued = if self.reserved.contains(&message.source) {
            Err(Dropped::Unknown)
        } else if message.destination == link::ALL_STATIONS {
            self.broadcast(connection, &message, now)
        } else {
            self.unicast(connection, message, now)
        };
        match queued {
            Ok(()) => {}
            Err(reason) => {
                *reason.counter(&mut self.counters) += 1;
                credit(&mut self.connections, &mut self.outputs, connection);
            }
        }
    }

    fn unicast(
        &mut self,
        connection: Connection,
        mut message: Message,
        now: Instant,
    ) -> Result<(), Dropped> {
        let (place, form) = if message.payload.first() == Some(&GATEWAY_REQUEST) {
            let (place, form, prefix) = self.by_prefix(&message.payload)?;
            message.payload.drain(..prefix);
            (place, form)
        } else {
            let place = self.saps.get(&message.destination).copied();
            (place.ok_or(Dropped::Unknown)?, Form::Sap)
        };
        let meter = self.places.get(&place).ok_or(Dropped::Unknown)?;
        if form == Form::Sap {
            message.destination = meter.server;
        }
        let ends = Ends {
            place,
            client: message.source,
            server: message.destination,
        };
        let class = message.class;
        self.enqueue(connection, place, message, now)?;
        self.route(ends, connection, form, class);
        Ok(())
    }

    /// Finds the meter that a gateway prefix names: by logical device name,
    /// by system title, or by SAP in two octets.
    fn by_prefix(&self, payload: &[u8]) -> Result<(Place, Form, usize), Dropped> {
        let mut reader = Reader::new(payload);
        let gateway = Gateway::decode(&mut reader).map_err(|_| Dropped::Unfit)?;
        let address = gateway.physical_device_address;
        let place = match address {
            [high, low] => self.saps.get(&Sap::from_be_bytes([*high, *low])),
            _ => self.names.get(address),
        };
        let place = place.copied().ok_or(Dropped::Unknown)?;
        let form = Form::Gateway {
            network_id: gateway.network_id,
            address: address.into(),
        };
        Ok((place, form, payload.len() - gateway.apdu.len()))
    }

    /// Queues a message of the concentrator itself.
    ///
    /// # Errors
    /// Where it cannot be queued now.
    pub fn from_own(
        &mut self,
        place: Place,
        message: Message,
        now: Instant,
    ) -> Result<(), Dropped> {
        let ends = Ends {
            place,
            client: message.source,
            server: message.destination,
        };
        let class = message.class;
        self.enqueue(Connection::OWN, place, message, now)?;
        self.route(ends, Connection::OWN, Form::Sap, class);
        Ok(())
    }

    fn enqueue(
        &mut self,
        connection: Connection,
        place: Place,
        message: Message,
        now: Instant,
    ) -> Result<(), Dropped> {
        let segment = self
            .segments
            .get_mut(&place.segment)
            .ok_or(Dropped::Unknown)?;
        if message.payload.len() > segment.payload_max {
            return Err(Dropped::Unfit);
        }
        let own = segment.queue.count(place.node, connection);
        if segment.queue.len() >= self.limits.per_segment || own >= self.limits.per_meter {
            return Err(Dropped::Full);
        }
        segment.queue.push(
            Some(place.node),
            Queued {
                connection,
                since: now,
                message,
            },
        );
        Ok(())
    }

    fn broadcast(
        &mut self,
        connection: Connection,
        message: &Message,
        now: Instant,
    ) -> Result<(), Dropped> {
        let mut refused = true;
        let mut first = true;
        for segment in self.segments.values_mut() {
            if message.payload.len() > segment.payload_max
                || segment.queue.len() >= self.limits.per_segment
                || segment.queue.broadcasts() >= self.limits.per_meter
            {
                continue;
            }
            refused = false;
            // One credit for the message, however many segments it goes to.
            let connection = if first { connection } else { Connection::OWN };
            first = false;
            segment.queue.push(
                None,
                Queued {
                    connection,
                    since: now,
                    message: message.clone(),
                },
            );
        }
        if refused { Err(Dropped::Full) } else { Ok(()) }
    }

    fn route(&mut self, ends: Ends, connection: Connection, form: Form, class: MessageClass) {
        self.turn += 1;
        let route = Route {
            connection,
            form,
            used: self.turn,
            answers: self.limits.answers,
            class,
        };
        if self.routes.insert(ends, route).is_some() {
            return;
        }
        let of_meter = Ends {
            client: 0,
            server: 0,
            ..ends
        }..=Ends {
            client: Sap::MAX,
            server: Sap::MAX,
            ..ends
        };
        let mut oldest = None;
        let mut count = 0;
        for (ends, route) in self.routes.range(of_meter) {
            count += 1;
            if oldest.is_none_or(|(used, _)| route.used < used) {
                oldest = Some((route.used, *ends));
            }
        }
        if count > ROUTES_PER_METER_MAX
            && let Some((_, oldest)) = oldest
        {
            self.routes.remove(&oldest);
        }
    }

    /// Takes a message of a meter. Where it answers the concentrator's own
    /// request it comes back from here.
    pub fn from_meter(
        &mut self,
        place: Place,
        mut message: Message,
        now: Instant,
    ) -> Option<Message> {
        let ends = Ends {
            place,
            client: message.destination,
            server: message.source,
        };
        if let Some(route) = self.routes.get_mut(&ends)
            && route.answers > 0
        {
            route.answers -= 1;
            message.class = route.class;
            if route.connection == Connection::OWN {
                return Some(message);
            }
            match &route.form {
                Form::Sap => match self.places.get(&place) {
                    Some(meter) => message.source = meter.sap,
                    None => return None,
                },
                Form::Gateway {
                    network_id,
                    address,
                } => {
                    let prefix = Gateway {
                        is_response: true,
                        network_id: *network_id,
                        physical_device_address: address,
                        apdu: &[],
                    };
                    message.payload.splice(..0, prefix.to_octets());
                }
            }
            self.counters.up += 1;
            self.outputs.push_back(Output::ToWan {
                connection: route.connection,
                message,
            });
            return None;
        }
        self.unasked(place, message, now);
        None
    }

    /// Carries what a meter says without having been asked to every
    /// connection, within its bound.
    fn unasked(&mut self, place: Place, message: Message, now: Instant) {
        let Some(meter) = self.places.get_mut(&place) else {
            self.counters.nobody += 1;
            return;
        };
        let every = self.limits.unasked_every.max(Duration::from_millis(1));
        let filled = now.since(meter.filled).as_micros() / every.as_micros();
        if filled > 0 {
            let more = u16::try_from(filled).unwrap_or(u16::MAX);
            meter.unasked = meter.unasked.saturating_add(more).min(self.limits.unasked);
            meter.filled = now;
        }
        if meter.unasked == 0 {
            self.counters.unasked += 1;
            return;
        }
        meter.unasked -= 1;
        if self.connections.is_empty() {
            self.counters.nobody += 1;
        }
        for connection in self.connections.keys() {
            self.counters.up += 1;
            self.outputs.push_back(Output::ToWan {
                connection: *connection,
                message: Message {
                    source: meter.sap,
                    class: MessageClass::Warning,
                    ..message.clone()
                },
            });
        }
    }

    /// Hears that a message has left a segment.
    pub fn done(&mut self, segment: SegmentId, node: Option<Node>) {
        let Some(segment) = self.segments.get_mut(&segment) else {
            return;
        };
        if let Some(count) = segment.flying.get_mut(&node) {
            *count -= 1;
            segment.in_flight -= 1;
            if *count == 0 {
                segment.flying.remove(&node);
            }
        }
    }

    /// Takes what is to be done next; none: nothing until something happens
    /// or [`deadline`](Self::deadline) has come.
    pub fn poll(&mut self, now: Instant) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        let limits = self.limits;
        for (&id, segment) in &mut self.segments {
            while let Some((node, expired)) = segment.queue.expired(now, limits.patience) {
                self.counters.expired += 1;
                credit(&mut self.connections, &mut self.outputs, expired.connection);
                if expired.connection == Connection::OWN
                    && let Some(node) = node
                {
                    let place = Place { segment: id, node };
                    self.outputs.push_back(Output::Expired(place));
                }
            }
            let Segment {
                queue,
                window,
                flying,
                in_flight,
                ..
            } = segment;
            let places = |class| {
                if class <= MessageClass::Warning {
                    *window + URGENT_PLACES
                } else {
                    *window
                }
            };
            let next = queue.pop(
                |class| *in_flight < places(class),
                |node| flying.get(&node).copied().unwrap_or(0) < limits.in_flight,
            );
            if let Some((node, queued)) = next {
                *flying.entry(node).or_insert(0) += 1;
                *in_flight += 1;
                self.counters.down += 1;
                credit(&mut self.connections, &mut self.outputs, queued.connection);
                return Some(Output::ToSegment {
                    segment: id,
                    node,
                    message: queued.message,
                });
            }
        }
        self.outputs.pop_front()
    }

    /// Tells when the oldest message that waits is dropped.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.segments
            .values()
            .filter_map(|segment| segment.queue.oldest())
            .min()
            .map(|since| since + self.limits.patience)
    }
}

fn credit(
    connections: &mut BTreeMap<Connection, usize>,
    outputs: &mut VecDeque<Output>,
    connection: Connection,
) {
    if let Some(waiting) = connections.get_mut(&connection) {
        *waiting = waiting.saturating_sub(1);
        outputs.push_back(Output::Credit(connection));
    }
}

/// The first octet of a request with a gateway prefix.
const GATEWAY_REQUEST: u8 = 0xE6;

/// Why a message goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// No meter here has this SAP or address.
    #[error("no meter here has this address")]
    Unknown,
    /// A queue is full.
    #[error("the queue is full")]
    Full,
    /// It is too long or malformed.
    #[error("the segment carries no such message")]
    Unfit,
}

impl Dropped {
    const fn counter(self, counters: &mut Counters) -> &mut u64 {
        match self {
            Self::Unknown => &mut counters.unknown,
            Self::Full => &mut counters.full,
            Self::Unfit => &mut counters.unfit,
        }
    }
}
