//! Key establishment with the trust center, computed by the radio: certificates
//! of suite 1 exchanged, then ephemeral keys, then codes that confirm
//! (Smart Energy 1.x, annex C).

use dlms::Instant;
use dlms::codec::Reader;

use super::{COORDINATOR, Fault, Radio, STATUS_IN_PROGRESS};
use crate::ezsp::{
    CERTIFICATE_LENGTH, Command, Message, PUBLIC_KEY_LENGTH, Received, SMAC_LENGTH, STATUS_SUCCESS,
};
use crate::zcl::{CLUSTER_KEY_ESTABLISHMENT, Frame, Request, Suite};
use crate::zdo;

/// What has come of key establishment.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// Whether a link key is to be made before the meter is looked for.
    pub(super) due: bool,
    /// The trust center's endpoint.
    pub(super) endpoint: u8,
    own: Vec<u8>,
    certificate: Option<[u8; CERTIFICATE_LENGTH]>,
    own_ephemeral: Option<[u8; PUBLIC_KEY_LENGTH]>,
    ephemeral: Option<[u8; PUBLIC_KEY_LENGTH]>,
    codes: Option<[[u8; SMAC_LENGTH]; 2]>,
}

/// Where key establishment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Certificate,
    Find,
    Initiate,
    Generate,
    Ephemeral,
    Calculate,
    Confirm,
    Store,
}

/// Seconds that the radio may take for its part.
const EPHEMERAL_TIME_S: u8 = 20;
const CONFIRM_TIME_S: u8 = 20;

/// Where a certificate names its subject, the highest octet first.
const SUBJECT: core::ops::Range<usize> = 22..30;

const INITIATE: u8 = 0x00;
const EPHEMERAL_DATA: u8 = 0x01;
const CONFIRM_KEY_DATA: u8 = 0x02;
const TERMINATE: u8 = 0x03;

/// Why key establishment is ended.
const UNKNOWN_ISSUER: u8 = 0x01;
const BAD_KEY_CONFIRM: u8 = 0x02;
const BAD_MESSAGE: u8 = 0x03;

/// Seconds before another try.
const WAIT_S: u8 = 60;

impl Radio {
    pub(super) fn attempt_key(&mut self, step: Step) {
        match step {
            Step::Certificate => {
                self.keys_tried = true;
                self.keys.due = false;
                self.send(&Command::GetCertificate);
            }
            Step::Find => {
                let request = zdo::Request::MatchDescriptor {
                    node: COORDINATOR,
                    cluster: CLUSTER_KEY_ESTABLISHMENT,
                };
                self.say(COORDINATOR, 0, Message::Device(request));
            }
            Step::Initiate => {
                let certificate = self.keys.own.clone();
                self.say_key(Request::InitiateKeyEstablishment {
                    suite: Suite::One,
                    ephemeral_time_s: EPHEMERAL_TIME_S,
                    confirm_time_s: CONFIRM_TIME_S,
                    certificate: &certificate,
                });
            }
            Step::Generate => self.send(&Command::GenerateCbkeKeys),
            Step::Ephemeral => match self.keys.own_ephemeral {
                Some(key) => self.say_key(Request::EphemeralData { key: &key }),
                None => self.fail(Fault::Keys(BAD_MESSAGE)),
            },
            Step::Calculate => match (self.keys.certificate, self.keys.ephemeral) {
                (Some(certificate), Some(key)) => self.send(&Command::CalculateSmacs {
                    certificate: &certificate,
                    key: &key,
                }),
                _ => self.fail(Fault::Keys(BAD_MESSAGE)),
            },
            Step::Confirm => match self.keys.codes {
                Some([own, _]) => self.say_key(Request::ConfirmKeyData { code: &own }),
                None => self.fail(Fault::Keys(BAD_MESSAGE)),
            },
            Step::Store => self.send(&Command::ClearTemporaryDataMaybeStoreLinkKey { store: true }),
        }
    }

    fn say_key(&mut self, request: Request<'_>) {
        self.say(COORDINATOR, self.keys.endpoint, Message::Cluster(request));
    }

