//! The router: what goes where, in which order, and what is dropped.
//!
//! Evidence: self-agreement against a small model; the gateway prefix is that
//! of a public vector (Gurux's `E6 00 06 "MTR001"`, notes of its library).

use std::collections::BTreeMap;
use std::time::Duration;

use concentrator::direct::{Connection, Output, Place, Router, RouterLimits, SegmentId};
use dlms::Instant;
use link::{Message, Node, Sap};
use model::MessageClass;

const WAN: Connection = Connection(1);
const SEGMENT: SegmentId = SegmentId(0);
const NOW: Instant = Instant::ORIGIN;

fn place(node: u32) -> Place {
    Place {
        segment: SEGMENT,
        node: Node(node),
    }
}

fn name(node: u32) -> String {
    format!("MTR{node:03}")
}

/// A router with one segment of `meters`, SAP 0x100 and up.
fn router(limits: RouterLimits, window: usize, meters: u32) -> Router {
    let classes = BTreeMap::from([(1, MessageClass::Control), (3, MessageClass::Usage)]);
    let mut router = Router::new(limits, classes);
    router.add_segment(SEGMENT, window, 4_096);
    router.open(WAN);
    for node in 0..meters {
        let sap = 0x100 + Sap::try_from(node).unwrap();
        let title = Some([u8::try_from(node).unwrap(); 8]);
        router.attach(place(node), 1, sap, name(node).parse().unwrap(), title, NOW);
    }
    router
}

fn message(client: Sap, server: Sap, payload: &[u8]) -> Message {
    Message {
        source: client,
        destination: server,
        class: MessageClass::Request,
        payload: payload.to_vec(),
    }
}

fn all(router: &mut Router, now: Instant) -> Vec<Output> {
    std::iter::from_fn(|| router.poll(now)).collect()
}

/// Nodes and payloads of what went to the segment.
fn down(outputs: &[Output]) -> Vec<(Option<u32>, Vec<u8>)> {
    let down = outputs.iter().filter_map(|output| match output {
        Output::ToSegment { node, message, .. } => {
            Some((node.map(|node| node.0), message.payload.clone()))
        }
        _ => None,
    });
    down.collect()
}

fn up(outputs: Vec<Output>) -> Vec<(Connection, Message)> {
    let up = outputs.into_iter().filter_map(|output| match output {
        Output::ToWan {
            connection,
            message,
        } => Some((connection, message)),
        _ => None,
    });
    up.collect()
}

#[test]
fn a_request_goes_by_sap_and_its_answer_comes_back_as_from_there() {
    let mut router = router(RouterLimits::default(), 8, 3);
    // Octets that are no APDU at all: nobody looks.
    let opaque: Vec<u8> = (0..=255)
        .map(|octet: u8| octet.wrapping_add(0x11))
        .collect();
    router.from_wan(WAN, message(2, 0x101, &opaque), NOW);
    let outputs = all(&mut router, NOW);
    let Some(Output::ToSegment {
        node,
        message: sent,
        ..
    }) = outputs
        .iter()
        .find(|output| matches!(output, Output::ToSegment { .. }))
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(*node, Some(Node(1)));
    assert_eq!((sent.source, sent.destination), (2, 1));
    assert_eq!(sent.payload, opaque);
    assert!(outputs.contains(&Output::Credit(WAN)));
    router.done(SEGMENT, Some(Node(1)));
    assert!(
        router
            .from_meter(place(1), message(1, 2, &opaque), NOW)
            .is_none()
    );
    let back = up(all(&mut router, NOW));
    assert_eq!(back.len(), 1);
    assert_eq!(back[0].0, WAN);
    assert_eq!((back[0].1.source, back[0].1.destination), (0x101, 2));
    assert_eq!(back[0].1.payload, opaque);
}

#[test]
fn a_gateway_prefix_names_the_meter_and_comes_back_as_e7() {
    let vector = [
        0xE6, 0x00, 0x06, 0x4D, 0x54, 0x52, 0x30, 0x30, 0x31, 0xC0, 0x01, 0xC1, 0x00, 0x08, 0x00,
        0x00, 0x01, 0x00, 0x00, 0xFF, 0x02, 0x00,
    ];
    let title = [&[0xE6, 5, 8][..], &[1; 8], &[0xC0, 0x01]].concat();
    let sap = [0xE6, 9, 2, 0x01, 0x01, 0xC0, 0x01];
    for (request, prefix) in [(&vector[..], 9), (&title[..], 11), (&sap[..], 5)] {
        let mut router = router(RouterLimits::default(), 8, 3);
        // Behind a gateway the port is the server SAP in the meter.
        router.from_wan(WAN, message(16, 1, request), NOW);
        let sent = down(&all(&mut router, NOW));
        assert_eq!(sent, [(Some(1), request[prefix..].to_vec())]);
        router.from_meter(place(1), message(1, 16, &[0xC4, 0x01]), NOW);
        let back = up(all(&mut router, NOW));
        let mut expect = request[..prefix].to_vec();
        expect[0] = 0xE7;
        expect.extend([0xC4, 0x01]);
        assert_eq!(back[0].1.payload, expect);
        assert_eq!(back[0].1.source, 1);
    }
    let mut router = router(RouterLimits::default(), 8, 3);
    for wrong in [
        &[0xE6][..],
        &[0xE6, 0],
        &[0xE6, 0, 200, 1],
        &[0xE6, 0, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 1],
        b"\xE6\x00\x06MTR999\xC0",
        &[0xE6, 0, 0, 0xC0],
    ] {
        router.from_wan(WAN, message(16, 1, wrong), NOW);
        assert_eq!(all(&mut router, NOW), [Output::Credit(WAN)], "{wrong:02x?}");
    }
    assert_eq!(router.counters().unfit + router.counters().unknown, 6);
}

