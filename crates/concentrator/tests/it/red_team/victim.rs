//! Both ends: real meters behind server machines, and a head end's clients.

use std::collections::BTreeMap;

use dlms::Instant;
use dlms::acse::MechanismName;
use dlms::client::{
    ActionItem, Associate, Client, Config, Event, Failure, GetItem, Input, Output, Repeat, Request,
    Response, Security,
};
use dlms::cosem::{AttributeDescriptor, MethodDescriptor, Obis};
use dlms::security::{
    AwsLc, CounterHint, CounterRecord, CounterRestart, KeyRing, Keys, PeerCounter, PeerWindows,
    Protection, ReplayWindow, SecuritySuite, SendCounter, SystemTitle,
};
use dlms::server::{
    self, AssociationTerms, AttributeRights, BackOff, Caller, Context, NoEntropy, NotDurable,
    Notice, ObjectStore, SecurityState, Selection, Server,
};
use dlms::xdlms::{ActionResult, DataAccessResult};
use link::{Entropy as _, MeterKeys};
use meter::device::{Device, Session};
use model::Timestamp;
use sim::SeededEntropy;

use super::Mutation;
use crate::collector::{NOON, Nowhere};

/// The management client, which may switch.
pub(super) const MANAGEMENT: u16 = 1;
/// The public client, who asks in clear.
pub(super) const PUBLIC: u16 = 16;

/// The breaker (class 70).
pub(super) const BREAKER: Obis = Obis([0, 0, 96, 3, 10, 255]);
pub(super) const DISCONNECT: i8 = 1;
pub(super) const RECONNECT: i8 = 2;

/// What is read: the name, the energy, the breaker.
pub(super) const READS: [AttributeDescriptor; 3] = [
    AttributeDescriptor::new(1, Obis([0, 0, 42, 0, 0, 255]), 2),
    AttributeDescriptor::new(3, Obis([1, 0, 1, 8, 0, 255]), 2),
    AttributeDescriptor::new(70, BREAKER, 2),
];

/// Connections that somebody may hold to one meter.
pub(super) const LINES: u8 = 3;

pub(super) fn instant(second: i64) -> Instant {
    Instant::from_micros(u64::try_from(second).unwrap() * 1_000_000)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(NOON + second)
}

/// A meter with its connections, and what really happened there.
pub(super) struct Victim {
    device: Device,
    mutation: Mutation,
    lines: BTreeMap<u8, Server>,
    /// Orders that were carried out: the method and when.
    pub(super) done: Vec<(i8, i64)>,
    /// Attributes that were written.
    pub(super) written: usize,
    /// What each of [`READS`] was, and since when.
    truth: [Vec<(i64, Vec<u8>)>; READS.len()],
}

impl Victim {
    pub(super) fn new(device: Device, mutation: Mutation) -> Self {
        let mut victim = Self {
            device,
            mutation,
            lines: BTreeMap::new(),
            done: Vec::new(),
            written: 0,
            truth: Default::default(),
        };
        victim.look(0);
        victim
    }

    /// Lets time pass at the meter.
    pub(super) fn tick(&mut self, second: i64) {
        self.device.tick(at(second), &mut Nowhere).unwrap();
        self.device.committed();
        self.look(second);
    }

    /// Notes what is true now.
    fn look(&mut self, second: i64) {
        let entropy = SeededEntropy::new(0);
        let mut nowhere = Nowhere;
        for (attribute, truth) in READS.iter().zip(&mut self.truth) {
            let mut session = Session::new(&mut self.device, &mut nowhere, &entropy, at(second));
            let caller = Caller {
                client: MANAGEMENT,
                mechanism: MechanismName::HighGmac,
                protection: Protection::AuthenticatedEncrypted,
                verified: None,
                broadcast: false,
            };
            let mut value = Vec::new();
            session.get(&caller, attribute, None, &mut value).unwrap();
            if truth.last().is_none_or(|(_, last)| *last != value) {
                truth.push((second, value));
            }
        }
    }

    /// Whether an attribute was this at any time of a span.
    pub(super) fn was(&self, read: usize, value: &[u8], from: i64, to: i64) -> bool {
        let truth = &self.truth[read];
        truth.iter().enumerate().any(|(place, (since, it))| {
            let until = truth.get(place + 1).map_or(i64::MAX, |(next, _)| *next);
            it == value && *since <= to && until >= from
        })
    }

