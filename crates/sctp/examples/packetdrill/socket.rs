//! The socket interface of RFC 6458, as far as scripts use it, over one
//! endpoint in simulated time.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use sctp::{
    AssociationId, CloseReason, Config, Connect, Encapsulation, Endpoint, EndpointConfig, Entropy,
    Event, Input, Instant, Output, Reliability, RequestError, RtoConfig, SendError, SendOptions,
};

use super::script::{Call, Expr};

/// The port of both sides, as packetdrill has it.
pub(crate) const PORT: u16 = 8_080;

/// The address of the stack under test.
pub(crate) const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 0, 1));

/// The address that the script speaks for.
pub(crate) const REMOTE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Timeouts that are handled between two events at most.
const STEPS_MAX: usize = 100_000;

/// Octets of one message at most.
const MESSAGE_LEN_MAX: usize = 128 * 1_024;

/// What a call gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) result: i64,
    pub(crate) error: Option<&'static str>,
}

const fn gave(result: i64) -> Outcome {
    Outcome {
        result,
        error: None,
    }
}

const fn failed(error: &'static str) -> Outcome {
    Outcome {
        result: -1,
        error: Some(error),
    }
}

#[derive(Debug)]
struct Socket {
    nonblocking: bool,
    listening: bool,
    association: Option<AssociationId>,
    config: Config,
    established: bool,
    /// What the next getsockopt(SO_ERROR) tells.
    error: Option<&'static str>,
    over: bool,
    /// The rest of a message that was read in part.
    rest: Vec<u8>,
}

/// A packet and when it was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) octets: Vec<u8>,
}

/// The machine under test.
pub(crate) struct Host {
    pub(crate) now: Instant,
    pub(crate) sent: VecDeque<Sent>,
    endpoint: Option<Endpoint>,
    sockets: BTreeMap<i64, Socket>,
    accepted: VecDeque<AssociationId>,
    bound: bool,
}

/// The same numbers in each run.
struct Numbers(u64);

impl Entropy for Numbers {
    fn fill(&mut self, octets: &mut [u8]) {
        for octet in octets {
            // Knuth's constants of a linear congruential generator.
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let [high, ..] = self.0.to_be_bytes();
            *octet = high;
        }
    }
}

/// Values that scripts count on: those of the RFC, whole packets of 1,500
/// octets, and nothing of its own accord that the script does not tell.
fn config() -> Config {
    let mut config = Config {
        tail_loss_probe: None,
        immediate_sack: false,
        ..Config::default()
    };
    config.pmtu.base = 1_500;
    config.pmtu.max = 1_500;
    config
}

impl Host {
    pub(crate) fn new() -> Self {
        Self {
            now: Instant::ORIGIN,
            sent: VecDeque::new(),
            endpoint: None,
            sockets: BTreeMap::new(),
            accepted: VecDeque::new(),
            bound: false,
        }
    }

    /// Lets time pass, and what happens in it.
    pub(crate) fn advance(&mut self, to: Instant) -> Result<(), String> {
        for _ in 0..STEPS_MAX {
            match self.drain() {
                Some(due) if due <= to => {
                    self.now = self.now.max(due);
                    let now = self.now;
                    if let Some(endpoint) = &mut self.endpoint {
                        endpoint.handle(Input::Timeout, now);
                    }
                }
                _ => {
                    self.now = self.now.max(to);
                    return Ok(());
                }
            }
        }
        Err("timers that run without end".into())
    }

    /// Lets time pass until something was sent, or until `to`.
    pub(crate) fn advance_until_sent(&mut self, to: Instant) -> Result<(), String> {
        for _ in 0..STEPS_MAX {
            let due = self.drain();
            if !self.sent.is_empty() {
                return Ok(());
            }
            match due {
                Some(due) if due <= to => {
                    self.now = self.now.max(due);
                    let now = self.now;
                    if let Some(endpoint) = &mut self.endpoint {
                        endpoint.handle(Input::Timeout, now);
                    }
                }
                _ => {
                    self.now = self.now.max(to);
                    return Ok(());
                }
            }
        }
        Err("timers that run without end".into())
    }

    /// A packet comes in.
    pub(crate) fn receive(&mut self, local: IpAddr, remote: IpAddr, octets: &[u8]) {
        let now = self.now;
        if let Some(endpoint) = &mut self.endpoint {
            endpoint.handle(
                Input::Datagram {
                    local,
                    remote,
                    udp_port: None,
                    octets,
                },
                now,
            );
        }
        self.drain();
    }

