//! Where a peer is and how it is reached, as one URL.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use dlms::client::{Config, Repeat};

use crate::scion::{REPEATS_MAX, SCION_PDU_LEN_MAX, ScionOptions};

/// The port that IANA registers for DLMS/COSEM over TCP and UDP.
pub const DLMS_PORT: u16 = 4059;

/// A peer's address: scheme, place and options.
///
/// | form | transport |
/// |---|---|
/// | `tcp://HOST[:4059]` | wrapper over TCP |
/// | `udp://HOST[:4059]` | wrapper over UDP |
/// | `tls://HOST[:4059]?ca=FILE&cert=FILE&key=FILE&name=NAME` | wrapper over TLS |
/// | `hdlc+tcp://HOST[:4059]` | HDLC over TCP |
/// | `serial:///dev/ttyUSB0?baud=9600` | HDLC over a serial port |
/// | `sctp://HOST[,HOST…][:4059]?udp=9899&local=ADDRESS,…` | wrapper over SCTP with a stream for each class |
/// | `sctps://…?ca=FILE&cert=FILE&key=FILE&name=NAME` | the same, protected by TLS |
/// | `scion://[ISD-AS,ADDRESS][:4059]?daemon=HOST:PORT&fence=ACL&pattern=HOPS&local=ADDRESS` | wrapper over SCION/UDP |
///
/// The HDLC forms take `address=N` (the physical device, the server's lower
/// address), `window=1..7`, `info=N` (octets of information in a frame) and
/// `width=1|2|4` (octets of a server address).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Wrapper over TCP.
    Tcp(HostPort),
    /// Wrapper over UDP.
    Udp(HostPort),
    /// Wrapper over TLS over TCP.
    Tls(HostPort, TlsOptions),
    /// HDLC over TCP.
    HdlcTcp(HostPort, HdlcOptions),
    /// HDLC over a serial port.
    Serial(SerialOptions, HdlcOptions),
    /// Wrapper over SCTP. The place is the first address and SCTP's port.
    Sctp(HostPort, SctpOptions),
    /// Wrapper over SCTP, protected by TLS.
    Sctps(HostPort, SctpOptions, TlsOptions),
    /// Wrapper over SCION/UDP. The host is one in the options' AS.
    Scion(HostPort, ScionOptions),
}

/// What an SCTP endpoint has beside its first address and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SctpOptions {
    /// The peer's other hosts; of a listener, its own other addresses.
    pub others: Vec<String>,
    /// Own addresses to connect from; empty for those that the system chooses
    /// for each of the peer's.
    pub local: Vec<std::net::IpAddr>,
    /// Who speaks SCTP.
    pub backend: SctpBackend,
    /// What carries the packets.
    pub over: SctpOver,
    /// Which times of retransmission are used.
    pub pace: SctpPace,
    /// Seconds between heartbeats on an idle path, 1 to 86,400; none: 30 for
    /// who connects, 120 for who listens.
    pub heartbeat: Option<u32>,
}

impl Default for SctpOptions {
    fn default() -> Self {
        Self {
            others: Vec::new(),
            local: Vec::new(),
            backend: SctpBackend::Own,
            over: SctpOver::Udp(sctp::UDP_PORT),
            pace: SctpPace::Standard,
            heartbeat: None,
        }
    }
}

/// Who speaks SCTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SctpBackend {
    /// The crate `sctp`, in UDP unless it is said otherwise.
    Own,
    /// The Linux kernel, where it has it and this program was built with the
    /// feature `kernel-sctp`; in IP unless it is said otherwise.
    Kernel,
}

impl SctpBackend {
    /// What carries packets where a URL does not say.
    const fn over(self) -> SctpOver {
        match self {
            Self::Own => SctpOver::Udp(sctp::UDP_PORT),
            Self::Kernel => SctpOver::Ip,
        }
    }
}

/// What carries SCTP packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SctpOver {
    /// UDP (RFC 6951), with the peer's port, of a listener its own; 0 only
    /// where a listener lets the system choose.
    Udp(u16),
    /// IP, protocol 132. Takes the right to open raw sockets.
    Ip,
}

