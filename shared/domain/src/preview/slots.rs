//! The next runs of a schedule.

use serde::Serialize;

use crate::Instant;
use crate::schedule::Schedule;

/// A run to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlotPreview {
    /// When it is due.
    pub slot: Instant,
    /// The same on the clock of the schedule's zone: `Wed 2026-11-25 02:00 CET`.
    pub local: String,
    /// What a change of the clocks or a short month does to it.
    pub notes: Vec<String>,
}

/// The next runs of a schedule after an instant, whether or not it is enabled; fewer where its
/// calendar ends before.
pub fn preview_slots(schedule: &Schedule, after: Instant, count: usize) -> Vec<SlotPreview> {
    let (calendar, zone) = (&schedule.calendar, schedule.zone);
    let mut before = after;
    let next = std::iter::from_fn(|| {
        let slot = calendar.next_after(zone, before)?;
        let notes = calendar.notes(zone, slot, Some(before));
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
