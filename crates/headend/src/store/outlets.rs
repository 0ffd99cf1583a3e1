//! What is kept of outlet meters, beside the meters that are read.

use std::collections::BTreeMap;
use std::ops::Range;

use model::Timestamp;
use model::xml::{CivilDateTime, OutletId, OutletPower, SmartMeterId};

use super::{Pending, StoreError};
use crate::outlets::Record;

/// Storage of what outlet meters deliver and of what they are told.
///
/// What [`Store`](super::Store) promises holds here too: a write is durable when its future
/// resolves, and what comes again changes nothing.
pub trait OutletTables: Send + Sync {
    /// Keeps from when on the sections of meters are expected, where that is not kept yet, and
    /// returns it for each of these. `offset_min` are the minutes that their civil time is ahead of
    /// UTC: fixed with the first of them.
    fn enrol(
        &self,
        meters: Vec<(SmartMeterId, CivilDateTime)>,
        offset_min: i16,
    ) -> Pending<BTreeMap<SmartMeterId, CivilDateTime>>;

    /// Adds records, all or none, and returns how many were new.
    fn insert(&self, records: Vec<Record>) -> Pending<usize>;

    /// Goes through usage from a time on, and through all orders, costs and sequences.
    ///
    /// # Errors
    /// [`StoreError`] where the disk fails; so for every other read.
    fn load(&self, from: CivilDateTime, each: &mut dyn FnMut(Record)) -> Result<(), StoreError>;

    /// Returns the sections of an outlet that begin in a range.
    fn usage(
        &self,
        meter: SmartMeterId,
        outlet: OutletId,
        range: Range<CivilDateTime>,
    ) -> Result<BTreeMap<CivilDateTime, OutletPower>, StoreError>;

    /// Returns the newest section of each of these outlets, where there is one.
    fn latest(
        &self,
        meter: SmartMeterId,
        outlets: &[OutletId],
    ) -> Result<BTreeMap<OutletId, (CivilDateTime, OutletPower)>, StoreError>;

    /// Returns the warnings, orders to outlets or costs of a meter, the newest first and at most
    /// `limit`, and how many there are in all.
    fn records(
        &self,
        meter: SmartMeterId,
        kind: RecordKind,
        limit: u32,
    ) -> Result<(u64, Vec<Record>), StoreError>;

    /// Writes an order into the journal before anything is done about it, and returns its number;
    /// `None`, and nothing is written, where `openings` says since when and how many breakers may
    /// be opened, and so many are.
    fn order(&self, order: NewOrder, openings: Option<(Timestamp, u32)>) -> Pending<Option<i64>>;

    /// Writes down what became of an order.
    fn ended(&self, order: i64, outcome: Outcome, at: Timestamp) -> Pending<()>;

    /// Returns the orders to a meter, the newest first.
    fn orders(&self, meter: SmartMeterId, limit: u32) -> Result<Vec<OrderRow>, StoreError>;
}

/// Which records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// Warnings.
    Warning,
    /// Orders to outlets.
    Order,
    /// Costs.
    Cost,
}

/// What kind of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OrderKind {
    /// Switches outlets.
    Switch = 1,
    /// Tells a cost.
    Cost = 2,
    /// Asks for sections.
    Request = 3,
    /// Opens the breaker.
    Open = 4,
    /// Closes the breaker.
    Close = 5,
}

impl OrderKind {
    /// Returns the kind of a number.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Switch,
            2 => Self::Cost,
            3 => Self::Request,
            4 => Self::Open,
            5 => Self::Close,
            _ => return None,
        })
    }

    /// Returns its name for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Switch => "switch",
            Self::Cost => "cost",
            Self::Request => "request",
            Self::Open => "open",
            Self::Close => "close",
        }
    }
}

/// What became of an order. The formats have no answer: that a meter obeyed, only what it measures
/// can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// It was given to the connection.
    Sent = 1,
    /// It waits for the meter to connect.
    Waits = 2,
    /// It was not given.
    Refused = 3,
}

impl Outcome {
    /// Returns the outcome of a number.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Sent,
            2 => Self::Waits,
            3 => Self::Refused,
            _ => return None,
        })
    }

    /// Returns its name for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Waits => "waits",
            Self::Refused => "refused",
        }
    }
}

/// An order to be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOrder {
    /// The meter.
    pub meter: SmartMeterId,
    /// When it was given.
    pub at: Timestamp,
    /// Its kind.
    pub kind: OrderKind,
    /// What it asks for, in words.
    pub what: String,
    /// Why, in the words of who gave it; empty where nobody had to say.
    pub reason: String,
}

/// An order as it was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRow {
    /// Its number.
    pub number: i64,
    /// What was asked for.
    pub order: NewOrder,
    /// What became of it, and when; none where the head end stopped in between.
    pub ended: Option<(Outcome, Timestamp)>,
}
