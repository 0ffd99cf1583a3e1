//! The home gateway: what a meter tells, kept and given to the home.
//!
//! [`han::port`] turns the octets of ports that push into reports; it has no way
//! to send. Two activities that know nothing of each other share one [`cache`]:
//!
//! - [`poller`] asks the meter, seven seconds apart or more, for ever;
//! - [`answer`] serves what the cache holds, and cannot reach the meter.
//!
//! All are machines without I/O, clock or entropy.

pub mod answer;
pub mod cache;
pub mod poller;
pub mod wire;
