//! The wrapper over SCION: one datagram, one message.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use dlms::codec::Wire as _;
use dlms::wrapper::Wrapper;
use model::MessageClass;
use scion::packet::Place;
use scion::session::{Arrival, Counters, PathReceipt, Session, Transmit};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::attachment::{Attachment, Feed, Known};
use super::{DrkeySource, SCION_PDU_LEN_MAX, ScionError, unix};
use crate::queue::SendQueue;
use crate::time::Timer;
use crate::{Clock, Link, LinkError, Message, Treatment};

/// What a link over SCION is like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScionStatus {
    /// Paths that the network knows to the peer's AS.
    pub known: usize,
    /// Those that the policy allows.
    pub allowed: usize,
    /// The paths of the last messages, in both directions.
    pub receipt: PathReceipt,
    /// What was counted.
    pub counters: Counters,
}

/// What a link is made of.
pub(super) struct Parts {
    pub(super) socket: Arc<UdpSocket>,
    pub(super) session: Session,
    pub(super) feed: Feed,
    pub(super) clock: Arc<dyn Clock>,
    /// Kept so that others through the same daemon find it.
    pub(super) attachment: Arc<Attachment>,
}

/// Where a link's packets come from.
pub(super) enum Source {
    /// The link's own socket.
    Socket(Box<[u8]>),
    /// A listener that sorts packets by their sender.
    Listener(mpsc::Receiver<Vec<u8>>),
}

/// A link of the wrapper over SCION to one peer.
///
/// What comes from others, or is no wrapped APDU, is dropped and counted.
pub(crate) struct ScionLink {
    parts: Parts,
    source: Source,
    queue: SendQueue,
    waiting: VecDeque<Transmit>,
    timer: Timer,
    lost: bool,
    dropped: u64,
}

impl ScionLink {
    pub(super) fn new(mut parts: Parts, source: Source) -> Self {
        if let Some(routes) = parts.feed.paths() {
            let now = unix(parts.clock.as_ref());
            parts.session.update(routes.to_vec(), now);
        }
        Self {
            parts,
            source,
            queue: SendQueue::default(),
            waiting: VecDeque::new(),
            timer: Timer::default(),
            lost: false,
            dropped: 0,
        }
    }

    pub(super) const fn remote(&self) -> Place {
        self.parts.session.remote()
    }

    /// Waits until paths to the peer are known.
    pub(super) async fn find_paths(&mut self) -> Result<(), ScionError> {
        match self.parts.feed.first().await {
            Known::Paths(routes) => {
                let now = unix(self.parts.clock.as_ref());
                self.parts.session.update(routes.to_vec(), now);
                Ok(())
            }
            Known::Failed(why) => Err(self.parts.attachment.error(&why)),
            Known::Asked => Err(ScionError::Busy),
        }
    }

    fn now(&self) -> Duration {
        Duration::from_micros(self.parts.clock.now().as_micros())
    }

    /// Takes paths that were told meanwhile.
    fn catch_up(&mut self) {
        if let Some(routes) = self.parts.feed.news() {
            let now = unix(self.parts.clock.as_ref());
            self.parts.session.update(routes.to_vec(), now);
        }
    }

    /// Makes the packets of a message.
    fn pack(&mut self, message: &Message) -> Result<(), LinkError> {
        let wrapper = Wrapper {
            source: message.source,
            destination: message.destination,
            apdu: &message.payload,
        };
        let treatment = Treatment::of(message.class);
        let now = self.now();
        let traffic_class = treatment.dscp << 2;
        let octets = wrapper.to_octets();
        let packets = self
            .parts
            .session
            .send(&octets, traffic_class, treatment.urgent, now);
        match packets {
            Ok(packets) => {
                self.waiting.extend(packets);
                Ok(())
            }
            Err(none) => {
                self.parts.feed.hurry();
                Err(ScionError::NoPath(none).into())
            }
        }
    }

