//! A primary and a secondary in virtual time, over a line that loses, repeats,
//! delays, swaps and corrupts. Evidence: only self-agreement, but of a kind
//! that a seed repeats: each message arrives once and in order, or the link
//! is reported dead.

use std::collections::VecDeque;

use dlms::codec::Wire;
use dlms::hdlc::{
    Address, Control, DisconnectReason, Event, Frame, INFORMATION_LENGTH_MAX, Output, Parameters,
    Primary, Secondary, primary, secondary,
};
use dlms::{Duration, Instant};
use expect_test::expect;

use crate::captures::{Random, hex};

#[derive(Clone, Copy, Default)]
struct Faults {
    /// Each in a thousandth of the frames.
    loss: usize,
    repeat: usize,
    corruption: usize,
    swap: usize,
    /// Noise before a frame.
    noise: usize,
    /// The line is cut for good at that instant.
    cut: Option<Instant>,
}

/// One direction of the line.
#[derive(Default)]
struct Line {
    pieces: VecDeque<(Instant, Vec<u8>)>,
    /// A frame that the next one overtakes.
    held: Option<Vec<u8>>,
}

impl Line {
    fn send(&mut self, frame: Vec<u8>, faults: Faults, now: Instant, random: &mut Random) {
        if faults.cut.is_some_and(|cut| now >= cut) || random.chance(faults.loss) {
            return;
        }
        let mut copies = vec![frame.clone()];
        if random.chance(faults.repeat) {
            copies.push(frame);
        }
        if let Some(held) = self.held.take() {
            copies.push(held);
        } else if random.chance(faults.swap) {
            self.held = copies.pop();
        }
        for mut copy in copies {
            if random.chance(faults.corruption) {
                // The check sequences find up to three bits for certain.
                for _ in 0..=random.below(3) {
                    let at = random.below(copy.len());
                    copy[at] ^= 1 << random.below(8);
                }
            }
            if random.chance(faults.noise) {
                let length = random.below(30);
                let mut noise = random.octets(length);
                noise.append(&mut copy);
                copy = noise;
            }
            // The line keeps its order, whatever each piece takes.
            let mut at = now + Duration::from_micros(1_000 + random.below(20_000) as u64);
            if let Some((last, _)) = self.pieces.back() {
                at = at.max(*last);
            }
            let cut = random.below(copy.len() + 1);
            let rest = copy.split_off(cut);
            self.pieces.push_back((at, copy));
            self.pieces
                .push_back((at + Duration::from_micros(500), rest));
        }
    }

    fn next(&self) -> Option<Instant> {
        self.pieces.front().map(|(at, _)| *at)
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    finished: u32,
    dead: u32,
    retransmissions: u64,
    frames: u64,
}

struct Pair {
    now: Instant,
    random: Random,
    faults: Faults,
    primary: Primary,
    secondary: Secondary,
    up: Line,
    down: Line,
    deadlines: [Option<Instant>; 2],
    /// What the server's application will say, and when.
    answers: VecDeque<(Instant, Vec<u8>)>,
    information_limits: [usize; 2],
    requested: Vec<Vec<u8>>,
    executed: Vec<Vec<u8>>,
    replies: Vec<Vec<u8>>,
    expected: Vec<Vec<u8>>,
    ended: Option<DisconnectReason>,
    opened: bool,
}

impl Pair {
    fn new(seed: u64, faults: Faults, windows_max: usize) -> Self {
        let mut random = Random::new(seed);
        let length = |random: &mut Random| match random.below(4) {
            0 => 1 + u16::try_from(random.below(8)).unwrap(),
            1 => 8 + u16::try_from(random.below(120)).unwrap(),
            2 => 128,
            _ => INFORMATION_LENGTH_MAX,
        };
        let parameters = |random: &mut Random| Parameters {
            information_length_transmit: length(random),
            information_length_receive: length(random),
            window_transmit: u8::try_from(1 + random.below(windows_max)).unwrap(),
            window_receive: u8::try_from(1 + random.below(windows_max)).unwrap(),
        };
        let server = match random.below(3) {
            0 => Address::one(1),
            1 => Address::two(1, 17),
            _ => Address::four(1, 17),
        }
        .unwrap();
        let mut config = primary::Config::new(server);
        config.parameters = parameters(&mut random);
        config.response_timeout = Duration::from_millis(900);
        config.retries = 12;
        config.keeps_order = faults.swap == 0;
        let mut own = secondary::Config::new(server, Address::PUBLIC_CLIENT);
        own.parameters = parameters(&mut random);
        own.response_time = Duration::from_millis(200);
        let information_limits = [
            config.parameters.information_length_receive,
            own.parameters.information_length_receive,
        ]
        .map(usize::from);
        Self {
            now: Instant::ORIGIN,
            random,
            faults,
            primary: Primary::new(config),
            secondary: Secondary::new(own),
            up: Line::default(),
            down: Line::default(),
            deadlines: [None; 2],
            answers: VecDeque::new(),
            information_limits,
            requested: Vec::new(),
            executed: Vec::new(),
            replies: Vec::new(),
            expected: Vec::new(),
            ended: None,
            opened: false,
        }
    }