/// The times of retransmission of an SCTP association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SctpPace {
    /// Those of RFC 9260: any network.
    Standard,
    /// For networks with round trips under 100 ms, on both sides: a path is
    /// given up in 100 ms to 300 ms.
    Fast,
}

/// A host's name or address and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// 1 to 65,535; 0 only where a listener lets the system choose.
    pub port: u16,
}

/// What a TLS endpoint needs beside its address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// PEM file of the authorities that may have signed the peer's certificate.
    pub ca: Option<PathBuf>,
    /// PEM file of the own certificate and those above it.
    pub cert: Option<PathBuf>,
    /// PEM file of the own private key.
    pub key: Option<PathBuf>,
    /// The name that the peer's certificate must hold, where it is not the host.
    pub name: Option<String>,
}

/// HDLC's parameters of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HdlcOptions {
    /// The server's lower address (the physical device); none: the address
    /// holds the logical device alone.
    pub address: Option<u16>,
    /// Octets of a server address: 1, 2 or 4; none: the fewest that hold it.
    pub width: Option<u8>,
    /// Frames under way before an acknowledgement, 1 to 7.
    pub window: u8,
    /// Octets of information in a frame, 32 to 2,030.
    pub info: u16,
}

impl Default for HdlcOptions {
    fn default() -> Self {
        Self {
            address: None,
            width: None,
            window: 1,
            info: 128,
        }
    }
}

/// A serial port's parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialOptions {
    /// The device file.
    pub path: PathBuf,
    /// Bits a second, 300 to 4,000,000; 8 data bits, no parity, one stop bit.
    pub baud: u32,
}

impl Endpoint {
    /// Tells the scheme, as it stands before `://`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Udp(_) => "udp",
            Self::Tls(..) => "tls",
            Self::HdlcTcp(..) => "hdlc+tcp",
            Self::Serial(..) => "serial",
            Self::Sctp(..) => "sctp",
            Self::Sctps(..) => "sctps",
            Self::Scion(..) => "scion",
        }
    }

    /// Tells host and port, where the endpoint has them.
    #[must_use]
    pub const fn host_port(&self) -> Option<&HostPort> {
        match self {
            Self::Tcp(at)
            | Self::Udp(at)
            | Self::Tls(at, _)
            | Self::HdlcTcp(at, _)
            | Self::Sctp(at, _)
            | Self::Sctps(at, ..)
            | Self::Scion(at, _) => Some(at),
            Self::Serial(..) => None,
        }
    }

    /// Puts another port in place, where the endpoint has one.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        if let Some(at) = self.host_port_mut() {
            at.port = port;
        }
        self
    }

    /// Puts another host in place, where the endpoint has one.
    #[must_use]
    pub fn with_host(mut self, host: &str) -> Self {
        if let Some(at) = self.host_port_mut() {
            host.clone_into(&mut at.host);
        }
        self
    }

    const fn host_port_mut(&mut self) -> Option<&mut HostPort> {
        match self {
            Self::Tcp(at)
            | Self::Udp(at)
            | Self::Tls(at, _)
            | Self::HdlcTcp(at, _)
            | Self::Sctp(at, _)
            | Self::Sctps(at, ..)
            | Self::Scion(at, _) => Some(at),
            Self::Serial(..) => None,
        }
    }

    /// Tells what an SCTP endpoint has beside its place.
    #[must_use]
    pub const fn sctp(&self) -> Option<&SctpOptions> {
        match self {
            Self::Sctp(_, options) | Self::Sctps(_, options, _) => Some(options),
            _ => None,
        }
    }

    /// Puts another UDP port in place, where SCTP goes over UDP.
    #[must_use]
    pub fn with_udp_port(mut self, port: u16) -> Self {
        if let Self::Sctp(_, options) | Self::Sctps(_, options, _) = &mut self
            && let SctpOver::Udp(known) = &mut options.over
        {
            *known = port;
        }
        self
    }

    /// Tells whether octets can be lost on the way, so that requests are
    /// worth repeating.
    #[must_use]
    pub const fn loses_messages(&self) -> bool {
        matches!(self, Self::Udp(_) | Self::Scion(..))
    }

    /// Tells what a SCION endpoint has beside its place.
    #[must_use]
    pub const fn scion_mut(&mut self) -> Option<&mut ScionOptions> {
        match self {
            Self::Scion(_, options) => Some(options),
            _ => None,
        }
    }

    /// Suits a client's configuration to the transport: what may be repeated
    /// where messages are lost, and how long they may be.
    pub const fn suit(&self, config: &mut Config, repeat: Repeat) {
        if self.loses_messages() && matches!(config.repeat, Repeat::Nothing) {
            config.repeat = repeat;
        }
        if matches!(self, Self::Scion(..)) {
            if config.pdu_len_max > SCION_PDU_LEN_MAX {
                config.pdu_len_max = SCION_PDU_LEN_MAX;
            }
            if config.send_len_max > SCION_PDU_LEN_MAX {
                config.send_len_max = SCION_PDU_LEN_MAX;
            }
            if config.repeats_max < REPEATS_MAX {
                config.repeats_max = REPEATS_MAX;
            }
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut query = Query::default();
        match self {
            Self::Tcp(at) | Self::Udp(at) => write!(f, "{}://{at}", self.scheme())?,
            Self::Tls(at, options) => {
                write!(f, "tls://{at}")?;
                query.tls(options);
            }
            Self::Sctp(at, options) => {
                write!(f, "sctp://{}", options.place(at))?;
                query.sctp(options);
            }
            Self::Sctps(at, options, tls) => {
                write!(f, "sctps://{}", options.place(at))?;
                query.sctp(options);
                query.tls(tls);
            }
            Self::Scion(at, options) => {
                write!(f, "scion://{}", options.place(at))?;
                options.put(&mut query);
            }
            Self::HdlcTcp(at, hdlc) => {
                write!(f, "hdlc+tcp://{at}")?;
                query.hdlc(*hdlc);
            }
            Self::Serial(port, hdlc) => {
                write!(f, "serial://{}", escape(&port.path.to_string_lossy()))?;
                query.put("baud", Some(port.baud));
                query.hdlc(*hdlc);
            }
        }
        f.write_str(&query.0)
    }
}

