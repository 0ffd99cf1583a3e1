//! Opening a link to an endpoint.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_serial::{SerialPortBuilderExt as _, SerialStream};

use crate::scion::{ScionDialer, ScionPath};
use crate::sctp::SctpLink;
use crate::stream::WrapperStream;
use crate::udp::UdpLink;
use crate::{
    Clock, Endpoint, HostPort, Link, LinkError, Sap, SctpDialer, SerialOptions, hdlc, tls,
};

/// A link that is being opened.
pub type Connecting<'a> =
    Pin<Box<dyn Future<Output = Result<Box<dyn Link>, LinkError>> + Send + 'a>>;

/// The paths to an endpoint, as they are being asked for.
pub type Telling<'a> =
    Pin<Box<dyn Future<Output = Result<Option<Vec<ScionPath>>, LinkError>> + Send + 'a>>;

/// Opens links: through the operating system, or in a simulation.
pub trait Connector: Send + Sync {
    /// Opens a link as [`connect`] does.
    fn connect<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        ends: (Sap, Sap),
        clock: &'a Arc<dyn Clock>,
        limit: Duration,
    ) -> Connecting<'a>;

    /// Tells the paths that there are to an endpoint in SCION, allowed or not;
    /// nothing is sent to it. `None` for one over another network.
    fn paths<'a>(&'a self, endpoint: &'a Endpoint, limit: Duration) -> Telling<'a> {
        let _ = (endpoint, limit);
        Box::pin(async { Ok(None) })
    }
}

/// The operating system's sockets and serial ports. Links over SCTP that leave
/// from the same addresses share their sockets, links over SCION what a daemon
/// tells.
#[derive(Clone, Debug, Default)]
pub struct SystemConnector {
    dialers: Dialers,
}

/// What links of the same transport share.
#[derive(Clone, Debug, Default)]
struct Dialers {
    sctp: SctpDialer,
    scion: ScionDialer,
}

impl SystemConnector {
    /// Names the daemon of the own AS, `HOST:PORT`, for endpoints in SCION that
    /// name none.
    #[must_use]
    pub fn with_scion_daemon(mut self, daemon: Option<String>) -> Self {
        self.dialers.scion.daemon = daemon;
        self
    }
}

impl Connector for SystemConnector {
    fn connect<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        ends: (Sap, Sap),
        clock: &'a Arc<dyn Clock>,
        limit: Duration,
    ) -> Connecting<'a> {
        Box::pin(connect_with(&self.dialers, endpoint, ends, clock, limit))
    }

    fn paths<'a>(&'a self, endpoint: &'a Endpoint, limit: Duration) -> Telling<'a> {
        Box::pin(async move {
            let Endpoint::Scion(_, options) = endpoint else {
                return Ok(None);
            };
            let told = tokio::time::timeout(limit, self.dialers.scion.paths(options));
            let told = told.await.unwrap_or(Err(LinkError::Timeout {
                phase: "asking for paths",
                seconds: limit.as_secs(),
            }));
            told.map(Some)
        })
    }
}

/// Opens a link to `endpoint` between the client's and the server's SAP, which
/// takes at most `limit`. Where the transport tells many ends apart, the link
/// carries messages between others too.
///
/// # Errors
/// Why there is no link: an unknown host, nobody who listens, TLS that one
/// side refuses, silence for longer than `limit`.
pub async fn connect(
    endpoint: &Endpoint,
    ends: (Sap, Sap),
    clock: &Arc<dyn Clock>,
    limit: Duration,
) -> Result<Box<dyn Link>, LinkError> {
    connect_with(&Dialers::default(), endpoint, ends, clock, limit).await
}

async fn connect_with(
    dialers: &Dialers,
    endpoint: &Endpoint,
    ends: (Sap, Sap),
    clock: &Arc<dyn Clock>,
    limit: Duration,
) -> Result<Box<dyn Link>, LinkError> {
    tokio::time::timeout(limit, open(dialers, endpoint, ends, clock))
        .await
        .unwrap_or_else(|_| {
            Err(LinkError::Timeout {
                phase: "connecting",
                seconds: limit.as_secs(),
            })
        })
}

async fn open(
    dialers: &Dialers,
    endpoint: &Endpoint,
    ends: (Sap, Sap),
    clock: &Arc<dyn Clock>,
) -> Result<Box<dyn Link>, LinkError> {
    let peer = endpoint.to_string();
    Ok(match endpoint {
        Endpoint::Tcp(at) => Box::new(WrapperStream::new(tcp(at).await?, peer)),
        Endpoint::Tls(at, options) => {
            let (config, name) = tls::client(at, options, tls::ALL)?;
            let stream = TlsConnector::from(config)
                .connect(name, tcp(at).await?)
                .await
                .map_err(|error| tls::failed(&error))?;
            Box::new(WrapperStream::new(stream, format!("tls://{at}")))
        }
        Endpoint::Udp(at) => {
            let remote = resolve(at).await?;
            let local: SocketAddr = if remote.is_ipv4() {
                (std::net::Ipv4Addr::UNSPECIFIED, 0).into()
            } else {
                (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
            };
            let socket = UdpSocket::bind(local).await?;
            socket.connect(remote).await?;
            Box::new(UdpLink::connected(socket, remote))
        }
        Endpoint::HdlcTcp(at, options) => {
            hdlc::open(tcp(at).await?, peer, ends, *options, Arc::clone(clock)).await?
        }
        Endpoint::Sctp(..) | Endpoint::Sctps(..) => Box::new(SctpLink::new(
            dialers.sctp.connect(endpoint, clock).await?,
            peer,
        )),
        Endpoint::Scion(at, options) => Box::new(dialers.scion.connect(at, options, clock).await?),
        Endpoint::Serial(port, options) => {
            hdlc::open(serial(port)?, peer, ends, *options, Arc::clone(clock)).await?
        }
    })
}

async fn tcp(at: &HostPort) -> Result<TcpStream, LinkError> {
    let stream = TcpStream::connect((at.host.as_str(), at.port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn resolve(at: &HostPort) -> Result<SocketAddr, LinkError> {
    lookup_host((at.host.as_str(), at.port))
        .await?
        .next()
        .ok_or_else(|| {
            LinkError::Io(std::io::Error::new(
                std::io::ErrorKind::NotFound,
                "the host has no address",
            ))
        })
}

/// Opens a serial port: 8 data bits, no parity, one stop bit.
pub(crate) fn serial(port: &SerialOptions) -> Result<SerialStream, LinkError> {
    let path = port.path.to_string_lossy();
    let stream = tokio_serial::new(path, port.baud)
        .open_native_async()
        .map_err(|error| LinkError::Io(error.into()))?;
    Ok(stream)
}
