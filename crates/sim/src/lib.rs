//! The traits of `link` in virtual time: a clock, a network with faults,
//! and a power line as concentrators have it.
//!
//! These run on tokio's clock. On a runtime whose clock is paused (one thread,
//! `start_paused`), it leaps to the next timer whenever nobody can go on, so
//! that hours pass in milliseconds and the same seed gives the same run.
//!
//! [`scion`] is apart from these: a network in real time, on real sockets.

mod clock;
mod entropy;
mod field;
mod network;
pub mod powerline;
pub mod scion;

pub use clock::SimClock;
pub use entropy::{SeededEntropy, draw};
pub use field::{Field, Incoming, Passed, Tap};
pub use network::{Network, SimLink, WAITING_MAX};
