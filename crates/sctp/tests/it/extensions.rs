//! Partial reliability, stream reconfiguration, authenticated chunks, path
//! MTU discovery (RFC 3758, 6525, 4895, 8899).
//!
//! Evidence: self-agreement; set-up, partial reliability and resets are shown
//! with another implementation in `strangers`.

use std::collections::BTreeSet;

use sctp::chunk::kind;
use sctp::packet::{Packet, PacketBuilder, write_chunk};
use sctp::{
    AssociationId, AuthConfig, CloseReason, Config, Connect, Duration, Event, PmtuConfig,
    Reliability, RequestError, SendError, SendOptions,
};

use crate::net::{
    CLIENT, Link, Net, PORT, SERVER, client_addresses, host_config, seeds, server_addresses,
};

fn both_forms() -> [Config; 2] {
    [false, true].map(|interleaving| Config {
        interleaving,
        ..Config::fast()
    })
}

fn lose(net: &mut Net, span: Duration) {
    net.default.loss = 1_000;
    net.run(span);
    net.default.loss = 0;
}

#[test]
fn messages_are_given_up_when_they_allow_it() {
    for config in both_forms() {
        let config = Config {
            burst_max: 16,
            // It would bring some of them in time.
            tail_loss_probe: None,
            ..config
        };
        let mut net = Net::pair(1, &config);
        let (client, server) = net.establish(&config);
        let kept = SendOptions::default();
        let end = net.now + Duration::from_millis(80);
        let until = SendOptions {
            reliability: Reliability::Until(end),
            ..kept
        };
        let once = SendOptions {
            reliability: Reliability::Retransmits(0),
            ..kept
        };
        let unordered = SendOptions {
            unordered: true,
            ..once
        };
        net.default.loss = 1_000;
        net.send_with(CLIENT, client, 0, vec![1; 1_500], &until);
        net.send_with(CLIENT, client, 1, vec![2; 10], &kept);
        net.send_with(CLIENT, client, 2, vec![3; 10], &once);
        net.send_with(CLIENT, client, 2, vec![4; 1_500], &unordered);
        lose(&mut net, Duration::from_millis(20));
        net.send_with(CLIENT, client, 0, vec![5; 10], &kept);
        net.send_with(CLIENT, client, 2, vec![6; 10], &kept);
        net.run(Duration::from_secs(20));
        let mut got: Vec<u8> = net
            .payloads(SERVER, server)
            .iter()
            .map(|payload| payload[0])
            .collect();
        got.sort_unstable();
        assert_eq!(got, [2, 5, 6], "I-DATA: {}", config.interleaving);
        let given_up = net.hosts[CLIENT]
            .events
            .iter()
            .filter(|(_, _, event)| matches!(event, Event::Abandoned { .. }))
            .count();
        assert_eq!(given_up, 3);
        let status = net.hosts[CLIENT].endpoint.status(client).unwrap();
        assert_eq!((status.in_flight, status.buffered), (0, 0));
    }
}

