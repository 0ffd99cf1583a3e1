//! What the streams of a meter ask for: what is urgent comes first, whatever
//! else is under way, and by the other path when one is gone.
//!
//! Evidence: self-agreement in virtual time, without noise; the same is
//! measured on real links by the experiments.

use std::collections::BTreeMap;

use sctp::chunk::kind;
use sctp::packet::Packet;
use sctp::{
    AssociationId, Config, Duration, Event, Instant, PathState, PathStatus, RtoConfig, Scheduler,
    SendOptions, StreamOptions,
};

use crate::net::{CLIENT, Family, Link, Net, SERVER, client_addresses, server_addresses};

const CONTROL: u16 = 0;
const USAGE: u16 = 4;

fn options(priority: u16, dscp: u8, urgent: bool) -> StreamOptions {
    StreamOptions {
        priority,
        dscp,
        urgent,
        ..StreamOptions::default()
    }
}

fn prioritised() -> Config {
    Config {
        scheduler: Scheduler::Priority,
        stream_buffer_max: 2_000_000,
        ..Config::fast()
    }
}

fn set(net: &mut Net, id: AssociationId, stream: u16, options: StreamOptions) {
    let endpoint = &mut net.hosts[CLIENT].endpoint;
    endpoint.set_stream(id, stream, options).unwrap();
}

/// How long after it was sent each message of a stream arrived.
fn latencies(net: &Net, server: AssociationId, stream: u16, sent: &[Instant]) -> Vec<Duration> {
    let arrived: Vec<Instant> = net.hosts[SERVER].delivered[&server]
        .iter()
        .filter(|one| one.message.stream == stream)
        .map(|one| one.at)
        .collect();
    assert_eq!(arrived.len(), sent.len());
    arrived
        .iter()
        .zip(sent)
        .map(|(arrived, sent)| *arrived - *sent)
        .collect()
}

#[test]
fn control_passes_a_megabyte_of_usage_data() {
    for (length, count) in [(32_768, 32), (1_024, 1_024)] {
        let config = prioritised();
        let mut net = Net::pair(1, &config);
        let slow = Link {
            rate: 64_000,
            queue: 12_000,
            ..Link::default()
        };
        net.set_link(client_addresses()[0], server_addresses()[0], slow);
        let (client, server) = net.establish(&config);
        set(&mut net, client, CONTROL, options(0, 46, false));
        set(&mut net, client, USAGE, options(4, 0, false));
        for _ in 0..count {
            net.send(CLIENT, client, USAGE, vec![1; length]);
        }
        let mut sent = Vec::new();
        for _ in 0..60 {
            sent.push(net.now);
            net.send(CLIENT, client, CONTROL, vec![2; 100]);
            net.run(Duration::from_millis(200));
        }
        net.run(Duration::from_secs(20));
        let mut late = latencies(&net, server, CONTROL, &sent);
        late.sort();
        assert!(late[57] < Duration::from_millis(300), "{length}: {late:?}");
        assert_eq!(net.count(SERVER, server), 60 + count);
    }
}

#[test]
fn each_scheduler_gives_what_it_says() {
    let order = |scheduler, interleaving, weights: [u16; 2]| {
        let config = Config {
            scheduler,
            interleaving,
            stream_buffer_max: 1_000_000,
            ..Config::fast()
        };
        let mut net = Net::pair(2, &config);
        let (client, server) = net.establish(&config);
        for stream in [0, 1] {
            let treated = StreamOptions {
                priority: stream,
                weight: weights[usize::from(stream)],
                ..StreamOptions::default()
            };
            set(&mut net, client, stream, treated);
        }
        // Nothing leaves before all is handed in.
        let now = net.now;
        for stream in [1, 0] {
            for _ in 0..40 {
                let endpoint = &mut net.hosts[CLIENT].endpoint;
                endpoint
                    .send(
                        client,
                        stream,
                        vec![0; 1_000].into(),
                        &SendOptions::default(),
                        now,
                    )
                    .unwrap();
            }
        }
        net.drain(CLIENT);
        net.run(Duration::from_secs(5));
        net.hosts[SERVER].delivered[&server]
            .iter()
            .map(|one| one.message.stream)
            .collect::<Vec<u16>>()
    };
    for interleaving in [false, true] {
        let first_come = order(Scheduler::FirstCome, interleaving, [1, 1]);
        assert_eq!(first_come[..40], [1; 40]);
        let priority = order(Scheduler::Priority, interleaving, [1, 1]);
        assert_eq!(priority[..40], [0; 40]);
        let robin = order(Scheduler::RoundRobin, interleaving, [1, 1]);
        let zeros = robin[..40].iter().filter(|stream| **stream == 0).count();
        assert!((18..=22).contains(&zeros), "{robin:?}");
        let fair = order(Scheduler::WeightedFair, interleaving, [3, 1]);
        let zeros = fair[..40].iter().filter(|stream| **stream == 0).count();
        assert!((28..=32).contains(&zeros), "{fair:?}");
    }
}

