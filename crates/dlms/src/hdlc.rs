//! HDLC of DLMS: frames of type 3, and the two stations of a link
//! (IEC 62056-46; ISO/IEC 13239, unbalanced, normal response mode).
//!
//! [`Primary`] is the client's end, [`Secondary`] one logical device's end
//! towards one client, [`Station`] a physical device with all of its logical
//! devices and clients. They do no input or output: hand each what happened
//! and the time, then take outputs until [`Output::Timeout`] tells when to
//! call again:
//!
//! ```
//! use dlms::hdlc::{Address, Output, Primary, primary};
//! use dlms::Instant;
//!
//! let mut primary = Primary::new(primary::Config::new(Address::MANAGEMENT_DEVICE));
//! primary.handle(primary::Input::Connect, Instant::ORIGIN)?;
//! let mut line = Vec::new();
//! let deadline = loop {
//!     match primary.poll() {
//!         Output::Transmit(octets) => line.extend_from_slice(&octets),
//!         Output::Event(_) => {}
//!         Output::Timeout(deadline) => break deadline,
//!     }
//! };
//! assert!(line.starts_with(&[0x7E, 0xA0]));
//! assert!(deadline.is_some());
//! # Ok::<(), dlms::hdlc::Error>(())
//! ```
//!
//! Sequence numbers are modulo 8, and a line is taken to keep its order. What
//! a line carries is never an error; it is counted in [`LineCounters`] and
//! [`LinkCounters`].

mod address;
mod deframer;
mod exchange;
mod fcs;
mod frame;
mod listener;
pub mod llc;
mod parameters;
pub mod primary;
mod reject;
pub mod secondary;
pub mod station;
mod timers;

use alloc::vec::Vec;

use crate::Instant;

pub use address::{Address, AddressWidth};
pub use deframer::{Deframer, LineCounters};
pub use exchange::QUEUE_MESSAGES_MAX;
pub use fcs::Fcs;
pub use frame::{Control, FLAG, FRAME_LENGTH_MAX, Frame, INFORMATION_LENGTH_MAX, Sequence};
pub use listener::{Listener, Pushed};
pub use parameters::{INFORMATION_LENGTH_DEFAULT, ParameterForm, Parameters};
pub use primary::Primary;
pub use reject::FrameReject;
pub use secondary::Secondary;
pub use station::Station;

/// What a machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Octets for the line: one frame.
    Transmit(Vec<u8>),
    /// Something for the layer above.
    Event(Event),
    /// Nothing until then, or until something happens.
    Timeout(Option<Instant>),
}

/// What the layer above learns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The link is open.
    Connected {
        /// What was agreed, as this side sees it.
        parameters: Parameters,
    },
    /// A whole message came, without its LLC header.
    Message(Vec<u8>),
    /// A message came outside the connection, without its LLC header if it
    /// had one: unconfirmed, and perhaps not whole.
    UnnumberedInformation {
        /// Whether it was for every station.
        broadcast: bool,
        /// The message.
        octets: Vec<u8>,
    },
    /// A reply is overdue. The link stands.
    Unanswered,
    /// The link is no longer open: messages that wait are dropped, and of the
    /// last it is unknown whether it arrived.
    Disconnected {
        /// Why.
        reason: DisconnectReason,
    },
}

/// Why a link is no longer open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// This side ended it, and the other agreed.
    Requested,
    /// The other side ended it, or had ended it before.
    Peer,
    /// The other side does not want a connection.
    Refused,
    /// The other side is silent, however often it is asked.
    NoAnswer,
    /// The other side cannot go on after a frame of ours; it says why, if
    /// what it says can be read.
    FrameRejected(Option<FrameReject>),
    /// Nothing came for longer than is allowed.
    Inactivity,
    /// The other side began anew.
    Reset,
    /// A message of the other side is longer than this side takes.
    MessageTooLong,
}

/// What came in frames that are sound and yet could not be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Frames from or for others.
    pub foreign_frames: u64,
    /// Frames that cannot come in this state.
    pub stray_frames: u64,
    /// I frames with another number than is awaited: seen before, or one
    /// before them is missing.
    pub out_of_sequence: u64,
    /// Frames that confirm what was never sent.
    pub acknowledgement_faults: u64,
    /// SNRM, UA or FRMR whose information cannot be read.
    pub parameter_faults: u64,
    /// Messages without their LLC header.
    pub llc_faults: u64,
    /// I frames dropped because the layer above is busy.
    pub dropped_busy: u64,
    /// UI messages that outgrew their bound.
    pub unnumbered_too_long: u64,
    /// I frames that were sent more than once.
    pub retransmissions: u64,
    /// Answers that did not come in time.
    pub response_timeouts: u64,
}

impl LinkCounters {
    const ZERO: Self = Self {
        foreign_frames: 0,
        stray_frames: 0,
        out_of_sequence: 0,
        acknowledgement_faults: 0,
        parameter_faults: 0,
        llc_faults: 0,
        dropped_busy: 0,
        unnumbered_too_long: 0,
        retransmissions: 0,
        response_timeouts: 0,
    };

    const fn plus(self, other: &Self) -> Self {
        Self {
            foreign_frames: self.foreign_frames + other.foreign_frames,
            stray_frames: self.stray_frames + other.stray_frames,
            out_of_sequence: self.out_of_sequence + other.out_of_sequence,
            acknowledgement_faults: self.acknowledgement_faults + other.acknowledgement_faults,
            parameter_faults: self.parameter_faults + other.parameter_faults,
            llc_faults: self.llc_faults + other.llc_faults,
            dropped_busy: self.dropped_busy + other.dropped_busy,
            unnumbered_too_long: self.unnumbered_too_long + other.unnumbered_too_long,
            retransmissions: self.retransmissions + other.retransmissions,
            response_timeouts: self.response_timeouts + other.response_timeouts,
        }
    }
}

/// Why an input was refused. The machine stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A message needs an open link.
    #[error("the HDLC link is not open: connect and wait for the answer first")]
    NotConnected,
    /// A connection is wanted where one is, or is being made or ended.
    #[error("the HDLC link is open, or being opened or closed already")]
    AlreadyConnected,
    /// More than the link takes.
    #[error("a message of {length} octets is longer than the {limit} that the HDLC link takes")]
    MessageTooLong {
        /// Octets of the message.
        length: usize,
        /// Most octets of one.
        limit: usize,
    },
    /// Too much waits already.
    #[error("{limit} messages wait on the HDLC link already")]
    QueueFull {
        /// How many may wait.
        limit: usize,
    },
}
