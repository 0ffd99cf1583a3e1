//! A wrong peer, and somebody on the way: malformed packets, floods, forged
//! and replayed cookies, wrong tags, acknowledgements of what was never sent.
//!
//! Evidence: robustness. What bounds memory under floods is tested in a
//! binary of its own, `bounds`.

use sctp::chunk::{Data, DataFlags, Order, Sack, kind};
use sctp::packet::{Header, Packet, PacketBuilder, write_chunk};
use sctp::{
    AMPLIFICATION_MAX, AuthConfig, CloseReason, Config, Duration, Event, Output, PathState,
};

use crate::net::{
    CLIENT, Family, Host, Net, PORT, Random, SERVER, client_addresses, ip, seeds, server_addresses,
};

fn header(tag: u32) -> Header {
    Header {
        source_port: 5_000,
        destination_port: PORT,
        verification_tag: tag,
    }
}

/// The tag that packets to a host bear, read from those sent to it.
fn tag_to(net: &Net, host: usize) -> u32 {
    let addresses = &net.hosts[host].addresses;
    let (_, packet) = net
        .sent
        .iter()
        .rev()
        .find(|(_, packet)| addresses.contains(&packet.remote))
        .unwrap();
    Packet::decode(&packet.octets)
        .unwrap()
        .header
        .verification_tag
}

fn established(seed: u64, config: &Config) -> (Net, sctp::AssociationId, sctp::AssociationId) {
    let mut net = Net::pair(seed, config);
    net.keep_sent = true;
    let (client, server) = net.establish(config);
    (net, client, server)
}

/// Packets of a whole association's life, as a basis for mutations.
fn recorded(config: &Config) -> Vec<(bool, Vec<u8>)> {
    let (mut net, client, server) = established(1, config);
    for number in 0..10_u8 {
        net.send(CLIENT, client, u16::from(number % 3), vec![number; 2_000]);
        net.send(SERVER, server, u16::from(number % 3), vec![number; 200]);
    }
    let now = net.now;
    net.hosts[CLIENT]
        .endpoint
        .reset_outgoing(client, &[1], now)
        .unwrap();
    net.drain(CLIENT);
    net.run(Duration::from_secs(1));
    let now = net.now;
    net.hosts[CLIENT].endpoint.shutdown(client, now);
    net.drain(CLIENT);
    net.run(Duration::from_secs(2));
    net.sent
        .iter()
        .map(|(_, packet)| {
            (
                server_addresses().contains(&packet.remote),
                packet.octets.clone(),
            )
        })
        .collect()
}

fn with_checksum(mut octets: Vec<u8>) -> Vec<u8> {
    if octets.len() >= 12 {
        let sum = sctp::packet::checksum(&octets);
        octets[8..12].copy_from_slice(&sum);
    }
    octets
}

#[test]
fn mutated_packets_neither_panic_nor_hang() {
    mutate(&Config::fast(), |_, _| {});
}

/// The same with AUTH, whose keys change in between.
#[test]
fn mutated_packets_neither_panic_nor_hang_with_auth() {
    let config = Config {
        auth: Some(AuthConfig {
            chunks: vec![
                kind::DATA,
                kind::I_DATA,
                kind::SACK,
                kind::HEARTBEAT,
                kind::RE_CONFIG,
            ],
            required: true,
        }),
        ..Config::fast()
    };
    let (mut unauthenticated, mut set, mut active) = (0, 0, 0);
    mutate(&config, |random, host| {
        let id = host.events.first().map(|(_, id, _)| *id);
        let Some(id) = id else { return };
        let status = host.endpoint.status(id);
        unauthenticated += status.map_or(0, |status| status.counters.unauthenticated);
        let key = u16::try_from(random.below(20)).unwrap();
        let endpoint = &mut host.endpoint;
        match random.below(6) {
            0 => set += usize::from(endpoint.set_auth_key(id, key, &[7; 40]).is_ok()),
            1 => active += usize::from(endpoint.activate_auth_key(id, key).is_ok()),
            2 => drop(endpoint.remove_auth_key(id, key)),
            _ => {}
        }
    });
    assert!(unauthenticated > 1_000, "{unauthenticated}");
    assert!(set > 100 && active > 10, "{set} {active}");
}

