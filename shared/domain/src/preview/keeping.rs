//! Runs and prunes of one scope, day by day: what a preview rests on, and what it tells.

use std::collections::BTreeMap;

use chrono::NaiveTime;
use serde::Serialize;

use super::costs::{self, ClassCost, MonthCost};
use super::play::Play;
use crate::Instant;
use crate::id::{ScheduleName, ScopeName, SnapshotId};
use crate::retention::{Rules, Span};
use crate::schedule::{Schedule, just_before};
use crate::snapshot::{Kind, SnapshotRecord};
use crate::storage::Transitions;

/// More runs than this are not played: it would take long, and nobody reads that list.
pub const RUNS_MAX: usize = 40_000;

/// How much a run stores, compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// A full.
    pub full_bytes: u64,
    /// An incremental or a differential.
    pub change_bytes: u64,
}

impl Sizes {
    /// What a scope's snapshots measured: the newest full, and the mean of the others since. None
    /// without a full; without others, these count as much as a full.
    pub fn measured(records: &[SnapshotRecord]) -> Option<Self> {
        let full = records.iter().filter(|record| record.kind == Kind::Full);
        let full = full.max_by_key(|record| record.taken_at)?;
        let changes = records.iter().filter(|record| record.kind != Kind::Full);
        let changes: Vec<u64> = changes.map(|record| record.bytes_stored).collect();
        let mean = changes
            .iter()
            .sum::<u64>()
            .checked_div(changes.len() as u64);
        Some(Self {
            full_bytes: full.bytes_stored,
            change_bytes: mean.unwrap_or(full.bytes_stored),
        })
    }
}

/// What a preview rests on: every run succeeds, is verified at once, and stores as much as these say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Assumptions {
    /// Where it begins.
    pub now: Instant,
    /// Where it ends: what is due then is no part of it.
    pub until: Instant,
    /// What runs store.
    pub sizes: Sizes,
    /// Bytes of a full pack.
    pub pack_bytes: u64,
    /// Days for which the bucket keeps pruned bytes.
    pub grace_days: u32,
    /// When the daily prune runs, in UTC.
    pub prune_at: NaiveTime,
    /// Where rows go that are not to stay in STANDARD.
    pub transitions: Transitions,
}

impl Assumptions {
    /// Its days, a part of one included.
    pub fn days(&self) -> f64 {
        (self.until - self.now).num_seconds() as f64 / 86_400.0
    }
}

/// A snapshot in a preview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotPreview {
    /// When it was or will be taken.
    pub taken_at: Instant,
    /// By which schedule.
    pub schedule: Option<ScheduleName>,
    /// Its kind.
    pub kind: Kind,
    /// Its id, where it exists already.
    pub snapshot: Option<SnapshotId>,
    /// Bytes that it added to the location.
    pub bytes_stored: u64,
    /// Why it is there, or why it goes at the next prune.
    pub reason: String,
}

/// What exists at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct State {
    /// When.
    pub at: Instant,
    /// The snapshots, newest first.
    pub snapshots: Vec<SnapshotPreview>,
    /// Bytes that they need.
    pub bytes_kept: u64,
    /// Bytes of pruned snapshots that the bucket still keeps, for the days of grace or their lock.
    pub bytes_in_grace: u64,
}

/// A snapshot that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// The snapshot, with why it goes.
    #[serde(flatten)]
    pub snapshot: SnapshotPreview,
    /// The prune that deletes it.
    pub dropped_at: Instant,
}

/// What will exist, and what it costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeepingPreview {
    /// The scope.
    pub scope: ScopeName,
    /// What it rests on.
    pub assumptions: Assumptions,
    /// For how long its schedules lock what they take: that stays so long at the least, pruned or not.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub locks: BTreeMap<ScheduleName, Span>,
    /// Runs played.
    pub runs: usize,
    /// What exists at each instant that was asked for, in order.
    pub states: Vec<State>,
    /// What goes, in order.
    pub dropped: Vec<Dropped>,
    /// By calendar month, in the storage classes that the schedules and the stack say.
    pub months: Vec<MonthCost>,
    /// The last 30 days in each storage class.
    pub classes: Vec<ClassCost>,
}

/// Why there is no preview.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PreviewError {
    /// Too many runs.
    #[error(
        "more than {RUNS_MAX} runs in {days} days: preview fewer days, or a schedule that is due less often"
    )]
    Runs {
        /// The days asked for.
        days: u32,
    },
}

/// Plays a scope's schedules from now on and tells what exists at `points`, which lie inside the
/// preview. `existing` are the scope's snapshots by now.
pub fn preview_keeping(
    scope: &ScopeName,
    schedules: &[&Schedule],
    rules: &Rules,
    existing: &[SnapshotRecord],
    assumptions: &Assumptions,
    points: &[Instant],
) -> Result<KeepingPreview, PreviewError> {
    let end = assumptions.until;
    let slots = slots(scope, schedules, assumptions)?;
    let mut play = Play::new(scope, schedules, rules, existing, assumptions);
    let mut points: Vec<Instant> = points.to_vec();
    points.sort();
    let mut states = Vec::new();
    let mut slots_left = slots.iter().peekable();
    let mut points_left = points.iter().peekable();
    let today = assumptions.now.date_naive();
    let prunes = today
        .iter_days()
        .map(|date| date.and_time(assumptions.prune_at).and_utc());
    for prune in prunes.filter(|prune| *prune > assumptions.now) {
        let until = prune.min(end);
        loop {
            let slot = slots_left
                .peek()
                .map(|(slot, _)| *slot)
                .filter(|at| *at <= until);
            let point = points_left.peek().map(|at| **at).filter(|at| *at <= until);
            match (slot, point) {
                // What is due at a point comes after it.
                (Some(slot), point) if point.is_none_or(|point| slot < point) => {
                    if let Some((_, schedule)) = slots_left.next() {
                        play.run(slot, schedule);
                    }
                }
                (_, Some(point)) => {
                    points_left.next();
                    states.push(play.state(point));
                }
                _ => break,
            }
        }
        if prune > end {
            break;
        }
        play.prune(prune);
    }
    let (pieces, work, daily) = (&play.pieces, &play.work, &play.daily);
    Ok(KeepingPreview {
        scope: scope.clone(),
        runs: slots.len(),
        states,
        months: costs::months(pieces, work, daily, assumptions),
        classes: costs::classes(pieces, work, daily, assumptions),
        dropped: play.dropped,
        locks: play.locks,
        assumptions: assumptions.clone(),
    })
}

/// Every slot of the scope's enabled schedules, in the order of time: from the beginning on, and before the
/// end.
fn slots<'s>(
    scope: &ScopeName,
    schedules: &[&'s Schedule],
    assumptions: &Assumptions,
) -> Result<Vec<(Instant, &'s Schedule)>, PreviewError> {
    let mut slots = Vec::new();
    for schedule in schedules {
        if !schedule.enabled || !schedule.scopes.contains(scope) {
            continue;
        }
        let (from, end) = (just_before(assumptions.now), just_before(assumptions.until));
        let due = schedule.slots_between(from, end);
        slots.extend(due.take(RUNS_MAX + 1).map(|slot| (slot, *schedule)));
        if slots.len() > RUNS_MAX {
            return Err(PreviewError::Runs {
                days: assumptions.days().ceil() as u32,
            });
        }
    }
    slots.sort_by(|(a, one), (b, other)| (a, &one.name).cmp(&(b, &other.name)));
    Ok(slots)
}
