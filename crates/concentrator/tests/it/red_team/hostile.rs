//! A concentrator in the wrong hands.

use super::victim::{LINES, MANAGEMENT, PUBLIC};
use sim::draw;

/// Numbers from a seed.
pub(super) struct Dice {
    seed: u64,
    drawn: u64,
}

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.drawn += 1;
        let drawn = draw(self.seed, self.drawn) % u64::try_from(limit.max(1)).unwrap();
        usize::try_from(drawn).unwrap()
    }

    fn octet(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }

    pub(super) fn hits(&mut self, permille: usize) -> bool {
        self.below(1_000) < permille
    }
}

/// What it may do, each in permille of the messages that pass.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Powers {
    pub(super) drop: usize,
    pub(super) alter: usize,
    pub(super) double: usize,
    /// Keeps a message back, to let it go at any time later.
    pub(super) hold: usize,
    pub(super) readdress: usize,
    /// Sends a message from another client than the one that wrote it.
    pub(super) impersonate: usize,
    /// Sends something that it heard before, to whomever it likes.
    pub(super) replay: usize,
    /// Writes messages of its own.
    pub(super) forge: usize,
    /// Gives a sender his own message.
    pub(super) reflect: usize,
    pub(super) reconnect: usize,
    pub(super) cut: usize,
    /// In permille of the lists that are read.
    pub(super) lie: usize,
}

impl Powers {
    /// All of them at once.
    pub(super) const ALL: Self = Self {
        drop: 40,
        alter: 60,
        double: 60,
        hold: 60,
        readdress: 40,
        impersonate: 20,
        replay: 120,
        forge: 80,
        reflect: 20,
        reconnect: 15,
        cut: 8,
        lie: 500,
    };

    /// Some of them, as a seed has it.
    pub(super) fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x5EED);
        let mut some = |most: usize| {
            if dice.hits(500) {
                dice.below(2 * most)
            } else {
                0
            }
        };
        let all = Self::ALL;
        Self {
            drop: some(all.drop),
            alter: some(all.alter),
            double: some(all.double),
            hold: some(all.hold),
            readdress: some(all.readdress),
            impersonate: some(all.impersonate),
            replay: some(all.replay),
            forge: some(all.forge),
            reflect: some(all.reflect),
            reconnect: some(all.reconnect),
            cut: some(all.cut),
            lie: some(all.lie),
        }
    }
}

/// What a concentrator does.
#[derive(Clone, Debug)]
pub(super) enum Act {
    ToMeter {
        meter: usize,
        line: u8,
        client: u16,
        broadcast: bool,
        octets: Vec<u8>,
        /// Who is to have the answer.
        head: usize,
    },
    ToHead {
        head: usize,
        octets: Vec<u8>,
    },
    Reconnect {
        meter: usize,
        line: u8,
    },
    Cut {
        head: usize,
    },
}

/// Acts that are kept back or remembered.
const KEPT_MAX: usize = 300;

/// The SAP of the first meter.
pub(super) const FIRST_SAP: u16 = 0x100;

pub(super) struct Hostile {
    pub(super) powers: Powers,
    dice: Dice,
    meters: usize,
    heard: Vec<Act>,
    held: Vec<Act>,
    /// How often it did what it should not.
    pub(super) deeds: usize,
}

impl Hostile {
    pub(super) fn new(seed: u64, powers: Powers, meters: usize) -> Self {
        Self {
            powers,
            dice: Dice::new(seed),
            meters,
            heard: Vec::new(),
            held: Vec::new(),
            deeds: 0,
        }
    }

    /// Which meter has which SAP, as it says: a number beyond the last meter is
    /// a name that nobody has.
    pub(super) fn list(&mut self) -> Vec<(u16, usize)> {
        let meters = self.meters;
        let saps = FIRST_SAP..;
        let mut list: Vec<_> = saps.zip(0..meters).collect();
        if !self.dice.hits(self.powers.lie) {
            return list;
        }
        self.deeds += 1;
        // Up to three lies in one list.
        for _ in 0..1 + self.dice.below(3) {
            let (one, other) = (self.dice.below(list.len()), self.dice.below(list.len()));
            match self.dice.below(7) {
                0 => list.rotate_left(one),
                1 if !list.is_empty() => {
                    let name = list[one].1;
                    list[one].1 = list[other].1;
                    list[other].1 = name;
                }
                // One name twice, the false one first.
                2 if !list.is_empty() => list.insert(0, (list[one].0, list[other].1)),
                3 if !list.is_empty() => drop(list.remove(one)),
                // Names of nobody, a thousand of them.
                4 => list.extend((0x2000..0x23E8).zip(meters..)),
                // SAPs that are no meter's: nobody's, its own, reserved, all
                // stations'.
                5 if !list.is_empty() => {
                    let odd = [0, 1, 0x10, link::ALL_STATIONS, 0x3FFF, 0xFFFF];
                    list[one].0 = odd[self.dice.below(odd.len())];
                }
                _ => list.clear(),
            }
        }
        list
    }

