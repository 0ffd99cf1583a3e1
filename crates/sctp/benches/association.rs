//! What messages cost: two endpoints in one process, whose packets are handed
//! over without a network.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark that fails shall stop where it does"
)]

use std::net::IpAddr;

use bytes::Bytes;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use sctp::{
    AssociationId, Config, Connect, Endpoint, EndpointConfig, Entropy, Event, Input, Instant,
    Output, PmtuConfig, SendError, SendOptions,
};

fn main() {
    divan::main();
}

struct Counter(u64);

impl Entropy for Counter {
    fn fill(&mut self, octets: &mut [u8]) {
        for octet in octets {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *octet = self.0.to_be_bytes()[0];
        }
    }
}

struct Pair {
    now: Instant,
    client: Endpoint,
    server: Endpoint,
    id: AssociationId,
    received: usize,
}

fn config(mtu: u16, interleaving: bool) -> Config {
    Config {
        interleaving,
        receive_buffer_max: 4 * 1_024 * 1_024,
        stream_buffer_max: 1_024 * 1_024,
        pmtu: PmtuConfig {
            max: mtu,
            ..PmtuConfig::default()
        },
        ..Config::fast()
    }
}

impl Pair {
    fn new(config: &Config) -> Self {
        let now = Instant::from_micros(1_000_000);
        let (here, there): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let make = |port, address, seed| {
            let config = EndpointConfig {
                association: config.clone(),
                ..EndpointConfig::new(port, vec![address])
            };
            Endpoint::new(config, Box::new(Counter(seed)), now)
        };
        let mut client = make(5_000, here, 1);
        let server = make(4_059, there, 2);
        let connect = Connect {
            addresses: vec![there],
            port: 4_059,
            udp_port: None,
            config: config.clone(),
            auth_keys: Vec::new(),
        };
        let id = client.connect(&connect, now).unwrap();
        let mut pair = Self {
            now,
            client,
            server,
            id,
            received: 0,
        };
        for _ in 0..40 {
            pair.turn();
        }
        pair
    }

    /// Everything that one side has goes to the other, and back.
    fn turn(&mut self) {
        self.now = self.now + std::time::Duration::from_micros(100);
        for way in [true, false] {
            let (from, to) = if way {
                (&mut self.client, &mut self.server)
            } else {
                (&mut self.server, &mut self.client)
            };
            loop {
                match from.poll() {
                    Output::Transmit(packet) => to.handle(
                        Input::Datagram {
                            local: packet.remote,
                            remote: packet.local,
                            udp_port: packet.udp_port,
                            octets: &packet.octets,
                        },
                        self.now,
                    ),
                    Output::Event(id, Event::Readable) => {
                        while from.receive(id, self.now).is_some() {
                            self.received += 1;
                        }
                    }
                    Output::Event(..) => {}
                    Output::Timeout(at) => {
                        if at.is_some_and(|at| at <= self.now) {
                            from.handle(Input::Timeout, self.now);
                            continue;
                        }
                        break;
                    }
                }
            }
        }
    }

    fn transfer(&mut self, payload: &Bytes, count: usize) {
        let end = self.received + count;
        let mut left = count;
        while self.received < end {
            while left > 0 {
                let options = SendOptions::default();
                match self
                    .client
                    .send(self.id, 0, payload.clone(), &options, self.now)
                {
                    Ok(_) => left -= 1,
                    Err(SendError::Full) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            self.turn();
        }
    }
}

const TOTAL: usize = 8 * 1_024 * 1_024;

/// Throughput: 8 MiB in messages of this length, checksums included.
#[divan::bench(args = [100, 1_000, 32_768])]
fn throughput_1500(bencher: Bencher<'_, '_>, length: usize) {
    throughput(bencher, length, 1_500, false);
}

#[divan::bench(args = [1_000, 32_768])]
fn throughput_1500_i_data(bencher: Bencher<'_, '_>, length: usize) {
    throughput(bencher, length, 1_500, true);
}

#[divan::bench(args = [32_768])]
fn throughput_65535(bencher: Bencher<'_, '_>, length: usize) {
    throughput(bencher, length, 65_535, false);
}

fn throughput(bencher: Bencher<'_, '_>, length: usize, mtu: u16, interleaving: bool) {
    let payload = Bytes::from(vec![7; length]);
    let count = (TOTAL / length).min(20_000);
    let config = config(mtu, interleaving);
    bencher
        .counter(BytesCount::new(count * length))
        .counter(ItemsCount::new(count))
        .with_inputs(|| Pair::new(&config))
        .bench_local_values(|mut pair| pair.transfer(&payload, count));
}

/// A message of 100 octets there, and its acknowledgement back.
#[divan::bench]
fn one_message(bencher: Bencher<'_, '_>) {
    let payload = Bytes::from(vec![7; 100]);
    let mut pair = Pair::new(&config(1_500, true));
    bencher.bench_local(|| pair.transfer(&payload, 1));
}

/// Set-up of an association, both sides.
#[divan::bench]
fn set_up(bencher: Bencher<'_, '_>) {
    let config = config(1_500, true);
    bencher.bench_local(|| Pair::new(&config));
}
