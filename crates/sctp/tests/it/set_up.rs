//! Setting up and ending associations (RFC 9260, sections 5 and 9).
//!
//! Evidence: self-agreement, and what the RFC says of each case.

use sctp::{AMPLIFICATION_MAX, CloseReason, Config, Duration, Event, PathState};

use crate::net::{CLIENT, Family, Net, SERVER, client_addresses, ip, server_addresses};

#[test]
fn both_sides_stand_and_every_path_is_confirmed() {
    for family in Family::ALL {
        let config = Config::default();
        let mut net = Net::pair_of(1, &config, family);
        let (client, server) = net.establish(&config);
        for (host, id) in [(CLIENT, client), (SERVER, server)] {
            let paths = net.hosts[host].endpoint.paths(id);
            assert_eq!(paths.len(), 2, "{family:?}");
            for path in paths {
                assert_eq!(path.state, PathState::Active, "{path:?}");
                // Each path stays within its network.
                let network = |address: std::net::IpAddr| address.to_string()[..7].to_owned();
                assert_eq!(network(path.local), network(path.remote));
                assert_eq!(path.mtu, 1_500, "{path:?}");
            }
        }
        let status = net.hosts[CLIENT].endpoint.status(client).unwrap();
        assert!(status.capabilities.interleaving && status.capabilities.partial_reliability);
    }
}

#[test]
fn a_shutdown_delivers_what_was_sent_and_leaves_nothing() {
    let config = Config::default();
    let mut net = Net::pair(2, &config);
    let (client, server) = net.establish(&config);
    for number in 0..50_u8 {
        net.send(CLIENT, client, 0, vec![number; 3_000]);
        net.send(SERVER, server, 1, vec![number; 10]);
    }
    let now = net.now;
    net.hosts[CLIENT].endpoint.shutdown(client, now);
    net.drain(CLIENT);
    net.run(Duration::from_secs(5));
    assert_eq!(net.count(SERVER, server), 50);
    assert_eq!(net.count(CLIENT, client), 50);
    for host in [CLIENT, SERVER] {
        assert!(net.has_event(host, |event| *event
            == Event::Closed {
                reason: CloseReason::Shutdown,
                unacknowledged: 0
            }));
        assert!(net.hosts[host].endpoint.is_empty());
    }
}

#[test]
fn what_arrived_before_the_end_is_received_after_it() {
    let config = Config::default();
    let mut net = Net::pair(10, &config);
    let (client, server) = net.establish(&config);
    net.hosts[SERVER].reads = false;
    for number in 0..3_u8 {
        net.send(CLIENT, client, 0, vec![number]);
    }
    let now = net.now;
    net.hosts[CLIENT].endpoint.shutdown(client, now);
    net.drain(CLIENT);
    net.run(Duration::from_secs(5));
    assert!(net.hosts[SERVER].endpoint.is_empty());
    net.read(SERVER, server);
    assert_eq!(net.payloads(SERVER, server), [[0], [1], [2]]);
}

#[test]
fn set_up_survives_every_single_loss() {
    // The n-th packet of the handshake is lost, whichever it is.
    for lost in 0..6 {
        let config = Config::fast();
        let mut net = Net::pair(3, &config);
        net.connect(&config);
        let mut seen = 0;
        let end = net.now + Duration::from_secs(5);
        loop {
            if seen == lost {
                net.default.loss = 1_000;
            }
            if !net.step(end) {
                break;
            }
            seen += 1;
            if seen > lost + 1 {
                net.default.loss = 0;
            }
        }
        for host in [CLIENT, SERVER] {
            assert!(
                net.has_event(host, |event| matches!(event, Event::Established { .. })),
                "packet {lost} lost"
            );
        }
    }
}

#[test]
fn a_dead_first_address_is_passed_over() {
    let config = Config::fast();
    let mut net = Net::pair(4, &config);
    for local in client_addresses() {
        net.cut(local, server_addresses()[0]);
    }
    let client = net.connect(&config);
    net.run(Duration::from_secs(3));
    assert!(net.has_event(SERVER, |event| matches!(event, Event::Established { .. })));
    let paths = net.hosts[CLIENT].endpoint.paths(client);
    let state = |remote| {
        paths
            .iter()
            .find(|path| path.remote == remote)
            .unwrap()
            .state
    };
    assert_eq!(state(server_addresses()[1]), PathState::Active);
    assert_ne!(state(server_addresses()[0]), PathState::Active);
}

