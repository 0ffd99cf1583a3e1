//! What both stations of a link keep of an open connection: numbers, the
//! window, segments under way in either direction.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::{Control, Error, Parameters, Sequence};

/// Most messages that wait to be sent or confirmed.
pub const QUEUE_MESSAGES_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct Exchange {
    parameters: Parameters,
    /// V(A): the oldest number that the other side has not confirmed, which is
    /// that of the first segment queued.
    acknowledged: Sequence,
    /// V(R): the next number awaited.
    receive: Sequence,
    /// Messages with their LLC headers, cut only as they go.
    queue: VecDeque<Vec<u8>>,
    /// Octets of the first message that are confirmed.
    confirmed: usize,
    /// How many segments of the queue were sent since the last rewind:
    /// V(S) - V(A).
    next: usize,
    /// How many were ever sent.
    sent: usize,
    assembly: Vec<u8>,
    assembling: bool,
    message_length_max: usize,
    pub(super) peer_busy: bool,
}

/// A segment on its way out.
pub(super) struct Outgoing<'a> {
    pub(super) control: Control,
    pub(super) segmented: bool,
    pub(super) octets: &'a [u8],
}

pub(super) enum Accepted {
    /// A number that is not awaited: seen before, or one before it is missing.
    OutOfSequence,
    Segment,
    Message(Vec<u8>),
}

impl Exchange {
    pub(super) fn new(parameters: Parameters, message_length_max: usize) -> Self {
        Self {
            parameters: parameters.sound(),
            acknowledged: Sequence::new(0),
            receive: Sequence::new(0),
            queue: VecDeque::new(),
            confirmed: 0,
            next: 0,
            sent: 0,
            assembly: Vec::new(),
            assembling: false,
            message_length_max,
            peer_busy: false,
        }
    }

    pub(super) const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    pub(super) const fn receive(&self) -> Sequence {
        self.receive
    }

    pub(super) fn send(&self) -> Sequence {
        self.number(self.next)
    }

    fn number(&self, index: usize) -> Sequence {
        // A window holds at most seven.
        self.acknowledged
            .plus(u8::try_from(index).unwrap_or_default())
    }

    pub(super) fn queue(&mut self, header: &[u8], message: &[u8]) -> Result<(), Error> {
        let length = header.len() + message.len();
        if length > self.message_length_max {
            return Err(Error::MessageTooLong {
                length: message.len(),
                limit: self.message_length_max.saturating_sub(header.len()),
            });
        }
        if self.queue.len() >= QUEUE_MESSAGES_MAX {
            return Err(Error::QueueFull {
                limit: QUEUE_MESSAGES_MAX,
            });
        }
        self.queue.push_back([header, message].concat());
        Ok(())
    }

    /// Walks the segments from the oldest that is not confirmed: each with
    /// its message's place in the queue, its octets, and whether its message
    /// goes on.
    fn segments(&self) -> impl Iterator<Item = (usize, &[u8], bool)> {
        let size = usize::from(self.parameters.information_length_transmit);
        let mut skip = self.confirmed;
        self.queue
            .iter()
            .enumerate()
            .flat_map(move |(index, message)| {
                let rest = message
                    .get(core::mem::take(&mut skip)..)
                    .unwrap_or_default();
                let count = rest.len().div_ceil(size);
                rest.chunks(size)
                    .enumerate()
                    .map(move |(at, octets)| (index, octets, at + 1 < count))
            })
    }

    /// Tells whether N(R) is one that can be: no frame is confirmed that was
    /// never sent.
    pub(super) fn can_confirm(&self, receive: Sequence) -> bool {
        usize::from(receive.since(self.acknowledged)) <= self.sent
    }

    /// Tells whether N(R) confirms anything.
    pub(super) fn would_confirm(&self, receive: Sequence) -> bool {
        receive != self.acknowledged
    }

