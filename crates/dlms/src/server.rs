//! The server: the associations of one logical device over one link, as a
//! machine without I/O.
//!
//! After each [`Server::handle`], call [`Server::poll`] until it gives
//! [`Output::Timeout`]. The device is handed in with each call, so that any
//! number of links share it; what is known of one link's associations is here.
//!
//! What the machine does before the device is asked for anything: it finds the
//! association, verifies and deciphers, takes the counter, looks at the rights
//! and decodes the selection. A request that is the same to the last octet as
//! the one before it is answered with the same octets and done once.

mod associate;
mod back_off;
mod service;
mod store;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::acse::MechanismName;
use crate::codec::Wire;
use crate::security::{
    CounterError, Envelope, FreshCounter, Header, HlsExchange, HlsVerified, KeyRing,
    PasswordVerified, Protection, ReplayError, ReplayWindow, SendCounter, SystemTitle,
    UnprotectError, Wrapping,
};
use crate::xdlms::{
    ActionRequest, DataNotificationConfirm, ExceptionResponse, GetRequest, InvokeIdAndPriority,
    ServiceError, SetRequest, StateError,
};
use crate::{Duration, Instant};

use service::{Exchange, Reply, Services};

pub use back_off::BackOff;
pub use service::{REFERENCES_MAX, TRANSFER_LEN_MAX};
pub use store::{
    AssociationTerms, AttributeRights, Caller, Context, NoEntropy, NotDurable, Notice, ObjectStore,
    SecurityState, Selection, TimedKeys,
};

/// Counters that are reserved at once for what the device sends.
pub const COUNTERS_RESERVED: u32 = 1_024;

/// Associations that one link may have open with one logical device.
pub const ASSOCIATIONS_MAX: usize = 16;

/// What a server is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// An association that is silent for this long ends; none: it stays.
    pub inactivity: Option<Duration>,
    /// Whether the link loses or doubles messages. Then a write or an action
    /// in clear that is the same as the one before it is taken for a
    /// repetition; on other links it is a new one. What is ciphered carries a
    /// counter and needs no such guess.
    pub lossy: bool,
    /// The longest APDU that the link carries, in octets: clients are told it
    /// where the association's own limit is above, and answers keep to it,
    /// whatever a client says that it takes.
    pub apdu_len_max: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            inactivity: Some(Duration::from_secs(180)),
            lossy: false,
            apdu_len_max: u16::MAX,
        }
    }
}

/// What happens to a server.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// An APDU came.
    Apdu {
        /// The SAP of the client that sent it.
        client: u16,
        /// Whether it came on the address of all devices.
        broadcast: bool,
        /// The APDU.
        octets: &'a [u8],
    },
    /// The device has something to say without being asked.
    Notify {
        /// The SAP of the client that it is for.
        client: u16,
        /// A DataNotification or EventNotification in clear.
        apdu: &'a [u8],
    },
    /// Time has passed.
    Timeout,
    /// The link is gone.
    LinkLost,
}

/// What a server wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// An APDU is to be sent.
    Transmit {
        /// The SAP of the client that it is for.
        client: u16,
        /// The APDU.
        octets: Vec<u8>,
    },
    /// Nothing until something happens, or until then.
    Timeout(Option<Instant>),
}

/// The associations of one logical device over one link.
#[derive(Default)]
pub struct Server {
    settings: Settings,
    associations: BTreeMap<u16, Association>,
    output: VecDeque<Output>,
    plain: Vec<u8>,
    answer: Vec<u8>,
    /// Where the device keeps none that all its links share.
    back_off: BackOff,
}

/// One association.
struct Association {
    terms: AssociationTerms,
    state: State,
    services: Services,
    /// Octets of the longest APDU that the client takes.
    pdu_len: usize,
    protected: Option<Protected>,
    last: Option<Last>,
    heard: Instant,
}

enum State {
    /// The challenge was sent; only the reply to it is taken.
    AwaitingReply(HlsExchange),
    Open(Authentication),
}

