//! Links between two ends, with a latency and faults.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use link::{FaultPlan, Faulty, Link, LinkError, Message};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use crate::draw;

/// Messages that one direction of a link holds; more are refused.
pub const WAITING_MAX: usize = 1_024;

/// How the links of a network are.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// How long a message takes from end to end.
    pub latency: Duration,
    /// What goes wrong; the seed of each link is drawn from this one's.
    pub faults: FaultPlan,
}

impl Network {
    /// Makes the link with this number and gives its two ends. The same network
    /// and number give the same faults.
    #[must_use]
    pub fn link(&self, number: u64) -> (Box<dyn Link>, Box<dyn Link>) {
        let (one, other) = SimLink::pair(self.latency, number);
        // The golden ratio spreads neighbouring numbers over all seeds.
        let seed = self.faults.seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let faults = FaultPlan {
            seed,
            ..self.faults
        };
        // One end sees the faults of both directions.
        (Box::new(Faulty::new(one, faults)), Box::new(other))
    }

    /// Numbers the links of a place, so that what happens at one place has no
    /// part in what happens at another.
    pub(crate) fn number(place: &str, count: u64) -> u64 {
        // FNV-1a.
        let hash = place
            .bytes()
            .fold(0xCBF2_9CE4_8422_2325, |hash: u64, octet| {
                (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01B3)
            });
        draw(hash, count)
    }
}

/// One end of a link in virtual time. It loses nothing and keeps the order.
pub struct SimLink {
    outgoing: mpsc::Sender<(Instant, Message)>,
    incoming: mpsc::Receiver<(Instant, Message)>,
    /// The message that arrives next, and the timer that says when.
    arriving: Option<(Pin<Box<Sleep>>, Message)>,
    latency: Duration,
    name: String,
}

impl SimLink {
    /// Makes both ends of a link.
    #[must_use]
    pub fn pair(latency: Duration, number: u64) -> (Self, Self) {
        let (to_other, from_one) = mpsc::channel(WAITING_MAX);
        let (to_one, from_other) = mpsc::channel(WAITING_MAX);
        let end = |outgoing, incoming, side| Self {
            outgoing,
            incoming,
            arriving: None,
            latency,
            name: format!("sim link {number}, {side} end"),
        };
        (
            end(to_other, from_other, "near"),
            end(to_one, from_one, "far"),
        )
    }
}

impl Link for SimLink {
    #[expect(
        clippy::disallowed_methods,
        reason = "tokio's clock is the simulation's: paused, it is virtual time"
    )]
    fn send(&mut self, message: Message) -> Result<(), LinkError> {
        let class = message.class;
        self.outgoing
            .try_send((Instant::now() + self.latency, message))
            .map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => LinkError::Full(class),
                mpsc::error::TrySendError::Closed(_) => LinkError::Closed,
            })
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, LinkError>> {
        let (timer, message) = match self.arriving.take() {
            Some(arriving) => arriving,
            None => match ready!(self.incoming.poll_recv(cx)) {
                Some((at, message)) => (Box::pin(tokio::time::sleep_until(at)), message),
                None => return Poll::Ready(Err(LinkError::Closed)),
            },
        };
        let (timer, _) = self.arriving.insert((timer, message));
        ready!(timer.as_mut().poll(cx));
        self.arriving
            .take()
            .map_or(Poll::Pending, |(_, message)| Poll::Ready(Ok(message)))
    }

    fn payload_max(&self) -> usize {
        usize::from(u16::MAX)
    }

    fn peer(&self) -> String {
        self.name.clone()
    }
}
