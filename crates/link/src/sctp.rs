//! SCTP between two programs: associations over several paths, with a stream
//! for each message class.
//!
//! | payload protocol identifier | what a message is |
//! |---|---|
//! | [`PPID_DLMS`] | one APDU behind the wrapper's eight octets (IEC 62056-47): version 1, source SAP, destination SAP, length |
//! | [`PPID_XML`] | one of the five XML messages, octet for octet as its figure shows |
//! | [`PPID_ENVELOPE`] | an order that is signed |
//! | [`PPID_TLS`] | one TLS record of the stream's pair (RFC 3436) |
//! | [`PPID_OPEN`] | one octet: the acceptor asks for TLS on this stream |
//!
//! The stream tells the class ([`Treatment`]). IANA's registry has no
//! identifier for DLMS; these are our own, "GW" and a number. The wrapper
//! stays, though SCTP keeps messages apart by itself: it carries the SAPs, and
//! whatever routes or reads wrapped APDUs works as it does behind TCP and UDP.
//!
//! Each class has a queue of its own, bounded by messages and octets, and the
//! most urgent queue goes first, fragment by fragment where both sides
//! interleave (RFC 8260): usage data can neither refuse nor hold up a control
//! message.

mod driver;
mod handle;
#[cfg(all(feature = "kernel-sctp", target_os = "linux"))]
mod kernel;
mod link;
mod socket;
mod tls;

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use model::MessageClass;
use sctp::{
    AuthConfig, Config, Connect, ConnectError, Counters, Encapsulation, Endpoint as Machine,
    EndpointConfig, PathState, PathStatus, Scheduler,
};
use tokio::sync::broadcast;

pub use driver::SctpTotals;
pub(crate) use link::SctpLink;

use crate::endpoint::HOSTS_MAX;
use crate::{
    Clock, Endpoint, Entropy as _, HostPort, LinkError, SctpBackend, SctpOptions, SctpOver,
    SctpPace, SystemEntropy, TlsOptions,
};
use driver::{Hold, Shared, drive};
use handle::Handle;
use tls::Tls;

/// A wrapped APDU.
pub const PPID_DLMS: u32 = 0x4757_0001;
/// One of the five XML messages.
pub const PPID_XML: u32 = 0x4757_0002;
/// An order that is signed.
pub const PPID_ENVELOPE: u32 = 0x4757_0003;
/// A TLS record.
pub const PPID_TLS: u32 = 0x4757_0004;
/// The acceptor's wish for TLS on a stream.
pub const PPID_OPEN: u32 = 0x4757_0005;

/// Octets of the longest message.
pub const MESSAGE_LEN_MAX: usize = 256 * 1_024;

/// Octets that may wait in the queue of one class.
const CLASS_OCTETS_MAX: usize = 2 * MESSAGE_LEN_MAX;

/// Messages that may wait in the queue of one class.
const CLASS_MESSAGES_MAX: usize = 256;

/// Octets that may wait to be fetched, of all classes of an association.
const RECEIVE_OCTETS_MAX: usize = 2 * MESSAGE_LEN_MAX;

/// Heartbeats that one endpoint sends in a second, all associations and paths
/// taken together.
///
/// With `n` idle associations of `p` paths each the interval is the larger of
/// what is configured (30 s for who connects) and `n × p / 2,000` seconds: one
/// hundred thousand meters on two paths are asked every 100 s. A meter asks by
/// itself every 120 s: 1,667 more in a second, together under 4,000.
pub const HEARTBEATS_PER_SECOND_MAX: u32 = 2_000;

/// Seconds between heartbeats of who connects, of who listens.
const HEARTBEATS: (u32, u32) = (30, 120);

/// Chunks that an association with keys takes only authenticated (RFC 4895).
/// Not ABORT: a peer that lost its state has no key to tell so.
const AUTHENTICATED: &[u8] = {
    use sctp::chunk::kind;
    &[
        kind::DATA,
        kind::SACK,
        kind::HEARTBEAT,
        kind::HEARTBEAT_ACK,
        kind::SHUTDOWN,
        kind::SHUTDOWN_ACK,
        kind::I_DATA,
        kind::RE_CONFIG,
        kind::FORWARD_TSN,
        kind::I_FORWARD_TSN,
    ]
};

