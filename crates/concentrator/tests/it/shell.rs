//! The concentrator on real sockets.
//!
//! Evidence: self-agreement, with real TCP. That strangers read through it is
//! shown by `interop/`, that keys hold by the tests of the program.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use concentrator::Config;
use concentrator::config::WanConfig;
use concentrator::device::{METER_STATUS, SAP_ASSIGNMENT, SAP_CHANGES, SharedCore};
use concentrator::direct::{RouterLimits, SegmentId};
use concentrator::shell::{Concentrator, Surroundings};
use dlms::axdr::Data;
use dlms::codec::Wire as _;
use dlms::cosem::{AttributeDescriptor, Obis};
use link::{
    Association, Client, Clock, Endpoint, IpLimits, IpMeter, IpSegment, Limits, LinkError,
    LinkExt as _, Listener, Message, Node, Sap, Segment, SegmentEvent, Service, SystemClock,
    SystemEntropy, connect, serve,
};
use model::MessageClass;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use crate::device::{Fleet, NAME};

pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

fn surroundings() -> Surroundings {
    Surroundings {
        clock: clock(),
        entropy: Arc::new(SystemEntropy),
    }
}

pub(crate) fn meter_name(sap: Sap) -> String {
    format!("GWD{sap:013}")
}

/// The SAPs of so many meters at one port; 0x7F means all of them.
pub(crate) fn servers(count: usize) -> Vec<Sap> {
    let saps = (1..).filter(|sap| *sap != link::ALL_STATIONS);
    saps.take(count).collect()
}

/// Lets meters answer at one port.
pub(crate) async fn meters(count: usize) -> Endpoint {
    let saps = servers(count);
    let any = "tcp://127.0.0.1:0".parse().unwrap();
    let mut listener = Listener::bind(&any, &saps, Limits::default(), clock())
        .await
        .unwrap();
    let local = listener.local().clone();
    let fleet = Arc::new(Fleet(
        saps.iter().map(|sap| (*sap, meter_name(*sap))).collect(),
    ));
    tokio::spawn(async move {
        while let Some(accepted) = listener.accept().await {
            let fleet = Arc::clone(&fleet);
            tokio::spawn(async move {
                let _permit = accepted.permit;
                serve(accepted.link, fleet, Service::default(), clock()).await
            });
        }
    });
    local
}

pub(crate) struct Running {
    pub(crate) at: Endpoint,
    pub(crate) core: SharedCore,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<Result<(), concentrator::store::StoreError>>,
}

impl Running {
    pub(crate) async fn end(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap().unwrap();
    }