    /// A head end's message to a SAP.
    pub(super) fn down(&mut self, head: usize, sap: u16, client: u16, octets: Vec<u8>) -> Vec<Act> {
        let to = |meter, broadcast| Act::ToMeter {
            meter,
            line: 0,
            client,
            broadcast,
            octets: octets.clone(),
            head,
        };
        if sap == link::ALL_STATIONS {
            return (0..self.meters).map(|meter| to(meter, true)).collect();
        }
        let meter = usize::from(sap.wrapping_sub(FIRST_SAP));
        if meter >= self.meters {
            return Vec::new();
        }
        self.meddle(to(meter, false))
    }

    /// A meter's answer to a head end.
    pub(super) fn up(&mut self, head: usize, octets: Vec<u8>) -> Vec<Act> {
        self.meddle(Act::ToHead { head, octets })
    }

    /// Everything that was kept back, in an order of its own, at last.
    pub(super) fn let_go(&mut self) -> Vec<Act> {
        let mut all = std::mem::take(&mut self.held);
        for place in (1..all.len()).rev() {
            let other = self.dice.below(place + 1);
            all.swap(place, other);
        }
        self.powers = Powers::default();
        all
    }

    fn keep(dice: &mut Dice, kept: &mut Vec<Act>, act: Act) {
        if kept.len() < KEPT_MAX {
            kept.push(act);
        } else {
            let place = dice.below(KEPT_MAX);
            kept[place] = act;
        }
    }

    fn meddle(&mut self, act: Act) -> Vec<Act> {
        Self::keep(&mut self.dice, &mut self.heard, act.clone());
        let powers = self.powers;
        let mut acts = vec![act];
        let mut deed = |dice: &mut Dice, permille| {
            let hit = dice.hits(permille);
            self.deeds += usize::from(hit);
            hit
        };
        let dice = &mut self.dice;
        if deed(dice, powers.alter) {
            alter(dice, octets(&mut acts[0]));
        }
        if deed(dice, powers.double) {
            acts.push(acts[0].clone());
        }
        if deed(dice, powers.readdress) {
            readdress(dice, self.meters, &mut acts[0]);
        }
        if deed(dice, powers.impersonate)
            && let Act::ToMeter { client, .. } = &mut acts[0]
        {
            *client = [MANAGEMENT, 2, 3, PUBLIC][dice.below(4)];
        }
        if deed(dice, powers.reflect) {
            acts.push(reflected(dice, &acts[0]));
        }
        if deed(dice, powers.forge) {
            acts.push(forged(dice, self.meters));
        }
        if deed(dice, powers.replay) {
            for _ in 0..1 + dice.below(3) {
                let mut old = self.heard[dice.below(self.heard.len())].clone();
                if dice.hits(300) {
                    readdress(dice, self.meters, &mut old);
                }
                acts.push(old);
            }
        }
        if deed(dice, powers.reconnect) {
            acts.push(Act::Reconnect {
                meter: dice.below(self.meters),
                line: u8::try_from(dice.below(usize::from(LINES))).unwrap(),
            });
        }
        if deed(dice, powers.cut) {
            acts.push(Act::Cut {
                head: dice.below(self.meters),
            });
        }
        if deed(dice, powers.drop) {
            acts.remove(0);
        } else if deed(dice, powers.hold) {
            let act = acts.remove(0);
            Self::keep(dice, &mut self.held, act);
        }
        if powers.hold > 0 && !self.held.is_empty() && dice.hits(100) {
            // Late, and behind what came after it or before what comes next.
            let late = self.held.swap_remove(dice.below(self.held.len()));
            let place = dice.below(acts.len() + 1);
            acts.insert(place, late);
        }
        if powers.double > 0 && dice.hits(200) {
            acts.reverse();
        }
        acts
    }
}

fn octets(act: &mut Act) -> &mut Vec<u8> {
    match act {
        Act::ToMeter { octets, .. } | Act::ToHead { octets, .. } => octets,
        Act::Reconnect { .. } | Act::Cut { .. } => panic!("no message"),
    }
}

