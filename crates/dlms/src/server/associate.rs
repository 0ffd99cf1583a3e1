//! Making and releasing associations: AARQ and AARE, the reply to the
//! challenge, RLRQ and RLRE.

use alloc::vec::Vec;

use crate::Instant;
use crate::acse::{
    Aare, Aarq, ApplicationContextName, AssociateSourceDiagnostic, AssociationResult,
    AuthenticationValue, MechanismName, ReleaseResponseReason, Rlre, Rlrq, ServiceUserDiagnostic,
};
use crate::axdr::{Leaf, put_octet_string};
use crate::codec::Wire;
use crate::cosem::Obis;
use crate::security::{
    Challenge, Envelope, GMAC_REPLY_LEN, Header, HlsExchange, HlsVerified, Key, KeyRing,
    Protection, ReplayWindow, Role, SystemTitle, Wrapping, password_matches,
};
use crate::xdlms::{
    ActionRequest, ActionResponse, ActionResponseWithOptionalData, ActionResult, ConfirmedService,
    ConfirmedServiceError, Conformance, DLMS_VERSION, DataAccessResult, ErrorClass,
    InitiateRequest, InitiateResponse,
};

use super::service::Services;
use super::store::{AssociationTerms, Caller, Context, Notice, ObjectStore, SecurityState};
use super::{
    ASSOCIATIONS_MAX, Association, Authentication, BackOff, Last, Outcome, Protected, Server,
    State, next_counter, risen,
};

/// The association object of the present association (IEC 62056-6-2, class 15).
const CURRENT_ASSOCIATION: Obis = Obis([0, 0, 40, 0, 0, 255]);

/// The class of association objects by logical name, and its method
/// reply_to_HLS_authentication.
const ASSOCIATION_LN: (u16, i8) = (15, 1);

/// Octets of our challenges: what mechanisms 5 to 7 all take.
const CHALLENGE_LEN: usize = 32;

/// The least that a client must take in one APDU (IEC 62056-5-3, clause 6.2).
const PDU_LEN_LEAST: u16 = 12;

/// An AARQ that is turned down.
struct Rejected {
    diagnostic: ServiceUserDiagnostic,
    /// The value of the class `initiate`, where the InitiateRequest is at fault.
    initiate: Option<u8>,
    notice: Option<Notice>,
    /// Whether it may be accepted later.
    transient: bool,
}

impl Rejected {
    const fn new(diagnostic: ServiceUserDiagnostic) -> Self {
        Self {
            diagnostic,
            initiate: None,
            notice: None,
            transient: false,
        }
    }

    const fn initiate(value: u8) -> Self {
        Self {
            diagnostic: ServiceUserDiagnostic::NoReasonGiven,
            initiate: Some(value),
            notice: None,
            transient: false,
        }
    }

    const fn failed() -> Self {
        Self {
            diagnostic: ServiceUserDiagnostic::AuthenticationFailure,
            initiate: None,
            notice: Some(Notice::AuthenticationFailed),
            transient: false,
        }
    }
}

/// The InitiateRequest in clear, and how it was protected.
struct Proposal {
    plain: Vec<u8>,
    envelope: Option<Envelope>,
}