#[test]
fn two_code_points_are_never_in_one_packet() {
    let config = prioritised();
    let mut net = Net::pair(3, &config);
    let (client, server) = net.establish(&config);
    let codes: BTreeMap<u16, u8> = (0..5_u8).map(|at| (u16::from(at), at * 8)).collect();
    for (stream, code) in &codes {
        set(&mut net, client, *stream, options(*stream, *code, false));
    }
    net.keep_sent = true;
    net.default.loss = 100;
    for number in 0..200_u16 {
        net.send(
            CLIENT,
            client,
            number % 5,
            vec![0; 30 + usize::from(number)],
        );
        if number % 9 == 0 {
            net.run(Duration::from_millis(5));
        }
    }
    net.run(Duration::from_secs(20));
    assert_eq!(net.count(SERVER, server), 200);
    let mut seen = 0;
    for (_, packet) in &net.sent {
        if packet.local != client_addresses()[0] && packet.local != client_addresses()[1] {
            continue;
        }
        for raw in Packet::decode(&packet.octets).unwrap().chunks() {
            let raw = raw.unwrap();
            if raw.kind == kind::I_DATA {
                let stream = u16::from_be_bytes([raw.value[4], raw.value[5]]);
                assert_eq!(packet.dscp, codes[&stream]);
                seen += 1;
            }
        }
    }
    assert!(seen >= 200);
}

/// Bulk in one class and control in another, one of them faster: what the
/// network reorders is not lost.
fn reordered(dscp: [u8; 2]) -> sctp::Counters {
    let config = prioritised();
    let mut net = Net::pair(4, &config);
    let (client, server) = net.establish(&config);
    net.class_delay.insert(0, Duration::from_millis(30));
    set(&mut net, client, CONTROL, options(0, dscp[0], false));
    set(&mut net, client, USAGE, options(4, dscp[1], false));
    for _ in 0..200 {
        net.send(CLIENT, client, USAGE, vec![0; 1_000]);
        for _ in 0..2 {
            net.send(CLIENT, client, CONTROL, vec![0; 100]);
            net.run(Duration::from_millis(1));
        }
    }
    net.run(Duration::from_secs(20));
    assert_eq!(net.count(SERVER, server), 600);
    net.hosts[CLIENT].endpoint.status(client).unwrap().counters
}

#[test]
fn what_overtakes_in_another_class_is_no_sign_of_loss() {
    let counters = reordered([46, 0]);
    assert_eq!(counters.chunks_retransmitted, 0, "{counters:?}");
    assert_eq!(counters.tail_loss_probes, 0, "{counters:?}");
}

#[test]
fn in_one_class_losses_are_found_by_reports() {
    let config = Config {
        tail_loss_probe: None,
        ..prioritised()
    };
    let mut net = Net::pair(5, &config);
    let (client, server) = net.establish(&config);
    net.default.loss = 30;
    for _ in 0..500 {
        net.send(CLIENT, client, USAGE, vec![0; 1_000]);
        net.run(Duration::from_millis(1));
    }
    net.default.loss = 0;
    net.run(Duration::from_secs(5));
    assert_eq!(net.count(SERVER, server), 500);
    let counters = net.hosts[CLIENT].endpoint.status(client).unwrap().counters;
    assert!(counters.fast_retransmits >= 8, "{counters:?}");
    assert!(counters.timeouts <= 3, "{counters:?}");
}

/// The longest but one in a hundred of the latencies of five thin classes, of
/// whose packets every 33rd is lost.
fn thin_classes(config: &Config) -> (Duration, sctp::Counters) {
    let mut net = Net::pair(8, config);
    let (client, server) = net.establish(config);
    for stream in 0..5_u16 {
        let code = 8 * (u8::try_from(stream).unwrap() + 1);
        set(&mut net, client, stream, options(stream, code, false));
    }
    net.default.loss = 30;
    let mut sent = vec![Vec::new(); 5];
    for number in 0..4_000_usize {
        sent[number % 5].push(net.now);
        let stream = u16::try_from(number % 5).unwrap();
        net.send(CLIENT, client, stream, vec![0; 150]);
        net.run(Duration::from_millis(5));
    }
    net.default.loss = 0;
    net.run(Duration::from_secs(5));
    let mut late: Vec<Duration> = (0..5_u16)
        .flat_map(|stream| latencies(&net, server, stream, &sent[usize::from(stream)]))
        .collect();
    late.sort();
    let counters = net.hosts[CLIENT].endpoint.status(client).unwrap().counters;
    (late[late.len() * 99 / 100], counters)
}

