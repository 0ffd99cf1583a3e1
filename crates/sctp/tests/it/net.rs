//! A network of endpoints in virtual time, made from a seed: delay, loss,
//! reordering, duplication, rates, and cuts in one direction or both.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bytes::Bytes;
use sctp::{
    AssociationId, Config, Connect, Duration, Endpoint, EndpointConfig, Entropy, Event, Input,
    Instant, Message, Output, SendOptions, Transmit,
};

/// So many seeds from `first` on; times `SCTP_SEEDS`, where that is set.
pub(crate) fn seeds(first: u64, count: u64) -> std::ops::Range<u64> {
    let times = std::env::var("SCTP_SEEDS").map_or(1, |text| text.parse().unwrap());
    first..first + count * times
}

/// A small generator (splitmix64): the same seed, the same run.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// True in so many of a thousand cases.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }
}

impl Entropy for Random {
    fn fill(&mut self, octets: &mut [u8]) {
        for part in octets.chunks_mut(8) {
            let word = self.next().to_be_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
    }
}

/// What one direction between two addresses does to packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) delay: Duration,
    /// More delay, up to this much, drawn for each packet.
    pub(crate) jitter: Duration,
    pub(crate) loss: u64,
    pub(crate) duplicate: u64,
    /// Octets of the largest IP packet.
    pub(crate) mtu: usize,
    /// Longer ones go through in fragments, where they may.
    pub(crate) fragments: bool,
    /// Octets a second; 0 for no limit.
    pub(crate) rate: u64,
    /// Octets that wait for the rate.
    pub(crate) queue: u64,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(1),
            jitter: Duration::ZERO,
            loss: 0,
            duplicate: 0,
            mtu: 1_500,
            fragments: true,
            rate: 0,
            queue: 100_000,
        }
    }
}

#[derive(Debug)]
struct Flying {
    to: usize,
    packet: Transmit,
}

/// A message that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Delivered {
    pub(crate) at: Instant,
    pub(crate) message: Message,
}

pub(crate) struct Host {
    pub(crate) endpoint: Endpoint,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) events: Vec<(Instant, AssociationId, Event)>,
    pub(crate) delivered: BTreeMap<AssociationId, Vec<Delivered>>,
    /// Messages are taken as soon as they are there.
    pub(crate) reads: bool,
    wakes: Option<Instant>,
}

pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) hosts: Vec<Host>,
    pub(crate) random: Random,
    pub(crate) default: Link,
    links: BTreeMap<(IpAddr, IpAddr), Link>,
    cuts: BTreeSet<(IpAddr, IpAddr)>,
    /// More delay of packets with this code point.
    pub(crate) class_delay: BTreeMap<u8, Duration>,
    free_at: BTreeMap<(IpAddr, IpAddr), Instant>,
    flying: BTreeMap<(Instant, u64), Flying>,
    order: u64,
    pub(crate) sent: Vec<(Instant, Transmit)>,
    pub(crate) keep_sent: bool,
    /// The client is behind a NAT, which has this UDP port for it.
    pub(crate) nat: Option<u16>,
    /// Packets that arrive at one time are taken together, before anything is
    /// sent, as a socket's reader does.
    pub(crate) together: bool,
}

fn whole_micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) const CLIENT: usize = 0;
pub(crate) const SERVER: usize = 1;
pub(crate) const PORT: u16 = 4_059;

/// Two networks, and both hosts in both.
pub(crate) fn client_addresses() -> Vec<IpAddr> {
    Family::V4.client()
}

pub(crate) fn server_addresses() -> Vec<IpAddr> {
    Family::V4.server()
}

/// Which addresses the two networks have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
    /// IPv4 in the first, IPv6 in the second.
    Mixed,
}

impl Family {
    pub(crate) const ALL: [Self; 3] = [Self::V4, Self::V6, Self::Mixed];

    fn host(self, host: u8) -> Vec<IpAddr> {
        let v4 = |network: u8| ip(&format!("10.77.{network}.{host}"));
        let v6 = |network: u8| ip(&format!("fd77:{network}::{host}"));
        match self {
            Self::V4 => vec![v4(1), v4(2)],
            Self::V6 => vec![v6(1), v6(2)],
            Self::Mixed => vec![v4(1), v6(2)],
        }
    }

    pub(crate) fn client(self) -> Vec<IpAddr> {
        self.host(1)
    }

    pub(crate) fn server(self) -> Vec<IpAddr> {
        self.host(2)
    }

    /// An address in the first network that nobody has.
    pub(crate) fn nobody(self) -> IpAddr {
        self.host(66)[0]
    }
}