    /// Takes what the endpoint has to give, and tells when it is to be asked
    /// again.
    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.endpoint.as_mut()?.poll() {
                // What goes to addresses that the script names and does not
                // speak for is not seen.
                Output::Transmit(packet) if packet.remote != REMOTE => {}
                Output::Transmit(packet) => self.sent.push_back(Sent {
                    at: self.now,
                    octets: packet.octets,
                }),
                Output::Event(id, event) => self.on_event(id, &event),
                Output::Timeout(due) => return due,
            }
        }
    }

    fn on_event(&mut self, id: AssociationId, event: &Event) {
        let socket = self
            .sockets
            .values_mut()
            .find(|socket| socket.association == Some(id));
        match (event, socket) {
            (Event::Established { .. }, Some(socket)) => socket.established = true,
            (Event::Established { .. }, None) if self.accepted.len() < 1_024 => {
                self.accepted.push_back(id);
            }
            (Event::Closed { reason, .. }, Some(socket)) => {
                socket.over = true;
                socket.error = match reason {
                    CloseReason::Shutdown => None,
                    CloseReason::SetUpTimeout | CloseReason::Unreachable => Some("ETIMEDOUT"),
                    _ if !socket.established => Some("ECONNREFUSED"),
                    CloseReason::AbortedByPeer { .. } => Some("ECONNRESET"),
                    CloseReason::Aborted { .. } | CloseReason::Refused => Some("ECONNABORTED"),
                };
            }
            _ => {}
        }
    }

    fn endpoint(&mut self, config: &Config, accept: bool) -> &mut Endpoint {
        let now = self.now;
        self.endpoint.get_or_insert_with(|| {
            let endpoint = EndpointConfig {
                encapsulation: Encapsulation::Ip,
                accept,
                association: config.clone(),
                ..EndpointConfig::new(PORT, vec![LOCAL])
            };
            Endpoint::new(endpoint, Box::new(Numbers(0x5EED)), now)
        })
    }

    /// Makes a call.
    ///
    /// # Errors
    /// Where the script asks for what this runner has not.
    pub(crate) fn call(&mut self, call: &Call) -> Result<Outcome, String> {
        let outcome = self.dispatch(call);
        self.drain();
        outcome
    }

    fn dispatch(&mut self, call: &Call) -> Result<Outcome, String> {
        let number = |at: usize| match call.arguments.get(at) {
            Some(Expr::Number(number)) => Ok(*number),
            _ => Err(format!("argument {} of {} is no number", at + 1, call.name)),
        };
        let length = |at: usize| {
            number(at).and_then(|length| {
                usize::try_from(length)
                    .ok()
                    .filter(|length| *length <= MESSAGE_LEN_MAX)
                    .ok_or_else(|| format!("a length of {length}"))
            })
        };
        if call.name == "socket" {
            return Ok(gave(self.socket()));
        }
        let fd = number(0)?;
        if !self.sockets.contains_key(&fd) {
            return Ok(failed("EBADF"));
        }
        match call.name.as_str() {
            "bind" | "sctp_bindx" => {
                self.bound = true;
                Ok(gave(0))
            }
            "listen" => Ok(self.listen(fd)),
            "connect" | "sctp_connectx" => self.connect(fd),
            "accept" => self.accept(fd),
            "fcntl" => Ok(self.fcntl(fd, call)),
            "close" => Ok(self.close(fd)),
            "shutdown" => Ok(self.shutdown(fd)),
            "write" | "send" => {
                let length = length(2)?;
                Ok(self.send(fd, length, 0, &SendOptions::default()))
            }
            "sctp_sendmsg" => {
                let length = length(2)?;
                let options = SendOptions {
                    ppid: u32::try_from(number(5)?).map_err(|_| "ppid")?,
                    unordered: matches!(call.arguments.get(6),
                        Some(Expr::Word(word)) if word.contains("SCTP_UNORDERED")),
                    reliability: match number(8)? {
                        0 => Reliability::Reliable,
                        millis => {
                            let millis = u64::try_from(millis).map_err(|_| "lifetime")?;
                            Reliability::Until(self.now + sctp::Duration::from_millis(millis))
                        }
                    },
                };
                let stream = u16::try_from(number(7)?).map_err(|_| "stream")?;
                Ok(self.send(fd, length, stream, &options))
            }
            "read" | "recv" | "sctp_recvmsg" => {
                let length = length(2)?;
                self.read(fd, length)
            }
            "getsockopt" => self.getsockopt(fd, call),
            "setsockopt" => self.setsockopt(fd, call),
            other => Err(format!("the call {other} is not known")),
        }
    }

    fn socket(&mut self) -> i64 {
        let mut fd = 3;
        while self.sockets.contains_key(&fd) {
            fd += 1;
        }
        self.sockets.insert(
            fd,
            Socket {
                nonblocking: false,
                listening: false,
                association: None,
                config: config(),
                established: false,
                error: None,
                over: false,
                rest: Vec::new(),
            },
        );
        fd
    }

    fn listen(&mut self, fd: i64) -> Outcome {
        let Some(socket) = self.sockets.get_mut(&fd) else {
            return failed("EBADF");
        };
        socket.listening = true;
        let config = socket.config.clone();
        self.endpoint(&config, true);
        gave(0)
    }

    fn connect(&mut self, fd: i64) -> Result<Outcome, String> {
        let now = self.now;
        let config = match self.sockets.get(&fd) {
            Some(socket) if socket.nonblocking => socket.config.clone(),
            _ => return Err("connect() on a blocking socket".into()),
        };
        let connect = Connect {
            addresses: vec![REMOTE],
            port: PORT,
            udp_port: None,
            config: config.clone(),
            auth_keys: Vec::new(),
        };
        let Ok(id) = self.endpoint(&config, false).connect(&connect, now) else {
            return Ok(failed("EADDRINUSE"));
        };
        if let Some(socket) = self.sockets.get_mut(&fd) {
            socket.association = Some(id);
        }
        Ok(failed("EINPROGRESS"))
    }

    fn accept(&mut self, fd: i64) -> Result<Outcome, String> {
        let (nonblocking, config) = match self.sockets.get(&fd) {
            Some(socket) if socket.listening => (socket.nonblocking, socket.config.clone()),
            _ => return Ok(failed("EINVAL")),
        };
        let Some(id) = self.accepted.pop_front() else {
            return if nonblocking {
                Ok(failed("EAGAIN"))
            } else {
                Err("accept() would wait".into())
            };
        };
        let fd = self.socket();
        if let Some(socket) = self.sockets.get_mut(&fd) {
            socket.association = Some(id);
            socket.established = true;
            socket.config = config;
        }
        Ok(gave(fd))
    }

    fn fcntl(&mut self, fd: i64, call: &Call) -> Outcome {
        let Some(socket) = self.sockets.get_mut(&fd) else {
            return failed("EBADF");
        };
        let word = |at: usize| match call.arguments.get(at) {
            Some(Expr::Word(word)) => word.as_str(),
            _ => "",
        };
        if word(1) == "F_GETFL" {
            // O_RDWR, and O_NONBLOCK of Linux.
            return gave(if socket.nonblocking { 0x802 } else { 0x2 });
        }
        socket.nonblocking = word(2).contains("O_NONBLOCK");
        gave(0)
    }

    fn close(&mut self, fd: i64) -> Outcome {
        let now = self.now;
        let Some(socket) = self.sockets.remove(&fd) else {
            return failed("EBADF");
        };
        let Some(endpoint) = &mut self.endpoint else {
            return gave(0);
        };
        if socket.listening {
            endpoint.set_accept(false);
        }
        if let Some(id) = socket.association {
            let unread = !socket.rest.is_empty() || endpoint.receive(id, now).is_some();
            if unread {
                endpoint.abort(id, b"", now);
            } else {
                endpoint.shutdown(id, now);
            }
        }
        gave(0)
    }

    fn shutdown(&mut self, fd: i64) -> Outcome {
        let now = self.now;
        let association = self.sockets.get(&fd).and_then(|socket| socket.association);
        let (Some(id), Some(endpoint)) = (association, &mut self.endpoint) else {
            return failed("ENOTCONN");
        };
        endpoint.shutdown(id, now);
        gave(0)
    }

    fn send(&mut self, fd: i64, length: usize, stream: u16, options: &SendOptions) -> Outcome {
        let now = self.now;
        let association = self.sockets.get(&fd).and_then(|socket| socket.association);
        let (Some(id), Some(endpoint)) = (association, &mut self.endpoint) else {
            return failed("ENOTCONN");
        };
        match endpoint.send(id, stream, vec![0x61; length].into(), options, now) {
            Ok(_) => gave(i64::try_from(length).unwrap_or(i64::MAX)),
            Err(SendError::Full) => failed("EAGAIN"),
            Err(SendError::ShuttingDown) => failed("ESHUTDOWN"),
            Err(SendError::NoAssociation) => failed("EPIPE"),
            Err(SendError::TooLong) => failed("EMSGSIZE"),
            Err(_) => failed("EINVAL"),
        }
    }

    fn read(&mut self, fd: i64, length: usize) -> Result<Outcome, String> {
        let now = self.now;
        let Some(socket) = self.sockets.get_mut(&fd) else {
            return Ok(failed("EBADF"));
        };
        let (Some(id), Some(endpoint)) = (socket.association, &mut self.endpoint) else {
            return Ok(failed("ENOTCONN"));
        };
        if socket.rest.is_empty()
            && let Some(message) = endpoint.receive(id, now)
        {
            socket.rest = message.payload.to_vec();
        }
        if !socket.rest.is_empty() {
            let taken = length.min(socket.rest.len());
            socket.rest.drain(..taken);
            return Ok(gave(i64::try_from(taken).unwrap_or(i64::MAX)));
        }
        if let Some(error) = socket.error.take() {
            return Ok(failed(error));
        }
        if socket.over {
            return Ok(gave(0));
        }
        if socket.nonblocking {
            return Ok(failed("EAGAIN"));
        }
        Err("read() would wait".into())
    }

    fn getsockopt(&mut self, fd: i64, call: &Call) -> Result<Outcome, String> {
        let Some(socket) = self.sockets.get_mut(&fd) else {
            return Ok(failed("EBADF"));
        };
        match call.arguments.get(2) {
            Some(Expr::Word(word)) if word == "SO_ERROR" => {
                let told = socket.error.take();
                let as_wanted = match call.arguments.get(3) {
                    Some(Expr::List(items)) => match (items.first(), told) {
                        (Some(Expr::Number(0)), None) => true,
                        (Some(Expr::Word(wanted)), Some(told)) => wanted == told,
                        _ => false,
                    },
                    _ => false,
                };
                if as_wanted {
                    Ok(gave(0))
                } else {
                    Err(format!("SO_ERROR is {}", told.unwrap_or("0")))
                }
            }
            Some(Expr::Word(word)) if word == "SCTP_STATUS" => {
                let status = socket
                    .association
                    .and_then(|id| self.endpoint.as_ref()?.status(id));
                let Some(status) = status else {
                    return Ok(failed("EINVAL"));
                };
                let Some(Expr::Set(wanted)) = call.arguments.get(3) else {
                    return Err("SCTP_STATUS without fields".into());
                };
                for (key, wanted) in wanted {
                    let key = key.as_deref().unwrap_or_default();
                    let told = match key {
                        "sstat_state" if status.established => {
                            Expr::Word("SCTP_ESTABLISHED".into())
                        }
                        "sstat_instrms" => Expr::Number(i64::from(status.inbound_streams)),
                        "sstat_outstrms" => Expr::Number(i64::from(status.outbound_streams)),
                        _ => Expr::Any,
                    };
                    if *wanted != Expr::Any && *wanted != told {
                        return Err(format!("{key} is {told} instead of {wanted}"));
                    }
                }
                Ok(gave(0))
            }
            // What was set is told back as it was set.
            Some(Expr::Word(word)) if is_known_option(word) => Ok(gave(0)),
            other => Err(format!("the option {other:?} is not known")),
        }
    }

    fn setsockopt(&mut self, fd: i64, call: &Call) -> Result<Outcome, String> {
        let now = self.now;
        let Some(Expr::Word(option)) = call.arguments.get(2) else {
            return Err("setsockopt() without an option".into());
        };
        let value = call.arguments.get(3);
        let number = |key: &str| match value {
            Some(Expr::Set(fields)) => fields
                .iter()
                .find(|(name, _)| name.as_deref() == Some(key))
                .and_then(|(_, value)| match value {
                    Expr::Number(number) => u64::try_from(*number).ok(),
                    _ => None,
                })
                .unwrap_or(0),
            _ => 0,
        };
        let small = |key: &str| u16::try_from(number(key)).unwrap_or(u16::MAX);
        let Some(socket) = self.sockets.get_mut(&fd) else {
            return Ok(failed("EBADF"));
        };
        let config = &mut socket.config;
        let millis = sctp::Duration::from_millis;
        match option.as_str() {
            "SCTP_RTOINFO" => {
                let mut rto = RtoConfig { ..config.rto };
                for (key, field) in [
                    ("srto_initial", &mut rto.initial),
                    ("srto_min", &mut rto.min),
                    ("srto_max", &mut rto.max),
                ] {
                    if number(key) > 0 {
                        *field = millis(number(key));
                    }
                }
                config.rto = rto;
            }
            "SCTP_INITMSG" => {
                if small("sinit_num_ostreams") > 0 {
                    config.outbound_streams = small("sinit_num_ostreams");
                }
                if small("sinit_max_instreams") > 0 {
                    config.inbound_streams_max = small("sinit_max_instreams");
                }
                if small("sinit_max_attempts") > 0 {
                    config.init_retransmits_max = u32::from(small("sinit_max_attempts"));
                }
                // The longest timeout of set-up: here that of all.
                if number("sinit_max_init_timeo") > 0 {
                    config.rto.max = millis(number("sinit_max_init_timeo"));
                }
            }
            "SCTP_ASSOCINFO" => {
                if number("sasoc_asocmaxrxt") > 0 {
                    config.association_retransmits_max = u32::from(small("sasoc_asocmaxrxt"));
                }
            }
            "SCTP_DELAYED_SACK" | "SCTP_DELAYED_ACK_TIME" => {
                if number("sack_delay") > 0 {
                    config.sack_delay = millis(number("sack_delay"));
                }
            }
            "SCTP_INTERLEAVING_SUPPORTED" => config.interleaving = number("assoc_value") != 0,
            "SCTP_PR_SUPPORTED" => config.partial_reliability = number("assoc_value") != 0,
            "SCTP_RECONFIG_SUPPORTED" => config.reconfiguration = number("assoc_value") != 0,
            "SCTP_RESET_STREAMS" | "SCTP_ADD_STREAMS" | "SCTP_RESET_ASSOC" => {
                let association = socket.association;
                let (Some(id), Some(endpoint)) = (association, &mut self.endpoint) else {
                    return Ok(failed("ENOENT"));
                };
                return Ok(reconfigure(endpoint, id, option, value, now));
            }
            // Heartbeats come every 30 seconds, and packets have 1,500 octets.
            other if is_known_option(other) => {}
            other => return Err(format!("the option {other} is not known")),
        }
        Ok(gave(0))
    }
}

