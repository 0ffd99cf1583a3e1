//! Two ends over a network of six ASes in virtual time, with links that are
//! cut loudly and silently. Evidence: self-agreement; the same happens on the
//! reference implementation's routers in `interop/scion/links`.

use std::collections::BTreeSet;
use std::time::Duration;

use scion::address::{InterfaceId, IsdAs};
use scion::choice::NoPath;
use scion::daemon::Route;
use scion::packet::{Packet, Place, crossed};
use scion::path::Path;
use scion::policy::{Policy, Preference};
use scion::session::{Arrival, Role, SILENCE_MAX, SILENCE_MIN, Session, TRY_EVERY, Transmit};

use crate::network::isd_as;
use crate::packet::checked;
use crate::routes::routes;

const START: Duration = Duration::from_secs(1_000);
const UNIX: u64 = 1_900_000_000;
/// Traffic classes of a request and of a control message.
const PLAIN: u8 = 18 << 2;
const URGENT: u8 = 40 << 2;

type End = (IsdAs, InterfaceId);

fn end(asn: u16, interface: u16) -> End {
    (isd_as(asn), InterfaceId(interface))
}

fn head() -> Place {
    "[2-ff00:0:211,10.0.211.1]:50000".parse().unwrap()
}

fn meter() -> Place {
    "[1-ff00:0:111,10.0.111.1]:4059".parse().unwrap()
}

fn policy(fence: &str) -> Policy {
    Policy {
        acl: (!fence.is_empty()).then(|| fence.parse().unwrap()),
        preferences: vec![Preference::Latency],
        ..Policy::default()
    }
}

struct Net {
    now: Duration,
    head: Session,
    meter: Session,
    /// Packets on their way: when they arrive, whether at the head end.
    under_way: Vec<(Duration, bool, Vec<u8>)>,
    /// Interfaces that swallow, and those whose loss is reported.
    silent: BTreeSet<End>,
    loud: BTreeSet<End>,
    /// What packets crossed, whole.
    seen: Vec<Path>,
    /// Requests that the meter took.
    taken: Vec<Vec<u8>>,
}

impl Net {
    fn new(head_fence: &str, meter_fence: &str) -> Self {
        let mut net = Self {
            now: START,
            head: Session::new(Role::Asks, head(), meter(), policy(head_fence), 7),
            meter: Session::new(Role::Answers, meter(), head(), policy(meter_fence), 9),
            under_way: Vec::new(),
            silent: BTreeSet::new(),
            loud: BTreeSet::new(),
            seen: Vec::new(),
            taken: Vec::new(),
        };
        net.head.update(routes(false), UNIX);
        net.meter.update(routes(true), UNIX);
        net
    }

    fn route(packet: &Transmit, back: bool) -> Route {
        let decoded = Packet::decode(&packet.octets).unwrap();
        let crossed = crossed(decoded.path).unwrap();
        let route = routes(back)
            .into_iter()
            .find(|route| route.is(&crossed))
            .unwrap();
        assert_eq!(packet.to, route.next([0; 4].into(), 0), "the right router");
        route
    }

    fn carry(&mut self, packets: Vec<Transmit>, back: bool) {
        for packet in packets {
            let path = Self::route(&packet, back).path;
            let hit = |ends: &BTreeSet<End>| {
                path.interfaces()
                    .find(|(at, one, _)| ends.contains(&(*at, *one)))
            };
            let took = path.latency.unwrap();
            if hit(&self.silent).is_some() {
                continue;
            }
            if let Some((at, one, _)) = hit(&self.loud) {
                let report = report(&packet.octets, at, one);
                self.under_way.push((self.now + took / 2, !back, report));
                continue;
            }
            self.seen.push(path);
            self.under_way.push((self.now + took, back, packet.octets));
        }
    }

