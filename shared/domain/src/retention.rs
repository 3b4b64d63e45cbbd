//! Retention: which snapshots stay, which go, and why.

use serde::{Deserialize, Serialize};

/// How long a schedule's snapshots are kept. A snapshot that any rule keeps is kept; where no rule
/// is set, all are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Keep snapshots taken within this many days (24 hours each) of now.
    pub keep_days: Option<u32>,
    /// Keep this many of the newest.
    pub keep_last: Option<u32>,
    /// Keep the newest of each of this many days that have one. Days, weeks (from Monday), months
    /// and years are counted in UTC, as `restic forget` does with UTC times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_daily: Option<u32>,
    /// Keep the newest of each of this many weeks that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_weekly: Option<u32>,
    /// Keep the newest of each of this many months that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_monthly: Option<u32>,
    /// Keep the newest of each of this many years that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_yearly: Option<u32>,
}
