//! Previews: what a schedule and its retention will do, before they are in force.
//!
//! `slots.rs` lists runs to come; `keeping.rs` goes through runs and prunes day by day, and `play.rs` knows what
//! exists meanwhile; `chains.rs` knows which bytes of a chain its snapshots need; `costs.rs` puts a price on what is left, from the
//! table in [`crate::prices`]. All of it is arithmetic on values, with the present as an argument.

mod chains;
mod costs;
mod keeping;
mod play;
mod slots;
#[cfg(test)]
mod tests;

pub use costs::{ClassCost, MonthCost};
pub use keeping::{
    Assumptions, Dropped, KeepingPreview, PreviewError, RUNS_MAX, Sizes, SnapshotPreview, State,
    preview_keeping,
};
pub use slots::{SlotPreview, preview_slots};
