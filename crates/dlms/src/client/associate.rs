//! Making and releasing the association: AARQ and AARE, the replies to both
//! challenges, RLRQ and RLRE.

use alloc::vec::Vec;

use zeroize::Zeroizing;

use crate::Instant;
use crate::acse::{
    Aare, Aarq, AssociationResult, AuthenticationValue, MechanismName, ReleaseRequestReason, Rlre,
    Rlrq,
};
use crate::axdr::{Leaf, RawData, put_octet_string};
use crate::codec::Wire;
use crate::cosem::MethodDescriptor;
use crate::security::{
    Challenge, Envelope, HintRefused, HlsExchange, Key, Protection, ReplayWindow, Role,
    SystemTitle, Wrapping,
};
use crate::server::Context;
use crate::xdlms::{
    ActionRequest, ActionResponse, ActionResult, ConfirmedServiceError, DLMS_VERSION,
    InitiateRequest, InitiateResponse, InvokeIdAndPriority,
};

use super::{Associate, Associated, Client, Event, Failure, Output, Session, State, Waiting};

/// The class of association objects by logical name, and its method
/// reply_to_HLS_authentication (IEC 62056-6-2).
const ASSOCIATION_LN: (u16, i8) = (15, 1);

/// What is known while an association is being made.
pub(super) struct Associating {
    /// What is shown: the password, or our challenge.
    shown: Zeroizing<Vec<u8>>,
    ctos: Option<Challenge>,
    dedicated: Option<Key>,
    exchange: Option<HlsExchange>,
}

impl Associating {
    /// Tells whether the challenges were exchanged.
    pub(super) const fn awaits_reply(&self) -> bool {
        self.exchange.is_some()
    }
}

impl Client {
    pub(super) fn associate(&mut self, with: &Associate<'_>, now: Instant) {
        if !matches!(self.state, State::Idle) {
            return self.event(Event::RequestFailed(Failure::Busy));
        }
        self.session = Session::new(self.config.conformance, self.security.as_ref());
        match self.prepare(with) {
            Ok(_) if self.config.pre_established => {
                self.session.server_title = self
                    .security
                    .as_ref()
                    .and_then(|security| security.server_title);
                self.state = State::Open;
                let associated = self.session.associated.clone();
                self.event(Event::Associated(associated));
            }
            Ok(associating) => {
                self.state = State::Associating(associating);
                self.session.waiting = Some(Waiting::Aarq);
                match self.try_counter(with) {
                    Ok(true) => {}
                    Ok(false) => self.proceed(now),
                    Err(failure) => self.end(failure),
                }
            }
            Err(failure) => self.end(failure),
        }
    }

    /// Begins to try the counter that the server is said to expect; tells
    /// whether there is one to be tried.
    fn try_counter(&mut self, with: &Associate<'_>) -> Result<bool, Failure> {
        let (Some(hint), Some(security)) = (with.counter, &mut self.security) else {
            return Ok(false);
        };
        if self.config.protection == Protection::None {
            return Ok(false);
        }
        match security.send.plan_trial(hint) {
            Ok(plan) => {
                self.session.following = true;
                self.output.push_back(Output::Reserve(plan));
                Ok(true)
            }
            Err(HintRefused::NotAhead { .. }) => Ok(false),
            Err(refused) => Err(Failure::Hint(refused)),
        }
    }

