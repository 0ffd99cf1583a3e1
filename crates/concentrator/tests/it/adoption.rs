//! A concentrator that takes a power line over and goes on with the registrations that the other
//! told: how long it takes until a head end has read the first meter, what comes of words that are
//! wrong, and to whom they are said.
//!
//! Evidence: self-agreement in virtual time; the control takes the same line over without them.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::time::Duration;

use concentrator::core::{Core, Input, Output};
use concentrator::direct::{Place, RouterLimits, SegmentId};
use concentrator::pair::lease::Change;
use concentrator::pair::wire::{Registered, Word};
use concentrator::pair::{self, Pair, REGISTERED_MAX};
use dlms::Instant;
use link::{Clock as _, Node, Registration, Segment as _, SegmentEvent, SystemClock};
use model::LogicalDeviceName;
use sim::powerline::{G3, PowerLine, PowerLineSegment, Prime, SFsk, Technology};

use crate::pair::partner;
use crate::takeover::{HEAD_END, HeadEnd, LONGEST, SEGMENT, name, near, speak, table};

/// Meters of one segment that a head end reads at once on the slowest medium, as it is configured
/// by itself.
const AT_ONCE: usize = 2;
/// The time within which reads are to resume.
const GOAL: Duration = Duration::from_secs(10);
/// After that all that was wrong has been put right.
const AFTER: Duration = Duration::from_secs(6 * 3_600);

fn sfsk(credit: u8) -> Technology {
    Technology::SFsk(SFsk {
        credit,
        ..SFsk::default()
    })
}

/// One that has taken a line over, with a head end.
struct Second {
    core: Core,
    segment: PowerLineSegment,
    clock: SystemClock,
    head_end: HeadEnd,
    /// Reads that were answered.
    read: usize,
    /// Questions and requests that were sent before the first was.
    sent: usize,
}

impl Second {
    /// Turns it until something is so; tells how long that took.
    async fn until(&mut self, done: impl Fn(&Self) -> bool) -> Duration {
        let begun = self.clock.now();
        loop {
            let now = self.clock.now();
            let wait = loop {
                match self.core.poll(now, 0) {
                    Output::ToSegment { node, message, .. } => {
                        self.sent += usize::from(self.read == 0);
                        self.segment.send(node, message).unwrap();
                    }
                    Output::ToWan { message, .. } => {
                        self.read += usize::from(self.head_end.took(&message, now));
                    }
                    Output::Credit(_) => {}
                    Output::Wait(at) => break at,
                    other => panic!("{other:?}"),
                }
            };
            if done(self) {
                return now.since(begun);
            }
            let mut more = false;
            while let Some(message) = self.head_end.next(&self.core, now) {
                more = true;
                let input = Input::FromWan(HEAD_END, message);
                self.core.handle(input, now, 0);
            }
            if more {
                continue;
            }
            let event = poll_fn(|cx| self.segment.poll_event(cx));
            let least = Duration::from_millis(1);
            let wait = wait.map_or(LONGEST, |at| at.since(now).max(least));
            let input = match tokio::time::timeout(wait, event).await {
                Ok(event) => Input::FromSegment(SEGMENT, event.unwrap()),
                Err(_) => Input::Timeout,
            };
            self.core.handle(input, self.clock.now(), 0);
        }
    }

    fn named(&self) -> BTreeMap<u32, LogicalDeviceName> {
        let there = self.core.status().iter();
        let there = there.filter_map(|(name, it)| Some((it.place?.node.0, name.clone())));
        there.collect()
    }
}

/// Registers all meters of a line with a first concentrator, and has a second take it over with
/// what the first told, after `garble` had it. What is told goes through the octets of the pair.
async fn taken_over(
    technology: Technology,
    meters: u32,
    garble: impl FnOnce(&mut Vec<Registered>),
) -> (PowerLine, Second) {
    let config = near(technology, meters);
    let initiator = config.initiator;
    let (line, mut first, plugs) = PowerLine::new(config);
    for (number, plug) in (0..).zip(plugs) {
        speak(number, plug);
    }
    let mut told = Vec::new();
    while told.len() < usize::try_from(meters).unwrap() {
        let event = poll_fn(|cx| first.poll_event(cx)).await.unwrap();
        if let SegmentEvent::Joined { node, .. } = event {
            told.push(Registered {
                segment: SEGMENT,
                how: first.registration(node).unwrap(),
                name: Some(name(node.0)),
            });
        }
    }
    garble(&mut told);
    let told = told
        .into_iter()
        .map(|it| match Word::from_octets(&Word::Here(it).to_octets()) {
            Ok(Word::Here(it)) => it,
            other => panic!("{other:?}"),
        });
    let told: Vec<Registered> = told.collect();
    let mut segment = line.another_end(initiator);
    let clock = SystemClock::new();
    let table = table(meters);
    let mut head_end = HeadEnd::new(AT_ONCE);
    head_end.waiting = table.iter().map(|(sap, _)| sap).collect();
    let answer = Duration::from_secs(60);
    let mut core = Core::new(table, RouterLimits::default(), BTreeMap::new(), answer);
    core.add_segment(SEGMENT, segment.window(), segment.payload_max());
    core.share_segment(SEGMENT, clock.now());
    core.handle(Input::Opened(HEAD_END), clock.now(), 0);
    let names = told
        .iter()
        .filter_map(|it| Some((it.how.title, it.name.clone()?)));
    core.expect(names);
    let how: Vec<Registration> = told.iter().map(|it| it.how).collect();
    segment.adopt(&how);
    let second = Second {
        core,
        segment,
        clock,
        head_end,
        read: 0,
        sent: 0,
    };
    (line, second)
}

