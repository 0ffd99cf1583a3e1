//! Fences that somebody set for a meter, in the place of the one that it was enrolled with.

use model::{MeterId, Timestamp};

use super::{Pending, StoreError};

/// Storage of fences: a journal, of which the last line of a meter counts.
pub trait FenceTables: Send + Sync {
    /// Writes a fence down; it counts when this resolves.
    fn put(&self, fence: SavedFence) -> Pending<()>;

    /// Returns the fence of a meter that counts; none where nobody ever set one.
    ///
    /// # Errors
    /// [`StoreError`] where the disk fails; so for every other read.
    fn current(&self, meter: MeterId) -> Result<Option<SavedFence>, StoreError>;

    /// Returns the fences that a meter had, the newest first and at most `limit`.
    fn history(&self, meter: MeterId, limit: u32) -> Result<Vec<SavedFence>, StoreError>;
}

/// A fence as it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedFence {
    /// The meter.
    pub meter: MeterId,
    /// When it was set.
    pub at: Timestamp,
    /// Who set it.
    pub who: String,
    /// Why, in that person's words.
    pub reason: String,
    /// What paths may touch, in SCION's path policy language; none: as the meter was enrolled.
    pub fence: Option<String>,
    /// How many paths it left of those that were known then.
    pub allowed: u32,
    /// How many paths were known then.
    pub known: u32,
}
