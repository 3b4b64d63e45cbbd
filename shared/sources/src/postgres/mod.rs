//! PostgreSQL 13 and later: consistent snapshots out, restores in.
//!
//! - `options`, `socket`, `tls`, `diversion`, `session`, `failure`: how a server is reached, and what
//!   it says.
//! - `source`, `checks`, `scope`, `catalog`, `dump`, `facts`, `files`, `snapshot`: backing up.
//! - `lineage`, `storage`, `unchanged`: what need not be read again, and the proof of it.
//! - `target`, `occupied`, `load`, `statements`, `replay`, `post_data`, `builds`, `statistics`: restoring.
//! - `large_objects`, `quote`: what both directions need.

mod builds;
mod catalog;
mod checks;
mod diversion;
mod dump;
mod facts;
mod failure;
mod files;
mod large_objects;
mod lineage;
mod load;
mod occupied;
mod options;
mod post_data;
mod quote;
mod replay;
mod scope;
mod session;
mod snapshot;
mod socket;
mod source;
mod statements;
mod statistics;
mod storage;
mod target;
mod tls;
mod unchanged;

pub use options::{Password, PostgresOptions};
pub use source::PostgresSource;
pub use target::PostgresTarget;