#[test]
fn the_most_urgent_goes_first_and_meters_take_turns() {
    let mut router = router(RouterLimits::default(), 1, 3);
    // Twice as much for meter 0 as for the others, then something urgent.
    for tag in 0..4 {
        router.from_wan(WAN, message(3, 0x100, &[tag]), NOW);
    }
    for meter in 1..3 {
        for tag in 0..2 {
            router.from_wan(WAN, message(3, 0x100 + meter, &[tag]), NOW);
        }
    }
    router.from_wan(WAN, message(2, 0x102, &[50]), NOW);
    router.from_wan(WAN, message(1, 0x102, &[99]), NOW);
    let mut order = Vec::new();
    loop {
        let sent = down(&all(&mut router, NOW));
        if sent.is_empty() {
            break;
        }
        for (node, payload) in sent {
            order.push((node.unwrap(), payload[0]));
            router.done(SEGMENT, node.map(Node));
        }
    }
    let expect = [
        (2, 99),
        (2, 50),
        (0, 0),
        (1, 0),
        (2, 0),
        (0, 1),
        (1, 1),
        (2, 1),
        (0, 2),
        (0, 3),
    ];
    assert_eq!(order, expect);
}

#[test]
fn an_urgent_message_finds_a_place_in_a_segment_that_is_full() {
    let mut router = router(RouterLimits::default(), 2, 6);
    for meter in 0..6 {
        router.from_wan(WAN, message(3, 0x100 + meter, &[0]), NOW);
    }
    assert_eq!(down(&all(&mut router, NOW)).len(), 2);
    router.from_wan(WAN, message(1, 0x105, &[1]), NOW);
    assert_eq!(down(&all(&mut router, NOW)), [(Some(5), vec![1])]);
}

#[test]
fn one_connection_cannot_fill_what_is_for_others() {
    let limits = RouterLimits {
        per_meter: 4,
        ..RouterLimits::default()
    };
    let mut router = router(limits, 1, 2);
    let other = Connection(2);
    router.open(other);
    for _ in 0..1_000 {
        router.from_wan(WAN, message(3, 0x100, &[0]), NOW);
    }
    router.from_wan(other, message(3, 0x100, &[7]), NOW);
    router.from_wan(other, message(3, 0x101, &[8]), NOW);
    let mut seen = Vec::new();
    let mut credits = BTreeMap::new();
    loop {
        let outputs = all(&mut router, NOW);
        for output in &outputs {
            if let Output::Credit(connection) = output {
                *credits.entry(*connection).or_insert(0) += 1;
            }
        }
        let sent = down(&outputs);
        if sent.is_empty() {
            break;
        }
        for (node, payload) in sent {
            seen.push(payload[0]);
            router.done(SEGMENT, node.map(Node));
        }
    }
    // Four of the flood, then one that waits in line behind it; the other
    // meter's comes second.
    assert_eq!(seen, [0, 8, 0, 0, 0, 7]);
    assert_eq!(credits, BTreeMap::from([(WAN, 1_000), (other, 2)]));
    assert_eq!(router.counters().full, 996);
}

#[test]
fn what_waits_too_long_is_dropped() {
    let limits = RouterLimits {
        patience: Duration::from_secs(10),
        ..RouterLimits::default()
    };
    let mut router = router(limits, 1, 2);
    for tag in 0..3 {
        router.from_wan(WAN, message(3, 0x100, &[tag]), NOW);
    }
    assert_eq!(down(&all(&mut router, NOW)).len(), 1);
    let later = NOW + Duration::from_secs(9);
    router.from_wan(WAN, message(3, 0x101, &[9]), later);
    assert_eq!(router.deadline(), Some(NOW + Duration::from_secs(10)));
    let over = NOW + Duration::from_secs(10);
    assert_eq!(
        all(&mut router, over),
        [Output::Credit(WAN), Output::Credit(WAN)]
    );
    router.done(SEGMENT, Some(Node(0)));
    assert_eq!(down(&all(&mut router, over)), [(Some(1), vec![9])]);
    assert_eq!(router.counters().expired, 2);
    // What the concentrator itself had for a meter it hears of.
    router
        .from_own(place(0), message(16, 1, &[5]), over)
        .unwrap();
    let late = over + Duration::from_secs(10);
    assert_eq!(all(&mut router, late), [Output::Expired(place(0))]);
}

