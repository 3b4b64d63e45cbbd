//! What is configured of alerts for all schedules together.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{DigestTime, Severity, Topics};

/// The longest time for which a cause may be quiet: 31 days.
pub const QUIET_SECONDS_MAX: u64 = 31 * 24 * 3600;

/// How alerts are told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertSettings {
    /// How often a cause that goes on is told.
    #[serde(default)]
    pub quiet: Quiet,
    /// Where alerts go whose schedule says nothing else; to the stack's own topic if none.
    #[serde(default, skip_serializing_if = "Topics::is_empty")]
    pub topics: Topics,
    /// When a digest is sent, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<DigestTime>,
}

impl AlertSettings {
    /// Whether nothing is configured.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// For how long a cause is not told again after it was told, by how urgent it is. Zero: every alert is
/// told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quiet {
    /// Seconds for errors.
    pub error_seconds: u64,
    /// Seconds for warnings.
    pub warning_seconds: u64,
    /// Seconds for what is told for the record.
    pub info_seconds: u64,
}

impl Default for Quiet {
    /// Somebody has to do something about an error, so it comes back within a working day; what a next
    /// backup may repair, twice a day; what succeeded is told each time.
    fn default() -> Self {
        Self {
            error_seconds: 4 * 3600,
            warning_seconds: 12 * 3600,
            info_seconds: 0,
        }
    }
}

impl Quiet {
    /// How long a cause of this severity stays quiet.
    pub fn after(self, severity: Severity) -> TimeDelta {
        let seconds = match severity {
            Severity::Error => self.error_seconds,
            Severity::Warning => self.warning_seconds,
            Severity::Info => self.info_seconds,
        };
        let bounded = seconds.min(QUIET_SECONDS_MAX);
        TimeDelta::seconds(i64::try_from(bounded).unwrap_or(i64::MAX / 1000))
    }
}
