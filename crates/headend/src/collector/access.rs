//! The seam to the meters: what the collector asks, and who answers is another crate's matter.

use dlms::cosem::Obis;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;

use model::{BreakerState, Event, Interval, LogicalDeviceName, MeterId};

use crate::store::{ClockReading, Enrolment, Failure, ProfileLayout, RegisterReading};

/// An answer under way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, AccessError>> + Send + 'a>>;

/// Opens conversations with meters.
///
/// The implementation has the key service, reserves invocation counters durably before it uses
/// them, checks that the meter that answers is the one enrolled (logical device name and system
/// title), and returns nothing that did not verify. The caller bounds the time by dropping the
/// future; that must release socket and association.
pub trait MeterAccess: Send + Sync + fmt::Debug + 'static {
    /// Associates with a meter.
    fn open<'a>(&'a self, meter: &'a MeterTarget) -> Answer<'a, Box<dyn Conversation>>;

    /// Reads what a concentrator says: which SAP each logical device behind it has. Nothing of
    /// it is proved.
    fn saps<'a>(&'a self, endpoint: &'a str) -> Answer<'a, Vec<(u16, LogicalDeviceName)>> {
        let _ = endpoint;
        Box::pin(async { Err(AccessError::denied()) })
    }
}

/// The meter to talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterTarget {
    /// Holds its registry id.
    pub id: MeterId,
    /// Holds endpoint, SAPs, name and system title.
    pub enrolment: Enrolment,
}

/// An association with one meter.
///
/// An [`Err`] with [`AccessError::is_final`] ends it; the caller drops it then.
pub trait Conversation: Send {
    /// Reads the meter's clock and compares it with the head end's.
    fn clock(&mut self) -> Answer<'_, ClockReading>;

    /// Reads the rows of a profile that close intervals beginning in `range` (seconds since 1970,
    /// UTC). The layout says what the columns are, clock and status left out.
    fn profile(&mut self, object: Obis, range: Range<i64>) -> Answer<'_, ProfileAnswer>;

    /// Reads registers, as many at once as the meter allows; those that the meter does not have
    /// or does not give are left out.
    fn registers<'a>(&'a mut self, wanted: &'a [RegisterRef]) -> Answer<'a, Vec<RegisterReading>>;

    /// Reads the entries of an event log from `since` (milliseconds since 1970) on.
    fn events(&mut self, log: Obis, since: i64) -> Answer<'_, Vec<Event>>;

    /// Reads the breaker's control state; `None` where the meter has no breaker.
    fn breaker(&mut self) -> Answer<'_, Option<BreakerState>>;

    /// Reads the firmware's name; `None` where the meter has none to tell.
    fn firmware(&mut self) -> Answer<'_, Option<String>>;

    /// Returns the last round trip time in microseconds.
    fn rtt_us(&self) -> Option<u32>;

    /// Releases the association.
    fn close(self: Box<Self>) -> Answer<'static, ()>;
}

/// Rows of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileAnswer {
    /// Says what the columns are.
    pub layout: ProfileLayout,
    /// Holds the rows in the order the meter gave them.
    pub rows: Vec<Interval>,
}

/// One attribute to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegisterRef {
    /// Holds the class id: 1 data, 3 register, 4 extended register.
    pub class: u16,
    /// Names the object.
    pub object: Obis,
    /// Names the attribute.
    pub attribute: i8,
}

impl RegisterRef {
    /// Names attribute 2 of a register.
    pub const fn register(object: Obis) -> Self {
        Self {
            class: 3,
            object,
            attribute: 2,
        }
    }
}

/// Why a meter did not give what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", reason.sentence())]
pub struct AccessError {
    /// Says why.
    pub reason: Failure,
    /// Says whether the association is over.
    pub is_final: bool,
}

impl AccessError {
    /// An error that ends the association.
    pub const fn ended(reason: Failure) -> Self {
        Self {
            reason,
            is_final: true,
        }
    }

    /// An object that the meter refused; the association goes on.
    pub const fn denied() -> Self {
        Self {
            reason: Failure::Denied,
            is_final: false,
        }
    }
}
