//! Alerts: what people are told, in the forms that their devices can show.
//!
//! `make.rs` builds an alert of each kind from the values it is about, `times.rs` those of slots and
//! runs that did not keep to their time; `texts.rs` writes an alert's subject, e-mail, SMS and JSON. Which alerts are published is
//! [`crate::schedule::AlertPolicy`]'s to say.

mod make;
#[cfg(test)]
mod tests;
mod texts;
mod times;

pub use texts::{ALERT_VERSION, SMS_BYTES_MAX, SUBJECT_CHARS_MAX};
pub use times::{Limit, MissedSlots};

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
    /// A run did not begin or end within its schedule's time.
    Late,
    /// Verify found something wrong.
    Finding,
    /// Prune deleted snapshots.
    CleanUp,
    /// The location has no room left.
    StorageFull,
    /// An event could not be delivered or handled.
    DeadLetter,
}

impl AlertKind {
    /// The kind in snake case, as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Late => "late",
            Self::Finding => "finding",
            Self::CleanUp => "clean_up",
            Self::StorageFull => "storage_full",
            Self::DeadLetter => "dead_letter",
        }
    }

    /// How urgent it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::Success | Self::CleanUp => Severity::Info,
            Self::Skipped | Self::Missed | Self::Late => Severity::Warning,
            Self::Failure | Self::Finding | Self::StorageFull | Self::DeadLetter => Severity::Error,
        }
    }
}

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// All is well; for the record.
    Info,
    /// A backup that was expected is not there; the next one may repair that.
    Warning,
    /// Somebody has to do something.
    Error,
}

impl Severity {
    /// The severity in lower case, as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
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
    /// The command to begin with; empty if none helps.
    #[serde(default)]
    pub command: String,
}
