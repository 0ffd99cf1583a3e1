//! What a client is told before it starts: how to associate, with what keys.

use crate::Duration;
use crate::acse::MechanismName;
use crate::cosem::Obis;
use crate::security::{KeyRing, PeerCounter, Protection, SendCounter, SystemTitle, Wrapping};
use crate::server::Context;
use crate::xdlms::Conformance;

/// How an association is to be made.
#[derive(Clone, Debug)]
pub struct Config {
    /// The context to ask for.
    pub context: Context,
    /// How to show who we are.
    pub mechanism: MechanismName<'static>,
    /// The protection of what is sent, and the least of what is taken.
    pub protection: Protection,
    /// The form of what is protected; a dedicated form needs a dedicated key.
    pub wrapping: Wrapping,
    /// The services to ask for.
    pub conformance: Conformance,
    /// Octets of the longest APDU that we take, 64 to 65,535.
    pub pdu_len_max: u16,
    /// Octets of the longest APDU that the link carries, 64 to 65,535:
    /// requests that are longer go in blocks.
    pub send_len_max: u16,
    /// The association object that takes pass 3.
    pub object: Obis,
    /// Whether the association is there without being made: nothing is asked
    /// of the server, and what is configured holds.
    pub pre_established: bool,
    /// Whether what is sent is for all servers, under the broadcast key where
    /// it is protected. Then only unconfirmed requests can be made, and only
    /// in a pre-established association.
    pub broadcast: bool,
    /// How long to wait for an answer.
    pub timeout: Duration,
    /// What is sent again where no answer comes.
    pub repeat: Repeat,
    /// How often, at most.
    pub repeats_max: u8,
    /// Oddities of the peer.
    pub quirks: Quirks,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            context: Context::LogicalName,
            mechanism: MechanismName::Lowest,
            protection: Protection::None,
            wrapping: Wrapping::Glo,
            conformance: Conformance::GET
                | Conformance::SET
                | Conformance::ACTION
                | Conformance::SELECTIVE_ACCESS
                | Conformance::MULTIPLE_REFERENCES
                | Conformance::BLOCK_TRANSFER_WITH_GET_OR_READ
                | Conformance::BLOCK_TRANSFER_WITH_SET_OR_WRITE
                | Conformance::BLOCK_TRANSFER_WITH_ACTION
                | Conformance::EVENT_NOTIFICATION
                | Conformance::DATA_NOTIFICATION
                | Conformance::PRIORITY_MGMT_SUPPORTED,
            pdu_len_max: u16::MAX,
            send_len_max: u16::MAX,
            object: Obis([0, 0, 40, 0, 0, 255]),
            pre_established: false,
            broadcast: false,
            timeout: Duration::from_secs(10),
            repeat: Repeat::Nothing,
            repeats_max: 3,
            quirks: Quirks::default(),
        }
    }
}

/// What is sent again where no answer comes. A repetition is the same to the
/// last octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Nothing: the link loses nothing.
    Nothing,
    /// Reads only: the peer may carry out a repeated write twice.
    Reads,
    /// Everything: the peer keeps its last answer and sends it again.
    Everything,
}

/// Oddities of servers, each with where it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// The AARE names a context other than the one it was asked for: jDLMS
    /// 1.8.0, LN with ciphering in answer to LN with a password.
    pub context_differs: bool,
}

/// Keys and counters of one client with one server, across associations.
#[derive(Debug)]
pub struct Security {
    /// Our own system title.
    pub title: SystemTitle,
    /// The server's, where it is known; another is then refused.
    pub server_title: Option<SystemTitle>,
    /// The keys, made ready.
    pub keys: KeyRing,
    /// Counters of what we send.
    pub send: SendCounter,
    /// Counters of what the server sent. A window that slides, since the
    /// replies to challenges carry counters of their own.
    pub received: PeerCounter,
}
