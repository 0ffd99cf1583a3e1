//! Heartbeats of very many idle associations.
//!
//! Evidence: self-agreement in virtual time, counted on the packets. Two
//! thousand meters at 40 a second stand for 100,000 at 2,000 a second: the
//! interval depends on the ratio alone.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use sctp::chunk::kind;
use sctp::{
    Config, Connect, Duration, Encapsulation, Endpoint, EndpointConfig, Input, Instant, Output,
};

use crate::net::Random;

const METERS: u32 = 2_000;
const RATE: u32 = 40;
const PORT: u16 = 4_059;

fn address(net: u8, host: u32) -> IpAddr {
    let [_, _, high, low] = host.to_be_bytes();
    Ipv4Addr::new(10, net, high, low).into()
}

struct World {
    head: Endpoint,
    meters: Vec<Endpoint>,
    wakes: BTreeSet<(Instant, usize)>,
    /// When the head end sent heartbeats, and when a meter did.
    sent: Vec<Instant>,
    heard: Vec<Instant>,
}

const HEAD: usize = usize::MAX;

impl World {
    /// Gives out what one has, and what that sets off, until all is quiet.
    fn settle(&mut self, first: usize, now: Instant) {
        let mut busy = vec![first];
        while let Some(at) = busy.pop() {
            let endpoint = if at == HEAD {
                &mut self.head
            } else {
                &mut self.meters[at]
            };
            let mut packets = Vec::new();
            loop {
                match endpoint.poll() {
                    Output::Transmit(packet) => packets.push(packet),
                    Output::Event(..) => {}
                    Output::Timeout(wake) => {
                        if let Some(wake) = wake {
                            self.wakes.insert((wake, at));
                        }
                        break;
                    }
                }
            }
            for packet in packets {
                // The type of the first chunk, behind the common header.
                if packet.octets[12] == kind::HEARTBEAT {
                    if at == HEAD {
                        self.sent.push(now);
                    } else {
                        self.heard.push(now);
                    }
                }
                let to = if at == HEAD {
                    let IpAddr::V4(remote) = packet.remote else {
                        unreachable!()
                    };
                    let [_, _, high, low] = remote.octets();
                    usize::from(u16::from_be_bytes([high, low])) - 1
                } else {
                    HEAD
                };
                let endpoint = if to == HEAD {
                    &mut self.head
                } else {
                    &mut self.meters[to]
                };
                endpoint.handle(
                    Input::Datagram {
                        local: packet.remote,
                        remote: packet.local,
                        udp_port: None,
                        octets: &packet.octets,
                    },
                    now,
                );
                if !busy.contains(&to) {
                    busy.push(to);
                }
            }
        }
    }
}

fn config(heartbeat: u64) -> Config {
    let mut config = Config {
        heartbeat_interval: Duration::from_secs(heartbeat),
        ..Config::default()
    };
    // Probes of the MTU are heartbeats too; they are not what is counted.
    config.pmtu.max = config.pmtu.base;
    config
}

#[test]
fn very_many_idle_associations_beat_no_more_than_they_may() {
    let mut now = Instant::from_micros(1_000_000);
    let endpoint = |addresses: Vec<IpAddr>, heartbeat: u64| EndpointConfig {
        encapsulation: Encapsulation::Ip,
        association: config(heartbeat),
        heartbeats_per_second_max: Some(RATE),
        ..EndpointConfig::new(PORT, addresses)
    };
    let own = vec![address(1, 0), address(2, 0)];
    let mut world = World {
        head: Endpoint::new(endpoint(own, 30), Box::new(Random(1)), now),
        meters: (1..=METERS)
            .map(|meter| {
                let addresses = vec![address(1, meter), address(2, meter)];
                let random = Box::new(Random(u64::from(meter) + 1));
                Endpoint::new(endpoint(addresses, 120), random, now)
            })
            .collect(),
        wakes: BTreeSet::new(),
        sent: Vec::new(),
        heard: Vec::new(),
    };
    for meter in 1..=METERS {
        let connect = Connect {
            addresses: vec![address(1, meter), address(2, meter)],
            port: PORT,
            udp_port: None,
            config: config(30),
            auth_keys: Vec::new(),
        };
        world.head.connect(&connect, now).unwrap();
        world.settle(HEAD, now);
        now = now + Duration::from_millis(2);
    }
    // Two intervals until those of the beginning are spread.
    let interval = Duration::from_secs(u64::from(2 * METERS / RATE));
    let begin = now + interval + interval;
    let end = begin + interval * 5;
    while let Some((at, who)) = world.wakes.pop_first() {
        now = now.max(at);
        if now >= end {
            break;
        }
        let endpoint = if who == HEAD {
            &mut world.head
        } else {
            &mut world.meters[who]
        };
        endpoint.handle(Input::Timeout, now);
        world.settle(who, now);
    }
    assert_eq!(world.head.len(), METERS as usize);
    let seconds = end.since(begin).as_secs();
    let count = |beats: &[Instant]| beats.iter().filter(|at| **at >= begin).count() as u64;
    let (sent, heard) = (count(&world.sent), count(&world.heard));
    let most = u64::from(RATE) * seconds;
    println!("{sent} sent and {heard} answered in {seconds} s by {METERS} associations");
    assert!(sent < most, "{sent} of at most {most}");
    // And they do beat.
    assert!(sent > most / 2, "{sent}");
    // In no second much more than the mean.
    for second in 0..seconds {
        let from = begin + Duration::from_secs(second);
        let until = from + Duration::from_secs(1);
        let beats = world.sent.iter().filter(|at| (from..until).contains(at));
        let beats = beats.count();
        assert!(beats < 3 * RATE as usize, "{beats} in second {second}");
    }
    // Meters, which have one association each, beat as they were told to.
    let told = 2 * u64::from(METERS) * seconds / 120;
    assert!(heard <= told + told / 20, "{heard} of at most {told}");
}
