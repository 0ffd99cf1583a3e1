//! What associations tell the application.

use std::net::IpAddr;

use crate::handshake::Capabilities;
use crate::path::PathState;

/// Tells one association of an endpoint from the others; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssociationId(pub(crate) u64);

impl std::fmt::Display for AssociationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Tells one message handed in from the others of its association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub(crate) u64);

/// Something that happened to an association.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It stands.
    Established {
        /// Streams to send on.
        outbound_streams: u16,
        /// Streams to receive on.
        inbound_streams: u16,
        /// What both sides have.
        capabilities: Capabilities,
    },
    /// A message can be received.
    Readable,
    /// A stream whose buffer was full takes messages again.
    Writable {
        /// The stream.
        stream: u16,
    },
    /// A path came, went or came back.
    Path {
        /// The peer's address.
        remote: IpAddr,
        /// What it was before.
        was: PathState,
        /// What it is now.
        state: PathState,
    },
    /// Data goes another way from now on.
    Failover {
        /// The peer's address that it went to.
        from: IpAddr,
        /// The peer's address that it goes to.
        to: IpAddr,
    },
    /// A message was given up, as it allowed, or since the peer does not take
    /// its stream.
    Abandoned {
        /// Its stream.
        stream: u16,
        /// The message.
        message: MessageId,
    },
    /// The peer began anew. What was not acknowledged is lost.
    Restarted {
        /// Messages that were handed in and not acknowledged.
        unacknowledged: usize,
    },
    /// Streams begin at sequence number 0 again.
    StreamsReset {
        /// Those that we receive on, or those that we send on.
        incoming: bool,
        /// The streams; empty for all.
        streams: Vec<u16>,
        /// Whether it was done; the peer may refuse.
        done: bool,
    },
    /// All streams and the TSNs of both directions began anew, or one side
    /// refused that.
    AssociationReset {
        /// Whether it was done.
        done: bool,
    },
    /// There are more streams.
    StreamsAdded {
        /// Streams to receive on, or streams to send on.
        incoming: bool,
        /// How many there are now.
        count: u16,
        /// Whether it was done; the peer may refuse.
        done: bool,
    },
    /// The peer reported an error.
    PeerError {
        /// Cause code (see [`cause`](crate::cause)).
        cause: u16,
    },
    /// It is over. No more events come.
    Closed {
        /// Why.
        reason: CloseReason,
        /// Messages that were handed in and not acknowledged.
        unacknowledged: usize,
    },
}

/// Why an association is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// One side asked to shut down, and all was delivered.
    Shutdown,
    /// The peer aborted it.
    AbortedByPeer {
        /// Cause code, where one was told.
        cause: Option<u16>,
    },
    /// We aborted it.
    Aborted {
        /// Cause code that the peer was told.
        cause: u16,
    },
    /// The peer did not answer the set-up.
    SetUpTimeout,
    /// The peer does not answer any more.
    Unreachable,
    /// The peer does not offer what is required.
    Refused,
}
