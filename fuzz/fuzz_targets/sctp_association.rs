//! Two SCTP endpoints that are handed each other's packets, altered, lost,
//! doubled and mixed with made-up ones: neither panics, hangs or grows.
#![no_main]

use std::collections::VecDeque;
use std::net::IpAddr;

use fuzz::Script;
use libfuzzer_sys::fuzz_target;
use sctp::{
    AssociationId, AuthConfig, Config, Connect, Duration, Endpoint, EndpointConfig, Entropy, Event, Input,
    Instant, Output, Reliability, SendOptions, StreamOptions, Transmit,
};

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

struct Side {
    endpoint: Endpoint,
    sent: VecDeque<Transmit>,
    id: Option<AssociationId>,
}

impl Side {
    fn new(port: u16, addresses: [IpAddr; 2], config: &Config, now: Instant) -> Self {
        let config = EndpointConfig {
            association: config.clone(),
            ..EndpointConfig::new(port, addresses.to_vec())
        };
        Self {
            endpoint: Endpoint::new(config, Box::new(Counter(u64::from(port))), now),
            sent: VecDeque::new(),
            id: None,
        }
    }

    fn drain(&mut self, now: Instant) {
        for round in 0.. {
            assert!(round < 100_000, "does not come to rest");
            match self.endpoint.poll() {
                Output::Transmit(packet) => {
                    if self.sent.len() < 256 {
                        self.sent.push_back(packet);
                    }
                }
                Output::Event(id, event) => {
                    self.id = Some(id);
                    if event == Event::Readable {
                        while self.endpoint.receive(id, now).is_some() {}
                    }
                }
                Output::Timeout(_) => return,
            }
        }
    }

    fn take(&mut self, packet: &Transmit, octets: &[u8], now: Instant) {
        let input = Input::Datagram {
            local: packet.remote,
            remote: packet.local,
            udp_port: packet.udp_port,
            octets,
        };
        self.endpoint.handle(input, now);
        self.drain(now);
    }
}

fuzz_target!(|script: &[u8]| {
    let Some((first, script)) = script.split_first() else {
        return;
    };
    let second = |host: u16| -> IpAddr {
        if first & 8 == 0 {
            [10, 2, 0, host.to_be_bytes()[1]].into()
        } else {
            [0xFD77, 2, 0, 0, 0, 0, 0, host].into()
        }
    };
    let here: [IpAddr; 2] = [[10, 1, 0, 1].into(), second(1)];
    let there: [IpAddr; 2] = [[10, 1, 0, 2].into(), second(2)];
    let keyed = first & 4 != 0;
    let config = Config {
        interleaving: first & 1 != 0,
        partial_reliability: first & 2 != 0,
        auth: keyed.then(|| AuthConfig {
            chunks: (0..=u8::MAX).filter(|kind| first & 16 == 0 || kind % 2 == 0).collect(),
            required: first & 32 != 0,
        }),
        receive_buffer_max: 20_000,
        message_len_max: 10_000,
        ..Config::fast()
    };
    let mut now = Instant::from_micros(1);
    let mut sides = [
        Side::new(5_000, here, &config, now),
        Side::new(4_059, there, &config, now),
    ];
    let connect = Connect {
        addresses: there.to_vec(),
        port: 4_059,
        udp_port: None,
        config: config.clone(),
        auth_keys: Vec::new(),
    };
    sides[0].id = sides[0].endpoint.connect(&connect, now).ok();
    sides[0].drain(now);
    for (what, octets) in Script(script).take(400) {
        let to = usize::from(what & 1);
        let from = 1 - to;
        match what >> 1 & 7 {
            // The oldest packet arrives.
            0 | 1 => {
                if let Some(packet) = sides[from].sent.pop_front() {
                    let octets = packet.octets.clone();
                    sides[to].take(&packet, &octets, now);
                }
            }
            // It arrives altered, and stays to arrive again.
            2 => {
                if let Some(packet) = sides[from].sent.front().cloned() {
                    let mut altered = packet.octets.clone();
                    for pair in octets.chunks_exact(2) {
                        let at = usize::from(pair[0]) % altered.len();
                        altered[at] ^= pair[1];
                    }
                    sides[to].take(&packet, &altered, now);
                }
            }
            // It keeps its header, and the chunks are made up.
            3 => {
                if let Some(packet) = sides[from].sent.front().cloned() {
                    let mut made_up = packet.octets[..12].to_vec();
                    made_up.extend_from_slice(octets);
                    sides[to].take(&packet, &made_up, now);
                }
            }
            4 => {
                sides[from].sent.pop_front();
            }
            5 => {
                let wait = octets.first().copied().unwrap_or(1);
                now = now + Duration::from_millis(u64::from(wait) * 8);
                sides[to].endpoint.handle(Input::Timeout, now);
                sides[to].drain(now);
            }
            6 => {
                if let Some(id) = sides[to].id {
                    let stream = u16::from(what >> 4);
                    let options = SendOptions {
                        unordered: octets.len() % 3 == 0,
                        reliability: if octets.len() % 2 == 0 {
                            Reliability::Retransmits(1)
                        } else {
                            Reliability::Reliable
                        },
                        ..SendOptions::default()
                    };
                    let payload = octets.repeat(20);
                    let _ = sides[to]
                        .endpoint
                        .send(id, stream, payload.into(), &options, now);
                    sides[to].drain(now);
                }
            }
            _ => {
                if let Some(id) = sides[to].id {
                    let endpoint = &mut sides[to].endpoint;
                    match octets.len() % 6 {
                        0 => endpoint.shutdown(id, now),
                        1 => {
                            let _ = endpoint.reset_outgoing(id, &[u16::from(what >> 4)], now);
                        }
                        2 => {
                            let _ = endpoint.add_outgoing(id, 2, now);
                        }
                        3 => {
                            let urgent = StreamOptions {
                                urgent: true,
                                ..StreamOptions::default()
                            };
                            let _ = endpoint.set_stream(id, u16::from(what >> 4), urgent);
                        }
                        4 => {
                            let key = u16::from(what >> 4);
                            let _ = match octets.first().map(|octet| octet % 3) {
                                Some(0) => endpoint.activate_auth_key(id, key),
                                Some(1) => endpoint.remove_auth_key(id, key),
                                _ => endpoint.set_auth_key(id, key, octets),
                            };
                        }
                        _ => endpoint.abort(id, octets, now),
                    }
                    sides[to].drain(now);
                }
            }
        }
        assert!(sides[to].endpoint.len() <= 2);
    }
});
