//! Asking a meter that joined for its logical device name.
//!
//! The concentrator asks as the public client, without keys and in clear: who
//! answers may say what he likes. The name decides only which SAP a meter is
//! reached by; that the meter is the one which the head end means is proved
//! between the two of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dlms::Instant;
use dlms::axdr::{Leaf, RawData};
use dlms::client::{
    Associate, Client, Config, Event, GetItem, Input, Output, Repeat, Request, Response,
};
use dlms::cosem::{AttributeDescriptor, Obis};
use link::{Message, Node, Sap};
use model::{LogicalDeviceName, MessageClass};

use crate::direct::{Place, SegmentId};

/// The public client's SAP (IEC 62056-5-3).
pub const PUBLIC_CLIENT: Sap = 16;

/// The logical device name (IEC 62056-6-2): Data, value.
const NAME: AttributeDescriptor = AttributeDescriptor::new(1, Obis([0, 0, 42, 0, 0, 255]), 2);

/// Meters that are asked at once.
const AT_ONCE: usize = 32;

/// Meters of a segment on one wire that are asked at once: each message waits for those of the
/// others, so that with many nobody has said its name before all were asked.
const AT_ONCE_ON_A_WIRE: usize = 4;

/// How many messages' time a wire is silent before those that were asked on it count as silent
/// too, and how long at the least.
const QUIET_MESSAGES: u32 = 4;
const QUIET_LEAST: Duration = Duration::from_secs(1);

/// How long after it was asked a meter counts as silent, whatever else the wire carries.
const QUIET_MOST: Duration = Duration::from_secs(10);

/// The wait before a meter that did not say its name is asked again; it
/// doubles up to [`RETRY_LONGEST`].
const RETRY_FIRST: Duration = Duration::from_secs(30);

/// The longest such wait.
const RETRY_LONGEST: Duration = Duration::from_secs(3_600);

/// What is to be done about a meter's name.
#[derive(Debug)]
pub enum Step {
    /// A message is to go to the meter.
    Send(Place, Message),
    /// The meter has said its name.
    Named(Place, LogicalDeviceName),
    /// Nothing until something happens or until then.
    Wait(Option<Instant>),
}

/// The meters that were not yet asked, or have not yet answered.
///
/// On a segment whose meters share one wire four are asked at once. One that is silent gives its
/// place to the next when the wire has been silent as well for as long as four messages take, or
/// after ten seconds, or at once where the medium says that it was not reached; its answer is
/// taken all the same. The time for an answer begins when the question has left, so that a wire
/// that others have for long gathers no repetitions.
#[derive(Default)]
pub struct Identify {
    asked: BTreeMap<Place, Asking>,
    /// Those that wait, by when.
    later: BTreeMap<SegmentId, BTreeSet<(Instant, Place)>>,
    /// Those that were asked.
    running: BTreeSet<Place>,
    /// Those of them that keep others waiting.
    holding: BTreeSet<Place>,
    wires: BTreeMap<SegmentId, Wire>,
    timeout: Duration,
}

/// A wire that all meters of a segment share.
#[derive(Clone, Copy)]
struct Wire {
    /// When something last came or left.
    moved: Instant,
    /// The longest time that a question took to leave when its turn had come.
    took: Duration,
}

struct Asking {
    server: Sap,
    wait: Duration,
    state: State,
    /// When the last message to it was handed over, and when it left.
    sent: Option<Instant>,
    left: Option<Instant>,
}

enum State {
    /// Not before then.
    Later(Instant),
    Now(Box<Client>),
}

/// What came of turning one meter's client.
enum Turned {
    Send(Vec<u8>),
    Named(LogicalDeviceName),
    Failed,
    Waits(Option<Instant>),
}

impl Identify {
    /// Starts with nobody to ask; an answer may take `timeout`.
    #[must_use]
    pub const fn new(timeout: Duration) -> Self {
        Self {
            asked: BTreeMap::new(),
            later: BTreeMap::new(),
            running: BTreeSet::new(),
            holding: BTreeSet::new(),
            wires: BTreeMap::new(),
            timeout,
        }
    }

    /// Takes that all meters of a segment share one wire.
    pub fn share(&mut self, segment: SegmentId, now: Instant) {
        let wire = Wire {
            moved: now,
            took: Duration::ZERO,
        };
        self.wires.insert(segment, wire);
    }

    /// Takes that something came from a segment.
    pub fn moved(&mut self, segment: SegmentId, now: Instant) {
        if let Some(wire) = self.wires.get_mut(&segment) {
            wire.moved = now;
        }
    }

