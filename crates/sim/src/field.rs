//! Places that can be reached over links in virtual time, and cut off.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use link::{Clock, Connecting, Connector, Endpoint, Link, LinkError, Message, Sap};
use tokio::sync::mpsc;

use crate::Network;

/// Links that a place takes in before it accepts them.
const BACKLOG: usize = 16;

/// A field of places. Endpoints are their names, whatever the scheme: `tcp`
/// and `udp` tell the client whether to repeat what is lost, and here all
/// links lose alike.
pub struct Field {
    network: Network,
    tap: Option<Arc<dyn Tap>>,
    places: Mutex<BTreeMap<String, Place>>,
}

/// Links that come in at a place.
pub type Incoming = mpsc::Receiver<Box<dyn Link>>;

/// Sees what is sent, before anything happens to it on the way.
pub trait Tap: Send + Sync {
    /// Sees one message.
    fn passed(&self, passed: &Passed<'_>);
}

/// A message that was sent.
#[derive(Clone, Copy, Debug)]
pub struct Passed<'p> {
    /// The place at the far end of the link.
    pub place: &'p str,
    /// Whether that place sent it.
    pub answer: bool,
    /// The message.
    pub message: &'p Message,
}

struct Place {
    door: Option<mpsc::Sender<Box<dyn Link>>>,
    cut: Arc<Cut>,
    links: u64,
}

impl Field {
    /// Makes a field without places.
    #[must_use]
    pub fn new(network: Network, tap: Option<Arc<dyn Tap>>) -> Self {
        Self {
            network,
            tap,
            places: Mutex::default(),
        }
    }

    /// Opens a place, in the stead of who was there before; links to that one
    /// end with it.
    #[must_use]
    pub fn open(&self, endpoint: &Endpoint) -> Incoming {
        let (door, incoming) = mpsc::channel(BACKLOG);
        let mut places = self.places();
        let place = places.entry(name(endpoint)).or_insert_with(Place::new);
        place.door = Some(door);
        incoming
    }

    /// Cuts the way to a place: what is under way is lost, and nothing gets
    /// through until it is mended.
    pub fn cut(&self, endpoint: &Endpoint) {
        let mut places = self.places();
        let place = places.entry(name(endpoint)).or_insert_with(Place::new);
        place.cut.0.store(true, Ordering::Relaxed);
    }

    /// Mends the way to a place. Links of before stay dead.
    pub fn mend(&self, endpoint: &Endpoint) {
        let mut places = self.places();
        let place = places.entry(name(endpoint)).or_insert_with(Place::new);
        if place.cut.0.load(Ordering::Relaxed) {
            place.cut = Arc::default();
        }
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<String, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a link to a place; none where the way is cut.
    fn link(&self, endpoint: &Endpoint) -> Result<Option<Box<dyn Link>>, LinkError> {
        let name = name(endpoint);
        let mut places = self.places();
        let refused = || LinkError::Io(std::io::ErrorKind::ConnectionRefused.into());
        let place = places.get_mut(&name).ok_or_else(refused)?;
        place.links += 1;
        if place.cut.0.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let door = place.door.as_ref().ok_or_else(refused)?;
        let (near, far) = self.network.link(Network::number(&name, place.links));
        let end = |inner, answer| {
            Box::new(End {
                inner,
                answer,
                place: name.clone(),
                cut: Arc::clone(&place.cut),
                tap: self.tap.clone(),
            })
        };
        door.try_send(end(far, true)).map_err(|_| refused())?;
        Ok(Some(end(near, false)))
    }
}

impl Connector for Field {
    fn connect<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        _: (Sap, Sap),
        _: &'a Arc<dyn Clock>,
        limit: Duration,
    ) -> Connecting<'a> {
        Box::pin(async move {
            // There and back, as a handshake takes.
            tokio::time::sleep(self.network.latency * 2).await;
            if let Some(link) = self.link(endpoint)? {
                return Ok(link);
            }
            tokio::time::sleep(limit).await;
            Err(LinkError::Timeout {
                phase: "connecting",
                seconds: limit.as_secs(),
            })
        })
    }
}

fn name(endpoint: &Endpoint) -> String {
    endpoint.to_string()
}

impl Place {
    fn new() -> Self {
        Self {
            door: None,
            cut: Arc::default(),
            links: 0,
        }
    }
}

/// Whether the way that a link takes is cut, for good.
#[derive(Debug, Default)]
struct Cut(AtomicBool);

/// One end of a link to a place.
struct End {
    inner: Box<dyn Link>,
    place: String,
    answer: bool,
    cut: Arc<Cut>,
    tap: Option<Arc<dyn Tap>>,
}

impl Link for End {
    fn send(&mut self, message: Message) -> Result<(), LinkError> {
        if let Some(tap) = &self.tap {
            tap.passed(&Passed {
                place: &self.place,
                answer: self.answer,
                message: &message,
            });
        }
        if self.cut.0.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.inner.send(message)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.inner.poll_flush(cx)
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, LinkError>> {
        loop {
            match self.inner.poll_receive(cx) {
                // It was under way when the way was cut.
                Poll::Ready(Ok(_)) if self.cut.0.load(Ordering::Relaxed) => {}
                other => return other,
            }
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.inner.poll_close(cx)
    }

    fn payload_max(&self) -> usize {
        self.inner.payload_max()
    }

    fn peer(&self) -> String {
        self.place.clone()
    }
}
