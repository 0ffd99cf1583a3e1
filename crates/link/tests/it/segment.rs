//! Segments: many meters on one medium.
//!
//! Evidence: self-agreement. The line's rules run in virtual time against the
//! HDLC station machine; sockets and pseudo-terminals are real.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use dlms::Instant;
use dlms::client::{Associate, Client, Config, Event, GetItem, Input, Output, Request, Response};
use dlms::hdlc::{Address, Station, secondary, station};
use link::{
    Clock, Endpoint, IpLimits, IpMeter, IpSegment, Limits, LinkError, Listener, Message, Multidrop,
    MultidropConfig, MultidropMeter, MultidropSegment, Node, Segment, SegmentEvent, Service,
    SystemClock, serve,
};
use model::MessageClass;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::device::{Fleet, NAME, name};

const LIMIT: Duration = Duration::from_secs(30);

async fn next(segment: &mut dyn Segment) -> SegmentEvent {
    let event = poll_fn(|cx| segment.poll_event(cx));
    let event = tokio::time::timeout(LIMIT, event).await;
    event.expect("nothing happens").unwrap()
}

/// Waits until so many meters have joined, and gives their SAPs.
async fn joined(segment: &mut dyn Segment, count: usize) -> BTreeMap<Node, u16> {
    let mut nodes = BTreeMap::new();
    while nodes.len() < count {
        if let SegmentEvent::Joined { node, server, .. } = next(segment).await {
            nodes.insert(node, server);
        }
    }
    nodes
}

/// Reads a meter's name through the segment, as the public client.
async fn read_name(segment: &mut dyn Segment, node: Node, server: u16) -> Vec<u8> {
    let clock = SystemClock::new();
    let mut client = Client::new(Config::default(), None);
    client.handle(
        Input::Associate(Associate {
            password: &[],
            entropy: &[0; 32],
            dedicated: None,
            counter: None,
        }),
        clock.now(),
    );
    loop {
        match client.poll() {
            Output::Transmit(payload) => {
                let message = Message {
                    source: 16,
                    destination: server,
                    class: MessageClass::Request,
                    payload,
                };
                segment.send(Some(node), message).unwrap();
            }
            Output::Event(Event::Associated(_)) => {
                let item = GetItem {
                    attribute: NAME,
                    selection: None,
                };
                client.handle(Input::Request(Request::Get(vec![item])), clock.now());
            }
            Output::Event(Event::Response(Response::Get(mut values))) => {
                return values.remove(0).unwrap();
            }
            Output::Event(other) => panic!("{other:?}"),
            Output::Timeout(_) => {
                if let SegmentEvent::Received(from, message) = next(segment).await
                    && from == node
                {
                    client.handle(Input::Apdu(&message.payload), clock.now());
                }
            }
            Output::Reserve(_) => panic!("the public client has no counters"),
        }
    }
}

/// Lets a fleet of logical devices answer at an endpoint.
async fn serve_at(endpoint: &Endpoint, saps: &[u16]) -> Endpoint {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut listener = Listener::bind(endpoint, saps, Limits::default(), Arc::clone(&clock))
        .await
        .unwrap();
    let local = listener.local().clone();
    let fleet = Arc::new(Fleet(saps.to_vec()));
    tokio::spawn(async move {
        while let Some(accepted) = listener.accept().await {
            let (fleet, clock) = (Arc::clone(&fleet), Arc::clone(&clock));
            tokio::spawn(async move {
                let _permit = accepted.permit;
                serve(accepted.link, fleet, Service::default(), clock).await
            });
        }
    });
    local
}

#[tokio::test]
async fn meters_on_ip_join_and_answer_by_endpoint_and_sap() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let any: Endpoint = "tcp://127.0.0.1:0".parse().unwrap();
    let one = serve_at(&any, &[1]).await;
    let many = serve_at(&any, &[1, 2, 3]).await;
    let mut meters = vec![IpMeter {
        endpoint: one,
        server: 1,
    }];
    meters.extend((1..=3).map(|server| IpMeter {
        endpoint: many.clone(),
        server,
    }));
    let mut segment = IpSegment::start(meters, IpLimits::default(), &clock);
    let nodes = joined(&mut segment, 4).await;
    for (node, server) in nodes {
        assert_eq!(read_name(&mut segment, node, server).await, name(server));
    }
    let lost = Message {
        source: 16,
        destination: 1,
        class: MessageClass::Usage,
        payload: vec![0],
    };
    assert!(matches!(
        segment.send(Some(Node(4)), lost),
        Err(LinkError::Closed)
    ));
}

#[tokio::test]
async fn a_meter_that_comes_up_late_joins_then() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    // A port that nobody listens at yet.
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint: Endpoint = format!("tcp://{}", held.local_addr().unwrap())
        .parse()
        .unwrap();
    drop(held);
    let limits = IpLimits {
        retry_first: Duration::from_millis(50),
        ..IpLimits::default()
    };
    let meters = vec![IpMeter {
        endpoint: endpoint.clone(),
        server: 1,
    }];
    let mut segment = IpSegment::start(meters, limits, &clock);
    let early = poll_fn(|cx| segment.poll_event(cx));
    assert!(
        tokio::time::timeout(Duration::from_millis(120), early)
            .await
            .is_err()
    );
    serve_at(&endpoint, &[1]).await;
    assert_eq!(joined(&mut segment, 1).await.len(), 1);
    assert_eq!(read_name(&mut segment, Node(0), 1).await, name(1));
}

