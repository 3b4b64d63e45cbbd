//! Retention: which snapshots stay, which go, and why.

use serde::{Deserialize, Serialize};

/// How long a schedule's snapshots are kept. A snapshot that any rule keeps is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Keep snapshots taken within this many days (24 hours each) of now.
    pub keep_days: Option<u32>,
    /// Keep this many of the newest.
    pub keep_last: Option<u32>,
}
