//! A concentrator in the wrong hands: it drops, alters, repeats, keeps back,
//! reorders and re-addresses what passes, writes messages of its own, and lies
//! about who is where. Requirement D5: no order is carried out that nobody
//! gave, none twice and none after a later one; no reading is taken that was
//! not true while it was asked for; and when it is over all goes on.
//!
//! Evidence: the project's own meters with their keys behind their server
//! machines, and client machines as the head end has them, in virtual time;
//! that the harness would see a breach is shown by ends that are broken on
//! purpose.

mod hostile;
mod victim;

use std::collections::VecDeque;

use dlms::client::{ClientState, Input};
use dlms::security::CounterHint;
use link::KeyFile;
use sim::SeededEntropy;

use crate::collector::meter;
use hostile::{Act, Dice, FIRST_SAP, Hostile, Powers};
use victim::{Came, DISCONNECT, Head, MANAGEMENT, PUBLIC, READS, RECONNECT, Task, Victim};

/// Which end is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    None,
    /// Meters take each counter again and again.
    CountersForgotten,
    /// The head end asks in clear.
    NothingCiphered,
    /// The meters share keys, and the head end takes whatever title answers.
    TitleNotBound,
}

/// Meters, a head end, and somebody between them.
struct World {
    victims: Vec<Victim>,
    heads: Vec<Head>,
    hostile: Hostile,
    mutation: Mutation,
    entropy: SeededEntropy,
    dice: Dice,
    second: i64,
    found: Found,
}

/// What came of a run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    associated: usize,
    values: usize,
    orders: usize,
    done: usize,
    failed: usize,
    deeds: usize,
    breaches: Vec<String>,
}

const METERS: u32 = 3;

/// Messages that one second may have: hostile ones answer each other.
const MESSAGES_MAX: usize = 400;

impl World {
    fn new(seed: u64, powers: Powers, mutation: Mutation) -> Self {
        let mut keys = KeyFile::generate(1, METERS, &SeededEntropy::new(seed)).unwrap();
        if mutation == Mutation::TitleNotBound {
            let same = keys.meters[0].clients.clone();
            for meter in &mut keys.meters {
                meter.clients.clone_from(&same);
            }
        }
        let watts = (1..).map(|number| 36_000 * number);
        let meters = keys.meters.iter().zip(watts);
        let victims: Vec<_> = meters
            .map(|(keys, watts)| Victim::new(meter(keys, watts).device, mutation))
            .collect();
        let heads = (FIRST_SAP..).zip(&keys.meters);
        let heads = heads.map(|(sap, keys)| Head::new(keys, sap, mutation, seed % 2 == 1));
        Self {
            heads: heads.collect(),
            hostile: Hostile::new(seed, powers, victims.len()),
            victims,
            mutation,
            entropy: SeededEntropy::new(seed + 1),
            dice: Dice::new(seed + 2),
            second: 0,
            found: Found::default(),
        }
    }

    /// The client that the head end is, at the meters.
    fn client(&self) -> u16 {
        if self.mutation == Mutation::NothingCiphered {
            PUBLIC
        } else {
            MANAGEMENT
        }
    }

