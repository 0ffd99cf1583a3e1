//! The nouns that meters, concentrators, home gateways and head ends share.
//!
//! Pure: no input or output, no clock, no entropy. A type stands here when
//! two roles that never depend on each other need to mean the same thing by it.
#![no_std]

extern crate alloc;

pub mod block;
mod class;
mod command;
mod event;
mod identity;
mod image;
mod order;
mod place;
pub mod powerline;
mod reading;
mod record;
mod time;
pub mod xml;

pub use class::{Category, MessageClass};
pub use command::{ClockPrecision, Command, DisplayText, DisplayTextError};
pub use event::{BreakerState, Event, EventClass, EventKind, EventSource, KnownEvent, Severity};
pub use identity::{IdentityError, LogicalDeviceName, MeterId};
pub use image::{IMAGE_LEN_MAX, IMAGE_NAME_LEN_MAX, Image, ImageError, ImageHeader};
pub use order::{BreakerAction, BreakerOrder, ENVELOPE_LEN, EnvelopeError, SIGNATURE_LEN};
pub use place::{Feeder, Phase, Place, PlaceError};
pub use reading::{Interval, IntervalStatus, Reading};
pub use record::{RECORD_LEN_MAX, Records, put_record};
pub use time::Timestamp;
