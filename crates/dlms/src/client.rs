//! The client: one association with one logical device, as a machine without
//! I/O.
//!
//! After each [`Client::handle`], call [`Client::poll`] until it gives
//! [`Output::Timeout`]. One request is under way at a time; long values in
//! both directions, lists that the server does not take, repetitions and
//! counters are the machine's business.
//!
//! What is ciphered needs invocation counters, and no counter is used before it
//! is durably reserved: the machine gives [`Output::Reserve`] and waits for
//! [`Input::Reserved`].

mod associate;
mod config;
mod exchange;
mod failure;
mod interface;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::Instant;
use crate::codec::Wire;
use crate::security::{
    CounterHint, Envelope, FreshCounter, Header, HintRefused, Protection, ReplayError,
    ReplayWindow, SystemTitle, TagVerified, UnprotectError, Wrapping,
};
use crate::xdlms::{
    Conformance, DataNotification, DataNotificationConfirm, ExceptionResponse, ServiceError,
};

use exchange::Exchange;

pub use config::{Config, Quirks, Repeat, Security};
pub use failure::{Failure, Phase};
pub use interface::{
    ActionItem, ActionOutcome, Associate, Associated, Event, GetItem, Input, Notification, Output,
    Request, Response, SetItem,
};

/// Counters that are reserved at once.
pub const COUNTERS_RESERVED: u32 = 256;

/// Octets that one value may have that comes in blocks.
pub const TRANSFER_LEN_MAX: usize = 16 * 1_024 * 1_024;

/// Blocks without any octets that a server may send in one transfer.
pub const EMPTY_BLOCKS_MAX: u32 = 16;

/// Notifications that may wait to be fetched; more are dropped and counted.
pub const NOTIFICATIONS_MAX: usize = 64;

/// One association with one logical device.
pub struct Client {
    config: Config,
    security: Option<Security>,
    state: State,
    session: Session,
    output: VecDeque<Output>,
    notifications: usize,
    counts: Counts,
}

/// What was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// APDUs that were no answer to what was asked, or came twice.
    pub stray: u64,
    /// APDUs that did not verify, were replayed, or came with less protection.
    pub unverified: u64,
    /// Notifications beyond [`NOTIFICATIONS_MAX`].
    pub notifications: u64,
    /// APDUs that were sent again.
    pub repeated: u64,
}

enum State {
    Idle,
    Associating(associate::Associating),
    Open,
    Requesting(Exchange),
    Releasing,
}

/// What a client is doing, for logs and tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientState {
    /// There is no association.
    Idle,
    /// The AARE is awaited.
    Associating,
    /// The reply to our challenge is awaited.
    AwaitingReply,
    /// The association is open.
    Open,
    /// An answer is awaited.
    Requesting,
    /// The RLRE is awaited.
    Releasing,
}

/// What holds for the present association.
struct Session {
    conformance: Conformance,
    server_pdu_len: usize,
    server_title: Option<SystemTitle>,
    /// Counters of what came under the dedicated key. What we send under it
    /// has the counters of all that we send, so that none is used twice even
    /// if the key is.
    dedicated: Option<ReplayWindow>,
    /// Counters of what came ciphered without a tag.
    unverified: ReplayWindow,
    /// The counter of the answer that is being looked at, where its tag
    /// verified under a global key.
    enclosing: Option<u32>,
    associated: Associated,
    invoke_id: u8,
    /// Invoke ids of requests that were given up, bit n for id n: their
    /// answers may still come, held up or held back, and must not be taken for
    /// those to later requests.
    given_up: u16,
    /// Whether the counter that the server is said to expect is wanted.
    following: bool,
    /// What is to be sent as soon as there are counters for it.
    waiting: Option<Waiting>,
    /// What was sent last and may be sent again.
    sent: Option<Sent>,
}

/// An APDU that waits for counters.
enum Waiting {
    Aarq,
    Reply,
    Plain(Vec<u8>),
    Rlrq,
}

struct Sent {
    octets: Vec<u8>,
    plain: Vec<u8>,
    deadline: Instant,
    repeats: u8,
    /// Why the server is said not to answer.
    said: Option<Failure>,
}

impl Client {
    /// Starts without an association. `security` is needed for a ciphered
    /// context, for mechanism 5, and for protected notifications.
    #[must_use]
    pub fn new(config: Config, security: Option<Security>) -> Self {
        let session = Session::new(Conformance::NONE, security.as_ref());
        Self {
            config,
            security,
            state: State::Idle,
            session,
            output: VecDeque::new(),
            notifications: 0,
            counts: Counts::default(),
        }
    }