impl Server {
    pub(super) fn on_aarq(
        &mut self,
        client: u16,
        octets: &[u8],
        now: Instant,
        store: &mut dyn ObjectStore,
    ) {
        // Octets that are no AARQ get no answer: there is no form for one.
        let Ok(aarq) = Aarq::from_octets(octets)
            .or_else(|_| Aarq::decode_lenient(octets).map(|lenient| lenient.value))
        else {
            return;
        };
        // The AARE was lost on the way and the AARQ is sent again.
        if let Some(last) = self
            .associations
            .get(&client)
            .and_then(|it| it.last.as_ref())
            && last.request == octets
        {
            self.answer.extend_from_slice(&last.answer);
            return;
        }
        // An AARQ that is turned down ends nothing: anybody may have sent it.
        let rejected = match self.accept(client, &aarq, now, store) {
            Ok(mut association) => {
                association.last = Some(Last {
                    request: octets.to_vec(),
                    answer: self.answer.clone(),
                });
                let open = matches!(association.state, State::Open(_));
                if let Some(before) = self.associations.insert(client, association) {
                    before.farewell(client, store);
                }
                if open {
                    store.noticed(client, Notice::Associated);
                }
                return;
            }
            Err(rejected) => rejected,
        };
        store.noticed(client, rejected.notice.unwrap_or(Notice::Refused));
        let error = rejected.initiate.map(|value| {
            ConfirmedServiceError {
                service: ConfirmedService::InitiateError,
                class: ErrorClass::Initiate,
                value,
            }
            .to_octets()
        });
        let mut aare = Aare::new(
            aarq.application_context_name,
            if rejected.transient {
                AssociationResult::RejectedTransient
            } else {
                AssociationResult::RejectedPermanent
            },
            AssociateSourceDiagnostic::ServiceUser(rejected.diagnostic),
        );
        aare.user_information = error.as_deref();
        self.answer.clear();
        aare.encode(&mut self.answer);
    }

    fn accept(
        &mut self,
        client: u16,
        aarq: &Aarq<'_>,
        now: Instant,
        store: &mut dyn ObjectStore,
    ) -> Result<Association, Rejected> {
        let room =
            self.associations.len() < ASSOCIATIONS_MAX || self.associations.contains_key(&client);
        let terms = store
            .association(client)
            .filter(|terms| room && !terms.pre_established)
            .ok_or(Rejected::new(ServiceUserDiagnostic::NoReasonGiven))?;
        if aarq.application_context_name != terms.context.name() {
            return Err(Rejected::new(
                ServiceUserDiagnostic::ApplicationContextNameNotSupported,
            ));
        }
        match aarq.mechanism_name {
            Some(name) if name == terms.mechanism => {}
            None if terms.mechanism == MechanismName::Lowest => {}
            None => {
                return Err(Rejected::new(
                    ServiceUserDiagnostic::AuthenticationMechanismNameRequired,
                ));
            }
            Some(_) => {
                return Err(Rejected::new(
                    ServiceUserDiagnostic::AuthenticationMechanismNameNotRecognised,
                ));
            }
        }

        // Mechanism 5 needs the keys in a context without ciphering too.
        let keyed = terms.context == Context::LogicalNameCiphered
            || terms.mechanism == MechanismName::HighGmac;
        let mut protected = if keyed {
            Some(protect(client, aarq, now, store)?)
        } else {
            None
        };
        let proposal = propose(client, &terms, aarq, protected.as_mut(), now, store)?;
        let initiate = InitiateRequest::from_octets(&proposal.plain)
            .map_err(|_| Rejected::new(ServiceUserDiagnostic::NoReasonGiven))?;
        let conformance = agree(&terms, &initiate)?;
        if let Some(key) = initiate.dedicated_key {
            let protected = protected
                .as_mut()
                .filter(|_| {
                    proposal
                        .envelope
                        .is_some_and(|envelope| envelope.protection == VERIFIED_AND_HIDDEN)
                })
                .ok_or(Rejected::initiate(INITIATE_OTHER))?;
            Key::from_octets(key)
                .map_err(|_| ())
                .and_then(|key| protected.keys.set_dedicated(Some(&key)).map_err(|_| ()))
                .map_err(|()| Rejected::initiate(INITIATE_OTHER))?;
            protected.dedicated = Some(ReplayWindow::rising(0));
        }
        let guessable = terms.mechanism == MechanismName::Low;
        if guessable && !guard(&mut self.back_off, store).allows(client, now) {
            return Err(Rejected {
                notice: Some(Notice::Refused),
                transient: true,
                ..Rejected::failed()
            });
        }
        let proved = prove(client, &terms, aarq, protected.as_ref(), store);
        if guessable {
            let guard = guard(&mut self.back_off, store);
            if proved.is_ok() {
                guard.succeeded(client);
            } else if guard.failed(client, now) {
                store.noticed(client, Notice::LockedOut);
            }
        }
        let (state, challenge) = proved?;
        let open = matches!(state, State::Open(_));
        let pdu_len_max = terms.pdu_len_max.min(self.settings.apdu_len_max);
        let pdu_len = match initiate.client_max_receive_pdu_size {
            0 => pdu_len_max,
            size => size.min(pdu_len_max),
        };
        let mut information = Vec::new();
        let response = InitiateResponse::new(conformance, pdu_len_max).to_octets();
        match proposal.envelope {
            None => information = response,
            Some(envelope) => {
                let counter = next_counter(client, store).ok();
                let title = store.security(client).map(|security| security.title);
                counter
                    .zip(title)
                    .zip(protected.as_ref())
                    .and_then(|((counter, title), protected)| {
                        protected
                            .keys
                            .protect(envelope, &title, counter, &response, &mut information)
                            .ok()
                    })
                    .ok_or(Rejected::new(ServiceUserDiagnostic::NoReasonGiven))?;
            }
        }
        let diagnostic = if open {
            ServiceUserDiagnostic::Null
        } else {
            ServiceUserDiagnostic::AuthenticationRequired
        };
        let title = store.security(client).map(|security| security.title);
        let mut aare = Aare::new(
            terms.context.name(),
            AssociationResult::Accepted,
            AssociateSourceDiagnostic::ServiceUser(diagnostic),
        );
        if let Some(challenge) = &challenge {
            aare = aare.with_authentication(
                terms.mechanism,
                AuthenticationValue::Charstring(challenge.octets()),
            );
        } else if terms.mechanism != MechanismName::Lowest {
            // Optional here; meters in the field send it, and dlms-cosem-rs
            // 0.1.0 takes an answer without it for a downgrade.
            aare = aare.with_mechanism(terms.mechanism);
        }
        if terms.context == Context::LogicalNameCiphered || terms.mechanism.is_high() {
            aare.responding_ap_title = title.as_ref().map(|title| title.0.as_slice());
        }
        aare.user_information = Some(&information);
        self.answer.clear();
        aare.encode(&mut self.answer);
        Ok(Association {
            terms,
            state,
            services: Services::new(conformance),
            pdu_len: usize::from(pdu_len),
            protected,
            last: None,
            heard: now,
        })
    }