    /// Takes a packet; gives the message that is in it.
    fn take(&mut self, octets: &[u8]) -> Option<Message> {
        let now = self.now();
        let dropped = match self.parts.session.handle(octets, now) {
            Ok(Arrival::Nothing) => return None,
            Ok(Arrival::Lost) => {
                self.lost = true;
                self.parts.feed.hurry();
                return None;
            }
            Ok(Arrival::Message {
                payload,
                traffic_class,
            }) => match Wrapper::from_octets(&payload) {
                Ok(wrapper) if wrapper.apdu.len() > self.payload_max() => {
                    format!("an APDU of {} octets", wrapper.apdu.len())
                }
                Ok(wrapper) => {
                    return Some(Message {
                        source: wrapper.source,
                        destination: wrapper.destination,
                        class: class_of(traffic_class),
                        payload: wrapper.apdu.to_vec(),
                    });
                }
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        self.dropped += 1;
        tracing::debug!(error = dropped, self.dropped, "dropped a packet");
        None
    }
}

/// The class that a packet's traffic class tells.
fn class_of(traffic_class: u8) -> MessageClass {
    Treatment::ALL
        .into_iter()
        .find(|row| row.dscp == traffic_class >> 2)
        .map_or(MessageClass::Request, |row| row.class)
}

impl Link for ScionLink {
    fn send(&mut self, message: Message) -> Result<(), LinkError> {
        let max = self.payload_max();
        if message.payload.len() > max {
            return Err(LinkError::TooLong {
                length: message.payload.len(),
                max,
            });
        }
        self.queue.push(message)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.catch_up();
        loop {
            while let Some(packet) = self.waiting.front() {
                let sent = ready!(
                    self.parts
                        .socket
                        .poll_send_to(cx, &packet.octets, packet.to)
                );
                if let Err(error) = sent {
                    // As good as lost on the way: another path goes through
                    // another router.
                    tracing::debug!(%error, to = %packet.to, "a packet did not leave");
                }
                self.waiting.pop_front();
            }
            let Some(message) = self.queue.pop() else {
                return Poll::Ready(Ok(()));
            };
            if let Err(error) = self.pack(&message) {
                if matches!(self.source, Source::Socket(_)) {
                    return Poll::Ready(Err(error));
                }
                // Who answers goes on: the fence may leave a path again.
                tracing::warn!(peer = %self.remote(), %error, "an answer was not sent");
            }
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, LinkError>> {
        if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
            return Poll::Ready(Err(error));
        }
        loop {
            let octets = match &mut self.source {
                Source::Socket(buffer) => {
                    let mut filled = ReadBuf::new(buffer);
                    ready!(self.parts.socket.poll_recv_from(cx, &mut filled))?;
                    filled.filled().to_vec()
                }
                Source::Listener(packets) => {
                    ready!(packets.poll_recv(cx)).ok_or(LinkError::Closed)?
                }
            };
            if let Some(message) = self.take(&octets) {
                return Poll::Ready(Ok(message));
            }
        }
    }

    fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if core::mem::take(&mut self.lost) {
            return Poll::Ready(());
        }
        let deadline = self.parts.session.deadline().map(|deadline| {
            dlms::Instant::from_micros(u64::try_from(deadline.as_micros()).unwrap_or(u64::MAX))
        });
        let clock = Arc::clone(&self.parts.clock);
        let now = ready!(self.timer.poll(deadline, clock.as_ref(), cx));
        if self
            .parts
            .session
            .silent(Duration::from_micros(now.as_micros()))
        {
            let path = self
                .parts
                .session
                .choice()
                .active()
                .map(ToString::to_string);
            tracing::info!(peer = %self.remote(), path, "nothing was heard: another path");
            self.parts.feed.hurry();
            return Poll::Ready(());
        }
        Poll::Pending
    }

    fn payload_max(&self) -> usize {
        usize::from(SCION_PDU_LEN_MAX)
    }

    fn peer(&self) -> String {
        format!("scion://{}", self.remote())
    }

    fn drkeys(&self) -> Option<DrkeySource> {
        Some(self.parts.attachment.drkeys(&self.parts.session))
    }

    fn take_receipts(&mut self) -> Vec<PathReceipt> {
        self.parts.session.take_receipts()
    }

    fn scion(&self) -> Option<ScionStatus> {
        let session = &self.parts.session;
        Some(ScionStatus {
            known: session.choice().known(),
            allowed: session.choice().allowed().len(),
            receipt: session.receipt().clone(),
            counters: session.counters(),
        })
    }
}
