//! Alerts: what people are told, in the forms that their devices can show.
//!
//! `make.rs`, `times.rs` and `watched.rs` build an alert of each kind from the values it is about: runs and
//! snapshots, slots and runs that did not keep to their time, and what is watched. `texts.rs` writes its
//! subject, e-mail, SMS and JSON. Which alerts are made is [`crate::schedule::AlertPolicy`]'s to say;
//! which of them are told at once and which are only counted, `quiet.rs`; when a cause is gone,
//! `resolution.rs`; when what it is about is not configured any more, `unconfigured.rs`. `digest.rs` sums up a
//! day or a week. `settings.rs` is what is configured of that, `topics.rs` where alerts go.

mod digest;
mod make;
mod quiet;
mod resolution;
mod settings;
#[cfg(test)]
mod tests;
mod texts;
mod times;
mod topics;
mod unconfigured;
mod watched;

pub use digest::{DigestEvery, DigestTime};
pub use quiet::{AlertCause, CauseState, Telling, WhenDue};
pub use resolution::Resolution;
pub use settings::{AlertSettings, QUIET_SECONDS_MAX, Quiet};
pub use texts::{ALERT_VERSION, SMS_BYTES_MAX, SUBJECT_CHARS_MAX};
pub use times::{Limit, MissedSlots};
pub use topics::{TopicArn, Topics};

use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::id::{RunId, ScheduleName, ScopeName, SnapshotId};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    /// A table holds another number of rows or bytes than its history lets expect.
    Anomaly,
    /// A scope's newest good snapshot is older than its recovery point objective.
    NoGoodSnapshot,
    /// The location has no room left.
    StorageFull,
    /// The location has little room left.
    StorageSoonFull,
    /// The catalog and a listing of the location differ on how much is used.
    UsageDiffers,
    /// The lock of what retention keeps could not be renewed.
    NotLocked,
    /// Prune had to leave something that it will not get over by itself.
    NotPruned,
    /// What happened in a day or a week.
    Digest,
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
            Self::Anomaly => "anomaly",
            Self::NoGoodSnapshot => "no_good_snapshot",
            Self::StorageFull => "storage_full",
            Self::StorageSoonFull => "storage_soon_full",
            Self::UsageDiffers => "usage_differs",
            Self::NotLocked => "not_locked",
            Self::NotPruned => "not_pruned",
            Self::Digest => "digest",
            Self::DeadLetter => "dead_letter",
        }
    }

    /// Whether something says when its cause is gone: a run that succeeds, a verification that finds
    /// nothing, a prune that leaves nothing. What was missed lies in the past; a run that succeeds only ends it
    /// sooner.
    pub fn has_end(self) -> bool {
        match self {
            Self::Failure
            | Self::Skipped
            | Self::Late
            | Self::Finding
            | Self::Anomaly
            | Self::NoGoodSnapshot
            | Self::StorageFull
            | Self::StorageSoonFull
            | Self::NotLocked
            | Self::NotPruned => true,
            Self::Success
            | Self::Missed
            | Self::CleanUp
            | Self::UsageDiffers
            | Self::Digest
            | Self::DeadLetter => false,
        }
    }

    /// How urgent it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::Success | Self::CleanUp | Self::Digest => Severity::Info,
            Self::StorageSoonFull
            | Self::UsageDiffers
            | Self::NotLocked
            | Self::NotPruned
            | Self::Skipped
            | Self::Missed
            | Self::Late => Severity::Warning,
            Self::Failure
            | Self::Finding
            | Self::Anomaly
            | Self::NoGoodSnapshot
            | Self::StorageFull
            | Self::DeadLetter => Severity::Error,
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
    /// What more than its kind, scope and schedule tells its cause from another: the queue of a dead
    /// letter, the snapshot of a finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Where its cause stands, for an alert that tells of more than one event. Such an alert is told
    /// as it is and never counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
}

/// Where the cause of alerts stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Standing {
    /// It goes on: so many alerts were held back since the last one that was told.
    Repeated {
        /// Alerts held back.
        more: u64,
        /// When the last one was told.
        since: Instant,
    },
    /// It is gone.
    Resolved {
        /// When it was told first.
        since: Instant,
        /// Alerts held back since the last one that was told.
        more: u64,
    },
}
