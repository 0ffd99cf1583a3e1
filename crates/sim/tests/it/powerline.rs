//! The power line against the airtime budgets that were published or derived,
//! and against itself.
//!
//! Evidence: the budgets are arithmetic on published parameters (sources in
//! `model::powerline`); the rest is self-agreement in virtual time.

use std::future::poll_fn;
use std::time::Duration;

use link::{Link, LinkExt as _, Message, Node, Registration, Segment as _, SegmentEvent};
use model::MessageClass;
use sim::powerline::{
    G3, NodeConfig, PowerLine, PowerLineConfig, PowerLineSegment, Prime, SFsk, Technology, street,
};
use tokio::time::Instant;

/// A day profile of 96 rows, and the request for it.
const PROFILE: usize = 1_500;
const REQUEST: usize = 90;

fn sfsk(credit: u8) -> Technology {
    Technology::SFsk(SFsk {
        credit,
        ..SFsk::default()
    })
}

fn read_time(technology: Technology, hops: u8) -> f64 {
    (technology.airtime(REQUEST, hops) + technology.airtime(PROFILE, hops)).as_secs_f64()
}

fn within(found: f64, anchor: f64, percent: f64) {
    let off = (found / anchor - 1.0) * 100.0;
    assert!(
        off.abs() <= percent,
        "{found:.2} is {off:.1} % off {anchor}"
    );
}

#[test]
fn the_budgets_of_a_day_profile_come_out() {
    // Seconds a meter on S-FSK with credit 0, 2 and 4, meters an hour, and hours
    // of 1,200.
    for (credit, seconds, an_hour, hours) in [
        (0, 8.0, 453.0, 2.7),
        (2, 23.9, 151.0, 8.0),
        (4, 39.8, 91.0, 13.3),
    ] {
        let found = read_time(sfsk(credit), 0);
        within(found, seconds, 10.0);
        within(3_600.0 / found, an_hour, 10.0);
        within(found / 3.0, hours, 10.0);
    }
    // PRIME at 21.4 kbit/s over one section and three.
    for (hops, seconds, hours) in [(0, 1.7, 0.56), (2, 5.0, 1.7)] {
        let found = read_time(Technology::Prime(Prime::default()), hops);
        within(found, seconds, 10.0);
        within(found / 3.0, hours, 10.0);
    }
}

/// The rates of PRIME that are published, kbit/s: DBPSK, DQPSK and D8PSK with
/// the code, and D8PSK without.
#[test]
fn a_symbol_of_prime_carries_the_published_rates() {
    let symbol = Prime::default().symbol.as_secs_f64();
    for (bits, rate) in [(48, 21.4), (96, 42.9), (144, 64.3), (288, 128.6)] {
        within(f64::from(bits) / symbol / 1_000.0, rate, 0.5);
        let prime = Technology::Prime(Prime {
            symbol_bits: bits,
            ..Prime::default()
        });
        within(f64::from(prime.bit_rate()) / 1_000.0, rate, 0.5);
    }
    assert_eq!(sfsk(4).bit_rate(), 2_400);
    // Robust G3: 36 carriers, each bit coded in eight.
    assert_eq!(Technology::G3(G3::default()).bit_rate(), 6_474);
    assert_eq!(Prime::default().symbol_bits, 48);
}

/// Octets of a firmware image.
const IMAGE: usize = 256 << 10;

/// What a block of an image takes beside its octets: ACTION with a structure of
/// number and block 24, global ciphering under the broadcast key 20.
const BLOCK_OVERHEAD: usize = 44;

/// A whole image, each block in frames that are full.
fn image_time(technology: Technology, frames: usize) -> f64 {
    let message = frames * technology.frame_payload_max();
    let block = message - BLOCK_OVERHEAD;
    let count = u32::try_from(IMAGE.div_ceil(block)).unwrap();
    (technology.airtime(message, 0) * count).as_secs_f64()
}