fn is_known_option(option: &str) -> bool {
    matches!(
        option,
        "SCTP_RTOINFO"
            | "SCTP_INITMSG"
            | "SCTP_ASSOCINFO"
            | "SCTP_DELAYED_SACK"
            | "SCTP_NODELAY"
            | "SCTP_EVENT"
            | "SCTP_ENABLE_STREAM_RESET"
            | "SCTP_FRAGMENT_INTERLEAVE"
            | "SCTP_PEER_ADDR_PARAMS"
    )
}

fn reconfigure(
    endpoint: &mut Endpoint,
    id: AssociationId,
    option: &str,
    value: Option<&Expr>,
    now: Instant,
) -> Outcome {
    let fields = match value {
        Some(Expr::Set(fields)) => fields.as_slice(),
        _ => &[],
    };
    let of = |key: &str| {
        fields
            .iter()
            .find(|(name, _)| name.as_deref() == Some(key))
            .map(|(_, value)| value)
    };
    let count = |key: &str| match of(key) {
        Some(Expr::Number(number)) => u16::try_from(*number).unwrap_or(u16::MAX),
        _ => 0,
    };
    let streams: Vec<u16> = match of("srs_stream_list") {
        Some(Expr::List(items)) => items
            .iter()
            .filter_map(|item| match item {
                Expr::Number(number) => u16::try_from(*number).ok(),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    let incoming = matches!(of("srs_flags"), Some(Expr::Word(word)) if word.contains("INCOMING"));
    let done = match option {
        "SCTP_RESET_ASSOC" => endpoint.reset_association(id, now),
        "SCTP_RESET_STREAMS" if incoming => endpoint.reset_incoming(id, &streams, now),
        "SCTP_RESET_STREAMS" => endpoint.reset_outgoing(id, &streams, now),
        _ if count("sas_instrms") > 0 => endpoint.add_incoming(id, count("sas_instrms"), now),
        _ => endpoint.add_outgoing(id, count("sas_outstrms"), now),
    };
    match done {
        Ok(()) => gave(0),
        Err(RequestError::Unsupported) => failed("EOPNOTSUPP"),
        Err(RequestError::NotEstablished) => failed("ENOTCONN"),
        Err(RequestError::Busy) => failed("EALREADY"),
        Err(_) => failed("EINVAL"),
    }
}