    /// What anybody can read: the last counter that was accepted of the
    /// management client.
    pub(super) fn counter(&mut self, second: i64) -> u32 {
        let entropy = SeededEntropy::new(0);
        let mut nowhere = Nowhere;
        let mut session = Session::new(&mut self.device, &mut nowhere, &entropy, at(second));
        let caller = Caller {
            client: PUBLIC,
            mechanism: MechanismName::Lowest,
            protection: Protection::None,
            verified: None,
            broadcast: false,
        };
        let counter = AttributeDescriptor::new(1, Obis([0, 0, 43, 1, 0, 255]), 2);
        let mut value = Vec::new();
        session.get(&caller, &counter, None, &mut value).unwrap();
        let value = dlms::axdr::RawData::new(&value).decode().unwrap();
        value.as_u32().unwrap()
    }

    /// Somebody gives a connection up and makes it anew.
    pub(super) fn reconnect(&mut self, line: u8) {
        self.lines.remove(&line);
    }

    /// Takes an APDU on a connection; gives what comes back, to which client.
    pub(super) fn take(
        &mut self,
        line: u8,
        client: u16,
        broadcast: bool,
        octets: &[u8],
        second: i64,
        entropy: &SeededEntropy,
    ) -> Vec<(u16, Vec<u8>)> {
        let server = self.lines.entry(line).or_default();
        let mut nowhere = Nowhere;
        let mut watched = Watched {
            session: Session::new(&mut self.device, &mut nowhere, entropy, at(second)),
            second,
            done: &mut self.done,
            written: &mut self.written,
        };
        if self.mutation == Mutation::CountersForgotten
            && let Some(state) = watched.security(client)
        {
            state.received = PeerWindows::new(0);
        }
        let input = server::Input::Apdu {
            client,
            broadcast,
            octets,
        };
        server.handle(input, instant(second), &mut watched);
        let mut answers = Vec::new();
        while let server::Output::Transmit { client, octets } = server.poll() {
            answers.push((client, octets));
        }
        self.device.committed();
        self.look(second);
        answers
    }
}

/// The meter as the server machine sees it, with somebody who writes down what
/// is done to it.
struct Watched<'a> {
    session: Session<'a>,
    second: i64,
    done: &'a mut Vec<(i8, i64)>,
    written: &'a mut usize,
}

impl ObjectStore for Watched<'_> {
    fn association(&self, client: u16) -> Option<AssociationTerms> {
        self.session.association(client)
    }

    fn password(&self, client: u16) -> Option<&[u8]> {
        self.session.password(client)
    }

    fn security(&mut self, client: u16) -> Option<&mut SecurityState> {
        self.session.security(client)
    }

    fn counters_reserved(&mut self, client: u16, record: &CounterRecord) -> Result<(), NotDurable> {
        self.session.counters_reserved(client, record)
    }

    fn counter_accepted(
        &mut self,
        client: u16,
        title: &SystemTitle,
        counter: u32,
        broadcast: bool,
    ) -> Result<(), NotDurable> {
        self.session
            .counter_accepted(client, title, counter, broadcast)
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), NoEntropy> {
        self.session.random(out)
    }

    fn attribute_rights(
        &self,
        client: u16,
        attribute: &AttributeDescriptor,
    ) -> Result<AttributeRights, DataAccessResult> {
        self.session.attribute_rights(client, attribute)
    }

    fn method_rights(
        &self,
        client: u16,
        method: &MethodDescriptor,
    ) -> Result<dlms::cosem::MethodAccess, ActionResult> {
        self.session.method_rights(client, method)
    }

    fn get(
        &mut self,
        caller: &Caller,
        attribute: &AttributeDescriptor,
        selection: Option<&Selection<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataAccessResult> {
        self.session.get(caller, attribute, selection, out)
    }

    fn set(
        &mut self,
        caller: &Caller,
        attribute: &AttributeDescriptor,
        selection: Option<&Selection<'_>>,
        value: dlms::axdr::RawData<'_>,
    ) -> Result<(), DataAccessResult> {
        self.session.set(caller, attribute, selection, value)?;
        *self.written += 1;
        Ok(())
    }

    fn invoke(
        &mut self,
        caller: &Caller,
        method: &MethodDescriptor,
        parameter: Option<dlms::axdr::RawData<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), ActionResult> {
        self.session.invoke(caller, method, parameter, out)?;
        self.done.push((method.method, self.second));
        Ok(())
    }

    fn back_off(&mut self) -> Option<&mut BackOff> {
        self.session.back_off()
    }

    fn noticed(&mut self, client: u16, notice: Notice) {
        self.session.noticed(client, notice);
    }
}

/// What a head end is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Associate,
    Read(usize),
    Order(i8),
    Release,
}

/// What came of a task.
#[derive(Debug)]
pub(super) enum Came {
    Associated,
    Value(usize, Vec<u8>),
    Done(i8),
    Refused,
    Failed(Failure),
    Released,
    /// Something that nobody asked for and that says it is proved.
    Proved,
}