    /// Lets a head end want things, and time pass.
    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.second += 1 + i64::try_from(self.dice.below(3)).unwrap();
            for victim in &mut self.victims {
                victim.tick(self.second);
            }
            if self.dice.hits(100) {
                self.follow();
                self.pump();
            }
            for place in 0..self.heads.len() {
                if self.heads[place].task.is_none() && self.dice.hits(600) {
                    self.begin(place);
                }
            }
            self.pump();
        }
    }

    /// Reads who is where and follows, as the head end does: a meter that is
    /// said to be elsewhere is asked there, over a new connection.
    fn follow(&mut self) {
        let list = self.hostile.list();
        for (place, head) in self.heads.iter_mut().enumerate() {
            let said = list.iter().find(|(_, name)| *name == place);
            if let Some((sap, _)) = said
                && *sap != head.sap
            {
                head.sap = *sap;
                head.client
                    .handle(Input::LinkLost, victim::instant(self.second));
            }
        }
    }

    fn begin(&mut self, place: usize) {
        let clear = self.mutation == Mutation::NothingCiphered;
        let task = match self.heads[place].client.state() {
            ClientState::Idle => Task::Associate,
            ClientState::Open => match self.dice.below(20) {
                0 => Task::Release,
                1..=3 if !clear => Task::Order(DISCONNECT),
                4..=6 if !clear => Task::Order(RECONNECT),
                _ if clear => Task::Read(0),
                which => Task::Read(which % READS.len()),
            },
            _ => return,
        };
        self.found.orders += usize::from(matches!(task, Task::Order(_)));
        if task == Task::Associate && self.heads[place].failure.is_some() {
            // What the counter object tells, through the same hands.
            let told = self.victims[place].counter(self.second).saturating_add(1);
            let lie = u32::try_from(self.dice.below(1 << 25)).unwrap();
            let lies = self.dice.hits(self.hostile.powers.lie / 4);
            let told = if lies { told.saturating_add(lie) } else { told };
            self.heads[place].hint = Some(CounterHint::new(told));
            self.heads[place].failure = None;
        }
        self.heads[place].begin(task, self.second, &self.entropy);
    }

    /// Carries until nobody says anything more.
    fn pump(&mut self) {
        let mut acts = VecDeque::new();
        for _ in 0..MESSAGES_MAX {
            for place in 0..self.heads.len() {
                self.turn(place, &mut acts);
            }
            match acts.pop_front() {
                Some(act) => self.act(act, &mut acts),
                None => return,
            }
        }
        // Too much of it: the rest is lost, but for what happened so far.
        for place in 0..self.heads.len() {
            self.turn(place, &mut acts);
        }
    }

    fn turn(&mut self, place: usize, acts: &mut VecDeque<Act>) {
        let (sent, came) = self.heads[place].turn(self.second);
        for came in came {
            self.came(place, came);
        }
        let sap = self.heads[place].sap;
        for octets in sent {
            let client = self.client();
            acts.extend(self.hostile.down(place, sap, client, octets));
        }
    }

    fn act(&mut self, act: Act, acts: &mut VecDeque<Act>) {
        match act {
            Act::ToMeter {
                meter,
                line,
                client,
                broadcast,
                octets,
                head,
            } => {
                let victim = &mut self.victims[meter];
                let second = self.second;
                let answers = victim.take(line, client, broadcast, &octets, second, &self.entropy);
                for (_, octets) in answers {
                    acts.extend(self.hostile.up(head, octets));
                }
                self.compare(meter);
            }
            Act::ToHead { head, octets } => {
                let now = victim::instant(self.second);
                self.heads[head].client.handle(Input::Apdu(&octets), now);
            }
            Act::Reconnect { meter, line } => self.victims[meter].reconnect(line),
            Act::Cut { head } => {
                let now = victim::instant(self.second);
                self.heads[head].client.handle(Input::LinkLost, now);
            }
        }
    }

    /// Compares what was done at a meter with what was ordered: each order once
    /// at most, in the order in which they were given, none that was not.
    fn compare(&mut self, meter: usize) {
        let (victim, head) = (&self.victims[meter], &self.heads[meter]);
        let mut orders = head.orders.iter();
        let stray = victim.done.iter().find(|(method, when)| {
            !orders.any(|(ordered, given)| ordered == method && given <= when)
        });
        if let Some(stray) = stray {
            let breach = format!("meter {meter}: {stray:?} was not ordered, or not then");
            self.breach(breach);
        }
        if self.victims[meter].written > 0 {
            self.breach(format!("meter {meter}: written to"));
        }
    }

    fn came(&mut self, place: usize, came: Came) {
        let Some((_, since)) = self.heads[place].task.take() else {
            // Ended, while nothing was wanted.
            if !matches!(came, Came::Failed(_)) {
                self.breach(format!("head {place}: {came:?}, and nobody asked"));
            }
            return;
        };
        let (victim, now) = (&self.victims[place], self.second);
        match came {
            Came::Associated => self.found.associated += 1,
            Came::Value(which, value) => {
                self.found.values += 1;
                if !victim.was(which, &value, since, now) {
                    let breach = format!("meter {place}: {value:02x?} was not true, read {which}");
                    self.breach(breach);
                }
            }
            Came::Done(method) => {
                self.found.done += 1;
                let done = |(it, at): &(i8, i64)| *it == method && (since..=now).contains(at);
                if !victim.done.iter().any(done) {
                    self.breach(format!("meter {place}: order {method} was not carried out"));
                }
            }
            Came::Proved => self.breach(format!("meter {place}: told what it did not")),
            Came::Refused => {
                self.found.failed += 1;
                self.heads[place].failure = Some("refused".to_owned());
            }
            Came::Failed(failure) => {
                self.found.failed += 1;
                self.heads[place].failure = Some(failure.to_string());
            }
            Came::Released => {}
        }
    }

    fn breach(&mut self, what: String) {
        if self.found.breaches.len() < 5 {
            self.found.breaches.push(what);
        }
    }

    /// The concentrator is taken back. What it kept comes at once; then every
    /// meter is read and switched again.
    fn recover(&mut self) {
        let mut acts: VecDeque<_> = self.hostile.let_go().into();
        self.found.deeds = self.hostile.deeds;
        while let Some(act) = acts.pop_front() {
            self.act(act, &mut acts);
            for place in 0..self.heads.len() {
                self.turn(place, &mut acts);
            }
        }
        for place in 0..self.heads.len() {
            self.heads[place].sap = FIRST_SAP + u16::try_from(place).unwrap();
            self.victims[place].reconnect(0);
            let now = victim::instant(self.second);
            self.heads[place].client.handle(Input::LinkLost, now);
            self.pump();
            let steps = [
                Task::Associate,
                Task::Read(0),
                Task::Order(DISCONNECT),
                Task::Read(2),
                Task::Order(RECONNECT),
                Task::Read(2),
                Task::Release,
            ];
            for task in steps {
                self.second += 1;
                for victim in &mut self.victims {
                    victim.tick(self.second);
                }
                self.heads[place].failure = None;
                self.heads[place].begin(task, self.second, &self.entropy);
                self.pump();
                if task == Task::Associate && self.heads[place].failure.take().is_some() {
                    // Its counter is behind what the meter has seen: the head
                    // end asks for it, and tries that once.
                    let told = self.victims[place].counter(self.second) + 1;
                    self.heads[place].hint = Some(CounterHint::new(told));
                    self.heads[place].begin(task, self.second, &self.entropy);
                    self.pump();
                }
                let head = &self.heads[place];
                if head.task.is_some() || head.failure.is_some() {
                    let why = head.failure.clone();
                    let why = why.unwrap_or_else(|| "no answer".to_owned());
                    self.breach(format!(
                        "meter {place}: {task:?} does not work afterwards: {why}"
                    ));
                }
            }
        }
    }
}