#[test]
fn what_is_lost_in_a_thin_class_does_not_wait_for_reports_of_its_own_class() {
    let (with, counters) = thin_classes(&prioritised());
    assert!(with < Duration::from_millis(30), "{with:?} {counters:?}");
    // The control: reports within the class come too late.
    let without = Config {
        tail_loss_probe: None,
        ..prioritised()
    };
    let (without, counters) = thin_classes(&without);
    assert!(
        without > Duration::from_millis(60),
        "{without:?} {counters:?}"
    );
}

/// What became of control messages when something was cut.
struct Cut {
    /// Of all messages.
    longest: Duration,
    counters: sctp::Counters,
    at: Instant,
    net: Net,
}

/// Cuts something while control messages are sent every 20 ms.
fn control_over_a_cut(family: Family, urgent: bool, cut: impl Fn(&mut Net)) -> Cut {
    let config = prioritised();
    let mut net = Net::pair_of(6, &config, family);
    net.keep_sent = true;
    let (client, server) = net.establish(&config);
    let mut at = net.now;
    set(&mut net, client, CONTROL, options(0, 46, urgent));
    set(&mut net, client, USAGE, options(4, 0, false));
    let mut sent = Vec::new();
    for number in 0..250 {
        if number == 100 {
            cut(&mut net);
            at = net.now;
        }
        if number % 5 == 0 {
            net.send(CLIENT, client, USAGE, vec![0; 2_000]);
        }
        sent.push(net.now);
        net.send(CLIENT, client, CONTROL, vec![0; 100]);
        net.run(Duration::from_millis(20));
    }
    net.run(Duration::from_secs(5));
    let late = latencies(&net, server, CONTROL, &sent);
    assert_eq!(net.count(SERVER, server), 300);
    Cut {
        longest: late.into_iter().max().unwrap(),
        counters: net.hosts[CLIENT].endpoint.status(client).unwrap().counters,
        at,
        net,
    }
}

impl Cut {
    /// What the client's first path was and became since the cut.
    fn first_path(&self, remote: std::net::IpAddr) -> Vec<(PathState, PathState)> {
        self.net.hosts[CLIENT]
            .events
            .iter()
            .filter(|(when, ..)| *when >= self.at)
            .filter_map(|(_, _, event)| match event {
                Event::Path {
                    remote: of,
                    was,
                    state,
                } if *of == remote => Some((*was, *state)),
                _ => None,
            })
            .collect()
    }

    /// The client's packets with data to an address within 40 ms of the cut:
    /// whether each asks to be acknowledged at once.
    fn asked(&self, remote: std::net::IpAddr) -> Vec<bool> {
        let end = self.at + Duration::from_millis(40);
        let sent = self.net.sent.iter();
        sent.filter(|(when, packet)| (self.at..end).contains(when) && packet.remote == remote)
            .flat_map(|(_, packet)| {
                let packet = Packet::decode(&packet.octets).unwrap();
                let data = packet.chunks().map(Result::unwrap);
                data.filter(|raw| raw.kind == kind::I_DATA)
                    .map(|raw| raw.flags & 0x08 != 0)
                    .collect::<Vec<bool>>()
            })
            .collect()
    }
}

fn ends(family: Family, which: usize) -> (std::net::IpAddr, std::net::IpAddr) {
    (family.client()[which], family.server()[which])
}

#[test]
fn a_cut_of_the_primary_path_delays_urgent_messages_by_tens_of_milliseconds() {
    for family in Family::ALL {
        let (client, server) = ends(family, 0);
        let both = |net: &mut Net| net.cut(client, server);
        let there = |net: &mut Net| net.cut_one_way(client, server);
        let back = |net: &mut Net| net.cut_one_way(server, client);
        for cut in [&both as &dyn Fn(&mut Net), &there, &back] {
            let urgent = control_over_a_cut(family, true, cut);
            let (longest, counters) = (urgent.longest, urgent.counters);
            assert!(
                longest < Duration::from_millis(40),
                "{family:?}: {longest:?} {counters:?}"
            );
            assert!(
                counters.failovers >= 1 && counters.tail_loss_probes >= 1,
                "{counters:?}"
            );
            // The probe goes by the other path, to be acknowledged at once.
            let asked = urgent.asked(ends(family, 1).1);
            assert!(!asked.is_empty() && asked.iter().all(|at_once| *at_once));
            // First the path may have failed, then it has. Where only the way back
            // is cut, data that arrives shows in between that it is there.
            let states = urgent.first_path(server);
            let may_have = (PathState::Active, PathState::PotentiallyFailed);
            let has = (PathState::PotentiallyFailed, PathState::Inactive);
            assert_eq!(states.first(), Some(&may_have), "{family:?}: {states:?}");
            assert_eq!(states.last(), Some(&has), "{family:?}: {states:?}");
            let after_active = states.iter().filter(|(was, _)| *was == may_have.0);
            assert!(
                after_active.clone().all(|change| *change == may_have),
                "{family:?}: {states:?}"
            );
            let longest = control_over_a_cut(family, false, cut).longest;
            assert!(
                longest < Duration::from_millis(150),
                "{family:?}: {longest:?}"
            );
        }
    }
}

