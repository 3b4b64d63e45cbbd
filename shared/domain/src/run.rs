//! Runs: the work for one scope of one slot, and the states it goes through.

use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::format;
use crate::id::{ChainPath, Fence, LocationName, RunId, ScheduleName, ScopeName, SnapshotId};
use crate::requests::Requests;
use crate::snapshot::Kind;

/// Attempts at one run before it fails for good.
pub const ATTEMPTS_MAX: u32 = 3;

/// Why a run exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Cause {
    /// A due slot of a schedule.
    Schedule {
        /// The schedule.
        schedule: ScheduleName,
        /// Its due time.
        slot: Instant,
    },
    /// Somebody asked for it.
    Operator {
        /// The schedule whose kind, location and policies apply, if one was named.
        schedule: Option<ScheduleName>,
    },
}

impl Cause {
    /// The schedule whose policies apply.
    pub fn schedule(&self) -> Option<&ScheduleName> {
        match self {
            Self::Schedule { schedule, .. } => Some(schedule),
            Self::Operator { schedule } => schedule.as_ref(),
        }
    }
}

/// Where a run stands. The last four states are final: a run that has reached one never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Recorded; its event is (or is about to be) on the bus.
    Requested,
    /// An attempt holds the scope's lease.
    Running,
    /// Its snapshot is committed.
    Succeeded,
    /// It ended without a snapshot; the reason is recorded.
    Failed,
    /// It did not start because the scope's previous run was still going.
    Skipped,
    /// Its slot passed while nothing could start it.
    Missed,
}

impl RunState {
    /// Whether a run in this state never changes again.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Skipped | Self::Missed
        )
    }

    /// The state in lower case, as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
        }
    }
}

/// How far an attempt has come, as its last heartbeat said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunProgress {
    /// Bytes read from the source so far.
    pub bytes_read: u64,
    /// Bytes that the source was expected to give when the attempt began; an estimate.
    pub bytes_expected: u64,
    /// Parts (tables or ranges of them) read to their end.
    pub parts_done: u64,
    /// Parts in all.
    pub parts: u64,
}

/// What a successful run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStats {
    /// Rows read from the source.
    pub rows: u64,
    /// Bytes read from the source.
    pub bytes_read: u64,
    /// Bytes of content that were not read, because they were proven to be those of the base.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes_skipped: u64,
    /// Bytes of content that this kind may not share, or that the chain did not hold: uncompressed.
    pub bytes_new: u64,
    /// Bytes of content that it shares, uncompressed.
    pub bytes_shared: u64,
    /// Bytes written to the location, compressed and encrypted, with headers and indexes.
    pub bytes_stored: u64,
    /// Objects written to the location.
    pub objects_stored: u64,
    /// Wall time of the attempt that succeeded, in milliseconds.
    pub duration_ms: u64,
    /// Requests to the location, up to the snapshot object. Not in what older versions stored.
    #[serde(default, skip_serializing_if = "Requests::is_none")]
    pub requests: Requests,
}

impl RunStats {
    /// What was read, skipped, new, shared and stored, in a few words.
    pub fn describe(&self) -> String {
        let skipped = match self.bytes_skipped {
            0 => String::new(),
            bytes => format!(", {} skipped", format::bytes(bytes)),
        };
        format!(
            "{} read{skipped}, {} new, {} shared, {} stored",
            format::bytes(self.bytes_read),
            format::bytes(self.bytes_new),
            format::bytes(self.bytes_shared),
            format::bytes(self.bytes_stored)
        )
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A run as the catalog holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Why it exists.
    pub cause: Cause,
    /// What is backed up.
    pub scope: ScopeName,
    /// Where to.
    pub location: LocationName,
    /// What was asked for; see `kind_reason` for why another kind was taken.
    pub kind: Kind,
    /// What is taken, known once an attempt looked at the scope's chains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind_taken: Option<Kind>,
    /// Where it stands.
    pub state: RunState,
    /// Attempts begun so far.
    pub attempts: u32,
    /// While it waits for another attempt: when that is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Instant>,
    /// Fencing number of the attempt that last took the lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
    /// When it was recorded.
    pub requested_at: Instant,
    /// When it is to have begun: its schedule's `start_within` after its slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_by: Option<Instant>,
    /// When it is to have ended: its schedule's `finish_within` after its slot. Later than `start_by`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_by: Option<Instant>,
    /// When the last attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Instant>,
    /// When it reached its final state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Instant>,
    /// Why it failed, was skipped or missed, or what the last attempt failed with: a text for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why the snapshot's kind is not the one asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind_reason: Option<String>,
    /// The chain it writes to, known once an attempt looked at the scope's chains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<ChainPath>,
    /// Its snapshot, once committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotId>,
    /// How far the attempt has come.
    #[serde(default)]
    pub progress: RunProgress,
    /// What it did, once succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<RunStats>,
}
