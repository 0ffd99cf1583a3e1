//! The head end: registry, key service, collector, store and API.

mod calendar;
mod power;
pub mod store;

pub use calendar::{Calendar, Day, DayBounds, UnknownZone, parse_rfc3339, rfc3339};
pub use power::{POWER_REGISTERS, Power};
