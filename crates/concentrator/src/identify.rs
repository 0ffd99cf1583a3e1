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
use link::{Message, Sap};
use model::{LogicalDeviceName, MessageClass};

use crate::direct::Place;

/// The public client's SAP (IEC 62056-5-3).
pub const PUBLIC_CLIENT: Sap = 16;

/// The logical device name (IEC 62056-6-2): Data, value.
const NAME: AttributeDescriptor = AttributeDescriptor::new(1, Obis([0, 0, 42, 0, 0, 255]), 2);

/// Meters that are asked at once.
const AT_ONCE: usize = 32;

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
#[derive(Default)]
pub struct Identify {
    asked: BTreeMap<Place, Asking>,
    /// Those that wait, by when.
    later: BTreeSet<(Instant, Place)>,
    running: BTreeSet<Place>,
    timeout: Duration,
}

struct Asking {
    server: Sap,
    wait: Duration,
    state: State,
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
            later: BTreeSet::new(),
            running: BTreeSet::new(),
            timeout,
        }
    }

    /// Takes a meter that is to be asked from `at` on.
    pub fn ask(&mut self, place: Place, server: Sap, at: Instant) {
        self.forget(place);
        let asking = Asking {
            server,
            wait: RETRY_FIRST,
            state: State::Later(at),
        };
        self.asked.insert(place, asking);
        self.later.insert((at, place));
    }

    /// Forgets a meter.
    pub fn forget(&mut self, place: Place) {
        self.running.remove(&place);
        if let Some(Asking {
            state: State::Later(at),
            ..
        }) = self.asked.remove(&place)
        {
            self.later.remove(&(at, place));
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
                match asking.turn(now) {
                    Turned::Send(payload) => {
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
        if self.running.len() < AT_ONCE
            && let Some(&(at, _)) = self.later.first()
        {
            next = Some(next.map_or(at, |other| other.min(at)));
        }
        Step::Wait(next)
    }

    /// Begins with those whose time has come.
    fn begin(&mut self, now: Instant) {
        while self.running.len() < AT_ONCE
            && let Some(&(at, place)) = self.later.first()
            && at <= now
        {
            self.later.pop_first();
            if let Some(asking) = self.asked.get_mut(&place) {
                asking.state = State::Now(Box::new(begin(self.timeout, now)));
                self.running.insert(place);
            }
        }
    }

    fn put_off(&mut self, place: Place, now: Instant) {
        self.running.remove(&place);
        if let Some(asking) = self.asked.get_mut(&place) {
            let at = now + asking.wait;
            asking.state = State::Later(at);
            asking.wait = (asking.wait * 2).min(RETRY_LONGEST);
            self.later.insert((at, place));
        }
    }
}

impl Asking {
    fn turn(&mut self, now: Instant) -> Turned {
        let State::Now(client) = &mut self.state else {
            return Turned::Waits(None);
        };
        loop {
            match client.poll() {
                Output::Transmit(payload) => return Turned::Send(payload),
                Output::Timeout(Some(at)) if at <= now => client.handle(Input::Timeout, now),
                Output::Timeout(at) => return Turned::Waits(at),
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
