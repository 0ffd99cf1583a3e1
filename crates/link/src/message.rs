//! A message and the trait of what carries it.

use std::future::poll_fn;
use std::task::{Context, Poll};

use model::MessageClass;

use crate::{DrkeySource, PathReceipt, ScionError, ScionStatus, SctpStatus};

/// A service access point: a logical device's or a client's address.
pub type Sap = u16;

/// One whole message between two service access points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who sends it.
    pub source: Sap,
    /// Whom it is for.
    pub destination: Sap,
    /// How urgent it is. On what arrives: the class that the transport tells,
    /// else [`MessageClass::Request`].
    pub class: MessageClass,
    /// One APDU.
    pub payload: Vec<u8>,
}

/// A way to a peer that carries whole messages in both directions.
///
/// It never repeats a message by itself and may lose some, where its transport
/// does. Dropping a future of [`LinkExt`] loses nothing.
pub trait Link: Send {
    /// Queues a message.
    ///
    /// # Errors
    /// [`LinkError::Full`] where this class's queue is, [`LinkError::TooLong`]
    /// where the transport carries no message of that length; the link stays
    /// usable after both.
    fn send(&mut self, message: Message) -> Result<(), LinkError>;

    /// Drives the link until its queues are empty.
    ///
    /// # Errors
    /// The end of the link.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>>;

    /// Drives the link, queues included, until a message has arrived.
    ///
    /// # Errors
    /// The end of the link.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, LinkError>>;

    /// Drives the link until it is closed in an orderly way, where its
    /// transport has one.
    ///
    /// # Errors
    /// The end of the link before that.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_flush(cx)
    }

    /// Tells the longest payload that goes through in one message.
    fn payload_max(&self) -> usize;

    /// Tells who is at the other end, for people.
    fn peer(&self) -> String;

    /// Tells paths, failovers and what the classes did, over SCTP.
    fn sctp(&self) -> Option<SctpStatus> {
        None
    }

    /// Is ready once whenever the link has found out that what was sent last is
    /// lost most likely, and has taken another path: a repetition is worth it.
    /// To be polled after [`poll_receive`](Self::poll_receive).
    fn poll_lost(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    /// Tells where the keys come from that the network derives between the two
    /// ends, over SCION.
    fn drkeys(&self) -> Option<DrkeySource> {
        None
    }

    /// Gives the paths of all answers since it was called last, each pair once,
    /// over SCION.
    fn take_receipts(&mut self) -> Vec<PathReceipt> {
        Vec::new()
    }

    /// Tells the paths of the last messages in both directions, over SCION.
    fn scion(&self) -> Option<ScionStatus> {
        None
    }
}

impl Link for Box<dyn Link> {
    fn send(&mut self, message: Message) -> Result<(), LinkError> {
        (**self).send(message)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        (**self).poll_flush(cx)
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, LinkError>> {
        (**self).poll_receive(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        (**self).poll_close(cx)
    }

    fn payload_max(&self) -> usize {
        (**self).payload_max()
    }

    fn peer(&self) -> String {
        (**self).peer()
    }

    fn sctp(&self) -> Option<SctpStatus> {
        (**self).sctp()
    }

    fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        (**self).poll_lost(cx)
    }

    fn drkeys(&self) -> Option<DrkeySource> {
        (**self).drkeys()
    }

    fn take_receipts(&mut self) -> Vec<PathReceipt> {
        (**self).take_receipts()
    }

    fn scion(&self) -> Option<ScionStatus> {
        (**self).scion()
    }
}

/// The futures of a [`Link`].
pub trait LinkExt: Link {
    /// Waits until all that was queued is on its way.
    ///
    /// # Errors
    /// The end of the link.
    fn flush(&mut self) -> impl Future<Output = Result<(), LinkError>> + Send {
        poll_fn(|cx| self.poll_flush(cx))
    }

    /// Closes the link in an orderly way.
    ///
    /// # Errors
    /// The end of the link before that.
    fn close(&mut self) -> impl Future<Output = Result<(), LinkError>> + Send {
        poll_fn(|cx| self.poll_close(cx))
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// The end of the link.
    fn receive(&mut self) -> impl Future<Output = Result<Message, LinkError>> + Send {
        poll_fn(|cx| self.poll_receive(cx))
    }
}

impl<L: Link + ?Sized> LinkExt for L {}

/// Why a link carries no more, or not this.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    Closed,
    /// The operating system's error.
    #[error("the connection broke")]
    Io(#[source] std::io::Error),
    /// The peer sent what is no frame of this transport.
    #[error("the peer sent octets that are no frame of this transport")]
    Malformed(#[from] dlms::codec::DecodeError),
    /// A message that is longer than the transport carries.
    #[error("a message of {length} octets; this transport carries {max} at most")]
    TooLong {
        /// The message's length in octets.
        length: usize,
        /// The most that goes through.
        max: usize,
    },
    /// The queue of this class holds all it may.
    #[error("the send queue of class {} is full", .0.name())]
    Full(MessageClass),
    /// No data link, though the transport stands: the peer refuses or is silent.
    #[error("the peer does not answer on the data link layer: {0}")]
    DataLink(&'static str),
    /// TLS refused one of the two sides.
    #[error("TLS: {0}")]
    Tls(Box<str>),
    /// No way through a SCION network, or none that the policy allows.
    #[error(transparent)]
    Scion(#[from] ScionError),
    /// A transport that cannot be used in this way.
    #[error("{0} cannot be used here")]
    Unsupported(&'static str),
    /// The peer took longer than it may.
    #[error("no answer within {seconds} s while {phase}")]
    Timeout {
        /// What was being done.
        phase: &'static str,
        /// How long it was waited for.
        seconds: u64,
    },
}

impl From<std::io::Error> for LinkError {
    fn from(error: std::io::Error) -> Self {
        crate::tls::find(&error).unwrap_or(Self::Io(error))
    }
}
