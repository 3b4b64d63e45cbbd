//! Resolutions: something good happened, so that some causes of alerts are gone.

use serde::{Deserialize, Serialize};

use super::watched::level_of;
use super::{AlertCause, AlertKind};
use crate::Instant;
use crate::capacity::Level;
use crate::format;
use crate::id::{LocationName, ScheduleName, ScopeName, compact};
use crate::run::Run;
use crate::snapshot::SnapshotRecord;

/// Which causes are gone, and why. It is recorded with what it tells, whether or not any of them was
/// ever told: an alert that waits to be sent will still find its end behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// Identity: the same for the same thing that happened.
    pub id: String,
    /// When it happened.
    pub at: Instant,
    /// The scope whose causes are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<ScopeName>,
    /// Only those of this schedule; of every schedule, and of none, where `any_schedule` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleName>,
    /// Whether the schedule does not matter.
    #[serde(default)]
    pub any_schedule: bool,
    /// Only what is about this, such as a snapshot; whatever it is about, if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The kinds that are gone.
    pub kinds: Vec<AlertKind>,
    /// What happened, in one sentence.
    pub because: String,
}

impl Resolution {
    /// A run succeeded: whatever kept its schedule's runs of the scope from that is gone.
    pub fn run_succeeded(run: &Run, snapshot: &SnapshotRecord, now: Instant) -> Self {
        Self {
            id: format!("succeeded.{}", run.id),
            at: now,
            scope: Some(run.scope.clone()),
            schedule: run.cause.schedule().cloned(),
            any_schedule: false,
            about: None,
            kinds: vec![
                AlertKind::Failure,
                AlertKind::Skipped,
                AlertKind::Missed,
                AlertKind::Late,
                AlertKind::StorageFull,
            ],
            because: format!(
                "The backup of {} is stored again: snapshot {}, which holds the state of {}.",
                run.scope,
                snapshot.id.short(),
                format::instant(snapshot.taken_at)
            ),
        }
    }

    /// A snapshot was read back and nothing was found. Where it is the scope's newest, findings in the
    /// ones before it are gone as a cause too: a restore has something better now.
    pub fn verified(snapshot: &SnapshotRecord, is_newest: bool, now: Instant) -> Self {
        Self {
            id: format!("verified.{}", snapshot.id),
            at: now,
            scope: Some(snapshot.scope.clone()),
            schedule: None,
            any_schedule: true,
            about: (!is_newest).then(|| snapshot.id.to_string()),
            kinds: vec![AlertKind::Finding],
            because: format!(
                "Snapshot {} of {}, which holds the state of {}, was read back whole and nothing \
                 was found.",
                snapshot.id.short(),
                snapshot.scope,
                format::instant(snapshot.taken_at)
            ),
        }
    }

    /// Somebody looked at what changed more than usual.
    pub fn confirmed(scope: &ScopeName, was_meant: bool, now: Instant) -> Self {
        let how = if was_meant { "meant" } else { "undone" };
        Self {
            id: format!("confirmed.{scope}.{}", compact(now)),
            at: now,
            scope: Some(scope.clone()),
            schedule: None,
            any_schedule: true,
            about: None,
            kinds: vec![AlertKind::Anomaly],
            because: format!(
                "The change in {scope} was confirmed to be {how}; it is pruned again."
            ),
        }
    }

    /// A location is below a level of its capacity again, or has none any more.
    pub fn below(
        location: &LocationName,
        level: Level,
        used: u64,
        max: Option<u64>,
        now: Instant,
    ) -> Self {
        Self {
            id: format!("below.{location}.{}.{}", level.percent(), compact(now)),
            at: now,
            scope: None,
            schedule: None,
            any_schedule: true,
            about: Some(level_of(location, level)),
            kinds: vec![AlertKind::StorageSoonFull],
            because: match max {
                Some(max) => format!(
                    "Location {location} is less than {} % full again: {} of {} are used.",
                    level.percent(),
                    format::bytes(used),
                    format::bytes(max)
                ),
                None => format!("Location {location} has no capacity_bytes_max any more."),
            },
        }
    }

    /// A prune of a scope came to its end and left nothing that somebody has to see to.
    pub fn pruned(scope: &ScopeName, now: Instant) -> Self {
        Self {
            id: format!("pruned.{scope}.{}", compact(now)),
            at: now,
            scope: Some(scope.clone()),
            schedule: None,
            any_schedule: true,
            about: None,
            kinds: vec![AlertKind::NotPruned, AlertKind::NotLocked],
            because: format!(
                "A prune of {scope} came to its end: nothing was left over, and every lock that was \
                 due was renewed."
            ),
        }
    }

    /// A scope's newest good snapshot is young enough again. None: it is not watched any more, or for
    /// another age.
    pub fn good_snapshot(scope: &ScopeName, taken_at: Option<Instant>, now: Instant) -> Self {
        Self {
            id: format!("good_snapshot.{scope}.{}", compact(now)),
            at: now,
            scope: Some(scope.clone()),
            schedule: None,
            any_schedule: true,
            about: None,
            kinds: vec![AlertKind::NoGoodSnapshot],
            because: match taken_at {
                Some(taken_at) => format!(
                    "{scope} has a good snapshot again, which holds the state of {}.",
                    format::instant(taken_at)
                ),
                None => format!("The configuration asks for something else of {scope} by now."),
            },
        }
    }

    /// Whether it says that the cause is gone.
    pub fn ends(&self, cause: &AlertCause) -> bool {
        self.scope == cause.scope
            && (self.any_schedule || self.schedule == cause.schedule)
            && (self.about.is_none() || self.about == cause.about)
            && self.kinds.contains(&cause.kind)
    }
}
