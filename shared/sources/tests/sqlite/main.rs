//! SQLite round trips: through our target, through stock sqlite3, while writers write.

#![allow(clippy::unwrap_used)]

mod any_values;
#[path = "../carry/mod.rs"]
mod carry;
mod nasty;
mod refusals;
mod restoring;
mod round_trips;