#[test]
fn a_cut_of_the_backup_path_has_no_effect() {
    for family in Family::ALL {
        let (client, server) = ends(family, 1);
        let cut = control_over_a_cut(family, true, |net| net.cut(client, server));
        let (longest, counters) = (cut.longest, cut.counters);
        assert!(
            longest < Duration::from_millis(2),
            "{family:?}: {longest:?}"
        );
        assert_eq!(counters.failovers, 0);
        assert_eq!(counters.chunks_retransmitted, 0);
    }
}

/// What both paths are like, of 2 and of 40 ms each way: idle, and 40 ms after
/// much was sent by the near one, of which so many in a thousand packets are
/// lost.
fn near_and_far(loss: u64) -> ([PathStatus; 2], [PathStatus; 2], sctp::Counters) {
    let config = Config {
        rto: RtoConfig {
            min: Duration::from_millis(10),
            ..Config::fast().rto
        },
        tail_loss_probe: None,
        stream_buffer_max: 4_000_000,
        ..Config::fast()
    };
    let mut net = Net::pair(11, &config);
    let shape = |net: &mut Net, which, delay, loss| {
        let (client, server) = ends(Family::V4, which);
        let link = Link {
            delay: Duration::from_millis(delay),
            loss,
            ..Link::default()
        };
        net.set_link(client, server, link);
    };
    shape(&mut net, 0, 2, 0);
    shape(&mut net, 1, 40, 0);
    let (client, server) = net.establish(&config);
    net.run(Duration::from_secs(20));
    let paths = |net: &Net| -> [PathStatus; 2] {
        let paths = net.hosts[CLIENT].endpoint.paths(client);
        paths.try_into().unwrap()
    };
    let idle = paths(&net);
    shape(&mut net, 0, 2, loss);
    for _ in 0..130 {
        net.send(CLIENT, client, USAGE, vec![0; 30_000]);
    }
    net.run(Duration::from_millis(40));
    let busy = paths(&net);
    let counters = net.hosts[CLIENT].endpoint.status(client).unwrap().counters;
    shape(&mut net, 0, 2, 0);
    net.run(Duration::from_secs(20));
    assert_eq!(net.count(SERVER, server), 130);
    (idle, busy, counters)
}

/// RFC 9260, sections 6.3 and 7.2.
#[test]
fn each_path_has_a_timeout_and_a_window_of_its_own() {
    let (idle, busy, _) = near_and_far(0);
    let round_trip = |path: &PathStatus| path.round_trip.unwrap();
    assert!(round_trip(&idle[0]) < Duration::from_millis(10), "{idle:?}");
    assert!(round_trip(&idle[1]) > Duration::from_millis(70), "{idle:?}");
    assert!(idle[0].rto < Duration::from_millis(20), "{idle:?}");
    assert!(idle[1].rto > Duration::from_millis(80), "{idle:?}");
    // What goes by one opens its window alone.
    let windows = |paths: &[PathStatus; 2]| paths.each_ref().map(|path| path.congestion_window);
    let (idle, busy) = (windows(&idle), windows(&busy));
    assert!(busy[0] > 2 * idle[0], "{idle:?} {busy:?}");
    assert_eq!(busy[1], idle[1]);
    // And what is lost there shrinks that one alone.
    let (_, lossy, counters) = near_and_far(20);
    let lossy = windows(&lossy);
    assert!(counters.fast_retransmits > 0, "{counters:?}");
    assert!(lossy[0] < busy[0], "{lossy:?} {busy:?}");
    assert_eq!(lossy[1], idle[1]);
}

#[test]
fn heartbeats_of_idle_paths_are_few() {
    let config = Config::default();
    let mut net = Net::pair(7, &config);
    net.establish(&config);
    net.run(Duration::from_secs(60));
    net.keep_sent = true;
    net.run(Duration::from_secs(600));
    // Two paths, both sides, each with its answer: eight packets in about
    // half a minute.
    let packets = net.sent.len();
    assert!((100..=190).contains(&packets), "{packets}");
}