#[test]
fn what_is_given_up_and_what_is_not_under_loss() {
    for seed in seeds(0, 40) {
        let config = &both_forms()[usize::try_from(seed % 2).unwrap()];
        let mut net = Net::pair(seed, config);
        let (client, server) = net.establish(config);
        net.default.loss = 150;
        let mut sure = Vec::new();
        for number in 0..150_u32 {
            let reliable = number % 3 == 0;
            let options = SendOptions {
                ppid: number,
                unordered: number % 5 == 0,
                reliability: if reliable {
                    Reliability::Reliable
                } else if number % 2 == 0 {
                    Reliability::Retransmits(1)
                } else {
                    Reliability::Until(net.now + Duration::from_millis(30))
                },
            };
            let length = 1 + usize::try_from(net.random.below(4_000)).unwrap();
            if reliable {
                sure.push((number, length));
            }
            let stream = u16::try_from(number % 4).unwrap();
            net.send_with(CLIENT, client, stream, vec![9; length], &options);
            net.run(Duration::from_millis(5));
        }
        net.default.loss = 0;
        net.run(Duration::from_secs(60));
        let mut got: Vec<(u32, usize)> = net.hosts[SERVER].delivered[&server]
            .iter()
            .map(|one| (one.message.ppid, one.message.payload.len()))
            .collect();
        let all = got.len();
        got.sort_unstable();
        got.dedup();
        assert_eq!(got.len(), all, "seed {seed}: something came twice");
        for one in sure {
            assert!(
                got.contains(&one),
                "seed {seed}: {one:?} is missing; {all} came, {:?}, {:?}",
                net.hosts[CLIENT].endpoint.status(client),
                net.hosts[CLIENT].events.last(),
            );
        }
        let given_up = net.hosts[CLIENT]
            .events
            .iter()
            .filter(|(_, _, event)| matches!(event, Event::Abandoned { .. }))
            .count();
        assert!(all + given_up >= 150, "seed {seed}: {all} + {given_up}");
        let status = net.hosts[CLIENT].endpoint.status(client).unwrap();
        assert_eq!((status.in_flight, status.buffered), (0, 0), "seed {seed}");
    }
}

fn resets(net: &Net, host: usize, incoming: bool) -> usize {
    net.hosts[host]
        .events
        .iter()
        .filter(|(_, _, event)| {
            matches!(event, Event::StreamsReset { incoming: way, done: true, .. } if *way == incoming)
        })
        .count()
}

#[test]
fn streams_begin_anew_under_loss() {
    for seed in seeds(0, 10) {
        let config = &both_forms()[usize::try_from(seed % 2).unwrap()];
        let mut net = Net::pair(seed, config);
        let (client, server) = net.establish(config);
        net.default.loss = 100;
        let mut sent = Vec::new();
        for round in 0..5_u8 {
            for stream in [1, 2] {
                for _ in 0..3 {
                    net.send(CLIENT, client, stream, vec![round; 2_000]);
                    sent.push((stream, round));
                }
            }
            let now = net.now;
            let endpoint = &mut net.hosts[CLIENT].endpoint;
            endpoint.reset_outgoing(client, &[1], now).unwrap();
            net.drain(CLIENT);
            let now = net.now;
            let endpoint = &mut net.hosts[SERVER].endpoint;
            endpoint.reset_incoming(server, &[2], now).unwrap();
            net.drain(SERVER);
            net.send(CLIENT, client, 1, vec![round + 100; 10]);
            sent.push((1, round + 100));
            net.run(Duration::from_secs(10));
        }
        net.default.loss = 0;
        net.run(Duration::from_secs(30));
        assert_eq!(resets(&net, CLIENT, false), 10, "seed {seed}");
        assert_eq!(resets(&net, SERVER, true), 10, "seed {seed}");
        for stream in [1, 2] {
            let got: Vec<u8> = net.hosts[SERVER].delivered[&server]
                .iter()
                .filter(|one| one.message.stream == stream)
                .map(|one| one.message.payload[0])
                .collect();
            let expected: Vec<u8> = sent
                .iter()
                .filter(|(on, _)| *on == stream)
                .map(|(_, round)| *round)
                .collect();
            assert_eq!(got, expected, "seed {seed}, stream {stream}");
        }
    }
}