    pub(super) fn on_rlrq(&mut self, client: u16, octets: &[u8], store: &mut dyn ObjectStore) {
        let Ok(rlrq) = Rlrq::from_octets(octets)
            .or_else(|_| Rlrq::decode_lenient(octets).map(|lenient| lenient.value))
        else {
            return;
        };
        // Who asks for a release in clear gets it: that is how strangers' clients
        // do it in ciphered associations too (Gurux, jDLMS). An association that
        // was never made cannot be released.
        let mut information = Vec::new();
        let association = self.associations.get(&client);
        if let Some(association) = association
            && let Some(request) = rlrq.user_information
        {
            let response = InitiateResponse::new(
                association.services.conformance,
                association
                    .terms
                    .pdu_len_max
                    .min(self.settings.apdu_len_max),
            )
            .to_octets();
            let ciphered = request.first().and_then(|tag| Wrapping::of_tag(*tag));
            if ciphered.is_none() {
                information = response;
            } else {
                match self.open(client, false, request, store) {
                    Ok((_, seal)) => {
                        if self.seal(client, seal, &response, store).is_ok() {
                            information = core::mem::take(&mut self.answer);
                        }
                    }
                    // An old one that came again, or a made-up one: nothing is
                    // released, and no counter is spent on an answer.
                    Err(error) => return self.refuse_ciphered(client, &error, store),
                }
            }
        }
        self.answer.clear();
        let stays = |it: &Association| it.terms.pre_established;
        if !self.associations.get(&client).is_some_and(stays)
            && let Some(association) = self.associations.remove(&client)
        {
            association.farewell(client, store);
        }
        Rlre {
            reason: Some(ReleaseResponseReason::Normal),
            user_information: (!information.is_empty()).then_some(&information),
        }
        .encode(&mut self.answer);
    }
}

