//! Schedules: when, which scopes, which kind, where to, kept how long, told to whom.
//!
//! `slots.rs` has the slots: the calendar's, without those that a pause or a skipped date takes out.

mod slots;

pub use slots::Gap;
pub(crate) use slots::just_before;

use std::collections::BTreeSet;

use chrono::{NaiveDate, TimeDelta};
use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::alert::{AlertKind, Topics};
use crate::calendar::Calendar;
use crate::chain::Rhythm;
use crate::id::{LocationName, ScheduleName, ScopeName};
use crate::retention::{Retention, Span};
use crate::snapshot::Kind;
use crate::storage::StorageTier;

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
    /// Where the rows that it stores are to end up.
    #[serde(default, skip_serializing_if = "StorageTier::is_standard")]
    pub tier: StorageTier,
    /// How long its snapshots are kept.
    pub retention: Retention,
    /// For how long after it was taken nobody can destroy a snapshot of it, nor anything of its chain. Only
    /// where its location has Object Lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Span>,
    /// Which of its events are alerted.
    pub alerts: AlertPolicy,
    /// Where its alerts go; where all others go, if none.
    #[serde(default, skip_serializing_if = "Topics::is_empty")]
    pub topics: Topics,
    /// A disabled schedule has no slots.
    pub enabled: bool,
    /// How late a missed slot may still start, in seconds.
    pub catch_up_seconds: u64,
    /// How long after its slot a run may begin before that is alerted, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_within_seconds: Option<u64>,
    /// How long after its slot a run may end before that is alerted, in seconds; longer than
    /// `start_within_seconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_within_seconds: Option<u64>,
    /// There are no slots before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_until: Option<Instant>,
    /// Dates of its zone that have no slots.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub skip_dates: BTreeSet<NaiveDate>,
}

impl Schedule {
    /// By when a run of this slot is to have begun, where that is limited.
    pub fn start_by(&self, slot: Instant) -> Option<Instant> {
        after(slot, self.start_within_seconds?)
    }

    /// By when a run of this slot is to have ended, where that is limited.
    pub fn finish_by(&self, slot: Instant) -> Option<Instant> {
        after(slot, self.finish_within_seconds?)
    }

    /// Whether two forms of a schedule have the same slots.
    pub fn is_due_alike(&self, other: &Self) -> bool {
        let when = |s: &Self| (s.zone, s.enabled, s.pause_until);
        when(self) == when(other)
            && self.calendar == other.calendar
            && self.skip_dates == other.skip_dates
    }
}

fn after(slot: Instant, seconds: u64) -> Option<Instant> {
    slot.checked_add_signed(TimeDelta::try_seconds(i64::try_from(seconds).ok()?)?)
}

/// Which events of a schedule's runs reach the alert topic. Missed slots, late runs, dead letters and a
/// full location always do.
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
            AlertKind::Missed
            | AlertKind::Late
            | AlertKind::Digest
            | AlertKind::Anomaly
            | AlertKind::StorageSoonFull
            | AlertKind::UsageDiffers
            | AlertKind::NotLocked
            | AlertKind::NotPruned
            | AlertKind::NoGoodSnapshot
            | AlertKind::DeadLetter
            | AlertKind::StorageFull => true,
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
