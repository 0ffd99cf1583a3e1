//! Green Button: the Energy Services Provider Interface (NAESB REQ.21), as
//! Atom feeds written and read.
//!
//! The model has what a meter and its owner need: [`UsagePoint`],
//! [`MeterReading`], [`ReadingType`], [`IntervalBlock`], the summaries and
//! [`TimeConfiguration`]. Codes are numbers as in the schema, so that those of
//! later versions are kept; [`codes`] names those that are used here. The
//! customer's part of the schema, which names people, is neither read nor
//! written. Elements of other kinds are passed over.
//!
//! [`read()`] takes what utilities export; [`write()`] gives what validates under
//! the schemas 4.0 and 1.x, field by field in their order.

pub mod codes;
mod dst;
mod feed;
mod publication;
mod resource;
mod slot;

pub use dst::{Occurrence, Rule};
pub use feed::{Entry, Feed, Link, ReadError, parse_time, read, write, write_entry};
pub use publication::{Publication, Series};
pub use resource::{
    DateTimeInterval, ElectricPowerQualitySummary, IntervalBlock, IntervalReading, LineItem,
    MeterReading, ReadingQuality, ReadingType, Resource, ServiceCategory, SummaryMeasurement,
    TimeConfiguration, UsagePoint, UsageSummary,
};