/// First of the ports that are free to use (RFC 6335); who connects has one
/// of these by chance.
const EPHEMERAL_PORTS: std::ops::Range<u32> = 49_152..65_536;

/// A message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The class that its stream tells.
    pub class: MessageClass,
    /// Payload protocol identifier.
    pub protocol: u32,
    /// The message.
    pub payload: Bytes,
}

/// Something that happened to an association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SctpEvent {
    /// A path came, went or came back.
    Path {
        /// The peer's address.
        remote: IpAddr,
        /// What it is now.
        state: PathState,
    },
    /// Data goes another way from now on.
    Failover {
        /// The peer's address that it went to.
        from: IpAddr,
        /// The peer's address that it goes to.
        to: IpAddr,
    },
}

/// What an association is like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SctpStatus {
    /// Its paths.
    pub paths: Vec<PathStatus>,
    /// What it did so far.
    pub counters: Counters,
    /// What its classes did, most urgent first.
    pub classes: [ClassFigures; MessageClass::ALL.len()],
}

/// What one class of an association did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassFigures {
    /// Messages taken.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Messages refused because its queue was full.
    pub refused: u64,
    /// Messages that wait.
    pub waiting: usize,
    /// Messages that were handed to the network as a whole.
    pub gone: u64,
    /// How long these waited, from hand-in until the last octet went out, all
    /// added up.
    pub waited: Duration,
    /// How long the one waited that waited longest.
    pub waited_max: Duration,
}

impl ClassFigures {
    fn waited(&mut self, waited: Duration) {
        self.gone += 1;
        self.waited = self.waited.saturating_add(waited);
        self.waited_max = self.waited_max.max(waited);
    }
}

/// An SCTP endpoint with its sockets: what associations are made from, or come
/// in at.
pub struct SctpSocket {
    source: Source,
    local: Vec<IpAddr>,
    over: SctpOver,
    port: u16,
    udp_port: u16,
    tls: Option<tls::Acceptor>,
}

/// Who makes associations.
enum Source {
    Own(Hold),
    #[cfg(all(feature = "kernel-sctp", target_os = "linux"))]
    Kernel(Box<kernel::Listener>),
}

