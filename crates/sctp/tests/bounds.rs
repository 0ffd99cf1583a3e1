//! What associations and floods cost in memory.
//!
//! Evidence: the allocator counts. In a binary of its own, with one test, so
//! that nothing else allocates meanwhile.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that fails shall stop where it does"
)]

use std::net::{IpAddr, Ipv4Addr};

use peak_alloc::PeakAlloc;
use sctp::chunk::kind;
use sctp::packet::{Header, PacketBuilder, write_chunk};
use sctp::{
    Config, Connect, Duration, Endpoint, EndpointConfig, Entropy, Input, Instant, Output,
    StreamOptions,
};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Octets that an idle association with two paths and five streams may cost.
const IDLE_MAX: usize = 6_144;
const ASSOCIATIONS: u32 = 10_000;

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

fn address(network: u8, host: u32) -> IpAddr {
    let [_, _, high, low] = host.to_be_bytes();
    Ipv4Addr::new(10, network, high, low).into()
}

fn hand_over(from: &mut Endpoint, to: &mut Endpoint, now: Instant) {
    let mut packets = Vec::new();
    loop {
        match from.poll() {
            Output::Transmit(packet) => packets.push(packet),
            Output::Event(..) => {}
            Output::Timeout(_) => break,
        }
    }
    for packet in packets {
        to.handle(
            Input::Datagram {
                local: packet.remote,
                remote: packet.local,
                udp_port: packet.udp_port,
                octets: &packet.octets,
            },
            now,
        );
    }
}

#[test]
fn idle_associations_are_small_and_a_flood_costs_nothing() {
    let server_addresses = vec![address(1, 1), address(2, 1)];
    let mut now = Instant::from_micros(1_000_000);
    let mut server = Endpoint::new(
        EndpointConfig::new(4_059, server_addresses.clone()),
        Box::new(Counter(1)),
        now,
    );
    let before = PeakAlloc.current_usage();
    for number in 0..ASSOCIATIONS {
        let client_addresses = vec![address(1, number + 10), address(2, number + 10)];
        let mut client = Endpoint::new(
            EndpointConfig::new(5_000, client_addresses),
            Box::new(Counter(u64::from(number) + 2)),
            now,
        );
        let id = client
            .connect(
                &Connect {
                    addresses: server_addresses.clone(),
                    port: 4_059,
                    udp_port: None,
                    config: Config::default(),
                    auth_keys: Vec::new(),
                },
                now,
            )
            .unwrap();
        for stream in 0..5 {
            client
                .set_stream(id, stream, StreamOptions::default())
                .unwrap();
        }
        for round in 0..6 {
            hand_over(&mut client, &mut server, now);
            hand_over(&mut server, &mut client, now);
            if round == 2 {
                for stream in 0..5 {
                    client
                        .send(
                            id,
                            stream,
                            vec![0; 100].into(),
                            &sctp::SendOptions::default(),
                            now,
                        )
                        .unwrap();
                }
            }
        }
        now = now + Duration::from_micros(10);
    }
    assert_eq!(server.len(), usize::try_from(ASSOCIATIONS).unwrap());
    // The messages of five streams are read, so that the receiving side of
    // each was in use.
    hand_over(
        &mut server,
        &mut Endpoint::new(EndpointConfig::new(1, vec![]), Box::new(Counter(0)), now),
        now,
    );
    let ids: Vec<_> = server.ids().collect();
    for id in ids {
        let mut count = 0;
        while server.receive(id, now).is_some() {
            count += 1;
        }
        assert_eq!(count, 5);
        for stream in 0..5 {
            server
                .set_stream(id, stream, StreamOptions::default())
                .unwrap();
        }
    }
    while !matches!(server.poll(), Output::Timeout(_)) {}
    let each = (PeakAlloc.current_usage() - before) / usize::try_from(ASSOCIATIONS).unwrap();
    eprintln!("octets per idle association at {ASSOCIATIONS}: {each}");
    assert!(each <= IDLE_MAX, "{each} octets per idle association");

    // A flood: the answers are taken, and nothing stays.
    let init = |number: u32| {
        let mut packet = PacketBuilder::new(
            Header {
                source_port: 7_000,
                destination_port: 4_059,
                verification_tag: 0,
            },
            64,
        );
        write_chunk(packet.octets(), kind::INIT, 0, |out| {
            out.extend((number + 1).to_be_bytes());
            out.extend(100_000_u32.to_be_bytes());
            out.extend([0, 10, 0, 10, 0, 0, 0, 1]);
        });
        packet.finish()
    };
    let before = PeakAlloc.current_usage();
    for number in 0..50_000 {
        let octets = init(number);
        server.handle(
            Input::Datagram {
                local: address(1, 1),
                remote: IpAddr::V4(Ipv4Addr::from(0xC612_0000 + number)),
                udp_port: Some(9_899),
                octets: &octets,
            },
            now,
        );
        while !matches!(server.poll(), Output::Timeout(_)) {}
    }
    assert_eq!(server.counters().inits, 50_000 + u64::from(ASSOCIATIONS));
    let after = PeakAlloc.current_usage();
    assert!(after <= before + 4_096, "{before} became {after}");

    // Even where nobody takes the answers, they are few.
    for number in 0..50_000 {
        let octets = init(number);
        server.handle(
            Input::Datagram {
                local: address(1, 1),
                remote: IpAddr::V4(Ipv4Addr::from(0xC612_0000 + number)),
                udp_port: Some(9_899),
                octets: &octets,
            },
            now,
        );
    }
    assert_eq!(
        server.counters().replies_dropped,
        50_000 - u64::try_from(sctp::REPLIES_MAX).unwrap()
    );
    assert!(PeakAlloc.current_usage() <= after + sctp::REPLIES_MAX * 512);
}
