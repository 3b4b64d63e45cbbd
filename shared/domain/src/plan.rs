//! Plans: what would be done, as serialisable values that can be shown first.

#[cfg(test)]
mod tests;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::Instant;
use crate::id::{ScheduleName, ScopeName, SnapshotId};
use crate::schedule::ScheduleState;

/// What the dispatcher does for one due schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotPlan {
    /// The schedule.
    pub schedule: ScheduleName,
    /// The slot to run now, if one is inside the catch-up window.
    pub run: Option<Instant>,
    /// Slots that passed and are recorded as missed, oldest first; the newest
    /// [`MISSED_SLOTS_MAX`] of them.
    pub missed: Vec<Instant>,
    /// Older missed slots, counted and not recorded one by one.
    pub missed_uncounted: u64,
    /// The schedule's next slot, strictly later than the instant of the plan.
    pub next_slot: Option<Instant>,
}

/// Missed slots of one schedule that are recorded one by one after an outage.
pub const MISSED_SLOTS_MAX: usize = 100;

/// What the dispatcher does for a schedule at an instant; none if nothing of it is due.
///
/// The newest slot that is due runs if it is inside the schedule's catch-up window, which bounds
/// how late a slot may start. Every other due slot is missed. After a long outage only the newest
/// [`MISSED_SLOTS_MAX`] of them are listed, and the work stays bounded by the days in between.
///
/// The same state and instant give the same plan, and a later instant never lists a slot as missed
/// that this plan runs unless a newer one became due: so a dispatcher that died half-way may plan
/// again.
pub fn plan_slot(state: &ScheduleState, now: Instant) -> Option<SlotPlan> {
    let schedule = &state.schedule;
    let first = state
        .next_slot
        .filter(|slot| schedule.enabled && *slot <= now)?;
    let due = schedule.newest_slots(first, now, MISSED_SLOTS_MAX + 1);
    // The recorded slot is due whether or not a changed schedule still has it.
    let (mut slots, mut uncounted) = (due.slots, due.older);
    if slots.len() <= MISSED_SLOTS_MAX {
        slots.insert(0, first);
    } else {
        uncounted += 1;
    }
    let window = TimeDelta::try_seconds(i64::try_from(schedule.catch_up_seconds).ok()?);
    let in_window = |slot: &Instant| window.is_none_or(|window| now - *slot <= window);
    let run = slots.last().copied().filter(in_window);
    if run.is_some() {
        slots.pop();
    }
    let surplus = slots.len().saturating_sub(MISSED_SLOTS_MAX);
    slots.drain(..surplus);
    uncounted += surplus as u64;
    Some(SlotPlan {
        schedule: schedule.name.clone(),
        run,
        missed: slots,
        missed_uncounted: uncounted,
        next_slot: schedule.next_slot_after(now),
    })
}

/// What prune decides about one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrunePlan {
    /// The scope.
    pub scope: ScopeName,
    /// The instant that ages were counted from.
    pub now: Instant,
    /// Every snapshot of the scope, newest first, each with its reason.
    pub decisions: Vec<PruneDecision>,
}

impl PrunePlan {
    /// The snapshots that go, newest first.
    pub fn deleted(&self) -> impl Iterator<Item = &SnapshotId> {
        let going = self.decisions.iter().filter(|decision| !decision.keep);
        going.map(|decision| &decision.snapshot)
    }
}

/// What prune decides about one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneDecision {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Whether it stays.
    pub keep: bool,
    /// Why, for people: every rule that keeps it, or why none does.
    pub reason: String,
    /// For one that goes: since when no rule has kept it, where
    /// [`date_plan`](crate::retention::date_plan) was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DroppedSince>,
    /// Until when nothing of it can be destroyed, as far as the catalog knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<Instant>,
}

/// Since when no rule has kept a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DroppedSince {
    /// Since this instant, by today's rules and what is known today.
    At(Instant),
    /// It cannot be said, for this reason.
    Unknown(String),
}
