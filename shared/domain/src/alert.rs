//! Alerts: what people are told, in the forms that their devices can show.

use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::id::{RunId, ScheduleName, ScopeName, SnapshotId};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// A snapshot was committed.
    Success,
    /// A run failed for good.
    Failure,
    /// A run was skipped because the previous one was still going.
    Skipped,
    /// A slot passed while nothing could start it.
    Missed,
    /// Verify found something wrong.
    Finding,
    /// Prune deleted snapshots.
    CleanUp,
    /// The location has no room left.
    StorageFull,
    /// An event could not be delivered or handled.
    DeadLetter,
}

/// An alert with everything that its texts are made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Identity: publishing the same alert twice is recognisable by it.
    pub id: String,
    /// What happened.
    pub kind: AlertKind,
    /// When.
    pub at: Instant,
    /// The scope, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<ScopeName>,
    /// The schedule, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleName>,
    /// The run, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The snapshot, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotId>,
    /// What happened, in one sentence.
    pub summary: String,
    /// Further lines: numbers, findings.
    #[serde(default)]
    pub details: Vec<String>,
    /// What to do now, in one sentence; empty if nothing.
    #[serde(default)]
    pub action: String,
}