/// Finds where a client's wrong passwords are counted.
fn guard<'a>(own: &'a mut BackOff, store: &'a mut dyn ObjectStore) -> &'a mut BackOff {
    store.back_off().unwrap_or(own)
}

/// What an InitiateRequest must be for the dedicated key in it: hidden, and
/// verified too, since an old one that came again would have the key and its
/// counters used twice.
const VERIFIED_AND_HIDDEN: Protection = Protection::AuthenticatedEncrypted;

/// Values of the class `initiate` of a ConfirmedServiceError (IEC 62056-5-3,
/// ServiceError).
const INITIATE_OTHER: u8 = 0;
const INITIATE_VERSION: u8 = 1;
const INITIATE_CONFORMANCE: u8 = 2;
const INITIATE_PDU_SIZE: u8 = 3;

/// Finds the client's title and the keys for it.
fn protect(
    client: u16,
    aarq: &Aarq<'_>,
    now: Instant,
    store: &mut dyn ObjectStore,
) -> Result<Protected, Rejected> {
    let unknown = || Rejected::new(ServiceUserDiagnostic::CallingApTitleNotRecognized);
    let state = store.security(client).ok_or(Rejected::new(
        ServiceUserDiagnostic::ApplicationContextNameNotSupported,
    ))?;
    let title = aarq
        .calling_ap_title
        .and_then(SystemTitle::from_slice)
        .ok_or_else(unknown)?;
    let bound = state.client_title.is_none_or(|known| known == title);
    if !bound || title == state.title {
        return Err(unknown());
    }
    let (keys, until) = candidates(state, now).next().ok_or_else(Rejected::failed)?;
    Ok(Protected {
        until,
        ..Protected::new(title, keys, state)
    })
}

/// The keys that an association may be made under, and until when each holds.
fn candidates(
    state: &SecurityState,
    now: Instant,
) -> impl Iterator<Item = (KeyRing, Option<Instant>)> {
    let fixed = state.timed.is_none().then(|| (state.keys.clone(), None));
    let timed = state.timed.iter().flatten();
    let timed = timed.filter(move |one| now < one.until);
    fixed
        .into_iter()
        .chain(timed.map(|one| (one.keys.clone(), Some(one.until))))
}