    fn message(&mut self) -> Vec<u8> {
        let length = match self.random.below(4) {
            0 => 1,
            1 => 20,
            2 => 1 + self.random.below(400),
            _ => 1 + self.random.below(60),
        };
        self.random.octets(length)
    }

    /// No side sends more in a frame than the other takes.
    fn check_length(&self, octets: &[u8], receiver: usize) {
        let frame = Frame::from_octets(octets).unwrap();
        if let Control::Information { .. } = frame.control {
            assert!(frame.information.len() <= self.information_limits[receiver]);
        }
    }

    /// Takes the outputs of both sides and does what they say.
    fn settle(&mut self) {
        loop {
            match self.primary.poll() {
                Output::Transmit(frame) => {
                    self.check_length(&frame, 1);
                    self.up.send(frame, self.faults, self.now, &mut self.random);
                }
                Output::Event(Event::Connected { .. }) => self.opened = true,
                Output::Event(Event::Message(message)) => self.replies.push(message),
                Output::Event(Event::Disconnected { reason }) => self.ended = Some(reason),
                Output::Event(Event::Unanswered) => {}
                Output::Event(event) => panic!("{event:?}"),
                Output::Timeout(deadline) => {
                    self.deadlines[0] = deadline;
                    break;
                }
            }
        }
        loop {
            match self.secondary.poll() {
                Output::Transmit(frame) => {
                    self.check_length(&frame, 0);
                    self.down
                        .send(frame, self.faults, self.now, &mut self.random);
                }
                Output::Event(Event::Message(message)) => {
                    // Longer than the question is held open, at times.
                    let delay = Duration::from_millis(self.random.below(500) as u64);
                    let mut answer = message.clone();
                    answer.reverse();
                    let at = self
                        .answers
                        .back()
                        .map_or(self.now + delay, |(last, _)| (self.now + delay).max(*last));
                    self.answers.push_back((at, answer));
                    self.executed.push(message);
                }
                Output::Event(_) => {}
                Output::Timeout(deadline) => {
                    self.deadlines[1] = deadline;
                    break;
                }
            }
        }
    }

    /// Moves on to whatever is next, and does it.
    fn advance(&mut self) -> bool {
        let next = [
            self.up.next(),
            self.down.next(),
            self.answers.front().map(|(at, _)| *at),
            self.deadlines[0],
            self.deadlines[1],
        ];
        let Some((which, at)) = next
            .iter()
            .enumerate()
            .filter_map(|(which, at)| at.map(|at| (which, at)))
            .min_by_key(|(_, at)| *at)
        else {
            return false;
        };
        self.now = self.now.max(at);
        match which {
            0 => {
                let (_, octets) = self.up.pieces.pop_front().unwrap();
                self.secondary
                    .handle(secondary::Input::Octets(&octets), self.now)
                    .unwrap();
            }
            1 => {
                let (_, octets) = self.down.pieces.pop_front().unwrap();
                self.primary
                    .handle(primary::Input::Octets(&octets), self.now)
                    .unwrap();
            }
            2 => {
                let (_, answer) = self.answers.pop_front().unwrap();
                // Refused where the link is gone by now.
                let taken = self
                    .secondary
                    .handle(secondary::Input::Message(&answer), self.now);
                assert!(taken.is_ok() || self.secondary.parameters().is_none());
            }
            3 => self
                .primary
                .handle(primary::Input::Timeout, self.now)
                .unwrap(),
            _ => self
                .secondary
                .handle(secondary::Input::Timeout, self.now)
                .unwrap(),
        }
        self.settle();
        true
    }