fn alter(dice: &mut Dice, octets: &mut Vec<u8>) {
    for _ in 0..1 + dice.below(2) {
        let place = dice.below(octets.len());
        match dice.below(7) {
            0 | 1 if !octets.is_empty() => octets[place] ^= 1 << dice.below(8),
            2 if !octets.is_empty() => octets[place] = dice.octet(),
            3 => octets.truncate(place),
            4 => octets.insert(place, dice.octet()),
            // The counter of what is ciphered under a global key.
            5 if octets.len() > 7 => {
                let counter = u32::from_be_bytes(octets[3..7].try_into().unwrap());
                let more = [1, 2, 1_000, 1 << 24, u32::MAX][dice.below(5)];
                octets[3..7].copy_from_slice(&counter.wrapping_add(more).to_be_bytes());
            }
            // The security control.
            6 if octets.len() > 3 => octets[2] = [0x00, 0x10, 0x20, 0x30, 0x70][dice.below(5)],
            _ => octets.push(dice.octet()),
        }
    }
}

fn readdress(dice: &mut Dice, meters: usize, act: &mut Act) {
    match act {
        Act::ToMeter {
            meter, head, line, ..
        } => {
            *meter = dice.below(meters);
            if dice.hits(500) {
                *head = dice.below(meters);
            }
            if dice.hits(300) {
                *line = u8::try_from(dice.below(usize::from(LINES))).unwrap();
            }
        }
        Act::ToHead { head, .. } => *head = dice.below(meters),
        Act::Reconnect { .. } | Act::Cut { .. } => {}
    }
}

fn reflected(dice: &mut Dice, act: &Act) -> Act {
    match act {
        Act::ToMeter { octets, head, .. } => Act::ToHead {
            head: *head,
            octets: octets.clone(),
        },
        Act::ToHead { octets, head } => Act::ToMeter {
            meter: *head,
            line: 0,
            client: MANAGEMENT,
            broadcast: dice.hits(200),
            octets: octets.clone(),
            head: *head,
        },
        other => other.clone(),
    }
}

/// A message of its own making, in clear or with octets that look ciphered.
fn forged(dice: &mut Dice, meters: usize) -> Act {
    let invoke = 0xC0 | u8::try_from(dice.below(16)).unwrap();
    let noise = |dice: &mut Dice, head: &[u8]| {
        let mut octets = head.to_vec();
        octets.push(0x20);
        octets.push(0x30);
        octets.extend((0..30).map(|_| dice.octet()));
        octets
    };
    if dice.hits(500) {
        let octets = match dice.below(7) {
            // The breaker is open; much was used; another's name.
            0 => vec![0xC4, 1, invoke, 0, 3, 0],
            1 => vec![0xC4, 1, invoke, 0, 6, 0x7F, 0xFF, 0xFF, 0xFF],
            2 => {
                let mut octets = vec![0xC4, 1, invoke, 0, 9, 16];
                octets.extend(format!("GWD{:013}", 1 + dice.below(meters)).bytes());
                octets
            }
            // The order was carried out.
            3 => vec![0xC7, 1, invoke, 0, 0],
            // Exceptions: a counter that it says is expected; not allowed.
            4 => {
                let mut octets = vec![0xD8, 1, 6];
                octets.extend((0..4).map(|_| dice.octet()));
                octets
            }
            5 => vec![0xD8, 1, 2],
            _ => {
                let tag = [0xCC, 0xCF, 0xDB][dice.below(3)];
                noise(dice, &[tag])
            }
        };
        return Act::ToHead {
            head: dice.below(meters),
            octets,
        };
    }
    let breaker = [0, 70, 0, 0, 96, 3, 10, 255];
    let octets = match dice.below(6) {
        // Disconnect, in clear; with and without a wish for an answer.
        0 | 1 => {
            let wish = if dice.hits(500) {
                invoke
            } else {
                invoke & 0x3F
            };
            let mut octets = vec![0xC3, 1, wish];
            octets.extend(breaker);
            octets.extend([1, 1, 0x0F, 0]);
            octets
        }
        // An association without anything that proves who asks.
        2 => vec![
            0x60, 0x1D, 0xA1, 9, 6, 7, 0x60, 0x85, 0x74, 5, 8, 1, 1, 0xBE, 0x10, 4, 0x0E, 1, 0, 0,
            0, 6, 0x5F, 0x1F, 4, 0, 0, 0x7E, 0x1F, 4, 0xB0,
        ],
        3 => vec![0x62, 3, 0x80, 1, 0],
        // The control mode is set to one without remote orders.
        4 => {
            let mut octets = vec![0xC1, 1, invoke];
            octets.extend(breaker);
            octets.extend([4, 0, 0x16, 0]);
            octets
        }
        _ => {
            let tag = [0xC8, 0xC9, 0xCB, 0xD3][dice.below(4)];
            noise(dice, &[tag])
        }
    };
    Act::ToMeter {
        meter: dice.below(meters),
        line: u8::try_from(dice.below(usize::from(LINES))).unwrap(),
        client: [MANAGEMENT, PUBLIC, 2, 3][dice.below(4)],
        broadcast: dice.hits(100),
        octets,
        head: dice.below(meters),
    }
}
