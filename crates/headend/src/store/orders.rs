//! The journal of orders to meters that are read over DLMS.

use model::{BreakerState, MeterId, Timestamp};

use super::{Pending, StoreError};

/// Storage of orders to meters.
///
/// What [`Store`](super::Store) promises holds here too: a write is durable when its future
/// resolves. Nothing is ever taken out.
pub trait MeterOrderTables: Send + Sync {
    /// Writes an order down before anything is done about it, and returns its number; nothing is
    /// written where a limit stands against it.
    fn begin(
        &self,
        order: NewMeterOrder,
        limits: MeterOrderLimits,
    ) -> Pending<Result<i64, MeterOrderLimit>>;

    /// Writes down that an order is about to be sent: from here on the meter may have it.
    fn sending(&self, number: i64, at: Timestamp) -> Pending<()>;

    /// Writes down what became of an order. What is written once stays.
    fn close(&self, number: i64, end: MeterOrderEnd) -> Pending<()>;

    /// Ends the orders that a head end left open when it stopped, and returns how many they were:
    /// what may have been sent has an outcome that is not known, the rest was not sent.
    fn interrupted(&self, at: Timestamp) -> Pending<usize>;

    /// Returns an order.
    ///
    /// # Errors
    /// [`StoreError`] where the disk fails; so for every other read.
    fn by_number(&self, number: i64) -> Result<Option<MeterOrderRow>, StoreError>;

    /// Returns the orders to a meter, or to all, the newest first and at most `limit`, those with
    /// numbers before `before` where that is said; and how many there are in all.
    fn list(
        &self,
        meter: Option<MeterId>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<(u64, Vec<MeterOrderRow>), StoreError>;

    /// Counts the disconnections since a time that were sent, or may yet be.
    fn disconnections(&self, since: Timestamp) -> Result<u32, StoreError>;

    /// Returns the number of the order to switch a meter that has not ended.
    fn switching(&self, meter: MeterId) -> Result<Option<i64>, StoreError>;
}

/// What an order asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MeterOrderKind {
    /// Read the meter once.
    Read = 1,
    /// Let the customer be supplied.
    Connect = 2,
    /// Cut the customer's supply.
    Disconnect = 3,
    /// Show a text on the display.
    Text = 4,
    /// Hand all segments over to the other concentrator of a pair, whose name is the text; the
    /// meter is the concentrator.
    Switchover = 5,
}

impl MeterOrderKind {
    /// Returns the kind of a number.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Read,
            2 => Self::Connect,
            3 => Self::Disconnect,
            4 => Self::Text,
            5 => Self::Switchover,
            _ => return None,
        })
    }

    /// Returns its name for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Connect => "connect",
            Self::Disconnect => "disconnect",
            Self::Text => "text",
            Self::Switchover => "switchover",
        }
    }

    /// Says whether it waits before it is sent, and stands in the way of another such.
    pub const fn switches(self) -> bool {
        matches!(self, Self::Connect | Self::Disconnect | Self::Switchover)
    }
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MeterOrderOutcome {
    /// It was done, and what was read back shows it.
    Done = 1,
    /// The meter said that it was done, and what was read back does not show it.
    Unconfirmed = 2,
    /// The meter refused.
    Refused = 3,
    /// Nothing was sent.
    NotSent = 4,
    /// It may have been sent, and no answer says what became of it.
    Unknown = 5,
    /// Somebody stopped it before it was sent.
    Stopped = 6,
}

impl MeterOrderOutcome {
    /// Returns the outcome of a number.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Done,
            2 => Self::Unconfirmed,
            3 => Self::Refused,
            4 => Self::NotSent,
            5 => Self::Unknown,
            6 => Self::Stopped,
            _ => return None,
        })
    }

    /// Returns its name for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unconfirmed => "unconfirmed",
            Self::Refused => "refused",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
            Self::Stopped => "stopped",
        }
    }
}

/// An order to be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMeterOrder {
    /// The meter, or the concentrator, as a device of its own.
    pub meter: MeterId,
    /// When it was given.
    pub at: Timestamp,
    /// Who gave it.
    pub who: String,
    /// What it asks for.
    pub kind: MeterOrderKind,
    /// The text for the display, or the name of the other concentrator; empty with other kinds.
    pub text: String,
    /// Why, in the words of who gave it; empty where nobody had to say.
    pub reason: String,
    /// Before this it is not sent, and may be stopped.
    pub due: Timestamp,
}

/// What may stand against an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterOrderLimits {
    /// Since when, and how many, disconnections are allowed.
    pub disconnections: (Timestamp, u32),
    /// How many orders may be open at once.
    pub open: u32,
}

/// What stands against an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeterOrderLimit {
    /// Another order to switch this meter has not ended: this one.
    Switching(i64),
    /// As many disconnections were ordered as are allowed.
    Disconnections,
    /// As many orders are open as may be.
    Open,
}

/// What became of an order, and by what that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterOrderEnd {
    /// What became of it.
    pub outcome: MeterOrderOutcome,
    /// The meter's answer, or why there is none, in a sentence.
    pub answer: String,
    /// What was read back.
    pub read_back: Option<ReadBack>,
    /// When it ended.
    pub at: Timestamp,
}

/// What a meter said of itself after an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBack {
    /// Says whether the customer is supplied: output_state of Disconnect control.
    pub output: Option<bool>,
    /// Holds control_state of Disconnect control.
    pub control: Option<BreakerState>,
    /// Holds the text on the display, or the name of the concentrator that has the segments.
    pub text: Option<String>,
    /// When it was read.
    pub at: Timestamp,
}

/// An order as it was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterOrderRow {
    /// Its number.
    pub number: i64,
    /// What was asked for.
    pub order: NewMeterOrder,
    /// When it was about to be sent.
    pub sent: Option<Timestamp>,
    /// What became of it; none as long as it is open.
    pub end: Option<MeterOrderEnd>,
}
