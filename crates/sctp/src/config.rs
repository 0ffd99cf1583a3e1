//! What an endpoint and its associations are configured with. The defaults
//! are those of RFC 9260, section 16.

use std::net::IpAddr;

use crate::scheduler::Scheduler;
use crate::time::Duration;

/// How associations behave.
#[derive(Clone, Debug)]
pub struct Config {
    /// Retransmission timeouts.
    pub rto: RtoConfig,
    /// Consecutive timeouts over all paths before the peer counts as gone
    /// (Association.Max.Retrans).
    pub association_retransmits_max: u32,
    /// Consecutive timeouts before a path counts as inactive
    /// (Path.Max.Retrans).
    pub path_retransmits_max: u32,
    /// Consecutive timeouts before a path counts as potentially failed
    /// (PotentiallyFailed.Max.Retrans of RFC 7829). At
    /// `path_retransmits_max` or above the state is not used.
    pub potentially_failed_retransmits_max: u32,
    /// How often INIT and COOKIE ECHO are sent again (Max.Init.Retransmits).
    pub init_retransmits_max: u32,
    /// Time between heartbeats on an idle path, on top of its RTO
    /// (HB.interval).
    pub heartbeat_interval: Duration,
    /// How long an acknowledgement may wait (SACK.Delay), at most 500 ms.
    pub sack_delay: Duration,
    /// Whether the last chunk that waits asks to be acknowledged at once (the
    /// I bit), where `sack_delay` of a peer would be long beside our timeouts.
    pub immediate_sack: bool,
    /// Packets with new data that one arrival may set free on a path
    /// (Max.Burst), where it does not acknowledge more: what is acknowledged
    /// may be replaced at once.
    pub burst_max: u32,
    /// Octets of received messages that may wait, undelivered ones included.
    /// What a chunk costs to keep is counted too.
    pub receive_buffer_max: usize,
    /// Octets of the longest message that is taken or sent.
    pub message_len_max: usize,
    /// Octets that may wait on one stream to be sent.
    pub stream_buffer_max: usize,
    /// Messages that may wait on one stream to be sent.
    pub stream_messages_max: usize,
    /// Streams to send on, to ask for.
    pub outbound_streams: u16,
    /// Streams to receive on, at most.
    pub inbound_streams_max: u16,
    /// Which stream comes next.
    pub scheduler: Scheduler,
    /// Whether to offer I-DATA (RFC 8260).
    pub interleaving: bool,
    /// Whether to offer partial reliability (RFC 3758).
    pub partial_reliability: bool,
    /// Whether to offer stream reconfiguration (RFC 6525).
    pub reconfiguration: bool,
    /// Whether to offer authenticated chunks (RFC 4895), and which.
    pub auth: Option<AuthConfig>,
    /// Path MTU discovery.
    pub pmtu: PmtuConfig,
    /// When an urgent message that is not acknowledged is sent once more on a
    /// backup path, and another one on its own that something overtook which
    /// went out later; `None` to leave that to the retransmission timer and
    /// to reports of missing chunks.
    pub tail_loss_probe: Option<TailLossProbe>,
    /// Differentiated services code point of packets without user data.
    pub control_dscp: u8,
    /// Addresses of a peer that are used, at most; the rest is not looked at.
    pub peer_addresses_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rto: RtoConfig::default(),
            association_retransmits_max: 10,
            path_retransmits_max: 5,
            potentially_failed_retransmits_max: 0,
            init_retransmits_max: 8,
            heartbeat_interval: Duration::from_secs(30),
            sack_delay: Duration::from_millis(200),
            immediate_sack: true,
            burst_max: 4,
            receive_buffer_max: 256 * 1_024,
            message_len_max: 128 * 1_024,
            stream_buffer_max: 256 * 1_024,
            stream_messages_max: 4_096,
            outbound_streams: 16,
            inbound_streams_max: 1_024,
            scheduler: Scheduler::FirstCome,
            interleaving: true,
            partial_reliability: true,
            reconfiguration: true,
            auth: None,
            pmtu: PmtuConfig::default(),
            tail_loss_probe: Some(TailLossProbe::default()),
            control_dscp: 0,
            peer_addresses_max: 8,
        }
    }
}

