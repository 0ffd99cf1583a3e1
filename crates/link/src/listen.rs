//! Waiting for links that others open.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::connect::serial;
use crate::scion::ScionListener;
use crate::sctp::{SctpLink, SctpSocket};
use crate::stream::WrapperStream;
use crate::udp::{DATAGRAM_SIZE_MAX, UdpLink};
use crate::{
    Clock, Endpoint, HdlcOptions, HostPort, Link, LinkError, Sap, ScionOptions, hdlc, tls,
};

/// How much a listener takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Links open at once; more wait in the system's queue, over UDP they are
    /// dropped.
    pub links_max: usize,
    /// The longest that TLS may take to come up.
    pub handshake: Duration,
    /// The longest that a link may be silent.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            links_max: 4_096,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(180),
        }
    }
}

/// A place where links come in.
///
/// A peer that connects and says nothing takes one of the links until its
/// time is up, and delays nobody else.
pub struct Listener {
    local: Endpoint,
    links: mpsc::Receiver<Accepted>,
    task: JoinHandle<()>,
}

/// A link that came in; its place is free again when it is dropped.
pub struct Accepted {
    /// The link.
    pub link: Box<dyn Link>,
    /// Held as long as the link counts against the listener's bound.
    pub permit: OwnedSemaphorePermit,
}

