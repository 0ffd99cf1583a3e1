//! SCION between two programs: the wrapper in SCION/UDP datagrams, on paths
//! that a policy allows.
//!
//! The own AS is known by its daemon's address alone, as the reference
//! programs have it: the daemon tells the AS's number and the paths, with the
//! router that takes the packets of each, and has verified what it tells. Or it
//! is known by its endhost API, which tells routers and segments: what is made
//! of them nobody has verified, and receipts say so. No other host is asked for
//! anything. Which path a message takes, what silence means and which way
//! answers go is [`scion::session`]'s; here are the socket, the calls to the
//! daemon or the API, and the clock.
//!
//! The class of a message is in the traffic class of its packets
//! ([`crate::Treatment`]): routers may use it, and the peer's answers have it too.

mod attachment;
mod drkey;
mod endhost;
mod gateway;
mod grpc;
mod link;
mod options;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use scion::choice::NoPath;
use scion::packet::Place;
use scion::session::{Role, Session, peer_of};
use tokio::net::UdpSocket;
use tokio::sync::{Semaphore, mpsc};

pub use self::drkey::{DRKEY_PROTOCOL, DrkeyError, DrkeyMix, DrkeySource};
pub use self::gateway::{
    GATEWAY_PEERS_MAX, GATEWAY_PORT, Gateway, GatewayFigures, GatewayPeer, GatewayView, PROBE_PORT,
};
pub use self::link::ScionStatus;
pub use self::options::ScionOptions;
pub use ::scion::path::{About as ScionAbout, Path as ScionPath, Trust as ScionTrust};
pub use ::scion::policy::{Acl as ScionFence, Remaining as ScionRemaining};
pub use ::scion::session::{Counters as ScionCounters, PathReceipt};

use self::attachment::{Attachment, Known};
use self::drkey::Drkeys;
use self::link::{Parts, ScionLink, Source};
use crate::{Accepted, Clock, Entropy as _, HostPort, LinkError, SystemEntropy};

/// The longest APDU that is put into one datagram, in octets: what both sides
/// of an association are told. Routers hold no packet against a path's limit,
/// so this keeps it within the 1,400 octets that paths have: headers take 144
/// octets over three segments and six hops. A longer one is neither sent nor
/// taken.
pub const SCION_PDU_LEN_MAX: u16 = 1_024;

/// Repetitions of one request over SCION: each takes another path, and most
/// come soon.
pub(crate) const REPEATS_MAX: u8 = 10;

/// Why there is no way through a SCION network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScionError {
    /// Nobody said where the own AS's daemon is.
    #[error(
        "the own AS is not known: name its daemon by --scion-daemon, SCION_DAEMON or daemon= in \
         the URL"
    )]
    NoDaemon,
    /// The daemon, or the endhost API, does not answer, or not what one answers.
    #[error("the {} at {at}: {why}", if endhost::is_api(.at) { "endhost API" } else { "daemon" })]
    Daemon {
        /// Its address.
        at: Box<str>,
        /// What is the matter.
        why: Box<str>,
    },
    /// The place to listen at is in another AS than the daemon's.
    #[error("the daemon at {at} is of AS {there}, not of {wanted}")]
    OtherAs {
        /// The daemon's address.
        at: Box<str>,
        /// Its AS.
        there: scion::address::IsdAs,
        /// The AS of the URL.
        wanted: scion::address::IsdAs,
    },
    /// The host is no address that packets can carry.
    #[error("a host in SCION is an IP address of its own, not {0}")]
    Host(Box<str>),
    /// No path may be taken.
    #[error(transparent)]
    NoPath(#[from] NoPath),
    /// There are paths, and the policy wants verified ones.
    #[error(
        "none of the {0} paths is verified, and the policy wants that (verified=yes): nothing was \
         sent; name the AS's daemon in place of its endhost API"
    )]
    NotVerified(usize),
    /// Paths to so many ASes are asked for at once that none can be added.
    #[error("paths to too many ASes at once")]
    Busy,
}

/// Daemons that are remembered without being in use.
const DAEMONS_MAX: usize = 16;