    /// Sends a request until it is answered, as `dlms::client` does: again
    /// when the session says so. Gives how long it took and how often it was
    /// repeated.
    fn ask(&mut self, request: &[u8], class: u8) -> Result<(Duration, u32), NoPath> {
        let begun = self.now;
        let mut repeats = 0;
        let doubled = class == URGENT;
        let packets = self.head.send(request, class, doubled, self.now)?;
        self.carry(packets, false);
        loop {
            assert!(self.now < begun + Duration::from_secs(60), "no answer");
            let next = self.under_way.iter().map(|(at, ..)| *at).min();
            let silence = self.head.deadline();
            let at = next.into_iter().chain(silence).min();
            self.now = at.expect("something happens");
            let mut again = self.head.silent(self.now);
            let (answered, lost) = self.arrive(request)?;
            again |= lost;
            if answered {
                return Ok((self.now - begun, repeats));
            }
            if again {
                repeats += 1;
                let packets = self.head.send(request, class, doubled, self.now)?;
                self.carry(packets, false);
            }
        }
    }

    /// Hands out what has arrived; tells whether an answer did, and whether the
    /// network reported a loss.
    fn arrive(&mut self, request: &[u8]) -> Result<(bool, bool), NoPath> {
        let (due, later) = self
            .under_way
            .drain(..)
            .partition(|(at, ..)| *at <= self.now);
        self.under_way = later;
        let due: Vec<(Duration, bool, Vec<u8>)> = due;
        let (mut answered, mut lost) = (false, false);
        for (_, at_head, octets) in due {
            if at_head {
                match self.head.handle(&octets, self.now).unwrap() {
                    Arrival::Message { payload, .. } => {
                        assert_eq!(payload, request);
                        answered = true;
                    }
                    Arrival::Lost => lost = true,
                    Arrival::Nothing => {}
                }
            } else if let Arrival::Message {
                payload,
                traffic_class,
            } = self.meter.handle(&octets, self.now).unwrap()
            {
                self.taken.push(payload.clone());
                let doubled = traffic_class == URGENT;
                let packets = self
                    .meter
                    .send(&payload, traffic_class, doubled, self.now)?;
                self.carry(packets, true);
            }
        }
        Ok((answered, lost))
    }

    /// Waits until nothing is under way any more.
    fn settle(&mut self, request: &[u8]) {
        while let Some(at) = self.under_way.iter().map(|(at, ..)| *at).min() {
            self.now = self.now.max(at);
            self.arrive(request).unwrap();
        }
    }

    fn in_use(&self) -> String {
        self.head.choice().active().unwrap().to_string()
    }
}

/// A report that an interface is down, as its router makes one of a packet.
fn report(quoted: &[u8], isd_as: IsdAs, interface: InterfaceId) -> Vec<u8> {
    let packet = Packet::decode(quoted).unwrap();
    let mut body = vec![5, 0, 0, 0];
    body.extend_from_slice(&isd_as.to_u64().to_be_bytes());
    body.extend_from_slice(&u64::from(interface.0).to_be_bytes());
    body.extend_from_slice(quoted);
    let std::net::IpAddr::V4(host) = packet.source.1 else {
        panic!("hosts are of IPv4 here");
    };
    // An IPv6 router, so that the checksum covers both widths.
    let mut out = vec![0, 0, 0, 1, 202, (12 + 16 + 20) / 4];
    out.extend_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
    out.extend_from_slice(&[0, 0x03, 0, 0]);
    out.extend_from_slice(&packet.source.0.to_u64().to_be_bytes());
    out.extend_from_slice(&isd_as.to_u64().to_be_bytes());
    out.extend_from_slice(&host.octets());
    out.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    out.extend_from_slice(&body);
    checked(&out)
}

#[test]
fn a_question_and_its_answer_take_the_quickest_path_both_ways() {
    let mut net = Net::new("", "");
    assert_eq!(
        net.ask(b"question", PLAIN).unwrap(),
        (Duration::from_millis(20), 0)
    );
    let receipt = net.head.receipt();
    let sent = receipt.sent.as_ref().unwrap();
    let received = receipt.received.as_ref().unwrap();
    assert_eq!(
        sent.to_string(),
        "2-ff00:0:211 1>10 2-ff00:0:210 1>1 1-ff00:0:110 10>1 1-ff00:0:111"
    );
    assert_eq!(
        received.to_string(),
        "1-ff00:0:111 1>10 1-ff00:0:110 1>1 2-ff00:0:210 10>1 2-ff00:0:211"
    );
    assert_eq!(net.meter.receipt().sent.as_ref(), Some(received));
    assert_eq!(net.head.counters().silences, 0);
}

