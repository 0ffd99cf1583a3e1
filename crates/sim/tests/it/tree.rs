//! A power line whose ways are named: what shares a link, what goes with a meter that forwards.
//!
//! Evidence: self-agreement in virtual time, beside arithmetic on the losses that were put in; and
//! each time the same line without a tree as the control.

use std::collections::BTreeSet;
use std::time::Duration;

use link::{Link, LinkExt as _, Node, Segment as _, SegmentEvent};
use model::MessageClass;
use sim::powerline::{
    G3, NodeConfig, PowerLine, PowerLineConfig, PowerLineSegment, Prime, SFsk, Technology,
    TreeError, street,
};

use crate::powerline::{joined, message, next, node, now};

fn technologies() -> [Technology; 2] {
    [
        Technology::Prime(Prime::default()),
        Technology::G3(G3::default()),
    ]
}

fn line(technology: Technology, nodes: Vec<NodeConfig>, pairs: &[(u32, u32)]) -> PowerLineConfig {
    let config = PowerLineConfig::quiet(technology, nodes, 3);
    let pairs = pairs.iter().map(|(node, by)| (Node(*node), Node(*by)));
    config.with_tree(pairs).unwrap()
}

/// Which of the plugs get a broadcast of `octets`.
async fn told(
    segment: &mut PowerLineSegment,
    plugs: &mut [Box<dyn Link>],
    octets: usize,
) -> BTreeSet<usize> {
    segment
        .send(None, message(MessageClass::Usage, octets))
        .unwrap();
    while !matches!(next(segment).await, SegmentEvent::Done { node: None, .. }) {}
    let mut told = BTreeSet::new();
    for (number, plug) in plugs.iter_mut().enumerate() {
        let received = tokio::time::timeout(Duration::from_micros(1), plug.receive()).await;
        if received.is_ok() {
            told.insert(number);
        }
    }
    told
}

#[test]
fn what_is_no_tree_is_refused() {
    let refused = |technology, pairs: &[(u32, u32)]| {
        let config = PowerLineConfig::quiet(technology, vec![node(0, 0); 20], 3);
        let pairs = pairs.iter().map(|(node, by)| (Node(*node), Node(*by)));
        config.with_tree(pairs).map(|_| ()).unwrap_err()
    };
    let [prime, g3] = technologies();
    assert_eq!(refused(prime, &[(1, 1)]), TreeError::Cycle(1));
    let cycle = refused(g3, &[(4, 3), (1, 2), (2, 3), (3, 1)]);
    assert_eq!(cycle, TreeError::Cycle(1));
    assert_eq!(
        cycle.to_string(),
        "node 1 is behind itself: let its way end at the concentrator"
    );
    assert_eq!(refused(prime, &[(1, 0), (1, 2)]), TreeError::Twice(1));
    assert_eq!(refused(prime, &[(1, 20)]), TreeError::Unknown(20));
    assert_eq!(refused(prime, &[(20, 1)]), TreeError::Unknown(20));
    let long: Vec<_> = (1..=16).map(|number| (number, number - 1)).collect();
    assert_eq!(refused(g3, &long), TreeError::TooDeep(16));
    let sfsk = Technology::SFsk(SFsk::default());
    assert_eq!(refused(sfsk, &[(1, 0)]), TreeError::Simulcast);
    // One less is a way, and each hop of it counts.
    let config = line(prime, vec![node(0, 0); 20], &long[..15]);
    let hops = config.nodes.iter().map(|it| it.hops);
    let along: Vec<u8> = (0..16).chain([0; 4]).collect();
    assert_eq!(hops.collect::<Vec<_>>(), along);
}