impl Config {
    /// Values for networks with round trips under 100 ms: a path is given up
    /// in 100 ms to 300 ms.
    #[must_use]
    pub fn fast() -> Self {
        Self {
            rto: RtoConfig {
                initial: Duration::from_millis(200),
                min: Duration::from_millis(100),
                max: Duration::from_secs(1),
            },
            path_retransmits_max: 3,
            heartbeat_interval: Duration::from_secs(1),
            sack_delay: Duration::from_millis(20),
            ..Self::default()
        }
    }
}

/// Retransmission timeouts (RFC 9260, section 6.3.1).
#[derive(Clone, Copy, Debug)]
pub struct RtoConfig {
    /// Before a round trip was measured.
    pub initial: Duration,
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
}

impl Default for RtoConfig {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            min: Duration::from_secs(1),
            max: Duration::from_secs(60),
        }
    }
}

/// When a message is sent once more ahead of the retransmission timer.
#[derive(Clone, Copy, Debug)]
pub struct TailLossProbe {
    /// The shortest wait for an urgent message; twice the round trip of its
    /// class where that is more. What something overtook that went out later
    /// is waited for twice the longest round trip of its class of late.
    pub min: Duration,
    /// How often one message is probed.
    pub probes_max: u8,
}

impl Default for TailLossProbe {
    fn default() -> Self {
        Self {
            min: Duration::from_millis(10),
            probes_max: 2,
        }
    }
}

/// Path MTU discovery by padded heartbeats (RFC 8899 with RFC 4820). Sizes
/// are of IP packets.
#[derive(Clone, Copy, Debug)]
pub struct PmtuConfig {
    /// What every path takes.
    pub base: u16,
    /// What is looked for; equal to `base` to look for nothing.
    pub max: u16,
    /// How long until a larger size is tried again.
    pub raise_interval: Duration,
}

impl Default for PmtuConfig {
    fn default() -> Self {
        Self {
            base: 1_280,
            max: 1_500,
            raise_interval: Duration::from_secs(600),
        }
    }
}

/// Authenticated chunks (RFC 4895).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthConfig {
    /// Chunk types that the peer must authenticate; INIT, INIT ACK, SHUTDOWN
    /// COMPLETE and AUTH cannot be, and are left out.
    pub chunks: Vec<u8>,
    /// Whether a peer that does not offer authentication is refused.
    pub required: bool,
}

/// How packets reach the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encapsulation {
    /// In IP packets of protocol 132.
    Ip,
    /// In UDP datagrams (RFC 6951).
    Udp {
        /// The peer's UDP port as long as nothing came from another.
        remote_port: u16,
    },
}

/// The UDP port of encapsulated SCTP by IANA's registry (RFC 6951).
pub const UDP_PORT: u16 = 9_899;

/// What an endpoint is configured with.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// The SCTP port.
    pub port: u16,
    /// Addresses that packets are sent from and received at, in order.
    pub addresses: Vec<IpAddr>,
    /// Whether the addresses are told to the peer. Without, it sees those
    /// that packets come from; for endpoints behind a NAT.
    pub advertise: bool,
    /// How packets reach peers.
    pub encapsulation: Encapsulation,
    /// Whether associations are accepted.
    pub accept: bool,
    /// Associations at most, made and accepted.
    pub associations_max: usize,
    /// How long a cookie is good (Valid.Cookie.Life).
    pub cookie_lifetime: Duration,
    /// How long a cookie key is used to make cookies.
    pub cookie_key_rotation: Duration,
    /// Heartbeats that all associations together send in a second, once they
    /// are more than `heartbeat_interval` allows for: the interval grows to
    /// paths divided by this. `None`: it never grows.
    pub heartbeats_per_second_max: Option<u32>,
    /// How accepted associations behave.
    pub association: Config,
}

impl EndpointConfig {
    /// Starts with the defaults: accepting, UDP encapsulation on 9899.
    #[must_use]
    pub fn new(port: u16, addresses: Vec<IpAddr>) -> Self {
        Self {
            port,
            addresses,
            advertise: true,
            encapsulation: Encapsulation::Udp {
                remote_port: UDP_PORT,
            },
            accept: true,
            associations_max: 100_000,
            cookie_lifetime: Duration::from_secs(60),
            cookie_key_rotation: Duration::from_secs(3_600),
            heartbeats_per_second_max: None,
            association: Config::default(),
        }
    }
}