/// Makes links over SCION; those through the same daemon share what it tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScionDialer {
    /// The daemon of endpoints that name none.
    pub(crate) daemon: Option<String>,
    /// Kept as long as this dialer is: what a daemon told before is worth more
    /// than nothing when it tells nothing.
    attachments: Arc<Mutex<BTreeMap<String, Arc<Attachment>>>>,
    keys: Arc<Drkeys>,
}

impl ScionDialer {
    async fn attach(&self, options: &ScionOptions) -> Result<Arc<Attachment>, LinkError> {
        let daemon = options.daemon.as_ref().or(self.daemon.as_ref());
        let daemon = daemon.ok_or(ScionError::NoDaemon)?;
        let known = self
            .attachments
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(daemon)
            .cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let attachment = Attachment::open(daemon, Arc::clone(&self.keys)).await?;
        let mut all = self
            .attachments
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if all.len() >= DAEMONS_MAX {
            all.retain(|_, known| Arc::strong_count(known) > 1);
        }
        all.insert(daemon.clone(), Arc::clone(&attachment));
        Ok(attachment)
    }

    /// Tells the paths that there are to an endpoint, allowed or not.
    pub(crate) async fn paths(&self, options: &ScionOptions) -> Result<Vec<ScionPath>, LinkError> {
        let attachment = self.attach(options).await?;
        let mut feed = attachment.paths(options.isd_as)?;
        match feed.first().await {
            Known::Paths(routes) => Ok(routes.iter().map(|route| route.path.clone()).collect()),
            Known::Failed(why) => Err(attachment.error(&why).into()),
            Known::Asked => Err(ScionError::Busy.into()),
        }
    }

    /// Opens a link to the peer at `at`.
    pub(crate) async fn connect(
        &self,
        at: &HostPort,
        options: &ScionOptions,
        clock: &Arc<dyn Clock>,
    ) -> Result<ScionLink, LinkError> {
        let attachment = self.attach(options).await?;
        let remote = place(at, options)?;
        let mut feed = attachment.paths(remote.isd_as)?;
        let routes = match feed.first().await {
            Known::Paths(routes) => routes,
            Known::Failed(why) => return Err(attachment.error(&why).into()),
            Known::Asked => return Err(ScionError::Busy.into()),
        };
        // What the policy leaves is known before anything is sent.
        let mut choice = scion::choice::Choice::new(options.policy());
        let paths: Vec<_> = routes.iter().map(|route| route.path.clone()).collect();
        choice.update(&paths, unix(clock.as_ref()));
        let best = choice.best(std::time::Duration::ZERO);
        let unverified = |none| {
            let verified = paths.iter().any(|path| path.trust == ScionTrust::Daemon);
            match options.verified && !verified && !paths.is_empty() {
                true => ScionError::NotVerified(paths.len()),
                false => ScionError::NoPath(none),
            }
        };
        let best = best.map_err(unverified)?.fingerprint();
        let next = routes
            .iter()
            .find(|route| route.path.fingerprint() == best)
            .map(|route| route.next(remote.host, remote.port));
        let host = match options.local {
            Some(host) => host,
            None => facing(next.ok_or(ScionError::Busy)?).await?,
        };
        let socket = Arc::new(UdpSocket::bind((host, 0)).await?);
        let local = Place {
            isd_as: attachment.isd_as(),
            host,
            port: socket.local_addr()?.port(),
        };
        let session = Session::new(Role::Asks, local, remote, options.policy(), flow()?);
        Ok(ScionLink::new(
            Parts {
                socket,
                session,
                feed,
                clock: Arc::clone(clock),
                attachment,
            },
            Source::Socket(vec![0; DATAGRAM_SIZE_MAX].into_boxed_slice()),
        ))
    }
}

/// The most that one datagram below SCION holds.
const DATAGRAM_SIZE_MAX: usize = 65_507;

/// Seconds since 1970 as the policy takes them.
fn unix(clock: &dyn Clock) -> u64 {
    u64::try_from(clock.unix_seconds()).unwrap_or(0)
}

fn flow() -> Result<u32, LinkError> {
    let mut octets = [0; 4];
    SystemEntropy.fill(&mut octets)?;
    Ok(u32::from_be_bytes(octets))
}

fn place(at: &HostPort, options: &ScionOptions) -> Result<Place, ScionError> {
    let host: IpAddr = at
        .host
        .parse()
        .ok()
        .filter(|host: &IpAddr| !host.is_unspecified())
        .ok_or_else(|| ScionError::Host(at.host.as_str().into()))?;
    Ok(Place {
        isd_as: options.isd_as,
        host,
        port: at.port,
    })
}

