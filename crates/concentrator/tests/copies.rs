//! What forwarding costs in memory: how often a payload is copied between two
//! sockets.
//!
//! Evidence: the allocator counts, with real TCP. A copy needs the octets twice
//! at one time, so the peak tells it, wherever it is made. In a binary of its
//! own, with one test, so that nothing else allocates meanwhile.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that fails shall stop where it does"
)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use concentrator::Config;
use concentrator::config::WanConfig;
use concentrator::shell::{Concentrator, Surroundings};
use dlms::server::{Input, Output, Server};
use link::{Clock, IpLimits, IpMeter, IpSegment, Segment, SystemClock, SystemEntropy};
use peak_alloc::PeakAlloc;
use tokio::sync::watch;

#[path = "it/device.rs"]
#[allow(dead_code, reason = "one meter of a fleet is enough here")]
mod device;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Octets of a payload: less than are read from a socket at once, and nearly as
/// many as a message can have.
const PAYLOADS: [usize; 2] = [8_000, 60_000];

/// Octets of a prefix that names the meter: tag, network, length and name.
const PREFIX: usize = 3 + NAME.len();

/// What else may be allocated while it passes: messages in queues, timers.
const REST: usize = 2_048;

const PUBLIC: u16 = 16;
const NAME: &str = "GWD0000000000001";

fn word(octets: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([octets[at], octets[at + 1]])
}

/// Answers on one connection: the public client as a meter does, others with
/// their own octets. It allocates nothing for those.
fn answer(mut stream: TcpStream) {
    let name = NAME.to_owned();
    let mut octets = name.into_bytes();
    octets.splice(..0, [0x09, 16]);
    let mut meter = device::Device {
        values: [(device::NAME, octets)].into(),
    };
    let mut server = Server::default();
    let mut buffer = vec![0; 8 + 65_535];
    loop {
        if stream.read_exact(&mut buffer[..8]).is_err() {
            return;
        }
        let (client, own) = (word(&buffer, 2), word(&buffer, 4));
        let end = 8 + usize::from(word(&buffer, 6));
        stream.read_exact(&mut buffer[8..end]).unwrap();
        if client == PUBLIC {
            let input = Input::Apdu {
                client,
                broadcast: false,
                octets: &buffer[8..end],
            };
            server.handle(input, dlms::Instant::ORIGIN, &mut meter);
            let mut reply = Vec::new();
            while let Output::Transmit { octets, .. } = server.poll() {
                reply = octets;
            }
            let length = u16::try_from(reply.len()).unwrap();
            for (place, value) in [(0, 1), (2, own), (4, client), (6, length)] {
                buffer[place..place + 2].copy_from_slice(&u16::to_be_bytes(value));
            }
            buffer[8..8 + reply.len()].copy_from_slice(&reply);
            stream.write_all(&buffer[..8 + reply.len()]).unwrap();
            continue;
        }
        buffer[2..4].copy_from_slice(&own.to_be_bytes());
        buffer[4..6].copy_from_slice(&client.to_be_bytes());
        stream.write_all(&buffer[..end]).unwrap();
    }
}

#[test]
fn a_payload_is_copied_once_each_way() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let meter = listener.local_addr().unwrap();
    std::thread::spawn(move || answer(listener.accept().unwrap().0));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        data: folder.path().join("data"),
        wan: vec![WanConfig {
            listen: Some("tcp://127.0.0.1:0".to_owned()),
            ..WanConfig::default()
        }],
        ..Config::default()
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let around = Surroundings {
        clock: Arc::clone(&clock),
        entropy: Arc::new(SystemEntropy),
    };
    runtime.block_on(async {
        let meters = vec![IpMeter {
            endpoint: format!("tcp://{meter}").parse().unwrap(),
            server: 1,
        }];
        let segment = IpSegment::start(meters, IpLimits::default(), &clock);
        let segments: Vec<Box<dyn Segment>> = vec![Box::new(segment)];
        let started = Concentrator::start(&config, segments, &around).await;
        let concentrator = started.unwrap();
        let port = concentrator
            .local()
            .next()
            .unwrap()
            .host_port()
            .unwrap()
            .port;
        let core = concentrator.core();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(concentrator.run(stopped));
        let name = NAME.parse().unwrap();
        let sap = loop {
            let there = {
                let core = core.lock().unwrap_or_else(PoisonError::into_inner);
                let there = core
                    .status()
                    .get(&name)
                    .is_some_and(|it| it.place.is_some());
                there.then(|| core.table().sap_of(&name)).flatten()
            };
            match there {
                Some(sap) => break sap,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let head = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let [.., longest] = PAYLOADS;
            let mut request = vec![0xDB; 8 + PREFIX + longest];
            let mut reply = vec![0; 8 + PREFIX + longest];
            let mut pass = |length: usize, by_prefix: bool| {
                let (prefix, to) = if by_prefix { (PREFIX, 1) } else { (0, sap) };
                let end = 8 + prefix + length;
                let count = u16::try_from(end - 8).unwrap();
                for (place, value) in [(0, 1), (2, 1), (4, to), (6, count)] {
                    request[place..place + 2].copy_from_slice(&u16::to_be_bytes(value));
                }
                request[8..].fill(0xDB);
                if by_prefix {
                    request[8..11].copy_from_slice(&[0xE6, 0, 16]);
                    request[11..8 + prefix].copy_from_slice(NAME.as_bytes());
                }
                stream.write_all(&request[..end]).unwrap();
                stream.read_exact(&mut reply[..end]).unwrap();
                if by_prefix {
                    request[8] = 0xE7;
                }
                assert_eq!(reply[8..end], request[8..end]);
            };
            // Connections, tasks and queues are made with a short one.
            pass(16, false);
            let mut all = Vec::with_capacity(16);
            let rest = ALLOCATOR.current_usage();
            for length in PAYLOADS {
                for by_prefix in [false, true, false, true] {
                    // The answer is here before its octets are given back there.
                    while ALLOCATOR.current_usage() > rest + REST {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    ALLOCATOR.reset_peak_usage();
                    let before = ALLOCATOR.current_usage();
                    pass(length, by_prefix);
                    let cost = ALLOCATOR.peak_usage().saturating_sub(before);
                    all.push((length, by_prefix, cost));
                }
            }
            all
        });
        for (length, by_prefix, cost) in head.await.unwrap() {
            let how = if by_prefix { "prefix" } else { "SAP" };
            eprintln!("{length} octets there and back by {how}: {cost} octets at once");
            assert!(cost < length + REST, "copied more than once: {cost}");
            assert!(cost >= length, "the allocator does not count: {cost}");
        }
        stop.send(true).unwrap();
        task.await.unwrap().unwrap();
    });
}