    /// Waits until so many meters are there.
    pub(crate) async fn there(&self, count: usize) {
        let all = async {
            loop {
                let there = {
                    let core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
                    core.status()
                        .values()
                        .filter(|it| it.place.is_some())
                        .count()
                };
                if there >= count {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LIMIT, all)
            .await
            .expect("meters are missing");
    }

    pub(crate) fn sap(&self, meter: Sap) -> Sap {
        let core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        core.table()
            .sap_of(&meter_name(meter).parse().unwrap())
            .unwrap()
    }
}

pub(crate) async fn start(
    folder: &Path,
    endpoint: &Endpoint,
    servers: Vec<Sap>,
    limits: RouterLimits,
) -> Running {
    let meters = servers.into_iter().map(|server| IpMeter {
        endpoint: endpoint.clone(),
        server,
    });
    start_with(folder, meters.collect(), limits).await
}

pub(crate) async fn start_with(
    folder: &Path,
    meters: Vec<IpMeter>,
    limits: RouterLimits,
) -> Running {
    let limits_ip = IpLimits {
        retry_first: Duration::from_millis(50),
        ..IpLimits::default()
    };
    let segment = IpSegment::start(meters, limits_ip, &clock());
    run(folder, vec![Box::new(segment)], limits).await
}

pub(crate) async fn run(
    folder: &Path,
    segments: Vec<Box<dyn Segment>>,
    limits: RouterLimits,
) -> Running {
    let config = Config {
        data: folder.to_owned(),
        wan: vec![WanConfig {
            listen: Some("tcp://127.0.0.1:0".to_owned()),
            ..WanConfig::default()
        }],
        classes: BTreeMap::from([("3".to_owned(), "usage".to_owned())]),
        ..Config::default()
    };
    let concentrator = Concentrator::with_limits(&config, limits, segments, &surroundings())
        .await
        .unwrap();
    let at = concentrator.local().next().unwrap().clone();
    let core = concentrator.core();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(concentrator.run(stopped));
    Running {
        at,
        core,
        stop,
        task,
    }
}

pub(crate) async fn client(at: &Endpoint, server: Sap) -> Client {
    let around = link::Surroundings {
        clock: clock(),
        ..link::Surroundings::system()
    };
    Client::connect(at, Association::public(server), &around, LIMIT)
        .await
        .unwrap()
}

pub(crate) async fn read(at: &Endpoint, server: Sap, object: Obis, class: u16) -> Data {
    let mut client = client(at, server).await;
    let value = client
        .read(AttributeDescriptor::new(class, object, 2))
        .await
        .unwrap();
    client.release().await;
    value
}

#[tokio::test]
async fn a_head_end_finds_its_meters_in_the_list_and_reads_them_by_sap() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = meters(1_200).await;
    let running = start(
        folder.path(),
        &endpoint,
        servers(1_200),
        RouterLimits::default(),
    )
    .await;
    running.there(1_200).await;
    // 27.6 kB of list in APDUs of 2,048 octets: blocks.
    let list = read(&running.at, 1, SAP_ASSIGNMENT, 17).await;
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 1_201);
    let entry = |data: &Data| {
        let parts = data.as_structure().unwrap();
        let mut name = dlms::codec::Wire::to_octets(&parts[1]);
        (
            parts[0].as_u16().unwrap(),
            String::from_utf8(name.split_off(2)).unwrap(),
        )
    };
    assert_eq!(entry(&list[0]), (1, "GWD1DC0000000001".to_owned()));
    let by_name: BTreeMap<_, _> = list
        .iter()
        .map(entry)
        .map(|(sap, name)| (name, sap))
        .collect();
    for meter in [1, 600, 1_200] {
        let sap = by_name[&meter_name(meter)];
        let name = read(&running.at, sap, NAME.instance, 1).await;
        let octets = dlms::codec::Wire::to_octets(&name);
        assert_eq!(&octets[2..], meter_name(meter).as_bytes());
    }
    let changes = read(&running.at, 1, SAP_CHANGES, 1).await;
    assert_eq!(changes.as_u64(), Some(1_200));
    // What only the keys of the concentrator open, the public client does not see.
    let mut public = client(&running.at, 1).await;
    assert!(
        public
            .read(AttributeDescriptor::new(1, METER_STATUS, 2))
            .await
            .is_err()
    );
    running.end().await;
}

#[tokio::test]
async fn many_meters_are_asked_at_once_over_one_connection() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = meters(40).await;
    let running = start(
        folder.path(),
        &endpoint,
        servers(40),
        RouterLimits::default(),
    )
    .await;
    running.there(40).await;
    let mut link = connect(&running.at, (16, 1), &clock(), LIMIT)
        .await
        .unwrap();
    let aarq = aarq();
    for meter in 1..=40 {
        let request = Message {
            source: 16,
            destination: running.sap(meter),
            class: MessageClass::Request,
            payload: aarq.clone(),
        };
        link.send(request).unwrap();
    }
    let mut answered = std::collections::BTreeSet::new();
    while answered.len() < 40 {
        let answer = tokio::time::timeout(LIMIT, link.receive())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(answer.payload[0], 0x61, "an AARE");
        assert!(answered.insert(answer.source));
    }
    running.end().await;
}

