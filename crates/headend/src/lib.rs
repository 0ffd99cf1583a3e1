//! The head end: registry, key service, collector, store and API.

pub mod api;
mod calendar;
pub mod campaigns;
mod clock;
pub mod collector;
pub mod concentrators;
mod config;
pub mod dial_in;
pub mod drills;
pub mod fences;
pub mod fleet;
mod headend;
pub mod hub;
mod journal;
pub mod keys;
pub mod lines;
pub mod live;
mod meters;
pub mod orders;
pub mod outlets;
mod power;
pub mod registry;
pub mod store;

pub use calendar::{Calendar, Day, DayBounds, UnknownZone, parse_rfc3339, rfc3339};
pub use clock::Clock;
pub use config::{
    ApiConfig, CollectorConfig, ConcentratorConfig, Config, ConfigError, DialInConfig, MediaConfig,
    MediumConfig, OrdersConfig, OutletsConfig, ScionConfig,
};
pub use headend::{HeadEnd, Options, StartError};
pub use meters::LinkAccess;
pub use power::{POWER_REGISTERS, Power};