/// By what a client has shown who it is.
#[derive(Debug)]
pub enum Authentication {
    /// Nothing, by the association's terms.
    Nothing,
    /// The password.
    Password(PasswordVerified),
    /// The reply to our challenge.
    Hls(HlsVerified),
}

/// What one association adds to the keys and counters of the device.
struct Protected {
    /// The client's title.
    title: SystemTitle,
    /// Whether each message brings its sender's title: a pre-established
    /// association that is not for one client alone.
    anyone: bool,
    keys: KeyRing,
    /// When the keys end, and the association with them.
    until: Option<Instant>,
    /// Counters of what came under the dedicated key, which lives no longer
    /// than they do. What we send under it has the counters of all that we
    /// send: a client that hands in the same dedicated key twice must not get
    /// a counter twice.
    dedicated: Option<ReplayWindow>,
    /// Counters of what came ciphered without a tag, good for this
    /// association alone.
    unverified: ReplayWindow,
    /// The counter of the request that is being served, where its tag verified
    /// under a global key.
    enclosing: Option<u32>,
}

/// What an association is doing, for logs and tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AssociationState {
    /// There is none.
    Idle,
    /// The challenge was sent; only the reply to it is taken.
    AwaitingReply,
    /// It is open.
    Open,
}

/// The last request and its answer; at first the AARQ and the AARE.
struct Last {
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// How an answer is to be protected: as its request was.
#[derive(Clone, Copy)]
enum Seal {
    None,
    Envelope(Envelope),
}

impl Server {
    /// Starts without associations.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// Takes what has happened.
    pub fn handle(&mut self, input: Input<'_>, now: Instant, store: &mut dyn ObjectStore) {
        match input {
            Input::Apdu {
                client,
                broadcast,
                octets,
            } => {
                self.expire(now, store);
                self.answer.clear();
                self.on_apdu(client, broadcast, octets, now, store);
                if !self.answer.is_empty() && !broadcast {
                    let octets = core::mem::take(&mut self.answer);
                    self.output.push_back(Output::Transmit { client, octets });
                }
            }
            Input::Notify { client, apdu } => {
                self.answer.clear();
                if self.notify(client, apdu, store).is_ok() && !self.answer.is_empty() {
                    let octets = core::mem::take(&mut self.answer);
                    self.output.push_back(Output::Transmit { client, octets });
                }
            }
            Input::Timeout => self.expire(now, store),
            Input::LinkLost => {
                self.associations.retain(|client, association| {
                    if !association.terms.pre_established {
                        association.farewell(*client, store);
                    }
                    association.terms.pre_established
                });
                self.output.clear();
            }
        }
    }

    /// Tells what is to be done next.
    pub fn poll(&mut self) -> Output {
        self.output
            .pop_front()
            .unwrap_or_else(|| Output::Timeout(self.deadline()))
    }

    /// Tells how a client has shown who it is, where its association is open.
    #[must_use]
    pub fn authentication(&self, client: u16) -> Option<&Authentication> {
        match &self.associations.get(&client)?.state {
            State::Open(authentication) => Some(authentication),
            State::AwaitingReply(_) => None,
        }
    }

    /// Tells what a client's association is doing.
    #[must_use]
    pub fn state(&self, client: u16) -> AssociationState {
        match self.associations.get(&client).map(|it| &it.state) {
            None => AssociationState::Idle,
            Some(State::AwaitingReply(_)) => AssociationState::AwaitingReply,
            Some(State::Open(_)) => AssociationState::Open,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let inactivity = self.settings.inactivity;
        let all = self.associations.values();
        all.filter_map(|association| association.end(inactivity))
            .min()
    }

    /// Ends the associations that were silent for too long, and those whose
    /// keys have ended.
    fn expire(&mut self, now: Instant, store: &mut dyn ObjectStore) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let inactivity = self.settings.inactivity;
        self.associations.retain(|client, association| {
            let stays = association.end(inactivity).is_none_or(|end| now < end);
            if !stays {
                association.farewell(*client, store);
            }
            stays
        });
    }

