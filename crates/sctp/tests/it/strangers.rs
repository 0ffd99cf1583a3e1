//! Other people's SCTP in the same process: the crate `dcsctp`, which has one
//! path, DATA and I-DATA, partial reliability and stream resets.
//!
//! Evidence: a second implementation by other authors (Apache-2.0), which
//! takes our packets and makes its own, over a network made from a seed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use dcsctp::api::{
    DcSctpSocket, Message as TheirMessage, Options, PpId, SendOptions as TheirOptions, SocketEvent,
    SocketTime, StreamId,
};
use sctp::{
    AssociationId, Config, Connect, Duration, Endpoint, EndpointConfig, Event, Input, Instant,
    Output, Reliability, SendOptions,
};

use crate::net::{Random, ip, seeds};

const OURS: &str = "10.1.0.1";
const THEIRS: &str = "10.1.0.2";
const OUR_PORT: u16 = 4_059;
const THEIR_PORT: u16 = 5_000;

struct Pair {
    now: Instant,
    random: Random,
    loss: u64,
    ours: Endpoint,
    theirs: Box<dyn DcSctpSocket>,
    /// Packets under way, and whether to us.
    flying: BTreeMap<(Instant, u64), (bool, Vec<u8>)>,
    order: u64,
    wakes: Option<Instant>,
    id: Option<AssociationId>,
    our_events: Vec<Event>,
    their_events: Vec<SocketEvent>,
    received: Vec<(u16, u32, Vec<u8>)>,
    their_received: Vec<(u16, u32, Vec<u8>)>,
}

impl Pair {
    fn new(seed: u64, config: &Config, interleaving: bool) -> Self {
        let now = Instant::from_micros(1_000_000);
        let mut theirs = dcsctp::new_socket(
            "stranger",
            &Options {
                local_port: THEIR_PORT,
                remote_port: OUR_PORT,
                enable_message_interleaving: interleaving,
                ..Options::default()
            },
        );
        theirs.advance_time(time(now));
        Self {
            now,
            random: Random(seed),
            loss: 0,
            ours: Endpoint::new(
                EndpointConfig {
                    association: config.clone(),
                    ..EndpointConfig::new(OUR_PORT, vec![ip(OURS)])
                },
                Box::new(Random(seed + 1)),
                now,
            ),
            theirs,
            flying: BTreeMap::new(),
            order: 0,
            wakes: None,
            id: None,
            our_events: Vec::new(),
            their_events: Vec::new(),
            received: Vec::new(),
            their_received: Vec::new(),
        }
    }

    fn connect_from_us(&mut self, config: &Config) {
        let connect = Connect {
            addresses: vec![ip(THEIRS)],
            port: THEIR_PORT,
            udp_port: None,
            config: config.clone(),
            auth_keys: Vec::new(),
        };
        self.id = Some(self.ours.connect(&connect, self.now).unwrap());
        self.drain();
    }

    fn fly(&mut self, to_us: bool, octets: Vec<u8>) {
        if self.random.chance(self.loss) {
            return;
        }
        let delay = Duration::from_micros(2_000 + self.random.below(500));
        self.order += 1;
        self.flying
            .insert((self.now + delay, self.order), (to_us, octets));
    }