#[tokio::test(start_paused = true)]
async fn who_is_behind_one_bad_link_misses_the_same_frames() {
    // Two behind one that is heard badly, two behind one that is heard always.
    let pairs = [(1, 0), (2, 0), (4, 3), (5, 3)];
    for technology in technologies() {
        let nodes = [300, 0, 0, 0, 0, 0].map(|loss| node(0, loss)).to_vec();
        let (_, mut segment, mut plugs) = PowerLine::new(line(technology, nodes, &pairs));
        joined(&mut segment, 6).await;
        let mut missed = 0;
        for _ in 0..200 {
            let told = told(&mut segment, &mut plugs, 50).await;
            let of = |number: usize| told.contains(&number);
            assert_eq!([of(1), of(2)], [of(0); 2]);
            assert!(of(3) && of(4) && of(5), "{told:?}");
            missed += usize::from(!of(0));
        }
        assert!((40..=80).contains(&missed), "{missed} of 200");
        // The control: as many losses, each on a way of its own.
        let nodes = [300, 300, 300].map(|loss| node(0, loss)).to_vec();
        let config = PowerLineConfig::quiet(technology, nodes, 3);
        let (_, mut segment, mut plugs) = PowerLine::new(config);
        joined(&mut segment, 3).await;
        let mut apart = 0;
        for _ in 0..200 {
            let told = told(&mut segment, &mut plugs, 50).await;
            apart += usize::from(told.contains(&1) != told.contains(&2));
        }
        assert!(apart > 40, "{apart} of 200");
    }
}

#[tokio::test(start_paused = true)]
async fn a_way_gets_through_as_often_as_all_of_its_links_do() {
    for technology in technologies() {
        let nodes = [100, 200, 300].map(|loss| node(0, loss)).to_vec();
        let mut config = line(technology, nodes, &[(1, 0), (2, 1)]);
        config.retries = u8::MAX;
        let (wire, mut segment, mut plugs) = PowerLine::new(config);
        joined(&mut segment, 3).await;
        let mut got = [0.0_f64; 3];
        for _ in 0..4_000 {
            for number in told(&mut segment, &mut plugs, 50).await {
                got[number] += 1.0 / 4_000.0;
            }
        }
        // Four standard deviations of the widest are 0.032.
        for (got, through) in got.iter().zip([0.9, 0.9 * 0.8, 0.9 * 0.8 * 0.7]) {
            assert!((got - through).abs() < 0.032, "{got} for {through}");
        }
        // Frames for the last one alone are lost as often.
        let lost = wire.statistics().lost;
        for _ in 0..2_000 {
            let one = message(MessageClass::Request, 50);
            segment.send(Some(Node(2)), one).unwrap();
            let arrived = loop {
                if let SegmentEvent::Done { delivered, .. } = next(&mut segment).await {
                    break delivered;
                }
            };
            assert!(arrived);
            // Whoever does not listen keeps 64.
            plugs[2].receive().await.unwrap();
        }
        let lost = (wire.statistics().lost - lost) as f64;
        let through = 2_000.0 / (2_000.0 + lost);
        assert!((through - 0.9 * 0.8 * 0.7).abs() < 0.032, "{through}");
    }
}

