//! The paths that readings took, over a network that tells them.
//!
//! Readings one after the other that came by the same paths are one [`PathRun`]: so what a meter's
//! readings took costs a line for each change of the path, and none is lost.

use dlms::cosem::Obis;
use model::Timestamp;
use std::ops::Range;

/// The path of a question, or of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTaken {
    /// Holds the ASes and interfaces in order, as the reference programs of SCION print them.
    pub hops: String,
    /// Holds the fingerprint, 16 hexadecimal digits.
    pub fingerprint: String,
    /// Says whether somebody vouches for it: the daemon of the own AS.
    pub verified: bool,
}

/// The paths of questions and their answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// Holds the path of the questions; `None` where it is not known.
    pub sent: Option<PathTaken>,
    /// Holds the path of the answers, in the order of the ASes that they crossed; `None` where it
    /// is none that the network told of.
    pub received: Option<PathTaken>,
}

/// What some readings of one association came by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Says when the first of their questions was asked, by the head end's clock. Where receipts
    /// overlap, what was read meanwhile came by these.
    pub first: Timestamp,
    /// Says when the last answer was there, by the same clock.
    pub last: Timestamp,
    /// Holds the paths.
    pub paths: Paths,
    /// Holds the spans of profiles that were read (seconds).
    pub carried: Vec<Carried>,
}

impl Receipt {
    /// The greatest number of receipts in one sweep.
    pub const COUNT_MAX: usize = 256;

    /// Runs that are kept of one meter; older ones make room, a few at a time.
    pub const RUNS_MAX: u32 = 5_000;

    /// Spans that are told of one run.
    pub const CARRIED_MAX: u32 = 100;
}

/// The span of a profile that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Names the profile.
    pub object: Obis,
    /// Holds when its first interval begins and its last one ends (seconds).
    pub span: Range<i64>,
}

/// Readings one after the other that came by the same paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRun {
    /// Holds them as one receipt, the spans those of last begin first, at most
    /// [`Receipt::CARRIED_MAX`].
    pub receipt: Receipt,
    /// Counts the associations that they were read in.
    pub associations: u32,
}