/// One meter's client machine, at the head end.
pub(super) struct Head {
    pub(super) client: Client,
    /// The SAP at which the meter is thought to be.
    pub(super) sap: u16,
    pub(super) task: Option<(Task, i64)>,
    /// Orders in the order in which they were given: the method and when.
    pub(super) orders: Vec<(i8, i64)>,
    /// Why the last task failed that did.
    pub(super) failure: Option<String>,
    /// The counter that the meter is said to expect, to be tried.
    pub(super) hint: Option<CounterHint>,
}

impl Head {
    pub(super) fn new(keys: &MeterKeys, sap: u16, mutation: Mutation, repeats: bool) -> Self {
        let held = keys.client(MANAGEMENT).unwrap();
        let both = Keys::new(
            held.encryption_key.clone().unwrap(),
            held.authentication_key.clone().unwrap(),
        );
        let bound = mutation != Mutation::TitleNotBound;
        let security = Security {
            title: SystemTitle(*b"HES\0\0\0\0\x01"),
            server_title: bound.then_some(SystemTitle(keys.system_title.0)),
            keys: KeyRing::new(&AwsLc, SecuritySuite::Suite0, &both).unwrap(),
            send: SendCounter::resume(CounterRecord::default()),
            received: PeerCounter::new(ReplayWindow::sliding(0), CounterRestart::Refuse),
        };
        let config = Config {
            context: Context::LogicalNameCiphered,
            mechanism: MechanismName::HighGmac,
            protection: Protection::AuthenticatedEncrypted,
            repeat: if repeats {
                Repeat::Everything
            } else {
                Repeat::Nothing
            },
            ..Config::default()
        };
        let client = if mutation == Mutation::NothingCiphered {
            Client::new(Config::default(), None)
        } else {
            Client::new(config, Some(security))
        };
        Self {
            client,
            sap,
            task: None,
            orders: Vec::new(),
            failure: None,
            hint: None,
        }
    }

    /// Begins something.
    pub(super) fn begin(&mut self, task: Task, second: i64, entropy: &SeededEntropy) {
        let mut challenge = [0; 32];
        entropy.fill(&mut challenge).unwrap();
        self.task = Some((task, second));
        let now = instant(second);
        match task {
            Task::Associate => {
                let with = Associate {
                    entropy: &challenge,
                    counter: self.hint.take(),
                    ..Associate::default()
                };
                self.client.handle(Input::Associate(with), now);
            }
            Task::Read(which) => {
                let item = GetItem {
                    attribute: READS[which],
                    selection: None,
                };
                let request = Request::Get(vec![item]);
                self.client.handle(Input::Request(request), now);
            }
            Task::Order(method) => {
                self.orders.push((method, second));
                let item = ActionItem {
                    method: MethodDescriptor::new(70, BREAKER, method),
                    // integer 0, as the class has it.
                    parameter: Some(vec![0x0F, 0]),
                };
                let request = Request::Action(vec![item]);
                self.client.handle(Input::Request(request), now);
            }
            Task::Release => self.client.handle(Input::Release, now),
        }
    }

    /// Turns the machine: what it sends, and what came of its tasks.
    pub(super) fn turn(&mut self, second: i64) -> (Vec<Vec<u8>>, Vec<Came>) {
        let (mut sent, mut came) = (Vec::new(), Vec::new());
        let now = instant(second);
        loop {
            let event = match self.client.poll() {
                Output::Transmit(octets) => {
                    sent.push(octets);
                    continue;
                }
                Output::Reserve(plan) => {
                    self.client.handle(Input::Reserved(plan), now);
                    continue;
                }
                Output::Timeout(Some(at)) if at <= now => {
                    self.client.handle(Input::Timeout, now);
                    continue;
                }
                Output::Timeout(_) => return (sent, came),
                Output::Event(event) => event,
            };
            let task = self.task.map(|(task, _)| task);
            came.push(match (event, task) {
                (Event::Progress(_), _) => continue,
                (Event::Notification(notification), _) => {
                    if notification.verified.is_some() {
                        came.push(Came::Proved);
                    }
                    continue;
                }
                (Event::Associated(_), _) => Came::Associated,
                (Event::Response(Response::Get(mut values)), Some(Task::Read(which))) => {
                    match values.pop() {
                        Some(Ok(value)) => Came::Value(which, value),
                        _ => Came::Refused,
                    }
                }
                (Event::Response(Response::Action(mut outcomes)), Some(Task::Order(method))) => {
                    match outcomes.pop().map(|it| it.result) {
                        Some(ActionResult::Success) => Came::Done(method),
                        _ => Came::Refused,
                    }
                }
                (Event::Response(other), task) => panic!("{other:?} for {task:?}"),
                (Event::RequestFailed(failure) | Event::Ended(failure), _) => Came::Failed(failure),
                (Event::Released(_), _) => Came::Released,
            });
        }
    }
}
