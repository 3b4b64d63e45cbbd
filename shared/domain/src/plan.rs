//! Plans: what would be done, as serialisable values that can be shown first.

use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::id::{ScheduleName, ScopeName, SnapshotId};

/// What the dispatcher does for one due schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotPlan {
    /// The schedule.
    pub schedule: ScheduleName,
    /// The slot to run now, if one is inside the catch-up window.
    pub run: Option<Instant>,
    /// Slots that passed and are recorded as missed, oldest first; at most [`MISSED_SLOTS_MAX`].
    pub missed: Vec<Instant>,
    /// Missed slots beyond that number, counted and not recorded one by one.
    pub missed_uncounted: u64,
    /// The schedule's next slot after all of these.
    pub next_slot: Option<Instant>,
}

/// Missed slots of one schedule that are recorded one by one after an outage.
pub const MISSED_SLOTS_MAX: usize = 100;

/// What prune decides about one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrunePlan {
    /// The scope.
    pub scope: ScopeName,
    /// The instant that ages were counted from.
    pub now: Instant,
    /// Every snapshot of the scope, newest first, each with its reason.
    pub decisions: Vec<PruneDecision>,
}

/// What prune decides about one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneDecision {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Whether it stays.
    pub keep: bool,
    /// Why, for people: every rule that keeps it, or why none does.
    pub reason: String,
}
