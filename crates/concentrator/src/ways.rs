//! The ways to head ends: over which of them messages come, since when, and when that changed.
//!
//! A way is an entry of `[[concentrator.wan]]`. What is known of one is what was seen here: a
//! connection counts once a message came over it. Head ends may connect for each conversation
//! anew, so that a way where they connect is not lost with a connection but once it has been
//! quiet for a while; one that this concentrator opens is lost with its connection.

use std::time::Duration;

use dlms::Instant;
use model::MessageClass;

use crate::config::WanConfig;

/// How a way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody ever came over it.
    New,
    /// Messages come over it.
    Up,
    /// No message came for a while.
    Quiet,
    /// It is opened from here, always, and no connection is open over which a message came.
    Down,
}

impl State {
    /// Tells the name: `new`, `up`, `quiet`, `down`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Up => "up",
            Self::Quiet => "quiet",
            Self::Down => "down",
        }
    }
}

/// A way, as it is told. Times are seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// What the operator calls it; empty: nothing.
    pub name: String,
    /// Where it listens or connects to as configured, `host:port`; the destination that a
    /// management client wrote is tried before that, and is not told here.
    pub place: String,
    /// Whether it is opened from here.
    pub dialled: bool,
    /// How urgent all is that comes over it, where the configuration says so.
    pub class: Option<MessageClass>,
    /// Connections over which messages came.
    pub connections: usize,
    /// How it is.
    pub state: State,
    /// Since when messages come over it, or came when they did last.
    pub gained: Option<i64>,
    /// Since when none do, or did not when none did last.
    pub lost: Option<i64>,
    /// When the last message came.
    pub heard: Option<i64>,
}

/// Head ends went over from one way to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// From which, counted from 0.
    pub from: usize,
    /// To which.
    pub to: usize,
    /// When the first message came over that, in seconds since 1970-01-01T00:00:00Z.
    pub at: i64,
    /// From the end of the last connection over the one to the first message over the other;
    /// none where that end was not seen at once.
    pub took: Option<Duration>,
}

/// All that is told of the ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The ways in the order of the configuration.
    pub ways: Vec<Way>,
    /// Over which of them head ends come; none where nobody ever did.
    pub current: Option<usize>,
    /// The last change of that.
    pub change: Option<Change>,
}

/// A moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The clock that only goes on.
    pub(crate) now: Instant,
    /// The time of day, in seconds since 1970-01-01T00:00:00Z.
    pub(crate) unix: i64,
}

#[derive(Debug)]
struct Known {
    name: String,
    place: String,
    dialled: bool,
    class: Option<MessageClass>,
    /// Whether the end of its connection is its loss.
    always: bool,
    /// After how long without a message it counts as quiet.
    quiet: Duration,
    open: usize,
    /// When its last connection ended, and whether that was seen at once.
    ended: Option<(Moment, bool)>,
    heard: Option<Moment>,
    gained: Option<i64>,
    lost: Option<i64>,
}

impl Known {
    fn state(&self, now: Instant) -> State {
        let Some(heard) = self.heard else {
            return State::New;
        };
        if self.always && self.open == 0 {
            State::Down
        } else if now.since(heard.now) >= self.quiet {
            State::Quiet
        } else {
            State::Up
        }
    }

    /// Since when nobody comes over it, where it is so.
    fn absent_since(&self) -> Option<i64> {
        let ended = self.ended.filter(|_| self.always && self.open == 0);
        ended.map(|(at, _)| at).or(self.heard).map(|at| at.unix)
    }
}

/// The ways, and over which of them head ends come.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    ways: Vec<Known>,
    current: Option<usize>,
    /// A change that holds unless the way from which it goes is heard again.
    pending: Option<Change>,
    change: Option<Change>,
}

impl Ways {
    /// Adds a way, at which nobody was yet; `place` is where it listens or connects to as
    /// configured.
    pub(crate) fn add(&mut self, config: &WanConfig, place: String) {
        let quiet = u64::from(config.quiet_s) + u64::from(config.every_s);
        let dialled = config.connect.is_some();
        self.ways.push(Known {
            name: config.name.clone().unwrap_or_default(),
            place,
            dialled,
            class: config.class(),
            always: dialled && config.every_s == 0,
            quiet: Duration::from_secs(quiet),
            open: 0,
            ended: None,
            heard: None,
            gained: None,
            lost: None,
        });
    }

