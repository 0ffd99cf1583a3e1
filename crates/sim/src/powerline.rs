//! A power line: one wire that all meters of a transformer share.
//!
//! One station transmits at a time, everybody hears it, and every frame may be
//! lost on each section of the way, and, where a tree names who forwards to whom,
//! on each link for all who are behind it. What is modelled is time and loss: which
//! frames a message takes, how long each occupies the wire, how often it is
//! repeated, how meters come to be known. What a frame's octets are is not.
//!
//! The line runs on tokio's clock: in virtual time on a runtime that is
//! paused, else in real time, sped up by a factor of choice.

mod medium;
mod segment;
mod tree;

pub use medium::{NodeConfig, PowerLineConfig, Statistics, street};
pub use model::powerline::{G3, Prime, SFsk, Technology};
pub use segment::{PowerLine, PowerLineSegment};
pub use tree::TreeError;
