//! The events on the bus. Versioned; they carry ids and no secrets.

use serde::{Deserialize, Serialize};

use crate::id::{ChainPath, LocationName, RunId, ScheduleName, ScopeName, SnapshotId};
use crate::snapshot::Kind;

/// The `source` field of every event that we publish.
pub const EVENT_SOURCE: &str = "logisedge.backup";

/// The version of the details' form. A reader refuses others, which sends them to the dead-letter
/// queue, and so to an alert.
pub const EVENT_VERSION: u32 = 1;

/// An event's detail; the variant's name is its `detail-type`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Event {
    /// A run was recorded and should be attempted now.
    BackupRequested {
        /// The run; everything else is looked up in the catalog.
        run: RunId,
        /// Its scope, for rules that match on it.
        scope: ScopeName,
    },
    /// A snapshot is committed.
    SnapshotCommitted {
        /// The run that made it.
        run: RunId,
        /// The snapshot.
        snapshot: SnapshotId,
        /// Its scope.
        scope: ScopeName,
        /// Its location.
        location: LocationName,
        /// Its chain.
        chain: ChainPath,
    },
    /// A snapshot should be read back whole.
    VerifyRequested {
        /// The scope whose snapshot it is.
        scope: ScopeName,
        /// The snapshot; the scope's newest if none.
        snapshot: Option<SnapshotId>,
    },
    /// A scope's retention should be applied.
    PruneRequested {
        /// The scope.
        scope: ScopeName,
    },
}

impl Event {
    /// The event's `detail-type`.
    pub fn detail_type(&self) -> &'static str {
        match self {
            Self::BackupRequested { .. } => "BackupRequested",
            Self::SnapshotCommitted { .. } => "SnapshotCommitted",
            Self::VerifyRequested { .. } => "VerifyRequested",
            Self::PruneRequested { .. } => "PruneRequested",
        }
    }

    /// The scope it is about.
    pub fn scope(&self) -> &ScopeName {
        match self {
            Self::BackupRequested { scope, .. }
            | Self::SnapshotCommitted { scope, .. }
            | Self::VerifyRequested { scope, .. }
            | Self::PruneRequested { scope } => scope,
        }
    }

    /// The `detail` as JSON, with its version.
    pub fn to_detail(&self) -> String {
        let envelope = Envelope {
            version: EVENT_VERSION,
            event: self.clone(),
        };
        serde_json::to_string(&envelope).expect("ids are texts, which JSON can hold")
    }

    /// Reads a `detail`.
    pub fn from_detail(detail: &serde_json::Value) -> Result<Self, EventError> {
        let version = detail.get("version").and_then(serde_json::Value::as_u64);
        match version {
            Some(v) if v == u64::from(EVENT_VERSION) => {
                let envelope: Envelope = serde_json::from_value(detail.clone())
                    .map_err(|e| EventError::Malformed(e.to_string()))?;
                Ok(envelope.event)
            }
            Some(found) => Err(EventError::Version { found }),
            None => Err(EventError::Malformed("it has no version".to_owned())),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    version: u32,
    #[serde(flatten)]
    event: Event,
}

/// What wakes the dispatcher: the input of its rules, of an operator's rule, or of the CLI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum DispatchInput {
    /// The minute rule: dispatch what is due, republish what was never picked up, give up on what
    /// died.
    Tick,
    /// Start runs now.
    Run {
        /// A schedule, all of whose scopes are run.
        #[serde(default)]
        schedule: Option<ScheduleName>,
        /// Single scopes, with the named schedule's policies or the first one that has them.
        #[serde(default)]
        scopes: Vec<ScopeName>,
        /// What to take; the schedule's own kind if none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<Kind>,
        /// Makes a repeated request recognisable; the event's id if none.
        #[serde(default)]
        token: Option<String>,
    },
    /// The daily verify rule: one `VerifyRequested` per scope.
    VerifyAll,
    /// The daily prune rule: one `PruneRequested` per scope.
    PruneAll,
}

/// Why a text is no event of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Made by a newer or older program.
    #[error(
        "the event's version is {found}, this program reads version {EVENT_VERSION}: deploy the same version of all functions"
    )]
    Version {
        /// The version it carries.
        found: u64,
    },
    /// Not of the documented form.
    #[error("the event cannot be read: {0}")]
    Malformed(String),
}
