//! The next runs of a schedule.

use serde::Serialize;

use crate::Instant;
use crate::schedule::{Gap, Schedule};

/// A run to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlotPreview {
    /// When it is due.
    pub slot: Instant,
    /// The same on the clock of the schedule's zone: `Wed 2026-11-25 02:00 CET`.
    pub local: String,
    /// What a change of the clocks or a short month does to it, and what takes out slots before it.
    pub notes: Vec<String>,
}

/// The next runs of a schedule after an instant, whether or not it is enabled; fewer where its
/// calendar ends before.
pub fn preview_slots(schedule: &Schedule, after: Instant, count: usize) -> Vec<SlotPreview> {
    let (calendar, zone) = (&schedule.calendar, schedule.zone);
    let mut before = after;
    let next = std::iter::from_fn(|| {
        let slot = schedule.next_slot_after(before)?;
        let mut notes = calendar.notes(zone, slot, Some(before));
        notes.extend(taken_out(schedule, before, slot));
        before = slot;
        let local = slot.with_timezone(&zone).format("%a %Y-%m-%d %H:%M %Z");
        Some(SlotPreview {
            slot,
            local: local.to_string(),
            notes,
        })
    });
    next.take(count).collect()
}

/// What takes out slots between two.
fn taken_out(schedule: &Schedule, before: Instant, slot: Instant) -> Option<String> {
    let gaps = schedule.gaps_between(before, slot).into_iter();
    let gaps: Vec<String> = gaps
        .map(|gap| match gap {
            Gap::Pause(until) => format!(
                "paused until {}",
                until
                    .with_timezone(&schedule.zone)
                    .format("%Y-%m-%d %H:%M %Z")
            ),
            Gap::Date(date) => format!("none on {date}"),
        })
        .collect();
    (!gaps.is_empty()).then(|| gaps.join(", "))
}