#[test]
fn what_nobody_asked_for_is_bounded_and_goes_to_all() {
    let limits = RouterLimits {
        unasked: 3,
        unasked_every: Duration::from_secs(6),
        ..RouterLimits::default()
    };
    let mut router = router(limits, 8, 2);
    router.open(Connection(2));
    for _ in 0..100 {
        router.from_meter(place(0), message(1, 102, &[0x0F]), NOW);
    }
    let told = up(all(&mut router, NOW));
    assert_eq!(told.len(), 6);
    assert!(
        told.iter()
            .all(|(_, it)| it.source == 0x100 && it.destination == 102)
    );
    assert_eq!(router.counters().unasked, 97);
    // Another meter is not held back, and the first may speak again later.
    router.from_meter(place(1), message(1, 102, &[0x0F]), NOW);
    assert_eq!(up(all(&mut router, NOW)).len(), 2);
    let later = NOW + Duration::from_secs(12);
    for _ in 0..5 {
        router.from_meter(place(0), message(1, 102, &[0x0F]), later);
    }
    assert_eq!(up(all(&mut router, later)).len(), 4);
}

#[test]
fn a_meter_may_not_flood_whoever_asked_it_once() {
    let mut router = router(RouterLimits::default(), 8, 1);
    router.from_wan(WAN, message(2, 0x100, &[1]), NOW);
    all(&mut router, NOW);
    for _ in 0..1_000 {
        router.from_meter(place(0), message(1, 2, &[2]), NOW);
    }
    let answers = usize::from(RouterLimits::default().answers + RouterLimits::default().unasked);
    assert_eq!(up(all(&mut router, NOW)).len(), answers);
}

#[test]
fn a_broadcast_goes_to_every_segment_once() {
    let mut router = router(RouterLimits::default(), 8, 2);
    router.add_segment(SegmentId(1), 8, 4_096);
    router.from_wan(WAN, message(1, link::ALL_STATIONS, &[5]), NOW);
    let outputs = all(&mut router, NOW);
    assert_eq!(down(&outputs), [(None, vec![5]), (None, vec![5])]);
    let credits = outputs.iter().filter(|it| matches!(it, Output::Credit(_)));
    assert_eq!(credits.count(), 1);
}

#[test]
fn a_connection_that_closes_takes_its_messages_with_it() {
    let mut router = router(RouterLimits::default(), 1, 2);
    for meter in 0..2 {
        router.from_wan(WAN, message(3, 0x100 + meter, &[1]), NOW);
    }
    assert_eq!(down(&all(&mut router, NOW)).len(), 1);
    router.close(WAN);
    router.done(SEGMENT, Some(Node(0)));
    assert_eq!(all(&mut router, NOW), []);
    assert_eq!(router.waiting(SEGMENT), 0);
    // The answer to what was under way reaches nobody.
    router.from_meter(place(0), message(1, 3, &[1]), NOW);
    assert_eq!(all(&mut router, NOW), []);
    // Who is not connected is not heard.
    router.from_wan(WAN, message(3, 0x100, &[1]), NOW);
    assert_eq!(all(&mut router, NOW), []);
}

#[test]
fn a_random_life_keeps_all_counts() {
    for seed in 1..200_u64 {
        let limits = RouterLimits {
            per_meter: 3,
            per_segment: 40,
            in_flight: 1,
            patience: Duration::from_secs(20),
            ..RouterLimits::default()
        };
        let mut router = router(limits, 3, 8);
        let mut random = seed;
        let mut draw = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let mut flying: Vec<Option<Node>> = Vec::new();
        let mut given = 0_usize;
        let mut credits = 0_usize;
        let mut now = NOW;
        for _ in 0..600 {
            match draw(6) {
                0..=2 => {
                    let sap = if draw(20) == 0 {
                        link::ALL_STATIONS
                    } else {
                        0x100 + u16::try_from(draw(9)).unwrap()
                    };
                    router.from_wan(
                        WAN,
                        message(1 + u16::try_from(draw(3)).unwrap(), sap, &[1, 2]),
                        now,
                    );
                    given += 1;
                }
                3 if !flying.is_empty() => {
                    let node =
                        flying.swap_remove(usize::try_from(draw(flying.len() as u64)).unwrap());
                    router.done(SEGMENT, node);
                }
                4 => now = now + Duration::from_secs(draw(4)),
                _ => {}
            }
            for output in all(&mut router, now) {
                match output {
                    Output::ToSegment { node, .. } => flying.push(node),
                    Output::Credit(_) => credits += 1,
                    Output::ToWan { .. } | Output::Expired(_) => {}
                }
            }
            assert!(flying.len() <= 3 + 2, "seed {seed}");
            assert_eq!(given - credits, router.waiting(SEGMENT), "seed {seed}");
        }
        while let Some(node) = flying.pop() {
            router.done(SEGMENT, node);
            for output in all(&mut router, now) {
                match output {
                    Output::ToSegment { node, .. } => flying.push(node),
                    Output::Credit(_) => credits += 1,
                    Output::ToWan { .. } | Output::Expired(_) => {}
                }
            }
        }
        assert_eq!(given, credits, "seed {seed}");
        assert_eq!(router.waiting(SEGMENT), 0, "seed {seed}");
    }
}