/// The part of a URL behind `?`, as it is written.
#[derive(Default)]
pub(crate) struct Query(pub(crate) String);

impl Query {
    pub(crate) fn put(&mut self, name: &str, value: Option<impl fmt::Display>) {
        if let Some(value) = value {
            self.0.push(if self.0.is_empty() { '?' } else { '&' });
            self.0.push_str(name);
            self.0.push('=');
            self.0.push_str(&escape(&value.to_string()));
        }
    }

    fn path(&mut self, name: &str, value: Option<&PathBuf>) {
        self.put(name, value.map(|path| path.to_string_lossy()));
    }

    fn tls(&mut self, options: &TlsOptions) {
        self.path("ca", options.ca.as_ref());
        self.path("cert", options.cert.as_ref());
        self.path("key", options.key.as_ref());
        self.put("name", options.name.as_ref());
    }

    fn sctp(&mut self, options: &SctpOptions) {
        let kernel = options.backend == SctpBackend::Kernel;
        self.put("backend", kernel.then_some("kernel"));
        match options.over {
            over if over == options.backend.over() => {}
            SctpOver::Udp(port) => self.put("udp", Some(port)),
            SctpOver::Ip => self.put("over", Some("ip")),
        }
        let local: Vec<String> = options.local.iter().map(ToString::to_string).collect();
        self.put("local", (!local.is_empty()).then(|| local.join(",")));
        self.put("pace", (options.pace == SctpPace::Fast).then_some("fast"));
        self.put("heartbeat", options.heartbeat);
    }

    fn hdlc(&mut self, options: HdlcOptions) {
        let default = HdlcOptions::default();
        self.put("address", options.address);
        self.put("width", options.width);
        self.put(
            "window",
            (options.window != default.window).then_some(options.window),
        );
        self.put(
            "info",
            (options.info != default.info).then_some(options.info),
        );
    }
}

pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for &octet in text.as_bytes() {
        if octet.is_ascii_alphanumeric() || b"/-_.~:,".contains(&octet) {
            out.push(char::from(octet));
        } else {
            out.push_str(&format!("%{octet:02X}"));
        }
    }
    out
}

pub(crate) fn unescape(text: &str) -> Result<String, EndpointError> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let hex = text
            .get(text.len() - rest.len()..)
            .and_then(|tail| tail.get(..2));
        let octet = hex
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            .ok_or(EndpointError::Escape)?;
        out.push(octet);
        rest = rest.get(2..).unwrap_or_default();
    }
    String::from_utf8(out).map_err(|_| EndpointError::Escape)
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(url: &str) -> Result<Self, EndpointError> {
        let (scheme, rest) = url.split_once("://").ok_or(EndpointError::NoScheme)?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut options = Options::parse(query)?;
        let endpoint = match scheme {
            "tcp" => Self::Tcp(place.parse()?),
            "udp" => Self::Udp(place.parse()?),
            "tls" => Self::Tls(place.parse()?, options.tls()),
            "sctp" => {
                let (at, others) = hosts(place)?;
                Self::Sctp(at, options.sctp(others)?)
            }
            "sctps" => {
                let (at, others) = hosts(place)?;
                let sctp = options.sctp(others)?;
                Self::Sctps(at, sctp, options.tls())
            }
            "scion" => {
                let (at, own) = ScionOptions::parse(place, &mut options)?;
                Self::Scion(at, own)
            }
            "hdlc+tcp" => Self::HdlcTcp(place.parse()?, options.hdlc()?),
            "serial" => {
                let path = unescape(place)?;
                if !path.starts_with('/') {
                    return Err(EndpointError::SerialPath);
                }
                let baud = options.number("baud", 300, 4_000_000)?.unwrap_or(9_600);
                Self::Serial(
                    SerialOptions {
                        path: path.into(),
                        baud,
                    },
                    options.hdlc()?,
                )
            }
            _ => {
                return Err(EndpointError::Scheme(
                    scheme.chars().take(24).collect::<String>().into(),
                ));
            }
        };
        options.finish()?;
        Ok(endpoint)
    }
}

impl FromStr for HostPort {
    type Err = EndpointError;