/// The own address that the system would send from to a router.
async fn facing(router: SocketAddr) -> Result<IpAddr, LinkError> {
    let any: SocketAddr = if router.is_ipv4() {
        (std::net::Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    // Connecting a datagram socket sends nothing.
    socket.connect(router).await?;
    Ok(socket.local_addr()?.ip())
}

/// A place where peers' messages come in.
pub(crate) struct ScionListener {
    socket: Arc<UdpSocket>,
    attachment: Arc<Attachment>,
    local: Place,
    options: ScionOptions,
    clock: Arc<dyn Clock>,
}

impl ScionListener {
    pub(crate) async fn bind(
        at: &HostPort,
        options: &ScionOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LinkError> {
        let attachment = ScionDialer::default().attach(options).await?;
        let mut local = place(at, options)?;
        if attachment.isd_as() != local.isd_as {
            return Err(ScionError::OtherAs {
                at: attachment.daemon().into(),
                there: attachment.isd_as(),
                wanted: local.isd_as,
            }
            .into());
        }
        let socket = UdpSocket::bind((local.host, local.port)).await?;
        local.port = socket.local_addr()?.port();
        Ok(Self {
            socket: Arc::new(socket),
            attachment,
            local,
            options: options.clone(),
            clock,
        })
    }

    pub(crate) const fn port(&self) -> u16 {
        self.local.port
    }

    /// Sorts packets by their sender, until nobody waits for links.
    pub(crate) async fn accept(self, slots: Arc<Semaphore>, ready: mpsc::Sender<Accepted>) {
        let mut buffer = vec![0; DATAGRAM_SIZE_MAX].into_boxed_slice();
        let mut peers: BTreeMap<Place, mpsc::Sender<Vec<u8>>> = BTreeMap::new();
        while !ready.is_closed() {
            let received = tokio::select! {
                received = self.socket.recv_from(&mut buffer) => received,
                () = ready.closed() => break,
            };
            let count = match received {
                Ok((count, _)) => count,
                Err(error) => {
                    tracing::debug!(%error, "a packet could not be received");
                    continue;
                }
            };
            let octets = buffer.get(..count).unwrap_or_default();
            let Some(remote) = peer_of(octets) else {
                tracing::debug!(count, "dropped what is no packet of SCION");
                continue;
            };
            let mut octets = octets.to_vec();
            if let Some(peer) = peers.get(&remote) {
                match peer.try_send(octets) {
                    Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => continue,
                    Err(mpsc::error::TrySendError::Closed(unsent)) => octets = unsent,
                }
            }
            peers.retain(|_, peer| !peer.is_closed());
            let Ok(permit) = Arc::clone(&slots).try_acquire_owned() else {
                continue;
            };
            let feed = match self.attachment.paths(remote.isd_as) {
                Ok(feed) => feed,
                Err(error) => {
                    tracing::debug!(%remote, %error, "dropped a packet");
                    continue;
                }
            };
            let Ok(flow) = flow() else { continue };
            let policy = self.options.policy();
            let (peer, packets) = mpsc::channel(PACKETS_MAX);
            drop(peer.try_send(octets));
            peers.insert(remote, peer);
            let link = ScionLink::new(
                Parts {
                    socket: Arc::clone(&self.socket),
                    session: Session::new(Role::Answers, self.local, remote, policy, flow),
                    feed,
                    clock: Arc::clone(&self.clock),
                    attachment: Arc::clone(&self.attachment),
                },
                Source::Listener(packets),
            );
            tokio::spawn(introduce(link, permit, ready.clone()));
        }
    }
}

/// Packets of one peer that may wait; more are dropped.
const PACKETS_MAX: usize = 16;

/// Hands out a link once it is known which paths there are to answer on.
async fn introduce(
    mut link: ScionLink,
    permit: tokio::sync::OwnedSemaphorePermit,
    ready: mpsc::Sender<Accepted>,
) {
    if let Err(error) = link.find_paths().await {
        tracing::warn!(peer = %link.remote(), %error, "nobody there can be answered");
        return;
    }
    let link = Box::new(link);
    drop(ready.send(Accepted { link, permit }).await);
}