#[test]
fn streams_are_added_in_both_directions() {
    let config = Config {
        outbound_streams: 2,
        ..Config::fast()
    };
    let mut net = Net::pair(3, &config);
    let (client, server) = net.establish(&config);
    let options = SendOptions::default();
    let send = |net: &mut Net, host: usize, id: AssociationId| {
        let now = net.now;
        let done = net.hosts[host]
            .endpoint
            .send(id, 4, vec![1].into(), &options, now);
        net.drain(host);
        done.map(|_| ())
    };
    assert_eq!(send(&mut net, CLIENT, client), Err(SendError::NoStream));
    let now = net.now;
    let endpoint = &mut net.hosts[CLIENT].endpoint;
    endpoint.add_outgoing(client, 3, now).unwrap();
    endpoint.add_incoming(client, 3, now).unwrap();
    assert_eq!(
        endpoint.add_outgoing(client, u16::MAX, now),
        Err(RequestError::Unknown)
    );
    net.drain(CLIENT);
    net.run(Duration::from_secs(2));
    send(&mut net, CLIENT, client).unwrap();
    send(&mut net, SERVER, server).unwrap();
    net.run(Duration::from_secs(1));
    assert_eq!(net.count(SERVER, server), 1);
    assert_eq!(net.count(CLIENT, client), 1);
}

fn authenticated(chunks: &[u8], required: bool) -> Config {
    Config {
        auth: Some(AuthConfig {
            chunks: chunks.to_vec(),
            required,
        }),
        ..Config::fast()
    }
}

const CORE: [u8; 8] = [
    kind::DATA,
    kind::I_DATA,
    kind::SACK,
    kind::HEARTBEAT,
    kind::COOKIE_ECHO,
    kind::SHUTDOWN,
    kind::RE_CONFIG,
    kind::FORWARD_TSN,
];

/// Those that links with TLS authenticate.
const ALL: [u8; 10] = [
    kind::DATA,
    kind::I_DATA,
    kind::SACK,
    kind::HEARTBEAT,
    kind::HEARTBEAT_ACK,
    kind::SHUTDOWN,
    kind::SHUTDOWN_ACK,
    kind::RE_CONFIG,
    kind::FORWARD_TSN,
    kind::I_FORWARD_TSN,
];

fn keyed_pair(seed: u64, config: &Config, ours: &[u8], theirs: &[u8]) -> (Net, AssociationId) {
    keyed_pair_in(Net::new(seed), config, ours, theirs)
}

fn keyed_pair_in(
    mut net: Net,
    config: &Config,
    ours: &[u8],
    theirs: &[u8],
) -> (Net, AssociationId) {
    net.add(host_config(5_000, client_addresses(), config));
    let server = net.add(host_config(PORT, server_addresses(), config));
    net.hosts[server]
        .endpoint
        .set_auth_keys(vec![(1, theirs.to_vec())]);
    net.keep_sent = true;
    let connect = Connect {
        addresses: server_addresses(),
        port: PORT,
        udp_port: None,
        config: config.clone(),
        auth_keys: vec![(1, ours.to_vec())],
    };
    let now = net.now;
    let id = net.hosts[CLIENT].endpoint.connect(&connect, now).unwrap();
    net.drain(CLIENT);
    net.run(Duration::from_secs(2));
    (net, id)
}

#[test]
fn authenticated_chunks_go_behind_auth_and_only_those_are_taken() {
    let config = authenticated(&CORE, true);
    let (mut net, client) = keyed_pair(4, &config, b"the same", b"the same");
    let server = net.hosts[SERVER].events[0].1;
    for number in 0..20_u8 {
        net.send(CLIENT, client, 0, vec![number; 3_000]);
        net.send(SERVER, server, 0, vec![number; 100]);
    }
    net.run(Duration::from_secs(5));
    assert_eq!(net.count(SERVER, server), 20);
    assert_eq!(net.count(CLIENT, client), 20);
    let mut covered = 0;
    for (_, packet) in &net.sent {
        assert!(packet.octets.len() <= 1_472);
        let mut behind = false;
        for raw in Packet::decode(&packet.octets).unwrap().chunks() {
            let raw = raw.unwrap();
            behind |= raw.kind == kind::AUTH;
            if CORE.contains(&raw.kind) {
                assert!(behind, "chunk {} stands open", raw.kind);
                covered += 1;
            }
        }
    }
    assert!(covered > 100);

    // One octet of the data is another, and so is the checksum.
    let (at, mut forged) = net
        .sent
        .iter()
        .enumerate()
        .find(|(_, (_, packet))| {
            server_addresses().contains(&packet.remote) && packet.octets.len() > 1_000
        })
        .map(|(at, (_, packet))| (at, packet.octets.clone()))
        .unwrap();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let sum = sctp::packet::checksum(&forged);
    forged[8..12].copy_from_slice(&sum);
    let before = net.hosts[SERVER].endpoint.status(server).unwrap().counters;
    let (local, remote) = (net.sent[at].1.remote, net.sent[at].1.local);
    net.inject(SERVER, local, remote, &forged);
    let after = net.hosts[SERVER].endpoint.status(server).unwrap().counters;
    assert_eq!(after.unauthenticated, before.unauthenticated + 1);
    assert_eq!(after.duplicates, before.duplicates);
}

