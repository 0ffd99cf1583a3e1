//! Gridward's virtual meter: metrology, object model, journal, breaker; holds a meter's keys.
//!
//! | module | what it holds |
//! |---|---|
//! | [`breaker`] | the relay under the rules of Disconnect control |
//! | [`clock`] | the clock: true time, shown time, local time |
//! | [`device`] | a meter without I/O, as the server machine sees it |
//! | [`firmware`] | image transfer: blocks, the maker's signature, what runs |
//! | [`fleet`] | the meters of a process and their journal |
//! | [`history`] | the rows of a load profile in memory |
//! | [`journal`] | captured rows, logs and state on disk, shared by all meters of a process |
//! | [`metrology`] | power and energy as functions of time and a seed |
//! | [`outlets`] | the five XML messages: a meter that is the gateway to outlets |
//! | [`population`] | neighbourhoods of meters that differ as real ones do |
//! | [`registers`] | metrology behind a breaker and a supply that may fail |
//! | [`shell`] | a fleet on real links, in real time |
//! | [`template`] | meter models: objects, sources of their values, rights |

pub mod breaker;
pub mod clock;
pub mod device;
pub mod firmware;
pub mod fleet;
pub mod history;
pub mod journal;
pub mod metrology;
pub mod outlets;
pub mod population;
pub mod registers;
pub mod shell;
pub mod template;
mod varint;