    /// Takes that a message to a meter, or to all, has left its segment, or has not arrived.
    pub fn left(&mut self, segment: SegmentId, node: Option<Node>, delivered: bool, now: Instant) {
        let Some(wire) = self.wires.get_mut(&segment) else {
            return;
        };
        let before = std::mem::replace(&mut wire.moved, now);
        let Some(place) = node.map(|node| Place { segment, node }) else {
            return;
        };
        if let Some(asking) = self.asked.get_mut(&place) {
            if let Some(sent) = asking.sent {
                wire.took = wire.took.max(now.since(before.max(sent)));
            }
            asking.left = Some(now);
        }
        if !delivered {
            self.holding.remove(&place);
        }
    }

    /// Takes that a message to a meter went nowhere: it is sent again in its time, and others are
    /// asked meanwhile.
    pub fn unsent(&mut self, place: Place, now: Instant) {
        if let Some(asking) = self.asked.get_mut(&place) {
            asking.left = Some(now);
        }
        self.holding.remove(&place);
    }

    /// Takes a meter that is to be asked from `at` on.
    pub fn ask(&mut self, place: Place, server: Sap, at: Instant) {
        self.forget(place);
        let asking = Asking {
            server,
            wait: RETRY_FIRST,
            state: State::Later(at),
            sent: None,
            left: None,
        };
        self.asked.insert(place, asking);
        self.wait(place, at);
    }

    fn wait(&mut self, place: Place, at: Instant) {
        let later = self.later.entry(place.segment).or_default();
        later.insert((at, place));
    }

    /// Forgets a meter.
    pub fn forget(&mut self, place: Place) {
        self.running.remove(&place);
        self.holding.remove(&place);
        if let Some(Asking {
            state: State::Later(at),
            ..
        }) = self.asked.remove(&place)
            && let Some(later) = self.later.get_mut(&place.segment)
        {
            later.remove(&(at, place));
        }
    }

    /// Takes what a meter answered.
    pub fn answered(&mut self, place: Place, apdu: &[u8], now: Instant) {
        if let Some(Asking {
            state: State::Now(client),
            ..
        }) = self.asked.get_mut(&place)
        {
            client.handle(Input::Apdu(apdu), now);
        }
    }

    /// Tells what is to be done next.
    pub fn poll(&mut self, now: Instant) -> Step {
        let mut next: Option<Instant>;
        loop {
            self.begin(now);
            let mut failed = None;
            next = None;
            for &place in &self.running {
                let Some(asking) = self.asked.get_mut(&place) else {
                    continue;
                };
                let server = asking.server;
                let on_wire = self.wires.contains_key(&place.segment);
                match asking.turn(on_wire.then_some(self.timeout), now) {
                    Turned::Send(payload) => {
                        asking.sent = Some(now);
                        asking.left = None;
                        let message = Message {
                            source: PUBLIC_CLIENT,
                            destination: server,
                            class: MessageClass::Usage,
                            payload,
                        };
                        return Step::Send(place, message);
                    }
                    Turned::Named(name) => {
                        // The association ends by itself with the next one; a
                        // release would cost airtime.
                        self.forget(place);
                        return Step::Named(place, name);
                    }
                    Turned::Failed => {
                        failed = Some(place);
                        break;
                    }
                    Turned::Waits(at) => {
                        next = match (next, at) {
                            (Some(one), Some(other)) => Some(one.min(other)),
                            (one, other) => one.or(other),
                        };
                    }
                }
            }
            match failed {
                Some(place) => self.put_off(place, now),
                None => break,
            }
        }
        let begins = self.first().map(|(at, _)| at);
        // While nobody waits for a place it does not matter who has one.
        let frees = self.holding.iter().filter(|place| self.is_awaited(place));
        let frees = frees.filter_map(|place| self.silent_at(*place)).min();
        Step::Wait([next, begins, frees].into_iter().flatten().min())
    }

    /// The first that waits on a segment where one more may be asked.
    fn first(&self) -> Option<(Instant, Place)> {
        if self.holding.len() >= AT_ONCE {
            return None;
        }
        let firsts = self.later.iter().filter_map(|(segment, later)| {
            let held = || self.holding.iter().filter(|it| it.segment == *segment);
            let full = self.wires.contains_key(segment) && held().count() >= AT_ONCE_ON_A_WIRE;
            later.first().copied().filter(|_| !full)
        });
        firsts.min()
    }

    fn is_awaited(&self, place: &Place) -> bool {
        let later = self.later.get(&place.segment);
        later.is_some_and(|later| !later.is_empty())
    }

    /// When a meter that was asked on a wire counts as silent.
    fn silent_at(&self, place: Place) -> Option<Instant> {
        let wire = self.wires.get(&place.segment)?;
        let left = self.asked.get(&place)?.left?;
        let quiet = (wire.took * QUIET_MESSAGES).max(QUIET_LEAST);
        Some((wire.moved.max(left) + quiet).min(left + QUIET_MOST))
    }

