//! Gridward's data concentrator: it finds the meters of its segments, gives
//! each a service access point, and carries what head end and meter say to
//! each other without being able to read, forge or replay it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`sap`] | which logical device has which SAP, and since when not |
//! | [`direct`] | the router: opaque APDUs by wrapper port and gateway prefix |
//! | [`identify`] | asking a meter that joined for its name |
//! | [`mod@core`] | the three of them as one machine without I/O |
//! | [`collector`] | conventional mode: reading on its own schedule, and what it keeps |
//! | [`substation`] | sums of feeders and phases, and what is missing |
//! | [`metering`] | the own three-phase metering |
//! | [`pair`] | two concentrators before the same meters |
//! | [`status`] | the status page |
//! | [`device`] | the concentrator's own logical device, SAP 1 |
//! | [`store`] | the SAP table and the own counters on disk |
//! | [`shell`] | all of it on real links |
//!
//! What it holds: the keys of its own logical device and, where the operator
//! wants it to read meters itself, those of a client which reads and nothing
//! else. What it does not hold: any key of an association between a head end
//! and a meter.

pub mod collector;
pub mod config;
pub mod core;
pub mod device;
pub mod direct;
pub mod identify;
pub mod metering;
pub mod pair;
pub mod sap;
pub mod shell;
pub mod status;
pub mod store;
pub mod substation;
pub mod ways;

pub use config::Config;
