//! Octets a second over UDP on the loopback, beside usrsctp in the same run:
//! each pair of ours and usrsctp's is two processes, one that sends and one
//! that takes. Packets of 1,500 octets, five streams, windows of 64 KiB: what
//! is under way then fits into a socket's buffer, and nothing is lost.
//!
//! usrsctp's program is `interop/sctp/peer.c`, built with gcc and Debian's
//! libusrsctp-dev; where they are missing, only ours is measured and that is
//! said.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark owns its clock and may stop where it fails"
)]

use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sctp::{
    AssociationId, Config, Connect, Encapsulation, Endpoint, EndpointConfig, Entropy, Event, Input,
    Instant, Output, RtoConfig, SendError, SendOptions,
};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PORT: u16 = 4_059;
const STREAMS: u16 = 5;
const ROUNDS: usize = 5;

fn config() -> Config {
    let mut config = Config {
        rto: RtoConfig {
            initial: Duration::from_millis(200),
            min: Duration::from_millis(100),
            max: Duration::from_secs(1),
        },
        receive_buffer_max: 64 * 1_024,
        message_len_max: 64 * 1_024,
        stream_buffer_max: 64 * 1_024,
        ..Config::default()
    };
    config.pmtu.base = 1_500;
    config
}

struct System(std::fs::File);

impl Entropy for System {
    fn fill(&mut self, octets: &mut [u8]) {
        self.0.read_exact(octets).unwrap();
    }
}

struct Driver {
    start: std::time::Instant,
    endpoint: Endpoint,
    socket: UdpSocket,
    buffer: Vec<u8>,
}

impl Driver {
    fn new(socket: UdpSocket, peer_udp_port: u16) -> Self {
        let endpoint = EndpointConfig {
            encapsulation: Encapsulation::Udp {
                remote_port: peer_udp_port,
            },
            association: config(),
            ..EndpointConfig::new(PORT, vec![HERE])
        };
        let entropy = System(std::fs::File::open("/dev/urandom").unwrap());
        Self {
            start: std::time::Instant::now(),
            endpoint: Endpoint::new(endpoint, Box::new(entropy), Instant::ORIGIN),
            socket,
            buffer: vec![0; 65_535],
        }
    }

    fn now(&self) -> Instant {
        Instant::ORIGIN + self.start.elapsed()
    }

    /// Sends what there is to be sent; tells what happened and when to come
    /// back.
    fn drain(&mut self, events: &mut Vec<(AssociationId, Event)>) -> Option<Instant> {
        loop {
            match self.endpoint.poll() {
                Output::Transmit(packet) => {
                    let to = (packet.remote, packet.udp_port.unwrap());
                    self.socket
                        .send_to(&packet.octets, to)
                        .map_or_else(|_| (), |_| ());
                }
                Output::Event(id, event) => events.push((id, event)),
                Output::Timeout(at) => return at,
            }
        }
    }

    fn wait(&mut self, wakes: Option<Instant>) {
        let now = self.now();
        let wait = wakes.map_or(Duration::from_secs(1), |at| at - now);
        // 0 would mean for ever.
        let wait = wait.clamp(Duration::from_micros(50), Duration::from_secs(1));
        self.socket.set_read_timeout(Some(wait)).unwrap();
        match self.socket.recv_from(&mut self.buffer) {
            Ok((length, from)) => {
                let now = self.now();
                let input = Input::Datagram {
                    local: HERE,
                    remote: from.ip(),
                    udp_port: Some(from.port()),
                    octets: self.buffer.get(..length).unwrap(),
                };
                self.endpoint.handle(input, now);
            }
            Err(_) => {
                let now = self.now();
                self.endpoint.handle(Input::Timeout, now);
            }
        }
    }
}

fn sink(port: u16, peer: u16) {
    let socket = UdpSocket::bind((HERE, port)).unwrap();
    let mut driver = Driver::new(socket, peer);
    println!("ready");
    let (mut octets, mut first, mut last) = (0, None, Duration::ZERO);
    let mut events = Vec::new();
    loop {
        let wakes = driver.drain(&mut events);
        for (id, event) in events.drain(..) {
            match event {
                Event::Readable => {
                    let now = driver.now();
                    while let Some(message) = driver.endpoint.receive(id, now) {
                        octets += message.payload.len();
                        last = driver.start.elapsed();
                        first.get_or_insert(last);
                    }
                }
                Event::Closed { .. } => {
                    let took = last - first.unwrap_or_default();
                    println!("{octets} octets {:.6} s", took.as_secs_f64());
                    return;
                }
                _ => {}
            }
        }
        driver.wait(wakes);
    }
}