    fn prepare(&mut self, with: &Associate<'_>) -> Result<Associating, Failure> {
        if self.config.broadcast && !self.config.pre_established {
            return Err(Failure::NotOffered("associations with all"));
        }
        let ctos = if self.config.pre_established {
            None
        } else if self.config.mechanism.is_high() {
            Some(Challenge::from_entropy(with.entropy).map_err(Failure::Challenge)?)
        } else {
            None
        };
        let keyed = self.config.context == Context::LogicalNameCiphered || ctos.is_some();
        if let Some(security) = &mut self.security {
            security.received.start_association();
            security
                .keys
                .set_dedicated(with.dedicated.as_ref())
                .map_err(Failure::Key)?;
        } else if keyed {
            return Err(Failure::NoKeys);
        }
        if self.config.wrapping.is_dedicated() && with.dedicated.is_none() {
            return Err(Failure::NoKeys);
        }
        let shown = match (&ctos, self.config.mechanism) {
            (Some(challenge), _) => challenge.octets().to_vec(),
            (None, MechanismName::Low) => with.password.to_vec(),
            (None, _) => Vec::new(),
        };
        Ok(Associating {
            shown: Zeroizing::new(shown),
            ctos,
            dedicated: with.dedicated.clone(),
            exchange: None,
        })
    }

    /// Makes the AARQ.
    pub(super) fn aarq(&mut self) -> Result<Vec<u8>, Failure> {
        let State::Associating(associating) = &self.state else {
            return Err(Failure::NotAssociated);
        };
        let shown = associating.shown.clone();
        let global = self.global_wrapping();
        let mut initiate = InitiateRequest::new(self.config.conformance, self.config.pdu_len_max);
        initiate.dedicated_key = associating.dedicated.as_ref().map(Key::dangerous_octets);
        let dedicated = initiate.dedicated_key.is_some();
        let plain = Zeroizing::new(initiate.to_octets());
        let information = if self.config.protection == Protection::None {
            plain.to_vec()
        } else {
            let counter = self.counter()?;
            let security = self.security.as_ref().ok_or(Failure::NoKeys)?;
            // The dedicated key is inside, so it cannot be what protects it.
            let wrapping = global;
            let mut out = Vec::new();
            // Nor may it be read on the way, whatever is agreed for the rest.
            let protection = if dedicated {
                Protection::AuthenticatedEncrypted
            } else {
                self.config.protection
            };
            let envelope = Envelope::new(wrapping, protection);
            security
                .keys
                .protect(envelope, &security.title, counter, &plain, &mut out)
                .map_err(Failure::Protect)?;
            out
        };
        let mut aarq = Aarq::new(self.config.context.name());
        if let Some(security) = &self.security {
            aarq.calling_ap_title = Some(&security.title.0);
        }
        if self.config.mechanism != MechanismName::Lowest {
            aarq = aarq.with_authentication(
                self.config.mechanism,
                AuthenticationValue::Charstring(&shown),
            );
        }
        aarq.user_information = Some(&information);
        Ok(aarq.to_octets())
    }

    pub(super) fn on_aare(&mut self, octets: &[u8], now: Instant) {
        let associating = match core::mem::replace(&mut self.state, State::Idle) {
            State::Associating(associating) if associating.exchange.is_none() => associating,
            other => {
                self.state = other;
                self.counts.stray += 1;
                return;
            }
        };
        match self.accept(associating, octets) {
            Ok(None) => {
                self.session.sent = None;
                self.state = State::Open;
                let associated = self.session.associated.clone();
                self.event(Event::Associated(associated));
            }
            Ok(Some(associating)) => {
                self.session.sent = None;
                self.state = State::Associating(associating);
                self.session.waiting = Some(Waiting::Reply);
                self.proceed(now);
            }
            Err(failure) => self.end(failure),
        }
    }