/// Hands both hosts packets of a recorded life, altered; `between` is done to
/// each in between.
fn mutate(config: &Config, mut between: impl FnMut(&mut Random, &mut Host)) {
    let corpus = recorded(config);
    for seed in seeds(77, 40) {
        let mut random = Random(seed);
        let (mut net, ..) = established(1, config);
        // The seed is that of the recording, so that the tags are right.
        for _ in 0..60 {
            let at = usize::try_from(random.below(corpus.len() as u64)).unwrap();
            let (to_server, octets) = &corpus[at];
            let mut octets = octets.clone();
            for _ in 0..=random.below(3) {
                let length = octets.len() as u64;
                let place = usize::try_from(random.below(length)).unwrap();
                match random.below(4) {
                    0 => octets[place] ^= 1 << random.below(8),
                    1 => octets[place] = random.next().to_be_bytes()[0],
                    2 => octets.truncate(place.max(1)),
                    _ => {
                        let copy = octets[place..].to_vec();
                        octets.extend(copy);
                        octets.truncate(2_000);
                    }
                }
            }
            let octets = with_checksum(octets);
            let way = usize::try_from(random.below(2)).unwrap();
            let (local, remote) = (server_addresses()[way], client_addresses()[way]);
            if *to_server {
                net.inject(SERVER, local, remote, &octets);
            } else {
                net.inject(CLIENT, remote, local, &octets);
            }
            net.run(Duration::from_millis(random.below(30)));
            for host in &mut net.hosts {
                between(&mut random, host);
            }
        }
        net.run(Duration::from_secs(120));
    }
}

#[test]
fn truncated_at_every_octet() {
    let config = Config::fast();
    for (to_server, octets) in recorded(&config) {
        let (mut net, ..) = established(1, &config);
        for end in 0..octets.len() {
            let cut = with_checksum(octets[..end].to_vec());
            let (local, remote) = (server_addresses()[0], client_addresses()[0]);
            if to_server {
                net.inject(SERVER, local, remote, &cut);
            } else {
                net.inject(CLIENT, remote, local, &cut);
            }
        }
    }
}

#[test]
fn a_flood_of_inits_leaves_nothing_behind() {
    let config = Config::default();
    let mut net = Net::pair(2, &config);
    let mut random = Random(3);
    let mut longest = 0;
    for number in 0..20_000_u32 {
        let mut packet = PacketBuilder::new(header(0), 64);
        let parameters = random.below(3);
        write_chunk(packet.octets(), kind::INIT, 0, |out| {
            out.extend((number + 1).to_be_bytes());
            out.extend(100_000_u32.to_be_bytes());
            out.extend([0, 10, 0, 10]);
            out.extend(number.to_be_bytes());
            for _ in 0..parameters {
                // Forward TSN supported; an unknown one that is to be told.
                out.extend([0xC0, 0x00, 0, 4]);
                out.extend([0xC1, 0x23, 0, 4]);
            }
        });
        let octets = packet.finish();
        let [a, b, c, d] = number.to_be_bytes();
        let host = &mut net.hosts[SERVER].endpoint;
        host.handle(
            sctp::Input::Datagram {
                local: server_addresses()[0],
                remote: std::net::IpAddr::from([198, 18 | (a & 1), b.max(c), d]),
                udp_port: Some(9_899),
                octets: &octets,
            },
            net.now,
        );
        let mut answers = 0;
        loop {
            match host.poll() {
                Output::Transmit(answer) => {
                    answers += 1;
                    assert!(answer.octets.len() <= AMPLIFICATION_MAX * octets.len());
                    longest = longest.max(answer.octets.len());
                }
                Output::Event(..) => panic!("an event without an association"),
                Output::Timeout(at) => {
                    assert_eq!(at, None, "something is to be repeated");
                    break;
                }
            }
        }
        assert_eq!(answers, 1);
    }
    assert!(longest > 80);
    assert!(net.hosts[SERVER].endpoint.is_empty());
    net.establish(&config);
}