    fn on_apdu(
        &mut self,
        client: u16,
        broadcast: bool,
        octets: &[u8],
        now: Instant,
        store: &mut dyn ObjectStore,
    ) {
        match octets.first() {
            None => {}
            Some(0x60) if !broadcast => self.on_aarq(client, octets, now, store),
            Some(0x62) if !broadcast => self.on_rlrq(client, octets, store),
            Some(0x60 | 0x62) => {}
            Some(_) => {
                self.establish(client, now, store);
                let Some(association) = self.associations.get_mut(&client) else {
                    return self.refuse(
                        StateError::ServiceNotAllowed,
                        ServiceError::OperationNotPossible,
                    );
                };
                if let Some(last) = &association.last
                    && last.request == octets
                {
                    self.answer.extend_from_slice(&last.answer);
                    return;
                }
                if self.on_request(client, broadcast, octets, store) {
                    self.remember(client, octets, now);
                }
            }
        }
    }

    /// Makes the association that is there without being asked for.
    fn establish(&mut self, client: u16, now: Instant, store: &mut dyn ObjectStore) {
        if self.associations.contains_key(&client) || self.associations.len() >= ASSOCIATIONS_MAX {
            return;
        }
        let Some(terms) = store
            .association(client)
            .filter(|terms| terms.pre_established)
        else {
            return;
        };
        let protected = store.security(client).map(|state| {
            let title = state.client_title.unwrap_or(SystemTitle([0; 8]));
            Protected {
                anyone: state.client_title.is_none(),
                ..Protected::new(title, state.keys.clone(), state)
            }
        });
        self.associations.insert(
            client,
            Association {
                terms,
                state: State::Open(Authentication::Nothing),
                services: Services::new(terms.conformance),
                pdu_len: usize::from(terms.pdu_len_max.min(self.settings.apdu_len_max)),
                protected,
                last: None,
                heard: now,
            },
        );
    }

    /// Keeps an answer for the case that the request comes again.
    fn remember(&mut self, client: u16, request: &[u8], now: Instant) {
        let lossy = self.settings.lossy;
        let Some(association) = self.associations.get_mut(&client) else {
            return;
        };
        association.heard = now;
        let ciphered = request
            .first()
            .is_some_and(|tag| Wrapping::of_tag(*tag).is_some());
        // SET, ACTION and the next block of a GET, which is gone once sent;
        // other GETs in clear are simply read again.
        let moves = matches!(request, [0xC1 | 0xC3, ..] | [0xC0, 2, ..]);
        association.last = (ciphered || (lossy && moves)).then(|| Last {
            request: request.to_vec(),
            answer: self.answer.clone(),
        });
    }

    /// Answers one request; tells whether it was verified, where it has to be.
    fn on_request(
        &mut self,
        client: u16,
        broadcast: bool,
        octets: &[u8],
        store: &mut dyn ObjectStore,
    ) -> bool {
        let ciphered = octets
            .first()
            .is_some_and(|tag| Wrapping::of_tag(*tag).is_some());
        let (caller, seal) = if ciphered {
            match self.open(client, broadcast, octets, store) {
                Ok(opened) => opened,
                Err(error) => {
                    self.refuse_ciphered(client, &error, store);
                    return false;
                }
            }
        } else {
            let Some(association) = self.associations.get(&client) else {
                return false;
            };
            self.plain.clear();
            self.plain.extend_from_slice(octets);
            let caller = Caller {
                client,
                mechanism: association.mechanism(),
                protection: Protection::None,
                verified: None,
                broadcast,
            };
            (caller, Seal::None)
        };
        let Some(association) = self.associations.get_mut(&client) else {
            return false;
        };
        if !caller.protection.covers(association.terms.protection) {
            store.noticed(client, Notice::ProtectionMissing);
            self.refuse(
                StateError::ServiceNotAllowed,
                ServiceError::OperationNotPossible,
            );
            return false;
        }
        let plain = core::mem::take(&mut self.plain);
        let mut reply = Vec::new();
        let outcome = if matches!(association.state, State::AwaitingReply(_)) {
            associate::on_reply(association, &caller, &plain, store, &mut reply)
        } else {
            serve(association, &caller, &plain, seal, store, &mut reply)
        };
        self.plain = plain;
        match outcome {
            Outcome::Answer | Outcome::End => {
                if self.seal(client, seal, &reply, store).is_err() {
                    self.answer.clear();
                }
                if matches!(outcome, Outcome::End) {
                    self.associations.remove(&client);
                }
            }
            Outcome::Silence => {}
            Outcome::Refuse(error) => self.refuse(StateError::ServiceNotAllowed, error),
            Outcome::Unknown => {
                self.refuse(
                    StateError::ServiceUnknown,
                    ServiceError::ServiceNotSupported,
                );
            }
        }
        true
    }

