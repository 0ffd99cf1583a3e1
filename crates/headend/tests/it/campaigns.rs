//! The planner of campaigns without any I/O, over meters that lose blocks, and campaigns over the
//! API. Evidence: self-agreement; robustness: losses, silence, a head end that begins anew from
//! what it kept at every step.

use std::collections::{BTreeMap, BTreeSet};

use headend::campaigns::{
    Bound, Line, Medium, Member, Next, Outcome, Planner, Reason, Settings, Step, Task,
};
use model::{MeterId, Timestamp};

const BLOCK: u32 = 80;
const IMAGE: u32 = 16_000;
const BLOCKS: u32 = IMAGE / BLOCK;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

#[derive(Clone, Debug, Default)]
struct Meter {
    endpoint: String,
    begun: bool,
    blocks: BTreeSet<u32>,
    verified: bool,
    active: bool,
    /// Contacts that fail yet.
    silent: u32,
    refuses: bool,
    /// Does not come back with the image.
    dies: bool,
}

struct Field {
    meters: BTreeMap<u64, Meter>,
    random: Random,
    loss: u64,
    now: i64,
    broadcast: u64,
    alone: u64,
    bitmaps: BTreeMap<u64, u32>,
    /// After so many activations no meter comes back any more.
    good: usize,
    /// When each meter was activated, in milliseconds.
    activated: BTreeMap<u64, i64>,
    order: Vec<&'static str>,
}

impl Field {
    fn new(meters: u64, endpoints: u64, loss: u64, seed: u64) -> Self {
        let meter = |number: u64| Meter {
            endpoint: format!("tcp://dc-{}:4059", number % endpoints),
            ..Meter::default()
        };
        Self {
            meters: (1..=meters).map(|number| (number, meter(number))).collect(),
            random: Random(seed),
            loss,
            now: 1_000_000,
            broadcast: 0,
            alone: 0,
            bitmaps: BTreeMap::new(),
            good: usize::MAX,
            activated: BTreeMap::new(),
            order: Vec::new(),
        }
    }