/// A line in virtual time, with a station for each address.
struct Bench {
    line: Multidrop,
    stations: Vec<Station>,
    now: Instant,
    /// What was on the line: when, and to or from which meter.
    sent: Vec<(Instant, Vec<u8>)>,
    /// Nothing more is sent once there was so much.
    pause_at: usize,
}

impl Bench {
    fn new(addresses: &[u16], silent: &[u16]) -> Self {
        let config = MultidropConfig {
            meters: addresses
                .iter()
                .map(|&address| MultidropMeter { address, server: 1 })
                .collect(),
            ..MultidropConfig::default()
        };
        let there = addresses.iter().filter(|address| !silent.contains(address));
        let stations = there.map(|&address| {
            Station::new(station::Config::new(vec![
                Address::two(1, address).unwrap(),
            ]))
        });
        Self {
            line: Multidrop::new(config, Instant::ORIGIN).unwrap(),
            stations: stations.collect(),
            now: Instant::ORIGIN,
            sent: Vec::new(),
            pause_at: usize::MAX,
        }
    }

    /// Turns everything until `until`, or the first event.
    fn event(&mut self, until: Instant) -> Option<SegmentEvent> {
        loop {
            loop {
                if self.sent.len() >= self.pause_at {
                    return None;
                }
                let Some(octets) = self.line.transmit() else {
                    break;
                };
                self.now = self.now + Duration::from_micros(1_042 * octets.len() as u64);
                self.sent.push((self.now, octets.clone()));
                let mut answers = Vec::new();
                for station in &mut self.stations {
                    station
                        .handle(station::Input::Octets(&octets), self.now)
                        .unwrap();
                    loop {
                        match station.poll() {
                            station::StationOutput::Transmit(octets) => answers.push(octets),
                            station::StationOutput::Event {
                                link,
                                event: dlms::hdlc::Event::Message(message),
                            } => {
                                // The answer to n octets are 10 n.
                                let answer = vec![message[0]; message.len() * 10];
                                let input = secondary::Input::Message(&answer);
                                station
                                    .handle(station::Input::Link { link, input }, self.now)
                                    .unwrap();
                            }
                            station::StationOutput::Event { .. } => {}
                            station::StationOutput::Timeout(_) => break,
                        }
                    }
                }
                assert!(answers.len() <= 1, "two meters speak at once");
                for octets in answers {
                    self.now = self.now + Duration::from_micros(1_042 * octets.len() as u64);
                    self.line.receive(&octets, self.now);
                }
            }
            if let Some(event) = self.line.event() {
                return Some(event);
            }
            match self.line.deadline() {
                Some(at) if at <= until => {
                    self.now = self.now.max(at);
                    self.line.timeout(self.now);
                }
                _ => return None,
            }
        }
    }

    fn send(&mut self, node: u32, class: MessageClass, octets: usize) {
        let message = Message {
            source: 1,
            destination: 1,
            class,
            payload: vec![tag(node); octets],
        };
        self.line.send(Some(Node(node)), message, self.now).unwrap();
    }
}

/// The octet that a meter's messages are made of.
fn tag(node: u32) -> u8 {
    u8::try_from(node).unwrap()
}

const fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

#[test]
fn the_line_finds_its_meters_and_goes_on_looking_for_the_silent_one() {
    let mut bench = Bench::new(&[17, 18, 19], &[18]);
    let mut found = Vec::new();
    while let Some(event) = bench.event(at(60)) {
        if let SegmentEvent::Joined { node, .. } = event {
            found.push(node.0);
        }
    }
    found.sort_unstable();
    assert_eq!(found, [0, 2]);
    // The silent one comes up.
    bench.stations.push(Station::new(station::Config::new(vec![
        Address::two(1, 18).unwrap(),
    ])));
    let later = std::iter::from_fn(|| bench.event(at(600)));
    let joined: Vec<_> = later
        .filter_map(|event| match event {
            SegmentEvent::Joined { node, .. } => Some(node.0),
            _ => None,
        })
        .collect();
    assert_eq!(joined, [1]);
}

#[test]
fn every_meter_answers_its_own_message() {
    let mut bench = Bench::new(&[17, 18, 19, 20], &[]);
    while bench.event(at(20)).is_some() {}
    for node in 0..4 {
        bench.send(node, MessageClass::Usage, 60 + node as usize);
    }
    let mut answers = BTreeMap::new();
    let mut done = 0;
    while let Some(event) = bench.event(at(120)) {
        match event {
            SegmentEvent::Received(node, message) => {
                answers.insert(node.0, message.payload);
            }
            SegmentEvent::Done {
                delivered: true, ..
            } => done += 1,
            _ => {}
        }
    }
    assert_eq!(done, 4);
    for node in 0..4_u32 {
        assert_eq!(answers[&node], vec![tag(node); (60 + node as usize) * 10]);
    }
}

