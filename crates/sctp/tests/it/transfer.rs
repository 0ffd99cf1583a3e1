//! Messages over networks that lose, reorder, double and cut.
//!
//! Evidence: self-agreement; each run is made from a seed, which a failure
//! tells. What is checked in each: every message arrived once, in the order
//! of its stream, with its octets.

use std::collections::BTreeMap;

use sctp::{AssociationId, Config, Duration, Event, Scheduler, SendOptions};

use crate::net::{CLIENT, Family, Net, Random, SERVER, client_addresses, seeds, server_addresses};

/// Message `number` of a stream, of this length: both can be told from it.
fn message(stream: u16, number: u32, length: usize) -> Vec<u8> {
    let mut octets = Vec::with_capacity(length + 8);
    octets.extend(stream.to_be_bytes());
    octets.extend(number.to_be_bytes());
    let mut random = Random(u64::from(stream) << 32 | u64::from(number));
    while octets.len() < length {
        octets.extend(random.next().to_be_bytes());
    }
    octets.truncate(length.max(6));
    octets
}

/// What was sent to one side.
#[derive(Default)]
struct Ledger {
    ordered: BTreeMap<u16, Vec<Vec<u8>>>,
    unordered: Vec<Vec<u8>>,
    count: usize,
}

impl Ledger {
    fn send(
        &mut self,
        net: &mut Net,
        host: usize,
        id: AssociationId,
        stream: u16,
        length: usize,
        unordered: bool,
    ) {
        let number = u32::try_from(self.count).unwrap();
        let octets = message(stream, number, length);
        let options = SendOptions {
            ppid: number,
            unordered,
            ..SendOptions::default()
        };
        net.send_with(host, id, stream, octets.clone(), &options);
        if unordered {
            self.unordered.push(octets);
        } else {
            self.ordered.entry(stream).or_default().push(octets);
        }
        self.count += 1;
    }

    fn check(&self, net: &Net, host: usize, id: AssociationId, what: &str) {
        let mut ordered: BTreeMap<u16, Vec<Vec<u8>>> = BTreeMap::new();
        let mut unordered = Vec::new();
        for delivered in net.hosts[host].delivered.get(&id).into_iter().flatten() {
            let message = &delivered.message;
            let number = u32::from_be_bytes(message.payload[2..6].try_into().unwrap());
            assert_eq!(message.ppid, number, "{what}: payload protocol identifier");
            if message.unordered {
                unordered.push(message.payload.to_vec());
            } else {
                ordered
                    .entry(message.stream)
                    .or_default()
                    .push(message.payload.to_vec());
            }
        }
        unordered.sort();
        let mut expected = self.unordered.clone();
        expected.sort();
        let lengths = |all: &BTreeMap<u16, Vec<Vec<u8>>>| -> BTreeMap<u16, usize> {
            all.iter()
                .map(|(stream, all)| (*stream, all.len()))
                .collect()
        };
        assert_eq!(lengths(&ordered), lengths(&self.ordered), "{what}: ordered");
        assert!(ordered == self.ordered, "{what}: order or octets");
        assert_eq!(unordered.len(), expected.len(), "{what}: unordered");
        assert!(unordered == expected, "{what}: unordered octets");
    }
}

struct Plan {
    loss: u64,
    duplicate: u64,
    jitter_ms: u64,
    cuts: bool,
    config: Config,
}

/// Sends in both directions over a bad network until `count` messages each
/// way went, and checks that all arrived. Which addresses there are is drawn
/// too.
fn exchange(seed: u64, plan: &Plan) -> Net {
    let family = Family::ALL[usize::try_from(seed % 3).unwrap()];
    let mut net = Net::pair_of(seed, &plan.config, family);
    net.keep_sent = true;
    let (client, server) = net.establish(&plan.config);
    let link = crate::net::Link {
        delay: Duration::from_millis(1 + net.random.below(20)),
        jitter: Duration::from_millis(plan.jitter_ms),
        loss: plan.loss,
        duplicate: plan.duplicate,
        ..crate::net::Link::default()
    };
    net.default = link;
    let mut to_server = Ledger::default();
    let mut to_client = Ledger::default();
    let mut cut_until = None;
    for _ in 0..150 {
        let length = match net.random.below(4) {
            0 => 1 + net.random.below(50),
            1 | 2 => 1 + net.random.below(1_400),
            _ => 1 + net.random.below(20_000),
        };
        let stream = u16::try_from(net.random.below(5)).unwrap();
        let unordered = net.random.chance(200);
        let length = usize::try_from(length).unwrap();
        if net.random.chance(500) {
            to_server.send(&mut net, CLIENT, client, stream, length, unordered);
        } else {
            to_client.send(&mut net, SERVER, server, stream, length, unordered);
        }
        if plan.cuts {
            match cut_until {
                Some(end) if net.now > end => {
                    net.mend();
                    cut_until = None;
                }
                Some(_) => {}
                None if net.random.chance(60) => {
                    let which = usize::try_from(net.random.below(2)).unwrap();
                    let (a, b) = (family.client()[which], family.server()[which]);
                    match net.random.below(3) {
                        0 => net.cut(a, b),
                        1 => net.cut_one_way(a, b),
                        _ => net.cut_one_way(b, a),
                    }
                    let span = Duration::from_millis(200 + net.random.below(4_000));
                    cut_until = Some(net.now + span);
                }
                None => {}
            }
        }
        let pause = Duration::from_millis(net.random.below(40));
        net.run(pause);
    }
    net.mend();
    let (there, back) = (to_server.count, to_client.count);
    let done = net.run_until(Duration::from_secs(300), |net| {
        net.count(SERVER, server) >= there && net.count(CLIENT, client) >= back
    });
    assert!(
        done,
        "seed {seed}: {} of {there}, {} of {back}; {:?}",
        net.count(SERVER, server),
        net.count(CLIENT, client),
        net.hosts[CLIENT].events.last(),
    );
    net.run(Duration::from_secs(2));
    to_server.check(&net, SERVER, server, &format!("seed {seed}, to the server"));
    to_client.check(&net, CLIENT, client, &format!("seed {seed}, to the client"));
    net
}