impl SctpSocket {
    /// Opens an endpoint where associations come in. SCTP's port 0 takes one
    /// by chance, UDP's port 0 lets the system choose.
    ///
    /// # Errors
    /// An address that is not this machine's, a port that is taken, no right
    /// to open raw sockets, a certificate that cannot be used, no SCTP in the
    /// kernel where that is asked for.
    pub async fn listen(
        endpoint: &Endpoint,
        associations_max: usize,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, LinkError> {
        let (at, options, tls) = parts(endpoint)?;
        let tls = tls.map(tls::Acceptor::new).transpose()?;
        let mut locals = Vec::new();
        for host in std::iter::once(&at.host).chain(&options.others) {
            locals.push(resolve(host).await?);
        }
        let port = if at.port == 0 { any_port()? } else { at.port };
        let config = config(options, HEARTBEATS.1, tls.is_some());
        if options.backend == SctpBackend::Kernel {
            let listened = (locals, port, config);
            return Self::listen_kernel(listened, options.over, tls, associations_max, clock);
        }
        let endpoint = EndpointConfig {
            associations_max,
            ..endpoint_config(port, locals, options.over, config)
        };
        Self::open(endpoint, options.over, tls, clock)
    }

    #[cfg(all(feature = "kernel-sctp", target_os = "linux"))]
    fn listen_kernel(
        (local, port, config): (Vec<IpAddr>, u16, Config),
        over: SctpOver,
        tls: Option<tls::Acceptor>,
        associations_max: usize,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, LinkError> {
        let (listener, udp_port) =
            kernel::Listener::listen(&local, port, over, config, associations_max, clock)?;
        Ok(Self {
            source: Source::Kernel(Box::new(listener)),
            local,
            over,
            port,
            udp_port,
            tls,
        })
    }

    #[cfg(not(all(feature = "kernel-sctp", target_os = "linux")))]
    fn listen_kernel(
        _: (Vec<IpAddr>, u16, Config),
        _: SctpOver,
        _: Option<tls::Acceptor>,
        _: usize,
        _: &Arc<dyn Clock>,
    ) -> Result<Self, LinkError> {
        Err(NO_KERNEL)
    }

    /// Opens an endpoint that associations are made from, at these addresses.
    fn dial(
        locals: Vec<IpAddr>,
        over: SctpOver,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, LinkError> {
        let over = match over {
            SctpOver::Udp(_) => SctpOver::Udp(0),
            SctpOver::Ip => SctpOver::Ip,
        };
        let endpoint = EndpointConfig {
            accept: false,
            ..endpoint_config(any_port()?, locals, over, Config::default())
        };
        Self::open(endpoint, over, None, clock)
    }

    fn open(
        mut config: EndpointConfig,
        over: SctpOver,
        tls: Option<tls::Acceptor>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, LinkError> {
        let (sockets, udp_port) = socket::bind(&config.addresses, over)?;
        let local = config.addresses.clone();
        // Any address is none that a peer could send to.
        config.advertise = !local.iter().any(IpAddr::is_unspecified);
        let (accept, port) = (config.accept, config.port);
        let now = sctp::Instant::from_micros(clock.now().as_micros());
        let machine = Machine::new(config, Box::new(SystemRandom::new()?), now);
        let shared = Shared::new(machine, accept, Arc::clone(clock));
        let hold = shared.hold();
        tokio::spawn(drive(shared, sockets));
        Ok(Self {
            source: Source::Own(hold),
            local,
            over,
            port,
            udp_port,
            tls,
        })
    }

    /// Tells SCTP's port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Tells the UDP port; 0 over IP.
    #[must_use]
    pub const fn udp_port(&self) -> u16 {
        self.udp_port
    }

    /// Waits for the next association. Where it is to be protected, see
    /// [`SctpAssociation::secure`].
    ///
    /// # Errors
    /// Where the endpoint is over.
    pub async fn accept(&self) -> Result<SctpAssociation, LinkError> {
        let handle = match &self.source {
            Source::Own(hold) => Handle::Own(poll_fn(|cx| hold.poll_accept(cx)).await?),
            #[cfg(all(feature = "kernel-sctp", target_os = "linux"))]
            Source::Kernel(listener) => Handle::Kernel(listener.accept().await?),
        };
        Ok(SctpAssociation {
            tls: self.tls.as_ref().map(|acceptor| Box::new(acceptor.tls())),
            handle,
            socket: None,
        })
    }

    /// Stops accepting; associations that stand go on.
    pub fn refuse(&self) {
        match &self.source {
            Source::Own(hold) => hold.refuse(),
            #[cfg(all(feature = "kernel-sctp", target_os = "linux"))]
            Source::Kernel(listener) => listener.refuse(),
        }
    }

    async fn connect(
        &self,
        connect: &Connect,
        name: &str,
        tls: Option<Box<Tls>>,
    ) -> Result<SctpAssociation, ConnectFailure> {
        let hold = match &self.source {
            Source::Own(hold) => hold,
            #[cfg(all(feature = "kernel-sctp", target_os = "linux"))]
            Source::Kernel(_) => return Err(ConnectFailure::Elsewhere),
        };
        let handle = hold
            .connect(connect, name.to_owned())
            .map_err(|error| match error {
                ConnectError::Exists | ConnectError::TooMany => ConnectFailure::Elsewhere,
                _ => ConnectFailure::Link(LinkError::DataLink(
                    "no own address is of the same family as its addresses",
                )),
            })?;
        poll_fn(|cx| handle.poll_established(cx)).await?;
        let mut association = SctpAssociation {
            handle: Handle::Own(handle),
            tls,
            socket: None,
        };
        association.secure().await?;
        Ok(association)
    }
}

impl Drop for SctpSocket {
    fn drop(&mut self) {
        self.refuse();
    }
}

/// What a program is told whose SCTP is its own only.
#[cfg(not(all(feature = "kernel-sctp", target_os = "linux")))]
const NO_KERNEL: LinkError =
    LinkError::Unsupported("the kernel's SCTP, which this program was built without");

/// Makes an association through the kernel.
#[cfg(all(feature = "kernel-sctp", target_os = "linux"))]
async fn connect_kernel(
    locals: &[IpAddr],
    connect: &Connect,
    over: SctpOver,
    tls: Option<Box<Tls>>,
    clock: &Arc<dyn Clock>,
) -> Result<SctpAssociation, LinkError> {
    let remotes = &connect.addresses;
    let config = &connect.config;
    let handle = kernel::connect(locals, remotes, connect.port, over, config, clock).await?;
    let mut association = SctpAssociation {
        handle: Handle::Kernel(handle),
        tls,
        socket: None,
    };
    association.secure().await?;
    Ok(association)
}

#[cfg(not(all(feature = "kernel-sctp", target_os = "linux")))]
async fn connect_kernel(
    _: &[IpAddr],
    _: &Connect,
    _: SctpOver,
    _: Option<Box<Tls>>,
    _: &Arc<dyn Clock>,
) -> Result<SctpAssociation, LinkError> {
    Err(NO_KERNEL)
}

/// Why a socket makes no association.
enum ConnectFailure {
    /// Another one can.
    Elsewhere,
    Link(LinkError),
}

impl From<LinkError> for ConnectFailure {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

/// The sockets that associations are made from, shared by all that leave from
/// the same addresses: a head end has one socket for each of its addresses,
/// however many meters it asks.
#[derive(Clone, Default)]
pub struct SctpDialer {
    sockets: Arc<Mutex<Vec<Weak<SctpSocket>>>>,
}

impl std::fmt::Debug for SctpDialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SctpDialer").finish_non_exhaustive()
    }
}

impl SctpDialer {
    /// Makes an association with the peer that an `sctp://` or `sctps://` URL
    /// names.
    ///
    /// # Errors
    /// No such host, no answer, no right to open raw sockets, TLS that one
    /// side refuses.
    pub async fn connect(
        &self,
        endpoint: &Endpoint,
        clock: &Arc<dyn Clock>,
    ) -> Result<SctpAssociation, LinkError> {
        let (at, options, tls) = parts(endpoint)?;
        let mut tls = match tls {
            Some(tls) => Some(Box::new(Tls::client(at, tls)?)),
            None => None,
        };
        let mut addresses = Vec::new();
        for host in std::iter::once(&at.host).chain(&options.others) {
            addresses.push(resolve(host).await?);
        }
        let mut locals = options.local.clone();
        if locals.is_empty() {
            for address in &addresses {
                let local = socket::source(*address)?;
                if !locals.contains(&local) {
                    locals.push(local);
                }
            }
        }
        locals.truncate(HOSTS_MAX);
        let config = config(options, HEARTBEATS.0, tls.is_some());
        let connect = Connect {
            addresses,
            port: at.port,
            udp_port: match options.over {
                SctpOver::Udp(port) => Some(port),
                SctpOver::Ip => None,
            },
            config,
            auth_keys: Vec::new(),
        };
        if options.backend == SctpBackend::Kernel {
            return connect_kernel(&locals, &connect, options.over, tls, clock).await;
        }
        for socket in self.known(&locals, options.over) {
            match socket
                .connect(&connect, &endpoint.to_string(), tls.take())
                .await
            {
                Ok(mut association) => {
                    association.socket = Some(socket);
                    return Ok(association);
                }
                Err(ConnectFailure::Elsewhere) => {
                    tls = match parts(endpoint)?.2 {
                        Some(options) => Some(Box::new(Tls::client(at, options)?)),
                        None => None,
                    };
                }
                Err(ConnectFailure::Link(error)) => return Err(error),
            }
        }
        let socket = Arc::new(SctpSocket::dial(locals, options.over, clock)?);
        self.lock().push(Arc::downgrade(&socket));
        let made = socket.connect(&connect, &endpoint.to_string(), tls).await;
        match made {
            Ok(mut association) => {
                association.socket = Some(socket);
                Ok(association)
            }
            Err(ConnectFailure::Link(error)) => Err(error),
            Err(ConnectFailure::Elsewhere) => Err(LinkError::Closed),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<SctpSocket>>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sockets that leave from these addresses.
    fn known(&self, locals: &[IpAddr], over: SctpOver) -> Vec<Arc<SctpSocket>> {
        let mut sockets = self.lock();
        sockets.retain(|socket| socket.strong_count() > 0);
        let alike = |socket: &Arc<SctpSocket>| {
            socket.local == locals && (socket.over == SctpOver::Ip) == (over == SctpOver::Ip)
        };
        sockets
            .iter()
            .filter_map(Weak::upgrade)
            .filter(alike)
            .collect()
    }
}

/// One association, with or without TLS.
///
/// What waits in its queues is delivered when it is dropped, for 10 seconds;
/// then it is aborted.
pub struct SctpAssociation {
    handle: Handle,
    tls: Option<Box<Tls>>,
    /// The socket that it was made from, which others may share; kept so that
    /// they find it.
    socket: Option<Arc<SctpSocket>>,
}

impl SctpAssociation {
    /// Drives TLS until both sides have proved who they are and the packets
    /// are authenticated with a key that only they have. Does nothing where
    /// the endpoint is not protected.
    ///
    /// # Errors
    /// What one side refuses, or the end of the association.
    pub async fn secure(&mut self) -> Result<(), LinkError> {
        poll_fn(|cx| match &mut self.tls {
            Some(tls) => tls.poll_secured(&self.handle, cx),
            None => Poll::Ready(Ok(())),
        })
        .await
    }

    /// Puts a message into the queue of its class.
    ///
    /// # Errors
    /// [`LinkError::Full`] where that queue is, [`LinkError::TooLong`] above
    /// [`MESSAGE_LEN_MAX`], else the end of the association.
    pub fn send(
        &mut self,
        class: MessageClass,
        protocol: u32,
        payload: Bytes,
    ) -> Result<(), LinkError> {
        if payload.len() > MESSAGE_LEN_MAX {
            return Err(LinkError::TooLong {
                length: payload.len(),
                max: MESSAGE_LEN_MAX,
            });
        }
        match &mut self.tls {
            Some(tls) => tls.send(&self.handle, class, protocol, payload),
            None => self.handle.send(class, protocol, payload),
        }
    }

    /// Sends a wrapped APDU that DLMS itself has ciphered and authenticated,
    /// outside TLS: it is delivered as soon as it arrives, whatever was sent
    /// before, and given up after `lifetime`, where both sides have partial
    /// reliability.
    ///
    /// # Errors
    /// [`LinkError::Unsupported`] for anything else, [`LinkError::Full`] where
    /// the class's queue is, else the end of the association.
    pub fn send_sealed(
        &mut self,
        class: MessageClass,
        wrapped: Bytes,
        lifetime: Duration,
    ) -> Result<(), LinkError> {
        if !tls::is_sealed(&wrapped) {
            return Err(LinkError::Unsupported(
                "unordered delivery of what is not ciphered by itself",
            ));
        }
        self.handle
            .send_for(class, PPID_DLMS, wrapped, Some(lifetime))
    }

    /// Drives the association until its queues are empty.
    ///
    /// # Errors
    /// The end of the association.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        match &mut self.tls {
            Some(tls) => tls.poll_flush(&self.handle, cx),
            None => self.handle.poll_flush(cx),
        }
    }

    /// Drives the association until a class that refused a message
    /// ([`LinkError::Full`]) takes one again; with TLS, until all that waits was
    /// handed to the network.
    ///
    /// # Errors
    /// The end of the association.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        match &mut self.tls {
            Some(tls) => tls.poll_flush(&self.handle, cx),
            None => self.handle.poll_room(cx),
        }
    }

    /// Drives the association until a message has arrived.
    ///
    /// # Errors
    /// The end of the association.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, LinkError>> {
        match &mut self.tls {
            Some(tls) => tls.poll_receive(&self.handle, cx),
            None => self.handle.poll_receive(cx),
        }
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// The end of the association.
    pub async fn receive(&mut self) -> Result<Received, LinkError> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// Waits until a class that refused a message takes one again.
    ///
    /// # Errors
    /// The end of the association.
    pub async fn room(&mut self) -> Result<(), LinkError> {
        poll_fn(|cx| self.poll_room(cx)).await
    }

    /// Waits until all queues are empty.
    ///
    /// # Errors
    /// The end of the association.
    pub async fn flush(&mut self) -> Result<(), LinkError> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Delivers what waits and shuts the association down.
    ///
    /// # Errors
    /// The end of the association before that.
    pub async fn close(&mut self) -> Result<(), LinkError> {
        self.flush().await?;
        poll_fn(|cx| self.handle.poll_close(cx)).await
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        std::task::ready!(self.poll_flush(cx))?;
        self.handle.poll_close(cx)
    }

    /// Tells what happens to its paths from now on. An observer that does not
    /// keep up misses the oldest.
    #[must_use]
    pub fn observe(&self) -> broadcast::Receiver<SctpEvent> {
        self.handle.observe()
    }

    /// Tells what it is like.
    #[must_use]
    pub fn status(&self) -> SctpStatus {
        self.handle.status()
    }

    /// Tells who is at the other end, for people.
    #[must_use]
    pub fn peer(&self) -> String {
        self.handle.name()
    }

    /// Returns the peer's certificate in DER form, once TLS has verified it.
    #[must_use]
    pub fn peer_certificate(&self) -> Option<Vec<u8>> {
        self.tls.as_ref()?.peer_certificate()
    }

    /// Tells how TLS came up on the stream of a class: `None` without TLS or
    /// before it was used, else whether by a ticket of the first.
    #[must_use]
    pub fn resumed(&self, class: MessageClass) -> Option<bool> {
        self.tls.as_ref()?.resumed(class)
    }
}

/// The parts of an endpoint that SCTP needs.
fn parts(endpoint: &Endpoint) -> Result<(&HostPort, &SctpOptions, Option<&TlsOptions>), LinkError> {
    match endpoint {
        Endpoint::Sctp(at, options) => Ok((at, options, None)),
        Endpoint::Sctps(at, options, tls) => Ok((at, options, Some(tls))),
        _ => Err(LinkError::Unsupported("a transport other than SCTP")),
    }
}

async fn resolve(host: &str) -> Result<IpAddr, LinkError> {
    let found = tokio::net::lookup_host((host, 0)).await?.next();
    found.map(|at| at.ip()).ok_or_else(|| {
        LinkError::Io(std::io::Error::new(
            std::io::ErrorKind::NotFound,
            "the host has no address",
        ))
    })
}

fn any_port() -> Result<u16, LinkError> {
    let mut octets = [0; 4];
    SystemEntropy.fill(&mut octets)?;
    let count = EPHEMERAL_PORTS.end - EPHEMERAL_PORTS.start;
    let port = EPHEMERAL_PORTS.start + u32::from_be_bytes(octets) % count;
    Ok(u16::try_from(port).unwrap_or(u16::MAX))
}

fn config(options: &SctpOptions, heartbeat: u32, protected: bool) -> Config {
    let base = match options.pace {
        SctpPace::Standard => Config::default(),
        SctpPace::Fast => Config::fast(),
    };
    Config {
        heartbeat_interval: Duration::from_secs(u64::from(options.heartbeat.unwrap_or(heartbeat))),
        receive_buffer_max: RECEIVE_OCTETS_MAX,
        message_len_max: MESSAGE_LEN_MAX,
        stream_buffer_max: CLASS_OCTETS_MAX,
        stream_messages_max: CLASS_MESSAGES_MAX,
        scheduler: Scheduler::Priority,
        auth: protected.then(|| AuthConfig {
            chunks: AUTHENTICATED.to_vec(),
            required: true,
        }),
        ..base
    }
}

fn endpoint_config(
    port: u16,
    addresses: Vec<IpAddr>,
    over: SctpOver,
    association: Config,
) -> EndpointConfig {
    EndpointConfig {
        encapsulation: match over {
            SctpOver::Udp(_) => Encapsulation::Udp {
                remote_port: sctp::UDP_PORT,
            },
            SctpOver::Ip => Encapsulation::Ip,
        },
        heartbeats_per_second_max: Some(HEARTBEATS_PER_SECOND_MAX),
        association,
        ..EndpointConfig::new(port, addresses)
    }
}

/// The system's random octets for the machine, which takes them one by one: a
/// block is fetched ahead, so that the one failure there can be is told when
/// the socket opens.
struct SystemRandom {
    block: zeroize::Zeroizing<[u8; 256]>,
    used: usize,
}

impl SystemRandom {
    fn new() -> Result<Self, LinkError> {
        let mut block = zeroize::Zeroizing::new([0; 256]);
        SystemEntropy.fill(block.as_mut_slice())?;
        Ok(Self { block, used: 0 })
    }
}

impl sctp::Entropy for SystemRandom {
    fn fill(&mut self, octets: &mut [u8]) {
        for octet in octets {
            if self.used >= self.block.len() {
                // After the first block the system's source does not fail: it
                // has been seeded.
                SystemEntropy
                    .fill(self.block.as_mut_slice())
                    .unwrap_or_else(|error| tracing::error!(%error, "no random octets"));
                self.used = 0;
            }
            *octet = self.block.get(self.used).copied().unwrap_or(0);
            self.used += 1;
        }
    }
}
