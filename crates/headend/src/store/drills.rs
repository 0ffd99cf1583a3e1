//! The journal of drills: links of a simulated network that were cut on purpose.

use model::{MeterId, Timestamp};

use super::{Pending, StoreError};

/// Storage of drills. No row is ever taken out; of each meter the last [`TIMELINES_KEPT`] timelines
/// are kept.
pub trait DrillTables: Send + Sync {
    /// Writes a drill down before anything is done about it, and returns its number.
    ///
    /// # Errors
    /// [`StoreError`] where the disk fails: nothing is written then.
    fn begin(&self, drill: NewDrill) -> Pending<i64>;

    /// Writes down what became of a drill. What is written once stays.
    ///
    /// # Errors
    /// [`StoreError`] where the disk fails: the drill is open then.
    fn close(&self, number: i64, end: DrillEnd) -> Pending<()>;

    /// Ends the drills that a head end left open when it stopped, and returns how many they were.
    ///
    /// # Errors
    /// [`StoreError`] where the disk fails: they are open then.
    fn interrupted(&self, at: Timestamp) -> Pending<usize>;

    /// Returns a drill of a meter with its timeline, where that is kept.
    ///
    /// # Errors
    /// [`StoreError`] where the disk fails, or what it holds is damaged.
    fn by_number(&self, meter: MeterId, number: i64) -> Result<Option<DrillRow>, StoreError>;

    /// Returns the drills of a meter, the newest first and at most `limit`, without timelines; but
    /// with those of which no summary is kept.
    ///
    /// # Errors
    /// [`StoreError`] where the disk fails, or what it holds is damaged.
    fn list(&self, meter: MeterId, limit: u32) -> Result<Vec<DrillRow>, StoreError>;
}

/// How many timelines of a meter are kept: each has up to some 200 kB.
pub const TIMELINES_KEPT: u32 = 50;

/// A drill as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDrill {
    /// The meter that is read meanwhile.
    pub meter: MeterId,
    /// When it was asked for.
    pub at: Timestamp,
    /// Who asked for it.
    pub who: String,
    /// Why.
    pub reason: String,
    /// The link, by one of its ends; none: one that the meter's path crosses when it is cut.
    pub link: Option<String>,
    /// Whether nobody reports the cut.
    pub silent: bool,
    /// After how many seconds the link is mended.
    pub mend_after_s: u16,
}

/// How a drill ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DrillOutcome {
    /// It went through.
    Done = 1,
    /// Somebody stopped it.
    Stopped = 2,
    /// It could not be carried out.
    Failed = 3,
    /// The head end stopped meanwhile.
    CutOff = 4,
}

impl DrillOutcome {
    /// Names it, as programs are told.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::CutOff => "cut_off",
        }
    }

    pub(super) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Done),
            2 => Some(Self::Stopped),
            3 => Some(Self::Failed),
            4 => Some(Self::CutOff),
            _ => None,
        }
    }
}

/// What became of a drill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrillEnd {
    /// In a word.
    pub outcome: DrillOutcome,
    /// In a sentence.
    pub answer: String,
    /// What readings came to, as JSON; none where the head end stopped.
    pub summary: Option<String>,
    /// What readings went through, as JSON; none where the head end stopped, or where it is not kept
    /// any more.
    pub timeline: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// A drill as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrillRow {
    /// Its number.
    pub number: i64,
    /// What was asked for.
    pub drill: NewDrill,
    /// What became of it; none as long as it is under way.
    pub end: Option<DrillEnd>,
}
