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
    /// The meter through which one that has joined is reached, none where it is heard directly;
    /// only of a medium that knows it (PRIME: the switch node, G3: the last hop before it). Until
    /// this comes it is not known, and the next `Joined` makes it unknown again.
    Behind(Node, Option<Node>),
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
    /// So many frames of a message to or from a meter, which has come to its end, had to go again;
    /// for people.
    Repeated(Node, u32),
}

/// How a meter is registered on a segment: what another initiator has to know to go on with it
/// instead of searching for it.
///
/// A registered meter answers the initiator that registered it, under the address that it was
/// given. So both that take turns are one to the meters: they have the same identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Whom the meter takes the concentrator for: of S-FSK the initiator's system title, of PRIME
    /// the base node's address, of G3 the network.
    pub initiator: [u8; 8],
    /// The meter's address on the medium: of S-FSK the MAC address, of PRIME the local node's
    /// identifier, of G3 the short address.
    pub address: u16,
    /// The system title that it registered with. Nothing proves it.
    pub title: [u8; 8],
    /// Meters that repeat what goes to it; 0: none.
    pub hops: u8,
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

    /// Tells how a meter that has joined is registered; none where nobody need know that to go
    /// on with it.
    fn registration(&self, _: Node) -> Option<Registration> {
        None
    }

    /// Takes meters for registered that another initiator of the same identity has registered,
    /// before anything is sent, and tells how many: each joins at once. One that does not answer
    /// leaves, and is searched for. What this segment does not have is left out.
    fn adopt(&mut self, _: &[Registration]) -> usize {
        0
    }

    /// Tells the nominal rate of the medium in bits a second (of a serial line its baud rate), for
    /// people; nothing where it has none.
    fn bit_rate(&self) -> Option<u32> {
        None
    }
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

    fn registration(&self, node: Node) -> Option<Registration> {
        (**self).registration(node)
    }

    fn adopt(&mut self, registrations: &[Registration]) -> usize {
        (**self).adopt(registrations)
    }

    fn bit_rate(&self) -> Option<u32> {
        (**self).bit_rate()
    }
}