#[test]
fn another_key_sets_nothing_up() {
    let config = authenticated(&CORE, true);
    let (net, _) = keyed_pair(5, &config, b"one", b"another");
    assert!(net.hosts[SERVER].endpoint.is_empty());
    assert!(!net.has_event(CLIENT, |event| matches!(event, Event::Established { .. })));
}

#[test]
fn keys_are_exchanged_while_it_runs() {
    let config = authenticated(&CORE, true);
    let (mut net, client) = keyed_pair(6, &config, b"first", b"first");
    let server = net.hosts[SERVER].events[0].1;
    for (host, id) in [(CLIENT, client), (SERVER, server)] {
        let endpoint = &mut net.hosts[host].endpoint;
        endpoint.set_auth_key(id, 2, b"exported from TLS").unwrap();
    }
    for (host, id) in [(CLIENT, client), (SERVER, server)] {
        let endpoint = &mut net.hosts[host].endpoint;
        endpoint.activate_auth_key(id, 2).unwrap();
        endpoint.remove_auth_key(id, 1).unwrap();
        assert_eq!(
            endpoint.activate_auth_key(id, 1),
            Err(RequestError::Unknown)
        );
    }
    net.send(CLIENT, client, 0, b"new key".to_vec());
    net.run(Duration::from_secs(1));
    assert_eq!(net.payloads(SERVER, server), [b"new key"]);
}

#[test]
fn who_requires_authentication_takes_nobody_without() {
    let strict = authenticated(&CORE, true);
    let open = Config::fast();
    let closed = |event: &Event| {
        matches!(
            event,
            Event::Closed {
                reason: CloseReason::Refused | CloseReason::AbortedByPeer { .. },
                ..
            }
        )
    };
    for (ours, theirs) in [(&strict, &open), (&open, &strict)] {
        let mut net = Net::new(7);
        net.add(host_config(5_000, client_addresses(), ours));
        net.add(host_config(PORT, server_addresses(), theirs));
        net.connect(ours);
        net.run(Duration::from_secs(2));
        assert!(
            net.has_event(CLIENT, closed),
            "{:?}",
            net.hosts[CLIENT].events
        );
        assert!(net.hosts[SERVER].endpoint.is_empty());
    }
}

/// Ports of packets to the client, of those sent from `since` on.
fn ports_to_client(net: &Net, since: usize, kind: u8) -> BTreeSet<u16> {
    net.sent[since..]
        .iter()
        .filter(|(_, packet)| client_addresses().contains(&packet.remote))
        .filter(|(_, packet)| {
            let packet = Packet::decode(&packet.octets).unwrap();
            packet.chunks().any(|raw| raw.unwrap().kind == kind)
        })
        .map(|(_, packet)| packet.udp_port.unwrap())
        .collect()
}

/// A pair with a NAT before the client, and the server's identifier.
fn behind_a_nat(config: &Config) -> (Net, AssociationId, AssociationId) {
    let mut net = Net::new(9);
    net.nat = Some(40_000);
    let (net, client) = keyed_pair_in(net, config, b"the same", b"the same");
    let server = net.hosts[SERVER].events[0].1;
    (net, client, server)
}