#[test]
fn silence_of_the_own_first_router_costs_one_repetition() {
    let mut net = Net::new("- 3 +", "- 3 +");
    net.ask(b"first", PLAIN).unwrap();
    net.silent.insert(end(211, 1));
    let (took, repeats) = net.ask(b"second", PLAIN).unwrap();
    assert_eq!(repeats, 1);
    assert!(took < Duration::from_millis(300), "{took:?}");
    assert_eq!(net.head.counters().silences, 1);
    // The next ones take the path that works, at once.
    let (took, repeats) = net.ask(b"third", PLAIN).unwrap();
    assert_eq!((repeats, took < Duration::from_millis(60)), (0, true));
}

#[test]
fn silence_behind_the_answer_moves_both_directions() {
    // The meter's own first router swallows what it sends: the meter cannot
    // know, the head end moves both.
    let mut net = Net::new("", "");
    net.ask(b"first", PLAIN).unwrap();
    net.silent.insert(end(111, 1));
    let (took, repeats) = net.ask(b"second", PLAIN).unwrap();
    assert_eq!(repeats, 1, "{took:?}");
    assert!(net.in_use().contains("1-ff00:0:120"));
}

#[test]
fn a_report_moves_at_once() {
    let mut net = Net::new("", "");
    net.ask(b"first", PLAIN).unwrap();
    net.loud.insert(end(210, 1));
    let (took, repeats) = net.ask(b"second", PLAIN).unwrap();
    assert_eq!(repeats, 1);
    // Half a path's time for the report, then a path both ways.
    assert!(took < Duration::from_millis(60), "{took:?}");
    assert_eq!(net.head.counters().reports, 1);
    assert_eq!(net.head.counters().silences, 0);
}

#[test]
fn a_forged_report_moves_within_the_fence_and_only_what_it_is_about() {
    let mut net = Net::new("- 3 +", "");
    net.ask(b"first", PLAIN).unwrap();
    let before = net.in_use();
    let packets = net.head.send(b"second", PLAIN, false, net.now).unwrap();
    let octets = packets[0].octets.clone();
    // About an interface that the packet does not cross; about a packet that
    // another host sent.
    for forged in [report(&octets, isd_as(310), InterfaceId(1)), {
        let mut others = octets.clone();
        others[31] ^= 1;
        report(&others, isd_as(210), InterfaceId(1))
    }] {
        drop(net.head.handle(&forged, net.now));
        assert_eq!(net.in_use(), before);
    }
    assert!(net.head.counters().strange > 0);
    // One that fits costs a move, never one beyond the fence.
    for _ in 0..50 {
        let packets = net.head.send(b"again", PLAIN, false, net.now).unwrap();
        let path = Net::route(&packets[0], false).path;
        assert!(path.hops().iter().all(|hop| hop.isd_as.isd.0 != 3));
        let about = path.hops()[1];
        let forged = report(&packets[0].octets, about.isd_as, about.egress);
        assert_eq!(net.head.handle(&forged, net.now), Ok(Arrival::Lost));
    }
}

#[test]
fn a_fence_that_leaves_nothing_sends_nothing() {
    let mut net = Net::new("- 2-ff00:0:210 +", "");
    assert_eq!(net.ask(b"question", PLAIN), Err(NoPath::Fenced(6)));
    assert!(net.seen.is_empty());
    let mut net = Net::new("", "");
    net.head.update(Vec::new(), UNIX);
    assert_eq!(net.ask(b"question", PLAIN), Err(NoPath::Unknown));
    // All that there was has ended.
    net.head.update(routes(false), 2_000_000_000);
    assert_eq!(net.ask(b"question", PLAIN), Err(NoPath::Unknown));
}