/// Tells after how long the first read is answered, and the first thirty.
async fn resumes(technology: Technology, meters: u32, adopts: bool) -> [Duration; 2] {
    let (line, mut second) = taken_over(technology, meters, |told| {
        if !adopts {
            told.clear();
        }
    })
    .await;
    let first = second.until(|it| it.read > 0).await;
    let asked = second.sent;
    let more = first + second.until(|it| it.read >= 30).await;
    if adopts {
        // Nobody was searched for and nobody asked for his name: association and request of
        // those that were read at once.
        assert_eq!(line.statistics().adopted, u64::from(meters));
        assert!(asked <= 2 * AT_ONCE, "{asked}");
    }
    [first, more]
}

/// Requirement D11: reads resume within ten seconds on a power line, whatever its technology and
/// however many meters it has.
#[tokio::test(start_paused = true)]
async fn reads_resume_within_ten_seconds_where_registrations_are_adopted() {
    for (line, technology, meters) in [
        ("S-FSK, credit 0", sfsk(0), 40),
        ("S-FSK, credit 2", sfsk(2), 40),
        ("S-FSK, credit 2", sfsk(2), 1_200),
        ("PRIME", Technology::Prime(Prime::default()), 40),
        ("G3", Technology::G3(G3::default()), 40),
    ] {
        let with = resumes(technology, meters, true).await;
        let without = resumes(technology, meters, false).await;
        println!(
            "{line}, {meters} meters: the first is read after {:.1?}, thirty after {:.1?}; \
             without: {:.1?}, {:.1?}",
            with[0], with[1], without[0], without[1]
        );
        assert!(with[0] < GOAL, "{line}, {meters}: {with:?}");
        // The control: by search it takes longer.
        assert!(without[0] > with[0], "{line}, {meters}: {without:?}");
        assert!(without[1] > with[1], "{line}, {meters}: {without:?}");
    }
    // It is the registrations that did it where it took longer than that.
    assert!(resumes(sfsk(2), 40, false).await[0] > GOAL);
}

/// What the other told is wrong: that costs the meters that it is wrong of a search, or being asked
/// for their names, and nobody else anything.
#[tokio::test(start_paused = true)]
async fn what_is_wrong_of_a_meter_costs_that_meter_a_search() {
    let meters = 12;
    let (line, mut second) = taken_over(sfsk(0), meters, |told| {
        let of = |told: &[Registered], node: u32| {
            let is = |it: &Registered| it.name == Some(name(node));
            told.iter().position(is).unwrap()
        };
        // Two under wrong addresses, two with each other's names, one with a name that has no
        // SAP, one without any, one that was not told; and more than there can be.
        let (one, other) = (of(told, 0), of(told, 1));
        told[one].how.address = u16::MAX;
        told[other].how.address = told[of(told, 2)].how.address;
        let (one, other) = (of(told, 3), of(told, 4));
        (told[one].name, told[other].name) = (Some(name(4)), Some(name(3)));
        let (unknown, unnamed) = (of(told, 5), of(told, 6));
        told[unknown].name = Some(name(999));
        told[unnamed].name = None;
        let gone = of(told, 7);
        let strange = told.remove(gone);
        for number in 0_u16..20_000 {
            let mut more = strange.clone();
            let [high, low] = number.to_be_bytes();
            more.how.title = [b'X', 0, 0, 0, 0, 0, high, low];
            more.how.address = number;
            told.push(more);
        }
    })
    .await;
    assert_eq!(line.statistics().adopted, 11);
    // No head end: what is found out is found out by asking for names.
    second.head_end.waiting.clear();
    // One is not there any more.
    line.plug(Node(8), false);
    let right: Vec<u32> = vec![9, 10, 11, 2];
    let took = second
        .until(|it| {
            let named = it.named();
            right
                .iter()
                .all(|node| named.get(node) == Some(&name(*node)))
        })
        .await;
    assert_eq!(took, Duration::ZERO);
    let begun = second.clock.now();
    let all = (0..meters).filter(|node| *node != 8);
    let all: BTreeMap<u32, LogicalDeviceName> = all.map(|node| (node, name(node))).collect();
    // Whatever was wrong, in the end everybody is who he is.
    let end = begun + AFTER;
    second
        .until(|it| it.named() == all || it.clock.now() > end)
        .await;
    assert_eq!(second.named(), all);
    assert_eq!(second.core.table().len(), usize::try_from(meters).unwrap());
    let there = |node| {
        let place = Place {
            segment: SEGMENT,
            node: Node(node),
        };
        second.core.name_at(place).is_some()
    };
    assert!(!there(8));
}