    /// Takes in the N(R) of the other side, which must be one that can be;
    /// tells whether it confirms anything.
    pub(super) fn acknowledge(&mut self, receive: Sequence) -> bool {
        let count = usize::from(receive.since(self.acknowledged)).min(self.sent);
        let mut confirmed = self.confirmed;
        let mut messages = 0;
        for (index, octets, more) in self.segments().take(count) {
            confirmed = if more { confirmed + octets.len() } else { 0 };
            messages = if more { index } else { index + 1 };
        }
        self.confirmed = confirmed;
        self.queue.drain(..messages.min(self.queue.len()));
        self.acknowledged = receive;
        self.next = self.next.saturating_sub(count);
        self.sent -= count;
        count > 0
    }

    /// Takes all that was sent for confirmed, whatever N(R) says.
    pub(super) fn acknowledge_all(&mut self) -> bool {
        let receive = self.number(self.sent);
        self.acknowledge(receive)
    }

    /// Goes back to the oldest segment that is not confirmed.
    pub(super) const fn rewind(&mut self) {
        self.next = 0;
    }

    /// Tells whether segments were sent that are not confirmed.
    pub(super) const fn is_outstanding(&self) -> bool {
        self.sent > 0
    }

    /// Tells whether the window lets a segment go.
    pub(super) fn can_send(&self) -> bool {
        !self.peer_busy && self.next < self.window_end()
    }

    /// Tells whether anything waits to be sent or confirmed.
    pub(super) fn is_pending(&self) -> bool {
        !self.queue.is_empty()
    }

    fn window_end(&self) -> usize {
        let window = usize::from(self.parameters.window_transmit);
        self.segments().take(window).count()
    }

    /// Takes the next segment that the window lets go, of at most `limit`
    /// that are not confirmed; the last of them has the P/F bit. Tells also
    /// whether it had gone before.
    pub(super) fn next_segment(&mut self, limit: usize) -> Option<(Outgoing<'_>, bool)> {
        let end = self.window_end().min(limit);
        if self.peer_busy || self.next >= end {
            return None;
        }
        let send = self.number(self.next);
        let poll = self.next + 1 == end;
        let again = self.next < self.sent;
        let index = self.next;
        self.next += 1;
        self.sent = self.sent.max(self.next);
        let receive = self.receive;
        let (_, octets, segmented) = self.segments().nth(index)?;
        Some((
            Outgoing {
                control: Control::Information {
                    receive,
                    send,
                    poll,
                },
                segmented,
                octets,
            },
            again,
        ))
    }

    /// Tells whether a message would outgrow its bound by `length` octets.
    pub(super) fn overflows(&self, send: Sequence, length: usize) -> bool {
        send == self.receive && self.assembly.len() + length > self.message_length_max
    }

    pub(super) fn accept(&mut self, send: Sequence, segmented: bool, octets: &[u8]) -> Accepted {
        if send != self.receive {
            return Accepted::OutOfSequence;
        }
        self.receive = self.receive.plus(1);
        self.assembly.extend_from_slice(octets);
        self.assembling = segmented;
        if segmented {
            Accepted::Segment
        } else {
            Accepted::Message(core::mem::take(&mut self.assembly))
        }
    }

    /// Tells whether part of a message has come.
    pub(super) const fn is_assembling(&self) -> bool {
        self.assembling
    }
}

/// Puts messages of UI frames together. They have no numbers: a lost one shows
/// only in what comes out.
#[derive(Debug)]
pub(super) struct UnnumberedAssembly {
    octets: Vec<u8>,
    length_max: usize,
}

impl UnnumberedAssembly {
    pub(super) const fn new(length_max: usize) -> Self {
        Self {
            octets: Vec::new(),
            length_max,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Takes a frame's information in and gives the message that it
    /// completes, without its LLC header; `Err` where one outgrew its bound.
    pub(super) fn push(&mut self, octets: &[u8], more: bool) -> Result<Option<Vec<u8>>, ()> {
        let octets = super::llc::continued(&self.octets, octets);
        if self.octets.len() + octets.len() > self.length_max {
            self.octets = Vec::new();
            return Err(());
        }
        self.octets.extend_from_slice(octets);
        if more {
            return Ok(None);
        }
        let mut message = core::mem::take(&mut self.octets);
        if super::llc::strip(&message).is_some() {
            message.drain(..super::llc::RESPONSE.len());
        }
        Ok(Some(message))
    }
}