    /// Ends the machine and gives back the keys with their counters.
    #[must_use]
    pub fn into_security(self) -> Option<Security> {
        self.security
    }

    /// Shows the keys with their counters.
    #[must_use]
    pub const fn security(&self) -> Option<&Security> {
        self.security.as_ref()
    }

    /// Tells what the client is doing.
    #[must_use]
    pub const fn state(&self) -> ClientState {
        match &self.state {
            State::Idle => ClientState::Idle,
            State::Associating(associating) if associating.awaits_reply() => {
                ClientState::AwaitingReply
            }
            State::Associating(_) => ClientState::Associating,
            State::Open => ClientState::Open,
            State::Requesting(_) => ClientState::Requesting,
            State::Releasing => ClientState::Releasing,
        }
    }

    /// Tells what was dropped.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Tells what was agreed on, while there is an association.
    #[must_use]
    pub const fn associated(&self) -> Option<&Associated> {
        match self.state {
            State::Open | State::Requesting(_) => Some(&self.session.associated),
            State::Idle | State::Associating(_) | State::Releasing => None,
        }
    }

    /// Takes what has happened.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Associate(with) => self.associate(&with, now),
            Input::Request(request) => self.request(request, true, now),
            Input::Unconfirmed(request) => self.request(request, false, now),
            Input::Apdu(octets) => {
                self.on_apdu(octets, now);
                // Who sends without end what is no answer puts no deadline off.
                self.on_timeout(now);
            }
            Input::Reserved(plan) => {
                // A trial that nobody wants any more stays spent.
                let wanted = !plan.is_trial() || core::mem::take(&mut self.session.following);
                if let Some(security) = &mut self.security
                    && wanted
                {
                    security.send.adopt(plan);
                }
                self.proceed(now);
            }
            Input::NotReserved => self.fail(Failure::NotReserved),
            Input::Release => self.release(now),
            Input::Cancel => self.give_up(),
            Input::Timeout => self.on_timeout(now),
            Input::Repeat => drop(self.repeat(now)),
            Input::LinkLost => {
                if !matches!(self.state, State::Idle) {
                    self.end(Failure::LinkLost);
                }
            }
        }
    }

    /// Tells what is to be done next.
    pub fn poll(&mut self) -> Output {
        match self.output.pop_front() {
            Some(output) => {
                if matches!(output, Output::Event(Event::Notification(_))) {
                    self.notifications -= 1;
                }
                output
            }
            None => Output::Timeout(self.session.sent.as_ref().map(|sent| sent.deadline)),
        }
    }

    fn release(&mut self, now: Instant) {
        self.give_up();
        match self.state {
            State::Open if self.config.pre_established => {
                self.state = State::Idle;
                self.event(Event::Released(Vec::new()));
            }
            State::Open => {
                self.state = State::Releasing;
                self.session.waiting = Some(Waiting::Rlrq);
                self.proceed(now);
            }
            State::Releasing => {}
            State::Idle | State::Associating(_) | State::Requesting(_) => {
                self.end(Failure::NotAssociated);
            }
        }
    }

    /// Drops the request that is under way, if there is one.
    fn give_up(&mut self) {
        if let State::Requesting(exchange) = &self.state {
            self.session.given_up |= 1 << exchange.invoke_id();
            self.state = State::Open;
            self.session.sent = None;
            self.session.waiting = None;
            self.session.following = false;
            self.abandon_trial();
        }
    }

    fn event(&mut self, event: Event) {
        self.output.push_back(Output::Event(event));
    }

    /// Ends the association, or the attempt at one.
    fn end(&mut self, failure: Failure) {
        self.state = State::Idle;
        self.abandon_trial();
        self.session = Session::new(Conformance::NONE, self.security.as_ref());
        self.event(Event::Ended(failure));
    }

    /// Ends what is under way: the request where there is one, else the
    /// association.
    fn fail(&mut self, failure: Failure) {
        if matches!(self.state, State::Requesting(_)) {
            self.give_up();
            self.event(Event::RequestFailed(failure));
        } else {
            self.end(failure);
        }
    }

    fn abandon_trial(&mut self) {
        if let Some(security) = &mut self.security {
            security.send.abandon_trial();
        }
    }

    /// Sends what waits, and what follows where no answer is due.
    fn proceed(&mut self, now: Instant) {
        if self.send_waiting(now) {
            self.go_on(now);
        }
    }

    /// Sends what waits, if there are counters for it; else asks for some.
    /// Tells whether something was sent that has no answer.
    fn send_waiting(&mut self, now: Instant) -> bool {
        let Some(waiting) = &self.session.waiting else {
            return false;
        };
        let needs = match waiting {
            Waiting::Aarq => u32::from(self.config.protection != Protection::None),
            Waiting::Reply => 1 + u32::from(self.config.protection != Protection::None),
            Waiting::Plain(_) | Waiting::Rlrq => {
                u32::from(self.config.protection != Protection::None)
            }
        };
        if let Some(security) = &mut self.security
            && security.send.remaining() < needs
            && !security.send.trial_running()
        {
            match security.send.plan_block(COUNTERS_RESERVED) {
                Ok(plan) => self.output.push_back(Output::Reserve(plan)),
                Err(error) => self.fail(Failure::Counter(error)),
            }
            return false;
        }
        let Some(waiting) = self.session.waiting.take() else {
            return false;
        };
        let made = match waiting {
            Waiting::Aarq => self.aarq().map(|octets| (octets, Vec::new())),
            Waiting::Reply => self
                .reply()
                .and_then(|plain| Ok((self.seal(&plain)?, plain))),
            Waiting::Plain(plain) => self.seal(&plain).map(|octets| (octets, plain)),
            Waiting::Rlrq => Ok((self.rlrq(), Vec::new())),
        };
        match made {
            Ok((octets, plain)) => {
                if let State::Requesting(exchange) = &self.state
                    && !exchange.is_confirmed()
                {
                    self.output.push_back(Output::Transmit(octets));
                    return true;
                }
                self.session.sent = Some(Sent {
                    octets: octets.clone(),
                    plain,
                    deadline: now + self.config.timeout,
                    repeats: 0,
                    said: None,
                });
                self.output.push_back(Output::Transmit(octets));
            }
            Err(failure) => self.fail(failure),
        }
        false
    }

    /// Takes a counter for what is sent.
    fn counter(&mut self) -> Result<FreshCounter, Failure> {
        let security = self.security.as_mut().ok_or(Failure::NoKeys)?;
        security.send.take().map_err(Failure::Counter)
    }

    /// The form under a global key that goes with the configured one.
    const fn global_wrapping(&self) -> Wrapping {
        if self.config.wrapping.is_general() {
            Wrapping::GeneralGlo
        } else {
            Wrapping::Glo
        }
    }

    /// Protects an APDU as configured.
    fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, Failure> {
        // What has no ciphered form of its own, a DataNotificationConfirm for
        // one, goes in the general form under the same key.
        let own = plain
            .first()
            .is_some_and(|tag| self.config.wrapping.ciphered_tag(*tag).is_some());
        let wrapping = match self.config.wrapping {
            Wrapping::Glo if !own => Wrapping::GeneralGlo,
            Wrapping::Ded if !own => Wrapping::GeneralDed,
            wrapping => wrapping,
        };
        self.seal_in(wrapping, plain)
    }

    fn seal_in(&mut self, wrapping: Wrapping, plain: &[u8]) -> Result<Vec<u8>, Failure> {
        if self.config.protection == Protection::None {
            return Ok(plain.to_vec());
        }
        let counter = self.counter()?;
        let security = self.security.as_ref().ok_or(Failure::NoKeys)?;
        let envelope = Envelope {
            broadcast: self.config.broadcast,
            ..Envelope::new(wrapping, self.config.protection)
        };
        let mut out = Vec::new();
        security
            .keys
            .protect(envelope, &security.title, counter, plain, &mut out)
            .map_err(Failure::Protect)?;
        Ok(out)
    }

    /// Octets that protection adds to an APDU.
    const fn overhead(&self) -> usize {
        match self.config.protection {
            Protection::None => 0,
            _ if self.config.wrapping.is_general() => 30,
            _ => 21,
        }
    }

    fn on_apdu(&mut self, octets: &[u8], now: Instant) {
        match octets.first() {
            None => self.counts.stray += 1,
            Some(0x61) => self.on_aare(octets, now),
            Some(0x63) => self.on_rlre(octets),
            Some(0xD8) => self.on_exception(octets),
            Some(0x0E) => self.on_service_error(octets),
            Some(tag) if Wrapping::of_tag(*tag).is_some() => self.on_ciphered(octets, now),
            Some(0x0F | 0xC2) => self.on_plain_notification(octets),
            Some(_) if self.config.protection != Protection::None => {
                self.refuse(Failure::Unverified(UnprotectError::Insufficient {
                    required: self.config.protection,
                    received: Protection::None,
                }));
            }
            Some(_) => self.on_response(octets, None, now),
        }
    }

    fn on_ciphered(&mut self, octets: &[u8], now: Instant) {
        let mut frame = octets.to_vec();
        match self.open(&mut frame) {
            Ok((range, verified)) => {
                let plain = frame.get(range).unwrap_or_default();
                if matches!(plain.first(), Some(0x0F | 0xC2)) {
                    self.on_notification(plain.to_vec(), verified);
                    return;
                }
                self.on_response(plain, verified.as_ref(), now);
            }
            Err(error) => self.refuse(Failure::Unverified(error)),
        }
    }

    /// Verifies and deciphers what the server sent, and takes its counter.
    fn open(
        &mut self,
        frame: &mut [u8],
    ) -> Result<(core::ops::Range<usize>, Option<TagVerified>), UnprotectError> {
        let header = Header::decode(frame)?;
        let nothing = UnprotectError::NotCiphered {
            tag: frame.first().copied().unwrap_or(0),
        };
        let Some(security) = &mut self.security else {
            return Err(nothing);
        };
        let title = self
            .session
            .server_title
            .or(security.server_title)
            .or(header.system_title)
            .ok_or(nothing)?;
        let protection = header.control.protection();
        let required = self.config.protection;
        if protection == Protection::Encrypted && protection.covers(required) {
            let candidate = self.session.unverified.check(header.counter)?;
            let opened = security.keys.dangerous_decrypt_unverified(frame, &title)?;
            self.session
                .unverified
                .dangerous_commit_unverified(candidate)?;
            return Ok((opened.range(), None));
        }
        let window = match &mut self.session.dedicated {
            Some(dedicated) if header.wrapping.is_dedicated() => dedicated,
            None if header.wrapping.is_dedicated() => return Err(nothing),
            _ => security.received.window_mut(),
        };
        let floor = window.floor();
        let opened = security
            .keys
            .unprotect_once(frame, &title, required, window)?;
        let plain = opened.plain(frame).first();
        // What is told unasked may be late. An answer may not: one that was held
        // back on the way is none to what was asked since.
        if !matches!(plain, Some(0x0F | 0xC2)) && floor.is_none_or(|floor| header.counter < floor) {
            let counter = header.counter;
            return Err(ReplayError { counter, floor }.into());
        }
        self.session.enclosing = (!header.wrapping.is_dedicated()).then_some(header.counter);
        Ok((opened.range(), Some(opened.into_proof())))
    }

    /// Takes what cannot be the answer: on a link that loses messages it may
    /// be anything's, so it is counted and the answer is waited for; else it is
    /// what the server had to say.
    fn refuse(&mut self, failure: Failure) {
        self.counts.unverified += 1;
        if self.config.repeat == Repeat::Nothing
            && matches!(self.state, State::Associating(_) | State::Requesting(_))
        {
            self.fail(failure);
        }
    }

    fn on_plain_notification(&mut self, octets: &[u8]) {
        if self.config.protection == Protection::None {
            self.on_notification(octets.to_vec(), None);
        } else {
            self.counts.unverified += 1;
        }
    }

    fn on_notification(&mut self, apdu: Vec<u8>, verified: Option<TagVerified>) {
        if self.notifications >= NOTIFICATIONS_MAX {
            self.counts.notifications += 1;
            return;
        }
        if let Ok(told) = DataNotification::from_octets(&apdu)
            && told.invoke.is_confirmed()
        {
            let confirm = DataNotificationConfirm {
                invoke: told.invoke,
                date_time: None,
            };
            // A confirmation that cannot be protected is not sent: the server
            // will tell it again.
            if let Ok(octets) = self.seal(&confirm.to_octets()) {
                self.output.push_back(Output::Transmit(octets));
            }
        }
        self.notifications += 1;
        self.event(Event::Notification(Notification { apdu, verified }));
    }

    /// An exception is a word in clear that anybody may have sent: it ends at
    /// most the request.
    fn on_exception(&mut self, octets: &[u8]) {
        let exception = match ExceptionResponse::from_octets(octets) {
            Ok(exception) => exception,
            Err(error) => return self.refuse(Failure::Malformed(error)),
        };
        if !matches!(self.state, State::Associating(_) | State::Requesting(_)) {
            self.counts.stray += 1;
            return;
        }
        if let ServiceError::InvocationCounterError(Some(expected)) = exception.service_error {
            return match self.follow(CounterHint::new(expected)) {
                Ok(()) => {}
                // Late word about a request that has long been answered.
                Err(Failure::Hint(HintRefused::NotAhead { .. }))
                    if self.config.repeat != Repeat::Nothing =>
                {
                    self.counts.stray += 1;
                }
                Err(failure) => self.on_refusal(failure),
            };
        }
        self.on_refusal(Failure::Exception(exception));
    }

    /// Takes the word, in clear, that what was sent is refused.
    fn on_refusal(&mut self, failure: Failure) {
        if self.config.repeat != Repeat::Nothing
            && self.config.protection != Protection::None
            && let Some(sent) = &mut self.session.sent
        {
            // It may be about a message that was damaged on the way, or be
            // nobody's word: the answer may still come, or come to a repetition.
            sent.said = Some(failure);
            return;
        }
        self.fail(failure);
    }

    /// Tries the counter that the server is said to expect, with the request
    /// that it is said to have refused. Only what is read anew each time is
    /// sent again: whoever forges an exception after a write was carried out
    /// must not have it carried out twice.
    fn follow(&mut self, hint: CounterHint) -> Result<(), Failure> {
        let (State::Requesting(exchange), Some(sent)) = (&mut self.state, &self.session.sent)
        else {
            return Err(Failure::CounterBehind(hint.expected()));
        };
        let [0xC0, 1 | 3, _, ..] = sent.plain.as_slice() else {
            return Err(Failure::CounterBehind(hint.expected()));
        };
        let mut plain = sent.plain.clone();
        let security = self.security.as_mut().ok_or(Failure::NoKeys)?;
        let plan = security.send.plan_trial(hint).map_err(Failure::Hint)?;
        // Under an invoke id of its own: an answer to what was sent before must
        // not speak for the counter that is tried.
        self.session.given_up |= 1 << exchange.invoke_id();
        let invoke = exchange.renew(next_invoke_id(&mut self.session)?);
        if let Some(octet) = plain.get_mut(2) {
            *octet = invoke.0;
        }
        self.session.sent = None;
        self.session.following = true;
        self.session.waiting = Some(Waiting::Plain(plain));
        self.output.push_back(Output::Reserve(plan));
        Ok(())
    }

    fn on_service_error(&mut self, octets: &[u8]) {
        match crate::xdlms::ConfirmedServiceError::from_octets(octets) {
            Ok(error) if matches!(self.state, State::Associating(_) | State::Requesting(_)) => {
                self.on_refusal(Failure::ServiceError(error));
            }
            Ok(_) => self.counts.stray += 1,
            Err(error) => self.refuse(Failure::Malformed(error)),
        }
    }

    fn on_response(&mut self, plain: &[u8], verified: Option<&TagVerified>, now: Instant) {
        match core::mem::replace(&mut self.state, State::Idle) {
            State::Associating(associating) if associating.awaits_reply() => {
                self.on_pass_4(associating, plain);
            }
            State::Requesting(exchange) => self.on_answer(exchange, plain, verified, now),
            other => {
                self.state = other;
                self.counts.stray += 1;
            }
        }
    }

    fn request(&mut self, request: Request, confirmed: bool, now: Instant) {
        match self.state {
            State::Open => {}
            State::Requesting(_) => return self.event(Event::RequestFailed(Failure::Busy)),
            State::Idle | State::Associating(_) | State::Releasing => {
                return self.event(Event::RequestFailed(Failure::NotAssociated));
            }
        }
        if !confirmed && matches!(request, Request::Get(_)) {
            let failure = Failure::NotOffered("reading without an answer");
            return self.event(Event::RequestFailed(failure));
        }
        if confirmed && self.config.broadcast {
            let failure = Failure::NotOffered("answers to what is sent to all");
            return self.event(Event::RequestFailed(failure));
        }
        let room = self
            .session
            .server_pdu_len
            .min(usize::from(self.config.send_len_max))
            .saturating_sub(self.overhead());
        match Exchange::new(request, self.session.conformance, room, confirmed) {
            Ok(exchange) => {
                self.state = State::Requesting(exchange);
                self.go_on(now);
            }
            Err(failure) => self.event(Event::RequestFailed(failure)),
        }
    }

    /// Sends the next APDU of the exchange, or tells that it is done.
    fn go_on(&mut self, now: Instant) {
        while let State::Requesting(exchange) = &mut self.state {
            self.session.sent = None;
            let session = &mut self.session;
            match exchange.next(|| next_invoke_id(session)) {
                Err(Failure::NoAnswer(phase)) => self.end(Failure::NoAnswer(phase)),
                Err(failure) => self.fail(failure),
                Ok(Some(plain)) => {
                    self.session.waiting = Some(Waiting::Plain(plain));
                    if !self.send_waiting(now) {
                        return;
                    }
                }
                Ok(None) => {
                    if let State::Requesting(exchange) =
                        core::mem::replace(&mut self.state, State::Open)
                    {
                        self.event(Event::Response(exchange.into_response()));
                    }
                }
            }
        }
    }

    fn on_answer(
        &mut self,
        mut exchange: Exchange,
        plain: &[u8],
        verified: Option<&TagVerified>,
        now: Instant,
    ) {
        let taken = exchange.take(plain);
        let octets = exchange.progress();
        self.state = State::Requesting(exchange);
        match taken {
            Ok(exchange::Taken::Stray) => {
                self.counts.stray += 1;
                return;
            }
            Ok(exchange::Taken::Block) => self.event(Event::Progress(octets)),
            Ok(exchange::Taken::Done) => {}
            Err(failure) => return self.fail(failure),
        }
        if let (Some(proof), Some(security)) = (verified, &mut self.security) {
            security.send.confirm_trial(proof);
        }
        if verified.is_some() || self.config.protection == Protection::None {
            // The server has gone on, and what it answered before cannot come
            // any more, or is seen to be old.
            self.session.given_up = 0;
        }
        self.go_on(now);
    }

    /// Sends again what waits for its answer, if that may be; tells whether.
    fn repeat(&mut self, now: Instant) -> bool {
        let Some(sent) = &mut self.session.sent else {
            return false;
        };
        let may = match self.config.repeat {
            Repeat::Nothing => false,
            Repeat::Reads => matches!(sent.plain.first(), None | Some(0xC0)),
            Repeat::Everything => true,
        };
        if !may || sent.repeats >= self.config.repeats_max {
            return false;
        }
        sent.repeats += 1;
        sent.deadline = now + self.config.timeout;
        let octets = sent.octets.clone();
        self.counts.repeated += 1;
        self.output.push_back(Output::Transmit(octets));
        true
    }

    fn on_timeout(&mut self, now: Instant) {
        let Some(sent) = &mut self.session.sent else {
            return;
        };
        if now < sent.deadline || self.repeat(now) {
            return;
        }
        let Some(sent) = &mut self.session.sent else {
            return;
        };
        let said = sent.said;
        let phase = match self.state {
            State::Associating(_) => Phase::Associating,
            State::Releasing => Phase::Releasing,
            State::Idle | State::Open | State::Requesting(_) => Phase::Requesting,
        };
        // What was sent may still have been carried out, and what comes late is
        // told by its invoke id.
        self.fail(said.unwrap_or(Failure::NoAnswer(phase)));
    }
}

impl Session {
    fn new(conformance: Conformance, security: Option<&Security>) -> Self {
        let floor = security
            .and_then(|security| security.received.window().floor())
            .unwrap_or(0);
        Self {
            conformance,
            server_pdu_len: usize::from(u16::MAX),
            server_title: None,
            dedicated: None,
            unverified: ReplayWindow::rising(floor),
            enclosing: None,
            associated: Associated {
                conformance,
                pdu_len_max: 0,
                server_title: None,
                deviations: Vec::new(),
            },
            invoke_id: 0,
            given_up: 0,
            following: false,
            waiting: None,
            sent: None,
        }
    }
}

/// Takes the next invoke id, other than those whose answers may still come.
fn next_invoke_id(session: &mut Session) -> Result<u8, Failure> {
    for _ in 0..16 {
        session.invoke_id = (session.invoke_id + 1) & 0x0F;
        if session.given_up & (1 << session.invoke_id) == 0 {
            return Ok(session.invoke_id);
        }
    }
    // Sixteen requests without an answer: there is nobody.
    Err(Failure::NoAnswer(Phase::Requesting))
}
