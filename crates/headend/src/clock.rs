//! Time as an input.

use std::fmt;

use model::Timestamp;

/// Tells the time of day.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// Returns the present time.
    fn now(&self) -> Timestamp;
}