    /// Verifies and deciphers a request into `self.plain`, and takes its counter.
    fn open(
        &mut self,
        client: u16,
        broadcast: bool,
        octets: &[u8],
        store: &mut dyn ObjectStore,
    ) -> Result<(Caller, Seal), UnprotectError> {
        let header = Header::decode(octets)?;
        let nothing = UnprotectError::NotCiphered {
            tag: octets.first().copied().unwrap_or(0),
        };
        let Some(association) = self.associations.get_mut(&client) else {
            return Err(nothing);
        };
        let Some(protected) = &mut association.protected else {
            return Err(nothing);
        };
        let Some(state) = store.security(client) else {
            return Err(nothing);
        };
        if protected.anyone {
            // Whose it is, is believed only where the tag verifies.
            protected.title = header.system_title.ok_or(nothing)?;
        }
        let mut frame = octets.to_vec();
        let protection = header.control.protection();
        // Without an association's own beginning nothing tells a message without
        // a tag from yesterday's.
        let tagless = protection == Protection::Encrypted
            && Protection::Encrypted.covers(association.terms.protection)
            && !association.terms.pre_established;
        let (range, verified) = if tagless {
            let candidate = protected.unverified.check(header.counter)?;
            let opened = protected
                .keys
                .dangerous_decrypt_unverified(&mut frame, &protected.title)?;
            protected
                .unverified
                .dangerous_commit_unverified(candidate)?;
            (opened.range(), None)
        } else {
            let (title, required) = (&protected.title, association.terms.protection);
            if header.control.broadcast() {
                // Every device of the network has this key, so what verifies
                // under it proves nothing about who sent it.
                let opened = state.received_broadcast.verify(title, |window| {
                    risen(window, &header)?;
                    protected
                        .keys
                        .unprotect_broadcast(&mut frame, title, required, window)
                })?;
                (opened.range(), None)
            } else {
                let keys = &protected.keys;
                let mut verify = |window: &mut ReplayWindow| {
                    risen(window, &header)?;
                    keys.unprotect_once(&mut frame, title, required, window)
                };
                let opened = if header.wrapping.is_dedicated() {
                    verify(protected.dedicated.as_mut().ok_or(nothing)?)?
                } else {
                    state.received.verify(title, verify)?
                };
                (opened.range(), Some(opened.into_proof()))
            }
        };
        self.plain.clear();
        self.plain
            .extend_from_slice(frame.get(range).unwrap_or_default());
        protected.enclosing = verified_globally(&header).then_some(header.counter);
        if verified_globally(&header) {
            store
                .counter_accepted(
                    client,
                    &protected.title,
                    header.counter,
                    header.control.broadcast(),
                )
                .map_err(|NotDurable| nothing)?;
        }
        let caller = Caller {
            client,
            mechanism: association.mechanism(),
            protection,
            verified,
            broadcast: broadcast || header.control.broadcast(),
        };
        Ok((
            caller,
            Seal::Envelope(Envelope::new(header.wrapping, protection)),
        ))
    }

