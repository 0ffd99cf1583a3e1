//! The traits of `link` in virtual time: a clock and a network with faults.
//!
//! Both run on tokio's clock. On a runtime whose clock is paused (one thread,
//! `start_paused`), it leaps to the next timer whenever nobody can go on, so
//! that hours pass in milliseconds and the same seed gives the same run.

mod clock;
mod network;

pub use clock::SimClock;
pub use network::{Network, SimLink, WAITING_MAX};
