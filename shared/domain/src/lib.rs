//! The words of LogisEdge Backup as types: ids, scopes, schedules, retention, runs, events,
//! manifests, findings, alerts, plans, and the configuration that a user writes.
//!
//! Nothing here does I/O, reads a clock, is async, or knows AWS. Time is always an argument, so
//! every decision in this crate can be replayed.

pub mod alert;
pub mod anomaly;
pub mod calendar;
pub mod capacity;
pub mod chain;
pub mod config;
pub mod event;
pub mod finding;
pub mod format;
#[cfg(test)]
mod golden;
pub mod id;
pub mod lock;
pub mod manifest;
pub mod memory;
pub mod plan;
pub mod presets;
pub mod preview;
pub mod prices;
pub mod requests;
pub mod retention;
pub mod retry;
pub mod rpo;
pub mod run;
#[cfg(test)]
mod samples;
pub mod schedule;
pub mod scope;
pub mod snapshot;
pub mod storage;

/// An instant. Everything stored or sent is UTC.
pub type Instant = chrono::DateTime<chrono::Utc>;
