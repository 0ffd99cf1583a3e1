//! What meters behind a concentrator share: a segment of it, and with that how many of them may be
//! asked at once and how long an answer may take.
//!
//! A concentrator says what its segments are and which SAPs are on each. That is its word, and no
//! more follows from it than patience: nothing is proved by it, and nobody is let in.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;

use crate::collector::Line;
use crate::concentrators::Segment;
use crate::config::{CollectorConfig, Config, MediaConfig, MediumConfig};
use crate::store::Enrolment;

/// The segments of concentrators, as each said last.
///
/// One lock, held for a look into two maps; of each concentrator of the configuration one entry is
/// kept, with at most as many SAPs as its report may have.
#[derive(Debug)]
pub struct Lines {
    media: MediaConfig,
    at_once_max: usize,
    /// By endpoint, each with the number of its last change.
    said: RwLock<BTreeMap<String, (u64, Said)>>,
    /// The number of the last change of all.
    changed: watch::Sender<u64>,
}

/// What is known of one concentrator.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// It will be looked at.
    NotYet,
    /// It was looked at, and said nothing of its segments.
    Nothing,
    /// It said what its segments are, by number, and at which of them each SAP is.
    Segments {
        media: BTreeMap<u16, String>,
        saps: BTreeMap<u16, u16>,
    },
}

/// How a meter is to be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Says what it shares with others at its endpoint.
    pub line: Line,
    /// Holds what is configured of the medium; nothing where it is that of the endpoint itself, or
    /// not known.
    medium: Option<MediumConfig>,
}

impl Pace {
    /// Returns the longest wait for one answer, where it is `plain` over IP.
    pub fn answer(&self, plain: Duration) -> Duration {
        let answer_s = self.medium.map(|it| u64::from(it.answer_s));
        answer_s.map_or(plain, Duration::from_secs).max(plain)
    }

    /// Returns the longest time that an association may take, where it is `plain` over IP.
    pub fn association(&self, plain: Duration) -> Duration {
        let timeout_s = self.medium.map(|it| u64::from(it.timeout_s));
        timeout_s.map_or(plain, Duration::from_secs).max(plain)
    }

    /// Returns the longest span of a profile that is asked for at once, in days, where it is
    /// `plain` over IP.
    pub fn span_days(&self, plain: u16) -> u16 {
        self.medium.map_or(plain, |it| it.span_days.min(plain))
    }

    /// Returns the slower of both.
    fn or_slower(self, other: Self) -> Self {
        let wait = |it: &Self| it.medium.map_or(0, |medium| medium.answer_s);
        if wait(&other) > wait(&self) {
            other
        } else {
            self
        }
    }
}

impl Lines {
    /// Knows of no segment yet: meters of the concentrators that are looked at are not read before
    /// these have been, or were looked at in vain; orders wait for them as on the slowest medium.
    pub fn new(config: &Config) -> Self {
        let CollectorConfig {
            media,
            endpoint_concurrency,
            ..
        } = &config.collector;
        let watched = config
            .concentrator
            .iter()
            .filter(|it| it.device().is_some());
        let said = watched.map(|it| (it.endpoint.clone(), (0, Said::NotYet)));
        Self {
            media: *media,
            at_once_max: *endpoint_concurrency,
            said: RwLock::new(said.collect()),
            changed: watch::Sender::new(0),
        }
    }

    /// Takes what a concentrator says of its segments.
    pub fn told(&self, endpoint: &str, segments: &[Segment]) {
        let media = segments.iter().map(|it| (it.number, it.medium.clone()));
        let on = |it: &Segment| {
            let number = it.number;
            it.saps.clone().into_iter().map(move |sap| (sap, number))
        };
        let said = Said::Segments {
            media: media.collect(),
            saps: segments.iter().flat_map(on).collect(),
        };
        self.change(endpoint, |before| (before != Some(&said)).then_some(said));
    }

    /// Takes that a concentrator could not be looked at; what it said before holds.
    pub fn silent(&self, endpoint: &str) {
        self.change(endpoint, |before| {
            (before == Some(&Said::NotYet)).then_some(Said::Nothing)
        });
    }

    fn change(&self, endpoint: &str, to: impl FnOnce(Option<&Said>) -> Option<Said>) {
        let mut all = self.said.write().unwrap_or_else(PoisonError::into_inner);
        let Some(said) = to(all.get(endpoint).map(|(_, said)| said)) else {
            return;
        };
        // Under the lock: who hears of a number finds all changes up to it.
        self.changed.send_modify(|last| {
            *last = last.wrapping_add(1);
            all.insert(endpoint.to_owned(), (*last, said));
        });
    }