    /// Takes that a message came over a way, `first` of its connection.
    pub(crate) fn message(&mut self, number: usize, first: bool, at: Moment) {
        let Some(way) = self.ways.get_mut(number) else {
            return;
        };
        let before = way.heard;
        if way.state(at.now) != State::Up {
            way.lost = way.absent_since();
            way.gained = Some(at.unix);
        }
        way.open += usize::from(first);
        way.heard = Some(at);
        // What is only urgent goes its own way also when nothing has changed.
        if way.class.is_some() {
            return;
        }
        let gained = way.gained;
        match self.current {
            None => self.current = Some(number),
            Some(current) if current == number => self.pending = None,
            Some(current) if self.pending.is_none() => {
                self.pending = self.ways.get(current).and_then(|from| {
                    let gone = from.open == 0 || from.state(at.now) != State::Up;
                    let last = from.heard.filter(|_| gone)?;
                    // Who came this way before the other one was left need not have left it then.
                    let new = before.is_none_or(|before| before.now <= last.now);
                    let ended = from
                        .ended
                        .filter(|(_, seen)| *seen && from.open == 0 && new);
                    let took = ended.map(|(ended, _)| at.now.since(ended.now));
                    let since = gained.filter(|gained| took.is_none() && *gained >= last.unix);
                    Some(Change {
                        from: current,
                        to: number,
                        at: since.unwrap_or(at.unix),
                        took,
                    })
                });
            }
            Some(_) => {}
        }
        self.settle(at.now);
    }

    /// Takes that a connection ended over which messages came; `seen` says that this was noticed
    /// as it happened.
    pub(crate) fn ended(&mut self, number: usize, seen: bool, at: Moment) {
        if let Some(way) = self.ways.get_mut(number) {
            way.open = way.open.saturating_sub(1);
            if way.open == 0 {
                way.ended = Some((at, seen));
            }
        }
    }

    /// Takes a change as one once the way that was left is no longer up.
    fn settle(&mut self, now: Instant) {
        let left = |change: &Change| {
            let from = self.ways.get(change.from);
            from.is_some_and(|from| from.state(now) != State::Up)
        };
        if let Some(change) = self.pending.filter(left) {
            self.current = Some(change.to);
            self.change = Some(change);
            self.pending = None;
        }
    }

