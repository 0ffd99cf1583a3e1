//! Packets. Evidence: the reference implementation's golden packets, read and
//! written; robustness for everything else.

use proptest::prelude::*;
use scion::address::InterfaceId;
use scion::packet::{
    Carried, Packet, PacketError, Place, PlaceError, Report, crossed, datagram, interface_down,
};
use scion::session::peer_of;
use serde_json::Value;

use crate::hex;

fn golden(name: &str) -> Vec<u8> {
    let all: Value = serde_json::from_str(include_str!("../data/packets.json")).unwrap();
    hex(all["packets"][name].as_str().unwrap())
}

fn place(text: &str) -> Place {
    text.parse().unwrap()
}

#[test]
fn datagrams_are_those_of_the_reference() {
    let (from, to) = (
        "[2-ff00:0:222,10.0.0.100]:1280",
        "[1-ff00:0:111,2001:db8::68]:80",
    );
    for (name, from) in [
        ("scion-udp", from),
        // Within an AS: no path.
        ("empty-udp", "[1-ff00:0:111,10.0.0.100]:1280"),
    ] {
        let octets = golden(name);
        let packet = Packet::decode(&octets).unwrap();
        let (from, to) = (place(from), place(to));
        assert_eq!(packet.source, (from.isd_as, from.host));
        assert_eq!(packet.destination, (to.isd_as, to.host));
        assert_eq!((packet.traffic_class, packet.flow), (0xb8, 0xdead));
        let Carried::Udp {
            source_port,
            destination_port,
            payload,
        } = packet.carried().unwrap()
        else {
            panic!("{name} is a datagram");
        };
        assert_eq!((source_port, destination_port), (1280, 80));
        let expected: Vec<u8> = (0..=255).cycle().take(1024).collect();
        assert_eq!(payload, expected);
        let label = (0xb8, 0xdead);
        assert_eq!(
            datagram(from, to, packet.path, label, payload).unwrap(),
            octets,
            "{name}"
        );
        assert_eq!(peer_of(&octets), Some(from));
    }
}

#[test]
fn a_path_names_the_interfaces_that_it_crosses() {
    let octets = golden("scion-udp");
    let path = Packet::decode(&octets).unwrap().path;
    // Against the order in which it was made, then with it: 222#1, then 2
    // into the core AS, 2 out of it, 1 into 111.
    assert_eq!(crossed(path).unwrap(), [1, 2, 2, 1].map(InterfaceId));
    // Over a peering link both hop fields at the turn are crossed.
    let mut peering = path.to_vec();
    peering[4] |= 0b10;
    peering[12] |= 0b10;
    assert_eq!(
        crossed(&peering).unwrap(),
        [1, 2, 3, 0, 2, 1].map(InterfaceId)
    );
    assert!(crossed(&[]).unwrap().is_empty());
    // Counts that no path has: a gap, none, more than there is.
    for word in [0x0000_2002_u32, 0, 0x0000_3080, 0x0003_f000] {
        let mut wrong = path.to_vec();
        wrong[..4].copy_from_slice(&word.to_be_bytes());
        assert!(matches!(crossed(&wrong), Err(PacketError::Segments(_))));
    }
}

#[test]
fn reports_of_the_reference_are_read() {
    let down = ["scion-scmp-ext-int-down", "scion-scmp-int-conn-down"];
    for name in down.into_iter().chain(["scion-scmp-dest-unreachable"]) {
        let octets = golden(name);
        let packet = Packet::decode(&octets).unwrap();
        // These were made without a checksum.
        assert_eq!(packet.carried(), Err(PacketError::Checksum), "{name}");
        let with_sum = checked(&octets);
        let packet = Packet::decode(&with_sum).unwrap();
        let Carried::Report(report, quote) = packet.carried().unwrap() else {
            panic!("{name} is a report");
        };
        let reporter = "1-ff00:0:111".parse().unwrap();
        match report {
            Report::ExternalInterfaceDown { isd_as, interface } => {
                assert_eq!((name, isd_as), (down[0], reporter));
                assert_eq!(interface, InterfaceId(5));
            }
            Report::InternalConnectivityDown {
                isd_as,
                ingress,
                egress,
            } => {
                assert_eq!((name, isd_as), (down[1], reporter));
                assert_eq!((ingress, egress), (InterfaceId(5), InterfaceId(15)));
            }
            Report::Other { kind, .. } => assert_eq!((name, kind), (name, 1)),
        }
        assert_eq!(quote, [0xff; 18], "{name}");
        assert!(Packet::decode_quote(quote).is_err());
    }
}