    fn from_str(place: &str) -> Result<Self, EndpointError> {
        let place = place.strip_suffix('/').unwrap_or(place);
        if place.contains(['@', '/', '#']) {
            return Err(EndpointError::Host);
        }
        let (host, port) = if let Some(rest) = place.strip_prefix('[') {
            let (host, tail) = rest.split_once(']').ok_or(EndpointError::Host)?;
            (
                host,
                if tail.is_empty() {
                    None
                } else {
                    Some(tail.strip_prefix(':').ok_or(EndpointError::Host)?)
                },
            )
        } else {
            match place.split_once(':') {
                Some((_, port)) if port.contains(':') => return Err(EndpointError::Brackets),
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            }
        };
        if host.is_empty() {
            return Err(EndpointError::Host);
        }
        let port = match port {
            Some(port) => port.parse().map_err(|_| EndpointError::Port)?,
            None => DLMS_PORT,
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl SctpOptions {
    /// The hosts and the port as they stand in a URL.
    fn place(&self, at: &HostPort) -> String {
        let bracketed = |host: &str| {
            if host.contains(':') {
                format!("[{host}]")
            } else {
                host.to_owned()
            }
        };
        let mut hosts = vec![bracketed(&at.host)];
        hosts.extend(self.others.iter().map(|host| bracketed(host)));
        format!("{}:{}", hosts.join(","), at.port)
    }
}

/// Hosts of one peer in a URL, at most.
pub(crate) const HOSTS_MAX: usize = 8;

/// Reads `HOST,HOST…[:PORT]`.
fn hosts(place: &str) -> Result<(HostPort, Vec<String>), EndpointError> {
    let (first, last) = place.rsplit_once(',').unwrap_or(("", place));
    let mut at: HostPort = last.parse()?;
    if first.is_empty() {
        return Ok((at, Vec::new()));
    }
    let mut others = Vec::new();
    for text in first.split(',') {
        // A port behind a host that is not the last would be dropped.
        let bare = !text.ends_with(']') && text.contains(':');
        if bare || text.is_empty() {
            return Err(EndpointError::Hosts);
        }
        let host: HostPort = text.parse()?;
        others.push(host.host);
    }
    others.push(at.host);
    if others.len() > HOSTS_MAX {
        return Err(EndpointError::Hosts);
    }
    at.host = others.remove(0);
    Ok((at, others))
}

/// The options of a URL that nobody has asked for yet.
pub(crate) struct Options(Vec<(String, String)>);

impl Options {
    pub(crate) fn parse(query: &str) -> Result<Self, EndpointError> {
        let mut all: Vec<(String, String)> = Vec::new();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = unescape(name)?;
            if all.iter().any(|(known, _)| *known == name) {
                return Err(EndpointError::Twice(name.into()));
            }
            all.push((name, unescape(value)?));
        }
        Ok(Self(all))
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(index).1)
    }

    pub(crate) fn number(
        &mut self,
        name: &'static str,
        min: u32,
        max: u32,
    ) -> Result<Option<u32>, EndpointError> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(value) if (min..=max).contains(&value) => Ok(Some(value)),
            _ => Err(EndpointError::Range { name, min, max }),
        }
    }

    fn tls(&mut self) -> TlsOptions {
        TlsOptions {
            ca: self.take("ca").map(PathBuf::from),
            cert: self.take("cert").map(PathBuf::from),
            key: self.take("key").map(PathBuf::from),
            name: self.take("name"),
        }
    }

    fn sctp(&mut self, others: Vec<String>) -> Result<SctpOptions, EndpointError> {
        let udp = self
            .number("udp", 0, 65_535)?
            .and_then(|port| u16::try_from(port).ok());
        let backend = match self.take("backend").as_deref() {
            None | Some("own") => SctpBackend::Own,
            Some("kernel") => SctpBackend::Kernel,
            Some(_) => return Err(EndpointError::Backend),
        };
        let over = match (self.take("over").as_deref(), udp) {
            (None, None) => backend.over(),
            (None | Some("udp"), port) => SctpOver::Udp(port.unwrap_or(sctp::UDP_PORT)),
            (Some("ip"), None) => SctpOver::Ip,
            _ => return Err(EndpointError::Over),
        };
        let pace = match self.take("pace").as_deref() {
            None | Some("standard") => SctpPace::Standard,
            Some("fast") => SctpPace::Fast,
            Some(_) => return Err(EndpointError::Pace),
        };
        let local = self.take("local").map_or_else(
            || Ok(Vec::new()),
            |text| {
                text.split(',')
                    .map(|one| one.trim_matches(['[', ']']).parse())
                    .collect::<Result<Vec<_>, _>>()
            },
        );
        let local = local.map_err(|_| EndpointError::Local)?;
        if local.len() > HOSTS_MAX {
            return Err(EndpointError::Local);
        }
        Ok(SctpOptions {
            others,
            local,
            backend,
            over,
            pace,
            heartbeat: self.number("heartbeat", 1, 86_400)?,
        })
    }

    fn hdlc(&mut self) -> Result<HdlcOptions, EndpointError> {
        let default = HdlcOptions::default();
        let small = |value: u32| u16::try_from(value).ok();
        let octet = |value: u32| u8::try_from(value).ok();
        let width = self.number("width", 1, 4)?.and_then(octet);
        if width == Some(3) {
            return Err(EndpointError::Width);
        }
        Ok(HdlcOptions {
            address: self.number("address", 0, 0x3FFF)?.and_then(small),
            width,
            window: self
                .number("window", 1, 7)?
                .and_then(octet)
                .unwrap_or(default.window),
            info: self
                .number("info", 32, 2_030)?
                .and_then(small)
                .unwrap_or(default.info),
        })
    }

    pub(crate) fn finish(self) -> Result<(), EndpointError> {
        match self.0.into_iter().next() {
            Some((name, _)) => Err(EndpointError::Unknown(name.into())),
            None => Ok(()),
        }
    }
}

