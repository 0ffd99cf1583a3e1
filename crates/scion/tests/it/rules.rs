//! What passes a gateway. Evidence: self-agreement; packets are made by hand
//! after RFC 791, RFC 8200, RFC 793 and RFC 768.

use std::net::IpAddr;

use scion::sig::{Flow, Prefix, Probe, Refused, Rules, Service};

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A packet of this protocol between two places, with what it carries.
fn packet(from: &str, to: &str, protocol: u8, content: &[u8]) -> Vec<u8> {
    match (ip(from), ip(to)) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let length = u16::try_from(20 + content.len()).unwrap().to_be_bytes();
            let mut out = vec![
                0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, protocol, 0, 0,
            ];
            out.extend(from.octets());
            out.extend(to.octets());
            out.extend(content);
            out
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            let mut out = vec![0x60, 0, 0, 0, length[0], length[1], protocol, 64];
            out.extend(from.octets());
            out.extend(to.octets());
            out.extend(content);
            out
        }
        _ => panic!("of one version"),
    }
}

fn tcp(from: u16, to: u16, flags: u8) -> Vec<u8> {
    let mut out = [from.to_be_bytes(), to.to_be_bytes()].concat();
    out.extend([0; 8]);
    out.extend([0x50, flags, 0, 0, 0, 0, 0, 0]);
    out
}

fn udp(from: u16, to: u16) -> Vec<u8> {
    [from.to_be_bytes(), to.to_be_bytes(), [0, 8], [0, 0]].concat()
}

fn rules(offers: &[&str], uses: &[&str]) -> Rules {
    let services =
        |all: &[&str]| -> Vec<Service> { all.iter().map(|text| text.parse().unwrap()).collect() };
    Rules {
        own: vec![
            "172.31.11.0/24".parse().unwrap(),
            "fd00:11::/32".parse().unwrap(),
        ],
        other: vec![
            "172.31.21.0/24".parse().unwrap(),
            "fd00:21::/32".parse().unwrap(),
        ],
        offers: services(offers),
        uses: services(uses),
    }
}

const METER: &str = "172.31.11.7";
const HEAD: &str = "172.31.21.9";

#[test]
fn prefixes_are_read_and_held() {
    for (text, within, without) in [
        ("172.31.11.0/24", "172.31.11.255", "172.31.12.0"),
        ("0.0.0.0/0", "255.255.255.255", "::1"),
        ("10.0.0.1/32", "10.0.0.1", "10.0.0.2"),
        ("172.16.0.0/12", "172.31.255.255", "172.32.0.0"),
        ("fd00:21::/32", "fd00:21:1::1", "fd00:22::1"),
        ("::/0", "ff02::1", "1.2.3.4"),
    ] {
        let prefix: Prefix = text.parse().unwrap();
        assert_eq!(prefix.to_string(), text);
        assert!(prefix.contains(ip(within)), "{text}");
        assert!(!prefix.contains(ip(without)), "{text}");
    }
    for text in [
        "",
        "10.0.0.0",
        "10.0.0.1/24",
        "10.0.0.0/33",
        "::1/64",
        "a/8",
        "10.0.0.0/-1",
    ] {
        assert!(text.parse::<Prefix>().is_err(), "{text}");
    }
}