    /// Begins with those whose time has come, in place of those that are silent as well.
    fn begin(&mut self, now: Instant) {
        let silent = self.holding.iter().copied();
        let silent = silent.filter(|place| self.silent_at(*place).is_some_and(|at| at <= now));
        let silent: Vec<Place> = silent.collect();
        for place in silent {
            self.holding.remove(&place);
        }
        while let Some((at, place)) = self.first()
            && at <= now
        {
            if let Some(later) = self.later.get_mut(&place.segment) {
                later.remove(&(at, place));
            }
            if let Some(asking) = self.asked.get_mut(&place) {
                asking.state = State::Now(Box::new(begin(self.timeout, now)));
                self.running.insert(place);
                self.holding.insert(place);
            }
        }
    }

    fn put_off(&mut self, place: Place, now: Instant) {
        self.running.remove(&place);
        self.holding.remove(&place);
        if let Some(asking) = self.asked.get_mut(&place) {
            let at = now + asking.wait;
            asking.state = State::Later(at);
            asking.wait = (asking.wait * 2).min(RETRY_LONGEST);
            self.wait(place, at);
        }
    }
}

impl Asking {
    /// Tells until when an answer is waited for that the client expects by `at`; `on_wire` is how
    /// long one may take on a wire.
    fn awaited_until(&self, at: Instant, on_wire: Option<Duration>) -> Option<Instant> {
        match (on_wire, self.sent, self.left) {
            (Some(timeout), Some(_), Some(left)) => Some(at.max(left + timeout)),
            // The segment tells when it has left, the router when it never will.
            (Some(_), Some(_), None) => None,
            _ => Some(at),
        }
    }

    fn turn(&mut self, on_wire: Option<Duration>, now: Instant) -> Turned {
        loop {
            let State::Now(client) = &mut self.state else {
                return Turned::Waits(None);
            };
            match client.poll() {
                Output::Transmit(payload) => return Turned::Send(payload),
                Output::Timeout(Some(at)) => {
                    let at = self.awaited_until(at, on_wire);
                    if at.is_none_or(|at| at > now) {
                        return Turned::Waits(at);
                    }
                    if let State::Now(client) = &mut self.state {
                        client.handle(Input::Timeout, now);
                    }
                }
                Output::Timeout(None) => return Turned::Waits(None),
                Output::Event(Event::Associated(_)) => {
                    let item = GetItem {
                        attribute: NAME,
                        selection: None,
                    };
                    client.handle(Input::Request(Request::Get(vec![item])), now);
                }
                Output::Event(Event::Response(response)) => {
                    return name(&response).map_or(Turned::Failed, Turned::Named);
                }
                // The public client has no counters.
                Output::Event(Event::RequestFailed(_) | Event::Ended(_)) | Output::Reserve(_) => {
                    return Turned::Failed;
                }
                Output::Event(_) => {}
            }
        }
    }
}

/// Begins an association as the public client.
pub(crate) fn begin(timeout: Duration, now: Instant) -> Client {
    let config = Config {
        timeout,
        repeat: Repeat::Reads,
        repeats_max: 2,
        ..Config::default()
    };
    let mut client = Client::new(config, None);
    client.handle(
        Input::Associate(Associate {
            password: &[],
            entropy: &[0; 32],
            dedicated: None,
            counter: None,
        }),
        now,
    );
    client
}

fn name(response: &Response) -> Option<LogicalDeviceName> {
    let Response::Get(results) = response else {
        return None;
    };
    let octets = results.first()?.as_ref().ok()?;
    match RawData::new(octets).walk().leaves().next()?.ok()? {
        Leaf::OctetString(octets) | Leaf::VisibleString(octets) => {
            LogicalDeviceName::from_octets(octets).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);
    const PLACE: Place = Place {
        segment: SegmentId(0),
        node: Node(7),
    };

    /// Tells after how many seconds questions were handed over, where one leaves, or goes nowhere,
    /// after `leaves_s`.
    fn questions(on_wire: bool, leaves_s: u64, leaves: bool) -> Vec<u64> {
        let at = |seconds| Instant::from_micros(0) + Duration::from_secs(seconds);
        let mut identify = Identify::new(TIMEOUT);
        if on_wire {
            identify.share(PLACE.segment, at(0));
        }
        identify.ask(PLACE, 1, at(0));
        let mut asked = Vec::new();
        for second in 0..1_000 {
            if second == leaves_s && leaves {
                identify.left(PLACE.segment, Some(PLACE.node), true, at(second));
            } else if second == leaves_s {
                identify.unsent(PLACE, at(second));
            }
            while let Step::Send(..) = identify.poll(at(second)) {
                asked.push(second);
            }
        }
        asked
    }

    #[test]
    fn a_question_that_stands_behind_others_for_its_wire_is_not_repeated() {
        assert_eq!(questions(true, 600, true), [0, 660]);
        assert_eq!(questions(true, 300, false), [0, 360]);
        // The control: where messages have no wire to wait for, it is.
        assert_eq!(questions(false, 600, true)[..3], [0, 60, 120]);
    }
}
