//! The one door to meters and field networks: endpoints, transports, clock,
//! entropy, and the async client and listener that stand above them.
//!
//! A [`Link`] carries whole messages and never repeats one; what repeats,
//! orders and protects is in `dlms`. Each transport maps a message's class to
//! what it has.

// Unit tests share helpers with those in `tests`, which know this name alone.
#[cfg(test)]
extern crate self as link;

mod ask;
mod class;
mod client;
mod connect;
mod endpoint;
mod entropy;
mod fault;
mod han_port;
mod hdlc;
mod keyfile;
mod listen;
mod maker;
mod message;
mod queue;
mod scion;
mod sctp;
mod segment;
mod serve;
mod stream;
mod time;
mod tls;
mod trace;
mod udp;

pub use ask::{AskError, HttpServer, ask};
pub use class::Treatment;
pub use client::{Association, Client, ClientError, CounterStore, Drkey, Surroundings};
pub use connect::{Connecting, Connector, SystemConnector, Telling, connect};
pub use endpoint::{
    DLMS_PORT, Endpoint, EndpointError, HdlcOptions, HostPort, SctpBackend, SctpOptions, SctpOver,
    SctpPace, SerialOptions, TlsOptions,
};
pub use entropy::{Entropy, SystemEntropy};
pub use fault::{FaultPlan, Faulty};
pub use han_port::{
    DLMS_FORMS, DeviceOptions, Parity, Place, PushCounters, Source, SourceError, SourceEvent,
    SourceProtocol, SourceSettings, SourceUrl, SourceUrlError,
};
pub use keyfile::{
    BROADCAST_CLIENT, ClientKeys, KeyFault, KeyFaultReason, KeyFile, KeyFileError, MeterKeys,
    Password, mechanism_from_name, mechanism_name, parse_hex, toml_fault, toml_reason,
    weak_password,
};
pub use listen::{Accepted, Limits, Listener};
pub use maker::{MakerKeyError, load_maker_key, load_maker_private_key, save_maker_keys};
pub use message::{Link, LinkError, LinkExt, Message, Sap};
pub use scion::{
    DRKEY_PROTOCOL, DrkeyError, DrkeyMix, DrkeySource, GATEWAY_PEERS_MAX, GATEWAY_PORT, Gateway,
    GatewayFigures, GatewayPeer, GatewayView, PROBE_PORT, PathReceipt, SCION_PDU_LEN_MAX,
    ScionAbout, ScionCounters, ScionError, ScionFence, ScionOptions, ScionPath, ScionRemaining,
    ScionStatus, ScionTrust,
};
pub use sctp::{
    ClassFigures, HEARTBEATS_PER_SECOND_MAX, MESSAGE_LEN_MAX, PPID_DLMS, PPID_ENVELOPE, PPID_OPEN,
    PPID_TLS, PPID_XML, Received, SctpAssociation, SctpDialer, SctpEvent, SctpSocket, SctpStatus,
    SctpTotals,
};
pub use segment::{
    IpLimits, IpMeter, IpSegment, Multidrop, MultidropConfig, MultidropMeter, MultidropSegment,
    Node, Registration, Segment, SegmentEvent,
};
pub use serve::{ALL_STATIONS, Devices, Service, SharedDevice, serve};
pub use time::{Clock, SystemClock};
pub use tls::{certificate_der, private_key_der, public_key_der};
pub use trace::{Trace, Traced};
