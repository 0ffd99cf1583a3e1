//! A field network: many meters on one medium, as a concentrator sees it.
//!
//! A [`Link`](crate::Link) goes to one peer; a [`Segment`] to many that share a
//! wire. It finds who is there, carries whole messages to and from them, and
//! tells when a message has left, so that whoever stands above it knows when
//! to hand in the next. Which message goes first is decided above; within a
//! segment an urgent message overtakes others wherever the medium's framing
//! lets it, between two frames of a longer message included.

mod ip;
mod multidrop;

use std::task::{Context, Poll};

use model::MessageClass;

use crate::{LinkError, Message, Sap};

pub use ip::{IpLimits, IpMeter, IpSegment};
pub use multidrop::{Multidrop, MultidropConfig, MultidropMeter, MultidropSegment};

/// A meter on a segment, by the number that the segment has given it. The
/// number is the same as long as the segment lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(pub u32);

/// What a segment tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentEvent {
    /// A meter has registered, or has come back.
    Joined {
        /// Which.
        node: Node,
        /// The SAP of its management logical device.
        server: Sap,
        /// The system title that it registered with, where the medium's
        /// registration has one. Nothing proves it.
        title: Option<[u8; 8]>,
        /// Meters that repeat what goes to it; 0: none.
        hops: u8,
    },
    /// A meter is no longer there.
    Left(Node),
    /// A message came from a meter.
    Received(Node, Message),
    /// A message has left the segment for good: a place is free again.
    Done {
        /// Where it was to go; none: to all.
        node: Option<Node>,
        /// Its class.
        class: MessageClass,
        /// Whether the medium says that it arrived. A medium without
        /// acknowledgements says so once it was sent.
        delivered: bool,
    },
    /// How well a meter is heard, in permille of the frames; for people.
    Quality(Node, u16),
}

/// A field network with many meters.
pub trait Segment: Send {
    /// Queues a message for one meter, or for all.
    ///
    /// # Errors
    /// [`LinkError::Full`] where [`window`](Self::window) is used up,
    /// [`LinkError::TooLong`] where the medium carries no message of that
    /// length, [`LinkError::Closed`] where the node is unknown. After each the
    /// segment stays usable, and no [`SegmentEvent::Done`] comes.
    fn send(&mut self, node: Option<Node>, message: Message) -> Result<(), LinkError>;

    /// Drives the segment until it has something to tell.
    ///
    /// # Errors
    /// The end of the segment: the line is gone.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<SegmentEvent, LinkError>>;

    /// Tells how many messages may be in the segment at once.
    fn window(&self) -> usize;

    /// Tells the longest payload that goes through in one message.
    fn payload_max(&self) -> usize;

    /// Tells the kind of medium, for people: `ip`, `hdlc`, `s-fsk`, `prime`, `g3`.
    fn medium(&self) -> &'static str;

    /// Tells whether all meters share one wire, on which one speaks at a time.
    fn is_one_wire(&self) -> bool;
}

impl Segment for Box<dyn Segment> {
    fn send(&mut self, node: Option<Node>, message: Message) -> Result<(), LinkError> {
        (**self).send(node, message)
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<SegmentEvent, LinkError>> {
        (**self).poll_event(cx)
    }

    fn window(&self) -> usize {
        (**self).window()
    }

    fn payload_max(&self) -> usize {
        (**self).payload_max()
    }

    fn medium(&self) -> &'static str {
        (**self).medium()
    }

    fn is_one_wire(&self) -> bool {
        (**self).is_one_wire()
    }
}
