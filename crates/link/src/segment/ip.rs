//! Meters that have an address each, or share one and are told apart by SAP.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::{Node, Segment, SegmentEvent};
use crate::serve::ALL_STATIONS;
use crate::{Clock, Endpoint, Link, LinkError, LinkExt as _, Message, Sap, connect};

/// A meter of an [`IpSegment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpMeter {
    /// Where it listens. Meters with the same endpoint share one link.
    pub endpoint: Endpoint,
    /// The SAP of its management logical device.
    pub server: Sap,
}

/// Bounds of an [`IpSegment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpLimits {
    /// Links that are open at once; who needs another waits.
    pub links_max: usize,
    /// How long a link to a meter may take to come up.
    pub connecting: Duration,
    /// How long a link stays open without a message.
    pub idle: Duration,
    /// The wait before a meter that did not answer is tried again; it doubles
    /// up to [`retry_longest`](Self::retry_longest).
    pub retry_first: Duration,
    /// The longest such wait.
    pub retry_longest: Duration,
}

impl Default for IpLimits {
    fn default() -> Self {
        Self {
            links_max: 4_096,
            connecting: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            retry_first: Duration::from_secs(2),
            retry_longest: Duration::from_secs(600),
        }
    }
}

/// Messages that may be in the segment at once.
const WINDOW: usize = 1_024;

/// How long an endpoint may take to swallow a message before its link is given
/// up.
const SWALLOW: Duration = Duration::from_secs(30);

/// Messages that one endpoint may have waiting: all of them, and those few
/// more that are urgent.
const WAITING_MAX: usize = WINDOW + 64;

/// Events that wait to be fetched; who has another waits.
const EVENTS_MAX: usize = 1_024;

/// A segment of meters over TCP, UDP or TLS.
///
/// A meter has joined once its endpoint has taken a connection, and stays:
/// whether it answers is for those to find out who ask it.
pub struct IpSegment {
    nodes: Vec<(usize, Sap)>,
    peers: Vec<mpsc::Sender<(Option<Node>, Message)>>,
    events: mpsc::Receiver<SegmentEvent>,
    /// What became of broadcasts; at most as many as the window has places.
    told: VecDeque<SegmentEvent>,
    // Ends the tasks with the segment.
    _tasks: JoinSet<()>,
}

impl IpSegment {
    /// Begins to reach for `meters`, each of which gets its place in the list
    /// as the number of its node.
    #[must_use]
    pub fn start(meters: Vec<IpMeter>, limits: IpLimits, clock: &Arc<dyn Clock>) -> Self {
        let (tell, events) = mpsc::channel(EVENTS_MAX);
        let slots = Arc::new(Semaphore::new(limits.links_max.max(1)));
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut groups: Vec<(Endpoint, BTreeMap<Sap, Node>)> = Vec::new();
        let mut nodes = Vec::with_capacity(meters.len());
        for (number, meter) in (0_u32..).zip(meters) {
            let place = *places
                .entry(meter.endpoint.to_string())
                .or_insert(groups.len());
            if place == groups.len() {
                groups.push((meter.endpoint, BTreeMap::new()));
            }
            if let Some((_, saps)) = groups.get_mut(place) {
                saps.entry(meter.server).or_insert(Node(number));
            }
            nodes.push((place, meter.server));
        }
        let mut tasks = JoinSet::new();
        let mut peers = Vec::with_capacity(groups.len());
        for (endpoint, saps) in groups {
            let (sender, waiting) = mpsc::channel(WAITING_MAX);
            peers.push(sender);
            let peer = Peer {
                endpoint,
                saps,
                waiting,
                tell: tell.clone(),
                slots: Arc::clone(&slots),
                limits,
                clock: Arc::clone(clock),
            };
            tasks.spawn(peer.run());
        }
        Self {
            nodes,
            peers,
            events,
            told: VecDeque::new(),
            _tasks: tasks,
        }
    }
}

impl Segment for IpSegment {
    fn send(&mut self, node: Option<Node>, message: Message) -> Result<(), LinkError> {
        let class = message.class;
        let Some(node) = node else {
            // A meter whose line is full misses this one, as on any medium.
            let all = Message {
                destination: ALL_STATIONS,
                ..message
            };
            let heard = self
                .peers
                .iter()
                .filter(|peer| peer.try_send((None, all.clone())).is_ok())
                .count();
            self.told.push_back(SegmentEvent::Done {
                node: None,
                class,
                delivered: heard > 0,
            });
            return Ok(());
        };
        let peer = usize::try_from(node.0)
            .ok()
            .and_then(|index| self.nodes.get(index))
            .and_then(|(peer, _)| self.peers.get(*peer))
            .ok_or(LinkError::Closed)?;
        peer.try_send((Some(node), message))
            .map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => LinkError::Full(class),
                mpsc::error::TrySendError::Closed(_) => LinkError::Closed,
            })
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<SegmentEvent, LinkError>> {
        if let Some(event) = self.told.pop_front() {
            return Poll::Ready(Ok(event));
        }
        Poll::Ready(ready!(self.events.poll_recv(cx)).ok_or(LinkError::Closed))
    }

    fn window(&self) -> usize {
        WINDOW
    }

    fn payload_max(&self) -> usize {
        usize::from(u16::MAX)
    }

    fn medium(&self) -> &'static str {
        "ip"
    }

    fn is_one_wire(&self) -> bool {
        false
    }
}