    fn drain(&mut self) {
        loop {
            match self.ours.poll() {
                Output::Transmit(packet) => self.fly(false, packet.octets),
                Output::Event(id, event) => {
                    self.id = Some(id);
                    if event == Event::Readable {
                        while let Some(message) = self.ours.receive(id, self.now) {
                            self.received.push((
                                message.stream,
                                message.ppid,
                                message.payload.to_vec(),
                            ));
                        }
                    }
                    self.our_events.push(event);
                }
                Output::Timeout(at) => {
                    self.wakes = at;
                    break;
                }
            }
        }
        while let Some(event) = self.theirs.poll_event() {
            match event {
                SocketEvent::SendPacket(octets) => self.fly(true, octets),
                other => self.their_events.push(other),
            }
        }
        while let Some(message) = self.theirs.get_next_message() {
            self.their_received
                .push((message.stream_id.0, message.ppid.0, message.payload));
        }
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        self.drain();
        loop {
            let theirs = self.theirs.poll_timeout() - SocketTime::zero();
            let theirs =
                (theirs < Duration::from_secs(1_000_000)).then(|| Instant::ORIGIN + theirs);
            let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
            let next = [arrival, self.wakes, theirs].into_iter().flatten().min();
            let Some(at) = next.filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            self.theirs.advance_time(time(self.now));
            if arrival == Some(at) {
                let (_, (to_us, octets)) = self.flying.pop_first().unwrap();
                if to_us {
                    let (local, remote): (IpAddr, IpAddr) = (ip(OURS), ip(THEIRS));
                    self.ours.handle(
                        Input::Datagram {
                            local,
                            remote,
                            udp_port: Some(sctp::UDP_PORT),
                            octets: &octets,
                        },
                        self.now,
                    );
                } else {
                    self.theirs.handle_input(&octets);
                }
            }
            if self.wakes.is_some_and(|at| at <= self.now) {
                self.ours.handle(Input::Timeout, self.now);
            }
            self.drain();
        }
        self.now = end;
        self.theirs.advance_time(time(end));
    }

    fn send(&mut self, stream: u16, ppid: u32, payload: Vec<u8>) {
        let options = SendOptions {
            ppid,
            ..SendOptions::default()
        };
        self.send_with(stream, payload, &options);
    }

    fn send_with(&mut self, stream: u16, payload: Vec<u8>, options: &SendOptions) {
        let id = self.id.unwrap();
        self.ours
            .send(id, stream, payload.into(), options, self.now)
            .unwrap();
        self.drain();
    }

    fn they_send(&mut self, stream: u16, ppid: u32, payload: Vec<u8>) {
        self.theirs
            .send(
                TheirMessage::new(StreamId(stream), PpId(ppid), payload),
                &TheirOptions::default(),
            )
            .unwrap();
        self.drain();
    }

    fn is_up(&self) -> bool {
        self.our_events
            .iter()
            .any(|event| matches!(event, Event::Established { .. }))
            && self
                .their_events
                .iter()
                .any(|event| matches!(event, SocketEvent::OnConnected()))
    }
}

fn time(at: Instant) -> SocketTime {
    SocketTime::zero() + Duration::from_micros(at.as_micros())
}

fn messages(seed: u64) -> Vec<(u16, u32, Vec<u8>)> {
    let mut random = Random(seed);
    (0..60_u32)
        .map(|number| {
            let stream = u16::try_from(random.below(4)).unwrap();
            let length = 1 + random.below(if number % 7 == 0 { 30_000 } else { 800 });
            let payload = (0..length).map(|at| at.to_be_bytes()[7]).collect();
            (stream, number, payload)
        })
        .collect()
}

fn by_stream(all: &[(u16, u32, Vec<u8>)]) -> BTreeMap<u16, Vec<(u32, Vec<u8>)>> {
    let mut streams: BTreeMap<u16, Vec<(u32, Vec<u8>)>> = BTreeMap::new();
    for (stream, ppid, payload) in all {
        streams
            .entry(*stream)
            .or_default()
            .push((*ppid, payload.clone()));
    }
    streams
}

