//! The transitions of the secondary station, all of them.

use alloc::format;
use alloc::string::String;
use core::fmt::Write as _;

/// The states of a secondary station, without their data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateKind {
    /// Normal disconnected mode.
    Disconnected,
    /// Normal response mode, and the client's turn.
    Waiting,
    /// Normal response mode, and our turn: the client has asked.
    Polled,
    /// A frame was refused; only SNRM and DISC lead out.
    Rejecting,
}

impl StateKind {
    /// Every state.
    pub const ALL: [Self; 4] = [
        Self::Disconnected,
        Self::Waiting,
        Self::Polled,
        Self::Rejecting,
    ];
}

/// What a secondary station tells apart of what happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stimulus {
    /// SNRM.
    SetNormalResponseMode,
    /// DISC.
    DisconnectFrame,
    /// An I frame.
    Information,
    /// An I frame that asks for an answer.
    InformationPoll,
    /// RR.
    ReceiveReady,
    /// RR that asks for an answer.
    ReceiveReadyPoll,
    /// RNR.
    ReceiveNotReady,
    /// RNR that asks for an answer.
    ReceiveNotReadyPoll,
    /// UI.
    UnnumberedInformationFrame,
    /// UI that asks for an answer.
    UnnumberedInformationPoll,
    /// A frame that confirms what was never sent.
    BadAcknowledgement,
    /// More information than was agreed, or with which a message outgrows its
    /// bound.
    InformationTooLong,
    /// A control field that DLMS does not use.
    UnknownFrame,
    /// The same, asking for an answer.
    UnknownFramePoll,
    /// A response: UA, DM or FRMR.
    ResponseFrame,
    /// The layer above has a message.
    Message,
    /// The layer above has a message for outside the connection.
    UnnumberedInformation,
    /// The layer above wants no link.
    Disconnect,
    /// It is our turn and frames wait.
    WindowOpen,
    /// It is our turn and nothing is to be said, or nothing came in time.
    ResponseDue,
    /// The client is silent.
    Inactive,
}

impl Stimulus {
    /// Every stimulus.
    pub const ALL: [Self; 21] = [
        Self::SetNormalResponseMode,
        Self::DisconnectFrame,
        Self::Information,
        Self::InformationPoll,
        Self::ReceiveReady,
        Self::ReceiveReadyPoll,
        Self::ReceiveNotReady,
        Self::ReceiveNotReadyPoll,
        Self::UnnumberedInformationFrame,
        Self::UnnumberedInformationPoll,
        Self::BadAcknowledgement,
        Self::InformationTooLong,
        Self::UnknownFrame,
        Self::UnknownFramePoll,
        Self::ResponseFrame,
        Self::Message,
        Self::UnnumberedInformation,
        Self::Disconnect,
        Self::WindowOpen,
        Self::ResponseDue,
        Self::Inactive,
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    None,
    Count,
    RefuseNotConnected,
    Establish,
    SendUa,
    SendDm,
    Accept,
    AcceptPoll,
    Deliver,
    DeliverPoll,
    RejectUnknown,
    RejectTooLong,
    RepeatReject,
    Queue,
    QueueUnnumbered,
    SendUnnumbered,
    SendWindow,
    SendReady,
    Drop,
    DropInactive,
}

/// The one table: what is done, and the state after it.
pub(super) const fn transition(state: StateKind, stimulus: Stimulus) -> (Action, StateKind) {
    use StateKind::{Disconnected, Polled, Rejecting, Waiting};
    use Stimulus as S;
    match (state, stimulus) {
        (_, S::SetNormalResponseMode) => (Action::Establish, Waiting),
        (Disconnected, S::DisconnectFrame) => (Action::SendDm, Disconnected),
        (_, S::DisconnectFrame) => (Action::SendUa, Disconnected),

        (
            Disconnected,
            S::InformationPoll | S::ReceiveReadyPoll | S::ReceiveNotReadyPoll | S::UnknownFramePoll,
        ) => (Action::SendDm, Disconnected),
        // UI is how one speaks without a connection: DM is no answer to it.
        (Disconnected, S::UnnumberedInformationFrame | S::UnnumberedInformationPoll) => {
            (Action::Deliver, Disconnected)
        }
        (Disconnected, S::UnnumberedInformation) => (Action::SendUnnumbered, Disconnected),
        (Disconnected, S::Disconnect) => (Action::None, Disconnected),

        (Waiting | Polled, S::Information | S::ReceiveReady | S::ReceiveNotReady) => {
            (Action::Accept, state)
        }
        (Waiting | Polled, S::InformationPoll | S::ReceiveReadyPoll | S::ReceiveNotReadyPoll) => {
            (Action::AcceptPoll, Polled)
        }
        (Waiting | Polled, S::UnnumberedInformationFrame) => (Action::Deliver, state),
        (Waiting | Polled, S::UnnumberedInformationPoll) => (Action::DeliverPoll, Polled),
        (Waiting | Polled, S::UnknownFrame | S::UnknownFramePoll) => {
            (Action::RejectUnknown, Rejecting)
        }
        (Waiting | Polled, S::InformationTooLong) => (Action::RejectTooLong, Rejecting),
        (Waiting | Polled, S::Message) => (Action::Queue, state),
        (Waiting | Polled, S::UnnumberedInformation) => (Action::QueueUnnumbered, state),
        (Polled, S::WindowOpen) => (Action::SendWindow, Waiting),
        (Polled, S::ResponseDue) => (Action::SendReady, Waiting),

        (
            Rejecting,
            S::InformationPoll
            | S::ReceiveReadyPoll
            | S::ReceiveNotReadyPoll
            | S::UnnumberedInformationPoll
            | S::UnknownFramePoll,
        ) => (Action::RepeatReject, Rejecting),

        (Waiting | Polled | Rejecting, S::Disconnect) => (Action::Drop, Disconnected),
        (Waiting | Polled | Rejecting, S::Inactive) => (Action::DropInactive, Disconnected),
        (_, S::Message | S::UnnumberedInformation) => (Action::RefuseNotConnected, state),
        (_, S::WindowOpen | S::ResponseDue | S::Inactive) => (Action::None, state),
        (
            _,
            S::Information
            | S::ReceiveReady
            | S::ReceiveNotReady
            | S::UnnumberedInformationFrame
            | S::BadAcknowledgement
            | S::InformationTooLong
            | S::UnknownFrame
            | S::ResponseFrame,
        ) => (Action::Count, state),
    }
}

/// Writes the whole table, a line for each state and stimulus.
#[must_use]
pub fn table() -> String {
    let mut out = String::new();
    for state in StateKind::ALL {
        for stimulus in Stimulus::ALL {
            let (action, next) = transition(state, stimulus);
            out.push_str(&format!(
                "{:<12} {:<26} {:<18} {next:?}\n",
                format!("{state:?}"),
                format!("{stimulus:?}"),
                format!("{action:?}"),
            ));
        }
    }
    out
}

/// Writes the changes of state as a graph in the DOT language.
#[must_use]
pub fn dot() -> String {
    let mut out = String::from("digraph secondary {\n");
    for state in StateKind::ALL {
        for stimulus in Stimulus::ALL {
            let (action, next) = transition(state, stimulus);
            if next != state
                && writeln!(
                    out,
                    "  {state:?} -> {next:?} [label=\"{stimulus:?} / {action:?}\"];"
                )
                .is_err()
            {
                break;
            }
        }
    }
    out.push_str("}\n");
    out
}