impl Net {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Instant::from_micros(1_000_000),
            hosts: Vec::new(),
            random: Random(seed),
            default: Link::default(),
            links: BTreeMap::new(),
            cuts: BTreeSet::new(),
            class_delay: BTreeMap::new(),
            free_at: BTreeMap::new(),
            flying: BTreeMap::new(),
            order: 0,
            sent: Vec::new(),
            keep_sent: false,
            nat: None,
            together: false,
        }
    }

    /// A client and a server with two addresses each.
    pub(crate) fn pair(seed: u64, config: &Config) -> Self {
        Self::pair_of(seed, config, Family::V4)
    }

    pub(crate) fn pair_of(seed: u64, config: &Config, family: Family) -> Self {
        let mut net = Self::new(seed);
        net.add(host_config(5_000, family.client(), config));
        net.add(host_config(PORT, family.server(), config));
        net
    }

    pub(crate) fn add(&mut self, config: EndpointConfig) -> usize {
        let seed = self.random.next();
        self.hosts.push(Host {
            addresses: config.addresses.clone(),
            endpoint: Endpoint::new(config, Box::new(Random(seed)), self.now),
            events: Vec::new(),
            delivered: BTreeMap::new(),
            reads: true,
            wakes: None,
        });
        self.hosts.len() - 1
    }

    pub(crate) fn connect(&mut self, config: &Config) -> AssociationId {
        let addresses = self.hosts[SERVER].addresses.clone();
        self.connect_to(config, addresses)
    }

    pub(crate) fn connect_to(&mut self, config: &Config, addresses: Vec<IpAddr>) -> AssociationId {
        let connect = Connect {
            addresses,
            port: PORT,
            udp_port: None,
            config: config.clone(),
            auth_keys: Vec::new(),
        };
        let id = self.hosts[CLIENT]
            .endpoint
            .connect(&connect, self.now)
            .unwrap();
        self.drain(CLIENT);
        id
    }

    /// Connects, and runs until both sides stand; tells both identifiers.
    pub(crate) fn establish(&mut self, config: &Config) -> (AssociationId, AssociationId) {
        let client = self.connect(config);
        self.run(Duration::from_millis(500));
        let is_up = |host: &Host| {
            host.events
                .iter()
                .find(|(_, _, event)| matches!(event, Event::Established { .. }))
                .map(|(_, id, _)| *id)
        };
        assert_eq!(is_up(&self.hosts[CLIENT]), Some(client));
        (client, is_up(&self.hosts[SERVER]).unwrap())
    }

    pub(crate) fn set_link(&mut self, a: IpAddr, b: IpAddr, link: Link) {
        self.links.insert((a, b), link);
        self.links.insert((b, a), link);
    }

    pub(crate) fn cut_one_way(&mut self, from: IpAddr, to: IpAddr) {
        self.cuts.insert((from, to));
    }

    pub(crate) fn cut(&mut self, a: IpAddr, b: IpAddr) {
        self.cuts.insert((a, b));
        self.cuts.insert((b, a));
    }

    pub(crate) fn lose_what_flies(&mut self) {
        self.flying.clear();
    }

    pub(crate) fn mend(&mut self) {
        self.cuts.clear();
    }

    pub(crate) fn send(
        &mut self,
        host: usize,
        id: AssociationId,
        stream: u16,
        payload: impl Into<Bytes>,
    ) {
        self.send_with(host, id, stream, payload, &SendOptions::default());
    }

    pub(crate) fn send_with(
        &mut self,
        host: usize,
        id: AssociationId,
        stream: u16,
        payload: impl Into<Bytes>,
        options: &SendOptions,
    ) {
        self.hosts[host]
            .endpoint
            .send(id, stream, payload.into(), options, self.now)
            .unwrap();
        self.drain(host);
    }

    /// Takes from a host what it has, and puts packets on their way.
    pub(crate) fn drain(&mut self, at: usize) {
        for round in 0.. {
            assert!(round < 200_000, "a host does not come to rest");
            match self.hosts[at].endpoint.poll() {
                Output::Transmit(packet) => self.transmit(packet),
                Output::Event(id, event) => {
                    let readable = event == Event::Readable;
                    self.hosts[at].events.push((self.now, id, event));
                    if readable && self.hosts[at].reads {
                        self.read(at, id);
                    }
                }
                Output::Timeout(next) => {
                    self.hosts[at].wakes = next;
                    return;
                }
            }
        }
    }

    pub(crate) fn read(&mut self, at: usize, id: AssociationId) {
        let host = &mut self.hosts[at];
        while let Some(message) = host.endpoint.receive(id, self.now) {
            host.delivered.entry(id).or_default().push(Delivered {
                at: self.now,
                message,
            });
        }
    }

    fn transmit(&mut self, packet: Transmit) {
        if self.keep_sent {
            self.sent.push((self.now, packet.clone()));
        }
        let way = (packet.local, packet.remote);
        let Some(to) = self
            .hosts
            .iter()
            .position(|host| host.addresses.contains(&packet.remote))
        else {
            return;
        };
        if to == CLIENT && self.nat.is_some() && packet.udp_port != self.nat {
            return;
        }
        let link = self.links.get(&way).copied().unwrap_or(self.default);
        let size = packet.octets.len() + if packet.remote.is_ipv4() { 28 } else { 48 };
        if self.cuts.contains(&way)
            || self.random.chance(link.loss)
            || (size > link.mtu && !(packet.may_fragment && link.fragments))
        {
            return;
        }
        let mut leaves = self.now;
        if link.rate > 0 {
            let free = self.free_at.entry(way).or_insert(self.now);
            let start = (*free).max(self.now);
            let waiting = whole_micros(start.since(self.now)) * link.rate / 1_000_000;
            if waiting > link.queue {
                return;
            }
            *free = start + Duration::from_micros(size as u64 * 1_000_000 / link.rate);
            leaves = *free;
        }
        let copies = 1 + u64::from(self.random.chance(link.duplicate));
        for _ in 0..copies {
            let jitter = self.random.below(whole_micros(link.jitter) + 1);
            let class = self.class_delay.get(&packet.dscp).copied();
            let at =
                leaves + link.delay + Duration::from_micros(jitter) + class.unwrap_or_default();
            self.order += 1;
            self.flying.insert(
                (at, self.order),
                Flying {
                    to,
                    packet: packet.clone(),
                },
            );
        }
    }

    /// Hands a packet to a host as if the network had brought it.
    pub(crate) fn inject(&mut self, to: usize, local: IpAddr, remote: IpAddr, octets: &[u8]) {
        self.inject_from(to, local, (remote, sctp::UDP_PORT), octets);
    }

    /// The same from this address and UDP port.
    pub(crate) fn inject_from(
        &mut self,
        to: usize,
        local: IpAddr,
        (remote, udp_port): (IpAddr, u16),
        octets: &[u8],
    ) {
        self.hosts[to].endpoint.handle(
            Input::Datagram {
                local,
                remote,
                udp_port: Some(udp_port),
                octets,
            },
            self.now,
        );
        self.drain(to);
    }

    /// Does the next thing that happens until `end`, and tells whether there
    /// was one.
    pub(crate) fn step(&mut self, end: Instant) -> bool {
        let arrives = self.flying.first_key_value().map(|((at, _), _)| *at);
        let wakes = (0..self.hosts.len())
            .filter_map(|at| self.hosts[at].wakes.map(|when| (when, at)))
            .min();
        let arrival_first = match (arrives, wakes) {
            (Some(at), Some((when, _))) => at <= when,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return false,
        };
        if arrival_first {
            let at = arrives.unwrap();
            if at > end {
                return false;
            }
            self.now = self.now.max(at);
            loop {
                let (_, flying) = self.flying.pop_first().unwrap();
                self.hosts[flying.to].endpoint.handle(
                    Input::Datagram {
                        local: flying.packet.remote,
                        remote: flying.packet.local,
                        udp_port: match (flying.to, self.nat) {
                            (SERVER, Some(port)) => Some(port),
                            (_, None) => flying.packet.udp_port,
                            (_, Some(_)) => Some(sctp::UDP_PORT),
                        },
                        octets: &flying.packet.octets,
                    },
                    self.now,
                );
                let next = self.flying.first_key_value();
                let more = next.is_some_and(|((at, _), next)| {
                    self.together && *at <= self.now && next.to == flying.to
                });
                if !more {
                    self.drain(flying.to);
                    break;
                }
            }
        } else {
            let (when, at) = wakes.unwrap();
            if when > end {
                return false;
            }
            self.now = self.now.max(when);
            self.hosts[at].endpoint.handle(Input::Timeout, self.now);
            self.drain(at);
        }
        true
    }

    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until `done`, and tells whether that was before `span` was over.
    pub(crate) fn run_until(&mut self, span: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + span;
        while !done(self) {
            if !self.step(end) {
                return false;
            }
        }
        true
    }

    pub(crate) fn payloads(&self, host: usize, id: AssociationId) -> Vec<Vec<u8>> {
        self.hosts[host]
            .delivered
            .get(&id)
            .map(|all| all.iter().map(|one| one.message.payload.to_vec()).collect())
            .unwrap_or_default()
    }

    pub(crate) fn count(&self, host: usize, id: AssociationId) -> usize {
        self.hosts[host].delivered.get(&id).map_or(0, Vec::len)
    }

    pub(crate) fn has_event(&self, host: usize, wanted: impl Fn(&Event) -> bool) -> bool {
        self.hosts[host]
            .events
            .iter()
            .any(|(_, _, event)| wanted(event))
    }
}

pub(crate) fn host_config(port: u16, addresses: Vec<IpAddr>, config: &Config) -> EndpointConfig {
    EndpointConfig {
        association: config.clone(),
        ..EndpointConfig::new(port, addresses)
    }
}
