//! The seam to the meters: what the collector asks, and who answers is another crate's matter.

use dlms::client::ActionItem;
use dlms::cosem::Obis;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use model::{BreakerState, Event, Interval, LogicalDeviceName, MeterId};

use crate::dial_in::DialIn;
use crate::fences::ScionWays;
use crate::lines::Lines;
use crate::store::{ClockReading, Enrolment, Failure, Paths, ProfileLayout, RegisterReading};

/// An answer under way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, AccessError>> + Send + 'a>>;

/// Paths that are being asked for.
pub type Ways<'a> =
    Pin<Box<dyn Future<Output = Result<Option<ScionWays>, link::LinkError>> + Send + 'a>>;

/// Opens conversations with meters.
///
/// The implementation has the key service, reserves invocation counters durably before it uses
/// them, checks that the meter that answers is the one enrolled (logical device name and system
/// title), and returns nothing that did not verify. The caller bounds the time by dropping the
/// future; that must release socket and association.
pub trait MeterAccess: Send + Sync + fmt::Debug + 'static {
    /// Associates with a meter.
    fn open<'a>(&'a self, meter: &'a MeterTarget) -> Answer<'a, Box<dyn Conversation>>;

    /// Reads what a concentrator says: which SAP each logical device behind it has; `endpoint` is
    /// one way to it. Nothing of it is proved.
    fn saps<'a>(&'a self, endpoint: &'a str) -> Answer<'a, Vec<(u16, LogicalDeviceName)>> {
        let _ = endpoint;
        Box::pin(async { Err(AccessError::denied()) })
    }

    /// Reads the name that the logical device at an endpoint's SAP 1 gives itself. Nothing of it
    /// is proved.
    fn name<'a>(&'a self, endpoint: &'a str) -> Answer<'a, LogicalDeviceName> {
        let _ = endpoint;
        Box::pin(async { Err(AccessError::denied()) })
    }

    /// Returns the connections that concentrators opened, where such are taken.
    fn dial_in(&self) -> Option<Arc<DialIn>> {
        None
    }

    /// Tells the broadcast key of a meter by a number that shows nothing of it: meters with the
    /// same number share it. `None` where it has none. May block.
    fn broadcast_key(&self, meter: &MeterTarget) -> Option<u64> {
        let _ = meter;
        None
    }

    /// Says whether there is what an end-to-end association with a meter takes. May block.
    fn has_keys(&self, meter: &MeterTarget) -> bool {
        let _ = meter;
        true
    }

    /// Opens a way to all meters behind the endpoint of `meter` that share its broadcast key.
    fn broadcast<'a>(&'a self, meter: &'a MeterTarget) -> Answer<'a, Box<dyn Broadcast>> {
        let _ = meter;
        Box::pin(async { Err(AccessError::denied()) })
    }

    /// Tells the paths that there are to an endpoint, where one of its ways is over SCION; nothing
    /// is sent to the meter.
    fn scion_ways<'a>(&'a self, endpoint: &'a str) -> Ways<'a> {
        let _ = endpoint;
        Box::pin(async { Ok(None) })
    }

    /// Takes what says for how long an answer of each meter is to be waited for; said once, before
    /// any meter is asked.
    fn keep_to(&self, lines: &Arc<Lines>) {
        let _ = lines;
    }

    /// Returns what all conversations since start took.
    fn figures(&self) -> AccessFigures {
        AccessFigures::default()
    }
}

/// A way to many meters at once, none of which answers.
pub trait Broadcast: Send {
    /// Sends a method call, and returns when it is on its way.
    fn tell(&mut self, item: ActionItem) -> Answer<'_, ()>;
}

