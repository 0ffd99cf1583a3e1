//! The transitions of the primary station, all of them.

use alloc::format;
use alloc::string::String;
use core::fmt::Write as _;

/// The states of a primary station, without their data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateKind {
    /// There is no link.
    Disconnected,
    /// SNRM was sent.
    Connecting,
    /// The link is open and it is our turn.
    Ready,
    /// The link is open and the server was asked.
    Polling,
    /// DISC was sent.
    Disconnecting,
}

impl StateKind {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Disconnected,
        Self::Connecting,
        Self::Ready,
        Self::Polling,
        Self::Disconnecting,
    ];
}

/// What a primary station tells apart of what happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stimulus {
    /// The layer above wants a link.
    Connect,
    /// The layer above wants none.
    Disconnect,
    /// The layer above has a message and awaits another.
    Message,
    /// The layer above has a message that nobody answers.
    MessageWithoutReply,
    /// The layer above has a message for outside the connection.
    UnnumberedInformation,
    /// An I frame.
    Information,
    /// An I frame that ends an answer.
    InformationFinal,
    /// RR.
    ReceiveReady,
    /// RR that ends an answer.
    ReceiveReadyFinal,
    /// RNR.
    ReceiveNotReady,
    /// RNR that ends an answer.
    ReceiveNotReadyFinal,
    /// A frame that ends an answer, to another question than the last.
    StaleAnswer,
    /// A frame that confirms what was never sent.
    BadAcknowledgement,
    /// An I frame with which its message outgrows its bound.
    MessageTooLong,
    /// UA.
    UnnumberedAcknowledge,
    /// DM.
    DisconnectedMode,
    /// FRMR.
    FrameReject,
    /// UI.
    UnnumberedInformationFrame,
    /// A command, or a control field that DLMS does not use.
    OtherFrame,
    /// It is our turn and frames wait.
    WindowOpen,
    /// It is our turn and time to ask.
    PollDue,
    /// No answer in time.
    ResponseTimeout,
    /// No answer in time, and not to be asked again.
    RetriesExhausted,
    /// No message in time.
    ReplyOverdue,
}

impl Stimulus {
    /// Every stimulus.
    pub const ALL: [Self; 24] = [
        Self::Connect,
        Self::Disconnect,
        Self::Message,
        Self::MessageWithoutReply,
        Self::UnnumberedInformation,
        Self::Information,
        Self::InformationFinal,
        Self::ReceiveReady,
        Self::ReceiveReadyFinal,
        Self::ReceiveNotReady,
        Self::ReceiveNotReadyFinal,
        Self::StaleAnswer,
        Self::BadAcknowledgement,
        Self::MessageTooLong,
        Self::UnnumberedAcknowledge,
        Self::DisconnectedMode,
        Self::FrameReject,
        Self::UnnumberedInformationFrame,
        Self::OtherFrame,
        Self::WindowOpen,
        Self::PollDue,
        Self::ResponseTimeout,
        Self::RetriesExhausted,
        Self::ReplyOverdue,
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    None,
    Count,
    RefuseNotConnected,
    RefuseConnected,
    SendSnrm,
    SendDisc,
    SendDiscTooLong,
    Establish,
    Queue,
    QueueWithoutReply,
    QueueUnnumbered,
    SendUnnumbered,
    SendWindow,
    SendPoll,
    Recover,
    Accept,
    Deliver,
    Unanswered,
    Refused,
    ClosedByPeer,
    ClosedByReject,
    Closed,
    GiveUp,
}

/// The one table: what is done, and the state after it.
pub(super) const fn transition(state: StateKind, stimulus: Stimulus) -> (Action, StateKind) {
    use StateKind::{Connecting, Disconnected, Disconnecting, Polling, Ready};
    use Stimulus as S;
    match (state, stimulus) {
        (Disconnected, S::Connect) => (Action::SendSnrm, Connecting),
        (Disconnected, S::UnnumberedInformation) => (Action::SendUnnumbered, Disconnected),

        (Connecting, S::UnnumberedAcknowledge) => (Action::Establish, Ready),
        (Connecting, S::DisconnectedMode) => (Action::Refused, Disconnected),
        (Connecting, S::FrameReject) => (Action::ClosedByReject, Disconnected),
        (Connecting, S::ResponseTimeout) => (Action::SendSnrm, Connecting),

        (Ready | Polling, S::Message) => (Action::Queue, state),
        (Ready | Polling, S::MessageWithoutReply) => (Action::QueueWithoutReply, state),
        (Ready | Polling, S::UnnumberedInformation) => (Action::QueueUnnumbered, state),
        (Ready, S::WindowOpen) => (Action::SendWindow, Polling),
        (Ready, S::PollDue) => (Action::SendPoll, Polling),
        (Ready | Polling, S::Information | S::ReceiveReady | S::ReceiveNotReady) => {
            (Action::Accept, state)
        }
        (Ready | Polling, S::InformationFinal | S::ReceiveReadyFinal | S::ReceiveNotReadyFinal) => {
            (Action::Accept, Ready)
        }
        (Ready | Polling, S::MessageTooLong) => (Action::SendDiscTooLong, Disconnecting),
        (Ready | Polling, S::DisconnectedMode) => (Action::ClosedByPeer, Disconnected),
        (Ready | Polling, S::FrameReject) => (Action::ClosedByReject, Disconnected),
        (Polling, S::ResponseTimeout) => (Action::Recover, Polling),
        (Ready | Polling, S::ReplyOverdue) => (Action::Unanswered, state),

        (Disconnecting, S::UnnumberedAcknowledge | S::DisconnectedMode) => {
            (Action::Closed, Disconnected)
        }
        (Disconnecting, S::ResponseTimeout) => (Action::SendDisc, Disconnecting),
        (Disconnecting, S::RetriesExhausted) => (Action::Closed, Disconnected),

        (_, S::Connect) => (Action::RefuseConnected, state),
        (Disconnected | Disconnecting, S::Disconnect) => (Action::None, state),
        (_, S::Disconnect) => (Action::SendDisc, Disconnecting),
        (_, S::Message | S::MessageWithoutReply | S::UnnumberedInformation) => {
            (Action::RefuseNotConnected, state)
        }
        (_, S::UnnumberedInformationFrame) => (Action::Deliver, state),
        (Connecting | Ready | Polling, S::RetriesExhausted) => (Action::GiveUp, Disconnected),
        (
            _,
            S::WindowOpen | S::PollDue | S::ResponseTimeout | S::RetriesExhausted | S::ReplyOverdue,
        ) => (Action::None, state),
        (
            _,
            S::Information
            | S::InformationFinal
            | S::ReceiveReady
            | S::ReceiveReadyFinal
            | S::ReceiveNotReady
            | S::ReceiveNotReadyFinal
            | S::StaleAnswer
            | S::BadAcknowledgement
            | S::MessageTooLong
            | S::UnnumberedAcknowledge
            | S::DisconnectedMode
            | S::FrameReject
            | S::OtherFrame,
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
                "{:<13} {:<26} {:<18} {next:?}\n",
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
    let mut out = String::from("digraph primary {\n");
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
