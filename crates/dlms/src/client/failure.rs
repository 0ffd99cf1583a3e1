//! Why a client did not get what it wanted.

use crate::acse::{AssociateSourceDiagnostic, AssociationResult};
use crate::codec::DecodeError;
use crate::security::{
    ChallengeError, CounterError, HintRefused, HlsError, KeyError, ProtectError, UnprotectError,
};
use crate::xdlms::{ConfirmedServiceError, ExceptionResponse};

/// Why a request, or the association, failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The server turned the association down.
    #[error("the meter refuses the association: {}", diagnostic_name(*.diagnostic))]
    Rejected {
        /// For now or for good.
        result: AssociationResult,
        /// Why.
        diagnostic: AssociateSourceDiagnostic,
        /// What of the proposal it did not like, if it said so.
        initiate: Option<ConfirmedServiceError>,
    },
    /// The server agreed to something else than it was asked for, so that
    /// somebody on the way may have changed the request.
    #[error("the meter agreed to another {0} than it was asked for")]
    Downgraded(&'static str),
    /// The server's reply to our challenge is wrong: it does not have the keys.
    #[error("the meter did not prove that it has the keys")]
    NotAuthentic(#[source] HlsError),
    /// The server did not accept our reply to its challenge.
    #[error("the meter did not accept our reply to its challenge")]
    ReplyRefused,
    /// Our challenge, or the server's, cannot be answered.
    #[error("the challenge cannot be answered")]
    Challenge(#[source] ChallengeError),
    /// Our reply to the server's challenge cannot be made.
    #[error("the reply to the meter's challenge cannot be made")]
    Reply(#[source] HlsError),
    /// The server's system title is missing, or is not the one that is known.
    #[error("the meter's system title is not the one that belongs to these keys")]
    Title,
    /// There are no keys, and the association needs them.
    #[error("the association needs keys, and there are none")]
    NoKeys,
    /// A key cannot be taken.
    #[error("a key cannot be used")]
    Key(#[source] KeyError),
    /// No counter can be had.
    #[error("no invocation counter can be had")]
    Counter(#[source] CounterError),
    /// Counters could not be reserved durably, so nothing was sent.
    #[error("invocation counters could not be reserved on disk; nothing was sent")]
    NotReserved,
    /// The server expects a higher counter than the one it was sent, while the
    /// association was being made.
    #[error("the meter expects an invocation counter of {0} or more")]
    CounterBehind(u32),
    /// The counter that the server is said to expect is not believed.
    #[error("the invocation counter that the meter told cannot be used")]
    Hint(#[source] HintRefused),
    /// What is to be sent cannot be protected.
    #[error("the request cannot be protected")]
    Protect(#[source] ProtectError),
    /// What came does not verify, or has less protection than it must.
    #[error("the answer cannot be trusted")]
    Unverified(#[source] UnprotectError),
    /// What came is no APDU.
    #[error("the answer is malformed")]
    Malformed(#[source] DecodeError),
    /// What came is an answer, but not to this.
    #[error("the answer does not belong to the request")]
    Unexpected,
    /// The server turned the request down as a whole.
    #[error(
        "the meter turned the request down: {}, {}",
        .0.state_error.name(), .0.service_error.name()
    )]
    Exception(ExceptionResponse),
    /// The server turned the request down as a whole, in the older form.
    #[error("the meter turned the request down: {}", .0.class.name())]
    ServiceError(ConfirmedServiceError),
    /// A service that is not in what was agreed on.
    #[error("the meter does not offer {0} in this association")]
    NotOffered(&'static str),
    /// A value, or a list, of more octets or entries than the bound.
    #[error("the answer is longer than the bound")]
    TooLong,
    /// A transfer in blocks went wrong.
    #[error("the transfer in blocks was broken off")]
    Blocks,
    /// The longest APDU that the server takes and the link carries has no room
    /// for the request, and it cannot go in blocks.
    #[error("the meter or the way to it takes no APDU that is long enough for the request")]
    NoRoom,
    /// Another request is under way.
    #[error("another request is under way")]
    Busy,
    /// There is no association.
    #[error("there is no association")]
    NotAssociated,
    /// Nothing came in time.
    #[error("no answer while {0}")]
    NoAnswer(Phase),
    /// The link is gone.
    #[error("the link was lost")]
    LinkLost,
}

/// What was being waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The AARE, or the answer to our reply to the challenge.
    Associating,
    /// The answer to a request.
    Requesting,
    /// The RLRE.
    Releasing,
}

impl core::fmt::Display for Phase {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Associating => "associating",
            Self::Requesting => "requesting",
            Self::Releasing => "releasing",
        })
    }
}

/// Tells a diagnostic in the standard's words.
const fn diagnostic_name(diagnostic: AssociateSourceDiagnostic) -> &'static str {
    match diagnostic {
        AssociateSourceDiagnostic::ServiceUser(reason) => reason.name(),
        AssociateSourceDiagnostic::ServiceProvider(reason) => reason.name(),
    }
}