#[test]
fn the_budgets_of_firmware_come_out() {
    let hours = |credit| image_time(sfsk(credit), 2) / 3_600.0;
    within(hours(0), 0.4, 10.0);
    // And 1,200 times the same by unicast, without the answers, in days.
    within(hours(0) * 1_200.0 / 24.0, 21.0, 10.0);
    // A frame with credit 2 has the same four slots, three times.
    within(hours(2), 1.3, 10.0);
    within(hours(2) * 1_200.0 / 24.0, 63.0, 10.0);
    let prime = image_time(Technology::Prime(Prime::default()), 16);
    within(prime / 60.0, 4.0, 10.0);
    // 1,200 times four minutes, of which the budget says three days.
    within(prime * 1_200.0 / 86_400.0, 3.33, 10.0);
    // The budget took some 43 % of 4.5 kbit/s: alone on the wire it is 77 %.
    let g3 = image_time(Technology::G3(G3::default()), 16);
    within(g3 / 60.0, 18.0 * 0.43 / 0.77, 5.0);
}

#[test]
fn g3_is_twice_as_fast_as_its_budget_which_assumed_a_crowded_wire() {
    // The budget of 7 s takes 4.5 kbit/s at 40 %. Frames, acknowledgements and
    // pauses of one meter that is alone on the wire leave 80 % of that.
    let found = read_time(Technology::G3(G3::default()), 0);
    within(found, 3.55, 5.0);
    let rate = (PROFILE + REQUEST) as f64 * 8.0 / found;
    within(rate / 4_500.0, 0.8, 5.0);
    // 133 octets and their parity fill the 252 symbols that a frame may have.
    let it = G3::default();
    let octets = it.symbols_max * it.carriers / it.coding / 8;
    assert_eq!(octets - it.parity, 133);
}

#[test]
fn a_slot_is_150_ms_and_a_full_llc_frame_takes_four() {
    let it = SFsk::default();
    assert_eq!(it.slot(), Duration::from_millis(150));
    assert_eq!(it.llc_frame_max + it.mac_overhead, 4 * it.subframe_octets);
    // With credit no frame occupies the wire for longer than two seconds.
    for credit in 0..=7 {
        let technology = sfsk(credit);
        let frame = technology.frame_airtime(technology.frame_payload_max(), 0);
        assert!(
            frame <= Duration::from_secs(2),
            "credit {credit}: {frame:?}"
        );
    }
}

pub(crate) fn node(hops: u8, loss: u16) -> NodeConfig {
    NodeConfig {
        title: *b"GWD\0\0\0\0\x01",
        server: 1,
        hops,
        loss,
        appears: Duration::ZERO,
    }
}

pub(crate) fn message(class: MessageClass, octets: usize) -> Message {
    Message {
        source: 1,
        destination: 1,
        class,
        payload: vec![0x5A; octets],
    }
}

pub(crate) async fn next(segment: &mut PowerLineSegment) -> SegmentEvent {
    poll_fn(|cx| segment.poll_event(cx)).await.unwrap()
}

pub(crate) async fn joined(segment: &mut PowerLineSegment, count: usize) {
    let mut seen = 0;
    while seen < count {
        if let SegmentEvent::Joined { .. } = next(segment).await {
            seen += 1;
        }
    }
}

/// A meter that answers every message with `octets`.
fn answer(mut plug: Box<dyn Link>, octets: usize) {
    tokio::spawn(async move {
        while let Ok(asked) = plug.receive().await {
            let answer = Message {
                source: asked.destination,
                destination: asked.source,
                class: MessageClass::Request,
                payload: vec![0xA5; octets],
            };
            if plug.send(answer).is_err() {
                break;
            }
        }
    });
}

#[expect(
    clippy::disallowed_methods,
    reason = "tokio's clock is the simulation's"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[tokio::test(start_paused = true)]