    /// Ends key establishment with the other side told why.
    fn terminate(&mut self, status: u8) {
        self.say_key(Request::TerminateKeyEstablishment {
            status,
            wait_s: WAIT_S,
            suite: Suite::One,
        });
        self.send(&Command::ClearTemporaryDataMaybeStoreLinkKey { store: false });
        self.step = super::Step::Ending(Fault::Keys(status));
        self.due = None;
    }

    /// Goes on without keys: neither radio nor trust center may have the means.
    pub(super) fn keys_over(&mut self, now: Instant) {
        self.look(now);
    }

    pub(super) fn take_key_status(&mut self, step: Step, status: u8, now: Instant) {
        match (step, status) {
            (Step::Store, STATUS_SUCCESS) => {
                self.found.link_key_made = true;
                self.look(now);
            }
            // A callback tells the end.
            (Step::Generate | Step::Calculate, STATUS_SUCCESS | STATUS_IN_PROGRESS) => {}
            (Step::Generate | Step::Calculate | Step::Store, status) => {
                self.fail(Fault::Keys(status));
            }
            _ => {}
        }
    }

    pub(super) fn take_key(&mut self, received: &Received<'_>, step: Step, now: Instant) {
        match (received, step) {
            (
                Received::Certificate {
                    status,
                    certificate,
                },
                Step::Certificate,
            ) => {
                if *status == STATUS_SUCCESS {
                    self.keys.own = certificate.to_vec();
                    self.begin(super::Step::Key(Step::Find), now);
                } else {
                    self.keys_over(now);
                }
            }
            (Received::CbkeKeys { status, key }, Step::Generate) => {
                if *status == STATUS_SUCCESS {
                    self.keys.own_ephemeral = Some(*key);
                    self.begin(super::Step::Key(Step::Ephemeral), now);
                } else {
                    self.terminate(BAD_MESSAGE);
                }
            }
            (
                Received::Smacs {
                    status,
                    initiator,
                    responder,
                },
                Step::Calculate,
            ) => {
                if *status == STATUS_SUCCESS {
                    self.keys.codes = Some([*initiator, *responder]);
                    self.begin(super::Step::Key(Step::Confirm), now);
                } else {
                    // The radio does not take the certificate.
                    self.terminate(UNKNOWN_ISSUER);
                }
            }
            _ => {}
        }
    }

    pub(super) fn hear_key(&mut self, frame: &Frame<'_>, step: Step, now: Instant) -> bool {
        if !frame.cluster_specific {
            return false;
        }
        let mut reader = Reader::new(frame.payload);
        match (frame.command, step) {
            (INITIATE, Step::Initiate) => {
                let Ok([1, 0, _, _]) = reader.array("suite and times") else {
                    self.terminate(BAD_MESSAGE);
                    return true;
                };
                match reader.array::<CERTIFICATE_LENGTH>("certificate") {
                    Ok(certificate) if self.is_trust_centers(&certificate) => {
                        self.keys.certificate = Some(certificate);
                        self.begin(super::Step::Key(Step::Generate), now);
                    }
                    Ok(_) => self.terminate(UNKNOWN_ISSUER),
                    Err(_) => self.terminate(BAD_MESSAGE),
                }
            }
            (EPHEMERAL_DATA, Step::Ephemeral) => match reader.array("ephemeral key") {
                Ok(key) => {
                    self.keys.ephemeral = Some(key);
                    self.begin(super::Step::Key(Step::Calculate), now);
                }
                Err(_) => self.terminate(BAD_MESSAGE),
            },
            (CONFIRM_KEY_DATA, Step::Confirm) => {
                let told = reader.array::<SMAC_LENGTH>("code");
                match (told, self.keys.codes) {
                    (Ok(told), Some([_, due])) if told == due => {
                        self.begin(super::Step::Key(Step::Store), now);
                    }
                    _ => self.terminate(BAD_KEY_CONFIRM),
                }
            }
            (TERMINATE, _) => {
                let status = reader.u8("status").unwrap_or(BAD_MESSAGE);
                self.fail(Fault::Keys(status));
            }
            _ => return false,
        }
        true
    }

    /// Tells whether a certificate is of the node at address 0x0000.
    fn is_trust_centers(&self, certificate: &[u8; CERTIFICATE_LENGTH]) -> bool {
        certificate.get(SUBJECT) == Some(&self.trust_center.to_be_bytes()[..])
    }
}