#[test]
fn nobody_answers() {
    let config = Config::fast();
    let mut net = Net::pair(5, &config);
    net.connect_to(&config, vec![ip("10.77.1.99")]);
    net.run(Duration::from_secs(60));
    assert!(net.has_event(CLIENT, |event| matches!(
        event,
        Event::Closed {
            reason: CloseReason::SetUpTimeout,
            ..
        }
    )));
    assert!(net.hosts[CLIENT].endpoint.is_empty());
}

#[test]
fn an_abort_reaches_the_peer() {
    let config = Config::default();
    let mut net = Net::pair(6, &config);
    let (client, _) = net.establish(&config);
    let now = net.now;
    net.hosts[CLIENT].endpoint.abort(client, b"enough", now);
    net.drain(CLIENT);
    net.run(Duration::from_millis(100));
    assert!(net.has_event(SERVER, |event| matches!(
        event,
        Event::Closed {
            reason: CloseReason::AbortedByPeer { cause: Some(12) },
            ..
        }
    )));
}

#[test]
fn answers_to_inits_are_never_long() {
    let config = Config::default();
    let mut net = Net::pair(7, &config);
    net.keep_sent = true;
    net.establish(&config);
    let lengths: Vec<usize> = net
        .sent
        .iter()
        .map(|(_, packet)| packet.octets.len())
        .collect();
    assert!(lengths[1] <= AMPLIFICATION_MAX * lengths[0], "{lengths:?}");
}

#[test]
fn set_ups_that_cross_become_one_association() {
    let config = Config::fast();
    for seed in 0..20 {
        let mut net = Net::new(seed);
        net.default.jitter = Duration::from_millis(3);
        // Both use the port that the other connects to.
        net.add(crate::net::host_config(4_059, client_addresses(), &config));
        net.add(crate::net::host_config(4_059, server_addresses(), &config));
        let client = net.connect(&config);
        let connect = sctp::Connect {
            addresses: client_addresses(),
            port: 4_059,
            udp_port: None,
            config: config.clone(),
            auth_keys: Vec::new(),
        };
        let now = net.now;
        let server = net.hosts[SERVER].endpoint.connect(&connect, now).unwrap();
        net.drain(SERVER);
        net.run(Duration::from_secs(3));
        assert_eq!(net.hosts[CLIENT].endpoint.len(), 1, "seed {seed}");
        assert_eq!(net.hosts[SERVER].endpoint.len(), 1, "seed {seed}");
        net.send(CLIENT, client, 0, b"there".to_vec());
        net.send(SERVER, server, 0, b"here".to_vec());
        net.run(Duration::from_secs(1));
        assert_eq!(net.payloads(SERVER, server), [b"there"], "seed {seed}");
        assert_eq!(net.payloads(CLIENT, client), [b"here"], "seed {seed}");
    }
}

#[test]
fn a_peer_that_lost_its_memory_begins_anew() {
    let config = Config::default();
    let mut net = Net::pair(8, &config);
    let (_, server) = net.establish(&config);
    net.send(SERVER, server, 0, b"before".to_vec());
    net.run(Duration::from_secs(1));
    // The client's host is another now, at the same addresses and port.
    let fresh = net.add(crate::net::host_config(5_000, client_addresses(), &config));
    net.hosts.swap(CLIENT, fresh);
    net.hosts[fresh].addresses.clear();
    let client = net.connect(&config);
    net.run(Duration::from_secs(1));
    assert!(net.has_event(SERVER, |event| matches!(event, Event::Restarted { .. })));
    assert_eq!(net.hosts[SERVER].endpoint.len(), 1);
    net.send(SERVER, server, 0, b"after".to_vec());
    net.send(CLIENT, client, 0, b"and back".to_vec());
    net.run(Duration::from_secs(1));
    assert_eq!(net.payloads(CLIENT, client), [b"after"]);
    assert_eq!(net.payloads(SERVER, server), [b"and back"]);
}

#[test]
fn a_peer_that_is_gone_is_noticed() {
    let config = Config::fast();
    let mut net = Net::pair(9, &config);
    let (client, _) = net.establish(&config);
    for (a, b) in client_addresses().into_iter().zip(server_addresses()) {
        net.cut(a, b);
    }
    net.send(CLIENT, client, 0, b"lost".to_vec());
    net.run(Duration::from_secs(120));
    for host in [CLIENT, SERVER] {
        assert!(net.has_event(host, |event| matches!(
            event,
            Event::Closed {
                reason: CloseReason::Unreachable,
                ..
            }
        )));
    }
    assert!(net.has_event(CLIENT, |event| matches!(
        event,
        Event::Closed {
            unacknowledged: 1,
            ..
        }
    )));
}