async fn a_read_takes_on_the_line_what_the_budget_says() {
    for technology in [
        sfsk(0),
        sfsk(2),
        Technology::Prime(Prime::default()),
        Technology::G3(G3::default()),
    ] {
        let config = PowerLineConfig::quiet(technology, vec![node(0, 0)], 1);
        let (_, mut segment, mut plugs) = PowerLine::new(config);
        joined(&mut segment, 1).await;
        answer(plugs.remove(0), PROFILE);
        let begun = now();
        segment
            .send(Some(Node(0)), message(MessageClass::Usage, REQUEST))
            .unwrap();
        let received = loop {
            if let SegmentEvent::Received(_, message) = next(&mut segment).await {
                break message;
            }
        };
        assert_eq!(received.payload, vec![0xA5; PROFILE]);
        assert_eq!(received.class, MessageClass::Usage);
        let budget = technology.airtime(REQUEST, 0) + technology.airtime(PROFILE, 0);
        let off = begun.elapsed().abs_diff(budget);
        assert!(off <= Duration::from_millis(5), "{technology:?}: {off:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn meters_are_read_an_hour_as_published() {
    let config = PowerLineConfig::quiet(sfsk(0), vec![node(0, 0); 30], 1);
    let (line, mut segment, plugs) = PowerLine::new(config);
    joined(&mut segment, 30).await;
    for plug in plugs {
        answer(plug, PROFILE);
    }
    let begun = now();
    for number in 0..30 {
        segment
            .send(Some(Node(number)), message(MessageClass::Usage, REQUEST))
            .unwrap();
    }
    let mut read = 0;
    while read < 30 {
        if let SegmentEvent::Received(..) = next(&mut segment).await {
            read += 1;
        }
    }
    within(30.0 * 3_600.0 / begun.elapsed().as_secs_f64(), 453.0, 10.0);
    assert_eq!(line.statistics().lost, 0);
}

/// In the midst of answers, or of a search for a meter that never comes, or while meters join.
#[tokio::test(start_paused = true)]
async fn an_urgent_message_waits_for_at_most_two_seconds_of_airtime() {
    let technologies = (0..=7).map(sfsk).chain([
        Technology::Prime(Prime::default()),
        Technology::G3(G3::default()),
    ]);
    for technology in technologies {
        let (hops, reachable) = match technology {
            Technology::SFsk(it) => (it.credit.min(2), 10),
            _ => (2, 10),
        };
        let mut nodes: Vec<_> = (0..=hops).cycle().take(10).map(|it| node(it, 20)).collect();
        // Those that are looked for: some come, one never does.
        for late in 0..40 {
            nodes.push(NodeConfig {
                appears: Duration::from_secs(100 + 5 * late),
                ..node(hops, 20)
            });
        }
        nodes.push(NodeConfig {
            appears: Duration::from_secs(1_000_000),
            ..node(0, 20)
        });
        let config = PowerLineConfig::quiet(technology, nodes, 7);
        let (_, mut segment, mut plugs) = PowerLine::new(config);
        joined(&mut segment, reachable).await;
        // The one that hears what is urgent keeps silent, so that no answer of its own is before it.
        for plug in plugs.drain(..9) {
            answer(plug, PROFILE);
        }
        let mut asked = 0_u32;
        for number in (0..9).cycle().take(40) {
            // What is under way when it comes is not the same twice.
            let until = now() + Duration::from_millis(7_130);
            while tokio::time::timeout_at(until, next(&mut segment))
                .await
                .is_ok()
            {}
            // Answers take longer than that: some go on, some meters are busy already.
            let usage = message(MessageClass::Usage, REQUEST);
            drop(segment.send(Some(Node(number)), usage));
            let control = message(MessageClass::Control, 20);
            segment.send(Some(Node(9)), control).unwrap();
            let begun = now();
            while !matches!(
                next(&mut segment).await,
                SegmentEvent::Done {
                    node: Some(Node(9)),
                    ..
                }
            ) {}
            // Its own frame may be lost and go again; nothing comes between.
            let own = technology.airtime(20, hops);
            let waited = begun.elapsed();
            assert!(
                waited <= Duration::from_secs(2) + own * 3,
                "{technology:?}: {waited:?}"
            );
            asked += 1;
        }
        assert_eq!(asked, 40);
    }
}

/// Requirement D5: who says what nobody asked for without end comes behind the
/// others, and behind one of each of them.
#[tokio::test(start_paused = true)]
async fn a_meter_that_never_ceases_leaves_the_others_alive() {
    for technology in [
        sfsk(0),
        sfsk(2),
        Technology::Prime(Prime::default()),
        Technology::G3(G3::default()),
    ] {
        let config = PowerLineConfig::quiet(technology, vec![node(0, 0); 4], 1);
        let (_, mut segment, mut plugs) = PowerLine::new(config);
        joined(&mut segment, 4).await;
        let mut odd = plugs.remove(0);
        tokio::spawn(async move {
            for number in (0..=u16::MAX).cycle() {
                // To one who never asked it, and to one who did once.
                let mut told = message(MessageClass::Usage, 1_000);
                told.destination = 102 - number % 2;
                if odd.send(told).is_err() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        });
        segment
            .send(
                Some(Node(0)),
                Message {
                    source: 101,
                    ..message(MessageClass::Control, 20)
                },
            )
            .unwrap();
        for plug in plugs {
            answer(plug, PROFILE);
        }
        let until = now() + Duration::from_secs(3_600);
        let mut flood = 0;
        while let Ok(event) = tokio::time::timeout_at(until, next(&mut segment)).await {
            flood += usize::from(matches!(event, SegmentEvent::Received(..)));
        }
        assert!(flood > 50, "{technology:?}: there was no flood");
        let begun = now();
        for number in 1..4 {
            segment
                .send(Some(Node(number)), message(MessageClass::Usage, REQUEST))
                .unwrap();
        }
        let mut read = 0;
        while read < 3 {
            match tokio::time::timeout_at(begun + Duration::from_secs(86_400), next(&mut segment))
                .await
            {
                Ok(SegmentEvent::Received(node, _)) => read += usize::from(node != Node(0)),
                Ok(_) => {}
                Err(_) => panic!("{technology:?}: {read} of 3 were read"),
            }
        }
        // Of the flood a message or two go between.
        let took = begun.elapsed().as_secs_f64();
        let alone = 3.0 * read_time(technology, 0);
        assert!(took < 4.0 * alone, "{technology:?}: {took} s for {alone}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_street_registers_the_late_ones_too_and_twice_the_same_from_a_seed() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let nodes = street(1_200, 2, 70, 11);
        let late = nodes
            .iter()
            .filter(|node| node.appears > Duration::from_secs(10))
            .count();
        assert!((50..=120).contains(&late), "{late}");
        let config = PowerLineConfig::quiet(sfsk(2), nodes, 3);
        let (line, mut segment, plugs) = PowerLine::new(config);
        let begun = now();
        let mut order = Vec::new();
        let mut early = None;
        while order.len() < 1_200 {
            if let SegmentEvent::Joined { node, title, .. } = next(&mut segment).await {
                assert!(title.is_some());
                order.push(node);
                if order.len() == 1_200 - late {
                    early = Some(begun.elapsed());
                }
            }
        }
        assert!(early.unwrap() < Duration::from_secs(3 * 3_600), "{early:?}");
        assert!(begun.elapsed() < Duration::from_secs(25 * 3_600));
        let statistics = line.statistics();
        assert!(statistics.collisions > 0, "{statistics:?}");
        drop(plugs);
        runs.push((order, statistics));
    }
    assert!(runs[0] == runs[1], "the same seed gave two runs");
}

#[tokio::test(start_paused = true)]
async fn prime_and_g3_meters_join_behind_those_that_forward_for_them() {
    for technology in [
        Technology::Prime(Prime::default()),
        Technology::G3(G3::default()),
    ] {
        let mut nodes = vec![node(2, 10), node(1, 10), node(0, 10)];
        nodes[2].appears = Duration::from_secs(30);
        let config = PowerLineConfig::quiet(technology, nodes, 3);
        let (_, mut segment, _plugs) = PowerLine::new(config);
        let mut order = Vec::new();
        while order.len() < 3 {
            if let SegmentEvent::Joined { node, hops, .. } = next(&mut segment).await {
                order.push((node.0, hops));
            }
        }
        assert_eq!(order, [(2, 0), (1, 1), (0, 2)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_meter_out_of_reach_never_joins() {
    let config = PowerLineConfig::quiet(sfsk(1), vec![node(2, 0), node(1, 0)], 3);
    let (_, mut segment, _plugs) = PowerLine::new(config);
    let until = now() + Duration::from_secs(3_600);
    let mut seen = Vec::new();
    while let Ok(event) = tokio::time::timeout_at(until, next(&mut segment)).await {
        if let SegmentEvent::Joined { node, .. } = event {
            seen.push(node.0);
        }
    }
    assert_eq!(seen, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_meter_that_is_cut_off_leaves_and_comes_back() {
    let config = PowerLineConfig::quiet(sfsk(0), vec![node(0, 10)], 3);
    let (line, mut segment, _plugs) = PowerLine::new(config);
    joined(&mut segment, 1).await;
    line.plug(Node(0), false);
    let mut done = 0;
    loop {
        if done < 3 {
            segment
                .send(Some(Node(0)), message(MessageClass::Request, 50))
                .unwrap();
        }
        match next(&mut segment).await {
            SegmentEvent::Done { delivered, .. } => {
                assert!(!delivered);
                done += 1;
            }
            SegmentEvent::Left(node) => {
                assert_eq!(node, Node(0));
                break;
            }
            _ => {}
        }
    }
    line.plug(Node(0), true);
    joined(&mut segment, 1).await;
}

/// Who answered, who left, and how many have joined meanwhile.
#[derive(Default)]
struct Heard {
    answered: Vec<u32>,
    left: Vec<u32>,
    joined: usize,
}

/// Sends a message to each node until all have answered or left, and until so many have joined.
async fn asked(segment: &mut PowerLineSegment, nodes: std::ops::Range<u32>, join: usize) -> Heard {
    for node in nodes.clone() {
        let to = Some(Node(node));
        segment
            .send(to, message(MessageClass::Request, 40))
            .unwrap();
    }
    let mut heard = Heard::default();
    while heard.answered.len() + heard.left.len() < nodes.len() || heard.joined < join {
        match next(segment).await {
            SegmentEvent::Received(node, _) => heard.answered.push(node.0),
            SegmentEvent::Left(node) => heard.left.push(node.0),
            SegmentEvent::Joined { .. } => heard.joined += 1,
            _ => {}
        }
    }
    heard.answered.sort_unstable();
    heard.left.sort_unstable();
    heard
}

/// Requirement D11: whoever takes a line over goes on with its meters, where they take him for the
/// one that registered them; who does not answer under the address that was told is searched for.
#[tokio::test(start_paused = true)]
async fn another_end_goes_on_with_registrations_instead_of_searching() {
    for technology in [
        sfsk(0),
        sfsk(2),
        Technology::Prime(Prime::default()),
        Technology::G3(G3::default()),
    ] {
        let config = PowerLineConfig::quiet(technology, street(10, 0, 0, 3), 3);
        let initiator = config.initiator;
        let (line, mut first, plugs) = PowerLine::new(config);
        plugs.into_iter().for_each(|plug| answer(plug, 40));
        assert_eq!(first.registration(Node(0)), None);
        joined(&mut first, 10).await;
        let told = |it| first.registration(Node(it)).unwrap();
        let good: Vec<Registration> = (0..10).map(told).collect();
        let mut second = line.another_end(initiator);
        drop(first);
        let (before, begun) = (line.statistics(), now());
        // One address is wrong, one meter is not there; and what fits nobody is left out.
        let mut all = good.clone();
        all[8].address ^= 0x100;
        line.plug(Node(9), false);
        let unknown = Registration {
            title: *b"GWD\0none",
            ..good[0]
        };
        let foreign = Registration {
            initiator: *b"GWDOTHER",
            ..good[0]
        };
        all.insert(0, foreign);
        all.extend([unknown; 2_000]);
        all.extend_from_slice(&good);
        assert_eq!(second.adopt(&all), 10);
        joined(&mut second, 10).await;
        assert_eq!((now(), line.statistics().airtime), (begun, before.airtime));
        let heard = asked(&mut second, 0..10, 1).await;
        assert_eq!(heard.answered, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!((heard.left, heard.joined), (vec![8, 9], 1));
        line.plug(Node(9), true);
        joined(&mut second, 1).await;
        let heard = asked(&mut second, 8..10, 0).await;
        assert_eq!(heard.answered, [8, 9]);
        let after = line.statistics();
        assert_eq!((after.adopted, after.registered), (10, 12));

        // The controls: one with another identity is answered by nobody that it did not register.
        let mut other = line.another_end(*b"GWDOTHER");
        assert_eq!(other.adopt(&good), 0);
        let lies = good.iter().map(|it| Registration {
            initiator: *b"GWDOTHER",
            ..*it
        });
        assert_eq!(other.adopt(&lies.collect::<Vec<_>>()), 10);
        joined(&mut other, 10).await;
        let heard = asked(&mut other, 0..10, 10).await;
        assert_eq!((heard.answered.len(), heard.left.len()), (0, 10));
        assert_eq!(line.statistics().registered, 22);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_reaches_each_meter_or_not_on_its_own() {
    let config = PowerLineConfig::quiet(sfsk(0), vec![node(0, 200); 200], 5);
    let (_, mut segment, plugs) = PowerLine::new(config);
    joined(&mut segment, 200).await;
    segment
        .send(None, message(MessageClass::Usage, 100))
        .unwrap();
    loop {
        if let SegmentEvent::Done { node: None, .. } = next(&mut segment).await {
            break;
        }
    }
    let mut heard = 0;
    for mut plug in plugs {
        let received = tokio::time::timeout(Duration::from_millis(1), plug.receive()).await;
        heard += usize::from(received.is_ok());
    }
    // A fifth misses it, give or take.
    assert!((140..=180).contains(&heard), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn the_evening_is_noisier_than_the_night() {
    let mut config = PowerLineConfig::quiet(sfsk(0), vec![node(0, 50); 4], 5);
    config.noise[18..22].fill(400);
    let (line, mut segment, plugs) = PowerLine::new(config);
    let midnight = now();
    joined(&mut segment, 4).await;
    for plug in plugs {
        answer(plug, PROFILE);
    }
    let mut lost = Vec::new();
    for hour in [3, 19, 23] {
        let from = midnight + Duration::from_secs(hour * 3_600);
        while tokio::time::timeout_at(from, next(&mut segment))
            .await
            .is_ok()
        {}
        let before = line.statistics().lost;
        for number in 0..16 {
            let usage = message(MessageClass::Usage, REQUEST);
            segment.send(Some(Node(number % 4)), usage).unwrap();
        }
        let until = from + Duration::from_secs(600);
        while tokio::time::timeout_at(until, next(&mut segment))
            .await
            .is_ok()
        {}
        lost.push(line.statistics().lost - before);
    }
    let [night, evening, late] = lost[..] else {
        panic!("{lost:?}");
    };
    assert!(night > 0 && late > 0, "{lost:?}");
    assert!(evening > 2 * night && evening > 2 * late, "{lost:?}");
}

/// Requirement D1 to D4: the day profiles of a whole concentrator, losses of a street included.
#[tokio::test(start_paused = true)]
async fn twelve_hundred_meters_are_read_in_the_hours_of_the_budget() {
    // Hours that the budget gives for one section, or the credit, alone.
    for (technology, hops, budget) in [
        (sfsk(0), 0, 2.7),
        (sfsk(2), 2, 8.0),
        (Technology::Prime(Prime::default()), 0, 0.56),
    ] {
        let nodes = street(1_200, hops, 0, 5);
        let mut config = PowerLineConfig::quiet(technology, nodes, 9);
        // Nothing is given up, so that nothing has to be asked for again.
        config.retries = 50;
        let (line, mut segment, plugs) = PowerLine::new(config);
        joined(&mut segment, 1_200).await;
        for plug in plugs {
            answer(plug, PROFILE);
        }
        let begun = now();
        let (mut next_node, mut read, mut under_way) = (0, 0_u32, 0);
        let mut lost = Vec::new();
        while read < 1_200 {
            while under_way < 16 && (next_node < 1_200 || !lost.is_empty()) {
                let node = lost.pop().unwrap_or_else(|| {
                    next_node += 1;
                    Node(next_node - 1)
                });
                segment
                    .send(Some(node), message(MessageClass::Usage, REQUEST))
                    .unwrap();
                under_way += 1;
            }
            match next(&mut segment).await {
                SegmentEvent::Received(..) => {
                    read += 1;
                    under_way -= 1;
                }
                SegmentEvent::Done {
                    node: Some(node),
                    delivered: false,
                    ..
                } => {
                    lost.push(node);
                    under_way -= 1;
                }
                _ => {}
            }
        }
        let hours = begun.elapsed().as_secs_f64() / 3_600.0;
        println!(
            "{}: {hours:.2} h, {:?}",
            technology.name(),
            line.statistics()
        );
        // What is lost goes again: a few percent more than without losses.
        let least = read_time(technology, 0) * 1_200.0 / 3_600.0;
        assert!(hours >= least * 0.999, "{hours} under {least}");
        within(hours, budget, 10.0);
    }
}
