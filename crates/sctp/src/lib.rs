//! SCTP without input or output: multi-homed associations with prioritised
//! streams (RFC 9260), as a machine that is handed packets, time and
//! randomness.
//!
//! | module | what it holds |
//! |---|---|
//! | [`auth`] | authenticated chunks (RFC 4895) |
//! | [`cause`] | error causes |
//! | [`chunk`] | the chunks of RFC 9260, 8260, 3758, 4895, 6525 and 4820 |
//! | [`codec`] | the one cursor, errors with octet offsets |
//! | [`packet`] | common header, checksum, bundling |
//! | [`parameter`] | parameters of INIT, INIT ACK, HEARTBEAT and RE-CONFIG |
//!
//! and, as plain types: [`Endpoint`], the machine that holds all associations
//! of a port; [`EndpointConfig`] and [`Config`]; what comes out of it,
//! [`Output`], [`Transmit`] and [`Event`].
//!
//! ```
//! use std::net::IpAddr;
//! use sctp::{Connect, Config, Endpoint, EndpointConfig, Entropy, Event, Input, Instant, Output};
//!
//! # struct Counter(u8);
//! # impl Entropy for Counter {
//! #     fn fill(&mut self, octets: &mut [u8]) {
//! #         for octet in octets { self.0 = self.0.wrapping_mul(5).wrapping_add(3); *octet = self.0; }
//! #     }
//! # }
//! # fn entropy(seed: u8) -> Box<dyn Entropy> { Box::new(Counter(seed)) }
//! let now = Instant::ORIGIN;
//! let (here, there): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
//! let mut client = Endpoint::new(EndpointConfig::new(5_000, vec![here]), entropy(1), now);
//! let mut server = Endpoint::new(EndpointConfig::new(4_059, vec![there]), entropy(2), now);
//! client.connect(
//!     &Connect {
//!         addresses: vec![there],
//!         port: 4_059,
//!         udp_port: None,
//!         config: Config::default(),
//!         auth_keys: Vec::new(),
//!     },
//!     now,
//! )?;
//! // One side's packets are the other's; in between there would be sockets.
//! let mut established = 0;
//! for _ in 0..4 {
//!     for (from, to) in [(true, false), (false, true)] {
//!         let mut packets = Vec::new();
//!         let source = if from { &mut client } else { &mut server };
//!         loop {
//!             match source.poll() {
//!                 Output::Transmit(packet) => packets.push(packet),
//!                 Output::Event(_, Event::Established { .. }) => established += 1,
//!                 Output::Event(..) => {}
//!                 Output::Timeout(_) => break,
//!             }
//!         }
//!         let sink = if to { &mut client } else { &mut server };
//!         for packet in packets {
//!             sink.handle(
//!                 Input::Datagram {
//!                     local: packet.remote,
//!                     remote: packet.local,
//!                     udp_port: packet.udp_port,
//!                     octets: &packet.octets,
//!                 },
//!                 now,
//!             );
//!         }
//!     }
//! }
//! assert_eq!(established, 2);
//! # Ok::<(), sctp::ConnectError>(())
//! ```

mod association;
pub mod auth;
pub mod cause;
pub mod chunk;
pub mod codec;
mod config;
mod cookie;
mod endpoint;
mod entropy;
mod event;
mod handshake;
mod mac;
pub mod packet;
pub mod parameter;
mod path;
mod receive;
mod reconfiguration;
mod scheduler;
mod time;
mod transmit;

pub use association::{Counters, RequestError, SendError, SendOptions, Status, Transmit};
pub use config::{
    AuthConfig, Config, Encapsulation, EndpointConfig, PmtuConfig, RtoConfig, TailLossProbe,
    UDP_PORT,
};
pub use endpoint::{
    AMPLIFICATION_MAX, Connect, ConnectError, Endpoint, EndpointCounters, Input, Output,
    REPLIES_MAX, SPENT_MAX, UNREAD_MAX,
};
pub use entropy::Entropy;
pub use event::{AssociationId, CloseReason, Event, MessageId};
pub use handshake::Capabilities;
pub use path::{PathState, PathStatus};
pub use receive::{CHUNK_COST, GAPS_MAX, Message, WINDOW_MAX};
pub use scheduler::{Reliability, Scheduler, StreamOptions};
pub use time::{Duration, Instant};
