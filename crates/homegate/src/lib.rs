//! The home gateway: what a meter tells, kept and given to the home.
//!
//! Two activities that know nothing of each other share one [`cache`]:
//!
//! - [`reader`] reads the meter: one that is asked is asked seven seconds apart
//!   or more, for ever, as [`poller`] says;
//! - [`server`] serves the page, its API, Green Button as [`answer`] has it,
//!   and figures. It cannot reach the meter.
//!
//! [`recorder`] keeps what comes into the cache in [`history`], [`mqtt`] tells
//! it to Home Assistant. [`poller`], [`cache`] and [`answer`] are machines
//! without I/O, clock or entropy; time comes in through `link`'s clock.
//! `api.md` beside the manifest describes what the page is told ([`wire`]).

pub mod answer;
pub mod cache;
pub mod calendar;
pub mod config;
pub mod credential;
pub mod gateway;
pub mod history;
pub mod mdns;
pub mod mqtt;
pub mod poller;
pub mod push_memory;
pub mod reader;
pub mod recorder;
pub mod remember;
pub mod server;
pub mod shared;
pub mod source;
pub mod summary;
pub mod tariff;
pub mod tls;
pub mod wire;

pub use config::Config;
pub use gateway::{HomeGate, Options, Prepared, StartError, prepare};