#[test]
fn a_peer_whose_port_moves_is_followed() {
    for config in [Config::fast(), authenticated(&ALL, true)] {
        // The client says something after its port moved, or only beats.
        for speaks in [true, false] {
            let (mut net, client, server) = behind_a_nat(&config);
            net.send(SERVER, server, 0, b"before".to_vec());
            net.run(Duration::from_secs(1));
            net.nat = Some(40_001);
            let from = net.sent.len();
            if speaks {
                net.send(CLIENT, client, 0, b"moved".to_vec());
                net.run(Duration::from_secs(1));
            } else {
                net.run(config.heartbeat_interval.saturating_mul(2));
            }
            net.send(SERVER, server, 0, b"after".to_vec());
            net.run(Duration::from_secs(5));
            let what = format!("AUTH: {}, speaks: {speaks}", config.auth.is_some());
            let got = net.payloads(CLIENT, client);
            assert_eq!(got, [b"before".to_vec(), b"after".to_vec()], "{what}");
            assert_eq!(net.count(SERVER, server), usize::from(speaks), "{what}");
            let ports = ports_to_client(&net, from, kind::I_DATA);
            assert!(ports.contains(&40_001), "{what}: {ports:?}");
        }
    }
}

#[test]
fn without_the_key_nobody_moves_a_peers_port() {
    const STRANGER: u16 = 50_000;
    for config in [Config::fast(), authenticated(&ALL, true)] {
        let (mut net, client, server) = behind_a_nat(&config);
        net.send(CLIENT, client, 0, b"recorded".to_vec());
        net.run(Duration::from_secs(1));
        let recorded = net
            .sent
            .iter()
            .filter(|(_, packet)| server_addresses().contains(&packet.remote))
            .map(|(_, packet)| packet.clone())
            .collect::<Vec<_>>();
        let header = Packet::decode(&recorded.last().unwrap().octets)
            .unwrap()
            .header;
        assert_ne!(header.verification_tag, 0);
        // With the right tag, chunks that need the key and such that do not.
        let mut forged = Vec::new();
        for kind in [kind::HEARTBEAT, kind::SACK, kind::ERROR, 0x3F, 0xBF] {
            // Taken for true, this one ends the association.
            if kind == kind::SACK && config.auth.is_none() {
                continue;
            }
            let mut packet = PacketBuilder::new(header, 64);
            write_chunk(packet.octets(), kind, 0, |out| {
                out.extend([0, 1, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0]);
            });
            forged.push(packet.finish());
        }
        let from = net.sent.len();
        for way in 0..2 {
            let remote = (client_addresses()[way], STRANGER);
            for octets in &forged {
                net.inject_from(SERVER, server_addresses()[way], remote, octets);
            }
        }
        // Copies of the peer's own packets, of the association itself.
        if config.auth.is_some() {
            for packet in recorded.iter().filter(|packet| {
                let header = Packet::decode(&packet.octets).unwrap().header;
                header.verification_tag != 0
            }) {
                net.inject_from(
                    SERVER,
                    packet.remote,
                    (packet.local, STRANGER),
                    &packet.octets,
                );
            }
        }
        net.send(SERVER, server, 0, b"for the peer".to_vec());
        net.run(Duration::from_secs(5));
        let ports = ports_to_client(&net, from, kind::I_DATA);
        if config.auth.is_some() {
            assert_eq!(ports, BTreeSet::from([40_000]));
            assert_eq!(net.payloads(CLIENT, client), [b"for the peer"]);
            // One that may be a copy makes for a question, and no more.
            let to_stranger = net.sent[from..]
                .iter()
                .filter(|(_, packet)| packet.udp_port == Some(STRANGER));
            for (_, packet) in to_stranger {
                let packet = Packet::decode(&packet.octets).unwrap();
                let kinds: Vec<u8> = packet.chunks().map(|raw| raw.unwrap().kind).collect();
                assert_eq!(kinds, [kind::AUTH, kind::HEARTBEAT]);
            }
        } else {
            // The control: without AUTH a tag is all that it takes.
            assert!(ports.contains(&STRANGER), "{ports:?}");
        }
    }
}

