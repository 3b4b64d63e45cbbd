//! Schedules: when, which scopes, which kind, where to, kept how long, told to whom.

use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::alert::AlertKind;
use crate::calendar::Calendar;
use crate::chain::Rhythm;
use crate::id::{LocationName, ScheduleName, ScopeName};
use crate::retention::Retention;
use crate::snapshot::Kind;

/// A schedule as configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its name.
    pub name: ScheduleName,
    /// When it is due.
    pub calendar: Calendar,
    /// The IANA zone in which the calendar is read.
    pub zone: chrono_tz::Tz,
    /// What it takes.
    pub kind: Kind,
    /// When it takes a full instead. None for a schedule of fulls; where another kind has none,
    /// [`Rhythm::default`] counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<Rhythm>,
    /// What it backs up, each on its own.
    pub scopes: Vec<ScopeName>,
    /// Where to.
    pub location: LocationName,
    /// How long its snapshots are kept.
    pub retention: Retention,
    /// Which of its events are alerted.
    pub alerts: AlertPolicy,
    /// A disabled schedule has no slots.
    pub enabled: bool,
    /// How late a missed slot may still start, in seconds.
    pub catch_up_seconds: u64,
}

/// Which events of a schedule's runs reach the alert topic. Missed slots, dead letters and a full
/// location always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertPolicy {
    /// A snapshot was committed.
    pub success: bool,
    /// A run failed or was skipped.
    pub failure: bool,
    /// Verify found something.
    pub finding: bool,
    /// Prune deleted something.
    pub clean_up: bool,
}

impl AlertPolicy {
    /// Whether an alert of this kind is published.
    pub fn wants(self, kind: AlertKind) -> bool {
        match kind {
            AlertKind::Success => self.success,
            AlertKind::Failure | AlertKind::Skipped => self.failure,
            AlertKind::Finding => self.finding,
            AlertKind::CleanUp => self.clean_up,
            AlertKind::Missed | AlertKind::DeadLetter | AlertKind::StorageFull => true,
        }
    }
}

impl Default for AlertPolicy {
    fn default() -> Self {
        Self {
            success: true,
            failure: true,
            finding: true,
            clean_up: false,
        }
    }
}

/// A schedule with what the dispatcher moves: its next slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleState {
    /// The schedule.
    pub schedule: Schedule,
    /// The next slot that has not been dispatched. None: disabled, or its calendar has ended.
    pub next_slot: Option<Instant>,
}