    /// Tells how all are now.
    pub(crate) fn told(&mut self, now: Instant) -> Told {
        self.settle(now);
        let way = |way: &Known| {
            let state = way.state(now);
            Way {
                name: way.name.clone(),
                place: way.place.clone(),
                dialled: way.dialled,
                class: way.class,
                connections: way.open,
                state,
                gained: way.gained,
                lost: match state {
                    State::Quiet | State::Down => way.absent_since(),
                    State::New | State::Up => way.lost,
                },
                heard: way.heard.map(|at| at.unix),
            }
        };
        Told {
            ways: self.ways.iter().map(way).collect(),
            current: self.current,
            change: self.change,
        }
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement; what real connections come to is in `tests/it/ways.rs`.
    use super::*;

    const START: i64 = 1_795_262_400;

    fn at(ms: u64) -> Moment {
        Moment {
            now: Instant::from_micros(ms * 1_000),
            unix: START + i64::try_from(ms / 1_000).unwrap(),
        }
    }

    /// Ways of these kinds, each quiet after three minutes.
    fn ways(all: &[(&str, bool, u32, Option<&str>)]) -> Ways {
        let mut ways = Ways::default();
        for (name, dialled, every_s, class) in all {
            let url = Some("tcp://192.0.2.8:4059".to_owned());
            let (listen, connect) = if *dialled { (None, url) } else { (url, None) };
            let config = WanConfig {
                name: Some((*name).to_owned()),
                listen,
                connect,
                every_s: *every_s,
                stay_s: *every_s / 2,
                class: class.map(str::to_owned),
                ..WanConfig::default()
            };
            ways.add(&config, "192.0.2.8:4059".to_owned());
        }
        ways
    }

    fn states(ways: &mut Ways, ms: u64) -> Vec<State> {
        let told = ways.told(at(ms).now);
        told.ways.iter().map(|it| it.state).collect()
    }

    /// One conversation of a head end that connects for it: a second long.
    fn talk(ways: &mut Ways, way: usize, ms: u64) {
        ways.message(way, true, at(ms));
        ways.message(way, false, at(ms + 500));
        ways.ended(way, true, at(ms + 1_000));
    }

    const LISTENS: [(&str, bool, u32, Option<&str>); 3] = [
        ("Fibre", false, 0, None),
        ("LTE", false, 0, None),
        ("Orders", false, 0, Some("control")),
    ];

    #[test]
    fn a_way_is_not_lost_between_two_conversations() {
        let mut ways = ways(&LISTENS);
        assert_eq!(states(&mut ways, 0), [State::New; 3]);
        for minute in 0..10 {
            talk(&mut ways, 0, minute * 60_000);
            // An order goes its own way, and a second head end another one.
            talk(&mut ways, 2, minute * 60_000 + 5_000);
            talk(&mut ways, 1, minute * 60_000 + 20_000);
        }
        let told = ways.told(at(600_000).now);
        assert_eq!((told.current, told.change), (Some(0), None));
        assert!(told.ways.iter().all(|it| it.state == State::Up));
        assert_eq!(told.ways[0].gained, Some(START));
        assert_eq!(told.ways[0].lost, None);
    }

    #[test]
    fn going_over_is_told_with_its_time_once_the_other_way_is_quiet() {
        let mut ways = ways(&LISTENS);
        talk(&mut ways, 0, 0);
        talk(&mut ways, 2, 2_000);
        talk(&mut ways, 1, 4_300);
        assert_eq!(ways.told(at(6_000).now).current, Some(0));
        talk(&mut ways, 1, 100_000);
        let told = ways.told(at(181_000).now);
        let took = Some(Duration::from_millis(3_300));
        let change = Change {
            from: 0,
            to: 1,
            at: START + 4,
            took,
        };
        assert_eq!((told.current, told.change), (Some(1), Some(change)));
        let fibre = &told.ways[0];
        assert_eq!((fibre.state, fibre.lost), (State::Quiet, Some(START)));
        // Back again: its absence is told as past.
        talk(&mut ways, 0, 200_000);
        let fibre = &ways.told(at(201_000).now).ways[0];
        let expected = (State::Up, Some(START + 200), Some(START));
        assert_eq!((fibre.state, fibre.gained, fibre.lost), expected);
    }

    #[test]
    fn who_comes_back_had_not_gone_over() {
        let mut ways = ways(&LISTENS);
        talk(&mut ways, 0, 0);
        talk(&mut ways, 1, 3_000);
        talk(&mut ways, 0, 60_000);
        let told = ways.told(at(230_000).now);
        assert_eq!((told.current, told.change), (Some(0), None));
    }

    #[test]
    fn a_loss_that_was_not_seen_at_once_has_no_time() {
        // The line was cut in silence: its connection is there still.
        let mut cut = ways(&LISTENS);
        cut.message(0, true, at(0));
        talk(&mut cut, 1, 4_000);
        talk(&mut cut, 1, 100_000);
        talk(&mut cut, 1, 200_000);
        let told = cut.told(at(201_000).now);
        assert_eq!(told.current, Some(1));
        let change = told.change.unwrap();
        assert_eq!((change.at, change.took), (START + 4, None));
        assert_eq!(told.ways[0].connections, 1);
        // Its end was an inactivity time-out.
        let mut idle = ways(&LISTENS);
        idle.message(0, true, at(0));
        idle.ended(0, false, at(170_000));
        talk(&mut idle, 1, 170_500);
        let change = idle.told(at(200_000).now).change;
        assert_eq!(change.and_then(|it| it.took), None);
        assert!(change.is_some());
        // Both were in use.
        let mut both = ways(&LISTENS);
        both.message(0, true, at(0));
        both.message(1, true, at(1_000));
        both.ended(0, true, at(2_000));
        both.message(1, false, at(2_010));
        both.message(1, false, at(181_000));
        let change = both.told(at(182_000).now).change;
        assert_eq!(change.map(|it| (it.to, it.took)), Some((1, None)));
    }

    #[test]
    fn what_is_opened_from_here_is_lost_with_its_connection_unless_it_comes_in_windows() {
        let kinds = [("Fibre", true, 0, None), ("LTE", true, 3_600, None)];
        let mut ways = ways(&kinds);
        talk(&mut ways, 0, 0);
        assert_eq!(states(&mut ways, 1_000), [State::Down, State::New]);
        talk(&mut ways, 1, 1_250);
        let told = ways.told(at(2_250).now);
        assert_eq!(told.current, Some(1));
        let took = told.change.and_then(|it| it.took);
        assert_eq!(took, Some(Duration::from_millis(250)));
        assert_eq!(told.ways[0].lost, Some(START + 1));
        assert_eq!(
            states(&mut ways, 3_600_000),
            [State::Down, State::Up],
            "between two windows"
        );
        assert_eq!(states(&mut ways, 3_900_000), [State::Down, State::Quiet]);
    }
}
