//! PostgreSQL 13 and later: consistent snapshots out, restores in.
//!
//! - `options`, `tls`, `session`, `failure`: how a server is reached, and what it says.
//! - `source`, `checks`, `scope`, `catalog`, `dump`, `facts`, `files`, `snapshot`: backing up.
//! - `target`, `occupied`, `replay`, `statements`, `load`: restoring.
//! - `large_objects`, `quote`: what both directions need.

mod catalog;
mod checks;
mod dump;
mod facts;
mod failure;
mod files;
mod large_objects;
mod load;
mod occupied;
mod options;
mod quote;
mod replay;
mod scope;
mod session;
mod snapshot;
mod source;
mod statements;
mod target;
mod tls;

pub use options::{Password, PostgresOptions};
pub use source::PostgresSource;
pub use target::PostgresTarget;