    /// Looks at an AARE. Where it has to be replied to, gives what is known.
    fn accept(
        &mut self,
        mut associating: Associating,
        octets: &[u8],
    ) -> Result<Option<Associating>, Failure> {
        let (aare, deviations) = match Aare::from_octets(octets) {
            Ok(aare) => (aare, Vec::new()),
            Err(error) => Aare::decode_lenient(octets)
                .map(|lenient| (lenient.value, lenient.deviations))
                .map_err(|_| Failure::Malformed(error))?,
        };
        if aare.result != AssociationResult::Accepted {
            let initiate = aare
                .user_information
                .and_then(|information| ConfirmedServiceError::from_octets(information).ok());
            return Err(Failure::Rejected {
                result: aare.result,
                diagnostic: aare.result_source_diagnostic,
                initiate,
            });
        }
        if aare.application_context_name != self.config.context.name()
            && !self.config.quirks.context_differs
        {
            return Err(Failure::Downgraded("application context"));
        }
        if aare
            .mechanism_name
            .is_some_and(|name| name != self.config.mechanism)
        {
            return Err(Failure::Downgraded("authentication mechanism"));
        }
        self.session.server_title = self.server_title(aare.responding_ap_title)?;
        let initiate = self.initiate_response(aare.user_information)?;
        let proposed = self.config.conformance;
        if !proposed.contains(initiate.negotiated_conformance) {
            return Err(Failure::Downgraded("conformance"));
        }
        if let Some(key) = associating.dedicated.take() {
            drop(key);
            self.session.dedicated = Some(ReplayWindow::rising(0));
        }
        self.session.conformance = initiate.negotiated_conformance;
        self.session.server_pdu_len = match initiate.server_max_receive_pdu_size {
            0 => usize::from(u16::MAX),
            size => usize::from(size),
        };
        self.session.associated = Associated {
            conformance: initiate.negotiated_conformance,
            pdu_len_max: initiate.server_max_receive_pdu_size,
            server_title: self.session.server_title,
            deviations,
        };
        // The agreed mechanism decides whether there is a pass 3, whatever the
        // diagnostic says: jDLMS 1.8.0 accepts with 0 and waits for it.
        let Some(ctos) = associating.ctos.take() else {
            return Ok(None);
        };
        if self.config.mechanism != MechanismName::HighGmac {
            return Err(Failure::NotOffered("this authentication mechanism"));
        }
        let shown = aare
            .responding_authentication_value
            .map(|value| value.octets());
        let stoc = Challenge::from_peer(shown.unwrap_or_default()).map_err(Failure::Challenge)?;
        let client = self.security.as_ref().ok_or(Failure::NoKeys)?.title;
        let server = self.session.server_title.ok_or(Failure::Title)?;
        let exchange = HlsExchange::new(client, server, ctos, stoc).map_err(Failure::Reply)?;
        associating.exchange = Some(exchange);
        Ok(Some(associating))
    }

    fn server_title(&self, told: Option<&[u8]>) -> Result<Option<SystemTitle>, Failure> {
        let Some(security) = &self.security else {
            return Ok(told.and_then(SystemTitle::from_slice));
        };
        let title = match told {
            None => security.server_title,
            Some(octets) => Some(SystemTitle::from_slice(octets).ok_or(Failure::Title)?),
        };
        let known = security
            .server_title
            .is_none_or(|known| Some(known) == title);
        if !known || title == Some(security.title) {
            return Err(Failure::Title);
        }
        Ok(title)
    }

    /// Reads the answer to the proposal, which is protected where ours was.
    fn initiate_response(
        &mut self,
        information: Option<&[u8]>,
    ) -> Result<InitiateResponse, Failure> {
        let mut frame = information.ok_or(Failure::Unexpected)?.to_vec();
        let ciphered = frame
            .first()
            .is_some_and(|tag| Wrapping::of_tag(*tag).is_some());
        let range = if ciphered {
            let (range, proof) = self.open(&mut frame).map_err(Failure::Unverified)?;
            if let (Some(proof), Some(security)) = (&proof, &mut self.security) {
                security.send.confirm_trial(proof);
            }
            range
        } else if self.config.protection == Protection::None {
            0..frame.len()
        } else {
            return Err(Failure::Downgraded("protection"));
        };
        let plain = frame.get(range).unwrap_or_default();
        if let Ok(error) = ConfirmedServiceError::from_octets(plain) {
            return Err(Failure::ServiceError(error));
        }
        let initiate = InitiateResponse::from_octets(plain).map_err(Failure::Malformed)?;
        if initiate.negotiated_dlms_version_number != DLMS_VERSION {
            return Err(Failure::Downgraded("DLMS version"));
        }
        Ok(initiate)
    }