/// Why a text is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// There is no `://`.
    #[error("an endpoint is a URL such as tcp://192.0.2.7:4059")]
    NoScheme,
    /// The scheme is none that this program knows.
    #[error("unknown scheme '{0}': use tcp, udp, tls, hdlc+tcp, serial, sctp, sctps or scion")]
    Scheme(Box<str>),
    /// No host, or characters that no host has.
    #[error("no host in the endpoint: write SCHEME://HOST:PORT")]
    Host,
    /// An IPv6 address without brackets.
    #[error("write an IPv6 address in brackets: tcp://[2001:db8::7]:4059")]
    Brackets,
    /// The port is no number from 0 to 65,535.
    #[error("the port is a number from 1 to 65535")]
    Port,
    /// No AS and address in brackets.
    #[error("write a place in SCION as scion://[1-ff00:0:111,192.0.2.7]:4059")]
    Scion,
    /// A fence or a pattern that cannot be read.
    #[error("fence or pattern: {0}")]
    Policy(Box<scion::policy::PolicyError>),
    /// The serial device has no absolute path.
    #[error("a serial endpoint names a device file: serial:///dev/ttyUSB0?baud=9600")]
    SerialPath,
    /// A `%` without two hexadecimal digits, or no UTF-8.
    #[error("a % in an endpoint stands before two hexadecimal digits of UTF-8")]
    Escape,
    /// An option that this scheme does not have.
    #[error("this scheme has no option '{0}'")]
    Unknown(Box<str>),
    /// An option that stands twice.
    #[error("option '{0}' stands twice")]
    Twice(Box<str>),
    /// A number outside its range.
    #[error("{name} is a number from {min} to {max}")]
    Range {
        /// The option.
        name: &'static str,
        /// Its least value.
        min: u32,
        /// Its greatest value.
        max: u32,
    },
    /// A server address of three octets.
    #[error("a server address has 1, 2 or 4 octets")]
    Width,
    /// Hosts that are no list.
    #[error(
        "write up to 8 hosts with one port behind the last: sctp://192.0.2.7,198.51.100.7:4059"
    )]
    Hosts,
    /// Something else than UDP or IP below SCTP, or a UDP port without UDP.
    #[error("SCTP goes over=udp, with udp=PORT, or over=ip")]
    Over,
    /// Nobody known who speaks SCTP.
    #[error("backend is own, the program's own SCTP, or kernel, the system's")]
    Backend,
    /// No known pace.
    #[error("pace is standard or fast")]
    Pace,
    /// Own addresses that are none.
    #[error("local holds up to 8 own addresses: local=192.0.2.1,198.51.100.1")]
    Local,
    /// Something else than a wish for verified paths.
    #[error("write verified=yes to take verified paths only, or leave it out")]
    Verified,
    /// What paths are put in order by is something else.
    #[error("write prefer=latency, prefer=hops or prefer=mtu")]
    Prefer,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expect: &str) {
        let found = match url.parse::<Endpoint>() {
            Ok(endpoint) => {
                let text = endpoint.to_string();
                assert_eq!(text.parse::<Endpoint>().as_ref(), Ok(&endpoint), "{text}");
                text
            }
            Err(error) => format!("! {error}"),
        };
        assert_eq!(found, expect, "{url}");
    }

    #[test]
    fn endpoints_parse_and_print() {
        check("tcp://meter.example", "tcp://meter.example:4059");
        check("tcp://[2001:db8::7]:40", "tcp://[2001:db8::7]:40");
        check(
            "tls://h:1?name=x&ca=/a%20b.pem",
            "tls://h:1?ca=/a%20b.pem&name=x",
        );
        check(
            "hdlc+tcp://h?address=17&window=3",
            "hdlc+tcp://h:4059?address=17&window=3",
        );
        check("serial:///dev/ttyUSB0", "serial:///dev/ttyUSB0?baud=9600");
        check("sctp://h", "sctp://h:4059");
        check(
            "scion://[1-ff00:0:111,192.0.2.7]",
            "scion://[1-ff00:0:111,192.0.2.7]:4059",
        );
        check(
            "scion://[1-ff00:0:111,2001:db8::7]:40?fence=- 3 +&daemon=10.0.0.1:30255&local=10.0.0.2",
            "scion://[1-ff00:0:111,2001:db8::7]:40?daemon=10.0.0.1:30255&fence=-%203%20%2B&local=10.0.0.2",
        );
        check(
            "scion://[1-ff00:0:111,192.0.2.7]?pattern=2%2B 1*",
            "scion://[1-ff00:0:111,192.0.2.7]:4059?pattern=2%2B%201%2A",
        );
        check(
            "scion://[1-ff00:0:111,192.0.2.7]?local=10.0.0.2&prefer=hops",
            "scion://[1-ff00:0:111,192.0.2.7]:4059?prefer=hops&local=10.0.0.2",
        );
        check(
            "scion://[1-ff00:0:111,192.0.2.7]?prefer=price",
            "! write prefer=latency, prefer=hops or prefer=mtu",
        );
        for wrong in [
            "192.0.2.7:4059",
            "[1-ff00:0:111]",
            "[1,192.0.2.7]",
            "[1-ff00:0:111,name]:1",
        ] {
            check(
                &format!("scion://{wrong}"),
                "! write a place in SCION as scion://[1-ff00:0:111,192.0.2.7]:4059",
            );
        }
        check(
            "scion://[1-ff00:0:111,192.0.2.7]?fence=3",
            "! fence or pattern: at character 1: \"3\" begins with neither + nor -",
        );
        check(
            "sctp://a,[2001:db8::7]:4060?udp=9900&local=192.0.2.1,2001:db8::1&pace=fast",
            "sctp://a,[2001:db8::7]:4060?udp=9900&local=192.0.2.1,2001:db8::1&pace=fast",
        );
        check(
            "sctps://a,b:1?over=ip&heartbeat=5&ca=/c&name=x",
            "sctps://a,b:1?over=ip&heartbeat=5&ca=/c&name=x",
        );
        // The kernel's goes in IP unless it is told a UDP port.
        check(
            "sctp://a,b:1?backend=kernel&over=ip&pace=fast",
            "sctp://a,b:1?backend=kernel&pace=fast",
        );
        check(
            "sctp://a?backend=kernel&udp=9899",
            "sctp://a:4059?backend=kernel&udp=9899",
        );
        check("sctp://a?backend=own&over=udp", "sctp://a:4059");
    }

    #[test]
    fn refusals_say_what_to_do() {
        check(
            "meter",
            "! an endpoint is a URL such as tcp://192.0.2.7:4059",
        );
        check(
            "http://x",
            "! unknown scheme 'http': use tcp, udp, tls, hdlc+tcp, serial, sctp, sctps or scion",
        );
        check(
            "tcp://2001:db8::7",
            "! write an IPv6 address in brackets: tcp://[2001:db8::7]:4059",
        );
        check("tcp://h:70000", "! the port is a number from 1 to 65535");
        check(
            "tcp://user:secret@h",
            "! no host in the endpoint: write SCHEME://HOST:PORT",
        );
        check(
            "tcp://h?password=x",
            "! this scheme has no option 'password'",
        );
        check("hdlc+tcp://h?window=8", "! window is a number from 1 to 7");
        check(
            "hdlc+tcp://h?width=3",
            "! a server address has 1, 2 or 4 octets",
        );
        check(
            "sctp://a:1,b:2",
            "! write up to 8 hosts with one port behind the last: sctp://192.0.2.7,198.51.100.7:4059",
        );
        check(
            "sctp://a?over=ip&udp=9899",
            "! SCTP goes over=udp, with udp=PORT, or over=ip",
        );
        check(
            "sctp://a?local=here",
            "! local holds up to 8 own addresses: local=192.0.2.1,198.51.100.1",
        );
        check(
            "sctp://a?backend=usrsctp",
            "! backend is own, the program's own SCTP, or kernel, the system's",
        );
        check("sctp://a?ca=/c", "! this scheme has no option 'ca'");
        check(
            "serial://ttyUSB0",
            "! a serial endpoint names a device file: serial:///dev/ttyUSB0?baud=9600",
        );
        check(
            "serial:///dev/a%zz",
            "! a % in an endpoint stands before two hexadecimal digits of UTF-8",
        );
    }
}