#[test]
fn an_urgent_message_waits_for_one_frame_and_its_answer() {
    let mut bench = Bench::new(&[17, 18], &[]);
    while bench.event(at(20)).is_some() {}
    // 2,000 octets come back in 16 frames of 128: more than two seconds.
    bench.send(0, MessageClass::Usage, 200);
    bench.pause_at = bench.sent.len() + 6;
    assert_eq!(bench.event(at(100)), None);
    let begun = bench.sent.len();
    bench.send(1, MessageClass::Control, 5);
    bench.pause_at = usize::MAX;
    let mut order = Vec::new();
    while let Some(event) = bench.event(at(100)) {
        if let SegmentEvent::Received(node, message) = event {
            order.push((node.0, message.payload.len()));
        }
    }
    assert_eq!(order, [(1, 50), (0, 2_000)]);
    // The lower address of meter 1 stands in the fifth octet.
    let to_urgent = |(_, frame): &(Instant, Vec<u8>)| frame[4] == 18 << 1 | 1;
    let waited = bench.sent[begun..].iter().position(to_urgent);
    assert!(waited.is_some_and(|frames| frames <= 1), "{waited:?}");
}

#[test]
fn broadcasts_go_to_all_and_ask_nobody() {
    let mut bench = Bench::new(&[17, 18], &[]);
    while bench.event(at(20)).is_some() {}
    let before = bench.sent.len();
    let message = Message {
        source: 1,
        destination: 0x7F,
        class: MessageClass::Usage,
        payload: vec![7; 300],
    };
    bench.line.send(None, message, bench.now).unwrap();
    let event = bench.event(bench.now);
    assert_eq!(
        event,
        Some(SegmentEvent::Done {
            node: None,
            class: MessageClass::Usage,
            delivered: true
        })
    );
    // Three UI frames to 0x7F in both parts (IEC 62056-46, all stations).
    let frames = &bench.sent[before..];
    assert_eq!(frames.len(), 3);
    for (_, frame) in frames {
        assert_eq!(&frame[3..5], [0xFE, 0xFF]);
    }
}

#[test]
fn wrong_addresses_are_refused() {
    for (width, addresses) in [
        (2, vec![200]),
        (2, vec![17, 17]),
        (4, vec![0x3FFF]),
        (1, vec![17]),
    ] {
        let config = MultidropConfig {
            width,
            meters: addresses
                .into_iter()
                .map(|address| MultidropMeter { address, server: 1 })
                .collect(),
            ..MultidropConfig::default()
        };
        assert!(Multidrop::new(config, Instant::ORIGIN).is_err());
    }
}

/// A pseudo-terminal: its master, its slave, and the slave's path.
fn terminal() -> (
    tokio_serial::SerialStream,
    tokio_serial::SerialStream,
    String,
) {
    use tokio_serial::SerialPort as _;
    let (master, slave) = tokio_serial::SerialStream::pair().unwrap();
    let path = slave.name().unwrap();
    (master, slave, path)
}

#[tokio::test]
async fn several_meters_share_one_line_of_pseudo_terminals() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut masters = Vec::new();
    // Held open as long as the test runs.
    let mut slaves = Vec::new();
    let (master, slave, concentrator) = terminal();
    masters.push(master);
    slaves.push(slave);
    let addresses = [17_u16, 18, 19];
    for address in addresses {
        let (master, slave, path) = terminal();
        masters.push(master);
        slaves.push(slave);
        let endpoint = format!("serial://{path}?baud=115200&address={address}&width=2");
        serve_at(&endpoint.parse().unwrap(), &[1]).await;
    }
    // What one writes, all others hear: an RS-485 line.
    let (tell, _) = tokio::sync::broadcast::channel::<(usize, Vec<u8>)>(256);
    for (number, master) in masters.into_iter().enumerate() {
        let (mut reading, mut writing) = tokio::io::split(master);
        let (tell, mut hear) = (tell.clone(), tell.subscribe());
        tokio::spawn(async move {
            let mut octets = [0; 512];
            while let Ok(count) = reading.read(&mut octets).await {
                if tell.send((number, octets[..count].to_vec())).is_err() {
                    break;
                }
            }
        });
        tokio::spawn(async move {
            while let Ok((from, octets)) = hear.recv().await {
                if from != number && writing.write_all(&octets).await.is_err() {
                    break;
                }
            }
        });
    }
    let config = MultidropConfig {
        meters: addresses
            .map(|address| MultidropMeter { address, server: 1 })
            .to_vec(),
        ..MultidropConfig::default()
    };
    let endpoint: Endpoint = format!("serial://{concentrator}?baud=115200")
        .parse()
        .unwrap();
    let mut segment = MultidropSegment::open(&endpoint, config, clock).unwrap();
    let nodes = joined(&mut segment, 3).await;
    assert_eq!(nodes.len(), 3);
    for node in nodes.into_keys() {
        assert_eq!(read_name(&mut segment, node, 1).await, name(1));
    }
}