#[tokio::test(start_paused = true)]
async fn those_behind_a_meter_that_is_switched_off_go_with_it_and_come_back_behind_it() {
    for technology in technologies() {
        // 0 forwards to 1, that to 2; 3 is heard directly.
        let nodes = vec![node(0, 0); 4];
        let (wire, mut segment, mut plugs) =
            PowerLine::new(line(technology, nodes, &[(2, 1), (1, 0)]));
        joined(&mut segment, 4).await;
        let all = told(&mut segment, &mut plugs, 50).await;
        assert_eq!(all, BTreeSet::from([0, 1, 2, 3]));
        wire.plug(Node(0), false);
        let left = told(&mut segment, &mut plugs, 50).await;
        assert_eq!(left, BTreeSet::from([3]));
        let mut gone = Vec::new();
        for _ in 0..3 {
            let one = message(MessageClass::Request, 50);
            segment.send(Some(Node(0)), one).unwrap();
            loop {
                match next(&mut segment).await {
                    SegmentEvent::Done { delivered, .. } => {
                        assert!(!delivered);
                        break;
                    }
                    SegmentEvent::Left(node) => gone.push(node.0),
                    _ => {}
                }
            }
        }
        // Nobody comes back as long as that one is off.
        let until = now() + Duration::from_secs(3_600);
        while let Ok(event) = tokio::time::timeout_at(until, next(&mut segment)).await {
            match event {
                SegmentEvent::Left(node) => gone.push(node.0),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(gone, [0, 1, 2]);
        let still = told(&mut segment, &mut plugs, 50).await;
        assert_eq!(still, BTreeSet::from([3]));
        wire.plug(Node(0), true);
        let mut back = Vec::new();
        while back.len() < 3 {
            if let SegmentEvent::Joined { node, hops, .. } = next(&mut segment).await {
                back.push((node.0, hops));
            }
        }
        assert_eq!(back, [(0, 0), (1, 1), (2, 2)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_segment_tells_through_whom_a_meter_joined_where_that_is_known() {
    for technology in technologies() {
        // The first is behind the last, which comes late; the third has hops without names.
        let mut nodes = vec![node(0, 10), node(0, 10), node(1, 10), node(0, 10)];
        nodes[3].appears = Duration::from_secs(600);
        let events = |config| async move {
            let began = now();
            let (_, mut segment, _plugs) = PowerLine::new(config);
            let until = began + Duration::from_secs(3_600);
            let (mut order, mut behind) = (Vec::new(), Vec::new());
            while let Ok(event) = tokio::time::timeout_at(until, next(&mut segment)).await {
                match event {
                    SegmentEvent::Joined { node, hops, .. } => {
                        order.push((node.0, hops, began.elapsed().as_secs() >= 600));
                    }
                    SegmentEvent::Behind(node, through) => {
                        assert_eq!(order.last().map(|it| it.0), Some(node.0));
                        behind.push((node.0, through.map(|it| it.0)));
                    }
                    _ => {}
                }
            }
            (order, behind)
        };
        let (order, behind) = events(line(technology, nodes.clone(), &[(0, 3)])).await;
        let joined = [(1, 0, false), (2, 1, false), (3, 0, true), (0, 1, true)];
        assert_eq!(order, joined);
        assert_eq!(behind, [(1, None), (3, None), (0, Some(3))]);
        // Without a tree nobody is known to be behind anybody.
        let (order, behind) = events(PowerLineConfig::quiet(technology, nodes, 3)).await;
        assert_eq!(order.len(), 4);
        assert_eq!(behind, []);
    }
}

/// What was drawn and sent before lines could have trees, as numbers.
#[tokio::test(start_paused = true)]
async fn a_line_without_a_tree_runs_as_it_did_before_there_were_any() {
    let sfsk = Technology::SFsk(SFsk {
        credit: 2,
        ..SFsk::default()
    });
    let [prime, g3] = technologies();
    let mut found = Vec::new();
    for technology in [sfsk, prime, g3] {
        let mut config = PowerLineConfig::quiet(technology, street(60, 2, 70, 5), 9);
        config.noise[0] = 250;
        let (wire, mut segment, _plugs) = PowerLine::new(config);
        let until = now() + Duration::from_secs(3_600);
        for number in 0..12 {
            let all = message(MessageClass::Usage, 300);
            segment.send(None, all).unwrap();
            let one = message(MessageClass::Request, 90);
            segment.send(Some(Node(number)), one).unwrap();
        }
        let mut order = 0_u64;
        while let Ok(event) = tokio::time::timeout_at(until, next(&mut segment)).await {
            if let SegmentEvent::Joined { node, .. } = event {
                order = order.wrapping_mul(61).wrapping_add(u64::from(node.0));
            }
        }
        let it = wire.statistics();
        let micros = u64::try_from(it.airtime.as_micros()).unwrap();
        let counts = [
            it.frames,
            it.lost,
            it.given_up,
            it.registered,
            it.collisions,
        ];
        found.push((micros, counts, order));
    }
    let before = [
        (
            277_650_000,
            [195, 12, 12, 57, 85],
            8_402_718_625_225_864_839,
        ),
        (34_257_936, [497, 12, 12, 57, 0], 2_198_067_971_140_371_931),
        (186_539_325, [534, 12, 12, 57, 0], 2_198_067_971_140_371_931),
    ];
    assert_eq!(found, before);
}