/// The COOKIE ECHO that a client would send.
fn cookie_echo(net: &mut Net, config: &Config) -> Vec<u8> {
    net.keep_sent = true;
    net.default.loss = 0;
    net.connect(config);
    let is_echo = |octets: &[u8]| octets[12] == kind::COOKIE_ECHO;
    let end = net.now + Duration::from_secs(1);
    while !net.sent.iter().any(|(_, packet)| is_echo(&packet.octets)) {
        assert!(net.step(end));
    }
    // It does not get there.
    net.lose_what_flies();
    net.sent
        .iter()
        .find(|(_, packet)| is_echo(&packet.octets))
        .unwrap()
        .1
        .octets
        .clone()
}

fn lone_server(seed: u64, config: &Config, family: Family) -> (Net, Vec<u8>) {
    let mut net = Net::pair_of(seed, config, family);
    // What the client sends after its INIT is lost.
    let echo = {
        let mut other = Net::pair_of(seed, config, family);
        cookie_echo(&mut other, config)
    };
    net.keep_sent = true;
    net.connect(config);
    let (clients, servers) = (family.client(), family.server());
    let server = servers[0];
    let end = net.now + Duration::from_secs(1);
    while !net.sent.iter().any(|(_, packet)| packet.local == server) {
        assert!(net.step(end));
    }
    net.cut(clients[0], server);
    net.cut(clients[1], servers[1]);
    (net, echo)
}

#[test]
fn a_cookie_is_good_once_and_for_its_time_only() {
    for family in Family::ALL {
        cookie_of(family);
    }
}

fn cookie_of(family: Family) {
    let config = Config::default();
    let (local, remote) = (family.server()[0], family.client()[0]);

    // Every octet of the cookie matters.
    let (mut net, echo) = lone_server(4, &config, family);
    let end = 12 + usize::from(u16::from_be_bytes([echo[14], echo[15]]));
    for at in 16..end {
        let mut forged = echo.clone();
        forged[at] ^= 0x40;
        net.inject(SERVER, local, remote, &with_checksum(forged));
        assert!(
            net.hosts[SERVER].endpoint.is_empty(),
            "{family:?}, octet {at}"
        );
    }
    let forged = net.hosts[SERVER].endpoint.counters().cookies_forged;
    assert_eq!(forged, u64::try_from(end - 16).unwrap());
    // From an address that the peer did not tell.
    net.inject(SERVER, local, family.nobody(), &echo);
    assert!(net.hosts[SERVER].endpoint.is_empty());
    // In time, it is good.
    net.inject(SERVER, local, remote, &echo);
    assert_eq!(net.hosts[SERVER].endpoint.len(), 1);
    // Again, while the association stands: nothing more.
    net.inject(SERVER, local, remote, &echo);
    assert_eq!(net.hosts[SERVER].endpoint.len(), 1);
    // Again, when it is over: nothing.
    let id = net.hosts[SERVER].events[0].1;
    let now = net.now;
    net.hosts[SERVER].endpoint.abort(id, b"", now);
    net.drain(SERVER);
    assert!(net.hosts[SERVER].endpoint.is_empty());
    net.inject(SERVER, local, remote, &echo);
    assert!(net.hosts[SERVER].endpoint.is_empty());
    assert!(net.hosts[SERVER].endpoint.counters().cookies_replayed >= 1);

    // Too late: refused, with an error that says so.
    let (mut net, echo) = lone_server(4, &config, family);
    net.run(Duration::from_secs(61));
    net.inject(SERVER, local, remote, &echo);
    assert!(net.hosts[SERVER].endpoint.is_empty());
    assert_eq!(net.hosts[SERVER].endpoint.counters().cookies_stale, 1);
    assert_eq!(net.sent.last().unwrap().1.octets[12], kind::ERROR);
}

