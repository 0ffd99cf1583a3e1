//! Collection: every meter's profile on a schedule, and its gaps as long as the meter holds them.
//!
//! [`Planner`] decides which meter is due; it knows no clock and no socket. The shell in
//! [`Collector`] asks it, opens conversations through [`MeterAccess`], and stores what they bring.

mod access;
mod leases;
mod planner;
mod ranges;
mod shell;

pub use access::{
    AccessError, AccessFigures, Answer, Broadcast, Conversation, MeterAccess, MeterTarget,
    ProfileAnswer, Records, RecordsWanted, RegisterRef, Status, StatusWanted, Ways,
};
pub use leases::{Lease, Leases};
pub use planner::{Line, Next, Outcome, Planned, Planner, Priority, Task};
pub use ranges::{RangeLimits, plan_ranges};
pub use shell::{Collector, CollectorHandle, Phase};
pub(crate) use shell::{LIVE_REGISTERS, REGISTERS};