#[test]
fn answers_take_a_path_that_the_meter_allows() {
    // The head end asks through 120; the meter may not send through it.
    let mut net = Net::new("- 1-ff00:0:110 +", "- 1-ff00:0:120 +");
    let packets = net.head.send(b"question", PLAIN, false, net.now).unwrap();
    net.carry(packets, false);
    let (_, _, octets) = net.under_way.pop().unwrap();
    assert!(matches!(
        net.meter.handle(&octets, net.now),
        Ok(Arrival::Message { .. })
    ));
    let packets = net.meter.send(b"answer", PLAIN, false, net.now).unwrap();
    let path = Net::route(&packets[0], true).path;
    assert!(!path.to_string().contains("1-ff00:0:120"), "{path}");
    // And the head end takes nothing that came through 110.
    assert_eq!(
        net.head.handle(&packets[0].octets, net.now),
        Ok(Arrival::Nothing)
    );
    assert_eq!(net.head.counters().fenced, 1);
}

#[test]
fn urgent_messages_are_not_delayed_by_a_loss() {
    let mut net = Net::new("- 3 +", "- 3 +");
    let (whole, _) = net.ask(b"first", URGENT).unwrap();
    for cut in [end(211, 1), end(210, 1), end(111, 1)] {
        net.silent = BTreeSet::from([cut]);
        let (took, repeats) = net.ask(b"next", URGENT).unwrap();
        assert_eq!(repeats, 0, "{cut:?}");
        // The second path takes longer by itself: 15 ms one way.
        assert!(took <= whole + Duration::from_millis(40), "{took:?}");
    }
    net.silent.clear();
    let before = net.taken.len();
    net.ask(b"last", URGENT).unwrap();
    assert_eq!(net.taken.len(), before + 1, "the second copy is dropped");
    assert!(net.meter.counters().doubled > 0);
}

/// What the last answer crossed is cut, each time somewhere else, and mended before the next: one
/// cut never takes both copies, whatever has failed before.
#[test]
fn urgent_messages_are_not_delayed_by_one_loss_after_the_other() {
    let mut net = Net::new("- 3 +", "- 3 +");
    let (whole, _) = net.ask(b"first", URGENT).unwrap();
    for round in 0..200_usize {
        let receipt = net.head.receipt();
        let way = if round % 2 == 0 {
            &receipt.sent
        } else {
            &receipt.received
        };
        let crossed: Vec<End> = way
            .as_ref()
            .unwrap()
            .interfaces()
            .map(|(at, one, _)| (at, one))
            .collect();
        let cut = crossed[round / 2 % crossed.len()];
        let ends = BTreeSet::from([cut]);
        if round / 3 % 2 == 0 {
            net.silent = ends;
        } else {
            net.loud = ends;
        }
        for _ in 0..3 {
            let (took, repeats) = net.ask(b"next", URGENT).unwrap();
            assert_eq!(repeats, 0, "round {round}: {cut:?}");
            assert!(
                took <= whole + Duration::from_millis(40),
                "round {round}: {took:?}"
            );
            net.settle(b"next");
        }
        net.silent.clear();
        net.loud.clear();
        net.now += Duration::from_secs(4);
        net.ask(b"between", URGENT).unwrap();
        net.settle(b"between");
    }
    assert_eq!(net.head.counters().silences, 0);
}