impl Listener {
    /// Begins to listen at `endpoint`; port 0 lets the system choose. `servers`
    /// are the SAPs that answer, for HDLC, which does not open a data link to
    /// another.
    ///
    /// # Errors
    /// Why nothing listens: the address is taken or not this machine's, or a
    /// certificate cannot be used.
    pub async fn bind(
        endpoint: &Endpoint,
        servers: &[Sap],
        limits: Limits,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LinkError> {
        let (ready, links) = mpsc::channel(64);
        let slots = Arc::new(Semaphore::new(limits.links_max));
        if endpoint.sctp().is_some() {
            let socket = SctpSocket::listen(endpoint, limits.links_max, &clock).await?;
            let local = endpoint
                .clone()
                .with_port(socket.port())
                .with_udp_port(socket.udp_port());
            let task = tokio::spawn(accept_associations(socket, limits, slots, ready));
            return Ok(Self { local, links, task });
        }
        let (port, task) = match endpoint {
            Endpoint::Tcp(at) => {
                let (socket, port) = tcp(at).await?;
                (
                    port,
                    tokio::spawn(accept_streams(socket, Arming::Plain, limits, slots, ready)),
                )
            }
            Endpoint::Tls(at, options) => {
                let refusals = Arc::new(Refusals::new(clock));
                let acceptor = TlsAcceptor::from(tls::server(options, tls::ALL)?);
                let arming = Arming::Tls(acceptor, refusals);
                let (socket, port) = tcp(at).await?;
                (
                    port,
                    tokio::spawn(accept_streams(socket, arming, limits, slots, ready)),
                )
            }
            Endpoint::HdlcTcp(at, options) => {
                let arming = Arming::Hdlc(servers.into(), *options, clock);
                let (socket, port) = tcp(at).await?;
                (
                    port,
                    tokio::spawn(accept_streams(socket, arming, limits, slots, ready)),
                )
            }
            Endpoint::Serial(port, options) => {
                let stream = serial(port)?;
                let link = hdlc::answer(stream, endpoint.to_string(), servers, *options, clock)?;
                let permit = Arc::clone(&slots).acquire_owned().await;
                let permit = permit.map_err(|_| LinkError::Closed)?;
                (
                    0,
                    tokio::spawn(async move {
                        // A serial line has one link; whoever waits for another waits on.
                        if ready.send(Accepted { link, permit }).await.is_ok() {
                            ready.closed().await;
                        }
                    }),
                )
            }
            Endpoint::Scion(at, options) => {
                let listener = ScionListener::bind(at, options, clock).await?;
                let port = listener.port();
                (port, tokio::spawn(listener.accept(slots, ready)))
            }
            Endpoint::Sctp(..) | Endpoint::Sctps(..) => {
                return Err(LinkError::Unsupported("this transport"));
            }
            Endpoint::Udp(at) => {
                let socket = UdpSocket::bind((at.host.as_str(), at.port)).await?;
                let port = socket.local_addr()?.port();
                (
                    port,
                    tokio::spawn(accept_datagrams(Arc::new(socket), slots, ready)),
                )
            }
        };
        let mut local = endpoint.clone().with_port(port);
        if let Some(options) = local.scion_mut() {
            // Daemon and fence are this end's; who connects has others.
            *options = ScionOptions {
                isd_as: options.isd_as,
                ..ScionOptions::default()
            };
        }
        Ok(Self { local, links, task })
    }

    /// Tells where it listens, with the port that the system chose.
    #[must_use]
    pub const fn local(&self) -> &Endpoint {
        &self.local
    }

    /// Waits for the next link.
    pub async fn accept(&mut self) -> Option<Accepted> {
        self.links.recv().await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What stands between a TCP connection and a link.
#[derive(Clone)]
enum Arming {
    Plain,
    Tls(TlsAcceptor, Arc<Refusals>),
    Hdlc(Arc<[Sap]>, HdlcOptions, Arc<dyn Clock>),
}

async fn tcp(at: &HostPort) -> Result<(TcpListener, u16), LinkError> {
    let socket = TcpListener::bind((at.host.as_str(), at.port)).await?;
    let port = socket.local_addr()?.port();
    Ok((socket, port))
}

async fn accept_streams(
    socket: TcpListener,
    arming: Arming,
    limits: Limits,
    slots: Arc<Semaphore>,
    ready: mpsc::Sender<Accepted>,
) {
    while let Ok(permit) = Arc::clone(&slots).acquire_owned().await {
        match socket.accept().await {
            Ok((stream, remote)) => {
                let (arming, ready) = (arming.clone(), ready.clone());
                tokio::spawn(async move {
                    let armed = tokio::time::timeout(limits.handshake, arm(stream, remote, arming));
                    match armed.await {
                        Ok(Ok(link)) => drop(ready.send(Accepted { link, permit }).await),
                        Ok(Err(error)) => tracing::info!(%remote, %error, "refused a connection"),
                        Err(_) => tracing::info!(%remote, "a connection took too long to come up"),
                    }
                });
            }
            Err(error) => {
                // Out of file descriptors, say: what is open goes on, and the
                // next connection is tried when some may have closed.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        if ready.is_closed() {
            break;
        }
    }
}

async fn accept_associations(
    socket: SctpSocket,
    limits: Limits,
    slots: Arc<Semaphore>,
    ready: mpsc::Sender<Accepted>,
) {
    while let Ok(permit) = Arc::clone(&slots).acquire_owned().await {
        let Ok(mut association) = socket.accept().await else {
            break;
        };
        let ready = ready.clone();
        tokio::spawn(async move {
            let peer = format!("sctp://{}", association.peer());
            match tokio::time::timeout(limits.handshake, association.secure()).await {
                Ok(Ok(())) => {
                    let link = Box::new(SctpLink::new(association, peer));
                    drop(ready.send(Accepted { link, permit }).await);
                }
                Ok(Err(error)) => {
                    tracing::info!(peer, %error, "refused an association");
                    // The alert that says so is delivered while this closes.
                    drop(tokio::time::timeout(limits.handshake, association.close()).await);
                }
                Err(_) => tracing::info!(peer, "an association took too long to come up"),
            }
        });
    }
}

async fn arm(
    stream: TcpStream,
    remote: SocketAddr,
    arming: Arming,
) -> Result<Box<dyn Link>, LinkError> {
    stream.set_nodelay(true)?;
    Ok(match arming {
        Arming::Plain => Box::new(WrapperStream::new(stream, format!("tcp://{remote}"))),
        Arming::Hdlc(servers, options, clock) => hdlc::answer(
            stream,
            format!("hdlc+tcp://{remote}"),
            &servers,
            options,
            clock,
        )?,
        Arming::Tls(acceptor, refusals) => {
            let accepted = acceptor.accept(stream).await;
            let stream = accepted.map_err(|error| {
                let error = tls::failed(&error);
                refusals.tell(remote, &error);
                error
            })?;
            Box::new(WrapperStream::new(stream, format!("tls://{remote}")))
        }
    })
}

/// Peers that TLS refused. People mend certificates, so they are told; not of
/// each one, since anybody may knock.
struct Refusals {
    clock: Arc<dyn Clock>,
    /// When the next is told, in microseconds of the clock.
    next: AtomicU64,
}

/// Between two refusals that are told.
const REFUSALS_EVERY: Duration = Duration::from_secs(60);

impl Refusals {
    const fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            next: AtomicU64::new(0),
        }
    }

    fn tell(&self, remote: SocketAddr, error: &LinkError) {
        let now = self.clock.now();
        if now.as_micros() >= self.next.load(Ordering::Relaxed) {
            let next = now + REFUSALS_EVERY;
            self.next.store(next.as_micros(), Ordering::Relaxed);
            tracing::warn!(%remote, %error, "a connection was refused; more within a minute are not told");
        }
    }
}

/// Datagrams of one peer that may wait; more are dropped.
const DATAGRAMS_MAX: usize = 16;

async fn accept_datagrams(
    socket: Arc<UdpSocket>,
    slots: Arc<Semaphore>,
    ready: mpsc::Sender<Accepted>,
) {
    let mut buffer = vec![0; DATAGRAM_SIZE_MAX].into_boxed_slice();
    let mut peers: BTreeMap<SocketAddr, mpsc::Sender<Vec<u8>>> = BTreeMap::new();
    loop {
        let (count, remote) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "a datagram could not be received");
                continue;
            }
        };
        let mut datagram = buffer.get(..count).unwrap_or_default().to_vec();
        if let Some(peer) = peers.get(&remote) {
            match peer.try_send(datagram) {
                Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => continue,
                Err(mpsc::error::TrySendError::Closed(unsent)) => datagram = unsent,
            }
        }
        peers.retain(|_, peer| !peer.is_closed());
        let Ok(permit) = Arc::clone(&slots).try_acquire_owned() else {
            continue;
        };
        let (peer, datagrams) = mpsc::channel(DATAGRAMS_MAX);
        drop(peer.try_send(datagram));
        let link = Box::new(UdpLink::accepted(Arc::clone(&socket), remote, datagrams));
        match ready.try_send(Accepted { link, permit }) {
            Ok(()) => drop(peers.insert(remote, peer)),
            Err(mpsc::error::TrySendError::Full(_)) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => break,
        }
    }
}