#[test]
fn the_mtu_of_each_path_is_found_and_lost() {
    let config = Config {
        pmtu: PmtuConfig {
            max: 9_000,
            ..PmtuConfig::default()
        },
        ..Config::fast()
    };
    let mut net = Net::pair(8, &config);
    let narrow = Link {
        mtu: 1_400,
        ..Link::default()
    };
    net.default.mtu = 9_000;
    net.set_link(client_addresses()[1], server_addresses()[1], narrow);
    let (client, server) = net.establish(&config);
    net.run(Duration::from_secs(60));
    let paths = net.hosts[CLIENT].endpoint.paths(client);
    assert_eq!(paths[0].mtu, 9_000);
    assert!((1_370..=1_400).contains(&paths[1].mtu), "{paths:?}");
    // What is sent fits every path, so that it can be sent again on any.
    net.keep_sent = true;
    net.send(CLIENT, client, 0, vec![1; 50_000]);
    net.run(Duration::from_secs(5));
    assert_eq!(net.count(SERVER, server), 1);
    // On the wider path several of these go in one packet.
    let lengths: Vec<usize> = net
        .sent
        .iter()
        .flat_map(|(_, packet)| {
            let packet = Packet::decode(&packet.octets).unwrap();
            let data = packet.chunks().map(Result::unwrap);
            data.filter(|raw| raw.kind == kind::I_DATA)
                .map(|raw| 20 + 8 + 12 + raw.octets.len())
                .collect::<Vec<usize>>()
        })
        .collect();
    assert!(lengths.iter().any(|length| *length > 1_350), "{lengths:?}");
    assert!(lengths.iter().all(|length| *length <= 1_400), "{lengths:?}");

    // Long packets begin to vanish in silence, fragments too: timeouts in a row
    // make the packets short, while short ones show that the peer is there.
    let shut = Link {
        mtu: 1_280,
        fragments: false,
        ..Link::default()
    };
    for (here, there) in client_addresses().into_iter().zip(server_addresses()) {
        net.set_link(here, there, shut);
    }
    net.send(CLIENT, client, 0, vec![2; 50_000]);
    net.run(Duration::from_secs(60));
    assert_eq!(net.count(SERVER, server), 1);
    let mtus = |net: &Net| -> Vec<usize> {
        let paths = net.hosts[CLIENT].endpoint.paths(client);
        paths.iter().map(|path| path.mtu).collect()
    };
    assert_eq!(mtus(&net), [1_280, 1_280]);
    // What went out as long chunks takes a network that fragments; all that is
    // new fits.
    let fragmenting = Link {
        fragments: true,
        ..shut
    };
    for (here, there) in client_addresses().into_iter().zip(server_addresses()) {
        net.set_link(here, there, fragmenting);
    }
    net.run(Duration::from_secs(60));
    assert_eq!(net.count(SERVER, server), 2);
    let from = net.sent.len();
    net.send(CLIENT, client, 0, vec![3; 50_000]);
    net.run(Duration::from_secs(5));
    assert_eq!(net.count(SERVER, server), 3);
    let long = net.sent[from..]
        .iter()
        .filter(|(_, packet)| packet.octets[12] == kind::I_DATA)
        .filter(|(_, packet)| packet.octets.len() + 28 > 1_280)
        .count();
    assert_eq!(long, 0);
    // In time the larger size is looked for again, and found where it is.
    net.set_link(client_addresses()[0], server_addresses()[0], net.default);
    net.run(config.pmtu.raise_interval.saturating_mul(2));
    assert_eq!(mtus(&net)[0], 9_000);
}