fn variants(seed: u64) -> Config {
    Config {
        interleaving: seed.is_multiple_of(2),
        scheduler: [
            Scheduler::FirstCome,
            Scheduler::RoundRobin,
            Scheduler::Priority,
            Scheduler::WeightedFair,
        ][usize::try_from(seed / 2 % 4).unwrap()],
        ..Config::fast()
    }
}

#[test]
fn a_good_network() {
    for seed in seeds(0, 8) {
        let net = exchange(
            seed,
            &Plan {
                loss: 0,
                duplicate: 0,
                jitter_ms: 0,
                cuts: false,
                config: variants(seed),
            },
        );
        let id = net.hosts[CLIENT].events[0].1;
        let counters = net.hosts[CLIENT].endpoint.status(id).unwrap().counters;
        assert_eq!(
            counters.chunks_retransmitted, 0,
            "seed {seed}: {counters:?}"
        );
        assert_eq!(counters.timeouts, 0);
    }
}

#[test]
fn loss() {
    for seed in seeds(10_000, 16) {
        exchange(
            seed,
            &Plan {
                loss: 10 + seed % 7 * 30,
                duplicate: 0,
                jitter_ms: 0,
                cuts: false,
                config: variants(seed),
            },
        );
    }
}

#[test]
fn loss_reordering_and_duplication() {
    for seed in seeds(20_000, 16) {
        exchange(
            seed,
            &Plan {
                loss: 50,
                duplicate: 100,
                jitter_ms: 30,
                cuts: false,
                config: variants(seed),
            },
        );
    }
}

#[test]
fn cuts_in_one_direction_and_both() {
    for seed in seeds(30_000, 30) {
        exchange(
            seed,
            &Plan {
                loss: 20,
                duplicate: 20,
                jitter_ms: 5,
                cuts: true,
                config: variants(seed),
            },
        );
    }
}

#[test]
fn the_same_seed_sends_the_same_packets_at_the_same_times() {
    let run = |seed| {
        let plan = Plan {
            loss: 50,
            duplicate: 100,
            jitter_ms: 30,
            cuts: true,
            config: variants(7),
        };
        exchange(seed, &plan).sent
    };
    let first = run(7);
    assert!(first.len() > 300, "{}", first.len());
    assert!(first == run(7), "the runs differ");
    assert!(first != run(10), "another seed made no difference");
}

#[test]
fn the_primary_path_is_used_again_once_it_is_back() {
    let config = Config::fast();
    let mut net = Net::pair(40, &config);
    let (client, server) = net.establish(&config);
    net.cut(client_addresses()[0], server_addresses()[0]);
    net.send(CLIENT, client, 0, b"one".to_vec());
    net.run(Duration::from_secs(2));
    assert_eq!(net.count(SERVER, server), 1);
    let failover = |to| move |event: &Event| matches!(event, Event::Failover { to: other, .. } if *other == to);
    assert!(net.has_event(CLIENT, failover(server_addresses()[1])));
    net.mend();
    net.run(Duration::from_secs(5));
    assert!(net.has_event(CLIENT, failover(server_addresses()[0])));
}

/// A reader that takes what waits in its socket at once acknowledges it at
/// once. If that set free a burst and no more, 250 packets would take 63 round
/// trips of 20 ms.
#[test]
fn what_is_acknowledged_together_is_replaced_together() {
    let config = Config::default();
    let mut net = Net::pair(7, &config);
    let (client, server) = net.establish(&config);
    net.default.delay = Duration::from_millis(10);
    net.together = true;
    for number in 0..250 {
        let options = SendOptions::default();
        let octets = message(1, number, 1_000);
        let endpoint = &mut net.hosts[CLIENT].endpoint;
        endpoint
            .send(client, 1, octets.into(), &options, net.now)
            .unwrap();
    }
    net.drain(CLIENT);
    let all = |net: &Net| net.count(SERVER, server) == 250;
    assert!(
        net.run_until(Duration::from_millis(700), all),
        "{} arrived",
        net.count(SERVER, server)
    );
    let status = net.hosts[CLIENT].endpoint.status(client).unwrap();
    assert_eq!(status.counters.chunks_retransmitted, 0);
}