/// What conversations took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessFigures {
    /// Counts messages sent to meters, each of which waits for its answer.
    pub exchanges: u64,
    /// Counts blocks of invocation counters that were reserved durably.
    pub reservations: u64,
    /// Holds the time spent opening links, in microseconds.
    pub connecting_us: u64,
    /// Holds the time spent reserving invocation counters, in microseconds.
    pub reserving_us: u64,
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

    /// Reads attributes as they stand, in A-XDR, as many at once as the device allows; `None` for
    /// each that it does not have or does not give.
    fn attributes<'a>(&'a mut self, wanted: &'a [RegisterRef]) -> Answer<'a, Vec<Option<Vec<u8>>>> {
        let _ = wanted;
        Box::pin(async { Err(AccessError::denied()) })
    }

    /// Reads how the meter is: what [`Status`] holds, in as few exchanges as the meter allows.
    fn status<'a>(&'a mut self, wanted: &'a StatusWanted<'a>) -> Answer<'a, Status> {
        Box::pin(async move {
            let clock = kept(self.clock().await)?;
            let registers = kept(self.registers(wanted.registers).await)?;
            let breaker = kept(self.breaker().await)?;
            let firmware = if wanted.firmware {
                kept(self.firmware().await)?.flatten()
            } else {
                None
            };
            Ok(Status {
                clock,
                registers: registers.unwrap_or_default(),
                breaker: breaker.flatten(),
                firmware,
            })
        })
    }

    /// Reads rows of a profile, where some are wanted, and entries of event logs, in as few
    /// exchanges as the meter allows. What it does not give is left out, and a refused profile is
    /// told.
    fn records<'a>(&'a mut self, wanted: &'a RecordsWanted<'a>) -> Answer<'a, Records> {
        Box::pin(async move {
            let mut records = Records::default();
            if let Some((object, range)) = &wanted.profile {
                records.profile = kept(self.profile(*object, range.clone()).await)?;
                records.refused = records.profile.is_none();
            }
            for log in wanted.logs {
                let events = kept(self.events(*log, wanted.since).await)?;
                records.events.extend(events.unwrap_or_default());
            }
            Ok(records)
        })
    }

    /// Shows the client behind the conversation, for what is no reading.
    fn client(&mut self) -> Option<&mut link::Client> {
        None
    }

    /// Returns the paths of all answers since it was called last, each pair once, over a network
    /// that tells them.
    fn paths(&mut self) -> Vec<Paths> {
        Vec::new()
    }

    /// Returns the last round trip time in microseconds.
    fn rtt_us(&self) -> Option<u32>;

    /// Releases the association.
    fn close(self: Box<Self>) -> Answer<'static, ()>;
}

/// Takes a refusal of one object as "not there", so that the rest is read all the same.
pub(super) fn kept<T>(answer: Result<T, AccessError>) -> Result<Option<T>, AccessError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_final => Err(error),
        Err(_) => Ok(None),
    }
}

/// What [`Conversation::status`] is asked for.
#[derive(Clone, Copy, Debug)]
pub struct StatusWanted<'a> {
    /// Names the registers.
    pub registers: &'a [RegisterRef],
    /// Names the profile that will be read next, so that its columns are learnt on the way.
    pub profile: Obis,
    /// Says whether the firmware's name is wanted.
    pub firmware: bool,
}

/// How a meter is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Holds the clock's comparison with the head end's.
    pub clock: Option<ClockReading>,
    /// Holds the registers that the meter gave.
    pub registers: Vec<RegisterReading>,
    /// Holds the breaker's state.
    pub breaker: Option<BreakerState>,
    /// Holds the firmware's name.
    pub firmware: Option<String>,
}

/// What [`Conversation::records`] is asked for.
#[derive(Clone, Debug)]
pub struct RecordsWanted<'a> {
    /// Names a profile and the span of its rows, as [`Conversation::profile`] has it.
    pub profile: Option<(Obis, Range<i64>)>,
    /// Names the event logs.
    pub logs: &'a [Obis],
    /// Says from when on entries are wanted, in milliseconds since 1970.
    pub since: i64,
}

/// What a meter wrote down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// Holds the rows of the profile.
    pub profile: Option<ProfileAnswer>,
    /// Says that the profile was asked for and refused.
    pub refused: bool,
    /// Holds the entries of all logs.
    pub events: Vec<Event>,
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