/// One endpoint and the meters behind it.
struct Peer {
    endpoint: Endpoint,
    saps: BTreeMap<Sap, Node>,
    waiting: mpsc::Receiver<(Option<Node>, Message)>,
    tell: mpsc::Sender<SegmentEvent>,
    slots: Arc<Semaphore>,
    limits: IpLimits,
    clock: Arc<dyn Clock>,
}

/// How a link to a meter ended.
enum Ended {
    /// The segment is gone.
    Segment,
    /// The link is, or was not used any more.
    Link,
}

impl Peer {
    /// Reaches for the endpoint until it has taken a connection, and later
    /// whenever there is a message for it.
    async fn run(mut self) {
        let mut joined = false;
        let mut wait = self.limits.retry_first;
        let mut next = None;
        loop {
            if joined && next.is_none() {
                next = match self.waiting.recv().await {
                    Some(message) => Some(message),
                    None => return,
                };
            }
            let Ok(_slot) = Arc::clone(&self.slots).acquire_owned().await else {
                return;
            };
            let server = self.saps.keys().next().copied().unwrap_or(1);
            let ends = (
                next.as_ref().map_or(PUBLIC_CLIENT, |(_, it)| it.source),
                server,
            );
            match connect(&self.endpoint, ends, &self.clock, self.limits.connecting).await {
                Ok(link) => {
                    wait = self.limits.retry_first;
                    if !joined {
                        joined = true;
                        for (&server, &node) in &self.saps {
                            let event = SegmentEvent::Joined {
                                node,
                                server,
                                title: None,
                                hops: 0,
                            };
                            if self.tell.send(event).await.is_err() {
                                return;
                            }
                        }
                    }
                    if matches!(self.carry(link, next.take()).await, Ended::Segment) {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(peer = %self.endpoint, %error, "a meter cannot be reached");
                    // What waited for this link is lost; whoever sent it asks again.
                    let mut lost = next.take();
                    while let Some((node, message)) = lost {
                        if !self.done(node, message.class, false).await {
                            return;
                        }
                        lost = self.waiting.try_recv().ok();
                    }
                    if joined {
                        continue;
                    }
                    drop(_slot);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.tell.closed() => return,
                    }
                    wait = (wait * 2).min(self.limits.retry_longest);
                }
            }
        }
    }

    /// Carries messages over one link until it ends or is idle for long.
    async fn carry(
        &mut self,
        mut link: Box<dyn Link>,
        first: Option<(Option<Node>, Message)>,
    ) -> Ended {
        let mut next = first;
        loop {
            if let Some((node, message)) = next.take() {
                let class = message.class;
                let sent = match link.send(message) {
                    // Who takes nothing holds no place in the segment.
                    Ok(()) => tokio::time::timeout(SWALLOW, link.flush())
                        .await
                        .unwrap_or(Err(LinkError::Closed)),
                    Err(error) => Err(error),
                };
                if !self.done(node, class, sent.is_ok()).await {
                    return Ended::Segment;
                }
                match sent {
                    Ok(()) | Err(LinkError::TooLong { .. } | LinkError::Full(_)) => {}
                    Err(_) => return Ended::Link,
                }
            }
            tokio::select! {
                waiting = self.waiting.recv() => match waiting {
                    Some(message) => next = Some(message),
                    None => return Ended::Segment,
                },
                arrived = tokio::time::timeout(self.limits.idle, link.receive()) => match arrived {
                    Ok(Ok(message)) => {
                        // Who is none of the meters here has nothing to say here.
                        if let Some(&node) = self.saps.get(&message.source)
                            && self.tell.send(SegmentEvent::Received(node, message)).await.is_err()
                        {
                            return Ended::Segment;
                        }
                    }
                    Ok(Err(_)) | Err(_) => return Ended::Link,
                },
            }
        }
    }

    async fn done(&self, node: Option<Node>, class: model::MessageClass, delivered: bool) -> bool {
        let Some(node) = node else { return true };
        let event = SegmentEvent::Done {
            node: Some(node),
            class,
            delivered,
        };
        self.tell.send(event).await.is_ok()
    }
}

/// The public client's SAP (IEC 62056-5-3).
const PUBLIC_CLIENT: Sap = 16;
