//! `echo connect|listen LOCAL[,LOCAL…] UDP_PORT [PEER[,PEER…] PEER_UDP_PORT COUNT LENGTH]`:
//! SCTP over UDP with one socket for each local address, on port 4059.
//!
//! `listen` sends every message back and ends after the first association.
//! `connect` sends COUNT messages of LENGTH octets on five streams, waits for
//! them to come back. `AUTH=1` in the environment has data and
//! acknowledgements authenticated in both directions (RFC 4895); `SLOWLY=1` has
//! `connect` wait until all paths are probed, say so, and take its time, so that
//! a path can be cut meanwhile.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::panic,
    reason = "an example owns its clock and may stop where it fails"
)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use sctp::{
    AssociationId, AuthConfig, Config, Connect, Encapsulation, Endpoint, EndpointConfig, Entropy,
    Event, Input, Instant, Output, PathState, SendError, SendOptions,
};

const PORT: u16 = 4_059;
const STREAMS: u16 = 5;

struct System(File);

impl Entropy for System {
    fn fill(&mut self, octets: &mut [u8]) {
        self.0.read_exact(octets).unwrap();
    }
}

struct Driver {
    start: std::time::Instant,
    endpoint: Endpoint,
    sockets: BTreeMap<IpAddr, UdpSocket>,
    arrivals: Receiver<(IpAddr, SocketAddr, Vec<u8>)>,
    wakes: Option<Instant>,
}

impl Driver {
    fn new(locals: &[IpAddr], udp_port: u16, peer_udp_port: u16, config: &Config) -> Self {
        let (sender, arrivals) = sync_channel(1_024);
        let sockets = locals
            .iter()
            .map(|local| {
                let socket = UdpSocket::bind((*local, udp_port)).unwrap();
                receive(*local, socket.try_clone().unwrap(), sender.clone());
                (*local, socket)
            })
            .collect();
        let endpoint = EndpointConfig {
            encapsulation: Encapsulation::Udp {
                remote_port: peer_udp_port,
            },
            association: config.clone(),
            ..EndpointConfig::new(PORT, locals.to_vec())
        };
        let entropy = System(File::open("/dev/urandom").unwrap());
        let mut driver = Self {
            start: std::time::Instant::now(),
            endpoint: Endpoint::new(endpoint, Box::new(entropy), Instant::ORIGIN),
            sockets,
            arrivals,
            wakes: None,
        };
        driver.wakes = None;
        driver
    }

    fn now(&self) -> Instant {
        Instant::ORIGIN + self.start.elapsed()
    }

    /// Sends what there is to be sent, and tells what happened.
    fn drain(&mut self) -> Vec<(AssociationId, Event)> {
        let mut events = Vec::new();
        loop {
            match self.endpoint.poll() {
                Output::Transmit(packet) => {
                    let to = (packet.remote, packet.udp_port.unwrap());
                    if let Some(socket) = self.sockets.get(&packet.local) {
                        // What cannot be sent is lost, as in the network.
                        socket.send_to(&packet.octets, to).unwrap_or_default();
                    }
                }
                Output::Event(id, event) => events.push((id, event)),
                Output::Timeout(at) => {
                    self.wakes = at;
                    return events;
                }
            }
        }
    }

    /// Waits for a packet or for the time to come.
    fn wait(&mut self) {
        let wait = self
            .wakes
            .map_or(Duration::from_secs(1), |at| at - self.now());
        match self.arrivals.recv_timeout(wait.min(Duration::from_secs(1))) {
            Ok((local, from, octets)) => {
                let now = self.now();
                let input = Input::Datagram {
                    local,
                    remote: from.ip(),
                    udp_port: Some(from.port()),
                    octets: &octets,
                };
                self.endpoint.handle(input, now);
            }
            Err(RecvTimeoutError::Timeout) => {
                let now = self.now();
                self.endpoint.handle(Input::Timeout, now);
            }
            Err(RecvTimeoutError::Disconnected) => panic!("all sockets are gone"),
        }
    }
}

fn receive(local: IpAddr, socket: UdpSocket, arrivals: SyncSender<(IpAddr, SocketAddr, Vec<u8>)>) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_535];
        loop {
            // An error is the answer to something that was sent: not ours.
            let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                continue;
            };
            let octets = buffer.get(..length).unwrap().to_vec();
            if arrivals.send((local, from, octets)).is_err() {
                return;
            }
        }
    });
}

fn addresses(text: &str) -> Vec<IpAddr> {
    text.split(',').map(|one| one.parse().unwrap()).collect()
}