    /// Returns what tells that a meter may have come to hang elsewhere.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Tells which endpoints changed behind change `seen`, and the number of the last change.
    pub fn changed_since(&self, seen: u64) -> (Vec<String>, u64) {
        let all = self.said.read().unwrap_or_else(PoisonError::into_inner);
        let later = all.iter().filter(|(_, (at, _))| *at > seen);
        let later = later.map(|(endpoint, _)| endpoint.clone()).collect();
        (later, *self.changed.borrow())
    }

    /// Returns those ways of an endpoint that a concentrator is at of which something is or will be
    /// known.
    pub fn watched<'e>(&self, endpoint: &'e str) -> Vec<&'e str> {
        let all = self.said.read().unwrap_or_else(PoisonError::into_inner);
        let ways = endpoint.split_whitespace();
        ways.filter(|way| all.contains_key(*way)).collect()
    }

    /// Tells how a meter is to be asked: as its segment wants it; where a concentrator does not say
    /// at which segment the meter is, as the slowest of its segments wants it.
    pub fn pace(&self, meter: &Enrolment) -> Pace {
        let all = self.said.read().unwrap_or_else(PoisonError::into_inner);
        let mut slowest = Pace::default();
        let mut is_open = false;
        for (way, place) in meter.endpoint.split_whitespace().zip(0_u32..) {
            // Of several concentrators before a meter each has segments of its own.
            let first = place.saturating_mul(1 << 16).saturating_add(1);
            let line = |number: u16| first.saturating_add(number.into());
            match all.get(way).map(|(_, said)| said) {
                None | Some(Said::Nothing) => {}
                Some(Said::NotYet) => is_open = true,
                Some(Said::Segments { media, saps }) => {
                    let medium = |number| self.media.of(media.get(number).map(String::as_str));
                    if let Some(number) = saps.get(&meter.server) {
                        return self.of(medium(number), line(*number));
                    }
                    for number in media.keys() {
                        slowest = slowest.or_slower(self.of(medium(number), 0));
                    }
                }
            }
        }
        if is_open {
            // One that was not looked at may have it: then it waits for that look.
            let media = self.media.all().into_iter();
            slowest = media.fold(slowest, |slowest, medium| {
                slowest.or_slower(self.of(Some(medium), 0))
            });
            slowest.line.at_once = 0;
        }
        slowest
    }

    fn of(&self, medium: Option<MediumConfig>, number: u32) -> Pace {
        let at_once = medium.map_or(self.at_once_max, |it| it.at_once);
        Pace {
            line: Line {
                number,
                at_once: at_once.clamp(1, self.at_once_max.max(1)),
            },
            medium,
        }
    }
}