#[test]
fn services_are_read_and_written() {
    for text in [
        "any",
        "icmp",
        "tcp",
        "udp",
        "tcp:4059",
        "udp:4059-4061",
        "tcp:0-65535",
    ] {
        assert_eq!(text.parse::<Service>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "http",
        "tcp:",
        "tcp:70000",
        "tcp:9-8",
        "icmp:1",
        "any:1",
        "tcp:1-2-3",
    ] {
        assert!(text.parse::<Service>().is_err(), "{text}");
    }
}

#[test]
fn what_is_offered_is_asked_for_and_answered_and_nothing_else() {
    let rules = rules(&["tcp:4059", "icmp"], &["udp:123"]);
    let inwards = |protocol, content: &[u8]| {
        let judged = rules.inwards(&packet(HEAD, METER, protocol, content));
        judged.map(|flow| flow.protocol)
    };
    let outwards = |protocol, content: &[u8]| {
        let judged = rules.outwards(&packet(METER, HEAD, protocol, content));
        judged.map(|flow| flow.protocol)
    };
    // A client of the other site opens a connection, and the meter answers.
    assert_eq!(inwards(6, &tcp(50_000, 4_059, SYN)), Ok(6));
    assert_eq!(outwards(6, &tcp(4_059, 50_000, SYN | ACK)), Ok(6));
    assert_eq!(inwards(6, &tcp(50_000, 4_059, ACK)), Ok(6));
    // From the port of the service nothing is opened the other way.
    assert_eq!(outwards(6, &tcp(4_059, 22, SYN)), Err(Refused::Service));
    assert_eq!(outwards(6, &tcp(50_000, 4_059, SYN)), Err(Refused::Service));
    assert_eq!(inwards(6, &tcp(50_000, 22, SYN)), Err(Refused::Service));
    assert_eq!(inwards(17, &udp(50_000, 4_059)), Err(Refused::Service));
    // What the own site uses.
    assert_eq!(outwards(17, &udp(50_000, 123)), Ok(17));
    assert_eq!(inwards(17, &udp(123, 50_000)), Ok(17));
    assert_eq!(inwards(17, &udp(50_000, 123)), Err(Refused::Service));
    // Echo both ways.
    assert_eq!(inwards(1, &[8, 0, 0, 0]), Ok(1));
    assert_eq!(outwards(1, &[0, 0, 0, 0]), Ok(1));
    assert_eq!(inwards(47, &[]), Err(Refused::Service));
}

#[test]
fn addresses_of_elsewhere_do_not_pass() {
    let rules = rules(&["any"], &["any"]);
    let content = udp(1, 2);
    let inwards = |from, to| rules.inwards(&packet(from, to, 17, &content)).map(drop);
    assert_eq!(inwards(HEAD, METER), Ok(()));
    assert_eq!(inwards("172.31.22.9", METER), Err(Refused::Source));
    // As if it came from the own site.
    assert_eq!(inwards(METER, METER), Err(Refused::Source));
    assert_eq!(inwards(HEAD, "172.31.12.7"), Err(Refused::Destination));
    let outwards = |from, to| rules.outwards(&packet(from, to, 17, &content)).map(drop);
    assert_eq!(outwards("10.0.0.1", HEAD), Err(Refused::Source));
    assert_eq!(outwards(METER, "172.31.22.1"), Err(Refused::Destination));
    let six = packet("fd00:21::9", "fd00:11::7", 17, &content);
    assert_eq!(rules.inwards(&six).map(drop), Ok(()));
    for octets in [&[][..], &[0x45], &six[..47], &[0x20; 40]] {
        assert_eq!(rules.inwards(octets), Err(Refused::NotIp));
    }
}

#[test]
fn fragments_and_extensions_show_no_ports_of_their_own() {
    // A later fragment: its octets are no ports.
    let mut later = packet(HEAD, METER, 6, &tcp(50_000, 4_059, SYN));
    later[7] = 1;
    assert_eq!(Flow::of(&later).unwrap().ports, None);
    let ported = rules(&["tcp:4059"], &[]);
    assert_eq!(ported.inwards(&later), Err(Refused::Service));
    assert!(rules(&["tcp"], &[]).inwards(&later).is_ok());
    // Behind options of IPv6, and behind the head of a first fragment.
    let (from, to) = ("fd00:21::9", "fd00:11::7");
    let behind = |header: &[u8], kind| {
        let content = [header, &tcp(50_000, 4_059, SYN)].concat();
        Flow::of(&packet(from, to, kind, &content)).unwrap()
    };
    let options = behind(&[6, 0, 1, 4, 0, 0, 0, 0], 60);
    assert_eq!(
        (options.protocol, options.ports),
        (6, Some((50_000, 4_059)))
    );
    let first = behind(&[6, 0, 0, 1, 0, 0, 0, 9], 44);
    assert_eq!(
        (first.protocol, first.ports, first.opens),
        (6, Some((50_000, 4_059)), true)
    );
    let later = behind(&[6, 0, 0, 9, 0, 0, 0, 9], 44);
    assert_eq!((later.protocol, later.ports), (6, None));
    // Options that reach behind the end.
    let torn = packet(from, to, 60, &[6, 9, 0, 0, 0, 0, 0, 0]);
    assert!(Flow::of(&torn).is_err());
}

#[test]
fn whatever_comes_is_judged_without_a_panic() {
    let rules = rules(&["any"], &["tcp"]);
    let mut seed = 1_u64;
    for length in 0..200_usize {
        let octets: Vec<u8> = (0..length)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                seed.to_be_bytes()[0]
            })
            .collect();
        for first in [0x45, 0x4f, 0x60] {
            let mut octets = octets.clone();
            if let [head, _, l0, l1, p0, p1, ..] = octets.as_mut_slice() {
                *head = first;
                [*l0, *l1] = u16::try_from(length).unwrap().to_be_bytes();
                [*p0, *p1] = u16::try_from(usize::saturating_sub(length, 40))
                    .unwrap()
                    .to_be_bytes();
            }
            rules.inwards(&octets).ok();
            Probe::decode(&octets).ok();
        }
    }
}

#[test]
fn probes_are_reflected_as_they_are() {
    // ControlRequest { probe { session_id: 7, data: "ab" } }, by the field
    // numbers of proto/gateway/v1/control.proto.
    let octets = [0x0a, 6, 0x08, 7, 0x12, 2, b'a', b'b'];
    let probe = Probe::decode(&octets).unwrap().unwrap();
    assert_eq!((probe.session, probe.data.as_slice()), (7, &b"ab"[..]));
    assert_eq!(probe.encode(), octets);
    assert_eq!(Probe::decode(&[0x12, 0]), Ok(None));
    assert!(Probe::decode(&octets[..5]).is_err());
}