/// Reads the proposal in the user-information, deciphered where it must be.
fn propose(
    client: u16,
    terms: &AssociationTerms,
    aarq: &Aarq<'_>,
    protected: Option<&mut Protected>,
    now: Instant,
    store: &mut dyn ObjectStore,
) -> Result<Proposal, Rejected> {
    let information = aarq
        .user_information
        .ok_or(Rejected::new(ServiceUserDiagnostic::NoReasonGiven))?;
    if information
        .first()
        .is_none_or(|tag| Wrapping::of_tag(*tag).is_none())
    {
        if terms.protection != Protection::None {
            return Err(Rejected {
                notice: Some(Notice::ProtectionMissing),
                ..Rejected::new(ServiceUserDiagnostic::AuthenticationFailure)
            });
        }
        return Ok(Proposal {
            plain: information.to_vec(),
            envelope: None,
        });
    }
    let unverified = || Rejected {
        notice: Some(Notice::VerificationFailed),
        ..Rejected::failed()
    };
    let protected = protected.ok_or_else(unverified)?;
    let header = Header::decode(information).map_err(|_| unverified())?;
    if header.wrapping.is_dedicated() || header.control.broadcast() {
        return Err(unverified());
    }
    let protection = header.control.protection();
    let state = store.security(client).ok_or_else(unverified)?;
    let mut frame = information.to_vec();
    let range = if protection == Protection::Encrypted && protection.covers(terms.protection) {
        let candidate = protected
            .unverified
            .check(header.counter)
            .map_err(|_| unverified())?;
        let opened = protected
            .keys
            .dangerous_decrypt_unverified(&mut frame, &protected.title)
            .map_err(|_| unverified())?;
        protected
            .unverified
            .dangerous_commit_unverified(candidate)
            .map_err(|_| unverified())?;
        opened.range()
    } else {
        let candidates: Vec<_> = candidates(state, now).collect();
        let opened = state.received.verify(&protected.title, |window| {
            risen(window, &header).map_err(|_| Rejected {
                notice: Some(Notice::Replayed),
                ..Rejected::failed()
            })?;
            let title = &protected.title;
            let verified = candidates.into_iter().find_map(|(keys, until)| {
                let opened = keys.unprotect_once(&mut frame, title, terms.protection, window);
                Some((opened.ok()?, keys, until))
            });
            let (opened, keys, until) = verified.ok_or_else(unverified)?;
            (protected.keys, protected.until) = (keys, until);
            Ok(opened)
        })?;
        store
            .counter_accepted(client, &protected.title, header.counter, false)
            .map_err(|_| unverified())?;
        opened.range()
    };
    let plain = frame.get(range).unwrap_or_default().to_vec();
    Ok(Proposal {
        plain,
        envelope: Some(Envelope::new(header.wrapping, protection)),
    })
}

/// Finds the services that both sides have.
fn agree(
    terms: &AssociationTerms,
    initiate: &InitiateRequest<'_>,
) -> Result<Conformance, Rejected> {
    if initiate.proposed_dlms_version_number < DLMS_VERSION {
        return Err(Rejected::initiate(INITIATE_VERSION));
    }
    let size = initiate.client_max_receive_pdu_size;
    if size != 0 && size < PDU_LEN_LEAST {
        return Err(Rejected::initiate(INITIATE_PDU_SIZE));
    }
    let common = terms.conformance & initiate.proposed_conformance;
    if common == Conformance::NONE {
        return Err(Rejected::initiate(INITIATE_CONFORMANCE));
    }
    Ok(common)
}

/// Checks what the client shows of itself, or makes the challenge that it has
/// to answer.
fn prove(
    client: u16,
    terms: &AssociationTerms,
    aarq: &Aarq<'_>,
    protected: Option<&Protected>,
    store: &mut dyn ObjectStore,
) -> Result<(State, Option<Challenge>), Rejected> {
    let shown = aarq
        .calling_authentication_value
        .map(|value| value.octets());
    match terms.mechanism {
        MechanismName::Lowest => Ok((State::Open(Authentication::Nothing), None)),
        MechanismName::Low => {
            let secret = store.password(client).unwrap_or_default();
            match password_matches(secret, shown.unwrap_or_default()) {
                Some(proof) => Ok((State::Open(Authentication::Password(proof)), None)),
                None => Err(Rejected::failed()),
            }
        }
        MechanismName::HighGmac => {
            let protected = protected.ok_or_else(Rejected::failed)?;
            let ctos =
                Challenge::from_peer(shown.unwrap_or_default()).map_err(|_| Rejected::failed())?;
            let mut entropy = [0; CHALLENGE_LEN];
            store
                .random(&mut entropy)
                .map_err(|_| Rejected::new(ServiceUserDiagnostic::NoReasonGiven))?;
            let stoc = Challenge::from_entropy(&entropy)
                .map_err(|_| Rejected::new(ServiceUserDiagnostic::NoReasonGiven))?;
            let server = store.security(client).ok_or_else(Rejected::failed)?.title;
            let exchange = HlsExchange::new(protected.title, server, ctos, stoc.clone())
                .map_err(|_| Rejected::failed())?;
            Ok((State::AwaitingReply(exchange), Some(stoc)))
        }
        _ => Err(Rejected::new(
            ServiceUserDiagnostic::AuthenticationMechanismNameNotRecognised,
        )),
    }
}

