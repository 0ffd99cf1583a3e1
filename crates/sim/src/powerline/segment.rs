//! The line as a segment for the concentrator and a link for each meter.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use link::{Link, LinkError, Message, Node, Registration, Segment, SegmentEvent};
use tokio::time::{Instant, Sleep};

use super::medium::{MESSAGE_LENGTH_MAX, Medium, PowerLineConfig, Statistics, WINDOW};

/// A power line, to plug meters into.
#[derive(Clone)]
pub struct PowerLine {
    shared: Arc<Shared>,
}

struct Shared {
    medium: Mutex<Medium>,
    origin: Instant,
}

impl Shared {
    fn medium(&self) -> MutexGuard<'_, Medium> {
        self.medium.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The line's own time in microseconds.
    fn now(&self, speed: u32) -> u64 {
        let real = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        real.saturating_mul(u64::from(speed))
    }
}

impl PowerLine {
    /// Makes a line, the concentrator's end of it, and the plug of each meter
    /// in the order of the configuration.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "tokio's clock is the simulation's: paused, it is virtual time"
    )]
    pub fn new(config: PowerLineConfig) -> (Self, PowerLineSegment, Vec<Box<dyn Link>>) {
        let count = u32::try_from(config.nodes.len()).unwrap_or(u32::MAX);
        let shared = Arc::new(Shared {
            medium: Mutex::new(Medium::new(config)),
            origin: Instant::now(),
        });
        let plugs = (0..count).map(|number| {
            Box::new(Plug {
                shared: Arc::clone(&shared),
                node: Node(number),
            }) as Box<dyn Link>
        });
        let plugs = plugs.collect();
        let segment = PowerLineSegment {
            shared: Arc::clone(&shared),
            timer: None,
        };
        (Self { shared }, segment, plugs)
    }

    /// Tells what the wire has carried.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.shared.medium().statistics
    }

    /// Makes another concentrator's end, with an identity of its own or the same, in place of the
    /// one that there was. The meters remember who has registered them and under which address;
    /// the new end knows nobody, and what was on its way is lost.
    #[must_use]
    pub fn another_end(&self, initiator: [u8; 8]) -> PowerLineSegment {
        let mut medium = self.shared.medium();
        let now = self.shared.now(medium.speed());
        medium.change_hands(initiator, now);
        drop(medium);
        PowerLineSegment {
            shared: Arc::clone(&self.shared),
            timer: None,
        }
    }

    /// Cuts a meter off, or puts it back.
    pub fn plug(&self, node: Node, plugged: bool) {
        self.shared.medium().plug(node, plugged);
    }
}

/// The concentrator's end of a [`PowerLine`]; the line goes as long as this is
/// polled.
pub struct PowerLineSegment {
    shared: Arc<Shared>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Segment for PowerLineSegment {
    fn send(&mut self, node: Option<Node>, message: Message) -> Result<(), LinkError> {
        let mut medium = self.shared.medium();
        let now = self.shared.now(medium.speed());
        medium.send(node, message, now)
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<SegmentEvent, LinkError>> {
        loop {
            let mut medium = self.shared.medium();
            let speed = medium.speed();
            let now = self.shared.now(speed);
            medium.advance(now);
            if let Some(event) = medium.events.pop_front() {
                return Poll::Ready(Ok(event));
            }
            medium.waker = Some(cx.waker().clone());
            let Some(next) = medium.next() else {
                return Poll::Pending;
            };
            drop(medium);
            // Rounded up, so that the time has come when the timer has.
            let due = next.div_ceil(u64::from(speed.max(1)));
            let at = self.shared.origin + Duration::from_micros(due);
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            timer.as_mut().reset(at);
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn window(&self) -> usize {
        WINDOW
    }

    fn payload_max(&self) -> usize {
        MESSAGE_LENGTH_MAX
    }

    fn medium(&self) -> &'static str {
        self.shared.medium().technology().name()
    }

    fn is_one_wire(&self) -> bool {
        true
    }

    fn registration(&self, node: Node) -> Option<Registration> {
        self.shared.medium().registration(node)
    }

    fn adopt(&mut self, registrations: &[Registration]) -> usize {
        let mut medium = self.shared.medium();
        let now = self.shared.now(medium.speed());
        medium.adopt(registrations, now)
    }

    fn bit_rate(&self) -> Option<u32> {
        Some(self.shared.medium().technology().bit_rate())
    }
}

/// A meter's end of the line.
struct Plug {
    shared: Arc<Shared>,
    node: Node,
}

impl Link for Plug {
    fn send(&mut self, message: Message) -> Result<(), LinkError> {
        let mut medium = self.shared.medium();
        let now = self.shared.now(medium.speed());
        medium.answer(self.node, message, now)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, LinkError>> {
        let received = self.shared.medium().receive(self.node, cx.waker());
        received.map_or(Poll::Pending, |message| Poll::Ready(Ok(message)))
    }

    fn payload_max(&self) -> usize {
        MESSAGE_LENGTH_MAX
    }

    fn peer(&self) -> String {
        format!("power line, node {}", self.node.0)
    }
}
