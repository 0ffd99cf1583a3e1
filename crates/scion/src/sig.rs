//! IP packets in the frames of the SCION-IP gateway (SIG).
//!
//! Source: `doc/sig.rst` of the reference implementation: a header of 16
//! octets, then IP packets back to back, a packet split over consecutive
//! frames where it does not fit.

mod frame;
mod probe;
mod reassembly;
mod rules;

pub use frame::{Encoder, FrameError, HEADER, Header, MIN_FRAME, NotIp, StreamId, packet_length};
pub use probe::{MAX_DATA, Probe};
pub use reassembly::{Counters, MAX_PACKET, MAX_STREAMS, Reassembler};
pub use rules::{Flow, Prefix, Refused, RuleError, Rules, Service};