    /// Protects `reply` as its request was, into `self.answer`.
    fn seal(
        &mut self,
        client: u16,
        seal: Seal,
        reply: &[u8],
        store: &mut dyn ObjectStore,
    ) -> Result<(), NotSent> {
        let Seal::Envelope(envelope) = seal else {
            self.answer.extend_from_slice(reply);
            return Ok(());
        };
        let association = self.associations.get_mut(&client).ok_or(NotSent)?;
        let protected = association.protected.as_mut().ok_or(NotSent)?;
        let title = store.security(client).ok_or(NotSent)?.title;
        let counter = next_counter(client, store)?;
        protected
            .keys
            .protect(envelope, &title, counter, reply, &mut self.answer)
            .map_err(|_| NotSent)
    }

    /// Sends `apdu` to a client without having been asked.
    fn notify(
        &mut self,
        client: u16,
        apdu: &[u8],
        store: &mut dyn ObjectStore,
    ) -> Result<(), NotSent> {
        let terms = store.association(client).ok_or(NotSent)?;
        if terms.protection == Protection::None {
            self.answer.extend_from_slice(apdu);
            return Ok(());
        }
        let counter = next_counter(client, store)?;
        let state = store.security(client).ok_or(NotSent)?;
        let envelope = Envelope::new(Wrapping::GeneralGlo, terms.protection);
        state
            .keys
            .protect(envelope, &state.title, counter, apdu, &mut self.answer)
            .map_err(|_| NotSent)
    }

    fn refuse(&mut self, state_error: StateError, service_error: ServiceError) {
        self.answer.clear();
        ExceptionResponse {
            state_error,
            service_error,
        }
        .encode(&mut self.answer);
    }