/// The AARQ of the public client.
fn aarq() -> Vec<u8> {
    use dlms::client::{Associate, Config, Input, Output};
    let mut client = dlms::client::Client::new(Config::default(), None);
    client.handle(
        Input::Associate(Associate {
            password: &[],
            entropy: &[0; 32],
            dedicated: None,
            counter: None,
        }),
        dlms::Instant::ORIGIN,
    );
    match client.poll() {
        Output::Transmit(octets) => octets,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn saps_stay_over_a_restart_and_whatever_order_meters_come_in() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = meters(30).await;
    let running = start(
        folder.path(),
        &endpoint,
        servers(30),
        RouterLimits::default(),
    )
    .await;
    running.there(30).await;
    let before: Vec<Sap> = (1..=30).map(|meter| running.sap(meter)).collect();
    running.end().await;
    // Meter 5 is gone, the others come in the other order.
    let servers = (1..=30).rev().filter(|server| *server != 5).collect();
    let running = start(folder.path(), &endpoint, servers, RouterLimits::default()).await;
    running.there(29).await;
    let after: Vec<Sap> = (1..=30).map(|meter| running.sap(meter)).collect();
    assert_eq!(after, before);
    let name = read(&running.at, after[6], NAME.instance, 1).await;
    assert_eq!(
        &dlms::codec::Wire::to_octets(&name)[2..],
        meter_name(7).as_bytes()
    );
    running.end().await;
}

#[tokio::test]
async fn a_flood_of_the_wan_leaves_other_connections_alive() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = meters(4).await;
    let running = start(
        folder.path(),
        &endpoint,
        servers(4),
        RouterLimits::default(),
    )
    .await;
    running.there(4).await;
    let at = running.at.clone();
    let sap = running.sap(1);
    let flood = tokio::spawn(async move {
        let mut link = connect(&at, (3, 1), &clock(), LIMIT).await.unwrap();
        loop {
            for destination in [sap, 0x3000, link::ALL_STATIONS] {
                let message = Message {
                    source: 3,
                    destination,
                    class: MessageClass::Request,
                    payload: vec![0xC0; 900],
                };
                drop(link.send(message));
            }
            if link.flush().await.is_err() {
                return;
            }
        }
    });
    for _ in 0..5 {
        for meter in 1..=4 {
            let name = read(&running.at, running.sap(meter), NAME.instance, 1).await;
            assert_eq!(
                &dlms::codec::Wire::to_octets(&name)[2..],
                meter_name(meter).as_bytes()
            );
        }
    }
    assert!(!flood.is_finished(), "the flood ended by itself");
    flood.abort();
    running.end().await;
}

/// A message in its wrapper.
fn wrapped(source: Sap, destination: Sap, apdu: &[u8]) -> Vec<u8> {
    dlms::wrapper::Wrapper {
        source,
        destination,
        apdu,
    }
    .to_octets()
}

/// A meter that says its name, and answers client 1 with as much as a message holds. Tells how
/// often it was asked that.
async fn chatty(name: String) -> (Endpoint, Arc<AtomicUsize>) {
    let any = "tcp://127.0.0.1:0".parse().unwrap();
    let mut listener = Listener::bind(&any, &[1], Limits::default(), clock())
        .await
        .unwrap();
    let local = listener.local().clone();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let mut value = vec![0x09, 16];
    value.extend_from_slice(name.as_bytes());
    let mut meter = crate::device::Device {
        values: [(NAME, value)].into(),
    };
    tokio::spawn(async move {
        while let Some(mut accepted) = listener.accept().await {
            let mut server = dlms::server::Server::default();
            while let Ok(message) = accepted.link.receive().await {
                let mut answers = Vec::new();
                if message.source == 1 {
                    count.fetch_add(1, Ordering::Relaxed);
                    answers.push(vec![0xC4; usize::from(u16::MAX)]);
                } else {
                    let input = dlms::server::Input::Apdu {
                        client: message.source,
                        broadcast: false,
                        octets: &message.payload,
                    };
                    server.handle(input, dlms::Instant::ORIGIN, &mut meter);
                    while let dlms::server::Output::Transmit { octets, .. } = server.poll() {
                        answers.push(octets);
                    }
                }
                for payload in answers {
                    let answer = Message {
                        source: message.destination,
                        destination: message.source,
                        class: message.class,
                        payload,
                    };
                    accepted.link.send(answer).unwrap();
                    accepted.link.flush().await.unwrap();
                }
            }
        }
    });
    (local, asked)
}