fn how(number: u16) -> Registration {
    let [high, low] = number.to_be_bytes();
    Registration {
        initiator: *b"GWDPAIR\0",
        address: number,
        title: [b'G', b'W', b'D', 0, 0, 0, high, low],
        hops: 1,
    }
}

pub(crate) fn registered(number: u16) -> Registered {
    Registered {
        segment: SegmentId(0),
        how: how(number),
        name: Some(name(1)),
    }
}

/// Two pairs on a line without delay.
struct Line {
    sides: [Pair; 2],
    now: Instant,
    names: BTreeMap<u32, LogicalDeviceName>,
    taken: [bool; 2],
}

impl Line {
    fn new() -> Self {
        let now = Instant::ORIGIN;
        let mut sides = [0, 1].map(|side| partner(side, pair::Kept::default(), 0, now));
        sides.iter_mut().for_each(|side| side.connected(now));
        Self {
            sides,
            now,
            names: BTreeMap::new(),
            taken: [false; 2],
        }
    }

    fn run(&mut self, seconds: u64, up: &[usize]) {
        for _ in 0..seconds * 10 {
            self.now = self.now + Duration::from_millis(100);
            for &number in up {
                let names = &self.names;
                self.sides[number].name(self.now, |_, node| names.get(&node.0));
                self.sides[number].turn(self.now);
                while let Some(output) = self.sides[number].poll() {
                    self.take(number, output, up);
                }
                self.sides[number].drained();
            }
        }
    }

    fn take(&mut self, number: usize, output: pair::Output, up: &[usize]) {
        match output {
            pair::Output::Send(word) if up.contains(&(1 - number)) => {
                self.sides[1 - number].received(&word, self.now);
            }
            pair::Output::Snapshot => self.sides[number].snapshot(Vec::new()),
            pair::Output::Drop(why) => panic!("{why}"),
            pair::Output::Segment(Change::Take(_)) => self.taken[number] = true,
            _ => {}
        }
    }

    fn known(&self) -> usize {
        self.sides[1].status(self.now).registrations
    }
}

/// Requirement D11: what is registered with the one is known to the other.
#[test]
fn registrations_are_told_to_the_other() {
    let segment = SegmentId(0);
    let mut line = Line::new();
    for number in 0..300 {
        line.sides[0].joined(segment, Node(number.into()), how(number));
    }
    line.run(10, &[0, 1]);
    assert!(line.taken[0] && !line.taken[1]);
    for side in &line.sides {
        let status = side.status(line.now);
        assert!(status.in_contact && status.in_step, "{status:?}");
    }
    assert_eq!(line.known(), 300);
    line.names = (0..300).map(|it| (it, name(it))).collect();
    line.sides[0].left(segment, Node(5));
    line.run(10, &[0, 1]);
    assert_eq!(line.known(), 299);
    // The first dies.
    line.sides[1].disconnected();
    line.run(10, &[1]);
    assert!(line.taken[1]);
    let told = line.sides[1].take_registrations(segment);
    assert_eq!((told.len(), line.known()), (299, 0));
    for it in told {
        assert_eq!(it.how, how(it.how.address));
        assert_eq!(it.name, Some(name(it.how.address.into())));
    }
}

/// One that tells more than there can be, or of segments that there are not, fills nothing.
#[test]
fn registrations_of_the_other_are_bounded() {
    let mut line = Line::new();
    line.run(2, &[0, 1]);
    for segment in [1, 2, 0] {
        assert_eq!(line.known(), 0, "there is one segment");
        for number in 0..=u16::MAX {
            let meter = Registered {
                segment: SegmentId(segment),
                ..registered(number)
            };
            line.sides[1].received(&Word::Here(meter).to_octets(), line.now);
        }
    }
    assert_eq!(line.known(), REGISTERED_MAX);
    let all = line.sides[1].take_registrations(SegmentId(0));
    assert_eq!(all.len(), REGISTERED_MAX);
    line.run(10, &[0, 1]);
    assert!(line.sides[1].status(line.now).in_step);
}