fn play(seed: u64, powers: Powers, mutation: Mutation) -> Found {
    let mut world = World::new(seed, powers, mutation);
    world.run(120);
    if mutation == Mutation::None {
        world.recover();
    }
    world.found
}

/// Plays many seeds; gives the sums and the breaches with their seeds.
fn play_all(seeds: std::ops::Range<u64>, powers: impl Fn(u64) -> Powers) -> Found {
    let mut sum = Found::default();
    for seed in seeds {
        let found = play(seed, powers(seed), Mutation::None);
        assert_eq!(found.breaches, Vec::<String>::new(), "seed {seed}");
        sum.associated += found.associated;
        sum.values += found.values;
        sum.orders += found.orders;
        sum.done += found.done;
        sum.failed += found.failed;
        sum.deeds += found.deeds;
    }
    sum
}

#[test]
fn an_honest_one_loses_nothing() {
    for seed in 0..4 {
        let found = play(seed, Powers::default(), Mutation::None);
        assert_eq!(found.breaches, Vec::<String>::new(), "seed {seed}");
        assert_eq!((found.failed, found.deeds), (0, 0), "seed {seed}");
        assert!(found.values > 50 && found.done > 20, "{found:?}");
    }
}

/// Each thing that it can do, alone: so often that little else happens.
#[test]
fn each_of_its_powers_alone_gets_it_nothing() {
    let often = 250;
    let calm = Powers::default();
    let alone = [
        (
            "drop",
            Powers {
                drop: often,
                ..calm
            },
        ),
        (
            "alter",
            Powers {
                alter: often,
                ..calm
            },
        ),
        (
            "double",
            Powers {
                double: 900,
                ..calm
            },
        ),
        (
            "hold",
            Powers {
                hold: often,
                ..calm
            },
        ),
        (
            "readdress",
            Powers {
                readdress: often,
                ..calm
            },
        ),
        (
            "impersonate",
            Powers {
                impersonate: often,
                ..calm
            },
        ),
        (
            "replay",
            Powers {
                replay: 900,
                ..calm
            },
        ),
        ("forge", Powers { forge: 900, ..calm }),
        (
            "reflect",
            Powers {
                reflect: often,
                ..calm
            },
        ),
        (
            "reconnect",
            Powers {
                reconnect: 100,
                ..calm
            },
        ),
        ("cut", Powers { cut: 100, ..calm }),
        ("lie", Powers { lie: 1_000, ..calm }),
    ];
    for (name, powers) in alone {
        let found = play_all(0..6, |_| powers);
        assert!(found.deeds > 30, "{name}: {found:?}");
        assert!(found.values > 20, "{name}: {found:?}");
    }
}

#[test]
fn whatever_it_does_together_gets_it_nothing() {
    let some = play_all(1_000..1_400, Powers::of);
    let all = play_all(2_000..2_100, |_| Powers::ALL);
    for found in [some, all] {
        println!("{found:?}");
        assert!(found.deeds > 5_000, "{found:?}");
        assert!(found.values > 1_000 && found.done > 100, "{found:?}");
        assert!(found.failed > 500, "{found:?}");
    }
}

/// The control: an end that is broken lets it through, and the harness says so.
#[test]
fn ends_that_are_broken_are_found() {
    let lies = Powers {
        lie: 1_000,
        ..Powers::default()
    };
    for (mutation, powers, what) in [
        (Mutation::CountersForgotten, Powers::ALL, "was not ordered"),
        (Mutation::NothingCiphered, Powers::ALL, "was not true"),
        (Mutation::TitleNotBound, lies, "was not true"),
    ] {
        let caught = (0..10).filter(|seed| {
            let found = play(*seed, powers, mutation);
            found.breaches.iter().any(|breach| breach.contains(what))
        });
        let caught = caught.count();
        assert!(caught >= 5, "{mutation:?}: in {caught} of 10 runs");
        // And without anybody in between nothing is found.
        let honest = play(1, Powers::default(), mutation);
        assert_eq!(honest.breaches, Vec::<String>::new(), "{mutation:?}");
    }
}