fn exchange(seed: u64, we_connect: bool, interleaving: bool, loss: u64) {
    let config = Config {
        interleaving,
        ..Config::fast()
    };
    let mut pair = Pair::new(seed, &config, interleaving);
    if we_connect {
        pair.connect_from_us(&config);
    } else {
        pair.theirs.connect();
        pair.drain();
    }
    pair.run(Duration::from_secs(1));
    let what = format!("seed {seed}, we connect: {we_connect}, I-DATA: {interleaving}");
    assert!(pair.is_up(), "{what}");
    let status = pair.ours.status(pair.id.unwrap()).unwrap();
    assert_eq!(status.capabilities.interleaving, interleaving, "{what}");
    pair.loss = loss;
    let (there, back) = (messages(seed), messages(seed + 1_000));
    for (one, other) in there.iter().zip(&back) {
        pair.send(one.0, one.1, one.2.clone());
        pair.they_send(other.0, other.1, other.2.clone());
        pair.run(Duration::from_millis(20));
    }
    pair.run(Duration::from_secs(60));
    assert!(
        by_stream(&pair.their_received) == by_stream(&there),
        "{what}: to them"
    );
    assert!(
        by_stream(&pair.received) == by_stream(&back),
        "{what}: to us"
    );
    pair.loss = 0;
    if seed.is_multiple_of(2) {
        pair.ours.shutdown(pair.id.unwrap(), pair.now);
    } else {
        pair.theirs.shutdown();
    }
    pair.run(Duration::from_secs(30));
    assert!(pair.ours.is_empty(), "{what}: not shut down");
    assert!(
        pair.their_events
            .iter()
            .any(|event| matches!(event, SocketEvent::OnClosed())),
        "{what}: {:?}",
        pair.their_events
    );
}

#[test]
fn dcsctp_both_ways() {
    for seed in 0..8 {
        exchange(seed, seed / 2 % 2 == 0, seed / 4 % 2 == 0, 0);
    }
}

#[test]
fn dcsctp_both_ways_with_loss() {
    for seed in seeds(8, 16) {
        exchange(seed, seed / 2 % 2 == 0, seed / 4 % 2 == 0, 40);
    }
}

#[test]
fn dcsctp_lets_go_of_what_we_give_up() {
    for interleaving in [false, true] {
        let config = Config {
            interleaving,
            ..Config::fast()
        };
        let mut pair = Pair::new(70, &config, interleaving);
        pair.connect_from_us(&config);
        pair.run(Duration::from_secs(1));
        assert!(pair.is_up());
        pair.loss = 1_000;
        let once = SendOptions {
            reliability: Reliability::Retransmits(0),
            ..SendOptions::default()
        };
        pair.send_with(1, vec![1; 3_000], &once);
        pair.send_with(1, vec![2; 10], &once);
        pair.run(Duration::from_millis(50));
        pair.loss = 0;
        pair.send(1, 9, b"kept".to_vec());
        pair.run(Duration::from_secs(10));
        assert_eq!(pair.their_received, [(1, 9, b"kept".to_vec())]);
        let given_up = pair
            .our_events
            .iter()
            .filter(|event| matches!(event, Event::Abandoned { .. }))
            .count();
        assert_eq!(given_up, 2);
    }
}

#[test]
fn dcsctp_resets_streams_with_us() {
    for interleaving in [false, true] {
        let config = Config {
            interleaving,
            ..Config::fast()
        };
        let mut pair = Pair::new(71, &config, interleaving);
        pair.connect_from_us(&config);
        pair.run(Duration::from_secs(1));
        for round in 0..3 {
            pair.send(2, round, b"before".to_vec());
            pair.they_send(3, round, b"before".to_vec());
            let id = pair.id.unwrap();
            pair.ours.reset_outgoing(id, &[2], pair.now).unwrap();
            pair.theirs.reset_streams(&[StreamId(3)]).unwrap();
            pair.send(2, round, b"after".to_vec());
            pair.they_send(3, round, b"after".to_vec());
            pair.run(Duration::from_secs(3));
        }
        let done = |incoming| {
            pair.our_events
                .iter()
                .filter(|event| {
                    matches!(event, Event::StreamsReset { incoming: way, done: true, .. } if *way == incoming)
                })
                .count()
        };
        assert_eq!((done(false), done(true)), (3, 3));
        assert_eq!(pair.their_received.len(), 6);
        assert_eq!(pair.received.len(), 6);
        assert!(
            pair.their_events
                .iter()
                .any(|event| matches!(event, SocketEvent::OnIncomingStreamReset(_)))
        );
    }
}