    /// Answers what could not be verified or deciphered. Nothing has changed.
    fn refuse_ciphered(
        &mut self,
        client: u16,
        error: &UnprotectError,
        store: &mut dyn ObjectStore,
    ) {
        let (notice, service_error) = match error {
            UnprotectError::Replayed(replay) => (
                Notice::Replayed,
                ServiceError::InvocationCounterError(replay.floor),
            ),
            UnprotectError::Insufficient { .. } => (
                Notice::ProtectionMissing,
                ServiceError::OperationNotPossible,
            ),
            _ => (Notice::VerificationFailed, ServiceError::DecipheringError),
        };
        store.noticed(client, notice);
        self.refuse(StateError::ServiceNotAllowed, service_error);
    }
}

/// What came of a request.
enum Outcome {
    Answer,
    Silence,
    /// The answer is the last one of this association.
    End,
    Refuse(ServiceError),
    Unknown,
}

/// Something could not be protected, so it is not sent.
struct NotSent;

/// Serves one request in clear.
fn serve(
    association: &mut Association,
    caller: &Caller,
    plain: &[u8],
    seal: Seal,
    store: &mut dyn ObjectStore,
    reply: &mut Vec<u8>,
) -> Outcome {
    let budget = association
        .pdu_len
        .saturating_sub(seal.overhead())
        .max(PDU_LEN_MIN);
    // Nobody answers for all devices, so nobody waits for an answer either.
    if caller.broadcast
        && matches!(plain, [0xC0 | 0xC1 | 0xC3, _, invoke, ..] if InvokeIdAndPriority(*invoke).is_confirmed())
    {
        store.noticed(caller.client, Notice::Refused);
        return Outcome::Silence;
    }
    let services = &mut association.services;
    let mut exchange = Exchange {
        store,
        caller,
        budget,
    };
    let served = match plain.first() {
        Some(0xC0) => GetRequest::from_octets(plain)
            .map(|request| services.get(&mut exchange, request, reply)),
        Some(0xC1) => SetRequest::from_octets(plain)
            .map(|request| services.set(&mut exchange, request, reply)),
        Some(0xC3) => ActionRequest::from_octets(plain)
            .map(|request| services.action(&mut exchange, request, reply)),
        Some(0x10) => {
            return match DataNotificationConfirm::from_octets(plain) {
                Ok(confirm) => {
                    exchange
                        .store
                        .notification_confirmed(caller, confirm.invoke);
                    Outcome::Silence
                }
                Err(_) => Outcome::Refuse(ServiceError::OtherReason),
            };
        }
        _ => return Outcome::Unknown,
    };
    match served {
        Ok(Reply::Apdu) if !caller.broadcast => Outcome::Answer,
        Ok(Reply::Apdu | Reply::Silence) => Outcome::Silence,
        Ok(Reply::NotSupported) => Outcome::Refuse(ServiceError::ServiceNotSupported),
        Err(_) => Outcome::Refuse(ServiceError::OtherReason),
    }
}

/// Tells whether a counter belongs to a key that outlives the association.
fn verified_globally(header: &Header) -> bool {
    !header.wrapping.is_dedicated() && header.control.protection().authenticated()
}

/// Checks that a request is newer than all before it, however far back the
/// window would let the reply to a challenge be: an order that was held up on
/// the way must not overtake one that was given after it.
fn risen(window: &ReplayWindow, header: &Header) -> Result<(), UnprotectError> {
    let floor = window.floor();
    if floor.is_some_and(|floor| header.counter >= floor) {
        Ok(())
    } else {
        let counter = header.counter;
        Err(ReplayError { counter, floor }.into())
    }
}

/// Takes the next counter of what the device sends to a client, and reserves
/// more where there is none left.
fn next_counter(client: u16, store: &mut dyn ObjectStore) -> Result<FreshCounter, NotSent> {
    let send: &mut SendCounter = &mut store.security(client).ok_or(NotSent)?.send;
    match send.take() {
        Ok(counter) => return Ok(counter),
        Err(CounterError::BlockUsed) => {}
        Err(_) => return Err(NotSent),
    }
    let plan = send.plan_block(COUNTERS_RESERVED).map_err(|_| NotSent)?;
    store
        .counters_reserved(client, plan.record())
        .map_err(|NotDurable| NotSent)?;
    let send = &mut store.security(client).ok_or(NotSent)?.send;
    send.adopt(plan);
    send.take().map_err(|_| NotSent)
}

impl Protected {
    fn new(title: SystemTitle, keys: KeyRing, state: &SecurityState) -> Self {
        let floor = state.received.window(&title).floor().unwrap_or(u32::MAX);
        Self {
            title,
            anyone: false,
            keys,
            until: None,
            dedicated: None,
            unverified: ReplayWindow::rising(floor),
            enclosing: None,
        }
    }
}

impl Association {
    /// How the client proved itself; nobody did where there was no AARQ.
    const fn mechanism(&self) -> MechanismName<'static> {
        if self.terms.pre_established {
            MechanismName::Lowest
        } else {
            self.terms.mechanism
        }
    }

    /// Tells when it is over, where nobody speaks until then.
    fn end(&self, inactivity: Option<Duration>) -> Option<Instant> {
        let inactivity = inactivity.filter(|_| !self.terms.pre_established);
        let silent = inactivity.map(|inactivity| self.heard + inactivity);
        let keys = self.protected.as_ref().and_then(|it| it.until);
        silent.into_iter().chain(keys).min()
    }

    /// Tells the device that an association is over, if it ever was open.
    fn farewell(&self, client: u16, store: &mut dyn ObjectStore) {
        if matches!(self.state, State::Open(_)) {
            store.noticed(client, Notice::Released);
        }
    }
}

impl Seal {
    /// Octets that protection adds to an APDU: tag and length, security
    /// control, counter and authentication tag; in the general forms the title.
    const fn overhead(self) -> usize {
        match self {
            Self::None => 0,
            Self::Envelope(envelope) if envelope.wrapping.is_general() => 4 + 17 + 9,
            Self::Envelope(_) => 4 + 17,
        }
    }
}

/// Octets that an answer may always have, however few the client takes.
const PDU_LEN_MIN: usize = 24;