#[test]
fn a_report_of_ours_is_the_references() {
    let golden = golden("scion-scmp-ext-int-down");
    let theirs = Packet::decode(&golden).unwrap();
    // Theirs names another reporter than who it is from.
    let reporter = theirs.destination.0;
    let from = (reporter, theirs.source.1);
    let to = (theirs.source.0, theirs.destination.1);
    let down = |quote: &[u8]| interface_down(from, to, theirs.path, InterfaceId(5), quote).unwrap();
    let ours = down(&[0xff; 18]);
    let header = 4 * usize::from(golden[5]);
    assert_eq!(ours[4..12], golden[4..12]);
    assert_eq!(ours[header..header + 2], golden[header..header + 2]);
    assert_eq!(ours[header + 4..], golden[header + 4..]);
    let mut without_sum = ours.clone();
    without_sum[header + 2..header + 4].fill(0);
    assert_eq!(checked(&without_sum), ours);
    assert_eq!(Packet::decode(&ours).unwrap().path, theirs.path);
    // Of a long packet as much is quoted as routers do.
    let long = down(&[7; 1_400]);
    assert!((1_100..=1_232).contains(&long.len()), "{}", long.len());
    let packet = Packet::decode(&long).unwrap();
    let Ok(Carried::Report(report, quote)) = packet.carried() else {
        panic!("no report");
    };
    assert!(matches!(
        report,
        Report::ExternalInterfaceDown { isd_as, interface: InterfaceId(5) } if isd_as == reporter
    ));
    assert!(quote.len() > 1_000 && quote.iter().all(|octet| *octet == 7));
}

/// Puts the checksum in, computed in another way than the crate does it: bit
/// by bit over all words, the carry at once.
pub(crate) fn checked(octets: &[u8]) -> Vec<u8> {
    let header = 4 * usize::from(octets[5]);
    let mut words = octets[12..12 + 16 + 20].to_vec();
    let body = &octets[header..];
    words.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
    words.extend_from_slice(&[0, 0, 0, octets[4]]);
    words.extend_from_slice(body);
    if words.len() % 2 == 1 {
        words.push(0);
    }
    let mut sum = 0_u16;
    for pair in words.chunks(2) {
        let (next, carry) = sum.overflowing_add(u16::from_be_bytes([pair[0], pair[1]]));
        sum = next + u16::from(carry);
    }
    let mut out = octets.to_vec();
    out[header + 2..header + 4].copy_from_slice(&(!sum).to_be_bytes());
    out
}

#[test]
fn extensions_are_passed_over_and_what_is_no_datagram_is_refused() {
    let octets = golden("scion-udp-extn");
    let packet = Packet::decode(&octets).unwrap();
    assert!(matches!(
        packet.carried(),
        Ok(Carried::Udp { source_port: 1280, destination_port: 80, payload }) if payload.len() == 1024
    ));
    let octets = golden("scion-bfd");
    // Routers among themselves.
    let packet = Packet::decode(&octets).unwrap();
    assert_eq!(packet.carried(), Err(PacketError::Protocol(203)));
    let mut one_hop = golden("scion-udp");
    one_hop[8] = 2;
    assert_eq!(Packet::decode(&one_hop), Err(PacketError::PathType(2)));
}

#[test]
fn every_cut_is_refused() {
    let octets = golden("scion-udp");
    for length in 0..octets.len() {
        assert!(Packet::decode(&octets[..length]).is_err(), "{length}");
        assert_eq!(peer_of(&octets[..length]), None);
    }
    let mut longer = octets.clone();
    longer.push(0);
    assert!(Packet::decode(&longer).is_err());
    let mut damaged = octets;
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let packet = Packet::decode(&damaged).unwrap();
    assert_eq!(packet.carried(), Err(PacketError::Checksum));
}

#[test]
fn places_are_written_as_they_are_read() {
    for text in [
        "[1-ff00:0:111,10.0.0.1]:4059",
        "[2-64512,2001:db8::1]:65535",
    ] {
        assert_eq!(place(text).to_string(), text);
    }
    for (text, error) in [
        ("1-ff00:0:111,10.0.0.1:4059", PlaceError::Form),
        ("[1-ff00:0:111,10.0.0.1]", PlaceError::Form),
        ("[1-ff00:0:111 10.0.0.1]:1", PlaceError::Form),
        ("[1-ff00:0:111,host]:1", PlaceError::Host),
        ("[1-ff00:0:111,10.0.0.1]:+1", PlaceError::Port),
        ("[1-ff00:0:111,10.0.0.1]:65536", PlaceError::Port),
    ] {
        assert_eq!(text.parse::<Place>(), Err(error), "{text}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(
        octets in proptest::collection::vec(any::<u8>(), 0..300),
        changes in proptest::collection::vec((0..1208_usize, any::<u8>()), 0..8),
        name in prop_oneof![Just("scion-udp-extn"), Just("scion-scmp-ext-int-down"), Just("scion-udp")],
    ) {
        let mut changed = golden(name);
        for (at, value) in changes {
            let at = at % changed.len();
            changed[at] = value;
        }
        for octets in [octets, changed] {
            if let Ok(packet) = Packet::decode_quote(&octets) {
                packet.carried().ok();
                packet.quoted_ports().ok();
                crossed(packet.path).ok();
            }
            crossed(&octets).ok();
            if let Some(peer) = peer_of(&octets) {
                prop_assert_eq!(place(&peer.to_string()), peer);
            }
        }
    }
}