/// Takes pass 3, the reply to the challenge, and makes pass 4. Anything else is
/// refused, and a wrong reply ends the association.
pub(super) fn on_reply(
    association: &mut Association,
    caller: &Caller,
    plain: &[u8],
    store: &mut dyn ObjectStore,
    reply: &mut Vec<u8>,
) -> Outcome {
    let refused = Outcome::Refuse(crate::xdlms::ServiceError::OperationNotPossible);
    let Ok(ActionRequest::Normal {
        invoke,
        method,
        parameters,
    }) = ActionRequest::from_octets(plain)
    else {
        return refused;
    };
    let known =
        method.instance == CURRENT_ASSOCIATION || method.instance == association.terms.object;
    if (method.class_id, method.method) != ASSOCIATION_LN || !known {
        return refused;
    }
    let answer = pass_4(association, caller, parameters, store);
    let outcome = match answer {
        Ok((octets, proof)) => {
            association.state = State::Open(Authentication::Hls(proof));
            store.noticed(caller.client, Notice::Associated);
            let mut value = Vec::new();
            put_octet_string(&mut value, &octets);
            ActionResponse::Normal {
                invoke,
                response: ActionResponseWithOptionalData {
                    result: ActionResult::Success,
                    return_parameters: Some(Ok(crate::axdr::RawData::new(&value))),
                },
            }
            .encode(reply);
            Outcome::Answer
        }
        Err(NotProved) => {
            store.noticed(caller.client, Notice::AuthenticationFailed);
            ActionResponse::Normal {
                invoke,
                response: ActionResponseWithOptionalData {
                    result: ActionResult::ReadWriteDenied,
                    return_parameters: Some(Err(DataAccessResult::ReadWriteDenied)),
                },
            }
            .encode(reply);
            Outcome::End
        }
    };
    if invoke.is_confirmed() {
        outcome
    } else {
        Outcome::Silence
    }
}

struct NotProved;

fn pass_4(
    association: &Association,
    caller: &Caller,
    parameters: Option<crate::axdr::RawData<'_>>,
    store: &mut dyn ObjectStore,
) -> Result<([u8; GMAC_REPLY_LEN], HlsVerified), NotProved> {
    let (State::AwaitingReply(exchange), Some(protected)) =
        (&association.state, &association.protected)
    else {
        return Err(NotProved);
    };
    let Some(Ok(Leaf::OctetString(shown))) =
        parameters.and_then(|value| value.walk().leaves().next())
    else {
        return Err(NotProved);
    };
    let state = store.security(caller.client).ok_or(NotProved)?;
    let title = protected.title;
    let proof = state
        .received
        .verify(&title, |window| {
            exchange.gmac_verify(
                Role::Client,
                &protected.keys,
                window,
                protected.enclosing,
                shown,
            )
        })
        .map_err(|_| NotProved)?;
    if let Some(floor) = state.received.window(&title).floor() {
        store
            .counter_accepted(caller.client, &title, floor.saturating_sub(1), false)
            .map_err(|_| NotProved)?;
    }
    let counter = next_counter(caller.client, store).map_err(|_| NotProved)?;
    let reply = exchange
        .gmac_reply(Role::Server, &protected.keys, counter)
        .map_err(|_| NotProved)?;
    Ok((reply, proof))
}

impl Context {
    /// Tells the application context name.
    #[must_use]
    pub const fn name(self) -> ApplicationContextName<'static> {
        match self {
            Self::LogicalName => ApplicationContextName::LogicalName,
            Self::LogicalNameCiphered => ApplicationContextName::LogicalNameCiphered,
        }
    }
}