/// Whatever the path in use loses next, before or behind which all others have
/// lost something too: one repetition, and what follows goes at once.
#[test]
fn a_loss_costs_one_repetition_whatever_was_lost_before() {
    let mut net = Net::new("- 3 +", "- 3 +");
    net.ask(b"first", PLAIN).unwrap();
    for round in 0..200_usize {
        let crossed: Vec<End> = net
            .head
            .receipt()
            .sent
            .iter()
            .flat_map(|path| path.interfaces())
            .map(|(at, one, _)| (at, one))
            .collect();
        let ends = BTreeSet::from([crossed[round % crossed.len()]]);
        if round / 3 % 2 == 0 {
            net.silent = ends;
        } else {
            net.loud = ends;
        }
        let mut repeated = 0;
        for _ in 0..4 {
            repeated += net.ask(b"next", PLAIN).unwrap().1;
            net.settle(b"next");
        }
        assert_eq!(
            repeated, 1,
            "round {round}: {:?} {:?}",
            net.silent, net.loud
        );
        net.silent.clear();
        net.loud.clear();
        net.now += Duration::from_secs(4);
        net.ask(b"between", PLAIN).unwrap();
        net.settle(b"between");
    }
}

#[test]
fn a_repetition_is_no_second_copy() {
    let mut net = Net::new("", "");
    for _ in 0..2 {
        let packets = net.head.send(b"same", URGENT, true, net.now).unwrap();
        assert_eq!(packets.len(), 2);
        let taken = packets.iter().filter(|packet| {
            let arrival = net.meter.handle(&packet.octets, net.now).unwrap();
            matches!(arrival, Arrival::Message { .. })
        });
        assert_eq!(taken.count(), 1);
    }
}

/// Has the head end leave its preferred path, whose first router is cut in
/// silence; gives that path.
fn moved_away() -> (Net, String) {
    let mut net = Net::new("- 3 +", "- 3 +");
    net.ask(b"first", PLAIN).unwrap();
    let preferred = net.in_use();
    net.silent.insert(end(211, 1));
    assert_eq!(net.ask(b"second", PLAIN).unwrap().1, 1);
    assert_ne!(net.in_use(), preferred);
    (net, preferred)
}

#[test]
fn a_mended_path_that_is_preferred_is_taken_again_after_its_penalty() {
    // A peer that drops second copies, and one that answers both.
    for class in [PLAIN, 0] {
        let (mut net, preferred) = moved_away();
        net.silent.clear();
        let (left, before) = (net.now, net.taken.len());
        let mut asked = 0;
        while net.in_use() != preferred {
            net.now += Duration::from_secs(10);
            assert!(net.now - left < Duration::from_secs(600), "class {class}");
            asked += 1;
            let (took, repeats) = net.ask(b"read", class).unwrap();
            assert_eq!(repeats, 0, "class {class}");
            assert!(took < Duration::from_millis(60), "{took:?}");
            net.settle(b"read");
        }
        // Not before its penalty has halved away.
        assert!(net.now - left > Duration::from_secs(200), "class {class}");
        if class == PLAIN {
            assert_eq!(net.taken.len(), before + asked, "a copy is dropped");
        }
        let preferred_again = net.head.receipt().sent.as_ref().unwrap();
        assert_eq!(preferred_again.to_string(), preferred);
    }
}

#[test]
fn what_tries_a_path_that_stays_cut_costs_a_packet_now_and_then() {
    for loud in [false, true] {
        let (mut net, preferred) = moved_away();
        if loud {
            net.loud = core::mem::take(&mut net.silent);
        }
        let before = net.head.counters().sent;
        let hour = 3_600;
        for _ in 0..hour {
            net.now += Duration::from_secs(1);
            let (took, repeats) = net.ask(b"read", PLAIN).unwrap();
            assert_eq!(repeats, 0);
            assert!(took < Duration::from_millis(60), "{took:?}");
            assert_ne!(net.in_use(), preferred);
        }
        let copies = net.head.counters().sent - before - hour;
        assert!(
            (1..=hour / TRY_EVERY.as_secs()).contains(&copies),
            "{copies}"
        );
    }
}