    fn plan(&self, settings: Settings) -> Planner {
        let members = self.meters.iter().map(|(number, meter)| Member {
            meter: MeterId::new(*number).unwrap(),
            endpoint: meter.endpoint.clone(),
            key: Some(7),
        });
        Planner::new(settings, IMAGE, members.collect())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    fn contact(&mut self, meter: MeterId, task: Task) -> Outcome {
        self.now += 1_000;
        let number = meter.number();
        let loss = self.loss;
        let it = self.meters.get_mut(&number).unwrap();
        if it.silent > 0 {
            it.silent -= 1;
            return Outcome::Broken { told: false };
        }
        match task {
            Task::Initiate if it.refuses => Outcome::Failed(Reason::Refused),
            Task::Initiate => {
                *it = Meter {
                    begun: true,
                    blocks: BTreeSet::new(),
                    ..it.clone()
                };
                Outcome::Initiated { block_len: BLOCK }
            }
            Task::Ask => {
                self.order.push("ask");
                *self.bitmaps.entry(number).or_default() += 1;
                Outcome::Lacks(
                    (0..BLOCKS)
                        .filter(|block| !it.blocks.contains(block))
                        .collect(),
                )
            }
            Task::Finish => {
                *self.bitmaps.entry(number).or_default() += 1;
                self.alone += u64::from(BLOCKS) - it.blocks.len() as u64;
                // Half of it, and the contact breaks off.
                if loss > 0 && self.random.below(10) == 0 {
                    return Outcome::Broken { told: false };
                }
                it.blocks.extend(0..BLOCKS);
                it.verified = true;
                Outcome::Verified
            }
            Task::Activate => {
                assert!(
                    it.verified,
                    "meter {number} is told to activate what it has not verified"
                );
                self.activated.insert(number, self.now);
                if it.dies || self.activated.len() > self.good {
                    return Outcome::Broken { told: true };
                }
                it.active = true;
                Outcome::Active
            }
        }
    }

    fn send(&mut self, meter: MeterId, blocks: &[u32]) {
        self.order.push("broadcast");
        let endpoint = self.meters[&meter.number()].endpoint.clone();
        for block in blocks {
            self.broadcast += 1;
            for it in self.meters.values_mut() {
                let heard = self.random.below(1_000) >= self.loss;
                if it.endpoint == endpoint && it.begun && heard {
                    it.blocks.insert(*block);
                }
            }
        }
    }

    /// Runs a campaign to its end; every `restart` steps the head end starts anew from what it
    /// kept last.
    fn run(&mut self, mut planner: Planner, restart: Option<u64>) -> Planner {
        // Whoever dies often keeps often, or would get nowhere.
        let keep_every = if restart.is_some_and(|every| every < 64) {
            1
        } else {
            64
        };
        let mut kept = planner.record();
        for step in 1.. {
            assert!(step < 200_000, "it does not end: {:?}", planner.progress());
            let next = planner.next(self.now());
            if planner.must_keep() || planner.changed() >= keep_every {
                kept = planner.record();
            }
            if restart.is_some_and(|every| step % every == 0) {
                planner = Planner::restore(&kept).unwrap();
                continue;
            }
            match next {
                Next::Contact(meter, task) => {
                    let outcome = self.contact(meter, task);
                    let asked = matches!(task, Task::Ask | Task::Finish)
                        && !matches!(outcome, Outcome::Broken { .. });
                    planner.asked(meter, task, u16::from(asked));
                    planner.contacted(meter, outcome, self.now());
                }
                Next::Broadcast {
                    group,
                    block_len,
                    blocks,
                    meter,
                } => {
                    assert_eq!(block_len, BLOCK);
                    self.send(meter, &blocks);
                    planner.broadcast(group, blocks.len());
                }
                Next::Wait(until) => self.now = self.now.max(until.millis()),
                Next::Idle => panic!("nothing is under way, and it waits"),
                Next::Over => break,
            }
        }
        planner
    }
}

fn quick() -> Settings {
    Settings {
        soak_s: 60,
        ..Settings::default()
    }
}

#[test]
fn two_blind_passes_then_a_question_then_what_is_lacking() {
    let mut field = Field::new(300, 1, 50, 1);
    let planner = field.plan(quick());
    let mut planner = field.run(planner, None);
    let progress = planner.progress();
    assert_eq!(progress.phase, "done");
    assert_eq!(progress.steps[&Step::Active], 300);
    assert!(field.meters.values().all(|meter| meter.active));
    // Nothing is asked before both passes, and nobody more than twice but for broken contacts.
    let first = field.order.iter().position(|it| *it == "ask").unwrap();
    let bursts = usize::try_from(BLOCKS.div_ceil(256)).unwrap();
    assert_eq!(first, 2 * bursts);
    assert!(field.bitmaps.values().filter(|count| **count > 2).count() < 60);
    // The campaign's own record says the same, and survives a restart.
    let rounds = Planner::restore(&planner.record()).unwrap();
    let rounds = rounds.progress().rounds;
    for round in rounds {
        assert_eq!((round.meters, round.reads, round.most), (300, 300, 1));
    }
    // A block is lost twice with 1/400: with 300 meters about half of all blocks by somebody.
    let blind = u64::from(2 * BLOCKS);
    let again = field.broadcast - blind;
    assert!((60..=160).contains(&again), "{again} repaired by broadcast");
    // And what is lacking then, a twentieth of 150, is all that goes to single meters.
    assert!(field.alone < 40, "{}", field.alone);
}

#[test]
fn meters_without_company_get_all_blocks_alone() {
    let mut field = Field::new(5, 5, 0, 2);
    let planner = field.plan(quick());
    let planner = field.run(planner, None);
    assert_eq!(planner.progress().phase, "done");
    assert_eq!((field.broadcast, field.alone), (0, 5 * u64::from(BLOCKS)));
}

#[test]
fn a_campaign_that_begins_anew_at_any_step_ends_the_same() {
    // A round of asking has up to 14 meters here, and one that is broken off begins anew.
    for every in [17, 31, 53, 101, 257] {
        let mut field = Field::new(40, 3, 50, every);
        let planner = field.plan(quick());
        let planner = field.run(planner, Some(every));
        assert_eq!(planner.progress().phase, "done", "every {every}");
        assert!(
            field.meters.values().all(|meter| meter.active),
            "every {every}"
        );
    }
    assert!(Planner::restore(b"{}").is_err());
    assert!(Planner::restore(&[0xFF; 40]).is_err());
}

#[test]
fn rings_follow_each_other_with_time_between_them() {
    let mut field = Field::new(1_000, 4, 0, 3);
    let settings = Settings {
        rings: vec![10, 100, 1_000],
        soak_s: 3_600,
        ..Settings::default()
    };
    let planner = field.plan(settings);
    let planner = field.run(planner, None);
    assert_eq!(planner.progress().phase, "done");
    let mut times: Vec<i64> = field.activated.values().copied().collect();
    times.sort_unstable();
    let soak = 3_600_000;
    assert!(times[10] - times[9] >= soak, "the first ring has 10 meters");
    assert!(times[100] - times[99] >= soak, "the second ends at 100");
    let close = times.windows(2).filter(|pair| pair[1] - pair[0] >= soak);
    assert_eq!(close.count(), 2);
    // Neighbours are in different rings.
    let mut first: Vec<_> = field
        .activated
        .iter()
        .map(|(meter, at)| (*at, *meter))
        .collect();
    first.sort_unstable();
    let early: BTreeSet<u64> = first.iter().take(10).map(|(_, meter)| *meter).collect();
    assert!(
        early
            .iter()
            .filter(|meter| early.contains(&(*meter + 1)))
            .count()
            < 3
    );
}

#[test]
fn too_many_failures_stop_it_in_the_first_ring() {
    let mut field = Field::new(1_000, 2, 0, 4);
    for meter in field.meters.values_mut() {
        meter.dies = true;
    }
    let planner = field.plan(quick());
    let planner = field.run(planner, None);
    let progress = planner.progress();
    assert_eq!(progress.phase, "stopped_by_failures");
    assert!(
        field.activated.len() <= 10,
        "{} were told",
        field.activated.len()
    );
    assert!(progress.reasons[&Reason::Lost] >= 1);

    // Meters that refuse the image count as well.
    let mut field = Field::new(100, 1, 0, 5);
    for meter in field.meters.values_mut().take(6) {
        meter.refuses = true;
    }
    let planner = field.plan(quick());
    let planner = field.run(planner, None);
    assert_eq!(planner.progress().phase, "stopped_by_failures");
    assert!(field.activated.is_empty());
}

#[test]
fn failures_in_a_later_ring_keep_the_image_from_the_last() {
    let mut field = Field::new(1_000, 2, 0, 9);
    field.good = 10;
    let planner = field.plan(quick());
    let planner = field.run(planner, None);
    let progress = planner.progress();
    assert_eq!(progress.phase, "stopped_by_failures");
    // The first ring runs it; of the second, up to a tenth of all, some were told; no more.
    assert_eq!(progress.steps[&Step::Active], 10);
    assert!((11..=100).contains(&field.activated.len()));
    assert!(progress.steps[&Step::Verified] >= 900);
}

#[test]
fn silent_meters_are_given_up_do_not_stop_it_and_are_taken_up_again() {
    let mut field = Field::new(50, 1, 50, 6);
    for meter in field.meters.values_mut().take(20) {
        meter.silent = 1_000;
    }
    for meter in field.meters.values_mut().skip(20).take(10) {
        meter.silent = 3;
    }
    let planner = field.plan(quick());
    let mut planner = field.run(planner, None);
    let progress = planner.progress();
    assert_eq!(progress.phase, "done");
    assert_eq!(progress.steps[&Step::Active], 30);
    assert_eq!(progress.reasons[&Reason::Unreachable], 20);
    assert_eq!(planner.failed().count(), 20);

    for meter in field.meters.values_mut() {
        meter.silent = 0;
    }
    // Those alone are taken up.
    let missed: BTreeSet<_> = planner.failed().map(|(meter, _)| meter).collect();
    assert_eq!(planner.resumable().collect::<BTreeSet<_>>(), missed);
    planner.resume();
    assert_eq!(planner.resumable().count(), 0, "it is under way");
    let planner = field.run(planner, None);
    assert_eq!(planner.progress().phase, "done");
    assert!(field.meters.values().all(|meter| meter.active));
}

#[test]
fn a_stopped_campaign_begins_nothing_and_goes_on_when_told() {
    let mut field = Field::new(20, 1, 0, 7);
    let mut planner = field.plan(quick());
    for _ in 0..10 {
        if let Next::Contact(meter, task) = planner.next(field.now()) {
            let outcome = field.contact(meter, task);
            planner.contacted(meter, outcome, field.now());
        }
    }
    planner.stop();
    assert_eq!(planner.next(field.now()), Next::Over);
    assert_eq!(planner.progress().phase, "stopped");
    let mut planner = Planner::restore(&planner.record()).unwrap();
    assert_eq!(planner.next(field.now()), Next::Over);
    planner.resume();
    let planner = field.run(planner, None);
    assert_eq!(planner.progress().phase, "done");
    assert!(field.meters.values().all(|meter| meter.active));
}

const SFSK: Line = Line {
    medium: Medium::SFsk,
    credit: 0,
    hops: 0,
    loss_permille: 50,
};

#[test]
fn each_group_tells_its_bound_where_the_line_is_known() {
    let mut field = Field::new(300, 2, 50, 8);
    let settings = Settings {
        line: Some(SFSK),
        ..quick()
    };
    let planner = field.plan(settings);
    assert!(
        planner
            .progress()
            .groups
            .iter()
            .all(|it| it.bound.is_none())
    );
    let planner = field.run(planner, None);
    let groups = planner.progress().groups;
    assert_eq!(groups.len(), 2);
    for group in groups {
        assert_eq!((group.meters, group.blind), (150, u64::from(2 * BLOCKS)));
        let bound = group.bound.unwrap();
        assert_eq!(bound, Bound::of(&SFSK, 150, IMAGE, BLOCK, 2));
        // Four slots of 150 ms for each block.
        assert!((bound.pass_s - f64::from(BLOCKS) * 0.6).abs() < 1e-9);
        assert!(group.taken_s.unwrap() > 0);
    }
    // More meters, losses or repetitions make it longer; nobody lost anything without losses.
    let all = |line: &Line, meters| Bound::of(line, meters, IMAGE, BLOCK, 2).all_s;
    let repeated = Line { credit: 2, ..SFSK };
    let lossy = Line {
        loss_permille: 100,
        ..SFSK
    };
    let clean = Line {
        loss_permille: 0,
        ..SFSK
    };
    assert!(all(&SFSK, 150) < all(&SFSK, 151));
    assert!((all(&repeated, 150) / all(&SFSK, 150) - 3.0).abs() < 1e-9);
    assert!(all(&SFSK, 150) < all(&lossy, 150));
    let clean = Bound::of(&clean, 150, IMAGE, BLOCK, 2);
    assert!(clean.repair_s.abs() < 1e-9 && clean.alone_s.abs() < 1e-9);
    // A meter may say what it likes of its blocks.
    for block_len in [0, 1, u32::MAX] {
        assert!(Bound::of(&SFSK, 150, u32::MAX, block_len, 4).all_s > 0.0);
    }
}

#[test]
fn settings_out_of_bounds_are_named() {
    let faults = [
        Settings {
            passes: 0,
            ..Settings::default()
        },
        Settings {
            parallel: 0,
            ..Settings::default()
        },
        Settings {
            tries: 0,
            ..Settings::default()
        },
        Settings {
            retry_s: 0,
            ..Settings::default()
        },
        Settings {
            rings: vec![],
            ..Settings::default()
        },
        Settings {
            rings: vec![500],
            ..Settings::default()
        },
        Settings {
            rings: vec![500, 500, 1_000],
            ..Settings::default()
        },
        Settings {
            rings: vec![0, 1_000],
            ..Settings::default()
        },
        Settings {
            soak_s: 700_000,
            ..Settings::default()
        },
        Settings {
            failures_permille: 1_001,
            ..Settings::default()
        },
        Settings {
            pace_ms: 60_001,
            ..Settings::default()
        },
        Settings {
            line: Some(Line { credit: 8, ..SFSK }),
            ..Settings::default()
        },
        Settings {
            line: Some(Line {
                loss_permille: 501,
                ..SFSK
            }),
            ..Settings::default()
        },
    ];
    for settings in faults {
        assert!(settings.fault().is_some(), "{settings:?}");
    }
    assert_eq!(Settings::default().fault(), None);
}