    /// Runs a whole life of a link; tells whether it came to its end.
    fn run(&mut self, count: usize, seed: u64) -> bool {
        self.primary
            .handle(primary::Input::Connect, self.now)
            .unwrap();
        self.settle();
        let mut steps = 0;
        let mut closing = false;
        while self.ended.is_none() {
            // Up to three requests at a time.
            while self.opened
                && self.requested.len() < count
                && self.requested.len() < self.replies.len() + 3
            {
                let message = self.message();
                self.primary
                    .handle(primary::Input::Message(&message), self.now)
                    .unwrap();
                self.expected.push(message.iter().rev().copied().collect());
                self.requested.push(message);
                self.settle();
            }
            if self.replies.len() == count && !closing {
                closing = true;
                self.primary
                    .handle(primary::Input::Disconnect, self.now)
                    .unwrap();
                self.settle();
            }
            steps += 1;
            assert!(steps < 200_000, "seed {seed}: it goes round");
            if self.ended.is_none() {
                assert!(self.advance(), "seed {seed}: it hangs");
            }
        }
        // Once and in order, whatever happened.
        assert!(self.executed.len() <= self.requested.len(), "seed {seed}");
        for (executed, requested) in self.executed.iter().zip(&self.requested) {
            assert_eq!(hex(executed), hex(requested), "seed {seed}");
        }
        assert!(self.replies.len() <= self.executed.len(), "seed {seed}");
        for (reply, expected) in self.replies.iter().zip(&self.expected) {
            assert_eq!(hex(reply), hex(expected), "seed {seed}");
        }
        closing
    }
}

fn run(seeds: core::ops::Range<u64>, faults: Faults, windows_max: usize) -> Outcome {
    let mut outcome = Outcome::default();
    for seed in seeds {
        let mut pair = Pair::new(seed, faults, windows_max);
        let finished = pair.run(8, seed);
        if finished {
            assert_eq!(pair.replies.len(), 8, "seed {seed}");
            assert_eq!(pair.executed.len(), 8, "seed {seed}");
            outcome.finished += 1;
        } else {
            assert_eq!(
                pair.ended,
                Some(DisconnectReason::NoAnswer),
                "seed {seed}: only silence ends a link"
            );
            outcome.dead += 1;
        }
        outcome.retransmissions +=
            pair.primary.counters().retransmissions + pair.secondary.counters().retransmissions;
        outcome.frames +=
            pair.primary.line_counters().frames + pair.secondary.line_counters().frames;
    }
    outcome
}

#[test]
fn a_good_line() {
    let outcome = run(0..400, Faults::default(), 7);
    assert_eq!((outcome.finished, outcome.dead), (400, 0));
    assert_eq!(outcome.retransmissions, 0);
    expect![[r#"
        Outcome {
            finished: 400,
            dead: 0,
            retransmissions: 0,
            frames: 114831,
        }
    "#]]
    .assert_debug_eq(&outcome);
}

#[test]
fn a_line_that_loses() {
    let faults = Faults {
        loss: 100,
        ..Faults::default()
    };
    expect![[r#"
        Outcome {
            finished: 1000,
            dead: 0,
            retransmissions: 49537,
            frames: 300245,
        }
    "#]]
    .assert_debug_eq(&run(1_000..2_000, faults, 7));
}

#[test]
fn a_line_that_repeats() {
    let faults = Faults {
        repeat: 200,
        ..Faults::default()
    };
    expect![[r#"
        Outcome {
            finished: 500,
            dead: 0,
            retransmissions: 19535,
            frames: 192688,
        }
    "#]]
    .assert_debug_eq(&run(2_000..2_500, faults, 7));
}

#[test]
fn a_line_that_corrupts_between_noise() {
    let faults = Faults {
        corruption: 100,
        noise: 100,
        ..Faults::default()
    };
    expect![[r#"
        Outcome {
            finished: 1000,
            dead: 0,
            retransmissions: 49243,
            frames: 305046,
        }
    "#]]
    .assert_debug_eq(&run(3_000..4_000, faults, 7));
}

#[test]
fn a_line_with_every_fault() {
    let faults = Faults {
        loss: 80,
        repeat: 80,
        corruption: 50,
        noise: 50,
        ..Faults::default()
    };
    expect![[r#"
        Outcome {
            finished: 2000,
            dead: 0,
            retransmissions: 149139,
            frames: 697719,
        }
    "#]]
    .assert_debug_eq(&run(4_000..6_000, faults, 7));
}

/// Numbers modulo 8 stand a frame overtaking another where the window is less
/// than half of them; a real line has none of it, datagrams may.
#[test]
fn datagrams_that_overtake_each_other() {
    let faults = Faults {
        loss: 30,
        swap: 100,
        ..Faults::default()
    };
    expect![[r#"
        Outcome {
            finished: 1000,
            dead: 0,
            retransmissions: 63819,
            frames: 377058,
        }
    "#]]
    .assert_debug_eq(&run(7_000..8_000, faults, 3));
}

#[test]
fn a_line_that_loses_nearly_all() {
    let faults = Faults {
        loss: 600,
        ..Faults::default()
    };
    expect![[r#"
        Outcome {
            finished: 24,
            dead: 276,
            retransmissions: 16085,
            frames: 11563,
        }
    "#]]
    .assert_debug_eq(&run(8_000..8_300, faults, 7));
}

#[test]
fn a_line_that_is_cut() {
    for seed in 9_000..9_500 {
        let mut random = Random::new(seed);
        let cut = Instant::from_micros(random.below(2_000_000) as u64);
        let faults = Faults {
            loss: 20,
            cut: Some(cut),
            ..Faults::default()
        };
        let mut pair = Pair::new(seed, faults, 7);
        if pair.run(50, seed) {
            continue;
        }
        assert_eq!(pair.ended, Some(DisconnectReason::NoAnswer), "seed {seed}");
        // Reported within the retries, and the server falls back in time.
        let limit = cut + Duration::from_secs(30);
        assert!(pair.now <= limit, "seed {seed}: {:?}", pair.now);
        let end = pair.now + Duration::from_secs(300);
        while pair.secondary.parameters().is_some() {
            assert!(pair.advance() && pair.now < end, "seed {seed}");
        }
    }
}