impl Default for Lines {
    fn default() -> Self {
        Self::new(&Config::default())
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;
    use crate::concentrators::tests::enrolment;
    use crate::config::ConcentratorConfig;

    const HERE: &str = "tcp://10.0.0.1:4059";
    const THERE: &str = "tcp://10.0.0.2:4059";

    fn lines() -> Lines {
        let text = format!(
            "[[concentrator]]\nendpoint = \"{HERE}\"\nname = \"GWD1DC0000000001\"\n\
             [[concentrator]]\nendpoint = \"{THERE}\"\nname = \"GWD1DC0000000002\"\n\
             [[concentrator]]\nendpoint = \"tcp://10.0.0.3:4059\"\n"
        );
        let config: Config = toml::from_str(&text).unwrap();
        let named = |it: &&ConcentratorConfig| it.device().is_some();
        assert_eq!(config.concentrator.iter().filter(named).count(), 2);
        Lines::new(&config)
    }

    fn meter(endpoint: &str, server: u16) -> Enrolment {
        enrolment(1, endpoint, server)
    }

    fn segment(number: u16, medium: &str, saps: &[u16]) -> Segment {
        Segment {
            number,
            medium: medium.to_owned(),
            open: true,
            waiting: 0,
            saps: saps.to_vec(),
        }
    }

    fn at_once(lines: &Lines, endpoint: &str, server: u16) -> (u32, usize) {
        let Line { number, at_once } = lines.pace(&meter(endpoint, server)).line;
        (number, at_once)
    }

    #[test]
    fn a_meter_is_asked_as_its_segment_wants_it() {
        let lines = lines();
        let plain = Pace::default();
        // Nobody has looked: then none is read, and as without it once it was in vain.
        assert_eq!(at_once(&lines, HERE, 256), (0, 0));
        lines.silent(HERE);
        assert_eq!(lines.pace(&meter(HERE, 256)), plain);
        for (medium, many) in [
            ("s-fsk", 2),
            ("prime", 4),
            ("g3", 4),
            ("hdlc", 4),
            ("ip", 16),
        ] {
            lines.told(HERE, &[segment(3, medium, &[256])]);
            assert_eq!(at_once(&lines, HERE, 256), (4, many), "{medium}");
        }
        // One that is on no segment is asked as the slowest wants it.
        let two = [segment(0, "ip", &[256]), segment(1, "s-fsk", &[257])];
        lines.told(HERE, &two);
        assert_eq!(at_once(&lines, HERE, 256), (1, 16));
        assert_eq!(at_once(&lines, HERE, 257), (2, 2));
        assert_eq!(at_once(&lines, HERE, 258), (0, 2));
        // What it said holds while it does not answer.
        lines.silent(HERE);
        assert_eq!(at_once(&lines, HERE, 257), (2, 2));
        // A medium that nobody knows, and places that nobody looks at.
        lines.told(HERE, &[segment(0, "string", &[256])]);
        assert_eq!(at_once(&lines, HERE, 256), (1, 16));
        assert_eq!(lines.pace(&meter("tcp://10.0.0.3:4059", 256)), plain);
        assert_eq!(lines.pace(&meter("tcp://10.0.0.9:4059", 256)), plain);
    }

    #[test]
    fn of_two_concentrators_the_one_that_has_the_meter_says_where_it_is() {
        let lines = lines();
        let both = format!("{HERE} {THERE}");
        lines.told(HERE, &[]);
        lines.told(THERE, &[segment(0, "s-fsk", &[256])]);
        assert_eq!(at_once(&lines, &both, 256), (65_537, 2));
        // They change over: segment 0 of one is not segment 0 of the other.
        lines.told(HERE, &[segment(0, "s-fsk", &[256])]);
        lines.told(THERE, &[]);
        assert_eq!(at_once(&lines, &both, 256), (1, 2));
    }

    #[test]
    fn a_meter_with_two_ways_waits_for_a_look_at_both() {
        let text = format!(
            "[collector.media.g3]\nat_once = 4\nanswer_s = 900\ntimeout_s = 1800\nspan_days = 2\n\
             [[concentrator]]\nendpoint = \"{HERE}\"\n\
             name = \"GWD1DC0000000001\"\n[[concentrator]]\nendpoint = \"{THERE}\"\n\
             name = \"GWD1DC0000000002\"\n"
        );
        let lines = Lines::new(&toml::from_str(&text).unwrap());
        let both = format!("{HERE} {THERE}");
        let plain = Duration::from_secs(30);
        let answer = |lines: &Lines| lines.pace(&meter(&both, 256)).answer(plain).as_secs();
        // The slowest is that with the longest wait, whichever that is.
        assert_eq!((at_once(&lines, &both, 256), answer(&lines)), ((0, 0), 900));
        // One has another meter on that medium: the other one may still have this one.
        lines.told(HERE, &[segment(0, "g3", &[257])]);
        assert_eq!((at_once(&lines, &both, 256), answer(&lines)), ((0, 0), 900));
        assert_eq!(at_once(&lines, &both, 257), (1, 4));
        lines.silent(THERE);
        assert_eq!((at_once(&lines, &both, 256), answer(&lines)), ((0, 4), 900));
    }

    #[test]
    fn waits_follow_the_medium_and_are_never_shorter_than_configured() {
        let lines = lines();
        let limits = |plain| {
            let plain = Duration::from_secs(plain);
            let pace = lines.pace(&meter(HERE, 256));
            let secs = |it: Duration| it.as_secs();
            let (answer, whole) = (pace.answer(plain), pace.association(plain));
            (secs(answer), secs(whole), pace.span_days(7))
        };
        lines.told(HERE, &[segment(0, "ip", &[256])]);
        assert_eq!(limits(30), (30, 30, 7));
        lines.told(HERE, &[segment(0, "s-fsk", &[256])]);
        assert_eq!(limits(30), (300, 1_800, 1));
        assert_eq!(limits(7_200), (7_200, 7_200, 1));
    }

    #[test]
    fn who_asks_hears_of_a_change_and_of_nothing_else() {
        let lines = lines();
        let mut changes = lines.changes();
        lines.told(HERE, &[segment(0, "s-fsk", &[256])]);
        assert!(changes.has_changed().unwrap());
        changes.borrow_and_update();
        let (changed, seen) = lines.changed_since(0);
        assert_eq!(changed, [HERE]);
        lines.told(HERE, &[segment(0, "s-fsk", &[256])]);
        lines.silent(HERE);
        assert!(!changes.has_changed().unwrap());
        lines.silent(THERE);
        assert_eq!(
            lines.changed_since(seen),
            (vec![THERE.to_owned()], seen + 1)
        );
        let ways = format!("{THERE} tcp://10.0.0.3:4059 {HERE}");
        assert_eq!(lines.watched(&ways), [THERE, HERE]);
    }
}
