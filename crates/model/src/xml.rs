//! The five XML messages between a head end and a smart meter that is the gateway to outlets.
//!
//! Source: figures 5 to 9 and table 1 of "Quality of Service Provisioning for Smart Meter Networks
//! using Stream Control Transport Protocol" (Lu, Wu, Seah); requirement Q2. Written is exactly what
//! the figures show, element for element; `schema/messages.xsd` is the same as a schema. Read are
//! also the figures' own remarks (`// TW dollar`), which are no XML convention, and any white space
//! between elements; everything else is refused with its place.
//!
//! The formats have neither an acknowledgement nor a proof of origin: what is lost is seen by its
//! missing sections and asked for again, and an order here switches outlets only.

mod read;
mod section;
mod tree;
mod write;

use alloc::vec::Vec;
use core::fmt;

pub use section::{CivilDate, CivilDateTime, CivilError, Section, SectionError, Sections};
pub use tree::{XmlError, XmlReason};
pub use write::WriteError;

use crate::MessageClass;

/// Longest message that is read, in octets.
pub const MAX_OCTETS: usize = 256 * 1024;
/// Most outlets in one message.
pub const MAX_OUTLETS: usize = 1_000;

/// The number of an outlet within its meter (`oid`), written with three digits at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutletId(pub u32);

/// The number of a smart meter (`sid`), written with three digits at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SmartMeterId(pub u32);

impl fmt::Display for OutletId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

impl fmt::Display for SmartMeterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

/// What an order does with an outlet (table 1, `status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Switch {
    /// 0: turns it off.
    Off,
    /// 1: turns it on.
    On,
}

/// What was measured at an outlet (figure 8, `data`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutletPower {
    /// Voltage in volts.
    pub volts: u32,
    /// Current in milliamperes.
    pub milliamperes: u32,
    /// Power in watts.
    pub watts: u32,
}

/// A message to a smart meter: root element `SM`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToSmartMeter {
    /// Type 1, figure 5: switches outlets.
    ControlOnOff {
        /// When it was sent, in the head end's civil time.
        timestamp: CivilDateTime,
        /// What becomes of which outlets, 1 to [`MAX_OUTLETS`] of them, none twice.
        outlets: Vec<(OutletId, Switch)>,
    },
    /// Type 2, figure 6: asks for sections of a day once more.
    Retransmission {
        /// When it was sent.
        timestamp: CivilDateTime,
        /// Of which outlet.
        outlet: OutletId,
        /// Of which day.
        day: CivilDate,
        /// Which sections of it.
        sections: Sections,
    },
    /// Type 3, figure 7: tells the cost of some days.
    PowerCost {
        /// When it was sent.
        timestamp: CivilDateTime,
        /// The month, 1 to 12.
        month: u8,
        /// The first day of it.
        day_start: u8,
        /// The last day of it, not before the first.
        day_end: u8,
        /// What it cost, in whole units of the currency that both sides agreed on.
        total_cost: u64,
    },
}

/// A message to the server: root element `server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToServer {
    /// Type 1, figure 8: what outlets consumed in a section.
    QueryPower {
        /// Which smart meter.
        meter: SmartMeterId,
        /// When the section began.
        timestamp: CivilDateTime,
        /// What was measured, at 1 to [`MAX_OUTLETS`] outlets, none twice.
        outlets: Vec<(OutletId, OutletPower)>,
    },
    /// Type 2, figure 9: a threshold was passed.
    WarnToChange {
        /// Which smart meter.
        meter: SmartMeterId,
        /// When.
        timestamp: CivilDateTime,
        /// At which of 1 to [`MAX_OUTLETS`] outlets, none twice, and the number of the report; the
        /// source shows 1 and gives no other meaning.
        outlets: Vec<(OutletId, u8)>,
    },
}

/// Any of the five messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XmlMessage {
    /// To a smart meter.
    ToSmartMeter(ToSmartMeter),
    /// To the server.
    ToServer(ToServer),
}

impl XmlMessage {
    /// Returns the class whose stream and priority carry it (section 3 of the source).
    pub const fn class(&self) -> MessageClass {
        match self {
            Self::ToSmartMeter(ToSmartMeter::ControlOnOff { .. }) => MessageClass::Control,
            Self::ToSmartMeter(ToSmartMeter::Retransmission { .. }) => MessageClass::Request,
            Self::ToSmartMeter(ToSmartMeter::PowerCost { .. }) => MessageClass::Billing,
            Self::ToServer(ToServer::QueryPower { .. }) => MessageClass::Usage,
            Self::ToServer(ToServer::WarnToChange { .. }) => MessageClass::Warning,
        }
    }

    /// Returns the name that the source gives it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ToSmartMeter(ToSmartMeter::ControlOnOff { .. }) => "Control_On_Off",
            Self::ToSmartMeter(ToSmartMeter::Retransmission { .. }) => "Retransmission",
            Self::ToSmartMeter(ToSmartMeter::PowerCost { .. }) => "Power_Cost",
            Self::ToServer(ToServer::QueryPower { .. }) => "Query_power",
            Self::ToServer(ToServer::WarnToChange { .. }) => "Warn_to_Change",
        }
    }
}