fn source(port: u16, peer: u16, count: usize, length: usize) {
    let socket = UdpSocket::bind((HERE, port)).unwrap();
    let mut driver = Driver::new(socket, peer);
    let connect = Connect {
        addresses: vec![HERE],
        port: PORT,
        udp_port: None,
        config: config(),
        auth_keys: Vec::new(),
    };
    let now = driver.now();
    let id = driver.endpoint.connect(&connect, now).unwrap();
    let payload = bytes::Bytes::from(vec![7; length]);
    let (mut sent, mut done, mut events) = (0, false, Vec::new());
    loop {
        let now = driver.now();
        while sent < count {
            let stream = u16::try_from(sent).unwrap_or(0) % STREAMS;
            let message = payload.clone();
            match driver
                .endpoint
                .send(id, stream, message, &SendOptions::default(), now)
            {
                Ok(_) => sent += 1,
                Err(SendError::Full) => break,
                Err(error) => panic!("{error}"),
            }
        }
        if sent == count && !done && driver.endpoint.status(id).is_some_and(|it| it.established) {
            driver.endpoint.shutdown(id, now);
            done = true;
        }
        let wakes = driver.drain(&mut events);
        if events
            .drain(..)
            .any(|(_, event)| matches!(event, Event::Closed { .. }))
        {
            return;
        }
        driver.wait(wakes);
    }
}

/// A UDP port that nobody has now.
fn free_port() -> u16 {
    let socket = UdpSocket::bind((HERE, 0)).unwrap();
    socket.local_addr().unwrap().port()
}

/// usrsctp's program, built anew.
fn usrsctp() -> Option<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let source = here.join("../../interop/sctp/peer.c");
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("usrsctp");
    let built = Command::new("gcc")
        .args(["-O2", "-o"])
        .arg(&program)
        .arg(source)
        .args(["-lusrsctp", "-lpthread"])
        .stderr(Stdio::null())
        .status();
    built
        .is_ok_and(|status| status.success())
        .then_some(program)
}

#[derive(Clone, Copy, PartialEq)]
enum Whose {
    Ours,
    Usrsctp,
}

fn spawn(whose: Whose, usrsctp: Option<&PathBuf>, what: &str, words: &[String]) -> Child {
    let mut command = match whose {
        Whose::Ours => Command::new(std::env::current_exe().unwrap()),
        Whose::Usrsctp => Command::new(usrsctp.unwrap()),
    };
    command
        .arg(what)
        .args(words)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Megabytes a second.
fn round(
    from: Whose,
    to: Whose,
    usrsctp: Option<&PathBuf>,
    count: usize,
    length: usize,
) -> Option<f64> {
    let (a, b) = (free_port(), free_port());
    let here = HERE.to_string();
    let words = |words: &[&dyn std::fmt::Display]| -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    };
    let mut sink = spawn(to, usrsctp, "sink", &words(&[&here, &b, &a]));
    let mut told = BufReader::new(sink.stdout.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    let mut source = spawn(
        from,
        usrsctp,
        "source",
        &words(&[&here, &a, &here, &b, &count, &length]),
    );
    line.clear();
    told.read_line(&mut line).unwrap();
    source.wait().unwrap();
    sink.wait().unwrap();
    let mut numbers = line.split(' ');
    let octets: usize = numbers.next()?.parse().ok()?;
    let seconds: f64 = numbers.nth(1)?.parse().ok()?;
    assert_eq!(octets, count * length, "not everything arrived");
    let octets = u32::try_from(octets).map(f64::from).unwrap();
    Some(octets / seconds / 1e6)
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<usize>().unwrap();
    let port = |text: &str| text.parse::<u16>().unwrap();
    match words.as_slice() {
        [_, "sink", _, mine, peer] => return sink(port(mine), port(peer)),
        [_, "source", _, mine, _, peer, count, length] => {
            return source(port(mine), port(peer), number(count), number(length));
        }
        _ => {}
    }
    let usrsctp = usrsctp();
    if usrsctp.is_none() {
        println!("usrsctp: not measured, there is no gcc or no libusrsctp-dev (scripts/need sctp)");
    }
    println!("median, least and most of {ROUNDS} rounds, MB/s");
    for (count, length) in [(200_000, 100), (60_000, 1_000), (2_500, 32_000)] {
        for (from, to, name) in [
            (Whose::Ours, Whose::Ours, "ours to ours"),
            (Whose::Usrsctp, Whose::Usrsctp, "usrsctp to usrsctp"),
            (Whose::Ours, Whose::Usrsctp, "ours to usrsctp"),
            (Whose::Usrsctp, Whose::Ours, "usrsctp to ours"),
        ] {
            if usrsctp.is_none() && (from == Whose::Usrsctp || to == Whose::Usrsctp) {
                continue;
            }
            let mut rates: Vec<f64> = (0..ROUNDS)
                .filter_map(|_| round(from, to, usrsctp.as_ref(), count, length))
                .collect();
            rates.sort_by(f64::total_cmp);
            match rates.as_slice() {
                [least, .., most] => {
                    let median = rates.get(rates.len() / 2).unwrap();
                    println!(
                        "{length:>6} octets, {name:<20} {median:>7.1} {least:>7.1} {most:>7.1}"
                    );
                }
                _ => println!("{length:>6} octets, {name:<20} failed"),
            }
        }
    }
}