/// Requirement D7. Each question is asked when the one before has arrived, until they arrive no
/// more: what comes back then fills all buffers of the system on the way.
#[tokio::test]
async fn a_head_end_that_does_not_read_is_read_no_further_and_let_go_of() {
    let folder = tempfile::tempdir().unwrap();
    let (endpoint, asked) = chatty(meter_name(1)).await;
    let both = [endpoint, meters(2).await];
    let both = both
        .into_iter()
        .zip(1..)
        .map(|(endpoint, server)| IpMeter { endpoint, server });
    let limits = RouterLimits {
        swallow: Duration::from_secs(3),
        ..RouterLimits::default()
    };
    let running = start_with(folder.path(), both.collect(), limits).await;
    running.there(2).await;
    let at = running.at.host_port().unwrap().to_string();
    let request = wrapped(1, running.sap(1), &[0xC0; 10]);
    let mut deaf = TcpStream::connect(&at).await.unwrap();
    let mut sent = 0;
    let ends = async {
        while deaf.write_all(&request).await.is_ok() {
            sent += 1;
            for _ in 0..200 {
                if asked.load(Ordering::Relaxed) >= sent {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    tokio::time::timeout(2 * LIMIT, ends).await.unwrap();
    let taken = asked.load(Ordering::Relaxed);
    assert!(taken < sent, "all {sent} were read");
    // Somebody else is read, then as before.
    let name = read(&running.at, running.sap(2), NAME.instance, 1).await;
    assert_eq!(
        &dlms::codec::Wire::to_octets(&name)[2..],
        meter_name(2).as_bytes()
    );
    // Who reads is not let go of, with more than the other was answered.
    let mut good = TcpStream::connect(&at).await.unwrap();
    let mut answer = vec![0; 8 + usize::from(u16::MAX)];
    for _ in 0..taken + 16 {
        good.write_all(&request).await.unwrap();
        let whole = good.read_exact(&mut answer);
        tokio::time::timeout(LIMIT, whole).await.unwrap().unwrap();
    }
    running.end().await;
}

/// A segment that takes messages, and keeps each until it is told to let go of it.
struct Slow {
    sent: Arc<AtomicUsize>,
    done: mpsc::Receiver<SegmentEvent>,
}

impl Segment for Slow {
    fn send(&mut self, _: Option<Node>, _: Message) -> Result<(), LinkError> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<SegmentEvent, LinkError>> {
        let event = std::task::ready!(self.done.poll_recv(cx));
        Poll::Ready(event.ok_or(LinkError::Closed))
    }

    fn window(&self) -> usize {
        1
    }

    fn payload_max(&self) -> usize {
        2_048
    }

    fn medium(&self) -> &'static str {
        "ip"
    }

    fn is_one_wire(&self) -> bool {
        false
    }
}

/// Waits until a number is what it shall be.
async fn becomes(what: impl Fn() -> usize, wanted: usize) {
    let so = async {
        while what() != wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(LIMIT, so).await;
    assert!(waited.is_ok(), "{} and never {wanted}", what());
}

/// Requirement D7. The control is a connection that may have all of it waiting.
#[tokio::test]
async fn who_has_as_much_waiting_as_he_may_is_read_no_further() {
    const ALL: usize = 12;
    for (credits, waits) in [(4, 4), (64, ALL - 1)] {
        let folder = tempfile::tempdir().unwrap();
        let sent = Arc::new(AtomicUsize::new(0));
        let (done, events) = mpsc::channel(ALL);
        let segment = Slow {
            sent: Arc::clone(&sent),
            done: events,
        };
        let limits = RouterLimits {
            per_connection: credits,
            ..RouterLimits::default()
        };
        let running = run(folder.path(), vec![Box::new(segment)], limits).await;
        let core = Arc::clone(&running.core);
        let waiting = || core.lock().unwrap().waiting(SegmentId(0));
        let at = running.at.host_port().unwrap().to_string();
        let mut head_end = TcpStream::connect(&at).await.unwrap();
        let all = wrapped(16, link::ALL_STATIONS, &[0xC0; 10]).repeat(ALL);
        head_end.write_all(&all).await.unwrap();
        becomes(|| sent.load(Ordering::Relaxed), 1).await;
        becomes(waiting, waits).await;
        // Others are served meanwhile; what is with the socket stays there.
        for _ in 0..5 {
            read(&running.at, 1, SAP_CHANGES, 1).await;
            assert_eq!(waiting(), waits);
        }
        for number in 2..=ALL {
            let event = SegmentEvent::Done {
                node: None,
                class: MessageClass::Request,
                delivered: true,
            };
            done.send(event).await.unwrap();
            becomes(|| sent.load(Ordering::Relaxed), number).await;
            becomes(waiting, waits.min(ALL - number)).await;
        }
        running.end().await;
    }
}

#[tokio::test]
async fn two_meters_with_one_name_are_counted_and_the_first_stays() {
    let folder = tempfile::tempdir().unwrap();
    // The same names at two ports.
    let ports = [meters(1).await, meters(1).await];
    let both = ports.map(|endpoint| IpMeter {
        endpoint,
        server: 1,
    });
    let running = start_with(folder.path(), both.to_vec(), RouterLimits::default()).await;
    let found = async {
        loop {
            let conflicts = running.core.lock().unwrap().conflicts();
            if conflicts > 0 {
                return conflicts;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert_eq!(tokio::time::timeout(LIMIT, found).await.unwrap(), 1);
    running.there(1).await;
    let list = read(&running.at, 1, SAP_ASSIGNMENT, 17).await;
    assert_eq!(list.as_array().unwrap().len(), 2);
    running.end().await;
}

#[tokio::test]
async fn it_connects_to_a_head_end_that_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = meters(2).await;
    let any = "tcp://127.0.0.1:0".parse().unwrap();
    let mut head_end = Listener::bind(&any, &[], Limits::default(), clock())
        .await
        .unwrap();
    let config = Config {
        data: folder.path().to_owned(),
        wan: vec![WanConfig {
            connect: Some(head_end.local().to_string()),
            ..WanConfig::default()
        }],
        ..Config::default()
    };
    let both = servers(2).into_iter().map(|server| IpMeter {
        endpoint: endpoint.clone(),
        server,
    });
    let segment = IpSegment::start(both.collect(), IpLimits::default(), &clock());
    let segments: Vec<Box<dyn Segment>> = vec![Box::new(segment)];
    let concentrator = Concentrator::start(&config, segments, &surroundings())
        .await
        .unwrap();
    let core = concentrator.core();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(concentrator.run(stopped));
    let running = Running {
        at: endpoint,
        core,
        stop,
        task,
    };
    running.there(2).await;
    let accepted = tokio::time::timeout(LIMIT, head_end.accept())
        .await
        .unwrap()
        .unwrap();
    let around = link::Surroundings {
        clock: clock(),
        entropy: Arc::new(SystemEntropy),
        ..link::Surroundings::system()
    };
    let association = Association::public(running.sap(2));
    let mut client = Client::associate(accepted.link, association, &around)
        .await
        .unwrap();
    let name = client.read(NAME).await.unwrap();
    assert_eq!(
        &dlms::codec::Wire::to_octets(&name)[2..],
        meter_name(2).as_bytes()
    );
    running.end().await;
}