#[test]
fn silence_grows_and_ends() {
    let mut net = Net::new("", "");
    net.silent = BTreeSet::from([end(211, 1), end(211, 2)]);
    let mut limits = Vec::new();
    for _ in 0..9 {
        drop(net.head.send(b"question", PLAIN, false, net.now).unwrap());
        let deadline = net.head.deadline().unwrap();
        assert!(!net.head.silent(deadline - Duration::from_millis(1)));
        limits.push(deadline - net.now);
        net.now = deadline;
        assert!(net.head.silent(net.now));
        assert!(!net.head.silent(net.now), "once");
        assert_eq!(net.head.deadline(), None);
    }
    assert_eq!(limits[0], SILENCE_MIN);
    assert!(limits.is_sorted());
    assert_eq!(limits[8], SILENCE_MAX);
}

#[test]
fn what_others_send_is_not_taken() {
    let mut net = Net::new("", "");
    let packets = net.head.send(b"question", PLAIN, false, net.now).unwrap();
    let octets = &packets[0].octets;
    // From another host, for another host; the checksum is right in both.
    let mut other: Vec<Session> = [
        ("[1-ff00:0:111,10.0.111.2]:4059", head()),
        ("[1-ff00:0:111,10.0.111.1]:4060", head()),
    ]
    .map(|(local, remote)| {
        let local = local.parse().unwrap();
        Session::new(Role::Answers, local, remote, policy(""), 1)
    })
    .into();
    let stranger = "[2-ff00:0:211,10.0.211.2]:50000".parse().unwrap();
    other.push(Session::new(
        Role::Answers,
        meter(),
        stranger,
        policy(""),
        1,
    ));
    for session in &mut other {
        assert_eq!(session.handle(octets, net.now), Ok(Arrival::Nothing));
        assert_eq!(session.counters().strange, 1);
    }
    assert!(net.meter.handle(&octets[..40], net.now).is_err());
    assert_eq!(net.meter.counters().strange, 1);
}

/// Ten thousand requests while links come and go: none is lost while a path
/// within the fence is whole, and no packet ever crosses the fence.
#[test]
fn nothing_is_lost_and_nothing_leaves_the_fence() {
    let mut net = Net::new("- 3 +", "- 3 +");
    let ends = [
        end(211, 1),
        end(211, 2),
        end(210, 1),
        end(210, 3),
        end(111, 1),
        end(111, 2),
    ];
    let mut random = 0x5EED_u64;
    let mut draw = |below: u64| {
        random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        (random >> 33) % below
    };
    let mut repeated = 0;
    for number in 0..10_000_u32 {
        if number % 50 == 0 {
            net.silent.clear();
            net.loud.clear();
            let cut = ends[usize::try_from(draw(6)).unwrap()];
            if draw(2) == 0 {
                net.silent.insert(cut);
            } else {
                net.loud.insert(cut);
            }
        }
        let class = if draw(10) == 0 { URGENT } else { PLAIN };
        let (took, repeats) = net.ask(&number.to_be_bytes(), class).unwrap();
        assert!(
            repeats <= 2,
            "request {number} was repeated {repeats} times"
        );
        assert!(took < Duration::from_secs(2), "request {number}: {took:?}");
        repeated += repeats;
        net.now += Duration::from_millis(500);
    }
    assert!(repeated > 50, "{repeated}: the cuts were met");
    let beyond = net.seen.iter().filter(|path| {
        let mut hops = path.hops().iter();
        hops.any(|hop| hop.isd_as.isd.0 == 3)
    });
    assert_eq!(beyond.count(), 0);
    assert!(net.seen.len() >= 20_000);
}

#[test]
fn receipts_of_all_answers_are_kept_until_they_are_taken() {
    let mut net = Net::new("", "");
    for _ in 0..3 {
        net.ask(b"read", PLAIN).unwrap();
    }
    let first = net.head.take_receipts();
    assert_eq!(first, [net.head.receipt().clone()]);
    assert!(net.head.take_receipts().is_empty());
    net.ask(b"read", PLAIN).unwrap();
    net.silent.insert(end(211, 1));
    net.ask(b"read", PLAIN).unwrap();
    let both = net.head.take_receipts();
    assert_eq!(both, [first[0].clone(), net.head.receipt().clone()]);
    assert_ne!(both[0], both[1]);
    // Who answers has no readings.
    assert!(net.meter.take_receipts().is_empty());
}