    /// Makes pass 3, the reply to the server's challenge.
    pub(super) fn reply(&mut self) -> Result<Vec<u8>, Failure> {
        let counter = self.counter()?;
        let security = self.security.as_ref().ok_or(Failure::NoKeys)?;
        let State::Associating(Associating {
            exchange: Some(exchange),
            ..
        }) = &self.state
        else {
            return Err(Failure::NotAssociated);
        };
        let reply = exchange
            .gmac_reply(Role::Client, &security.keys, counter)
            .map_err(Failure::Reply)?;
        let mut value = Vec::new();
        put_octet_string(&mut value, &reply);
        let (class_id, method) = ASSOCIATION_LN;
        self.session.invoke_id = 1;
        Ok(ActionRequest::Normal {
            invoke: InvokeIdAndPriority::confirmed(self.session.invoke_id),
            method: MethodDescriptor::new(class_id, self.config.object, method),
            parameters: Some(RawData::new(&value)),
        }
        .to_octets())
    }

    /// Takes pass 4, the server's reply to our challenge.
    pub(super) fn on_pass_4(&mut self, associating: Associating, plain: &[u8]) {
        let response = match ActionResponse::from_octets(plain) {
            Ok(ActionResponse::Normal { invoke, response })
                if invoke.invoke_id() == self.session.invoke_id =>
            {
                response
            }
            Ok(_) => {
                self.state = State::Associating(associating);
                self.counts.stray += 1;
                return;
            }
            Err(error) => {
                self.state = State::Associating(associating);
                return self.refuse(Failure::Malformed(error));
            }
        };
        let shown = match response.return_parameters {
            Some(Ok(value)) if response.result == ActionResult::Success => {
                value.walk().leaves().next()
            }
            _ => return self.end(Failure::ReplyRefused),
        };
        let (Some(Ok(Leaf::OctetString(shown))), Some(exchange), Some(security)) =
            (shown, &associating.exchange, &mut self.security)
        else {
            return self.end(Failure::ReplyRefused);
        };
        let window = security.received.window_mut();
        match exchange.gmac_verify(
            Role::Server,
            &security.keys,
            window,
            self.session.enclosing,
            shown,
        ) {
            Ok(_proof) => {
                self.session.sent = None;
                self.state = State::Open;
                let associated = self.session.associated.clone();
                self.event(Event::Associated(associated));
            }
            Err(error) => self.end(Failure::NotAuthentic(error)),
        }
    }

    /// Makes the RLRQ.
    pub(super) fn rlrq(&mut self) -> Vec<u8> {
        let mut information = Vec::new();
        if self.config.protection != Protection::None {
            let plain =
                InitiateRequest::new(self.config.conformance, self.config.pdu_len_max).to_octets();
            // As in the AARQ: under a global key, whatever the rest is under. A
            // release that cannot be protected is sent in clear: it says
            // nothing that has to be believed.
            let wrapping = self.global_wrapping();
            information = self.seal_in(wrapping, &plain).unwrap_or_default();
        }
        Rlrq {
            reason: Some(ReleaseRequestReason::Normal),
            user_information: (!information.is_empty()).then_some(&information),
        }
        .to_octets()
    }

    pub(super) fn on_rlre(&mut self, octets: &[u8]) {
        if !matches!(self.state, State::Releasing) {
            self.counts.stray += 1;
            return;
        }
        // Servers send it with wrong lengths (Gurux Java 4.0.47, Gurux C): the
        // association is over whatever it says.
        let deviations = match Rlre::from_octets(octets) {
            Ok(_) => Vec::new(),
            Err(_) => Rlre::decode_lenient(octets)
                .map(|lenient| lenient.deviations)
                .unwrap_or_default(),
        };
        self.state = State::Idle;
        self.session = Session::new(self.config.conformance, self.security.as_ref());
        self.event(Event::Released(deviations));
    }
}