#[test]
fn a_cookie_outlives_one_key_and_not_two() {
    let config = Config::default();
    let (local, remote) = (server_addresses()[0], client_addresses()[0]);
    for (changes, taken) in [(0, true), (1, true), (2, false)] {
        let mut net = Net::new(9);
        net.add(crate::net::host_config(5_000, client_addresses(), &config));
        net.add(sctp::EndpointConfig {
            cookie_lifetime: Duration::from_secs(60),
            cookie_key_rotation: Duration::from_secs(1),
            ..crate::net::host_config(PORT, server_addresses(), &config)
        });
        // In the middle of a key's time.
        net.run(Duration::from_secs(100));
        let echo = cookie_echo(&mut net, &config);
        for way in 0..2 {
            net.cut(client_addresses()[way], server_addresses()[way]);
        }
        // A key is used for twice as long as its cookies live at least: a
        // peer may ask for a longer life.
        for wait in [31, 121].into_iter().take(changes) {
            net.run(Duration::from_secs(wait));
            let mut init = PacketBuilder::new(header(0), 64);
            write_chunk(init.octets(), kind::INIT, 0, |out| {
                out.extend([0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
            });
            let init = init.finish();
            net.inject(SERVER, local, ip("10.77.1.77"), &init);
        }
        net.inject(SERVER, local, remote, &echo);
        assert_eq!(!net.hosts[SERVER].endpoint.is_empty(), taken, "{changes}");
        let forged = net.hosts[SERVER].endpoint.counters().cookies_forged;
        assert_eq!(forged, u64::from(!taken));
    }
}

#[test]
fn wrong_tags_are_dropped() {
    let config = Config::default();
    let (mut net, client, server) = established(5, &config);
    let right = tag_to(&net, SERVER);
    let (local, remote) = (server_addresses()[0], client_addresses()[0]);
    for chunk in [kind::ABORT, kind::SHUTDOWN, kind::DATA, kind::SACK] {
        for flags in [0, 1] {
            for tag in [0, 1, right ^ 1, right.wrapping_add(1)] {
                let mut packet = PacketBuilder::new(header(tag), 64);
                write_chunk(packet.octets(), chunk, flags, |out| out.extend([0; 16]));
                let octets = packet.finish();
                net.inject(SERVER, local, remote, &octets);
            }
        }
    }
    // From an address that is not the peer's, even the right tag is nothing.
    let mut packet = PacketBuilder::new(header(right), 64);
    write_chunk(packet.octets(), kind::SHUTDOWN, 0, |out| out.extend([0; 4]));
    net.inject(SERVER, local, ip("10.77.1.66"), &packet.finish());
    net.send(CLIENT, client, 0, b"still there".to_vec());
    net.run(Duration::from_secs(1));
    assert_eq!(net.payloads(SERVER, server), [b"still there"]);
    assert!(net.hosts[SERVER].endpoint.counters().wrong_tag > 10);
}

#[test]
fn acknowledging_what_was_never_sent_ends_the_association() {
    let config = Config::default();
    for (ahead, gaps) in [(1_000_000, vec![]), (0, vec![(5_000, 5_001)])] {
        let (mut net, client, _) = established(6, &config);
        net.send(CLIENT, client, 0, b"one".to_vec());
        net.run(Duration::from_secs(1));
        // An honest acknowledgement tells where the numbers are.
        let honest = net
            .sent
            .iter()
            .rev()
            .find(|(_, packet)| packet.octets[12] == kind::SACK)
            .unwrap()
            .1
            .octets
            .clone();
        let tsn = u32::from_be_bytes(honest[16..20].try_into().unwrap());
        let tag = tag_to(&net, CLIENT);
        let mut packet = PacketBuilder::new(
            Header {
                source_port: PORT,
                destination_port: 5_000,
                verification_tag: tag,
            },
            64,
        );
        Sack {
            cumulative_tsn_ack: tsn.wrapping_add(ahead),
            a_rwnd: 100_000,
            gaps,
            duplicates: vec![],
        }
        .encode(packet.octets());
        let octets = packet.finish();
        net.inject(
            CLIENT,
            client_addresses()[0],
            server_addresses()[0],
            &octets,
        );
        assert!(net.has_event(CLIENT, |event| matches!(
            event,
            Event::Closed {
                reason: CloseReason::Aborted { cause: 13 },
                ..
            }
        )));
    }
}

#[test]
fn addresses_that_the_peer_made_up_get_no_data() {
    // The client tells an address of somebody else as its own.
    let config = Config::fast();
    let mut net = Net::new(7);
    let victim = ip("10.77.9.9");
    let mut addresses = client_addresses();
    addresses.push(victim);
    net.add(crate::net::host_config(5_000, addresses, &config));
    net.add(crate::net::host_config(PORT, server_addresses(), &config));
    net.hosts[CLIENT]
        .addresses
        .retain(|address| *address != victim);
    net.keep_sent = true;
    let (_, server) = net.establish(&config);
    for _ in 0..100 {
        net.send(SERVER, server, 0, vec![0; 1_000]);
    }
    net.run(Duration::from_secs(30));
    let to_victim: Vec<&[u8]> = net
        .sent
        .iter()
        .filter(|(_, packet)| packet.remote == victim)
        .map(|(_, packet)| packet.octets.as_slice())
        .collect();
    assert!(!to_victim.is_empty());
    assert!(to_victim.len() < 40, "{}", to_victim.len());
    for octets in to_victim {
        assert_eq!(octets[12], kind::HEARTBEAT);
        assert!(octets.len() <= 28);
    }
    let paths = net.hosts[SERVER].endpoint.paths(server);
    let path = paths.iter().find(|path| path.remote == victim).unwrap();
    assert_eq!(path.state, PathState::Inactive);
}

#[test]
fn a_heartbeat_ack_with_a_guessed_nonce_confirms_nothing() {
    let config = Config::fast();
    let mut net = Net::pair(8, &config);
    net.keep_sent = true;
    net.cut(client_addresses()[1], server_addresses()[1]);
    net.cut(client_addresses()[0], server_addresses()[1]);
    let (client, _) = net.establish(&config);
    let tag = tag_to(&net, CLIENT);
    let mut random = Random(9);
    for _ in 0..1_000 {
        let mut packet = PacketBuilder::new(
            Header {
                source_port: PORT,
                destination_port: 5_000,
                verification_tag: tag,
            },
            64,
        );
        write_chunk(packet.octets(), kind::HEARTBEAT_ACK, 0, |out| {
            out.extend([0, 1, 0, 12]);
            out.extend(random.next().to_be_bytes());
        });
        let octets = packet.finish();
        net.inject(
            CLIENT,
            client_addresses()[1],
            server_addresses()[1],
            &octets,
        );
    }
    let paths = net.hosts[CLIENT].endpoint.paths(client);
    assert_ne!(paths[1].state, PathState::Active);
}

/// A DATA chunk for the server's association.
fn data(tsn: u32, stream: u16, ssn: u16, flags: DataFlags, payload: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    Data {
        flags,
        tsn,
        stream,
        order: Order::Ssn(ssn),
        ppid: 0,
        payload,
    }
    .encode(&mut octets);
    octets
}

fn plain() -> Config {
    Config {
        interleaving: false,
        ..Config::default()
    }
}

/// The client's next TSN, read from its INIT.
fn initial_tsn(net: &Net) -> u32 {
    let init = &net.sent[0].1.octets;
    assert_eq!(init[12], kind::INIT);
    u32::from_be_bytes(init[28..32].try_into().unwrap())
}

fn inject_to_server(net: &mut Net, chunks: &[u8]) {
    let mut packet = PacketBuilder::new(header(tag_to(net, SERVER)), 64);
    packet.extend(chunks);
    let octets = packet.finish();
    net.inject(
        SERVER,
        server_addresses()[0],
        client_addresses()[0],
        &octets,
    );
}

#[test]
fn what_waits_for_a_gap_is_bounded() {
    let config = plain();
    let (mut net, _, server) = established(10, &config);
    let first = initial_tsn(&net);
    let whole = DataFlags {
        beginning: true,
        ending: true,
        ..DataFlags::default()
    };
    // The first never comes; all others are single octets.
    for at in 1..30_000_u16 {
        let chunk = data(first.wrapping_add(u32::from(at)), 0, at, whole, &[0]);
        inject_to_server(&mut net, &chunk);
    }
    let counters = net.hosts[SERVER].endpoint.status(server).unwrap().counters;
    assert!(counters.dropped > 25_000, "{counters:?}");
    // Once it comes, what was acknowledged is delivered.
    inject_to_server(&mut net, &data(first, 0, 0, whole, &[1]));
    net.run(Duration::from_secs(1));
    assert!(net.count(SERVER, server) > 1_000);
}

#[test]
fn fragments_without_end_are_refused() {
    let config = plain();
    let (mut net, ..) = established(11, &config);
    let first = initial_tsn(&net);
    for at in 0..1_000_u32 {
        let flags = DataFlags {
            beginning: at == 0,
            ..DataFlags::default()
        };
        inject_to_server(
            &mut net,
            &data(first.wrapping_add(at), 0, 0, flags, &[0; 1_000]),
        );
        if net.hosts[SERVER].endpoint.is_empty() {
            break;
        }
    }
    assert!(net.has_event(SERVER, |event| matches!(
        event,
        Event::Closed {
            reason: CloseReason::Aborted { cause: 4 },
            ..
        }
    )));
}

#[test]
fn a_reader_that_does_not_read_stops_the_sender() {
    let config = Config::fast();
    let (mut net, client, server) = established(12, &config);
    net.hosts[SERVER].reads = false;
    for _ in 0..250 {
        net.send(CLIENT, client, 0, vec![7; 1_000]);
    }
    let now = net.now;
    for _ in 0..1_000 {
        let options = sctp::SendOptions::default();
        let sent = net.hosts[CLIENT]
            .endpoint
            .send(client, 1, vec![8; 1_000].into(), &options, now);
        net.drain(CLIENT);
        if sent == Err(sctp::SendError::Full) {
            break;
        }
    }
    net.run(Duration::from_secs(30));
    let status = net.hosts[CLIENT].endpoint.status(client).unwrap();
    assert!(status.established, "a full buffer is no dead peer");
    assert!(status.peer_window < 3_000, "{status:?}");
    net.hosts[SERVER].reads = true;
    net.read(SERVER, server);
    net.drain(SERVER);
    net.run(Duration::from_secs(60));
    assert!(
        net.count(SERVER, server) >= 500,
        "{}",
        net.count(SERVER, server)
    );
    let status = net.hosts[CLIENT].endpoint.status(client).unwrap();
    assert_eq!((status.buffered, status.in_flight), (0, 0));
}

#[test]
fn empty_data_ends_the_association() {
    let config = plain();
    let (mut net, ..) = established(13, &config);
    let first = initial_tsn(&net);
    let whole = DataFlags {
        beginning: true,
        ending: true,
        ..DataFlags::default()
    };
    inject_to_server(&mut net, &data(first, 0, 0, whole, &[]));
    assert!(net.has_event(SERVER, |event| matches!(
        event,
        Event::Closed {
            reason: CloseReason::Aborted { cause: 9 },
            ..
        }
    )));
}