fn listen(mut driver: Driver) {
    let mut back: Vec<(AssociationId, sctp::Message)> = Vec::new();
    println!("ready");
    loop {
        for (id, event) in driver.drain() {
            match event {
                Event::Readable => {
                    let now = driver.now();
                    while let Some(message) = driver.endpoint.receive(id, now) {
                        back.push((id, message));
                    }
                }
                Event::Closed { reason, .. } => {
                    println!("{reason:?}");
                    return;
                }
                _ => {}
            }
        }
        let now = driver.now();
        let mut left = Vec::new();
        for (id, message) in back.drain(..) {
            let options = SendOptions {
                ppid: message.ppid,
                unordered: message.unordered,
                ..SendOptions::default()
            };
            let payload = message.payload.clone();
            if driver
                .endpoint
                .send(id, message.stream, payload, &options, now)
                == Err(SendError::Full)
            {
                left.push((id, message));
            }
        }
        back = left;
        driver.drain().into_iter().for_each(drop);
        driver.wait();
    }
}

fn connect(mut driver: Driver, peers: &[IpAddr], count: usize, length: usize, config: &Config) {
    let peer = Connect {
        addresses: peers.to_vec(),
        port: PORT,
        udp_port: None,
        config: config.clone(),
        auth_keys: Vec::new(),
    };
    let now = driver.now();
    let id = driver.endpoint.connect(&peer, now).unwrap();
    let (mut established, mut sent, mut received) = (None, 0, 0);
    let mut next = [0_u32; STREAMS as usize];
    let mut order = [0_u32; STREAMS as usize];
    let mut told = Vec::new();
    let (slowly, mut probed) = (std::env::var_os("SLOWLY").is_some(), false);
    loop {
        for (_, event) in driver.drain() {
            match event {
                Event::Established { capabilities, .. } => {
                    established = Some(driver.now());
                    told.push(format!("{capabilities:?}"));
                }
                Event::Readable => {
                    let now = driver.now();
                    while let Some(message) = driver.endpoint.receive(id, now) {
                        let expected = order.get_mut(usize::from(message.stream)).unwrap();
                        assert_eq!(message.ppid, *expected, "out of order");
                        assert_eq!(message.payload.len(), length);
                        *expected += 1;
                        received += 1;
                    }
                }
                Event::Path { remote, state, .. } => told.push(format!("{remote} {state:?}")),
                Event::Closed { reason, .. } => {
                    println!("{received} of {count} came back; {reason:?}; {told:?}");
                    assert_eq!(received, count);
                    return;
                }
                _ => {}
            }
        }
        if slowly && established.is_some() && !probed {
            let paths = driver.endpoint.paths(id);
            probed = paths.iter().all(|path| path.state == PathState::Active);
            if probed {
                println!("probed");
            }
        }
        if established.is_some() && (probed || !slowly) {
            let now = driver.now();
            while sent < count && sent < received + 200 {
                let stream = u16::try_from(sent).unwrap_or(0) % STREAMS;
                let number = next.get_mut(usize::from(stream)).unwrap();
                let options = SendOptions {
                    ppid: *number,
                    ..SendOptions::default()
                };
                let payload = vec![7; length].into();
                if driver
                    .endpoint
                    .send(id, stream, payload, &options, now)
                    .is_err()
                {
                    break;
                }
                *number += 1;
                sent += 1;
                if slowly {
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
            if received == count {
                for path in driver.endpoint.paths(id) {
                    told.push(format!("{path:?}"));
                }
                driver.endpoint.shutdown(id, now);
                sent = count;
                received = count;
            }
        }
        let more = driver.drain();
        assert!(
            !more
                .iter()
                .any(|(_, event)| matches!(event, Event::Readable)),
            "an event got lost"
        );
        if let Some((_, Event::Closed { reason, .. })) = more.last() {
            println!("{received} of {count} came back; {reason:?}; {told:?}");
            assert_eq!(received, count);
            return;
        }
        driver.wait();
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let config = Config {
        auth: std::env::var_os("AUTH").map(|_| AuthConfig {
            chunks: vec![0x00, 0x03, 0x40],
            required: true,
        }),
        ..Config::fast()
    };
    match words.as_slice() {
        [_, "listen", locals, udp_port] => {
            let udp_port = udp_port.parse().unwrap();
            listen(Driver::new(&addresses(locals), udp_port, udp_port, &config));
        }
        [
            _,
            "connect",
            locals,
            udp_port,
            peers,
            peer_udp_port,
            count,
            length,
        ] => {
            let driver = Driver::new(
                &addresses(locals),
                udp_port.parse().unwrap(),
                peer_udp_port.parse().unwrap(),
                &config,
            );
            let (count, length) = (count.parse().unwrap(), length.parse().unwrap());
            connect(driver, &addresses(peers), count, length, &config);
        }
        _ => panic!("see the head of this file"),
    }
}
